"""Where the values of kernels lie: in an output, in the place of another value, or in the arena."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..expressions.expr import Expr
from ..expressions.layout import Layout
from ..graph.trace import Graph
from ..scheduling.schedule import Kernel
from ..scheduling.scheduled import Scheduled
from .lifetimes import (
    Times,
    hosted_in_results,
    hosted_in_what_is_read,
    lent,
    lifetimes_of,
    times_of,
)
from .memory import Lifetime, aligned, allocate


@dataclass(frozen=True)
class Place:
    """The memory of a value: bytes of the arena, or one of the graph's outputs."""

    output: int | None
    offset: int
    size: int


@dataclass(frozen=True)
class Placed:
    """The memory of all values of a plan; :class:`~tritonsym.planning.plan.Plan` has the same."""

    places: Mapping[Expr, Place]
    hosted: Mapping[Expr, Expr]
    lifetimes: Mapping[Expr, Lifetime]
    in_place: frozenset[int]
    arena_size: int
    size_without_reuse: int


def placed(
    graph: Graph,
    scheduled: Scheduled,
    kept: Collection[int],
    reuse: bool,
    in_registers: bool,
) -> Placed:
    """The places of everything that kernels write.

    Args:
        kept: inputs into which nothing is written straight.
        reuse: let values take the memory of values that are no longer needed.
        in_registers: whether inner values of kernels have no memory at all.
    """
    where, owners, tilings = scheduled.layouts, scheduled.owners, scheduled.tilings
    times = times_of(scheduled.kernels, tilings, where, graph.outputs, in_registers)
    makers = {x: part for kernel in scheduled.kernels for part in kernel.each for x in part.outputs}
    in_place = frozenset(
        number
        for x, number in owners.items()
        if number in graph.updates
        and graph.updates[number] not in kept
        and _fits_in_place(x, graph.updates[number], graph.outputs, makers[x], where, times)
    )
    in_outputs = dict(owners)
    hosted: dict[Expr, Expr] = {}
    if reuse:
        in_inputs = {x for x, number in owners.items() if number in in_place}
        in_outputs.update(lent(times, where, scheduled.stage_of, owners, in_place))
        hosted.update(hosted_in_results(tilings, in_inputs, times, where))
        hosted.update(hosted_in_what_is_read(tilings, {*in_outputs, *hosted}, times, where))
    values, lifetimes = lifetimes_of(times, where, {*in_outputs, *hosted})
    offsets, arena_size = allocate(lifetimes, reuse)
    places = {
        x: Place(None, offset, lifetime.size)
        for x, lifetime, offset in zip(values, lifetimes, offsets, strict=True)
    }
    places.update({x: Place(number, 0, x.byte_count) for x, number in in_outputs.items()})
    places.update({x: places[host] for x, host in hosted.items()})
    return Placed(
        places=places,
        hosted=hosted,
        lifetimes=dict(zip(values, lifetimes, strict=True)),
        in_place=in_place,
        arena_size=arena_size,
        size_without_reuse=sum(aligned(times.sizes[x]) for x in times.first if x not in owners),
    )


def _fits_in_place(
    x: Expr,
    index: int,
    outputs: Sequence[Expr],
    maker: Kernel,
    where: Mapping[Expr, Layout],
    times: Times,
) -> bool:
    """Whether a value can be written straight into the input that it replaces.

    It can where the input's elements are not read after it, nor side by side with it, and in its
    own pass only the one that is about to be written.
    """

    def is_input(base: Expr) -> bool:
        return base.primitive == "input" and base["index"] == index

    if not x.is_elementwise or maker.form != "pointwise" or not where[x].is_dense(x.shape):
        return False
    last = times.read.get(index, -1)
    if times.until[x] < last or any(is_input(where[y].base) for y in outputs):
        return False
    if times.first[x] <= last and times.readers[index] != {times.part[x]}:
        return False
    reads = [(z, y) for z in maker.body for y in z.inputs if is_input(where[y].base)]
    seen = maker.body.index(x)
    return all(
        y.primitive == "input"
        and where[y].is_dense(y.shape)
        and y.shape == x.shape
        and y.dtype is x.dtype
        and maker.body.index(z) <= seen
        for z, y in reads
    )
