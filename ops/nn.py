"""Layers without state: dense products, activations, softmax, embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch

from tritonsym.expressions.expr import (
    Expr,
    Shape,
    cast,
    dot,
    iota,
    make,
    reduce,
    reshape,
    take,
    where,
)
from tritonsym.expressions.reference import Step, Tensor, on_reshaped
from tritonsym.expressions.special import softsign
from tritonsym.foundation.dtype import FLOAT32, FLOAT64, INT64, DType
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
from tritonsym.graph.schema import Count

from .common import (
    accumulator,
    axis_of,
    data_weight_bias,
    needs_float,
    one_dtype,
    one_shape,
    reject_bool,
)
from .elementwise import rectified_slope, rectify, threshold_at_zero
from .indexing import clipped_indices


def _dense_features(data: Shape, flatten: bool) -> int:
    """How many numbers of the data each unit sees; 0 where that is not known."""
    return math.prod(data[1:]) if flatten else data[-1]


def _dense_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """Weight and bias follow from the data and `num_hidden`; the batch also from the output."""
    units, data = attributes.num_hidden, inputs[0]
    if data is None:
        return
    inputs[2:] = [merge_shapes((units,), shape) for shape in inputs[2:]]
    inputs[1] = merge_shapes((units, _dense_features(data, attributes.flatten)), inputs[1])
    kept = data[:1] if attributes.flatten else data[:-1]
    result = outputs[0] = merge_shapes((*kept, units), outputs[0])
    assert result is not None
    inputs[0] = merge_shapes(data, (*result[: len(kept)], *data[len(kept) :]))


def _dense_native(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    rows = out.view(-1, attributes.num_hidden)
    weight = inputs[1].t()

    def product(data: Tensor) -> Step:
        if len(inputs) == 2:
            return partial(torch.mm, data, weight, out=rows)
        return partial(torch.addmm, inputs[2], data, weight, out=rows)

    return on_reshaped(inputs[0], (rows.shape[0], inputs[1].shape[1]), product)


def _dense_in_one_call(attributes: Any, inputs: Sequence[Expr]) -> bool:
    """For 16-bit floats and integers torch's fused call rounds elsewhere than MXNet."""
    return inputs[0].dtype in (FLOAT32, FLOAT64)


@operator(
    "FullyConnected",
    inputs=data_weight_bias,
    shapes=_dense_shapes,
    native=_dense_native,
    uses_native=_dense_in_one_call,
    by_rows=True,
)
def fully_connected(
    data: Expr,
    weight: Expr,
    bias: Expr | None = None,
    *,
    num_hidden: Count,
    no_bias: bool = False,
    flatten: bool = True,
) -> Expr:
    """data · weightᵀ + bias.

    With ``flatten`` (the default) the data's axes but the first are made one: ``(n, a, b)`` with a
    weight of ``(num_hidden, a*b)`` gives ``(n, num_hidden)``. Without it the last axis alone is
    used: ``(n, a, b)`` with ``(num_hidden, b)`` gives ``(n, a, num_hidden)``. The bias has shape
    ``(num_hidden,)``; ``no_bias`` leaves it out. All inputs have one dtype.
    """
    reject_bool(data)
    features = _dense_features(data.shape, flatten)
    if weight.shape != (num_hidden, features):
        raise LoweringError(
            f"weight is {weight.shape}, data {data.shape} with num_hidden={num_hidden} needs "
            f"{(num_hidden, features)}"
        )
    if bias is not None and bias.shape != (num_hidden,):
        raise LoweringError(f"bias is {bias.shape}, num_hidden={num_hidden} needs {(num_hidden,)}")
    product = dot(reshape(data, (data.size // features, features)), weight, transpose_b=True)
    if bias is not None:
        product = product + bias
    kept = data.shape[:1] if flatten else data.shape[:-1]
    return reshape(product, (*kept, num_hidden))


# ---- activations -------------------------------------------------------------------------------

_ACTIVATIONS: dict[str, Callable[[Expr], Expr]] = {
    "relu": rectify,
    "sigmoid": lambda x: make("sigmoid", x),
    "tanh": lambda x: make("tanh", x),
    # exp(x) overflows long after log(1 + exp(x)) has become x
    "softrelu": lambda x: where(x > 20, x, make("log1p", make("exp", x))),
    "softsign": softsign,
}


def _activation_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Sequence[Expr]:
    (head,), (x,), (y,) = heads, inputs, outputs
    match attributes.act_type:
        case "relu":
            return rectified_slope(attributes, heads, inputs, outputs)
        case "sigmoid":
            return (head * (1 - y) * y,)
        case "tanh":
            return (head * (1 - y * y),)
        case "softrelu":
            return (head * -make("expm1", -y),)
        case _:
            wide = 1 + make("abs", x)
            return (head / (wide * wide),)


@operator(
    "Activation",
    shapes=unify_shapes,
    gradient=_activation_gradient,
    native=threshold_at_zero,
    uses_native=lambda attributes, inputs: attributes.act_type == "relu",
    elementwise=True,
)
def activation(
    data: Expr, *, act_type: Literal["relu", "sigmoid", "softrelu", "softsign", "tanh"]
) -> Expr:
    """An activation function, elementwise.

    relu: max(x, 0). sigmoid: 1 / (1 + exp(-x)). tanh. softrelu: log(1 + exp(x)).
    softsign: x / (1 + abs(x)).
    """
    needs_float("Activation", data)
    return _ACTIVATIONS[act_type](data)


# ---- softmax -----------------------------------------------------------------------------------


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


# ---- embedding ---------------------------------------------------------------------------------


def _embedding_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    inputs[1] = merge_shapes((attributes.input_dim, attributes.output_dim), inputs[1])
    if inputs[0] is not None:
        outputs[0] = merge_shapes((*inputs[0], attributes.output_dim), outputs[0])


def _embedding_dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    inputs[1] = outputs[0] = inputs[1] or outputs[0] or attributes.dtype


@operator("Embedding", shapes=_embedding_shapes, dtypes=_embedding_dtypes)
def embedding(
    data: Expr,
    weight: Expr,
    *,
    input_dim: Count,
    output_dim: Count,
    dtype: DType = FLOAT32,
    sparse_grad: bool = False,
) -> Expr:
    """The row of ``weight`` that each element of ``data`` names.

    ``weight`` has shape ``(input_dim, output_dim)``, the output ``(*data.shape, output_dim)``.
    Indices below 0 and above the last row are taken as the first and the last row.
    """
    reject_bool(data, weight)
    if weight.shape != (input_dim, output_dim):
        raise LoweringError(f"weight is {weight.shape}, it needs {(input_dim, output_dim)}")
    return take(weight, clipped_indices(data, input_dim), 0)
