"""The pictures: matplotlib figures, and files. Nothing opens a window, and nothing below this package draws."""

from npstn.figures.curves import compare
from npstn.figures.loss_curve import loss_over
from npstn.figures.single_images import show

__all__ = ["compare", "loss_over", "show"]
