"""Matrix products that a GPU's library computes better than our kernels, and what it is given.

A library's product is a kernel of its own: what follows reads its result from memory. So the times
of both ways are estimated and compared. Rates are shares of those on data sheets, as one H200 had
them; estimates say so.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..expressions.expr import (
    Expr,
    binary,
    broadcast,
    dot,
    full,
    iota,
    make,
    narrow,
    permute,
    reshape,
    where,
)
from ..expressions.layout import Layout, dense_axis
from .gpus import (
    ACCESS,
    Gpu,
)
from .matmul_tiles import Product

# What a library reaches, also where rows of 16 bits are read element by element.
_LIBRARY = 0.8
_LIBRARY_UNALIGNED = 0.16
# What our kernels reach, by how many operands lie along the depth. Those of float32 lie so in
# shared memory too, where lanes that read neighbouring rows then wait for each other; tensor cores
# take those of tf32 so alone. Float64, and tf32 where both lie so, are estimates.
_OURS = {
    "float32": (0.3, 0.16, 0.09),
    "float64": (0.4, 0.4, 0.4),
    "tf32": (0.17, 0.17, 0.7),
    "tf32x3": (0.07, 0.07, 0.07),
}
_OURS_ALIGNED = 0.75
# The share of the bandwidth that a copy has which reads element by element: an estimate.
_COPYING = 0.5
# Seconds that a small kernel takes, and that a library's takes longer: an estimate.
_START = 2e-6
_LIBRARY_START = 4e-6
# Operations from which copies or a library are considered for operands of 16 bits. With fewer, and
# with few rows, our kernels read what is not aligned as well.
_MANY_OF_UNALIGNED = 2**28
# Copies must win so many times what they cost.
_WORTH = 2
# A float32 times this, less what that exceeds it by, has the 11 leading bits that tf32 keeps.
_SPLITTER = 2.0**13 + 1


def by_library(x: Expr, product: Product, layouts: Mapping[Expr, Layout], gpu: Gpu) -> Expr | None:
    """The product as a library computes it, or None where our kernels are as good.

    Args:
        x: a product whose precision is not decided.
        product: the same, as `products.describe` tells it.
        layouts: of its operands.
        gpu: for which it is.
    """
    dtype = product.dtype
    if not (dtype.is_float or dtype.is_integer):
        return _given(x, "ieee", f"there are no products of {dtype}")
    if dtype.is_reduced:
        if not _reads_slowly(x, product, layouts):
            return None
        reason = f"rows of its operands do not begin at multiples of {ACCESS} bytes"
        return _given(x, "ieee", reason)
    if not (product.in_blocks and dtype.is_float):
        return None
    ways = [_once(x, product, gpu)]
    if product.precision == "tf32x3":
        ways.append(_thrice(x, product, gpu))
    seconds, found = min(ways, key=lambda way: way[0])
    return found if seconds < _own_seconds(product, gpu) else None


def _given(x: Expr, precision: str, reason: str) -> Expr:
    """The product by a library."""
    a, b = x.inputs
    return make("dot", a, b, **{**dict(x.attributes), "precision": precision, "library": reason})


def _once(x: Expr, product: Product, gpu: Gpu) -> tuple[float, Expr]:
    """The seconds of one product by a library, and the product: in tf32, or exact."""
    if product.precision != "tf32":
        rate = gpu.operations[product.dtype.name] * _LIBRARY
        seconds = _library_seconds(x, _operations(product), rate, gpu)
        return seconds, _given(x, "ieee", f"it is better at many exact products of {product.dtype}")
    along_depth = product.left_runs and product.right_runs
    kind = "many products" if along_depth else "operands that do not lie along the depth"
    seconds = _library_seconds(x, _operations(product), gpu.operations["tf32"] * _LIBRARY, gpu)
    return seconds, _given(x, "tf32", f"in tf32 it is better at {kind}")


def _thrice(x: Expr, product: Product, gpu: Gpu) -> tuple[float, Expr]:
    """The seconds of one product in tf32, thrice as deep, that is nearly exact, and the product.

    Factors are sums of their leading and their trailing bits, and tf32 keeps either. Of the four
    products of these that of trailing bits is too small to matter; the others, the large one last,
    are one sum.
    """
    a, b = x.inputs
    rate = gpu.operations["tf32"] * _LIBRARY
    seconds = _library_seconds(x, 3 * _operations(product), rate, gpu)
    for y in (a, b):
        seconds += _START + 4 * y.byte_count / gpu.bandwidth
    left = _in_bits(a, -2 if x["transpose_a"] else -1, trailing=1)
    right = _in_bits(b, -1 if x["transpose_b"] else -2, trailing=0)
    deep = dot(left, right, x["transpose_a"] is True, x["transpose_b"] is True)
    return seconds, _given(deep, "tf32", "it multiplies leading and trailing bits apart in tf32")


def _in_bits(y: Expr, axis: int, trailing: int) -> Expr:
    """Three times the leading bits of an operand, one after the other along an axis.

    Args:
        y: float32.
        axis: counted from the end.
        trailing: which of the three has the trailing bits instead.
    """
    axis += len(y.shape)
    before, after = y.shape[:axis], y.shape[axis:]
    shape = (*before, 3, *after)
    whole = broadcast(reshape(y, (*before, 1, *after)), shape)
    scaled = whole * _SPLITTER
    leading = scaled - (scaled - whole)
    parts = where(binary("eq", iota(shape, axis), trailing), whole - leading, leading)
    return reshape(parts, (*before, 3 * after[0], *after[1:]))


def _operations(product: Product) -> int:
    return 2 * product.batch * product.rows * product.columns * product.depth


def _own_seconds(product: Product, gpu: Gpu) -> float:
    """An estimate for a product by a kernel of ours, and what follows it."""
    kind = product.dtype.name if product.precision == "ieee" else product.precision
    share = _OURS[kind][product.left_runs + product.right_runs]
    return _operations(product) / (gpu.operations[product.unit] * share) + _START


def _library_seconds(x: Expr, operations: int, rate: float, gpu: Gpu) -> float:
    """An estimate for a library's product, and for a kernel that reads its result again."""
    again = 2 * x.byte_count / gpu.bandwidth
    return operations / rate + _LIBRARY_START + _START + again


# ---- operands in other memory --------------------------------------------------------------------


def on_aligned_rows(
    x: Expr, product: Product, layouts: Mapping[Expr, Layout], gpu: Gpu
) -> Expr | None:
    """The product on copies of its operands whose rows begin where they can be read in blocks.

    None where they do already, or where copying takes longer than it wins.
    """
    if not product.dtype.is_reduced or not _reads_slowly(x, product, layouts):
        return None
    copied = dict.fromkeys(y for y in x.inputs if not _is_aligned(y, layouts))
    rate, operations = gpu.operations[product.dtype.name], _operations(product)
    cost = sum(
        _START + 2 * _elements(y, layouts) * y.dtype.itemsize / (gpu.bandwidth * _COPYING)
        for y in copied
    )
    ours = operations / (rate * _OURS_ALIGNED) + _START
    library = _library_seconds(x, operations, rate * _LIBRARY_UNALIGNED, gpu)
    if _WORTH * cost > library - ours:
        return None
    return x.on(*(_padded(y, layouts[y]) if y in copied else y for y in x.inputs))


def _reads_slowly(x: Expr, product: Product, layouts: Mapping[Expr, Layout]) -> bool:
    """Whether much is read of 16-bit operands that do not lie in the units of the widest loads."""
    if _operations(product) < _MANY_OF_UNALIGNED:
        return False
    return not all(_is_aligned(y, layouts) for y in x.inputs)


def _padded(y: Expr, layout: Layout) -> Expr:
    """A view of a copy of an operand, with room behind each row up to where the next may begin.

    What is repeated along batch axes is copied once, and what lies along its columns stays so.
    """
    shape = y.shape
    for axis in _repeated(layout):
        y = narrow(y, axis, 0, 1)
    turned = dense_axis(y, layout) == -2
    y = _turned(y) if turned else y
    length = y.shape[-1]
    room = -length % (ACCESS // y.dtype.itemsize)
    zeros = [full(0, (*y.shape[:-1], room), y.dtype)] if room else []
    copy = narrow(make("concat", y, *zeros, axis=len(y.shape) - 1), len(y.shape) - 1, 0, length)
    return broadcast(_turned(copy) if turned else copy, shape)


def _repeated(layout: Layout) -> list[int]:
    """The batch axes along which an operand is one and the same."""
    return [axis for axis, stride in enumerate(layout.strides[:-2]) if not stride]


def _elements(y: Expr, layouts: Mapping[Expr, Layout]) -> int:
    """How many elements of an operand there are to copy."""
    size = y.size
    for axis in _repeated(layouts[y]):
        size //= y.shape[axis]
    return size


def _turned(y: Expr) -> Expr:
    """The matrices of a value with rows for columns: itself again where it was turned before."""
    axes = (*range(len(y.shape) - 2), len(y.shape) - 1, len(y.shape) - 2)
    if y.primitive == "permute" and y.integers("axes") == axes:
        return y.inputs[0]
    return permute(y, axes)


def _is_aligned(y: Expr, layouts: Mapping[Expr, Layout]) -> bool:
    """Whether an operand can be read in the widest accesses."""
    layout, unit = layouts[y], ACCESS // y.dtype.itemsize
    dense = dense_axis(y, layout)
    if layout.strides[dense] != 1 and y.shape[dense] != 1:
        return False
    others = [s for axis, s in enumerate(layout.strides) if axis != dense + len(layout.strides)]
    return all(n % unit == 0 for n in (layout.offset, *others))
