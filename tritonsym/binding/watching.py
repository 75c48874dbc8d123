"""What a monitor is shown of a run: which values, in which order, and under MXNet's names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..compiler.node_by_node import Values
from ..expressions.reference import Tensor
from ..graph.backward import BackwardOp
from ..graph.node import Node
from ..graph.op import Op

# MXNet's operators of one input that name it; the inputs of all others have numbers.
_NAMED = (
    *("Dropout", "L2Normalization", "LRN", "MakeLoss", "Pad", "Pooling", "SliceChannel"),
    *("SwapAxis", "_split_v2", "depth_to_space", "diag", "log_softmax", "one_hot", "repeat"),
    *("reverse", "space_to_depth", "squeeze", "tile"),
)


def watched(values: Values, monitor_all: bool) -> Iterator[tuple[str, Tensor]]:
    """The outputs of all nodes, in the order in which they were computed.

    Args:
        values: those of a forward pass.
        monitor_all: show the inputs of nodes too, and variables wherever they are read.
    """
    for node in values.nodes:
        if node.op is None:
            continue
        for name, entry in zip(_input_names(node.op, node), node.inputs, strict=True):
            if monitor_all and entry.node.op is None:
                yield entry.name, values.of(entry)
            if monitor_all:
                yield f"{node.name}_{name}", values.of(entry)
        yield from values.outputs(node)


def watched_gradients(values: Values) -> Iterator[tuple[str, Tensor]]:
    """The gradients of the inputs of all nodes that a backward pass went through, in its order."""
    for node in values.nodes:
        if not isinstance(node.op, BackwardOp):
            continue
        states = node.op.forward.state_names(node.parameters)
        names = node.op.forward.input_names(node.parameters)
        places = [place for place, name in enumerate(names) if name not in states]
        tensors = [tensor for _, tensor in values.outputs(node)]
        for place in places:
            number = str(place) if len(places) > 1 else ""
            yield f"{node.name}_output{number}", tensors[place]


def _input_names(op: Op, node: Node) -> Sequence[str]:
    names = node.input_names
    numbered = len(op.declared_inputs) == 1 and op.name not in _NAMED
    if numbered or "_update" in op.name:
        return [f"input{place}" for place in range(len(names))]
    return names
