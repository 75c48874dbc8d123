"""Memory of which only a few elements are ever touched, and which therefore takes no room."""

from __future__ import annotations

import mmap
import tempfile

import torch


def sparse(count: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """So many elements that nobody has touched; on a GPU they do take room."""
    if device.type != "cpu":
        return torch.empty(count, dtype=dtype, device=device)
    size = count * dtype.itemsize
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        return torch.frombuffer(mmap.mmap(file.fileno(), size), dtype=dtype)
