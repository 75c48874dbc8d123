"""Every rewrite keeps every bit: on special values, in all dtypes, and in random graphs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import HealthCheck, given, note, settings

from graphs import Example, examples
from test_planned_equals_node_by_node import assert_same_bits
from tritonsym.expressions import expr
from tritonsym.expressions.expr import Expr, cast, constant, full, input_, make, where
from tritonsym.expressions.philox import RandomState
from tritonsym.expressions.reference import run
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import ALL, BOOL, FLOAT32, DType, as_dtype
from tritonsym.graph.infer import infer_shapes
from tritonsym.graph.node import toposort as toposort_nodes
from tritonsym.graph.trace import Graph, trace
from tritonsym.rewrites.simplify import simplify

SHAPE = (4, 8)
FLOATS = [dtype for dtype in ALL if dtype.is_float]
NUMBERS = [dtype for dtype in ALL if dtype is not BOOL]


def special(dtype: DType, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """Zeros, ones, extremes, subnormals, infinities, NaN of both signs; then ordinary numbers."""
    count = int(torch.tensor(shape).prod())
    if dtype is BOOL:
        return torch.arange(count).remainder(2).bool().reshape(shape)
    if dtype.is_float:
        info = torch.finfo(dtype.torch)
        smallest = info.smallest_normal * info.eps
        edges = [0.0, 1.0, 0.5, 1.5, 2.5, info.max, info.smallest_normal, smallest, float("inf")]
        values = [*edges, *(-value for value in edges), float("nan"), 300.7, -70000.3, 3e9, 1e20]
    else:
        limits = torch.iinfo(dtype.torch)
        values = [0, 1, 2, 3, limits.max, limits.min, limits.max - 1, limits.min + 1, 100, 7]
    pool = itertools.islice(itertools.cycle(values), count)
    wide = torch.float64 if dtype.is_float else torch.int64
    tensor = torch.tensor([*pool], dtype=wide).to(dtype.torch).reshape(shape)
    if dtype.is_float:
        tensor[-1, -1] = -tensor[0, 0] * float("nan")
    return tensor


def simplified(x: Expr) -> Expr:
    (result,) = simplify(Graph((x,), {})).outputs
    return result


def agree(x: Expr, inputs: Sequence[torch.Tensor]) -> Expr:
    """The simplified expression, which gives the same bits."""
    result = simplified(x)
    assert (result.shape, result.dtype) == (x.shape, x.dtype)
    before, after = (run([y], inputs, RandomState(1)) for y in (x, result))
    assert_same_bits(after, before, repr(result))
    return result


# Each makes of an array something that is the array itself.
NOTHING: dict[str, Callable[[Expr], Expr]] = {
    "x * 1": lambda x: x * 1,
    "1 * x": lambda x: 1 * x,
    "x / 1": lambda x: x / 1,
    "x - 0": lambda x: x - 0.0,
    "x + -0": lambda x: x + -0.0,
    "-0 + x": lambda x: -0.0 + x,
    "x * ones": lambda x: x * full(1, x.shape, x.dtype),
    "twice negated": lambda x: make("neg", -x),
    "where(c, x, x)": lambda x: where(cast(x, BOOL), x, x),
    "reshape of reshape": lambda x: expr.reshape(make("reshape", x, shape=(32,)), x.shape),
    "transposed twice": lambda x: make("permute", expr.permute(x, (1, 0)), axes=(1, 0)),
}


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
@pytest.mark.parametrize("name", NOTHING)
def test_what_changes_nothing_goes(name: str, dtype: DType) -> None:
    x = input_(0, SHAPE, dtype)
    assert agree(NOTHING[name](x), [special(dtype)]) is x


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_what_changes_a_zero_stays(dtype: DType) -> None:
    x = input_(0, SHAPE, dtype)
    for changed in (x + 0.0, 0.0 + x, x - constant(-0.0, dtype), 0.0 - x, x * 0.0):
        assert agree(changed, [special(dtype)]) is changed


@pytest.mark.parametrize("first", ALL, ids=str)
def test_conversions_of_conversions(first: DType) -> None:
    x = input_(0, SHAPE, first)
    for middle, last in itertools.product(ALL, ALL):
        agree(cast(cast(x, middle), last), [special(first)])


def test_a_conversion_there_and_back_goes() -> None:
    for narrow, wide in (("float16", "float32"), ("int8", "int64"), ("bool", "float32")):
        x = input_(0, SHAPE, as_dtype(narrow))
        assert simplified(cast(cast(x, as_dtype(wide)), x.dtype)) is x
    x = input_(0, SHAPE, FLOAT32)
    rounded = cast(cast(x, as_dtype("float16")), FLOAT32)
    assert simplified(rounded) is rounded


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_a_truth_value_by_way_of_a_number(dtype: DType) -> None:
    x = input_(0, SHAPE, dtype)
    truth = x > 1
    assert agree(cast(truth, dtype).differs(0), [special(dtype)]) is truth
    assert agree(truth.logical_not().logical_not(), [special(dtype)]) is truth


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_constants_are_computed_before(dtype: DType) -> None:
    values = special(dtype).reshape(-1).tolist()
    numeric = ("add", "sub", "mul", "div", "maximum", "minimum", "lt", "eq")
    names = ("and", "or") if dtype is BOOL else numeric
    for name in names:
        for a, b in zip(values, reversed(values), strict=True):
            pair = [full(value, SHAPE, dtype) for value in (a, b)]
            result = agree(make(name, *pair), [])
            assert all(x.primitive in ("constant", "reshape", "expand") for x in toposort([result]))


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_a_repeated_constant_is_read_from_no_memory(dtype: DType) -> None:
    x = input_(0, SHAPE, dtype)
    result = agree(x + full(3, SHAPE, dtype), [special(dtype)])
    assert result is make("add", x, constant(3, dtype))


def test_movements_of_movements_are_one() -> None:
    x = input_(0, (6, 1, 8), FLOAT32)
    values = [torch.arange(48.0).reshape(6, 1, 8)]
    inner = expr.slice_(x, (1, 0, 0), (6, 1, 8), (2, 1, 3))
    outer = expr.slice_(inner, (1, 0, 0), (3, 1, 3), (1, 1, 2))
    assert len(toposort([agree(outer, values)])) == 2
    turned = make("permute", make("permute", x, axes=(2, 0, 1)), axes=(1, 0, 2))
    assert len(toposort([agree(turned, values)])) == 2
    once = make("expand", input_(0, (6, 1, 1), FLOAT32), shape=(6, 1, 8))
    repeated = make("expand", make("expand", once, shape=(6, 4, 8)), shape=(6, 4, 8))
    assert len(toposort([agree(repeated, [values[0][:, :, :1]])])) == 2
    assert simplified(make("permute", x, axes=(1, 0, 2))).primitive == "reshape"


def test_a_slice_of_one_part_is_of_that_part() -> None:
    shapes = [(2, 3), (2, 4), (2, 1)]
    parts = [input_(i, shape, FLOAT32) for i, shape in enumerate(shapes)]
    values = [torch.randn(shape, generator=torch.manual_seed(0)) for shape in shapes]
    whole = expr.concat(parts, 1)
    assert agree(expr.narrow(whole, 1, 3, 7), values) is parts[1]
    assert agree(expr.narrow(whole, 1, 7, 8), values) is parts[2]
    inner = agree(expr.slice_(whole, (1, 4), (2, 7), (1, 2)), values)
    assert inner is expr.slice_(parts[1], (1, 1), (2, 4), (1, 2))
    for start, stop in ((2, 4), (3, 8), (0, 7)):
        crossing = expr.narrow(whole, 1, start, stop)
        assert agree(crossing, values) is crossing
    # It skips the part between.
    skipping = expr.slice_(whole, (0, 2), (2, 8), (1, 5))
    assert agree(skipping, values) is skipping


def test_names_stay() -> None:
    """What takes the place of an expression has its names too."""
    x, y = (input_(i, SHAPE, FLOAT32) for i in range(2))
    total = x + y
    scaled = total * 1.0
    graph = simplify(Graph((scaled,), {total: ("sum",), scaled: ("scaled",)}))
    assert graph.outputs == (total,)
    assert graph.origins == {total: ("sum", "scaled")}


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(examples())
def test_graphs_keep_their_bits(example: Example) -> None:
    note(example.text)
    entries, arrays = example.symbol._entries, example.arrays
    shapes = infer_shapes(
        toposort_nodes(entries), {name: array.shape for name, array in arrays.items()}
    )
    dtypes = {name: as_dtype(array._tensor.dtype) for name, array in arrays.items()}
    graph = trace([entries], shapes, dtypes, native=False)
    smaller = simplify(graph)
    assert len(toposort(smaller.outputs)) <= len(toposort(graph.outputs)) + 2
    inputs = example.inputs
    before, after = (run(g.outputs, inputs, RandomState(3)) for g in (graph, smaller))
    assert_same_bits(after, before, "simplified")
    assert simplify(smaller).outputs == smaller.outputs, "once more changes nothing"
