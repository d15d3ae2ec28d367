"""The kinds of maps that a spatial transformer can apply, by their names in the command."""

from npstn.transformers.base import Transformer
from npstn.transformers.rotation import Rotation

__all__ = ["TRANSFORMERS", "Rotation", "Transformer"]

TRANSFORMERS: dict[str, type[Transformer]] = {
    "rotation": Rotation,
}
