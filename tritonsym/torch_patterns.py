"""What the rules that find whole layers among primitives have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .expr import VIEWS, Expr
from .library import library_call
from .reference import Step, Tensor
from .simplify import number_of, pairs

# Bytes of a result that is copied to its place: few take little memory, and each part costs a call.
PART = 2**22


@dataclass(frozen=True)
class Layer:
    """A layer found in a graph.

    Attributes:
        inputs: what it reads.
        inside: what it computes on the way, and nothing else may read.
        call: its result, from what its inputs became.
        beside: what the same call gives as well, and how, for those graphs that have it.
    """

    inputs: tuple[Expr, ...]
    inside: frozenset[Expr]
    call: Callable[..., Expr]
    beside: Mapping[Expr, Callable[..., Expr]] = field(default_factory=dict)


def is_near(x: Expr, value: float) -> bool:
    """Whether it is a number throughout, rounded to any dtype that layers are computed in."""
    number = number_of(x)
    return number is not None and math.isclose(number, value, rel_tol=1e-6)


def times(x: Expr, factor: float) -> Iterator[Expr]:
    """What is multiplied by a number, or divided by its inverse."""
    yield from (data for data, other in pairs(x, "mul") if is_near(other, factor))
    if x.primitive == "div" and is_near(x.inputs[1], 1 / factor):
        yield x.inputs[0]


def once(x: Expr) -> Expr:
    """What is repeated along axes of length 1, or the expression itself."""
    return x.inputs[0] if x.primitive == "expand" else x


def between(x: Expr, inputs: Sequence[Expr]) -> frozenset[Expr]:
    """What is computed from the inputs on the way to ``x``; their views are no work."""
    found: set[Expr] = set()
    waiting = [x]
    while waiting:
        new = {y for y in waiting.pop().inputs if not _is_of(y, inputs)} - found
        found |= new
        waiting += new
    return frozenset(found)


def _is_of(y: Expr, inputs: Sequence[Expr]) -> bool:
    """Whether it is an input, or a view of one or of something that is not computed."""
    while y.primitive in VIEWS and y not in inputs:
        (y,) = y.inputs
    return y in inputs or not y.inputs


def layer_of(x: Expr, inputs: Sequence[Expr], call: Callable[..., Expr]) -> Layer:
    """The layer whose inside is all that lies between its inputs and its result."""
    return Layer(tuple(inputs), between(x, inputs), call)


def library(
    function: Any, name: str, x: Expr, attributes: Any = "", elementwise: bool = False
) -> Callable[..., Expr]:
    """What makes a call that gives what ``x`` gives."""
    return lambda *inputs: library_call(
        function, name, inputs, attributes, x.shape, x.dtype, elementwise=elementwise
    )


def unless(
    is_extreme: Callable[[], bool], quick: Step, exact: Callable[[], Tensor], out: Tensor
) -> Step:
    """The quick call, or the exact one where the quick one would not be right."""
    return lambda: out.copy_(exact()) if is_extreme() else quick()
