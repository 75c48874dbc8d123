"""Small kernels that do not wait for each other, put together: one launch instead of many.

A launch costs about as much as moving a few megabytes. The updates of a network's parameters, or
operators on a few elements each, are therefore one kernel: some of its programs do the work of one
of them, some that of another. Large kernels stay in their order, and with it stays how much memory
they need at a time. Small ones are moved: later where nobody waits for them, else to an earlier
one, as long as little is held in memory for that.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from ..expressions.expr import VIEWS, Expr
from ..expressions.layout import Layout
from .schedule import Kernel
from .waiting import is_again, read_by, waits_for

# Bytes that a small kernel reads and writes at most: a GPU moves as many while it starts another
# one. An estimate, which was not measured.
SMALL = 2**22
# Kernels of more kinds than this are not put together: each kind is text of its own, and all
# programs have the registers of the kind that needs most.
MOST_KINDS = 8
# Bytes that are held longer than they would be at most, because kernels are moved.
MOST_HELD = 2**28
# Expressions that are a kernel of their own and that generated kernels compute.
_MOVEMENTS = VIEWS | {"flip", "concat", "take", "pick"}


def combined(
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
    before = waits_for(kernels, layouts, replaced)
    small = [_is_small(kernel, layouts) for kernel in kernels]
    stage_of = [stages[kernel.body[0]] for kernel in kernels]
    last = _last_if_nobody_waits(kernels, before, small, stage_of)
    read = {n for writers in before for n in writers}
    groups = _Groups()
    for number in sorted(range(len(kernels)), key=lambda n: (stage_of[n], last[n], n)):
        kernel = kernels[number]
        stays = not small[number] or (number in read and is_again(kernel))
        kind = None if stays else _kind(kernel)
        held = sum(x.byte_count for x in kernel.outputs) if number in read else 0
        groups.add(number, before[number], stage_of[number], kind, held)
    if len(groups.members) == len(kernels):
        return tuple(kernels)
    return tuple(_one([kernels[number] for number in members]) for members in groups.members)


def _one(kernels: Sequence[Kernel]) -> Kernel:
    if len(kernels) == 1:
        return kernels[0]
    body = tuple(x for kernel in kernels for x in kernel.body)
    outputs = tuple(x for kernel in kernels for x in kernel.outputs)
    return Kernel("combined", body, outputs, tuple(kernels))


def _is_small(kernel: Kernel, layouts: Mapping[Expr, Layout]) -> bool:
    """Whether a kernel is one of those that are put together."""
    (first, *_) = kernel.body
    if kernel.form == "matmul" or (kernel.form == "single" and first.primitive not in _MOVEMENTS):
        return False
    held = {*read_by(kernel, layouts), *kernel.outputs}
    return sum(x.byte_count for x in held) <= SMALL


def _kind(kernel: Kernel) -> Hashable:
    """What is the same of kernels that are likely to have the same text."""
    return (kernel.form, *((x.primitive, x.attributes, x.dtype, x.shape) for x in kernel.body))


def _last_if_nobody_waits(
    kernels: Sequence[Kernel],
    before: Sequence[set[int]],
    small: Sequence[bool],
    stages: Sequence[int],
) -> list[bool]:
    """Which kernels are moved to the end of their stage, to meet there: none of it waits for them.

    What they read is held until then.
    """
    awaited: set[int] = set()
    last = [False] * len(kernels)
    held: set[int] = set()
    room = MOST_HELD
    for number in reversed(range(len(kernels))):
        writers = {n for n in before[number] if stages[n] == stages[number]}
        added = sum(x.byte_count for n in writers - held for x in kernels[n].outputs)
        last[number] = small[number] and number not in awaited and added <= room
        if last[number]:
            room -= added
            held |= writers
        else:
            awaited |= writers
    return last


@dataclass
class _Groups:
    """Kernels that are to be one, in an order in which they can run.

    Attributes:
        members: the numbers of the kernels of each group.
    """

    members: list[list[int]] = field(default_factory=list)
    _group_of: dict[int, int] = field(default_factory=dict)
    # The stage that is being added, and its first group.
    _stage: int = 0
    _begin: int = 0
    _room: int = field(default_factory=lambda: MOST_HELD)
    # How many kinds each group has, and which groups have room for another one or have a kind.
    _kinds: list[int] = field(default_factory=list)
    _roomy: list[int] = field(default_factory=list)
    _of_kind: dict[Hashable, list[int]] = field(default_factory=dict)

    def add(
        self, number: int, before: set[int], stage: int, kind: Hashable | None, held: int
    ) -> None:
        """Put a kernel into the first group that it can be a part of, or into a new one.

        Args:
            number: of the kernel.
            before: the kernels that it has to run after; they are in groups already.
            stage: of the kernel; kernels come in the order of their stages.
            kind: of a small kernel that may be moved.
            held: bytes that are in use for longer if it is.
        """
        if stage != self._stage:
            self._stage, self._begin = stage, len(self.members)
        earliest = max((self._group_of[n] + 1 for n in before), default=0)
        group = None
        if kind is not None and held <= self._room:
            group = self._first(max(earliest, self._begin), kind)
        self._room -= held if group is not None else 0
        if group is None:
            group = len(self.members)
            self.members.append([])
            self._kinds.append(0)
            if kind is not None:
                self._roomy.append(group)
        self.members[group].append(number)
        self._group_of[number] = group
        if kind is not None and group not in self._of_kind.setdefault(kind, []):
            insort(self._of_kind[kind], group)
            self._kinds[group] += 1
            if self._kinds[group] == MOST_KINDS:
                self._roomy.remove(group)

    def _first(self, earliest: int, kind: Hashable) -> int | None:
        """The first group of this kind from there on, or else the first with room."""
        for groups in (self._of_kind.get(kind, ()), self._roomy):
            place = bisect_left(groups, earliest)
            if place < len(groups):
                return groups[place]
        return None
