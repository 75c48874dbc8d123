"""Wrong calls that make, compose, index or save symbols: refused at once, and nothing changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from refusals import MXNetError, Refusal, Scene, check, refuse

INFINITY, NAN = float("inf"), float("nan")
NESTED: list[Any] = []
NESTED.append(NESTED)
Variable, Group, op = mx.sym.Variable, mx.sym.Group, mx.sym


@pytest.fixture
def scene() -> Scene:
    """Fresh for every test."""
    return Scene()


# ---- variables, groups, composition, outputs ---------------------------------------------------

MAKING = [
    refuse("name-number", lambda s: Variable(3), TypeError, "name"),
    refuse("name-none", lambda s: Variable(None), TypeError, "name"),
    refuse("name-bytes", lambda s: Variable(b"left"), TypeError, "name"),
    refuse("name-half-a-character", lambda s: Variable("\ud800"), ValueError),
    refuse("attr-value", lambda s: Variable("q", attr={"k": 3}), ValueError, "k"),
    refuse("attr-key", lambda s: Variable("q", attr={3: "v"}), (TypeError, ValueError), "3"),
    refuse("attr-list", lambda s: Variable("q", attr=[("k", "v")]), TypeError, "attr"),
    refuse("attr-half", lambda s: Variable("q", attr={"__k__": "\udfff"}), ValueError),
    refuse("keyword", lambda s: Variable("q", foo="1"), ValueError, "__foo__"),
    refuse("shape-text", lambda s: Variable("q", shape="abc"), (TypeError, MXNetError), "shape"),
    refuse("shape-fraction", lambda s: Variable("q", shape=(2.5,)), (TypeError, MXNetError), "2.5"),
    refuse("shape-object", lambda s: Variable("q", shape=object()), TypeError, "shape"),
    refuse("dtype-word", lambda s: Variable("q", dtype="no"), TypeError, "no"),
    refuse("dtype-unsupported", lambda s: Variable("q", dtype="int16"), MXNetError, "int16"),
    refuse("init", lambda s: Variable("q", init=3), TypeError, "init"),
    refuse("stype", lambda s: Variable("q", stype="x"), ValueError, "'x'", "csr"),
    refuse("group-none", lambda s: Group(None), TypeError, "list of symbols"),
    refuse("group-empty", lambda s: Group([]), TypeError, "list of symbols"),
    refuse("group-mixed", lambda s: Group([s.left, 3]), TypeError, "list of symbols"),
    refuse("group-arrays", lambda s: Group([s.x]), TypeError, "list of symbols"),
    refuse("compose-array", lambda s: s.head(left=s.x), TypeError, "Symbol"),
    refuse("compose-position", lambda s: s.head(s.left), MXNetError, "kwargs"),
    refuse("compose-both", lambda s: s.head(s.left, right=s.left), TypeError, "keyword"),
    refuse("compose-unknown", lambda s: s.head(zz=s.left), MXNetError, "zz", "[0]left [1]right"),
    refuse(
        "compose-several",
        lambda s: s.head(left=Group([s.left, s.right])),
        MXNetError,
        *("left", "index"),
    ),
    refuse("compose-name", lambda s: s.head(left=s.right, name=3), TypeError, "name"),
    refuse("cycle-of-one", lambda s: s.head._compose(left=s.head), MXNetError, "left"),
    refuse("cycle-inside", lambda s: s.head._compose(left=s.both), MXNetError, "left"),
    refuse(
        "cycle-outside",
        lambda s: s.head._compose(left=op.tanh(s.head, name="t")),
        MXNetError,
        "left",
    ),
    refuse("index-negative", lambda s: s.head[-1], MXNetError, "-1"),
    refuse("index-large", lambda s: s.head[5], IndexError, "5"),
    refuse("index-huge", lambda s: s.head[10**30], IndexError),
    refuse("index-none", lambda s: s.head[None], TypeError, "integer"),
    refuse("index-truth", lambda s: s.head[True], TypeError, "integer"),
    refuse("index-tuple", lambda s: s.head[0, 0], TypeError, "integer"),
    refuse("index-name", lambda s: s.head["zz"], ValueError, "zz", "head_output"),
    refuse("index-nothing", lambda s: s.head[1:1], TypeError),
    refuse("set-attr-number", lambda s: s.head._set_attr(__k__=3), ValueError, "__k__"),
    refuse("set-attr-half", lambda s: s.head._set_attr(__k__="\ud800"), ValueError),
    refuse("scope-number", lambda s: mx.AttrScope(__k__=3), ValueError, "__k__"),
    refuse("scope-half", lambda s: mx.AttrScope(__k__="\ud800"), ValueError),
    refuse("prefix-none", lambda s: mx.name.Prefix(None), TypeError),
    refuse("prefix-number", lambda s: mx.name.Prefix(3), TypeError),
]


@pytest.mark.parametrize("refusal", MAKING)
def test_making(refusal: Refusal, scene: Scene) -> None:
    check(refusal, scene)


@pytest.mark.parametrize(
    ("made", "changes"),
    [
        pytest.param(
            lambda x: op.FullyConnected(x, num_hidden=3), {"no_bias": "True"}, id="fewer inputs"
        ),
        pytest.param(lambda x: op.Concat(x, x), {"num_args": "3"}, id="more inputs"),
        pytest.param(lambda x: op.split(x, num_outputs=2), {"num_outputs": "3"}, id="more outputs"),
        pytest.param(
            lambda x: op.split(x, num_outputs=2), {"num_outputs": "1"}, id="fewer outputs"
        ),
        pytest.param(lambda x: op.clip(x, a_min=0, a_max=1), {"a_min": "low"}, id="no number"),
    ],
)
def test_attributes_that_no_longer_fit_the_node(
    made: Callable[[Any], Any], changes: dict[str, str]
) -> None:
    symbol = made(Variable("x"))
    before = symbol.tojson()
    with pytest.raises(MXNetError):
        symbol._set_attr(**changes)
    assert symbol.tojson() == before
    assert symbol.infer_shape(x=(2, 4))[1] == made(Variable("x")).infer_shape(x=(2, 4))[1]


# ---- arithmetic --------------------------------------------------------------------------------

OPERANDS = {
    "none": None,
    "text": "1",
    "list": [1],
    "numpy": np.ones((2, 3)),
    "numpy-of-one": np.array(3.0),
    "numpy-text": np.str_("3"),
    "numpy-complex": np.complex64(1),
    "numpy-time": np.datetime64("2020"),
    "numpy-bytes": np.void(b"x"),
    "torch": torch.ones(3),
    "complex": 1j,
    "object": object(),
}
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "add-reflected": lambda a, b: b + a,
    "div-reflected": lambda a, b: b / a,
    "power": lambda a, b: a**b,
    "less": lambda a, b: a < b,
    "equal": lambda a, b: a == b,
    "maximum": mx.sym.maximum,
}


@pytest.mark.parametrize("operand", OPERANDS)
@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic(name: str, operand: str, scene: Scene) -> None:
    with pytest.raises(TypeError), scene.names:
        ARITHMETIC[name](scene.left, OPERANDS[operand])
    scene.assert_unchanged()


# ---- operators: parameters and inputs ----------------------------------------------------------


def fc(*args: Any, **options: Any) -> Callable[[Any], Any]:
    """A call of `FullyConnected` on the scene's first variable."""
    return lambda s: op.FullyConnected(s.left, *args, **{"num_hidden": 3, **options})


PARAMETERS = [
    refuse("missing", lambda s: op.FullyConnected(s.left), MXNetError, "num_hidden", "required"),
    refuse("unknown", fc(zz=4), MXNetError, "FullyConnected", "'zz'", "num_hidden"),
    refuse("unknown-attr", fc(attr={"zz": "3"}), MXNetError, "'zz'"),
    refuse("attr-list", fc(attr=["zz"]), TypeError),
    refuse("negative", fc(num_hidden=-1), MXNetError, "num_hidden", "positive", "'-1'"),
    refuse("zero", fc(num_hidden=0), MXNetError, "num_hidden", "positive"),
    refuse("fraction", fc(num_hidden=2.5), MXNetError, "num_hidden", "'2.5'"),
    refuse("huge", fc(num_hidden=10**30), MXNetError, "num_hidden"),
    refuse("digits", fc(num_hidden=10**5000), (MXNetError, ValueError)),
    refuse("array", fc(num_hidden=np.array([3])), TypeError, "num_hidden"),
    refuse("nd-array", fc(num_hidden=mx.nd.ones((1,))), TypeError, "num_hidden"),
    refuse("symbol", fc(num_hidden=Variable("q")), (TypeError, MXNetError), "num_hidden"),
    refuse("dict", fc(num_hidden={}), TypeError, "num_hidden"),
    refuse("bytes", lambda s: op.Activation(s.left, act_type=b"relu"), TypeError, "act_type"),
    refuse("choice", lambda s: op.Activation(s.left, act_type="no"), MXNetError, "'no'", "'tanh'"),
    refuse("truth", lambda s: op.dot(s.left, s.right, transpose_a="no"), MXNetError, "bool"),
    refuse("dtype", lambda s: op.Cast(s.left, dtype="int16"), MXNetError, "int16"),
    refuse("dtype-object", lambda s: op.Cast(s.left, dtype=object()), TypeError),
    refuse("axis-text", lambda s: op.sum(s.left, axis="x"), MXNetError, "axis", "'x'"),
    refuse("axis-nested", lambda s: op.sum(s.left, axis=((0, 1),)), MXNetError, "axis"),
    refuse("axis-endless", lambda s: op.sum(s.left, axis=NESTED), MXNetError, "axis"),
    refuse("code", lambda s: op.clip(s.left, a_min="0;import os", a_max=1), MXNetError, "a_min"),
    refuse(
        "length-negative", lambda s: op.Embedding(s.left, input_dim=-1, output_dim=4), MXNetError
    ),
    refuse("input-number", lambda s: op.FullyConnected(3, num_hidden=3), AssertionError, "data"),
    refuse("input-array", lambda s: op.exp(s.x), AssertionError, "data", "Symbol"),
    refuse("input-numpy", fc(weight=np.ones(3)), AssertionError, "weight", "Symbol"),
    refuse("input-list", lambda s: op.Concat([s.left]), AssertionError, "Symbol"),
    refuse("input-twice", fc(data=Variable("q")), TypeError, "data"),
    refuse("input-unasked", fc(bias=Variable("q"), no_bias=True), MXNetError, "'bias'"),
    refuse("input-of-several", lambda s: op.exp(Group([s.left, s.right])), MXNetError, "data"),
    refuse("inputs-too-many", lambda s: op.exp(s.left, s.right), TypeError, "exp", "data"),
    refuse("name-number", fc(name=4), TypeError, "name"),
    refuse("name-half", fc(name="\ud800"), ValueError),
    refuse("inputs-none", lambda s: op.Concat(), MXNetError, "num_args"),
    refuse("count-small", lambda s: op.Concat(s.left, s.right, num_args=1), MXNetError, "2", "1"),
    refuse("count-huge", lambda s: op.Concat(s.left, num_args=10**9), MXNetError, "num_args"),
    refuse("outputs-huge", lambda s: op.split(s.left, num_outputs=10**9), MXNetError, "outputs"),
]


@pytest.mark.parametrize("refusal", PARAMETERS)
def test_operators(refusal: Refusal, scene: Scene) -> None:
    check(refusal, scene)


@pytest.mark.parametrize("module", [mx.sym, mx.nd], ids=["sym", "nd"])
def test_an_operator_that_there_is_not_has_a_hint(module: Any) -> None:
    with pytest.raises(AttributeError, match="did you mean Activation"):
        _ = module.Activatoin
    with pytest.raises(AttributeError, match="_internal"):
        _ = module._plus_scalar


def test_a_graph_has_a_million_outputs_at_most_beside_one_of_each_node() -> None:
    def divided(*counts: int) -> mx.Symbol:
        nodes: list[dict[str, Any]] = [{"op": "null", "name": "x", "inputs": []}]
        for number, count in enumerate(counts):
            attributes = {"num_outputs": str(count)}
            node = {"op": "SliceChannel", "name": f"parts{number}", "attrs": attributes}
            nodes.append({**node, "inputs": [[number, 0, 0]]})
        graph = {"nodes": nodes, "arg_nodes": [0], "heads": [[len(counts), 0, 0]]}
        return mx.sym.load_json(json.dumps(graph))

    assert divided(2**20, 2).infer_shape_partial() == ([()], [()], [])
    with pytest.raises(
        MXNetError, match=r"'parts1'.* there are 1048577 outputs .* can have 1048576"
    ):
        divided(2**20, 3).infer_shape_partial()


def test_an_operator_needs_outputs() -> None:
    with pytest.raises(MXNetError, match=r"'nothing'.* has no outputs with .*'indices': '\(\)'"):
        op._internal._split_v2(Variable("a"), indices=(), name="nothing")


@pytest.mark.parametrize("number", [INFINITY, -INFINITY, NAN, 1e300, 10**30, -0.0, 5e-324])
def test_every_float_is_a_parameter(number: float) -> None:
    """Also those that are no numbers: they are kept in files and computed with."""
    symbol = Variable("a") * number
    loaded = mx.sym.load_json(symbol.tojson())
    assert loaded.attr_dict() == symbol.attr_dict()
    x = mx.nd.array([-1, 0.5, 2], dtype="float64")
    expected = np.array([-1, 0.5, 2]) * float(number)
    assert np.array_equal(loaded.eval(a=x)[0].asnumpy(), expected, equal_nan=True)
    clipped = op.clip(Variable("a"), a_min=-INFINITY, a_max=number).eval(a=x)[0].asnumpy()
    assert clipped.shape == (3,)


# ---- operators: what their inputs must be ------------------------------------------------------


def inferred(name: str, *shapes: tuple[int, ...], **options: Any) -> Any:
    """A test parameter: an operator on inputs of shapes that it cannot take."""
    label = f"{name}-{'-'.join('x'.join(map(str, shape)) for shape in shapes)}"
    shown = ",".join(f"{key}={value}" for key, value in options.items())
    return pytest.param(name, shapes, options, id=f"{label}-{shown[:30]}")


MISFITS = [
    inferred("dot", (2, 3), (2, 3)),
    inferred("batch_dot", (2, 3), (3, 2)),
    inferred("FullyConnected", (2, 3), (4, 4), (4,), num_hidden=4),
    inferred("FullyConnected", (2, 3), (4, 3), (5,), num_hidden=4),
    inferred("Embedding", (2, 3), (4, 4), input_dim=5, output_dim=4),
    inferred("Concat", (2, 3), (3, 3), dim=1),
    inferred("Concat", (2, 3), (2, 3), dim=7),
    inferred("stack", (2, 3), (3, 2)),
    inferred("split", (2, 3), num_outputs=2),
    inferred("split", (2, 3), num_outputs=2**12),
    inferred("broadcast_add", (2, 3), (4,)),
    inferred("broadcast_to", (2, 3), shape=(4, 3)),
    inferred("broadcast_to", (1, 3), shape=(-1, 3)),
    inferred("broadcast_axis", (1, 3), axis=0, size=-1),
    inferred("broadcast_axis", (2, 3), axis=0, size=4),
    inferred("where", (2, 3), (2, 3), (3, 2)),
    inferred("sum", (2, 3), axis=7),
    inferred("sum", (2, 3), axis=10**19),
    inferred("sum", (2, 3), axis=(0, 0)),
    inferred("norm", (2, 3), ord=7),
    inferred("argmax", (2, 3), axis=-3),
    inferred("transpose", (2, 3), axes=(0, 0)),
    inferred("transpose", (2, 3), axes=(0, 5)),
    inferred("expand_dims", (2, 3), axis=10**18),
    inferred("squeeze", (2, 3), axis=0),
    inferred("reshape", (2, 3), shape=(4, 4)),
    inferred("reshape", (2, 3), shape=(10**18, -1)),
    inferred("reshape", (2, 3), shape=(-9,)),
    inferred("reshape", (2, 3), shape=(-1, -1)),
    inferred("reshape", (2, 3), shape=(-4, -2, -1, 3)),
    inferred("reshape", (2, 3), shape=(1,) * 1000 + (6,)),
    inferred("tile", (2, 3), reps=(0, 1)),
    inferred("tile", (2, 3), reps=(1,) * 1000),
    inferred("repeat", (2, 3), repeats=-1),
    inferred("slice", (2, 3), begin=(0,), end=(1,), step=(0,)),
    inferred("slice", (2, 3), begin=(5,), end=(9,)),
    inferred("slice_axis", (2, 3), axis=9, begin=0, end=1),
    inferred("slice_like", (2, 3), (3, 3)),
    inferred("pick", (2, 3), (5,)),
    inferred("take", (2, 3), (2,), mode="raise"),
    inferred("batch_take", (2, 3), (3,)),
    *(
        inferred(name, (3,), (3,), use_sequence_length=True)
        for name in ("SequenceLast", "SequenceMask", "SequenceReverse")
    ),
    inferred("SequenceLast", (3,)),
    inferred("softmax", (2, 3), axis=2),
    inferred("SoftmaxActivation", (2, 3), mode="channel"),
    inferred("zeros", shape=(-1, 2)),
    inferred("eye", N=-3),
    inferred("arange", start=NAN),
    inferred("arange", start=INFINITY),
    inferred("arange", start=0, stop=1, step=0),
    inferred("arange", start=0, stop=1, step=NAN),
    inferred("arange", start=0, stop=1, step=-1),
    inferred("arange", start=0, stop=1e308, step=1e-308),
    inferred("uniform", low=2, high=1, shape=(2,)),
    inferred("uniform", low=NAN, high=1, shape=(2,)),
    inferred("normal", scale=-1, shape=(2,)),
]


@pytest.mark.parametrize(("name", "shapes", "options"), MISFITS)
def test_misfits_name_the_node_and_the_line(
    name: str, shapes: tuple[tuple[int, ...], ...], options: dict[str, Any]
) -> None:
    """The same error from inference and from `bind`, with the operator's node and its place."""
    inputs = [Variable(f"input{i}") for i in range(len(shapes))]
    symbol = getattr(op, name)(*inputs, name="culprit", **options)
    given = {f"input{i}": shape for i, shape in enumerate(shapes)}
    before = symbol.tojson()
    arrays = {key: mx.nd.ones(shape) for key, shape in given.items()}
    random = name in ("uniform", "normal")  # their ranges are looked at when they are made
    calls = [] if random else [lambda: symbol.infer_shape(**given)]
    for call in (*calls, lambda: symbol.bind(mx.cpu(), arrays)):
        with pytest.raises(MXNetError) as caught:
            call()
        message = str(caught.value)
        assert "'culprit'" in message
        assert f"(created at {__file__}:" in message
        assert all(f"{key} {shape}" in message for key, shape in given.items())
        assert "cannot be broadcast" not in message or name.startswith("broadcast")
        assert len(message) <= 2000
    assert symbol.tojson() == before


def test_the_line_is_that_of_the_users_own_file(tmp_path: Path) -> None:
    """Folders whose names begin like the package's are the user's, too."""
    package = Path(mx.__file__).parent
    source = "def make(mx):\n    return mx.sym.Variable('a') + mx.sym.Variable('b')\n"
    for file in (
        f"{package}_extras/model.py",
        f"{package}.py",
        f"{(package / 'ops').resolve()}_of_mine/model.py",
        str(tmp_path / "tritonsym" / "model.py"),
    ):
        made: dict[str, Any] = {}
        exec(compile(source, file, "exec"), made)
        with pytest.raises(MXNetError) as caught:
            made["make"](mx).infer_shape(a=(2,), b=(3,))
        assert f"(created at {file}:2)" in str(caught.value)


# ---- files -------------------------------------------------------------------------------------

NO_FILES: dict[str, Callable[[Path], Any]] = {
    "missing-folder": lambda folder: str(folder / "missing" / "x"),
    "a-folder": str,
    "empty": lambda folder: "",
    "nul": lambda folder: str(folder / "x\0y"),
    "half-a-character": lambda folder: str(folder / "\ud800"),
    "too-long": lambda folder: str(folder / ("n" * 300)),
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_files_that_cannot_be_written_or_read(kind: str, tmp_path: Path, scene: Scene) -> None:
    path = NO_FILES[kind](tmp_path)
    for call in (
        lambda: scene.head.save(path),
        lambda: mx.sym.load(path),
        lambda: mx.nd.save(path, [scene.x]),
        lambda: mx.nd.load(path),
    ):
        with pytest.raises(MXNetError):
            call()
    assert os.listdir(tmp_path) == []
    scene.assert_unchanged()


@pytest.mark.parametrize("path", [None, 3, 1.5, ["x"], object], ids=repr)
def test_paths_that_are_no_text(path: Any, scene: Scene) -> None:
    for call in (
        lambda: scene.head.save(path),
        lambda: mx.sym.load(path),
        lambda: mx.nd.save(path, [scene.x]),
        lambda: mx.nd.load(path),
    ):
        with pytest.raises(TypeError):
            call()
    scene.assert_unchanged()


def test_a_link_is_followed_and_a_pipe_stays_one(tmp_path: Path, scene: Scene) -> None:
    """What stands at the path is written to; it is not replaced by a plain file."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    scene.head.save(str(link))
    assert link.is_symlink()
    assert target.read_text() == scene.head.tojson()
    mx.nd.save(str(link), [scene.x])
    assert link.is_symlink()
    assert np.array_equal(mx.nd.load(str(target))[0].asnumpy(), scene.x.asnumpy())
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        scene.head.save(str(pipe))
        assert os.read(reader, 2**16).decode() == scene.head.tojson()
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    symbol = Variable("a") + 1
    symbol.save(str(path))
    before = path.read_bytes()

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(MXNetError, match="No space left"):
        (symbol * 2).save(str(path))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.json"]
