"""Long rows are read once for two reductions, and the results are those of two walks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.kernels import triton_source
from tritonsym.plan_command import plan_for_gpu
from tritonsym.planning.plan import Plan
from tritonsym.products.gpus import H100

sym = mx.sym

# Longer than any row that stays in registers, and no multiple of a block.
COLUMNS = 4096 * 5 + 77


def norm(x: mx.Symbol) -> mx.Symbol:
    centred = sym.broadcast_sub(x, sym.mean(x, axis=1, keepdims=True))
    variance = sym.mean(sym.square(centred), axis=1, keepdims=True)
    return sym.broadcast_div(centred, sym.sqrt(variance + 1e-5))


def norm_of(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.layer_norm(x, x.shape[1:], eps=1e-5)


def walks(plan: Plan) -> list[int]:
    """How often each kernel walks over its rows."""
    sources = (triton_source.write(kernel, plan.layouts, H100) for kernel in plan.kernels)
    return [source.text.count("for start in") for source in sources if source is not None]


@pytest.mark.parametrize("layer", [sym.softmax, norm], ids=["softmax", "norm"])
def test_a_row_is_walked_over_twice(layer: Callable[[mx.Symbol], mx.Symbol]) -> None:
    assert walks(plan_for_gpu(layer(sym.Variable("x")), {"x": (1000, COLUMNS)})) == [2]


def test_what_only_looks_like_a_pair_is_none() -> None:
    x = sym.Variable("x")
    largest = sym.max(x, axis=1, keepdims=True)
    others = [
        sym.sum(sym.exp(sym.broadcast_sub(x * 2, largest)), axis=1),
        sym.sum(sym.square(sym.broadcast_sub(x, largest)), axis=1),
        # Not the mean: the sum of a row, and the mean of another length.
        sym.sum(sym.square(sym.broadcast_sub(x, sym.sum(x, axis=1, keepdims=True))), axis=1),
        sym.sum(sym.square(sym.broadcast_sub(x, sym.sum(x, axis=1, keepdims=True) / 7)), axis=1),
    ]
    for other in others:
        assert walks(plan_for_gpu(other, {"x": (1000, COLUMNS)})) == [2]
    twice = sym.softmax(x)
    assert walks(plan_for_gpu(sym.cast(twice, "float16"), {"x": (1000, COLUMNS)})) == [2]


def test_a_row_of_one_number(gpu: mx.Context) -> None:
    """Repeated along the row, or computed of what is."""
    x = sym.broadcast_to(sym.Variable("x"), shape=(2, COLUMNS))
    for data in (x, sym.tanh(x)):
        found = sym.softmax(data).eval(gpu, x=mx.nd.array([[1.0], [2.0]], gpu))[0].asnumpy()
        np.testing.assert_allclose(found, np.full((2, COLUMNS), 1 / COLUMNS), rtol=1e-5)


def given(seed: int) -> torch.Tensor:
    values = torch.randn(4, COLUMNS, generator=torch.Generator().manual_seed(seed))
    # Of lengths, far from zero, with an element far from all others, and growing.
    offsets = torch.tensor([0.0, 1000.0, 0.0, 0.0])[:, None]
    values = values + offsets
    values[2, 0] = 500.0
    values[3] += torch.linspace(-40, 40, COLUMNS)
    return values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layer, due", [(sym.softmax, lambda x: x.softmax(1)), (norm, norm_of)])
def test_results_are_right(
    gpu: mx.Context,
    dtype: torch.dtype,
    layer: Callable[[mx.Symbol], mx.Symbol],
    due: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    data = given(3).to(dtype)
    name = str(dtype).split(".")[1]
    symbol = sym.cast(layer(sym.cast(sym.Variable("x"), dtype="float32")), dtype=name)
    executor = symbol.bind(gpu, {"x": mx.nd.from_torch(data).as_in_context(gpu)})
    found = executor.forward()[0].to_torch().double().cpu()
    # The last place of a mean of 1000 is 2^-14; the smallest number of 16 bits is 2^-24.
    rtol, atol = max(torch.finfo(dtype).eps, 1e-4), 2.0**-13 if layer is norm else 2.0**-24
    np.testing.assert_allclose(found, due(data.double()), rtol=rtol, atol=atol)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("where", [0, 4100, COLUMNS - 1, slice(None)], ids=str)
@pytest.mark.parametrize("layer", [sym.softmax, norm], ids=["softmax", "norm"])
def test_odd_numbers_do_what_they_do_in_two_walks(
    gpu: mx.Context,
    odd: float,
    where: int | slice,
    layer: Callable[[mx.Symbol], mx.Symbol],
) -> None:
    data = given(4)[:2]
    data[1, where] = odd
    symbol = layer(sym.Variable("x"))
    found = [
        symbol.bind(context, {"x": mx.nd.from_torch(data).as_in_context(context)})
        .forward()[0]
        .asnumpy()
        for context in (gpu, mx.cpu())
    ]
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-6)
