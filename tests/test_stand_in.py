"""Programs that import mxnet get this package; each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PROGRAM = """\
import sys
import mxnet as mx
import mxnet.ndarray.op
from mxnet.io import NDArrayIter
from mxnet.module.base_module import BaseModule
import tritonsym
import tritonsym.symbol.core

assert mx is tritonsym and mx.mod.Module.__mro__.count(BaseModule) == 1
assert NDArrayIter is tritonsym.io.NDArrayIter and mxnet.ndarray.op is tritonsym.nd.op
assert tritonsym.__spec__.name == "tritonsym" and mx.io.__spec__.name == "tritonsym.training.io"
assert __name__ == "__main__"
x = mx.sym.Variable("x")
print(sys.argv[1:], (x + 1).eval(x=mx.nd.array([1, 2]))[0].asnumpy().tolist())
"""


def started(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Python with this package to be found, in a folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "how",
    [
        ["-m", "tritonsym", "run", "program.py"],
        ["-m", "tritonsym", "run", "-m", "program"],
        ["-c", "import sys, runpy; from tritonsym import stand_in; stand_in.install(); "
         "stand_in.install(); runpy.run_path('program.py', run_name='__main__')"],
    ],
    ids=["file", "module", "by hand"],
)  # fmt: skip
def test_a_program_that_imports_mxnet(how: list[str], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    ended = started(*how, "--rate", "1", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "['--rate', '1'] [2.0, 3.0]\n" and not ended.stderr


def test_a_program_in_another_folder_finds_what_is_beside_it(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "program.py").write_text("import beside, sys\nsys.exit(beside.status)\n")
    (tmp_path / "inner" / "beside.py").write_text("status = 7\n")
    program = str(Path("inner") / "program.py")
    assert started("-m", "tritonsym", "run", program, folder=tmp_path).returncode == 7


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("import mxnet.gluon", "mx.gluon is not part of tritonsym: networks are symbols here"),
        ("from mxnet.gluon import nn", "mx.gluon is not part of tritonsym: networks are symbols"),
        ("from mxnet import nothing", "cannot import name 'nothing' from 'tritonsym'"),
        ("import mxnet.cpu", "mxnet.cpu is no module but a function"),
        ("import mxnet.io.nothing", "no module mxnet.io.nothing"),
    ],
)
def test_what_is_not_there_is_said(line: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        f"try:\n    {line}\nexcept ImportError as e:\n    print(e)\n"
    )
    ended = started("-m", "tritonsym", "run", "program.py", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert says in ended.stdout


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    ended = started("-m", "tritonsym", "run", "program.py", folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (2, "there is no file 'program.py'\n")


def test_what_was_imported_before_stays(tmp_path: Path) -> None:
    (tmp_path / "mxnet.py").write_text("")
    lines = "import mxnet\nfrom tritonsym import stand_in\nstand_in.install()\n"
    (tmp_path / "program.py").write_text(lines)
    ended = started("program.py", folder=tmp_path)
    assert "ImportError: mxnet is imported already: call tritonsym" in ended.stderr


def test_it_stands_before_what_is_installed(tmp_path: Path) -> None:
    (tmp_path / "mxnet.py").write_text("raise SystemExit('the other one')\n")
    (tmp_path / "program.py").write_text(PROGRAM)
    ended = started("-m", "tritonsym", "run", "program.py", folder=tmp_path)
    assert ended.stdout == "[] [2.0, 3.0]\n"
