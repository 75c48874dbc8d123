"""Two pictures of a run, by matplotlib: a roofline, and the ratios to each peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

from .ceilings import Ceilings
from .report import OURS, Row


def draw(
    rows: Sequence[Row], ceilings: Ceilings, facts: Mapping[str, object], stem: Path
) -> list[Path]:
    """Draw what can be drawn of these rows; returns the files."""
    title = f"{facts['device']}, {facts['date']}, commit {facts['commit']}"
    measured = [row for row in rows if OURS in row.figures]
    files = []
    if any(row.workload.flops for row in measured):
        files.append(_roofline(measured, ceilings, title, _beside(stem, "roofline")))
    if any(row.ratios for row in measured):
        files.append(_ratios(measured, title, _beside(stem, "ratios")))
    return files


def _beside(stem: Path, what: str) -> Path:
    return stem.with_name(f"{stem.name}-{what}.png")


def _roofline(rows: Sequence[Row], ceilings: Ceilings, title: str, file: Path) -> Path:
    """Operations per second over operations per byte, below what the hardware can do.

    A workload without products counts one operation for each element that it moves.
    """
    figure, axes = pyplot.subplots(figsize=(11, 7))
    bandwidth = max(ceilings.copy, ceilings.read)
    points = []
    for row in rows:
        operations = row.workload.flops or row.workload.least_bytes / 4
        figures = row.figures[OURS]
        seconds = (figures.cold or figures.seconds).median
        points.append((operations / row.workload.least_bytes, operations / seconds))
    left, right = min(x for x, _ in points) / 2, max(x for x, _ in points) * 2
    for name, peak in ceilings.products.items():
        corner = peak / bandwidth
        axes.plot([left, corner, max(right, corner)], [left * bandwidth, peak, peak], label=name)
    for number, (x, y) in enumerate(points, 1):
        axes.plot(x, y, "k.", markersize=4)
        axes.annotate(str(number), (x, y), fontsize=6, xytext=(2, 2), textcoords="offset points")
    axes.set(xscale="log", yscale="log", xlabel="operations per byte", title=title)
    axes.set_ylabel("operations per second")
    axes.legend(title="measured ceilings", fontsize=7)
    names = "\n".join(f"{number} {row.workload.name}" for number, row in enumerate(rows, 1))
    figure.text(1.0, 0.5, names, fontsize=5.5, va="center")
    figure.savefig(file, dpi=150, bbox_inches="tight")
    pyplot.close(figure)
    return file


def _ratios(rows: Sequence[Row], title: str, file: Path) -> Path:
    """Our time over each peer's, one line for each workload; left of one we are ahead."""
    figure, axes = pyplot.subplots(figsize=(9, 1.5 + 0.2 * len(rows)))
    places = {row.workload.name: -number for number, row in enumerate(rows)}
    for peer in dict.fromkeys(name for row in rows for name in row.ratios):
        found = {row.workload.name: row.ratios[peer] for row in rows if peer in row.ratios}
        middles = [spread.median for spread in found.values()]
        below = [spread.median - spread.low for spread in found.values()]
        above = [spread.high - spread.median for spread in found.values()]
        heights = [places[name] for name in found]
        axes.errorbar(middles, heights, xerr=[below, above], fmt="o", markersize=3, label=peer)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(list(places.values()), list(places), fontsize=6)
    axes.set(xlabel=f"{OURS}'s time / the peer's", title=title)
    axes.legend(fontsize=7)
    figure.savefig(file, dpi=150, bbox_inches="tight")
    pyplot.close(figure)
    return file
