# %% [markdown]
# # A transformer in the middle of a network
#
# The transformer of `npstn.models.STNClsNet` stands in front, and turns the image. It can as well stand further in,
# and move the feature maps that a convolution made: all the channels of an image by the same grid. Its localiser then
# looks at features and not at pixels, and it need not be held to rotations: here it has the whole affine matrix.

# %%
import numpy as np

import npstn
import npstn.functional as F
from npstn import Tensor, nn, optim
from npstn.data import batches, draw_digits, rotate

# %% [markdown]
# ## The network
#
# The localiser ends with the six numbers of theta. Its last layer starts with weights 0 and the bias of the identity,
# so that at first nothing moves. Beyond that there is nothing to it: `affine_grid` makes a grid from theta,
# `grid_sample` reads the features at its points.


# %%
class Transformer(nn.Module):
    """Moves feature maps (B, 8, 12, 12) by an affine matrix that it chooses for each image."""

    def __init__(self):
        self.conv = nn.Conv2d(8, 8, kernel_size=5)
        self.fc1 = nn.Linear(8 * 4 * 4, 32)
        self.fc2 = nn.Linear(32, 6)
        self.fc2.weight.data[...] = 0
        self.fc2.bias.data[...] = [1, 0, 0, 0, 1, 0]

    def theta(self, features):
        x = F.relu(F.max_pool2d(self.conv(features), 2))  # (B, 8, 4, 4)
        x = F.relu(self.fc1(x.reshape(len(x), 8 * 4 * 4)))
        return self.fc2(x).reshape(len(x), 2, 3)

    def forward(self, features):
        grid = F.affine_grid(self.theta(features), features.shape)
        return F.grid_sample(features, grid)


class Net(nn.Module):
    def __init__(self):
        self.conv1 = nn.Conv2d(1, 8, kernel_size=5)
        self.transformer = Transformer()
        self.conv2 = nn.Conv2d(8, 16, kernel_size=5)
        self.fc = nn.Linear(16 * 4 * 4, 10)

    def features(self, x):
        return F.relu(F.max_pool2d(self.conv1(x), 2))  # (B, 8, 12, 12)

    def forward(self, x):
        x = self.transformer(self.features(x))  # (B, 8, 12, 12) again
        x = F.relu(F.max_pool2d(self.conv2(x), 2))  # (B, 16, 4, 4)
        return F.log_softmax(self.fc(x.reshape(len(x), 16 * 4 * 4)), dim=1)


npstn.manual_seed(0)
net = Net()

# %% [markdown]
# ## Training
#
# Digits drawn by the program, turned by up to 45 degrees; 300 others to judge by.

# %%
angle = 45
images, labels = draw_digits(2000, seed=0)
test_drawn, test_labels = draw_digits(300, seed=1)
test_degrees = np.random.default_rng(0).uniform(-angle, angle, 300)
test_images = Tensor(rotate(test_drawn, test_degrees))


def report(when):
    """How many test digits are right; and by how much theta turns each, against by how much it had been turned."""
    with npstn.no_grad():
        right = (net(test_images).numpy().argmax(axis=1) == test_labels).mean()
        theta = net.transformer.theta(net.features(test_images)).numpy()
    turns = np.degrees(np.arctan2(theta[:, 1, 0] - theta[:, 0, 1], theta[:, 0, 0] + theta[:, 1, 1]))
    text = f"{when}: {100 * right:.1f} % of the test digits are right"
    if turns.std() > 0:
        text += f"; angles of theta with those of the digits: correlation {np.corrcoef(turns, test_degrees)[0, 1]:.2f}"
    print(text)
    return right


first = report("before training")
optimizer = optim.Adam(net.parameters(), lr=2e-3)
for epoch in range(1, 5):
    for batch in batches(images, labels, angle, 32, npstn.backend.random.generator()):
        optimizer.zero_grad()
        F.nll_loss(net(Tensor(batch.images)), batch.labels).backward()
        optimizer.step()
    last = report(f"epoch {epoch}")
assert last > 0.7 > 0.3 > first

# %% [markdown]
# ## Two ways back
#
# In front of the network nobody asks for the gradient of the image. Here the features come from a layer that learns,
# and they reach the loss in two ways: they are what the grid reads, and they are what the localiser looks at. The
# tape adds the two up. To see them apart, we cut one way after the other.

# %%
x, y = test_images, test_labels


def gradient_of_conv1(read, looked_at):
    """d loss / d conv1.weight, through what is read, through what the localiser looks at, or both."""
    net.zero_grad()
    features = net.features(x)
    moved = F.grid_sample(
        features if read else features.detach(),
        F.affine_grid(net.transformer.theta(features if looked_at else features.detach()), features.shape),
    )
    out = F.relu(F.max_pool2d(net.conv2(moved), 2))
    F.cross_entropy(net.fc(out.reshape(len(x), 16 * 4 * 4)), y).backward()
    return net.conv1.weight.grad


both = gradient_of_conv1(True, True)
read, looked_at = gradient_of_conv1(True, False), gradient_of_conv1(False, True)
for way, gradient in (("what is read", read), ("what the localiser looks at", looked_at), ("both", both)):
    print(f"the gradient of conv1 through {way}: length {np.linalg.norm(gradient):.4f}")
np.testing.assert_allclose(read + looked_at, both, rtol=1e-3, atol=1e-5)
print("the first two add up to the third")
