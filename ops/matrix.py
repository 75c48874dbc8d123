"""Matrix products."""

from __future__ import annotations

import math

from tritonsym.errors import LoweringError
from tritonsym.expr import Expr, dot, reshape
from tritonsym.op import operator

from .common import reject_bool


@operator("dot")
def dot_(
    lhs: Expr,
    rhs: Expr,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    forward_stype: str | None = None,
) -> Expr:
    """The sum over the last axis of ``lhs`` and the first of ``rhs``.

    Of two vectors it has shape (1,); ``(a, b, c)`` with ``(c, d)`` gives ``(a, b, d)``.
    ``transpose_a`` contracts the first axis of ``lhs`` instead, its other axes in order;
    ``transpose_b`` the last axis of ``rhs``.
    """
    reject_bool(lhs, rhs)
    if len(lhs.shape) == 1 and len(rhs.shape) == 1:
        transpose_a = transpose_b = False
    rows = lhs.shape[1:] if transpose_a else lhs.shape[:-1]
    columns = rhs.shape[:-1] if transpose_b else rhs.shape[1:]
    left_length = lhs.shape[0] if transpose_a else lhs.shape[-1]
    right_length = rhs.shape[-1] if transpose_b else rhs.shape[0]
    if left_length != right_length:
        raise LoweringError(
            f"lhs {lhs.shape} and rhs {rhs.shape} contract lengths {left_length} and {right_length}"
        )
    left = (left_length, math.prod(rows)) if transpose_a else (math.prod(rows), left_length)
    right = (math.prod(columns), right_length)
    right = right if transpose_b else (right_length, math.prod(columns))
    product = dot(reshape(lhs, left), reshape(rhs, right), transpose_a, transpose_b)
    return reshape(product, (*rows, *columns) or (1,))


@operator("batch_dot")
def batch_dot(
    lhs: Expr,
    rhs: Expr,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    forward_stype: str | None = None,
) -> Expr:
    """The matrix product of each pair: ``(b, m, k)`` with ``(b, k, n)`` to ``(b, m, n)``.

    ``transpose_a`` and ``transpose_b`` exchange the last two axes first.
    """
    reject_bool(lhs, rhs)
    if len(lhs.shape) < 3 or len(lhs.shape) != len(rhs.shape):
        raise LoweringError(
            f"lhs {lhs.shape} and rhs {rhs.shape} need as many axes as each other, 3 or more"
        )
    return dot(lhs, rhs, transpose_a, transpose_b)
