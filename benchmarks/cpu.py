"""How fast graphs run on the CPU, beside the same work written by hand in eager torch.

``python -m benchmarks.cpu`` prints the table; ``--help`` shows the options. A contestant whose
result is not the float64 reference's has no time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tritonsym as mx

from .common import (
    ROOT,
    Contestant,
    Effort,
    Progress,
    Spread,
    circumstances,
    duration,
    load,
    race,
    ratio,
    seconds_per_call,
    table,
)
from .workloads import STAGES, TOLERANCE, WORKLOADS, Workload, deviation, long_graph

OURS, EAGER, NO_GRAD, MXNET = "tritonsym", "torch", "torch, no_grad", "MXNet"
GRAPH = "graph handling"
ABSENT = "absent"


@dataclass(frozen=True)
class Settings:
    """How thoroughly to measure."""

    effort: Effort
    graph_nodes: int
    graph_repeats: int


THOROUGH = Settings(Effort(rounds=30, seconds=0.02), graph_nodes=10**5, graph_repeats=3)
QUICK = Settings(Effort(rounds=6, seconds=0.005), graph_nodes=10**4, graph_repeats=1)


# ---- MXNet in another Python -------------------------------------------------------------------


class WorkerError(Exception):
    """MXNet could not do it; the message is its own."""


class MXNetProcess:
    """Real MXNet in a process of its own, with as many threads as torch has here."""

    def __init__(self, python: str) -> None:
        threads = str(torch.get_num_threads())
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.mxnet_worker"],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": threads},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, command: str, *arguments: object) -> Any:
        """The value of a command.

        Raises:
            WorkerError: it failed, or the process is gone.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([command, *arguments]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"the process ended with status {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


# ---- forward -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What a workload gave.

    Attributes:
        seconds: per call and contestant.
        ratios: of each contestant to eager torch.
        problems: why a contestant has no time.
    """

    workload: Workload
    seconds: dict[str, Spread]
    ratios: dict[str, Spread]
    problems: dict[str, str]

    @property
    def verdict(self) -> str:
        if OURS in self.problems or OURS not in self.ratios:
            return "no result"
        spread = self.ratios[OURS]
        if spread.median <= self.workload.target:
            return "met"
        # A miss that is smaller than what the rounds differ by is none that can be told.
        return "unclear" if spread.low <= self.workload.target else "MISSED"


def _wrong(error: float) -> str | None:
    return None if error <= TOLERANCE else f"wrong result (off by {error:.1e})"


def _run_workload(workload: Workload, mxnet: MXNetProcess | None, effort: Effort) -> Row:
    arrays = {name: mx.nd.array(value) for name, value in workload.arrays().items()}
    executor = workload.symbol(mx).bind(mx.cpu(), arrays)
    # The same memory for both: neither has the better addresses.
    eager = workload.eager(torch, {name: array.to_torch() for name, array in arrays.items()})
    contestants: list[Contestant] = []
    problems: dict[str, str] = {}

    def enter(name: str, error: float, measure: Callable[[int], float]) -> None:
        wrong = _wrong(error)
        if wrong is None:
            contestants.append(Contestant(name, measure))
        else:
            problems[name] = wrong

    def here(
        call: Callable[[], object],
        around: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> Callable[[int], float]:
        def measure(count: int) -> float:
            with around():
                return seconds_per_call(call, count)

        return measure

    enter(OURS, deviation(workload, executor.forward()[0].asnumpy()), here(executor.forward))
    eager_error = deviation(workload, eager().numpy())
    enter(EAGER, eager_error, here(eager))
    enter(NO_GRAD, eager_error, here(eager, torch.no_grad))
    if mxnet is None:
        problems[MXNET] = ABSENT
    else:
        try:
            enter(
                MXNET,
                mxnet.ask("prepare", workload.name),
                lambda count: float(mxnet.ask("measure", count)),
            )
        except WorkerError as error:
            problems[MXNET] = str(error)
    samples = race(contestants, effort)
    return Row(
        workload=workload,
        seconds={name: Spread.of(values) for name, values in samples.items()},
        ratios={
            name: ratio(values, samples[EAGER])
            for name, values in samples.items()
            if EAGER in samples and name != EAGER
        },
        problems=problems,
    )


def _time(row: Row, name: str) -> str:
    return duration(row.seconds[name].median) if name in row.seconds else row.problems[name]


def _ratio(row: Row, name: str) -> str:
    if name not in row.ratios:
        return "-"
    spread = row.ratios[name]
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"


def _forward_table(rows: Sequence[Row]) -> str:
    columns = ("forward()", OURS, EAGER, "ratio", "target", "", "no_grad / torch", MXNET)
    return table(
        columns,
        [
            (
                row.workload.name,
                _time(row, OURS),
                _time(row, EAGER),
                _ratio(row, OURS),
                f"<= {row.workload.target:g}",
                row.verdict,
                _ratio(row, NO_GRAD),
                _time(row, MXNET),
            )
            for row in rows
        ],
    )


# ---- graph handling ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Stages:
    """Seconds of each stage of a graph of many nodes, or why there are none."""

    nodes: int
    seconds: dict[str, list[float]]
    problems: dict[str, str]


def _run_graph(mxnet: MXNetProcess | None, settings: Settings) -> Stages:
    nodes = settings.graph_nodes
    problems = {} if mxnet is not None else {MXNET: ABSENT}
    samples: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "chain.json")
        for _ in range(settings.graph_repeats):
            try:
                laps = long_graph(mx, nodes, file, time.perf_counter)
                samples.setdefault(OURS, []).append(laps)
            except ValueError as error:
                problems[OURS] = str(error)
            if mxnet is not None and MXNET not in problems:
                try:
                    samples.setdefault(MXNET, []).append(mxnet.ask("graph", nodes, file))
                except WorkerError as error:
                    problems[MXNET] = str(error)
    medians = {
        name: [statistics.median(stage) for stage in zip(*laps, strict=True)]
        for name, laps in samples.items()
        if name not in problems
    }
    return Stages(nodes, medians, problems)


def _graph_table(stages: Stages) -> str:
    def cell(name: str, index: int) -> str:
        return f"{stages.seconds[name][index]:.3f}" if name in stages.seconds else "-"

    rows = [(stage, cell(OURS, i), cell(MXNET, i)) for i, stage in enumerate(STAGES)]
    totals = [
        f"{sum(stages.seconds[name]):.3f}" if name in stages.seconds else stages.problems[name]
        for name in (OURS, MXNET)
    ]
    columns = (f"a chain of {stages.nodes:,} operators, seconds", OURS, MXNET)
    return table(columns, [*rows, ("all", *totals)])


# ---- the program -------------------------------------------------------------------------------


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds; coarse figures")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help=f"only what has NAME in its name, such as 'softmax' or '{GRAPH}'; may be repeated",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to FILE too")
    parser.add_argument(
        "--mxnet-python", metavar="PATH", help="a Python that has MXNet, to run it beside"
    )
    return parser.parse_args(given)


def _as_json(facts: dict[str, Any], rows: Sequence[Row], stages: Stages | None) -> str:
    def spread(value: Spread) -> dict[str, float]:
        return {"low": value.low, "median": value.median, "high": value.high}

    forward = [
        {
            "name": row.workload.name,
            "target": row.workload.target,
            "verdict": row.verdict,
            "seconds": {name: spread(value) for name, value in row.seconds.items()},
            "ratio to torch": {name: spread(value) for name, value in row.ratios.items()},
            "without time": row.problems,
        }
        for row in rows
    ]
    graph = None
    if stages is not None:
        graph = {
            "operators": stages.nodes,
            "seconds": {
                name: dict(zip(STAGES, values, strict=True))
                for name, values in stages.seconds.items()
            },
            "without time": stages.problems,
        }
    return json.dumps({"circumstances": facts, "forward": forward, "graph": graph}, indent=2) + "\n"


def main(given: Sequence[str] | None = None) -> None:
    arguments = _arguments(given)
    settings = QUICK if arguments.quick else THOROUGH

    def wanted(name: str) -> bool:
        return arguments.only is None or any(part in name for part in arguments.only)

    chosen = [workload for workload in WORKLOADS if wanted(workload.name)]
    if not chosen and not wanted(GRAPH):
        names = [*(workload.name for workload in WORKLOADS), GRAPH]
        sys.exit("nothing of that name; there are:\n  " + "\n  ".join(names))
    mxnet = None if arguments.mxnet_python is None else MXNetProcess(arguments.mxnet_python)
    versions = {"torch": torch.__version__, "numpy": np.__version__, "tritonsym": mx.__version__}
    try:
        versions |= {"mxnet": ABSENT} if mxnet is None else mxnet.ask("versions")
        facts = circumstances(versions, torch.get_num_threads())
        progress = Progress(len(chosen) + wanted(GRAPH))
        rows = []
        for workload in chosen:
            progress.step(workload.name)
            rows.append(_run_workload(workload, mxnet, settings.effort))
        stages = None
        if wanted(GRAPH):
            progress.step(GRAPH)
            stages = _run_graph(mxnet, settings)
        progress.close()
    finally:
        if mxnet is not None:
            mxnet.close()
    facts["load at the end"] = load()

    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    if rows:
        print(f"\n{_forward_table(rows)}")
        print(f"\nMedians of {settings.effort.rounds} rounds; of ratios also the quartiles.")
    if stages is not None:
        print(f"\n{_graph_table(stages)}")
    if arguments.json is not None:
        arguments.json.write_text(_as_json(facts, rows, stages), encoding="utf-8")


if __name__ == "__main__":
    main()
