"""Products that compute their own left operand: with what results, and where they do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import tritonsym as mx
from guard_bands import POISONS, guarded_where_interpreted
from memory_checker import check_plan
from tritonsym.foundation.dtype import as_dtype
from tritonsym.plan_command import plan_for_gpu
from tritonsym.planning.plan import Plan
from tritonsym.symbol import Symbol

sym = mx.sym
Shape = tuple[int, ...]


def planned(symbol: Symbol, dtype: str = "float16", **shapes: Shape) -> Plan:
    plan = plan_for_gpu(symbol, shapes, {n: as_dtype(dtype) for n in symbol.list_inputs()})
    check_plan(plan)
    return plan


def forms(plan: Plan) -> list[str]:
    return [kernel.form for kernel in plan.kernels]


def shifted(a: Symbol) -> Symbol:
    """Not zero where the operand is, and so not behind its end."""
    return sym.relu(sym.broadcast_add(a, sym.Variable("b"))) + 2.0


CASES: dict[str, tuple[Callable[[Symbol, Symbol], Symbol], Shape, Shape, Shape]] = {
    "ragged": (lambda a, w: sym.dot(shifted(a), w), (37, 45), (45, 19), (1, 45)),
    "one of many": (lambda a, w: sym.dot(shifted(a), w), (2, 300), (300, 24), (2, 1)),
    "transposed": (
        lambda a, w: sym.dot(shifted(a), w, transpose_a=True),
        (45, 37),
        (45, 19),
        (45, 1),
    ),
    "batch": (lambda a, w: sym.batch_dot(shifted(a), w), (3, 20, 33), (3, 33, 17), (1, 1, 33)),
    "with an epilogue": (
        lambda a, w: sym.tanh(sym.dot(shifted(a), w)) * 2.0,
        (64, 64),
        (64, 32),
        (64, 64),
    ),
}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_an_operand_is_computed_block_by_block(case: str, dtype: str, gpu: mx.Context) -> None:
    build, *shapes = CASES[case]
    symbol = build(sym.Variable("a"), sym.Variable("w"))
    draw = np.random.default_rng(2)
    arrays = {n: draw.normal(size=s) for n, s in zip("awb", shapes, strict=True)}
    given = {name: mx.nd.array(value, gpu, dtype) for name, value in arrays.items()}
    with guarded_where_interpreted(gpu, POISONS):
        executor = symbol.bind(gpu, given)
        check_plan(executor.plan)
        found = executor.forward()[0].asnumpy()
    assert forms(executor.plan) == ["matmul"]
    with mx.switched(fusion=False):
        apart = symbol.bind(gpu, given)
    assert len(apart.plan.kernels) > 3
    # The same roundings on the way, and another order of sums.
    bound = {"float16": 2e-3, "float32": 1e-5}[dtype]
    scale = np.abs(found).max()
    np.testing.assert_allclose(
        found, apart.forward()[0].asnumpy(), rtol=bound, atol=bound * float(scale)
    )


def test_a_conversion_is_no_kernel(gpu: mx.Context) -> None:
    a, w = sym.Variable("a"), sym.Variable("w")
    graph = sym.dot(sym.cast(a, dtype="float16"), w)
    arrays = {
        "a": mx.nd.array(np.arange(48).reshape(6, 8), gpu, "float32"),
        "w": mx.nd.ones((8, 5), gpu, "float16"),
    }
    executor = graph.bind(gpu, arrays)
    assert forms(executor.plan) == ["matmul"]
    due = np.arange(48).reshape(6, 8).sum(axis=1, keepdims=True).repeat(5, axis=1)
    np.testing.assert_array_equal(executor.forward()[0].asnumpy(), due)


def reason(plan: Plan) -> list[str]:
    return [why for _, reader, why in plan.refusals if reader.primitive == "dot"]


def test_many_tiles_do_not_compute_it_again() -> None:
    a, w = sym.Variable("a"), sym.Variable("w")
    plan = planned(sym.dot(sym.relu(a), w), a=(4096, 512), w=(512, 4096))
    assert forms(plan) == ["pointwise", "matmul"]
    assert "tiles of columns would compute it again" in reason(plan)[0]
    assert "tiles of columns would compute it again" in str(plan)


def test_what_more_is_read_than_saved_stays_apart() -> None:
    a, b, c, d, w = (sym.Variable(name) for name in "abcdw")
    shape = (8192, 512)
    few = planned(sym.dot(a + b, w), a=shape, b=shape, w=(512, 64))
    shapes = dict.fromkeys("abcd", shape)
    many = planned(sym.dot(a + b * c - d, w), **shapes, w=(512, 256))
    assert (forms(few), forms(many)) == (["matmul"], ["pointwise", "matmul"])
    assert reason(many) == ["tiles would read more than it saves"]


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda a, w: sym.dot(w, sym.relu(a)), "only a left operand"),
        (lambda a, w: sym.dot(sym.tanh(a), w), "more than a few steps"),
        (lambda a, w: sym.Group([sym.dot(sym.relu(a), w), sym.relu(a)]), "others read it"),
        (lambda a, w: sym.dot(sym.relu(a), w) + sym.relu(a), "what follows the product"),
        (lambda a, w: sym.dot(sym.relu(sym.transpose(a)), w), "in another order"),
    ],
    ids=["right", "long", "shared", "added", "turned"],
)
def test_what_is_refused_is_said(build: Callable[[Symbol, Symbol], Symbol], why: str) -> None:
    plan = planned(build(sym.Variable("a"), sym.Variable("w")), a=(64, 64), w=(64, 64))
    assert any(why in said for said in reason(plan)), plan
    assert "pointwise" in forms(plan)


def test_a_result_is_not_written_over_what_its_operand_is_computed_of() -> None:
    """Of one shape and used for the last time, but read by every tile of a row."""
    a, i, w = sym.Variable("a"), sym.Variable("i"), sym.Variable("w")
    product = sym.dot(sym.relu(sym.take(a, i)), w)
    graph = sym.sum(sym.transpose(sym.exp(product)))
    plan = planned(graph, a=(100, 64), i=(64,), w=(64, 64))
    kernel = next(kernel for kernel in plan.kernels if kernel.form == "matmul")
    (source,) = {y for x in kernel.body for y in x.inputs if y.primitive == "take"}
    assert plan.places[source].output is None
    assert plan.places[source] != plan.places[kernel.outputs[0]]


def test_both_contexts_agree(context: mx.Context) -> None:
    """On a CPU, where products compute nothing else, results are the same to rounding."""
    draw = torch.Generator().manual_seed(3)
    a, w = torch.randn(20, 30, generator=draw), torch.randn(30, 10, generator=draw)
    graph = sym.dot(sym.relu(sym.Variable("a")), sym.Variable("w"))
    given = {"a": mx.nd.array(a.numpy(), context), "w": mx.nd.array(w.numpy(), context)}
    found = graph.bind(context, given).forward()[0].asnumpy()
    np.testing.assert_allclose(found, (a.relu() @ w).numpy(), rtol=1e-5, atol=1e-5)
