"""Calls of torch that stand for several primitives keep every bit, on special values too."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings

import tritonsym as mx
from graphs import Example, examples
from test_planned_equals_node_by_node import assert_same_bits
from tritonsym.expressions import exactness, expr, walks
from tritonsym.expressions.expr import (
    Expr,
    broadcast,
    cast,
    constant,
    full,
    input_,
    make,
    maximum,
    minimum,
    where,
)
from tritonsym.expressions.philox import RandomState
from tritonsym.expressions.reference import run
from tritonsym.foundation.dtype import ALL, BOOL, FLOAT32, FLOAT64, INT64, DType, as_dtype
from tritonsym.graph.infer import infer_shapes
from tritonsym.graph.node import toposort
from tritonsym.graph.trace import Graph, trace
from tritonsym.rewrites.torch_calls import in_torch_calls

NUMBERS = [dtype for dtype in ALL if dtype is not BOOL]
WIDE = [FLOAT32, FLOAT64]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]


def pairs(dtype: DType) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Every special value beside every other, three of them at a time, in an odd number."""
    if dtype.is_float:
        info = torch.finfo(dtype.torch)
        edges = [0.0, 1.0, 1 / 3, info.max, info.smallest_normal * info.eps, float("inf")]
        values = [*edges, *(-value for value in edges), float("nan")]
    else:
        limits = torch.iinfo(dtype.torch)
        values = [0, 1, 3, limits.max, limits.min, limits.max - 1]
    several = itertools.product(values, repeat=3)
    wide = torch.float64 if dtype.is_float else torch.int64
    first, second, third = zip(*several, strict=True)
    return tuple(torch.tensor(one, dtype=wide).to(dtype.torch) for one in (first, second, third))


def calls(x: Expr) -> list[str]:
    """The calls that an expression became."""
    (result,) = in_torch_calls(Graph((x,), {})).outputs
    return [str(y["name"]) for y in walks.toposort([result]) if y.primitive == "native"]


def agree(x: Expr, inputs: Sequence[torch.Tensor]) -> None:
    (result,) = in_torch_calls(Graph((x,), {})).outputs
    assert (result.shape, result.dtype) == (x.shape, x.dtype)
    before, after = (run([y], inputs, RandomState(1)) for y in (x, result))
    assert_same_bits(after, before, repr(x))


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
@pytest.mark.parametrize("name", COMPARISONS)
def test_choices_by_comparisons(name: str, dtype: DType) -> None:
    tensors = pairs(dtype)
    a, b, c = (input_(n, tuple(t.shape), dtype) for n, t in enumerate(tensors))
    condition = make(name, a, b)
    sides: list[tuple[Expr | float, Expr | float]] = [
        *((b, c), (c, 0), (0, c), (1, 0), (0, 1), (c, 1), (2, 3), (c, -0.0), (-0.0, c)),
        (full(0, a.shape, dtype), c),
    ]
    for first, second in sides:
        x = make(
            "where",
            condition,
            *(y if isinstance(y, Expr) else constant(y, dtype) for y in (first, second)),
        )
        assert calls(x)
        agree(x, tensors)


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_choices_by_other_conditions(dtype: DType) -> None:
    a, b, c = pairs(dtype)
    x, y = (input_(n, tuple(a.shape), dtype) for n in range(2))
    flag = input_(2, tuple(a.shape), BOOL)
    place = make("iota", axis=0, shape=tuple(a.shape), dtype=INT64)
    inputs = [a, b, c > 0]
    for condition in (flag, flag.logical_not(), (x < y).logical_and(flag), place > 7):
        agree(where(condition, x, y), inputs)
        agree(where(condition, x, 0), inputs)
        agree(where(condition, 0, y), inputs)


def test_a_choice_of_nothing_but_zeros_is_zeros() -> None:
    x = input_(0, (3,), FLOAT32)
    for zero in (constant(0, FLOAT32), full(0, (3,), FLOAT32)):
        agree(make("where", x > 0, zero, full(0, (3,), FLOAT32)), [torch.tensor([1.0, -1.0, 0.0])])


def test_a_choice_among_bools_stays_what_it_is() -> None:
    flag, first, second = (input_(n, (3,), BOOL) for n in range(3))
    assert calls(where(flag, first, second)) == []


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
@pytest.mark.parametrize("name", COMPARISONS)
def test_a_comparison_as_a_number_is_one_call(name: str, dtype: DType) -> None:
    tensors = pairs(dtype)
    a, b, _ = (input_(n, tuple(t.shape), dtype) for n, t in enumerate(tensors))
    x = cast(make(name, a, b), dtype)
    assert calls(x) == [name]
    agree(x, tensors)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_positions_are_counted_once(axis: int) -> None:
    x = expr.iota((3, 4, 5), axis)
    (result,) = in_torch_calls(Graph((x + 1,), {})).outputs
    assert max(y.size for y in walks.toposort([result]) if y.primitive == "iota") == x.shape[axis]
    agree(x + 1, [])


@pytest.mark.parametrize("dtype", [dtype for dtype in ALL if dtype.is_integer], ids=str)
@pytest.mark.parametrize("ends", [(1, 3), (3, 3), (3, 1), (0, None)])
def test_whole_numbers_are_kept_within_bounds_by_one_call(
    ends: tuple[int, int | None], dtype: DType
) -> None:
    most = torch.iinfo(dtype.torch).max - 1
    low, high = (constant(most if end is None else end, dtype) for end in ends)
    tensors = pairs(dtype)
    a = input_(0, tuple(tensors[0].shape), dtype)
    for x in (minimum(maximum(a, low), high), minimum(high, maximum(low, a))):
        assert calls(x) == ["clamp"]
        agree(x, tensors)


def test_no_other_numbers_are_bounded_by_one_call() -> None:
    """The sign of a zero would be the bound's."""
    a = input_(0, (7,), FLOAT32)
    i, j = (input_(n, (7,), INT64) for n in range(2))
    for x in (minimum(maximum(a, 0.0), 2.0), minimum(maximum(i, j), 2), minimum(maximum(i, 2), j)):
        assert calls(x) == []


FORMS: dict[str, Callable[[Expr, Expr, Expr], Expr]] = {
    "a + b / c": lambda a, b, c: a + b / c,
    "b / c + a": lambda a, b, c: b / c + a,
    "a - b / c": lambda a, b, c: a - b / c,
    "1 - b / c": lambda a, b, c: 1 - b / c,
    "a + b / 3": lambda a, b, c: a + b / 3,
    "a - b / row": lambda a, b, c: a - b / broadcast(expr.narrow(c, 0, 5, 6), a.shape),
    "a * (1 - b) * b": lambda a, b, c: a * (1 - b) * b,
    "b * ((1 - b) * a)": lambda a, b, c: b * ((1 - b) * a),
}


@pytest.mark.parametrize("dtype", WIDE, ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_two_operations_in_one(form: str, dtype: DType) -> None:
    ordinary = torch.randn(3, 1009, generator=torch.Generator().manual_seed(1)).to(dtype.torch)
    for tensors in (pairs(dtype), tuple(ordinary)):
        operands = [input_(n, tuple(t.shape), dtype) for n, t in enumerate(tensors)]
        x = FORMS[form](*operands)
        assert len(calls(x)) == 1
        agree(x, tensors)


@pytest.mark.parametrize("dtype", [d for d in NUMBERS if d not in WIDE], ids=str)
def test_sums_of_quotients_round_twice_in_16_bits(dtype: DType) -> None:
    a, b, c = (input_(n, (4,), dtype) for n in range(3))
    assert calls(a + b / c) == []


@pytest.mark.parametrize("dtype", [d for d in NUMBERS if d.is_float], ids=str)
def test_inverse_roots_are_one_call(dtype: DType) -> None:
    ordinary = torch.rand(1009, generator=torch.Generator().manual_seed(2)).to(dtype.torch)
    for values in (pairs(dtype)[0], ordinary):
        x = 1 / make("sqrt", input_(0, tuple(values.shape), dtype))
        (result,) = in_torch_calls(Graph((x,), {})).outputs
        assert [y.primitive for y in walks.toposort([result])] == ["input", "rsqrt"]
        agree(x, [values])


def test_two_repeated_operands_stay_apart() -> None:
    """torch would go element by element."""
    a = input_(0, (4,), FLOAT32)
    assert calls(constant(2, FLOAT32) + a / 3) == []


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_the_gradient_of_relu_is_nan_where_the_output_is(dtype: str) -> None:
    x = mx.sym.Variable("x")
    nan, infinity = float("nan"), float("inf")
    values = mx.nd.array([-1.0, 0.0, -0.0, 2.0, nan, infinity, -infinity, 1.0], dtype=dtype)
    for y in (mx.sym.relu(x), mx.sym.Activation(x, act_type="relu")):
        slope = mx.nd.zeros_like(values)
        executor = y.bind(mx.cpu(), [values], [slope])
        executor.forward(is_train=True)
        executor.backward(mx.nd.array([5, 5, 5, -0.0, 5, 5, 5, nan], dtype=dtype))
        expected = [0, 0, 0, -0.0, nan, 5, 0, nan]
        assert_same_bits([slope._tensor], [torch.tensor(expected).to(slope._tensor.dtype)], dtype)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(examples())
def test_random_graphs_keep_their_bits(example: Example) -> None:
    entries, arrays = example.symbol._entries, example.arrays
    shapes = infer_shapes(toposort(entries), {name: array.shape for name, array in arrays.items()})
    dtypes = {name: as_dtype(array._tensor.dtype) for name, array in arrays.items()}
    graph = trace([entries], shapes, dtypes, native=False)
    outputs = (graph.outputs, in_torch_calls(graph).outputs)
    before, after = (run(found, example.inputs, RandomState(3)) for found in outputs)
    assert_same_bits(after, before, example.text)


@pytest.mark.parametrize("on_gpu", [True, False])
def test_a_gpus_library_is_told_to_keep_all_bits(on_gpu: bool) -> None:
    """At each run, and what a program has told it stands again afterwards."""
    layers = (
        *(torch.backends.cudnn.conv, torch.backends.cudnn.rnn),
        torch.backends.cuda.matmul,
    )
    before = [layer.fp32_precision for layer in layers]
    seen = []

    def step() -> None:
        seen.append([layer.fp32_precision for layer in layers])
        if len(seen) == 2:
            raise ValueError("no memory")

    exact = exactness.exactly(step, SimpleNamespace(is_cuda=on_gpu))
    exact()
    with pytest.raises(ValueError, match="no memory"):
        exact()
    exact()
    assert seen == [["ieee"] * 3 if on_gpu else before] * 3
    assert [layer.fp32_precision for layer in layers] == before


@pytest.mark.parametrize("on_gpu", [True, False])
@pytest.mark.parametrize("own", [(False, False), (True, True), (True, False)])
def test_a_gpus_library_is_told_to_add_in_one_order(own: tuple[bool, bool], on_gpu: bool) -> None:
    """At each run, without a warning instead, and new memory is not filled for it."""

    def told() -> tuple[bool, bool, bool]:
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,
        )

    seen = []

    def step() -> None:
        seen.append(told())
        if len(seen) == 2:
            raise ValueError("no memory")

    ordered = exactness.in_one_order(step, SimpleNamespace(is_cuda=on_gpu))
    before = told()
    try:
        torch.use_deterministic_algorithms(own[0], warn_only=own[1])
        given = told()
        ordered()
        with pytest.raises(ValueError, match="no memory"):
            ordered()
        ordered()
        assert told() == given
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    assert seen == [(True, False, False) if on_gpu else given] * 3
