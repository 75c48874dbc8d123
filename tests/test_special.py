"""Special functions that are made of primitives, against independent ones."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

import tritonsym as mx


def erfinv(values: np.ndarray, context: mx.Context | None = None) -> np.ndarray:
    return mx.nd.erfinv(mx.nd.array(values, context, values.dtype)).asnumpy()


def test_erfinv_inverts_the_error_function() -> None:
    """Where it is flat enough that a rounding of x or of erf moves it by a few units at most."""
    x = np.concatenate([np.linspace(-0.9, 0.9, 1801), [1e-300, 1e-20, 1e-9, 1e-4]])
    found = np.array([math.erf(y) for y in erfinv(x)])
    np.testing.assert_allclose(found, x, rtol=8e-16, atol=0)


def test_erfinv_near_the_ends() -> None:
    """The quantiles of the standard library, by another method: 1 + x is exact here."""
    left = np.concatenate([2.0 ** -np.arange(2.0, 53), 3.0 ** -np.arange(1.0, 33)]) - 1.0
    want = np.array([NormalDist().inv_cdf((1 + x) / 2) / math.sqrt(2) for x in left])
    np.testing.assert_allclose(erfinv(left), want, rtol=2e-15)
    np.testing.assert_allclose(erfinv(-left), -want, rtol=2e-15)


def test_erfinv_in_float32_is_rounded_once(context: mx.Context) -> None:
    x = np.concatenate([np.linspace(-1, 1, 1001), 1 - 2.0 ** -np.arange(1, 24)]).astype("float32")
    want = erfinv(x.astype("float64")).astype("float32")
    np.testing.assert_array_max_ulp(erfinv(x, context), want, 1)


def test_erfinv_where_there_is_none() -> None:
    found = erfinv(np.array([-1, 1, 1.5, -2, math.inf, math.nan, 0.0, -0.0]))
    assert found[:2].tolist() == [-math.inf, math.inf]
    assert np.isnan(found[2:6]).all()
    assert np.signbit(found[6:]).tolist() == [False, True]


def gamma(values: np.ndarray, context: mx.Context | None = None) -> np.ndarray:
    return mx.nd.gamma(mx.nd.array(values, context, values.dtype)).asnumpy()


def test_gamma_is_that_of_the_standard_library(context: mx.Context) -> None:
    """By another method, with an error of a few units in the last place as ours."""
    random = np.random.RandomState(0)
    x = np.concatenate(
        [
            random.uniform(-170, 171, 2000),
            random.uniform(-10, 10, 2000),
            np.arange(1.0, 171),
            np.arange(-170, 0) + 1e-9,  # next to the poles
            10.0 ** -np.arange(1, 308),
            -(10.0 ** -np.arange(1, 308)),
        ]
    )
    np.testing.assert_allclose(gamma(x, context), [*map(math.gamma, x)], rtol=16 * 2.0**-52)


def test_gamma_at_its_ends(context: mx.Context) -> None:
    x = np.array([0.0, -0.0, 171.7, 1e300, math.inf, 5e-324, -5e-324])
    want = [math.inf, -math.inf, math.inf, math.inf, math.inf, math.inf, -math.inf]
    assert gamma(x, context).tolist() == want
    poles = np.array([-1.0, -2.0, -170.0, -1e300, -math.inf, math.nan])
    assert np.isnan(gamma(poles, context)).all()
    vanishing = gamma(np.array([-183.5, -184.5, -300.5]), context)
    assert np.abs(vanishing).max() == 0
    assert np.signbit(vanishing).tolist() == [
        math.floor(x) % 2 == 1 for x in (-183.5, -184.5, -300.5)
    ]
