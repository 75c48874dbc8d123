"""Machine code of products: tensor cores where they are as exact, wide loads, no spills."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import subprocess
import sys
from typing import Any

import pytest

from test_ahead_of_time import EACH_TARGET, HERE, without_interpreter
from tritonsym.products.gpus import gpu_of_target

# What multiplies matrices, by target and dtype; tf32 is float32 with less exact factors.
UNITS = {
    "sm_80": {"float16": "HMMA", "bfloat16": "HMMA", "tf32": "HMMA", "tf32x3": "HMMA"}
    | {"float64": "DMMA", "int8": "IMMA", "uint8": "IMMA"},
    "sm_90": {"float16": "HGMMA", "bfloat16": "HGMMA", "tf32": "HGMMA", "tf32x3": "HGMMA"}
    | {"float64": "DMMA", "int8": "IGMMA", "uint8": "IGMMA"},
    "sm_100": {"float16": "UTCHMMA", "bfloat16": "UTCHMMA", "tf32": "UTCHMMA"}
    | {"float64": "DMMA", "int8": "UTCIMMA", "uint8": "UTCIMMA"},
}
# The products of 4096 rows that there are.
HUGE = {
    *("float16 huge", "bfloat16 huge", "tf32 huge", "bfloat16 huge relu", "bfloat16 huge erf"),
    *("bfloat16 huge residual", "bfloat16 huge ragged", "bfloat16 huge turned"),
}

# Bytes that do not fit the registers, by target and kernel. Of one kernel the assembler for sm_100
# keeps six numbers on the stack, though it has registers left. An earlier Triton schedules some
# more otherwise, and has no units for float64 on sm_100, nor new ones for bytes.
SPILLED: dict[str, dict[str, int]] = {"sm_80": {}, "sm_90": {}, "sm_100": {"tf32x3 small": 24}}
if importlib.metadata.version("triton").startswith("3.6."):
    SPILLED = {
        "sm_80": {"tf32x3 large": 144, "tf32x3 middle": 144, "bfloat16 huge ragged": 40},
        "sm_90": {"float64 large": 8, "uint8 large": 88},
        "sm_100": {},
    }
    UNITS["sm_100"] |= {"int8": "IMMA", "uint8": "IMMA"}
    del UNITS["sm_100"]["float64"]


# How the same instructions are called in text for the abstract machine and for the real one.
NAMES = {
    "mma.sync": {"HMMA", "DMMA", "IMMA"},
    "wgmma.mma_async": {"HGMMA", "IGMMA"},
    "tcgen05.mma": {"UTCHMMA", "UTCIMMA"},
    "cp.async.cg": {"LDGSTS"},
    "cp.async.bulk.tensor.2d.shared": {"UTMALDG"},
    "cp.async.bulk.tensor.2d.global": {"UTMASTG"},
}


@functools.cache
def compiled(target: str) -> dict[str, dict[str, Any]]:
    result = subprocess.run(
        [sys.executable, str(HERE / "compile_products.py"), target],
        capture_output=True,
        text=True,
        env=without_interpreter(),
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return {row["name"]: row for row in json.loads(result.stdout)}


@pytest.mark.parametrize("target", EACH_TARGET)
def test_nothing_spills(target: str) -> None:
    rows = compiled(target)
    assert len(rows) > 60
    assert {name: row["spilled"] for name, row in rows.items() if row["spilled"]} == SPILLED[target]


@pytest.mark.parametrize("target", EACH_TARGET)
def test_large_products_are_on_the_units_for_them(target: str) -> None:
    rows = compiled(target)
    for kind, unit in UNITS[target].items():
        for size in ("large", "middle"):
            assert unit in rows[f"{kind} {size}"]["machine"], (kind, size)
        for size in ("small", "skinny", "deep"):
            assert rows[f"{kind} {size}"]["tensor cores"], (kind, size)


@pytest.mark.parametrize("target", EACH_TARGET)
def test_exact_products_of_float32_are_on_no_tensor_cores(target: str) -> None:
    """Those would drop bits; and integers of 32 bits or more have none."""
    rows = compiled(target)
    for name, row in rows.items():
        if name.split()[0] in ("float32", "int32", "int64"):
            assert not row["tensor cores"], name
    instructions = {*rows["float32 large"]["instructions"]}
    assert instructions & {"fma.rn.f32", "fma.rn.f32x2"}, "one or two numbers at a time"
    assert instructions - {"fma.rn.f32", "fma.rn.f32x2"} == {"cp.async.cg"}
    assert {*rows["float32 large"]["machine"]} - {"FFMA"} == {"LDGSTS"}


@pytest.mark.parametrize("target", EACH_TARGET)
def test_the_machine_has_the_instructions_that_it_is_given(target: str) -> None:
    """So what the other tests read is what runs."""
    read = [row for row in compiled(target).values() if row["machine"] is not None]
    assert len(read) > 20
    for row in read:
        machine, widest = {*row["machine"]}, row["widest"]
        assert row["machine's widest"] == (widest if widest >= 64 else 0), row["name"]
        for word, names in NAMES.items():
            assert bool(machine & names) is (word in row["instructions"]), (row["name"], word)


@pytest.mark.parametrize("target", EACH_TARGET)
def test_operands_are_read_128_bits_at_a_time(target: str) -> None:
    """Large products of wide integers, which have small tiles in registers, are the exception."""
    exempt = {f"{kind} {size}" for kind in ("int32", "int64") for size in ("large", "middle")}
    rows = compiled(target)
    narrow = {n for n, row in rows.items() if row["widest"] < 128 and not row["descriptors"]}
    assert narrow <= exempt


@pytest.mark.parametrize("target", EACH_TARGET)
def test_shared_memory_suffices(target: str) -> None:
    room = gpu_of_target(target).shared_memory
    assert {n: row["shared"] for n, row in compiled(target).items() if row["shared"] > room} == {}


@pytest.mark.parametrize("target", EACH_TARGET[1:])
def test_huge_products_are_loaded_by_descriptors(target: str) -> None:
    """No thread copies their elements."""
    rows = compiled(target)
    described = {name for name, row in rows.items() if row["descriptors"]}
    assert described >= HUGE
    for name in described:
        assert "cp.async.cg" not in rows[name]["instructions"], name
        assert {"wgmma.mma_async", "tcgen05.mma"} & {*rows[name]["instructions"]}, name
    assert not any(name.split()[1] in ("small", "skinny", "row", "deep") for name in described)
    assert {name.split()[0] for name in described} == {"float16", "bfloat16", "tf32"}


@pytest.mark.xdist_group("sm_90")
def test_results_of_huge_products_go_by_descriptors() -> None:
    """Where there is room for them besides operands; 32 bits or a second operand leave none."""
    rows = compiled("sm_90")
    stored = {
        name for name in HUGE if "cp.async.bulk.tensor.2d.global" in rows[name]["instructions"]
    }
    assert stored == HUGE - {"tf32 huge", "bfloat16 huge residual"}


@pytest.mark.xdist_group("sm_80")
def test_earlier_gpus_have_no_descriptors() -> None:
    assert not any(row["descriptors"] for row in compiled("sm_80").values())
