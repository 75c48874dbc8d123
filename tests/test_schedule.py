"""What is computed together: kernels of named graphs counted, and every schedule can run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings

import tritonsym as mx
from graphs import Example, examples
from tritonsym.context import cpu
from tritonsym.expressions.expr import GENERATED, PRODUCTS, REDUCTIONS, SOURCES, Expr
from tritonsym.expressions.layout import Layout, layouts
from tritonsym.expressions.walks import toposort
from tritonsym.graph.trace import Graph
from tritonsym.plan_command import plan_for_gpu
from tritonsym.planning.plan import Plan
from tritonsym.products.gpus import H100
from tritonsym.products.products import chosen
from tritonsym.scheduling.schedule import Kernel, schedule
from tritonsym.symbol import Symbol

SHAPE = (4, 4)


def plan_of(symbol: Symbol) -> Plan:
    arrays = {name: mx.nd.ones(SHAPE) for name in symbol.list_arguments()}
    return symbol.bind(mx.cpu(), arrays).plan


def kernels(symbol: Symbol) -> list[str]:
    """The primitives of each kernel."""
    return [" ".join(x.primitive for x in kernel.body) for kernel in plan_of(symbol).kernels]


def refusals(symbol: Symbol) -> list[str]:
    """What is not computed together, and why."""
    return [
        f"{reader.primitive} with {source.primitive}: {reason}"
        for source, reader, reason in plan_of(symbol).refusals
    ]


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


def test_a_reduction_takes_what_surrounds_it_along() -> None:
    (x,) = variables("x")
    y = mx.sym.exp(x)
    centred = mx.sym.broadcast_sub(y, mx.sym.max(y, axis=1, keepdims=True))
    assert kernels(centred) == ["exp max sub"]
    assert kernels(mx.sym.Group([mx.sym.sum(y), mx.sym.sqrt(y)])) == ["exp sum sqrt"]
    assert kernels(mx.sym.L2Normalization(x)) == ["mul sum add sqrt div"]
    assert kernels(mx.sym.softmax(x)) == ["native"], "one call where torch has it"
    assert kernels(mx.sym.softmin(x)) == ["neg", "native"]


def test_reductions_over_other_axes_are_other_kernels() -> None:
    (x,) = variables("x")
    y = mx.sym.exp(x)
    rows, columns = mx.sym.sum(y, axis=1), mx.sym.sum(y, axis=0)
    assert len(kernels(mx.sym.Group([rows, columns]))) == 2
    assert kernels(mx.sym.sum(mx.sym.max(y, axis=1, keepdims=True))) == ["exp max", "sum"]


def test_a_reduction_in_between_splits_a_diamond() -> None:
    """The column sums need every row before the first row can go on."""
    (x,) = variables("x")
    y = mx.sym.max(mx.sym.exp(x), axis=1, keepdims=True)
    spread = mx.sym.broadcast_to(y, shape=SHAPE)
    columns = mx.sym.sum(mx.sym.sqrt(spread), axis=0, keepdims=True)
    both = mx.sym.broadcast_add(columns, mx.sym.sqrt(spread))
    assert kernels(both) == ["exp max sqrt", "sum add"]


def test_what_is_read_through_a_view_is_stored_first() -> None:
    (x,) = variables("x")
    y = mx.sym.exp(x)
    assert kernels(y + mx.sym.transpose(y)) == ["exp", "add"]
    assert kernels(mx.sym.transpose(mx.sym.transpose(y)) + y) == ["exp add"]
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


def test_what_follows_a_product_on_a_gpu_is_computed_with_it() -> None:
    x, weight = variables("xw")
    product = mx.sym.tanh(mx.sym.dot(x, weight) + 1)
    (kernel,) = plan_for_gpu(product, {"x": SHAPE, "w": SHAPE}).kernels
    assert kernel.form == "matmul"
    assert [x.primitive for x in kernel.body] == ["dot", "add", "tanh"]


def test_a_refusal_is_a_sentence() -> None:
    x, weight = variables("xw")
    y = mx.sym.exp(x)
    assert refusals(y + mx.sym.transpose(y)) == ["add with exp: it is read in another order"]
    assert refusals(mx.sym.dot(x, weight) + 1) == ["add with dot: it is a kernel of its own"]
    assert refusals((x * weight) + 1) == []


# ---- any graph -----------------------------------------------------------------------------------


def check_schedule(
    found: Sequence[Kernel], outputs: Sequence[Expr], where: Mapping[Expr, Layout]
) -> None:
    """Each expression is computed once, after what it reads; what leaves a kernel is an output."""
    work = {x for x in toposort(outputs) if x.primitive not in SOURCES and where[x].base is x}
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
                if base in work and kernel_of[base] == number:
                    assert base in earlier, "an expression reads what is computed after it"
                    assert base is y or repeats_rows(y, base, kernel), "read in another order"
                elif base in work:
                    assert kernel_of[base] < number, "a kernel reads what a later one computes"
                    leaving.add(base)
            earlier.add(x)
        check_form(kernel)
    assert {x for kernel in found for x in kernel.outputs} == leaving


def repeats_rows(y: Expr, base: Expr, kernel: Kernel) -> bool:
    """Whether a view repeats each row's result along the row, in a kernel of rows."""
    return kernel.form == "rows" and y.primitive == "expand" and y.inputs == (base,)


def check_form(kernel: Kernel) -> None:
    """A kernel is one pass: its parts agree on what is walked over."""
    reductions = [x for x in kernel.body if x.primitive in REDUCTIONS]
    elementwise = [x for x in kernel.body if x.is_elementwise or x.primitive in GENERATED]
    others = [x for x in kernel.body if x not in reductions and x not in elementwise]
    match kernel.form:
        case "pointwise":
            assert not reductions
            assert not others
            assert len({x.shape for x in elementwise}) == 1
        case "rows":
            assert not others
            assert len({(x.inputs[0].shape, x.shape, x["axes"]) for x in reductions}) == 1
            first = reductions[0]
            assert {x.shape for x in elementwise} <= {first.inputs[0].shape, first.shape}
        case "matmul":
            assert not reductions
            assert [x.primitive in PRODUCTS for x in others] == [True]
            assert {x.shape for x in elementwise} <= {others[0].shape}
        case _:
            assert len(kernel.body) == 1


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(examples())
def test_a_schedule_can_run(example: Example) -> None:
    plan = example.bind(cpu()).plan
    on_gpu = chosen(Graph(plan.outputs), {}, H100, "ieee").outputs
    both = (True, False)
    for outputs, fuse, beside in itertools.product((plan.outputs, on_gpu), both, both):
        where = plan.layouts if outputs is plan.outputs else layouts(toposort(outputs), {})
        found, apart = schedule(outputs, where, fuse, beside=beside)
        check_schedule(found, outputs, where)
        kernel_of = {x: kernel for kernel in found for x in kernel.body}
        for source, reader, reason in apart:
            assert kernel_of[source] is not kernel_of[reader]
            assert source in kernel_of[source].outputs
            assert reason
        if not fuse:
            assert all(len(kernel.body) == 1 for kernel in found)
            assert len(found) >= len(plan.kernels)


def test_many_readers_are_scheduled() -> None:
    """A value is not merged with everyone who reads it, so that planning stays linear."""
    (x,) = variables("x")
    y = mx.sym.exp(x)
    readers = [mx.sym.sqrt(mx.sym.transpose(y) * float(i)) for i in range(2, 200)]
    plan = plan_of(mx.sym.Group([*readers, mx.sym.sum(y)]))
    check_schedule(plan.kernels, plan.outputs, plan.layouts)


def test_without_fusion_every_expression_is_a_kernel() -> None:
    a, b, c, d = variables("ABCD")
    plan = plan_of((a * b) + (c * d))
    found, apart = schedule(plan.outputs, plan.layouts, fuse=False)
    assert [kernel.body for kernel in found] == [(x,) for x in plan.kernels[0].body]
    assert all(kernel.outputs == kernel.body for kernel in found)
    assert apart == ()


def test_a_plan_can_be_read() -> None:
    with mx.name.NameManager():
        a, b, c, d = variables("ABCD")
        shown = str(plan_of((a * b) + (c * d)))
    for part in (
        "1 kernel, 1 output; 320 bytes moved, at least 320",
        "0 pointwise: mul mul add [_mul0, _mul1, _plus0]",
        "reads float32[4, 4] from input 3",
        "writes float32[4, 4] to output 0",
        "320 bytes, 48 operations",
        "arena: 64 bytes, 128 without reuse of memory",
    ):
        assert part in shown
    assert "not computed together" not in shown
    (x,) = variables("x")
    y = mx.sym.exp(x)
    assert (
        "add of _plus" in str(plan_of(y + mx.sym.transpose(y))).split("not computed together:")[1]
    )


def test_reductions_of_the_same_rows_read_them_once() -> None:
    """On a GPU; a CPU's are calls of their own in any case."""
    x = mx.sym.Variable("x")
    graph = mx.sym.Group([mx.sym.sum(x, axis=1), mx.sym.max(x, axis=1), mx.sym.min(x, axis=0)])
    plan = plan_for_gpu(graph, {"x": (2048, 8192)})
    assert [[x.primitive for x in kernel.body] for kernel in plan.kernels] == [
        ["sum", "max"],
        ["min"],
    ]
