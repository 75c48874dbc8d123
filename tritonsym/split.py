"""Reductions of few long rows in two stages, so that there is work for a whole GPU.

A program takes a row, or some columns that lie side by side. Where there are fewer of them than a
GPU has multiprocessors, a long row is cut into equal parts, each is reduced on its own, and the
parts' results are reduced in a second pass. Both are reductions like any other: no order of
additions depends on what finishes first, and the result has the same bits in every run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from .expr import ELEMENTWISE, Expr, Shape, make, reshape
from .layout import Layout, layout_of
from .regroup import in_shape
from .simplify import rewritten
from .trace import Graph

# Fewer programs than this leave multiprocessors idle; twice as many hide each other's waiting.
ENOUGH = 132
# Elements from which a row is worth a second pass, and that a part of it has at least.
LONG = 2**16
SHORTEST_PART = 4096
# Of side by side columns a program takes this many.
_SIDE_BY_SIDE = 32
# More expressions than this are not computed in both shapes.
_MOST_COMPUTED = 64


def split(graph: Graph, input_strides: Mapping[int, tuple[int, ...]]) -> Graph:
    """The graph with long reductions in two stages.

    Args:
        graph: what is to be computed.
        input_strides: in elements, of bound arrays that are not contiguous, by index.
    """
    known: dict[Expr, Layout] = {}

    def is_view(x: Expr) -> bool:
        return layout_of(x, known, input_strides).base is not x

    def rule(x: Expr) -> Expr | None:
        place = cut(x)
        if place is None:
            return None
        axis, parts = place
        (data,) = x.inputs
        lengths = (parts, data.shape[axis] // parts)
        shape = (*data.shape[:axis], *lengths, *data.shape[axis + 1 :])
        cut_data = _computed_in_shape(data, shape, is_view) or reshape(data, shape)
        axes = [a + (a >= axis) for a in x.integers("axes")]
        partial = make(x.primitive, cut_data, axes=tuple(a if a != axis else a + 1 for a in axes))
        return reshape(make(x.primitive, partial, axes=(axis,)), x.shape)

    return rewritten(graph, rule)


def cut(x: Expr) -> tuple[int, int] | None:
    """The axis of a reduction to cut and into how many parts, or None where one pass is best."""
    if x.primitive not in ("sum", "prod", "max", "min"):
        return None
    if x.dtype.is_reduced and x.primitive in ("sum", "prod"):
        return None  # partial results would be rounded to 16 bits
    shape, axes = x.inputs[0].shape, x.integers("axes")
    columns = math.prod(shape[a] for a in axes)
    last = max(a for a, length in enumerate(shape) if length > 1 or a == 0)
    programs = x.size if last in axes else -(-x.size // _SIDE_BY_SIDE)
    if columns < LONG or programs >= ENOUGH:
        return None
    most = min(2 * ENOUGH // programs, columns // SHORTEST_PART)
    # Of equal cuts the outermost, whose parts lie densely in memory.
    parts, axis = max((_largest_divisor(shape[a], most), -a) for a in axes)
    return (-axis, parts) if parts > 1 else None


def _largest_divisor(length: int, most: int) -> int:
    return next(n for n in range(max(1, min(most, length)), 0, -1) if length % n == 0)


def _computed_in_shape(data: Expr, shape: Shape, is_view: Callable[[Expr], bool]) -> Expr | None:
    """A value computed in another shape from the memory that it comes from, if that is no more.

    The value itself may be needed in its own shape as well; it is then computed twice, which moves
    less than storing it where it comes from one array.
    """
    leaves: dict[Expr, None] = {}
    computed = {data: None}
    waiting = [data]
    while waiting and len(computed) <= _MOST_COMPUTED:
        x = waiting.pop()
        if x.primitive not in ELEMENTWISE:
            leaves[x] = None
            continue
        waiting += [y for y in x.inputs if y not in computed]
        computed.update(dict.fromkeys(x.inputs))
    if waiting or sum(x.primitive not in ("expand", "constant") for x in leaves) > 1:
        return None
    moved: dict[Expr, Expr] = {}
    for x in leaves:
        found = in_shape(x, shape, is_view)
        if found is None:
            return None
        moved[x] = found
    waiting = [data]
    while waiting:
        x = waiting[-1]
        missing = [y for y in x.inputs if y not in moved]
        if x not in moved and not missing:
            moved[x] = make(x.primitive, *(moved[y] for y in x.inputs), **dict(x.attributes))
        if x in moved:
            waiting.pop()
        waiting += missing
    return moved[data]
