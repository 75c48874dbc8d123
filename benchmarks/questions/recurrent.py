"""How fast is an LSTM over words, of cells and as one operator, answering and learning?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..sizes import LSTMSize, Sizes
from ..workload import Input, Kind, Role, Workload

# The hidden states of a layer: of functions, sequences, weights, and the first state and cell.
Layer = Callable[..., Any]


def workloads(sizes: Sizes) -> list[Workload]:
    made = []
    for name, layer in (("LSTM of cells", _cells), ("LSTM as one operator", _fused)):
        made += [_answer(name, layer, sizes.lstm), _step(name, layer, sizes.lstm)]
    return made


def _cells(size: LSTMSize, f: Any, x: Any, weights: Any, state: Any, cell: Any) -> Any:
    input_weight, hidden_weight, input_bias, hidden_bias = weights
    states = []
    for now in f.steps(x, size.length):
        gates = f.linear(now, input_weight, input_bias, 4 * size.width)
        gates = gates + f.linear(state, hidden_weight, hidden_bias, 4 * size.width)
        parts = f.parts(gates, 4)
        taken, kept, new, shown = (parts[number] for number in range(4))
        cell = f.sigmoid(kept) * cell + f.sigmoid(taken) * f.tanh(new)
        state = f.sigmoid(shown) * f.tanh(cell)
        states.append(state)
    return f.stack(states, 1)


def _fused(size: LSTMSize, f: Any, x: Any, weights: Any, state: Any, cell: Any) -> Any:
    return f.lstm(x, weights, state, cell, size.width)


def _inputs(size: LSTMSize) -> dict[str, Input]:
    width, scale = size.width, size.width**-0.5
    return {
        "words": Input((size.batch, size.length), classes=size.words),
        "embedding": Input((size.words, width), Role.PARAMETER, 0.1),
        "input_weight": Input((4 * width, width), Role.PARAMETER, scale),
        "hidden_weight": Input((4 * width, width), Role.PARAMETER, scale),
        "input_bias": Input((4 * width,), Role.PARAMETER, 0.1),
        "hidden_bias": Input((4 * width,), Role.PARAMETER, 0.1),
        "state": Input((size.batch, width), scale=0.1),
        "cell": Input((size.batch, width), scale=0.1),
    }


def _flops(size: LSTMSize) -> int:
    return 2 * size.batch * size.length * 8 * size.width**2


def _described(name: str, size: LSTMSize, dtype: str) -> str:
    return f"{name}, batch {size.batch}, {size.length} steps, {size.width} wide {dtype}"


def _answer(name: str, layer: Layer, size: LSTMSize) -> Workload:
    def compute(f: Any, words: Any, table: Any, *others: Any) -> Any:
        *weights, state, cell = others
        x = f.embedding(words, table, size.words, size.width)
        return layer(size, f, x, weights, state, cell)

    shape = (size.batch, size.length, size.width)
    described = _described(name, size, size.dtype)
    return Workload(
        described, _inputs(size), compute, [shape], flops=_flops(size), dtype=size.dtype
    )


def _step(name: str, layer: Layer, size: LSTMSize) -> Workload:
    """With a dense layer to the next word after it."""
    rows = size.batch * size.length

    def compute(f: Any, words: Any, table: Any, *others: Any) -> Any:
        *weights, state, cell, weight, bias, label = others
        x = f.embedding(words, table, size.words, size.width)
        states = layer(size, f, x, weights, state, cell)
        scores = f.linear(f.reshape(states, (rows, size.width)), weight, bias, size.words)
        return f.loss(scores, f.reshape(label, (rows,)))

    inputs = {
        **_inputs(size),
        "weight": Input((size.words, size.width), Role.PARAMETER, size.width**-0.5),
        "bias": Input((size.words,), Role.PARAMETER, 0.1),
        "label": Input((size.batch, size.length), Role.LABEL, classes=size.words),
    }
    flops = 3 * (_flops(size) + 2 * rows * size.width * size.words)
    described = f"{_described(name, size, 'float32')}, step"
    return Workload(described, inputs, compute, kind=Kind.STEP, flops=flops)
