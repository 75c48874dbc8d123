"""What is computed together: kernels of named graphs counted, and every schedule can run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings

import tritonsym as mx
from graphs import Example, examples
from tritonsym.context import cpu
from tritonsym.expr import Expr, toposort
from tritonsym.layout import Layout, layouts
from tritonsym.plan import Plan
from tritonsym.schedule import Kernel, schedule
from tritonsym.symbol import Symbol

SHAPE = (4, 4)


def plan_of(symbol: Symbol) -> Plan:
    arrays = {name: mx.nd.ones(SHAPE) for name in symbol.list_arguments()}
    return symbol.bind(mx.cpu(), arrays).plan


def kernels(symbol: Symbol) -> list[str]:
    """The primitives of each kernel."""
    return [" ".join(x.primitive for x in kernel.body) for kernel in plan_of(symbol).kernels]


def variables(names: str) -> list[Symbol]:
    return [mx.sym.Variable(name) for name in names]


# ---- named graphs --------------------------------------------------------------------------------


def test_the_tutorial_is_one_kernel() -> None:
    a, b, c, d = variables("ABCD")
    assert kernels((a * b) + (c * d)) == ["mul mul add"]


@pytest.mark.parametrize("length", [1, 20, 1000])
def test_a_chain_is_one_kernel(length: int) -> None:
    y = mx.sym.Variable("x")
    for _ in range(length):
        y = y + 1
    plan = plan_of(y)
    assert len(plan.kernels) == 1
    assert len(plan.kernels[0].body) == length
    assert plan.kernels[0].outputs == (plan.outputs[0],)


def test_siblings_are_computed_in_one_pass() -> None:
    (x,) = variables("x")
    y = mx.sym.exp(x)
    plan = plan_of(mx.sym.Group([y + 1, y * 2, y]))
    assert [len(kernel.body) for kernel in plan.kernels] == [3]
    assert len(plan.kernels[0].outputs) == 3


def test_a_reduction_in_between_splits_a_diamond() -> None:
    (x,) = variables("x")
    y = mx.sym.exp(x)
    centred = mx.sym.broadcast_sub(y, mx.sym.max(y, axis=1, keepdims=True))
    assert kernels(centred) == ["exp", "max", "sub"]


def test_a_reduction_beside_does_not() -> None:
    (x,) = variables("x")
    y = mx.sym.exp(x)
    both = mx.sym.Group([mx.sym.sum(y), mx.sym.sqrt(y)])
    assert sorted(kernels(both)) == ["exp sqrt", "sum"]


def test_what_is_read_through_a_view_is_stored_first() -> None:
    (x,) = variables("x")
    y = mx.sym.exp(x)
    assert kernels(y + mx.sym.transpose(y)) == ["exp", "add"]
    assert kernels(mx.sym.transpose(mx.sym.transpose(y)) + y) == ["exp", "add"]
    later = mx.sym.sqrt(y) * mx.sym.transpose(mx.sym.negative(y))
    assert kernels(later) == ["exp sqrt neg", "mul"]


def test_a_view_of_an_input_is_no_work() -> None:
    (x,) = variables("x")
    assert kernels(mx.sym.transpose(x) + 1) == ["add"]
    assert kernels(mx.sym.transpose(x)) == []


def test_a_reshape_that_no_stride_can_say_is_a_kernel() -> None:
    (x,) = variables("x")
    torn = mx.sym.reshape(mx.sym.transpose(mx.sym.exp(x)), shape=(-1,))
    assert kernels(torn) == ["exp", "reshape"]


def test_other_shapes_are_other_kernels() -> None:
    (x,) = variables("x")
    row = mx.sym.slice_axis(x, axis=0, begin=0, end=1)
    assert kernels(mx.sym.broadcast_add(mx.sym.exp(row), mx.sym.exp(x))) == ["exp", "exp add"]


def test_a_softmax_is_five_passes_and_one_call_where_torch_has_it() -> None:
    (x,) = variables("x")
    assert kernels(mx.sym.softmin(x)) == ["neg", "max", "sub exp", "sum", "div"]
    assert kernels(mx.sym.softmax(x)) == ["native"]


def test_the_ends_of_a_matrix_product_are_fused_among_themselves() -> None:
    x, weight = variables("xw")
    scaled = mx.sym.exp(x * 2)
    product = mx.sym.dot(scaled, weight)
    assert kernels(mx.sym.tanh(product + 1)) == ["mul exp", "dot", "add tanh"]


def test_equal_expressions_are_computed_once() -> None:
    (x,) = variables("x")
    assert kernels(mx.sym.exp(x) * mx.sym.exp(x)) == ["exp mul"]


def test_what_nobody_needs_is_not_computed() -> None:
    (x,) = variables("x")
    assert kernels(mx.sym.zeros_like(mx.sym.exp(x))) == []


def test_a_value_with_many_readers_is_stored() -> None:
    """Its readers are not merged with it one by one, so that planning stays linear."""
    (x,) = variables("x")
    y = mx.sym.exp(x)
    rows = [mx.sym.sum(y * float(i), axis=1) for i in range(2, 200)]
    plan = plan_of(mx.sym.Group(rows))
    check_schedule(plan.kernels, plan.outputs, plan.layouts)


# ---- any graph -----------------------------------------------------------------------------------


def check_schedule(
    found: Sequence[Kernel], outputs: Sequence[Expr], where: dict[Expr, Layout]
) -> None:
    """Each expression is computed once, after what it reads; what leaves a kernel is an output."""
    work = {
        x
        for x in toposort(outputs)
        if x.primitive not in ("input", "constant") and where[x].base is x
    }
    computed = [x for kernel in found for x in kernel.body]
    assert len(computed) == len(set(computed))
    assert set(computed) == work
    kernel_of = {x: number for number, kernel in enumerate(found) for x in kernel.body}
    leaving = {where[x].base for x in outputs} & work
    for number, kernel in enumerate(found):
        earlier: set[Expr] = set()
        for x in kernel.body:
            for y in x.inputs:
                base = where[y].base
                if base in work:
                    assert kernel_of[base] <= number, "a kernel reads what a later one computes"
                    if kernel_of[base] == number:
                        assert base in earlier, "an expression reads what is computed after it"
                        assert base is y, "one pass reads its own value through a view"
                    else:
                        leaving.add(base)
            earlier.add(x)
        if kernel.form == "pointwise":
            assert len({x.shape for x in kernel.body}) == 1
            assert all(x.is_elementwise for x in kernel.body)
        else:
            assert len(kernel.body) == 1
    assert {x for kernel in found for x in kernel.outputs} == leaving


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(examples())
def test_a_schedule_can_run(example: Example) -> None:
    plan = example.symbol.bind(cpu(), example.arrays).plan
    for fuse in (True, False):
        found = schedule(plan.outputs, plan.layouts, fuse)
        check_schedule(found, plan.outputs, plan.layouts)
        if not fuse:
            assert all(len(kernel.body) == 1 for kernel in found)
            assert len(found) >= len(plan.kernels)


def test_without_fusion_every_expression_is_a_kernel() -> None:
    a, b, c, d = variables("ABCD")
    plan = plan_of((a * b) + (c * d))
    found = schedule(plan.outputs, layouts(toposort(plan.outputs), {}), fuse=False)
    assert [kernel.body for kernel in found] == [(x,) for x in plan.kernels[0].body]
    assert all(kernel.outputs == kernel.body for kernel in found)


def test_a_plan_can_be_read() -> None:
    with mx.name.NameManager():
        a, b, c, d = variables("ABCD")
        shown = str(plan_of((a * b) + (c * d)))
    assert "plan: 1 kernels, 1 outputs" in shown
    assert "pointwise: mul mul add [_mul0, _mul1, _plus0] 320 bytes" in shown
    assert "writes float32[4, 4] to output 0" in shown
    assert "arena: 128 bytes (128 without reuse)" in shown
