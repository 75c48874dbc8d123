"""Random graphs through the generated Triton kernels, against node-by-node evaluation in torch.

Values agree to what rounding does to them: the order of a sum differs, and so does the last bit of
a few functions.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings

import tritonsym as mx
from graphs import examples
from guard_bands import guarded_where_interpreted
from named_graphs import transformer_block
from test_planned_equals_node_by_node import check_plan
from tritonsym.compiler import eager
from tritonsym.expressions import expr
from tritonsym.expressions.expr import SOURCES
from tritonsym.expressions.philox import default_state, drawing
from tritonsym.expressions.reference import run
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import BY_NAME
from tritonsym.kernels import triton_rows, triton_walks
from tritonsym.rewrites import split
from tritonsym.runtime.rounding import agree, allowed

SEED = 11


@settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(example=examples())
def check(example) -> None:
    context = mx.gpu(0)
    arrays = {name: array.copyto(context) for name, array in example.arrays.items()}
    executor = example.symbol.bind(context, arrays, aux_states=arrays)
    check_plan(executor.plan)
    before = {name: array.asnumpy().tobytes() for name, array in arrays.items()}
    default_state().seed(SEED)
    found = [output.to_torch().cpu().clone() for output in executor.forward()]
    inputs = [arrays[name].to_torch().cpu() for name in example.symbol.list_inputs()]
    order = toposort(executor.plan.outputs)
    known = {x: inputs[x.integer("index")] for x in order if x.primitive == "input"}
    default_state().seed(SEED)
    for x in order:
        if x.primitive == "draw":
            known[x] = torch.zeros(x.shape, dtype=x.dtype.torch)
            drawing(known[x], default_state())()
    body = [x for x in order if x.primitive not in SOURCES]
    expected, margins = allowed(body, executor.plan.outputs, known)
    for number, (value, due, margin) in enumerate(zip(found, expected, margins, strict=True)):
        assert value.dtype == due.dtype and value.shape == due.shape
        assert agree(value, due, margin), (number, value, due, margin)
    assert {name: array.asnumpy().tobytes() for name, array in arrays.items()} == before


@pytest.mark.parametrize("tiles", ["as they are", "so small that all rows are long"])
def test_kernels_equal_reference(
    gpu: mx.Context, monkeypatch: pytest.MonkeyPatch, tiles: str
) -> None:
    if tiles != "as they are":
        monkeypatch.setattr(triton_rows, "BLOCK", 8)
        monkeypatch.setattr(triton_rows, "STEP", 8)
        monkeypatch.setattr(triton_rows, "TOGETHER", 4)
        monkeypatch.setattr(triton_rows, "SIDE_BY_SIDE", (4, 2))
        # What is read or stored along another axis than the last is so in tiles, however small.
        monkeypatch.setattr(triton_walks, "LARGE", 1)
        monkeypatch.setattr(triton_walks, "SECTOR", 9)
        monkeypatch.setattr(triton_walks, "SHORTEST", 2)
        monkeypatch.setattr(triton_walks, "SMALLEST", 4)
        monkeypatch.setattr(split, "LONG", 8)
        monkeypatch.setattr(split, "SHORTEST_PART", 2)
    with guarded_where_interpreted(gpu):
        check()


def test_a_result_of_rows_is_reduced_again(context: mx.Context) -> None:
    """A row's result, repeated, is itself the input of a reduction of the same rows."""
    a = mx.sym.Variable("a")
    largest = mx.sym.max(a, axis=1, keepdims=True)
    graph = mx.sym.sum(mx.sym.broadcast_mul(mx.sym.broadcast_like(largest, a), a * 0 + 1), axis=1)
    values = mx.nd.array([[1, 5, 2], [7, 3, 4]], ctx=context)
    assert graph.eval(context, a=values)[0].asnumpy().tolist() == [15.0, 21.0]


def test_rows_of_what_other_rows_were_reduced_to(context: mx.Context) -> None:
    """A reduction reads what another kernel's reduction made, in that result's full shape."""
    v = mx.sym.Variable("v")
    graph = mx.sym.sum(mx.sym.sum(v, axis=(0, 3), keepdims=True), axis=(2, 3))
    values = mx.nd.array([[[[*range(8 * i, 8 * i + 8)] for i in range(4)]]] * 2, context)
    expected = [[2.0 * sum(range(32))]]
    assert graph.eval(context, v=values)[0].asnumpy().tolist() == expected


def test_a_product_with_one_repeated_element(context: mx.Context) -> None:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    graph = mx.sym.dot(mx.sym.broadcast_to(a, shape=(2, 3)), b)
    given = {
        "a": mx.nd.array([[2]], context, "float16"),
        "b": mx.nd.ones((3, 4), context, "float16"),
    }
    assert graph.eval(context, **given)[0].asnumpy().tolist() == [[6.0] * 4] * 2


def test_one_condition_for_a_whole_block(context: mx.Context) -> None:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    graph = mx.sym.broadcast_logical_or(a, b)
    ones, zeros = mx.nd.ones((1, 1), context), mx.nd.zeros((1, 5), context)
    assert graph.eval(context, a=ones, b=zeros)[0].asnumpy().tolist() == [[1.0] * 5]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_functions_of_numbers_alone(
    dtype: str, gpu: mx.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference has some of them by numpy, which reads no GPU's memory."""
    from tritonsym.runtime import triton_runtime

    monkeypatch.delattr(triton_runtime, "prepare")
    four, three = (expr.constant(value, BY_NAME[dtype]) for value in (4, 3))
    wanted = [expr.make(name, four) for name in ("log", "sqrt", "rsqrt", "cbrt", "round")]
    wanted += [expr.make(name, four, three) for name in ("mod", "lt", "pow")]
    found = eager.compute(wanted, [], default_state(), gpu)
    due = [math.log(4), 2, 0.5, 4 ** (1 / 3), 4, 1, False, 64]
    for value, right in zip(found, due, strict=True):
        assert value.item() == pytest.approx(right, rel=2.0**-10 if dtype == "float16" else 2e-7)


def test_a_transformer_block(context: mx.Context) -> None:
    """The plan with its products, rows and reshapes, node by node."""
    symbol = transformer_block()
    names, lengths = symbol.list_arguments(), symbol.infer_shape(data=(2, 20, 128))[0]
    draw = torch.Generator().manual_seed(1)
    values = {n: torch.randn(s, generator=draw) for n, s in zip(names, lengths, strict=True)}
    for name, value in values.items():
        value *= 0.1 if name.endswith("weight") else 1.0
    halves = {n: mx.nd.array(v.half().numpy(), context, "float16") for n, v in values.items()}
    executor = symbol.bind(context, halves)
    (found,) = executor.forward()
    inputs = [values[name].half() for name in names]
    (due,) = run(executor.plan.outputs, inputs, default_state())
    torch.testing.assert_close(
        torch.tensor(found.asnumpy()).float(), due.float(), rtol=2e-2, atol=2e-2
    )
