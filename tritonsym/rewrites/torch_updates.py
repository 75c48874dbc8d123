"""For CPUs: updates of weights that torch computes in one call, found in the body of a kernel.

Such a call changes a weight and its states in one pass, where they lie. It takes the place of the
expressions that say the same where all three results are written over what they replace, and
differs from them by rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from ..expressions.expr import VIEWS, Expr
from ..expressions.layout import Layout
from ..expressions.reference import Step, Tensor
from ..foundation.dtype import FLOAT32, FLOAT64
from .simplify import number_of, pairs
from .torch_calls import subtract_quotient


@dataclass(frozen=True)
class Adam:
    """weight - rate * mean / (sqrt(variance) + epsilon), after mean and variance have moved.

    Attributes:
        weight, mean, variance: the new ones, each in the place of the old one.
        gradient: what the mean moves towards; the variance towards its square.
        rate: one number, repeated.
        beta1, beta2: how much of the old mean and variance is kept.
        inside: the expressions that the call takes the place of.
    """

    weight: Expr
    mean: Expr
    variance: Expr
    gradient: Expr
    rate: Expr
    beta1: float
    beta2: float
    epsilon: float
    inside: frozenset[Expr]

    def prepare(self, part: Callable[[Expr], Tensor]) -> Step:
        """The call on the memory of all of it, or of a tile."""
        # torch corrects for the beginning of the means, which has no effect after endless steps.
        endless = torch.tensor(math.inf)
        return partial(
            torch._fused_adam_,
            [part(self.weight)],
            [part(self.gradient)],
            [part(self.mean)],
            [part(self.variance)],
            [],
            [endless],
            lr=part(self.rate).as_strided((), ()),
            beta1=self.beta1,
            beta2=self.beta2,
            weight_decay=0.0,
            eps=self.epsilon,
            amsgrad=False,
            maximize=False,
        )


def with_updates(
    body: Sequence[Expr],
    outputs: Collection[Expr],
    in_place: Mapping[Expr, int],
    where: Mapping[Expr, Layout],
) -> list[Expr | Adam]:
    """The body of a kernel, with calls instead of what they take the place of.

    Args:
        outputs: what of it is read elsewhere.
        in_place: the values that are written over an input, which lies densely, and its index.
        where: the layouts of what is read.
    """
    found: list[Expr | Adam] = list(body)
    for x in body:
        adam = _adam(x, in_place)
        if adam is None or not _is_alone(adam, body, outputs):
            continue
        # torch takes all arrays as one axis, and does not look at strides.
        if where[adam.gradient].is_dense(x.shape):
            found = [y for y in found if y not in adam.inside]
            found.append(adam)
    return found


def _is_alone(adam: Adam, body: Sequence[Expr], outputs: Collection[Expr]) -> bool:
    """Whether a kernel computes all of it, and nobody else needs what lies between."""
    read = {y for x in body if x not in adam.inside for y in x.inputs}
    between = adam.inside - {adam.weight, adam.mean, adam.variance}
    return adam.inside <= set(body) and not adam.inside & read and not between & set(outputs)


def _adam(x: Expr, in_place: Mapping[Expr, int]) -> Adam | None:
    """x = weight - mean * rate / (sqrt(variance) + epsilon)."""
    is_difference = x.primitive == "native" and x["function"] is subtract_quotient
    if not is_difference or x.dtype not in (FLOAT32, FLOAT64):
        return None
    weight, step, deviation = x.inputs
    if not _is_replaced(weight, x, in_place):
        return None
    for mean, rate in pairs(step, "mul"):
        for root, epsilon in pairs(deviation, "add"):
            moving, number = _moving(mean, in_place), number_of(epsilon)
            if root.primitive != "sqrt" or moving is None or number is None:
                continue
            (variance,) = root.inputs
            spreading = _moving(variance, in_place)
            if spreading is None or not _is_one_number(rate):
                continue
            gradient, square = moving.towards, spreading.towards
            if square.primitive == "mul" and square.inputs == (gradient, gradient):
                inside = {x, step, deviation, root, square, *moving.inside, *spreading.inside}
                return Adam(
                    weight=x,
                    mean=mean,
                    variance=variance,
                    gradient=gradient,
                    rate=rate,
                    beta1=moving.kept,
                    beta2=spreading.kept,
                    epsilon=number,
                    inside=frozenset(inside),
                )
    return None


@dataclass(frozen=True)
class _Moving:
    """A running mean in the place of the old one: old * kept + towards * (1 - kept)."""

    towards: Expr
    kept: float
    inside: tuple[Expr, ...]


def _moving(x: Expr, in_place: Mapping[Expr, int]) -> _Moving | None:
    for first, second in pairs(x, "add"):
        for old, kept in pairs(first, "mul"):
            for towards, rest in pairs(second, "mul"):
                share, other = number_of(kept), number_of(rest)
                if share is None or other is None or not _is_replaced(old, x, in_place):
                    continue
                if math.isclose(share + other, 1, rel_tol=1e-6):
                    # Both are rounded to the dtype, of which the smaller one has lost less.
                    beta = 1 - other if other < share else share
                    return _Moving(towards, beta, (x, first, second))
    return None


def _is_replaced(old: Expr, new: Expr, in_place: Mapping[Expr, int]) -> bool:
    """Whether a value is written over just this one."""
    return old.primitive == "input" and in_place.get(new) == old["index"]


def _is_one_number(x: Expr) -> bool:
    """Whether it is one element, repeated."""
    while x.primitive in VIEWS and x.size > 1:
        (x,) = x.inputs
    return x.size == 1
