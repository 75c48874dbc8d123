"""Kernels over the same elements that read the same are one, and nothing runs before its time."""

from __future__ import annotations

import numpy as np
import pytest

import tritonsym as mx
from guard_bands import guarded_where_interpreted
from memory_checker import check_plan
from tritonsym.expressions.expr import Expr, dot, input_, make, narrow, reduce
from tritonsym.foundation.dtype import FLOAT32
from tritonsym.graph.trace import Graph
from tritonsym.planning.plan import Plan, make_plan
from tritonsym.products.gpus import H100

# More than what is put together because it is small.
SHAPE = (2048, 1024)


def matrix(index: int, rows: int = SHAPE[0]) -> Expr:
    return input_(index, (rows, SHAPE[1]), FLOAT32)


def planned(*outputs: Expr, **given: object) -> Plan:
    graph = Graph(outputs, **given)  # type: ignore[arg-type]
    plan = make_plan(graph, in_registers=True, gpu=H100)
    check_plan(plan)
    return plan


def forms(*outputs: Expr, **given: object) -> list[str]:
    return [kernel.form for kernel in planned(*outputs, **given).kernels]


def sums(x: Expr) -> Expr:
    return reduce("sum", x, (1,))


def test_what_reads_the_same_is_one_kernel() -> None:
    x, y = matrix(0), matrix(1)
    assert forms(x + 1.0, make("exp", x), x * y) == ["pointwise"]
    assert forms(sums(x), sums(x * y), reduce("max", make("exp", y), (1,))) == ["rows"]
    plan = planned(x + 1.0, make("exp", x))
    assert "bytes moved, at least" in str(plan)
    moved, _, least = str(plan).splitlines()[0].split("; ")[1].partition(" bytes moved, at least ")
    assert moved == least


def test_others_stay_apart() -> None:
    x, y = matrix(0), matrix(1)
    row = input_(2, (1, SHAPE[1]), FLOAT32)
    repeated = make("expand", row, shape=SHAPE)
    assert forms(x + 1.0, y * 2.0) == ["pointwise"] * 2, "they read nothing together"
    assert forms(x + repeated, y * repeated) == ["pointwise"] * 2, "hardly anything"
    assert forms(sums(x), reduce("sum", x * y, (0,)))[:2] == ["rows"] * 2, "other axes"
    assert forms(x + 1.0, make("exp", matrix(0, 1024))) == ["pointwise"] * 2, "other elements"


def test_parts_of_an_array_are_not_the_same() -> None:
    """Made together, the operands of all products would be held at once, and nothing read less."""
    x, weight = matrix(0), input_(1, (SHAPE[1], SHAPE[1]), FLOAT32)
    rows = SHAPE[0] // 4
    parts = [narrow(x, 0, n * rows, (n + 1) * rows) for n in range(4)]
    plan = planned(*(dot(make("exp", part), weight) for part in parts))
    assert plan.arena_size == parts[0].byte_count
    assert forms(*(make(name, parts[1]) for name in ("exp", "tanh"))) == ["pointwise"]


def test_a_kernel_writes_as_many_arrays_as_its_registers_hold() -> None:
    x = matrix(0)
    plan = planned(*(make("exp", x * float(n)) for n in range(2, 102)))
    assert [len(kernel.outputs) for kernel in plan.kernels] == [11] * 9 + [1]


def test_nothing_runs_before_what_it_waits_for() -> None:
    """A product lies between the first reader of an array and the second."""
    x, weight = matrix(0), input_(1, (SHAPE[1], SHAPE[1]), FLOAT32)
    first = make("exp", x)
    product = dot(first, weight)
    last = make("tanh", product) * x
    plan = planned(first, last)
    assert [kernel.form for kernel in plan.kernels] == ["pointwise", "single", "pointwise"]
    assert plan.kernels[2].outputs == (plan.outputs[1],)


def test_what_is_computed_again_runs_late() -> None:
    """It is computed again because it was not to be kept until then."""
    x = matrix(0)
    assert forms(x + 1.0, make("exp", x, again=True)) == ["pointwise"] * 2


def test_an_array_is_read_before_it_is_written_over() -> None:
    x, y = matrix(0), matrix(1)
    plan = planned(make("exp", x * y), x - y, updates={1: 0})
    for kernel in plan.kernels[1:]:
        assert make("exp", x * y) not in kernel.body


def test_passes_stay_apart() -> None:
    """A backward pass runs later, or never."""
    x = matrix(0)
    plan = planned(x + 1.0, make("exp", x), stages=(1, 2))
    assert [kernel.outputs for kernel in plan.kernels] == [(x + 1.0,), (make("exp", x),)]


def test_results_that_wait_for_long_are_not_made_early() -> None:
    """Holding them would take more memory than the reading saves."""
    x, weight = matrix(0), input_(1, (SHAPE[1], SHAPE[1]), FLOAT32)
    parts = [make("exp", x), make("sin", x), make("cos", x)]
    products = [dot(part, weight) for part in parts]
    plan = planned(make("tanh", x), *products)
    assert [len(kernel.outputs) for kernel in plan.kernels if kernel.form == "pointwise"] == [2, 2]
    assert plan.arena_size == 2 * x.byte_count


@pytest.mark.parametrize("axis", [0, 1])
def test_results_are_right(axis: int, gpu: mx.Context) -> None:
    made = np.random.default_rng(2)
    x, y = made.standard_normal((2, 300, 70)).astype("float32")
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    both = mx.sym.Group(
        [a + 1, mx.sym.exp(a), a * b, mx.sym.sum(a, axis=axis), mx.sym.max(a * b, axis=axis)]
    )
    with guarded_where_interpreted(gpu):
        found = both.eval(gpu, a=mx.nd.array(x, gpu), b=mx.nd.array(y, gpu))
    due = [x + 1, np.exp(x), x * y, x.sum(axis), (x * y).max(axis)]
    for one, other in zip(found, due, strict=True):
        # Sums of 300 numbers of size 1.
        np.testing.assert_allclose(one.asnumpy(), other, rtol=1e-6, atol=300 * 2.0**-24)
