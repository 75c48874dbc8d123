"""What a program changes of a module is what training calls, and what its callbacks see."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tritonsym as mx

STEPS = ["forward", "backward", "update", "forward_backward"]


def network() -> mx.Symbol:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    return mx.sym.SoftmaxOutput(net, name="softmax")


def data() -> mx.io.NDArrayIter:
    random = np.random.default_rng(0)
    return mx.io.NDArrayIter(random.standard_normal((12, 5)), random.integers(0, 3, 12), 4)


def counting(step: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(step.__name__)
        return step(*args, **kwargs)

    return counted


def bucketed(**given: Any) -> mx.mod.BucketingModule:
    return mx.mod.BucketingModule(
        lambda key: (network(), ["data"], ["softmax_label"]), default_bucket_key=5, **given
    )


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("make", [lambda: mx.mod.Module(network()), bucketed], ids=["one", "many"])
def test_a_step_that_an_instance_replaces_is_called(step: str, make: Callable[[], Any]) -> None:
    calls: list[str] = []
    module = make()
    setattr(module, step, counting(getattr(module, step), calls))
    module.fit(data(), num_epoch=2)
    assert calls == [step] * 6


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("base", [mx.mod.Module, mx.mod.BucketingModule])
def test_a_step_that_a_subclass_overrides_is_called(step: str, base: type[Any]) -> None:
    calls: list[str] = []

    def own(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(step)
        return getattr(base, step)(self, *args, **kwargs)

    derived: Any = type("Derived", (base,), {step: own})
    if base is mx.mod.Module:
        module = derived(network())
    else:
        module = derived(lambda key: (network(), ["data"], ["softmax_label"]), 5)
    module.fit(data(), num_epoch=2)
    assert calls == [step] * 6


def test_an_update_that_does_nothing_leaves_the_parameters() -> None:
    class Frozen(mx.mod.Module):
        def update(self) -> None:
            pass

    module = Frozen(network())
    module.fit(data(), initializer=mx.init.One(), num_epoch=1)
    assert (module.get_params()[0]["fc_weight"].asnumpy() == 1).all()


def test_a_subclass_with_other_methods_trains_by_one_program() -> None:
    class Named(mx.mod.Module):
        def title(self) -> str:
            return "named"

    module = Named(network())
    module.fit(data(), num_epoch=1)
    assert len(module._steps.programs) == 1


def test_callbacks_of_fit_see_what_mxnet_calls_its_variables() -> None:
    seen: list[dict[str, Any]] = []
    module, metric = mx.mod.Module(network()), mx.metric.create("acc")
    module.fit(
        data(),
        eval_metric=metric,
        num_epoch=2,
        batch_end_callback=lambda param: seen.append(dict(param.locals)),
    )
    assert len(seen) == 6
    for number, one in enumerate(seen):
        assert one["self"] is module
        assert one["eval_metric"] is metric
        assert one["validation_metric"] is metric
        assert (one["epoch"], one["nbatch"]) == divmod(number, 3)
        assert one["data_batch"].data[0].shape == (4, 5)
        assert one["end_of_batch"] == (one["nbatch"] == 2)
        assert ("eval_name_vals" in one) >= one["end_of_batch"]
        assert {"train_data", "tic", "data_iter", "next_data_batch", "monitor"} <= set(one)


class Averaged(mx.mod.BaseModule):
    """Fits the mean of its data, and has nothing that a module need not have."""

    label_names = ()

    def __init__(self, symbol: mx.Symbol) -> None:
        super().__init__()
        self._symbol = symbol

    def bind(self, *args: Any, **kwargs: Any) -> None:
        self.binded = True

    def init_params(self, *args: Any, **kwargs: Any) -> None:
        self.mean, self.params_initialized = mx.nd.zeros((5,)), True

    def init_optimizer(self, *args: Any, **kwargs: Any) -> None:
        self.optimizer_initialized = True

    def forward(self, data_batch: mx.io.DataBatch, is_train: bool | None = None) -> None:
        self.found = data_batch.data[0].mean(axis=0)

    def backward(self, out_grads: Any = None) -> None:
        pass

    def update(self) -> None:
        self.mean = self.found

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        pass

    def get_params(self) -> tuple[dict[str, mx.nd.NDArray], dict[str, mx.nd.NDArray]]:
        return {"mean": self.mean}, {}


@pytest.mark.parametrize("symbol", [None, network()], ids=["none", "one"])
def test_the_symbol_of_a_subclass_is_what_callbacks_see(symbol: mx.Symbol | None) -> None:
    seen: list[Any] = []
    module = Averaged(symbol)
    module.fit(data(), num_epoch=1, epoch_end_callback=lambda *given: seen.append(given))
    ((epoch, found, parameters, states),) = seen
    assert epoch == 0 and found is symbol is module.symbol and states == {}
    assert np.array_equal(parameters["mean"].asnumpy(), module.mean.asnumpy())
    assert mx.mod.BaseModule().symbol is None and mx.mod.SequentialModule().symbol is None


def test_callbacks_of_score_see_what_mxnet_calls_its_variables() -> None:
    seen: list[dict[str, Any]] = []
    module = mx.mod.Module(network())
    source = data()
    module.bind(source.provide_data, source.provide_label)
    module.init_params()

    def look(param: Any) -> None:
        seen.append(dict(param.locals))

    module.score(source, "acc", batch_end_callback=look, score_end_callback=look)
    assert [one["nbatch"] for one in seen] == [0, 1, 2, 2]
    assert [one["actual_num_batch"] for one in seen] == [0, 1, 2, 3]
    for one in seen:
        assert one["self"] is module
        assert one["eval_metric"].get()[0] == "accuracy"
        assert one["eval_batch"].label[0].shape == (4,)


class Counted(mx.metric.EvalMetric):
    """As programs write theirs: it counts since the last reset, and not altogether."""

    def __init__(self) -> None:
        super().__init__("counted")

    def update(self, labels: Any, preds: Any) -> None:
        self.sum_metric += float(sum(label.asnumpy().sum() for label in labels))
        self.num_inst += 1


class CountedAnew(Counted):
    """With a reset of its own that calls nobody else's."""

    def reset(self) -> None:
        self.num_inst, self.sum_metric = 0, 0.0


@pytest.mark.parametrize("kind", [Counted, CountedAnew])
def test_a_metric_that_counts_since_the_last_reset_has_a_value(
    kind: type[Counted], caplog: pytest.LogCaptureFixture
) -> None:
    regression = mx.sym.LinearRegressionOutput(
        mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=1), name="softmax"
    )
    batches = mx.io.NDArrayIter(np.ones((6, 2)), np.arange(6.0), batch_size=2)
    module = mx.mod.Module(regression)
    with caplog.at_level(logging.INFO):
        module.fit(batches, eval_metric=kind(), num_epoch=1, eval_data=batches)
    assert "Train-counted=5.0" in caplog.text
    assert "Validation-counted=5.0" in caplog.text
    assert module.score(batches, kind()) == [("counted", 5.0)]
    assert module.score(batches, [kind(), "mae"])[0] == ("counted", 5.0)
