"""Operators that a program writes in Python: a node's forward and backward are a call each.

A call has one result, so what it gives lies one after the other in one array. Which operators there
are is known here as data; arrays, which the code is given, stand above.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from tritonsym.expressions.expr import Expr, Shape, cast
from tritonsym.expressions.library import library_call
from tritonsym.expressions.reference import Step, Tensor
from tritonsym.foundation.dtype import FLOAT64, INT64, DType
from tritonsym.foundation.errors import LoweringError, MXNetError
from tritonsym.foundation.text import listed, shown
from tritonsym.graph.op import (
    DTypes,
    Gradients,
    PartialShape,
    Shapes,
    is_complete,
    merge_shapes,
    operator,
)
from tritonsym.graph.schema import Schema

from .common import cut


class Running(Protocol):
    """The code of one node, with whatever it keeps from one call to the next."""

    def forward(
        self,
        train: bool,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        states: Sequence[Tensor],
    ) -> None:
        """Write the outputs, and what the states become."""

    def backward(
        self,
        heads: Sequence[Tensor],
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        gradients: Sequence[Tensor],
        states: Sequence[Tensor],
    ) -> None:
        """Write the gradients of the inputs."""


class PythonOperator(Protocol):
    """What is asked of an operator in Python; a failure of its code is a LoweringError.

    Attributes:
        op_type: the name under which it is registered.
        arguments, outputs, states: the names of its inputs, outputs and auxiliary states.
        needs_heads: whether its gradients depend on those of its outputs.
    """

    op_type: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    states: tuple[str, ...]
    needs_heads: bool

    def shapes(self, arguments: Shapes) -> tuple[Shapes, Shapes, Shapes]:
        """The shapes of arguments, outputs and states, from what is known of the arguments."""

    def dtypes(self, arguments: DTypes) -> tuple[DTypes, DTypes, DTypes]:
        """Their dtypes."""

    def create(self, inputs: Sequence[Tensor]) -> Running:
        """The code of a node on arguments and states like these."""


Maker = Callable[[Mapping[str, str]], PythonOperator]

_makers: dict[str, Maker] = {}


def register(op_type: str, maker: Maker) -> bool:
    """Let nodes made from now on find an operator; whether another one had that name before.

    Args:
        maker: the operator for the parameters of a node.
    """
    before = op_type in _makers
    _makers[op_type] = maker
    return before


# ---- what a node says --------------------------------------------------------------------------


class Code:
    """The code object of a node, which is made when memory is known and serves all its calls."""

    def __init__(self) -> None:
        self._running: Running | None = None

    def running(self, python: PythonOperator, inputs: Sequence[Tensor]) -> Running:
        if self._running is None:
            self._running = python.create(inputs)
        return self._running


@dataclass(frozen=True, eq=False)
class CustomAttributes:
    """The parameters of one node, which are its operator's own affair."""

    op_type: str
    operator: PythonOperator
    code: Code


class CustomSchema(Schema):
    """``op_type``, and whatever parameters the operator of that name takes, as texts."""

    def __init__(self) -> None:
        parameter = inspect.Parameter("op_type", inspect.Parameter.KEYWORD_ONLY)
        super().__init__("Custom", {"op_type": parameter}, {"op_type": str})
        self.record = CustomAttributes

    def check_names(self, names: object) -> None:
        """Any name may be a parameter."""

    def parse(self, given: Mapping[str, str]) -> CustomAttributes:
        """The operator that a node names, made for its parameters.

        Raises:
            MXNetError: there is none of that name, or it does not take these parameters.
        """
        own = dict(given)
        op_type = own.pop("op_type", None)
        if op_type is None:
            raise MXNetError("operator Custom: required parameter op_type of str is not given")
        if op_type not in _makers:
            raise MXNetError(
                f"operator Custom: cannot find custom operator {shown(op_type)}; registered are "
                f"{listed(_makers) or 'none'}: register it with mx.operator.register first"
            )
        return CustomAttributes(op_type, _makers[op_type](own), Code())

    def copied(self, record: CustomAttributes) -> CustomAttributes:
        """With code of its own: an executor's graph is a copy, and all its programs share it."""
        return replace(record, code=Code())


def _inputs(attributes: CustomAttributes) -> tuple[str, ...]:
    return (*attributes.operator.arguments, *attributes.operator.states)


def _outputs(attributes: CustomAttributes) -> tuple[str, ...]:
    """What a symbol shows, and then what the states become."""
    python = attributes.operator
    return (*python.outputs, *(f"{name}_after" for name in python.states))


def _fill_shapes(attributes: CustomAttributes, inputs: Shapes, outputs: Shapes) -> None:
    python = attributes.operator
    count = len(python.arguments)
    arguments = inputs[:count]
    if not any(map(is_complete, arguments)) and arguments:
        return
    try:
        found, made, states = python.shapes(arguments)
    except LoweringError:
        if all(map(is_complete, arguments)):
            raise
        return  # its code needs to know more
    _merge(inputs, (*found, *states), _inputs(attributes))
    _merge(outputs, (*made, *states), _outputs(attributes))


def _merge(known: Shapes, found: Sequence[PartialShape], names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        try:
            known[index] = merge_shapes(found[index], known[index])
        except LoweringError as error:
            raise LoweringError(f"infer_shape and what is given of {name}: {error}") from None


def _fill_dtypes(attributes: CustomAttributes, inputs: DTypes, outputs: DTypes) -> None:
    python = attributes.operator
    count = len(python.arguments)
    if count and inputs[:count].count(None) == count:
        return
    found, made, states = python.dtypes(inputs[:count])
    for side, new in ((inputs, (*found, *states)), (outputs, (*made, *states))):
        side[:] = [after or before for before, after in zip(side, new, strict=True)]


# ---- the calls ---------------------------------------------------------------------------------


class Call:
    """A forward pass of one node, and the gradient that belongs to it."""

    def __init__(self, python: PythonOperator, code: Code, train: bool) -> None:
        self.operator = python
        self.code = code
        self.train = train

    def running(self, inputs: Sequence[Tensor]) -> Running:
        return self.code.running(self.operator, inputs)


@dataclass(frozen=True)
class Packing:
    """A call, and what its result has in it one after the other.

    Attributes:
        given: how many tensors of each kind it reads.
        parts: the shapes and dtypes of what it gives.
    """

    call: Call
    given: tuple[int, ...]
    parts: tuple[tuple[Shape, DType], ...]

    def split(self, tensors: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        """The tensors that are read, by kind."""
        found, start = [], 0
        for count in self.given:
            found.append(tensors[start : start + count])
            start += count
        return found

    def pieces(self, out: Tensor) -> list[Tensor]:
        """The parts of the result's memory."""
        found, start = [], 0
        for shape, _ in self.parts:
            stop = start + math.prod(shape)
            found.append(out[start:stop].view(shape))
            start = stop
        return found

    def places(self, out: Tensor) -> list[Tensor]:
        """Where the code writes: into the result, if that has the dtype of what is written."""
        return [
            piece if piece.dtype is dtype.torch else torch.empty_like(piece, dtype=dtype.torch)
            for piece, (_, dtype) in zip(self.pieces(out), self.parts, strict=True)
        ]


def _finish(places: Sequence[Tensor], pieces: Sequence[Tensor]) -> None:
    for place, piece in zip(places, pieces, strict=True):
        if place.dtype is not piece.dtype:
            piece.copy_(place)


def _forward(packing: Packing, inputs: list[Tensor], out: Tensor) -> Step:
    arguments, states = packing.split(inputs)
    running = packing.call.running(inputs)
    places, pieces = packing.places(out), packing.pieces(out)
    count = len(places) - len(states)

    def step() -> None:
        for place in places[:count]:
            place.zero_()
        for place, state in zip(places[count:], states, strict=True):
            place.copy_(state)
        running.forward(packing.call.train, arguments, places[:count], places[count:])
        _finish(places, pieces)

    return step


def _backward(packing: Packing, inputs: list[Tensor], out: Tensor) -> Step:
    heads, arguments, states, outputs = packing.split(inputs)
    running = packing.call.running([*arguments, *states])
    places, pieces = packing.places(out), packing.pieces(out)

    def step() -> None:
        for place in places:
            place.zero_()
        running.backward(heads, arguments, outputs, places, states)
        _finish(places, pieces)

    return step


def _once(x: Expr, g: Expr) -> Gradients:
    raise LoweringError(
        f"the gradients of {x['name']} have no gradients themselves: its backward is Python code. "
        "Make the gradient of operators, one of which may be another operator in Python"
    )


def _packed(function: Any, packing: Packing, inputs: Sequence[Expr]) -> list[Expr]:
    dtypes = {dtype for _, dtype in packing.parts}
    if len(dtypes) > 1 and INT64 in dtypes:
        raise LoweringError(
            "arrays of int64 and of another dtype cannot be results of one operator in Python: "
            "cast them in the graph"
        )
    # All other dtypes have a place in float64.
    dtype = dtypes.pop() if len(dtypes) == 1 else FLOAT64
    size = sum(math.prod(shape) for shape, _ in packing.parts)
    name = f"Custom {packing.call.operator.op_type}"
    packed = library_call(
        function, name, inputs, packing, (size,), dtype, python=True, gradient=_once
    )
    parts = cut(packed, [shape for shape, _ in packing.parts])
    return [cast(x, dtype) for x, (_, dtype) in zip(parts, packing.parts, strict=True)]


def _call_behind(x: Expr) -> Call | None:
    """The call that an output of a node comes from."""
    while x.primitive != "native" and len(x.inputs) == 1:
        (x,) = x.inputs
    packing = x["attributes"] if x.primitive == "native" else None
    return packing.call if isinstance(packing, Packing) else None


def _gradient(
    attributes: CustomAttributes,
    heads: Sequence[Expr],
    inputs: Sequence[Expr],
    outputs: Sequence[Expr],
) -> Gradients:
    python = attributes.operator
    results, count = len(python.outputs), len(python.arguments)
    packing = Packing(
        _call_behind(outputs[0]) or Call(python, attributes.code, train=True),
        (results, count, len(python.states), results),
        tuple((x.shape, x.dtype) for x in inputs[:count]),
    )
    # The states as the forward pass has left them, which is what MXNet shows.
    after = outputs[results:]
    given = (*heads[:results], *inputs[:count], *after, *outputs[:results])
    return [*_packed(_backward, packing, given), *[None] * len(python.states)]


@operator(
    "Custom",
    inputs=_inputs,
    outputs=_outputs,
    visible=lambda attributes: len(attributes.operator.outputs),
    states=lambda attributes: attributes.operator.states,
    updates=lambda attributes, inputs, outputs: outputs[len(attributes.operator.outputs) :],
    shapes=_fill_shapes,
    dtypes=_fill_dtypes,
    gradient=_gradient,
    is_loss=lambda attributes: not attributes.operator.needs_heads,
    schema=CustomSchema(),
)
def custom(*data: Expr, operator: PythonOperator, code: Code, train: bool) -> tuple[Expr, ...]:
    """An operator that the program has written in Python and registered as ``op_type``.

    All other parameters are handed to its :class:`~tritonsym.operator.CustomOpProp` as texts,
    which also says what its inputs, outputs and auxiliary states are. States that its code writes
    in a forward pass are kept in training alone.
    """
    count = len(operator.arguments)
    found, made, states = operator.shapes([x.shape for x in data[:count]])
    _merge([x.shape for x in data], (*found, *states), (*operator.arguments, *operator.states))
    _, dtypes, state_dtypes = operator.dtypes([x.dtype for x in data[:count]])
    parts = []
    for name, shape, dtype in zip(
        (*operator.outputs, *operator.states),
        (*made, *states),
        (*dtypes, *state_dtypes),
        strict=True,
    ):
        if not is_complete(shape) or dtype is None:
            raise LoweringError(
                f"infer_shape gives {name} the shape {shape} and infer_type the dtype {dtype}; "
                "both must be known once those of the inputs are"
            )
        parts.append((shape, dtype))
    packing = Packing(Call(operator, code, train), (count, len(operator.states)), tuple(parts))
    return tuple(_packed(_forward, packing, data))
