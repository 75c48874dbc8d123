"""Blocks of arrays that a GPU moves by itself, and of which arrays it can.

A tensor descriptor holds the address, the lengths and the strides of an array. With it one
instruction of one thread brings a block of the array to shared memory, or back; what lies behind
the end of an axis is zero there, and is not written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..expressions.expr import Expr
from ..expressions.layout import Layout

# Ten times the compute capability from which on GPUs have them.
WITH_DESCRIPTORS = 90
# Addresses, and strides but the last, are multiples of so many bytes.
UNIT = 16
_MOST_AXES = 5
_LONGEST = 2**31 - 1


@dataclass(frozen=True)
class Descriptor:
    """An array in blocks.

    Attributes:
        shape, strides: of the array, in elements; the last stride is 1.
        block: the shape of a block.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    block: tuple[int, ...]


def axes_of(x: Expr, layout: Layout) -> tuple[int, ...] | None:
    """The axes that a descriptor of a value's matrices has, in the order of their strides.

    Other axes than those of the matrices are left out where all their elements are the same.

    Returns:
        The axes, those of the matrices last, or None where there is no such descriptor.
    """
    strides = layout.strides
    row, column = len(strides) - 2, len(strides) - 1
    matrix = (row, column) if strides[column] == 1 else (column, row)
    axes = (*(axis for axis in range(row) if strides[axis]), *matrix)
    unit = UNIT // math.gcd(UNIT, x.dtype.itemsize)
    counted = [layout.offset, *(strides[axis] for axis in axes[:-1])]
    fits = strides[axes[-1]] == 1 and len(axes) <= _MOST_AXES
    fits &= all(strides[axis] > 0 and x.shape[axis] <= _LONGEST for axis in axes)
    return axes if fits and all(n % unit == 0 for n in counted) else None


def descriptor_of(x: Expr, layout: Layout, rows: int, columns: int) -> Descriptor:
    """The descriptor of a value in blocks of so many rows and columns of its matrices."""
    axes = axes_of(x, layout)
    assert axes is not None
    lengths = {len(x.shape) - 2: rows, len(x.shape) - 1: columns}
    return Descriptor(
        tuple(x.shape[axis] for axis in axes),
        tuple(layout.strides[axis] for axis in axes),
        tuple(lengths.get(axis, 1) for axis in axes),
    )
