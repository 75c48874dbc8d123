"""What several families of operators need: axes, and arithmetic in a wider type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from tritonsym.expressions.expr import Expr, Shape, cast, narrow, reshape
from tritonsym.foundation.dtype import BOOL, FLOAT32, FLOAT64, DType
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import (
    DTypes,
    Gradient,
    Gradients,
    PartialShape,
    Shapes,
    is_complete,
    merge_shapes,
)
from tritonsym.graph.schema import Axes


def axis_of(axis: int, rank: int, name: str = "axis") -> int:
    """The axis counted from the front.

    Raises:
        LoweringError: it is not within ``[-rank, rank)``.
    """
    if not -rank <= axis < rank:
        raise LoweringError(f"{name}={axis} is out of range for an input of {rank} dimensions")
    return axis % rank


def axes_of(axes: Axes, rank: int) -> tuple[int, ...]:
    """The distinct axes from the front, sorted; all of them for None and ().

    Raises:
        LoweringError: one is out of range or given twice.
    """
    if axes is None or axes == ():
        return tuple(range(rank))
    found = sorted(axis_of(axis, rank) for axis in axes)
    if len(set(found)) != len(found):
        raise LoweringError(f"axis={axes} names an axis twice")
    return tuple(found)


def no_gradients(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    """The gradients of what none pass."""
    return [None] * len(inputs)


def needs_float(name: str, data: Expr) -> None:
    """Raise where an operator of this name has no meaning for whole numbers."""
    if not data.dtype.is_float:
        raise LoweringError(f"{name} needs a floating-point input, got {data.dtype}")


def reject_bool(*inputs: Expr) -> None:
    """Raise where an input is bool and the operator has no meaning for it."""
    if any(x.dtype is BOOL for x in inputs):
        raise LoweringError("bool inputs are not supported; cast them, as in Cast(x, 'float32')")


def in_float(function: Callable[..., Expr], *inputs: Expr) -> Expr:
    """A floating-point function of any numeric inputs.

    Integers are computed in float64 and converted back, as MXNet does it.
    """
    reject_bool(*inputs)
    dtype = inputs[0].dtype
    if dtype.is_float:
        return function(*inputs)
    return cast(function(*(cast(x, FLOAT64) for x in inputs)), dtype)


def slope(function: Callable[[Expr, Expr, Expr], Expr]) -> Gradient:
    """A closed form of the gradient of one input: of the head gradient, the input, the output."""

    def gradient(
        attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
    ) -> Sequence[Expr]:
        return (in_float(function, heads[0], inputs[0], outputs[0]),)

    return gradient


def data_weight_bias(attributes: Any) -> tuple[str, ...]:
    """The inputs of a layer whose ``no_bias`` leaves the last one out."""
    return ("data", "weight") if attributes.no_bias else ("data", "weight", "bias")


def one_shape(inputs: Shapes, outputs: Shapes) -> PartialShape:
    """What is known of the shape that the first input and the first output share; set in both."""
    inputs[0] = outputs[0] = merge_shapes(inputs[0], outputs[0])
    return inputs[0]


def one_dtype(inputs: DTypes, outputs: DTypes) -> DType | None:
    """The dtype that the first input and the first output share; set in both."""
    inputs[0] = outputs[0] = inputs[0] or outputs[0]
    return inputs[0]


def first_decides(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    """The first input's dtype is the output's; the others may have any."""
    one_dtype(inputs, outputs)


def attribute_decides(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    """The output's dtype is the attribute ``dtype``; the inputs may have any."""
    outputs[0] = attributes.dtype


def completed(given: PartialShape, forms: Sequence[Shape]) -> PartialShape:
    """A shape whose gaps are filled as in the first of these forms that agrees with it."""
    if is_complete(given):
        return given
    for form in forms:
        with suppress(LoweringError):
            return merge_shapes(given, form)
    return given


def cut(packed: Expr, shapes: Sequence[Shape]) -> list[Expr]:
    """The arrays that lie one after the other in a flat one."""
    found, start = [], 0
    for shape in shapes:
        stop = start + math.prod(shape)
        found.append(reshape(narrow(packed, 0, start, stop), shape))
        start = stop
    return found


def in_accumulator(function: Callable[[Expr], Expr], x: Expr) -> Expr:
    """A function with sums inside: 16-bit floats are computed in float32 and rounded once."""
    return cast(function(cast(x, accumulator(x.dtype))), x.dtype)


def accumulator(dtype: DType) -> DType:
    """The dtype that sums of this one are kept in."""
    return FLOAT32 if dtype.is_reduced or dtype is BOOL else dtype


def unequal_shapes(lhs: PartialShape, rhs: PartialShape, remedy: str) -> LoweringError:
    """The error of an operator for equal shapes, with the function that repeats axes."""
    return LoweringError(
        f"lhs has shape {lhs}, rhs has shape {rhs}: operators such as + and * do not broadcast "
        f"here, both need one shape; {remedy}(lhs, rhs) repeats axes of length 1"
    )
