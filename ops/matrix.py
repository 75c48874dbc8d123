"""Matrix products."""

from __future__ import annotations

import math
from typing import Any

from tritonsym.expressions.expr import Expr, dot, permute, reshape
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import Shapes, merge_shapes, operator

from .common import axis_of, reject_bool


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


def _rows_axis(x: Expr, axis: int, back: bool = False) -> Expr:
    """The axis of the rows moved to the place before the last, or from there."""
    rank = len(x.shape)
    at = axis_of(axis, rank)
    if at == rank - 1:
        raise LoweringError(f"axis={axis} is that of the columns; the rows need another one")
    order = [i for i in range(rank - 1) if i != at] + [at, rank - 1]
    return permute(x, sorted(range(rank), key=order.__getitem__) if back else order)


def _gemm(
    left: Expr, right: Expr, transpose_a: bool, transpose_b: bool, alpha: float, axis: int
) -> Expr:
    """alpha times the products of the matrices in the rows' axis and the last one."""
    if not left.dtype.is_float or len(left.shape) < 2 or len(left.shape) != len(right.shape):
        raise LoweringError(
            f"A is {left.dtype}{left.shape} and B {right.dtype}{right.shape}, they need floats and "
            "as many axes as each other, 2 or more"
        )
    product = dot(_rows_axis(left, axis), _rows_axis(right, axis), transpose_a, transpose_b)
    return product if alpha == 1 else product * alpha


def _gemm_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """``C`` and the result have the rows of ``A`` and the columns of ``B``."""
    left, right = inputs[:2]
    if left is None or right is None or len(left) != len(right) or len(left) < 2:
        return
    rows = axis_of(attributes.axis, len(left))
    made = list(left)
    made[rows] = left[-1 if attributes.transpose_a else rows]
    made[-1] = right[rows if attributes.transpose_b else -1]
    inputs[2] = outputs[0] = merge_shapes(tuple(made), merge_shapes(inputs[2], outputs[0]))


@operator("_linalg_gemm", aliases=("linalg_gemm",), shapes=_gemm_shapes)
def linalg_gemm(
    A: Expr,
    B: Expr,
    C: Expr,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    beta: float = 1.0,
    axis: int = -2,
) -> Expr:
    """alpha * A · B + beta * C, for each of the matrices.

    The rows are along ``axis``, the columns along the last axis; ``transpose_a`` and
    ``transpose_b`` exchange them first.
    """
    product = _rows_axis(_gemm(A, B, transpose_a, transpose_b, alpha, axis), axis, back=True)
    if C.shape != product.shape:
        raise LoweringError(f"C is {C.shape}, the product {product.shape}")
    return product + (C if beta == 1 else C * beta)


@operator("_linalg_gemm2", aliases=("linalg_gemm2",))
def linalg_gemm2(
    A: Expr,
    B: Expr,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    axis: int = -2,
) -> Expr:
    """alpha * A · B, for each of the matrices.

    The rows are along ``axis``, the columns along the last axis; ``transpose_a`` and
    ``transpose_b`` exchange them first.
    """
    return _rows_axis(_gemm(A, B, transpose_a, transpose_b, alpha, axis), axis, back=True)
