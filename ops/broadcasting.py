"""Operators that repeat elements along axes of length 1."""

from __future__ import annotations

from tritonsym.expressions.expr import Expr, broadcast, broadcast_shapes
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import operator
from tritonsym.graph.schema import Axes

from .common import axis_of, first_decides


@operator("broadcast_axis", aliases=("broadcast_axes",))
def broadcast_axis(data: Expr, *, axis: Axes = (), size: Axes = ()) -> Expr:
    """Repeat the axes of length 1 named by ``axis`` to the lengths in ``size``."""
    axes, sizes = axis or (), size or ()
    if len(axes) != len(sizes):
        raise LoweringError(f"axis={axes} and size={sizes} must have the same length")
    shape = list(data.shape)
    for one, length in zip(axes, sizes, strict=True):
        where_at = axis_of(one, len(shape))
        if shape[where_at] != 1:
            raise LoweringError(f"axis {one} of shape {data.shape} has not length 1")
        shape[where_at] = length
    return broadcast(data, tuple(shape))


@operator("broadcast_to")
def broadcast_to(data: Expr, *, shape: tuple[int, ...] = ()) -> Expr:
    """Repeat axes of length 1 to ``shape``; a 0 there keeps the input's length."""
    if len(shape) != len(data.shape):
        raise LoweringError(f"shape={shape} must have as many axes as the input {data.shape}")
    target = tuple(want or have for want, have in zip(shape, data.shape, strict=True))
    if broadcast_shapes(data.shape, target) != target:
        raise LoweringError(f"cannot broadcast shape {data.shape} to {target}")
    return broadcast(data, target)


@operator("broadcast_like", dtypes=first_decides)
def broadcast_like(lhs: Expr, rhs: Expr, *, lhs_axes: Axes = None, rhs_axes: Axes = None) -> Expr:
    """Repeat the axes of ``lhs`` to the lengths that they have in ``rhs``."""
    target = list(lhs.shape)
    if lhs_axes is None and rhs_axes is None:
        if len(lhs.shape) != len(rhs.shape):
            raise LoweringError(f"lhs {lhs.shape} and rhs {rhs.shape} need as many axes")
        target = list(rhs.shape)
    elif lhs_axes is None or rhs_axes is None:
        raise LoweringError("lhs_axes and rhs_axes are given together or not at all")
    else:
        if len(lhs_axes) != len(rhs_axes) or not lhs_axes:
            raise LoweringError(f"{lhs_axes=} and {rhs_axes=} must have one length")
        for a, b in zip(lhs_axes, rhs_axes, strict=True):
            target[axis_of(a, len(target))] = rhs.shape[axis_of(b, len(rhs.shape))]
    if broadcast_shapes(lhs.shape, tuple(target)) != tuple(target):
        raise LoweringError(f"cannot broadcast shape {lhs.shape} to {tuple(target)}")
    return broadcast(lhs, tuple(target))
