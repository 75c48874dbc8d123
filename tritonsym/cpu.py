"""Plans on the CPU: a flat list of torch calls, prepared once on memory that stays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from .expr import Expr
from .instrument import watched
from .philox import RandomState
from .plan import Plan
from .program import Buffers, Program
from .reference import Step, Tensor, prepare, prepare_tile
from .schedule import Kernel
from .switches import Switches
from .tiling import Box, Tiling
from .torch_norms import Norm, with_norms
from .torch_updates import Adam, with_updates


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
    launches = [_steps(kernel, plan, buffers) for kernel in plan.kernels]
    if switched is not None:
        launches = [
            watched(steps, plan, number, buffers, switched) for number, steps in enumerate(launches)
        ]
    return Program(buffers, buffers.passes(launches, state))


def _steps(kernel: Kernel, plan: Plan, buffers: Buffers) -> list[Step]:
    """The calls that compute a kernel."""
    in_place = {plan.outputs[number]: plan.replaced[number] for number in plan.in_place}
    work = with_norms(
        with_updates(kernel.body, kernel.outputs, in_place, plan.layouts), kernel.outputs
    )
    tiling = plan.tilings.get(kernel)
    if tiling is not None:
        return _tiles(work, tiling, buffers)
    whole = buffers.tensors.__getitem__
    return [
        prepare(x, [whole(y) for y in x.inputs], whole(x))
        if isinstance(x, Expr)
        else x.prepare(whole)
        for x in work
    ]


def _tiles(work: Sequence[Expr | Adam | Norm], tiling: Tiling, buffers: Buffers) -> list[Step]:
    """The steps of a kernel, once for each tile."""

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
        prepare_tile(x, [part(box, y) for y in x.inputs], part(box, x), tiling.position(box, x))
        if isinstance(x, Expr)
        else x.prepare(partial(part, box))
        for box in tiling.boxes()
        for x in work
    ]
