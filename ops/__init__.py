"""The operators, by family. Importing this package registers them all."""

from __future__ import annotations

from . import (
    creation,
    elementwise,
    indexing,
    matrix,
    movement,
    nn,
    ordering,
    rearrangement,
    reduction,
)

__all__ = [
    "creation",
    "elementwise",
    "indexing",
    "matrix",
    "movement",
    "nn",
    "ordering",
    "rearrangement",
    "reduction",
]
