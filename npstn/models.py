"""The networks: a small CNN, the classifier, and the classifier with a rotation transformer before it.

The attributes have the names of the PyTorch model of the blog post that this project starts from, so that weights move
both ways under the names in `state_dict`.
"""

from __future__ import annotations

import npstn.functional as F
from npstn import nn
from npstn.autograd import Tensor


class CNN(nn.Module):
    """Two convolutions and two linear layers: (B, 1, 28, 28) -> (B, num_output)."""

    def __init__(self, num_output: int, dropout: float = 0.5) -> None:
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d(dropout)
        self.fc1 = nn.Linear(320, 50)
        self.fc1_drop = nn.Dropout(dropout)
        self.fc2 = nn.Linear(50, num_output)

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f"CNN: expected images in a Tensor, got {type(x).__name__}")
        if x.shape[1:] != (1, 28, 28):
            raise ValueError(f"CNN: expected images of shape (B, 1, 28, 28), got {x.shape}")
        x = F.relu(F.max_pool2d(self.conv1(x), 2))  # (B, 10, 12, 12)
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))  # (B, 20, 4, 4)
        x = x.reshape(len(x), 320)
        x = self.fc1_drop(F.relu(self.fc1(x)))
        return self.fc2(x)


class ClsNet(nn.Module):
    """Images (B, 1, 28, 28) -> log-probabilities of the ten digits (B, 10)."""

    def __init__(self, dropout: float = 0.5) -> None:
        self.cnn = CNN(10, dropout)

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.cnn(x), dim=1)


class LocNet(nn.Module):
    """The localisation network: images (B, 1, 28, 28) -> an angle for each (B,), in radians.

    Its last layer starts at zero: at first nothing is turned, and the classifier learns from upright gradients.
    """

    def __init__(self, dropout: float = 0.5) -> None:
        self.cnn = CNN(1, dropout)
        for parameter in self.cnn.fc2.parameters():
            parameter.data[...] = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.cnn(x).reshape(len(x))


class RotateGridGen(nn.Module):
    """Angles (B,), in radians -> sampling grids (B, height, width, 2), normalised, align_corners."""

    def __init__(self, height: int = 28, width: int = 28) -> None:
        self.height, self.width = height, width

    def forward(self, angle: Tensor) -> Tensor:
        theta = F.rotation_theta(angle)
        return F.affine_grid(theta, (len(theta), 1, self.height, self.width), align_corners=True)


class STNClsNet(nn.Module):
    """The classifier behind a spatial transformer that may only rotate: (B, 1, 28, 28) -> log-probabilities (B, 10)."""

    def __init__(self, dropout: float = 0.5) -> None:
        self.loc_net = LocNet(dropout)
        self.rotate = RotateGridGen()
        self.cls_net = ClsNet(dropout)

    def transform(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The images as the transformer turns them (B, 1, 28, 28), and the angles that it chose (B,), in radians."""
        angle = self.loc_net(x)
        return F.grid_sample(x, self.rotate(angle), align_corners=True), angle

    def forward(self, x: Tensor) -> Tensor:
        upright, _ = self.transform(x)
        return self.cls_net(upright)
