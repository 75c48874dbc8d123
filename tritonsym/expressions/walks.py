"""Ways through expressions: all that outputs need in order, and who reads what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from .expr import Expr


def toposort(
    outputs: Iterable[Expr], before: Mapping[Expr, Iterable[Expr]] | None = None
) -> list[Expr]:
    """Every expression that the outputs need, inputs first, in a depth-first order.

    Args:
        before: what else comes before an expression, if no way leads from there to it.
    """
    order: dict[Expr, None] = {}
    opened: set[Expr] = set()
    earlier = before or {}
    for output in outputs:
        stack = [output]
        while stack:
            x = stack[-1]
            if x not in opened:
                opened.add(x)
                depth = len(stack)
                for y in reversed(x.inputs):
                    if y not in opened:
                        stack.append(y)
                if x in earlier:
                    stack += [y for y in earlier[x] if y not in opened]
                if len(stack) > depth:
                    continue
            order[stack.pop()] = None
    return list(order)


def readers_of(order: Iterable[Expr]) -> dict[Expr, list[Expr]]:
    """The expressions that read each one, in order and each once; who has none is left out.

    Args:
        order: all expressions, inputs first.
    """
    readers: dict[Expr, list[Expr]] = {}
    for x in order:
        for y in dict.fromkeys(x.inputs):
            readers.setdefault(y, []).append(x)
    return readers


def reader_counts(order: Iterable[Expr], outputs: Iterable[Expr]) -> Counter[Expr]:
    """How many expressions read each one, and how many outputs it is.

    Args:
        order: all expressions that the outputs need.
    """
    counts = Counter(y for x in order for y in {*x.inputs})
    counts.update(outputs)
    return counts
