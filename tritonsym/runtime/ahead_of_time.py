"""Kernels compiled for a GPU that need not be there, and what the compiler made of them."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ..foundation.errors import MXNetError
from ..kernels import triton_source
from ..kernels.triton_writer import ALIGNMENT, POINTERS, Source
from ..planning.plan import Plan
from ..products.gpus import (
    WARP,
    gpu_of_target,
)
from ..scheduling.schedule import Kernel
from . import module_cache
from .forbidden import findings
from .triton_runtime import LAUNCH_OPTIONS


@dataclass(frozen=True)
class Compiled:
    """A kernel's machine code for one target.

    Attributes:
        registers: per thread.
        spilled: bytes of a thread's stack that are no table: what did not fit the registers.
        shared: bytes of shared memory per program.
        ptx: its code for the abstract machine, as text.
        binary: its code for the real one.
    """

    registers: int
    spilled: int
    shared: int
    ptx: str
    binary: bytes

    @cached_property
    def sass(self) -> str:
        """The binary as text. It takes longer to make than all else."""
        return _report_of(self.binary, "-sass")

    @property
    def uses_tensor_cores(self) -> bool:
        """Whether it multiplies matrices in hardware."""
        return bool(re.search(r"\b(?:mma\.sync|wgmma\.mma_async|tcgen05\.mma)\b", self.ptx))

    @property
    def moves_blocks(self) -> bool:
        """Whether it loads by tensor descriptors."""
        return bool(re.search(r"\bcp\.async\.bulk\.tensor\.\dd\.shared\b", self.ptx))

    @property
    def widest_access(self) -> int:
        """Bits of the widest load from global memory; 0 where there is none but of blocks."""
        loads = re.findall(r"\bld\.global(?:[.:]+\w+)*?(?:\.v(\d))?\.[bfsu](\d+)\b", self.ptx)
        copies = re.findall(r"\bcp\.async\.c[ag]\.\S+ \[.*?\], \[.*?\], 0x(\w+)", self.ptx)
        widths = [int(count or 1) * int(bits) for count, bits in loads]
        return max([*widths, *(8 * int(size, 16) for size in copies)], default=0)


def compile_source(source: Source, target: str) -> Compiled:
    """Compile a kernel for a target, which need not be in the machine.

    Args:
        source: the kernel.
        target: a key of `gpus.BY_TARGET`.

    Raises:
        MXNetError: no such target, or Triton runs as an interpreter in this process.
    """
    capability = gpu_of_target(target).capability
    if triton.knobs.runtime.interpret:
        raise MXNetError("Triton interprets in this process; unset TRITON_INTERPRET to compile")
    function = module_cache.load(source.text).kernel
    names = function.arg_names
    # Arrays begin at multiples of 16 bytes, which 128-bit accesses need.
    constants = {"ALIGNMENT": ALIGNMENT} if source.table else {}
    kinds = ["*i64"] if source.table else [POINTERS[x.dtype.name] for x in source.arguments]
    for number, descriptor in source.descriptors.items():
        kinds[number] = f"tensordesc<{kinds[number][1:]}{list(descriptor.block)}>"
    signature = dict(zip(names, [*kinds, *("constexpr" for _ in constants)], strict=True))
    attributes = {
        (number,): [["tt.divisibility", ALIGNMENT]]
        for number in range(len(kinds))
        if number not in source.descriptors
    }
    compiled = triton.compile(
        ASTSource(fn=function, signature=signature, constexprs=constants, attrs=attributes),
        target=GPUTarget("cuda", capability, WARP),
        options={**LAUNCH_OPTIONS, **source.options},
    )
    ptx, binary = compiled.asm["ptx"], compiled.asm["cubin"]
    usage = dict(re.findall(r"\b(REG|STACK):(\d+)", _report_of(binary, "--dump-resource-usage")))
    tables = sum(map(int, re.findall(r"\.local\s.*\b__local_depot\d+\[(\d+)\]", ptx)))
    spilled = int(usage["STACK"]) - tables
    return Compiled(int(usage["REG"]), spilled, compiled.metadata.shared, ptx, binary)


def _report_of(binary: bytes, question: str) -> str:
    """What a tool that comes with Triton says of machine code, without what it warns of."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(binary)
        command = [str(triton.knobs.nvidia.cuobjdump.path), question, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def compile_plan(plan: Plan, target: str) -> list[tuple[Kernel, Compiled | None]]:
    """Each kernel of a plan, compiled; None for those that a library computes."""
    results: list[tuple[Kernel, Compiled | None]] = []
    for kernel in plan.kernels:
        source = triton_source.write(kernel, plan.layouts, gpu_of_target(target))
        results.append((kernel, None if source is None else compile_source(source, target)))
    return results


def forbidden(kernel: Kernel, compiled: Compiled) -> dict[str, str]:
    """The instructions of a kernel's code that are not exact enough, with the reasons."""
    return findings(compiled.ptx, (x.primitive for x in kernel.body))


def report(results: Sequence[tuple[Kernel, Compiled | None]]) -> str:
    """A line for each kernel with what the compiler says of it, and how exact its code is."""
    lines = [
        "compiled; forbidden is what rounds wrongly, flushes denormals, drops NaN or spills:",
    ]
    for number, (kernel, compiled) in enumerate(results):
        if compiled is None:
            lines.append(f"  {number:3} a library call")
        else:
            lines.append(
                f"  {number:3} {compiled.registers} registers, {compiled.spilled} bytes spilled, "
                f"{compiled.shared} bytes of shared memory"
                f"{f', {compiled.widest_access}-bit loads' if compiled.widest_access else ''}"
                f"{', tensor cores' if compiled.uses_tensor_cores else ''}"
                f"{', tensor descriptors' if compiled.moves_blocks else ''}"
                f", {_exactness(forbidden(kernel, compiled))}"
            )
    return "\n".join(lines)


def _exactness(found: dict[str, str]) -> str:
    """Whether forbidden instructions are absent, in words."""
    if not found:
        return "no forbidden instruction"
    named = (f"{instruction} ({reason})" for instruction, reason in found.items())
    return f"FORBIDDEN: {', '.join(named)}"
