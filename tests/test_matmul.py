"""Generated matrix products in Triton's interpreter, against products in float64 or exact ones."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import pytest
import torch

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.expressions import expr
from tritonsym.expressions.expr import Expr, Shape
from tritonsym.expressions.layout import layouts
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import BY_NAME, DType
from tritonsym.graph.trace import Graph
from tritonsym.kernels.triton_matmul import matmul, product_of
from tritonsym.products.gpus import A100, H100, OTHER, Gpu
from tritonsym.products.matmul_tiles import Tile, tiles
from tritonsym.products.products import chosen, dot_parts
from tritonsym.scheduling.schedule import Kernel, schedule

TRANSPOSED = list(itertools.product((False, True), repeat=2))
FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("int8", "uint8", "int32", "int64")
# Half of the distance between neighbouring numbers, relative to them.
ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
SMALLEST = {"float16": 2.0**-25, "bfloat16": 0.0, "float32": 0.0, "float64": 0.0}
# Rows, columns, depth: one element, lanes, blocks, all ragged, several tiles of each.
SIZES = [(1, 1, 1), (1, 70, 33), (3, 5, 40), (16, 16, 16), (17, 33, 65), (150, 20, 50), (40, 2, 7)]
# A loop in Python over small blocks takes long.
SMALL_SIZES = [(1, 1, 1), (1, 30, 33), (17, 9, 20), (33, 2, 7)]
# Elements around an output, which nothing may write to.
GUARD = 64


@pytest.fixture(autouse=True)
def on_gpu(gpu: mx.Context) -> None:
    """Every test here runs kernels."""


def values(shape: Shape, dtype: str, seed: int) -> torch.Tensor:
    """Random numbers: of floats normal ones, of integers any at all."""
    generator = torch.Generator().manual_seed(seed)
    kind = BY_NAME[dtype].torch
    if kind.is_floating_point:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(kind)
    limits = torch.iinfo(kind)
    return torch.randint(limits.min, limits.max, shape, generator=generator, dtype=kind)


def check(found: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """Compare with the product of two matrices, or batches of them.

    Sums of n products in float32, or float64, are off by n roundings of the sum of magnitudes at
    most, and the result by one rounding more. Integers wrap around, so they are exact.
    """
    name = str(found.dtype).removeprefix("torch.")
    if not found.is_floating_point():
        assert torch.equal(found, exact(a, b))
        return
    due = a.double() @ b.double()
    magnitudes = a.double().abs() @ b.double().abs()
    sums = ROUNDING["float64" if name == "float64" else "float32"] * (a.shape[-1] + 1)
    bound = sums * magnitudes + ROUNDING[name] * due.abs() + SMALLEST[name]
    assert torch.all((found.double() - due).abs() <= bound)


def exact(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The product of integers, whose elements wrap around: multiplied in int64, which wraps too."""
    sums = (a.to(torch.int64)[..., :, :, None] * b.to(torch.int64)[..., None, :, :]).sum(-2)
    return sums.to(a.dtype)


# ---- a kernel by itself --------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A product as a caller writes it, with operands that may be stored transposed."""

    a: torch.Tensor
    b: torch.Tensor
    transpose_a: bool
    transpose_b: bool

    @property
    def expression(self) -> Expr:
        given = [self.a, self.b]
        kind = BY_NAME[str(self.a.dtype).removeprefix("torch.")]
        inputs = [expr.input_(i, tuple(t.shape), kind) for i, t in enumerate(given)]
        return expr.dot(*inputs, self.transpose_a, self.transpose_b, "ieee")

    def check(self, found: torch.Tensor) -> None:
        a = self.a.mT if self.transpose_a else self.a
        check(found, a, self.b.mT if self.transpose_b else self.b)


def case_of(
    dtype: str, size: tuple[int, int, int], transposed: tuple[bool, bool], batch: Shape = ()
) -> Case:
    rows, columns, depth = size
    left, right = (rows, depth), (depth, columns)
    a = values((*batch, *(left[::-1] if transposed[0] else left)), dtype, 1)
    b = values((*batch, *(right[::-1] if transposed[1] else right)), dtype, 2)
    return Case(a, b, *transposed)


def kernel_of(product: Expr) -> Kernel:
    ((kernel,), _) = schedule([product], layouts(toposort([product]), {}))
    assert kernel.form == "matmul"
    return kernel


def launched(product: Expr, inputs: list[torch.Tensor], tile: Tile) -> torch.Tensor:
    """What a product's kernel with this tile writes, and that it writes nothing else."""
    from tritonsym.context import gpu, torch_device
    from tritonsym.runtime import module_cache
    from tritonsym.runtime.kernel_launch import arguments_on

    device = torch_device(gpu(0))
    source = matmul(kernel_of(product), layouts(toposort([product]), {}), tile)
    around = torch.full((product.size + 2 * GUARD,), 77, dtype=product.dtype.torch, device=device)
    out = around[GUARD:-GUARD]
    by_index = {x: inputs[x.integer("index")].to(device) for x in source.arguments[:-1]}
    tensors = [*(by_index[x] for x in source.arguments[:-1]), out]
    arguments = arguments_on(source, tensors)
    module_cache.load(source.text).kernel[(source.programs,)](*arguments, **source.options)
    assert bool((around[:GUARD] == 77).all()) and bool((around[-GUARD:] == 77).all())
    return out.view(product.shape).cpu()


def tiles_of(product: Expr, gpu: Gpu, most: int = 6) -> tuple[Tile, ...]:
    where = layouts(toposort([product]), {})
    return tiles(product_of(kernel_of(product), where), gpu, most)


@pytest.mark.parametrize("transposed", TRANSPOSED)
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
def test_any_transposition_of_any_size(dtype: str, transposed: tuple[bool, bool]) -> None:
    for size in SMALL_SIZES if dtype in ("int32", "int64") else SIZES:
        case = case_of(dtype, size, transposed)
        (tile, *_) = tiles_of(case.expression, H100)
        case.check(launched(case.expression, [case.a, case.b], tile))


@pytest.mark.parametrize("batch", [(3,), (2, 3), (1,)])
@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "int32"])
def test_batches(dtype: str, batch: Shape) -> None:
    for transposed in TRANSPOSED:
        case = case_of(dtype, (18, 9, 33), transposed, batch)
        (tile, *_) = tiles_of(case.expression, H100)
        case.check(launched(case.expression, [case.a, case.b], tile))


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        *(("bfloat16", (1, 40, 90)), ("float32", (6, 40, 90)), ("int64", (9, 12, 17))),
        *(("bfloat16", (100, 150, 70)), ("float32", (60, 70, 70)), ("uint8", (100, 150, 70))),
    ],
)
def test_every_tile_computes_the_same(dtype: str, size: tuple[int, int, int]) -> None:
    case = case_of(dtype, size, (False, True))
    suited = dict.fromkeys(t for gpu in (H100, A100, OTHER) for t in tiles_of(case.expression, gpu))
    for tile in suited:
        case.check(launched(case.expression, [case.a, case.b], tile))


def test_many_tiles_are_walked_in_groups() -> None:
    """More rows of tiles than a group has, and a last group that is not full."""
    case = case_of("float32", (16 * 11 - 3, 40, 20), (False, False))
    case.check(launched(case.expression, [case.a, case.b], Tile(16, 16, 16, 4, 2)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "int8", "int32"])
@pytest.mark.parametrize("rows", [1, 17])
@pytest.mark.parametrize("length", [128, 256])
def test_parts_add_up(dtype: str, rows: int, length: int) -> None:
    """The last part is shorter, and a step of the loop may go beyond the end of a part."""
    case = case_of(dtype, (rows, 6, 300), (False, True))
    parts = dot_parts(case.expression, "ieee", length)
    suited = tiles_of(parts, H100)
    for tile in (*suited, replace(suited[0], depth=256)):
        found = launched(parts, [case.a, case.b], tile)
        assert found.shape[0] == -(-300 // length)
        for number, part in enumerate(found):
            inside = slice(number * length, (number + 1) * length)
            if found.is_floating_point():
                check(part, case.a[:, inside].to(part.dtype), case.b.mT[inside].to(part.dtype))
            else:
                check(part, case.a[:, inside], case.b.mT[inside])


# ---- bound graphs --------------------------------------------------------------------------------


def run(symbol: mx.Symbol, **given: torch.Tensor) -> tuple[list[torch.Tensor], mx.Executor]:
    """The outputs of a graph on a GPU; a second run gives the same bits."""
    context = mx.gpu(0)
    arrays = {name: mx.nd.from_torch(t).copyto(context) for name, t in given.items()}
    executor = symbol.bind(context, arrays)
    check_plan(executor.plan)
    first = [x.to_torch().cpu().clone() for x in executor.forward()]
    for x, before in zip(executor.forward(), first, strict=True):
        assert x.to_torch().cpu().view(torch.uint8).equal(before.view(torch.uint8))
    return first, executor


def forms(executor: mx.Executor) -> list[str]:
    return [kernel.form for kernel in executor.plan.kernels]


@pytest.mark.parametrize("depth", [50, 5003])
@pytest.mark.parametrize("dtype", FLOATS)
def test_what_follows_a_product(dtype: str, depth: int) -> None:
    """Bias, activation, residual, another dtype and a second output; the long depth in parts."""
    data, weight, bias, residual = map(mx.sym.Variable, ("data", "weight", "bias", "residual"))
    layer = mx.sym.FullyConnected(data, weight, bias, num_hidden=20, flatten=False)
    hidden = mx.sym.Activation(layer, act_type="tanh")
    out = mx.sym.cast(hidden + residual, dtype="float32")
    given = {
        "data": values((9, depth), dtype, 3) / depth**0.5,
        "weight": values((20, depth), dtype, 4),
        "bias": values((20,), dtype, 5),
        "residual": values((9, 20), dtype, 6),
    }
    found, executor = run(mx.sym.Group([out, layer]), **given)
    assert forms(executor) == (["matmul"] if depth < 1000 else ["matmul", "pointwise"])
    before = given["data"].double() @ given["weight"].double().mT + given["bias"].double()
    due = torch.tanh(before) + given["residual"].double()
    # Products are of normal numbers whose sums have size 1; a few roundings follow, each of a
    # number smaller than 8.
    bound = 8 * 4 * ROUNDING[dtype] + depth * ROUNDING["float32" if dtype != "float64" else dtype]
    assert found[0].dtype is torch.float32
    torch.testing.assert_close(found[0].double(), due, rtol=0, atol=bound + 2**-23)
    torch.testing.assert_close(found[1].double(), before, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_wrap_around(dtype: str) -> None:
    a, b = values((6, 3000), dtype, 7), values((3000, 5), dtype, 8)
    (found,), executor = run(mx.sym.dot(mx.sym.Variable("a"), mx.sym.Variable("b")), a=a, b=b)
    assert found.equal(exact(a, b))
    assert "by a library" not in str(executor.plan)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_operands_that_are_views(dtype: str) -> None:
    """Slices, broadcasts and transposes are read where they lie."""
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    left = mx.sym.slice(a, begin=(1, 2), end=(19, 40), step=(1, 2))
    right = mx.sym.transpose(mx.sym.broadcast_to(mx.sym.slice_axis(b, 1, 0, 1), shape=(30, 19)))
    given = {"a": values((20, 41), dtype, 9), "b": values((30, 3), dtype, 10)}
    (found,), executor = run(mx.sym.dot(left, right), **given)
    assert forms(executor) == ["matmul"]
    check(found, given["a"][1:19, 2:40:2], given["b"][:, :1].expand(30, 19).mT)


def test_infinity_and_nan_stay_in_their_rows() -> None:
    """What lies behind the end of a row or a tile is not multiplied with them."""
    a, b = torch.ones(18, 20), torch.ones(20, 17)
    a[3, 4], a[5, 6], b[7, 8] = float("inf"), float("nan"), float("-inf")
    for precision in ("ieee", "tf32", "tf32x3"):
        with mx.switched(matmul_precision=precision):
            (found,), _ = run(mx.sym.dot(mx.sym.Variable("a"), mx.sym.Variable("b")), a=a, b=b)
        due = a @ b
        if precision == "tf32x3":
            # Infinity has no trailing bits: infinity minus infinity is no number.
            assert found.isfinite().equal(due.isfinite())
        else:
            torch.testing.assert_close(found, due, equal_nan=True)


# ---- exactness -----------------------------------------------------------------------------------


def errors(precision: str, depth: int) -> float:
    """The largest error of a product of float32, in parts of the sums of magnitudes."""
    a, b = values((33, depth), "float32", 11), values((depth, 20), "float32", 12)
    with mx.switched(matmul_precision=precision):
        (found,), executor = run(mx.sym.dot(mx.sym.Variable("a"), mx.sym.Variable("b")), a=a, b=b)
    assert (f"in {precision}" in str(executor.plan)) == (precision != "ieee")
    due, magnitudes = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    return float(((found.double() - due).abs() / magnitudes).max())


@pytest.mark.parametrize("depth", [64, 1500])
def test_the_precisions_keep_what_they_promise(depth: int) -> None:
    """Eleven bits of each factor, or nearly all of them.

    Factors that are rounded to 11 bits, as the interpreter does it, are off by 2**-11 each at most;
    a GPU that reads them from shared memory leaves the others out, twice as much. Of three products
    of 11 and 11 bits only the product of trailing bits is missing, and what 22 bits do not hold of
    a factor.
    """
    ieee, tf32, tf32x3 = (errors(p, depth) for p in ("ieee", "tf32", "tf32x3"))
    assert ieee <= 2.0**-21
    assert 2.0**-18 < tf32 <= 2.0**-9
    assert tf32x3 <= ieee + 2.0**-20


def test_precisions_do_not_share_kernels() -> None:
    texts = set()
    for precision in ("ieee", "tf32", "tf32x3"):
        x = expr.input_(0, (64, 64), BY_NAME["float32"])
        product = expr.dot(x, x, precision=precision)
        where = layouts([x, product], {})
        tile = Tile(32, 32, 32, 4, 3)
        texts.add(matmul(kernel_of(product), where, tile).text)
    assert len(texts) == 3


def test_other_dtypes_have_one_precision() -> None:
    a = mx.sym.Variable("a")
    given = values((16, 16), "float16", 13)
    with mx.switched(matmul_precision="tf32"):
        _, executor = run(mx.sym.dot(a, a), a=given)
    assert "tf32" not in str(executor.plan)


# ---- which kernel --------------------------------------------------------------------------------


def product(dtype: str, rows: int, columns: int, depth: int, batch: Shape = ()) -> Expr:
    kind: DType = BY_NAME[dtype]
    a = expr.input_(0, (*batch, rows, depth), kind)
    return expr.dot(a, expr.input_(1, (*batch, columns, depth), kind), transpose_b=True)


def decided(x: Expr, gpu: Gpu = H100, precision: str = "ieee") -> Expr:
    """What becomes of a product."""
    (result,) = chosen(Graph((x,)), {}, gpu, precision).outputs
    return result


def parts(x: Expr) -> int:
    found = [y for y in toposort([x]) if y.primitive == "dot_parts"]
    return found[0].shape[0] if found else 1


def test_long_sums_of_few_elements_are_split() -> None:
    assert parts(decided(product("bfloat16", 32, 32, 32768))) >= 16
    assert parts(decided(product("float32", 16, 16, 50000))) >= 16
    assert parts(decided(product("bfloat16", 4096, 4096, 4096))) == 1
    assert parts(decided(product("float32", 64, 10, 64))) == 1
    assert parts(decided(product("bfloat16", 64, 64, 4096, batch=(512,)))) == 1


def test_parts_of_16_bits_are_added_in_32() -> None:
    total = decided(product("float16", 16, 16, 40000))
    assert total.primitive == "cast" and total.dtype.name == "float16"
    assert {y.dtype.name for y in toposort([total.inputs[0]]) if y.inputs} == {"float32"}


def test_a_plan_shows_what_a_library_does() -> None:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    from tritonsym.plan_command import plan_for_gpu

    plan = plan_for_gpu(mx.sym.relu(mx.sym.dot(a, b)), {"a": (4096, 4096), "b": (4096, 4096)})
    assert "by a library: it is better at many exact products of float32" in str(plan)
    assert [kernel.form for kernel in plan.kernels] == ["single", "pointwise"]


def test_offsets_beyond_31_bits_are_wide() -> None:
    """The contracted axis too: its own steps can be the long ones."""
    x = expr.dot(
        expr.input_(0, (2**16, 2**15 + 16), BY_NAME["int8"]),
        expr.input_(1, (2**16, 16), BY_NAME["int8"]),
        transpose_a=True,
        precision="ieee",
    )
    text = matmul(kernel_of(x), layouts(toposort([x]), {}), Tile(64, 16, 64, 4, 3)).text
    assert "program = tl.program_id(0).to(tl.int64)" in text
    assert "inner = (start + tl.arange(0, 64)).to(tl.int64)" in text
    narrow = product("int8", 64, 64, 64)
    narrow = expr.dot(*narrow.inputs, transpose_b=True, precision="ieee")
    (tile, *_) = tiles_of(narrow, H100)
    assert (
        "int64" not in matmul(kernel_of(narrow), layouts([*narrow.inputs, narrow], {}), tile).text
    )
