"""Kernels over the same elements that read the same, though neither reads the other, as one.

What both read is then moved once. The later one comes to the place of the earlier one, if all that
it waits for is there by then, and no more is held in memory for it than is moved less.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from ..expressions.expr import REDUCTIONS, Expr
from ..expressions.layout import Layout
from ..rewrites.cones import bytes_of
from .schedule import Kernel
from .waiting import is_again, waits_for

# The share of what a kernel moves that it must read together with its sibling: with less, it has
# its own registers and its own place instead.
_SHARE = 1 / 4
# How many arrays a family reads and writes at most: what it writes waits in registers until the
# end, and with more of it programs would have fewer elements than the widest accesses.
_MOST_ARRAYS = 12
# How many of the last families that read something are looked at.
_LOOKED_AT = 8

# An array, where its part begins, and the strides and lengths of the part's axes.
_Part = tuple[Expr, int, tuple[tuple[int, int], ...]]


def with_siblings(
    kernels: Sequence[Kernel],
    layouts: Mapping[Expr, Layout],
    stages: Mapping[Expr, int],
    replaced: Mapping[Expr, int],
) -> tuple[Kernel, ...]:
    """The same work in fewer kernels, in an order in which they can run.

    Args:
        kernels: in an order in which they can run.
        layouts: of every expression.
        stages: of every expression; each of them runs on its own.
        replaced: the values that may be written straight into an input, and its index.
    """
    waits = waits_for(kernels, layouts, replaced)
    awaited = {n for before in waits for n in before}
    families = _Families()
    for number, kernel in enumerate(kernels):
        elements = _elements(kernel)
        walk = None if elements is None else (stages[kernel.body[0]], elements)
        held = bytes_of(kernel.outputs) if number in awaited else 0
        families.add(number, kernel, _read(kernel, layouts), waits[number], walk, held)
    return tuple(_one(family.members) for family in families.found)


@dataclass
class _Family:
    """Kernels that are to be one.

    Attributes:
        members: in an order in which they can run.
        read: what they read.
        written: how many arrays they write.
        held: the bytes that are in use for longer than if they ran apart.
    """

    members: list[Kernel] = field(default_factory=list)
    read: set[_Part] = field(default_factory=set)
    written: int = 0
    held: int = 0

    def has_room(self, read: Mapping[_Part, int], written: int) -> bool:
        """Whether it would still read and write few arrays with a kernel that does this."""
        return len(self.read | read.keys()) + self.written + written <= _MOST_ARRAYS


@dataclass
class _Families:
    """All families, in an order in which they can run."""

    found: list[_Family] = field(default_factory=list)
    _family_of: dict[int, int] = field(default_factory=dict)
    # The families with a walk that read a part of an array.
    _reading: dict[tuple[Hashable, _Part], list[int]] = field(default_factory=dict)

    def add(
        self,
        number: int,
        kernel: Kernel,
        read: Mapping[_Part, int],
        before: set[int],
        walk: Hashable | None,
        held: int,
    ) -> None:
        """Put a kernel into the family with which it reads most, or into a new one.

        Args:
            number: of the kernel.
            read: what it reads from memory, and how many bytes each part has.
            before: the kernels that it has to run after; they are in families already.
            walk: what it has in common with all that it could be one with, or None.
            held: bytes that are in use for longer if it runs earlier.
        """
        earliest = max((self._family_of[n] + 1 for n in before), default=0)
        near = {f for part in read for f in self._reading.get((walk, part), ())[-_LOOKED_AT:]}
        least = _SHARE * (sum(read.values()) + bytes_of(kernel.outputs))
        shared = {
            f: sum(size for part, size in read.items() if part in self.found[f].read)
            for f in sorted(near)
            if f >= earliest
        }
        fitting = [
            f
            for f, n in shared.items()
            if n >= max(least, self.found[f].held + held)
            and self.found[f].has_room(read, len(kernel.outputs))
        ]
        place = max(fitting, key=shared.__getitem__, default=None)
        if place is None:
            place, held = len(self.found), 0
            self.found.append(_Family())
        family = self.found[place]
        family.members.append(kernel)
        family.read.update(read)
        family.written += len(kernel.outputs)
        family.held += held
        self._family_of[number] = place
        for part in read if walk is not None else ():
            known = self._reading.setdefault((walk, part), [])
            if place not in known[-_LOOKED_AT:]:
                known.append(place)


def _read(kernel: Kernel, layouts: Mapping[Expr, Layout]) -> dict[_Part, int]:
    """What a kernel reads from memory, and how many bytes; two slices of an array are two parts."""
    found: dict[_Part, int] = {}
    inside = frozenset(kernel.body)
    for y in dict.fromkeys(y for x in kernel.body for y in x.inputs):
        layout = layouts[y]
        base = layout.base
        if base not in inside and base.primitive != "constant":
            steps = [(s, n) for s, n in zip(layout.strides, y.shape, strict=True) if s and n > 1]
            size = base.dtype.itemsize * math.prod(n for _, n in steps)
            found[base, layout.offset, tuple(sorted(steps))] = size
    return found


def _elements(kernel: Kernel) -> Hashable | None:
    """What a kernel walks over; None where it is not for others to join."""
    if kernel.form not in ("pointwise", "rows") or is_again(kernel):
        return None
    for x in kernel.body:
        if x.primitive in REDUCTIONS:
            return x.inputs[0].shape, x.integers("axes")
    return kernel.body[0].shape, ()


def _one(family: Sequence[Kernel]) -> Kernel:
    if len(family) == 1:
        return family[0]
    body = tuple(dict.fromkeys(x for kernel in family for x in kernel.body))
    outputs = tuple(dict.fromkeys(x for kernel in family for x in kernel.outputs))
    return Kernel(family[0].form, body, outputs)
