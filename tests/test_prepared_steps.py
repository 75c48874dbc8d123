"""Steps that are prepared once read what their inputs hold at every run."""

from __future__ import annotations

import numpy as np
import pytest

import tritonsym as mx

sym = mx.sym


def turned(x: mx.Symbol) -> mx.Symbol:
    """The same axes in the opposite order: no reshape of it is a view."""
    return sym.transpose(x)


@pytest.mark.parametrize("before", [turned, lambda x: turned(sym.exp(x))])
@pytest.mark.parametrize("no_bias", [False, True])
def test_a_layer_reads_a_turned_input_anew(before, no_bias: bool, context: mx.Context) -> None:
    layer = sym.FullyConnected(before(sym.Variable("x")), num_hidden=3, no_bias=no_bias, name="fc")
    random = np.random.default_rng(1)
    given = {
        "x": random.standard_normal((2, 3, 4)).astype(np.float32),
        "fc_weight": random.standard_normal((3, 6)).astype(np.float32),
        "fc_bias": random.standard_normal(3).astype(np.float32),
    }
    arrays = {name: mx.nd.array(given[name], context) for name in layer.list_arguments()}
    executor = layer.bind(context, arrays)
    for factor in (1.0, 2.0):
        arrays["x"][:] = given["x"] * factor
        x = given["x"] * factor
        rows = (x if before is turned else np.exp(x)).transpose().reshape(4, 6)
        expected = rows @ given["fc_weight"].T + (0 if no_bias else given["fc_bias"])
        found = executor.forward()[0].asnumpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_batch_of_products_reads_turned_inputs_anew(context: mx.Context) -> None:
    a, b = sym.Variable("a"), sym.Variable("b")
    order = (1, 0, 2, 3)
    graph = sym.batch_dot(sym.transpose(a, axes=order), sym.transpose(b, axes=order))
    random = np.random.default_rng(2)
    left = random.standard_normal((2, 3, 4, 5)).astype(np.float32)
    right = random.standard_normal((2, 3, 5, 6)).astype(np.float32)
    arrays = {"a": mx.nd.array(left, context), "b": mx.nd.array(right, context)}
    executor = graph.bind(context, arrays)
    for factor in (1.0, -3.0):
        arrays["a"][:] = left * factor
        expected = (left * factor).transpose(order) @ right.transpose(order)
        found = executor.forward()[0].asnumpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
