"""config.json: what a run was started with."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numba
import numpy as np
import scipy

import npstn
from npstn import models, nn
from npstn.data import SOURCES, DataError, Source, pictures
from npstn.data.sources import FOLDER, LONGEST_SIDE, MOST_CLASSES
from npstn.runs.errors import RunError
from npstn.runs.formats import FORMAT, refuse_other_formats
from npstn.storage import write_whole
from npstn.tasks import TASKS, Pictures, Task
from npstn.training import Recipe
from npstn.transformers import TRANSFORMERS

FILE = "config.json"


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run was started with.

    Attributes:
        task: its "name", the "source" of its images, and its settings.
        model: the arguments of `models.build` without the dropout: "transformer", "image", "classes", "network",
            "parallel", and the transformer's settings.
        recipe: how it is trained; recipe_name: the recipe that the options started from.
        seed: of all random numbers.
        data_folder: where the source's files were, if a folder was named; relative to the run folder where it can be.
        data_sha256: the hash of the images and labels.
        versions: of npstn and of what the last digits of its results depend on.
        classes: the names of the classes of the user's pictures, so that the run can answer where they are gone; () for
            digits, which their task names.
    """

    task: dict[str, Any]
    model: dict[str, Any]
    recipe: Recipe
    recipe_name: str
    seed: int
    data_folder: str | None
    data_sha256: str
    versions: dict[str, str]
    classes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The entries of config.json, as JSON gives them back: lists for tuples."""
        entries = {"format": FORMAT, **dataclasses.asdict(self)}
        del entries["classes"]
        for field in dataclasses.fields(Recipe):  # early runs do not have the entries with a default
            if getattr(self.recipe, field.name) == field.default:
                del entries["recipe"][field.name]
        named = {"classes": list(self.classes)} if self.classes else {}
        return {**entries, "model": {**self.model, "image": list(self.model["image"])}, **named}

    def below(self, folder: Path) -> Config:
        """The same for a run in this folder: where its data are is kept relative to it."""
        if self.data_folder is None:
            return self
        return dataclasses.replace(self, data_folder=_relative(self.data_folder, folder))

    def build_net(self) -> nn.Module:
        """The network, with new weights."""
        return models.build(**self.model, dropout=self.recipe.dropout)

    def class_names(self, folder: Path) -> tuple[str, ...]:
        """What the labels of the run in a folder stand for; an early run of pictures must read them to know."""
        return self.classes or self.open_task(folder).classes

    def open_task(
        self,
        folder: Path,
        data_folder: str | os.PathLike[str] | None = None,
        source: Source | None = None,
        **changes: Any,
    ) -> Task:
        """The task of the run in a folder.

        Args:
            data_folder: where the files of the run's source are; where the run found them if None.
            source: of other images than the run's.
            changes: another seed, other settings.

        Raises RunError where the user's pictures are not those that the run was started with: the two sets may have
        been divided in another way. Raises DataError where they cannot be read.
        """
        chosen = {"seed": self.seed, **self.task, **changes}
        name, source_name = chosen.pop("name"), chosen.pop("source")
        if source is None:
            if data_folder is None and self.data_folder is not None:
                data_folder = os.path.normpath(folder.resolve() / self.data_folder)  # it was taken from there
                if source_name == FOLDER and not os.path.exists(data_folder):
                    raise RunError(
                        f"expected the pictures of the run in {folder} in {data_folder}, got nothing there; say where "
                        f"they are with --data-dir"
                    )
            if source_name == FOLDER:
                source = self._pictures(data_folder or "", chosen["size"], folder)
            else:
                source = SOURCES[source_name](data_folder)
        return TASKS[name](source, **chosen)

    def _pictures(self, path: str | os.PathLike[str], size: int, folder: Path) -> Source:
        """The user's pictures, if they are those of the run in this folder."""
        source = pictures(path, size or None)
        image = source.channels, *source.size
        same = (image, len(source.classes)) == (self.model["image"], self.model["classes"])
        if not same or source.sha256() != self.data_sha256:
            raise RunError(f"expected the pictures that the run in {folder} was started with in {path}, got others")
        missing = [name for name in self.classes if name not in source.classes]
        if missing:  # it was renamed
            raise RunError(f"expected a class {missing[0]!r} in {path}, as the run in {folder} has, got none")
        return source


def _relative(data_folder: str | os.PathLike[str], folder: Path) -> str:
    """The path from a run folder to its data, so that both can be moved together."""
    data_folder = Path(data_folder).expanduser().resolve()
    try:
        return os.path.relpath(data_folder, folder.resolve())
    except ValueError:  # on another drive
        return str(data_folder)


def versions() -> dict[str, str]:
    """The versions of npstn and of what the last digits of a run's results depend on."""
    return {
        "npstn": npstn.__version__,
        "numpy": np.__version__,
        "numba": numba.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }


def is_run(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder looks like that of a run."""
    return os.path.isfile(os.path.join(folder, FILE))


def write_config(folder: Path, config: Config) -> None:
    """Write config.json, whole or not at all."""
    write_whole(folder / FILE, (json.dumps(config.as_json(), indent=2) + "\n").encode())


def read_config(folder: Path) -> Config:
    """Read config.json. Raises RunError, in one line, where there is none or it is not one that a run writes."""
    path = folder / FILE
    if not path.is_file():
        lacks = f"{folder}, with no {FILE} in it" if folder.is_dir() else f"{folder}: there is no such folder"
        raise RunError(f"expected a run folder, got {lacks}")
    try:
        with path.open("rb") as file:
            entries = json.loads(file.read(2**20))  # a config has a few hundred bytes: what this cuts is none
        refuse_other_formats(folder, entries)
        return _config(entries)
    except (ValueError, KeyError, TypeError, RecursionError, DataError):
        raise RunError(f"expected what a run writes in {path}, got something else") from None


def _config(entries: Mapping[str, Any]) -> Config:
    """The entries of config.json, checked; raises what shows that they are not."""
    entries = dict(entries)
    if entries.pop("format") != FORMAT:
        raise ValueError
    config = Config(**{**entries, "recipe": Recipe(**entries["recipe"])})
    model = {**config.model, "image": tuple(config.model["image"])}
    config = dataclasses.replace(config, model=model, classes=tuple(config.classes))
    if not isinstance(config.versions, dict):
        raise TypeError
    texts = (
        config.recipe_name, config.data_sha256, *config.versions.values(), config.data_folder or "", *config.classes
    )
    if not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise ValueError
    if isinstance(config.seed, bool) or not isinstance(config.seed, int) or config.seed < 0:
        raise ValueError
    if (config.task["name"] == Pictures.name) != (config.task["source"] == FOLDER):
        raise ValueError
    if config.classes and (config.task["source"] != FOLDER or len(config.classes) != model["classes"]):
        raise ValueError
    task = config.open_task(Path(), source=_unread(config) if config.task["source"] == FOLDER else None)
    if config.task.keys() != {"name", "source", *task.settings}:
        raise ValueError
    transformer = TRANSFORMERS.get(model["transformer"])
    of_transformer = transformer.settings if transformer else ()
    if model.keys() != {"transformer", "image", "classes", "network", "parallel", *of_transformer}:
        raise ValueError
    if (model["image"], model["classes"]) != (task.image, len(task.classes)):  # before a network of any size is built
        raise ValueError
    config.build_net()
    return config


def _unread(config: Config) -> Source:
    """A stand-in for the user's pictures, as the entries describe them: config.json is read where they are gone."""
    (channels, *size), classes = config.model["image"], config.model["classes"]
    if config.data_folder is None or channels not in (1, 3) or len(size) != 2:
        raise ValueError
    if not all(isinstance(n, int) and 1 <= n <= LONGEST_SIDE for n in size) or not 2 <= classes <= MOST_CLASSES:
        raise ValueError
    names, nothing = tuple(map(str, range(classes))), (np.empty(0, np.uint8), np.empty(0, np.int64))
    return Source(FOLDER, "pictures", lambda train: nothing, (size[0], size[1]), names, channels)
