"""Images of the user: a folder of pictures with a subfolder for each label, or an .npz file."""

from __future__ import annotations

import os
import reprlib
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from npstn.data.errors import DataError
from npstn.messages import one_line

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SUFFIXES = (".png", ".jpg", ".jpeg")
LARGEST = 2**32  # bytes of the images of a folder or an .npz: more would not fit into the memory of most machines

Size = tuple[int, int]  # rows and columns


class Images(NamedTuple):
    """Images and their labels."""

    images: np.ndarray  # uint8 (N, H, W) or, with colours, (N, H, W, 3); 0 .. 255
    labels: np.ndarray  # int64 (N,): positions in classes
    classes: list[str]  # the names of the labels, sorted


def load_images(path: str | os.PathLike[str], size: int | Size | None = 28, grey: bool = True) -> Images:
    """Read images from a folder or an .npz file, and bring them to one size.

    Args:
        path: a folder with a subfolder for each label, which holds PNG or JPEG files; or an .npz with the arrays
            `images`, uint8 (N, H, W) or (N, H, W, 3), and `labels`, integers or strings (N,). In a folder, other files
            are ignored, as is everything whose name begins with a dot.
        size: rows and columns of the returned images in pixels, (H, W), or the side of a square. Images of another size
            are resampled. This stretches those of another shape: crop them first. None keeps the images' own size,
            which must be the same for all.
        grey: whether to turn the images grey. Otherwise colours are kept: the images of a folder are (N, H, W, 3) if
            any of them has a colour, those of an .npz have the shape that they have there.

    The grey values are kept. The networks expect light ink on black, because the corners of a turned image are filled
    with black; for dark ink on white paper take `255 - images`.

    Raises DataError, with the name of the file and what is wrong with it; ValueError for a size outside 1 .. 10,000.
    """
    wanted = _checked(size)
    path = Path(path)
    images, names = _read_npz(path, wanted, grey) if path.suffix == ".npz" else _read_folder(path, wanted, grey)
    classes, labels = np.unique(names, return_inverse=True)  # integers by value, strings by alphabet
    return Images(images, labels.astype(np.int64), [str(name) for name in classes])


def _checked(size: int | Size | None) -> Size | None:
    sides = size if isinstance(size, tuple) and len(size) == 2 else (size, size)
    if size is not None and not all(isinstance(n, (int, np.integer)) and 1 <= n <= 10_000 for n in sides):
        raise ValueError(f"load_images: expected a size of 1 to 10,000 pixels, got {one_line(size)}")
    return None if size is None else (int(sides[0]), int(sides[1]))  # type: ignore[arg-type]


def visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without names that begin with a dot: programs keep their own things there."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot read the images in {folder}: {error.strerror}") from None


def _read_folder(folder: Path, size: Size | None, grey: bool) -> tuple[np.ndarray, np.ndarray]:
    """The images of a folder, and for each image the name of its subfolder."""
    files = picture_files(folder)
    read = [np.empty(0, np.uint8)] * len(files)
    for number, image in enumerate(_read_pictures(files, size, grey)):
        if number == 0 and len(files) * image.size > LARGEST:
            h, w = image.shape[:2]
            raise DataError(
                f"expected images of at most {LARGEST >> 30} GB together in {folder}, got {len(files):,} of "
                f"{h} x {w} pixels: give a smaller size (size=, --size)"
            )
        read[number] = image
    images = np.stack(read)
    if not grey and (images == images[..., :1]).all():  # three equal channels are grey
        images = np.ascontiguousarray(images[..., 0])
    return images, np.array([file.parent.name for file in files])


def picture_files(folder: Path) -> list[Path]:
    """The pictures in the subfolders of a folder. Raises DataError where there is none."""
    subfolders = [entry for entry in visible(folder) if entry.is_dir()]
    files = [file for subfolder in subfolders for file in visible(subfolder) if file.suffix.lower() in SUFFIXES]
    if not files:
        got = f"none in {reprlib.repr([entry.name for entry in subfolders])}" if subfolders else "none"
        raise DataError(f"expected a subfolder of PNG or JPEG files for each label in {folder}, got {got}")
    return files


def _read_pictures(files: Iterable[Path], size: Size | None, grey: bool) -> Iterator[np.ndarray]:
    """The pictures one after the other: (H, W) if grey, else (H, W, 3). Raises DataError for one of another size."""
    first = None
    for file in files:
        image = read_picture(file, str(file), size, grey)
        shape = image.shape[:2]
        if first is None:
            first = file, shape
        elif shape != first[1]:
            (h, w), (other_h, other_w) = first[1], shape
            raise DataError(
                f"expected images of one size, got {h} x {w} pixels in {first[0]} and {other_h} x {other_w} in {file}: "
                f"give a size to which all are brought (size=, --size)"
            )
        yield image


def read_picture(file: Path | BinaryIO, name: str, size: Size | None, grey: bool) -> np.ndarray:
    """A picture as `load_images` reads it, uint8 (H, W) if grey, else (H, W, 3). Args: name: of the file, in errors."""
    picture = open_picture(file, name)
    # Pillow would clip 16 bits at 255, and drop transparency, which may hold the whole picture.
    if picture.mode[0] in "IF":
        raise DataError(f"expected 8 bits for a grey value in {name}, got mode {picture.mode}: save it with 8 bits")
    if picture.has_transparency_data and np.asarray(picture.convert("RGBA"))[..., 3].min() < 255:
        raise DataError(f"expected an opaque image in {name}, got transparent pixels: put them on a background")
    return _fit(picture.convert("L" if grey else "RGB"), size)


def open_picture(file: Path | BinaryIO, name: str) -> Picture:
    """Decode a picture, and turn it upright. Raises DataError, with its name, where it cannot be read."""
    from PIL import Image, ImageOps  # here, because few users need it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged notes of the camera, say: the picture itself can be read
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as picture:
                return ImageOps.exif_transpose(picture)  # a camera records how it was held
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        most = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise DataError(f"expected at most {most} pixels in {name}, got more: scale the image down") from None
    except (OSError, ValueError, SyntaxError) as error:
        if isinstance(error, OSError) and error.strerror:  # there is no file, or it may not be read
            raise DataError(f"cannot read {name}: {error.strerror}") from None
        why = " ".join(str(error).split())
        raise DataError(
            f"expected an image in {name}, got one that cannot be read ({why}): save it again, or take it out"
        ) from None


def _read_npz(file: Path, size: Size | None, grey: bool) -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image

    try:
        with np.load(file, allow_pickle=False) as arrays:
            unpacked = sum(member.file_size for member in arrays.zip.infolist())
            if unpacked > LARGEST:
                most = f"{LARGEST >> 30} GB"
                raise DataError(f"expected at most {most} in {file}, got {unpacked / 2**30:.1f} GB: take fewer images")
            images, names = arrays["images"], arrays["labels"]
    except KeyError:
        raise DataError(f"expected the arrays images and labels in {file}, got {reprlib.repr(list(arrays))}") from None
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from None
    except Exception as error:  # noqa: BLE001 - a damaged file makes NumPy, zipfile and zlib raise many kinds
        if "Object arrays" in str(error):
            raise DataError(
                f"expected arrays of numbers or strings in {file}, got Python objects, which can run any program when "
                f"they are read: save the images as uint8, the labels as integers or strings"
            ) from None
        why = " ".join(str(error).split())
        if "allow_pickle" in why:  # NumPy takes what it does not know for a pickle
            why = "it is no .npz"
        raise DataError(f"expected an .npz in {file}, got one that cannot be read ({why})") from None
    colours = images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (images.ndim == 3 or colours) or 0 in images.shape:
        expected = "images of uint8 (N, H, W) or (N, H, W, 3)"
        raise DataError(f"expected {expected} in {file}, got {images.dtype} {images.shape}")
    if names.shape != (len(images),) or names.dtype.kind not in "iuU":
        shape = f"({len(images)},)"
        raise DataError(f"expected labels of integers or strings {shape} in {file}, got {names.dtype} {names.shape}")
    if (grey and colours) or (size is not None and images.shape[1:3] != size):
        pictures = (Image.fromarray(image) for image in images)
        images = np.stack([_fit(picture.convert("L") if grey else picture, size) for picture in pictures])
    return images, names


def _fit(picture: Picture, size: Size | None) -> np.ndarray:
    """Resample a picture to this size, if any; every pixel counts, however small the result."""
    from PIL import Image

    if size is not None and picture.size != size[::-1]:
        picture = picture.resize(size[::-1], Image.Resampling.LANCZOS)
    return np.asarray(picture)
