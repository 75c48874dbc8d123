"""Operators that draw from what they are given: by ranges, moments or weights; in another order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tritonsym.expressions.expr import (
    Expr,
    argsort,
    broadcast,
    cast,
    iota,
    make,
    pick,
    random,
    reduce,
    reshape,
    take,
    where,
)
from tritonsym.foundation.dtype import FLOAT32, FLOAT64, INT32, INT64, DType
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import DTypes, Gradients, Shapes, merge_shapes, operator, unify_shapes

from .common import accumulator, no_gradients
from .creation import deviates, float_dtype


def _sample_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    unify_shapes(attributes, inputs, [])
    if inputs[0] is not None:
        outputs[0] = merge_shapes((*inputs[0], *attributes.shape), outputs[0])


def _sample_dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    inputs[:] = [inputs[0] or inputs[1]] * 2
    outputs[0] = attributes.dtype or FLOAT32


def _for_each(parameter: Expr, drawn: Expr) -> Expr:
    """A parameter of a distribution, repeated for each number that is drawn from it."""
    missing = len(drawn.shape) - len(parameter.shape)
    spread = reshape(cast(parameter, drawn.dtype), (*parameter.shape, *[1] * missing))
    return broadcast(spread, drawn.shape)


@operator(
    "_sample_uniform",
    aliases=("sample_uniform",),
    shapes=_sample_shapes,
    dtypes=_sample_dtypes,
    gradient=no_gradients,
)
def sample_uniform(
    low: Expr,
    high: Expr,
    *,
    shape: tuple[int, ...] = (),
    dtype: DType | None = None,
    stream: int,
) -> Expr:
    """Uniform random numbers in each range ``[low, high)``, ``shape`` of them, one without it.

    Both inputs have one shape; the result has it, and then ``shape``. There are no gradients.
    """
    kind = float_dtype(dtype)
    drawn = random((*low.shape, *shape), accumulator(kind), stream)
    first, last = _for_each(low, drawn), _for_each(high, drawn)
    return cast(drawn * (last - first) + first, kind)


@operator(
    "_sample_normal",
    aliases=("sample_normal",),
    shapes=_sample_shapes,
    dtypes=_sample_dtypes,
    gradient=no_gradients,
)
def sample_normal(
    mu: Expr,
    sigma: Expr,
    *,
    shape: tuple[int, ...] = (),
    dtype: DType | None = None,
    stream: int,
) -> Expr:
    """Normal random numbers of each mean ``mu`` and standard deviation ``sigma``.

    ``shape`` of them, one without it. Both inputs have one shape; the result has it, and then
    ``shape``. There are no gradients.
    """
    kind = float_dtype(dtype)
    drawn = deviates((*mu.shape, *shape), accumulator(kind), stream)
    return cast(drawn * _for_each(sigma, drawn) + _for_each(mu, drawn), kind)


@operator("_shuffle", aliases=("shuffle",), shapes=unify_shapes)
def shuffle(data: Expr, *, stream: int) -> Expr:
    """The parts of ``data`` along its first axis in a random order, a new one at every run."""
    order = argsort(random(data.shape[:1], FLOAT64, stream), 0, descending=False)
    return take(data, order, 0)


def _multinomial_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    if inputs[0] is not None:
        shape = (*inputs[0][:-1], *attributes.shape) or (1,)
        outputs[:] = [merge_shapes(shape, output) for output in outputs]


def _multinomial_dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    outputs[0] = attributes.dtype
    for index in range(1, len(outputs)):
        inputs[0] = outputs[index] = inputs[0] or outputs[index]


def _multinomial_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    """That of the logarithms of the probabilities of what was drawn."""
    (data,) = inputs
    if not attributes.get_prob:
        return (None,)
    rows, classes = data.size // data.shape[-1], data.shape[-1]
    draws = outputs[0].size // rows
    chosen = cast(reshape(outputs[0], (rows, draws, 1)), INT64)
    hit = iota((rows, draws, classes), 2).equals(broadcast(chosen, (rows, draws, classes)))
    p = reshape(data, (rows, 1, classes))
    parts = where(hit, reshape(heads[1], (rows, draws, 1)) / p, 0)
    return (reshape(reduce("sum", parts, (1,)), data.shape),)


@operator(
    "_sample_multinomial",
    aliases=("sample_multinomial",),
    outputs=lambda attributes: ("output0", "output1") if attributes.get_prob else ("output",),
    shapes=_multinomial_shapes,
    dtypes=_multinomial_dtypes,
    gradient=_multinomial_gradient,
)
def sample_multinomial(
    data: Expr,
    *,
    shape: tuple[int, ...] = (),
    get_prob: bool = False,
    dtype: DType = INT32,
    stream: int,
) -> Expr | tuple[Expr, ...]:
    """Classes drawn by their probabilities, which lie along the last axis of ``data``.

    Of each row ``shape`` of them are drawn, one without it. With ``get_prob`` the logarithms of
    their probabilities are a second output, through which gradients pass.

    The largest of the logarithms, each plus a random number of Gumbel's distribution, is at each
    class with its probability (Gumbel, "Statistical theory of extreme values", 1954).
    """
    if not data.dtype.is_float:
        raise LoweringError(f"data holds probabilities, {data.dtype} is not floating-point")
    classes = data.shape[-1]
    rows, draws = data.size // classes, math.prod(shape)
    logarithms = make("log", cast(reshape(data, (rows, 1, classes)), FLOAT64))
    noise = make("log", -make("log", random((rows, draws, classes), FLOAT64, stream)))
    chosen = make("argmax", logarithms - noise, axes=(2,))
    result = (*data.shape[:-1], *shape) or (1,)
    classes_drawn = cast(reshape(chosen, result), dtype)
    if not get_prob:
        return classes_drawn
    known = broadcast(logarithms, (rows, draws, classes))
    return classes_drawn, cast(reshape(pick(known, chosen, 2), result), data.dtype)
