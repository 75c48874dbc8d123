"""Kernels compiled for a GPU that need not be there, and what the compiler made of them."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

_BLACKWELL = 100  # ten times its compute capability


@dataclass(frozen=True)
class Compiled:
    """A kernel's machine code for one target.

    Attributes:
        registers: per thread.
        spilled: bytes per thread that did not fit the registers.
        shared: bytes of shared memory per program.
        ptx, sass: its code as text, for the abstract and the real machine.
    """

    registers: int
    spilled: int
    shared: int
    ptx: str
    sass: str

    @property
    def uses_tensor_cores(self) -> bool:
        """Whether it multiplies matrices in hardware."""
        return bool(re.search(r"\b(?:HGMMA|HMMA|DMMA|IGMMA|IMMA|UTC\w*MMA)\b", self.sass))

    @property
    def moves_blocks(self) -> bool:
        """Whether it loads by tensor descriptors."""
        return bool(re.search(r"\bUTMALDG\b", self.sass))

    @property
    def widest_access(self) -> int:
        """Bits of the widest load from global memory."""
        widths = re.findall(r"LDG(?:STS)?\.E(?:\.[A-Z]\w*)*?\.(128|64)\b", self.sass)
        return max((int(width) for width in widths), default=32)


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
    # Triton compiles for the variant of the chip with all its instructions.
    variant = target + ("a" if capability >= 90 else "")
    registers, spilled = _resources(compiled.asm["ptx"], variant, _assembler(capability))
    shared, sass = compiled.metadata.shared, _disassembled(compiled.asm["cubin"])
    return Compiled(registers, spilled, shared, compiled.asm["ptx"], sass)


def _resources(ptx: str, variant: str, assembler: str) -> tuple[int, int]:
    """Registers and spilled bytes, from the assembler's own report."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(ptx)
        report = subprocess.run(
            [assembler, "-v", f"--gpu-name={variant}", str(path), "-o", f"{folder}/kernel"],
            capture_output=True,
            text=True,
            check=True,
        ).stderr
    registers = re.search(r"Used (\d+) registers", report)
    spilled = re.search(r"(\d+) bytes spill stores", report)
    return int(registers[1]) if registers else 0, int(spilled[1]) if spilled else 0


def _disassembled(cubin: bytes) -> str:
    """The instructions of machine code, without what the tool warns of."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        tool = str(triton.knobs.nvidia.cuobjdump.path)
        return subprocess.run(
            [tool, "-sass", str(path)], capture_output=True, text=True, check=True
        ).stdout


def _assembler(capability: int) -> str:
    """The assembler that comes with Triton, which from some capability on is another one."""
    tools = triton.knobs.nvidia
    tool: Any = tools.ptxas_blackwell if capability >= _BLACKWELL else tools.ptxas
    return str(tool.path)


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
                f"{compiled.shared} bytes of shared memory, {compiled.widest_access}-bit loads"
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
