"""Modules in a chain, and modules that a program computes: against one network that is the same."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest

import tritonsym as mx


def samples() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.RandomState(0)
    data = generator.randn(22, 5).astype("float32")
    return data, (generator.rand(22) * 3).astype("int").astype("float32")


X, Y = samples()
SHAPES = {"fc1_weight": (4, 5), "fc1_bias": (4,), "fc2_weight": (3, 4), "fc2_bias": (3,)}


def parameters() -> dict[str, mx.nd.NDArray]:
    generator = np.random.RandomState(1)
    return {name: mx.nd.array(generator.randn(*shape) * 0.5) for name, shape in SHAPES.items()}


def below(data: mx.Symbol) -> mx.Symbol:
    net = mx.sym.FullyConnected(data, num_hidden=4, name="fc1")
    return mx.sym.Activation(net, act_type="tanh", name="tanh")


def above(data: mx.Symbol) -> mx.Symbol:
    return mx.sym.FullyConnected(data, num_hidden=3, name="fc2")


def data() -> mx.Symbol:
    return mx.sym.Variable("data")


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def softmax_gradient(scores: mx.nd.NDArray, labels: mx.nd.NDArray) -> np.ndarray:
    return softmax(scores.asnumpy()) - np.eye(3)[labels.asnumpy().astype(int)]


def whole() -> mx.mod.Module:
    return mx.mod.Module(mx.sym.SoftmaxOutput(above(below(data())), name="softmax"))


def of_two() -> mx.mod.SequentialModule:
    chain = mx.mod.SequentialModule()
    chain.add(mx.mod.Module(below(data()), label_names=None))
    last = mx.mod.Module(mx.sym.SoftmaxOutput(above(data()), name="softmax"))
    return chain.add(last, take_labels=True, auto_wiring=True)


def with_a_loss() -> mx.mod.SequentialModule:
    chain = mx.mod.SequentialModule()
    chain.add(mx.mod.Module(below(data()), label_names=None))
    chain.add(mx.mod.Module(above(data()), label_names=None), auto_wiring=True)
    loss = mx.mod.PythonLossModule(grad_func=softmax_gradient)
    return chain.add(loss, take_labels=True, auto_wiring=True)


CHAINS = pytest.mark.parametrize("made", [of_two, with_a_loss])


def batches() -> mx.io.NDArrayIter:
    return mx.io.NDArrayIter(X, Y, 4)


def trained(module: mx.mod.BaseModule, **given: object) -> mx.mod.BaseModule:
    module.fit(
        batches(), eval_data=batches(), num_epoch=2, arg_params=parameters(),
        optimizer_params={"learning_rate": 0.1, "momentum": 0.9}, **given,
    )  # fmt: skip
    return module


def bound(made: object, **given: object) -> mx.mod.BaseModule:
    module = made()
    module.bind(batches().provide_data, batches().provide_label, **given)
    module.init_params(arg_params=parameters(), aux_params={})
    return module


# ---- a chain -----------------------------------------------------------------------------------


@CHAINS
def test_a_chain_is_the_network(made: object) -> None:
    chain, module = trained(made()), trained(whole())
    mine, others = chain.get_params()[0], module.get_params()[0]
    assert mine.keys() == others.keys()
    for name in mine:
        np.testing.assert_allclose(
            mine[name].asnumpy(), others[name].asnumpy(), rtol=1e-4, atol=1e-6
        )
    assert chain.score(batches(), "acc") == module.score(batches(), "acc")


# Recorded from MXNet 1.9.1: the first numbers of the parameters, what is logged, and the outputs
# for the last sample.
RECORDED = {
    "fc1_bias": [-0.49133, 0.53657, 0.48531],
    "fc1_weight": [0.64834, 0.00012299, -0.2342],
    "fc2_bias": [-0.44489, 0.41596, 0.41739],
    "fc2_weight": [0.23896, 0.12706, -0.46515],
}
LOGGED = [
    "Epoch[0] Train-accuracy=0.416667",
    "Epoch[0] Validation-accuracy=0.541667",
    "Epoch[1] Train-accuracy=0.583333",
    "Epoch[1] Validation-accuracy=0.750000",
]
OUTPUTS = {
    of_two: [0.14322975, 0.4666083, 0.390162],
    with_a_loss: [-0.7010126, 0.48002765, 0.30109942],
}


@CHAINS
def test_training_is_mxnets(made: object, caplog: pytest.LogCaptureFixture) -> None:
    counted = []
    with caplog.at_level(logging.INFO):
        chain = trained(made(), batch_end_callback=lambda param: counted.append(param.nbatch))
    assert [line for line in caplog.messages if "Time cost" not in line] == LOGGED
    assert counted == [*range(6)] * 2
    for name, expected in RECORDED.items():
        found = chain.get_params()[0][name].asnumpy().ravel()[:3]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(chain.predict(batches()).asnumpy()[-1], OUTPUTS[made], rtol=1e-4)


@CHAINS
def test_gradients_of_the_data(made: object) -> None:
    weights = {name: array.asnumpy() for name, array in parameters().items()}
    hidden = np.tanh(X[:4] @ weights["fc1_weight"].T + weights["fc1_bias"])
    scores = hidden @ weights["fc2_weight"].T + weights["fc2_bias"]
    gradient = (softmax(scores) - np.eye(3)[Y[:4].astype(int)]) @ weights["fc2_weight"]
    expected = (gradient * (1 - hidden**2)) @ weights["fc1_weight"]
    chain = bound(made, inputs_need_grad=True)
    chain.forward_backward(next(batches()))
    np.testing.assert_allclose(chain.get_input_grads()[0].asnumpy(), expected, rtol=1e-4, atol=1e-6)
    assert len(chain.get_input_grads(merge_multi_context=True)) == 1


def test_out_grads_reach_the_first_module() -> None:
    chain = mx.mod.SequentialModule()
    chain.add(mx.mod.Module(data() * 2, label_names=None))
    chain.add(mx.mod.Module(data() * 3, label_names=None), auto_wiring=True)
    chain.bind([("data", (2, 2))], inputs_need_grad=True)
    chain.init_params()
    chain.forward(mx.io.DataBatch([mx.nd.ones((2, 2))]))
    chain.backward([mx.nd.ones((2, 2)) * 5])
    assert chain.get_outputs()[0].asnumpy().tolist() == [[6, 6], [6, 6]]
    assert chain.get_outputs(False)[0][0].asnumpy().tolist() == [[6, 6], [6, 6]]
    assert chain.get_input_grads()[0].asnumpy().tolist() == [[30, 30], [30, 30]]


def test_what_a_chain_says_of_itself() -> None:
    empty = mx.mod.SequentialModule()
    assert (empty.data_names, empty.output_names, empty.label_names) == ([], [], [])
    with pytest.raises(AssertionError, match="bind the module first"):
        _ = of_two().data_shapes
    chain = bound(of_two)
    assert chain.data_names == ["data"]
    assert chain.label_names == ["softmax_label"]
    assert chain.output_names == ["softmax_output"]
    assert chain.data_shapes == [("data", (4, 5))]
    assert chain.label_shapes == [("softmax_label", (4,))]
    assert chain.output_shapes == [("softmax_output", (4, 3))]
    assert chain.symbol is None


def test_a_chain_without_labels() -> None:
    chain = mx.mod.SequentialModule()
    chain.add(mx.mod.Module(below(data()), label_names=None))
    chain.bind(batches().provide_data, batches().provide_label, for_training=False)
    chain.init_params(mx.init.One())
    assert chain.label_shapes is None
    assert chain.predict(batches()).shape == (22, 4)
    metric = mx.metric.Accuracy()
    chain.update_metric(metric, [mx.nd.array(Y[:4])])
    assert metric.num_inst == 0


def test_modules_by_the_names_of_outputs() -> None:
    """Without wiring, a module takes what is called like its data, in whatever order it comes."""
    given = data()
    pair = [mx.sym.square(given, name="b"), mx.sym.identity(given + 1, name="a")]
    difference = mx.sym.Variable("b_output") - mx.sym.Variable("a_output")
    chain = mx.mod.SequentialModule().add(mx.mod.Module(mx.sym.Group(pair), ["data"], []))
    chain.add(mx.mod.Module(difference, ["a_output", "b_output"], []))
    chain.bind([("data", (2, 2))], for_training=False)
    chain.init_params()
    described = {"provide_data": [("data", (2, 2))]}
    for more in ({}, described):
        chain.forward(mx.io.DataBatch([mx.nd.ones((2, 2)) * 3], **more))
        assert chain.get_outputs()[0].asnumpy().tolist() == [[5, 5], [5, 5]]


@pytest.mark.parametrize("described", [False, True])
def test_batches_of_other_sizes(described: bool) -> None:
    chain, module = bound(with_a_loss, for_training=False), bound(whole, for_training=False)
    for size in (4, 3, 7):
        given = {"provide_data": [("data", (size, 5))]} if described else {}
        batch = mx.io.DataBatch([mx.nd.array(X[:size])], **given)
        chain.forward(batch)
        module.forward(batch)
        found = softmax(chain.get_outputs()[0].asnumpy())
        np.testing.assert_allclose(found, module.get_outputs()[0].asnumpy(), rtol=1e-5)
        assert batch.data[0].shape == (size, 5), "a batch stays as it is"


def test_the_first_module_is_wired_too() -> None:
    chain = mx.mod.SequentialModule()
    own = mx.mod.Module(mx.sym.Variable("mine") * 2, ["mine"], [])
    chain.add(own, auto_wiring=True)
    chain.bind([("data", (2, 2))], for_training=False)
    chain.init_params()
    chain.forward(mx.io.DataBatch([mx.nd.ones((3, 2))], provide_data=[("data", (3, 2))]))
    assert chain.get_outputs()[0].shape == (3, 2)


def test_a_chain_within_a_chain() -> None:
    inner = mx.mod.SequentialModule().add(mx.mod.Module(above(data()), label_names=None))
    loss = mx.mod.PythonLossModule(grad_func=softmax_gradient)
    inner.add(loss, take_labels=True, auto_wiring=True)
    chain = mx.mod.SequentialModule().add(mx.mod.Module(below(data()), label_names=None))
    trained(chain.add(inner, take_labels=True, auto_wiring=True))
    expected = trained(with_a_loss()).get_params()[0]
    for name, array in chain.get_params()[0].items():
        np.testing.assert_array_equal(array.asnumpy(), expected[name].asnumpy())


def test_parameters_in_files(tmp_path: object) -> None:
    chain, other = trained(of_two()), bound(of_two)
    chain.save_params(tmp_path / "chain.params")
    other.load_params(tmp_path / "chain.params")
    np.testing.assert_array_equal(
        chain.predict(batches()).asnumpy(), other.predict(batches()).asnumpy()
    )


def test_a_monitor_watches_all_modules() -> None:
    chain = bound(of_two)
    monitor = mx.mon.Monitor(1, pattern=".*output")
    chain.install_monitor(monitor)
    monitor.tic()
    chain.forward(next(batches()), is_train=True)
    names = {name for _, name, _ in monitor.toc()}
    assert {"fc1_output", "tanh_output", "fc2_output", "softmax_output"} <= names
    with pytest.raises(NotImplementedError, match="no executor"):
        bound(with_a_loss).install_monitor(monitor)


def test_what_a_chain_does_once(caplog: pytest.LogCaptureFixture) -> None:
    chain = bound(of_two)
    before = chain.get_params()[0]["fc1_bias"].asnumpy()
    chain.bind([("data", (9, 5))])
    chain.init_params(mx.init.One())
    assert chain.data_shapes == [("data", (4, 5))]
    np.testing.assert_array_equal(chain.get_params()[0]["fc1_bias"].asnumpy(), before)
    chain.init_optimizer()
    chain.init_optimizer()
    assert caplog.messages == [
        "Already bound, ignoring bind()",
        "optimizer already initialized, ignoring.",
    ]
    chain.add(mx.mod.PythonLossModule())
    assert not (chain.binded or chain.params_initialized or chain.optimizer_initialized)


def test_refused_chains() -> None:
    with pytest.raises(AssertionError, match="'take_label': a module has take_labels or auto_wir"):
        of_two().add(mx.mod.PythonLossModule(), take_label=True)
    with pytest.raises(AssertionError, match="without modules"):
        mx.mod.SequentialModule().bind([("data", (1, 1))])
    with pytest.raises(AssertionError, match="for_training"):
        of_two().bind([("data", (4, 5))], for_training=False, inputs_need_grad=True)
    with pytest.raises(AssertionError, match="shared_module"):
        of_two().bind([("data", (4, 5))], shared_module=whole())
    twice = mx.mod.SequentialModule().add(mx.mod.Module(above(data()), label_names=None))
    twice.add(mx.mod.Module(above(data()), label_names=None), auto_wiring=True)
    twice.bind([("data", (4, 5))])
    with pytest.raises(AssertionError, match=r"modules 0 and 1 both have a parameter fc2_weight"):
        twice.init_params()
    pair = mx.mod.Module(data() + mx.sym.Variable("more"), ["data", "more"], [])
    wired = mx.mod.SequentialModule().add(pair, auto_wiring=True)
    with pytest.raises(AssertionError, match="module 0 has data"):
        wired.bind([("data", (4, 5))])
    with pytest.raises(AssertionError, match="initialize the optimizer first"):
        bound(of_two).update()
    with pytest.raises(AssertionError, match="inputs_need_grad=True"):
        bound(of_two).get_input_grads()


# ---- modules that a program computes -----------------------------------------------------------


class Doubled(mx.mod.PythonModule):
    """What a program might write, by MXNet's names."""

    def __init__(self) -> None:
        super().__init__(("data",), None, ("twice_output",))

    def _compute_output_shapes(self) -> Sequence[tuple[str, tuple[int, ...]]]:
        return [("twice_output", self._data_shapes[0][1])]

    def forward(self, data_batch: mx.io.DataBatch, is_train: bool | None = None) -> None:
        self.found = data_batch.data[0] * 2

    def get_outputs(self, merge_multi_context: bool = True) -> list[mx.nd.NDArray]:
        return [self.found]

    def backward(self, out_grads: list[mx.nd.NDArray] | None = None) -> None:
        self.gradient = out_grads[0] * 2

    def get_input_grads(self, merge_multi_context: bool = True) -> list[mx.nd.NDArray]:
        return [self.gradient]


def test_a_module_of_ones_own_between_others() -> None:
    chain = mx.mod.SequentialModule()
    chain.add(mx.mod.Module(below(data()), label_names=None)).add(Doubled(), auto_wiring=True)
    last = mx.mod.Module(mx.sym.SoftmaxOutput(above(data()), name="softmax"))
    trained(chain.add(last, take_labels=True, auto_wiring=True))
    network = mx.sym.SoftmaxOutput(above(below(data()) * 2), name="softmax")
    expected = trained(mx.mod.Module(network)).get_params()[0]
    for name, array in chain.get_params()[0].items():
        np.testing.assert_allclose(array.asnumpy(), expected[name].asnumpy(), rtol=1e-4, atol=1e-6)


def test_a_python_module_alone() -> None:
    module = Doubled()
    assert (module.data_names, module.label_names) == (["data"], [])
    module.bind([("data", (4, 5))])
    module.init_params()
    module.init_optimizer()
    module.update()
    assert module.get_params() == ({}, {})
    assert module.output_names == ("twice_output",)
    assert module.output_shapes == [("twice_output", (4, 5))]
    assert module.data_shapes == [("data", (4, 5))]
    assert module.label_shapes is None
    np.testing.assert_array_equal(module.predict(batches()).asnumpy(), X * 2)
    assert np.isnan(module.score(batches(), "acc")[0][1]), "it was bound for no labels"


def test_a_loss_alone() -> None:
    loss = mx.mod.PythonLossModule("mine", grad_func=softmax_gradient)
    loss.bind([("data", (22, 5))], [("softmax_label", (22,))])
    loss.init_params()
    assert loss.output_names == ["mine_output"]
    assert loss.label_shapes == [("softmax_label", (22,))]
    batch = mx.io.DataBatch([mx.nd.array(X[:, :3])], [mx.nd.array(Y)])
    loss.forward_backward(batch)
    assert loss.get_outputs() == batch.data
    expected = softmax(X[:, :3]) - np.eye(3)[Y.astype(int)]
    np.testing.assert_allclose(loss.get_input_grads()[0].asnumpy(), expected, rtol=1e-5)
    metric = mx.metric.Accuracy()
    loss.update_metric(metric, batch.label)
    assert metric.get()[1] == pytest.approx((X[:, :3].argmax(1) == Y).mean())
    with pytest.raises(RuntimeError, match="one context"):
        loss.update_metric(metric, batch.label, pre_sliced=True)


def test_a_loss_by_a_subclass() -> None:
    class Sum(mx.mod.PythonLossModule):
        def _backward_impl(self) -> None:
            self._scores_grad = mx.nd.ones(self._scores.shape) * self._labels.reshape((-1, 1))

    loss = Sum(label_names=["y"])
    loss.bind([("data", (2, 2))], [("y", (2,))])
    loss.forward(mx.io.DataBatch([mx.nd.ones((2, 2))], [mx.nd.array([3, 4])]))
    loss.backward()
    assert loss.get_input_grads()[0].asnumpy().tolist() == [[3, 3], [4, 4]]


def test_refused_python_modules() -> None:
    with pytest.raises(AssertionError, match="one name in data_names, got"):
        mx.mod.PythonLossModule(data_names=["a", "b"])
    with pytest.raises(AssertionError, match="one name in label_names"):
        mx.mod.PythonLossModule(label_names=[])
    with pytest.raises(AssertionError, match="grad_func must be a function"):
        mx.mod.PythonLossModule(grad_func=3)
    with pytest.raises(NotImplementedError, match="_compute_output_shapes"):
        mx.mod.PythonModule(["a"], None, ["b"]).bind([("a", (1,))])
    loss = mx.mod.PythonLossModule()
    with pytest.raises(AssertionError, match=r"data_names=.*x"):
        loss.bind([("x", (2, 3))])
    with pytest.raises(AssertionError, match=r"label_names=.*x"):
        loss.bind([("data", (2, 3))], [("x", (2,))])
    with pytest.raises(AssertionError, match="grad_req='write' alone, got 'add'"):
        loss.bind([("data", (2, 3))], grad_req="add")
    loss.bind([("data", (2, 3))], [("softmax_label", (2,))], for_training=False)
    loss.forward(mx.io.DataBatch([mx.nd.ones((2, 3))]))
    with pytest.raises(AssertionError, match="for_training=True"):
        loss.backward()
    loss.bind([("data", (2, 3))], [("softmax_label", (2,))])
    with pytest.raises(AssertionError, match="no labels"):
        loss.forward(mx.io.DataBatch([mx.nd.ones((2, 3))]))
    with pytest.raises(AssertionError, match="out_grads"):
        loss.backward([mx.nd.ones((2, 3))])
    with pytest.raises(NotImplementedError, match="grad_func"):
        loss.backward()
    with pytest.raises(AssertionError, match="merge_multi_context"):
        loss.get_outputs(merge_multi_context=False)


# ---- what fails leaves all modules as they were --------------------------------------------------


def states(chain: mx.mod.SequentialModule) -> list[tuple[bool, bool, bool]]:
    modules = (chain, *chain._modules)
    return [(m.binded, m.params_initialized, m.optimizer_initialized) for m in modules]


def test_a_chain_that_cannot_be_bound_is_bound_nowhere() -> None:
    chain = of_two()
    with pytest.raises(ValueError, match="label_shapes names label"):
        chain.bind([("data", (4, 5))], [("label", (4,))])
    assert states(chain) == [(False, False, False)] * 3
    chain.bind([("data", (4, 7))], [("softmax_label", (4,))])
    assert chain._modules[0]._executor.arg_dict["fc1_weight"].shape == (4, 7)


def test_names_that_two_modules_have_are_found_before_values_are_there() -> None:
    chain = mx.mod.SequentialModule()
    for _ in range(2):
        chain.add(mx.mod.Module(below(data()), label_names=None), auto_wiring=True)
    chain.bind([("data", (4, 5))])
    with pytest.raises(AssertionError, match="modules 0 and 1 both have a parameter fc1_"):
        chain.init_params()
    assert states(chain) == [(True, False, False)] * 3


def test_values_that_one_module_refuses_are_written_nowhere() -> None:
    chain = bound(of_two)
    before = {name: array.asnumpy() for name, array in chain.get_params()[0].items()}
    wrong = {**{name: array * 2 for name, array in parameters().items()}, "fc2_bias": mx.nd.ones(9)}
    with pytest.raises(mx.MXNetError, match="fc2_bias has shape"):
        chain.set_params(wrong, {})
    for name, array in chain.get_params()[0].items():
        assert (array.asnumpy() == before[name]).all()
