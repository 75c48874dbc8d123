"""Launches of kernels: compiled side by side when a graph is bound, prepared for every run."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import triton
from triton.tools.tensor_descriptor import TensorDescriptor

from . import progress
from .reference import Step, Tensor
from .triton_writer import Source

# Triton's tables of kernels, and the loading of one, are not made for two threads at once.
_compiling = threading.Lock()


@dataclass(frozen=True, eq=False)
class Launch:
    """A kernel on its arguments.

    Attributes:
        name: for a person.
        function: Triton's.
        programs: how many of them run.
        arguments: the function's: tensors, and tensor descriptors.
        options: of the compiler.
    """

    name: str
    function: Any
    programs: int
    arguments: Sequence[Any]
    options: Mapping[str, Any]

    @property
    def step(self) -> Step:
        """The call that launches it."""
        return partial(self.function[(self.programs,)], *self.arguments, **self.options)

    def compiled(self) -> Any:
        """The compiled kernel, or what will be it once its compiler is done."""
        return self.function.run(
            *self.arguments, grid=(self.programs,), warmup=True, **self.options
        )


def arguments_on(source: Source, tensors: Sequence[Tensor]) -> list[Any]:
    """What a kernel is called with, given the memory of all its arguments."""
    found: list[Any] = list(tensors)
    for number, descriptor in source.descriptors.items():
        shape, strides, block = map(list, (descriptor.shape, descriptor.strides, descriptor.block))
        found[number] = TensorDescriptor(tensors[number], shape, strides, block)
    return found


def compile_all(launches: Sequence[Launch]) -> None:
    """Compile what is not compiled yet, on all processors, and load it for the current device.

    After it a launch only launches, in whatever thread and while a graph is recorded.
    """
    if not launches or triton.knobs.runtime.interpret:
        return
    # Our own loop shows errors; Triton 3.6 would not leave its mode because of them.
    with (
        _compiling,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        triton.AsyncCompileMode(pool, ignore_errors=True),
    ):
        waiting = [(launch.name, launch.compiled()) for launch in launches]
        for kernel in progress.shown(waiting, len(waiting), "compiling"):
            compiled = kernel.result() if hasattr(kernel, "result") else kernel
            _ = compiled.run  # which is there once it is loaded
