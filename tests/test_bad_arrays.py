"""Wrong calls of arrays: refused at once, with every element as it was; odd memory simply works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from refusals import MXNetError, Refusal, check, refuse
from tritonsym.context import torch_device

nd = mx.nd
INFINITY, NAN = float("inf"), float("nan")
HUGE = 10**30
WRONG_VALUE = (TypeError, ValueError)


class Arrays:
    """Arrays that a refused call must leave as they are."""

    line = ""

    def __init__(self) -> None:
        self.names = mx.name.NameManager()
        self.x = nd.array([[0, 1, 2], [3, 4, 5]])
        self.y = nd.array([[1, 1, 2], [0, -1, 7]])
        self.whole = nd.array([[1, 2, 3], [4, 5, 6]], dtype="int32")
        self.elsewhere = nd.ones((2, 3), ctx=mx.cpu(1))
        self.wide = nd.from_torch(torch.ones(1, 3).expand(2, 3))
        self._before = self._state()

    def _state(self) -> list[bytes]:
        arrays = (self.x, self.y, self.whole, self.elsewhere, self.wide)
        return [array.asnumpy().tobytes() for array in arrays]

    def assert_unchanged(self) -> None:
        """Every element of every array."""
        assert self._state() == self._before


@pytest.fixture
def scene() -> Arrays:
    """Fresh for every test."""
    return Arrays()


# ---- making ------------------------------------------------------------------------------------

MAKING = [
    refuse("array-none", lambda s: nd.array(None), TypeError, "array"),
    refuse("array-text", lambda s: nd.array("abc"), TypeError, "str"),
    refuse("array-ragged", lambda s: nd.array([[1], [2, 3]]), TypeError, "list"),
    refuse("array-complex", lambda s: nd.array([1j]), TypeError, "list"),
    refuse("array-objects", lambda s: nd.array([None]), TypeError, "list"),
    refuse("array-dict", lambda s: nd.array({}), TypeError, "dict"),
    refuse("array-symbol", lambda s: nd.array(mx.sym.Variable("a")), TypeError, "Symbol"),
    refuse("array-records", lambda s: nd.array(np.zeros(2, "i4,f4")), TypeError),
    refuse("array-times", lambda s: nd.array(np.zeros(2, "M8[s]")), TypeError),
    refuse("computing-empty", lambda s: nd.array([]) + 1, MXNetError, "data", "(0,)", "leave it"),
    refuse(
        "binding-empty",
        lambda s: mx.sym.exp(mx.sym.Variable("v")).eval(v=s.x[:0]),
        MXNetError,
        *("v", "no elements"),
    ),
    refuse("array-dtype-word", lambda s: nd.array([1], dtype="no"), TypeError, "no"),
    refuse("array-dtype", lambda s: nd.array([1], dtype="int16"), MXNetError, "int16", "int32"),
    refuse("array-context", lambda s: nd.array([1], ctx="cpu"), TypeError, "cpu"),
    refuse("array-context-number", lambda s: nd.array([1], ctx=3), TypeError, "3"),
    refuse(
        "set-column",
        lambda s: s.x.__setitem__((slice(None), 1), nd.ones((2, 1))),
        ValueError,
        *("(2, 1)", "(2,)", "(2, 3)", "broadcast"),
    ),
    refuse("zeros-negative", lambda s: nd.zeros((-1,)), MXNetError, "(-1,)"),
    refuse("zeros-empty", lambda s: nd.zeros((0, 3)), MXNetError, "(0, 3)"),
    refuse("zeros-fraction", lambda s: nd.zeros((2.5,)), (TypeError, MXNetError), "(2.5,)"),
    refuse("zeros-truth", lambda s: nd.zeros((True,)), (TypeError, MXNetError), "True"),
    refuse("zeros-text", lambda s: nd.zeros("ab"), (TypeError, MXNetError), "'ab'"),
    refuse("zeros-none", lambda s: nd.zeros(None), (TypeError, MXNetError), "None"),
    refuse("zeros-large", lambda s: nd.zeros((2**50,)), MXNetError, "bytes"),
    refuse("zeros-sparse", lambda s: nd.zeros((2,), stype="csr"), ValueError, "'csr'"),
    refuse("copy-sparse", lambda s: nd.ones((2,)).tostype("row_sparse"), ValueError, "row_sparse"),
    refuse("zeros-larger", lambda s: nd.zeros((2**62, 2**62)), MXNetError),
    refuse("zeros-huge", lambda s: nd.zeros((HUGE,)), MXNetError),
    refuse("zeros-axes", lambda s: nd.zeros((1,) * 100), MXNetError, "100", "axes"),
    refuse("full-text", lambda s: nd.full((2,), "x"), WRONG_VALUE),
    refuse("full-none", lambda s: nd.full((2,), None), WRONG_VALUE),
    refuse("full-array", lambda s: nd.full((2,), s.x), WRONG_VALUE),
    refuse("full-out-shape", lambda s: nd.full((2,), 1, out=s.x), MXNetError, "(2,)", "(2, 3)"),
    refuse("full-out-number", lambda s: nd.full((2,), 1, out=3), TypeError, "out"),
    refuse("arange-nan", lambda s: nd.arange(NAN), MXNetError, "arange"),
    refuse("arange-infinite", lambda s: nd.arange(INFINITY), MXNetError, "arange"),
    refuse("arange-step", lambda s: nd.arange(0, 1, 0), MXNetError, "step"),
    refuse("arange-empty", lambda s: nd.arange(0), MXNetError, "empty"),
    refuse("arange-repeat", lambda s: nd.arange(3, repeat=0), MXNetError, "repeat"),
    refuse("arange-huge", lambda s: nd.arange(10**18), MXNetError),
    refuse("eye-empty", lambda s: nd.eye(0), MXNetError),
    refuse("eye-negative", lambda s: nd.eye(-3), MXNetError, "-3"),
    refuse("random-negative", lambda s: nd.uniform(shape=(-1,)), MXNetError, "(-1,)"),
    refuse("random-empty", lambda s: nd.uniform(shape=(0,)), MXNetError),
    refuse("random-context", lambda s: nd.uniform(shape=(2,), ctx="no"), MXNetError, "'no'"),
    refuse("random-context-digit", lambda s: nd.uniform(shape=(2,), ctx="cpu(²)"), MXNetError),
    refuse("random-seed", lambda s: mx.random.seed("x"), ValueError, "'x'"),
    refuse("numpy-list", lambda s: nd.from_numpy([1]), TypeError, "list"),
    refuse("numpy-int16", lambda s: nd.from_numpy(np.ones(2, "i2")), MXNetError, "int16"),
    refuse("numpy-objects", lambda s: nd.from_numpy(np.array([None])), (TypeError, MXNetError)),
    refuse(
        "numpy-read-only",
        lambda s: nd.from_numpy(np.broadcast_to(np.float32(1), (2, 3))),
        ValueError,
        "zero_copy=False",
    ),
    refuse("numpy-strided", lambda s: nd.from_numpy(np.ones((2, 3)).T), ValueError, "zero_copy"),
    refuse("torch-numpy", lambda s: nd.from_torch(np.ones(3)), TypeError, "ndarray"),
    refuse("torch-complex", lambda s: nd.from_torch(torch.ones(2) * 1j), MXNetError, "complex64"),
    refuse("torch-meta", lambda s: nd.from_torch(torch.ones(2, device="meta")), MXNetError, "meta"),
    refuse("torch-sparse", lambda s: nd.from_torch(torch.eye(2).to_sparse()), MXNetError, "sparse"),
    refuse("device-type", lambda s: mx.Context("no"), KeyError, "'no'"),
    refuse("device-number", lambda s: mx.Context("cpu", "x"), WRONG_VALUE),
    refuse("device-negative", lambda s: nd.ones((1,), ctx=mx.gpu(-1)), MXNetError, "gpu(-1)"),
]


@pytest.mark.parametrize("refusal", MAKING)
def test_making(refusal: Refusal, scene: Arrays) -> None:
    check(refusal, scene)


# ---- operators and their `out` -----------------------------------------------------------------

OPERATORS = [
    refuse("no-input", lambda s: nd.exp(), MXNetError, "exp", "data"),
    refuse("one-input", lambda s: nd.dot(s.x), MXNetError, "dot", "rhs"),
    refuse("too-many", lambda s: nd.exp(s.x, s.y), TypeError, "exp"),
    refuse("twice", lambda s: nd.exp(s.x, data=s.y), TypeError, "data"),
    refuse("numpy", lambda s: nd.exp(np.ones(3)), AssertionError, "data", "NDArray"),
    refuse("symbol", lambda s: nd.exp(mx.sym.Variable("a")), AssertionError, "data", "NDArray"),
    refuse("number", lambda s: nd.concat(s.x, 3), AssertionError, "NDArray"),
    refuse("unknown", lambda s: nd.exp(s.x, zz=1), MXNetError, "exp", "zz"),
    refuse("unknown-parameter", lambda s: nd.sum(s.x, zz=1), MXNetError, "sum", "zz", "axis"),
    refuse("shape", lambda s: s.x + nd.ones((4,)), MXNetError, "add", "(2, 3)", "(4,)"),
    refuse("dtype", lambda s: s.x + s.whole, MXNetError, "add", "float32", "int32", "cast"),
    refuse("context", lambda s: s.x + s.elsewhere, MXNetError, "cpu(0)", "cpu(1)", "as_in_context"),
    refuse("contract", lambda s: nd.dot(s.x, s.y), MXNetError, "dot", "lhs", "rhs", "(2, 3)"),
    refuse("parts", lambda s: nd.split(s.x, num_outputs=7), MXNetError, "7", "(2, 3)"),
    refuse("parts-many", lambda s: nd.split(s.x, num_outputs=2**20), MXNetError, "(2, 3)"),
    refuse("inputs-counted", lambda s: nd.concat(s.x, num_args=10**6), MXNetError, "1"),
    refuse("length-negative", lambda s: nd.broadcast_axis(s.x[0:1], axis=0, size=-1), MXNetError),
    refuse("length-zero", lambda s: nd.broadcast_axis(s.x[0:1], axis=0, size=0), MXNetError),
    refuse("tile-huge", lambda s: nd.tile(s.x, reps=(10**9, 10**9)), MXNetError),
    refuse("repeat-huge", lambda s: nd.repeat(s.x, repeats=10**18), MXNetError),
    refuse("repeat-huger", lambda s: nd.repeat(s.x, repeats=10**19), MXNetError),
    refuse("one-hot-huge", lambda s: nd.one_hot(s.x, depth=10**18), MXNetError),
    refuse("out-shape", lambda s: nd.exp(s.x, out=nd.ones((3, 2))), MXNetError, "(3, 2)", "(2, 3)"),
    refuse("out-dtype", lambda s: nd.exp(s.x, out=s.whole), MXNetError, "int32", "float32"),
    refuse("out-number", lambda s: nd.exp(s.x, out=3), TypeError, "out"),
    refuse("out-numpy", lambda s: nd.exp(s.x, out=np.ones((2, 3))), TypeError, "out"),
    refuse("out-list-numpy", lambda s: nd.exp(s.x, out=[np.ones((2, 3))]), TypeError, "out"),
    refuse("out-list-none", lambda s: nd.exp(s.x, out=[None]), TypeError, "out"),
    refuse("out-list-empty", lambda s: nd.exp(s.x, out=[]), MXNetError, "1", "0"),
    refuse("out-list-long", lambda s: nd.exp(s.x, out=[s.y, s.y]), MXNetError, "1", "2"),
    refuse(
        "out-second-shape",
        lambda s: nd.split(s.y, num_outputs=3, out=[s.x[:, 0:1], nd.ones((2, 1)), nd.ones((1,))]),
        MXNetError,
        *("(1,)", "(2, 1)"),
    ),
    refuse("out-grows", lambda s: nd.broadcast_add(s.x, s.y, out=s.x[0:1]), MXNetError, "(1, 3)"),
    refuse("add-grows", lambda s: s.x[0:1].__iadd__(s.y), MXNetError, "(1, 3)", "(2, 3)"),
    refuse("add-dtype", lambda s: s.x.__iadd__(s.whole), MXNetError, "float32", "int32"),
    refuse("concat-none", lambda s: nd.concatenate([]), ValueError, "one"),
    refuse("moveaxis", lambda s: nd.moveaxis(s.x, 0, 5), ValueError, "5"),
    refuse("reshape-size", lambda s: s.x.reshape((4,)), ValueError, "6", "(4,)"),
    refuse("reshape-fraction", lambda s: s.x.reshape((2.5, 3)), TypeError),
    refuse("reshape-text", lambda s: s.x.reshape("ab"), WRONG_VALUE),
    refuse("reshape-none", lambda s: s.x.reshape(None), TypeError),
    refuse("reshape-keyword", lambda s: s.x.reshape(zz=3), TypeError, "zz"),
    refuse("astype", lambda s: s.x.astype("no"), TypeError, "no"),
    refuse("astype-unsupported", lambda s: s.x.astype("int16"), MXNetError, "int16"),
    refuse("copyto-none", lambda s: s.x.copyto(None), TypeError, "NoneType"),
    refuse("copyto-numpy", lambda s: s.x.copyto(np.ones((2, 3))), TypeError, "ndarray"),
    refuse("copyto-shape", lambda s: s.x.copyto(s.y[0]), MXNetError, "(2, 3)", "(3,)"),
    refuse("as-in-text", lambda s: s.x.as_in_context("cpu"), TypeError, "str"),
    refuse("truth", lambda s: bool(s.x), ValueError, "ambiguous"),
    refuse("scalar", lambda s: s.x.asscalar(), ValueError, "scalar"),
    refuse("float", lambda s: float(s.x), TypeError),
    refuse("less-none", lambda s: s.x < None, TypeError),
    refuse("add-none", lambda s: s.x + None, TypeError),
    refuse("add-text", lambda s: s.x + "1", TypeError),
    refuse("add-numpy", lambda s: s.x + np.ones((2, 3)), TypeError, "ndarray"),
    refuse("add-to-numpy", lambda s: np.ones((2, 3)) + s.x, TypeError, "ndarray"),
    refuse("add-symbol", lambda s: s.x + mx.sym.Variable("a"), TypeError, "Symbol"),
    refuse("add-complex", lambda s: s.x + 1j, TypeError, "complex"),
    refuse("add-numpy-text", lambda s: s.x + np.str_("3"), TypeError),
    refuse("add-time", lambda s: s.x + np.datetime64("2020"), TypeError),
]


@pytest.mark.parametrize("refusal", OPERATORS)
def test_operators(refusal: Refusal, scene: Arrays) -> None:
    check(refusal, scene)


# ---- elements ----------------------------------------------------------------------------------

# Keys that no array of shape (2, 3) has, for reading and for writing.
KEYS: dict[str, tuple[Any, Any]] = {
    "beyond": (5, IndexError),
    "below": (-9, IndexError),
    "huge": (HUGE, IndexError),
    "too-many": ((0, 0, 0), IndexError),
    "second-axis": ((slice(None), 3), IndexError),
    "text": ("a", (TypeError, ValueError, IndexError)),
    "fraction": (1.5, (TypeError, ValueError, IndexError)),
    "fractions": ([0.5], (TypeError, ValueError, IndexError)),
    "texts": (["a"], (TypeError, ValueError, IndexError)),
    "objects": (np.array([None]), (TypeError, ValueError, IndexError)),
    "dict": ({}, (TypeError, ValueError, IndexError)),
    "symbol": (mx.sym.Variable("a"), (TypeError, ValueError, IndexError)),
    "step-zero": (slice(None, None, 0), ValueError),
    "step-text": (slice("a", None), TypeError),
    "list-beyond": ([7], IndexError),
    "list-partly-beyond": ([0, 9], IndexError),
    "list-partly-below": ([1, -3], IndexError),
    "pairs-partly-beyond": (([0, 1], [0, 3]), IndexError),
    "numpy-partly-beyond": (np.array([0, 9]), IndexError),
    "mask-short": (np.array([True]), IndexError),
    "mask-long": (np.array([True, False, True]), IndexError),
}


@pytest.mark.parametrize("name", KEYS)
def test_reading(name: str, scene: Arrays) -> None:
    key, error = KEYS[name]
    with pytest.raises(error):
        scene.x[key]
    scene.assert_unchanged()


@pytest.mark.parametrize("value", [1, np.float32(1), np.ones(3), nd.ones((1,))], ids=repr)
@pytest.mark.parametrize("name", KEYS)
def test_writing_to_no_element(name: str, value: Any, scene: Arrays) -> None:
    key, error = KEYS[name]
    with pytest.raises((*error, ValueError) if isinstance(error, tuple) else (error, ValueError)):
        scene.x[key] = value
    scene.assert_unchanged()


VALUES: dict[str, Any] = {
    "none": None,
    "text": "x",
    "texts": ["x", "y", "z"],
    "dict": {},
    "symbol": mx.sym.Variable("a"),
    "complex": 1j,
    "numpy-complex": np.complex64(1j),
    "complex-array": np.ones((2, 3)) * 1j,
    "objects": np.full((2, 3), None),
    "times": np.zeros((2, 3), "M8[s]"),
    "ragged": [[1, 2, 3], [4, 5]],
    "wrong-row": np.ones(2),
    "wrong-shape": np.ones((3, 2)),
    "too-large": np.ones((5, 2, 3)),
    "empty": [],
    "wrong-array": nd.ones((7,)),
}
PLACES = {
    "all": slice(None),
    "row": 0,
    "mirrored": (slice(None), slice(None, None, -1)),
    "list": [0, 1],
    "mask": np.array([[True, False, True]] * 2),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", VALUES)
def test_writing_no_value(name: str, place: str, scene: Arrays) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        scene.x[PLACES[place]] = VALUES[name]
    assert "maximum number of dimension" not in str(caught.value)
    scene.assert_unchanged()


WIDE = [
    refuse("array", lambda s: s.wide.__setitem__(slice(None), s.x), MXNetError, "copy()"),
    refuse("row", lambda s: s.wide.__setitem__(0, 7), MXNetError, "copy()"),
    refuse("add", lambda s: s.wide.__iadd__(1), MXNetError, "copy()"),
    refuse("out", lambda s: nd.exp(s.x, out=s.wide), MXNetError, "copy()"),
    refuse("copyto", lambda s: s.x.copyto(s.wide), MXNetError, "copy()"),
    refuse(
        "forward",
        lambda s: (mx.sym.Variable("a") + 1).bind(mx.cpu(), [s.wide]).forward(a=s.x),
        MXNetError,
        "copy()",
    ),
]


@pytest.mark.parametrize("refusal", WIDE)
def test_arrays_whose_elements_share_memory_are_not_written(
    refusal: Refusal, scene: Arrays
) -> None:
    """One write would change several elements, silently."""
    check(refusal, scene)


# ---- what must simply work ---------------------------------------------------------------------


def test_indices_of_every_kind(scene: Arrays) -> None:
    x = scene.x.asnumpy()
    for kind in ("uint8", "int8", "int32", "int64", "uint16", "uint32", "uint64"):
        assert np.array_equal(scene.x[np.array([1, 1], kind)].asnumpy(), x[[1, 1]])
    for key in (slice(None, None, HUGE), slice(HUGE, None, -1), slice(-HUGE, HUGE)):
        assert np.array_equal(scene.x[key].asnumpy(), x[key])
    cube = np.arange(24).reshape(2, 3, 4)
    mask = cube[:, :, 0] % 3 == 0
    for key in ((mask, slice(None, None, -1)), (slice(None, None, -1), [0, 2]), (..., [True] * 4)):
        assert np.array_equal(nd.array(cube)[key].asnumpy(), cube[key])


def test_an_array_as_a_key_counts_from_the_end_and_is_checked() -> None:
    x = nd.array([1, 2, 3])
    assert x[nd.array([-1])].asnumpy().tolist() == [3]
    assert x[nd.array([[0, -1]], dtype="int32")].asnumpy().tolist() == [[1, 3]]
    assert x[nd.array([0.7])].asnumpy().tolist() == [1]
    for wrong in (3, -4):
        with pytest.raises(IndexError, match=f"index {wrong} is out of bounds"):
            x[nd.array([wrong])]


def test_a_part_is_assigned_to_an_overlapping_part() -> None:
    for target, source in ((slice(1, None), slice(-1)), (slice(-1), slice(1, None))):
        ours, theirs = nd.arange(6), np.arange(6)
        ours[target] = ours[source]
        theirs[target] = theirs[source]
        assert ours.asnumpy().tolist() == theirs.tolist()


@pytest.mark.parametrize("key", [slice(None), 1, slice(None, None, -1), ([0, 2], 1)], ids=repr)
def test_arrays_in_any_order_of_memory_are_written(key: Any) -> None:
    tensor = torch.arange(6.0).reshape(2, 3).t()
    expected = tensor.numpy().copy()
    expected[key] = 9
    array = nd.from_torch(tensor)
    array[key] = 9
    assert np.array_equal(tensor.numpy(), expected)
    with pytest.raises(ValueError, match=r"copy\(\)"):
        array.reshape((-1,))


LAYOUTS: dict[str, Callable[[], torch.Tensor]] = {
    "transposed": lambda: torch.arange(12.0).reshape(4, 3).t(),
    "strided": lambda: torch.arange(48.0).reshape(6, 8)[::2, ::2],
    "offset": lambda: torch.arange(20.0)[5:17].reshape(3, 4),
    "one row for all": lambda: torch.arange(4.0).expand(3, 4),
    "one number for all": lambda: torch.tensor(2.0).expand(3, 4),
    "overlapping windows": lambda: torch.arange(6.0).as_strided((3, 4), (1, 1)),
    "axes of three": lambda: torch.arange(24.0).reshape(2, 3, 4).permute(1, 2, 0)[:, :, 1],
}


def same_order(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on a device, its elements in the same places of its memory."""
    memory = torch.empty(0).set_(tensor.untyped_storage())
    return memory.to(device).as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


A, B = mx.sym.Variable("a"), mx.sym.Variable("b")
GRAPHS = {
    "itself": A,
    "sum of two": A * 2 + B,
    "with its transpose": mx.sym.dot(A, B, transpose_b=True),
    "layer": mx.sym.FullyConnected(A, B, num_hidden=3, no_bias=True),
    "reduced": mx.sym.Group([mx.sym.sum(A, axis=0), mx.sym.max(B, axis=1), mx.sym.argmax(A)]),
    "moved": mx.sym.Group([mx.sym.reshape(A, shape=(2, 6)), mx.sym.reverse(B, axis=1)]),
    "softmax": mx.sym.softmax(A) - mx.sym.log_softmax(B, axis=0),
    "joined": mx.sym.Concat(A, B, dim=1),
    "roots": mx.sym.sqrt(A) % (B + 1),
    "taken": mx.sym.take(A, B, mode="wrap"),
}


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_in_any_order_of_memory_are_bound(
    graph: str, layout: str, context: mx.Context
) -> None:
    """Bound as they are, read at every run, and left as they were."""
    made = {"a": LAYOUTS[layout](), "b": LAYOUTS[layout]() + 1}
    tensors = {name: same_order(tensor, torch_device(context)) for name, tensor in made.items()}
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    names = GRAPHS[graph].list_arguments()
    odd = GRAPHS[graph].bind(context, {n: nd.NDArray(tensors[n], context) for n in names})
    plain = GRAPHS[graph].bind(mx.cpu(), {n: nd.array(made[n]) for n in names})
    for ours, expected in zip(odd.forward(), plain.forward(), strict=True):
        np.testing.assert_allclose(ours.asnumpy(), expected.asnumpy(), rtol=1e-5)
    assert all(torch.equal(tensors[name], before[name]) for name in tensors)
