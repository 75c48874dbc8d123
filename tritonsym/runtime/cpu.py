"""Plans on the CPU: a flat list of torch calls, prepared once on memory that stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from ..expressions.expr import Expr
from ..expressions.philox import RandomState
from ..expressions.reference import Step, Tensor, prepare_tile
from ..foundation.switches import Switches
from ..planning.plan import Plan
from ..rewrites.torch_norms import Norm, with_norms
from ..rewrites.torch_updates import Adam, with_updates
from ..scheduling.tiling import Box, Tiling
from .instrument import watched
from .program import Buffers, Program

# What one torch call computes: an expression, or several at once.
Call = Expr | Adam | Norm


def program(
    plan: Plan,
    inputs: Sequence[Tensor],
    state: RandomState,
    switched: Switches | None = None,
    outputs: Sequence[Tensor | None] = (),
) -> Program:
    """The torch calls of a plan, on memory of their own.

    Args:
        plan: made for arrays of these shapes, dtypes and strides.
        inputs: the tensors that ``input`` expressions name.
        state: where random numbers are drawn from.
        switched: how to watch the kernels; not at all where it is not said.
        outputs: memory for the outputs, or None where it is to be made.
    """
    buffers = Buffers(plan, inputs, torch.device("cpu"), outputs)
    in_place = {plan.outputs[number]: plan.replaced[number] for number in plan.in_place}
    launches = []
    for kernel in plan.kernels:
        updated = with_updates(kernel.body, kernel.outputs, in_place, plan.layouts)
        calls = with_norms(updated, kernel.outputs)
        launches.append(_steps(calls, plan.tilings.get(kernel), buffers))
    if switched is not None:
        launches = [
            watched(steps, plan, number, buffers, switched) for number, steps in enumerate(launches)
        ]
    return Program(buffers, buffers.passes(launches, state))


def _steps(calls: Sequence[Call], tiling: Tiling | None, buffers: Buffers) -> list[Step]:
    """The prepared calls of a kernel, once for each tile where it has tiles."""
    if tiling is None:
        return [_prepared(call, buffers.tensors.__getitem__, lambda x: 0) for call in calls]

    def part(box: Box, y: Expr) -> Tensor:
        """What a tile has of a value."""
        if y in buffers.inner:
            return buffers.from_arena(y, tiling.shape_in(box, y))
        if y not in buffers.tensors:
            # A row's result, repeated along the row.
            return part(box, y.inputs[0]).expand(tiling.shape_in(box, y))
        whole = buffers.tensors[y]
        if y.shape == () or y.primitive == "draw":
            return whole
        if tiling.flat:
            whole = whole.as_strided((y.size,), (1 if any(whole.stride()) else 0,))
        return whole[box]

    return [
        _prepared(call, partial(part, box), partial(tiling.position, box))
        for box in tiling.boxes()
        for call in calls
    ]


def _prepared(call: Call, part: Callable[[Expr], Tensor], start: Callable[[Expr], int]) -> Step:
    """A call on parts of values, which begin at a position in row-major order."""
    if isinstance(call, Expr):
        return prepare_tile(call, [part(y) for y in call.inputs], part(call), start(call))
    return call.prepare(part)
