"""A training step as one program does what its three parts do, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.compiler import compiler
from tritonsym.planning.plan import Plan
from tritonsym.training import step as steps

# Threads share sums over the batch, which must come out the same in either program.
pytestmark = pytest.mark.usefixtures("all_threads")

Arrays = dict[str, np.ndarray[Any, Any]]


def network() -> mx.Symbol:
    """Everything that a step has to get right: states, random numbers, shared parameters."""
    data, weight = mx.sym.Variable("data"), mx.sym.Variable("shared_weight")
    # A bias before a batch norm would have nothing but rounding as its gradient.
    hidden = mx.sym.FullyConnected(data, weight, num_hidden=6, name="one", no_bias=True)
    hidden = mx.sym.Activation(mx.sym.BatchNorm(hidden, name="bn"), act_type="relu")
    hidden = mx.sym.FullyConnected(hidden, weight, num_hidden=6, name="two")
    hidden = mx.sym.Dropout(hidden, p=0.3)
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(hidden, num_hidden=3, name="last"))


def batches(sizes: tuple[int, ...] = (8, 8, 8, 8)) -> list[mx.io.DataBatch]:
    random = np.random.RandomState(5)
    made = []
    for size in sizes:
        data = mx.nd.array(random.randn(size, 6))
        label = mx.nd.array(random.randint(0, 3, size))
        made.append(
            mx.io.DataBatch(
                [data], [label], provide_data=[("data", (size, 6))],
                provide_label=[("softmax_label", (size,))],
            )
        )  # fmt: skip
    return made


def trained(
    context: mx.Context,
    apart: bool,
    optimizer: str,
    options: dict[str, Any],
    sizes: tuple[int, ...] = (8, 8, 8, 8),
    **module: Any,
) -> tuple[list[Arrays], mx.mod.Module]:
    """Parameters, states and outputs after each batch."""
    net = mx.sym.SoftmaxOutput(network().get_internals()["last_output"], name="softmax")
    model = mx.mod.Module(net, context=context, **module)
    model.bind([("data", (sizes[0], 6))], [("softmax_label", (sizes[0],))])
    np.random.seed(1)
    mx.random.seed(1)
    model.init_params(mx.init.Xavier())
    if "lr_scheduler" in options:
        schedule = mx.lr_scheduler.FactorScheduler(1, 0.5, base_lr=options["learning_rate"])
        options = {**options, "lr_scheduler": schedule}
    model.init_optimizer(optimizer=optimizer, optimizer_params=options)
    mx.random.seed(9)
    found = []
    for batch in batches(sizes):
        if apart:
            model.forward_backward(batch)
            model.update()
        else:
            model.train_by(batch)
        arguments, states = model.get_params()
        outputs = dict(zip(model.output_names, model.get_outputs(), strict=True))
        every = {**arguments, **states, **outputs}
        found.append({name: array.asnumpy().copy() for name, array in every.items()})
    return found, model


OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("sgd", {"learning_rate": 0.1}),
    "momentum and decay": ("sgd", {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.01}),
    "adam": ("adam", {"learning_rate": 0.01, "wd": 0.001}),
    "a schedule": (
        "sgd",
        {
            "learning_rate": 0.1,
            "lr_scheduler": mx.lr_scheduler.FactorScheduler(1, 0.5, base_lr=0.1),
        },
    ),
    "rmsprop": ("rmsprop", {"learning_rate": 0.01, "clip_gradient": 0.1}),
    "lengths": ("lars", {"learning_rate": 0.1, "momentum": 0.9, "eta": 0.1}),
    "the weight before": ("dcasgd", {"learning_rate": 0.1, "momentum": 0.9, "lamda": 0.5}),
    "several batches": ("lbsgd", {"learning_rate": 0.1, "momentum": 0.9, "batch_scale": 2}),
}


def assert_same(one: np.ndarray, two: np.ndarray, context: mx.Context, what: str) -> None:
    """Every bit, but for a device: its threads share a sum in ways that differ by kernel."""
    if context.device_type == "gpu" and torch.cuda.is_available():
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6, err_msg=what)
    else:
        assert np.array_equal(one, two), what


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_is_its_parts(name: str, context: mx.Context) -> None:
    optimizer, options = OPTIMIZERS[name]
    together, model = trained(context, False, optimizer, options)
    (step,) = model._steps.programs.values()
    assert isinstance(step, steps.CompiledStep)
    apart, other = trained(context, True, optimizer, options)
    assert not other._steps.programs
    for number, (one, two) in enumerate(zip(together, apart, strict=True)):
        assert one.keys() == two.keys()
        for key in one:
            assert_same(one[key], two[key], context, f"{key} after batch {number}")
    assert not np.array_equal(together[0]["last_weight"], together[-1]["last_weight"])


def test_batches_of_another_size_and_back(context: mx.Context) -> None:
    sizes = (8, 8, 5, 8, 5)
    together, model = trained(context, False, "adam", {"learning_rate": 0.01}, sizes)
    apart, _ = trained(context, True, "adam", {"learning_rate": 0.01}, sizes)
    assert len(model._steps.programs) == 2
    for key, value in together[-1].items():
        assert_same(value, apart[-1][key], context, key)


def test_fixed_parameters_stay(context: mx.Context) -> None:
    options = {"learning_rate": 0.1}
    fixed = ["shared_weight"]
    found, model = trained(context, False, "sgd", options, fixed_param_names=fixed)
    assert len(model._steps.programs) == 1
    assert np.array_equal(found[0]["shared_weight"], found[-1]["shared_weight"])
    assert not np.array_equal(found[0]["two_bias"], found[-1]["two_bias"])


def test_rates_may_change_between_steps(context: mx.Context) -> None:
    """Rates are no part of the program; what is, makes another one."""
    _, model = trained(context, False, "sgd", {"learning_rate": 0.1, "momentum": 0.5})
    (first,) = model._steps.programs.values()
    optimizer = model._updater.optimizer
    before = model.get_params()[0]["last_weight"].asnumpy().copy()
    optimizer.lr = 0.0
    optimizer.momentum = 0.0
    model.train_by(batches()[0])
    assert np.array_equal(model.get_params()[0]["last_weight"].asnumpy(), before)
    (second,) = model._steps.programs.values()
    assert second is not first
    optimizer.lr = 0.2
    model.train_by(batches()[0])
    assert next(iter(model._steps.programs.values())) is second
    assert not np.array_equal(model.get_params()[0]["last_weight"].asnumpy(), before)


def test_what_cannot_be_one_program_is_done_in_parts(context: mx.Context) -> None:
    """Outputs that are no losses, and gradients that are added up."""
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, name="fc")
    model = mx.mod.Module(mx.sym.MakeLoss(mx.sym.square(net)), label_names=(), context=context)
    model.bind([("data", (4, 3))], grad_req="add")
    model.init_params()
    model.init_optimizer()
    batch = mx.io.DataBatch([mx.nd.ones((4, 3))], [])
    for _ in range(3):
        model.train_by(batch)
    assert not model._steps.programs


def test_a_failing_batch_changes_nothing(context: mx.Context) -> None:
    found, model = trained(context, False, "sgd", {"learning_rate": 0.1})
    bad = mx.io.DataBatch([mx.nd.ones((8, 7))], [mx.nd.ones((8,))])
    with pytest.raises((mx.MXNetError, ValueError)):
        model.train_by(bad)
    now = model.get_params()[0]
    assert all(np.array_equal(found[-1][name], array.asnumpy()) for name, array in now.items())
    model.train_by(batches()[0])


class Failing(mx.operator.CustomOp):
    def forward(self, is_train: bool, req: Any, in_data: Any, out_data: Any, aux: Any) -> None:
        raise RuntimeError("no more")


@mx.operator.register("failing_in_a_step")
class FailingProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx: Any, in_shapes: Any, in_dtypes: Any) -> Failing:
        return Failing()


def test_a_step_that_fails_names_its_kernel(context: mx.Context) -> None:
    hidden = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3)
    failing = mx.sym.Custom(hidden, op_type="failing_in_a_step", name="mine")
    model = mx.mod.Module(mx.sym.SoftmaxOutput(failing, name="softmax"), context=context)
    model.bind([("data", (8, 6))], [("softmax_label", (8,))])
    model.init_params()
    model.init_optimizer()
    with pytest.raises(RuntimeError, match="no more") as caught:
        model.train_by(batches()[0])
    (note,) = caught.value.__notes__
    assert note.startswith("in kernel") and "mine" in note


def test_a_step_stores_no_gradient_and_writes_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step keeps is what the next one needs: no more memory than that, and no copies."""
    plans = []
    make_plan = compiler.make_plan

    def recorded(*args: Any, **options: Any) -> Plan:
        plans.append(make_plan(*args, **options))
        return plans[-1]

    monkeypatch.setattr(compiler, "make_plan", recorded)
    _, model = trained(mx.cpu(), False, "sgd", {"learning_rate": 0.1, "momentum": 0.9})
    step = max(plans, key=lambda plan: len(plan.in_place))
    parameters, states = (len(arrays) for arrays in model.get_params())
    replaced = 2 * parameters + states  # a weight and a momentum each, and the network's states
    assert len(step.in_place) == replaced
    assert len(step.outputs) == len(model.output_names) + replaced
    assert not any(stage.updates for stage in step.stages)
    assert not model._kept.gradients


def test_gradients_are_there_when_they_are_asked_for(context: mx.Context) -> None:
    _, model = trained(context, False, "sgd", {"learning_rate": 0.1})
    executor = model._bound()
    weight, gradient = (d["two_bias"] for d in (executor.arg_dict, executor.grad_dict))
    assert gradient is not None
    assert (gradient.shape, gradient.dtype, gradient.context) == (
        weight.shape,
        weight.dtype,
        weight.context,
    )
    assert not gradient.asnumpy().any()
    model.forward_backward(batches()[0])
    assert model._bound().grad_dict["two_bias"] is gradient
    assert gradient.asnumpy().any()
    before = gradient.asnumpy().copy()
    model.train_by(batches()[1])
    assert np.array_equal(gradient.asnumpy(), before)
