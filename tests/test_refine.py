"""What is stored where it is computed, and what is computed again instead of being stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.expressions.expr import input_, make
from tritonsym.expressions.layout import layouts, places_in_copy
from tritonsym.foundation.dtype import as_dtype
from tritonsym.plan_command import plan_for_gpu
from tritonsym.planning.plan import Plan
from tritonsym.symbol import Symbol

sym = mx.sym


def plan_of(symbol: Symbol, dtype: str = "float32", **shapes: tuple[int, ...]) -> Plan:
    return plan_for_gpu(symbol, shapes, {n: as_dtype(dtype) for n in symbol.list_inputs()})


def forms(plan: Plan) -> list[str]:
    return [f"{k.form}: {' '.join(x.primitive for x in k.body)}" for k in plan.kernels]


@pytest.mark.parametrize(
    ("shape", "split", "axes"),
    [
        ((6, 4), (6, 4), (1, 0)),
        ((2, 3, 4), (2, 3, 4), (2, 0, 1)),
        ((6, 8), (2, 3, 4, 2), (0, 2, 1, 3)),
        ((2, 3, 8), (6, 2, 4), (1, 0, 2)),
        ((1, 6), (6, 1), (1, 0)),
    ],
)
def test_places_in_a_copy(
    shape: tuple[int, ...], split: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    """The places that the terms give are those to which torch copies."""
    x = input_(0, shape, as_dtype("float32"))
    value = make("exp", x)
    turned = make("permute", make("reshape", value, shape=split), axes=axes)
    copy = make("reshape", turned, shape=(value.size,))
    known = layouts([x, value, *turned.inputs, turned, copy], {})
    terms = places_in_copy(copy, known)
    assert terms is not None
    numbers = torch.arange(value.size).reshape(split).permute(axes).reshape(-1).tolist()
    for place, number in enumerate(numbers):
        coordinates = torch.unravel_index(torch.tensor(number), shape)
        found = sum(
            int(c) // term.divisor % term.length * term.stride
            for c, own in zip(coordinates, terms, strict=True)
            for term in own
        )
        assert found == place


def test_what_is_no_copy_of_the_whole_has_no_places() -> None:
    x = input_(0, (4, 6), as_dtype("float32"))
    part = make("slice", x, starts=(0, 0), stops=(4, 6), steps=(1, 2))
    turned = make("permute", part, axes=(1, 0))
    copy = make("reshape", turned, shape=(12,))
    assert places_in_copy(copy, layouts([x, part, turned, copy], {})) is None


def turned(x: Symbol) -> Symbol:
    return sym.reshape(sym.transpose(x, axes=(1, 0)), shape=(-1,))


def test_a_copy_is_stored_by_the_kernel_of_its_value() -> None:
    x = sym.Variable("x")
    assert forms(plan_of(turned(sym.exp(x)) * 1, x=(4, 6))) == ["pointwise: exp reshape"]
    rows = forms(plan_of(turned(sym.softmax(x)), x=(4, 6)))
    assert rows == ["rows: max sub exp sum div reshape"]
    both = plan_of(sym.Group([turned(sym.exp(x)), sym.exp(x)]), x=(4, 6))
    assert forms(both) == ["pointwise: exp reshape"]
    assert len(both.kernels[0].outputs) == 2
    assert forms(plan_of(turned(x), x=(4, 6))) == ["single: reshape"]


def test_what_reads_a_copy_is_no_part_of_its_kernel() -> None:
    x = sym.Variable("x")
    value = sym.softmax(x)
    again = sym.sqrt(sym.reshape(sym.transpose(value), shape=(4, 6)))
    rows = "rows: max sub exp sum div reshape"
    assert forms(plan_of(again, x=(4, 6))) == [rows, "pointwise: sqrt"]


def test_values_are_stored_narrow() -> None:
    """The sums of a softmax are in float32, which each row makes of the float16 it reads."""
    x, y = sym.Variable("x"), sym.Variable("y")
    plan = plan_of(sym.softmax(sym.batch_dot(x, y)), "float16", x=(2, 40, 60), y=(2, 60, 50))
    assert forms(plan) == ["matmul: dot", "rows: cast max sub exp sum div cast"]
    assert [str(x.dtype) for x in plan.kernels[0].outputs] == ["float16"]


def test_a_function_is_computed_once() -> None:
    """What costs more than moving its result is stored."""
    x = sym.Variable("x")
    value = sym.exp(x)
    total = sym.Group([sym.sum(value, axis=0), sym.sum(value, axis=1)])
    assert sum(form.count("exp") for form in forms(plan_of(total, x=(40, 60)))) == 1


@pytest.mark.parametrize("build", [sym.exp, sym.softmax, sym.identity])
def test_copies_on_both_contexts(context: mx.Context, build: object) -> None:
    assert callable(build)
    x = sym.Variable("x")
    values = torch.randn(7, 5, 6, generator=torch.Generator().manual_seed(0))
    moved = sym.reshape(sym.transpose(build(x), axes=(2, 0, 1)), shape=(-1, 5)) + 1
    (found,) = moved.eval(context, x=mx.nd.array(values.numpy(), context))
    made = {sym.exp: torch.exp, sym.softmax: lambda v: v.softmax(-1)}.get(build, lambda v: v)
    expected = made(values).permute(2, 0, 1).reshape(-1, 5) + 1
    torch.testing.assert_close(torch.tensor(found.asnumpy()), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(1000, 3), (7, 30), (300, 1), (5, 5000)])
@pytest.mark.parametrize("axis", [0, 1])
def test_rows_of_any_length(context: mx.Context, rows: int, columns: int, axis: int) -> None:
    """Several short rows in a program, long rows block by block, and columns side by side."""
    x = sym.Variable("x")
    values = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    graph = sym.Group([sym.softmax(x, axis=axis), sym.argmax(x, axis=axis), sym.sum(x, axis=axis)])
    array = mx.nd.array(values.numpy(), context)
    found = [torch.tensor(y.asnumpy()) for y in graph.eval(context, x=array)]
    wide = values.double()
    expected = [wide.softmax(axis), wide.argmax(axis).double(), wide.sum(axis)]
    for value, due in zip(found, expected, strict=True):
        torch.testing.assert_close(value.double(), due, rtol=1e-4, atol=1e-4)


# ---- several values in one place ---------------------------------------------------------------


def test_values_are_stored_where_they_are_put_together() -> None:
    x, y = sym.Variable("x"), sym.Variable("y")
    both = [sym.exp(x), sym.exp(x) * y]
    plan = plan_of(sym.Concat(*both, dim=1), x=(4, 6), y=(4, 6))
    assert forms(plan) == ["pointwise: exp mul concat"]
    assert len(plan.kernels[0].outputs) == 1
    stacked = plan_of(sym.stack(*both, both[0], axis=1), x=(4, 6), y=(4, 6))
    assert forms(stacked) == ["pointwise: exp mul concat"]
    read = plan_of(sym.Group([sym.Concat(*both, dim=0), both[0]]), x=(4, 6), y=(4, 6))
    assert [len(kernel.outputs) for kernel in read.kernels] == [2]


def test_values_of_several_kernels_are_put_together_by_another_one() -> None:
    x, y = sym.Variable("x"), sym.Variable("y")
    for parts in (
        [sym.exp(x), sym.exp(y)],  # of two shapes
        [sym.exp(x), x],  # an argument
        [sym.exp(x), sym.transpose(sym.transpose(sym.exp(x)) + 1)],
        [sym.exp(x), sym.zeros((4, 6))],
        [sym.slice_axis(sym.exp(x), axis=0, begin=0, end=2), sym.exp(x)],
        [sym.softmax(x), sym.softmax(x) + 1],  # rows
    ):
        plan = plan_of(sym.Concat(*parts, dim=0), x=(4, 6), **shapes_of(parts, y=(5, 6)))
        assert forms(plan)[-1] == "single: concat"


def shapes_of(parts: list[Symbol], **shapes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    names = sym.Group(parts).list_arguments()
    return {name: shape for name, shape in shapes.items() if name in names}


JOINED = {
    "rows": lambda parts: sym.Concat(*parts, dim=0),
    "columns": lambda parts: sym.Concat(*parts, dim=1),
    "depth": lambda parts: sym.Concat(*parts, dim=2),
    "stack": lambda parts: sym.stack(*parts, axis=1),
    "flat": lambda parts: sym.Concat(*(sym.reshape(x, shape=(-1,)) for x in parts), dim=0),
    "read": lambda parts: sym.Concat(*parts, dim=1) * 2 + sym.Concat(*parts[::-1], dim=1),
}


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        *(((3, 5, 7), dtype) for dtype in ("float16", "float32", "int8", "float64")),
        ((1, 1, 1), "float32"),
        ((2, 130, 70), "float16"),
        ((64, 64, 32), "float32"),
    ],
)
@pytest.mark.parametrize("kind", JOINED)
def test_joined_on_both_contexts(
    kind: str, shape: tuple[int, ...], dtype: str, context: mx.Context
) -> None:
    x, y = sym.Variable("x"), sym.Variable("y")
    turned = sym.transpose(y, axes=(0, 2, 1))  # read by tiles where it is large
    first = sym.abs(x) + turned
    parts = [first, sym.relu(first), first - x * 2]
    symbol = JOINED[kind](parts)
    random = np.random.RandomState(0)
    wide = {"x": shape, "y": (shape[0], shape[2], shape[1])}
    arrays = {
        name: mx.nd.array(random.randint(-4, 5, size), context, dtype)
        for name, size in wide.items()
    }
    executor = symbol.bind(context, arrays)
    (found,) = executor.forward()
    (expected,) = symbol.eval(mx.cpu(), **{n: a.copyto(mx.cpu()) for n, a in arrays.items()})
    np.testing.assert_array_equal(found.asnumpy(), expected.asnumpy())
    numbers = {n: a.asnumpy().astype("int64") for n, a in arrays.items()}
    total = np.abs(numbers["x"]) + numbers["y"].transpose(0, 2, 1)
    apart = [total, np.maximum(total, 0), total - numbers["x"] * 2]
    axes = {"rows": 0, "columns": 1, "depth": 2}
    if kind in axes:
        due = np.concatenate(apart, axes[kind])
        np.testing.assert_array_equal(found.asnumpy().astype("int64"), due)
    check_plan(executor.plan)
    if context.device_type == "gpu":
        stored = executor.plan.kernels[0].outputs
        assert {x.primitive for x in stored} == {"concat"}, "and none of the parts apart"


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("axis", [0, 1])
def test_what_follows_a_product_is_put_together(axis: int, dtype: str, context: mx.Context) -> None:
    x, y = sym.Variable("x"), sym.Variable("y")
    product = sym.dot(x, y)
    symbol = sym.Concat(product, sym.relu(product), product + 1, dim=axis)
    random = np.random.RandomState(0)
    numbers = {"x": random.randint(-3, 4, (37, 50)), "y": random.randint(-3, 4, (50, 45))}
    arrays = {name: mx.nd.array(value, context, dtype) for name, value in numbers.items()}
    executor = symbol.bind(context, arrays)
    (found,) = executor.forward()
    due = numbers["x"] @ numbers["y"]
    together = np.concatenate([due, np.maximum(due, 0), due + 1], axis)
    np.testing.assert_array_equal(found.asnumpy(), together.astype(dtype))
    check_plan(executor.plan)
    if context.device_type == "gpu":
        assert [len(kernel.outputs) for kernel in executor.plan.kernels] == [1]


def test_what_is_put_together_may_lie_where_its_kernel_read(context: mx.Context) -> None:
    """The sum takes the place of what was turned round, which nobody else reads."""
    x, y = sym.Variable("x"), sym.Variable("y")
    value = sym.reverse(x, axis=0) + y
    symbol = sym.dot(value, sym.Concat(value, value, dim=1))
    numbers = np.random.RandomState(0).randint(-3, 4, (2, 9, 9))
    arrays = {n: mx.nd.array(v, context, "int32") for n, v in zip("xy", numbers, strict=True)}
    executor = symbol.bind(context, arrays)
    check_plan(executor.plan)
    (found,) = executor.forward()
    total = numbers[0][::-1] + numbers[1]
    np.testing.assert_array_equal(found.asnumpy(), total @ np.concatenate([total, total], 1))
    if context.device_type == "gpu":
        plan = executor.plan
        (turned_round,) = plan.kernels[0].outputs
        joining = next(k for k in plan.kernels if len(k.outputs) > 1)
        assert [x.primitive for x in joining.outputs] == ["add", "concat"]
        assert plan.places[joining.outputs[0]] == plan.places[turned_round]
