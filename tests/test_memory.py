"""Places in the arena: never shared by what is needed at the same time, never more than without."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings, strategies

import tritonsym as mx
from memory_checker import ALIGNMENT, Use, check_plan, conflict
from tritonsym.expressions.expr import cast, concat, input_, narrow
from tritonsym.expressions.philox import RandomState
from tritonsym.foundation.dtype import FLOAT64, INT32
from tritonsym.graph.infer import infer_dtypes, infer_shapes
from tritonsym.graph.node import toposort
from tritonsym.graph.trace import Graph, trace
from tritonsym.planning import memory
from tritonsym.planning.memory import Lifetime, aligned, allocate
from tritonsym.planning.plan import Plan, make_plan
from tritonsym.products.gpus import H100
from tritonsym.runtime.cpu import program


@strategies.composite
def lifetimes(draw: strategies.DrawFn) -> list[Lifetime]:
    """Lifetimes in the order of their first steps; some may take the place of one that ends."""
    steps = draw(strategies.integers(1, 30))
    made: list[Lifetime] = []
    for first in sorted(draw(strategies.lists(strategies.integers(0, steps), max_size=40))):
        last = first + draw(strategies.integers(0, 6))
        size = draw(strategies.sampled_from((1, 8, 63, 64, 65, 128, 200, 1000, 5000)))
        ending = [
            number
            for number, other in enumerate(made)
            if other.last == first and other.first < first
        ]
        over = draw(strategies.sampled_from([None, *ending]))
        if over is not None:
            size = made[over].size
        made.append(Lifetime(size, first, last, over))
    return made


def uses(found: Sequence[Lifetime], offsets: Sequence[int]) -> list[Use]:
    return [
        Use(
            offset,
            offset + lifetime.size,
            lifetime.first,
            lifetime.last,
            frozenset() if lifetime.over is None else frozenset((lifetime.over,)),
        )
        for lifetime, offset in zip(found, offsets, strict=True)
    ]


# Few lifetimes are placed by their size, very many by their time: both ways are tried on few.
EITHER_WAY = pytest.mark.parametrize("many", [0, memory._MANY])


def placed(found: list[Lifetime], many: int) -> tuple[list[int], int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_MANY", many)
        return allocate(found)


@EITHER_WAY
@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(found=lifetimes())
def test_nothing_that_is_needed_is_overwritten(many: int, found: list[Lifetime]) -> None:
    offsets, size = placed(found, many)
    assert conflict(uses(found, offsets)) is None
    assert all(offset >= 0 and offset % ALIGNMENT == 0 for offset in offsets)
    ends = [offset + lifetime.size for offset, lifetime in zip(offsets, found, strict=True)]
    assert max(ends, default=0) <= size


@EITHER_WAY
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(found=lifetimes())
def test_reuse_never_needs_more_memory(many: int, found: list[Lifetime]) -> None:
    offsets, without = allocate(found, reuse=False)
    assert without == sum(aligned(lifetime.size) for lifetime in found)
    assert conflict([Use(u.begin, u.end, 0, 1) for u in uses(found, offsets)]) is None
    _, size = placed(found, many)
    assert size <= without
    # It is at least what is in use at once, where nothing is handed over.
    if all(lifetime.over is None for lifetime in found):
        most = max(
            (
                sum(aligned(other.size) for other in found if other.first <= at <= other.last)
                for at in {lifetime.first for lifetime in found}
            ),
            default=0,
        )
        assert size >= most


def test_a_training_pass_needs_no_more_than_is_live_at_once() -> None:
    """Values of a forward pass that stay until the backward pass reads them, in the other order."""
    sizes = [2949120, 1474560, 737280, 819200, 409600, 204800, 128000]
    steps = 4 * len(sizes)
    kept = [Lifetime(size, 2 * n, steps - n) for n, size in enumerate(sizes)]
    between = [Lifetime(size, 2 * n + 1, 2 * n + 1) for n, size in enumerate(sizes)]
    slopes = [Lifetime(size, steps - n, steps - n + 1) for n, size in enumerate(sizes)]
    found = sorted((*kept, *between, *slopes), key=lambda lifetime: lifetime.first)
    live = max(
        sum(aligned(x.size) for x in found if x.first <= step <= x.last)
        for step in range(steps + 2)
    )
    assert allocate(found)[1] == live


def test_a_chain_needs_two_places_or_one() -> None:
    chain = [Lifetime(100, step, step + 1) for step in range(50)]
    assert allocate(chain)[1] == 2 * 128
    handed_over = [Lifetime(100, step, step + 1, step - 1 if step else None) for step in range(50)]
    assert allocate(handed_over)[1] == 128
    assert allocate(handed_over, reuse=False)[1] == 50 * 128


def test_a_place_is_handed_over_once() -> None:
    found = [Lifetime(64, 0, 1), Lifetime(64, 1, 2, over=0), Lifetime(64, 1, 2, over=0)]
    offsets, size = allocate(found)
    assert offsets[1] != offsets[2]
    assert size == 128


def test_a_freed_place_is_cut() -> None:
    """Two small values share the place of a large one, and the rest of it is not lost."""
    found = [Lifetime(256, 0, 0), Lifetime(128, 1, 2), Lifetime(128, 1, 2)]
    assert allocate(found) == ([0, 0, 128], 256)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1000])
def test_sizes_are_rounded_up(size: int) -> None:
    assert size <= aligned(size) < size + ALIGNMENT
    assert aligned(size) % ALIGNMENT == 0


# ---- the checker itself --------------------------------------------------------------------------


def overlaps(uses_: Sequence[Use]) -> bool:
    """Every pair compared: what the checker has to agree with."""
    for number, use in enumerate(uses_):
        for other_number, other in enumerate(uses_):
            in_time = other.first <= use.first <= other.last
            in_memory = use.begin < other.end and other.begin < use.end
            handed_over = (
                other_number in use.may_replace
                and other.last == use.first > other.first
                and (other.begin, other.end) == (use.begin, use.end)
            )
            if number != other_number and in_time and in_memory and not handed_over:
                return True
    return False


@strategies.composite
def some_uses(draw: strategies.DrawFn) -> list[Use]:
    made: list[Use] = []
    for _ in range(draw(strategies.integers(0, 12))):
        begin, first = draw(strategies.integers(0, 60)), draw(strategies.integers(0, 12))
        length, span = draw(strategies.integers(1, 9)), draw(strategies.integers(0, 3))
        replaced = draw(strategies.sampled_from([None, *range(len(made))]))
        if replaced is not None and draw(strategies.booleans()):
            begin, length = made[replaced].begin, made[replaced].end - made[replaced].begin
            first = made[replaced].last
        allowed = frozenset(() if replaced is None else (replaced,))
        made.append(Use(begin, begin + length, first, first + span, allowed))
    return made


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(some_uses())
def test_the_checker_finds_what_comparing_every_pair_finds(found: list[Use]) -> None:
    assert (conflict(found) is not None) == overlaps(found)


# ---- plans ---------------------------------------------------------------------------------------


def test_memory_that_is_also_read_through_a_view_is_not_handed_over() -> None:
    """The sum would overwrite the row that its other elements still need."""
    x = mx.sym.Variable("x")
    y = mx.sym.exp(x)
    first_row = mx.sym.slice_axis(y, axis=0, begin=0, end=1)
    for both in (mx.sym.broadcast_add(y, first_row), y + mx.sym.transpose(y)):
        total = mx.sym.sum(both)
        executor = total.bind(mx.cpu(), {"x": mx.nd.zeros((3, 3))})
        check_plan(executor.plan)
        assert executor.forward()[0].asscalar() == 18


def test_what_a_product_reads_is_not_handed_over_to_what_follows_it() -> None:
    """On a GPU a kernel's programs run in any order, and each reads whole rows and columns."""
    x, weight = (mx.sym.Variable(name, shape=(32, 32), dtype="float16") for name in ("x", "weight"))
    y = mx.sym.exp(x)
    z = mx.sym.dot(y, weight) + y
    plan = gpu_plan(mx.sym.sum(mx.sym.transpose(z)))
    assert [kernel.form for kernel in plan.kernels] == ["pointwise", "matmul", "rows"]
    check_plan(plan)


def gpu_plan(symbol: mx.Symbol) -> Plan:
    """The plan for a GPU, whatever machine this is."""
    nodes = toposort(symbol._entries)
    shapes, dtypes = infer_shapes(nodes, {}), infer_dtypes(nodes, {})
    kinds = {n.name: dtypes.of(n) for n in nodes if n.op is None}
    graph = trace([symbol._entries], shapes, kinds, native=False)
    return make_plan(graph, in_registers=True, gpu=H100)


def test_a_long_chain_of_reductions_lives_in_little_memory() -> None:
    y = mx.sym.Variable("x")
    for _ in range(40):
        y = mx.sym.broadcast_add(y, mx.sym.max(y, axis=0, keepdims=True))
    executor = y.bind(mx.cpu(), {"x": mx.nd.ones((32, 32))})
    check_plan(executor.plan)
    assert executor.plan.arena_size <= 3 * 32 * 32 * 4
    assert executor.plan.size_without_reuse > 30 * 32 * 32 * 4


def test_a_wider_number_does_not_take_the_place_of_two_narrow_ones() -> None:
    """As many bytes are not the same elements: torch refuses to write over what it reads."""
    x = input_(0, (1, 1), INT32)
    pair = concat([x, x + 1], 0)
    wide = cast(narrow(pair, 0, 0, 1), FLOAT64)
    graph = Graph((wide * 2 + 1,))
    plan = make_plan(graph)
    check_plan(plan)
    made = program(plan, [torch.tensor([[3]], dtype=torch.int32)], RandomState(1))
    made.run()
    assert made.buffers.outputs[0].item() == 7
