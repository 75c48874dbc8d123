"""How far two results of one computation may be apart: as far as rounding takes them.

A kernel adds in another order than torch, and its functions round other last bits. What that does
to a result depends on the values: where a sum cancels, hardly a digit is left. So the computation
is repeated a few times, each step's result moved at random by about what rounding may do to it, and
a result may be a few times as far off as it varied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch

from ..expressions.expr import PRODUCTS, VIEWS, Expr, contracted
from ..expressions.reference import Tensor, evaluate, evaluate_within

# Enough that two equal numbers, whose comparison rounding decides, are moved apart in one of them.
_RUNS = 8
# Times the variation; and units in the last place in any case, for functions such as `pow`.
_MARGIN = 8.0
_UNITS = 4.0
_UNIT_OF_TF32 = 2.0**-10


def allowed(
    body: Sequence[Expr], wanted: Sequence[Expr], known: Mapping[Expr, Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """The values of expressions, and how far from them other roundings may lead.

    Args:
        body: what is computed, inputs first.
        wanted: of which of it.
        known: the values of what it reads.

    Returns:
        The values, and a float64 for each of their elements; infinity where rounding decides
        whether there is a number at all.
    """
    plain = evaluate_within(body, wanted, known)
    margins = [_units(x, value) for x, value in zip(wanted, plain, strict=True)]
    for seed in range(_RUNS):
        draw = torch.Generator().manual_seed(seed)
        moved = evaluate_within(body, wanted, known, partial(_moved, draw))
        for margin, value, other in zip(margins, plain, moved, strict=True):
            same = (value == other) | ((value != value) & (other != other))
            apart = (value.double() - other.double()).abs().nan_to_num(math.inf, math.inf)
            margin.copy_(margin.maximum(_MARGIN * apart.masked_fill(same, 0.0)))
    return plain, margins


def agree(found: Tensor, due: Tensor, margin: Tensor) -> bool:
    """Whether values are no further from those that are due than allowed.

    Args:
        found, due: of one shape and dtype.
        margin: as `allowed` gives it.
    """
    apart = (found.double() - due.double()).abs()
    same = (found == due) | ((found != found) & (due != due))
    return bool((same | (apart <= margin) | margin.isinf()).all())


def _units(x: Expr, value: Tensor) -> Tensor:
    """The last places of values, and what is lost in the smallest numbers."""
    if not x.dtype.is_float:
        return torch.zeros(value.shape, dtype=torch.float64)
    kind = torch.finfo(value.dtype)
    return value.double().abs().nan_to_num(0.0, 0.0) * (_UNITS * kind.eps) + kind.tiny


def _moved(draw: torch.Generator, x: Expr, inputs: Sequence[Tensor], value: Tensor) -> Tensor:
    """A value with other roundings."""
    if not x.dtype.is_float or x.primitive in VIEWS:
        return value
    if x.primitive == "native" and not x["python"]:
        # What a library rounds within, nobody knows: about as much as its operands are rounded.
        value = evaluate(x, [_by(draw, y, _last_place(y)) for y in inputs])
    if x.primitive == "prod":
        other = torch.zeros_like(value).masked_fill(~value.isinf(), math.inf)
        value = torch.where(_leaves_its_range(x, inputs[0]), other, value)
    return _by(draw, value, _rounding(x, inputs, value))


def _by(draw: torch.Generator, value: Tensor, distance: Tensor) -> Tensor:
    """A value moved up or down, each element as far as it is said."""
    signs = torch.randint(0, 2, value.shape, generator=draw) * 2 - 1
    return (value.double() + signs * distance).to(value.dtype)


def _last_place(value: Tensor) -> Tensor:
    """What the last places of floats are worth; integers are exact."""
    unit = torch.finfo(value.dtype).eps if value.is_floating_point() else 0.0
    return unit * value.double().abs()


def _rounding(x: Expr, inputs: Sequence[Tensor], value: Tensor) -> Tensor:
    """About how much rounding may move the elements of a value."""
    last_place, unit = _last_place(value), torch.finfo(value.dtype).eps
    if x.primitive == "sum":
        terms = inputs[0].numel() / max(1, value.numel())
    elif x.primitive in PRODUCTS:
        terms = contracted(x.inputs[0], x["transpose_a"])
    else:
        return last_place
    # The terms of a sum are rounded as they are added, in no less than 32 bits.
    within = _UNIT_OF_TF32 if _is_tf32(x) else min(unit, torch.finfo(torch.float32).eps)
    magnitudes = evaluate(x, [y.abs() for y in inputs]).double()
    return last_place + within * math.sqrt(terms) * magnitudes


def _leaves_its_range(x: Expr, factors: Tensor) -> Tensor:
    """Whether a product may become infinite or vanish on the way, in another order than ours."""
    sizes = factors.abs()
    largest = evaluate(x, [sizes.clamp(min=1)])
    smallest = evaluate(x, [sizes.clamp(max=1).masked_fill(sizes == 0, 1)])
    return largest.isinf() | (smallest < torch.finfo(smallest.dtype).tiny)


def _is_tf32(x: Expr) -> bool:
    return x.primitive in PRODUCTS and x["precision"] == "tf32"
