"""Matrix products of a graph for a GPU: which our kernels compute, how exactly, and in how many
parts.

A product of few rows and columns over a long depth keeps few programs busy. It is computed in parts
by as many programs more, and the parts are added in their order by elementwise expressions, which
join the kernel of what follows. So results are the same bits at every run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .dtype import FLOAT32, FLOAT64
from .expr import (
    ELEMENTWISE,
    Expr,
    Shape,
    cast,
    contracted,
    make,
    narrow,
    reshape,
)
from .gpus import Gpu
from .layout import Layout, layout_of
from .matmul_tiles import Product, part_length
from .simplify import rewritten
from .tensor_descriptor import axes_of
from .trace import Graph

# From so many operations on, a library computes what 16-bit tensor cores do not, and what our
# kernels would have to read element by element: more than a kernel of what follows would cost.
# These are estimates; they were not measured.
_MANY_OPERATIONS = 2**33
_MANY_OF_UNALIGNED = 2**28
_VECTOR = 16  # bytes
# Functions after a product that need many registers, beside each other for a whole tile.
_HEAVY = ELEMENTWISE.difference(
    ("neg", "abs", "sign", "add", "sub", "mul", "div", "maximum", "minimum", "sqrt", "rsqrt"),
    ("floor", "ceil", "trunc", "round", "rint", "eq", "ne", "lt", "le", "gt", "ge"),
    ("and", "or", "not", "where", "cast"),
)
_MANY_OPERANDS = 2


def chosen(
    graph: Graph, input_strides: Mapping[int, tuple[int, ...]], gpu: Gpu, precision: str
) -> Graph:
    """The graph with a decision in every matrix product.

    Args:
        graph: what is to be computed.
        input_strides: in elements, of bound arrays that are not contiguous, by index.
        gpu: for which it is.
        precision: of products of float32, one of `switches.PRECISIONS`.
    """
    where: dict[Expr, Layout] = {}

    def rule(x: Expr) -> Expr | None:
        if x.primitive != "dot" or x["precision"] is not None:
            return None
        for y in x.inputs:
            layout_of(y, where, input_strides)
        used = precision if x.dtype is FLOAT32 else "ieee"
        return None if why_library(x, where, used) else _computed(x, where, gpu, used)

    return rewritten(graph, rule)


def _computed(x: Expr, where: Mapping[Expr, Layout], gpu: Gpu, precision: str) -> Expr:
    """A product by our kernels, in parts where that is faster."""
    product = describe(x, where, precision)
    length = part_length(product, gpu)
    if length >= product.depth:
        return make("dot", *x.inputs, **{**dict(x.attributes), "precision": precision})
    parts = dot_parts(x, precision, length)
    total = _part(parts, 0, x.shape)
    for number in range(1, parts.shape[0]):
        total = make("add", total, _part(parts, number, x.shape))
    return cast(total, x.dtype)


def dot_parts(x: Expr, precision: str, length: int) -> Expr:
    """The product ``x`` in parts along a new first axis, whose sum it is.

    Each part is over ``length`` contracted elements, the last over what is left of them. Parts of
    16-bit floats are float32.
    """
    return make(
        "dot_parts",
        *x.inputs,
        transpose_a=x["transpose_a"],
        transpose_b=x["transpose_b"],
        precision=precision,
        length=length,
    )


def _part(parts: Expr, number: int, shape: Shape) -> Expr:
    return reshape(narrow(parts, 0, number, number + 1), shape)


def describe(
    x: Expr,
    where: Mapping[Expr, Layout],
    precision: str,
    body: Sequence[Expr] = (),
    outputs: Sequence[Expr] = (),
) -> Product:
    """A product as its tiles depend on it, with what a kernel computes of it."""
    a, b = x.inputs
    prologue = prologue_of(x, body)
    followed = [y for y in body if y is not x and y not in prologue]
    read = {y for z in followed for y in z.inputs if y not in body and y.primitive != "constant"}
    stored = x.shape[1:] if x.primitive == "dot_parts" else x.shape
    left_runs = _dense_axis(a, where) == (-2 if x["transpose_a"] else -1)
    right_runs = _dense_axis(b, where) == (-1 if x["transpose_b"] else -2)
    # In shared memory the elements of wider operands have to lie along the depth.
    comes_in_order = a.dtype.is_reduced or (precision == "tf32" and left_runs and right_runs)
    return Product(
        batch=math.prod(stored[:-2]),
        rows=stored[-2],
        columns=stored[-1],
        depth=contracted(a, x["transpose_a"]),
        dtype=a.dtype,
        precision=precision,
        left_runs=left_runs,
        right_runs=right_runs,
        heavy=len(read) + len(outputs[1:]) > _MANY_OPERANDS
        or any(y.primitive in _HEAVY for y in followed)
        or bool(prologue),
        parts=x.shape[0] if x.primitive == "dot_parts" else 1,
        described=comes_in_order
        and not prologue
        and all(axes_of(y, where[y]) is not None for y in (a, b)),
    )


def prologue_of(product: Expr, body: Sequence[Expr]) -> tuple[Expr, ...]:
    """What of a kernel's body its product reads, itself or by way of others, in order."""
    needed = set(product.inputs)
    found = []
    for x in reversed(body):
        if x in needed:
            needed.update(x.inputs)
            found.append(x)
    return tuple(reversed(found))


def why_library(x: Expr, where: Mapping[Expr, Layout], precision: str) -> str | None:
    """Why a library computes this product better than a kernel of ours, or None."""
    a, b = x.inputs
    operations = 2 * x.size * contracted(a, x["transpose_a"])
    if not (a.dtype.is_float or a.dtype.is_integer):
        return f"there are no products of {a.dtype}"
    if a.dtype in (FLOAT32, FLOAT64) and precision == "ieee" and operations >= _MANY_OPERATIONS:
        return f"it is better at many exact products of {a.dtype}"
    unaligned = any(not _is_aligned(y, where) for y in (a, b))
    if unaligned and a.dtype.is_reduced and operations >= _MANY_OF_UNALIGNED:
        return f"rows of its operands do not begin at multiples of {_VECTOR} bytes"
    return None


def _dense_axis(x: Expr, where: Mapping[Expr, Layout]) -> int:
    """Which of the last two axes has its elements one after the other."""
    strides = where[x].strides
    return -1 if strides[-1] == 1 or (x.shape[-1] == 1 and strides[-2] != 1) else -2


def _is_aligned(x: Expr, where: Mapping[Expr, Layout]) -> bool:
    """Whether an operand can be read in the widest accesses."""
    layout, unit = where[x], _VECTOR // x.dtype.itemsize
    dense = _dense_axis(x, where)
    if layout.strides[dense] != 1 and x.shape[dense] != 1:
        return False
    others = [s for axis, s in enumerate(layout.strides) if axis != dense + len(layout.strides)]
    return all(n % unit == 0 for n in (layout.offset, *others))
