"""What once went wrong and is mended: each row is a call and what it must do now."""

from __future__ import annotations

import copy
import gc
import inspect
import json
import logging
import os
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.compiler.compiler import compile_entries
from tritonsym.compiler.eager import compute
from tritonsym.context import torch_device
from tritonsym.expressions import expr
from tritonsym.expressions.exactness import keeping
from tritonsym.expressions.philox import default_state
from tritonsym.foundation.dtype import ALL, FLOAT32, INT64
from tritonsym.foundation.errors import LoweringError, caller_line

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


def of_order(order: int) -> str:
    """The text of a gradient of a gradient and so on."""
    nodes = [{"op": "null", "name": "x", "inputs": []}]
    nodes.append({"op": "_backward_" * order + "relu", "name": "g", "inputs": [[0, 0, 0]]})
    return json.dumps({"nodes": nodes, "arg_nodes": [0], "heads": [[1, 0, 0]]})


def in_parts(number: str) -> str:
    """The text of a split into so many parts."""
    return sym.split_v2(A, 2).tojson().replace('"sections": "2"', f'"sections": "{number}"')


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
    "one sample": (
        lambda: sym.SoftmaxOutput(A, B).infer_shape(a=(5,)), MXNetError, ("(5,)", "2 axes"),
    ),
    "one sample, array": (
        lambda: nd.SoftmaxOutput(nd.ones((5,)), nd.ones((5,))), MXNetError, ("(5,)", "2 axes"),
    ),
    "negative parts": (lambda: sym.split_v2(A, -1), MXNetError, ("sections", "-1")),
    "endless parts": (lambda: sym.load_json(in_parts("9" * 20)), MXNetError, ("sections", "999")),
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
    "attributes of a group": (
        lambda: sym.Group([A, B])._set_attr(__k__="1"), MXNetError, ("non-grouped symbol", "a, b"),
    ),
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
    "words added": (lambda: nd.add("a", "b"), TypeError, ("add needs arrays", "str")),
    "half a part": (lambda: nd.split_v2(nd.ones((4,)), 2.5), ValueError, ("2.5", "list of ints")),
    "parts in a text": (lambda: sym.split_v2(A, "12"), ValueError, ("'12'", "list of ints")),
    "rows in columns": (
        lambda: sym.linalg.gemm2(A, B, axis=-1).infer_shape(a=(2, 3, 3), b=(2, 3, 3)),
        MXNetError, ("axis=-1", "columns"),
    ),
    "gradients of many orders": (
        lambda: sym.load_json(of_order(2000)), MXNetError, ("order 2000", "order 8"),
    ),
    # recurrent networks
    "no axis of time": (
        lambda: mx.rnn.FusedRNNCell(3).unroll(2, A, layout="ntc"), AssertionError, ("'ntc'", "NTC"),
    ),
    "no axis of time, steps": (
        lambda: mx.rnn.LSTMCell(3).unroll(2, A, layout="XY"), AssertionError, ("'XY'", "TNC"),
    ),
    "zoneout of no steps": (
        lambda: mx.rnn.ZoneoutCell(mx.rnn.FusedRNNCell(3)), AssertionError, ("unfuse()",),
    ),
    "clipped at zero": (
        lambda: sym.RNN(
            A, state_size=3, num_layers=1, mode="lstm", lstm_state_clip_min=0.0
        ).infer_shape(a=(2, 1, 3)),
        MXNetError, ("lstm_state_clip_min=0.0",),
    ),
    "batches of no sentences": (
        lambda: mx.rnn.BucketSentenceIter([[1, 2]], 0, [2]), ValueError, ("batch_size=0",),
    ),
    "batches of fewer": (
        lambda: mx.rnn.BucketSentenceIter([[1, 2]], -1, [2]), ValueError, ("batch_size=-1",),
    ),
    "a class below all": (
        lambda: mx.metric.CrossEntropy().update([nd.array([-4])], [nd.ones((1, 3))]),
        ValueError, ("label -4", "from -3 to -1"),
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


def test_a_length_alone_is_a_shape_of_one_axis() -> None:
    """`shape=(7)` is the number 7, and MXNet reads it so."""
    x = sym.Variable("x", shape=7)
    assert x.attr("__shape__") == "7"
    for symbol in (x, sym.load_json(x.tojson())):
        assert (symbol * 2).infer_shape() == ([(7,)], [(7,)], [])


def test_names_of_arguments_are_those_of_mxnet() -> None:
    two = nd.array([2.0])
    assert (
        nd.power(base=two, exp=3).asscalar() == sym.power(base=A, exp=3).eval(a=two)[0].asscalar()
    )
    assert sym.pow(base=2, exp=A).eval(a=two)[0].asscalar() == 4
    assert A.tojson(remove_amp_cast=False) == A.tojson()


def test_axes_are_moved_as_numpy_moves_them() -> None:
    cube = np.arange(24).reshape(2, 3, 4)
    for source, target in ((np.int64(0), 2), (-1, 0), ([0, 2], [-1, 1]), ((2, 0, 1), (0, 1, 2))):
        found = nd.moveaxis(nd.array(cube), source, target)
        assert np.array_equal(found.asnumpy(), np.moveaxis(cube, source, target))
    for wrong in ((3, 0), ([0, 1], [0]), ([0, 0], [1, 2])):
        with pytest.raises(ValueError):
            nd.moveaxis(nd.array(cube), *wrong)


def test_bfloat16_among_what_has_a_dtype_of_numpy() -> None:
    hot = nd.onehot_encode(nd.array([2, 0]), nd.zeros((2, 3), dtype="bfloat16"))
    assert hot.asnumpy().tolist() == [[0, 0, 1], [1, 0, 0]] and hot.dtype is torch.bfloat16
    batches = mx.rnn.BucketSentenceIter([[1, 2, 3]], 1, [3], dtype="bfloat16")
    (batch,) = batches
    assert batch.data[0].dtype is batches.provide_data[0].dtype is torch.bfloat16
    assert batch.label[0].asnumpy().tolist() == [[2, 3, -1]]
    kinds = [{"ctx": mx.cpu(), "a": (2, 3), "type_dict": {"a": t}} for t in ("bfloat16", "float32")]
    mx.test_utils.check_consistency(A * 2, kinds, rtol=2.0**-7)


def test_words_that_a_vocabulary_lacks_are_numbered_as_in_mxnet() -> None:
    """Each becomes the unknown one, and gives it another number."""
    encode = mx.rnn.encode_sentences
    known = {"a": 1, "b": 2, "<u>": 3}
    assert encode([["<u>", "a"]], dict(known), unknown_token="<u>") == ([[3, 1]], known)
    found, after = encode([["a", "z"], ["<u>", "y"]], dict(known), unknown_token="<u>")
    assert found == [[1, 0], [0, 1]] and after == {**known, "<u>": 1}
    found, made = encode([["a", "z"]], unknown_token="U", start_label=5)
    assert found == [[5, 6]] and made == {"\n": -1, "U": 6}


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


def test_a_name_and_attributes_are_those_that_were_given() -> None:
    made = A.split_v2(2, name="foo", attr={"__kind__": "x"})
    assert made.list_outputs() == ["foo_output0", "foo_output1"]
    assert made.attr("__kind__") == "x"
    assert (nd.add.__name__, sym.maximum.__name__) == ("add", "maximum")


def test_required_parameters_are_shown_as_required() -> None:
    signature = inspect.signature(nd.random_randint)
    assert signature.parameters["high"].default is inspect.Parameter.empty


def test_names_of_a_copied_graph_are_taken(tmp_path: Path) -> None:
    """Also of one that another process has made."""
    path = tmp_path / "graph"
    path.write_bytes(pickle.dumps(sym.FullyConnected(A, num_hidden=2, name="fullyconnected7")))
    with mx.name.NameManager():
        copied = pickle.loads(path.read_bytes())
        names = {sym.FullyConnected(copied, num_hidden=2).name for _ in range(9)}
    assert "fullyconnected7" not in names


def test_a_callers_operator_goes_with_its_graphs() -> None:
    class Held(mx.operator.CustomOp):
        def forward(self, is_train, req, in_data, out_data, aux):
            self.assign(out_data[0], req[0], in_data[0])

    @mx.operator.register("held_by_graphs")
    class HeldProperty(mx.operator.CustomOpProp):
        def create_operator(self, ctx, shapes, dtypes):
            made = Held()
            alive.add(made)
            return made

    alive: weakref.WeakSet[Held] = weakref.WeakSet()
    executor = sym.Custom(A, op_type="held_by_graphs").simple_bind(mx.cpu(), a=(2,))
    executor.forward()
    assert len(alive) == 1
    del executor
    gc.collect()
    assert not alive


def test_each_thread_has_the_settings_of_its_own_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the process those that it had before."""
    settings = SimpleNamespace(fp32_precision="none")
    libraries = SimpleNamespace(
        cudnn=SimpleNamespace(conv=settings, rnn=settings), cuda=SimpleNamespace(matmul=settings)
    )
    monkeypatch.setattr(torch, "backends", libraries)
    on_gpu = SimpleNamespace(is_cuda=True)
    seen: dict[str, set[str]] = {"ieee": set(), "tf32": set()}

    def call(precision: str) -> None:
        def step() -> None:
            time.sleep(0.001)
            seen[precision].add(settings.fp32_precision)

        for _ in range(20):
            keeping(precision, step, on_gpu)()

    threads = [threading.Thread(target=call, args=(precision,)) for precision in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"ieee": {"ieee"}, "tf32": {"tf32"}}
    assert settings.fp32_precision == "none"


def test_rates_that_fall_after_the_warmup_may_have_no_time_to_fall() -> None:
    schedule = mx.lr_scheduler.CosineScheduler(5, base_lr=0.1, final_lr=0.01, warmup_steps=5)
    assert schedule(5) == pytest.approx(0.01)


def test_shapes_may_be_lists() -> None:
    module = mx.mod.Module(sym.SoftmaxOutput(layer(), name="softmax"), data_names=["x"])
    module.bind([("x", [2, 3])], [("softmax_label", [2])])
    assert module.data_shapes[0].shape == (2, 3)
    assert nd.ones((2, 2)).reshape(shape=4).shape == (4,)


def test_an_iterator_begins_again_after_an_error() -> None:
    class Failing(mx.io.NDArrayIter):
        failures = 1

        def next(self):
            if self.failures:
                self.failures -= 1
                raise OSError("the network is away")
            return super().next()

    batches = mx.io.PrefetchingIter(Failing(np.arange(6.0), batch_size=2))
    with pytest.raises(OSError, match="away"):
        next(batches)
    batches.reset()
    assert len(list(batches)) == 3


def test_batches_larger_than_a_file_begin_every_epoch(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("1\n2\n3\n")
    batches = mx.io.CSVIter(data_csv=str(path), data_shape=(1,), batch_size=8, round_batch=True)
    for _ in range(3):
        assert len(list(batches)) == 1
        batches.reset()


def test_states_are_saved_with_a_checkpoint_of_buckets(tmp_path: Path) -> None:
    def generate(key: int) -> tuple[Any, list[str], list[str]]:
        return sym.SoftmaxOutput(layer(), name="softmax"), ["x"], ["softmax_label"]

    module = mx.mod.BucketingModule(generate, default_bucket_key=1)
    module.bind([("x", (2, 3))], [("softmax_label", (2,))])
    module.init_params()
    module.init_optimizer()
    mx.callback.module_checkpoint(module, tmp_path / "net", save_optimizer_states=True)(0)
    assert (tmp_path / "net-0001.states").exists()


def test_iterators_need_no_more_than_what_comes_next() -> None:
    class Endless(mx.io.DataIter):
        def iter_next(self):
            return True

        def getdata(self):
            return [nd.ones((2, 3))]

    batch = Endless(2).next()
    assert batch.data[0].shape == (2, 3)
    assert batch.label is None and batch.pad is None
    with pytest.raises(StopIteration):
        mx.io.DataIter(3).next()


def test_an_argument_of_a_list_may_have_no_gradient() -> None:
    a, b, gradient = nd.array([2.0, 3.0]), nd.array([5.0, 7.0]), nd.zeros((2,))
    executor = (A * B).bind(mx.cpu(), [a, b], args_grad=[gradient, None])
    executor.forward(is_train=True)
    executor.backward(nd.ones((2,)))
    assert gradient.asnumpy().tolist() == [5, 7]
    assert executor.grad_dict["b"] is None


def test_what_mxnet_shares_between_executors_is_accepted() -> None:
    first = layer().simple_bind(mx.cpu(), x=(2, 3))
    second = layer().simple_bind(
        mx.cpu(), shared_exec=first, shared_arg_names=["fc_weight"],
        group2ctx={"g": mx.cpu()}, stype_dict={"x": "default"}, x=(4, 3),
    )  # fmt: skip
    assert second.outputs[0].shape == (4, 2)
    with pytest.raises(RuntimeError, match="stype_dict: x would be stored sparsely"):
        layer().simple_bind(mx.cpu(), stype_dict={"x": "csr"}, x=(4, 3))


def normed() -> mx.Symbol:
    return sym.BatchNorm(sym.FullyConnected(sym.Variable("x"), num_hidden=2, name="fc"), name="bn")


def test_executors_share_what_is_named_and_states() -> None:
    """Memory is the same, whatever the batch: what one writes the other reads."""
    first, buffer = normed().simple_bind(mx.cpu(), x=(2, 3)), {"x": nd.ones((9,)) * 5}
    names, room = ["fc_weight", "fc_bias"], buffer["x"]
    second = normed().simple_bind(
        mx.cpu(), shared_exec=first, shared_arg_names=names, shared_buffer=buffer, x=(1, 3)
    )
    first.arg_dict["fc_weight"][:] = 7
    first.grad_dict["fc_bias"][:] = 8
    first.aux_dict["bn_moving_var"][:] = 9
    first.arg_dict["bn_gamma"][:] = 6
    assert (second.arg_dict["fc_weight"].asnumpy() == 7).all()
    assert (second.grad_dict["fc_bias"].asnumpy() == 8).all()
    assert (second.aux_dict["bn_moving_var"].asnumpy() == 9).all()
    assert (second.arg_dict["bn_gamma"].asnumpy() == 0).all()
    assert second.arg_dict["x"].asnumpy().tolist() == [[5.0] * 3] and buffer["x"] is room
    assert sorted(buffer) == [
        "bn_beta", "bn_gamma", "grad of bn_beta", "grad of bn_gamma", "grad of x", "x",
    ]  # fmt: skip
    third = normed().simple_bind(
        mx.cpu(), shared_exec=second, shared_arg_names=names, shared_buffer=buffer, x=(4, 3)
    )
    assert buffer["x"] is not room and buffer["x"].shape == (4, 3)
    buffer["bn_gamma"][:] = 4
    buffer["x"][:] = 3
    assert (third.arg_dict["bn_gamma"].asnumpy() == second.arg_dict["bn_gamma"].asnumpy()).all()
    assert (third.arg_dict["x"].asnumpy() == 3).all() and (room.asnumpy() == 5).all()
    alone = normed().simple_bind(mx.cpu(), shared_exec=first, shared_arg_names=names, x=(1, 3))
    assert (alone.arg_dict["fc_weight"].asnumpy() == 0).all()  # without a dict MXNet shares nothing


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"shared_arg_names": "fc_weight"}, ValueError, "shared_arg_names .* list or None"),
        ({"shared_buffer": [1]}, ValueError, "shared_buffer .* dict or None"),
        ({"shared_buffer": {"x": nd.ones((2, 3), dtype="int32")}}, RuntimeError, "x is int32"),
        ({"x": (2, 4)}, RuntimeError, r"fc_weight is float32 of shape \(2, 3\), .*\(2, 4\)"),
        ({"grad_req": "write"}, RuntimeError, "fc_weight has no gradient in shared_exec"),
    ],
    ids=["names", "buffer", "dtype", "shape", "gradient"],
)
def test_what_cannot_be_shared(given: dict[str, Any], kind: type[Exception], words: str) -> None:
    first, buffer = normed().simple_bind(mx.cpu(), grad_req="null", x=(2, 3)), {}
    shared = {"shared_exec": first, "shared_arg_names": ["fc_weight"], "shared_buffer": buffer}
    with pytest.raises(kind, match=words):
        normed().simple_bind(mx.cpu(), **{"grad_req": "null", "x": (2, 3), **shared, **given})
    assert buffer == {}


def test_changes_of_the_learning_rate_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        factor = mx.lr_scheduler.FactorScheduler(2, 0.5, stop_factor_lr=0.2, base_lr=1.0)
        rates = [factor(update) for update in range(10)]
    assert rates == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]
    last = "now learning rate arrived at 2.00000e-01, will not change in the future"
    assert caplog.messages == [
        "Update[3]: Change learning rate to 5.00000e-01",
        "Update[5]: Change learning rate to 2.50000e-01",
        f"Update[7]: {last}",
        f"Update[9]: {last}",
    ]
    caplog.clear()
    with caplog.at_level(logging.INFO):
        several = mx.lr_scheduler.MultiFactorScheduler([2, 4], 0.5, base_lr=1.0)
        assert [several(update) for update in (2, 3, 4, 5)] == [1, 0.5, 0.5, 0.25]
    assert caplog.messages == [
        "Update[3]: Change learning rate to 5.00000e-01",
        "Update[5]: Change learning rate to 2.50000e-01",
    ]


def test_buckets_are_saved_as_mxnet_saves_them(tmp_path: Path) -> None:
    def generate(key: int) -> tuple[Any, list[str], list[str]]:
        data = sym.slice_axis(sym.Variable("x"), axis=1, begin=0, end=2)
        made = sym.FullyConnected(data, num_hidden=key, name=f"fc{key}")
        shared = sym.FullyConnected(data, num_hidden=2, name="shared")
        return (
            sym.SoftmaxOutput(sym.concat(made * 0, shared), name="softmax"),
            ["x"],
            ["softmax_label"],
        )

    module = mx.mod.BucketingModule(generate, default_bucket_key=4)
    module.bind([("x", (2, 4))], [("softmax_label", (2,))])
    module.init_params(mx.init.One())
    module.save_checkpoint(tmp_path / "net", 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "net-0003.params", "net-4-symbol.json", "net.buckets",
    ]  # fmt: skip
    (keys,) = nd.load(str(tmp_path / "net.buckets"))
    assert keys.asnumpy().tolist() == [4] and keys.dtype is np.int32
    loaded = mx.mod.BucketingModule.load(tmp_path / "net", 3, generate, default_bucket_key=4)
    loaded.bind([("x", (2, 4))], [("softmax_label", (2,))])
    for name, array in loaded.get_params()[0].items():
        assert (array.asnumpy() == module.get_params()[0][name].asnumpy()).all()


def test_logarithms_of_powers_of_two_are_whole_numbers(context: mx.Context) -> None:
    """Those of integers are cut off to integers."""
    exponents = np.arange(-1074.0, 1024)
    powers = nd.array(np.ldexp(1.0, exponents.astype(int)), dtype="float64", ctx=context)
    (found,) = sym.log2(A).bind(context, {"a": powers}).forward()
    np.testing.assert_array_equal(found.asnumpy(), exponents)
    edges = [0.0, -0.0, np.inf, -1.0, -np.inf, np.nan]
    (found,) = sym.log2(A).bind(context, {"a": nd.array(edges, context, "float64")}).forward()
    np.testing.assert_array_equal(
        found.asnumpy(), [-np.inf, -np.inf, np.inf, np.nan, np.nan, np.nan]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_hypotenuse_beside_a_short_leg_is_the_long_one(dtype: str, context: mx.Context) -> None:
    info = np.finfo(dtype)
    long = [info.max, -info.max, 1.0, info.tiny, 0.0, np.inf, np.nan]
    short = [1.0, info.tiny, info.eps**2, 0.0, -0.0, 3.0, 1.0]
    due = [abs(leg) for leg in long]
    for first, second in ((long, short), (short, long)):
        given = {n: nd.array(v, context, dtype) for n, v in zip("ab", (first, second), strict=True)}
        (found,) = sym.hypot(A, B).bind(context, given).forward()
        np.testing.assert_array_equal(found.asnumpy(), np.array(due, dtype=dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_power_minus_one_of_next_to_nothing_is_infinite(
    dtype: str, context: mx.Context
) -> None:
    info = np.finfo(dtype)
    bases = np.array([info.tiny / 4, -info.tiny / 4, info.tiny, 4, np.inf, 0, np.nan], dtype=dtype)
    given = {"a": nd.array(bases, context, dtype), "b": nd.array(np.full(7, -1.0), context, dtype)}
    (found,) = sym.broadcast_power(A, B).bind(context, given).forward()
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(found.asnumpy(), 1 / bases)


@pytest.mark.parametrize(("shape", "axis"), [((2, 3, 5), 2), ((4, 3), 0), ((2, 5, 3), 1)])
def test_sums_of_picked_places_are_sums(
    shape: tuple[int, ...], axis: int, context: mx.Context
) -> None:
    """Places that are chosen several times get everything."""
    random = np.random.default_rng(8)
    places = random.integers(0, 3, shape)
    lengths = tuple(7 if n == axis else length for n, length in enumerate(shape))
    values = random.integers(-9, 9, shape).astype(np.float32)
    whole = expr.pick_add(expr.input_(0, shape, FLOAT32), expr.input_(1, shape, INT64), axis, 7)
    tensors = [torch.tensor(values), torch.tensor(places)]
    device = torch_device(context)
    (found,) = compute([whole], [t.to(device) for t in tensors], default_state(), context)
    due = np.zeros(lengths, dtype=np.float32)
    for index in np.ndindex(shape):
        at = list(index)
        at[axis] = places[index]
        due[tuple(at)] += values[index]
    np.testing.assert_array_equal(found.cpu().numpy(), due)


def test_a_slice_lies_within_its_data() -> None:
    data = expr.input_(0, (5,), FLOAT32)
    assert expr.slice_(data, (4,), (-1,), (-1,)).shape == (5,)
    for start, stop, step in ((0, 6, 1), (-1, 2, 1), (5, 1, -1), (2, 9, 3)):
        with pytest.raises(LoweringError, match=r"does not lie within \(5,\)"):
            expr.slice_(data, (start,), (stop,), (step,))


def test_what_a_monitor_prints_is_aligned_as_in_mxnet(caplog: pytest.LogCaptureFixture) -> None:
    monitor = mx.mon.Monitor(1, stat_func=lambda x: nd.sum(x), pattern="fc_output")
    executor = layer().simple_bind(mx.cpu(), x=(2, 3))
    monitor.install(executor)
    monitor.tic()
    executor.forward()
    with caplog.at_level(logging.INFO):
        monitor.toc_print()
    assert caplog.messages == [f"Batch: {1:7d} {'fc_output':30s} 0.0\t"]


def test_a_new_file_is_for_whom_new_files_are_for(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.touch(mode=0o640)
    before = os.umask(0o027)
    try:
        for path in (new, old):
            nd.save(str(path), nd.ones((2,)))
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (new, old)] == [0o640, 0o640]
    old.chmod(0o604)
    nd.save(str(old), nd.ones((2,)))
    assert old.stat().st_mode & 0o777 == 0o604


def test_one_element_of_a_strided_array_is_replaced(context: mx.Context) -> None:
    """Its stride says nothing, but torch compares strides where a call writes what it reads."""
    whole = torch.tensor([4.0, 3.0], device=torch_device(context))
    entries = (1 / A)._entries
    compiled = compile_entries([entries], {"a": whole[::2]}, context, written={0: "a"})
    compiled.make().run()
    assert whole.tolist() == [0.25, 3.0]


def test_what_a_debugger_shows_of_a_graph_is_short() -> None:
    """There are 2**100 ways through this one."""
    x = A
    for _ in range(100):
        x = x + x
    assert len(repr(x._entries)) < 1000


def test_an_operator_of_a_program_may_have_no_inputs(context: mx.Context) -> None:
    class Ones(mx.operator.CustomOp):
        def forward(self, is_train: Any, req: Any, in_data: Any, out_data: Any, aux: Any) -> None:
            self.assign(out_data[0], req[0], nd.ones((2, 3), ctx=context))

    class OnesProp(mx.operator.CustomOpProp):
        def list_arguments(self) -> list[str]:
            return []

        def infer_shape(self, in_shape: Any) -> Any:
            return [], [(2, 3)], []

        def infer_type(self, in_type: Any) -> Any:
            return [], ["float32"], []

        def create_operator(self, ctx: Any, shapes: Any, dtypes: Any) -> Ones:
            return Ones()

    name = f"ones_on_{context.device_type}"
    mx.operator.register(name)(OnesProp)
    (found,) = (sym.Custom(op_type=name) + 1).bind(context, {}).forward()
    assert found.asnumpy().tolist() == [[2.0] * 3] * 2


@pytest.mark.parametrize(
    "read_twice",
    [
        *(sym.take, sym.pick, sym.batch_take, sym.gather_nd, sym.reshape_like, sym.slice_like),
        *(sym.broadcast_like, lambda x, y: sym.softmax(x, y, use_length=True)),
    ],
)
def test_what_is_read_twice_has_the_dtype_of_the_result(read_twice: Callable[..., Any]) -> None:
    """Whichever of the two places the operator's rule fills."""
    x = sym.Variable("x")
    result = read_twice(x, x) + sym.Variable("y")
    assert result.infer_type(y="float32")[0] == [np.float32, np.float32]
    with pytest.raises(mx.MXNetError, match="cast one"):
        result.infer_type(x="float16", y="float32")


def test_one_dict_of_gradients_serves_every_layer() -> None:
    """Arrays under names that a symbol does not have are ignored, as those of arguments are."""
    one, gradients = nd.ones((2,)), {"a": nd.zeros((2,)), "other": nd.zeros((7,)), "no": 3}
    executor = (A * B).bind(mx.cpu(), {"a": one, "b": one * 2}, gradients)
    assert executor.grad_dict == {"a": gradients["a"], "b": None}
    executor.forward(is_train=True)
    executor.backward(one)
    assert gradients["a"].asnumpy().tolist() == [2.0, 2.0]


def test_a_copy_of_a_dtype_is_the_dtype_itself() -> None:
    """Dtypes are told apart by what they are, not by what they hold."""
    for dtype in ALL:
        assert copy.deepcopy(dtype) is dtype and pickle.loads(pickle.dumps(dtype)) is dtype
