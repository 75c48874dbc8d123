"""What `python -m tritonsym` takes, and what it says of what it does not take."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tritonsym as mx
from test_ahead_of_time import planned, without_interpreter
from test_structure import BLOCK_TRITON
from tritonsym.__main__ import main
from tritonsym.runtime import forbidden

PTX = """
    .reg .f32 %f<4>;
    @%p1 ld.global.v4.b32 { %r1 }, [ %rd1 + 0 ];
    @!%p2 div.full.f32 %f1, %f2, %f3;
    { sqrt.approx.f32 %f1, %f2; }
    div.rn.f32 %f1, %f2, %f3; atom.global.add.f32 %f1, [%rd1], %f2;
    // begin inline asm
    max.NaN.f32 %f1, %f2, %f3;
    ex2.approx.ftz.f32 %f1, %f2;
"""


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "net-symbol.json"
    mx.sym.softmax(mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=10)).save(str(path))
    return path


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message of an error of the command line."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert re.search(r"^ +tour +\w", printed, re.MULTILINE)
    assert re.search(r"^ +plan +\w", printed, re.MULTILINE)
    assert re.search(r"^ +run +\w", printed, re.MULTILINE)


@pytest.mark.parametrize("arguments", [["bogus"], ["--bogus"], ["tour", "bogus"]])
def test_unknown_words_are_an_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "bogus" in refused(arguments, capsys)


@pytest.mark.parametrize("shape", ["data=64,x", "data=", "data", "=2,3", "data=-1,2", "data=2,,3"])
def test_a_wrong_shape_is_answered_with_the_right_form(
    shape: str, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(["plan", str(network), f"--shape={shape}"], capsys)
    assert f"{shape!r} is not of the form NAME=2,3" in message


def test_a_wrong_dtype_is_answered_with_those_that_there_are(
    network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(["plan", str(network), "--dtype", "data=bf16"], capsys)
    assert "not of the form NAME=float16: 'bf16' is none of float32, float64" in message


def test_a_length_of_zero_is_said_to_be_unknown(
    network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(network), "--shape", "data=0,784"]) == 1
    assert "data is (0, 784), and 0 is not known" in capsys.readouterr().out


def test_a_dtype_of_no_variable_is_an_error(
    network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = ["--shape", "data=64,784"]
    assert main(["plan", str(network), *shape, "--dtype", "datta=float16"]) == 1
    assert "'datta'" in capsys.readouterr().out


def test_a_target_needs_triton_and_says_so(network: Path) -> None:
    program = "from tritonsym.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    command = ["plan", str(network), "--shape", "data=64,784", "--target", "sm_90"]
    finished = subprocess.run(
        [sys.executable, "-c", f"{BLOCK_TRITON}\n{program}", *command],
        capture_output=True,
        text=True,
        env=without_interpreter(),
        timeout=300,
        check=False,
    )
    assert finished.returncode == 1, finished.stderr
    assert "--target compiles with Triton, but there is no module 'triton'" in finished.stdout


def test_each_kernel_is_said_to_be_exact(tmp_path: Path) -> None:
    data = mx.sym.Variable("data")
    graph = mx.sym.sin(data) * mx.sym.softmax(data)
    printed = planned(graph, tmp_path / "exact-symbol.json", "data=64,64", "sm_90")
    rows = [line for line in printed.splitlines() if "registers" in line]
    assert rows
    assert all(row.endswith("no forbidden instruction") for row in rows)


def test_forbidden_instructions_are_found_with_their_reasons() -> None:
    found = forbidden.findings(PTX)
    assert set(found) == {
        *("div.full.f32", "sqrt.approx.f32", "atom.global.add.f32", "ex2.approx.ftz.f32")
    }
    assert found["div.full.f32"] == "a quotient that is not rounded correctly"
    assert set(found) - set(forbidden.findings(PTX, ["exp"])) == {"ex2.approx.ftz.f32"}
