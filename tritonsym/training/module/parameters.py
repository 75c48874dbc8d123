"""The arrays of a module's parameters: made when they are first needed, and given values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...context import Context
from ...dtype import FLOAT32
from ...errors import MXNetError
from ...ndarray.core import NDArray, tensor_of
from ...ndarray.create import zeros
from ...reference import Tensor
from ...shape import Shape
from ...text import escaped

Copies = list[tuple[NDArray, Tensor]]
Unset = list[tuple[str, NDArray]]


def parameter(
    kept: dict[str, NDArray], name: str, shape: Shape, dtype: Any, context: Context
) -> NDArray:
    """The array of a parameter, which is made when it is first needed.

    Raises:
        MXNetError: it has another shape.
    """
    if name not in kept:
        kept[name] = zeros(shape, context, dtype or FLOAT32)
    if kept[name].shape != tuple(shape):
        raise MXNetError(
            f"the shape of parameter {escaped(name)} would change from {kept[name].shape} to "
            f"{tuple(shape)}, so that its values could not be used: bind another Module for such "
            "data"
        )
    return kept[name]


def values_for(
    kept: Mapping[str, NDArray], given: Mapping[str, Any] | None, allow_missing: bool
) -> tuple[Copies, Unset]:
    """What is to be written into which array, and the arrays for which nothing was given.

    Raises:
        RuntimeError: a name is missing.
        TypeError: values that are no arrays.
        MXNetError: values of another shape.
    """
    copies: Copies = []
    unset: Unset = []
    for name, target in sorted(kept.items()):
        if given is None or name not in given:
            if given is not None and not allow_missing:
                raise RuntimeError(f"{escaped(name)} is not presented")
            unset.append((name, target))
            continue
        value = given[name]
        if not isinstance(value, (NDArray, np.ndarray)):
            raise TypeError(f"parameter {escaped(name)} needs an NDArray, got {type(value)}")
        if value.shape != target.shape:
            raise MXNetError(
                f"parameter {escaped(name)} has shape {target.shape}, given was {value.shape}"
            )
        copies.append((target, tensor_of(value, escaped(name))))
    return copies, unset
