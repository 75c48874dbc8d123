"""Reshapes out of the way: what is computed of a reshape is computed in the shape before it.

A reshape is no work, but what stands behind it walks over other axes than what stands before it,
so that the two would be kernels of their own. The same elements in the same order can as well be
computed in the earlier shape, and be given the later one at the end: by the elementwise
primitives, by reductions over whole groups of axes, and by products for their batch axes. What is
converted first and then repeated, such as the scale of a layer norm, is converted last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set

from ..expressions.expr import ELEMENTWISE, REDUCTIONS, Expr, Shape, make, reshape
from ..expressions.layout import Layout, layout_of
from ..graph.trace import Graph
from .cones import CHEAP, LONGEST, bytes_of, cone_of
from .simplify import (
    applied,
    behind_views,
    on_new_inputs,
    replaced,
)

# Axes of one shape and those of another that count through the same elements.
Block = tuple[tuple[int, ...], tuple[int, ...]]


def regrouped(
    graph: Graph,
    input_strides: Mapping[int, tuple[int, ...]],
    settled: Set[Expr] = frozenset(),
) -> Graph:
    """The graph with reshapes behind what is computed of them, wherever no copy comes of it.

    Args:
        graph: what is to be computed.
        input_strides: in elements, of bound arrays that are not contiguous, by index.
        settled: what stays in its shape.
    """
    rule = _Regrouping(input_strides).rule

    def change(x: Expr, found: Mapping[Expr, Expr]) -> Expr:
        return on_new_inputs(x, found) if x in settled else applied(rule, x, found)

    return replaced(graph, change)


class _Regrouping:
    """The rule, and what it knows of where elements lie."""

    def __init__(self, input_strides: Mapping[int, tuple[int, ...]]) -> None:
        self._strides = input_strides
        self._layouts: dict[Expr, Layout] = {}

    def rule(self, x: Expr) -> Expr | None:
        if x.primitive in ELEMENTWISE:
            return self._elementwise(x)
        if x.primitive in REDUCTIONS:
            return _reduction(x)
        if x.primitive == "dot":
            return self._product(x)
        if x.primitive == "reshape" and x.inputs[0].primitive == "reshape":
            return self._once(x)
        return None

    def _once(self, x: Expr) -> Expr | None:
        """A reshape of a reshape as one, unless that is a copy where the first one is a copy."""
        merged = reshape(x.inputs[0], x.shape)
        needless = merged.primitive != "reshape" or self._is_view(merged)
        return merged if needless or self._is_view(x.inputs[0]) else None

    def _is_view(self, x: Expr) -> bool:
        return layout_of(x, self._layouts, self._strides).base is not x

    def _elementwise(self, x: Expr) -> Expr | None:
        """With operands converted after they are repeated; else in an earlier shape."""
        new = x.on(*(self._converted_last(y) for y in x.inputs))
        return self._in_earlier_shape(x) if new is x else new

    def _converted_last(self, y: Expr) -> Expr:
        """What is converted and then repeated, converted last: a kernel for few elements less."""
        if y.primitive != "expand":
            return y
        path = [y]
        while path[-1].inputs[0].primitive in ("expand", "reshape"):
            path.append(path[-1].inputs[0])
        conversion = path[-1].inputs[0]
        if conversion.primitive != "cast":
            return y
        (moved,) = conversion.inputs
        if layout_of(moved, self._layouts, self._strides).base.primitive != "input":
            return y
        for step in reversed(path):
            moved = make(step.primitive, moved, shape=step.shape)
            if not self._is_view(moved):
                return y
        return conversion.on(moved)

    def _in_earlier_shape(self, x: Expr) -> Expr | None:
        """In the shape of a computed operand before its reshape, if all others can follow."""
        for shape in dict.fromkeys(filter(None, map(_earlier_shape, x.inputs))):
            inputs = [in_shape(y, shape, self._is_view) for y in x.inputs]
            found = [y for y in inputs if y is not None]
            if shape != x.shape and len(found) == len(inputs):
                return reshape(x.on(*found), x.shape)
        return None

    def _product(self, x: Expr) -> Expr | None:
        """With the batch axes that an operand had before they were made one by a copy."""
        for y in x.inputs:
            if y.primitive == "reshape" and not self._is_view(y):
                (before,) = y.inputs
                if before.shape[-2:] == y.shape[-2:]:
                    batch = before.shape[:-2]
                    inputs = [self._in_batch(z, batch) for z in x.inputs]
                    found = [z for z in inputs if z is not None]
                    if len(found) == len(inputs):
                        return reshape(x.on(*found), x.shape)
        return None

    def _in_batch(self, x: Expr, batch: Shape) -> Expr | None:
        shape = (*batch, *x.shape[-2:])
        if x.primitive == "reshape" and x.inputs[0].shape == shape:
            return x.inputs[0]
        return in_shape(x, shape, self._is_view)


def in_shape(x: Expr, shape: Shape, is_view: Callable[[Expr], bool]) -> Expr | None:
    """The same elements in another shape, where that is no copy.

    Args:
        x: what has these elements; a constant of shape () stays as it is.
        shape: of as many elements.
        is_view: whether an expression shares memory with what it is made of.
    """
    if x.shape in ((), shape):
        return x
    if x.primitive == "expand":
        repeated = _repeated_in_shape(x, shape)
        if repeated is not None:
            return repeated
    computed = _computed_in_shape(x, shape, is_view)
    if computed is not None:
        return computed
    moved = reshape(x, shape)
    if x.primitive == "reshape" and not is_view(x) and moved.primitive == "reshape":
        # A copy is in memory, in any shape.
        return make("reshape", x, shape=shape)
    return moved if moved.primitive != "reshape" or is_view(moved) else None


def _computed_in_shape(x: Expr, shape: Shape, is_view: Callable[[Expr], bool]) -> Expr | None:
    """A value computed in another shape, where that moves less than storing it in its own.

    What it is computed of must be an argument or a library's result, or else it is stored for this
    reader.
    """
    cone = cone_of(x, lambda y: y.primitive in CHEAP, LONGEST)
    if cone is None:
        return None
    bases = dict.fromkeys(map(behind_views, cone.leaves))
    stored = bytes_of(y for y in bases if y.primitive not in ("input", "native"))
    if bytes_of(bases) + stored >= 2 * bytes_of([x]):
        return None
    leaves = {}
    for y in cone.leaves:
        found = in_shape(y, shape, is_view)
        if found is None:
            return None
        leaves[y] = found
    return cone.on(leaves)[-1]


def _is_computed(x: Expr) -> bool:
    """Whether a kernel may go on with an expression's result."""
    return x.primitive in ELEMENTWISE or x.primitive in REDUCTIONS or x.primitive == "dot"


def _earlier_shape(x: Expr) -> Shape | None:
    """The shape in which an operand's elements were computed, if that is another one."""
    if x.primitive == "reshape" and _is_computed(x.inputs[0]):
        return x.inputs[0].shape
    if x.primitive == "expand" and x.inputs[0].primitive == "reshape":
        (source,) = x.inputs[0].inputs
        if _is_computed(source):
            return _spread(source.shape, x.inputs[0].shape, x.shape)
    return None


def _spread(source: Shape, shape: Shape, repeated: Shape) -> Shape | None:
    """``source`` with the repetitions of ``shape`` to ``repeated``; they have as many axes."""
    lengths = [*source]
    for before, after in blocks(source, shape) or ():
        grown = [axis for axis in after if shape[axis] != repeated[axis]]
        if grown:
            if len(before) != 1 or source[before[0]] != 1:
                return None
            for axis in after:
                lengths[before[0]] *= repeated[axis]
    return tuple(lengths)


def _repeated_in_shape(x: Expr, shape: Shape) -> Expr | None:
    """A repetition in another shape: whole blocks of axes are repeated, or none of a block."""
    (data,) = x.inputs
    matched = blocks(x.shape, shape)
    if matched is None:
        return None
    lengths = [1] * len(shape)
    for before, after in matched:
        repeats = [data.shape[axis] != x.shape[axis] for axis in before]
        if not any(repeats):
            for axis in after:
                lengths[axis] = shape[axis]
        elif any(data.shape[axis] != 1 for axis in before):
            if [x.shape[a] for a in before] != [shape[a] for a in after]:
                return None
            for old, new in zip(before, after, strict=True):
                lengths[new] = data.shape[old]
    # Only axes of length 1 come and go within a block that is not repeated.
    before_repeating = reshape(data, lengths)
    if before_repeating.shape == shape:
        return before_repeating
    return make("expand", before_repeating, shape=shape)


def _reduction(x: Expr) -> Expr | None:
    """Over the axes before a reshape, where it reduces all of each block or nothing of it."""
    (y,) = x.inputs
    if y.primitive != "reshape" or not _is_computed(y.inputs[0]):
        return None
    (source,) = y.inputs
    reduced = x.integers("axes")
    axes: list[int] = []
    for before, after in blocks(source.shape, y.shape) or ():
        counted = [axis for axis in after if y.shape[axis] > 1]
        inside = [axis in reduced for axis in counted]
        if inside and all(inside):
            axes += [axis for axis in before if source.shape[axis] > 1]
        elif any(inside):
            return None
    # A position counts along one axis.
    if not axes or (x.primitive in ("argmax", "argmin") and len(axes) > 1):
        return None
    return reshape(make(x.primitive, source, axes=tuple(axes)), x.shape)


def blocks(first: Sequence[int], second: Sequence[int]) -> list[Block] | None:
    """The axes of two shapes of as many elements, in the smallest groups of equal sizes."""
    found: list[Block] = []
    i = j = 0
    while i < len(first) or j < len(second):
        left, right = [i] * (i < len(first)), [j] * (j < len(second))
        a, b = first[i] if left else 1, second[j] if right else 1
        i, j = i + len(left), j + len(right)
        while a != b:
            if a < b and i < len(first):
                a, i = a * first[i], i + 1
                left.append(i - 1)
            elif b < a and j < len(second):
                b, j = b * second[j], j + 1
                right.append(j - 1)
            else:
                return None
        found.append((tuple(left), tuple(right)))
    return found
