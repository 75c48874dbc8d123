"""What every benchmark shares: one timer, contestants that alternate, tables, and the machine.

Needs the standard library alone, so that other Python installations can take part.
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


# ---- time --------------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class Contestant:
    """Someone who does the work, in this process or in another.

    Attributes:
        name: for the table.
        measure: the seconds per call of so many calls in a row.
    """

    name: str
    measure: Callable[[int], float]


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

    They take turns, and each round begins with another one, so that whatever else the machine does
    falls on all of them alike.
    """
    counts = {}
    for contestant in contestants:
        contestant.measure(1)  # the first call prepares and warms up
        counts[contestant.name] = max(1, round(effort.seconds / contestant.measure(2)))
    samples: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    for number in range(effort.rounds):
        start = number % len(contestants)
        for contestant in (*contestants[start:], *contestants[:start]):
            samples[contestant.name].append(contestant.measure(counts[contestant.name]))
    return samples


def ratio(samples: Sequence[float], baseline: Sequence[float]) -> Spread:
    """The ratio of two contestants, taken round by round."""
    return Spread.of([ours / theirs for ours, theirs in zip(samples, baseline, strict=True)])


# ---- text --------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """A time in three digits and the unit that fits."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, aligned for those who read it as text."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join((first, *rest)) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(columns), line(rule), *map(line, rows)])


class Progress:
    """One line on the terminal that says what is being measured; nothing where there is none."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._shown = sys.stderr.isatty()

    def step(self, what: str) -> None:
        self._done += 1
        self._write(f"[{self._done}/{self._total}] {what}")

    def close(self) -> None:
        self._write("")

    def _write(self, text: str) -> None:
        if self._shown:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


# ---- circumstances -----------------------------------------------------------------------------


def circumstances(versions: Mapping[str, str], threads: int) -> dict[str, Any]:
    """What a figure is worth nothing without: machine, versions, date and commit."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": platform.platform(),
        "python": platform.python_version(),
        **versions,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "load": load(),
    }


def load() -> float | None:
    """How many processes wanted a core in the last minute, on average."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} with changes" if changed else commit
