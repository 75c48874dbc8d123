"""Counter-based random numbers: the same seed gives the same sequence, whatever runs beside it.

The generator is Philox 4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC'11), as numpy implements it. A draw is fixed by the seed, the number of the draw and the stream
of the node that draws.
"""

from __future__ import annotations

import secrets
import threading

import numpy as np
import torch


class RandomState:
    """The seed and how many draws were made since; shared by all that should be one sequence."""

    def __init__(self, seed: int | None = None) -> None:
        self._lock = threading.Lock()
        self.seed(secrets.randbits(63) if seed is None else seed)

    def seed(self, seed: int) -> None:
        """Start the sequence that belongs to ``seed``."""
        with self._lock:
            self._seed = seed & (2**64 - 1)
            self._draws = 0

    def draw(self) -> tuple[int, int]:
        """The seed and the number of a new draw."""
        with self._lock:
            self._draws += 1
            return self._seed, self._draws


_default = RandomState()


def default_state() -> RandomState:
    """The sequence that operators draw from where none is named."""
    return _default


def fill_uniform(out: torch.Tensor, draw: tuple[int, int], stream: int) -> None:
    """Write uniform numbers in [0, 1) with as many bits as the dtype's fraction holds."""
    key, number = draw
    # One counter block gives four words; the second word of the counter tells the draws apart.
    counter = np.array([0, number, stream, 0], dtype=np.uint64)
    generator = np.random.Philox(key=np.array([key, 0], dtype=np.uint64), counter=counter)
    words = generator.random_raw(out.numel()).reshape(tuple(out.shape))
    bits = {torch.float64: 53, torch.float32: 24, torch.bfloat16: 8}.get(out.dtype, 11)
    fraction = (words >> np.uint64(64 - bits)).astype(np.int64)
    out.copy_(torch.from_numpy(fraction))
    out.mul_(2.0**-bits)
