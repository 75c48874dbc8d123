"""How exact a GPU's library is: it is told around each call, and only there.

Libraries read settings of the whole process when a call is launched or recorded. What a program has
set for its own calls stands again afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

Step = Callable[[], object]


def exactly(step: Step, out: torch.Tensor) -> Step:
    """A library's step that keeps all bits of float32."""
    return keeping("ieee", step, out)


def keeping(precision: str, step: Step, out: torch.Tensor) -> Step:
    """A library's step that keeps the bits of a precision.

    Args:
        precision: ``ieee`` for all bits, ``tf32`` for the 11 leading ones of each factor.
        step: launches the library's kernels.
        out: what it writes; only GPUs leave bits out.
    """
    return _told(precision)(step) if out.is_cuda else step


# One thread at a time: another's settings would be taken for the program's own.
_telling = threading.RLock()


@contextmanager
def _told(precision: str) -> Iterator[None]:
    """The libraries of convolutions, recurrent layers and products keep these bits."""
    libraries: Any = torch.backends
    settings = (libraries.cudnn.conv, libraries.cudnn.rnn, libraries.cuda.matmul)
    with _telling:
        before = [setting.fp32_precision for setting in settings]
        try:
            for setting in settings:
                setting.fp32_precision = precision
            yield
        finally:
            for setting, known in zip(settings, before, strict=True):
                setting.fp32_precision = known


def in_one_order(step: Step, out: torch.Tensor) -> Step:
    """A library's step whose sums have one order: every run gives the same bits.

    Args:
        step: launches the library's kernels.
        out: what it writes; only GPUs add up what is ready first.
    """
    return _ordered()(step) if out.is_cuda else step


@contextmanager
def _ordered() -> Iterator[None]:
    """The library of attention adds in one order, and new memory stays as it is."""
    memory: Any = torch.utils.deterministic
    with _telling:
        before, filled = torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory
        try:
            torch.set_deterministic_debug_mode("error")
            memory.fill_uninitialized_memory = False
            yield
        finally:
            memory.fill_uninitialized_memory = filled
            torch.set_deterministic_debug_mode(before)
