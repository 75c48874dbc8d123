"""Names: what operators, overloads and aliases call their nodes, and who may change that."""

from __future__ import annotations

import operator
import threading
from types import ModuleType

import numpy as np

from oracle.scenario import Answer, node, outcome, outcomes, plain, raised, scenario


@scenario
def overloads_of_two_symbols(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    return {
        "+": node(a + b),
        "-": node(a - b),
        "*": node(a * b),
        "/": node(a / b),
        "%": node(a % b),
        "**": node(a**b),
    }


@scenario
def overloads_with_a_number(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "a+2": node(a + 2),
        "a-2": node(a - 2),
        "a*2": node(a * 2),
        "a/2": node(a / 2),
        "a%2": node(a % 2),
        "a**2": node(a**2),
    }


@scenario
def overloads_reflected(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "2+a": node(2 + a),
        "2-a": node(2 - a),
        "2*a": node(2 * a),
        "2/a": node(2 / a),
        "2%a": node(2 % a),
        "2**a": node(2**a),
    }


@scenario
def overloads_with_one_operand(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    negative = -a
    return {"-a": node(negative), "abs(a)": node(abs(a)), "twice": node(-negative)}


@scenario
def comparisons_of_two_symbols(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    return {
        "==": node(a == b),
        "!=": node(a != b),
        ">": node(a > b),
        ">=": node(a >= b),
        "<": node(a < b),
        "<=": node(a <= b),
    }


@scenario
def comparisons_with_a_number(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "a==1": node(a == 1),
        "a!=1": node(a != 1),
        "a>1": node(a > 1),
        "a>=1": node(a >= 1),
        "a<1": node(a < 1),
        "a<=1": node(a <= 1),
        "1==a": node(operator.eq(1, a)),
        "1!=a": node(operator.ne(1, a)),
        "1>a": node(operator.gt(1, a)),
        "1>=a": node(operator.ge(1, a)),
        "1<a": node(operator.lt(1, a)),
        "1<=a": node(operator.le(1, a)),
    }


@scenario
def spelling_of_numbers(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    numbers = [
        0, 1, -1, 1.0, 1.5, -0.0, 0.1, 1e20, 1e-7, 10**20,
        float("inf"), float("-inf"), float("nan"), 1 / 3,
        np.float32(0.1), np.float64(0.1), np.float16(0.1), np.int64(3), np.uint8(7),
    ]  # fmt: skip
    return [
        [str(number), outcome(lambda number=number: node(a + number)[2]["scalar"])]
        for number in numbers
    ]


@scenario
def numpy_number_on_the_left(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "float32+a": node(np.float32(2) + a),
        "int64*a": node(np.int64(2) * a),
        "float64-a": node(np.float64(2) - a),
    }


@scenario
def operands_of_other_types(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "a+None": raised(lambda: a + None),
        "None+a": raised(lambda: None + a),
        "a+'x'": raised(lambda: a + "x"),
        "a*[1]": raised(lambda: a * [1]),
        "a-numpy": raised(lambda: a - np.ones(2)),
        "numpy-a": raised(lambda: np.ones(2) - a),
        "a+NDArray": raised(lambda: a + mx.nd.ones((2,))),
        "a/None": raised(lambda: a / None),
        "a%None": raised(lambda: a % None),
        "a**None": raised(lambda: a**None),
        "None**a": raised(lambda: None**a),
        "a==None": raised(lambda: a == None),  # noqa: E711
        "a=='x'": raised(lambda: a == "x"),
        "a!=None": raised(lambda: a != None),  # noqa: E711
        "a>None": raised(lambda: a > None),
        "a@a": raised(lambda: a @ a),
        "a//2": raised(lambda: a // 2),
        "a&a": raised(lambda: a & a),
        "~a": raised(lambda: ~a),
    }


@scenario
def counters_belong_to_the_hint(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    made = [a + b, a * b, a + b, a * 2, 2 * a, -a, a > 1, b < 1, operator.gt(1, a), a - b]
    made.append(mx.sym.exp(a))
    return [one.name for one in made]


@scenario
def a_given_name_does_not_count(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    made = [mx.sym.exp(a), mx.sym.exp(a, name="mine"), mx.sym.exp(a), mx.sym.exp(a, name="exp1")]
    return [[one.name, one.list_outputs()] for one in made]


@scenario
def counting_starts_again_in_a_new_manager(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    first = (a + a).name
    with mx.name.NameManager():
        inside = (a + a).name
    return [first, inside, (a + a).name]


@scenario
def hints_of_namespaces(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    calls = {
        "linalg_gemm2": lambda: mx.sym.linalg_gemm2(a, b),
        "linalg.gemm2": lambda: mx.sym.linalg.gemm2(a, b),
        "linalg_gemm": lambda: mx.sym.linalg_gemm(a, b, a),
        "linalg.gemm": lambda: mx.sym.linalg.gemm(a, b, a),
        "sparse.dot": lambda: mx.sym.sparse.dot(a, b),
        "sparse.FullyConnected": lambda: mx.sym.sparse.FullyConnected(a, num_hidden=2),
        "sparse.ElementWiseSum": lambda: mx.sym.sparse.ElementWiseSum(a, b),
        "sample_multinomial": lambda: mx.sym.sample_multinomial(a),
        "random.multinomial": lambda: mx.sym.random.multinomial(a),
        "random.randint": lambda: mx.sym.random.randint(0, 5, shape=(2,)),
        "random_randint": lambda: mx.sym.random_randint(low=0, high=5, shape=(2,)),
        "random.randn": lambda: mx.sym.random.randn(2, 3),
        "random.normal": lambda: mx.sym.random.normal(0, 1, shape=(2,)),
    }
    return outcomes({label: (lambda call=call: node(call())) for label, call in calls.items()})


@scenario
def hints_of_aliases(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    calls = {
        "split": lambda: mx.sym.split(a, num_outputs=2),
        "SliceChannel": lambda: mx.sym.SliceChannel(a, num_outputs=2),
        "sum": lambda: mx.sym.sum(a),
        "sum_axis": lambda: mx.sym.sum_axis(a),
        "max_axis": lambda: mx.sym.max_axis(a),
        "min_axis": lambda: mx.sym.min_axis(a),
        "flatten": lambda: mx.sym.flatten(a),
        "Flatten": lambda: mx.sym.Flatten(a),
        "reshape": lambda: mx.sym.reshape(a, shape=(2, 3)),
        "Reshape": lambda: mx.sym.Reshape(a, shape=(2, 3)),
        "concat": lambda: mx.sym.concat(a, b, dim=1),
        "Concat": lambda: mx.sym.Concat(a, b, dim=1),
        "swapaxes": lambda: mx.sym.swapaxes(a, dim1=0, dim2=1),
        "SwapAxis": lambda: mx.sym.SwapAxis(a, dim1=0, dim2=1),
        "cast": lambda: mx.sym.cast(a, dtype="int32"),
        "Cast": lambda: mx.sym.Cast(a, dtype="int32"),
        "identity": lambda: mx.sym.identity(a),
        "BlockGrad": lambda: mx.sym.BlockGrad(a),
        "stop_gradient": lambda: mx.sym.stop_gradient(a),
        "elemwise_add": lambda: mx.sym.elemwise_add(a, b),
        "elemwise_sub": lambda: mx.sym.elemwise_sub(a, b),
        "elemwise_mul": lambda: mx.sym.elemwise_mul(a, b),
        "elemwise_div": lambda: mx.sym.elemwise_div(a, b),
        "add_n": lambda: mx.sym.add_n(a, b),
        "ElementWiseSum": lambda: mx.sym.ElementWiseSum(a, b),
        "broadcast_add": lambda: mx.sym.broadcast_add(a, b),
        "broadcast_plus": lambda: mx.sym.broadcast_plus(a, b),
        "broadcast_sub": lambda: mx.sym.broadcast_sub(a, b),
        "broadcast_minus": lambda: mx.sym.broadcast_minus(a, b),
        "broadcast_axis": lambda: mx.sym.broadcast_axis(a, axis=0, size=2),
        "broadcast_axes": lambda: mx.sym.broadcast_axes(a, axis=0, size=2),
        "reverse": lambda: mx.sym.reverse(a, axis=0),
        "flip": lambda: mx.sym.flip(a, axis=0),
        "slice": lambda: mx.sym.slice(a, begin=(0,), end=(1,)),
        "crop": lambda: mx.sym.crop(a, begin=(0,), end=(1,)),
        "negative": lambda: mx.sym.negative(a),
        "make_loss": lambda: mx.sym.make_loss(a),
        "FullyConnected": lambda: mx.sym.FullyConnected(a, num_hidden=2),
        "Activation": lambda: mx.sym.Activation(a, act_type="relu"),
        "SoftmaxActivation": lambda: mx.sym.SoftmaxActivation(a),
        "log_softmax": lambda: mx.sym.log_softmax(a),
        "random_uniform": lambda: mx.sym.random_uniform(shape=(2,)),
        "uniform": lambda: mx.sym.uniform(shape=(2,)),
        "random.uniform": lambda: mx.sym.random.uniform(shape=(2,)),
        "random_normal": lambda: mx.sym.random_normal(shape=(2,)),
        "normal": lambda: mx.sym.normal(shape=(2,)),
        "random.normal": lambda: mx.sym.random.normal(shape=(2,)),
        "where": lambda: mx.sym.where(a, a, b),
        "batch_dot": lambda: mx.sym.batch_dot(a, b),
    }
    return outcomes({label: (lambda call=call: node(call())) for label, call in calls.items()})


@scenario
def creators(mx: ModuleType) -> Answer:
    return {
        "zeros": node(mx.sym.zeros((2, 3))),
        "zeros of a number": node(mx.sym.zeros(3)),
        "zeros float64": node(mx.sym.zeros((2,), dtype="float64")),
        "zeros named": node(mx.sym.zeros((2,), name="z")),
        "ones": node(mx.sym.ones((2, 3))),
        "ones int32": node(mx.sym.ones((2,), dtype=np.int32)),
        "arange": node(mx.sym.arange(5)),
        "arange start stop": node(mx.sym.arange(1, 5)),
        "arange step": node(mx.sym.arange(1, 5, 2, name="r", dtype="int32")),
        "arange repeat": node(mx.sym.arange(0, 2, repeat=3)),
        "full": node(mx.sym.full((2,), 7)),
    }


@scenario
def binary_functions(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    answers = {}
    for name in ("pow", "power", "maximum", "minimum", "hypot"):
        function = getattr(mx.sym, name)
        answers[name] = {
            "two symbols": node(function(a, b)),
            "symbol and number": node(function(a, 2)),
            "number and symbol": node(function(2, a)),
            "two numbers": plain(function(3, 4)),
            "a string": raised(lambda function=function: function(a, "x")),
            "none": raised(lambda function=function: function(None, a)),
        }
    return answers


@scenario
def outputs_of_one(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "variable": a.list_outputs(),
        "operator": mx.sym.exp(a, name="e").list_outputs(),
        "named like an output": mx.sym.exp(a, name="e_output").list_outputs(),
        "make_loss": mx.sym.make_loss(a, name="m").list_outputs(),
        "BlockGrad": mx.sym.BlockGrad(a, name="m").list_outputs(),
    }


@scenario
def outputs_of_several(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    parts = mx.sym.split(a, num_outputs=3, name="sp")
    one = mx.sym.split(a, num_outputs=1, name="single")
    return {
        "outputs": parts.list_outputs(),
        "names of parts": [part.name for part in parts],
        "outputs of parts": [part.list_outputs() for part in parts],
        "repr": [repr(parts), repr(parts[1])],
        "one part": [one.list_outputs(), len(one), repr(one)],
    }


@scenario
def inputs_made_for_missing_ones(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    made = {
        "FullyConnected": mx.sym.FullyConnected(num_hidden=3),
        "FullyConnected named": mx.sym.FullyConnected(a, num_hidden=3, name="fc1"),
        "FullyConnected no_bias": mx.sym.FullyConnected(a, num_hidden=3, no_bias=True, name="fc2"),
        "FullyConnected bias given": mx.sym.FullyConnected(
            data=a, bias=mx.sym.Variable("bb"), num_hidden=3, name="fc3"
        ),
        "Embedding": mx.sym.Embedding(a, input_dim=3, output_dim=2, name="emb"),
        "dot": mx.sym.dot(),
        "dot half": mx.sym.dot(a),
        "exp": mx.sym.exp(),
        "elemwise_add": mx.sym.elemwise_add(name="plus"),
        "broadcast_mul": mx.sym.broadcast_mul(rhs=a),
        "Concat": mx.sym.Concat(num_args=2, name="c"),
        "Concat one given": mx.sym.Concat(a, num_args=2, name="c2"),
        "add_n": mx.sym.add_n(num_args=3, name="s"),
        "where": mx.sym.where(name="w"),
        "take": mx.sym.take(name="t"),
        "split": mx.sym.split(num_outputs=2, name="sp"),
        "softmax": mx.sym.softmax(name="sm"),
    }
    return {label: [one.name, one.list_arguments()] for label, one in made.items()}


@scenario
def made_inputs_and_their_number(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "Concat without inputs": raised(lambda: mx.sym.Concat()),
        "Concat with wrong num_args": outcomes(
            {"list": lambda: mx.sym.Concat(a, num_args=3, name="c").list_arguments()}
        ),
    }


@scenario
def inputs_that_are_no_symbols(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "number": raised(lambda: mx.sym.exp(1)),
        "keyword number": raised(lambda: mx.sym.exp(data=1), "data"),
        "NDArray": raised(lambda: mx.sym.exp(mx.nd.ones((2,)))),
        "numpy": raised(lambda: mx.sym.exp(np.ones(2))),
        "none among several": raised(lambda: mx.sym.Concat(a, None)),
        "second": raised(lambda: mx.sym.dot(a, 5), "rhs"),
    }


@scenario
def several_outputs_as_one_input(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    parts = mx.sym.split(a, num_outputs=2)
    group = mx.sym.Group([a, a + 1])
    return {
        "split": raised(lambda: mx.sym.exp(parts)),
        "keyword": raised(lambda: mx.sym.exp(data=parts), "data"),
        "overload": raised(lambda: parts + a),
        "group": raised(lambda: mx.sym.exp(group)),
        "concat of split": outcomes(
            {"list": lambda: mx.sym.Concat(*parts, dim=0, name="c").list_arguments()}
        ),
    }


@scenario
def name_manager_get(mx: ModuleType) -> Answer:
    manager = mx.name.NameManager()
    return [
        manager.get(None, "fc"),
        manager.get(None, "fc"),
        manager.get("given", "fc"),
        manager.get(None, "relu"),
        manager.get(None, "fc"),
        manager.get("", "fc"),
    ]


@scenario
def name_manager_of_ones_own(mx: ModuleType) -> Answer:
    class Upper(mx.name.NameManager):
        def get(self, name: str | None, hint: str) -> str:
            return super().get(name, hint).upper()

    a = mx.sym.Variable("a")
    with Upper():
        made = [a + a, mx.sym.exp(a), mx.sym.exp(a, name="given")]
        layer = mx.sym.FullyConnected(a, num_hidden=2)
        variable = mx.sym.Variable("v")
    return [[one.name for one in made], layer.list_arguments(), variable.name, (a + a).name]


@scenario
def prefix(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    with mx.name.Prefix("net_"):
        made = {
            "overload": a + a,
            "layer": mx.sym.FullyConnected(a, num_hidden=2),
            "given": mx.sym.FullyConnected(a, num_hidden=2, name="fc"),
            "variable": mx.sym.Variable("v"),
            "creator": mx.sym.zeros((2,)),
        }
    return {label: [one.name, one.list_arguments()] for label, one in made.items()}


@scenario
def prefix_in_prefix(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    with mx.name.Prefix("x_"):
        before = (a + a).name
        with mx.name.Prefix("y_"):
            inside = (a + a).name
        after = (a + a).name
    return [before, inside, after, (a + a).name]


@scenario
def a_new_thread_counts_from_zero(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    names = [(a + a).name, (a + a).name]
    thread = threading.Thread(target=lambda: names.append((a + a).name))
    thread.start()
    thread.join()
    return [*names, (a + a).name]


@scenario
def variable_names(mx: ModuleType) -> Answer:
    return {
        "var": repr(mx.sym.var("x")),
        "number": raised(lambda: mx.sym.Variable(1)),
        "none": raised(lambda: mx.sym.Variable(None)),
        "bytes": raised(lambda: mx.sym.Variable(b"x")),
        "space": mx.sym.Variable("a b").list_arguments(),
        "accent": mx.sym.Variable("caf\u00e9").list_arguments(),
        "quote": mx.sym.Variable('"quoted"\n').list_arguments(),
        "same name twice": (mx.sym.Variable("x") + mx.sym.Variable("x")).list_arguments(),
    }


@scenario
def operator_names_that_are_not_given(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "empty": mx.sym.exp(a, name="").name,
        "none": mx.sym.exp(a, name=None).name,
    }


@scenario
def outputs_of_what_orders_and_cuts(mx: ModuleType) -> Answer:
    x = mx.sym.Variable("x")
    made = {
        "sort": mx.sym.sort(x, name="n"),
        "argsort": mx.sym.argsort(x, name="n"),
        "cut once": mx.sym._internal._split_v2(x, indices=(0,), sections=1, name="n"),
        "cut": mx.sym._internal._split_v2(x, indices=(0,), sections=2, name="n"),
    }
    for kind in ("indices", "value", "mask", "both"):
        made[kind] = mx.sym.topk(x, ret_typ=kind, name="n")
    return {
        name: [
            symbol.list_outputs(),
            symbol.get_internals().list_outputs(),
            mx.sym.exp(symbol[0], name="read").tojson(),
            plain(symbol.infer_type(x="float16")[1]),
        ]
        for name, symbol in made.items()
    }
