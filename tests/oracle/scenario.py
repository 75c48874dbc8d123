"""What a scenario is: a small program over the framework module that returns plain data.

The same scenario runs under MXNet, where its answer is recorded, and under tritonsym, where it is
compared with the recorded answer. This file knows nothing about either of them.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, overload

import numpy as np

Answer = Any
Program = Callable[[ModuleType], Answer]


@dataclass(frozen=True)
class Scenario:
    """One program, named `family.function`.

    With a `tolerance`, numbers may differ from the recorded ones by so much, relative to them or
    absolutely, whichever is larger: for sums in another order.
    """

    name: str
    program: Program
    tolerance: float = 0.0

    def answer(self, mx: ModuleType) -> Answer:
        """Run the program with fresh name counters and return its answer as JSON would keep it."""
        with mx.name.NameManager():
            return json.loads(json.dumps(plain(self.program(mx)), allow_nan=False))


ALL: dict[str, Scenario] = {}


def register(name: str, program: Program, tolerance: float = 0.0) -> None:
    """Add a program to the collection under a name of its own."""
    if name in ALL:
        raise ValueError(f"two scenarios are called {name}")
    ALL[name] = Scenario(name, program, tolerance)


@overload
def scenario(program: Program) -> Program: ...


@overload
def scenario(*, tolerance: float) -> Callable[[Program], Program]: ...


def scenario(program: Program | None = None, *, tolerance: float = 0.0) -> Any:
    """Register a function under `<module>.<function>`."""

    def decorate(program: Program) -> Program:
        family = program.__module__.rsplit(".", 1)[-1]
        register(f"{family}.{program.__name__}", program, tolerance=tolerance)
        return program

    return decorate if program is None else decorate(program)


def agrees(found: Answer, recorded: Answer, tolerance: float) -> bool:
    """Whether two answers are the same, up to the tolerance of their numbers."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        return found.keys() == recorded.keys() and all(
            agrees(found[key], recorded[key], tolerance) for key in recorded
        )
    if isinstance(recorded, list) and isinstance(found, list):
        return len(found) == len(recorded) and all(
            agrees(one, other, tolerance) for one, other in zip(found, recorded, strict=True)
        )
    if isinstance(recorded, float) and isinstance(found, float):
        return math.isclose(found, recorded, rel_tol=tolerance, abs_tol=tolerance)
    return bool(found == recorded)


def plain(value: Any) -> Answer:
    """Turn an answer into JSON's types; NDArrays, dtypes and special floats become readable."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, np.ndarray):
        return {"numpy": plain(value.tolist()), "dtype": value.dtype.name, "shape": value.shape}
    if isinstance(value, type) and issubclass(value, np.generic):
        return np.dtype(value).name
    if isinstance(value, np.dtype):
        return value.name
    if type(value).__name__ == "NDArray":
        return array(value)
    if type(value).__name__ == "Symbol":
        return repr(value)
    if type(value).__name__ == "Context":
        return str(value)
    raise TypeError(f"a scenario may not answer with {type(value)}")


def array(value: Any) -> Answer:
    """What can be seen of one NDArray."""
    content = value.asnumpy()
    return {
        "dtype": np.dtype(value.dtype).name,
        "shape": list(value.shape),
        "values": plain(content.tolist()),
    }


def node(symbol: Any) -> Answer:
    """The operator, name and attributes of the node that makes the symbol's first output."""
    graph = json.loads(symbol.tojson())
    head = graph["nodes"][graph["heads"][0][0]]
    return [head["op"], head["name"], head.get("attrs", {})]


def kind_of(error: BaseException) -> str:
    """The public class of an error: a more special class of ours still counts as its base."""
    names = [one.__name__ for one in type(error).__mro__]
    for name in ("NotImplementedForSymbol", "MXNetError"):
        if name in names:
            return name
    return next(one.__name__ for one in type(error).__mro__ if one.__module__ == "builtins")


def raised(call: Callable[[], Any], *mentioned: str, base: type[Exception] | None = None) -> Answer:
    """The class of the error that a call raises, and which of some words its text contains.

    With a `base`, every class below it counts as the base.
    """
    try:
        value = call()
        if type(value).__name__ == "NDArray":
            value.asnumpy()
    except Exception as error:
        known = base is not None and isinstance(error, base)
        answer: dict[str, Any] = {"raises": base.__name__ if known else kind_of(error)}
        if mentioned:
            answer["mentions"] = {word: word in str(error) for word in mentioned}
        return answer
    return {"raises": None}


def outcome(call: Callable[[], Any]) -> Answer:
    """The value that a call returns, or the class of the error that it raises."""
    try:
        return plain(call())
    except Exception as error:
        return {"raises": kind_of(error)}


def outcomes(calls: dict[str, Callable[[], Any]]) -> Answer:
    """The outcome of each of some labelled calls."""
    return {label: outcome(call) for label, call in calls.items()}


def warned(call: Callable[[], Any], words: Iterable[str] = ()) -> Answer:
    """A call's outcome, the classes of its warnings and which words they contain."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = outcome(call)
    text = "\n".join(str(one.message) for one in caught)
    return {
        "value": value,
        "warnings": [one.category.__name__ for one in caught],
        "mentions": {word: word in text for word in words},
    }
