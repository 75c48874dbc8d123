"""`mx.test_utils` finds what is wrong, and accepts what is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tritonsym as mx
from tritonsym import test_utils as utils


def product() -> mx.Symbol:
    x, y = mx.sym.Variable("x"), mx.sym.Variable("y")
    return mx.sym.tanh(x) * y


X, Y = np.array([[0.3, -0.5]], "float32"), np.array([[2.0, 0.7]], "float32")
SLOPES = {"x": Y * (1 - np.tanh(X) ** 2), "y": np.tanh(X)}
ONES = np.ones_like(X)


@pytest.mark.parametrize("location", [[X, Y], {"x": X, "y": Y}])
@pytest.mark.parametrize("request_", ["write", "add", {"x": "add", "y": "write"}])
def test_symbolic_backward(location: Any, request_: Any, context: mx.Context) -> None:
    utils.check_symbolic_backward(
        product(), location, [ONES], SLOPES, grad_req=request_, ctx=context
    )
    with pytest.raises(AssertionError, match="gradient of y"):
        wrong = {**SLOPES, "y": SLOPES["y"] + 1}
        utils.check_symbolic_backward(
            product(), location, [ONES], wrong, grad_req=request_, ctx=context
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nodes", [None, ["x"], {"x": "add"}])
def test_numeric_gradient(dtype: str, nodes: Any, context: mx.Context) -> None:
    utils.check_numeric_gradient(product(), [X, Y], grad_nodes=nodes, ctx=context, dtype=dtype)


def test_numeric_gradient_finds_a_wrong_gradient(context: mx.Context) -> None:
    """What is blocked has a derivative, and no gradient."""
    blocked = mx.sym.BlockGrad(mx.sym.Variable("x")) * 1
    with pytest.raises(AssertionError, match="gradient of x"):
        utils.check_numeric_gradient(blocked, [X], ctx=context)


def test_consistency(context: mx.Context) -> None:
    shapes = {"x": (3, 4), "y": (3, 4)}
    entries = [
        {"ctx": mx.cpu(), **shapes, "type_dict": dict.fromkeys("xy", "float64")},
        {"ctx": context, **shapes, "type_dict": dict.fromkeys("xy", "float32")},
        {"ctx": context, **shapes, "type_dict": dict.fromkeys("xy", "float16")},
    ]
    truth = utils.check_consistency(product(), entries)
    assert {value.dtype for value in truth.values()} == {np.dtype("float64")}
    assert {"x_grad", "y_grad"} < set(truth) and len(truth) == 3
    with pytest.raises(AssertionError):
        utils.check_consistency([product(), product() + 1, product()], entries)


def test_symbolic_forward(context: mx.Context) -> None:
    expected = [np.tanh(X) * Y]
    utils.check_symbolic_forward(product(), [X, Y], expected, ctx=context)
    with pytest.raises(AssertionError, match="expected"):
        utils.check_symbolic_forward(product(), [X, Y], [expected[0] + 1], ctx=context)
