"""Operators that put elements into another arrangement: blocks, borders, diagonals, parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

from tritonsym.expressions.expr import (
    Expr,
    concat,
    flip,
    full,
    iota,
    narrow,
    permute,
    pick,
    reshape,
    where,
)
from tritonsym.foundation.dtype import INT64
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import DTypes, Numbered, operator
from tritonsym.graph.schema import Count, OptionalArity

from .common import axis_of


@operator("depth_to_space")
def depth_to_space(data: Expr, *, block_size: Count) -> Expr:
    """Channels moved into blocks of the image: ``(n, c*b*b, h, w)`` to ``(n, c, h*b, w*b)``."""
    b, shape = block_size, data.shape
    if len(shape) != 4 or shape[1] % (b * b):
        raise LoweringError(f"data {shape} needs four axes and channels divisible by {b * b}")
    n, depth, h, w = shape
    c = depth // (b * b)
    blocks = permute(reshape(data, (n, b, b, c, h, w)), (0, 3, 4, 1, 5, 2))
    return reshape(blocks, (n, c, h * b, w * b))


@operator("space_to_depth")
def space_to_depth(data: Expr, *, block_size: Count) -> Expr:
    """Blocks of the image moved into channels: ``(n, c, h*b, w*b)`` to ``(n, c*b*b, h, w)``."""
    b, shape = block_size, data.shape
    if len(shape) != 4 or shape[2] % b or shape[3] % b:
        raise LoweringError(f"data {shape} needs four axes, the last two divisible by {b}")
    n, c, height, width = shape
    blocks = permute(reshape(data, (n, c, height // b, b, width // b, b)), (0, 3, 5, 1, 2, 4))
    return reshape(blocks, (n, c * b * b, height // b, width // b))


Border = Callable[[Expr, int, int, bool], Expr]


def _edge(data: Expr, axis: int, count: int, before: bool) -> Expr:
    at = 0 if before else data.shape[axis] - 1
    return concat([narrow(data, axis, at, at + 1)] * count, axis)


def _reflection(data: Expr, axis: int, count: int, before: bool) -> Expr:
    length = data.shape[axis]
    if count >= length:
        raise LoweringError(f"a border of {count} cannot reflect an axis of length {length}")
    start = 1 if before else length - 1 - count
    return flip(narrow(data, axis, start, start + count), (axis,))


@operator("Pad", aliases=("pad",))
def pad(
    data: Expr,
    *,
    mode: Literal["constant", "edge", "reflect"],
    pad_width: tuple[int, ...],
    constant_value: float = 0.0,
) -> Expr:
    """A border around the data: ``pad_width`` is (before, after) for each axis in turn.

    ``constant`` fills it with ``constant_value``, ``edge`` with the outermost elements,
    ``reflect`` with the elements mirrored at the outermost ones.
    """
    if len(pad_width) != 2 * len(data.shape) or min(pad_width, default=0) < 0:
        raise LoweringError(f"pad_width={pad_width} needs two widths for each axis of {data.shape}")

    def constant(x: Expr, axis: int, count: int, before: bool) -> Expr:
        return full(constant_value, (*x.shape[:axis], count, *x.shape[axis + 1 :]), x.dtype)

    border: Border = {"constant": constant, "edge": _edge, "reflect": _reflection}[mode]
    result = data
    for axis in range(len(data.shape)):
        widths = pad_width[2 * axis : 2 * axis + 2]
        parts = [border(result, axis, n, side == 0) for side, n in enumerate(widths) if n]
        before = parts[: widths[0] > 0]
        result = concat([*before, result, *parts[len(before) :]], axis)
    return result


@operator("diag")
def diag(data: Expr, *, k: int = 0, axis1: int = 0, axis2: int = 1) -> Expr:
    """The ``k``-th diagonal of two axes, as the last axis; of a vector, a matrix that has it."""
    if len(data.shape) == 1:
        size = data.shape[0] + abs(k)
        column = iota((size, size), 1)
        on_diagonal = (iota((size, size), 0) + k).equals(column)
        zeros = [full(0, (abs(k),), data.dtype)] if k else []
        filled = concat([*zeros, data] if k > 0 else [data, *zeros], 0)
        return where(on_diagonal, reshape(filled, (1, size)), 0)
    one, two = axis_of(axis1, len(data.shape), "axis1"), axis_of(axis2, len(data.shape), "axis2")
    if one == two:
        raise LoweringError(f"axis1={axis1} and axis2={axis2} are the same axis")
    rest = tuple(i for i in range(len(data.shape)) if i not in (one, two))
    matrices = permute(data, (*rest, one, two))
    *_, rows, columns = matrices.shape
    start = max(-k, 0)
    length = min(rows - start, columns - max(k, 0))
    if length < 1:
        raise LoweringError(f"k={k} is no diagonal of {rows} rows and {columns} columns")
    within = narrow(matrices, len(rest), start, start + length)
    places = iota((*within.shape[:-1], 1), len(rest)) + max(k, 0)
    return reshape(pick(within, places, len(rest) + 1), within.shape[:-1])


def _is_counted(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    outputs[0] = INT64


@operator("shape_array", dtypes=_is_counted)
def shape_array(data: Expr) -> Expr:
    """The lengths of the data's axes, int64."""
    return concat([full(length, (1,), INT64) for length in data.shape], 0)


@operator("size_array", dtypes=_is_counted)
def size_array(data: Expr) -> Expr:
    """The number of the data's elements, int64."""
    return full(data.size, (1,), INT64)


def _parts(attributes: Any) -> Sequence[str]:
    count = attributes.sections or len(attributes.indices)
    return ("output",) if count == 1 else Numbered("output", count)


@operator("_split_v2", outputs=_parts)
def split_v2(
    data: Expr,
    *,
    indices: tuple[int, ...],
    axis: int = 0,
    squeeze_axis: bool = False,
    sections: OptionalArity = 0,
) -> tuple[Expr, ...]:
    """The data cut along ``axis`` into ``sections`` equal parts, or before each of ``indices``."""
    at = axis_of(axis, len(data.shape))
    length = data.shape[at]
    if sections and length % sections:
        raise LoweringError(f"axis {axis} of length {length} has no {sections} equal parts")
    starts = [i * length // sections for i in range(sections)] if sections else [*indices]
    bounds = [*starts, length]
    if any(not 0 <= a < b for a, b in pairwise(bounds)):
        raise LoweringError(f"indices={indices} do not cut axis {axis} of length {length}")
    parts = [narrow(data, at, a, b) for a, b in pairwise(bounds)]
    if not squeeze_axis:
        return tuple(parts)
    if any(part.shape[at] != 1 for part in parts):
        raise LoweringError("squeeze_axis needs parts of length 1")
    return tuple(reshape(x, (*x.shape[:at], *x.shape[at + 1 :])) for x in parts)
