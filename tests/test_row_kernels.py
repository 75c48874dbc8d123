"""Kernels of rows: in which order they go through memory, and how often."""

from __future__ import annotations

import numpy as np
import pytest

import tritonsym as mx
from guard_bands import guarded_where_interpreted
from tritonsym.foundation.dtype import BY_NAME
from tritonsym.kernels import triton_source
from tritonsym.plan_command import plan_for_gpu
from tritonsym.planning.plan import Plan
from tritonsym.products.gpus import H100

sym = mx.sym
# Longer than any row that stays in registers, and no multiple of a block.
LONG = 4096 * 5 + 77
X, HEAD = sym.Variable("x"), sym.Variable("head")


def texts(plan: Plan) -> list[str]:
    """The sources of a plan's kernels of rows."""
    made = (triton_source.write(kernel, plan.layouts, H100) for kernel in plan.kernels)
    return [source.text for source in made if source is not None and "reduce" in source.text]


def of_columns() -> mx.Symbol:
    """Two arrays whose rows lie side by side, and three that have a number for each row."""
    scaled = [sym.broadcast_mul(X, sym.Variable(name)) for name in "abc"]
    return sym.sum(HEAD * sum(scaled, X), axis=0)


def test_columns_are_summed_in_the_order_of_what_is_large() -> None:
    shapes = {"x": (8192, 4096), "head": (8192, 4096), **dict.fromkeys("abc", (8192, 1))}
    plan = plan_for_gpu(of_columns(), shapes, dict.fromkeys(shapes, BY_NAME["bfloat16"]))
    assert texts(plan) and all("[:, None]" in text for text in texts(plan))


@pytest.mark.parametrize("shape", [(1000, 70), (37, 1), (1, 37), (129, 33)])
def test_sums_of_columns_are_right(shape: tuple[int, int], gpu: mx.Context) -> None:
    made = np.random.default_rng(7)
    values = {name: made.standard_normal(shape).astype("float32") for name in ("x", "head")}
    values |= {name: made.standard_normal((shape[0], 1)).astype("float32") for name in "abc"}
    given = {name: mx.nd.array(value, gpu) for name, value in values.items()}
    with guarded_where_interpreted(gpu):
        (found,) = of_columns().eval(gpu, **given)
    x, head, a, b, c = (value.astype("float64") for value in values.values())
    terms = head * x * (1 + a + b + c)
    # Each term is rounded a few times, and so is each of the sums.
    np.testing.assert_allclose(
        found.asnumpy(), terms.sum(0), atol=1e-6 * np.abs(terms).sum(0).max()
    )


# ---- several reductions in one walk ------------------------------------------------------------


def walks(symbol: mx.Symbol, *names: str, shape: tuple[int, ...] = (64, LONG)) -> list[int]:
    """How often each kernel of rows goes over them."""
    plan = plan_for_gpu(symbol, dict.fromkeys(names, shape))
    return [text.count("for start in") for text in texts(plan)]


def several(x: mx.Symbol, y: mx.Symbol, axis: int) -> list[mx.Symbol]:
    return [
        sym.sum(x, axis=axis),
        sym.sum(x * y, axis=axis),
        sym.max(y, axis=axis),
        sym.argmax(x - y, axis=axis),
        sym.argmin(x, axis=axis),
    ]


def test_what_reads_the_same_is_one_walk() -> None:
    x, y, z = (sym.Variable(name) for name in "xyz")
    twice = x * 2
    assert walks(sym.Group([sym.sum(twice, axis=1), sym.sum(twice * y, axis=1)]), "x", "y") == [1]
    assert walks(sym.Group([sym.sum(x, axis=1), sym.max(x, axis=1)]), "x") == [1]
    # What needs a result of the row comes after it, and both parts of it together.
    more = y + 1
    less = sym.broadcast_sub(x, sym.max(more, axis=1, keepdims=True))
    after = [sym.sum(less, axis=1), sym.sum(less * z, axis=1), sym.max(more * more, axis=1)]
    assert walks(sym.Group(after), "x", "y", "z") == [2]
    less = sym.broadcast_sub(x, sym.max(x + 1, axis=1, keepdims=True))
    after = [sym.sum(less, axis=1), sym.sum(less * z, axis=1)]
    assert walks(sym.Group(after), "x", "z") == [2]
    # What reads something else has its own.
    assert walks(sym.sum(x, axis=1) * sym.sum(y, axis=1), "x", "y") == [2]
    # More results than there are registers.
    many = [sym.sum(twice * number, axis=1) for number in range(2, 30)]
    assert 1 < sum(walks(sym.Group(many), "x")) < 28


@pytest.mark.parametrize("shape, axis", [((3, LONG), 1), ((300, 66), 0)])
def test_several_reductions_of_one_walk_are_right(
    shape: tuple[int, int], axis: int, gpu: mx.Context
) -> None:
    x, y = np.random.default_rng(5).integers(-999, 999, (2, *shape)).astype("float32")
    given = {"x": mx.nd.array(x, gpu), "y": mx.nd.array(y, gpu)}
    with guarded_where_interpreted(gpu):
        found = sym.Group(several(X, sym.Variable("y"), axis)).eval(gpu, **given)
    due = [x.sum(axis), (x * y).astype("float64").sum(axis), y.max(axis)]
    due += [(x - y).argmax(axis), x.argmin(axis)]
    for one, other in zip(found, due, strict=True):
        # Integers: only the products' sums need more bits than float32 has.
        np.testing.assert_allclose(one.asnumpy(), other, rtol=1e-6, atol=64)
