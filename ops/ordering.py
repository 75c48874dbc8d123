"""Operators that put elements in order: sorting, and the largest or smallest few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from tritonsym.expressions.expr import Expr, argsort, cast, narrow, pick, reshape
from tritonsym.foundation.dtype import FLOAT32, INT32, DType
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import DTypes, operator

from .common import attribute_decides, axis_of, one_dtype, reject_bool


def _along(data: Expr, axis: int | None) -> tuple[Expr, int]:
    """The data, flattened where no axis is given, and the axis from the front."""
    if axis is None:
        return reshape(data, (data.size,)), 0
    return data, axis_of(axis, len(data.shape))


@operator("argsort", dtypes=attribute_decides)
def argsort_(
    data: Expr, *, axis: int | None = -1, is_ascend: bool = True, dtype: DType = FLOAT32
) -> Expr:
    """The positions of the elements in order along ``axis`` (None: of the flattened input).

    Equal elements keep their order; NaN comes last. ``dtype`` is that of the positions.
    """
    reject_bool(data)
    source, at = _along(data, axis)
    return cast(argsort(source, at, descending=not is_ascend), dtype)


def _sort_dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    one_dtype(inputs, outputs)
    outputs[1] = INT32


@operator(
    "sort",
    outputs=lambda attributes: ("output0", "output1"),
    visible=lambda attributes: 1,
    dtypes=_sort_dtypes,
)
def sort(data: Expr, *, axis: int | None = -1, is_ascend: bool = True) -> tuple[Expr, Expr]:
    """The elements in order along ``axis`` (None: of the flattened input); NaN comes last.

    A graph's file counts their positions as well, which nothing reads.
    """
    reject_bool(data)
    source, at = _along(data, axis)
    order = argsort(source, at, descending=not is_ascend)
    return pick(source, order, at), cast(order, INT32)


def _topk_outputs(attributes: Any) -> Sequence[str]:
    return ("output0", "output1") if attributes.ret_typ in ("value", "both") else ("output",)


def _topk_visible(attributes: Any) -> int:
    return 2 if attributes.ret_typ == "both" else 1


def _positions(ret_typ: str, dtype: DType) -> DType:
    """The dtype of positions, which is said of those that are shown."""
    return INT32 if ret_typ == "value" else dtype


def _topk_dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    known = inputs[0] or (None if attributes.ret_typ == "indices" else outputs[0])
    inputs[0] = known
    outputs[0] = attributes.dtype if attributes.ret_typ == "indices" else known
    outputs[1:] = [_positions(attributes.ret_typ, attributes.dtype)] * (len(outputs) - 1)


@operator("topk", outputs=_topk_outputs, visible=_topk_visible, dtypes=_topk_dtypes)
def topk(
    data: Expr,
    *,
    axis: int | None = -1,
    k: int = 1,
    ret_typ: Literal["indices", "value", "mask", "both"] = "indices",
    is_ascend: bool = False,
    dtype: DType = FLOAT32,
) -> Expr | tuple[Expr, ...]:
    """The ``k`` largest elements along ``axis``, or with ``is_ascend`` the smallest, in order.

    ``ret_typ`` chooses their positions in ``dtype``, their values, both, or a mask of the input's
    shape with 1 for each of them. Of equal elements the first are taken; ``k`` below 1 takes all.
    """
    reject_bool(data)
    source, at = _along(data, axis)
    order = argsort(source, at, descending=not is_ascend)
    if k > source.shape[at]:
        raise LoweringError(
            f"k={k} is more than the {source.shape[at]} elements along axis={axis}; k=0 takes all"
        )
    count = k if k > 0 else source.shape[at]
    if ret_typ == "mask":
        # The position of a position in the order is the element's rank.
        chosen = argsort(order, at, descending=False) < count
        return reshape(cast(chosen, data.dtype), data.shape)
    first = narrow(order, at, 0, count)
    if ret_typ == "indices":
        return cast(first, dtype)
    return pick(source, first, at), cast(first, _positions(ret_typ, dtype))
