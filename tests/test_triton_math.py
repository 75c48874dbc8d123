"""The functions that generated kernels call, against the reference and in the code they become."""

from __future__ import annotations

import ast
import functools
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import triton_lint
from triton_lint import BINARY, BLOCK, COLUMNS, REQUIRED, Case
from tritonsym import kernels
from tritonsym.expressions import expr, reference
from tritonsym.foundation.dtype import ALL, BFLOAT16, BOOL, FLOAT32, INT32, DType
from tritonsym.foundation.errors import LoweringError
from tritonsym.runtime.forbidden import ALLOWED, findings, instructions

# ---- cases -------------------------------------------------------------------------------------

FLOATS = [0.0, 0.25, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 5.5, 7.0, 20.0, 88.5, 200.0, 300.0]
FLOATS += [65504.0, 2.0**23 + 1, 2.0**31 - 128, 2.0**31, 3e9, 2.0**53 + 2, 2.0**63, 1e20, 3e38]
FLOATS += [1e-3, 1e-8, 6e-8, 1e-38, 1e-40, 1e-45, 1e300, 1e-310, 0.1, 3.1415927, float("inf")]
INTEGERS = [0, 1, 2, 3, 5, 7, 20, 31, 63, 64, 100, 127, 128, 200, 255, 2**15, 2**24 + 1]
INTEGERS += [2**31 - 1, 2**31, 2**53 + 1, 2**62, 2**63 - 1]


@functools.cache
def values(dtype: DType) -> torch.Tensor:
    """Special values of a dtype and random ones of all magnitudes, in one row."""
    random = np.random.default_rng(0)
    if dtype is BOOL:
        return torch.tensor([False, True])
    if dtype.is_float:
        magnitudes = np.exp2(random.uniform(-20, 8, 60)) * random.choice((-1, 1), 60)
        listed = [*FLOATS, *(-x for x in FLOATS), float("nan"), *magnitudes]
        return torch.tensor(listed, dtype=torch.float64).to(dtype.torch)
    bounds = torch.iinfo(dtype.torch)
    listed = [x for v in INTEGERS for x in (v, -v) if bounds.min <= x <= bounds.max]
    drawn = random.integers(bounds.min, bounds.max, 40, endpoint=True, dtype=dtype.numpy)
    return torch.tensor([bounds.min, *listed, *drawn.tolist()], dtype=dtype.torch)


@functools.cache
def operands(case: Case) -> tuple[torch.Tensor, ...]:
    """Every combination of values, or many of them, repeated to whole blocks."""
    exact = case.primitive in ("sum", "prod")
    rows = [addends(case.dtype)] if exact else [values(dtype) for dtype in case.inputs]
    grid = torch.cartesian_prod(*(torch.arange(len(row)) for row in rows)).reshape(-1, len(rows))
    if len(grid) > 16 * BLOCK:
        grid = grid[torch.randperm(len(grid), generator=torch.Generator().manual_seed(0))]
        grid = grid[: 16 * BLOCK]
    length = -(-len(grid) // BLOCK) * BLOCK
    grid = grid.repeat(-(-length // len(grid)), 1)[:length]
    return tuple(row[indices] for row, indices in zip(rows, grid.T, strict=True))


def addends(dtype: DType) -> torch.Tensor:
    """Rows whose sums and products are exact in any order, and rows with infinities and NaN."""
    draw = torch.Generator().manual_seed(0)
    rows = torch.randint(
        0 if dtype.kind in ("uint", "bool") else -2, 3, (64, COLUMNS), generator=draw
    )
    rows[:, 8:] = torch.where(rows[:, 8:] == 0, 1, rows[:, 8:].sign())
    rows[:8] = 0
    data = rows.to(dtype.torch)
    if dtype.is_float:
        data[1:8] = -0.0
        for row, value in enumerate((float("inf"), float("-inf"), float("nan"))):
            data[8 + row :: 8, 5] = value
    return data.flatten()


def expected(case: Case, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
    """What the reference gives."""
    x = case.expression(arrays[0].numel())
    if case.primitive == "erf" and case.dtype.is_reduced:
        # torch is less exact there than float32, rounded, is.
        wide = Case("erf", FLOAT32, FLOAT32)
        return expected(wide, [array.float() for array in arrays]).to(case.dtype.torch)
    inputs = [array.reshape(y.shape) for array, y in zip(arrays, x.inputs, strict=False)]
    inputs += [reference.scalar(y) for y in x.inputs[len(inputs) :]]
    return reference.evaluate(x, inputs).flatten()


def all_cases() -> list[Case]:
    """Each primitive on each dtype that the reference takes, each cast, and some constants."""
    cases = [Case("cast", a, b) for a in ALL for b in ALL if a is not b]
    primitives = sorted((expr.ELEMENTWISE | expr.REDUCTIONS) - {"cast"})
    for primitive, dtype in itertools.product(primitives, ALL):
        case = Case(primitive, dtype, dtype)
        try:
            result = case.expression(COLUMNS).dtype
            expected(case, [torch.ones(COLUMNS, dtype=d.torch) for d in case.inputs])
        except (LoweringError, RuntimeError, TypeError):
            continue
        cases.append(Case(primitive, dtype, result))
        if primitive in BINARY and dtype in (FLOAT32, BFLOAT16, INT32):
            cases.append(Case(primitive, dtype, result, constant=3))
    return cases


# One worker interprets and compiles all cases.
pytestmark = pytest.mark.xdist_group("triton_math")
CASES = all_cases()

# How many units in the last place torch and we may differ by. All else is equal.
BOUNDS = {
    "sigmoid": 2,  # torch's own formula
    "rsqrt": 1,  # of 16-bit floats: torch rounds the root, too
    "sin": 1,  # of float16
    "log2_float64": 1,  # its exponent is split off
}


def distance(x: torch.Tensor, y: torch.Tensor) -> float:
    """Units in the last place between floats; infinite if just one is NaN, or -0."""
    kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()]
    first, second = ((data.view(kind) & torch.iinfo(kind).max).to(torch.int64) for data in (x, y))
    same_sign = x.signbit() == y.signbit()
    gaps = torch.where(same_sign, (first - second).abs().double(), first.double() + second.double())
    gaps[(first == 0) & (second == 0) & ~same_sign] = math.inf
    gaps[x.isnan() != y.isnan()] = math.inf
    gaps[x.isnan() & y.isnan()] = 0
    return gaps.max().item()


# ---- interpreted -------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> dict[Case, torch.Tensor]:
    """What each kernel gives where Triton interprets it."""
    runs = [(case, operands(case)) for case in CASES]
    folder = tmp_path_factory.mktemp("interpreted")
    results = triton_lint.in_process("interpret", folder, runs, interpreted=True)
    return dict(zip(CASES, results, strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_interpreted_functions_agree_with_the_reference(
    case: Case, interpreted: dict[Case, torch.Tensor]
) -> None:
    got, wanted = interpreted[case], expected(case, operands(case))
    if not case.result.is_float:
        assert torch.equal(got, wanted)
    else:
        assert distance(got, wanted) <= BOUNDS.get(case.name, BOUNDS.get(case.primitive, 0))


# ---- compiled ----------------------------------------------------------------------------------

# 16-bit floats are float32 between casts.
COMPILED = [case for case in CASES if case.primitive == "cast" or not case.dtype.is_reduced]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[Case, list[str]]:
    """The PTX of each kernel, for one architecture or several."""
    folder = tmp_path_factory.mktemp("compiled")
    texts = triton_lint.in_process("compile_all", folder, COMPILED, interpreted=False)
    return dict(zip(COMPILED, texts, strict=True))


@pytest.mark.parametrize("case", COMPILED, ids=lambda case: case.name)
def test_compiled_functions_are_exact(case: Case, compiled: dict[Case, list[str]]) -> None:
    for ptx in compiled[case]:
        assert findings(ptx, [case.primitive]) == {}
        if case.name in REQUIRED:
            assert REQUIRED[case.name] in instructions(ptx)


@pytest.mark.parametrize("module", ["triton_math", "triton_online", "triton_random"])
def test_kernels_say_every_argument(module: str) -> None:
    """Triton 3.6 compiles no call that leaves a default in its place which is a string."""
    path = Path(kernels.__file__).with_name(f"{module}.py")
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(decorator) == "_function" for decorator in node.decorator_list)
    ]
    assert {"triton_math": 30, "triton_online": 4, "triton_random": 2}[module] <= len(functions)
    assert [function.name for function in functions if function.args.defaults] == []


def test_every_allowance_and_requirement_is_needed(compiled: dict[Case, list[str]]) -> None:
    found: dict[str, set[str]] = {name: set() for name in ALLOWED}
    for case, texts in compiled.items():
        for ptx in texts:
            found.setdefault(case.primitive, set()).update(findings(ptx))
    assert {name: kinds for name, kinds in found.items() if kinds} == {
        name: set(allowed) for name, allowed in ALLOWED.items()
    }
    assert REQUIRED.keys() <= {case.name for case in COMPILED}
