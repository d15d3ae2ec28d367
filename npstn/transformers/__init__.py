"""The kinds of maps that a spatial transformer can apply, by their names in the command."""

from npstn.transformers.affine import Affine
from npstn.transformers.attention import Attention
from npstn.transformers.base import Setting, Transformer
from npstn.transformers.projective import Projective
from npstn.transformers.rotation import Rotation
from npstn.transformers.similarity import Similarity
from npstn.transformers.tps import Tps

__all__ = [
    "TRANSFORMERS",
    "Affine",
    "Attention",
    "Projective",
    "Rotation",
    "Setting",
    "Similarity",
    "Tps",
    "Transformer",
]

TRANSFORMERS: dict[str, type[Transformer]] = {
    "rotation": Rotation,
    "similarity": Similarity,
    "attention": Attention,
    "affine": Affine,
    "projective": Projective,
    "tps": Tps,
}
