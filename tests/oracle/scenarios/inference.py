"""Shape and dtype inference: forwards, backwards, unknown, partial, in conflict."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from oracle.scenario import Answer, register, scenario, warned


def shapes(symbol: Any, /, **known: Any) -> Answer:
    """Full inference, and which arguments the warning names."""
    return warned(lambda: symbol.infer_shape(**known), symbol.list_arguments())


def partial_shapes(symbol: Any, /, **known: Any) -> Answer:
    """Inference as far as it goes."""
    return warned(lambda: symbol.infer_shape_partial(**known))


def dtypes(symbol: Any, /, **known: Any) -> Answer:
    """Full inference of dtypes."""
    return warned(lambda: symbol.infer_type(**known), symbol.list_arguments())


def partial_dtypes(symbol: Any, /, **known: Any) -> Answer:
    """Inference of dtypes as far as it goes."""
    return warned(lambda: symbol.infer_type_partial(**known))


def with_a_and_b(program: Callable[[ModuleType, Any, Any], Answer]) -> None:
    """Register a scenario that starts from two variables."""

    def run(mx: ModuleType) -> Answer:
        return program(mx, mx.sym.Variable("a"), mx.sym.Variable("b"))

    register(f"inference.{program.__name__}", run)


@with_a_and_b
def shape_of_a_sum(mx: ModuleType, a: Any, b: Any) -> Answer:
    return {
        "both": shapes(a + b, a=(2, 3), b=(2, 3)),
        "left": shapes(a + b, a=(2, 3)),
        "right": shapes(a + b, b=(4,)),
        "halves": shapes(a + b, a=(0, 3), b=(2, 0)),
        "zero": shapes(a + b, a=(0, 3)),
        "nothing": shapes(a + b),
        "empty": shapes(a + b, a=()),
        "minus one": shapes(a + b, a=(2, -1), b=(2, 3)),
        "numpy ints": shapes(a + b, a=(np.int64(2), np.int32(3))),
    }


@with_a_and_b
def shape_partial_of_a_sum(mx: ModuleType, a: Any, b: Any) -> Answer:
    return {
        "zero": partial_shapes(a + b, a=(0, 3)),
        "halves": partial_shapes(a + b, a=(0, 3, 0), b=(2, 0, 0)),
        "nothing": partial_shapes(a + b),
        "all": partial_shapes(a + b, a=(2, 3)),
    }


@with_a_and_b
def shape_errors(mx: ModuleType, a: Any, b: Any) -> Answer:
    both = mx.sym.elemwise_add(a, b, name="both")
    return {
        "sizes": shapes(both, a=(2, 3), b=(2, 4)),
        "ranks": shapes(both, a=(2, 3), b=(2,)),
        "broadcast": shapes(both, a=(2, 3), b=(1, 3)),
        "partial": partial_shapes(both, a=(2, 3), b=(2, 4)),
        "unknown keyword": shapes(both, zz=(1,)),
        "list": shapes(both, a=[2, 3]),
        "number": shapes(both, a=5),
        "none": shapes(both, a=None),
        "float": shapes(both, a=(2.0, 3)),
        "text": shapes(both, a="23"),
        "mixed": warned(lambda: both.infer_shape((2, 3), b=(2, 3))),
    }


@with_a_and_b
def shape_through_chains(mx: ModuleType, a: Any, b: Any) -> Answer:
    chain = mx.sym.relu(mx.sym.exp(a) + b * 2) - 1
    return {
        "down": shapes(chain, a=(2, 3)),
        "up": shapes(chain, b=(2, 3)),
        "partial": partial_shapes(chain, b=(2, 0)),
        "two halves": shapes(chain, a=(0, 3), b=(2, 0)),
        "group": shapes(mx.sym.Group([a, a + b, mx.sym.sum(b)]), b=(2, 3)),
        "internals": shapes((a * b + a).get_internals(), a=(2,)),
        "comparison": shapes(a > b, b=(2, 3)),
    }


@with_a_and_b
def shape_of_variables(mx: ModuleType, a: Any, b: Any) -> Answer:
    known = mx.sym.Variable("q", shape=(2, 3))
    half = mx.sym.Variable("q", shape=(0, 3))
    return {
        "alone": shapes(a, a=(3,)),
        "alone unknown": shapes(a),
        "alone partial": partial_shapes(a),
        "declared": shapes(known),
        "declared and used": shapes(known + a),
        "declared and overridden": shapes(known + a, q=(2, 4)),
        "half declared": shapes(half + a, a=(2, 0)),
        "half declared only": partial_shapes(half + a),
        "declared against graph": shapes(known + a, a=(5, 5)),
    }


@with_a_and_b
def shape_of_a_layer(mx: ModuleType, a: Any, b: Any) -> Answer:
    layer = mx.sym.FullyConnected(a, num_hidden=10, name="fc1")
    kept = mx.sym.FullyConnected(a, num_hidden=10, name="fc2", flatten=False)
    bare = mx.sym.FullyConnected(a, num_hidden=10, name="fc3", no_bias=True)
    return {
        "data": shapes(layer, a=(4, 5)),
        "data of rank 4": shapes(layer, a=(4, 5, 6, 7)),
        "batch unknown": partial_shapes(layer, a=(0, 100)),
        "batch unknown of rank 3": partial_shapes(layer, a=(0, 5, 6)),
        "unflattened": shapes(kept, a=(4, 5, 6)),
        "unflattened unknown": partial_shapes(kept, a=(0, 5, 6)),
        "without bias": shapes(bare, a=(4, 5)),
        "wrong weight": shapes(layer, a=(4, 5), fc1_weight=(10, 6)),
        "wrong bias": shapes(layer, a=(4, 5), fc1_bias=(9,)),
        "batch from the output": shapes(layer + b, a=(0, 5), b=(7, 10)),
    }


@with_a_and_b
def shape_of_two_layers(mx: ModuleType, a: Any, b: Any) -> Answer:
    first = mx.sym.FullyConnected(a, num_hidden=8, name="f1")
    second = mx.sym.FullyConnected(mx.sym.relu(first), num_hidden=3, name="f2")
    return {
        "data": shapes(second, a=(5, 4)),
        "batch unknown": partial_shapes(second, a=(0, 4)),
        "internals": partial_shapes(second.get_internals(), a=(5, 4)),
    }


@with_a_and_b
def shape_of_concat(mx: ModuleType, a: Any, b: Any) -> Answer:
    rows = mx.sym.Concat(a, b, dim=0)
    columns = mx.sym.Concat(a, b, dim=1)
    return {
        "rows": shapes(rows, a=(2, 3), b=(4, 3)),
        "columns": shapes(columns, a=(2, 3), b=(2, 5)),
        "last": shapes(mx.sym.Concat(a, b, dim=-1), a=(2, 3), b=(2, 5)),
        "mismatch": shapes(rows, a=(2, 3), b=(4, 5)),
        "across": partial_shapes(rows, a=(0, 3), b=(4, 0)),
    }


@with_a_and_b
def shape_of_split(mx: ModuleType, a: Any, b: Any) -> Answer:
    return {
        "three": shapes(mx.sym.split(a, num_outputs=3), a=(2, 6)),
        "axis 0": shapes(mx.sym.split(a, num_outputs=2, axis=0), a=(2, 6)),
        "squeezed": shapes(mx.sym.split(a, num_outputs=6, squeeze_axis=True), a=(2, 6)),
        "uneven": shapes(mx.sym.split(a, num_outputs=4), a=(2, 6)),
        "batch unknown": partial_shapes(mx.sym.split(a, num_outputs=3), a=(0, 6)),
    }


@with_a_and_b
def shape_of_reductions(mx: ModuleType, a: Any, b: Any) -> Answer:
    return {
        "all": shapes(mx.sym.sum(a), a=(2, 3)),
        "axis": shapes(mx.sym.sum(a, axis=1), a=(2, 3, 4)),
        "negative axis": shapes(mx.sym.max(a, axis=-1), a=(2, 3, 4)),
        "two axes": shapes(mx.sym.mean(a, axis=(0, 2)), a=(2, 3, 4)),
        "keepdims": shapes(mx.sym.min(a, axis=1, keepdims=True), a=(2, 3, 4)),
        "all keepdims": shapes(mx.sym.prod(a, keepdims=True), a=(2, 3)),
        "exclude": shapes(mx.sym.sum(a, axis=1, exclude=True), a=(2, 3, 4)),
        "argmax": shapes(mx.sym.argmax(a, axis=1), a=(2, 3)),
        "argmax all": shapes(mx.sym.argmax(a), a=(2, 3)),
        "bad axis": shapes(mx.sym.sum(a, axis=5), a=(2, 3)),
        "norm": shapes(mx.sym.norm(a), a=(2, 3)),
        "unknown": partial_shapes(mx.sym.sum(a)),
        "unknown batch": partial_shapes(mx.sym.sum(a, axis=1), a=(0, 3)),
    }


@with_a_and_b
def shape_of_rearrangements(mx: ModuleType, a: Any, b: Any) -> Answer:
    return {
        "reshape": shapes(mx.sym.reshape(a, shape=(3, -1)), a=(2, 6)),
        "reshape codes": shapes(mx.sym.reshape(a, shape=(0, -3, -2)), a=(2, 3, 4, 5)),
        "reshape split": shapes(mx.sym.reshape(a, shape=(-4, 1, -1, -2)), a=(2, 3)),
        "reshape reverse": shapes(mx.sym.reshape(a, shape=(0, -1), reverse=True), a=(2, 3, 4)),
        "transpose": shapes(mx.sym.transpose(a), a=(2, 3, 4)),
        "transpose axes": shapes(mx.sym.transpose(a, axes=(1, 0, 2)), a=(2, 3, 4)),
        "transpose unknown": partial_shapes(mx.sym.transpose(a), a=(0, 3)),
        "flatten": shapes(mx.sym.Flatten(a), a=(2, 3, 4)),
        "expand_dims": shapes(mx.sym.expand_dims(a, axis=1), a=(2, 3)),
        "expand_dims last": shapes(mx.sym.expand_dims(a, axis=-1), a=(2, 3)),
        "squeeze": shapes(mx.sym.squeeze(a), a=(1, 3, 1)),
        "swapaxes": shapes(mx.sym.swapaxes(a, dim1=0, dim2=2), a=(2, 3, 4)),
        "tile": shapes(mx.sym.tile(a, reps=(2, 2)), a=(2, 3)),
        "repeat": shapes(mx.sym.repeat(a, repeats=2, axis=1), a=(2, 3)),
        "stack": shapes(mx.sym.stack(a, b, axis=1), a=(2, 3), b=(2, 3)),
        "slice": shapes(mx.sym.slice(a, begin=(0, 1), end=(2, None)), a=(4, 5)),
        "slice_axis": shapes(mx.sym.slice_axis(a, axis=1, begin=1, end=-1), a=(4, 5)),
        "reverse": shapes(mx.sym.reverse(a, axis=0), a=(4, 5)),
    }


@with_a_and_b
def shape_of_broadcasts(mx: ModuleType, a: Any, b: Any) -> Answer:
    return {
        "same": shapes(mx.sym.broadcast_add(a, b), a=(2, 3), b=(2, 3)),
        "ones": shapes(mx.sym.broadcast_mul(a, b), a=(2, 1), b=(1, 3)),
        "ranks": shapes(mx.sym.broadcast_sub(a, b), a=(2, 3), b=(3,)),
        "wrong": shapes(mx.sym.broadcast_add(a, b), a=(2, 3), b=(4,)),
        "one unknown": partial_shapes(mx.sym.broadcast_add(a, b), a=(2, 3)),
        "to": shapes(mx.sym.broadcast_to(a, shape=(2, 3)), a=(1, 3)),
        "to with zero": shapes(mx.sym.broadcast_to(a, shape=(2, 0)), a=(1, 3)),
        "to wrong": shapes(mx.sym.broadcast_to(a, shape=(2, 4)), a=(1, 3)),
        "axis": shapes(mx.sym.broadcast_axis(a, axis=0, size=5), a=(1, 3)),
        "like": shapes(mx.sym.broadcast_like(a, b), a=(1, 3), b=(2, 3)),
    }


@with_a_and_b
def shape_of_products(mx: ModuleType, a: Any, b: Any) -> Answer:
    return {
        "matrices": shapes(mx.sym.dot(a, b), a=(2, 3), b=(3, 4)),
        "transposed": shapes(mx.sym.dot(a, b, transpose_a=True), a=(3, 2), b=(3, 4)),
        "vectors": shapes(mx.sym.dot(a, b), a=(3,), b=(3,)),
        "rank 3": shapes(mx.sym.dot(a, b), a=(2, 3, 4), b=(4, 5)),
        "mismatch": shapes(mx.sym.dot(a, b), a=(2, 3), b=(4, 5)),
        "one unknown": partial_shapes(mx.sym.dot(a, b), a=(2, 3)),
        "batch": shapes(mx.sym.batch_dot(a, b), a=(7, 2, 3), b=(7, 3, 4)),
        "batch transposed": shapes(
            mx.sym.batch_dot(a, b, transpose_b=True), a=(7, 2, 3), b=(7, 4, 3)
        ),
    }


@with_a_and_b
def shape_of_indexing(mx: ModuleType, a: Any, b: Any) -> Answer:
    embedding = mx.sym.Embedding(a, input_dim=5, output_dim=3, name="e")
    return {
        "embedding": shapes(embedding, a=(2, 4)),
        "take": shapes(mx.sym.take(a, b), a=(5, 3), b=(2, 2)),
        "take axis": shapes(mx.sym.take(a, b, axis=1), a=(5, 3), b=(2,)),
        "pick": shapes(mx.sym.pick(a, b, axis=1), a=(5, 3), b=(5,)),
        "one_hot": shapes(mx.sym.one_hot(a, depth=4), a=(2, 3)),
        "where": shapes(mx.sym.where(a, b, b), a=(2, 3), b=(2, 3)),
    }


@with_a_and_b
def shape_of_creators(mx: ModuleType, a: Any, b: Any) -> Answer:
    return {
        "zeros": shapes(mx.sym.zeros((2, 3))),
        "zeros with unknown": shapes(mx.sym.zeros((0, 3)) + a, a=(2, 3)),
        "zeros decides": shapes(mx.sym.zeros((2, 3)) + a),
        "ones number": shapes(mx.sym.ones(3)),
        "arange": shapes(mx.sym.arange(2, 9, 2)),
        "arange repeat": shapes(mx.sym.arange(0, 3, repeat=2)),
        "zeros_like": shapes(mx.sym.zeros_like(a), a=(2, 3)),
        "ones_like backwards": shapes(mx.sym.ones_like(a) + b, b=(2, 3)),
        "uniform": shapes(mx.sym.random.uniform(shape=(4, 5))),
    }


@with_a_and_b
def dtype_of_a_sum(mx: ModuleType, a: Any, b: Any) -> Answer:
    return {
        "left": dtypes(a + b, a=np.float16),
        "right": dtypes(a + b, b="int32"),
        "numpy dtype": dtypes(a + b, a=np.dtype("int64")),
        "nothing": dtypes(a + b),
        "nothing partial": partial_dtypes(a + b),
        "python float": dtypes(a + b, a=float),
        "conflict": dtypes(a + b, a="float32", b="float64"),
        "unknown keyword": dtypes(a + b, zz="float32"),
        "unknown name": dtypes(a + b, a="nope"),
        "mixed": warned(lambda: (a + b).infer_type("float32", b="float32")),
        "all dtypes": [
            dtypes(a * 2, a=one)["value"]
            for one in ("float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool")
        ],
    }


@with_a_and_b
def dtype_of_variables(mx: ModuleType, a: Any, b: Any) -> Answer:
    declared = mx.sym.Variable("q", dtype="float64")
    return {
        "declared": dtypes(declared),
        "declared and used": dtypes(declared + a),
        "overridden": dtypes(declared, q="float32"),
        "against graph": dtypes(declared + a, a="float16"),
        "alone": dtypes(a),
    }


@with_a_and_b
def dtype_of_operators(mx: ModuleType, a: Any, b: Any) -> Answer:
    layer = mx.sym.FullyConnected(a, num_hidden=3, name="fc")
    return {
        "layer": dtypes(layer, a="float16"),
        "layer by bias": dtypes(layer, fc_bias="float64"),
        "layer unknown": dtypes(layer),
        "cast": dtypes(mx.sym.Cast(a, dtype="float16"), a="int32"),
        "cast unknown": dtypes(mx.sym.Cast(a, dtype="float16")),
        "cast unknown partial": partial_dtypes(mx.sym.Cast(a, dtype="float16")),
        "comparison": dtypes(a > b, a="int32"),
        "scalar comparison": dtypes(a > 1, a="float64"),
        "sum": dtypes(mx.sym.sum(a), a="int32"),
        "mean": dtypes(mx.sym.mean(a), a="float16"),
        "argmax": dtypes(mx.sym.argmax(a), a="float64"),
        "one_hot": dtypes(mx.sym.one_hot(a, depth=3), a="int32"),
        "one_hot int": dtypes(mx.sym.one_hot(a, depth=3, dtype="int8"), a="float32"),
        "embedding": dtypes(mx.sym.Embedding(a, input_dim=5, output_dim=3, name="e"), a="float32"),
        "take": dtypes(mx.sym.take(a, b), a="float16", b="int32"),
        "where": dtypes(mx.sym.where(a, b, b), a="int32", b="float16"),
        "dot": dtypes(mx.sym.dot(a, b), a="float64"),
        "concat": dtypes(mx.sym.Concat(a, b, dim=0), b="int8"),
        "concat conflict": dtypes(mx.sym.Concat(a, b, dim=0), a="int32", b="int8"),
        "zeros": dtypes(mx.sym.zeros((2,))),
        "zeros decides": dtypes(mx.sym.zeros((2,), dtype="float64") + a),
        "arange": dtypes(mx.sym.arange(3, dtype="int32")),
        "uniform": dtypes(mx.sym.random.uniform(shape=(2,))),
        "group": dtypes(mx.sym.Group([a, mx.sym.Cast(b, dtype="int32")]), a="int8", b="int64"),
    }


@scenario
def same_name_twice(mx: ModuleType) -> Answer:
    both = mx.sym.Variable("x") * mx.sym.Variable("x")
    return {"shape": shapes(both, x=(2, 3)), "type": dtypes(both, x="float32")}


@scenario
def shapes_with_gaps(mx: ModuleType) -> Answer:
    declared = mx.sym.Variable("x", shape=(3, 2)) * 2
    open_one = mx.sym.Variable("x", shape=(0, 2)) * 2
    a, b, c = (mx.sym.Variable(name) for name in "abc")
    softmax = mx.sym.SoftmaxOutput
    gemm = mx.sym.linalg_gemm
    return {
        "declared": shapes(declared, x=(0, 2)),
        "declared, nothing known": partial_shapes(declared, x=(0, 0)),
        "declared otherwise": shapes(declared, x=(0, 3)),
        "declared, all known": shapes(declared, x=(4, 2)),
        "declared with gaps": partial_shapes(open_one, x=(5, 0)),
        "label": shapes(softmax(a, b), a=(2, 5), b=(0,)),
        "label of rows": shapes(softmax(a, b, preserve_shape=True), a=(2, 4, 5), b=(0, 0)),
        "picked": shapes(mx.sym.pick(a, b, axis=1), a=(2, 5), b=(0,)),
        "picked, kept": shapes(mx.sym.pick(a, b, axis=1, keepdims=True), a=(2, 5), b=(0, 1)),
        "reshaped": partial_shapes(mx.sym.reshape(a, shape=(0, -1)) + b, a=(0, 2, 5), b=(3, 10)),
        "reshaped, joined": partial_shapes(
            mx.sym.reshape(a, shape=(-3, 0)) + b, a=(0, 2, 10), b=(6, 10)
        ),
        "reshaped, two gaps": partial_shapes(
            mx.sym.reshape(a, shape=(-1, 5)) + b, a=(0, 0, 5), b=(3, 5)
        ),
        "added": shapes(gemm(a, b, c), a=(2, 3), b=(3, 4)),
        "added, turned": shapes(gemm(a, b, c, transpose_a=True), a=(7, 3, 2), b=(7, 3, 4)),
        "added, both turned": shapes(
            gemm(a, b, c, transpose_a=True, transpose_b=True, axis=0), a=(3, 7, 2), b=(4, 7, 3)
        ),
    }
