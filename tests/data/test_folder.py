"""Images of the user: folders of pictures and .npz files, good and bad."""

import struct
import zlib

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from npstn.data import DataError, draw_digits, load_images, pictures
from npstn.data.sources import is_pictures


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


def test_the_own_size_and_the_colours_can_be_kept(tmp_path, rng):
    images = rng.integers(0, 256, (4, 20, 33, 3), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=list("abab"))
    folder = write(tmp_path / "folder", images[[0, 2, 1, 3]], "aabb")
    for path, order in ((tmp_path / "mine.npz", [0, 1, 2, 3]), (folder, [0, 2, 1, 3])):
        assert_array_equal(load_images(path, size=None, grey=False).images, images[order])
        assert load_images(path, size=None).images.shape == (4, 20, 33)
        assert load_images(path, size=(10, 12), grey=False).images.shape == (4, 10, 12, 3)


def test_grey_pictures_have_no_channels_however_they_are_saved(tmp_path, digits):
    grey = digits[0][:2]
    write(tmp_path, np.repeat(grey[..., None], 3, axis=3), "ab")
    assert_array_equal(load_images(tmp_path, grey=False).images, grey)
    Image.new("RGB", (28, 28), (255, 0, 0)).save(tmp_path / "b" / "red.png")
    assert load_images(tmp_path, grey=False).images.shape == (3, 28, 28, 3)


def test_hidden_folders_and_files_are_no_classes_and_no_pictures(tmp_path, digits):
    write(tmp_path, digits[0][:2], "ab")
    write(tmp_path, digits[0][:1], [".ipynb_checkpoints"])
    (tmp_path / "a" / "._000.png").write_bytes(b"what a Mac leaves behind")
    assert load_images(tmp_path).classes == ["a", "b"]
    assert len(load_images(tmp_path).images) == 2


# A source of pictures


def labelled(source):
    """Every picture of both sets with its label, as something that can be compared."""
    images, labels = (np.concatenate(parts) for parts in zip(source.train, source.test, strict=True))
    return sorted((image.tobytes(), label) for image, label in zip(images, labels, strict=True))


def test_every_sixth_picture_of_each_class_is_for_testing(tmp_path, rng):
    images = rng.integers(0, 256, (40, 20, 30), dtype=np.uint8)
    labels = np.repeat(["one", "seven", "twelve", "twenty"], [1, 7, 12, 20])
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    source = pictures(tmp_path / "mine.npz")
    assert (source.size, source.channels, source.classes) == ((20, 30), 1, ("one", "seven", "twelve", "twenty"))
    assert np.bincount(source.test[1]).tolist() == [0, 2, 2, 4]
    classes = {"one": 0, "seven": 1, "twelve": 2, "twenty": 3}
    assert labelled(source) == sorted((i.tobytes(), classes[n]) for i, n in zip(images, labels, strict=True))
    assert pictures(tmp_path / "mine.npz").sha256() == source.sha256()
    assert source.title == "pictures of mine.npz"


def test_the_folder_may_hold_both_sets(tmp_path, rng):
    images = rng.integers(0, 256, (6, 20, 30, 3), dtype=np.uint8)
    write(tmp_path / "train", images[:4], "abab")
    write(tmp_path / "test", images[4:, ..., 0], "ab")  # grey, unlike the others
    source = pictures(tmp_path)
    assert (source.channels, source.train[0].shape) == (3, (4, 20, 30, 3))
    assert_array_equal(source.test[0], np.repeat(images[4:, ..., :1], 3, axis=3))
    assert source.test[1].tolist() == [0, 1]
    assert pictures(tmp_path, size=16).test[0].shape == (2, 16, 16, 3)


def test_train_and_test_may_be_classes(tmp_path, digits):
    source = pictures(write(tmp_path, digits[0][:4], ["train", "test"] * 2))
    assert source.classes == ("test", "train")


def refused(path, *arguments):
    with pytest.raises(DataError) as caught:
        pictures(path, *arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "HERE")


def test_pictures_that_no_network_can_learn_from_are_refused(tmp_path, rng):
    def folder(name, *groups):
        for number, (shape, names) in enumerate(groups):
            write(tmp_path / name / str(number), rng.integers(0, 256, (len(names), *shape), np.uint8), names)
        (parts,) = [tmp_path / name] if len(groups) > 1 else [tmp_path / name / "0"]
        return parts

    message, how = refused(folder("one", ((20, 20), "aaa"))), "put the pictures of each class into a subfolder"
    assert message == f"expected 2 to 10,000 classes in HERE, got one, 'a': {how}"
    message = refused(folder("single", ((20, 20), "abc")))
    assert message == "expected at least two pictures of a class in HERE, got one of each: add more"
    large = folder("large", ((1001, 20), "aabb"))
    message = refused(large)
    assert message == "expected at most 1,000 pixels a side in HERE, got 1001 x 20: give a smaller size (size=, --size)"
    assert pictures(large, 30).size == (30, 30)

    mixed = folder("mixed", ((20, 20), "aabb"))
    Image.new("L", (30, 25)).save(mixed / "b" / "x.png")
    assert refused(mixed) == (
        "expected images of one size, got 20 x 20 pixels in HERE/a/000.png and 25 x 30 in HERE/b/x.png: give a size to "
        "which all are brought (size=, --size)"
    )
    assert pictures(mixed, (20, 30)).size == (20, 30)


def test_sets_that_do_not_belong_together_are_refused(tmp_path, digits):
    write(tmp_path / "train", digits[0][:3], "abc")
    write(tmp_path / "test", digits[0][:2], "ab")
    assert refused(tmp_path) == "expected the same classes in train and test of HERE, got 'c' in train alone"
    write(tmp_path / "test", digits[0][:1, :20], "c")
    assert "expected images of one size, got " in refused(tmp_path)
    for name in "abc":
        for file in (tmp_path / "test" / name).iterdir():
            Image.new("L", (20, 20)).save(file)
    assert refused(tmp_path).startswith("expected images of one size in HERE, got 28 x 28 in train and 20 x 20 in test")


def test_a_path_is_one_of_pictures_only_if_it_is_a_folder_or_says_npz(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert is_pictures(tmp_path) and is_pictures("missing.npz")
    assert not is_pictures(tmp_path / "notes.txt") and not is_pictures(tmp_path / "rts")


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
    ],
    ids=["empty", "text", "cut", "damaged"],
)
def test_a_damaged_picture_is_named(tmp_path, digits, spoil):
    write(tmp_path, digits[0], digits[1])
    bad = sorted(tmp_path.rglob("*.png"))[7]
    bad.write_bytes(spoil(bad.read_bytes()))
    message = refusal(tmp_path)
    assert message.startswith(f"expected an image in {bad}, got one that cannot be read (")


@pytest.mark.parametrize("side", [10_000, 100_000])
def test_a_gigantic_picture_is_refused_before_it_fills_the_memory(tmp_path, side):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(png_of(side, side))
    message = refusal(tmp_path)
    assert message.startswith("expected at most 89,478,485 pixels in ")
    assert message.endswith("got more: scale the image down")


def test_more_images_than_the_memory_holds_are_refused(tmp_path, digits, monkeypatch):
    monkeypatch.setattr("npstn.data.folder.LARGEST", 20 * 28 * 28 - 1)
    assert "got 20 of 28 x 28 pixels: give a smaller size" in refusal(write(tmp_path, digits[0], digits[1]))
    np.savez(tmp_path / "mine.npz", images=digits[0], labels=digits[1])
    assert refusal(tmp_path / "mine.npz").endswith("GB: take fewer images")


def test_sixteen_bits_and_transparency_are_refused_rather_than_lost(tmp_path, digits):
    write(tmp_path, digits[0], digits[1])
    bad = tmp_path / "0" / "bad.png"
    Image.fromarray(np.full((28, 28), 40_000, np.uint16)).save(bad)
    assert refusal(tmp_path) == f"expected 8 bits for a grey value in {bad}, got mode I;16: save it with 8 bits"
    Image.new("RGBA", (28, 28), (0, 0, 0, 0)).save(bad)
    assert refusal(tmp_path).startswith(f"expected an opaque image in {bad}, got transparent pixels")


# What is wrong with an .npz

GOOD = {"images": np.zeros((2, 28, 28), np.uint8), "labels": np.zeros(2, np.int64)}
IMAGES = "expected images of uint8 (N, H, W) or (N, H, W, 3) in {}, got"
LABELS = "expected labels of integers or strings (2,) in {}, got"
OBJECTS = "Python objects, which can run any program when they are read"
SAVE = "save the images as uint8, the labels as integers or strings"
PLAIN = f"expected arrays of numbers or strings in {{}}, got {OBJECTS}: {SAVE}"


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
        ({**GOOD, "labels": np.array([{}, []], object)}, PLAIN),
        ({**GOOD, "images": np.zeros((2, 28, 28, 4), np.uint8)}, f"{IMAGES} uint8 (2, 28, 28, 4)"),
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


@pytest.mark.parametrize("size", [0, -1, 1.5, "2", 10_001, (28, 0), (28, None), (28,)])
def test_a_size_outside_1_to_10_000_is_refused(tmp_path, size):
    with pytest.raises(ValueError, match="^load_images: expected a size of 1 to 10,000 pixels, got ") as caught:
        load_images(tmp_path, size)
    assert str(caught.value).endswith(f"got {size!r}")


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\x00" * 200])
def test_what_is_no_npz_at_all_is_not_advised_to_be_unpickled(tmp_path, content):
    (tmp_path / "mine.npz").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_images(tmp_path / "mine.npz")
    file = tmp_path / "mine.npz"
    assert str(caught.value) == f"expected an .npz in {file}, got one that cannot be read (it is no .npz)"
