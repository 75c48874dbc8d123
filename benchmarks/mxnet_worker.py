"""The workloads in real MXNet, in a Python of its own; commanded line by line as JSON.

Run as ``python -m benchmarks.mxnet_worker`` by the benchmark, which sends ``["prepare", name]``,
``["measure", calls]``, ``["graph", nodes, file]`` or ``["versions"]`` and reads one JSON line each.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import mxnet as mx
import numpy as np

from .common import seconds_per_call
from .workloads import WORKLOADS, deviation, long_graph


class Worker:
    """The commands."""

    def __init__(self) -> None:
        self._call: Callable[[], object] = lambda: None

    def versions(self) -> dict[str, str]:
        return {"mxnet": mx.__version__, "mxnet's numpy": np.__version__}

    def prepare(self, name: str) -> float:
        """Bind a workload; returns the deviation of its result."""
        (workload,) = (one for one in WORKLOADS if one.name == name)
        arrays = {key: mx.nd.array(value) for key, value in workload.arrays().items()}
        executor = workload.symbol(mx).bind(mx.cpu(), arrays)

        def call() -> None:
            # MXNet computes in the background; the work is done when the result can be read.
            executor.forward()[0].wait_to_read()

        self._call = call
        return deviation(workload, executor.forward()[0].asnumpy())

    def measure(self, count: int) -> float:
        return seconds_per_call(self._call, count)

    def graph(self, nodes: int, file: str) -> list[float]:
        return long_graph(mx, nodes, file, time.perf_counter)


def main() -> None:
    # MXNet writes notices to the standard output, which is kept for the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        try:
            answer: Any = {"value": getattr(worker, command)(*arguments)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
