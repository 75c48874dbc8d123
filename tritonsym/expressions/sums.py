"""Sums on a CPU: by one call of torch, or of large arrays over their leading axes by three.

There torch gives each thread some columns, whose pieces lie a row apart. A block of rows is one
piece of memory, which is read as fast as memory can be: its sums first, and then those of blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

import torch

# Smaller arrays are in a cache, where a second call costs more than it saves.
LEAST_BYTES = 2**22
# So many threads have work, and the blocks' sums are a small part of what is read: a row in each
# block, of so many.
BLOCKS = 8
LEAST_ROWS = 32 * BLOCKS


def summing(data: torch.Tensor, axes: Sequence[int], out: torch.Tensor) -> Callable[[], object]:
    """A step that sums over some axes into ``out``, whose summed axes have one element."""
    # Without a dtype torch would widen integers and refuse `out`.
    at_once = partial(torch.sum, data, axes, keepdim=True, dtype=out.dtype, out=out)
    return in_blocks(data, axes, out) or at_once


def in_blocks(
    data: torch.Tensor, axes: Sequence[int], out: torch.Tensor
) -> Callable[[], object] | None:
    """The same by blocks, or None where one call is as quick or more accurate."""
    rows = prod(data.shape[: len(axes)])
    # Blocks' sums of 16-bit floats would be rounded to those.
    if data.nbytes < LEAST_BYTES or rows < LEAST_ROWS or out.dtype.itemsize < 4:
        return None
    if tuple(axes) != tuple(range(len(axes))) or len(axes) == data.ndim:
        return None
    if not (data.is_contiguous() and out.is_contiguous() and data.dtype == out.dtype):
        return None
    length = rows // BLOCKS
    sums = torch.empty(BLOCKS + 1, out.numel(), dtype=out.dtype, device=out.device)
    of_blocks = partial(torch.sum, dim=1, dtype=out.dtype, out=sums[:BLOCKS])
    of_rest = partial(torch.sum, dim=0, dtype=out.dtype, out=sums[BLOCKS])
    of_all = partial(torch.sum, sums, 0, dtype=out.dtype, out=out.view(-1))

    def step() -> None:
        # Views that outlived this would keep the tensor from changing its memory.
        table = data.view(rows, -1)
        of_blocks(table[: BLOCKS * length].view(BLOCKS, length, -1))
        of_rest(table[BLOCKS * length :])
        of_all()

    return step
