"""Kernels whose programs go through memory once, a block of elements each.

Elementwise expressions, positions and random numbers, and the movements that are no views: copies,
joins, lookups.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..expressions.expr import GENERATED, VIEWS, Expr
from ..expressions.layout import Layout, contiguous
from ..products.gpus import WARP
from ..scheduling.schedule import Kernel
from .registers import Order, ordered
from .triton_walks import Size, walk_over
from .triton_writer import (
    Access,
    Source,
    Writer,
    access_of,
    begin,
    coordinates_of,
    reach_of,
    reads,
)


def pointwise(kernel: Kernel, layouts: Mapping[Expr, Layout]) -> Source:
    """Elementwise expressions over one shape, any strides, any number of outputs."""
    shape = kernel.body[0].shape
    read = reads(kernel.body)
    ones = [y for y in read if y.shape == ()]
    full = [y for y in read if y.shape != ()]
    copies = [x for x in kernel.outputs if x.primitive in VIEWS]
    dense = Access(kernel.body[0], 0, contiguous(shape))
    draws = any(x.primitive == "random" for x in kernel.body)
    writer = Writer(layouts, kernel.outputs)
    stores = writer.stores()
    parts = [store.part for store in stores if store.part is not None]
    accesses = [access_of(y, layouts) for y in full]
    walk = walk_over(shape, dense, accesses, copies, layouts, draws, parts)
    order, size = _in_registers(kernel, full, {store.value for store in stores}, walk.sizes)
    places = walk.begin(writer, size)
    for y in ones:
        writer.names[y] = writer.load(Access(layouts[y].base, layouts[y].offset, ()), (), "")
    access = dict(zip(full, walk.read, strict=True))
    for x in walk.ordered(order.steps, access):
        if x in access:
            inside = places.inside_of(access[x])
            writer.names[x] = writer.load(access[x], places.coordinates, inside)
        elif x.primitive in GENERATED:
            writer.generate(x, places.position)
        else:
            writer.compute(x)
    of_parts = iter(places.stored)
    for store in stores:
        output = kernel.outputs[store.number]
        where = next(of_parts) if store.part else places.copies.get(output, places.position)
        writer.store(store.number, where, writer.names[store.value], places.inside)
    return writer.source(kernel.body, places.programs, size.options)


def _in_registers(
    kernel: Kernel, read: Sequence[Expr], stored: Collection[Expr], sizes: Sequence[Size]
) -> tuple[Order, Size]:
    """When a kernel loads what it reads, and how many elements a program has."""
    for size in sizes:
        elements = size.elements // (size.warps * WARP)
        order = ordered(read, kernel.computed, stored, elements)
        if order.fits(elements):
            break
    return order, size


def copy(x: Expr, layouts: Mapping[Expr, Layout]) -> Source:
    """A movement that is no view: every element is read where strides say and written densely."""
    (data,) = x.inputs
    access, shape = access_of(data, layouts), x.shape
    if x.primitive == "reshape":
        shape = data.shape
    elif x.primitive == "permute":
        axes = x.integers("axes")
        access = Access(access.base, access.offset, tuple(access.strides[a] for a in axes))
    elif x.primitive == "flip":
        axes = x.integers("axes")
        ends = sum((data.shape[a] - 1) * access.strides[a] for a in axes)
        strides = tuple(-s if a in axes else s for a, s in enumerate(access.strides))
        access = Access(access.base, access.offset + ends, strides)
    walk = walk_over(shape, Access(x, 0, contiguous(shape)), [access], (), layouts)
    writer = Writer(layouts, (x,))
    size = walk.sizes[0]
    places = walk.begin(writer, size)
    (read,) = walk.read
    value = writer.load(read, places.coordinates, places.inside_of(read))
    writer.store(0, places.position, value, places.inside)
    return writer.source([x], places.programs, size.options)


def concat(x: Expr, layouts: Mapping[Expr, Layout]) -> Source:
    """Inputs one after the other: each is loaded where its own elements are."""
    axis = x.integer("axis")
    writer = Writer(layouts, (x,))
    programs = begin(writer, x.size, _reach(x.inputs, layouts))
    coordinates = coordinates_of(writer, "i", x.shape, "i")
    position = coordinates[axis]
    start, result = 0, ""
    for data in x.inputs:
        stop = start + data.shape[axis]
        inside = writer.new_name()
        writer.line(f"{inside} = ({position} >= {start}) & ({position} < {stop})")
        access = access_of(data, layouts)
        moved = Access(access.base, access.offset - start * access.strides[axis], access.strides)
        value = writer.load(moved, coordinates, f"mask & {inside}")
        if result:
            writer.line(f"{value} = tl.where({inside}, {value}, {result})")
        start, result = stop, value
    writer.store(0, "i", result, "mask")
    return writer.source([x], programs)


def take(x: Expr, layouts: Mapping[Expr, Layout]) -> Source:
    """Slices of the data that indices name: the index takes the place of one coordinate."""
    data, indices = x.inputs
    axis, rank = x.integer("axis"), len(indices.shape)
    writer = Writer(layouts, (x,))
    programs = begin(writer, x.size, _reach(x.inputs, layouts))
    coordinates = coordinates_of(writer, "i", x.shape, "i")
    own = coordinates[axis : axis + rank]
    chosen = writer.load(access_of(indices, layouts), own, "mask")
    places = [*coordinates[:axis], chosen, *coordinates[axis + rank :]]
    writer.store(0, "i", writer.load(access_of(data, layouts), places, "mask"), "mask")
    return writer.source([x], programs)


def pick(x: Expr, layouts: Mapping[Expr, Layout]) -> Source:
    """One element along an axis for each index, which takes the place of that coordinate."""
    data, indices = x.inputs
    axis = x.integer("axis")
    writer = Writer(layouts, (x,))
    programs = begin(writer, x.size, _reach(x.inputs, layouts))
    coordinates = coordinates_of(writer, "i", x.shape, "i")
    chosen = writer.load(access_of(indices, layouts), coordinates, "mask")
    places = [*coordinates[:axis], chosen, *coordinates[axis + 1 :]]
    writer.store(0, "i", writer.load(access_of(data, layouts), places, "mask"), "mask")
    return writer.source([x], programs)


def _reach(read: Sequence[Expr], layouts: Mapping[Expr, Layout]) -> int:
    """The largest offset of any element that is read."""
    return max(reach_of(y.shape, [access_of(y, layouts)]) for y in read)
