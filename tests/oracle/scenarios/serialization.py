"""Symbols as text: the exact JSON of many graphs, round trips, files of old versions, bad text."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from oracle.scenario import Answer, outcome, raised, register, scenario


def _variables(mx: ModuleType, names: str) -> list[Any]:
    return [mx.sym.Variable(name) for name in names.split()]


def _tutorial(mx: ModuleType) -> Any:
    a, b, c, d = _variables(mx, "A B C D")
    return (a * b) + (c * d)


def _variable_with_everything(mx: ModuleType) -> Any:
    return mx.sym.Variable(
        "v", attr={"__mine__": "x"}, shape=(2, 0), dtype="float16", lr_mult=2, wd_mult=0.5,
        init='["uniform", {"scale": 0.1}]',
    )  # fmt: skip


def _perceptron(mx: ModuleType) -> Any:
    (data,) = _variables(mx, "data")
    hidden = mx.sym.Activation(
        mx.sym.FullyConnected(data, name="fc1", num_hidden=8), name="relu1", act_type="relu"
    )
    return mx.sym.softmax(mx.sym.FullyConnected(hidden, name="fc2", num_hidden=3), name="out")


def _wide(mx: ModuleType) -> Any:
    return mx.sym.Concat(*_variables(mx, " ".join(f"x{i}" for i in range(12))), dim=0)


def _exactly_ten(mx: ModuleType) -> Any:
    return mx.sym.add_n(*_variables(mx, " ".join(f"x{i}" for i in range(10))), name="s")


def _exactly_eleven(mx: ModuleType) -> Any:
    return mx.sym.add_n(*_variables(mx, " ".join(f"x{i}" for i in range(11))), name="s")


def _deep(mx: ModuleType) -> Any:
    (made,) = _variables(mx, "a")
    for _ in range(12):
        made = made * 2 + 1
    return made


def _group(mx: ModuleType) -> Any:
    a, b = _variables(mx, "a b")
    parts = mx.sym.split(a, num_outputs=3, name="sp")
    return mx.sym.Group([parts[2], b, parts[0] + b, parts[1]])


def _group_of_eleven(mx: ModuleType) -> Any:
    return mx.sym.Group(_variables(mx, " ".join(f"y{i}" for i in range(11))))


def _shared(mx: ModuleType) -> Any:
    (a,) = _variables(mx, "a")
    for _ in range(4):
        a = a + a
    return a


def _scalars(mx: ModuleType) -> Any:
    (a,) = _variables(mx, "a")
    return 2 ** (1 - (2 / (-(a + 1.5) % 3))) > 0


def _numbers_as_text(mx: ModuleType) -> Any:
    (a,) = _variables(mx, "a")
    return ((a + 1e20) * 1e-07 - 0.1) / 3


def _comparisons(mx: ModuleType) -> Any:
    a, b = _variables(mx, "a b")
    return (a == b) * (a != b) + (a > b) * (a >= 1) + (a < b) * (a <= 1)


def _scoped(mx: ModuleType) -> Any:
    (a,) = _variables(mx, "a")
    with mx.AttrScope(ctx_group="stage1", __mood__="calm"), mx.name.Prefix("net_"):
        return mx.sym.FullyConnected(a, num_hidden=2, attr={"lr_mult": "3"}) + 1


def _escapes(mx: ModuleType) -> Any:
    a = mx.sym.Variable('quote" back\\ tab\t line\n return\r slash/')
    return mx.sym.exp(a, name="caf\u00e9 \u6f22 \U0001f600", attr={"__k__": '\\"\n'})


def _creators(mx: ModuleType) -> Any:
    return mx.sym.zeros((2, 3)) + mx.sym.ones((2, 3), name="one") * mx.sym.arange(3, name="r")


def _randoms(mx: ModuleType) -> Any:
    return mx.sym.random.uniform(0, 1, shape=(2, 2)) + mx.sym.random.normal(0, 1, shape=(2, 2))


def _reshapes(mx: ModuleType) -> Any:
    (a,) = _variables(mx, "a")
    made = mx.sym.reshape(a, shape=(0, -1), reverse=True)
    made = mx.sym.transpose(mx.sym.expand_dims(made, axis=0), axes=(1, 0, 2))
    return mx.sym.squeeze(mx.sym.Flatten(mx.sym.swapaxes(made, dim1=0, dim2=1)))


def _reductions(mx: ModuleType) -> Any:
    (a,) = _variables(mx, "a")
    return mx.sym.Group(
        [
            mx.sym.sum(a),
            mx.sym.mean(a, axis=1),
            mx.sym.max(a, axis=(0, 1), keepdims=True),
            mx.sym.norm(a, ord=2, axis=1),
            mx.sym.argmax(a, axis=0),
        ]
    )


def _broadcasts(mx: ModuleType) -> Any:
    a, b = _variables(mx, "a b")
    made = mx.sym.broadcast_mul(mx.sym.broadcast_add(a, b), mx.sym.broadcast_maximum(a, b))
    return mx.sym.broadcast_to(made, shape=(2, 3))


def _slices(mx: ModuleType) -> Any:
    (a,) = _variables(mx, "a")
    made = mx.sym.slice(a, begin=(0, None), end=(2, None), step=(1, 2))
    return mx.sym.slice_axis(made, axis=0, begin=0, end=None)


def _indexing(mx: ModuleType) -> Any:
    a, b = _variables(mx, "a b")
    embedded = mx.sym.Embedding(a, input_dim=4, output_dim=2, name="emb")
    return mx.sym.take(embedded, mx.sym.where(b, b, b)) + mx.sym.one_hot(b, depth=2)


def _casts(mx: ModuleType) -> Any:
    (a,) = _variables(mx, "a")
    return mx.sym.BlockGrad(mx.sym.Cast(mx.sym.Cast(a, dtype="float16"), dtype="int32"))


def _aliases(mx: ModuleType) -> Any:
    a, b = _variables(mx, "a b")
    made = mx.sym.concat(mx.sym.flatten(a), mx.sym.stop_gradient(b), dim=1)
    return mx.sym.sum_axis(mx.sym.ElementWiseSum(made, made), axis=0)


def _missing_inputs(mx: ModuleType) -> Any:
    return mx.sym.dot(name="d") + mx.sym.FullyConnected(num_hidden=2, no_bias=True, name="fc")


def _composed(mx: ModuleType) -> Any:
    (data,) = _variables(mx, "data")
    first = mx.sym.FullyConnected(data, name="fc1", num_hidden=4)
    return mx.sym.FullyConnected(name="fc2", num_hidden=2)(fc2_data=first, name="composed")


def _internals(mx: ModuleType) -> Any:
    return _tutorial(mx).get_internals()


def _two_of_one_name(mx: ModuleType) -> Any:
    a, b = _variables(mx, "x x")
    return a * b


def _part(mx: ModuleType) -> Any:
    (a,) = _variables(mx, "a")
    return mx.sym.split(a, num_outputs=3, axis=0, squeeze_axis=True, name="sp")[1]


GRAPHS: dict[str, Callable[[ModuleType], Any]] = {
    "variable": lambda mx: mx.sym.Variable("v"),
    "variable_with_everything": _variable_with_everything,
    "tutorial": _tutorial,
    "perceptron": _perceptron,
    "wide": _wide,
    "exactly_ten": _exactly_ten,
    "exactly_eleven": _exactly_eleven,
    "deep": _deep,
    "group": _group,
    "group_of_eleven": _group_of_eleven,
    "shared": _shared,
    "scalars": _scalars,
    "numbers_as_text": _numbers_as_text,
    "comparisons": _comparisons,
    "scoped": _scoped,
    "escapes": _escapes,
    "creators": _creators,
    "randoms": _randoms,
    "reshapes": _reshapes,
    "reductions": _reductions,
    "broadcasts": _broadcasts,
    "slices": _slices,
    "indexing": _indexing,
    "casts": _casts,
    "aliases": _aliases,
    "missing_inputs": _missing_inputs,
    "composed": _composed,
    "internals": _internals,
    "two_of_one_name": _two_of_one_name,
    "part": _part,
}


def _text_of(build: Callable[[ModuleType], Any]) -> Callable[[ModuleType], Answer]:
    def run(mx: ModuleType) -> Answer:
        """The text in lines, and whether loading and saving it again keeps it."""
        text = build(mx).tojson()
        again = mx.sym.load_json(text)
        return {
            "lines": text.split("\n"),
            "again": again.tojson() == text,
            "arguments": again.list_arguments(),
            "outputs": again.list_outputs(),
        }

    return run


for _label, _build in GRAPHS.items():
    register(f"serialization.text_of_{_label}", _text_of(_build))


@scenario
def save_and_load(mx: ModuleType) -> Answer:
    made = _perceptron(mx)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "net-symbol.json")
        returned = made.save(path)
        text = Path(path).read_text(encoding="utf-8")
        loaded = mx.sym.load(path)
    return {
        "returned": returned,
        "same text": text == made.tojson(),
        "loaded": [repr(loaded), loaded.list_arguments(), loaded.tojson() == text],
        "attributes": loaded.attr_dict(),
    }


@scenario
def save_and_load_errors(mx: ModuleType) -> Answer:
    made = _tutorial(mx)
    with tempfile.TemporaryDirectory() as folder:
        return {
            "no file": raised(lambda: mx.sym.load(str(Path(folder) / "none.json"))),
            "load a number": raised(lambda: mx.sym.load(1)),
            "save to a number": raised(lambda: made.save(1)),
            "no folder": raised(lambda: made.save(str(Path(folder) / "none" / "x.json"))),
            "json of a number": raised(lambda: mx.sym.load_json(1)),
            "json of bytes": raised(lambda: mx.sym.load_json(b"{}")),
        }


@scenario
def loading_keeps_whitespace_out(mx: ModuleType) -> Answer:
    made = _group(mx)
    text = made.tojson()
    compact = json.dumps(json.loads(text), separators=(",", ":"))
    wide = json.dumps(json.loads(text), indent=7)
    return [mx.sym.load_json(one).tojson() == text for one in (compact, wide)]


@scenario
def names_after_loading(mx: ModuleType) -> Answer:
    made = mx.sym.load_json(_tutorial(mx).tojson())
    parts = mx.sym.load_json(_part(mx).tojson())
    return {
        "name": made.name,
        "part": [parts.name, parts.list_outputs(), len(parts)],
        "internals": made.get_internals().list_outputs(),
        "usable": (made + made).list_arguments(),
    }


def _graph(**node: Any) -> dict[str, Any]:
    """The smallest graph with an operator, of the current version."""
    return {
        "nodes": [
            {"op": "null", "name": "x", "inputs": []},
            {"op": "sum", "name": "s", "inputs": [[0, 0, 0]], **node},
        ],
        "arg_nodes": [0],
        "node_row_ptr": [0, 1, 2],
        "heads": [[1, 0, 0]],
        "attrs": {"mxnet_version": ["int", 10901]},
    }


def _load(mx: ModuleType, graph: dict[str, Any]) -> Answer:
    """What a graph becomes: its text when saved again, or the error."""

    def run() -> Answer:
        loaded = mx.sym.load_json(json.dumps(graph))
        return {"graph": json.loads(loaded.tojson()), "attributes": loaded.attr_dict()}

    return outcome(run)


VERSION_08: dict[str, Any] = {
    "nodes": [
        {"op": "null", "param": {}, "name": "data", "inputs": [], "backward_source_id": -1},
        {
            "op": "null",
            "param": {},
            "name": "fc_weight",
            "inputs": [],
            "backward_source_id": -1,
            "attr": {"lr_mult": "2", "mood": "angry"},
        },
        {"op": "null", "param": {}, "name": "fc_bias", "inputs": [], "backward_source_id": -1},
        {
            "op": "FullyConnected",
            "param": {"no_bias": "False", "num_hidden": "4"},
            "name": "fc",
            "inputs": [[0, 0], [1, 0], [2, 0]],
            "backward_source_id": -1,
            "attr": {"ctx_group": "stage1", "wd_mult": "0.3"},
        },
        {
            "op": "Activation",
            "param": {"act_type": "relu"},
            "name": "act",
            "inputs": [[3, 0]],
            "backward_source_id": -1,
        },
    ],
    "arg_nodes": [0, 1, 2],
    "heads": [[4, 0]],
}

VERSION_09: dict[str, Any] = {
    "nodes": [
        {"op": "null", "name": "data", "inputs": []},
        {"op": "null", "name": "w", "inputs": [], "attr": {"__lr_mult__": "2"}},
        {"op": "null", "name": "b", "inputs": [], "attr": {"weird": "1"}},
        {
            "op": "FullyConnected",
            "name": "fc",
            "attr": {"num_hidden": "4", "__mood__": "calm"},
            "inputs": [[0, 0, 0], [1, 0, 0], [2, 0, 0]],
        },
    ],
    "arg_nodes": [0, 1, 2],
    "node_row_ptr": [0, 1, 2, 3, 4],
    "heads": [[3, 0, 0]],
    "attrs": {"mxnet_version": ["int", 903]},
}


@scenario
def version_08(mx: ModuleType) -> Answer:
    return _load(mx, VERSION_08)


@scenario
def version_09(mx: ModuleType) -> Answer:
    return _load(mx, VERSION_09)


@scenario
def version_08_multiplier_of_an_input(mx: ModuleType) -> Answer:
    graph = json.loads(json.dumps(VERSION_08))
    graph["nodes"][3]["attr"] = {"weight_lr_mult": "1.2", "bias_wd_mult": "0"}
    return _load(mx, graph)


@scenario
def version_09_hidden_key_wins(mx: ModuleType) -> Answer:
    graph = json.loads(json.dumps(VERSION_09))
    graph["nodes"][1]["attr"] = {"__lr_mult__": "2", "lr_mult": "7", "force_mirroring": "1"}
    return _load(mx, graph)


@scenario
def pairs_instead_of_triples(mx: ModuleType) -> Answer:
    graph = _graph(inputs=[[0, 0]])
    graph["heads"] = [[1, 0]]
    return _load(mx, graph)


@scenario
def parameters_under_old_keys(mx: ModuleType) -> Answer:
    return {
        "param": _load(mx, _graph(param={"axis": "1"})),
        "attr": _load(mx, _graph(attr={"axis": "1", "__k__": "v"})),
        "attrs": _load(mx, _graph(attrs={"axis": "1", "__k__": "v"})),
        "both": _load(mx, _graph(param={"axis": "1"}, attrs={"keepdims": "1"})),
        "unknown": _load(mx, _graph(attrs={"nope": "1"})),
        "bad value": _load(mx, _graph(attrs={"axis": "maybe"})),
    }


@scenario
def fields_that_may_be_missing(mx: ModuleType) -> Answer:
    answers = {}
    for key in ("node_row_ptr", "attrs", "nodes", "arg_nodes", "heads"):
        graph = _graph()
        del graph[key]
        answers[key] = _load(mx, graph)
    for key in ("op", "name", "inputs"):
        graph = _graph()
        del graph["nodes"][1][key]
        answers[f"node {key}"] = _load(mx, graph)
    return answers


@scenario
def fields_that_are_not_read(mx: ModuleType) -> Answer:
    counts = _graph()
    counts["node_row_ptr"] = []
    arguments = _graph()
    arguments["arg_nodes"] = []
    return {
        "node_row_ptr": _load(mx, counts),
        "arg_nodes": _load(mx, arguments),
        "backward_source_id": _load(mx, _graph(backward_source_id=-1)),
        "control_deps": _load(mx, _graph(control_deps=[])),
    }


@scenario
def fields_that_are_unknown(mx: ModuleType) -> Answer:
    graph = _graph()
    graph["extra"] = 1
    return {"graph": _load(mx, graph), "node": _load(mx, _graph(extra=1))}


@scenario
def bad_graphs(mx: ModuleType) -> Answer:
    answers = {
        "unknown operator": _load(mx, _graph(op="Nope")),
        "input past the end": _load(mx, _graph(inputs=[[7, 0, 0]])),
        "input of one number": _load(mx, _graph(inputs=[[0]])),
        "inputs are no list": _load(mx, _graph(inputs="x")),
    }
    graph = _graph()
    graph["heads"] = [[9, 0, 0]]
    answers["head past the end"] = _load(mx, graph)
    graph = _graph()
    graph["nodes"] = {}
    answers["nodes are no list"] = _load(mx, graph)
    return answers


@scenario
def bad_texts(mx: ModuleType) -> Answer:
    return {
        "object": raised(lambda: mx.sym.load_json("{}")),
        "list": raised(lambda: mx.sym.load_json("[]")),
        "word": raised(lambda: mx.sym.load_json("nonsense")),
        "only nodes": raised(lambda: mx.sym.load_json('{"nodes": []}')),
    }


@scenario
def spellings_of_present_texts_stay(mx: ModuleType) -> Answer:
    def loaded(place: int) -> Answer:
        graph = json.loads(mx.sym.relu(mx.sym.Variable("x"), name="r").tojson())
        graph["nodes"][place]["attrs"] = {"ctx_group": "a"}
        again = mx.sym.load_json(json.dumps(graph))
        return [again.attr_dict(), json.loads(again.tojson())["nodes"][place]["attrs"]]

    return {"variable": loaded(0), "operator": loaded(1)}


@scenario
def older_texts_do_not_say_how_variables_begin(mx: ModuleType) -> Answer:
    slope = mx.sym.LeakyReLU(*_variables(mx, "x p_gamma"), act_type="prelu", name="p")
    statistics = mx.sym.BatchNorm(*_variables(mx, "x g b m v"), name="n")

    def initial(symbol: Any, version: int) -> dict[str, str]:
        graph = json.loads(symbol.tojson())
        for node in graph["nodes"]:
            if node["op"] == "null":
                node.pop("attrs", None)
        graph["attrs"] = {"mxnet_version": ["int", version]}
        loaded = mx.sym.load_json(json.dumps(graph)).attr_dict()
        return {name: own["__init__"] for name, own in loaded.items() if "__init__" in own}

    versions = (800, 903, 904, 10901)
    return {str(one): [initial(slope, one), initial(statistics, one)] for one in versions}
