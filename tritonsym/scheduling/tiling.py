"""Tiles: long kernels cut into parts whose inner values stay in a cache, for the CPU.

torch has no fused kernels there, but a tile's values are still in the cache when the next call
reads them, and only what a kernel reads and leaves behind travels to memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from ..expressions.expr import REDUCTIONS, Expr, Shape
from ..expressions.layout import Layout
from ..expressions.reference import VECTOR, depends_on_position
from .schedule import Kernel

# Bytes that a tile of the widest value has: few of them fill no cache, and torch still finds enough
# work in one call for all its threads.
TILE = 2**22
# What is taken as one axis is cut into this many times more: a call on it has nothing to work out.
_FINER = 4

Box = tuple[slice, ...]


@dataclass(frozen=True)
class Tiling:
    """A kernel cut along one axis of what it walks over; the axes before it are taken one by one.

    Attributes:
        flat: whether the arrays, which lie densely and in one order or are one number repeated,
            are taken as one axis.
        shape: of what is walked over.
        axis: the one that is cut.
        rows: how many of that axis a tile has.
    """

    flat: bool
    shape: Shape
    axis: int
    rows: int

    @property
    def count(self) -> int:
        """How many tiles there are."""
        return math.prod(self.shape[: self.axis]) * -(-self.shape[self.axis] // self.rows)

    def boxes(self) -> Iterator[Box]:
        """The part of the cut axis and those before it that each tile has, in order."""
        length = self.shape[self.axis]
        for before in product(*map(range, self.shape[: self.axis])):
            for start in range(0, length, self.rows):
                own = slice(start, min(start + self.rows, length))
                yield (*(slice(i, i + 1) for i in before), own)

    def shape_in(self, box: Box, x: Expr) -> Shape:
        """The shape of a value's part of a tile."""
        cut = tuple(part.stop - part.start for part in box)
        return cut if self.flat else (*cut, *x.shape[len(box) :])

    def position(self, box: Box, x: Expr) -> int:
        """The number of the first of a value's elements in a tile, in row-major order."""
        shape = self.shape if self.flat else x.shape
        steps = (math.prod(shape[axis + 1 :]) for axis in range(len(box)))
        return sum(part.start * step for part, step in zip(box, steps, strict=True))

    def elements(self, x: Expr) -> int:
        """How many elements of a value a whole tile has."""
        return self.rows if self.flat else self.rows * math.prod(x.shape[self.axis + 1 :])

    def bytes(self, x: Expr) -> int:
        """The size of a value's part of a whole tile."""
        return self.elements(x) * x.dtype.itemsize


def tiling_of(kernel: Kernel, where: Mapping[Expr, Layout]) -> Tiling | None:
    """How to cut a kernel of several steps over many elements; None where it runs as a whole.

    Args:
        where: the layouts of what it computes and reads.
    """
    if kernel.form not in ("pointwise", "rows") or len(kernel.body) < 2:
        return None
    shape, axes = _walked_over(kernel)
    if math.prod(shape) < 2:
        return None
    elements = TILE // max(x.dtype.itemsize for x in kernel.body)
    inside = set(kernel.body)
    read = [y for x in kernel.body for y in x.inputs if y not in inside and any(where[y].strides)]
    dense = _in_one_order(kernel.body, read, where)
    if kernel.form == "pointwise" and dense and not any(x.primitive == "iota" for x in kernel.body):
        found = Tiling(True, (math.prod(shape),), 0, max(1, elements // _FINER))
    else:
        # Rows stay whole: no axis is cut that is reduced, or that follows one that is.
        fitting = (k for k in range(axes) if math.prod(shape[k + 1 :]) <= elements)
        axis = next(fitting, None)
        if axis is None:
            return None
        found = Tiling(False, shape, axis, elements // math.prod(shape[axis + 1 :]))
    if found.count < 2:
        return None
    return _of_vectors(found, list(filter(depends_on_position, kernel.body)))


def _in_one_order(
    computed: Sequence[Expr], read: Sequence[Expr], where: Mapping[Expr, Layout]
) -> bool:
    """Whether values lie densely with their elements in the same order; what is computed does."""
    values = [*computed, *read]
    if all(where[x].is_dense(x.shape) for x in values):
        return True
    return len({(x.shape, where[x].strides) for x in values}) == 1


def _walked_over(kernel: Kernel) -> tuple[Shape, int]:
    """The shape of a kernel's widest values, and how many axes come before any that is reduced."""
    for x in kernel.body:
        if x.primitive in REDUCTIONS:
            return x.inputs[0].shape, min(x.integers("axes"))
    shape = kernel.body[0].shape
    return shape, len(shape)


def _of_vectors(tiling: Tiling, dependent: Sequence[Expr]) -> Tiling | None:
    """The same with tiles that begin where torch would begin a new vector in the whole as well.

    Args:
        dependent: the values that depend on it.
    """
    row = replace(tiling, rows=1)
    if tiling.axis and any(tiling.shape[tiling.axis] * row.elements(x) % VECTOR for x in dependent):
        return None
    least = max((VECTOR // math.gcd(VECTOR, row.elements(x)) for x in dependent), default=1)
    rows = tiling.rows - tiling.rows % least
    return replace(tiling, rows=rows) if rows else None
