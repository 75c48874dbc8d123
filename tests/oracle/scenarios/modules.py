"""Networks in training: what Module computes, keeps, writes and refuses."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from oracle.scenario import Answer, outcome, plain, raised, scenario

SAMPLES, FEATURES, CLASSES, BATCH = 20, 5, 3, 6


def numbers(count: int, seed: float) -> Any:
    """The same numbers under every version of numpy."""
    return np.round(np.sin(np.arange(count) * 1.3 + seed), 3)


DATA = numbers(SAMPLES * FEATURES, 0.3).reshape(SAMPLES, FEATURES)
LABEL = DATA[:, :CLASSES].argmax(1)


def perceptron(mx: ModuleType) -> Any:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=4, name="fc1")
    net = mx.sym.Activation(net, act_type="tanh", name="tanh1")
    net = mx.sym.FullyConnected(net, num_hidden=CLASSES, name="fc2")
    return mx.sym.SoftmaxOutput(net, name="softmax")


def first_values(mx: ModuleType) -> dict[str, Any]:
    shapes = {"fc1_weight": (4, FEATURES), "fc1_bias": (4,)}
    shapes |= {"fc2_weight": (CLASSES, 4), "fc2_bias": (CLASSES,)}
    return {
        name: mx.nd.array(numbers(int(np.prod(shape)), len(name) + place).reshape(shape))
        for place, (name, shape) in enumerate(shapes.items())
    }


def batches(mx: ModuleType) -> Any:
    return mx.io.NDArrayIter(DATA, LABEL, BATCH)


def bound(mx: ModuleType, **given: Any) -> Any:
    module = mx.mod.Module(perceptron(mx), **given.pop("made", {}))
    data = batches(mx)
    module.bind(data.provide_data, data.provide_label, **given)
    module.init_params(arg_params=first_values(mx), aux_params={})
    return module


def values(arrays: Any) -> Answer:
    return {
        name: array.asnumpy().ravel().astype("float64").tolist() for name, array in arrays.items()
    }


@scenario(tolerance=1e-5)
def training(mx: ModuleType) -> Answer:
    answers = {}
    for label, optimizer, given in (
        ("sgd", "sgd", {"learning_rate": 0.5, "momentum": 0.9, "wd": 0.01}),
        ("adam", "adam", {"learning_rate": 0.05, "wd": 0.1}),
        ("pairs", "sgd", (("learning_rate", 0.1), ("rescale_grad", 1.0))),
    ):
        module = mx.mod.Module(perceptron(mx), logger=logging.getLogger("silent"))
        logging.getLogger("silent").setLevel(logging.CRITICAL)
        seen: list[Any] = []

        def note(param: Any, seen: list[Any] = seen) -> None:
            seen.append([param.epoch, param.nbatch, param.eval_metric.get()[1]])

        module.fit(
            batches(mx),
            eval_data=batches(mx),
            eval_metric=["acc", "ce"],
            optimizer=optimizer,
            optimizer_params=given,
            arg_params=first_values(mx),
            num_epoch=3,
            batch_end_callback=note,
        )
        answers[label] = [
            seen,
            module.score(batches(mx), ["acc", "ce"]),
            module.score(batches(mx), "acc", num_batch=1),
            values(module.get_params()[0]),
        ]
    return answers


@scenario(tolerance=1e-5)
def a_batch_by_hand(mx: ModuleType) -> Answer:
    module = bound(mx, inputs_need_grad=True, made={"fixed_param_names": ["fc1_weight"]})
    module.init_optimizer(optimizer_params={"learning_rate": 0.5})
    before = values(module.get_params()[0])
    batch = next(batches(mx))
    module.forward(batch, is_train=True)
    output = module.get_outputs()[0].asnumpy().tolist()
    module.backward()
    gradient = module.get_input_grads()[0].asnumpy().tolist()
    module.update()
    after = values(module.get_params()[0])
    metric = mx.metric.create("acc")
    module.update_metric(metric, batch.label)
    return {
        "output": plain(output),
        "gradient": plain(gradient),
        "fixed": before["fc1_weight"] == after["fc1_weight"],
        "after": after,
        "metric": metric.get(),
        "shapes": [
            [[one.name, one.shape] for one in module.data_shapes],
            [[one.name, one.shape] for one in module.label_shapes],
            plain(module.output_shapes),
        ],
        "optimizer": [module._optimizer.rescale_grad, plain(module._optimizer.idx2name)],
    }


@scenario(tolerance=1e-5)
def predicting(mx: ModuleType) -> Answer:
    module = bound(mx, for_training=False)
    data = batches(mx)
    every = module.predict(data)
    apart = module.predict(data, merge_batches=False)
    listed = module.predict(data, always_output_list=True, num_batch=2)
    return {
        "all": every.asnumpy().tolist(),
        "batches": [[one.shape for one in outputs] for outputs in apart],
        "list": [one.shape for one in listed],
        "one by one": [
            [outputs[0].shape, number, batch.pad]
            for outputs, number, batch in module.iter_predict(data)
        ],
        "backward": raised(lambda: module.backward()),
    }


@scenario(tolerance=1e-5)
def batches_of_other_sizes(mx: ModuleType) -> Answer:
    module = bound(mx)
    answers = []
    for count in (2, 9, BATCH):
        data = mx.nd.array(DATA[:count])
        module.forward(mx.io.DataBatch([data], [mx.nd.array(LABEL[:count])]), is_train=True)
        module.backward()
        answers.append([module.get_outputs()[0].asnumpy().tolist(), module.data_shapes[0].shape])
    wrong = mx.io.DataBatch([mx.nd.ones((2, FEATURES + 1))], [mx.nd.ones((2,))])
    return {"outputs": answers, "features": raised(lambda: module.forward(wrong))}


@scenario
def modules_out_of_order(mx: ModuleType) -> Answer:
    module = mx.mod.Module(perceptron(mx))
    data = batches(mx)
    batch = next(data)
    answers = {
        "names": [module.data_names, module.label_names, module.output_names],
        "forward": raised(lambda: module.forward(batch)),
        "params": raised(lambda: module.get_params()),
        "init_params": raised(lambda: module.init_params()),
        "update": raised(lambda: module.update()),
        "init_optimizer": raised(lambda: module.init_optimizer()),
        "fit": raised(lambda: module.fit(data)),
    }
    module.bind(data.provide_data, data.provide_label)
    answers["bound"] = [module.binded, module.params_initialized, module.for_training]
    answers["too early"] = raised(lambda: module.init_optimizer())
    module.init_params(mx.init.One())
    answers["input gradients"] = raised(lambda: module.get_input_grads())
    answers["initialized"] = [module.params_initialized, module.optimizer_initialized]
    return {
        **answers,
        "data name": raised(
            lambda: mx.mod.Module(perceptron(mx), data_names=["dat"]), "dat", "Did you mean one of"
        ),
        "fixed name": raised(
            lambda: mx.mod.Module(perceptron(mx), fixed_param_names=["zz"]), "zz", "fc1_weight"
        ),
        "no label": mx.mod.Module(perceptron(mx), label_names=None).label_names,
    }


@scenario
def giving_parameters(mx: ModuleType) -> Answer:
    module = bound(mx)
    given = first_values(mx)
    fewer = {"fc1_weight": given["fc1_weight"] * 2}

    def weight() -> float:
        return round(float(module.get_params()[0]["fc1_weight"].asnumpy()[0, 0]), 4)

    answers = {"first": weight()}
    answers["missing"] = raised(lambda: module.set_params(fewer, {}))
    module.set_params({**fewer, "fc1_bias": given["fc1_bias"]}, {}, allow_missing=True)
    answers["doubled"] = weight()
    module.init_params(mx.init.One())
    answers["initialized already"] = weight()
    module.init_params(mx.init.One(), force_init=True)
    answers["forced"] = [weight(), values(module.get_params()[0])["fc2_bias"]]
    extra = {**given, "zz": given["fc1_bias"]}
    answers["extra"] = outcome(lambda: module.set_params(extra, {}))
    return answers


@scenario(tolerance=1e-5)
def checkpoints(mx: ModuleType) -> Answer:
    logging.getLogger("silent").setLevel(logging.CRITICAL)
    made = {"logger": logging.getLogger("silent")}
    module = bound(mx, made=made)
    given = {"learning_rate": 0.5, "momentum": 0.9}
    module.init_optimizer(optimizer_params=given)
    batch = next(batches(mx))

    def step(one: Any) -> None:
        one.forward_backward(batch)
        one.update()

    step(module)
    with tempfile.TemporaryDirectory() as folder:
        prefix = str(Path(folder) / "net")
        module.save_checkpoint(prefix, 7, save_optimizer_states=True)
        mx.callback.do_checkpoint(prefix, 2)(3, module.symbol, *module.get_params())
        mx.callback.do_checkpoint(prefix, 2)(4, module.symbol, *module.get_params())
        files = sorted(os.listdir(folder))
        again = mx.mod.Module.load(prefix, 7, load_optimizer_states=True, **made)
        data = batches(mx)
        again.bind(data.provide_data, data.provide_label)
        again.init_optimizer(optimizer_params=given)
        symbol, arguments, states = mx.model.load_checkpoint(prefix, 7)
        missing = raised(lambda: mx.model.load_checkpoint(prefix + "no", 7))
    for one in (module, again):
        step(one)
    found, expected = (values(one.get_params()[0]) for one in (again, module))
    return {
        "files": files,
        "same": all(np.allclose(found[name], expected[name]) for name in expected),
        "loaded": [symbol.list_arguments(), sorted(arguments), sorted(states)],
        "trained": expected,
        "missing": missing,
    }


@scenario(tolerance=1e-5)
def monitored(mx: ModuleType) -> Answer:
    module = bound(mx)
    monitor = mx.mon.Monitor(2, pattern=".*(output|weight)$", sort=True)
    module.install_monitor(monitor)
    batch = next(batches(mx))
    answers = []
    for _ in range(3):
        monitor.tic()
        module.forward(batch)
        answers.append([[step, name, float(text)] for step, name, text in monitor.toc()])
    return answers


@scenario(tolerance=1e-6)
def key_value_stores(mx: ModuleType) -> Answer:
    store = mx.kv.create("local")
    ones = mx.nd.ones((2, 3))
    out = mx.nd.zeros((2, 3))

    def pulled(key: Any) -> Answer:
        store.pull(key, out=out)
        return out.asnumpy().ravel().tolist()

    store.init("3", ones)
    store.init(["a", "b"], [ones * 2, ones * 3])
    answers = {"type": [store.type, store.rank, store.num_workers], "first": pulled("3")}
    store.push("3", ones * 5)
    answers["pushed"] = pulled("3")
    store.push("3", [ones, ones * 2, ones * 4])
    answers["summed"] = pulled("3")
    store.push(["a", "b"], [ones * 7, [ones, ones]])
    answers["several"] = [pulled("a"), pulled("b")]
    both = [mx.nd.zeros((2, 3)), mx.nd.zeros((2, 3))]
    store.pull(["a", "b"], out=both)
    answers["pulled together"] = [one.asnumpy().ravel().tolist() for one in both]
    store.pushpull("3", [ones, ones], out=out)
    answers["pushpull"] = out.asnumpy().ravel().tolist()
    store = mx.kv.create("device")
    store.init("3", ones)
    store.set_optimizer(mx.optimizer.SGD(learning_rate=0.1, momentum=0.9))
    for _ in range(2):
        store.push("3", [ones, ones * 2])
    answers["optimized"] = pulled("3")
    return {**answers, "kind": raised(lambda: mx.kv.create(3))}
