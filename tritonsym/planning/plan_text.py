"""Plans as text: each kernel, what it moves against what must be moved, and what was not fused."""

from __future__ import annotations

from ..expressions.expr import PRODUCTS, SOURCES, Expr
from ..expressions.operations import total
from ..expressions.walks import toposort
from ..products.attention import why_attention
from ..scheduling.schedule import Kernel
from .plan import Plan

_SHOWN_STEPS = 12
_SHOWN_NAMES = 8
_SHOWN_REFUSALS = 20
_SHOWN_PARTS = 4
_NAME_LENGTH = 60


def floor(plan: Plan) -> int:
    """The bytes that any plan must move: each input read once, each output written once."""
    read = {x for x in toposort(plan.outputs) if x.primitive in ("input", "draw")}
    return sum(x.byte_count for x in (*read, *plan.outputs))


def moved(plan: Plan, kernel: Kernel) -> int:
    """The bytes that a kernel reads and writes, each array once."""
    return sum(x.byte_count for x in (*_outside(plan, kernel), *kernel.outputs))


def text(plan: Plan, every_refusal: bool = False) -> str:
    """What `print(executor.plan)` shows.

    Args:
        plan: of whatever.
        every_refusal: say of all values why they are stored, and not only of the first.
    """
    lines = [
        f"{counted(len(plan.kernels), 'kernel')}, {counted(len(plan.outputs), 'output')}; "
        f"{total_moved(plan):,} bytes moved, at least {floor(plan):,}"
    ]
    begin = 0
    for position, stage in enumerate(plan.stages):
        if len(plan.stages) > 1:
            lines.append(f"stage {position}:")
        for number in range(begin, stage.end):
            lines += kernel_lines(plan, number, plan.kernels[number])
        lines += [f"  copy to output {number}" for number in stage.copies]
        lines += [f"  copy to input {plan.replaced[number]}" for number in stage.updates]
        begin = stage.end
    lines.append(
        f"arena: {plan.arena_size:,} bytes, {plan.size_without_reuse:,} without reuse of memory"
    )
    if plan.refusals:
        lines.append("not computed together:")
        lines += [f"  {line}" for line in refusal_lines(plan, every_refusal)]
    return "\n".join(lines)


def total_moved(plan: Plan) -> int:
    """The bytes that all kernels and copies move."""
    total = sum(moved(plan, kernel) for kernel in plan.kernels)
    copied = [number for stage in plan.stages for number in (*stage.copies, *stage.updates)]
    return total + sum(2 * plan.outputs[number].byte_count for number in copied)


def refusal_lines(plan: Plan, every_refusal: bool = False) -> list[str]:
    """A sentence for each value that is stored for a reader in another kernel."""
    count = len(plan.refusals) if every_refusal else _SHOWN_REFUSALS
    lines = [
        f"{title(plan, reader)} with {title(plan, source)}: {reason}"
        for source, reader, reason in plan.refusals[:count]
    ]
    if len(plan.refusals) > count:
        lines.append(f"and {len(plan.refusals) - count:,} more")
    return lines


def counted(count: int, noun: str) -> str:
    """A number and its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def kernel_lines(plan: Plan, number: int, kernel: Kernel) -> list[str]:
    """What a kernel computes, reads, writes and moves; the first line is its head."""
    count = total(kernel.body)
    steps = "operations unknown" if count is None else counted(count, "operation")
    last = f"      {moved(plan, kernel):,} bytes, {steps}"
    if not kernel.parts:
        head, *lines = _part_lines(plan, kernel)
        return [f"  {number} {head}", *(f"      {line}" for line in lines), last]
    lines = [f"  {number} combined: {counted(len(kernel.parts), 'kernel')} side by side"]
    for part in kernel.parts[:_SHOWN_PARTS]:
        head, *rest = _part_lines(plan, part)
        lines += [f"      {head}", *(f"          {line}" for line in rest)]
    if len(kernel.parts) > _SHOWN_PARTS:
        lines.append(f"      and {len(kernel.parts) - _SHOWN_PARTS:,} more")
    return [*lines, last]


def _part_lines(plan: Plan, kernel: Kernel) -> list[str]:
    """What a kernel, or a part of one, computes, reads and writes."""
    steps = " ".join(_step(x) for x in kernel.body[:_SHOWN_STEPS])
    others = len(kernel.body) - _SHOWN_STEPS
    more = f" and {others:,} more" if others > 0 else ""
    names = dict.fromkeys(name for x in kernel.body for name in plan.origins.get(x, ()))
    shown = ", ".join(map(printable, [*names][:_SHOWN_NAMES]))
    shown += ", ..." if len(names) > _SHOWN_NAMES else ""
    tiling = plan.tilings.get(kernel)
    tiles = f" in {tiling.count} tiles" if tiling else ""
    return [
        f"{kernel.form}{tiles}: {steps}{more} [{shown}]",
        *(f"reads {_read(plan, y)}" for y in _outside(plan, kernel)),
        *(f"writes {_written(plan, x)}" for x in kernel.outputs),
        *_library(kernel),
    ]


def _library(kernel: Kernel) -> list[str]:
    """The line that says why a library computes a product or attention on a GPU."""
    x = kernel.body[0]
    reason = x["library"] if x.primitive == "dot" else why_attention(x)
    return [f"by a library: {reason}"] if reason else []


def _step(x: Expr) -> str:
    """The primitive, with how exact it is, or for a native call the operator that it does."""
    if x.primitive in PRODUCTS and x["precision"] not in (None, "ieee"):
        return f"{x.primitive} in {x['precision']}"
    return str(x["name"]) if x.primitive == "native" else x.primitive


def _outside(plan: Plan, kernel: Kernel) -> list[Expr]:
    """What a kernel reads that it does not make itself, constants apart."""
    body = set(kernel.body)
    bases = dict.fromkeys(plan.layouts[y].base for x in kernel.body for y in x.inputs)
    return [y for y in bases if y not in body and y.primitive != "constant"]


def _read(plan: Plan, x: Expr) -> str:
    if x.primitive == "draw":
        return "the draw of the run"
    where = f"input {x['index']}" if x.primitive in SOURCES else _place(plan, x)
    return f"{x.dtype}{list(x.shape)} from {where}"


def _written(plan: Plan, x: Expr) -> str:
    return f"{x.dtype}{list(x.shape)} to {_place(plan, x)}"


def _place(plan: Plan, x: Expr) -> str:
    place = plan.places[x]
    if place.output in plan.in_place:
        return f"input {plan.replaced[place.output]}"
    return f"arena+{place.offset}" if place.output is None else f"output {place.output}"


def title(plan: Plan, x: Expr) -> str:
    """What an expression is, with the first node that it was made for."""
    names = plan.origins.get(x, ())
    return f"{_step(x)} of {printable(names[0])}" if names else _step(x)


def printable(name: str) -> str:
    """A user's name that cannot break a line, however it is spelt and however long it is."""
    shown = name if name.isprintable() else repr(name)
    return shown if len(shown) <= _NAME_LENGTH else f"{shown[:_NAME_LENGTH]}..."
