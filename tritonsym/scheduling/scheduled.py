"""The kernels of a graph: what is scheduled, and then what each kind of device does with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..expressions.expr import SOURCES, Expr
from ..expressions.layout import Layout, layouts, turned
from ..graph.trace import Graph
from ..products.gpus import Gpu
from .combine import combined
from .prologue import with_prologues
from .refine import refined
from .schedule import Kernel, Refusal, schedule, stages_of
from .siblings import with_siblings
from .tiling import Tiling, tiling_of


@dataclass(frozen=True)
class Scheduled:
    """Which expressions are computed together.

    Attributes:
        kernels: in the order in which they run.
        layouts: of every expression.
        stage_of: the stage of every expression.
        owners: the values that are written straight into an output, and its number.
        copies: the numbers of the other outputs: an input, a constant, a view, or what another
            output is as well.
        tilings: of the kernels that run tile by tile.
        refusals: what was not computed together: a value, its reader, and why.
    """

    kernels: tuple[Kernel, ...]
    layouts: Mapping[Expr, Layout]
    stage_of: Mapping[Expr, int]
    owners: Mapping[Expr, int]
    copies: tuple[int, ...]
    tilings: Mapping[Kernel, Tiling]
    refusals: tuple[Refusal, ...]


def kernels_of_calls(
    graph: Graph, strides: Mapping[int, tuple[int, ...]], fuse: bool = True
) -> Scheduled:
    """Kernels whose expressions are calls of a library, and all of whose values have memory."""
    stage_of = stages_of(graph.outputs, graph.ends, graph.updates)
    order = list(stage_of)
    where = _liked_best(graph, stage_of, strides) if fuse else layouts(order, strides)
    kernels, refusals = schedule(graph.outputs, where, fuse, stage_of)
    found = ((kernel, tiling_of(kernel, where)) for kernel in kernels)
    tilings = {kernel: tiling for kernel, tiling in found if tiling is not None}
    owners, copies = _owners(graph.outputs, where)
    return Scheduled(kernels, where, stage_of, owners, copies, tilings, refusals)


def kernels_in_registers(
    graph: Graph,
    strides: Mapping[int, tuple[int, ...]],
    fuse: bool = True,
    gpu: Gpu | None = None,
) -> Scheduled:
    """Kernels that keep their inner values in registers, which cost no memory.

    Args:
        gpu: for which products compute a cheap operand themselves.
    """
    stage_of = stages_of(graph.outputs, graph.ends, graph.updates)
    where = layouts(list(stage_of), strides)
    kernels, refusals = schedule(graph.outputs, where, fuse, stage_of, beside=True)
    owners, copies = _owners(graph.outputs, where)
    if fuse:
        kernels = refined(kernels, graph.outputs, where, stage_of)
        if gpu is not None:
            kernels, reasons = with_prologues(kernels, graph.outputs, where, stage_of, gpu)
            refusals = tuple((x, y, reasons.get((x, y), why)) for x, y, why in refusals)
        updates = {x: graph.updates[n] for x, n in owners.items() if n in graph.updates}
        kernels = with_siblings(kernels, where, stage_of, updates)
        refusals = _still_apart(refusals, kernels)
        kernels = combined(kernels, where, stage_of, updates)
    return Scheduled(kernels, where, stage_of, owners, copies, {}, refusals)


def _liked_best(
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


def _owners(
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


def _still_apart(refusals: Sequence[Refusal], kernels: Sequence[Kernel]) -> tuple[Refusal, ...]:
    """The refusals whose value and reader are in no kernel together."""
    homes: dict[Expr, set[int]] = {}
    for number, kernel in enumerate(kernels):
        for x in kernel.body:
            homes.setdefault(x, set()).add(number)
    return tuple(row for row in refusals if not homes[row[0]] & homes[row[1]])
