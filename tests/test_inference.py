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
