"""Kernels are compiled when a graph is bound, side by side, and once for each structure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from test_ahead_of_time import without_interpreter

# Far more than what is left to do, on however busy a machine; compiling takes many times that.
SECONDS = 1.0


def test_a_second_bind_of_the_same_structure_compiles_nothing(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "bind_twice.py")],
        capture_output=True,
        text=True,
        env={**without_interpreter(), "TRITON_CACHE_DIR": str(tmp_path)},
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    first, second = json.loads(result.stdout)
    assert first["kernels"] == second["kernels"] > 6
    assert 0 < len(first["threads"]) <= first["kernels"], "equal kernels are compiled once"
    assert all("ThreadPoolExecutor" in name for name in first["threads"])
    assert second["threads"] == []
    assert second["seconds"] < SECONDS
    assert result.stderr == "", "no progress is shown where there is no terminal"
