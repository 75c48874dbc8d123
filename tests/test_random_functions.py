"""`mx.random`, `mx.nd.random` and `mx.sym.random`: shapes, dtypes, moments, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tritonsym as mx

LOW, HIGH = mx.nd.array([0.0, 10.0]), mx.nd.array([1.0, 20.0])
MANY = 4000


def test_whole_numbers() -> None:
    values = mx.nd.random.randint(-2, 3, shape=(50, 20))
    assert values.dtype == np.int32
    assert sorted(set(values.asnumpy().ravel())) == [-2, -1, 0, 1, 2]
    assert mx.random.randint(0, 5).shape == (1,)
    assert mx.random.randint(0, 5, shape=4, dtype="int64").dtype == np.int64
    target = mx.nd.full((3,), -1, dtype="int32")
    assert mx.nd.random.randint(0, 5, out=target) is target
    assert (target.asnumpy() >= 0).all()


@pytest.mark.parametrize("bounds", [(5, 5), (0.5, 5)])
def test_bounds_that_are_none(bounds: tuple[Any, Any]) -> None:
    with pytest.raises(mx.MXNetError, match="low"):
        mx.nd.random.randint(*bounds)


def test_classes() -> None:
    p = mx.nd.array([[0.0, 1.0], [1.0, 0.0]])
    assert mx.nd.random.multinomial(p).asnumpy().tolist() == [1, 0]
    drawn, logarithms = mx.nd.random.multinomial(p, shape=3, get_prob=True)
    assert drawn.asnumpy().tolist() == [[1, 1, 1], [0, 0, 0]]
    assert logarithms.asnumpy().tolist() == [[0.0] * 3] * 2
    assert mx.random.multinomial(p, dtype="float32").dtype == np.float32


def test_numbers_of_each_range() -> None:
    assert mx.nd.random.uniform(LOW, HIGH).shape == (2,)
    assert mx.nd.random.uniform(LOW, HIGH, shape=(3, 2)).shape == (2, 3, 2)
    values = mx.nd.random.uniform(LOW, HIGH, shape=MANY).asnumpy()
    for row, low, high in zip(values, (0, 10), (1, 20), strict=True):
        assert low <= row.min() < row.max() <= high
        assert row.mean() == pytest.approx((low + high) / 2, abs=(high - low) * 0.02)
    assert mx.nd.random.uniform(LOW, HIGH, dtype="float64").dtype == np.float64
    whole = mx.nd.array([0, 1], dtype="int32")
    assert mx.nd.random.uniform(whole, whole + 1).dtype == np.float32
    target = mx.nd.zeros((2, 3))
    assert mx.nd.random.uniform(LOW, HIGH, out=target) is target
    assert (target.asnumpy() > 0).all()


def test_numbers_of_each_mean_and_deviation() -> None:
    means, deviations = mx.nd.array([[0.0], [5.0]]), mx.nd.array([[1.0], [0.1]])
    values = mx.nd.random.normal(means, deviations, shape=(MANY,)).asnumpy()
    assert values.shape == (2, 1, MANY)
    np.testing.assert_allclose(values.mean(2), means.asnumpy(), atol=0.08)
    np.testing.assert_allclose(values.std(2), deviations.asnumpy(), rtol=0.05)


@pytest.mark.parametrize("call", [mx.nd.random.uniform, mx.nd.random.normal])
def test_a_number_beside_an_array(call: Callable[..., Any]) -> None:
    for pair in ((LOW, 1), (0, HIGH)):
        with pytest.raises(AssertionError, match=r"both numbers or both arrays.*mx\.nd\.full"):
            call(*pair)
    with pytest.raises(mx.MXNetError, match=r"\(2,\)"):
        call(LOW, mx.nd.ones((3,)))


def test_normal_numbers_by_lengths() -> None:
    assert mx.nd.random.randn(2, 3).shape == (2, 3)
    values = mx.random.randn(60, 60, loc=5, scale=0.1, dtype="float64")
    assert values.dtype == np.float64
    assert values.asnumpy().mean() == pytest.approx(5, abs=0.01)
    assert mx.nd.random.randn(3, loc=LOW, scale=HIGH).shape == (2, 3)


@pytest.mark.parametrize("call", [mx.nd.random.shuffle, mx.random.shuffle, mx.nd.shuffle])
def test_another_order(call: Callable[..., Any]) -> None:
    mx.random.seed(1)
    rows = mx.nd.arange(40).reshape((20, 2))
    first, second = call(rows).asnumpy(), call(rows).asnumpy()
    for found in (first, second):
        assert (found[:, 1] == found[:, 0] + 1).all()
        assert sorted(found[:, 0]) == list(range(0, 40, 2))
    assert (first != second).any()
    assert (rows.asnumpy().ravel() == np.arange(40)).all()


def test_the_seed_decides() -> None:
    draws = []
    for _ in range(2):
        mx.random.seed(5)
        every = [mx.nd.random.randint(0, 99, shape=(5,)), mx.nd.random.uniform(LOW, HIGH)]
        every += [mx.nd.random.randn(4), mx.nd.random.shuffle(mx.nd.arange(9))]
        draws.append([array.asnumpy().tolist() for array in every])
    assert draws[0] == draws[1]


def test_the_module_has_both_names() -> None:
    assert mx.rnd is mx.random is mx.nd.random


def test_symbols_of_ranges_and_moments(context: mx.Context) -> None:
    low, high = mx.sym.Variable("low"), mx.sym.Variable("high")
    drawn = mx.sym.random.uniform(low, high, shape=(500,))
    assert drawn.infer_shape(low=(2,)) == ([(2,), (2,)], [(2, 500)], [])
    given = {"low": LOW.copyto(context), "high": HIGH.copyto(context)}
    slopes = {name: mx.nd.ones((2,), context) for name in given}
    executor = drawn.bind(context, given, slopes)
    first = executor.forward(is_train=True)[0].asnumpy()
    assert ((first[0] >= 0) & (first[0] <= 1) & (first[1] >= 10) & (first[1] <= 20)).all()
    executor.backward(mx.nd.ones((2, 500), context))
    assert not any(slope.asnumpy().any() for slope in executor.grad_dict.values())
    assert (executor.forward()[0].asnumpy() != first).any()
    moments = mx.sym.random.normal(low, high, shape=(2,), dtype="float64")
    assert moments.infer_type(low="float32")[1] == [np.float64]


def test_symbols_of_numbers() -> None:
    whole = mx.sym.random.randint(0, 3, shape=(100,)).eval()[0]
    assert set(whole.asnumpy()) == {0, 1, 2}
    p = mx.sym.Variable("p")
    assert len(mx.sym.random.multinomial(p)) == 2
    assert len(mx.sym.random.multinomial(p, get_prob=False)) == 1
    assert mx.sym.random.randn(2, 3, name="deviates").name == "deviates"
    (order,) = mx.sym.random.shuffle(p).eval(p=mx.nd.arange(9))
    assert sorted(order.asnumpy()) == list(range(9))


@pytest.mark.parametrize("call", [mx.sym.random.uniform, mx.sym.random.normal])
def test_parameters_of_two_kinds(call: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError, match="both numbers or both symbols"):
        call(mx.sym.Variable("x"), 1)
    with pytest.raises(ValueError, match="must be numbers or symbols"):
        call("a", "b")
    with pytest.raises(ValueError, match="must be numbers, got"):
        mx.sym.random.randint(mx.sym.Variable("x"), 5)
