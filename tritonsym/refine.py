"""Kernels that keep values in registers, made to move fewer bytes.

A scheduler puts together what one pass can compute. Where inner values cost no memory there is more
to gain: a copy can be stored by the kernel that computes its elements, and a value can be computed
again from smaller ones instead of being stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .expr import REDUCTIONS, Expr, Shape
from .layout import Layout, places_in_copy
from .schedule import Kernel, is_row_broadcast

# What is computed again without a second thought: a few instructions each.
CHEAP = frozenset(
    (
        *("neg", "abs", "sign", "add", "sub", "mul", "maximum", "minimum", "where", "cast"),
        *("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not"),
    )
)
_STEPS = CHEAP | {"iota"}
# Steps that every reader takes at most instead of reading their result.
_LONGEST = 12


def refined(
    kernels: Sequence[Kernel],
    outputs: Sequence[Expr],
    layouts: Mapping[Expr, Layout],
    stages: Mapping[Expr, int],
) -> tuple[Kernel, ...]:
    """The same work in kernels that move no more, and in some that move less.

    Args:
        kernels: in an order in which they can run.
        outputs: what is wanted.
        layouts: of every expression.
        stages: of every expression. Between stages what is in memory may change.
    """
    refining = _Refining(kernels, outputs, layouts, stages)
    for x in [x for kernel in kernels if kernel.form == "single" for x in kernel.body]:
        refining.store_copy_where_computed(x)
    for x in [x for kernel in reversed(kernels) for x in reversed(kernel.outputs)]:
        refining.compute_again(x)
    return tuple(kernel for kernel in refining.kernels if kernel.body)


class _Refining:
    """The kernels as they change, and who computes and who reads each value."""

    def __init__(
        self,
        kernels: Sequence[Kernel],
        outputs: Sequence[Expr],
        layouts: Mapping[Expr, Layout],
        stages: Mapping[Expr, int],
    ) -> None:
        self.kernels = list(kernels)
        self._stages = [stages[kernel.body[0]] for kernel in kernels]
        self._layouts = layouts
        self._wanted = {layouts[x].base for x in outputs}
        self._home = {x: n for n, kernel in enumerate(kernels) for x in kernel.body}
        self._position = {x: place for place, x in enumerate(self._home)}
        self._computed = [set(kernel.body) for kernel in kernels]
        # The expressions that read a value from memory, by kernel.
        self._readers: dict[Expr, dict[int, list[Expr]]] = {}
        for number, kernel in enumerate(kernels):
            for x in kernel.body:
                self._note_reads(number, x)

    def _read(self, x: Expr) -> list[Expr]:
        """The memory that an expression needs, or the values that are in it."""
        bases = dict.fromkeys(self._layouts[y].base for y in x.inputs)
        return [base for base in bases if base.primitive != "constant"]

    def _note_reads(self, number: int, x: Expr) -> None:
        for base in self._read(x):
            if base not in self._computed[number]:
                self._readers.setdefault(base, {}).setdefault(number, []).append(x)

    def _forget_reads(self, number: int, x: Expr) -> None:
        for base in self._read(x):
            of_kernel = self._readers.get(base, {})
            if x in of_kernel.get(number, ()):
                of_kernel[number].remove(x)
                if not of_kernel[number]:
                    del of_kernel[number]

    def _put(self, number: int, added: Sequence[Expr], outputs: Sequence[Expr]) -> None:
        """Let a kernel compute more, or less, and store other values."""
        before = self._computed[number]
        body = sorted({*before, *added}, key=self._position.__getitem__)
        stored = sorted(set(outputs), key=self._position.__getitem__)
        alive = self._alive(body, stored)
        self.kernels[number] = replace(self.kernels[number], body=alive, outputs=tuple(stored))
        self._computed[number] = set(alive)
        for x in alive:
            if x not in before:
                self._readers.get(x, {}).pop(number, None)
                self._note_reads(number, x)
        for x in before.difference(alive):
            self._forget_reads(number, x)

    def _alive(self, body: Sequence[Expr], outputs: Sequence[Expr]) -> tuple[Expr, ...]:
        """What of a body the outputs need."""
        needed = set(outputs)
        for x in reversed(body):
            if x in needed:
                needed.update(self._layouts[y].base for y in x.inputs)
        return tuple(x for x in body if x in needed)

    # ---- copies ----

    def store_copy_where_computed(self, x: Expr) -> None:
        """Let the kernel that computes a value store it in the order of its copy, too."""
        if x.primitive != "reshape":
            return
        value, own = self._layouts[x.inputs[0]].base, self._home[x]
        home = self._home.get(value)
        if home is None or self.kernels[home].form == "single":
            return
        if self._stages[home] != self._stages[own]:
            return
        if places_in_copy(x, self._layouts) is None:
            return
        self._put(own, [], [])
        self._home[x] = home
        outputs = [*self.kernels[home].outputs, x]
        if not self._readers[value] and value not in self._wanted:
            outputs.remove(value)
        self._put(home, [x], outputs)

    # ---- values that are computed again ----

    def compute_again(self, x: Expr) -> None:
        """Let every reader of a value compute it from what is smaller, or stored in any case."""
        home, readers = self._home[x], [*self._readers.get(x, {})]
        if x in self._wanted or x.primitive not in _STEPS or not readers:
            return
        if any(self._stages[n] != self._stages[home] for n in readers):
            return
        if not all(self._can_compute(n, x) for n in readers):
            return
        found = self._cheapest(x, home, readers)
        if found is None:
            return
        for number in readers:
            self._put(number, found.steps, self._outputs(number))
        kept = [y for y in self._outputs(home) if y is not x]
        unstored = [base for base in found.bases(self._layouts) if self._is_inside(base, home)]
        self._put(home, [], [*kept, *unstored])
        self._home.update(dict.fromkeys(unstored, home))
        for y in unstored:
            self.compute_again(y)

    def _cheapest(self, x: Expr, home: int, readers: Sequence[int]) -> _Cone | None:
        """From what to compute a value where it is read, or None where storing it moves no more.

        From the value itself backwards, step by step: each time that nothing else is left to be
        computed again later, what is computed last is replaced by what it is computed from.
        """
        cone: _Cone | None = _Cone((x,), tuple(dict.fromkeys(x.inputs)))
        found, least = None, self._bytes_stored(x, home, readers)
        while cone is not None:
            if all(self._can_read(n, y) for n in readers for y in cone.leaves):
                moved = self._bytes_again(cone, home, readers)
                if moved < least:
                    found, least = cone, moved
            cone = self._deeper(cone, home) if len(cone.steps) < _LONGEST else None
        return found

    def _bytes_stored(self, x: Expr, home: int, readers: Sequence[int]) -> int:
        """What is moved for a value as it is: also what is read for nothing else."""
        moved = _bytes(x) * (1 + len(readers))
        if self._outputs(home) != (x,):
            return moved
        body = self.kernels[home].body
        read = {self._layouts[y].base for z in body for y in z.inputs}.difference(body)
        return moved + sum(_bytes(y) for y in read if y.primitive != "constant")

    def _bytes_again(self, cone: _Cone, home: int, readers: Sequence[int]) -> int:
        """What is moved where every reader computes a value; what stays unstored must be stored."""
        bases = cone.bases(self._layouts)
        unstored = [y for y in bases if self._is_inside(y, home)]
        moved = sum(_bytes(y) for n in readers for y in bases if not self._has(n, y))
        if unstored and self._outputs(home) == cone.steps[-1:]:
            moved += self._bytes_stored(cone.steps[-1], home, ()) - _bytes(cone.steps[-1])
        return moved + sum(map(_bytes, unstored))

    def _deeper(self, cone: _Cone, home: int) -> _Cone | None:
        """A cone with one more step, which only its kernel has."""
        open_ = [
            y
            for y in cone.leaves
            if y.primitive in _STEPS
            and y.shape == cone.steps[-1].shape
            and self._is_inside(y, home)
        ]
        if not open_:
            return None
        last = max(open_, key=self._position.__getitem__)
        leaves = [y for y in cone.leaves if y is not last]
        return _Cone((last, *cone.steps), tuple(dict.fromkeys((*leaves, *last.inputs))))

    def _outputs(self, number: int) -> tuple[Expr, ...]:
        return self.kernels[number].outputs

    def _is_inside(self, y: Expr, home: int) -> bool:
        """Whether a kernel computes a value and does not store it."""
        return y in self._computed[home] and y not in self._outputs(self._home[y])

    def _can_compute(self, number: int, x: Expr) -> bool:
        """Whether a kernel reads a value element by element, in the order in which it has it."""
        kernel = self.kernels[number]
        return kernel.form in ("pointwise", "rows") and all(
            reader.primitive != "reshape" and self._reads_as_it_is(reader, x)
            for reader in self._readers[x][number]
        )

    def _reads_as_it_is(self, reader: Expr, x: Expr) -> bool:
        return all(y is x or self._layouts[y].base is not x for y in reader.inputs)

    def _can_read(self, number: int, y: Expr) -> bool:
        """Whether a kernel can have a leaf: from memory in any order, and its own as it has it."""
        base = self._layouts[y].base
        if base is y or base not in self._computed[number]:
            return True
        return is_row_broadcast(y, self._layouts) and base.shape == _row_shape(self.kernels[number])

    def _has(self, number: int, x: Expr) -> bool:
        """Whether a kernel reads or computes a value in any case."""
        return number in self._readers.get(x, {}) or x in self._computed[number]


@dataclass(frozen=True)
class _Cone:
    """How a value is computed again: from leaves, by steps of which it is the last."""

    steps: tuple[Expr, ...]
    leaves: tuple[Expr, ...]

    def bases(self, layouts: Mapping[Expr, Layout]) -> list[Expr]:
        """The memory that the leaves are in; constants are in none."""
        bases = dict.fromkeys(layouts[y].base for y in self.leaves)
        return [y for y in bases if y.primitive != "constant"]


def _row_shape(kernel: Kernel) -> Shape | None:
    """The shape of a kernel's reductions."""
    return next((x.shape for x in kernel.body if x.primitive in REDUCTIONS), None)


def _bytes(x: Expr) -> int:
    return x.size * x.dtype.itemsize
