"""One kernel per function of `triton_math`, run by the interpreter or compiled to PTX, and a lint.

Triton decides at its import whether it interprets, so that each mode gets a process of its own:
`interpret` and `compile_all` start one. The lint knows what makes PTX inexact.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from tritonsym import expr
from tritonsym.dtype import ALL, BOOL, DType

BLOCK = 1024
ARCHITECTURES = (80, 90)
# What the runtime asks for: products and sums are rounded apart, and denormals are kept.
OPTIONS = {"num_warps": 4, "enable_fp_fusion": False, "enable_reflect_ftz": False}
TRITON_NAMES = {
    "bool": "int1",
    **{dtype.name: dtype.name for dtype in ALL if dtype is not BOOL},
}
POINTERS = {
    "float16": "*fp16",
    "bfloat16": "*bf16",
    "float32": "*fp32",
    "float64": "*fp64",
    "int8": "*i8",
    "uint8": "*u8",
    "int32": "*i32",
    "int64": "*i64",
    "bool": "*i1",
}


@dataclass(frozen=True)
class Case:
    """A kernel: one primitive on operands of one dtype (a choice has a bool operand before)."""

    primitive: str
    dtype: DType
    result: DType

    @property
    def name(self) -> str:
        suffix = f"_{self.result}" if self.primitive == "cast" else ""
        return f"{self.primitive}_{self.dtype}{suffix}"

    @property
    def inputs(self) -> tuple[DType, ...]:
        if self.primitive == "where":
            return (BOOL, self.dtype, self.dtype)
        return (self.dtype,) * (2 if self.primitive in BINARY else 1)

    def expression(self, length: int) -> expr.Expr:
        """The primitive on arrays of ``length`` elements."""
        arrays = [expr.input_(i, (length,), dtype) for i, dtype in enumerate(self.inputs)]
        if self.primitive == "cast":
            return expr.make("cast", *arrays, dtype=self.result)
        return expr.make(self.primitive, *arrays)

    def source(self) -> str:
        """The kernel's text, in the manner of generated ones."""
        pointers = [f"p{i}" for i in range(len(self.inputs))]
        lines = [
            "@triton.jit",
            f"def {self.name}({', '.join(pointers)}, out, BLOCK: tl.constexpr):",
            "    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)",
        ]
        operands = []
        for pointer, dtype in zip(pointers, self.inputs, strict=True):
            lines.append(f"    x{pointer} = tl.load({pointer} + i)")
            operands.append(widened(f"x{pointer}", dtype))
        name = f"{self.primitive}_" if self.primitive in ("and", "or", "not") else self.primitive
        if self.primitive == "cast":
            operands.append(f"tl.{TRITON_NAMES[self.result.name]}")
        value = f"math.{name}({', '.join(operands)})"
        if self.result.is_reduced and self.primitive != "cast":
            value = f"math.cast({value}, tl.{self.result})"
        return "\n".join([*lines, f"    tl.store(out + i, {value})", ""])


BINARY = frozenset(
    "add sub mul div mod pow maximum minimum hypot eq ne lt le gt ge and or".split()
)
HEADER = """\
import triton
import triton.language as tl

from tritonsym import triton_math as math
"""


def widened(name: str, dtype: DType) -> str:
    """The text of a block as it is computed with."""
    return f"math.cast({name}, tl.float32)" if dtype.is_reduced else name


def imported(path: Path) -> ModuleType:
    """The module in a file; Triton reads the text of kernels from there."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- in a process of its own -------------------------------------------------------------------


def in_process(function: str, folder: Path, payload: Any, *, interpreted: bool) -> Any:
    """What the function of this module makes of the payload, where Triton interprets or not."""
    torch.save(payload, folder / "payload.pt")
    environment = os.environ | {
        "TRITON_INTERPRET": str(int(interpreted)),
        "TRITON_CACHE_DIR": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = [sys.executable, "-W", "error", __file__, function, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "answer.pt", weights_only=False)


def interpret(folder: Path, runs: Sequence[tuple[Case, list[torch.Tensor]]]) -> list[torch.Tensor]:
    """Run each kernel on arrays of whole blocks."""
    path = folder / "interpreted_kernels.py"
    path.write_text("\n\n".join([HEADER, *(case.source() for case, _ in runs)]))
    kernels = imported(path)
    results = []
    for case, arrays in runs:
        out = torch.empty(arrays[0].shape, dtype=case.result.torch)
        grid = (arrays[0].numel() // BLOCK,)
        getattr(kernels, case.name)[grid](*arrays, out, BLOCK, **OPTIONS)
        results.append(out)
    return results


def compile_all(folder: Path, cases: Sequence[Case]) -> dict[tuple[str, int], str]:
    """The PTX of each kernel on each architecture."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    path = folder / "compiled_kernels.py"
    path.write_text("\n\n".join([HEADER, *(case.source() for case in cases)]))
    kernels = imported(path)
    texts = {}
    for case in cases:
        signature = {f"p{i}": POINTERS[dtype.name] for i, dtype in enumerate(case.inputs)}
        signature |= {"out": POINTERS[case.result.name], "BLOCK": "constexpr"}
        for architecture in ARCHITECTURES:
            source = ASTSource(getattr(kernels, case.name), signature, {"BLOCK": 128})
            target = GPUTarget("cuda", architecture, 32)
            texts[case.name, architecture] = triton.compile(source, target, OPTIONS).asm["ptx"]
    return texts


# ---- the lint ----------------------------------------------------------------------------------

INSTRUCTION = re.compile(r"^\s*(?:@!?%p\d+\s+)?([a-z][\w.:]*)\s", re.MULTILINE)

# What no kernel may contain, and why.
FORBIDDEN = {
    r"div\.(full|approx)": "a quotient that is not rounded correctly",
    r"rcp\.approx": "a reciprocal that is not rounded correctly",
    r"sqrt\.approx": "a root that is not rounded correctly",
    r"rsqrt\.approx": "a root that is not rounded correctly",
    r"(ex2|lg2|sin|cos|tanh)\.approx": "a function whose error grows with its argument",
    r"(min|max)(\.ftz)?\.(f16|bf16|f32|f64)": "an extreme that drops NaN",
    r"(add|sub|mul|fma|cvt|max|min|abs|neg|setp|set)\.[\w.]*ftz": "denormals become zero",
    r"cvt\.rz\.(f16|bf16|f32)": "a conversion that truncates",
}


def findings(ptx: str) -> set[str]:
    """The instructions of a kernel that are forbidden."""
    return {
        instruction
        for instruction in INSTRUCTION.findall(ptx)
        if any(re.match(pattern, instruction) for pattern in FORBIDDEN)
    }


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    # What a class of this file pickled as belongs to the module, not to the script.
    import triton_lint

    payload = torch.load(folder / "payload.pt", weights_only=False)
    torch.save(getattr(triton_lint, sys.argv[1])(folder, payload), folder / "answer.pt")
