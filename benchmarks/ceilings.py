"""What the hardware can do at best, measured: bandwidth, products, and launches of graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from .devices import Device
from .report import duration
from .sizes import Sizes
from .workload import Workload

ROUNDS = 10


@dataclass(frozen=True)
class Ceilings:
    """The best that was seen.

    Attributes:
        copy: bytes per second, read and written, of a copy; read: of a sum.
        products: operations per second of a large square product, by dtype or precision.
        replay: seconds of a CUDA graph of so many tiny kernels in a row, one replay after the
            other; empty where there are no such graphs.
    """

    copy: float
    read: float
    products: dict[str, float]
    replay: dict[int, float]

    def __str__(self) -> str:
        return "\n".join(
            (
                f"copy: {self.copy / 1e9:.4g} GB/s, read: {self.read / 1e9:.4g} GB/s",
                *(f"product, {n}: {peak / 1e12:.4g} TFLOP/s" for n, peak in self.products.items()),
                *(f"graph of {n} nodes: {duration(one)}" for n, one in self.replay.items()),
            )
        )

    def floor(self, workload: Workload) -> float:
        """Seconds below which a workload's data cannot be moved or its products computed."""
        moving = workload.least_bytes / max(self.copy, self.read)
        precision = workload.dtype if workload.precision == "ieee" else workload.precision
        if not workload.flops or precision not in self.products:
            return moving
        return max(moving, workload.flops / self.products[precision])


def measure(device: Device, sizes: Sizes) -> Ceilings:
    """Measure them, which takes seconds."""
    copy, read = _bandwidths(device, sizes.ceiling_elements)
    on_gpu = device.name == "cuda"
    names = ("bfloat16", "float16", "tf32", "float32") if on_gpu else ("float32",)
    return Ceilings(
        copy=copy,
        read=read,
        products={name: _product(device, sizes.ceiling_side, name) for name in names},
        replay={count: _replay(device, count) for count in (1, 10, 100)} if on_gpu else {},
    )


def _bandwidths(device: Device, elements: int) -> tuple[float, float]:
    """Bytes per second of a copy, read and written, and of a sum."""
    source = torch.randn(elements, device=device.torch)
    target = torch.empty_like(source)
    copying = _best(device, lambda: target.copy_(source))
    return 2 * source.nbytes / copying, source.nbytes / _best(device, lambda: torch.sum(source))


def _best(device: Device, call: Callable[[], object]) -> float:
    for _ in range(3):
        call()
    return min(device.seconds(call, 3) for _ in range(ROUNDS))


def _product(device: Device, side: int, name: str) -> float:
    dtype = torch.float32 if name == "tf32" else getattr(torch, name)
    a, b = (torch.randn(side, side, device=device.torch).to(dtype) for _ in range(2))
    with products_in("tf32" if name == "tf32" else "ieee"):
        return 2 * side**3 / _best(device, lambda: torch.mm(a, b))


def _replay(device: Device, count: int) -> float:
    tiny = torch.ones(64, device=device.torch)
    tiny.add_(1)
    device.wait()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(count):
            tiny.add_(1)
    return _best(device, graph.replay)


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """How torch multiplies float32 numbers on a GPU, for a while; convolutions included."""
    products, library = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, library.allow_tf32
    products.allow_tf32 = library.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        products.allow_tf32, library.allow_tf32 = before
