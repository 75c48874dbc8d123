"""Shape and dtype inference: both ways through the graph, until nothing more follows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from ..foundation import collector
from ..foundation.dtype import BY_CODE, DType
from ..foundation.errors import LoweringError, MXNetError
from ..foundation.shape import given_shape
from .node import Entry, Node
from .op import Op, PartialShape, is_complete, merge_shapes, unify_dtypes
from .schema import MAX_ARITY, read

Value = TypeVar("Value")


@dataclass(frozen=True)
class Inferred(Generic[Value]):
    """What is known of every output of every node, inputs first."""

    values: Mapping[Node, Sequence[Value | None]]

    @property
    def nodes(self) -> Collection[Node]:
        return self.values.keys()

    def of(self, node: Node, index: int = 0) -> Value | None:
        return self.values[node][index]

    def entry(self, entry: Entry) -> Value | None:
        return self.values[entry.node][entry.index]


# Completes in place what is known of a node's inputs and outputs; and what two things that are
# known of one value say together.
Fill = Callable[[Op, Any, list[Value | None], list[Value | None]], None]
Merge = Callable[[Value | None, Value | None], Value | None]


@collector.paused()
def _fixed_point(
    nodes: Sequence[Node],
    said: Callable[[Node], Value | None],
    fill: Fill[Value],
    merge: Merge[Value],
) -> Inferred[Value]:
    """Apply ``fill`` to the nodes until it says nothing new about any of their values.

    Args:
        said: what is known of a variable before.
    """
    values: dict[Node, list[Value | None]] = {}
    # Layers repeat themselves, and share the record of their parameters; operators in Python have
    # records of their own.
    answers: dict[Hashable, list[Value | None]] = {}
    returned: dict[Entry, None] = {}
    more = 0

    # Most graphs are settled by one walk from the inputs to the outputs.
    for node in nodes:
        op = node.op
        if op is None:
            values[node] = [said(node)]
            continue
        given = tuple([values[source.node][source.index] for source in node.inputs])
        question = (op, id(node.parameters), given)
        answer = answers.get(question)
        row: list[Value | None]
        values[node] = row = [None] * node.output_count if answer is None else answer.copy()
        more += len(row) - 1
        if more > MAX_ARITY:
            raise MXNetError(
                f"{node.describe()}: beside one for each node there are {more} outputs up to this "
                f"one; a graph can have {MAX_ARITY}"
            )
        if answer is None:
            changed = _apply(node, values, fill, merge)
            of_inputs = [entry for entry in changed if entry.node is not node]
            if of_inputs:
                returned.update(dict.fromkeys(of_inputs))
            else:
                answers[question] = row.copy()
    if returned:
        _settle(nodes, values, fill, merge, returned)
    return Inferred(values)


def _settle(
    nodes: Sequence[Node],
    values: Mapping[Node, list[Value | None]],
    fill: Fill[Value],
    merge: Merge[Value],
    changed: Iterable[Entry],
) -> None:
    """Visit the nodes around every changed value until nothing changes any more."""
    readers: dict[Entry, list[Node]] = {}
    for node in nodes:
        for entry in dict.fromkeys(node.inputs):
            readers.setdefault(entry, []).append(node)

    def around(entry: Entry) -> Iterator[Node]:
        if entry.node.op is not None:
            yield entry.node
        yield from readers.get(entry, ())

    waiting = deque(dict.fromkeys(node for entry in changed for node in around(entry)))
    queued = set(waiting)
    while waiting:
        node = waiting.popleft()
        queued.discard(node)
        for entry in _apply(node, values, fill, merge):
            for neighbour in around(entry):
                if neighbour not in queued:
                    queued.add(neighbour)
                    waiting.append(neighbour)


def _apply(
    node: Node,
    values: Mapping[Node, list[Value | None]],
    fill: Fill[Value],
    merge: Merge[Value],
) -> list[Entry]:
    """What one node says about the values it reads and makes; which of them are new."""
    assert node.op is not None
    inputs = [values[source.node][source.index] for source in node.inputs]
    outputs = values[node].copy()
    old = [*inputs, *outputs]
    changed = []
    try:
        fill(node.op, node.parameters, inputs, outputs)
        new = [*inputs, *outputs]
        if new != old:
            made = (Entry(node, index) for index in range(len(outputs)))
            for entry, value in zip(chain(node.inputs, made), new, strict=True):
                before = values[entry.node][entry.index]
                merged = merge(before, value)
                if merged != before:
                    values[entry.node][entry.index] = merged
                    changed.append(entry)
    except LoweringError as error:
        raise node.fail(error, (value or () for value in old[: len(node.inputs)])) from None
    return changed


def normalised(shape: Sequence[int]) -> PartialShape:
    """MXNet's spellings of unknown made one: () is None, a negative length is 0."""
    return tuple(n if n > 0 else 0 for n in shape) or None


def known_shape(name: str, shape: Any) -> PartialShape:
    """What a user says of the shape of a variable.

    Raises:
        TypeError: no tuple of ints.
        MXNetError: too many axes.
    """
    return normalised(given_shape(name, shape))


def _stored_shape(node: Node) -> PartialShape:
    text = node.attributes.get("__shape__")
    if text is None:
        return None
    try:
        return known_shape(node.name, read(tuple[int, ...], text))
    except (ValueError, MXNetError) as error:
        raise MXNetError(f"{node.describe()}: __shape__: {error}") from None


def _stored_dtype(node: Node) -> DType | None:
    text = node.attributes.get("__dtype__")
    if text is None:
        return None
    try:
        code = read(int, text)
    except ValueError as error:
        raise MXNetError(f"{node.describe()}: __dtype__: {error}") from None
    if code == -1:
        return None
    if code not in BY_CODE:
        raise MXNetError(f"{node.describe()}: __dtype__={code} is no dtype number")
    return BY_CODE[code]


def infer_shapes(
    nodes: Sequence[Node], known: Mapping[str, PartialShape]
) -> Inferred[tuple[int, ...]]:
    """What the shapes of some variables say about all others.

    Args:
        nodes: inputs before what reads them.
        known: by the names of variables.

    Raises:
        MXNetError: they contradict each other; it names the operator, its line and its inputs.
    """

    def fill(op: Op, parameters: Any, inputs: list[Any], outputs: list[Any]) -> None:
        op.infer_shapes(parameters, inputs, outputs)

    def said(node: Node) -> PartialShape:
        given, declared = known.get(node.name), _stored_shape(node)
        # As in MXNet: what is declared takes the place of what is given with gaps.
        return given if declared is None or is_complete(given) else declared

    return _fixed_point(nodes, said, fill, merge_shapes)


def infer_dtypes(nodes: Sequence[Node], known: Mapping[str, DType]) -> Inferred[DType]:
    """What the dtypes of some variables say about all others.

    Args:
        nodes: inputs before what reads them.
        known: by the names of variables.

    Raises:
        MXNetError: two dtypes meet that have to be one; nothing is promoted.
    """

    def fill(op: Op, parameters: Any, inputs: list[Any], outputs: list[Any]) -> None:
        op.fill_dtypes(parameters, inputs, outputs)
        if op.fill_dtypes is unify_dtypes and len({*inputs, *outputs}) > 1:
            raise LoweringError("inputs have different dtypes; there is no promotion: cast one")

    def merge(before: DType | None, after: DType | None) -> DType | None:
        if before is None or after is None:
            return before or after
        if before is not after:
            raise LoweringError(f"expected {after}, got {before}; cast one of them")
        return after

    def said(node: Node) -> DType | None:
        declared = _stored_dtype(node)
        return known.get(node.name, declared)

    return _fixed_point(nodes, said, fill, merge)
