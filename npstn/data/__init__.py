"""The digits: MNIST, or drawn by the program, or images of one's own; and turned by random angles."""

from npstn.data.digits import draw_digits
from npstn.data.images import Images, load_images
from npstn.data.mnist import DataError, MnistNotFound, load_mnist, mnist_folder
from npstn.data.rotated import Rotated, batches, rotate

__all__ = [
    "DataError",
    "Images",
    "MnistNotFound",
    "Rotated",
    "batches",
    "draw_digits",
    "load_images",
    "load_mnist",
    "mnist_folder",
    "rotate",
]
