"""Kernels are compiled and loaded when a graph is bound, side by side, once for each structure."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from test_ahead_of_time import without_interpreter

# Far more than what is left to do, on however busy a machine; compiling takes many times that.
SECONDS = 1.0


@functools.cache
def measured() -> dict[str, dict[str, Any]]:
    """What Triton was asked to do when, in a process that compiles."""
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            [sys.executable, str(Path(__file__).parent / "bind_twice.py")],
            capture_output=True,
            text=True,
            env={**without_interpreter(), "TRITON_CACHE_DIR": folder},
            check=False,
        )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stderr == "", "no progress is shown where there is no terminal"
    found: dict[str, dict[str, Any]] = json.loads(result.stdout)
    return found


def test_a_second_bind_of_the_same_structure_compiles_nothing() -> None:
    first, second = measured()["first"], measured()["second"]
    assert first["kernels"] == second["kernels"] > 6
    assert 0 < len(first["threads"]) <= first["kernels"], "equal kernels are compiled once"
    assert all("ThreadPoolExecutor" in name for name in first["threads"])
    assert second["threads"] == []
    assert second["seconds"] < SECONDS


def test_what_is_compiled_is_loaded_before_the_first_run() -> None:
    first, second = measured()["first"], measured()["second"]
    assert len(set(first["loaded"])) == len(first["loaded"]) == len(first["threads"])
    assert second["loaded"] == []


def test_threads_that_bind_at_once_load_a_kernel_once() -> None:
    found = measured()["in threads"]
    assert found["kernels"] == 4, "threads"
    assert len(found["threads"]) == len(found["loaded"]) == 1


def test_a_kernel_that_does_not_compile_leaves_the_next_alone() -> None:
    found = measured()["after an error"]
    assert found["kernels"] == 1
    assert len(found["threads"]) == len(found["loaded"]) == 1
