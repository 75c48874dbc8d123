"""Reshapes keep nothing apart that is computed in one order, and move no value."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, note, settings

import tritonsym as mx
from graphs import Example, examples
from tritonsym.expressions.expr import Expr
from tritonsym.expressions.philox import RandomState
from tritonsym.expressions.reference import run
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import as_dtype
from tritonsym.graph.infer import infer_shapes
from tritonsym.graph.node import toposort as toposort_nodes
from tritonsym.graph.trace import trace
from tritonsym.plan_command import plan_for_gpu
from tritonsym.rewrites.regroup import blocks, regrouped
from tritonsym.rewrites.simplify import simplify
from tritonsym.symbol import Symbol

sym = mx.sym
# The order of a sum changes with the shape; all else stays as it is, but for the last bit.
TOLERANCE = {torch.float16: 1e-2, torch.bfloat16: 1e-1, torch.float32: 1e-5, torch.float64: 1e-12}


def forms(symbol: Symbol, dtype: str = "float32", **shapes: tuple[int, ...]) -> list[str]:
    """The kernels of a plan for a GPU, by what they compute."""
    dtypes = {name: as_dtype(dtype) for name in symbol.list_inputs()}
    plan = plan_for_gpu(symbol, shapes, dtypes)
    return [f"{k.form}: {' '.join(x.primitive for x in k.body)}" for k in plan.kernels]


def test_blocks_are_the_smallest_groups_of_axes() -> None:
    assert blocks((6, 4), (2, 3, 4)) == [((0,), (0, 1)), ((1,), (2,))]
    assert blocks((5, 1), (5,)) == [((0,), (0,)), ((1,), ())]
    assert blocks((1, 5), (5,)) == [((0, 1), (0,))]
    assert blocks((2, 3), (3, 2)) == [((0, 1), (0, 1))]
    assert blocks((1, 1), ()) == [((0,), ()), ((1,), ())]


def test_statistics_without_their_axes_stay_with_their_rows() -> None:
    x = sym.Variable("x")
    mean = sym.mean(x, axis=1)
    centred = sym.broadcast_sub(x, sym.expand_dims(mean, axis=1))
    deviation = sym.sqrt(sym.mean(sym.square(centred), axis=1) + 1e-5)
    scaled = sym.broadcast_div(centred, sym.reshape(deviation, shape=(-1, 1)))
    (kernel,) = forms(scaled, x=(6, 40))
    assert kernel == "rows: sum div sub mul sum div add sqrt div"


def test_rows_of_a_reshaped_input_give_back_its_shape() -> None:
    x = sym.Variable("x")
    flat = sym.reshape(x, shape=(-3, 0))
    scale = sym.reshape(sym.max(flat, axis=1), shape=(2, 3, 1))
    assert forms(sym.broadcast_div(x, scale), x=(2, 3, 40)) == ["rows: max div"]


def test_a_reduction_over_reshaped_axes_is_one_over_those_before() -> None:
    x = sym.Variable("x")
    total = sym.sum(sym.reshape(sym.exp(x), shape=(0, -1)), axis=1)
    assert forms(total, x=(4, 5, 6)) == ["rows: exp sum"]
    best = sym.argmax(sym.reshape(sym.exp(x), shape=(-3, 0)), axis=1)
    assert forms(best, x=(4, 5, 6)) == ["rows: exp argmax cast"]
    part = sym.argmax(sym.reshape(sym.exp(x), shape=(0, -1)), axis=1)
    assert forms(part, x=(4, 5, 6)) == ["pointwise: exp", "rows: argmax cast"]


def test_dense_layers_of_sequences_keep_what_follows() -> None:
    x = sym.Variable("x")
    layer = sym.FullyConnected(x, num_hidden=8, flatten=False, name="fc")
    (kernel,) = forms(sym.tanh(layer) + x, dtype="float16", x=(2, 3, 8))
    assert kernel == "matmul: dot add tanh add"


def test_heads_are_batch_axes() -> None:
    """The batch of a product may have several axes, so that heads are taken out by no copy."""
    x, y = sym.Variable("x"), sym.Variable("y")

    def heads(value: Symbol) -> Symbol:
        split = sym.transpose(sym.reshape(value, shape=(0, 0, 4, 8)), axes=(0, 2, 1, 3))
        return sym.reshape(split, shape=(-3, 0, 0))

    scores = sym.batch_dot(heads(x), heads(y), transpose_b=True) * 2.0
    assert forms(scores, dtype="float16", x=(2, 5, 32), y=(2, 7, 32)) == ["matmul: dot mul"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_layer_norm_in_16_bits_is_one_kernel(dtype: str) -> None:
    """Scale and shift are converted where they are used, not by a kernel before it."""
    layer = sym.LayerNorm(*map(sym.Variable, ("x", "gamma", "beta")))
    (kernel,) = forms(layer, dtype, x=(64, 40))
    assert kernel.startswith("rows: cast sum")
    assert kernel.count("cast") == 4, "three of what is read, and one of the result"


def test_what_is_converted_for_more_than_repetition_stays() -> None:
    """A product would read a copy that is repeated instead of a small one."""
    x, wide = sym.Variable("x"), sym.cast(sym.Variable("w"), dtype="float32")
    product = sym.batch_dot(sym.cast(x, dtype="float32"), sym.broadcast_to(wide, shape=(4, 6, 5)))
    found = forms(product, "float16", x=(4, 3, 6), w=(1, 6, 5))
    assert found == ["pointwise: cast", "matmul: cast dot"]


def test_a_reshape_that_breaks_rows_stays() -> None:
    x = sym.Variable("x")
    torn = sym.sum(sym.reshape(sym.exp(x), shape=(5, 4)), axis=1)
    assert forms(torn, x=(4, 5)) == ["pointwise: exp", "rows: sum"]


def assert_close(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for value, due in zip(found, expected, strict=True):
        assert (value.dtype, value.shape) == (due.dtype, due.shape)
        if not value.is_floating_point():
            assert torch.equal(value, due)
            continue
        largest = float(due.double().nan_to_num(0, 0, 0).abs().max())
        if largest > torch.finfo(value.dtype).max / 1000:
            # Whether such a sum overflows on the way depends on its order.
            both = value.isfinite() & due.isfinite()
            value, due = value[both], due[both]
        bound = TOLERANCE[value.dtype]
        torch.testing.assert_close(
            value.double(), due.double(), rtol=bound, atol=bound * largest, equal_nan=True
        )


def depth(outputs: tuple[Expr, ...]) -> int:
    return sum(x.primitive != "reshape" for x in toposort(outputs))


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(examples())
def test_graphs_keep_their_values(example: Example) -> None:
    note(example.text)
    entries, arrays = example.symbol._entries, example.arrays
    shapes = infer_shapes(
        toposort_nodes(entries), {name: array.shape for name, array in arrays.items()}
    )
    dtypes = {name: as_dtype(array._tensor.dtype) for name, array in arrays.items()}
    graph = simplify(trace([entries], shapes, dtypes, native=False))
    tensors = [arrays[n.name]._tensor for n in shapes.nodes if n.op is None]
    strides = {i: t.stride() for i, t in enumerate(tensors) if not t.is_contiguous()}
    moved = regrouped(graph, strides)
    assert depth(moved.outputs) <= depth(graph.outputs) + 3, "nothing is computed twice"
    assert_close(*(run(g.outputs, tensors, RandomState(3)) for g in (moved, graph)))


@pytest.mark.parametrize("keepdims", [False, True])
def test_rows_on_both_contexts(context: mx.Context, keepdims: bool) -> None:
    x = sym.Variable("x")
    mean = sym.mean(x, axis=(1, 2), keepdims=keepdims)
    centred = sym.broadcast_sub(x, sym.reshape(mean, shape=(-1, 1, 1)))
    values = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0))
    (found,) = centred.eval(context, x=mx.nd.array(values.numpy(), context))
    expected = values - values.mean(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(torch.tensor(found.asnumpy()), expected, rtol=1e-5, atol=1e-6)
