"""Updaters: an optimizer with the states of the weights that it has seen, and these as bytes.

The bytes are a file of arrays in MXNet's format. One array more, of bytes, holds JSON: how the
arrays make up the states, and if wanted the optimizer's numbers. Nothing in it is ever run.
"""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Any

import numpy as np
import torch

from ...context import Context
from ...foundation.dtype import as_dtype
from ...foundation.errors import MXNetError
from ...foundation.text import shown
from ...ndarray import params_file
from ...ndarray.core import NDArray
from .. import lr_scheduler
from . import foreign_states
from .base import Optimizer, create
from .compiled import CompiledUpdate
from .update import State, arrays_in

STRUCTURE = "structure"
# What may come of using a text as if it described states.
_DAMAGES = (
    KeyError, TypeError, ValueError, AttributeError, AssertionError, ArithmeticError,
    RecursionError,
)  # fmt: skip

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
        arrays = [array for state in self.states.values() for array in arrays_in(state)]
        numbers = iter(range(len(arrays)))
        described: dict[str, Any] = {
            "states": [[key, _described(state, numbers)] for key, state in self.states.items()]
        }
        if dump_optimizer:
            described["optimizer"] = _described_optimizer(self.optimizer)
        text = np.frombuffer(json.dumps(described).encode(), np.uint8).copy()
        tensors = [array._tensor for array in arrays]
        names = [*map(str, range(len(arrays))), STRUCTURE]
        contexts = [*(array.context for array in arrays), Context("cpu", 0)]
        return params_file.dump([*tensors, torch.from_numpy(text)], contexts, names)

    def set_states(self, states: bytes) -> None:
        """Take over what :meth:`get_states` gave, here or in MXNet.

        Of MXNet's pickles only arrays are read, and nothing in them is run.

        Raises:
            MXNetError: the bytes are damaged, or are something else. Nothing changes then.
        """
        if foreign_states.is_pickle(states):
            self.states = foreign_states.read(states)
            self.states_synced = dict.fromkeys(self.states, False)
            return
        found = {name: tensor for name, tensor, _ in params_file.parse(states)}
        try:
            text = found.pop(STRUCTURE).numpy().tobytes()
            described = json.loads(text)
            made = {
                _checked_key(key): _restored(structure, found)
                for key, structure in described["states"]
            }
            optimizer = self.optimizer
            if "optimizer" in described:
                optimizer = _restored_optimizer(described["optimizer"])
        except _DAMAGES as error:
            raise MXNetError(
                f"these are no states of an updater: {type(error).__name__} {shown(str(error))}"
            ) from None
        self.optimizer = optimizer
        self.states = made
        self.states_synced = dict.fromkeys(made, False)


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


def _described(state: State, numbers: Any) -> Any:
    """None, the number of an array, or a list of these that begins with its type."""
    if state is None:
        return None
    if isinstance(state, NDArray):
        return next(numbers)
    return [type(state).__name__, *(_described(part, numbers) for part in state)]


def _restored(structure: Any, found: dict[str | None, torch.Tensor]) -> State:
    if structure is None:
        return None
    if isinstance(structure, int) and not isinstance(structure, bool):
        return NDArray(found[str(structure)], Context("cpu", 0))
    kind, *parts = structure
    return {"tuple": tuple, "list": list}[kind](_restored(part, found) for part in parts)


def _checked_key(key: Any) -> Any:
    if not isinstance(key, (int, str)):
        raise TypeError(f"the index {shown(key)} is no number and no text")
    return key


# What an optimizer is made of besides its own numbers.
_SKIPPED = ("idx2name", "param_dict", "lr_scheduler", "_index_update_count", "_attributes")
_SKIPPED_MULTIPLIERS = ("lr_mult", "wd_mult")


def _numbers(thing: object) -> dict[str, Any]:
    """The attributes that are numbers, truth values, texts, None, or lists of numbers."""
    return {
        name: value
        for name, value in vars(thing).items()
        if name not in (*_SKIPPED, *_SKIPPED_MULTIPLIERS) and _is_plain(value)
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(item) and not isinstance(item, list) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _described_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    scheduler = optimizer.lr_scheduler
    tables = {name: list(getattr(optimizer, name).items()) for name in _TABLES}
    return {
        "name": type(optimizer).__name__.lower(),
        "numbers": _numbers(optimizer),
        **tables,
        "scheduler": scheduler and [type(scheduler).__name__, _numbers(scheduler)],
    }


_TABLES = ("idx2name", "_index_update_count", *_SKIPPED_MULTIPLIERS)
# Schedulers, and which of their numbers one is made of; the others follow.
_SCHEDULERS: dict[str, tuple[type[lr_scheduler.LRScheduler], Sequence[str]]] = {
    "LRScheduler": (lr_scheduler.LRScheduler, ()),
    "FactorScheduler": (lr_scheduler.FactorScheduler, ("step",)),
    "MultiFactorScheduler": (lr_scheduler.MultiFactorScheduler, ("step",)),
    "PolyScheduler": (lr_scheduler.PolyScheduler, ("max_update",)),
    "CosineScheduler": (lr_scheduler.CosineScheduler, ("max_update",)),
}


def _restored_optimizer(described: Any) -> Optimizer:
    optimizer = create(described["name"])
    for name in _TABLES:
        table = {_checked_key(key): value for key, value in described[name]}
        known = "" if name == "idx2name" else 0
        if not all(_is_like(value, known) for value in table.values()):
            raise TypeError(f"{name} holds something else")
        setattr(optimizer, name, table)
    _set_numbers(optimizer, described["numbers"])
    if described["scheduler"] is not None:
        kind, numbers = described["scheduler"]
        klass, given = _SCHEDULERS[kind]
        optimizer.lr_scheduler = klass(*(numbers[name] for name in given))
        _set_numbers(optimizer.lr_scheduler, numbers)
    return optimizer


def _is_like(value: Any, known: Any) -> bool:
    """Whether an attribute that holds what is known may hold a value."""
    if isinstance(known, str):
        return isinstance(value, str)
    if isinstance(known, list):
        return isinstance(value, list) and all(_is_like(item, 0) for item in value)
    if known is None and value is None:
        return True
    return isinstance(value, (int, float)) and math.isfinite(value)


def _set_numbers(thing: object, numbers: dict[str, Any]) -> None:
    """Set attributes that the thing has already, to plain values."""
    known = _numbers(thing)
    for name, value in numbers.items():
        if name not in known:
            raise ValueError(f"{type(thing).__name__} has no number {shown(name)}")
        if not _is_like(value, known[name]):
            raise ValueError(f"{shown(name)} cannot be {shown(value)}")
        setattr(thing, name, value)
