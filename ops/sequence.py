"""Sequences of different lengths in one array: what lies behind each one's end is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritonsym.expressions.expr import (
    Expr,
    broadcast,
    cast,
    flip,
    iota,
    maximum,
    minimum,
    narrow,
    pick,
    reshape,
    where,
)
from tritonsym.foundation.dtype import INT64
from tritonsym.foundation.errors import LoweringError
from tritonsym.foundation.shape import Shape
from tritonsym.graph.op import DTypes, Gradients, Shapes, merge_shapes, operator
from tritonsym.graph.schema import Single

from .common import one_dtype, one_shape


def _inputs(attributes: Any) -> tuple[str, ...]:
    return ("data", "sequence_length") if attributes.use_sequence_length else ("data",)


def _lengths_shape(attributes: Any, inputs: Shapes) -> None:
    """One length for each sequence: along the first two axes, the one that is not time's."""
    data = inputs[0]
    if data is not None:
        _check_rank(data)
    if data is not None and len(inputs) > 1:
        inputs[1] = merge_shapes((data[1 - attributes.axis],), inputs[1])


def _same_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    _check_axis(attributes.axis)
    one_shape(inputs, outputs)
    _lengths_shape(attributes, inputs)


def _last_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    _check_axis(attributes.axis)
    _lengths_shape(attributes, inputs)


def _dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    """The lengths may have another dtype than the data."""
    known = one_dtype(inputs, outputs)
    inputs[1:] = [dtype or known for dtype in inputs[1:]]


def _check_axis(axis: int) -> None:
    if axis not in (0, 1):
        raise LoweringError(f"axis={axis}, the axis of time, must be 0 or 1")


def _check_rank(data: Shape) -> None:
    if len(data) < 2:
        raise LoweringError(f"data is {data}, it needs 2 axes or more: time and batch")


def _check(data: Expr, lengths: Expr | None, axis: int) -> None:
    _check_axis(axis)
    _check_rank(data.shape)
    expected = (data.shape[1 - axis],)
    if lengths is not None and lengths.shape != expected:
        raise LoweringError(f"sequence_length is {lengths.shape}, the data needs {expected}")


def _lengths(data: Expr, lengths: Expr, axis: int) -> Expr:
    """The lengths as integers, to be broadcast along all axes but the sequences'."""
    shape = [1] * len(data.shape)
    shape[1 - axis] = data.shape[1 - axis]
    return reshape(cast(lengths, INT64), shape)


def _times(data: Expr, axis: int) -> Expr:
    """Each element's position in time, to be broadcast along the axes behind the first two."""
    return iota((*data.shape[:2], *[1] * (len(data.shape) - 2)), axis)


# ---- SequenceMask ------------------------------------------------------------------------------


def _masked(data: Expr, lengths: Expr, axis: int, value: float) -> Expr:
    return where(_times(data, axis) < _lengths(data, lengths, axis), data, value)


def _mask_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    if not attributes.use_sequence_length:
        return (heads[0],)
    return _masked(heads[0], inputs[1], attributes.axis, 0.0), None


@operator(
    "SequenceMask", inputs=_inputs, shapes=_same_shapes, dtypes=_dtypes, gradient=_mask_gradient
)
def sequence_mask(
    data: Expr,
    sequence_length: Expr | None = None,
    *,
    use_sequence_length: bool = False,
    value: Single = 0.0,
    axis: int = 0,
) -> Expr:
    """The sequences with ``value`` behind their ends.

    ``data`` is (time, batch, ...), or (batch, time, ...) with ``axis=1``; ``sequence_length``,
    which is used with ``use_sequence_length``, has one length for each of the batch.
    """
    _check(data, sequence_length, axis)
    if sequence_length is None:
        return data
    return _masked(data, sequence_length, axis, value)


# ---- SequenceLast ------------------------------------------------------------------------------


def _last_times(data: Expr, lengths: Expr | None, axis: int) -> Expr:
    """The position of each sequence's last element; within the data for any length."""
    last = data.shape[axis] - 1
    if lengths is None:
        return reshape(iota((1,), 0) + last, (1,) * len(data.shape))
    return minimum(maximum(_lengths(data, lengths, axis) - 1, 0), last)


def _last_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    data, axis = inputs[0], attributes.axis
    lengths = inputs[1] if attributes.use_sequence_length else None
    at_end = _times(data, axis).equals(_last_times(data, lengths, axis))
    head = reshape(heads[0], (*data.shape[:axis], 1, *data.shape[axis + 1 :]))
    gradient = where(at_end, broadcast(head, data.shape), 0)
    return (gradient,) if lengths is None else (gradient, None)


@operator(
    "SequenceLast", inputs=_inputs, shapes=_last_shapes, dtypes=_dtypes, gradient=_last_gradient
)
def sequence_last(
    data: Expr,
    sequence_length: Expr | None = None,
    *,
    use_sequence_length: bool = False,
    axis: int = 0,
) -> Expr:
    """The last element of each sequence: the data's shape without the axis of time.

    ``data`` is (time, batch, ...), or (batch, time, ...) with ``axis=1``; ``sequence_length``,
    which is used with ``use_sequence_length``, has one length for each of the batch.
    """
    _check(data, sequence_length, axis)
    shape = (*data.shape[:axis], *data.shape[axis + 1 :])
    if sequence_length is None:
        last = data.shape[axis] - 1
        return reshape(narrow(data, axis, last, last + 1), shape)
    places = _last_times(data, sequence_length, axis)
    kept = (*data.shape[:axis], 1, *data.shape[axis + 1 :])
    return reshape(pick(data, broadcast(places, kept), axis), shape)


# ---- SequenceReverse ---------------------------------------------------------------------------


def _reversed(data: Expr, lengths: Expr | None) -> Expr:
    if lengths is None:
        return flip(data, (0,))
    times, ends = _times(data, 0), minimum(_lengths(data, lengths, 0), data.shape[0])
    return pick(data, broadcast(where(times < ends, ends - 1 - times, times), data.shape), 0)


def _reverse_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    """Each sequence's reversal undoes itself."""
    if not attributes.use_sequence_length:
        return (_reversed(heads[0], None),)
    return _reversed(heads[0], inputs[1]), None


@operator(
    "SequenceReverse",
    inputs=_inputs,
    shapes=_same_shapes,
    dtypes=_dtypes,
    gradient=_reverse_gradient,
)
def sequence_reverse(
    data: Expr,
    sequence_length: Expr | None = None,
    *,
    use_sequence_length: bool = False,
    axis: int = 0,
) -> Expr:
    """Each sequence from its end to its beginning; what lies behind the end stays.

    ``data`` is (time, batch, ...), and ``axis`` must be 0; ``sequence_length``, which is used with
    ``use_sequence_length``, has one length for each of the batch.
    """
    if axis != 0:
        raise LoweringError(f"axis={axis}, the axis of time, must be 0")
    _check(data, sequence_length, axis)
    return _reversed(data, sequence_length)
