"""Kernels in Triton's interpreter on guarded memory: what they touch beside it is noticed.

Every array lies between bands of bytes, and so does every value of an arena; bands and everything
that a run has to write first hold NaN or large numbers. A run must leave the bands and its inputs
as they were, and what it reads of them shows in its results.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch

import tritonsym as mx
from tritonsym.context import is_interpreted
from tritonsym.planning import memory
from tritonsym.planning.plan import Plan
from tritonsym.runtime import program
from tritonsym.runtime.program import Pass, Program

# What a program of a pointwise kernel has in one block of 64-bit elements.
BAND = 2**13
# Between the values of an arena: a row of a few elements more.
GAP = 256
# NaN in every floating-point type, -1 or the largest in every integer; then large numbers.
POISONS = (0xFF, 0x72)


class Guarded:
    """A tensor between two bands.

    Args:
        shape, strides: of the tensor, in elements.
        dtype: of its elements.
    """

    def __init__(self, shape: Sequence[int], strides: Sequence[int], dtype: torch.dtype) -> None:
        reach = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        count = 0 if 0 in shape else reach + 1
        self.bytes = torch.empty(2 * BAND + count * dtype.itemsize, dtype=torch.uint8)
        typed = self.bytes[: self.bytes.numel() // dtype.itemsize * dtype.itemsize].view(dtype)
        self.tensor = typed.as_strided(tuple(shape), tuple(strides), BAND // dtype.itemsize)

    @property
    def bands(self) -> torch.Tensor:
        return torch.cat((self.bytes[:BAND], self.bytes[-BAND:]))


def dense(shape: Sequence[int]) -> tuple[int, ...]:
    return torch.empty(tuple(shape), device="meta").stride()


def unused(plan: Plan) -> torch.Tensor:
    """Whether each byte of the arena belongs to no value."""
    free = torch.ones(plan.arena_size, dtype=torch.bool)
    for place in plan.places.values():
        if place.output is None:
            free[place.offset : place.offset + place.size] = False
    return free


class Watch:
    """Makes programs whose runs are watched; counts the runs."""

    def __init__(self, poisons: Sequence[int] | None) -> None:
        # One poison after the other, or all of them at each run.
        self._all = poisons
        self._next = itertools.cycle(POISONS)
        # Outputs, which are made before the program that writes them.
        self._outputs: list[Guarded] = []
        self.runs = 0

    def allocate(self, shape: Any, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """An output."""
        self._outputs.append(Guarded(shape, dense(shape), dtype))
        return self._outputs[-1].tensor

    def program(self, make: Callable[..., Program], *given: Any) -> Program:
        plan, inputs, *rest = given
        if plan.in_place or any(stage.updates for stage in plan.stages):
            return make(*given)  # what replaces an input has to reach the caller's own
        copies = [Guarded(x.shape, x.stride(), x.dtype) for x in inputs]
        with allocations() as made:
            found = make(plan, [copy.tensor for copy in copies], *rest)
        made += [
            one for one in self._outputs if any(one.tensor is x for x in found.buffers.outputs)
        ]
        watched = [
            Pass(
                part.draws,
                [lambda steps=part.steps: self._run(steps, plan, inputs, copies, made)],
                part.updates,
            )
            for part in found.passes
        ]
        return replace(found, passes=watched)

    def _run(
        self,
        steps: Sequence[Callable[[], object]],
        plan: Plan,
        inputs: Sequence[torch.Tensor],
        copies: Sequence[Guarded],
        made: Sequence[Guarded],
    ) -> None:
        results = []
        for poison in self._all or (next(self._next),):
            for memory_ in (*copies, *made):
                memory_.bytes.fill_(poison)
            for copy, given in zip(copies, inputs, strict=True):
                copy.tensor.copy_(given)
            before = [copy.bytes.clone() for copy in copies]
            for step in steps:
                step()
            self.runs += 1
            for number, (copy, held) in enumerate(zip(copies, before, strict=True)):
                assert torch.equal(copy.bytes, held), f"input {number} or what is beside it changed"
            for memory_ in made:
                assert (memory_.bands == poison).all(), "something beside an array was written"
            arena, *outputs = made
            assert (arena.tensor[unused(plan)] == poison).all(), "a gap in the arena was written"
            results.append([output.bytes[BAND:-BAND].clone() for output in outputs])
        for other in results[1:]:
            same = all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))
            assert same, "results depend on what memory held before"


@contextmanager
def allocations() -> Iterator[list[Guarded]]:
    """The memory that a program makes within: its arena, and then its outputs."""
    made: list[Guarded] = []

    def allocate(shape: Any, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        made.append(Guarded(shape, dense(shape), dtype))
        return made[-1].tensor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "allocate", allocate)
        yield made


@contextmanager
def guarded(poisons: Sequence[int] | None = None) -> Iterator[Watch]:
    """Everything that is interpreted within is watched.

    Args:
        poisons: to run with each of them and compare; one after the other where it is None.
    """
    from tritonsym.runtime import triton_runtime

    watch, make, aligned = Watch(poisons), triton_runtime.program, memory.aligned
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "allocate", watch.allocate)
        patch.setattr(triton_runtime, "program", lambda *given: watch.program(make, *given))
        patch.setattr(memory, "aligned", lambda size: aligned(size) + GAP)
        yield watch


def guarded_where_interpreted(
    context: mx.Context, poisons: Sequence[int] | None = None
) -> AbstractContextManager[Watch | None]:
    """`guarded`, on a context whose kernels Triton interprets; nothing on any other."""
    interpreted = context.device_type == "gpu" and is_interpreted()
    return guarded(poisons) if interpreted else nullcontext()
