"""Images in another size: enlarged, or a part of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from tritonsym.expressions.expr import Expr, broadcast, concat, narrow, reduce, reshape
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import Gradients, Numbered, Shapes, merge_shapes, operator

from .convolution import convolve, correlate, transpose
from .windows import Window


def _check_images(*images: Expr) -> None:
    for x in images:
        if len(x.shape) != 4:
            raise LoweringError(
                f"an input is {x.shape}, it needs 4 axes: batch, channels, height, width"
            )


# ---- UpSampling --------------------------------------------------------------------------------


def _upsampling_inputs(attributes: Any) -> Sequence[str]:
    if attributes.sample_type == "bilinear":
        return ("data", "weight")
    return Numbered("arg", attributes.num_args)


def _interpolation(scale: int, channels: int) -> Window:
    """The transposed convolution whose kernel reaches as far as the pixels beside a new one."""
    if not 1 <= scale <= 1000 or channels < 1:
        raise LoweringError(
            f"scale={scale} must be between 1 and 1000, and num_filter={channels} at least 1"
        )
    kernel, pad = 2 * scale - scale % 2, scale // 2
    return Window((kernel,) * 2, (scale,) * 2, (1, 1), (pad,) * 2, (0, 0), channels)


def _upsampling_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    data = inputs[0]
    if data is None or attributes.sample_type != "bilinear" or len(data) != 4:
        return
    channels, scale = attributes.num_filter, attributes.scale
    inputs[1] = merge_shapes((channels, 1, *_interpolation(scale, channels).kernel), inputs[1])
    outputs[0] = merge_shapes((data[0], channels, *(n * scale for n in data[2:])), outputs[0])


def _repeated(x: Expr, factor: int) -> Expr:
    batch, channels, height, width = x.shape
    split = reshape(x, (batch, channels, height, 1, width, 1))
    wide = broadcast(split, (batch, channels, height, factor, width, factor))
    return reshape(wide, (batch, channels, height * factor, width * factor))


def _nearest(inputs: Sequence[Expr], scale: int) -> list[Expr]:
    """Each input in the size of the first one's result."""
    if scale < 1:
        raise LoweringError(f"scale={scale} must be 1 or more")
    height, width = (n * scale for n in inputs[0].shape[2:])
    found = []
    for x in inputs:
        factor = height // x.shape[2]
        if (x.shape[2] * factor, x.shape[3] * factor) != (height, width):
            raise LoweringError(
                f"inputs of {inputs[0].shape} and {x.shape}: no whole factor leads from the second "
                f"one's size to {(height, width)}"
            )
        found.append(_repeated(x, factor))
    return found


def _upsampling_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    (head,) = heads
    if attributes.sample_type == "bilinear":
        data, weight = inputs
        window = _interpolation(attributes.scale, attributes.num_filter)
        return convolve(head, weight, window), correlate(data, head, weight, window)
    found: list[Expr | None] = []
    start = 0
    for x in inputs:
        part = head
        if attributes.multi_input_mode == "concat":
            part = narrow(head, 1, start, start + x.shape[1])
            start += x.shape[1]
        rows, columns = (m // n for m, n in zip(head.shape[2:], x.shape[2:], strict=True))
        blocks = reshape(part, (*x.shape[:3], rows, x.shape[3], columns))
        found.append(reshape(reduce("sum", blocks, (3, 5)), x.shape))
    return found


@operator(
    "UpSampling",
    inputs=_upsampling_inputs,
    variadic="num_args",
    shapes=_upsampling_shapes,
    gradient=_upsampling_gradient,
    initial={"weight": '["bilinear", {}]'},
)
def upsampling(
    *inputs: Expr,
    scale: int,
    num_filter: int = 0,
    sample_type: Literal["bilinear", "nearest"],
    multi_input_mode: Literal["concat", "sum"] = "concat",
    workspace: int = 512,
) -> Expr:
    """Images with ``scale`` times as many rows and columns.

    ``nearest`` repeats each pixel; several inputs are all brought to the size of the first one's
    result, and their channels put one after the other, or added. ``bilinear`` spreads each pixel
    by a ``weight`` of shape (channels, 1, k, k) with k = 2 * scale - scale % 2, which is learned
    and begins as a linear interpolation; ``num_filter`` is the number of channels.
    """
    _check_images(*inputs)
    if sample_type == "bilinear":
        data, weight = inputs
        window = _interpolation(scale, num_filter)
        if data.shape[1] != num_filter or weight.shape != (num_filter, 1, *window.kernel):
            raise LoweringError(
                f"data is {data.shape} and weight {weight.shape}; num_filter={num_filter} needs as "
                f"many channels and a weight of {(num_filter, 1, *window.kernel)}"
            )
        return transpose(data, weight, window)
    large = _nearest(inputs, scale)
    if multi_input_mode == "concat":
        return concat(large, 1)
    total = large[0]
    for x in large[1:]:
        total = total + x
    return total


# ---- Crop --------------------------------------------------------------------------------------


def _crop_inputs(attributes: Any) -> Sequence[str]:
    return ("data", "crop_like")[: attributes.num_args]


@operator("Crop", inputs=_crop_inputs, variadic="num_args")
def crop(
    *inputs: Expr,
    offset: tuple[int, ...] = (0, 0),
    h_w: tuple[int, ...] = (0, 0),
    center_crop: bool = False,
) -> Expr:
    """A part of each image: ``h_w`` rows and columns, or as many as a second input has.

    It begins at ``offset``, or with ``center_crop`` lies in the middle.
    """
    if not 1 <= len(inputs) <= 2:
        raise LoweringError(f"num_args={len(inputs)} must be 1 or 2")
    _check_images(*inputs)
    data = inputs[0]
    size = inputs[1].shape[2:] if len(inputs) == 2 else h_w
    if len(size) != 2 or len(offset) != 2:
        raise LoweringError(f"offset={offset} and h_w={h_w} need 2 numbers each")
    for axis, length in enumerate(size, start=2):
        whole = data.shape[axis]
        start = (whole - length) // 2 if center_crop else offset[axis - 2]
        if not (start >= 0 and length > 0 and start + length <= whole):
            raise LoweringError(
                f"data is {data.shape}: axis {axis} has no {length} elements from {start} on"
            )
        data = narrow(data, axis, start, start + length)
    return data
