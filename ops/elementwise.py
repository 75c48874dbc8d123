"""Operators that work element by element: unary, binary, with a scalar, comparing, broadcasting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from tritonsym.expressions.expr import (
    Expr,
    binary,
    broadcast,
    cast,
    constant,
    constant_value,
    full,
    is_zero,
    make,
    maximum,
    minimum,
    where,
)
from tritonsym.expressions.reference import Step, Tensor
from tritonsym.expressions.special import digamma, erfinv, gamma, softsign
from tritonsym.foundation.dtype import BOOL, FLOAT32, FLOAT64, INT64, DType
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import DTypes, Gradient, Shapes, is_complete, operator, unify_shapes

from .common import attribute_decides, in_float, reject_bool, slope, unequal_shapes

Unary = Callable[[Expr], Expr]
Binary = Callable[[Expr, Expr], Expr]


# ---- unary -------------------------------------------------------------------------------------


def _without_bool(function: Unary) -> Unary:
    def lower(data: Expr) -> Expr:
        reject_bool(data)
        return function(data)

    return lower


def _primitive(name: str) -> Unary:
    return lambda x: make(name, x)


# Gradients in another form than the derivative of the expression: exact where that overflows or
# is infinity less infinity, and at points where MXNet has another one.
_SLOPES: dict[str, Gradient] = {
    "rcbrt": slope(lambda g, x, y: -g / (3 * x * make("cbrt", x))),
    "softsign": slope(lambda g, x, y: g / ((1 + make("abs", x)) * (1 + make("abs", x)))),
    "gamma": slope(lambda g, x, y: g * y * digamma(x)),
    "erfinv": slope(lambda g, x, y: g * make("exp", y * y) * (math.sqrt(math.pi) / 2)),
}


def _register_unary(name: str, function: Unary, summary: str, *aliases: str) -> None:
    def lower(data: Expr) -> Expr:
        return function(data)

    lower.__doc__ = summary
    operator(name, aliases=aliases, shapes=unify_shapes, gradient=_SLOPES.get(name))(lower)


# The conversion factors are float32 whatever the input is, as in MXNet.
_DEGREES = float(np.float32(180.0) / np.float32(math.pi))
_RADIANS = float(np.float32(math.pi) / np.float32(180.0))

_FLOAT_UNARY: dict[str, tuple[Unary, str]] = {
    "reciprocal": (lambda x: 1.0 / x, "1 / x."),
    "sqrt": (_primitive("sqrt"), "The square root; NaN below zero."),
    "rsqrt": (_primitive("rsqrt"), "1 / sqrt(x)."),
    "cbrt": (_primitive("cbrt"), "The cube root."),
    "rcbrt": (lambda x: 1.0 / make("cbrt", x), "1 / cbrt(x)."),
    "exp": (_primitive("exp"), "The exponential."),
    "expm1": (_primitive("expm1"), "exp(x) - 1, exact near zero."),
    "log": (_primitive("log"), "The natural logarithm."),
    "log2": (_primitive("log2"), "The logarithm to base 2."),
    "log10": (_primitive("log10"), "The logarithm to base 10."),
    "log1p": (_primitive("log1p"), "log(1 + x), exact near zero."),
    "sin": (_primitive("sin"), "The sine, in radians."),
    "cos": (_primitive("cos"), "The cosine, in radians."),
    "tan": (_primitive("tan"), "The tangent, in radians."),
    "arcsin": (_primitive("arcsin"), "The inverse sine, in [-pi/2, pi/2]."),
    "arccos": (_primitive("arccos"), "The inverse cosine, in [0, pi]."),
    "arctan": (_primitive("arctan"), "The inverse tangent, in [-pi/2, pi/2]."),
    "sinh": (_primitive("sinh"), "The hyperbolic sine."),
    "cosh": (_primitive("cosh"), "The hyperbolic cosine."),
    "tanh": (_primitive("tanh"), "The hyperbolic tangent."),
    "arcsinh": (_primitive("arcsinh"), "The inverse hyperbolic sine."),
    "arccosh": (_primitive("arccosh"), "The inverse hyperbolic cosine."),
    "arctanh": (_primitive("arctanh"), "The inverse hyperbolic tangent."),
    "degrees": (lambda x: x * _DEGREES, "Radians to degrees."),
    "radians": (lambda x: x * _RADIANS, "Degrees to radians."),
    "sigmoid": (_primitive("sigmoid"), "1 / (1 + exp(-x))."),
    "softsign": (softsign, "x / (1 + abs(x))."),
    "erf": (_primitive("erf"), "The error function."),
    "erfinv": (erfinv, "The inverse of the error function, infinite at -1 and 1, NaN beyond."),
    "gamma": (gamma, "The gamma function."),
    "gammaln": (_primitive("gammaln"), "The logarithm of abs(gamma(x))."),
}
for _name, (_function, _summary) in _FLOAT_UNARY.items():
    _register_unary(_name, partial(in_float, _function), _summary)


def _whole(name: str) -> Unary:
    """A rounding: integers are whole already."""

    def lower(x: Expr) -> Expr:
        reject_bool(x)
        return make(name, x) if x.dtype.is_float else x

    return lower


_register_unary("floor", _whole("floor"), "The largest whole number that is not above x.")
_register_unary("ceil", _whole("ceil"), "The smallest whole number that is not below x.")
_register_unary("trunc", _whole("trunc"), "x without its fraction.")
_register_unary("fix", _whole("trunc"), "The whole number next to x towards zero.")
_register_unary("round", _whole("round"), "The nearest whole number; halves away from zero.")
_register_unary("rint", _whole("rint"), "The nearest whole number; halves downwards.")


_register_unary("abs", _without_bool(_primitive("abs")), "The absolute value.")
_register_unary("sign", _without_bool(_primitive("sign")), "-1, 0 or 1; 0 for zeros and NaN.")
_register_unary("negative", _without_bool(lambda x: -x), "-x.")
_register_unary("square", _without_bool(lambda x: x * x), "x * x.")
_register_unary("_copy", lambda x: x, "x itself.", "identity")
_register_unary("zeros_like", lambda x: full(0, x.shape, x.dtype), "Zeros of x's shape.")
_register_unary("ones_like", lambda x: full(1, x.shape, x.dtype), "Ones of x's shape.")
_register_unary(
    "logical_not", lambda x: cast(x.equals(0), x.dtype), "1 where x is zero, else 0, in x's dtype."
)


def threshold_at_zero(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    """relu in one call: torch's own keeps -0, its threshold does not."""
    return partial(torch.threshold, inputs[0], 0, 0, out=out)


def rectify(x: Expr) -> Expr:
    """max(x, 0), +0 for both zeros, NaN kept."""
    return where(x <= 0, 0, x)


def rectified_slope(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Sequence[Expr]:
    """The gradient where the output is positive; elsewhere the output is 0 itself, or NaN."""
    (y,) = outputs
    return (where(y > 0, heads[0], y),)


@operator(
    "relu",
    shapes=unify_shapes,
    native=threshold_at_zero,
    elementwise=True,
    gradient=rectified_slope,
)
def relu(data: Expr) -> Expr:
    """max(x, 0); NaN stays NaN."""
    reject_bool(data)
    return rectify(data)


@operator("Cast", aliases=("cast",), shapes=unify_shapes, dtypes=attribute_decides)
def cast_(data: Expr, *, dtype: DType) -> Expr:
    """The values in another dtype, converted as C does: towards zero for integers."""
    return cast(data, dtype)


def _bound(value: float, dtype: DType) -> Expr:
    """A bound in the data's dtype; for integers, one that is out of their range is its end."""
    if dtype.is_integer and not math.isnan(value):
        info = torch.iinfo(dtype.torch)
        value = int(max(min(value, info.max), info.min))
    return constant(value, dtype)


def _clamp(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    if attributes.a_min != 0:
        return partial(torch.clamp, inputs[0], attributes.a_min, attributes.a_max, out=out)
    rectify_into = threshold_at_zero(attributes, inputs, out)

    def step() -> Tensor:
        rectify_into()
        return torch.clamp_max(out, attributes.a_max, out=out)

    return step


def _clamp_is_clip(attributes: Any, inputs: Sequence[Expr]) -> bool:
    """Where torch's clamp is the same to the bit: bounds in order, no doubt about -0."""
    in_order = attributes.a_min <= attributes.a_max and attributes.a_max != 0
    return in_order and inputs[0].dtype in (FLOAT32, FLOAT64)


def _clip_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Sequence[Expr]:
    """The gradient within the bounds and at both of them; NaN counts as within."""
    (x,) = inputs
    low, high = (_bound(value, x.dtype) for value in (attributes.a_min, attributes.a_max))
    return (where((x < low).logical_or(x > high), 0, heads[0]),)


@operator(
    "clip",
    shapes=unify_shapes,
    native=_clamp,
    uses_native=_clamp_is_clip,
    elementwise=True,
    gradient=_clip_gradient,
)
def clip(data: Expr, *, a_min: float, a_max: float) -> Expr:
    """Values below ``a_min`` become it, values above ``a_max`` become it; NaN stays NaN.

    Where ``a_min`` is 0, so does -0.
    """
    reject_bool(data)
    low, high = _bound(a_min, data.dtype), _bound(a_max, data.dtype)
    result = data
    if not math.isnan(a_min):
        result = where(data <= low if a_min == 0 else data < low, low, data)
    return result if math.isnan(a_max) else where(data > high, high, result)


def _smooth_l1_slope(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Sequence[Expr]:
    """s**2 * x within, and the sign beyond, also at the infinities."""
    square = attributes.scalar * attributes.scalar
    limit = 1 / square if square else math.inf

    def gradient(x: Expr, g: Expr) -> Expr:
        return g * where(x > limit, 1, where(x < -limit, -1, x * square))

    return (in_float(gradient, inputs[0], heads[0]),)


@operator("smooth_l1", shapes=unify_shapes, gradient=_smooth_l1_slope)
def smooth_l1(data: Expr, *, scalar: float = 1.0) -> Expr:
    """abs(x) - 0.5 / s**2 beyond 1 / s**2, and 0.5 * (s * x)**2 within, where s is the scalar."""

    def lower(x: Expr) -> Expr:
        square = scalar * scalar
        limit = 1 / square if square else math.inf
        inside = x * x * (0.5 * square)
        return where(x > limit, x - 0.5 * limit, where(x < -limit, -x - 0.5 * limit, inside))

    return in_float(lower, data)


def _hard_sigmoid_slope(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Sequence[Expr]:
    """Zero at both edges."""
    (y,) = outputs
    rising = (y > 0).logical_and(y < 1)
    return (where(rising, heads[0] * attributes.alpha, 0),)


@operator("hard_sigmoid", shapes=unify_shapes, gradient=_hard_sigmoid_slope)
def hard_sigmoid(data: Expr, *, alpha: float = 0.2, beta: float = 0.5) -> Expr:
    """max(0, min(1, alpha * x + beta))."""
    return in_float(lambda x: minimum(maximum(x * alpha + beta, 0), 1), data)


# ---- binary ------------------------------------------------------------------------------------


def hypot(x: Expr, y: Expr) -> Expr:
    """sqrt(x*x + y*y), without overflow on the way."""
    wide = x.dtype if x.dtype.is_float else FLOAT64
    return cast(binary("hypot", cast(x, wide), cast(y, wide)), x.dtype)


def _arithmetic(primitive: str) -> Binary:
    return lambda x, y: binary(primitive, x, y)


def _comparison(primitive: str) -> Binary:
    """Compared, then 0 or 1 in the inputs' own dtype."""

    def compare(x: Expr, y: Expr) -> Expr:
        return cast(binary(primitive, x, y), x.dtype)

    return compare


def _is_true(value: Expr) -> Expr:
    if value.primitive == "constant":
        return constant(constant_value(value), BOOL)
    return value.differs(0)


def _truth(primitive: str) -> Binary:
    """Both taken as true where they are not zero; 0 or 1 in the inputs' own dtype."""

    def lower(x: Expr, y: Expr) -> Expr:
        return cast(binary(primitive, _is_true(x), _is_true(y)), x.dtype)

    return lower


# Each function under the stem of its names; `_NAMES` has those that do not follow from the stem.
_BINARY: dict[str, tuple[Binary, str]] = {
    "add": (_arithmetic("add"), "x + y"),
    "sub": (_arithmetic("sub"), "x - y"),
    "mul": (_arithmetic("mul"), "x * y"),
    "div": (_arithmetic("div"), "x / y; integers are divided towards zero, and x / 0 is 0"),
    "mod": (_arithmetic("mod"), "x % y with the sign of y; x % 0 is 0"),
    "power": (_arithmetic("pow"), "x ** y"),
    "maximum": (maximum, "the larger of x and y; NaN if either is"),
    "minimum": (minimum, "the smaller of x and y; NaN if either is"),
    "hypot": (hypot, "sqrt(x*x + y*y), without overflow on the way"),
    "equal": (_comparison("eq"), "1 where x == y, else 0"),
    "not_equal": (_comparison("ne"), "1 where x != y, else 0"),
    "greater": (_comparison("gt"), "1 where x > y, else 0"),
    "greater_equal": (_comparison("ge"), "1 where x >= y, else 0"),
    "lesser": (_comparison("lt"), "1 where x < y, else 0"),
    "lesser_equal": (_comparison("le"), "1 where x <= y, else 0"),
    "logical_and": (_truth("and"), "1 where x and y are not zero, else 0"),
    "logical_or": (_truth("or"), "1 where x or y is not zero, else 0"),
    "logical_xor": (_truth("ne"), "1 where one of x and y is not zero, else 0"),
}
# Stem: the operator for equal shapes, its other names, and the stem of the scalar operators.
_NAMES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "add": ("elemwise_add", ("_Plus", "_plus", "_add"), "plus"),
    "sub": ("elemwise_sub", ("_Minus", "_minus", "_sub"), "minus"),
    "mul": ("elemwise_mul", ("_Mul", "_mul"), "mul"),
    "div": ("elemwise_div", ("_Div", "_div"), "div"),
}
_BROADCAST_ALIASES = {"add": ("broadcast_plus",), "sub": ("broadcast_minus",)}
NOT_COMMUTATIVE = ("sub", "div", "mod", "power")


def _camel(stem: str, joint: str = "") -> str:
    """`not_equal` to `NotEqual`: MXNet's older spelling."""
    return joint.join(word.capitalize() for word in stem.split("_"))


def _register_equal_shapes(stem: str, function: Binary, meaning: str) -> None:
    name, aliases, _ = _NAMES.get(stem, (f"_{stem}", (f"_{_camel(stem, '_')}",), stem))

    def shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
        try:
            unify_shapes(attributes, inputs, outputs)
        except LoweringError:
            lhs, rhs = inputs
            if is_complete(lhs) and is_complete(rhs) and lhs != rhs:
                raise unequal_shapes(lhs, rhs, f"mx.sym.broadcast_{stem}") from None
            raise

    def lower(lhs: Expr, rhs: Expr) -> Expr:
        if lhs.shape != rhs.shape:
            raise unequal_shapes(lhs.shape, rhs.shape, f"mx.nd.broadcast_{stem}")
        reject_bool(lhs, rhs)
        return function(lhs, rhs)

    lower.__doc__ = f"Elementwise {meaning}. Both inputs have one shape and one dtype."
    operator(name, aliases=aliases, shapes=shapes)(lower)


def _register_broadcasting(stem: str, function: Binary, meaning: str) -> None:
    def lower(lhs: Expr, rhs: Expr) -> Expr:
        reject_bool(lhs, rhs)
        return function(lhs, rhs)

    lower.__doc__ = f"Elementwise {meaning}. Axes of length 1 are repeated, as numpy does it."
    operator(f"broadcast_{stem}", aliases=_BROADCAST_ALIASES.get(stem, ()))(lower)


def _scalar_dtype(data: DType, is_int: bool) -> DType:
    """The dtype of data with a scalar: its own, but bool is counted and fractions are kept."""
    if data.is_float or (data.is_integer and is_int):
        return data
    return INT64 if is_int else FLOAT64


def _scalar_dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    if inputs[0] is not None:
        outputs[0] = _scalar_dtype(inputs[0], attributes.is_int)
    elif outputs[0] is not None and attributes.is_int:
        inputs[0] = outputs[0]


def _register_scalar(stem: str, function: Binary, meaning: str, reflected: bool = False) -> None:
    def lower(data: Expr, *, scalar: float = 1.0, is_int: bool = True) -> Expr:
        data = cast(data, _scalar_dtype(data.dtype, is_int))
        number = constant(scalar, data.dtype)
        return function(number, data) if reflected else function(data, number)

    side = "x is the scalar and y the data" if reflected else "x is the data and y the scalar"
    lower.__doc__ = f"Elementwise {meaning}. {side}, converted to the data's dtype."
    *_, scalar_stem = _NAMES.get(stem, (stem,))
    mark = "r" if reflected else ""
    camel = f"_{mark.upper()}{_camel(scalar_stem)}Scalar"
    name = f"_{mark}{scalar_stem}_scalar"
    operator(name, aliases=(camel,), shapes=unify_shapes, dtypes=_scalar_dtypes)(lower)


for _stem, (_combine, _meaning) in _BINARY.items():
    _register_equal_shapes(_stem, _combine, _meaning)
    _register_broadcasting(_stem, _combine, _meaning)
    _register_scalar(_stem, _combine, _meaning)
    if _stem in NOT_COMMUTATIVE:
        _register_scalar(_stem, _combine, _meaning, reflected=True)


@operator("add_n", aliases=("ElementWiseSum",), variadic="num_args", shapes=unify_shapes)
def add_n(*args: Expr) -> Expr:
    """The sum of all inputs, added from the first to the last."""
    reject_bool(*args)
    total = args[0]
    for x in args[1:]:
        total = total + x
    return total


@operator("_gradient_sum", variadic="num_args", shapes=unify_shapes)
def gradient_sum(*args: Expr) -> Expr:
    """The sum of what a value's readers say of its gradient; zeros among it cost nothing."""
    # What is true or false has no gradient, whatever its readers say.
    terms = [x for x in args if not is_zero(x) and x.dtype is not BOOL]
    if not terms:
        return full(0, args[0].shape, args[0].dtype)
    total = terms[0]
    for x in terms[1:]:
        total = total + x
    return total


def _where_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    branches = inputs[1:]
    unify_shapes(attributes, branches, outputs)
    inputs[1:] = branches


def _where_dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    known = next((d for d in (*inputs[1:], *outputs) if d is not None), None)
    inputs[1:], outputs[:] = [known, known], [known]


@operator("where", shapes=_where_shapes, dtypes=_where_dtypes)
def where_(condition: Expr, x: Expr, y: Expr) -> Expr:
    """``x`` where the condition is not zero, else ``y``.

    The condition has the shape of ``x``, or is a vector that chooses whole rows.
    """
    if x.shape != y.shape:
        raise LoweringError(f"x has shape {x.shape}, y has shape {y.shape}; they must be equal")
    holds = condition.differs(0)
    if condition.shape != x.shape:
        if len(condition.shape) != 1 or condition.shape[0] != x.shape[0]:
            raise LoweringError(
                f"condition has shape {condition.shape}; it needs {x.shape} or ({x.shape[0]},)"
            )
        holds = make("reshape", holds, shape=(x.shape[0],) + (1,) * (len(x.shape) - 1))
        holds = broadcast(holds, x.shape)
    return where(holds, x, y)
