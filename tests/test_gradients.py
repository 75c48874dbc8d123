"""Gradients: passes, requests, memory, second order, and central differences on whole graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import tritonsym as mx
from memory_checker import check_plan

Values = dict[str, np.ndarray[Any, Any]]

# Of central differences in float64 with a step of 1e-5: the step's square, and rounding over it.
RELATIVE, ABSOLUTE, STEP = 1e-6, 1e-7, 1e-5


def variables(names: str) -> list[mx.Symbol]:
    return [mx.sym.Variable(name) for name in names.split()]


def random_values(**shapes: tuple[int, ...]) -> Values:
    random = np.random.RandomState(7)
    return {name: random.uniform(0.4, 1.6, shape) for name, shape in shapes.items()}


def arrays(values: Mapping[str, Any], context: mx.Context) -> dict[str, mx.nd.NDArray]:
    return {k: mx.nd.array(v, ctx=context, dtype=v.dtype) for k, v in values.items()}


def gradients(
    symbol: mx.Symbol, values: Values, heads: list[Any], context: mx.Context, train: bool = True
) -> Values:
    """The gradient of every argument, into memory that held NaN."""
    bound = arrays(values, context)
    into = arrays({k: np.full_like(v, np.nan) for k, v in values.items()}, context)
    executor = symbol.bind(context, bound, into)
    executor.forward(is_train=train)
    executor.backward([mx.nd.array(h, ctx=context, dtype=h.dtype) for h in heads])
    for passed in executor._training.values():
        check_plan(passed.plan)
    return {name: array.asnumpy() for name, array in into.items()}


# ---- against central differences -----------------------------------------------------------------


def perceptron() -> mx.Symbol:
    hidden = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=4, name="one")
    hidden = mx.sym.Activation(hidden, act_type="tanh")
    return mx.sym.softmax(mx.sym.FullyConnected(hidden, num_hidden=3, name="two"))


def layer_norm() -> mx.Symbol:
    x, gamma = variables("x gamma")
    centred = mx.sym.broadcast_sub(x, mx.sym.mean(x, axis=1, keepdims=True))
    variance = mx.sym.mean(mx.sym.square(centred), axis=1, keepdims=True)
    return mx.sym.broadcast_mul(mx.sym.broadcast_mul(centred, mx.sym.rsqrt(variance + 0.1)), gamma)


def attention() -> mx.Symbol:
    q, k, v = variables("q k v")
    weights = mx.sym.softmax(mx.sym.batch_dot(q, k, transpose_b=True) * 0.5)
    return mx.sym.batch_dot(weights, v)


def moved() -> mx.Symbol:
    x, y = variables("x y")
    parts = mx.sym.SliceChannel(mx.sym.transpose(x), num_outputs=2, axis=0)
    joined = mx.sym.Concat(parts[1], mx.sym.reverse(parts[0], axis=1), y, dim=0)
    cut = mx.sym.slice(joined, begin=(0, 0), end=(None, None), step=(2, 1))
    return mx.sym.tile(mx.sym.square(cut), reps=(1, 2)) * 2


def shared() -> mx.Symbol:
    """One variable in many places, some of them several times in one operator."""
    (x,) = variables("x")
    y = mx.sym.exp(x)
    return mx.sym.Group([x * x + y * y, mx.sym.broadcast_maximum(y, x) + x, x])


def looked_up() -> mx.Symbol:
    table = mx.sym.Variable("table")
    rows = mx.sym.take(table, mx.sym._internal._arange(start=0, stop=4) * 0.6)
    return mx.sym.norm(rows, axis=1)


GRAPHS: dict[str, tuple[Callable[[], mx.Symbol], dict[str, tuple[int, ...]]]] = {
    "perceptron": (
        perceptron,
        {
            "data": (5, 6),
            "one_weight": (4, 6),
            "one_bias": (4,),
            "two_weight": (3, 4),
            "two_bias": (3,),
        },
    ),
    "layer norm": (layer_norm, {"x": (3, 7), "gamma": (1, 7)}),
    "attention": (attention, {"q": (2, 3, 4), "k": (2, 5, 4), "v": (2, 5, 2)}),
    "moved": (moved, {"x": (3, 4), "y": (1, 3)}),
    "shared": (shared, {"x": (2, 3)}),
    "looked up": (looked_up, {"table": (4, 3)}),
}


def central_differences(symbol: mx.Symbol, values: Values, heads: list[Any]) -> Values:
    """The derivative of the sum of heads times outputs, on the CPU."""
    bound = arrays(values, mx.cpu())
    executor = symbol.bind(mx.cpu(), bound)

    def total() -> float:
        outputs = executor.forward()
        return sum(float((h * o.asnumpy()).sum()) for h, o in zip(heads, outputs, strict=True))

    found = {}
    for name, value in values.items():
        slopes = np.empty_like(value)
        for place in np.ndindex(value.shape):
            ends = []
            for step in (STEP, -STEP):
                moved = value.copy()
                moved[place] += step
                bound[name][:] = mx.nd.array(moved, dtype=moved.dtype)
                ends.append(total())
            slopes[place] = (ends[0] - ends[1]) / (2 * STEP)
        bound[name][:] = mx.nd.array(value, dtype=value.dtype)
        found[name] = slopes
    return found


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("train", [True, False])
def test_gradients_are_central_differences(name: str, train: bool, context: mx.Context) -> None:
    build, shapes = GRAPHS[name]
    symbol, values = build(), random_values(**shapes)
    _, outputs, _ = symbol.infer_shape(**shapes)
    random = np.random.RandomState(3)
    heads = [random.uniform(-1, 1, shape) for shape in outputs]
    found = gradients(symbol, values, heads, context, train)
    for argument, expected in central_differences(symbol, values, heads).items():
        np.testing.assert_allclose(found[argument], expected, RELATIVE, ABSOLUTE, err_msg=argument)


@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_of_gradients_are_central_differences(name: str, context: mx.Context) -> None:
    """`symbol.grad` gives a symbol whose own gradients are those of the second order."""
    build, shapes = GRAPHS[name]
    symbol, values = build(), random_values(**shapes)
    first = symbol.grad(list(shapes))
    assert first.list_arguments() == symbol.list_arguments()
    _, outputs, _ = first.infer_shape(**shapes)
    assert outputs == list(shapes.values())
    random = np.random.RandomState(5)
    heads = [random.uniform(-1, 1, shape) for shape in outputs]
    found = gradients(first, values, heads, context)
    for argument, expected in central_differences(first, values, heads).items():
        np.testing.assert_allclose(found[argument], expected, RELATIVE, ABSOLUTE, err_msg=argument)


def test_a_gradient_is_a_symbol_that_can_be_saved() -> None:
    symbol = perceptron().grad(["one_weight"])
    again = mx.sym.load_json(symbol.tojson())
    assert again.tojson() == symbol.tojson()
    shapes = GRAPHS["perceptron"][1]
    values = arrays(random_values(**shapes), mx.cpu())
    (one,), (other,) = symbol.eval(**values), again.eval(**values)
    assert np.array_equal(one.asnumpy(), other.asnumpy())


@pytest.mark.parametrize("wrt", [["zz"], ["data", "zz"], "zz"])
def test_a_gradient_by_what_is_no_argument_is_refused(wrt: Any) -> None:
    with pytest.raises(ValueError, match=r"zz is no argument.*one_weight"):
        perceptron().grad(wrt)


@pytest.mark.parametrize("wrt", [3, None, [3]])
def test_a_gradient_by_no_name_is_refused(wrt: Any) -> None:
    with pytest.raises(TypeError, match="names of arguments"):
        perceptron().grad(wrt)


# ---- passes --------------------------------------------------------------------------------------


def squares(context: mx.Context, request: Any = "write") -> tuple[Any, mx.nd.NDArray]:
    x, y = variables("x y")
    bound = arrays({"x": np.array([1.0, 2.0]), "y": np.array([3.0, 4.0])}, context)
    into = arrays({"x": np.array([10.0, 10.0]), "y": np.array([20.0, 20.0])}, context)
    return (mx.sym.sin(x * y) + x).bind(context, bound, into, request), into


def head(context: mx.Context, *values: float) -> mx.nd.NDArray:
    return mx.nd.array(values, ctx=context, dtype="float64")


def test_backward_twice_is_the_same(context: mx.Context) -> None:
    executor, into = squares(context)
    executor.forward(is_train=True)
    executor.backward(head(context, 1, 1))
    first = into["x"].asnumpy()
    executor.backward(head(context, 1, 1))
    assert np.array_equal(into["x"].asnumpy(), first)
    executor.backward(head(context, 2, 2))
    np.testing.assert_allclose(into["x"].asnumpy(), 2 * first, rtol=1e-15)


def test_passes_follow_the_arrays(context: mx.Context) -> None:
    """Each backward pass belongs to the forward pass before it, in either mode."""
    executor, into = squares(context)
    for value in (0.5, -1.5):
        for train in (True, False, True):
            executor.forward(is_train=train, x=head(context, value, value))
            executor.backward(head(context, 1, 1))
            y = np.array([3.0, 4.0])
            np.testing.assert_allclose(into["x"].asnumpy(), y * np.cos(value * y) + 1)
            outputs = executor.outputs[0].asnumpy()
            np.testing.assert_allclose(outputs, np.sin(value * y) + value)


@pytest.mark.parametrize("request_", ["write", "add", "null", {"y": "add"}, ["add", "null"]])
def test_requests(request_: Any, context: mx.Context) -> None:
    executor, into = squares(context, request_)
    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    slopes = {"x": y * np.cos(x * y) + 1, "y": x * np.cos(x * y)}
    before = {"x": 10.0, "y": 20.0}
    expected = {name: np.full(2, start) for name, start in before.items()}
    for _ in range(3):
        executor.forward(is_train=True)
        executor.backward(head(context, 1, 1))
        for name, slope in slopes.items():
            match executor._grad_req[name]:
                case "write":
                    expected[name] = slope
                case "add":
                    expected[name] = expected[name] + slope
    for name, array in into.items():
        np.testing.assert_allclose(array.asnumpy(), expected[name], rtol=1e-14)
    assert executor.grad_dict == {"x": into["x"], "y": into["y"]}


def test_one_array_for_two_gradients_holds_the_last(context: mx.Context) -> None:
    x, y = variables("x y")
    one = mx.nd.zeros((2,), ctx=context, dtype="float64")
    bound = arrays({"x": np.array([1.0, 2.0]), "y": np.array([3.0, 4.0])}, context)
    executor = (x * y).bind(context, bound, {"x": one, "y": one})
    executor.forward(is_train=True)
    executor.backward(head(context, 1, 1))
    assert one.asnumpy().tolist() == [1.0, 2.0]


@pytest.mark.parametrize("request_", ["write", "add"])
def test_a_gradient_may_lie_in_the_memory_of_its_argument(
    request_: str, context: mx.Context
) -> None:
    """Nothing is overwritten before everything has been read."""
    x, y = variables("x y")
    bound = arrays({"x": np.array([1.0, 2.0]), "y": np.array([3.0, 4.0])}, context)
    executor = (x * y).bind(context, bound, dict(bound), request_)
    executor.forward(is_train=True)
    executor.backward(head(context, 1, 1))
    added = request_ == "add"
    assert bound["x"].asnumpy().tolist() == [3.0 + added * 1, 4.0 + added * 2]
    assert bound["y"].asnumpy().tolist() == [1.0 + added * 3, 2.0 + added * 4]


def test_a_gradient_may_be_a_view(context: mx.Context) -> None:
    (x,) = variables("x")
    whole = mx.nd.zeros((3, 2), ctx=context, dtype="float64")
    executor = (x * x).bind(context, [head(context, 3, 4)], [whole[1]])
    executor.forward(is_train=True)
    executor.backward(head(context, 1, 1))
    assert whole.asnumpy().tolist() == [[0, 0], [6, 8], [0, 0]]


def test_what_is_blocked_has_a_zero_gradient(context: mx.Context) -> None:
    x, y = variables("x y")
    symbol = mx.sym.BlockGrad(x) * y
    into = arrays({"x": np.array([7.0]), "y": np.array([7.0])}, context)
    executor = symbol.bind(context, [head(context, 2), head(context, 3)], into)
    executor.forward(is_train=True)
    executor.backward(head(context, 1))
    assert [into["x"].asscalar(), into["y"].asscalar()] == [0.0, 2.0]


def test_a_loss_needs_no_head_and_ignores_one(context: mx.Context) -> None:
    (x,) = variables("x")
    symbol = mx.sym.Group([mx.sym.MakeLoss(x * x), x * 3])
    into = [head(context, 0, 0)]
    executor = symbol.bind(context, [head(context, 1, 2)], into)
    executor.forward(is_train=True)
    with pytest.raises(mx.MXNetError, match=r"output _mul.*is missing.*make_loss"):
        executor.backward()
    assert into[0].asnumpy().tolist() == [0, 0]
    executor.backward([None, head(context, 1, 1)])
    assert into[0].asnumpy().tolist() == [5, 7]
    executor.backward([head(context, 9, 9), head(context, 0, 0)])
    assert into[0].asnumpy().tolist() == [2, 4]


WRONG_HEADS: dict[str, tuple[Any, type[Exception], str]] = {
    "shape": (lambda c: head(c, 1, 1, 1), mx.MXNetError, r"shape mismatch.*\(3,\).*\(2,\)"),
    "number": (lambda c: 1.0, TypeError, "NDArrays, got 1.0"),
    "list of numbers": (lambda c: [1.0], TypeError, "NDArrays"),
    "nothing": (lambda c: None, mx.MXNetError, "missing"),
    "an empty dict": (lambda c: {}, mx.MXNetError, "missing"),
    "another name": (lambda c: {"zz": head(c, 1, 1)}, mx.MXNetError, "names zz, no outputs"),
}


@pytest.mark.parametrize("case", WRONG_HEADS)
def test_wrong_heads_change_nothing(case: str, context: mx.Context) -> None:
    given, kind, message = WRONG_HEADS[case]
    executor, into = squares(context)
    executor.forward(is_train=True)
    with pytest.raises(kind, match=message):
        executor.backward(given(context))
    assert into["x"].asnumpy().tolist() == [10, 10]
    executor.backward(head(context, 1, 1))
    assert into["x"].asnumpy().tolist() != [10, 10]


def test_without_gradient_arrays_backward_does_nothing(context: mx.Context) -> None:
    (x,) = variables("x")
    executor = (x * x).bind(context, [head(context, 1, 2)])
    executor.forward(is_train=True)
    executor.backward()
    assert executor.grad_arrays is None


def test_integers_have_integer_gradients(context: mx.Context) -> None:
    x, y = variables("x y")
    bound = [mx.nd.array(v, ctx=context, dtype="int32") for v in ([2, 3], [5, 7])]
    into = [mx.nd.zeros((2,), ctx=context, dtype="int32") for _ in bound]
    executor = (x * y).bind(context, bound, into)
    executor.forward(is_train=True)
    executor.backward(mx.nd.array([1, 2], ctx=context, dtype="int32"))
    assert [array.asnumpy().tolist() for array in into] == [[5, 14], [2, 6]]


def test_simple_bind_makes_gradients(context: mx.Context) -> None:
    executor = perceptron().simple_bind(context, data=(2, 6), grad_req={"one_weight": "write"})
    assert [n for n, g in executor.grad_dict.items() if g is not None] == ["one_weight"]
    for array in executor.arg_arrays:
        array[:] = 0.5
    executor.forward(is_train=True)
    executor.backward(mx.nd.ones((2, 3), ctx=context))
    # Every row of a softmax sums to one, whatever its arguments are.
    assert np.abs(executor.grad_dict["one_weight"].asnumpy()).max() < 1e-6


def test_reshape_keeps_gradients_and_requests(context: mx.Context) -> None:
    executor = perceptron().simple_bind(context, data=(2, 6))
    for array in executor.arg_arrays:
        array[:] = 0.25
    larger = executor.reshape(data=(4, 6), allow_up_sizing=True)
    larger.forward(is_train=True)
    heads = np.zeros((4, 3), "float32")
    heads[:, 0] = 1
    larger.backward(mx.nd.array(heads, ctx=context))
    assert larger.grad_dict["data"].shape == (4, 6)
    assert larger.grad_dict["one_weight"] is executor.grad_dict["one_weight"]
    assert np.isfinite(larger.grad_dict["two_weight"].asnumpy()).all()


def test_a_long_chain_has_a_gradient() -> None:
    """No recursion: ten thousand operators deep."""
    (x,) = variables("x")
    y = x
    for _ in range(10_000):
        y = y + 1
    into = [mx.nd.zeros((1,))]
    executor = y.bind(mx.cpu(), [mx.nd.zeros((1,))], into)
    executor.forward(is_train=True)
    executor.backward(mx.nd.ones((1,)))
    assert into[0].asscalar() == 1
