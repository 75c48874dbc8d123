"""Texts that users and files give: checked before they are kept, cut and escaped before shown."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_LONGEST = 80
_MOST = 8


def _cut(text: str, length: int) -> str:
    return text if length <= _LONGEST else f"{text}... ({length} characters)"


def escaped(text: str) -> str:
    """The text on one line, without quotes, cut where it is long: safe within a message."""
    return _cut(repr(text[:_LONGEST])[1:-1], len(text))


def shown(value: Any) -> str:
    """What Python prints for a value, on one line and cut where it is long."""
    if isinstance(value, str):
        return _cut(repr(value[:_LONGEST]), len(value))
    try:
        text = " ".join(repr(value).split())
    except (RecursionError, ValueError):  # a list within itself, or an int of too many digits
        return f"a {type(value).__name__}"
    return _cut(text[:_LONGEST], len(text))


def py_str(value: bytes | str) -> str:
    """A text from MXNet's names, which some of its versions give as bytes."""
    return value if isinstance(value, str) else value.decode("utf-8")


def listed(names: Collection[str], numbered: bool = False) -> str:
    """The names one after the other; of many the first ones and how many there are."""
    first = [name for name, _ in zip(names, range(_MOST), strict=False)]
    if numbered:
        text = " ".join(f"[{i}]{escaped(name)}" for i, name in enumerate(first))
    else:
        text = ", ".join(map(escaped, first))
    return text if len(names) <= _MOST else f"{text}, ... ({len(names)} in all)"


def encodes(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which no file could hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def checked_text(what: str, value: Any) -> str:
    """A text that can be kept, and written to a file later.

    Raises:
        TypeError: no text.
        ValueError: a text that has no UTF-8 form.
    """
    if not isinstance(value, str):
        raise TypeError(f"Expect a string for {what}, got {shown(value)}")
    if not encodes(value):
        raise ValueError(f"{what} has half of a surrogate pair and no UTF-8 form: {shown(value)}")
    return value
