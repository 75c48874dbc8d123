"""Few long rows are reduced in two stages; each is an ordinary reduction."""

from __future__ import annotations

import pytest
import torch

import tritonsym as mx
from tritonsym import split
from tritonsym.dtype import as_dtype
from tritonsym.plan_command import plan_for_gpu
from tritonsym.symbol import Symbol

sym = mx.sym


def forms(symbol: Symbol, **shapes: tuple[int, ...]) -> list[str]:
    plan = plan_for_gpu(symbol, shapes, {n: as_dtype("float32") for n in symbol.list_inputs()})
    return [f"{' '.join(x.primitive for x in k.body)} of {k.body[0].inputs[0].shape}"
            for k in plan.kernels]  # fmt: skip


def test_a_sum_of_everything_has_two_stages() -> None:
    total = sym.sum(sym.exp(sym.Variable("x")))
    assert forms(total, x=(2**14, 2**14)) == [
        "exp sum of (256, 64, 16384)",
        "sum of (256, 1, 1)",
    ]


def test_columns_are_cut_where_they_are_few() -> None:
    x = sym.Variable("x")
    assert forms(sym.sum(x, axis=0), x=(2**16, 256)) == [
        "sum of (16, 4096, 256)",
        "sum of (16, 1, 256)",
    ]
    assert len(forms(sym.sum(x, axis=0), x=(2**16, 8192))) == 1, "there are enough"


def test_short_and_many_rows_have_one_stage() -> None:
    x = sym.Variable("x")
    assert len(forms(sym.sum(x, axis=1), x=(8, 4096))) == 1
    assert len(forms(sym.sum(x, axis=1), x=(1000, 2**17))) == 1
    assert len(forms(sym.sum(x, axis=1), x=(1, 2**17 - 1))) == 1, "a prime has no equal parts"
    assert len(forms(sym.argmax(x, axis=1), x=(1, 2**17))) == 1, "a position is not split"


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
