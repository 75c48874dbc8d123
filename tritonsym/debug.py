"""`mx.debug`: finding where a computation goes wrong."""

from __future__ import annotations

import torch

from .binding.executor import Executor
from .compiler.node_by_node import Values, every_value
from .foundation.errors import MXNetError
from .foundation.text import escaped, listed
from .graph.backward import backward_of_sum
from .graph.node import Node, toposort, variables


def check_nan(executor: Executor, is_train: bool = False, gradients: bool = False) -> None:
    """Compute node by node what an executor computes, and stop at the first number that is none.

    Nothing that is bound is changed, neither states nor outputs.

    Args:
        executor: a bound symbol, with the values that its arrays now hold.
        is_train: whether operators behave as in training.
        gradients: look at the gradients as well; those of the sum of all outputs, losses apart.

    Raises:
        MXNetError: a value is NaN or infinite; it names the operator, the line that created it, and
            which of its inputs were finite.
    """
    entries = list(executor._symbol._entries)
    if gradients:
        arguments, _ = variables(toposort(entries))
        entries += backward_of_sum(entries, arguments)
    values = every_value(entries, executor._tensors(), executor._ctx, is_train)
    for node in values.nodes:
        for name, tensor in values.outputs(node):
            if _is_spoiled(tensor):
                raise MXNetError(_complaint(values, node, name, tensor))


def _is_spoiled(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())


def _complaint(values: Values, node: Node, name: str, tensor: torch.Tensor) -> str:
    nan, infinite = int(tensor.isnan().sum()), int(tensor.isinf().sum())
    sources = [source for source in node.inputs if _is_spoiled(values.of(source))]
    found = f"{nan:,} NaN and {infinite:,} infinities among {tensor.numel():,} elements"
    what = f"output {escaped(name)} of {node.describe()}" if node.op else node.describe()
    if node.op is None:
        return f"{what} holds {found}"
    origin = f"not finite before: {listed([s.name for s in sources])}" if sources else "all finite"
    return f"{what} has {found}; its inputs are {origin}"
