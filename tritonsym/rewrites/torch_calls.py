"""For CPUs: one call of torch for what several primitives say, and quick calls for slow ones.

torch has no fused kernels on a CPU, but functions that do two operations in one pass; those that
round twice are used, which ``addcmul`` does not. Its ``where`` goes element by element while others
take many at a time, so a choice is made of numbers: 1 where an element is kept and 0 where it is
not, and then the bits of what is kept from either side.

Every call keeps all bits of what it replaces, but for those within a NaN.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from ..expressions.expr import (
    Expr,
    broadcast,
    cast,
    constant,
    constant_value,
    full,
    iota,
    make,
)
from ..expressions.library import Native, library_call
from ..expressions.reference import Step, Tensor
from ..foundation.dtype import BOOL, FLOAT32, FLOAT64
from ..graph.trace import Graph
from .simplify import Rule, pairs, rewritten, scalar_of

_COMPARISONS = {
    "eq": torch.eq,
    "ne": torch.ne,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
}
_COMPLEMENTS = {"eq": "ne", "ne": "eq"}
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def in_torch_calls(graph: Graph) -> Graph:
    """The graph with torch's own combinations of primitives, where there are some."""
    return rewritten(graph, _rewrite)


def _rewrite(x: Expr) -> Expr | None:
    rule = _RULES.get(x.primitive)
    return None if rule is None or x.shape == () else rule(x)


def _call(function: Native, name: str, x: Expr, *inputs: Expr, detail: str = "") -> Expr:
    """A call that gives what ``x`` gives."""
    return library_call(function, name, inputs, detail, x.shape, x.dtype, elementwise=True)


def _is_constant(x: Expr, value: float) -> bool:
    """Whether it is one number throughout, 0.0 and -0.0 told apart."""
    return scalar_of(x) is constant(value, x.dtype)


# ---- choices -----------------------------------------------------------------------------------


def _compare(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    """A comparison that gives 1 and 0 in the dtype that it compares."""
    return partial(_COMPARISONS[attributes], *inputs, out=out)


def _keep(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    """The first where the second is 1, and 0 where that is 0."""
    data, kept = inputs
    if not out.dtype.is_floating_point:
        return partial(torch.mul, data, kept, out=out)
    return partial(torch.ops.aten.threshold_backward.grad_input, data, kept, 0, grad_input=out)


def _join(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    """The bits of two, of which one is 0 at each element."""
    integers = _INTEGERS[out.dtype.itemsize]
    bits = (data.view(integers) for data in inputs)
    return partial(torch.bitwise_or, *bits, out=out.view(integers))


def _not_above_zero(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    return partial(torch.clamp_max, inputs[0], 0, out=out)


def _number(x: Expr) -> Expr | None:
    """A comparison as a number of the dtype that it compares: it need not be a bool before."""
    (data,) = x.inputs
    if data.primitive not in _COMPARISONS or data.inputs[0].dtype is not x.dtype:
        return None
    return _call(_compare, data.primitive, x, *data.inputs, detail=data.primitive)


def _choice(x: Expr) -> Expr | None:
    """``where``, from what is kept of either side."""
    condition, first, second = x.inputs
    if x.dtype is BOOL or condition.shape == ():
        return None
    kept = cast(condition, x.dtype)
    kept = _number(kept) or kept
    if _is_constant(first, 1) and _is_constant(second, 0):
        return kept
    if x.dtype.is_float and _is_rectified(condition, second):
        taken = _call(_keep, "keep", x, first, second)
        return _call(_join, "join", x, taken, _call(_not_above_zero, "not above 0", x, second))
    sides = []
    if not _is_constant(first, 0):
        sides.append(_call(_keep, "keep", x, first, kept))
    if not _is_constant(second, 0):
        sides.append(_call(_keep, "keep", x, second, _opposite(condition, kept)))
    if not sides:
        return full(0, x.shape, x.dtype)
    return sides[0] if len(sides) == 1 else _call(_join, "join", x, *sides)


def _opposite(condition: Expr, kept: Expr) -> Expr:
    """1 where ``kept`` is 0. The opposite of an order holds for NaN as well."""
    if condition.primitive in _COMPLEMENTS and condition.inputs[0].dtype is kept.dtype:
        name, inputs = _COMPLEMENTS[condition.primitive], condition.inputs
    else:
        name, inputs = "eq", (kept, constant(0, kept.dtype))
    return _call(_compare, name, kept, *inputs, detail=name)


def _is_rectified(condition: Expr, data: Expr) -> bool:
    """Whether a choice asks if ``data`` is above 0, which is nowhere below it, nor -0."""
    if condition.primitive != "gt" or condition.inputs[0] is not data:
        return False
    known = data.primitive == "native" and data["name"] in ("relu", "Activation")
    return known and _is_constant(condition.inputs[1], 0)


# ---- positions ---------------------------------------------------------------------------------


def _positions(x: Expr) -> Expr | None:
    """Counted once along their axis, and repeated along the others."""
    axis = x.integer("axis")
    shape = tuple(n if i == axis else 1 for i, n in enumerate(x.shape))
    return None if shape == x.shape else broadcast(iota(shape, axis), x.shape)


# ---- two operations in one ---------------------------------------------------------------------


def _add_quotient(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    return partial(torch.addcdiv, *inputs, out=out)


def subtract_quotient(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    """The first less the quotient of the others."""
    return partial(torch.addcdiv, *inputs, value=-1, out=out)


def _sigmoid_slope(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    return partial(torch.ops.aten.sigmoid_backward.grad_input, *inputs, grad_input=out)


def _is_quotient(x: Expr) -> bool:
    return x.primitive == "div" and x.dtype in (FLOAT32, FLOAT64)


def _one_repeated(*inputs: Expr) -> bool:
    """torch takes many elements at a time where at most one operand is repeated."""
    return sum(x.shape == () or x.primitive == "expand" for x in inputs) <= 1


def _sum(x: Expr) -> Expr | None:
    first, second = x.inputs
    if not _is_quotient(second):
        first, second = second, first
    if not (_is_quotient(second) and _one_repeated(first, *second.inputs)):
        return None
    return _call(_add_quotient, "addcdiv", x, first, *second.inputs)


def _difference(x: Expr) -> Expr | None:
    first, second = x.inputs
    if not (_is_quotient(second) and _one_repeated(first, *second.inputs)):
        return None
    return _call(subtract_quotient, "addcdiv", x, first, *second.inputs)


def _is_less_than_one(x: Expr, y: Expr) -> bool:
    """Whether it is 1 - y."""
    return x.primitive == "sub" and _is_constant(x.inputs[0], 1) and x.inputs[1] is y


def _product(x: Expr) -> Expr | None:
    """The slope of sigmoid at its result: head * (1 - y) * y."""
    for first, y in (x.inputs, x.inputs[::-1]):
        if first.primitive == "mul" and x.dtype in (FLOAT32, FLOAT64):
            for head, less in (first.inputs, first.inputs[::-1]):
                if _is_less_than_one(less, y):
                    return _call(_sigmoid_slope, "sigmoid_backward", x, head, y)
    return None


def _clamp(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    lowest, highest = attributes
    return partial(torch.clamp, inputs[0], lowest, highest, out=out)


def _within(x: Expr) -> Expr | None:
    """Whole numbers, of which the lowest and the highest are known."""
    if not x.dtype.is_integer:  # 0.0 and -0.0 are equal, and either may be the result
        return None
    for raised, high in pairs(x, "minimum"):
        for data, low in pairs(raised, "maximum"):
            lowest, highest = scalar_of(low), scalar_of(high)
            if lowest is None or highest is None:
                continue
            ends = constant_value(lowest), constant_value(highest)
            # Where they are the wrong way round it is the highest.
            return library_call(_clamp, "clamp", [data], ends, x.shape, x.dtype, elementwise=True)
    return None


def _inverse_root(x: Expr) -> Expr | None:
    """1 / sqrt(y), each rounded, which is what the primitive is."""
    first, second = x.inputs
    if second.primitive == "sqrt" and _is_constant(first, 1):
        return make("rsqrt", second.inputs[0])
    return None


_RULES: dict[str, Rule] = {
    "iota": _positions,
    "cast": _number,
    "where": _choice,
    "add": _sum,
    "div": _inverse_root,
    "sub": _difference,
    "mul": _product,
    "minimum": _within,
}
