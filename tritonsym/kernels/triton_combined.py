"""Kernels of several parts, which are kernels themselves: each program does the work of one.

Parts of equal text are one function, called with other memory, whose addresses are in a table. So
a kernel's text depends on what its parts are and not on how many there are of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..expressions.expr import Expr
from ..expressions.layout import Layout
from ..scheduling.schedule import Kernel
from .triton_writer import ALIGNMENT, TYPES, Address, Source, module, pointer_names, reads


def with_views_apart(kernel: Kernel, layouts: Mapping[Expr, Layout]) -> Mapping[Expr, Layout]:
    """The layouts of a part, in which what it reads a piece of has an address of its own.

    So parts that read one row each of the same array have equal text.
    """
    found = {y: layouts[y] for x in kernel.body for y in (x, *x.inputs)}
    inside = set(kernel.body)
    for y in reads(kernel.body):
        if found[y].base not in inside and (found[y].offset or not _is_run(y, found[y])):
            found[y] = Layout(y, 0, found[y].strides)
    return found


def _is_run(x: Expr, layout: Layout) -> bool:
    """Whether a value is more than one element of its memory."""
    return any(n > 1 and stride for n, stride in zip(x.shape, layout.strides, strict=True))


def combined(parts: Sequence[Source], layouts: Mapping[Expr, Layout]) -> Source:
    """The source of several kernels side by side.

    Args:
        parts: their sources; the programs of all have as many warps as one of them wants.
        layouts: of every expression.
    """
    alike: dict[tuple[int, *tuple[str, ...]], list[Source]] = {}
    for part in parts:
        alike.setdefault((part.programs, *_lines(part, layouts)), []).append(part)
    kernel = ["@triton.jit", "def kernel(table, ALIGNMENT: tl.constexpr):"]
    kernel.append("    program = tl.program_id(0)")
    functions: list[list[str]] = []
    table: list[Address] = []
    begin = 0
    for number, ((programs, *lines), group) in enumerate(alike.items()):
        head = f"def part{number}(program, memory, ALIGNMENT: tl.constexpr):"
        functions.append(["@triton.jit", head, *lines])
        program, row = f"program - {begin}" if begin else "program", "table"
        if len(group) > 1:
            row += f" + {_quotient(program, programs)} * {len(group[0].arguments)}"
            program = f"({program}) % {programs}" if begin else f"program % {programs}"
            program = "0" if programs == 1 else program
        if table:
            row += f" + {len(table)}"
        table += [_address(x, layouts) for part in group for x in part.arguments]
        end = begin + len(group) * programs
        call = f"part{number}({program}, {row}, ALIGNMENT)"
        if len(alike) == 1:
            kernel.append(f"    {call}")
        else:
            kernel += [f"    {'elif' if begin else 'if'} program < {end}:", f"        {call}"]
        begin = end
    counts = "; ".join(f"{len(group)} times {_title(group[0])}" for group in alike.values())
    text = module(counts, [*functions, kernel])
    warps = [part.options["num_warps"] for part in parts if "num_warps" in part.options]
    options = {"num_warps": max(warps)} if warps else {}
    return Source(text, (), 0, begin, options, tuple(kernel), tuple(table))


def _lines(part: Source, layouts: Mapping[Expr, Layout]) -> list[str]:
    """A part's function: its memory from a row of the table, then what it does as a kernel."""
    names = pointer_names(len(part.arguments) - part.output_count, part.output_count)
    lines = []
    for number, (name, x) in enumerate(zip(names, part.arguments, strict=True)):
        alignment = "ALIGNMENT" if _address(x, layouts).in_runs else "1"
        place = f"memory + {number}" if number else "memory"
        lines.append(f"    {name} = math.pointer({place}, {TYPES[x.dtype.name]}, {alignment})")
    return [*lines, *(line.replace("tl.program_id(0)", "program") for line in part.lines)]


def _address(x: Expr, layouts: Mapping[Expr, Layout]) -> Address:
    is_aligned = layouts[x].offset * x.dtype.itemsize % ALIGNMENT == 0
    return Address(x, is_aligned and _is_run(x, layouts[x]))


def _quotient(program: str, programs: int) -> str:
    """The number of a program's part."""
    if programs == 1:
        return f"({program})" if " " in program else program
    return f"({program}) // {programs}" if " " in program else f"{program} // {programs}"


def _title(source: Source) -> str:
    return source.text.split('"""')[1]
