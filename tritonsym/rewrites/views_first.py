"""For GPUs: a view of what is computed elementwise is computed of views.

A kernel reads its operands in any order, but a value of its own only in the order in which it has
it: so a transpose, a part or a repetition of a computed value would be stored first. Where all that
it is computed of is in memory anyway, its reader computes it of the same views of that. So the
windows of a pooling are computed of the convolution before them, with its bias and activation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..expressions.expr import SOURCES, Expr, broadcast, permute, slice_
from ..expressions.walks import readers_of, toposort
from ..graph.trace import Graph
from .cones import CHEAP, LONGEST, Cone, cone_of, stored_in_any_case
from .simplify import (
    behind_views,
    on_new_inputs,
    replaced,
)

_MOVING = ("permute", "slice", "expand")
# Steps of more than a few instructions that a repeated value may take for each of its elements:
# memory is waited for longer than one takes. Two, of 16-bit elements, would be what is waited for:
# a root and a quotient took 70 instructions in all, by the compiler's listing.
_DEAR = 1
# Elements up to which any steps take less than the launch of a kernel before.
_FEW = 2**20
# How often cheap steps are taken for an element that several parts have, as windows that overlap.
_OVERLAP = 2


def with_views_first(graph: Graph) -> Graph:
    """The graph with views before elementwise steps, until none can move."""
    again = True
    while again:
        graph, again = _moved_once(graph)
    return graph


def _moved_once(graph: Graph) -> tuple[Graph, bool]:
    """The graph, and whether views that were behind others may move now."""
    views, again = _Views(graph), False

    def change(x: Expr, found: Mapping[Expr, Expr]) -> Expr:
        nonlocal again
        cone = views.movable(x) if x.primitive in _MOVING else None
        if cone is None:
            return on_new_inputs(x, found)
        again = again or x.primitive != "expand"
        return _behind(x, cone, found)

    return replaced(graph, change), again


def _behind(view: Expr, cone: Cone, found: Mapping[Expr, Expr]) -> Expr:
    """The steps of a cone on views of its leaves; a constant of shape () fits any."""
    leaves = {y: found[y] if y.shape == () else _seen(view, found[y]) for y in cone.leaves}
    return cone.on(leaves)[-1]


def _seen(view: Expr, y: Expr) -> Expr:
    """A view of a leaf; of what is repeated, the repetition of a view."""
    if y.primitive != "expand":
        return view.on(y)
    (few,) = y.inputs
    if view.primitive == "permute":
        few = permute(few, view.integers("axes"))
    elif view.primitive == "slice":
        bounds = (view.integers(name) for name in ("starts", "stops", "steps"))
        each = [
            (0, 1, 1) if n == 1 else taken for n, *taken in zip(few.shape, *bounds, strict=True)
        ]
        few = slice_(few, *zip(*each, strict=True))
    return broadcast(few, view.shape)


class _Views:
    """Which views move, from what is known of the whole graph."""

    def __init__(self, graph: Graph) -> None:
        self._stored = stored_in_any_case(graph)
        self._readers = readers_of(toposort(graph.outputs))

    def movable(self, view: Expr) -> Cone | None:
        """The steps that are taken after a view instead of before it, if any are.

        What is one number, such as a rate, is computed once, and not for each element.
        """
        repeated = view.primitive == "expand"
        one = (view.inputs[0] if repeated else view).size == 1
        cone = None if one else cone_of(view.inputs[0], self._is_step, LONGEST)
        if cone is None:
            return None
        leaves = [behind_views(y) for y in cone.leaves]
        if repeated:
            # What other kernels store is of rows, which take such steps once each.
            dear = sum(x.primitive not in CHEAP for x in cone.steps)
            quick = dear <= _DEAR or view.size <= _FEW
            return cone if quick and all(y.primitive in SOURCES for y in leaves) else None
        inside = set(cone.steps)
        nobody_else = all(inside.issuperset(self._readers[x]) for x in cone.steps[:-1])
        gains = nobody_else and self._is_read_in_parts(cone) and all(map(self._is_kept, leaves))
        return cone if gains else None

    def _is_step(self, x: Expr) -> bool:
        return x.is_elementwise and x.primitive != "native" and x not in self._stored

    def _is_kept(self, x: Expr) -> bool:
        """Whether it is in memory: stored for others, or by a kernel that computes nothing else."""
        return x.primitive in SOURCES or x in self._stored

    def _is_read_in_parts(self, cone: Cone) -> bool:
        """Whether hardly an element is computed twice when each view of the result is."""
        result = cone.steps[-1]
        readers: Sequence[Expr] = self._readers[result]
        if any(x.primitive not in ("permute", "slice") for x in readers):
            return False
        cheap = all(x.primitive in CHEAP for x in cone.steps)
        return sum(x.size for x in readers) <= result.size * (_OVERLAP if cheap else 1)
