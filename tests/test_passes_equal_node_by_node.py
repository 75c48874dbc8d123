"""Random graphs with their gradients give the same bits in two passes, planned in every way.

The gradients themselves are compared with MXNet's and with central differences elsewhere; here the
question is whether planning two passes, and writing over inputs, changes a bit.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, note, settings

from graphs import Example, examples
from memory_checker import check_plan
from test_planned_equals_node_by_node import (
    POISONS,
    SEED,
    WAYS,
    Tensors,
    assert_same_bits,
    each_expression_is_a_call,  # noqa: F401
    extent,
    node_by_node,
    orders,
    poison,
)
from tritonsym.expressions.philox import RandomState
from tritonsym.foundation.dtype import as_dtype
from tritonsym.foundation.errors import MXNetError
from tritonsym.foundation.switches import Switches
from tritonsym.graph.backward import backward_of_sum
from tritonsym.graph.infer import infer_shapes
from tritonsym.graph.node import toposort as toposort_nodes
from tritonsym.graph.node import variables
from tritonsym.graph.trace import Graph, trace
from tritonsym.planning.plan import Plan, make_plan
from tritonsym.rewrites.simplify import simplify
from tritonsym.runtime.cpu import program
from tritonsym.scheduling import tiling

pytestmark = pytest.mark.usefixtures("one_thread")

GRAPHS = int(os.environ.get("TRITONSYM_FUZZ_GRAPHS", "2000")) // 4


def traced(example: Example) -> Graph | None:
    """A forward and a backward pass; None where an operator in it has no gradient."""
    entries = example.symbol._entries
    shapes = infer_shapes(
        toposort_nodes(entries), {name: a.shape for name, a in example.arrays.items()}
    )
    arguments, _ = variables(shapes.nodes)
    stages = [entries, backward_of_sum(entries, arguments)]
    every = [entry for stage in stages for entry in stage]
    shapes = infer_shapes(
        toposort_nodes(every), {name: a.shape for name, a in example.arrays.items()}
    )
    dtypes = {name: as_dtype(a._tensor.dtype) for name, a in example.arrays.items()}
    try:
        return simplify(trace(stages, shapes, dtypes, native=True, train=True))
    except MXNetError as error:
        if "no gradient" not in str(error):
            raise
        return None


def replacing(graph: Graph, inputs: Tensors, every_other: int) -> Graph:
    """The same graph, where some gradients replace the inputs that they are the gradients of."""
    states = dict(graph.updates)
    first = graph.ends[0]
    free = [i for i in range(len(inputs)) if i not in states.values()]
    places = {first + n: index for n, index in enumerate(free) if n % 2 == every_other}
    fits = {n: i for n, i in places.items() if i < len(inputs) and alone(i, inputs)}
    same = {
        n: i
        for n, i in fits.items()
        if n < len(graph.outputs) and graph.outputs[n].shape == tuple(inputs[i].shape)
    }
    return replace(graph, updates={**states, **same})


def alone(index: int, inputs: Tensors) -> bool:
    """Whether an input shares no memory with another one."""
    begin, end = extent(inputs[index])
    others = (extent(x) for n, x in enumerate(inputs) if n != index)
    return all(stop <= begin or end <= start for start, stop in others)


def check(plan: Plan, inputs: Tensors, expected: Tensors, way: str) -> None:
    check_plan(plan)
    state = RandomState()
    planned = program(plan, inputs, state)
    before = [tensor.clone() for tensor in inputs]
    for byte in POISONS:
        apart = [o for n, o in enumerate(planned.buffers.outputs) if n not in plan.in_place]
        poison(planned.buffers.arena, apart, byte)
        state.seed(SEED)
        planned.run()
        found = [
            inputs[plan.replaced[n]] if n in plan.replaced else output
            for n, output in enumerate(planned.buffers.outputs)
        ]
        assert_same_bits(found, expected, way)
        changed = set(plan.replaced.values())
        for n, (tensor, old) in enumerate(zip(inputs, before, strict=True)):
            assert n in changed or torch.equal(tensor.isnan(), old.isnan()), way
            tensor.copy_(old)


@settings(
    max_examples=GRAPHS,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(examples())
def run_examples(example: Example) -> None:
    note(example.text)
    graph = traced(example)
    if graph is None:
        REACHED["no gradient"] += 1
        return
    inputs = example.inputs
    answers: dict[bool, Tensors] = {}  # by whether the plan computes elements together
    strides = {i: t.stride() for i, t in enumerate(inputs) if not t.is_contiguous()}
    for number, (fuse, reuse, tile) in enumerate(WAYS):
        way = f"fuse={fuse}, reuse={reuse}, tiles of {tile} bytes"
        written = replacing(graph, inputs, number % 2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tiling, "TILE", tile)
            plan = make_plan(written, strides, switched=Switches(fusion=fuse, reuse=reuse))
        note(str(plan))
        if fuse not in answers:
            answers[fuse] = node_by_node(graph.outputs, inputs, orders(plan))
        check(plan, inputs, answers[fuse], way)
        REACHED["in place"] += len(plan.in_place)
        REACHED["replaced at the end"] += sum(len(stage.updates) for stage in plan.stages)
    check_plan(make_plan(replacing(graph, inputs, 0), strides, in_registers=True))
    REACHED["graphs"] += 1


REACHED: Counter[str] = Counter()


def test_passes_equal_node_by_node() -> None:
    REACHED.clear()
    run_examples()
    assert REACHED["graphs"] > GRAPHS / 2
    assert REACHED["in place"] > GRAPHS / 20
    assert REACHED["replaced at the end"] > GRAPHS / 20
