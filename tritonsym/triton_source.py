"""The Triton text of kernels: one readable module each. Text only; imports no Triton.

Every form loads, computes, and stores. Names in the text are numbered, never a user's, so that
equal kernels have equal text. All sizes and strides are written as numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .dtype import BOOL, DType
from .expr import ELEMENTWISE, Expr, constant_value
from .layout import Layout, contiguous
from .schedule import Kernel

# Elements per program of the forms that go through memory once.
BLOCK = 1024
# Elements of a row that a reduction has in registers at a time.
ROW_BLOCK = 4096
# Offsets from here on do not fit 32 bits.
_WIDE = 2**31

_HEADER = """import triton
import triton.language as tl

from tritonsym import triton_math as math

"""

_TYPES = {
    "float16": "tl.float16",
    "bfloat16": "tl.bfloat16",
    "float32": "tl.float32",
    "float64": "tl.float64",
    "int8": "tl.int8",
    "uint8": "tl.uint8",
    "int32": "tl.int32",
    "int64": "tl.int64",
    "bool": "tl.int1",
}
# Primitives whose function has another name, because Python keeps the word.
_RENAMED = {"and": "and_", "or": "or_", "not": "not_"}
# The text of each elementwise primitive on the texts of its inputs.
TEXT = {name: f"math.{_RENAMED.get(name, name)}" for name in sorted(ELEMENTWISE)}


@dataclass(frozen=True)
class Source:
    """A kernel's module.

    Attributes:
        text: of the module, whose function is ``kernel``.
        arguments: whose memory the function's pointers are, inputs first; outputs are the last
            ``output_count``.
        programs: how many of them are launched.
    """

    text: str
    arguments: tuple[Expr, ...]
    output_count: int
    programs: int


@dataclass(frozen=True)
class Access:
    """Which element of a pointer belongs to a coordinate: an offset and one stride per axis."""

    base: Expr
    offset: int
    strides: tuple[int, ...]


def _access(x: Expr, layouts: Mapping[Expr, Layout]) -> Access:
    layout = layouts[x]
    return Access(layout.base, layout.offset, layout.strides)


class _Writer:
    """The lines of one function, its pointers and its values."""

    def __init__(self, layouts: Mapping[Expr, Layout], outputs: Sequence[Expr]) -> None:
        self.lines: list[str] = []
        self.layouts = layouts
        self.outputs = tuple(outputs)
        self.inputs: dict[Expr, str] = {}
        self.names: dict[Expr, str] = {}
        self._values = 0

    def line(self, text: str, depth: int = 1) -> None:
        self.lines.append("    " * depth + text)

    def new_name(self) -> str:
        self._values += 1
        return f"v{self._values - 1}"

    def pointer(self, base: Expr) -> str:
        """The parameter of the memory that a value owns."""
        return self.inputs.setdefault(base, f"in{len(self.inputs)}")

    def load(self, access: Access, coordinates: Sequence[str], mask: str, depth: int = 1) -> str:
        """Load an element for each coordinate; 16-bit floats are computed in float32."""
        name = self.new_name()
        where = offset_text(access, coordinates)
        # Where no coordinate counts, one element is loaded for all.
        masked = f", {mask}" if any(access.strides) else ""
        self.line(f"{name} = tl.load({self.pointer(access.base)} + {where}{masked})", depth)
        if access.base.dtype is BOOL:
            self.line(f"{name} = {name} != 0", depth)
        elif access.base.dtype.is_reduced:
            self.line(f"{name} = {name}.to(tl.float32)", depth)
        return name

    def compute(self, x: Expr, depth: int = 1) -> None:
        """Compute one elementwise expression from the values of its inputs."""
        operands = ", ".join(self.operand(y) for y in x.inputs)
        name = self.names[x] = self.new_name()
        if x.primitive == "cast":
            self.line(f"{name} = math.cast({operands}, {_TYPES[x.dtype.name]})", depth)
        else:
            self.line(f"{name} = {TEXT[x.primitive]}({operands})", depth)
        if x.dtype.is_reduced:
            # Each operator rounds to its dtype, as it does where it is computed alone.
            self.line(f"{name} = {name}.to({_TYPES[x.dtype.name]}).to(tl.float32)", depth)

    def operand(self, x: Expr) -> str:
        return literal(x) if x.primitive == "constant" else self.names[x]

    def store(self, number: int, where: str, value: str, mask: str, depth: int = 1) -> None:
        dtype = self.outputs[number].dtype
        cast = f".to({_TYPES[dtype.name]})" if dtype is not BOOL else ""
        self.line(f"tl.store(out{number} + {where}, {value}{cast}, {mask})", depth)

    def source(self, title: str, programs: int) -> Source:
        pointers = [*self.inputs.values(), *(f"out{i}" for i in range(len(self.outputs)))]
        head = [
            f'"""{title}"""',
            "",
            _HEADER,
            "@triton.jit",
            f"def kernel({', '.join(pointers)}):",
        ]
        text = "\n".join([*head, *self.lines]) + "\n"
        return Source(text, (*self.inputs, *self.outputs), len(self.outputs), programs)


# ---- numbers and coordinates -------------------------------------------------------------------


def literal(x: Expr) -> str:
    """A constant as text of its own type; the generator's float32 for 16-bit floats."""
    value = constant_value(x)
    kind = "tl.float32" if x.dtype.is_reduced else _TYPES[x.dtype.name]
    if x.dtype is BOOL:
        return f"tl.full((1,), {bool(value)}, tl.int1)"
    if isinstance(value, float) and not math.isfinite(value):
        text = f'float("{value}")'
    else:
        text = repr(value)
    return f"tl.full((1,), {text}, {kind})"


def offset_text(access: Access, coordinates: Sequence[str]) -> str:
    """The offset of a coordinate, in elements."""
    terms = [
        name if stride == 1 else f"{name} * {stride}"
        for name, stride in zip(coordinates, access.strides, strict=True)
        if stride != 0
    ]
    if access.offset or not terms:
        terms.append(str(access.offset))
    return f"({' + '.join(terms)})" if len(terms) > 1 or "*" in terms[0] else terms[0]


def collapse(
    shape: Sequence[int], accesses: Sequence[Access]
) -> tuple[tuple[int, ...], list[Access]]:
    """Axes that lie densely within each other in every access, made one; lengths of 1 dropped."""
    kept: list[int] = []  # lengths
    strides: list[list[int]] = [[] for _ in accesses]
    for axis, length in enumerate(shape):
        if length == 1:
            continue
        own = [access.strides[axis] for access in accesses]
        dense = bool(kept) and all(
            have[-1] == length * new for have, new in zip(strides, own, strict=True)
        )
        if dense:
            kept[-1] *= length
        else:
            kept.append(length)
        for have, new in zip(strides, own, strict=True):
            if dense:
                have[-1] = new
            else:
                have.append(new)
    collapsed = [
        Access(access.base, access.offset, tuple(have))
        for access, have in zip(accesses, strides, strict=True)
    ]
    return tuple(kept), collapsed


def _coordinates(
    writer: _Writer, index: str, shape: Sequence[int], stem: str, depth: int = 1
) -> list[str]:
    """Lines that take a row-major index apart; the name of each axis's coordinate."""
    if len(shape) <= 1:
        return [index] * len(shape)
    names = []
    steps = contiguous(tuple(shape))
    for axis, (length, step) in enumerate(zip(shape, steps, strict=True)):
        text = index if step == 1 else f"{index} // {step}"
        text = f"{text} % {length}" if axis else text
        names.append(f"{stem}{axis}")
        writer.line(f"{names[-1]} = {text}", depth)
    return names


def _begin(writer: _Writer, size: int, largest: int) -> int:
    """The index and mask of a form whose programs take a block of elements each."""
    wide = ".to(tl.int64)" if max(size, largest) >= _WIDE else ""
    writer.line(f"i = tl.program_id(0){wide} * {BLOCK} + tl.arange(0, {BLOCK})")
    writer.line(f"mask = i < {size}")
    return -(-size // BLOCK)


def _reach(shape: Sequence[int], accesses: Sequence[Access]) -> int:
    """The largest offset that any access reaches."""
    reach = 0
    for access in accesses:
        spans = zip(shape, access.strides, strict=True)
        reach = max(reach, abs(access.offset) + sum((n - 1) * abs(s) for n, s in spans))
    return reach


# ---- forms -------------------------------------------------------------------------------------


def write(kernel: Kernel, layouts: Mapping[Expr, Layout]) -> Source | None:
    """The source of a kernel; None for one that a library computes."""
    (last,) = kernel.body[-1:]
    if kernel.form == "pointwise":
        return _pointwise(kernel, layouts)
    writer = {
        "reshape": _copy,
        "permute": _copy,
        "expand": _copy,
        "slice": _copy,
        "flip": _copy,
        "concat": _concat,
        "iota": _iota,
        "take": _take,
        "pick": _pick,
        "sum": _reduce,
        "prod": _reduce,
        "max": _reduce,
        "min": _reduce,
        "argmax": _position,
        "argmin": _position,
    }.get(last.primitive)
    return None if writer is None else writer(last, layouts)


def _title(primitives: Sequence[str]) -> str:
    shown = " ".join(primitives[:12])
    return f"{shown} ..." if len(primitives) > 12 else shown


def _pointwise(kernel: Kernel, layouts: Mapping[Expr, Layout]) -> Source:
    """Elementwise expressions over one shape, any strides, any number of outputs."""
    shape = kernel.body[0].shape
    inside = set(kernel.body)
    read = list(
        dict.fromkeys(
            y
            for x in kernel.body
            for y in x.inputs
            if y not in inside and y.primitive != "constant"
        )
    )
    ones = [y for y in read if y.shape == ()]
    full = [y for y in read if y.shape != ()]
    dense = Access(kernel.body[0], 0, contiguous(shape))
    lengths, accesses = collapse(shape, [*(_access(y, layouts) for y in full), dense])
    writer = _Writer(layouts, kernel.outputs)
    programs = _begin(writer, math.prod(shape), _reach(lengths, accesses))
    coordinates = _coordinates(writer, "i", lengths, "i")
    for y in ones:
        writer.names[y] = writer.load(Access(layouts[y].base, layouts[y].offset, ()), (), "mask")
    for y, access in zip(full, accesses, strict=False):
        writer.names[y] = writer.load(access, coordinates, "mask")
    for x in kernel.body:
        writer.compute(x)
    for number, x in enumerate(kernel.outputs):
        writer.store(number, "i", writer.names[x], "mask")
    return writer.source(_title([x.primitive for x in kernel.body]), programs)


def _copy(x: Expr, layouts: Mapping[Expr, Layout]) -> Source:
    """A movement that is no view: every element is read where strides say and written densely."""
    (data,) = x.inputs
    access, shape = _access(data, layouts), x.shape
    if x.primitive == "reshape":
        shape = data.shape
    elif x.primitive == "permute":
        axes = x.integers("axes")
        access = Access(access.base, access.offset, tuple(access.strides[a] for a in axes))
    elif x.primitive == "flip":
        axes = x.integers("axes")
        ends = sum((data.shape[a] - 1) * access.strides[a] for a in axes)
        strides = tuple(-s if a in axes else s for a, s in enumerate(access.strides))
        access = Access(access.base, access.offset + ends, strides)
    dense = Access(x, 0, contiguous(shape))
    lengths, (read, _) = collapse(shape, [access, dense])
    writer = _Writer(layouts, (x,))
    programs = _begin(writer, x.size, _reach(lengths, [read]))
    value = writer.load(read, _coordinates(writer, "i", lengths, "i"), "mask")
    writer.store(0, "i", value, "mask")
    return writer.source(x.primitive, programs)


def _concat(x: Expr, layouts: Mapping[Expr, Layout]) -> Source:
    """Inputs one after the other: each is loaded where its own elements are."""
    axis = x.integer("axis")
    writer = _Writer(layouts, (x,))
    programs = _begin(writer, x.size, 0)
    coordinates = _coordinates(writer, "i", x.shape, "i")
    position = coordinates[axis]
    start, result = 0, ""
    for data in x.inputs:
        stop = start + data.shape[axis]
        inside = writer.new_name()
        writer.line(f"{inside} = ({position} >= {start}) & ({position} < {stop})")
        access = _access(data, layouts)
        moved = Access(access.base, access.offset - start * access.strides[axis], access.strides)
        value = writer.load(moved, coordinates, f"mask & {inside}")
        if result:
            writer.line(f"{value} = tl.where({inside}, {value}, {result})")
        start, result = stop, value
    writer.store(0, "i", result, "mask")
    return writer.source("concat", programs)


def _iota(x: Expr, layouts: Mapping[Expr, Layout]) -> Source:
    writer = _Writer(layouts, (x,))
    programs = _begin(writer, x.size, 0)
    coordinates = _coordinates(writer, "i", x.shape, "i")
    writer.store(0, "i", coordinates[x.integer("axis")], "mask")
    return writer.source("iota", programs)


def _take(x: Expr, layouts: Mapping[Expr, Layout]) -> Source:
    """Slices of the data that indices name: the index takes the place of one coordinate."""
    data, indices = x.inputs
    axis, rank = x.integer("axis"), len(indices.shape)
    writer = _Writer(layouts, (x,))
    programs = _begin(writer, x.size, data.size)
    coordinates = _coordinates(writer, "i", x.shape, "i")
    own = coordinates[axis : axis + rank]
    chosen = writer.load(_access(indices, layouts), own, "mask")
    places = [*coordinates[:axis], chosen, *coordinates[axis + rank :]]
    writer.store(0, "i", writer.load(_access(data, layouts), places, "mask"), "mask")
    return writer.source("take", programs)


def _pick(x: Expr, layouts: Mapping[Expr, Layout]) -> Source:
    data, indices = x.inputs
    axis = x.integer("axis")
    writer = _Writer(layouts, (x,))
    programs = _begin(writer, x.size, data.size)
    coordinates = _coordinates(writer, "i", x.shape, "i")
    chosen = writer.load(_access(indices, layouts), coordinates, "mask")
    places = [*coordinates[:axis], chosen, *coordinates[axis + 1 :]]
    writer.store(0, "i", writer.load(_access(data, layouts), places, "mask"), "mask")
    return writer.source("pick", programs)


# ---- reductions: one program per row, which it walks a block at a time ---------------------------


@dataclass(frozen=True)
class _Rows:
    """A reduction's input as rows of columns, and where a column lies within its row."""

    kept: tuple[int, ...]
    row: Access
    reduced: tuple[int, ...]
    column: Access

    @property
    def columns(self) -> int:
        return math.prod(self.reduced)

    @property
    def block(self) -> int:
        return min(1 << (self.columns - 1).bit_length(), ROW_BLOCK)


def _rows(x: Expr, layouts: Mapping[Expr, Layout]) -> _Rows:
    (data,) = x.inputs
    axes, access = x.integers("axes"), _access(data, layouts)

    def part(chosen: Sequence[int], offset: int) -> tuple[tuple[int, ...], Access]:
        lengths = [data.shape[a] for a in chosen]
        strides = tuple(access.strides[a] for a in chosen)
        found, (collapsed,) = collapse(lengths, [Access(access.base, offset, strides)])
        return found, collapsed

    kept = part([a for a in range(len(data.shape)) if a not in axes], access.offset)
    return _Rows(*kept, *part(axes, 0))


def _begin_rows(writer: _Writer, rows: _Rows) -> None:
    reach = _reach(rows.kept, [rows.row]) + _reach(rows.reduced, [rows.column])
    wide = ".to(tl.int64)" if reach >= _WIDE else ""
    writer.line(f"row = tl.program_id(0){wide}")
    coordinates = _coordinates(writer, "row", rows.kept, "r")
    writer.line(f"begin = {offset_text(rows.row, coordinates)}")


def _load_columns(writer: _Writer, rows: _Rows, neutral: str) -> str:
    """A loop over a row that loads a block of columns; ``neutral`` stands behind its end."""
    writer.line(f"for start in range(0, {rows.columns}, {rows.block}):")
    writer.line(f"column = start + tl.arange(0, {rows.block})", 2)
    writer.line(f"mask = column < {rows.columns}", 2)
    coordinates = ["begin", *_coordinates(writer, "column", rows.reduced, "c", 2)]
    access = Access(rows.column.base, 0, (1, *rows.column.strides))
    value = writer.load(access, coordinates, "mask", 2)
    writer.line(f"{value} = tl.where(mask, {value}, {neutral})", 2)
    return value


def _accumulator_type(dtype: DType) -> str:
    """Bytes and bools are counted in 32 bits; 16-bit floats in float32."""
    return _TYPES[dtype.name] if dtype.itemsize >= 4 else _narrow_accumulator(dtype)


def _narrow_accumulator(dtype: DType) -> str:
    return "tl.float32" if dtype.is_float else "tl.int32"


def _lowest(dtype: DType, largest: bool) -> str:
    """What every value of a dtype is at least (or for the largest search, at most)."""
    if dtype.is_float:
        return 'float("-inf")' if largest else 'float("inf")'
    bits = 8 * dtype.itemsize
    if dtype.kind == "int":
        return str(-(2 ** (bits - 1)) if largest else 2 ** (bits - 1) - 1)
    return "0" if largest else str(2**bits - 1)


def _reduce(x: Expr, layouts: Mapping[Expr, Layout]) -> Source:
    """A sum, product, largest or smallest value of each row."""
    rows, writer = _rows(x, layouts), _Writer(layouts, (x,))
    _begin_rows(writer, rows)
    if x.primitive in ("max", "min"):
        writer.store(0, "row", _extreme(writer, x, rows, x.primitive == "max"), "True")
        return writer.source(x.primitive, math.prod(rows.kept))
    kind = _accumulator_type(x.dtype)
    neutral = "0" if x.primitive == "sum" else "1"
    writer.line(f"total = tl.full(({rows.block},), {neutral}, {kind})")
    value = _load_columns(writer, rows, neutral)
    sign = "+" if x.primitive == "sum" else "*"
    writer.line(f"total = total {sign} {value}.to({kind})", 2)
    ending = "tl.sum(total)" if x.primitive == "sum" else "tl.reduce(total, 0, math.prod_combine)"
    writer.line(f"result = {ending}")
    writer.store(0, "row", "result", "True")
    return writer.source(x.primitive, math.prod(rows.kept))


def _extreme(writer: _Writer, x: Expr, rows: _Rows, largest: bool) -> str:
    """Lines that find the extreme of a row; NaN if any is, and of zeros +0."""
    (data,) = x.inputs
    kind = _accumulator_type(data.dtype)
    bound = _lowest(data.dtype, largest)
    pick, reduce = ("maximum", "max") if largest else ("minimum", "min")
    writer.line(f"best = tl.full(({rows.block},), {bound}, {kind})")
    if data.dtype.is_float:
        writer.line(f"unordered = tl.full(({rows.block},), 0, tl.int32)")
    value = _load_columns(writer, rows, bound)
    if data.dtype.is_float:
        writer.line(f"unordered = unordered | ({value} != {value}).to(tl.int32)", 2)
        writer.line(f"{value} = tl.where({value} != {value}, {bound}, {value})", 2)
    writer.line(f"best = tl.{pick}(best, {value}.to({kind}))", 2)
    writer.line(f"extreme = tl.{reduce}(best)")
    if data.dtype.is_float:
        writer.line("has_nan = tl.max(unordered) > 0")
        writer.line('extreme = tl.where(has_nan, float("nan"), extreme + 0.0)')
    return "extreme"


def _position(x: Expr, layouts: Mapping[Expr, Layout]) -> Source:
    """The column of the extreme of each row: the first one that is equal, or NaN."""
    (data,) = x.inputs
    rows, writer = _rows(x, layouts), _Writer(layouts, (x,))
    _begin_rows(writer, rows)
    largest = x.primitive == "argmax"
    _extreme(writer, x, rows, largest)
    writer.line(f"first = tl.full(({rows.block},), {rows.columns}, tl.int64)")
    value = _load_columns(writer, rows, _lowest(data.dtype, largest))
    hit = f"{value}.to({_accumulator_type(data.dtype)}) == extreme"
    if data.dtype.is_float:
        hit = f"({value} == extreme) | ({value} != {value})"
    writer.line(f"first = tl.where(mask & ({hit}), tl.minimum(first, column), first)", 2)
    writer.line("result = tl.min(first)")
    writer.store(0, "row", "result", "True")
    return writer.source(x.primitive, math.prod(rows.kept))
