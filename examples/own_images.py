# %% [markdown]
# # Training on your own images
#
# The images are PNG or JPEG files, sorted into a folder for each label: `my_images/3/scan_017.png`. This script makes
# such a folder, so that it can be run as it is: dark digits on white paper, 50 pixels wide, as from a scanner. With
# images of your own, leave the next cell but one out, and set `folder` to theirs.

# %%
from pathlib import Path

import numpy as np
from PIL import Image

import npstn
from npstn import data, models, training
from npstn.figures.before_after import before_after
from npstn.tasks import Rotated

# %%
folder = Path("my_images")
for number, (image, digit) in enumerate(zip(*data.draw_digits(1200, seed=0), strict=True)):
    (folder / str(digit)).mkdir(parents=True, exist_ok=True)
    scan = Image.fromarray(255 - image).resize((50, 50))
    scan.save(folder / str(digit) / f"scan_{number:04}.png")

# %% [markdown]
# ## Reading them
#
# `load_images` also takes an .npz with the arrays `images`, uint8 (N, H, W), and `labels`. Two things matter:
#
# - All images get the same size, 28 x 28 pixels. Images that are not square are stretched: crop them first. If 28 x 28
#   is too coarse to tell your images apart, load them with `size=...`: the networks take any size from 16 x 16 on.
# - Turning an image brings in black at its corners, so the background must be black.

# %%
images, labels, classes = data.load_images(folder)
print(f"{len(images)} images of {images.shape[1]} x {images.shape[2]} pixels, classes {', '.join(classes)}")
if np.median(images) > 127:  # dark on white
    images = 255 - images
    print("most pixels are light: turned into light ink on black")

# %% [markdown]
# ## A source, and a task
#
# A source has a training set and a test set: 200 images are put aside, and the network is judged by these alone. A task
# says what is asked of the network. `Rotated` turns the test images once, and the training images afresh in each epoch.

# %%
order = np.random.default_rng(0).permutation(len(images))


def load(train):
    chosen = order[200:] if train else order[:200]
    return images[chosen], labels[chosen]


source = data.Source("scans", "scanned images", load, images.shape[1:], tuple(classes))
task = Rotated(source, angle=45)

# %% [markdown]
# ## Training
#
# The network is made for the task's images and classes. `train` yields an event after each step and each epoch. It
# prints and saves nothing: that is up to you.

# %%
npstn.manual_seed(0)
recipe = training.Recipe("adamw", lr=4e-3, batch_size=32, epochs=8, dropout=0.0)
net = models.STNClsNet(recipe.dropout, image=task.image, classes=len(task.classes))
state = training.State(net, recipe, len(task))
for event in training.train(net, task, recipe, state):
    if isinstance(event, training.Epoch):
        row = event.row
        accuracy, correlation = row["test_accuracy"], row["angle_correlation"]
        print(f"epoch {row['epoch']}: {accuracy:.1f} % of the test images, angle correlation {correlation:.2f}")

# %% [markdown]
# ## What came of it
#
# The weights are kept, and a picture shows test images before and after the transformer. In a notebook the last line
# shows the picture at once.

# %%
npstn.save(net.state_dict(), "weights.safetensors")
_, seen = training.look(net, task.few())[0]  # an entry for each transformer in the network: here there is one
figure = before_after(seen.U.data, seen.V.data)
figure.savefig("before_after.png", dpi=150)
print("wrote weights.safetensors and before_after.png")
figure
