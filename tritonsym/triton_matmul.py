"""Kernels of matrix products: one program per tile of the result, and what is computed of it.

The tiles are walked in groups of rows, so that programs that run at the same time share operands in
the cache. Sums are kept in float32; everything after the product happens in registers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .expr import GENERATED, VIEWS, Expr
from .layout import Layout, contiguous
from .schedule import Kernel
from .triton_writer import (
    WIDE,
    Access,
    Source,
    Writer,
    access_of,
    offset_in_copy,
    offset_text,
    reach_of,
    reads,
)

# Tiles of this many rows are walked together.
_GROUP = 8
_SMALLEST = 16


@dataclass(frozen=True)
class Tile:
    """Rows, columns and contracted elements that a program has at a time."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


def tile_for(rows: int, columns: int, depth: int) -> Tile:
    """A tile that suits the sizes: square and large, but no larger than the result."""

    def within(length: int, most: int) -> int:
        return max(_SMALLEST, min(most, 1 << (length - 1).bit_length()))

    chosen_rows, chosen_columns = within(rows, 128), within(columns, 128)
    large = chosen_rows * chosen_columns >= 128 * 128
    return Tile(chosen_rows, chosen_columns, within(depth, 64), 8 if large else 4, 3)


def matmul(kernel: Kernel, layouts: Mapping[Expr, Layout]) -> Source:
    """The source of a product and what follows it."""
    product = next(x for x in kernel.body if x.primitive == "dot")
    *batch, rows, columns = product.shape
    depth = product.inputs[0].shape[-2 if product["transpose_a"] else -1]
    tile = tile_for(rows, columns, depth)
    row_tiles, column_tiles = -(-rows // tile.rows), -(-columns // tile.columns)
    tiles = row_tiles * column_tiles
    writer = Writer(layouts, kernel.outputs)
    operands = [access_of(y, layouts) for y in product.inputs]
    shapes = [y.shape for y in product.inputs]
    reach = max(reach_of(s, [a]) for s, a in zip(shapes, operands, strict=True))
    wide = ".to(tl.int64)" if max(reach, product.size) >= WIDE else ""

    writer.line(f"program = tl.program_id(0){wide}")
    writer.line(f"batch = program // {tiles}")
    writer.line(f"tile = program % {tiles}")
    writer.line(f"first = tile // {_GROUP * column_tiles} * {_GROUP}")
    writer.line(f"height = tl.minimum({row_tiles} - first, {_GROUP})")
    writer.line(f"place = tile % {_GROUP * column_tiles}")
    writer.line(f"row = (first + place % height) * {tile.rows} + tl.arange(0, {tile.rows})")
    writer.line(f"column = place // height * {tile.columns} + tl.arange(0, {tile.columns})")
    _walk(writer, product, tile, depth, rows, columns)
    writer.line(f"mask = (row[:, None] < {rows}) & (column[None, :] < {columns})")
    name = writer.names[product] = writer.new_name()
    writer.line(f"{name} = {writer.rounded('total', product)}")

    places = [*_batch_places(batch), "row[:, None]", "column[None, :]"]
    for y in reads(kernel.body):
        if y not in product.inputs or any(y in x.inputs for x in kernel.body if x is not product):
            access = access_of(y, layouts)
            at = places if access.strides else []
            mask = "mask" if any(access.strides[-2:]) else ""
            writer.names[y] = writer.load(access, at, mask)
    for x in kernel.computed:
        if x.primitive in GENERATED:
            writer.generate(x, offset_text(Access(x, 0, contiguous(x.shape)), places))
        elif x is not product:
            writer.compute(x)
    for number, x in enumerate(kernel.outputs):
        if x.primitive in VIEWS:
            where = offset_in_copy(x, layouts, places)
        else:
            where = offset_text(Access(x, 0, contiguous(x.shape)), places)
        writer.store(number, where, writer.names[writer.source_of(x)], "mask")
    return writer.source(
        kernel.body, math.prod(batch) * tiles, {"num_warps": tile.warps, "num_stages": tile.stages}
    )


def _batch_places(batch: list[int]) -> list[str]:
    """The coordinates of a batch number."""
    steps = contiguous(tuple(batch))
    return [
        f"(batch // {step} % {length})" if len(batch) > 1 else "batch"
        for length, step in zip(batch, steps, strict=True)
    ]


def _walk(writer: Writer, product: Expr, tile: Tile, depth: int, rows: int, columns: int) -> None:
    """The loop over the contracted axis that sums up one tile of the product."""
    a, b = product.inputs
    batch = _batch_places(list(product.shape[:-2]))
    writer.line(f"total = tl.zeros(({tile.rows}, {tile.columns}), tl.float32)")
    writer.line(f"for start in range(0, {depth}, {tile.depth}):")
    writer.line(f"inner = start + tl.arange(0, {tile.depth})", 2)
    left = ["row[:, None]", "inner[None, :]"]
    right = ["inner[:, None]", "column[None, :]"]
    left_places = [*batch, *(left[::-1] if product["transpose_a"] else left)]
    right_places = [*batch, *(right[::-1] if product["transpose_b"] else right)]
    left_mask = f"(row[:, None] < {rows}) & (inner[None, :] < {depth})"
    right_mask = f"(inner[:, None] < {depth}) & (column[None, :] < {columns})"
    for name, y, places, mask in (
        ("left", a, left_places, left_mask),
        ("right", b, right_places, right_mask),
    ):
        access = access_of(y, writer.layouts)
        pointer = writer.pointer(access.base)
        where = offset_text(access, places)
        if not any(access.strides[-2:]):
            where += f" + {places[-1]} * 0"  # a block of the one element there is
        writer.line(f"{name} = tl.load({pointer} + {where}, {mask}, other=0.0)", 2)
    writer.line("total = math.dot(left, right, total)", 2)
