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
