"""The states of an updater as bytes.

They are a file of arrays in MXNet's format. One array more, of bytes, holds JSON: how the arrays
make up the states, and if wanted the optimizer's numbers. Nothing in it is ever run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...context import Context
from ...foundation.errors import MXNetError
from ...foundation.text import shown
from ...ndarray import params_file
from ...ndarray.core import NDArray
from .. import lr_scheduler
from . import foreign_states
from .base import Optimizer, create
from .update import State, arrays_in

STRUCTURE = "structure"
# What may come of using a text as if it described states.
_DAMAGES = (
    KeyError, TypeError, ValueError, AttributeError, AssertionError, ArithmeticError,
    RecursionError,
)  # fmt: skip


def dump(states: Mapping[Any, State], optimizer: Optimizer | None = None) -> bytes:
    """States by index as bytes, and the numbers of an optimizer."""
    arrays = [array for state in states.values() for array in arrays_in(state)]
    numbers = iter(range(len(arrays)))
    described: dict[str, Any] = {
        "states": [[key, _described(state, numbers)] for key, state in states.items()]
    }
    if optimizer is not None:
        described["optimizer"] = _described_optimizer(optimizer)
    text = np.frombuffer(json.dumps(described).encode(), np.uint8).copy()
    tensors = [array._tensor for array in arrays]
    names = [*map(str, range(len(arrays))), STRUCTURE]
    contexts = [*(array.context for array in arrays), Context("cpu", 0)]
    return params_file.dump([*tensors, torch.from_numpy(text)], contexts, names)


def parse(data: bytes) -> tuple[dict[Any, State], Optimizer | None]:
    """The states in such bytes, or in a pickle of MXNet's, and the optimizer if it is there.

    Raises:
        MXNetError: the bytes are damaged, or are something else.
    """
    if foreign_states.is_pickle(data):
        return foreign_states.read(data), None
    found = {name: tensor for name, tensor, _ in params_file.parse(data)}
    try:
        text = found.pop(STRUCTURE).numpy().tobytes()
        described = json.loads(text)
        states = {
            _checked_key(key): _restored(structure, found) for key, structure in described["states"]
        }
        optimizer = None
        if "optimizer" in described:
            optimizer = _restored_optimizer(described["optimizer"])
    except _DAMAGES as error:
        raise MXNetError(
            f"these are no states of an updater: {type(error).__name__} {shown(str(error))}"
        ) from None
    return states, optimizer


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
