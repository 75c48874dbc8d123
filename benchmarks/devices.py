"""The two devices: how time is told on each, and how much memory was in use."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

import tritonsym as mx

from .clocks import seconds_per_call
from .machine import processor

# More than any GPU's second-level cache holds.
ROTATED_BYTES = 200 * 2**20
MOST_ROTATED = 16


class CPU:
    """The processor, whose work is done when a call returns."""

    name = "cpu"
    torch = torch.device("cpu")

    @property
    def context(self) -> mx.Context:
        return mx.cpu()

    def describe(self) -> str:
        return processor()

    def wait(self) -> None:
        """Until the work that was begun is done."""

    def seconds(self, call: Callable[[], object], count: int) -> float:
        """Seconds per call."""
        return seconds_per_call(call, count)

    def peak(self, work: Callable[[], object]) -> int | None:
        """The most memory that torch had in use beyond what was there before, during a work."""
        # Its notes about itself would end up between the rows.
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")
        activities = [torch.profiler.ProfilerActivity.CPU]
        # There is one cycle of events; torch 2.11 warns unless it is told what to do at its end.
        with torch.profiler.profile(
            activities=activities, profile_memory=True, acc_events=True
        ) as profiled:
            kept = work()  # what it returns lives on, as it would for a caller
        del kept
        tree = profiled.profiler.kineto_results.experimental_event_tree()  # type: ignore[union-attr]
        taken: dict[int, int] = {}
        used = most = 0
        for _, place, size in sorted(_allocations(tree)):
            # What is given back may be older: garbage of an earlier work.
            used += size if size > 0 else -taken.pop(place, 0)
            if size > 0:
                taken[place] = size
            most = max(most, used)
        return most


def _allocations(events: Any) -> list[tuple[int, int, int]]:
    """The time, the address and the bytes of what was taken, and with a minus given back."""
    found, waiting = [], list(events)
    while waiting:
        event = waiting.pop()
        waiting.extend(event.children)
        if event.typed[0] == torch._C._profiler._EventType.Allocation:
            change = event.typed[1]
            found.append((event.start_time_ns, change.ptr, change.alloc_size))
    return found


class CUDA:
    """A GPU, whose own clock tells the time between two events in its queue."""

    name = "cuda"
    torch = torch.device("cuda", 0)

    @property
    def context(self) -> mx.Context:
        return mx.gpu(0)

    def describe(self) -> str:
        return torch.cuda.get_device_name(0)

    def wait(self) -> None:
        """Until the work that was begun is done."""
        torch.cuda.synchronize()

    def seconds(self, call: Callable[[], object], count: int) -> float:
        """Seconds per call, from the first one's begin to the last one's end."""
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        for _ in range(count):
            call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3 / count

    def peak(self, work: Callable[[], object]) -> int | None:
        """The most memory that torch had in use beyond what was there before, during a work."""
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        kept = work()
        torch.cuda.synchronize()
        del kept
        return torch.cuda.max_memory_allocated() - before


Device = CPU | CUDA


def find(name: str) -> Device | None:
    """The device of a name, or None where this machine has none."""
    if name == "cpu":
        return CPU()
    return CUDA() if torch.cuda.is_available() else None
