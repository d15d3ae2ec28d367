"""The peer's training: npstn's recipe "fast" in PyTorch, on MNIST, written to be fast on a CPU.

    python -m benchmarks.peer_training DIR METRICS [THREADS]

All images lie in one tensor in memory. The sampler turns a batch at once, and the optimiser is the fused one. DIR holds
MNIST's files, plain or compressed. METRICS gets a line of CSV after each epoch.
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

EPOCHS, BATCH, LR, LOCALISER_FACTOR, WEIGHT_DECAY, DROPOUT = 9, 64, 6e-3, 0.5, 0.05, 0.0
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


def begin(net: STNClsNet, images: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """The optimiser and its schedule, for so many training images."""
    groups = [{"params": list(part.parameters())} for part in (net.cls_net, net.loc_net)]
    optimizer = torch.optim.AdamW(groups, lr=LR, weight_decay=WEIGHT_DECAY, fused=True)
    steps = EPOCHS * math.ceil(images / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [LR, LR * LOCALISER_FACTOR],
        total_steps=steps,
        pct_start=min(0.2, WARMUP / steps),
        cycle_momentum=False,
    )
    return optimizer, schedule


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
    optimizer, schedule = begin(net, len(images))
    average = averaged(net)
    start = time.perf_counter()
    with metrics.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "seconds", "test_accuracy"])
        for epoch in range(1, EPOCHS + 1):
            net.train()
            for chosen in torch.randperm(len(images)).split(BATCH):
                x = rotate(images[chosen], angles(len(chosen)))
                optimizer.zero_grad()
                F.cross_entropy(net(x), labels[chosen], label_smoothing=LABEL_SMOOTHING).backward()
                optimizer.step()
                average.update_parameters(net)
                schedule.step()
            writer.writerow([epoch, time.perf_counter() - start, accuracy(average.module, test_images, test_labels)])
            file.flush()


if __name__ == "__main__":
    if len(sys.argv) > 3:
        torch.set_num_threads(int(sys.argv[3]))
    main(Path(sys.argv[1]), Path(sys.argv[2]))
