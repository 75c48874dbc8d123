"""Elements of tensors by numpy's keys, read and written. Knows nothing of arrays or contexts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..expressions.reference import Tensor
from ..foundation.shape import Shape
from ..foundation.text import shown
from .values import apart, check_writable

_WHOLE = slice(None)


@dataclass(frozen=True)
class _Selection:
    """A key taken apart for a tensor, all of it checked.

    Attributes:
        part: the tensor cut by the key's slices, on its memory.
        mirrored: axes of the part whose slices walk backwards, which torch has no views for.
        key: what is left of the key for the part: numbers, arrays, new axes and whole axes.
    """

    part: Tensor
    mirrored: tuple[int, ...]
    key: tuple[Any, ...]


def indexed(tensor: Tensor, key: Any) -> Tensor:
    """The elements of a key, on the tensor's memory where they can be.

    Raises:
        IndexError: an index is out of range, or an array is no index.
        ValueError, TypeError: a key that is no number, slice or array of them.
    """
    chosen = _select(tensor, key)
    part = chosen.part.flip(chosen.mirrored) if chosen.mirrored else chosen.part
    return part[chosen.key]


def store(tensor: Tensor, key: Any, source: Tensor | float) -> None:
    """Write a number, or values that broadcast, into the elements of a key.

    Raises:
        As :func:`indexed`, and
        ValueError: the shapes do not fit.
        MXNetError: elements of the tensor share memory. Nothing is written in any case.
    """
    chosen = _select(tensor, key)
    check_writable(tensor)
    if isinstance(source, torch.Tensor):
        source = apart(source, tensor).to(tensor.device, tensor.dtype)
    part = chosen.part.flip(chosen.mirrored) if chosen.mirrored else chosen.part
    try:
        part[chosen.key] = source
    except (RuntimeError, IndexError, ValueError) as error:
        reason = str(error)
        if isinstance(error, RuntimeError) and isinstance(source, torch.Tensor):
            reason = (
                f"values of shape {tuple(source.shape)} do not broadcast to the shape of these "
                f"elements, {tuple(part[chosen.key].shape)}"
            )
        raise ValueError(
            f"cannot assign to {shown(key)} of shape {tuple(tensor.shape)}: {reason}"
        ) from None
    if chosen.mirrored:
        chosen.part.copy_(part.flip(chosen.mirrored))


def is_everything(key: Any) -> bool:
    return key is Ellipsis or (isinstance(key, slice) and key == slice(None))


def _select(tensor: Tensor, key: Any) -> _Selection:
    shape = tuple(tensor.shape)
    items = _spread([_item(item) for item in (key if isinstance(key, tuple) else (key,))], shape)
    # As in numpy, a number beside an array of indices is one of them.
    arrays = any(isinstance(item, torch.Tensor) and item.ndim > 0 for item in items)
    cuts: list[slice] = []
    rest: list[Any] = []
    mirrored: list[int] = []
    for item in items:
        axis = len(cuts)
        if item is None:
            rest.append(None)
        elif item is _WHOLE:
            cuts.append(_WHOLE)
            rest.append(_WHOLE)
        elif isinstance(item, slice):
            chosen = range(shape[axis])[item]
            cuts.append(_forward(chosen))
            rest.append(_WHOLE)
            if chosen.step < 0:
                mirrored.append(axis)
        elif isinstance(item, int):
            _check_range(item, item, shape, axis)
            cuts.append(_WHOLE)
            rest.append(torch.tensor([item], device=tensor.device) if arrays else item)
        else:
            cuts += [_WHOLE] * _axes_of(item)
            if item.dtype is torch.bool:
                _check_mask(item, shape, axis)
            elif item.numel():
                _check_range(int(item.min()), int(item.max()), shape, axis)
            rest.append(item.to(tensor.device))
    part = tensor if all(cut is _WHOLE for cut in cuts) else tensor[tuple(cuts)]
    return _Selection(part, tuple(mirrored), tuple(rest))


def _item(item: Any) -> Any:
    """One item of a key: None, an ellipsis, a slice, a number, or a tensor of int64 or bool."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, (bool, np.bool_)):
        return torch.tensor(bool(item))
    if isinstance(item, (int, np.integer)):
        return int(item)
    if isinstance(item, torch.Tensor):
        return item if item.dtype is torch.bool else item.long()
    if not isinstance(item, (list, tuple, range, np.ndarray)):
        raise ValueError(f"an index cannot be {type(item).__name__}: {shown(item)}")
    array = np.asarray(item)
    if array.dtype.kind not in "biu" and array.size:
        raise IndexError(f"arrays of {array.dtype} are no indices; they need whole numbers or bool")
    if array.dtype == np.uint64:
        array = np.minimum(array, np.uint64(2**63 - 1))  # out of range in any case
    return torch.tensor(array.astype(bool if array.dtype.kind == "b" else np.int64))


def _axes_of(item: Any) -> int:
    """How many axes of the tensor an item stands for."""
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if isinstance(item, torch.Tensor) and item.dtype is torch.bool else 1


def _spread(items: Sequence[Any], shape: Shape) -> list[Any]:
    """The items with whole slices in place of the ellipsis, or behind the last one."""
    dots = [place for place, item in enumerate(items) if item is Ellipsis]
    left = len(shape) - sum(map(_axes_of, items))
    if left < 0 or len(dots) > 1:
        raise IndexError(f"too many indices: {len(items)} for an array of shape {shape}")
    at = dots[0] if dots else len(items)
    return [*items[:at], *[_WHOLE] * left, *items[at + 1 :]]


def _forward(chosen: range) -> slice:
    """The slice that selects the same positions from the first to the last."""
    if not chosen:
        return slice(0, 0)
    low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
    return slice(low, high + 1, abs(chosen.step) if low < high else 1)


def _check_range(lowest: int, highest: int, shape: Shape, axis: int) -> None:
    length = shape[axis]
    if lowest < -length or highest >= length:
        wrong = lowest if lowest < -length else highest
        raise IndexError(
            f"index {shown(wrong)} is out of bounds for axis {axis} of length {length} "
            f"(shape {shape})"
        )


def _check_mask(mask: Tensor, shape: Shape, axis: int) -> None:
    if tuple(mask.shape) != shape[axis : axis + mask.ndim]:
        raise IndexError(
            f"a mask of shape {tuple(mask.shape)} does not fit axis {axis} of shape {shape}"
        )
