"""What is known of GPUs: the numbers from which kernels for them are shaped. Data only."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch

from ..context import Context, torch_device
from ..foundation.errors import MXNetError

# The same on all of them: threads of a warp, bytes of a thread's widest access, which is to an
# address that is a multiple of it, and bytes that memory is moved in at least.
WARP = 32
ACCESS = 16
SECTOR = 32

_KIBI = 1024


@dataclass(frozen=True, eq=False)
class Gpu:
    """A GPU, as far as the shape of a kernel depends on it.

    Attributes:
        name: as its driver tells it.
        capability: ten times the major compute capability, and the minor one.
        multiprocessors: how many programs it runs at a time, at the least.
        shared_memory: bytes that one program can have.
        bandwidth: bytes per second from and to its memory.
        cache_bandwidth: bytes per second from its second cache, which all programs share.
        operations: per second in matrix products, two for each multiplication with its addition.
            By dtype; ``tf32`` is that of float32 on tensor cores.
    """

    name: str
    capability: int
    multiprocessors: int
    shared_memory: int
    bandwidth: float
    cache_bandwidth: float
    operations: Mapping[str, float]


def _operations(half: float, tf32: float, single: float, double: float) -> Mapping[str, float]:
    """Operations per second in units of 10^12; integers have half the units of float32."""
    rates = {
        "float16": half,
        "bfloat16": half,
        "tf32": tf32,
        "float32": single,
        "float64": double,
        "int8": 2 * half,
        "uint8": 2 * half,
        "int32": single / 2,
        "int64": single / 8,
    }
    return MappingProxyType({name: rate * 1e12 for name, rate in rates.items()})


# Rates from the makers' data sheets, without sparsity. Bandwidths of caches are estimates, but for
# that of Hopper: products of 2048 rows and columns on an H200 had 11 TB/s from it, while computing.
A100 = Gpu("NVIDIA A100", 80, 108, 163 * _KIBI, 2.0e12, 5.0e12, _operations(312, 156, 19.5, 19.5))
H100 = Gpu("NVIDIA H100", 90, 132, 227 * _KIBI, 3.35e12, 1.3e13, _operations(989, 494, 67, 67))
H200 = replace(H100, name="NVIDIA H200", bandwidth=4.8e12)
B200 = Gpu("NVIDIA B200", 100, 148, 227 * _KIBI, 8.0e12, 1.6e13, _operations(2250, 1125, 75, 37))
# Of what is in no table: what the smaller cards since the A100 have at the least.
OTHER = Gpu("another GPU", 80, 64, 99 * _KIBI, 0.8e12, 2.0e12, _operations(150, 75, 15, 0.5))

TABLE = (A100, H100, H200, B200)
# What a kernel compiled for a target, without a GPU, is shaped for.
BY_TARGET = {"sm_80": A100, "sm_90": H100, "sm_100": B200}


@functools.cache
def known(name: str, capability: int, multiprocessors: int, shared_memory: int) -> Gpu:
    """The GPU of this name; `OTHER` with these numbers where the table has none."""
    for gpu in TABLE:
        if name.startswith(gpu.name):
            # A card of that name may have fewer of them, such as one for another socket.
            return replace(gpu, multiprocessors=multiprocessors)
    return replace(
        OTHER,
        name=name,
        capability=capability,
        multiprocessors=multiprocessors,
        shared_memory=shared_memory,
    )


def gpu_of_target(target: str) -> Gpu:
    """What a kernel for a target is shaped for.

    Raises:
        MXNetError: no such target.
    """
    if target not in BY_TARGET:
        raise MXNetError(f"target {target!r} is not one of {[*BY_TARGET]}")
    return BY_TARGET[target]


def gpu_of(context: Context) -> Gpu:
    """The GPU of a context; where Triton interprets, kernels are shaped for an H100."""
    device = torch_device(context)
    if device.type != "cuda":
        return H100
    found = torch.cuda.get_device_properties(device)
    return known(
        found.name,
        10 * found.major + found.minor,
        found.multi_processor_count,
        # Not every torch tells what a program can have beyond what it has unasked.
        getattr(found, "shared_memory_per_block_optin", found.shared_memory_per_block),
    )
