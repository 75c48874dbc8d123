"""Layers that are alike are asked once what follows from shapes, and known apart all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tritonsym as mx
from tritonsym.graph.op import Op

sym = mx.sym
Variable = sym.Variable


def test_what_becomes_known_of_one_layer_is_not_said_of_another() -> None:
    """Nothing is known of the three when they are asked, and of one of them something later."""
    known = Variable("known", shape=(2, 3))
    for refined in range(3):
        layers = [sym.relu(Variable(f"x{n}"), name=f"layer{n}") for n in range(3)]
        layers[refined] = layers[refined] + known
        arguments, outputs, _ = sym.Group(layers).infer_shape_partial()
        due = [(2, 3) if n == refined else () for n in range(3)]
        assert outputs == due
        due.insert(refined + 1, (2, 3))
        assert arguments == due


def test_parameters_and_inputs_tell_layers_apart() -> None:
    x = Variable("x")
    layers = [sym.FullyConnected(x, num_hidden=n, name=f"fc{i}") for i, n in enumerate((4, 5, 4))]
    every = [*layers, *(sym.tile(y, reps=(2, 1)) for y in layers)]
    _, outputs, _ = sym.Group(every).infer_shape(x=(3, 7))
    assert outputs == [(3, 4), (3, 5), (3, 4), (6, 4), (6, 5), (6, 4)]
    kinds = [sym.cast(x, dtype=dtype) * 2 for dtype in ("float16", "int32", "float16")]
    _, dtypes, _ = sym.Group(kinds).infer_type(x="float64")
    assert dtypes == [np.float16, np.int32, np.float16]


def test_layers_that_are_alike_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    infer_shapes = Op.infer_shapes

    def counted(op: Op, attributes: Any, inputs: Any, outputs: Any) -> None:
        asked.append(op.name)
        infer_shapes(op, attributes, inputs, outputs)

    monkeypatch.setattr(Op, "infer_shapes", counted)
    chain = Variable("x")
    for _ in range(50):
        chain = sym.tanh(sym.relu(chain))
    assert chain.infer_shape(x=(5,)) == ([(5,)], [(5,)], [])
    assert asked == ["relu", "tanh"]


@pytest.mark.parametrize(
    ("made", "due"),
    [
        (lambda x, y: sym.broadcast_add(x, y), (0, 3, 10, 10)),
        (lambda x, y: sym.Reshape(x, shape=(-1, 3)), (0, 3)),
        (lambda x, y: sym.Reshape(x, shape=(0, -3, 0)), (0, 30, 10)),
        (lambda x, y: sym.swapaxes(x, dim1=0, dim2=1), (3, 0, 10, 10)),
        (lambda x, y: sym.Concat(x, x, dim=1), (0, 6, 10, 10)),
        (lambda x, y: sym.Concat(x, x, dim=0), (0, 3, 10, 10)),
        (lambda x, y: sym.expand_dims(x, axis=1), (0, 1, 3, 10, 10)),
        (lambda x, y: sym.slice_axis(x, axis=2, begin=1, end=4), (0, 3, 3, 10)),
        (lambda x, y: sym.slice(x, begin=(0, 1), end=(None, 3)), (0, 2, 10, 10)),
        (
            lambda x, y: sym.dot(sym.Reshape(x, shape=(-1, 300)), Variable("z", shape=(300, 4))),
            (0, 4),
        ),
        (lambda x, y: sym.sum(x, axis=0), (3, 10, 10)),
        (lambda x, y: sym.shape_array(x), (4,)),
        (
            lambda x, y: sym.slice_like(x, Variable("z", shape=(1, 3, 5, 5)), axes=(2, 3)),
            (0, 3, 5, 5),
        ),
        # Parts into which only some lengths can be cut.
        (lambda x, y: sym.SliceChannel(x, num_outputs=7, axis=0)[0], (0, 3, 10, 10)),
        # What may be shorter than it is cut to, or have an axis less, is not known.
        (lambda x, y: sym.slice(x, begin=(0,), end=(10,)), (0, 3, 10, 10)),
        (lambda x, y: sym.squeeze(x), ()),
        (lambda x, y: sym.Flatten(sym.Reshape(x, shape=(-1,))), (0, 1)),
    ],
)
def test_lengths_that_do_not_depend_on_one_that_is_not_known(made: Any, due: Any) -> None:
    x, y = Variable("x", shape=(0, 3, 10, 10)), Variable("y", shape=(1, 3, 1, 1))
    _, (found,), _ = made(x, y).infer_shape_partial()
    assert found == due
    # And they are those of any length.
    for length in (1, 4, 7):
        try:
            _, (whole,), _ = made(x, y).infer_shape(x=(length, 3, 10, 10))
        except mx.MXNetError:
            continue
        assert all(n in (0, m) for n, m in zip(found, whole, strict=bool(found)))


def test_what_is_likely_contradicts_nothing_that_is_known_later() -> None:
    """A batch that only a label tells, behind layers that were asked before it."""
    x = Variable("x", shape=(0, 4))
    layer = sym.FullyConnected(sym.broadcast_add(x, Variable("b", shape=(1, 4))), num_hidden=2)
    whole = sym.Group([layer, x + Variable("label", shape=(5, 4))])
    arguments, outputs, _ = whole.infer_shape()
    assert outputs == [(5, 2), (5, 4)] and arguments[0] == (5, 4)


def test_operators_of_a_caller_are_asked_one_by_one() -> None:
    """They may differ although all that is said of them is the same."""
    made: list[object] = []

    class Numbered(mx.operator.CustomOpProp):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)
            self.length = len(made)

        def infer_shape(self, in_shape: Any) -> Any:
            return in_shape, [[self.length]], []

    mx.operator.register("numbered_in_inference")(Numbered)
    x = Variable("x")
    alike = [sym.Custom(x, op_type="numbered_in_inference") for _ in range(3)]
    _, outputs, _ = sym.Group(alike).infer_shape(x=(5,))
    assert len(set(outputs)) == 3


def test_a_caller_s_operator_is_not_asked_what_would_be() -> None:
    """It is asked when lengths are known, and not with those that only might be."""
    asked: list[Any] = []

    class Doubled(mx.operator.CustomOpProp):
        def infer_shape(self, in_shape: Any) -> Any:
            asked.append([list(shape) for shape in in_shape])
            return in_shape, [[in_shape[0][0], 2 * in_shape[0][1]]], []

    mx.operator.register("doubled_in_inference")(Doubled)
    x = Variable("x", shape=(0, 4))
    doubled = sym.Custom(x, op_type="doubled_in_inference")
    assert doubled.infer_shape_partial()[1] == [()] and asked == []
    assert doubled.infer_shape_partial(x=(3, 4))[1] == [(3, 8)]
    assert all(shapes == [[3, 4]] for shapes in asked)


@pytest.mark.parametrize(
    ("symbol", "data", "label", "due"),
    [
        (mx.sym.SoftmaxOutput, (2, 4, 5), (0, 5), (2, 5)),
        (mx.sym.SoftmaxOutput, (2, 4, 5, 3), (0, 5, 3), (2, 5, 3)),
        (mx.sym.SoftmaxOutput, (2, 4, 5, 3), (0, 0), (2, 15)),
        (mx.sym.SoftmaxOutput, (2, 4, 5, 3), (0, 1, 0, 0), (2, 1, 5, 3)),
        (mx.sym.LinearRegressionOutput, (2, 5), (0, 5), (2, 5)),
        (mx.sym.LinearRegressionOutput, (2, 1), (0, 0), (2, 1)),
        (mx.sym.LinearRegressionOutput, (2, 1), (0,), (2,)),
    ],
)
def test_labels_with_gaps_follow_from_the_data(
    symbol: Any, data: Any, label: Any, due: Any
) -> None:
    """In the form that they are said to have."""
    several = {"multi_output": True} if symbol is mx.sym.SoftmaxOutput else {}
    made = symbol(mx.sym.Variable("data"), mx.sym.Variable("label"), **several)
    assert made.infer_shape(data=data, label=label)[0] == [data, due]


def test_labels_that_cannot_be_are_refused() -> None:
    made = mx.sym.SoftmaxOutput(mx.sym.Variable("data"), mx.sym.Variable("label"))
    with pytest.raises(mx.MXNetError, match="label"):
        made.infer_shape(data=(2, 5), label=(3,))
    with pytest.warns(UserWarning, match="label"):
        assert made.infer_shape(data=(2, 5), label=(0, 7, 7)) == (None, None, None)


def test_an_index_of_either_form_is_filled() -> None:
    made = mx.sym.pick(mx.sym.Variable("data"), mx.sym.Variable("index"), axis=1)
    assert made.infer_shape(data=(2, 5), index=(0, 0))[0] == [(2, 5), (2, 1)]


def test_a_size_that_does_not_fit_fills_no_gap() -> None:
    """MXNet divides and forgets the rest: it says (1, 2, 5) for 15 elements."""
    made = mx.sym.reshape(mx.sym.Variable("a"), shape=(-1, 5)) + mx.sym.Variable("b")
    assert made.infer_shape_partial(a=(0, 2, 5), b=(3, 5))[0] == [(0, 2, 5), (3, 5)]
