"""Graphs with layers that learn, and gradients: recorded before the operators they need exist."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

from oracle.scenario import Answer, node, outcome, plain, raised, scenario, warned


def lenet(mx: ModuleType) -> Any:
    """A small convolutional network with a softmax output."""
    data = mx.sym.Variable("data")
    first = mx.sym.Convolution(data, kernel=(3, 3), num_filter=4, name="conv1")
    normal = mx.sym.BatchNorm(first, fix_gamma=False, name="bn1")
    active = mx.sym.Activation(normal, act_type="tanh", name="tanh1")
    pooled = mx.sym.Pooling(active, pool_type="max", kernel=(2, 2), stride=(2, 2), name="pool1")
    layer = mx.sym.FullyConnected(mx.sym.Flatten(pooled), num_hidden=3, name="fc1")
    return mx.sym.SoftmaxOutput(layer, name="softmax")


@scenario
def lists_of_lenet(mx: ModuleType) -> Answer:
    net = lenet(mx)
    return {
        "arguments": net.list_arguments(),
        "auxiliary": net.list_auxiliary_states(),
        "outputs": net.list_outputs(),
        "inputs": net.list_inputs(),
        "internals": net.get_internals().list_outputs(),
        "attributes": net.attr_dict(),
    }


@scenario
def text_of_lenet(mx: ModuleType) -> Answer:
    text = lenet(mx).tojson()
    return {"lines": text.split("\n"), "again": mx.sym.load_json(text).tojson() == text}


@scenario
def shapes_of_lenet(mx: ModuleType) -> Answer:
    net = lenet(mx)
    return {
        "full": plain(net.infer_shape(data=(2, 1, 8, 8))),
        # Behind Flatten MXNet leaves open what follows.
        "batch unknown": plain(
            net.get_internals()["pool1_output"].infer_shape_partial(data=(0, 1, 8, 8))
        ),
        "unknown": warned(lambda: net.infer_shape(softmax_label=(2,)), ["data"]),
        "dtypes": plain(net.infer_type(data="float16")),
    }


@scenario
def debug_text_of_lenet(mx: ModuleType) -> Answer:
    return lenet(mx).debug_str().split("\n")


@scenario
def batch_norm(mx: ModuleType) -> Answer:
    data = mx.sym.Variable("data")
    plain_one = mx.sym.BatchNorm(data, name="bn")
    all_outputs = mx.sym.BatchNorm(data, name="bn", output_mean_var=True)
    return {
        "outputs": [plain_one.list_outputs(), all_outputs.list_outputs()],
        "lengths": [len(plain_one), len(all_outputs)],
        "auxiliary": plain_one.list_auxiliary_states(),
        "attributes": plain_one.attr_dict(),
        "children": plain_one.get_children().list_outputs(),
        "heads": json.loads(all_outputs.tojson())["heads"],
        "node_row_ptr": json.loads(plain_one.tojson())["node_row_ptr"],
        "internals": plain_one.get_internals().list_outputs(),
    }


@scenario
def batch_norm_with_given_states(mx: ModuleType) -> Answer:
    mean = mx.sym.Variable("my_mean")
    made = mx.sym.BatchNorm(mx.sym.Variable("data"), moving_mean=mean, name="bn")
    return [made.list_arguments(), made.list_auxiliary_states()]


@scenario
def batch_norm_of_version_08(mx: ModuleType) -> Answer:
    graph = {
        "nodes": [
            {"op": "null", "param": {}, "name": "data", "inputs": [], "backward_source_id": -1},
            {"op": "null", "param": {}, "name": "bn_gamma", "inputs": [], "backward_source_id": -1},
            {"op": "null", "param": {}, "name": "bn_beta", "inputs": [], "backward_source_id": -1},
            {
                "op": "BatchNorm",
                "param": {"eps": "0.001", "fix_gamma": "True", "momentum": "0.9"},
                "name": "bn",
                "inputs": [[0, 0], [1, 0], [2, 0]],
                "backward_source_id": -1,
            },
        ],
        "arg_nodes": [0, 1, 2],
        "heads": [[3, 0]],
    }
    loaded = mx.sym.load_json(json.dumps(graph))
    again = json.loads(loaded.tojson())
    for one in again["nodes"]:
        # MXNet forgets here that states have a version of 1.
        one["inputs"] = [entry[:2] for entry in one["inputs"]]
    return {"graph": again, "auxiliary": loaded.list_auxiliary_states()}


@scenario
def binding_auxiliary_states(mx: ModuleType) -> Answer:
    made = mx.sym.BatchNorm(mx.sym.Variable("data"), name="bn", fix_gamma=False)
    nd = mx.nd
    arguments = [nd.ones((2, 3)), nd.ones((3,)), nd.zeros((3,))]
    states = [nd.zeros((3,)), nd.ones((3,))]
    executor = made.bind(mx.cpu(), arguments, aux_states=states)
    simple = made.simple_bind(mx.cpu(), data=(2, 3))
    named = {"bn_moving_mean": states[0], "bn_moving_var": states[1]}
    return {
        "dict": plain(executor.aux_dict),
        "identity": executor.aux_arrays[0] is states[0],
        "missing": raised(lambda: made.bind(mx.cpu(), arguments)),
        "too few": raised(lambda: made.bind(mx.cpu(), arguments, aux_states=states[:1])),
        "simple": plain(simple.aux_dict),
        "by name": plain(made.bind(mx.cpu(), arguments, aux_states=named).aux_dict),
    }


@scenario
def names_of_layers(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "Convolution": mx.sym.Convolution(a, kernel=(3, 3), num_filter=2).list_arguments(),
        "Convolution no_bias": mx.sym.Convolution(
            a, kernel=(3, 3), num_filter=2, no_bias=True
        ).list_arguments(),
        "Pooling": node(mx.sym.Pooling(a, kernel=(2, 2), pool_type="max")),
        "global": node(mx.sym.Pooling(a, global_pool=True, pool_type="avg")),
        "LRN": node(mx.sym.LRN(a, nsize=3)),
        "missing": raised(lambda: mx.sym.Convolution(a, num_filter=2), "kernel"),
    }


@scenario
def names_of_dropout_and_leaky_relu(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "Dropout": [node(mx.sym.Dropout(a, p=0.3)), mx.sym.Dropout(a).list_outputs()],
        "LeakyReLU": node(mx.sym.LeakyReLU(a, slope=0.1)),
        "prelu": mx.sym.LeakyReLU(a, act_type="prelu", name="p").list_arguments(),
        "dropout at inference": plain(mx.sym.Dropout(a, p=0.9).eval(a=mx.nd.ones((4,)))),
    }


@scenario
def names_of_rnn(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    made = mx.sym.RNN(a, state_size=4, num_layers=1, mode="lstm", state_outputs=True, name="l")
    return {
        "arguments": made.list_arguments(),
        "outputs": made.list_outputs(),
        "shapes": plain(made.infer_shape(a=(5, 2, 3))),
    }


@scenario
def names_of_outputs(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    made = {
        "SoftmaxOutput": mx.sym.SoftmaxOutput(a, name="softmax"),
        "Softmax": mx.sym.Softmax(a),
        "LinearRegressionOutput": mx.sym.LinearRegressionOutput(a, name="lin"),
        "LogisticRegressionOutput": mx.sym.LogisticRegressionOutput(a),
        "MAERegressionOutput": mx.sym.MAERegressionOutput(a),
        "MakeLoss": mx.sym.MakeLoss(a, name="m"),
    }
    return {
        label: [node(one), one.list_arguments(), plain(one.infer_shape(a=(4, 3)))]
        for label, one in made.items()
    }


@scenario
def softmax_output_gradient(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    executor = mx.sym.SoftmaxOutput(a, name="softmax").simple_bind(mx.cpu(), a=(2, 4))
    executor.forward(is_train=True, softmax_label=mx.nd.array([1, 3]))
    executor.backward()
    return plain(executor.grad_dict)


def _square(mx: ModuleType, grad_req: Any = "write") -> Any:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    return (a * a + b).bind(
        mx.cpu(),
        {"a": mx.nd.array([1, 2, 3]), "b": mx.nd.array([5, 6, 7])},
        args_grad={"a": mx.nd.ones((3,)) * 100, "b": mx.nd.ones((3,)) * 100},
        grad_req=grad_req,
    )


@scenario
def gradients(mx: ModuleType) -> Answer:
    executor = _square(mx)
    executor.forward(is_train=True)
    answers = {"before": plain(executor.grad_dict), "arrays": plain(executor.grad_arrays)}
    for label, heads in {
        "array": mx.nd.array([1, 10, 100]),
        "list": [mx.nd.ones((3,))],
        "dict": {executor._symbol.list_outputs()[0]: mx.nd.ones((3,)) * 2},
    }.items():
        answers[label] = [executor.backward(heads), plain(executor.grad_dict)]
    return answers


@scenario
def gradients_by_request(mx: ModuleType) -> Answer:
    answers = {}
    for label, request in {
        "write": "write",
        "add": "add",
        "null": "null",
        "list": ["add", "null"],
        "dict": {"b": "add"},
    }.items():
        executor = _square(mx, request)
        executor.forward(is_train=True)
        executor.backward(mx.nd.ones((3,)))
        executor.backward(mx.nd.ones((3,)))
        # MXNet counts what is there twice where a variable is used twice and its gradient added.
        answers[label] = plain({n: g for n, g in executor.grad_dict.items() if n != "a"})
    return answers


@scenario
def gradients_after_inference(mx: ModuleType) -> Answer:
    executor = _square(mx)
    executor.forward()
    executor.backward(mx.nd.ones((3,)))
    return plain(executor.grad_dict)


@scenario
def gradient_errors(mx: ModuleType) -> Answer:
    executor = _square(mx)
    executor.forward(is_train=True)
    return {
        "no heads": raised(lambda: executor.backward()),
        "numpy": raised(lambda: executor.backward([1])),
        "wrong shape": raised(lambda: executor.backward(mx.nd.ones((4,)))),
    }


@scenario
def gradients_through_many_uses(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    graph = mx.sym.Group([a + a * a, mx.sym.BlockGrad(a) * a, mx.sym.MakeLoss(a, grad_scale=3)])
    executor = graph.bind(mx.cpu(), {"a": mx.nd.array([1, 2])}, args_grad={"a": mx.nd.zeros((2,))})
    executor.forward(is_train=True)
    ones = mx.nd.ones((2,))
    executor.backward([ones, ones, ones])
    return plain(executor.grad_dict)


@scenario
def initializers_on_variables(mx: ModuleType) -> Answer:
    return {
        "Xavier": outcome(lambda: mx.sym.Variable("v", init=mx.init.Xavier()).attr("__init__")),
        "Zero": outcome(lambda: mx.sym.Variable("v", init=mx.init.Zero()).attr("__init__")),
        "Normal": outcome(lambda: mx.sym.Variable("v", init=mx.init.Normal(0.1)).attr("__init__")),
    }


@scenario
def fluent_methods_of_later_operators(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    made = {
        "argsort": a.argsort(),
        "argmax_channel": a.argmax_channel(),
        "sort": a.sort(),
        "topk": a.topk(k=2),
        "pad": a.pad(mode="constant", pad_width=(0, 0, 0, 0, 1, 1, 1, 1)),
        "depth_to_space": a.depth_to_space(2),
        "space_to_depth": a.space_to_depth(2),
        "diag": a.diag(),
        "rcbrt": a.rcbrt(),
        "reshape_like": a.reshape_like(b),
        "shape_array": a.shape_array(),
        "size_array": a.size_array(),
        "slice_like": a.slice_like(b),
        "softmin": a.softmin(),
        "split_v2": a.split_v2(2),
    }
    return {label: [node(one), one.list_arguments()] for label, one in made.items()}


@scenario
def other_creators(mx: ModuleType) -> Answer:
    nd = mx.nd
    return {
        "linspace": nd.linspace(0, 1, 5),
        "linspace without the end": nd.linspace(0, 1, 4, endpoint=False),
        "eye": nd.eye(3),
        "eye shifted": nd.eye(2, 3, 1, dtype="int32"),
        "moveaxis": nd.moveaxis(nd.zeros((2, 3, 4)), 0, -1).shape,
        "split_v2": plain(nd.split_v2(nd.arange(6), (2, 5))),
        "split_v2 in sections": plain(nd.split_v2(nd.arange(6), 3)),
        "onehot_encode": nd.onehot_encode(nd.array([1, 0]), nd.zeros((2, 3))),
        "symbol eye": node(mx.sym.eye(3)),
        "symbol linspace": node(mx.sym.linspace(0, 1, 5)),
    }


@scenario
def monitor(mx: ModuleType) -> Answer:
    data = mx.sym.Variable("data")
    layer = mx.sym.FullyConnected(data, num_hidden=2, name="fc")
    graph = mx.sym.elemwise_add(layer, layer, name="r")
    answers = {}
    for everything in (False, True):
        names: list[str] = []

        def note(name: bytes | str, array: object, names: list[str] = names) -> None:
            names.append(name.decode() if isinstance(name, bytes) else name)

        executor = graph.simple_bind(mx.cpu(), grad_req="null", data=(1, 2))
        executor.set_monitor_callback(note, monitor_all=everything)
        executor.forward()
        executor.outputs[0].wait_to_read()
        answers["everything" if everything else "outputs"] = names
    return answers


def seen_by_a_monitor(mx: ModuleType, graph: Any, everything: bool, **shapes: Any) -> Answer:
    """The names of a forward pass, and of the backward pass after it."""
    names: list[str] = []

    def note(name: bytes | str, array: object) -> None:
        names.append(name.decode() if isinstance(name, bytes) else name)

    executor = graph.simple_bind(mx.cpu(), **shapes)
    executor.set_monitor_callback(note, monitor_all=everything)
    executor.forward(is_train=True)
    executor.outputs[0].wait_to_read()
    forward = list(names)
    if everything:
        return forward
    executor.backward()
    mx.nd.waitall()
    return [forward, names[len(forward) :]]


@scenario
def monitored_layers(mx: ModuleType) -> Answer:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    net = mx.sym.Activation(net, act_type="relu", name="r")
    net = mx.sym.BatchNorm(net, name="bn")
    net = mx.sym.Dropout(net, p=0.5, name="d")
    net = mx.sym.SoftmaxOutput(mx.sym.tanh(net, name="t"), name="sm")
    return {str(all): seen_by_a_monitor(mx, net, all, data=(2, 5)) for all in (False, True)}


@scenario
def monitored_inputs(mx: ModuleType) -> Answer:
    x, y = mx.sym.Variable("x"), mx.sym.Variable("y")
    with mx.name.NameManager():
        both = mx.sym.concat(x * 2, mx.sym.elemwise_add(y, x, name="e"), dim=0, name="c")
        first = mx.sym.split(both, num_outputs=2, axis=0, name="s")[0]
        moved = mx.sym.transpose(mx.sym.squeeze(first, name="q"), name="p")
        total = mx.sym.sum(mx.sym.dot(moved, x, name="m"), name="t")
    return seen_by_a_monitor(mx, mx.sym.MakeLoss(total, name="l"), True, x=(2, 3), y=(2, 3))
