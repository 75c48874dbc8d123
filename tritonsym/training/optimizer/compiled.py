"""Updates as programs: where the same weights are updated again and again, one plan for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any

from ...compiler.compiler import compile_graph
from ...foundation.collector import paused
from ...ndarray.core import NDArray
from .base import Optimizer
from .rates import SentRates
from .update import State, arrays_in, update_of

# What is handed to a program at every run, or has nothing to do with the formula.
_GIVEN = frozenset(
    (
        *("lr", "wd", "rescale_grad", "lr_scheduler", "lr_mult", "wd_mult", "num_update"),
        "_last_lrs",
        *("begin_num_update", "_index_update_count", "_attributes", "idx2name", "param_dict"),
    )
)


class Basis:
    """What a program was made for, beside its graph: the formula, arrays and states.

    To look whether they are still the same is a part of every step, and costs one call for all.

    Attributes:
        arrays: which it holds.
    """

    def __init__(self, optimizer: Optimizer, parts: Iterable[State]) -> None:
        self._formula = formula_of(optimizer)
        self._parts = list(parts)
        self.arrays = arrays_in(self._parts)
        # What a list holds can change, although it is the same list.
        self._fixed = all(map(_is_fixed, self._parts))

    def is_that_of(self, optimizer: Optimizer, parts: Iterable[State]) -> bool:
        """Whether the optimizer's formula is still the same, and so are as many parts."""
        if self._fixed:
            same = all(map(is_, self._parts, parts))
        else:
            arrays = arrays_in(list(parts))
            same = len(arrays) == len(self.arrays) and all(map(is_, self.arrays, arrays))
        return same and self._formula == formula_of(optimizer)


class CompiledUpdate:
    """The update of some weights by an optimizer, as a program on their memory.

    Attributes:
        basis: the optimizer's formula, the weights, their gradients and states.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        weights: Sequence[NDArray],
        grads: Sequence[NDArray],
        states: Sequence[State],
    ) -> None:
        self.basis = Basis(optimizer, [*weights, *grads, *states])
        update = update_of(optimizer, weights, grads, states)
        with paused():
            self._program = compile_graph(update.graph, update.inputs, weights[0].context).program
        self._rates = SentRates(update, len(weights))

    def __call__(self, optimizer: Optimizer, indices: Sequence[Any]) -> None:
        """Update the weights once.

        Args:
            optimizer: which counts the update, and gives the rates.
            indices: what it calls the weights.
        """
        self._program.follow()
        self._rates.send(optimizer, indices)
        self._program.run()


def formula_of(optimizer: Optimizer) -> dict[str, Any]:
    """The method, and the numbers of an optimizer that its expressions contain."""
    given = vars(optimizer).items()
    found = {name: _as_it_is_now(value) for name, value in given if name not in _GIVEN}
    # Under a name that no attribute has.
    found[""] = type(optimizer), optimizer.may_decay, optimizer.rescale_grad == 1.0
    return found


def _as_it_is_now(value: Any) -> Any:
    """What can be compared with a later value, which may be the same object with another inside."""
    if value is None or isinstance(value, (int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(map(_as_it_is_now, value))
    if isinstance(value, dict):
        return {key: _as_it_is_now(one) for key, one in value.items()}
    if isinstance(value, (set, frozenset)):
        return frozenset(value)
    if hasattr(value, "tobytes"):  # an array or a number of numpy
        return str(value.dtype), value.shape, value.tobytes()
    return id(value)


def _is_fixed(state: State) -> bool:
    """Whether a state always consists of the same arrays."""
    if isinstance(state, tuple):
        return all(map(_is_fixed, state))
    return state is None or isinstance(state, NDArray)
