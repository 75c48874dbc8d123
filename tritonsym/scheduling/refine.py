"""Kernels that keep values in registers, made to move fewer bytes.

A scheduler puts together what one pass can compute. Where inner values cost no memory there is more
to gain: a copy can be stored by the kernel that computes its elements, and a value can be computed
again from smaller ones instead of being stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..expressions.expr import REDUCTIONS, Expr, Shape
from ..expressions.layout import Layout, parts_in_concat, places_in_copy
from ..rewrites.cones import CHEAP, LONGEST, Cone, bytes_of
from .schedule import Kernel, is_row_broadcast

# What readers of a value compute themselves.
_STEPS = CHEAP | {"iota"}


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

    def _put(
        self,
        number: int,
        added: Sequence[Expr],
        outputs: Sequence[Expr],
        without: Expr | None = None,
    ) -> None:
        """Let a kernel compute more, or less, and store other values, or read one of its own."""
        before = self._computed[number]
        body = sorted({*before, *added}.difference([without]), key=self._position.__getitem__)
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
        if without is not None:
            readers = [x for x in alive if without in self._read(x)]
            self._readers.setdefault(without, {})[number] = readers

    def _alive(self, body: Sequence[Expr], outputs: Sequence[Expr]) -> tuple[Expr, ...]:
        """What of a body the outputs need."""
        needed = set(outputs)
        for x in reversed(body):
            if x in needed:
                needed.update(self._layouts[y].base for y in x.inputs)
        return tuple(x for x in body if x in needed)

    # ---- copies ----

    def store_copy_where_computed(self, x: Expr) -> None:
        """Let the kernel that computes values store them in the order of their copy, too."""
        if x.primitive not in ("reshape", "concat"):
            return
        values, own = dict.fromkeys(self._layouts[y].base for y in x.inputs), self._home[x]
        home, *others = {self._home.get(value) for value in values}
        if others or home is None or not self._can_store(self.kernels[home], x):
            return
        if self._stages[home] != self._stages[own]:
            return
        self._put(own, [], [])
        self._home[x] = home
        outputs = [*self.kernels[home].outputs, x]
        for value in values:
            if not self._readers[value] and value not in self._wanted:
                outputs.remove(value)
        self._put(home, [x], outputs)

    def _can_store(self, kernel: Kernel, x: Expr) -> bool:
        """Whether a kernel can store a copy of what it computes, of one value or of several."""
        if x.primitive == "concat":
            in_order = kernel.form in ("pointwise", "matmul")
            return in_order and parts_in_concat(x, self._layouts) is not None
        return kernel.form != "single" and places_in_copy(x, self._layouts) is not None

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
        unstored = [y for y in self._bases(found) if self._is_inside(y, home)]
        kept = [y for y in self._outputs(home) if y is not x]
        self._put(home, [], [*kept, *unstored])
        self._home.update(dict.fromkeys(unstored, home))
        for y in unstored:
            self._read_where_computed(y)
        for y in unstored:
            self.compute_again(y)

    def _read_where_computed(self, y: Expr) -> None:
        """Let kernels that compute a value as well, which is stored now, read it instead."""
        for number, computed in enumerate(self._computed):
            if number != self._home[y] and y in computed:
                self._put(number, [], self._outputs(number), without=y)

    def _cheapest(self, x: Expr, home: int, readers: Sequence[int]) -> Cone | None:
        """How to compute a value where it is read, or None where that moves no less.

        The steps are tried from the value backwards, the latest first: after each, what they begin
        with is read by the readers, and stored if it is not in memory yet.
        """
        # A kernel for this value alone goes, with all that it reads, if it has nothing else to do.
        alone = self._outputs(home) == (x,)
        body = self.kernels[home].body if alone else ()
        read = bytes_of({y for z in body for y in self._read(z)}.difference(body))
        least = bytes_of([x]) * (1 + len(readers)) + read
        found: Cone | None = None
        cone: Cone | None = Cone((x,), tuple(dict.fromkeys(x.inputs)))
        while cone is not None:
            if all(self._can_read(n, y) for n in readers for y in cone.leaves):
                bases = self._bases(cone)
                unstored = [y for y in bases if self._is_inside(y, home)]
                moved = bytes_of(unstored) + (read if unstored else 0)
                moved += sum(bytes_of(y for y in bases if not self._has(n, y)) for n in readers)
                if moved < least:
                    found, least = cone, moved
            cone = self._deeper(cone, home)
        return found

    def _deeper(self, cone: Cone, home: int) -> Cone | None:
        """A cone with one more step, of those that only its kernel has, in registers."""
        shape = cone.steps[-1].shape
        inside = [y for y in cone.leaves if y.shape == shape and self._is_inside(y, home)]
        steps = [y for y in inside if y.primitive in _STEPS]
        if not steps or len(cone.steps) == LONGEST:
            return None
        last = max(steps, key=self._position.__getitem__)
        leaves = dict.fromkeys((*cone.leaves, *last.inputs))
        del leaves[last]
        return Cone((last, *cone.steps), tuple(leaves))

    def _bases(self, cone: Cone) -> list[Expr]:
        """The memory that the leaves of a cone are in; constants are in none."""
        bases = dict.fromkeys(self._layouts[y].base for y in cone.leaves)
        return [y for y in bases if y.primitive != "constant"]

    def _outputs(self, number: int) -> tuple[Expr, ...]:
        return self.kernels[number].outputs

    def _is_inside(self, y: Expr, home: int) -> bool:
        """Whether a kernel computes a value and nobody stores it."""
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


def _row_shape(kernel: Kernel) -> Shape | None:
    """The shape of a kernel's reductions."""
    return next((x.shape for x in kernel.body if x.primitive in REDUCTIONS), None)
