"""Do softmax, layer norm and sums read their rows once, short or long?"""

from __future__ import annotations

from typing import Any

from ..sizes import Pair, Sizes
from ..workload import Input, Kind, Role, Workload


def workloads(sizes: Sizes) -> list[Workload]:
    dtype = sizes.row_dtype
    return [
        *(_softmax(size, dtype) for size in sizes.softmax),
        *(_layer_norm(size, dtype) for size in sizes.layer_norm),
        _layer_norm_gradients(sizes.layer_norm_gradients, dtype),
        _cross_entropy(sizes.cross_entropy, dtype),
        _sum_all(sizes.sum_all),
        _sum_columns(sizes.sum_columns, dtype),
    ]


def _named(what: str, size: Pair, dtype: str) -> str:
    return f"{what}, {size[0]}x{size[1]} {dtype}"


def _softmax(size: Pair, dtype: str) -> Workload:
    def compute(f: Any, x: Any) -> Any:
        return f.softmax(x)

    name = _named("softmax of rows", size, dtype)
    return Workload(name, {"x": Input(size)}, compute, [size], dtype=dtype)


def _normalized(f: Any, x: Any, gamma: Any, beta: Any) -> Any:
    return f.layer_norm(x, gamma, beta)


def _layer_norm(size: Pair, dtype: str) -> Workload:
    inputs = {"x": Input(size), "gamma": Input(size[1:]), "beta": Input(size[1:])}
    return Workload(_named("layer norm", size, dtype), inputs, _normalized, [size], dtype=dtype)


def _layer_norm_gradients(size: Pair, dtype: str) -> Workload:
    inputs = {
        "x": Input(size, Role.PARAMETER),
        "gamma": Input(size[1:], Role.PARAMETER),
        "beta": Input(size[1:], Role.PARAMETER),
        "head": Input(size, Role.HEAD),
    }
    name = _named("layer norm with gradients", size, dtype)
    return Workload(name, inputs, _normalized, [size], Kind.GRADIENTS, dtype=dtype)


def _cross_entropy(size: Pair, dtype: str) -> Workload:
    def compute(f: Any, scores: Any, label: Any) -> Any:
        return f.cross_entropy(scores, label)

    inputs = {"scores": Input(size), "label": Input(size[:1], classes=size[1])}
    return Workload(_named("cross-entropy", size, dtype), inputs, compute, [(1,)], dtype=dtype)


def _sum_all(size: int) -> Workload:
    def compute(f: Any, x: Any) -> Any:
        return f.sum_all(x)

    # Positive numbers: a sum that cancels says nothing about its terms.
    return Workload(f"sum of all, {size:,}", {"x": Input((size,), positive=True)}, compute, [(1,)])


def _sum_columns(size: Pair, dtype: str) -> Workload:
    def compute(f: Any, x: Any) -> Any:
        return f.sum_columns(x)

    inputs = {"x": Input(size, positive=True)}
    name = _named("sums of columns", size, dtype)
    return Workload(name, inputs, compute, [size[1:]], dtype=dtype)
