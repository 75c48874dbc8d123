"""Gradients as graphs: for each operator one that computes its gradients, and the walk backwards.

The gradient of a symbol is a symbol: each node that it passes gets a node ``_backward_<operator>``,
which reads the gradients of the node's outputs, its inputs and its outputs, and gives the gradients
of its inputs. It can be inspected, saved, bound, and differentiated again.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..attribute import is_user_key
from ..expressions.expr import Expr, full, input_, is_zero
from ..expressions.grad import gradients, substitute
from ..foundation.dtype import BOOL
from ..foundation.errors import LoweringError, MXNetError
from ..foundation.text import shown
from .node import Entry, Node, make_node, toposort
from .op import DTypes, Op, PartialShape, Shapes, find, merge_shapes

PREFIX = "_backward_"
# Of gradients of gradients that a file may name.
_HIGHEST_ORDER = 8


@dataclass(frozen=True, eq=False)
class BackwardOp(Op):
    """The operator of another operator's gradients.

    Its inputs are the gradients of ``forward``'s outputs, the inputs of ``forward``, and its
    outputs; its own outputs are the gradients of the inputs.
    """

    forward: Op

    def lower(
        self,
        attributes: Any,
        inputs: Sequence[Expr],
        *,
        shape: PartialShape = None,
        stream: int = 0,
        train: bool = False,
        native: bool = False,
    ) -> tuple[Expr, ...]:
        heads, values, results = _parts(self.forward, attributes, inputs)
        # What is true or false has no gradient.
        heads = [full(0, h.shape, h.dtype) if h.dtype is BOOL else h for h in heads]
        if not self.forward.is_loss(attributes) and all(map(is_zero, heads)):
            found: Sequence[Expr | None] = [None] * len(values)
        elif self.forward.gradient is not None:
            found = self.forward.gradient(attributes, heads, values, results)
        else:
            found = _derived(self.forward, attributes, heads, values, train)
        return tuple(
            full(0, x.shape, x.dtype) if y is None else y
            for x, y in zip(values, found, strict=True)
        )

    def infer_shapes(self, attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
        heads, values, results = _parts(self.forward, attributes, inputs)
        self.forward.infer_shapes(attributes, values, results)
        heads = list(map(merge_shapes, heads, results))
        values = list(map(merge_shapes, values, outputs))
        inputs[:], outputs[:] = (*heads, *values, *results), values


def _parts(op: Op, attributes: Any, inputs: Sequence[Any]) -> tuple[list[Any], ...]:
    """The inputs of a backward operator: gradients of outputs, inputs, and outputs of ``op``."""
    outputs, values = len(op.output_names(attributes)), len(op.input_names(attributes))
    items = list(inputs)
    return items[:outputs], items[outputs : outputs + values], items[outputs + values :]


def _fill_dtypes(op: Op, attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    """Each gradient has the dtype of what it is the gradient of."""
    heads, values, results = _parts(op, attributes, inputs)
    op.fill_dtypes(attributes, values, results)
    heads = [head or y for head, y in zip(heads, results, strict=True)]
    inputs[:] = (*heads, *values, *results)
    outputs[:] = [g or x for x, g in zip(values, outputs, strict=True)]


def _derived(
    op: Op, attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], train: bool
) -> list[Expr | None]:
    """Gradients by differentiating the operator's expression.

    Each input is differentiated as if it were independent of the others, which the values
    themselves need not be, so the derivative is taken on placeholders.
    """
    if op.random:
        raise LoweringError(f"{op.name} is random and has no gradient")
    places = [input_(-1 - i, x.shape, x.dtype) for i, x in enumerate((*inputs, *heads))]
    own, given = places[: len(inputs)], places[len(inputs) :]
    found = gradients(op.lower(attributes, own, train=train), given, own)
    return substitute(found, dict(zip(places, (*inputs, *heads), strict=True)))


@functools.cache
def backward_op(op: Op) -> BackwardOp:
    """The operator of an operator's gradients."""

    def input_names(attributes: Any) -> Sequence[str]:
        outputs = op.output_names(attributes)
        heads = [f"{name}_gradient" for name in outputs]
        return [*heads, *op.input_names(attributes), *outputs]

    inherited = {field.name: getattr(op, field.name) for field in fields(Op)}
    inherited.update(
        name=f"{PREFIX}{op.name}",
        aliases=(),
        declared_inputs=(),
        input_names=input_names,
        output_names=lambda attributes: [f"{n}_gradient" for n in op.input_names(attributes)],
        auxiliary=(),
        state_names=lambda attributes: (),
        variadic=None,
        is_open=False,
        fill_dtypes=functools.partial(_fill_dtypes, op),
        native=None,
        random=False,
        gradient=None,
        is_loss=lambda attributes: False,
        updates=None,
        visible_count=lambda attributes: len(op.input_names(attributes)),
    )
    return BackwardOp(**inherited, forward=op)


def find_op(name: str) -> Op:
    """The operator of this name, also where it is the operator of another one's gradients.

    Raises:
        MXNetError: there is none, or it is one of gradients of gradients of many orders.
    """
    own = name
    while own.startswith(PREFIX):
        own = own.removeprefix(PREFIX)
    order = (len(name) - len(own)) // len(PREFIX)
    # Each has all inputs and outputs of the one before, so their number doubles.
    if order > _HIGHEST_ORDER:
        raise MXNetError(
            f"{shown(name)} is the operator of gradients of order {order}; a graph can have those "
            f"up to order {_HIGHEST_ORDER}"
        )
    op = find(own)
    for _ in range(order):
        op = backward_op(op)
    return op


def backward(
    entries: Sequence[Entry], heads: Sequence[Entry | None], variables: Iterable[Node]
) -> list[Entry]:
    """The gradients of variables, as entries of a graph that contains the given one.

    Args:
        entries: what is differentiated.
        heads: the gradient of each, or None where it has none; losses need none.
        variables: with respect to what.

    Returns:
        One entry per variable, of its shape and dtype; zeros where nothing depends on it.
    """
    nodes = toposort(entries)
    wanted = list(variables)
    depending = {id(node) for node in wanted}
    for node in nodes:
        if any(id(source.node) in depending for source in node.inputs):
            depending.add(id(node))
    received: dict[tuple[int, int], list[Entry]] = {}
    for entry, head in zip(entries, heads, strict=True):
        if head is not None:
            received.setdefault((id(entry.node), entry.index), []).append(head)
    for node in reversed(nodes):
        if node.op is None or id(node) not in depending:
            continue
        results = [Entry(node, index) for index in range(node.output_count)]
        parts = [_total(received.get((id(node), entry.index), []), entry) for entry in results]
        made = make_node(
            backward_op(node.op),
            f"{node.name}_backward",
            _plain(node),
            (*parts, *node.inputs, *results),
            node.line,
        )
        names = zip(node.input_names, node.inputs, strict=True)
        for index, (name, source) in enumerate(names):
            if id(source.node) in depending and name not in node.state_names:
                key = (id(source.node), source.index)
                received.setdefault(key, []).append(Entry(made, index))
    return [_total(received.get((id(node), 0), []), Entry(node, 0)) for node in wanted]


def backward_of_sum(entries: Sequence[Entry], variables: Sequence[Node]) -> list[Entry]:
    """The gradients of the sum of all entries; those that are losses begin by themselves."""
    ones = find("ones_like")
    heads = [
        None
        if is_loss(entry)
        else Entry(make_node(ones, f"{entry.name}_ones", {}, (entry,), entry.node.line), 0)
        for entry in entries
    ]
    return backward(entries, heads, variables)


def is_loss(entry: Entry) -> bool:
    """Whether gradients start at this output by themselves."""
    node = entry.node
    return node.op is not None and node.op.is_loss(node.parameters)


def _total(parts: Sequence[Entry], value: Entry) -> Entry:
    """The sum of what a value received; zeros where that is nothing."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        node = make_node(find("zeros_like"), f"{value.name}_zeros", {}, (value,), value.node.line)
        return Entry(node, 0)
    return summed(parts, f"{value.name}_gradient_sum", value.node.line)


def summed(parts: Sequence[Entry], name: str, line: tuple[str, int]) -> Entry:
    """The sum of gradients, of which zeros cost nothing; ``line`` is what made it."""
    count = {"num_args": str(len(parts))}
    return Entry(make_node(find("_gradient_sum"), name, count, tuple(parts), line), 0)


def _plain(node: Node) -> dict[str, str]:
    """The operator's own attributes."""
    return {key: value for key, value in node.attributes.items() if not is_user_key(key)}
