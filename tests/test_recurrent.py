"""Recurrent cells compute what torch's do, and networks of them learn."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

import tritonsym as mx

LENGTH, BATCH, FEATURES, UNITS = 4, 3, 5, 6


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


@pytest.mark.parametrize(
    ("cell", "reference", "gates"),
    [
        (mx.rnn.RNNCell, torch.nn.RNN, 1),
        (mx.rnn.LSTMCell, torch.nn.LSTM, 4),
        (mx.rnn.GRUCell, torch.nn.GRU, 3),
    ],
)
def test_cells_are_those_of_torch(cell: type, reference: type, gates: int) -> None:
    outputs, states = cell(UNITS, prefix="c_").unroll(
        LENGTH, mx.sym.Variable("x"), layout="NTC", merge_outputs=True
    )
    given = {
        "x": numbers(0, BATCH, LENGTH, FEATURES),
        "c_i2h_weight": numbers(1, gates * UNITS, FEATURES),
        "c_i2h_bias": numbers(2, gates * UNITS),
        "c_h2h_weight": numbers(3, gates * UNITS, UNITS),
        "c_h2h_bias": numbers(4, gates * UNITS),
    }
    arrays = {name: mx.nd.array(value) for name, value in given.items()}
    group = mx.sym.Group([outputs, *states])
    found = [one.asnumpy() for one in group.bind(mx.cpu(), arrays).forward()]
    theirs = reference(FEATURES, UNITS, batch_first=True)
    with torch.no_grad():
        for name, value in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"),
                               ("i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias"),
                               strict=True):  # fmt: skip
            getattr(theirs, f"{name}_l0").copy_(torch.tensor(given[f"c_{value}"]))
        expected, last = theirs(torch.tensor(given["x"]))
    np.testing.assert_allclose(found[0], expected.numpy(), rtol=1e-5, atol=1e-6)
    last = last if isinstance(last, tuple) else (last,)
    for state, wanted in zip(found[1:], last, strict=True):
        np.testing.assert_allclose(state, wanted[0].numpy(), rtol=1e-5, atol=1e-6)


def test_both_directions_are_those_of_torch() -> None:
    cell = mx.rnn.BidirectionalCell(
        mx.rnn.GRUCell(UNITS, prefix="l_"), mx.rnn.GRUCell(UNITS, prefix="r_")
    )
    outputs, _ = cell.unroll(LENGTH, mx.sym.Variable("x"), merge_outputs=True)
    theirs = torch.nn.GRU(FEATURES, UNITS, batch_first=True, bidirectional=True)
    arrays = {"x": mx.nd.array(numbers(0, BATCH, LENGTH, FEATURES))}
    for prefix, suffix in (("l_", ""), ("r_", "_reverse")):
        for ours, name in (("i2h", "ih"), ("h2h", "hh")):
            for kind in ("weight", "bias"):
                value = getattr(theirs, f"{kind}_{name}_l0{suffix}").detach().numpy()
                arrays[f"{prefix}{ours}_{kind}"] = mx.nd.array(value)
    found = outputs.bind(mx.cpu(), arrays).forward()[0].asnumpy()
    expected = theirs(torch.tensor(arrays["x"].asnumpy()))[0].detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_language_model_in_buckets_learns() -> None:
    """Each sentence counts upwards, so that the next word follows from the last one."""
    words = 12
    chosen = random.Random(0)
    sentences = []
    for _ in range(240):
        start = chosen.randrange(1, words)
        length = chosen.choice((5, 9))
        sentences.append([1 + (start + i) % (words - 1) for i in range(length)])
    random.seed(0)
    np.random.seed(0)
    mx.random.seed(0)
    data = mx.rnn.BucketSentenceIter(sentences, 24, buckets=[5, 9], invalid_label=0)
    stack = mx.rnn.SequentialRNNCell()
    stack.add(mx.rnn.LSTMCell(16, prefix="lstm_"))

    def generate(length: int) -> tuple[mx.Symbol, tuple[str, ...], tuple[str, ...]]:
        label = mx.sym.reshape(mx.sym.Variable("softmax_label"), shape=(-1,))
        embedded = mx.sym.Embedding(
            mx.sym.Variable("data"), input_dim=words, output_dim=8, name="embed"
        )
        stack.reset()
        outputs, _ = stack.unroll(length, embedded, layout="NTC", merge_outputs=True)
        flat = mx.sym.reshape(outputs, shape=(-1, 16))
        scores = mx.sym.FullyConnected(flat, num_hidden=words, name="score")
        return mx.sym.SoftmaxOutput(scores, label, name="softmax"), ("data",), ("softmax_label",)

    module = mx.mod.BucketingModule(generate, data.default_bucket_key)
    metric = mx.metric.Perplexity(ignore_label=0)
    module.fit(
        data,
        eval_metric=metric,
        optimizer="adam",
        optimizer_params={"learning_rate": 0.05},
        initializer=mx.init.Xavier(),
        num_epoch=4,
    )
    ((_, perplexity),) = module.score(data, metric)
    assert perplexity < 2  # of 11 words by chance


def test_checkpoints_take_weights_apart(tmp_path: Path) -> None:
    cell = mx.rnn.LSTMCell(UNITS, prefix="l_")
    outputs, _ = cell.unroll(2, mx.sym.Variable("x"), merge_outputs=True)
    weights = {
        "l_i2h_weight": mx.nd.array(numbers(0, 4 * UNITS, FEATURES)),
        "l_i2h_bias": mx.nd.array(numbers(1, 4 * UNITS)),
        "l_h2h_weight": mx.nd.array(numbers(2, 4 * UNITS, UNITS)),
        "l_h2h_bias": mx.nd.array(numbers(3, 4 * UNITS)),
    }
    mx.rnn.do_rnn_checkpoint(cell, tmp_path / "net")(0, outputs, weights, {})
    apart, _ = mx.model.load_params(tmp_path / "net", 1)
    assert "l_h2h_f_weight" in apart
    symbol, together, _ = mx.rnn.load_rnn_checkpoint(cell, tmp_path / "net", 1)
    assert symbol.list_arguments() == outputs.list_arguments()
    for name, array in weights.items():
        assert (together[name].asnumpy() == array.asnumpy()).all()


def test_a_vector_of_another_length() -> None:
    fused = mx.rnn.FusedRNNCell(3, mode="gru", prefix="f_")
    with pytest.raises(mx.MXNetError, match="a vector of 100 weights does not fit"):
        fused.unpack_weights({"f_parameters": mx.nd.zeros((100,))})
    with pytest.raises(mx.MXNetError, match="mode='vanilla'"):
        mx.rnn.FusedRNNCell(3, mode="vanilla")


def test_first_states_have_the_shapes_of_the_cell() -> None:
    """By MXNet 1.9.1, whatever shape the caller gives."""
    states = mx.rnn.LSTMCell(3, prefix="l_").begin_state(func=mx.sym.ones, shape=(2, 7))
    assert [state.name for state in states] == ["l_begin_state_0", "l_begin_state_1"]
    assert [state.attr("shape") for state in states] == ["(0, 3)"] * 2
    assert [state.attr("__layout__") for state in states] == ["NC"] * 2


def test_a_cell_that_says_nothing_of_its_state_takes_the_shape_of_the_caller() -> None:
    class Plain(mx.rnn.BaseRNNCell):
        @property
        def state_info(self) -> list[None]:
            return [None]

    (state,) = Plain("p_").begin_state(func=mx.sym.ones, shape=(2, 3))
    assert (state.name, state.attr("shape")) == ("p_begin_state_0", "(2, 3)")


@pytest.mark.parametrize(
    ("kind", "gates"), [(mx.rnn.RNNCell, 1), (mx.rnn.LSTMCell, 4), (mx.rnn.GRUCell, 3)]
)
def test_cells_that_programs_derive_find_the_weights(kind: type, gates: int) -> None:
    class Scaled(kind):  # type: ignore[misc]
        """Its state counts twice, and its output is what Activation makes of it."""

        def __call__(self, inputs: mx.Symbol, states: list[mx.Symbol]) -> tuple[mx.Symbol, object]:
            units = gates * self._num_hidden
            i = mx.sym.FullyConnected(inputs, self._iW, self._iB, num_hidden=units)
            h = mx.sym.FullyConnected(states[0], self._hW, self._hB, num_hidden=units)
            return self._get_activation(i + 2 * h, "relu", name="out"), states

    output, _ = Scaled(UNITS, prefix="s_")(mx.sym.Variable("x"), [mx.sym.Variable("h")])
    x, h = numbers(0, BATCH, FEATURES), numbers(1, BATCH, UNITS)
    weights = numbers(2, gates * UNITS, FEATURES), numbers(3, gates * UNITS, UNITS)
    biases = numbers(4, gates * UNITS), numbers(5, gates * UNITS)
    names = ("x", "h", "s_i2h_weight", "s_h2h_weight", "s_i2h_bias", "s_h2h_bias")
    values = dict(zip(names, map(mx.nd.array, (x, h, *weights, *biases)), strict=True))
    (found,) = output.eval(**values)
    due = np.maximum(x @ weights[0].T + biases[0] + 2 * (h @ weights[1].T + biases[1]), 0)
    np.testing.assert_allclose(found.asnumpy(), due, rtol=1e-5, atol=1e-5)  # sums of six


def test_programs_read_how_a_fused_cell_was_made() -> None:
    cell = mx.rnn.FusedRNNCell(UNITS, num_layers=2, mode="gru", bidirectional=True)
    made = (cell._num_hidden, cell._num_layers, cell._mode, cell._bidirectional, cell._directions)
    assert made == (UNITS, 2, "gru", True, ["l", "r"])
