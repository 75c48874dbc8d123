"""Special functions as expressions, for those that no library has on every device."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..foundation.dtype import FLOAT64
from .expr import Expr, cast, full, make, minimum, where

# Bernoulli's numbers B over their n * (n - 1), for n = 2, 4 and so on: Stirling's series for the
# logarithm of the gamma function. From ten on these terms are all that float64 can tell.
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_GAMMA_OVERFLOWS, _GAMMA_VANISHES = 172, 185


def gamma(x: Expr) -> Expr:
    """The gamma function: infinite at 0 with its sign, NaN at the other poles.

    By Stirling's series from ten on, moved up there by a product below it, and reflected below zero
    (Abramowitz and Stegun, Handbook of Mathematical Functions, 6.1.15 to 6.1.17 and 6.1.40). In
    float64: some units in the last place are lost, which no other dtype sees.
    """
    wide = cast(x, FLOAT64)
    size = minimum(make("abs", wide), _GAMMA_VANISHES)
    small = size < 10
    z = where(small, size + 10, size)
    steps = size + 1
    for shift in range(2, 10):
        steps = steps * (size + shift)
    # What the sum rounded away counts as often as the logarithm says.
    lost = where(small, size - (z - 10), 0.0) * (make("log", z) - 0.5 / z)
    series = lost + _polynomial(1.0 / (z * z), _STIRLING) / z
    # The power in two factors, of which neither overflows; the second one is left for the end.
    power = z ** (0.5 * z - 0.25)
    factor = make("exp", -z) * power * (math.sqrt(2 * math.pi) * make("exp", series))
    factor = where(small, factor * power / steps, factor)
    power = where(small, 1.0, power)
    above = where(wide > _GAMMA_OVERFLOWS, math.inf, factor / where(small, size, 1.0) * power)

    nearest = make("floor", wide + 0.5)
    sine = make("sin", (wide - nearest) * math.pi)
    sine = where((nearest % 2.0).differs(0), -sine, sine)
    below = math.pi / sine / (factor * where(small, 1.0, size)) / power
    pole = wide.equals(nearest)
    at_zero = where(wide.equals(0), 1.0 / wide, math.nan)
    return cast(where(wide > 0, above, where(pole, at_zero, below)), x.dtype)


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
    terms = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
    total = total + make("log", z) - 0.5 / z - square * _polynomial(square, terms)
    fraction = (wide - make("floor", wide + 0.5)) * math.pi
    total = where(reflected, total - math.pi / make("tan", fraction), total)
    pole = reflected.logical_and(wide.equals(make("floor", wide)))
    return cast(where(pole, math.inf, total), x.dtype)


# erfinv(x) / x in three ranges of w = -log(1 - x * x): as a polynomial of w up to 6.25, and of
# sqrt(w) up to 4 and beyond. Each is one of t from -1 to 1, the lowest power first; interpolated at
# Chebyshev's points from values of 50 digits, with an error below 2e-16.
_INVERSE_ERROR_FUNCTION = (
    (
        1.6536545626831027,
        0.7504943200799679,
        -0.058922567103779404,
        -0.022604447453825078,
        0.017808361818432112,
        -0.00413731436767485,
        -0.001271692271958298,
        0.0012324854519911068,
        -0.00026439362645934515,
        -0.0001168880630842072,
        9.336711350835166e-05,
        -1.5030870369108395e-05,
        -1.125619146677325e-05,
        7.1383125443102916e-06,
        -6.866552594632471e-07,
        -1.0734591410364882e-06,
        5.444465821755199e-07,
        5.601549819901144e-09,
        -1.0426210588989032e-07,
        2.8085454480599277e-08,
        8.699377880241274e-09,
        -4.138396507936207e-09,
        -1.8199034168726056e-11,
    ),
    (
        3.0838856104922208,
        0.7539442257706194,
        0.0030211394363764865,
        -0.0015825410891285008,
        0.0007883078512000405,
        -0.0004006357032703787,
        0.00016966502384997928,
        -4.739178791780613e-05,
        2.405849826863639e-06,
        5.1271458282959595e-06,
        -2.6647290027131336e-06,
        5.268978286875368e-07,
        9.272847268010501e-08,
        -9.536038433614285e-08,
        2.6652555523279727e-08,
        2.448720579642754e-10,
        -2.6921670135260728e-09,
        6.819336997989723e-10,
        -2.159829264980955e-12,
    ),
    (
        4.913049587233785,
        1.073423220166283,
        -0.0002001588726587193,
        -0.00023602855405112982,
        8.93396281193534e-05,
        -2.4458702837026123e-05,
        5.920825201332031e-06,
        -1.3562410898314906e-06,
        3.1759225753713663e-07,
        -9.02593430641595e-08,
        3.751855449360697e-08,
        -2.0180949602959336e-08,
        1.0777253600034584e-08,
        -5.414261430297748e-09,
        2.667075549574959e-09,
        -9.110675546136683e-10,
        1.3859603347418274e-11,
        6.92100659951893e-11,
    ),
)


def erfinv(x: Expr) -> Expr:
    """The inverse of the error function; infinite at -1 and 1, NaN beyond.

    By polynomials of the logarithm of 1 - x * x and of its root, as in Giles, "Approximating the
    erfinv function", GPU Computing Gems, 2011. In float64, since 1 - x * x needs it near 1.
    """
    wide = cast(x, FLOAT64)
    w = -make("log", (1.0 - wide) * (1.0 + wide))
    root = make("sqrt", w)
    centre, side, end = _INVERSE_ERROR_FUNCTION
    ratio = where(
        w < 6.25,
        _polynomial(w / 3.125 - 1.0, centre),
        where(
            root < 4.0,
            _polynomial((root - 3.25) / 0.75, side),
            _polynomial((root - 5.0625) / 1.0625, end),
        ),
    )
    edge = make("abs", wide).equals(1.0)
    return cast(wide * where(edge, math.inf, ratio), x.dtype)


def _polynomial(t: Expr, coefficients: Sequence[float]) -> Expr:
    """By Horner's rule."""
    *rest, total = coefficients
    result = full(total, t.shape, t.dtype)
    for coefficient in reversed(rest):
        result = result * t + coefficient
    return result


def softsign(x: Expr) -> Expr:
    """x / (1 + abs(x))."""
    return x / (1.0 + make("abs", x))
