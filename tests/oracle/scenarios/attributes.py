"""Attributes: of variables, of operators, of whole graphs, from scopes; operators' parameters."""

from __future__ import annotations

import json
import threading
from types import ModuleType
from typing import Any

import numpy as np

from oracle.scenario import Answer, node, raised, scenario


@scenario
def of_a_variable(mx: ModuleType) -> Answer:
    plain = mx.sym.Variable("v")
    rich = mx.sym.Variable("w", attr={"mood": "angry", "__size__": "1"}, __extra__=5)
    return {
        "none": [plain.attr("x"), plain.list_attr(), plain.attr_dict()],
        "some": [rich.attr("mood"), rich.list_attr(), rich.attr_dict()],
        "extra": rich.attr("__extra__"),
    }


@scenario
def of_a_variable_by_argument(mx: ModuleType) -> Answer:
    made = {
        "shape": mx.sym.Variable("v", shape=(2, 0)),
        "shape of one": mx.sym.Variable("v", shape=(3,)),
        "shape empty": mx.sym.Variable("v", shape=()),
        "shape list": mx.sym.Variable("v", shape=[2, 3]),
        "lr_mult": mx.sym.Variable("v", lr_mult=2),
        "wd_mult": mx.sym.Variable("v", wd_mult=0.5),
        "zero lr_mult": mx.sym.Variable("v", lr_mult=0),
        "init": mx.sym.Variable("v", init='["zero", {}]'),
        "stype": mx.sym.Variable("v", stype="default"),
        "both": mx.sym.Variable("v", shape=(1,), attr={"__shape__": "(9,)"}),
    }
    return {label: one.list_attr() for label, one in made.items()}


@scenario
def of_a_variable_dtype(mx: ModuleType) -> Answer:
    dtypes = ["float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool"]
    return {
        "names": [mx.sym.Variable("v", dtype=one).attr("__dtype__") for one in dtypes],
        "classes": [mx.sym.Variable("v", dtype=getattr(np, one)).attr("__dtype__")
                    for one in dtypes[:7]],
        "numpy dtype": mx.sym.Variable("v", dtype=np.dtype("int64")).attr("__dtype__"),
        "python": mx.sym.Variable("v", dtype=float).attr("__dtype__"),
        "unknown": raised(lambda: mx.sym.Variable("v", dtype="nope")),
    }  # fmt: skip


@scenario
def of_a_variable_errors(mx: ModuleType) -> Answer:
    return {
        "plain keyword": raised(lambda: mx.sym.Variable("v", foo="1"), "foo"),
        "half dunder": raised(lambda: mx.sym.Variable("v", __foo="1"), "__foo"),
        "number in attr": raised(lambda: mx.sym.Variable("v", attr={"x": 1})),
    }


@scenario
def hidden_keys_of_a_variable(mx: ModuleType) -> Answer:
    keys = ["ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage", "other"]
    v = mx.sym.Variable("v", attr={key: "1" for key in keys})
    return {
        "list": v.list_attr(),
        "each": {key: [v.attr(key), v.attr(f"__{key}__")] for key in keys},
        "stored": json.loads(v.tojson())["nodes"][0]["attrs"],
    }


@scenario
def hidden_keys_of_an_operator(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    keys = ["ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage"]
    by_attr = mx.sym.exp(a, attr={key: "1" for key in keys})
    by_keyword = mx.sym.exp(a, lr_mult="2", __mine__="3")
    return {
        "attr": [by_attr.list_attr(), node(by_attr)[2]],
        "keyword": [by_keyword.list_attr(), node(by_keyword)[2]],
        "each": [by_attr.attr(key) for key in keys],
        "dunder": [by_attr.attr(f"__{key}__") for key in keys],
    }


@scenario
def of_inputs_made_by_the_operator(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a", attr={"__mine__": "a"})
    layer = mx.sym.FullyConnected(
        a, num_hidden=4, name="fc", attr={"__x__": "1", "lr_mult": "2"}, __y__="3"
    )
    return {
        "dict": layer.attr_dict(),
        "list": layer.list_attr(),
        "weight": layer.get_internals()["fc_weight"].list_attr(),
    }


@scenario
def dict_of_a_graph(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a", shape=(2,)), mx.sym.Variable("b")
    made = mx.sym.exp(a + b * 2, name="e", attr={"__k__": "v"})
    return {
        "graph": made.attr_dict(),
        "group": mx.sym.Group([made, b]).attr_dict(),
        "internals": made.get_internals().attr_dict(),
        "part": mx.sym.split(a, num_outputs=2, name="sp")[1].attr_dict(),
    }


@scenario
def of_a_group(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a", attr={"x": "1"}), mx.sym.Variable("b", attr={"x": "2"})
    group = mx.sym.Group([a, b])
    return [group.attr("x"), group.attr_dict()]


@scenario
def setting_on_a_variable(mx: ModuleType) -> Answer:
    v = mx.sym.Variable("v", attr={"x": "1"})
    v._set_attr(x="2", lr_mult="3", __y__="4")
    return [v.list_attr(), v.attr("lr_mult"), v.attr("__lr_mult__")]


@scenario
def setting_on_an_operator(mx: ModuleType) -> Answer:
    made = mx.sym.clip(mx.sym.Variable("a"), a_min=0, a_max=1, name="c")
    made._set_attr(__x__="1", lr_mult="2")
    before = made.list_attr()
    made._set_attr(a_min="-5")
    return {
        "before": before,
        "after a parameter": made.list_attr(),
        "unknown": raised(lambda: made._set_attr(foo="1")),
    }


@scenario
def setting_errors(mx: ModuleType) -> Answer:
    v = mx.sym.Variable("v")
    return {
        "number": raised(lambda: v._set_attr(x=1)),
        "none": raised(lambda: v._set_attr(x=None)),
        "positional": raised(lambda: v._set_attr({"x": "1"})),
    }


@scenario
def setting_is_seen_through_every_handle(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    made = mx.sym.exp(a)
    a._set_attr(x="1")
    made.get_internals()["a"]._set_attr(y="2")
    return [a.list_attr(), made.attr_dict()]


@scenario
def recursive_listing(mx: ModuleType) -> Answer:
    return raised(lambda: mx.sym.Variable("v").list_attr(recursive=True))


@scenario
def scope(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    with mx.AttrScope(__group__="4", ctx_group="dev1"):
        variable = mx.sym.Variable("v", attr={"x": "1"})
        overload = a + 1
        layer = mx.sym.FullyConnected(a, num_hidden=2, name="fc")
        creator = mx.sym.zeros((2,))
    after = mx.sym.Variable("w")
    return {
        "variable": variable.list_attr(),
        "overload": overload.list_attr(),
        "layer": layer.attr_dict(),
        "creator": creator.list_attr(),
        "after": after.list_attr(),
    }


@scenario
def scope_in_scope(mx: ModuleType) -> Answer:
    with mx.AttrScope(__x__="outer", __y__="outer"):
        first = mx.sym.Variable("a")
        with mx.AttrScope(__x__="inner", __z__="inner"):
            second = mx.sym.Variable("b")
        third = mx.sym.Variable("c")
    return [one.list_attr() for one in (first, second, third)]


@scenario
def scope_and_own_attributes(mx: ModuleType) -> Answer:
    with mx.AttrScope(__x__="scope", __y__="scope"):
        variable = mx.sym.Variable("v", attr={"__x__": "own"})
        operator = mx.sym.exp(variable, attr={"__x__": "own"})
    return [variable.list_attr(), operator.list_attr()]


@scenario
def scope_errors(mx: ModuleType) -> Answer:
    def plain_key() -> object:
        with mx.AttrScope(mood="angry"):
            return mx.sym.sum(mx.sym.Variable("a"))

    def plain_key_without_parameters() -> object:
        with mx.AttrScope(mood="angry"):
            return mx.sym.exp(mx.sym.Variable("a"))

    return {
        "number": raised(lambda: mx.AttrScope(x=1)),
        "positional": raised(lambda: mx.AttrScope("x")),
        "plain key on an operator with parameters": raised(plain_key, "mood"),
        "plain key on an operator without": raised(plain_key_without_parameters),
    }


@scenario
def scope_of_a_new_thread(mx: ModuleType) -> Answer:
    seen = []
    with mx.AttrScope(__x__="1"):
        thread = threading.Thread(target=lambda: seen.append(mx.sym.Variable("other").list_attr()))
        thread.start()
        thread.join()
        seen.append(mx.sym.Variable("mine").list_attr())
    return seen


@scenario
def scope_get(mx: ModuleType) -> Answer:
    made = mx.AttrScope(a="1", b="2")
    return [made.get(None), made.get({}), made.get({"a": "9", "c": "3"})]


@scenario
def parameters_as_text(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    made = {
        "int": mx.sym.FullyConnected(a, num_hidden=np.int64(3), name="f"),
        "bool": mx.sym.FullyConnected(a, num_hidden=3, no_bias=True, flatten=False, name="g"),
        "float": mx.sym.clip(a, a_min=-1, a_max=1.5),
        "numpy float": mx.sym.clip(a, a_min=np.float32(0.1), a_max=np.float64(0.1)),
        "tuple": mx.sym.transpose(a, axes=(1, 0)),
        "list": mx.sym.transpose(a, axes=[1, 0]),
        "tuple of one": mx.sym.reshape(a, shape=(-1,)),
        "text": mx.sym.reshape(a, shape="(2, 3)"),
        "empty tuple": mx.sym.transpose(a, axes=()),
        "dtype name": mx.sym.Cast(a, dtype="float16"),
        "dtype class": mx.sym.Cast(a, dtype=np.float16),
        "axis int": mx.sym.sum(a, axis=1),
        "axis tuple": mx.sym.sum(a, axis=(0, 1), keepdims=True),
        "axis none": mx.sym.sum(a, axis=None),
        "axis empty": mx.sym.sum(a, axis=()),
        "none in a tuple": mx.sym.slice(a, begin=(None, 1), end=(2, None)),
        "enum": mx.sym.Activation(a, act_type="tanh"),
        "default given": mx.sym.softmax(a, axis=-1),
    }
    return {label: node(one)[2] for label, one in made.items()}


@scenario
def parameters_by_position(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "clip": node(mx.sym.clip(a, 0, 1)),
        "reshape": node(mx.sym.reshape(a, (2, 3))),
        "sum": node(mx.sym.sum(a, 1)),
        "transpose": node(mx.sym.transpose(a, (1, 0))),
        "expand_dims": node(mx.sym.expand_dims(a, 1)),
        "FullyConnected": mx.sym.FullyConnected(
            a, mx.sym.Variable("w"), mx.sym.Variable("b"), 4
        ).list_arguments(),
    }


@scenario
def parameter_errors(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "missing": raised(lambda: mx.sym.FullyConnected(a), "num_hidden", "FullyConnected"),
        "unknown": raised(lambda: mx.sym.FullyConnected(a, num_hidden=1, foo=1), "foo"),
        "unknown in attr": raised(lambda: mx.sym.sum(a, attr={"foo": "1"}), "foo"),
        "unknown dunder": raised(lambda: mx.sym.sum(a, __foo__="1")),
        "no number": raised(lambda: mx.sym.FullyConnected(a, num_hidden="x"), "num_hidden"),
        "float for int": raised(lambda: mx.sym.FullyConnected(a, num_hidden=1.5), "num_hidden"),
        "no enum": raised(lambda: mx.sym.Activation(a, act_type="nope"), "act_type", "nope"),
        "no tuple": raised(lambda: mx.sym.reshape(a, shape="x"), "shape"),
        "no bool": raised(lambda: mx.sym.sum(a, keepdims="maybe"), "keepdims"),
        "zero hidden": raised(lambda: mx.sym.FullyConnected(a, num_hidden=0), "num_hidden"),
    }


@scenario
def free_attributes_of_operators_without_parameters(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "exp": node(mx.sym.exp(a, attr={"foo": "1"})),
        "number": node(mx.sym.exp(a, attr={"__x__": 1})),
        "elemwise_add": node(mx.sym.elemwise_add(a, a, attr={"foo": "1"})),
    }


@scenario
def two_spellings_of_one_parameter(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    made = mx.sym.sum(a, axis=1, keepdims=1)
    return [node(made)[2], node(mx.sym.sum(a, axis=1, keepdims="true"))[2]]


@scenario
def variables_begin_as_their_operators_want(mx: ModuleType) -> Answer:
    def initial(symbol: Any) -> dict[str, str]:
        return {k: v["__init__"] for k, v in symbol.attr_dict().items() if "__init__" in v}

    def variables(*names: str) -> list[Any]:
        return [mx.sym.Variable(name) for name in names]

    data, slope, other, told = variables("data", "slope", "other_gamma", "told")
    told._set_attr(__init__="mine")
    net = mx.sym.LeakyReLU(data, slope, act_type="prelu")
    statistics = mx.sym.BatchNorm(data, *variables("g", "b", "mean", "variance"))
    given = {"sample_type": "bilinear", "scale": 2, "num_filter": 1, "num_args": 2}
    module = mx.mod.Module(net, label_names=None)
    module.bind([("data", (2, 3))])
    module.init_params(mx.init.One())
    return {
        "given": initial(net),
        "the variable itself": initial(slope),
        "by keyword": initial(mx.sym.LeakyReLU(data, gamma=other, act_type="prelu")),
        "told otherwise": initial(mx.sym.LeakyReLU(data, told, act_type="prelu")),
        "computed": initial(mx.sym.LeakyReLU(data, variables("x")[0] * 2, act_type="prelu")),
        "statistics": initial(statistics),
        "enlarged": initial(mx.sym.UpSampling(data, *variables("w"), **given)),
        "told by the operator": initial(mx.sym.BatchNorm(data, name="n", attr={"__init__": "q"})),
        "two readers": initial(
            mx.sym.Group([net, mx.sym.BatchNorm(data, *variables("g", "b"), slope)])
        ),
        "values": module.get_params()[0]["slope"].asnumpy().tolist(),
        "refused": raised(
            lambda: mx.sym.LeakyReLU(data, *variables("u"), act_type="no"), "act_type"
        ),
    }
