"""What a workload is, its random data, and how far a result may be from the reference.

Needs numpy alone: whoever takes part hands its library in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]

SEED = 20170509
# How fast a step learns: slowly enough that ten thousand steps on one batch stay finite.
RATE = 1e-2

# Of the largest deviation from the reference, as `checking.deviation` measures it: a hundred times
# what rounding does to twenty operators or a product in a row, and far below a mistake.
TOLERANCES = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 5e-2}
# Both operands of a product are rounded to 11 bits.
TF32_TOLERANCE = 1e-2
# Of a change of parameters, beside what follows.
CHANGE_TOLERANCE = 1e-3
# A change is the difference of two rounded numbers, of which this part of their size is noise.
CHANGE_NOISE = 2.0**-22

ITEM_SIZES = {"float32": 4, "float16": 2, "bfloat16": 2}


class Kind(Enum):
    """What is done with a computation."""

    FORWARD = "forward"
    GRADIENTS = "forward and gradients"
    STEP = "forward, gradients and SGD update"
    ADAM = "Adam update"


class Role(Enum):
    """What an input is for.

    Parameters have gradients; a head is the gradient of a result, or for an update that of a
    parameter; labels are known in training alone; states are a network's own, such as a mean.
    """

    DATA = "data"
    LABEL = "label"
    PARAMETER = "parameter"
    STATE = "state"
    HEAD = "head"


class Source(Protocol):
    """Where random numbers come from; float32 arrays of whoever computes them."""

    def normal(self, shape: tuple[int, ...]) -> Any: ...

    def uniform(self, shape: tuple[int, ...]) -> Any:
        """From 0 to 1."""

    def whole(self, below: int, shape: tuple[int, ...]) -> Any: ...


class NumpySource:
    """Numbers of numpy, which are the same in every process."""

    def __init__(self) -> None:
        self._random = np.random.RandomState(SEED)

    def normal(self, shape: tuple[int, ...]) -> Array:
        return self._random.randn(*shape).astype(np.float32)

    def uniform(self, shape: tuple[int, ...]) -> Array:
        return self._random.rand(*shape).astype(np.float32)

    def whole(self, below: int, shape: tuple[int, ...]) -> Array:
        return self._random.randint(0, below, shape).astype(np.float32)


@dataclass(frozen=True)
class Input:
    """An argument of a computation, whose values are random and never zeros.

    Attributes:
        scale: of normal numbers.
        classes: whole numbers below this one instead.
        positive: numbers from 0.5 to 1.5 instead.
        wide: float32 whatever the workload's dtype, as what a batch is normalized with.
    """

    shape: tuple[int, ...]
    role: Role = Role.DATA
    scale: float = 1.0
    classes: int = 0
    positive: bool = False
    wide: bool = False

    def dtype_in(self, dtype: str) -> str:
        """What it is in a workload of a dtype, where classes are numbers like all others."""
        return "float32" if self.wide or self.classes else dtype

    def values(self, source: Source) -> Any:
        if self.classes:
            return source.whole(self.classes, self.shape)
        if self.positive:
            return source.uniform(self.shape) + 0.5
        return source.normal(self.shape) * self.scale


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    Attributes:
        name: unique; what ``--only`` selects by.
        inputs: by name, in the order of the computation's arguments.
        compute: the functions of a library and its arrays to the result, or to several. Written
            once for all libraries; a step's result is what its loss function gives.
        results: the shapes of the results of a forward pass, for the least bytes to move.
        flops: multiplications and additions of its products and convolutions; 0 where memory is
            what limits it.
        dtype: of everything that is no whole number.
        precision: how float32 numbers are multiplied: ``ieee``, ``tf32`` or ``tf32x3``.
        target: the largest ratio to eager torch on the CPU that is good enough.
    """

    name: str
    inputs: Mapping[str, Input]
    compute: Callable[..., Any]
    results: Sequence[tuple[int, ...]] = ()
    kind: Kind = Kind.FORWARD
    flops: int = 0
    dtype: str = "float32"
    precision: str = "ieee"
    target: float = 1.0

    def values(self) -> dict[str, Array]:
        """The data on a CPU, the same at every call; float32 whatever the dtype."""
        source = NumpySource()
        return {name: one.values(source) for name, one in self.inputs.items()}

    def named(self, *roles: Role) -> list[str]:
        """The inputs of these roles."""
        return [name for name, one in self.inputs.items() if one.role in roles]

    @property
    def least_bytes(self) -> int:
        """What must be moved at least: inputs once, results once, and parameters as kinds need."""
        sizes = {
            name: prod(one.shape) * ITEM_SIZES[one.dtype_in(self.dtype)]
            for name, one in self.inputs.items()
        }
        learned = sum(sizes[name] for name in self.named(Role.PARAMETER))
        # Adam reads and writes two moments beside the parameters.
        written = {Kind.FORWARD: 0, Kind.GRADIENTS: 1, Kind.STEP: 1, Kind.ADAM: 5}[self.kind]
        results = sum(map(prod, self.results)) * ITEM_SIZES[self.dtype]
        return sum(sizes.values()) + written * learned + results

    def noise(self, given: Mapping[str, Any]) -> list[float]:
        """The error of each result that rounding makes whatever is computed of this data."""
        if self.kind not in (Kind.STEP, Kind.ADAM):
            return []
        return [CHANGE_NOISE * float(abs(given[name]).max()) for name in self.named(Role.PARAMETER)]

    @property
    def tolerance(self) -> float:
        """The largest deviation of a right result."""
        if self.kind in (Kind.STEP, Kind.ADAM):
            return CHANGE_TOLERANCE
        return TF32_TOLERANCE if self.precision == "tf32" else TOLERANCES[self.dtype]


def in_one_line(error: Exception) -> str:
    """An error's type and the first line of its text, where it has one."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])


def nothing() -> None:
    """Nothing."""


@dataclass(frozen=True)
class Prepared:
    """A workload made ready by one contestant.

    Attributes:
        call: does the work once. On a GPU it may return before the work is done.
        outcome: after exactly one call: the results, or what a step changed the parameters by;
            arrays of numpy, or of torch where they were computed.
        reset: makes it as if there had been no call.
    """

    call: Callable[[], object]
    outcome: Callable[[], list[Any]]
    reset: Callable[[], object] = nothing


class Missing(Exception):
    """A library has no such operator or switch; the message names it."""
