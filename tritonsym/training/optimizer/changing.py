"""What changes from one update to the next: of all weights of a call at once, or of one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...expressions.expr import Expr, cast, narrow
from ...foundation.dtype import DType
from ...foundation.errors import MXNetError
from ...foundation.text import shown
from ...ops.optimizer import Scalar


@dataclass(frozen=True)
class Rates:
    """What changes from one update to the next: numbers, or float64 expressions of one axis.

    Attributes:
        lr, wd: the parameter's learning rate and decay.
        rescale_grad: what gradients are multiplied by.
        count: the number of the update, from 1.
        own: the method's own numbers, as :meth:`Optimizer.own_rates` gives them.
        place: which one of the weights of the call it is.
    """

    lr: Scalar
    wd: Scalar
    rescale_grad: Scalar
    count: Scalar
    own: tuple[Scalar, ...] = ()
    place: int = 0


def asked_in_groups(optimizer: object, name: str, indices: Sequence[Any], most: int) -> list[float]:
    """The rates of parameters, which a method of this name is asked for of at most so many at once.

    Raises:
        MXNetError: it does not give a number for each.
    """
    found: list[float] = []
    for begin in range(0, len(indices), most):
        group = indices[begin : begin + most]
        rates = getattr(optimizer, name)(group)
        try:
            numbers = [] if isinstance(rates, Mapping) else [float(rate) for rate in rates]
        except (TypeError, ValueError, OverflowError):
            numbers = []
        if len(numbers) != len(group):
            raise MXNetError(
                f"{type(optimizer).__name__}.{name} gave {shown(rates)} for {len(group)} "
                "parameters: it has to give a list with a number for each"
            )
        found.extend(numbers)
    return found


def rates_at(rates: Rates, place: int, dtype: DType) -> Rates:
    """The rates of one weight, in the dtype that it is computed in; the count stays exact."""

    def at(vector: Scalar) -> Scalar:
        return narrow(vector, 0, place, place + 1) if isinstance(vector, Expr) else vector

    def converted(vector: Scalar) -> Scalar:
        return cast(vector, dtype) if isinstance(vector, Expr) else vector

    return Rates(
        lr=at(converted(rates.lr)),
        wd=at(converted(rates.wd)),
        rescale_grad=at(converted(rates.rescale_grad)),
        count=at(rates.count),
        own=tuple(at(converted(number)) for number in rates.own),
        place=place,
    )
