"""Loads are early where there are registers for them, and late where there are not."""

from __future__ import annotations

import pytest

from tritonsym.expressions import expr
from tritonsym.expressions.expr import Expr
from tritonsym.foundation.dtype import BY_NAME
from tritonsym.kernels.registers import AHEAD, MOST, ordered

SHAPE = (4, 8)


def chain(count: int, dtype: str = "float32") -> tuple[list[Expr], list[Expr]]:
    """Arrays, and the additions that sum them up one after the other."""
    reads = [expr.input_(i, SHAPE, BY_NAME[dtype]) for i in range(count)]
    body, total = [], reads[0]
    for x in reads[1:]:
        total = expr.make("add", total, x)
        body.append(total)
    return reads, body


def test_a_few_loads_come_first() -> None:
    reads, body = chain(5)
    order = ordered(reads, body, body[-1:], 8)
    assert list(order.steps) == [*reads, *body]
    assert order.peak == 6, "all that is read, and the first sum"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("elements", [1, 8, 32, 100])
def test_many_loads_come_when_there_is_room(elements: int, dtype: str) -> None:
    reads, body = chain(60, dtype)
    order = ordered(reads, body, body[-1:], elements)
    place = {x: number for number, x in enumerate(order.steps)}
    assert sorted(place, key=place.__getitem__) == list(order.steps), "each of them once"
    assert {*order.steps} == {*reads, *body}
    assert all(place[y] < place[x] for x in body for y in x.inputs)
    width = 2 if dtype == "float64" else 1
    # Two operands and their sum are there in any case.
    assert order.peak * elements <= max(AHEAD + elements * width, 3 * elements * width)


def test_what_is_stored_stays() -> None:
    reads, body = chain(60)
    order = ordered(reads, body, body, 8)
    assert order.peak >= len(body) > MOST // 8
    assert not order.fits(8) and order.fits(2)


def test_results_of_rows_take_no_room() -> None:
    reads, _ = chain(3)
    sums = [expr.make("sum", x, axes=(1,)) for x in reads]
    order = ordered(reads, sums, sums, 128, lambda x: x.shape == SHAPE)
    assert list(order.steps) == [y for pair in zip(reads, sums, strict=True) for y in pair]
    assert order.peak == 1


def test_what_nothing_computes_of_is_loaded_as_well() -> None:
    reads, _ = chain(2)
    assert ordered(reads, [], reads, 1).steps == tuple(reads)
