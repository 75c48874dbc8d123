"""Rates on their way to a program, which reads them from memory of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, compress, cycle
from struct import Struct
from typing import Any

import torch

from ...expressions.expr import input_, narrow
from ...expressions.reference import Tensor
from ...expressions.walks import toposort
from ...foundation.dtype import FLOAT64
from .base import Optimizer
from .update import Update

# How many updates the host may be ahead of a device, which a longer queue would not make faster.
PARTS = 16


class SentRates:
    """The rates of the weights of a program, which are written where they have changed.

    What the program does not depend on, such as the counts of plain gradient descent, is not
    written at all.

    Args:
        update: which reads them.
        count: of how many weights.
    """

    def __init__(self, update: Update, count: int) -> None:
        self._used = _used(update, count)
        sizes = (f"{count}d" if used else f"{8 * count}x" for used in self._used)
        self._format = Struct("=" + "".join(sizes))
        self._write = _writer(update.numbers)
        self._last: bytes | None = None

    def send(self, optimizer: Optimizer, indices: Sequence[Any]) -> None:
        """Count an update, and let the program have its rates.

        Args:
            optimizer: which counts, and gives the rates.
            indices: what it calls the weights.
        """
        optimizer._update_count(indices)
        kinds = compress(optimizer.rates(indices), self._used)
        present = self._format.pack(*chain.from_iterable(kinds))
        if present != self._last:
            self._write(present)
            self._last = present


def _used(update: Update, count: int) -> list[bool]:
    """Which kinds of rates the results depend on; the numbers of a kind stand together."""
    size = update.numbers.numel()
    numbers, found = input_(0, (size,), FLOAT64), set(toposort(update.graph.outputs))
    return [narrow(numbers, 0, begin, begin + count) in found for begin in range(0, size, count)]


def _writer(target: Tensor) -> Callable[[bytes], None]:
    """What writes bytes into a vector."""
    if target.device.type == "cuda":
        return _Pinned(target)
    memory = _memory(target)

    def write(numbers: bytes) -> None:
        memory[:] = numbers

    return write


class _Pinned:
    """Writes into a vector of a device, which may still compute with what it holds.

    The device copies by itself, in the order of its work, from memory that nobody may change until
    then: there are several parts of it, which are used in turn.
    """

    def __init__(self, target: Tensor) -> None:
        self._target = target
        shape = (PARTS, target.numel())
        parts = torch.empty(shape, dtype=target.dtype, pin_memory=True).unbind()
        self._turns = cycle([(part, _memory(part), _event()) for part in parts])

    def __call__(self, numbers: bytes) -> None:
        part, memory, copied = next(self._turns)
        copied.synchronize()
        memory[:] = numbers
        self._target.copy_(part, non_blocking=True)
        copied.record(torch.cuda.current_stream(self._target.device))


def _event() -> torch.cuda.Event:
    """What is waited for without asking again and again."""
    return torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]


def _memory(tensor: Tensor) -> memoryview:
    """The bytes of a tensor."""
    return tensor.numpy().data.cast("B")
