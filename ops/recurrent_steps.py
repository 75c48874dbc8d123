"""A recurrent layer step by step, in primitives: what a library's call computes at once.

Gradients of its gradients are derived from this form, which no library has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tritonsym.expressions.expr import Expr, broadcast, concat, dot, make, narrow, reshape, where

# From what the input and the last state make of the gates, and the states, to the next states.
Cell = Callable[[Expr, Expr, list[Expr]], list[Expr]]


def _parts(gates: Expr, count: int) -> list[Expr]:
    size = gates.shape[1] // count
    return [narrow(gates, 1, n * size, (n + 1) * size) for n in range(count)]


def _lstm(given: Expr, fed_back: Expr, states: list[Expr]) -> list[Expr]:
    taken, kept, new, shown = _parts(given + fed_back, 4)
    cell = make("sigmoid", kept) * states[1] + make("sigmoid", taken) * make("tanh", new)
    return [make("sigmoid", shown) * make("tanh", cell), cell]


def _gru(given: Expr, fed_back: Expr, states: list[Expr]) -> list[Expr]:
    pairs = zip(_parts(given, 3), _parts(fed_back, 3), strict=True)
    (reset, of_reset), (update, of_update), (new, of_new) = pairs
    kept = make("sigmoid", update + of_update)
    candidate = make("tanh", new + make("sigmoid", reset + of_reset) * of_new)
    return [candidate * (1 - kept) + kept * states[0]]


def _tanh(given: Expr, fed_back: Expr, states: list[Expr]) -> list[Expr]:
    return [make("tanh", given + fed_back)]


def _relu(given: Expr, fed_back: Expr, states: list[Expr]) -> list[Expr]:
    total = given + fed_back
    return [where(total > 0, total, 0)]  # at 0 it does not rise, as a library has it


CELLS: dict[str, Cell] = {"lstm": _lstm, "gru": _gru, "rnn_tanh": _tanh, "rnn_relu": _relu}


def _linear(x: Expr, weight: Expr, bias: Expr) -> Expr:
    result = dot(x, weight, transpose_b=True)
    return result + broadcast(reshape(bias, (1, bias.size)), result.shape)


def unrolled(
    mode: str,
    data: Expr,
    weights: Sequence[Expr],
    biases: Sequence[Expr],
    states: Sequence[Expr],
) -> list[Expr]:
    """The output of a layer, (time, batch, directions * size), and its last states.

    Args:
        mode: what a cell computes, a name in ``CELLS``.
        data: (time, batch, features).
        weights: for each direction those of the data, (gates * size, features), and of the state,
            (gates * size, size).
        biases: for each direction two, (gates * size,).
        states: the first ones, each (directions, batch, size).
    """
    time, batch, features = data.shape
    size = states[0].shape[2]
    outputs, ends = [], []
    for direction in range(len(weights) // 2):
        pair = slice(2 * direction, 2 * direction + 2)
        (of_data, of_state), (first_bias, second_bias) = weights[pair], biases[pair]
        given = _linear(reshape(data, (time * batch, features)), of_data, first_bias)
        now = [reshape(narrow(x, 0, direction, direction + 1), (batch, size)) for x in states]
        shown: list[Expr] = []
        for step in range(time) if direction == 0 else reversed(range(time)):
            of_step = narrow(given, 0, step * batch, (step + 1) * batch)
            now = CELLS[mode](of_step, _linear(now[0], of_state, second_bias), now)
            shown.append(reshape(now[0], (1, batch, size)))
        outputs.append(concat(shown if direction == 0 else shown[::-1], 0))
        ends.append([reshape(x, (1, batch, size)) for x in now])
    return [concat(outputs, 2), *(concat(parts, 0) for parts in zip(*ends, strict=True))]
