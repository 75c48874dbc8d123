"""`mx.random`: the seed of the random sequence, and arrays of random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .context import Context, as_context
from .expressions.philox import default_state
from .foundation.text import shown
from .ndarray.core import NDArray, invoke, invoke_one


def seed(seed_state: int, ctx: str | Context = "all") -> None:
    """Restart the random sequence, so that what follows gives the same numbers each time.

    Args:
        seed_state: any integer.
        ctx: accepted as MXNet does; every context draws from the same sequence.

    Raises:
        ValueError: the seed is no integer.
    """
    if isinstance(seed_state, bool) or not isinstance(seed_state, (int, np.integer)):
        raise ValueError(f"random.seed: seed_state must be int, got {shown(seed_state)}")
    default_state().seed(int(seed_state))


def uniform(
    low: float | NDArray = 0,
    high: float | NDArray = 1,
    shape: Any = None,
    dtype: Any = None,
    ctx: Context | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Uniform random numbers in ``[low, high)``; one of them where no shape is given.

    Where the limits are arrays of one shape, ``shape`` numbers are drawn for each pair of them.
    """
    if _are_arrays(low=low, high=high):
        return _sampled("_sample_uniform", (low, high), shape, dtype, out)
    return _drawn("_random_uniform", {"low": low, "high": high}, shape, dtype, ctx, out)


def normal(
    loc: float | NDArray = 0,
    scale: float | NDArray = 1,
    shape: Any = None,
    dtype: Any = None,
    ctx: Context | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Normal random numbers of mean ``loc`` and standard deviation ``scale``.

    Where these are arrays of one shape, ``shape`` numbers are drawn for each pair of them.
    """
    if _are_arrays(loc=loc, scale=scale):
        return _sampled("_sample_normal", (loc, scale), shape, dtype, out)
    return _drawn("_random_normal", {"loc": loc, "scale": scale}, shape, dtype, ctx, out)


def randn(
    *shape: int,
    loc: float | NDArray = 0,
    scale: float | NDArray = 1,
    dtype: Any = None,
    ctx: Context | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """:func:`normal` of a shape that is given by its lengths."""
    return normal(loc, scale, shape or None, dtype, ctx, out)


def randint(
    low: int,
    high: int,
    shape: Any = None,
    dtype: Any = None,
    ctx: Context | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Whole random numbers from ``low`` up to, and without, ``high``: int32, or int64."""
    return _drawn("_random_randint", {"low": low, "high": high}, shape, dtype, ctx, out)


def multinomial(
    data: NDArray,
    shape: Any = None,
    get_prob: bool = False,
    out: Any = None,
    dtype: Any = "int32",
) -> Any:
    """Classes drawn by the probabilities along the last axis of ``data``.

    Of each row ``shape`` of them are drawn, one without it; with ``get_prob`` the logarithms of
    their probabilities come as a second array.
    """
    given = {"get_prob": get_prob, "dtype": dtype}
    given.update({} if shape is None else {"shape": shape})
    return invoke("_sample_multinomial", (data,), given, out)


def shuffle(data: NDArray, out: NDArray | None = None) -> NDArray:
    """The parts of ``data`` along its first axis in a random order."""
    return invoke_one("_shuffle", (data,), None, out)


def _are_arrays(**parameters: Any) -> bool:
    """Whether the parameters of a distribution are arrays.

    Raises:
        AssertionError: some are and some are not.
    """
    arrays = [isinstance(value, NDArray) for value in parameters.values()]
    assert all(arrays) or not any(arrays), (
        f"{' and '.join(parameters)} must be both numbers or both arrays, got "
        f"{' and '.join(map(shown, parameters.values()))}: mx.nd.full makes an array of a number"
    )
    return all(arrays)


def _sampled(
    alias: str, parameters: tuple[Any, ...], shape: Any, dtype: Any, out: NDArray | None
) -> NDArray:
    optional = {"shape": shape, "dtype": dtype}
    if out is not None:
        optional["shape"] = out.shape[parameters[0].ndim :] if shape is None else shape
        optional["dtype"] = out.dtype if dtype is None else dtype
    given = {key: value for key, value in optional.items() if value is not None}
    return invoke_one(alias, parameters, given, out)


def _drawn(
    alias: str,
    parameters: dict[str, Any],
    shape: Any,
    dtype: Any,
    ctx: Context | None,
    out: NDArray | None,
) -> NDArray:
    if out is not None and not isinstance(out, NDArray):
        raise TypeError(f"random: out needs an NDArray, got {type(out)}")
    context = as_context(ctx) if out is None or ctx is not None else out.context
    given = {**parameters, "ctx": context}
    if shape is None and out is not None:
        shape = out.shape
    if dtype is None and out is not None:
        dtype = out.dtype
    given.update({} if shape is None else {"shape": shape})
    given.update({} if dtype is None else {"dtype": dtype})
    return invoke_one(alias, (), given, out)
