"""For GPUs: a view of what is computed elementwise is computed of views.

A kernel reads its operands in any order, but a value of its own only in the order in which it has
it: so a transpose, a slice or a repetition of a computed value would be stored first. Where all
that it is computed of is in memory anyway, its reader computes it of the same views of that.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..expressions.expr import SOURCES, Expr, make, toposort
from ..graph.trace import Graph
from .cones import CHEAP, LONGEST, behind_views, cone_of, stored_in_any_case
from .simplify import applied, replaced

# Steps of more than a few instructions that a repeated value may take for each of its elements:
# memory is waited for longer than that.
_DEAR = 2


def with_views_first(graph: Graph) -> Graph:
    """The graph with views before elementwise steps, where no step is left behind for others."""
    rule = _Rule(graph)

    def change(x: Expr, found: Mapping[Expr, Expr]) -> Expr:
        moves = x.primitive in ("permute", "slice", "expand") and rule.moves(x)
        return rule.moved(x, found) if moves else applied(_nothing, x, found)

    return replaced(graph, change)


def _nothing(x: Expr) -> None:
    """The rule that changes nothing."""


class _Rule:
    """Which views move, from what is known of the whole graph."""

    def __init__(self, graph: Graph) -> None:
        self._stored = stored_in_any_case(graph)
        self._readers: dict[Expr, int] = {}
        for x in toposort(graph.outputs):
            for y in dict.fromkeys(x.inputs):
                self._readers[y] = self._readers.get(y, 0) + 1

    def moves(self, view: Expr) -> bool:
        """Whether a view is computed of views.

        What is repeated may have other readers, which do not need its few elements stored either;
        what has as many elements as its reader is not computed twice.
        """
        cone = cone_of(view.inputs[0], self._is_step, LONGEST)
        if cone is None:
            return False
        leaves = [behind_views(y) for y in cone.leaves]
        if view.primitive == "expand":
            # Of what other kernels store, rows compute it once each.
            dear = sum(x.primitive not in CHEAP for x in cone.steps)
            return dear <= _DEAR and all(y.primitive in SOURCES for y in leaves)
        return all(self._readers[x] == 1 for x in cone.steps) and all(
            y.primitive in SOURCES or y in self._stored for y in leaves
        )

    def moved(self, view: Expr, found: Mapping[Expr, Expr]) -> Expr:
        """The elementwise steps before a view, on views of what they begin with."""
        cone = cone_of(view.inputs[0], self._is_step, LONGEST)
        assert cone is not None
        attributes = dict(view.attributes)
        moved = {
            y: found[y] if y.shape == () else make(view.primitive, found[y], **attributes)
            for y in cone.leaves
        }
        for x in cone.steps:
            inputs = (moved[y] for y in x.inputs)
            moved[x] = make(x.primitive, *inputs, **dict(x.attributes))
        return moved[view.inputs[0]]

    def _is_step(self, x: Expr) -> bool:
        return x.is_elementwise and x.primitive != "native" and x not in self._stored
