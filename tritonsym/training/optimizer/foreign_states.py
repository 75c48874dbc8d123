"""States of optimizers that MXNet has written, as pickles, read without running anything.

A pickle is a program for a small stack machine, which may call any function of Python that it
names. Here a machine of its own reads the part of its instructions that states need. What is named
stays a name: only MXNet's arrays and their bytes are known, and they become arrays here.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...context import Context
from ...foundation.errors import MXNetError
from ...foundation.text import shown
from ...ndarray import params_file
from ...ndarray.core import NDArray

# How deep, and how wide, the state of one weight may be.
_DEEPEST, _WIDEST = 4, 16


@dataclass(frozen=True)
class _Name:
    """A function or class that a pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


_ARRAY = _Name("mxnet.ndarray.ndarray", "NDArray")
_BYTES = _Name("builtins", "bytearray")
_MARK = object()


class _Array:
    """An array of the pickle, which gets its bytes after it was made."""

    content: bytes | None = None


def is_pickle(states: bytes) -> bool:
    """Whether bytes begin as pickles of the binary protocols do."""
    return states[:1] == b"\x80" and states[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def read(states: bytes) -> dict[int | str, Any]:
    """The states by index: each None, an array, or a tuple of these.

    Raises:
        MXNetError: a damaged pickle, or one that holds something else than arrays.
    """
    machine, stream = _Machine(), io.BytesIO(states)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            machine.run(opcode.name, argument)
        found = machine.result
        if stream.read(1):
            raise ValueError("something stands behind the end")
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise MXNetError(
            f"a damaged pickle of states: {type(error).__name__} {shown(str(error))}"
        ) from None
    if not isinstance(found, dict):
        raise MXNetError(f"a pickle of states holds a dict, and this one {type(found).__name__}")
    taken: set[int] = set()
    return {key: _state(value, taken, 0) for key, value in found.items()}


def _state(value: Any, taken: set[int], depth: int) -> Any:
    """A state with arrays of ours, each of which stands in one place."""
    if value is None:
        return None
    if isinstance(value, _Array) and value.content is not None and id(value) not in taken:
        taken.add(id(value))
        return NDArray(params_file.parse_one(value.content), Context("cpu", 0))
    if isinstance(value, (tuple, list)) and len(value) <= _WIDEST and depth < _DEEPEST:
        return type(value)(_state(part, taken, depth + 1) for part in value)
    raise MXNetError(
        f"a state is made of arrays, each in one place; this one has {type(value).__name__}"
    )


class _Machine:
    """The stack machine of pickles, without what would run or import anything.

    Attributes:
        result: what the program left, once it has stopped.
    """

    def __init__(self) -> None:
        self.result: Any = None
        self._stack: list[Any] = []
        self._memo: list[Any] = []

    def run(self, name: str, argument: Any) -> None:
        """Follow one instruction.

        Raises:
            MXNetError: it is none that states need.
        """
        if name in _PUSHING:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _FOLLOWED:
            _FOLLOWED[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise MXNetError(
                f"a pickle with the instruction {name}, and states are made of arrays alone: in "
                "MXNet write them without dump_optimizer"
            )

    def _marked(self) -> list[Any]:
        """What lies above the last mark, which goes with it."""
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("a mark is missing")
        found = self._stack[at + 1 :]
        del self._stack[at:]
        return found

    def _popped(self, count: int) -> list[Any]:
        """The last things on the stack, in order."""
        return [self._stack.pop() for _ in range(count)][::-1]

    def _tuple(self, count: int) -> None:
        self._stack.append(tuple(self._popped(count)))

    def _tuple_of_marked(self, argument: Any) -> None:
        self._stack.append(tuple(self._marked()))

    def _append(self, items: list[Any]) -> None:
        _checked(self._stack[-1], list).extend(items)

    def _set(self, items: list[Any]) -> None:
        table = _checked(self._stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            table[_checked(key, (int, str))] = value

    def _put(self, place: Any) -> None:
        """Remember what lies on top, at a place that follows the others."""
        if place not in (None, len(self._memo)):
            raise ValueError(f"remembered at {place} after {len(self._memo)} others")
        self._memo.append(self._stack[-1])

    def _get(self, place: int) -> None:
        self._stack.append(self._memo[place])

    def _name(self, argument: str) -> None:
        module, name = argument.split(" ", 1)
        self._stack.append(_known(_Name(module, name)))

    def _name_of_stack(self, argument: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(_known(_Name(_checked(module, str), _checked(name, str))))

    def _reduce(self, argument: Any) -> None:
        """What a call would make, for the two that are known."""
        given, named = self._stack.pop(), self._stack.pop()
        (argument,) = _checked(given, tuple)
        if _checked(named, _Name) == _ARRAY and argument is None:
            self._stack.append(_Array())
        else:
            self._stack.append(_checked(argument, bytes))

    def _build(self, argument: Any) -> None:
        """Give an array its bytes."""
        attributes, array = _checked(self._stack.pop(), dict), _checked(self._stack[-1], _Array)
        array.content = bytes(_checked(attributes["handle"], (bytes, bytearray)))

    def _stop(self, argument: Any) -> None:
        (self.result,) = self._stack


def _known(name: _Name) -> _Name:
    if name not in (_ARRAY, _BYTES):
        raise MXNetError(
            f"a pickle that names {shown(str(name))}, and states are made of arrays alone: in "
            "MXNet write them without dump_optimizer"
        )
    return name


def _checked(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        # Not what it holds: that may be one thing many times over.
        raise TypeError(f"{type(value).__name__} where it cannot be")
    return value


_PUSHING = frozenset(
    (
        *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_FOLLOWED: dict[str, Callable[[_Machine, Any], None]] = {
    "TUPLE": _Machine._tuple_of_marked,
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    "APPEND": lambda machine, _: machine._append(machine._popped(1)),
    "APPENDS": lambda machine, _: machine._append(machine._marked()),
    "SETITEM": lambda machine, _: machine._set(machine._popped(2)),
    "SETITEMS": lambda machine, _: machine._set(machine._marked()),
    "MEMOIZE": _Machine._put,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "GLOBAL": _Machine._name,
    "STACK_GLOBAL": _Machine._name_of_stack,
    "REDUCE": _Machine._reduce,
    "BUILD": _Machine._build,
    "STOP": _Machine._stop,
}
