"""Generated kernels compile for GPUs that are not there, and their machine code is as promised."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tritonsym as mx
from tritonsym.__main__ import main

HERE = Path(__file__).parent
TARGETS = ("sm_80", "sm_90", "sm_100")
# Tests that look at what was compiled for a target run in one worker, which compiles it once.
EACH_TARGET = [pytest.param(t, marks=pytest.mark.xdist_group(t), id=t) for t in TARGETS]
# What a kernel of these graphs may read 128 bits at a time, and so must. Sums of long columns have
# more threads instead, which read 64 bits each: at the speed of memory, as an H200 measured.
WIDE = (
    *("tutorial/0", "chain/0", "softmax-short/0", "scaled-bias/0", "layer-norm/0", "integers/0"),
    *("side-by-side/0", "transposed-large/0", "turned-keys/0", "softmax-long/0"),
)


def without_interpreter() -> dict[str, str]:
    paths = os.pathsep.join((str(HERE.parent), str(HERE)))
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return {**kept, "PYTHONPATH": paths}


@functools.cache
def compiled(target: str, *how: str) -> list[dict[str, Any]]:
    result = subprocess.run(
        [sys.executable, str(HERE / "compile_named_graphs.py"), target, *how],
        capture_output=True,
        text=True,
        env=without_interpreter(),
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


@pytest.mark.parametrize("target", EACH_TARGET)
def test_nothing_spills(target: str) -> None:
    rows = compiled(target)
    assert len(rows) > 15
    assert [row["kernel"] for row in rows if row["spilled"]] == []
    assert all(0 < row["registers"] <= 255 for row in rows)


@pytest.mark.parametrize("target", EACH_TARGET)
def test_what_spills_is_seen(target: str) -> None:
    (row,) = compiled(target, "squeezed")
    assert row["registers"] <= 32
    assert row["spilled"] > 16


@pytest.mark.parametrize("target", EACH_TARGET)
def test_no_forbidden_instruction(target: str) -> None:
    """None that rounds wrongly, flushes denormals or drops NaN."""
    found = {row["kernel"]: row["forbidden"] for row in compiled(target)}
    assert {name: reasons for name, reasons in found.items() if reasons} == {}


@pytest.mark.parametrize("target", EACH_TARGET)
def test_dense_reads_take_128_bits(target: str) -> None:
    widths = {row["kernel"]: row["widest"] for row in compiled(target)}
    assert {name: widths[name] for name in WIDE} == dict.fromkeys(WIDE, 128)
    assert widths["column-sums/0"] == 64


@pytest.mark.parametrize("target", EACH_TARGET)
@pytest.mark.parametrize("name", ["transposed-large/0", "turned-keys/0"])
def test_tiles_are_turned_round_in_shared_memory(target: str, name: str) -> None:
    """Whatever the order in which something lies, all accesses to it take 128 bits."""
    (row,) = (row for row in compiled(target) if row["kernel"] == name)
    accesses = re.findall(r"\b(?:ld|st)\.global\S*", row["ptx"])
    assert {access.split(".")[0] for access in accesses} == {"ld", "st"}
    assert all(access.endswith("v4.b32") for access in accesses)
    # One value of the tile passes through it.
    elements, size = (4096, 4) if name == "transposed-large/0" else (2048, 2)
    assert row["shared"] == elements * size


@pytest.mark.parametrize("target", EACH_TARGET)
def test_products_of_halves_use_tensor_cores(target: str) -> None:
    rows = [row for row in compiled(target) if not row["kernel"].startswith("perceptron")]
    products = [row for row in rows if row["form"] == "matmul"]
    assert len(products) == 13
    assert all(row["tensor cores"] for row in products)
    assert all(row["widest"] == 128 or row["descriptors"] for row in products)


def planned(symbol: mx.Symbol, path: Path, shape: str, target: str) -> str:
    """What the plan command prints of a symbol, compiled."""
    symbol.save(str(path))
    command = [sys.executable, "-m", "tritonsym", "plan", str(path), "--shape", shape]
    result = subprocess.run(
        [*command, "--target", target],
        capture_output=True,
        text=True,
        # Whoever looks at memory that was freed, finds neither what was there nor zeros.
        env={**without_interpreter(), "MALLOC_PERTURB_": "165"},
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stderr == "", "tools that warn are not heard"
    return result.stdout


def test_the_plan_command_compiles(tmp_path: Path) -> None:
    data = mx.sym.Variable("data")
    layer = mx.sym.FullyConnected(data, num_hidden=10, name="fc")
    softmax = mx.sym.softmax(layer, name="probabilities")
    printed = planned(softmax, tmp_path / "net-symbol.json", "data=64,784", "sm_90")
    assert re.search(r"rows: .*max sub exp sum div \[.*probabilities\]", printed)
    assert re.search(r"1 \d+ registers, 0 bytes spilled", printed)


def test_powers_of_tiny_constants_compile(tmp_path: Path) -> None:
    """LLVM died of those whose base is subnormal."""
    bases = (2.0**-149, 1e-40, -1e-40, 2.0**-126 - 2.0**-149, 2.0**-126)
    powers = [
        base ** mx.sym.slice_axis(mx.sym.Variable("data"), axis=0, begin=n, end=13)
        for n, base in enumerate(bases)
    ]
    file = tmp_path / "power-symbol.json"
    printed = planned(mx.sym.Group(powers), file, "data=13", "sm_90")
    assert len(re.findall(r"\d+ registers, 0 bytes spilled", printed)) == 1, "all in one"


def test_the_plan_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net-symbol.json"
    mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=10).save(str(path))
    assert main(["plan", str(path)]) == 1
    assert "do not follow; give them too" in capsys.readouterr().out
    assert main(["plan", str(path), "--shape", "datta=2,3"]) == 1
    assert "'datta'" in capsys.readouterr().out


@pytest.mark.xdist_group("sm_90")
def test_workers_keep_to_groups(request: pytest.FixtureRequest) -> None:
    """Else each of them compiles all: pytest-xdist goes by a name that pytest 9.2 has given up."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("no groups without --dist loadgroup")
    assert request.node.nodeid.endswith("@sm_90")
