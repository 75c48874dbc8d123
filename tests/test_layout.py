"""Views share memory wherever strides can say so, as torch's own views do; nowhere else."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings, strategies

from tritonsym.expressions.expr import Expr, Shape, input_, make, permute, reshape, slice_
from tritonsym.expressions.layout import Layout, contiguous, layouts
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import INT64

lengths = strategies.integers(1, 4)
shapes = strategies.lists(lengths, min_size=1, max_size=4).map(tuple)


@strategies.composite
def memories(draw: strategies.DrawFn) -> torch.Tensor:
    """An array of different numbers, in memory of any layout that a bound array may have."""
    shape = draw(shapes)
    order = draw(strategies.permutations(range(len(shape))))
    steps = [draw(strategies.sampled_from((1, 1, 1, 2))) for _ in shape]
    wide = [shape[axis] * steps[axis] for axis in order]
    dense = torch.arange(math.prod(wide)).view(wide)
    turned = dense.permute([order.index(axis) for axis in range(len(shape))])
    return turned[tuple(slice(step - 1, None, step) for step in steps)]


@strategies.composite
def chains(draw: strategies.DrawFn) -> tuple[Expr, torch.Tensor]:
    """Movements one after the other, and at times an addition, whose result is in new memory."""
    memory = draw(memories())
    x = input_(0, tuple(memory.shape), INT64)
    for _ in range(draw(strategies.integers(1, 6))):
        kind = draw(strategies.sampled_from(("reshape", "permute", "expand", "slice", "compute")))
        match kind:
            case "reshape":
                x = reshape(x, draw(factorings(x.size)))
            case "permute":
                x = permute(x, draw(strategies.permutations(range(len(x.shape)))))
            case "expand":
                wanted = tuple(
                    draw(strategies.sampled_from((1, 1, 3))) if n == 1 else n for n in x.shape
                )
                x = make("expand", x, shape=wanted) if math.prod(wanted) < 500 else x
            case "slice":
                bounds = [draw(ranges(n)) for n in x.shape]
                x = slice_(x, *zip(*bounds, strict=True))
            case "compute":
                x = x + x
    return x, memory


@strategies.composite
def factorings(draw: strategies.DrawFn, size: int) -> Shape:
    """A shape of this size."""
    shape: list[int] = []
    for _ in range(draw(strategies.integers(0, 4))):
        length = draw(strategies.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
        shape.append(length)
        size //= length
    return (*shape, size)


@strategies.composite
def ranges(draw: strategies.DrawFn, length: int) -> tuple[int, int, int]:
    start = draw(strategies.integers(0, length - 1))
    return start, draw(strategies.integers(start + 1, length)), draw(strategies.integers(1, 3))


def moved(x: Expr, data: torch.Tensor) -> torch.Tensor:
    """A movement as torch does it, a view wherever torch has one."""
    match x.primitive:
        case "reshape":
            return data.reshape(x.shape)
        case "permute":
            return data.permute(x.integers("axes"))
        case "expand":
            return data.expand(x.shape)
        case _:
            bounds = zip(x["starts"], x["stops"], x["steps"], strict=True)
            return data[tuple(slice(*bound) for bound in bounds)]


def as_laid_out(x: Expr, layout: Layout, base: torch.Tensor) -> torch.Tensor:
    return base.as_strided(x.shape, layout.strides, base.storage_offset() + layout.offset)


def viewable(data: torch.Tensor, shape: Sequence[int]) -> torch.Tensor | None:
    try:
        return data.view(shape)
    except RuntimeError:
        return None


@settings(max_examples=1500, deadline=None, derandomize=True, database=None)
@given(chains())
def test_a_view_is_what_torch_takes_for_one(chain: tuple[Expr, torch.Tensor]) -> None:
    output, memory = chain
    order = toposort([output])
    found = layouts(order, {0: memory.stride()})
    values: dict[Expr, torch.Tensor] = {}
    for x in order:
        layout = found[x]
        sources = [values[y] for y in x.inputs]
        if x.primitive == "input":
            values[x] = memory
        elif x.primitive == "add":
            values[x] = sources[0] + sources[1]
        elif x.primitive == "reshape":
            view = viewable(sources[0], x.shape)
            assert (view is None) == (layout.base is x), "torch finds a view exactly where we do"
            values[x] = moved(x, sources[0]) if view is None else view
        else:
            assert layout.base is not x, f"{x.primitive} is always a view"
            values[x] = moved(x, sources[0])
        if layout.base is x and x.primitive != "input":
            values[x] = values[x].contiguous()
            assert (layout.offset, layout.strides) == (0, contiguous(x.shape))
        assert layout.base.primitive in ("input", "add", "reshape")
        assert found[layout.base].base is layout.base
        laid_out = as_laid_out(x, layout, values[layout.base])
        assert torch.equal(laid_out, values[x])
        assert layout.is_dense(x.shape) == values[x].is_contiguous()
        values[x] = laid_out


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (4, 1, 5), (2, 3, 4, 5)])
def test_row_major_strides_are_those_of_torch(shape: Shape) -> None:
    assert contiguous(shape) == torch.empty(shape).stride()


def test_splitting_and_merging_axes_shares_memory() -> None:
    x = input_(0, (2, 3, 4), INT64)
    merged = reshape(x, (6, 4))
    swapped = permute(merged, (1, 0))
    split = reshape(swapped, (2, 2, 6))
    torn = reshape(swapped, (24,))
    found = layouts(toposort([split, torn]), {})
    assert found[merged] == Layout(x, 0, (4, 1))
    assert found[split] == Layout(x, 0, (2, 1, 4))
    assert found[torn] == Layout(torn, 0, (1,)), "no stride says this order: a copy"


def test_bound_arrays_keep_their_strides() -> None:
    x = input_(0, (2, 3), INT64)
    turned = permute(x, (1, 0))
    found = layouts(toposort([turned]), {0: (1, 2)})
    assert found[x].strides == (1, 2)
    assert found[turned].strides == (2, 1)
    assert found[turned].is_dense(turned.shape)
