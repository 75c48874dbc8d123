"""How fast is a transformer's block, whose parts are all of the other questions?"""

from __future__ import annotations

from typing import Any

from ..sizes import BlockSize, Sizes
from ..workload import Input, Kind, Role, Workload


def workloads(sizes: Sizes) -> list[Workload]:
    return [_block(sizes.block, Kind.FORWARD), _block(sizes.block, Kind.GRADIENTS)]


def _block(size: BlockSize, kind: Kind) -> Workload:
    batch, length, width, heads, inner = (
        size.batch,
        size.length,
        size.width,
        size.heads,
        size.inner,
    )
    depth = width // heads

    def compute(
        f: Any, x: Any, gamma1: Any, beta1: Any, query: Any, key: Any, value: Any, mixed: Any,
        gamma2: Any, beta2: Any, up: Any, up_bias: Any, down: Any, down_bias: Any, bias: Any,
    ) -> Any:  # fmt: skip
        def split(y: Any) -> Any:
            y = f.permute(f.reshape(y, (batch, length, heads, depth)), (0, 2, 1, 3))
            return f.reshape(y, (batch * heads, length, depth))

        def joined(y: Any) -> Any:
            y = f.permute(f.reshape(y, (batch, heads, length, depth)), (0, 2, 1, 3))
            return f.reshape(y, (batch, length, width))

        y = f.layer_norm(x, gamma1, beta1)
        parts = (split(f.linear(y, weight, bias, width)) for weight in (query, key, value))
        x = x + f.linear(joined(f.attention(*parts, depth)), mixed, bias, width)
        y = f.layer_norm(x, gamma2, beta2)
        return x + f.linear(f.gelu(f.linear(y, up, up_bias, inner)), down, down_bias, width)

    def vector(elements: int) -> Input:
        return Input((elements,), Role.PARAMETER, 0.1)

    def scale() -> Input:
        return Input((width,), Role.PARAMETER, positive=True)

    def matrix(rows: int, columns: int) -> Input:
        return Input((rows, columns), Role.PARAMETER, columns**-0.5)

    inputs = {
        "x": Input((batch, length, width)),
        "gamma1": scale(),
        "beta1": vector(width),
        "query": matrix(width, width),
        "key": matrix(width, width),
        "value": matrix(width, width),
        "mixed": matrix(width, width),
        "gamma2": scale(),
        "beta2": vector(width),
        "up": matrix(inner, width),
        "up_bias": vector(inner),
        "down": matrix(width, inner),
        "down_bias": vector(width),
        "bias": vector(width),
    }
    tokens = batch * length
    flops = tokens * (8 * width**2 + 4 * width * inner + 4 * length * width)
    passes = 1
    if kind is Kind.GRADIENTS:
        inputs["head"] = Input((batch, length, width), Role.HEAD)
        passes = 3
    what = f"transformer block {batch}x{length}x{width}, {heads} heads, {inner} inner {size.dtype}"
    return Workload(
        what if kind is Kind.FORWARD else f"{what}, with gradients",
        inputs,
        compute,
        [(batch, length, width)],
        kind,
        flops=passes * flops,
        dtype=size.dtype,
    )
