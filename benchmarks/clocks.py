"""Time: calls in a row, contestants that take turns, and the spread of what they needed.

Needs the standard library alone, so that other Python installations can take part.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat

# One call for so many that count is made before them, and one at the least.
UNCOUNTED = 4
# Calls whose launches a device's queue holds: it has room for about a thousand launches.
IN_QUEUE = 10


def seconds_per_call(function: Callable[[], object], count: int) -> float:
    """The mean time of ``count`` calls in a row, with the garbage collector at rest."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        begin = time.perf_counter()
        for _ in repeat(None, count):
            function()
        return (time.perf_counter() - begin) / count
    finally:
        if collecting:
            gc.enable()


def host_seconds(function: Callable[[], object], wait: Callable[[], object], count: int) -> float:
    """How long the host is busy with a call whose work a device does: the median of short runs.

    The device catches up after each: one whose queue is full makes the host wait for its work.
    """
    runs = []
    for _ in range(-(-count // IN_QUEUE)):
        wait()
        runs.append(seconds_per_call(function, IN_QUEUE))
    wait()
    return statistics.median(runs)


def _stay(number: int) -> None:
    """Nothing, where the work is always done on the same memory."""


@dataclass(frozen=True)
class Contestant:
    """Someone who does the work, in this process or in another.

    Attributes:
        name: for the table.
        measure: the seconds per call of so many calls in a row.
        move: chooses the place in memory for a round, by its number.
    """

    name: str
    measure: Callable[[int], float]
    move: Callable[[int], object] = _stay


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: in each of which every contestant is measured once.
        seconds: that one such measurement should last.
    """

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Spread:
    """The median of some samples and the quartiles around it."""

    low: float
    median: float
    high: float

    @staticmethod
    def of(samples: Sequence[float]) -> Spread:
        if len(samples) < 2:
            return Spread(samples[0], samples[0], samples[0])
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return Spread(low, median, high)


def race(contestants: Sequence[Contestant], effort: Effort) -> dict[str, list[float]]:
    """Seconds per call of each contestant in each round.

    They take turns, so that whatever else the machine does falls on all of them alike, and in a
    random order, so that nobody always comes after the same one. What that one leaves behind, such
    as threads that still wait for work, is gone after some calls that do not count.
    """
    counts = {}
    for contestant in contestants:
        contestant.measure(1)  # the first call prepares and warms up
        counts[contestant.name] = max(1, round(effort.seconds / contestant.measure(2)))
    samples: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    order = random.Random(0)
    for number in range(effort.rounds):
        for contestant in order.sample(contestants, len(contestants)):
            contestant.move(number)
            count = counts[contestant.name]
            contestant.measure(-(-count // UNCOUNTED))
            samples[contestant.name].append(contestant.measure(count))
    return samples


def ratio(samples: Sequence[float], baseline: Sequence[float]) -> Spread:
    """The ratio of two contestants, taken round by round."""
    return Spread.of([ours / theirs for ours, theirs in zip(samples, baseline, strict=True)])
