# %% [markdown]
# # Training on your own images
#
# The images are PNG or JPEG files, sorted into a folder for each label: `my_images/3/scan_017.png`. This script makes
# such a folder, so that it can be run as it is: dark digits on white paper, 50 pixels wide, as from a scanner. With
# images of your own, leave the next cell but one out, and set `folder` to theirs.
#
# If nothing is to be changed in your images, the command does the same without a line of Python:
#
#     npstn train --task my_images --size 28 --angle 45

# %%
from pathlib import Path

import numpy as np
from PIL import Image

import npstn
from npstn import data, models, training
from npstn.figures.before_after import before_after
from npstn.tasks import Pictures

# %%
folder = Path("my_images")
for number, (image, digit) in enumerate(zip(*data.draw_digits(1200, seed=0), strict=True)):
    (folder / str(digit)).mkdir(parents=True, exist_ok=True)
    scan = Image.fromarray(255 - image).resize((50, 50))
    scan.save(folder / str(digit) / f"scan_{number:04}.png")

# %% [markdown]
# ## Reading them
#
# `pictures` makes a source of a folder: a training set, and a test set by which alone the network is judged. If the
# folder has the subfolders `train` and `test`, with a subfolder for each label in both, these are the sets. Otherwise
# every sixth picture of a label is put aside for the test. In place of a folder it takes an .npz with the arrays
# `images`, uint8 (N, H, W) or (N, H, W, 3), and `labels`.
#
# - `size=28` brings all pictures to 28 x 28 pixels. Those that are not square are stretched: crop them first. Without
#   it they keep their size, which must be the same for all; the networks take any from 16 x 16 on.
# - Colours are kept. These scans have none, so they have one channel.

# %%
source = data.pictures(folder, size=28)
images, labels = source.train
height, width = source.size
print(f"{len(images)} images of {height} x {width} pixels, classes {', '.join(source.classes)}")
print(f"{len(source.test[0])} others to judge by")

# %% [markdown]
# Turning an image brings in black at its corners, so the background must be black. A source of your own needs no more
# than a function that gives the two sets.

# %%
if np.median(images) > 127:  # dark on white
    scans = source

    def load(train):
        images, labels = scans.train if train else scans.test
        return 255 - images, labels

    source = data.Source("scans", scans.title, load, scans.size, scans.classes, scans.channels)
    print("most pixels are light: turned into light ink on black")

# %% [markdown]
# ## A task
#
# A task says what is asked of the network. `Pictures` takes them as they are. With an angle it turns the test images
# once, and the training images afresh in each epoch.

# %%
task = Pictures(source, angle=45)

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
