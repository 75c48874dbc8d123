"""Switches: each an environment variable and a ``with`` block, per thread.

None of them changes a result beyond rounding, of which ``matmul_precision`` says how much.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace

from .errors import MXNetError

PRECISIONS = ("ieee", "tf32", "tf32x3")


@dataclass(frozen=True)
class Switches:
    """What the next binds do.

    Attributes:
        fusion: compute expressions together (``TRITONSYM_FUSION``).
        reuse: let values take memory that is no longer needed (``TRITONSYM_REUSE``).
        mirror: keep only products and reductions for a backward pass, which computes all else
            again: less memory for more work, for deep networks (``TRITONSYM_MIRROR``).
        graphs: replay a program's launches as one CUDA graph (``TRITONSYM_GRAPHS``).
        tuning: time the likeliest kernels of each matrix product at its first bind, and remember
            the fastest; without it a cost model picks one (``TRITONSYM_TUNING``).
        validate: compare every GPU kernel with the reference, at every run
            (``TRITONSYM_VALIDATE``).
        debug: what to print: 1 the plan at each bind, 2 each kernel's time at each run as well,
            3 every reason why something is apart, 4 the kernels' text (``TRITONSYM_DEBUG``).
        matmul_precision: how a GPU multiplies matrices of float32 (``TRITONSYM_MATMUL_PRECISION``).
            ``ieee`` rounds each product and each sum to float32. ``tf32`` keeps the 11 leading bits
            of each factor, which tensor cores multiply several times as fast. ``tf32x3`` multiplies
            leading and trailing bits apart on tensor cores: nearly as exact as ``ieee`` for what is
            below 4e34 and not close to the smallest numbers.
    """

    fusion: bool = True
    reuse: bool = True
    mirror: bool = False
    graphs: bool = True
    tuning: bool = False
    validate: bool = False
    debug: int = 0
    matmul_precision: str = "ieee"


# The values of those that are not on or off.
_VALUES: dict[str, tuple[int | str, ...]] = {
    "debug": (0, 1, 2, 3, 4),
    "matmul_precision": PRECISIONS,
}


def _values(name: str) -> tuple[int | str, ...]:
    return _VALUES.get(name, (False, True))


def _listed(values: Sequence[object]) -> str:
    return f"{', '.join(map(str, values[:-1]))} or {values[-1]}"


def _from_environment() -> Switches:
    found = Switches()
    for field in fields(Switches):
        name = f"TRITONSYM_{field.name.upper()}"
        text = os.environ.get(name)
        if text is None:
            continue
        values = {v if isinstance(v, str) else str(int(v)): v for v in _values(field.name)}
        if text not in values:
            raise MXNetError(f"the environment's {name}={text!r} must be {_listed([*values])}")
        found = replace(found, **{field.name: values[text]})  # type: ignore[arg-type]
    return found


_current: ContextVar[Switches | None] = ContextVar("tritonsym_switches", default=None)


def current() -> Switches:
    """The switches of the innermost ``with`` block, or of the environment."""
    found = _current.get()
    return _from_environment() if found is None else found


@contextmanager
def switched(**changes: bool | int | str) -> Iterator[Switches]:
    """Other switches for the binds within: ``with mx.switched(fusion=False): ...``.

    Raises:
        TypeError: a switch that there is not, or a value that is none.
    """
    known = {field.name for field in fields(Switches)}
    unknown = sorted(set(changes).difference(known))
    if unknown:
        raise TypeError(f"there are no switches {unknown}; there are {sorted(known)}")
    for name, value in changes.items():
        if not isinstance(value, (int, str)) or value not in _values(name):
            raise TypeError(f"the switch {name} is {_listed(_values(name))}, got {value!r}")
    token = _current.set(replace(current(), **changes))  # type: ignore[arg-type]
    try:
        yield current()
    finally:
        _current.reset(token)
