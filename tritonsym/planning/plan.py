"""The plan: every step that a bound graph takes, and where each value lies. Printable data."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..expressions.expr import Expr
from ..expressions.layout import Layout
from ..foundation.switches import Switches
from ..graph.trace import Graph
from ..products.for_gpu import for_gpu
from ..products.gpus import Gpu
from ..scheduling.schedule import Kernel
from ..scheduling.scheduled import Scheduled, kernels_in_registers, kernels_of_calls
from ..scheduling.tiling import Tiling
from .memory import Lifetime
from .places import Place, placed

_DEFAULT = Switches()


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
    switched: Switches = _DEFAULT,
    in_registers: bool = False,
    gpu: Gpu | None = None,
    guarded: Collection[int] = (),
) -> Plan:
    """The plan of a graph.

    Args:
        graph: what is to be computed.
        input_strides: in elements, of bound arrays that are not contiguous, by index.
        switched: whether to compute expressions together and to reuse memory, and how exact
            generated products of float32 are.
        in_registers: kernels keep inner values in registers, as on a GPU. Without it every value
            has memory, and long kernels are cut into tiles.
        gpu: for which kernels of matrix products are generated; without it a library does them.
        guarded: inputs that are replaced at the end of a stage and not before.
    """
    strides, fuse = input_strides or {}, switched.fusion
    if in_registers:
        graph = for_gpu(graph, strides, gpu, switched.matmul_precision, fuse)
        scheduled = kernels_in_registers(graph, strides, fuse, gpu)
    else:
        scheduled = kernels_of_calls(graph, strides, fuse)
    memory = placed(graph, scheduled, {*guarded, *strides}, switched.reuse, in_registers)
    return Plan(
        kernels=scheduled.kernels,
        stages=_stages(graph, scheduled, memory.in_place),
        tilings=scheduled.tilings,
        layouts=scheduled.layouts,
        places=memory.places,
        hosted=memory.hosted,
        lifetimes=memory.lifetimes,
        outputs=graph.outputs,
        replaced=graph.updates,
        in_place=memory.in_place,
        arena_size=memory.arena_size,
        size_without_reuse=memory.size_without_reuse,
        in_registers=in_registers,
        refusals=scheduled.refusals,
        origins=graph.origins,
    )


def _stages(graph: Graph, scheduled: Scheduled, in_place: frozenset[int]) -> tuple[Stage, ...]:
    """What runs when. An input is replaced in the last stage that reads it, or later."""
    kernels, where, stage_of = scheduled.kernels, scheduled.layouts, scheduled.stage_of
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
            copies=tuple(number for number in scheduled.copies if of_output[number] == stage),
            updates=tuple(number for number, when in replacing.items() if when == stage),
        )
        for stage in range(len(graph.ends))
    )
