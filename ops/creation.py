"""Operators without inputs: constants, ranges, random numbers."""

from __future__ import annotations

import math
from typing import Any

from tritonsym.expressions.expr import Expr, cast, full, iota, make, narrow, random, reshape
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


def float_dtype(dtype: DType | None) -> DType:
    """The dtype of random numbers.

    Raises:
        LoweringError: it is no floating-point one.
    """
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
    dtype = float_dtype(dtype)
    wide = random(shape, accumulator(dtype), stream) * (high - low) + low
    return cast(wide, dtype)


def deviates(shape: tuple[int, ...], dtype: DType, stream: int) -> Expr:
    """Normal random numbers of mean 0 and standard deviation 1.

    Box and Muller's transform ("A note on the generation of random normal deviates", 1958) of
    pairs of uniform ones.
    """
    count = math.prod(shape)
    pairs = random((2, (count + 1) // 2), dtype, stream)
    radius = make("sqrt", make("log", 1.0 - narrow(pairs, 0, 0, 1)) * -2.0)
    angle = narrow(pairs, 0, 1, 2) * (2.0 * math.pi)
    both = make("concat", radius * make("cos", angle), radius * make("sin", angle), axis=1)
    return reshape(narrow(both, 1, 0, count), shape)


@operator(
    "_random_normal",
    aliases=("random_normal", "normal"),
    shapes=_given_shape,
    dtypes=_given_dtype,
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
    """Normal random numbers of mean ``loc`` and standard deviation ``scale``, new at every run."""
    if not scale > 0:
        raise LoweringError(f"scale={scale} must be positive")
    dtype = float_dtype(dtype)
    return cast(deviates(shape, accumulator(dtype), stream) * scale + loc, dtype)


def _integer_dtype(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    outputs[0] = attributes.dtype or INT32


@operator(
    "_random_randint",
    aliases=("random_randint",),
    shapes=_given_shape,
    dtypes=_integer_dtype,
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
