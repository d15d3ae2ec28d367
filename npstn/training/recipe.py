"""How a network is trained: the optimiser, its learning rate, the batches, the epochs."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

from npstn import nn, optim
from npstn.messages import check_name, one_line
from npstn.models import localisers


WEIGHT_DECAYS = {"muon": 0.2, "adamw": 0.05, "sgd": 0.0}  # for each optimiser


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        optimizer: "muon", which is `optim.MuonWithAuxAdam`, or "adamw", both with the rate in one cycle up to `lr`; or
            "sgd", with a momentum of 0.5 and a constant rate.
        lr: the learning rate, above 0 and at most 1000.
        batch_size, epochs: at least 1.
        dropout: the probability that a network's layers drop a number, 0 .. 1 without 1.
        localiser_factor: how many times `lr` the learning rate of localisation networks is; above 0 and at most 1000.
        patience: after how many epochs in a row, at least 1, without a better test accuracy the training stops; None
            for never.
        warmup: the most steps, at least 1, in which the rate of a cycle rises. It rises for a fifth of all steps if
            these are fewer, or if this is None.
        average: over which share of the steps so far the weights are averaged to be evaluated, above 0 and at most 1,
            such as 0.1 for the last tenth; None to evaluate the weights themselves.
        label_smoothing: the share of each label that is spread over all classes, 0 .. 1 without 1.
        curriculum: over which share of all steps, 0 .. 1, the distortions of the training images grow from none to
            their whole (Bengio et al. 2009); 0 for the whole from the start.
        weight_decay: the optimiser's, 0 .. 1000; None for the one of `WEIGHT_DECAYS`.

    Raises ValueError or TypeError for other values.
    """

    optimizer: str
    lr: float
    batch_size: int
    epochs: int
    dropout: float
    localiser_factor: float = 1.0
    patience: int | None = None
    warmup: int | None = None
    average: float | None = None
    label_smoothing: float = 0.0
    curriculum: float = 0.0
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        check_name("Recipe", "optimizer", self.optimizer, tuple(WEIGHT_DECAYS))
        for name in ("lr", "localiser_factor"):
            if not 0 < getattr(self, name) <= 1e3:
                rate = one_line(getattr(self, name))
                raise ValueError(f"Recipe: expected {name} above 0 and at most 1000, got {rate}")
        for name in ("dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"Recipe: expected {name} from 0 to below 1, got {one_line(getattr(self, name))}")
        if not 0 <= self.curriculum <= 1:
            raise ValueError(f"Recipe: expected curriculum from 0 to 1, got {one_line(self.curriculum)}")
        if self.weight_decay is not None and not 0 <= self.weight_decay <= 1e3:
            raise ValueError(f"Recipe: expected weight_decay from 0 to 1000, got {one_line(self.weight_decay)}")
        if self.average is not None and not 0 < self.average <= 1:
            raise ValueError(f"Recipe: expected average above 0 and at most 1, got {one_line(self.average)}")
        optional = [name for name in ("patience", "warmup") if getattr(self, name) is not None]
        for name in ("batch_size", "epochs", *optional):
            count = getattr(self, name)
            if not isinstance(count, int) or not 1 <= count <= 10**9:
                raise ValueError(f"Recipe: expected {name} to be an integer from 1 to 10^9, got {one_line(count)}")

    def out_of_patience(self, rows: Sequence[Mapping[str, float]]) -> bool:
        """Whether the last `patience` epochs were no better than the best before them. Args: as for `best_epoch`."""
        return self.patience is not None and len(rows) - best_epoch(rows) >= self.patience

    def optimizer_for(self, net: nn.Module, images: int) -> tuple[optim.Optimizer, optim.OneCycleLR | None]:
        """The optimiser of a network, and its schedule for so many images an epoch."""
        of_localisers = {id(p) for localiser in localisers(net) for p in localiser.parameters()}
        rates = [self.lr * (self.localiser_factor if id(p) in of_localisers else 1) for p in net.parameters()]
        params = [{"params": [p], "lr": rate} for p, rate in zip(net.parameters(), rates, strict=True)]
        decay = WEIGHT_DECAYS[self.optimizer] if self.weight_decay is None else self.weight_decay
        if self.optimizer == "sgd":
            return optim.SGD(params, self.lr, momentum=0.5, weight_decay=decay), None
        kind = optim.MuonWithAuxAdam if self.optimizer == "muon" else optim.AdamW
        optimizer = kind(params, self.lr, weight_decay=decay)
        steps = self.steps(images)
        pct_start = 0.2 if self.warmup is None else min(0.2, self.warmup / max(steps, 1))
        return optimizer, optim.OneCycleLR(optimizer, self.lr, steps, pct_start)

    def steps(self, images: int) -> int:
        """How many there are in all epochs, of so many images each."""
        return self.epochs * -(-images // self.batch_size)

    def strengths(self, taken: int, images: int) -> Iterator[float]:
        """How far the images of each following step are distorted, 0 .. 1.

        Args:
            taken: the steps before.
            images: how many there are in an epoch.

        >>> import itertools
        >>> recipe = Recipe("sgd", lr=0.1, batch_size=10, epochs=2, dropout=0.0, curriculum=0.5)
        >>> list(itertools.islice(recipe.strengths(0, images=40), 6))
        [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
        """
        growing = self.curriculum * self.steps(images)
        for step in itertools.count(taken):
            yield step / growing if step < growing else 1.0

    def average_for(self, net: nn.Module) -> optim.AveragedModel | None:
        """The average of a network's weights that is evaluated; None where the weights themselves are."""
        return None if self.average is None else optim.AveragedModel(net, self._decay)

    def _decay(self, updates: int) -> float:
        """The decay of an average over the last `average * updates` steps; with 1 the average is the mean of all."""
        reach = (self.average or 0) * updates
        return reach / (1 + reach)


def best_epoch(rows: Sequence[Mapping[str, float]]) -> int:
    """The number, from 1, of the first epoch with the highest test accuracy; 0 where none is done.

    Args:
        rows: those of metrics.csv, one for each epoch.

    >>> best_epoch([{"test_accuracy": 97.0}, {"test_accuracy": 98.5}, {"test_accuracy": 98.5}])
    2
    """
    accuracies = [row["test_accuracy"] for row in rows]
    return accuracies.index(max(accuracies)) + 1 if rows else 0


RECIPES = {
    "fast": Recipe(
        "muon",
        lr=6e-3,
        batch_size=64,
        epochs=9,
        dropout=0.0,
        localiser_factor=0.5,
        warmup=420,
        average=0.1,
        label_smoothing=0.05,
    ),
    "blog": Recipe("sgd", lr=1e-3, batch_size=10, epochs=5, dropout=0.5),
    "paper": Recipe("sgd", lr=1e-2, batch_size=32, epochs=8, dropout=0.0),  # the paper: batches of 256, 640 epochs
    "tps_stn": Recipe("sgd", lr=1e-2, batch_size=64, epochs=10, dropout=0.5),  # of WarBean/tps_stn_pytorch
}
