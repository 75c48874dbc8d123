"""Recurrent layers: each layer is one call of a library, and so is its gradient.

A call has one result, so what a layer gives, and what its gradients are, lie one after the other in
one array, of which the rest is views. What the library keeps of a forward pass for the gradients
stays beside the arrays: the two calls share it, and where they cannot, the pass is made again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from tritonsym.expressions.exactness import exactly
from tritonsym.expressions.expr import Expr, Shape, concat, full, narrow, random, reshape, where
from tritonsym.expressions.library import computable, library_call
from tritonsym.expressions.reference import Step, Tensor
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import Shapes, merge_shapes, operator
from tritonsym.graph.schema import Count, Share

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
    def input_count(self) -> int:
        """How many arrays a call reads: the data, the parameters and the states."""
        return 1 + 4 * self.directions + (2 if self.mode == "lstm" else 1)

    @property
    def weight_count(self) -> int:
        return self.directions * self.gates * (self.features + self.size)

    @property
    def bias_count(self) -> int:
        return self.directions * 2 * self.gates

    def parts(self, parameters: Expr) -> list[Expr]:
        """Its own: for each direction the weights of input and state, then for each two biases."""
        shapes: list[Shape] = [(self.gates, self.features), (self.gates, self.size)]
        weights = narrow(parameters, 0, self.weights, self.weights + self.weight_count)
        biases = narrow(parameters, 0, self.biases, self.biases + self.bias_count)
        return [
            *cut(weights, shapes * self.directions),
            *cut(biases, [(self.gates,)] * (2 * self.directions)),
        ]


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


def _results(layer: Layer, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The output and the last states of a layer, by the library."""
    data, *others = tensors
    count = 2 * layer.directions
    weights, biases, states = others[:count], others[count : 2 * count], others[2 * count :]
    parts = []
    for first in range(0, count, 2):
        parts += [*weights[first : first + 2], *biases[first : first + 2]]
    hidden: Any = tuple(states) if layer.mode == "lstm" else states[0]
    functions: dict[str, Any] = {
        "lstm": torch.lstm,
        "gru": torch.gru,
        "rnn_relu": torch.rnn_relu,
        "rnn_tanh": torch.rnn_tanh,
    }
    two_ways = layer.directions == 2
    # Each weight is an array of the caller's; a GPU's library would have them in one, and says so.
    with _unwarned() if data.is_cuda else nullcontext():
        found = functions[layer.mode](data, hidden, parts, True, 1, 0.0, False, two_ways, False)
    return list(found)


@contextmanager
def _unwarned() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous")
        yield


def _computable(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors as the library takes them."""
    return [tensor.contiguous() for tensor in computable(tensors)]


def _store(parts: Sequence[Tensor], out: Tensor) -> None:
    """One after the other, as many as there is room for."""
    start = 0
    for part in parts:
        if start == out.numel():
            break
        out[start : start + part.numel()].view(part.shape).copy_(part.detach())
        start += part.numel()


def _leaf(x: Tensor) -> Tensor:
    """The same memory, for torch to differentiate by, unless inference made it: then a copy."""
    return (x.clone() if x.is_inference() else x.data).requires_grad_()


class Pass:
    """The forward pass of a layer on some memory, and its gradients, which the library derives.

    Args:
        inputs: the memory, which must stay as it is from the pass to its gradients.
    """

    def __init__(self, layer: Layer, inputs: Sequence[Tensor]) -> None:
        self._layer = layer
        self._inputs = inputs
        # Whether its runs keep what gradients need, and what the last one has kept.
        self.keeps = False
        self._kept: tuple[list[Tensor], list[Tensor]] | None = None

    def reads(self, inputs: Sequence[Tensor]) -> bool:
        """Whether its memory is this."""
        return all(x is y for x, y in zip(self._inputs, inputs, strict=True))

    def run(self) -> list[Tensor]:
        """The output and the last states."""
        self._kept = None
        if self.keeps:
            self._kept = self._recorded()
            return self._kept[1]
        with torch.no_grad():
            return _results(self._layer, _computable(self._inputs))

    def gradients(self, heads: Sequence[Tensor]) -> Sequence[Tensor]:
        """The gradients of the inputs; without a run, or once more, from a run that is made now.

        Args:
            heads: the gradients of the output and, unless they are zeros, of the last states.
        """
        leaves, results = self._kept or self._recorded()
        self._kept = None
        return torch.autograd.grad(results[: len(heads)], leaves, heads)

    def _recorded(self) -> tuple[list[Tensor], list[Tensor]]:
        with torch.inference_mode(False):
            leaves = [_leaf(x) for x in _computable(self._inputs)]
            return leaves, _results(self._layer, leaves)


# The pass that wrote a result: the gradient's call reads that result, and finds the pass by it.
_passes: MutableMapping[Tensor, Pass] = WeakTensorKeyDictionary()


def _forward(layer: Layer, inputs: list[Tensor], out: Tensor) -> Step:
    made = _passes[out] = Pass(layer, inputs)
    return exactly(lambda: _store(made.run(), out), out)


def _backward(layer: Layer, inputs: list[Tensor], out: Tensor) -> Step:
    count = len(inputs) - layer.input_count
    result, heads, given = inputs[0], inputs[1:count], inputs[count:]
    made = _passes.get(result)
    # CUDA graphs that are recorded one by one share no memory.
    if made is None or result.is_cuda or not made.reads(given):
        made = Pass(layer, given)
    made.keeps = True
    return exactly(lambda: _store(made.gradients(_computable(heads)), out), out)


# ---- a network ---------------------------------------------------------------------------------


def _once(x: Expr, g: Expr) -> Gradients:
    raise LoweringError(
        "the gradients of RNN have no gradients themselves: use cells, as mx.rnn.LSTMCell and "
        "others unroll them, whose gradients are of any order"
    )


def _packed(
    function: Any, layer: Layer, inputs: Sequence[Expr], shapes: Sequence[Shape], products: int
) -> Expr:
    """A call whose results lie one after the other, which multiplies with all weights so often."""
    size = sum(math.prod(shape) for shape in shapes)
    dtype = inputs[0].dtype
    # Those of the products: next to them the cells' own are few.
    operations = 2 * products * layer.weight_count
    return library_call(
        function, layer.mode, inputs, layer, (size,), dtype, gradient=_once, operations=operations
    )


def _layer_inputs(
    layer: Layer, number: int, data: Expr, parameters: Expr, states: Sequence[Expr]
) -> list[Expr]:
    first = number * layer.directions
    return [
        data,
        *layer.parts(parameters),
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
    time, batch = data.shape[:2]
    found = []
    for number, layer in enumerate(layers):
        inputs = _layer_inputs(layer, number, data, parameters, states)
        width = layer.directions * layer.size
        shapes: list[Shape] = [(time, batch, width)]
        if last_states:
            shapes += [x.shape for x in inputs[-len(states) :]]
        call = _packed(_forward, layer, inputs, shapes, time * batch)
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
        shapes = [given[0].shape, (layer.weight_count,), (layer.bias_count,)]
        shapes += [x.shape for x in given[-len(states) :]]
        # The gradients of data and weights are as many products each as the pass.
        products = 2 * math.prod(given[0].shape[:2])
        packed = _packed(_backward, layer, (call, head, *ends, *given), shapes, products)
        head, of_weights, of_biases, *of_states = cut(packed, shapes)
        weights.insert(0, of_weights)
        biases.insert(0, of_biases)
        for parts, part in zip(found, of_states, strict=True):
            parts.insert(0, part)
        if mask is not None and number > 0:
            head = head * reshape(narrow(mask, 0, number - 1, number), head.shape)
    return [head, concat([*weights, *biases], 0), *(concat(parts, 0) for parts in found)]


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
    steps = _run(layers, data, parameters, states, mask, state_outputs)
    results = [steps[-1][2][0]]
    if state_outputs:
        for index in range(len(states)):
            results.append(concat([made[1 + index] for _, _, made in steps], 0))
    return tuple(results) if mask is None else (*results, mask)
