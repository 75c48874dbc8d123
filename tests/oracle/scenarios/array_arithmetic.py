"""Arithmetic and comparison of NDArrays with each other and with numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from oracle.scenario import Answer, outcome, outcomes, plain, raised, scenario

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
    "**": operator.pow,
}
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
IN_PLACE: dict[str, Callable[[Any, Any], Any]] = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "%=": operator.imod,
}


def each(table: dict[str, Callable[[Any, Any], Any]], left: Any, right: Any) -> Answer:
    """The outcome of every operator of a table for one pair of operands."""
    return {sign: outcome(lambda call=call: call(left, right)) for sign, call in table.items()}


@scenario
def arrays_and_arrays(mx: ModuleType) -> Answer:
    return each(ARITHMETIC, mx.nd.array([8, -3, 2]), mx.nd.array([2, 2, 4]))


@scenario
def arrays_and_numbers(mx: ModuleType) -> Answer:
    x = mx.nd.array([8, -3, 2])
    return {
        "int": each(ARITHMETIC, x, 2),
        "float": each(ARITHMETIC, x, 0.5),
        "numpy": each(ARITHMETIC, x, np.float32(2)),
    }


@scenario
def numbers_and_arrays(mx: ModuleType) -> Answer:
    return each(ARITHMETIC, 2, mx.nd.array([8, -3, 2]))


@scenario
def numpy_numbers_and_arrays(mx: ModuleType) -> Answer:
    x = mx.nd.array([8, -4, 2])
    return {"+": np.float32(2) + x, "-": np.float64(2) - x, "*": np.int64(2) * x}


@scenario
def comparisons(mx: ModuleType) -> Answer:
    x, y = mx.nd.array([1, 2, 3]), mx.nd.array([3, 2, 1])
    return {
        "arrays": each(COMPARISONS, x, y),
        "number": each(COMPARISONS, x, 2),
        "number first": each(COMPARISONS, 2, x),
        "ints": each(COMPARISONS, x.astype("int32"), y.astype("int32")),
        "int array, fraction": each(COMPARISONS, x.astype("int32"), 1.5),
    }


@scenario
def whole_numbers(mx: ModuleType) -> Answer:
    x = mx.nd.array([7, -7, 8, 0], dtype="int32")
    return {
        "arrays": each(ARITHMETIC, x, mx.nd.array([2, 2, -3, 5], dtype="int32")),
        "number": each(ARITHMETIC, x, 2),
        "number first": each(ARITHMETIC, 7, mx.nd.array([2, 3, 4], dtype="int32")),
        "negative modulo": x % 3,
        "array by array modulo": x % mx.nd.array([3, 3, 3, 3], dtype="int32"),
    }


@scenario
def whole_numbers_and_fractions(mx: ModuleType) -> Answer:
    x = mx.nd.array([7, -7, 3], dtype="int32")
    calls = {
        "+ 1.5": lambda: x + 1.5,
        "- 1.5": lambda: x - 1.5,
        "* 1.5": lambda: x * 1.5,
        "/ 1.5": lambda: x / 1.5,
        "1.5 -": lambda: 1.5 - x,
        "+ -1.5": lambda: x + -1.5,
    }
    return outcomes(calls)


@scenario
def other_dtypes(mx: ModuleType) -> Answer:
    answers = {}
    for dtype in ("float64", "float16", "int64", "uint8", "int8"):
        x = mx.nd.array([8, 4, 2], dtype=dtype)
        answers[dtype] = {
            sign: outcome(lambda call=call, x=x: [plain(call(x, x)), plain(call(x, 2))])
            for sign, call in ARITHMETIC.items()
            if sign in "+-*/"
        }
    return answers


@scenario
def overflow(mx: ModuleType) -> Answer:
    return {
        "uint8": mx.nd.array([250], dtype="uint8") + mx.nd.array([10], dtype="uint8"),
        "uint8 below zero": mx.nd.array([1], dtype="uint8") - mx.nd.array([2], dtype="uint8"),
        "int8": mx.nd.array([127], dtype="int8") + mx.nd.array([1], dtype="int8"),
        "float16": mx.nd.array([60000], dtype="float16") * 2,
        "float32": mx.nd.array([3e38]) * 10,
    }


@scenario
def special_numbers(mx: ModuleType) -> Answer:
    x = mx.nd.array([1, -1, 0])
    return {
        "by zero": x / 0,
        "by array of zeros": x / mx.nd.zeros((3,)),
        "modulo zero": x % 0,
        "infinity": x * float("inf"),
        "nan": x + float("nan"),
        "nan equals": mx.nd.array([float("nan")]) == mx.nd.array([float("nan")]),
        "negative zero": mx.nd.array([0]) * -1,
    }


@scenario
def broadcasting(mx: ModuleType) -> Answer:
    x = mx.nd.array([[1, 2, 3], [4, 5, 6]])
    return {
        "row": x + mx.nd.array([[10, 20, 30]]),
        "column": x * mx.nd.array([[1], [10]]),
        "vector": outcome(lambda: x + mx.nd.array([10, 20, 30])),
        "one": x - mx.nd.array([1]),
        "both": mx.nd.array([[1], [2]]) + mx.nd.array([[10, 20]]),
        "comparison": x > mx.nd.array([[2], [5]]),
        "wrong": raised(lambda: x + mx.nd.array([1, 2])),
        "in place": outcome(lambda: operator.iadd(x.copy(), mx.nd.array([[10, 20, 30]]))),
        "in place too large": raised(
            lambda: operator.iadd(mx.nd.array([[1, 2, 3]]), mx.nd.ones((2, 3)))
        ),
    }


@scenario
def in_place(mx: ModuleType) -> Answer:
    answers = {}
    for sign, call in IN_PLACE.items():
        x = mx.nd.array([8, -3, 2])
        alias = x
        returned = call(x, mx.nd.array([2, 2, 4]))
        second = mx.nd.array([8, -3, 2])
        call(second, 2)
        answers[sign] = [plain(alias), returned is alias, plain(second)]
    return answers


@scenario
def in_place_of_views(mx: ModuleType) -> Answer:
    x = mx.nd.zeros((2, 3))
    x[1] += 5
    x[:, 0] -= 1
    x[0, 1] *= 2
    row = x[0]
    row += 10
    return x


@scenario
def in_place_of_whole_numbers(mx: ModuleType) -> Answer:
    answers = {}
    for sign, call in IN_PLACE.items():
        x = mx.nd.array([7, -7, 3], dtype="int32")
        answers[sign] = outcome(lambda call=call, x=x: call(x, 2))
    return answers


@scenario
def with_one_operand(mx: ModuleType) -> Answer:
    x = mx.nd.array([1, -2, 0])
    integers = mx.nd.array([1, -2, 0], dtype="int32")
    return {
        "negative": -x,
        "absolute": abs(x),
        "negative int": -integers,
        "absolute int": abs(integers),
        "positive": outcome(lambda: +x),
        "invert": raised(lambda: ~x),
    }


@scenario
def mixed_dtypes(mx: ModuleType) -> Answer:
    x, y = mx.nd.ones((2,)), mx.nd.ones((2,), dtype="int32")
    return {
        "+": raised(lambda: x + y),
        "*": raised(lambda: y * x),
        "float64": raised(lambda: x - mx.nd.ones((2,), dtype="float64")),
        "float16": raised(lambda: x / mx.nd.ones((2,), dtype="float16")),
        "==": raised(lambda: x == y),
    }


@scenario
def other_operands(mx: ModuleType) -> Answer:
    x = mx.nd.ones((2,))
    return {
        "numpy": raised(lambda: x + np.ones(2)),
        "numpy first": raised(lambda: np.ones(2) + x),
        "list": raised(lambda: operator.add(x, [1, 2])),
        "none": raised(lambda: x * None),
        "text": raised(lambda: x + "x"),
        "symbol": raised(lambda: x + mx.sym.Variable("a")),
        "matrix product": raised(lambda: x @ x),
    }


@scenario
def module_functions(mx: ModuleType) -> Answer:
    nd = mx.nd
    x, y = nd.array([1, 5, 3]), nd.array([4, 2, 3])
    names = [
        "add", "subtract", "multiply", "divide", "modulo", "power", "maximum", "minimum",
        "equal", "not_equal", "greater", "greater_equal", "lesser", "lesser_equal",
    ]  # fmt: skip
    answers = {}
    for name in names:
        call = getattr(nd, name)
        answers[name] = outcomes(
            {
                "arrays": partial(call, x, y),
                "array and number": partial(call, x, 2),
                "number and array": partial(call, 2, x),
                "numbers": partial(call, 4, 2),
            }
        )
    return answers
