"""Places in one arena for values that live for a while: from lifetimes to offsets, purely."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALIGNMENT = 64
# More blocks than this are placed in the order of time, which takes no time at all.
_MANY = 4096


@dataclass(frozen=True)
class Lifetime:
    """When a value is in use: from the step that writes it to the last that reads it.

    Attributes:
        size: in bytes.
        first, last: steps, inclusive.
        over: the number of the lifetime that ends where this one begins and whose place it may
            take, because its step reads each element before it writes the same one.
    """

    size: int
    first: int
    last: int
    over: int | None = None


def aligned(size: int) -> int:
    """The size rounded up to the arena's alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass
class _Block:
    """Values that take one place after the other: where it is in use, as one lifetime."""

    size: int
    first: int
    last: int
    offset: int = 0


def allocate(lifetimes: Sequence[Lifetime], reuse: bool = True) -> tuple[list[int], int]:
    """An offset for each lifetime, so that no two that overlap in time overlap in memory.

    Lifetimes are sorted by ``first``. The largest are placed first, each in the smallest gap that
    it fits; after Pisarchyk and Lee, "Efficient memory management for deep neural net inference",
    2020. Of very many lifetimes the first is placed first.

    Returns:
        The offsets and the size of the arena, in bytes.
    """
    blocks = _blocks(lifetimes, reuse)
    distinct = list({id(block): block for block in blocks}.values())
    if not reuse:
        top = _one_after_the_other(distinct)
    elif len(distinct) > _MANY:
        top = _first_come(distinct)
    else:
        top = _largest_first(distinct)
    return [block.offset for block in blocks], top


def _blocks(lifetimes: Sequence[Lifetime], reuse: bool) -> list[_Block]:
    """The block of each lifetime."""
    blocks: list[_Block] = []
    handed_over: set[int] = set()
    for lifetime in lifetimes:
        over = lifetime.over
        if reuse and over is not None and over not in handed_over:
            handed_over.add(over)
            blocks.append(blocks[over])
            blocks[over].last = max(blocks[over].last, lifetime.last)
        else:
            blocks.append(_Block(aligned(lifetime.size), lifetime.first, lifetime.last))
    return blocks


def _one_after_the_other(blocks: Sequence[_Block]) -> int:
    top = 0
    for block in blocks:
        block.offset, top = top, top + block.size
    return top


def _largest_first(blocks: Sequence[_Block]) -> int:
    placed = np.empty((len(blocks), 4), np.int64)  # first, last, offset, end
    for number, block in enumerate(sorted(blocks, key=lambda block: -block.size)):
        known = placed[:number]
        beside = known[(known[:, 0] <= block.last) & (known[:, 1] >= block.first)]
        beside = beside[np.argsort(beside[:, 2], kind="stable")]
        ends = np.maximum.accumulate(np.concatenate(([0], beside[:, 3])))
        gaps = beside[:, 2] - ends[:-1]
        fitting = np.flatnonzero(gaps >= block.size)
        gap = fitting[np.argmin(gaps[fitting])] if len(fitting) else -1
        block.offset = int(ends[gap])
        placed[number] = block.first, block.last, block.offset, block.offset + block.size
    return max((block.offset + block.size for block in blocks), default=0)


def _first_come(blocks: Sequence[_Block]) -> int:
    """Each in the smallest free place that it fits, or at the end."""
    free: list[tuple[int, int]] = []  # (size, offset) sorted, so that the best fit comes first
    ending: list[tuple[int, int]] = []  # (last step, block)
    top = 0
    for number, block in enumerate(blocks):
        while ending and ending[0][0] < block.first:
            done = blocks[heapq.heappop(ending)[1]]
            bisect.insort(free, (done.size, done.offset))
        fit = bisect.bisect_left(free, (block.size, 0))
        # A place more than twice as large is left for a value that needs it.
        if fit < len(free) and free[fit][0] <= 2 * block.size:
            size, block.offset = free.pop(fit)
            if size > block.size:
                bisect.insort(free, (size - block.size, block.offset + block.size))
        else:
            block.offset, top = top, top + block.size
        heapq.heappush(ending, (block.last, number))
    return top
