"""On a CPU a convolution's result goes through the next step instead of being copied to its place.

The reference is the same program with the result copied, to the bit, and without any fusion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.expressions.layout import with_channels_last
from tritonsym.expressions.walks import toposort
from tritonsym.rewrites import torch_results

sym = mx.sym
Array = np.ndarray[Any, Any]

SHAPE = (2, 4, 52, 49)
# Sums of float32 over 36 products of numbers around 1, and a few steps on them.
TOLERANCES = {"float32": 2e-4, "float64": 1e-12, "float16": 0.2}


def convolution(x: mx.sym.Symbol, **attributes: Any) -> mx.sym.Symbol:
    return sym.Convolution(x, **{"kernel": (3, 3), "num_filter": 4, "name": "c", **attributes})


def together(executor: mx.executor.Executor) -> list[str]:
    """The calls that are a call and a step, by their names."""
    names = [str(x["name"]) for x in toposort(executor.plan.outputs) if x.primitive == "native"]
    return [name.lower() for name in names if ", " in name]


def bound(symbol: mx.sym.Symbol, dtype: str = "float32", **more: Any) -> mx.executor.Executor:
    kinds = dict.fromkeys(symbol.list_arguments(), dtype)
    executor = symbol.simple_bind(mx.cpu(), x=SHAPE, type_dict=kinds, **{"grad_req": "null"} | more)
    random = np.random.default_rng(3)
    for array in [*executor.arg_dict.values(), *executor.aux_dict.values()]:
        array[:] = random.uniform(0.2, 0.9, array.shape)
    check_plan(executor.plan)
    return executor


def outputs(executor: mx.executor.Executor) -> list[Array]:
    first = [x.asnumpy() for x in executor.forward()]
    again = [x.asnumpy() for x in executor.forward()]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    return again


def check(
    symbol: mx.sym.Symbol, names: list[str], monkeypatch: pytest.MonkeyPatch, dtype: str = "float32"
) -> None:
    executor = bound(symbol, dtype)
    assert together(executor) == names
    found = outputs(executor)
    with monkeypatch.context() as patch:
        patch.setattr(torch_results, "LEAST", 2**62)
        copied = bound(symbol, dtype)
        assert together(copied) == []
        for mine, other in zip(found, outputs(copied), strict=True):
            np.testing.assert_array_equal(mine, other)
    with mx.switched(fusion=False):
        exact = outputs(bound(symbol, "float64"))
    for mine, other in zip(found, exact, strict=True):
        tolerance = TOLERANCES[dtype]
        np.testing.assert_allclose(mine.astype(np.float64), other, rtol=tolerance, atol=tolerance)


STEPS: dict[str, tuple[Callable[[mx.sym.Symbol], mx.sym.Symbol], str]] = {
    "relu": (sym.relu, "relu"),
    "tanh": (lambda c: sym.Activation(c, act_type="tanh"), "tanh"),
    "gelu": (lambda c: sym.LeakyReLU(c, act_type="gelu"), "gelu"),
    "sqrt": (sym.sqrt, "sqrt"),
    "number": (lambda c: 3 - c, "sub"),
    "itself": (lambda c: c * c, "mul"),
    "other": (lambda c: sym.Variable("y") - c, "sub"),
    "channels": (lambda c: sym.broadcast_add(c, sym.Variable("y", shape=(1, 4, 1, 1))), "add"),
    "norm": (lambda c: sym.BatchNorm(c, fix_gamma=False, name="norm"), "add"),
    "clip": (lambda c: sym.clip(c, 1, 5), ""),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_next_step_writes_to_the_place(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, word = STEPS[name]
    symbol = step(convolution(sym.Variable("x")))
    executor = bound(symbol, dtype)
    (call,) = together(executor)
    assert call.startswith(f"convolution, {word}")
    check(symbol, [call], monkeypatch, dtype)


@pytest.mark.parametrize(
    "attributes",
    [
        {"no_bias": True},
        {"num_group": 2, "stride": (2, 1), "num_filter": 8},
        {"kernel": (1, 1), "no_bias": True},
        {"pad": (2, 2), "dilate": (2, 2)},
    ],
    ids=str,
)
def test_convolutions_of_all_kinds(
    attributes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    symbol = sym.relu(convolution(sym.Variable("x"), **attributes))
    check(symbol, ["convolution, relu"], monkeypatch)


def test_transposed_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    symbol = sym.Deconvolution(sym.Variable("x"), kernel=(2, 2), num_filter=5)
    check(sym.relu(symbol), ["deconvolution, relu"], monkeypatch)


def test_two_results_and_a_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """One goes through the sum, and the other one is there before."""
    x = sym.Variable("x")
    symbol = convolution(x) + convolution(sym.relu(x), name="d")
    check(symbol, ["convolution, add"], monkeypatch)


def test_what_else_reads_the_result_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    image = convolution(sym.Variable("x"))
    for symbol in (
        sym.Group([sym.relu(image), image * 2]),
        sym.Group([sym.relu(image), image]),
        sym.broadcast_add(sym.relu(image), sym.sum(image, keepdims=True)),
        sym.transpose(image, axes=(0, 2, 3, 1)) * 2,
    ):
        check(symbol, [], monkeypatch)


def test_few_elements_are_copied() -> None:
    symbol = sym.relu(convolution(sym.Variable("x"), num_filter=1, stride=(4, 4)))
    assert together(bound(symbol)) == []


def test_of_16_bits_results_are_rounded_before(monkeypatch: pytest.MonkeyPatch) -> None:
    check(convolution(sym.Variable("x"), num_filter=8) * 3, [], monkeypatch, "float16")


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (1, 0, 2, 3), (3, 2, 1, 0)])
def test_results_that_lie_in_another_order(
    order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    symbol = sym.transpose(sym.tanh(convolution(sym.Variable("x"))), axes=order)
    check(symbol, ["convolution, tanh"], monkeypatch)


def test_images_keep_their_channels_last(monkeypatch: pytest.MonkeyPatch) -> None:
    first = sym.tanh(convolution(sym.Variable("x"), num_filter=9, no_bias=True))
    symbol = convolution(first, name="d", num_filter=5, kernel=(1, 1), no_bias=True)
    executor = bound(symbol)
    (image,) = (
        x
        for x in toposort(executor.plan.outputs)
        if x.primitive == "native" and ", " in str(x["name"])
    )
    assert executor.plan.layouts[image].strides == with_channels_last(image.shape)
    check(symbol, ["convolution, tanh"], monkeypatch)


@pytest.mark.parametrize("request_", ["write", "add"])
def test_gradients_that_are_added_where_they_are(request_: str) -> None:
    """What replaces an input is computed there, from a result that is copied as before."""
    image = convolution(sym.Variable("x")) * 0.02
    symbol = sym.FullyConnected(sym.tanh(image), num_hidden=3, name="fc")
    found = {}
    for dtype, fusion in (("float32", True), ("float64", False)):
        with mx.switched(fusion=fusion):
            executor = bound(symbol, dtype, grad_req=request_)
            for gradient in executor.grad_dict.values():
                gradient[:] = 0.5
            executor.forward(is_train=True)
            executor.backward(mx.nd.ones((2, 3), dtype=dtype))
            found[dtype] = {n: g.asnumpy() for n, g in executor.grad_dict.items()}
        if fusion:
            plan = executor._training_in(True).plan
            names = [str(x["name"]) for x in toposort(plan.outputs) if x.primitive == "native"]
            assert "deconvolution" in names and "Convolution, mul" in names
            assert bool(plan.in_place) is (request_ == "add")
    for name, due in found["float64"].items():
        scale = np.abs(due).max()
        np.testing.assert_allclose(found["float32"][name], due, rtol=0, atol=1e-5 * scale)


def test_kernels_of_groups_in_any_order() -> None:
    """torch is wrong for groups of images whose channels lie last, by kernels in some orders."""
    symbol = sym.Convolution(
        sym.Variable("x"), name="c", kernel=(1, 2), num_filter=8, num_group=2, no_bias=True
    )
    drawing = torch.Generator().manual_seed(0)
    images = torch.randn(1, 5, 5, 8, generator=drawing).permute(0, 3, 1, 2)
    kernel = torch.randn(8, 4, 1, 2, generator=drawing)
    kernel = kernel.permute(2, 0, 3, 1).contiguous().permute(1, 3, 0, 2)
    arrays = {"x": mx.nd.from_torch(images), "c_weight": mx.nd.from_torch(kernel)}
    found = symbol.bind(mx.cpu(), arrays).forward()[0].asnumpy()
    due = torch.nn.functional.conv2d(images.double(), kernel.double(), groups=2)
    np.testing.assert_allclose(found, due.numpy(), rtol=1e-4, atol=1e-4)
