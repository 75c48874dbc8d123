"""What does an operator cost that has next to nothing to compute?"""

from __future__ import annotations

from typing import Any

from ..sizes import Sizes, Triple
from ..workload import Input, Workload


def workloads(sizes: Sizes) -> list[Workload]:
    return [_dependent(sizes.tiny), _independent(sizes.tiny)]


def _dependent(size: Triple) -> Workload:
    """In turns elementwise, a reduction of rows, and a broadcast."""
    count, *shape = size

    def compute(f: Any, x: Any, y: Any) -> Any:
        for number in range(count // 3):
            x = x * y if number % 2 else x + y
            x = f.subtract(x, f.mean_rows(x))
        return x

    name = f"{count // 3 * 3} dependent tiny operators, {shape[0]}x{shape[1]}"
    # Factors near one: fifteen of them must neither grow nor vanish.
    inputs = {"x": Input(tuple(shape)), "y": Input(tuple(shape), positive=True)}
    return Workload(name, inputs, compute, [tuple(shape)])


def _independent(size: Triple) -> Workload:
    count, *rest = size
    shape = tuple(rest)

    def compute(f: Any, *arrays: Any) -> Any:
        return [a + b for a, b in zip(arrays[:count], arrays[count:], strict=True)]

    inputs = {f"x{number}": Input(shape) for number in range(2 * count)}
    name = f"{count} independent tiny additions, {shape[0]}x{shape[1]}"
    return Workload(name, inputs, compute, [shape] * count)
