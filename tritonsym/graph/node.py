"""The graph of nodes behind symbols: variables and operators, their attributes, their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..attribute import is_user_key, stored_attributes
from ..foundation.errors import LoweringError, MXNetError
from ..foundation.text import escaped, listed, shown
from .op import Op


@dataclass(eq=False, slots=True)
class Node:
    """A variable (``op`` is None) or an operator applied to outputs of other nodes.

    Attributes:
        attributes: all that was given, as MXNet stores it: strings, hidden keys as ``__key__``.
        parameters: the typed record of the operator's own attributes.
        inputs: the entries that it reads.
        line: file and line of the program that made it.
    """

    op: Op | None
    name: str
    attributes: dict[str, str]
    inputs: tuple[Entry, ...]
    line: tuple[str, int]
    parameters: Any = None

    @property
    def output_names(self) -> list[str]:
        """The full names of its outputs."""
        return [Entry(self, index).name for index in range(self.output_count)]

    @property
    def output_count(self) -> int:
        return 1 if self.op is None else len(self.op.output_names(self.parameters))

    @property
    def visible_count(self) -> int:
        """How many of its outputs a symbol shows."""
        return 1 if self.op is None else self.op.visible_count(self.parameters)

    @property
    def input_names(self) -> Sequence[str]:
        return () if self.op is None else self.op.input_names(self.parameters)

    @property
    def state_names(self) -> Sequence[str]:
        """The names of those inputs that are auxiliary states."""
        return () if self.op is None else self.op.state_names(self.parameters)

    def __repr__(self) -> str:
        """Without its inputs, whose inputs would be shown as often as there are ways to them."""
        return self.describe()

    def describe(self) -> str:
        """The operator, the name and the creating line, for messages."""
        kind = "variable" if self.op is None else self.op.name
        return f"{kind} {shown(self.name)} (created at {self.line[0]}:{self.line[1]})"

    def fail(self, error: LoweringError, inputs: Iterable[object]) -> MXNetError:
        """The error of this node: what it is, what it was given, and what is wrong."""
        pairs = zip(self.input_names, self.inputs, inputs, strict=True)
        first = [f"{name} = {escaped(e.name)} {what}" for name, e, what in islice(pairs, 8)]
        more = f", ... ({len(self.inputs)} in all)" if len(self.inputs) > len(first) else ""
        given = ", ".join(first) + more
        return MXNetError(f"Error in operator {self.describe()}: {error} [inputs: {given}]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One output of a node."""

    node: Node
    index: int

    @property
    def name(self) -> str:
        node = self.node
        if node.op is None:
            return node.name
        return f"{node.name}_{node.op.output_names(node.parameters)[self.index]}"


def toposort(entries: Iterable[Entry]) -> list[Node]:
    """Every node that the entries need, inputs first: a depth-first post-order."""
    order: dict[Node, None] = {}
    for entry in entries:
        path, waiting = [entry.node], [iter(entry.node.inputs)]
        while path:
            for source in waiting[-1]:
                node = source.node
                if node not in order:
                    path.append(node)
                    waiting.append(iter(node.inputs))
                    break
            else:
                order[path.pop()] = None
                waiting.pop()
    return list(order)


def variables(nodes: Iterable[Node]) -> tuple[list[Node], list[Node]]:
    """The variables among the nodes: arguments, and states that operators write."""
    nodes = list(nodes)
    written = {
        id(entry.node)
        for node in nodes
        if (states := node.state_names)
        for name, entry in zip(node.input_names, node.inputs, strict=True)
        if name in states
    }
    found = [node for node in nodes if node.op is None]
    return (
        [node for node in found if id(node) not in written],
        [node for node in found if id(node) in written],
    )


def parse_parameters(op: Op, attributes: Mapping[str, str]) -> Any:
    """The record of the operator's own attributes, without the user's.

    Raises:
        MXNetError: one that is unknown, missing or not of its type.
    """
    own = {key: value for key, value in attributes.items() if not is_user_key(key)}
    return op.schema.parse(own)


def missing_input(
    op: Op, node_name: str, key: str, attributes: Mapping[str, str], line: tuple[str, int]
) -> Entry:
    """A variable for an input that was not given; it inherits the operator's attributes."""
    stored = stored_attributes(attributes)
    if key in op.initial:
        stored.setdefault("__init__", op.initial[key])
    return Entry(Node(None, f"{node_name}_{key}", stored, (), line), 0)


def tell_initial(node: Node) -> None:
    """Let the variables that an operator reads begin as it wants, if they do not say how."""
    if node.op is None or not node.op.initial:
        return
    for key, entry in zip(node.input_names, node.inputs, strict=True):
        if entry.node.op is None and key in node.op.initial:
            entry.node.attributes.setdefault("__init__", node.op.initial[key])


def make_node(
    op: Op,
    name: str,
    attributes: Mapping[str, str],
    inputs: tuple[Entry, ...],
    line: tuple[str, int],
) -> Node:
    """An operator's node, its parameters parsed and its inputs counted.

    Args:
        attributes: as they are stored.

    Raises:
        MXNetError: a parameter or the number of inputs does not fit the operator.
    """
    parameters = parse_parameters(op, attributes)
    names = op.input_names(parameters)
    node = Node(op, name, dict(attributes), inputs, line, parameters)
    if len(names) != len(inputs):
        raise MXNetError(
            f"{node.describe()} needs {len(names)} inputs ({listed(names) or 'none'}), "
            f"got {len(inputs)}"
        )
    return node
