"""Kernels that keep values in registers, made to move fewer bytes.

A scheduler puts together what one pass can compute. Where inner values cost no memory there is more
to gain: a copy can be stored by the kernel that computes its elements, and a value can be computed
again from smaller ones instead of being stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .expr import SOURCES, Expr
from .layout import Layout, places_in_copy
from .schedule import Kernel

# What is computed again without a second thought: a few instructions each.
CHEAP = frozenset(
    (
        *("neg", "abs", "sign", "add", "sub", "mul", "maximum", "minimum", "where", "cast"),
        *("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not"),
    )
)


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
        # The expressions in other kernels that read a value, by kernel.
        self._readers: dict[Expr, dict[int, list[Expr]]] = {}
        for number, kernel in enumerate(kernels):
            self._note_reads(number, kernel.body)

    def _note_reads(self, number: int, body: Sequence[Expr]) -> None:
        for x in body:
            for base in dict.fromkeys(self._layouts[y].base for y in x.inputs):
                if self._home.get(base, number) != number:
                    self._readers.setdefault(base, {}).setdefault(number, []).append(x)

    def _put(self, number: int, added: Sequence[Expr], outputs: Sequence[Expr]) -> None:
        """Let a kernel compute more, and store other values."""
        body = sorted({*self.kernels[number].body, *added}, key=self._position.__getitem__)
        stored = sorted(set(outputs), key=self._position.__getitem__)
        alive = self._alive(body, stored)
        self.kernels[number] = replace(self.kernels[number], body=alive, outputs=tuple(stored))

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
        self.kernels[own] = replace(self.kernels[own], body=(), outputs=())
        self._home[x] = home
        del self._readers[value][own]
        outputs = [*self.kernels[home].outputs, x]
        if not self._readers[value] and value not in self._wanted:
            outputs.remove(value)
        self._put(home, [x], outputs)

    # ---- values that are computed again ----

    def compute_again(self, x: Expr) -> None:
        """Let every reader of a value compute it from what is smaller, or stored in any case."""
        if x.primitive not in CHEAP or x in self._wanted:
            return
        home, readers = self._home[x], self._readers.get(x, {})
        if not readers or not all(self._can_compute(n, x) for n in readers):
            return
        if any(self._stages[n] != self._stages[home] for n in readers):
            return
        inputs = [y for y in x.inputs if y.primitive != "constant"]
        if any(self._layouts[y].base is not y for y in inputs):
            return
        unstored = [y for y in inputs if self._home.get(y) == home and y not in self._outputs(home)]
        if any(y.shape != x.shape for y in unstored):
            return
        before = _bytes(x) * (1 + len(readers))
        after = sum(map(_bytes, unstored)) + sum(
            _bytes(y) for n in readers for y in inputs if not self._has(n, y)
        )
        if after >= before:
            return
        for number in readers:
            self._put(number, [x], self._outputs(number))
            for y in inputs:
                if y.primitive not in SOURCES and not self._has(number, y):
                    self._readers.setdefault(y, {}).setdefault(number, []).append(x)
        self._readers[x] = {}
        kept = [y for y in self._outputs(home) if y is not x]
        self._put(home, [], [*kept, *unstored])
        for y in unstored:
            self.compute_again(y)

    def _outputs(self, number: int) -> tuple[Expr, ...]:
        return self.kernels[number].outputs

    def _can_compute(self, number: int, x: Expr) -> bool:
        """Whether a kernel reads a value element by element, in the order in which it has it."""
        kernel = self.kernels[number]
        return kernel.form in ("pointwise", "rows") and all(
            reader.primitive != "reshape" and self._reads_as_it_is(reader, x)
            for reader in self._readers[x][number]
        )

    def _reads_as_it_is(self, reader: Expr, x: Expr) -> bool:
        return all(y is x or self._layouts[y].base is not x for y in reader.inputs)

    def _has(self, number: int, x: Expr) -> bool:
        """Whether a kernel reads or computes a value in any case."""
        return number in self._readers.get(x, {}) or x in self.kernels[number].body


def _bytes(x: Expr) -> int:
    return x.size * x.dtype.itemsize
