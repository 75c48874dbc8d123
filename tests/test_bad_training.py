"""Training with wrong data, in a wrong order or from hostile files: nothing changes."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.context import Context
from tritonsym.ndarray import params_file

MXNetError = mx.base.MXNetError
DATA, LABEL = ("data", (4, 5)), ("softmax_label", (4,))


def classifier() -> mx.Symbol:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    return mx.sym.SoftmaxOutput(net, name="softmax")


def bound() -> mx.mod.Module:
    module = mx.mod.Module(classifier())
    module.bind([DATA], [LABEL])
    module.init_params(mx.init.One())
    return module


def batch() -> mx.io.DataBatch:
    return mx.io.DataBatch([mx.nd.ones((4, 5))], [mx.nd.zeros((4,))])


# ---- modules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("described", [True, False], ids=["described", "plain"])
def test_arrays_of_a_batch_are_named_as_it_was_described(described: bool) -> None:
    """Iterators sort their arrays by name, whatever the order of a module's names is."""
    user, item = mx.sym.Variable("user"), mx.sym.Variable("item")
    first = mx.sym.LinearRegressionOutput(user - 2 * item, mx.sym.Variable("second_label"))
    last = mx.sym.LinearRegressionOutput(user * item, mx.sym.Variable("first_label"))
    data = {"user": np.full((4, 1), 10.0), "item": np.full((4, 1), 1.0)}
    labels = {"second_label": np.full((4, 1), 3.0), "first_label": np.full((4, 1), 7.0)}
    batches = mx.io.NDArrayIter(data, labels, batch_size=4)
    module = mx.mod.Module(
        mx.sym.Group([first, last]),
        data_names=["user", "item"],
        label_names=["second_label", "first_label"],
    )
    module.bind(batches.provide_data, batches.provide_label, inputs_need_grad=True)
    module.init_params()
    one = batches.next()
    if described:
        one.provide_data, one.provide_label = batches.provide_data, batches.provide_label
    module.forward_backward(one)
    assert [x.asnumpy()[0, 0] for x in module.get_outputs()] == [8, 10]
    # By the descriptions' order: -2 * (8 - 3) + 10 * (10 - 7), and (8 - 3) + 1 * (10 - 7).
    assert [x.asnumpy()[0, 0] for x in module.get_input_grads()] == [20, 8]


def test_batches_may_be_named_tuples() -> None:
    """MXNet's own tutorials predict with one that has data and no more."""
    data, labels = [mx.nd.ones((4, 5))], [mx.nd.zeros((4,))]
    module = bound()
    module.forward(namedtuple("Batch", ["data"])(data), is_train=False)
    assert module.get_outputs()[0].shape == (4, 3)
    module.init_optimizer()
    for _ in range(2):
        module.train_by(namedtuple("Batch", ["data", "label"])(data, labels))
    assert (module.get_params()[0]["fc_bias"].asnumpy() != 0).all()


def test_labels_for_a_network_without() -> None:
    """Networks are stripped of their loss to predict, and the iterators stay."""
    batches = mx.io.NDArrayIter(np.ones((8, 5)), np.zeros(8), batch_size=4)
    module = mx.mod.Module(mx.sym.softmax(mx.sym.Variable("data")))
    module.bind(batches.provide_data, for_training=False)
    module.init_params()
    assert module.predict(batches).shape == (8, 5)
    batches.reset()
    one = batches.next()
    one.provide_data, one.provide_label = batches.provide_data, batches.provide_label
    module.forward(one)


@pytest.mark.parametrize("given", [None, mx.nd.ones((4, 5)), 3], ids=["none", "array", "number"])
def test_what_is_no_batch(given: Any) -> None:
    module = bound()
    module.init_optimizer()
    for call in (module.forward, module.forward_backward, module.train_by):
        with pytest.raises(TypeError, match="a batch must be a DataBatch"):
            call(given)


@pytest.mark.parametrize(
    "given",
    [3, [3], [("data", 3)], [("data",)], ("data", (4, 5)), [(3, (4, 5))], [mx.io.DataDesc("a", 3)]],
    ids=str,
)
def test_what_describes_no_data(given: Any) -> None:
    module = mx.mod.Module(classifier())
    with pytest.raises(TypeError, match=r"lists of DataDesc, or of pairs.*; got"):
        module.bind(given, [LABEL])
    with pytest.raises(TypeError, match=r"lists of DataDesc, or of pairs.*; got"):
        module.bind([DATA], given)
    assert not module.binded


def test_a_value_that_is_missing_and_an_array_too_many() -> None:
    module = bound()
    with pytest.raises(RuntimeError, match=r"fc_bias is not presented: .* allow_missing=True"):
        module.set_params({"fc_weight": mx.nd.ones((3, 5))}, {})
    data = mx.nd.ones((4, 5))
    with pytest.raises(
        ValueError, match="has 2 arrays of data, and the module takes 1: data; give one"
    ):
        module.forward(mx.io.DataBatch([data, data]))


@pytest.mark.parametrize("given", [[1], 5, None, np.ones((4, 5)), "batches"])
def test_what_is_no_iterator(given: Any) -> None:
    module = bound()
    for call in (
        lambda: module.score(given, "acc"),
        lambda: module.fit(given, num_epoch=1),
        lambda: module.fit(mx.io.NDArrayIter(np.ones((4, 5))), [given], num_epoch=1),
    ):
        with pytest.raises(ValueError, match="must be a DataIter"):
            call()
    if not isinstance(given, np.ndarray):
        with pytest.raises(ValueError, match="must be a DataIter"):
            module.predict(given)


@pytest.mark.parametrize("symbol", [None, "net", 3])
def test_a_module_of_no_symbol(symbol: Any) -> None:
    with pytest.raises(TypeError, match="a Module needs a Symbol"):
        mx.mod.Module(symbol)


def test_requests_of_gradients_by_place_and_by_name() -> None:
    for request in (["write", "null", "write", "null"], {"fc_bias": "write"}):
        module = mx.mod.Module(classifier())
        module.bind([DATA], [LABEL], grad_req=request)
        module.init_params(mx.init.One())
        module.forward_backward(batch())
        gradients = module._bound().grad_dict
        assert gradients["fc_weight"] is None
        assert (gradients["fc_bias"].asnumpy() != 0).all()


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (["write"] * 2, ValueError),
        ("sum", ValueError),
        ({"fc_weight": "sum"}, ValueError),
        ({"fc_weigth": "write"}, ValueError),
        (None, TypeError),
        (3, TypeError),
    ],
)
def test_requests_of_gradients_that_are_none(request_: Any, error: type[Exception]) -> None:
    module = mx.mod.Module(classifier())
    with pytest.raises(error, match="grad_req"):
        module.bind([DATA], [LABEL], grad_req=request_)
    assert not module.binded


def test_buckets_have_the_requests_of_what_they_have() -> None:
    """The network of a short bucket may lack arguments that the default one has."""

    def network(key: int) -> tuple[mx.Symbol, list[str], list[str]]:
        net = mx.sym.Variable("data")
        for layer in range(key):
            net = mx.sym.FullyConnected(net, num_hidden=3, name=f"fc{layer}")
        return mx.sym.SoftmaxOutput(net, name="softmax"), ["data"], ["softmax_label"]

    module = mx.mod.BucketingModule(network, default_bucket_key=2)
    requests = {"fc0_weight": "write", "fc1_weight": "write"}
    module.bind([DATA], [LABEL], grad_req=requests)
    module.init_params(mx.init.One())
    one = mx.io.DataBatch(
        [mx.nd.ones((4, 5))], [mx.nd.zeros((4,))], bucket_key=1, provide_data=[DATA],
        provide_label=[LABEL],
    )  # fmt: skip
    module.forward_backward(one)
    assert (module._module._bound().grad_dict["fc0_weight"].asnumpy() != 0).any()


@pytest.mark.parametrize("count", [0, 2])
def test_a_batch_with_another_number_of_arrays(count: int) -> None:
    module = bound()
    with pytest.raises(ValueError, match=rf"{count} arrays of data.*data"):
        module.forward(mx.io.DataBatch([mx.nd.zeros((4, 5))] * count), is_train=False)


@pytest.mark.parametrize("data", [("data", (4, 7)), ("date", (4, 5))], ids=["shape", "name"])
def test_binding_again_in_vain_changes_nothing(data: tuple[str, tuple[int, ...]]) -> None:
    module = bound()
    with pytest.raises((ValueError, MXNetError)):
        module.bind([data], [LABEL], for_training=False, force_rebind=True)
    assert module.for_training
    module.forward_backward(batch())
    assert (module._bound().grad_dict["fc_weight"].asnumpy() != 0).any()


def test_a_checkpoint_that_does_not_fit_leaves_the_module_unbound(tmp_path: Path) -> None:
    bound().save_checkpoint(tmp_path / "net", 1)
    wrong = {"arg:fc_weight": mx.nd.ones((3, 9)), "arg:fc_bias": mx.nd.ones((3,))}
    mx.nd.save(tmp_path / "net-0001.params", wrong)
    module = mx.mod.Module.load(tmp_path / "net", 1)
    with pytest.raises(MXNetError, match="fc_weight"):
        module.bind([DATA], [LABEL])
    assert not module.binded
    module.bind([("data", (4, 9))], [LABEL])
    assert module.get_params()[0]["fc_weight"].shape == (3, 9)


def test_damaged_states_leave_a_module_without_an_optimizer(tmp_path: Path) -> None:
    bound().save_checkpoint(tmp_path / "net", 1)
    (tmp_path / "net-0001.states").write_bytes(b"damaged")
    module = mx.mod.Module.load(tmp_path / "net", 1, load_optimizer_states=True)
    module.bind([DATA], [LABEL])
    with pytest.raises(MXNetError, match="damaged"):
        module.init_optimizer()
    assert not module.optimizer_initialized
    with pytest.raises(AssertionError):
        module.update()


def test_parameters_may_be_numpy_arrays() -> None:
    module = bound()
    module.set_params({"fc_weight": np.full((3, 5), 2.0), "fc_bias": np.ones(3)}, {})
    assert (module.get_params()[0]["fc_weight"].asnumpy() == 2).all()


def test_parameters_that_are_no_arrays_change_nothing() -> None:
    module = bound()
    with pytest.raises(TypeError, match="fc_weight"):
        module.set_params({"fc_bias": mx.nd.ones((3,)), "fc_weight": [1, 2]}, {})
    assert (module.get_params()[0]["fc_bias"].asnumpy() == 0).all()


@pytest.mark.parametrize("optimizer", [None, object()], ids=["none", "object"])
def test_something_else_than_an_optimizer(optimizer: Any) -> None:
    module = bound()
    with pytest.raises(TypeError, match="optimizer"):
        module.init_optimizer(optimizer=optimizer)
    assert not module.optimizer_initialized


# ---- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", ["write", "add"])
def test_gradient_arrays_whose_elements_share_memory(request_: str) -> None:
    shared = mx.nd.from_torch(torch.zeros(1, 3).expand(2, 3))
    square = mx.sym.square(mx.sym.Variable("x"))
    with pytest.raises(MXNetError, match=r"args_grad.*x.*share memory"):
        square.bind(mx.cpu(), {"x": mx.nd.ones((2, 3))}, {"x": shared}, request_)


def test_the_gradient_by_nothing() -> None:
    with pytest.raises(ValueError, match="wrt"):
        mx.sym.square(mx.sym.Variable("x")).grad([])


# ---- files -------------------------------------------------------------------------------------


def idx(shape: tuple[int, ...]) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def test_damaged_compression(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    content = bytearray(gzip.compress(idx((2, 2, 2)) + rng.bytes(8)))
    content[10] = 7  # a block of a kind that there is not
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(MXNetError, match="images"):
        mx.io.MNISTIter(path, path, batch_size=1, silent=True)


def peak_of(call: Callable[[], Any]) -> int:
    """How many bytes Python and numpy have at most while something is called."""
    tracemalloc.start()
    try:
        call()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def claiming(shape: tuple[int, ...], zeros: int) -> bytes:
    """A compressed file of images that are all zero."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb") as file:
        file.write(idx(shape))
        for _ in range(zeros >> 20):
            file.write(bytes(1 << 20))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        claiming((1 << 20, 1 << 10, 1 << 10), 32 << 20),
        claiming((1 << 12, 1 << 10, 1 << 10), 32 << 20),
        idx((1 << 20, 1 << 10, 1 << 10)) + bytes(100),
        idx((0xFFFFFFFF,) * 3) + bytes(100),
    ],
    ids=["more than any", "more than it can hold", "not compressed", "no length"],
)
def test_images_that_claim_more_than_there_is(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(content)

    def read() -> None:
        with pytest.raises(MXNetError, match=r"images.* claims shape"):
            mx.io.MNISTIter(tmp_path / "images", tmp_path / "images", silent=True)

    assert peak_of(read) < 8 << 20


def test_images_are_kept_as_they_are_in_the_file(tmp_path: Path) -> None:
    """As bytes: a batch is what becomes float32."""
    size = 4 << 20
    (tmp_path / "images").write_bytes(claiming((size >> 6, 8, 8), size))
    (tmp_path / "labels").write_bytes(idx((size >> 6,)) + bytes(size >> 6))

    def read() -> None:
        batches = mx.io.MNISTIter(
            tmp_path / "images", tmp_path / "labels", batch_size=2, silent=True
        )
        assert batches.next().data[0].dtype == np.float32

    assert peak_of(read) < 4 * size


def test_keywords_of_mxnet_s_iterators_that_say_nothing_of_the_batches(tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(idx((3, 2, 4)) + bytes(range(24)))
    (tmp_path / "labels").write_bytes(idx((3,)) + bytes(3))
    (tmp_path / "table.csv").write_text("1,2\n3,4\n")
    files = tmp_path / "images", tmp_path / "labels"
    given: dict[str, Any] = {"batch_size": 1, "silent": True, "shuffle": False}
    for dtype in ("float32", "float16"):
        (batch, *_) = mx.io.MNISTIter(
            *files, **given, dtype=dtype, data_shape=(8,), input_shape=(8,), flat=True
        )
        assert batch.data[0].dtype == np.dtype(dtype)
        assert (batch.data[0].asnumpy() == np.arange(8) / 256).all()
    (batch, _) = mx.io.CSVIter(tmp_path / "table.csv", (2,), prefetch_buffer=4, ctx="cpu")
    assert batch.data[0].asnumpy().tolist() == [[1, 2]]
    with pytest.raises(TypeError, match=r"'suffle'.*prefetch_buffer"):
        mx.io.MNISTIter(*files, suffle=True)


@pytest.mark.parametrize("flat", [True, False])
def test_a_part_without_images_has_their_shape(flat: bool, tmp_path: Path) -> None:
    """Three images in five parts: two of the parts are empty."""
    (tmp_path / "images").write_bytes(idx((3, 2, 4)) + bytes(24))
    (tmp_path / "labels").write_bytes(idx((3,)) + bytes(3))
    parts = [
        mx.io.MNISTIter(
            *(tmp_path / "images", tmp_path / "labels"),
            **{"batch_size": 1, "flat": flat, "silent": True, "num_parts": 5, "part_index": part},
        )
        for part in range(5)
    ]
    assert {one.provide_data[0].shape for one in parts} == {(1, 8) if flat else (1, 1, 2, 4)}
    assert sum(len([*one]) for one in parts) == 3


def test_a_table_of_one_endless_row(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"1" * (64 << 20))

    def read() -> None:
        with pytest.raises(MXNetError, match=r"row 1 is longer than 2 numbers"):
            mx.io.CSVIter(tmp_path / "table.csv", (2,))

    assert peak_of(read) < 8 << 20


@pytest.mark.parametrize("path", ["/dev/zero", "."])
def test_tables_and_images_are_files(path: str) -> None:
    for call in (
        lambda: mx.io.CSVIter(path, (2,)),
        lambda: mx.io.MNISTIter(path, path, silent=True),
    ):
        with pytest.raises(MXNetError, match="no regular file"):
            call()


@pytest.mark.parametrize("shape", [(10**15,), (-1,), (0,), (2.5,), "2", (1,) * 40])
def test_shapes_of_rows_that_are_none(shape: Any, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("1,2\n3,4\n")
    with pytest.raises((MXNetError, TypeError), match=r"data_shape|table"):
        mx.io.CSVIter(tmp_path / "table.csv", shape)
    with pytest.raises((MXNetError, TypeError), match="label_shape"):
        mx.io.CSVIter(tmp_path / "table.csv", (2,), label_shape=shape)


@pytest.mark.parametrize("dtype", ["object", "U9", "int16", "complex64", None, 3.5])
def test_dtypes_of_tables_that_are_none(dtype: Any, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("1,2\n3,4\n")
    with pytest.raises((MXNetError, TypeError), match="dtype"):
        mx.io.CSVIter(tmp_path / "table.csv", (2,), dtype=dtype)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("shape", [(0, 2, 2), (2, 0, 2)])
def test_images_of_nothing(shape: tuple[int, ...], flat: bool, tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(idx(shape))
    (tmp_path / "labels").write_bytes(idx(shape[:1]) + bytes(shape[0]))
    with pytest.raises(MXNetError, match="images"):
        mx.io.MNISTIter(
            tmp_path / "images", tmp_path / "labels", batch_size=1, flat=flat, silent=True
        )


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "2"])
def test_sizes_of_batches_that_are_none(batch_size: Any, tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(idx((2, 2, 2)) + bytes(8))
    (tmp_path / "labels").write_bytes(idx((2,)) + bytes(2))
    (tmp_path / "table.csv").write_text("1,2\n3,4\n")
    calls: list[Callable[[], Any]] = [
        lambda: mx.io.NDArrayIter(np.zeros((4, 2)), batch_size=batch_size),
        lambda: mx.io.CSVIter(tmp_path / "table.csv", (2,), batch_size=batch_size),
        lambda: mx.io.MNISTIter(
            tmp_path / "images", tmp_path / "labels", batch_size=batch_size, silent=True
        ),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="batch_size"):
            call()


def states(described: Any, *arrays: np.ndarray) -> bytes:
    text = np.frombuffer(json.dumps(described).encode(), np.uint8).copy()
    tensors = [torch.from_numpy(array) for array in (*arrays, text)]
    names = [*map(str, range(len(arrays))), "structure"]
    return params_file.dump(tensors, [Context("cpu", 0)] * len(tensors), names)


def optimizer_of(numbers: Any = None, scheduler: Any = None) -> bytes:
    tables = {key: [] for key in ("idx2name", "_index_update_count", "lr_mult", "wd_mult")}
    described = {"name": "sgd", "numbers": numbers or {}, "scheduler": scheduler, **tables}
    return states({"states": [], "optimizer": described})


HUGE = 10**400


@pytest.mark.parametrize(
    "content",
    [
        optimizer_of({"momentum": "abc"}),
        optimizer_of({"lr": None}),
        optimizer_of({"lr": [1, 2]}),
        optimizer_of({"lr": float("inf")}),
        optimizer_of({"num_update": "x"}),
        optimizer_of({"num_update": HUGE}),
        optimizer_of(scheduler=["FactorScheduler", {"step": 0}]),
        optimizer_of(scheduler=["FactorScheduler", {"step": -1}]),
        optimizer_of(scheduler=["FactorScheduler", {"count": -(10**12)}]),
        optimizer_of(scheduler=["MultiFactorScheduler", {"step": "abc"}]),
        optimizer_of(scheduler=["MultiFactorScheduler", {"step": ["a"]}]),
        optimizer_of(scheduler=["PolyScheduler", {"warmup_mode": 3}]),
    ],
)
def test_hostile_optimizers_in_states(content: bytes) -> None:
    updater = mx.optimizer.get_updater(mx.optimizer.SGD())
    before = updater.optimizer
    with pytest.raises(MXNetError, match="states"):
        updater.set_states(content)
    assert updater.optimizer is before


@pytest.mark.parametrize(
    ("structure", "array"),
    [
        (0, np.zeros(4, np.float32)),
        (0, np.zeros(1, np.float32)),
        (0, np.zeros(3, np.int32)),
        (["tuple", 0, 0], np.zeros(3, np.float32)),
    ],
    ids=["longer", "shorter", "dtype", "two"],
)
def test_states_of_other_weights(structure: Any, array: np.ndarray) -> None:
    updater = mx.optimizer.get_updater(mx.optimizer.SGD(momentum=0.9))
    updater.set_states(states({"states": [[0, structure]]}, array))
    weight = mx.nd.ones((3,))
    with pytest.raises(MXNetError, match="state of weight 0"):
        updater(0, mx.nd.ones((3,)), weight)
    assert (weight.asnumpy() == 1).all()


# ---- metrics -----------------------------------------------------------------------------------

ROWS = np.full((4, 3), 0.25)


@pytest.mark.parametrize(
    ("name", "labels", "outputs", "needed"),
    [
        ("acc", np.zeros(3), ROWS, "one label for each sample, of scores along axis 1"),
        ("acc", np.zeros((4, 1)), np.zeros(4), "the classes along axis 1"),
        ("f1", np.zeros((2, 3)), np.zeros((2, 3, 4)), "one label for each sample"),
        ("mcc", np.array([5, 7, 9, 5]), ROWS, r"of two classes.*\[5, 7, 9\]; use acc or pcc"),
        ("pcc", np.zeros(5), ROWS, "one label for each sample"),
        ("top_k_accuracy", np.zeros(3), ROWS, "one label for each row of scores"),
        ("top_k_accuracy", np.zeros((4, 3)), np.zeros((4, 3, 2)), "for each row of scores"),
        ("perplexity", np.zeros(3), ROWS, "one label for each sample, of probabilities"),
        ("ce", np.zeros(3), ROWS, "one label for each row of probabilities"),
        ("ce", np.zeros(4), np.zeros(4), "one label for each row of probabilities"),
        ("nll_loss", np.array([0, 1, 2, 3]), ROWS, "a label 3, and an output of 3 classes"),
        ("mse", np.zeros(3), ROWS, "one prediction for each label"),
        ("mae", np.zeros((2, 3)), np.zeros((2, 3, 4)), "one prediction for each label"),
        ("pearsonr", np.zeros(4), ROWS, "the shapes must be equal"),
    ],
)
def test_labels_that_do_not_fit_an_output(
    name: str, labels: np.ndarray, outputs: np.ndarray, needed: str
) -> None:
    """The pair before them does not count either."""
    given = {"top_k_accuracy": {"top_k": 2}, "perplexity": {"ignore_label": None}}
    metric = mx.metric.create(name, **given.get(name, {}))
    fine = np.zeros((4, 1)) if name == "pearsonr" else np.zeros(4)
    output = np.full((4, 1), 0.5) if name == "pearsonr" else ROWS
    metric.update([mx.nd.array(fine)], [mx.nd.array(output)])
    before = metric.num_inst, metric.sum_metric, metric.get_global()[1]
    arrays = [mx.nd.array(x) for x in (fine, labels)], [mx.nd.array(x) for x in (output, outputs)]
    with pytest.raises((ValueError, AssertionError), match=rf"metric {metric.name}.*{needed}"):
        metric.update(*arrays)
    np.testing.assert_equal((metric.num_inst, metric.sum_metric, metric.get_global()[1]), before)


@pytest.mark.parametrize("name", ["acc", "mse", "ce", "f1", "pearsonr"])
def test_more_labels_than_outputs(name: str) -> None:
    metric = mx.metric.create(name)
    labels, outputs = [mx.nd.zeros((4,))] * 2, [mx.nd.array(ROWS)]
    with pytest.raises(ValueError, match=rf"{metric.name} .* 2 arrays of labels for 1 outputs"):
        metric.update(labels, outputs)
    assert metric.num_inst == 0


@pytest.mark.parametrize(
    ("name", "label", "output", "value"),
    [
        ("f1", [-1, 1, -1], [[0.1, 0.9], [0.3, 0.7], [0.9, 0.1]], 2 / 3),
        ("f1", [2, 1], [[0.1, 0.9], [0.3, 0.7]], 2 / 3),
        ("f1", [0, 1, 1], [[0.2, 0.7, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]], 0.5),
        ("mcc", [-1, 1, -1], [[0.1, 0.9], [0.3, 0.7], [0.9, 0.1]], 0.5),
        ("mcc", [0, 1, 1], [[0.2, 0.7, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]], -0.5),
    ],
)
def test_what_is_not_class_1_is_the_other_one(
    name: str, label: list[int], output: list[list[float]], value: float
) -> None:
    metric = mx.metric.create(name)
    metric.update([mx.nd.array(label)], [mx.nd.array(output)])
    assert metric.get() == (name, pytest.approx(value))


@pytest.mark.parametrize("name", ["f1", "mcc"])
def test_probabilities_of_one_class_are_no_scores_of_two(name: str) -> None:
    with pytest.raises(ValueError, match=f"metric {name}.*classes along axis 1"):
        mx.metric.create(name).update([mx.nd.array([0, 1])], [mx.nd.array([0.1, 0.9])])
