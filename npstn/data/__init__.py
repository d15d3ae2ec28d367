"""Where images come from: MNIST, digits drawn by the program, or folders and files of the user."""

from npstn.data.drawn import draw_digits
from npstn.data.errors import DataError
from npstn.data.folder import Images, load_images
from npstn.data.mnist import MnistNotFound, load_mnist, mnist_folder

__all__ = ["DataError", "Images", "MnistNotFound", "draw_digits", "load_images", "load_mnist", "mnist_folder"]
