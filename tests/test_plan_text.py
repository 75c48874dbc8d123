"""What plans say of the work that a library does: counted where it can be, else said not to be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import tritonsym as mx
from tritonsym.expressions.expr import input_
from tritonsym.expressions.operations import operations, total
from tritonsym.foundation.dtype import FLOAT16, FLOAT32
from tritonsym.plan_command import plan_for_gpu
from tritonsym.planning.plan import Plan

BATCH, CHANNELS, FILTERS, GROUPS = 4, 8, 16, 2


def counts(plan: Plan) -> dict[str, int | None]:
    """The operations of each call of a library, by its name."""
    return {
        str(x["name"]): operations(x)
        for kernel in plan.kernels
        for x in kernel.body
        if x.primitive == "native"
    }


def convolution(**attributes: object) -> mx.Symbol:
    x = mx.sym.Variable("x")
    return mx.sym.Convolution(
        x, kernel=(3, 5), num_filter=FILTERS, num_group=GROUPS, name="c", **attributes
    )


def test_convolutions_and_their_gradients_are_counted() -> None:
    """Each multiplies with every weight of a filter at every place, and adds up what comes."""
    layer = convolution(stride=(2, 1), no_bias=True)
    shapes = {"x": (BATCH, CHANNELS, 11, 10)}
    places = BATCH * FILTERS * 5 * 6
    expected = 2 * places * (CHANNELS // GROUPS) * 3 * 5
    assert counts(plan_for_gpu(layer, shapes)) == {"convolution": expected}
    gradients = plan_for_gpu(layer.grad(["x", "c_weight"]), {**shapes, "c_weight": (16, 4, 3, 5)})
    found = counts(gradients)
    assert {name: found[name] for name in ("deconvolution", "weight-gradient")} == {
        "deconvolution": expected,
        "weight-gradient": expected,
    }


def test_a_deconvolution_is_counted() -> None:
    layer = mx.sym.Deconvolution(
        mx.sym.Variable("x"), kernel=(3, 3), stride=(2, 2), num_filter=6, num_group=2
    )
    found = counts(plan_for_gpu(layer, {"x": (4, 8, 5, 5)}))
    assert found == {"deconvolution": 2 * (4 * 8 * 5 * 5) * (6 // 2) * 3 * 3}


def test_a_bias_that_the_library_adds_counts_as_well() -> None:
    plan = convolution().simple_bind(mx.cpu(), x=(BATCH, CHANNELS, 10, 10)).plan
    results = BATCH * FILTERS * 8 * 6
    assert counts(plan) == {"Convolution": results * (2 * (CHANNELS // GROUPS) * 3 * 5 + 1)}


def test_a_call_takes_what_the_expressions_in_its_place_take() -> None:
    x = mx.sym.Variable("x")
    plan = mx.sym.softmax(x).simple_bind(mx.cpu(), x=(6, 7)).plan
    assert counts(plan) == {"softmax": 5 * 42}, "largest, difference, power, sum and quotient"


def test_attention_takes_two_products_and_a_softmax() -> None:
    query, key, value = (mx.sym.Variable(name) for name in ("query", "key", "value"))
    scores = mx.sym.batch_dot(query, key, transpose_b=True) * 0.125
    graph = mx.sym.batch_dot(mx.sym.softmax(scores), value)
    shapes = dict.fromkeys(("query", "key", "value"), (64, 512, 64))
    dtypes = dict.fromkeys(shapes, FLOAT16)
    found = counts(plan_for_gpu(graph, shapes, dtypes))["attention"]
    products = 2 * 2 * 64 * 512 * 512 * 64
    assert found is not None
    assert products < found < 1.1 * products


def test_recurrent_layers_count_their_products() -> None:
    time, batch, features, size = 7, 2, 3, 5
    layer = mx.sym.RNN(
        *(mx.sym.Variable(name) for name in ("x", "p", "h", "c")),
        state_size=size,
        num_layers=1,
        mode="lstm",
        bidirectional=True,
    )
    executor = layer.simple_bind(mx.cpu(), x=(time, batch, features))
    weights = 2 * 4 * size * (features + size)
    assert counts(executor.plan) == {"lstm": 2 * time * batch * weights}


class Same(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):  # type: ignore[no-untyped-def]
        self.assign(out_data[0], req[0], in_data[0])


@mx.operator.register("same_for_plan_text")
class SameProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, shapes, dtypes):  # type: ignore[no-untyped-def]
        return Same()


@pytest.mark.parametrize(
    "graph",
    [
        mx.sym.argsort,
        lambda x: mx.sym.Custom(x, op_type="same_for_plan_text"),
    ],
    ids=["order", "python"],
)
def test_what_nobody_can_count_is_said_to_be_unknown(
    graph: Callable[[mx.Symbol], mx.Symbol],
) -> None:
    plan = graph(mx.sym.Variable("x")).simple_bind(mx.cpu(), x=(6, 7)).plan
    assert "bytes, operations unknown\n" in str(plan)


def test_a_sum_of_something_unknown_is_unknown() -> None:
    x = input_(0, (6, 7), FLOAT32)
    assert total([x, x + 1]) == 42
    order = mx.sym.argsort(mx.sym.Variable("x")).simple_bind(mx.cpu(), x=(6, 7)).plan
    assert total([x + 1, *order.kernels[0].body]) is None
