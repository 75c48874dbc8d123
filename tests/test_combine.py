"""Small kernels side by side in one launch: which ones, in what order, and with what results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import tritonsym as mx
from guard_bands import POISONS, guarded_where_interpreted
from memory_checker import check_plan
from named_graphs import GRAPHS, plan_of
from tritonsym.expressions.expr import Expr, input_, make, narrow, reduce
from tritonsym.foundation.dtype import FLOAT32
from tritonsym.foundation.switches import Switches
from tritonsym.graph.trace import Graph
from tritonsym.kernels import triton_source
from tritonsym.planning.plan import Plan, make_plan
from tritonsym.products.gpus import H100
from tritonsym.scheduling import combine


def vector(index: int, size: int = 1000) -> Expr:
    return input_(index, (size,), FLOAT32)


def planned(outputs: Sequence[Expr], **given: object) -> Plan:
    plan = make_plan(Graph(tuple(outputs), **given), in_registers=True)  # type: ignore[arg-type]
    check_plan(plan)
    return plan


def forms(plan: Plan) -> list[tuple[str, int]]:
    return [(kernel.form, len(kernel.parts)) for kernel in plan.kernels]


def test_independent_operators_are_one_kernel() -> None:
    plan = planned([vector(i) + float(i + 1) for i in range(100)])
    assert forms(plan) == [("combined", 100)]


def test_equal_parts_are_text_once() -> None:
    """Text is as long for a hundred as for two."""
    texts = []
    for count in (2, 100):
        (kernel,) = planned([vector(i) * 2.0 for i in range(count)]).kernels
        source = triton_source.write(kernel, planned_layouts(kernel), H100)
        assert source is not None
        assert source.programs == count and len(source.table) == 2 * count
        texts.append(source.text)
    assert texts[0].replace("2 times", "100 times") == texts[1]


def planned_layouts(kernel: object) -> dict[Expr, object]:
    from tritonsym.expressions.layout import layouts
    from tritonsym.expressions.walks import toposort

    return layouts(toposort(kernel.outputs), {})  # type: ignore[attr-defined,return-value]


def test_what_waits_for_another_is_not_beside_it() -> None:
    sums = [reduce("sum", input_(i, (30, 40), FLOAT32), (0,)) for i in range(2)]
    again = [reduce("sum", make("exp", x), (1,)) for x in sums]
    plan = planned([make("exp", x) * y for x, y in zip(sums, reversed(again), strict=True)])
    assert forms(plan) == [("combined", 2), ("rows", 0)]


def test_large_kernels_stay_alone_and_in_their_order() -> None:
    size = combine.SMALL // 8
    outputs = [make("exp", vector(i, size + 1 if i % 2 else size)) for i in range(6)]
    plan = planned(outputs)
    assert forms(plan) == [("pointwise", 0)] * 3 + [("combined", 3)]
    assert [kernel.outputs for kernel in plan.kernels[:3]] == [(outputs[i],) for i in (1, 3, 5)]


def test_a_kernel_has_few_kinds_of_parts() -> None:
    outputs = [vector(i, 100 + i) + 1.0 for i in range(2 * combine.MOST_KINDS + 1)]
    outputs += [vector(50 + i, 100) * 2.0 for i in range(20)]
    plan = planned(outputs)
    counts = [len({part.outputs[0].shape for part in kernel.each}) for kernel in plan.kernels]
    assert max(counts) <= combine.MOST_KINDS
    assert len(plan.kernels) == 3


def test_stages_stay_apart() -> None:
    a, b = vector(0) + 1.0, vector(1) + 1.0
    plan = planned([a, b, a * 2.0, b * 3.0, vector(2) * 4.0], stages=(2, 5))
    assert [stage.end for stage in plan.stages] == [1, 2]
    assert forms(plan) == [("combined", 2), ("combined", 3)]


def test_an_input_is_replaced_after_all_who_read_it() -> None:
    """And straight, without a copy: its reader is in a kernel before, however small both are."""
    weight, gradient = vector(0), vector(1)
    size = reduce("sum", weight * weight, (0,))
    plan = planned([size, weight - gradient, vector(2) + 1.0], updates={1: 0})
    assert plan.in_place == {1}
    assert not any(stage.updates for stage in plan.stages)
    assert forms(plan) == [("combined", 2), ("pointwise", 0)]


def test_an_input_that_another_part_reads_is_replaced_after_it() -> None:
    weight, gradient = vector(0), vector(1)
    size = reduce("sum", weight * weight, (0,))
    plan = planned([weight - gradient, size], updates={0: 0})
    assert forms(plan) == [("rows", 0), ("pointwise", 0)]
    assert plan.in_place == {0}


def test_of_inputs_that_are_replaced_by_each_other_one_is_copied() -> None:
    """There is no order in which each comes after all who read what it replaces."""
    one, two = vector(0), vector(1)
    plan = planned([one - two, two * one], updates={0: 0, 1: 1})
    assert plan.in_place == {0} and plan.stages[0].updates == (1,)


def test_little_is_held_in_memory_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten chains side by side hold ten values at a time, one after the other one."""

    def chain(index: int) -> Expr:
        x = input_(index, (100, 100), FLOAT32)
        for _ in range(4):
            x = make("permute", reduce("sum", make("exp", x), (1,)) + x, axes=(1, 0))
        return reduce("sum", x, (0, 1))

    chains = [chain(i) for i in range(10)]
    beside = planned(chains)
    assert [len(kernel.parts) for kernel in beside.kernels] == [10] * len(beside.kernels)
    monkeypatch.setattr(combine, "MOST_HELD", 3 * 40_000)
    fewer = planned(chains)
    assert len(beside.kernels) < len(fewer.kernels) <= 10 * len(beside.kernels)
    assert fewer.arena_size < 0.5 * beside.arena_size


def test_what_another_part_reads_is_not_written_over() -> None:
    """Both read one value for the last time; neither may take its place."""
    big = 3 * combine.SMALL
    value = reduce("sum", input_(0, (big // 1000, 1000), FLOAT32), (0,))
    readers = [make("exp", value), reduce("sum", value, (1,))]
    third = make("exp", readers[0] * 0.5 + readers[1])
    plan = planned([third])
    for kernel in plan.kernels:
        for part in kernel.parts:
            for x in part.outputs:
                assert plan.places[x] != plan.places[value]


def test_rows_of_one_array_have_equal_text() -> None:
    """What each part reads of an array is an address of its own, whatever its alignment."""
    rates = input_(0, (8,), FLOAT32)
    updates = [vector(1 + i) * narrow(rates, 0, i, i + 1) for i in range(8)]
    plan = planned(updates)
    (kernel,) = plan.kernels
    source = triton_source.write(kernel, plan.layouts, H100)
    assert source is not None and source.text.count("def part") == 1
    assert [address.in_runs for address in source.table[:3]] == [True, False, True]


def test_an_optimizer_of_many_weights_is_few_launches() -> None:
    from tritonsym.rewrites.simplify import simplify
    from tritonsym.training.optimizer.update import update_of

    adam = mx.optimizer.Adam()
    weights = [mx.nd.ones((256, 256)) for _ in range(100)]
    states = [adam.create_state(i, weight) for i, weight in enumerate(weights)]
    graph = simplify(update_of(adam, weights, weights, states).graph)
    plan = make_plan(graph, in_registers=True)
    check_plan(plan)
    assert forms(plan) == [("pointwise", 0), ("combined", 100)]
    assert len(plan.in_place) == 300 and not plan.stages[0].updates
    apart = make_plan(graph, switched=Switches(fusion=False), in_registers=True)
    assert len(apart.kernels) > 1000


# ---- results -------------------------------------------------------------------------------------


def many_kinds() -> mx.Symbol:
    """Parts of each form, of several dtypes, with views and random numbers."""
    a, b, c, d, e, f, g = (mx.sym.Variable(name) for name in "abcdefg")
    return mx.sym.Group(
        [
            a * 2.0,
            mx.sym.exp(b),
            mx.sym.softmax(c),
            mx.sym.transpose(c) + 0.0,
            mx.sym.slice(d, begin=(1, 1), end=(3, 4)) * 3.0,
            mx.sym.argmax(e, axis=1),
            mx.sym.Concat(a, b, dim=0),
            mx.sym.reverse(b, axis=0),
            mx.sym.random_uniform(shape=(7,)),
            mx.sym.cast(f, dtype="float16"),
            g > 0,
        ]
    )


@pytest.mark.parametrize("switched", [{}, {"validate": True, "debug": 2}], ids=str)
def test_parts_compute_what_they_do_alone(context: mx.Context, switched: dict[str, int]) -> None:
    draw = np.random.default_rng(0)
    shapes = {"a": (3, 5), "b": (3, 5), "c": (6, 40), "d": (4, 5), "e": (6, 41)}
    shapes |= {"f": (3, 5), "g": (3, 5)}
    arrays = {name: mx.nd.array(draw.normal(size=s), context) for name, s in shapes.items()}
    found = {}
    with guarded_where_interpreted(context, POISONS):
        for fusion in (True, False):
            with mx.switched(fusion=fusion, **switched):
                executor = many_kinds().bind(context, arrays)
            check_plan(executor.plan)
            mx.random.seed(3)
            found[fusion] = [output.asnumpy() for output in executor.forward()]
            combined = sum(kernel.form == "combined" for kernel in executor.plan.kernels)
            assert combined == (2 if fusion and context.device_type == "gpu" else 0)
    for one, other in zip(found[True], found[False], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_weights_are_updated_in_place(context: mx.Context) -> None:
    """Three steps of ten weights of three shapes, beside the same steps in numpy."""
    draw = np.random.default_rng(1)
    shapes = [(4, 5), (33,), (2, 3, 4)] * 3 + [(7, 1)]
    momentum = mx.optimizer.SGD(learning_rate=0.5, momentum=0.75)
    updater = mx.optimizer.get_updater(momentum)
    values = [draw.normal(size=shape).astype("float32") for shape in shapes]
    weights = [mx.nd.array(value, context) for value in values]
    moving = [np.zeros_like(value) for value in values]
    for _ in range(3):
        gradients = [draw.normal(size=shape).astype("float32") for shape in shapes]
        updater([*range(10)], [mx.nd.array(g, context) for g in gradients], weights)
        for value, state, gradient in zip(values, moving, gradients, strict=True):
            state *= 0.75
            state -= 0.5 * gradient
            value += state
    for weight, value in zip(weights, values, strict=True):
        np.testing.assert_allclose(weight.asnumpy(), value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("begin", [0, 1])
def test_arrays_that_are_not_aligned_are_read_as_such(
    gpu: mx.Context, monkeypatch: pytest.MonkeyPatch, begin: int
) -> None:
    """A table's addresses say nothing of themselves: the launch says what they are multiples of."""
    from tritonsym.runtime import triton_runtime

    launched = []
    launch = triton_runtime._on_memory

    def noted(*given):
        launched.append(launch(*given))
        return launched[-1]

    monkeypatch.setattr(triton_runtime, "_on_memory", noted)
    memory = mx.nd.array(np.arange(65), gpu)
    names = ("a", "b")
    graph = mx.sym.Group([mx.sym.Variable(name) * 2.0 for name in names])
    given = {"a": memory[begin : begin + 64], "b": mx.nd.ones((64,), gpu)}
    result = graph.bind(gpu, given).forward()[0].asnumpy()
    np.testing.assert_array_equal(result, 2 * np.arange(begin, begin + 64))
    assert [found.options["ALIGNMENT"] for found in launched] == [1 if begin else 16]


# ---- what is shown -------------------------------------------------------------------------------


def test_the_plan_shows_parts() -> None:
    plan = planned([vector(i) + 1.0 for i in range(6)])
    lines = str(plan).splitlines()
    assert lines[1:5] == [
        "  0 combined: 6 kernels side by side",
        "      pointwise: add []",
        "          reads float32[1000] from input 0",
        "          writes float32[1000] to output 0",
    ]
    assert "      and 2 more" in lines
    assert lines[0] == "1 kernel, 6 outputs; 48,000 bytes moved, at least 48,000"
    assert "6 kernels side by side" in plan.to_html()


def test_a_wrong_part_is_named(gpu: mx.Context, monkeypatch: pytest.MonkeyPatch) -> None:
    from tritonsym.runtime import instrument

    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    graph = mx.sym.Group([a + 1.0, mx.sym.exp(b)])
    right = instrument.allowed

    def wrong(*given):
        (*others, last), margins = right(*given)
        return [*others, last + 1], margins

    monkeypatch.setattr(instrument, "allowed", wrong)
    with mx.switched(validate=True):
        executor = graph.bind(gpu, {n: mx.nd.ones((3,), gpu) for n in "ab"})
    with pytest.raises(mx.MXNetError, match=r"kernel 0 \(pointwise: exp\) differs"):
        executor.forward()


def test_a_named_graph_has_parts() -> None:
    """The one that is compiled ahead of time and kept as golden text."""
    plan = plan_of(GRAPHS["side-by-side"])
    assert forms(plan) == [("combined", 6)]
