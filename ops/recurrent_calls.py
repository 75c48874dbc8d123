"""Recurrent layers as calls of a library, and what such a call keeps for its gradients.

A call has one result, so what a layer gives, and what its gradients are, lie one after the other in
one array. What the library keeps of a forward pass for the gradients stays beside the arrays: the
two calls share it, and where they cannot, the pass is made again.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from tritonsym.expressions.exactness import exactly
from tritonsym.expressions.expr import Expr, Shape, narrow
from tritonsym.expressions.library import computable
from tritonsym.expressions.reference import Step, Tensor

from .common import cut

Mode = Literal["gru", "lstm", "rnn_relu", "rnn_tanh"]
# The gates of a cell in the order in which their weights lie, as the names of weights end.
GATES: dict[str, Sequence[str]] = {
    "rnn_relu": ("",),
    "rnn_tanh": ("",),
    "lstm": ("_i", "_f", "_c", "_o"),
    "gru": ("_r", "_z", "_o"),
}


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
        return len(GATES[self.mode]) * self.size

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

    def own(self, parameters: Expr) -> list[Expr]:
        """Its weights and its biases."""
        return [
            narrow(parameters, 0, self.weights, self.weights + self.weight_count),
            narrow(parameters, 0, self.biases, self.biases + self.bias_count),
        ]

    def parts(self, weights: Expr, biases: Expr) -> list[Expr]:
        """For each direction the weights of input and state, then for each two biases."""
        shapes: list[Shape] = [(self.gates, self.features), (self.gates, self.size)]
        return [
            *cut(weights, shapes * self.directions),
            *cut(biases, [(self.gates,)] * (2 * self.directions)),
        ]

    def result_shapes(self, given: Sequence[Expr], last_states: bool) -> list[Shape]:
        """The shapes of the output and of the last states, from what a call reads."""
        data, states = given[0], given[1 + 4 * self.directions :]
        output = (*data.shape[:2], self.directions * self.size)
        return [output, *(x.shape for x in states if last_states)]

    def gradient_shapes(self, given: Sequence[Expr]) -> list[Shape]:
        """The shapes of the gradients of data, weights, biases and states."""
        states = given[1 + 4 * self.directions :]
        counts = (self.weight_count,), (self.bias_count,)
        return [given[0].shape, *counts, *(x.shape for x in states)]


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
    # A GPU's library keeps what gradients need in training alone.
    trains = any(x.requires_grad for x in tensors)
    # Each weight is an array of the caller's; a GPU's library would have them in one, and says so.
    with _unwarned() if data.is_cuda else nullcontext():
        found = functions[layer.mode](data, hidden, parts, True, 1, 0.0, trains, two_ways, False)
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


def forward(layer: Layer, inputs: list[Tensor], out: Tensor) -> Step:
    made = _passes[out] = Pass(layer, inputs)
    return exactly(lambda: _store(made.run(), out), out)


def forward_by_batch(layer: Layer, inputs: list[Tensor], out: Tensor) -> Step:
    """The output alone, batch by batch instead of step by step; nothing asks for its gradients."""
    steps, batch = inputs[0].shape[:2]
    made, place = Pass(layer, inputs), out.view(batch, steps, -1).transpose(0, 1)
    return exactly(lambda: place.copy_(made.run()[0]), out)


def backward(layer: Layer, inputs: list[Tensor], out: Tensor) -> Step:
    count = len(inputs) - layer.input_count
    result, heads, given = inputs[0], inputs[1:count], inputs[count:]
    made = _passes.get(result)
    # CUDA graphs that are recorded one by one share no memory.
    if made is None or result.is_cuda or not made.reads(given):
        made = Pass(layer, given)
    made.keeps = True
    return exactly(lambda: _store(made.gradients(_computable(heads)), out), out)
