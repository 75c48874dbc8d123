"""The torch table: what each primitive means, as calls that the CPU context prepares and replays.

`prepare` gives a step, a call without arguments that computes one expression into a tensor. Nothing
here knows of plans or buffers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from .exactness import keeping
from .expr import VIEWS, Expr, constant_value
from .philox import RandomState, drawing, fill_uniform
from .sums import summing
from .walks import toposort

Tensor = torch.Tensor
# torch computes these a little differently at the end of a row than within it, so that cutting a
# row into pieces can change the last bit.
_POSITION_DEPENDENT = frozenset(
    ("sigmoid", "sinh", "cosh", "arctanh", "pow", "hypot", "gelu", "gelu_backward")
)
# It does not where all pieces but the last have a multiple of this many elements, which is what
# torch's loops take at once at most.
VECTOR = 64
Step = Callable[[], object]
Prepare = Callable[[Expr, Sequence[Tensor], Tensor], Step]


def depends_on_position(x: Expr) -> bool:
    """Whether an element's last bit depends on where its vector begins."""
    name = x["name"] if x.primitive == "native" else x.primitive
    return name in _POSITION_DEPENDENT


def _call(function: Callable[..., Tensor]) -> Prepare:
    """A torch function that takes the inputs in order and writes to ``out``."""
    return lambda x, inputs, out: partial(function, *inputs, out=out)


def _copied(function: Callable[..., Tensor]) -> Prepare:
    """A function of the inputs that has no ``out``: its result is copied."""

    def prepare(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
        return lambda: out.copy_(function(*inputs))

    return prepare


def _compare(function: Callable[..., Tensor], in_numpy: np.ufunc) -> Prepare:
    """numpy's: torch compares element by element where the result is bool."""

    def prepare(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
        if inputs[0].dtype in (torch.float16, torch.bfloat16):  # numpy's slow one, and none at all
            return partial(function, *inputs, out=out)
        return partial(in_numpy, *(data.numpy() for data in inputs), out=out.numpy())

    return prepare


def _extreme(function: Callable[..., Tensor]) -> Prepare:
    """Which of +0 and -0 torch returns depends on the position; adding 0 makes it always +0."""

    def prepare(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
        arguments = (*inputs, x.integers("axes"), True) if len(inputs) == 1 else tuple(inputs)
        if not x.dtype.is_float:
            return partial(function, *arguments, out=out)

        def step() -> object:
            function(*arguments, out=out)
            return out.add_(0.0)

        return step

    return prepare


def _divide(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    if x.dtype.is_float:
        return partial(torch.div, *inputs, out=out)
    return lambda: out.copy_(_integer_divide(*inputs))


def _integer_divide(a: Tensor, b: Tensor) -> Tensor:
    """Quotient towards zero; 0 for a zero divisor. -1 is kept from the divider, which traps."""
    safe = torch.where((b == 0) | (b == _minus_one(b)), torch.ones_like(b), b)
    quotient = torch.div(a, safe, rounding_mode="trunc")
    quotient = torch.where(b == _minus_one(b), -a, quotient) if b.dtype.is_signed else quotient
    return torch.where(b == 0, torch.zeros_like(quotient), quotient)


def _modulo(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    return _copied(_float_modulo if x.dtype.is_float else _integer_modulo)(x, inputs, out)


def _float_modulo(a: Tensor, b: Tensor) -> Tensor:
    """Remainder with the divisor's sign; 0 for a zero divisor."""
    # torch's remainder is NaN for large quotients, C's, which numpy calls, is exact.
    wide = (a.float(), b.float()) if a.dtype is torch.bfloat16 else (a, b)
    with np.errstate(all="ignore"):
        remainder = torch.from_numpy(np.asarray(np.fmod(*(v.numpy() for v in wide)))).to(a.dtype)
    # MXNet adds 0 where it does not add the divisor, which makes -0 a +0.
    moved = remainder + torch.where(remainder != 0, b, torch.zeros_like(b))
    result = torch.where((a < 0) == (b < 0), remainder, moved)
    return torch.where(b == 0, torch.zeros_like(result), result)


def _integer_modulo(a: Tensor, b: Tensor) -> Tensor:
    safe = torch.where((b == 0) | (b == _minus_one(b)), torch.ones_like(b), b)
    return torch.where(b == 0, torch.zeros_like(safe), torch.remainder(a, safe))


def _minus_one(b: Tensor) -> int:
    """-1, or for unsigned types a value that a zero test covers already."""
    return -1 if b.dtype.is_signed else 0


def _sign(data: Tensor) -> Tensor:
    """-1, 0 or 1; 0 for NaN and for both zeros, as comparisons give it."""
    return (data > 0).to(data.dtype) - (data < 0).to(data.dtype)


def _round(data: Tensor) -> Tensor:
    """To the nearest; halves away from zero; the sign of zero is kept."""
    truncated = torch.trunc(data)
    away = truncated + torch.copysign(torch.ones_like(data), data)
    rounded = torch.where((data - truncated).abs() >= 0.5, away, truncated)
    return torch.copysign(rounded, data)


def _rint(data: Tensor) -> Tensor:
    """To the nearest; halves towards minus infinity."""
    below, above = torch.floor(data), torch.ceil(data)
    return torch.where(data - below <= above - data, below, above)


def _exact(function: Callable[..., Any], data: Tensor) -> Tensor:
    """A function of numpy, in float64 where numpy lacks the dtype or rounds it twice."""
    wide = data.double() if data.dtype in (torch.float16, torch.bfloat16) else data
    with np.errstate(all="ignore"):
        return torch.from_numpy(np.asarray(function(wide.numpy()))).to(data.dtype)


def _error_function(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    """torch's own loses bits, and small arguments, of 16-bit floats."""
    if not x.dtype.is_reduced:
        return partial(torch.erf, *inputs, out=out)
    return lambda: out.copy_(torch.erf(inputs[0].float()))


def _cube_root(data: Tensor) -> Tensor:
    return _exact(np.cbrt, data)


def _sqrt(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    """numpy's: torch hands long rows to a library that is off by one unit in the last place."""
    if x.dtype.is_reduced:
        return partial(torch.sqrt, *inputs, out=out)
    data, result = inputs[0].numpy(), out.numpy()

    def step() -> object:
        with np.errstate(invalid="ignore"):
            return np.sqrt(data, out=result)

    return step


def _reciprocal_square_root(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    """1 / sqrt(x), each rounded, as torch has it too; -0 gives -inf as in MXNet."""
    (data,) = inputs
    if not x.dtype.is_reduced:
        return partial(torch.rsqrt, data, out=out)
    return lambda: out.copy_(torch.reciprocal(_exact(np.sqrt, data)))


def _cast(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    (data,) = inputs
    if data.dtype is torch.bool:  # bytes of 0 and 1, which torch converts many at a time
        return partial(out.copy_, data.view(torch.uint8))
    if not (data.dtype.is_floating_point and x.dtype.is_integer and x.dtype.itemsize == 1):
        return partial(out.copy_, data)
    # C converts by way of a 32-bit integer, whose lowest byte is kept.
    return lambda: out.copy_(data.to(torch.int32))


def _sum(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    return summing(inputs[0], x.integers("axes"), out)


def _product(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    """torch multiplies along one axis at a time; the reduced ones are brought together first."""
    axes = x.integers("axes")
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    joined = math.prod(inputs[0].shape[axis] for axis in axes)

    def step() -> object:
        moved = inputs[0].permute(*kept, *axes).reshape(*(out.shape[i] for i in kept), joined)
        return out.copy_(torch.prod(moved, -1, dtype=out.dtype).reshape(out.shape))

    return step


def _argument(function: Callable[..., Tensor]) -> Prepare:
    def prepare(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
        (axis,) = x.integers("axes")
        return partial(function, inputs[0], axis, keepdim=True, out=out)

    return prepare


def _view(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    """A movement whose result could not be a view: the view is copied."""
    return partial(out.copy_, view(x, inputs[0]))


def view(x: Expr, data: Tensor) -> Tensor:
    """The movement ``x`` of a tensor, sharing its memory where strides allow it."""
    match x.primitive:
        case "reshape":
            return data.reshape(x.shape)
        case "permute":
            return data.permute(x.integers("axes"))
        case "expand":
            return data.expand(x.shape)
        case _:
            bounds = map(slice, x.integers("starts"), x.integers("stops"), x.integers("steps"))
            return data[tuple(bounds)]


def _reshape(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    """Copied in the input's shape, which the result's contiguous memory has as well."""
    return partial(out.view(inputs[0].shape).copy_, inputs[0])


def _flip(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    return lambda: out.copy_(torch.flip(inputs[0], x.integers("axes")))


def _concat(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    return partial(torch.cat, tuple(inputs), x.integer("axis"), out=out)


def on_reshaped(data: Tensor, shape: Sequence[int], prepare: Callable[[Tensor], Step]) -> Step:
    """A step on a tensor in another shape: prepared at once where that is a view of its memory.

    Where it is not, the elements are copied at every run, when they are there.
    """
    try:
        return prepare(data.view(*shape))
    except RuntimeError:
        copied = torch.empty(*shape, dtype=data.dtype, device=data.device)
        step, place = prepare(copied), copied.view(data.shape)

    def copy_and_step() -> object:
        place.copy_(data)
        return step()

    return copy_and_step


def _turned(x: Expr, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    a, b = inputs
    return a.mT if x["transpose_a"] else a, b.mT if x["transpose_b"] else b


def _dot(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    a, b = _turned(x, inputs)
    if a.shape[-1] == 0:
        return out.zero_
    precision = str(x["precision"] or "ieee")
    if out.ndim == 2:
        return keeping(precision, partial(torch.mm, a, b, out=out), out)
    flat = out.view(-1, *out.shape[-2:])
    step = on_reshaped(
        a,
        (flat.shape[0], *a.shape[-2:]),
        lambda left: on_reshaped(
            b,
            (flat.shape[0], *b.shape[-2:]),
            lambda right: partial(torch.bmm, left, right, out=flat),
        ),
    )
    return keeping(precision, step, out)


def _dot_parts(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    a, b = _turned(x, inputs)
    sizes = x.integer("length")
    parts = list(zip(torch.split(a, sizes, -1), torch.split(b, sizes, -2), out, strict=True))

    def step() -> None:
        for left, right, place in parts:
            torch.matmul(left.to(place.dtype), right.to(place.dtype), out=place)

    return step


def _take(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    data, indices = inputs
    axis = x.integer("axis")
    flat = out.view(*data.shape[:axis], indices.numel(), *data.shape[axis + 1 :])
    if indices.is_contiguous():
        return partial(torch.index_select, data, axis, indices.view(-1), out=flat)
    return lambda: torch.index_select(data, axis, indices.reshape(-1), out=flat)


def _pick(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    return partial(torch.gather, inputs[0], x.integer("axis"), inputs[1], out=out)


def _take_add(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    data, indices = inputs
    axis = x.integer("axis")
    shape = (*x.shape[:axis], indices.numel(), *x.shape[axis + 1 :])

    def step() -> object:
        out.zero_()
        source = data.reshape(shape)
        if out.is_cuda:  # the one that adds in a fixed order there
            places, parts = out.movedim(axis, 0), source.movedim(axis, 0)
            return places.index_put_((indices.reshape(-1),), parts, accumulate=True)
        return out.index_add_(axis, indices.reshape(-1), source)

    return step


def _pick_add(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    (data, indices), axis = inputs, x.integer("axis")
    # The call needs indices of 64 bits: narrower ones are converted some thousands at a time.
    count = max(1, indices.numel() >> 16) if axis and indices.dtype != torch.int64 else 1
    parts = list(zip(*(torch.chunk(t, count) for t in (out, indices, data)), strict=True))

    # Every coordinate of a place but that along the axis.
    others = [torch.tensor(x, device=out.device) for x in np.ix_(*map(np.arange, indices.shape))]

    def step() -> None:
        out.zero_()
        if out.is_cuda:  # the one that adds in a fixed order there
            coordinates = (*others[:axis], indices.long(), *others[axis + 1 :])
            out.index_put_(coordinates, data, accumulate=True)
            return
        for results, places, values in parts:
            results.scatter_add_(axis, places.long(), values)

    return step


def _argsort(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    (data,) = inputs
    axis, descending = x.integer("axis"), bool(x["descending"])

    def step() -> object:
        # The order of the negatives has NaN last as well; integers have no NaN and may overflow.
        turned = descending and data.dtype.is_floating_point
        keys = -data if turned else data
        found = torch.argsort(keys, dim=axis, descending=descending and not turned, stable=True)
        return out.copy_(found)

    return step


def _iota(x: Expr, inputs: Sequence[Tensor], out: Tensor, first: int = 0) -> Step:
    axis = x.integer("axis")
    shape = [1] * len(x.shape)
    shape[axis] = out.shape[axis]
    return partial(out.copy_, torch.arange(first, first + out.shape[axis]).view(shape))


def _random(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    return partial(fill_uniform, out, inputs[0], x.integer("stream"))


def prepare_tile(x: Expr, inputs: Sequence[Tensor], out: Tensor, start: int) -> Step:
    """`prepare` for a part of the elements, one after the other from the position ``start``.

    The part of an ``iota`` has as many axes as the whole.
    """
    if x.primitive == "random":
        return partial(fill_uniform, out, inputs[0], x.integer("stream"), start)
    if x.primitive == "iota":
        axis = x.integer("axis")
        return _iota(x, inputs, out, start // math.prod(x.shape[axis + 1 :]) % x.shape[axis])
    return prepare(x, inputs, out)


def _native(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    function = x["function"]
    assert callable(function)
    step: Step = function(x["attributes"], list(inputs), out)
    return step


TORCH: dict[str, Prepare] = {
    "neg": _call(torch.neg),
    "abs": _call(torch.abs),
    "sign": _copied(_sign),
    "add": _call(torch.add),
    "sub": _call(torch.sub),
    "mul": _call(torch.mul),
    "div": _divide,
    "mod": _modulo,
    "pow": _call(torch.pow),
    "maximum": _extreme(torch.maximum),
    "minimum": _extreme(torch.minimum),
    "floor": _call(torch.floor),
    "ceil": _call(torch.ceil),
    "trunc": _call(torch.trunc),
    "round": _copied(_round),
    "rint": _copied(_rint),
    "exp": _call(torch.exp),
    "expm1": _call(torch.expm1),
    "log": _call(torch.log),
    "log2": _call(torch.log2),
    "log10": _call(torch.log10),
    "log1p": _call(torch.log1p),
    "sqrt": _sqrt,
    "rsqrt": _reciprocal_square_root,
    "cbrt": _copied(_cube_root),
    "sigmoid": _call(torch.sigmoid),
    "erf": _error_function,
    "sin": _call(torch.sin),
    "cos": _call(torch.cos),
    "tan": _call(torch.tan),
    "arcsin": _call(torch.asin),
    "arccos": _call(torch.acos),
    "arctan": _call(torch.atan),
    "sinh": _call(torch.sinh),
    "cosh": _call(torch.cosh),
    "tanh": _call(torch.tanh),
    "arcsinh": _call(torch.asinh),
    "arccosh": _call(torch.acosh),
    "arctanh": _call(torch.atanh),
    "gammaln": _call(torch.lgamma),
    "hypot": _call(torch.hypot),
    "eq": _compare(torch.eq, np.equal),
    "ne": _compare(torch.ne, np.not_equal),
    "lt": _compare(torch.lt, np.less),
    "le": _compare(torch.le, np.less_equal),
    "gt": _compare(torch.gt, np.greater),
    "ge": _compare(torch.ge, np.greater_equal),
    "and": _call(torch.logical_and),
    "or": _call(torch.logical_or),
    "not": _call(torch.logical_not),
    "where": _call(torch.where),
    "cast": _cast,
    "sum": _sum,
    "prod": _product,
    "max": _extreme(torch.amax),
    "min": _extreme(torch.amin),
    "argmax": _argument(torch.argmax),
    "argmin": _argument(torch.argmin),
    "reshape": _reshape,
    "permute": _view,
    "expand": _view,
    "slice": _view,
    "flip": _flip,
    "concat": _concat,
    "dot": _dot,
    "dot_parts": _dot_parts,
    "take": _take,
    "take_add": _take_add,
    "pick": _pick,
    "pick_add": _pick_add,
    "argsort": _argsort,
    "iota": _iota,
    "random": _random,
    "native": _native,
}


def prepare(x: Expr, inputs: Sequence[Tensor], out: Tensor) -> Step:
    """A call that computes ``x`` from the tensors of its inputs into ``out``.

    The tensors have the expressions' shapes, or for elementwise primitives all one other shape
    (a tile of them). ``out`` may be the memory of an input of the same strides where ``x`` is
    elementwise.
    """
    return TORCH[x.primitive](x, inputs, out)


def scalar(x: Expr) -> Tensor:
    """The 0-d tensor of a constant."""
    return torch.tensor(constant_value(x), dtype=x.dtype.torch)


def evaluate(x: Expr, inputs: Sequence[Tensor]) -> Tensor:
    """``x`` in a new tensor; what the planned execution is compared with."""
    if x.primitive == "constant":
        return scalar(x)
    out = torch.empty(x.shape, dtype=x.dtype.torch)
    prepare(x, inputs, out)()
    return out


def run(outputs: Sequence[Expr], inputs: Sequence[Tensor], state: RandomState) -> list[Tensor]:
    """The values of expressions, node by node and each in memory of its own.

    Args:
        outputs: what is wanted.
        inputs: the tensors that ``input`` expressions name by their index.
        state: where random numbers are drawn from.
    """
    values: dict[Expr, Tensor] = {}
    order = toposort(outputs)
    # What is not read any more is not kept.
    last: dict[Expr, Expr | None] = {y: x for x in order for y in x.inputs}
    last.update(dict.fromkeys(outputs))
    for x in order:
        if x.primitive == "input":
            values[x] = inputs[x.integer("index")]
        elif x.primitive == "draw":
            values[x] = torch.zeros(x.shape, dtype=x.dtype.torch)
            drawing(values[x], state)()
        elif x.primitive in VIEWS:
            values[x] = view(x, values[x.inputs[0]])
        else:
            values[x] = evaluate(x, [values[y] for y in x.inputs])
        for y in set(x.inputs):
            if last[y] is x:
                del values[y]
    # An output that shares memory with an input or with another output is a copy.
    taken = {tensor.untyped_storage().data_ptr() for tensor in inputs}
    results: list[Tensor] = []
    for x in outputs:
        value = values[x]
        if value.untyped_storage().data_ptr() in taken or not value.is_contiguous():
            value = value.clone(memory_format=torch.contiguous_format)
        taken.add(value.untyped_storage().data_ptr())
        results.append(value)
    return results


def evaluate_within(
    body: Sequence[Expr],
    wanted: Sequence[Expr],
    known: Mapping[Expr, Tensor],
    rounded: Callable[[Expr, Sequence[Tensor], Tensor], Tensor] = lambda x, inputs, value: value,
) -> list[Tensor]:
    """The values of a kernel's expressions, from those of what it reads.

    ``rounded`` says what becomes of each value that is computed from its inputs.
    """
    values = dict(known)

    def value(x: Expr) -> Tensor:
        if x not in values:
            values[x] = scalar(x) if x.primitive == "constant" else view(x, value(x.inputs[0]))
        return values[x]

    for x in body:
        inputs = [value(y) for y in x.inputs]
        values[x] = rounded(x, inputs, evaluate(x, inputs))
    return [values[x] for x in wanted]
