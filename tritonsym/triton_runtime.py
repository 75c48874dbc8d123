"""Plans as Triton kernels: each kernel's text loaded, and its launch prepared.

Where the environment says `TRITON_INTERPRET=1` and there is no GPU, the same kernels run in
Triton's interpreter on CPU memory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from types import MappingProxyType

import torch

from . import module_cache, triton_source
from .context import Context, torch_device
from .errors import MXNetError
from .philox import RandomState
from .plan import Plan
from .program import Buffers, Program
from .reference import Step, Tensor, evaluate_within, prepare
from .schedule import Kernel
from .switches import Switches
from .triton_writer import Source

# Triton trusts what it finds in its cache, so it has one in our folder, which is the user's alone.
os.environ.setdefault("TRITON_CACHE_DIR", str(module_cache.folder() / "triton"))

# Without these, fused and separate kernels differ in the last bit, and denormals become zero.
LAUNCH_OPTIONS = MappingProxyType({"enable_fp_fusion": False, "enable_reflect_ftz": False})

# Relative and absolute differences that the order of a sum may make.
VALIDATION_TOLERANCE = {"float16": 2e-2, "bfloat16": 1e-1, "float32": 1e-4, "float64": 1e-9}


def program(
    plan: Plan,
    inputs: Sequence[Tensor],
    state: RandomState,
    context: Context,
    switched: Switches,
    outputs: Sequence[Tensor | None] = (),
) -> Program:
    """The kernel launches of a plan, on memory of their own.

    Args:
        plan: made for arrays of these shapes, dtypes and strides.
        inputs: the tensors that ``input`` expressions name.
        state: where random numbers are drawn from.
        context: the GPU.
        switched: whether to print the kernels' text, and to compare each with the reference.
        outputs: memory for the outputs, or None where it is to be made.
    """
    buffers = Buffers(plan, inputs, torch_device(context), outputs)
    steps: list[list[Step]] = []
    for number, kernel in enumerate(plan.kernels):
        source = triton_source.write(kernel, plan.layouts)
        if source is not None and switched.debug > 1:
            print(source.text, file=sys.stderr)
        launches = _launches(kernel, source, buffers)
        if switched.validate:
            launches = [partial(_validated, number, kernel, launches, buffers)]
        steps.append(launches)
    return Program(buffers, buffers.passes(steps, state))


def _launches(kernel: Kernel, source: Source | None, buffers: Buffers) -> list[Step]:
    """The calls that run a kernel: its launch, or a library's function."""
    if source is None:
        return [
            prepare(x, [buffers.tensors[y] for y in x.inputs], buffers.tensors[x])
            for x in kernel.body
        ]
    launch = module_cache.load(source.text).kernel[(source.programs,)]
    pointers = [buffers.tensors[x] for x in source.arguments]
    return [partial(launch, *pointers, **LAUNCH_OPTIONS, **source.options)]


def _validated(number: int, kernel: Kernel, launches: Sequence[Step], buffers: Buffers) -> None:
    """Run a kernel and compare what it writes with the reference.

    Raises:
        MXNetError: they differ by more than rounding.
    """
    known = {y: tensor.cpu().clone() for y, tensor in buffers.tensors.items()}
    expected = evaluate_within(kernel.body, kernel.outputs, known)
    for launch in launches:
        launch()
    for x, due in zip(kernel.outputs, expected, strict=True):
        found = buffers.tensors[x].cpu()
        bound = VALIDATION_TOLERANCE.get(x.dtype.name, 0.0)
        if not torch.allclose(found.double(), due.double(), bound, bound, equal_nan=True):
            raise MXNetError(
                f"kernel {number} ({kernel.form}: {' '.join(y.primitive for y in kernel.body)}) "
                f"differs from the reference in {x!r}"
            )
