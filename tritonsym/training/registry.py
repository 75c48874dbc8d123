"""Classes found by name, as MXNet writes them: a name, or JSON of a name and its arguments."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..foundation.text import listed, shown

Class = TypeVar("Class")
Decorated = TypeVar("Decorated")


class NotRegistered(AssertionError):
    """No class has the name; MXNet's type for this mistake."""


class Registry(Generic[Class]):
    """The classes of one kind by their names in lower case.

    Attributes:
        base: what they all derive from.
        kind: what messages call them, such as ``metric``.
    """

    def __init__(self, base: type[Class], kind: str) -> None:
        self.base = base
        self.kind = kind
        self._classes: dict[str, type[Class]] = {}

    def register(self, *names: str) -> Callable[[Decorated], Decorated]:
        """Register the decorated class under its own name and these."""

        def decorate(klass: Decorated) -> Decorated:
            self.add(klass)
            return self.add(klass, *names) if names else klass

        return decorate

    def alias(self, *aliases: str) -> Callable[[Decorated], Decorated]:
        """Register the decorated class under these names, beside its own or without it."""

        def decorate(klass: Decorated) -> Decorated:
            return self.add(klass, *aliases)

        return decorate

    def add(self, klass: Decorated, *names: str) -> Decorated:
        """Register a class under these names, or under its own where there are none."""
        made: Any = klass
        assert isinstance(made, type) and issubclass(made, self.base), (
            f"{shown(made)} is no {self.kind}"
        )
        for name in names or (made.__name__,):
            key = name.lower()
            if self._classes.get(key, made) is not made:
                warnings.warn(f"the {self.kind} {key} is replaced by {made}", stacklevel=3)
            self._classes[key] = made
        return klass

    def create(self, given: Any, /, *args: Any, **kwargs: Any) -> Class:
        """An object from a name, from a configuration, or as it is.

        A configuration is a dict that has the name under the kind's, beside the arguments, JSON of
        such a dict, or JSON such as ``["name", {"argument": 1}]``.

        Raises:
            NotRegistered: no class has the name.
            AssertionError: arguments beside an object.
            ValueError: a text that looks like JSON and is none, or a configuration without a name.
        """
        if isinstance(given, self.base):
            assert not args and not kwargs, (
                f"this {self.kind} is made already and has its arguments"
            )
            return given
        if isinstance(given, dict) or (isinstance(given, str) and given.startswith(("[", "{"))):
            assert not args and not kwargs, f"{shown(given)} has arguments of its own"
            name, arguments = self._configured(given)
            return self.create(name, **arguments)
        assert isinstance(given, str), f"the {self.kind} is created by name, got {shown(given)}"
        klass = self._classes.get(given.lower())
        if klass is None:
            raise NotRegistered(
                f"{shown(given)} is not registered: {self.kind}s are {listed(self._classes)}"
            )
        return klass(*args, **kwargs)

    def _configured(self, given: str | dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The name and the arguments of a configuration."""
        parsed: Any = given
        if isinstance(given, str):
            try:
                parsed = json.loads(given)
            except (ValueError, RecursionError):
                parsed = None
        if isinstance(parsed, dict) and self.kind in parsed:
            arguments = dict(parsed)
            parsed = [arguments.pop(self.kind), arguments]
        match parsed:
            # A configuration in the place of the name could go on so without an end.
            case [str(name), dict(arguments)] if not name.startswith(("[", "{")):
                return name, arguments
        raise ValueError(
            f'a {self.kind} is written as ["name", {{arguments}}] or as '
            f'{{"{self.kind}": "name", arguments}}, got {shown(given)}'
        )
