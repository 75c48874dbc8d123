"""Do elementwise operators run at the speed of memory, however many there are?"""

from __future__ import annotations

from typing import Any

from ..sizes import Pair, Sizes
from ..workload import Input, Workload

# What of eager torch's time is good enough: one element is the overhead of a call alone, and ten
# million are four times through memory where two would do.
_TUTORIAL_TARGETS = {1: 1.2, 10**7: 0.25}


def workloads(sizes: Sizes) -> list[Workload]:
    return [
        *map(_tutorial, sizes.tutorial),
        *map(_chain, sizes.chain),
        _bias_gelu(sizes.bias_gelu, sizes.row_dtype),
        _outer_add(sizes.outer_add),
        _transposed_add(sizes.transposed_add),
    ]


def _tutorial(size: int) -> Workload:
    def compute(f: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        return (a * b) + (c * d)

    return Workload(
        f"(a*b)+(c*d), {size:,}",
        dict.fromkeys("abcd", Input((size,))),
        compute,
        [(size,)],
        target=_TUTORIAL_TARGETS.get(size, 1.0),
    )


def _chain(size: int) -> Workload:
    """Five times: times b, plus c, less a, and a function, each time another one."""

    def compute(f: Any, a: Any, b: Any, c: Any) -> Any:
        x = f.tanh(a * b + c - a)
        x = f.abs(x * b + c - a)
        x = f.sigmoid(x * b + c - a)
        x = f.square(x * b + c - a)
        return f.relu(x * b + c - a)

    inputs = dict.fromkeys("abc", Input((size,)))
    return Workload(f"chain of 20, {size:,}", inputs, compute, [(size,)])


def _bias_gelu(size: Pair, dtype: str) -> Workload:
    def compute(f: Any, x: Any, bias: Any) -> Any:
        return f.gelu(f.add_bias(x, bias))

    inputs = {"x": Input(size), "bias": Input(size[1:])}
    name = f"bias and gelu, {size[0]}x{size[1]} {dtype}"
    return Workload(name, inputs, compute, [size], dtype=dtype)


def _outer_add(size: Pair) -> Workload:
    rows, columns = size

    def compute(f: Any, a: Any, b: Any, c: Any) -> Any:
        return f.multiply(a, b) + c

    inputs = {"a": Input((rows, 1)), "b": Input((1, columns)), "c": Input(size)}
    return Workload(f"a[:,1]*b[1,:]+c, {rows}x{columns}", inputs, compute, [size])


def _transposed_add(size: Pair) -> Workload:
    def compute(f: Any, x: Any, y: Any) -> Any:
        return x + f.transpose(y)

    inputs = {"x": Input(size), "y": Input(size[::-1])}
    return Workload(f"x+y.T, {size[0]}x{size[1]}", inputs, compute, [size])
