"""Which kernels have to run before which, so that others can change places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..expressions.expr import Expr
from ..expressions.layout import Layout
from .schedule import Kernel


def waits_for(
    kernels: Sequence[Kernel], layouts: Mapping[Expr, Layout], replaced: Mapping[Expr, int]
) -> list[set[int]]:
    """The kernels that each kernel has to run after.

    They are those that write what it reads, and those that read what it writes over.

    Args:
        kernels: in an order in which they can run.
        layouts: of every expression.
        replaced: the values that may be written straight into an input, and its index.
    """
    writers: dict[Expr, int] = {}
    readers: dict[int, set[int]] = {}
    found = []
    for number, kernel in enumerate(kernels):
        bases = read_by(kernel, layouts)
        before = {writers[base] for base in bases if base in writers}
        for x in kernel.outputs:
            before |= readers.get(replaced[x], set()) if x in replaced else set()
            writers[x] = number
        for base in bases:
            if base.primitive == "input":
                readers.setdefault(base.integer("index"), set()).add(number)
        found.append(before)
    return found


def read_by(kernel: Kernel, layouts: Mapping[Expr, Layout]) -> set[Expr]:
    """What a kernel reads from memory."""
    bases = {layouts[y].base for x in kernel.body for y in x.inputs}
    return bases.difference(kernel.body)


def is_again(kernel: Kernel) -> bool:
    """Whether it computes again what was not to be kept, and so is to run late."""
    return any(("again", True) in x.attributes for x in kernel.body)
