"""Where the command finds its images: MNIST, drawn digits, the folder that a run remembers; and `npstn data`."""

import shutil
from pathlib import Path

import pytest
from command import few_digits, npstn_, offline_mnist, read_config, refusal, use_mnist

from npstn import training

pytestmark = pytest.mark.usefixtures("small_world")

MNIST_FILES = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
FIRST_LINE = "training a classifier behind a rotation transformer on"


@pytest.fixture
def mnist(monkeypatch):
    """MNIST is at hand, and looks like digits that were drawn with other seeds. Gives what was asked for."""
    asked = []

    def load(folder=None, train=True):
        asked.append((folder, train))
        return few_digits(30_000 if train else 5_000, 7 if train else 8)

    use_mnist(monkeypatch, load)
    return asked


@pytest.fixture
def no_training(monkeypatch):
    def train(*_):
        raise training.TrainingError("recorded")

    monkeypatch.setattr("npstn.runs.work.train", train)


# train


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("options", [[], ["--data", "auto"], ["--data", "mnist"]])
def test_mnist_where_it_is_at_hand(tmp_path, mnist, options):
    said = npstn_("train", *options, "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert said.out.startswith(f"{FIRST_LINE} 300 MNIST digits")
    assert sorted(mnist) == [(tmp_path, False), (tmp_path, True)]
    assert read_config(tmp_path / "run")["task"]["source"] == "mnist"


@pytest.mark.usefixtures("no_training")
def test_auto_falls_back_to_drawn_digits_and_says_so_in_one_line(tmp_path):
    said = npstn_("train", "--out", tmp_path / "run")
    first, second = said.out.splitlines()
    assert first == "MNIST is not at hand and cannot be downloaded: using digits drawn by the program"
    assert second.startswith(f"{FIRST_LINE} 600 drawn digits")
    assert read_config(tmp_path / "run")["task"]["source"] == "drawn"


@pytest.mark.usefixtures("no_training")
def test_digits_that_are_asked_for_are_drawn_without_a_word(tmp_path, mnist):
    said = npstn_("train", "--data", "drawn", "--out", tmp_path / "run")
    assert said.out.count("\n") == 1 and said.out.startswith(f"{FIRST_LINE} 600 drawn digits")
    assert mnist == []


def test_mnist_that_is_asked_for_and_not_found(tmp_path):
    message = refusal(1, "train", "--data", "mnist", "--out", tmp_path / "run")
    assert message == "could not download MNIST: no network"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["auto", "mnist"])
def test_a_data_dir_without_the_files(tmp_path, monkeypatch, kind):
    use_mnist(monkeypatch, offline_mnist)
    (tmp_path / "empty").mkdir()
    message = refusal(1, "train", "--data", kind, "--data-dir", tmp_path / "empty", "--out", tmp_path / "run")
    assert MNIST_FILES[0] in message and str(tmp_path / "empty") in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["auto", "mnist"])
@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_damaged_file_is_no_reason_to_draw_digits(tmp_path, monkeypatch, kind, by):
    use_mnist(monkeypatch, offline_mnist)
    for name in MNIST_FILES:
        (tmp_path / name).write_bytes(b"\0\0\x08\x03 and no more")
    if by == "variable":
        monkeypatch.setenv("NPSTN_DATA_DIR", str(tmp_path))
    options = ["--data-dir", tmp_path] if by == "option" else []
    message = refusal(1, "train", "--data", kind, *options, "--out", tmp_path / "run")
    assert message.startswith(f"{tmp_path / MNIST_FILES[0]}: ")
    assert "has 16 bytes" in message
    assert not (tmp_path / "run").exists()


# The folder that a run remembers


def mnist_in_a_folder(folder=None, train=True):
    """MNIST, where its first file is there, and looks like drawn digits."""
    if folder is None or not Path(folder, MNIST_FILES[0]).exists():
        return offline_mnist(folder, train)
    return few_digits(30_000 if train else 5_000, 7 if train else 8)


@pytest.fixture(scope="module")
def trained_on_files(small_world, tmp_path_factory):
    """A folder with a run, and with the files that it was trained on, which no test may change."""
    below = tmp_path_factory.mktemp("files")
    (below / "mnist").mkdir()
    (below / "mnist" / MNIST_FILES[0]).touch()
    with pytest.MonkeyPatch.context() as patch:
        use_mnist(patch, mnist_in_a_folder)
        patch.chdir(below)
        options = ["--data", "mnist", "--data-dir", "mnist", "--batch-size", "32", "--epochs", "1"]
        said = npstn_("train", *options, "--out", "runs/first")
    assert (said.status, said.err) == (0, "")
    return below


@pytest.fixture
def with_data(trained_on_files, tmp_path, monkeypatch):
    """A copy of that folder."""
    use_mnist(monkeypatch, mnist_in_a_folder)
    return Path(shutil.copytree(trained_on_files, tmp_path / "work"))


def evaluated(folder):
    """Whether the run finds its images."""
    said, same = npstn_("eval", folder), npstn_("eval", folder, "--data", "mnist")
    assert said.status == same.status == 0 and said.out == same.out
    return "50 MNIST digits" in said.err


def test_a_run_remembers_the_folder_of_its_images(with_data, tmp_path, monkeypatch):
    folder = with_data / "runs" / "first"
    assert read_config(folder)["data_folder"] == "../../mnist"
    assert npstn_("show", folder, "--digit", "1").status == npstn_("train", "--resume", folder).status == 0
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    assert evaluated("work/runs/first") and evaluated("link")
    monkeypatch.chdir(folder)
    assert evaluated(".")


def test_a_run_remembers_the_folder_that_the_variable_named(with_data, monkeypatch):
    use_mnist(monkeypatch, lambda folder=None, train=True: mnist_in_a_folder(folder or with_data / "mnist", train))
    monkeypatch.setenv("NPSTN_DATA_DIR", str(with_data / "mnist"))
    npstn_("train", "--data", "mnist", "--batch-size", "32", "--epochs", "1", "--out", with_data / "runs" / "second")
    assert read_config(with_data / "runs" / "second")["data_folder"] == "../../mnist"
    monkeypatch.delenv("NPSTN_DATA_DIR")
    use_mnist(monkeypatch, mnist_in_a_folder)
    assert evaluated(with_data / "runs" / "second")


def test_a_run_and_its_images_can_be_moved_together(with_data, tmp_path):
    moved = with_data.rename(tmp_path / "elsewhere")
    assert evaluated(moved / "runs" / "first")


def test_where_the_images_are_gone_the_message_names_the_option(with_data, tmp_path):
    folder = with_data / "runs" / "first"
    (with_data / "mnist").rename(tmp_path / "elsewhere")
    for command in (["eval", folder], ["show", folder], ["train", "--resume", folder]):
        message = refusal(1, *command)
        assert str(with_data / "mnist") in message and "--data-dir" in message
        assert npstn_(*command, "--data-dir", tmp_path / "elsewhere").status == 0


def test_a_run_that_was_moved_alone_looks_for_its_images_where_they_were_from_it(with_data, tmp_path):
    moved = shutil.move(with_data / "runs" / "first", tmp_path / "first")
    assert str(tmp_path.parent / "mnist") in refusal(1, "eval", moved)


# data


def test_the_command_data(tmp_path, mnist):
    said = npstn_("data", "--data-dir", tmp_path)
    assert said == (0, f"MNIST is whole: 300 training and 50 test digits in {tmp_path}\n", "")


def test_the_command_data_without_the_files(tmp_path, monkeypatch):
    use_mnist(monkeypatch, offline_mnist)
    assert str(tmp_path) in refusal(1, "data", "--data-dir", tmp_path)
