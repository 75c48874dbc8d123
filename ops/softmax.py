"""Softmax, along one axis: softmax, softmin, log_softmax, SoftmaxActivation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch

from tritonsym.expressions.expr import Expr, Shape, cast, iota, make, reduce, reshape, where
from tritonsym.expressions.reference import Step, Tensor
from tritonsym.foundation.dtype import INT64, DType
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import (
    DTypes,
    Gradient,
    Gradients,
    Shapes,
    merge_shapes,
    operator,
    unify_shapes,
)

from .common import accumulator, axis_of, needs_float, one_dtype, one_shape


def _softmax_inputs(attributes: Any) -> tuple[str, ...]:
    return ("data", "length") if attributes.use_length else ("data",)


def _length_shape(data: Shape, axis: int) -> Shape:
    return (*data[:axis], *data[axis + 1 :]) or (1,)


def _softmax_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """The data and the output have one shape; the lengths lack the axis."""
    data = one_shape(inputs, outputs)
    if len(inputs) > 1 and data is not None:
        at = axis_of(attributes.axis, len(data))
        inputs[1] = merge_shapes(_length_shape(data, at), inputs[1])


def _softmax_dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    if attributes.dtype is not None:
        outputs[0] = attributes.dtype
    else:
        one_dtype(inputs, outputs)


def _plain_softmax(attributes: Any, inputs: Sequence[Expr]) -> bool:
    """Whether it is torch's: no lengths, no temperature, one dtype."""
    same_dtype = attributes.dtype in (None, inputs[0].dtype)
    return len(inputs) == 1 and attributes.temperature in (None, 1.0) and same_dtype


def _softmax_call(
    function: Callable[..., Tensor],
) -> Callable[[Any, list[Tensor], Tensor], Step]:
    return lambda attributes, inputs, out: partial(function, inputs[0], attributes.axis, out=out)


def _exponents(
    data: Expr, length: Expr | None, axis: int, temperature: float | None, dtype: DType | None
) -> tuple[Expr, Expr | None, int]:
    """The data less its largest value over the temperature; what is within the length; the axis."""
    needs_float("softmax", data)
    if dtype is not None and not dtype.is_float:
        raise LoweringError(f"softmax gives floating-point numbers, dtype={dtype} is not")
    at = axis_of(axis, len(data.shape))
    wide = cast(data, accumulator(data.dtype))
    valid = None
    if length is not None:
        expected = _length_shape(data.shape, at)
        if length.shape != expected:
            raise LoweringError(f"length is {length.shape}, data {data.shape} needs {expected}")
        limits = reshape(length, (*data.shape[:at], 1, *data.shape[at + 1 :]))
        valid = iota(data.shape, at) < cast(limits, INT64)
        wide = where(valid, wide, -math.inf)
    shifted = wide - reduce("max", wide, (at,))
    return shifted if temperature in (None, 1.0) else shifted / temperature, valid, at


def _softmax(
    data: Expr, length: Expr | None, axis: int, temperature: float | None, dtype: DType | None
) -> Expr:
    shifted, valid, at = _exponents(data, length, axis, temperature, dtype)
    powers = make("exp", shifted)
    if valid is not None:
        powers = where(valid, powers, 0)
    result = powers / reduce("sum", powers, (at,))
    if valid is not None:
        result = where(valid, result, 0)
    return cast(result, dtype or data.dtype)


def _softmax_gradient(sign: float, logarithm: bool = False) -> Gradient:
    """From the outputs: (g - sum(g * y)) * y, or for logarithms g - exp(y) * sum(g)."""

    def gradient(
        attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
    ) -> Gradients:
        data = inputs[0]
        wide = accumulator(data.dtype)
        g, y = cast(heads[0], wide), cast(outputs[0], wide)
        axes = (axis_of(attributes.axis, len(data.shape)),)
        if logarithm:
            result = g - make("exp", y) * reduce("sum", g, axes)
        else:
            result = (g - reduce("sum", g * y, axes)) * y
        temperature = attributes.temperature or 1.0
        scale = sign / temperature
        scaled = result if scale == 1.0 else result * scale
        return (cast(scaled, data.dtype), *[None] * (len(inputs) - 1))

    return gradient


@operator(
    "softmax",
    gradient=_softmax_gradient(1.0),
    inputs=_softmax_inputs,
    shapes=_softmax_shapes,
    dtypes=_softmax_dtypes,
    native=_softmax_call(torch.softmax),
    uses_native=_plain_softmax,
)
def softmax(
    data: Expr,
    length: Expr | None = None,
    *,
    axis: int = -1,
    temperature: float | None = None,
    dtype: DType | None = None,
    use_length: bool | None = False,
) -> Expr:
    """exp(x / temperature), divided by its sum along ``axis``.

    With ``use_length`` only the first ``length`` elements of each row take part, the others are 0;
    ``length`` has the data's shape without ``axis``. ``dtype`` is that of the output.
    """
    return _softmax(data, length, axis, temperature, dtype)


def _reject_lengths(use_length: bool | None) -> None:
    if use_length:
        raise LoweringError("use_length is supported by softmax alone")


@operator(
    "softmin", shapes=_softmax_shapes, dtypes=_softmax_dtypes, gradient=_softmax_gradient(-1.0)
)
def softmin(
    data: Expr,
    *,
    axis: int = -1,
    temperature: float | None = None,
    dtype: DType | None = None,
    use_length: bool | None = False,
) -> Expr:
    """The softmax of -x."""
    _reject_lengths(use_length)
    return _softmax(-data, None, axis, temperature, dtype)


@operator(
    "log_softmax",
    gradient=_softmax_gradient(1.0, logarithm=True),
    shapes=_softmax_shapes,
    dtypes=_softmax_dtypes,
    native=_softmax_call(torch.log_softmax),
    uses_native=_plain_softmax,
)
def log_softmax(
    data: Expr,
    *,
    axis: int = -1,
    temperature: float | None = None,
    dtype: DType | None = None,
    use_length: bool | None = False,
) -> Expr:
    """The logarithm of the softmax, computed without the softmax."""
    _reject_lengths(use_length)
    shifted, _, at = _exponents(data, None, axis, temperature, dtype)
    result = shifted - make("log", reduce("sum", make("exp", shifted), (at,)))
    return cast(result, dtype or data.dtype)


@operator("SoftmaxActivation", shapes=unify_shapes)
def softmax_activation(data: Expr, *, mode: Literal["instance", "channel"] = "instance") -> Expr:
    """The softmax along the last axis (``instance``), or along axis 1 (``channel``)."""
    if mode == "channel" and len(data.shape) < 3:
        raise LoweringError(f"mode='channel' needs an input of 3 axes or more, got {data.shape}")
    return _softmax(data, None, 1 if mode == "channel" else -1, None, None)
