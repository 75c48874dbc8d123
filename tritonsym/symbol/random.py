"""`mx.sym.random`: symbols of random numbers, new ones at every run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..foundation.text import shown
from ..graph.frontend import Number
from .core import Symbol, apply


def uniform(
    low: Any = 0, high: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any
) -> Symbol:
    """Uniform random numbers in ``[low, high)``, which are numbers, or symbols of one shape."""
    limits = {"low": low, "high": high}
    return _drawn("_random_uniform", "_sample_uniform", limits, shape, dtype, kwargs)


def normal(
    loc: Any = 0, scale: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any
) -> Symbol:
    """Normal random numbers of these means and deviations: numbers, or symbols of one shape."""
    moments = {"loc": loc, "scale": scale}
    return _drawn("_random_normal", "_sample_normal", moments, shape, dtype, kwargs)


def randn(*shape: int, loc: Any = 0, scale: Any = 1, dtype: Any = None, **kwargs: Any) -> Symbol:
    """:func:`normal` of a shape that is given by its lengths."""
    return normal(loc, scale, shape, dtype, **kwargs)


def randint(low: int, high: int, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Whole random numbers from ``low`` up to, and without, ``high``."""
    return _drawn("_random_randint", None, {"low": low, "high": high}, shape, dtype, kwargs)


def multinomial(
    data: Symbol, shape: Any = None, get_prob: bool = True, dtype: Any = "int32", **kwargs: Any
) -> Symbol:
    """Classes drawn by the probabilities along the last axis, and the logarithms of these."""
    name, attr = kwargs.pop("name", None), kwargs.pop("attr", None)
    given = {"get_prob": get_prob, "dtype": dtype, **kwargs}
    given.update({} if shape is None else {"shape": shape})
    return apply("_sample_multinomial", (data,), given, name, attr)


def shuffle(data: Symbol, **kwargs: Any) -> Symbol:
    """The parts along the first axis in a random order."""
    name, attr = kwargs.pop("name", None), kwargs.pop("attr", None)
    return apply("_shuffle", (data,), kwargs, name, attr)


def _drawn(
    by_numbers: str,
    by_symbols: str | None,
    parameters: Mapping[str, Any],
    shape: Any,
    dtype: Any,
    kwargs: dict[str, Any],
) -> Symbol:
    """Random numbers of a distribution whose parameters are all numbers, or all symbols.

    Raises:
        ValueError: they are something else.
        AssertionError: some are numbers and some symbols.
    """
    name, attr = kwargs.pop("name", None), kwargs.pop("attr", None)
    optional = {"shape": shape, "dtype": dtype, **kwargs}
    given = {key: value for key, value in optional.items() if value is not None}
    values = list(parameters.values())
    symbols = [isinstance(value, Symbol) for value in values]
    if any(symbols) and by_symbols is not None:
        assert all(symbols), (
            f"{' and '.join(parameters)} must be both numbers or both symbols, got "
            f"{' and '.join(map(shown, values))}"
        )
        return apply(by_symbols, values, given, name, attr)
    if not all(isinstance(value, Number) for value in values):
        raise ValueError(
            f"{' and '.join(parameters)} must be numbers{' or symbols' * bool(by_symbols)}, got "
            f"{' and '.join(map(shown, values))}"
        )
    return apply(by_numbers, (), {**parameters, **given}, name, attr)
