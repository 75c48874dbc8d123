"""Whether a plan's memory is sound, found out without any of the planner's code.

Knows what a plan says and what its steps read and write; nothing of how places are chosen.
"""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tritonsym.expressions.expr import REDUCTIONS, SOURCES, Expr
from tritonsym.planning.plan import Plan
from tritonsym.scheduling.schedule import Kernel

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
    check_tiles(plan)
    schedule = _Schedule(plan)
    spaces: dict[int | None, list[Expr]] = {}
    for x in schedule.first:
        if x in plan.hosted:
            check_hosted(plan, schedule, x, plan.hosted[x])
            continue
        spaces.setdefault(plan.places[x].output, []).append(x)
    for space, held in spaces.items():
        number = {x: position for position, x in enumerate(held)}
        uses = []
        for x in held:
            place, replaced = plan.places[x], schedule.may_replace(x)
            assert place.offset % ALIGNMENT == 0, f"{x} is not aligned"
            if space is None:
                assert place.offset + place.size <= plan.arena_size, f"{x} lies outside the arena"
            else:
                check_output(plan, space, x)
            assert place.size >= schedule.bytes_needed(x), f"{x} does not fit"
            uses.append(
                Use(
                    place.offset,
                    place.offset + place.size,
                    schedule.first[x],
                    schedule.last[x],
                    frozenset(number[y] for y in replaced if y in number),
                )
            )
        found = conflict(uses)
        assert found is None, (
            f"{held[found[0]]} and {held[found[1]]} share memory while both are in use"
        )
    for number, index in plan.replaced.items():
        if number in plan.in_place:
            check_in_place(plan, schedule, number, index)


def check_tiles(plan: Plan) -> None:
    """A tile has all that its values are computed from: no reduction goes beyond it."""
    for kernel, tiling in plan.tilings.items():
        assert tiling.rows > 0
        sizes = {x.size for x in kernel.body}
        if tiling.flat:
            assert sizes == {math.prod(tiling.shape)}, "tiles of one axis need equal sizes"
            read = [y for x in kernel.body for y in x.inputs]
            read = [y for y in read if any(plan.layouts[y].strides) and y.primitive != "draw"]
            orders = {_order(plan.layouts[y].strides, y.shape) for y in (*kernel.body, *read)}
            assert len(orders) == 1, "tiles of one axis need values in one order"
        for x in kernel.body:
            if x.primitive in REDUCTIONS:
                cut = range(tiling.axis + 1)
                assert not set(cut) & set(x.integers("axes")), f"{x} reduces what is cut"
            elif not tiling.flat:
                assert x.shape[: tiling.axis + 1] == tiling.shape[: tiling.axis + 1]


def _order(strides: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """The longer axes of a dense array, the innermost first."""
    axes = sorted((n for n in range(len(shape)) if shape[n] > 1), key=lambda n: strides[n])
    for number, axis in enumerate(axes):
        inner = math.prod(shape[n] for n in axes[:number])
        assert strides[axis] == inner, f"{list(shape)} with strides {list(strides)} is not dense"
    return tuple(axes)


def check_hosted(plan: Plan, schedule: _Schedule, x: Expr, host: Expr) -> None:
    """A value in another's place is read for the last time when the next one is written there.

    All tiles of both are the same elements, so that no tile reaches into another one's.
    """
    kernel = schedule.kernel[x]
    assert kernel in plan.tilings and plan.places[x] == plan.places[host]
    assert x not in kernel.outputs, f"{x} is needed outside its tile"
    assert (x.size, x.dtype.itemsize) == (host.size, host.dtype.itemsize)
    assert plan.places[x].output not in plan.in_place, f"{x} lies in an input"
    guests = [y for y in kernel.body if plan.hosted.get(y) is host]
    if host in kernel.outputs:
        chain = [*guests, host]
    else:
        chain = [host, *guests]
        check_given_up(plan, schedule, kernel, host, guests[0])
    for y, follower in pairwise(chain):
        readers = [z for z in kernel.body if any(plan.layouts[v].base is y for v in z.inputs)]
        assert readers[-1] is follower, f"{follower} is written over {y}, which is read later"
        assert y in schedule.may_replace(follower), f"{follower} reads {y} in another order"


def check_given_up(
    plan: Plan, schedule: _Schedule, kernel: Kernel, host: Expr, guest: Expr
) -> None:
    """A value that a tiled kernel writes over is read by nobody later, nor by another tile."""
    assert plan.places[host].output is None and host not in plan.hosted
    position = plan.kernels.index(kernel)
    for number, other in enumerate(plan.kernels):
        for z in other.body:
            for y in z.inputs:
                if plan.layouts[y].base is host:
                    assert number <= position, f"{z} reads {host}, which was written over"
                    in_order = schedule.in_order(y, guest)
                    assert number < position or in_order, f"{z} reads {host} across tiles"
    assert all(plan.layouts[y].base is not host for y in plan.outputs)


def check_output(plan: Plan, number: int, x: Expr) -> None:
    """A value in an output's memory is that output, or one that makes room for it in time."""
    wanted = plan.outputs[number]
    assert number not in plan.in_place or plan.layouts[wanted].base is x
    assert (x.size, x.dtype.itemsize) == (wanted.size, wanted.dtype.itemsize), f"{x} does not fit"
    assert plan.layouts[wanted].base in plan.places, f"{x} lies in {wanted}, which is copied"
    if plan.layouts[wanted].base is not x:
        assert stage_of(plan, x) == stage_of(plan, plan.layouts[wanted].base), (
            f"{x} lies in {wanted} between two stages, where its owner may write"
        )


def stage_of(plan: Plan, x: Expr) -> int:
    """The stage whose kernels compute a value."""
    number = next(n for n, kernel in enumerate(plan.kernels) if x in kernel.body)
    return next(n for n, stage in enumerate(plan.stages) if number < stage.end)


def check_in_place(plan: Plan, schedule: _Schedule, number: int, index: int) -> None:
    """An input that is written over is not read later, and until then only at the same place."""
    written = plan.layouts[plan.outputs[number]].base
    for kernel in plan.kernels:
        for x in kernel.body:
            for y in x.inputs:
                base = plan.layouts[y].base
                if base.primitive != "input" or base["index"] != index:
                    continue
                if schedule.kernel[written] is kernel:
                    parts = [part for part in kernel.parts or (kernel,) if x in part.body]
                    beside = any(written not in part.outputs for part in parts)
                    assert not beside, f"{x} reads beside {written} what that is written over"
                    body = parts[0].body
                    before = body.index(x) <= body.index(written)
                    assert before, f"{x} reads what {written} wrote"
                    assert y is base, f"{x} reads a view of what {written} is written over"
                    assert y.shape == written.shape and x.is_elementwise
                    assert plan.layouts[written].is_dense(written.shape)
                else:
                    ended = plan.kernels.index(kernel)
                    assert ended < plan.kernels.index(schedule.kernel[written]), (
                        f"{x} reads what {written} was written over"
                    )
    for output in plan.outputs:
        base = plan.layouts[output].base
        assert base.primitive != "input" or base["index"] != index, f"{output} was written over"


class _Schedule:
    """When a plan's values are written and last read.

    Steps are those of the CPU, one expression each. Where kernels keep inner values in registers,
    a kernel is one step, and its inner values have no memory.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.first: dict[Expr, int] = {}
        self.last: dict[Expr, int] = {}
        # Where each value is stored, or computed where it is not.
        self.kernel: dict[Expr, Kernel] = {}
        self.together: dict[Expr, Sequence[Expr]] = {}
        # What other parts of a value's kernel read at the same time.
        self.read_beside: dict[Expr, set[Expr]] = {}
        step = 0
        for kernel in plan.kernels:
            size = 1 if plan.in_registers else len(kernel.body)
            self._kernel(kernel, step, step + size - 1)
            self._parts(kernel)
            step += size
        for x in plan.outputs:
            base = plan.layouts[x].base
            if base.primitive not in SOURCES:
                assert base in self.first, f"the output {x} is never computed"
                self.last[base] = step

    def _kernel(self, kernel: Kernel, begin: int, end: int) -> None:
        repeated = kernel in self.plan.tilings
        computed: set[Expr] = set()
        for offset, x in enumerate(kernel.body):
            if x in self.kernel:
                # A value that stays in registers may be computed by each kernel that needs it.
                stored = (*kernel.outputs, *self.kernel[x].outputs)
                assert self.plan.in_registers and x not in stored, f"{x} is computed twice"
            step = begin if self.plan.in_registers else begin + offset
            for y in x.inputs:
                base = self.plan.layouts[y].base
                if base.primitive in SOURCES:
                    continue
                assert base in self.kernel, f"{x} reads {base} before it is computed"
                inside = base in computed
                lasting = base in self.kernel[base].outputs
                assert inside or lasting, f"{x} cannot see {base}"
                # A kernel that runs tile by tile reads what comes from outside until its end.
                if base in self.first:
                    until = end if repeated and (lasting or not inside) else step
                    self.last[base] = max(self.last[base], until)
            computed.add(x)
            self.kernel[x] = kernel
            self.together[x] = kernel.body if self.plan.in_registers else (x,)
            lasting = x in kernel.outputs
            if lasting or not self.plan.in_registers:
                over_all = repeated and lasting
                self.first[x] = begin if over_all else step
                self.last[x] = end if over_all else step

    def _parts(self, kernel: Kernel) -> None:
        """Parts of a kernel run in any order, or at once: none sees what another one writes."""
        if not kernel.parts:
            return
        assert self.plan.in_registers, "parts side by side are a GPU's"
        assert kernel.body == tuple(x for part in kernel.parts for x in part.body)
        assert kernel.outputs == tuple(x for part in kernel.parts for x in part.outputs)
        written = set(kernel.outputs)
        for part in kernel.parts:
            read = {self.plan.layouts[y].base for x in part.body for y in x.inputs}
            seen = (written & read) - set(part.body)
            assert not seen, f"{seen} is read beside the part that writes it"
            for x in part.outputs:
                self.together[x] = part.body
                others = {
                    self.plan.layouts[y].base
                    for other in kernel.parts
                    if other is not part
                    for z in other.body
                    for y in z.inputs
                }
                self.read_beside[x] = others

    def may_replace(self, x: Expr) -> list[Expr]:
        """The values whose memory ``x`` may write in the step that reads them.

        Whoever reads them in this step has to look at the very element that is written, and not
        at others: no views, no matrix products.
        """
        if not x.is_elementwise:
            return []
        readers = [(z, y, self.plan.layouts[y].base) for z in self.together[x] for y in z.inputs]
        # A product reads all of its operands for each of its elements, and what those come from.
        scattered = {
            z for z, _, _ in readers if not (z.is_elementwise or z.primitive in REDUCTIONS)
        }
        # Where all else goes element by element, what is put together is at hand, and not read.
        joined = {z for z in scattered if z.primitive == "concat"}
        at_hand = all(base in self.together[x] for z, _, base in readers if z in joined)
        if scattered == joined and at_hand:
            scattered -= joined
        for z in reversed(self.together[x]):
            if any(z in other.inputs for other in scattered):
                scattered.add(z)
        spoiled = {base for z, y, base in readers if z in scattered or not self.in_order(y, x)}
        spoiled |= self.read_beside.get(x, set())
        return list({base: None for _, _, base in readers if base not in spoiled})

    def in_order(self, y: Expr, x: Expr) -> bool:
        """Whether element i of a value that is read lies where element i of ``x`` is written."""
        read, written = self.plan.layouts[y], self.plan.layouts[x]
        starts = read.offset == written.offset == 0
        sizes = (read.base.size, y.dtype.itemsize) == (x.size, x.dtype.itemsize)
        return starts and sizes and (y.shape, read.strides) == (x.shape, written.strides)

    def bytes_needed(self, x: Expr) -> int:
        tiling = self.plan.tilings.get(self.kernel[x])
        if tiling is None or x in self.kernel[x].outputs:
            return x.size * x.dtype.itemsize
        if tiling.flat:
            return tiling.rows * x.dtype.itemsize
        return math.prod((tiling.rows, *x.shape[tiling.axis + 1 :])) * x.dtype.itemsize
