"""Plans on the CPU: a flat list of torch calls, prepared once on memory that stays."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from .expr import Expr
from .philox import RandomState
from .plan import Plan, Tiling
from .program import Buffers, Program
from .reference import Step, Tensor, prepare, prepare_tile


def program(plan: Plan, inputs: Sequence[Tensor], state: RandomState) -> Program:
    """The torch calls of a plan, on memory of their own.

    Args:
        plan: made for arrays of these shapes, dtypes and strides.
        inputs: the tensors that ``input`` expressions name.
        state: where random numbers are drawn from.
    """
    buffers = Buffers(plan, inputs, torch.device("cpu"))
    steps = buffers.draws(state)
    for kernel in plan.kernels:
        tiling = plan.tilings.get(kernel)
        if tiling is not None:
            steps += _tiles(kernel.body, tiling, buffers)
            continue
        for x in kernel.body:
            operands = [buffers.tensors[y] for y in x.inputs]
            steps.append(prepare(x, operands, buffers.tensors[x]))
    return Program(buffers, steps + buffers.copies())


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
