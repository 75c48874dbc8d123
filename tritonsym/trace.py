"""From a symbol's graph to expressions, for arrays of known shapes and dtypes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .dtype import DType
from .errors import LoweringError
from .expr import Expr, Shape, input_
from .graph import Entry
from .infer import Inferred


@dataclass(frozen=True)
class Graph:
    """What is to be computed.

    Attributes:
        outputs: one expression per output of the symbol.
        origins: the names of the nodes that an expression was made for.
    """

    outputs: tuple[Expr, ...]
    origins: Mapping[Expr, tuple[str, ...]]


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
    entries: Sequence[Entry],
    shapes: Inferred[Shape],
    dtypes: Mapping[str, DType],
    native: bool,
) -> Graph:
    """The expressions of a symbol.

    Args:
        entries: the symbol's outputs.
        shapes: the shape of every node's outputs.
        dtypes: of the variables, by name. The variables are the ``input`` expressions, numbered
            in the order of ``shapes.nodes``.
        native: prefer the torch calls that do a whole operator, for the CPU.

    Raises:
        MXNetError: an operator that cannot take its inputs; it names node, line and inputs.
    """
    values: dict[tuple[int, int], Expr] = {}
    origins: dict[Expr, list[str]] = {}
    variables = streams = 0
    for node in shapes.nodes:
        if node.op is None:
            shape = shapes.of(node)
            assert shape is not None
            values[id(node), 0] = input_(variables, shape, dtypes[node.name])
            variables += 1
            continue
        inputs = [values[id(entry.node), entry.index] for entry in node.inputs]
        shape = shapes.of(node) if not inputs else None
        try:
            outputs = node.op.lower(
                node.parameters, inputs, shape=shape, stream=streams, native=native
            )
        except LoweringError as error:
            raise node.fail(error, (f"{x.dtype}{x.shape}" for x in inputs)) from None
        streams += node.op.random
        for index, output in enumerate(outputs):
            values[id(node), index] = output
        _note_origin(origins, outputs, inputs, node.name)
    found = tuple(values[id(e.node), e.index] for e in entries)
    return Graph(found, {x: tuple(names) for x, names in origins.items()})
