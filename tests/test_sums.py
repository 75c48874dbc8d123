"""Large arrays are summed over their leading axes in blocks of rows, to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.expressions.sums import BLOCKS, LEAST_BYTES, LEAST_ROWS, in_blocks
from tritonsym.foundation.handover import is_only_owner

# Of float32 sums of positive numbers, however they are ordered: each block's rows are added in a
# tree of torch's, and the blocks one after the other.
TOLERANCE = 1e-6


def table(rows: int, columns: int, dtype: torch.dtype) -> torch.Tensor:
    """Random numbers: positive, or whole ones whose sums pass no limit."""
    drawing = torch.Generator().manual_seed(rows)
    if dtype.is_floating_point:
        return torch.rand((rows, columns), generator=drawing, dtype=dtype) + 0.5
    return torch.randint(-1000, 1000, (rows, columns), generator=drawing, dtype=dtype)


def columns_of(rows: int, dtype: torch.dtype) -> int:
    """How many columns make a table just large enough."""
    return -(-LEAST_BYTES // (rows * dtype.itemsize))


@pytest.mark.parametrize("rows", [LEAST_ROWS, LEAST_ROWS + 1, 1000, 8 * LEAST_ROWS + BLOCKS - 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32, torch.int64])
def test_every_row_counts_once(rows: int, dtype: torch.dtype) -> None:
    data = table(rows, columns_of(rows, dtype), dtype)
    out = torch.empty((1, data.shape[1]), dtype=dtype)
    step = in_blocks(data, (0,), out)
    assert step is not None
    for _ in range(2):  # nothing stays of the run before
        out.fill_(7)
        step()
        if dtype.is_floating_point:
            torch.testing.assert_close(
                out, data.double().sum(0, keepdim=True).to(dtype), rtol=TOLERANCE, atol=0
            )
        else:
            assert torch.equal(out, data.sum(0, keepdim=True, dtype=dtype))


def test_several_axes_are_one() -> None:
    data = table(64 * 128, 256, torch.float32).view(64, 128, 2, 128)
    out = torch.empty((1, 1, 2, 128))
    step = in_blocks(data, (0, 1), out)
    assert step is not None
    step()
    expected = data.double().sum((0, 1), keepdim=True).float()
    torch.testing.assert_close(out, expected, rtol=TOLERANCE, atol=0)


def test_what_is_no_number_stays_in_its_column() -> None:
    data = table(8192, 256, torch.float32)
    data[5, 1], data[8191, 2], data[17, 3], data[4000, 3] = np.nan, np.inf, np.inf, -np.inf
    out = torch.empty((1, 256))
    step = in_blocks(data, (0,), out)
    assert step is not None
    step()
    assert out[0, 1].isnan() and out[0, 2] == np.inf and out[0, 3].isnan()
    assert out[0, [0, *range(4, 256)]].isfinite().all()


def test_others_are_one_call() -> None:
    large = table(2 * LEAST_ROWS, 2 * columns_of(LEAST_ROWS, torch.float32), torch.float32)

    def is_cut(data: torch.Tensor, axes: tuple[int, ...] = (0,)) -> bool:
        shape = [1 if axis in axes else length for axis, length in enumerate(data.shape)]
        return in_blocks(data, axes, torch.empty(shape, dtype=data.dtype)) is not None

    assert is_cut(large)
    assert not is_cut(large, (1,)) and not is_cut(large, (0, 1))
    assert not is_cut(large[: LEAST_ROWS // 2])  # too few rows
    assert not is_cut(large[:, : columns_of(4 * LEAST_ROWS, torch.float32)].contiguous())  # small
    assert not is_cut(large.t()) and not is_cut(large[:, 1:])  # not row by row in memory
    assert not is_cut(torch.cat([large, large]).bfloat16())  # its partial sums would be rounded
    assert not is_cut(torch.ones((LEAST_BYTES, 1), dtype=torch.int8))
    assert not is_cut(torch.ones((LEAST_BYTES,)))  # a single sum


@pytest.mark.parametrize("shape, axis", [((8192, 256), 0), ((64, 128, 256), (0, 1))])
def test_sums_of_a_graph_are_cut(
    shape: tuple[int, ...], axis: int | tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a plan: of an input, and of what is computed from it."""
    data = np.random.default_rng(0).uniform(0.5, 1.5, shape).astype(np.float32)
    x = mx.sym.Variable("x")
    symbol = mx.sym.Group([mx.sym.sum(x, axis=axis), mx.sym.sum(x * x, axis=axis)])
    cut = []

    def noted(*given: object) -> object:
        cut.append(in_blocks(*given))  # type: ignore[arg-type]
        return cut[-1]

    monkeypatch.setattr("tritonsym.expressions.sums.in_blocks", noted)
    executor = symbol.bind(mx.cpu(), {"x": mx.nd.array(data)})
    plain, squares = (output.asnumpy() for output in executor.forward())
    wide = data.astype(np.float64)
    np.testing.assert_allclose(plain, wide.sum(axis), rtol=TOLERANCE)
    np.testing.assert_allclose(squares, (wide * wide).sum(axis), rtol=TOLERANCE)
    assert any(step is not None for step in cut)


def test_the_data_may_change_its_memory() -> None:
    """Between two runs: a caller's gradient is summed where it is."""
    data, other = table(8192, 256, torch.float32), table(8193, 256, torch.float32)[1:].clone()
    out = torch.empty((1, 256))
    step = in_blocks(data, (0,), out)
    assert step is not None
    step()
    assert is_only_owner(data)
    data.data = other
    step()
    expected = other.double().sum(0, keepdim=True).float()
    torch.testing.assert_close(out, expected, rtol=TOLERANCE, atol=0)


def test_no_order_of_threads_matters() -> None:
    data = table(10007, 256, torch.float32)
    found = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            out = torch.empty((1, 256))
            step = in_blocks(data, (0,), out)
            assert step is not None
            step()
            found.append(out)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(found[0], one) for one in found)
