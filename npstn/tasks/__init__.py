"""What is asked of a network, by the names in the command."""

from npstn.tasks.base import Batch, Measure, Task
from npstn.tasks.rotated import Rotated, rotate

__all__ = ["TASKS", "Batch", "Measure", "Rotated", "Task", "rotate"]

TASKS: dict[str, type[Task]] = {
    "rotated": Rotated,
}
