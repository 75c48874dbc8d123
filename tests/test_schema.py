"""Parameters read from text: what MXNet writes is understood, anything else is refused unread."""

from __future__ import annotations

import builtins
import inspect
import json
import math
import time
import typing
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings, strategies

import tritonsym as mx
from tritonsym.foundation.dtype import ALL, FLOAT32, INT64, DType
from tritonsym.foundation.errors import MXNetError
from tritonsym.graph.frontend import attribute_text
from tritonsym.graph.op import registered
from tritonsym.graph.schema import (
    MAX_ARITY,
    MAX_TEXT,
    Arity,
    Axes,
    Bounds,
    Count,
    OptionalArity,
    Schema,
    Share,
)


def every_type(
    *,
    whole: int = 1,
    maybe_whole: int | None = None,
    number: float = 1.0,
    maybe_number: float | None = None,
    truth: bool = False,
    maybe_truth: bool | None = None,
    text: str = "",
    maybe_text: str | None = None,
    dtype: DType = FLOAT32,
    maybe_dtype: DType | None = None,
    choice: Literal["left", "right"] = "left",
    shape: tuple[int, ...] = (),
    axes: Axes = None,
    bounds: Bounds = (),
    count: Count = 1,
    arity: Arity = 1,
    optional_arity: OptionalArity = 0,
    share: Share = 0.5,
) -> None:
    """An operator with a parameter of every type that there is."""


SCHEMA = Schema(
    "Every",
    inspect.signature(every_type).parameters,
    typing.get_type_hints(every_type, include_extras=True),
)

ACCEPTED: dict[str, list[tuple[str, Any]]] = {
    "whole": [
        *(("0", 0), ("7", 7), ("-3", -3), ("+4", 4), (" 5 ", 5), ("12L", 12), ("007", 7)),
        *(("True", 1), ("False", 0), (str(2**63 - 1), 2**63 - 1), (str(-(2**63)), -(2**63))),
    ],
    "maybe_whole": [("None", None), ("3", 3), ("-1", -1)],
    "number": [
        *(("0", 0.0), ("1", 1.0), ("-2.5", -2.5), ("1e-05", 1e-05), ("1E5", 1e5), (".5", 0.5)),
        *(("5.", 5.0), ("+0.1", 0.1), ("inf", math.inf), ("-inf", -math.inf)),
        *(("True", 1.0), ("0.10000000149011612", 0.10000000149011612), ("1.7976931348623157e+308",
          1.7976931348623157e308)),
    ],
    "maybe_number": [("None", None), ("2.0", 2.0)],
    "truth": [("True", True), ("False", False), ("1", True), ("0", False), ("true", True)],
    "maybe_truth": [("None", None), ("true", True)],
    "text": [("", ""), ("cpu(0)", "cpu(0)"), ("None", "None"), ("__import__('os')",) * 2],
    "maybe_text": [("None", None), ("csr", "csr")],
    "dtype": [(dtype.name, dtype) for dtype in ALL],
    "maybe_dtype": [("None", None), ("int64", INT64)],
    "choice": [("left", "left"), ("right", "right")],
    "shape": [
        *(("()", ()), ("(1,)", (1,)), ("(1, 2)", (1, 2)), ("(1,2,)", (1, 2)), ("[1, 2]", (1, 2))),
        *(("[]", ()), ("( 1 , 2 )", (1, 2)), ("(-1, 0)", (-1, 0)), ("(2L, 3L)", (2, 3))),
        ("3", (3,)),
    ],
    "axes": [("None", None), ("()", ()), ("1", (1,)), ("-1", (-1,)), ("(0, -1)", (0, -1))],
    "bounds": [("(None, 1)", (None, 1)), ("(None,)", (None,)), ("[0,None]", (0, None))],
    "count": [("1", 1), ("1000000000000", 10**12)],
    "share": [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("True", 1.0)],
    "arity": [("1", 1), (str(MAX_ARITY), MAX_ARITY)],
    "optional_arity": [("0", 0), ("1", 1), (str(MAX_ARITY), MAX_ARITY)],
}  # fmt: skip

HOSTILE = (
    "__import__('os').system('touch {path}')",
    "open('{path}', 'w')",
    "(lambda: open('{path}', 'w'))()",
    "0) or open('{path}', 'w') or (0",
    "[x for x in open('{path}', 'w')]",
    "$(touch {path})",
    "`touch {path}`",
    "{{open('{path}', 'w')}}",
    "%(path)s",
    "1; import os",
    "1\nimport os",
    "\x00",
    "1\x001",
    "\ud800",
    "\u0661",  # digits of other scripts
    "\uff11",
    "1_000",
    "0x10",
    "0b1",
    "1j",
    "1e",
    "e5",
    "--1",
    "1 2",
    "1,2)",
    "(1",
    "1)",
    "(1]",
    "((1,),)",
    "(1,,2)",
    "(,)",
    "(1;2)",
    "(1.5,)",
    "('a',)",
    "('1',)",
    "nan()",
    "infinity0",
    "null",
    "undefined",
    "Tru",
    "yes",
    "-",
    "+",
    ".",
    "9" * 5000,
    "1" * 100_001,
    "(" * 50_000,
    "(" + "[" * 20_000,
    "-" * 100_000,
    "(" + "9" * 400 + ")",
    "e" * 100_000,
    "1" * 400 + "." + "1" * 400 + "e" + "1" * 400,
)
REJECTED: dict[str, tuple[str, ...]] = {
    "whole": ("", "1.0", "1e3", "None", "(1,)", "inf", "nan"),
    "maybe_whole": ("", "none", "1.0"),
    "number": ("", "None", "1e400", "1.0.0", "1,0", "0x1p3", "(1.0,)"),
    "truth": ("", "2", "-1", "None", "t"),
    "dtype": ("", "float31", "FLOAT32", "f4", "<f4", "object", "complex64", "O", "S5", "0"),
    "choice": ("", "LEFT", "'left'", "left,right", "l"),
    "shape": ("None", "(None,)", "1, 2, x", "(1.0, 2)", "(True)x"),
    "axes": ("none", "(None,)", "0.5"),
    "bounds": ("none", "(none,)", "(1:2)"),
    "count": ("0", "-1", "1.5", "None"),
    "arity": ("0", "-1", str(MAX_ARITY + 1), "1e3"),
    "optional_arity": ("-1", str(MAX_ARITY + 1), "1e3", "None"),
    "share": ("-0.1", "1.5", "nan", "inf", "None", "1.0000002"),
}


def value_of(name: str, text: str) -> Any:
    return getattr(SCHEMA.parse({name: text}), name)


def same(got: Any, expected: Any) -> bool:
    return type(got) is type(expected) and (
        got == expected or (got != got and expected != expected)
    )


def test_every_type_of_the_registry_is_tested() -> None:
    tested = {attribute.type_name for attribute in SCHEMA.attributes.values()}
    used = {
        attribute.type_name
        for op in registered().values()
        for attribute in op.schema.attributes.values()
        if not attribute.type_name.startswith("{")
    }
    assert used <= tested
    assert set(ACCEPTED) == set(SCHEMA.attributes)


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_mxnet_writes_is_read(name: str) -> None:
    for text, expected in ACCEPTED[name]:
        assert same(value_of(name, text), expected), text


def test_nan_is_a_number() -> None:
    assert math.isnan(value_of("number", "nan"))


@pytest.mark.parametrize("name", REJECTED)
def test_what_is_of_another_type_is_refused(name: str) -> None:
    for text in REJECTED[name]:
        with pytest.raises(MXNetError, match=f"Every: parameter {name} needs") as caught:
            value_of(name, text)
        assert SCHEMA.attributes[name].type_name in str(caught.value)


@pytest.mark.parametrize("name", [name for name in ACCEPTED if "text" not in name])
def test_hostile_text_is_refused_soon_and_never_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("text was run")

    target = tmp_path / "made"
    texts = [text.replace("{path}", str(target)) for text in HOSTILE]
    with monkeypatch.context() as patch:
        for function in ("eval", "exec", "compile", "__import__"):
            patch.setattr(builtins, function, never)
        outcomes = []
        for text in texts:
            begin = time.process_time()
            try:
                outcomes.append((text, value_of(name, text)))
            except MXNetError as error:
                assert len(str(error)) < 1000
            # Milliseconds; the bound is for what grows with the square of the length.
            assert time.process_time() - begin < 5, text[:80]
    assert not outcomes
    assert not target.exists()


def test_text_parameters_are_kept_as_they_are(tmp_path: Path) -> None:
    text = f"open({str(tmp_path / 'made')!r}, 'w')"
    assert value_of("text", text) == text
    assert not (tmp_path / "made").exists()


def test_text_that_is_too_long_is_not_shown_in_full() -> None:
    for text in ("x" * MAX_TEXT, "x" * (MAX_TEXT + 1), "(" + "1," * MAX_TEXT + ")"):
        with pytest.raises(MXNetError, match=rf"x|1.*\.\.\. \({len(text)} characters\)") as caught:
            value_of("shape", text)
        assert len(str(caught.value)) < 300


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(strategies.sampled_from([*ACCEPTED]), strategies.text(max_size=12))
def test_any_text_is_read_or_refused(name: str, text: str) -> None:
    try:
        value_of(name, text)
    except MXNetError as error:
        assert "Every" in str(error)


numbers = strategies.integers(-(2**63), 2**63 - 1)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(
    strategies.one_of(
        strategies.tuples(strategies.just("whole"), numbers),
        strategies.tuples(strategies.just("number"), strategies.floats(allow_nan=False)),
        strategies.tuples(strategies.just("truth"), strategies.booleans()),
        strategies.tuples(strategies.just("shape"), strategies.lists(numbers).map(tuple)),
        strategies.tuples(
            strategies.just("bounds"),
            strategies.lists(strategies.one_of(strategies.none(), numbers)).map(tuple),
        ),
        strategies.tuples(strategies.just("dtype"), strategies.sampled_from(ALL)),
    )
)
def test_what_a_call_stores_is_read_back(given_: tuple[str, Any]) -> None:
    name, value = given_
    got = value_of(name, attribute_text(name, value))
    assert same(got, value)
    assert not isinstance(value, float) or math.copysign(1, got) == math.copysign(1, value)


# ---- records -----------------------------------------------------------------------------------


def test_what_is_not_given_has_its_default() -> None:
    record = SCHEMA.parse({})
    for name, attribute in SCHEMA.attributes.items():
        assert getattr(record, name) == attribute.default
    assert SCHEMA.parse({"whole": "2"}) == SCHEMA.parse({"whole": " 2"})
    assert hash(SCHEMA.parse({"whole": "2"})) == hash(SCHEMA.parse({"whole": "2"}))
    with pytest.raises(AttributeError):
        record.whole = 3


def test_an_unknown_name_is_refused_and_the_known_ones_listed() -> None:
    with pytest.raises(MXNetError, match=r"cannot find argument 'wole', possible .*whole : int"):
        SCHEMA.parse({"wole": "1"})
    with pytest.raises(MXNetError) as caught:
        SCHEMA.parse({"x" * 100_000: "1"})
    assert len(str(caught.value)) < 3000


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(MXNetError, match="required parameter num_hidden"):
        registered()["FullyConnected"].schema.parse({})


# ---- the same through the API --------------------------------------------------------------------


def graph(op: str, attributes: dict[str, str], inputs: int = 1) -> str:
    nodes = [
        {"op": "null", "name": "x", "inputs": []},
        {"op": op, "name": "y", "attrs": attributes, "inputs": [[0, 0, 0]] * inputs},
    ]
    fields = {"nodes": nodes, "arg_nodes": [0], "heads": [[1, 0, 0]]}
    return json.dumps({**fields, "attrs": {"mxnet_version": ["int", 10901]}})


@pytest.mark.parametrize(
    ("op", "attribute"),
    [
        ("Reshape", "shape"),
        ("transpose", "axes"),
        ("sum", "axis"),
        ("Activation", "act_type"),
        ("clip", "a_min"),
        ("_plus_scalar", "scalar"),
        ("Cast", "dtype"),
        ("Concat", "num_args"),
        ("SliceChannel", "num_outputs"),
        ("one_hot", "depth"),
    ],
)
def test_hostile_text_in_a_file_is_refused(op: str, attribute: str, tmp_path: Path) -> None:
    target = tmp_path / "made"
    for text in HOSTILE:
        with pytest.raises(MXNetError):
            mx.sym.load_json(graph(op, {attribute: text.replace("{path}", str(target))}))
    assert not target.exists()


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("Concat", {"num_args": "1048576"}),
        ("add_n", {"num_args": "999999999999"}),
        ("SliceChannel", {"num_outputs": "99999999999999999999"}),
    ],
)
def test_a_count_in_a_file_takes_no_memory(op: str, attributes: dict[str, str]) -> None:
    begin = time.process_time()
    with pytest.raises(MXNetError):
        mx.sym.load_json(graph(op, attributes))
    assert time.process_time() - begin < 5


def test_hostile_names_are_names(tmp_path: Path) -> None:
    """A name is any text; it is never a path, never code, and comes back as it was."""
    target = tmp_path / "made"
    for name in ("../../" + str(target), "x); open('" + str(target) + "', 'w')", "a\nb", "%s{0}"):
        y = mx.sym.exp(mx.sym.Variable(name), name=name + "!")
        again = mx.sym.load_json(y.tojson())
        assert again.list_arguments() == [name]
        assert again.list_outputs() == [name + "!_output"]
        executor = again.bind(mx.cpu(), {name: mx.nd.zeros((1,))})
        assert executor.forward()[0].asscalar() == 1
        assert name in executor.debug_str()
    assert not target.exists()
