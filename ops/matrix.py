"""Matrix products, and the layer that is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from tritonsym.expressions.expr import Expr, Shape, dot, permute, reshape
from tritonsym.expressions.reference import Step, Tensor, on_reshaped
from tritonsym.foundation.dtype import FLOAT32, FLOAT64
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import Shapes, merge_shapes, operator
from tritonsym.graph.schema import Count

from .common import axis_of, data_weight_bias, reject_bool


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


# ---- FullyConnected ------------------------------------------------------------------------------


def _dense_features(data: Shape, flatten: bool) -> int:
    """How many numbers of the data each unit sees; 0 where that is not known."""
    return math.prod(data[1:]) if flatten else data[-1]


def _dense_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """Weight and bias follow from the data and `num_hidden`; the batch also from the output."""
    units, data = attributes.num_hidden, inputs[0]
    if data is None:
        return
    inputs[2:] = [merge_shapes((units,), shape) for shape in inputs[2:]]
    inputs[1] = merge_shapes((units, _dense_features(data, attributes.flatten)), inputs[1])
    kept = data[:1] if attributes.flatten else data[:-1]
    result = outputs[0] = merge_shapes((*kept, units), outputs[0])
    assert result is not None
    inputs[0] = merge_shapes(data, (*result[: len(kept)], *data[len(kept) :]))


def _dense_native(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    rows = out.view(-1, attributes.num_hidden)
    weight = inputs[1].t()

    def product(data: Tensor) -> Step:
        if len(inputs) == 2:
            return partial(torch.mm, data, weight, out=rows)
        return partial(torch.addmm, inputs[2], data, weight, out=rows)

    return on_reshaped(inputs[0], (rows.shape[0], inputs[1].shape[1]), product)


def _dense_in_one_call(attributes: Any, inputs: Sequence[Expr]) -> bool:
    """For 16-bit floats and integers torch's fused call rounds elsewhere than MXNet."""
    return inputs[0].dtype in (FLOAT32, FLOAT64)


@operator(
    "FullyConnected",
    inputs=data_weight_bias,
    shapes=_dense_shapes,
    native=_dense_native,
    uses_native=_dense_in_one_call,
    by_rows=True,
)
def fully_connected(
    data: Expr,
    weight: Expr,
    bias: Expr | None = None,
    *,
    num_hidden: Count,
    no_bias: bool = False,
    flatten: bool = True,
) -> Expr:
    """data · weightᵀ + bias.

    With ``flatten`` (the default) the data's axes but the first are made one: ``(n, a, b)`` with a
    weight of ``(num_hidden, a*b)`` gives ``(n, num_hidden)``. Without it the last axis alone is
    used: ``(n, a, b)`` with ``(num_hidden, b)`` gives ``(n, a, num_hidden)``. The bias has shape
    ``(num_hidden,)``; ``no_bias`` leaves it out. All inputs have one dtype.
    """
    reject_bool(data)
    features = _dense_features(data.shape, flatten)
    if weight.shape != (num_hidden, features):
        raise LoweringError(
            f"weight is {weight.shape}, data {data.shape} with num_hidden={num_hidden} needs "
            f"{(num_hidden, features)}"
        )
    if bias is not None and bias.shape != (num_hidden,):
        raise LoweringError(f"bias is {bias.shape}, num_hidden={num_hidden} needs {(num_hidden,)}")
    product = dot(reshape(data, (data.size // features, features)), weight, transpose_b=True)
    if bias is not None:
        product = product + bias
    kept = data.shape[:1] if flatten else data.shape[:-1]
    return reshape(product, (*kept, num_hidden))
