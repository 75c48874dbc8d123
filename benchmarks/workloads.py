"""The workloads of the CPU benchmark: symbols, random data, float64 references, and eager torch.

A symbol is built by the same lines for every library with MXNet's API. Needs numpy alone: whoever
takes part hands its library in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]

SEED = 20170509
# Of the largest deviation from the reference, as `deviation` measures it. Twenty operators of
# float32 in a row stay a hundred times below the smallest mistake that matters.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    Attributes:
        name: unique; what ``--only`` selects by.
        target: the largest ratio to eager torch that is good enough.
        symbol: a library with MXNet's API to the symbol.
        arrays: the arguments by name, the same at every call.
        reference: the result in the dtype of the arrays it is given.
        eager: torch and its tensors to the call that someone would write by hand.
    """

    name: str
    target: float
    symbol: Callable[[Any], Any]
    arrays: Callable[[], Arrays]
    reference: Callable[[Arrays], Any]
    eager: Callable[[Any, dict[str, Any]], Callable[[], Any]]


def deviation(workload: Workload, result: np.ndarray[Any, Any]) -> float:
    """The largest error against float64, relative to the value and to the mean magnitude."""
    wide = {name: array.astype(np.float64) for name, array in workload.arrays().items()}
    expected = workload.reference(wide)
    if result.shape != expected.shape:
        return float("inf")
    magnitude = np.abs(expected)
    worst = float(np.max(np.abs(result - expected) / (magnitude + magnitude.mean())))
    return worst if worst == worst else float("inf")


def _uniform(**shapes: tuple[int, ...]) -> Callable[[], Arrays]:
    def arrays() -> Arrays:
        random = np.random.RandomState(SEED)
        return {name: random.rand(*shape).astype(np.float32) for name, shape in shapes.items()}

    return arrays


# ---- the tutorial's graph ----------------------------------------------------------------------


def _tutorial(size: int, target: float) -> Workload:
    def symbol(mx: Any) -> Any:
        a, b, c, d = map(mx.sym.Variable, "abcd")
        return (a * b) + (c * d)

    def reference(x: Arrays) -> Any:
        return (x["a"] * x["b"]) + (x["c"] * x["d"])

    def eager(torch: Any, x: dict[str, Any]) -> Callable[[], Any]:
        a, b, c, d = (x[name] for name in "abcd")
        return lambda: (a * b) + (c * d)

    arrays = _uniform(**dict.fromkeys("abcd", (size,)))
    return Workload(f"(a*b)+(c*d), {size:,}", target, symbol, arrays, reference, eager)


# ---- twenty elementwise operators --------------------------------------------------------------


def _chain(size: int) -> Workload:
    """Five times: times b, plus c, less a, and a function, each time another one."""

    def through(x: Any, a: Any, b: Any, c: Any, functions: tuple[Callable[[Any], Any], ...]) -> Any:
        for function in functions:
            x = function(x * b + c - a)
        return x

    def symbol(mx: Any) -> Any:
        a, b, c = map(mx.sym.Variable, "abc")
        functions = (mx.sym.tanh, mx.sym.abs, mx.sym.sigmoid, mx.sym.square, mx.sym.relu)
        return through(a, a, b, c, functions)

    def reference(x: Arrays) -> Any:
        functions = (
            np.tanh,
            np.abs,
            lambda v: 1 / (1 + np.exp(-v)),
            np.square,
            lambda v: np.maximum(v, 0),
        )
        return through(x["a"], x["a"], x["b"], x["c"], functions)

    def eager(torch: Any, x: dict[str, Any]) -> Callable[[], Any]:
        a, b, c = (x[name] for name in "abc")
        functions = (torch.tanh, torch.abs, torch.sigmoid, torch.square, torch.relu)
        return lambda: through(a, a, b, c, functions)

    arrays = _uniform(**dict.fromkeys("abc", (size,)))
    return Workload(f"chain of 20, {size:,}", 1.0, symbol, arrays, reference, eager)


# ---- a perceptron ------------------------------------------------------------------------------

_WIDTHS = (784, 512, 512, 10)


def _perceptron(batch: int) -> Workload:
    def symbol(mx: Any) -> Any:
        x = mx.sym.Variable("data")
        for number, width in enumerate(_WIDTHS[1:], 1):
            x = mx.sym.FullyConnected(x, num_hidden=width, name=f"fc{number}")
            if number < len(_WIDTHS) - 1:
                x = mx.sym.Activation(x, act_type="relu")
        return mx.sym.softmax(x)

    def arrays() -> Arrays:
        random = np.random.RandomState(SEED)
        made = {"data": random.rand(batch, _WIDTHS[0])}
        for number, (before, width) in enumerate(pairwise(_WIDTHS), 1):
            made[f"fc{number}_weight"] = random.randn(width, before) * (2 / before) ** 0.5
            made[f"fc{number}_bias"] = random.randn(width)
        return {name: array.astype(np.float32) for name, array in made.items()}

    def reference(x: Arrays) -> Any:
        h = np.maximum(x["data"] @ x["fc1_weight"].T + x["fc1_bias"], 0)
        h = np.maximum(h @ x["fc2_weight"].T + x["fc2_bias"], 0)
        return _softmax(h @ x["fc3_weight"].T + x["fc3_bias"])

    def eager(torch: Any, x: dict[str, Any]) -> Callable[[], Any]:
        linear, relu, softmax = (
            getattr(torch.nn.functional, n) for n in ("linear", "relu", "softmax")
        )
        data = x["data"]
        (w1, b1), (w2, b2), (w3, b3) = (
            (x[f"fc{number}_weight"], x[f"fc{number}_bias"]) for number in (1, 2, 3)
        )
        return lambda: softmax(
            linear(relu(linear(relu(linear(data, w1, b1)), w2, b2)), w3, b3), dim=-1
        )

    name = f"perceptron {'-'.join(map(str, _WIDTHS))}, batch {batch}"
    return Workload(name, 1.0, symbol, arrays, reference, eager)


# ---- softmax -----------------------------------------------------------------------------------


def _softmax(x: np.ndarray[Any, Any]) -> Any:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _softmax_rows(rows: int, length: int) -> Workload:
    def eager(torch: Any, x: dict[str, Any]) -> Callable[[], Any]:
        data, softmax = x["data"], torch.nn.functional.softmax
        return lambda: softmax(data, dim=-1)

    return Workload(
        f"softmax of rows, {rows}x{length}",
        1.0,
        lambda mx: mx.sym.softmax(mx.sym.Variable("data")),
        _uniform(data=(rows, length)),
        lambda x: _softmax(x["data"]),
        eager,
    )


WORKLOADS = (
    _tutorial(1, 1.2),
    _tutorial(10**4, 1.0),
    _tutorial(10**6, 1.0),
    _tutorial(10**7, 0.25),
    _chain(10**4),
    _chain(10**6),
    _chain(10**7),
    _perceptron(1),
    _perceptron(128),
    _softmax_rows(1024, 1024),
    _softmax_rows(4, 2**20),
)


# ---- a graph of many nodes ---------------------------------------------------------------------

STAGES = (
    "build",
    "tojson",
    "save",
    "load",
    "infer_shape",
    "infer_type",
    "bind",
    "first forward",
    "forward",
)
_LONG = (16,)


def long_graph(mx: Any, nodes: int, file: str, clock: Callable[[], float]) -> list[float]:
    """Seconds of each of ``STAGES`` for a chain of so many operators, whose result is checked.

    Raises:
        ValueError: the result is wrong.
    """
    random = np.random.RandomState(SEED)
    values = {name: random.rand(*_LONG).astype(np.float32) for name in "xy"}
    expected = values["x"].astype(np.float64)
    for _ in range(nodes // 2):
        expected = (expected + values["y"]) * 0.5
    arrays = {name: mx.nd.array(value) for name, value in values.items()}
    laps = [clock()]

    def lap() -> None:
        laps.append(clock())

    result, y = map(mx.sym.Variable, "xy")
    for _ in range(nodes // 2):
        result = (result + y) * 0.5
    lap()
    result.tojson()
    lap()
    result.save(file)
    lap()
    loaded = mx.sym.load(file)
    lap()
    loaded.infer_shape(x=_LONG, y=_LONG)
    lap()
    loaded.infer_type(x=np.float32, y=np.float32)
    lap()
    executor = loaded.bind(mx.cpu(), arrays)
    lap()
    executor.forward()[0].wait_to_read()
    lap()
    executor.forward()[0].wait_to_read()
    lap()
    got = executor.outputs[0].asnumpy()
    if not np.allclose(got, expected, rtol=TOLERANCE):
        raise ValueError(f"the chain of {nodes} operators gave {got}, expected {expected}")
    return [after - before for before, after in pairwise(laps)]
