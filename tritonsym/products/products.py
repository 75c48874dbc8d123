"""Matrix products of a graph for a GPU: which our kernels compute, how exactly, and in how many
parts.

A product of few rows and columns over a long depth keeps few programs busy. It is computed in parts
by as many programs more, and the parts are added in their order by elementwise expressions, which
join the kernel of what follows. So results are the same bits at every run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..expressions.expr import ELEMENTWISE, Expr, Shape, cast, contracted, make, narrow, reshape
from ..expressions.layout import Layout, dense_axis, layout_of
from ..foundation.dtype import FLOAT32
from ..graph.trace import Graph
from ..rewrites.simplify import rewritten
from .gpus import Gpu
from .library_products import by_library, on_aligned_rows
from .matmul_tiles import Product, part_length
from .tensor_descriptor import axes_of

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
        product = describe(x, where, used)
        return (
            on_aligned_rows(x, product, where, gpu)
            or by_library(x, product, where, gpu)
            or _computed(x, product, gpu)
        )

    return rewritten(graph, rule)


def _computed(x: Expr, product: Product, gpu: Gpu) -> Expr:
    """A product by our kernels, in parts where that is faster."""
    precision = product.precision
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
    left_runs = dense_axis(a, where[a]) == (-2 if x["transpose_a"] else -1)
    right_runs = dense_axis(b, where[b]) == (-1 if x["transpose_b"] else -2)
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
