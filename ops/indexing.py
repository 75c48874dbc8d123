"""Operators that look elements up by index."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from tritonsym.expressions.expr import (
    Expr,
    Shape,
    argsort,
    broadcast,
    cast,
    concat,
    constant,
    full,
    iota,
    maximum,
    minimum,
    narrow,
    pick,
    reshape,
    take,
    take_add,
    where,
)
from tritonsym.foundation.dtype import FLOAT32, INT64, DType
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import DTypes, Gradients, PartialShape, Shapes, merge_shapes, operator
from tritonsym.graph.schema import Count

from .common import attribute_decides, axis_of, completed, first_decides, reject_bool


def clipped_indices(indices: Expr, length: int) -> Expr:
    """int64 indices into ``length`` elements: those outside name the first or the last one."""
    return minimum(maximum(cast(indices, INT64), 0), length - 1)


def wrapped_indices(indices: Expr, length: int) -> Expr:
    """int64 indices into ``length`` elements, counted around."""
    return cast(indices, INT64) % length


def _indices(indices: Expr, length: int, mode: str) -> Expr:
    if mode == "raise":
        raise LoweringError(
            "mode='raise' would have to look at the indices of every run; use 'clip' or 'wrap'"
        )
    return (wrapped_indices if mode == "wrap" else clipped_indices)(indices, length)


@operator("take", dtypes=first_decides)
def take_(
    a: Expr, indices: Expr, *, axis: int = 0, mode: Literal["clip", "wrap", "raise"] = "clip"
) -> Expr:
    """The slices of ``a`` along ``axis`` that the indices name, in the indices' shape.

    Indices are truncated to integers. ``clip`` takes those outside as the nearest, ``wrap`` counts
    around; ``raise`` is not supported, as a compiled graph does not look at values.
    """
    at = axis_of(axis, len(a.shape))
    return take(a, _indices(indices, a.shape[at], mode), at)


def _pick_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    data: PartialShape = inputs[0]
    if data is None or attributes.axis is None:
        return
    at, kept = axis_of(attributes.axis, len(data)), attributes.keepdims
    inputs[1] = completed(inputs[1], [_without(data, at, one) for one in (kept, not kept)])


def _without(shape: tuple[int, ...], axis: int, keepdims: bool) -> tuple[int, ...]:
    kept = (1,) if keepdims else ()
    return (*shape[:axis], *kept, *shape[axis + 1 :]) or (1,)


@operator("pick", aliases=("choose_element_0index",), shapes=_pick_shapes, dtypes=first_decides)
def pick_(
    data: Expr,
    index: Expr,
    *,
    axis: int | None = -1,
    keepdims: bool = False,
    mode: Literal["clip", "wrap"] = "clip",
) -> Expr:
    """One element along ``axis`` for each index: ``data[i, index[i]]`` for the last of two axes.

    ``index`` has the data's shape without ``axis``, or with length 1 there. ``axis=None`` picks
    from the flattened data.
    """
    if axis is None:
        flat = _indices(index, data.size, mode)
        return take(reshape(data, (data.size,)), flat, 0)
    at = axis_of(axis, len(data.shape))
    kept, dropped = _without(data.shape, at, True), _without(data.shape, at, False)
    if index.shape not in (kept, dropped):
        raise LoweringError(
            f"index is {index.shape}, data {data.shape} picked along axis {axis} needs {dropped}"
        )
    indices = reshape(_indices(index, data.shape[at], mode), kept)
    return reshape(pick(data, indices, at), kept if keepdims else dropped)


def _one_hot_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    if inputs[0] is not None:
        outputs[0] = merge_shapes((*inputs[0], attributes.depth), outputs[0])


@operator("one_hot", shapes=_one_hot_shapes, dtypes=attribute_decides)
def one_hot(
    indices: Expr,
    *,
    depth: Count,
    on_value: float = 1.0,
    off_value: float = 0.0,
    dtype: DType = FLOAT32,
) -> Expr:
    """A new last axis of length ``depth``: ``on_value`` at the index, ``off_value`` elsewhere.

    An index outside ``[0, depth)`` gives a row of ``off_value``.
    """
    reject_bool(indices)
    shape = (*indices.shape, depth)
    wanted = broadcast(reshape(cast(indices, INT64), (*indices.shape, 1)), shape)
    hit = iota(shape, len(shape) - 1).equals(wanted)
    return where(hit, constant(on_value, dtype), constant(off_value, dtype))


@operator("batch_take", dtypes=first_decides)
def batch_take(a: Expr, indices: Expr) -> Expr:
    """``a[i, indices[i]]`` for a matrix and one index per row."""
    if len(a.shape) != 2 or indices.shape != a.shape[:1]:
        raise LoweringError(f"a is {a.shape}, indices {indices.shape}; need (n, m) and (n,)")
    chosen = reshape(clipped_indices(indices, a.shape[1]), (a.shape[0], 1))
    return reshape(pick(a, chosen, 1), indices.shape)


# ---- by several indices at once ----------------------------------------------------------------


def _positions(indices: Expr, lengths: Shape) -> Expr:
    """The number of the element, in row-major order, that each column of indices names."""
    count = indices.shape[0]
    if not 0 < count <= len(lengths):
        raise LoweringError(f"indices is {indices.shape}, its first axis needs 1 to {len(lengths)}")
    size = indices.size // count
    columns = reshape(indices, (count, size))
    place = None
    for axis, length in enumerate(lengths[:count]):
        index = clipped_indices(reshape(narrow(columns, 0, axis, axis + 1), (size,)), length)
        place = index if place is None else place * length + index
    assert place is not None
    return place


def _gathered(data: Expr, indices: Expr) -> Expr:
    count = indices.shape[0]
    places = _positions(indices, data.shape)
    rows = reshape(data, (math.prod(data.shape[:count]), *data.shape[count:]))
    return reshape(take(rows, places, 0), (*indices.shape[1:], *data.shape[count:]) or (1,))


@operator("gather_nd", dtypes=first_decides)
def gather_nd(data: Expr, indices: Expr) -> Expr:
    """The elements, or parts, of ``data`` that the columns of ``indices`` name.

    With indices of shape ``(m, ...)`` the first m axes of the data are looked up; the result has
    the other axes of the indices and the rest of the data's. Indices outside are clipped.
    """
    reject_bool(data, indices)
    return _gathered(data, indices)


def _scatter_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    return reshape(_gathered(heads[0], inputs[1]), inputs[0].shape), None


@operator("scatter_nd", dtypes=first_decides, gradient=_scatter_gradient)
def scatter_nd(data: Expr, indices: Expr, *, shape: tuple[int, ...]) -> Expr:
    """Zeros of ``shape``, but the elements of ``data`` where the columns of ``indices`` say.

    It is the way back from ``gather_nd``. Where several elements go to one place, the last is
    there.
    """
    reject_bool(data, indices)
    count = indices.shape[0]
    expected = (*indices.shape[1:], *shape[count:])
    if data.shape != expected:
        raise LoweringError(f"data is {data.shape}, indices and shape need {expected}")
    places = _positions(indices, shape)
    # In the order of their places, those that are not the last of equal ones are left out.
    order = argsort(places, 0, descending=False)
    ordered = take(places, order, 0)
    behind = [full(-1, (1,), INT64)]
    if places.size > 1:
        behind.insert(0, narrow(ordered, 0, 1, places.size))
    last = ordered.differs(concat(behind, 0))
    rest = shape[count:]
    rows = take(reshape(data, (places.size, *rest)), order, 0)
    kept = where(reshape(last, (places.size, *[1] * len(rest))), rows, 0)
    return reshape(take_add(kept, ordered, 0, math.prod(shape[:count])), shape)


# ---- embedding ---------------------------------------------------------------------------------


def _embedding_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    inputs[1] = merge_shapes((attributes.input_dim, attributes.output_dim), inputs[1])
    if inputs[0] is not None:
        outputs[0] = merge_shapes((*inputs[0], attributes.output_dim), outputs[0])


def _embedding_dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    inputs[1] = outputs[0] = inputs[1] or outputs[0] or attributes.dtype


@operator("Embedding", shapes=_embedding_shapes, dtypes=_embedding_dtypes)
def embedding(
    data: Expr,
    weight: Expr,
    *,
    input_dim: Count,
    output_dim: Count,
    dtype: DType = FLOAT32,
    sparse_grad: bool = False,
) -> Expr:
    """The row of ``weight`` that each element of ``data`` names.

    ``weight`` has shape ``(input_dim, output_dim)``, the output ``(*data.shape, output_dim)``.
    Indices below 0 and above the last row are taken as the first and the last row.
    """
    reject_bool(data, weight)
    if weight.shape != (input_dim, output_dim):
        raise LoweringError(f"weight is {weight.shape}, it needs {(input_dim, output_dim)}")
    return take(weight, clipped_indices(data, input_dim), 0)
