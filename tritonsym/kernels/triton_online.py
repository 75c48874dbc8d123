"""Two reductions of a long row in one walk, within generated kernels; see `row_pairs`.

Lanes hold a few elements of each block. What they have added up is corrected when a later block
changes the largest value or the mean, and they are combined at the end.

Sources: M. Milakov and N. Gimelshein, "Online normalizer calculation for softmax" (2018); T. Chan,
G. Golub and R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
(1979).
"""

from __future__ import annotations

import triton.language as tl

from .triton_math import (
    _function,
    _reciprocal,
    exp,
    max_combine,
    positive_zero,
    reduce,
    sum_combine,
)


@_function
def exponentials(
    x: tl.tensor, mask: tl.tensor, largest: tl.tensor, total: tl.tensor
) -> tuple[tl.tensor, tl.tensor]:
    """Add elements, a row of them for each lane, to sums of exponentials of their distances."""
    x = tl.where(mask, x, float("-inf"))
    new = max_combine(largest, reduce(x, 1, max_combine))
    # Nothing is far from where nothing but minus infinity was seen.
    base = tl.where(new == float("-inf"), 0.0, new)
    raised = reduce(exp(x - tl.expand_dims(base, 1)), 1, sum_combine)
    return new, total * exp(largest - base) + raised


@_function
def all_exponentials(
    largest: tl.tensor, total: tl.tensor, length: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """The largest of all lanes, and the sum of the exponentials of the distances from it."""
    whole = positive_zero(reduce(largest, 0, max_combine))
    return whole, reduce(total * exp(largest - whole), 0, sum_combine)


@_function
def squares(
    x: tl.tensor,
    mask: tl.tensor,
    total: tl.tensor,
    count: tl.tensor,
    mean: tl.tensor,
    squared: tl.tensor,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Add elements, a row of them for each lane, to the squares of the distances to their mean."""
    own = reduce(mask.to(tl.float32), 1, sum_combine)
    added = reduce(tl.where(mask, x, 0.0), 1, sum_combine)
    own_mean = added * _reciprocal(tl.where(own == 0, 1.0, own))
    apart = tl.where(mask, x - tl.expand_dims(own_mean, 1), 0.0)
    moved = own_mean - mean
    # Each lane has elements from the first block on, which is whole.
    share = own * _reciprocal(count + own)
    squared += reduce(apart * apart, 1, sum_combine) + moved * moved * count * share
    return total + added, count + own, mean + moved * share, squared


@_function
def all_squares(
    total: tl.tensor,
    count: tl.tensor,
    mean: tl.tensor,
    squared: tl.tensor,
    length: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """The sum of all lanes, and that of the squares of the distances to the mean of all."""
    whole = reduce(total, 0, sum_combine)
    apart = mean - whole * (1.0 / length)
    return whole, reduce(squared + count * apart * apart, 0, sum_combine)
