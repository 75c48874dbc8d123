"""Who takes part: tritonsym and what people would use instead; each checked before it is timed."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import torch

import tritonsym as mx

from . import symbols, torch_peers
from .checking import deviation
from .clocks import Contestant, host_seconds
from .devices import MOST_ROTATED, ROTATED_BYTES, Device
from .mxnet_peer import MXNetProcess
from .report import EAGER, MXNET, OURS
from .torch_peers import Tensors
from .workload import Kind, Missing, Prepared, Workload

JAX, RECORDED = "jax.jit", "CUDA graph"
COMPILED = {
    "compile": "default",
    "reduce-overhead": "reduce-overhead",
    "max-autotune": "max-autotune",
}
# Those who are measured at several places in memory, and without a cache's help if the device has
# one to leave out: the others would compile for each copy of the data.
ROTATING = (OURS, EAGER, RECORDED)
# All who can take part on one device or the other.
NAMES = (OURS, EAGER, *COMPILED, RECORDED, JAX, MXNET)
# By device, compilers that take many minutes for all workloads together.
SLOW = {"cpu": ("max-autotune",), "cuda": (*COMPILED, JAX)}

# The reference's results, of float64.
Expected = Sequence[torch.Tensor]
# The data, at one place in memory or at several, of which everyone knows the first.
Places = Sequence[Tensors]
# Makes a workload ready on these tensors.
Preparation = Callable[[Workload, Tensors], Prepared]


@dataclass(frozen=True)
class Entrant:
    """Someone who takes part in a race, checked already.

    Attributes:
        warm: seconds per call, so many times in a row.
        cold: the same from data that no cache holds, or None where that is not told apart.
        host: how long the host is busy with each call, or None where it is all the work.
        first: seconds from nothing to the first result, compilation included.
        peak: bytes of memory, or None where it cannot be seen.
    """

    warm: Contestant
    cold: Contestant | None
    host: Callable[[int], float] | None
    first: float
    peak: int | None


class Refused(Exception):
    """A contestant takes no part in a workload; the message says why."""


@dataclass(frozen=True)
class Peer:
    """A contestant of all workloads.

    Attributes:
        absent: why it takes no part at all, or an empty text.
        enter: makes it ready for a workload, given the data and the reference's results.
        prepare: the same without any check, of those who compute on torch's tensors.
    """

    name: str
    absent: str
    enter: Callable[[Workload, Places, Expected], Entrant]
    prepare: Preparation | None = None


def peers(device: Device, mxnet: MXNetProcess | None, without: Sequence[str]) -> list[Peer]:
    """Everyone who could take part on a device.

    Args:
        mxnet: the process of real MXNet, or None.
        without: names of those who are left out by choice.
    """

    def local(name: str, prepare: Preparation) -> Peer:
        left_out = "left out" if name in without else ""
        return Peer(name, left_out, partial(_enter_local, device, name, prepare), prepare)

    found = [local(OURS, partial(_ours, device)), local(EAGER, torch_peers.prepare)]
    on_gpu = device.name == "cuda"
    for name, mode in COMPILED.items():
        if on_gpu or mode == "default":
            found.append(local(name, partial(_compiled, mode)))
    if on_gpu:
        found.append(local(RECORDED, torch_peers.recorded))
    missing = importlib.util.find_spec("jax") is None
    absent = "not installed" if missing else "left out" if JAX in without else ""
    found.append(Peer(JAX, absent, _enter_jax))
    if not on_gpu:
        absent = "no --mxnet-python" if mxnet is None else "left out" if MXNET in without else ""
        found.append(Peer(MXNET, absent, partial(_enter_mxnet, mxnet)))
    return found


def _ours(device: Device, workload: Workload, given: Tensors) -> Prepared:
    # The same memory for all: nobody has the better addresses. Classes are float32 in MXNet.
    arrays = {
        name: mx.nd.from_torch(tensor if tensor.is_floating_point() else tensor.float())
        for name, tensor in given.items()
    }
    return symbols.prepare(mx, device.context, workload, arrays)


def _compiled(mode: str, workload: Workload, given: Tensors) -> Prepared:
    if workload.kind is Kind.ADAM:
        raise Missing("the optimizer is one call already")
    torch._dynamo.reset()
    return torch_peers.prepare(workload, given, torch_peers.compiled(mode))


def _checked(workload: Workload, given: Tensors, outcome: Sequence[Any], due: Expected) -> None:
    error = deviation(outcome, due, workload.noise(given))
    if not error <= workload.tolerance:
        raise Refused(f"wrong result (off by {error:.1e})")


def _enter_local(
    device: Device,
    name: str,
    prepare: Preparation,
    workload: Workload,
    places: Places,
    due: Expected,
) -> Entrant:
    """Someone in this process who computes on these tensors."""
    given = places[0]
    made: list[Prepared] = []
    seconds = 0.0

    def first() -> Any:
        nonlocal seconds
        begin = time.perf_counter()
        prepared = prepare(workload, given)
        result = prepared.call()
        device.wait()
        seconds = time.perf_counter() - begin
        made.append(prepared)
        return result

    on_cpu = device.name == "cpu"
    try:
        peak = None if on_cpu else device.peak(first)
        if on_cpu:
            first()
    except Missing as error:
        raise Refused(str(error)) from error
    (prepared,) = made
    _checked(workload, given, prepared.outcome(), due)
    if on_cpu and name in (OURS, EAGER):
        # The profiler costs time, and a compiler's work is not the workload's.
        peak = device.peak(partial(_twice, prepare, workload, given))
    others = places[1:] if name in ROTATING else []
    calls = [prepared.call, *(prepare(workload, other).call for other in others)]
    return Entrant(
        _moving(device, name, calls),
        _rotated(device, name, prepare, workload, given, prepared) if name in ROTATING else None,
        None if on_cpu else partial(host_seconds, prepared.call, device.wait),
        seconds,
        peak,
    )


def _moving(device: Device, name: str, calls: Sequence[Callable[[], object]]) -> Contestant:
    """Someone who does the same work by one call or another, each on memory of its own."""
    chosen = calls[0]

    def move(number: int) -> None:
        nonlocal chosen
        chosen = calls[number % len(calls)]

    return Contestant(name, lambda count: device.seconds(chosen, count), move)


def _twice(prepare: Preparation, workload: Workload, given: Tensors) -> object:
    prepared = prepare(workload, given)
    prepared.call()
    return prepared, prepared.call()


def _rotated(
    device: Device,
    name: str,
    prepare: Preparation,
    workload: Workload,
    given: Tensors,
    prepared: Prepared,
) -> Contestant | None:
    """The same work on one copy of the data after the other, more than a cache holds."""
    copies = -(-ROTATED_BYTES // workload.least_bytes)
    if device.name == "cpu":
        return None
    if workload.kind is not Kind.FORWARD or copies > MOST_ROTATED:
        return None
    calls = [prepared.call]
    for _ in range(copies - 1):
        copied = {key: tensor.clone() for key, tensor in given.items()}
        calls.append(prepare(workload, copied).call)
    for call in calls:
        call()
    turns = cycle(calls)
    return Contestant(name, partial(device.seconds, lambda: next(turns)()))


def _enter_jax(workload: Workload, places: Places, due: Expected) -> Entrant:
    from . import jax_peer

    given = places[0]
    values = {name: tensor.float().cpu().numpy() for name, tensor in given.items()}
    begin = time.perf_counter()
    try:
        prepared = jax_peer.prepare(workload, values)
    except Missing as error:
        raise Refused(str(error)) from error
    jax_peer.wait(prepared.call())
    first = time.perf_counter() - begin
    _checked(workload, given, prepared.outcome(), due)

    def measure(count: int) -> float:
        # Its calls return before their work is done, on a CPU too.
        begin = time.perf_counter()
        for _ in range(count - 1):
            prepared.call()
        jax_peer.wait(prepared.call())
        return (time.perf_counter() - begin) / count

    return Entrant(Contestant(JAX, measure), None, None, first, None)


def _enter_mxnet(
    mxnet: MXNetProcess | None, workload: Workload, places: Places, due: Expected
) -> Entrant:
    assert mxnet is not None
    first, outcome = mxnet.prepare(workload.name)
    _checked(workload, places[0], outcome, due)

    def measure(count: int) -> float:
        return float(mxnet.ask("measure", count))

    return Entrant(Contestant(MXNET, measure), None, None, first, None)
