"""Prove that real MXNet 1.9.1 reads the files that tritonsym wrote, and gets the same numbers.

Run with the Python of an environment that holds `mxnet==1.9.1`, on one folder:

    python tests/oracle/check_our_files.py FOLDER

The folder holds, for every name: `NAME-symbol.json`, and where it is to be run also
`NAME-0001.params` (keys `arg:` and `aux:`) and `NAME.npz` (arrays `in:<argument>`, `out:<place>`).
Any other `*.params` is loaded and saved again. tests/test_files_match_mxnet.py writes such a folder
and runs this file when the environment variable TRITONSYM_MXNET_PYTHON names that Python.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("MXNET_MKLDNN_ENABLED", "0")
os.environ.setdefault("MXNET_SUBGRAPH_BACKEND", "NONE")

import mxnet as mx
import numpy as np


def check_symbol(path: Path) -> list[str]:
    """What is wrong with one symbol file."""
    text = path.read_text(encoding="utf-8")
    symbol = mx.sym.load(str(path))
    complaints = [] if symbol.tojson() == text else [f"{path.name}: MXNet saves it differently"]
    name = path.name.removesuffix("-symbol.json")
    numbers = path.with_name(f"{name}.npz")
    if not numbers.exists():
        return complaints
    parameters = mx.nd.load(str(path.with_name(f"{name}-0001.params")))
    recorded = np.load(numbers)
    arguments = {key[4:]: one for key, one in parameters.items() if key.startswith("arg:")}
    states = {key[4:]: one for key, one in parameters.items() if key.startswith("aux:")}
    for key in recorded.files:
        if key.startswith("in:"):
            arguments[key[3:]] = mx.nd.array(recorded[key], dtype=recorded[key].dtype)
    outputs = symbol.bind(mx.cpu(), arguments, aux_states=states).forward(is_train=False)
    for place, output in enumerate(outputs):
        ours, theirs = recorded[f"out:{place}"], output.asnumpy()
        if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
            complaints.append(f"{name} output {place}: {ours.dtype}{ours.shape}, "
                              f"MXNet {theirs.dtype}{theirs.shape}")  # fmt: skip
        elif not np.allclose(ours, theirs, rtol=1e-5, atol=1e-6, equal_nan=True):
            complaints.append(f"{name} output {place}: numbers differ")
    return complaints


def check_arrays(path: Path) -> list[str]:
    """What is wrong with one file of arrays."""
    loaded = mx.nd.load(str(path))
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "again.params"
        mx.nd.save(str(again), loaded)
        same = again.read_bytes() == path.read_bytes()
    return [] if same else [f"{path.name}: MXNet saves it differently"]


def main() -> None:
    """Check every file of the folder; print every complaint; fail if there is one."""
    folder = Path(sys.argv[1])
    symbols, arrays = sorted(folder.glob("*-symbol.json")), sorted(folder.glob("*.params"))
    if not symbols or not arrays:
        raise SystemExit(f"{folder} holds no files to check")
    complaints = [text for path in symbols for text in check_symbol(path)]
    complaints += [text for path in arrays for text in check_arrays(path)]
    print("\n".join(complaints))
    print(f"{len(symbols)} symbols, {len(arrays)} files of arrays, {len(complaints)} complaints")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
