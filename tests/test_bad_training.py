"""Training with wrong data, in a wrong order or from hostile files: nothing changes."""

from __future__ import annotations

import gzip
import json
import struct
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
