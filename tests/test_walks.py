"""Elementwise kernels that walk over tiles: what lies in another order than the result."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

import tritonsym as mx
from guard_bands import guarded_where_interpreted
from sparse_memory import sparse
from tritonsym.context import torch_device
from tritonsym.expressions.expr import input_, make
from tritonsym.foundation.dtype import BY_NAME, as_dtype
from tritonsym.graph.trace import Graph
from tritonsym.kernels import triton_source, triton_walks
from tritonsym.kernels.triton_walks import Runs, Tiles, sides, turned_axis
from tritonsym.kernels.triton_writer import Access
from tritonsym.ndarray import NDArray
from tritonsym.plan_command import plan_for_gpu
from tritonsym.planning.plan import Plan, make_plan
from tritonsym.products.gpus import H100

sym = mx.sym
Shape = tuple[int, ...]
Due = Callable[..., list[torch.Tensor]]
X, Y, Z, B = (sym.Variable(name) for name in "xyzb")
BEGIN = "tile = tl.program_id(0)"


def turned(x: mx.Symbol, *axes: int) -> mx.Symbol:
    found: mx.Symbol = sym.transpose(x, axes=axes)
    return found


def flat(x: mx.Symbol) -> mx.Symbol:
    found: mx.Symbol = sym.reshape(x, shape=(-1,))
    return found


def heads(x: mx.Symbol, *axes: int) -> mx.Symbol:
    """The last axis as two, turned round, and then one again."""
    return flat(turned(sym.reshape(x, shape=(0, 0, 5, 13)), *axes))


# What is computed, the shapes of its arguments, and the same by torch.
CASES: dict[str, tuple[mx.Symbol, dict[str, Shape], Due]] = {
    "sum": (X + turned(Y, 1, 0), {"x": (37, 65), "y": (65, 37)}, lambda x, y: [x + y.T]),
    "larger": (X - turned(Y, 1, 0), {"x": (130, 257), "y": (257, 130)}, lambda x, y: [x - y.T]),
    "whole tiles": (X + turned(Y, 1, 0), {"x": (64, 96), "y": (96, 64)}, lambda x, y: [x + y.T]),
    "all turned": (turned(Y, 1, 0) * 2, {"y": (65, 37)}, lambda y: [y.T * 2]),
    "batch": (
        X + turned(Y, 0, 2, 1),
        {"x": (3, 33, 40), "y": (3, 40, 33)},
        lambda x, y: [x + y.permute(0, 2, 1)],
    ),
    "first and last": (
        X + turned(Y, 2, 1, 0),
        {"x": (40, 3, 33), "y": (33, 3, 40)},
        lambda x, y: [x + y.permute(2, 1, 0)],
    ),
    "four axes": (
        X + turned(Y, 3, 0, 2, 1),
        {"x": (33, 2, 3, 37), "y": (2, 37, 3, 33)},
        lambda x, y: [x + y.permute(3, 0, 2, 1)],
    ),
    "two orders": (
        X + turned(Y, 2, 1, 0) - turned(Z, 0, 2, 1),
        {"x": (40, 34, 36), "y": (36, 34, 40), "z": (40, 36, 34)},
        lambda x, y, z: [x + y.permute(2, 1, 0) - z.permute(0, 2, 1)],
    ),
    "rows and columns repeated": (
        sym.broadcast_add(sym.broadcast_add(X + turned(Y, 1, 0), Z), B),
        {"x": (37, 65), "y": (65, 37), "z": (1, 65), "b": (37, 1)},
        lambda x, y, z, b: [x + y.T + z + b],
    ),
    "a batch's own number": (
        sym.broadcast_add(sym.broadcast_add(X, turned(Y, 0, 2, 1)), Z),
        {"x": (3, 33, 40), "y": (1, 40, 33), "z": (3, 1, 1)},
        lambda x, y, z: [x + y.permute(0, 2, 1) + z],
    ),
    "turned and repeated": (
        sym.broadcast_add(X, turned(Y, 0, 2, 1)),
        {"x": (3, 33, 40), "y": (1, 40, 33)},
        lambda x, y: [x + y.permute(0, 2, 1)],
    ),
    "several outputs": (
        sym.Group([X + turned(Y, 1, 0), (X + turned(Y, 1, 0)) * X]),
        {"x": (37, 65), "y": (65, 37)},
        lambda x, y: [x + y.T, (x + y.T) * x],
    ),
    "a part, backwards": (
        X + sym.reverse(turned(sym.slice_axis(Y, axis=0, begin=3, end=68), 1, 0), axis=1) * 2,
        {"x": (37, 65), "y": (70, 37)},
        lambda x, y: [x + y[3:68].T.flip(1) * 2],
    ),
    "copy": (flat(turned(X, 1, 0)), {"x": (37, 65)}, lambda x: [x.T.flatten()]),
    "copy of a batch": (
        flat(turned(X, 0, 2, 1)),
        {"x": (3, 33, 40)},
        lambda x: [x.permute(0, 2, 1).flatten()],
    ),
    "stored turned": (
        sym.Group([X * 2, flat(turned(X * 2, 1, 0))]),
        {"x": (37, 65)},
        lambda x: [x * 2, (x * 2).T.flatten()],
    ),
    "stored in parts": (
        heads(X * 2, 0, 2, 3, 1),
        {"x": (2, 37, 65)},
        lambda x: [(x * 2).reshape(2, 37, 5, 13).permute(0, 2, 3, 1).flatten()],
    ),
    "stored in parts that do not go together": (
        sym.Group(
            [
                heads(X * 2, 0, 2, 3, 1),
                flat(turned(sym.reshape(X * 2, shape=(0, 0, 13, 5)), 0, 2, 3, 1)),
            ]
        ),
        {"x": (2, 37, 65)},
        lambda x: [
            (x * 2).reshape(2, 37, *parts).permute(0, 2, 3, 1).flatten()
            for parts in ((5, 13), (13, 5))
        ],
    ),
}
# Of these the walk is in runs.
IN_RUNS = {"stored in parts that do not go together"}


def texts(plan: Plan) -> list[str]:
    sources = (triton_source.write(kernel, plan.layouts, H100) for kernel in plan.kernels)
    return [source.text for source in sources if source is not None]


def check(name: str, dtype: str, gpu: mx.Context) -> None:
    """Small whole numbers, of which every dtype has the sums and products exactly."""
    symbol, shapes, due = CASES[name]
    draw = torch.Generator().manual_seed(3)
    values = {n: torch.randint(-4, 5, s, generator=draw) for n, s in shapes.items()}
    kind = BY_NAME[dtype].torch
    given = {n: NDArray(v.to(kind).to(torch_device(gpu)), gpu) for n, v in values.items()}
    with guarded_where_interpreted(gpu):
        executor = symbol.bind(gpu, given)
        found = [output.to_torch().cpu() for output in executor.forward()]
    is_tiled = any(BEGIN in text for text in texts(executor.plan))
    assert is_tiled == (name not in IN_RUNS)
    for one, right in zip(found, due(*(values[n] for n in shapes)), strict=True):
        assert torch.equal(one, right.to(kind))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles for arrays that are large enough for one."""
    monkeypatch.setattr(triton_walks, "LARGE", 1)


@pytest.mark.parametrize("name", CASES)
def test_tiles_equal_torch(name: str, gpu: mx.Context, small: None) -> None:
    check(name, "float32", gpu)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "int64"])
@pytest.mark.parametrize("name", ["sum", "stored turned", "rows and columns repeated"])
def test_tiles_of_other_types(name: str, dtype: str, gpu: mx.Context, small: None) -> None:
    check(name, dtype, gpu)


def test_conditions_that_lie_turned(gpu: mx.Context, small: None) -> None:
    x, y = (mx.nd.array(np.arange(37 * 65).reshape(s), gpu) for s in ((37, 65), (65, 37)))
    graph = sym.where(turned(Y, 1, 0) > 1000.0, X, turned(Y, 1, 0))
    found = graph.eval(gpu, x=x, y=y)[0].asnumpy()
    right = y.asnumpy().T
    np.testing.assert_array_equal(found, np.where(right > 1000, x.asnumpy(), right))


def test_positions_in_tiles(gpu: mx.Context, small: None) -> None:
    """An element's place is that in the result, wherever it is computed."""
    y = np.arange(65 * 37, dtype=np.float32).reshape(65, 37)
    executor = (sym.eye(37, 65, k=2) + turned(Y, 1, 0)).bind(gpu, {"y": mx.nd.array(y, gpu)})
    (text,) = texts(executor.plan)
    assert BEGIN in text and "% 65" in text
    np.testing.assert_array_equal(executor.forward()[0].asnumpy(), np.eye(37, 65, 2) + y.T)


def test_kernels_in_tiles_side_by_side(gpu: mx.Context, small: None) -> None:
    values = {n: torch.randn(s) for n, s in zip("xyzb", ((37, 65), (65, 37)) * 2, strict=True)}
    given = {n: NDArray(v.to(torch_device(gpu)), gpu) for n, v in values.items()}
    both = sym.Group([X + turned(Y, 1, 0), Z * turned(B, 1, 0)])
    with guarded_where_interpreted(gpu):
        executor = both.bind(gpu, given)
        found = [output.to_torch().cpu() for output in executor.forward()]
    (text,) = texts(executor.plan)
    assert text.count("tile = program") == 2
    x, y, z, b = values.values()
    assert torch.equal(found[0], x + y.T) and torch.equal(found[1], z * b.T)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_hardly_any_elements(shape: Shape, gpu: mx.Context, small: None) -> None:
    x, y = np.ones(shape, np.float32), np.ones(shape[::-1], np.float32)
    given = {"x": mx.nd.array(x, gpu), "y": mx.nd.array(y, gpu)}
    with guarded_where_interpreted(gpu):
        (found,) = (X + turned(Y, 1, 0)).eval(gpu, **given)
    np.testing.assert_array_equal(found.asnumpy(), x + y.T)


def test_tiles_beyond_31_bits(gpu: mx.Context, small: None) -> None:
    """Rows of a few elements, 2^26 bytes apart."""
    rows, columns, far = 40, 32, 2**26
    device = torch_device(gpu)
    memory = sparse(rows * far, torch.int8, device)
    tensor = memory.as_strided((rows, columns), (far, 1))
    tensor.copy_(torch.arange(rows * columns, device=device).view(rows, columns) % 100)
    executor = (turned(Y, 1, 0) + 1).bind(gpu, {"y": NDArray(tensor, gpu)})
    (text,) = texts(executor.plan)
    assert f"{BEGIN}.to(tl.int64)" in text
    right = tensor.cpu().T + 1
    assert torch.equal(executor.forward()[0].to_torch().cpu(), right)


def test_what_lies_in_the_order_of_the_result_is_read_by_its_number() -> None:
    """Beside what is repeated: as parts of a coordinate its neighbours would not be known."""
    graph = sym.relu(sym.broadcast_add(X, B))
    (text,) = texts(plan_for_gpu(graph, {"x": (64, 650), "b": (1, 650)}))
    assert re.findall(r"tl.load\((in. \+ \S+),", text) == ["in0 + i", "in1 + i1"]
    part = sym.slice_axis(X, axis=0, begin=1, end=None)
    (text,) = texts(plan_for_gpu(sym.broadcast_add(part, B), {"x": (65, 650), "b": (1, 650)}))
    assert "tl.load(in0 + (i + 650), mask)" in text


# ---- which walk ----------------------------------------------------------------------------------


def axis_for(lengths: Shape, *strides: Shape, dtype: str = "float32") -> int | None:
    x = input_(0, (1,), as_dtype(dtype))
    return turned_axis(lengths, [Access(x, 0, own) for own in strides])


def test_tiles_are_for_what_lies_along_another_axis() -> None:
    assert axis_for((512, 512), (512, 1)) is None
    assert axis_for((512, 512), (512, 1), (1, 512)) == 0
    assert axis_for((512, 512), (512, 1), (-1, 512)) == 0
    assert axis_for((8, 512, 512), (512 * 512, 1, 512)) == 1
    # Attention's heads: the last axis stays where it is.
    assert axis_for((512, 12, 64), (64, 512 * 64, 1)) is None


def test_what_a_run_reads_in_whole_sectors_is_read_in_runs() -> None:
    # The same for all of a row, and the same for all rows.
    assert axis_for((512, 512), (1, 0)) is None
    assert axis_for((512, 512), (0, 1)) is None
    # Channels of images that are to lie last: a run has many pixels of each.
    assert axis_for((1000, 3), (1, 1000)) is None
    # Many small matrices: a run has several of them.
    assert axis_for((1000, 16, 16), (256, 1, 16)) is None
    # Neighbours of a column in one sector.
    assert axis_for((512, 4), (1, 4)) is None


def test_the_axis_along_which_most_bytes_lie() -> None:
    along_first, along_second = (1, 64 * 64, 64), (64 * 64, 1, 64)
    assert axis_for((64, 64, 64), along_first, along_second, along_second) == 1
    assert axis_for((64, 64, 64), along_first, along_first, along_second) == 0


def test_small_arrays_and_random_numbers_are_walked_over_in_runs() -> None:
    def walk(length: int, draws: bool = False) -> Runs | Tiles:
        x = input_(0, (length, length), as_dtype("float32"))
        dense, other = Access(x, 0, (length, 1)), Access(x, 0, (1, length))
        return triton_walks.walk_over(x.shape, dense, [other], (), {}, draws)

    assert isinstance(walk(512), Tiles)
    assert isinstance(walk(512, draws=True), Runs)
    assert isinstance(walk(64), Runs)


@pytest.mark.parametrize(
    ("rows", "columns", "elements", "due"),
    [
        (8192, 8192, 4096, (64, 64)),
        (8192, 8192, 2048, (32, 64)),
        (8192, 8192, 1024, (32, 32)),
        (8192, 8192, 256, (16, 16)),
        (8192, 10, 1024, (64, 16)),
        (10, 8192, 1024, (16, 64)),
        (10, 10, 1024, (16, 16)),
    ],
)
def test_sides_of_tiles(rows: int, columns: int, elements: int, due: Shape) -> None:
    assert sides(rows, columns, elements) == due


def test_large_arrays_get_large_tiles_and_others_many() -> None:
    def programs(*shape: int) -> tuple[str, int]:
        plan = plan_for_gpu(X + turned(Y, 1, 0), {"x": shape, "y": shape[::-1]})
        (kernel,) = plan.kernels
        source = triton_source.write(kernel, plan.layouts, H100)
        assert source is not None
        return str(dict(source.options)), source.programs

    assert programs(8192, 8192) == ("{'num_warps': 8}", 128 * 128)
    assert programs(1024, 1024) == ("{}", 32 * 16)
    assert programs(256, 256) == ("{}", 8 * 8)


def test_what_lies_as_the_result_does_is_loaded_last() -> None:
    """Triton computes in the order of threads of what is loaded last."""
    shapes: dict[str, Shape] = {"x": (512, 512), "y": (512, 512), "b": (1, 512)}
    graph = sym.broadcast_add(sym.exp(X), B) + turned(Y, 1, 0)
    (text,) = texts(plan_for_gpu(graph, shapes))
    loads = [line.split("tl.load(")[1] for line in text.splitlines() if "tl.load" in line]
    assert [load.split(" + ", 1)[1] for load in loads] == [
        "column)",
        "(row + column * 512))",
        "(row * 512 + column))",
    ]


def test_a_number_is_walked_over_in_runs(small: None) -> None:
    """What has no axes has none along which it lies."""
    one = input_(0, (), BY_NAME["float32"])
    plan = make_plan(Graph((make("exp", one) * one,)), in_registers=True)
    source = triton_source.write(plan.kernels[0], plan.layouts, H100)
    assert source is not None and "tile" not in source.text
