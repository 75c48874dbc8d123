"""Layer norm and its gradients as torch's calls, and only where they are that.

The reference is written out in float64 below; torch differentiates it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.expressions.expr import Expr, broadcast, input_, make, reduce, reshape
from tritonsym.expressions.philox import RandomState
from tritonsym.expressions.reference import run
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import FLOAT32, FLOAT64, DType
from tritonsym.graph.trace import Graph
from tritonsym.planning.plan import Plan, make_plan
from tritonsym.rewrites import torch_norms
from tritonsym.rewrites.simplify import simplify
from tritonsym.rewrites.torch_layers import in_torch_layers
from tritonsym.rewrites.torch_norms import Norm, with_norms
from tritonsym.runtime.cpu import program
from tritonsym.scheduling import tiling

sym = mx.sym
EPSILON = 1e-5
# Sums over a row or a column, some of whose parts cancel, each rounded.
TOLERANCE = {FLOAT32: 2e-5, FLOAT64: 1e-12}


def mean(x: Expr, axes: tuple[int, ...]) -> Expr:
    return reduce("sum", x, axes) * (1 / math.prod(x.shape[axis] for axis in axes))


def layer(shape: tuple[int, ...], axes: int, dtype: DType, scaled: bool = True) -> dict[str, Expr]:
    """A layer norm and its gradients: the data is input 0, the head 1, scale and shift 2 and 3."""
    rows = len(shape) - axes
    last, others = tuple(range(rows, len(shape))), tuple(range(rows))
    x, head = input_(0, shape, dtype), input_(1, shape, dtype)
    scale, shift = (
        broadcast(reshape(input_(n, shape[rows:], dtype), (*(1,) * rows, *shape[rows:])), shape)
        for n in (2, 3)
    )
    centre = mean(x, last)
    rest = x - centre
    deviation = make("sqrt", mean(rest * rest, last) + EPSILON)
    inverse = 1.0 / deviation
    normal = rest * inverse
    slope = head * scale if scaled else head
    quotient = rest / deviation
    return {
        "result": quotient * scale + shift if scaled else quotient,
        "mean": centre,
        "deviation": deviation,
        "data": (slope - mean(slope, last) - normal * mean(slope * normal, last)) * inverse,
        "scale": reduce("sum", head * normal, others),
        "shift": reduce("sum", head, others),
    }


def arrays(shape: tuple[int, ...], axes: int, dtype: DType) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    shapes = [shape, shape, shape[-axes:], shape[-axes:]]
    drawn = [torch.randn(s, generator=generator, dtype=torch.float64) * 2 + 1 for s in shapes]
    return [x.to(dtype.torch) for x in drawn]


def due(given: Sequence[torch.Tensor], axes: int, scaled: bool = True) -> dict[str, torch.Tensor]:
    """The same, from the definition."""
    x, head, scale, shift = (t.double().clone().requires_grad_() for t in given)
    last = tuple(range(x.ndim - axes, x.ndim))
    centre = x.mean(last, keepdim=True)
    deviation = ((x - centre) ** 2).mean(last, keepdim=True).add(EPSILON).sqrt()
    normal = (x - centre) / deviation
    result = normal * scale + shift if scaled else normal
    (of_data,) = torch.autograd.grad(result, x, head, retain_graph=True)
    of_scale, of_shift = torch.autograd.grad(normal * scale + shift, (scale, shift), head)
    found = {"result": result, "mean": centre, "deviation": deviation, "data": of_data}
    return {k: v.detach() for k, v in {**found, "scale": of_scale, "shift": of_shift}.items()}


def calls(outputs: Sequence[Expr]) -> list[str]:
    return sorted(str(x["name"]) for x in toposort(outputs) if x.primitive == "native")


BACKWARD = "layer_norm_backward"
# What a graph asks for, and the calls that come of it. Both gradients of parameters are one call.
ASKED = {
    "result data scale shift": [BACKWARD] * 2,
    "result data": [BACKWARD],
    "data": [BACKWARD],
    "result scale": [BACKWARD],
    "result scale shift": [BACKWARD],
    "result shift": ["layer_norm"],
    "shift scale": [BACKWARD],
    "shift data": [BACKWARD],
    "result mean deviation": [],
    "result mean deviation data scale shift": [BACKWARD] * 2,
}
SHAPES = {
    "rows": ((70, 33), 1),
    "one row": ((1, 33), 1),
    "three axes": ((7, 5, 12), 1),
    "rows of two axes": ((9, 4, 7), 2),
    "long": ((3, 1000), 1),
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("name", SHAPES)
def test_gradients_are_calls(name: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_norms, "PART", 1000)
    monkeypatch.setattr(torch_norms, "_ROWS", 8)
    shape, axes = SHAPES[name]
    for dtype in (FLOAT32, FLOAT64):
        parts = layer(shape, axes, dtype)
        outputs = [parts[key] for key in asked.split()]
        graph = in_torch_layers(simplify(Graph(tuple(outputs), {})))
        if name != "one row":  # whose means and sums along the rows are views
            assert calls(graph.outputs) == ASKED[asked]
        given = arrays(shape, axes, dtype)
        right = due(given, axes)
        found = run(graph.outputs, given, RandomState(1))
        for key, x in zip(asked.split(), found, strict=True):
            close(x, right[key], dtype)


def close(found: torch.Tensor, right: torch.Tensor, dtype: DType) -> None:
    assert found.dtype is dtype.torch
    margin = TOLERANCE[dtype] * max(1.0, float(right.abs().max()))
    torch.testing.assert_close(
        found.double().reshape(right.shape), right, rtol=TOLERANCE[dtype], atol=margin
    )


def test_a_form_that_is_not_scaled() -> None:
    shape, axes = (20, 37), 1
    parts = layer(shape, axes, FLOAT32, scaled=False)
    outputs = (parts["result"], parts["data"])
    graph = in_torch_layers(Graph(outputs, {}))
    assert calls(graph.outputs) == [BACKWARD]
    given = arrays(shape, axes, FLOAT32)
    right = due(given, axes, scaled=False)
    for key, x in zip(("result", "data"), run(graph.outputs, given, RandomState(1)), strict=True):
        close(x, right[key], FLOAT32)


@pytest.mark.parametrize("axis", [0, 1])
def test_other_axes_and_other_gradients_stay_as_they_are(axis: int) -> None:
    x, head = input_(0, (6, 8), FLOAT32), input_(1, (6, 8), FLOAT32)
    rest = x - mean(x, (axis,))
    inverse = 1.0 / make("sqrt", mean(rest * rest, (axis,)) + EPSILON)
    normal = rest * inverse
    others = [
        (head - mean(head, (axis,)) - normal * mean(head * normal, (axis,))) * inverse,
        reduce("sum", head * normal, (1 - axis,)),
    ]
    # Along the rows these are the gradients, but for a sign, an axis or a factor.
    wrong = [
        (head - mean(head, (1,)) - normal * mean(head, (1,))) * inverse,
        (head - mean(head, (0,)) - normal * mean(head * normal, (1,))) * inverse,
        (head - mean(head, (1,)) - normal * mean(head * normal, (1,))) * normal,
        reduce("sum", head * normal, (1,)),
    ]
    assert calls(in_torch_layers(Graph(tuple(wrong), {})).outputs) == []
    assert len(calls(in_torch_layers(Graph(tuple(others), {})).outputs)) == 2 * axis


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("huge", [1e20, 1e14, 1e-20, math.inf, math.nan, 3e38])
def test_rows_of_huge_numbers(dtype: DType, huge: float) -> None:
    """As the primitives have it, which is as MXNet has it; other rows are not touched."""
    shape = (6, 40)
    parts = layer(shape, 1, dtype)
    outputs = [parts["data"], parts["scale"]]
    given = arrays(shape, 1, dtype)
    if math.isfinite(huge) and huge < 3e38:
        given[0][2] *= huge
    else:
        given[0][2, 5] = huge
    given[0][4] = 7.0
    graph = in_torch_layers(Graph(tuple(outputs), {}))
    assert calls(graph.outputs) == [BACKWARD] * 2
    found, right = (run(x, given, RandomState(1)) for x in (graph.outputs, outputs))
    # Relative to each row of its own: a gradient is as small as its row is large.
    size = right[0].abs().amax(1, keepdim=True).nan_to_num(1.0).clamp_min(1e-300)
    torch.testing.assert_close(
        (found[0] / size).nan_to_num(5.0), (right[0] / size).nan_to_num(5.0), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(found[1], right[1], rtol=1e-4, atol=1e-4, equal_nan=True)


# ---- in kernels --------------------------------------------------------------------------------


def norms(plan: Plan) -> list[Norm]:
    found = [y for k in plan.kernels for y in with_norms(k.body, k.outputs)]
    return [y for y in found if isinstance(y, Norm)]


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("size", [tiling.TILE, 2048], ids=["whole", "tiles"])
@pytest.mark.parametrize("scaled", [True, False], ids=["scaled", "normal form"])
def test_means_and_deviations_come_with_the_layer(
    dtype: DType, size: int, scaled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiling, "TILE", size)
    shape = (37, 51)
    parts = layer(shape, 1, dtype, scaled)
    keys = ("result", "mean", "deviation", "data", "scale", "shift")
    graph = in_torch_layers(simplify(Graph(tuple(parts[key] for key in keys), {})))
    plan = make_plan(graph)
    check_plan(plan)
    assert bool(plan.tilings) == (size == 2048)
    (norm,) = norms(plan)
    assert norm.result is plan.outputs[0]
    given = arrays(shape, 1, dtype)
    made = program(plan, given, RandomState(1))
    made.buffers.arena.fill_(0xFF)
    made.run()
    right = due(given, 1, scaled)
    for key, x in zip(keys, made.buffers.outputs, strict=True):
        close(x, right[key], dtype)


def test_what_else_needs_the_inside_keeps_it() -> None:
    shape = (6, 8)
    parts = layer(shape, 1, FLOAT32)
    x = input_(0, shape, FLOAT32)
    variance = parts["deviation"].inputs[0]
    for other in (x - parts["mean"], variance):
        graph = Graph((parts["result"], parts["mean"], other), {})
        plan = make_plan(in_torch_layers(graph))
        assert norms(plan) == []


def test_a_scale_of_the_same_kernel() -> None:
    """With one row the kernel that normalises can compute the scale as well."""
    x, gamma = input_(0, (1, 40), FLOAT32), input_(1, (1, 40), FLOAT32)
    rest = x - mean(x, (1,))
    deviation = make("sqrt", mean(rest * rest, (1,)) + EPSILON)
    result = make("exp", gamma) * (rest / deviation) + gamma
    plan = make_plan(Graph((result, deviation), {}))
    assert [norm.parameters for norm in norms(plan)] == [()]
    given = [t[:1] for t in arrays((2, 40), 1, FLOAT32)[:2]]
    made = program(plan, given, RandomState(1))
    made.run()
    data, scale = (t.double() for t in given)
    right = torch.nn.functional.layer_norm(data, (40,), eps=EPSILON) * scale.exp() + scale
    close(made.buffers.outputs[0], right, FLOAT32)


@pytest.mark.parametrize("before", [False, True], ids=["data bound", "data computed"])
def test_data_that_lies_where_the_result_is_written(before: bool) -> None:
    """The data is a value that nothing reads afterwards."""
    shape = (64, 40)
    x, scale, shift = (
        input_(0, shape, FLOAT32),
        input_(1, (40,), FLOAT32),
        input_(2, (40,), FLOAT32),
    )
    data = make("exp", x) if before else x
    rest = data - mean(data, (1,))
    deviation = make("sqrt", mean(rest * rest, (1,)) + EPSILON)
    result = rest / deviation * broadcast(scale, shape) + broadcast(shift, shape)
    plan = make_plan(Graph((make("neg", result), deviation), {}))
    assert len(norms(plan)) == 1
    given = [t.float() for t in arrays(shape, 1, FLOAT32)]
    given = [given[0] / 4, *given[2:]]
    made = program(plan, given, RandomState(1))
    made.run()
    wide = given[0].double().exp() if before else given[0].double()
    right = torch.nn.functional.layer_norm(
        wide, (40,), given[1].double(), given[2].double(), EPSILON
    )
    close(made.buffers.outputs[0], -right, FLOAT32)


# ---- as a user has it --------------------------------------------------------------------------


def bound(
    shape: tuple[int, ...], dtype: str, requests: dict[str, str], visible: bool = False
) -> tuple[mx.Executor, dict[str, np.ndarray]]:
    symbol = sym.LayerNorm(
        sym.Variable("x"), sym.Variable("gamma"), sym.Variable("beta"), output_mean_var=visible
    )
    generator = np.random.default_rng(3)
    sizes = {"x": shape, "gamma": shape[-1:], "beta": shape[-1:]}
    values = {k: generator.normal(1, 2, s).astype(dtype) for k, s in sizes.items()}
    executor = symbol.bind(
        mx.cpu(),
        {k: mx.nd.array(v, dtype=dtype) for k, v in values.items()},
        args_grad={k: mx.nd.ones(sizes[k], dtype=dtype) for k in requests},
        grad_req={k: requests.get(k, "null") for k in sizes},
    )
    return executor, values


@pytest.mark.parametrize("requests", [
    {"x": "write", "gamma": "write", "beta": "write"},
    {"x": "add", "gamma": "add", "beta": "add"},
    {"x": "write"},
    {"gamma": "write"},
    {"beta": "add"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("visible", [False, True], ids=["", "moments"])
def test_an_executor(requests: dict[str, str], dtype: str, visible: bool) -> None:
    shape = (5, 3, 21)
    executor, values = bound(shape, dtype, requests, visible)
    head = np.random.default_rng(4).normal(0, 1, shape).astype(dtype)
    outputs = executor.forward(is_train=True)
    zeros = [mx.nd.zeros(x.shape, dtype=dtype) for x in outputs[1:]]
    executor.backward([mx.nd.array(head, dtype=dtype), *zeros])
    given = [torch.from_numpy(v) for v in (values["x"], head, values["gamma"], values["beta"])]
    right = due(given, 1)
    # A result of 16 bits is rounded to 11 digits, and gradients are computed from such moments.
    tolerance = {"float32": 2e-5, "float64": 1e-12, "float16": 2e-2}[dtype]
    for name, key in (("x", "data"), ("gamma", "scale"), ("beta", "shift")):
        if name in requests:
            found = executor.grad_dict[name].asnumpy().astype(np.float64)
            wanted = right[key].numpy() + (requests[name] == "add")
            np.testing.assert_allclose(
                found, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max()
            )
    for x, key in zip(outputs, ("result", "mean", "deviation"), strict=False):
        np.testing.assert_allclose(
            x.asnumpy().astype(np.float64), right[key].numpy(), rtol=tolerance, atol=tolerance * 9
        )
