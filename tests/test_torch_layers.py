"""Layers become one call of torch, with the same results but for rounding, and only where they may.

The reference is the expression itself, computed in float64 by its primitives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.expressions import expr
from tritonsym.expressions.expr import (
    Expr,
    broadcast,
    cast,
    input_,
    iota,
    make,
    maximum,
    permute,
    reduce,
    reshape,
    take,
    where,
)
from tritonsym.expressions.philox import RandomState
from tritonsym.expressions.reference import run
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import FLOAT32, FLOAT64, INT64, DType
from tritonsym.graph.trace import Graph
from tritonsym.rewrites import torch_layers, torch_norms
from tritonsym.rewrites.torch_layers import in_torch_layers

sym = mx.sym

# A graph as a function of the dtype, and what calls come of it.
Made = Callable[[DType], list[Expr]]


def calls(outputs: Sequence[Expr]) -> list[str]:
    found = in_torch_layers(Graph(tuple(outputs), {})).outputs
    return sorted(str(x["name"]) for x in toposort(found) if x.primitive == "native")


def tensors(outputs: Sequence[Expr]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    given = {x["index"]: x for x in toposort(outputs) if x.primitive == "input"}
    found = []
    for index in sorted(given):
        x = given[index]
        if x.dtype is INT64:  # two of them are no class
            found.append(torch.randint(-2, 12, x.shape, generator=generator))
        else:
            drawn = torch.randn(x.shape, generator=generator, dtype=torch.float64) * 2
            found.append(drawn.to(x.dtype.torch))
    return found


def check(made: Made, names: list[str]) -> None:
    for dtype, tolerance in ((FLOAT32, 5e-6), (FLOAT64, 1e-13)):
        outputs = made(dtype)
        assert calls(outputs) == names
        given = tensors(outputs)
        found = run(in_torch_layers(Graph(tuple(outputs), {})).outputs, given, RandomState(1))
        wide = [x.double() if x.is_floating_point() else x for x in given]
        due = run(made(FLOAT64), wide, RandomState(1))
        for mine, other in zip(found, due, strict=True):
            assert mine.dtype is dtype.torch
            torch.testing.assert_close(mine.double(), other, rtol=tolerance, atol=tolerance)


def centred(x: Expr, axes: tuple[int, ...]) -> tuple[Expr, Expr]:
    count = math.prod(x.shape[axis] for axis in axes)
    rest = x - reduce("sum", x, axes) * (1 / count)
    variance = reduce("sum", rest * rest, axes) * (1 / count)
    return rest, make("sqrt", variance + 1e-5)


def gelu(x: Expr) -> Expr:
    return x * ((make("erf", x * math.sqrt(0.5)) + 1.0) * 0.5)


def error(x: Expr) -> Expr:
    return make("erf", x / math.sqrt(2))


def log_softmax(x: Expr, axis: int) -> Expr:
    shifted = x - reduce("max", x, (axis,))
    return shifted - make("log", reduce("sum", make("exp", shifted), (axis,)))


def softmax(x: Expr, axis: int) -> Expr:
    exponents = make("exp", x - reduce("max", x, (axis,)))
    return exponents / reduce("sum", exponents, (axis,))


def norm(x: Expr) -> Expr:
    rest, deviation = centred(x, (1,))
    return rest / deviation


def scaled_norm(dtype: DType) -> list[Expr]:
    x, gamma, beta = input_(0, (70, 33), dtype), input_(1, (33,), dtype), input_(2, (33,), dtype)
    return [broadcast(beta, x.shape) + broadcast(gamma, x.shape) * norm(x)]


def norm_of_two_axes(dtype: DType) -> list[Expr]:
    x, gamma = input_(0, (5, 4, 7), dtype), input_(1, (4, 7), dtype)
    rest, deviation = centred(x, (1, 2))
    return [rest / deviation * reshape(gamma, (1, 4, 7)) + reshape(gamma, (1, 4, 7))]


def turned_norm(dtype: DType) -> list[Expr]:
    return [norm(permute(input_(0, (33, 21), dtype), (1, 0)))]


def hits(x: Expr) -> Expr:
    return iota(x.shape, 1).equals(reshape(input_(1, (x.shape[0],), INT64), (x.shape[0], 1)))


def cross_entropy(dtype: DType) -> list[Expr]:
    x = input_(0, (300, 10), dtype)
    return [reduce("sum", where(hits(x), -log_softmax(x, 1), 0), (0, 1))]


def with_gradient(dtype: DType) -> list[Expr]:
    x = input_(0, (300, 10), dtype)
    return [*cross_entropy(dtype), softmax(x, 1) - cast(hits(x), dtype)]


def gelu_and_slope(dtype: DType) -> list[Expr]:
    x, head = input_(0, (40, 9), dtype), input_(1, (40, 9), dtype)
    density = make("exp", x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
    probability = (make("erf", x * math.sqrt(0.5)) + 1.0) * 0.5
    return [x * probability, head * (probability + x * density)]


def of(function: Callable[[Expr], Expr]) -> Made:
    return lambda dtype: [function(input_(0, (37, 11), dtype))]


LAYERS: dict[str, tuple[Made, list[str]]] = {
    "gelu": (of(gelu), ["gelu"]),
    "gelu, data halved": (of(lambda x: (x * 0.5) * (error(x) + 1.0)), ["gelu"]),
    "gelu, product halved": (of(lambda x: 0.5 * ((1.0 + error(x)) * x)), ["gelu"]),
    "gelu of a product": (of(lambda x: gelu(x * 0.5)), ["gelu"]),
    "gelu and its slope": (gelu_and_slope, ["gelu", "gelu_backward"]),
    "layer norm": (scaled_norm, ["layer_norm"]),
    "layer norm of two axes": (norm_of_two_axes, ["layer_norm"]),
    "layer norm of turned data": (turned_norm, ["layer_norm"]),
    "two layer norms": (of(lambda x: norm(norm(x) * 2.0 + 1.0)), ["layer_norm"] * 2),
    "softmax": (of(lambda x: softmax(x, 0)), ["softmax"]),
    "logarithm of softmax": (of(lambda x: log_softmax(x, 1)), ["log_softmax"]),
    "both": (lambda d: [f(input_(0, (5, 6), d), 1) for f in (softmax, log_softmax)],
             ["log_softmax", "softmax"]),
    "cross-entropy": (cross_entropy, ["picked"]),
    "cross-entropy with its gradient": (with_gradient, ["picked", "softmax"]),
    "cross-entropy with its parts": (
        lambda d: [*cross_entropy(d), log_softmax(input_(0, (300, 10), d), 1)], ["log_softmax"]),
    "one element of each row": (
        of(lambda x: reduce("sum", where(hits(x), make("exp", x), 0), (1,))), []),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_calls_with_the_same_results(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_layers, "_AT_ONCE", 500)
    monkeypatch.setattr(torch_norms, "PART", 1000)
    check(*LAYERS[name])


NO_LAYERS: dict[str, Callable[[Expr], list[Expr]]] = {
    "what is inside is an output": lambda x: [norm(x), centred(x, (1,))[1]],
    "what is inside is read elsewhere": lambda x: [gelu(x) + make("erf", x * math.sqrt(0.5))],
    "another constant": lambda x: [x * ((make("erf", x * 0.7) + 1.0) * 0.5)],
    "other data": lambda x: [(x + 1.0) * ((make("erf", x * math.sqrt(0.5)) + 1.0) * 0.5)],
    "the first axis": lambda x: [centred(x, (0,))[0] / centred(x, (0,))[1]],
    "all axes": lambda x: [centred(x, (0, 1))[0] / centred(x, (0, 1))[1]],
    "another axis": lambda x: [
        make("exp", x - reduce("max", x, (0,)))
        / reduce("sum", make("exp", x - reduce("max", x, (0,))), (1,))
    ],
    "a number in one place": lambda x: [
        reduce("sum", where(hits(x), expr.constant(2.0, x.dtype), 0), (1,)) + x
    ],
    "integers": lambda x: [reduce("sum", cast(x, INT64), (1,))],
}


@pytest.mark.parametrize("name", NO_LAYERS)
def test_what_is_no_layer_stays_as_it_is(name: str) -> None:
    outputs = NO_LAYERS[name](input_(0, (6, 8), FLOAT32))
    assert calls(outputs) == []


def test_the_sum_of_one_element_keeps_every_bit() -> None:
    """Of infinities, NaN and -0 as well; rows without the place add 0."""
    x, label = input_(0, (5, 3), FLOAT32), input_(1, (5,), INT64)
    total = reduce("sum", where(hits(x), x, 0), (1,))
    assert label in toposort([total])
    values = torch.tensor(
        [[1, float("nan"), 2], [-0.0, 1, 1], [float("inf"), float("nan"), 3], [4, 5, 6], [7, 8, 9]]
    )
    places = torch.tensor([0, 0, 1, 3, -1])
    (found,) = run(in_torch_layers(Graph((total,), {})).outputs, [values, places], RandomState(1))
    assert "pick" in {y.primitive for y in toposort(in_torch_layers(Graph((total,), {})).outputs)}
    np.testing.assert_array_equal(found[:, 0].numpy(), [1, 0, float("nan"), 0, 0])
    assert not np.signbit(found[1, 0].item())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_less_one_in_one_place_keeps_every_bit(axis: int) -> None:
    """Of infinities, NaN and -0 as well; rows without the place stay as they are."""
    shape = (33, 36, 35)
    row = tuple(1 if n == axis else length for n, length in enumerate(shape))
    data, places = input_(0, shape, FLOAT32), input_(1, row, INT64)
    less = data - cast(iota(shape, axis).equals(broadcast(places, shape)), FLOAT32)
    generator = torch.Generator().manual_seed(6)
    values = torch.tensor([-0.0, 0.0, 1.0, 1e30, float("inf"), float("-inf"), float("nan")])
    some = values[torch.randint(7, shape, generator=generator)]
    given = [some, torch.randint(-5, 40, row, generator=generator)]
    assert calls([less]) == ["less 1 in one place"]
    (found,) = run(in_torch_layers(Graph((less,), {})).outputs, given, RandomState(1))
    (due,) = run([less], given, RandomState(1))
    np.testing.assert_array_equal(found.numpy(), due.numpy())
    np.testing.assert_array_equal(np.signbit(found.numpy()), np.signbit(due.numpy()))


@pytest.mark.parametrize("shape", [(200, 40), (300, 31)])
def test_few_places_are_compared_one_by_one(shape: tuple[int, int]) -> None:
    data = input_(0, shape, FLOAT32)
    assert calls([data - cast(hits(data), FLOAT32)]) == []


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_are_taken_in_the_order_in_which_they_are_needed(axis: int) -> None:
    table, places = input_(0, (12, 12, 5), FLOAT32), input_(1, (3, 2, 4), INT64)
    rows = take(table, maximum(places, 0), axis)
    order = [0, 1, 2, 3, 4]
    order[axis : axis + 3] = [axis + 2, axis, axis + 1]
    moved = permute(rows, order)
    others = [
        (1, 0, 2, 3, 4) if axis == 1 else (0, 1, 2, 4, 3),  # an axis of the rows moves as well
        (4, 3, 2, 1, 0),
    ]
    graph = in_torch_layers(Graph((moved,), {}))
    (found,) = graph.outputs
    assert found.primitive == "take"
    given = tensors([moved])
    due = given[0].index_select(axis, given[1].clamp_min(0).view(-1))
    due = due.view(rows.shape).permute(order)
    (result,) = run(graph.outputs, given, RandomState(1))
    np.testing.assert_array_equal(result.numpy(), due.numpy())
    for outputs in ((moved, rows), *((permute(rows, other),) for other in others)):
        assert in_torch_layers(Graph(outputs, {})).outputs == outputs


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_gelu_of_huge_numbers(dtype: DType, trusted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether torch's functions are right there on this processor, or have to be watched."""
    if not trusted:
        monkeypatch.setattr(torch_layers, "_is_right", lambda *given: False)
    infinity, most = float("inf"), torch.finfo(dtype.torch).max
    for huge in (infinity, -infinity, most, -most, 1e30, -1e30, float("nan")):
        values = torch.linspace(-6, 6, 360).to(dtype.torch).view(40, 9)
        values[3, 4] = huge
        outputs, given = gelu_and_slope(dtype), [values, torch.ones_like(values)]
        found = run(in_torch_layers(Graph(tuple(outputs), {})).outputs, given, RandomState(1))
        due = run(outputs, given, RandomState(1))
        for mine, other in zip(found, due, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_function_is_trusted_that_is_right_everywhere(dtype: torch.dtype) -> None:
    """And no other one, however far out it goes wrong."""

    def wrong_from(bound: float) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: torch.where(x.abs() > bound, math.nan, x)

    def exact(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x.isinf(), math.nan, x)

    most = torch.finfo(dtype).max
    assert torch_layers._is_right(exact, exact, dtype)
    assert torch_layers._is_right(wrong_from(most), exact, dtype)
    for bound in (1e17, 1e18, 1e19, 1e30, most / 2):
        assert not torch_layers._is_right(wrong_from(bound), exact, dtype), bound


def test_operators_are_calls_in_plans() -> None:
    x = sym.Variable("x", shape=(8, 16))
    normal = sym.LayerNorm(x, sym.Variable("gamma"), sym.Variable("beta"), name="norm")
    active = sym.LeakyReLU(normal, act_type="gelu", name="active")
    graph = sym.softmax_cross_entropy(active, sym.Variable("label"), name="entropy")
    executor = graph.simple_bind(mx.cpu(), grad_req="null")
    check_plan(executor.plan)
    names = [x["name"] for k in executor.plan.kernels for x in k.body if x.primitive == "native"]
    assert names[:2] == ["layer_norm", "gelu"] and "picked" in names
    shown = str(executor.plan)
    assert all(name in shown for name in ("[norm]", "[active]", "entropy"))
    with mx.switched(fusion=False):
        apart = graph.simple_bind(mx.cpu(), grad_req="null")
    assert not {"gelu", "layer_norm"} & {
        x["name"] for k in apart.plan.kernels for x in k.body if x.primitive == "native"
    }
