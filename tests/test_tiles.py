"""A kernel that is cut into tiles computes the same bits as the whole, in less memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from memory_checker import check_plan
from test_planned_equals_node_by_node import assert_same_bits
from tritonsym.expressions import layout
from tritonsym.expressions.expr import (
    Expr,
    Shape,
    broadcast,
    cast,
    dot,
    input_,
    iota,
    make,
    narrow,
    permute,
    random,
    reduce,
    reshape,
    where,
)
from tritonsym.expressions.philox import RandomState
from tritonsym.expressions.reference import VECTOR
from tritonsym.foundation.dtype import FLOAT32, INT32, DType, as_dtype
from tritonsym.graph.trace import Graph
from tritonsym.planning import lifetimes
from tritonsym.planning.plan import Plan, make_plan
from tritonsym.runtime.cpu import program
from tritonsym.scheduling import tiling

WHOLE = 2**30
SEED = 3


# Where torch cuts its work for threads it begins new vectors, in the whole and in tiles.
pytestmark = pytest.mark.usefixtures("one_thread")


def given(*shapes: Shape, dtype: DType = FLOAT32) -> list[Expr]:
    return [input_(number, shape, dtype) for number, shape in enumerate(shapes)]


def values(inputs: Sequence[Expr]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    drawn = (torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in inputs)
    return [(3 * x).to(one.dtype.torch) for x, one in zip(drawn, inputs, strict=True)]


def planned(outputs: Sequence[Expr], size: int, patch: pytest.MonkeyPatch) -> Plan:
    with patch.context() as inner:
        inner.setattr(tiling, "TILE", size)
        plan = make_plan(Graph(tuple(outputs), {}))
    check_plan(plan)
    return plan


def results(plan: Plan, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    state = RandomState(SEED)
    made = program(plan, tensors, state)
    made.buffers.arena.fill_(0xFF)
    made.run()
    return [output.clone() for output in made.buffers.outputs]


def normalised(x: Expr, axes: tuple[int, ...]) -> Expr:
    centred = x - reduce("sum", x, axes) * (1 / 7)
    return centred / make("sqrt", reduce("sum", centred * centred, axes) + 1e-3)


def layer_norm(dtype: DType) -> tuple[list[Expr], list[Expr]]:
    x, gamma, beta = inputs = given((123, 45), (45,), (45,), dtype=dtype)
    scale, shift = (broadcast(reshape(y, (1, 45)), x.shape) for y in (gamma, beta))
    return inputs, [normalised(x, (1,)) * scale + shift]


def several_outputs() -> tuple[list[Expr], list[Expr]]:
    (x,) = inputs = given((77, 3, 19))
    highest = reduce("max", x, (2,))
    exponents = make("exp", x - highest)
    total = reduce("sum", exponents, (2,))
    return inputs, [exponents / total, highest, make("log", total) * 2.0]


def inner_axis() -> tuple[list[Expr], list[Expr]]:
    x, y = inputs = given((3, 50, 40), (50, 1))
    return inputs, [normalised(x + broadcast(y, x.shape), (2,)) * 2.0]


def outer_product() -> tuple[list[Expr], list[Expr]]:
    a, b, c = inputs = given((90, 1), (1, 31), (90, 31))
    return inputs, [broadcast(a, c.shape) * broadcast(b, c.shape) + c]


def views() -> tuple[list[Expr], list[Expr]]:
    x, y = inputs = given((64, 100), (50, 130))
    turned, part = permute(x, (1, 0)), permute(narrow(y, 1, 10, 110), (1, 0))
    return inputs, [make("abs", narrow(turned, 1, 0, 50) - part) + 1.0]


def whole_numbers() -> tuple[list[Expr], list[Expr]]:
    (x,) = inputs = given((41, 33), dtype=INT32)
    places = cast(iota(x.shape, 1), INT32)
    best = reduce("max", x * places, (1,))
    return inputs, [where(x < best, x + 3, places), cast(reduce("argmax", x, (1,)), INT32)]


def noise() -> tuple[list[Expr], list[Expr]]:
    (x,) = inputs = given((4, 30, 11))
    drawn = random(x.shape, FLOAT32, 0)
    rows = random((4, 30, 1), FLOAT32, 1)
    return inputs, [normalised(x * drawn, (2,)) + rows]


CASES: dict[str, tuple[Callable[[], tuple[list[Expr], list[Expr]]], str]] = {
    **{f"layer norm {kind}": (lambda kind=kind: layer_norm(as_dtype(kind)), "rows")
       for kind in ("float16", "float32", "float64")},
    "several outputs": (several_outputs, "rows"),
    "inner axis": (inner_axis, "rows"),
    "outer product": (outer_product, "pointwise"),
    "views": (views, "pointwise"),
    "whole numbers": (whole_numbers, "rows"),
    "noise": (noise, "rows"),
}  # fmt: skip


@pytest.mark.parametrize("size", [400, 1000, 4096])
@pytest.mark.parametrize("name", CASES)
def test_tiles_compute_the_same_bits(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make_case, form = CASES[name]
    inputs, outputs = make_case()
    whole, cut = (planned(outputs, n, monkeypatch) for n in (WHOLE, size))
    assert not whole.tilings
    assert form in {kernel.form for kernel in cut.tilings}
    assert cut.arena_size <= whole.arena_size
    tensors = values(inputs)
    assert_same_bits(results(cut, tensors), results(whole, tensors), f"tiles of {size} bytes")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("primitive", ["sigmoid", "sinh", "pow", "hypot"])
def test_tiles_of_vectors_keep_what_depends_on_the_position(
    primitive: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = inputs = given((6000 + 7,), (6000 + 7,), dtype=as_dtype(dtype))
    operands = (make("abs", x), y) if primitive in ("pow", "hypot") else (x,)
    outputs = [make(primitive, *operands) + y]
    whole, cut = (planned(outputs, n, monkeypatch) for n in (WHOLE, 5000))
    ((tiles,),) = (cut.tilings.values(),)
    assert tiles.rows % VECTOR == 0
    tensors = values(inputs)
    assert_same_bits(results(cut, tensors), results(whole, tensors), "tiles of vectors")


def test_what_depends_on_the_position_is_not_cut_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = given((300, 5), (300, 1))
    shifted = make("sigmoid", x - broadcast(y, x.shape)) * 2.0
    # Sixty-four rows of five are whole vectors; fewer rows are not.
    (tiles,) = planned([shifted], 64 * 5 * 4 + 100, monkeypatch).tilings.values()
    assert tiles.rows == 64
    assert not planned([shifted], 63 * 5 * 4, monkeypatch).tilings


def test_rows_are_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    (x,) = given((4, 1000))
    assert not planned([normalised(x, (1,))], 999 * 4, monkeypatch).tilings
    assert not planned([normalised(x, (0,))], 999 * 4, monkeypatch).tilings
    (tiles,) = planned([normalised(x, (1,))], 2000 * 4, monkeypatch).tilings.values()
    assert (tiles.axis, tiles.rows, tiles.count) == (0, 2, 2)


def test_a_large_transposed_matrix_is_copied_where_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = inputs = given((70, 60), (60, 70))
    outputs = [x + permute(y, (1, 0))]
    plain = planned(outputs, WHOLE, monkeypatch)
    monkeypatch.setattr(layout, "TURNED", 70 * 60 * 4)
    turned = planned(outputs, WHOLE, monkeypatch)
    assert [k.body[0].primitive for k in plain.kernels] == ["add"]
    assert [k.body[0].primitive for k in turned.kernels] == ["permute", "add"]
    # The copy lies in the output until the sum takes its place.
    assert turned.arena_size == plain.arena_size == 0
    tensors = values(inputs)
    assert_same_bits(results(turned, tensors), results(plain, tensors), "a copy")


def test_a_transposed_matrix_is_a_view_for_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, z = given((70, 60), (60, 70), (60, 71))
    turned = permute(y, (1, 0))
    monkeypatch.setattr(layout, "TURNED", 70 * 60 * 4)
    several = [x + turned, make("exp", turned)]
    product = [dot(turned, y)]
    part = [x + permute(narrow(z, 1, 1, 71), (1, 0))]
    tiles = [(make("exp", x) + turned) * 2.0]
    for outputs, size in ((several, WHOLE), (product, WHOLE), (part, WHOLE), (tiles, 4000)):
        plan = planned(outputs, size, monkeypatch)
        assert all(k.body[0].primitive != "permute" for k in plan.kernels)


def test_a_weight_is_written_in_place_tile_by_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tile reads its part of the old weight before it writes it."""
    weight, gradient = inputs = given((77, 19), (77, 19))
    rate = broadcast(reshape(input_(2, (1,), FLOAT32), (1, 1)), weight.shape)
    graph = Graph((weight - gradient * 3 * rate,), {}, updates={0: 0})
    monkeypatch.setattr(tiling, "TILE", 1024)
    plan = make_plan(graph)
    check_plan(plan)
    (cut,) = plan.tilings.values()
    assert cut.flat and cut.count > 3 and plan.in_place == {0}
    tensors = [*values(inputs), torch.tensor([0.5])]
    due = tensors[0] - tensors[1] * 3 * 0.5
    made = program(plan, tensors, RandomState(SEED))
    made.run()
    torch.testing.assert_close(tensors[0], due, rtol=0, atol=0)


def test_inner_values_lie_in_what_is_read_for_the_last_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tile writes over the part of a stored value that no other tile reads."""
    (x,) = inputs = given((64, 64))
    stored = dot(x, x)
    outputs = [reduce("sum", make("tanh", stored - 1.0) + 1.0, (1,))]
    for wanted, hosts in ((outputs, {stored}), ([*outputs, stored], set())):
        plan, whole = (planned(wanted, size, monkeypatch) for size in (2048, WHOLE))
        assert plan.tilings and set(plan.hosted.values()) == hosts
        tensors = values(inputs)
        assert_same_bits(results(plan, tensors), results(whole, tensors), "tiles in their input")


def test_no_inner_value_lies_in_what_other_tiles_read(monkeypatch: pytest.MonkeyPatch) -> None:
    (x,) = given((64, 64))
    stored = dot(x, x)
    outputs = [reduce("sum", make("tanh", stored - permute(stored, (1, 0))) + 1.0, (1,))]
    plan = planned(outputs, 2048, monkeypatch)
    assert plan.tilings and not plan.hosted
    monkeypatch.setattr(lifetimes, "_is_read_in_order", lambda *_: True)
    with pytest.raises(AssertionError):
        planned(outputs, 2048, monkeypatch)
