"""Small matrix products that belong together, as one.

An unrolled network multiplies the rows of each step by the same matrix, and the gradient of that
matrix is a sum of as many products. Each of them reads or writes the whole matrix for a few rows,
and is too small for a library's blocks and for a GPU. Here

- products of the slices of an array with one matrix are slices of one product,
- products with one matrix that are put one after the other are one product,
- a sum of products is one product of more terms,

where that moves fewer elements. Nothing that is multiplied can depend on the results: slices have
their array in common, and the others are read by their sum alone, or by what puts them together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..expressions.expr import Expr, Shape, concat, make, permute, reshape, slice_
from ..expressions.walks import toposort
from ..graph.trace import Graph
from .simplify import on_new_inputs, replaced

New = Mapping[Expr, Expr]


def with_joined_products(graph: Graph) -> Graph:
    """The graph with one product instead of many, where they belong together."""
    order = toposort(graph.outputs)
    if sum(x.primitive == "dot" or _product_of_rows(x) is not None for x in order) < 2:
        return graph
    joined = {**_of_slices(order, graph), **_read_together(order, graph)}

    def change(x: Expr, new: New) -> Expr:
        return joined[x].made(new) if x in joined else on_new_inputs(x, new)

    return replaced(graph, change) if joined else graph


class _Joined(Protocol):
    """What takes the place of an expression."""

    def made(self, new: New) -> Expr:
        """It, from what the expressions before it became."""


# ---- products of rows --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Product:
    """A product whose left operand is rows, each of which gives a row of the result.

    Attributes:
        result: a matrix product, or a call that computes one.
        rows, length, width: how many rows, and the elements of one before and after.
    """

    result: Expr
    rows: int
    length: int
    width: int

    @property
    def kind(self) -> Hashable:
        """What it does with a row."""
        x = self.result
        kept = tuple(pair for pair in x.attributes if pair[0] not in ("shape", "operations"))
        return x.primitive, x.inputs[1:], kept

    def of(self, data: Expr, new: New) -> Expr:
        """The same product of other rows, in an array of two axes."""
        x = self.result
        attributes = dict(x.attributes)
        if x.primitive == "native":
            attributes["shape"] = (data.shape[0], self.width)
            attributes["operations"] = 2 * data.size * self.width
        return make(x.primitive, data, *(new[y] for y in x.inputs[1:]), **attributes)


def _product_of_rows(x: Expr) -> _Product | None:
    by_rows = x.primitive == "native" and x["by_rows"] is True
    if x.primitive == "dot":
        by_rows = len(x.shape) == 2 and not x["transpose_a"]
    if not by_rows or x.size == 0:
        return None
    rows = x.size // x.shape[-1]
    return _Product(x, rows, x.inputs[0].size // rows, x.shape[-1])


# ---- of slices ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Slice:
    """Rows that are a part of an array.

    Attributes:
        base: the array.
        rank: how many of its axes are rows; the others are within one row.
        axis: the one of which this is a part, from ``start`` to ``stop``.
    """

    base: Expr
    rank: int
    axis: int
    start: int
    stop: int

    @property
    def lengths(self) -> Shape:
        """Of the axes that are rows."""
        return self.base.shape[: self.rank]


def _slice_of(x: Expr, length: int) -> _Slice | None:
    """What rows of some length are a part of, if it is a part along one axis."""
    while x.primitive == "reshape":
        (x,) = x.inputs
    if x.primitive != "slice":
        return None
    (base,) = x.inputs
    cut = [axis for axis, n in enumerate(x.shape) if n != base.shape[axis]]
    if len(cut) != 1 or x.integers("steps")[cut[0]] != 1:
        return None
    (axis,), rank = cut, _rank(x.shape, length)
    if rank is None or rank <= axis:
        return None
    start = x.integers("starts")[axis]
    return _Slice(base, rank, axis, start, start + x.shape[axis])


def _rank(shape: Shape, length: int) -> int | None:
    """How many axes of an array are rows, where the others have so many elements."""
    for rank in range(len(shape), 0, -1):
        if math.prod(shape[rank:]) == length:
            return rank
    return None


def _is_all(parts: Sequence[_Slice]) -> bool:
    """Whether slices in their order are all of an array."""
    one = {(part.base, part.rank, part.axis) for part in parts}
    ends = [0, *(part.stop for part in parts)]
    starts = [*(part.start for part in parts), parts[0].base.shape[parts[0].axis]]
    return len(one) == 1 and starts == ends


@dataclass(frozen=True)
class _OfSlice:
    """A slice of the product of all rows."""

    product: _Product
    part: _Slice

    def made(self, new: New) -> Expr:
        product, part = self.product, self.part
        rows = reshape(new[part.base], (math.prod(part.lengths), product.length))
        whole = reshape(product.of(rows, new), (*part.lengths, product.width))
        starts, stops = [0] * len(whole.shape), list(whole.shape)
        starts[part.axis], stops[part.axis] = part.start, part.stop
        return reshape(slice_(whole, starts, stops, [1] * len(stops)), product.result.shape)


def _of_slices(order: Sequence[Expr], graph: Graph) -> dict[Expr, _Joined]:
    """Products of all slices of an array, where each reads more of the matrix than it has rows."""
    # What the first stage computes is not joined with what need not be computed there.
    first = set(toposort(graph.outputs[: graph.ends[0]]))
    groups: dict[Hashable, list[_OfSlice]] = {}
    for x in order:
        product = _product_of_rows(x)
        part = None if product is None else _slice_of(x.inputs[0], product.length)
        if product is not None and part is not None and product.rows <= product.length:
            key = (part.base, part.rank, part.axis, product.kind, x in first)
            groups.setdefault(key, []).append(_OfSlice(product, part))
    for group in groups.values():
        group.sort(key=lambda found: found.part.start)
    whole = (group for group in groups.values() if _is_all([found.part for found in group]))
    return {found.product.result: found for group in whole for found in group}


# ---- read together -----------------------------------------------------------------------------


def _read_together(order: Sequence[Expr], graph: Graph) -> dict[Expr, _Joined]:
    """Products one after the other, and sums of products and of what they multiply."""
    reading = _Reading(order, graph)
    found: dict[Expr, _Joined] = {}
    sums = {x: terms for x in reversed(order) if (terms := reading.terms(x))}
    for x in order:
        if x in sums:
            found.update((x, joined) for joined in reading.products_in(x, sums[x]))
        elif x.primitive == "concat":
            found.update((x, joined) for joined in reading.in_a_row(x))
    of_sums = [joined for joined in found.values() if isinstance(joined, _Sum)]
    together = {
        frozenset(rows): rows for joined in of_sums for rows, axis in joined.operands if axis == 0
    }
    for x in sums.keys() - found.keys():
        found.update((x, joined) for joined in reading.sums_in(x, sums[x], together))
    return found


class _Reading:
    """Who reads what, and when."""

    def __init__(self, order: Sequence[Expr], graph: Graph) -> None:
        self._position = {x: place for place, x in enumerate(order)}
        self._readers = Counter(y for x in order for y in x.inputs)
        self._readers.update(graph.outputs)
        self._within: set[Expr] = set()

    def _once(self, y: Expr) -> bool:
        """Whether a value is read once, and so in the stage that computes it."""
        return self._readers[y] == 1

    def in_a_row(self, x: Expr) -> Iterator[_InARow]:
        """Products with one matrix one after the other, along an axis of rows."""
        products = [found for y in x.inputs for found in self._products(y)]
        if len(products) < len(x.inputs) or len({found.kind for found in products}) > 1:
            return
        axis, one = x.integer("axis"), products[0]
        rank = _rank(x.inputs[0].shape, one.width)
        lengths = [y.shape[axis] for y in x.inputs]
        if rank is None or rank <= axis or not _is_of_blocks(x.shape[:axis], lengths):
            return
        if sum(found.rows for found in products) <= (len(products) - 1) * one.width:
            yield _InARow(x, tuple(products))

    def _products(self, y: Expr) -> Iterator[_Product]:
        """The product whose rows are put into an array, if it is one."""
        while y.primitive == "reshape" and self._once(y):
            (y,) = y.inputs
        found = _product_of_rows(y)
        if found is not None and y.primitive == "dot" and self._once(y):
            yield found

    def terms(self, x: Expr) -> list[Expr]:
        """What is added up, from the last of several additions: of the others nothing."""
        if x.primitive != "add" or x in self._within or not x.dtype.is_float:
            return []
        found, waiting = [], [x]
        while waiting:
            y = waiting.pop()
            if y is x or (y.primitive == "add" and y.shape == x.shape and self._once(y)):
                self._within.add(y)
                waiting += reversed(y.inputs)
            else:
                found.append(y)
        return found

    def products_in(self, x: Expr, terms: Sequence[Expr]) -> Iterator[_Sum]:
        """The products of a sum, if one of all reads and writes less."""
        groups: dict[Hashable, list[Expr]] = {}
        for y in terms:
            if y.primitive == "dot" and len(y.shape) == 2 and y.size and self._once(y):
                groups.setdefault(y.attributes, []).append(y)
        products = max(groups.values(), key=len, default=[])
        # In the order of what is there first, so that those of one step have one place everywhere.
        products.sort(key=lambda y: min(self._position[z] for z in y.inputs))
        depth = sum(matrix.shape[axis] for y in products for matrix, axis in _operands(y)[:1])
        if len(products) > 1 and depth * sum(x.shape) <= (len(products) - 1) * x.size:
            yield _Sum(x, tuple(products), _without(terms, products))

    def sums_in(
        self, x: Expr, terms: Sequence[Expr], together: Mapping[frozenset[Expr], Sequence[Expr]]
    ) -> Iterator[_Sum]:
        """The sums of columns in a sum, if all rows are put together in any case."""
        columns = {y: total for y in terms for total in self._totals(y)}
        rows = together.get(frozenset(total.inputs[0] for total in columns.values()))
        if rows is not None:
            totals = sorted(columns.values(), key=lambda total: rows.index(total.inputs[0]))
            yield _Sum(x, tuple(totals), _without(terms, columns))

    def _totals(self, y: Expr) -> Iterator[Expr]:
        """The sum over the rows of a matrix whose result, in some shape, is read."""
        while y.primitive == "reshape" and self._once(y):
            (y,) = y.inputs
        is_of_rows = y.primitive == "sum" and len(y.shape) == 2 and y.integers("axes") == (0,)
        if is_of_rows and self._once(y):
            yield y


def _without(terms: Sequence[Expr], some: Collection[Expr]) -> tuple[Expr, ...]:
    return tuple(y for y in terms if y not in some)


def _operands(x: Expr) -> list[tuple[Expr, int]]:
    """What a product, or a sum of columns, adds up, and along which axis."""
    if x.primitive == "sum":
        return [(x.inputs[0], 0)]
    left, right = x.inputs
    return [(left, 0 if x["transpose_a"] else 1), (right, 1 if x["transpose_b"] else 0)]


def _is_of_blocks(before: Shape, lengths: Sequence[int]) -> bool:
    """Whether the parts of an array lie in it one after the other once their axis is the first.

    Args:
        before: the shape of the axes before it.
        lengths: of the parts, along it.
    """
    return math.prod(before) == 1 or all(length == 1 for length in lengths)


@dataclass(frozen=True)
class _InARow:
    """The product of all rows, in the shape of products that are put one after the other."""

    result: Expr
    products: tuple[_Product, ...]

    def made(self, new: New) -> Expr:
        x, (one, *_) = self.result, self.products
        rows = [
            reshape(new[found.result.inputs[0]], (found.rows, one.length))
            for found in self.products
        ]
        product = one.of(concat(rows, 0), new)
        axis = x.integer("axis")
        rest = (*x.shape[:axis], *x.shape[axis + 1 :])
        order = (*range(1, axis + 1), 0, *range(axis + 1, len(x.shape)))
        return permute(reshape(product, (x.shape[axis], *rest)), order)


@dataclass(frozen=True)
class _Sum:
    """One product, or one sum of columns, of more terms, and what else is added."""

    result: Expr
    terms: tuple[Expr, ...]
    others: tuple[Expr, ...]

    @property
    def operands(self) -> list[tuple[list[Expr], int]]:
        """The matrices of all terms, and the axis along which they are put together."""
        each = zip(*map(_operands, self.terms), strict=True)
        return [([x for x, _ in pairs], pairs[0][1]) for pairs in each]

    def made(self, new: New) -> Expr:
        joined = [_joined(matrices, axis, new) for matrices, axis in self.operands]
        total = reshape(self.terms[0].on(*joined), self.result.shape)
        for other in self.others:
            total = total + new[other]
        return total


def _joined(matrices: Sequence[Expr], axis: int, new: New) -> Expr:
    """Matrices one after the other; where they are all slices of an array, the array itself."""
    length = matrices[0].shape[1 - axis]
    parts = [part for x in matrices for part in _slices(x, length)] if axis == 0 else []
    if len(parts) == len(matrices) and _is_all(parts):
        base, along = new[parts[0].base], parts[0].axis
        if _is_of_blocks(base.shape[:along], [part.stop - part.start for part in parts]):
            order = (along, *(a for a in range(len(base.shape)) if a != along))
            return reshape(permute(base, order), (base.size // length, length))
    return concat([new[x] for x in matrices], axis)


def _slices(x: Expr, length: int) -> Iterator[_Slice]:
    found = _slice_of(x, length)
    if found is not None:
        yield found
