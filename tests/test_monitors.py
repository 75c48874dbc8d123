"""Monitors of backward passes: the gradients are those of the run, each under its own name."""

from __future__ import annotations

import numpy as np
import pytest

import tritonsym as mx

Seen = dict[str, np.ndarray]


def watched(executor: mx.Executor, monitor_all: bool = False) -> Seen:
    seen: Seen = {}
    executor.set_monitor_callback(lambda n, a: seen.update({n: a.asnumpy()}), monitor_all)
    return seen


def network() -> mx.Symbol:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=6, name="one")
    net = mx.sym.Dropout(mx.sym.BatchNorm(net, fix_gamma=False, name="bn"), p=0.5, name="drop")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(net, num_hidden=3, name="two"), name="sm")


def bound(context: mx.Context, **options: str) -> mx.Executor:
    executor = network().simple_bind(context, data=(8, 5), **options)
    random = np.random.default_rng(1)
    for array in executor.arg_arrays:
        array[:] = random.standard_normal(array.shape)
    executor.arg_dict["sm_label"][:] = np.arange(8) % 3
    executor.aux_dict["bn_moving_var"][:] = 2
    return executor


@pytest.mark.parametrize("interval", [0, -1, "often"])
def test_an_interval_of_no_batches(interval: object) -> None:
    with pytest.raises(ValueError, match=r"interval=.* must be an int of at least 1"):
        mx.mon.Monitor(interval)


@pytest.mark.parametrize("train", [True, False])
def test_gradients_that_are_shown_are_those_that_are_written(
    context: mx.Context, train: bool
) -> None:
    executor = bound(context)
    seen = watched(executor)
    for _ in range(2):  # other random numbers, and other states
        seen.clear()
        executor.forward(is_train=train)
        assert not [name for name in seen if "backward" in name]
        executor.backward()
        for layer, place, argument in (
            ("one", 0, "data"), ("one", 1, "one_weight"), ("bn", 1, "bn_gamma"),
            ("bn", 2, "bn_beta"), ("two", 1, "two_weight"), ("two", 2, "two_bias"),
        ):  # fmt: skip
            np.testing.assert_allclose(
                seen[f"{layer}_backward_output{place}"],
                executor.grad_dict[argument].asnumpy(),
                rtol=2e-4,
                atol=1e-5,
                err_msg=argument,
            )


def test_gradients_of_given_heads_and_used_twice(context: mx.Context) -> None:
    x = mx.sym.Variable("x")
    both = mx.sym.broadcast_mul(mx.sym.tanh(x, name="t"), mx.sym.square(x, name="s"), name="m")
    executor = both.bind(
        context, {"x": mx.nd.array([0.5, 2], context)}, {"x": mx.nd.zeros((2,), context)}
    )
    seen = watched(executor)
    executor.forward(is_train=True)
    executor.backward(mx.nd.array([1, 10], context))
    total = seen["t_backward_output"] + seen["s_backward_output"]
    np.testing.assert_allclose(total, executor.grad_dict["x"].asnumpy(), rtol=1e-5)
    np.testing.assert_allclose(seen["m_backward_output0"], [0.25, 40], rtol=1e-5)


def test_arguments_that_change_before_the_backward_pass(context: mx.Context) -> None:
    x = mx.sym.Variable("x")
    executor = mx.sym.square(x, name="s").bind(
        context, {"x": mx.nd.array([3], context)}, {"x": mx.nd.zeros((1,), context)}
    )
    seen = watched(executor)
    executor.forward(is_train=True)
    executor.arg_dict["x"][:] = 7
    executor.backward(mx.nd.ones((1,), context))
    assert seen["s_backward_output"].tolist() == [6]


def test_no_gradients_are_shown_where_none_are_wanted(context: mx.Context) -> None:
    executor = bound(context, grad_req="null")
    seen = watched(executor, monitor_all=True)
    executor.forward(is_train=True)
    executor.backward()
    assert not [name for name in seen if "backward" in name]


def test_a_monitor_that_is_taken_away_sees_no_gradients(context: mx.Context) -> None:
    executor = bound(context)
    seen = watched(executor)
    executor.forward(is_train=True)
    executor.set_monitor_callback(None)
    executor.backward()
    assert not [name for name in seen if "backward" in name]


def test_a_monitor_notes_gradients_in_training() -> None:
    data = mx.io.NDArrayIter(np.ones((8, 5)), np.arange(8) % 3, 4, label_name="sm_label")
    module = mx.mod.Module(network(), label_names=["sm_label"])
    module.bind(data.provide_data, data.provide_label)
    module.init_params()
    module.init_optimizer()
    monitor = mx.mon.Monitor(1, pattern=".*backward")
    module.install_monitor(monitor)
    monitor.tic()
    module.forward_backward(next(data))
    module.update()
    noted = [name for _, name, _ in monitor.toc()]
    assert noted == [
        *("sm_backward_output0", "sm_backward_output1"),
        *("two_backward_output0", "two_backward_output1", "two_backward_output2"),
        "drop_backward_output",
        *("bn_backward_output0", "bn_backward_output1", "bn_backward_output2"),
        *("one_backward_output0", "one_backward_output1", "one_backward_output2"),
    ]
