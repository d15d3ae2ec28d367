"""Images of the user: a folder of pictures with a subfolder for each label, or an .npz file."""

from __future__ import annotations

import os
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from npstn.data.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SUFFIXES = (".png", ".jpg", ".jpeg")


class Images(NamedTuple):
    """Images and their labels."""

    images: np.ndarray  # uint8 (N, size, size), 0 .. 255
    labels: np.ndarray  # int64 (N,): positions in classes
    classes: list[str]  # the names of the labels, sorted


def load_images(path: str | os.PathLike[str], size: int = 28) -> Images:
    """Read images from a folder or an .npz file, turn them grey and bring them to one size.

    Args:
        path: a folder with a subfolder for each label, which holds PNG or JPEG files (other files are ignored); or an
            .npz with the arrays `images`, uint8 (N, H, W), and `labels`, integers or strings (N,).
        size: the side of the returned images in pixels. Images of another size are resampled. This stretches those
            that are not square: crop them first.

    The grey values are kept. The networks expect light ink on black, because the corners of a turned image are filled
    with black; for dark ink on white paper take `255 - images`.

    Raises DataError, with the name of the file and what is wrong with it; ValueError for a size outside 1 .. 10,000.
    """
    if not isinstance(size, (int, np.integer)) or not 1 <= size <= 10_000:
        raise ValueError(f"load_images: expected a size of 1 to 10,000 pixels, got {size!r}")
    path = Path(path)
    images, names = _read_npz(path, size) if path.suffix == ".npz" else _read_folder(path, size)
    classes, labels = np.unique(names, return_inverse=True)  # integers by value, strings by alphabet
    return Images(images, labels.astype(np.int64), [str(name) for name in classes])


def _read_folder(folder: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The images of a folder, and for each image the name of its subfolder."""
    try:
        subfolders = sorted(entry for entry in folder.iterdir() if entry.is_dir())
        files = [
            file for subfolder in subfolders for file in sorted(subfolder.iterdir()) if file.suffix.lower() in SUFFIXES
        ]
    except OSError as error:
        raise DataError(f"cannot read the images in {folder}: {error.strerror}") from None
    if not files:
        raise DataError(f"expected a subfolder of PNG or JPEG files for each label in {folder}, got none")
    return np.stack([_read_picture(file, size) for file in files]), np.array([file.parent.name for file in files])


def _read_picture(file: Path, size: int) -> np.ndarray:
    from PIL import Image, ImageOps  # here, because few users need it

    try:
        with Image.open(file) as picture:
            upright = ImageOps.exif_transpose(picture)  # a camera records how it was held
            # Pillow would clip 16 bits at 255, and drop transparency, which may hold the whole picture.
            if upright.mode[0] in "IF":
                raise DataError(f"expected 8 bits for a grey value in {file}, got mode {upright.mode}")
            if upright.has_transparency_data and np.asarray(upright.convert("RGBA"))[..., 3].min() < 255:
                raise DataError(f"expected an opaque image in {file}, got transparent pixels: put them on a background")
            return _fit(upright.convert("L"), size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"expected an image in {file}, got one that cannot be read ({error})") from None


def _read_npz(file: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image

    try:
        with np.load(file, allow_pickle=False) as arrays:
            images, names = arrays["images"], arrays["labels"]
    except KeyError:
        raise DataError(f"expected the arrays images and labels in {file}, got {reprlib.repr(list(arrays))}") from None
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from None
    except Exception as error:  # noqa: BLE001 - a damaged file makes NumPy, zipfile and zlib raise many kinds
        why = " ".join(str(error).split())
        raise DataError(f"expected an .npz in {file}, got one that cannot be read ({why})") from None
    if images.dtype != np.uint8 or images.ndim != 3 or 0 in images.shape:
        raise DataError(f"expected images of uint8 (N, H, W) in {file}, got {images.dtype} {images.shape}")
    if names.shape != (len(images),) or names.dtype.kind not in "iuU":
        shape = f"({len(images)},)"
        raise DataError(f"expected labels of integers or strings {shape} in {file}, got {names.dtype} {names.shape}")
    if images.shape[1:] != (size, size):
        images = np.stack([_fit(Image.fromarray(image), size) for image in images])
    return images, names


def _fit(picture: Picture, size: int) -> np.ndarray:
    """Resample a grey picture to size x size; every pixel counts, however small the result."""
    from PIL import Image

    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(picture)
