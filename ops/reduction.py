"""Operators that reduce axes: sums, extremes, norms, and the positions of extremes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from tritonsym.expressions.expr import Expr, cast, make, reduce, reshape, where
from tritonsym.foundation.dtype import FLOAT64, DType
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import DTypes, PartialShape, Shapes, operator
from tritonsym.graph.schema import Axes

from .common import accumulator, axes_of, axis_of, in_accumulator, reject_bool

Reduce = Callable[[Expr, tuple[int, ...]], Expr]


def reduced_axes(axis: Axes, exclude: bool, rank: int) -> tuple[int, ...]:
    """The axes to reduce; with ``exclude`` all the others."""
    axes = axes_of(axis, rank)
    if exclude and axis not in (None, ()):
        return tuple(i for i in range(rank) if i not in axes)
    return axes


def finish(reduced: Expr, axes: tuple[int, ...], keepdims: bool) -> Expr:
    """Drop the reduced axes unless they are kept; a full reduction has shape (1,)."""
    if keepdims:
        return reduced
    kept = tuple(n for i, n in enumerate(reduced.shape) if i not in axes)
    return reshape(reduced, kept or (1,))


def _fill(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """A partial input gives a partial output: the reduced axes need not be known."""
    shape: PartialShape = inputs[0]
    if shape is None or 0 not in shape or outputs[0] is not None:
        return
    axes = reduced_axes(attributes.axis, getattr(attributes, "exclude", False), len(shape))
    kept = tuple(
        1 if i in axes else n for i, n in enumerate(shape) if attributes.keepdims or i not in axes
    )
    outputs[0] = kept or (1,)


def _register(name: str, function: Reduce, summary: str, *aliases: str) -> None:
    def lower(
        data: Expr, *, axis: Axes = None, keepdims: bool = False, exclude: bool = False
    ) -> Expr:
        axes = reduced_axes(axis, exclude, len(data.shape))
        return finish(function(data, axes), axes, keepdims)

    lower.__doc__ = (
        f"{summary} over ``axis`` (None or () for all), or with ``exclude`` over the other axes. "
        "``keepdims`` keeps the reduced axes with length 1. The input's dtype is kept."
    )
    operator(name, aliases=aliases, shapes=_fill)(lower)


def sum_of(x: Expr, axes: tuple[int, ...]) -> Expr:
    """The sum, kept in float32 for 16-bit floats and rounded once."""
    return in_accumulator(lambda wide: reduce("sum", wide, axes), x)


def mean_of(x: Expr, axes: tuple[int, ...]) -> Expr:
    """The sum divided by how many were summed."""
    count = math.prod(x.shape[axis] for axis in axes)
    return in_accumulator(lambda wide: reduce("sum", wide, axes) / count, x)


def product_of(x: Expr, axes: tuple[int, ...]) -> Expr:
    """The product, kept in float32 for 16-bit floats."""
    return in_accumulator(lambda wide: reduce("prod", wide, axes), x)


def _without_nan(function: Reduce, neutral: float) -> Reduce:
    def lower(x: Expr, axes: tuple[int, ...]) -> Expr:
        if not x.dtype.is_float:
            return function(x, axes)
        return function(where(x.differs(x), neutral, x), axes)

    return lower


_register("sum", sum_of, "The sum", "sum_axis")
_register("mean", mean_of, "The mean")
_register("prod", product_of, "The product")
_register("nansum", _without_nan(sum_of, 0.0), "The sum, NaN taken as 0,")
_register("nanprod", _without_nan(product_of, 1.0), "The product, NaN taken as 1,")
_register(
    "max", lambda x, axes: reduce("max", x, axes), "The largest value (NaN if any is)", "max_axis"
)
_register(
    "min", lambda x, axes: reduce("min", x, axes), "The smallest value (NaN if any is)", "min_axis"
)


def _norm_dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    if attributes.out_dtype is not None:
        outputs[0] = attributes.out_dtype
    elif inputs[0] is None:
        inputs[0] = outputs[0]
    else:
        outputs[0] = inputs[0]


def _norm_accumulator(data: DType, result: DType) -> DType:
    """The wider of the two, in which sums are kept; integers take square roots in float64."""
    if FLOAT64 in (data, result) or not (data.is_float and result.is_float):
        return FLOAT64
    return accumulator(result)


def _norm_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Sequence[Expr]:
    """The sign of x, or x over the norm; 0 where that is 0."""
    (data,) = inputs
    wide = _norm_accumulator(data.dtype, outputs[0].dtype)
    axes = axes_of(attributes.axis, len(data.shape))
    kept = [1 if i in axes else n for i, n in enumerate(data.shape)]
    g, y = (reshape(cast(x, wide), kept) for x in (heads[0], outputs[0]))
    x = cast(data, wide)
    slope = make("sign", x) if attributes.ord == 1 else where(y.equals(0), 0, x / y)
    return (cast(g * slope, data.dtype),)


@operator("norm", shapes=_fill, dtypes=_norm_dtypes, gradient=_norm_gradient)
def norm(
    data: Expr,
    *,
    ord: int = 2,
    axis: Axes = None,
    out_dtype: DType | None = None,
    keepdims: bool = False,
) -> Expr:
    """The 1-norm or 2-norm over ``axis``, one axis or two (None for all).

    The 2-norm is scaled by the largest magnitude, so that squares do not overflow.
    """
    if ord not in (1, 2):
        raise LoweringError(f"ord={ord} is not supported; use 1 or 2")
    axes = axes_of(axis, len(data.shape))
    result_dtype = out_dtype or data.dtype
    magnitudes = make("abs", cast(data, _norm_accumulator(data.dtype, result_dtype)))
    total = reduce("sum", magnitudes, axes)
    if ord == 2:
        largest = reduce("max", magnitudes, axes)
        scale = where(largest.equals(0).logical_or(largest.equals(math.inf)), 1, largest)
        scaled = magnitudes / scale
        total = scale * make("sqrt", reduce("sum", scaled * scaled, axes))
    return cast(finish(total, axes, keepdims), result_dtype)


def _register_position(name: str, extreme: Literal["largest", "smallest"]) -> None:
    def lower(data: Expr, *, axis: int | None = None, keepdims: bool = False) -> Expr:
        reject_bool(data)
        if axis is None:
            flat = reshape(data, (data.size,))
            position = reshape(
                reduce(name, flat, (0,)), (1,) * (len(data.shape) if keepdims else 1)
            )
        else:
            one = (axis_of(axis, len(data.shape)),)
            position = finish(reduce(name, data, one), one, keepdims)
        return cast(position, data.dtype)

    lower.__doc__ = (
        f"The position of the {extreme} value along ``axis`` (None: in the flattened input), the "
        "first of equal ones, in the input's dtype. NaN counts as the extreme."
    )
    operator(name)(lower)


_register_position("argmax", "largest")
_register_position("argmin", "smallest")


@operator("argmax_channel")
def argmax_channel(data: Expr) -> Expr:
    """The position of the largest value along axis 1, in the input's dtype."""
    reject_bool(data)
    at = (axis_of(1, len(data.shape)),)
    return cast(finish(reduce("argmax", data, at), at, False), data.dtype)
