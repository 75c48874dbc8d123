"""What the rules that find whole layers among primitives have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..expressions.expr import VIEWS, Expr, Shape, broadcast
from ..expressions.library import Native, library_call
from ..expressions.operations import on_the_way
from ..expressions.reference import Step, Tensor
from ..expressions.walks import readers_of, toposort
from ..graph.trace import Graph
from .simplify import number_of, on_new_inputs, pairs, replaced

# Bytes of a result that is copied to its place: few take little memory, and each part costs a call.
PART = 2**22


@dataclass(frozen=True)
class Layer:
    """A layer found in a graph.

    Attributes:
        inputs: what it reads.
        inside: what it computes on the way, and nothing else may read.
        call: its result, from what its inputs became.
        beside: what the same call gives as well, and how, for those graphs that have it.
    """

    inputs: tuple[Expr, ...]
    inside: frozenset[Expr]
    call: Callable[..., Expr]
    beside: Mapping[Expr, Callable[..., Expr]] = field(default_factory=dict)


def is_near(x: Expr, value: float) -> bool:
    """Whether it is a number throughout, rounded to any dtype that layers are computed in."""
    number = number_of(x)
    return number is not None and math.isclose(number, value, rel_tol=1e-6)


def times(x: Expr, factor: float) -> Iterator[Expr]:
    """What is multiplied by a number, or divided by its inverse."""
    yield from (data for data, other in pairs(x, "mul") if is_near(other, factor))
    if x.primitive == "div" and is_near(x.inputs[1], 1 / factor):
        yield x.inputs[0]


def once(x: Expr) -> Expr:
    """What is repeated along axes of length 1, or the expression itself."""
    return x.inputs[0] if x.primitive == "expand" else x


def between(x: Expr, inputs: Sequence[Expr]) -> frozenset[Expr]:
    """What is computed from the inputs on the way to ``x``; their views are no work."""
    found: set[Expr] = set()
    waiting = [x]
    while waiting:
        new = {y for y in waiting.pop().inputs if not _is_of(y, inputs)} - found
        found |= new
        waiting += new
    return frozenset(found)


def _is_of(y: Expr, inputs: Sequence[Expr]) -> bool:
    """Whether it is an input, or a view of one or of something that is not computed."""
    while y.primitive in VIEWS and y not in inputs:
        (y,) = y.inputs
    return y in inputs or not y.inputs


def layer_of(x: Expr, inputs: Sequence[Expr], call: Callable[..., Expr]) -> Layer:
    """The layer whose inside is all that lies between its inputs and its result."""
    return Layer(tuple(inputs), between(x, inputs), call)


def library(
    function: Native,
    name: str,
    x: Expr,
    inputs: Sequence[Expr],
    attributes: Any = "",
    elementwise: bool = False,
    channels_last: bool = False,
) -> Callable[..., Expr]:
    """What makes a call that gives what ``x`` gives of the inputs, or of what they became."""
    operations = on_the_way([x], inputs)
    return lambda *given: library_call(
        function,
        name,
        given,
        attributes,
        x.shape,
        x.dtype,
        elementwise=elementwise,
        channels_last=channels_last,
        operations=operations,
    )


def with_whole_head(shape: Shape, call: Callable[..., Expr]) -> Callable[..., Expr]:
    """A call whose first input, a gradient, may be one number for all elements."""
    return lambda head, *others: call(broadcast(head, shape), *others)


def unless(
    is_extreme: Callable[[], bool], quick: Step, exact: Callable[[], Tensor], out: Tensor
) -> Step:
    """The quick call, or the exact one where the quick one would not be right."""
    return lambda: out.copy_(exact()) if is_extreme() else quick()


# ---- softmax -----------------------------------------------------------------------------------


def less_the_largest(x: Expr) -> tuple[Expr, int] | None:
    """The data of data - max(data), and the axis."""
    if x.primitive != "sub":
        return None
    data, highest = x.inputs[0], once(x.inputs[1])
    if highest.primitive != "max" or highest.inputs[0] is not data:
        return None
    axes = highest.integers("axes")
    return (data, axes[0]) if len(axes) == 1 else None


def summed_exponents(x: Expr) -> tuple[Expr, int] | None:
    """The exponents of whose powers an expression is the sum, and the axis."""
    if x.primitive != "sum" or x.inputs[0].primitive != "exp":
        return None
    axes = x.integers("axes")
    return (x.inputs[0].inputs[0], axes[0]) if len(axes) == 1 else None


def softmax_of(x: Expr) -> tuple[Expr, int] | None:
    """The exponents of powers that are divided by their sum, and the axis."""
    if x.primitive != "div" or x.inputs[0].primitive != "exp":
        return None
    found = summed_exponents(once(x.inputs[1]))
    return found if found is not None and found[0] is x.inputs[0].inputs[0] else None


# ---- layers in a graph -------------------------------------------------------------------------


def apart(
    found: Mapping[Expr, list[Layer]], order: Sequence[Expr], outputs: Sequence[Expr]
) -> dict[Expr, Layer]:
    """For each result the largest layer whose inside nothing else needs, if there is one.

    Several layers may share an inside.
    """
    readers = readers_of(order)
    left = dict(found)
    while True:
        layers = {x: fitting[0] for x, fitting in left.items() if fitting}
        gone = {y for layer in layers.values() for y in layer.inside}
        needed = {*outputs, *(y for layer in layers.values() for y in layer.inputs)}
        for y in gone:
            others = (z for z in readers[y] if z not in gone)
            if not all(z in layers and y in layers[z].inside for z in others):
                needed.add(y)
        wrong = [x for x, layer in layers.items() if layer.inside & needed]
        if not wrong:
            return layers
        left.update({x: left[x][1:] for x in wrong})


def with_layers(graph: Graph, layers: Mapping[Expr, Layer]) -> Graph:
    """The graph with the calls of layers, by their results, which get the names of all inside."""
    if not layers:
        return graph
    names, place = dict(graph.origins), {x: n for n, x in enumerate(toposort(graph.outputs))}
    for x, layer in layers.items():
        inside = sorted(layer.inside, key=place.__getitem__)
        every = (name for y in (x, *inside) for name in graph.origins.get(y, ()))
        names[x] = tuple(dict.fromkeys(every))

    def change(x: Expr, found: Mapping[Expr, Expr]) -> Expr:
        if x in layers:
            return layers[x].call(*(found[y] for y in layers[x].inputs))
        return on_new_inputs(x, found)

    return replaced(replace(graph, origins=names), change)
