"""docs/deviations.md is what the tables and tests of deviations say; `ACCEPT=1` writes it anew."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path
from types import ModuleType

import test_api_deviations
import test_training_deviations
from oracle.deviations import DEVIATIONS
from oracle.gradient_deviations import GRADIENT_DEVIATIONS

DOCUMENT = Path(__file__).parents[1] / "docs" / "deviations.md"
INTRODUCTION = """# Where tritonsym differs from MXNet 1.9.1

Everything else is compared with recorded answers of MXNet 1.9.1 (CPU build, oneDNN off). Each row
has a test that asserts our behaviour, and a row about an operator must still differ from MXNet, or
the test fails. `ACCEPT=1 pytest tests/test_deviations_document.py` writes this page.

Random numbers come from a counter-based generator: the same seed gives the same numbers, which are
not MXNet's. `repr` of an array is the one-line form of MXNet 0.9; `print` shows the values.

On a GPU large attention of 16-bit floats is one call of a library, and so are its gradients. For it
scores do not overflow, and a query all of whose scores are -inf may give 0 instead of NaN.

On a CPU the scale of a batch norm in use is a part of the kernel of the convolution before it. One
that is infinite, of a variance and an `eps` of 0, gives NaN where products of either sign meet.

## Operators

| deviation | operators | what and why |
| --- | --- | --- |
"""
GRADIENTS = """
## Gradients, layers and states

| deviation | operators | what and why |
| --- | --- | --- |
"""
INTERFACE = """
## The interface

| deviation | in MXNet 1.9.1 |
| --- | --- |
"""
TRAINING = """
## Training

| deviation | in MXNet 1.9.1 |
| --- | --- |
"""


def shown(operators: list[str]) -> str:
    names = ", ".join(f"`{name}`" for name in operators[:6])
    return names + (f" and {len(operators) - 6} more" if len(operators) > 6 else "")


def rows_of(module: ModuleType) -> list[str]:
    """A row for each test: its name, and its first line."""
    tests = [
        function
        for name, function in vars(module).items()
        if name.startswith("test_") and inspect.isfunction(function)
    ]
    return [
        f"| {test.__name__.removeprefix('test_').replace('_', ' ')} "
        f"| {' '.join((inspect.getdoc(test) or '').split())} |"
        for test in tests
    ]


def document() -> str:
    rows, gradient_rows = (
        [f"| {name} | {shown(row.operators)} | {row.because} |" for name, row in table.items()]
        for table in (DEVIATIONS, GRADIENT_DEVIATIONS)
    )
    interface, training = map(rows_of, (test_api_deviations, test_training_deviations))
    tables = (
        *((INTRODUCTION, rows), (GRADIENTS, gradient_rows)),
        *((INTERFACE, interface), (TRAINING, training)),
    )
    return "".join(head + "\n".join(lines) + "\n" for head, lines in tables)


def test_the_document_is_what_the_tests_say() -> None:
    text = document()
    if os.environ.get("ACCEPT") == "1":
        DOCUMENT.write_text(text)
        print(f"wrote {DOCUMENT.name}", file=sys.stderr)
    assert DOCUMENT.read_text() == text, "run with ACCEPT=1 and review the difference"


def test_every_deviation_has_a_sentence() -> None:
    rows = (*DEVIATIONS.values(), *GRADIENT_DEVIATIONS.values())
    assert all(row.because.endswith(".") for row in rows)
