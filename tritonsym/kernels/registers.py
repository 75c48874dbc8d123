"""When a kernel loads what it reads, so that its values fit into the registers.

What is loaded early is on its way while other things are computed, but takes registers until it is
used. So a kernel loads ahead as long as there is room, and then each value when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ..expressions.expr import Expr

# Triton's own number of warps.
WARPS = 4
# Registers of a thread, of which there are 255, that may hold what is loaded ahead, and those that
# may hold values at all; addresses and steps within a function need the others. More warps than
# these share all registers that there are.
AHEAD = 128
MOST = 160
_SHARING_NOTHING = 8


@dataclass(frozen=True)
class Order:
    """What a kernel does one after the other.

    Attributes:
        steps: what it reads, where it is loaded, and what it computes.
        peak: the most registers that an element's values take at a time.
    """

    steps: tuple[Expr, ...]
    peak: int

    def fits(self, elements: int, warps: int = WARPS) -> bool:
        """Whether each thread of so many warps can have so many elements."""
        return self.peak * elements <= room(warps)


def room(warps: int) -> int:
    """How many registers of a thread of so many warps may hold values."""
    return _share(MOST, warps)


def _share(registers: int, warps: int) -> int:
    """What a thread of so many warps has, of so many registers if it shared them with nobody."""
    return min(registers, registers * _SHARING_NOTHING // warps)


def ordered(
    reads: Sequence[Expr],
    body: Sequence[Expr],
    kept: Collection[Expr],
    elements: int,
    is_full: Callable[[Expr], bool] = lambda x: True,
    warps: int = WARPS,
) -> Order:
    """An order of loads and computations.

    Args:
        reads: what is read.
        body: what is computed, in order.
        kept: the part of it that is stored at the end.
        elements: that a thread has at a time.
        is_full: whether a value has a register for each of them.
        warps: of a program.
    """
    first: dict[Expr, int] = {}
    last: dict[Expr, int] = {}
    for place, x in enumerate(body):
        for y in (*x.inputs, x):
            first.setdefault(y, place)
            last[y] = place
    last.update(dict.fromkeys(kept, len(body)))

    def width(x: Expr) -> int:
        return max(1, x.dtype.itemsize // 4) if is_full(x) else 0

    known = {*reads, *body}
    ahead = _share(AHEAD, warps)
    waiting = sorted(reads, key=lambda y: first.get(y, len(body)))[::-1]
    steps: list[Expr] = []
    held = peak = 0
    for place, x in enumerate(body):
        while waiting and (
            first.get(waiting[-1], len(body)) <= place
            or (held + width(waiting[-1])) * elements <= ahead
        ):
            steps.append(waiting.pop())
            held += width(steps[-1])
        steps.append(x)
        held += width(x)
        peak = max(peak, held)
        held -= sum(width(y) for y in {*x.inputs, x} if last[y] == place and y in known)
    return Order((*steps, *reversed(waiting)), peak)
