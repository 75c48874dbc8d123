"""Pairs of reductions of a long row that one walk computes, where the second one needs the first.

The sum of exponentials behind a softmax needs the largest value, and the squares behind a variance
the mean. What was added up for an earlier largest value or mean can be corrected for the later one,
so that a row is read once less: `triton_online` has the functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..expressions.expr import Expr, constant_value
from ..foundation.dtype import FLOAT32

# How far a factor may be from the reciprocal of a length, which is rounded to float32.
_ROUNDED = 2.0**-22


@dataclass(frozen=True)
class Pair:
    """Two reductions over the same axes.

    Attributes:
        first, second: the second one's data is computed of the first one's and of its result.
        step: the function that adds elements to lanes.
        end: the one that combines the lanes to both results.
        start: what the lanes hold before, one text for each of their values.
    """

    first: Expr
    second: Expr
    step: str
    end: str
    start: tuple[str, ...]


def pair_of(first: Expr, body: Sequence[Expr]) -> Pair | None:
    """What goes together with a reduction of float32 numbers, or None."""
    (data,) = first.inputs
    if data.dtype is not FLOAT32:
        return None
    for second in body:
        if second.primitive != "sum" or second.attributes != first.attributes or second is first:
            continue
        if _is_softmax(first, data, second.inputs[0]):
            start = ('float("-inf")', "0.0")
            return Pair(first, second, "exponentials", "all_exponentials", start)
        if _is_variance(first, data, second.inputs[0]):
            return Pair(first, second, "squares", "all_squares", ("0.0",) * 4)
    return None


def _is_softmax(largest: Expr, data: Expr, added: Expr) -> bool:
    """Whether exponentials are added up of the distances to the largest value."""
    return (
        largest.primitive == "max"
        and added.primitive == "exp"
        and _repeated(added.inputs[0], data) is largest
    )


def _is_variance(total: Expr, data: Expr, added: Expr) -> bool:
    """Whether squares are added up of the distances to the mean."""
    if (
        total.primitive != "sum"
        or added.primitive != "mul"
        or added.inputs[0] is not added.inputs[1]
    ):
        return False
    mean = _repeated(added.inputs[0], data)
    if mean is None or mean.primitive not in ("mul", "div") or total not in mean.inputs:
        return False
    others = [y for y in mean.inputs if y is not total]
    if len(others) != 1 or others[0].primitive != "constant" or mean.inputs[1] is total:
        return False
    factor = float(constant_value(others[0]))
    length = data.size // total.size
    expected = length if mean.primitive == "div" else 1 / length
    return math.isclose(factor, expected, rel_tol=_ROUNDED)


def _repeated(distance: Expr, data: Expr) -> Expr | None:
    """What is taken from the data, where it is one number for a row."""
    if distance.primitive != "sub" or distance.inputs[0] is not data:
        return None
    taken = distance.inputs[1]
    return taken.inputs[0] if taken.primitive == "expand" else None
