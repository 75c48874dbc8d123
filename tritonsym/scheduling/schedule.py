"""Which expressions are computed together.

A kernel is what one pass over memory computes: elementwise expressions of one shape; rows, where
reductions over the same axes take what is computed before and after them with them; or a matrix
product with what is computed of its result. Everything else is a kernel of its own. Views that
share memory are no work and belong to no kernel.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ..expressions.expr import GENERATED, PRODUCTS, REDUCTIONS, SOURCES, VIEWS, Expr, Shape
from ..expressions.layout import Layout
from ..expressions.walks import toposort

# Whoever has more readers than this is stored in any case: its kernel is not merged with theirs,
# which also keeps the search for cycles short.
_MANY_READERS = 64
# What a kernel that computes the elements can do as well: store them elsewhere.
COPIES = VIEWS | {"concat"}


@dataclass(frozen=True)
class Kernel:
    """Expressions computed together, inputs first.

    Attributes:
        form: ``pointwise`` for elementwise expressions of one shape, ``rows`` for reductions over
            the same axes with what surrounds them, ``matmul`` for a product and what follows it,
            ``combined`` for several kernels that run side by side, else ``single``.
        body: what it computes, in order.
        outputs: the part of the body that is needed outside.
        parts: of a combined one the kernels, none of which reads what another writes.
    """

    form: str
    body: tuple[Expr, ...]
    outputs: tuple[Expr, ...]
    parts: tuple[Kernel, ...] = ()

    @property
    def each(self) -> tuple[Kernel, ...]:
        """Its parts, or itself where it has none."""
        return self.parts or (self,)

    @property
    def product(self) -> Expr:
        """The product of a ``matmul``."""
        return next(x for x in self.body if x.primitive in PRODUCTS)

    @property
    def runs_python(self) -> bool:
        """Whether it is a caller's Python code."""
        return any(x.primitive == "native" and x["python"] is True for x in self.body)

    @property
    def computed(self) -> tuple[Expr, ...]:
        """The body without copies of its own values, which are only stored in another order."""
        if self.form == "single":
            return self.body
        return tuple(x for x in self.body if x.primitive not in COPIES)


# A value, who reads it from memory, and why they are not computed together.
Refusal = tuple[Expr, Expr, str]


@dataclass(eq=False)
class _Group:
    """A kernel being put together. Groups run in the order of their numbers."""

    number: int
    # Groups of different stages are apart: each stage runs on its own.
    stage: int
    # What it walks over; None for an expression that stays alone.
    shape: Shape | None
    # What its reductions reduce; None while it has none.
    axes: tuple[int, ...] | None = None
    # Whether it begins with a matrix product.
    product: bool = False
    # Whether it draws random numbers, for which a product leaves too few registers.
    random: bool = False
    body: list[Expr] = field(default_factory=list)
    readers: set[_Group] = field(default_factory=set)
    # Groups that read this one in another order, and so cannot be one pass with it.
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

    @property
    def row_shape(self) -> Shape | None:
        """The shape of its reductions' results."""
        if self.shape is None or self.axes is None:
            return None
        return tuple(1 if i in self.axes else n for i, n in enumerate(self.shape))

    def absorb(self, other: _Group) -> None:
        small, large = sorted((self.body, other.body), key=len)
        large.extend(small)
        self.body, other.body = large, []
        self.shape, self.axes = _wider(self, other)
        self.product = self.product or other.product
        self.random = self.random or other.random
        self.readers |= other.readers
        self.viewers |= other.viewers
        other.merged_into = self


def _wider(a: _Group, b: _Group) -> tuple[Shape | None, tuple[int, ...] | None]:
    """The shape and axes of the one of two groups that reduces, if one does."""
    return (a.shape, a.axes) if a.axes is not None else (b.shape, b.axes)


def _fit(a: _Group, b: _Group) -> bool:
    """Whether two groups walk over the same elements, or one over the rows of the other."""
    if a.stage != b.stage or a.shape is None or b.shape is None or (a.product and b.product):
        return False
    if a.product or b.product:
        if a.random or b.random:
            return False
        return a.shape == b.shape and a.axes is None and b.axes is None
    if a.axes is not None and b.axes is not None:
        return a.shape == b.shape and a.axes == b.axes
    return a.shape == b.shape or a.row_shape == b.shape or a.shape == b.row_shape


def _misfit(source: _Group, home: _Group) -> str:
    """Why two groups do not fit."""
    if source.stage != home.stage:
        return "they are parts of different passes"
    if source.shape is None:
        return "it is a kernel of its own"
    if home.shape is None:
        return "the reader is a kernel of its own"
    if source.product or home.product:
        if source.random or home.random:
            return "a product leaves no registers for random numbers"
        return "a tile of a product is no whole row, and no other shape"
    if source.axes is not None and home.axes is not None:
        return "they reduce other rows"
    return "they walk over other elements"


def why_not(source: _Group, home: _Group) -> str | None:
    """Why ``source`` cannot become a part of the later ``home``, or None where it can."""
    if not _fit(source, home):
        return _misfit(source, home)
    if len(source.readers) > _MANY_READERS:
        return "many kernels read it"
    if any(viewer.root() is home for viewer in source.viewers):
        return "it is read in another order as well"
    if any(reader.root().number < home.number for reader in source.readers):
        return "a kernel in between reads it"
    return None


def is_row_broadcast(y: Expr, layouts: Mapping[Expr, Layout]) -> bool:
    """Whether a view only repeats a value along axes of length 1, as rows repeat their results."""
    return y.primitive == "expand" and layouts[y].base is y.inputs[0]


def stages_of(
    outputs: Sequence[Expr], ends: Sequence[int], updates: Mapping[int, int] | None = None
) -> dict[Expr, int]:
    """The first stage that needs each expression, in an order in which they can be computed.

    Args:
        outputs: what is wanted.
        ends: how many outputs there are by the end of each stage.
        updates: the outputs that replace an input, by number: the index of the input. In the last
            stage they are computed after all that reads it, so that its memory can be theirs.
    """
    # The order of the first outputs alone is where the order of all begins.
    first = [toposort(outputs[:end]) for end in ends[:-1]]
    done = set(first[-1]) if first else set()
    every = toposort(outputs)
    read = {y for x in every for y in x.inputs}
    replacing = {outputs[number]: index for number, index in (updates or {}).items()}
    # What nothing reads cannot be on the way to what comes before it.
    last = {x: index for x, index in replacing.items() if x not in read and x not in done}
    if last:
        readers = _readers(every, set(last.values()))
        every = toposort(outputs, {x: readers[index] for x, index in last.items()})
    counts = [len(order) for order in first]
    return {x: bisect_right(counts, n) for n, x in enumerate(every)}


def _readers(order: Sequence[Expr], indices: Collection[int]) -> dict[int, list[Expr]]:
    """What reads inputs of these indices, at once or through views."""
    found: dict[int, list[Expr]] = {index: [] for index in indices}
    seen: dict[Expr, set[int]] = {}
    for x in order:
        if x.primitive == "input":
            seen[x] = {x.integer("index")}.intersection(found)
            continue
        through = set().union(*(seen.get(y, ()) for y in x.inputs))
        for index in through:
            found[index].append(x)
        if x.primitive in VIEWS:
            seen[x] = through
    return found


def schedule(
    outputs: Sequence[Expr],
    layouts: Mapping[Expr, Layout],
    fuse: bool = True,
    stages: Mapping[Expr, int] | None = None,
    beside: bool = False,
) -> tuple[tuple[Kernel, ...], tuple[Refusal, ...]]:
    """The kernels that compute ``outputs``, in an order in which they can run, and what is apart.

    Args:
        outputs: what is wanted.
        layouts: of every expression; those that own no memory are views.
        fuse: put expressions together; without it each is a kernel.
        stages: of every expression, in the order in which they are computed; one without it.
        beside: put reductions of the same rows together, though none reads another's result.

    Returns:
        The kernels, and each value that is stored for a reader in another kernel with the reason.
    """
    stages = stages_of(outputs, ()) if stages is None else stages
    order = list(stages)
    groups: list[_Group] = []
    stored: list[tuple[Expr, Expr, str]] = []
    group_of: dict[Expr, _Group] = {}
    # The groups that read each value.
    reading: dict[Expr, list[_Group]] = {}
    for x in order:
        if x.primitive in SOURCES or layouts[x].base is not x:
            continue
        own = _alone(x, len(groups), stages[x])
        read: dict[_Group, Expr] = {}
        direct: dict[_Group, None] = {}
        viewed: set[_Group] = set()
        for y in x.inputs:
            base = layouts[y].base
            if base in group_of:
                group = group_of[base].root()
                read[group] = base
                repeated = is_row_broadcast(y, layouts) and group.row_shape == base.shape
                if (base is y or repeated) and x.primitive not in PRODUCTS:
                    direct[group] = None
                else:
                    viewed.add(group)
        home = _home(own, list(direct), list(read), viewed) if fuse else None
        if home is None and fuse and beside and x.primitive in REDUCTIONS:
            home = _beside(own, reading.get(x.inputs[0], ()), list(read), viewed)
        if home is None:
            home = own
            groups.append(home)
        else:
            home.shape, home.axes = _wider(home, own)
        for source in viewed:
            source.viewers.add(home)
        if fuse:
            for source in direct:
                if source is not home and why_not(source, home) is None:
                    home.absorb(source)
        home.body.append(x)
        for y in x.inputs:
            reading.setdefault(y, []).append(home)
        group_of[x] = home
        for source, y in read.items():
            if source.root() is not home:
                source.root().readers.add(home)
                if fuse:
                    stored.append((y, x, _refusal(source, own, home, viewed)))
    refusals = tuple(
        row for row in stored if group_of[row[0]].root() is not group_of[row[1]].root()
    )
    return _kernels(order, outputs, groups, layouts), refusals


def _refusal(source: _Group, own: _Group, home: _Group, viewed: set[_Group]) -> str:
    """Why a reader in ``home`` is not computed with ``source``."""
    if source in viewed:
        return "it is read in another order"
    if not _fit(source, own):
        return _misfit(source, own)
    return why_not(source, home) or "what else it reads is computed later"


def _alone(x: Expr, number: int, stage: int) -> _Group:
    """The group of one expression."""
    if x.primitive in REDUCTIONS:
        return _Group(number, stage, x.inputs[0].shape, x.integers("axes"))
    if x.primitive in PRODUCTS and _is_generated(x):
        return _Group(number, stage, x.shape, product=True)
    fusible = x.is_elementwise or x.primitive in GENERATED
    shape = x.shape if fusible and x.shape != () else None
    return _Group(number, stage, shape, random=x.primitive == "random")


def _is_generated(x: Expr) -> bool:
    """Whether a kernel of ours computes a product."""
    return x.primitive == "dot_parts" or (x["precision"] is not None and x["library"] is None)


def _home(
    own: _Group, direct: Sequence[_Group], read: Sequence[_Group], viewed: set[_Group]
) -> _Group | None:
    """The producer's group that an expression can join: the last, if all it reads runs before."""
    candidates = [group for group in direct if group not in viewed and _fit(group, own)]
    if not candidates:
        return None
    last = max(candidates, key=lambda group: group.number)
    return last if all(group.number <= last.number for group in read) else None


def _beside(
    own: _Group, others: Sequence[_Group], read: Sequence[_Group], viewed: set[_Group]
) -> _Group | None:
    """The last group that reduces the same rows of what a reduction reads, if that runs before."""
    roots = [group.root() for group in others]
    found = [g for g in roots if g.axes == own.axes and g.shape == own.shape and _fit(g, own)]
    last = max(found, key=lambda group: group.number, default=None)
    if last is None or last in viewed:
        return None
    return last if all(group.number <= last.number for group in read) else None


def _form(group: _Group) -> str:
    if group.shape is None:
        return "single"
    if group.product:
        return "matmul"
    return "rows" if group.axes is not None else "pointwise"


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
                within = base is y or is_row_broadcast(y, layouts)
                if home.get(base) is not home[x] or not within:
                    needed.add(base)
    kernels = []
    for group in groups:
        if group.merged_into is None:
            body = tuple(sorted(group.body, key=position.__getitem__))
            kernels.append(Kernel(_form(group), body, tuple(x for x in body if x in needed)))
    return tuple(kernels)
