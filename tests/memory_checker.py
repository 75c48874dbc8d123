"""Whether a plan's memory is sound, found out without any of the planner's code.

Knows what a plan says and what its steps read and write; nothing of how places are chosen.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tritonsym.expr import Expr
from tritonsym.layout import Layout
from tritonsym.plan import Plan

ALIGNMENT = 64


@dataclass(frozen=True)
class Use:
    """Bytes that hold something from the step that writes it to the last that reads it.

    Attributes:
        begin, end: bytes, the end exclusive.
        first, last: steps, inclusive.
        may_replace: numbers of uses whose very place it may take in the step that ends them.
    """

    begin: int
    end: int
    first: int
    last: int
    may_replace: frozenset[int] = frozenset()


def conflict(uses: Sequence[Use]) -> tuple[int, int] | None:
    """Two uses that overlap both in time and in memory, or None. O(n log n) comparisons."""
    order = sorted(range(len(uses)), key=lambda number: (uses[number].first, number))
    held: list[tuple[int, int]] = []  # (first byte, number), by place; they never overlap
    ending: list[tuple[int, int]] = []
    for number in order:
        use = uses[number]
        while ending and ending[0][0] < use.first:
            _, over = heapq.heappop(ending)
            at = bisect.bisect_left(held, (uses[over].begin, over))
            if at < len(held) and held[at][1] == over:
                del held[at]
        if use.begin == use.end:
            continue
        at = bisect.bisect_left(held, (use.begin, -1))
        if at and uses[held[at - 1][1]].end > use.begin:
            at -= 1
        while at < len(held) and held[at][0] < use.end:
            other = uses[held[at][1]]
            same_place = (other.begin, other.end) == (use.begin, use.end)
            handed_over = held[at][1] in use.may_replace and other.last == use.first
            if not (same_place and handed_over and other.first < use.first):
                return held[at][1], number
            del held[at]
        bisect.insort(held, (use.begin, number))
        heapq.heappush(ending, (use.last, number))
    return None


def check_plan(plan: Plan) -> None:
    """Raise an AssertionError where a step would read what is not there or no longer there."""
    steps = [(x, number) for number, kernel in enumerate(plan.kernels) for x in kernel.body]
    end_of_run = len(steps)
    first: dict[Expr, int] = {}
    last: dict[Expr, int] = {}
    kernel_of: dict[Expr, int] = {}
    span: dict[int, tuple[int, int]] = {}
    for step, (_, number) in enumerate(steps):
        span[number] = (span.get(number, (step, step))[0], step)
    for step, (x, number) in enumerate(steps):
        kernel = plan.kernels[number]
        begin, end = span[number]
        assert x not in first, f"{x} is computed twice"
        kernel_of[x] = number
        repeated = kernel in plan.tilings
        whole = not repeated or x in kernel.outputs
        first[x], last[x] = (begin, end) if repeated and whole else (step, step)
        for y in x.inputs:
            base = plan.layouts[y].base
            if base.primitive in ("input", "constant"):
                continue
            assert base in first, f"{x} reads {base} before it is computed"
            inside = kernel_of[base] == number
            assert inside or base in plan.kernels[kernel_of[base]].outputs, (
                f"{base} is read outside its kernel, but it is no output of it"
            )
            # A kernel that runs tile by tile reads what comes from outside until its end.
            inner = repeated and inside and base not in kernel.outputs
            last[base] = max(last[base], end if repeated and not inner else step)
    for x in plan.outputs:
        base = plan.layouts[x].base
        if base.primitive not in ("input", "constant"):
            assert base in first, f"the output {x} is never computed"
            last[base] = end_of_run

    numbers = {x: number for number, x in enumerate(first)}
    spaces: dict[int | None, list[Expr]] = {}
    for x in first:
        spaces.setdefault(plan.places[x].output, []).append(x)
    for output, held in spaces.items():
        if output is None:
            uses = [
                Use(
                    plan.places[x].offset,
                    plan.places[x].offset + plan.places[x].size,
                    first[x],
                    last[x],
                    frozenset(numbers[y] for y in may_replace(x, plan.layouts) if y in numbers),
                )
                for x in held
            ]
            renumbered = {numbers[x]: position for position, x in enumerate(held)}
            uses = [
                Use(
                    use.begin,
                    use.end,
                    use.first,
                    use.last,
                    frozenset(renumbered[n] for n in use.may_replace if n in renumbered),
                )
                for use in uses
            ]
            for x, use in zip(held, uses, strict=True):
                assert use.begin % ALIGNMENT == 0, f"{x} is not aligned"
                assert use.end <= plan.arena_size, f"{x} lies outside the arena"
                assert use.end - use.begin >= bytes_needed(x, plan, kernel_of), f"{x} does not fit"
            found = conflict(uses)
            assert found is None, (
                f"{held[found[0]]} and {held[found[1]]} share memory while both are in use"
            )
        else:
            assert len(held) == 1, f"{held} are all written to output {output}"
            assert held[0].size == plan.outputs[output].size
            assert held[0].dtype is plan.outputs[output].dtype


def may_replace(x: Expr, layouts: Mapping[Expr, Layout]) -> list[Expr]:
    """The inputs whose memory ``x`` may write while it reads them: it reads no other view of it."""
    if not x.is_elementwise:
        return []
    return [
        y
        for y in x.inputs
        if layouts[y].base is y and all(z is y for z in x.inputs if layouts[z].base is y)
    ]


def bytes_needed(x: Expr, plan: Plan, kernel_of: Mapping[Expr, int]) -> int:
    kernel = plan.kernels[kernel_of[x]]
    tiling = plan.tilings.get(kernel)
    if tiling is None or x in kernel.outputs:
        return x.size * x.dtype.itemsize
    return x.size // tiling.length * tiling.rows * x.dtype.itemsize
