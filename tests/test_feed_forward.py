"""FeedForward against MXNet's own numbers, against modules, and where MXNet has a worse answer."""

from __future__ import annotations

import base64
import inspect
import json
import logging
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import tritonsym as mx

pytestmark = pytest.mark.filterwarnings("ignore:mx.model.FeedForward is deprecated")

FeedForward = mx.model.FeedForward


def network() -> mx.Symbol:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=4, name="fc1")
    net = mx.sym.Activation(net, act_type="tanh", name="tanh")
    net = mx.sym.BatchNorm(net, name="bn", fix_gamma=False)
    net = mx.sym.FullyConnected(net, num_hidden=3, name="fc2")
    return mx.sym.SoftmaxOutput(net, name="softmax")


def layer() -> mx.Symbol:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    return mx.sym.SoftmaxOutput(net, name="softmax")


def samples() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.RandomState(0)
    data = generator.randn(22, 5).astype("float32")
    return data, (generator.rand(22) * 3).astype("int").astype("float32")


X, Y = samples()


def parameters() -> dict[str, mx.nd.NDArray]:
    generator = np.random.RandomState(1)
    shapes = {"fc1_weight": (4, 5), "fc1_bias": (4,), "fc2_weight": (3, 4), "fc2_bias": (3,)}
    return {name: mx.nd.array(generator.randn(*shape) * 0.5) for name, shape in shapes.items()}


def batches(size: int = 4) -> mx.io.NDArrayIter:
    return mx.io.NDArrayIter(X, Y, size)


def of_layer(**given: object) -> FeedForward:
    """One that multiplies the first three features by 1, 2 and 3."""
    weight = np.diag([1.0, 2.0, 3.0, 0.0, 0.0])[:3]
    arrays = {"fc_weight": mx.nd.array(weight), "fc_bias": mx.nd.zeros(3)}
    return FeedForward(layer(), **{"arg_params": arrays, "aux_params": {}, **given})


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


EXPECTED = softmax(X[:, :3] * [1, 2, 3])


# ---- training ----------------------------------------------------------------------------------

START = "Start training with [cpu(0)]"


def epoch(number: int, value: str, resets: bool = True) -> list[str]:
    prefix = f"Epoch[{number}]"
    lines = [f"{prefix} Resetting Data Iterator"] * resets
    return [*lines, f"{prefix} Time cost=", f"{prefix} Validation-cross-entropy={value}"]


# Recorded from MXNet 1.9.1: what is logged, how batches are counted, a bias, a moving mean, the
# outputs of the last sample, and two metrics.
RECORDED = {
    None: (
        [START, *epoch(0, "0.901049"), *epoch(1, "0.845728"), *epoch(2, "0.976674")],
        [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5],
        [-0.46366784, 0.39632165, 0.45579988],
        [-0.09871582, 0.15612355, 0.20548593, 0.03712423],
        [0.16801146, 0.6654436, 0.16654496],
        [0.6666666666666666, 0.7829423348108927],
    ),
    2: (
        [
            START,
            *epoch(0, "0.857732", resets=False),
            *epoch(1, "0.982205", resets=False),
            *epoch(2, "0.894539"),
        ],
        [1, 2, 1, 2, 1, 2],
        [-0.5531346, 0.27503046, 0.6665579],
        [-0.12195508, 0.13352193, 0.10720992, 0.10672417],
        [0.1609137, 0.35412827, 0.48495802],
        [0.5416666666666666, 0.9732867578665415],
    ),
    7: (
        [START, *epoch(0, "0.934853"), *epoch(1, "0.825725"), *epoch(2, "1.044114")],
        [*range(1, 8)] * 3,
        [-0.3263542, 0.20518501, 0.5096229],
        [-0.15589705, 0.20982954, 0.2105268, 0.01157448],
        [0.18160628, 0.66460484, 0.15378888],
        [0.625, 0.7105289796988169],
    ),
}


@pytest.mark.parametrize("epoch_size", RECORDED)
def test_training_is_mxnets(epoch_size: int | None, caplog: pytest.LogCaptureFixture) -> None:
    lines, counted, bias, mean, last, metrics = RECORDED[epoch_size]
    np.random.seed(3)  # shuffles
    seen = []
    model = FeedForward(
        network(), num_epoch=3, epoch_size=epoch_size, numpy_batch_size=4,
        arg_params=parameters(), learning_rate=0.1, momentum=0.9, wd=0.01,
    )  # fmt: skip
    with caplog.at_level(logging.INFO):
        model.fit(
            X, Y, eval_data=(X[:9], list(Y[:9])), eval_metric="ce",
            batch_end_callback=lambda param: seen.append(param.nbatch),
        )  # fmt: skip
    assert [re.sub(r"cost=.*", "cost=", line) for line in caplog.messages] == lines
    assert seen == counted
    np.testing.assert_allclose(model.arg_params["fc2_bias"].asnumpy(), bias, rtol=1e-4)
    np.testing.assert_allclose(model.aux_params["bn_moving_mean"].asnumpy(), mean, rtol=1e-4)
    np.testing.assert_allclose(model.predict(X)[-1], last, rtol=1e-4)
    np.testing.assert_allclose(model.score(batches(), ["acc", "ce"]), metrics, rtol=1e-4)


def test_create_trains_at_once() -> None:
    """The numbers are recorded from MXNet 1.9.1."""
    model = FeedForward.create(
        network(), batches(), num_epoch=3, optimizer="nag", learning_rate=0.1,
        arg_params=parameters(),
    )  # fmt: skip
    bias = [-0.55843043, 0.28068548, 0.66619873]
    np.testing.assert_allclose(model.arg_params["fc2_bias"].asnumpy(), bias, rtol=1e-4)


def test_training_is_that_of_a_module() -> None:
    given = {"learning_rate": 0.05}
    model = FeedForward(
        network(), num_epoch=2, optimizer="adam", arg_params=parameters(), **given
    )  # fmt: skip
    model.fit(batches())
    module = mx.mod.Module(network())
    module.fit(
        batches(), num_epoch=2, optimizer="adam", optimizer_params=given, initializer=mx.init.One(),
        arg_params=parameters(), allow_missing=True,
    )  # fmt: skip
    arguments, states = module.get_params()
    for mine, others in ((model.arg_params, arguments), (model.aux_params, states)):
        assert mine.keys() == others.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name].asnumpy(), others[name].asnumpy())
    np.testing.assert_array_equal(model.predict(batches()), module.predict(batches()).asnumpy())
    assert model.score(batches()) == module.score(batches(), "acc")[0][1]


def test_a_step_by_hand() -> None:
    data, labels = X[:4], Y[:4].astype(int)
    model = of_layer(num_epoch=1, learning_rate=0.5)
    weight = model.arg_params["fc_weight"].asnumpy()
    model.fit(mx.io.NDArrayIter(data, labels, 4))
    wrong = softmax(data @ weight.T) - np.eye(3)[labels]
    found = model.arg_params["fc_weight"].asnumpy()
    np.testing.assert_allclose(found, weight - 0.5 * wrong.T @ data / 4, rtol=1e-4, atol=1e-6)


def test_an_optimizer_of_ones_own_is_used_as_it_is() -> None:
    given = {"learning_rate": 0.1, "rescale_grad": 1 / 4}
    by_name = FeedForward.create(network(), batches(), num_epoch=1, arg_params=parameters(),
                                 learning_rate=0.1)  # fmt: skip
    made = FeedForward.create(network(), batches(), num_epoch=1, arg_params=parameters(),
                              optimizer=mx.optimizer.SGD(**given))  # fmt: skip
    for name, array in by_name.arg_params.items():
        np.testing.assert_array_equal(array.asnumpy(), made.arg_params[name].asnumpy())


def test_training_goes_on_from_the_parameters_that_there_are() -> None:
    model = FeedForward.create(layer(), batches(), num_epoch=2, learning_rate=0.1)
    before = model.predict(batches())
    model.begin_epoch, model.num_epoch = 2, 3
    epochs = []
    model.fit(batches(), epoch_end_callback=lambda *given: epochs.append(given))
    (number, symbol, arguments, states), = epochs  # fmt: skip
    assert (number, symbol, states) == (2, model.symbol, {})
    assert arguments is model.arg_params
    assert not np.array_equal(model.predict(batches()), before)


def test_first_values_go_by_names_alone() -> None:
    """As in MXNet, where FeedForward asks no variable for its own initializer."""
    weight = mx.sym.Variable("fc_weight", init=mx.init.Constant(5.0))
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), weight, num_hidden=3, name="fc")
    net = mx.sym.SoftmaxOutput(net, name="softmax")
    model = FeedForward.create(net, batches(), num_epoch=0, initializer=mx.init.One())
    assert (model.arg_params["fc_weight"].asnumpy() == 1).all()
    assert (model.arg_params["fc_bias"].asnumpy() == 0).all()


def test_validation_calls_back() -> None:
    seen = []
    model = of_layer(num_epoch=1)
    model.fit(
        batches(), eval_data=(batches(5), None), eval_metric=mx.metric.Accuracy(),
        eval_end_callback=[lambda param: seen.append(("end", param.epoch, param.nbatch))],
        eval_batch_end_callback=lambda param: seen.append(param.nbatch),
    )  # fmt: skip
    assert seen == [0, 1, 2, 3, 4, ("end", 0, 5)]


def test_a_monitor_watches() -> None:
    model = of_layer(num_epoch=1)
    monitor = mx.mon.Monitor(1, pattern="fc_output")
    printed = []
    monitor.toc_print = lambda: printed.extend(monitor.toc())
    model.fit(batches(), monitor=monitor)
    assert [name for _, name, _ in printed] == ["fc_output"] * 6


def test_labels_may_be_a_column() -> None:
    found = []
    for labels in (Y, Y[:, None], mx.nd.array(Y[:, None])):
        np.random.seed(0)
        model = of_layer(num_epoch=1, numpy_batch_size=4, learning_rate=0.1)
        model.fit(X, labels)
        found.append(model.arg_params["fc_weight"].asnumpy())
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


class Buckets(mx.io.DataIter):
    """Batches of two lengths."""

    def __init__(self, *lengths: int) -> None:
        super().__init__(4)
        self.lengths = lengths
        self.default_bucket_key = max(lengths)
        self.provide_data = [mx.io.DataDesc("data", (4, self.default_bucket_key))]
        self.provide_label = [mx.io.DataDesc("softmax_label", (4,))]
        self.reset()

    def reset(self) -> None:
        self.left = list(self.lengths)

    def next(self) -> mx.io.DataBatch:
        if not self.left:
            raise StopIteration
        length = self.left.pop(0)
        values = np.random.RandomState(len(self.left)).randn(4, length)
        return mx.io.DataBatch(
            [mx.nd.array(values)], [mx.nd.array([0, 1, 2, 0])], 0, None, length,
            [mx.io.DataDesc("data", (4, length))], self.provide_label,
        )  # fmt: skip


def summed(length: int) -> mx.Symbol:
    net = mx.sym.sum(mx.sym.Variable("data"), axis=1, keepdims=True) / length
    net = mx.sym.FullyConnected(net, num_hidden=3, name="fc")
    return mx.sym.SoftmaxOutput(net, name="softmax")


def test_a_network_for_each_bucket() -> None:
    """MXNet 1.9.1 fails where a bucket is shorter than the default one."""
    data = Buckets(3, 6, 3)
    start = {"fc_weight": mx.nd.ones((3, 1)), "extra": mx.nd.ones(2)}
    model = FeedForward(
        summed, num_epoch=2, arg_params=start, allow_extra_params=True, learning_rate=0.1
    )
    model.fit(data)
    module = mx.mod.BucketingModule(lambda key: (summed(key), ["data"], ["softmax_label"]), 6)
    module.fit(
        Buckets(3, 6, 3), num_epoch=2, arg_params=start, allow_missing=True,
        optimizer_params={"learning_rate": 0.1},
    )  # fmt: skip
    for name, array in module.get_params()[0].items():
        np.testing.assert_allclose(model.arg_params[name].asnumpy(), array.asnumpy(), rtol=1e-6)
    assert model.symbol.list_arguments() == summed(6).list_arguments()
    with pytest.raises(AssertionError, match="default_bucket_key"):
        model.fit(batches())


# ---- outputs -----------------------------------------------------------------------------------


def test_predict() -> None:
    model = of_layer(numpy_batch_size=5)
    for data in (X, mx.nd.array(X), batches(), batches(22)):
        found = model.predict(data)
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, EXPECTED, rtol=1e-5)


def test_predict_some_batches() -> None:
    data = batches()
    model = of_layer()
    np.testing.assert_allclose(model.predict(data, num_batch=2), EXPECTED[:8], rtol=1e-5)
    np.testing.assert_allclose(
        model.predict(data, num_batch=1, reset=False), EXPECTED[8:12], rtol=1e-5
    )


def test_predict_with_data() -> None:
    outputs, data, labels = of_layer().predict(batches(), return_data=True)
    np.testing.assert_allclose(outputs, EXPECTED, rtol=1e-5)
    np.testing.assert_array_equal(data, X)
    np.testing.assert_array_equal(labels, Y)
    unlabelled = mx.io.NDArrayIter(X, batch_size=4)
    assert of_layer().predict(unlabelled, return_data=True)[2] == []


def test_predict_several_outputs() -> None:
    data = mx.sym.Variable("data")
    model = FeedForward(mx.sym.Group([data * 2, data + 1]), arg_params={}, numpy_batch_size=4)
    doubled, more = model.predict(X)
    np.testing.assert_array_equal(doubled, X * 2)
    np.testing.assert_array_equal(more, X + 1)


def test_predict_needs_no_label() -> None:
    """Whatever the label is called: it is what is left."""
    net = mx.sym.LinearRegressionOutput(mx.sym.Variable("data"), mx.sym.Variable("wanted"))
    np.testing.assert_array_equal(FeedForward(net, arg_params={}).predict(X), X)


def test_predict_uses_present_parameters() -> None:
    """MXNet goes on with those of the first prediction."""
    model = of_layer()
    np.testing.assert_allclose(model.predict(X), EXPECTED, rtol=1e-5)
    model.arg_params["fc_weight"][:] = 0
    np.testing.assert_allclose(model.predict(X), np.full((22, 3), 1 / 3), rtol=1e-6)


def test_score() -> None:
    rows = np.arange(24) % 22  # the last batch is filled up with the first samples
    accuracy = (EXPECTED.argmax(1) == Y)[rows].mean()
    entropy = -np.log(EXPECTED[np.arange(22), Y.astype(int)])[rows]
    seen = []
    model = of_layer()
    assert model.score(batches()) == pytest.approx(accuracy)
    found = model.score(batches(), "ce", 2, lambda param: seen.append(param.nbatch))
    assert found == pytest.approx(entropy[:8].mean(), rel=1e-5)
    assert seen == [0, 1]
    both = model.score(batches(), ["acc", "ce"])
    assert both == pytest.approx([accuracy, entropy.mean()], rel=1e-5)


def test_score_goes_on_with_a_metric() -> None:
    metric = mx.metric.Accuracy()
    model = of_layer()
    model.score(batches(), metric)
    model.score(batches(), metric, num_batch=1)
    assert metric.num_inst == 28


# ---- files -------------------------------------------------------------------------------------

# What MXNet 1.9.1 wrote by FeedForward.save, and what it predicts for the first samples.
ARRAYS_OF_MXNET = (
    "EgEAAAAAAAAAAAAAAAAAAAIAAAAAAAAAyfqT+QAAAAACAAAAAwAAAAAAAAAFAAAAAAAAAAEAAAAAAAAAAAAAACr3bj86"
    "Yoc/aYqDP2pIZj/RMnc/0PiUP6XJnD9P0XM/9gqYP1S6kz82F2c/Rqg3P+2Mgj+ooWk/ilhhP8n6k/kAAAAAAQAAAAMA"
    "AAAAAAAAAQAAAAAAAAAAAAAAs1Yjvjh2ZD1KctQ9AgAAAAAAAAANAAAAAAAAAGFyZzpmY193ZWlnaHQLAAAAAAAAAGFy"
    "ZzpmY19iaWFz"
)
NODES_OF_MXNET = [
    {"op": "null", "name": "data", "inputs": []},
    {"op": "null", "name": "fc_weight", "attrs": {"num_hidden": "3"}, "inputs": []},
    {"op": "null", "name": "fc_bias", "attrs": {"num_hidden": "3"}, "inputs": []},
    {
        "op": "FullyConnected",
        "name": "fc",
        "attrs": {"num_hidden": "3"},
        "inputs": [[0, 0, 0], [1, 0, 0], [2, 0, 0]],
    },
    {"op": "null", "name": "softmax_label", "inputs": []},
    {"op": "SoftmaxOutput", "name": "softmax", "inputs": [[3, 0, 0], [4, 0, 0]]},
]
SYMBOL_OF_MXNET = {
    "nodes": NODES_OF_MXNET,
    "arg_nodes": [0, 1, 2, 4],
    "node_row_ptr": [0, 1, 2, 3, 4, 5, 6],
    "heads": [[5, 0, 0]],
    "attrs": {"mxnet_version": ["int", 10901]},
}
PREDICTED_BY_MXNET = [
    [0.1437768191099167, 0.7214758396148682, 0.13474741578102112],
    [0.3156432807445526, 0.3886406123638153, 0.2957161068916321],
    [0.28605562448501587, 0.4973635971546173, 0.21658076345920563],
]


def test_files_of_mxnet(tmp_path: Path) -> None:
    (tmp_path / "net-symbol.json").write_text(json.dumps(SYMBOL_OF_MXNET))
    (tmp_path / "net-0002.params").write_bytes(base64.b64decode(ARRAYS_OF_MXNET))
    model = FeedForward.load(tmp_path / "net", 2)
    assert model.begin_epoch == 2
    np.testing.assert_allclose(model.predict(X[:3]), PREDICTED_BY_MXNET, rtol=1e-5)
    model.save(tmp_path / "again", 2)
    written = (tmp_path / "again-0002.params").read_bytes()
    assert written == base64.b64decode(ARRAYS_OF_MXNET)


def test_saved_and_loaded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = FeedForward.create(network(), batches(), num_epoch=2, initializer=mx.init.Xavier())
    with caplog.at_level(logging.INFO):
        model.save(tmp_path / "net")
    assert caplog.messages == [f'Saved checkpoint to "{tmp_path}/net-0002.params"']
    loaded = FeedForward.load(tmp_path / "net", 2, ctx=mx.cpu(), num_epoch=3)
    np.testing.assert_array_equal(loaded.predict(batches()), model.predict(batches()))
    epochs = []
    loaded.fit(batches(), epoch_end_callback=lambda epoch, *_: epochs.append(epoch))
    assert epochs == [2]


def test_pickled() -> None:
    model = of_layer()
    model.predict(X)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(again.predict(X), EXPECTED, rtol=1e-5)


# ---- what is refused ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("default")
def test_it_is_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match=r"mx\.mod\.Module") as found:
        FeedForward(layer())
    assert found[0].filename == __file__
    assert not hasattr(mx, "FeedForward")  # as in MXNet


PARAMETERS_OF_MXNET = {
    "__init__": (
        "symbol ctx num_epoch epoch_size optimizer initializer numpy_batch_size arg_params "
        "aux_params allow_extra_params begin_epoch kwargs"
    ),
    "fit": (
        "X y eval_data eval_metric epoch_end_callback batch_end_callback kvstore logger "
        "work_load_list monitor eval_end_callback eval_batch_end_callback"
    ),
    "predict": "X num_batch return_data reset",
    "score": "X eval_metric num_batch batch_end_callback reset",
    "save": "prefix epoch remove_amp_cast",
    "load": "prefix epoch ctx kwargs",
    "create": (
        "symbol X y ctx num_epoch epoch_size optimizer initializer eval_data eval_metric "
        "epoch_end_callback batch_end_callback kvstore logger work_load_list eval_end_callback "
        "eval_batch_end_callback kwargs"
    ),
}


@pytest.mark.parametrize("method", PARAMETERS_OF_MXNET)
def test_methods_have_mxnets_parameters(method: str) -> None:
    found = [name for name in inspect.signature(getattr(FeedForward, method)).parameters]
    assert [name for name in found if name != "self"] == PARAMETERS_OF_MXNET[method].split()


@pytest.mark.parametrize(
    ("data", "labels", "error", "message"),
    [
        (X, None, ValueError, "y is missing"),
        (X, [1] * 22, TypeError, "y must be an NDArray or a numpy array"),
        (X, Y[:5], ValueError, "X has 22 samples, y has 5"),
        (X, np.zeros((22, 2)), ValueError, "one label per sample"),
        ([1.0], Y, TypeError, "X must be a DataIter, an NDArray or a numpy array"),
        (mx.io.DataIter(), None, ValueError, "batch_size=0"),
    ],
)
def test_refused_data(data: object, labels: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        of_layer(num_epoch=1).fit(data, labels)


@pytest.mark.filterwarnings("ignore:You created Module")
def test_refused_names_of_labels() -> None:
    data = mx.io.NDArrayIter(X, Y, 4, label_name="y_label")
    with pytest.raises(ValueError, match="the symbol has softmax_label"):
        of_layer(num_epoch=1).fit(data)


@pytest.mark.parametrize("epoch_size", [None, 2])
def test_refused_data_without_batches(epoch_size: int | None) -> None:
    """With an ``epoch_size`` MXNet would wait for them for ever."""
    data = Buckets(3)
    data.lengths = ()
    with pytest.raises(ValueError, match="gave no batch in epoch 0"):
        FeedForward(summed(3), num_epoch=1, epoch_size=epoch_size).fit(data)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((None, None), ValueError, "leave eval_data out"),
        (3, TypeError, "a pair of data and labels, got 3"),
        ((X, Y[:5]), ValueError, "X has 22 samples, y has 5"),
    ],
)
def test_refused_validation(given: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        of_layer(num_epoch=1).fit(X, Y, eval_data=given)


def test_refused_networks_and_parameters() -> None:
    with pytest.raises(TypeError, match="needs a Symbol"):
        FeedForward(3)
    with pytest.raises(AssertionError, match="num_epoch"):
        of_layer().fit(X, Y)
    with pytest.raises(AssertionError, match="call fit before"):
        FeedForward(layer()).predict(X)
    with pytest.raises(AssertionError, match="call fit before"):
        FeedForward(layer(), num_epoch=1).save("never written")
    with pytest.raises(AssertionError, match="epoch"):
        of_layer().save("never written")
    with pytest.raises(ValueError, match="one GPU"):
        of_layer(ctx=[mx.gpu(0), mx.gpu(1)]).predict(X)
    with pytest.raises(ValueError, match="no batch to predict"):
        of_layer().predict(X, num_batch=0)


def test_parameters_that_do_not_fit() -> None:
    model = of_layer()
    model.arg_params["more"] = mx.nd.ones(1)
    with pytest.raises(ValueError, match=r"arg_params has more.*allow_extra_params=True"):
        model.predict(X)
    model.allow_extra_params = True
    np.testing.assert_allclose(model.predict(X), EXPECTED, rtol=1e-5)
    del model.arg_params["fc_bias"]  # MXNet takes zeros, and says nothing
    with pytest.raises(RuntimeError, match="fc_bias"):
        model.predict(X)
