"""Graphs computed node by node: every value exact, and in memory of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..context import Context
from ..expressions.philox import default_state
from ..expressions.reference import Tensor
from ..graph.node import Entry, Node
from ..graph.trace import trace
from .compiler import checked_dtypes, checked_shapes
from .eager import compute


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
    entries: Sequence[Entry], bound: Mapping[str, Tensor], context: Context, train: bool
) -> Values:
    """Every value that the entries are computed from.

    Args:
        entries: the graph's outputs.
        bound: the memory of its variables, which stays as it is.
        context: where that is.
        train: whether operators behave as in training.

    Random numbers are those that the next run will draw.

    Raises:
        MXNetError: shapes or dtypes that do not fit.
    """
    shapes, dtypes = checked_shapes(entries, bound), checked_dtypes(entries, bound)
    nodes = shapes.nodes
    every = [Entry(node, index) for node in nodes for index in range(node.output_count)]
    on_cpu = context.device_type != "gpu"
    graph = trace([every], shapes, dtypes, native=on_cpu, train=train)
    inputs = [bound[node.name] for node in nodes if node.op is None]
    # New states stand behind the entries, and are not wanted.
    tensors = compute(graph.outputs[: len(every)], inputs, default_state().copy(), context)
    keys = ((id(entry.node), entry.index) for entry in every)
    return Values(nodes, dict(zip(keys, tensors, strict=True)))
