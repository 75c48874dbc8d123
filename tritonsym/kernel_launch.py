"""Launches of kernels: compiled side by side when a graph is bound, prepared for every run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import triton

from . import progress
from .reference import Step, Tensor


@dataclass(frozen=True, eq=False)
class Launch:
    """A kernel on its arguments.

    Attributes:
        name: for a person.
        function: Triton's.
        programs: how many of them run.
        pointers: the function's arguments.
        options: of the compiler.
    """

    name: str
    function: Any
    programs: int
    pointers: Sequence[Tensor]
    options: Mapping[str, Any]

    @property
    def step(self) -> Step:
        """The call that launches it."""
        return partial(self.function[(self.programs,)], *self.pointers, **self.options)

    def compiled(self) -> Any:
        """The compiled kernel, or what will be it once its compiler is done."""
        return self.function.run(*self.pointers, grid=(self.programs,), warmup=True, **self.options)


def compile_all(launches: Sequence[Launch]) -> None:
    """Compile what is not compiled yet, on all processors, before the first run needs it.

    The device must be the current one.
    """
    if not launches or triton.knobs.runtime.interpret:
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool, triton.AsyncCompileMode(pool):
        waiting = [(launch.name, launch.compiled()) for launch in launches]
        for kernel in progress.shown(waiting, len(waiting), "compiling"):
            if hasattr(kernel, "result"):
                kernel.result()
