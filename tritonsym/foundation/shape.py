"""Shapes: what a user may give for one, how large an array may be, how two of them broadcast."""

from __future__ import annotations

import operator
from typing import Any

from .errors import LoweringError, MXNetError
from .text import shown

Shape = tuple[int, ...]

MAX_AXES = 32  # MXNet's limit, and that of its files
MAX_BYTES = 2**48  # what a processor can address; sizes below it overflow nowhere


def _length(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError("a truth value is no length")
    return operator.index(value)


def given_shape(name: str, shape: Any) -> Shape:
    """A tuple of whole numbers that a user gave for a shape, by the name of what has it.

    Raises:
        TypeError: something else.
        MXNetError: too many axes.
    """
    if not isinstance(shape, tuple):
        raise TypeError(
            f"Arguments need to be shapes (tuple), but {shown(name)} is {type(shape)}: "
            f"{shown(shape)}"
        )
    try:
        lengths = tuple(map(_length, shape))
    except TypeError:
        raise TypeError(
            f"The lengths of shape {shown(name)} must be ints, got {shown(shape)}"
        ) from None
    if len(lengths) > MAX_AXES:
        raise MXNetError(
            f"shape {shown(name)} has {len(lengths)} axes; an array has at most {MAX_AXES}"
        )
    return lengths


def array_shape(shape: Any) -> Shape:
    """The shape of a new array: a length or several; none mean one element.

    Raises:
        MXNetError: no whole lengths above 0, or more than an array can have.
    """
    try:
        lengths = tuple(map(_length, shape)) if hasattr(shape, "__iter__") else (_length(shape),)
    except TypeError:
        raise MXNetError(f"a shape is made of whole lengths, got {shown(shape)}") from None
    try:
        check_array(lengths or (1,), 1)
    except LoweringError as error:
        raise MXNetError(str(error)) from None
    return lengths or (1,)


def check_array(shape: Shape, itemsize: int) -> None:
    """Whether there can be an array of this shape.

    Raises:
        LoweringError: too many axes or bytes, or a length that is not positive.
    """
    if len(shape) > MAX_AXES:
        raise LoweringError(f"an array has at most {MAX_AXES} axes, this one would have "
                            f"{len(shape)}")  # fmt: skip
    size = itemsize
    for length in shape:
        if length < 1:
            raise LoweringError(f"arrays cannot be empty, got shape {shown(shape)}")
        size *= length
    if size > MAX_BYTES:
        raise LoweringError(
            f"an array of shape {shown(shape)} needs {shown(size)} bytes; "
            f"one can have at most 2**48"
        )


def check_elements(what: str, shape: Shape) -> None:
    """Raise MXNetError for a shape without elements, with which nothing can be computed."""
    if 0 in shape:
        raise MXNetError(f"{what} has shape {shape}, which has no elements: leave it out")


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The shape that all of these broadcast to, by numpy's rules.

    Raises:
        LoweringError: two lengths of one axis differ and neither is 1.
    """
    longest = max(shapes, key=len)
    result = list(longest)
    for shape in shapes:
        for axis, length in enumerate(shape, len(longest) - len(shape)):
            if result[axis] == 1:
                result[axis] = length
            elif length not in (1, result[axis]):
                given = " and ".join(map(str, shapes))
                raise LoweringError(
                    f"shapes {given} cannot be broadcast together: counted from the last axis, "
                    "lengths must be equal or 1; expand_dims or reshape one of them"
                )
    return tuple(result)
