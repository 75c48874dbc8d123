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
    return tuple(_one(members) for members in families.members)


@dataclass
class _Families:
    """Kernels that are to be one, in an order in which they can run.

    Attributes:
        members: the kernels of each family.
    """

    members: list[list[Kernel]] = field(default_factory=list)
    _family_of: dict[int, int] = field(default_factory=dict)
    # What each family reads, how many arrays it writes, and the bytes that it holds longer than its
    # kernels apart would.
    _read: list[dict[_Part, int]] = field(default_factory=list)
    _written: list[int] = field(default_factory=list)
    _early: list[int] = field(default_factory=list)
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
            f: sum(size for part, size in read.items() if part in self._read[f])
            for f in sorted(near)
            if f >= earliest
        }
        fitting = [
            f
            for f, n in shared.items()
            if n >= max(least, self._early[f] + held)
            and len(self._read[f].keys() | read.keys()) + self._written[f] + len(kernel.outputs)
            <= _MOST_ARRAYS
        ]
        family = max(fitting, key=shared.__getitem__, default=None)
        if family is None:
            family = len(self.members)
            self.members.append([])
            self._read.append({})
            self._written.append(0)
            self._early.append(0)
        else:
            self._early[family] += held
        self.members[family].append(kernel)
        self._family_of[number] = family
        self._read[family].update(read)
        self._written[family] += len(kernel.outputs)
        for part in read if walk is not None else ():
            known = self._reading.setdefault((walk, part), [])
            if family not in known[-_LOOKED_AT:]:
                known.append(family)


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
