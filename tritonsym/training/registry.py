"""Classes found by name, as MXNet writes them: a name, or JSON of a name and its arguments."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..foundation.text import listed, shown

Class = TypeVar("Class")
Decorated = TypeVar("Decorated")


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
            made: Any = klass
            assert isinstance(made, type) and issubclass(made, self.base), (
                f"{shown(made)} is no {self.kind}"
            )
            for name in (made.__name__, *names):
                key = name.lower()
                if self._classes.get(key, made) is not made:
                    warnings.warn(f"the {self.kind} {key} is replaced by {made}", stacklevel=3)
                self._classes[key] = made
            return klass

        return decorate

    def create(self, given: Any, *args: Any, **kwargs: Any) -> Class:
        """An object from a name, from JSON such as ``["name", {"argument": 1}]``, or as it is.

        Raises:
            AssertionError: a name that is not registered, or arguments beside an object.
            ValueError: a text that looks like JSON and is none.
        """
        if isinstance(given, self.base):
            assert not args and not kwargs, f"a {self.kind} that is made already has its arguments"
            return given
        assert isinstance(given, str), f"a {self.kind} is created by name, got {shown(given)}"
        if given.startswith("["):
            assert not args and not kwargs, f"{shown(given)} has arguments of its own"
            name, arguments = self._from_json(given)
            return self.create(name, **arguments)
        klass = self._classes.get(given.lower())
        assert klass is not None, (
            f"{shown(given)} is not registered as a {self.kind}: there are {listed(self._classes)}"
        )
        return klass(*args, **kwargs)

    def _from_json(self, text: str) -> tuple[str, dict[str, Any]]:
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            parsed = None
        match parsed:
            case [str(name), dict(arguments)] if not name.startswith("["):
                return name, arguments
        raise ValueError(f'a {self.kind} is written as ["name", {{arguments}}], got {shown(text)}')
