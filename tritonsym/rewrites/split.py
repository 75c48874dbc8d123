"""Reductions of few long rows in two stages, so that there is work for a whole GPU.

A program takes a row, or some columns that lie side by side. Where there are fewer of them than a
GPU has multiprocessors, a long row is cut into equal parts, each is reduced on its own, and the
parts' results are reduced in a second pass. Both are reductions like any other: no order of
additions depends on what finishes first, and the result has the same bits in every run. What is
left of a length that has no such parts is a short reduction of its own. Sums of 16-bit floats are
float32 between the two, and an extreme's position is that of its part and that within the part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

from ..expressions.expr import (
    ELEMENTWISE,
    Expr,
    Shape,
    broadcast,
    cast,
    constant,
    iota,
    make,
    narrow,
    reshape,
    where,
)
from ..expressions.layout import Layout, layout_of
from ..expressions.walks import reader_counts, toposort
from ..foundation.dtype import FLOAT32, INT64
from ..graph.trace import Graph
from .cones import Cone, bytes_of, cone_of, stored_in_any_case
from .nested import rows_first
from .regroup import in_shape
from .simplify import (
    applied,
    behind_views,
    replaced,
)

# Fewer programs than this leave multiprocessors idle; twice as many hide each other's waiting.
ENOUGH = 132
# Elements of a program from which its reduction is worth a second pass, and that a part of it has
# at least: a second pass takes about two microseconds, in which one multiprocessor reads so much.
LONG = 2**17
SHORTEST_PART = 4096
# Of side by side columns a program takes this many.
_SIDE_BY_SIDE = 32
# More expressions than this are not computed in both shapes.
_MOST_COMPUTED = 64
# How the results of two reductions are one.
_COMBINED = {"sum": "add", "prod": "mul", "max": "maximum", "min": "minimum"}
# The extreme whose position is wanted, and how a later one compares that takes its place.
_EXTREMES = {"argmax": ("max", "gt"), "argmin": ("min", "lt")}


@dataclass(frozen=True)
class Cut:
    """An axis of a reduction in parts.

    Attributes:
        axis: which one.
        parts: how many.
        length: of each; what is left of the axis behind them is no part.
    """

    axis: int
    parts: int
    length: int

    def shape(self, shape: Shape) -> Shape:
        """The parts of an array, along an axis of their own before their elements."""
        return (*shape[: self.axis], self.parts, self.length, *shape[self.axis + 1 :])


def split(
    graph: Graph, input_strides: Mapping[int, tuple[int, ...]]
) -> tuple[Graph, frozenset[Expr]]:
    """The graph with long reductions in two stages, and what is computed in the shape of parts.

    Args:
        graph: what is to be computed.
        input_strides: in elements, of bound arrays that are not contiguous, by index.
    """
    splitting = _Splitting(graph, input_strides)
    return replaced(graph, splitting.change), frozenset(splitting.in_parts)


class _Splitting:
    """The rule, and what it knows of the values that are reduced."""

    def __init__(self, graph: Graph, input_strides: Mapping[int, tuple[int, ...]]) -> None:
        self._strides = input_strides
        self._layouts: dict[Expr, Layout] = {}
        self._old_stored = stored_in_any_case(graph)
        self._old_readers = reader_counts(toposort(graph.outputs), ())
        # The same of what the rule made of the graph's expressions.
        self._stored: set[Expr] = set()
        self._readers: dict[Expr, int] = {}
        # What is computed for a cut reduction, and would be stored for it in any other shape.
        self.in_parts: set[Expr] = set()

    def change(self, x: Expr, found: Mapping[Expr, Expr]) -> Expr:
        """What an expression becomes, from what those before it became."""
        new = applied(self._rule, x, found)
        self._readers[new] = self._readers.get(new, 0) + self._old_readers[x]
        if x in self._old_stored:
            self._stored.add(new)
        return new

    def _rule(self, x: Expr) -> Expr | None:
        by_rows = rows_first(x)
        if by_rows is not None:
            return by_rows
        found = cut(x)
        if found is None:
            return None
        parts, rest = self._pieces(x.inputs[0], found)
        if x.primitive in _EXTREMES:
            return _position(x, found, parts, rest)
        return _value(x, found, parts, rest)

    def _is_view(self, x: Expr) -> bool:
        return layout_of(x, self._layouts, self._strides).base is not x

    def _pieces(self, data: Expr, found: Cut) -> tuple[Expr, Expr | None]:
        """The parts of what is reduced, and what is left of it."""
        axis, end = found.axis, found.parts * found.length

        def in_parts(x: Expr) -> Expr | None:
            if x.shape == ():
                return x
            whole = narrow(x, axis, 0, end)
            return in_shape(whole, found.shape(x.shape), self._is_view)

        def left(x: Expr) -> Expr | None:
            return x if x.shape == () else narrow(x, axis, end, data.shape[axis])

        parts = self._computed_of(data, in_parts)
        if parts is None:
            parts = reshape(narrow(data, axis, 0, end), found.shape(data.shape))
        if end == data.shape[axis]:
            return parts, None
        return parts, self._computed_of(data, left) or left(data)

    def _computed_of(self, data: Expr, move: Callable[[Expr], Expr | None]) -> Expr | None:
        """A value computed in another shape from what is in memory, if that moves no more.

        The value itself may be needed in its own shape as well, and is then computed twice.

        Args:
            data: the value.
            move: what is in memory in the other shape, or None where it would be a copy.
        """
        cone = cone_of(data, self._is_step, _MOST_COMPUTED)
        if cone is None or self._bytes_again(cone) > self._bytes_stored(cone):
            return None
        moved = {y: move(y) for y in cone.leaves}
        leaves = {y: leaf for y, leaf in moved.items() if leaf is not None}
        if len(leaves) < len(moved):
            return None
        steps = cone.on(leaves)
        self.in_parts.update(steps)
        return steps[-1]

    def _is_step(self, x: Expr) -> bool:
        return x.primitive in ELEMENTWISE and x not in self._stored

    def _bytes_again(self, cone: Cone) -> int:
        """What is moved to compute a value in another shape; what is nowhere yet is stored."""
        bases = {behind_views(y) for y in cone.leaves}
        return bytes_of(bases) + bytes_of(bases - self._in_memory(bases))

    def _bytes_stored(self, cone: Cone) -> int:
        """What is moved to have it from memory: what it is computed of as well, if for it alone."""
        value = cone.steps[-1]
        within = reader_counts(cone.steps, [value])
        alone = all(self._readers.get(x) == within[x] for x in cone.steps)
        bases = {behind_views(y) for y in cone.leaves} if alone else set()
        return 2 * bytes_of([value]) + bytes_of(self._in_memory(bases))

    def _in_memory(self, bases: Set[Expr]) -> Set[Expr]:
        return {y for y in bases if y.primitive == "input" or y in self._stored}


def cut(x: Expr) -> Cut | None:
    """How to cut a reduction, or None where one pass is best."""
    axes = x.integers("axes") if x.primitive in (*_COMBINED, *_EXTREMES) else ()
    if not axes or (x.primitive in _EXTREMES and len(axes) > 1):
        return None
    shape = x.inputs[0].shape
    columns = math.prod(shape[a] for a in axes)
    last = max(a for a, length in enumerate(shape) if length > 1 or a == 0)
    together = 1 if last in axes else _SIDE_BY_SIDE
    programs, elements = -(-x.size // together), columns * together
    if elements < LONG or programs >= ENOUGH:
        return None
    most = min(2 * ENOUGH // programs, elements // SHORTEST_PART)
    # Of equal cuts the outermost, whose parts lie densely in memory.
    parts, axis = max((_largest_divisor(shape[a], most), -a) for a in axes)
    long = [a for a in axes if shape[a] >= most]
    if 2 * parts < most and long:
        return Cut(long[0], most, shape[long[0]] // most)
    return Cut(-axis, parts, shape[-axis] // parts) if parts > 1 else None


def _value(x: Expr, found: Cut, parts: Expr, rest: Expr | None) -> Expr:
    """A reduction by those of its parts."""
    adds_up = x.primitive in ("sum", "prod")
    wide = FLOAT32 if adds_up and x.dtype.is_reduced else x.dtype
    axes = x.integers("axes")
    inner = tuple(a + (a >= found.axis) for a in axes)
    partial = make(x.primitive, cast(parts, wide), axes=inner)
    total = reshape(make(x.primitive, partial, axes=(found.axis,)), x.shape)
    if rest is not None:
        last = make(x.primitive, cast(rest, wide), axes=axes)
        total = make(_COMBINED[x.primitive], total, last)
    return cast(total, x.dtype)


def _position(x: Expr, found: Cut, parts: Expr, rest: Expr | None) -> Expr:
    """The first position of an extreme, by the extremes of the parts and their positions."""
    extreme, compare = _EXTREMES[x.primitive]
    axis, inner = (found.axis,), (found.axis + 1,)
    values = make(extreme, parts, axes=inner)
    part = iota(values.shape, found.axis)
    places = part * found.length + make(x.primitive, parts, axes=inner)
    is_chosen = part.equals(broadcast(make(x.primitive, values, axes=axis), values.shape))
    chosen = where(is_chosen, places, constant(0, INT64))
    position = reshape(make("sum", chosen, axes=axis), x.shape)
    if rest is None:
        return position
    before = reshape(make(extreme, values, axes=axis), x.shape)
    after = make(extreme, rest, axes=axis)
    # Not a number is an extreme as well, and the first one counts.
    is_later = make(compare, after, before)
    if parts.dtype.is_float:
        is_new = make("and", make("ne", after, after), make("eq", before, before))
        is_later = make("or", is_later, is_new)
    later = make(x.primitive, rest, axes=axis) + found.parts * found.length
    return where(is_later, later, position)


def _largest_divisor(length: int, most: int) -> int:
    return next(n for n in range(max(1, min(most, length)), 0, -1) if length % n == 0)
