"""Wrong calls of symbols and executors: refused at once, by name and line, and nothing changed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from refusals import MXNetError, Refusal, Scene, check, refuse

CPU = mx.cpu()
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
INFINITY, NAN = float("inf"), float("nan")


@pytest.fixture
def scene() -> Scene:
    """Fresh for every test."""
    return Scene()


def of(*shape: int, **options: Any) -> Any:
    """An array of ones."""
    return mx.nd.ones(shape, **options)


def numpy_objects() -> Any:
    """Values that are no numbers."""
    return np.full((2, 3), None)


# ---- bind --------------------------------------------------------------------------------------

NODE = ("elemwise_add", "'both'", "{line}", "lhs", "rhs")
CLASH = (*NODE, "(2, 3)", "(3, 2)")
DTYPES = (*NODE, "float32", "int32", "cast")
WORDS = ("write", "add", "null")

BIND = [
    refuse("key-missing", lambda s: s.bind(args={"left": s.x}), ValueError, "`right`", "`args`"),
    refuse("dict-empty", lambda s: s.bind(args={}), ValueError, "`left`"),
    refuse("list-empty", lambda s: s.bind(args=[]), ValueError, "0", "2", "left, right"),
    refuse("list-short", lambda s: s.bind(args=[s.x]), ValueError, "1", "2", "left, right"),
    refuse("list-long", lambda s: s.bind(args=[s.x, s.y, s.y]), ValueError, "3", "2"),
    refuse("tuple", lambda s: s.bind(args=(s.x, s.y)), TypeError, "list of NDArrays"),
    refuse("none", lambda s: s.bind(args=None), TypeError, "list of NDArrays"),
    refuse("text", lambda s: s.bind(args="ab"), TypeError, "list of NDArrays"),
    refuse("one-array", lambda s: s.bind(args=s.x), TypeError, "list of NDArrays"),
    refuse("numpy-value", lambda s: s.bind(args=[s.x, s.y.asnumpy()]), TypeError, "right is"),
    refuse("torch-value", lambda s: s.bind(args=[s.x, s.y.to_torch()]), TypeError, "right is"),
    refuse(
        "none-value", lambda s: s.bind(args={"left": s.x, "right": None}), TypeError, "right is"
    ),
    refuse("symbol-value", lambda s: s.bind(args=[s.left, s.y]), TypeError, "left is"),
    refuse("number-value", lambda s: s.bind(args=[1, s.y]), TypeError, "left is"),
    refuse("wrong-shape", lambda s: s.bind(args=[s.x, of(3, 2)]), MXNetError, *CLASH),
    refuse("wrong-rank", lambda s: s.bind(args=[s.x, of(3)]), MXNetError, *NODE, "(3,)"),
    refuse("row-is-no-broadcast", lambda s: s.bind(args=[s.x, of(1, 3)]), MXNetError, *NODE),
    refuse(
        "wrong-dtype",
        lambda s: s.bind(args=[s.x, of(2, 3, dtype="int32")]),
        MXNetError,
        *DTYPES,
    ),
    refuse(
        "wrong-context",
        lambda s: s.bind(args=[s.x, s.y.as_in_context(mx.cpu(1))]),
        MXNetError,
        *("right", "cpu(1)", "cpu(0)", "as_in_context"),
    ),
    refuse(
        "all-elsewhere", lambda s: s.bind(ctx=mx.cpu(1)), MXNetError, "left", "cpu(0)", "cpu(1)"
    ),
    refuse("context-text", lambda s: s.bind(ctx="cpu"), TypeError, "mx.cpu()"),
    refuse("context-none", lambda s: s.bind(ctx=None), TypeError, "mx.cpu()"),
    refuse("context-of-torch", lambda s: s.bind(ctx=torch.device("cpu")), TypeError, "mx.cpu()"),
    refuse("context-negative", lambda s: s.bind(ctx=mx.gpu(-1)), MXNetError, "gpu(-1)"),
    refuse("state-unasked", lambda s: s.bind(aux_states=[s.x]), ValueError, "aux_states"),
    refuse("groups-number", lambda s: s.bind(group2ctx=3), TypeError, "group2ctx"),
    refuse("groups-text", lambda s: s.bind(group2ctx={"g": "cpu"}), (TypeError, MXNetError), "'g'"),
    refuse("groups-elsewhere", lambda s: s.bind(group2ctx={"g": mx.cpu(1)}), MXNetError, "cpu(1)"),
    refuse("grad-text", lambda s: s.bind(args_grad="write"), TypeError, "args_grad"),
    refuse("grad-short", lambda s: s.bind(args_grad=[s.x]), ValueError, "args_grad", "1", "2"),
    refuse("grad-numpy", lambda s: s.bind(args_grad={"left": np.ones((2, 3))}), TypeError, "left"),
    refuse(
        "grad-dtype",
        lambda s: s.bind(args_grad={"left": of(2, 3, dtype="int32")}),
        MXNetError,
        *("left", "int32", "float32"),
    ),
    refuse(
        "grad-context",
        lambda s: s.bind(args_grad={"right": of(2, 3, ctx=mx.cpu(1))}),
        MXNetError,
        *("right", "cpu(1)", "cpu(0)"),
    ),
    refuse("request-word", lambda s: s.bind(grad_req="wrote"), ValueError, "'wrote'", *WORDS),
    refuse("request-none", lambda s: s.bind(grad_req=None), (TypeError, ValueError), "grad_req"),
    refuse("request-number", lambda s: s.bind(grad_req=3), (TypeError, ValueError), "grad_req"),
    refuse("request-short", lambda s: s.bind(grad_req=["add"]), ValueError, "1", "2"),
    refuse("request-list", lambda s: s.bind(grad_req=["add", None]), ValueError, "right", *WORDS),
    refuse("request-dict", lambda s: s.bind(grad_req={"left": "no"}), ValueError, "left", "'no'"),
]


@pytest.mark.parametrize("refusal", BIND)
def test_bind(refusal: Refusal, scene: Scene) -> None:
    check(refusal, scene)


@NO_GPU
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda s: s.bind(ctx=mx.gpu(0)), id="bind"),
        pytest.param(lambda s: s.head.simple_bind(mx.gpu(0), left=(2, 3)), id="simple_bind"),
        pytest.param(lambda s: s.head.eval(mx.gpu(0), left=s.x, right=s.y), id="eval"),
        pytest.param(lambda s: s.x.as_in_context(mx.gpu(0)), id="as_in_context"),
        pytest.param(lambda s: s.x.copyto(mx.gpu(0)), id="copyto"),
        pytest.param(lambda s: mx.nd.ones((2,), ctx=mx.gpu(0)), id="ones"),
        pytest.param(lambda s: mx.nd.array([1], ctx=mx.gpu(0)), id="array"),
        pytest.param(lambda s: mx.nd.uniform(shape=(2,), ctx=mx.gpu(0)), id="random"),
    ],
)
def test_a_gpu_that_is_not_there(call: Any, scene: Scene) -> None:
    with pytest.raises(RuntimeError, match=r"gpu\(0\).* or use mx.cpu\(\)"):
        call(scene)
    scene.assert_unchanged()


# ---- simple_bind -------------------------------------------------------------------------------


def simple(*args: Any, **options: Any) -> Any:
    """A call of `simple_bind` on the scene's graph."""
    return lambda s: s.head.simple_bind(*(args or (CPU,)), **options)


SIMPLE = [
    refuse("nothing", simple(), RuntimeError, "left", "right", "shape"),
    refuse("unknown-length", simple(left=(0, 3)), RuntimeError, "left: (0, 3)"),
    refuse("negative", simple(left=(-2, 3)), RuntimeError, "left: (-2, 3)"),
    refuse("fraction", simple(left=(2.0, 3)), RuntimeError, "shape 'left'"),
    refuse("text", simple(left=("2", 3)), RuntimeError, "shape 'left'"),
    refuse("truth", simple(left=(True, 3)), RuntimeError, "shape 'left'"),
    refuse("nan", simple(left=(NAN, 3)), RuntimeError, "shape 'left'"),
    refuse("none", simple(left=None), RuntimeError, "left"),
    refuse("beyond-memory", simple(left=(2**45,)), RuntimeError, "bytes"),
    refuse("beyond-integers", simple(left=(10**30, 3)), RuntimeError, "left: (1000"),
    refuse("too-many-axes", simple(left=(1,) * 100), RuntimeError, "axes"),
    refuse("shapes-clash", simple(left=(2, 3), right=(3, 2)), RuntimeError, *CLASH),
    refuse(
        "dtypes-clash",
        simple(left=(2, 3), type_dict={"left": "float32", "right": "int32"}),
        RuntimeError,
        *DTYPES,
    ),
    refuse("dtype-word", simple(left=(2, 3), type_dict={"left": "no"}), RuntimeError, "no"),
    refuse("dtype-name", simple(left=(2, 3), type_dict={"zz": "int8"}), RuntimeError, "zz"),
    refuse("dtypes-list", simple(left=(2, 3), type_dict=["int8"]), RuntimeError, "type_dict"),
    refuse("context-text", simple("cpu", left=(2, 3)), RuntimeError, "'cpu'"),
    refuse("request-word", simple(left=(2, 3), grad_req="no"), RuntimeError, "'no'", *WORDS),
    refuse("request-none", simple(left=(2, 3), grad_req=None), RuntimeError, "grad_req"),
]


@pytest.mark.parametrize("refusal", SIMPLE)
def test_simple_bind(refusal: Refusal, scene: Scene) -> None:
    check(refusal, scene)


# ---- the executor ------------------------------------------------------------------------------


def forward(**values: Any) -> Any:
    """A call of `forward` with values that are made for it."""
    return lambda s: s.executor.forward(**{name: value() for name, value in values.items()})


FORWARD = [
    refuse("unknown", forward(zz=lambda: of(2, 3)), TypeError, "zz", "left", "right"),
    refuse("shape", forward(left=lambda: of(3, 2)), ValueError, "left", "(2, 3)", "(3, 2)"),
    refuse("size-only", forward(left=lambda: of(6)), ValueError, "left", "(2, 3)", "(6,)"),
    refuse("row", forward(left=lambda: np.ones((1, 3))), ValueError, "left", "(1, 3)"),
    refuse("empty", forward(left=lambda: np.ones((0, 3))), ValueError, "left", "(0, 3)"),
    refuse("list", forward(left=lambda: [[1, 2, 3]] * 2), ValueError, "left", "list"),
    refuse("none", forward(left=lambda: None), ValueError, "left"),
    refuse("number", forward(left=lambda: 3), ValueError, "left"),
    refuse("symbol", forward(left=lambda: mx.sym.Variable("q")), ValueError, "left"),
    refuse("tensor", forward(left=lambda: torch.ones(2, 3)), ValueError, "left"),
    refuse("objects", forward(left=numpy_objects), (TypeError, ValueError), "left"),
    refuse("texts", forward(left=lambda: np.full((2, 3), "x")), (TypeError, ValueError), "left"),
    refuse("complex", forward(left=lambda: np.ones((2, 3)) * 1j), (TypeError, ValueError), "left"),
    refuse(
        "times", forward(left=lambda: np.zeros((2, 3), "M8[s]")), (TypeError, ValueError), "left"
    ),
    refuse(
        "records", forward(left=lambda: np.zeros((2, 3), "i4,f4")), (TypeError, ValueError), "left"
    ),
    refuse(
        "good-then-unknown",
        forward(left=lambda: of(2, 3), zz=lambda: of(2, 3)),
        TypeError,
        "zz",
    ),
    refuse(
        "good-then-shape", forward(left=lambda: of(2, 3), right=lambda: of(1)), ValueError, "right"
    ),
    refuse(
        "good-then-objects",
        forward(left=lambda: of(2, 3), right=numpy_objects),
        (TypeError, ValueError),
        "right",
    ),
]


@pytest.mark.parametrize("refusal", FORWARD)
def test_forward(refusal: Refusal, scene: Scene) -> None:
    check(refusal, scene)


def copied(arguments: Any, states: Any = None) -> Any:
    """A call of `copy_params_from`."""
    return lambda s: s.executor.copy_params_from(arguments(), states and states())


COPY = [
    refuse("unknown", copied(lambda: {"zz": of(2, 3)}), ValueError, '"zz"', "arguments"),
    refuse("unknown-state", copied(dict, lambda: {"m": of(2)}), ValueError, '"m"', "states"),
    refuse("shape", copied(lambda: {"left": of(3, 2)}), MXNetError, "left", "(2, 3)", "(3, 2)"),
    refuse("none", copied(lambda: {"left": None}), TypeError, "left"),
    refuse("number", copied(lambda: {"left": 3}), TypeError, "left"),
    refuse("text", copied(lambda: {"left": "x"}), TypeError, "left"),
    refuse("list", copied(lambda: [of(2, 3)]), TypeError, "dict"),
    refuse("objects", copied(lambda: {"left": numpy_objects()}), TypeError, "left"),
    refuse(
        "good-then-unknown", copied(lambda: {"left": of(2, 3), "zz": of(1)}), ValueError, '"zz"'
    ),
    refuse(
        "good-then-shape", copied(lambda: {"left": of(2, 3), "right": of(1)}), MXNetError, "right"
    ),
    refuse("good-then-none", copied(lambda: {"left": of(2, 3), "right": None}), TypeError, "right"),
    refuse(
        "good-then-objects",
        copied(lambda: {"left": of(2, 3), "right": numpy_objects()}),
        TypeError,
        "right",
    ),
]


@pytest.mark.parametrize("refusal", COPY)
def test_copy_params_from(refusal: Refusal, scene: Scene) -> None:
    check(refusal, scene)


def to(**shapes: Any) -> Any:
    """A call of the executor's `reshape`."""
    return lambda s: s.executor.reshape(**shapes)


RESHAPE = [
    refuse("unknown", to(zz=(2, 3)), TypeError, "zz", "left", "right"),
    refuse("list", to(left=[2, 3]), TypeError, "left", "[2, 3]"),
    refuse("fraction", to(left=(2.5, 3)), TypeError, "'left'"),
    refuse("text", to(left=("2", 3)), TypeError, "'left'"),
    refuse("negative", to(left=(-1, 3)), MXNetError, "left"),
    refuse("nothing", to(), MXNetError, "left"),
    refuse(
        "grows", to(left=(4, 3), right=(4, 3)), MXNetError, "(4, 3)", "(2, 3)", "allow_up_sizing"
    ),
    refuse("other-changes", to(left=(1, 3)), MXNetError, "right", "(1, 3)", "partial_shaping"),
    refuse("clash", to(left=(2, 3), right=(3, 2)), MXNetError, *CLASH),
    refuse(
        "beyond-memory",
        to(left=(2**45, 3), right=(2**45, 3), allow_up_sizing=True),
        MXNetError,
        *("left", "bytes"),
    ),
]


@pytest.mark.parametrize("refusal", RESHAPE)
def test_reshape(refusal: Refusal, scene: Scene) -> None:
    check(refusal, scene)


# ---- inference and eval ------------------------------------------------------------------------


def shapes(*args: Any, **given: Any) -> Any:
    """A call of `infer_shape`."""
    return lambda s: s.head.infer_shape(*args, **given)


def dtypes(*args: Any, **given: Any) -> Any:
    """A call of `infer_type`."""
    return lambda s: s.head.infer_type(*args, **given)


INFERENCE = [
    refuse("shape-unknown", shapes(zz=(2, 3)), MXNetError, "zz", "[0]left [1]right"),
    refuse("shape-list", shapes(left=[2, 3]), TypeError, "'left'"),
    refuse("shape-none", shapes(left=None), TypeError, "'left'"),
    refuse("shape-text", shapes(left="23"), TypeError, "'left'"),
    refuse("shape-number", shapes(6), TypeError, "'left'"),
    refuse("shape-fraction", shapes(left=(2.0, 3)), TypeError, "'left'"),
    refuse("shape-truth", shapes(left=(True, 3)), TypeError, "'left'"),
    refuse("shape-two-ways", shapes((2, 3), right=(2, 3)), ValueError, "position"),
    refuse("shape-clash", shapes(left=(2, 3), right=(3, 2)), MXNetError, *CLASH),
    refuse("shape-rank", shapes(left=(2, 3), right=(3,)), MXNetError, *NODE, "(3,)"),
    refuse("shape-too-many", shapes((2, 3), (2, 3), (2, 3)), (TypeError, ValueError), "2", "3"),
    refuse("type-unknown", dtypes(zz="int8"), MXNetError, "zz", "[0]left [1]right"),
    refuse("type-word", dtypes(left="no"), TypeError, "no"),
    refuse("type-object", dtypes(left=object()), TypeError),
    refuse("type-unsupported", dtypes(left="int16"), MXNetError, "int16", "int32"),
    refuse("type-two-ways", dtypes("int8", right="int8"), ValueError, "position"),
    refuse("type-clash", dtypes(left="float32", right="int32"), MXNetError, *DTYPES),
    refuse("eval-missing", lambda s: s.head.eval(left=s.x), ValueError, "`right`"),
    refuse(
        "eval-numpy", lambda s: s.head.eval(left=s.x, right=np.ones((2, 3))), TypeError, "right"
    ),
    refuse("eval-context", lambda s: s.head.eval("cpu", left=s.x, right=s.y), TypeError, "'cpu'"),
    refuse("eval-context-zero", lambda s: s.head.eval(0, left=s.x, right=s.y), TypeError, "0"),
    refuse("eval-shape", lambda s: s.head.eval(left=s.x, right=of(3, 2)), MXNetError, *CLASH),
]


@pytest.mark.parametrize("refusal", INFERENCE)
def test_inference(refusal: Refusal, scene: Scene) -> None:
    check(refusal, scene)


# ---- what must simply work ---------------------------------------------------------------------


def test_one_array_serves_two_arguments(scene: Scene) -> None:
    executor = scene.head.bind(CPU, [scene.x, scene.x])
    assert np.allclose(executor.forward()[0].asnumpy(), np.exp(2 * scene.x.asnumpy()))
    executor.forward(left=scene.y)
    assert np.array_equal(scene.x.asnumpy(), scene.y.asnumpy())


def test_an_output_of_one_executor_is_an_argument_of_another(scene: Scene) -> None:
    first = (scene.left + 1).bind(CPU, [scene.x])
    second = (scene.left * scene.right).bind(CPU, [first.outputs[0], scene.x])
    for value in (2, 5):
        scene.x[:] = value
        first.forward()
        assert second.forward()[0].asnumpy().tolist() == [[(value + 1) * value] * 3] * 2


def test_an_output_is_fed_back_to_its_own_executor() -> None:
    executor = (mx.sym.Variable("left") * 2).bind(CPU, [of(2)])
    executor.forward()
    for expected in (4, 8, 16):
        executor.forward(left=executor.outputs[0])
        assert executor.outputs[0].asnumpy().tolist() == [expected] * 2


@pytest.mark.parametrize("name", ["self", "is_train", "ctx", "args", "kwargs", "name", "dtype"])
def test_a_variable_may_have_the_name_of_a_parameter(name: str) -> None:
    """A name in the way of a keyword is still bound, inferred and run."""
    symbol = mx.sym.Variable(name) + 1
    executor = symbol.bind(CPU, {name: of(2)})
    assert executor.forward()[0].asnumpy().tolist() == [2, 2]
    assert symbol.infer_shape(**{name: (2,)})[1] == [(2,)]
    if name != "is_train":
        executor.forward(**{name: of(2) * 3})
        assert executor.outputs[0].asnumpy().tolist() == [4, 4]


def test_shapes_that_stay_open_are_a_warning_and_no_error(scene: Scene) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert scene.head.infer_shape() == (None, None, None)
    assert [one.filename for one in caught] == [__file__]


def test_values_of_any_kind_of_number_are_copied_in(scene: Scene) -> None:
    """Read-only, strided, mirrored, of another byte order or dtype: all without a warning."""
    expected = np.arange(6).reshape(2, 3) % 3
    frozen = expected.astype("float32")
    frozen.flags.writeable = False
    for value in (
        frozen,
        np.broadcast_to(frozen[0], (2, 3)),
        np.asfortranarray(expected),
        np.repeat(expected, 2, axis=1)[:, ::2],
        expected[::-1, ::-1][::-1, ::-1],
        *(expected.astype(kind) for kind in (">f4", ">i8", "i2", "u4", "u8", "f2", "f8")),
    ):
        scene.executor.forward(left=value)
        assert np.array_equal(scene.x.asnumpy(), expected)
        scene.x[:] = -1
        scene.executor.copy_params_from({"left": value})
        assert np.array_equal(scene.x.asnumpy(), expected)
        scene.x[:] = -1
