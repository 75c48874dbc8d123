"""Recurrent layers: each layer is one call of a library, and so is its gradient.

Gradients of gradients are those of the layer step by step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tritonsym.expressions.expr import Expr, Shape, cast, concat, full, input_, narrow, reshape
from tritonsym.expressions.grad import gradients, substitute
from tritonsym.expressions.library import CallGradient, Native, library_call
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import Gradients, Shapes, merge_shapes, operator
from tritonsym.graph.schema import Count, Share

from .common import accumulator, cut, needs_float
from .dropout import dropout_mask
from .recurrent_calls import Layer, Mode, backward, forward
from .recurrent_steps import unrolled


def _layers(mode: Mode, size: int, count: int, bidirectional: bool, features: int) -> list[Layer]:
    """The layers of a network; all weights come before all biases."""
    directions = 2 if bidirectional else 1
    widths = [features] + [directions * size] * (count - 1)
    weights = 0
    biases = sum(Layer(mode, size, directions, width, 0, 0).weight_count for width in widths)
    found = []
    for width in widths:
        layer = Layer(mode, size, directions, width, weights, biases)
        found.append(layer)
        weights += layer.weight_count
        biases += layer.bias_count
    return found


# ---- the calls as expressions ------------------------------------------------------------------


def _packed(
    function: Native,
    layer: Layer,
    inputs: Sequence[Expr],
    shapes: Sequence[Shape],
    products: int,
    gradient: CallGradient,
) -> Expr:
    """A call whose results lie one after the other, which multiplies with all weights so often."""
    return library_call(
        function,
        layer.mode,
        inputs,
        layer,
        (sum(math.prod(shape) for shape in shapes),),
        inputs[0].dtype,
        gradient=gradient,
        # Those of the products: next to them the cells' own are few.
        operations=2 * products * layer.weight_count,
    )


def _pass(layer: Layer, given: Sequence[Expr], shapes: Sequence[Shape]) -> Expr:
    products = math.prod(given[0].shape[:2])
    return _packed(forward, layer, given, shapes, products, _of_pass)


def _gradients(
    layer: Layer, call: Expr, heads: Sequence[Expr], given: Sequence[Expr]
) -> list[Expr]:
    """The gradients of data, weights, biases and states, from those of a pass's results."""
    shapes = layer.gradient_shapes(given)
    # Those of data and weights are as many products each as the pass.
    products = 2 * math.prod(given[0].shape[:2])
    packed = _packed(backward, layer, (call, *heads, *given), shapes, products, _of_gradients)
    return cut(packed, shapes)


def _of_pass(x: Expr, g: Expr) -> Gradients:
    layer = _layer_of(x)
    output = math.prod(layer.result_shapes(x.inputs, False)[0])
    heads = cut(g, layer.result_shapes(x.inputs, x.size > output))
    data, weights, biases, *states = _gradients(layer, x, heads, x.inputs)
    return [data, *layer.parts(weights, biases), *states]


def _of_gradients(x: Expr, g: Expr) -> Gradients:
    """Of the gradients of the layer step by step, in the accumulator's dtype."""
    layer = _layer_of(x)
    count = len(x.inputs) - layer.input_count
    # What is differentiated by must be inputs, none of which depends on another.
    places = [input_(n, y.shape, y.dtype) for n, y in enumerate(x.inputs[1:])]
    heads, given = places[: count - 1], places[count - 1 :]
    data, *others = (cast(y, accumulator(y.dtype)) for y in given)
    pairs = 2 * layer.directions
    parts = others[:pairs], others[pairs : 2 * pairs], others[2 * pairs :]
    results = unrolled(layer.mode, data, *parts)[: len(heads)]
    first = gradients([cast(y, h.dtype) for y, h in zip(results, heads, strict=True)], heads, given)
    data, weights, biases, *states = cut(g, layer.gradient_shapes(given))
    wanted = [data, *layer.parts(weights, biases), *states]
    there = [(y, head) for y, head in zip(first, wanted, strict=True) if y is not None]
    second = gradients([y for y, _ in there], [head for _, head in there], places)
    return [None, *substitute(second, dict(zip(places, x.inputs[1:], strict=True)))]


def _layer_of(x: Expr) -> Layer:
    layer = x["attributes"]
    assert isinstance(layer, Layer)
    return layer


# ---- a network ---------------------------------------------------------------------------------


def _layer_inputs(
    layer: Layer, number: int, data: Expr, parameters: Expr, states: Sequence[Expr]
) -> list[Expr]:
    first = number * layer.directions
    return [
        data,
        *layer.parts(*layer.own(parameters)),
        *(narrow(state, 0, first, first + layer.directions) for state in states),
    ]


def _run(
    layers: Sequence[Layer],
    data: Expr,
    parameters: Expr,
    states: Sequence[Expr],
    mask: Expr | None,
    last_states: bool,
) -> list[tuple[list[Expr], Expr, list[Expr]]]:
    """For each layer its inputs, its call, and what that gives: the output, and the last states.

    Between two layers the output is multiplied by its part of ``mask``.
    """
    found = []
    for number, layer in enumerate(layers):
        inputs = _layer_inputs(layer, number, data, parameters, states)
        shapes = layer.result_shapes(inputs, last_states)
        call = _pass(layer, inputs, shapes)
        results = cut(call, shapes)
        found.append((inputs, call, results))
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
    steps = _run(layers, data, parameters, states, mask, attributes.state_outputs)
    state_heads = heads[1 : 1 + len(states)] if attributes.state_outputs else []
    head = heads[0]
    weights: list[Expr] = []
    biases: list[Expr] = []
    found: list[list[Expr]] = [[] for _ in states]
    for number in reversed(range(len(layers))):
        layer, (given, call, _) = layers[number], steps[number]
        first = number * layer.directions
        ends = [narrow(x, 0, first, first + layer.directions) for x in state_heads]
        head, of_weights, of_biases, *of_states = _gradients(layer, call, [head, *ends], given)
        weights.insert(0, of_weights)
        biases.insert(0, of_biases)
        for parts, part in zip(found, of_states, strict=True):
            parts.insert(0, part)
        if mask is not None and number > 0:
            head = head * reshape(narrow(mask, 0, number - 1, number), head.shape)
    return [head, concat([*weights, *biases], 0), *(concat(parts, 0) for parts in found)]


def _refuse(**unsupported: object) -> None:
    for name, value in unsupported.items():
        if value is not None and value is not False:
            raise LoweringError(f"{name}={value} is not supported, as in MXNet on a CPU")


@operator(
    "RNN",
    inputs=_rnn_inputs,
    outputs=_rnn_outputs,
    visible=lambda attributes: len(_rnn_outputs(attributes)) - _has_mask(attributes),
    shapes=_rnn_shapes,
    gradient=_rnn_gradient,
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
    p: Share = 0.0,
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
    needs_float("RNN", data)
    if len(data.shape) != 3:
        raise LoweringError(f"data is {data.shape}, it needs 3 axes, time, batch and features")
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
            mask = dropout_mask(shape, data.dtype, p, stream)
    steps = _run(layers, data, parameters, states, mask, state_outputs)
    results = [steps[-1][2][0]]
    if state_outputs:
        for index in range(len(states)):
            results.append(concat([made[1 + index] for _, _, made in steps], 0))
    return tuple(results) if mask is None else (*results, mask)
