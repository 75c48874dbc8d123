"""The operators, by family. Importing this package registers them all."""

from __future__ import annotations

from . import (
    activation,
    broadcasting,
    convolution,
    creation,
    elementwise,
    image,
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
    recurrent,
    reduction,
    sequence,
)

__all__ = [
    "activation",
    "broadcasting",
    "convolution",
    "creation",
    "elementwise",
    "image",
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
    "recurrent",
    "reduction",
    "sequence",
]
