"""What once went wrong and is mended: each row is a call and what it must do now."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.foundation.errors import caller_line

nd, sym = mx.nd, mx.sym
MXNetError = mx.base.MXNetError
A, B = sym.Variable("a"), sym.Variable("b")
SURROGATE = "\ud800"
FORGED = "a\n2024-01-01 all is well"
Call = Callable[[], Any]

# ---- what is refused ---------------------------------------------------------------------------


def layer() -> Any:
    """A layer with a bias."""
    return sym.FullyConnected(sym.Variable("x"), num_hidden=2, name="fc")


def composed_with_itself() -> None:
    made = sym.exp(sym.Variable("a"))
    made._compose(a=made)


def composed_with_a_reader() -> None:
    made = sym.exp(sym.Variable("a"))
    made._compose(a=made + 1)


def within_itself() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def damaged(name: str, text: str) -> Any:
    """A variable with an attribute as only a file has it."""
    return sym.Variable("v", attr={f"__{name}__": text}) + 1


REFUSED: dict[str, tuple[Call, type[BaseException], tuple[str, ...]]] = {
    # a graph stays a graph
    "compose itself": (composed_with_itself, MXNetError, ("'exp", "copy")),
    "compose a reader": (composed_with_a_reader, MXNetError, ("'exp", "copy")),
    "compose a name": (lambda: (A + 1)(a=B, name=3), TypeError, ("3",)),
    "fewer inputs": (lambda: layer()._set_attr(no_bias="True"), MXNetError, ("3 inputs", "2")),
    "more inputs": (lambda: sym.Concat(A, B)._set_attr(num_args="3"), MXNetError, ("2 inputs",)),
    "fewer outputs": (
        lambda: sym.split(A, num_outputs=2)._set_attr(num_outputs="1"), MXNetError, ("2 outputs",),
    ),
    # lengths and axes
    "negative dimensions": (
        lambda: sym.Embedding(A, B, input_dim=-1, output_dim=4), MXNetError, ("input_dim",),
    ),
    "split in negatives": (
        lambda: sym.reshape(A, shape=(-4, -2, -1, 3)).infer_shape(a=(2, 3)), MXNetError, ("-2",),
    ),
    "repeat to a negative": (
        lambda: sym.broadcast_axis(A, axis=0, size=-1).infer_shape(a=(1, 3)), MXNetError, ("(-1",),
    ),
    "too many axes": (
        lambda: sym.reshape(A, shape=(1,) * 33).infer_shape(a=(1,)), MXNetError, ("32", "33"),
    ),
    "too many new axes": (lambda: nd.ones((1,))[(None,) * 40], MXNetError, ("32 axes",)),
    "endless range": (lambda: sym.arange(0, np.inf).infer_shape(), MXNetError, ("finite",)),
    "nowhere": (lambda: sym.arange(np.nan).infer_shape(), MXNetError, ("finite",)),
    # numbers and texts
    "time as number": (lambda: A + np.datetime64("2020"), TypeError, ("not supported",)),
    "text as number": (lambda: A + np.str_("3"), TypeError, ("not supported",)),
    "too large, symbol": (lambda: A + 10**400, MXNetError, ("scalar",)),
    "too large, array": (lambda: nd.ones((1,)) + 10**400, MXNetError, ("too large",)),
    "long integer": (lambda: sym.sum(A, axis=10**5000), MXNetError, ("axis",)),
    "list within itself": (lambda: sym.sum(A, axis=within_itself()), MXNetError, ("axis",)),
    "symbol as parameter": (
        lambda: sym.FullyConnected(A, num_hidden=B), MXNetError, ("num_hidden", "Symbol"),
    ),
    "half a character": (lambda: sym.Variable(SURROGATE), ValueError, ("UTF-8",)),
    "half of an operator": (lambda: sym.exp(A, name=SURROGATE), ValueError, ("UTF-8",)),
    "half of an attribute": (lambda: A._set_attr(__k__=SURROGATE), ValueError, ("UTF-8",)),
    "half of a parameter": (
        lambda: sym._internal._zeros(shape=(1,), ctx=SURROGATE), ValueError, ("UTF-8",),
    ),
    "half of a scope": (lambda: mx.AttrScope(k=SURROGATE), ValueError, ("UTF-8",)),
    "half of a prefix": (lambda: mx.Prefix(SURROGATE), ValueError, ("UTF-8",)),
    "prefix": (lambda: mx.Prefix(3), TypeError, ("3",)),  # type: ignore[arg-type]
    "attribute name": (lambda: sym.Variable("v", attr={3: "x"}), TypeError, ("3",)),
    "attribute list": (lambda: sym.Variable("v", attr=["x"]), TypeError, ("dict",)),
    "initializer": (lambda: sym.Variable("v", init=3), TypeError, ("init", "3")),
    "shape text": (lambda: sym.Variable("v", shape="abc"), TypeError, ("'v'", "'abc'")),
    "shape fraction": (lambda: sym.Variable("v", shape=(2.5,)), TypeError, ("'v'", "2.5")),
    "dtype digit": (lambda: damaged("dtype", "²").infer_type(), MXNetError, ("__dtype__", "²")),
    "dtype digits": (lambda: damaged("dtype", "9" * 5000).infer_type(), MXNetError, ("5000",)),
    "shape brackets": (lambda: damaged("shape", "]](( 2,,3 )").infer_shape(), MXNetError, ("]](",)),
    "shape underscore": (lambda: damaged("shape", "(1_0,)").infer_shape(), MXNetError, ("1_0",)),
    "shape digits": (lambda: damaged("shape", "(٣,)").infer_shape(), MXNetError, ("__shape__",)),
    # arrays
    "unknown keyword": (lambda: nd.exp(nd.ones((1,)), zz=1), MXNetError, ("zz",)),
    "slice lengths": (
        lambda: nd.ones((3,)).slice_assign(nd.ones((1,)), (0,), (1, 2)), ValueError, ("length",),
    ),
    "no dlpack": (lambda: nd.from_dlpack(3), TypeError, ("__dlpack__",)),
    "sign in the view": (
        lambda: nd.from_torch((torch.ones(2) * 1j).conj().imag),
        MXNetError, ("resolve_neg",),
    ),
    "device number": (lambda: mx.Context("cpu", 10**30), ValueError, ("1000",)),
    "device fraction": (lambda: mx.Context("cpu", 2.7), TypeError, ("2.7",)),  # type: ignore[arg-type]
    "move no array": (lambda: nd.moveaxis(3, 0, 1), TypeError, ("int",)),  # type: ignore[arg-type]
    "join no list": (lambda: nd.concatenate(torch.ones(2)), TypeError, ("Tensor",)),
    "an array for the mode": (
        lambda: A.bind(mx.cpu(), [nd.ones((1,))]).forward(nd.ones((1,))), TypeError, ("is_train",),
    ),
    "monitor": (
        lambda: A.bind(mx.cpu(), [nd.ones((1,))]).set_monitor_callback(3), TypeError, ("3",),
    ),
    "no view": (
        lambda: nd.from_torch(torch.ones(2, 3).t()).reshape((6,)), ValueError, ("copy()",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("label", REFUSED)
def test_it_is_refused(label: str) -> None:
    call, error, says = REFUSED[label]
    with pytest.raises(error) as caught:
        call()
    assert all(part in str(caught.value) for part in says), str(caught.value)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "call",
    [
        lambda: (sym.Variable(FORGED) + B).bind(mx.cpu(), {}),
        lambda: (sym.Variable(FORGED) + B).infer_shape(b=(2,), **{FORGED: (3,)}),
        lambda: (sym.Variable(FORGED) + B).infer_shape(zz=(2,)),
        lambda: sym.Variable(FORGED) + B + sym.Group([A, B]),
        lambda: sym.exp(sym.Variable("a" * 10**6)).infer_shape(zz=(2,)),
    ],
)
def test_names_in_messages_are_escaped_and_cut(call: Call) -> None:
    with pytest.raises((ValueError, MXNetError)) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000


# ---- what works now ----------------------------------------------------------------------------


def test_indices_are_no_masks_and_flips_hit_their_axis() -> None:
    cube = np.arange(24).reshape(2, 3, 4)
    array = nd.array(cube)
    mask = np.ones((2, 3), bool)
    for key in (
        np.array([1, 1], np.uint8),
        (mask, slice(None, None, -1)),
        (0, slice(None), [0, 1]),
        (slice(None, None, -2), None, 1),
        slice(None, None, 10**30),
    ):
        assert np.array_equal(array[key].asnumpy(), cube[key])
        changed = cube.astype(np.float32)
        changed[key] = -1
        written = nd.array(cube)
        written[key] = -1
        assert np.array_equal(written.asnumpy(), changed)


def test_one_run_at_a_time() -> None:
    executor = sym.exp(A).bind(mx.cpu(), {"a": nd.ones((2,))})
    inside, leave = threading.Event(), threading.Event()

    def watch(name: str, array: Any) -> None:
        inside.set()
        leave.wait(60)

    executor.set_monitor_callback(watch)
    thread = threading.Thread(target=executor.forward)
    thread.start()
    assert inside.wait(60)
    with pytest.raises(MXNetError, match="thread"):
        executor.forward(a=nd.zeros((2,)))
    leave.set()
    thread.join()
    assert executor.arg_dict["a"].asnumpy().tolist() == [1, 1]
    executor.set_monitor_callback(None)
    assert executor.forward(a=nd.zeros((2,)))[0].asnumpy().tolist() == [1, 1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_array_claims_a_gpu_that_is_not_there() -> None:
    with pytest.raises(MXNetError, match=r"gpu\(0\)"):
        nd.uniform(shape=(2,), ctx=mx.gpu(0))
    text = pickle.dumps(mx.nd.NDArray(torch.ones(2), mx.gpu(0)))
    with pytest.raises(MXNetError, match=r"gpu\(0\)"):
        pickle.loads(text)


def test_saving_follows_links_and_writes_into_pipes(tmp_path: Path) -> None:
    target, link, pipe = (tmp_path / name for name in ("target", "link", "pipe"))
    target.write_text("old")
    link.symlink_to(target)
    A.save(str(link))
    assert link.is_symlink()
    assert target.read_text() == A.tojson()
    os.mkfifo(pipe)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    A.save(str(pipe))
    reader.join()
    assert found == [A.tojson()]
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["", "missing/file", "nul\0", "x" * 10**4, "."])
def test_what_cannot_be_written_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    for save in (lambda path: A.save(path), lambda path: nd.save(path, nd.ones((1,)))):
        with pytest.raises(MXNetError, match="cannot write"):
            save(str(tmp_path / name) if name else "")
    assert list(tmp_path.iterdir()) == []


def test_any_byte_but_zero_is_true(tmp_path: Path) -> None:
    path = tmp_path / "x"
    nd.save(str(path), nd.array([1, 0], dtype="bool"))
    content = path.read_bytes()
    (loaded,) = nd.load_frombuffer(content[:-10] + b"\2\0" + content[-8:])
    assert loaded.to_torch().view(torch.uint8).tolist() == [1, 0]


def test_bfloat16_is_not_shown_as_float32() -> None:
    assert A.infer_type(a="bfloat16")[0] == [torch.bfloat16]


def test_tensors_with_a_history_are_values() -> None:
    assert nd.array(torch.ones(2, requires_grad=True)).asnumpy().tolist() == [1, 1]


def test_a_neighbour_of_the_package_is_the_users(tmp_path: Path) -> None:
    package = Path(mx.__file__).parent
    code = compile("found = caller_line()", f"{package}_of_mine/user.py", "exec")
    names: dict[str, Any] = {"caller_line": caller_line}
    exec(code, names)
    assert names["found"][0] == f"{package}_of_mine/user.py"


def test_tiles_of_many_axes() -> None:
    """The axes that are not repeated are not doubled on the way."""
    array = nd.ones((1,) * 19 + (2,))
    assert nd.tile(array, reps=(3,)).shape == (1,) * 19 + (6,)


# ---- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 3, 4, 64, 5000])
@pytest.mark.parametrize("name", ["sum", "mean", "nansum"])
def test_a_sum_of_negative_zeros_is_zero(name: str, length: int, context: mx.Context) -> None:
    """Sums begin with 0, and 0 plus -0 is 0."""
    data = nd.array(np.full((2, length), -0.0), dtype="float32", ctx=context)
    for axis in (0, 1):
        symbol = getattr(sym, name)(A, axis=axis)
        (total,) = symbol.bind(context, {"a": data}).forward()
        assert not np.signbit(total.asnumpy()).any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("layer", ["gelu", "layer norm"])
@pytest.mark.parametrize("loss", ["mean", "scaled", "twice"])
def test_a_gradient_that_is_one_number_everywhere(
    layer: str, loss: str, dtype: str, context: mx.Context
) -> None:
    """Losses such as a mean hand a constant to the layers before them."""
    gamma, beta = sym.Variable("gamma"), sym.Variable("beta")
    result = {
        "gelu": lambda: sym.LeakyReLU(A, act_type="gelu"),
        "layer norm": lambda: sym.LayerNorm(sym.sin(A), gamma, beta),
    }[layer]()
    symbol = {
        "mean": lambda: sym.MakeLoss(sym.mean(result)),
        "scaled": lambda: sym.MakeLoss(result * 0.7),
        "twice": lambda: (result * 2).grad("a").grad("a"),
    }[loss]()
    shapes = {"a": (7, 20), "gamma": (20,), "beta": (20,)}
    values = np.random.RandomState(0)
    data = {n: values.randn(*shapes[n]) for n in symbol.list_arguments()}
    found = []
    for fusion in (True, False):
        with mx.switched(fusion=fusion):
            arrays = {n: nd.array(v, dtype=dtype, ctx=context) for n, v in data.items()}
            gradients = {n: nd.zeros(v.shape, dtype=dtype, ctx=context) for n, v in data.items()}
            executor = symbol.bind(context, arrays, args_grad=gradients)
            (output,) = executor.forward(is_train=True)
            if loss == "twice":
                executor.backward(nd.ones(output.shape, dtype=dtype, ctx=context))
            else:
                executor.backward()
        found.append([output.asnumpy(), *(g.asnumpy() for g in gradients.values())])
    tolerance = {"float16": 1e-2, "bfloat16": 5e-2, "float32": 1e-4, "float64": 1e-10}[dtype]
    for fused, apart in zip(*found, strict=True):
        scale = float(np.abs(apart).max())
        assert np.abs(fused.astype("float64") - apart).max() <= tolerance * scale
