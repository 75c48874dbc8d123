"""The math of generated kernels: each elementwise primitive as a function of blocks, reductions.

Blocks hold float32, float64, integers or int1; the 16-bit floats exist only between `cast` and
memory. Triton compiles these functions or, where TRITON_INTERPRET is set before it is imported,
runs them on numpy arrays. What libdevice computes in the one case torch and numpy compute in the
other; all else is shared. What each primitive means is told by `reference.TORCH`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import libdevice

Function = Callable[..., Any]

INTERPRETED: bool = triton.knobs.runtime.interpret

if INTERPRETED:
    from triton.runtime.interpreter import TensorHandle

    def _function(function: Function) -> Function:
        """Called as it is, within a kernel: each call of a jitted one patches Triton anew."""
        return np.errstate(all="ignore")(function)

    def _library(compiled: Function, interpreted: Function, dtype: tl.dtype = None) -> Function:
        """The function of arrays ``interpreted`` on blocks; the result's dtype if it changes."""

        def function(*blocks: tl.tensor) -> tl.tensor:
            with np.errstate(all="ignore"):
                data = interpreted(*(x.handle.data for x in blocks))
            return _block(data, dtype or blocks[0].dtype, any(x.type.is_block() for x in blocks))

        return function

    def _block(data: np.ndarray[Any, Any], dtype: tl.dtype, is_block: bool) -> tl.tensor:
        kind = tl.block_type(dtype, list(data.shape)) if is_block else dtype
        return tl.tensor(TensorHandle(data, dtype), kind)

else:
    _function = triton.jit

    def _library(compiled: Function, interpreted: Function, dtype: tl.dtype = None) -> Function:
        """A function of libdevice, which kernels call as it is."""
        return compiled


def _torch(function: Callable[..., torch.Tensor]) -> Function:
    """A torch function as one of numpy arrays."""
    return lambda *arrays: function(*map(torch.tensor, arrays)).numpy()


# ---- conversions -------------------------------------------------------------------------------


@_function
def _narrowed(x: tl.tensor) -> tl.tensor:
    return x.to(tl.bfloat16)


@_function
def _widened(x: tl.tensor) -> tl.tensor:
    return x.to(tl.float32)


# The interpreter keeps bfloat16 as uint16, and converts it without rounding.
_narrow = _library(
    _narrowed, lambda data: torch.tensor(data).bfloat16().view(torch.uint16).numpy(), tl.bfloat16
)
_widen = _library(
    _widened, lambda data: torch.tensor(data).view(torch.bfloat16).float().numpy(), tl.float32
)


@_function
def pointer(place: tl.tensor, dtype: tl.constexpr, alignment: tl.constexpr) -> tl.tensor:
    """The memory whose address lies at a place; the address is a multiple of ``alignment``."""
    return tl.multiple_of(tl.load(place).to(tl.pointer_type(dtype)), alignment)


@_function
def cast(x: tl.tensor, dtype: tl.constexpr) -> tl.tensor:
    """The same values as ``dtype``, as the CPU converts them."""
    if x.dtype == dtype:
        return x
    elif x.dtype == tl.bfloat16:
        return cast(_widen(x), dtype)
    elif dtype == tl.int1:
        return x != 0
    elif dtype == tl.bfloat16:
        return _narrow(x.to(tl.float32))
    elif dtype == tl.float16:
        return x.to(tl.float32).to(tl.float16)
    elif x.dtype.is_floating() and dtype == tl.int64:
        return _representable(x, -9223372036854775808.0).to(tl.int64)
    elif x.dtype.is_floating() and (dtype == tl.int32 or dtype == tl.int8 or dtype == tl.uint8):
        return _representable(x, -2147483648.0).to(tl.int32).to(dtype)
    else:
        return x.to(dtype)


@_function
def _representable(x: tl.tensor, lowest: tl.constexpr) -> tl.tensor:
    """``x``, or ``lowest`` where it is NaN or no integer of this range is meant."""
    return tl.where((x >= lowest) & (x < -lowest), x, lowest)


# ---- constants ---------------------------------------------------------------------------------


@_function
def _unknown(x: tl.tensor) -> tl.tensor:
    return tl.inline_asm_elementwise("mov.f32 $0, $1;", "=f,f", [x], x.dtype, True, 1)


# A subnormal constant of float32, whose value no compiler knows. Triton 3.6 to 3.8 die of a
# segmentation fault where they do: libdevice asks whether subnormals count as zero, and LLVM, as it
# puts in the answer, computes what follows of such a constant and looks at what it has deleted.
subnormal = _library(_unknown, lambda data: data)


# ---- arithmetic --------------------------------------------------------------------------------

_divide = _library(libdevice.div_rn, np.divide)
_remainder = _library(libdevice.fmod, np.fmod)
_power = _library(libdevice.pow, _torch(torch.pow))
_copy_sign = _library(libdevice.copysign, np.copysign)
_reciprocal = _library(libdevice.rcp_rn, np.reciprocal)


@_function
def neg(x: tl.tensor) -> tl.tensor:
    # Triton 3.6 subtracts from 0, which makes no -0.
    return x * -1.0 if x.dtype.is_floating() else -x


@_function
def abs(x: tl.tensor) -> tl.tensor:
    return tl.abs(x)


@_function
def sign(x: tl.tensor) -> tl.tensor:
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


@_function
def add(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return x | y if x.dtype == tl.int1 else x + y


@_function
def sub(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return x - y


@_function
def mul(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return x * y


@_function
def div(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    """The quotient, of integers towards zero and 0 for a zero divisor."""
    if x.dtype.is_floating():
        return _divide(x, y)
    else:
        quotient = tl.where(_is_minus_one(y), -x, x // _safe(y))
        return tl.where(y == 0, 0, quotient)


@_function
def div_by_few(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    """The quotient to two last places; its divisors are fewer, and each has one reciprocal.

    Divisors whose reciprocal would be infinite are made larger before, and so is what is divided.
    """
    scale = tl.where(tl.abs(y) < 2.0**-100, 2.0**64, 1.0).to(tl.float32)
    return (x * scale) * _reciprocal(y * scale)


@_function
def mod(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    """The remainder with the divisor's sign; 0 for a zero divisor."""
    if x.dtype.is_floating():
        remainder = _remainder(x, y)
        # MXNet adds 0 where it does not add the divisor, which makes -0 a +0.
        moved = remainder + tl.where(remainder != 0, y, 0.0)
        result = tl.where((x < 0) == (y < 0), remainder, moved)
        return tl.where(y == 0, 0.0, result)
    else:
        divisor = _safe(y)
        remainder = x % divisor
        moved = (remainder != 0) & ((remainder < 0) != (divisor < 0))
        return tl.where(moved, remainder + divisor, remainder)


@_function
def _is_minus_one(x: tl.tensor) -> tl.tensor:
    return x == -1 if x.dtype.is_int_signed() else x != x


@_function
def _safe(divisor: tl.tensor) -> tl.tensor:
    """1 instead of 0, which has no quotients, and of -1, whose quotients can overflow."""
    return tl.where((divisor == 0) | _is_minus_one(divisor), 1, divisor)


@_function
def pow(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    """``x`` to the power of ``y``, of integers exact and wrapping around as products do."""
    if x.dtype.is_floating():
        inverse, found = _reciprocal(x), _power(x, y)  # libdevice's ends at the largest number
        infinite = tl.where(tl.abs(inverse) == float("inf"), inverse, found)
        return tl.where(y == -1, infinite, found)
    else:
        base, exponent = tl.broadcast(x, y)
        result = tl.full(base.shape, 1, base.dtype)
        for _ in range(base.dtype.primitive_bitwidth):
            result = tl.where((exponent & 1) != 0, result * base, result)
            base = base * base
            exponent = exponent >> 1
        if x.dtype.is_int_signed():
            # The reciprocals of 1 and -1 are integers; all others are truncated to 0.
            inverse = tl.where(x == 1, 1, tl.where(x == -1, 1 - 2 * (y & 1), 0))
            return tl.where(y < 0, inverse.to(x.dtype), result)
        else:
            return result


@_function
def positive_zero(x: tl.tensor) -> tl.tensor:
    """+0 instead of -0, and every other value as it is."""
    return x + 0.0 if x.dtype.is_floating() else x


@_function
def maximum(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return positive_zero(max_combine(x, y))


@_function
def minimum(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return positive_zero(min_combine(x, y))


# ---- rounding ----------------------------------------------------------------------------------

floor = _library(libdevice.floor, np.floor)
ceil = _library(libdevice.ceil, np.ceil)
trunc = _library(libdevice.trunc, np.trunc)


@_function
def round(x: tl.tensor) -> tl.tensor:
    """To the nearest; halves away from zero; the sign of zero is kept."""
    truncated = trunc(x)
    half = tl.abs(x - truncated) >= 0.5
    return _copy_sign(tl.where(half, truncated + sign(x), truncated), x)


@_function
def rint(x: tl.tensor) -> tl.tensor:
    """To the nearest; halves towards minus infinity."""
    below = floor(x)
    above = ceil(x)
    return tl.where(x - below <= above - x, below, above)


# ---- functions of floats -----------------------------------------------------------------------

exp = _library(libdevice.exp, _torch(torch.exp))
expm1 = _library(libdevice.expm1, _torch(torch.expm1))
log = _library(libdevice.log, _torch(torch.log))
log10 = _library(libdevice.log10, _torch(torch.log10))
log1p = _library(libdevice.log1p, _torch(torch.log1p))
sqrt = _library(libdevice.sqrt_rn, np.sqrt)
cbrt = _library(libdevice.cbrt, np.cbrt)
erf = _library(libdevice.erf, _torch(torch.erf))
sin = _library(libdevice.sin, _torch(torch.sin))
cos = _library(libdevice.cos, _torch(torch.cos))
tan = _library(libdevice.tan, _torch(torch.tan))
arcsin = _library(libdevice.asin, _torch(torch.asin))
arccos = _library(libdevice.acos, _torch(torch.acos))
arctan = _library(libdevice.atan, _torch(torch.atan))
sinh = _library(libdevice.sinh, _torch(torch.sinh))
cosh = _library(libdevice.cosh, _torch(torch.cosh))
tanh = _library(libdevice.tanh, _torch(torch.tanh))
arcsinh = _library(libdevice.asinh, _torch(torch.asinh))
arccosh = _library(libdevice.acosh, _torch(torch.acosh))
arctanh = _library(libdevice.atanh, _torch(torch.atanh))
gammaln = _library(libdevice.lgamma, _torch(torch.lgamma))
_hypot = _library(libdevice.hypot, _torch(torch.hypot))
_log2 = _library(libdevice.log2, _torch(torch.log2))


@_function
def hypot(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    """Where one does not count it is the other: libdevice's is infinite for the largest number."""
    x, y = tl.abs(x), tl.abs(y)
    found = tl.where(y <= x * 2.0**-28, x, _hypot(x, y))
    return tl.where(x <= y * 2.0**-28, y, found)


@_function
def log2(x: tl.tensor) -> tl.tensor:
    """Exact for powers of two, as libdevice's of float64 is not."""
    found = _log2(x)
    if x.dtype == tl.float64:
        tiny = x < 2.0**-1022
        bits = tl.where(tiny, x * 2.0**54, x).to(tl.int64, bitcast=True)
        # From the square root of a half on, so that the logarithm of the rest is small.
        exponent = (bits - 0x3FE6A09E667F3BCD) >> 52
        rest = (bits - (exponent << 52)).to(tl.float64, bitcast=True)
        parts = exponent.to(tl.float64) + log(rest) * 1.4426950408889634
        found = tl.where((x > 0) & (x < float("inf")), tl.where(tiny, parts - 54, parts), found)
    return found


@_function
def rsqrt(x: tl.tensor) -> tl.tensor:
    return _reciprocal(sqrt(x))


@_function
def sigmoid(x: tl.tensor) -> tl.tensor:
    return _reciprocal(exp(neg(x)) + 1.0)


# ---- comparisons, logic and choice -------------------------------------------------------------


@_function
def eq(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return x == y


@_function
def ne(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return x != y


@_function
def lt(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return x < y


@_function
def le(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return x <= y


@_function
def gt(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return x > y


@_function
def ge(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return x >= y


@_function
def _both(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return x & y


@_function
def _either(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return x | y


@_function
def _choice(condition: tl.tensor, x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return tl.where(condition, x, y)


# The interpreter cannot repeat a single int1 along a block.
and_ = _library(_both, np.logical_and, tl.int1)
or_ = _library(_either, np.logical_or, tl.int1)


@_function
def not_(x: tl.tensor) -> tl.tensor:
    return ~x


if INTERPRETED:

    @_function
    def where(condition: tl.tensor, x: tl.tensor, y: tl.tensor) -> tl.tensor:
        """``x`` where the condition holds, else ``y``."""
        data = np.where(condition.handle.data, x.handle.data, y.handle.data)
        is_block = any(block.type.is_block() for block in (condition, x, y))
        return _block(data, x.dtype, is_block)

else:
    where = _choice


# ---- reductions --------------------------------------------------------------------------------

if INTERPRETED:

    def reduce(
        blocks: tl.tensor, axis: int, combine: Function, keep_dims: bool = False
    ) -> tl.tensor | tuple[tl.tensor, ...]:
        """`tl.reduce`, but of whole blocks: the interpreter's combines element by element."""
        folded = blocks if isinstance(blocks, tuple) else (blocks,)
        while (length := folded[0].handle.data.shape[axis]) > 1:
            halves = [
                _block(half, x.dtype, True)
                for part in (slice(0, length // 2), slice(length // 2, length))
                for x in folded
                for half in (np.take(x.handle.data, range(length)[part], axis),)
            ]
            combined = combine(*halves)
            folded = combined if isinstance(combined, tuple) else (combined,)
        arrays = [x.handle.data if keep_dims else x.handle.data.squeeze(axis) for x in folded]
        # The interpreter's scalars are arrays of one element.
        results = tuple(
            _block(np.atleast_1d(data), x.dtype, data.ndim > 0)
            for data, x in zip(arrays, folded, strict=True)
        )
        return results if isinstance(blocks, tuple) else results[0]

else:
    reduce = tl.reduce


@_function
def sum_combine(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return add(x, y)


@_function
def prod_combine(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return x * y


@_function
def max_combine(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    """The larger, or NaN; `positive_zero` is for the end result."""
    return tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)


@_function
def min_combine(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    """The smaller, or NaN; `positive_zero` is for the end result."""
    return tl.minimum(x, y, propagate_nan=tl.PropagateNan.ALL)


@_function
def argmax_combine(x: tl.tensor, i: tl.tensor, y: tl.tensor, j: tl.tensor) -> tl.tensor:
    """Of two values with their indices the larger, or NaN; of equal ones the first."""
    return _chosen(x, i, y, j, x > y)


@_function
def argmin_combine(x: tl.tensor, i: tl.tensor, y: tl.tensor, j: tl.tensor) -> tl.tensor:
    """Of two values with their indices the smaller, or NaN; of equal ones the first."""
    return _chosen(x, i, y, j, x < y)


@_function
def _chosen(x: tl.tensor, i: tl.tensor, y: tl.tensor, j: tl.tensor, better: tl.tensor) -> tl.tensor:
    x_is_nan = x != x
    y_is_nan = y != y
    equal = (x == y) | (x_is_nan & y_is_nan)
    keep = better | (x_is_nan & ~y_is_nan) | (equal & (i < j))
    return tl.where(keep, x, y), tl.where(keep, i, j)


# ---- matrix products ---------------------------------------------------------------------------

if INTERPRETED:

    @_function
    def dot(left: tl.tensor, right: tl.tensor, total: tl.tensor, precision: str) -> tl.tensor:
        """``total`` and the product of two blocks, as tensor cores would have rounded it."""
        kind = total.dtype
        left, right = cast(left, kind), cast(right, kind)
        if precision == "ieee":
            return total + _matmul(left, right)
        left_head, right_head = _tf32(left), _tf32(right)
        if precision == "tf32x3":
            left_tail, right_tail = _tf32(left - left_head), _tf32(right - right_head)
            total = total + _matmul(left_tail, right_head) + _matmul(left_head, right_tail)
        return total + _matmul(left_head, right_head)

    def _matmul(left: tl.tensor, right: tl.tensor) -> tl.tensor:
        return _block(left.handle.data @ right.handle.data, left.dtype, True)

    def _tf32(x: tl.tensor) -> tl.tensor:
        """The 11 leading bits of float32, rounded half away from zero."""
        bits = x.handle.data.view(np.uint32)
        finite = (bits & 0x7F800000) != 0x7F800000
        rounded = np.where(finite, (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000), bits)
        return _block(rounded.view(np.float32), x.dtype, True)

else:

    @_function
    def dot(
        left: tl.tensor, right: tl.tensor, total: tl.tensor, precision: tl.constexpr
    ) -> tl.tensor:
        """``total`` and the product of two blocks, on tensor cores where they are as exact.

        Bytes are multiplied with their sign: of a product only the lowest byte is kept, and that
        does not depend on it.
        """
        if left.dtype == tl.uint8:
            left = left.to(tl.int8, bitcast=True)
            right = right.to(tl.int8, bitcast=True)
        return tl.dot(left, right, total, input_precision=precision, out_dtype=total.dtype)
