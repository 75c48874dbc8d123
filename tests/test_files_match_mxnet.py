"""Model files: ours reads those that real MXNet wrote, and real MXNet reads ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tritonsym as mx
from oracle.scenarios.serialization import GRAPHS

TESTS = Path(__file__).parent
MODELS = TESTS / "data" / "models"
MXNET_PYTHON = os.environ.get("TRITONSYM_MXNET_PYTHON")
DTYPES = ["float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool"]


def run(symbol: Any, parameters: dict[str, Any], inputs: dict[str, np.ndarray]) -> list[Any]:
    """Bind parameters as a checkpoint names them, together with inputs, and run forward."""
    arguments = {key[4:]: one for key, one in parameters.items() if key.startswith("arg:")}
    states = {key[4:]: one for key, one in parameters.items() if key.startswith("aux:")}
    for key, value in inputs.items():
        arguments[key] = mx.nd.array(value, dtype=value.dtype)
    outputs = symbol.bind(mx.cpu(), arguments, aux_states=states).forward(is_train=False)
    return [one.asnumpy() for one in outputs]


@pytest.mark.parametrize("name", ["perceptron", "operators", "lenet"])
def test_model_of_mxnet_gives_the_same_outputs(name: str) -> None:
    recorded = np.load(MODELS / f"{name}.npz")
    symbol = mx.sym.load(str(MODELS / f"{name}-symbol.json"))
    parameters = mx.nd.load(str(MODELS / f"{name}-0001.params"))
    inputs = {key[3:]: recorded[key] for key in recorded.files if key.startswith("in:")}
    outputs = run(symbol, parameters, inputs)
    assert len(outputs) == sum(key.startswith("out:") for key in recorded.files)
    for place, (ours, label) in enumerate(zip(outputs, symbol.list_outputs(), strict=True)):
        theirs = recorded[f"out:{place}"]
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), label
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6, err_msg=label)


@pytest.mark.parametrize("name", ["perceptron", "operators", "lenet"])
def test_symbol_of_mxnet_is_saved_again_byte_for_byte(name: str, tmp_path: Path) -> None:
    original = MODELS / f"{name}-symbol.json"
    again = tmp_path / "again.json"
    mx.sym.load(str(original)).save(str(again))
    assert again.read_bytes() == original.read_bytes()


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.params")), ids=lambda path: path.name)
def test_arrays_of_mxnet_are_saved_again_byte_for_byte(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.params"
    mx.nd.save(str(again), mx.nd.load(str(path)))
    assert again.read_bytes() == path.read_bytes()


def test_arrays_of_every_dtype() -> None:
    loaded = mx.nd.load(str(MODELS / "dtypes.params"))
    assert list(loaded) == DTYPES
    for name, value in loaded.items():
        assert np.dtype(value.dtype).name == name
        expected = np.array([[0, 1], [2, 100]]).astype(name)
        np.testing.assert_array_equal(value.asnumpy(), expected)
        assert value.asnumpy().dtype == expected.dtype


def test_arrays_without_names_are_a_list() -> None:
    loaded = mx.nd.load(str(MODELS / "list.params"))
    assert isinstance(loaded, list)
    assert [one.shape for one in loaded] == [(3,), (1, 1), (2, 3, 1)]
    assert [np.dtype(one.dtype).name for one in loaded] == ["float32", "int64", "float32"]
    (single,) = mx.nd.load(str(MODELS / "one.params"))
    assert single.asnumpy().tolist() == [0, 1, 2, 3, 4]


def test_names_of_any_kind() -> None:
    loaded = mx.nd.load(str(MODELS / "names.params"))
    assert list(loaded) == ["arg:fc_weight", "aux:bn_moving_mean", "caf\u00e9 \u6f22", ""]


def write_our_files(folder: Path, framework: ModuleType) -> None:
    """Save graphs and arrays of all kinds, with inputs and our outputs where a graph can run."""
    for label, build in GRAPHS.items():
        with framework.name.NameManager():
            build(framework).save(str(folder / f"{label}-symbol.json"))
    random = np.random.default_rng(3)
    for name in ("perceptron", "operators"):
        recorded = np.load(MODELS / f"{name}.npz")
        inputs = {
            key[3:]: recorded[key] if key == "in:ids" else
            random.uniform(-2, 2, recorded[key].shape).astype(np.float32)
            for key in recorded.files
            if key.startswith("in:")
        }  # fmt: skip
        symbol = framework.sym.load(str(MODELS / f"{name}-symbol.json"))
        parameters = framework.nd.load(str(MODELS / f"{name}-0001.params"))
        for value in parameters.values():
            value[:] = random.uniform(-1, 1, value.shape).astype(np.float32)
        outputs = run(symbol, parameters, inputs)
        symbol.save(str(folder / f"our_{name}-symbol.json"))
        framework.nd.save(str(folder / f"our_{name}-0001.params"), parameters)
        named_inputs: dict[str, Any] = {f"in:{key}": value for key, value in inputs.items()}
        named_outputs: dict[str, Any] = {f"out:{i}": one for i, one in enumerate(outputs)}
        np.savez(folder / f"our_{name}.npz", **named_inputs, **named_outputs)
    arrays = {one: framework.nd.array([[0, 1], [2, 100]], dtype=one) for one in DTYPES}
    framework.nd.save(str(folder / "dtypes.params"), arrays)
    framework.nd.save(str(folder / "list.params"), list(arrays.values()))
    framework.nd.save(str(folder / "nothing.params"), {})
    parts = framework.nd.arange(6).reshape((2, 3))
    framework.nd.save(str(folder / "parts.params"), [parts[1], parts[:, 1], parts.T])


@pytest.mark.skipif(
    MXNET_PYTHON is None,
    reason="TRITONSYM_MXNET_PYTHON does not name a Python that has mxnet==1.9.1",
)
def test_mxnet_reads_our_files(tmp_path: Path) -> None:
    write_our_files(tmp_path, mx)
    assert MXNET_PYTHON is not None
    finished = subprocess.run(
        [MXNET_PYTHON, str(TESTS / "oracle" / "check_our_files.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(finished.stdout, finished.stderr[-2000:], file=sys.stderr)
    assert finished.returncode == 0, finished.stdout
    assert "0 complaints" in finished.stdout
