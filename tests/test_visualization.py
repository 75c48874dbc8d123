"""Networks as tables, in which every parameter is counted once, and as pictures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace

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


class Picture:
    """What `plot_network` asks of graphviz's `Digraph`."""

    def __init__(self, name: str, format: str) -> None:
        self.labels: dict[str, str] = {}
        self.colours: dict[str, str] = {}
        self.edges: list[tuple[str, str, str]] = []

    def node(self, name: str, label: str, fillcolor: str, **style: str) -> None:
        self.labels[name], self.colours[name] = label, fillcolor

    def edge(self, tail_name: str, head_name: str, label: str, **style: str) -> None:
        self.edges.append((tail_name, head_name, label))


def test_layers_are_drawn_with_what_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As MXNet labels and paints them."""
    monkeypatch.setitem(sys.modules, "graphviz", SimpleNamespace(Digraph=Picture))
    net = mx.sym.Variable("data")
    net = mx.sym.Convolution(net, kernel=(3, 3), num_filter=8, name="plain")
    net = mx.sym.Convolution(net, kernel=(1, 1), stride=(2, 2), num_filter=4, name="strided")
    net = mx.sym.BatchNorm(net, name="norm")
    net = mx.sym.LeakyReLU(mx.sym.Activation(net, act_type="tanh", name="act"), name="leaky")
    net = mx.sym.Pooling(net, pool_type="max", kernel=(2, 2), stride=(2, 2), name="pooled")
    net = mx.sym.Pooling(net, pool_type="avg", global_pool=True, name="all")
    net = mx.sym.FullyConnected(mx.sym.Flatten(net, name="flat"), num_hidden=5, name="dense")
    net = mx.sym.SoftmaxOutput(net, name="softmax")
    picture = mx.viz.plot_network(net, shape={"data": (2, 1, 9, 9)})
    assert picture.labels == {
        "data": "data",
        "plain": "Convolution\n3x3/1, 8",
        "strided": "Convolution\n1x1/2x2, 4",
        "norm": "norm",
        "act": "Activation\ntanh",
        "leaky": "LeakyReLU\nleaky",
        "pooled": "Pooling\nmax, 2x2/2x2",
        "all": "Pooling\navg, all/1",
        "flat": "flat",
        "dense": "FullyConnected\n5",
        "softmax_label": "softmax_label",
        "softmax": "softmax",
    }
    assert picture.colours["data"] == "#8dd3c7" and picture.colours["softmax"] == "#fccde5"
    assert ("plain", "data", "1x9x9") in picture.edges
    assert ("strided", "plain", "8x7x7") in picture.edges
    assert not any("weight" in name for edge in picture.edges for name in edge)


def test_a_table_of_what_is_no_symbol(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TypeError, match="symbol must be Symbol, got 3"):
        mx.viz.print_summary(3)
    assert capsys.readouterr().out == ""
