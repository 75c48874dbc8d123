"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from tritonsym.expressions.expr import Expr, Shape, broadcast, full, random, where
from tritonsym.foundation.dtype import DType
from tritonsym.graph.op import Gradients, Shapes, merge_shapes, operator
from tritonsym.graph.schema import Share

from .common import accumulator, axis_of, needs_float, one_shape


def dropout_mask(shape: Shape, dtype: DType, p: float, stream: int) -> Expr:
    """0 with probability ``p``, else 1 / (1 - p), anew at every run."""
    kept = random(shape, accumulator(dtype), stream) >= p
    return where(kept, full(1 / (1 - p) if p < 1 else 0, shape, dtype), 0)


def _dropout_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    return (heads[0] * broadcast(outputs[1], inputs[0].shape),)


def _dropout_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    data = one_shape(inputs, outputs)
    if data is not None:
        shared = {axis_of(axis, len(data)) for axis in attributes.axes}
        mask = tuple(1 if axis in shared else length for axis, length in enumerate(data))
        outputs[1] = merge_shapes(mask, outputs[1])


@operator(
    "Dropout",
    outputs=lambda attributes: ("output", "mask"),
    visible=lambda attributes: 1,
    shapes=_dropout_shapes,
    gradient=_dropout_gradient,
)
def dropout(
    data: Expr,
    *,
    p: Share = 0.5,
    mode: Literal["training", "always"] = "training",
    axes: tuple[int, ...] = (),
    cudnn_off: bool | None = False,
    train: bool,
    stream: int,
) -> tuple[Expr, ...]:
    """Each element is 0 with probability ``p``, else divided by 1 - p, anew at every run.

    Outside of training it is the data itself, unless ``mode`` is ``always``. Along ``axes`` all
    elements share their fate.
    """
    needs_float("Dropout", data)
    shared = {axis_of(axis, len(data.shape)) for axis in axes}
    shape = tuple(1 if axis in shared else length for axis, length in enumerate(data.shape))
    if p == 0 or not (train or mode == "always"):
        return data, full(1, shape, data.dtype)
    mask = dropout_mask(shape, data.dtype, p, stream)
    return data * broadcast(mask, data.shape), mask
