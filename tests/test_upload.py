"""Batches that are sent to a device ahead of their turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.training import upload

BATCHES, SIZE, WIDTH = 3, 4, 5


class Reused(mx.io.DataIter):
    """Batches that are all written into the same arrays."""

    def __init__(self, fresh: bool = False) -> None:
        super().__init__(SIZE)
        draw = np.random.default_rng(0)
        self.samples = draw.standard_normal((BATCHES, SIZE, WIDTH)).astype(np.float32)
        self.classes = draw.integers(0, 3, (BATCHES, SIZE)).astype(np.float32)
        self.fresh = fresh
        self.data, self.label = mx.nd.zeros((SIZE, WIDTH)), mx.nd.zeros((SIZE,))
        self.provide_data = [mx.io.DataDesc("data", (SIZE, WIDTH))]
        self.provide_label = [mx.io.DataDesc("softmax_label", (SIZE,))]
        self.at = 0

    def reset(self) -> None:
        self.at = 0

    def next(self) -> mx.io.DataBatch:
        if self.at == BATCHES:
            raise StopIteration
        data, label = self.data, self.label
        if self.fresh:
            data, label = data.copy(), label.copy()
        data[:], label[:] = self.samples[self.at], self.classes[self.at]
        self.at += 1
        return mx.io.DataBatch([data], [label], pad=0)


def network() -> mx.Symbol:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    return mx.sym.SoftmaxOutput(net, name="softmax")


def trained(data: mx.io.DataIter, context: mx.Context) -> list[Any]:
    """What two epochs log and leave behind."""
    module = mx.mod.Module(network(), context=context)
    log: list[Any] = []
    module.fit(
        data,
        eval_metric=["acc", "ce"],
        initializer=mx.init.One(),
        optimizer_params={"learning_rate": 0.5},
        batch_end_callback=lambda p: log.append([v for _, v in p.eval_metric.get_name_value()]),
        num_epoch=2,
    )
    return [np.array(log), *(x.asnumpy() for x in module.get_params()[0].values())]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is sent, when every device is taken for one that computes beside its host."""
    events: list[str] = []

    def send(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        events.append(f"{len(tensors)} sent")
        return [x.clone() for x in tensors]

    monkeypatch.setattr(upload, "sender", lambda device: send)
    yield events


def test_arrays_of_a_batch_may_be_used_for_the_next(context: mx.Context) -> None:
    found, due = (trained(Reused(fresh=fresh), context) for fresh in (False, True))
    for ours, right in zip(found, due, strict=True):
        np.testing.assert_array_equal(ours, right)


def test_batches_that_are_sent_ahead_train_the_same(sent: list[str], context: mx.Context) -> None:
    found = trained(Reused(), context)
    assert sent == ["2 sent"] * (2 * BATCHES)
    for ours, right in zip(found, trained(Reused(fresh=True), context), strict=True):
        np.testing.assert_array_equal(ours, right)


def test_a_batch_is_sent_before_the_one_before_is_measured(sent: list[str]) -> None:
    class Watched(mx.metric.Accuracy):
        def update(self, labels: Any, preds: Any) -> None:
            sent.append("measured")
            super().update(labels, preds)

    module = mx.mod.Module(network())
    module.fit(Reused(), eval_metric=Watched(), num_epoch=1)
    assert sent == ["2 sent", *["2 sent", "measured"] * (BATCHES - 1), "measured"]


def test_what_was_sent_is_used_once(sent: list[str]) -> None:
    """Whoever changes the arrays of a batch and computes it again sees the change."""
    module = mx.mod.Module(network())
    module.bind([("data", (SIZE, WIDTH))], [("softmax_label", (SIZE,))])
    module.init_params(mx.init.One())
    batch = mx.io.DataBatch([mx.nd.ones((SIZE, WIDTH))], [mx.nd.zeros((SIZE,))])
    module.prepare(batch)
    batch.data[0][:] = 2
    for value in (1, 2):
        module.forward(batch, is_train=False)
        assert (module._bound().arg_dict["data"].asnumpy() == value).all()


def test_only_the_batch_that_was_sent_is_replaced(sent: list[str]) -> None:
    module = mx.mod.Module(network())
    module.bind([("data", (SIZE, WIDTH))], [("softmax_label", (SIZE,))])
    module.init_params(mx.init.One())
    ones, twos = (mx.io.DataBatch([mx.nd.full((SIZE, WIDTH), n)]) for n in (1, 2))
    module.prepare(ones)
    module.forward(twos, is_train=False)
    assert (module._bound().arg_dict["data"].asnumpy() == 2).all()


def test_a_processor_is_sent_nothing() -> None:
    assert upload.sender(torch.device("cpu")) is None
