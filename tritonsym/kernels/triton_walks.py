"""How the programs of an elementwise kernel walk over its elements: in runs, or in tiles.

A run is a block of the row-major order, in which most of what is read and written lies. Of what
lies in another order, as a transposed matrix does, each element of a run is in a sector of memory
of its own, of which the rest is moved for nothing. Then a program has a tile: a square of the last
axis and the one along which that lies. Triton gives each load and store its own order of threads,
so that neighbours access neighbours whatever the order, and hands values on in shared memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from ..expressions.expr import Expr, Shape
from ..expressions.layout import Layout, Term, places_in_copy
from ..products.gpus import SECTOR
from .registers import WARPS
from .triton_writer import (
    BLOCK,
    WIDE,
    Access,
    Writer,
    begin,
    collapse,
    coordinates_of,
    offset_in_copy,
    offset_text,
    power_of_two,
    reach_of,
)

# The fewest elements that the axes of a tile have, each and together. Of fewer a run has several in
# each sector, or a tile would leave threads without any.
SHORTEST = 8
SMALLEST = BLOCK
# Elements from which on there are tiles, and programs that there are at least where each has more
# elements than a run has. Estimates, which were not measured.
LARGE = 2**16
PROGRAMS = 512


@dataclass(frozen=True)
class Size:
    """The most elements that a program has, and its warps."""

    elements: int
    warps: int = WARPS

    @property
    def options(self) -> dict[str, int]:
        """Of the launch."""
        return {} if self.warps == WARPS else {"num_warps": self.warps}


# The largest first; the others are for what would not fit the registers.
_RUNS = (Size(BLOCK), Size(BLOCK // 2), Size(BLOCK // 4))
# A side of 64 elements is a line of the cache or more, also where they have 16 bits.
_TILES = (Size(4 * BLOCK, 2 * WARPS), Size(2 * BLOCK), *_RUNS)


@dataclass(frozen=True)
class Places:
    """Where the elements of a program are, as text.

    Attributes:
        coordinates: along each axis.
        conditions: that they are inside the axis; empty where they always are.
        inside: that they are inside all of them.
        position: their row-major numbers.
        copies: where the copies of the result have them.
        stored: where what is stored by strides has them.
        programs: how many there are.
    """

    coordinates: tuple[str, ...]
    conditions: tuple[str, ...]
    inside: str
    position: str
    copies: Mapping[Expr, str]
    stored: tuple[str, ...]
    programs: int

    def inside_of(self, access: Access) -> str:
        """That they are inside the axes along which something is read."""
        own = {c for c, stride in zip(self.conditions, access.strides, strict=True) if c and stride}
        return self.inside if len(own) > 1 else "".join(own)


def walk_over(
    shape: Shape,
    dense: Access,
    read: Sequence[Access],
    copies: Sequence[Expr],
    layouts: Mapping[Expr, Layout],
    draws: bool = False,
    stored: Sequence[Access] = (),
) -> Runs | Tiles:
    """How to walk over the elements of a shape.

    Args:
        shape: of what is computed.
        dense: its row-major order.
        read: where what is read has its elements.
        copies: of what is computed, stored in another order.
        layouts: of what they are copies of.
        draws: whether random numbers are drawn. Neighbours in row-major order share the work for
            four of them, but not where threads have them in another order.
        stored: where else elements are stored.
    """
    cut = None
    if shape and math.prod(shape) >= LARGE and not draws:
        cut = _cut(shape, [dense, *read, *stored], copies, layouts)
    count, end = len(read), len(read) + len(stored)
    if cut is not None:
        lengths, (in_order, *accesses) = collapse(*cut)
        axis = turned_axis(lengths, accesses)
        if axis is not None:
            copied = dict(zip(copies, accesses[end:], strict=True))
            own = tuple(accesses[:count]), tuple(accesses[count:end])
            return Tiles(lengths, axis, *own, in_order, copied)
    lengths, (in_order, *accesses) = collapse(shape, [dense, *read, *stored])
    numbered = tuple(_by_number(access, in_order) for access in accesses)
    return Runs(shape, lengths, numbered[:count], numbered[count:], copies, layouts)


def _by_number(access: Access, dense: Access) -> Access:
    """An access that also has a stride for the number of an element, its only one where it can.

    The parts of a coordinate hide which elements lie side by side.
    """
    if dense.strides and access.strides == dense.strides:
        return Access(access.base, access.offset, (*(0 for _ in dense.strides), 1))
    return Access(access.base, access.offset, (*access.strides, 0))


def turned_axis(lengths: Sequence[int], accesses: Sequence[Access]) -> int | None:
    """The axis that a tile has beside the last one; None where runs are as good.

    It is the one along which something lies of which a run has one element in each sector; where
    there are several, the one along which most bytes lie.

    Args:
        lengths: of the axes.
        accesses: to what is read, and to what is stored in another order.
    """
    along: dict[int, int] = {}
    for access in accesses:
        size = access.base.dtype.itemsize
        apart = [abs(stride) * size for stride in access.strides]
        axis = min((a for a, n in enumerate(apart) if n), key=apart.__getitem__, default=None)
        if axis is None or not apart[axis] < SECTOR <= apart[-1]:
            continue
        both = lengths[axis], lengths[-1]
        if min(both) >= SHORTEST and math.prod(both) >= SMALLEST:
            along[axis] = along.get(axis, 0) + size
    return max(along, key=along.__getitem__, default=None)


@dataclass(frozen=True)
class Runs:
    """A walk in row-major order: a program has elements one after the other.

    Attributes:
        shape: of what is computed.
        lengths: of its axes, made one where they lie within each other.
        read, stored: by these axes, and the number of an element as one more.
        copies, layouts: as for `walk_over`.
    """

    shape: Shape
    lengths: tuple[int, ...]
    read: tuple[Access, ...]
    stored: tuple[Access, ...]
    copies: Sequence[Expr]
    layouts: Mapping[Expr, Layout]

    @property
    def sizes(self) -> Sequence[Size]:
        """What programs may have, the best first."""
        return _RUNS

    def begin(self, writer: Writer, size: Size) -> Places:
        """The lines that tell which elements a program has."""
        reach = reach_of((*self.lengths, math.prod(self.shape)), (*self.read, *self.stored))
        programs = begin(writer, math.prod(self.shape), reach, size.elements)
        coordinates = (*coordinates_of(writer, "i", self.lengths, "i"), "i")
        own = coordinates_of(writer, "i", self.shape, "a") if self.copies else []
        copies = {x: offset_in_copy(x, self.layouts, own) for x in self.copies}
        conditions = ("mask",) * len(coordinates)
        if self.lengths:
            stored = tuple(offset_text(access, coordinates) for access in self.stored)
        else:  # of one element, whose number is 0
            stored = tuple(f"i + {access.offset}" for access in self.stored)
        return Places(coordinates, conditions, "mask", "i", copies, stored, programs)

    def ordered(self, steps: Sequence[Expr], read: Mapping[Expr, Access]) -> Sequence[Expr]:
        """Loads and computations in the best order."""
        return steps


@dataclass(frozen=True)
class Tiles:
    """A walk from tile to tile: a program has ``row`` by ``column``, and one of every other axis.

    Attributes:
        lengths: of the axes of what is computed, made one where they lie within each other.
        axis: of the rows; the columns are the last one.
        read, stored, dense, copies: what is read and stored, the row-major order and the copies,
            by these axes.
    """

    lengths: tuple[int, ...]
    axis: int
    read: tuple[Access, ...]
    stored: tuple[Access, ...]
    dense: Access
    copies: Mapping[Expr, Access]

    @property
    def sizes(self) -> Sequence[Size]:
        """What programs may have, the best first."""
        most = max(BLOCK, math.prod(self.lengths) // PROGRAMS)
        return [size for size in _TILES if size.elements <= most]

    def begin(self, writer: Writer, size: Size) -> Places:
        """The lines that tell which elements a program has."""
        rows, columns = self.lengths[self.axis], self.lengths[-1]
        height, width = sides(rows, columns, size.elements)
        steps = [1] * len(self.lengths)
        steps[self.axis], steps[-1] = height, width
        counts = [-(-n // step) for n, step in zip(self.lengths, steps, strict=True)]
        accesses = [*self.read, *self.stored, self.dense, *self.copies.values()]
        wide = ".to(tl.int64)" if reach_of(self.lengths, accesses) >= WIDE else ""
        writer.line(f"tile = tl.program_id(0){wide}")
        several = [n for n in counts if n > 1]
        names = iter(coordinates_of(writer, "tile", several, "t"))
        coordinates = [next(names) if n > 1 else "0" for n in counts]
        conditions = [""] * len(counts)
        for axis, name, index in ((self.axis, "row", "[:, None]"), (-1, "column", "[None, :]")):
            step, length = steps[axis], self.lengths[axis]
            own = f"tl.arange(0, {step}){wide}"
            if counts[axis] > 1:
                own = f"({coordinates[axis]} * {step} + {own})"
            writer.line(f"{name} = {own}{index}")
            coordinates[axis] = name
            conditions[axis] = f"{name} < {length}" if length % step else ""
        inside = conditions[self.axis] or conditions[-1]
        if conditions[self.axis] and conditions[-1]:
            writer.line(f"mask = ({conditions[self.axis]}) & ({conditions[-1]})")
            inside = "mask"
        copies = {x: offset_text(access, coordinates) for x, access in self.copies.items()}
        position = offset_text(self.dense, coordinates)
        stored = tuple(offset_text(access, coordinates) for access in self.stored)
        along, programs = (tuple(coordinates), tuple(conditions)), math.prod(counts)
        return Places(*along, inside, position, copies, stored, programs)

    def ordered(self, steps: Sequence[Expr], read: Mapping[Expr, Access]) -> Sequence[Expr]:
        """Loads and computations in the best order.

        Triton computes in the order of threads of what is loaded last. That is to be what lies as
        the result does, so that only what lies in another order goes through shared memory.
        """

        def place(y: Expr) -> int:
            row, column = (abs(read[y].strides[axis]) for axis in (self.axis, -1))
            return 0 if 0 in (row, column) else 1 if row < column else 2

        early = [*takewhile(read.__contains__, steps)]
        return [*sorted(early, key=place), *steps[len(early) :]]


def sides(rows: int, columns: int, elements: int) -> tuple[int, int]:
    """The rows and columns of a tile: a square, but no longer one way than there is use for."""
    width = min(1 << elements.bit_length() // 2, power_of_two(columns))
    height = min(elements // width, power_of_two(rows))
    return height, min(elements // height, power_of_two(columns))


def _cut(
    shape: Shape,
    accesses: Sequence[Access],
    copies: Sequence[Expr],
    layouts: Mapping[Expr, Layout],
) -> tuple[list[int], list[Access]] | None:
    """A shape with each axis cut where copies have its parts elsewhere, so that all is strides.

    Returns:
        The shape, and by its axes the accesses and then the copies; None where two copies cut an
        axis in ways that do not go together.
    """
    places = [places_in_copy(x, layouts) or () for x in copies]
    lengths: list[int] = []
    strides: list[list[int]] = []
    for axis, length in enumerate(shape):
        own = [terms[axis] for terms in places]
        divisors = sorted({1, *(term.divisor for terms in own for term in terms)})
        ends = [*divisors[1:], length]
        if any(end % divisor for divisor, end in zip(divisors, ends, strict=True)):
            return None
        for divisor, end in zip(reversed(divisors), reversed(ends), strict=True):
            lengths.append(end // divisor)
            of_accesses = [access.strides[axis] * divisor for access in accesses]
            strides.append([*of_accesses, *(_stride(terms, divisor) for terms in own)])
    bases = [*((access.base, access.offset) for access in accesses), *((x, 0) for x in copies)]
    by_access = zip(*strides, strict=True)
    found = [Access(*base, own) for base, own in zip(bases, by_access, strict=True)]
    return lengths, found


def _stride(terms: Sequence[Term], divisor: int) -> int:
    """How far apart a copy has coordinates that differ by a divisor."""
    own = [term for term in terms if term.divisor <= divisor]
    return own[-1].stride * (divisor // own[-1].divisor) if own else 0
