"""Real MXNet in a process of its own, under another Python."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .machine import ROOT
from .workload import Array


class WorkerError(Exception):
    """MXNet could not do it; the message is its own."""


class MXNetProcess:
    """The process.

    Args:
        python: one that has MXNet.
        size: which of the sizes, such as ``CPU``.
        threads: how many it computes with.
    """

    def __init__(self, python: str, size: str, threads: int) -> None:
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.mxnet_worker", size],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
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

    def prepare(self, name: str) -> tuple[float, list[Array]]:
        """Seconds until the first result of a workload, and its results.

        Raises:
            WorkerError: MXNet could not compute it.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "results.npz")
            first = self.ask("prepare", name, file)
            with np.load(file) as found:
                return first, [found[key] for key in found.files]

    def close(self) -> None:
        """End the process, if it has not ended itself."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
