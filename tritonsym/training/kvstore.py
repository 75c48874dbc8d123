"""`mx.kv`: arrays by key that are summed when they are pushed, within one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..expressions.reference import Tensor
from ..foundation.errors import MXNetError
from ..foundation.files import read_file, replace_file
from ..foundation.text import shown
from ..ndarray.core import NDArray
from ..ndarray.values import write, write_all
from .optimizer.base import Optimizer
from .optimizer.updater import Updater, get_updater

LOCAL = ("local", "device", "local_allreduce_cpu", "local_allreduce_device", "local_update_cpu")
Key = int | str


class KVStore:
    """Arrays by key. What is pushed replaces them, or is what an optimizer updates them by.

    Attributes:
        type: the name it was made with.
        rank, num_workers: 0 of 1: there is one process.
    """

    def __init__(self, name: str) -> None:
        self.type = name
        self.rank = 0
        self.num_workers = 1
        self._arrays: dict[Key, NDArray] = {}
        self._updater: Any = None

    def init(self, key: Key | Sequence[Key], value: Any) -> None:
        """Set the first value of a key, or of a list of them.

        Raises:
            MXNetError: a key that is there already, or comes twice. Nothing is set then.
        """
        self._arrays.update(self._first(key, value))

    def push(self, key: Key | Sequence[Key], value: Any, priority: int = 0) -> None:
        """Give an array, or a list of arrays that are summed, to each key.

        The arrays of a key that comes twice are summed as well.

        Raises:
            MXNetError: a key that is not there, or another shape. Nothing changes then.
        """
        given: dict[Key, list[NDArray]] = {}
        for one, array in _each(key, value):
            kept = _kept(self._arrays, one)
            if array.shape != kept.shape:
                raise MXNetError(f"key {shown(one)} has shape {kept.shape}, pushed {array.shape}")
            given.setdefault(one, []).append(array)
        for one, total in [(one, _sum(arrays)) for one, arrays in given.items()]:
            kept = self._arrays[one]
            if self._updater is None:
                write(kept._tensor, total._tensor)
            else:
                self._updater(_index(one), total.as_in_context(kept.context), kept)

    def pull(
        self,
        key: Key | Sequence[Key],
        out: Any = None,
        priority: int = 0,
        ignore_sparse: bool = True,
    ) -> None:
        """Copy the value of each key into an array, or into each of a list.

        Raises:
            MXNetError: a key that is not there, or an array of another shape. Nothing is copied
                then.
        """
        write_all(_copies(self._arrays, key, out))

    def pushpull(
        self, key: Key | Sequence[Key], value: Any, out: Any = None, priority: int = 0
    ) -> None:
        """:meth:`push`, and then :meth:`pull` into ``out``, or into ``value`` itself."""
        copies = _copies(self._arrays, key, value if out is None else out)
        self.push(key, value, priority)
        write_all(copies)

    def broadcast(self, key: Key | Sequence[Key], value: Any, out: Any, priority: int = 0) -> None:
        """:meth:`init`, and then :meth:`pull`."""
        first = self._first(key, value)
        copies = _copies(first, key, out)
        self._arrays.update(first)
        write_all(copies)

    def is_capable(self, capability: str) -> bool:
        """Whether it can do something, of which ``optimizer`` is all that there is.

        Raises:
            ValueError: something else.
        """
        if capability.lower() != "optimizer":
            raise ValueError(f"Unknown capability: {shown(capability)}; a store has 'optimizer'")
        return True

    def set_optimizer(self, optimizer: Optimizer) -> None:
        """Let an optimizer change the values by what is pushed."""
        self._updater = get_updater(optimizer)

    def _set_updater(self, updater: Any) -> None:
        """Let a function of key, pushed array and value change the values."""
        self._updater = updater

    def save_optimizer_states(self, fname: str | Path, dump_optimizer: bool = False) -> None:
        """Write the optimizer's states to a file.

        Raises:
            AssertionError: there is no optimizer.
        """
        assert isinstance(self._updater, Updater), "Cannot save states without an optimizer"
        replace_file(fname, self._updater.get_states(dump_optimizer))

    def load_optimizer_states(self, fname: str | Path) -> None:
        """Read the optimizer's states from a file.

        Raises:
            AssertionError: there is no optimizer.
            MXNetError: the file cannot be read, or is damaged.
        """
        assert isinstance(self._updater, Updater), "Cannot load states without an optimizer"
        self._updater.set_states(read_file(fname))

    def _first(self, key: Any, value: Any) -> dict[Key, NDArray]:
        """The first values of keys that are not there."""
        found: dict[Key, NDArray] = {}
        for one, arrays in _pairs(key, value):
            if one in self._arrays:
                raise MXNetError(f"the key {shown(one)} is there already: push to it")
            if one in found:
                raise MXNetError(f"the key {shown(one)} comes twice: it has one first value")
            found[one] = arrays[0].copy()
        return found


def create(name: str = "local") -> KVStore:
    """A store within this process.

    Raises:
        TypeError: the name is no text.
        MXNetError: a name of a store that is not in one process.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {shown(name)}")
    if name not in LOCAL:
        raise MXNetError(
            f"a store of type {shown(name)} is not supported, only {', '.join(LOCAL)}: there is "
            "one process and one context"
        )
    return KVStore(name)


def check(given: Any) -> None:
    """Raise what :func:`create` raises for what is no store, no name of one, and not None."""
    if given is not None and not isinstance(given, KVStore):
        create(given)


def _pairs(key: Any, value: Any) -> list[tuple[Key, list[NDArray]]]:
    """Each key with its arrays."""
    if not isinstance(key, (list, tuple)):
        key, value = [key], [value]
    elif len(value) > len(key) and len(value) % len(key) == 0:
        share = len(value) // len(key)
        value = [value[i : i + share] for i in range(0, len(value), share)]
    if len(key) != len(value):
        raise MXNetError(f"{len(key)} keys for {len(value)} values")
    found = []
    for one, given in zip(key, value, strict=True):
        arrays = list(given) if isinstance(given, (list, tuple)) else [given]
        if not isinstance(one, (int, str)) or not all(isinstance(a, NDArray) for a in arrays):
            raise TypeError(f"key {shown(one)} needs NDArrays, got {[type(a) for a in arrays]}")
        found.append((one, arrays))
    return found


def _each(key: Any, value: Any) -> list[tuple[Key, NDArray]]:
    """Each array with its key."""
    return [(one, array) for one, arrays in _pairs(key, value) for array in arrays]


def _kept(arrays: Mapping[Key, NDArray], key: Key) -> NDArray:
    if key not in arrays:
        raise MXNetError(f"the key {shown(key)} has no value: call init first")
    return arrays[key]


def _copies(arrays: Mapping[Key, NDArray], key: Any, out: Any) -> list[tuple[Tensor, Tensor]]:
    """What is written when the values of keys are copied: where to, and what, all of it checked."""
    assert out is not None, "pull needs out"
    copies = []
    for one, target in _each(key, out):
        kept = _kept(arrays, one)
        if target.shape != kept.shape:
            raise MXNetError(
                f"key {shown(one)} has shape {kept.shape}, and out {target.shape}: pull into an "
                "array of its shape"
            )
        copies.append((target._tensor, kept._tensor))
    return copies


def _index(key: Key) -> Key:
    """Optimizers know parameters by number, where the key is one."""
    return int(key) if isinstance(key, str) and key.isdecimal() else key


def _sum(arrays: Sequence[NDArray]) -> NDArray:
    total = arrays[0]
    for array in arrays[1:]:
        total = total + array.as_in_context(total.context)
    return total
