"""For GPUs: images between convolutions lie with their channels last, as expressions.

Tensor cores want the channels of a place next to each other; of images that lie otherwise a library
makes copies before and after each convolution. So the result of a convolution of 16-bit floats is
computed as (batch, height, width, channels), and so is what is computed of it by elementwise steps,
reductions and movements on the way to the next call of the library. Everyone else sees a transpose
of it, which is no work, or which a kernel reads tile by tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..expressions.expr import REDUCTIONS, Expr, broadcast, make, permute
from ..expressions.library import Native, library_call
from ..expressions.reference import Step, Tensor
from ..expressions.walks import toposort
from ..graph.trace import Graph
from ..ops.windows import Window
from .simplify import on_new_inputs, replaced

# The axes of (batch, channels, height, width) with the channels last, and the way back.
_LAST = (0, 2, 3, 1)
_FIRST = (0, 3, 1, 2)


@dataclass(frozen=True)
class _WithChannelsLast:
    """A call whose result's memory has the channels last; the call sees images as ever."""

    function: Native

    def __call__(self, attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
        return self.function(attributes, inputs, out.permute(_FIRST))


def with_turned_images(graph: Graph) -> Graph:
    """The graph in which images keep their channels last from one call of a library to the next."""
    chosen = _chosen(toposort(graph.outputs))
    if not chosen:
        return graph
    turned: dict[Expr, Expr] = {}

    def change(x: Expr, found: Mapping[Expr, Expr]) -> Expr:
        if x not in chosen:
            return on_new_inputs(x, found)
        if x.primitive == "native":
            turned[x] = _call([found[y] for y in x.inputs], x)
        else:
            inputs = (
                found[y] if y.shape == () else turned.get(y) or _turned(found[y]) for y in x.inputs
            )
            turned[x] = make(x.primitive, *inputs, **_moved(x))
        return permute(turned[x], _FIRST)

    return replaced(graph, change)


def _turned(y: Expr) -> Expr:
    """A value with its channels last, as a view; of what is repeated, the repetition of a view."""
    if y.primitive == "expand":
        return broadcast(permute(y.inputs[0], _LAST), _in_order(y.shape))
    return permute(y, _LAST)


def _call(inputs: Sequence[Expr], x: Expr) -> Expr:
    """A call of a library with its result's channels last."""
    function, operations = x["function"], x["operations"]
    assert callable(function) and (operations is None or isinstance(operations, int))
    return library_call(
        _WithChannelsLast(function),
        str(x["name"]),
        inputs,
        x["attributes"],
        _in_order(x.shape),
        x.dtype,
        operations=operations,
    )


def _in_order(each: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(each[axis] for axis in _LAST)


def _axis(axis: Any) -> int:
    return _LAST.index(axis)


def _axes(axes: Any) -> tuple[int, ...]:
    return tuple(sorted(map(_axis, axes)))


# How what a movement or a reduction is told changes with the order of the axes.
_MOVES: dict[str, dict[str, Callable[[Any], Hashable]]] = {
    "expand": {"shape": _in_order},
    "slice": {"starts": _in_order, "stops": _in_order, "steps": _in_order},
    "concat": {"axis": _axis},
    **{name: {"axes": _axes} for name in (*REDUCTIONS, "flip")},
}


def _moved(x: Expr) -> dict[str, Hashable]:
    changes = _MOVES.get(x.primitive, {})
    return {n: changes[n](value) if n in changes else value for n, value in x.attributes}


# ---- which values ------------------------------------------------------------------------------


def _chosen(order: Sequence[Expr]) -> set[Expr]:
    """The values that are computed with their channels last."""
    random = _drawn(order)
    # What comes of a call that likes it, as far as it can be computed in that order.
    coming: set[Expr] = set()
    for x in order:
        if _likes_it(x) or (_can_follow(x) and x not in random and coming & {*x.inputs}):
            coming.add(x)
    # What is wanted so: by such a call, or by what is computed for one, or for a sum.
    wanted: set[Expr] = set()
    # What is computed for it of something else, such as the scale of a normalization.
    beside: set[Expr] = set()
    chosen: set[Expr] = set()
    for x in reversed(order):
        if x.primitive == "native":
            # Alone a call gains nothing: its images are turned before and after it.
            if _likes_it(x) and (x in wanted or x.inputs[0] in coming):
                chosen.add(x)
            if x["python"] is not True and not _in_groups(x):
                wanted.update(y for y in x.inputs if len(y.shape) == 4)
        elif x in coming and (x in wanted or x.primitive in REDUCTIONS):
            chosen.add(x)
            wanted.update(x.inputs)
            beside.update(x.inputs)
        elif x in beside and x.is_elementwise and len(x.shape) == 4 and x not in random:
            chosen.add(x)
            beside.update(x.inputs)
    return chosen


def _likes_it(x: Expr) -> bool:
    """Whether it is a library's call that is faster with the channels last, on tensor cores."""
    return (
        x.primitive == "native"
        and x["channels_last"] is True
        and x.dtype.is_reduced
        and not _in_groups(x)
        and len(x.shape) == 4
        and x.shape[1] > 1
        and math.prod(x.shape[2:]) > 1
    )


def _in_groups(x: Expr) -> bool:
    """Whether a convolution has groups of channels, for which libraries want the ordinary order."""
    window = x["attributes"]
    return isinstance(window, Window) and window.groups > 1


def _can_follow(x: Expr) -> bool:
    if len(x.shape) != 4 or x.primitive == "native":
        return False
    if x.primitive in ("argmax", "argmin"):
        return len(x.integers("axes")) == 1  # of several axes, positions count in their order
    return x.is_elementwise or x.primitive in _MOVES


def _drawn(order: Sequence[Expr]) -> set[Expr]:
    """What is computed of random numbers, whose places in the stream follow from their order."""
    found: set[Expr] = set()
    for x in order:
        if x.primitive == "random" or found & {*x.inputs}:
            found.add(x)
    return found
