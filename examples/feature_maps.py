# %% [markdown]
# # Two transformers side by side, on feature maps
#
# The transformer of `npstn.models.STNClsNet` stands in front, and turns the image. It can as well stand further in,
# and move the feature maps that a convolution made: all the channels of an image by the same grid. Its localiser then
# looks at features and not at pixels. Several transformers can read the same features, each in its own way: here one
# is free to apply any affine map, and one chooses a part of the image.

# %%
import numpy as np

import npstn
import npstn.functional as F
from npstn import Tensor, models, nn, training
from npstn.data import Source, draw_digits
from npstn.tasks import RTS
from npstn.transformers import Affine, Attention

# %% [markdown]
# ## The network
#
# The localiser of a transformer gives its parameters. Its last layer starts with weights 0 and the identity for bias,
# so that at first nothing moves. `SpatialTransformer` does the rest: it asks the localiser, makes the grid, and reads
# the features, here in half their size. What the two have read is laid channel on channel.


# %%
def localiser(identity):
    """From feature maps (B, 8, 19, 19) to the parameters of a transformer (B, P)."""
    last = nn.Linear(32, len(identity))
    last.weight.data[...], last.bias.data[...] = 0, identity
    features = nn.Conv2d(8, 8, kernel_size=5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()  # (B, 8 * 7 * 7)
    return nn.Sequential(*features, nn.Linear(8 * 7 * 7, 32), nn.ReLU(), last)


class Net(nn.Module):
    def __init__(self):
        self.conv1 = nn.Conv2d(1, 8, kernel_size=5)
        kinds = Affine(), Attention()
        self.stns = nn.ModuleList(
            [models.SpatialTransformer(localiser(kind.identity), kind, size=(12, 12)) for kind in kinds]
        )
        self.conv2 = nn.Conv2d(2 * 8, 16, kernel_size=5)
        self.fc = nn.Linear(16 * 4 * 4, 10)

    def features(self, x):
        return F.relu(F.max_pool2d(self.conv1(x), 2))  # (B, 8, 19, 19)

    def classify(self, features):
        x = F.relu(F.max_pool2d(self.conv2(features), 2))  # (B, 16, 4, 4)
        return F.log_softmax(self.fc(x.reshape(len(x), 16 * 4 * 4)), dim=1)

    def forward(self, x):
        features = self.features(x)
        return self.classify(F.cat([stn(features) for stn in self.stns], dim=1))


npstn.manual_seed(0)
net = Net()

# %% [markdown]
# ## Training
#
# Digits drawn by the program: turned, scaled, and placed at random in 42 x 42 pixels; 300 others to judge by.

# %%
digits = Source(
    name="few",
    title="drawn digits",
    load=lambda train: draw_digits(2000, seed=0) if train else draw_digits(300, seed=1),
    size=(28, 28),
    classes=tuple("0123456789"),
)
task = RTS(digits)
first = training.evaluate(net, task.test())
print(f"before training: {first.accuracy:.1f} % of the test digits are right")

recipe = training.Recipe("adamw", lr=5e-3, batch_size=32, epochs=8, dropout=0.0)
for event in training.train(net, task, recipe, training.State(net, recipe, len(task))):
    if isinstance(event, training.Epoch):
        print(f"epoch {event.row['epoch']}: {event.row['test_accuracy']:.1f} % of the test digits are right")
assert event.score.accuracy > 70 > 30 > first.accuracy

# %% [markdown]
# ## What they do
#
# Each transformer describes what it did to each test digit. Where there are several, the names say which one it was.
# The task measures the transformers only if there is one, so we compare with its truth by hand. -1 would undo every
# shift exactly.

# %%
truth = task.test().truth
for number, stn in enumerate(net.stns, start=1):
    for name in ("shift_x_px", "shift_y_px"):
        found = event.score.found[f"{number}.{name}"]
        print(f"{stn.transformer.name}, {name}: correlation {np.corrcoef(found, truth[name])[0, 1]:.2f}")

# %% [markdown]
# ## Two ways back
#
# In front of the network nobody asks for the gradient of the image. Here the features come from a layer that learns,
# and they reach the loss in two ways: the grids read them, and the localisers look at them. The tape adds up what comes
# back. To see the two apart, we cut one way after the other.

# %%
x, y = Tensor(task.test().images), task.test().labels


def gradient_of_conv1(read, looked_at):
    """The gradient of conv1.weight through the features that are read, those that are looked at, or both."""
    net.zero_grad()
    features = net.features(x)
    moved = []
    for stn in net.stns:
        parameters = stn.loc_net(features if looked_at else features.detach())
        grid = stn.transformer.grid(parameters, stn.size)
        moved.append(F.grid_sample(features if read else features.detach(), grid, align_corners=True))
    F.nll_loss(net.classify(F.cat(moved, dim=1)), y).backward()
    return net.conv1.weight.grad


both = gradient_of_conv1(True, True)
read, looked_at = gradient_of_conv1(True, False), gradient_of_conv1(False, True)
for way, gradient in (("what is read", read), ("what the localisers look at", looked_at), ("both", both)):
    print(f"the gradient of conv1 through {way}: length {np.linalg.norm(gradient):.4f}")
np.testing.assert_allclose(read + looked_at, both, rtol=1e-3, atol=1e-5)
print("the first two add up to the third")
