# %% [markdown]
# # A transformer in the middle of a network
#
# The transformer of `npstn.models.STNClsNet` stands in front, and turns the image. It can as well stand further in,
# and move the feature maps that a convolution made: all the channels of an image by the same grid. Its localiser then
# looks at features and not at pixels. And the map need not be a rotation: here it is any affine map.

# %%
import numpy as np

import npstn
import npstn.functional as F
from npstn import Tensor, models, nn, training
from npstn.data import Source, draw_digits
from npstn.tasks import Rotated
from npstn.transformers import Transformer

# %% [markdown]
# ## A kind of map
#
# A transformer has no weights. It says which parameters change nothing, makes a grid from parameters, and describes
# them in quantities that a person understands.


# %%
class Affine(Transformer):
    """Any affine map: the six parameters are the entries of theta, row by row."""

    name = "affine"
    identity = np.array([1, 0, 0, 0, 1, 0], np.float32)

    def grid(self, parameters, size):
        theta = parameters.reshape(len(parameters), 2, 3)
        return F.affine_grid(theta, (len(parameters), 1, *size), align_corners=True)

    def describe(self, parameters, size):
        """The angle of the rotation that is closest to theta."""
        xx, xy, _, yx, yy, _ = parameters.T
        return {"angle_deg": np.degrees(np.arctan2(yx - xy, xx + yy))}


# %% [markdown]
# ## The network
#
# The localiser gives the parameters. Its last layer starts with weights 0 and the identity for bias, so that at first
# nothing moves. `SpatialTransformer` does the rest: it asks the localiser, makes the grid, and reads the features.


# %%
class Localiser(nn.Module):
    """From feature maps (B, 8, 12, 12) to the parameters of a transformer (B, P)."""

    def __init__(self, identity):
        self.conv = nn.Conv2d(8, 8, kernel_size=5)
        self.fc1 = nn.Linear(8 * 4 * 4, 32)
        self.fc2 = nn.Linear(32, len(identity))
        self.fc2.weight.data[...] = 0
        self.fc2.bias.data[...] = identity

    def forward(self, features):
        x = F.relu(F.max_pool2d(self.conv(features), 2))  # (B, 8, 4, 4)
        return self.fc2(F.relu(self.fc1(x.reshape(len(x), 8 * 4 * 4))))


class Net(nn.Module):
    def __init__(self):
        self.conv1 = nn.Conv2d(1, 8, kernel_size=5)
        self.stn = models.SpatialTransformer(Localiser(Affine.identity), Affine())
        self.conv2 = nn.Conv2d(8, 16, kernel_size=5)
        self.fc = nn.Linear(16 * 4 * 4, 10)

    def features(self, x):
        return F.relu(F.max_pool2d(self.conv1(x), 2))  # (B, 8, 12, 12)

    def classify(self, features):
        x = F.relu(F.max_pool2d(self.conv2(features), 2))  # (B, 16, 4, 4)
        return F.log_softmax(self.fc(x.reshape(len(x), 16 * 4 * 4)), dim=1)

    def forward(self, x):
        return self.classify(self.stn(self.features(x)))


npstn.manual_seed(0)
net = Net()

# %% [markdown]
# ## Training
#
# Digits drawn by the program, turned by up to 45 degrees; 300 others to judge by. The task compares the angles that it
# turned the digits by with those that the transformer describes, since both are called `angle_deg`.

# %%
digits = Source(
    name="few",
    title="drawn digits",
    load=lambda train: draw_digits(2000, seed=0) if train else draw_digits(300, seed=1),
    size=(28, 28),
    classes=tuple("0123456789"),
)
task = Rotated(digits, angle=45)
first = training.evaluate(net, task.test())
print(f"before training: {first.accuracy:.1f} % of the test digits are right")

recipe = training.Recipe("adamw", lr=5e-3, batch_size=32, epochs=4, dropout=0.0)
for event in training.train(net, task, recipe, training.State(net, recipe, len(task))):
    if isinstance(event, training.Epoch):
        row = event.row
        text = f"epoch {row['epoch']}: {row['test_accuracy']:.1f} % of the test digits are right"
        print(f"{text}; angles of theta with those of the digits: correlation {row['angle_correlation']:.2f}")
assert event.score.accuracy > 70 > 30 > first.accuracy

# %% [markdown]
# ## Two ways back
#
# In front of the network nobody asks for the gradient of the image. Here the features come from a layer that learns,
# and they reach the loss in two ways: the grid reads them, and the localiser looks at them. The tape adds the two up.
# To see them apart, we cut one way after the other.

# %%
x, y = Tensor(task.test().images), task.test().labels


def gradient_of_conv1(read, looked_at):
    """The gradient of conv1.weight through the features that are read, those that are looked at, or both."""
    net.zero_grad()
    features = net.features(x)
    parameters = net.stn.loc_net(features if looked_at else features.detach())
    grid = net.stn.transformer.grid(parameters, features.shape[2:])
    moved = F.grid_sample(features if read else features.detach(), grid, align_corners=True)
    F.nll_loss(net.classify(moved), y).backward()
    return net.conv1.weight.grad


both = gradient_of_conv1(True, True)
read, looked_at = gradient_of_conv1(True, False), gradient_of_conv1(False, True)
for way, gradient in (("what is read", read), ("what the localiser looks at", looked_at), ("both", both)):
    print(f"the gradient of conv1 through {way}: length {np.linalg.norm(gradient):.4f}")
np.testing.assert_allclose(read + looked_at, both, rtol=1e-3, atol=1e-5)
print("the first two add up to the third")
