"""How many steps on numbers expressions take, as plans and timings show it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from .expr import PRODUCTS, REDUCTIONS, Expr, contracted

_SUMS_AT_PLACES = frozenset(("take_add", "pick_add"))


def operations(x: Expr) -> int | None:
    """The additions, multiplications or other steps of an expression; None where nobody knows.

    A call of a library has those that whoever made it has counted, and how many comparisons an
    order takes depends on the numbers.
    """
    if x.primitive == "native":
        return None if x["operations"] is None else x.integer("operations")
    if x.primitive == "argsort":
        return None
    if x.primitive in PRODUCTS:
        summed = contracted(x.inputs[0], x["transpose_a"])
        return 2 * summed * math.prod(x.shape[1:] if x.primitive == "dot_parts" else x.shape)
    if x.primitive in REDUCTIONS or x.primitive in _SUMS_AT_PLACES:
        return x.inputs[0].size
    return x.size if x.is_elementwise or x.primitive == "random" else 0


def total(expressions: Iterable[Expr]) -> int | None:
    """The operations of all; None where one of them is not known."""
    count = 0
    for x in expressions:
        known = operations(x)
        if known is None:
            return None
        count += known
    return count


def on_the_way(results: Sequence[Expr], inputs: Sequence[Expr]) -> int | None:
    """The operations of what is computed from the inputs up to the results; None as in `total`."""
    found, waiting = set(results).difference(inputs), list(results)
    while waiting:
        new = set(waiting.pop().inputs).difference(inputs) - found
        found |= new
        waiting += new
    return total(found)
