"""Looking into a graph: lists, internals, children, groups, indexing, printing, copying."""

from __future__ import annotations

import copy
import pickle
from types import ModuleType
from typing import Any

from oracle.scenario import Answer, node, outcomes, raised, scenario


def tutorial(mx: ModuleType) -> Any:
    """The graph E = A*B + C*D."""
    a, b, c, d = (mx.symbol.Variable(name) for name in "ABCD")
    return (a * b) + (c * d)


def perceptron(mx: ModuleType) -> Any:
    """Two fully connected layers with one activation between them."""
    data = mx.sym.Variable("data")
    hidden = mx.sym.FullyConnected(data, name="fc1", num_hidden=8)
    active = mx.sym.Activation(hidden, name="relu1", act_type="relu")
    return mx.sym.FullyConnected(active, name="fc2", num_hidden=3)


def lists(symbol: Any) -> Answer:
    """All the name lists of a symbol."""
    return {
        "arguments": symbol.list_arguments(),
        "outputs": symbol.list_outputs(),
        "auxiliary": symbol.list_auxiliary_states(),
        "inputs": symbol.list_inputs(),
        "internals": symbol.get_internals().list_outputs(),
    }


@scenario
def lists_of_the_tutorial(mx: ModuleType) -> Answer:
    return lists(tutorial(mx))


@scenario
def lists_of_a_perceptron(mx: ModuleType) -> Answer:
    return lists(perceptron(mx))


@scenario
def lists_of_a_variable(mx: ModuleType) -> Answer:
    return lists(mx.sym.Variable("v"))


@scenario
def lists_of_a_creator(mx: ModuleType) -> Answer:
    return lists(mx.sym.zeros((2,)) + 1)


@scenario
def lists_of_several_outputs(mx: ModuleType) -> Answer:
    parts = mx.sym.split(mx.sym.Variable("a"), num_outputs=3, name="sp")
    return {"all": lists(parts), "one": lists(parts[1]), "used": lists(parts[0] + parts[2])}


@scenario
def lists_of_a_group(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    return lists(mx.sym.Group([b + a, a * b, a]))


@scenario
def order_of_arguments(mx: ModuleType) -> Answer:
    left, right = mx.sym.Variable("l"), mx.sym.Variable("r")
    a, b, c = (mx.sym.Variable(name) for name in "abc")
    return {
        "keywords": mx.sym.dot(rhs=right, lhs=left).list_arguments(),
        "depth first": ((c + a) * (b + c)).list_arguments(),
        "shared twice": (a + a).list_arguments(),
        "deep shared": (mx.sym.exp(b) + a * b).list_arguments(),
        "where": mx.sym.where(y=a, x=b, condition=c).list_arguments(),
    }


@scenario
def two_variables_of_one_name(mx: ModuleType) -> Answer:
    return lists(mx.sym.Variable("x") * mx.sym.Variable("x"))


@scenario
def internals_by_name(mx: ModuleType) -> Answer:
    internals = perceptron(mx).get_internals()
    hidden = internals["relu1_output"]
    return {
        "length": len(internals),
        "name": internals.name,
        "repr": repr(internals),
        "picked": [repr(hidden), hidden.list_arguments(), hidden.list_outputs()],
        "variable": [repr(internals["fc1_weight"]), internals["fc1_weight"].list_outputs()],
        "by number": repr(internals[3]),
        "wrong": raised(lambda: internals["nope_output"], "nope_output"),
        "without suffix": raised(lambda: internals["relu1"], "relu1"),
    }


@scenario
def internals_of_several_outputs(mx: ModuleType) -> Answer:
    parts = mx.sym.split(mx.sym.Variable("a"), num_outputs=2, name="sp")
    return {
        "of all": parts.get_internals().list_outputs(),
        "of one": parts[1].get_internals().list_outputs(),
        "of a use": (parts[1] * 2).get_internals().list_outputs(),
        "of a group": mx.sym.Group([parts[1], parts[0]]).get_internals().list_outputs(),
        "twice": mx.sym.exp(parts[0], name="e").get_internals().get_internals().list_outputs(),
    }


@scenario
def children(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    parts = mx.sym.split(a, num_outputs=2, name="sp")
    layer = mx.sym.FullyConnected(a, num_hidden=2, name="fc")
    return {
        "variable": a.get_children(),
        "overload": (a + a).get_children().list_outputs(),
        "layer": layer.get_children().list_outputs(),
        "layer repr": repr(layer.get_children()),
        "of a part": (parts[1] + a).get_children().list_outputs(),
        "of parts": parts.get_children().list_outputs(),
        "of a group": mx.sym.Group([a + 1, parts]).get_children().list_outputs(),
        "of variables": mx.sym.Group([a, a]).get_children(),
        "creator": mx.sym.zeros((2,)).get_children(),
        "twice": mx.sym.exp(mx.sym.exp(a, name="x")).get_children().get_children().list_outputs(),
    }


@scenario
def group_basics(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    group = mx.sym.Group([a, a + b, mx.sym.exp(b, name="e")])
    return {
        "repr": repr(group),
        "length": len(group),
        "name": group.name,
        "outputs": group.list_outputs(),
        "iteration": [repr(one) for one in group],
        "of one": [repr(mx.sym.Group([a + b])), mx.sym.Group([a + b]).name],
        "of a tuple": repr(mx.sym.Group((a, b))),
    }


@scenario
def group_nesting(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    inner = mx.sym.Group([a, b])
    parts = mx.sym.split(a, num_outputs=2, name="sp")
    return {
        "flat": mx.sym.Group([inner, a + b]).list_outputs(),
        "with parts": mx.sym.Group([parts, inner]).list_outputs(),
        "same twice": mx.sym.Group([a, a]).list_outputs(),
        "repr of parts": repr(mx.sym.Group([parts])),
        "repr of parts and more": repr(mx.sym.Group([parts, a])),
        "name of parts": mx.sym.Group([parts]).name,
    }


@scenario
def group_errors(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "empty": raised(lambda: mx.sym.Group([])),
        "none": raised(lambda: mx.sym.Group(None)),
        "number in it": raised(lambda: mx.sym.Group([a, 1])),
        "string": raised(lambda: mx.sym.Group("ab")),
    }


@scenario
def indexing_by_number(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    group = mx.sym.Group([a, a + b, mx.sym.exp(b, name="e")])
    return {
        "each": [repr(group[position]) for position in range(3)],
        "past the end": raised(lambda: group[3]),
        "far past the end": raised(lambda: group[100]),
        "negative": raised(lambda: group[-1]),
        "float": raised(lambda: group[1.0]),
        "none": raised(lambda: group[None]),
        "tuple": raised(lambda: group[0, 1]),
        "single zero": repr((a + b)[0]),
        "single one": raised(lambda: (a + b)[1]),
        "variable": repr(a[0]),
    }


@scenario
def indexing_by_name(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    group = mx.sym.Group([a, mx.sym.exp(a, name="e"), mx.sym.exp(a, name="e")])
    parts = mx.sym.split(a, num_outputs=2, name="sp")
    return {
        "variable": repr(group["a"]),
        "missing": raised(lambda: group["zz"], "zz"),
        "twice": raised(lambda: group["e_output"], "e_output"),
        "part": parts["sp_output1"].list_outputs(),
        "single": repr(mx.sym.exp(a, name="x")["x_output"]),
    }


@scenario
def indexing_by_slice(mx: ModuleType) -> Answer:
    variables = [mx.sym.Variable(name) for name in "abcde"]
    group = mx.sym.Group(variables)
    return {
        "middle": repr(group[1:3]),
        "from": repr(group[2:]),
        "to": repr(group[:2]),
        "all": repr(group[:]),
        "step": repr(group[::2]),
        "backwards": repr(group[3:0:-1]),
        "of one": repr(group[1:2]),
        "empty": raised(lambda: group[2:2]),
    }


@scenario
def iteration(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    first, second = mx.sym.split(a, num_outputs=2, name="sp")
    return {
        "unpacked": [first.list_outputs(), second.list_outputs()],
        "single": [repr(one) for one in a + a],
        "variable": [repr(one) for one in a],
        "sum of parts": (first + second).list_arguments(),
        "length": [len(a), len(a + a), len(mx.sym.split(a, num_outputs=4))],
    }


@scenario
def name_of(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    parts = mx.sym.split(a, num_outputs=2, name="sp")
    return {
        "variable": a.name,
        "operator": (a + a).name,
        "parts": parts.name,
        "part": parts[1].name,
        "group": mx.sym.Group([a, a + a]).name,
        "group of parts": mx.sym.Group([parts[0], parts[1]]).name,
        "internals": (a + a).get_internals().name,
        "internals of a variable": a.get_internals().name,
    }


@scenario
def composition_by_keyword(mx: ModuleType) -> Answer:
    data = mx.sym.Variable("data")
    first = mx.sym.FullyConnected(data, name="fc1", num_hidden=4)
    second = mx.sym.FullyConnected(name="fc2", num_hidden=2)
    composed = second(fc2_data=first, name="composed")
    return {
        "composed": lists(composed),
        "name": composed.name,
        "old": lists(second),
        "old name": second.name,
        "unnamed": [second(fc2_data=first).name, second(fc2_data=first).list_arguments()],
        "weight too": second(fc2_data=first, fc2_weight=data).list_arguments(),
    }


@scenario
def composition_errors(mx: ModuleType) -> Answer:
    a, b, c = (mx.sym.Variable(name) for name in "abc")
    both = a + b
    return {
        "unknown": raised(lambda: both(zz=c), "zz", "a", "b"),
        "mixed": raised(lambda: both(c, a=c)),
        "positional": raised(lambda: both(c, c)),
        "number": raised(lambda: both(a=1)),
        "positional number": raised(lambda: both(1)),
        "nothing": raised(lambda: both()),
    }


@scenario
def composition_replaces_everywhere(mx: ModuleType) -> Answer:
    a, b, c = (mx.sym.Variable(name) for name in "abc")
    twice = (a + b) * mx.sym.exp(a, name="e")
    composed = twice(a=c)
    group = mx.sym.Group([a + b, a * b])(b=mx.sym.exp(c, name="ec"))
    return {
        "arguments": composed.list_arguments(),
        "internals": composed.get_internals().list_outputs(),
        "original": twice.list_arguments(),
        "group": [group.list_arguments(), group.list_outputs()],
    }


@scenario
def composition_in_place(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    both = mx.sym.exp(a, name="e")
    returned = both._compose(a=b, name="f")
    return [returned, both.name, both.list_arguments()]


@scenario
def debug_texts(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    parts = mx.sym.split(a, num_outputs=2, name="sp")
    layer = mx.sym.FullyConnected(a, num_hidden=4, name="fc", attr={"__mine__": "x"})
    return {
        "variable": a.debug_str(),
        "tutorial": tutorial(mx).debug_str(),
        "layer": layer.debug_str(),
        "parts": parts.debug_str(),
        "part": parts[1].debug_str(),
        "group": mx.sym.Group([parts[1] + 1, a, parts[0]]).debug_str(),
        "creator": (mx.sym.zeros((2, 3), name="z") + a).debug_str(),
        "attribute of a variable": mx.sym.Variable("v", shape=(2,)).debug_str(),
    }


@scenario
def copies(mx: ModuleType) -> Answer:
    symbol = perceptron(mx)
    group = mx.sym.Group([symbol, mx.sym.Variable("v")])
    made = {
        "copy": copy.copy(symbol),
        "deepcopy": copy.deepcopy(symbol),
        "pickle": pickle.loads(pickle.dumps(symbol)),
        "group deepcopy": copy.deepcopy(group),
        "group pickle": pickle.loads(pickle.dumps(group)),
    }
    return {label: [repr(one), lists(one)] for label, one in made.items()}


@scenario
def a_copy_has_attributes_of_its_own(mx: ModuleType) -> Answer:
    answers = {}
    for label, duplicate in {"copy": copy.copy, "deepcopy": copy.deepcopy}.items():
        a = mx.sym.Variable("a")
        other = duplicate(a)
        other._set_attr(mine="1")
        answers[label] = [a.attr("mine"), other.attr("mine")]
    return answers


@scenario
def a_symbol_is_no_truth_value(mx: ModuleType) -> Answer:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    return {
        "bool": raised(lambda: bool(a)),
        "if comparison": raised(lambda: 1 if a == b else 0),
        "not": raised(lambda: not a),
        "in list": raised(lambda: b in [a, b]),
        "in list itself first": (a in [a, b]),
    }


@scenario
def a_symbol_is_not_hashable(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "hash": raised(lambda: hash(a)),
        "set": raised(lambda: {a}),
        "key": raised(lambda: {a: 1}),
    }


@scenario
def in_place_operators(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")

    def add() -> None:
        x = a
        x += a

    def subtract() -> None:
        x = a
        x -= 1

    def multiply() -> None:
        x = a
        x *= 2

    def divide() -> None:
        x = a
        x /= 2

    return {
        "+=": raised(add),
        "-=": raised(subtract),
        "*=": raised(multiply),
        "/=": raised(divide),
    }


@scenario
def other_in_place_operators(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    remainder, power = a, a
    remainder %= 2
    power **= 2
    return [node(remainder), node(power)]


@scenario
def methods_for_arrays_only(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    names = ["wait_to_read", "asnumpy", "asscalar", "copy", "as_in_context", "detach", "backward"]
    return {name: raised(getattr(a, name), name) for name in names}


@scenario
def a_symbol_takes_no_new_attributes(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return {
        "new": raised(lambda: setattr(a, "something", 1)),
        "name": raised(lambda: setattr(a, "name", "b")),
        "missing": raised(lambda: a.something),
    }


@scenario
def conversions_of_symbols(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    return outcomes(
        {
            "str": lambda: str(a + a),
            "format": lambda: f"{a}",
            "float": lambda: float(a),
            "int": lambda: int(a),
        }
    )


@scenario
def class_of_symbols(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    made = [a, a + a, mx.sym.Group([a]), a.get_internals(), mx.sym.exp(a)[0]]
    return {
        "name": [type(one).__name__ for one in made],
        "is Symbol": [isinstance(one, mx.sym.Symbol) for one in made],
        "one class": mx.symbol.Symbol is mx.sym.Symbol,
        "one module": mx.symbol is mx.sym,
    }
