"""The exception types, and where in the user's program a call came from."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# With the separator: a neighbour's name may begin with the name of one of these folders.
_PACKAGE = Path(__file__).parents[1]
_PACKAGE_FOLDERS = tuple(f"{folder}{os.sep}" for folder in {_PACKAGE, (_PACKAGE / "ops").resolve()})


class MXNetError(RuntimeError):
    """An operator, graph or file that cannot be used as given; named after MXNet's own type."""


class NotImplementedForSymbol(MXNetError):
    """A function that exists for arrays and has no meaning for a symbol."""

    def __init__(self, function: str, remedy: str = "") -> None:
        message = (
            f"Function {function} is not implemented for Symbol and only available in NDArray."
        )
        super().__init__(f"{message} {remedy}".rstrip())


class LoweringError(ValueError):
    """Shapes, dtypes or attributes that do not fit; raised where only the values are known.

    The symbol and array layers turn it into an :class:`MXNetError` that names the operator.
    """


def caller_line() -> tuple[str, int]:
    """The file and line of the nearest caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE_FOLDERS):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
