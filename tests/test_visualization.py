"""Summaries of networks: every parameter is counted, once, whatever it is called."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import tritonsym as mx

sym = mx.sym
data, own = sym.Variable("data"), sym.Variable("ww")
fc = sym.FullyConnected


def shared() -> mx.Symbol:
    return fc(fc(data, own, num_hidden=5, no_bias=True), own, num_hidden=5, no_bias=True)


def normalised() -> mx.Symbol:
    made = sym.BatchNorm(data, sym.Variable("g"), sym.Variable("b"), sym.Variable("mm"))
    return sym.Group([made])


def colliding() -> mx.Symbol:
    """A parameter that is called like an output."""
    return fc(data, sym.Variable("fc_output"), num_hidden=3, no_bias=True, name="fc")


def moved() -> mx.Symbol:
    return fc(data, sym.transpose(own), num_hidden=3, no_bias=True)


def recurrent() -> mx.Symbol:
    state = sym.Variable("h")
    return sym.RNN(data, sym.Variable("all"), state, mode="rnn_tanh", state_size=2, num_layers=1)


NETWORKS: dict[str, tuple[Callable[[], mx.Symbol], dict[str, tuple[int, ...]], int]] = {
    "own name": (lambda: fc(data, own, num_hidden=3, no_bias=True), {"data": (4, 5)}, 15),
    "own bias": (lambda: fc(data, own, sym.Variable("v"), num_hidden=3), {"data": (4, 5)}, 18),
    "own data": (lambda: fc(sym.Variable("x"), own, num_hidden=3), {"x": (4, 5)}, 18),
    "given weight": (lambda: fc(data, own, num_hidden=3), {"data": (4, 5), "ww": (3, 5)}, 18),
    "shared": (shared, {"data": (4, 5)}, 25),
    "normalised": (normalised, {"data": (4, 5)}, 10),
    "colliding": (colliding, {"data": (4, 5)}, 15),
    "moved": (moved, {"data": (4, 5)}, 15),
    "product": (lambda: sym.dot(data, sym.Variable("w", shape=(5, 3))), {"data": (4, 5)}, 15),
    "scale": (lambda: data * sym.Variable("s", shape=(4, 5)), {"data": (4, 5)}, 20),
    "convolution": (
        lambda: sym.Convolution(data, own, num_filter=4, kernel=(3, 3), num_group=2, no_bias=True),
        {"data": (1, 6, 8, 8)},
        4 * 3 * 9,
    ),
    "embedding": (lambda: sym.Embedding(data, own, input_dim=7, output_dim=3), {"data": (4,)}, 21),
    "slopes": (lambda: sym.LeakyReLU(data, own, act_type="prelu"), {"data": (4, 5)}, 5),
    "recurrent": (recurrent, {"data": (6, 4, 5)}, 2 * 5 + 2 * 2 + 4),
    "label": (
        lambda: sym.SoftmaxOutput(fc(data, own, num_hidden=3), sym.Variable("truth")),
        {"data": (4, 5)},
        18,
    ),
    "two inputs": (lambda: data + sym.Variable("other"), {"data": (4,), "other": (4,)}, 0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_is_counted_once(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    network, shapes, expected = NETWORKS[name]
    mx.viz.print_summary(network(), shapes)
    text = capsys.readouterr().out
    assert f"\nTotal params: {expected}\n" in text
    assert "ww(null)" not in text


def test_declared_shapes_are_enough(capsys: pytest.CaptureFixture[str]) -> None:
    mx.viz.print_summary(fc(sym.Variable("data", shape=(4, 5)), own, num_hidden=3), {})
    assert "\nTotal params: 18\n" in capsys.readouterr().out


def test_without_shapes_nothing_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    mx.viz.print_summary(fc(data, own, num_hidden=3))
    text = capsys.readouterr().out
    assert "\nTotal params: 0\n" in text
    assert "data(null)" in text
    assert "ww(null)" not in text
