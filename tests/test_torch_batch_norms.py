"""On a CPU batch norm is one call, alone and after a convolution, wherever nothing else needs more.

The reference is the definition, in numpy and float64; a convolution is torch's in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.expressions.expr import toposort
from tritonsym.expressions.layout import with_channels_last
from tritonsym.rewrites import torch_batch_norms

sym = mx.sym
Array = np.ndarray[Any, Any]

EPSILON = 1e-3
# Three roundings of numbers below a hundred, and for a convolution those of its sums.
TOLERANCES = {"float32": 1e-4, "float64": 1e-12, "float16": 0.1, "bfloat16": 0.5}
SHAPES = [(5, 3), (2, 1), (4, 3, 7), (2, 3, 6, 5), (1, 4, 1, 1), (2, 3, 2, 4, 5), (33, 64, 14, 14)]


def calls(executor: mx.executor.Executor) -> list[str]:
    return [str(x["name"]) for x in toposort(executor.plan.outputs) if x.primitive == "native"]


def drawn(*shape: int, seed: int = 0, positive: bool = False) -> Array:
    values = np.random.default_rng(seed).normal(size=shape)
    return np.abs(values) + 0.1 if positive else values


def of_channels(channels: int) -> dict[str, Array]:
    return {
        "norm_gamma": drawn(channels, seed=1),
        "norm_beta": drawn(channels, seed=2),
        "norm_moving_mean": drawn(channels, seed=3),
        "norm_moving_var": drawn(channels, seed=4, positive=True),
    }


def normalised(data: Array, numbers: dict[str, Array], fixed: bool = False) -> Array:
    """The definition, along the second axis."""
    gamma, beta, mean, variance = (
        x.astype(np.float64).reshape(1, -1, *[1] * (data.ndim - 2)) for x in numbers.values()
    )
    scale = 1.0 if fixed else gamma
    return (data.astype(np.float64) - mean) / np.sqrt(variance + EPSILON) * scale + beta


def bound(symbol: mx.sym.Symbol, values: dict[str, Array], dtype: str = "float32", **more: Any):
    """An executor on arrays of a dtype; what belongs to channels is float32 at the least."""
    states = set(symbol.list_auxiliary_states())
    reduced = dtype in ("float16", "bfloat16")
    kinds = {n: "float32" if reduced and n.startswith("norm_") else dtype for n in values}
    arrays = {name: mx.nd.array(value, dtype=kinds[name]) for name, value in values.items()}
    executor = symbol.bind(
        mx.cpu(),
        {name: array for name, array in arrays.items() if name not in states},
        aux_states={name: array for name, array in arrays.items() if name in states},
        **more,
    )
    check_plan(executor.plan)
    return executor


def close(found: mx.nd.NDArray, due: Array, dtype: str = "float32") -> None:
    tolerance = TOLERANCES[dtype]
    wide = found.astype("float64").asnumpy()
    np.testing.assert_allclose(wide, due, rtol=tolerance, atol=tolerance)


def norm(data: mx.sym.Symbol, **attributes: Any) -> mx.sym.Symbol:
    return sym.BatchNorm(data, name="norm", eps=EPSILON, **{"fix_gamma": False, **attributes})


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("fixed", [False, True])
def test_batch_norm_is_one_call(shape: tuple[int, ...], dtype: str, fixed: bool) -> None:
    data, numbers = drawn(*shape), of_channels(shape[1])
    executor = bound(norm(sym.Variable("x"), fix_gamma=fixed), {"x": data, **numbers}, dtype)
    assert calls(executor) == ["batch_norm"]
    for _ in range(2):
        close(executor.forward()[0], normalised(data, numbers, fixed), dtype)


CONVOLUTIONS = {
    "plain": lambda x: sym.Convolution(x, name="c", kernel=(3, 3), num_filter=4, no_bias=True),
    "bias": lambda x: sym.Convolution(x, name="c", kernel=(3, 3), num_filter=4, stride=(2, 2)),
    "groups": lambda x: sym.Convolution(
        x, name="c", kernel=(1, 1), num_filter=4, num_group=2, no_bias=True
    ),
    "transposed": lambda x: sym.Deconvolution(x, name="c", kernel=(2, 2), num_filter=4),
}


def convolved(kind: str, data: Array, weight: Array, bias: Array | None) -> Array:
    x, w = torch.from_numpy(data), torch.from_numpy(weight)
    b = None if bias is None else torch.from_numpy(bias)
    functional = torch.nn.functional
    if kind == "transposed":
        return functional.conv_transpose2d(x, w, b).numpy()
    stride, groups = 2 if kind == "bias" else 1, 2 if kind == "groups" else 1
    return functional.conv2d(x, w, b, stride=stride, groups=groups).numpy()


def parameters(symbol: mx.sym.Symbol, data: Array) -> dict[str, Array]:
    """Random numbers for the weight, and the bias if there is one, of the convolution."""
    shapes = dict(zip(symbol.list_arguments(), symbol.infer_shape(x=data.shape)[0], strict=True))
    return {n: drawn(*shapes[n], seed=9) for n in ("c_weight", "c_bias") if n in shapes}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_convolution_is_normalised_before_it_is_stored(kind: str, dtype: str) -> None:
    symbol = sym.relu(norm(CONVOLUTIONS[kind](sym.Variable("x"))))
    data, numbers = drawn(2, 4, 9, 8), of_channels(4)
    weights = parameters(symbol, data)
    executor = bound(symbol, {"x": data, **weights, **numbers}, dtype)
    together = [name for name in calls(executor) if "batch_norm" in name]
    assert len(together) == 1 and together[0].lower().endswith("convolution, batch_norm")
    result = convolved(kind, data, weights["c_weight"], weights.get("c_bias"))
    for _ in range(2):
        close(executor.forward()[0], np.maximum(normalised(result, numbers), 0), dtype)


def test_of_16_bits_a_convolution_is_rounded_before() -> None:
    symbol = norm(CONVOLUTIONS["plain"](sym.Variable("x")))
    data, numbers = drawn(2, 4, 9, 8), of_channels(4)
    weights = parameters(symbol, data)
    executor = bound(symbol, {"x": data, **weights, **numbers}, "float16")
    assert calls(executor) == ["convolution", "batch_norm"]
    result = convolved("plain", data, weights["c_weight"], None)
    close(executor.forward()[0], normalised(result, numbers), "float16")


def test_what_else_reads_the_convolution_finds_it() -> None:
    convolution = CONVOLUTIONS["plain"](sym.Variable("x"))
    symbol = sym.Group([norm(convolution), convolution * 2])
    data, numbers = drawn(2, 4, 9, 8), of_channels(4)
    weights = parameters(symbol, data)
    executor = bound(symbol, {"x": data, **weights, **numbers})
    assert calls(executor) == ["convolution", "batch_norm"]
    found = executor.forward()
    result = convolved("plain", data, weights["c_weight"], None)
    close(found[0], normalised(result, numbers))
    close(found[1], 2 * result)


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (1, 0, 2, 3), (3, 2, 1, 0)])
@pytest.mark.parametrize("after", [False, True])
def test_results_that_lie_in_another_order(order: tuple[int, ...], after: bool) -> None:
    """The result's transpose is an output, so that it may be written there at once."""
    x = sym.Variable("x")
    symbol = sym.transpose(norm(CONVOLUTIONS["plain"](x) if after else x), axes=order)
    data, numbers = drawn(2, 4, 9, 8), of_channels(4)
    weights = parameters(symbol, data) if after else {}
    executor = bound(symbol, {"x": data, **weights, **numbers})
    result = convolved("plain", data, weights["c_weight"], None) if after else data
    close(executor.forward()[0], normalised(result, numbers).transpose(order))


@pytest.mark.parametrize("order", [(3, 0, 1, 2), (1, 0, 2, 3)])
def test_data_that_lies_in_another_order(order: Sequence[int]) -> None:
    stored, numbers = drawn(3, 4, 5, 6), of_channels((3, 4, 5, 6)[order[1]])
    arrays = {"x": mx.nd.from_torch(torch.from_numpy(stored).float().permute(*order))}
    arrays.update({n: mx.nd.array(v) for n, v in numbers.items()})
    states = {n: arrays.pop(n) for n in ("norm_moving_mean", "norm_moving_var")}
    executor = norm(sym.Variable("x")).bind(mx.cpu(), arrays, aux_states=states)
    close(executor.forward()[0], normalised(stored.transpose(order), numbers))


def test_numbers_of_other_axes_stay_what_they_are() -> None:
    """Along the last axis, and where each element has a shift of its own."""
    data, numbers = drawn(2, 3, 4, 3), of_channels(3)
    executor = bound(norm(sym.Variable("x"), axis=3), {"x": data, **numbers})
    assert calls(executor) == []
    due = normalised(data.transpose(0, 3, 1, 2), numbers).transpose(0, 2, 3, 1)
    close(executor.forward()[0], due)

    x, mean, variance, shift = (sym.Variable(name) for name in ("x", "mean", "variance", "shift"))
    wide = (1, 3, 1, 1)
    values = {
        "x": drawn(2, 3, 4, 5),
        "mean": drawn(*wide, seed=1),
        "variance": drawn(*wide, seed=2, positive=True),
    }
    inverse = 1 / sym.sqrt(variance + EPSILON)
    symbol = sym.broadcast_mul(sym.broadcast_sub(x, mean), inverse)
    for own, expected in ((wide, ["batch_norm"]), ((1, 3, 4, 5), []), ((2, 3, 1, 1), [])):
        given = {**values, "shift": drawn(*own, seed=3)}
        executor = bound(sym.broadcast_add(symbol, shift), given)
        assert calls(executor) == expected, own
        due = (given["x"] - given["mean"]) / np.sqrt(given["variance"] + EPSILON) + given["shift"]
        close(executor.forward()[0], due)


ORDERS = [(0, 1, 2, 3), (0, 2, 3, 1), (1, 0, 2, 3), (3, 2, 1, 0)]


@pytest.mark.parametrize("data_order", ORDERS)
@pytest.mark.parametrize("result_order", ORDERS)
def test_memory_in_any_order(
    data_order: tuple[int, ...], result_order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is written straight to its place where both lie in one of torch's orders."""
    shape, written = (2, 3, 5, 4), []

    def laid(order: tuple[int, ...]) -> torch.Tensor:
        back = [order.index(axis) for axis in range(4)]
        return torch.empty([shape[axis] for axis in order]).permute(back)

    norm = torch.native_batch_norm

    def noted(*given: Any, out: tuple[torch.Tensor, ...]) -> object:
        written.append(out[0].data_ptr())
        return norm(*given, out=out)

    monkeypatch.setattr(torch, "native_batch_norm", noted)
    values, numbers = drawn(*shape), of_channels(3)
    data, out = laid(data_order).copy_(torch.from_numpy(values)), laid(result_order)
    gamma, beta, mean, variance = (torch.from_numpy(x).float() for x in numbers.values())
    torch_batch_norms._norm([mean, variance, beta, gamma], EPSILON, out)(data)
    np.testing.assert_allclose(out.numpy(), normalised(values, numbers), rtol=1e-4, atol=1e-4)
    at_once = data_order == result_order and result_order in ORDERS[:2]
    assert (written == [out.data_ptr()]) is at_once


def test_what_only_looks_like_it() -> None:
    mean, variance, shift = (sym.Variable(name) for name in ("mean", "variance", "shift"))
    symbol = (2 - mean) * (1 / sym.sqrt(variance + EPSILON)) + shift
    for shape in ((1, 3, 1, 1), (1,), (5,)):
        x, y, z = (drawn(*shape, seed=n, positive=True) for n in range(3))
        executor = bound(symbol, {"mean": x, "variance": y, "shift": z})
        assert calls(executor) == []
        close(executor.forward()[0], (2 - x) / np.sqrt(y + EPSILON) + z)
    centred = sym.broadcast_sub(sym.Variable("data"), mean)
    normal = sym.broadcast_mul(centred, 1 / sym.sqrt(variance + EPSILON))
    values = {name: drawn(1, seed=n, positive=True) for n, name in enumerate(("mean", "variance"))}
    values = {"data": drawn(5), **values, "shift": drawn(1, seed=4)}
    executor = bound(sym.broadcast_add(normal, shift), values)
    assert calls(executor) == []  # there are no channels
    due = (values["data"] - values["mean"]) / np.sqrt(values["variance"] + EPSILON)
    close(executor.forward()[0], due + values["shift"])


def test_other_calls_before_it_stay_calls() -> None:
    data, numbers = drawn(2, 3, 5, 4), of_channels(3)
    symbol = norm(sym.Activation(sym.Variable("x"), act_type="relu"))
    executor = bound(symbol, {"x": data, **numbers})
    assert calls(executor)[-1:] == ["batch_norm"]
    close(executor.forward()[0], normalised(np.maximum(data, 0), numbers))


def test_channels_of_no_number_and_of_no_variance() -> None:
    """Each channel is its own: what is infinite or no number stays in it."""
    data, numbers = drawn(2, 5, 3, 3), of_channels(5)
    numbers["norm_moving_mean"][0], numbers["norm_moving_var"][1] = np.nan, 0.0
    numbers["norm_moving_var"][2], data[0, 3, 1, 1] = np.inf, np.inf
    executor = bound(norm(sym.Variable("x")), {"x": data, **numbers})
    found = executor.forward()[0].asnumpy()
    np.testing.assert_allclose(found, normalised(data, numbers), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("after", [False, True])
def test_frozen_numbers_have_gradients(after: bool) -> None:
    """Gradients by the moving averages: the forward pass, alone or not, is the same."""
    x = sym.Variable("x")
    symbol = norm(CONVOLUTIONS["plain"](x) if after else x, use_global_stats=True)
    data, numbers = drawn(2, 4, 9, 8), of_channels(4)
    weights = parameters(symbol, data) if after else {}
    values = {"x": data, **weights, **numbers}
    gradients = {name: mx.nd.zeros(values[name].shape) for name in symbol.list_arguments()}
    executor = bound(symbol, values, args_grad=gradients)
    result = convolved("plain", data, weights["c_weight"], None) if after else data
    for train in (False, True):
        close(executor.forward(is_train=train)[0], normalised(result, numbers))
    head = drawn(*result.shape, seed=12)
    executor.backward(mx.nd.array(head))
    leaves = {n: torch.from_numpy(v).requires_grad_() for n, v in values.items()}
    wide = leaves["x"]
    if after:
        wide = torch.nn.functional.conv2d(wide, leaves["c_weight"])
    torch.nn.functional.batch_norm(
        wide,
        leaves["norm_moving_mean"].detach(),
        leaves["norm_moving_var"].detach(),
        leaves["norm_gamma"],
        leaves["norm_beta"],
        eps=EPSILON,
    ).backward(torch.from_numpy(head))
    for name, gradient in gradients.items():
        due = leaves[name].grad
        assert due is not None
        np.testing.assert_allclose(gradient.asnumpy(), due.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("alone", [False, True])
def test_images_keep_their_channels_last(alone: bool) -> None:
    """Between convolutions, whether or not what is normalised is stored before."""
    first = sym.Convolution(
        sym.Variable("x"), name="c", kernel=(3, 3), num_filter=4, pad=(1, 1), no_bias=True
    )
    hidden = norm(first) + first if alone else norm(first)
    symbol = sym.Convolution(hidden, kernel=(1, 1), num_filter=4, no_bias=True, name="second")
    data, numbers = drawn(2, 1, 9, 8), of_channels(4)
    weights = {**parameters(symbol, data), "second_weight": drawn(4, 4, 1, 1, seed=10)}
    executor = bound(symbol, {"x": data, **weights, **numbers})
    (image,) = (
        x
        for x in toposort(executor.plan.outputs)
        if x.primitive == "native" and "batch_norm" in str(x["name"])
    )
    assert (image["name"] == "batch_norm") is alone
    assert executor.plan.layouts[image].strides == with_channels_last((2, 4, 9, 8))
    result = torch.nn.functional.conv2d(
        torch.from_numpy(data), torch.from_numpy(weights["c_weight"]), padding=1
    ).numpy()
    due = normalised(result, numbers) + (result if alone else 0)
    last = convolved("plain", due, weights["second_weight"], None)
    close(executor.forward()[0], last)
