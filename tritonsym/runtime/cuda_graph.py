"""Launches on a CUDA device as one CUDA graph: recorded after the first run, replayed ever after.

The bound arrays are the graph's inputs and the plan's memory is its own, so a replay copies nothing
and a run costs the host one call.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..expressions.reference import Step, Tensor

# Records what a step launches, without running it, and gives the step that replays it.
Recorder = Callable[[Step], Step]

# CUDA records one graph at a time in a process.
_recording = threading.Lock()

# Graphs whose recording failed: torch's allocators still ask them which memory is theirs.
_failed: list[torch.cuda.CUDAGraph] = []


def on_device(step: Step, device: torch.device) -> Step:
    """A step with its device as the current one, which each thread chooses for itself."""
    if device.type != "cuda":
        return step

    def on_its_device() -> object:
        with torch.cuda.device(device):
            return step()

    return on_its_device


def recorder(device: torch.device) -> Recorder:
    """What records launches on a CUDA device, on a stream of its own."""

    def record(launch: Step) -> Step:
        graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # The outer block brings the caller's stream back, which a recording that fails does not.
        with _recording, torch.cuda.stream(stream):
            # A workspace that is there already would be shared with all who use this stream.
            torch._C._cuda_clearCublasWorkspaces()
            try:
                # Other threads may go on using the device meanwhile.
                with torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local"):
                    launch()
            except BaseException:
                _failed.append(graph)
                # Without this torch 2.11 takes every later recording for one within this one. It
                # refuses where the recording has ended as it should, and only the launch failed.
                with contextlib.suppress(RuntimeError):
                    torch._C._cuda_endAllocateToPool(device.index, pool)
                raise
            finally:
                torch._C._cuda_clearCublasWorkspaces()
        return graph.replay

    return record


class Launched:
    """A step that launches kernels, one by one or, from its second run on, as one graph.

    The first run warms libraries up and is a run like all others; recording what follows runs
    nothing. Where it fails the kernels are launched one by one from then on, and a warning says so.

    Args:
        launch: launches all of them.
        record: what makes a graph of it, or None.
        note: without a graph, why.
        whole: whether these are all kernels of a pass.
    """

    def __init__(
        self, launch: Step, record: Recorder | None, note: str = "", whole: bool = True
    ) -> None:
        self._launch = launch
        self._record = record
        self._note = note
        self._whole = whole
        self._run: Step = launch if record is None else self._first

    def __call__(self) -> None:
        self._run()

    def __str__(self) -> str:
        if self._note:
            return f"kernels are launched one by one: {self._note}"
        if not self._whole:
            return "kernels are launched as CUDA graphs between operators in Python"
        return "kernels are launched as one CUDA graph, which the first run records"

    def _first(self) -> None:
        self._launch()
        assert self._record is not None
        try:
            self._run = self._record(self._launch)
        except Exception as error:  # whatever it is, launching them has just worked
            self._run = self._launch
            self._note = f"no CUDA graph could be recorded ({type(error).__name__}: {error})"
            warnings.warn(str(self), RuntimeWarning, stacklevel=2)


class StreamOrder:
    """A step that keeps runs on the same memory in order when the caller changes the stream.

    The first run comes after what was launched until now, such as the zeros of the outputs.

    Args:
        device: a CUDA device.
        tensors: one in each memory of a program.
    """

    def __init__(self, device: torch.device, tensors: Sequence[Tensor]) -> None:
        self._device = device
        self._tensors = tuple(tensors)
        self._last = _Run(torch.cuda.current_stream(device))
        # The streams that know of the tensors, each for as long as these are there.
        self._known: set[int] = set()

    def without_memory(self) -> StreamOrder:
        """A new order on the same device, for others to join."""
        return StreamOrder(self._device, ())

    def join(self, other: StreamOrder) -> None:
        """Come after the other one's runs as well from now on, and they after these."""
        present = torch.cuda.current_stream(self._device)
        present.wait_stream(self._last.stream)
        present.wait_stream(other._last.stream)
        self._last = other._last
        self._last.stream, self._last.address = present, None

    def __call__(self) -> None:
        # Triton's launcher asks in this way too; an object for the stream would cost a launch.
        present = torch._C._cuda_getCurrentRawStream(self._device.index)
        if present != self._last.address or present not in self._known:
            self._follow()

    def _follow(self) -> None:
        stream = torch.cuda.current_stream(self._device)
        stream.wait_stream(self._last.stream)
        if stream.cuda_stream not in self._known:
            for tensor in self._tensors:
                # Its memory is given to nobody else before this stream is done with it.
                tensor.record_stream(stream)
            self._known.add(stream.cuda_stream)
        self._last.address = stream.cuda_stream
        self._last.stream = stream


@dataclass
class _Run:
    """The last run on some memory: its stream, and the stream's address where a run was there."""

    stream: torch.cuda.Stream
    address: int | None = None
