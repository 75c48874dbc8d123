"""Random graphs give the same bits planned, in every way to make a plan, and node by node."""

from __future__ import annotations

import importlib
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, given, note, settings

from graphs import OPERATORS, RECIPES, Example, examples, grown
from memory_checker import check_plan
from tritonsym.context import cpu
from tritonsym.expressions.expr import SOURCES, VIEWS, Expr
from tritonsym.expressions.philox import RandomState, default_state
from tritonsym.expressions.reference import prepare, run, scalar
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import as_dtype
from tritonsym.foundation.switches import Switches
from tritonsym.graph.infer import infer_shapes
from tritonsym.graph.node import toposort as toposort_nodes
from tritonsym.graph.trace import Graph, trace
from tritonsym.ndarray import NDArray
from tritonsym.planning.plan import Plan, make_plan
from tritonsym.products.gpus import H100
from tritonsym.rewrites.simplify import simplify
from tritonsym.runtime.cpu import program
from tritonsym.scheduling import tiling

GRAPHS = int(os.environ.get("TRITONSYM_FUZZ_GRAPHS", "2000"))
SEED = 7
# What memory holds before a run: NaN in every floating-point type, or large numbers.
POISONS = (0xFF, 0x72)
# fuse, reuse, bytes of a tile
WAYS = (
    (True, True, 64),
    (True, True, tiling.TILE),
    (True, False, 64),
    (False, True, tiling.TILE),
    (False, False, tiling.TILE),
)
Tensors = Sequence[torch.Tensor]

fuzzed = settings(
    max_examples=GRAPHS,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# Arrays are small here; threads would only get in each other's way.
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def each_expression_is_a_call() -> Iterator[None]:
    """Calls for several expressions at once round otherwise; they have tests of their own."""
    module = importlib.import_module(program.__module__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "with_norms", lambda calls, outputs: calls)
        patch.setattr(module, "with_updates", lambda body, *rest: body)
        yield


def orders(plan: Plan) -> dict[Expr, tuple[int, ...]]:
    """The strides of the computed values whose last axis is not the innermost one."""
    return {
        x: layout.strides
        for x, layout in plan.layouts.items()
        if layout.base is x and x.primitive not in SOURCES and not layout.is_dense(x.shape)
    }


def node_by_node(
    outputs: Sequence[Expr], inputs: Tensors, strides: Mapping[Expr, tuple[int, ...]]
) -> list[torch.Tensor]:
    """Every expression in memory of its own; movements as torch does them, views where it can.

    A library that computes along another axis may sum up in another order: ``strides`` says where.
    All calls are prepared before the first one is made, as a program's are: a recurrent layer whose
    gradients are wanted too rounds otherwise than one whose are not.
    """
    state = RandomState(SEED)
    values: dict[Expr, torch.Tensor] = {}
    calls: list[Callable[[], object]] = []
    for x in toposort(outputs):
        sources = [values[y] for y in x.inputs]
        match x.primitive:
            case "input":
                values[x] = inputs[x.integer("index")]
            case "constant":
                values[x] = scalar(x)
            case "draw":
                (values[x],) = run([x], [], state)
            case "reshape":
                values[x] = sources[0].reshape(x.shape)
                calls.append(partial(reshape_into, values[x], sources[0]))
            case "permute":
                values[x] = sources[0].permute(x.integers("axes"))
            case "expand":
                values[x] = sources[0].expand(x.shape)
            case "slice":
                bounds = zip(x["starts"], x["stops"], x["steps"], strict=True)
                values[x] = sources[0][tuple(slice(*bound) for bound in bounds)]
            case _:
                values[x] = empty_like(x, strides.get(x))
                calls.append(prepare(x, sources, values[x]))
    for call in calls:
        call()
    return [values[x].clone() for x in outputs]


def reshape_into(out: torch.Tensor, data: torch.Tensor) -> None:
    """What a reshape is once its data are there; nothing where it is a view of them."""
    out.copy_(data.reshape(out.shape))


def empty_like(x: Expr, strides: tuple[int, ...] | None) -> torch.Tensor:
    """New memory for a value, in row-major order or with these strides."""
    found = torch.empty(x.shape, dtype=x.dtype.torch)
    return found if strides is None else found.as_strided(x.shape, strides)


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The bits of every element, all NaN made one."""
    if not tensor.dtype.is_floating_point:
        return tensor.contiguous()
    plain = torch.where(torch.isnan(tensor), torch.full_like(tensor, float("nan")), tensor)
    whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return plain.contiguous().view(whole)


def assert_same_bits(got: Tensors, expected: Tensors, way: str) -> None:
    for number, (mine, other) in enumerate(zip(got, expected, strict=True)):
        assert (mine.dtype, mine.shape) == (other.dtype, other.shape), f"output {number}, {way}"
        if not torch.equal(bits(mine), bits(other)):
            wrong = (bits(mine) != bits(other)).reshape(-1).nonzero().reshape(-1)[:5]
            raise AssertionError(
                f"output {number}, {way}: elements {wrong.tolist()} are "
                f"{mine.reshape(-1)[wrong].tolist()}, not {other.reshape(-1)[wrong].tolist()}"
            )


def extent(tensor: torch.Tensor) -> tuple[int, int]:
    """The first byte of a tensor and the byte after its last."""
    if tensor.numel() == 0:
        return 0, 0
    reach = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (reach + 1) * tensor.element_size()


def assert_apart(outputs: Tensors, others: Tensors) -> None:
    """No output shares memory with another one, nor with any of the others."""
    held = sorted((*extent(tensor), number) for number, tensor in enumerate((*outputs, *others)))
    reach, holder = 0, -1
    for begin, end, number in held:
        if begin < reach:
            assert min(number, holder) >= len(outputs), "an output shares memory"
        if end > reach:
            reach, holder = end, number


def poison(arena: torch.Tensor, outputs: Tensors, byte: int) -> None:
    arena.fill_(byte)
    for output in outputs:
        output.view(-1).view(torch.uint8).fill_(byte if output.dtype is not torch.bool else 1)


def check_runs(plan: Plan, inputs: Tensors, answers: Sequence[Tensors], way: str) -> None:
    """Run a plan three times, with other rubbish in its memory and then with other inputs."""
    check_plan(plan)
    state = RandomState()
    planned = program(plan, inputs, state)
    arena, outputs = planned.buffers.arena, planned.buffers.outputs
    assert_apart(outputs, [*inputs, arena])
    before = [tensor.clone() for tensor in inputs]
    for byte in POISONS:
        poison(arena, outputs, byte)
        state.seed(SEED)
        planned.run()
        assert_same_bits(outputs, answers[0], way)
    assert_same_bits(inputs, before, f"{way}: the inputs were changed")
    turn(inputs)
    state.seed(SEED)
    planned.run()
    assert_same_bits(outputs, answers[1], f"{way}, with new inputs")
    for tensor, old in zip(inputs, before, strict=True):
        tensor.copy_(old)


def turn(tensors: Tensors) -> None:
    """Put other values into the inputs: each one's own in reverse order."""
    for storage in {tensor.data_ptr(): tensor for tensor in tensors}.values():
        storage.copy_(storage.flip(tuple(range(storage.ndim))))


def answers_for(plan: Plan, inputs: Tensors) -> list[Tensors]:
    """What a plan's outputs should be for the inputs, and for the inputs turned."""
    outputs, strides = plan.outputs, orders(plan)
    before = [tensor.clone() for tensor in inputs]
    answers: list[Tensors] = [node_by_node(outputs, inputs, strides)]
    turn(inputs)
    answers.append(node_by_node(outputs, inputs, strides))
    for tensor, old in zip(inputs, before, strict=True):
        tensor.copy_(old)
    return answers


@fuzzed
@given(examples())
def test_planned_equals_node_by_node(example: Example) -> None:
    note(example.text)
    executor = example.bind(cpu())
    inputs = example.inputs
    outputs = executor.plan.outputs
    answers = answers_for(executor.plan, inputs)

    default_state().seed(SEED)
    forward: list[NDArray] = executor.forward()
    assert_same_bits([array._tensor for array in forward], answers[0], "forward")

    shapes = example.symbol.infer_shape(**{k: v.shape for k, v in example.arrays.items()})[1]
    kinds = example.symbol.infer_type(**{k: v.dtype for k, v in example.arrays.items()})[1]
    assert [array.shape for array in forward] == shapes
    assert [as_dtype(array._tensor.dtype).numpy for array in forward] == kinds

    graph = Graph(outputs, executor.plan.origins)
    strides = {i: t.stride() for i, t in enumerate(inputs) if not t.is_contiguous()}
    for fuse, reuse, tile in WAYS:
        way = f"fuse={fuse}, reuse={reuse}, tiles of {tile} bytes"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tiling, "TILE", tile)
            plan = make_plan(graph, strides, switched=Switches(fusion=fuse, reuse=reuse))
        same = orders(plan) == orders(executor.plan)
        try:
            due = answers if same else answers_for(plan, inputs)
            check_runs(plan, inputs, due, way)
        except BaseException:
            note(str(plan))
            raise

    check_plan(gpu_plan(example, strides))


def gpu_plan(example: Example, strides: dict[int, tuple[int, ...]]) -> Plan:
    """The plan for a GPU, where kernels keep their inner values in registers."""
    entries, arrays = example.symbol._entries, example.arrays
    shapes = infer_shapes(
        toposort_nodes(entries), {name: array.shape for name, array in arrays.items()}
    )
    dtypes = {name: as_dtype(array._tensor.dtype) for name, array in arrays.items()}
    graph = simplify(trace([entries], shapes, dtypes, native=False))
    return make_plan(graph, strides, in_registers=True, gpu=H100)


def test_every_operator_is_grown() -> None:
    missing = [name for name in OPERATORS if name not in RECIPES]
    assert not missing, f"tests/graphs.py has no recipe for {missing}"


def test_graphs_reach_every_operator_and_every_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """What graphs do not contain would not be tested by them."""
    monkeypatch.setattr(tiling, "TILE", 64)
    choose = random.Random(SEED)
    reached: Counter[str] = Counter()
    for _ in range(600):
        example = grown([choose.getrandbits(32) for _ in range(choose.randint(4, 42))])
        reached.update(n.op.name for n in toposort_nodes(example.symbol._entries) if n.op)
        plan = example.bind(cpu()).plan
        reached.update(f"output by {'copy' if n in plan.stages[0].copies else 'kernel'}"
                       for n in range(len(plan.outputs)))  # fmt: skip
        reached.update(
            f"{kernel.form} in {'flat tiles' if cut.flat else 'tiles'}"
            for kernel, cut in plan.tilings.items()
        )
        reached["tiles along a later axis"] += any(t.axis > 0 for t in plan.tilings.values())
        reached.update(
            f"{x.primitive} is a {'view' if layout.base is not x else 'copy'}"
            for x, layout in plan.layouts.items()
            if x.primitive in VIEWS
        )
        places = [plan.places[x] for x in plan.lifetimes]
        for number, lifetime in enumerate(plan.lifetimes.values()):
            over = lifetime.over
            if over is not None and places[over].offset == places[number].offset:
                reached["memory handed over"] += 1
        reached["memory reused"] += plan.arena_size < plan.size_without_reuse
        reached["channels last"] += bool(orders(plan))
        for kernel in plan.kernels:
            reached["several expressions in a kernel"] += len(kernel.body) > 1
            reached["several outputs of a kernel"] += len(kernel.outputs) > 1
    decisions = (
        *("output by copy", "output by kernel", "memory reused", "memory handed over"),
        *("pointwise in flat tiles", "pointwise in tiles", "rows in tiles"),
        *(
            "tiles along a later axis",
            "several expressions in a kernel",
            "several outputs of a kernel",
        ),
        *(f"{name} is a view" for name in VIEWS),
        "reshape is a copy",
    )
    assert {name: reached[name] for name in decisions if reached[name] < 20} == {}
    assert reached["channels last"] >= 3
    assert {name: reached[name] for name in OPERATORS if reached[name] < 2} == {}
