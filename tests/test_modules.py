"""Module and what is around it, where MXNet has no answer or a worse one."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tritonsym as mx


def perceptron(units: int = 8) -> mx.Symbol:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=units, name="fc1")
    net = mx.sym.Activation(net, act_type="relu", name="relu1")
    net = mx.sym.FullyConnected(net, num_hidden=3, name="fc2")
    return mx.sym.SoftmaxOutput(net, name="softmax")


def samples(count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    data = np.random.default_rng(0).standard_normal((count, 5)).astype("float32")
    return data, data[:, :3].argmax(1)


def bound(context: mx.Context | None = None, **given: object) -> mx.mod.Module:
    mx.random.seed(1)
    module = mx.mod.Module(perceptron(), context=context)
    module.bind([("data", (10, 5))], [("softmax_label", (10,))], **given)
    module.init_params(mx.init.Xavier())
    return module


@pytest.mark.parametrize(
    ("optimizer", "given"),
    [
        ("sgd", {"learning_rate": 0.1, "momentum": 0.9}),
        ("nag", {"learning_rate": 0.2, "momentum": 0.9}),
        ("adam", {"learning_rate": 0.02}),
        ("adamw", {"learning_rate": 0.02, "wd": 0.01}),
        ("rmsprop", {"learning_rate": 0.01}),
        ("adagrad", {"learning_rate": 0.2}),
        ("adadelta", {"epsilon": 1e-3}),
        ("ftrl", {"learning_rate": 1.0}),
        ("lamb", {"learning_rate": 0.05}),
        ("signum", {"learning_rate": 0.01}),
        ("signsgd", {"learning_rate": 0.01}),
        ("ftml", {"learning_rate": 0.02}),
        ("adamax", {"learning_rate": 0.02}),
        ("nadam", {"learning_rate": 0.02}),
        ("dcasgd", {"learning_rate": 0.1, "momentum": 0.9}),
        ("lars", {"learning_rate": 0.5, "momentum": 0.5, "eta": 0.05}),
        ("lbsgd", {"learning_rate": 0.2, "momentum": 0.9, "batch_scale": 2}),
        ("sgld", {"learning_rate": 0.001, "rescale_grad": 10.0}),
    ],
)
def test_every_optimizer_learns(optimizer: str, given: dict[str, float]) -> None:
    """Chance is right in a third of the cases."""
    mx.random.seed(3)
    data = mx.io.NDArrayIter(*samples(), 20)
    module = mx.mod.Module(perceptron(16))
    module.fit(
        data,
        optimizer=optimizer,
        optimizer_params=given,
        initializer=mx.init.Xavier(),
        num_epoch=12,
    )
    ((_, accuracy),) = module.score(data, "acc")
    assert accuracy > 0.9


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "none"])
def test_a_network_without_trained_parameters(fixed: bool) -> None:
    """There is nothing to train, which is no error: outputs and metrics are what is wanted."""
    data = mx.io.NDArrayIter(*samples(), 20)
    net = perceptron() if fixed else mx.sym.SoftmaxOutput(mx.sym.Variable("data"), name="softmax")
    names = [name for name in net.list_arguments() if name not in ("data", "softmax_label")]
    module = mx.mod.Module(net, fixed_param_names=names)
    module.fit(data, initializer=mx.init.One(), num_epoch=2)
    assert all(
        (one.asnumpy() == 1).all() or "bias" in n for n, one in module.get_params()[0].items()
    )


def test_buckets_train_by_one_program_each() -> None:
    def network(key: int) -> tuple[mx.Symbol, list[str], list[str]]:
        net = mx.sym.mean(mx.sym.Variable("data"), axis=1)
        net = mx.sym.FullyConnected(net, num_hidden=3, name="fc")
        return mx.sym.SoftmaxOutput(net, name="softmax"), ["data"], ["softmax_label"]

    def trained(apart: bool) -> tuple[dict[str, np.ndarray], mx.mod.BucketingModule]:
        mx.random.seed(2)
        module = mx.mod.BucketingModule(network, default_bucket_key=6)
        module.bind([("data", (4, 6, 5))], [("softmax_label", (4,))])
        module.init_params(mx.init.Xavier())
        module.init_optimizer(optimizer="adam")
        for key in (6, 3, 6, 2, 3):
            batch = mx.io.DataBatch(
                [mx.nd.arange(4 * key * 5).reshape((4, key, 5)) / 10],
                [mx.nd.array([0, 1, 2, 1])],
                bucket_key=key,
                provide_data=[("data", (4, key, 5))],
                provide_label=[("softmax_label", (4,))],
            )
            if apart:
                module.forward_backward(batch)
                module.update()
            else:
                module.train_by(batch)
        return {name: one.asnumpy() for name, one in module.get_params()[0].items()}, module

    (one, module), (other, _) = trained(False), trained(True)
    assert [len(each._steps.programs) for each in module._modules.values()] == [1, 1, 1]
    for name in one:
        assert (one[name] == other[name]).all()


def test_a_step_on_either_context(context: mx.Context) -> None:
    module, reference = bound(context), bound(mx.cpu())
    batch = next(mx.io.NDArrayIter(*samples(10), 10))
    for one in (module, reference):
        one.init_optimizer(optimizer="adam", optimizer_params={"learning_rate": 0.1})
    reference.set_params(*module.get_params())
    for one in (module, reference):
        there = mx.io.DataBatch(
            [array.as_in_context(one._context[0]) for array in batch.data],
            [array.as_in_context(one._context[0]) for array in batch.label],
        )
        for _ in range(2):
            one.forward_backward(there)
            one.update()
    for name, array in module.get_params()[0].items():
        # float32 sums in another order
        expected = reference.get_params()[0][name].asnumpy()
        np.testing.assert_allclose(array.asnumpy(), expected, rtol=1e-4, atol=1e-5)


def test_inference_without_labels_takes_any_batch_size() -> None:
    """MXNet fails here: the label's shape is that of the first batch."""
    module = bound()
    unlabelled = mx.mod.Module(perceptron())
    unlabelled.bind([("data", (10, 5))], for_training=False)
    unlabelled.set_params(*module.get_params())
    data, _ = samples(23)
    outputs = unlabelled.predict(mx.io.NDArrayIter(data, batch_size=10))
    assert outputs.shape == (23, 3)
    for count in (1, 23, 7):
        found = unlabelled.predict(data[:count]).asnumpy()
        np.testing.assert_allclose(found, outputs.asnumpy()[:count], rtol=1e-5, atol=1e-6)


def test_batch_sizes_in_turn_keep_few_executors() -> None:
    module = bound()
    for count in (1, 2, 3, 4, 5, 6, 7, 1):
        batch = mx.io.DataBatch([mx.nd.ones((count, 5))], [mx.nd.ones((count,))])
        module.forward(batch)
        assert module.get_outputs()[0].shape == (count, 3)
    assert len(module._executors) <= 4


def test_binding_again_keeps_parameters() -> None:
    module = bound()
    before = module.get_params()[0]
    module.bind([("data", (3, 5))], [("softmax_label", (3,))], force_rebind=True)
    for name, array in module.get_params()[0].items():
        assert (array.asnumpy() == before[name].asnumpy()).all()


def test_what_shares_parameters_borrows_their_optimizer() -> None:
    module = bound()
    before = module.get_params()[0]["fc1_weight"].asnumpy()
    module.init_optimizer(optimizer="sgd", optimizer_params={"learning_rate": 0.5, "momentum": 0.9})
    other = mx.mod.Module(perceptron())
    data, labels = samples(4)
    batches = mx.io.NDArrayIter(data, labels, 4)
    other.bind(batches.provide_data, batches.provide_label, shared_module=module)
    assert other.optimizer_initialized and other._optimizer is module._optimizer
    other.forward_backward(next(batches))
    other.update()
    after = module.get_params()[0]["fc1_weight"].asnumpy()
    assert not np.array_equal(before, after)
    assert np.array_equal(after, other.get_params()[0]["fc1_weight"].asnumpy())
    without = mx.mod.Module(perceptron())
    without.bind(batches.provide_data, batches.provide_label, shared_module=bound())
    assert not without.optimizer_initialized


def test_data_that_does_not_fit_leaves_the_module_as_it_was() -> None:
    module = bound()
    batch = mx.io.DataBatch([mx.nd.ones((10, 6))], [mx.nd.ones((10,))])
    with pytest.raises(mx.MXNetError, match="fc1_weight"):
        module.forward(batch)
    module.forward(mx.io.DataBatch([mx.nd.ones((10, 5))], [mx.nd.ones((10,))]))
    assert module.get_outputs()[0].shape == (10, 3)


def test_parameters_of_another_shape_change_nothing() -> None:
    module = bound()
    given, states = module.get_params()
    before = {name: array.asnumpy() for name, array in given.items()}
    wrong = {name: array * 2 for name, array in given.items()} | {"fc2_bias": mx.nd.ones((4,))}
    with pytest.raises(mx.MXNetError, match=r"fc2_bias has shape \(3,\), given was \(4,\)"):
        module.set_params(wrong, states)
    for name, array in module.get_params()[0].items():
        assert (array.asnumpy() == before[name]).all()


def test_several_processors_are_one() -> None:
    several = mx.mod.Module(perceptron(), context=[mx.cpu(0), mx.cpu(1)])
    several.fit(mx.io.NDArrayIter(*samples(10), 5), num_epoch=1, initializer=mx.init.One())
    one = mx.mod.Module(perceptron())
    one.fit(mx.io.NDArrayIter(*samples(10), 5), num_epoch=1, initializer=mx.init.One())
    for name, array in one.get_params()[0].items():
        np.testing.assert_array_equal(several.get_params()[0][name].asnumpy(), array.asnumpy())


def test_several_gpus_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one GPU, got .* one process per GPU"):
        mx.mod.Module(perceptron(), context=[mx.gpu(0), mx.gpu(1)])
    with pytest.raises(ValueError, match=r"one GPU, got \[\]"):
        mx.mod.Module(perceptron(), context=[])


def test_states_are_carried_from_one_batch_to_the_next() -> None:
    h, c = (mx.sym.Variable(name, shape=(2, 3)) for name in "hc")
    step = mx.sym.broadcast_add(h, mx.sym.Variable("data"))
    net = mx.sym.Group([step + c, mx.sym.BlockGrad(step), mx.sym.BlockGrad(c * 2)])
    module = mx.mod.Module(net, label_names=None, state_names=["h", "c"])
    module.bind([("data", (2, 3))], for_training=False)
    module.init_params()
    module.set_states(value=1)
    for expected in (1 + 1 + 1, 2 + 1 + 2, 3 + 1 + 4):
        module.forward(mx.io.DataBatch([mx.nd.ones((2, 3))]))
        outputs = module.get_outputs(merge_multi_context=False)
        assert (outputs[0][0].asnumpy() == expected).all()
        module.set_states(states=outputs[1:])
    (h_now,), (c_now,) = module.get_states(merge_multi_context=False)
    assert (h_now.asnumpy() == 4).all() and (c_now.asnumpy() == 8).all()
    module.set_states(states=[mx.nd.zeros((2, 3)), h_now])
    assert [x.asnumpy()[0, 0] for x in module.get_states()] == [0, 4]


def test_parameters_can_be_exchanged() -> None:
    """What is given lies in the arrays that are written to."""
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, no_bias=True, name="one")
    net = mx.sym.FullyConnected(net, num_hidden=3, no_bias=True, name="two")
    module = mx.mod.Module(net, label_names=None)
    assert module._exec_group is None
    module.bind([("data", (2, 3))])
    module.init_params()
    (one, two) = (arrays[0] for arrays in module._exec_group.param_arrays)
    one[:], two[:] = 1, 2
    module.set_params({"one_weight": two, "two_weight": one}, {})
    assert (one.asnumpy() == 2).all() and (two.asnumpy() == 1).all()
    module.set_params({"one_weight": one, "two_weight": one[:]}, {})
    assert (one.asnumpy() == 2).all() and (two.asnumpy() == 2).all()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, AssertionError),
        ({"states": [mx.nd.zeros((2,))] * 2, "value": 1}, AssertionError),
        ({"states": [mx.nd.zeros((2,))]}, AssertionError),
        ({"states": [mx.nd.zeros((2,)), mx.nd.zeros((3,))]}, mx.MXNetError),
        ({"states": [mx.nd.zeros((2,)), 0]}, TypeError),
        ({"value": "none"}, TypeError),
    ],
)
def test_states_that_do_not_fit_change_nothing(
    given: dict[str, Any], error: type[Exception]
) -> None:
    net = mx.sym.Variable("data") + mx.sym.Variable("g") + mx.sym.Variable("h")
    module = mx.mod.Module(net, label_names=None, state_names=["h", "g"])
    module.bind([("data", (2,))], for_training=False)
    module.init_params()
    module.set_states(value=5)
    with pytest.raises(error):
        module.set_states(**given)
    assert all((one.asnumpy() == 5).all() for one in module.get_states())


def test_a_chain_of_modules_has_no_states() -> None:
    chain = mx.mod.SequentialModule().add(mx.mod.Module(perceptron()), take_labels=True)
    assert chain.get_states(merge_multi_context=False) == []
    chain.set_states(states=[])
    with pytest.raises(AssertionError, match="SequentialModule has no states"):
        chain.set_states(value=1)


def test_names_that_published_programs_use() -> None:
    """They are not public in MXNet either."""
    module = mx.mod.Module(perceptron())
    assert module._label_shapes is None and module._data_shapes is None
    data, labels = samples(10)
    batches = mx.io.NDArrayIter(data, labels, 10)
    module.bind(batches.provide_data, batches.provide_label)
    module.init_params(mx.init.One())
    assert [one.name for one in module._data_shapes] == module._data_names == ["data"]
    assert [one.name for one in module._label_shapes] == module._label_names
    assert module._symbol is module.symbol and module._output_names == module.output_names
    group = module._exec_group
    module.forward_backward(next(batches))
    for name, (array,), (gradient,) in zip(
        group.param_names, group.param_arrays, group.grad_arrays, strict=True
    ):
        assert (array.asnumpy() == module.get_params()[0][name].asnumpy()).all()
        assert gradient is group.execs[0].grad_dict[name]
    assert group.arg_names == ["data", *group.param_names, "softmax_label"]
    assert (group.batch_size, group.slices) == (10, [slice(0, 10)])
    assert group.contexts == module._context == [mx.cpu()]
    (((rows, array),),), (((_, label),),) = group.data_arrays, group.label_arrays
    assert (array[rows].asnumpy() == data).all() and (label.asnumpy() == labels).all()
    assert (group.aux_names, group.aux_arrays, group.input_grad_arrays) == ([], [], None)
    assert group.get_outputs()[0] is module.get_outputs()[0]
    with pytest.warns(UserWarning, match="already initialized and force_init=False"):
        module.init_params(mx.init.Zero())
    assert group.param_arrays[0][0].asnumpy().all()


def test_values_that_a_program_puts_where_load_puts_them() -> None:
    """Published programs have copied the lines of MXNet's own `Module.load`."""
    values = bound().get_params()[0]
    module = mx.mod.Module(perceptron())
    assert module._arg_params is None and module._aux_params is None
    assert module._kvstore is None and module._update_on_kvstore is None
    module._arg_params, module._aux_params, module.params_initialized = values, {}, True
    module.bind([("data", (4, 5))], for_training=False)
    assert module.get_params()[0].keys() == module._arg_params.keys() == values.keys()
    for name, value in values.items():
        assert np.array_equal(module.get_params()[0][name].asnumpy(), value.asnumpy())
        assert np.array_equal(module._arg_params[name].asnumpy(), value.asnumpy())
    module.forward(mx.io.DataBatch([mx.nd.ones((4, 5))]))
    assert not np.allclose(module.get_outputs()[0].asnumpy(), 1 / 3)


def test_values_that_a_program_puts_into_a_bound_module_wait_for_it_to_be_bound() -> None:
    module = bound()
    shapes = {name: array.shape for name, array in module.get_params()[0].items()}
    module._arg_params = {name: mx.nd.ones(shape) * 2 for name, shape in shapes.items()}
    (weight,) = module._exec_group.param_arrays[0]
    assert (module.get_params()[0]["fc1_weight"].asnumpy() == 2).all()
    assert not (weight.asnumpy() == 2).any()
    module._exec_group.set_params(module._arg_params, module._aux_params)
    assert (weight.asnumpy() == 2).all()
    module._arg_params = {name: mx.nd.ones(shape) * 3 for name, shape in shapes.items()}
    module.bind([("data", (10, 5))], [("softmax_label", (10,))], force_rebind=True)
    assert (module._exec_group.param_arrays[0][0].asnumpy() == 3).all()


def test_parameters_are_dirty_once_they_are_updated() -> None:
    store = mx.kv.create("local")
    module = bound()
    module.init_optimizer(kvstore=store, optimizer_params={"learning_rate": 1.0})
    assert module._kvstore is store
    assert not module._params_dirty
    before = module._arg_params["fc1_weight"].asnumpy()
    module.forward_backward(next(mx.io.NDArrayIter(*samples(10), 10)))
    module.update()
    assert module._params_dirty
    module._sync_params_from_devices()
    assert not module._params_dirty
    after = module._arg_params["fc1_weight"].asnumpy()
    assert not np.array_equal(before, after)
    assert np.array_equal(after, module.get_params()[0]["fc1_weight"].asnumpy())
    fixed = mx.mod.Module(perceptron(), fixed_param_names=["fc1_bias"])
    assert fixed._fixed_param_names == ["fc1_bias"]


@pytest.mark.parametrize("kind", ["arguments", "auxiliary states"])
@pytest.mark.parametrize("buckets", [False, True], ids=["one", "many"])
def test_a_name_that_is_not_there_is_refused_where_others_may_be_missing(
    kind: str, buckets: bool
) -> None:
    module: Any = bound()
    if buckets:
        module = mx.mod.BucketingModule(
            lambda key: (perceptron(), ["data"], ["softmax_label"]), default_bucket_key=1
        )
        module.bind([("data", (10, 5))], [("softmax_label", (10,))])
        module.init_params(mx.init.Xavier())
    before = module.get_params()[0]["fc2_bias"].asnumpy()
    bias, wrong = {"fc2_bias": mx.nd.ones((3,))}, {"fc9_bias": mx.nd.ones((3,))}
    given = ({**bias, **wrong}, {}) if kind == "arguments" else (bias, wrong)
    with pytest.raises(ValueError, match=f"fc9_bias.* not in the {kind}.*allow_extra=True"):
        module.set_params(*given, allow_missing=True)
    assert np.array_equal(module.get_params()[0]["fc2_bias"].asnumpy(), before)
    module.set_params(*given, allow_missing=True, allow_extra=True)
    assert (module.get_params()[0]["fc2_bias"].asnumpy() == 1).all()
    module.set_params({**module.get_params()[0], **wrong}, {})


def test_gradients_that_add_up() -> None:
    module = bound(grad_req="add")
    batch = next(mx.io.NDArrayIter(*samples(10), 10))
    module.forward_backward(batch)
    once = module._kept.gradients["fc1_weight"].asnumpy()
    module.forward_backward(batch)
    np.testing.assert_allclose(module._kept.gradients["fc1_weight"].asnumpy(), 2 * once, rtol=1e-5)


def test_weights_of_16_bits_train_with_a_copy() -> None:
    data = mx.sym.Cast(mx.sym.Variable("data"), dtype="float16")
    net = mx.sym.FullyConnected(data, num_hidden=3, name="fc")
    net = mx.sym.SoftmaxOutput(mx.sym.Cast(net, dtype="float32"), name="softmax")
    module = mx.mod.Module(net)
    data_iter = mx.io.NDArrayIter(*samples(), 20)
    module.fit(
        data_iter,
        optimizer_params={"learning_rate": 0.5, "momentum": 0.9, "multi_precision": True},
        initializer=mx.init.Xavier(),
        num_epoch=8,
    )
    assert module._kept.parameters["fc_weight"].dtype is np.float16
    assert module._updater.states[0][1].dtype is np.float32
    assert module.score(data_iter, "acc")[0][1] > 0.9


# ---- buckets -----------------------------------------------------------------------------------


def of_length(length: int) -> tuple[mx.Symbol, list[str], list[str]]:
    """A layer that is applied at each of so many places, with the same weights."""
    data = mx.sym.Variable("data")
    weight, bias = mx.sym.Variable("w_weight"), mx.sym.Variable("w_bias")
    net = mx.sym.reshape(data, shape=(-1, 4))
    net = mx.sym.FullyConnected(net, weight=weight, bias=bias, num_hidden=4, name="fc")
    return mx.sym.SoftmaxOutput(net, name="softmax"), ["data"], ["softmax_label"]


def bucket(length: int, seed: int) -> mx.io.DataBatch:
    values = np.random.default_rng(seed).standard_normal((5, length, 4)).astype("float32")
    label = values.argmax(2).ravel()
    return mx.io.DataBatch(
        [mx.nd.array(values)],
        [mx.nd.array(label)],
        bucket_key=length,
        provide_data=[("data", values.shape)],
        provide_label=[("softmax_label", label.shape)],
    )


def test_buckets_share_parameters_and_optimizer() -> None:
    mx.random.seed(0)
    module = mx.mod.BucketingModule(of_length, default_bucket_key=9)
    first = bucket(9, 0)
    module.bind(first.provide_data, first.provide_label)
    module.init_params(mx.init.Xavier())
    module.init_optimizer(optimizer_params={"learning_rate": 0.1, "momentum": 0.9})
    metric = mx.metric.create("acc")
    for step in range(40):
        batch = bucket((3, 9, 6)[step % 3], step)
        module.forward_backward(batch)
        module.update()
        if step >= 34:
            module.update_metric(metric, batch.label)
    assert metric.get()[1] > 0.9
    assert len({id(one._kept.parameters["w_weight"]) for one in module._modules.values()}) == 1
    assert module._modules[9]._updater.optimizer.num_update == 40


def test_buckets_are_saved_and_loaded(tmp_path: Path) -> None:
    module = mx.mod.BucketingModule(of_length, default_bucket_key=4)
    batch = bucket(4, 1)
    module.bind(batch.provide_data, batch.provide_label)
    module.init_params(mx.init.Normal(1))
    module.save_checkpoint(tmp_path / "net", 2)
    again = mx.mod.BucketingModule.load(tmp_path / "net", 2, of_length, 4)
    again.bind(batch.provide_data, batch.provide_label)
    for one in (module, again):
        one.forward(batch, is_train=False)
    assert (module.get_outputs()[0].asnumpy() == again.get_outputs()[0].asnumpy()).all()


# ---- around it ---------------------------------------------------------------------------------


def test_callbacks_tell_what_happens(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = mx.io.NDArrayIter(*samples(60), 10)
    module = mx.mod.Module(perceptron())
    with caplog.at_level(logging.INFO):
        module.fit(
            data,
            eval_data=data,
            num_epoch=2,
            batch_end_callback=[
                mx.callback.Speedometer(10, 2),
                mx.callback.log_train_metric(3),
                mx.callback.ProgressBar(6, 12),
            ],
            epoch_end_callback=mx.callback.module_checkpoint(module, tmp_path / "net", 2, True),
            eval_end_callback=mx.callback.LogValidationMetricsCallback(),
        )
    text = caplog.text
    assert "Epoch[0] Batch [0-2]\tSpeed: " in text
    assert "Epoch[1] Batch [2-4]\tSpeed: " in text
    assert "Iter[1] Batch[3] Train-accuracy=" in text
    assert "Epoch[1] Train-accuracy=" in text
    assert text.count("Epoch[1] Validation-accuracy=") == 2  # of the callback, and of fit
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "net-0002.params",
        "net-0002.states",
        "net-symbol.json",
    ]
    assert "100%" in capsys.readouterr().err


def test_a_monitor_watches_in_fit(caplog: pytest.LogCaptureFixture) -> None:
    data = mx.io.NDArrayIter(*samples(40), 10)
    with caplog.at_level(logging.INFO):
        mx.mod.Module(perceptron()).fit(
            data, num_epoch=1, monitor=mx.mon.Monitor(2, pattern="fc1_(output|weight)", sort=True)
        )
    shown = [
        record.getMessage().split()[1:3]
        for record in caplog.records
        if "fc1" in record.msg % record.args
    ]
    assert shown == [
        ["1", "fc1_output"],
        ["1", "fc1_weight"],
        ["3", "fc1_output"],
        ["3", "fc1_weight"],
    ]


def test_a_summary_counts_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    mx.viz.print_summary(perceptron(), {"data": (2, 5)})
    text = capsys.readouterr().out
    for line in (
        "data(null)",
        "fc1(FullyConnected)",
        "relu1(Activation)",
        "softmax(SoftmaxOutput)",
    ):
        assert line in text
    assert f"Total params: {5 * 8 + 8 + 8 * 3 + 3}\n" in text
    with pytest.raises(ValueError, match="incomplete"), pytest.warns(UserWarning):
        mx.viz.print_summary(perceptron(), {"softmax_label": (2,)})


def test_a_picture_needs_graphviz() -> None:
    try:
        import graphviz
    except ImportError:
        with pytest.raises(ImportError, match="graphviz"):
            mx.viz.plot_network(perceptron())
        return
    picture = mx.viz.plot_network(perceptron(), shape={"data": (2, 5)})
    assert isinstance(picture, graphviz.Digraph)
    assert "fc1_weight" not in picture.source
    assert "FullyConnected" in picture.source


@pytest.mark.parametrize("names", [["w"], ["arg:w", "b"], ["opt:w"]])
def test_files_that_hold_no_parameters(tmp_path: Path, names: list[str]) -> None:
    perceptron().save(tmp_path / "net-symbol.json")
    mx.nd.save(tmp_path / "net-0001.params", {name: mx.nd.ones((2,)) for name in names})
    with pytest.raises(mx.MXNetError, match="begin with arg: or aux:"):
        mx.model.load_checkpoint(tmp_path / "net", 1)
    mx.nd.save(tmp_path / "net-0001.params", [mx.nd.ones((2,))])
    with pytest.raises(mx.MXNetError, match="no names"):
        mx.model.load_params(tmp_path / "net", 1)


def test_stores_refuse_what_does_not_fit() -> None:
    store = mx.kv.create()
    store.init("a", mx.nd.ones((2,)))
    with pytest.raises(mx.MXNetError, match="'a' is there already"):
        store.init("a", mx.nd.ones((2,)))
    with pytest.raises(mx.MXNetError, match="'b' has no value"):
        store.pull("b", out=mx.nd.ones((2,)))
    with pytest.raises(mx.MXNetError, match=r"has shape \(2,\), pushed \(3,\)"):
        store.push("a", mx.nd.ones((3,)))
    with pytest.raises(mx.MXNetError, match="dist_sync"):
        mx.kv.create("dist_sync")


def test_values_of_a_key_that_comes_twice_are_summed() -> None:
    store, out, ones = mx.kv.create(), mx.nd.zeros((2,)), mx.nd.ones((2,))
    store.init(["a", "b"], [ones, ones])
    store.push(["a", "b", "a"], [[ones, ones], ones, ones * 3])
    store.pull("a", out=out)
    assert out.asnumpy().tolist() == [5, 5]
    seen = []
    store._set_updater(lambda key, pushed, kept: seen.append((key, pushed.asnumpy().tolist())))
    store.push(["a", "b", "a"], [ones, ones, ones * 3])
    assert seen == [("a", [4, 4]), ("b", [1, 1])]


def test_a_store_says_what_it_can_do() -> None:
    assert mx.kv.create().is_capable("optimizer")
    with pytest.raises(ValueError, match="Unknown capability: 'sparse'"):
        mx.kv.create().is_capable("sparse")


def test_a_store_that_refuses_is_as_before() -> None:
    store, ones = mx.kv.create(), mx.nd.ones((2,))
    with pytest.raises(mx.MXNetError, match="'a' comes twice"):
        store.init(["a", "a"], [ones, ones])
    with pytest.raises(mx.MXNetError, match=r"'a' has shape \(2,\), and out \(3,\)"):
        store.broadcast("a", ones, out=mx.nd.zeros((3,)))
    store.init(["a", "b"], [ones, mx.nd.ones((3,))])  # so that neither was there
    first, last, wide = mx.nd.zeros((2,)), mx.nd.zeros((2,)), mx.nd.zeros((4, 2))
    for refused in (
        lambda: store.pull(["a", "b"], out=[first, last]),
        lambda: store.pull(["a", "c"], out=[first, last]),
        lambda: store.pull("a", out=[first, wide]),
        lambda: store.push("a", [ones, mx.nd.ones((1,))]),
        lambda: store.pushpull(["a", "b"], [ones * 5, mx.nd.ones((3,))], out=[first, last]),
    ):
        with pytest.raises(mx.MXNetError):
            refused()
    assert not first.asnumpy().any() and not wide.asnumpy().any()
    store.pull("a", out=first)
    assert first.asnumpy().tolist() == [1, 1]


def test_a_bar_by_tqdm_where_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Bar] = []

    class Bar:
        def __init__(self, total: int, desc: str, unit: str) -> None:
            self.total, self.desc, self.n, self.closed = total, desc, 0, False
            self.shown: dict[str, float] = {}
            made.append(self)

        def update(self, count: int) -> None:
            self.n += count

        def set_postfix(self, shown: dict[str, float]) -> None:
            self.shown = shown

        def close(self) -> None:
            self.closed = True

    monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace(tqdm=Bar))
    data = mx.io.NDArrayIter(*samples(30), 10)
    bar = mx.callback.ProgressBar(3)
    mx.mod.Module(perceptron()).fit(data, num_epoch=2, batch_end_callback=bar)
    assert [(one.desc, one.n, one.closed) for one in made] == [
        ("Epoch 0", 3, True),
        ("Epoch 1", 3, True),
    ]
    assert list(made[0].shown) == ["accuracy"]
