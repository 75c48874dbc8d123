"""Launches of kernels: compiled side by side when a graph is bound, prepared for every run."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
import triton
from triton.tools.tensor_descriptor import TensorDescriptor

from ..expressions.reference import Step, Tensor
from ..foundation import progress
from ..kernels.triton_writer import Source

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

    def __call__(self) -> object:
        """Launch it, by way of Triton's own look at all arguments."""
        return self.function[(self.programs,)](*self.arguments, **self.options)

    def compiled(self) -> Any:
        """The compiled kernel, or what will be it once its compiler is done."""
        return self.function.run(
            *self.arguments, grid=(self.programs,), warmup=True, **self.options
        )

    @property
    def is_plain(self) -> bool:
        """Whether all it is called with are numbers: addresses and constants."""
        return all(isinstance(value, Tensor) for value in self.arguments)

    def on_addresses(self, device: torch.device) -> Step:
        """The call that launches it at once, of one that is plain and compiled.

        What Triton looks at in each call is known here: a call costs the host less than a graph's.
        """
        kernel = self.compiled()
        run, function, metadata = kernel.run, kernel.function, kernel.packed_metadata
        constants = (self.options[name] for name in self.function.arg_names if name in self.options)
        addresses = (tensor.data_ptr() for tensor in self.arguments)
        # As Triton's own launches: a kernel's options, three hooks that there are none of.
        fixed = (function, metadata, None, None, None, *addresses, *constants)
        programs, index = self.programs, device.index
        current_device = torch._C._cuda_getDevice
        current_stream = torch._C._cuda_getCurrentRawStream

        def launch() -> None:
            if current_device() != index:
                with torch.cuda.device(index):
                    run(programs, 1, 1, current_stream(index), *fixed)
                return
            run(programs, 1, 1, current_stream(index), *fixed)

        return launch


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
