# %% [markdown]
# # Weights from PyTorch to npstn and back
#
# A network that was trained in PyTorch runs in npstn, and one that was trained in npstn runs in PyTorch. The weights
# travel as a state dict, which holds them by name, or as a safetensors file. A file of `torch.save` is not read: it is
# a pickle, and a pickle can run any program when it is opened.

# %%
import sys

import numpy as np

import npstn
import npstn.functional as F
from npstn import models, optim
from npstn.data import draw_digits
from npstn.tasks import rotate

try:
    import safetensors.torch
    import torch
    from torch import nn
except ModuleNotFoundError as error:
    print(f"skipped: there is no {error.name} here (pip install torch)")
    sys.exit()

# %% [markdown]
# ## The network in PyTorch
#
# It is the same as `npstn.models.STNClsNet`. Its layers must have the same names, because weights are found by name:
# `cls_net.cnn.conv1.weight`, for example, is one in both libraries.


# %%
class CNN(nn.Module):
    def __init__(self, num_output):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, num_output)

    def forward(self, x):
        x = torch.relu(torch.max_pool2d(self.conv1(x), 2))
        x = torch.relu(torch.max_pool2d(self.conv2(x), 2))
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


class Wrapped(nn.Module):  # the two networks of the model keep their CNN under this name
    def __init__(self, num_output):
        super().__init__()
        self.cnn = CNN(num_output)

    def forward(self, x):
        return self.cnn(x)


class TorchSTN(nn.Module):
    def __init__(self):
        super().__init__()
        self.loc_net = Wrapped(1)
        self.cls_net = Wrapped(10)

    def forward(self, x):
        angle = self.loc_net(x)[:, 0]
        cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
        theta = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).reshape(-1, 2, 3)
        grid = nn.functional.affine_grid(theta, list(x.shape), align_corners=True)
        upright = nn.functional.grid_sample(x, grid, align_corners=True)
        return torch.log_softmax(self.cls_net(upright), dim=1)


# %% [markdown]
# ## PyTorch to npstn
#
# We let PyTorch train it for a few steps, so that it has weights of its own.

# %%
drawn, labels = draw_digits(320, seed=0)
degrees = np.random.default_rng(0).uniform(-45, 45, len(drawn))
images = rotate(drawn, degrees)  # float32 (320, 1, 28, 28)

torch.manual_seed(0)
theirs = TorchSTN()
adam = torch.optim.Adam(theirs.parameters(), lr=1e-3)
for x, y in zip(torch.from_numpy(images).split(32), torch.from_numpy(labels).split(32), strict=True):
    adam.zero_grad()
    nn.functional.nll_loss(theirs(x), y).backward()
    adam.step()

ours = models.STNClsNet().eval()  # eval: its dropout is off
ours.load_state_dict(theirs.state_dict())


# %% [markdown]
# Equal weights must give equal predictions. The last bits differ, because the two add up their sums in another order.


# %%
def compare(what):
    """Predict with both networks; the predictions must be the same."""
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images)).numpy()
    with npstn.no_grad():
        got = ours(npstn.Tensor(images)).numpy()
    apart = np.abs(got - expected).max()
    same = (got.argmax(axis=1) == expected.argmax(axis=1)).sum()
    print(f"{what}: {same} of {len(images)} predictions are the same, log-probabilities at most {apart:.0e} apart")
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    assert same == len(images)


compare("PyTorch -> npstn, state dict")

# %% [markdown]
# ## npstn to PyTorch
#
# Now npstn trains the network further, and hands it back: as a state dict of arrays, which PyTorch wants as tensors.

# %%
before = ours.state_dict()
adam = optim.Adam(ours.parameters(), lr=1e-3)
for start in range(0, len(images), 32):
    part = slice(start, start + 32)
    adam.zero_grad()
    F.nll_loss(ours(npstn.Tensor(images[part])), labels[part]).backward()
    adam.step()
assert all((array != before[name]).any() for name, array in ours.state_dict().items())

theirs.load_state_dict({name: torch.from_numpy(array) for name, array in ours.state_dict().items()})
compare("npstn -> PyTorch, state dict")

# %% [markdown]
# ## Through a file
#
# Both write and read safetensors. So does `npstn train`: `weights.safetensors` in a run's folder can be loaded in the
# same way.

# %%
npstn.save(ours.state_dict(), "from_npstn.safetensors")
theirs = TorchSTN()
theirs.load_state_dict(safetensors.torch.load_file("from_npstn.safetensors"))
compare("npstn -> PyTorch, file")

safetensors.torch.save_file(theirs.state_dict(), "from_torch.safetensors")
ours = models.STNClsNet().eval()
ours.load_state_dict(npstn.load("from_torch.safetensors"))
compare("PyTorch -> npstn, file")

# %% [markdown]
# A network that is not the same is refused, and the message names the first weight that does not fit.

# %%
try:
    models.ClsNet().load_state_dict(theirs.state_dict())
except KeyError as error:
    print(f"another network: {error.args[0]}")
