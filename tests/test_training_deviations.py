"""Where training departs from MXNet 1.9.1 on purpose; each test says why in its first line."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import tritonsym as mx


def test_nesterovs_momentum_is_that_of_the_old_weight() -> None:
    """MXNet writes the weight first, where `out` is the weight, and decays the momentum by it."""
    weight, momentum = mx.nd.array([2.0]), mx.nd.array([0.5])
    mx.nd.nag_mom_update(
        weight, mx.nd.array([3.0]), momentum, out=weight, lr=0.1, momentum=0.9, wd=0.2
    )
    kept = 0.9 * 0.5 - 0.1 * (3 + 0.2 * 2)
    assert momentum.asscalar() == pytest.approx(kept, rel=1e-6)
    assert weight.asscalar() == pytest.approx(2 + 0.9 * kept - 0.1 * (3 + 0.2 * 2), rel=1e-6)


@pytest.mark.parametrize("method", ["rmsprop", "adagrad", "adadelta", "ftrl"])
def test_states_of_16_bits_are_of_the_weights_dtype(method: str) -> None:
    """MXNet makes float32 states for some methods, which their own formulas then refuse."""
    weight = mx.nd.ones((3,), dtype="float16")
    updater = mx.optimizer.get_updater(mx.optimizer.create(method, learning_rate=0.1))
    with pytest.warns(UserWarning, match="multi_precision"):
        updater(0, mx.nd.ones((3,), dtype="float16"), weight)
    assert (weight.asnumpy() < 1).all()


def test_states_of_optimizers_are_written_as_arrays() -> None:
    """MXNet writes a pickle, which runs whatever its file says; here its arrays are read alone."""
    updater = mx.optimizer.get_updater(mx.optimizer.SGD(momentum=0.9))
    updater(0, mx.nd.ones((2,)), mx.nd.ones((2,)))
    found = mx.nd.load_frombuffer(updater.get_states())
    np.testing.assert_allclose(found["0"].asnumpy(), [-0.01, -0.01], rtol=1e-6)


def test_gradients_are_not_changed_by_updates() -> None:
    """Some of MXNet's methods scale and cut the caller's gradient in place."""
    grad = mx.nd.array([3.0, -4.0])
    for method in ("sgd", "adam", "adagrad", "adadelta", "lamb"):
        made = mx.optimizer.create(method, rescale_grad=0.5, clip_gradient=1.0)
        mx.optimizer.get_updater(made)(0, grad, mx.nd.ones((2,)))
    assert grad.asnumpy().tolist() == [3, -4]


def test_the_schedule_of_nesterovs_adam_is_the_papers() -> None:
    """MXNet's `Nadam` has one schedule, which every weight moves on."""
    alone, both = (mx.optimizer.get_updater(mx.optimizer.Nadam()) for _ in range(2))
    weight, first, second = (mx.nd.ones((3,)) for _ in range(3))
    for step in range(3):
        grad = mx.nd.array([1, -2, step])
        alone(0, grad, weight)
        both([0, 1], [grad, grad], [first, second])
    np.testing.assert_allclose(first.asnumpy(), weight.asnumpy(), rtol=1e-6)
    np.testing.assert_allclose(second.asnumpy(), weight.asnumpy(), rtol=1e-6)


def test_the_momentum_of_every_weight_is_corrected() -> None:
    """MXNet's `LARS` corrects the momentum of the first weights that an update comes to."""
    schedule = mx.lr_scheduler.MultiFactorScheduler([2, 3], 0.5, base_lr=0.4)
    updater = mx.optimizer.get_updater(mx.optimizer.LARS(0.9, lr_scheduler=schedule))
    weights = [mx.nd.ones((3,)) for _ in range(6)]
    for step in range(4):
        for index, weight in enumerate(weights):
            updater(index, mx.nd.array([1, -2, step]), weight)
    for weight in weights[1:]:
        assert (weight.asnumpy() == weights[0].asnumpy()).all()


def test_an_element_without_gradients_stays() -> None:
    """MXNet's `Adamax` divides 0 by 0, and the weight is no number from then on."""
    weight = mx.nd.ones((2,))
    updater = mx.optimizer.get_updater(mx.optimizer.Adamax(learning_rate=0.5))
    for grad in ([0, 1], [0, 1], [3, 1]):
        updater(0, mx.nd.array(grad), weight)
        found = weight.asnumpy()
        assert (found[0] == 1) == (grad[0] == 0)
        assert np.isfinite(found).all()


def test_rates_are_those_of_the_present_update() -> None:
    """MXNet's `LBSGD` asks the schedule before it counts the update."""
    found = []
    for method in ("lbsgd", "sgd"):
        schedule = mx.lr_scheduler.FactorScheduler(1, 0.5, base_lr=0.4)
        updater = mx.optimizer.get_updater(mx.optimizer.create(method, lr_scheduler=schedule))
        weight = mx.nd.ones((2,))
        for _ in range(3):
            updater(0, mx.nd.ones((2,)), weight)
        found.append(weight.asnumpy())
    assert (found[0] == found[1]).all()


def classifier() -> mx.mod.Module:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    module = mx.mod.Module(mx.sym.SoftmaxOutput(net, name="softmax"))
    module.bind([("data", (4, 5))], [("softmax_label", (4,))])
    module.init_params(mx.init.One())
    return module


@pytest.mark.filterwarnings("ignore:Parameters already initialized")
def test_a_batch_to_train_with_has_labels() -> None:
    """MXNet takes the labels of the batch before; `fit` fails in its metric, after an update."""
    module = classifier()
    with pytest.raises(ValueError, match="no labels, and gradients need softmax_label"):
        module.forward_backward(mx.io.DataBatch([mx.nd.ones((4, 5))]))
    with pytest.raises(ValueError, match="no labels, and gradients need softmax_label"):
        module.fit(mx.io.NDArrayIter(np.ones((8, 5)), batch_size=4), num_epoch=1)
    assert (module.get_params()[0]["fc_weight"].asnumpy() == 1).all()
    module.forward(mx.io.DataBatch([mx.nd.ones((4, 5))]), is_train=True)


def test_a_batch_has_all_labels_or_none() -> None:
    """MXNet leaves the missing ones as they were in the batch before."""
    label = mx.sym.Variable("first_label"), mx.sym.Variable("second_label")
    data = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=1, name="fc")
    net = mx.sym.Group([mx.sym.LinearRegressionOutput(data, one) for one in label])
    module = mx.mod.Module(net, label_names=["first_label", "second_label"])
    module.bind([("data", (4, 5))], [("first_label", (4, 1)), ("second_label", (4, 1))])
    module.init_params()
    with pytest.raises(ValueError, match=r"labels for first_label, .*second_label"):
        module.forward(mx.io.DataBatch([mx.nd.ones((4, 5))], [mx.nd.ones((4, 1))]))


@pytest.mark.parametrize("names", [{"data_names": ["data"] * 2}, {"label_names": ["data"]}])
def test_arrays_of_a_batch_have_names_of_their_own(names: dict[str, list[str]]) -> None:
    """MXNet takes a name twice, and one of the two arrays is lost."""
    with pytest.raises(ValueError, match="name data more than once"):
        mx.mod.Module(mx.sym.Variable("data") + 1, **{"label_names": None, **names})


@pytest.mark.parametrize("store", ["bogus", "dist_sync"])
def test_a_store_of_another_type_is_refused(store: str) -> None:
    """MXNet's modules on one device take any text, and its stores take many."""
    module = classifier()
    with pytest.raises(mx.MXNetError, match=store):
        module.init_optimizer(kvstore=store)
    assert not module.optimizer_initialized


def test_rates_are_numbers() -> None:
    """MXNet takes anything, and fails in the first update."""
    for name in ("learning_rate", "wd", "rescale_grad", "clip_gradient"):
        with pytest.raises(TypeError, match=f"{name} must be a number, got 'fast'"):
            mx.optimizer.create("adam", **{name: "fast"})
        with pytest.raises(ValueError, match=f"{name} must be a number, got nan"):
            mx.optimizer.create("adam", **{name: math.nan})
    with pytest.raises(TypeError, match="lr must be a number"):
        mx.optimizer.SGD().set_learning_rate("fast")
    assert mx.optimizer.SGD(learning_rate=np.float32(0.5)).learning_rate == 0.5


@pytest.mark.parametrize("size", [-1, 2.5, "3"])
def test_epochs_of_no_size_are_refused(size: object) -> None:
    """MXNet's never end."""
    with pytest.raises(ValueError, match="size"):
        mx.io.ResizeIter(mx.io.NDArrayIter(np.ones((8, 5)), batch_size=4), size)


@pytest.mark.filterwarnings("ignore:Parameters already initialized")
def test_an_epoch_has_batches() -> None:
    """MXNet raises StopIteration, which ends the loop that called it in silence."""
    batches = mx.io.NDArrayIter(np.ones((8, 5)), np.zeros(8), batch_size=4)
    for _ in batches:
        pass
    with pytest.raises(ValueError, match="no batch in epoch 0: reset it"):
        classifier().fit(batches, num_epoch=1)


def test_data_and_labels_have_one_length() -> None:
    """MXNet takes labels of another length, and fails in the last batch."""
    with pytest.raises(ValueError, match="softmax_label has 6 samples, data has 7"):
        mx.io.NDArrayIter(np.zeros((7, 2)), np.zeros(6), 2)


def test_an_unknown_way_with_the_last_batch_is_refused() -> None:
    """MXNet takes any text, and leaves the last batch short."""
    with pytest.raises(ValueError, match="last_batch_handle"):
        mx.io.NDArrayIter(np.zeros((7, 2)), batch_size=2, last_batch_handle="wrap")


def test_more_places_than_classes_are_all_classes() -> None:
    """MXNet's top-k accuracy fails where there are fewer classes than k."""
    metric = mx.metric.TopKAccuracy(top_k=5)
    metric.update([mx.nd.array([1, 0])], [mx.nd.array([[0.9, 0.1], [0.2, 0.8]])])
    assert metric.get() == ("top_k_accuracy_5", 1.0)


def test_places_of_an_output_without_scores_are_its_classes() -> None:
    """MXNet's top-k accuracy compares the order of a 1-D output's values with the labels."""
    metric = mx.metric.TopKAccuracy(top_k=2)
    metric.update([mx.nd.array([1, 0])], [mx.nd.array([1, 1])])
    assert metric.get() == ("top_k_accuracy_2", 0.5)


def test_operators_that_update_are_optimizers() -> None:
    """MXNet has `adamw_update` and `signsgd_update`, and no optimizers `AdamW` and `SignSGD`."""
    for method in ("adamw", "signsgd"):
        weight = mx.nd.ones((2,))
        updater = mx.optimizer.get_updater(mx.optimizer.create(method, learning_rate=0.1))
        updater(0, mx.nd.array([1, -1]), weight)
        np.testing.assert_allclose(weight.asnumpy(), [0.9, 1.1], rtol=1e-3)


def test_correlations_of_everything_count_globally() -> None:
    """In MXNet the global value of a micro-averaged correlation stays 0."""
    metric = mx.metric.PearsonCorrelation(average="micro")
    values = np.arange(6.0).reshape(2, 3)
    for row in values:
        metric.update([mx.nd.array(row)], [mx.nd.array(row * 2 + 1)])
    assert metric.get()[1] == pytest.approx(1)
    assert metric.get_global()[1] == pytest.approx(1)


def test_inference_takes_batches_of_any_size() -> None:
    """MXNet fails for a module without labels, whose shape would change with the batch."""
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    module = mx.mod.Module(mx.sym.SoftmaxOutput(net, name="softmax"))
    module.bind([("data", (4, 2))], for_training=False)
    module.init_params(mx.init.One())
    assert module.predict(np.ones((7, 2))).shape == (7, 3)


def test_what_was_pushed_before_an_optimizer_is_kept() -> None:
    """MXNet keeps the buffer of a sum as the value, and overwrites it with the next sum."""
    store, out = mx.kv.create(), mx.nd.zeros((1,))
    store.init("w", mx.nd.ones((1,)))
    store.push("w", [mx.nd.ones((1,)), mx.nd.ones((1,))])
    store.set_optimizer(mx.optimizer.SGD(learning_rate=0.1))
    store.push("w", [mx.nd.ones((1,)), mx.nd.ones((1,)) * 2])
    store.pull("w", out=out)
    assert out.asscalar() == pytest.approx(2 - 0.1 * 3)


def test_packed_weights_take_an_initializer_by_text() -> None:
    """MXNet's `FusedRNN` does not find the initializer that its own text names."""
    made = mx.init.create(mx.init.FusedRNN(mx.init.Constant(2), 3, 1, "gru").dumps())
    vector = mx.nd.full((3 * 3 * (4 + 3) + 18,), math.nan)
    made._init_weight("parameters", vector)
    assert set(vector.asnumpy().tolist()) == {0, 2}  # biases and weights


def test_metrics_see_labels_by_their_names() -> None:
    """MXNet names a batch's labels for metrics by the module's order, which may be another."""
    first, last = mx.sym.Variable("first"), mx.sym.Variable("last")
    outputs = [
        mx.sym.LinearRegressionOutput(last, mx.sym.Variable("z_label"), name="z"),
        mx.sym.LinearRegressionOutput(first, mx.sym.Variable("a_label"), name="a"),
    ]
    data = {"first": np.full((4, 1), 10.0), "last": np.full((4, 1), 8.0)}
    labels = {"z_label": np.full((4, 1), 3.0), "a_label": np.full((4, 1), 7.0)}
    batches = mx.io.NDArrayIter(data, labels, batch_size=4)
    module = mx.mod.Module(mx.sym.Group(outputs), ["first", "last"], ["z_label", "a_label"])
    module.bind(batches.provide_data, batches.provide_label)
    module.init_params()
    assert module.score(batches, "mse") == [("mse", ((8 - 3) ** 2 + (10 - 7) ** 2) / 2)]


def test_slopes_that_are_learned_see_the_data_as_it_was() -> None:
    """MXNet writes prelu's gradient over computed data before it sums that of the slopes."""
    data = np.arange(-6, 6, dtype=np.float32).reshape(2, 3, 2)
    head = np.linspace(1, 2, 12, dtype=np.float32).reshape(2, 3, 2)
    gradients = {"data": mx.nd.zeros((2, 3, 2)), "slope": mx.nd.zeros((3,))}
    doubled = mx.sym.Variable("data") * 2
    net = mx.sym.LeakyReLU(doubled, mx.sym.Variable("slope"), act_type="prelu")
    arrays = {"data": mx.nd.array(data), "slope": mx.nd.zeros((3,))}
    executor = net.bind(mx.cpu(), arrays, args_grad=gradients)
    executor.forward(is_train=True)
    executor.backward(mx.nd.array(head))
    expected = (np.minimum(2 * data, 0) * head).sum((0, 2))
    np.testing.assert_allclose(gradients["slope"].asnumpy(), expected, rtol=1e-6)


def test_a_network_without_labels_is_made_in_silence() -> None:
    """MXNet warns that `softmax_label` is not found, and means the data."""
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mx.mod.Module(net).label_names == []


@pytest.mark.filterwarnings("ignore:mx.model.FeedForward is deprecated")
def test_models_predict_with_their_present_parameters() -> None:
    """MXNet's `FeedForward` keeps those of its first prediction, even after more training."""
    data, labels = np.eye(4, 5, dtype="float32"), np.arange(4.0) % 2
    network = mx.sym.SoftmaxOutput(
        mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, name="fc"), name="softmax"
    )
    model = mx.model.FeedForward(network, num_epoch=1, learning_rate=1.0, numpy_batch_size=4)
    model.fit(data, labels)
    before = model.predict(data)
    model.num_epoch = 9
    model.fit(data, labels)
    after = model.predict(data)
    assert (
        after[np.arange(4), labels.astype(int)] > before[np.arange(4), labels.astype(int)]
    ).all()


def test_a_score_is_of_all_batches() -> None:
    """In MXNet it is of those since a callback, such as `Speedometer`, has reset the metric."""
    module = classifier()
    batches = mx.io.NDArrayIter(np.ones((12, 5)), np.arange(12.0) % 3, batch_size=4)
    due = module.score(batches, "ce")
    assert module.score(batches, "ce", batch_end_callback=mx.callback.Speedometer(4, 2)) == due
