"""Graphs computed node by node: every value exact, and in memory of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..context import Context
from ..expressions.philox import RandomState, default_state
from ..expressions.reference import Tensor
from ..graph.backward import backward
from ..graph.node import Entry, Node, toposort
from ..graph.trace import trace
from .compiler import checked_dtypes, checked_shapes
from .eager import compute
from .training_pass import fresh_names, variable


@dataclass(frozen=True)
class Values:
    """Every value of a graph.

    Attributes:
        nodes: all of them, inputs first.
    """

    nodes: Sequence[Node]
    _tensors: Mapping[tuple[int, int], Tensor]

    def of(self, entry: Entry) -> Tensor:
        """One output of one node."""
        return self._tensors[id(entry.node), entry.index]

    def outputs(self, node: Node) -> Iterator[tuple[str, Tensor]]:
        """The outputs of a node with their names."""
        for index, name in enumerate(node.output_names):
            yield name, self._tensors[id(node), index]


def every_value(
    entries: Sequence[Entry],
    bound: Mapping[str, Tensor],
    context: Context,
    train: bool,
    state: RandomState | None = None,
) -> Values:
    """Every value that the entries are computed from.

    Args:
        entries: the graph's outputs.
        bound: the memory of its variables, which stays as it is.
        context: where that is.
        train: whether operators behave as in training.
        state: where random numbers are drawn from; else they are those of the next run.

    Raises:
        MXNetError: shapes or dtypes that do not fit.
    """
    nodes = toposort(entries)
    shapes, dtypes = checked_shapes(nodes, bound), checked_dtypes(nodes, bound)
    every = [Entry(node, index) for node in nodes for index in range(node.output_count)]
    on_cpu = not context.is_gpu
    graph = trace([every], shapes, dtypes, native=on_cpu, train=train)
    inputs = [bound[node.name] for node in nodes if node.op is None]
    # New states stand behind the entries, and are not wanted.
    drawn = (state or default_state()).copy()
    tensors = compute(graph.outputs[: len(every)], inputs, drawn, context)
    keys = ((id(entry.node), entry.index) for entry in every)
    return Values(nodes, dict(zip(keys, tensors, strict=True)))


@dataclass(frozen=True)
class Past:
    """What a forward pass was computed from: copies, since a program goes on writing."""

    bound: Mapping[str, Tensor]
    state: RandomState
    train: bool


def past_of(bound: Mapping[str, Tensor], train: bool) -> Past:
    """What the next run will be computed from."""
    copies = {name: tensor.clone() for name, tensor in bound.items()}
    return Past(copies, default_state().copy(), train)


def every_gradient(
    entries: Sequence[Entry],
    heads: Sequence[Tensor | None],
    names: Collection[str],
    past: Past,
    context: Context,
) -> Values:
    """Every value of a graph and of its backward pass.

    Args:
        entries: the graph's outputs.
        heads: the gradient of each, or None for losses.
        names: the variables whose gradients are wanted.
        past: what the forward pass was computed from.
        context: where that is.

    Raises:
        MXNetError: an operator on the way that has no gradient.
    """
    bound, fresh = dict(past.bound), fresh_names(past.bound)
    given: list[Entry | None] = []
    for head in heads:
        entry = None if head is None else variable(next(fresh))
        given.append(entry)
        if entry is not None and head is not None:
            bound[entry.name] = head
    wanted = [node for node in toposort(entries) if node.op is None and node.name in names]
    found = backward(entries, given, wanted)
    # The graph itself goes first, so that its nodes draw the numbers that they drew alone.
    every = (*entries, *found)
    needed = {node.name for node in toposort(every)}
    used = {name: tensor for name, tensor in bound.items() if name in needed}
    return every_value(every, used, context, past.train, past.state)
