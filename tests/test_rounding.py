"""What a comparison of two results allows: what rounding does to each element, and no more."""

from __future__ import annotations

import pytest
import torch

from tritonsym.expressions.expr import Expr, dot, input_, make, reduce
from tritonsym.foundation.dtype import FLOAT16, FLOAT32
from tritonsym.ops.convolution import convolve
from tritonsym.ops.windows import window_of
from tritonsym.runtime.rounding import agree, allowed


def compared(x: Expr, *values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The value of an expression of inputs, and how far off another one may be."""
    sources = [y for y in _inputs(x) if y.primitive == "input"]
    known = {y: values[y.integer("index")] for y in sources}
    body = [y for y in _inputs(x) if y.primitive not in ("input", "constant")]
    (value,), (margin,) = allowed(body, [x], known)
    return value, margin


def _inputs(x: Expr) -> list[Expr]:
    from tritonsym.expressions.walks import toposort

    return list(toposort([x]))


def test_a_sum_in_another_order_agrees_however_much_cancels() -> None:
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(8, 4096, generator=draw) * 10.0 ** torch.arange(8)[:, None]
    values[:, ::2] = -values[:, 1::2] + 1e-3
    x = reduce("sum", input_(0, (8, 4096), FLOAT32), (1,))
    value, margin = compared(x, values)
    for order in (torch.arange(4096).flip(0), torch.randperm(4096, generator=draw)):
        other = torch.zeros(8)
        for part in values[:, order].split(64, dim=1):
            other = other + part.sum(1)
        assert agree(other[:, None], value, margin)


def test_one_large_element_allows_nothing_for_the_others() -> None:
    a = torch.tensor([1e30, 1.0, 1e-20])
    x = make("exp", make("neg", input_(0, (3,), FLOAT32))) + input_(0, (3,), FLOAT32)
    value, margin = compared(x, a)
    for index in (1, 2):
        wrong = value.clone()
        wrong[index] *= 1 + 1e-4
        assert not agree(wrong, value, margin)
        wrong[index] = value[index] * (1 + 1e-7)
        assert agree(wrong, value, margin)


@pytest.mark.parametrize("dtype", [FLOAT16, FLOAT32], ids=str)
def test_a_product_without_one_of_its_terms_is_wrong(dtype) -> None:
    draw = torch.Generator().manual_seed(1)
    a, b = (torch.randn(16, 16, generator=draw).to(dtype.torch) for _ in range(2))
    x = dot(input_(0, (16, 16), dtype), input_(1, (16, 16), dtype))
    value, margin = compared(x, a, b)
    exact = a.double() @ b.double()
    assert agree(exact.to(dtype.torch), value, margin)
    short = (a[:, :15].double() @ b[:15].double()).to(dtype.torch)
    assert not agree(short, value, margin)


def test_a_library_rounds_within_as_its_operands_are_rounded() -> None:
    """Where its sums cancel, and not elsewhere; without one of its terms they are wrong."""
    draw = torch.Generator().manual_seed(2)
    images, weights = torch.randn(2, 8, 6, 6, generator=draw), torch.randn(4, 8, generator=draw)
    images[:, 1::2] = images[:, ::2]
    weights[:, 1::2] = 1e-4 - weights[:, ::2]
    weights = weights[:, :, None, None]
    x = convolve(
        input_(0, (2, 8, 6, 6), FLOAT32),
        input_(1, (4, 8, 1, 1), FLOAT32),
        window_of((1, 1), (), (), (), 1),
    )
    value, margin = compared(x, images, weights)
    exact = torch.einsum("nchw,kc->nkhw", images.double(), weights[:, :, 0, 0].double())
    assert agree(exact.float(), value, margin)
    order = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7])
    other = torch.conv2d(images[:, order], weights[:, order])
    assert (other != value).any()
    assert agree(other, value, margin)
    assert not agree(torch.conv2d(images[:, :7], weights[:, :7]), value, margin)
    assert (margin < 1e-4).all()


def test_a_position_may_differ_where_rounding_decides() -> None:
    a = torch.tensor([[0.1, 0.1, 0.5], [0.1, 0.2, 0.5]])
    third = make("mul", input_(0, (2, 3), FLOAT32), input_(1, (2, 3), FLOAT32))
    x = make("argmax", make("neg", third), axes=(1,))
    value, margin = compared(x, a, torch.ones(2, 3))
    assert value.flatten().tolist() == [0, 0]
    assert agree(torch.tensor([[1], [0]]), value, margin)
    assert not agree(torch.tensor([[0], [1]]), value, margin)


def test_what_is_no_number_must_be_none() -> None:
    a = torch.tensor([-1.0, 4.0])
    value, margin = compared(make("sqrt", input_(0, (2,), FLOAT32)), a)
    assert agree(value, value, margin)
    assert not agree(torch.tensor([0.0, 2.0]), value, margin)


@pytest.mark.parametrize(
    ("factors", "decided"),
    [
        ([3e38, 3e38, 1e-45], False),  # infinite, or a number, by their order
        ([1e-30, 1e-30, 1e30], False),  # nothing, or a number
        ([3e38, 3e38, 0.0], False),  # no number, or nothing
        ([3.0, 0.0, 1e-30], True),
        ([3.0, -2.0, 0.1], True),
    ],
)
def test_products_whose_order_decides(factors: list[float], decided: bool) -> None:
    x = reduce("prod", input_(0, (3,), FLOAT32), (0,))
    value, margin = compared(x, torch.tensor(factors))
    assert bool(margin.isinf().any()) is not decided
    assert agree(value * (1 + 1e-3), value, margin) is (not decided or factors[1] == 0)
