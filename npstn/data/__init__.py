"""The digits: MNIST, or drawn by the program; and turned by random angles."""

from npstn.data.digits import draw_digits
from npstn.data.mnist import DataError, MnistNotFound, load_mnist, mnist_folder
from npstn.data.rotated import Rotated, batches, rotate

__all__ = [
    "DataError",
    "MnistNotFound",
    "Rotated",
    "batches",
    "draw_digits",
    "load_mnist",
    "mnist_folder",
    "rotate",
]
