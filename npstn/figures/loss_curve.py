"""The loss of one image over one parameter of a transformer, and the slope by which the transformer learns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from npstn import nn
from npstn.figures import steering
from npstn.figures.picture import Picture
from npstn.messages import one_line
from npstn.models import spatial_transformer
from npstn.transformers.words import parameter_in_words, parameter_label, read_as

POINTS = 361  # of the curve: two for each degree of half a turn


def loss_over(
    net: nn.Module,
    image: np.ndarray,
    label: int,
    parameter: int | str = 0,
    values: Sequence[float] | np.ndarray | None = None,
    number: int = 0,
) -> Picture:
    """Draw the loss of one image over one parameter of a transformer, in eval mode; the others stay as they are found.

    A dot marks the value that the localisation network finds, and a line the slope there, by the backward pass.

    Args:
        net: images (B, C, H, W) -> log-probabilities (B, classes).
        image: (C, H, W), finite, of the network's dtype.
        label: its class.
        parameter: its name, "angle" or "t_x" say, or its number in `parameter_names` of the transformer, from 0.
        values: (N,), where the loss is computed, angles in degrees. Where None, up to 90 degrees, or up to 1, to
            either side of the value that is found.
        number: which transformer: see `models.spatial_transformer`.

    Raises ValueError for another image, where there is no such transformer, parameter or label, and for fewer than two
    values, or such that are not finite.

    >>> from npstn.data import draw_digits
    >>> from npstn.models import STNClsNet
    >>> images, labels = draw_digits(1)
    >>> figure = loss_over(STNClsNet(), images[:1] / np.float32(255), labels[0], values=range(-30, 31, 10))
    >>> figure.axes[0].get_xlabel()
    'angle of the transformer (°)'
    """
    names = spatial_transformer(net, number).transformer.parameter_names
    which = steering.which_parameter(names, parameter)
    if which is None:
        known = f"one of {', '.join(names)}, or a number from 0 to {len(names) - 1}"
        raise ValueError(f"loss_over: expected parameter to be {known}, got {one_line(parameter)}")
    if np.ndim(image) != 3 or not np.isfinite(image).all():
        got = f"shape {np.shape(image)}" if np.ndim(image) != 3 else "one that is not"
        raise ValueError(f"loss_over: expected a finite image (C, H, W), got {got}")
    image = np.asarray(image)
    name, found = names[which], steering.found(net, image, number)
    at = found[which] * read_as(name)
    if values is None:
        reach = 90 if name.endswith("_deg") else 1
        values = np.linspace(at - reach, at + reach, POINTS)
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"loss_over: expected at least two finite values, (N,), got {one_line(values)}")
    places = steering.setting(net, image, which, values, number)
    losses = steering.read_at(net, image, label, places, number).losses
    here = steering.read_at(net, image, label, found[None], number)
    figure = Picture(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    draw_curve(axes, name, values, losses)
    slope = here.slopes[0, which] / read_as(name)
    draw_slope(axes, at, here.losses[0], slope)
    unit = "degree" if name.endswith("_deg") else f"unit of {name}"
    found_there = f"the localisation network finds {parameter_in_words(name, float(f'{at:.2g}'))}"
    slope_there = f"its slope by the backward pass {slope:+.2g} per {unit}"
    axes.set_title(f"{found_there}: the loss is {here.losses[0]:.2g},\n{slope_there}", fontsize=10.5)
    return figure


def draw_curve(axes: Axes, name: str, values: np.ndarray, losses: np.ndarray) -> None:
    """Draw losses over the values of a parameter, both (N,)."""
    axes.plot(values, losses, color="black", linewidth=1)
    axes.set(xlabel=parameter_label(name), ylabel="loss", xlim=(min(values), max(values)))
    axes.set_ylim(-0.04 * max(losses), 1.06 * max(losses))
    axes.grid(alpha=0.3)


def draw_slope(axes: Axes, value: float, loss: float, slope: float) -> None:
    """Draw a dot on the curve, and the slope there as a line to either side."""
    reach = np.ptp(axes.get_xlim()) / 10
    ends = np.array([value - reach, value + reach])
    axes.plot(ends, loss + slope * (ends - value), color="tab:red", linewidth=2)
    axes.plot(value, loss, "o", color="tab:red", markersize=8, clip_on=False)
