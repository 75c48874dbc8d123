"""The functions that generated kernels call, against the reference and in the code they become."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

import triton_lint
from triton_lint import BLOCK, Case
from tritonsym import expr, reference
from tritonsym.dtype import ALL, BOOL, FLOAT32, FLOAT64, INT64, DType
from tritonsym.errors import LoweringError
from tritonsym.philox import RandomState

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


def operands(case: Case) -> list[torch.Tensor]:
    """Every combination of values, or many of them, repeated to whole blocks."""
    rows = [values(dtype) for dtype in case.inputs]
    grid = torch.cartesian_prod(*(torch.arange(len(row)) for row in rows)).reshape(-1, len(rows))
    if len(grid) > 16 * BLOCK:
        grid = grid[torch.randperm(len(grid), generator=torch.Generator().manual_seed(0))]
        grid = grid[: 16 * BLOCK]
    blocks = -(-len(grid) // BLOCK)
    grid = grid.repeat(-(-blocks * BLOCK // len(grid)), 1)[: blocks * BLOCK]
    return [row[indices] for row, indices in zip(rows, grid.T, strict=True)]


def expected(case: Case, arrays: list[torch.Tensor]) -> torch.Tensor:
    return reference.evaluate(case.expression(arrays[0].numel()), arrays, RandomState(0))


def all_cases() -> list[Case]:
    """Each primitive on each dtype that the reference takes; each cast."""
    cases = [Case("cast", a, b) for a in ALL for b in ALL if a is not b]
    for primitive, dtype in itertools.product(sorted(expr.ELEMENTWISE - {"cast"}), ALL):
        case = Case(primitive, dtype, dtype)
        try:
            result = case.expression(2).dtype
            expected(case, [torch.ones(2, dtype=d.torch) for d in case.inputs])
        except (LoweringError, RuntimeError, TypeError):
            continue
        cases.append(Case(primitive, dtype, result))
    return cases


CASES = all_cases()

# How many units in the last place torch and our formula may differ by. All else is equal.
BOUNDS: dict[str, int] = {}


def distance(x: torch.Tensor, y: torch.Tensor) -> int:
    """Units in the last place between floats; zeros of different sign and NaN are far apart."""
    kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()]
    both_nan = x.isnan() & y.isnan()
    steps = []
    for data in (x, y):
        bits = data.view(kind).to(torch.int64)
        negative = torch.iinfo(kind).min - bits
        steps.append(torch.where(bits < 0, negative - 1, bits).double())
    gaps = (steps[0] - steps[1]).abs()
    gaps[x.isnan() != y.isnan()] = float("inf")
    return int(torch.where(both_nan, 0.0, gaps).max().clamp(max=1e18))


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
    arrays = operands(case)
    got, wanted = interpreted[case], expected(case, arrays)
    if not case.result.is_float:
        assert torch.equal(got, wanted)
    else:
        assert distance(got, wanted) <= BOUNDS.get(case.primitive, 0)
