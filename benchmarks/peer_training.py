"""The peer's training: npstn's recipe "fast" in PyTorch, on MNIST, written to be fast on a CPU.

    python -m benchmarks.peer_training DIR METRICS [THREADS]

All images lie in one tensor in memory. The sampler turns a batch at once, and AdamW is the fused one. PyTorch's Muon
takes matrices alone: it is given each convolution's filters as a matrix in the same memory. DIR holds MNIST's files,
plain or compressed. METRICS gets a line of CSV after each epoch.
"""

from __future__ import annotations

import csv
import gzip
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel

from benchmarks.peer import STNClsNet, rotation_theta

EPOCHS, BATCH, LR, LOCALISER_FACTOR, WEIGHT_DECAY, DROPOUT = 9, 64, 6e-3, 0.5, 0.2, 0.0
WARMUP, AVERAGE, LABEL_SMOOTHING = 420, 0.1, 0.05
ANGLE = math.radians(45)


def read(folder: Path, name: str, header: int) -> torch.Tensor:
    """One of MNIST's files without its header, uint8."""
    path = folder / name
    payload = path.read_bytes() if path.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    return torch.from_numpy(np.frombuffer(payload, np.uint8, offset=header).copy())


def digits(folder: Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the part "train" or "t10k": images float32 (N, 1, 28, 28), 0 .. 1, and labels int64 (N,)."""
    images = read(folder, f"{part}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
    return images.float().div_(255), read(folder, f"{part}-labels-idx1-ubyte", 8).long()


@torch.no_grad()
def rotate(images: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Turn each image by its angle in radians, (N,)."""
    grid = F.affine_grid(rotation_theta(angle), list(images.shape), align_corners=True)
    return F.grid_sample(images, grid, align_corners=True)


def angles(images: int) -> torch.Tensor:
    return torch.empty(images).uniform_(-ANGLE, ANGLE)


class Trainer:
    """Muon for the filters of convolutions and AdamW for everything else, with their schedules.

    Args:
        images: how many there are to train on.
    """

    def __init__(self, net: STNClsNet, images: int) -> None:
        self.net = net
        self.filters = [p for p in net.parameters() if p.ndim == 4]
        self.matrices = {p: torch.nn.Parameter(p.detach().view(len(p), -1)) for p in self.filters}
        parts = [(list(net.cls_net.parameters()), LR), (list(net.loc_net.parameters()), LR * LOCALISER_FACTOR)]
        filters = [{"params": [self.matrices[p] for p in part if p.ndim == 4], "lr": lr} for part, lr in parts]
        rest = [{"params": [p for p in part if p.ndim != 4], "lr": lr} for part, lr in parts]
        muon = torch.optim.Muon(filters, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")
        self.optimizers = [muon, torch.optim.AdamW(rest, weight_decay=WEIGHT_DECAY, fused=True)]
        steps = EPOCHS * math.ceil(images / BATCH)
        self.schedules = [
            torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                [lr for _, lr in parts],
                total_steps=steps,
                pct_start=min(0.2, WARMUP / steps),
                cycle_momentum=False,
            )
            for optimizer in self.optimizers
        ]

    def step(self, loss: torch.Tensor) -> None:
        self.net.zero_grad()
        loss.backward()
        for p in self.filters:
            assert p.grad is not None
            self.matrices[p].grad = p.grad.view(len(p), -1)
        for optimizer in self.optimizers:
            optimizer.step()

    def step_schedules(self) -> None:
        for schedule in self.schedules:
            schedule.step()


def averaged(net: STNClsNet) -> AveragedModel:
    """The average of the weights over the last tenth of the steps so far; all of them are averaged in one call."""

    def update(averages: Any, weights: Any, updates: Any) -> None:
        torch._foreach_lerp_(averages, weights, 1 / (1 + AVERAGE * int(updates)))

    return AveragedModel(net, multi_avg_fn=update)


@torch.no_grad()
def accuracy(net: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The test accuracy in percent."""
    net.eval()
    right = sum(int((net(x).argmax(1) == t).sum()) for x, t in zip(images.split(1000), labels.split(1000), strict=True))
    return 100 * right / len(labels)


def main(folder: Path, metrics: Path) -> None:
    torch.manual_seed(0)
    images, labels = digits(folder, "train")
    test_images, test_labels = digits(folder, "t10k")
    test_images = rotate(test_images, angles(len(test_images)))
    net = STNClsNet(DROPOUT)
    trainer = Trainer(net, len(images))
    average = averaged(net)
    start = time.perf_counter()
    with metrics.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "seconds", "test_accuracy"])
        for epoch in range(1, EPOCHS + 1):
            net.train()
            for chosen in torch.randperm(len(images)).split(BATCH):
                x = rotate(images[chosen], angles(len(chosen)))
                trainer.step(F.cross_entropy(net(x), labels[chosen], label_smoothing=LABEL_SMOOTHING))
                average.update_parameters(net)
                trainer.step_schedules()
            writer.writerow([epoch, time.perf_counter() - start, accuracy(average.module, test_images, test_labels)])
            file.flush()


if __name__ == "__main__":
    if len(sys.argv) > 3:
        torch.set_num_threads(int(sys.argv[3]))
    main(Path(sys.argv[1]), Path(sys.argv[2]))
