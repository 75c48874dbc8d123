"""The expression graph: immutable, interned values of a closed set of primitives.

An `Expr` knows its shape and dtype from birth. What a primitive *means* stands in one table per
interpreter: `RULES` here (shape and dtype), `reference.TORCH` (its calls on the CPU).
"""

from __future__ import annotations

import functools
import math
import threading
import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import torch

from ..foundation.dtype import BOOL, FLOAT32, INT64, DType
from ..foundation.errors import LoweringError
from ..foundation.shape import Shape as Shape
from ..foundation.shape import broadcast_shapes as broadcast_shapes
from ..foundation.shape import check_array

Attributes = tuple[tuple[str, Hashable], ...]


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Expr:
    """One value: a primitive applied to other values. Equal expressions are the same object.

    Attributes:
        primitive: a key of `RULES`.
        inputs: the values that it is computed from.
        attributes: what else it depends on, as name and value pairs.
        shape, dtype: of the result. Only constants may have shape ``()``.
    """

    primitive: str
    inputs: tuple[Expr, ...]
    attributes: Attributes
    shape: Shape
    dtype: DType

    def __getitem__(self, name: str) -> Hashable:
        for key, value in self.attributes:
            if key == name:
                return value
        raise KeyError(name)

    def integers(self, name: str) -> tuple[int, ...]:
        """An attribute that is a tuple of integers."""
        value = self[name]
        assert isinstance(value, tuple)
        return value

    def integer(self, name: str) -> int:
        """An attribute that is one integer."""
        value = self[name]
        assert isinstance(value, int)
        return value

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def byte_count(self) -> int:
        """The bytes of all elements."""
        return self.size * self.dtype.itemsize

    @property
    def is_elementwise(self) -> bool:
        """Whether element i depends on element i of each input alone."""
        if self.primitive == "native":
            return self["elementwise"] is True
        return self.primitive in ELEMENTWISE

    def on(self, *inputs: Expr) -> Expr:
        """The same step on other inputs."""
        if inputs == self.inputs:
            return self
        return make(self.primitive, *inputs, **dict(self.attributes))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in self.attributes)
        return f"{self.primitive}({given}): {self.dtype}{list(self.shape)}"

    def __add__(self, other: Operand) -> Expr:
        return binary("add", self, other)

    def __radd__(self, other: Operand) -> Expr:
        return binary("add", other, self)

    def __sub__(self, other: Operand) -> Expr:
        return binary("sub", self, other)

    def __rsub__(self, other: Operand) -> Expr:
        return binary("sub", other, self)

    def __mul__(self, other: Operand) -> Expr:
        return binary("mul", self, other)

    def __rmul__(self, other: Operand) -> Expr:
        return binary("mul", other, self)

    def __truediv__(self, other: Operand) -> Expr:
        return binary("div", self, other)

    def __rtruediv__(self, other: Operand) -> Expr:
        return binary("div", other, self)

    def __mod__(self, other: Operand) -> Expr:
        return binary("mod", self, other)

    def __rmod__(self, other: Operand) -> Expr:
        return binary("mod", other, self)

    def __pow__(self, other: Operand) -> Expr:
        return binary("pow", self, other)

    def __rpow__(self, other: Operand) -> Expr:
        return binary("pow", other, self)

    def __neg__(self) -> Expr:
        return make("neg", self)

    def __lt__(self, other: Operand) -> Expr:
        return binary("lt", self, other)

    def __le__(self, other: Operand) -> Expr:
        return binary("le", self, other)

    def __gt__(self, other: Operand) -> Expr:
        return binary("gt", self, other)

    def __ge__(self, other: Operand) -> Expr:
        return binary("ge", self, other)

    def equals(self, other: Operand) -> Expr:
        """Elementwise ``==`` (Python's own stays identity, which interning makes structural)."""
        return binary("eq", self, other)

    def differs(self, other: Operand) -> Expr:
        """Elementwise ``!=``."""
        return binary("ne", self, other)

    def logical_and(self, other: Expr) -> Expr:
        return make("and", self, other)

    def logical_or(self, other: Expr) -> Expr:
        return make("or", self, other)

    def logical_not(self) -> Expr:
        return make("not", self)


# What elementwise functions take: Python numbers become constants.
Operand = Expr | float


# ---- the closed set: how each primitive's shape and dtype follow from its inputs ---------------

Result = tuple[Shape, DType]
Rule = Callable[[Sequence[Expr], dict[str, Hashable]], Result]


def _describe(inputs: Sequence[Expr]) -> str:
    return ", ".join(f"{x.dtype}{list(x.shape)}" for x in inputs)


def _common_dtype(inputs: Sequence[Expr]) -> DType:
    dtype = inputs[0].dtype
    for x in inputs[1:]:
        if x.dtype is not dtype:
            raise LoweringError(
                f"inputs have different dtypes ({_describe(inputs)}); there is no promotion: "
                "cast one of them"
            )
    return dtype


def _common_shape(inputs: Sequence[Expr]) -> Shape:
    """The one shape of elementwise operands; constants of shape () fit any."""
    shape: Shape = ()
    for x in inputs:
        if x.shape != shape and x.shape != ():
            if shape != ():
                raise LoweringError(f"inputs have different shapes ({_describe(inputs)})")
            shape = x.shape
    return shape


def _same(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    return _common_shape(inputs), _common_dtype(inputs)


def _floating(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    dtype = _common_dtype(inputs)
    if not dtype.is_float:
        raise LoweringError(f"needs a floating-point input, got {_describe(inputs)}")
    return _common_shape(inputs), dtype


def _compare(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    _common_dtype(inputs)
    return _common_shape(inputs), BOOL


def _logical(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    if _common_dtype(inputs) is not BOOL:
        raise LoweringError(f"needs bool inputs, got {_describe(inputs)}")
    return _common_shape(inputs), BOOL


def _where(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    if inputs[0].dtype is not BOOL:
        raise LoweringError(f"needs a bool condition, got {_describe(inputs)}")
    return _common_shape(inputs), _common_dtype(inputs[1:])


def _given(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    """Sources and `native` carry their result's shape and dtype as attributes."""
    shape, dtype = attributes["shape"], attributes["dtype"]
    assert isinstance(shape, tuple) and isinstance(dtype, DType)
    return shape, dtype


def _cast(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    dtype = attributes["dtype"]
    assert isinstance(dtype, DType)
    return inputs[0].shape, dtype


def _reduce(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    axes = attributes["axes"]
    assert isinstance(axes, tuple)
    (x,) = inputs
    return tuple(1 if i in axes else n for i, n in enumerate(x.shape)), x.dtype


def _argument(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    shape, _ = _reduce(inputs, attributes)
    return shape, INT64


def _scan(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    return inputs[0].shape, inputs[0].dtype


def _reshape(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    (x,) = inputs
    shape = attributes["shape"]
    assert isinstance(shape, tuple)
    if math.prod(shape) != x.size:
        raise LoweringError(f"cannot reshape array of size {x.size} into shape {shape}")
    return shape, x.dtype


def _permute(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    (x,) = inputs
    axes = attributes["axes"]
    assert isinstance(axes, tuple)
    if sorted(axes) != list(range(len(x.shape))):
        raise LoweringError(f"axes {axes} are no permutation of the axes of shape {x.shape}")
    return tuple(x.shape[axis] for axis in axes), x.dtype


def _expand(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    (x,) = inputs
    shape = attributes["shape"]
    assert isinstance(shape, tuple)
    fits = len(shape) == len(x.shape) and all(
        have in (1, want) for have, want in zip(x.shape, shape, strict=True)
    )
    if not fits:
        raise LoweringError(f"cannot broadcast shape {x.shape} to {shape}")
    return shape, x.dtype


def _slice(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    (x,) = inputs
    starts, stops, steps = attributes["starts"], attributes["stops"], attributes["steps"]
    assert isinstance(starts, tuple) and isinstance(stops, tuple) and isinstance(steps, tuple)
    ranges = [range(*bounds) for bounds in zip(starts, stops, steps, strict=True)]
    for places, length in zip(ranges, x.shape, strict=True):
        if places and not (min(places[0], places[-1]) >= 0 and max(places[0], places[-1]) < length):
            raise LoweringError(f"a slice from {starts} to {stops} does not lie within {x.shape}")
    return tuple(len(places) for places in ranges), x.dtype


def _concat(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    axis = attributes["axis"]
    assert isinstance(axis, int)
    dtype = _common_dtype(inputs)
    first = inputs[0].shape
    for x in inputs[1:]:
        if len(x.shape) != len(first) or any(
            i != axis and have != want
            for i, (have, want) in enumerate(zip(x.shape, first, strict=True))
        ):
            raise LoweringError(
                f"inputs must agree in every axis but {axis}, got {_describe(inputs)}"
            )
    total = sum(x.shape[axis] for x in inputs)
    return (*first[:axis], total, *first[axis + 1 :]), dtype


def _dot(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    a, b = inputs
    dtype = _common_dtype(inputs)
    (m, k) = a.shape[:-3:-1] if attributes["transpose_a"] else a.shape[-2:]
    (j, n) = b.shape[:-3:-1] if attributes["transpose_b"] else b.shape[-2:]
    if k != j or a.shape[:-2] != b.shape[:-2]:
        raise LoweringError(
            f"cannot multiply {_describe(inputs)}: the contracted lengths are {k} and {j}"
        )
    return (*a.shape[:-2], m, n), dtype


def _dot_parts(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    shape, dtype = _dot(inputs, attributes)
    depth, length = contracted(inputs[0], attributes["transpose_a"]), attributes["length"]
    assert isinstance(length, int)
    return (-(-depth // length), *shape), FLOAT32 if dtype.is_reduced else dtype


def contracted(a: Expr, transpose_a: Hashable) -> int:
    """How many products are summed up in a matrix product with this left operand."""
    return a.shape[-2 if transpose_a else -1]


def _take(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    data, indices = inputs
    axis = attributes["axis"]
    assert isinstance(axis, int)
    return (*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]), data.dtype


def _order(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    return inputs[0].shape, INT64


def _take_add(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    data, indices = inputs
    axis, length = attributes["axis"], attributes["length"]
    assert isinstance(axis, int) and isinstance(length, int)
    return (*data.shape[:axis], length, *data.shape[axis + len(indices.shape) :]), data.dtype


def _pick_add(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    axis, length = attributes["axis"], attributes["length"]
    assert isinstance(axis, int) and isinstance(length, int)
    shape = inputs[0].shape
    return (*shape[:axis], length, *shape[axis + 1 :]), inputs[0].dtype


def _pick(inputs: Sequence[Expr], attributes: dict[str, Hashable]) -> Result:
    data, indices = inputs
    return indices.shape, data.dtype


RULES: dict[str, Rule] = {
    # sources: a bound array, a scalar, which random numbers the run draws
    **dict.fromkeys(("input", "constant", "draw"), _given),
    # positions along an axis, uniform random numbers
    **dict.fromkeys(("iota", "random"), _given),
    # elementwise, any dtype
    **dict.fromkeys(("neg", "abs", "sign"), _same),
    **dict.fromkeys(("add", "sub", "mul", "div", "mod", "pow", "maximum", "minimum"), _same),
    # elementwise, floating point
    **dict.fromkeys(("floor", "ceil", "trunc", "round", "rint"), _floating),
    **dict.fromkeys(("exp", "expm1", "log", "log2", "log10", "log1p"), _floating),
    **dict.fromkeys(("sqrt", "rsqrt", "cbrt", "sigmoid", "erf"), _floating),
    **dict.fromkeys(("sin", "cos", "tan", "arcsin", "arccos", "arctan"), _floating),
    **dict.fromkeys(("sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh"), _floating),
    **dict.fromkeys(("gammaln", "hypot"), _floating),
    # elementwise, to or from bool
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), _compare),
    **dict.fromkeys(("and", "or", "not"), _logical),
    "where": _where,
    "cast": _cast,
    # reductions; the reduced axes stay, with length 1
    **dict.fromkeys(("sum", "prod", "max", "min"), _reduce),
    **dict.fromkeys(("argmax", "argmin"), _argument),
    # movement
    "reshape": _reshape,
    "permute": _permute,
    "expand": _expand,
    "slice": _slice,
    "flip": _scan,
    "concat": _concat,
    # contraction and indexing
    "dot": _dot,
    "dot_parts": _dot_parts,
    "take": _take,
    "take_add": _take_add,
    "pick": _pick,
    "pick_add": _pick_add,
    "argsort": _order,
    # one call of a vendor library, for what it does better
    "native": _given,
}

_ELEMENTWISE_RULES = (_same, _floating, _compare, _logical, _where, _cast)
ELEMENTWISE = frozenset(name for name, rule in RULES.items() if rule in _ELEMENTWISE_RULES)
PRODUCTS = frozenset(("dot", "dot_parts"))
REDUCTIONS = frozenset(name for name, rule in RULES.items() if rule in (_reduce, _argument))
VIEWS = frozenset(("reshape", "permute", "expand", "slice"))
SOURCES = frozenset(("input", "constant", "draw"))
# What each element is follows from its position alone.
GENERATED = frozenset(("iota", "random"))


# ---- making expressions ------------------------------------------------------------------------

_interned: weakref.WeakValueDictionary[Hashable, Expr] = weakref.WeakValueDictionary()
_interned_lock = threading.Lock()


def make(primitive: str, *inputs: Expr, **attributes: Hashable) -> Expr:
    """The expression of ``primitive`` on ``inputs``; the same object for the same arguments.

    This is where every shape of a graph is born, and where it is bounded.

    Raises:
        LoweringError: shapes or dtypes that the primitive cannot take, or a result that no array
            could hold.
    """
    shape, dtype = RULES[primitive](inputs, attributes)
    pairs = tuple(attributes.items())
    key = (primitive, inputs, pairs)
    with _interned_lock:
        found = _interned.get(key)
        if found is None:
            check_array(shape, dtype.itemsize)
            found = _interned[key] = Expr(primitive, inputs, pairs, shape, dtype)
    return found


def input_(index: int, shape: Shape, dtype: DType) -> Expr:
    """The ``index``-th array that the graph is bound to."""
    return make("input", index=index, shape=shape, dtype=dtype)


def constant(value: float, dtype: DType) -> Expr:
    """A scalar of shape (), rounded to ``dtype`` as a C conversion does it."""
    return make("constant", value=_literal(value, dtype), shape=(), dtype=dtype)


def constant_value(x: Expr) -> float | int | bool:
    """The number that a constant holds."""
    text = str(x["value"])
    return float.fromhex(text) if x.dtype.is_float else int(text)


@functools.lru_cache(maxsize=4096)
def _rounded(text: str, dtype: DType) -> str:
    """A float's text, rounded to ``dtype``; keyed by text, since 0.0 and -0.0 are equal."""
    exact = torch.tensor(float.fromhex(text), dtype=torch.float64)
    return float(exact.to(dtype.torch)).hex()


def is_zero(x: Expr) -> bool:
    """Whether an expression is zeros by construction."""
    while x.primitive in ("expand", "reshape"):
        (x,) = x.inputs
    return x.primitive == "constant" and constant_value(x) == 0


def _literal(value: float, dtype: DType) -> str:
    """The value as text, so that 0.0 and -0.0 or True and 1 are not the same key."""
    if dtype.is_float:
        return _rounded(float(value).hex(), dtype)
    if dtype is BOOL:
        return str(int(bool(value)))
    # What does not fit a register becomes its smallest value; bytes keep the lowest byte of it.
    smallest = -(2**63) if dtype.itemsize == 8 else -(2**31)
    whole = int(value) if math.isfinite(value) else smallest
    whole = whole if smallest <= whole < -smallest else smallest
    bits = dtype.itemsize * 8
    wrapped = whole & ((1 << bits) - 1)
    return str(wrapped - (1 << bits) if dtype.kind == "int" and wrapped >> (bits - 1) else wrapped)


def _operands(values: Sequence[Operand]) -> list[Expr]:
    """Python numbers become constants of the expressions' dtype, and shapes are broadcast."""
    dtype = next(value.dtype for value in values if isinstance(value, Expr))
    operands = [v if isinstance(v, Expr) else constant(v, dtype) for v in values]
    shape = broadcast_shapes(*(x.shape for x in operands))
    return [x if x.shape in ((), shape) else broadcast(x, shape) for x in operands]


def binary(primitive: str, x: Operand, y: Operand) -> Expr:
    """An elementwise primitive on two values of one dtype, broadcast as numpy does it."""
    return make(primitive, *_operands((x, y)))


def maximum(x: Operand, y: Operand) -> Expr:
    """The larger; NaN if either is; a zero is +0."""
    return binary("maximum", x, y)


def minimum(x: Operand, y: Operand) -> Expr:
    """The smaller; NaN if either is; a zero is +0."""
    return binary("minimum", x, y)


def where(condition: Expr, x: Operand, y: Operand) -> Expr:
    """``x`` where the condition holds, else ``y``."""
    operands = [condition, *_operands((x, y))]
    shape = broadcast_shapes(*(v.shape for v in operands))
    return make("where", *(v if v.shape in ((), shape) else broadcast(v, shape) for v in operands))


def cast(x: Expr, dtype: DType) -> Expr:
    """The same values in another dtype; nothing where it is that already."""
    return x if x.dtype is dtype else make("cast", x, dtype=dtype)


def broadcast(x: Expr, shape: Shape) -> Expr:
    """``x`` repeated to ``shape``, by numpy's rules."""
    if x.shape == shape:
        return x
    padded = reshape(x, (1,) * (len(shape) - len(x.shape)) + x.shape)
    return padded if padded.shape == shape else make("expand", padded, shape=shape)


def full(value: float, shape: Shape, dtype: DType) -> Expr:
    """``shape`` elements of one value."""
    return broadcast(constant(value, dtype), shape)


def iota(shape: Shape, axis: int) -> Expr:
    """int64: each element's own position along ``axis``."""
    return make("iota", axis=axis, shape=shape, dtype=INT64)


def draw() -> Expr:
    """int64: the seed's bits, and how many runs drew from it before this one and with it."""
    return make("draw", shape=(2,), dtype=INT64)


def random(shape: Shape, dtype: DType, stream: int) -> Expr:
    """Uniform in [0, 1), new at every run; each random node of a graph has a stream of its own."""
    return make("random", draw(), stream=stream, shape=shape, dtype=dtype)


def reshape(x: Expr, shape: Iterable[int]) -> Expr:
    """The same elements, in row-major order, in another shape."""
    shape = tuple(shape)
    if x.shape == shape:
        return x
    while x.primitive == "reshape":
        (x,) = x.inputs
    return x if x.shape == shape else make("reshape", x, shape=shape)


def permute(x: Expr, axes: Iterable[int]) -> Expr:
    """The axes in another order: axis ``i`` of the result is axis ``axes[i]`` of ``x``."""
    axes = tuple(axes)
    return x if axes == tuple(range(len(axes))) else make("permute", x, axes=axes)


def slice_(x: Expr, starts: Sequence[int], stops: Sequence[int], steps: Sequence[int]) -> Expr:
    """``x[starts:stops:steps]`` per axis; bounds within the shape, steps positive."""
    if all(
        (a, b, s) == (0, n, 1) for a, b, s, n in zip(starts, stops, steps, x.shape, strict=True)
    ):
        return x
    return make("slice", x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))


def narrow(x: Expr, axis: int, start: int, stop: int) -> Expr:
    """``x[start:stop]`` along one axis."""
    starts, stops = [0] * len(x.shape), list(x.shape)
    starts[axis], stops[axis] = start, stop
    return slice_(x, starts, stops, [1] * len(x.shape))


def flip(x: Expr, axes: Iterable[int]) -> Expr:
    """The elements in reverse order along ``axes``."""
    axes = tuple(sorted(axes))
    return make("flip", x, axes=axes) if axes else x


def concat(inputs: Sequence[Expr], axis: int) -> Expr:
    """The inputs one after the other along ``axis``."""
    return inputs[0] if len(inputs) == 1 else make("concat", *inputs, axis=axis)


def padded(x: Expr, axis: int, before: int, behind: int, value: float = 0) -> Expr:
    """``x`` with so many elements of one value before and behind it along ``axis``."""
    shapes = [(*x.shape[:axis], length, *x.shape[axis + 1 :]) for length in (before, behind)]
    first, last = ([full(value, shape, x.dtype)] if shape[axis] else [] for shape in shapes)
    return concat([*first, x, *last], axis)


def spread(x: Expr, axis: int, step: int, repeats: int = 1) -> Expr:
    """Each element ``repeats`` times along ``axis``, then zeros up to ``step`` elements."""
    before, after = x.shape[: axis + 1], x.shape[axis + 1 :]
    each = broadcast(reshape(x, (*before, 1, *after)), (*before, repeats, *after))
    each = padded(each, axis + 1, 0, step - repeats)
    return reshape(each, (*before[:-1], before[-1] * step, *after))


def reduce(primitive: str, x: Expr, axes: Sequence[int], keepdims: bool = True) -> Expr:
    """A reduction over ``axes``; over no axes, ``x`` itself."""
    axes = tuple(sorted(axes))
    reduced = make(primitive, x, axes=axes) if axes else x
    if keepdims:
        return reduced
    return reshape(reduced, (n for i, n in enumerate(x.shape) if i not in axes))


def dot(
    a: Expr,
    b: Expr,
    transpose_a: bool = False,
    transpose_b: bool = False,
    precision: str | None = None,
    library: str | None = None,
) -> Expr:
    """The matrix product over the last two axes; the axes before them are batch axes.

    The precision is how exact it is: ``ieee``, or for float32 ``tf32`` or ``tf32x3``. A generated
    kernel computes it, unless there is a reason why a library does. Without a precision nothing is
    decided, and a library does as well.
    """
    turned = {"transpose_a": transpose_a, "transpose_b": transpose_b}
    return make("dot", a, b, **turned, precision=precision, library=library)


def take(data: Expr, indices: Expr, axis: int) -> Expr:
    """``data[indices]`` along ``axis``; int64 indices that are in range."""
    return make("take", data, indices, axis=axis)


def pick(data: Expr, indices: Expr, axis: int) -> Expr:
    """One element of ``data`` per index along ``axis``; int64 indices that are in range."""
    return make("pick", data, indices, axis=axis)


def take_add(data: Expr, indices: Expr, axis: int, length: int) -> Expr:
    """The transpose of `take`: slices of ``data`` added up at their indices, zeros elsewhere."""
    return make("take_add", data, indices, axis=axis, length=length)


def pick_add(data: Expr, indices: Expr, axis: int, length: int) -> Expr:
    """The transpose of `pick`: elements of ``data`` added up at their indices along ``axis``.

    Indices of int32 take half the memory of int64, and are read a few at a time.
    """
    return make("pick_add", data, indices, axis=axis, length=length)


def argsort(x: Expr, axis: int, descending: bool) -> Expr:
    """The positions of the elements in order along ``axis``; stable, and NaN is last."""
    return make("argsort", x, axis=axis, descending=descending)
