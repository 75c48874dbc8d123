"""Shape and dtype inference: both ways through the graph, until nothing more follows."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from ..foundation import collector
from ..foundation.dtype import BY_CODE, DType
from ..foundation.errors import LoweringError, MXNetError
from ..foundation.shape import given_shape
from .node import Entry, Node, toposort
from .op import Op, PartialShape, merge_shapes, unify_dtypes
from .schema import MAX_ARITY, read

Value = TypeVar("Value")


@dataclass(frozen=True)
class Inferred(Generic[Value]):
    """What is known of every output of every node."""

    nodes: Sequence[Node]
    _first: Mapping[int, int]
    _values: Sequence[Value | None]

    def of(self, node: Node, index: int = 0) -> Value | None:
        return self._values[self._first[id(node)] + index]

    def entry(self, entry: Entry) -> Value | None:
        return self.of(entry.node, entry.index)


# Completes in place what is known of a node's inputs and outputs; and what two things that are
# known of one value say together.
Fill = Callable[[Op, Any, list[Value | None], list[Value | None]], None]
Merge = Callable[[Value | None, Value | None], Value | None]


@collector.paused()
def _fixed_point(
    entries: Sequence[Entry],
    known: Mapping[str, Value],
    stored: Callable[[Node], Value | None],
    fill: Fill[Value],
    merge: Merge[Value],
) -> Inferred[Value]:
    """Apply ``fill`` to the nodes until it says nothing new about any of their values."""
    nodes = toposort(entries)
    first: dict[int, int] = {}
    values: list[Value | None] = []
    slots: list[tuple[list[int], range]] = []  # of each node: the values that it reads and makes
    for node in nodes:
        first[id(node)] = start = len(values)
        if node.op is None:
            values.append(known.get(node.name, stored(node)))
        else:
            values.extend([None] * node.output_count)
        reads = [first[id(entry.node)] + entry.index for entry in node.inputs]
        slots.append((reads, range(start, len(values))))
        if len(values) > len(nodes) + MAX_ARITY:
            raise MXNetError(
                f"{node.describe()}: the nodes up to this one have {len(values)} outputs; a graph "
                f"can have one for each node and {MAX_ARITY} more"
            )

    # Most graphs are settled by one walk from the inputs to the outputs.
    returned: dict[int, None] = {}
    for node, (reads, made) in zip(nodes, slots, strict=True):
        if node.op is not None:
            for slot in _apply(node, reads, made, values, fill, merge):
                if slot < made.start:
                    returned[slot] = None
    if returned:
        _settle(nodes, slots, values, fill, merge, returned)
    return Inferred(nodes, first, values)


def _settle(
    nodes: Sequence[Node],
    slots: Sequence[tuple[Sequence[int], range]],
    values: list[Value | None],
    fill: Fill[Value],
    merge: Merge[Value],
    changed: Iterable[int],
) -> None:
    """Visit the nodes around every changed value until nothing changes any more."""
    readers: dict[int, list[int]] = {}
    for position, (reads, _) in enumerate(slots):
        for slot in dict.fromkeys(reads):
            readers.setdefault(slot, []).append(position)

    def around(slot: int) -> Iterator[int]:
        maker = bisect_right(slots, slot, key=lambda pair: pair[1].start) - 1
        if nodes[maker].op is not None:
            yield maker
        yield from readers.get(slot, ())

    waiting = deque(dict.fromkeys(position for slot in changed for position in around(slot)))
    queued = set(waiting)
    while waiting:
        position = waiting.popleft()
        queued.discard(position)
        for slot in _apply(nodes[position], *slots[position], values, fill, merge):
            for neighbour in around(slot):
                if neighbour not in queued:
                    queued.add(neighbour)
                    waiting.append(neighbour)


def _apply(
    node: Node,
    reads: Sequence[int],
    made: range,
    values: list[Value | None],
    fill: Fill[Value],
    merge: Merge[Value],
) -> list[int]:
    """What one node says about the values it reads and makes; which of them are new."""
    assert node.op is not None
    inputs, outputs = [values[slot] for slot in reads], values[made.start : made.stop]
    old = [*inputs, *outputs]
    changed = []
    try:
        fill(node.op, node.parameters, inputs, outputs)
        new = [*inputs, *outputs]
        if new != old:
            for slot, value in zip(chain(reads, made), new, strict=True):
                merged = merge(values[slot], value)
                if merged != values[slot]:
                    values[slot] = merged
                    changed.append(slot)
    except LoweringError as error:
        raise node.fail(error, (value or () for value in old[: len(reads)])) from None
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
    entries: Sequence[Entry], known: Mapping[str, PartialShape]
) -> Inferred[tuple[int, ...]]:
    """What the shapes of some variables say about all others.

    Raises:
        MXNetError: they contradict each other; it names the operator, its line and its inputs.
    """

    def fill(op: Op, parameters: Any, inputs: list[Any], outputs: list[Any]) -> None:
        op.infer_shapes(parameters, inputs, outputs)

    usable = {name: shape for name, shape in known.items() if shape is not None}
    return _fixed_point(entries, usable, _stored_shape, fill, merge_shapes)


def infer_dtypes(entries: Sequence[Entry], known: Mapping[str, DType]) -> Inferred[DType]:
    """What the dtypes of some variables say about all others.

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

    return _fixed_point(entries, known, _stored_dtype, fill, merge)
