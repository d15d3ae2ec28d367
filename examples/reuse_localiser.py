# %% [markdown]
# # A trained localiser for another classifier
#
# The localiser of a spatial transformer learned to turn digits upright because that helped one classifier. It will
# help others too. Here it is frozen, and its images go to a classifier that could never deal with turned digits
# itself: a single linear layer.

# %%
import numpy as np

import npstn
import npstn.functional as F
from npstn import Tensor, models, nn, optim, training
from npstn.data import Source, draw_digits
from npstn.figures import loss_over
from npstn.tasks import Rotated

digits = Source(
    name="few",
    title="drawn digits",
    load=lambda train: draw_digits(2000, seed=0) if train else draw_digits(500, seed=1),
    size=(28, 28),
    classes=tuple("0123456789"),
)
task = Rotated(digits, angle=45)
test = task.test()

# %% [markdown]
# ## The localiser
#
# We train a small one on the spot. If you have a run of `npstn train`, its localiser is better, and this cell is
#
#     net = models.STNClsNet()
#     net.load_state_dict(npstn.load("runs/.../weights.safetensors"))

# %%
npstn.manual_seed(0)
recipe = training.Recipe("adamw", lr=4e-3, batch_size=32, epochs=5, dropout=0.0)
net = models.STNClsNet(recipe.dropout)
*_, last = training.train(net, task, recipe, training.State(net, recipe, len(task)))
accuracy, correlation = last.row["test_accuracy"], last.row["angle_correlation"]
print(f"the network that it was trained in: {accuracy:.1f} %, angle correlation {correlation:.2f}")

# %% [markdown]
# ## What it has learned
#
# A test digit, and its loss over the angle at which it could be read. The dot is the angle that the localiser chooses,
# from the image alone: it never sees this curve. The line is the slope there, down which a training step moves it. In
# a notebook the last line shows the picture.

# %%
figure = loss_over(net, test.images[0], test.labels[0])
figure.savefig("loss_over_angle.png", dpi=150)
print("wrote loss_over_angle.png")
figure

# %% [markdown]
# ## Frozen
#
# A weight that does not require grad gets no gradient, so no optimiser moves it, and the tape does not even start
# there. Since the localiser stays as it is, its images are made without a tape at all. `look` gives the parameters, the
# grid and the image V that is read there.

# %%
net.eval()
for parameter in net.loc_net.parameters():
    parameter.requires_grad = False
before = net.loc_net.state_dict()


def upright(images):
    """The images as the frozen transformer turns them."""
    with npstn.no_grad():
        return net.look(Tensor(images)).V.data


class Linear(nn.Module):
    """The other classifier: each class is one weighted sum of the pixels."""

    def __init__(self):
        self.fc = nn.Linear(28 * 28, 10)

    def forward(self, x):
        return self.fc(x.reshape(len(x), 28 * 28))


def train(prepare):
    """Train a linear classifier on the images that `prepare` makes; return its test accuracy in percent."""
    npstn.manual_seed(0)  # the same first weights, and below the same angles and order: for a fair comparison
    classifier, rng = Linear(), np.random.default_rng(0)
    optimizer = optim.Adam(classifier.parameters(), lr=2e-3)
    for _ in range(6):
        for batch in task.batches(recipe.batch_size, rng):
            optimizer.zero_grad()
            F.cross_entropy(classifier(Tensor(prepare(batch.images))), batch.labels).backward()
            optimizer.step()
    with npstn.no_grad():
        scores = classifier(Tensor(prepare(test.images)))
    return 100 * (scores.data.argmax(axis=1) == test.labels).mean()


alone = train(lambda images: images)
behind = train(upright)
print(f"a linear classifier on digits turned within {task.angle:g} degrees: {alone:.1f} %")
print(f"the same behind the frozen localiser: {behind:.1f} %")
assert behind > alone + 3

# %% [markdown]
# ## Or as one network
#
# If the new classifier is to be trained as a part of the network, put it in the place of the old one. The frozen
# weights have no gradient, and the optimiser leaves them alone.

# %%
net.cls_net = Linear()
optimizer = optim.Adam(net.parameters(), lr=2e-3)
for batch in task.batches(recipe.batch_size, np.random.default_rng(0)):
    optimizer.zero_grad()
    loss = F.cross_entropy(net(Tensor(batch.images)), batch.labels)
    loss.backward()
    optimizer.step()
assert net.cls_net.fc.weight.grad is not None
assert all(parameter.grad is None for parameter in net.loc_net.parameters())
assert all(np.array_equal(array, before[name]) for name, array in net.loc_net.state_dict().items())
print("after an epoch as one network the localiser's weights are what they were, to the last bit")
