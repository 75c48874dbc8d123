"""Kernels of rows: reductions over the same axes, with what is computed before and after them.

A program takes a row, or several where they are short or lie side by side in memory. A row that
fits the registers is loaded once and stays there; a longer one is walked a block at a time, once
for each reduction and once for what is stored. Of several rows, ``row`` is a column of numbers and
``column`` a row of them, so that all arithmetic repeats along the other by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..expressions.expr import GENERATED, REDUCTIONS, VIEWS, Expr, Shape
from ..expressions.layout import Layout, contiguous
from ..products.gpus import WARP
from ..scheduling.schedule import Kernel
from .registers import WARPS, Order, ordered, room
from .row_pairs import Pair, pair_of
from .triton_writer import (
    WIDE,
    Access,
    Source,
    Writer,
    access_of,
    accumulator,
    collapse,
    coordinates_of,
    offset_in_copy,
    offset_text,
    power_of_two,
    reach_of,
    reads,
    register_type,
)

# Columns of the longest row that a program holds in registers, and of a longer one that it has at
# a time, if they have 32 bits: all threads of a multiprocessor wait for memory then, and few rows
# fill its cache. Of narrower ones it has as many as take each thread one access of 128 bits.
BLOCK = 16384
STEP = 4096
# Elements of several short rows that a program holds together.
TOGETHER = 1024
# Elements of a thread: at most where a row is in registers, and at least in a whole walk.
_MOST_ELEMENTS = 32
_LEAST_ELEMENTS = 16
# Rows side by side in memory: as many as a cache line has, or more where many programs are left.
SIDE_BY_SIDE = (128, 64, 32)
PROGRAMS = 128
_MOST_WARPS = 32
# Reductions whose result is a column's number.
_PLACES = ("argmax", "argmin")


@dataclass(frozen=True)
class Tile:
    """How many rows and columns a program has at a time."""

    rows: int
    columns: int


def tiles_for(rows: int, columns: int, side_by_side: bool, itemsize: int) -> list[Tile]:
    """Tiles that read memory in order, the largest first.

    Args:
        rows, columns: how many there are.
        side_by_side: whether the elements of a column lie side by side, and not those of a row.
        itemsize: the bytes of the narrowest elements that are read.
    """
    height, width = power_of_two(rows), power_of_two(columns)
    if side_by_side:
        spread = (n for n in SIDE_BY_SIDE if rows >= n * PROGRAMS)
        height = min(height, next(spread, SIDE_BY_SIDE[-1]))
        return [Tile(height, min(width, STEP // height))]
    steps = sorted({STEP, STEP * 4 // min(itemsize, 4)}, reverse=True)
    whole = [width] if width <= BLOCK else []
    widths = [*whole, *(step for step in steps if step < width)]
    return [Tile(min(height, max(1, TOGETHER // width)), width) for width in widths]


def warps_for(tile: Tile, columns: int) -> int:
    """How many warps work on a tile, or walk with it over so many columns."""
    if columns > tile.columns:
        elements = tile.rows * columns // _LEAST_ELEMENTS
    else:
        elements = tile.rows * tile.columns // _MOST_ELEMENTS
    return max(WARPS, min(_MOST_WARPS, power_of_two(elements // WARP + 1) // 2))


def rows(kernel: Kernel, layouts: Mapping[Expr, Layout]) -> Source:
    """The source of a kernel of rows."""
    return _Rows(kernel, layouts).write()


class _Rows:
    """A kernel of rows being written."""

    def __init__(self, kernel: Kernel, layouts: Mapping[Expr, Layout]) -> None:
        self.body = kernel.computed
        self.inside = frozenset(kernel.body)
        self.writer = Writer(layouts, kernel.outputs)
        first = next(x for x in self.body if x.primitive in REDUCTIONS)
        self.shape, axes = first.inputs[0].shape, first.integers("axes")
        self.row_shape = first.shape
        self.reduced = axes
        self.kept = tuple(a for a in range(len(self.shape)) if a not in axes)
        self.rows = math.prod(self.shape[a] for a in self.kept)
        self.columns = math.prod(self.shape[a] for a in axes)
        read = [y for y in reads(self.body) if layouts[y].base not in self.inside]
        self.read = frozenset(read)
        self.full_reads = [y for y in read if self.is_full(y)]
        self.row_reads = [y for y in read if not self.is_full(y)]
        self.generated = [x for x in self.body if x.primitive in GENERATED and self.is_full(x)]
        self._lay_out(kernel.outputs)
        itemsize = min((y.dtype.itemsize for y in self.full_reads), default=4)
        for tile in tiles_for(self.rows, self.columns, self._side_by_side(), itemsize):
            self.tile, self.warps = tile, warps_for(tile, self.columns)
            if self._fits():
                break
        self.is_long = self.columns > self.tile.columns
        self.is_flat = self.tile.rows == 1

    def is_full(self, x: Expr) -> bool:
        """Whether a value has one element for each column of a row."""
        if x in self.inside:
            x = self.writer.source_of(x)
        reduced_here = x.primitive in REDUCTIONS and x in self.inside
        return x.shape == self.shape and not reduced_here

    def _lay_out(self, outputs: Sequence[Expr]) -> None:
        """Collapse the kept and the reduced axes of all that is read, generated and stored."""
        layouts = self.writer.layouts
        full = [access_of(y, layouts) for y in self.full_reads]
        stored = [x for x in outputs if self.is_full(x) and x.primitive not in VIEWS]
        dense = [*self.generated, *stored]
        full += [Access(x, 0, contiguous(x.shape)) for x in dense]
        rest = [access_of(y, layouts) for y in self.row_reads]
        rest = [a if a.strides else Access(a.base, a.offset, (0,) * len(self.shape)) for a in rest]
        self.row_lengths, kept = self._part([*full, *rest], self.kept)
        self.column_lengths, reduced = self._part(full, self.reduced)
        self._bytes = [access.byte_count(self.shape) for access in full]
        self.full_rows, self.rest_rows = kept[: len(full)], kept[len(full) :]
        self.full_columns = reduced
        reach = reach_of(self.row_lengths, kept) + reach_of(self.column_lengths, reduced)
        self.is_wide = max(reach, *(x.size for x in outputs)) >= WIDE

    def _side_by_side(self) -> bool:
        """Whether most bytes that are read and stored have the same column of all rows in order."""

        def in_order(along: Sequence[Access]) -> int:
            moved = zip(along, self._bytes, strict=True)
            return sum(count for access, count in moved if 1 in access.strides)

        return self.rows > 1 and in_order(self.full_rows) > in_order(self.full_columns)

    def _part(self, accesses: Sequence[Access], axes: Sequence[int]) -> tuple[Shape, list[Access]]:
        lengths = [self.shape[a] for a in axes]
        own = [Access(a.base, a.offset, tuple(a.strides[i] for i in axes)) for a in accesses]
        return collapse(lengths, own)

    # ---- the text ----

    def write(self) -> Source:
        """Rows one after the other: what it knows of the row, then what it does to its columns."""
        writer, height = self.writer, self.tile.rows
        program = f"tl.program_id(0){'.to(tl.int64)' if self.is_wide else ''}"
        if self.is_flat:
            writer.line(f"row = {program}")
        else:
            writer.line(f"row = ({program} * {height} + tl.arange(0, {height}))[:, None]")
        self.row_coordinates = coordinates_of(writer, "row", self.row_lengths, "r")
        for y, access in zip(self.row_reads, self.rest_rows, strict=True):
            writer.names[y] = writer.load(access, self.row_coordinates, self._row_mask)
        if self.is_long:
            self._walk()
        else:
            self._columns("", 1)
            for x in self._ordered(self.full_reads, self.body).steps:
                if x in self.full_reads:
                    self._load(x, 1)
                else:
                    self._value(x)
            self._store_full(1)
        for number, x in enumerate(writer.outputs):
            if not self.is_full(x):
                is_copy = x.primitive in VIEWS
                where = offset_in_copy(x, writer.layouts, self._places(1)) if is_copy else "row"
                writer.store(number, where, writer.names[writer.source_of(x)], self._row_mask)
        options = {} if self.warps == WARPS else {"num_warps": self.warps}
        return writer.source(self.body, -(-self.rows // height), options)

    @property
    def _row_mask(self) -> str:
        """Which rows there are."""
        return "" if self.is_flat else f"row < {self.rows}"

    @property
    def _column_mask(self) -> str:
        """Which columns there are, whatever the row."""
        return "mask" if self.is_flat else f"column < {self.columns}"

    def _columns(self, start: str, depth: int) -> None:
        """The columns that are looked at, and which elements there are."""
        wide = ".to(tl.int64)" if self.is_wide else ""
        column = f"{start}tl.arange(0, {self.tile.columns}){wide}"
        if self.is_flat:
            self.writer.line(f"column = {column}", depth)
            self.writer.line(f"mask = column < {self.columns}", depth)
        else:
            column = f"({column})" if start or wide else column
            self.writer.line(f"column = {column}[None, :]", depth)
            self.writer.line(f"mask = ({self._row_mask}) & (column < {self.columns})", depth)
        self.column_coordinates = coordinates_of(
            self.writer, "column", self.column_lengths, "c", depth
        )

    def _places(self, depth: int) -> list[str]:
        """The coordinates along each axis, kept or reduced."""
        kept = [self.shape[a] for a in self.kept]
        reduced = [self.shape[a] for a in self.reduced]
        places = [""] * len(self.shape)
        own = coordinates_of(self.writer, "row", kept, "a", depth)
        for axis, text in zip(self.kept, own, strict=True):
            places[axis] = text
        own = coordinates_of(self.writer, "column", reduced, "b", depth)
        for axis, text in zip(self.reduced, own, strict=False):
            places[axis] = text
        return places

    def _ordered(self, read: Sequence[Expr], body: Sequence[Expr]) -> Order:
        """When what is read of each column is loaded, and which of a row's values are computed."""
        stored = {self.writer.source_of(x) for x in self.writer.outputs}
        while True:
            order = ordered(read, body, stored, self._elements, self.is_full, self.warps)
            if order.fits(self._elements, self.warps) or self.warps >= _MOST_WARPS:
                return order
            self.warps *= 2

    def _fits(self) -> bool:
        """Whether a whole row is in registers, however its values are ordered."""
        order = self._ordered(self.full_reads, self.body)
        return order.fits(self._elements, self.warps)

    @property
    def _elements(self) -> int:
        """How many elements a thread has."""
        return max(1, self.tile.rows * self.tile.columns // (self.warps * WARP))

    def _load(self, y: Expr, depth: int) -> None:
        number = self.full_reads.index(y)
        row, column = self.full_rows[number], self.full_columns[number]
        both = Access(row.base, row.offset, (*row.strides, *column.strides))
        places = [*self.row_coordinates, *self.column_coordinates]
        by_column = self._column_mask if any(column.strides) else ""
        by_row = self._row_mask if any(row.strides) else ""
        mask = "mask" if by_column and by_row else by_column or by_row
        self.writer.names[y] = self.writer.load(both, places, mask, depth)

    def _value(self, x: Expr) -> None:
        """One expression of a row that is in registers."""
        if x.primitive not in REDUCTIONS:
            self._compute(x, 1)
            return
        self._repeat(x)
        data = self.writer.operand(x.inputs[0])
        self.writer.names[x] = self._finished(x, self._lane(x, data))

    def _compute(self, x: Expr, depth: int) -> None:
        if x.primitive in GENERATED:
            self.writer.generate(x, self._position(x), depth)
            return
        self._repeat(x)
        self.writer.compute(x, depth)

    def _position(self, x: Expr) -> str:
        """The row-major number of each element of a row, or of the row among the rows."""
        if not self.is_full(x):
            return "row"
        number = len(self.full_reads) + self.generated.index(x)
        return self._offset(x, self.full_rows[number], self.full_columns[number])

    def _offset(self, x: Expr, row: Access, column: Access) -> str:
        """Where the elements of a row lie in a dense array."""
        access = Access(x, 0, (*row.strides, *column.strides))
        return offset_text(access, [*self.row_coordinates, *self.column_coordinates])

    def _repeat(self, x: Expr) -> None:
        """A row's result has a name of its own along the columns: Triton repeats it by itself."""
        for y in x.inputs:
            if y.primitive == "expand" and y not in self.writer.names:
                self.writer.names[y] = self.writer.operand(y.inputs[0])

    def _store_full(self, depth: int) -> None:
        """Store the outputs that have a value for each column."""
        full = [(n, x) for n, x in enumerate(self.writer.outputs) if self.is_full(x)]
        start = len(self.full_reads) + len(self.generated)
        places = iter(zip(self.full_rows[start:], self.full_columns[start:], strict=True))
        for number, x in full:
            if x.primitive in VIEWS:
                where = offset_in_copy(x, self.writer.layouts, self._places(depth))
            else:
                where = self._offset(x, *next(places))
            mask = "" if self.is_flat and self.columns == 1 else "mask"
            self.writer.store(
                number, where, self.writer.names[self.writer.source_of(x)], mask, depth
            )

    # ---- rows in registers: a reduction is one call ----

    def _lane(self, x: Expr, data: str) -> str:
        """What a reduction combines: the values, with what changes nothing behind the row's end."""
        masked = f"tl.where(mask, {data}, {_neutral(x)})"
        kind = accumulator(x.inputs[0].dtype)
        widened = kind != register_type(x.inputs[0].dtype)
        return f"{masked}.to({kind})" if widened else masked

    def _finished(self, x: Expr, lane: str, places: str = "column") -> str:
        """The line that reduces the values of a row to one; ``places`` are their columns."""
        name = self.writer.new_name()
        how = f"0, math.{x.primitive}_combine"
        how = how if self.is_flat else f"1, math.{x.primitive}_combine, keep_dims=True"
        if x.primitive in _PLACES:
            columns = places if self.is_flat else f"tl.broadcast_to({places}, {self._tile_shape})"
            self.writer.line(f"pair = math.reduce(({lane}, {columns}), {how})")
            self.writer.line(f"{name} = pair[1].to(tl.int64)")
            return name
        reduced = f"math.reduce({lane}, {how})"
        if x.primitive in ("max", "min", "sum"):
            reduced = f"math.positive_zero({reduced})"
        if accumulator(x.dtype) != register_type(x.dtype):
            reduced = f"math.cast({reduced}, {register_type(x.dtype)})"
        self.writer.line(f"{name} = {reduced}")
        return name

    # ---- long rows: reductions of the same columns are a loop ----

    def _walk(self) -> None:
        while waiting := [x for x in self.body if not self.is_full(x) and not self._is_known(x)]:
            ready = [x for x in waiting if self._is_ready(x)]
            for x in ready:
                if x.primitive not in REDUCTIONS:
                    self._compute(x, 1)
            reductions = [x for x in ready if x.primitive in REDUCTIONS]
            for pair in [pair_of(x, self.body) if self.is_flat else None for x in reductions]:
                if pair is not None:
                    self._loop_of(pair)
            while alone := [x for x in reductions if not self._is_known(x)]:
                self._loop(self._together(alone))
        full = [x for x in self.writer.outputs if self.is_full(x)]
        if full:
            self._begin_loop([self.writer.source_of(x) for x in full])
            self._store_full(2)

    @property
    def _tile_shape(self) -> str:
        rows, columns = self.tile.rows, self.tile.columns
        return f"({columns},)" if self.is_flat else f"({rows}, {columns})"

    def _is_known(self, x: Expr) -> bool:
        """Whether a value of a row is computed; those of its columns are anew in every loop."""
        return x in self.writer.names and not self.is_full(x)

    def _cone(self, x: Expr) -> set[Expr]:
        """All that is read and computed for a value, as far as it is not known yet."""
        found: set[Expr] = set()
        waiting = [*x.inputs]
        while waiting:
            y = waiting.pop()
            if y not in found and not self._is_known(y):
                found.add(y)
                waiting += () if y in self.read else y.inputs
        return found

    def _is_ready(self, x: Expr) -> bool:
        """Whether no reduction has to come before a value."""
        cone = self._cone(x)
        return not any(y in cone and y.primitive in REDUCTIONS for y in self.body)

    def _together(self, reductions: Sequence[Expr]) -> list[Expr]:
        """The first one, and those that one loop can do with it, since they read the same."""
        first, *others = reductions
        found, read = [first], self._cone(first).intersection(self.full_reads)
        registers = self._lanes_of(first)
        for x in others:
            own, held = self._cone(x).intersection(self.full_reads), self._lanes_of(x)
            if read & own and registers + held <= room(self.warps) // 2:
                found.append(x)
                read |= own
                registers += held
        return found

    def _lanes_of(self, x: Expr) -> int:
        """How many registers of a thread hold what a loop has combined so far."""
        wide = x.inputs[0].dtype.itemsize == 8
        return self._elements * (1 + wide + (x.primitive in _PLACES))

    def _begin_loop(self, wanted: Sequence[Expr]) -> None:
        """A loop over a row that computes what is wanted of its columns, from memory."""
        needed = set(wanted)
        for x in reversed(self.body):
            if x in needed and self.is_full(x):
                needed.update(x.inputs)
        self.writer.line(f"for start in range(0, {self.columns}, {self.tile.columns}):")
        self._columns("start + ", 2)
        read = [y for y in self.full_reads if y in needed]
        computed = [x for x in self.body if x in needed and self.is_full(x)]
        for x in self._ordered(read, computed).steps:
            if x in self.full_reads:
                self._load(x, 2)
            else:
                self._compute(x, 2)

    def _loop(self, reductions: Sequence[Expr]) -> None:
        """Combine block by block, lane by lane; the lanes at the end."""
        wide = "tl.int64" if self.is_wide else "tl.int32"
        lanes = {x: self.writer.new_name() for x in reductions}
        places = {x: f"{lanes[x]}_places" for x in reductions if x.primitive in _PLACES}
        for x, name in lanes.items():
            kind = accumulator(x.inputs[0].dtype)
            self.writer.line(f"{name} = tl.full({self._tile_shape}, {_neutral(x)}, {kind})")
            if x in places:
                self.writer.line(f"{places[x]} = tl.full({self._tile_shape}, 0, {wide})")
        self._begin_loop([x.inputs[0] for x in reductions])
        for x, name in lanes.items():
            self._repeat(x)
            lane = self._lane(x, self.writer.operand(x.inputs[0]))
            combine = f"math.{x.primitive}_combine"
            if x in places:
                self.writer.line(f"pair = {combine}({name}, {places[x]}, {lane}, column)", 2)
                self.writer.line(f"{name} = pair[0]", 2)
                self.writer.line(f"{places[x]} = pair[1]", 2)
            else:
                self.writer.line(f"{name} = {combine}({name}, {lane})", 2)
        for x, name in lanes.items():
            self.writer.names[x] = self._finished(x, name, places.get(x, "column"))

    def _loop_of(self, pair: Pair) -> None:
        """Both reductions of a pair: lanes that have some elements of each block, and their end."""
        (data,) = pair.first.inputs
        lanes = min(self.warps * WARP, self.tile.columns)
        shape = f"({lanes}, {self.tile.columns // lanes})"
        held = [self.writer.new_name() for _ in pair.start]
        for name, value in zip(held, pair.start, strict=True):
            self.writer.line(f"{name} = tl.full(({lanes},), {value}, tl.float32)")
        self._begin_loop([data])
        names = ", ".join(held)
        self._repeat(pair.first)
        # What is computed of a row's number alone is one number, and not one for each column.
        whole = f"tl.broadcast_to({self.writer.operand(data)}, {self._tile_shape})"
        self.writer.line(f"lanes = tl.reshape({whole}, {shape})", 2)
        self.writer.line(f"inside = tl.reshape(mask, {shape})", 2)
        self.writer.line(f"{names} = online.{pair.step}(lanes, inside, {names})", 2)
        first, second = self.writer.new_name(), self.writer.new_name()
        self.writer.line(f"{first}, {second} = online.{pair.end}({names}, {self.columns})")
        self.writer.names.update({pair.first: first, pair.second: second})


def _neutral(x: Expr) -> str:
    """What changes nothing in a reduction."""
    if x.primitive in ("sum", "prod"):
        return "0" if x.primitive == "sum" else "1"
    dtype, largest = x.inputs[0].dtype, x.primitive in ("max", "argmax")
    if dtype.is_float:
        return 'float("-inf")' if largest else 'float("inf")'
    bits = 8 * dtype.itemsize
    if dtype.kind == "int":
        return str(-(2 ** (bits - 1)) if largest else 2 ** (bits - 1) - 1)
    return "0" if largest else str(2**bits - 1)
