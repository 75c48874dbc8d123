"""Elements of tensors by numpy's keys, read and written. Knows nothing of arrays or contexts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..dtype import DType, as_dtype
from ..expr import Shape, constant, constant_value
from ..reference import Tensor


def _torch_key(key: Any, device: torch.device) -> Any:
    if isinstance(key, tuple):
        return tuple(_torch_key(item, device) for item in key)
    if isinstance(key, torch.Tensor):
        return key if key.dtype is torch.bool else key.long()
    if isinstance(key, (list, np.ndarray)):
        return torch.as_tensor(np.asarray(key), device=device)
    if isinstance(key, np.integer):
        return int(key)
    if key is None or key is Ellipsis or isinstance(key, (int, slice)):
        return key
    raise ValueError(f"an index cannot be {type(key).__name__}: {key!r}")


def _split_negative_steps(tensor: Tensor, key: Any) -> tuple[Tensor, Any]:
    """torch has no slices that walk backwards: such axes are flipped first."""
    keys = key if isinstance(key, tuple) else (key,)
    if not any(isinstance(item, slice) and (item.step or 1) < 0 for item in keys):
        return tensor, key
    consumed = sum(item is not None and item is not Ellipsis for item in keys)
    result, axis, flipped = [], 0, []
    for item in keys:
        if item is Ellipsis:
            axis += tensor.ndim - consumed
        elif item is not None:
            if isinstance(item, slice) and (item.step or 1) < 0:
                chosen = range(tensor.shape[axis])[item]
                flipped.append(axis)
                mirrored = tensor.shape[axis] - 1 - chosen.start
                item = slice(mirrored, mirrored + len(chosen) * -chosen.step, -chosen.step)
            axis += 1
        result.append(item)
    return torch.flip(tensor, flipped), tuple(result)


def indexed(tensor: Tensor, key: Any) -> Tensor:
    mirrored, key = _split_negative_steps(tensor, key)
    try:
        return mirrored[_torch_key(key, tensor.device)]
    except IndexError as error:
        raise IndexError(f"{error} (shape {tuple(tensor.shape)})") from None


def store(tensor: Tensor, key: Any, source: Any) -> None:
    position = torch.arange(tensor.numel(), device=tensor.device).view(tensor.shape)
    mirrored, plain_key = _split_negative_steps(tensor, key)
    if mirrored is not tensor:
        chosen = indexed(position, key)
        flat = tensor.view(-1)
        values = source if isinstance(source, torch.Tensor) else torch.tensor(source)
        flat[chosen.reshape(-1)] = values.to(tensor.dtype).expand(chosen.shape).reshape(-1)
        return
    try:
        if isinstance(source, torch.Tensor):
            source = source.to(tensor.dtype)
        else:
            source = converted(source, as_dtype(tensor.dtype))
        tensor[_torch_key(plain_key, tensor.device)] = source
    except (RuntimeError, IndexError) as error:
        kind = IndexError if isinstance(error, IndexError) else ValueError
        raise kind(f"cannot assign to {key!r} of shape {tuple(tensor.shape)}: {error}") from None


def converted(value: Any, dtype: DType) -> Any:
    """A number as a C conversion makes it, so that -1 or 1.5 can be written into uint8."""
    return constant_value(constant(value, dtype))


def is_everything(key: Any) -> bool:
    return key is Ellipsis or (isinstance(key, slice) and key == slice(None))


def check_fits(source: Shape, target: Shape) -> None:
    trimmed = source[len(source) - len(target) :] if len(source) > len(target) else source
    lead = source[: len(source) - len(trimmed)]
    pairs = zip(reversed(trimmed), reversed(target), strict=False)
    if any(n != 1 for n in lead) or any(a not in (1, b) for a, b in pairs):
        raise ValueError(f"could not broadcast input of shape {source} into shape {target}")
