"""The lines of a Triton kernel: pointers, loads, arithmetic, stores. Text only; imports no Triton.

Names in the text are numbered, never a user's, so that equal kernels have equal text. All sizes and
strides are written as numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..expressions.expr import ELEMENTWISE, GENERATED, VIEWS, Expr, Shape, constant_value
from ..expressions.layout import Layout, contiguous, parts_in_concat, places_in_copy
from ..expressions.philox import fraction_bits
from ..foundation.dtype import BOOL, DType
from ..products.gpus import ACCESS
from ..products.tensor_descriptor import Descriptor
from ..scheduling.schedule import COPIES

# Elements per program of the forms that go through memory once.
BLOCK = 1024
# What all addresses are multiples of, in bytes, where nothing else is said.
ALIGNMENT = ACCESS
# Offsets from here on do not fit 32 bits.
WIDE = 2**31
# What is closer to zero is subnormal in float32.
_SMALLEST_NORMAL = 2.0**-126

_HEADER = """import triton
import triton.language as tl

from tritonsym.kernels import triton_math as math

"""

# What else a module imports, where a function of it calls something in there.
_CALLED = {
    "random.": "from tritonsym.kernels import triton_random as random",
    "online.": "from tritonsym.kernels import triton_online as online",
}

TYPES = {
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
# How the compiler calls pointers to them.
POINTERS = {
    "float16": "*fp16",
    "bfloat16": "*bf16",
    "float32": "*fp32",
    "float64": "*fp64",
    "int8": "*i8",
    "uint8": "*u8",
    "int32": "*i32",
    "int64": "*i64",
    "bool": "*i1",
}
# How many steps a kernel's title names.
_SHOWN_STEPS = 12
# Primitives whose function has another name, because Python keeps the word.
_RENAMED = {"and": "and_", "or": "or_", "not": "not_"}
# The text of each elementwise primitive on the texts of its inputs.
TEXT = {name: f"math.{_RENAMED.get(name, name)}" for name in sorted(ELEMENTWISE)}


@dataclass(frozen=True)
class Address:
    """Where a value lies, in a table of addresses.

    Attributes:
        value: whose memory it is, or a view's first element.
        in_runs: whether elements beside each other are accessed together, so that it should be a
            multiple of 16.
    """

    value: Expr
    in_runs: bool


@dataclass(frozen=True)
class Source:
    """A kernel's module.

    Attributes:
        text: of the module, whose function is ``kernel``.
        arguments: whose memory the function's pointers are, inputs first; outputs are the last
            ``output_count``.
        descriptors: of those arguments that are no pointers but tensor descriptors, by position.
        programs: how many of them are launched.
        options: of the launch, such as ``num_warps``; Triton's own where it is empty.
        lines: of the function, without its head.
        table: the addresses that its one argument is a table of, where it has one; it then also
            has a constant ``ALIGNMENT``, of which all addresses in runs are multiples.
    """

    text: str
    arguments: tuple[Expr, ...]
    output_count: int
    programs: int
    options: Mapping[str, int]
    lines: tuple[str, ...] = ()
    table: tuple[Address, ...] = ()
    descriptors: Mapping[int, Descriptor] = field(default_factory=dict)


@dataclass(frozen=True)
class Access:
    """Which element of a pointer belongs to a coordinate: an offset and one stride per axis."""

    base: Expr
    offset: int
    strides: tuple[int, ...]

    def byte_count(self, shape: Shape) -> int:
        """How many bytes it reaches with coordinates up to these lengths, each counted once."""
        steps = zip(shape, self.strides, strict=True)
        return self.base.dtype.itemsize * math.prod(n for n, stride in steps if stride)


def access_of(x: Expr, layouts: Mapping[Expr, Layout]) -> Access:
    layout = layouts[x]
    return Access(layout.base, layout.offset, layout.strides)


@dataclass(frozen=True)
class Store:
    """What is stored in an output, as a whole or as a part of it.

    Attributes:
        number: of the output.
        value: what the kernel computes.
        part: where its elements are, by its coordinates; None where it is all of the output.
    """

    number: int
    value: Expr
    part: Access | None = None


class Writer:
    """The lines of one function, its pointers and its values."""

    def __init__(self, layouts: Mapping[Expr, Layout], outputs: Sequence[Expr]) -> None:
        self.lines: list[str] = []
        self.layouts = layouts
        self.outputs = tuple(outputs)
        self.inputs: dict[Expr, str] = {}
        # Inputs that are read, and outputs that are written, in blocks by their descriptors.
        self.read_blocks: dict[str, tuple[Expr, Descriptor]] = {}
        self.written_blocks: dict[int, Descriptor] = {}
        self.names: dict[Expr, str] = {}
        # Where the run's draw is, once something random was computed.
        self.draw: str | None = None
        self._values = 0

    def line(self, text: str, depth: int = 1) -> None:
        """Add a line of the function."""
        self.lines.append("    " * depth + text)

    def new_name(self) -> str:
        """A name for the next value."""
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
        masked = f", {mask}" if mask and any(access.strides) else ""
        text = f"tl.load({self.pointer(access.base)} + {where}{masked})"
        if access.base.dtype is BOOL:
            text = f"{text} != 0"
        elif access.base.dtype.is_reduced:
            text = f"math.cast({text}, tl.float32)"
        self.line(f"{name} = {text}", depth)
        return name

    def compute(self, x: Expr, depth: int = 1) -> None:
        """Compute one elementwise expression from the values of its inputs."""
        operands = ", ".join(self.operand(y) for y in x.inputs)
        kind = f", {TYPES[x.dtype.name]}" if x.primitive == "cast" else ""
        function = "math.div_by_few" if ("reduced", True) in x.attributes else TEXT[x.primitive]
        text = f"{function}({operands}{kind})"
        name = self.names[x] = self.new_name()
        self.line(f"{name} = {self.rounded(text, x)}", depth)

    def generate(self, x: Expr, position: str, depth: int = 1) -> None:
        """Compute an expression that follows from the positions of its elements."""
        if position.isdigit():
            position = f"tl.full((), {position}, tl.int32)"
        if x.primitive == "iota":
            axis = x.integer("axis")
            step, length = contiguous(x.shape)[axis], x.shape[axis]
            text = f"({position} // {step} % {length}).to(tl.int64)"
        else:
            self.draw = self.pointer(x.inputs[0])
            bits = fraction_bits(x.dtype.torch)
            kind = register_type(x.dtype)
            stream = x.integer("stream")
            text = f"random.uniform(seed, number, {stream}, {position}, {bits}, {kind})"
        name = self.names[x] = self.new_name()
        self.line(f"{name} = {text}", depth)

    def rounded(self, text: str, x: Expr) -> str:
        """Each 16-bit value is rounded where it is made, as it is where it is computed alone."""
        if not x.dtype.is_reduced:
            return text
        narrow = text if x.primitive == "cast" else f"math.cast({text}, {TYPES[x.dtype.name]})"
        return f"math.cast({narrow}, tl.float32)"

    def operand(self, x: Expr) -> str:
        """The name of a value, or a constant as text."""
        return literal(x) if x.primitive == "constant" else self.names[x]

    def source_of(self, x: Expr) -> Expr:
        """What a kernel computes; of a copy of its own value, that value."""
        return self.layouts[x.inputs[0]].base if x.primitive in VIEWS else x

    def stores(self) -> list[Store]:
        """All that is stored: a value for each output, or several that are put together there."""
        found = []
        for number, x in enumerate(self.outputs):
            parts = parts_in_concat(x, self.layouts) if x.primitive == "concat" else None
            if parts is None:
                found.append(Store(number, self.source_of(x)))
            for value, offset, strides in parts or ():
                found.append(Store(number, value, Access(x, offset, strides)))
        return found

    def store(self, number: int, where: str, value: str, mask: str = "", depth: int = 1) -> None:
        """Store an output; values are in the dtype's own type, but 16-bit floats in float32."""
        masked = f", {mask}" if mask else ""
        text = self.stored(number, value)
        self.line(f"tl.store(out{number} + {where}, {text}{masked})", depth)

    def stored(self, number: int, value: str) -> str:
        """A value as an output has it."""
        dtype = self.outputs[number].dtype
        return f"math.cast({value}, {TYPES[dtype.name]})" if dtype.is_reduced else value

    def source(
        self, title: Sequence[Expr], programs: int, options: Mapping[str, int] | None = None
    ) -> Source:
        """The module; its title is what it computes."""
        lines = list(self.lines)
        if self.draw is not None:
            lines[:0] = [
                f"    seed = tl.load({self.draw})",
                f"    number = tl.load({self.draw} + 1)",
            ]
        read = [value for value, _ in self.read_blocks.values()]
        arguments = (*read, *self.inputs, *self.outputs)
        names = [*self.read_blocks, *pointer_names(len(self.inputs), len(self.outputs))]
        descriptors = {n: found for n, (_, found) in enumerate(self.read_blocks.values())}
        before = len(arguments) - len(self.outputs)
        descriptors |= {before + n: found for n, found in self.written_blocks.items()}
        for number in descriptors:
            names[number] = blocks_name(names[number])
        head = f"def kernel({', '.join(names)}):"
        text = module(_title(title), [["@triton.jit", head, *lines]])
        return Source(
            text,
            arguments,
            len(self.outputs),
            programs,
            options or {},
            tuple(lines),
            descriptors=descriptors,
        )


def pointer_names(inputs: int, outputs: int) -> list[str]:
    """What the memory that a function reads and writes is called in it."""
    return [*(f"in{i}" for i in range(inputs)), *(f"out{i}" for i in range(outputs))]


def blocks_name(name: str) -> str:
    """What the descriptor of some memory is called."""
    return f"{name}_blocks"


def module(title: str, functions: Sequence[Sequence[str]]) -> str:
    """The text of a module.

    Args:
        title: what it computes.
        functions: their lines.
    """
    bodies = "\n\n\n".join("\n".join(lines) for lines in functions)
    imports = "".join(f"{text}\n" for called, text in _CALLED.items() if called in bodies)
    return f'"""{title}"""\n\n{_HEADER[:-1]}{imports}\n\n{bodies}\n'


# ---- numbers and coordinates -------------------------------------------------------------------


def register_type(dtype: DType) -> str:
    """What a value of this dtype is in registers."""
    return "tl.float32" if dtype.is_reduced else TYPES[dtype.name]


def accumulator(dtype: DType) -> str:
    """What values are added up or compared in: at least 32 bits."""
    narrow = dtype.itemsize < 4 and not dtype.is_float
    return "tl.int32" if narrow else register_type(dtype)


def literal(x: Expr) -> str:
    """A constant as text of its own type; in float32 for 16-bit floats."""
    value = constant_value(x)
    kind = register_type(x.dtype)
    if isinstance(value, float) and not math.isfinite(value):
        return f'tl.full((), float("{value}"), {kind})'
    if isinstance(value, float) and value == 0 and math.copysign(1, value) < 0:
        # Triton takes the literal -0.0 for 0.0.
        return f"math.neg(tl.full((), 0.0, {kind}))"
    # A subnormal one is not for the compiler to know; `triton_math.subnormal` has the reason.
    text = f"tl.full((), {bool(value) if x.dtype is BOOL else value!r}, {kind})"
    is_subnormal = kind == "tl.float32" and 0 < abs(value) < _SMALLEST_NORMAL
    return f"math.subnormal({text})" if is_subnormal else text


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


def offset_in_copy(copy: Expr, layouts: Mapping[Expr, Layout], coordinates: Sequence[str]) -> str:
    """The offset in a copy of a value, by the coordinates of the value."""
    places = places_in_copy(copy, layouts)
    assert places is not None
    shape = layouts[copy.inputs[0]].base.shape
    terms = []
    for coordinate, length, own in zip(coordinates, shape, places, strict=True):
        for term in own:
            text = coordinate if term.divisor == 1 else f"{coordinate} // {term.divisor}"
            text += f" % {term.length}" if term.divisor * term.length < length else ""
            terms.append(text if term.stride == 1 else f"{text} * {term.stride}")
    return f"({' + '.join(terms)})" if terms else "0"


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


def coordinates_of(
    writer: Writer, index: str, shape: Sequence[int], stem: str, depth: int = 1
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


def begin(writer: Writer, size: int, largest: int, block: int = BLOCK) -> int:
    """The index and mask of a form whose programs take a block of elements each."""
    wide = ".to(tl.int64)" if max(size, largest) >= WIDE else ""
    writer.line(f"i = tl.program_id(0){wide} * {block} + tl.arange(0, {block})")
    writer.line(f"mask = i < {size}")
    return -(-size // block)


def reach_of(shape: Sequence[int], accesses: Sequence[Access]) -> int:
    """The largest offset that any access reaches."""
    reach = 0
    for access in accesses:
        spans = zip(shape, access.strides, strict=True)
        reach = max(reach, abs(access.offset) + sum((n - 1) * abs(s) for n, s in spans))
    return reach


def power_of_two(length: int) -> int:
    """The smallest one that is no less."""
    return 1 << (length - 1).bit_length()


def _title(body: Sequence[Expr]) -> str:
    shown = " ".join(x.primitive for x in body[:_SHOWN_STEPS])
    return f"{shown} ..." if len(body) > _SHOWN_STEPS else shown


def reads(body: Sequence[Expr]) -> list[Expr]:
    """What a body reads from outside, constants and random draws apart."""
    inside = set(body)
    computed = (x for x in body if x.primitive not in GENERATED | COPIES)
    read = (y for x in computed for y in x.inputs if y not in inside and y.primitive != "constant")
    return list(dict.fromkeys(read))
