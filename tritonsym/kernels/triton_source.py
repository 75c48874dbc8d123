"""The Triton text of a kernel: one readable module each, by the writer of its form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..expressions.expr import ELEMENTWISE, Expr
from ..expressions.layout import Layout
from ..products.gpus import Gpu
from ..products.matmul_tiles import tiles
from ..scheduling.schedule import Kernel
from .triton_combined import combined, with_views_apart
from .triton_matmul import matmul, product_of
from .triton_pointwise import concat, copy, pick, pointwise, take
from .triton_rows import rows
from .triton_writer import Source

# The writers of expressions that are a kernel of their own.
_SINGLE: dict[str, Callable[[Expr, Mapping[Expr, Layout]], Source]] = {
    "reshape": copy,
    "permute": copy,
    "expand": copy,
    "slice": copy,
    "flip": copy,
    "concat": concat,
    "take": take,
    "pick": pick,
}


def write(kernel: Kernel, layouts: Mapping[Expr, Layout], gpu: Gpu) -> Source | None:
    """The source of a kernel for a GPU; None for one that a library computes."""
    if kernel.form == "pointwise":
        return pointwise(kernel, layouts)
    if kernel.form == "matmul":
        return choices(kernel, layouts, gpu)[0]
    if kernel.form == "rows":
        return rows(kernel, layouts)
    if kernel.form == "combined":
        return _combined(kernel, layouts, gpu)
    (x,) = kernel.body
    if x.primitive in ELEMENTWISE:  # of constants, which are no array
        return pointwise(kernel, layouts)
    return _SINGLE[x.primitive](x, layouts) if x.primitive in _SINGLE else None


def _combined(kernel: Kernel, layouts: Mapping[Expr, Layout], gpu: Gpu) -> Source:
    """The source of kernels side by side."""
    sources = []
    for part in kernel.parts:
        source = write(part, with_views_apart(part, layouts), gpu)
        assert source is not None  # no library's call is combined
        sources.append(source)
    return combined(sources, layouts)


def choices(
    kernel: Kernel, layouts: Mapping[Expr, Layout], gpu: Gpu, descriptors: bool = True
) -> tuple[Source, ...]:
    """The sources of a matrix product that a GPU may be fastest with, the likeliest first.

    Args:
        kernel: with a product.
        layouts: of every expression.
        gpu: for which it is.
        descriptors: whether all memory begins where tensor descriptors can have it.
    """
    product = product_of(kernel, layouts)
    found = tiles(replace(product, described=product.described and descriptors), gpu)
    return tuple(matmul(kernel, layouts, tile) for tile in found)
