"""Make programs for a GPU that is not there, and print what Triton was asked to do when, as JSON.

A program of its own, because Triton either compiles or interprets for the life of a process.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable

import torch
import triton
from triton.backends.compiler import GPUTarget

import tritonsym as mx
from named_graphs import GRAPHS, plan_of
from tritonsym.expressions.philox import RandomState
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.switches import Switches
from tritonsym.products.gpus import H100
from tritonsym.runtime import kernel_launch, module_cache, triton_runtime

NAMES = ("tutorial", "perceptron", "attention", "dropout")
BROKEN = """
import triton
import triton.language as tl

@triton.jit
def kernel(out0):
    tl.store(out0, tl.no_such_function(0))
"""
compiled: list[str] = []
loaded: list[str] = []


class Utilities:
    """What loads a kernel's machine code, and takes its time over it."""

    def get_device_properties(self, device: int) -> dict[str, int]:
        return {"max_shared_mem": H100.shared_memory}

    def load_binary(
        self, name: str, code: bytes, shared: int, device: int
    ) -> tuple[int, int, int, int, int]:
        """A module, a function, registers, spilled bytes and the most threads."""
        time.sleep(0.05)
        loaded.append(hashlib.sha256(code).hexdigest())
        return 1, 2, 32, 0, 1024

    def unload_module(self, module: int) -> None:
        pass


class Launcher:
    """What would launch a kernel."""

    def __init__(self, source: object, metadata: object) -> None:
        pass


class Driver:
    """What Triton asks of a device before it launches anything."""

    utils = Utilities()
    launcher_cls = Launcher

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def bind(name: str, prefix: str = "") -> int:
    """A program of a named graph; arrays are in the host's memory, nothing runs on them."""
    plan = plan_of(GRAPHS[name], prefix)
    found = {x["index"]: x for x in toposort(plan.outputs) if x.primitive == "input"}
    inputs = [
        torch.zeros(found[index].shape, dtype=found[index].dtype.torch) for index in sorted(found)
    ]
    triton_runtime.program(plan, inputs, RandomState(0), mx.gpu(0), Switches())
    return len(plan.kernels)


def measured(action: Callable[[], int]) -> dict[str, object]:
    """What an action has compiled and loaded, in how many seconds, and what it returns."""
    del compiled[:], loaded[:]
    started = time.perf_counter()
    kernels = action()
    return {
        "kernels": kernels,
        "seconds": time.perf_counter() - started,
        "threads": sorted(compiled),
        "loaded": sorted(loaded),
    }


def in_threads() -> int:
    """One graph that is new, bound by some threads at once."""
    threads = [threading.Thread(target=bind, args=("layer-norm",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(threads)


def refused() -> int:
    """A kernel that does not compile; what is bound next is another matter."""
    function = module_cache.load(BROKEN).kernel
    place = torch.zeros(1)
    try:
        kernel_launch.compile_all([kernel_launch.Launch("broken", function, 1, [place], {})])
    except triton.CompilationError:
        return bind("softmax-short")
    return 0


if __name__ == "__main__":
    triton.runtime.driver.set_active(Driver())
    triton.knobs.compilation.listener = lambda **given: compiled.append(
        threading.current_thread().name
    )
    triton_runtime.torch_device = lambda context: torch.device("cpu")
    triton_runtime.gpu_of = lambda context: H100
    found = {
        "first": measured(lambda: sum(bind(name) for name in NAMES)),
        "second": measured(lambda: sum(bind(name, "other_names_") for name in NAMES)),
        "in threads": measured(in_threads),
        "after an error": measured(refused),
    }
    print(json.dumps(found))
