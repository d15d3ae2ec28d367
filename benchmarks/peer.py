"""The peer: npstn's model in PyTorch. The weights have the same names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class CNN(nn.Module):
    def __init__(self, num_output: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.conv2_drop = nn.Dropout2d(dropout)
        self.fc1 = nn.Linear(320, 50)
        self.fc1_drop = nn.Dropout(dropout)
        self.fc2 = nn.Linear(50, num_output)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        return self.fc2(self.fc1_drop(F.relu(self.fc1(x.reshape(len(x), 320)))))


class ClsNet(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.cnn = CNN(10, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.log_softmax(self.cnn(x), dim=1)


class LocNet(nn.Module):
    def __init__(self, dropout: float, parameters: int = 1) -> None:
        super().__init__()
        self.cnn = CNN(parameters, dropout)
        nn.init.zeros_(self.cnn.fc2.weight)
        nn.init.zeros_(self.cnn.fc2.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cnn(x)


def rotation_theta(angle: torch.Tensor) -> torch.Tensor:
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    return torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).reshape(-1, 2, 3)


class STNClsNet(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.loc_net = LocNet(dropout)
        self.cls_net = ClsNet(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grid = F.affine_grid(rotation_theta(self.loc_net(x).reshape(len(x))), list(x.shape), align_corners=True)
        return self.cls_net(F.grid_sample(x, grid, align_corners=True))
