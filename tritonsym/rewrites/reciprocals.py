"""Divisions of which 16 bits are wanted, for GPUs: by the reciprocal of a number that is repeated.

A quotient that is rounded to 32 bits takes more than ten instructions and a branch, which is two
fifths of what a layer norm computes of an element. Where its divisor is one number for many
elements and all that comes of it is rounded to 16 bits in the end, a multiplication by the
reciprocal is as good: it is off by two of the last places of 24 bits at most. What is stored in 32
bits, compared, or taken as a whole number anywhere has exact quotients.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..expressions.expr import VIEWS, Expr, make
from ..expressions.walks import toposort
from ..foundation.dtype import FLOAT32
from ..graph.trace import Graph
from .simplify import on_new_inputs, replaced

# What hands small errors on as small ones.
_SMOOTH = VIEWS.union(
    ("neg", "abs", "add", "sub", "mul", "div", "maximum", "minimum", "where", "cast"),
    ("sum", "max", "min"),
)


def with_reciprocals(graph: Graph) -> Graph:
    """The graph with such divisions marked: everyone who reads one sees the same bits."""
    rough = _wanted_in_16_bits(graph)

    def change(x: Expr, found: Mapping[Expr, Expr]) -> Expr:
        new = on_new_inputs(x, found)
        if x.primitive == "div" and x in rough and x.inputs[1].primitive == "expand":
            return make("div", *new.inputs, **{**dict(new.attributes), "reduced": True})
        return new

    return replaced(graph, change)


def _wanted_in_16_bits(graph: Graph) -> set[Expr]:
    """Values of float32 that reach outputs, or what is not smooth, by way of 16-bit floats only."""
    order = toposort(graph.outputs)
    exact = set(graph.outputs)
    for x in reversed(order):
        hands_on = x.dtype.is_reduced or (x.dtype is FLOAT32 and x not in exact)
        if not hands_on or x.primitive not in _SMOOTH:
            exact.update(x.inputs)
    return {x for x in order if x.dtype is FLOAT32 and x not in exact}
