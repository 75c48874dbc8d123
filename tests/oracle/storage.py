"""The recorded answers on disk: a JSON index per family, beside an npz of pooled values.

Inputs are stored too, although `operator_cases` can make them again: a change of a generator, of
numpy or of a processor's casts then shows as a difference instead of a wrong expectation.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

DATA = Path(__file__).resolve().parent.parent / "data" / "operators"


@dataclass(frozen=True)
class Answer:
    """What MXNet did with a case: outputs, or the class and text of an error, or a crash."""

    kind: str
    outputs: tuple[Array, ...] = ()
    error: str = ""
    message: str = ""


@dataclass(frozen=True)
class Recorded:
    """A case as recorded, with its answer."""

    operator: str
    label: str
    inputs: tuple[Array, ...]
    attributes: dict[str, Any]
    answer: Answer


@dataclass(frozen=True)
class Structure:
    """The names that a bare operator, called without inputs, gives itself."""

    function: str
    attributes: dict[str, Any]
    operator: str
    name: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass
class Pool:
    """Flat values per dtype; an array is a dtype, a shape and an offset; equal ones are one."""

    chunks: dict[str, list[Array]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    seen: dict[tuple[str, bytes], int] = field(default_factory=dict)

    def add(self, array: Array) -> str:
        dtype, key = str(array.dtype), (str(array.dtype), array.tobytes())
        if key not in self.seen:
            self.seen[key] = self.sizes.get(dtype, 0)
            self.sizes[dtype] = self.seen[key] + array.size
            self.chunks.setdefault(dtype, []).append(array.ravel())
        return f"{dtype}[{','.join(map(str, array.shape))}]@{self.seen[key]}"

    def write(self, path: Path) -> None:
        """An npz whose bytes depend on the values only."""
        with zipfile.ZipFile(path, "w") as archive:
            for dtype in sorted(self.chunks):
                buffer = io.BytesIO()
                np.lib.format.write_array(
                    buffer, np.concatenate(self.chunks[dtype]), version=(1, 0)
                )
                entry = zipfile.ZipInfo(f"{dtype}.npy", (1980, 1, 1, 0, 0, 0))
                archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)


def fetch(pool: Mapping[str, Array], reference: str) -> Array:
    match = re.fullmatch(r"(\w+)\[([\d,]*)\]@(\d+)", reference)
    if match is None:
        raise ValueError(f"not a stored array: {reference}")
    dtype, dimensions, start = match[1], match[2], int(match[3])
    shape = tuple(int(size) for size in dimensions.split(",") if size)
    count = math.prod(shape)
    if not count:
        return np.zeros(shape, dtype)
    return pool[dtype][start : start + count].reshape(shape)


def encode(value: Any) -> Any:
    """An attribute as JSON: a tuple is an array, a list and a non-finite float are marked."""
    if isinstance(value, list):
        return {"list": [encode(item) for item in value]}
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


def decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(decode(item) for item in value)
    if isinstance(value, dict):
        if "float" in value:
            return float(value["float"])
        return [decode(item) for item in value["list"]]
    return value


def encode_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: encode(value) for key, value in attributes.items()}


def decode_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: decode(value) for key, value in attributes.items()}


def save(
    family: str, cases: list[Recorded], structures: dict[str, list[Structure]], folder: Path = DATA
) -> None:
    pool = Pool()
    lines: dict[str, list[str]] = {}
    for case in cases:
        answer: dict[str, Any] = {}
        if case.answer.kind == "outputs":
            answer["outputs"] = [pool.add(array) for array in case.answer.outputs]
        elif case.answer.kind == "error":
            answer["error"] = case.answer.error
            answer["message"] = case.answer.message
        else:
            answer["crash"] = True
        row = [
            case.label,
            encode_attributes(case.attributes),
            [pool.add(array) for array in case.inputs],
            answer,
        ]
        lines.setdefault(case.operator, []).append(compact(row))
    blocks = []
    for operator, rows in lines.items():
        shown = [
            compact(
                {
                    "function": found.function,
                    "attributes": encode_attributes(found.attributes),
                    "operator": found.operator,
                    "name": found.name,
                    "arguments": list(found.arguments),
                    "outputs": list(found.outputs),
                }
            )
            for found in structures[operator]
        ]
        blocks.append(
            f'{json.dumps(operator)}: {{\n"structures": [\n'
            + ",\n".join(shown)
            + '\n],\n"cases": [\n'
            + ",\n".join(rows)
            + "\n]}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{family}.json").write_text("{\n" + ",\n".join(blocks) + "\n}\n")
    pool.write(folder / f"{family}.npz")


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def load(family: str, folder: Path = DATA) -> tuple[list[Recorded], dict[str, list[Structure]]]:
    index = json.loads((folder / f"{family}.json").read_text())
    with np.load(folder / f"{family}.npz", allow_pickle=False) as archive:
        pool = {dtype: archive[dtype] for dtype in archive.files}
    cases, structures = [], {}
    for operator, entry in index.items():
        structures[operator] = [
            Structure(
                row["function"],
                decode_attributes(row["attributes"]),
                row["operator"],
                row["name"],
                tuple(row["arguments"]),
                tuple(row["outputs"]),
            )
            for row in entry["structures"]
        ]
        for label, attributes, inputs, answer in entry["cases"]:
            if "outputs" in answer:
                found = Answer("outputs", tuple(fetch(pool, item) for item in answer["outputs"]))
            elif "error" in answer:
                found = Answer("error", (), answer["error"], answer["message"])
            else:
                found = Answer("crash")
            arrays = tuple(fetch(pool, item) for item in inputs)
            cases.append(Recorded(operator, label, arrays, decode_attributes(attributes), found))
    return cases, structures


def names(folder: Path = DATA) -> list[str]:
    """The recorded families."""
    return sorted(path.stem for path in folder.glob("*.json"))
