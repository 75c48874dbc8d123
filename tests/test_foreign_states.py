"""States that MXNet has pickled: training goes on as it does there, and nothing in them is run."""

from __future__ import annotations

import pickle
import pickletools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tritonsym as mx
from oracle.record_states import METHODS, STATES, steps, updater

CONTENT = (STATES / "adam.states").read_bytes()


@pytest.mark.parametrize("label", METHODS)
def test_training_goes_on_as_in_mxnet(label: str) -> None:
    recorded = np.load(STATES / f"{label}.npz")
    *stopped, one, other = (recorded[f"arr_{place}"] for place in range(4))
    again = updater(mx, label)
    again.set_states((STATES / f"{label}.states").read_bytes())
    found = steps(mx, label, again, stopped, range(3, 5))
    # Sums of float32 in another order; of float16 the weights are rounded once.
    tolerance = 2e-6 if METHODS[label][2] == "float32" else 1e-3
    for ours, theirs in zip(found, (one, other), strict=True):
        np.testing.assert_allclose(ours, theirs, tolerance, tolerance)


@pytest.mark.parametrize("protocol", [3, 5])
def test_older_and_newer_pickles(protocol: int) -> None:
    known, other = (mx.optimizer.get_updater(mx.optimizer.SGD(0.9)) for _ in range(2))
    known.set_states((STATES / "momentum.states").read_bytes())
    other.set_states((STATES / f"protocol-{protocol}.states").read_bytes())
    assert known.states.keys() == other.states.keys()
    for key in known.states:
        assert (known.states[key].asnumpy() == other.states[key].asnumpy()).all()


def test_a_module_takes_them(tmp_path: Path) -> None:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, name="fc", no_bias=True)
    module = mx.mod.Module(mx.sym.LinearRegressionOutput(net, name="softmax"))
    module.bind([("data", (4, 3))], [("softmax_label", (4, 2))])
    module.init_params()
    module.init_optimizer(optimizer="sgd", optimizer_params={"momentum": 0.9})
    module.load_optimizer_states(STATES / "momentum.states")
    one = mx.io.DataBatch([mx.nd.ones((4, 3))], [mx.nd.ones((4, 2))])
    for _ in range(3):
        module.train_by(one)
    assert np.isfinite(module.get_params()[0]["fc_weight"].asnumpy()).all()


def refuses(content: bytes, match: str) -> None:
    one = mx.optimizer.get_updater(mx.optimizer.SGD(momentum=0.9))
    one(0, mx.nd.ones((2,)), mx.nd.ones((2,)))
    before = one.states
    with pytest.raises(mx.MXNetError, match=match):
        one.set_states(content)
    assert one.states is before


class Calls:
    """What a pickle may call while it is read."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nothing_is_called(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "made"
    for call in (Calls(Path.touch, path), Calls(eval, "1"), Calls(bytearray, 10**12)):
        refuses(pickle.dumps({0: call}, protocol), "pickle")
    assert not path.exists()


def test_an_optimizer_is_not_read() -> None:
    content = (STATES / "with-an-optimizer.states").read_bytes()
    refuses(content, r"optimizer\.SGD.*write them without dump_optimizer")


def doubling(depth: int) -> Any:
    value: Any = ()
    for _ in range(depth):
        value = (value, value)
    return value


def endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        3, [], {0: 3.5}, {0: "text"}, {0: b"bytes"}, {3.5: None}, {(1, 2): None}, {None: None},
        {0: doubling(200)}, {0: endless()}, {0: [None] * 100},
        {0: {0: None}},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
@pytest.mark.parametrize("protocol", [2, 5])
def test_what_is_no_state(value: Any, protocol: int) -> None:
    refuses(pickle.dumps(value, protocol), "pickle|state")


def test_a_key_that_would_never_be_hashed() -> None:
    """A tuple of two times one tuple, 200 times over: 2**200 steps."""
    doubled = b")\x94" + b"".join(bytes([*b"h", i, *b"\x86\x94"]) for i in range(200))
    refuses(b"\x80\x04}" + doubled + b"Ns.", "tuple where it cannot be")


def test_an_array_that_stands_twice() -> None:
    """Two weights would share it, and each update change both."""
    content = (STATES / "momentum.states").read_bytes()
    memo = sum(op.name == "MEMOIZE" for op, _, at in pickletools.genops(content) if at < 60)
    assert memo
    # 0: array, 1: the same one from the memo, where REDUCE has put it.
    at = next(a for op, _, a in pickletools.genops(content) if op.name == "BUILD")
    refuses(content[: at + 1] + b"K\x01h\x05u.", "each in one place")


def test_damaged_pickles() -> None:
    """Every cut, and many changes of a byte, are an error of ours or harmless."""
    one = mx.optimizer.get_updater(mx.optimizer.Adam())
    for end in range(2, len(CONTENT)):
        refuses(CONTENT[:end], "pickle|damaged|state")
    choose = random.Random(3)
    for _ in range(2000):
        content = bytearray(CONTENT)
        for _ in range(choose.choice((1, 1, 2, 5))):
            content[choose.randrange(2, len(content))] = choose.randrange(256)
        try:
            one.set_states(bytes(content))
        except mx.MXNetError:
            continue
        for state in one.states.values():
            assert state is None or isinstance(state, (mx.nd.NDArray, tuple, list))
