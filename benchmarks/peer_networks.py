"""The peers of the other networks of `npstn.models.build`, in PyTorch. The weights have the same names."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.inputs import IDENTITY, places, spline_matrix
from benchmarks.peer import ClsNet, LocNet, STNClsNet


class Classifier(nn.Module):
    def __init__(self, scores: nn.Module) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.log_softmax(self.scores(x), dim=1)


def paper_cnn(side: int) -> nn.Module:
    first = nn.Conv2d(1, 32, 9), nn.MaxPool2d(2), nn.ReLU()
    second = nn.Conv2d(32, 32, 7), nn.MaxPool2d(2), nn.ReLU()
    left = ((side - 8) // 2 - 6) // 2
    return Classifier(nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(32 * left**2, 10)))


def paper_cnn_localiser(side: int, parameters: int) -> nn.Module:
    first = nn.MaxPool2d(2), nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU()
    second = nn.Conv2d(20, 20, 5), nn.ReLU(), nn.Flatten()
    left = (side // 2 - 4) // 2 - 4
    return nn.Sequential(*first, *second, nn.Linear(20 * left**2, 20), nn.ReLU(), nn.Linear(20, parameters))


def of_linear_layers(*sizes: int) -> nn.Sequential:
    """Linear layers with relu between them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class AffineGrid(nn.Module):
    """From parameters (B, 6) to the grid (B, side, side, 2)."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, parameters: torch.Tensor) -> torch.Tensor:
        size = [len(parameters), 1, self.side, self.side]
        return F.affine_grid(parameters.view(-1, 2, 3), size, align_corners=True)


class ProjectiveGrid(nn.Module):
    """From parameters (B, 8), the matrix without its last entry, to the grid (B, side, side, 2)."""

    homogeneous: torch.Tensor  # (3, side^2)

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        z = torch.tensor(places(side), dtype=torch.float32)
        self.register_buffer("homogeneous", F.pad(z, (0, 1), value=1.0).T.contiguous(), persistent=False)

    def forward(self, parameters: torch.Tensor) -> torch.Tensor:
        theta = F.pad(parameters, (0, 1), value=1.0).view(-1, 3)
        q = (theta @ self.homogeneous).view(len(parameters), 3, -1)  # one product takes less time than one a sample
        return (q[:, :2] / q[:, 2:]).transpose(1, 2).reshape(-1, self.side, self.side, 2)


class SplineGrid(nn.Module):
    """From where each control point looks (B, 32) to the grid (B, side, side, 2): a product with a constant."""

    M: torch.Tensor  # (side^2, 16)

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.register_buffer("M", torch.tensor(spline_matrix(side), dtype=torch.float32), persistent=False)

    def forward(self, parameters: torch.Tensor) -> torch.Tensor:
        # One product for all samples takes an eighth of the time of `M @ points`, a batch of products.
        grid = torch.einsum("pk,bkd->bpd", self.M, parameters.view(-1, 16, 2))
        return grid.reshape(-1, self.side, self.side, 2)


class Transformed(nn.Module):
    """A spatial transformer in front of a classifier."""

    def __init__(self, loc_net: nn.Module, grid: nn.Module, cls_net: nn.Module) -> None:
        super().__init__()
        self.loc_net, self.grid, self.cls_net = loc_net, grid, cls_net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cls_net(F.grid_sample(x, self.grid(self.loc_net(x)), align_corners=True))


GRIDS = {"affine": AffineGrid, "projective": ProjectiveGrid, "tps": SplineGrid}


def build(transformer: str, network: str, side: int) -> nn.Module:
    """The network for images (B, 1, side, side), without dropout; "blog" is made for 28 pixels."""
    if transformer == "rotation" and network == "blog":
        return STNClsNet(dropout=0.0)
    parameters, grid = len(IDENTITY[transformer]), GRIDS[transformer](side)
    if network == "blog":
        return Transformed(LocNet(0.0, parameters), grid, ClsNet(0.0))
    if network == "fcn":
        pixels = side**2
        width = round((math.sqrt(pixels**2 + 4 * 400_000) - pixels) / 2)
        classifier = Classifier(of_linear_layers(pixels, width, width, 10))
        return Transformed(of_linear_layers(pixels, 32, 32, parameters), grid, classifier)
    return Transformed(paper_cnn_localiser(side, parameters), grid, paper_cnn(side))
