"""Make programs for a GPU that is not there, twice, and print what was compiled when, as JSON.

A program of its own, because Triton either compiles or interprets for the life of a process.
"""

from __future__ import annotations

import json
import threading
import time

import torch
import triton
from triton.backends.compiler import GPUTarget

import tritonsym as mx
from named_graphs import GRAPHS, plan_of
from tritonsym import triton_runtime
from tritonsym.expr import toposort
from tritonsym.gpus import H100
from tritonsym.philox import RandomState
from tritonsym.switches import Switches

NAMES = ("tutorial", "perceptron", "attention", "dropout")
compiled: list[str] = []


class Driver:
    """What Triton asks of a device before it launches anything."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def bind(prefix: str) -> dict[str, object]:
    """Programs of the named graphs; arrays are in the host's memory, nothing runs on them."""
    del compiled[:]
    seconds, kernels = 0.0, 0
    for name in NAMES:
        plan = plan_of(GRAPHS[name], prefix)
        found = {x["index"]: x for x in toposort(plan.outputs) if x.primitive == "input"}
        inputs = [
            torch.zeros(found[index].shape, dtype=found[index].dtype.torch)
            for index in sorted(found)
        ]
        started = time.perf_counter()
        triton_runtime.program(plan, inputs, RandomState(0), mx.gpu(0), Switches())
        seconds += time.perf_counter() - started
        kernels += len(plan.kernels)
    return {"kernels": kernels, "seconds": seconds, "threads": sorted(compiled)}


if __name__ == "__main__":
    triton.runtime.driver.set_active(Driver())
    triton.knobs.compilation.listener = lambda **given: compiled.append(
        threading.current_thread().name
    )
    triton_runtime.torch_device = lambda context: torch.device("cpu")
    triton_runtime.gpu_of = lambda context: H100
    print(json.dumps([bind(""), bind("other_names_")]))
