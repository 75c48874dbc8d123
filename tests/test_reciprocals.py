"""Quotients of which 16 bits are wanted are products, and all others are exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.expressions.expr import Expr, broadcast, cast, input_, make
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import BFLOAT16, FLOAT16, FLOAT32, DType
from tritonsym.graph.trace import Graph
from tritonsym.rewrites.reciprocals import with_reciprocals

sym = mx.sym

X = input_(0, (4, 300), FLOAT32)
HALF = input_(1, (4, 300), BFLOAT16)


def sums(x: Expr) -> Expr:
    return broadcast(make("sum", x, axes=(1,)), x.shape)


def marked(*outputs: Expr) -> list[bool]:
    """Which of the divisions of a graph are marked, inputs first."""
    graph = with_reciprocals(Graph(outputs))
    divisions = (x for x in toposort(graph.outputs) if x.primitive == "div")
    return [("reduced", True) in x.attributes for x in divisions]


def test_what_is_rounded_to_16_bits_is_a_product() -> None:
    quotient = X / sums(X)
    assert marked(cast(quotient, BFLOAT16)) == [True]
    assert marked(cast(quotient * X + X, FLOAT16)) == [True]
    assert marked(cast(make("sum", quotient, axes=(1,)), FLOAT16)) == [True]


def test_what_is_kept_in_32_bits_is_exact() -> None:
    quotient = X / sums(X)
    assert marked(quotient) == [False]
    assert marked(cast(quotient, BFLOAT16), quotient) == [False]
    assert marked(cast(quotient, BFLOAT16), make("sum", quotient, axes=(0,))) == [False]


def test_what_decides_is_exact() -> None:
    quotient = X / sums(X)
    decided = make("where", make("lt", quotient, X), X, quotient)
    assert marked(cast(decided, BFLOAT16)) == [False]
    assert marked(cast(make("floor", quotient), BFLOAT16)) == [False]
    assert marked(cast(make("exp", quotient), BFLOAT16)) == [False]
    assert marked(cast(make("argmax", quotient, axes=(1,)), FLOAT16)) == [False]


def test_other_divisors_and_dtypes_stay() -> None:
    assert marked(cast(X / input_(2, (4, 300), FLOAT32), BFLOAT16)) == [False]
    assert marked(HALF / sums(HALF)) == [False]


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=lambda one: one.name)
@pytest.mark.parametrize("columns", [7, 300, 5000, 20000])
def test_softmax_is_right_to_its_last_place(gpu: mx.Context, dtype: DType, columns: int) -> None:
    given = torch.randn(3, columns, generator=torch.Generator().manual_seed(columns))
    data = mx.nd.from_torch(given.to(dtype.torch))
    executor = sym.softmax(sym.Variable("x")).bind(gpu, {"x": data.as_in_context(gpu)})
    assert any(("reduced", True) in x.attributes for k in executor.plan.kernels for x in k.body)
    found = executor.forward()[0].to_torch().double().cpu()
    due = given.to(dtype.torch).double().softmax(1)
    # Rounded once to 16 bits, after steps in 32 bits.
    np.testing.assert_allclose(found, due, rtol=1.01 * torch.finfo(dtype.torch).eps / 2, atol=1e-7)


def test_tiny_and_huge_divisors_have_quotients(gpu: mx.Context) -> None:
    """Reciprocals of the smallest numbers would be infinite."""
    rows = [[1e-39, 3e-39], [2.0**-130, 2.0**-131], [2e38, 1e38], [0.0, 1e-45], [1e-20, 0.0]]
    given = torch.tensor(rows).bfloat16()
    x = sym.cast(sym.Variable("x"), dtype="float32")
    quotient = sym.cast(sym.broadcast_div(x, sym.sum(x, axis=1, keepdims=True)), dtype="bfloat16")
    executor = quotient.bind(gpu, {"x": mx.nd.from_torch(given).as_in_context(gpu)})
    assert any(("reduced", True) in x.attributes for k in executor.plan.kernels for x in k.body)
    found = executor.forward()[0].to_torch().float().cpu()
    wide = given.double()
    due = (wide / wide.sum(1, keepdim=True)).bfloat16().float()
    torch.testing.assert_close(found, due, rtol=2.0**-8, atol=0, equal_nan=True)


def test_what_is_computed_again_stays_so() -> None:
    """A division that a later pass computes anew is not the one of the pass before."""
    again = make("div", X, sums(X), again=True)
    (found,) = with_reciprocals(Graph((cast(again, BFLOAT16),))).outputs
    assert dict(found.inputs[0].attributes) == {"again": True, "reduced": True}
