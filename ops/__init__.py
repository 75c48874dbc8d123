"""The operators, by family. Importing this package registers them all."""

from __future__ import annotations

from . import (
    activation,
    broadcasting,
    convolution,
    creation,
    elementwise,
    indexing,
    matrix,
    movement,
    nn,
    normalization,
    optimizer,
    optimizer_mixed,
    ordering,
    output,
    pooling,
    rearrangement,
    reduction,
    sequence,
)

__all__ = [
    "activation",
    "broadcasting",
    "convolution",
    "creation",
    "elementwise",
    "indexing",
    "matrix",
    "movement",
    "nn",
    "normalization",
    "optimizer",
    "optimizer_mixed",
    "ordering",
    "output",
    "pooling",
    "rearrangement",
    "reduction",
    "sequence",
]
