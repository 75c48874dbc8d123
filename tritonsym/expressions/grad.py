"""Reverse-mode differentiation of expressions: one line for each primitive, and the walk.

The derivative of an expression is an expression again, so it is scheduled and fused like any other,
shares what the forward pass computes, and can be differentiated itself. At ties, zeros and edges
the derivatives are MXNet's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from ..foundation.dtype import BOOL, FLOAT32, FLOAT64, INT64
from ..foundation.errors import LoweringError
from .expr import (
    Expr,
    broadcast,
    cast,
    dot,
    flip,
    iota,
    make,
    narrow,
    padded,
    permute,
    pick_add,
    reduce,
    reshape,
    spread,
    take_add,
    where,
)
from .special import digamma
from .walks import toposort

# From an expression and the gradient of it to the gradient of each input; None where it is zero.
Derivative = Callable[[Expr, Expr], Sequence[Expr | None]]


def _zero(x: Expr, g: Expr) -> Sequence[Expr | None]:
    """Constant almost everywhere, or no function of numbers."""
    return [None] * len(x.inputs)


def _of_input(slope: Callable[[Expr], Expr]) -> Derivative:
    """The gradient times a function of the one input."""
    return lambda x, g: (g * slope(x.inputs[0]),)


def _of_output(slope: Callable[[Expr], Expr]) -> Derivative:
    """The gradient times a function of the result, which is there already."""
    return lambda x, g: (g * slope(x),)


def _wide(*values: Expr) -> list[Expr]:
    """16-bit floats as float32, which results on the way do not overflow, integers as float64."""
    kinds = {True: FLOAT32, False: FLOAT64}
    return [
        cast(x, kinds[x.dtype.is_reduced]) if x.dtype.is_reduced or not x.dtype.is_float else x
        for x in values
    ]


def _power(x: Expr, g: Expr) -> Sequence[Expr | None]:
    base, exponent, less, head = _wide(*x.inputs, x.inputs[1] - 1, g)
    found = head * (exponent * base**less), head * (base**exponent * make("log", base))
    return [cast(part, g.dtype) for part in found]


def _hypot(x: Expr, g: Expr) -> Sequence[Expr | None]:
    left, right, head = _wide(*x.inputs, g)
    length = make("hypot", left, right)
    return [cast(head * (part / length), g.dtype) for part in (left, right)]


def _modulo(x: Expr, g: Expr) -> Sequence[Expr | None]:
    quotient = x.inputs[0] / x.inputs[1]
    return g, -g * (make("floor", quotient) if x.dtype.is_float else quotient)


def _extreme(x: Expr, g: Expr) -> Sequence[Expr | None]:
    """Of equal operands the first has the gradient; of NaN none."""
    a, b = x.inputs
    first, second = (a >= b, a < b) if x.primitive == "maximum" else (a <= b, a > b)
    return where(first, g, 0), where(second, g, 0)


def _where(x: Expr, g: Expr) -> Sequence[Expr | None]:
    holds = x.inputs[0]
    return None, where(holds, g, 0), where(holds, 0, g)


def _cast(x: Expr, g: Expr) -> Sequence[Expr | None]:
    (data,) = x.inputs
    return (None if data.dtype is BOOL else cast(g, data.dtype),)


def _sum(x: Expr, g: Expr) -> Sequence[Expr | None]:
    return (broadcast(g, x.inputs[0].shape),)


def _product(x: Expr, g: Expr) -> Sequence[Expr | None]:
    """The product without the element: by division, unless there are zeros."""
    (data,) = x.inputs
    zero, axes = data.equals(0), x.integers("axes")

    def whole(y: Expr) -> Expr:
        return broadcast(y, data.shape)

    zeros = whole(reduce("sum", cast(zero, data.dtype), axes))
    others = whole(g * reduce("prod", where(zero, 1, data), axes))
    beside_zeros = where(zero.logical_and(zeros.equals(1)), others, 0)
    return (where(zeros.equals(0), whole(g * x) / data, beside_zeros),)


def _largest(x: Expr, g: Expr) -> Sequence[Expr | None]:
    """Every element that equals the extreme has the whole gradient."""
    (data,) = x.inputs
    return (where(data.equals(broadcast(x, data.shape)), broadcast(g, data.shape), 0),)


def _permute(x: Expr, g: Expr) -> Sequence[Expr | None]:
    axes = x.integers("axes")
    return (permute(g, sorted(range(len(axes)), key=axes.__getitem__)),)


def _expand(x: Expr, g: Expr) -> Sequence[Expr | None]:
    """The sum over what was repeated; 16-bit floats are summed in float32 and rounded once."""
    (data,) = x.inputs
    axes = [i for i, (n, m) in enumerate(zip(data.shape, g.shape, strict=True)) if n != m]
    wide = cast(g, FLOAT32) if g.dtype.is_reduced else g
    return (cast(reduce("sum", wide, axes), g.dtype),)


def _slice(x: Expr, g: Expr) -> Sequence[Expr | None]:
    """Zeros around, and between, what was taken."""
    (data,) = x.inputs
    bounds = zip(x.integers("starts"), x.integers("steps"), data.shape, strict=True)
    for axis, (start, step, length) in enumerate(bounds):
        g = spread(g, axis, step)
        g = narrow(g, axis, 0, min(g.shape[axis], length - start))
        g = padded(g, axis, start, length - start - g.shape[axis])
    return (g,)


def _concat(x: Expr, g: Expr) -> Sequence[Expr | None]:
    axis, start, parts = x.integer("axis"), 0, []
    for y in x.inputs:
        parts.append(narrow(g, axis, start, start + y.shape[axis]))
        start += y.shape[axis]
    return parts


def _dot(x: Expr, g: Expr) -> Sequence[Expr | None]:
    a, b = x.inputs
    turned_a, turned_b = bool(x["transpose_a"]), bool(x["transpose_b"])
    return (
        dot(b, g, turned_b, True) if turned_a else dot(g, b, False, not turned_b),
        dot(g, a, True, turned_a) if turned_b else dot(a, g, not turned_a, False),
    )


def _take(x: Expr, g: Expr) -> Sequence[Expr | None]:
    data, indices = x.inputs
    axis = x.integer("axis")
    wide = cast(g, FLOAT32) if g.dtype.is_reduced else g
    return cast(take_add(wide, indices, axis, data.shape[axis]), g.dtype), None


def _take_add(x: Expr, g: Expr) -> Sequence[Expr | None]:
    _, indices = x.inputs
    return make("take", g, indices, axis=x.integer("axis")), None


def _pick(x: Expr, g: Expr) -> Sequence[Expr | None]:
    data, indices = x.inputs
    axis = x.integer("axis")
    if indices.shape[axis] > 1:
        return pick_add(g, indices, axis, data.shape[axis]), None
    # One element of each row: a comparison, which fuses with what follows.
    hit = iota(data.shape, axis).equals(broadcast(indices, data.shape))
    return where(hit, broadcast(g, data.shape), 0), None


def _pick_add(x: Expr, g: Expr) -> Sequence[Expr | None]:
    _, indices = x.inputs
    return make("pick", g, cast(indices, INT64), axis=x.integer("axis")), None


def _native(x: Expr, g: Expr) -> Sequence[Expr | None]:
    derivative = x["gradient"]
    if derivative is None:
        raise LoweringError(f"{x['name']} is one call of a library, which has no gradient")
    assert callable(derivative)
    found: Sequence[Expr | None] = derivative(x, g)
    return found


DERIVATIVES: dict[str, Derivative] = {
    **dict.fromkeys(("input", "constant", "iota", "random"), _zero),
    "neg": lambda x, g: (-g,),
    "abs": _of_input(lambda a: make("sign", a)),
    **dict.fromkeys(("sign", "floor", "ceil", "trunc", "round", "rint"), _zero),
    "add": lambda x, g: (g, g),
    "sub": lambda x, g: (g, -g),
    "mul": lambda x, g: (g * x.inputs[1], g * x.inputs[0]),
    # Two quotients: a square would overflow, and vanish in 16 bits.
    "div": lambda x, g: (g / x.inputs[1], -g * (x.inputs[0] / x.inputs[1] / x.inputs[1])),
    "mod": _modulo,
    "pow": _power,
    **dict.fromkeys(("maximum", "minimum"), _extreme),
    "exp": _of_output(lambda y: y),
    "expm1": _of_output(lambda y: y + 1),
    "log": lambda x, g: (g / x.inputs[0],),
    "log2": lambda x, g: (g / (x.inputs[0] * math.log(2)),),
    "log10": lambda x, g: (g / (x.inputs[0] * math.log(10)),),
    "log1p": lambda x, g: (g / (x.inputs[0] + 1),),
    "sqrt": lambda x, g: (g * 0.5 / x,),
    "rsqrt": lambda x, g: (g * -0.5 / (x.inputs[0] * make("sqrt", x.inputs[0])),),
    "cbrt": lambda x, g: (g / (3 * x * x),),
    "sigmoid": lambda x, g: (g * (1 - x) * x,),
    "erf": _of_input(lambda a: 2 / math.sqrt(math.pi) * make("exp", -a * a)),
    "sin": _of_input(lambda a: make("cos", a)),
    "cos": _of_input(lambda a: -make("sin", a)),
    "tan": _of_output(lambda y: y * y + 1),
    "arcsin": lambda x, g: (g / make("sqrt", 1 - x.inputs[0] * x.inputs[0]),),
    "arccos": lambda x, g: (-g / make("sqrt", 1 - x.inputs[0] * x.inputs[0]),),
    "arctan": lambda x, g: (g / (x.inputs[0] * x.inputs[0] + 1),),
    "sinh": _of_input(lambda a: make("cosh", a)),
    "cosh": _of_input(lambda a: make("sinh", a)),
    "tanh": _of_output(lambda y: 1 - y * y),
    "arcsinh": lambda x, g: (g / make("sqrt", x.inputs[0] * x.inputs[0] + 1),),
    "arccosh": lambda x, g: (g / make("sqrt", x.inputs[0] * x.inputs[0] - 1),),
    "arctanh": lambda x, g: (g / (1 - x.inputs[0] * x.inputs[0]),),
    "gammaln": _of_input(digamma),
    "hypot": _hypot,
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not"), _zero),
    "where": _where,
    "cast": _cast,
    "sum": _sum,
    "prod": _product,
    **dict.fromkeys(("max", "min"), _largest),
    **dict.fromkeys(("argmax", "argmin", "argsort"), _zero),
    "reshape": lambda x, g: (reshape(g, x.inputs[0].shape),),
    "permute": _permute,
    "expand": _expand,
    "slice": _slice,
    "flip": lambda x, g: (flip(g, x.integers("axes")),),
    "concat": _concat,
    "dot": _dot,
    "take": _take,
    "take_add": _take_add,
    "pick": _pick,
    "pick_add": _pick_add,
    "native": _native,
}


def gradients(
    outputs: Sequence[Expr], heads: Sequence[Expr], inputs: Sequence[Expr]
) -> list[Expr | None]:
    """The gradient of each input: the sum over the outputs of head times derivative.

    Args:
        outputs: what is differentiated.
        heads: the gradient of each output, in its shape and dtype.
        inputs: with respect to what; ``input`` expressions.

    Returns:
        One expression per input, in its shape and dtype; None where nothing depends on it.

    Raises:
        LoweringError: a part that has no derivative.
    """
    order = toposort(outputs)
    depending: set[Expr] = set(inputs)
    for x in order:
        if any(y in depending for y in x.inputs):
            depending.add(x)
    sums: dict[Expr, Expr] = {}
    for x, head in zip(outputs, heads, strict=True):
        if x in depending and x.dtype is not BOOL:
            sums[x] = sums[x] + head if x in sums else head
    for x in reversed(order):
        if x not in sums or not x.inputs:
            continue
        parts = DERIVATIVES[x.primitive](x, sums.pop(x))
        for y, part in zip(x.inputs, parts, strict=True):
            if part is not None and y in depending and y.dtype is not BOOL:
                sums[y] = sums[y] + part if y in sums else part
    return [sums.get(x) for x in inputs]


def substitute(outputs: Sequence[Expr | None], replaced: Mapping[Expr, Expr]) -> list[Expr | None]:
    """The same expressions of other inputs, all replaced at once."""
    done = dict(replaced)
    for x in toposort(y for y in outputs if y is not None):
        if x not in done:
            done[x] = x.on(*(done[y] for y in x.inputs))
    return [None if x is None else done[x] for x in outputs]
