"""The picture of a gradient check: the error of a difference against its step."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from npstn.figures.picture import Picture
from npstn.gradcheck.report import Report


def plot(reports: Sequence[Report]) -> Figure:
    """Draw the error of the differences for each input of each report. The reports must have their curves."""
    figure = Picture(figsize=(6.4, 4), layout="constrained")
    draw(figure.subplots(), reports, reports[0].name)
    return figure


def draw(axes: Axes, reports: Sequence[Report], title: str) -> None:
    """Draw the curves of all reports into one panel.

    As the step shrinks, from right to left, a curve falls with the error of the difference. Then it rises again:
    rounding errors are divided by the step. The curve is a V. A wrong gradient makes a floor above the tip of the V.
    """
    curves = [g.curve for report in reports for g in report.gradients if g.curve]
    for i, curve in enumerate(curves):
        labels = ("central difference", "extrapolated from two steps") if i == 0 else (None, None)
        axes.loglog(curve.steps, curve.central, color="tab:gray", linewidth=0.8, label=labels[0])
        axes.loglog(curve.steps, curve.extrapolated, color="tab:blue", linewidth=1.2, label=labels[1])
    axes.axhline(reports[0].rtol, color="tab:red", linestyle="--", linewidth=1, label="allowed")
    axes.set(title=title, xlabel="step", ylabel="relative error", ylim=(1e-17, 1e2))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize=8)
