"""What is asked of a network, by the names in the command."""

from npstn.tasks.addition import Addition
from npstn.tasks.base import Batch, Measure, Task
from npstn.tasks.cluttered import Cluttered
from npstn.tasks.elastic import E
from npstn.tasks.perspective import P
from npstn.tasks.pictures import Pictures
from npstn.tasks.rotated import R, Rotated, rotate
from npstn.tasks.rts import RTS

__all__ = [
    "TASKS",
    "RTS",
    "Addition",
    "Batch",
    "Cluttered",
    "E",
    "Measure",
    "P",
    "Pictures",
    "R",
    "Rotated",
    "Task",
    "rotate",
]

TASKS: dict[str, type[Task]] = {
    "rotated": Rotated,
    "R": R,
    "RTS": RTS,
    "P": P,
    "E": E,
    "cluttered": Cluttered,
    "addition": Addition,
    "pictures": Pictures,
}
