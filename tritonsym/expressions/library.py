"""One call of a library as an expression."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..foundation.dtype import DType
from ..foundation.shape import Shape
from .exactness import exactly
from .expr import Expr, make
from .reference import Step, Tensor

# From attributes, input tensors and the output tensor to a prepared call.
Native = Callable[[Any, list[Tensor], Tensor], Step]
# From a call and the gradient of its result to the gradient of each input; None where it is zero.
CallGradient = Callable[[Expr, Expr], Sequence[Expr | None]]


@dataclass(frozen=True)
class Returned:
    """A call whose result is in new memory: it is copied to its place, or computed with at once.

    Attributes:
        prepare: as of other calls, but for a call that returns the result, near in its order of
            elements to the output tensor.
    """

    prepare: Callable[[Any, list[Tensor], Tensor], Callable[[], Tensor]]

    def __call__(self, attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
        compute = self.prepare(attributes, inputs, out)
        return exactly(lambda: out.copy_(compute()), out)


def library_call(
    function: Native,
    name: str,
    inputs: Sequence[Expr],
    attributes: Hashable,
    shape: Shape,
    dtype: DType,
    elementwise: bool = False,
    python: bool = False,
    channels_last: bool = False,
    by_rows: bool = False,
    gradient: CallGradient | None = None,
    operations: int | None = None,
) -> Expr:
    """One call of a library: ``function(attributes, input tensors, output tensor)`` prepares it.

    Args:
        function: must serve tensors of every device that the operator is to run on.
        name: for a person, in plans.
        inputs: what it reads.
        attributes: handed to ``function``; equal ones with equal texts are one value.
        shape, dtype: of the result.
        elementwise: whether element i of the result depends on element i of each input alone.
        python: whether it runs a caller's Python, which no recording of kernels contains.
        channels_last: whether it is faster where the second axis of its result runs along the
            memory.
        by_rows: whether each row of the result, its last axis, is computed from one row of the
            first input, of which there may be any number.
        gradient: of its inputs, as expressions; it raises a LoweringError where there is none.
        operations: how many steps on numbers it takes; one for each element where it is elementwise
            and this is None, else not known.
    """
    if operations is None and elementwise:
        operations = math.prod(shape)
    return make(
        "native",
        *inputs,
        function=function,
        name=name,
        attributes=attributes,
        key=repr(attributes),  # 0.0 and -0.0 are equal, and must not be one value
        elementwise=elementwise,
        python=python,
        channels_last=channels_last,
        by_rows=by_rows,
        gradient=gradient,
        operations=operations,
        shape=shape,
        dtype=dtype,
    )


def computable(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors in a dtype that convolutions and recurrent layers have: on a CPU 32 bits."""
    if tensors[0].device.type == "cpu" and tensors[0].dtype in (torch.float16, torch.bfloat16):
        return [tensor.float() for tensor in tensors]
    return list(tensors)
