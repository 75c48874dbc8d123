"""For GPUs: attention of 16-bit floats by a library, whose kernels never store the scores.

Each query is multiplied with all keys, and the softmax of these scores weighs the values. Kernels
of ours write the scores of all queries, make them probabilities and read those for the last
product: four passes over what is often the largest value of a network, and seven more for its
gradients. A library keeps the scores of some queries on the chip, and for gradients computes them
once more. Where nothing else needs scores or probabilities, the result is its call, and so are the
gradients, all by one.

There the probabilities are rounded to 16 bits before they weigh the values, as they are in the
primitives; the scores and their gradients are not. Where all scores of a query are -inf a softmax
is NaN, and what the library gives is its own kernel's choice: 0 or NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from ..expressions.exactness import in_one_order
from ..expressions.expr import Expr, Shape, narrow, permute, reshape
from ..expressions.layout import Layout, layout_of
from ..expressions.library import library_call
from ..expressions.operations import on_the_way
from ..expressions.reference import Step, Tensor
from ..expressions.walks import toposort
from ..foundation.dtype import FLOAT32, DType
from ..graph.trace import Graph
from ..rewrites.simplify import number_of, pairs
from ..rewrites.torch_patterns import (
    Layer,
    apart,
    layer_of,
    less_the_largest,
    once,
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
# Deeper gradients are for some of these GPUs alone.
_LARGEST_DEPTH_BACK = 192
_LARGEST_BATCH = 2**16 - 1
# Elements of 16 bits in the widest access; what rows begin at, and how long they are.
_UNIT = 8


@dataclass(frozen=True)
class Attention:
    """How queries, keys and values of shape (..., heads, tokens, depth) are combined.

    Attributes:
        scale: of the products of queries and keys.
        by_token: of each result whether the heads of a token lie beside each other in it, whose
            shape then is (..., tokens, heads, depth). The library's result lies as its queries do,
            and a gradient as what it is the gradient of.
    """

    scale: float
    by_token: tuple[bool, ...]


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

    def served(scores: _Scores, *operands: _Operand) -> tuple[bool, ...] | None:
        rows = [operand.rows for operand in operands]
        layouts = [layout_of(x, known, input_strides) for x in rows]
        if scores.product.byte_count < LEAST_SCORES or not _is_served(rows, layouts):
            return None
        return tuple(layout.strides[-3] < layout.strides[-2] for layout in layouts)

    order = toposort(graph.outputs)
    place = {x: number for number, x in enumerate(order)}
    uses = [use for x in order if x.primitive == "dot" for use in _uses(x)]
    # A gradient of values needs no values, and may be asked for before they are known.
    layers = {
        x: [layer]
        for x, layer in (*_forward(uses, served), *_backward(uses, served))
        if all(place[y] < place[x] for y in layer.inputs)
    }
    return with_layers(graph, apart(layers, order, graph.outputs))


def why_attention(x: Expr) -> str | None:
    """Why a library computes this expression, if it is attention or the gradients of it."""
    if x.primitive != "native" or x["function"] not in (_attend, _attend_back):
        return None
    query, key, *_ = x.inputs
    return f"it stores no scores of {x.dtype}{[*query.shape[:-1], key.shape[-2]]}"


# ---- what is attention -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Operand:
    """What a product reads, and whether its tokens are columns there."""

    source: Expr
    turned: bool

    @property
    def rows(self) -> Expr:
        return _in_rows(self.source, self.turned)


@dataclass(frozen=True)
class _Scores:
    """Products of queries and keys, and what they are multiplied with."""

    product: Expr
    query: _Operand
    key: _Operand
    scale: float


@dataclass(frozen=True)
class _Slopes:
    """The gradient of scores.

    Attributes:
        weights: the softmax of the scores.
        head: the gradient of the attention's result.
    """

    scores: _Scores
    weights: Expr
    value: _Operand
    head: _Operand


@dataclass(frozen=True)
class _Use:
    """A product of a matrix, with a row for each query and a column for each key.

    Attributes:
        result: the product.
        matrix: its one operand.
        other: the other one, which has a row for each key or for each query.
        of_queries: whether the result has a row for each query, and the other one for each key.
        turned: whether these rows of the result are columns.
    """

    result: Expr
    matrix: Expr
    other: _Operand
    of_queries: bool
    turned: bool


# Of each operand whether its heads lie by token; None where the library does not serve them.
_Served = Callable[..., tuple[bool, ...] | None]


def _uses(x: Expr) -> Iterator[_Use]:
    """What a product is if its first operand is such a matrix, and if its second one is."""
    first, second = x.inputs
    of_first, of_second = bool(x["transpose_a"]), bool(x["transpose_b"])
    yield _Use(x, first, _Operand(second, of_second), not of_first, turned=False)
    yield _Use(x, second, _Operand(first, not of_first), of_second, turned=True)


def _multiplied(x: Expr) -> tuple[_Operand, _Operand]:
    """The two whose rows a product multiplies with each other, each with each."""
    first, second = x.inputs
    return _Operand(first, bool(x["transpose_a"])), _Operand(second, not x["transpose_b"])


def _scores_of(weights: Expr) -> _Scores | None:
    """The scores of whose rows ``weights`` are the softmax."""
    softmax = softmax_of(_before_cast(weights))
    if softmax is None:
        return None
    exponents, axis = softmax
    shifted, outer = _without_factor(exponents, weights.dtype)
    largest = less_the_largest(shifted)
    if largest is None or not largest[1] == axis == len(weights.shape) - 1:
        return None
    product, inner = _without_factor(largest[0], weights.dtype)
    # The library takes the largest product for the largest score.
    if product.primitive != "dot" or not 0 < outer * inner < math.inf:
        return None
    return _Scores(product, *_multiplied(product), outer * inner)


def _slopes_of(x: Expr) -> _Slopes | None:
    """x = scale * weights * (slope - sum(slope * weights)), where the slope is that of weights."""
    gradient, factor = _without_factor(x, x.dtype)
    for rest, wide in pairs(gradient, "mul"):
        if rest.primitive != "sub" or not rest.dtype.is_float:
            continue
        slope, share = rest.inputs[0], once(rest.inputs[1])
        if share.primitive != "sum" or share.integers("axes") != (len(x.shape) - 1,):
            continue
        weights, product = _before_cast(wide), _before_cast(slope)
        scores = _scores_of(weights)
        is_share = any(y is slope and z is wide for y, z in pairs(share.inputs[0], "mul"))
        if scores is None or product.primitive != "dot" or not is_share:
            continue
        if math.isclose(factor, scores.scale, rel_tol=1e-6):
            head, value = _multiplied(product)
            return _Slopes(scores, weights, value, head)
    return None


def _before_cast(x: Expr) -> Expr:
    return x.inputs[0] if x.primitive == "cast" else x


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


# ---- layers ------------------------------------------------------------------------------------


def _forward(uses: Sequence[_Use], served: _Served) -> Iterator[tuple[Expr, Layer]]:
    """The results of attention that the library can compute."""
    for use in uses:
        scores = _scores_of(use.matrix) if use.of_queries else None
        if scores is None:
            continue
        operands = (scores.query, scores.key, use.other)
        by_token = served(scores, *operands)
        if by_token is not None:
            yield use.result, _forward_layer(use, operands, Attention(scores.scale, by_token[:1]))


def _forward_layer(use: _Use, operands: Sequence[_Operand], given: Attention) -> Layer:
    sources = [operand.source for operand in operands]
    operations = on_the_way([use.result], sources)
    (by_token,) = given.by_token

    def call(*sources: Expr) -> Expr:
        rows = _all_rows(operands, sources)
        shape = _stored(rows[0].shape, by_token)
        result = library_call(
            _attend, "attention", rows, given, shape, rows[0].dtype, operations=operations
        )
        return _in_rows(_by_head(result, by_token), use.turned)

    return layer_of(use.result, sources, call)


def _backward(uses: Sequence[_Use], served: _Served) -> Iterator[tuple[Expr, Layer]]:
    """The gradients of queries, keys and values that the library can compute."""
    slopes = {use.matrix: found for use in uses if (found := _slopes_of(use.matrix)) is not None}
    for found in dict.fromkeys(slopes.values()):
        scores = found.scores
        operands = (scores.query, scores.key, found.value, found.head)
        by_token = served(scores, *operands)
        if by_token is None or found.value.rows.shape[-1] > _LARGEST_DEPTH_BACK:
            continue
        # What the gradients of queries, of keys and of values are products of.
        factors = (scores.key.rows, scores.query.rows, found.head.rows)
        parts = []
        for use in uses:
            if slopes.get(use.matrix) == found:
                number = 0 if use.of_queries else 1
            elif use.matrix is found.weights and not use.of_queries:
                number = 2
            else:
                continue
            if use.other.rows is factors[number]:
                parts.append((number, use))
        yield from _backward_layers(parts, operands, Attention(scores.scale, by_token[:3]))


def _backward_layers(
    parts: Sequence[tuple[int, _Use]], operands: Sequence[_Operand], given: Attention
) -> Iterator[tuple[Expr, Layer]]:
    """Of gradients, each with the number of the operand that it is of: one call for all."""
    sources = [operand.source for operand in operands]
    operations = on_the_way([use.result for _, use in parts], sources)

    def part(number: int, turned: bool, *sources: Expr) -> Expr:
        rows = _all_rows(operands, sources)
        ends = [*accumulate(x.size for x in rows[:3])]
        every = library_call(
            _attend_back,
            "attention_backward",
            rows,
            given,
            (ends[-1],),
            rows[0].dtype,
            operations=operations,
        )
        one, by_token = rows[number], given.by_token[number]
        flat = narrow(every, 0, ends[number] - one.size, ends[number])
        return _in_rows(_by_head(reshape(flat, _stored(one.shape, by_token)), by_token), turned)

    for number, use in parts:
        yield use.result, layer_of(use.result, sources, partial(part, number, use.turned))


def _all_rows(operands: Sequence[_Operand], sources: Sequence[Expr]) -> list[Expr]:
    """The rows of what operands became."""
    return [_in_rows(x, operand.turned) for operand, x in zip(operands, sources, strict=True)]


def _in_rows(x: Expr, turned: bool) -> Expr:
    """An operand with its tokens as rows; or rows as columns, which is the same."""
    *batch, rows, columns = range(len(x.shape))
    return permute(x, (*batch, columns, rows)) if turned else x


def _by_head(x: Expr, by_token: bool) -> Expr:
    """(..., heads, tokens, depth) of what may be (..., tokens, heads, depth)."""
    *batch, tokens, heads, depth = range(len(x.shape))
    return permute(x, (*batch, heads, tokens, depth)) if by_token else x


def _stored(shape: Shape, by_token: bool) -> Shape:
    """The shape in memory of what has this one by head."""
    *batch, heads, tokens, depth = shape
    return (*batch, tokens, heads, depth) if by_token else shape


# ---- what the library can do -------------------------------------------------------------------


def _is_served(operands: Sequence[Expr], layouts: Sequence[Layout]) -> bool:
    """Whether the library has a kernel for operands that lie so: queries, keys, values and more."""
    query, _, value, *_ = operands
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


# ---- the calls ---------------------------------------------------------------------------------


def _attend(given: Attention, inputs: list[Tensor], out: Tensor) -> Step:
    (by_token,) = given.by_token
    place = _batched(out.transpose(-3, -2) if by_token else out)

    def step() -> object:
        query, key, value = (_aligned(_batched(x)) for x in inputs)
        with torch.autocast(out.device.type, enabled=False):  # a caller's is not for us
            result = scaled_dot_product_attention(query, key, value, scale=given.scale)
        return place.copy_(result)

    return step


def _attend_back(given: Attention, inputs: list[Tensor], out: Tensor) -> Step:
    """The gradients of queries, keys and values, one after the other in ``out``."""
    places, begin = [], 0
    for x, by_token in zip(inputs, given.by_token, strict=False):  # the head has no gradient
        place = out[begin : begin + x.numel()].view(_stored(tuple(x.shape), by_token))
        places.append(_batched(place.transpose(-3, -2) if by_token else place))
        begin += x.numel()

    def step() -> None:
        query, key, value, head = (_aligned(_batched(x)) for x in inputs)
        gradients = attention_gradients(query, key, value, head, given.scale)
        for place, gradient in zip(places, gradients, strict=True):
            place.copy_(gradient)

    return in_one_order(step, out)


def attention_gradients(
    query: Tensor, key: Tensor, value: Tensor, head: Tensor, scale: float
) -> Sequence[Tensor]:
    """The gradients of queries, keys and values by the library's own operators.

    They know nothing of what a program has told torch of gradients: modes, hooks, its checks.
    """
    operators: Any = torch.ops.aten
    operands = (query, key, value)
    if query.device.type == "cpu":
        forward = operators._scaled_dot_product_flash_attention_for_cpu
        backward = operators._scaled_dot_product_flash_attention_for_cpu_backward
        made = forward(*operands, scale=scale)
        return tuple(backward(head, *operands, *made, 0.0, False, scale=scale))
    forward = operators._scaled_dot_product_flash_attention
    result, logarithms, *lengths, seed, offset, _ = forward(*operands, scale=scale)
    backward = operators._scaled_dot_product_flash_attention_backward
    made = (result, logarithms, *lengths)
    return tuple(backward(head, *operands, *made, 0.0, False, seed, offset, scale=scale))


def _batched(x: Tensor) -> Tensor:
    """With the four axes that the library's kernels ask for."""
    return x if x.ndim == 4 else x[None]


def _aligned(x: Tensor) -> Tensor:
    """A tensor whose memory begins where the library's kernels expect it; a caller's need not."""
    return x if x.data_ptr() % ACCESS == 0 else x.clone()
