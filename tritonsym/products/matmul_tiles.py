"""What part of a matrix product a program computes: a cost model picks tiles. Numbers only.

A product is bound by what the multiplying units do, by what memory and caches deliver, or by the
bytes that are on their way at a time; the time of a tile is estimated as the slowest of the three.
Estimates order tiles; they are no forecasts.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..foundation.dtype import DType
from .gpus import (
    ACCESS,
    SECTOR,
    WARP,
    Gpu,
)
from .tensor_descriptor import WITH_DESCRIPTORS

# Seconds from asking for bytes of memory to having them, and those that a program takes to begin
# and end.
_LATENCY = 8e-7
_START = 1.5e-6
# Seconds until a program has a descriptor, before it can ask for anything else.
_DESCRIPTOR = 4e-7
# How much longer all else takes where threads compute addresses and ask for elements themselves.
_BY_THREADS = 1.1
# Seconds for which the warps of a program wait for each other at every step.
_STEP = 3e-8
# The share of what should happen meanwhile that does not.
_REST = 0.2
# Bytes beside each other in a line of the cache, which descriptors move at a time.
_LINE = 128
# What a group of warps multiplies in one instruction has so many rows at the least.
_GROUP_ROWS = 64
_GROUP_WARPS = 4
_GROUP_STAGES = 3
# Ten times the compute capability from which on sums are in a memory of their own.
_WITH_TENSOR_MEMORY = 100
_REGISTERS = 65536
# Registers that a thread's sums may take: more of them leave none for all else.
_SUMS = 128
_SUMS_WITHOUT_TENSOR_CORES = 64
_SMALLEST = 16
# Products of at most so many rows or columns are summed up without tensor cores.
_FEW_ROWS = 4
_FEW_ROWS_OF_WIDE = 8
_MOST_PARTS = 32
# A part has at least so many contracted elements, and a multiple of these.
_SHORTEST_PART = 256
_PART_UNIT = 128
# Tiles of one size that are picked: they differ in their depth, warps or stages.
_MOST_ALIKE = 2
# Splitting must win at least so much: its second pass takes memory as well.
_WORTH = 0.85


@dataclass(frozen=True)
class Product:
    """A matrix product, as far as its tiles depend on it.

    Attributes:
        batch, rows, columns, depth: lengths; the depth is contracted.
        dtype: of the operands.
        precision: ``ieee``, or for float32 ``tf32`` or ``tf32x3``.
        left_runs, right_runs: whether the elements of an operand lie one after the other along
            the depth, else along its other axis.
        heavy: whether what follows it needs many registers.
        parts: into how many the depth is split.
        described: whether tensor descriptors can say where its operands lie.
    """

    batch: int
    rows: int
    columns: int
    depth: int
    dtype: DType
    precision: str
    left_runs: bool = True
    right_runs: bool = True
    heavy: bool = False
    parts: int = 1
    described: bool = False

    @property
    def on_tensor_cores(self) -> bool:
        """Whether there is hardware that multiplies such matrices."""
        return self.dtype.name in _ON_TENSOR_CORES or self.precision != "ieee"

    @property
    def in_blocks(self) -> bool:
        """Whether Triton's product of blocks computes it, else sums lane by lane."""
        if self.dtype.name in ("int32", "int64"):
            return False
        few = _FEW_ROWS if self.dtype.itemsize < 4 else _FEW_ROWS_OF_WIDE
        return min(self.rows, self.columns) > few

    @property
    def unit(self) -> str:
        """What computes it, as `Gpu.operations` has it."""
        if self.precision != "ieee" and self.in_blocks:
            return "tf32"
        if not self.in_blocks and (self.dtype.is_reduced or self.dtype.itemsize == 1):
            return "float32" if self.dtype.is_float else "int32"
        return self.dtype.name


_ON_TENSOR_CORES = ("float16", "bfloat16", "float64", "int8", "uint8")


@dataclass(frozen=True)
class Tile:
    """Rows, columns and contracted elements that a program has at a time.

    Attributes:
        rows, columns, depth: lengths, powers of two.
        warps: of 32 threads, that share a program's work.
        stages: blocks that are on their way to or in shared memory.
        descriptors: whether operands come by tensor descriptors, else through pointers.
        walkers: how many programs walk over all tiles; 0 where each tile is a program.
    """

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int
    descriptors: bool = False
    walkers: int = 0


@functools.lru_cache(maxsize=4096)
def tiles(product: Product, gpu: Gpu, most: int = 8) -> tuple[Tile, ...]:
    """The tiles that suit a product best, the best first; there is always one."""
    found = _blocks(product, gpu) if product.in_blocks else _lanes(product)
    ordered = sorted(found, key=lambda tile: (seconds(product, tile, gpu), *_order(tile)))
    picked: list[Tile] = []
    for tile in ordered:
        alike = sum(_kind(t) == _kind(tile) for t in picked)
        if len(picked) < most and alike < _MOST_ALIKE:
            picked.append(tile)
    return tuple(picked)


def _kind(tile: Tile) -> tuple[int, int, bool, bool]:
    return tile.rows, tile.columns, tile.descriptors, tile.walkers > 0


def _order(tile: Tile) -> tuple[int, ...]:
    """Of tiles that cost the same the squarest comes first, and one with more on their way."""
    stretch = max(tile.rows, tile.columns) // min(tile.rows, tile.columns)
    return (stretch, tile.rows, -tile.stages, abs(tile.warps - 4), tile.depth)


@functools.lru_cache(maxsize=4096)
def part_length(product: Product, gpu: Gpu) -> int:
    """How many contracted elements a part has; all of them where splitting does not pay.

    A second pass adds the parts up, in their order.
    """
    whole = seconds(product, tiles(product, gpu, 1)[0], gpu)
    best, length = whole * _WORTH, product.depth
    parts = 2
    while parts <= _MOST_PARTS and product.depth >= parts * _SHORTEST_PART:
        wanted = -(-product.depth // (parts * _PART_UNIT)) * _PART_UNIT
        split = replace(product, parts=-(-product.depth // wanted))
        size = product.batch * product.rows * product.columns
        added = (split.parts + 1) * size * max(4, product.dtype.itemsize)
        cost = seconds(split, tiles(split, gpu, 1)[0], gpu)
        cost += _START + added / gpu.bandwidth
        if cost < best:
            best, length = cost, wanted
        parts *= 2
    return length


# ---- which tiles there are ---------------------------------------------------------------------


def _lengths(length: int, least: int, most: int) -> list[int]:
    """Powers of two up to the one that holds all."""
    top = min(most, max(least, 1 << max(length - 1, 0).bit_length()))
    return [2**n for n in range(least.bit_length() - 1, top.bit_length())]


def _blocks(product: Product, gpu: Gpu) -> Iterator[Tile]:
    """Tiles for products of blocks, which go through shared memory."""
    itemsize = product.dtype.itemsize
    smallest_depth = 32 if itemsize == 1 else _SMALLEST
    # Without one instruction for a whole product of blocks, terms are in registers beside the sums.
    plain = product.on_tensor_cores and itemsize < 8 and product.precision != "tf32x3"
    sizes = (64, 128, 256) if plain else (64, 128)
    depths = {max(smallest_depth, size // itemsize) for size in sizes}
    depths = {min(d, max(smallest_depth, 1 << (product.depth - 1).bit_length())) for d in depths}
    # Earlier tensor cores take their operands from registers, and those of bytes many of them.
    roomy = gpu.capability >= 90 or itemsize > 1
    most_sums = _SUMS if plain and roomy and not product.heavy else _SUMS_WITHOUT_TENSOR_CORES
    rows, columns = (_lengths(n, _SMALLEST, 256) for n in (product.rows, product.columns))
    for row, column, depth in itertools.product(rows, columns, sorted(depths)):
        for warps, stages in itertools.product((1, 2, 4, 8), (2, 3, 4)):
            tile = Tile(row, column, depth, warps, stages)
            sums = row * column * max(4, itemsize) // 4 // (warps * WARP)
            # Every thread has the widest load to do, and eight warps many sums.
            threads = min(row, column) * depth * itemsize // ACCESS
            busy = threads >= warps * WARP and (warps < 8 or sums >= 32)
            busy &= warps >= 4 or sums <= 16
            fits = shared_bytes(product, tile, gpu) <= gpu.shared_memory
            if busy and sums <= most_sums and fits:
                yield tile
                yield from _described(product, tile, gpu)


def _described(product: Product, tile: Tile, gpu: Gpu) -> Iterator[Tile]:
    """The same tile by tensor descriptors, and with programs that walk from tile to tile.

    The next tile's blocks are on their way while a program still computes what follows the product.
    Where a multiprocessor has several programs at a time, these do so for each other.
    """
    if not product.described or gpu.capability < WITH_DESCRIPTORS or not _in_groups(tile):
        return
    if tile.depth * product.dtype.itemsize < _LINE:
        return
    described = replace(tile, descriptors=True)
    yield described
    walking = replace(described, walkers=gpu.multiprocessors)
    several = programs_of(product, tile) > gpu.multiprocessors
    alone = _resident(product, described, gpu) == 1
    if several and alone and shared_bytes(product, walking, gpu) <= gpu.shared_memory:
        yield walking


def _in_groups(tile: Tile) -> bool:
    """Whether the instructions that four warps share, which take both operands from shared memory,
    can have this tile, and blocks are on their way while these work on one and begin another."""
    return tile.rows >= _GROUP_ROWS and tile.warps >= _GROUP_WARPS and tile.stages >= _GROUP_STAGES


def _lanes(product: Product) -> Iterator[Tile]:
    """Tiles whose every multiplication has a sum of its own, in registers."""
    most = 32 if product.dtype.itemsize < 8 else 8
    rows = _lengths(product.rows, 1, 32)
    columns = _lengths(product.columns, 1, 32)
    depths = _lengths(product.depth, 1, 1024)
    threads = 4 * WARP
    found = False
    for row, column, depth in itertools.product(rows, columns, depths):
        if row * column * depth == most * threads:
            found = True
            yield Tile(row, column, depth, 4, 2)
    if not found:
        # A product that is smaller than that, or one column for few rows.
        yield Tile(rows[-1], columns[-1], _within(most * threads, rows, columns, depths), 4, 2)


def _within(size: int, rows: list[int], columns: list[int], depths: list[int]) -> int:
    return min(depths[-1], max(1, size // (rows[-1] * columns[-1])))


def shared_bytes(product: Product, tile: Tile, gpu: Gpu) -> int:
    """The shared memory of a tile: its blocks on their way, or the result on its way out."""
    itemsize = product.dtype.itemsize
    blocks = tile.stages * (tile.rows + tile.columns) * tile.depth * itemsize
    if tile.walkers:
        # The blocks of the next tile come before the result is out, and so does a row of a bias.
        # Results in a memory of their own pass through here twice.
        passes = 2 if gpu.capability >= _WITH_TENSOR_MEMORY else 1
        return blocks + passes * tile.rows * tile.columns * itemsize + 2048
    # Blocks of 256 bytes hold the marks of what has arrived.
    return max(blocks, tile.rows * tile.columns * max(4, itemsize) // 2) + 256


# ---- what a tile costs -------------------------------------------------------------------------


def programs_of(product: Product, tile: Tile) -> int:
    """How many tiles there are, each of which is a program's work."""
    row_tiles = -(-product.rows // tile.rows)
    column_tiles = -(-product.columns // tile.columns)
    return product.batch * product.parts * row_tiles * column_tiles


def seconds(product: Product, tile: Tile, gpu: Gpu) -> float:
    """An estimate of how long a product takes with this tile."""
    itemsize = product.dtype.itemsize
    programs = programs_of(product, tile)
    depth = -(-product.depth // product.parts)
    steps = -(-depth // tile.depth)
    resident = _resident(product, tile, gpu)
    busy = min(programs, gpu.multiprocessors)
    waves = -(-programs // gpu.multiprocessors)

    work = 2 * tile.rows * tile.columns * tile.depth * steps
    rate = gpu.operations[product.unit] / gpu.multiprocessors * _share(product, tile, gpu)
    computing = waves * (work / rate + steps * _STEP)

    left, right = tile.rows * tile.depth, tile.columns * tile.depth
    fetched = left * _waste(tile.depth if product.left_runs else tile.rows, itemsize)
    fetched += right * _waste(tile.depth if product.right_runs else tile.columns, itemsize)
    # What lies behind the end of the depth is not fetched.
    traffic = programs * depth / tile.depth * fetched * itemsize
    operands = (product.rows + product.columns) * product.depth * product.batch * itemsize
    stored = product.rows * product.columns * product.batch * product.parts * itemsize
    ahead = tile.stages - 1 if product.in_blocks else 1
    programs_at_once = min(programs, gpu.multiprocessors * resident)
    on_their_way = programs_at_once * ahead * (left + right) * itemsize / _LATENCY
    moving = max(
        (operands + stored) / min(gpu.bandwidth * busy / gpu.multiprocessors * 2, gpu.bandwidth),
        traffic / gpu.cache_bandwidth,
        programs * steps * fetched * itemsize / on_their_way,
    )
    body = max(computing, moving) + _REST * min(computing, moving)
    body *= 1 if tile.descriptors else _BY_THREADS
    begun = 1 if tile.walkers else -(-programs // (gpu.multiprocessors * resident))
    start = _START + (_DESCRIPTOR if tile.descriptors else 0)
    # While one program begins, the others of its multiprocessor go on.
    return body + start + (begun - 1) * start / resident


def _resident(product: Product, tile: Tile, gpu: Gpu) -> int:
    """How many programs a multiprocessor has at a time."""
    threads = tile.warps * WARP
    sums = tile.rows * tile.columns * (1 if product.in_blocks else tile.depth)
    registers = min(255, 40 + 2 * sums * max(4, product.dtype.itemsize) // 4 // threads)
    by_registers = _REGISTERS // (threads * registers)
    by_memory = gpu.shared_memory // shared_bytes(product, tile, gpu) if product.in_blocks else 16
    return max(1, min(by_registers, by_memory, 2048 // threads))


def _share(product: Product, tile: Tile, gpu: Gpu) -> float:
    """The share of the units' rate that a tile of this size can reach: small ones wait more."""
    if not product.in_blocks:
        return 0.4
    share = min(1.0, 0.5 + 0.1 * math.log2(tile.rows * tile.columns / 1024))
    if product.on_tensor_cores and gpu.capability >= 90 and tile.rows < _GROUP_ROWS:
        share *= 0.6  # the instructions for whole groups of warps take 64 rows
    return share / 3 if product.precision == "tf32x3" else share


def _waste(run: int, itemsize: int) -> float:
    """How much more is fetched than wanted, where so many elements lie together."""
    return max(1.0, SECTOR / (run * itemsize))
