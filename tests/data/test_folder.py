"""Images of the user: folders of pictures and .npz files, good and bad."""

import struct
import zlib

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from npstn.data import DataError, draw_digits, load_images


@pytest.fixture
def digits():
    return draw_digits(20, seed=0)


def write(folder, images, names, suffix=".png"):
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        (folder / str(name)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / str(name) / f"{number:03}{suffix}")
    return folder


def refusal(path):
    """The message with which load_images refuses a path: one line that names it."""
    with pytest.raises(DataError) as caught:
        load_images(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


# What is read


def test_a_folder_of_pngs_comes_back_as_it_was(tmp_path, digits):
    images, labels = digits
    found = load_images(write(tmp_path, images, labels))
    order = np.argsort(labels, kind="stable")  # folder by folder, in each by the files' names
    assert_array_equal(found.images, images[order])
    assert_array_equal(found.labels, labels[order])
    assert (found.images.dtype, found.labels.dtype) == (np.uint8, np.int64)
    assert found.classes == list("0123456789")


def test_labels_are_positions_among_the_sorted_names_of_the_folders(tmp_path, digits):
    found = load_images(write(tmp_path, digits[0][:3], ["seven", "four", "seven"]))
    assert found.classes == ["four", "seven"]
    assert found.labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize("compressed", [np.savez, np.savez_compressed])
def test_an_npz_comes_back_as_it_was(tmp_path, digits, compressed):
    images, labels = digits
    compressed(tmp_path / "mine.npz", images=images, labels=labels.astype(np.uint8))
    found = load_images(str(tmp_path / "mine.npz"))
    assert_array_equal(found.images, images)
    assert_array_equal(found.labels, labels)
    assert (found.images.dtype, found.labels.dtype) == (np.uint8, np.int64)


def test_labels_of_an_npz_are_sorted_as_numbers_or_as_words(tmp_path, digits):
    for given, classes, labels in (([10, 9, 10], ["9", "10"], [1, 0, 1]), (["b", "a", "a"], ["a", "b"], [1, 0, 0])):
        np.savez(tmp_path / "mine.npz", images=digits[0][:3], labels=given)
        found = load_images(tmp_path / "mine.npz")
        assert (found.classes, found.labels.tolist()) == (classes, labels)


def test_jpegs_are_read_and_other_files_ignored(tmp_path, digits):
    write(tmp_path, digits[0][:2], ["a", "b"], ".JPG")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "a" / "notes.txt").write_text("mine")
    (tmp_path / "readme.png").write_text("not below a label")
    found = load_images(tmp_path)
    assert len(found.images) == 2
    assert np.abs(found.images.astype(int) - digits[0][:2]).mean() < 5  # JPEG forgets a little


# Other sizes and colours


@pytest.mark.parametrize("shape", [(56, 56), (28, 56), (140, 84)])
def test_other_sizes_are_resampled_in_folder_and_npz_alike(tmp_path, digits, shape):
    large = np.stack([np.kron(image, np.ones((shape[0] // 28, shape[1] // 28), np.uint8)) for image in digits[0]])
    np.savez(tmp_path / "mine.npz", images=large, labels=np.arange(20))
    from_npz = load_images(tmp_path / "mine.npz").images
    from_folder = load_images(write(tmp_path / "folder", large, [f"{i:02}" for i in range(20)])).images
    assert_array_equal(from_npz, from_folder)
    assert from_npz.shape == (20, 28, 28)
    assert np.abs(from_npz.astype(int) - digits[0]).mean() < 10


def test_every_pixel_counts_however_much_smaller_the_image_becomes(tmp_path):
    # One column in ten is white: picking single pixels would find all of it, or none.
    stripes = np.zeros((1, 280, 280), np.uint8)
    stripes[:, :, ::10] = 255
    np.savez(tmp_path / "mine.npz", images=stripes, labels=[0])
    assert abs(load_images(tmp_path / "mine.npz").images.mean() - 25.5) < 2


def test_another_size_may_be_asked_for(tmp_path, digits):
    folder = write(tmp_path, digits[0], digits[1])
    assert load_images(folder, size=40).images.shape == (20, 40, 40)


def test_colours_become_grey(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("RGB", (28, 28), (255, 0, 0)).save(tmp_path / "a" / "red.png")
    Image.new("RGBA", (28, 28), (0, 255, 0, 255)).save(tmp_path / "a" / "solid_green.png")
    Image.new("1", (28, 28), 1).save(tmp_path / "a" / "white.png")
    assert [image.mean() for image in load_images(tmp_path).images] == [76, 150, 255]


def test_a_photo_is_turned_as_the_camera_was_held(tmp_path, digits):
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.fromarray(np.rot90(digits[0][0])).save(tmp_path / "a" / "x.png", exif=exif)
    assert_array_equal(load_images(tmp_path).images[0], digits[0][0])


# What is wrong with a folder


def test_a_folder_without_pictures_is_refused(tmp_path, digits):
    Image.fromarray(digits[0][0]).save(tmp_path / "x.png")  # not in a folder that names its label
    assert refusal(tmp_path) == f"expected a subfolder of PNG or JPEG files for each label in {tmp_path}, got none"


@pytest.mark.parametrize("name", ["none", "file"])
def test_a_path_that_is_no_folder_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    assert refusal(tmp_path / name).startswith("cannot read the images in ")


def png_of(width, height):
    """A PNG whose header says that it is so large."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: b"no picture",
        lambda content: content[:100],
        lambda content: content[:60] + b"\xff" * 8 + content[68:],
        lambda content: png_of(100_000, 100_000),
    ],
    ids=["empty", "text", "cut", "damaged", "gigantic"],
)
def test_a_damaged_picture_is_named(tmp_path, digits, spoil):
    write(tmp_path, digits[0], digits[1])
    bad = sorted(tmp_path.rglob("*.png"))[7]
    bad.write_bytes(spoil(bad.read_bytes()))
    message = refusal(tmp_path)
    assert message.startswith(f"expected an image in {bad}, got one that cannot be read (")


def test_sixteen_bits_and_transparency_are_refused_rather_than_lost(tmp_path, digits):
    write(tmp_path, digits[0], digits[1])
    bad = tmp_path / "0" / "bad.png"
    Image.fromarray(np.full((28, 28), 40_000, np.uint16)).save(bad)
    assert refusal(tmp_path) == f"expected 8 bits for a grey value in {bad}, got mode I;16"
    Image.new("RGBA", (28, 28), (0, 0, 0, 0)).save(bad)
    assert refusal(tmp_path).startswith(f"expected an opaque image in {bad}, got transparent pixels")


# What is wrong with an .npz

GOOD = {"images": np.zeros((2, 28, 28), np.uint8), "labels": np.zeros(2, np.int64)}
IMAGES = "expected images of uint8 (N, H, W) in {}, got"
LABELS = "expected labels of integers or strings (2,) in {}, got"
UNREAD = "expected an .npz in {}, got one that cannot be read"
PICKLE = "allow_pickle=False"


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": np.zeros(1)}, "expected the arrays images and labels in {}, got ['x']"),
        ({"a\nb": np.zeros(1)}, r"expected the arrays images and labels in {}, got ['a\nb']"),
        ({}, "expected the arrays images and labels in {}, got []"),
        ({**GOOD, "images": np.zeros((2, 28, 28))}, f"{IMAGES} float64 (2, 28, 28)"),
        ({**GOOD, "images": np.zeros((2, 784), np.uint8)}, f"{IMAGES} uint8 (2, 784)"),
        ({"images": np.zeros((0, 28, 28), np.uint8), "labels": np.zeros(0, np.int64)}, f"{IMAGES} uint8 (0, 28, 28)"),
        ({**GOOD, "labels": np.zeros(3, np.int64)}, f"{LABELS} int64 (3,)"),
        ({**GOOD, "labels": np.zeros(2)}, f"{LABELS} float64 (2,)"),
        ({**GOOD, "labels": np.array([{}, []], object)}, f"{UNREAD} (Object arrays cannot be loaded when {PICKLE})"),
    ],
)
def test_an_npz_with_other_arrays_is_refused(tmp_path, arrays, says):
    np.savez(tmp_path / "mine.npz", **arrays)
    assert refusal(tmp_path / "mine.npz") == says.format(tmp_path / "mine.npz")


def array_alone(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no arrays"),
        lambda path: path.write_bytes(path.read_bytes()[:-50]),
        lambda path: path.write_bytes(path.read_bytes()[:200] + b"\xff" * 50 + path.read_bytes()[250:]),
        array_alone,
    ],
    ids=["empty", "text", "cut", "damaged", "array alone"],
)
def test_a_damaged_npz_is_refused(tmp_path, digits, spoil):
    np.savez_compressed(tmp_path / "mine.npz", images=digits[0], labels=digits[1])
    spoil(tmp_path / "mine.npz")
    assert refusal(tmp_path / "mine.npz").startswith("expected an .npz in ")


def test_an_npz_that_is_missing_is_named(tmp_path):
    assert refusal(tmp_path / "none.npz") == f"cannot read {tmp_path / 'none.npz'}: No such file or directory"


@pytest.mark.parametrize("size", [0, -1, 1.5, "2", None, 10_001])
def test_a_size_outside_1_to_10_000_is_refused(tmp_path, size):
    with pytest.raises(ValueError, match=f"^load_images: expected a size of 1 to 10,000 pixels, got {size!r}$"):
        load_images(tmp_path, size)
