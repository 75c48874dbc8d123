"""Binding arrays to a graph: bind, simple_bind and eval, and what they refuse."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from oracle.scenario import Answer, outcome, plain, raised, scenario


def two(mx: ModuleType) -> tuple[Any, Any]:
    """Two small matrices."""
    return mx.nd.array([[1, 2], [3, 4]]), mx.nd.array([[10, 20], [30, 40]])


def sum_and_product(mx: ModuleType) -> Any:
    """A graph with two outputs over two arguments."""
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    return mx.sym.Group([a + b, a * b])


@scenario
def by_list_and_by_dict(mx: ModuleType) -> Answer:
    x, y = two(mx)
    graph = mx.sym.Variable("a") - mx.sym.Variable("b")
    return {
        "list": plain(graph.bind(mx.cpu(), [x, y]).forward()),
        "dict": plain(graph.bind(mx.cpu(), {"b": y, "a": x}).forward()),
        "keyword": plain(graph.bind(ctx=mx.cpu(), args=[x, y]).forward()),
        "extra keys": plain(graph.bind(mx.cpu(), {"a": x, "b": y, "zz": x}).forward()),
        "same array twice": plain(graph.bind(mx.cpu(), [x, x]).forward()),
    }


@scenario
def arrays_are_kept_not_copied(mx: ModuleType) -> Answer:
    x, y = two(mx)
    executor = sum_and_product(mx).bind(mx.cpu(), [x, y])
    before = plain(executor.forward())
    x[:] = 100
    after = plain(executor.forward())
    executor.arg_dict["b"][:] = -1
    return {
        "identity": [executor.arg_arrays[0] is x, executor.arg_dict["b"] is y],
        "before": before,
        "after": after,
        "written back": plain(y),
    }


@scenario
def errors_of_the_arguments(mx: ModuleType) -> Answer:
    x, y = two(mx)
    graph = mx.sym.Variable("a") + mx.sym.Variable("b")
    cpu = mx.cpu()
    return {
        "missing key": raised(lambda: graph.bind(cpu, {"a": x}), "b"),
        "too few": raised(lambda: graph.bind(cpu, [x])),
        "too many": raised(lambda: graph.bind(cpu, [x, y, y])),
        "empty list": raised(lambda: graph.bind(cpu, [])),
        "tuple": raised(lambda: graph.bind(cpu, (x, y))),
        "none": raised(lambda: graph.bind(cpu, None)),
        "numpy in a list": raised(lambda: graph.bind(cpu, [x, np.ones((2, 2))])),
        "numpy in a dict": raised(lambda: graph.bind(cpu, {"a": x, "b": np.ones((2, 2))})),
        "none in a list": raised(lambda: graph.bind(cpu, [x, None])),
        "number": raised(lambda: graph.bind(cpu, {"a": x, "b": 1})),
    }


@scenario
def errors_of_the_context(mx: ModuleType) -> Answer:
    x, y = two(mx)
    graph = mx.sym.Variable("a") + mx.sym.Variable("b")
    return {
        "text": raised(lambda: graph.bind("cpu", [x, y])),
        "none": raised(lambda: graph.bind(None, [x, y])),
        "array elsewhere": raised(
            lambda: graph.bind(mx.cpu(0), [x, y.as_in_context(mx.cpu(1))]), "cpu(1)"
        ),
    }


@scenario
def errors_of_shapes_and_dtypes(mx: ModuleType) -> Answer:
    x, _ = two(mx)
    graph = mx.sym.elemwise_add(mx.sym.Variable("a"), mx.sym.Variable("b"), name="both")
    cpu = mx.cpu()
    return {
        "shape": raised(lambda: graph.bind(cpu, [x, mx.nd.ones((2, 3))]), "both"),
        "rank": raised(lambda: graph.bind(cpu, [x, mx.nd.ones((2,))]), "both"),
        "broadcast": raised(lambda: graph.bind(cpu, [x, mx.nd.ones((1, 2))]), "both"),
        "dtype": raised(lambda: graph.bind(cpu, [x, mx.nd.ones((2, 2), dtype="int32")]), "both"),
    }


@scenario
def grad_req_values(mx: ModuleType) -> Answer:
    x, y = two(mx)
    graph = mx.sym.Variable("a") + mx.sym.Variable("b")
    cpu = mx.cpu()
    grads = {"a": mx.nd.zeros((2, 2))}
    return {
        "bad word": raised(lambda: graph.bind(cpu, [x, y], grads, grad_req="maybe")),
        "null": graph.bind(cpu, [x, y], grad_req="null").grad_arrays,
        "none given": graph.bind(cpu, [x, y]).grad_arrays,
        "partial": plain(graph.bind(cpu, [x, y], grads).grad_arrays),
        "dict": plain(graph.bind(cpu, [x, y], grads, grad_req={"a": "write"}).grad_arrays),
    }


@scenario
def of_a_variable_alone(mx: ModuleType) -> Answer:
    x, _ = two(mx)
    executor = mx.sym.Variable("a").bind(mx.cpu(), {"a": x})
    return [plain(executor.forward()), plain(executor.outputs), list(executor.output_dict)]


@scenario
def of_variables_in_a_group(mx: ModuleType) -> Answer:
    x, y = two(mx)
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    executor = mx.sym.Group([a, a + b, b]).bind(mx.cpu(), {"a": x, "b": y})
    return [plain(executor.forward()), sorted(executor.output_dict)]


@scenario
def of_a_graph_without_arguments(mx: ModuleType) -> Answer:
    made = mx.sym.zeros((2,)) + mx.sym.arange(2)
    return {
        "list": plain(made.bind(mx.cpu(), []).forward()),
        "dict": plain(made.bind(mx.cpu(), {}).forward()),
        "eval": plain(made.eval()),
    }


@scenario
def the_same_graph_for_other_arrays(mx: ModuleType) -> Answer:
    graph = mx.sym.Variable("a") * mx.sym.Variable("b")
    answers = []
    for dtype, shape in (("int32", (1,)), ("float64", (2, 2)), ("float16", (3,))):
        x = mx.nd.ones(shape, dtype=dtype) * 3
        answers.append(plain(graph.bind(mx.cpu(), [x, x]).forward()))
    return answers


@scenario
def every_dtype(mx: ModuleType) -> Answer:
    graph = mx.sym.Variable("a") + mx.sym.Variable("b")
    answers = {}
    for dtype in ("float32", "float64", "float16", "uint8", "int32", "int8", "int64"):
        x = mx.nd.array([1, 2, 3], dtype=dtype)
        answers[dtype] = plain(graph.bind(mx.cpu(), [x, x]).forward()[0])
    return answers


@scenario
def simple_bind_allocates(mx: ModuleType) -> Answer:
    data = mx.sym.Variable("data")
    layer = mx.sym.FullyConnected(data, num_hidden=3, name="fc")
    executor = layer.simple_bind(mx.cpu(), data=(2, 4))
    return {
        "arguments": plain(executor.arg_dict),
        "gradients": plain(executor.grad_dict),
        "auxiliary": plain(executor.aux_dict),
        "order": [list(one.shape) for one in executor.arg_arrays],
        "outputs": plain(executor.forward()),
    }


@scenario
def simple_bind_options(mx: ModuleType) -> Answer:
    graph = mx.sym.Variable("a") + mx.sym.Variable("b")
    cpu = mx.cpu()
    by_list = graph.simple_bind(cpu, grad_req=["write", "null"], a=(2,))
    by_dict = graph.simple_bind(cpu, grad_req={"b": "add"}, a=(2,))
    typed = graph.simple_bind(cpu, type_dict={"a": "float16"}, a=(2,))
    return {
        "list": {name: one is None for name, one in by_list.grad_dict.items()},
        "dict": {name: one is None for name, one in by_dict.grad_dict.items()},
        "null": plain(graph.simple_bind(cpu, grad_req="null", a=(2,)).grad_dict),
        "typed": plain(typed.arg_dict),
        "typed gradient": plain(typed.grad_dict["b"]),
        "typed by class": plain(
            graph.simple_bind(cpu, type_dict={"b": np.float64}, a=(2,)).arg_dict["a"]
        ),
        "declared": plain(
            (mx.sym.Variable("q", shape=(2,), dtype="int32") * 2)
            .simple_bind(cpu, grad_req="null")
            .arg_dict
        ),
    }


@scenario
def simple_bind_errors(mx: ModuleType) -> Answer:
    graph = mx.sym.Variable("a") + mx.sym.Variable("b")

    def refused(*mentioned: str, **options: Any) -> Answer:
        return raised(lambda: graph.simple_bind(mx.cpu(), **options), *mentioned, base=RuntimeError)

    return {
        "nothing known": refused("a", "b"),
        "half known": refused("a", a=(0, 3)),
        "conflict": refused(a=(2, 3), b=(2, 4)),
        "bad grad_req": refused(grad_req="maybe", a=(2,)),
        "dtype conflict": refused(type_dict={"a": "int32", "b": "int8"}, a=(2,)),
    }


@scenario
def eval_of_graphs(mx: ModuleType) -> Answer:
    x, y = two(mx)
    graph = sum_and_product(mx)
    return {
        "default context": plain(graph.eval(a=x, b=y)),
        "context": plain(graph.eval(ctx=mx.cpu(), a=x, b=y)),
        "type": type(graph.eval(a=x, b=y)).__name__,
        "missing": raised(lambda: graph.eval(a=x), "b"),
        "numpy": raised(lambda: graph.eval(a=x, b=np.ones((2, 2)))),
        "extra": outcome(lambda: len(graph.eval(a=x, b=y, c=x))),
    }


@scenario
def context_of_results(mx: ModuleType) -> Answer:
    x = mx.nd.ones((2,), ctx=mx.cpu(1))
    graph = mx.sym.Variable("a") + 1
    executor = graph.bind(mx.cpu(1), {"a": x})
    return [str(one.context) for one in [*executor.forward(), *executor.arg_arrays]]
