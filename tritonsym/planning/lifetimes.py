"""When values are written and last read, and whose memory each can take over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ..expressions.expr import PRODUCTS, Expr
from ..expressions.layout import Layout
from ..products.products import prologue_of
from ..scheduling.schedule import Kernel
from ..scheduling.tiling import Tiling
from .memory import Lifetime

# What is read: a value, or the input of an index.
_Read = TypeVar("_Read", Expr, int)


@dataclass
class Times:
    """When values are written and last read, in steps, and how much memory they take."""

    first: dict[Expr, int] = field(default_factory=dict)
    last: dict[Expr, int] = field(default_factory=dict)
    sizes: dict[Expr, int] = field(default_factory=dict)
    # When values are computed, in the first tile where there are tiles, and when in the last.
    computed: dict[Expr, int] = field(default_factory=dict)
    until: dict[Expr, int] = field(default_factory=dict)
    # What is read in the pass that writes a value.
    beside: dict[Expr, Sequence[Expr]] = field(default_factory=dict)
    # When inputs are last read, by index.
    read: dict[int, int] = field(default_factory=dict)
    # Which part of a kernel writes a value, and which read it, or an input, when it is last read.
    part: dict[Expr, int] = field(default_factory=dict)
    readers: dict[Expr | int, set[int]] = field(default_factory=dict)
    # What a product in that pass reads, all of it for every tile of the result.
    scattered: dict[Expr, Sequence[Expr]] = field(default_factory=dict)

    def note(self, value: _Read, last: dict[_Read, int], step: int, part: int) -> None:
        """A part reads a value, or the input of an index, in a step."""
        if step > last.get(value, -1):
            last[value] = step
            self.readers[value] = set()
        if step == last[value]:
            self.readers.setdefault(value, set()).add(part)


def times_of(
    kernels: Sequence[Kernel],
    tilings: Mapping[Kernel, Tiling],
    where: Mapping[Expr, Layout],
    outputs: Sequence[Expr],
    in_registers: bool,
) -> Times:
    """Steps of one expression each; where inner values stay in registers, of one kernel each.

    A tiled kernel runs its steps once a tile: what it reads and what it leaves behind is in use
    for the whole of it, only its inner values come and go.
    """
    times, step, number = Times(), 0, 0
    for kernel in kernels:
        begin, end = step, step if in_registers else step + len(kernel.body) - 1
        tiling = tilings.get(kernel)
        inner = set(kernel.body).difference(kernel.outputs) if tiling or in_registers else set()
        for part in kernel.each:
            number += 1
            read = [y for x in part.body for y in x.inputs]
            multiplied = [
                y
                for product in part.body
                if product.primitive in PRODUCTS
                for x in (product, *prologue_of(product, part.body))
                for y in x.inputs
            ]
            products = [where[y].base for y in multiplied]
            for x in part.body:
                lasting = bool(tiling) and x not in inner
                if not (in_registers and x in inner):
                    times.computed[x] = step
                    times.until[x] = end if lasting else step
                    times.first[x] = begin if lasting else step
                    times.last[x] = end if lasting else step
                    times.part[x] = number
                    times.beside[x] = read if in_registers else x.inputs
                    times.scattered[x] = products if in_registers else ()
                    whole = tiling is None or lasting
                    times.sizes[x] = x.byte_count if whole else tilings[kernel].bytes(x)
                for y in x.inputs:
                    base = where[y].base
                    if base.primitive == "input":
                        index = base.integer("index")
                        times.note(index, times.read, end if tiling else step, number)
                    elif base in times.last:
                        until = end if tiling and base not in inner else step
                        times.note(base, times.last, until, number)
                step += not in_registers
        step += in_registers
    for x in outputs:
        if where[x].base in times.last:
            times.last[where[x].base] = step
    return times


def _ending(x: Expr, step: int, times: Times, where: Mapping[Expr, Layout]) -> list[Expr]:
    """The values whose memory ``x`` may take over: it is the last to read them, element by element.

    Memory that is read through a view as well may be read in another order than it is written.

    Args:
        step: when ``x`` is computed.
    """
    if not x.is_elementwise:
        return []

    read = times.beside[x]
    spoiled = {where[y].base for y in read if not _is_read_in_order(y, x, where)}
    spoiled.update(times.scattered.get(x, ()))
    return [
        y
        for y in dict.fromkeys(where[y].base for y in read)
        if y in times.last
        and times.last[y] == step > times.first[y]
        and times.readers[y] == {times.part[x]}
        and y not in spoiled
    ]


def _is_read_in_order(y: Expr, x: Expr, where: Mapping[Expr, Layout]) -> bool:
    """Whether each element lies where ``x`` would have its own, in memory of the same size."""
    layout = where[y]
    same = (y.shape, layout.strides, layout.offset) == (x.shape, where[x].strides, 0)
    whole = layout.base.size == x.size
    return same and whole and y.dtype.itemsize == x.dtype.itemsize


def lent(
    times: Times,
    where: Mapping[Expr, Layout],
    stage_of: Mapping[Expr, int],
    owners: Mapping[Expr, int],
    in_place: frozenset[int],
) -> dict[Expr, int]:
    """The values that may lie in the memory of an output until it is written over them."""
    lent: dict[Expr, int] = {}
    for owner, number in owners.items():
        x: Expr | None = None if number in in_place else owner
        while x is not None:
            ending = _ending(x, times.first[x], times, where)
            free = (y for y in ending if y not in owners and y not in lent)
            x = next((y for y in free if stage_of[y] == stage_of[owner]), None)
            if x is not None:
                lent[x] = number
    return lent


def hosted_in_results(
    tilings: Mapping[Kernel, Tiling],
    in_place: Collection[Expr],
    times: Times,
    where: Mapping[Expr, Layout],
) -> dict[Expr, Expr]:
    """The inner values of tiled kernels that lie in the place of a result, and that result.

    What is written straight into an input has no room before: its kernel may read the input.
    """
    hosted: dict[Expr, Expr] = {}
    for kernel in tilings:
        inner = set(kernel.body).difference(kernel.outputs)
        for host in kernel.outputs:
            x: Expr | None = None if host in in_place else host
            while x is not None:
                ending = _ending(x, times.computed[x], times, where)
                x = next((y for y in ending if y in inner and y not in hosted), None)
                if x is not None:
                    hosted[x] = host
    return hosted


def hosted_in_what_is_read(
    tilings: Mapping[Kernel, Tiling],
    elsewhere: Collection[Expr],
    times: Times,
    where: Mapping[Expr, Layout],
) -> dict[Expr, Expr]:
    """The inner values of tiled kernels that lie in the place of what nobody reads after them.

    Args:
        elsewhere: values that have another place.
    """
    found: dict[Expr, Expr] = {}
    for kernel in tilings:
        inner = set(kernel.body).difference(kernel.outputs, elsewhere)
        readers: dict[Expr, list[tuple[Expr, Expr]]] = {}
        for x in kernel.body:
            for y in x.inputs:
                readers.setdefault(where[y].base, []).append((x, y))
        for host, reading in readers.items():
            x = reading[-1][0]
            given_up = times.last.get(host) == times.until[kernel.outputs[0]]
            alone = times.readers.get(host) == {times.part[kernel.outputs[0]]}
            # No tile may read what another one has written over.
            in_order = all(_is_read_in_order(y, x, where) for _, y in reading)
            if host in elsewhere or not (given_up and alone and in_order and x.is_elementwise):
                continue
            while x in inner and x not in found:
                found[x] = host
                follower = readers[x][-1][0]
                if x not in _ending(follower, times.computed[follower], times, where):
                    break
                x = follower
    return found


def lifetimes_of(
    times: Times, where: Mapping[Expr, Layout], elsewhere: Collection[Expr]
) -> tuple[list[Expr], list[Lifetime]]:
    """What has to be in the arena, and when, sorted by its beginning."""
    values = sorted((x for x in times.first if x not in elsewhere), key=times.first.__getitem__)
    number = {x: position for position, x in enumerate(values)}
    lifetimes = []
    for x in values:
        ending = _ending(x, times.first[x], times, where)
        over = [number[y] for y in ending if y in number]
        lifetimes.append(
            Lifetime(times.sizes[x], times.first[x], times.last[x], over[-1] if over else None)
        )
    return values, lifetimes
