"""Products that a library computes on a GPU: which, why, and what it is given instead."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.expressions import exactness, expr, reference
from tritonsym.expressions.expr import Expr, Shape
from tritonsym.expressions.layout import layouts
from tritonsym.expressions.philox import RandomState
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import BY_NAME
from tritonsym.graph.trace import Graph
from tritonsym.plan_command import plan_for_gpu
from tritonsym.products import library_products
from tritonsym.products.gpus import H200
from tritonsym.products.products import chosen, describe

TRANSPOSED = list(itertools.product((False, True), repeat=2))
EXACT = "it is better at many exact products of float32"
ACROSS = "in tf32 it is better at operands that do not lie along the depth"
MANY = "in tf32 it is better at many products"
APART = "it multiplies leading and trailing bits apart in tf32"
UNALIGNED = "rows of its operands do not begin at multiples of 16 bytes"


def product(
    dtype: str,
    size: tuple[int, int, int],
    transposed: tuple[bool, bool] = (False, True),
    batch: Shape = (),
) -> Expr:
    """A product of rows, columns and depth; operands lie along the depth unless turned."""
    rows, columns, depth = size
    left = (depth, rows) if transposed[0] else (rows, depth)
    right = (columns, depth) if transposed[1] else (depth, columns)
    a, b = (expr.input_(i, (*batch, *s), BY_NAME[dtype]) for i, s in enumerate((left, right)))
    return expr.dot(a, b, *transposed)


def decided(x: Expr, precision: str = "ieee") -> Expr:
    """What becomes of a product on an H200."""
    (result,) = chosen(Graph((x,)), {}, H200, precision).outputs
    return result


def reason(x: Expr) -> object:
    (found,) = [y for y in toposort([x]) if y.primitive in expr.PRODUCTS]
    return None if found.primitive == "dot_parts" else found["library"]


def value(x: Expr, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    (found,) = reference.run([x], inputs, RandomState(0))
    return found


def drawn(x: Expr, seed: int = 1) -> list[torch.Tensor]:
    """Normal numbers for the inputs of a graph."""
    draw = torch.Generator().manual_seed(seed)
    inputs = sorted(
        (y for y in toposort([x]) if y.primitive == "input"), key=lambda y: y.integer("index")
    )
    numbers = (torch.randn(y.shape, generator=draw, dtype=torch.float64) for y in inputs)
    return [n.to(y.dtype.torch) for n, y in zip(numbers, inputs, strict=True)]


# ---- which ---------------------------------------------------------------------------------------


def test_exact_products_of_float32_by_their_size_and_order() -> None:
    """Ours are slowest where both operands lie along the depth."""
    assert reason(decided(product("float32", (256, 1024, 784)))) == EXACT
    assert reason(decided(product("float32", (64, 2600, 650)))) == EXACT
    assert reason(decided(product("float32", (128, 500, 800)))) == EXACT
    assert reason(decided(product("float32", (128, 800, 500), (False, False)))) == EXACT
    assert reason(decided(product("float32", (4096, 4096, 4096), (True, False)))) == EXACT
    # What our kernels compute as fast, with what follows.
    assert reason(decided(product("float32", (500, 800, 128), (True, False)))) is None
    assert reason(decided(product("float32", (10, 1024, 256), (True, False)))) is None
    assert reason(decided(product("float32", (128, 10, 500)))) is None
    assert reason(decided(product("float32", (64, 64, 64)))) is None


def test_few_rows_are_bound_by_memory_and_stay() -> None:
    for rows in (1, 8):
        for dtype in ("float32", "float64"):
            assert reason(decided(product(dtype, (rows, 8192, 8192)))) is None


def test_other_dtypes() -> None:
    double = decided(product("float64", (2048, 2048, 2048)))
    assert reason(double) == "it is better at many exact products of float64"
    assert reason(decided(product("float64", (64, 64, 64)))) is None
    for dtype in ("int8", "int32", "bfloat16"):
        assert reason(decided(product(dtype, (4096, 4096, 4096)))) is None
    truth = decided(product("bool", (64, 64, 64)))
    assert reason(truth) == "there are no products of bool"


def test_tf32_along_the_depth_is_ours_unless_it_is_large() -> None:
    for transposed in TRANSPOSED:
        small = decided(product("float32", (256, 256, 256), transposed), "tf32")
        large = decided(product("float32", (2048, 2048, 2048), transposed), "tf32")
        assert small["precision"] == large["precision"] == "tf32"
        assert reason(small) is None
        assert reason(large) == (None if transposed == (False, True) else ACROSS)
    assert reason(decided(product("float32", (4096, 4096, 4096)), "tf32")) == MANY


def test_a_plan_says_why_and_computes_what_follows_apart() -> None:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    for precision, due in {"ieee": EXACT, "tf32": ACROSS, "tf32x3": APART}.items():
        with mx.switched(matmul_precision=precision):
            shapes = {"a": (2048, 2048), "b": (2048, 2048)}
            plan = plan_for_gpu(mx.sym.relu(mx.sym.dot(a, b)), shapes)
        assert f"by a library: {due}" in str(plan)
        assert ("dot in tf32" in str(plan)) == (precision != "ieee")
        split = ["pointwise"] * 2 if precision == "tf32x3" else []
        assert sorted(k.form for k in plan.kernels) == sorted([*split, "single", "pointwise"])


# ---- what the library is told --------------------------------------------------------------------


@pytest.mark.parametrize("before", ["ieee", "tf32"])
@pytest.mark.parametrize("precision", ["ieee", "tf32"])
def test_a_library_keeps_the_bits_of_each_call(before: str, precision: str) -> None:
    """Whatever the program has told it for its own calls, which stands again afterwards."""
    setting = torch.backends.cuda.matmul
    first, seen = setting.fp32_precision, []
    try:
        setting.fp32_precision = before

        def step() -> None:
            seen.append(setting.fp32_precision)

        exactness.keeping(precision, step, SimpleNamespace(is_cuda=True))()
        assert setting.fp32_precision == before
    finally:
        setting.fp32_precision = first
    assert seen == [precision]


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_products_ask_for_their_precision(batch: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def keeping(precision: str, step: reference.Step, out: torch.Tensor) -> reference.Step:
        asked.append(precision)
        return step

    monkeypatch.setattr(reference, "keeping", keeping)
    x = product("float32", (4, 5, 6), batch=batch)
    for precision in (None, "ieee", "tf32"):
        value(expr.dot(*x.inputs, False, True, precision, "it is a test"), drawn(x))
    assert asked == ["ieee", "ieee", "tf32"]


# ---- three products in tf32 ----------------------------------------------------------------------


def thrice(x: Expr) -> Expr:
    where = layouts(toposort([x]), {})
    return library_products._thrice(x, describe(x, where, "tf32x3"), H200)[1]


@pytest.mark.parametrize("batch", [(), (2, 3)])
@pytest.mark.parametrize("transposed", TRANSPOSED)
def test_nearly_exact_products_in_tf32(transposed: tuple[bool, bool], batch: Shape) -> None:
    """Tensor cores keep 11 bits of each factor: of leading bits all, of 13 trailing ones nearly.

    Without what they leave out of these, and the product of trailing bits, 2**-21 of the sum of
    magnitudes is missing at most, beside the roundings of a sum in float32.
    """
    x = product("float32", (17, 9, 40), transposed, batch)
    deep = thrice(x)
    assert deep["precision"] == "tf32" and deep["library"] == APART
    assert deep.shape == x.shape
    left, right = (value(y, drawn(x)) for y in deep.inputs)
    kept = [
        _leading_bits(y).mT if turned else _leading_bits(y)
        for y, turned in zip((left, right), transposed, strict=True)
    ]
    found = kept[0].double() @ kept[1].double()
    a, b = (
        y.double().mT if turned else y.double()
        for y, turned in zip(drawn(x), transposed, strict=True)
    )
    magnitudes = a.abs() @ b.abs()
    assert torch.all((found - a @ b).abs() <= 2.0**-21 * magnitudes)
    in_float32 = value(deep, drawn(x)).double()
    assert torch.all((in_float32 - a @ b).abs() <= (2.0**-21 + 120 * 2.0**-24) * magnitudes)


def _leading_bits(y: torch.Tensor) -> torch.Tensor:
    """What tensor cores keep: the others are left out, which is worse than rounding."""
    return (y.view(torch.int32) & ~0x1FFF).view(torch.float32)


def test_leading_and_trailing_bits_are_the_whole() -> None:
    x = product("float32", (6, 5, 4))
    left, right = (value(y, drawn(x)) for y in thrice(x).inputs)
    for parts, whole, trailing in zip((left, right), drawn(x), (1, 0), strict=True):
        pieces = parts.view(len(whole), 3, 4)
        leading = pieces[:, 2]
        assert pieces[:, 1 - trailing].equal(leading)
        assert _leading_bits(leading).equal(leading)
        assert (pieces[:, trailing] + leading).equal(whole)
        assert torch.all(pieces[:, trailing].abs() <= 2.0**-11 * whole.abs())


def test_large_nearly_exact_products_cost_a_copy_each() -> None:
    for size, due in {512: None, 1024: APART, 4096: APART}.items():
        assert reason(decided(product("float32", (size, size, size)), "tf32x3")) == due
    # Copies of a weight would cost more than exactness does.
    flat = decided(product("float32", (64, 4096, 4096)), "tf32x3")
    assert reason(flat) == EXACT and flat["precision"] == "ieee"


def test_a_bound_graph_multiplies_bits_apart(gpu: mx.Context) -> None:
    a, b = (y.numpy() for y in drawn(product("float32", (1024, 1024, 1024))))
    with mx.switched(matmul_precision="tf32x3"):
        symbol = mx.sym.dot(mx.sym.Variable("a"), mx.sym.Variable("b"), transpose_b=True)
        executor = symbol.bind(gpu, {"a": mx.nd.array(a, gpu), "b": mx.nd.array(b, gpu)})
    check_plan(executor.plan)
    assert f"by a library: {APART}" in str(executor.plan)
    due, magnitudes = a.astype("float64") @ b.T, np.abs(a).astype("float64") @ np.abs(b).T
    for _ in range(2):
        found = executor.forward()[0].asnumpy()
        # As above; the roundings of a sum of 3072 terms do not all have one direction.
        assert np.all(np.abs(found - due) <= (2.0**-21 + 2.0**-20) * magnitudes)


# ---- rows that begin anywhere --------------------------------------------------------------------


def test_copies_where_they_win_more_than_they_cost() -> None:
    for transposed in TRANSPOSED:
        large = decided(product("bfloat16", (4095, 4099, 4093), transposed))
        assert reason(large) is None and large["precision"] == "ieee"
        where = layouts(toposort([large]), {})
        assert describe(large, where, "ieee").described
        assert _copies(large) == 2
    # Only the operand whose rows are in the way.
    assert _copies(decided(product("float16", (4095, 4096, 4096), (True, True)))) == 1
    # A weight is read once for few rows, small products are soon done, and so are shallow ones.
    for size, batch in {(64, 4095, 4095): (), (511, 515, 513): (), (197, 64, 197): (96,)}.items():
        few = decided(product("bfloat16", size, batch=batch))
        assert reason(few) == UNALIGNED and not _copies(few)


def _copies(x: Expr) -> int:
    return sum(y.primitive == "concat" for y in toposort([x]))


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies also where they do not pay."""
    monkeypatch.setattr(library_products, "_MANY_OF_UNALIGNED", 0)
    monkeypatch.setattr(library_products, "_WORTH", 0)


def operand(kind: str, shape: Shape, index: int) -> Expr:
    """A value of this shape whose matrices do not lie in units of 16 bytes."""
    dtype = BY_NAME["bfloat16"]
    *batch, rows, columns = shape
    match kind:
        case "input":
            return expr.input_(index, shape, dtype)
        case "turned":
            axes = (*range(len(batch)), len(batch) + 1, len(batch))
            return expr.permute(expr.input_(index, (*batch, columns, rows), dtype), axes)
        case "slice":
            whole = expr.input_(index, (*batch, rows + 3, 8 * columns), dtype)
            return expr.narrow(
                expr.narrow(whole, -2 % len(shape), 2, rows + 2), len(batch) + 1, 1, columns + 1
            )
        case "steps":
            whole = expr.input_(index, (*batch, rows, 2 * columns), dtype)
            zeros, ones = [0] * len(shape), [1] * len(shape)
            return expr.slice_(whole, zeros, whole.shape, [*ones[:-1], 2])
        case "repeated":
            once = expr.input_(index, (*(1 for _ in batch), rows, columns), dtype)
            return expr.broadcast(once, shape)
        case _:
            return expr.make("neg", expr.input_(index, shape, dtype))


KINDS = ("input", "turned", "slice", "steps", "repeated", "computed")


@pytest.mark.parametrize("batch", [(), (2, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_copies_hold_what_they_are_of(always: None, kind: str, batch: Shape) -> None:
    for transposed in TRANSPOSED:
        left = (21, 19) if transposed[0] else (19, 21)
        right = (17, 21) if transposed[1] else (21, 17)
        a, b = operand(kind, (*batch, *left), 0), operand("input", (*batch, *right), 1)
        x = expr.dot(a, b, *transposed)
        found = decided(x)
        assert _copies(found) == 2 and reason(found) is None
        order = toposort([found])
        where = layouts(order, {})
        assert describe(found, where, "ieee").described
        # What is repeated is copied once, and along the axis on which it lay.
        copies = [y for y in order if y.primitive == "concat"]
        assert (copies[0].size < a.size) == (kind == "repeated" and bool(batch))
        runs = describe(x, layouts(toposort([x]), {}), "ieee").left_runs
        assert kind == "steps" or describe(found, where, "ieee").left_runs == runs
        assert value(found, drawn(x)).equal(value(x, drawn(x)))


def test_an_operand_of_several_products_is_copied_once(always: None) -> None:
    """Also where one of them reads it turned."""
    a = expr.input_(0, (19, 21), BY_NAME["float16"])
    products = (
        expr.dot(a, expr.input_(1, (21, 17), BY_NAME["float16"])),
        expr.dot(a, expr.input_(2, (19, 13), BY_NAME["float16"]), True, False),
        expr.dot(expr.permute(a, (1, 0)), expr.input_(3, (19, 11), BY_NAME["float16"])),
    )
    found = chosen(Graph(products), {}, H200, "ieee").outputs
    copied = {y for x in found for y in toposort([x]) if y.primitive == "concat"}
    assert sum(y.inputs[0] is a for y in copied) == 1 and len(copied) == 4


def test_bound_arrays_may_begin_anywhere(always: None) -> None:
    """Rows of an array that a caller has cut out of another one."""
    x = product("bfloat16", (16, 24, 32))
    (found,) = chosen(Graph((x,)), {0: (35, 1)}, H200, "ieee").outputs
    assert [y.inputs[0]["index"] for y in toposort([found]) if y.primitive == "concat"] == [0]


CASES: Mapping[str, tuple[Shape, Shape, bool]] = {
    "matrices": ((37, 45), (45, 19), False),
    "batches": ((3, 37, 45), (3, 45, 19), True),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bound_graph_copies_and_multiplies(always: None, case: str, gpu: mx.Context) -> None:
    """With what is computed before and after, and gradients, which read the same copies."""
    left, right, batched = CASES[case]
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    symbol = mx.sym.tanh((mx.sym.batch_dot if batched else mx.sym.dot)(a * 2.0, b))
    draw = np.random.default_rng(3)
    given = {n: draw.normal(size=s) / 4 for n, s in (("a", left), ("b", right))}
    arrays = {n: mx.nd.array(v, gpu, "float16") for n, v in given.items()}
    gradients = {n: mx.nd.zeros(v.shape, gpu, "float16") for n, v in given.items()}
    executor = symbol.bind(gpu, arrays, gradients)
    held = [torch.from_numpy(arrays[n].asnumpy()).double().requires_grad_() for n in "ab"]
    due = torch.tanh(2.0 * held[0] @ held[1])
    due.sum().backward()
    for _ in range(2):
        found = executor.forward(is_train=True)[0]
        executor.backward(mx.nd.ones(found.shape, gpu, "float16"))
        # Values and gradients are below 16, after a few roundings to 11 bits each.
        margin = {"rtol": 0, "atol": 16 * 8 * 2.0**-11 / 4}
        np.testing.assert_allclose(found.asnumpy(), due.detach().numpy(), rtol=0, atol=2.0**-8)
        for n, right_one in zip("ab", held, strict=True):
            assert right_one.grad is not None
            np.testing.assert_allclose(gradients[n].asnumpy(), right_one.grad.numpy(), **margin)
    plan = executor._training_in(True).plan
    check_plan(plan)
    copies = [x for k in plan.kernels for x in k.body if x.primitive == "concat"]
    assert len(copies) == 3 and "by a library" not in str(plan)
