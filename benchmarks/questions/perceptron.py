"""How fast does a small network of dense layers answer, and learn?"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ..sizes import Sizes
from ..workload import Input, Kind, Role, Workload


def workloads(sizes: Sizes) -> list[Workload]:
    widths = sizes.perceptron_widths
    dtypes = dict.fromkeys(("float32", sizes.product_dtype))
    answers = [
        _answer(batch, widths, dtype) for dtype in dtypes for batch in sizes.perceptron_batches
    ]
    return [*answers, _step(sizes.perceptron_batches[-1], widths)]


def _scores(f: Any, widths: tuple[int, ...], x: Any, *parameters: Any) -> Any:
    weights, biases = parameters[::2], parameters[1::2]
    for width, weight, bias in zip(widths[1:], weights, biases, strict=True):
        x = f.linear(x, weight, bias, width)
        if weight is not weights[-1]:
            x = f.relu(x)
    return x


def _inputs(batch: int, widths: tuple[int, ...]) -> dict[str, Input]:
    inputs = {"data": Input((batch, widths[0]))}
    for number, (before, width) in enumerate(pairwise(widths), 1):
        scale = (2 / before) ** 0.5
        inputs[f"fc{number}_weight"] = Input((width, before), Role.PARAMETER, scale)
        inputs[f"fc{number}_bias"] = Input((width,), Role.PARAMETER, 0.1)
    return inputs


def _flops(batch: int, widths: tuple[int, ...]) -> int:
    return 2 * batch * sum(before * width for before, width in pairwise(widths))


def _named(batch: int, widths: tuple[int, ...], dtype: str) -> str:
    return f"perceptron {'-'.join(map(str, widths))}, batch {batch} {dtype}"


def _answer(batch: int, widths: tuple[int, ...], dtype: str) -> Workload:
    def compute(f: Any, x: Any, *parameters: Any) -> Any:
        return f.softmax(_scores(f, widths, x, *parameters))

    return Workload(
        _named(batch, widths, dtype),
        _inputs(batch, widths),
        compute,
        [(batch, widths[-1])],
        flops=_flops(batch, widths),
        dtype=dtype,
    )


def _step(batch: int, widths: tuple[int, ...]) -> Workload:
    def compute(f: Any, x: Any, *others: Any) -> Any:
        *parameters, label = others
        return f.loss(_scores(f, widths, x, *parameters), label)

    label = Input((batch,), Role.LABEL, classes=widths[-1])
    return Workload(
        f"{_named(batch, widths, 'float32')}, step",
        {**_inputs(batch, widths), "label": label},
        compute,
        kind=Kind.STEP,
        # Backward has two products for each of forward, but for the first layer's data.
        flops=3 * _flops(batch, widths) - 2 * batch * widths[0] * widths[1],
    )
