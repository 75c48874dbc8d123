"""Writes what is not written by hand: ``PYTHONPATH=. python docs/generate.py``.

That is ``operators.md``, from the registry of operators, ``gallery.md``, from the plans of some
graphs, and in the README what its examples print and the tables of what was measured.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

from gallery import gallery
from measured import measured

from tritonsym.graph.op import Op, registered

GALLERY = Path(__file__).parent / "gallery.md"
OPERATORS = Path(__file__).parent / "operators.md"
README = Path(__file__).parents[1] / "README.md"

_HEAD = """\
# Operators

<!-- Written by docs/generate.py; what it says is changed in ops/. -->

{count} operators under {names} names. Each is a function of `mx.sym`, which takes symbols and gives
a symbol, and of `mx.nd`, which takes arrays and computes at once. Inputs come first, then
parameters, by position or by keyword; `mx.sym` takes `name` and `attr` as well, `mx.nd` takes
`out`. Names that begin with an underscore are what Python's operators and functions such as
`mx.sym.zeros` produce; they are in `mx.sym._internal` and `mx.nd._internal`.

All inputs of an operator have one dtype unless it says otherwise; nothing is promoted. Shapes are
inferred both ways, so that weights and biases need none.
"""


def operators() -> str:
    """The text of ``operators.md``."""
    names = registered()
    found = sorted({op.name: op for op in names.values()}.values(), key=_place)
    parts = [_HEAD.format(count=len(found), names=len(names))]
    for family, members in groupby(found, _family):
        about = inspect.getdoc(sys.modules[family]) or ""
        parts.append(f"## ops/{family.rpartition('.')[2]}.py\n\n{about}\n")
        parts += [_section(op) for op in members]
    return "\n".join(parts)


def _family(op: Op) -> str:
    return op.function.__module__


def _place(op: Op) -> tuple[str, str]:
    return _family(op), op.name.lstrip("_").lower()


def _section(op: Op) -> str:
    lines = [f"### {op.name}", ""]
    if op.aliases:
        lines += [f"Also {_listed(op.aliases)}.", ""]
    lines += [op.summary, "", f"Inputs: {_inputs(op)}.", ""]
    for attribute in op.schema.attributes.values():
        if attribute.name != op.variadic:
            default = "required" if attribute.required else f"default `{attribute.shown_default}`"
            lines.append(f"- `{attribute.name}`: {attribute.type_name}; {default}")
    return "\n".join(lines).rstrip() + "\n"


def _inputs(op: Op) -> str:
    if op.variadic is not None:
        return f"any number, counted by `{op.variadic}`"
    if op.is_open:
        return "what the operator itself declares"
    parameters = inspect.signature(op.function).parameters
    described = [f"`{name}`{_remark(op, parameters[name])}" for name in op.declared_inputs]
    return ", ".join(described) or "none"


def _remark(op: Op, parameter: inspect.Parameter) -> str:
    if parameter.name in op.auxiliary:
        return " (a state that it writes)"
    return "" if parameter.default is inspect.Parameter.empty else " (optional)"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


# A program, a line between, and what it prints.
_EXAMPLE = re.compile(r"^(```python\n(.*?)^```\n\nprints\n\n```text\n)(.*?)^```$", re.M | re.S)


# What was measured stands between two marks.
_MEASURED = re.compile(r"(<!-- measured -->\n).*?(\n<!-- end of measured -->)", re.S)


def readme() -> str:
    """The README, with what each example prints in a fresh process, and what was measured."""

    def printed(example: re.Match[str]) -> str:
        command = [sys.executable, "-c", example[2]]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return f"{example[1]}{output}```"

    text = _EXAMPLE.sub(printed, README.read_text(encoding="utf-8"))
    return _MEASURED.sub(lambda found: f"{found[1]}\n{measured()}\n{found[2]}", text)


if __name__ == "__main__":
    OPERATORS.write_text(operators(), encoding="utf-8")
    GALLERY.write_text(gallery(), encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")
