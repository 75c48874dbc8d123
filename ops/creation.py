"""Operators without inputs: constants, ranges, random numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tritonsym.expressions.expr import (
    Expr,
    broadcast,
    cast,
    full,
    iota,
    make,
    narrow,
    pick,
    random,
    reduce,
    reshape,
    where,
)
from tritonsym.foundation.dtype import BOOL, FLOAT32, FLOAT64, INT32, INT64, DType
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import DTypes, Shapes, merge_shapes, operator
from tritonsym.graph.schema import Count

from .common import accumulator


def _given_shape(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """The shape parameter, whose zeros and () are filled by what the graph knows."""
    if any(length < 0 for length in attributes.shape):
        raise LoweringError(f"shape={attributes.shape} has a negative length")
    outputs[0] = merge_shapes(attributes.shape or None, outputs[0])


def _given_dtype(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    outputs[0] = attributes.dtype or outputs[0] or FLOAT32


def _float_dtype(dtype: DType | None) -> DType:
    if dtype is not None and not dtype.is_float:
        raise LoweringError(f"random numbers are floating-point, dtype={dtype} is not")
    return dtype or FLOAT32


def _register_fill(name: str, value: int) -> None:
    def lower(*, shape: tuple[int, ...] = (), ctx: str = "", dtype: DType = FLOAT32) -> Expr:
        return full(value, shape, dtype)

    lower.__doc__ = f"An array of ``shape`` filled with {value}."
    operator(name, shapes=_given_shape, dtypes=_given_dtype)(lower)


_register_fill("_zeros", 0)
_register_fill("_ones", 1)


@operator("_full", shapes=_given_shape, dtypes=_given_dtype)
def full_(
    *, shape: tuple[int, ...] = (), ctx: str = "", dtype: DType = FLOAT32, value: float
) -> Expr:
    """An array of ``shape`` filled with ``value``."""
    return full(value, shape, dtype)


@operator("_eye", dtypes=_given_dtype)
def eye(*, N: int, M: int = 0, k: int = 0, ctx: str = "", dtype: DType = FLOAT32) -> Expr:
    """``N`` rows and ``M`` columns (0: as many) with ones on the ``k``-th diagonal."""
    shape = (N, M or N)
    return cast((iota(shape, 0) + k).equals(iota(shape, 1)), dtype)


@operator("_arange", dtypes=_given_dtype)
def arange(
    *,
    start: float,
    stop: float | None = None,
    step: float = 1.0,
    repeat: Count = 1,
    infer_range: bool = False,
    ctx: str = "",
    dtype: DType = FLOAT32,
) -> Expr:
    """``start``, ``start + step``, ... below ``stop``, each ``repeat`` times.

    With no ``stop`` the range is ``[0, start)``.
    """
    if dtype is BOOL:
        raise LoweringError("a range of bool has no meaning")
    if infer_range:
        raise LoweringError("infer_range=True is not supported; give stop")
    first, last = (0.0, start) if stop is None else (start, stop)
    if step == 0:
        raise LoweringError("step cannot be 0")
    length = (last - first) / step
    if not (math.isfinite(step) and math.isfinite(length)):
        raise LoweringError(f"the range from {first} to {last} by {step} has no finite length")
    count = math.ceil(length)
    if count <= 0:
        raise LoweringError(f"the range from {first} to {last} by {step} is empty")
    positions = reshape(iota((count, repeat), 0), (count * repeat,))
    # Start and step are converted first, as MXNet does it for integers.
    return cast(positions, dtype) * step + first


@operator("_linspace", dtypes=_given_dtype)
def linspace(
    *,
    start: float,
    stop: float | None = None,
    num: Count,
    endpoint: bool = True,
    ctx: str = "",
    dtype: DType = FLOAT32,
) -> Expr:
    """``num`` values from ``start`` at equal distances: to ``stop``, or without ``endpoint`` below.

    Computed in float64. With no ``stop`` the values lie in ``[0, start]``.
    """
    if dtype is BOOL:
        raise LoweringError("a range of bool has no meaning")
    first, last = (0.0, start) if stop is None else (start, stop)
    step = (last - first) / max(1, num - 1 if endpoint else num)
    if not math.isfinite(step):
        raise LoweringError(f"the range from {first} to {last} has no finite length")
    return cast(cast(iota((num,), 0), FLOAT64) * step + first, dtype)


@operator(
    "_random_uniform",
    aliases=("random_uniform", "uniform"),
    shapes=_given_shape,
    dtypes=_given_dtype,
    random=True,
)
def random_uniform(
    *,
    low: float = 0.0,
    high: float = 1.0,
    shape: tuple[int, ...] = (),
    ctx: str = "",
    dtype: DType | None = None,
    stream: int,
) -> Expr:
    """Uniform random numbers in ``[low, high)``, new ones at every run."""
    if not low <= high:
        raise LoweringError(f"low={low} must not be above high={high}")
    dtype = _float_dtype(dtype)
    wide = random(shape, accumulator(dtype), stream) * (high - low) + low
    return cast(wide, dtype)


@operator(
    "_random_normal",
    aliases=("random_normal", "normal"),
    shapes=_given_shape,
    dtypes=_given_dtype,
    random=True,
)
def random_normal(
    *,
    loc: float = 0.0,
    scale: float = 1.0,
    shape: tuple[int, ...] = (),
    ctx: str = "",
    dtype: DType | None = None,
    stream: int,
) -> Expr:
    """Normal random numbers of mean ``loc`` and standard deviation ``scale``, new at every run.

    Box and Muller's transform ("A note on the generation of random normal deviates", 1958) of
    pairs of uniform ones.
    """
    if not scale > 0:
        raise LoweringError(f"scale={scale} must be positive")
    dtype = _float_dtype(dtype)
    count = math.prod(shape)
    pairs = random((2, (count + 1) // 2), accumulator(dtype), stream)
    radius = make("sqrt", make("log", 1.0 - narrow(pairs, 0, 0, 1)) * -2.0)
    angle = narrow(pairs, 0, 1, 2) * (2.0 * math.pi)
    both = make("concat", radius * make("cos", angle), radius * make("sin", angle), axis=1)
    deviates = reshape(narrow(both, 1, 0, count), shape)
    return cast(deviates * scale + loc, dtype)


def _integer_dtype(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    outputs[0] = attributes.dtype or INT32


@operator(
    "_random_randint",
    aliases=("random_randint",),
    shapes=_given_shape,
    dtypes=_integer_dtype,
    random=True,
)
def random_randint(
    *,
    low: int,
    high: int,
    shape: tuple[int, ...] = (),
    ctx: str = "",
    dtype: DType | None = None,
    stream: int,
) -> Expr:
    """Whole random numbers from ``low`` up to, and without, ``high``, new ones at every run.

    ``dtype`` is int32 or int64.
    """
    kind = dtype or INT32
    if kind not in (INT32, INT64):
        raise LoweringError(f"dtype={kind} must be int32 or int64")
    limit = 2 ** (8 * kind.itemsize - 1)
    if not -limit <= low < high <= limit or high - low > 2**53:
        raise LoweringError(f"low={low} must be below high={high}, both within {kind}")
    return cast(make("floor", random(shape, FLOAT64, stream) * (high - low)), kind) + low


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
) -> Sequence[Expr | None]:
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
    random=True,
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
