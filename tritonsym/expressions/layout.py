"""Where the elements of an expression lie: which views share memory, and with which strides.

A computed value is dense, and its last axis runs along the memory; or its channels do, the second
axis, where a library computes images faster that way. A view keeps the memory of what it looks at
wherever strides can say so; a reshape that they cannot say is a copy.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from .expr import SOURCES, VIEWS, Expr, Shape
from .walks import readers_of

# Bytes from which on a transposed matrix is read faster from a copy in the order of reading, which
# torch makes block by block: its lines no longer stay in the cache until all of them was read.
TURNED = 2**20


@dataclass(frozen=True)
class Layout:
    """The elements of a value within the memory of its ``base``.

    Attributes:
        base: the value that owns the memory; the value itself unless it is a view.
        offset, strides: in elements.
    """

    base: Expr
    offset: int
    strides: tuple[int, ...]

    def is_dense(self, shape: Shape) -> bool:
        """Whether the elements lie one after the other in row-major order."""
        return all(
            n == 1 or have == want
            for n, have, want in zip(shape, self.strides, contiguous(shape), strict=True)
        )


@functools.lru_cache(maxsize=1024)
def contiguous(shape: Shape) -> tuple[int, ...]:
    """The strides of a row-major array."""
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def ordered_like(strides: Sequence[int], shape: Shape) -> tuple[int, ...]:
    """The strides of a dense array whose axes lie within each other as those of another array."""
    found, step = [0] * len(shape), 1
    for axis in sorted(range(len(shape)), key=lambda axis: (strides[axis], -axis)):
        found[axis] = step
        step *= shape[axis]
    return tuple(found)


def dense_axis(x: Expr, layout: Layout) -> int:
    """Which of the last two axes has its elements one after the other, if one has."""
    strides = layout.strides
    return -1 if strides[-1] == 1 or (x.shape[-1] == 1 and strides[-2] != 1) else -2


# So many times as large as the images, a kernel takes as long to be reordered as that saves: by two
# processors of a server, with kernels of 3x3 and 5x5 from 0.4 to 9.4 MB.
HEAVY = 4


def with_channels_last(shape: Shape) -> tuple[int, ...]:
    """The strides of a dense array in which the second axis runs along the memory."""
    order = (0, *range(2, len(shape)), 1)
    inner = contiguous(tuple(shape[axis] for axis in order))
    return tuple(inner[order.index(axis)] for axis in range(len(shape)))


def layouts(
    order: Sequence[Expr],
    input_strides: Mapping[int, tuple[int, ...]],
    copied: Set[Expr] = frozenset(),
    free: Set[Expr] = frozenset(),
) -> dict[Expr, Layout]:
    """The layout of each expression.

    Args:
        order: expressions, inputs first.
        input_strides: of bound arrays that are not contiguous, by index.
        copied: movements whose result has memory of its own, though it could be a view.
        free: computed values that need not be row-major.
    """
    found: dict[Expr, Layout] = {}
    for x in order:
        own = Layout(x, 0, contiguous(x.shape))
        found[x] = own if x in copied else _layout(x, found, input_strides)
        if x in free and found[x].base is x and _is_of_channels(x, found):
            found[x] = Layout(x, 0, with_channels_last(x.shape))
    return found


def _is_of_channels(x: Expr, found: Mapping[Expr, Layout]) -> bool:
    """Whether a value is best computed with its channels last: by a library, or from such ones."""
    if x.primitive == "native" and x["channels_last"]:
        return _has_channels(x.shape) and _enters_cheaply(x, found)
    if not (x.is_elementwise or x.primitive == "pick_add"):
        return False
    return any(
        y.shape[:2] == x.shape[:2] and _has_channels(y.shape) and _runs_along_channels(y, found)
        for y in x.inputs
    )


def _enters_cheaply(x: Expr, found: Mapping[Expr, Layout]) -> bool:
    """Whether images come with their channels last, or are small beside what is computed of them.

    Libraries have it for images of two dimensions, in single precision or less.
    """
    images, *others = x.inputs
    if x.dtype.itemsize > 4 or len(x.shape) != 4:
        return False
    ordered = images.shape[1] == 1 or found[images].strides[1] == 1
    heavy = any(is_heavy(y.shape, images.shape, x.shape) for y in others)
    return (ordered or 2 * images.size <= x.size) and not heavy


def is_heavy(kernel: Shape, images: Shape, result: Shape) -> bool:
    """Whether a kernel is much larger than the images around it, so that its order decides.

    It is bound row-major: images with their channels last have it put in their order every time.
    """
    around = math.prod(images) + math.prod(result)
    return math.prod(kernel[2:]) > 1 and math.prod(kernel) > HEAVY * around


def _has_channels(shape: Shape) -> bool:
    """Whether it makes a difference that the second axis lies last."""
    return len(shape) > 2 and shape[1] > 1 and math.prod(shape[2:]) > 1


def _runs_along_channels(y: Expr, found: Mapping[Expr, Layout]) -> bool:
    layout = found[y]
    computed = layout.base.primitive not in SOURCES
    row_major = found[layout.base].is_dense(layout.base.shape)
    return computed and not row_major and layout.strides[1] == 1


def turned(order: Sequence[Expr], known: Mapping[Expr, Layout]) -> set[Expr]:
    """The large transposed matrices that are read element by element, and only once."""
    readers = readers_of(order)
    return {
        x
        for x in order
        if x.primitive == "permute"
        and len(x.shape) == 2
        and x.integers("axes") == (1, 0)
        and 1 not in x.shape
        and x.byte_count >= TURNED
        and known[x.inputs[0]].is_dense(x.inputs[0].shape)
        and len(readers.get(x, ())) == 1
        and readers[x][0].is_elementwise
    }


def layout_of(
    x: Expr, found: dict[Expr, Layout], input_strides: Mapping[int, tuple[int, ...]]
) -> Layout:
    """The layout of one expression; ``found`` keeps it, and those of what it is made of."""
    waiting = [x]
    while waiting:
        y = waiting[-1]
        unknown = [z for z in y.inputs if z not in found]
        if not unknown:
            found[y] = _layout(y, found, input_strides)
            waiting.pop()
        waiting += unknown
    return found[x]


def _layout(
    x: Expr, found: Mapping[Expr, Layout], input_strides: Mapping[int, tuple[int, ...]]
) -> Layout:
    layout = _view(x, found[x.inputs[0]]) if x.primitive in VIEWS else None
    if layout is None:
        strides = contiguous(x.shape)
        if x.primitive == "input":
            strides = input_strides.get(x.integer("index"), strides)
        layout = Layout(x, 0, strides)
    return layout


def _view(x: Expr, source: Layout) -> Layout | None:
    (data,) = x.inputs
    if x.primitive == "permute":
        return Layout(source.base, source.offset, _permuted(source.strides, x.integers("axes")))
    if x.primitive == "expand":
        pairs = zip(data.shape, x.shape, source.strides, strict=True)
        strides = tuple(0 if have != want else stride for have, want, stride in pairs)
        return Layout(source.base, source.offset, strides)
    if x.primitive == "slice":
        starts, steps = x.integers("starts"), x.integers("steps")
        offset = sum(s * stride for s, stride in zip(starts, source.strides, strict=True))
        strides = tuple(s * stride for s, stride in zip(steps, source.strides, strict=True))
        return Layout(source.base, source.offset + offset, strides)
    reshaped = _reshaped(data.shape, source.strides, x.shape)
    return None if reshaped is None else Layout(source.base, source.offset, reshaped)


def _permuted(strides: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(strides[axis] for axis in axes)


def _reshaped(shape: Shape, strides: tuple[int, ...], target: Shape) -> tuple[int, ...] | None:
    """The strides of the same elements in another shape, or None where there are none.

    Axes that lie densely within each other are merged into runs; each run must be cut into whole
    axes of the target.
    """
    runs: list[list[int]] = []  # length and innermost stride
    for length, stride in zip(shape, strides, strict=True):
        if length == 1:
            continue
        if runs and runs[-1][1] == length * stride:
            runs[-1] = [runs[-1][0] * length, stride]
        else:
            runs.append([length, stride])
    result = [0] * len(target)
    axis = len(target) - 1
    for length, stride in reversed(runs):
        taken = 1
        while taken < length:
            if axis < 0 or (length // taken) % target[axis]:
                return None
            result[axis] = stride * taken
            taken *= target[axis]
            axis -= 1
    for index, length in enumerate(target):
        if length == 1:
            result[index] = 1
    return tuple(result)


def parts_in_concat(
    joined: Expr, known: Mapping[Expr, Layout]
) -> list[tuple[Expr, int, tuple[int, ...]]] | None:
    """Where values that were put one after the other have their elements, by their coordinates.

    Args:
        joined: a concatenation.
        known: the layouts of what it is made of.

    Returns:
        For each input the value that it is, and its offset and strides in the concatenation. None
        where an input is not a whole value in its own order.
    """
    axis, start = joined.integer("axis"), 0
    strides, found = contiguous(joined.shape), []
    for part in joined.inputs:
        layout = known[part]
        value = layout.base
        whole = value.size == part.size and not layout.offset
        own = _reshaped(part.shape, strides, value.shape)
        if own is None or not whole or not layout.is_dense(part.shape):
            return None
        found.append((value, start * strides[axis], own))
        start += part.shape[axis]
    return found


@dataclass(frozen=True)
class Term:
    """Part of a place: ``coordinate // divisor % length * stride``."""

    divisor: int
    length: int
    stride: int


def places_in_copy(copy: Expr, known: Mapping[Expr, Layout]) -> tuple[tuple[Term, ...], ...] | None:
    """Where the copy of a whole value has each of its elements, by the value's coordinates.

    Args:
        copy: a reshape that owns memory.
        known: the layouts of what it is made of.

    Returns:
        For each axis of the value, the terms whose sum over all axes is the place in the copy.
        None where the copy has not every element of the value once.
    """
    (view,) = copy.inputs
    layout = known[view]
    axes = [
        [length, stride, step]
        for length, stride, step in zip(
            view.shape, layout.strides, contiguous(view.shape), strict=True
        )
        if length > 1
    ]
    axes.sort(key=lambda axis: axis[1])
    dense = 1
    for length, stride, _ in axes:
        if stride != dense:
            return None
        dense *= length
    if layout.offset or dense != layout.base.size:
        return None
    found = []
    for length in reversed(layout.base.shape):
        terms, passed = [], 1
        while passed < length:
            inner, _, step = axes[0]
            taken = min(inner, length // passed)
            if inner % taken or length % (passed * taken):
                return None
            terms.append(Term(passed, taken, step))
            passed *= taken
            axes[0] = [inner // taken, 0, step * taken]
            if axes[0][0] == 1:
                axes.pop(0)
        found.append(tuple(terms))
    return tuple(reversed(found))
