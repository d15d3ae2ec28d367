"""Where images come from: MNIST, digits drawn by the program, a folder of pictures."""

from npstn.data.drawn import draw_digits
from npstn.data.errors import DataError
from npstn.data.folder import Images, load_images
from npstn.data.mnist import MnistNotFound, load_mnist, mnist_folder
from npstn.data.sources import SOURCES, Source, pictures

__all__ = [
    "SOURCES",
    "DataError",
    "Images",
    "MnistNotFound",
    "Source",
    "draw_digits",
    "load_images",
    "load_mnist",
    "mnist_folder",
    "pictures",
]
