"""Plans on the CPU: a flat list of torch calls, prepared once on memory that stays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from .dtype import DType
from .expr import Expr, toposort
from .layout import contiguous
from .philox import RandomState
from .plan import Plan, Tiling
from .reference import Step, Tensor, prepare, scalar


class Program:
    """A plan on arrays: :meth:`run` computes the outputs from what the inputs then hold.

    Args:
        plan: made for arrays of these shapes, dtypes and strides.
        inputs: the tensors that ``input`` expressions name.
        state: where random numbers are drawn from.
    """

    def __init__(self, plan: Plan, inputs: Sequence[Tensor], state: RandomState) -> None:
        self._plan = plan
        self._inputs = inputs
        self._state = state
        self._typed: dict[DType, Tensor] = {}
        # Whole elements of every dtype fit into the arena's length.
        self._arena = torch.empty(plan.arena_size, dtype=torch.uint8)
        self.outputs = [torch.zeros(x.shape, dtype=x.dtype.torch) for x in plan.outputs]
        self._tensors: dict[Expr, Tensor] = {}
        self._inner: set[Expr] = set()
        for kernel in plan.tilings:
            self._inner.update(set(kernel.body).difference(kernel.outputs))
        for x in toposort(plan.outputs):
            if x not in self._inner:
                self._tensors[x] = self._tensor(x)
        self.steps = self._prepare()
        self._tensors.clear()

    def run(self) -> None:
        """Compute the outputs."""
        for step in self.steps:
            step()

    def _tensor(self, x: Expr) -> Tensor:
        if x.primitive == "constant":
            return scalar(x)
        if x.primitive == "input":
            return self._inputs[x.integer("index")]
        layout = self._plan.layouts[x]
        if layout.base is not x:
            base = self._tensors[layout.base]
            offset = base.storage_offset() + layout.offset
            return base.as_strided(x.shape, layout.strides, offset)
        place = self._plan.places[x]
        if place.output is not None:
            return self.outputs[place.output].view(x.shape)
        return self._from_arena(x, x.shape)

    def _from_arena(self, x: Expr, shape: tuple[int, ...]) -> Tensor:
        if x.dtype not in self._typed:
            self._typed[x.dtype] = self._arena.view(x.dtype.torch)
        typed = self._typed[x.dtype]
        offset = self._plan.places[x].offset // x.dtype.itemsize
        return typed.as_strided(shape, contiguous(shape), offset)

    def _prepare(self) -> list[Step]:
        steps: list[Step] = []
        for kernel in self._plan.kernels:
            tiling = self._plan.tilings.get(kernel)
            if tiling is not None:
                steps += self._tiles(kernel.body, tiling)
                continue
            for x in kernel.body:
                inputs = [self._tensors[y] for y in x.inputs]
                steps.append(prepare(x, inputs, self._tensors[x], self._state))
        for number in self._plan.copies:
            source = self._tensors[self._plan.outputs[number]]
            steps.append(partial(self.outputs[number].copy_, source))
        return steps

    def _tiles(self, body: Sequence[Expr], tiling: Tiling) -> list[Step]:
        steps: list[Step] = []
        row = body[0].shape[1:] if not tiling.flat else ()
        whole = {
            y: (self._tensors[y].view(-1) if tiling.flat and y.shape != () else self._tensors[y])
            for x in body
            for y in (x, *x.inputs)
            if y not in self._inner
        }
        inner = {x: self._from_arena(x, (tiling.rows, *row)) for x in body if x in self._inner}
        for start in range(0, tiling.length, tiling.rows):
            stop = min(start + tiling.rows, tiling.length)
            tile = {x: tensor[: stop - start] for x, tensor in inner.items()}
            tile.update({y: t if y.shape == () else t[start:stop] for y, t in whole.items()})
            for x in body:
                steps.append(prepare(x, [tile[y] for y in x.inputs], tile[x], self._state))
        return steps
