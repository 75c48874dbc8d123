"""For CPUs: what a call returns in new memory goes through the next step on its way to its place.

Some of torch's calls write to no given place, convolutions among them: their results are copied. An
elementwise step that is the only one to read such a result writes to memory as well. It takes the
copy's place, and everything keeps its bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..expressions.expr import Expr
from ..expressions.library import Returned
from ..expressions.reference import Step, Tensor, prepare
from ..expressions.walks import reader_counts, toposort
from ..foundation.dtype import FLOAT32, FLOAT64
from ..graph.trace import Graph
from .torch_patterns import Layer, layer_of, library, with_layers

# Bytes of a result whose copy takes longer than preparing a step at every run.
LEAST = 2**16


def handed_on(graph: Graph) -> Graph:
    """The graph with one call for a call that returns its result and the step that reads it."""
    order = toposort(graph.outputs)
    readers = reader_counts(order, graph.outputs)
    # What replaces an input is best computed right there.
    replacing = {graph.outputs[number] for number in graph.updates}
    steps = (x for x in order if x.is_elementwise and x not in replacing)
    layers = {x: layer for x in steps if (layer := _with_next(x, readers)) is not None}
    return with_layers(graph, layers)


def _with_next(x: Expr, readers: Mapping[Expr, int]) -> Layer | None:
    """A step, and the call whose result it alone reads."""
    for call in x.inputs:
        function = call["function"] if call.primitive == "native" else None
        # Of 16 bits a result is rounded when it is copied.
        wide = call.dtype in (FLOAT32, FLOAT64) and x.byte_count >= LEAST
        if isinstance(function, Returned) and wide and readers[call] == 1:
            others = [y for y in x.inputs if y is not call]
            inputs = [*call.inputs, *others]
            step = x["name"] if x.primitive == "native" else x.primitive
            together = library(
                _together,
                f"{call['name']}, {step}",
                x,
                inputs,
                (call, x),
                channels_last=bool(call["channels_last"]),
            )
            return layer_of(x, inputs, together)
    return None


def _together(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    call, x = attributes
    count = len(call.inputs)
    compute = call["function"].prepare(call["attributes"], inputs[:count], out)
    is_result = [y is call for y in x.inputs]

    def step() -> object:
        others, result = iter(inputs[count:]), compute()
        return prepare(x, [result if own else next(others) for own in is_result], out)()

    return step
