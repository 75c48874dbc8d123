"""Updaters: an optimizer with the states of the weights that it has seen."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Any

from ...context import Context
from ...foundation.dtype import as_dtype
from ...foundation.errors import MXNetError
from ...foundation.text import shown
from ...ndarray.core import NDArray
from . import states_file
from .base import Optimizer
from .compiled import CompiledUpdate
from .update import State, arrays_in

Arrays = list[weakref.ref[NDArray]]

# Stands for a state that is not there, since None is one. It is no other list, and stays empty.
_NOTHING: State = []


class Updater:
    """Calls an optimizer for weights by index, and keeps their states.

    Attributes:
        optimizer: what is called.
        states: by index.
        states_synced: whether a state is where its weight is, by index.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.states: dict[Any, State] = {}
        self.states_synced: dict[Any, bool] = {}
        # By the indices of a call: what arrays came last, or a program for them.
        self._programs: dict[tuple[Any, ...], Arrays | CompiledUpdate] = {}

    def __call__(self, index: Any, grad: Any, weight: Any) -> None:
        """Change a weight by its gradient, or lists of them.

        Raises:
            ValueError: lists of different lengths.
            MXNetError: arrays that do not fit each other or the optimizer. Nothing changes then.
        """
        if not isinstance(index, (list, tuple)):
            index, grad, weight = [index], [grad], [weight]
        if not len(index) == len(grad) == len(weight):
            raise ValueError(
                f"{len(index)} indices, {len(grad)} gradients and {len(weight)} weights: there "
                "must be as many of each"
            )
        if not index:
            return
        known = self._programs.get(tuple(index))
        if isinstance(known, CompiledUpdate):
            parts = chain(weight, grad, self.kept(index))
            if known.basis.is_that_of(self.optimizer, parts):
                known(self.optimizer, index)
                return
        states = self.states_of(index, weight)
        if self.optimizer.updates_arrays:
            self._hand_over([*zip(index, weight, grad, states, strict=True)])
        else:
            self._update(list(index), list(weight), list(grad), states)

    def kept(self, indices: Sequence[Any]) -> Iterator[State]:
        """The states of some weights as they are now; of one that has none, nothing known."""
        return map(self.states.get, indices, repeat(_NOTHING))

    def states_of(self, indices: Sequence[Any], weights: Sequence[NDArray]) -> list[State]:
        """The states of some weights, where these are; made for those that come first now.

        Raises:
            MXNetError: a state that was loaded is that of some other weight.
        """
        for key, weight in zip(indices, weights, strict=True):
            if key not in self.states:
                self.states[key] = self.optimizer.create_state_multi_precision(key, weight)
            elif not self.states_synced[key]:
                self._check_state(key, weight)
                self.states[key] = self.sync_state_context(self.states[key], weight.context)
            self.states_synced[key] = True
        return [self.states[key] for key in indices]

    def _check_state(self, key: Any, weight: NDArray) -> None:
        """Raise MXNetError for a state that was loaded and is that of some other weight."""
        have = _form(self.states[key])
        need = _form(self.optimizer.create_state_multi_precision(key, weight))
        if have is not None and need is not None and have != need:
            raise MXNetError(
                f"the state of weight {shown(key)}, which is {weight.shape}, is {have}, the "
                f"optimizer needs {need}: load states of the same network and optimizer"
            )

    def _update(
        self, index: list[Any], weight: list[NDArray], grad: list[NDArray], states: list[State]
    ) -> None:
        """Update by a program where the arrays come again: the same ones have, or they are many."""
        key, arrays = tuple(index), arrays_in([weight, grad, states])
        known = self._programs.get(key)
        again = len(key) > 1 if known is None else _same(known, arrays)
        if again:
            made = self._programs[key] = CompiledUpdate(self.optimizer, weight, grad, states)
            made(self.optimizer, index)
        else:
            self._programs[key] = [weakref.ref(array) for array in arrays]
            self.optimizer.update_multi_precision(index, weight, grad, states)

    def _hand_over(self, rows: Sequence[tuple[Any, NDArray, NDArray, State]]) -> None:
        """Let a program's own method update, as many weights of one dtype at once as it takes."""
        optimizer, most = self.optimizer, self.optimizer.aggregate_num
        if most < 1:
            for row in rows:
                optimizer.update_multi_precision(*row)
            return
        alike: dict[str, list[tuple[Any, NDArray, NDArray, State]]] = {}
        for row in rows:
            alike.setdefault(as_dtype(row[1].dtype).name, []).append(row)
        for same in alike.values():
            for start in range(0, len(same), most):
                index, weight, grad, states = zip(*same[start : start + most], strict=True)
                optimizer.update_multi_precision(index, weight, grad, list(states))

    def sync_state_context(self, state: State, context: Context) -> State:
        """A state on a context."""
        if isinstance(state, NDArray):
            return state.as_in_context(context)
        if isinstance(state, (tuple, list)):
            return type(state)(self.sync_state_context(part, context) for part in state)
        return state

    def get_states(self, dump_optimizer: bool = False) -> bytes:
        """The states as bytes, and with ``dump_optimizer`` the optimizer's numbers."""
        return states_file.dump(self.states, self.optimizer if dump_optimizer else None)

    def set_states(self, states: bytes) -> None:
        """Take over what :meth:`get_states` gave, here or in MXNet.

        Of MXNet's pickles only arrays are read, and nothing in them is run.

        Raises:
            MXNetError: the bytes are damaged, or are something else. Nothing changes then.
        """
        self.states, optimizer = states_file.parse(states)
        if optimizer is not None:
            self.optimizer = optimizer
        self.states_synced = dict.fromkeys(self.states, False)


def _same(known: Arrays | CompiledUpdate, arrays: Sequence[NDArray]) -> bool:
    """Whether these are the arrays that are known."""
    if isinstance(known, CompiledUpdate):
        before: Sequence[NDArray | None] = known.basis.arrays
    else:
        before = [reference() for reference in known]
    return len(before) == len(arrays) and all(
        one is other for one, other in zip(before, arrays, strict=True)
    )


def get_updater(optimizer: Optimizer) -> Updater:
    """An updater of an optimizer."""
    return Updater(optimizer)


def _form(state: State) -> Any:
    """The shapes and dtypes of the arrays of a state."""
    if state is None:
        return None
    if isinstance(state, NDArray):
        return state.shape, as_dtype(state.dtype).name
    return [_form(part) for part in state]
