"""Expressions: interned, immutable, with shapes and dtypes that their values really have."""

from __future__ import annotations

import dataclasses
import gc
import math
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies

from tritonsym.expressions import expr
from tritonsym.expressions.expr import Expr, Shape, constant, constant_value, input_, make
from tritonsym.expressions.philox import RandomState
from tritonsym.expressions.reference import evaluate, prepare, run
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import (
    ALL,
    BOOL,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INT8,
    INT32,
    INT64,
    UINT8,
    DType,
)
from tritonsym.foundation.errors import LoweringError
from tritonsym.products.products import dot_parts

X = input_(0, (2, 3), FLOAT32)
Y = input_(1, (2, 3), FLOAT32)
TRUTH = input_(2, (2, 3), BOOL)
WHOLE = input_(3, (2, 3), INT64)
CUBE = input_(4, (2, 3, 4), FLOAT32)


# ---- one object for one value --------------------------------------------------------------------


def test_equal_expressions_are_one_object() -> None:
    assert input_(0, (2, 3), FLOAT32) is X
    assert X + Y is make("add", X, Y)
    assert (X + Y) * 2 is (X + Y) * 2.0
    assert expr.reduce("sum", CUBE, (2, 0)) is expr.reduce("sum", CUBE, (0, 2))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (X + Y, Y + X),
        (X + Y, X - Y),
        (X, input_(0, (3, 2), FLOAT32)),
        (X, input_(0, (2, 3), FLOAT64)),
        (X * 0.0, X * -0.0),
        (constant(1, INT64), constant(1, INT32)),
        (constant(1, INT64), constant(True, BOOL)),
        (constant(math.nan, FLOAT32), constant(math.inf, FLOAT32)),
        (expr.random((2,), FLOAT32, 0), expr.random((2,), FLOAT32, 1)),
        (expr.dot(X, Y, True, False), expr.dot(X, Y, False, True)),
    ],
)
def test_different_expressions_are_different_objects(one: Expr, other: Expr) -> None:
    assert one is not other


def test_nan_is_one_constant() -> None:
    assert constant(math.nan, FLOAT32) is constant(-math.nan, FLOAT32)


def test_expressions_that_nobody_holds_are_forgotten() -> None:
    gc.collect()
    before = len(expr._interned)
    chain = X
    for number in range(1000):
        chain = chain + (1000.5 + number)
    assert len(expr._interned) >= before + 2000
    del chain
    gc.collect()
    assert len(expr._interned) == before


def test_threads_get_one_object() -> None:
    found: list[Expr] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        chain = X
        for number in range(300):
            chain = make("add", chain, constant(number + 0.25, FLOAT32))
        found.append(chain)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_an_expression_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        X.shape = (1,)  # type: ignore[misc]
    with pytest.raises(KeyError):
        X["value"]


# ---- shapes and dtypes are those of the values ---------------------------------------------------

FLOATS = (
    "floor ceil trunc round rint exp expm1 log log2 log10 log1p sqrt rsqrt cbrt sigmoid erf sin "
    "cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh gammaln"
)
ONE, TWO = constant(1, INT8), constant(2, INT8)
SAMPLES: dict[str, list[Expr]] = {
    **{name: [make(name, X), make(name, WHOLE)] for name in ("neg", "abs", "sign")},
    **{
        name: [make(name, X, Y), make(name, WHOLE, WHOLE), make(name, X, constant(2, FLOAT32))]
        for name in ("add", "sub", "mul", "div", "mod", "pow", "maximum", "minimum")
    },
    **{name: [make(name, X)] for name in FLOATS.split()},
    "hypot": [make("hypot", X, Y)],
    **{name: [make(name, X, Y)] for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{name: [make(name, TRUTH, TRUTH)] for name in ("and", "or")},
    "not": [make("not", TRUTH)],
    "where": [make("where", TRUTH, X, Y), make("where", TRUTH, ONE, TWO)],
    "cast": [make("cast", X, dtype=dtype) for dtype in ALL if dtype is not FLOAT32],
    **{
        name: [
            make(name, CUBE, axes=(1,)),
            make(name, CUBE, axes=(0, 2)),
            make(name, WHOLE, axes=(0,)),
        ]
        for name in ("sum", "prod", "max", "min")
    },
    **{name: [make(name, CUBE, axes=(1,))] for name in ("argmax", "argmin")},
    "reshape": [make("reshape", CUBE, shape=(4, 6)), make("reshape", CUBE, shape=(1, 24, 1))],
    "permute": [make("permute", CUBE, axes=(2, 0, 1))],
    "expand": [make("expand", input_(5, (1, 3), FLOAT32), shape=(4, 3))],
    "slice": [make("slice", CUBE, starts=(0, 1, 0), stops=(2, 3, 4), steps=(1, 1, 3))],
    "flip": [expr.flip(CUBE, (2, 0))],
    "concat": [expr.concat([X, Y, X], 1)],
    "dot": [
        expr.dot(X, Y, transpose_b=True),
        expr.dot(X, Y, transpose_a=True),
        expr.dot(CUBE, CUBE, transpose_b=True),
        expr.dot(WHOLE, WHOLE, transpose_b=True),
    ],
    "dot_parts": [
        dot_parts(expr.dot(X, Y, transpose_b=True), "ieee", 2),
        dot_parts(expr.dot(CUBE, CUBE, transpose_a=True), "ieee", 1),
        dot_parts(expr.dot(WHOLE, WHOLE, transpose_b=True), "ieee", 3),
    ],
    "take": [expr.take(CUBE, input_(6, (2, 2), INT64), 1)],
    "pick": [expr.pick(X, input_(7, (2, 1), INT64), 1)],
    "take_add": [expr.take_add(CUBE, input_(8, (3,), INT64), 1, 5)],
    "pick_add": [expr.pick_add(X, input_(9, (2, 3), INT64), 1, 4)],
    "argsort": [expr.argsort(X, 1, descending=False), expr.argsort(X, 0, descending=True)],
    "iota": [expr.iota((2, 3), 1)],
    "random": [expr.random((2, 3), FLOAT64, 0)],
    "constant": [constant(1.5, FLOAT16)],
    "draw": [expr.draw()],
    "input": [X],
    "native": [
        make(
            "native",
            X,
            function=lambda attributes, inputs, out: lambda: out.copy_(inputs[0]),
            name="copy",
            attributes=None,
            elementwise=True,
            shape=(2, 3),
            dtype=FLOAT32,
        )
    ],
}  # fmt: skip


def bound(outputs: list[Expr]) -> list[torch.Tensor]:
    """Tensors for the inputs of expressions: small numbers that every primitive can take."""
    inputs = {x.integer("index"): x for x in toposort(outputs) if x.primitive == "input"}
    shapes = [inputs.get(n, X) for n in range(max(inputs, default=0) + 1)]
    return [torch.ones(x.shape, dtype=x.dtype.torch) for x in shapes]


def test_there_is_a_sample_of_every_primitive() -> None:
    assert set(SAMPLES) == set(expr.RULES)


@pytest.mark.parametrize("primitive", SAMPLES)
def test_values_have_the_shape_and_dtype_of_their_expression(primitive: str) -> None:
    for x in SAMPLES[primitive]:
        assert x.primitive == primitive
        if primitive not in expr.SOURCES:
            # A call with `out` of another shape or dtype would resize it, or raise.
            out = torch.empty(x.shape, dtype=x.dtype.torch)
            sources = run(list(x.inputs), bound([x]), RandomState(0))
            prepare(x, sources, out)()
            assert tuple(out.shape) == x.shape
        (value,) = run([x], bound([x]), RandomState(0))
        assert (tuple(value.shape), value.dtype) == (x.shape, x.dtype.torch)


@pytest.mark.parametrize("primitive", sorted(expr.ELEMENTWISE))
def test_elementwise_primitives_are_elementwise(primitive: str) -> None:
    assert all(x.is_elementwise for x in SAMPLES[primitive])


def test_everything_else_is_not() -> None:
    others = set(SAMPLES) - expr.ELEMENTWISE - {"native"}
    assert not any(x.is_elementwise for name in others for x in SAMPLES[name])


# ---- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: X + WHOLE, r"different dtypes \(float32\[2, 3\], int64\[2, 3\]\).*cast"),
        (lambda: make("add", X, CUBE), r"different shapes \(float32\[2, 3\], float32\[2, 3, 4\]\)"),
        (lambda: X + CUBE, r"shapes \(2, 3\) and \(2, 3, 4\) cannot be broadcast"),
        (lambda: make("exp", WHOLE), "floating-point"),
        (lambda: make("and", X, TRUTH), "different dtypes"),
        (lambda: make("not", X), "bool"),
        (lambda: expr.where(X, X, Y), "bool condition"),
        (lambda: expr.where(TRUTH, X, WHOLE), "different dtypes"),
        (lambda: expr.reshape(X, (4,)), "array of size 6 into shape"),
        (lambda: expr.permute(X, (0, 0)), "no permutation"),
        (lambda: make("expand", X, shape=(4, 3)), "cannot broadcast"),
        (lambda: make("expand", X, shape=(1, 2, 3)), "cannot broadcast"),
        (lambda: expr.concat([X, CUBE], 0), "agree in every axis"),
        (lambda: expr.concat([X, expr.cast(Y, FLOAT16)], 0), "different dtypes"),
        (lambda: expr.dot(X, Y), "contracted lengths are 3 and 2"),
        (lambda: expr.dot(CUBE, input_(9, (3, 4, 5), FLOAT32)), "cannot multiply"),
    ],
)
def test_what_does_not_fit_is_refused(wrong: Callable[[], Expr], message: str) -> None:
    with pytest.raises(LoweringError, match=message):
        wrong()


# ---- constants -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (1.9, INT32, 1),
        (-1.9, INT32, -1),
        (300, UINT8, 44),
        (-1, UINT8, 255),
        (200, INT8, -56),
        (2**31, INT32, -(2**31)),
        (math.inf, INT32, -(2**31)),
        (math.nan, INT64, -(2**63)),
        (2**62, INT64, 2**62),
        (0.1, FLOAT32, float(np.float32(0.1))),
        (0.1, FLOAT16, float(np.float16(0.1))),
        (0.1, FLOAT64, 0.1),
        (1e300, FLOAT32, math.inf),
        (70000, FLOAT16, math.inf),
        (1e-45, FLOAT32, float(np.float32(1e-45))),
        (0.5, BOOL, 1),
        (0, BOOL, 0),
    ],
)
def test_constants_are_converted_as_c_does_it(value: float, dtype: DType, expected: float) -> None:
    made = constant(value, dtype)
    assert constant_value(made) == expected
    assert made.shape == ()
    assert run([made], [], RandomState(0))[0].item() == expected


def test_zeros_keep_their_sign() -> None:
    assert math.copysign(1, constant_value(constant(-0.0, FLOAT32))) == -1
    assert math.copysign(1, constant_value(constant(0.0, FLOAT32))) == 1
    assert constant_value(constant(-0.0, INT32)) == 0


# ---- what is left out because it does nothing ----------------------------------------------------


@pytest.mark.parametrize(
    "same",
    [
        lambda: expr.reshape(X, (2, 3)),
        lambda: expr.reshape(expr.reshape(X, (6,)), (2, 3)),
        lambda: expr.permute(X, (0, 1)),
        lambda: expr.slice_(X, (0, 0), (2, 3), (1, 1)),
        lambda: expr.narrow(X, 1, 0, 3),
        lambda: expr.cast(X, FLOAT32),
        lambda: expr.broadcast(X, (2, 3)),
        lambda: expr.flip(X, ()),
        lambda: expr.concat([X], 0),
        lambda: expr.reduce("sum", X, ()),
    ],
)
def test_what_changes_nothing_is_the_value_itself(same: Callable[[], Expr]) -> None:
    assert same() is X


def test_a_reshape_of_a_reshape_is_one() -> None:
    assert expr.reshape(expr.reshape(CUBE, (24,)), (4, 6)).inputs == (CUBE,)


# ---- broadcasting --------------------------------------------------------------------------------

shapes = strategies.lists(strategies.integers(1, 3), min_size=1, max_size=4).map(tuple)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(shapes, shapes)
def test_binary_functions_broadcast_as_numpy_does(one: Shape, other: Shape) -> None:
    left = torch.arange(math.prod(one), dtype=torch.float32).view(one)
    right = torch.arange(math.prod(other), dtype=torch.float32).view(other) + 100
    try:
        expected = left - right
    except RuntimeError:
        with pytest.raises(LoweringError, match="cannot be broadcast"):
            _ = input_(0, one, FLOAT32) - input_(1, other, FLOAT32)
        return
    difference = input_(0, one, FLOAT32) - input_(1, other, FLOAT32)
    assert difference.shape == tuple(expected.shape)
    assert torch.equal(run([difference], [left, right], RandomState(0))[0], expected)


def test_numbers_take_the_dtype_of_the_expression() -> None:
    assert (WHOLE + 1.75).inputs[1] is constant(1, INT64)
    assert (2 - X).inputs == (constant(2, FLOAT32), X)
    assert expr.maximum(0, X).inputs[0] is constant(0, FLOAT32)


# ---- order ---------------------------------------------------------------------------------------


def check_order(order: list[Expr], outputs: list[Expr]) -> None:
    position = {x: number for number, x in enumerate(order)}
    assert len(position) == len(order)
    assert all(position[y] < position[x] for x in order for y in x.inputs)
    assert all(output in position for output in outputs)


def test_toposort_puts_inputs_first_from_left_to_right() -> None:
    a, b = X + 1, Y * 2
    assert toposort([a - b]) == [X, constant(1, FLOAT32), a, Y, constant(2, FLOAT32), b, a - b]
    assert toposort([b, a, b])[:3] == [Y, constant(2, FLOAT32), b]


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(strategies.data())
def test_toposort_orders_any_graph(data: strategies.DataObject) -> None:
    values = [X, Y]
    for _ in range(data.draw(strategies.integers(1, 30))):
        pick = strategies.sampled_from(values)
        values.append(make("add", data.draw(pick), data.draw(pick)))
    outputs = data.draw(strategies.lists(strategies.sampled_from(values), min_size=1, max_size=4))
    order = toposort(outputs)
    check_order(order, outputs)
    needed: set[Expr] = set()
    waiting = list(outputs)
    while waiting:
        x = waiting.pop()
        if x not in needed:
            needed.add(x)
            waiting.extend(x.inputs)
    assert set(order) == needed


def test_toposort_needs_no_deep_stack_and_no_long_time() -> None:
    deep = X
    for _ in range(20_000):
        deep = make("neg", deep)
    check_order(toposort([deep]), [deep])
    doubled = X
    for _ in range(100):
        doubled = doubled + doubled  # 2**100 paths
    assert len(toposort([doubled])) == 101


def test_a_result_that_others_are_computed_from_is_kept() -> None:
    x = input_(0, (2,), FLOAT32)
    first = x * 2
    found = run([first, first + 1, first], [torch.tensor([1.0, 3.0])], RandomState(1))
    assert [value.tolist() for value in found] == [[2.0, 6.0], [3.0, 7.0], [2.0, 6.0]]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(3, 5, 7), (4, 300, 200), (1, 1, 1)])
def test_narrow_indices_are_those_of_64_bits(axis: int, shape: tuple[int, ...]) -> None:
    """They are converted in parts, of which the larger arrays have several."""
    random = np.random.RandomState(axis)
    length = shape[axis] + 4
    values = torch.from_numpy(random.randint(-9, 9, shape).astype("float32"))
    places = torch.from_numpy(random.randint(0, length, shape).astype("int64"))
    found = []
    for indices in (places, places.int()):
        index = input_(1, shape, INT64 if indices is places else INT32)
        x = expr.pick_add(input_(0, shape, FLOAT32), index, axis, length)
        found.append(evaluate(x, [values, indices]))
    due = np.zeros(x.shape, "float32")
    where = list(np.indices(shape))
    where[axis] = places.numpy()
    np.add.at(due, tuple(where), values.numpy())
    assert torch.equal(*found) and np.array_equal(found[1].numpy(), due)
