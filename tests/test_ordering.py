"""Sorting, borders, blocks, diagonals and parts, against answers that MXNet 1.9.1 gave."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tritonsym as mx
from tritonsym.graph.frontend import FLUENT

NAN = float("nan")
TABLE = [[3, 1, 3, 3], [2, 9, 2, NAN]]
IMAGE = np.arange(16).reshape(1, 1, 4, 4).tolist()
DEPTH = [[[[0, 2], [8, 10]], [[1, 3], [9, 11]], [[4, 6], [12, 14]], [[5, 7], [13, 15]]]]

# Operator, parameters, input and what MXNet answers.
ANSWERS: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("argsort", {}, TABLE, [[1, 0, 2, 3], [0, 2, 1, 3]]),
    ("argsort", {"is_ascend": False}, TABLE, [[0, 2, 3, 1], [1, 0, 2, 3]]),
    ("argsort", {"axis": None}, TABLE, [1, 4, 6, 0, 2, 3, 5, 7]),
    ("sort", {}, TABLE, [[1, 3, 3, 3], [2, 2, 9, NAN]]),
    ("sort", {"axis": None}, TABLE, [1, 2, 2, 3, 3, 3, 9, NAN]),
    ("topk", {"k": 2}, TABLE, [[0, 2], [1, 0]]),
    ("topk", {"k": 2, "ret_typ": "value"}, TABLE, [[3, 3], [9, 2]]),
    ("topk", {"k": 2, "ret_typ": "mask"}, TABLE, [[1, 0, 1, 0], [1, 1, 0, 0]]),
    ("topk", {"axis": None, "k": 3}, TABLE, [5, 0, 2]),
    ("topk", {"k": 0}, TABLE, [[0, 2, 3, 1], [1, 0, 2, 3]]),
    ("diag", {"k": 1}, [1, 2], [[0, 1, 0], [0, 0, 2], [0, 0, 0]]),
    ("diag", {"k": -1}, [[0, 1, 2], [3, 4, 5]], [3]),
    (
        "diag",
        {"axis1": 0, "axis2": 2},
        np.arange(12).reshape(2, 2, 3).tolist(),
        [[0, 7], [3, 10]],
    ),
    ("space_to_depth", {"block_size": 2}, IMAGE, DEPTH),
    ("depth_to_space", {"block_size": 2}, DEPTH, IMAGE),
    ("shape_array", {}, IMAGE, [1, 1, 4, 4]),
    ("size_array", {}, IMAGE, [16]),
]


@pytest.mark.parametrize(("name", "parameters", "given", "due"), ANSWERS)
def test_answers_are_those_of_mxnet(
    name: str, parameters: dict[str, Any], given: Any, due: Any, context: mx.Context
) -> None:
    graph = getattr(mx.sym, name)(mx.sym.Variable("a"), **parameters)
    found = graph.eval(context, a=mx.nd.array(given, context))[0].asnumpy()
    np.testing.assert_array_equal(found, np.array(due, found.dtype))


@pytest.mark.parametrize(
    ("mode", "numpy_mode"), [("constant", "constant"), ("edge", "edge"), ("reflect", "reflect")]
)
def test_borders_are_those_of_numpy(mode: str, numpy_mode: Any, context: mx.Context) -> None:
    rows = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    array = mx.nd.array(rows, context)
    found = array.pad(mode=mode, pad_width=(0, 0, 0, 0, 1, 2, 0, 3)).asnumpy()
    np.testing.assert_array_equal(found, np.pad(rows, ((0, 0), (0, 0), (1, 2), (0, 3)), numpy_mode))


def test_both_of_topk(context: mx.Context) -> None:
    values, places = mx.nd.array([[1, 5, 2]], context).topk(k=2, ret_typ="both")
    assert values.asnumpy().tolist() == [[5, 2]] and places.asnumpy().tolist() == [[1, 2]]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "float16", "float64"])
def test_sorting_downwards(dtype: str, context: mx.Context) -> None:
    lowest = 0 if dtype == "uint8" else -128
    array = mx.nd.array([3, lowest, 127, 3, 0], context, dtype)
    assert array.sort(is_ascend=False).asnumpy().tolist() == [127, 3, 3, *sorted([0, lowest])[::-1]]


def test_parts(context: mx.Context) -> None:
    array = mx.nd.array([[1, 2, 3, 4]], context)
    assert [part.asnumpy().tolist() for part in array.split_v2((1, 3), axis=1)] == [
        [[1]],
        [[2, 3]],
        [[4]],
    ]
    assert [part.shape for part in mx.nd.split_v2(array, 2, axis=1)] == [(1, 2), (1, 2)]
    with mx.name.NameManager():
        symbol = mx.sym.Variable("a").split_v2((1, 3), axis=1)
    stored = {"axis": "1", "indices": "[0, 1, 3]", "sections": "0", "squeeze_axis": "False"}
    assert symbol.attr_dict() == {"_split_v20": stored}


@pytest.mark.parametrize("name", FLUENT)
def test_every_fluent_method_makes_a_node(name: str) -> None:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    arguments: dict[str, tuple[Any, ...]] = {
        "astype": ("float16",),
        "broadcast_like": (b,),
        "clip": (0, 1),
        "depth_to_space": (2,),
        "expand_dims": (0,),
        "one_hot": (3,),
        "pad": ("edge", (0, 0)),
        "pick": (b,),
        "repeat": (2,),
        "reshape_like": (b,),
        "flip": (0,),
        "slice": ((0,), (1,)),
        "slice_axis": (0, 0, 1),
        "slice_like": (b,),
        "space_to_depth": (2,),
        "split": (2,),
        "split_v2": (2,),
        "take": (b,),
        "tile": ((2,),),
    }
    node = getattr(a, name)(*arguments.get(name, ()))
    assert node.get_children()[0].name == "a"


@pytest.mark.parametrize("operator", [mx.sym.sort, partial(mx.sym.topk, ret_typ="value")])
def test_hidden_positions_are_whole_numbers(operator: Callable[..., mx.Symbol]) -> None:
    """A file can name them as an output."""
    graph = json.loads(operator(mx.sym.Variable("x"), name="o").tojson())
    graph["heads"] = [[1, 1, 0]]
    loaded = mx.sym.load_json(json.dumps(graph))
    assert loaded.infer_type(x="float16")[1] == [np.int32]
    (found,) = loaded.eval(x=mx.nd.array([[3, 1, 2]]))
    assert found.dtype is np.int32 and found.asnumpy()[0, 0] == (
        1 if operator is mx.sym.sort else 0
    )
