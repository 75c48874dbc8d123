"""Products whose operands come by tensor descriptors: what they compute, and which they are."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import triton

import tritonsym as mx
from guard_bands import POISONS, guarded_where_interpreted
from memory_checker import check_plan
from sparse_memory import sparse
from test_matmul import TRANSPOSED, case_of, check, kernel_of, launched, tiles_of, values
from tritonsym.compiler import compiler
from tritonsym.context import torch_device
from tritonsym.expressions import expr
from tritonsym.expressions.expr import Expr, Shape
from tritonsym.expressions.layout import Layout, contiguous, layouts
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import BY_NAME
from tritonsym.kernels.triton_matmul import matmul
from tritonsym.ndarray import NDArray
from tritonsym.products import matmul_tiles
from tritonsym.products.gpus import A100, B200, H100, Gpu
from tritonsym.products.matmul_tiles import Tile, tiles
from tritonsym.products.products import describe, dot_parts
from tritonsym.products.tensor_descriptor import axes_of, descriptor_of
from tritonsym.runtime import module_cache

sym = mx.sym
_OLD = triton.__version__.startswith("3.6.") and np.lib.NumpyVersion(np.__version__) >= "2.4.0"
pytestmark = pytest.mark.skipif(
    _OLD and not torch.cuda.is_available(),
    reason="with numpy 2.4, Triton 3.6 interprets no loop whose begin a program computes",
)
# So few programs that each has several of a test's tiles.
SMALL = replace(H100, multiprocessors=3)
# None of the lengths is a multiple of the tile's.
SIZE = (200, 136, 72)
TILE = Tile(64, 32, 32, 4, 3, descriptors=True)


@pytest.fixture(autouse=True)
def on_gpu(gpu: mx.Context) -> None:
    """Every test here runs kernels."""


# ---- a kernel by itself --------------------------------------------------------------------------


@pytest.mark.parametrize("walkers", [0, 1, 3, 1000])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)], ids=str)
@pytest.mark.parametrize("transposed", TRANSPOSED, ids=str)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_any_transposition(
    dtype: str, transposed: tuple[bool, bool], batch: Shape, walkers: int
) -> None:
    """Ragged on all sides; by programs that have one tile, several, all or none."""
    case = case_of(dtype, SIZE, transposed, batch)
    tile = replace(TILE, walkers=walkers)
    case.check(launched(case.expression, [case.a, case.b], tile))


def test_more_rows_of_tiles_than_a_group_has() -> None:
    case = case_of("float16", (64 * 11 - 8, 40, 24), (False, False))
    for walkers in (0, 4):
        tile = replace(TILE, walkers=walkers)
        case.check(launched(case.expression, [case.a, case.b], tile))


@pytest.mark.parametrize("walkers", [0, 3])
def test_parts(walkers: int) -> None:
    """The last part is shorter, and the last step goes beyond the end of the depth."""
    case = case_of("float16", (70, 40, 328), (False, True))
    parts = dot_parts(case.expression, "ieee", 128)
    found = launched(parts, [case.a, case.b], replace(TILE, walkers=walkers))
    assert found.shape[0] == 3
    for number, part in enumerate(found):
        inside = slice(number * 128, (number + 1) * 128)
        check(part, case.a[:, inside].float(), case.b.mT[inside].float())


@pytest.mark.parametrize("precision", ["ieee", "tf32"])
def test_float32(precision: str) -> None:
    """The text is the same but for the precision; tf32 leaves all but 11 bits of factors out."""
    case = case_of("float32", SIZE, (False, True))
    product = expr.dot(*case.expression.inputs, transpose_b=True, precision=precision)
    found = launched(product, [case.a, case.b], replace(TILE, walkers=3))
    if precision == "ieee":
        case.check(found)
    due, magnitudes = case.a @ case.b.mT, case.a.abs() @ case.b.mT.abs()
    assert ((found - due).abs() <= 2.0**-9 * magnitudes).all()


def test_every_tile_computes_the_same() -> None:
    """All that are timed where tuning is on, of all kinds."""
    case = case_of("bfloat16", (520, 776, 136), (False, True))
    suited = [*tiles_of(case.expression, SMALL), *tiles_of(case.expression, H100)]
    suited.append(replace(suited[0], walkers=0))
    kinds = {(tile.descriptors, tile.walkers > 0) for tile in suited}
    assert kinds == {(True, True), (True, False), (False, False)}
    for tile in suited:
        case.check(launched(case.expression, [case.a, case.b], tile))


# ---- bound graphs --------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, gpu: mx.Context) -> list[str]:
    """Kernels are made for a small GPU; the texts of those that were loaded."""
    from tritonsym.runtime import triton_runtime

    texts: list[str] = []
    load = module_cache.load
    for module in (compiler, triton_runtime):
        monkeypatch.setattr(module, "gpu_of", lambda context: SMALL)
    monkeypatch.setattr(module_cache, "load", lambda text: (texts.append(text), load(text))[1])
    return texts


def layer(act: str) -> mx.Symbol:
    data, weight, bias = map(sym.Variable, ("data", "weight", "bias"))
    out = sym.FullyConnected(data, weight, bias, num_hidden=600, flatten=False)
    return sym.Activation(out, act_type=act) if act else out


def heads(x: mx.Symbol) -> mx.Symbol:
    """The elements in another order, which the product's kernel stores them in."""
    split = sym.transpose(sym.reshape(x, shape=(4, 100, 3, 200)), axes=(0, 2, 1, 3))
    return sym.reshape(split, shape=(12, 100, 200))


RESIDUAL = sym.Variable("residual")
# What follows the product, whether its result is stored by a descriptor, and what is due.
FOLLOWING: dict[
    str, tuple[Callable[[], mx.Symbol], bool, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]
] = {
    "nothing": (lambda: layer(""), True, lambda x, r: x),
    "relu": (lambda: layer("relu"), True, lambda x, r: x.relu()),
    "tanh": (lambda: layer("tanh"), True, lambda x, r: x.tanh()),
    "residual": (lambda: layer("relu") + RESIDUAL, False, lambda x, r: x.relu() + r),
    "cast": (lambda: sym.cast(layer("relu"), dtype="float32"), False, lambda x, r: x.relu()),
    "copy": (
        lambda: heads(layer("relu")),
        False,
        lambda x, r: x.relu().reshape(4, 100, 3, 200).transpose(1, 2).reshape(12, 100, 200),
    ),
}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", FOLLOWING)
def test_what_follows_a_product(name: str, dtype: str, small: list[str], gpu: mx.Context) -> None:
    build, in_blocks, function = FOLLOWING[name]
    given = {
        "data": values((400, 264), dtype, 1) / 264**0.5,
        "weight": values((600, 264), dtype, 2),
        "bias": values((600,), dtype, 3),
        "residual": values((400, 600), dtype, 4),
    }
    symbol = build()
    arrays = {n: mx.nd.from_torch(given[n]).copyto(gpu) for n in symbol.list_inputs()}
    with guarded_where_interpreted(gpu, POISONS):
        executor = symbol.bind(gpu, arrays)
        check_plan(executor.plan)
        found = executor.forward()[0].to_torch().cpu().double()
    texts = [text for text in small if "math.dot" in text]
    assert texts and all("in tl.range(tl.program_id(0)" in text for text in texts)
    assert all(("out0_blocks.store(" in text) == in_blocks for text in texts)
    wide = {n: x.double() for n, x in given.items()}
    due = function(wide["data"] @ wide["weight"].mT + wide["bias"], wide["residual"])
    # A few roundings of numbers smaller than 8, and a sum of 264 products in float32.
    rounding = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    torch.testing.assert_close(found, due, rtol=0, atol=8 * 4 * rounding)


def test_a_second_output(small: list[str], gpu: mx.Context) -> None:
    given = {"data": (400, 264), "weight": (600, 264), "bias": (600,)}
    tensors = {n: values(s, "float16", i) / 16 for i, (n, s) in enumerate(given.items())}
    arrays = {n: mx.nd.from_torch(t).copyto(gpu) for n, t in tensors.items()}
    plain = layer("")
    with guarded_where_interpreted(gpu, POISONS):
        executor = sym.Group([sym.relu(plain), plain]).bind(gpu, arrays)
        first, second = (x.to_torch().cpu() for x in executor.forward())
    assert [kernel.form for kernel in executor.plan.kernels] == ["matmul"]
    (text,) = (text for text in small if "math.dot" in text)
    assert "left_blocks" in text and "out0_blocks" not in text
    a, b, bias = (x.double() for x in tensors.values())
    due = a @ b.mT + bias
    torch.testing.assert_close(second.double(), due, rtol=2.0**-9, atol=2.0**-12)
    assert first.equal(second.relu())


def test_a_batch_is_wide_where_pointers_need_it(small: list[str], gpu: mx.Context) -> None:
    """Descriptors take places of 32 bits; what is added lies 2^31 elements and more apart."""
    a, b = (values((3, 400, 264), "float16", i) / 16 for i in range(2))
    far = 2**30
    # What wraps around is within the memory as well.
    memory = sparse(5 * far, torch.float16, torch_device(gpu))
    residual = memory.as_strided((3, 400, 400), (far, 400, 1), 2 * far)
    residual.copy_(values((3, 400, 400), "float16", 2))
    arrays = {n: mx.nd.from_torch(t).copyto(gpu) for n, t in (("a", a), ("b", b))}
    arrays["residual"] = NDArray(residual, gpu)
    product = sym.batch_dot(sym.Variable("a"), sym.Variable("b"), transpose_b=True)
    found = (product + RESIDUAL).bind(gpu, arrays).forward()[0].to_torch().cpu().double()
    assert "left_blocks.load([batch, row_begin" in small[-1]
    due = a.double() @ b.double().mT + residual.cpu().double()
    # Two roundings of numbers smaller than 16, and sums of 264 products in float32.
    torch.testing.assert_close(found, due, rtol=0, atol=2 * 16 * 2.0**-11)


def test_infinity_and_nan_stay_in_their_rows(small: list[str], gpu: mx.Context) -> None:
    """What lies behind the end of an array is zero, for both operands."""
    a, b = torch.ones(400, 264).half(), torch.ones(600, 264).half()
    a[399, 263], a[5, 6], b[599, 0] = float("inf"), float("nan"), float("-inf")
    arrays = {n: mx.nd.from_torch(t).copyto(gpu) for n, t in (("a", a), ("b", b))}
    graph = sym.dot(sym.Variable("a"), sym.Variable("b"), transpose_b=True)
    found = graph.bind(gpu, arrays).forward()[0].to_torch().cpu()
    assert "left_blocks" in small[-1]
    torch.testing.assert_close(found.double(), a.double() @ b.double().mT, equal_nan=True)


def placed(value: torch.Tensor, begin: int, context: mx.Context) -> mx.nd.NDArray:
    """An array whose memory begins so many elements behind a multiple of 16 bytes."""
    around = mx.nd.zeros((value.numel() + 1,), context, "float16")
    found = around[begin : begin + value.numel()].reshape(tuple(value.shape))
    found[:] = value.numpy()
    assert found.to_torch().data_ptr() % 16 == 2 * begin
    return found


@pytest.mark.parametrize("unaligned", ["left", "right", "gradient", ""])
def test_memory_that_begins_anywhere(unaligned: str, small: list[str], gpu: mx.Context) -> None:
    """A descriptor cannot say where it is; the same product is computed through pointers."""
    tensors = {n: values((520, 520), "float16", i) for i, n in enumerate(("left", "right", "head"))}
    tensors["gradient"] = torch.zeros(520, 520)
    arrays = {n: placed(t, int(n == unaligned), gpu) for n, t in tensors.items()}
    graph = sym.dot(sym.Variable("left"), sym.Variable("right"), transpose_b=True)
    given = {name: arrays[name] for name in ("left", "right")}
    executor = graph.bind(gpu, given, {"left": arrays["gradient"]}, {"left": "write"})
    found = executor.forward(is_train=True)[0].asnumpy()
    executor.backward(arrays["head"])
    a, b, head = (tensors[name].double().numpy() for name in ("left", "right", "head"))
    # The result is rounded once, and sums of 520 products in float32 hardly count.
    np.testing.assert_allclose(found, a @ b.T, rtol=2.0**-10, atol=2.0**-8)
    np.testing.assert_allclose(arrays["gradient"].asnumpy(), head @ b, rtol=2.0**-10, atol=2.0**-8)
    described = {"out0_blocks" in text for text in small if "math.dot" in text}
    # Both products read the right operand, and each one of the others.
    expected = {"right": {False}, "": {True}}.get(unaligned, {False, True})
    assert described == expected


# ---- which arrays --------------------------------------------------------------------------------


def viewed(
    shape: Shape, strides: tuple[int, ...], offset: int = 0, dtype: str = "float16"
) -> tuple[int, ...] | None:
    """The axes of a descriptor of such an array."""
    x = expr.input_(0, shape, BY_NAME[dtype])
    return axes_of(x, Layout(x, offset, strides))


def test_the_axes_of_a_descriptor() -> None:
    assert viewed((70, 64), (64, 1)) == (0, 1)
    assert viewed((64, 70), (1, 64)) == (1, 0)
    assert viewed((5, 70, 64), (70 * 64, 64, 1)) == (0, 1, 2)
    assert viewed((5, 70, 64), (64, 5 * 64, 1)) == (0, 1, 2)
    # The same matrix for each of a batch.
    assert viewed((5, 70, 64), (0, 64, 1)) == (1, 2)
    assert viewed((2, 3, 4, 70, 64), contiguous((2, 3, 4, 70, 64))) == (0, 1, 2, 3, 4)
    assert viewed((70, 32), (64, 1), offset=8) == (0, 1)
    assert viewed((70, 32), (36, 1), dtype="float32") == (0, 1)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((70, 65), (65, 1), 0),
        ((70, 64), (68, 1), 0),
        ((70, 64), (64, 1), 4),
        ((70, 32), (64, 2), 0),
        ((70, 64), (0, 1), 0),
        ((70, 64), (1, 0), 0),
        ((70, 64), (0, 0), 0),
        ((5, 70, 64), (70 * 64 + 4, 64, 1), 0),
        ((2, 2, 2, 2, 70, 64), contiguous((2, 2, 2, 2, 70, 64)), 0),
        ((2, 2**31), (2**31, 1), 0),
    ],
)
def test_what_has_no_descriptor(shape: Shape, strides: tuple[int, ...], offset: int) -> None:
    assert viewed(shape, strides, offset) is None


def test_blocks_are_of_the_matrices() -> None:
    x = expr.input_(0, (5, 72, 64), BY_NAME["float16"])
    found = descriptor_of(x, Layout(x, 0, (64 * 72, 1, 72)), 32, 16)
    assert (found.shape, found.strides, found.block) == ((5, 64, 72), (4608, 72, 1), (1, 16, 32))


@pytest.mark.parametrize("transposed", TRANSPOSED, ids=str)
def test_views_are_read_where_they_lie(transposed: tuple[bool, bool]) -> None:
    """Part of a larger array, whose other elements must not count."""
    shapes = [(88, 64), (64, 48)]
    inputs, given = [], []
    for number, (shape, turned) in enumerate(zip(shapes, transposed, strict=True)):
        shape = shape[::-1] if turned else shape
        whole = values((shape[0] + 9, shape[1] + 24), "float16", number)
        x = expr.input_(number, tuple(whole.shape), BY_NAME["float16"])
        part = expr.narrow(expr.narrow(x, 0, 5, 5 + shape[0]), 1, 8, 8 + shape[1])
        inputs.append(part)
        given.append((whole, whole[5 : 5 + shape[0], 8 : 8 + shape[1]]))
    product = expr.dot(*inputs, *transposed, "ieee")
    where = layouts(toposort([product]), {})
    assert describe(product, where, "ieee").described
    found = launched_on_views(product, [whole for whole, _ in given], [part for _, part in given])
    turned = zip(given, transposed, strict=True)
    check(found, *(part.mT if is_turned else part for (_, part), is_turned in turned))


def launched_on_views(
    product: Expr, wholes: list[torch.Tensor], parts: list[torch.Tensor]
) -> torch.Tensor:
    """Like `launched`, where the product's operands are parts of its inputs."""
    from tritonsym.context import gpu, torch_device
    from tritonsym.runtime.kernel_launch import arguments_on

    device = torch_device(gpu(0))
    source = matmul(kernel_of(product), layouts(toposort([product]), {}), TILE)
    moved = [whole.to(device) for whole in wholes]
    views = [
        to.as_strided(part.shape, part.stride(), part.storage_offset())
        for to, part in zip(moved, parts, strict=True)
    ]
    of = dict(zip(product.inputs, views, strict=True))
    out = torch.zeros(product.shape, dtype=product.dtype.torch, device=device)
    arguments = arguments_on(source, [*(of[x] for x in source.arguments[:-1]), out])
    module_cache.load(source.text).kernel[(source.programs,)](*arguments, **source.options)
    return out.cpu()


# ---- which products ------------------------------------------------------------------------------


def picked(
    rows: int,
    columns: int,
    depth: int,
    dtype: str = "bfloat16",
    gpu: Gpu = H100,
    precision: str = "ieee",
    transpose_b: bool = True,
) -> Tile:
    kind = BY_NAME[dtype]
    a = expr.input_(0, (rows, depth), kind)
    b = expr.input_(1, (columns, depth) if transpose_b else (depth, columns), kind)
    x = expr.dot(a, b, transpose_b=transpose_b, precision=precision)
    return tiles(describe(x, layouts([a, b, x], {}), precision), gpu, 1)[0]


def test_large_products_walk_over_their_tiles() -> None:
    for size, dtype in itertools.product((4096, 8192), ("bfloat16", "float16")):
        tile = picked(size, size, size, dtype)
        assert (tile.rows, tile.columns, tile.depth) == (128, 256, 64)
        assert (tile.stages, tile.warps) == (3, 8)
        assert tile.descriptors and tile.walkers == H100.multiprocessors


def test_programs_do_not_walk_where_each_has_one_tile() -> None:
    tile = picked(1024, 1024, 1024)
    assert tile.descriptors and not tile.walkers


def test_programs_of_small_tiles_do_not_walk() -> None:
    """A multiprocessor has several of them at a time, and one computes while another loads."""
    a, b = (expr.input_(i, (4096, 4096), BY_NAME["float16"]) for i in range(2))
    x = expr.dot(a, b, transpose_b=True, precision="ieee")
    where = describe(x, layouts([a, b, x], {}), "ieee")
    small, large = Tile(64, 64, 64, 4, 3), Tile(128, 256, 64, 8, 3)
    walkers = [[t.walkers for t in matmul_tiles._described(where, t, H100)] for t in (small, large)]
    assert walkers == [[0], [0, H100.multiprocessors]]


@pytest.mark.parametrize(
    ("given", "described"),
    [
        ({}, True),
        ({"gpu": A100}, False),
        ({"gpu": B200}, True),
        ({"depth": 4100}, False),
        ({"dtype": "float32"}, False),
        ({"dtype": "float32", "precision": "tf32"}, True),
        ({"dtype": "float32", "precision": "tf32", "transpose_b": False}, False),
        ({"dtype": "float32", "precision": "tf32x3"}, False),
        ({"dtype": "float64"}, False),
        ({"dtype": "int8"}, False),
        ({"dtype": "int32"}, False),
        ({"rows": 16}, False),
        ({"rows": 1}, False),
        ({"rows": 64, "columns": 96, "depth": 256}, False),
    ],
    ids=str,
)
def test_which_products_are_described(given: dict[str, object], described: bool) -> None:
    size = {"rows": 4096, "columns": 4096, "depth": 4096}
    assert picked(**{**size, **given}).descriptors == described  # type: ignore[arg-type]


def test_a_computed_operand_comes_through_registers() -> None:
    a, b = (expr.input_(i, (4096, 128), BY_NAME["float16"]) for i in range(2))
    computed = expr.make("abs", a)
    x = expr.dot(computed, b, transpose_b=True, precision="ieee")
    where = layouts([a, b, computed, x], {})
    assert describe(x, where, "ieee", (x,)).described
    assert not describe(x, where, "ieee", (computed, x)).described
