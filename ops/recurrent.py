"""Recurrent layers: each layer is one call of a library, and so is its gradient.

A call has one result, so what a layer gives, and what its gradients are, lie one after the other in
one array, of which the rest is views.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from tritonsym.errors import LoweringError
from tritonsym.expr import (
    Expr,
    Shape,
    concat,
    full,
    narrow,
    random,
    reshape,
    where,
)
from tritonsym.library import library_call
from tritonsym.op import Shapes, merge_shapes, operator
from tritonsym.reference import Step, Tensor
from tritonsym.schema import Count, Single

from .common import accumulator, cut

Mode = Literal["gru", "lstm", "rnn_relu", "rnn_tanh"]
Gradients = Sequence[Expr | None]
GATES = {"gru": 3, "lstm": 4, "rnn_relu": 1, "rnn_tanh": 1}


@dataclass(frozen=True)
class Layer:
    """One layer of a network, with one or two directions.

    Attributes:
        mode: what a cell computes.
        size: of a state.
        directions: 1, or 2 where the sequence is read from its end as well.
        features: of each element of its input.
        weights, biases: where its own begin in the array of all parameters.
    """

    mode: Mode
    size: int
    directions: int
    features: int
    weights: int
    biases: int

    @property
    def gates(self) -> int:
        return GATES[self.mode] * self.size

    @property
    def weight_count(self) -> int:
        return self.directions * self.gates * (self.features + self.size)

    @property
    def bias_count(self) -> int:
        return self.directions * 2 * self.gates

    def parts(self, weights: Tensor, biases: Tensor) -> list[Tensor]:
        """The parameters as the library takes them: for each direction two weights, two biases."""
        found = []
        for direction in range(self.directions):
            start = direction * self.gates * (self.features + self.size)
            middle = start + self.gates * self.features
            end = middle + self.gates * self.size
            found += [
                weights[start:middle].view(self.gates, self.features),
                weights[middle:end].view(self.gates, self.size),
                *biases[2 * direction * self.gates :][: 2 * self.gates].view(2, self.gates),
            ]
        return found


def _layers(mode: Mode, size: int, count: int, bidirectional: bool, features: int) -> list[Layer]:
    """The layers of a network; all weights come before all biases."""
    directions = 2 if bidirectional else 1
    widths = [features] + [directions * size] * (count - 1)
    weights, biases = (
        0,
        sum(Layer(mode, size, directions, width, 0, 0).weight_count for width in widths),
    )
    found = []
    for width in widths:
        layer = Layer(mode, size, directions, width, weights, biases)
        found.append(layer)
        weights += layer.weight_count
        biases += layer.bias_count
    return found


# ---- the calls ---------------------------------------------------------------------------------


def _results(layer: Layer, tensors: Sequence[Tensor], train: bool) -> list[Tensor]:
    """The output and the last states of a layer, by the library."""
    data, weights, biases, *states = tensors
    hidden: Any = tuple(states) if layer.mode == "lstm" else states[0]
    functions: dict[str, Any] = {
        "lstm": torch.lstm,
        "gru": torch.gru,
        "rnn_relu": torch.rnn_relu,
        "rnn_tanh": torch.rnn_tanh,
    }
    two_ways = layer.directions == 2
    parts = layer.parts(weights, biases)
    return list(functions[layer.mode](data, hidden, parts, True, 1, 0.0, train, two_ways, False))


def _computable(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The CPU's library computes 16-bit floats in float32."""
    if tensors[0].device.type == "cpu" and tensors[0].dtype in (torch.float16, torch.bfloat16):
        return [tensor.float() for tensor in tensors]
    return [tensor.contiguous() for tensor in tensors]


def _store(parts: Sequence[Tensor], out: Tensor) -> None:
    start = 0
    for part in parts:
        out[start : start + part.numel()].view(part.shape).copy_(part)
        start += part.numel()


def _forward(layer: Layer, inputs: list[Tensor], out: Tensor) -> Step:
    return lambda: _store(_results(layer, _computable(inputs), False), out)


def _backward(layer: Layer, inputs: list[Tensor], out: Tensor) -> Step:
    """The library differentiates its own forward pass, which is made again."""
    count = 3 if layer.mode == "lstm" else 2

    def step() -> None:
        tensors = _computable(inputs)
        heads, leaves = tensors[:count], [x.detach().requires_grad_() for x in tensors[count:]]
        with torch.enable_grad():
            results = _results(layer, leaves, True)
        _store(torch.autograd.grad(results, leaves, heads), out)

    return step


# ---- a network ---------------------------------------------------------------------------------


def _packed(function: Any, layer: Layer, inputs: Sequence[Expr], shapes: Sequence[Shape]) -> Expr:
    size = sum(math.prod(shape) for shape in shapes)
    return library_call(function, layer.mode, inputs, layer, (size,), inputs[0].dtype)


def _layer_inputs(
    layer: Layer, number: int, data: Expr, parameters: Expr, states: Sequence[Expr]
) -> list[Expr]:
    first = number * layer.directions
    return [
        data,
        narrow(parameters, 0, layer.weights, layer.weights + layer.weight_count),
        narrow(parameters, 0, layer.biases, layer.biases + layer.bias_count),
        *(narrow(state, 0, first, first + layer.directions) for state in states),
    ]


def _run(
    layers: Sequence[Layer],
    data: Expr,
    parameters: Expr,
    states: Sequence[Expr],
    mask: Expr | None,
) -> list[tuple[list[Expr], list[Expr]]]:
    """The inputs and the results (output, last states) of each layer.

    Between two layers the output is multiplied by its part of ``mask``.
    """
    time, batch = data.shape[:2]
    found = []
    for number, layer in enumerate(layers):
        inputs = _layer_inputs(layer, number, data, parameters, states)
        width = layer.directions * layer.size
        shapes = [(time, batch, width), *(x.shape for x in inputs[3:])]
        results = cut(_packed(_forward, layer, inputs, shapes), shapes)
        found.append((inputs, results))
        data = results[0]
        if mask is not None and number + 1 < len(layers):
            data = data * reshape(narrow(mask, 0, number, number + 1), data.shape)
    return found


def _has_mask(attributes: Any) -> bool:
    return bool(attributes.p > 0 and attributes.num_layers > 1)


def _rnn_inputs(attributes: Any) -> tuple[str, ...]:
    names = ["data", "parameters", "state"]
    if attributes.mode == "lstm":
        names.append("state_cell")
    if attributes.use_sequence_length:
        names.append("sequence_length")
    return tuple(names)


def _rnn_outputs(attributes: Any) -> tuple[str, ...]:
    names = ["output"]
    if attributes.state_outputs:
        names.append("state_output")
        if attributes.mode == "lstm":
            names.append("statecell_output")
    return (*names, "mask") if _has_mask(attributes) else tuple(names)


def _attribute_layers(attributes: Any, features: int) -> list[Layer]:
    a = attributes
    return _layers(a.mode, a.state_size, a.num_layers, a.bidirectional, features)


def _rnn_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    data = inputs[0]
    if data is None:
        return
    if len(data) != 3:
        raise LoweringError(f"data is {data}, it needs 3 axes: time, batch, features")
    directions = 2 if attributes.bidirectional else 1
    time, batch, features = data
    if features:
        last = _attribute_layers(attributes, features)[-1]
        inputs[1] = merge_shapes((last.biases + last.bias_count,), inputs[1])
    state = (attributes.num_layers * directions, batch, attributes.state_size)
    states = 2 if attributes.mode == "lstm" else 1
    for index in range(2, 2 + states):
        inputs[index] = merge_shapes(state, inputs[index])
    inputs[2 + states :] = [merge_shapes((batch,), shape) for shape in inputs[2 + states :]]
    width = directions * attributes.state_size
    shapes: list[Shape] = [(time, batch, width)]
    if attributes.state_outputs:
        shapes += [state] * states
    if _has_mask(attributes):
        shapes.append((attributes.num_layers - 1, time, batch, width))
    outputs[:] = [merge_shapes(*pair) for pair in zip(shapes, outputs, strict=True)]


def _rnn_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    data, parameters, *states = inputs
    layers = _attribute_layers(attributes, data.shape[2])
    mask = outputs[-1] if _has_mask(attributes) else None
    steps = _run(layers, data, parameters, states, mask)
    if attributes.state_outputs:
        state_heads = list(heads[1 : 1 + len(states)])
    else:
        state_heads = [full(0, state.shape, state.dtype) for state in states]
    head = heads[0]
    weights: list[Expr] = []
    biases: list[Expr] = []
    found: list[list[Expr]] = [[] for _ in states]
    for number in reversed(range(len(layers))):
        layer, (given, _) = layers[number], steps[number]
        first = number * layer.directions
        ends = [narrow(x, 0, first, first + layer.directions) for x in state_heads]
        shapes = [x.shape for x in given]
        parts = cut(_packed(_backward, layer, (head, *ends, *given), shapes), shapes)
        head = parts[0]
        weights.insert(0, parts[1])
        biases.insert(0, parts[2])
        for of_state, part in zip(found, parts[3:], strict=True):
            of_state.insert(0, part)
        if mask is not None and number > 0:
            head = head * reshape(narrow(mask, 0, number - 1, number), head.shape)
    of_states = [concat(parts, 0) for parts in found]
    return [head, concat([*weights, *biases], 0), *of_states]


def _refuse(**unsupported: object) -> None:
    for name, value in unsupported.items():
        if value:
            raise LoweringError(f"{name}={value} is not supported, as in MXNet on a CPU")


@operator(
    "RNN",
    inputs=_rnn_inputs,
    outputs=_rnn_outputs,
    visible=lambda attributes: len(_rnn_outputs(attributes)) - _has_mask(attributes),
    shapes=_rnn_shapes,
    gradient=_rnn_gradient,
    random=True,
)
def rnn(
    data: Expr,
    parameters: Expr,
    state: Expr,
    state_cell: Expr | None = None,
    sequence_length: Expr | None = None,
    *,
    state_size: Count,
    num_layers: Count,
    bidirectional: bool = False,
    mode: Mode,
    p: Single = 0.0,
    state_outputs: bool = False,
    projection_size: int | None = None,
    lstm_state_clip_min: float | None = None,
    lstm_state_clip_max: float | None = None,
    lstm_state_clip_nan: bool = False,
    use_sequence_length: bool = False,
    train: bool,
    stream: int,
) -> tuple[Expr, ...]:
    """Recurrent layers: ``data`` (time, batch, features) to (time, batch, states).

    ``parameters`` is flat. It has for each layer and direction the weights of the input, (gates *
    state_size, features), and of the state, (gates * state_size, state_size), then for each the
    two biases. The gates of lstm are input, forget, cell, output; those of gru reset, update, new.
    ``state``, and ``state_cell`` of lstm, are the first states, (layers * directions, batch,
    state_size); with ``state_outputs`` the last ones are outputs as well. In training an element
    of what goes from layer to layer is 0 with probability ``p``, else divided by 1 - p.

    Hochreiter and Schmidhuber, "Long short-term memory", 1997; Cho et al., "Learning phrase
    representations using RNN encoder-decoder", 2014.
    """
    _refuse(
        use_sequence_length=use_sequence_length,
        projection_size=projection_size,
        lstm_state_clip_min=lstm_state_clip_min,
        lstm_state_clip_max=lstm_state_clip_max,
    )
    if not data.dtype.is_float:
        raise LoweringError(f"RNN needs a floating-point input, got {data.dtype}")
    if len(data.shape) != 3 or not 0 <= p <= 1:
        raise LoweringError(
            f"data is {data.shape} and p={p}, it needs 3 axes, time, batch and features, and a "
            "probability"
        )
    layers = _layers(mode, state_size, num_layers, bidirectional, data.shape[2])
    directions, last = layers[0].directions, layers[-1]
    states = [state] if state_cell is None else [state, state_cell]
    expected = (num_layers * directions, data.shape[1], state_size)
    if parameters.shape != (last.biases + last.bias_count,):
        needed = (last.biases + last.bias_count,)
        raise LoweringError(f"parameters is {parameters.shape}, it needs {needed}")
    if any(x.shape != expected for x in states):
        raise LoweringError(f"state is {[x.shape for x in states]}, each needs {expected}")
    mask = None
    if p > 0 and num_layers > 1:
        shape = (num_layers - 1, *data.shape[:2], directions * state_size)
        mask = full(1, shape, data.dtype)
        if train:
            kept = random(shape, accumulator(data.dtype), stream) >= p
            mask = where(kept, full(1 / (1 - p) if p < 1 else 0, shape, data.dtype), 0)
    steps = _run(layers, data, parameters, states, mask)
    results = [steps[-1][1][0]]
    if state_outputs:
        for index in range(len(states)):
            results.append(concat([made[1 + index] for _, made in steps], 0))
    return tuple(results) if mask is None else (*results, mask)
