"""Random numbers within generated kernels: Philox 4x64-10, the very bits of `philox.py`.

Each number is computed where it is used, from its position; there is no state to carry.
"""

from __future__ import annotations

import triton.language as tl

from .triton_math import _function


@_function
def uniform(
    seed: tl.tensor,
    number: tl.tensor,
    stream: tl.constexpr,
    position: tl.tensor,
    bits: tl.constexpr,
    dtype: tl.constexpr,
) -> tl.tensor:
    """Numbers in [0, 1) with this many random bits, for the elements at these positions.

    ``seed`` and ``number`` are the draw of the run, as int64.
    """
    # One counter block gives four words, for four elements one after the other.
    place = position.to(tl.uint64)
    first, second, third, fourth = words(
        seed.to(tl.uint64), number.to(tl.uint64), stream, place >> 2
    )
    even = tl.where((place & 2) == 0, first, third)
    odd = tl.where((place & 2) == 0, second, fourth)
    word = tl.where((place & 1) == 0, even, odd)
    return (word >> (64 - bits)).to(tl.int64).to(dtype) * 2.0**-bits


@_function
def words(
    seed: tl.tensor, number: tl.tensor, stream: tl.constexpr, block: tl.tensor
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """The four words of each counter block: ten rounds on counter and key (Salmon et al., SC'11).

    The counter is the block's number, the draw's, the stream and 0; the key is the seed and 0.
    """
    # numpy counts a block before it uses it.
    c0, c1, c2, c3 = block + 1, number, number * 0 + stream, number * 0
    key0, key1 = seed, seed * 0
    for _ in tl.static_range(10):
        high0, high1 = tl.umulhi(c0, 0xD2E7470EE14C6C93), tl.umulhi(c2, 0xCA5A826395121157)
        low0, low1 = c0 * 0xD2E7470EE14C6C93, c2 * 0xCA5A826395121157
        c0, c1, c2, c3 = high1 ^ c1 ^ key0, low1, high0 ^ c3 ^ key1, low0
        key0, key1 = key0 + 0x9E3779B97F4A7C15, key1 + 0xBB67AE8584CAA73B
    return c0, c1, c2, c3
