"""Operators in Python, in graphs, on arrays, in files and in training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import tritonsym as mx

DATA = np.array([[-1.5, 0.0, 0.25], [2.0, -0.5, 1.0]], np.float32)
# One step of exp and one division in float32, here and there.
CLOSE = {"rtol": 1e-6, "atol": 1e-7}


def sigmoid(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return 1 / (1 + np.exp(-x))


class Sigmoid(mx.operator.CustomOp):
    """Keeps its own output, which backward needs."""

    def forward(self, is_train, req, in_data, out_data, aux):  # type: ignore[no-untyped-def]
        self.kept = sigmoid(in_data[0].asnumpy())
        self.assign(out_data[0], req[0], mx.nd.array(self.kept))

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):  # type: ignore[no-untyped-def]
        slope = mx.nd.array(self.kept * (1 - self.kept), ctx=out_grad[0].context)
        self.assign(in_grad[0], req[0], out_grad[0] * slope)


@mx.operator.register("test_sigmoid")
class SigmoidProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, in_shapes, in_dtypes):  # type: ignore[no-untyped-def]
        return Sigmoid()


class SumAndProduct(mx.operator.CustomOp):
    def __init__(self, scale: float) -> None:
        self.scale = scale

    def forward(self, is_train, req, in_data, out_data, aux):  # type: ignore[no-untyped-def]
        left, right = in_data
        self.assign(out_data[0], req[0], (left + right) * self.scale)
        self.assign(out_data[1], req[1], left * right)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):  # type: ignore[no-untyped-def]
        left, right = in_data
        self.assign(in_grad[0], req[0], out_grad[0] * self.scale + out_grad[1] * right)
        self.assign(in_grad[1], req[1], out_grad[0] * self.scale + out_grad[1] * left)


@mx.operator.register("test_sum_and_product")
class SumAndProductProp(mx.operator.CustomOpProp):
    def __init__(self, scale: str = "1") -> None:
        super().__init__()
        assert isinstance(scale, str)
        self.scale = float(scale)

    def list_arguments(self) -> Sequence[str]:
        return ["left", "right"]

    def list_outputs(self) -> Sequence[str]:
        return ["sum", "product"]

    def infer_shape(self, in_shape):  # type: ignore[no-untyped-def]
        return [in_shape[0], in_shape[0]], [in_shape[0], in_shape[0]]

    def create_operator(self, ctx, in_shapes, in_dtypes):  # type: ignore[no-untyped-def]
        return SumAndProduct(self.scale)


class Softmax(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):  # type: ignore[no-untyped-def]
        x = in_data[0].asnumpy()
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.assign(out_data[0], req[0], mx.nd.array(y / y.sum(axis=1, keepdims=True)))

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):  # type: ignore[no-untyped-def]
        label = in_data[1].asnumpy().astype(int)
        y = out_data[0].asnumpy()
        y[np.arange(len(label)), label] -= 1
        self.assign(in_grad[0], req[0], mx.nd.array(y))


@mx.operator.register("test_softmax")
class SoftmaxProp(mx.operator.CustomOpProp):
    def __init__(self) -> None:
        super().__init__(need_top_grad=False)

    def list_arguments(self) -> Sequence[str]:
        return ["data", "label"]

    def infer_shape(self, in_shape):  # type: ignore[no-untyped-def]
        return [in_shape[0], (in_shape[0][0],)], [in_shape[0]], []

    def create_operator(self, ctx, in_shapes, in_dtypes):  # type: ignore[no-untyped-def]
        return Softmax()


class Counting(mx.operator.CustomOp):
    """Adds its state, which counts the runs of training."""

    def forward(self, is_train, req, in_data, out_data, aux):  # type: ignore[no-untyped-def]
        self.assign(out_data[0], req[0], in_data[0] + aux[0])
        if is_train:
            aux[0][:] = aux[0] + 1

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):  # type: ignore[no-untyped-def]
        self.assign(in_grad[0], req[0], out_grad[0])


@mx.operator.register("test_counting")
class CountingProp(mx.operator.CustomOpProp):
    def list_auxiliary_states(self) -> Sequence[str]:
        return ["count"]

    def infer_shape(self, in_shape):  # type: ignore[no-untyped-def]
        return in_shape, [in_shape[0]], [(1,) * len(in_shape[0])]

    def create_operator(self, ctx, in_shapes, in_dtypes):  # type: ignore[no-untyped-def]
        return Counting()


class Failing(Sigmoid):
    """Raises where it is told to."""

    place = ""

    def forward(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        if self.place == "forward":
            raise ValueError("not today")
        super().forward(*args, **kwargs)

    def backward(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        if self.place == "backward":
            raise KeyError("not today")
        super().backward(*args, **kwargs)


@mx.operator.register("test_failing")
class FailingProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, in_shapes, in_dtypes):  # type: ignore[no-untyped-def]
        return Failing()


def array(values: Any, context: mx.Context) -> mx.nd.NDArray:
    return mx.nd.array(np.asarray(values, np.float32), ctx=context)


# ---- values and gradients ------------------------------------------------------------------------


def test_a_sigmoid_within_a_graph(context: mx.Context) -> None:
    x = mx.sym.Variable("x")
    y = mx.sym.Custom(x * 2, op_type="test_sigmoid", name="s") + 1
    executor = y.bind(context, {"x": array(DATA, context)}, {"x": array(DATA * 0, context)})
    head = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    expected = sigmoid(2 * DATA)
    # In inference the gradients are asked for as well.
    for train in (True, False, True):
        out = executor.forward(is_train=train)[0].asnumpy()
        np.testing.assert_allclose(out, expected + 1, **CLOSE)
        executor.backward(array(head, context))
        np.testing.assert_allclose(
            executor.grad_dict["x"].asnumpy(), head * expected * (1 - expected) * 2, **CLOSE
        )


def test_two_outputs_and_a_parameter(context: mx.Context) -> None:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    y = mx.sym.Custom(right=b, left=a, op_type="test_sum_and_product", scale=0.5, name="two")
    assert y.list_arguments() == ["a", "b"]
    assert y.list_outputs() == ["two_sum", "two_product"]
    assert y.infer_shape(a=(2, 3)) == ([(2, 3), (2, 3)], [(2, 3), (2, 3)], [])
    right = DATA[::-1].copy()
    executor = y.bind(
        context,
        {"a": array(DATA, context), "b": array(right, context)},
        {"a": array(DATA * 0 + 10, context), "b": array(DATA * 0 + 10, context)},
        grad_req={"a": "add", "b": "write"},
    )
    first, second = (x.asnumpy() for x in executor.forward(is_train=True))
    # Halves, sums and products of these numbers are exact.
    np.testing.assert_array_equal(first, (DATA + right) * 0.5)
    np.testing.assert_array_equal(second, DATA * right)
    heads = [array(DATA * 0 + 2, context), array(DATA * 0 + 4, context)]
    executor.backward(heads)
    np.testing.assert_array_equal(executor.grad_dict["a"].asnumpy(), 10 + 1 + 4 * right)
    np.testing.assert_array_equal(executor.grad_dict["b"].asnumpy(), 1 + 4 * DATA)


def test_a_loss_needs_no_head_gradient(context: mx.Context) -> None:
    x = mx.sym.Variable("x")
    y = mx.sym.Custom(data=x, name="softmax", op_type="test_softmax")
    assert y.list_arguments() == ["x", "softmax_label"]
    assert y.infer_shape(x=(2, 3))[0] == [(2, 3), (2,)]
    label = np.array([2, 0], np.float32)
    executor = y.bind(
        context,
        {"x": array(DATA, context), "softmax_label": array(label, context)},
        {"x": array(DATA * 0, context)},
        grad_req={"x": "write", "softmax_label": "null"},
    )
    out = executor.forward(is_train=True)[0].asnumpy()
    powers = np.exp(DATA)
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(out, expected, **CLOSE)
    executor.backward()
    expected[[0, 1], [2, 0]] -= 1
    np.testing.assert_allclose(executor.grad_dict["x"].asnumpy(), expected, **CLOSE)


def test_a_state_is_kept_in_training(context: mx.Context) -> None:
    y = mx.sym.Custom(mx.sym.Variable("x"), op_type="test_counting", name="c")
    assert y.list_arguments() == ["x"]
    assert y.list_auxiliary_states() == ["c_count"]
    assert y.list_outputs() == ["c_output"]
    executor = y.simple_bind(context, x=(2, 3))
    executor.arg_dict["x"][:] = 1
    for expected in (1, 2, 3):
        assert executor.forward(is_train=True)[0].asnumpy().tolist() == [[expected] * 3] * 2
        assert executor.aux_dict["c_count"].asnumpy().tolist() == [[expected]]
        # The second one runs the forward code again, which must not count.
        for _ in range(2):
            executor.backward(array(DATA, context))
            np.testing.assert_array_equal(executor.grad_dict["x"].asnumpy(), DATA)
        assert executor.aux_dict["c_count"].asnumpy().tolist() == [[expected]]
    executor.forward(is_train=False)
    assert executor.aux_dict["c_count"].asnumpy().tolist() == [[3]]


def test_two_nodes_are_not_one(context: mx.Context) -> None:
    """Each keeps what is its own, though they read the same."""
    made = []

    class Drawing(mx.operator.CustomOp):
        def __init__(self) -> None:
            made.append(self)
            self.number = len(made)

        def forward(self, is_train, req, in_data, out_data, aux):  # type: ignore[no-untyped-def]
            self.assign(out_data[0], req[0], in_data[0] * self.number)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        @mx.operator.register("test_drawing")
        class DrawingProp(mx.operator.CustomOpProp):
            def create_operator(self, ctx, in_shapes, in_dtypes):  # type: ignore[no-untyped-def]
                return Drawing()

    x = mx.sym.Variable("x")
    both = mx.sym.Group([mx.sym.Custom(x, op_type="test_drawing") for _ in range(2)])
    outputs = both.bind(context, {"x": array([1.0], context)}).forward()
    assert sorted(out.asscalar() for out in outputs) == [1, 2]


def test_other_dtypes_and_outputs_of_several(context: mx.Context) -> None:
    class Parts(mx.operator.CustomOp):
        def forward(self, is_train, req, in_data, out_data, aux):  # type: ignore[no-untyped-def]
            self.assign(out_data[0], req[0], in_data[0] * 2)
            self.assign(out_data[1], req[1], in_data[0].astype("int32"))

    class PartsProp(mx.operator.CustomOpProp):
        def list_outputs(self) -> Sequence[str]:
            return ["half", "whole"]

        def infer_type(self, in_type):  # type: ignore[no-untyped-def]
            return in_type, [in_type[0], np.int32], []

        def create_operator(self, ctx, in_shapes, in_dtypes):  # type: ignore[no-untyped-def]
            assert in_dtypes == [2]  # MXNet's number of float16
            return Parts()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mx.operator.register("test_parts")(PartsProp)
    y = mx.sym.Custom(mx.sym.Variable("x"), op_type="test_parts")
    assert y.infer_type(x="float16")[1] == [np.float16, np.int32]
    x = mx.nd.array(DATA, ctx=context, dtype="float16")
    first, second = y.bind(context, {"x": x}).forward()
    assert (first.dtype, second.dtype) == (np.float16, np.int32)
    np.testing.assert_array_equal(first.asnumpy(), DATA.astype(np.float16) * 2)
    np.testing.assert_array_equal(second.asnumpy(), DATA.astype(np.int32))


def test_on_arrays(context: mx.Context) -> None:
    y = mx.nd.Custom(array(DATA, context), op_type="test_sigmoid")
    np.testing.assert_allclose(y.asnumpy(), sigmoid(DATA), **CLOSE)
    two = mx.nd.Custom(
        left=array(DATA, context), right=array(DATA, context), op_type="test_sum_and_product"
    )
    np.testing.assert_array_equal(two[1].asnumpy(), DATA * DATA)


def test_assign() -> None:
    operator, target = mx.operator.CustomOp(), mx.nd.ones((2,))
    for request, expected in (("null", 1), ("write", 3), ("inplace", 3), ("add", 6)):
        operator.assign(target, request, mx.nd.ones((2,)) * 3)
        assert target.asnumpy().tolist() == [expected] * 2


# ---- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["forward", "backward"])
def test_an_exception_names_the_operator_and_is_not_the_end(
    context: mx.Context, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    y = mx.sym.Custom(mx.sym.Variable("x"), op_type="test_failing")
    executor = y.bind(context, {"x": array(DATA, context)}, {"x": array(DATA * 0, context)})
    monkeypatch.setattr(Failing, "place", place)
    with pytest.raises(mx.MXNetError, match=f"'test_failing': {place} raised .*not today"):
        executor.forward(is_train=True)
        executor.backward(array(DATA * 0 + 1, context))
    monkeypatch.setattr(Failing, "place", "")
    executor.forward(is_train=True)
    executor.backward(array(DATA * 0 + 1, context))
    expected = sigmoid(DATA)
    np.testing.assert_allclose(
        executor.grad_dict["x"].asnumpy(), expected * (1 - expected), **CLOSE
    )


def test_an_unknown_name_lists_those_that_are_registered() -> None:
    with pytest.raises(mx.MXNetError, match=r"'nobody'; registered are .*test_sigmoid"):
        mx.sym.Custom(mx.sym.Variable("x"), op_type="nobody")
    with pytest.raises(mx.MXNetError, match="op_type"):
        mx.sym.Custom(mx.sym.Variable("x"))


def test_parameters_that_its_class_does_not_take() -> None:
    with pytest.raises(mx.MXNetError, match=r"test_sigmoid.*unexpected keyword argument 'other'"):
        mx.sym.Custom(mx.sym.Variable("x"), op_type="test_sigmoid", other=1)


def test_inputs_that_it_does_not_have() -> None:
    x = mx.sym.Variable("x")
    with pytest.raises(mx.MXNetError, match="got 2 inputs for 1"):
        mx.sym.Custom(x, x, op_type="test_sigmoid")
    with pytest.raises(mx.MXNetError, match="has no input 'weight'"):
        mx.sym.Custom(weight=x, op_type="test_sigmoid")
    with pytest.raises(TypeError, match="either by position or by keyword"):
        mx.sym.Custom(x, label=x, op_type="test_softmax")


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        (([(2, 3)],), "lists of"),
        (([(2, 3)], [], []), "lists of"),
        (([(2, 3)], [("a", 3)], []), "infer_shape raised"),
        (([(2, 4)], [(2, 3)], []), "expected shape"),
        (([(2, 3)], [(2, 0)], []), "shape"),
        (None, "infer_shape raised TypeError"),
    ],
)
def test_wrong_shapes(returned: Any, problem: str) -> None:
    class WrongProp(mx.operator.CustomOpProp):
        def infer_shape(self, in_shape):  # type: ignore[no-untyped-def]
            return returned

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mx.operator.register("test_wrong")(WrongProp)
    y = mx.sym.Custom(mx.sym.Variable("x"), op_type="test_wrong")
    with pytest.raises(mx.MXNetError, match=problem):
        y.bind(mx.cpu(), {"x": mx.nd.array(DATA)})


def test_shapes_that_contradict_the_operator() -> None:
    y = mx.sym.Custom(mx.sym.Variable("x"), mx.sym.Variable("t"), op_type="test_softmax")
    with pytest.raises(mx.MXNetError, match=r"label.*expected shape"):
        y.infer_shape(x=(2, 3), t=(7,))


def test_what_can_be_registered() -> None:
    with pytest.raises(TypeError, match="CustomOpProp"):
        mx.operator.register("test_class")(Sigmoid)
    with pytest.raises(TypeError):
        mx.operator.register(3)  # type: ignore[arg-type]


def test_registered_twice_the_last_one_counts() -> None:
    class First(mx.operator.CustomOpProp):
        def list_outputs(self) -> Sequence[str]:
            return ["first"]

    class Second(mx.operator.CustomOpProp):
        def list_outputs(self) -> Sequence[str]:
            return ["second"]

    x = mx.sym.Variable("x")
    assert mx.operator.register("test_twice")(First) is First
    before = mx.sym.Custom(x, op_type="test_twice", name="n")
    with pytest.warns(UserWarning, match="overriding existing custom operator 'test_twice'"):
        mx.operator.register("test_twice")(Second)
    assert before.list_outputs() == ["n_first"]
    assert mx.sym.Custom(x, op_type="test_twice", name="n").list_outputs() == ["n_second"]


# ---- files, training, plans ----------------------------------------------------------------------


def test_a_file_names_the_operator_and_no_more() -> None:
    y = mx.sym.Custom(mx.sym.Variable("x"), op_type="test_counting", name="c")
    text = y.tojson()
    assert '"op_type": "test_counting"' in text
    loaded = mx.sym.load_json(text)
    assert loaded.tojson() == text
    assert loaded.list_auxiliary_states() == ["c_count"]
    with pytest.raises(mx.MXNetError, match="'test_elsewhere'; registered are"):
        mx.sym.load_json(text.replace("test_counting", "test_elsewhere"))


def test_a_module_trains_through_it(context: mx.Context) -> None:
    """A step of gradient descent: the same as with the operator that MXNet has for it."""

    def trained(loss: mx.sym.Symbol) -> np.ndarray[Any, Any]:
        module = mx.mod.Module(loss, context=context, label_names=["softmax_label"])
        data = mx.io.NDArrayIter(DATA, np.array([2, 0], np.float32), batch_size=2)
        module.bind(data.provide_data, data.provide_label)
        module.init_params(mx.init.One())
        module.init_optimizer(optimizer_params={"learning_rate": 0.5})
        for _ in range(2):
            data.reset()
            module.forward_backward(next(data))
            module.update()
        return module.get_params()[0]["fc_weight"].asnumpy()

    hidden = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    own = trained(mx.sym.Custom(hidden, op_type="test_softmax", name="softmax"))
    theirs = trained(mx.sym.SoftmaxOutput(hidden, name="softmax"))
    assert np.abs(theirs - 1).max() > 0.05
    np.testing.assert_allclose(own, theirs, rtol=1e-5, atol=1e-6)


def test_the_plan_says_that_it_runs_python() -> None:
    x = mx.sym.Variable("x")
    bound = {"x": mx.nd.array(DATA)}
    executor = mx.sym.Custom(x, op_type="test_sigmoid").bind(mx.cpu(), bound)
    assert executor.plan.runs_python
    assert "Custom test_sigmoid" in str(executor.plan)
    assert not mx.sym.sigmoid(x).bind(mx.cpu(), bound).plan.runs_python


# ---- how long code lives -------------------------------------------------------------------------

MADE: list[int] = []


class TimesItsPasses(mx.operator.CustomOp):
    """Multiplies by the number of its forward passes."""

    def __init__(self) -> None:
        MADE.append(1)
        self.passes = 0

    def forward(self, is_train, req, in_data, out_data, aux):  # type: ignore[no-untyped-def]
        self.passes += 1
        self.assign(out_data[0], req[0], in_data[0] * self.passes)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):  # type: ignore[no-untyped-def]
        self.assign(in_grad[0], req[0], out_grad[0] * self.passes)


@mx.operator.register("test_times_its_passes")
class TimesItsPassesProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, in_shapes, in_dtypes):  # type: ignore[no-untyped-def]
        return TimesItsPasses()


def test_an_executor_has_one_code_object_for_each_node(context: mx.Context) -> None:
    """As in MXNet: for inference and for training; another executor has another one."""
    MADE.clear()
    symbol = mx.sym.Custom(mx.sym.Variable("x"), op_type="test_times_its_passes", name="count")
    one, gradient = mx.nd.ones((2,), context), mx.nd.zeros((2,), context)
    executor = symbol.bind(context, [one], [gradient])
    for number, train in enumerate((False, False, True, True, False), start=1):
        assert executor.forward(is_train=train)[0].asnumpy().tolist() == [number] * 2
        executor.backward(one)
        assert gradient.asnumpy().tolist() == [number] * 2
    assert len(MADE) == 1
    for other in (symbol.bind(context, [one]), executor.reshape(x=(1,))):
        assert other.forward()[0].asnumpy()[0] == 1
    assert len(MADE) == 3
    assert executor.forward()[0].asnumpy()[0] == 6
