"""Values computed again: the same bits, less memory, and on a GPU nothing written for nothing."""

from __future__ import annotations

import numpy as np
import pytest

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.expressions.expr import Expr
from tritonsym.planning.plan import Plan


def deep(layers: int) -> mx.Symbol:
    """Dense layers with a chain of elementwise operators after each."""
    x = mx.sym.Variable("data")
    for number in range(layers):
        x = mx.sym.FullyConnected(x, num_hidden=16, name=f"layer{number}")
        x = mx.sym.tanh(x) * mx.sym.sigmoid(x) + mx.sym.sin(x)
    return mx.sym.MakeLoss(mx.sym.square(x))


def results(symbol: mx.Symbol, context: mx.Context) -> tuple[list[bytes], Plan]:
    executor = symbol.simple_bind(context, data=(8, 16))
    random = np.random.RandomState(1)
    for array in executor.arg_arrays:
        array[:] = random.uniform(-0.4, 0.4, array.shape)
    mx.random.seed(2)
    executor.forward(is_train=True)
    executor.backward()
    (passed,) = executor._training.values()
    check_plan(passed.plan)
    arrays = [*executor.outputs, *executor.grad_arrays]
    return [array.asnumpy().tobytes() for array in arrays], passed.plan


def crossing_values(plan: Plan) -> set[Expr]:
    """What the second stage reads of what the first computed."""
    middle = plan.stages[0].end
    early = {x for kernel in plan.kernels[:middle] for x in kernel.body}
    read = {
        plan.layouts[y].base
        for kernel in plan.kernels[middle:]
        for x in kernel.body
        for y in x.inputs
    }
    return early & read


def crossing(plan: Plan) -> int:
    """The bytes of that."""
    return sum(x.size * x.dtype.itemsize for x in crossing_values(plan))


def test_mirroring_saves_memory_and_changes_no_bit(context: mx.Context) -> None:
    plain, before = results(deep(20), context)
    with mx.switched(mirror=True):
        mirrored, after = results(deep(20), context)
    assert plain == mirrored
    # Of each layer the product is kept, which the next layer's operand can be computed from.
    assert crossing(after) == 20 * 8 * 16 * 4
    assert crossing(after) < 0.6 * crossing(before)
    assert after.arena_size < 0.7 * before.arena_size


def test_the_backward_pass_of_a_pooling_compares_again_instead_of_keeping_the_largest() -> None:
    """Its windows are compared along one axis after the other; what lies between is not kept."""
    data = mx.sym.tanh(mx.sym.Variable("data"))
    pooled = mx.sym.Pooling(data, kernel=(2, 2), stride=(2, 2), pool_type="max")
    executor = mx.sym.MakeLoss(mx.sym.square(pooled)).simple_bind(mx.cpu(), data=(2, 3, 8, 16))
    random = np.random.RandomState(5)
    values = random.permutation(2 * 3 * 8 * 16).reshape(2, 3, 8, 16) / 800.0
    executor.arg_dict["data"][:] = values
    executor.forward(is_train=True)
    executor.backward()
    (passed,) = executor._training.values()
    check_plan(passed.plan)
    shapes = {x.shape for x in crossing_values(passed.plan)}
    assert (2, 3, 8, 16) in shapes and (2, 3, 8, 8) not in shapes
    # The largest of each window has all of the gradient.
    windows = np.tanh(values).reshape(2, 3, 4, 2, 8, 2)
    largest = windows == windows.max((3, 5), keepdims=True)
    slope = np.where(largest, 2 * windows * (1 - windows**2), 0).reshape(values.shape)
    np.testing.assert_allclose(executor.grad_dict["data"].asnumpy(), slope, rtol=1e-5, atol=1e-7)


def test_dropout_is_mirrored_with_its_own_mask(context: mx.Context) -> None:
    symbol = mx.sym.MakeLoss(mx.sym.square(mx.sym.Dropout(mx.sym.Variable("data"), p=0.5)))
    plain, _ = results(symbol, context)
    with mx.switched(mirror=True):
        mirrored, _ = results(symbol, context)
    assert plain == mirrored


def test_on_a_gpu_what_was_in_registers_is_computed_again(gpu: mx.Context) -> None:
    """A backward pass reads products and what products read, and nothing in between."""
    fused, plan = results(deep(3), gpu)
    with mx.switched(fusion=False):
        apart, other = results(deep(3), gpu)
    assert crossing(plan) < 0.7 * crossing(other)
    for one, two in zip(fused, apart, strict=True):
        values = [np.frombuffer(part, "float32") for part in (one, two)]
        np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-6)


def test_long_chains_are_not_computed_again_from_their_beginning(gpu: mx.Context) -> None:
    """Of a chain some values are kept, so that no kernel needs all of it at once."""
    x = mx.sym.Variable("data")
    for _ in range(40):
        x = mx.sym.sin(x)
    _, plan = results(mx.sym.MakeLoss(x), gpu)
    assert 0 < crossing(plan) <= 5 * 8 * 16 * 4


@pytest.mark.parametrize("value", [2, "yes", None])
def test_the_switch_is_on_or_off(value: object) -> None:
    with pytest.raises(TypeError, match="mirror"), mx.switched(mirror=value):
        pass


def test_a_state_that_is_kept_for_the_next_step_is_kept_for_the_backward_pass(
    gpu: mx.Context,
) -> None:
    """It is in memory, since that step begins with a product: no step computes those before it."""
    cell = mx.rnn.LSTMCell(16, prefix="cell_")
    states, _ = cell.unroll(4, mx.sym.Variable("data"), merge_outputs=True)
    executor = mx.sym.MakeLoss(states).simple_bind(gpu, data=(2, 4, 16))
    executor.forward(is_train=True)
    executor.backward()
    (passed,) = executor._training.values()
    end = passed.plan.stages[0].end
    steps = [k for k in passed.plan.kernels[end:] if "sigmoid" in {x.primitive for x in k.body}]
    assert len(steps) == 4
    for kernel in steps:
        assert sum(x.primitive == "sigmoid" for x in kernel.body) == 3
        assert len(kernel.outputs) <= 2, "the gradients of the gates, and of the state before"
