"""Awkward arguments for the functions that read, draw and rotate images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from npstn import data, tasks
from tests.fuzz.calls import Fault, described, same, spoilt, unchanged
from tests.fuzz.draws import Draws
from tests.fuzz.trials import trial_of, tried


@trial_of("tasks.rotate", "tasks.Rotated")
def rotated(d: Draws, name: str) -> None:
    N, S = d.length(), d.length(1)
    images = np.random.default_rng(d.integer(0, 99)).integers(0, 256, (N, S, S)).astype(np.uint8)
    degrees = d.array((N,), d.dtype())
    valid: bool | None = True
    if name == "tasks.Rotated":
        labels = np.zeros(N, np.int64)
        task = tasks.Rotated(data.Source("some", "images", lambda train: (images, labels), (S, S), ("zero",)))
        taken = tried(valid, lambda: list(task.batches(d.integer(1, 3), np.random.default_rng(0))))
        if taken is not None and sum(len(batch.images) for batch in taken) != N:
            raise Fault("batches do not hold all images")
        return
    if d.chance(3):
        images, degrees = d.choice([(spoilt(d, images), degrees), (images, spoilt(d, degrees))])
        valid = None
    before = images.copy() if isinstance(images, np.ndarray) else images
    turned = tried(valid, tasks.rotate, images, degrees)
    if turned is not None and (turned.dtype != np.float32 or turned.shape != (len(images), 1, *images.shape[1:])):
        raise Fault(f"{described(images)} turned are {turned.shape}, {turned.dtype}")
    unchanged("the images", [images], [before])


@trial_of("data.draw_digits")
def drawn(d: Draws, _: str) -> None:
    count, seed = d.choice([0, 1, 2, 11, np.int64(3)]), d.choice([0, 1, 2**63, 10**30])
    valid = True
    if d.chance(2):
        count, seed = d.choice([(n, 0) for n in (-1, 1.5, None, "2", 2**62, 10**30)] + [(1, -1), (1, 0.5)])
        valid = False
    found = tried(valid, data.draw_digits, count, seed)
    if found is not None and (found[0].shape != (count, 28, 28) or found[1].shape != (count,)):
        raise Fault(f"{count} digits are {found[0].shape}, {found[1].shape}")


@trial_of("data.load_images", "data.pictures")
def own_images(d: Draws, function: str) -> None:
    """The error for an .npz that does not fit or is damaged is one line that names the file."""
    N, size, colours = d.length(1), d.choice([1, 28, (5, 7), None]), d.choice([(), (3,)])
    shape = (N, d.length(1), d.length(1), *colours)
    images = np.random.default_rng(d.integer(0, 99)).integers(0, 256, shape, np.uint8)
    labels = np.arange(N) // 2
    arrays: dict[str, Any] = {"images": images, "labels": labels if d.chance(2) else labels.astype(str)}
    damaged = d.chance(2)
    spoiling = d.chance(2)
    if spoiling:
        name = d.choice(["images", "labels"])
        arrays[name] = spoilt(d, arrays[name])
    if d.chance(4):
        hidden(d, images[:, :, :, 0] if colours else images, data.load_images)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "own.npz")
        np.savez(path, **arrays)
        if damaged:
            content = bytearray(path.read_bytes())
            content[d.integer(0, len(content) - 1)] = d.integer(0, 255)
            path.write_bytes(content[: d.integer(0, len(content))] if d.chance(2) else content)
        source = function == "data.pictures"
        too_few = source and N < 3  # of two classes, and two pictures of one of them
        try:
            read, labels = data.pictures(path, size).train if source else data.load_images(path, size, grey=False)[:2]
        except data.DataError as error:
            if not (spoiling or damaged or too_few) or str(path) not in str(error) or "\n" in str(error):
                raise Fault(f"{described(images)} are refused: {error}") from error
        else:
            wanted = shape[1:3] if size is None else np.broadcast_to(size, 2)
            if (not spoiling and read.shape != (len(labels), *wanted, *colours)) or read.dtype != np.uint8:
                raise Fault(f"{described(images)} are read as {described(read)}")
        bad = d.choice([-1, 0, 1.5, float("nan"), "2", (1,), 2**31, 10**30])
        tried(False, data.pictures if source else data.load_images, path, bad)


def hidden(d: Draws, images: np.ndarray, load: Callable[..., data.Images]) -> None:
    """What programs hide in a folder of pictures changes nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, image in enumerate(images):
            (folder / f"{number % 3}").mkdir(exist_ok=True)
            Image.fromarray(image).save(folder / f"{number % 3}" / f"{number}.png")
        before = load(folder, None)
        for _ in range(d.integer(1, 3)):
            inside = folder / d.choice(["", "0", ".ipynb_checkpoints", ".hidden.png", "__MACOSX"])
            inside.mkdir(exist_ok=True)
            file = inside / d.choice(["._0.png", ".DS_Store", ".png", ".a.jpg", "Thumbs.db"])
            file.write_bytes(d.choice([b"", b"\0\5\x16\7", (folder / "0" / "0.png").read_bytes()]))
        after = load(folder, None)
        same("an image next to hidden files", after.images, before.images)
        same("a label next to hidden files", after.labels, before.labels)
        if after.classes != before.classes:
            raise Fault(f"hidden folders made {before.classes} into {after.classes}")
