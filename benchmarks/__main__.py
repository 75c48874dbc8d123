"""How near the hardware's limit every workload runs, and how it compares with its peers.

A contestant whose result is not the float64 reference's has no time. Peers that are not installed
are listed as absent.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tritonsym as mx

from . import ceilings, contestants, devices, first_result, graph_handling, questions, sizes
from .ceilings import Ceilings
from .clocks import Effort
from .contestants import Peer
from .devices import Device
from .machine import circumstances, load
from .mxnet_peer import MXNetProcess, WorkerError
from .places import PLACES
from .report import EAGER, OURS, Progress, Record, Row, RowTable, compared, row_as_data
from .suite import run_workload
from .workload import Workload

SECTIONS = (graph_handling.NAME, first_result.NAME)


@dataclass(frozen=True)
class Settings:
    """How thoroughly to measure.

    Attributes:
        chain_part: of the long graph's nodes, one in so many.
        first_results: of how many workloads, each in processes of its own.
    """

    effort: Effort
    chain_part: int
    graph_repeats: int
    first_results: int


THOROUGH = Settings(Effort(rounds=30, seconds=0.02), chain_part=1, graph_repeats=3, first_results=4)
QUICK = Settings(Effort(rounds=6, seconds=0.005), chain_part=10, graph_repeats=1, first_results=1)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--device", choices=("cpu", "cuda"), help="where to measure; a GPU if there is one")
    left_out = ", ".join(contestants.SLOW["cuda"])
    add(
        "--quick",
        action="store_true",
        help=f"coarse figures in minutes; on a GPU without {left_out}",
    )
    add("--tiny", action="store_true", help="the tests' sizes: whether everything works")
    add(
        "--only",
        action="append",
        metavar="NAME",
        help="only what has NAME in its name, such as 'softmax', 'step' or "
        f"'{graph_handling.NAME}'; may be repeated",
    )
    add(
        "--without",
        action="append",
        default=[],
        choices=contestants.NAMES,
        metavar="PEER",
        help=f"leave a peer out: {', '.join(contestants.NAMES)}",
    )
    add(
        "--json",
        type=_new_file,
        metavar="FILE",
        help="write everything to FILE as it comes, what is printed beside it as Markdown, and in "
        "the end two pictures where matplotlib is installed",
    )
    add("--compare", type=_old_run, metavar="OLD", help="compare with a file that --json wrote")
    add(
        "--mxnet-python",
        type=_program,
        metavar="PATH",
        help="a Python that has MXNet, to run it beside (CPU)",
    )
    return parser.parse_args(given)


def _new_file(text: str) -> Path:
    """A file that can be written."""
    file = Path(text)
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {str(file.parent)!r}: make it first")
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: name another file")
    return file


def _old_run(text: str) -> Any:
    """What an old run wrote."""
    try:
        old = json.loads(Path(text).read_text(encoding="utf-8"))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {text!r}: {error.strerror}") from None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: name a file of --json") from None
    try:
        compared(old, [])
    except (KeyError, TypeError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no run of this program: name a file that --json wrote to its end"
        ) from None
    return old


def _program(text: str) -> str:
    """A program that can be started."""
    if shutil.which(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no program: name a Python that has MXNet")
    return text


def main(given: Sequence[str] | None = None) -> None:
    arguments = _arguments(given)
    device = devices.find(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device is None:
        sys.exit("torch sees no CUDA device on this machine, so nothing was measured on one")
    size = "TINY" if arguments.tiny else device.name.upper()
    mxnet = None
    # All contestants share the device's memory, of which jax would take most at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if device.name == "cpu":
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        if arguments.mxnet_python is not None:
            mxnet = MXNetProcess(arguments.mxnet_python, size, torch.get_num_threads())
    try:
        if mxnet is not None:
            mxnet.ask("versions")
        _run(arguments, device, size, mxnet, arguments.compare)
    except WorkerError as error:
        sys.exit(f"--mxnet-python {arguments.mxnet_python}: {error}; it needs MXNet and numpy")
    finally:
        if mxnet is not None:
            mxnet.close()


def _run(
    arguments: argparse.Namespace,
    device: Device,
    size: str,
    mxnet: MXNetProcess | None,
    old: Any,
) -> None:
    """Measure what is wanted, and say it as it comes."""
    quick = arguments.quick or arguments.tiny
    settings = QUICK if quick else THOROUGH
    all_sizes: sizes.Sizes = getattr(sizes, size)
    every = questions.workloads(all_sizes)
    chosen, beside = _chosen(every, arguments.only)
    slow = contestants.SLOW[device.name] if quick else ()
    peers = contestants.peers(device, mxnet, (*slow, *arguments.without))
    present = [peer for peer in peers if not peer.absent]
    progress = Progress(len(chosen) + len(beside))
    record = Record(arguments.json, progress.clear)

    facts = _circumstances(device, mxnet, [peer.name for peer in present])
    record.add("circumstances", facts)
    record.say("\n".join(f"- {name}: {value}" for name, value in facts.items()))
    absent = {peer.name: peer.absent for peer in peers if peer.absent}
    record.add("absent", absent)
    record.say("\n".join(f"- absent: {name} ({why})" for name, why in absent.items()))
    measured = ceilings.measure(device, all_sizes)
    record.add("ceilings", asdict(measured))
    record.say(f"\nMeasured ceilings:\n\n{measured}\n")

    rows = _rows(chosen, device, present, settings.effort, measured, progress, record)
    if graph_handling.NAME in beside:
        progress.step(graph_handling.NAME)
        nodes = all_sizes.chained_nodes // settings.chain_part
        graph = graph_handling.measure(mx, mxnet, nodes, settings.graph_repeats)
        record.add(graph_handling.NAME, graph)
        record.say(f"\n{graph_handling.shown(graph)}")
    if first_result.NAME in beside:
        progress.step(first_result.NAME)
        names = [peer.name for peer in present if peer.prepare is not None]
        taken = first_result.taken([one.name for one in every])[: settings.first_results]
        first = first_result.measure(device.name, size, taken, names)
        record.add(first_result.NAME, first)
        record.say(f"\n{first_result.shown(first)}")
    facts["load at the end"] = load()
    record.say(f"\nload at the end: {facts['load at the end']}")
    if old is not None:
        record.say(f"\n{compared(old, rows)}")
    if arguments.json is not None and rows:
        _draw(rows, measured, facts, arguments.json.with_suffix(""))


def _rows(
    chosen: Sequence[Workload],
    device: Device,
    present: Sequence[Peer],
    effort: Effort,
    measured: Ceilings,
    progress: Progress,
    record: Record,
) -> list[Row]:
    """The workloads' rows, said one by one."""
    rows: list[Row] = []
    record.add("rows", rows)
    if not chosen:
        return rows
    others = [peer.name for peer in present if peer.name != OURS]
    lines = RowTable([workload.name for workload in chosen], others, device.name == "cuda")
    record.say(lines.head)
    for workload in chosen:
        progress.step(workload.name)
        row = run_workload(workload, device, present, effort, measured, progress.detail)
        rows.append(row)
        record.add("rows", [row_as_data(row) for row in rows])
        record.say(lines.row(row))
    moving = f", the first two at {PLACES} places in memory" if device.name == "cpu" else ""
    record.say(
        f"\nMedians of {effort.rounds} rounds in which the contestants take turns{moving};"
        f" beside the ratio to {EAGER} its quartiles."
    )
    without = [(row.workload.name, *one) for row in rows for one in row.problems.items()]
    record.say("\n".join(f"- no time: {peer}, {name}: {why}" for name, peer, why in without))
    return rows


def _chosen(
    every: Sequence[Workload], only: Sequence[str] | None
) -> tuple[list[Workload], list[str]]:
    """The workloads and the sections that have one of these texts in their name."""

    def wanted(name: str) -> bool:
        return only is None or any(part in name for part in only)

    chosen = [workload for workload in every if wanted(workload.name)]
    beside = list(filter(wanted, SECTIONS))
    if not chosen and not beside:
        names = [*(workload.name for workload in every), *SECTIONS]
        sys.exit("nothing of that name; there are:\n  " + "\n  ".join(names))
    return chosen, beside


def _draw(rows: Sequence[Row], measured: Ceilings, facts: dict[str, Any], stem: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        print("no pictures: matplotlib is not installed")
        return
    from . import pictures

    for file in pictures.draw(rows, measured, facts, stem):
        print(f"drawn: {file}")


def _circumstances(
    device: Device, mxnet: MXNetProcess | None, present: Sequence[str]
) -> dict[str, Any]:
    versions = {"tritonsym": mx.__version__, "torch": torch.__version__, "numpy": np.__version__}
    if device.name == "cuda":
        versions |= {"triton": version("triton"), "CUDA": str(torch.version.cuda)}
    if contestants.JAX in present:
        versions["jax"] = version("jax")
    if mxnet is not None:
        versions |= mxnet.ask("versions")
    return circumstances(versions, device.describe(), torch.get_num_threads())


if __name__ == "__main__":
    main()
