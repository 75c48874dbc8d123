"""What a run says: its rows as a table in Markdown and as JSON, and how it differs from an old one.

Knows no torch and no clock: figures come in, text goes out.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .clocks import Spread
from .workload import Workload

# What contestants are called wherever they are named.
OURS, EAGER, MXNET = "tritonsym", "torch", "MXNet"


@dataclass(frozen=True)
class Figures:
    """What one contestant needed; None where it was not told.

    Attributes:
        seconds: per call, with the data in a cache if it fits; cold: with data that no cache holds.
        host: seconds that the host is busy with a call.
        first: seconds to the first result.
        peak: bytes of memory.
    """

    seconds: Spread
    cold: Spread | None
    host: float | None
    first: float
    peak: int | None


@dataclass(frozen=True)
class Row:
    """What a workload gave.

    Attributes:
        floor: seconds that the hardware needs at least.
        figures: by contestant.
        ratios: of our time to each peer's.
        problems: why a contestant has no time.
    """

    workload: Workload
    floor: float
    figures: Mapping[str, Figures]
    ratios: Mapping[str, Spread]
    problems: Mapping[str, str]

    @property
    def fraction(self) -> float | None:
        """The floor over our time."""
        if OURS not in self.figures:
            return None
        ours = self.figures[OURS]
        return self.floor / (ours.cold or ours.seconds).median

    @property
    def verdict(self) -> str:
        """Whether eager torch's time, times the target, is kept to."""
        if EAGER not in self.ratios:
            return "no result"
        spread, target = self.ratios[EAGER], self.workload.target
        if spread.median <= target:
            return "met"
        # A miss that is smaller than what the rounds differ by is none that can be told.
        return "unclear" if spread.low <= target else "MISSED"


# ---- text --------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """A time in three digits and the unit that fits."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def megabytes(size: int | None) -> str:
    """A size in MB, of which small ones all look alike."""
    if size is None:
        return "-"
    return f"{size / 2**20:.3g}" if size >= 2**20 / 100 else "0.01"


class Table:
    """A table in Markdown that is written line by line, aligned for those who read it as text.

    Args:
        columns: their heads, and how wide each is at least.
    """

    def __init__(self, columns: Mapping[str, int]) -> None:
        self._heads = list(columns)
        self._widths = [max(len(head), width) for head, width in columns.items()]

    @property
    def head(self) -> str:
        first, *others = self._widths
        rule = ["-" * first, *("-" * (width - 1) + ":" for width in others)]
        return f"{self.row(self._heads)}\n| {' | '.join(rule)} |"

    def row(self, cells: Sequence[str]) -> str:
        """One line."""
        first = cells[0].ljust(self._widths[0])
        pairs = zip(cells[1:], self._widths[1:], strict=True)
        return "| " + " | ".join([first, *(cell.rjust(width) for cell, width in pairs)]) + " |"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose rows are all known."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    made = Table(dict(zip(columns, widths, strict=True)))
    return "\n".join([made.head, *map(made.row, rows)])


class RowTable:
    """The table of workloads: our figures, then the ratios of our time to each peer's."""

    def __init__(self, names: Sequence[str], peers: Sequence[str], on_gpu: bool) -> None:
        self._peers, self._on_gpu = peers, on_gpu
        columns = {"workload": max(map(len, names)), OURS: 9}
        if on_gpu:
            columns |= {"cold": 8, "host": 8}
        columns |= {"first": 8, "MB / torch's": 13, "floor": 8, "of floor": 8}
        columns |= {f"/ {EAGER}": 20, "": 7}
        columns |= {f"/ {peer}": 6 for peer in peers if peer != EAGER}
        self._table = Table(columns)

    @property
    def head(self) -> str:
        return self._table.head

    def row(self, row: Row) -> str:
        ours, eager = row.figures.get(OURS), row.figures.get(EAGER)
        cells = [row.workload.name]
        if ours is None:
            empty = 4 + 2 * self._on_gpu
            cells += ["none", *["-"] * empty]
        else:
            cells.append(duration(ours.seconds.median))
            if self._on_gpu:
                cells.append("-" if ours.cold is None else duration(ours.cold.median))
                cells.append("-" if ours.host is None else duration(ours.host))
            theirs = None if eager is None else eager.peak
            cells.append(duration(ours.first))
            cells.append(f"{megabytes(ours.peak)} / {megabytes(theirs)}")
            cells += [duration(row.floor), f"{row.fraction:.0%}"]
        cells.append(_ratio(row, EAGER, spread=True))
        cells.append(row.verdict)
        cells += [_ratio(row, peer) for peer in self._peers if peer != EAGER]
        return self._table.row(cells)


def _ratio(row: Row, peer: str, spread: bool = False) -> str:
    if peer not in row.ratios:
        return "-"
    found = row.ratios[peer]
    shown = f"{found.median:.2f}"
    return f"{shown} ({found.low:.2f} to {found.high:.2f})" if spread else shown


class Progress:
    """One line on the terminal: what is measured and how long the rest may take; else nothing."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._begin = time.monotonic()
        self._shown = sys.stderr.isatty()
        self._line = ""

    def step(self, what: str) -> None:
        """The next one begins."""
        left = ""
        if self._done:
            rest = (time.monotonic() - self._begin) / self._done * (self._total - self._done)
            time_left = f"{rest / 60:.0f} min" if rest > 90 else f"{rest:.0f} s"
            left = f", about {time_left} left"
        self._done += 1
        self._line = f"[{self._done}/{self._total}] {what}{left}"
        self._write(self._line)

    def detail(self, what: str) -> None:
        """Part of it begins."""
        self._write(f"{self._line}: {what}")

    def clear(self) -> None:
        """Make place for other text."""
        self._write("")

    def _write(self, text: str) -> None:
        if self._shown:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


# ---- files -------------------------------------------------------------------------------------


class Record:
    """What a run has said and measured so far, printed and in a file: a run may be cut short.

    Args:
        file: of JSON; what was said is beside it as Markdown. Or None.
        before: what happens before something is printed.
    """

    def __init__(self, file: Path | None, before: Callable[[], object]) -> None:
        self._file, self._before = file, before
        self._said: list[str] = []
        self._data: dict[str, Any] = {}

    def add(self, name: str, data: Any) -> None:
        """Something was measured, or is more than it was."""
        self._data[name] = data

    def say(self, text: str) -> None:
        """Print something, and write down all there is."""
        self._before()
        print(text, flush=True)
        self._said.append(text)
        if self._file is not None:
            self._file.write_text(json.dumps(self._data, indent=2) + "\n", encoding="utf-8")
            said = "\n".join(self._said) + "\n"
            self._file.with_suffix(".md").write_text(said, encoding="utf-8")


def row_as_data(row: Row) -> dict[str, Any]:
    """A row as JSON takes it."""
    workload = row.workload
    return {
        "name": workload.name,
        "kind": workload.kind.value,
        "dtype": workload.dtype,
        "precision": workload.precision,
        "least bytes": workload.least_bytes,
        "flops": workload.flops,
        "floor": row.floor,
        "target": workload.target,
        "verdict": row.verdict,
        "contestants": {name: asdict(figures) for name, figures in row.figures.items()},
        "ratios": {name: asdict(spread) for name, spread in row.ratios.items()},
        "without time": dict(row.problems),
    }


def compared(old: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Our times beside those of an old run, as a table, and what differs in the circumstances.

    Args:
        old: what an old run wrote as JSON.

    Raises:
        KeyError: it is no such file.
    """
    before = {
        row["name"]: Spread(**row["contestants"][OURS]["seconds"])
        for row in old["rows"]
        if OURS in row["contestants"]
    }
    lines = []
    for row in rows:
        if OURS not in row.figures or row.workload.name not in before:
            continue
        was, now = before[row.workload.name], row.figures[OURS].seconds
        change = now.median / was.median
        clear = now.low > was.high or now.high < was.low
        word = ("SLOWER" if change > 1 else "faster") if clear else "as before"
        cells = (row.workload.name, duration(was.median), duration(now.median), f"{change:.2f}")
        lines.append((*cells, word))
    facts = old["circumstances"]
    origin = f"Compared with {facts['commit']} of {facts['date']} on {facts['device']}"
    if not lines:
        return f"{origin}: no workload of the same name."
    return f"{origin}:\n\n{table((OURS, 'old', 'new', 'new / old', ''), lines)}"
