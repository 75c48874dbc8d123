"""Windows that are moved over images, and where images have their channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tritonsym.expressions.expr import Expr, Shape, permute
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import PartialShape

Layout = Literal["NCDHW", "NCHW", "NCW", "NDHWC", "NHWC"]


@dataclass(frozen=True)
class Window:
    """How a kernel is moved over the data: one number for each axis of it.

    Attributes:
        kernel, stride, dilate, pad: as in the operators.
        adjust: what a transposed convolution adds to its result's far ends.
        groups: how many parts of the channels are convolved apart.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilate: tuple[int, ...]
    pad: tuple[int, ...]
    adjust: tuple[int, ...]
    groups: int

    def reach(self, axis: int) -> int:
        """How many elements the kernel spans, those that it skips included."""
        return self.dilate[axis] * (self.kernel[axis] - 1) + 1

    def convolved(self, axis: int, length: int) -> int:
        """The length of a convolution's result; 0 where the data's is not known."""
        if length == 0:
            return 0
        padded = length + 2 * self.pad[axis]
        if self.reach(axis) > padded:
            raise LoweringError(
                f"the kernel spans {self.reach(axis)} elements of axis {axis + 2}, which has "
                f"{padded} with its padding"
            )
        return (padded - self.reach(axis)) // self.stride[axis] + 1

    def transposed(self, axis: int, length: int) -> int:
        """The length of a transposed convolution's result."""
        if length == 0:
            return 0
        spread = self.stride[axis] * (length - 1) + self.reach(axis)
        return spread - 2 * self.pad[axis] + self.adjust[axis]

    def adjusted_to(self, small: Shape, large: Shape) -> Window:
        """The window whose transposed convolution leads from the small shape to the large one."""
        plain = replace(self, adjust=(0,) * len(small))
        adjust = tuple(
            wanted - plain.transposed(axis, length)
            for axis, (length, wanted) in enumerate(zip(small, large, strict=True))
        )
        return replace(self, adjust=adjust)


def per_axis(name: str, given: tuple[int, ...], rank: int, default: int) -> tuple[int, ...]:
    """A parameter with one number for each axis of the kernel.

    Raises:
        LoweringError: it has another number of them, or one below the least that makes sense.
    """
    if not given:
        return (default,) * rank
    if len(given) != rank or any(n < default for n in given):
        raise LoweringError(f"{name}={given} needs {rank} numbers, each {default} or more")
    return given


def window_of(
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilate: tuple[int, ...],
    pad: tuple[int, ...],
    groups: int,
    adjust: tuple[int, ...] = (),
) -> Window:
    """The window of an operator's parameters, those that were left out filled in."""
    rank = len(kernel)
    if not 1 <= rank <= 3 or any(length < 1 for length in kernel):
        raise LoweringError(f"kernel={kernel} needs 1 to 3 lengths, each 1 or more")
    return Window(
        kernel,
        per_axis("stride", stride, rank, 1),
        per_axis("dilate", dilate, rank, 1),
        per_axis("pad", pad, rank, 0),
        per_axis("adj", adjust, rank, 0),
        groups,
    )


def channels_last(layout: str | None) -> bool:
    """Whether a layout's name says that the channels are the last axis."""
    return layout is not None and layout.endswith("C")


def to_channels_first(x: Expr, last: bool) -> Expr:
    """From (batch, ..., channels) to (batch, channels, ...), if it is not that already."""
    rank = len(x.shape)
    return permute(x, (0, rank - 1, *range(1, rank - 1))) if last else x


def to_channels_last(x: Expr, last: bool) -> Expr:
    """The way back."""
    return permute(x, (0, *range(2, len(x.shape)), 1)) if last else x


def moved_channel(shape: PartialShape, last: bool, back: bool = False) -> PartialShape:
    """What `to_channels_first` does to a shape; with ``back`` what `to_channels_last` does."""
    if shape is None or not last:
        return shape
    if back:
        return (shape[0], *shape[2:], shape[1])
    return (shape[0], shape[-1], *shape[1:-1])
