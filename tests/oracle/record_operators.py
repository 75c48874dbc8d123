"""Record what real MXNet 1.9.1 answers: `MXNET_PYTHON tests/oracle/record_operators.py`.

Arguments restrict the run to some families; a second run must leave every byte as it was.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from oracle.mxnet_process import find, in_children, mx, tidy
from oracle.operator_cases import ALIASES, STRUCTURES, VALUELESS, Case, families
from oracle.storage import Answer, Recorded, Structure, save


def answer(function: str, case: Case) -> Answer:
    try:
        variables = [mx.sym.Variable(f"input{index}") for index in range(len(case.inputs))]
        with mx.name.NameManager():
            symbol = find(function)(*variables, **case.attributes)
        arrays = [mx.nd.array(values, dtype=values.dtype) for values in case.inputs]
        executor = symbol.bind(mx.cpu(), arrays)
        outputs = [output.asnumpy() for output in executor.forward(is_train=False)]
    except Exception as error:
        return Answer("error", (), type(error).__name__, tidy(str(error)))
    return Answer("outputs", tuple(outputs))


def answers(function: str, cases: Sequence[Case]) -> list[Answer]:
    """The answers to all cases; where MXNet's process dies, a crash."""
    return in_children(lambda case: answer(function, case), cases, Answer("crash"))


def structure(function: str, attributes: dict[str, Any]) -> Structure:
    with mx.name.NameManager():
        symbol = find(function)(**attributes)
    graph = json.loads(symbol.tojson())
    node = graph["nodes"][graph["heads"][0][0]]
    return Structure(
        function,
        attributes,
        node["op"],
        node["name"],
        tuple(symbol.list_arguments()),
        tuple(symbol.list_outputs()),
    )


def same(operator: str, left: Answer, right: Answer) -> bool:
    if (left.kind, left.error, len(left.outputs)) != (right.kind, right.error, len(right.outputs)):
        return False
    return all(
        one.dtype == other.dtype
        and one.shape == other.shape
        and (operator in VALUELESS or one.tobytes() == other.tobytes())
        for one, other in zip(left.outputs, right.outputs, strict=True)
    )


def record(family: str, operators: dict[str, list[Case]]) -> None:
    recorded: list[Recorded] = []
    structures: dict[str, list[Structure]] = {}
    for operator, cases in operators.items():
        found = answers(operator, cases)
        for alias in ALIASES.get(operator, ()):
            for case, mine, other in zip(cases, found, answers(alias, cases), strict=True):
                if not same(operator, mine, other):
                    raise AssertionError(f"{alias} differs from {operator}: {case.label}")
        for case, result in zip(cases, found, strict=True):
            if operator in VALUELESS and result.kind == "outputs":
                zeros = tuple(np.zeros_like(output) for output in result.outputs)
                result = Answer("outputs", zeros)
            recorded.append(Recorded(operator, case.label, case.inputs, case.attributes, result))
        structures[operator] = [
            structure(function, attributes)
            for function in (operator, *ALIASES.get(operator, ()))
            for attributes in STRUCTURES.get(operator, ({},))
        ]
        kinds = [result.kind for result in found]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        print(f"{operator}: {counts}", flush=True)
    save(family, recorded, structures)


def main(chosen: Sequence[str]) -> None:
    warnings.simplefilter("ignore")
    for family, operators in families().items():
        if not chosen or family in chosen:
            record(family, operators)


if __name__ == "__main__":
    main(sys.argv[1:])
