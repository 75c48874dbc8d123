"""One kernel per function of `triton_math`, run by the interpreter or compiled to PTX.

Triton decides at its import whether it interprets, so that each mode gets a process of its own:
`interpret` and `compile_all` start one.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from tritonsym.expressions import expr
from tritonsym.foundation.dtype import ALL, BOOL, DType
from tritonsym.kernels.triton_writer import POINTERS

BLOCK = 1024
COLUMNS = 32
ARCHITECTURES = (80, 90)
# What the runtime asks for: products and sums are rounded apart, and denormals are kept.
OPTIONS = {"num_warps": 4, "enable_fp_fusion": False, "enable_reflect_ftz": False}
TRITON_NAMES = {dtype.name: dtype.name for dtype in ALL} | {"bool": "int1"}
COMPUTED = TRITON_NAMES | {"float16": "float32", "bfloat16": "float32"}
BINARY = {
    *("add", "sub", "mul", "div", "mod", "pow", "maximum", "minimum", "hypot"),
    *("eq", "ne", "lt", "le", "gt", "ge", "and", "or"),
}
HEADER = """\
import triton
import triton.language as tl

from tritonsym.kernels import triton_math as math
"""


@dataclass(frozen=True)
class Case:
    """A kernel: one primitive on operands of one dtype (a choice has a bool operand before).

    With a constant, that is the second operand.
    """

    primitive: str
    dtype: DType
    result: DType
    constant: int | None = None

    @property
    def name(self) -> str:
        names = [self.primitive, self.dtype.name]
        names += [self.result.name] if self.primitive == "cast" else []
        names += [] if self.constant is None else ["constant"]
        return "_".join(names)

    @property
    def reduces(self) -> bool:
        return self.primitive in expr.REDUCTIONS

    @property
    def inputs(self) -> tuple[DType, ...]:
        if self.primitive == "where":
            return (BOOL, self.dtype, self.dtype)
        binary = self.primitive in BINARY and self.constant is None
        return (self.dtype,) * (2 if binary else 1)

    def expression(self, length: int) -> expr.Expr:
        """The primitive on arrays of ``length`` elements, which reductions take as rows."""
        shape = (length // COLUMNS, COLUMNS) if self.reduces else (length,)
        arrays = [expr.input_(i, shape, dtype) for i, dtype in enumerate(self.inputs)]
        if self.reduces:
            return expr.make(self.primitive, *arrays, axes=(1,))
        if self.primitive == "cast":
            return expr.make("cast", *arrays, dtype=self.result)
        if self.constant is not None:
            arrays.append(expr.constant(self.constant, self.dtype))
        return expr.make(self.primitive, *arrays)

    def source(self) -> str:
        """The kernel's text, in the manner of generated ones."""
        pointers = [f"p{i}" for i in range(len(self.inputs))]
        parameters = ", ".join([*pointers, "out", "BLOCK: tl.constexpr"])
        lines = ["@triton.jit", f"def {self.name}({parameters}):"]
        if self.reduces:
            lines += [
                f"    ROWS: tl.constexpr = BLOCK // {COLUMNS}",
                "    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)",
                f"    c = tl.arange(0, {COLUMNS})",
                f"    i = r[:, None] * {COLUMNS} + c[None, :]",
            ]
        else:
            lines += ["    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)"]
        operands = []
        for pointer, dtype in zip(pointers, self.inputs, strict=True):
            load = f"tl.load({pointer} + i)"
            operands.append(f"math.cast({load}, tl.float32)" if dtype.is_reduced else load)
        value = self.value(operands)
        if self.result.is_reduced and self.primitive != "cast":
            value = f"math.cast({value}, tl.{self.result})"
        positions = "r" if self.reduces else "i"
        return "\n".join([*lines, f"    tl.store(out + {positions}, {value})", ""])

    def value(self, operands: list[str]) -> str:
        """The text of the primitive's result."""
        match self.primitive:
            case "argmax" | "argmin":
                pair = f"({operands[0]}, tl.broadcast_to(c[None, :], i.shape))"
                return f"math.reduce({pair}, 1, math.{self.primitive}_combine)[1]"
            case "sum" | "max" | "min":
                reduced = f"math.reduce({operands[0]}, 1, math.{self.primitive}_combine)"
                return f"math.positive_zero({reduced})"
            case "prod":
                return f"math.reduce({operands[0]}, 1, math.prod_combine)"
            case "cast":
                operands = [*operands, f"tl.{TRITON_NAMES[self.result.name]}"]
        if self.constant is not None:
            operands = [*operands, f"tl.full((), {self.constant}, tl.{COMPUTED[self.dtype.name]})"]
        name = f"{self.primitive}_" if self.primitive in ("and", "or", "not") else self.primitive
        return f"math.{name}({', '.join(operands)})"


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
        length = arrays[0].numel()
        shape = (length // COLUMNS,) if case.reduces else (length,)
        out = torch.empty(shape, dtype=case.result.torch)
        grid = (length // BLOCK,)
        getattr(kernels, case.name)[grid](*arrays, out, BLOCK, **OPTIONS)
        results.append(out)
    return results


def compile_all(folder: Path, cases: Sequence[Case]) -> list[list[str]]:
    """The PTX of each kernel; on every architecture where floats are computed."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    path = folder / "compiled_kernels.py"
    path.write_text("\n\n".join([HEADER, *(case.source() for case in cases)]))
    kernels = imported(path)
    texts = []
    for case in cases:
        signature = {f"p{i}": POINTERS[dtype.name] for i, dtype in enumerate(case.inputs)}
        signature |= {"out": POINTERS[case.result.name], "BLOCK": "constexpr"}
        source = ASTSource(getattr(kernels, case.name), signature, {"BLOCK": 128})
        floats = case.dtype.is_float and case.constant is None
        targets = [GPUTarget("cuda", n, 32) for n in ARCHITECTURES[0 if floats else -1 :]]
        texts.append([triton.compile(source, target, OPTIONS).asm["ptx"] for target in targets])
    return texts


# What must be there, so that no check of what is forbidden can pass for want of a name.
REQUIRED = {
    "div_float32": "div.rn.f32",
    "div_float64": "div.rn.f64",
    "sqrt_float32": "sqrt.rn.f32",
    "sqrt_float64": "sqrt.rn.f64",
    "rsqrt_float32": "rcp.rn.f32",
    "sigmoid_float32": "rcp.rn.f32",
    "maximum_float32": "max.NaN.f32",
    "minimum_float32": "min.NaN.f32",
    "maximum_float64": "setp.nan.f64",
    "max_float32": "max.NaN.f32",
    "max_float64": "setp.nan.f64",
    "cast_float32_bfloat16": "cvt.rn.bf16.f32",
    "cast_float32_float16": "cvt.rn.f16.f32",
}


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    # What a class of this file pickled as belongs to the module, not to the script.
    import triton_lint

    payload = torch.load(folder / "payload.pt", weights_only=False)
    torch.save(getattr(triton_lint, sys.argv[1])(folder, payload), folder / "answer.pt")
