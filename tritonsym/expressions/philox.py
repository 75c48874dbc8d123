"""Counter-based random numbers: the same seed gives the same sequence, whatever runs beside it.

The generator is Philox 4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC'11), as numpy implements it. A number is fixed by the seed, the number of the draw, the stream of
the node that draws and the element's position. Every run of a graph is one draw.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

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

    def copy(self) -> RandomState:
        """A sequence of its own that goes on as this one would."""
        with self._lock:
            other = RandomState(self._seed)
            other._draws = self._draws
            return other

    def draw(self) -> tuple[int, int]:
        """The seed and the number of a new draw."""
        with self._lock:
            self._draws += 1
            return self._seed, self._draws


_default = RandomState()


def default_state() -> RandomState:
    """The sequence that operators draw from where none is named."""
    return _default


def drawing(place: torch.Tensor, state: RandomState) -> Callable[[], None]:
    """A step that writes a new draw to its place: the seed's 64 bits, and the number."""
    seed_place, number_place = place.unbind()
    held: int | None = None

    def step() -> None:
        nonlocal held
        seed, number = state.draw()
        # On a GPU each is a launch that keeps its place among the others, without waiting.
        if seed != held:
            held = None
            seed_place.fill_(seed - (seed >> 63 << 64))
            held = seed
        number_place.fill_(number)

    return step


def fraction_bits(dtype: torch.dtype) -> int:
    """How many random bits a number of this dtype has."""
    return {torch.float64: 53, torch.float32: 24, torch.bfloat16: 8}.get(dtype, 11)


def fill_uniform(out: torch.Tensor, draw: torch.Tensor, stream: int, start: int = 0) -> None:
    """Write uniform numbers in [0, 1) with as many bits as the dtype's fraction holds.

    Args:
        out: where to, densely.
        draw: what `drawing` wrote.
        stream: of the node that draws.
        start: the position of the first number among those of the node.
    """
    seed, number = draw.numpy().view(np.uint64)
    # One counter block gives four words; the second word of the counter tells the draws apart.
    skipped = start % 4
    counter = np.array([start // 4, number, stream, 0], dtype=np.uint64)
    generator = np.random.Philox(key=np.array([seed, 0], dtype=np.uint64), counter=counter)
    words = generator.random_raw(skipped + out.numel())[skipped:].reshape(tuple(out.shape))
    bits = fraction_bits(out.dtype)
    fraction = (words >> np.uint64(64 - bits)).astype(np.int64)
    out.copy_(torch.from_numpy(fraction))
    out.mul_(2.0**-bits)
