"""The workloads in real MXNet, in a Python of its own; commanded line by line as JSON.

Run as ``python -m benchmarks.mxnet_worker SIZES``; it reads ``["prepare", name, file]``,
``["measure", calls]``, ``["graph", nodes, file]`` or ``["versions"]`` and answers one JSON line
each.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import mxnet as mx
import numpy as np

from . import sizes, symbols
from .clocks import seconds_per_call
from .graph_handling import long_graph
from .questions import workloads
from .workload import Prepared, in_one_line


class Worker:
    """The commands.

    Args:
        size: which of the sizes, such as ``CPU``.
    """

    def __init__(self, size: str) -> None:
        self._workloads = {one.name: one for one in workloads(getattr(sizes, size))}
        self._prepared: Prepared | None = None

    def versions(self) -> dict[str, str]:
        return {"mxnet": mx.__version__, "mxnet's numpy": np.__version__}

    def prepare(self, name: str, file: str) -> float:
        """Make a workload ready and write its results; returns the seconds until the first."""
        workload = self._workloads[name]
        values = workload.values()

        def wait(outputs: Any) -> None:
            # MXNet computes in the background; the work is done when the result can be read.
            for output in outputs:
                output.wait_to_read()

        begin = time.perf_counter()
        prepared = symbols.prepare(mx, mx.cpu(), workload, values, wait)
        prepared.call()
        first = time.perf_counter() - begin
        np.savez(file, *prepared.outcome())
        self._prepared = prepared
        return first

    def measure(self, count: int) -> float:
        assert self._prepared is not None
        return seconds_per_call(self._prepared.call, count)

    def graph(self, nodes: int, file: str) -> list[float]:
        return long_graph(mx, nodes, file, time.perf_counter)


def main() -> None:
    # MXNet writes notices to the standard output, which is kept for the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        try:
            answer: Any = {"value": getattr(worker, command)(*arguments)}
        except Exception as error:
            answer = {"error": in_one_line(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
