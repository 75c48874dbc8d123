"""Are matrix products as fast as the vendor's, and what follows them free?"""

from __future__ import annotations

from typing import Any

from ..sizes import Sizes, Triple
from ..workload import Input, Workload


def workloads(sizes: Sizes) -> list[Workload]:
    dtype = sizes.product_dtype
    squares = [
        _product((side, side, side), one) for one in sizes.square_dtypes for side in sizes.square
    ]
    precise = [_product((sizes.precise,) * 3, "float32", one) for one in sizes.square_precisions]
    others = [_product(size, dtype) for size in (*sizes.skinny, sizes.ragged)]
    return [
        *squares,
        *precise,
        *others,
        *(_fused(size, dtype) for size in sizes.fused),
        _batched(*sizes.batched, dtype),
    ]


def _product(size: Triple, dtype: str, precision: str = "ieee") -> Workload:
    m, k, n = size

    def compute(f: Any, a: Any, b: Any) -> Any:
        return f.matmul(a, b)

    how = "" if precision == "ieee" else f" in {precision}"
    return Workload(
        f"product {m}x{k}x{n} {dtype}{how}",
        {"a": Input((m, k)), "b": Input((k, n))},
        compute,
        [(m, n)],
        flops=2 * m * k * n,
        dtype=dtype,
        precision=precision,
    )


def _fused(size: Triple, dtype: str) -> Workload:
    m, k, n = size

    def compute(f: Any, x: Any, weight: Any, bias: Any, residual: Any) -> Any:
        return f.gelu(f.linear(x, weight, bias, n)) + residual

    inputs = {
        "x": Input((m, k)),
        "weight": Input((n, k), scale=k**-0.5),
        "bias": Input((n,)),
        "residual": Input((m, n)),
    }
    name = f"product, bias, gelu, residual {m}x{k}x{n} {dtype}"
    return Workload(name, inputs, compute, [(m, n)], flops=2 * m * k * n, dtype=dtype)


def _batched(count: int, m: int, k: int, n: int, dtype: str) -> Workload:
    def compute(f: Any, a: Any, b: Any) -> Any:
        return f.batch_matmul(a, b)

    return Workload(
        f"{count} products {m}x{k}x{n} {dtype}",
        {"a": Input((count, m, k)), "b": Input((count, k, n))},
        compute,
        [(count, m, n)],
        flops=2 * count * m * k * n,
        dtype=dtype,
    )
