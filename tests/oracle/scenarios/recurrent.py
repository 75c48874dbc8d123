"""Recurrent cells: the graphs that they make, their weights, and sentences in batches."""

from __future__ import annotations

import json
import random
from types import ModuleType
from typing import Any

import numpy as np

from oracle.scenario import Answer, plain, raised, scenario


def flat(states: Any) -> list[Any]:
    if isinstance(states, list | tuple):
        return [one for state in states for one in flat(state)]
    return [states]


def graph(mx: ModuleType, found: Any) -> Answer:
    """The nodes, with operator, name, attributes and inputs, of an unrolled cell."""
    outputs, states = found
    parsed = json.loads(mx.sym.Group([*flat(outputs), *flat(states)]).tojson())
    nodes = parsed["nodes"]
    return [
        type(outputs).__name__,
        [
            [
                node["op"],
                node["name"],
                node.get("attrs", {}),
                [[nodes[place]["name"], index] for place, index, _ in node["inputs"]],
            ]
            for node in nodes
        ],
        [[nodes[place]["name"], index] for place, index, _ in parsed["heads"]],
    ]


def steps(mx: ModuleType) -> Any:
    return [mx.sym.Variable("x0"), mx.sym.Variable("x1")]


@scenario
def cells(mx: ModuleType) -> Answer:
    made, x = mx.rnn, mx.sym.Variable("x")
    cell = {
        "rnn": made.RNNCell(3, prefix="r_"),
        "rnn relu": made.RNNCell(3, "relu"),
        "lstm": made.LSTMCell(3, prefix="l_", forget_bias=2.0),
        "gru": made.GRUCell(3, prefix="g_"),
    }
    merged = made.RNNCell(3, prefix="r_").unroll(2, x, layout="NTC", merge_outputs=True)
    return {
        **{label: graph(mx, one.unroll(2, steps(mx))) for label, one in cell.items()},
        "merged": graph(mx, merged),
        "time first": graph(mx, made.LSTMCell(3).unroll(2, x, layout="TNC")),
        "states": {label: plain(one.state_info) for label, one in cell.items()},
        "shapes": {label: plain(one.state_shape) for label, one in cell.items()},
        "inputs": raised(lambda: made.RNNCell(3).unroll(3, steps(mx))),
        "modified": raised(
            lambda: (lambda c: (made.ResidualCell(c), c.begin_state()))(cell["rnn"])
        ),
    }


@scenario
def cells_of_cells(mx: ModuleType) -> Answer:
    made, x = mx.rnn, mx.sym.Variable("x")
    stack = made.SequentialRNNCell()
    stack.add(made.LSTMCell(3, prefix="a_"))
    stack.add(made.DropoutCell(0.5, prefix="d_"))
    stack.add(made.GRUCell(2, prefix="b_"))

    def both() -> Any:
        return made.BidirectionalCell(made.RNNCell(3, prefix="l_"), made.RNNCell(3, prefix="r_"))

    mixed = made.SequentialRNNCell()
    mixed.add(both())
    mixed.add(made.ZoneoutCell(made.RNNCell(2, prefix="z_"), 0.3, 0.2))
    return {
        "sequential": graph(mx, stack.unroll(2, x, merge_outputs=True)),
        "states": plain(stack.state_info),
        "bidirectional": graph(mx, both().unroll(2, steps(mx))),
        "bidirectional merged": graph(mx, both().unroll(2, x, merge_outputs=True)),
        "mixed": graph(mx, mixed.unroll(2, x)),
        "residual": graph(mx, made.ResidualCell(made.RNNCell(3, prefix="l_")).unroll(2, x)),
        "residual merged": graph(
            mx, made.ResidualCell(made.GRUCell(3, prefix="l_")).unroll(2, x, merge_outputs=True)
        ),
        "zoneout": graph(
            mx, made.ZoneoutCell(made.RNNCell(3, prefix="l_"), 0.3, 0.2).unroll(2, steps(mx))
        ),
        "dropout": graph(mx, made.DropoutCell(0.3).unroll(2, x, merge_outputs=True)),
        "step": raised(lambda: both()(x, [])),
    }


@scenario
def fused_cells(mx: ModuleType) -> Answer:
    made, x = mx.rnn, mx.sym.Variable("x")
    lstm = made.FusedRNNCell(
        3, num_layers=2, mode="lstm", bidirectional=True, prefix="f_", get_next_state=True
    )
    return {
        "lstm": graph(mx, lstm.unroll(2, x, merge_outputs=True)),
        "gru": graph(mx, made.FusedRNNCell(3, mode="gru", prefix="f_").unroll(2, steps(mx))),
    }


@scenario(tolerance=1e-6)
def weights_of_cells(mx: ModuleType) -> Answer:
    def numbers(*shape: int) -> Any:
        return mx.nd.arange(0, int(np.prod(shape))).reshape(shape)

    def first(arrays: Any) -> Answer:
        return {
            name: [one.shape, one.asnumpy().ravel()[:3].tolist()] for name, one in arrays.items()
        }

    lstm = mx.rnn.LSTMCell(3, prefix="l_")
    shapes = {"i2h_weight": (12, 5), "i2h_bias": (12,), "h2h_weight": (12, 3), "h2h_bias": (12,)}
    arrays = {f"l_{name}": numbers(*shape) for name, shape in shapes.items()}
    apart = lstm.unpack_weights({**arrays, "other": numbers(2)})
    together = lstm.pack_weights(apart)
    fused = mx.rnn.FusedRNNCell(3, num_layers=2, mode="lstm", bidirectional=True, prefix="f_")
    size = 2 * (4 * 3 * (5 + 3) + 24) + 2 * (4 * 3 * (6 + 3) + 24)
    pieces = fused.unpack_weights({"f_parameters": numbers(size)})
    packed = fused.pack_weights(pieces)["f_parameters"]
    filled = mx.nd.zeros((size,))
    init = mx.init.FusedRNN(mx.init.Constant(2), 3, 2, "lstm", True, 1.5)
    init._init_weight(mx.init.InitDesc("f_parameters"), filled)
    return {
        "lstm": first(apart),
        "together": first(together),
        "fused": first(pieces),
        "packed": packed.asnumpy().tolist() == list(range(size)),
        "unfused": [type(one).__name__ for one in fused.unfuse()._cells],
        "initializer": [init.dumps(), filled.asnumpy().tolist()],
        "states": plain(fused.state_info),
    }


SENTENCES = [[1, 2, 3], [4, 5], [1, 2, 3, 4, 5, 6, 7], [2, 2], [3, 3, 3], [5, 4, 3, 2], [1] * 5]


@scenario
def sentences_in_batches(mx: ModuleType) -> Answer:
    answers = {}
    for label, given in {
        "given": {"buckets": [3, 5], "invalid_label": 0},
        "found": {},
        "time first": {"buckets": [4], "layout": "TN", "data_name": "d", "label_name": "l"},
    }.items():
        random.seed(1)
        np.random.seed(1)
        iterator = mx.rnn.BucketSentenceIter(SENTENCES, 2, **given)
        epochs = []
        for _ in range(2):
            epochs.append(
                [
                    [
                        batch.bucket_key,
                        batch.data[0].asnumpy().tolist(),
                        batch.label[0].asnumpy().tolist(),
                        [[one.name, one.shape] for one in batch.provide_data],
                        batch.pad,
                    ]
                    for batch in iterator
                ]
            )
            iterator.reset()
        described = [[one.name, one.shape, one.layout] for one in iterator.provide_data]
        answers[label] = [epochs, described, iterator.buckets, iterator.default_bucket_key]
    return {**answers, "layout": raised(lambda: mx.rnn.BucketSentenceIter([[1]], 1, layout="XY"))}


@scenario
def sentences_as_numbers(mx: ModuleType) -> Answer:
    encode = mx.rnn.encode_sentences
    lines = [["a", "b"], ["b", "c"]]
    return {
        "new": encode(lines, start_label=1),
        "invalid in between": encode(lines, invalid_label=1, invalid_key="x"),
        "known": encode(lines[:1], vocab={"a": 5, "b": 6}),
        "unknown": raised(lambda: encode(lines, vocab={"a": 5})),
        "unknown token": encode([["a", "z"]], vocab={"a": 5, "U": 7}, unknown_token="U"),
    }
