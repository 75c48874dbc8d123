"""Normalisation: values less their mean over their standard deviation, of groups of many kinds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from tritonsym.expressions.expr import (
    Expr,
    Shape,
    cast,
    concat,
    full,
    make,
    narrow,
    reduce,
    reshape,
)
from tritonsym.foundation.dtype import BFLOAT16, FLOAT16, FLOAT32, DType
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import DTypes, Gradients, Shapes, merge_shapes, operator, unify_shapes
from tritonsym.graph.schema import Single

from .common import accumulator, axis_of, needs_float, one_dtype, one_shape


def _needs_parameters(shape: Shape, **parameters: Expr) -> None:
    for name, parameter in parameters.items():
        if parameter.shape != shape:
            raise LoweringError(f"{name} is {parameter.shape}, the data needs {shape}")


def _mean(x: Expr, axes: Sequence[int]) -> Expr:
    count = math.prod(x.shape[axis] for axis in axes)
    return reduce("sum", x, axes) * (1 / count)


def _moments(x: Expr, axes: Sequence[int]) -> tuple[Expr, Expr]:
    """The mean and the (biased) variance, in the dtype that sums are kept in."""
    wide = cast(x, accumulator(x.dtype))
    mean = _mean(wide, axes)
    centred = wide - mean
    return mean, _mean(centred * centred, axes)


def _along(parameter: Expr, rank: int, axis: int, dtype: DType) -> Expr:
    """A vector as an array of ``rank`` axes, to be broadcast along all but one."""
    shape = [1] * rank
    shape[axis] = parameter.size
    return cast(reshape(parameter, shape), dtype)


def _others(rank: int, axis: int) -> tuple[int, ...]:
    return tuple(i for i in range(rank) if i != axis)


def _through_moments(gradient: Expr, normal: Expr, inverse: Expr, axes: Sequence[int]) -> Expr:
    """The gradient of what was normalised, from that of its normal form.

    Mean and deviation depend on every element: what they share is taken off.
    """
    return (gradient - _mean(gradient, axes) - normal * _mean(gradient * normal, axes)) * inverse


# ---- BatchNorm ---------------------------------------------------------------------------------


def _batch_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """Everything but the data and the output has one element for each channel."""
    data = one_shape(inputs, outputs)
    if data is not None:
        channels = (data[axis_of(attributes.axis, len(data))],)
        inputs[1:] = [merge_shapes(channels, shape) for shape in inputs[1:]]
        outputs[1:] = [merge_shapes(channels, shape) for shape in outputs[1:]]


def _batch_dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    """The parameters of 16-bit data are float32."""
    data = one_dtype(inputs, outputs)
    if data is not None:
        parameters = FLOAT32 if data in (FLOAT16, BFLOAT16) else data
        inputs[1:] = [parameters] * (len(inputs) - 1)
        outputs[1:] = [parameters] * (len(outputs) - 1)


def _batch_updates(
    attributes: Any, inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Sequence[Expr]:
    """The moving averages take in a little of this batch's."""
    data, _, _, moving_mean, moving_var = inputs
    if attributes.use_global_stats:
        return moving_mean, moving_var
    axes = _others(len(data.shape), axis_of(attributes.axis, len(data.shape)))
    momentum = attributes.momentum
    return [
        old * momentum + reshape(new, old.shape) * (1 - momentum)
        for old, new in zip((moving_mean, moving_var), _moments(data, axes), strict=True)
    ]


def _batch_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    data, gamma, beta = inputs[:3]
    rank = len(data.shape)
    axis = axis_of(attributes.axis, rank)
    axes, dtype = _others(rank, axis), gamma.dtype
    mean, inverse = (_along(x, rank, axis, dtype) for x in outputs[1:])
    head = cast(heads[0], dtype)
    normal = (cast(data, dtype) - mean) * inverse
    scaled = head if attributes.fix_gamma else head * _along(gamma, rank, axis, dtype)
    if attributes.use_global_stats:
        gradient = scaled * inverse
    else:
        gradient = _through_moments(scaled, normal, inverse, axes)
    of_gamma = reshape(reduce("sum", head * normal, axes), gamma.shape)
    of_beta = reshape(reduce("sum", head, axes), beta.shape)
    return (
        cast(gradient, data.dtype),
        None if attributes.fix_gamma else of_gamma,
        of_beta,
        None,
        None,
    )


@operator(
    "BatchNorm",
    outputs=lambda attributes: ("output", "mean", "var"),
    visible=lambda attributes: 3 if attributes.output_mean_var else 1,
    auxiliary=("moving_mean", "moving_var"),
    initial={"moving_mean": '["zero", {}]', "moving_var": '["one", {}]'},
    shapes=_batch_shapes,
    dtypes=_batch_dtypes,
    gradient=_batch_gradient,
    updates=_batch_updates,
)
def batch_norm(
    data: Expr,
    gamma: Expr,
    beta: Expr,
    moving_mean: Expr,
    moving_var: Expr,
    *,
    eps: float = 1e-3,
    momentum: Single = 0.9,
    fix_gamma: bool = True,
    use_global_stats: bool = False,
    output_mean_var: bool = False,
    axis: int = 1,
    cudnn_off: bool = False,
    min_calib_range: float | None = None,
    max_calib_range: float | None = None,
    train: bool,
) -> tuple[Expr, ...]:
    """(x - mean) / sqrt(var + eps) * gamma + beta, for each channel.

    In training mean and variance are those of the batch, over all axes but ``axis``, and the
    moving averages become ``moving * momentum + batch * (1 - momentum)``. Otherwise, and with
    ``use_global_stats``, they are the moving averages. With ``fix_gamma`` gamma counts as 1. With
    ``output_mean_var`` the mean and 1 / sqrt(var + eps) are outputs as well. For 16-bit data
    everything but the data is float32.

    Ioffe and Szegedy, "Batch normalization", 2015.
    """
    needs_float("BatchNorm", data)
    rank = len(data.shape)
    at = axis_of(axis, rank)
    channels = (data.shape[at],)
    _needs_parameters(
        channels, gamma=gamma, beta=beta, moving_mean=moving_mean, moving_var=moving_var
    )
    dtype = gamma.dtype
    if train and not use_global_stats:
        mean, variance = _moments(data, _others(rank, at))
    else:
        mean, variance = (_along(x, rank, at, dtype) for x in (moving_mean, moving_var))
    inverse = 1.0 / make("sqrt", variance + eps)
    scale = inverse if fix_gamma else inverse * _along(gamma, rank, at, dtype)
    result = (cast(data, dtype) - mean) * scale + _along(beta, rank, at, dtype)
    return cast(result, data.dtype), reshape(mean, channels), reshape(inverse, channels)


# ---- layers without state ----------------------------------------------------------------------


def _layer_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    data = one_shape(inputs, outputs)
    if data is not None:
        axis = axis_of(attributes.axis, len(data))
        inputs[1:] = [merge_shapes((data[axis],), shape) for shape in inputs[1:]]
        moments = (*data[:axis], 1, *data[axis + 1 :])
        outputs[1:] = [merge_shapes(moments, shape) for shape in outputs[1:]]


def _layer_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    data, gamma, beta = inputs
    rank = len(data.shape)
    axis = axis_of(attributes.axis, rank)
    wide = accumulator(data.dtype)
    head, mean = cast(heads[0], wide), cast(outputs[1], wide)
    inverse = 1.0 / cast(outputs[2], wide)
    normal = (cast(data, wide) - mean) * inverse
    gradient = _through_moments(head * _along(gamma, rank, axis, wide), normal, inverse, (axis,))
    others = _others(rank, axis)
    of_gamma = reshape(reduce("sum", head * normal, others), gamma.shape)
    of_beta = reshape(reduce("sum", head, others), beta.shape)
    return [cast(x, data.dtype) for x in (gradient, of_gamma, of_beta)]


@operator(
    "LayerNorm",
    outputs=lambda attributes: ("output", "mean", "std"),
    visible=lambda attributes: 3 if attributes.output_mean_var else 1,
    shapes=_layer_shapes,
    gradient=_layer_gradient,
)
def layer_norm(
    data: Expr,
    gamma: Expr,
    beta: Expr,
    *,
    axis: int = -1,
    eps: Single = 1e-5,
    output_mean_var: bool = False,
) -> tuple[Expr, ...]:
    """(x - mean) / sqrt(var + eps) * gamma + beta, with mean and variance along ``axis``.

    gamma and beta have the length of that axis. With ``output_mean_var`` the mean and
    sqrt(var + eps) are outputs as well.

    Ba, Kiros and Hinton, "Layer normalization", 2016.
    """
    needs_float("LayerNorm", data)
    rank = len(data.shape)
    at = axis_of(axis, rank)
    _needs_parameters((data.shape[at],), gamma=gamma, beta=beta)
    mean, variance = _moments(data, (at,))
    deviation = make("sqrt", variance + eps)
    normal = (cast(data, mean.dtype) - mean) / deviation
    result = normal * _along(gamma, rank, at, mean.dtype) + _along(beta, rank, at, mean.dtype)
    return tuple(cast(x, data.dtype) for x in (result, mean, deviation))


def _instance_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    data = one_shape(inputs, outputs)
    if data is not None and len(data) > 1:
        inputs[1:] = [merge_shapes(data[1:2], shape) for shape in inputs[1:]]
        outputs[1:] = [merge_shapes(data[:2], shape) for shape in outputs[1:]]


def _group_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    data = one_shape(inputs, outputs)
    groups = attributes.num_groups
    inputs[1:] = [merge_shapes((groups,), shape) for shape in inputs[1:]]
    if data is not None:
        outputs[1:] = [merge_shapes((data[0], groups), shape) for shape in outputs[1:]]


def _normalised_groups(
    data: Expr, gamma: Expr, beta: Expr, groups: int, eps: float
) -> tuple[Expr, ...]:
    """Each sample's channels in groups; one gamma and beta, mean and deviation for each group."""
    _needs_parameters((groups,), gamma=gamma, beta=beta)
    samples = data.shape[0]
    x = reshape(data, (samples, groups, data.size // (samples * groups)))
    mean, variance = _moments(x, (2,))
    deviation = make("sqrt", variance + eps)
    wide = mean.dtype
    normal = (cast(x, wide) - mean) / deviation
    result = normal * _along(gamma, 3, 1, wide) + _along(beta, 3, 1, wide)
    shapes = (data.shape, (samples, groups), (samples, groups))
    parts = zip((result, mean, deviation), shapes, strict=True)
    return tuple(reshape(cast(part, data.dtype), shape) for part, shape in parts)


def _groups_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    data, gamma, beta = inputs
    samples, groups = data.shape[0], gamma.size
    shape = (samples, groups, data.size // (samples * groups))
    wide = accumulator(data.dtype)
    x, head = (cast(reshape(y, shape), wide) for y in (data, heads[0]))
    mean, deviation = (cast(reshape(y, (samples, groups, 1)), wide) for y in outputs[1:])
    inverse = 1.0 / deviation
    normal = (x - mean) * inverse
    gradient = _through_moments(head * _along(gamma, 3, 1, wide), normal, inverse, (2,))
    of_gamma = reshape(reduce("sum", head * normal, (0, 2)), gamma.shape)
    of_beta = reshape(reduce("sum", head, (0, 2)), beta.shape)
    found = (reshape(gradient, data.shape), of_gamma, of_beta)
    return [cast(x, data.dtype) for x in found]


@operator(
    "InstanceNorm",
    outputs=lambda attributes: ("output", "mean", "var"),
    visible=lambda attributes: 1,
    shapes=_instance_shapes,
    gradient=_groups_gradient,
)
def instance_norm(data: Expr, gamma: Expr, beta: Expr, *, eps: Single = 1e-3) -> tuple[Expr, ...]:
    """(x - mean) / sqrt(var + eps) * gamma + beta, for each channel of each sample.

    Mean and variance are those over axis 2 and what follows; gamma and beta have one element for
    each channel. Ulyanov, Vedaldi and Lempitsky, "Instance normalization", 2016.
    """
    needs_float("InstanceNorm", data)
    if len(data.shape) < 3:
        raise LoweringError(
            f"data is {data.shape}, it needs 3 axes or more: (batch, channels, ...)"
        )
    return _normalised_groups(data, gamma, beta, data.shape[1], eps)


@operator(
    "GroupNorm",
    outputs=lambda attributes: ("output", "mean", "std"),
    visible=lambda attributes: 3 if attributes.output_mean_var else 1,
    shapes=_group_shapes,
    gradient=_groups_gradient,
)
def group_norm(
    data: Expr,
    gamma: Expr,
    beta: Expr,
    *,
    num_groups: int = 1,
    eps: Single = 1e-5,
    output_mean_var: bool = False,
) -> tuple[Expr, ...]:
    """(x - mean) / sqrt(var + eps) * gamma + beta, for each group of channels of each sample.

    The channels are cut into ``num_groups``; gamma and beta have one element for each group. With
    ``output_mean_var`` the means and sqrt(var + eps) are outputs as well. Wu and He, "Group
    normalization", 2018.
    """
    needs_float("GroupNorm", data)
    if len(data.shape) < 3 or num_groups < 1 or data.shape[1] % num_groups:
        raise LoweringError(
            f"data is {data.shape}, it needs 3 axes or more and a number of channels that "
            f"num_groups={num_groups} divides"
        )
    return _normalised_groups(data, gamma, beta, num_groups, eps)


def _l2_axes(mode: str, rank: int) -> tuple[int, ...]:
    if mode == "instance":
        return tuple(range(1, rank))
    if rank < 3:
        raise LoweringError(f"mode={mode!r} needs an input of 3 axes or more, got {rank}")
    return (1,) if mode == "channel" else tuple(range(2, rank))


def _l2_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    data = one_shape(inputs, outputs)
    if data is not None:
        axes = _l2_axes(attributes.mode, len(data))
        norm = tuple(1 if axis in axes else length for axis, length in enumerate(data))
        outputs[1] = merge_shapes(norm, outputs[1])


@operator(
    "L2Normalization",
    outputs=lambda attributes: ("output", "norm"),
    visible=lambda attributes: 1,
    shapes=_l2_shapes,
)
def l2_normalization(
    data: Expr, *, eps: Single = 1e-10, mode: Literal["instance", "channel", "spatial"] = "instance"
) -> tuple[Expr, ...]:
    """x / sqrt(sum(x * x) + eps).

    The sum runs over all axes but the first (``instance``), over axis 1 (``channel``), or over
    axis 2 and what follows (``spatial``).
    """
    needs_float("L2Normalization", data)
    axes = _l2_axes(mode, len(data.shape))
    wide = cast(data, accumulator(data.dtype))
    norm = make("sqrt", reduce("sum", wide * wide, axes) + eps)
    return cast(wide / norm, data.dtype), cast(norm, data.dtype)


# ---- LRN ---------------------------------------------------------------------------------------


def _windows(x: Expr, size: int) -> Expr:
    """The sum over each channel and its neighbours, ``size`` channels in all."""
    if size == 1:
        return x
    margin = full(0, (x.shape[0], size // 2, *x.shape[2:]), x.dtype)
    padded = concat((margin, x, margin), 1)
    total = narrow(padded, 1, 0, x.shape[1])
    for first in range(1, size):
        total = total + narrow(padded, 1, first, first + x.shape[1])
    return total


def _response_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    wide = accumulator(inputs[0].dtype)
    head, data, output, norm = (
        cast(x, wide) for x in (heads[0], inputs[0], outputs[0], outputs[1])
    )
    factor = -2 * attributes.beta * attributes.alpha / attributes.nsize
    shared = _windows(head * output / norm, attributes.nsize)
    return (cast(head * norm**-attributes.beta + data * shared * factor, inputs[0].dtype),)


@operator(
    "LRN",
    outputs=lambda attributes: ("output", "tmp_norm"),
    visible=lambda attributes: 1,
    shapes=unify_shapes,
    gradient=_response_gradient,
)
def lrn(
    data: Expr, *, alpha: Single = 1e-4, beta: Single = 0.75, knorm: Single = 2.0, nsize: int
) -> tuple[Expr, ...]:
    """x * (knorm + alpha / nsize * sum(x * x)) ** -beta, summed over ``nsize`` nearby channels.

    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012.
    """
    needs_float("LRN", data)
    if len(data.shape) != 4 or nsize < 1 or nsize % 2 == 0:
        raise LoweringError(
            f"data is {data.shape} and nsize={nsize}, it needs 4 axes and an odd nsize"
        )
    wide = cast(data, accumulator(data.dtype))
    norm = _windows(wide * wide, nsize) * (alpha / nsize) + knorm
    return cast(wide * norm**-beta, data.dtype), cast(norm, data.dtype)
