"""The arrays of a module: made when they are first needed, bound, and given values."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...binding.bind import bind as bind_arrays
from ...binding.executor import Executor
from ...binding.gradient_arrays import GradientArrays
from ...context import Context
from ...expressions.reference import Tensor
from ...foundation.dtype import FLOAT32
from ...foundation.errors import MXNetError
from ...foundation.shape import Shape
from ...foundation.text import escaped, shown
from ...ndarray.core import NDArray, tensor_of
from ...ndarray.create import zeros
from ..io.base import DataDesc

if TYPE_CHECKING:
    from ...symbol.core import Symbol

Copies = list[tuple[NDArray, Tensor]]
Unset = list[tuple[str, NDArray]]


@dataclass(frozen=True)
class Kept:
    """Arrays by name that all shapes of batches have in common, and modules that share them."""

    parameters: dict[str, NDArray]
    gradients: dict[str, NDArray]
    states: dict[str, NDArray]

    def copy(self) -> Kept:
        """The same arrays, whatever is added here."""
        return Kept(dict(self.parameters), dict(self.gradients), dict(self.states))

    def become(self, other: Kept) -> None:
        """Have the arrays of another one, and only them."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        for mine, others in pairs:
            mine.clear()
            mine.update(others)


def _with_inner(module: Any) -> list[Any]:
    """A module and those within it, of a chain or for buckets."""
    several = getattr(module, "_modules", ())
    inner = [*(several.values() if isinstance(several, Mapping) else several)]
    if getattr(module, "_module", None) is not None:
        inner.append(module._module)
    return [module, *(part for one in inner for part in _with_inner(one))]


@contextmanager
def unchanged_by_failure(modules: Sequence[Any], values: bool = False) -> Iterator[None]:
    """Within it an exception leaves the modules, and those within them, as they were.

    Args:
        modules: what is changed within it.
        values: whether values of parameters are written that are there already.
    """
    parts = {id(one): one for module in modules for one in _with_inner(module)}.values()
    attributes = [(vars(one), dict(vars(one))) for one in parts]
    several = {id(one._kept): one._kept for one in parts if hasattr(one, "_kept")}.values()
    contents = [(kept, kept.copy()) for kept in several]
    written = [kept for kept in several if values]
    arrays = [one for kept in written for one in (*kept.parameters.values(), *kept.states.values())]
    copies = [(array, array.copy()) for array in arrays]
    try:
        yield
    except BaseException:
        for own, before in attributes:
            own.clear()
            own.update(before)
        for kept, content in contents:
            kept.become(content)
        for array, value in copies:
            array[:] = value
        raise


def bound(
    symbol: Symbol,
    context: Context,
    described: Mapping[str, DataDesc],
    names: Collection[str],
    requests: Mapping[str, str],
    kept: Kept,
) -> Executor:
    """The executor of a network for batches of some shapes.

    Args:
        described: the data and labels, by name.
        names: the parameters; all other arguments have arrays of the executor's own.
        requests: what happens with the gradient of each argument.
        kept: arrays to use, and to add what it lacks to.

    Raises:
        MXNetError: shapes that do not fit, or in which a parameter would have to change.
    """
    known = {name: tuple(one.shape) for name, one in described.items()}
    shapes, _, state_shapes = symbol.infer_shape(**known)
    if shapes is None or state_shapes is None:
        raise MXNetError(f"the shapes of the network do not follow from {shown(known)}")
    types = {name: one.dtype for name, one in described.items()}
    dtypes, _, state_dtypes = symbol.infer_type_partial(**types)
    arrays = {
        name: _kept(kept.parameters, name, shape, dtype, context)
        if name in names
        else zeros(shape, context, dtype)
        for name, shape, dtype in zip(symbol.list_arguments(), shapes, dtypes, strict=True)
    }
    states = {
        name: _kept(kept.states, name, shape, dtype, context)
        for name, shape, dtype in zip(
            symbol.list_auxiliary_states(), state_shapes, state_dtypes or (), strict=True
        )
    }
    learned = {name: array for name, array in arrays.items() if requests[name] != "null"}
    of_data = {name: array for name, array in learned.items() if name not in names}
    made = ChainMap(kept.gradients, dict(GradientArrays(of_data, {})))
    gradients = GradientArrays(learned, made)
    return bind_arrays(symbol, context, arrays, gradients, requests, states)


def _kept(
    kept: dict[str, NDArray], name: str, shape: Shape, dtype: Any, context: Context
) -> NDArray:
    """The array of a parameter or state, which is made when it is first needed."""
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
                raise RuntimeError(
                    f"{escaped(name)} is not presented: give it with the others, or say "
                    "allow_missing=True, which leaves it to the initializer, if there is one"
                )
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
