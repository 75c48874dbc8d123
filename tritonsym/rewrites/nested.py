"""Reductions of all, made of those of rows: each in the pass that has the row in hand.

What is reduced over several axes is often computed of reductions over some of them, as the
logarithm of a softmax, whose sum over everything is a loss. A kernel that has a row in its
registers can reduce it once more; then few numbers are left to be reduced over the other axes,
and nothing of the size of the whole is written. It is for GPUs, where rows stay in registers.
"""

from __future__ import annotations

from ..expressions.expr import ELEMENTWISE, REDUCTIONS, Expr, cast, make
from ..foundation.dtype import FLOAT32

# Reductions whose parts can be reduced by themselves.
_OF_PARTS = frozenset(("sum", "prod", "max", "min"))
# How many values are looked at, from what is reduced backwards.
_MOST_SEEN = 64


def rows_first(x: Expr) -> Expr | None:
    """A reduction over the axes that others before it reduce, and then over its other ones."""
    if x.primitive not in _OF_PARTS:
        return None
    (data,) = x.inputs
    axes = x.integers("axes")
    first = _axes_before(data, frozenset(a for a in axes if data.shape[a] > 1))
    if first is None:
        return None
    # Of 16 bits the sum is rounded once, at the end.
    adds_up = x.primitive in ("sum", "prod")
    wide = FLOAT32 if adds_up and x.dtype.is_reduced else x.dtype
    rows = make(x.primitive, cast(data, wide), axes=first)
    rest = tuple(a for a in axes if a not in first)
    return cast(make(x.primitive, rows, axes=rest), x.dtype)


def _axes_before(data: Expr, axes: frozenset[int]) -> tuple[int, ...] | None:
    """The axes of a reduction that a value is computed of, if they are some of those given."""
    seen, waiting = {data}, [data]
    while waiting and len(seen) <= _MOST_SEEN:
        x = waiting.pop()
        if x.primitive in REDUCTIONS:
            if x.inputs[0].shape != data.shape:
                continue
            reduced = frozenset(a for a in x.integers("axes") if data.shape[a] > 1)
            if reduced and reduced < axes:
                return x.integers("axes")
        elif x.primitive in ELEMENTWISE or x.primitive == "expand":
            waiting += [y for y in x.inputs if y not in seen]
            seen.update(x.inputs)
    return None
