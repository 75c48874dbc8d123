"""Files made to harm: every one is read or refused with MXNetError, in little time and memory."""

from __future__ import annotations

import copy
import json
import math
import struct
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tritonsym as mx

MXNetError = mx.base.MXNetError
SECONDS = 2.0
MEGABYTES = 64
Json = dict[str, Any]


def bounded(call: Callable[[], Any], size: int) -> Any:
    """The call's result; it takes little time, and memory in proportion to the file's size."""
    began = time.process_time()
    result = call()
    assert time.process_time() - began <= SECONDS
    tracemalloc.start()
    try:
        call()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 10 * size + MEGABYTES * 2**20
    return result


# ---- graphs ------------------------------------------------------------------------------------


def node(op: str, name: str, *inputs: int, **attributes: Any) -> Json:
    """One operator on the first outputs of other nodes."""
    return {
        "op": op,
        "name": name,
        "attrs": {key: str(value) for key, value in attributes.items()},
        "inputs": [[number, 0, 0] for number in inputs],
    }


def graph(*operators: Json, **variable: str) -> Json:
    """A variable ``x``, node 0, with these attributes, and operators on it; the last is the head.

    Operators count from 1.
    """
    nodes: list[Json] = [{"op": "null", "name": "x", "attrs": variable, "inputs": []}, *operators]
    return {
        "nodes": nodes,
        "arg_nodes": [i for i, one in enumerate(nodes) if one["op"] == "null"],
        "node_row_ptr": list(range(len(nodes) + 1)),
        "heads": [[len(nodes) - 1, 0, 0]],
        "attrs": {"mxnet_version": ["int", 10901]},
    }


def usual() -> Json:
    """A graph with several kinds of nodes and attributes."""
    made = graph(
        node("_mul_scalar", "scaled", 0, scalar="2"),
        node("SliceChannel", "parts", 1, num_outputs=2, axis=1),
        node("Concat", "joined", 2, 2, num_args=2, dim=0),
        node("sum", "total", 3, axis="(0, 1)", keepdims=True, __mark__="kept"),
        __shape__="(2, 4)",
        __dtype__="0",
    )
    made["nodes"][3]["inputs"][1][1] = 1
    return made


def loaded(text: str) -> Any:
    """The symbol of a text, and what inference finds out about it; None where it is refused."""
    try:
        symbol = mx.sym.load_json(text)
        _, outputs, _ = symbol.infer_shape_partial()
        symbol.infer_type_partial()
    except MXNetError:
        return None
    return symbol, outputs


def outcome(text: str) -> str:
    """Load a text and use it: ``ok`` or ``refused``; anything else raises."""
    found = loaded(text)
    if found is None:
        return "refused"
    symbol, outputs = found
    assert mx.sym.load_json(symbol.tojson()).tojson() == symbol.tojson()
    symbol.list_arguments(), symbol.list_outputs(), symbol.attr_dict(), symbol.debug_str()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inner, *_ = symbol.get_internals().infer_shape()
    if inner is not None and all(math.prod(shape) <= 10**4 for shape in (*inner, *outputs)):
        try:
            symbol.simple_bind(mx.cpu(), grad_req="null").forward()
        except RuntimeError:
            return "refused"
    return "ok"


ODD_VALUES: dict[str, Any] = {
    "null": None,
    "truth": True,
    "fraction": 0.5,
    "negative": -1,
    "large": 77,
    "huge": 10**400,
    "text": "x",
    "empty": "",
    "digits": "9" * 5000,
    "half": "\ud800",
    "list": [],
    "object": {},
    "nested": [[[[0]]]],
    "index": [0, 0, 0],
    "long": "a" * 10**5,
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value within a JSON value."""
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in list(items):
            yield from places(inner, (*path, key))


def replaced(value: Json, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with one value replaced; removed where the new one is ``...``."""
    if not path:
        return new
    result = copy.deepcopy(value)
    inner = result
    for key in path[:-1]:
        inner = inner[key]
    if new is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return result


def test_the_usual_graph_is_fine() -> None:
    assert outcome(json.dumps(usual())) == "ok"


@pytest.mark.parametrize("kind", ODD_VALUES)
def test_every_value_of_a_graph_replaced(kind: str) -> None:
    """By something of another type or size: a value at a time."""
    answers = set()
    for path in places(usual()):
        answers.add(outcome(json.dumps(replaced(usual(), path, ODD_VALUES[kind]))))
    assert "refused" in answers


def test_every_value_of_a_graph_removed() -> None:
    answers = {outcome(json.dumps(replaced(usual(), p, ...))) for p in places(usual()) if p}
    assert answers == {"ok", "refused"}


def repeated(count: int, op: str, reads: int, **attributes: Any) -> list[Json]:
    """Operators that each read the one before, ``reads`` times."""
    return [node(op, f"n{i}", *([i] * reads), **attributes) for i in range(count)]


ONES = "(" + "1," * 40_000 + ")"
BOMBS: dict[str, Callable[[], Json]] = {
    "outputs": lambda: graph(node("SliceChannel", "s", 0, num_outputs=10**9)),
    "outputs, as many as allowed, read often": lambda: graph(
        node("SliceChannel", "s", 0, num_outputs=2**20), *repeated(300, "exp", 1)
    ),
    "outputs of many": lambda: graph(*repeated(200, "SliceChannel", 1, num_outputs=2**20)),
    "inputs": lambda: graph(node("Concat", "c", 0, num_args=10**9)),
    "inputs of none": lambda: graph(node("add_n", "c", num_args=2**20)),
    "stack": lambda: graph(node("stack", "c", 0, num_args=10**18)),
    "tile": lambda: graph(node("tile", "t", 0, reps=(10**9, 10**9)), __shape__="(2, 3)"),
    "tiles": lambda: graph(*repeated(300, "tile", 1, reps=(10**6,)), __shape__="(2,)"),
    "tile of many axes": lambda: graph(node("tile", "t", 0, reps=ONES), __shape__="(2, 3)"),
    "reshape to many axes": lambda: graph(
        node("Reshape", "r", 0, shape=ONES[:-1] + "-1)"), __shape__="(2, 3)"
    ),
    "axes grow": lambda: graph(*repeated(2000, "expand_dims", 1, axis=0), __shape__="(2, 3)"),
    "transpose": lambda: graph(node("transpose", "t", 0, axes=ONES), __shape__="(2, 3)"),
    "one_hot": lambda: graph(node("one_hot", "o", 0, depth=10**18), __shape__="(2, 3)"),
    "repeat": lambda: graph(node("repeat", "r", 0, repeats=10**18), __shape__="(2, 3)"),
    "embedding": lambda: graph(
        node("Embedding", "e", 0, 0, input_dim=10**18, output_dim=10**18), __shape__="(2,)"
    ),
    "zeros": lambda: graph(node("_zeros", "z", shape=(10**18, 10**18))),
    "range": lambda: graph(node("_arange", "r", start=0, stop=10**18)),
    "range of small steps": lambda: graph(node("_arange", "r", start=0, stop=1e308, step=1e-308)),
    "linspace": lambda: graph(node("_linspace", "l", start=0, stop=1, num=10**18)),
    "eye": lambda: graph(node("_eye", "e", N=10**12)),
    "random": lambda: graph(node("_random_uniform", "u", shape=(10**18,))),
    "doubling lengths": lambda: graph(
        *repeated(2000, "Concat", 2, num_args=2, dim=0), __shape__="(2,)"
    ),
    "doubling paths": lambda: graph(*repeated(2000, "elemwise_add", 2), __shape__="(2,)"),
    "variable of many axes": lambda: graph(node("exp", "e", 0), __shape__=ONES),
    "variable of a long length": lambda: graph(node("exp", "e", 0), __shape__=f"({'9' * 5000},)"),
    "dtype of many digits": lambda: graph(node("exp", "e", 0), __dtype__="9" * 5000),
    "dtype of another digit": lambda: graph(node("exp", "e", 0), __dtype__="²"),
    "long user attribute": lambda: graph(node("exp", "e", 0, __note__="a" * 10**6)),
    "long parameter": lambda: graph(node("sum", "s", 0, axis="0" * 10**6)),
    "parameter of commas": lambda: graph(node("sum", "s", 0, axis="," * 99_999)),
    "parameter of minuses": lambda: graph(node("_mul_scalar", "s", 0, scalar="-" * 99_999)),
    "parameter of brackets": lambda: graph(node("sum", "s", 0, axis="(" * 99_999)),
    "parameter of an exponent": lambda: graph(node("_mul_scalar", "s", 0, scalar="1e9999")),
    "long operator": lambda: graph(node("elemwise_" * 10**4, "s", 0)),
    "long name": lambda: graph(node("sum", "s" * 10**6, 0, axis="x")),
    "long parameter name": lambda: graph(node("sum", "s", 0, **{"k" * 10**6: 1})),
    "heads": lambda: {**graph(), "heads": [[0, 0, 0]] * 10**4},
    "long head": lambda: {**graph(), "heads": [[0] * 10**5]},
    "chain": lambda: graph(*repeated(2000, "exp", 1)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_text_does_not_grow(name: str) -> None:
    """Neither loading nor inference takes more than the text's size accounts for."""
    text = json.dumps(BOMBS[name]())
    bounded(lambda: loaded(text), len(text))


@pytest.mark.parametrize(
    "name", ["tile", "tiles", "one_hot", "repeat", "zeros", "range", "eye", "random"]
)
def test_what_no_memory_holds_is_refused_by_bind(name: str) -> None:
    """At once, and by the name of the node."""
    symbol = mx.sym.load_json(json.dumps(BOMBS[name]()))
    arrays = {"x": mx.nd.ones((2,) if name == "tiles" else (2, 3))}

    def bind() -> str:
        with pytest.raises(MXNetError) as caught:
            symbol.bind(mx.cpu(), {one: arrays[one] for one in symbol.list_arguments()})
        return str(caught.value)

    message = bounded(bind, 0)
    assert "created at" in message
    assert "frame #" not in message
    assert len(message) < 5000


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 10**5 + "]" * 10**5, id="lists in lists"),
        pytest.param('{"a":' * 10**5, id="objects in objects"),
        pytest.param('{"nodes": NaN, "arg_nodes": [], "heads": []}', id="NaN"),
        pytest.param('{"nodes": [-Infinity], "arg_nodes": [], "heads": []}', id="Infinity"),
        pytest.param('{"nodes": [], "arg_nodes": [], "heads": [[1e999, 0]]}', id="1e999"),
        pytest.param("\ufeff" + json.dumps(graph()), id="byte order mark"),
        pytest.param(json.dumps(graph()) + "{}", id="two texts"),
        pytest.param(json.dumps(graph()).replace('"op"', '"op": "exp", "op"'), id="op twice"),
        pytest.param(json.dumps(graph()).replace('"null"', '"__import__"'), id="__import__"),
        pytest.param(json.dumps(graph()).replace('"null"', '"exec"'), id="exec"),
        pytest.param(json.dumps(graph()).replace('"null"', '"os.system"'), id="os.system"),
        pytest.param(json.dumps(graph()).replace('"x"', r'"\ud800"'), id="half a character"),
        pytest.param(" " * 10**6, id="spaces"),
        pytest.param("\0" * 100, id="zeros"),
    ],
)
def test_texts_that_are_refused(text: str) -> None:
    assert bounded(lambda: outcome(text), len(text)) == "refused"


OPERATORS = [
    node("exp", "", 0),
    node("_plus_scalar", "", 0, scalar="1.5"),
    node("sum", "", 0, axis="1", keepdims="1"),
    node("SliceChannel", "", 0, num_outputs="2"),
    node("elemwise_add", "", 0, 0),
    node("broadcast_mul", "", 0, 0),
    node("Concat", "", 0, 0, num_args="2"),
    node("Reshape", "", 0, shape="(-1, 2)"),
    node("transpose", "", 0),
    node("FullyConnected", "", 0, 0, num_hidden="2", no_bias="True"),
    node("Cast", "", 0, dtype="int32"),
    node("_ones", "", shape="(2, 2)"),
]
REPLACEMENTS = st.one_of(
    st.sampled_from([*ODD_VALUES.values(), ...]),
    st.integers(-2, 5),
    st.text(max_size=5),
    st.sampled_from(["(", "None", "1e400", "(0,1)", "float16", "Concat", "٣", "1_0", " 2 ", "2L"]),
)


@st.composite
def damaged_graphs(draw: st.DrawFn) -> Json:
    """A correct graph of a few operators in which some values are replaced or removed."""
    chosen = draw(st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=5))
    made = []
    for position, template in enumerate(chosen):
        one = copy.deepcopy(template)
        one["name"] = f"n{position}"
        for entry in one["inputs"]:
            entry[0] = draw(st.integers(0, position))
        made.append(one)
    result = graph(*made, __shape__="(2, 4)")
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from([path for path in places(result) if path]))
        result = replaced(result, path, draw(REPLACEMENTS))
    return result


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(damaged_graphs())
def test_damaged_graphs(damaged: Json) -> None:
    outcome(json.dumps(damaged))


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.integers(0, 2**32 - 1))
def test_damaged_text(seed: int) -> None:
    choose = np.random.default_rng(seed)
    text = json.dumps(usual())
    for _ in range(choose.integers(1, 4)):
        at = int(choose.integers(len(text)))
        piece = choose.choice(['"', "{", "}", "[", "]", ",", ":", "0", "-", "1e9", "null", "\\u"])
        text = text[:at] + str(piece) + text[at + int(choose.integers(0, 4)) :]
    outcome(text)


# ---- arrays ------------------------------------------------------------------------------------

Field = tuple[str, bytes]


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def fields_of_a_file() -> list[Field]:
    """Two arrays with names, field by field as MXNet lays them out."""
    fields = [("magic", u64(0x112)), ("reserved", u64(0)), ("count", u64(2))]
    for name, shape, code, data in (
        ("w", (2, 3), 0, np.arange(6, dtype="f4").tobytes()),
        ("i", (3,), 6, np.arange(3, dtype="i8").tobytes()),
    ):
        fields += [
            (f"{name} magic", u32(0xF993FAC9)),
            (f"{name} storage", u32(0)),
            (f"{name} axes", u32(len(shape))),
            *((f"{name} length {i}", u64(n)) for i, n in enumerate(shape)),
            (f"{name} device", u32(1)),
            (f"{name} number", u32(0)),
            (f"{name} dtype", u32(code)),
            (f"{name} data", data),
        ]
    fields.append(("names", u64(2)))
    for name in ("w", "i"):
        fields += [(f"{name} name length", u64(1)), (f"{name} name", name.encode())]
    return fields


def joined(fields: list[Field]) -> bytes:
    return b"".join(content for _, content in fields)


FIELDS = fields_of_a_file()
EXTREMES = (0, 1, 2, 7, 0x7F, 0xFF, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**60, 2**63, 2**64 - 1)


def read(content: bytes) -> str:
    """Read arrays from bytes: ``ok`` or ``refused``, within bounds; anything else raises."""

    def call() -> Any:
        try:
            return mx.nd.load_frombuffer(content)
        except MXNetError:
            return None

    arrays = bounded(call, len(content))
    if arrays is None:
        return "refused"
    values = list(arrays.values()) if isinstance(arrays, dict) else arrays
    assert sum(one.asnumpy().nbytes for one in values) <= len(content)
    return "ok"


def test_the_usual_file_is_fine(tmp_path: Any) -> None:
    content = joined(FIELDS)
    loaded = mx.nd.load_frombuffer(content)
    assert loaded["w"].asnumpy().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded["i"].asnumpy().tolist() == [0, 1, 2]
    mx.nd.save(str(tmp_path / "x"), loaded)
    assert (tmp_path / "x").read_bytes() == content


def test_a_file_cut_anywhere_is_refused() -> None:
    content = joined(FIELDS)
    assert {read(content[:length]) for length in range(len(content))} == {"refused"}


@pytest.mark.parametrize("position", range(len(FIELDS)), ids=[name for name, _ in FIELDS])
def test_extreme_values_in_a_field(position: int) -> None:
    label, content = FIELDS[position]
    for extreme in EXTREMES:
        new = (extreme & (256 ** len(content) - 1)).to_bytes(len(content), "little")
        answer = read(joined([*FIELDS[:position], (label, new), *FIELDS[position + 1 :]]))
        unharmed = new == content or label.split()[-1] in ("data", "reserved", "number", "device")
        if extreme > 7 and not unharmed and not label.endswith("name"):
            assert answer == "refused"


FLAWS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda content: b"",
    "zeros": lambda content: bytes(10_000),
    "trailing byte": lambda content: content + b"\0",
    "twice": lambda content: content * 2,
    "a symbol": lambda content: mx.sym.Variable("x").tojson().encode(),
    "a pickle": lambda content: b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
    "the same name twice": lambda content: content[:-1] + b"w",
    "a name of no characters": lambda content: content[:-1] + b"\xff",
    "2**40 elements in one axis of many": lambda content: (
        u64(0x112) + u64(0) + u64(1) + u32(0xF993FAC9) + u32(0) + u32(32) + u64(2**40) * 32
    ),
    "negative lengths whose product is small": lambda content: content.replace(
        u64(2) + u64(3), u64(2**64 - 2) + u64(2**64 - 3), 1
    ),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_files_that_are_refused(flaw: str) -> None:
    assert read(FLAWS[flaw](joined(FIELDS))) == "refused"


def test_a_truth_value_is_0_or_1() -> None:
    """Whatever the file's bytes are."""
    path = joined([*FIELDS[:3]])[:16] + u64(1)
    array = u32(0xF993FAC9) + u32(0) + u32(1) + u64(4) + u32(1) + u32(0) + u32(7)
    (loaded,) = mx.nd.load_frombuffer(path + array + bytes([0, 1, 2, 255]) + u64(0))
    assert loaded.asnumpy().view("u1").tolist() == [0, 1, 1, 1]


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.data())
def test_damaged_files(data: st.DataObject) -> None:
    """Fields replaced, removed, repeated or exchanged, then bytes changed."""
    fields = list(FIELDS)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(fields) - 1))
        label, content = fields[at]
        match data.draw(st.sampled_from(["replace", "remove", "repeat", "exchange"])):
            case "replace":
                value = data.draw(st.sampled_from(EXTREMES)) & (256 ** len(content) - 1)
                fields[at] = (label, value.to_bytes(len(content), "little"))
            case "remove" if len(fields) > 1:
                del fields[at]
            case "repeat":
                fields.insert(at, fields[at])
            case _:
                other = data.draw(st.integers(0, len(fields) - 1))
                fields[at], fields[other] = fields[other], fields[at]
    content_bytes = bytearray(joined(fields))
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, max(0, len(content_bytes) - 1)))
        content_bytes[place : place + 1] = bytes([data.draw(st.integers(0, 255))])
    read(bytes(content_bytes))
