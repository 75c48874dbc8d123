"""Names that new nodes receive: MXNet's NameManager and Prefix, a stack per thread."""

from __future__ import annotations

from collections.abc import Iterable

from .foundation.scopes import Scopes
from .foundation.text import checked_text

_managers: Scopes[NameManager] = Scopes(lambda: NameManager())


class NameManager:
    """Gives unnamed nodes a name: their hint and a number, counted per hint.

    ``current`` is the one that this thread is within.
    """

    current = _managers

    def __init__(self) -> None:
        self._counter: dict[str, int] = {}

    def get(self, name: str | None, hint: str) -> str:
        """``name`` if there is one, else the next name for ``hint``."""
        if name:
            return name
        number = self._counter.get(hint, 0)
        self._counter[hint] = number + 1
        return f"{hint}{number}"

    def reserve(self, names: Iterable[str]) -> None:
        """Count on behind these names, so that none of them is given a second time."""
        for name in names:
            hint = name.rstrip("0123456789")
            digits = name[len(hint) :]
            if hint and 0 < len(digits) <= 9 and str(number := int(digits)) == digits:
                self._counter[hint] = max(self._counter.get(hint, 0), number + 1)

    def __enter__(self) -> NameManager:
        _managers.enter(self)
        return self

    def __exit__(self, *error: object) -> None:
        _managers.leave()


class Prefix(NameManager):
    """A name manager that puts a prefix before every operator's name, given or not.

    Raises:
        TypeError: the prefix is no text.
        ValueError: it has no UTF-8 form.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = checked_text("the prefix of names", prefix)

    def get(self, name: str | None, hint: str) -> str:
        return self._prefix + super().get(name, hint)
