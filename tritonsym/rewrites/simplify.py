"""The same graph, smaller: rewrites of expressions that keep every bit of every result.

Equal expressions are one already, and what nobody needs is never reached. What is left are a few
identities. Each holds in every dtype that it names, with NaN, infinities and both zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from ..expressions.expr import (
    VIEWS,
    Expr,
    broadcast,
    constant,
    constant_value,
    make,
    permute,
    reshape,
    slice_,
)
from ..expressions.reference import evaluate, scalar
from ..expressions.walks import toposort
from ..foundation.dtype import BOOL, DType
from ..graph.trace import Graph

Rule = Callable[[Expr], Expr | None]

# What every implementation rounds alike, so that it may be computed before it is needed.
_EXACT = frozenset(
    (
        *("neg", "abs", "sign", "add", "sub", "mul", "div", "maximum", "minimum", "sqrt"),
        *("floor", "ceil", "trunc", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not"),
        *("where", "cast"),
    )
)


def simplify(graph: Graph) -> Graph:
    """The graph after every rewrite that applies."""
    return rewritten(graph, _rewrite)


def rewritten(graph: Graph, rule: Rule) -> Graph:
    """The graph with a rule applied to every expression, inputs first, until it changes nothing.

    What takes the place of an expression takes over the names of its nodes.
    """

    return replaced(graph, partial(applied, rule))


def applied(rule: Rule, x: Expr, found: Mapping[Expr, Expr]) -> Expr:
    """An expression after a rule, from what those before it became."""
    new = on_new_inputs(x, found)
    while (better := rule(new)) is not None:
        new = better
    return new


def on_new_inputs(x: Expr, found: Mapping[Expr, Expr]) -> Expr:
    """The same step, on what its inputs became."""
    return x.on(*(found[y] for y in x.inputs))


def replaced(graph: Graph, change: Callable[[Expr, Mapping[Expr, Expr]], Expr]) -> Graph:
    """The graph with another expression for each of its own.

    Args:
        change: gives the new expression, from the old one and from what those before it became.
    """
    found: dict[Expr, Expr] = {}
    origins: dict[Expr, dict[str, None]] = {}
    for x in toposort(graph.outputs):
        found[x] = new = change(x, found)
        names = graph.origins.get(x, ())
        if names:
            origins.setdefault(new, {}).update(dict.fromkeys(names))
            _name_what_is_new(origins, new, {found[y] for y in x.inputs}, names)
    return replace(
        graph,
        outputs=tuple(found[x] for x in graph.outputs),
        origins={x: tuple(names) for x, names in origins.items()},
    )


def _name_what_is_new(
    origins: dict[Expr, dict[str, None]], new: Expr, known: set[Expr], names: tuple[str, ...]
) -> None:
    """Give what a rule made between its result and the inputs the names as well."""
    waiting = [new]
    while waiting:
        for y in waiting.pop().inputs:
            if y not in known and y not in origins and y.inputs:
                origins[y] = dict.fromkeys(names)
                waiting.append(y)


def _rewrite(x: Expr) -> Expr | None:
    rule = _RULES.get(x.primitive)
    better = _with_scalars(x) if x.primitive in _EXACT else None
    return rule(x) if better is None and rule is not None else better


# ---- constants ---------------------------------------------------------------------------------


def scalar_of(x: Expr) -> Expr | None:
    """The constant that an expression repeats in every element, if it is one."""
    x = behind_views(x)
    return x if x.primitive == "constant" else None


def behind_views(x: Expr) -> Expr:
    """What a view looks at, or the value itself."""
    while x.primitive in VIEWS:
        (x,) = x.inputs
    return x


def number_of(x: Expr) -> float | None:
    """The number that an expression is throughout, if it is one."""
    found = scalar_of(x)
    return None if found is None else float(constant_value(found))


def pairs(x: Expr, primitive: str) -> Iterator[tuple[Expr, Expr]]:
    """The operands of a primitive whose order is of no matter, in both orders."""
    if x.primitive == primitive:
        yield x.inputs[0], x.inputs[1]
        yield x.inputs[1], x.inputs[0]


def _with_scalars(x: Expr) -> Expr | None:
    """Repeated constants as constants: they are read from no memory, or folded."""
    scalars = [scalar_of(y) for y in x.inputs]
    if None not in scalars:
        return _repeated(_folded(x, [y for y in scalars if y is not None]), x)
    new = x.on(*(y if s is None else s for s, y in zip(scalars, x.inputs, strict=True)))
    return None if new is x else new


def _folded(x: Expr, scalars: list[Expr]) -> Expr:
    """The primitive on constants, computed."""
    alone = x.on(*scalars)
    value = evaluate(alone, [scalar(y) for y in scalars])
    return constant(value.item(), x.dtype)


def _repeated(value: Expr, x: Expr) -> Expr:
    """A constant in the shape of another expression."""
    return value if x.shape == () else broadcast(value, x.shape)


def _is_constant(x: Expr, *values: float) -> bool:
    """Whether an operand is one of these whole numbers, 0.0 and -0.0 told apart."""
    if x.primitive != "constant" or constant_value(x) not in values:
        return False
    return any(constant(value, x.dtype) is x for value in values)


# ---- identities --------------------------------------------------------------------------------


def _neutral(*right: float, left: tuple[float, ...] = ()) -> Rule:
    """An operation with a number that changes nothing, at the right or at the left."""

    def rule(x: Expr) -> Expr | None:
        a, b = x.inputs
        if a.shape == x.shape and _is_constant(b, *right):
            return a
        return b if b.shape == x.shape and _is_constant(a, *left) else None

    return rule


def _sum(x: Expr) -> Expr | None:
    """-0.0 is the zero that changes no float: +0.0 would turn -0.0 into +0.0."""
    zero = -0.0 if x.dtype.is_float else 0
    return _neutral(zero, left=(zero,))(x)


def _inverse(x: Expr) -> Expr | None:
    """Its own inverse: a sign flipped twice, also of NaN; the smallest integer stays itself."""
    (y,) = x.inputs
    return y.inputs[0] if y.primitive == x.primitive else None


def _choice(x: Expr) -> Expr | None:
    """The same in both cases."""
    _, a, b = x.inputs
    return a if a is b and a.shape == x.shape else None


def _truth(x: Expr) -> Expr | None:
    """Whether a truth value, made a number, is not 0: the truth value."""
    a, b = x.inputs
    is_truth = a.primitive == "cast" and a.inputs[0].dtype is BOOL
    return a.inputs[0] if is_truth and _is_constant(b, 0.0, -0.0) else None


def _cast(x: Expr) -> Expr | None:
    """By way of a type that holds every value: the second conversion alone rounds."""
    (middle,) = x.inputs
    if middle.primitive != "cast":
        return None
    (y,) = middle.inputs
    if not _holds(middle.dtype, y.dtype):
        return None
    if y.dtype is x.dtype:
        return y
    # An integer by way of a float is rounded by way of it, too.
    return make("cast", y, dtype=x.dtype) if y.dtype.is_float or not middle.dtype.is_float else None


def _holds(wide: DType, narrow: DType) -> bool:
    """Whether every value of one type is a value of the other."""
    if narrow is BOOL or wide is narrow:
        return wide is narrow or narrow is BOOL
    if narrow.is_float or wide.is_float:
        return narrow.is_float and wide.is_float and wide.itemsize > narrow.itemsize
    return wide.kind == "int" and wide.itemsize > narrow.itemsize


# ---- movements of movements --------------------------------------------------------------------


def _reshape(x: Expr) -> Expr | None:
    """Of a reshape: the order of the elements is the same."""
    (y,) = x.inputs
    return reshape(y, x.shape) if y.primitive == "reshape" or y.shape == x.shape else None


def _permute(x: Expr) -> Expr | None:
    """Of a permutation: both at once. Of axes of length 1 alone: a reshape."""
    (y,) = x.inputs
    axes = x.integers("axes")
    if y.primitive == "permute":
        inner = y.integers("axes")
        return permute(y.inputs[0], (inner[axis] for axis in axes))
    moving = [axis for axis in axes if y.shape[axis] > 1]
    return reshape(y, x.shape) if moving == sorted(moving) else None


def _expand(x: Expr) -> Expr | None:
    """Of a repetition: both at once. To the shape that it has: nothing."""
    (y,) = x.inputs
    if y.shape == x.shape:
        return y
    return broadcast(y.inputs[0], x.shape) if y.primitive == "expand" else None


def _slice(x: Expr) -> Expr | None:
    """Of a slice: both at once. Of a part of what was put together: of that part."""
    (y,) = x.inputs
    if y.primitive == "concat":
        return _slice_of_part(x, y)
    if y.primitive != "slice":
        return None
    outer = zip(x.integers("starts"), x.integers("steps"), x.shape, strict=True)
    inner = zip(y.integers("starts"), y.integers("steps"), strict=True)
    ranges = [
        range(first + start * step, first + (start + (n - 1) * by) * step + 1, by * step)
        for (start, by, n), (first, step) in zip(outer, inner, strict=True)
    ]
    return _sliced(y.inputs[0], ranges)


def _slice_of_part(x: Expr, whole: Expr) -> Expr | None:
    axis, begin = whole.integer("axis"), 0
    bounds = zip(x.integers("starts"), x.integers("steps"), x.shape, strict=True)
    ranges = [range(start, start + (n - 1) * by + 1, by) for start, by, n in bounds]
    for part in whole.inputs:
        end = begin + part.shape[axis]
        if begin <= ranges[axis].start and ranges[axis].stop <= end:
            along = ranges[axis]
            ranges[axis] = range(along.start - begin, along.stop - begin, along.step)
            return _sliced(part, ranges)
        begin = end
    return None


def _sliced(x: Expr, ranges: Sequence[range]) -> Expr:
    return slice_(x, [r.start for r in ranges], [r.stop for r in ranges], [r.step for r in ranges])


_RULES: dict[str, Rule] = {
    "add": _sum,
    "sub": _neutral(0.0),
    "mul": _neutral(1.0, left=(1.0,)),
    "div": _neutral(1.0),
    "neg": _inverse,
    "not": _inverse,
    "where": _choice,
    "ne": _truth,
    "cast": _cast,
    "reshape": _reshape,
    "permute": _permute,
    "expand": _expand,
    "slice": _slice,
}
