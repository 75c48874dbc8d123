"""On a CPU images lie with their channels last where a library computes them faster that way."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.expressions.expr import Expr, broadcast, input_, make, permute, reshape
from tritonsym.expressions.layout import (
    Layout,
    contiguous,
    layouts,
    ordered_like,
    with_channels_last,
)
from tritonsym.foundation.dtype import FLOAT32, FLOAT64
from tritonsym.foundation.switches import switched
from tritonsym.ops.convolution import convolve
from tritonsym.ops.windows import window_of
from tritonsym.planning.plan import Plan

WINDOW = window_of((3, 3), (), (), (1, 1), 1)


def convolved(data: Expr, channels: int = 7) -> Expr:
    weight = input_(9, (channels, data.shape[1], 3, 3), data.dtype)
    return convolve(data, weight, WINDOW)


def strides_of(*values: Expr) -> list[tuple[int, ...]]:
    order = list(dict.fromkeys(y for x in values for y in _order(x)))
    found = layouts(order, {}, free=set(order))
    return [found[x].strides for x in values]


def _order(x: Expr) -> list[Expr]:
    return [*(z for y in x.inputs for z in _order(y)), x]


def test_the_second_axis_lies_innermost() -> None:
    assert with_channels_last((2, 3, 4, 5)) == (60, 1, 15, 3)
    assert with_channels_last((2, 3, 7)) == (21, 1, 3)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (4, 1, 1, 3), (1, 1), (), (2, 3)])
def test_a_part_lies_in_the_order_of_the_whole(shape: tuple[int, ...]) -> None:
    assert ordered_like(contiguous(shape), shape) == contiguous(shape)


def test_a_tile_of_images_has_its_channels_last() -> None:
    whole = with_channels_last((8, 3, 4, 5))
    assert ordered_like(whole, (2, 3, 4, 5)) == with_channels_last((2, 3, 4, 5))


def test_a_convolution_and_what_is_computed_of_it() -> None:
    data = input_(0, (2, 3, 4, 4), FLOAT32)
    image = convolved(data)
    bias = broadcast(input_(1, (1, 7, 1, 1), FLOAT32), image.shape)
    followed = make("exp", image + bias) * image
    last = with_channels_last(image.shape)
    assert strides_of(image, followed) == [last, last]


def test_images_are_not_reordered_for_one_convolution() -> None:
    """Those that are as large as the result would cost more than they save."""
    data = input_(0, (2, 6, 4, 4), FLOAT32)
    image = convolved(data)
    assert strides_of(image) == [contiguous(image.shape)]
    turned = permute(input_(0, (2, 4, 4, 6), FLOAT32), (0, 3, 1, 2))
    after = convolved(convolved(input_(0, (2, 3, 4, 4), FLOAT32)))
    first = convolved(turned)
    assert strides_of(first, after) == [with_channels_last(first.shape)] * 2


@pytest.mark.parametrize("channels, heavy", [(64, False), (65, True)])
def test_kernels_much_larger_than_images_decide(channels: int, heavy: bool) -> None:
    """A kernel of 8 channels and 3x3 places is four times as large as the images, or just more."""
    data = permute(input_(0, (1, 4, 4, 8), FLOAT32), (0, 3, 1, 2))
    image = convolved(data, channels)
    rows, last = contiguous(image.shape), with_channels_last(image.shape)
    assert strides_of(image) == [rows if heavy else last]


def test_kernels_of_one_place_have_one_order() -> None:
    data = permute(input_(0, (1, 2, 2, 8), FLOAT32), (0, 3, 1, 2))
    weight = input_(1, (500, 8, 1, 1), FLOAT32)
    image = convolve(data, weight, window_of((1, 1), (), (), (), 1))
    assert strides_of(image) == [with_channels_last(image.shape)]


@pytest.mark.parametrize("operator", ["Convolution", "Deconvolution"])
@pytest.mark.parametrize("normalised", [False, True])
def test_images_between_small_and_large_kernels(
    operator: str, normalised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images change their order on the way in and out of a convolution by a large kernel."""
    x = mx.sym.Variable("data")
    x = mx.sym.Convolution(x, kernel=(1, 1), num_filter=8, no_bias=True, name="before")
    large = {"kernel": (3, 3), "pad": (1, 1), "num_filter": 100, "no_bias": True}
    x = getattr(mx.sym, operator)(mx.sym.tanh(x), **large, name="large")
    if normalised:
        x = mx.sym.BatchNorm(x, fix_gamma=False, name="norm")
    x = mx.sym.Convolution(x, kernel=(1, 1), num_filter=500, no_bias=True, name="behind")
    numbers = np.random.default_rng(7)

    def executor(dtype: str) -> mx.executor.Executor:
        found = mx.sym.tanh(x).simple_bind(
            mx.cpu(),
            data=(1, 1, 4, 4),
            type_dict=dict.fromkeys(x.list_arguments(), dtype),
            grad_req="null",
        )
        for name, array in {**found.arg_dict, **found.aux_dict}.items():
            array[:] = given.setdefault(name, numbers.uniform(0.1, 0.4, array.shape))
        return found

    given: dict[str, np.ndarray] = {}
    wide, near = executor("float64"), executor("float32")
    check_plan(near.plan)
    turned = [not x.is_dense(y.shape) for y, x in near.plan.layouts.items() if x.base is y]
    assert any(turned)
    convolution, rows = torch.convolution, []

    def noted(images: torch.Tensor, weight: torch.Tensor, *others: Any) -> torch.Tensor:
        if 100 in weight.shape[:2] and images.dtype == torch.float32:
            rows.append((weight.shape[2:] == (3, 3), images.is_contiguous()))
        return convolution(images, weight, *others)

    monkeypatch.setattr(torch, "convolution", noted)
    near.forward()
    assert rows == [(True, True), (False, False)]  # in rows for the large kernel alone
    for _ in range(2):
        due, found = (one.forward()[0].asnumpy() for one in (wide, near))
        np.testing.assert_allclose(found, due, rtol=1e-4, atol=1e-4)


def test_what_is_computed_of_bound_arrays_is_row_major() -> None:
    data = permute(input_(0, (2, 4, 4, 3), FLOAT32), (0, 3, 1, 2))
    assert strides_of(make("exp", data)) == [contiguous(data.shape)]


def test_sums_and_copies_are_row_major() -> None:
    image = convolved(input_(0, (2, 3, 4, 4), FLOAT32))
    rows = reshape(image, (2, 112))
    assert strides_of(rows) == [(112, 1)]


def test_one_channel_and_single_places_are_row_major() -> None:
    data = input_(0, (2, 3, 4, 4), FLOAT32)
    one = convolve(data, input_(1, (1, 3, 3, 3), FLOAT32), WINDOW)
    alone = window_of((4, 4), (), (), (), 1)
    place = convolve(data, input_(2, (7, 3, 4, 4), FLOAT32), alone)
    assert strides_of(one, place) == [contiguous(one.shape), contiguous(place.shape)]


def test_without_leave_everything_is_row_major() -> None:
    image = convolved(input_(0, (2, 3, 4, 4), FLOAT32))
    order = _order(image)
    assert layouts(order, {})[image] == Layout(image, 0, contiguous(image.shape))


# ---- networks ----------------------------------------------------------------------------------


def network(seed: int) -> mx.sym.Symbol:
    """Convolutions and what stands between them in networks of images."""
    choose = random.Random(seed)
    x = mx.sym.Variable("data")
    for number in range(choose.randint(2, 4)):
        kernel, stride = choose.choice([((1, 1), (1, 1)), ((3, 3), (1, 1)), ((3, 3), (2, 2))])
        before = x
        x = mx.sym.Convolution(
            x,
            kernel=kernel,
            stride=stride,
            pad=(kernel[0] // 2,) * 2,
            num_filter=choose.choice([1, 7, 9]),
            no_bias=choose.random() < 0.5,
            name=f"convolution{number}",
        )
        match choose.randrange(7):
            case 0:
                x = mx.sym.BatchNorm(x, fix_gamma=False, name=f"norm{number}")
            case 1:
                x = mx.sym.Pooling(x, kernel=(2, 2), stride=(1, 1), pool_type="max")
            case 2:
                x = mx.sym.Pooling(x, kernel=(3, 3), pad=(1, 1), pool_type="avg")
            case 3:
                x = mx.sym.concat(x, mx.sym.tanh(x), dim=1)
            case 4 if stride == (1, 1):
                x = mx.sym.broadcast_add(x, mx.sym.sum(before, axis=1, keepdims=True))
            case 5:
                x = mx.sym.slice_axis(mx.sym.sigmoid(x), axis=2, begin=1, end=None)
            case _:
                x = mx.sym.Deconvolution(
                    x, kernel=(2, 2), stride=(2, 2), num_filter=3, name=f"back{number}"
                )
        x = mx.sym.Activation(x, act_type=choose.choice(["relu", "softrelu"]))
    match choose.randrange(10):
        case 0 | 1:
            return mx.sym.transpose(x, axes=choose.choice([(0, 2, 3, 1), (2, 0, 3, 1)]))
        case 2 | 3:
            return x
    return mx.sym.FullyConnected(x, num_hidden=4, name="dense")


def computed(symbol: mx.sym.Symbol, dtype: str) -> tuple[Plan, list[np.ndarray]]:
    """The plan of a pass with gradients, and all that it gives."""
    random_numbers = np.random.default_rng(5)
    executor = symbol.simple_bind(
        mx.cpu(), data=(2, 3, 9, 8), type_dict=dict.fromkeys(symbol.list_arguments(), dtype)
    )
    for array in [*executor.arg_arrays, *executor.aux_arrays]:
        array[:] = random_numbers.uniform(0.2, 0.9, array.shape)
    (result,) = executor.forward(is_train=True)
    executor.backward(mx.nd.array(random_numbers.normal(size=result.shape), dtype=dtype))
    arrays = [result, *executor.grad_arrays, *executor.aux_arrays]
    return executor.plan, [array.asnumpy() for array in arrays]


@pytest.mark.parametrize("seed", range(24))
def test_networks_give_what_they_give_in_row_major_order(seed: int) -> None:
    """As near to float64 as the same in float32 and row-major order, a few times."""
    symbol = network(seed)
    with switched(fusion=False):
        exact, due = computed(symbol, "float64")
        plain, near = computed(symbol, "float32")
    plan, found = computed(symbol, "float32")
    check_plan(plan)
    for other in (exact, plain):
        assert all(x.is_dense(y.shape) for y, x in other.layouts.items() if x.base is y)
    for mine, close, right in zip(found, near, due, strict=True):
        size = np.abs(right).max(initial=1.0)
        rounding = np.abs(close - right).max(initial=1e-5 * size)
        assert np.abs(mine - right).max(initial=0.0) <= 10 * rounding


def test_networks_have_their_channels_last() -> None:
    plans = [computed(network(seed), "float32")[0] for seed in range(24)]
    turned = [
        sum(not x.is_dense(y.shape) for y, x in plan.layouts.items() if x.base is y)
        for plan in plans
    ]
    assert sum(count > 3 for count in turned) > 12


def test_float64_is_computed_as_it_lies() -> None:
    """The library that knows channels last knows float32 alone."""
    image = convolved(input_(0, (2, 3, 4, 4), FLOAT64))
    assert strides_of(image) == [contiguous(image.shape)]


@pytest.mark.parametrize("axes", [(0, 2, 3, 1), (3, 0, 2, 1)])
def test_a_result_that_is_turned_lies_as_it_was_computed(axes: tuple[int, ...]) -> None:
    """Its channels lie last, so that turned it is an output as it lies, or is copied to one."""
    image = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=8, no_bias=True)
    values = np.random.default_rng(1)
    data, weight = (
        mx.nd.array(values.normal(size=shape)) for shape in ((2, 1, 9, 7), (8, 1, 3, 3))
    )
    (plain,) = image.bind(mx.cpu(), [data, weight]).forward()
    executor = mx.sym.transpose(image, axes=axes).bind(mx.cpu(), [data, weight])
    (found,) = executor.forward()
    assert not all(x.is_dense(y.shape) for y, x in executor.plan.layouts.items() if x.base is y)
    np.testing.assert_array_equal(found.asnumpy(), plain.asnumpy().transpose(axes))


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("channels", [2, 5])
def test_a_kernel_of_one_place_learns_from_the_places_it_reads(channels: int, stride: int) -> None:
    """A library reads what lies beyond the images, whose last places the kernel skips."""
    shape, filters = (2, channels, 12, 12), 96
    image = mx.sym.Convolution(
        mx.sym.Variable("data"), kernel=(1, 1), stride=(stride,) * 2, num_filter=filters, name="c"
    )
    executor = mx.sym.square(image).simple_bind(mx.cpu(), data=shape, grad_req="write")
    values = np.random.default_rng(2)
    for array in executor.arg_arrays:
        array[:] = values.normal(size=array.shape)
    data = executor.arg_dict["data"].asnumpy()[:, :, ::stride, ::stride]
    for _ in range(5):  # what lies beyond is now and then harmless
        (result,) = executor.forward(is_train=True)
        executor.backward(mx.nd.ones_like(result))
        due = np.einsum("nfhw,nchw->fc", 2 * images_of(executor, data), data)
        found = executor.grad_dict["c_weight"].asnumpy()[:, :, 0, 0]
        # Sums of up to 72 products of numbers below 20.
        np.testing.assert_allclose(found, due, atol=1e-2)


def images_of(executor: mx.Executor, data: np.ndarray) -> np.ndarray:
    weight, bias = (executor.arg_dict[f"c_{name}"].asnumpy() for name in ("weight", "bias"))
    return np.einsum("fc,nchw->nfhw", weight[:, :, 0, 0], data) + bias[:, None, None]
