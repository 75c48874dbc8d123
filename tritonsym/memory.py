"""Places in one arena for values that live for a while: from lifetimes to offsets, purely."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64


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


def allocate(lifetimes: Sequence[Lifetime], reuse: bool = True) -> tuple[list[int], int]:
    """An offset for each lifetime, so that no two that overlap in time overlap in memory.

    Lifetimes are sorted by ``first``. A freed place is taken by the best fitting later value.

    Returns:
        The offsets and the size of the arena, in bytes.
    """
    offsets: list[int] = []
    free: list[tuple[int, int]] = []  # (size, offset) sorted, so that the best fit comes first
    ending: list[tuple[int, int]] = []  # (last step, lifetime)
    handed_over: set[int] = set()
    top = 0
    for number, lifetime in enumerate(lifetimes):
        size = aligned(lifetime.size)
        while reuse and ending and ending[0][0] < lifetime.first:
            _, done = heapq.heappop(ending)
            if done not in handed_over:
                bisect.insort(free, (aligned(lifetimes[done].size), offsets[done]))
        over = lifetime.over
        if reuse and over is not None and over not in handed_over:
            handed_over.add(over)
            offsets.append(offsets[over])
        else:
            fit = bisect.bisect_left(free, (size, 0))
            # A place more than twice as large is left for a value that needs it.
            if fit < len(free) and free[fit][0] <= 2 * size:
                place_size, offset = free.pop(fit)
                offsets.append(offset)
                if place_size > size:
                    bisect.insort(free, (place_size - size, offset + size))
            else:
                offsets.append(top)
                top += size
        heapq.heappush(ending, (lifetime.last, number))
    return offsets, top
