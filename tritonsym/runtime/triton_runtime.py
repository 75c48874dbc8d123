"""Plans as Triton kernels: each kernel's text loaded and compiled, and its launch prepared.

Where the environment says `TRITON_INTERPRET=1` and there is no GPU, the same kernels run in
Triton's interpreter on CPU memory.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from types import MappingProxyType

import torch
import triton

from ..context import Context, torch_device
from ..expressions.philox import RandomState
from ..expressions.reference import Step, Tensor, prepare
from ..foundation.switches import Switches
from ..kernels import triton_source
from ..kernels.triton_writer import ALIGNMENT, Source
from ..planning.plan import Plan
from ..products.gpus import Gpu, gpu_of
from ..products.tensor_descriptor import UNIT
from ..scheduling.schedule import Kernel
from . import module_cache, tuning
from .cuda_graph import Launched, StreamOrder, on_device, recorder
from .instrument import watched
from .kernel_launch import Launch, arguments_on, compile_all
from .program import Buffers, Pass, Program, run

# Triton trusts what it finds in its cache, so it has one in our folder, which is the user's alone.
os.environ.setdefault("TRITON_CACHE_DIR", str(module_cache.folder() / "triton"))

# So many kernels are launched sooner one by one than as a graph, of which one alone takes 5 µs on
# an H200, whatever it holds.
FEW = 2
_FEW_COST_LESS = "a graph of so few would cost more"

# Without these, fused and separate kernels differ in the last bit, and denormals become zero.
LAUNCH_OPTIONS = MappingProxyType({"enable_fp_fusion": False, "enable_reflect_ftz": False})


def program(
    plan: Plan,
    inputs: Sequence[Tensor],
    state: RandomState,
    context: Context,
    switched: Switches,
    outputs: Sequence[Tensor | None] = (),
) -> Program:
    """The kernel launches of a plan, on memory of their own; all kernels are compiled.

    Args:
        plan: made for arrays of these shapes, dtypes and strides.
        inputs: the tensors that ``input`` expressions name.
        state: where random numbers are drawn from.
        context: the GPU.
        switched: whether to print the kernels' text, and how to watch them.
        outputs: memory for the outputs, or None where it is to be made.
    """
    buffers = Buffers(plan, inputs, torch_device(context), outputs)
    gpu = gpu_of(context)
    launches: list[Launch] = []
    steps: list[list[Step]] = []
    for number, kernel in enumerate(plan.kernels):
        source = _source(kernel, plan, gpu, buffers, switched)
        if source is None:
            of_kernel = [
                prepare(x, [buffers.tensors[y] for y in x.inputs], buffers.tensors[x])
                for x in kernel.body
            ]
        else:
            if switched.debug > 3:
                print(source.text, file=sys.stderr)
            launch = _on_memory(kernel, source, buffers)
            launches.append(launch)
            of_kernel = [launch]
        steps.append(watched(of_kernel, plan, number, buffers, switched))
    on_device(partial(compile_all, launches), buffers.arena.device)()
    return Program(buffers, buffers.passes(steps, state))


def _on_memory(kernel: Kernel, source: Source, buffers: Buffers) -> Launch:
    """A kernel's launch on its memory, or on a table of where it is."""
    if not source.table:
        return _launch(kernel, source, [buffers.tensors[x] for x in source.arguments])
    table = buffers.table([address.value for address in source.table])
    in_runs = [address.in_runs for address in source.table]
    addresses = [n for n, counts in zip(table.tolist(), in_runs, strict=True) if counts]
    alignment = ALIGNMENT if all(n % ALIGNMENT == 0 for n in addresses) else 1
    launch = _launch(kernel, source, [table])
    return replace(launch, options={**launch.options, "ALIGNMENT": alignment})


def _launch(kernel: Kernel, source: Source, tensors: Sequence[Tensor]) -> Launch:
    return Launch(
        f"{kernel.form} {' '.join(x.primitive for x in kernel.body)}",
        module_cache.load(source.text).kernel,
        source.programs,
        arguments_on(source, tensors),
        {**LAUNCH_OPTIONS, **source.options},
    )


def _source(
    kernel: Kernel, plan: Plan, gpu: Gpu, buffers: Buffers, switched: Switches
) -> Source | None:
    """A kernel's source; of a product the fastest one, if it is to be timed and can be."""
    if kernel.form != "matmul":
        return triton_source.write(kernel, plan.layouts, gpu)
    choices = triton_source.choices(kernel, plan.layouts, gpu)
    if not all(_is_aligned(source, buffers) for source in choices):
        choices = triton_source.choices(kernel, plan.layouts, gpu, descriptors=False)
    measure = _timer(buffers.arena.device) if switched.tuning else None
    if measure is None:
        return choices[0]

    def seconds(number: int) -> float:
        source = choices[number]
        tensors = [buffers.tensors[x] for x in source.arguments]
        # What a caller's outputs hold is not for a measurement to change.
        outputs = [torch.empty_like(t) for t in tensors[-source.output_count :]]
        launch = _launch(kernel, source, [*tensors[: -source.output_count], *outputs])
        try:
            on_device(partial(compile_all, [launch]), buffers.arena.device)()
            return measure(launch)
        except triton.errors.TritonError:  # of one choice, such as too much shared memory
            return math.inf

    facts = {"gpu": repr(gpu), "triton": triton.__version__, "torch": torch.__version__}
    return choices[tuning.fastest(choices, facts, seconds)]


def _is_aligned(source: Source, buffers: Buffers) -> bool:
    """Whether what a kernel moves in blocks begins where it must, which a caller's need not."""
    described = (buffers.tensors[source.arguments[number]] for number in source.descriptors)
    return all(tensor.data_ptr() % UNIT == 0 for tensor in described)


def _timer(device: torch.device) -> Callable[[Step], float] | None:
    """What tells how long a launch takes; only a GPU's own clock can."""
    return partial(tuning.device_seconds, device=device) if device.type == "cuda" else None


def _few(steps: Sequence[Step], device: torch.device) -> list[Step] | None:
    """The launches of steps that are few and nothing else, or None."""
    launches = [step for step in steps if isinstance(step, Launch) and step.is_plain]
    if len(launches) < len(steps) or len(launches) > FEW:
        return None
    with torch.cuda.device(device):  # on which they are compiled
        return [launch.on_addresses(device) for launch in launches]


def graphed(program: Program, switched: Switches) -> Program:
    """The same program, with the launches of each pass as one CUDA graph; on a GPU alone.

    An operator in Python is no launch: it runs between the graphs of those before and after it.

    Args:
        program: all of whose steps are on one device.
        switched: whether there are to be graphs, and what else must see each kernel.
    """
    buffers = program.buffers
    device = buffers.arena.device
    if device.type != "cuda":
        return program
    if not switched.graphs:
        note = "the switch graphs is off"
    elif switched.validate or switched.debug > 1:
        note = "the switches watch each of them"
    else:
        note = ""
    record = None if note else recorder(device)

    def launched(steps: Sequence[Step]) -> list[Step]:
        found: list[Step] = [order] if steps else []
        pieces = [(is_python, [*piece]) for is_python, piece in groupby(steps, buffers.is_python)]
        for is_python, piece in pieces:
            few = None if note else _few(piece, device)
            if few is not None:
                found.append(Launched(partial(run, few, buffers), None, _FEW_COST_LESS))
                continue
            launch = on_device(partial(run, piece, buffers), device)
            whole = len(pieces) == 1
            found.append(launch if is_python else Launched(launch, record, note, whole))
        return found

    order = StreamOrder(device, program.memory)
    return replace(
        program,
        passes=[
            Pass([order, *part.draws], launched(part.steps), launched(part.updates))
            for part in program.passes
        ],
        order=order,
    )
