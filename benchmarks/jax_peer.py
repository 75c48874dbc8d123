"""Workloads in jax.jit, where jax is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn

from .workload import RATE, Array, Kind, Missing, Prepared, Role, Workload


class Functions:
    """The functions that computations are written in."""

    abs = jnp.abs
    tanh = jnp.tanh
    sigmoid = nn.sigmoid
    square = jnp.square
    relu = nn.relu
    subtract = jnp.subtract
    multiply = jnp.multiply
    add_bias = jnp.add
    matmul = jnp.matmul
    batch_matmul = jnp.matmul
    reshape = jnp.reshape
    permute = jnp.transpose
    transpose = jnp.transpose
    softmax = nn.softmax
    gelu = partial(nn.gelu, approximate=False)

    @staticmethod
    def layer_norm(x: Any, gamma: Any, beta: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        return centred * lax.rsqrt(variance + 1e-5) * gamma + beta

    @staticmethod
    def cross_entropy(scores: Any, label: Any) -> Any:
        logarithms = nn.log_softmax(scores)
        return -jnp.take_along_axis(logarithms, label[:, None], 1).sum().reshape(1)

    @staticmethod
    def loss(scores: Any, label: Any) -> Any:
        return Functions.cross_entropy(scores, label)[0] / label.shape[0]

    @staticmethod
    def sum_all(x: Any) -> Any:
        return jnp.sum(x).reshape(1)

    @staticmethod
    def sum_columns(x: Any) -> Any:
        return jnp.sum(x, 0)

    @staticmethod
    def mean_rows(x: Any) -> Any:
        return jnp.mean(x, 1, keepdims=True)

    @staticmethod
    def linear(x: Any, weight: Any, bias: Any, width: int) -> Any:
        return x @ weight.T + bias

    @staticmethod
    def attention(query: Any, key: Any, value: Any, depth: int) -> Any:
        scores = query @ jnp.swapaxes(key, -1, -2) * depth**-0.5
        return nn.softmax(scores) @ value

    @staticmethod
    def convolution(x: Any, weight: Any, bias: Any, filters: int, size: int, pad: int) -> Any:
        result = lax.conv_general_dilated(x, weight, (1, 1), [(pad, pad)] * 2)
        return result if bias is None else result + bias[:, None, None]

    @staticmethod
    def max_pool(x: Any, size: int) -> Any:
        window = (1, 1, size, size)
        return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")

    @staticmethod
    def batch_norm(x: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
        scale = gamma * lax.rsqrt(variance + 1e-5)
        result = x * scale[:, None, None] + (beta - mean * scale)[:, None, None]
        return result.astype(x.dtype)

    @staticmethod
    def flatten(x: Any) -> Any:
        return x.reshape(x.shape[0], -1)

    @staticmethod
    def stack(parts: Sequence[Any], axis: int) -> Any:
        return jnp.stack(parts, axis)

    @staticmethod
    def parts(x: Any, count: int) -> Any:
        return jnp.split(x, count, 1)

    @staticmethod
    def steps(x: Any, count: int) -> Any:
        return [x[:, number] for number in range(count)]

    @staticmethod
    def embedding(numbers: Any, weight: Any, count: int, width: int) -> Any:
        return weight[numbers]

    @staticmethod
    def lstm(x: Any, weights: Sequence[Any], state: Any, cell: Any, width: int) -> Any:
        input_weight, hidden_weight, input_bias, hidden_bias = weights

        def step(carry: Any, now: Any) -> Any:
            hidden, memory = carry
            gates = now @ input_weight.T + input_bias + hidden @ hidden_weight.T + hidden_bias
            taken, kept, new, shown = jnp.split(gates, 4, 1)
            memory = nn.sigmoid(kept) * memory + nn.sigmoid(taken) * jnp.tanh(new)
            hidden = nn.sigmoid(shown) * jnp.tanh(memory)
            return (hidden, memory), hidden

        _, outputs = lax.scan(step, (state, cell), jnp.swapaxes(x, 0, 1))
        return jnp.swapaxes(outputs, 0, 1)


def prepare(workload: Workload, values: Mapping[str, Array]) -> Prepared:
    """A workload compiled by jax.

    Raises:
        Missing: jax itself has no optimizers.
    """
    if workload.kind is Kind.ADAM:
        raise Missing("no optimizers")
    dtypes = {
        name: "int32" if one.classes else one.dtype_in(workload.dtype)
        for name, one in workload.inputs.items()
    }
    given = {name: jnp.asarray(value, dtypes[name]) for name, value in values.items()}

    def function(*arrays: Any) -> Any:
        # On a GPU jax would drop most of the bits of float32 unasked.
        precision = "tensorfloat32" if workload.precision == "tf32" else "highest"
        with jax.default_matmul_precision(precision):
            return workload.compute(Functions, *arrays)

    if workload.kind is Kind.STEP:
        return _step(workload, given, function)
    if workload.kind is Kind.GRADIENTS:
        return _gradients(workload, given, function)
    compiled, arrays = jax.jit(function), list(given.values())
    last: list[Any] = []

    def call() -> Any:
        last[:] = [compiled(*arrays)]
        return last[0]

    return Prepared(call, lambda: _numbers(last[0]))


def wait(result: Any) -> None:
    """Until a result is computed."""
    jax.block_until_ready(result)


def _numbers(found: Any) -> list[Array]:
    several = found if isinstance(found, (list, tuple)) else [found]
    return [np.asarray(one, np.float64) for one in several]


def _learning(workload: Workload, function: Any) -> Any:
    """The function of parameters and the other inputs, both by name."""

    def of(parameters: Mapping[str, Any], others: Mapping[str, Any]) -> Any:
        every = {**parameters, **others}
        needed = [n for n, one in workload.inputs.items() if one.role is not Role.HEAD]
        return function(*(every[name] for name in needed))

    return of


def _gradients(workload: Workload, given: Mapping[str, Any], function: Any) -> Prepared:
    parameters = {name: given[name] for name in workload.named(Role.PARAMETER)}
    others = {name: value for name, value in given.items() if name not in parameters}
    (head,) = workload.named(Role.HEAD)
    of = _learning(workload, function)

    @jax.jit
    def gradients(parameters: Any, others: Any) -> Any:
        _, back = jax.vjp(lambda p: of(p, others), parameters)
        return back(others[head])[0]

    last: list[Any] = []

    def call() -> Any:
        last[:] = [gradients(parameters, others)]
        return last[0]

    return Prepared(call, lambda: _numbers([last[0][name] for name in parameters]))


def _step(workload: Workload, given: Mapping[str, Any], function: Any) -> Prepared:
    before = {name: given[name] for name in workload.named(Role.PARAMETER)}
    others = {name: value for name, value in given.items() if name not in before}
    of = _learning(workload, function)

    # The old parameters' memory is taken for the new ones.
    @partial(jax.jit, donate_argnums=0)
    def step(parameters: Any, others: Any) -> Any:
        gradients = jax.grad(of)(parameters, others)
        return {name: value - RATE * gradients[name] for name, value in parameters.items()}

    state = {name: jnp.array(value, copy=True) for name, value in before.items()}

    def call() -> Any:
        nonlocal state
        state = step(state, others)
        return state

    return Prepared(call, lambda: _numbers([state[name] - before[name] for name in before]))
