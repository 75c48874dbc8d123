"""The recorded gradients on disk: a JSON index per family, beside an npz of pooled values.

Everything that a case was given is stored with it, the gradients of its outputs too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from oracle.storage import Array, Pool, compact, decode_attributes, encode_attributes, fetch

DATA = Path(__file__).resolve().parent.parent / "data" / "gradients"

# What is in a gradient's array before the backward pass: nothing that MXNet would leave there.
BEFORE = 7


@dataclass(frozen=True)
class Reaction:
    """What MXNet did with a case.

    Attributes:
        kind: "answer", or "error" or "crash".
        inference: the outputs of ``forward(is_train=False)``, where they are recorded here.
        training: the outputs of ``forward(is_train=True)``, likewise.
        gradients: what is in each input's gradient array after ``backward``; None without one.
        states: the auxiliary states after ``backward``.
        changed: the inputs, by position, that are no longer what they were.
        error: the class of an exception; ``message`` is its text, and ``stage`` says who raised it.
    """

    kind: str
    inference: tuple[Array, ...] = ()
    training: tuple[Array, ...] = ()
    gradients: tuple[Array | None, ...] = ()
    states: tuple[Array, ...] = ()
    changed: dict[int, Array] = field(default_factory=dict)
    error: str = ""
    message: str = ""
    stage: str = ""


@dataclass(frozen=True)
class RecordedGradient:
    """A case as recorded, with the gradients of its outputs and MXNet's reaction."""

    operator: str
    label: str
    inputs: tuple[Array, ...]
    attributes: dict[str, Any]
    states: tuple[Array, ...]
    requests: tuple[str, ...]
    heads: tuple[Array, ...] | None
    training: bool
    reaction: Reaction


def _row(case: RecordedGradient, pool: Pool) -> str:
    def store(arrays: tuple[Array | None, ...]) -> list[str | None]:
        return [None if array is None else pool.add(array) for array in arrays]

    found = case.reaction
    reaction: dict[str, Any] = {}
    if found.kind == "crash":
        reaction["crash"] = True
    elif found.kind == "error":
        reaction |= {"error": found.error, "message": found.message, "stage": found.stage}
    else:
        for part in ("inference", "training", "gradients", "states"):
            if getattr(found, part):
                reaction[part] = store(getattr(found, part))
        if found.changed:
            reaction["changed"] = {str(i): pool.add(array) for i, array in found.changed.items()}
    given: dict[str, Any] = {"inputs": store(case.inputs)}
    if case.attributes:
        given["attributes"] = encode_attributes(case.attributes)
    if case.states:
        given["states"] = store(case.states)
    if set(case.requests) != {"write"}:
        given["requests"] = list(case.requests)
    if case.heads is not None:
        given["heads"] = store(case.heads)
    if not case.training:
        given["training"] = False
    return compact([case.label, given, reaction])


def save(family: str, cases: list[RecordedGradient], folder: Path = DATA) -> None:
    pool = Pool()
    rows: dict[str, list[str]] = {}
    for case in cases:
        rows.setdefault(case.operator, []).append(_row(case, pool))
    blocks = [
        f"{json.dumps(name)}: [\n" + ",\n".join(lines) + "\n]" for name, lines in rows.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{family}.json").write_text("{\n" + ",\n".join(blocks) + "\n}\n")
    pool.write(folder / f"{family}.npz")


def _read(operator: str, row: Any, pool: dict[str, Array]) -> RecordedGradient:
    def arrays(references: list[str]) -> tuple[Array, ...]:
        return tuple(fetch(pool, reference) for reference in references)

    label, given, found = row
    inputs = arrays(given["inputs"])
    if "crash" in found:
        reaction = Reaction("crash")
    elif "error" in found:
        reaction = Reaction("error", **found)
    else:
        reaction = Reaction(
            "answer",
            arrays(found.get("inference", [])),
            arrays(found.get("training", [])),
            tuple(None if x is None else fetch(pool, x) for x in found.get("gradients", [])),
            arrays(found.get("states", [])),
            {int(i): fetch(pool, x) for i, x in found.get("changed", {}).items()},
        )
    return RecordedGradient(
        operator,
        label,
        inputs,
        decode_attributes(given.get("attributes", {})),
        arrays(given.get("states", [])),
        tuple(given.get("requests", ["write"] * len(inputs))),
        arrays(given["heads"]) if "heads" in given else None,
        given.get("training", True),
        reaction,
    )


def load(family: str, folder: Path = DATA) -> list[RecordedGradient]:
    index = json.loads((folder / f"{family}.json").read_text())
    with np.load(folder / f"{family}.npz", allow_pickle=False) as archive:
        pool = {dtype: archive[dtype] for dtype in archive.files}
    return [_read(operator, row, pool) for operator, rows in index.items() for row in rows]


def names(folder: Path = DATA) -> list[str]:
    """The recorded families."""
    return sorted(path.stem for path in folder.glob("*.json"))
