"""On a CPU convolutions do what a batch norm behind them would do in use.

The reference is the same program without any fusion, and numpy in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.expressions.expr import Expr, input_
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import FLOAT32
from tritonsym.graph.trace import Graph
from tritonsym.ops.convolution import convolve
from tritonsym.ops.windows import window_of
from tritonsym.rewrites import for_cpu, scaled_kernels
from tritonsym.rewrites.scaled_kernels import with_scaled_kernels

sym = mx.sym
Symbol = mx.sym.Symbol

SHAPE = (2, 4, 13, 11)
# Sums of float32 over 36 products of numbers around 1, scaled by up to 5.
TOLERANCES = {"float32": 2e-5, "float64": 1e-13}


def convolution(x: Symbol, **attributes: Any) -> Symbol:
    given = {"kernel": (3, 3), "num_filter": 6, "pad": (1, 1), "no_bias": True, "name": "c"}
    return sym.Convolution(x, **{**given, **attributes})


def numbers(name: str) -> Symbol:
    """One for each channel."""
    return sym.Variable(name, shape=(1, 6, 1, 1))


def norm(x: Symbol, **attributes: Any) -> Symbol:
    return sym.BatchNorm(x, **{"fix_gamma": False, "name": "n", **attributes})


def bound(
    symbol: Symbol, dtype: str = "float32", shape: tuple[int, ...] = SHAPE, **more: Any
) -> mx.executor.Executor:
    kinds = dict.fromkeys(symbol.list_inputs(), dtype)
    given = {"grad_req": "null", "type_dict": kinds} | more
    executor = symbol.simple_bind(mx.cpu(), x=shape, **given)
    fill(executor, 3)
    check_plan(executor.plan)
    return executor


def fill(executor: mx.executor.Executor, seed: int) -> None:
    random = np.random.default_rng(seed)
    for name, array in {**executor.arg_dict, **executor.aux_dict}.items():
        low = 0.1 if name.endswith("var") else -1.0
        array[:] = random.uniform(low, 1.0, array.shape)


def steps(executor: mx.executor.Executor) -> list[str]:
    """What is computed elementwise of images, by primitives and the names of calls."""

    def name(x: Expr) -> str:
        return str(x["name"]).lower() if x.primitive == "native" else x.primitive

    outputs = executor.plan.outputs
    every = [x for x in toposort(outputs) if x.size == outputs[0].size]
    return sorted(name(x) for x in every if x.is_elementwise or x.primitive == "native")


def check(symbol: Symbol, expected: list[str], dtype: str = "float32", **more: Any) -> None:
    executor = bound(symbol, dtype, **more)
    with mx.switched(fusion=False):
        plain = bound(symbol, dtype, **more)
    for seed in (4, 5):  # the same program reads what the arrays hold
        fill(executor, seed)
        fill(plain, seed)
        for found, due in zip(executor.forward(), plain.forward(), strict=True):
            tolerance = TOLERANCES[dtype]
            np.testing.assert_allclose(found.asnumpy(), due.asnumpy(), tolerance, tolerance)
    assert steps(executor) == expected


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are scaled for images of any size."""
    monkeypatch.setattr(scaled_kernels, "LEAST", 0)
    monkeypatch.setattr(scaled_kernels, "TIMES", 0)


X = sym.Variable("x")
ALONE, SHIFTED = ["convolution"], ["add", "convolution"]
PATTERNS: dict[str, tuple[Callable[[], Symbol], list[str]]] = {
    "norm": (lambda: norm(convolution(X)), SHIFTED),
    "norm of a biased one": (lambda: norm(convolution(X, no_bias=False)), SHIFTED),
    "gamma is 1": (lambda: norm(convolution(X), fix_gamma=True), SHIFTED),
    "statistics in use": (lambda: norm(convolution(X), use_global_stats=True), SHIFTED),
    "relu": (lambda: sym.relu(norm(convolution(X))), ["add", "convolution", "relu"]),
    "two norms": (lambda: norm(norm(convolution(X)), name="m"), SHIFTED),
    "groups": (lambda: norm(convolution(X, num_group=2)), SHIFTED),
    "strides": (lambda: norm(convolution(X, stride=(2, 2), dilate=(2, 1))), SHIFTED),
    "scale, then shift": (
        lambda: sym.broadcast_add(
            sym.broadcast_mul(convolution(X), numbers("s")),
            numbers("b"),
        ),
        SHIFTED,
    ),
    "shift, then scale": (
        lambda: sym.broadcast_mul(
            numbers("s"),
            sym.broadcast_add(numbers("b"), convolution(X)),
        ),
        SHIFTED,
    ),
    "shifts of either sign, and a scale": (
        lambda: sym.broadcast_mul(
            sym.broadcast_sub(
                sym.broadcast_sub(convolution(X), numbers("a")),
                numbers("b"),
            ),
            numbers("s"),
        ),
        SHIFTED,
    ),
    "scales alone": (
        lambda: sym.broadcast_mul(
            sym.broadcast_mul(convolution(X), numbers("a")),
            numbers("b"),
        ),
        ALONE,
    ),
}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", PATTERNS)
def test_steps_on_channels_are_the_convolutions(name: str, dtype: str) -> None:
    make, expected = PATTERNS[name]
    check(make(), expected, dtype)


@pytest.mark.parametrize("rank", [1, 3])
def test_images_of_other_ranks(rank: int) -> None:
    given = {"kernel": (3,) * rank, "pad": (1,) * rank}
    check(norm(convolution(X, **given)), SHIFTED, shape=(2, 4, *(7, 6, 5)[:rank]))


def test_every_norm_of_a_network() -> None:
    first = sym.relu(norm(convolution(X, num_filter=4)))
    second = norm(convolution(first, num_filter=4, name="d"), name="m")
    check(sym.relu(second + X), ["add", "add", "add", "convolution", "convolution", "relu", "relu"])


def with_itself(use: Callable[[Symbol], Symbol]) -> Symbol:
    return use(convolution(X))


OTHERS: dict[str, Callable[[], Symbol]] = {
    "read twice": lambda: with_itself(lambda c: norm(c) * c),
    "an output": lambda: with_itself(lambda c: sym.Group([norm(c), c])),
    "an output on the way": lambda: with_itself(lambda c: sym.Group([c + 1.0, norm(c + 1.0)])),
    "one step": lambda: sym.broadcast_mul(convolution(X), numbers("s")),
    "numbers of places": lambda: sym.broadcast_add(
        sym.broadcast_mul(convolution(X), sym.Variable("s", shape=(1, 1, 1, 11))),
        sym.Variable("b", shape=(1, 1, 1, 11)),
    ),
    "numbers of samples": lambda: sym.broadcast_add(
        sym.broadcast_mul(convolution(X), sym.Variable("s", shape=(2, 6, 1, 1))),
        sym.Variable("b", shape=(2, 6, 1, 1)),
    ),
    "taken from": lambda: sym.broadcast_mul(
        sym.broadcast_sub(numbers("b"), convolution(X)),
        numbers("s"),
    ),
    "shifts alone": lambda: sym.broadcast_add(
        sym.broadcast_sub(convolution(X), numbers("s")),
        numbers("b"),
    ),
    "divided": lambda: sym.broadcast_div(
        sym.broadcast_mul(convolution(X), numbers("s")),
        numbers("b"),
    ),
    "a transposed one": lambda: norm(
        sym.Deconvolution(X, kernel=(3, 3), num_filter=6, pad=(1, 1), name="c")
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_steps_stay(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    symbol = OTHERS[name]()
    executor = bound(symbol)
    with monkeypatch.context() as patch:
        patch.setattr(for_cpu, "with_scaled_kernels", lambda graph: graph)
        assert steps(executor) == steps(bound(symbol))
    with mx.switched(fusion=False):
        plain = bound(symbol)
    for found, due in zip(executor.forward(), plain.forward(), strict=True):
        np.testing.assert_allclose(found.asnumpy(), due.asnumpy(), 2e-5, 2e-5)


def test_steps_of_a_later_stage_stay_there() -> None:
    """Until then the arrays may have changed that the convolution reads."""
    data, kernel, scale, shift = (
        input_(n, shape, FLOAT32)
        for n, shape in enumerate([(2, 4, 8, 8), (6, 4, 3, 3), (1, 6, 1, 1), (1, 6, 1, 1)])
    )
    done = convolve(data, kernel, window_of((3, 3), (), (), (), 1)) * scale + shift
    for outputs, stages in (((done,), (1,)), ((done, data * 2.0), (1, 2))):
        assert with_scaled_kernels(Graph(outputs, stages=stages)).outputs != outputs
    later = Graph((data * 2.0, done), stages=(1, 2))
    assert with_scaled_kernels(later).outputs == later.outputs


def test_a_kernel_is_multiplied_where_the_images_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_scaled(*shape: int) -> bool:
        return steps(bound(norm(convolution(X, num_filter=16)), shape=shape)) == SHIFTED

    monkeypatch.setattr(scaled_kernels, "TIMES", 4)
    assert is_scaled(1, 16, 24, 24)  # four times its kernel
    assert not is_scaled(1, 16, 24, 23)
    monkeypatch.setattr(scaled_kernels, "LEAST", 4 * 16 * 24 * 24)
    assert is_scaled(1, 16, 24, 24)
    monkeypatch.setattr(scaled_kernels, "LEAST", 4 * 16 * 24 * 24 + 1)
    assert not is_scaled(1, 16, 24, 24)


def test_16_bits_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shift would be beyond their largest number."""
    x, shape = sym.Variable("x"), (1, 6, 1, 1)
    m, s = (sym.Variable(name, shape=shape) for name in "ms")
    symbol = sym.broadcast_mul(sym.broadcast_sub(convolution(x, kernel=(1, 1), pad=()), m), s)
    executor = bound(symbol, "float16")
    for name, value in {"x": 501, "c_weight": 1, "m": 2000, "s": 50}.items():
        executor.arg_dict[name][:] = value
    assert (executor.forward()[0].asnumpy() == (4 * 501 - 2000) * 50).all()


def test_an_image_of_one_place_and_itself() -> None:
    image = sym.Convolution(X, kernel=(1, 1), num_filter=6, no_bias=True, name="c")
    scaled = sym.broadcast_mul(image * image, numbers("b"))
    executor = bound(scaled, shape=(1, 1, 1, 1))
    x, weight, b = (executor.arg_dict[name].asnumpy() for name in ("x", "c_weight", "b"))
    due = (weight.reshape(1, 6, 1, 1) * x) ** 2 * b
    np.testing.assert_allclose(executor.forward()[0].asnumpy(), due, 1e-6)
    assert sum("convolution" in name for name in steps(executor)) == 1


def test_training_computes_the_norm_of_the_batch() -> None:
    executor = bound(norm(convolution(X)), grad_req="write")
    weight = executor.arg_dict["c_weight"]
    (found,) = executor.forward(is_train=True)
    gamma, beta = (executor.arg_dict[name].asnumpy() for name in ("n_gamma", "n_beta"))
    np.testing.assert_allclose(found.asnumpy().mean((0, 2, 3)), beta, atol=1e-5)
    np.testing.assert_allclose(found.asnumpy().std((0, 2, 3)), abs(gamma), rtol=1e-2)
    executor.backward(mx.nd.ones(found.shape))
    assert np.isfinite(executor.grad_dict["c_weight"].asnumpy()).all()
    assert weight.shape == (6, 4, 3, 3)


def test_gradients_with_fixed_statistics() -> None:
    """The norm's own gradients need what is between, or not: both ways are right."""
    symbol = norm(convolution(X), use_global_stats=True)
    executor = bound(symbol, "float64", grad_req="write")
    with mx.switched(fusion=False):
        plain = bound(symbol, "float64", grad_req="write")
    for one in (executor, plain):
        (output,) = one.forward(is_train=True)
        one.backward(mx.nd.ones(output.shape, dtype="float64"))
    for name, found in executor.grad_dict.items():
        np.testing.assert_allclose(found.asnumpy(), plain.grad_dict[name].asnumpy(), 1e-11, 1e-11)


@pytest.mark.parametrize("number", ["beta", "mean"])
def test_a_large_shift_costs_no_digits(number: str) -> None:
    """Sums of 576 products that begin there would be rounded at its size, each time."""
    symbol = norm(convolution(X, num_filter=2), eps=1e-5)
    shape = (1, 64, 26, 24)
    executor = bound(symbol, shape=shape)
    with mx.switched(fusion=False):
        exact = bound(symbol, "float64", shape=shape)
    for one in (executor, exact):
        one.arg_dict["c_weight"][:] = one.arg_dict["c_weight"].asnumpy().astype("float32") / 2**12
        one.aux_dict["n_moving_mean"][:] = 1000.0 if number == "mean" else 0.0
        one.arg_dict["n_beta"][:] = 1000.0 if number == "beta" else 0.0
        one.arg_dict["n_gamma"][:] = one.aux_dict["n_moving_var"][:] = 1.0
        for name in ("x", "c_weight"):
            one.arg_dict[name][:] = executor.arg_dict[name].asnumpy()
    due, found = exact.forward()[0].asnumpy(), executor.forward()[0].asnumpy()
    # The scale, the shift and the sum: each is half a unit in the last place of 1000.
    assert abs(found - due).max() <= 1.5 * 2.0**-14
    assert steps(executor) == SHIFTED


@pytest.mark.parametrize("mean", [0.0, 1e3, 1e6])
def test_a_large_mean_costs_no_digits_that_the_convolution_had(mean: float) -> None:
    """Sums around a mean are rounded at its magnitude, before it is subtracted or after."""
    symbol = norm(convolution(X, pad=(0, 0)))
    executor = bound(symbol)
    with mx.switched(fusion=False):
        plain, exact = bound(symbol), bound(symbol, "float64")
    for one in (executor, plain, exact):
        one.arg_dict["x"][:] = one.arg_dict["x"].asnumpy() + np.float32(mean)
        one.aux_dict["n_moving_mean"][:] = one.arg_dict["c_weight"].asnumpy().sum((1, 2, 3)) * mean
        one.aux_dict["n_moving_var"][:] = 1.0
        one.arg_dict["x"][:] = executor.arg_dict["x"].asnumpy()
    due = exact.forward()[0].asnumpy()
    of_steps, own = (abs(one.forward()[0].asnumpy() - due).max() for one in (plain, executor))
    # Where nothing cancels each is a few units in the last place of numbers around 4.
    assert own <= 2 * of_steps + 8 * 2.0**-22
