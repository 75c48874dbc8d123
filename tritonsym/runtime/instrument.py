"""Kernels that are watched while they run: compared with the reference, or timed."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial

import torch

from ..expressions.operations import total
from ..expressions.reference import Step
from ..foundation.errors import MXNetError
from ..foundation.switches import Switches
from ..planning.plan import Plan
from ..planning.plan_text import moved
from .program import Buffers
from .rounding import agree, allowed


def watched(
    launches: Sequence[Step], plan: Plan, number: int, buffers: Buffers, switched: Switches
) -> list[Step]:
    """The steps of a kernel, as the switches want them watched."""
    steps = list(launches)
    if switched.validate and plan.in_registers:
        steps = [partial(_validated, steps, plan, number, buffers)]
    if switched.debug > 1:
        steps = [partial(_timed, steps, plan, number, buffers.arena.device)]
    return steps


def _validated(launches: Sequence[Step], plan: Plan, number: int, buffers: Buffers) -> None:
    """Run a kernel and compare what it writes with the reference.

    Raises:
        MXNetError: they differ by more than rounding.
    """
    kernel = plan.kernels[number]
    known = {y: tensor.cpu().clone() for y, tensor in buffers.tensors.items()}
    expected, margins = allowed(kernel.body, kernel.outputs, known)
    for launch in launches:
        launch()
    for x, due, margin in zip(kernel.outputs, expected, margins, strict=True):
        if not agree(buffers.tensors[x].cpu(), due, margin):
            (part,) = (part for part in kernel.each if x in part.outputs)
            raise MXNetError(
                f"kernel {number} ({part.form}: {' '.join(y.primitive for y in part.body)}) "
                f"differs from the reference in {x!r}"
            )


def _timed(launches: Sequence[Step], plan: Plan, number: int, device: torch.device) -> None:
    """Run a kernel and print how long it took."""
    kernel = plan.kernels[number]
    seconds = _seconds(launches, device)
    byte_count, count = moved(plan, kernel), total(kernel.body)
    rate = "operations unknown" if count is None else f"{count / seconds / 1e9:.4g} GFLOP/s"
    print(
        f"kernel {number} {kernel.form}: {seconds * 1e6:.1f} µs, "
        f"{byte_count / seconds / 1e9:.4g} GB/s, {rate}",
        file=sys.stderr,
    )


def _seconds(launches: Sequence[Step], device: torch.device) -> float:
    """How long steps take: on a GPU by its own clock, elsewhere by the host's."""
    if device.type == "cuda":
        begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        begin.record()
        for launch in launches:
            launch()
        end.record()
        end.synchronize()
        return max(float(begin.elapsed_time(end)) / 1e3, 1e-9)
    started = time.perf_counter()
    for launch in launches:
        launch()
    return max(time.perf_counter() - started, 1e-9)
