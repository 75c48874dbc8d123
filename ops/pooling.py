"""Pooling: the largest value under a window that moves over the data, or a mean of some kind.

A window is taken apart into its axes, and each axis into strided views of the data, which are
compared or added one after the other: a pooling is made of ordinary expressions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch

from tritonsym.expressions.expr import (
    Expr,
    broadcast,
    cast,
    full,
    iota,
    make,
    maximum,
    minimum,
    narrow,
    padded,
    pick,
    pick_add,
    reduce,
    reshape,
    slice_,
    spread,
    where,
)
from tritonsym.foundation.dtype import INT32, INT64, UINT8, DType
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import DTypes, Gradients, Shapes, merge_shapes, operator

from .common import accumulator, needs_float, one_dtype
from .windows import channels_last, moved_channel, per_axis, to_channels_first, to_channels_last

# Along an axis with more windows than one, each element of a window is an expression.
_LONGEST = 1024


@dataclass(frozen=True)
class Windows:
    """How the windows lie along one axis of the data.

    Attributes:
        axis: of the data.
        length: of the axis.
        kernel, stride: of the windows.
        pad: the elements before the first one; where the windows begin.
        count: of the windows.
        padding_counts: whether padding, as long as it is ``pad``, is part of a mean.
    """

    axis: int
    length: int
    kernel: int
    stride: int
    pad: int
    count: int
    padding_counts: bool

    @property
    def reach(self) -> int:
        """How many elements the windows span, from the beginning of the first one."""
        return (self.count - 1) * self.stride + self.kernel

    def padded(self, x: Expr, value: float) -> Expr:
        """The data with ``value`` wherever the windows reach beyond it."""
        behind = max(self.reach - self.pad - self.length, 0)
        return padded(x, self.axis, self.pad, behind, value)

    def element(self, x: Expr, number: int) -> Expr:
        """The element of this number of each window, in padded data."""
        starts, stops, steps = [0] * len(x.shape), list(x.shape), [1] * len(x.shape)
        starts[self.axis], steps[self.axis] = number, self.stride
        stops[self.axis] = number + (self.count - 1) * self.stride + 1
        return slice_(x, starts, stops, steps)

    def only(self, x: Expr) -> Expr:
        """What is in the window where there is only one, in padded data."""
        return narrow(x, self.axis, 0, self.kernel)

    def starts(self, rank: int) -> Expr:
        """Where each window begins, to be broadcast along the other axes."""
        shape = [1] * rank
        shape[self.axis] = self.count
        return iota(tuple(shape), self.axis) * self.stride - self.pad

    def size(self, rank: int, dtype: DType) -> Expr | int:
        """How many elements a mean counts: one number, or where they differ one per window."""
        first, last = 0, self.length
        if self.padding_counts:
            first, last = -self.pad, self.length + self.pad
        ends = [number * self.stride - self.pad for number in (0, self.count - 1)]
        if ends[0] >= first and ends[1] + self.kernel <= last:
            return self.kernel
        begins = self.starts(rank)
        sizes = minimum(begins + self.kernel, last) - maximum(begins, first)
        return cast(maximum(sizes, 1), dtype)


@dataclass(frozen=True)
class _Parameters:
    """What the operator is given about its windows."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    global_pool: bool
    pooling_convention: str
    count_include_pad: bool | None

    def along(self, number: int, length: int) -> Windows:
        """The windows along one of the axes behind batch and channels."""
        counts = self.count_include_pad is not False
        if self.global_pool:
            return Windows(number + 2, length, length, 1, 0, 1, counts)
        rank = len(self.kernel)
        kernel = self.kernel[number]
        stride = per_axis("stride", self.stride, rank, 1)[number]
        pad = per_axis("pad", self.pad, rank, 0)[number]
        surplus = length + 2 * pad - kernel
        if kernel < 1 or pad >= kernel or surplus < 0:
            raise LoweringError(
                f"kernel={self.kernel} and pad={self.pad}: a kernel must be longer than its "
                f"padding, and not longer than the data with it; axis {number + 2} has {length}"
            )
        count = {
            "valid": surplus // stride + 1,
            "full": -(-surplus // stride) + 1,
            "same": -(-length // stride),
        }[self.pooling_convention]
        if count > 1 and kernel > _LONGEST:
            raise LoweringError(f"kernel={self.kernel}: more than {_LONGEST} are not supported")
        return Windows(number + 2, length, kernel, stride, pad, count, counts)

    def windows(self, lengths: Sequence[int]) -> list[Windows | None]:
        """The windows along each axis; None for an unknown length."""
        if not self.global_pool and len(self.kernel) != len(lengths):
            raise LoweringError(f"kernel={self.kernel} needs {len(lengths)} lengths")
        return [self.along(i, n) if n else None for i, n in enumerate(lengths)]


def _parameters(attributes: Any) -> _Parameters:
    names = (field.name for field in fields(_Parameters))
    return _Parameters(**{name: getattr(attributes, name) for name in names})


def _known(parameters: _Parameters, data: Expr) -> list[Windows]:
    return [w for w in parameters.windows(data.shape[2:]) if w is not None]


# ---- the largest -------------------------------------------------------------------------------


def _lowest(data: Expr) -> float:
    """What padding is: the lowest finite number."""
    return float(torch.finfo(data.dtype.torch).min)


def _largest(data: Expr, windows: Sequence[Windows]) -> Expr:
    lowest = _lowest(data)
    for w in reversed(windows):
        data = w.padded(data, lowest)
        if w.count == 1:
            data = reduce("max", w.only(data), (w.axis,))
            continue
        best = w.element(data, 0)
        for number in range(1, w.kernel):
            best = maximum(best, w.element(data, number))
        data = best
    return data


def _places(data: Expr, windows: Sequence[Windows], dtype: DType = INT64) -> Expr:
    """Which element of the data, its axes behind the channels taken as one, is the largest.

    Of equal ones it is the first. The last axis is compared first, so the comparisons are those of
    `_largest`, and are not made twice. Until the end a place is where in its window, in bytes.
    """
    lowest = _lowest(data)
    chosen: list[Expr] = []  # along each axis so far
    for w in reversed(windows):
        data = w.padded(data, lowest)
        chosen = [w.padded(place, 0) for place in chosen]
        if w.count == 1:
            first = make("argmax", w.only(data), axes=(w.axis,))
            chosen = [pick(w.only(place), first, w.axis) for place in chosen] + [first]
            data = reduce("max", w.only(data), (w.axis,))
            continue
        best, kind = w.element(data, 0), UINT8 if w.kernel <= 256 else INT64
        found = [*(w.element(place, 0) for place in chosen), full(0, best.shape, kind)]
        for number in range(1, w.kernel):
            value = w.element(data, number)
            above = value > best
            others: list[Expr | int] = [*(w.element(place, number) for place in chosen), number]
            found = [where(above, new, old) for new, old in zip(others, found, strict=True)]
            best = maximum(best, value)
        data, chosen = best, found
    place, step = full(0, data.shape, dtype), 1
    for w, along in zip(reversed(windows), chosen, strict=True):
        place = place + (cast(along, dtype) + cast(w.starts(len(data.shape)), dtype)) * step
        step *= w.length
    return place


def _largest_gradient(head: Expr, data: Expr, output: Expr, windows: Sequence[Windows]) -> Expr:
    batch, channels, *lengths = data.shape
    size = math.prod(lengths)
    flat = (batch, channels, head.size // (batch * channels))
    narrow_enough = size + max(w.kernel + w.pad for w in windows) * size < 2**31
    places = reshape(_places(data, windows, INT32 if narrow_enough else INT64), flat)
    # Where nothing is above the padding, it may be padding that was found.
    head = where(output > _lowest(data), head, 0)
    if any(w.pad or w.reach > w.length for w in windows):
        places = minimum(maximum(places, 0), size - 1)
    return reshape(pick_add(reshape(head, flat), places, 2, size), data.shape)


# ---- sums --------------------------------------------------------------------------------------


def _sums(data: Expr, windows: Sequence[Windows]) -> Expr:
    for w in reversed(windows):
        data = _along(w, w.padded(data, 0))
    return data


def _along(w: Windows, padded: Expr) -> Expr:
    if w.count == 1:
        return reduce("sum", w.only(padded), (w.axis,))
    total = w.element(padded, 0)
    for number in range(1, w.kernel):
        total = total + w.element(padded, number)
    return total


def _sums_gradient(head: Expr, windows: Sequence[Windows]) -> Expr:
    """Each element's gradient is the sum over the windows that it is in."""
    for w in windows:
        if w.count == 1:
            shape = (*head.shape[: w.axis], w.kernel, *head.shape[w.axis + 1 :])
            apart = broadcast(head, shape)
        elif w.stride >= w.kernel:
            apart = spread(head, w.axis, w.stride, w.kernel)
        else:
            # The gradients as far apart as the windows, summed as far back as a window reaches.
            ends = spread(head, w.axis, w.stride)
            back = Windows(w.axis, ends.shape[w.axis], w.kernel, 1, w.kernel - 1, w.reach, True)
            apart = _along(back, back.padded(ends, 0))
        end = w.pad + w.length
        whole = padded(apart, w.axis, 0, max(end - apart.shape[w.axis], 0))
        head = narrow(whole, w.axis, w.pad, end)
    return head


def _mean_of(sums: Expr, windows: Sequence[Windows]) -> Expr:
    """Sums, or their gradients, divided by the sizes of the windows."""
    whole = 1
    for w in windows:
        size = w.size(len(sums.shape), sums.dtype)
        if isinstance(size, int):
            whole *= size
        else:
            sums = sums / size
    return sums * (1 / whole) if whole > 1 else sums


# ---- the operator ------------------------------------------------------------------------------


def _pooling_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    last = channels_last(attributes.layout)
    data = moved_channel(inputs[0], last)
    if data is None:
        return
    _check_rank(data)
    counts = [0 if w is None else w.count for w in _parameters(attributes).windows(data[2:])]
    result = merge_shapes((*data[:2], *counts), moved_channel(outputs[0], last))
    assert result is not None
    outputs[:] = [moved_channel(result, last, back=True)] * len(outputs)
    known = merge_shapes(data, (*result[:2], *[0] * len(counts)))
    inputs[0] = moved_channel(known, last, back=True)


def _check_rank(shape: Sequence[int]) -> None:
    if not 3 <= len(shape) <= 5:
        raise LoweringError(f"data is {tuple(shape)}, it needs 3 to 5 axes: batch, channels, ...")


def _powers(x: Expr, power: int) -> Expr:
    size = make("abs", x)
    return size if power == 1 else size**power


def _pooling_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    last = channels_last(attributes.layout)
    head, data, output = (to_channels_first(x, last) for x in (heads[0], inputs[0], outputs[0]))
    windows, wide = _known(_parameters(attributes), data), accumulator(data.dtype)
    head = cast(head, wide)
    match attributes.pool_type:
        case "max":
            gradient = _largest_gradient(head, data, output, windows)
        case "sum":
            gradient = _sums_gradient(head, windows)
        case "avg":
            gradient = _sums_gradient(_mean_of(head, windows), windows)
        case _:
            power, result = attributes.p_value, cast(output, wide)
            share = head if power == 1 else where(result > 0, head / result ** (power - 1), 0)
            x = cast(data, wide)
            slope = make("sign", x) if power == 1 else make("sign", x) * _powers(x, power - 1)
            gradient = _sums_gradient(share, windows) * slope
    return (to_channels_last(cast(gradient, data.dtype), last),)


def _keeps_places(pool_type: str, kernel: tuple[int, ...], layout: str | None) -> bool:
    """Whether there is a second, hidden output. MXNet's files count it."""
    return pool_type == "max" and len(kernel) > 0 and not channels_last(layout)


def _pooling_outputs(attributes: Any) -> Sequence[str]:
    kept = _keeps_places(attributes.pool_type, attributes.kernel, attributes.layout)
    return ("output", "workspace") if kept else ("output",)


def _pooling_dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    one_dtype(inputs, outputs)
    outputs[1:] = [INT64] * (len(outputs) - 1)


@operator(
    "Pooling",
    outputs=_pooling_outputs,
    visible=lambda attributes: 1,
    shapes=_pooling_shapes,
    dtypes=_pooling_dtypes,
    gradient=_pooling_gradient,
)
def pooling(
    data: Expr,
    *,
    kernel: tuple[int, ...] = (),
    pool_type: Literal["avg", "lp", "max", "sum"] = "max",
    global_pool: bool = False,
    cudnn_off: bool = False,
    pooling_convention: Literal["full", "same", "valid"] = "valid",
    stride: tuple[int, ...] = (),
    pad: tuple[int, ...] = (),
    p_value: int | None = None,
    count_include_pad: bool | None = None,
    layout: Literal["NCDHW", "NCHW", "NCW", "NDHWC", "NHWC", "NWC"] | None = None,
) -> Expr | tuple[Expr, ...]:
    """The largest value, the mean, the sum or a norm of each window of ``kernel`` elements.

    ``data`` is (batch, channels, ...) with one to three more axes. The windows begin ``stride``
    elements apart. Of an axis of n elements the result has ``(n + 2*pad - kernel) // stride + 1``;
    with the convention ``full`` the quotient is rounded up, with ``same`` it is ``n / stride``
    rounded up. With ``global_pool`` one window is all of the data. ``lp`` is the sum of the values'
    sizes to the power of ``p_value``, and the root of that. Padding counts as part of a mean unless
    ``count_include_pad`` is false. With a ``layout`` that ends in C the channels are the last axis.
    """
    needs_float("Pooling", data)
    last = channels_last(layout)
    x = to_channels_first(data, last)
    _check_rank(x.shape)
    windows = _known(
        _Parameters(kernel, stride, pad, global_pool, pooling_convention, count_include_pad), x
    )
    if pool_type == "max":
        result = to_channels_last(_largest(x, windows), last)
        kept = _keeps_places(pool_type, kernel, layout)
        return (result, _places(x, windows)) if kept else result
    wide = cast(x, accumulator(x.dtype))
    if pool_type == "lp":
        if p_value not in (1, 2, 3):
            raise LoweringError(f"p_value={p_value} must be 1, 2 or 3 for pool_type='lp'")
        sums = _sums(_powers(wide, p_value), windows)
        result = {1: sums, 2: make("sqrt", sums), 3: make("cbrt", sums)}[p_value]
    else:
        result = _sums(wide, windows)
        if pool_type == "avg":
            result = _mean_of(result, windows)
    return to_channels_last(cast(result, data.dtype), last)
