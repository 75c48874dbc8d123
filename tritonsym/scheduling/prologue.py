"""Cheap values of elements, computed where a matrix product reads them, for GPUs.

What is computed of an operand alone, such as a conversion or a bias with its activation, is a
kernel that writes what the product reads at once. A program of the product can compute the block
that it is about to multiply instead; but every tile of columns needs all blocks of its rows, and so
computes them again. It pays where there are few such tiles, and little to read and to compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..expressions.expr import Expr
from ..expressions.layout import Layout
from ..products.gpus import Gpu
from ..products.matmul_tiles import tiles
from ..products.products import describe
from ..rewrites.cones import CHEAP
from .schedule import Kernel

# Steps that are computed again, and how often they are at most: products with more columns are
# bound by their arithmetic, which they would add to. Where little is read, all of it counts less
# than the launch of a kernel. These are estimates; they were not measured.
_MOST_STEPS = 6
_MOST_TILES = 2
_MOST_TILES_OF_LITTLE = 8
_LITTLE = 2**22  # bytes


def with_prologues(
    kernels: Sequence[Kernel],
    outputs: Sequence[Expr],
    layouts: Mapping[Expr, Layout],
    stages: Mapping[Expr, int],
    gpu: Gpu,
) -> tuple[tuple[Kernel, ...], dict[tuple[Expr, Expr], str]]:
    """The same work, where products compute some of what they read.

    Args:
        kernels: in an order in which they can run.
        outputs: what is wanted.
        layouts: of every expression.
        stages: of every expression. Between stages what is in memory may change.
        gpu: for which it is.

    Returns:
        The kernels, and of an operand and its product why the one does not compute the other.
    """
    wanted = {layouts[x].base for x in outputs}
    readers: dict[Expr, dict[int, None]] = {}
    for number, kernel in enumerate(kernels):
        for x in kernel.body:
            for y in x.inputs:
                readers.setdefault(layouts[y].base, {})[number] = None
    changed: list[Kernel | None] = list(kernels)
    refusals: dict[tuple[Expr, Expr], str] = {}
    for number, kernel in enumerate(kernels):
        if kernel.form != "pointwise" or len(kernel.outputs) != 1:
            continue
        (x,) = kernel.outputs
        reading = [n for n in readers.get(x, ()) if n != number]
        products = [kernels[n].product for n in reading if kernels[n].form == "matmul"]
        if not products:
            continue
        reason = "others read it as well" if x in wanted or len(products) < len(reading) else None
        if any(stages[product] != stages[x] for product in products):
            reason = "they are parts of different passes"
        reason = reason or _why_not(kernel, x, [kernels[n] for n in reading], layouts, gpu)
        if reason is not None:
            refusals.update({(x, product): reason for product in products})
            continue
        changed[number] = None
        for n in reading:
            reader = changed[n]
            assert reader is not None
            changed[n] = replace(reader, body=(*kernel.body, *reader.body))
    return tuple(kernel for kernel in changed if kernel is not None), refusals


def _why_not(
    kernel: Kernel,
    x: Expr,
    readers: Sequence[Kernel],
    layouts: Mapping[Expr, Layout],
    gpu: Gpu,
) -> str | None:
    """Why products should not compute their operand ``x``, which a kernel computes now."""
    if len(kernel.body) > _MOST_STEPS or any(y.primitive not in CHEAP for y in kernel.body):
        return "it takes more than a few steps to compute again"
    inside = set(kernel.body)
    read = [y for z in kernel.body for y in z.inputs if y not in inside]
    leaves = list(dict.fromkeys(y for y in read if y.primitive != "constant"))
    if not all(_is_in_order(y, layouts) for y in leaves):
        return "it is computed of what lies in another order"
    if not any(layouts[y].is_dense(y.shape) and y.shape == x.shape for y in leaves):
        return "it repeats what it is computed of"
    size = x.byte_count
    leaf_size = sum(base.byte_count for base in {layouts[y].base for y in leaves})
    before, after = leaf_size + size, 0
    for reader in readers:
        product = reader.product
        left, right = product.inputs
        if left is not x or layouts[right].base is x:
            return "only a left operand as a whole comes through registers"
        if any(x in z.inputs for z in reader.body if z is not product):
            return "what follows the product reads it as well"
        body = (*kernel.body, *reader.body)
        given = describe(product, layouts, str(product["precision"]), body, reader.outputs)
        again = -(-given.columns // tiles(given, gpu, 1)[0].columns)
        most = _MOST_TILES_OF_LITTLE if again * leaf_size <= _LITTLE else _MOST_TILES
        if again > most:
            return f"each of {again} tiles of columns would compute it again"
        before, after = before + again * size, after + again * leaf_size
    return "tiles would read more than it saves" if after > max(before, _LITTLE) else None


def _is_in_order(y: Expr, layouts: Mapping[Expr, Layout]) -> bool:
    """Whether elements lie in the order of the operand, or are repeated along rows or columns."""
    strides = layouts[y].strides
    return layouts[y].is_dense(y.shape) or not strides or 0 in strides[-2:]
