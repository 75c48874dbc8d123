"""Shape and dtype inference: both ways through the graph, until nothing more follows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .dtype import BY_CODE, DType
from .errors import LoweringError, MXNetError
from .graph import Entry, Node, toposort
from .op import Op, PartialShape, merge_shapes, unify_dtypes

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


def _fixed_point(
    entries: Sequence[Entry],
    known: Mapping[str, Value],
    stored: Callable[[Node], Value | None],
    step: Callable[[Op, Any, list[Value | None], list[Value | None]], None],
) -> Inferred[Value]:
    nodes = toposort(entries)
    first: dict[int, int] = {}
    values: list[Value | None] = []
    for node in nodes:
        first[id(node)] = len(values)
        values.extend([None] * node.output_count)
        if node.op is None:
            values[-1] = known.get(node.name, stored(node))
    slots = [[first[id(e.node)] + e.index for e in node.inputs] for node in nodes]
    touching: list[list[int]] = [[] for _ in values]
    for position, node in enumerate(nodes):
        if node.op is not None:
            own = range(first[id(node)], first[id(node)] + node.output_count)
            for slot in {*slots[position], *own}:
                touching[slot].append(position)

    waiting = deque(position for position, node in enumerate(nodes) if node.op is not None)
    queued = set(waiting)
    while waiting:
        position = waiting.popleft()
        queued.discard(position)
        node = nodes[position]
        assert node.op is not None
        start = first[id(node)]
        all_slots = [*slots[position], *range(start, start + node.output_count)]
        inputs = [values[slot] for slot in slots[position]]
        outputs = values[start : start + node.output_count]
        before = [*inputs, *outputs]
        try:
            step(node.op, node.parameters, inputs, outputs)
        except LoweringError as error:
            raise node.fail(error, (shape or () for shape in before[: len(inputs)])) from None
        for slot, old, new in zip(all_slots, before, [*inputs, *outputs], strict=True):
            if new != old and new != values[slot]:
                values[slot] = new
                for neighbour in touching[slot]:
                    if neighbour not in queued and neighbour != position:
                        queued.add(neighbour)
                        waiting.append(neighbour)
                if slot in slots[position] and position not in queued:
                    queued.add(position)  # its own other inputs may follow from this one
                    waiting.append(position)
    return Inferred(nodes, first, values)


def normalised(shape: Sequence[int]) -> PartialShape:
    """MXNet's spellings of unknown made one: () is None, a negative length is 0."""
    return tuple(n if n > 0 else 0 for n in shape) or None


def _stored_shape(node: Node) -> PartialShape:
    text = node.attributes.get("__shape__")
    if text is None:
        return None
    parts = [part.strip() for part in text.strip("()[] ").split(",") if part.strip()]
    try:
        return normalised([int(part) for part in parts])
    except ValueError:
        raise MXNetError(f"{node.describe()}: __shape__={text!r} is no shape") from None


def _stored_dtype(node: Node) -> DType | None:
    text = node.attributes.get("__dtype__")
    if text is None or text == "-1":
        return None
    if text.isdigit() and int(text) in BY_CODE:
        return BY_CODE[int(text)]
    raise MXNetError(f"{node.describe()}: __dtype__={text!r} is no dtype number")


def infer_shapes(
    entries: Sequence[Entry], known: Mapping[str, PartialShape]
) -> Inferred[tuple[int, ...]]:
    """What the shapes of some variables say about all others.

    Raises:
        MXNetError: they contradict each other; it names the operator, its line and its inputs.
    """

    def step(op: Op, parameters: Any, inputs: list[Any], outputs: list[Any]) -> None:
        old_inputs, old_outputs = tuple(inputs), tuple(outputs)
        op.infer_shapes(parameters, inputs, outputs)
        inputs[:] = map(merge_shapes, old_inputs, inputs)
        outputs[:] = map(merge_shapes, old_outputs, outputs)

    usable = {name: shape for name, shape in known.items() if shape is not None}
    return _fixed_point(entries, usable, _stored_shape, step)


def infer_dtypes(entries: Sequence[Entry], known: Mapping[str, DType]) -> Inferred[DType]:
    """What the dtypes of some variables say about all others.

    Raises:
        MXNetError: two dtypes meet that have to be one; nothing is promoted.
    """

    def step(op: Op, parameters: Any, inputs: list[Any], outputs: list[Any]) -> None:
        old = (*inputs, *outputs)
        op.fill_dtypes(parameters, inputs, outputs)
        for before, after in zip(old, (*inputs, *outputs), strict=True):
            if before is not None and before is not after:
                raise LoweringError(f"expected {after}, got {before}; cast one of them")
        if op.fill_dtypes is unify_dtypes and len({*inputs, *outputs}) > 1:
            raise LoweringError("inputs have different dtypes; there is no promotion: cast one")

    return _fixed_point(entries, known, _stored_dtype, step)
