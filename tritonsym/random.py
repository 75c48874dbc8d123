"""`mx.random`: the seed of the random sequence, and arrays of random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .context import Context, as_context
from .expressions.philox import default_state
from .foundation.errors import MXNetError
from .foundation.text import shown
from .ndarray.core import NDArray, invoke_one


def seed(seed_state: int, ctx: str | Context = "all") -> None:
    """Restart the random sequence, so that what follows gives the same numbers each time.

    Args:
        seed_state: any integer.
        ctx: accepted as MXNet does; every context draws from the same sequence.

    Raises:
        MXNetError: the seed is no integer.
    """
    if isinstance(seed_state, bool) or not isinstance(seed_state, (int, np.integer)):
        raise MXNetError(f"random.seed: the seed must be an int, got {shown(seed_state)}")
    default_state().seed(int(seed_state))


def uniform(
    low: float = 0,
    high: float = 1,
    shape: Any = None,
    dtype: Any = None,
    ctx: Context | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Uniform random numbers in ``[low, high)``; one of them where no shape is given."""
    return _drawn("_random_uniform", {"low": low, "high": high}, shape, dtype, ctx, out)


def normal(
    loc: float = 0,
    scale: float = 1,
    shape: Any = None,
    dtype: Any = None,
    ctx: Context | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Normal random numbers of mean ``loc`` and standard deviation ``scale``."""
    return _drawn("_random_normal", {"loc": loc, "scale": scale}, shape, dtype, ctx, out)


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
