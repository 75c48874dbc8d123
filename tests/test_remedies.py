"""Errors of common mistakes name what helps, as a function of the package."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tritonsym as mx

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "mod": operator.mod,
    "power": operator.pow,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "lesser": operator.lt,
    "lesser_equal": operator.le,
    "maximum": lambda a, b: mx.sym.maximum(a, b),
    "minimum": lambda a, b: mx.sym.minimum(a, b),
    "hypot": lambda a, b: mx.sym.hypot(a, b),
    "logical_and": lambda a, b: mx.sym._internal._logical_and(a, b),
    "logical_or": lambda a, b: mx.sym._internal._logical_or(a, b),
    "logical_xor": lambda a, b: mx.sym._internal._logical_xor(a, b),
}


@pytest.mark.parametrize("stem", OPERATORS)
def test_shapes_that_differ_name_the_operator_that_broadcasts(stem: str) -> None:
    left, right = mx.sym.Variable("left"), mx.sym.Variable("right")
    shapes = {"left": (2, 3), "right": (3,)}
    message = rf"lhs has shape \(2, 3\), rhs has shape \(3,\).*mx\.sym\.broadcast_{stem}\(lhs, rhs"
    both = OPERATORS[stem](left, right)
    with pytest.raises(mx.MXNetError, match=message):
        both.infer_shape(**shapes)
    with pytest.raises(RuntimeError, match=message):
        both.simple_bind(mx.cpu(), **shapes)
    remedy = getattr(mx.sym, f"broadcast_{stem}")(left, right)
    assert remedy.infer_shape(**shapes)[1] == [(2, 3)]


def test_arrays_of_other_shapes_than_an_operator_takes() -> None:
    left, right = mx.nd.ones((2, 3)), mx.nd.ones((3,))
    with pytest.raises(mx.MXNetError, match=r"mx\.nd\.broadcast_mul\(lhs, rhs\)"):
        mx.nd.elemwise_mul(left, right)
    assert mx.nd.broadcast_mul(left, right).shape == (2, 3)


@pytest.mark.parametrize("call", [operator.add, mx.nd.broadcast_power, operator.lt])
def test_arrays_that_do_not_broadcast(call: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(mx.MXNetError, match="equal or 1; expand_dims or reshape one of them"):
        call(mx.nd.ones((2, 3)), mx.nd.ones((2,)))
    assert call(mx.nd.ones((2, 3)), mx.nd.ones((2,)).expand_dims(1)).shape == (2, 3)


@pytest.mark.parametrize("value", [np.ones((2, 3)), mx.nd.ones((2, 3)), [1.0, 2.0]], ids=type)
def test_values_beside_a_symbol(value: Any) -> None:
    x = mx.sym.Variable("x")
    for call in (lambda: x + value, lambda: x == value, lambda: x**value):
        with pytest.raises(TypeError, match=r"mx\.sym\.Variable\(name\).*mx\.nd\.array"):
            call()
    with pytest.raises(TypeError, match=r"mx\.sym\.Variable\(name\)"):
        mx.sym.maximum(x, value)


@pytest.mark.parametrize("value", [np.ones(3), [1.0, 2.0], "text", mx.sym.Variable("x")], ids=type)
def test_values_beside_an_array(value: Any) -> None:
    with pytest.raises(TypeError, match=r"mx\.nd\.array makes an array"):
        mx.nd.ones((3,)) + value


@pytest.mark.parametrize("key", [(slice(None), 0), (0, 1), None, ..., 1.5], ids=repr)
def test_a_symbol_has_no_elements(key: Any) -> None:
    message = re.escape("slice_axis, slice and take")
    with pytest.raises(TypeError, match=message):
        mx.sym.Variable("x")[key]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("gluon", "mx.mod.Module"), ("autograd", "backward"), ("profiler", "executor.plan")],
)
def test_what_mxnet_has_beside_symbols(name: str, remedy: str) -> None:
    with pytest.raises(AttributeError, match=rf"mx\.{name} is not part of tritonsym: .*{remedy}"):
        getattr(mx, name)
    with pytest.raises(AttributeError, match="has no attribute 'modul'"):
        _ = mx.modul


@pytest.mark.parametrize("share", [1.5, -0.1, "nan"])
def test_a_share_beyond_the_whole_is_refused_at_once(share: float) -> None:
    x = mx.sym.Variable("x")
    message = rf"p.*needs float from 0 to 1, got '{share}'"
    with pytest.raises(mx.MXNetError, match=message):
        mx.sym.Dropout(x, p=share)
    with pytest.raises(mx.MXNetError, match=message):
        mx.nd.Dropout(mx.nd.ones((2,)), p=share)
    with pytest.raises(mx.MXNetError, match=message):
        mx.sym.RNN(x, state_size=2, num_layers=1, mode="gru", p=share)


@pytest.mark.parametrize("axis", [0, -1, None])
def test_more_elements_than_there_are(axis: int | None) -> None:
    values = mx.nd.array([3, 1, 2])
    assert mx.nd.topk(values, k=3, axis=axis).asnumpy().tolist() == [0, 2, 1]
    with pytest.raises(mx.MXNetError, match=rf"k=9 is more than the 3 elements along axis={axis}"):
        mx.nd.topk(values, k=9, axis=axis)
    with pytest.raises(mx.MXNetError, match="k=9 is more than the 3"):
        mx.sym.topk(mx.sym.Variable("x"), k=9, axis=axis).infer_shape(x=(3,))
