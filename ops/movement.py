"""Operators that move elements without computing: shapes, slices, joins, repetitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tritonsym.expressions.expr import (
    Expr,
    Shape,
    broadcast,
    concat,
    flip,
    narrow,
    permute,
    reshape,
    slice_,
)
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import (
    Numbered,
    PartialShape,
    Shapes,
    is_complete,
    merge_shapes,
    operator,
    unify_shapes,
)
from tritonsym.graph.schema import Arity, Axes, Bounds

from .common import axes_of, axis_of, first_decides


def reshaped(have: Shape, want: tuple[int, ...], reverse: bool = False) -> Shape:
    """The shape that MXNet's codes in ``want`` mean for an array of shape ``have``.

    0 keeps a length, -1 is what is left, -2 all remaining axes, -3 merges two axes, -4 splits one
    into the two numbers that follow. With ``reverse`` the codes are read from the last axis on.

    Raises:
        LoweringError: the codes do not fit, or the sizes differ.
    """
    codes = want[::-1] if reverse else want
    source = have[::-1] if reverse else have
    result: list[int] = []
    used, unknown, index = 0, -1, 0
    while index < len(codes):
        code = codes[index]
        try:
            if code == 0:
                result.append(source[used])
                used += 1
            elif code == -1:
                if unknown >= 0:
                    raise LoweringError(f"shape={want} has more than one -1")
                unknown = len(result)
                result.append(1)
                used += 1
            elif code == -2:
                result.extend(source[used:])
                used = len(source)
            elif code == -3:
                result.append(source[used] * source[used + 1])
                used += 2
            elif code == -4:
                result.extend(_split(source[used], codes[index + 1], codes[index + 2], want))
                used += 1
                index += 2
            elif code > 0:
                result.append(code)
                used += 1
            else:
                raise LoweringError(f"shape={want}: {code} is no length and no code (0 to -4)")
        except IndexError:
            raise LoweringError(f"shape={want} does not fit an array of shape {have}") from None
        index += 1
    if unknown >= 0:
        known = math.prod(result)
        result[unknown] = math.prod(have) // known if known else 0
    shape = tuple(result[::-1] if reverse else result)
    if math.prod(shape) != math.prod(have):
        raise LoweringError(f"cannot reshape array of size {math.prod(have)} into shape {want}")
    return shape


def _split(length: int, first: int, second: int, want: tuple[int, ...]) -> tuple[int, int]:
    if first == -1 and second > 0:
        first = length // second
    elif second == -1 and first > 0:
        second = length // first
    if first < 1 or second < 1 or first * second != length:
        raise LoweringError(f"shape={want}: {length} is not {first} times {second}")
    return first, second


def _older_target(have: Shape, target: tuple[int, ...], keep_highest: bool) -> Shape:
    """The deprecated `target_shape`: one 0 is inferred, the first axis may be kept."""
    shape = list(target)
    if keep_highest:
        shape[0] = have[0]
    if 0 in shape:
        at = shape.index(0)
        known = math.prod(n for i, n in enumerate(shape) if i != at)
        shape[at] = math.prod(have) // known if known else 0
    return tuple(shape)


def _reshape_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """One unknown length of the data follows from the size of the result."""
    data, made = inputs[0], outputs[0]
    if data is None or data.count(0) != 1 or not is_complete(made):
        return
    rest, left = divmod(math.prod(made), math.prod(filter(None, data)))
    if not left:
        inputs[0] = tuple(length or rest for length in data)


@operator("Reshape", aliases=("reshape",), shapes=_reshape_shapes)
def reshape_(
    data: Expr,
    *,
    shape: tuple[int, ...] = (),
    reverse: bool = False,
    target_shape: tuple[int, ...] = (),
    keep_highest: bool = False,
) -> Expr:
    """The same elements in another shape.

    In ``shape``, 0 keeps the input's length, -1 is what is left, -2 all remaining axes, -3 the
    product of two axes, -4 splits an axis into the next two numbers. ``reverse`` reads from the
    last axis. ``target_shape`` and ``keep_highest`` are the older spelling.
    """
    if shape:
        return reshape(data, reshaped(data.shape, shape, reverse))
    if target_shape:
        return reshape(data, _older_target(data.shape, target_shape, keep_highest))
    raise LoweringError("the parameter shape is not given")


@operator("reshape_like", dtypes=first_decides)
def reshape_like(
    lhs: Expr,
    rhs: Expr,
    *,
    lhs_begin: int | None = None,
    lhs_end: int | None = None,
    rhs_begin: int | None = None,
    rhs_end: int | None = None,
) -> Expr:
    """``lhs`` in the shape of ``rhs``, or a range of its axes in the shape of a range of those."""
    left = slice(lhs_begin, lhs_end).indices(len(lhs.shape))
    right = slice(rhs_begin, rhs_end).indices(len(rhs.shape))
    middle = rhs.shape[right[0] : right[1]]
    return reshape(lhs, (*lhs.shape[: left[0]], *middle, *lhs.shape[left[1] :]))


@operator("Flatten", aliases=("flatten",))
def flatten(data: Expr) -> Expr:
    """All axes but the first made one: ``(n, a, b)`` to ``(n, a*b)``."""
    return reshape(data, (data.shape[0], math.prod(data.shape[1:])))


@operator("expand_dims")
def expand_dims(data: Expr, *, axis: int) -> Expr:
    """A new axis of length 1 at position ``axis``."""
    at = axis_of(axis, len(data.shape) + 1)
    return reshape(data, (*data.shape[:at], 1, *data.shape[at:]))


@operator("squeeze")
def squeeze(data: Expr, *, axis: Axes = None) -> Expr:
    """Drop axes of length 1: those in ``axis``, or all of them."""
    if axis is None:
        axes = tuple(i for i, n in enumerate(data.shape) if n == 1)
    else:
        axes = () if axis == () else axes_of(axis, len(data.shape))
    for one in axes:
        if data.shape[one] != 1:
            raise LoweringError(f"axis {one} of shape {data.shape} has not length 1")
    kept = tuple(n for i, n in enumerate(data.shape) if i not in axes)
    return reshape(data, kept or (1,))


def _transpose_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    (shape,), (result,) = inputs, outputs
    rank = len(shape or result or ())
    axes = attributes.axes or tuple(reversed(range(rank)))
    if rank and sorted(axes) == list(range(rank)):
        inverse = tuple(axes.index(i) for i in range(rank))
        if shape is not None:
            outputs[0] = merge_shapes(tuple(shape[i] for i in axes), result)
        elif result is not None:
            inputs[0] = tuple(result[i] for i in inverse)


@operator("transpose", shapes=_transpose_shapes)
def transpose(data: Expr, *, axes: tuple[int, ...] = ()) -> Expr:
    """The axes in the order of ``axes``; reversed where none are given."""
    if axes:
        order = tuple(axis_of(axis, len(data.shape), "axes") for axis in axes)
    else:
        order = tuple(reversed(range(len(data.shape))))
    return permute(data, order)


@operator("SwapAxis", aliases=("swapaxes",))
def swap_axes(data: Expr, *, dim1: int = 0, dim2: int = 0) -> Expr:
    """Two axes exchanged."""
    order = list(range(len(data.shape)))
    one, two = axis_of(dim1, len(order), "dim1"), axis_of(dim2, len(order), "dim2")
    order[one], order[two] = order[two], order[one]
    return permute(data, order)


def _bounds(begin: int | None, end: int | None, step: int, length: int) -> range:
    """MXNet's slice along one axis, clipped to it as Python's is."""
    if step == 0:
        raise LoweringError("a slice's step cannot be 0")
    return range(length)[slice(begin, end, step)]


@operator("slice", aliases=("crop",))
def slice_operator(data: Expr, *, begin: Bounds, end: Bounds, step: Bounds = ()) -> Expr:
    """``data[begin:end:step]``, one entry an axis; None is the default; steps may be negative."""
    rank = len(data.shape)
    if len(begin) != len(end) or len(begin) > rank or (step and len(step) != len(begin)):
        raise LoweringError(
            f"begin={begin}, end={end}, step={step} must have one length, at most {rank}"
        )
    starts, stops, steps, flipped = [0] * rank, list(data.shape), [1] * rank, []
    for axis, (first, last) in enumerate(zip(begin, end, strict=True)):
        stride = step[axis] if step else None
        chosen = _bounds(first, last, 1 if stride is None else stride, data.shape[axis])
        if len(chosen) == 0:
            raise LoweringError(f"begin={begin}, end={end} select nothing of shape {data.shape}")
        low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
        starts[axis], stops[axis], steps[axis] = low, high + 1, abs(chosen.step)
        if chosen.step < 0:
            flipped.append(axis)
    return flip(slice_(data, starts, stops, steps), flipped)


@operator("slice_axis")
def slice_axis(data: Expr, *, axis: int, begin: int, end: int | None) -> Expr:
    """``data[begin:end]`` along one axis."""
    at = axis_of(axis, len(data.shape))
    length = data.shape[at]
    start = begin + length if begin < 0 else begin
    stop = length if end is None else end + length if end < 0 else end
    if not 0 <= start < stop <= length:
        raise LoweringError(f"begin={begin}, end={end} are no range within axis {axis} of {length}")
    return narrow(data, at, start, stop)


@operator("slice_like", dtypes=first_decides)
def slice_like(data: Expr, shape_like: Expr, *, axes: tuple[int, ...] = ()) -> Expr:
    """The beginning of ``data`` with the lengths of ``shape_like``, along ``axes`` (all for ())."""
    result = data
    for axis in axes or tuple(range(len(data.shape))):
        at = axis_of(axis, len(data.shape), "axes")
        if at >= len(shape_like.shape) or shape_like.shape[at] > data.shape[at]:
            raise LoweringError(f"data {data.shape} is not as long as {shape_like.shape}")
        result = narrow(result, at, 0, shape_like.shape[at])
    return result


def _concat_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """All lengths but those of the joined axis are common; one unknown length can be inferred."""
    known = next((shape for shape in (*inputs, *outputs) if shape is not None), None)
    if known is None:
        return
    at = axis_of(attributes.dim, len(known), "dim")
    common: Any = None
    for shape in (*inputs, *outputs):
        if shape is not None:
            common = merge_shapes(common, (*shape[:at], 0, *shape[at + 1 :]))
    inputs[:] = [merge_shapes(shape, common) for shape in inputs]
    outputs[:] = [merge_shapes(shape, common) for shape in outputs]
    lengths = [shape[at] for shape in inputs if shape is not None]
    total = outputs[0][at] if outputs[0] is not None else 0
    if total and lengths.count(0) == 1:
        missing = lengths.index(0)
        inputs[missing] = (*common[:at], total - sum(lengths), *common[at + 1 :])


@operator("Concat", aliases=("concat",), variadic="num_args", shapes=_concat_shapes)
def concat_(*data: Expr, dim: int = 1) -> Expr:
    """The inputs one after the other along axis ``dim``; their other lengths are equal."""
    if any(len(x.shape) != len(data[0].shape) for x in data):
        raise LoweringError(f"inputs differ in rank: {[x.shape for x in data]}")
    return concat(data, axis_of(dim, len(data[0].shape), "dim"))


@operator("stack", variadic="num_args")
def stack(*data: Expr, axis: int = 0) -> Expr:
    """The inputs, of one shape, along a new axis."""
    at = axis_of(axis, len(data[0].shape) + 1)
    return concat([reshape(x, (*x.shape[:at], 1, *x.shape[at:])) for x in data], at)


def _parts(attributes: Any) -> Sequence[str]:
    return Numbered("output", attributes.num_outputs)


def _split_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """The parts of a partial shape; lengths other than the cut one go both ways."""
    data: PartialShape = inputs[0]
    if data is None or 0 not in data:
        return
    at, count = axis_of(attributes.axis, len(data)), attributes.num_outputs
    if data[at] % count:
        raise LoweringError(f"axis {at} of shape {data} cannot be cut into {count} equal parts")
    part: PartialShape = (*data[:at], data[at] // count, *data[at + 1 :])
    if attributes.squeeze_axis:
        part = (*data[:at], *data[at + 1 :])
    outputs[:] = [merge_shapes(part, output) for output in outputs]


def _joined(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Sequence[Expr]:
    """The gradients of the parts one after the other."""
    shape = inputs[0].shape
    at = axis_of(attributes.axis, len(shape))
    part = (*shape[:at], shape[at] // attributes.num_outputs, *shape[at + 1 :])
    return (concat([reshape(head, part) for head in heads], at),)


@operator(
    "SliceChannel",
    aliases=("split",),
    outputs=_parts,
    shapes=_split_shapes,
    gradient=_joined,
)
def slice_channel(
    data: Expr, *, num_outputs: Arity, axis: int = 1, squeeze_axis: bool = False
) -> tuple[Expr, ...]:
    """The input cut into ``num_outputs`` equal parts along ``axis``.

    ``squeeze_axis`` drops that axis where the parts have length 1.
    """
    at = axis_of(axis, len(data.shape))
    if data.shape[at] % num_outputs:
        raise LoweringError(
            f"axis {axis} of shape {data.shape} cannot be cut into {num_outputs} equal parts"
        )
    length = data.shape[at] // num_outputs
    if squeeze_axis and length != 1:
        raise LoweringError(f"squeeze_axis needs parts of length 1, they have {length}")
    parts = [narrow(data, at, i * length, (i + 1) * length) for i in range(num_outputs)]
    if squeeze_axis:
        parts = [reshape(x, (*x.shape[:at], *x.shape[at + 1 :])) for x in parts]
    return tuple(parts)


@operator("tile")
def tile(data: Expr, *, reps: tuple[int, ...]) -> Expr:
    """The input repeated ``reps[i]`` times along axis i; the shorter of the two gets leading 1s."""
    if any(count < 1 for count in reps):
        raise LoweringError(f"reps={reps} must be positive")
    rank = max(len(reps), len(data.shape))
    counts = (1,) * (rank - len(reps)) + reps
    shape = (1,) * (rank - len(data.shape)) + data.shape
    # Each repeated axis gets one before it, along which it is broadcast.
    spread: list[int] = []
    repeated: list[int] = []
    for count, n in zip(counts, shape, strict=True):
        spread += [n] if count == 1 else [1, n]
        repeated += [n] if count == 1 else [count, n]
    lengths = [count * n for count, n in zip(counts, shape, strict=True)]
    return reshape(broadcast(reshape(data, spread), tuple(repeated)), lengths)


@operator("repeat")
def repeat(data: Expr, *, repeats: int, axis: int | None = None) -> Expr:
    """Each element ``repeats`` times along ``axis`` (None: of the flattened input)."""
    if repeats < 1:
        raise LoweringError(f"repeats={repeats} must be positive")
    source = reshape(data, (data.size,)) if axis is None else data
    at = 0 if axis is None else axis_of(axis, len(data.shape))
    before, after = source.shape[: at + 1], source.shape[at + 1 :]
    spread = broadcast(reshape(source, (*before, 1, *after)), (*before, repeats, *after))
    return reshape(spread, (*before[:-1], before[-1] * repeats, *after))


@operator("reverse", aliases=("flip",), shapes=unify_shapes)
def reverse(data: Expr, *, axis: tuple[int, ...]) -> Expr:
    """The elements in reverse order along the axes."""
    return flip(data, () if axis == () else axes_of(axis, len(data.shape)))
