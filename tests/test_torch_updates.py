"""Updates of weights as one call of torch: near to float64, in place, and only where that is so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from tritonsym.expressions.expr import Expr, broadcast, cast, input_, make, reshape
from tritonsym.expressions.philox import RandomState
from tritonsym.foundation.dtype import FLOAT16, FLOAT32, FLOAT64, DType
from tritonsym.graph.trace import Graph
from tritonsym.ops.optimizer import adam_update
from tritonsym.planning.plan import Plan, make_plan
from tritonsym.rewrites.simplify import simplify
from tritonsym.rewrites.torch_calls import in_torch_calls
from tritonsym.rewrites.torch_updates import Adam, with_updates
from tritonsym.runtime.cpu import program
from tritonsym.scheduling import tiling

SHAPE = (37, 51)
# An update is some ten operations, each rounded.
TOLERANCE = {FLOAT32: 1e-6, FLOAT64: 1e-14, FLOAT16: 4e-3}


def graph_of(dtype: DType, change: Callable[[Graph], Graph] = lambda graph: graph) -> Graph:
    """An update of input 0 by input 1, whose states are inputs 2 and 3 and whose rate is 4."""
    weight, gradient, mean, variance = (input_(n, SHAPE, dtype) for n in range(4))
    rate = input_(4, (1,), dtype)
    results = adam_update(
        weight, gradient, mean, variance, lr=rate, rescale_grad=0.5, wd=0.01, epsilon=1e-6
    )
    graph = Graph(results, {}, updates={0: 0, 1: 2, 2: 3})
    return in_torch_calls(simplify(change(graph)))


def arrays(dtype: DType) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    drawn = [torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(4)]
    drawn[3] = drawn[3] ** 2
    return [x.to(dtype.torch) for x in (*drawn, torch.tensor([0.1], dtype=torch.float64))]


def due(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """The update in float64, as the paper has it."""
    weight, gradient, mean, variance, rate = (x.double() for x in tensors)
    gradient = gradient * 0.5 + weight * 0.01
    mean = mean * 0.9 + gradient * (1 - 0.9)
    variance = variance * 0.999 + gradient * gradient * (1 - 0.999)
    return [weight - rate * mean / (variance.sqrt() + 1e-6), mean, variance]


def calls(plan: Plan) -> list[Adam]:
    in_place = {plan.outputs[n]: plan.replaced[n] for n in plan.in_place}
    found = [
        y
        for kernel in plan.kernels
        for y in with_updates(kernel.body, kernel.outputs, in_place, plan.layouts)
    ]
    return [y for y in found if isinstance(y, Adam)]


def check(plan: Plan, dtype: DType, turned: Sequence[int] = ()) -> None:
    """Run a plan; the arrays of some inputs lie column by column."""
    tensors = [x.t().contiguous().t() if n in turned else x for n, x in enumerate(arrays(dtype))]
    right = due(tensors)
    made = program(plan, tensors, RandomState(1))
    made.buffers.arena.fill_(0xFF)
    gradient = tensors[1].clone()
    made.run()
    for number, index in plan.replaced.items():
        wrong = (tensors[index].double() - right[number]).abs().max()
        assert wrong <= TOLERANCE[dtype] * right[number].abs().max()
    assert torch.equal(tensors[1], gradient)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=["float32", "float64"])
@pytest.mark.parametrize("size", [tiling.TILE, 2048], ids=["whole", "tiles"])
def test_adam(dtype: DType, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "TILE", size)
    plan = make_plan(graph_of(dtype))
    assert bool(plan.tilings) == (size == 2048)
    (adam,) = calls(plan)
    assert (adam.beta1, adam.beta2) == pytest.approx((0.9, 0.999), rel=1e-8)
    check(plan, dtype)


def test_it_takes_the_place_of_what_it_computes() -> None:
    plan = make_plan(graph_of(FLOAT32))
    (kernel,) = plan.kernels
    in_place = {plan.outputs[n]: plan.replaced[n] for n in plan.in_place}
    work = with_updates(kernel.body, kernel.outputs, in_place, plan.layouts)
    # What is left is the gradient: scaled, and the weight's share added.
    assert [x.primitive for x in work if isinstance(x, Expr)] == ["mul", "mul", "add"]
    assert isinstance(work[-1], Adam)


@pytest.mark.parametrize("turned", [0, 1, 2])
def test_arrays_that_lie_otherwise(turned: int) -> None:
    """Without decay or scale the gradient is the caller's array, as it is bound."""
    weight, gradient, mean, variance = (input_(n, SHAPE, FLOAT32) for n in range(4))
    share = weight * 0.01 + gradient * 0.5
    for used in (gradient, share):
        results = adam_update(
            weight, used, mean, variance, lr=input_(4, (1,), FLOAT32), epsilon=1e-6
        )
        graph = in_torch_calls(simplify(Graph(results, {}, updates={0: 0, 1: 2, 2: 3})))
        plan = make_plan(graph, {turned: (1, SHAPE[0])})
        assert len(calls(plan)) == (turned == 1 and used is share)
        if used is share:
            check(plan, FLOAT32, [turned])


def test_16_bit_floats_are_computed_as_they_were() -> None:
    plan = make_plan(graph_of(FLOAT16))
    assert not calls(plan)
    check(plan, FLOAT16)


def elsewhere(graph: Graph) -> Graph:
    return Graph(graph.outputs, {}, updates={0: 0, 1: 2})


def exchanged(graph: Graph) -> Graph:
    """Each state in the place of the other one."""
    return Graph(graph.outputs, {}, updates={0: 0, 1: 3, 2: 2})


def seen(graph: Graph) -> Graph:
    """Something else needs what lies between."""
    step = graph.outputs[0].inputs[1]
    return Graph((*graph.outputs, step), {}, updates=graph.updates)


def followed(graph: Graph) -> Graph:
    """The new weight is needed at once, as another dtype."""
    return Graph((*graph.outputs, cast(graph.outputs[0], FLOAT64)), {}, updates=graph.updates)


@pytest.mark.parametrize("change", [elsewhere, exchanged, seen, followed])
def test_other_graphs_are_computed_as_they_were(change: Callable[[Graph], Graph]) -> None:
    plan = make_plan(graph_of(FLOAT32, change))
    assert not calls(plan)
    check(plan, FLOAT32)


def test_a_rate_for_each_element_is_no_rate() -> None:
    weight, gradient, mean, variance = (input_(n, SHAPE, FLOAT32) for n in range(4))
    rate = broadcast(reshape(input_(4, (SHAPE[1],), FLOAT32), (1, SHAPE[1])), SHAPE)
    mean = mean * 0.9 + gradient * 0.1
    variance = variance * 0.999 + gradient * gradient * 0.001
    results = (weight - mean * rate / (make("sqrt", variance) + 1e-6), mean, variance)
    graph = Graph(results, {}, updates={0: 0, 1: 2, 2: 3})
    assert not calls(make_plan(in_torch_calls(simplify(graph))))
