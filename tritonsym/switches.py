"""Switches for finding faults: each an environment variable and a ``with`` block, per thread.

None of them changes a result beyond rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace

from .errors import MXNetError


@dataclass(frozen=True)
class Switches:
    """What the next binds do.

    Attributes:
        fusion: compute expressions together (``TRITONSYM_FUSION``).
        reuse: let values take memory that is no longer needed (``TRITONSYM_REUSE``).
        graphs: replay a program's launches as one CUDA graph (``TRITONSYM_GRAPHS``).
        validate: compare every GPU kernel with the reference, at every run
            (``TRITONSYM_VALIDATE``).
        debug: what to print: 1 the plan at each bind, 2 each kernel's time at each run as well,
            3 every reason why something is apart, 4 the kernels' text (``TRITONSYM_DEBUG``).
    """

    fusion: bool = True
    reuse: bool = True
    graphs: bool = True
    validate: bool = False
    debug: int = 0


def _from_environment() -> Switches:
    found = Switches()
    for field in fields(Switches):
        name = f"TRITONSYM_{field.name.upper()}"
        text = os.environ.get(name)
        if text is None:
            continue
        allowed = "01234" if field.name == "debug" else "01"
        if len(text) != 1 or text not in allowed:
            choice = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
            raise MXNetError(f"the environment's {name}={text!r} must be {choice}")
        default = getattr(found, field.name)
        found = replace(found, **{field.name: type(default)(int(text))})
    return found


_current: ContextVar[Switches | None] = ContextVar("tritonsym_switches", default=None)


def current() -> Switches:
    """The switches of the innermost ``with`` block, or of the environment."""
    found = _current.get()
    return _from_environment() if found is None else found


@contextmanager
def switched(**changes: bool | int) -> Iterator[Switches]:
    """Other switches for the binds within: ``with mx.switched(fusion=False): ...``.

    Raises:
        TypeError: a switch that there is not, or a value that is none.
    """
    known = {field.name for field in fields(Switches)}
    unknown = sorted(set(changes).difference(known))
    if unknown:
        raise TypeError(f"there are no switches {unknown}; there are {sorted(known)}")
    for name, value in changes.items():
        if not isinstance(value, int):
            raise TypeError(f"the switch {name} is True, False or a number, got {value!r}")
    token = _current.set(replace(current(), **changes))  # type: ignore[arg-type]
    try:
        yield current()
    finally:
        _current.reset(token)
