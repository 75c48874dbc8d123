"""How long does it take to build, save, load, infer and bind a graph of very many operators?

``long_graph`` needs numpy and a library with MXNet's API alone, so that real MXNet can take part.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .mxnet_peer import MXNetProcess, WorkerError
from .report import MXNET, OURS, table
from .workload import SEED

NAME = "graph handling"
STAGES = (
    "build",
    "tojson",
    "save",
    "load",
    "infer_shape",
    "infer_type",
    "bind",
    "first forward",
    "forward",
)
_SHAPE = (16,)


def long_graph(mx: Any, nodes: int, file: str, clock: Callable[[], float]) -> list[float]:
    """Seconds of each of ``STAGES`` for a chain of so many operators, whose result is checked.

    Raises:
        ValueError: the result is wrong.
    """
    random = np.random.RandomState(SEED)
    values = {name: random.rand(*_SHAPE).astype(np.float32) for name in "xy"}
    expected = values["x"].astype(np.float64)
    for _ in range(nodes // 2):
        expected = (expected + values["y"]) * 0.5
    arrays = {name: mx.nd.array(value) for name, value in values.items()}
    laps = [clock()]

    def lap() -> None:
        laps.append(clock())

    result, y = map(mx.sym.Variable, "xy")
    for _ in range(nodes // 2):
        result = (result + y) * 0.5
    lap()
    result.tojson()
    lap()
    result.save(file)
    lap()
    loaded = mx.sym.load(file)
    lap()
    loaded.infer_shape(x=_SHAPE, y=_SHAPE)
    lap()
    loaded.infer_type(x=np.float32, y=np.float32)
    lap()
    executor = loaded.bind(mx.cpu(), arrays)
    lap()
    executor.forward()[0].wait_to_read()
    lap()
    executor.forward()[0].wait_to_read()
    lap()
    got = executor.outputs[0].asnumpy()
    if not np.allclose(got, expected, rtol=1e-5):
        raise ValueError(f"the chain of {nodes} operators gave {got}, expected {expected}")
    return [after - before for before, after in pairwise(laps)]


def measure(mx: Any, mxnet: MXNetProcess | None, nodes: int, repeats: int) -> dict[str, Any]:
    """Medians of the seconds of each stage by contestant, or why there are none.

    Args:
        mx: this package.
        mxnet: the process of real MXNet, or None.
    """
    samples: dict[str, list[list[float]]] = {}
    problems = {} if mxnet is not None else {MXNET: "absent"}
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "chain.json")
        for _ in range(repeats):
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
    seconds = {
        name: dict(zip(STAGES, map(statistics.median, zip(*laps, strict=True)), strict=True))
        for name, laps in samples.items()
        if name not in problems
    }
    return {"operators": nodes, "seconds": seconds, "without time": problems}


def shown(found: dict[str, Any]) -> str:
    """The table of what `measure` found."""
    seconds = found["seconds"]

    def line(name: str, value: Callable[[dict[str, float]], float]) -> tuple[str, ...]:
        cells = (f"{value(seconds[one]):.3f}" if one in seconds else "-" for one in (OURS, MXNET))
        return (name, *cells)

    rows = [line(stage, lambda laps, s=stage: laps[s]) for stage in STAGES]
    rows.append(line("all", lambda laps: sum(laps.values())))
    return table((f"a chain of {found['operators']:,} operators, seconds", OURS, MXNET), rows)
