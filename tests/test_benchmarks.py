"""The benchmark's own arithmetic, and that no wrong result gets a time. Nothing here is timed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import tritonsym as mx
from benchmarks import common, cpu
from benchmarks.workloads import TOLERANCE, WORKLOADS, Workload, deviation, long_graph

SMALL = [
    workload
    for workload in WORKLOADS
    if sum(array.size for array in workload.arrays().values()) < 1_000_000
]


def run(workload: Workload) -> np.ndarray:
    arrays = {name: mx.nd.array(value) for name, value in workload.arrays().items()}
    return workload.symbol(mx).bind(mx.cpu(), arrays).forward()[0].asnumpy()


@pytest.mark.parametrize("workload", SMALL, ids=lambda workload: workload.name)
def test_every_contestant_computes_the_same(workload: Workload) -> None:
    tensors = {name: torch.from_numpy(value) for name, value in workload.arrays().items()}
    assert deviation(workload, run(workload)) <= TOLERANCE
    assert deviation(workload, workload.eager(torch, tensors)().numpy()) <= TOLERANCE


@pytest.mark.parametrize("spoil", [1e-3, np.nan, np.inf])
def test_one_wrong_element_is_noticed(spoil: float) -> None:
    workload = next(one for one in SMALL if "10,000" in one.name)
    result = run(workload)
    result[777] += spoil
    assert not deviation(workload, result) <= TOLERANCE


def test_a_wrong_shape_is_noticed() -> None:
    workload = SMALL[0]
    assert deviation(workload, run(workload)[None]) == float("inf")


def test_a_wrong_result_has_no_time() -> None:
    workload = dataclasses.replace(SMALL[0], symbol=lambda mx: mx.sym.Variable("a") + 1.0)
    row = cpu._run_workload(workload, None, common.Effort(rounds=1, seconds=0))
    assert cpu.OURS not in row.seconds
    assert cpu.EAGER in row.seconds
    assert row.problems[cpu.OURS].startswith("wrong result")
    assert row.problems[cpu.MXNET] == cpu.ABSENT
    assert row.verdict == "no result"


def test_contestants_alternate() -> None:
    calls: list[str] = []

    def contestant(name: str) -> common.Contestant:
        def measure(count: int) -> float:
            calls.append(name)
            return 1.0

        return common.Contestant(name, measure)

    samples = common.race([contestant("a"), contestant("b")], common.Effort(3, 0.1))
    assert "".join(calls[-6:]) == "abbaab"
    assert samples == {"a": [1.0] * 3, "b": [1.0] * 3}


def test_ratios_are_taken_round_by_round() -> None:
    spread = common.ratio([1.0, 20.0, 3.0], [2.0, 40.0, 6.0])
    assert spread == common.Spread(0.5, 0.5, 0.5)


def test_the_spread_is_the_quartiles() -> None:
    assert common.Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == common.Spread(2.0, 3.0, 4.0)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (4.56e-6, "4.56 µs")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert common.duration(seconds) == shown


def test_tables_are_markdown() -> None:
    assert common.table(("name", "x"), [("one", "1"), ("eleven", "11")]).splitlines() == [
        "| name   |  x |",
        "| ------ | -: |",
        "| one    |  1 |",
        "| eleven | 11 |",
    ]


def test_the_long_graph_checks_its_result(tmp_path) -> None:
    ticks = iter(range(100))
    laps = long_graph(mx, 20, str(tmp_path / "chain.json"), lambda: float(next(ticks)))
    assert laps == [1.0] * len(cpu.STAGES)
