"""For GPUs: attention of 16-bit floats by a library, whose kernel never stores the scores.

Each query is multiplied with all keys, and the softmax of these scores weighs the values. Kernels
of ours write the scores of all queries, make them probabilities and read those for the last
product: four passes over what is often the largest value of a network. A library has one kernel
for it, which keeps the scores of some queries on the chip. Where nothing else needs scores or
probabilities, as in inference, the whole becomes its call.

There the probabilities are rounded to 16 bits before they weigh the values, as they are in the
primitives; the scores are not. Where all scores of a query are -inf a softmax is NaN, and what
the library gives is its own kernel's choice: 0 or NaN.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from torch.nn.functional import scaled_dot_product_attention

from ..expressions.expr import Expr, permute, toposort
from ..expressions.layout import Layout, layout_of
from ..expressions.library import library_call
from ..expressions.operations import on_the_way
from ..expressions.reference import Step, Tensor
from ..foundation.dtype import FLOAT32, DType
from ..graph.trace import Graph
from ..rewrites.simplify import number_of, pairs
from ..rewrites.torch_patterns import (
    Layer,
    apart,
    layer_of,
    less_the_largest,
    softmax_of,
    with_layers,
)
from .gpus import (
    ACCESS,
    Gpu,
)

# Bytes of scores from which on they are the library's. Those of a block of transformers, 268 MB,
# took 322 of its 737 µs on an H200. A few MB stay in a GPU's second cache, where our kernels pass
# over them quickly, and the library's result is copied to its place. From where on the call pays
# is an estimate.
LEAST_SCORES = 2**23
# What the library's kernels can take: GPUs whose tensor cores know both 16-bit floats, elements of
# a head, and heads or batches in one launch.
_LEAST_CAPABILITY = 80
_LARGEST_DEPTH = 256
_LARGEST_BATCH = 2**16 - 1
# Elements of 16 bits in the widest access; what rows begin at, and how long they are.
_UNIT = 8


@dataclass(frozen=True)
class Attention:
    """How queries, keys and values of shape (..., heads, tokens, depth) are combined.

    Attributes:
        scale: of the products of queries and keys.
        by_token: whether the heads of each token lie beside each other in the result, whose shape
            then is (..., tokens, heads, depth). The library's result lies as its queries do.
    """

    scale: float
    by_token: bool


def with_attention(graph: Graph, input_strides: Mapping[int, tuple[int, ...]], gpu: Gpu) -> Graph:
    """The graph with a library's calls where its products and softmaxes are attention.

    Args:
        graph: what is to be computed.
        input_strides: in elements, of bound arrays that are not contiguous, by index.
        gpu: for which it is.
    """
    if gpu.capability < _LEAST_CAPABILITY:
        return graph
    known: dict[Expr, Layout] = {}
    order = toposort(graph.outputs)
    found = ((x, _layer(x, known, input_strides)) for x in order if x.primitive == "dot")
    layers = {x: [layer] for x, layer in found if layer is not None}
    return with_layers(graph, apart(layers, order, graph.outputs))


def why_attention(x: Expr) -> str | None:
    """Why a library computes this expression, if it is attention."""
    if x.primitive != "native" or x["function"] is not _attend:
        return None
    query, key, _ = x.inputs
    return f"it stores no scores of {x.dtype}{[*query.shape[:-1], key.shape[-2]]}"


def _layer(
    x: Expr, known: dict[Expr, Layout], input_strides: Mapping[int, tuple[int, ...]]
) -> Layer | None:
    """The attention that a product is the result of, if the library is to compute it."""
    found = _scores_of(x)
    if found is None:
        return None
    scores, scale = found
    operands = (*scores.inputs, x.inputs[1])
    turned = (scores["transpose_a"], not scores["transpose_b"], x["transpose_b"])
    rows = [_in_rows(y, swap) for y, swap in zip(operands, turned, strict=True)]
    layouts = [layout_of(y, known, input_strides) for y in rows]
    if scores.byte_count < LEAST_SCORES or not _is_served(rows, layouts):
        return None
    *_, heads, tokens, _ = layouts[0].strides
    given = Attention(scale, by_token=heads < tokens)
    operations = on_the_way([x], operands)

    def call(*operands: Expr) -> Expr:
        rows = [_in_rows(y, swap) for y, swap in zip(operands, turned, strict=True)]
        *batch, heads, tokens, depth = range(len(x.shape))
        order = (*batch, tokens, heads, depth) if given.by_token else range(len(x.shape))
        shape = tuple(x.shape[axis] for axis in order)
        result = library_call(
            _attend, "attention", rows, given, shape, x.dtype, operations=operations
        )
        return permute(result, order)  # its own inverse

    return layer_of(x, operands, call)


# ---- what is attention -------------------------------------------------------------------------


def _scores_of(x: Expr) -> tuple[Expr, float] | None:
    """The product of queries and keys of whose softmax ``x`` is the product, and its factor."""
    weights = x.inputs[0]
    softmax = softmax_of(weights.inputs[0] if weights.primitive == "cast" else weights)
    if softmax is None or x["transpose_a"]:
        return None
    exponents, axis = softmax
    shifted, outer = _without_factor(exponents, x.dtype)
    largest = less_the_largest(shifted)
    if largest is None or not largest[1] == axis == len(x.shape) - 1:
        return None
    scores, inner = _without_factor(largest[0], x.dtype)
    # The library takes the largest product for the largest score.
    is_scale = 0 < outer * inner < math.inf
    return (scores, outer * inner) if scores.primitive == "dot" and is_scale else None


def _without_factor(x: Expr, dtype: DType) -> tuple[Expr, float]:
    """What is multiplied by numbers, in float32 or the given dtype, and their product."""
    factor = 1.0
    while x.dtype in (FLOAT32, dtype):
        if x.primitive == "cast":
            (x,) = x.inputs
        elif x.primitive == "div" and (number := number_of(x.inputs[1])):
            x, factor = x.inputs[0], factor / number
        else:
            products = ((y, number_of(other)) for y, other in pairs(x, "mul"))
            known = [(y, number) for y, number in products if number is not None]
            if not known:
                break
            x, factor = known[0][0], factor * known[0][1]
    return x, factor


# ---- what the library can do -------------------------------------------------------------------


def _in_rows(x: Expr, turned: Hashable) -> Expr:
    """An operand with its tokens as rows."""
    *batch, rows, columns = range(len(x.shape))
    return permute(x, (*batch, columns, rows)) if turned else x


def _is_served(operands: Sequence[Expr], layouts: Sequence[Layout]) -> bool:
    """Whether the library has a kernel for queries, keys and values that lie so."""
    query, _, value = operands
    depth = query.shape[-1]
    return (
        query.dtype.is_reduced
        and all(y.dtype is query.dtype for y in operands)
        and len(query.shape) in (3, 4)
        and max(query.shape[:-2]) <= _LARGEST_BATCH
        and depth == value.shape[-1] <= _LARGEST_DEPTH
        and depth % _UNIT == 0
        and all(_is_readable(y, layout) for y, layout in zip(operands, layouts, strict=True))
    )


def _is_readable(x: Expr, layout: Layout) -> bool:
    """Whether rows lie densely, begin at multiples of the widest access, and are not repeated."""
    *others, depth = layout.strides
    steps = [stride for stride, length in zip(others, x.shape[:-1], strict=True) if length > 1]
    aligned = all(n % _UNIT == 0 for n in (layout.offset, *steps))
    return depth == 1 and aligned and all(steps)


# ---- the call ----------------------------------------------------------------------------------


def _attend(given: Attention, inputs: list[Tensor], out: Tensor) -> Step:
    place = out.transpose(-3, -2) if given.by_token else out
    place = place if place.ndim == 4 else place[None]

    def step() -> object:
        query, key, value = (_aligned(x if x.ndim == 4 else x[None]) for x in inputs)
        return place.copy_(scaled_dot_product_attention(query, key, value, scale=given.scale))

    return step


def _aligned(x: Tensor) -> Tensor:
    """A tensor whose memory begins where the library's kernels expect it; a caller's need not."""
    return x if x.data_ptr() % ACCESS == 0 else x.clone()
