"""Documents say what is so: what is generated is current, and what the README shows runs."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


def output_of(*arguments: str) -> str:
    """What a fresh Python prints."""
    finished = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_generated_documents_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    for name, file in (
        ("operators", "OPERATORS"),
        ("gallery", "GALLERY"),
        ("readme", "README"),
    ):
        written = generate[file].read_text(encoding="utf-8")
        assert written == generate[name](), "run: PYTHONPATH=. python docs/generate.py"


def test_links_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_files_that_the_architecture_names_are_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    sections = re.split(r"(?m)^### `([a-z]+/)`$", text)
    for folder, section in zip(["", *sections[1::2]], sections[::2], strict=True):
        # What follows a section on another subject is beside the folders again.
        inside, _, after = section.partition("\n## ")
        for prefix, part in ((folder, inside), ("", after)):
            for name in re.findall(r"`([a-z_/]+\.py|[a-z]+/)`", part):
                places = [ROOT / "tritonsym" / name, ROOT / "tritonsym" / prefix / name]
                assert any(place.exists() for place in places), f"{name} in {prefix or 'the text'}"


def test_the_architecture_names_every_step_of_the_pipeline() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for folder in re.findall(r"(?m)^### `([a-z]+)/`$", text):
        for path in (ROOT / "tritonsym" / folder).glob("[a-z]*.py"):
            assert re.search(rf"`(?:[a-z]+/)?{path.name}`", text), f"{folder}/{path.name}"


def test_the_tour_needs_no_terminal() -> None:
    printed = output_of("-m", "tritonsym")
    assert "<Symbol _plus0>" in printed
    assert "array([14], dtype=int32)" in printed
    assert "mul mul add [_mul0, _mul1, _plus0]" in printed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_the_tour_shows_what_a_gpu_would_run_where_there_is_none() -> None:
    """All five chapters have something to show on every machine."""
    _, last = output_of("-m", "tritonsym").split("5. The same on a GPU")
    assert "0 pointwise: mul mul add [_mul0, _mul1, _plus0]" in last
    assert "arena: 0 bytes, 0 without reuse of memory" in last, "inner values stay in registers"


def test_the_tour_shows_what_it_does() -> None:
    """The typed lines, run in order, print what the tour prints after them."""
    lines = output_of("-m", "tritonsym").splitlines()
    typed = [line.removeprefix("    >>> ") for line in lines if line.startswith("    >>> ")]
    program = ["import tritonsym as mx"]
    for line in typed:
        assigned = re.match(r"[a-z, ]+ = ", line) is not None or line.startswith("print(")
        program.append(line if assigned else f"print(repr({line}))")
    replayed = output_of("-c", "\n".join(program))
    for wanted in ("['A', 'B', 'C', 'D']", "_mul1_output", "[<NDArray 1000x1000 @cpu(0)>]"):
        assert wanted in replayed
    assert replayed.count("\n") > 10
