# %% [markdown]
# # Training on one's own images
#
# The images are PNG or JPEG files, sorted into a folder for each label: `my_images/3/scan_017.png`. This script makes
# such a folder of its own, so that it can be run as it is: dark digits on white paper, 50 pixels wide, as a scanner
# would give them. With images of your own, leave that out, and set `folder` to theirs.

# %%
from pathlib import Path

import numpy as np
from PIL import Image

import npstn
import npstn.functional as F
from npstn import data, models, optim, plots, training

# %%
folder = Path("my_images")
for number, (image, digit) in enumerate(zip(*data.draw_digits(1200, seed=0), strict=True)):
    (folder / str(digit)).mkdir(parents=True, exist_ok=True)
    scan = Image.fromarray(255 - image).resize((50, 50))
    scan.save(folder / str(digit) / f"scan_{number:04}.png")

# %% [markdown]
# ## Reading them
#
# `load_images` also takes an .npz with the arrays `images`, uint8 (N, H, W), and `labels`. Three things matter:
#
# - The networks of `npstn.models` are made for 28 x 28 pixels, and `load_images` brings the images to that size. Those
#   that are not square are stretched: crop them first. If 28 x 28 is too coarse to tell your images apart, write a
#   network of your own (examples/feature_maps.py has one) and load them with `size=...`.
# - Turning an image brings in black at its corners, so the background must be black.
# - There are ten classes at most.

# %%
images, labels, classes = data.load_images(folder)
print(f"{len(images)} images of {images.shape[1]} x {images.shape[2]} pixels, classes {', '.join(classes)}")
if np.median(images) > 127:  # dark on white
    images = 255 - images
    print("most pixels are light: turned into light ink on black")

# %% [markdown]
# A part is put aside: the network is judged by images that it has never seen. They are turned once; those to learn
# from are turned afresh in each epoch.

# %%
npstn.manual_seed(0)
angle = 45
order = np.random.default_rng(0).permutation(len(images))
test, train = order[:200], order[200:]
test_set = training.fixed_test_set(images[test], labels[test], angle, seed=0)

# %% [markdown]
# ## Training
#
# This is the whole loop.

# %%
net = models.STNClsNet(dropout=0.0)
epochs, batch_size = 8, 32
optimizer = optim.AdamW(net.parameters())
schedule = optim.OneCycleLR(optimizer, max_lr=4e-3, total_steps=epochs * -(-len(train) // batch_size))
for epoch in range(1, epochs + 1):
    for batch in data.batches(images[train], labels[train], angle, batch_size, npstn.backend.random.generator()):
        optimizer.zero_grad()
        loss = F.nll_loss(net(npstn.Tensor(batch.images)), batch.labels)
        loss.backward()
        optimizer.step()
        schedule.step()
    score = training.evaluate(net, test_set)
    correlation = score.angle_correlation(test_set.degrees)
    print(f"epoch {epoch}: {score.accuracy:.1f} % of the test images, angle correlation {correlation:.2f}")

# %% [markdown]
# ## What came of it
#
# The weights are kept, and a picture shows test images before and after the transformer. In a notebook the last line
# shows it at once.

# %%
npstn.save(net.state_dict(), "weights.safetensors")
shown = test_set.images[:30]
figure = plots.before_after(shown, training.turned(net, shown))
figure.savefig("before_after.png", dpi=150)
print("wrote weights.safetensors and before_after.png")
figure
