"""Attributes that new symbols receive: MXNet's AttrScope, a stack per thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .foundation.scopes import Scopes
from .foundation.text import checked_text, shown

# Attributes that MXNet stores as ``__key__`` and shows under both spellings.
HIDDEN_KEYS = ("ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage")


def is_user_key(key: str) -> bool:
    """Whether an attribute is the user's own and not a parameter of an operator."""
    return key in HIDDEN_KEYS or (len(key) > 4 and key.startswith("__") and key.endswith("__"))


def stored_key(key: str) -> str:
    """The spelling under which an attribute is stored."""
    return f"__{key}__" if key in HIDDEN_KEYS else key


def stored_attributes(given: Mapping[str, str]) -> dict[str, str]:
    """The attributes as they are stored: each key in the spelling of :func:`stored_key`."""
    if given.keys().isdisjoint(HIDDEN_KEYS):
        return dict(given)
    return {stored_key(key): value for key, value in given.items()}


def shown_attributes(stored: Mapping[str, str]) -> dict[str, str]:
    """The attributes as a user sees them: hidden keys under both spellings."""
    plain = {key[2:-2]: value for key, value in stored.items() if key[2:-2] in HIDDEN_KEYS}
    return {**stored, **plain}


def checked_attributes(given: Any) -> dict[str, str]:
    """Attributes that can be kept: texts by name.

    Raises:
        TypeError: no dict, or a name that is no text.
        ValueError: a value that is no text, or one without a UTF-8 form.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"attributes must be a dict of str to str, got {shown(given)}")
    for key, value in given.items():
        checked_text("the name of an attribute", key)
        if not isinstance(value, str):
            raise ValueError(
                f"Set Attr only accepts string values: attributes need to be string, but "
                f"{shown(key)} is {shown(value)}"
            )
        checked_text(f"attribute {shown(key)}", value)
    return dict(given)


_scopes: Scopes[AttrScope] = Scopes(lambda: AttrScope())


class AttrScope:
    """Attributes for all symbols made within: ``with AttrScope(ctx_group="a"): ...``.

    ``current`` is the one that this thread is within.

    Raises:
        ValueError: a value is not a string.
    """

    current = _scopes

    def __init__(self, **attributes: str) -> None:
        self._attributes = checked_attributes(attributes)

    def get(self, attributes: Mapping[str, str] | None) -> dict[str, str]:
        """The scope's attributes with the given ones over them."""
        return {**self._attributes, **(attributes or {})}

    def __enter__(self) -> AttrScope:
        # A scope holds what the scopes around it hold, unless it says otherwise.
        outer = _scopes.innermost
        _scopes.enter(AttrScope(**{**outer._attributes, **self._attributes}))
        return self

    def __exit__(self, *error: object) -> None:
        _scopes.leave()
