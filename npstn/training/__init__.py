"""Training a network on a task."""

from npstn.training.loop import COLUMNS, Epoch, Step, train
from npstn.training.metrics import Score, confusion, evaluate, look, misread
from npstn.training.recipe import RECIPES, WEIGHT_DECAYS, Recipe, best_epoch
from npstn.training.state import State, TrainingError

__all__ = [
    "COLUMNS",
    "RECIPES",
    "WEIGHT_DECAYS",
    "Epoch",
    "Recipe",
    "Score",
    "State",
    "Step",
    "TrainingError",
    "best_epoch",
    "confusion",
    "evaluate",
    "look",
    "misread",
    "train",
]
