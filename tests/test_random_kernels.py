"""Random numbers in kernels: the bits that a CPU draws, computed where they are used."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.compiler.eager import compute
from tritonsym.context import torch_device
from tritonsym.expressions import expr
from tritonsym.expressions.expr import Expr, input_
from tritonsym.expressions.philox import RandomState
from tritonsym.foundation.dtype import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, DType
from tritonsym.graph.trace import Graph
from tritonsym.planning import plan
from tritonsym.products.gpus import H100
from tritonsym.runtime.cpu import program as cpu_program
from tritonsym.scheduling import tiling

SEEDS = (0, 5, 2**63 + 11, 2**64 - 1)


def values(outputs: list[Expr], seed: int, context: mx.Context, *given: torch.Tensor) -> list:
    """What a run gives that is the second draw of its seed."""
    state = RandomState(seed)
    state.draw()
    device = torch_device(context)
    return compute(outputs, [tensor.to(device) for tensor in given], state, context)


def assert_same_on_both(outputs: list[Expr], seed: int, gpu: mx.Context, *given) -> None:
    ours = values(outputs, seed, gpu, *given)
    for mine, due in zip(ours, values(outputs, seed, mx.cpu(), *given), strict=True):
        assert torch.equal(mine.cpu(), due)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32, FLOAT16, BFLOAT16], ids=str)
def test_kernels_draw_the_bits_of_numpy(dtype: DType, seed: int, gpu: mx.Context) -> None:
    assert_same_on_both([expr.random((3, 419), dtype, 7)], seed, gpu)


def test_numbers_are_those_of_numpy(gpu: mx.Context) -> None:
    """Said once more without the package: counter, key and which bits of a word are taken."""
    counter = np.array([0, 2, 3, 0], dtype=np.uint64)
    key = np.array([2**64 - 1, 0], dtype=np.uint64)
    words = np.random.Philox(key=key, counter=counter).random_raw(6)
    expected = [float(int(word) >> 40) / 2**24 for word in words]
    (found,) = values([expr.random((6,), FLOAT32, 3)], 2**64 - 1, gpu)
    assert found.tolist() == expected


def test_positions_in_every_form_of_kernel(gpu: mx.Context) -> None:
    """Pointwise, rows short and long, over each axis, of rows, and what follows a product."""
    x = input_(0, (6, 40), FLOAT32)
    noisy = x * 0.0 + expr.random((6, 40), FLOAT32, 1)
    place = expr.cast(expr.iota((6, 40), 1) + expr.iota((6, 40), 0) * 100, FLOAT32)
    given = torch.zeros(6, 40)
    for y in (noisy, place):
        outputs = [y]
        for axes in ((0,), (1,), (0, 1)):
            highest = expr.reduce("max", y, axes)
            outputs += [highest, y - expr.broadcast(highest, (6, 40))]
        assert_same_on_both(outputs, 3, gpu, given)
    wide = expr.random((2, 10_000), FLOAT32, 2)
    lowest = expr.broadcast(expr.reduce("min", wide, (1,)), wide.shape)
    assert_same_on_both([expr.reduce("max", wide, (1,)), wide - lowest], 4, gpu)
    rows = expr.reduce("max", x, (1,)) + expr.random((6, 1), FLOAT32, 5)
    assert_same_on_both([rows, expr.broadcast(rows, (6, 40)) + x], 4, gpu, given)
    a, b = input_(0, (2, 5, 8), FLOAT16), input_(1, (2, 8, 40), FLOAT16)
    positions = expr.cast(expr.iota((2, 5, 40), 0) * 40 + expr.iota((2, 5, 40), 2), FLOAT16)
    zeros = torch.zeros(2, 5, 8).half(), torch.zeros(2, 8, 40).half()
    assert_same_on_both([expr.dot(a, b) + positions], 4, gpu, *zeros)


def test_a_product_draws_no_random_numbers() -> None:
    """On a whole tile of them 13 kB per thread would not fit the registers."""
    a, b = input_(0, (64, 32), FLOAT16), input_(1, (32, 64), FLOAT16)
    noisy = expr.dot(a, b) * expr.random((64, 64), FLOAT16, 0)
    made = plan.make_plan(Graph((noisy,), {}), in_registers=True, gpu=H100)
    assert [kernel.form for kernel in made.kernels] == ["matmul", "pointwise"]
    assert "a product leaves no registers for random numbers" in str(made)


def test_a_mask_needs_no_kernel_of_its_own(context: mx.Context) -> None:
    x = mx.sym.Variable("x")
    noise = mx.sym.random_uniform(shape=(4, 30))
    graph = mx.sym.softmax(mx.sym.broadcast_mul(x, noise < 0.5))
    executor = graph.bind(context, {"x": mx.nd.ones((4, 30), context)})
    if context.device_type == "gpu":
        assert len(executor.plan.kernels) == 1
    mx.random.seed(3)
    first = executor.forward()[0].asnumpy()
    again = executor.forward()[0].asnumpy()
    assert (first != again).any(), "each run draws anew"
    mx.random.seed(3)
    np.testing.assert_array_equal(executor.forward()[0].asnumpy(), first)


def test_both_contexts_draw_the_same(gpu: mx.Context) -> None:
    """Whatever the order in which the nodes are computed, and whatever ran before."""
    one, other = mx.sym.random_uniform(shape=(50,)), mx.sym.random_uniform(shape=(50,))
    graph = mx.sym.Group([mx.sym.sort(other), mx.sym.broadcast_add(one, mx.sym.sum(other)), one])
    found = []
    for context in (mx.cpu(), gpu):
        mx.random.seed(8)
        mx.random.uniform(shape=(3,), ctx=context)
        executor = graph.bind(context, {})
        executor.forward()
        found.append([output.asnumpy() for output in executor.forward()])
    for mine, due in zip(*found, strict=True):
        np.testing.assert_allclose(mine, due, rtol=1e-6)
    assert (found[0][0] != np.sort(found[0][2])).any()


def test_tiles_on_the_cpu_are_parts_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def graph() -> list[Expr]:
        noise = expr.random((7, 30), FLOAT32, 0)
        place = expr.cast(expr.iota((7, 30), 0) * 1000 + expr.iota((7, 30), 1), FLOAT32)
        turned = expr.permute(input_(0, (30, 7), FLOAT32), (1, 0))
        return [noise + 1.0, place * 2.0 + noise, (noise + turned) * 2.0]

    found = []
    for tile in (2**22, 480, 168):
        monkeypatch.setattr(tiling, "TILE", tile)
        made = plan.make_plan(Graph(tuple(graph()), {}))
        assert bool(made.tilings) == (tile < 1000)
        program = cpu_program(made, [torch.zeros(30, 7)], RandomState(9))
        program.run()
        found.append([x.clone() for x in program.buffers.outputs])
    for tiled in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(tiled, found[0], strict=True))
