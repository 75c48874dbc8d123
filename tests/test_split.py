"""Few long rows are reduced in two stages; each is an ordinary reduction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.foundation.dtype import FLOAT16, as_dtype
from tritonsym.plan_command import plan_for_gpu
from tritonsym.rewrites import split
from tritonsym.symbol import Symbol

sym = mx.sym


def forms(symbol: Symbol, **shapes: tuple[int, ...]) -> list[str]:
    plan = plan_for_gpu(symbol, shapes, {n: as_dtype("float32") for n in symbol.list_inputs()})
    read = [next(y for x in k.body for y in x.inputs) for k in plan.kernels]
    return [f"{' '.join(x.primitive for x in k.body)} of {y.shape}"
            for k, y in zip(plan.kernels, read, strict=True)]  # fmt: skip


def test_a_sum_of_everything_has_two_stages() -> None:
    total = sym.sum(sym.exp(sym.Variable("x")))
    assert forms(total, x=(2**14, 2**14)) == [
        "exp sum of (256, 64, 16384)",
        "sum of (256, 1, 1)",
    ]


def test_columns_are_cut_where_they_are_few() -> None:
    x = sym.Variable("x")
    assert forms(sym.sum(x, axis=0), x=(2**16, 256)) == [
        "sum of (32, 2048, 256)",
        "sum of (32, 1, 256)",
    ]
    assert len(forms(sym.sum(x, axis=0), x=(2**16, 8192))) == 1, "there are enough"
    assert len(forms(sym.sum(x, axis=0), x=(2000, 256))) == 1, "they are read soon enough"


def test_short_and_many_rows_have_one_stage() -> None:
    x = sym.Variable("x")
    assert len(forms(sym.sum(x, axis=1), x=(8, 4096))) == 1
    assert len(forms(sym.sum(x, axis=1), x=(1000, 2**17))) == 1


def test_what_is_left_of_a_length_is_reduced_on_its_own() -> None:
    """A prime has no equal parts."""
    x = sym.Variable("x")
    assert forms(sym.sum(x, axis=1), x=(1, 2**18 - 5)) == [
        "sum sum of (1, 63, 4160)",
        "sum add of (1, 63, 1)",
    ]


def test_a_position_has_two_stages_as_well() -> None:
    x = sym.Variable("x")
    assert forms(sym.argmax(x, axis=1), x=(1, 2**17)) == [
        "max argmax of (1, 32, 4096)",
        "iota argmax eq mul add where sum cast of (1, 32, 1)",
    ]


def test_sums_of_16_bits_are_32_bits_between_the_stages() -> None:
    plan = plan_for_gpu(sym.sum(sym.Variable("x"), axis=1), {"x": (1, 2**17)}, {"x": FLOAT16})
    assert [kernel.outputs[0].dtype.name for kernel in plan.kernels] == ["float32", "float16"]


def test_a_softmax_of_a_long_row_stores_no_exponents() -> None:
    """What comes from one array is computed again instead of being stored."""
    assert forms(sym.softmax(sym.Variable("x")), x=(1, 2**20)) == [
        "max of (1, 256, 4096)",
        "max of (1, 256, 1)",
        "sub exp sum of (1, 256, 4096)",
        "sum of (1, 256, 1)",
        "sub exp div of (1, 1048576, 1)",
    ]


@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
def test_two_stages_give_the_result(
    context: mx.Context, monkeypatch: pytest.MonkeyPatch, axis: int | tuple[int, ...]
) -> None:
    monkeypatch.setattr(split, "LONG", 32)
    monkeypatch.setattr(split, "SHORTEST_PART", 4)
    values = torch.randn(48, 60, generator=torch.Generator().manual_seed(0))
    x = sym.Variable("x")
    graph = sym.Group([sym.sum(x * x, axis=axis), sym.max(x, axis=axis), sym.min(-x, axis=axis)])
    bound = graph.bind(context, {"x": mx.nd.array(values.numpy(), context)})
    runs = [[torch.tensor(y.asnumpy()) for y in bound.forward()] for _ in range(2)]
    wide = values.double()
    expected = [(wide * wide).sum(axis), wide.amax(axis), (-wide).amin(axis)]
    for value, again, due in zip(*runs, expected, strict=True):
        assert torch.equal(value, again), "the same bits in every run"
        torch.testing.assert_close(value.double(), due.reshape(value.shape), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("length", [60, 61, 67])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_first_extreme_is_found(
    context: mx.Context, monkeypatch: pytest.MonkeyPatch, axis: int, length: int
) -> None:
    """Of equal ones, of those that are not a number, and wherever it is."""
    monkeypatch.setattr(split, "LONG", 32)
    monkeypatch.setattr(split, "SHORTEST_PART", 4)
    draw = torch.Generator().manual_seed(length)
    ties = torch.randint(-3, 4, (length, length), generator=draw).float()
    with_nan = ties.where(torch.rand(length, length, generator=draw) > 0.02, torch.nan)
    x = sym.Variable("x")
    graph = sym.Group([sym.argmax(x, axis=axis), sym.argmin(x * 2.0, axis=axis)])
    for values in (ties, with_nan, ties * 0.0):
        bound = graph.bind(context, {"x": mx.nd.array(values.numpy(), context)})
        found = [y.asnumpy() for y in bound.forward()]
        if context.device_type == "gpu":
            assert len(bound.plan.kernels) > 1, "there are two stages"
        for value, due in zip(found, (np.argmax, np.argmin), strict=True):
            np.testing.assert_array_equal(value, due(values.numpy(), axis=axis))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32"])
def test_ragged_lengths(context: mx.Context, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    monkeypatch.setattr(split, "LONG", 32)
    monkeypatch.setattr(split, "SHORTEST_PART", 4)
    values = torch.randn(3, 61, generator=torch.Generator().manual_seed(4)) * 8
    values = values.to(getattr(torch, dtype))
    x = sym.Variable("x")
    graph = sym.Group([sym.sum(x * x, axis=1), sym.max(x, axis=1), sym.min(-x, axis=1)])
    given = mx.nd.zeros(values.shape, context, dtype)
    given.to_torch().copy_(values)
    bound = graph.bind(context, {"x": given})
    wide = values.double()
    squares = (values * values).double()
    expected = [squares.sum(1), wide.amax(1), (-wide).amin(1)]
    for value, due in zip(bound.forward(), expected, strict=True):
        # A sum is rounded once: what is between the stages has 32 bits.
        torch.testing.assert_close(value.to_torch().cpu(), due.to(values.dtype), rtol=1e-6, atol=0)
