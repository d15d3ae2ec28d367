"""Draw derivation_walk.gif: one test digit walks down the slope of its angle.

`python docs/make_walk.py RUN` writes it to docs/pictures, from a run of `npstn train` with a rotation transformer.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from npstn import nn, runs
from npstn.figures import steering
from npstn.figures.film import write_gif
from npstn.figures.images import shown
from npstn.figures.loss_curve import draw_curve, draw_slope

DIGIT = 2882  # of MNIST's test set: it stands in the README, too
STEPS, RATE = 24, 0.02  # of the descent, which is plain: angle -= RATE * slope, in radians
FILE = Path(__file__).parent / "pictures" / "derivation_walk.gif"


def walk(net: nn.Module, image: np.ndarray, label: int) -> Iterator[Figure]:
    """A picture before each step from the angle that the localisation network finds, and one after the last."""
    degrees = np.linspace(-90, 30, 481)
    losses = steering.read_at(net, image, label, steering.setting(net, image, 0, degrees)).losses
    angle = steering.found(net, image)
    for step in range(STEPS + 1):
        reading = steering.read_at(net, image, label, angle[None])
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        read, curve = figure.subplots(1, 2, width_ratios=(1, 1.7))
        read.imshow(shown(reading.outputs[0]), cmap="gray", vmin=0, vmax=1)
        read.set(xticks=[], yticks=[], title="what the transformer reads")
        draw_curve(curve, "angle_deg", degrees, losses)
        draw_slope(curve, np.degrees(angle[0]), reading.losses[0], np.radians(reading.slopes[0, 0]))
        at = f"{np.degrees(angle[0]):+.0f}°".replace("-", "\N{MINUS SIGN}")
        chance = 100 * np.exp(-reading.losses[0])
        curve.set_title(f"step {step}: angle {at}, loss {reading.losses[0]:.2f}, class {label} at {chance:.0f} %")
        yield figure
        angle = angle - RATE * reading.slopes[0]


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw derivation_walk.gif.")
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run with a rotation transformer, on MNIST")
    folder = parser.parse_args().folder
    config = runs.read_config(folder)
    test = config.open_task(folder, None).test()
    figures = walk(runs.load_net(folder, config), test.images[DIGIT], int(test.labels[DIGIT]))
    write_gif(FILE, figures, "RGB", 300)


if __name__ == "__main__":
    main()
