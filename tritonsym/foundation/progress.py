"""A line on a terminal that says how far something long has come; silent everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

Item = TypeVar("Item")

# Seconds before there is anything to say.
PATIENCE = 1.0
_WIDTH = 78


def shown(
    items: Iterable[tuple[str, Item]], total: int, verb: str, stream: TextIO | None = None
) -> Iterator[Item]:
    """The items, while a line says which of them is being waited for.

    Args:
        items: each with its name.
        total: how many there are.
        verb: what is done to them, such as ``compiling``.
        stream: where to, if it is a terminal; the standard error stream by default.
    """
    out = sys.stderr if stream is None else stream
    begun, written = time.monotonic(), False
    try:
        for number, (name, item) in enumerate(items, start=1):
            if out.isatty() and time.monotonic() - begun > PATIENCE:
                line = f"{verb} {number} of {total}: {name}"[:_WIDTH]
                out.write(f"\r{line:{_WIDTH}}")
                out.flush()
                written = True
            yield item
    finally:
        if written:
            out.write(f"\r{'':{_WIDTH}}\r")
            out.flush()
