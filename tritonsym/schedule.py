"""Which expressions are computed together.

A kernel is what one pass over memory computes. Elementwise expressions of one shape join the
kernels of their producers wherever that makes no cycle; everything else is a kernel of its own.
Views that share memory are no work and belong to no kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .expr import SOURCES, Expr, toposort
from .layout import Layout

# Whoever has more readers than this is stored in any case: its kernel is not merged with theirs,
# which also keeps the search for cycles short.
_MANY_READERS = 64


@dataclass(frozen=True)
class Kernel:
    """Expressions computed together, inputs first.

    Attributes:
        form: ``pointwise`` for elementwise expressions of one shape, else ``single``.
        body: what it computes, in order.
        outputs: the part of the body that is needed outside.
    """

    form: str
    body: tuple[Expr, ...]
    outputs: tuple[Expr, ...]


@dataclass(eq=False)
class _Group:
    """A kernel being put together. Groups run in the order of their numbers."""

    number: int
    pointwise: bool
    shape: tuple[int, ...]
    body: list[Expr]
    readers: set[_Group] = field(default_factory=set)
    # Groups that read this one through a view, and so cannot be one pass with it.
    viewers: set[_Group] = field(default_factory=set)
    merged_into: _Group | None = None

    def root(self) -> _Group:
        root = self
        while root.merged_into is not None:
            root = root.merged_into
        step = self
        while step.merged_into is not None:
            step.merged_into, step = root, step.merged_into
        return root

    def absorb(self, other: _Group) -> None:
        small, large = sorted((self.body, other.body), key=len)
        large.extend(small)
        self.body, other.body = large, []
        self.readers |= other.readers
        self.viewers |= other.viewers
        other.merged_into = self


def why_not(source: _Group, home: _Group) -> str | None:
    """Why ``source`` cannot become a part of the later ``home``, or None where it can."""
    if not source.pointwise or source.shape != home.shape:
        return "it is not elementwise over the same shape"
    if len(source.readers) > _MANY_READERS:
        return "many kernels read it"
    if any(viewer.root() is home for viewer in source.viewers):
        return "it is read through a view as well"
    if any(reader.root().number < home.number for reader in source.readers):
        return "a kernel in between reads it"
    return None


def schedule(
    outputs: Sequence[Expr], layouts: Mapping[Expr, Layout], fuse: bool = True
) -> tuple[Kernel, ...]:
    """The kernels that compute ``outputs``, in an order in which they can run.

    Args:
        outputs: what is wanted.
        layouts: of every expression; those that own no memory are views.
        fuse: put elementwise expressions together; without it each is a kernel.
    """
    order = toposort(outputs)
    groups: list[_Group] = []
    group_of: dict[Expr, _Group] = {}
    for x in order:
        if x.primitive in SOURCES or layouts[x].base is not x:
            continue
        bases = [layouts[y].base for y in x.inputs]
        read = {group_of[base].root(): None for base in bases if base in group_of}
        direct = [group_of[y].root() for y in x.inputs if y in group_of] if fuse else []
        viewed = {
            group_of[base].root()
            for y, base in zip(x.inputs, bases, strict=True)
            if base is not y and base in group_of
        }
        home = _home(x, direct, list(read), viewed)
        if home is None:
            home = _Group(len(groups), x.is_elementwise, x.shape, [])
            groups.append(home)
        for source in viewed:
            source.viewers.add(home)
        if x.is_elementwise:
            for source in dict.fromkeys(direct):
                if source is not home and why_not(source, home) is None:
                    home.absorb(source)
        home.body.append(x)
        group_of[x] = home
        for source in read:
            if source.root() is not home:
                source.root().readers.add(home)
    return _kernels(order, outputs, groups, layouts)


def _home(
    x: Expr, direct: Sequence[_Group], read: Sequence[_Group], viewed: set[_Group]
) -> _Group | None:
    """The producer's group that ``x`` can join: the last one, if all it reads runs before."""
    if not x.is_elementwise:
        return None
    candidates = [g for g in direct if g.pointwise and g.shape == x.shape and g not in viewed]
    if not candidates:
        return None
    last = max(candidates, key=lambda group: group.number)
    return last if all(group.number <= last.number for group in read) else None


def _kernels(
    order: Sequence[Expr],
    outputs: Sequence[Expr],
    groups: Sequence[_Group],
    layouts: Mapping[Expr, Layout],
) -> tuple[Kernel, ...]:
    position = {x: number for number, x in enumerate(order)}
    home: dict[Expr, _Group] = {
        x: group for group in groups if group.merged_into is None for x in group.body
    }
    needed = {layouts[x].base for x in outputs}
    for x in order:
        if x in home:
            for y in x.inputs:
                base = layouts[y].base
                if home.get(base) is not home[x] or base is not y:
                    needed.add(base)
    kernels = []
    for group in groups:
        if group.merged_into is None:
            body = tuple(sorted(group.body, key=position.__getitem__))
            form = "pointwise" if group.pointwise else "single"
            kernels.append(Kernel(form, body, tuple(x for x in body if x in needed)))
    return tuple(kernels)
