"""From a symbol's graph to expressions, for arrays of known shapes and dtypes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain

from ..expressions.expr import Expr, Shape, input_
from ..foundation.dtype import DType
from ..foundation.errors import LoweringError
from .infer import Inferred
from .node import Entry, Node


@dataclass(frozen=True)
class Graph:
    """What is to be computed.

    Attributes:
        outputs: one expression per output.
        origins: the names of the nodes that an expression was made for.
        stages: how many of the outputs there are by the end of each stage. Stages run one after
            the other, at the caller's bidding: a forward pass, and a backward pass.
        updates: the outputs that replace an input, by number: an index of an ``input``.
    """

    outputs: tuple[Expr, ...]
    origins: Mapping[Expr, tuple[str, ...]] = field(default_factory=dict)
    stages: tuple[int, ...] = ()
    updates: Mapping[int, int] = field(default_factory=dict)

    @property
    def ends(self) -> tuple[int, ...]:
        """The stages; without any, all outputs are one."""
        return self.stages or (len(self.outputs),)


def _note_origin(
    origins: dict[Expr, list[str]], outputs: Sequence[Expr], inputs: Sequence[Expr], name: str
) -> None:
    """Write down which node the expressions between its inputs and its outputs are for."""
    known = set(inputs)
    waiting = [x for x in outputs if x not in known and x.primitive != "input"]
    for x in waiting:
        origins.setdefault(x, []).append(name)
    while waiting:
        for y in waiting.pop().inputs:
            if y not in known and y not in origins:
                origins[y] = [name]
                waiting.append(y)


def trace(
    stages: Sequence[Sequence[Entry]],
    shapes: Inferred[Shape],
    dtypes: Mapping[str, DType],
    native: bool,
    train: bool = False,
    written: Mapping[int, str] | None = None,
) -> Graph:
    """The expressions of a symbol.

    Args:
        stages: the entries that each stage computes. In training the first one also computes the
            new values of auxiliary states, which follow its entries.
        shapes: the shape of every node's outputs.
        dtypes: of the variables, by name. The variables are the ``input`` expressions, numbered
            in the order of ``shapes.nodes``.
        native: prefer the torch calls that do a whole operator, for the CPU.
        train: whether operators behave as in training.
        written: the entries, counted through all stages, that replace a variable, by its name.

    Raises:
        MXNetError: an operator that cannot take its inputs; it names node, line and inputs.
    """
    values: dict[tuple[int, int], Expr] = {}
    origins: dict[Expr, list[str]] = {}
    places: dict[str, int] = {}
    states: dict[str, Expr] = {}
    streams = 0
    for node in shapes.nodes:
        if node.op is None:
            shape = shapes.of(node)
            assert shape is not None
            values[id(node), 0] = input_(len(places), shape, dtypes[node.name])
            places[node.name] = len(places)
            continue
        inputs = [values[id(entry.node), entry.index] for entry in node.inputs]
        shape = shapes.of(node) if not inputs else None
        try:
            outputs = node.op.lower(
                node.parameters, inputs, shape=shape, stream=streams, train=train, native=native
            )
            if train and node.op.updates is not None:
                new = node.op.updates(node.parameters, inputs, outputs)
                states.update(zip(_state_names(node), new, strict=True))
        except LoweringError as error:
            raise node.fail(error, (f"{x.dtype}{x.shape}" for x in inputs)) from None
        streams += node.op.random
        for index, output in enumerate(outputs):
            values[id(node), index] = output
        _note_origin(origins, outputs, inputs, node.name)
    found = [tuple(values[id(e.node), e.index] for e in entries) for entries in stages]
    first = len(found[0])
    moved = {n if n < first else n + len(states): name for n, name in (written or {}).items()}
    moved.update({first + n: name for n, name in enumerate(states)})
    found[0] += tuple(states.values())
    return Graph(
        tuple(chain.from_iterable(found)),
        {x: tuple(names) for x, names in origins.items()},
        tuple(accumulate(map(len, found))),
        {number: places[name] for number, name in moved.items()},
    )


def _state_names(node: Node) -> list[str]:
    """The variables that a node's auxiliary inputs are."""
    pairs = zip(node.input_names, node.inputs, strict=True)
    return [source.node.name for name, source in pairs if name in node.state_names]
