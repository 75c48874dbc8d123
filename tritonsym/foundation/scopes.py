"""What a thread is within: the scopes that its ``with`` statements have opened."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Generic, TypeVar

Scope = TypeVar("Scope")


class Scopes(threading.local, Generic[Scope]):
    """The open scopes of each thread; as an attribute of a class, the innermost one.

    Args:
        outermost: makes the one that a thread is within from its beginning.
    """

    def __init__(self, outermost: Callable[[], Scope]) -> None:
        self._outermost = outermost

    @cached_property  # whose cache is the thread's own, like all of these attributes
    def _open(self) -> list[Scope]:
        return [self._outermost()]

    def __get__(self, instance: object, owner: type | None = None) -> Scope:
        return self._open[-1]

    def enter(self, scope: Scope) -> None:
        """Open a scope."""
        self._open.append(scope)

    def leave(self) -> None:
        """Close the innermost scope."""
        self._open.pop()

    @property
    def innermost(self) -> Scope:
        return self._open[-1]

    @innermost.setter
    def innermost(self, scope: Scope) -> None:
        self._open[-1] = scope
