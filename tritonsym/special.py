"""Special functions as expressions, for those that no library has on every device."""

from __future__ import annotations

import math

from .dtype import FLOAT64
from .expr import Expr, cast, full, make, where


def digamma(x: Expr) -> Expr:
    """The derivative of log(abs(gamma(x))); infinite at the poles.

    Arguments below 1/2 are reflected, all are moved up by ten, where eight terms of the asymptotic
    series suffice (Abramowitz and Stegun, Handbook of Mathematical Functions, 6.3.5 to 6.3.18).
    In float64, since the terms nearly cancel around the zeros.
    """
    wide = cast(x, FLOAT64)
    reflected = wide < 0.5
    z = where(reflected, 1 - wide, wide)
    total = -1.0 / z
    for shift in range(1, 10):
        total = total - 1.0 / (z + shift)
    z = z + 10
    square = 1.0 / (z * z)
    series = full(0, z.shape, z.dtype)
    for coefficient in (1 / 12, -691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12):
        series = square * (coefficient + series)
    total = total + make("log", z) - 0.5 / z - series
    fraction = (wide - make("floor", wide + 0.5)) * math.pi
    total = where(reflected, total - math.pi / make("tan", fraction), total)
    pole = reflected.logical_and(wide.equals(make("floor", wide)))
    return cast(where(pole, math.inf, total), x.dtype)
