"""Plans as Triton kernels: each kernel's text loaded, and its launch prepared.

Where the environment says `TRITON_INTERPRET=1` and there is no GPU, the same kernels run in
Triton's interpreter on CPU memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import MappingProxyType

from . import module_cache, triton_source
from .context import Context, torch_device
from .philox import RandomState
from .plan import Plan
from .program import Buffers, Program
from .reference import Step, Tensor, prepare
from .schedule import Kernel

# Without these, fused and separate kernels differ in the last bit, and denormals become zero.
LAUNCH_OPTIONS = MappingProxyType({"enable_fp_fusion": False, "enable_reflect_ftz": False})


def program(plan: Plan, inputs: Sequence[Tensor], state: RandomState, context: Context) -> Program:
    """The kernel launches of a plan, on memory of their own.

    Args:
        plan: made for arrays of these shapes, dtypes and strides.
        inputs: the tensors that ``input`` expressions name.
        state: where random numbers are drawn from.
        context: the GPU.
    """
    buffers = Buffers(plan, inputs, torch_device(context))
    steps = [step for kernel in plan.kernels for step in _steps(kernel, plan, buffers, state)]
    return Program(buffers, steps + buffers.copies())


def _steps(kernel: Kernel, plan: Plan, buffers: Buffers, state: RandomState) -> list[Step]:
    source = triton_source.write(kernel, plan.layouts)
    if source is None:
        return [
            prepare(x, [buffers.tensors[y] for y in x.inputs], buffers.tensors[x], state)
            for x in kernel.body
        ]
    launch = module_cache.load(source.text).kernel[(source.programs,)]
    pointers = [buffers.tensors[x] for x in source.arguments]
    return [partial(launch, *pointers, **LAUNCH_OPTIONS, **source.options)]
