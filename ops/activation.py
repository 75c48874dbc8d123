"""Activation functions, those with parameters of their own among them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch

from tritonsym.expressions.expr import Expr, cast, full, make, random, reduce, reshape, where
from tritonsym.expressions.reference import Step, Tensor
from tritonsym.expressions.special import softsign
from tritonsym.foundation.dtype import FLOAT32, FLOAT64
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import Gradients, Shapes, merge_shapes, operator, unify_shapes
from tritonsym.graph.schema import Single

from .common import accumulator, needs_float
from .elementwise import rectified_slope, rectify, threshold_at_zero

# Klambauer et al., "Self-normalizing neural networks", 2017.
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


# ---- Activation ----------------------------------------------------------------------------------

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


# ---- LeakyReLU ---------------------------------------------------------------------------------


def _leaky_inputs(attributes: Any) -> tuple[str, ...]:
    return ("data", "gamma") if attributes.act_type == "prelu" else ("data",)


def _leaky_outputs(attributes: Any) -> tuple[str, ...]:
    return ("output", "mask") if attributes.act_type == "rrelu" else ("output",)


def _leaky_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """All have the data's shape, but the slopes of prelu, one for each channel."""
    data = inputs[0] = merge_shapes(inputs[0], outputs[0])
    outputs[:] = [merge_shapes(data, shape) for shape in outputs]
    if len(inputs) > 1 and inputs[1] is None and data is not None:
        inputs[1] = (data[min(1, len(data) - 1)],)


def _leaky_native(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    return partial(torch.ops.aten.leaky_relu.out, inputs[0], attributes.slope, out=out)


def _leaky_in_one_call(attributes: Any, inputs: Sequence[Expr]) -> bool:
    return attributes.act_type == "leaky" and inputs[0].dtype in (FLOAT32, FLOAT64)


def _channel_slopes(data: Expr, gamma: Expr) -> Expr:
    """The slopes, to be broadcast along the channels."""
    channels = data.shape[min(1, len(data.shape) - 1)]
    if gamma.size not in (1, channels):
        raise LoweringError(f"gamma is {gamma.shape}, data {data.shape} needs {(channels,)}")
    shape = [1] * len(data.shape)
    shape[min(1, len(shape) - 1)] = gamma.size
    return reshape(gamma, shape)


def _gaussian(x: Expr) -> Expr:
    """The probability that a normal number is below x."""
    return (make("erf", x * math.sqrt(0.5)) + 1.0) * 0.5


def _leaky_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    head, data, output = heads[0], inputs[0], outputs[0]
    match attributes.act_type:
        case "prelu":
            slopes = _channel_slopes(data, inputs[1])
            axes = [i for i, length in enumerate(slopes.shape) if length != data.shape[i]]
            parts = where(data > 0, 0, head * data)
            gradient = reshape(reduce("sum", parts, axes), inputs[1].shape)
            return where(data > 0, head, head * slopes), gradient
        case "elu":
            return (where(data > 0, head, head * (output + attributes.slope)),)
        case "selu":
            below = output + _SELU_SCALE * _SELU_ALPHA
            return (head * where(data > 0, _SELU_SCALE, below),)
        case "gelu":
            wide = cast(data, accumulator(data.dtype))
            density = make("exp", wide * wide * -0.5) * (1 / math.sqrt(2 * math.pi))
            slope = _gaussian(wide) + wide * density
            return (cast(cast(head, wide.dtype) * slope, data.dtype),)
        case "rrelu":
            return (where(data > 0, head, head * outputs[1]),)
        case _:
            return (where(data > 0, head, head * attributes.slope),)


@operator(
    "LeakyReLU",
    inputs=_leaky_inputs,
    outputs=_leaky_outputs,
    shapes=_leaky_shapes,
    native=_leaky_native,
    uses_native=_leaky_in_one_call,
    elementwise=True,
    gradient=_leaky_gradient,
    initial={"gamma": '["Constant", {"value": 0.25}]'},
)
def leaky_relu(
    data: Expr,
    gamma: Expr | None = None,
    *,
    act_type: Literal["elu", "gelu", "leaky", "prelu", "rrelu", "selu"] = "leaky",
    slope: Single = 0.25,
    lower_bound: Single = 0.125,
    upper_bound: Single = 0.334,
    train: bool,
    stream: int,
) -> Expr | tuple[Expr, ...]:
    """x above zero, and below it less.

    Below zero leaky gives slope * x; prelu gamma * x, where gamma is learned and has one element
    or one for each channel; elu slope * (exp(x) - 1); selu the same with its own two constants;
    rrelu a random slope between the bounds in training, else their mean, and the slopes are its
    second output. gelu is x times the probability that a normal number is below x, everywhere.
    """
    needs_float("LeakyReLU", data)
    match act_type:
        case "prelu":
            assert gamma is not None
            return where(data > 0, data, data * _channel_slopes(data, gamma))
        case "elu":
            return where(data > 0, data, make("expm1", data) * slope)
        case "selu":
            return where(data > 0, data, make("expm1", data) * _SELU_ALPHA) * _SELU_SCALE
        case "gelu":
            # Rounded to 16 bits once, as MXNet does it.
            wide = cast(data, accumulator(data.dtype))
            return cast(wide * _gaussian(wide), data.dtype)
        case "rrelu":
            slopes = full((lower_bound + upper_bound) / 2, data.shape, data.dtype)
            if train:
                drawn = random(data.shape, accumulator(data.dtype), stream)
                slopes = cast(drawn * (upper_bound - lower_bound) + lower_bound, data.dtype)
            return where(data > 0, data, data * slopes), slopes
        case _:
            return where(data > 0, data, data * slope)
