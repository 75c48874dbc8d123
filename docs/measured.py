"""The README's tables of what was measured, from the files in benchmarks/results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import graph_handling
from benchmarks.contestants import EAGER, OURS
from benchmarks.report import duration, table

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
# What a reader looks for first; the files in that folder have all rows.
MAIN = (
    *("(a*b)+(c*d)", "chain of 20", "bias and gelu", "a[:,1]", "softmax", "layer norm"),
    *("cross-entropy", "product 1024x1024", "product 4096x4096", "product, bias", "perceptron"),
    *("transformer", "LeNet", "residual", "LSTM", "Adam"),
)


def measured() -> str:
    """A table for each device that was measured, with the circumstances."""
    files = sorted(RESULTS.glob("*.json"))
    parts = [_device(json.loads(file.read_text(encoding="utf-8")), file) for file in files]
    return "\n\n".join(parts) if parts else "Nothing is measured yet."


def _device(data: Mapping[str, Any], file: Path) -> str:
    facts = data["circumstances"]
    rows = [
        row for row in data["rows"] if row["name"].startswith(MAIN) and OURS in row["contestants"]
    ]
    peers = list(dict.fromkeys(name for row in rows for name in row["ratios"]))
    columns = (f"on {facts['device']}", OURS, *(f"over {name}" for name in peers))
    parts = [table(columns, [_row(row, peers) for row in rows])]
    if data.get(graph_handling.NAME):
        parts.append(graph_handling.shown(data[graph_handling.NAME]))
    known = ("torch", "triton", "CUDA", "jax", "mxnet")
    versions = [f"{name} {facts[name]}" for name in known if name in facts]
    loads = f"{facts['load at the beginning']} and {facts['load at the end']}"
    parts.append(
        f"Measured on {facts['date']} at commit {facts['commit']} with {facts['threads']} threads, "
        f"Python {facts['python']}, {', '.join(versions)}; load at the beginning and the end: "
        f"{loads}. All rows, with first results and memory: "
        f"[{file.stem}.md](benchmarks/results/{file.stem}.md)."
    )
    return "\n\n".join(parts)


def _row(row: Mapping[str, Any], peers: Sequence[str]) -> tuple[str, ...]:
    ratios = []
    for peer in peers:
        found = row["ratios"].get(peer)
        if found is None:
            ratios.append("-")
        elif peer == EAGER:
            ratios.append("{median:.2f} ({low:.2f} to {high:.2f})".format(**found))
        else:
            ratios.append("{median:.2f}".format(**found))
    return (row["name"], duration(row["contestants"][OURS]["seconds"]["median"]), *ratios)
