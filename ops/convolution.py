"""Convolutions and their transposes: each is one call of a library, their gradients as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch

from tritonsym.expressions.expr import Expr, Shape, broadcast, reshape
from tritonsym.expressions.layout import is_heavy
from tritonsym.expressions.library import Returned, computable, library_call
from tritonsym.expressions.reference import Tensor
from tritonsym.foundation.dtype import FLOAT32, FLOAT64
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import Gradients, Shapes, merge_shapes, operator
from tritonsym.graph.schema import Count

from .common import data_weight_bias, needs_float
from .windows import (
    Layout,
    Window,
    channels_last,
    moved_channel,
    per_axis,
    to_channels_first,
    to_channels_last,
    window_of,
)

Tune = Literal["fastest", "limited_workspace", "off"]
Compute = Callable[[], Tensor]


def _convolution_window(attributes: Any) -> Window:
    a = attributes
    return window_of(a.kernel, a.stride, a.dilate, a.pad, a.num_group)


# ---- the calls ---------------------------------------------------------------------------------


def _runs_along_channels(x: Tensor) -> bool:
    """Whether the channels of images lie next to each other."""
    return x.ndim == 4 and not x.is_contiguous() and x.stride(1) == 1


def _with_channels_last(x: Tensor) -> Tensor:
    """The same images with the channels of each place next to each other."""
    _, channels, height, width = x.shape
    laid = x.contiguous(memory_format=torch.channels_last)
    # Where there is one channel, only strides tell the library which order is meant.
    return laid.as_strided(x.shape, (channels * height * width, 1, width * channels, channels))


def _call(window: Window, inputs: list[Tensor], out: Tensor, transposed: bool) -> Compute:
    none = (0,) * len(window.adjust)
    along_channels = _runs_along_channels(out)
    # The library takes the order of the images, whatever that means for the kernel.
    images, kernel = (tuple(x.shape) for x in inputs[:2])
    in_rows = not along_channels and not out.is_cuda and is_heavy(kernel, images, tuple(out.shape))

    def compute() -> Tensor:
        data, weight, *bias = computable(inputs)
        if window.groups > 1:  # of kernels in some orders a CPU's library computes nonsense
            weight = weight.contiguous()
        if along_channels:
            data = _with_channels_last(data)
        elif in_rows:
            data = data.contiguous()
        return torch.convolution(
            data,
            weight,
            bias[0] if bias else None,
            window.stride,
            window.pad,
            window.dilate,
            transposed,
            window.adjust if transposed else none,
            window.groups,
        )

    return compute


def _convolved(window: Window, inputs: list[Tensor], out: Tensor) -> Compute:
    return _call(window, inputs, out, transposed=False)


def _transposed(window: Window, inputs: list[Tensor], out: Tensor) -> Compute:
    return _call(window, inputs, out, transposed=True)


def _correlated(window: Window, inputs: list[Tensor], out: Tensor) -> Compute:
    """The gradient of the kernel. Of the kernel itself the library uses only shape and dtype."""
    along_channels = any(map(_runs_along_channels, inputs))
    # Of places that are skipped with their channels last a CPU's library reads some from beyond.
    skips = math.prod(window.kernel) == 1 and max(window.stride) > 1 and not out.is_cuda
    laid = Tensor.contiguous if skips else _with_channels_last

    def compute() -> Tensor:
        head, data, kernel = computable([*inputs, out])
        if along_channels:
            head, data = laid(head), laid(data)
        found: Sequence[Tensor] = torch.ops.aten.convolution_backward(
            head,
            data,
            kernel,
            None,
            window.stride,
            window.pad,
            window.dilate,
            False,
            (0,) * len(window.pad),
            window.groups,
            (False, True, False),
        )
        return found[1]

    return compute


_convolve, _transpose, _correlate = map(Returned, (_convolved, _transposed, _correlated))


def is_convolution(x: Expr) -> bool:
    """Whether it is a convolution of (batch, channels, ...), whose third input would be a bias."""
    return x.primitive == "native" and x["function"] in (_convolve, _convolve_with_bias)


def _per_place(weight: Expr) -> int:
    """How many products each element of a convolution's result is the sum of.

    Likewise how many results each element of a transposed one's data is added to.
    """
    return math.prod(weight.shape[1:])


def convolve(data: Expr, weight: Expr, window: Window) -> Expr:
    """The convolution of (batch, channels, ...) with (results, channels / groups, ...)."""
    lengths = [window.convolved(axis, n) for axis, n in enumerate(data.shape[2:])]
    shape = (data.shape[0], weight.shape[0], *lengths)
    return library_call(
        _convolve,
        "convolution",
        (data, weight),
        window,
        shape,
        data.dtype,
        channels_last=True,
        gradient=_of_convolved,
        operations=2 * math.prod(shape) * _per_place(weight),
    )


def transpose(data: Expr, weight: Expr, window: Window) -> Expr:
    """The transposed convolution with (channels, results / groups, ...)."""
    lengths = [window.transposed(axis, n) for axis, n in enumerate(data.shape[2:])]
    shape = (data.shape[0], weight.shape[1] * window.groups, *lengths)
    return library_call(
        _transpose,
        "deconvolution",
        (data, weight),
        window,
        shape,
        data.dtype,
        channels_last=True,
        gradient=_of_transposed,
        operations=2 * data.size * _per_place(weight),
    )


def correlate(head: Expr, data: Expr, weight: Expr, window: Window) -> Expr:
    """The gradient of the weight of ``convolve(data, weight)``, from that of its result."""
    return library_call(
        _correlate,
        "weight-gradient",
        (head, data),
        window,
        weight.shape,
        weight.dtype,
        gradient=_of_correlated,
        operations=2 * head.size * _per_place(weight),
    )


# Each of the three is linear in both of its inputs, and its gradients are the other two.


def _window(x: Expr) -> Window:
    window = x["attributes"]
    assert isinstance(window, Window)
    return window


def _of_convolved(x: Expr, g: Expr) -> Gradients:
    (data, weight), window = x.inputs, _window(x)
    back = window.adjusted_to(g.shape[2:], data.shape[2:])
    return transpose(g, weight, back), correlate(g, data, weight, window)


def _of_transposed(x: Expr, g: Expr) -> Gradients:
    (data, weight), window = x.inputs, _window(x)
    return convolve(g, weight, window), correlate(data, g, weight, window)


def _of_correlated(x: Expr, g: Expr) -> Gradients:
    (head, data), window = x.inputs, _window(x)
    back = window.adjusted_to(head.shape[2:], data.shape[2:])
    return convolve(data, g, window), transpose(head, g, back)


def _with_bias(result: Expr, bias: Expr | None) -> Expr:
    if bias is None:
        return result
    shape = (1, bias.size, *[1] * (len(result.shape) - 2))
    return result + broadcast(reshape(bias, shape), result.shape)


# ---- Convolution -------------------------------------------------------------------------------


def _divided(channels: int, groups: int, what: str) -> int:
    if channels % groups:
        raise LoweringError(f"num_group={groups} does not divide the {channels} {what}")
    return channels // groups


def _check_rank(data: Shape, window: Window) -> None:
    if len(data) != len(window.kernel) + 2:
        raise LoweringError(
            f"data is {data}, kernel={window.kernel} needs {len(window.kernel) + 2} axes: batch, "
            "channels and those of the kernel"
        )


def _convolution_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """Weight, bias and result follow from the data; the data's lengths from the result's.

    The last only where the stride is 1: another one leaves several lengths possible.
    """
    window, filters = _convolution_window(attributes), attributes.num_filter
    last = channels_last(attributes.layout)
    data = moved_channel(inputs[0], last)
    if data is None:
        return
    inputs[2:] = [merge_shapes((filters,), shape) for shape in inputs[2:]]
    _check_rank(data, window)
    _divided(filters, window.groups, "filters")
    weight = (filters, _divided(data[1], window.groups, "channels"), *window.kernel)
    inputs[1] = merge_shapes(moved_channel(weight, last, back=True), inputs[1])
    lengths = [window.convolved(axis, n) for axis, n in enumerate(data[2:])]
    result = merge_shapes((data[0], filters, *lengths), moved_channel(outputs[0], last))
    assert result is not None
    outputs[0] = moved_channel(result, last, back=True)
    known = [
        n + window.reach(axis) - 1 - 2 * window.pad[axis] if n and window.stride[axis] == 1 else 0
        for axis, n in enumerate(result[2:])
    ]
    data = merge_shapes(data, (result[0], 0, *known))
    inputs[0] = moved_channel(data, last, back=True)


def _convolved_as_said(attributes: Any, inputs: list[Tensor], out: Tensor) -> Compute:
    return _convolved(_convolution_window(attributes), inputs, out)


_convolve_with_bias = Returned(_convolved_as_said)


def _in_one_call(attributes: Any, inputs: Sequence[Expr]) -> bool:
    """Where the library adds the bias as well."""
    return (
        len(inputs) > 2
        and inputs[0].dtype in (FLOAT32, FLOAT64)
        and not channels_last(attributes.layout)
    )


@operator(
    "Convolution",
    inputs=data_weight_bias,
    shapes=_convolution_shapes,
    native=_convolve_with_bias,
    uses_native=_in_one_call,
    channels_last=True,
)
def convolution(
    data: Expr,
    weight: Expr,
    bias: Expr | None = None,
    *,
    kernel: tuple[int, ...],
    stride: tuple[int, ...] = (),
    dilate: tuple[int, ...] = (),
    pad: tuple[int, ...] = (),
    num_filter: Count,
    num_group: Count = 1,
    workspace: int = 1024,
    no_bias: bool = False,
    cudnn_tune: Tune | None = None,
    cudnn_off: bool = False,
    layout: Layout | None = None,
) -> Expr:
    """Sums of the data under a kernel that moves over it, one kernel for each filter.

    ``data`` is (batch, channels, ...) with one to three more axes, ``weight`` (num_filter,
    channels / num_group, *kernel), ``bias``, which ``no_bias`` leaves out, (num_filter,). An axis
    of length n becomes ``(n + 2*pad - dilate*(kernel - 1) - 1) // stride + 1``. With a ``layout``
    that ends in C the channels are the last axis of data, weight and result.
    """
    needs_float("Convolution", data)
    last = channels_last(layout)
    window = window_of(kernel, stride, dilate, pad, num_group)
    x, w = to_channels_first(data, last), to_channels_first(weight, last)
    _check_rank(x.shape, window)
    expected = (num_filter, _divided(x.shape[1], num_group, "channels"), *kernel)
    _check_parameters(w, expected, bias, num_filter)
    return to_channels_last(_with_bias(convolve(x, w, window), bias), last)


def _check_parameters(weight: Expr, expected: Shape, bias: Expr | None, filters: int) -> None:
    if weight.shape != expected:
        raise LoweringError(f"weight is {weight.shape}, the data needs {expected}")
    if bias is not None and bias.shape != (filters,):
        raise LoweringError(f"bias is {bias.shape}, num_filter={filters} needs {(filters,)}")


# ---- Deconvolution -----------------------------------------------------------------------------


def _aimed(window: Window, target: tuple[int, ...], data: Shape) -> Window:
    """The window of a transposed convolution; a target shape decides over padding and ends."""
    if not any(target):
        return _checked_adjust(window, "")
    per_axis("target_shape", target, len(window.kernel), 0)
    pads, ends = [], []
    for axis, (length, wanted) in enumerate(zip(data[2:], target, strict=True)):
        spread = window.stride[axis] * (length - 1) + window.reach(axis)
        if length and wanted > spread:
            raise LoweringError(f"target_shape={target} is too large, {spread} can be reached")
        surplus = spread - wanted if length else 0
        pads.append((surplus + 1) // 2)
        ends.append(surplus % 2)
    found = replace(window, pad=tuple(pads), adjust=tuple(ends))
    return _checked_adjust(found, f"target_shape={target} means ")


def _checked_adjust(window: Window, because: str) -> Window:
    if any(a >= s for a, s in zip(window.adjust, window.stride, strict=True)):
        raise LoweringError(
            f"{because}adj={window.adjust}, which must be below stride={window.stride}"
        )
    return window


def _deconvolution_window(attributes: Any, data: Shape) -> Window:
    a = attributes
    window = window_of(a.kernel, a.stride, a.dilate, a.pad, a.num_group, a.adj)
    _check_rank(data, window)
    return _aimed(window, a.target_shape, data)


def _deconvolution_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    filters, last = attributes.num_filter, channels_last(attributes.layout)
    data = moved_channel(inputs[0], last)
    if data is None:
        return
    inputs[2:] = [merge_shapes((filters,), shape) for shape in inputs[2:]]
    window = _deconvolution_window(attributes, data)
    _divided(data[1], window.groups, "channels")
    weight = (data[1], _divided(filters, window.groups, "filters"), *window.kernel)
    inputs[1] = merge_shapes(moved_channel(weight, last, back=True), inputs[1])
    lengths = _spread_lengths(window, data)
    result = merge_shapes((data[0], filters, *lengths), moved_channel(outputs[0], last))
    assert result is not None
    outputs[0] = moved_channel(result, last, back=True)
    inputs[0] = moved_channel(merge_shapes(data, (result[0], *data[1:])), last, back=True)


def _spread_lengths(window: Window, data: Shape) -> list[int]:
    lengths = [window.transposed(axis, n) for axis, n in enumerate(data[2:])]
    if any(n < 1 for n, known in zip(lengths, data[2:], strict=True) if known):
        raise LoweringError(f"pad={window.pad} leaves a result with the lengths {lengths}")
    return lengths


def _transposed_as_said(attributes: Any, inputs: list[Tensor], out: Tensor) -> Compute:
    window = _deconvolution_window(attributes, tuple(inputs[0].shape))
    return _transposed(window, inputs, out)


@operator(
    "Deconvolution",
    inputs=data_weight_bias,
    shapes=_deconvolution_shapes,
    native=Returned(_transposed_as_said),
    uses_native=_in_one_call,
    channels_last=True,
)
def deconvolution(
    data: Expr,
    weight: Expr,
    bias: Expr | None = None,
    *,
    kernel: tuple[int, ...],
    stride: tuple[int, ...] = (),
    dilate: tuple[int, ...] = (),
    pad: tuple[int, ...] = (),
    adj: tuple[int, ...] = (),
    target_shape: tuple[int, ...] = (),
    num_filter: Count,
    num_group: Count = 1,
    workspace: int = 512,
    no_bias: bool = True,
    cudnn_tune: Tune | None = None,
    cudnn_off: bool = False,
    layout: Layout | None = None,
) -> Expr:
    """The transpose of a convolution: each element of the data spreads a kernel over the result.

    ``data`` is (batch, channels, ...) with one to three more axes, ``weight`` (channels,
    num_filter / num_group, *kernel), ``bias``, which ``no_bias`` leaves out, (num_filter,). An axis
    of length n becomes ``stride*(n - 1) + dilate*(kernel - 1) + 1 - 2*pad + adj``, or, where
    ``target_shape`` is given, that length, to which the padding is fitted. With a ``layout`` that
    ends in C the channels are the last axis of data, weight and result.
    """
    needs_float("Deconvolution", data)
    last = channels_last(layout)
    x, w = to_channels_first(data, last), to_channels_first(weight, last)
    window = window_of(kernel, stride, dilate, pad, num_group, adj)
    _check_rank(x.shape, window)
    window = _aimed(window, target_shape, x.shape)
    _spread_lengths(window, x.shape)
    _divided(x.shape[1], num_group, "channels")
    expected = (x.shape[1], _divided(num_filter, num_group, "filters"), *kernel)
    _check_parameters(w, expected, bias, num_filter)
    return to_channels_last(_with_bias(transpose(x, w, window), bias), last)
