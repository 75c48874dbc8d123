"""Attention of 16-bit floats on a GPU is one call of a library where it may be, and never else.

The reference is the expression itself, computed in float64 by its primitives.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

import tritonsym as mx
from memory_checker import check_plan
from named_graphs import GRAPHS, plan_of
from tritonsym.expressions.expr import (
    Expr,
    broadcast,
    cast,
    dot,
    input_,
    make,
    permute,
    reduce,
    reshape,
    slice_,
)
from tritonsym.expressions.philox import RandomState
from tritonsym.expressions.reference import run
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, INT32, DType
from tritonsym.graph.trace import Graph
from tritonsym.planning.plan import Plan
from tritonsym.products import attention
from tritonsym.products.attention import with_attention
from tritonsym.products.gpus import H100, Gpu
from tritonsym.rewrites.simplify import simplify

sym = mx.sym

# A graph as a function of the dtype: in float64 it is the reference.
Made = Callable[[DType], Expr]


@pytest.fixture(autouse=True)
def small_ones_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is too small to be worth a call."""
    monkeypatch.setattr(attention, "LEAST_SCORES", 0)


def served(
    *outputs: Expr, strides: dict[int, tuple[int, ...]] | None = None, gpu: Gpu = H100
) -> Graph:
    return with_attention(simplify(Graph(outputs, {})), strides or {}, gpu)


def calls(outputs: Sequence[Expr]) -> list[str]:
    return [str(x["name"]) for x in toposort(outputs) if x.primitive == "native"]


def operands(dtype: DType, *batch: int, depth: int = 16) -> tuple[Expr, Expr, Expr]:
    """33 queries and 40 keys and values."""
    lengths = (33, 40, 40)
    query, key, value = (
        input_(n, (*batch, length, depth), dtype) for n, length in enumerate(lengths)
    )
    return query, key, value


def softmax(x: Expr, temperature: float = 1.0, wide: DType = FLOAT32) -> Expr:
    data = cast(x, wide if x.dtype.is_reduced else x.dtype)
    last = len(x.shape) - 1
    shifted = data - reduce("max", data, (last,))
    powers = make("exp", shifted if temperature == 1.0 else shifted / temperature)
    return cast(powers / reduce("sum", powers, (last,)), x.dtype)


def weighted(query: Expr, key: Expr, value: Expr, factor: float = 0.25) -> Expr:
    return dot(softmax(dot(query, key, transpose_b=True) * factor), value)


def by_head(x: Expr, heads: int) -> Expr:
    """(batch, tokens, heads * depth) to (batch, heads, tokens, depth)."""
    batch, tokens, width = x.shape
    return permute(reshape(x, (batch, tokens, heads, width // heads)), (0, 2, 1, 3))


def by_token(dtype: DType) -> Expr:
    """As in a transformer: heads are parts of a token, before and after."""
    whole = [input_(n, (2, length, 48), dtype) for n, length in enumerate((33, 40, 40))]
    result = weighted(*(by_head(x, 3) for x in whole))
    return reshape(permute(result, (0, 2, 1, 3)), (2, 33, 48))


def packed(dtype: DType) -> Expr:
    """Queries, keys and values are parts of one product's rows."""
    whole = input_(0, (2, 33, 3 * 48), dtype)
    parts = [slice_(whole, (0, 0, n), (2, 33, n + 48), (1, 1, 1)) for n in range(0, 3 * 48, 48)]
    return weighted(*(by_head(x, 3) for x in parts))


def scaled_in_float32(dtype: DType) -> Expr:
    query, key, value = operands(dtype, 6)
    wide = dtype if dtype is FLOAT64 else FLOAT32
    scores = cast(dot(query, key, transpose_b=True), wide) / 4.0
    return dot(cast(softmax(scores), dtype), value)


def with_other_axes(dtype: DType) -> Expr:
    """Keys as columns, and values by depth."""
    query, _, _ = operands(dtype, 6)
    key, value = input_(1, (6, 40, 16), dtype), input_(2, (6, 40, 16), dtype)
    scores = dot(query, permute(key, (0, 2, 1)))
    return dot(softmax(scores), permute(permute(value, (0, 2, 1)), (0, 2, 1)))


def of_batch(*batch: int, depth: int = 16, factor: float = 0.25) -> Made:
    return lambda dtype: weighted(*operands(dtype, *batch, depth=depth), factor)


def of(function: Callable[[Expr, Expr, Expr], Expr]) -> Made:
    return lambda dtype: function(*operands(dtype, 2, 3))


SERVED: dict[str, Made] = {
    "heads": of_batch(6),
    "heads in batches": of_batch(2, 3),
    "one head": of_batch(1, 1),
    "the deepest": of_batch(2, depth=256),
    "a large factor": of_batch(6, factor=3.0),
    "no factor": of(lambda q, k, v: dot(softmax(dot(q, k, transpose_b=True)), v)),
    "divided": of(lambda q, k, v: dot(softmax(dot(q, k, transpose_b=True) / 4.0), v)),
    "a temperature": of(
        lambda q, k, v: dot(softmax(dot(q, k, transpose_b=True) * 0.5, temperature=2.0), v)
    ),
    "the query scaled": of(lambda q, k, v: weighted(q * 0.5, k, v, 0.5)),
    "computed in its dtype": of(
        lambda q, k, v: dot(softmax(dot(q, k, transpose_b=True) * 0.25, wide=q.dtype), v)
    ),
    "one array": lambda dtype: weighted(*[input_(0, (6, 33, 16), dtype)] * 3),
    "by token": by_token,
    "packed": packed,
    "one head by token": lambda dtype: weighted(
        *(by_head(input_(n, (2, 33, 16), dtype), 1) for n in range(3))
    ),
    "scaled in float32": scaled_in_float32,
    "with other axes": with_other_axes,
}


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
@pytest.mark.parametrize("name", SERVED)
def test_attention_is_one_call_with_the_same_result(name: str, dtype: DType) -> None:
    graph = served(SERVED[name](dtype))
    assert calls(graph.outputs) == ["attention"]
    assert not {"dot", "exp"} & {x.primitive for x in toposort(graph.outputs)}
    draw = torch.Generator().manual_seed(3)
    sources = {x["index"]: x for x in toposort(graph.outputs) if x.primitive == "input"}
    given = [torch.randn(sources[n].shape, generator=draw) for n in sorted(sources)]
    narrow = [x.to(dtype.torch) for x in given]
    (found,) = run(graph.outputs, narrow, RandomState(1))
    (due,) = run([SERVED[name](FLOAT64)], [x.double() for x in narrow], RandomState(1))
    # Weights that add up to 1 are rounded, the query perhaps as well, and the result.
    unit, largest = torch.finfo(dtype.torch).eps, narrow[-1].abs().max().item()
    torch.testing.assert_close(found.double(), due, rtol=unit, atol=2 * unit * largest)


def test_the_result_lies_as_the_queries_do() -> None:
    """So that the library's result is copied to its place as it lies, and nothing after it."""
    for made, shape in ((by_token, (2, 33, 3, 16)), (of_batch(2, 3), (2, 3, 33, 16))):
        (call,) = (x for x in toposort(served(made(FLOAT16)).outputs) if x.primitive == "native")
        assert call.shape == shape


def masked(query: Expr, key: Expr, value: Expr) -> Expr:
    scores = dot(query, key, transpose_b=True) * 0.25
    mask = input_(3, scores.shape, scores.dtype)
    return dot(softmax(scores + mask), value)


def of_one_key(query: Expr, key: Expr, value: Expr) -> Expr:
    first = slice_(key, (0, 0, 0, 0), (1, 1, 40, 16), (1, 1, 1, 1))
    return weighted(query, broadcast(first, key.shape), value)


def along_queries(query: Expr, key: Expr, value: Expr) -> Expr:
    scores = cast(dot(query, key, transpose_b=True), FLOAT32)
    powers = make("exp", scores - reduce("max", scores, (2,)))
    return dot(cast(powers / reduce("sum", powers, (2,)), query.dtype), value)


NOT_SERVED: dict[str, Made] = {
    "no batch": of_batch(),
    "three axes of batches": of_batch(1, 2, 3),
    "rows of another length": of_batch(2, 3, depth=12),
    "deeper": of_batch(2, depth=264),
    "other depths": of(lambda q, k, v: weighted(q, k, input_(2, (2, 3, 40, 24), v.dtype))),
    "a mask": of(masked),
    "a negative factor": of(lambda q, k, v: weighted(q, k, v, -0.25)),
    "a factor of zero": of(lambda q, k, v: weighted(q, k, v, 0.0)),
    "no number": of(lambda q, k, v: weighted(q, k, v, math.nan)),
    "factors in an array": of(
        lambda q, k, v: dot(
            softmax(dot(q, k, transpose_b=True) * input_(3, (2, 3, 33, 40), q.dtype)), v
        )
    ),
    "keys that are repeated": of(of_one_key),
    "a softmax of columns": of(along_queries),
    "the weights turned": of(
        lambda q, k, v: dot(softmax(dot(q, q, transpose_b=True)), q, transpose_a=True)
    ),
    "keys by depth": of(
        lambda q, k, v: dot(softmax(dot(q, input_(1, (2, 3, 16, 40), q.dtype)) * 0.25), v)
    ),
}


@pytest.mark.parametrize("name", NOT_SERVED)
def test_what_the_library_cannot_stays_as_it_is(name: str) -> None:
    assert calls(served(NOT_SERVED[name](FLOAT16)).outputs) == []


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_wider_floats_keep_their_bits(dtype: DType) -> None:
    assert calls(served(of_batch(2, 3)(dtype)).outputs) == []


def test_what_is_inside_may_be_needed() -> None:
    query, key, value = operands(FLOAT16, 2, 3)
    scores = dot(query, key, transpose_b=True) * 0.25
    weights = softmax(scores)
    result = dot(weights, value)
    assert calls(served(result).outputs) == ["attention"]
    for other in (scores, weights, reduce("sum", weights, (3,))):
        assert calls(served(result, other).outputs) == []
    assert calls(served(result, dot(weights, value * 2.0)).outputs) == ["attention"] * 2


def test_rows_that_do_not_begin_where_they_should() -> None:
    result = of_batch(6)(FLOAT16)
    for strides in ((33 * 16, 1, 33), (33 * 20, 20, 1), (0, 16, 1)):
        assert calls(served(result, strides={0: strides}).outputs) == []
    assert calls(served(result, strides={0: (33 * 24, 24, 1)}).outputs) == ["attention"]


def test_gpus_without_such_kernels_keep_theirs() -> None:
    assert calls(served(of_batch(6)(FLOAT16), gpu=replace(H100, capability=75)).outputs) == []


def test_few_scores_stay_in_kernels_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    result = of_batch(6)(FLOAT16)
    for least, found in ((6 * 33 * 40 * 2, ["attention"]), (6 * 33 * 40 * 2 + 1, [])):
        monkeypatch.setattr(attention, "LEAST_SCORES", least)
        assert calls(served(result).outputs) == found


# ---- gradients ---------------------------------------------------------------------------------

# Queries, keys, values and the head to the result and the gradients of the first three.
Trained = Callable[[Expr, Expr, Expr, Expr], list[Expr]]


def slope_of(weights: Expr, slope: Expr, factor: float) -> Expr:
    """The gradient of scores, from that of their softmax."""
    kind = FLOAT32 if weights.dtype.is_reduced else weights.dtype
    wide, given = cast(weights, kind), cast(slope, kind)
    gradient = (given - reduce("sum", given * wide, (len(wide.shape) - 1,))) * wide
    return cast(gradient, weights.dtype) * factor


def trained(
    query: Expr, key: Expr, value: Expr, head: Expr, factor: float = 0.25, back: float = 0.25
) -> list[Expr]:
    weights = softmax(dot(query, key, transpose_b=True) * factor)
    slope = slope_of(weights, dot(head, value, transpose_b=True), back)
    return [
        dot(weights, value),
        dot(slope, key),
        dot(slope, query, transpose_a=True),
        dot(weights, head, transpose_a=True),
    ]


def turned(x: Expr) -> Expr:
    *batch, rows, columns = range(len(x.shape))
    return permute(x, (*batch, columns, rows))


def from_the_right(query: Expr, key: Expr, value: Expr, head: Expr) -> list[Expr]:
    """Every product turned, as in a program whose tokens are columns."""
    query, key, value, head = map(turned, (query, key, value, head))
    weights = softmax(dot(query, key, transpose_a=True) * 0.25)
    slope = slope_of(weights, dot(head, value, transpose_a=True), 0.25)
    found = [
        dot(value, weights, transpose_b=True),
        dot(key, slope, transpose_b=True),
        dot(query, slope),
        dot(head, weights),
    ]
    return [*map(turned, found)]


def across(x: Expr) -> Expr:
    """Heads of tokens as tokens of heads, and back."""
    return permute(x, (0, 2, 1, 3))


# By name: the batch's axes, and the function.
TRAINED: dict[str, tuple[tuple[int, ...], Trained]] = {
    "heads": ((6,), trained),
    "heads in batches": ((2, 3), trained),
    "no factor": ((6,), lambda *given: trained(*given, factor=1.0, back=1.0)),
    "the query scaled": ((6,), lambda q, *others: trained(q * 0.5, *others)),
    "from the right": ((6,), from_the_right),
    "all from the right in batches": ((2, 3), from_the_right),
    "without the query's": ((6,), lambda *given: [trained(*given)[n] for n in (0, 2, 3)]),
    "without the values'": ((6,), lambda *given: trained(*given)[:3]),
    "the query's alone": ((6,), lambda *given: trained(*given)[:2]),
    "gradients alone": ((6,), lambda *given: trained(*given)[1:]),
}


def of_tokens(
    dtype: DType, batch: tuple[int, ...], lengths: Sequence[int] = (33, 40)
) -> list[Expr]:
    """So many queries, keys and values, and the head."""
    queries, keys = lengths
    rows = (queries, keys, keys, queries)
    return [input_(n, (*batch, length, 16), dtype) for n, length in enumerate(rows)]


def assert_near(outputs: Sequence[Expr], due: Sequence[Expr], dtype: DType, width: float) -> None:
    """The same results, of random numbers, up to so many roundings of the largest one."""
    draw = torch.Generator().manual_seed(4)
    sources = {x["index"]: x for x in toposort(due) if x.primitive == "input"}
    given = [torch.randn(sources[n].shape, generator=draw) for n in sorted(sources)]
    narrow = [x.to(dtype.torch) for x in given]
    found = run(outputs, narrow, RandomState(1))
    wanted = run(due, [x.double() for x in narrow], RandomState(1))
    unit = torch.finfo(dtype.torch).eps
    for one, other in zip(found, wanted, strict=True):
        atol = width * unit * other.abs().max().item()
        torch.testing.assert_close(one.double(), other, rtol=unit, atol=atol)


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
@pytest.mark.parametrize("name", TRAINED)
def test_gradients_are_one_more_call(name: str, dtype: DType) -> None:
    batch, function = TRAINED[name]
    graph = served(*function(*of_tokens(dtype, batch)))
    forward = [] if name == "gradients alone" else ["attention"]
    assert sorted(calls(graph.outputs)) == [*forward, "attention_backward"]
    assert not {"dot", "exp"} & {x.primitive for x in toposort(graph.outputs)}
    # Probabilities, their gradients and the result are rounded; a scaled query as well.
    assert_near(graph.outputs, function(*of_tokens(FLOAT64, batch)), dtype, width=3)


@pytest.mark.parametrize("which", range(16), ids="{:04b}".format)
def test_each_gradient_lies_as_what_it_is_of(which: int) -> None:
    """Whichever of the four lie by token: nothing is copied on the way to what reads it."""

    def made(dtype: DType) -> list[Expr]:
        lie = [bool(which >> n & 1) for n in range(4)]
        given = []
        for n, (length, by) in enumerate(zip((33, 40, 40, 33), lie, strict=True)):
            shape = (2, length, 3, 16) if by else (2, 3, length, 16)
            x = input_(n, shape, dtype)
            given.append(across(x) if by else x)
        result, *gradients = trained(*given)
        return [result, *(across(x) if by else x for x, by in zip(gradients, lie, strict=False))]

    graph = served(*made(FLOAT16))
    assert sorted(calls(graph.outputs)) == ["attention", "attention_backward"]
    assert_near(graph.outputs, made(FLOAT64), FLOAT16, width=3)
    for x in simplify(graph).outputs[1:]:  # parts of one array, and nothing else
        way = [x.primitive]
        while x.primitive != "native":
            (x,) = x.inputs
            way.append(x.primitive)
        assert way == ["reshape", "slice", "native"]


NOT_TRAINED: dict[str, Trained] = {
    "another factor": lambda *given: trained(*given, back=0.5),
    "another key": lambda q, k, v, h: [*trained(q, k, v, h)[:2], dot(slopes(q, k, v, h), k * 2.0)],
    "the query's of another": lambda q, k, v, h: [
        *trained(q, k, v, h)[:2],
        dot(slopes(q, k, v, h), q * 2.0, transpose_a=True),
    ],
    "the values' of another head": lambda q, k, v, h: [
        *trained(q, k, v, h)[:3],
        dot(softmax(dot(q, k, transpose_b=True) * 0.25), h * 2.0, transpose_a=True),
    ],
    "the values' alone": lambda *given: trained(*given)[::3],
    "the weights as well": lambda q, k, v, h: [
        *trained(q, k, v, h),
        softmax(dot(q, k, transpose_b=True) * 0.25),
    ],
    "the slopes as well": lambda q, k, v, h: [*trained(q, k, v, h), slopes(q, k, v, h)],
    "one head for all": lambda q, k, v, h: trained(q, k, v, broadcast(first_row(h), h.shape)),
    "the share of another axis": lambda q, k, v, h: along(q, k, v, h, 1),
    "the share of something else": lambda q, k, v, h: along(q, k, v, h, 2, squared=True),
}


def first_row(x: Expr) -> Expr:
    return slice_(x, (0, 0, 0), (x.shape[0], 1, x.shape[2]), (1, 1, 1))


def slopes(query: Expr, key: Expr, value: Expr, head: Expr) -> Expr:
    weights = softmax(dot(query, key, transpose_b=True) * 0.25)
    return slope_of(weights, dot(head, value, transpose_b=True), 0.25)


def along(
    query: Expr, key: Expr, value: Expr, head: Expr, axis: int, squared: bool = False
) -> list[Expr]:
    weights = softmax(dot(query, key, transpose_b=True) * 0.25)
    wide = cast(weights, FLOAT32)
    given = cast(dot(head, value, transpose_b=True), FLOAT32)
    gradient = (given - reduce("sum", given * (given if squared else wide), (axis,))) * wide
    return [dot(weights, value), dot(cast(gradient, query.dtype) * 0.25, key)]


@pytest.mark.parametrize("name", NOT_TRAINED)
def test_gradients_of_something_else_stay_as_they_are(name: str) -> None:
    outputs = NOT_TRAINED[name](*of_tokens(FLOAT16, (6,)))
    assert calls(served(*outputs).outputs) == []


def test_one_softmax_for_two_values_keeps_its_weights() -> None:
    """Whose gradient is the sum of two products, which no call of the library gives."""
    query, key, value, head = of_tokens(FLOAT16, (6,))
    weights = softmax(dot(query, key, transpose_b=True) * 0.25)
    other, another = input_(4, value.shape, FLOAT16), input_(5, head.shape, FLOAT16)
    both = dot(head, value, transpose_b=True) + dot(another, other, transpose_b=True)
    slope = slope_of(weights, both, 0.25)
    found = [dot(weights, value), dot(weights, other), dot(slope, key)]
    assert calls(served(*found).outputs) == []


def test_what_looks_like_a_gradient_of_values_before_there_are_any() -> None:
    """Weights of queries, with which something is summed: its own head may be named a value."""
    query, key, _, summed = of_tokens(FLOAT16, (6,))
    weights = softmax(dot(query, key, transpose_b=True) * 0.25)
    result = dot(weights, summed, transpose_a=True)
    for head in (input_(4, result.shape, FLOAT16), make("tanh", result)):
        slope = slope_of(weights, dot(summed, head, transpose_b=True), 0.25)
        found = [result, dot(slope, key), dot(slope, query, transpose_a=True)]
        assert calls(served(*found).outputs) == []


def test_gradients_in_any_order_of_the_outputs() -> None:
    given = of_tokens(FLOAT16, (6,))
    for order in itertools.permutations(range(1, 4)):
        outputs = [trained(*given)[n] for n in order]
        found = served(*outputs).outputs
        # That of the values needs none; asked for first, it is computed before there are any.
        assert calls(found) == ([] if order[0] == 3 else ["attention_backward"])
    served(*(trained(*given)[n] for n in (3, 1, 2, 0)))


def test_whole_numbers_are_no_weights() -> None:
    query, key, value, head = of_tokens(FLOAT16, (6,))
    weights = softmax(dot(query, key, transpose_b=True))
    wide, given = cast(weights, INT32), cast(dot(head, value, transpose_b=True), INT32)
    gradient = (given - reduce("sum", given * wide, (2,))) * wide
    found = [dot(weights, value), dot(cast(gradient, FLOAT16), key)]
    assert calls(served(*found).outputs) == []


@pytest.mark.parametrize(("depth", "name"), [(192, ["attention_backward"]), (200, [])])
def test_gradients_of_deep_heads_keep_our_kernels(depth: int, name: list[str]) -> None:
    query, key, value, head = (
        input_(n, (2, length, depth), FLOAT16) for n, length in enumerate((33, 40, 40, 33))
    )
    assert calls(served(*trained(query, key, value, head)[1:]).outputs) == name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_gpus_operators_take_what_they_are_given(dtype: torch.dtype) -> None:
    """Without a GPU as far as shapes and arguments go: torch knows both of the operators."""
    shapes = [(2, 3, length, 64) for length in (33, 40, 40, 33)]
    given = [torch.empty(shape, dtype=dtype, device="meta") for shape in shapes]
    found = attention.attention_gradients(*given, 0.125)
    assert [x.shape for x in found] == [x.shape for x in given[:3]]
    assert all(x.dtype is dtype for x in found)


def test_heads_that_the_library_cannot_read_keep_our_kernels() -> None:
    outputs = trained(*of_tokens(FLOAT16, (6,)))
    for strides in ((33 * 16, 1, 33), (33 * 20, 20, 1)):
        assert calls(served(*outputs, strides={3: strides}).outputs) == []


# ---- in plans ----------------------------------------------------------------------------------


def natives(plan: Plan) -> list[str]:
    return [str(x["name"]) for k in plan.kernels for x in k.body if x.primitive == "native"]


def test_a_block_has_one_call_and_says_why() -> None:
    plan = plan_of(GRAPHS["transformer-block"])
    check_plan(plan)
    assert natives(plan) == ["attention"]
    # Without the three of the products and of the softmax, and with the call.
    assert len(plan.kernels) == 9
    assert "attention [batch_dot1, " in str(plan) and "softmax0" in str(plan)
    assert "by a library: it stores no scores of float16[4, 4, 96, 96]" in str(plan)


def heads(x: mx.Symbol, name: str) -> mx.Symbol:
    """A product of (batch, length, 64), as (batch * 4, length, 16)."""
    whole = sym.FullyConnected(x, num_hidden=64, flatten=False, name=name)
    split = sym.transpose(sym.reshape(whole, shape=(0, 0, 4, 16)), axes=(0, 2, 1, 3))
    return sym.reshape(split, shape=(-3, 0, 0))


def bound(context: mx.Context, dtype: str = "float16", grad_req: str = "null") -> mx.Executor:
    """Attention between its projections, with the same values in every dtype."""
    x = sym.Variable("data")
    query, key, value = (heads(x, name) for name in ("query", "key", "value"))
    weights = sym.softmax(sym.batch_dot(query, key, transpose_b=True) * 0.25)
    mixed = sym.reshape(sym.batch_dot(weights, value), shape=(-4, -1, 4, 0, 0))
    joined = sym.reshape(sym.transpose(mixed, axes=(0, 2, 1, 3)), shape=(0, 0, -3))
    symbol = x + sym.FullyConnected(joined, num_hidden=64, flatten=False, name="projection")
    kinds = dict.fromkeys(symbol.list_arguments(), dtype)
    executor = symbol.simple_bind(context, grad_req, kinds, data=(2, 24, 64))
    draw = np.random.default_rng(5)
    for array in executor.arg_arrays:
        scale = array.shape[-1] ** -0.5 if len(array.shape) < 3 else 1.0
        array[:] = (draw.normal(size=array.shape) * scale).astype(np.float16)
    return executor


def test_an_executor_gives_what_it_gives_without_the_call(gpu: mx.Context) -> None:
    executor = bound(gpu)
    check_plan(executor.plan)
    assert natives(executor.plan) == ["attention"]
    with mx.switched(fusion=False):
        plain, exact = bound(gpu), bound(gpu, "float64")
    assert natives(plain.plan) == natives(exact.plan) == natives(bound(gpu, "float32").plan) == []
    (due,), (near,) = exact.forward(), plain.forward()
    rounding = np.abs(near.asnumpy() - due.asnumpy()).max()
    for _ in range(3):  # the first run, which is recorded, and replays
        (found,) = executor.forward()
        assert np.abs(found.asnumpy() - due.asnumpy()).max() <= 2 * rounding


def test_the_call_is_validated(gpu: mx.Context) -> None:
    with mx.switched(validate=True):
        executor = bound(gpu)
    assert natives(executor.plan) == ["attention"]
    executor.forward()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_training_stores_no_scores(gpu: mx.Context, dtype: str) -> None:
    executor = bound(gpu, dtype, "write")
    executor.forward(is_train=True)
    (training,) = executor._training.values()
    check_plan(training.plan)
    assert natives(training.plan) == ["attention", "attention_backward"]
    assert not any(x.shape[-2:] == (24, 24) for x in training.plan.places)
    with mx.switched(fusion=False):
        plain, exact = bound(gpu, dtype, "write"), bound(gpu, "float64", "write")
    head = np.random.default_rng(8).normal(size=(2, 24, 64)).astype(np.float16)
    for one in (plain, exact, executor):
        one.forward(is_train=True)
        one.backward(mx.nd.array(head, gpu, one.outputs[0].dtype))
    found, near, due = (
        {name: x.asnumpy().astype(np.float64) for name, x in one.grad_dict.items()}
        for one in (executor, plain, exact)
    )
    for name, gradient in due.items():
        # That of the keys' bias is 0 but for rounding: all scores of a query have it.
        rounding = np.abs(near[name] - gradient).max()
        assert np.abs(found[name] - gradient).max() <= 2 * rounding, name


def test_what_is_computed_again_keeps_its_kernels(gpu: mx.Context) -> None:
    """With a backward pass of its own probabilities, which the library's call would not store."""
    with mx.switched(mirror=True):
        executor = bound(gpu, grad_req="write")
        executor.forward(is_train=True)
    assert [natives(training.plan) for training in executor._training.values()] == [[]]


def test_gradients_are_added_in_one_order(gpu: mx.Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device, where a library would add what is ready first."""
    ordered: list[torch.Tensor] = []

    def spy(step: Callable[[], object], out: torch.Tensor) -> Callable[[], object]:
        ordered.append(out)
        return step

    monkeypatch.setattr(attention, "in_one_order", spy)
    executor = bound(gpu, grad_req="write")
    executor.forward(is_train=True)
    assert len(ordered) == 1 and ordered[0].shape == (2 * 4 * 3 * 24 * 16,)


def test_a_second_run_has_the_same_gradients(gpu: mx.Context) -> None:
    """Also after another of other numbers."""
    executor = bound(gpu, grad_req="write")
    draw = np.random.default_rng(9)
    heads = [mx.nd.array(draw.normal(size=(2, 24, 64)), gpu, "float16") for _ in range(2)]
    found = []
    for head in (heads[0], heads[1], heads[0]):
        executor.forward(is_train=True)
        executor.backward(head)
        found.append({name: x.asnumpy() for name, x in executor.grad_dict.items()})
    for name, first in found[0].items():
        np.testing.assert_array_equal(first, found[2][name])
    assert any((first != found[1][name]).any() for name, first in found[0].items())


def forbidden(*given: object) -> None:
    raise AssertionError("a caller's hook was called")


@pytest.mark.parametrize(
    "mode",
    [
        torch.inference_mode,
        torch.no_grad,
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: torch.autograd.graph.saved_tensors_hooks(forbidden, forbidden),
        torch.autograd.detect_anomaly,
    ],
    ids=["inference", "no gradients", "autocast", "hooks", "anomalies"],
)
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_what_a_program_tells_torch_is_not_for_us(
    gpu: mx.Context, mode: Callable[[], contextlib.AbstractContextManager[object]]
) -> None:
    executor = bound(gpu, grad_req="write")
    head = mx.nd.array(np.random.default_rng(9).normal(size=(2, 24, 64)), gpu, "float16")
    found = []
    for around in (contextlib.nullcontext, mode):
        with around():
            (output,) = executor.forward(is_train=True)
            executor.backward(head)
        found.append([x.asnumpy() for x in (output, *executor.grad_arrays)])
    assert natives(next(iter(executor._training.values())).plan)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_caller_s_memory_may_begin_anywhere(gpu: mx.Context) -> None:
    query, key, value = (sym.Variable(name) for name in ("query", "key", "value"))
    weights = sym.softmax(sym.batch_dot(query, key, transpose_b=True) * 0.125)
    draw = np.random.default_rng(6)
    wide = {name: draw.normal(size=(2, 24, 16)) for name in ("query", "key", "value")}
    arrays = {}
    for name, values in wide.items():
        memory = mx.nd.zeros((values.size + 1,), gpu, dtype="float16")
        memory[1:] = values.reshape(-1)
        arrays[name] = mx.nd.NDArray(memory.to_torch()[1:].view(values.shape), gpu)
    executor = sym.batch_dot(weights, value).bind(gpu, arrays)
    assert natives(executor.plan) == ["attention"]
    q, k, v = (arrays[name].asnumpy().astype(np.float64) for name in wide)
    powers = np.exp(q @ k.transpose(0, 2, 1) * 0.125)
    due = powers / powers.sum(axis=-1, keepdims=True) @ v
    for _ in range(3):
        found = executor.forward()[0].asnumpy()
        np.testing.assert_allclose(found, due, rtol=1e-3, atol=2e-3 * np.abs(v).max())


@pytest.mark.gpu
@pytest.mark.parametrize("tokens", [1024, 1000])
def test_the_library_stores_no_scores(tokens: int) -> None:
    """None of its kernels but those that keep them on the chip."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    names = ("query", "key", "value")
    query, key, value = map(sym.Variable, names)
    weights = sym.softmax(sym.batch_dot(query, key, transpose_b=True) * 0.125)
    shapes = dict.fromkeys(names, (32, tokens, 64))
    executor = sym.batch_dot(weights, value).simple_bind(
        mx.gpu(0), grad_req="null", type_dict=dict.fromkeys(names, "bfloat16"), **shapes
    )
    assert natives(executor.plan) == ["attention"]
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    kernels = [
        SDPBackend.FLASH_ATTENTION,
        SDPBackend.CUDNN_ATTENTION,
        SDPBackend.EFFICIENT_ATTENTION,
    ]
    with sdpa_kernel(kernels):
        for _ in range(3):
            executor.forward()
    torch.cuda.synchronize()
    assert "launched as one CUDA graph" in executor.debug_str()
    assert torch.cuda.max_memory_allocated() - before < 32 * tokens * tokens * 2 / 4


@pytest.mark.gpu
@pytest.mark.parametrize("tokens", [2048, 2000])
def test_gradients_store_no_scores_and_keep_their_bits(tokens: int) -> None:
    """Whatever finishes first, and the program's own settings stand."""
    names = ("query", "key", "value")
    query, key, value = map(sym.Variable, names)
    weights = sym.softmax(sym.batch_dot(query, key, transpose_b=True) * 0.125)
    shape = (64, tokens, 64)
    executor = sym.batch_dot(weights, value).simple_bind(
        mx.gpu(0), "write", dict.fromkeys(names, "bfloat16"), **dict.fromkeys(names, shape)
    )
    draw = torch.Generator("cuda").manual_seed(11)
    q, k, v, head = (
        torch.randn(shape, generator=draw, device="cuda", dtype=torch.bfloat16) for _ in range(4)
    )
    for array, values in zip(executor.arg_arrays, (q, k, v), strict=True):
        array[:] = mx.nd.from_torch(values)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    found = []
    for _ in range(4):
        executor.forward(is_train=True)
        executor.backward(mx.nd.from_torch(head))
        found.append([x.to_torch().cpu() for x in executor.grad_arrays])
    torch.cuda.synchronize()
    assert torch.cuda.max_memory_allocated() - before < 64 * tokens * tokens * 2 / 2
    assert not torch.are_deterministic_algorithms_enabled()
    for later in found[1:]:
        assert all(torch.equal(x, y) for x, y in zip(found[0], later, strict=True))
    some = slice(0, 2)
    leaves = [x[some].double().requires_grad_() for x in (q, k, v)]
    scores = leaves[0] @ leaves[1].transpose(1, 2) * 0.125
    due = torch.autograd.grad(scores.softmax(-1) @ leaves[2], leaves, head[some].double())
    for one, other in zip(found[0], due, strict=True):
        # Probabilities, slopes and the result are rounded to 8 bits.
        atol = 3 * torch.finfo(torch.bfloat16).eps * other.abs().max().item()
        torch.testing.assert_close(one[some].double(), other.cpu(), rtol=0, atol=atol)


def test_a_query_without_any_score_gives_what_the_library_gives(
    gpu: mx.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As documented: 0, as torch on a CPU, or NaN, as a softmax; a GPU has a choice of kernels."""
    monkeypatch.setattr(attention, "LEAST_SCORES", 0)
    query, key, value = (sym.Variable(name) for name in ("query", "key", "value"))
    weights = sym.softmax(sym.batch_dot(query, key, transpose_b=True))
    symbol = sym.batch_dot(weights, value)
    arrays = {n: mx.nd.ones((2, 8, 16), gpu, "float16") for n in symbol.list_arguments()}
    arrays["key"][:] = -np.inf
    executor = symbol.bind(gpu, arrays)
    assert natives(executor.plan) == ["attention"]
    found = executor.forward()[0].asnumpy()
    zeros, on_gpu = found == 0, torch.cuda.is_available()
    assert zeros.all() or (on_gpu and (zeros | np.isnan(found)).all())
    with mx.switched(fusion=False):
        assert np.isnan(symbol.bind(gpu, arrays).forward()[0].asnumpy()).all()
