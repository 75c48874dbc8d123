"""Elements more than 2^31 behind the first: 32 bits do not hold where they are.

The arrays are a few elements far apart, in memory that is otherwise never touched.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import tritonsym as mx
from sparse_memory import sparse
from tritonsym.context import torch_device
from tritonsym.foundation.dtype import as_dtype
from tritonsym.kernels.triton_source import write
from tritonsym.ndarray import NDArray
from tritonsym.plan_command import plan_for_gpu
from tritonsym.products.gpus import H100

sym = mx.sym
FAR, NEAR = 2**30, 2**29
SHAPE = (3, 2)
R = sym.Variable("r")
OTHER = {
    "a": np.arange(12, dtype=np.int8).reshape(3, 4),
    "b": np.arange(8, dtype=np.int8).reshape(4, 2),
    "rows": np.array([2, 0], np.int32),
    "ends": np.array([1, 0], np.int32),
    "columns": np.array([1, 0, 1], np.int32),
}
Due = Callable[[np.ndarray], np.ndarray]
# What reads the elements, by the form of kernel, and the result.
READERS: dict[str, tuple[mx.Symbol, Due]] = {
    "pointwise": (R + 1, lambda r: r + 1),
    "copy": (sym.reverse(R, axis=1), lambda r: r[:, ::-1]),
    "concat": (sym.Concat(R, R, dim=0), lambda r: np.concatenate((r, r))),
    "take rows": (sym.take(R, sym.Variable("rows")), lambda r: r[[2, 0]]),
    "take columns": (sym.take(R, sym.Variable("ends"), axis=1), lambda r: r[:, [1, 0]]),
    "pick": (sym.pick(R, sym.Variable("columns")), lambda r: r[[0, 1, 2], [1, 0, 1]]),
    "rows": (sym.sum(R, axis=1), lambda r: r.sum(1, dtype=np.int8)),
    "side by side": (sym.max(R, axis=0), lambda r: r.max(0)),
    "operand": (sym.dot(R, sym.Variable("b"), transpose_a=True), lambda r: r.T @ OTHER["a"][:3]),
    "after a product": (
        sym.dot(sym.Variable("a"), sym.Variable("b")) + R,
        lambda r: OTHER["a"] @ OTHER["b"] + r,
    ),
}


def far_apart(device: torch.device) -> torch.Tensor:
    """A few elements over more than 2^31 bytes; what wraps around is within the memory as well."""
    memory = sparse(4 * FAR + NEAR + 1, torch.int8, device)
    found = memory.as_strided(SHAPE, (FAR, NEAR), 2 * FAR)
    found.copy_(torch.arange(1, 7, dtype=torch.int8, device=device).view(SHAPE))
    return found


@pytest.mark.parametrize("name", READERS)
def test_far_elements_are_read(name: str, gpu: mx.Context) -> None:
    symbol, due = READERS[name]
    given = {n: mx.nd.array(v, gpu, v.dtype) for n, v in OTHER.items()}
    if name == "operand":
        given["b"] = mx.nd.array(OTHER["a"][:3], gpu, "int8")
    tensor = far_apart(torch_device(gpu))
    given["r"] = NDArray(tensor, gpu)
    executor = symbol.bind(gpu, {n: given[n] for n in symbol.list_inputs()})
    found = executor.forward()[0].asnumpy()
    np.testing.assert_array_equal(found, due(tensor.cpu().numpy()))


@pytest.mark.parametrize("form", ["pointwise", "matmul"])
@pytest.mark.parametrize("length", [2**15, 2**12])
def test_parts_of_a_large_result_are_stored_far_behind_its_beginning(
    form: str, length: int
) -> None:
    """Each has less than 2^31 elements; what they are put into has more, or no more than fits."""
    first = sym.dot(R, sym.Variable("b")) if form == "matmul" else sym.abs(R)
    shapes = {"r": (length, length)}
    if form == "matmul":
        shapes = {"r": (length, 4), "b": (4, length)}
    symbol = sym.Concat(first, first + 1, first + 2, dim=0)
    plan = plan_for_gpu(symbol, shapes, {name: as_dtype("int8") for name in shapes})
    (kernel,) = plan.kernels
    assert (kernel.form, [x.primitive for x in kernel.outputs]) == (form, ["concat"])
    source = write(kernel, plan.layouts, H100)
    assert source is not None
    assert ("tl.int64" in source.text) == (3 * length**2 >= 2**31)
