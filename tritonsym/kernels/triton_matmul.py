"""Kernels of matrix products: one program per tile of the result, and what is computed of it.

Tiles are walked in groups of rows, so that programs that run at the same time share operands in the
cache. A program sums up products of blocks, which Triton gives to tensor cores, or where these have
nothing to offer, such as for one row, it keeps a sum for each multiplication of a step and adds the
sums up at the end. Everything after the product happens in registers.

Operands are loaded through pointers, or block by block by tensor descriptors. With these a program
can walk from tile to tile; it then also stores by a descriptor where it has one array to store and
reads none beside the operands, so that there is room for the result on its way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from ..expressions.expr import GENERATED, VIEWS, Expr, contracted
from ..expressions.layout import Layout, contiguous
from ..products.matmul_tiles import Product, Tile
from ..products.products import describe, prologue_of
from ..products.tensor_descriptor import axes_of, descriptor_of
from ..scheduling.schedule import COPIES, Kernel
from .triton_writer import (
    TYPES,
    WIDE,
    Access,
    Source,
    Writer,
    access_of,
    accumulator,
    blocks_name,
    offset_in_copy,
    offset_text,
    reach_of,
    reads,
)

# Tiles of this many rows are walked together.
_GROUP = 8


def product_of(kernel: Kernel, layouts: Mapping[Expr, Layout]) -> Product:
    """What the tile of a kernel depends on."""
    product = kernel.product
    return describe(product, layouts, str(product["precision"]), kernel.body, kernel.outputs)


def matmul(kernel: Kernel, layouts: Mapping[Expr, Layout], tile: Tile) -> Source:
    """The source of a product and what follows it."""
    return _Matmul(kernel, layouts, tile).write()


class _Matmul:
    """A kernel of a product being written."""

    def __init__(self, kernel: Kernel, layouts: Mapping[Expr, Layout], tile: Tile) -> None:
        self.kernel, self.body = kernel, kernel.body
        self.tile = tile
        self.product = kernel.product
        self.in_blocks = product_of(kernel, layouts).in_blocks
        self.batch, (self.rows, self.columns) = self.product.shape[:-2], self.product.shape[-2:]
        self.depth = contracted(self.product.inputs[0], self.product["transpose_a"])
        is_split = self.product.primitive == "dot_parts"
        self.length = self.product.integer("length") if is_split else self.depth
        self.row_tiles = -(-self.rows // tile.rows)
        self.column_tiles = -(-self.columns // tile.columns)
        self.prologue = prologue_of(self.product, self.body)
        self.writer = Writer(layouts, kernel.outputs)
        read = [y for y in (*self.product.inputs, *reads(self.body)) if y.shape != ()]
        reach = max(reach_of(y.shape, [access_of(y, layouts)]) for y in read)
        reach = max(reach, self.product.size, *(x.size for x in kernel.outputs))
        self.wide = ".to(tl.int64)" if reach >= WIDE else ""

    def write(self) -> Source:
        writer, tile = self.writer, self.tile
        tiles = math.prod(self.batch) * self.row_tiles * self.column_tiles
        programs = min(tiles, tile.walkers) or tiles
        if tile.walkers:
            number = "number" if self.batch else "tile"
            span = f"tl.program_id(0), {tiles}, {programs}"
            # One loop with that over the depth, so that loads run ahead into the next tile.
            writer.line(f"for {number} in tl.range({span}, flatten=True):")
        begin = len(writer.lines)
        self._place()
        self._sum_up()
        after = len(writer.lines)
        in_row = _inside("row[:, None]", self.rows, tile.rows)
        in_column = _inside("column[None, :]", self.columns, tile.columns)
        self._follow(in_row, in_column)
        if in_row or in_column:
            self._define("mask", _all(in_row, in_column), after)
        if tile.descriptors:
            for axis, length in (("column", tile.columns), ("row", tile.rows)):
                index = _typed(f"{axis}_begin + tl.arange(0, {length})", self.wide)
                self._define(axis, index, after)
            if self.wide and self.batch and not writer.written_blocks:
                # Descriptors take places of 32 bits, pointers the distance to them.
                self._define("batch", f"batch{self.wide}", after)
        if tile.walkers:
            writer.lines[begin:] = [f"    {line}" for line in writer.lines[begin:]]
        options = {"num_warps": tile.warps, "num_stages": tile.stages}
        return writer.source(self.body, programs, options)

    def _define(self, name: str, text: str, position: int) -> None:
        """A line that names a value, where a line from a position on has that name."""
        lines = self.writer.lines
        if any(re.search(rf"\b{name}\b", line) for line in lines[position:]):
            lines.insert(position, f"    {name} = {text}")

    # ---- which tile ----

    def _place(self) -> None:
        """The batch, the rows and the columns of a program."""
        line, tile = self.writer.line, self.tile
        tiles = self.row_tiles * self.column_tiles
        number = "tile" if self.batch or tile.walkers else "program"
        if not tile.walkers:
            line(f"program = tl.program_id(0){'' if tile.descriptors else self.wide}")
        self.batch_places = []
        if self.batch:
            whole = "number" if tile.walkers else "program"
            line(f"batch = {whole} // {tiles}")
            line(f"tile = {whole} % {tiles}")
            self.batch_places = _batch_places(self.batch)
        if self.row_tiles == 1:
            row, column = "0", f"{number} * {tile.columns}"
        elif self.row_tiles <= _GROUP:
            row = f"{number} % {self.row_tiles} * {tile.rows}"
            column = f"{number} // {self.row_tiles} * {tile.columns}"
        else:
            line(f"first = {number} // {_GROUP * self.column_tiles} * {_GROUP}")
            line(f"height = tl.minimum({self.row_tiles} - first, {_GROUP})")
            line(f"place = {number} % {_GROUP * self.column_tiles}")
            row = f"(first + place % height) * {tile.rows}"
            column = f"place // height * {tile.columns}"
        for axis, begin, length in (("row", row, tile.rows), ("column", column, tile.columns)):
            if tile.descriptors:
                line(f"{axis}_begin = {begin}")
            else:
                index = f"tl.arange(0, {length})"
                index = _typed(index, self.wide) if begin == "0" else f"{begin} + {index}"
                line(f"{axis} = {index}")

    # ---- the sum over the depth ----

    def _sum_up(self) -> None:
        """The loop over the contracted axis that sums up one tile of the product."""
        line, tile = self.writer.line, self.tile
        if self.in_blocks:
            self.axes = {"row": "[:, None]", "column": "[None, :]"}
            self.inner = {"left": "[None, :]", "right": "[:, None]"}
            sums, summed = [tile.rows, tile.columns], 0
        elif self._right_runs_along_depth():
            self.axes = {"row": "[:, None, None]", "column": "[None, :, None]"}
            self.inner = dict.fromkeys(("left", "right"), "[None, None, :]")
            sums, summed = [tile.rows, tile.columns, tile.depth], 2
        else:
            self.axes = {"row": "[:, None, None]", "column": "[None, None, :]"}
            self.inner = dict.fromkeys(("left", "right"), "[None, :, None]")
            sums, summed = [tile.rows, tile.depth, tile.columns], 1
        line(f"total = tl.full({sums}, 0, {accumulator(self.product.inputs[0].dtype)})")
        line(f"for start in range(0, {self.length}, {tile.depth}):")
        begin = "start"
        if self.length < self.depth:
            begin = f"{self.batch_places[0]} * {self.length} + start"
        if tile.descriptors:
            self._block("left", "row_begin", tile.rows, begin)
            self._block("right", "column_begin", tile.columns, begin)
        else:
            line(f"inner = {_typed(f'{begin} + tl.arange(0, {tile.depth})', self.wide)}", 2)
            self._operand("left", "row", self.rows, tile.rows)
            self._operand("right", "column", self.columns, tile.columns)
        if self.in_blocks:
            line(f'total = math.dot(left, right, total, "{self.product["precision"]}")', 2)
            return
        line("total = math.add(total, math.mul(left, right))", 2)
        line(f"total = math.reduce(total, {summed}, math.sum_combine)")

    def _right_runs_along_depth(self) -> bool:
        return describe(self.product, self.writer.layouts, "ieee").right_runs

    def _block(self, name: str, own: str, length: int, inner: str) -> None:
        """Load a block of an operand by its descriptor, and turn it round where it lies so."""
        is_left = name == "left"
        y = self.product.inputs[0 if is_left else 1]
        layout = self.writer.layouts[y]
        # As in the product, and then as in the operand.
        pair, lengths = [own, inner], [length, self.tile.depth]
        if is_left == bool(self.product["transpose_a" if is_left else "transpose_b"]):
            pair, lengths = pair[::-1], lengths[::-1]
        places = [*self.batch_places[len(self.batch) - len(y.shape) + 2 :], *pair]
        descriptor, axes = descriptor_of(y, layout, *lengths), axes_of(y, layout)
        assert axes is not None
        self.writer.read_blocks[name] = y, descriptor
        text = f"{blocks_name(name)}.load([{', '.join(places[axis] for axis in axes)}])"
        if len(axes) > 2:
            text = f"tl.reshape({text}, {list(descriptor.block[-2:])})"
        lies_by_depth = places[axes[-1]] == inner
        turned = "" if lies_by_depth == is_left else ".T"
        self.writer.line(f"{name} = {text}{turned}", 2)

    def _operand(self, name: str, axis: str, length: int, tile_length: int) -> None:
        """Load a block of an operand, or compute it of what is loaded."""
        is_left = name == "left"
        y = self.product.inputs[0 if is_left else 1]
        transposed = self.product["transpose_a" if is_left else "transpose_b"]
        own, inner = f"{axis}{self.axes[axis]}", f"inner{self.inner[name]}"
        pair = [own, inner] if is_left else [inner, own]
        batch = self.batch_places[len(self.batch) - len(y.shape) + 2 :]
        places = [*batch, *(pair[::-1] if transposed else pair)]
        if y in self.prologue:
            outside = _inside(own, length, tile_length)
            self._computed_operand(name, y, places, outside, _all(*self._inside_depth(inner)))
            return
        access = access_of(y, self.writer.layouts)
        where = offset_text(access, places)
        if not any(access.strides[-2:]):
            where += f" + ({own} + {inner}) * 0"  # a block of the one element there is
        mask = _all(_inside(own, length, tile_length), *self._inside_depth(inner))
        masked = f", {mask}, other=0" if mask else ""
        text = f"tl.load({self.writer.pointer(access.base)} + {where}{masked})"
        if not self.in_blocks:
            text = f"math.cast({text}, {accumulator(y.dtype)})"
        self.writer.line(f"{name} = {text}", 2)

    def _computed_operand(
        self, name: str, operand: Expr, places: Sequence[str], in_row: str, in_depth: str
    ) -> None:
        """Compute a block of an operand, which is zero behind the end of the depth."""
        writer = self.writer
        transposed = self.product["transpose_a"]
        for y in reads(self.prologue):
            access = access_of(y, writer.layouts)
            row, depth = access.strides[-2:][::-1] if transposed else access.strides[-2:]
            mask = _all(in_row if row else "", in_depth if depth else "")
            writer.names[y] = writer.load(access, places, mask, 2)
        for x in self.prologue:
            writer.compute(x, 2)
        value = writer.names[operand]
        if in_depth:
            zero = f"tl.full((), 0, {value}.dtype)"
            value = f"tl.where({in_depth}, {value}, {zero})"
        kind = TYPES[operand.dtype.name] if self.in_blocks else accumulator(operand.dtype)
        writer.line(f"{name} = math.cast({value}, {kind})", 2)

    def _inside_depth(self, inner: str) -> list[str]:
        """The conditions that keep a step within its part and the depth."""
        part = ""
        if self.length < self.depth and self.length % self.tile.depth:
            part = f"{inner} < ({self.batch_places[0]} + 1) * {self.length}"
        whole = self.depth % self.tile.depth or self.depth % self.length
        return [part, f"{inner} < {self.depth}" if whole else ""]

    # ---- what follows ----

    def _follow(self, in_row: str, in_column: str) -> None:
        """What is computed of the product, and the stores."""
        writer, product = self.writer, self.product
        mask = "mask" if in_row or in_column else ""
        if product.dtype.is_integer and product.dtype.itemsize == 1:
            total = f"total.to({TYPES[product.dtype.name]})"
        else:
            total = writer.rounded("total", product)
        writer.names[product] = "total"
        if total != "total":
            writer.line(f"total = {total}")
        places = [*self.batch_places, "row[:, None]", "column[None, :]"]
        before = {product, *self.prologue}
        followed = [x for x in self.kernel.computed if x not in before]
        read = [y for y in reads(self.body) if any(y in x.inputs for x in followed)]
        for y in read:
            access = access_of(y, writer.layouts)
            at = places if access.strides else []
            row, column = access.strides[-2:] or (0, 0)
            masked = mask if row and column else (in_row if row else in_column if column else "")
            writer.names[y] = writer.load(access, at, masked)
        for x in followed:
            if x.primitive in GENERATED:
                writer.generate(x, offset_text(Access(x, 0, contiguous(x.shape)), places))
            else:
                writer.compute(x)
        if self._is_stored_in_blocks(read):
            self._store_block(*writer.outputs)
            return
        for store in writer.stores():
            x = writer.outputs[store.number]
            if x.primitive in VIEWS:
                where = offset_in_copy(x, writer.layouts, places)
            else:
                where = offset_text(store.part or Access(x, 0, contiguous(x.shape)), places)
            writer.store(store.number, where, writer.names[store.value], mask)

    def _is_stored_in_blocks(self, read: Sequence[Expr]) -> bool:
        """Whether the result goes by a descriptor: a program then need not wait for it."""
        x, *others = self.writer.outputs
        if not self.tile.walkers or others or x.primitive in COPIES or not x.dtype.is_reduced:
            return False
        accesses = [access_of(y, self.writer.layouts) for y in read]
        whole = any(access.strides and all(access.strides[-2:]) for access in accesses)
        return not whole and axes_of(x, Layout(x, 0, contiguous(x.shape))) is not None

    def _store_block(self, x: Expr) -> None:
        """Store the one result by a descriptor."""
        writer, tile = self.writer, self.tile
        descriptor = descriptor_of(x, Layout(x, 0, contiguous(x.shape)), tile.rows, tile.columns)
        writer.written_blocks[0] = descriptor
        text = writer.stored(0, writer.names[x])
        if self.batch:
            text = f"tl.reshape({text}, {list(descriptor.block)})"
        places = ", ".join([*self.batch_places, "row_begin", "column_begin"])
        writer.line(f"{blocks_name('out0')}.store([{places}], {text})")


def _batch_places(batch: Sequence[int]) -> list[str]:
    """The coordinates of a batch number."""
    if len(batch) == 1:
        return ["batch"]
    steps = contiguous(tuple(batch))
    return [f"(batch // {step} % {n})" for n, step in zip(batch, steps, strict=True)]


def _inside(coordinate: str, length: int, tile: int) -> str:
    """The condition that a coordinate is within its length, where tiles do not end there."""
    return f"{coordinate} < {length}" if length % tile else ""


def _all(*conditions: str) -> str:
    """A condition that holds where all of these do; none where there are none."""
    given = [condition for condition in conditions if condition]
    return " & ".join(f"({condition})" for condition in given) if len(given) > 1 else "".join(given)


def _typed(text: str, wide: str) -> str:
    return f"({text}){wide}" if wide else text
