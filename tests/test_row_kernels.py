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
