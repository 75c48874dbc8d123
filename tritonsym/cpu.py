"""Plans on the CPU: a flat list of torch calls, prepared once on memory that stays."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from .expr import Expr
from .instrument import watched
from .philox import RandomState
from .plan import Plan, Tiling
from .program import Buffers, Program
from .reference import Step, Tensor, prepare, prepare_tile
from .schedule import Kernel
from .switches import Switches


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
    launches = [_steps(kernel, plan.tilings.get(kernel), buffers) for kernel in plan.kernels]
    if switched is not None:
        launches = [
            watched(steps, plan, number, buffers, switched) for number, steps in enumerate(launches)
        ]
    return Program(buffers, buffers.passes(launches, state))


def _steps(kernel: Kernel, tiling: Tiling | None, buffers: Buffers) -> list[Step]:
    """The calls that compute a kernel."""
    if tiling is not None:
        return _tiles(kernel.body, tiling, buffers)
    return [
        prepare(x, [buffers.tensors[y] for y in x.inputs], buffers.tensors[x]) for x in kernel.body
    ]


def _tiles(body: Sequence[Expr], tiling: Tiling, buffers: Buffers) -> list[Step]:
    """The steps of a kernel, once for each tile."""
    steps: list[Step] = []
    row = () if tiling.flat else body[0].shape[1:]
    whole = {
        y: buffers.tensors[y].view(-1) if tiling.flat and y.shape != () else buffers.tensors[y]
        for x in body
        for y in (x, *x.inputs)
        if y not in buffers.inner
    }
    # What all tiles read as it is.
    common = {y for y in whole if y.shape == () or y.primitive == "draw"}
    inner = {x: buffers.from_arena(x, (tiling.rows, *row)) for x in body if x in buffers.inner}
    for start in range(0, tiling.length, tiling.rows):
        stop = min(start + tiling.rows, tiling.length)
        tile = {x: tensor[: stop - start] for x, tensor in inner.items()}
        tile.update({y: t if y in common else t[start:stop] for y, t in whole.items()})
        position = start * math.prod(row)
        steps += [prepare_tile(x, [tile[y] for y in x.inputs], tile[x], position) for x in body]
    return steps
