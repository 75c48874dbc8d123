"""The plan: every step that a bound graph takes, and where each value lies. Printable data."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..expressions.expr import SOURCES, Expr
from ..expressions.layout import Layout, layouts, turned
from ..graph.trace import Graph
from ..products.attention import with_attention
from ..products.gpus import Gpu
from ..products.products import chosen
from ..rewrites.reciprocals import with_reciprocals
from ..rewrites.regroup import regrouped
from ..rewrites.split import split
from ..scheduling.combine import combined
from ..scheduling.prologue import with_prologues
from ..scheduling.refine import refined
from ..scheduling.schedule import Kernel, Refusal, schedule, stages_of
from ..scheduling.tiling import Tiling, tiling_of
from .lifetimes import (
    Times,
    byte_count,
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
class Stage:
    """A part of a plan that runs on its own, after those before it.

    Attributes:
        end: how many of the plan's kernels have run by its end.
        copies: numbers of the outputs that are copied from elsewhere when its kernels have run:
            those that are an input, a constant, a view, or the same value as another output.
        updates: numbers of the outputs that are copied into the inputs that they replace, after
            everything else.
    """

    end: int
    copies: tuple[int, ...]
    updates: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """How a graph is computed.

    Attributes:
        kernels: in the order in which they run.
        stages: the parts that run on their own; a forward pass alone is one.
        tilings: of the kernels that run tile by tile.
        layouts: of every expression.
        places: of every expression that a kernel writes. What lives only within a tiled kernel
            has the size of one tile, or the place of its host.
        hosted: values that live only within a tiled kernel and lie in the place of another one, the
            host: a result, which is then written over them, or what nobody reads after them.
        lifetimes: of what is in the arena.
        outputs: the graph's outputs.
        replaced: the outputs that replace an input, by number: its index.
        in_place: those of them that are written straight into the input.
        arena_size, size_without_reuse: in bytes.
        in_registers: whether inner values of kernels have no memory at all.
        refusals: what was not computed together: a value, its reader, and why.
        origins: the names of the nodes that expressions were made for.
    """

    kernels: tuple[Kernel, ...]
    stages: tuple[Stage, ...]
    tilings: Mapping[Kernel, Tiling]
    layouts: Mapping[Expr, Layout]
    places: Mapping[Expr, Place]
    hosted: Mapping[Expr, Expr]
    lifetimes: Mapping[Expr, Lifetime]
    outputs: tuple[Expr, ...]
    replaced: Mapping[int, int]
    in_place: frozenset[int]
    arena_size: int
    size_without_reuse: int
    in_registers: bool
    refusals: tuple[tuple[Expr, Expr, str], ...]
    origins: Mapping[Expr, tuple[str, ...]]

    @property
    def runs_python(self) -> bool:
        """Whether a kernel of it is a caller's Python code."""
        return any(kernel.runs_python for kernel in self.kernels)

    def __str__(self) -> str:
        from . import plan_text  # printing stands above planning

        return plan_text.text(self)

    def to_html(self) -> str:
        """The plan as HTML that needs nothing from elsewhere."""
        from . import plan_html  # printing stands above planning

        return plan_html.html(self)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.to_html()


def make_plan(
    graph: Graph,
    input_strides: Mapping[int, tuple[int, ...]] | None = None,
    *,
    fuse: bool = True,
    reuse: bool = True,
    in_registers: bool = False,
    gpu: Gpu | None = None,
    precision: str = "ieee",
    guarded: Collection[int] = (),
) -> Plan:
    """The plan of a graph.

    Args:
        graph: what is to be computed.
        input_strides: in elements, of bound arrays that are not contiguous, by index.
        fuse: compute elementwise expressions together.
        reuse: let values take the memory of values that are no longer needed.
        in_registers: kernels keep inner values in registers, as on a GPU. Without it every value
            has memory, and long kernels are cut into tiles.
        gpu: for which kernels of matrix products are generated; without it a library does them.
        precision: of such products of float32, one of `switches.PRECISIONS`.
        guarded: inputs that are replaced at the end of a stage and not before.
    """
    strides = input_strides or {}
    if fuse and in_registers:
        graph, in_parts = split(graph, strides)
        graph = regrouped(graph, strides, in_parts)
        if gpu is not None:
            graph = with_attention(graph, strides, gpu)
        graph = with_reciprocals(graph)
    if gpu is not None:
        graph = chosen(graph, strides, gpu, precision)
    stage_of = stages_of(graph.outputs, graph.ends, graph.updates)
    if fuse and not in_registers:
        where = _on_cpu(graph, stage_of, strides)
    else:
        where = layouts(list(stage_of), strides)
    kernels, refusals = schedule(graph.outputs, where, fuse, stage_of, in_registers)
    if fuse and in_registers:
        kernels = refined(kernels, graph.outputs, where, stage_of)
        if gpu is not None:
            kernels, reasons = with_prologues(kernels, graph.outputs, where, stage_of, gpu)
            refusals = tuple((x, y, reasons.get((x, y), why)) for x, y, why in refusals)
        refusals = _still_apart(refusals, kernels)
    owners, copies = _output_owners(graph.outputs, where)
    if fuse and in_registers:
        updates = {x: graph.updates[n] for x, n in owners.items() if n in graph.updates}
        kernels = combined(kernels, where, stage_of, updates)
    found = ((kernel, tiling_of(kernel, where)) for kernel in kernels if not in_registers)
    tilings = {kernel: tiling for kernel, tiling in found if tiling is not None}
    times = times_of(kernels, tilings, where, graph.outputs, in_registers)
    parts = [part for kernel in kernels for part in kernel.each]
    makers = {x: part for part in parts for x in part.outputs}
    in_place = frozenset(
        number
        for x, number in owners.items()
        if number in graph.updates
        and graph.updates[number] not in guarded
        and graph.updates[number] not in strides
        and _fits_in_place(x, graph.updates[number], graph.outputs, makers[x], where, times)
    )
    in_outputs = dict(owners)
    hosted: dict[Expr, Expr] = {}
    if reuse:
        in_inputs = {x for x, number in owners.items() if number in in_place}
        in_outputs.update(lent(times, where, stage_of, owners, in_place))
        hosted.update(hosted_in_results(tilings, in_inputs, times, where))
        hosted.update(hosted_in_what_is_read(tilings, {*in_outputs, *hosted}, times, where))
    values, lifetimes = lifetimes_of(times, where, {*in_outputs, *hosted})
    offsets, arena_size = allocate(lifetimes, reuse)
    places = {
        x: Place(None, offset, lifetime.size)
        for x, lifetime, offset in zip(values, lifetimes, offsets, strict=True)
    }
    places.update({x: Place(number, 0, byte_count(x)) for x, number in in_outputs.items()})
    places.update({x: places[host] for x, host in hosted.items()})
    return Plan(
        kernels=kernels,
        stages=_stages(graph, kernels, where, stage_of, copies, in_place),
        tilings=tilings,
        layouts=where,
        places=places,
        hosted=hosted,
        lifetimes=dict(zip(values, lifetimes, strict=True)),
        outputs=graph.outputs,
        replaced=graph.updates,
        in_place=in_place,
        arena_size=arena_size,
        size_without_reuse=sum(aligned(times.sizes[x]) for x in times.first if x not in owners),
        in_registers=in_registers,
        refusals=refusals,
        origins=graph.origins,
    )


def _on_cpu(
    graph: Graph, stage_of: Mapping[Expr, int], strides: Mapping[int, tuple[int, ...]]
) -> dict[Expr, Layout]:
    """The layouts for calls of a library: in the order that it likes best.

    Transposed matrices are copies, if these are faster to read. But a kernel in tiles would need
    all of a copy in its first one, and no tile could take its place.
    """
    order = list(stage_of)
    free = set(order)
    where = layouts(order, strides, free=free)
    copied = turned(order, where)
    if not copied:
        return where
    found = layouts(order, strides, copied, free)
    kernels, _ = schedule(graph.outputs, found, stages=stage_of)
    cut = (kernel for kernel in kernels if tiling_of(kernel, found) is not None)
    read = {y for kernel in cut for x in kernel.body for y in x.inputs}
    return layouts(order, strides, copied - read, free)


def _stages(
    graph: Graph,
    kernels: Sequence[Kernel],
    where: Mapping[Expr, Layout],
    stage_of: Mapping[Expr, int],
    copies: Sequence[int],
    in_place: frozenset[int],
) -> tuple[Stage, ...]:
    """What runs when. An input is replaced in the last stage that reads it, or later."""
    last_read: dict[int, int] = {}
    for kernel in kernels:
        for x in kernel.body:
            for base in (where[y].base for y in x.inputs):
                if base.primitive == "input":
                    index = base.integer("index")
                    last_read[index] = max(last_read.get(index, 0), stage_of[x])
    of_output = [bisect_right(graph.ends, number) for number in range(len(graph.outputs))]
    replacing = {
        number: max(of_output[number], last_read.get(index, 0))
        for number, index in graph.updates.items()
        if number not in in_place
    }
    return tuple(
        Stage(
            end=sum(stage_of[kernel.body[0]] <= stage for kernel in kernels),
            copies=tuple(number for number in copies if of_output[number] == stage),
            updates=tuple(number for number, when in replacing.items() if when == stage),
        )
        for stage in range(len(graph.ends))
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


def _still_apart(refusals: Sequence[Refusal], kernels: Sequence[Kernel]) -> tuple[Refusal, ...]:
    """The refusals whose value and reader are in no kernel together."""
    homes: dict[Expr, set[int]] = {}
    for number, kernel in enumerate(kernels):
        for x in kernel.body:
            homes.setdefault(x, set()).add(number)
    return tuple(row for row in refusals if not homes[row[0]] & homes[row[1]])


def _output_owners(
    outputs: Sequence[Expr], where: Mapping[Expr, Layout]
) -> tuple[dict[Expr, int], tuple[int, ...]]:
    """Which computed value is written straight into which output, and which outputs are copies."""
    owners: dict[Expr, int] = {}
    copies = []
    for number, x in enumerate(outputs):
        layout = where[x]
        base = layout.base
        whole = base.size == x.size and layout.offset == 0 and layout.is_dense(x.shape)
        if whole and base.primitive not in SOURCES and base not in owners:
            owners[base] = number
        else:
            copies.append(number)
    return owners, tuple(copies)
