"""Values that a later stage computes again instead of reading what an earlier one kept.

A backward pass needs values of the forward pass. What costs a product or a reduction is kept; what
is elementwise can be computed again from that, which frees its memory between the passes, and on a
GPU, where it never was in memory, saves writing it. On a CPU, where each value is written anyway,
only the larger of two values is, if both are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import Enum, auto

from ..expressions.expr import GENERATED, REDUCTIONS, SOURCES, VIEWS, Expr, make
from ..expressions.walks import toposort
from ..graph.trace import Graph
from ..rewrites.cones import LONGEST, read_apart
from ..rewrites.simplify import behind_views
from .schedule import stages_of

_CHOICES = frozenset(("maximum", "minimum"))


class Again(Enum):
    """What is computed again: every elementwise value, what a GPU has in registers, or choices."""

    EVERYTHING = auto()
    IN_REGISTERS = auto()
    CHOICES = auto()


def recomputed(graph: Graph, what: Again) -> Graph:
    """The graph in which later stages compute cheap values again.

    Args:
        graph: of several stages; one of a single stage stays as it is.
        what: which values of those that are cheap.
    """
    if len(graph.ends) == 1:
        return graph
    stages = stages_of(graph.outputs, graph.ends)
    cheap = _choices(stages, graph) if what is Again.CHOICES else _cheap(stages, graph, what)
    first = graph.ends[0]
    again: dict[Expr, Expr] = {}
    moved: dict[Expr, Expr] = {}
    for x in stages:
        if stages[x] == 0:
            again[x] = _again(x, again) if x in cheap else _on_others(x, again)
        else:
            moved[x] = x.on(*(moved.get(y) or again[y] for y in x.inputs))
    outputs = (
        *graph.outputs[:first],
        *(moved[x] if stages[x] else x for x in graph.outputs[first:]),
    )
    origins = dict(graph.origins)
    for old, new in (*again.items(), *moved.items()):
        if old in graph.origins:
            origins.setdefault(new, graph.origins[old])
    needed = set(toposort(outputs))
    return replace(
        graph, outputs=outputs, origins={x: n for x, n in origins.items() if x in needed}
    )


def _again(x: Expr, again: Mapping[Expr, Expr]) -> Expr:
    """The same value, as another one: equal expressions would be one, and be kept."""
    return make(x.primitive, *(again[y] for y in x.inputs), **dict(x.attributes), again=True)


def _on_others(x: Expr, again: Mapping[Expr, Expr]) -> Expr:
    """A view of what is computed again, or the value itself."""
    return x.on(*(again[y] for y in x.inputs)) if x.primitive in VIEWS else x


def _cheap(stages: Mapping[Expr, int], graph: Graph, what: Again) -> set[Expr]:
    """The values of the first stage that are computed again."""
    early = [x for x, stage in stages.items() if stage == 0]
    kept = {behind_views(x) for x in graph.outputs[: graph.ends[0]]}
    everything = what is Again.EVERYTHING
    if not everything:
        kept |= read_apart(early) | _read_later(early)
    depths: dict[Expr, int] = {}
    for x in early:
        depth = 1 + max((depths.get(behind_views(y), 0) for y in x.inputs), default=0)
        computed = x.inputs and (x.is_elementwise or x.primitive in GENERATED)
        if computed and x not in kept and (everything or depth <= LONGEST):
            depths[x] = depth
    return set(depths)


def _read_later(order: Iterable[Expr]) -> set[Expr]:
    """The values that wait in memory for something that is no pass over elements or rows.

    A recurrent network's state is one: the next step's also needs a product.
    """
    found: set[Expr] = set()
    passes: dict[Expr, int] = {}
    for x in order:
        read = [*map(behind_views, x.inputs)]
        passes[x] = max((passes[y] for y in read), default=0)
        if x.is_elementwise:
            found.update(y for y in read if passes[y] < passes[x] and y.size == x.size)
        elif x.inputs and x.primitive not in VIEWS | REDUCTIONS:
            passes[x] += 1
    return found


def _choices(stages: Mapping[Expr, int], graph: Graph) -> set[Expr]:
    """The choices between kept values that later stages read only element by element."""
    kept: set[Expr] = set()
    whole = {behind_views(x) for x in graph.outputs[: graph.ends[0]]}
    for x in stages:
        if stages[x] > 0 and x.primitive not in VIEWS:
            read = {behind_views(y) for y in x.inputs}
            kept |= read
            whole |= set() if x.is_elementwise else read
    found: set[Expr] = set()
    for x in stages:
        inputs = [behind_views(y) for y in x.inputs]
        free = all(y.primitive in SOURCES or (y in kept and y not in found) for y in inputs)
        if x.primitive in _CHOICES and stages[x] == 0 and x in kept - whole and free:
            found.add(x)
    return found
