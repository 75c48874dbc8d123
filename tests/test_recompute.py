"""Values computed again: the same bits, less memory, and on a GPU nothing written for nothing."""

from __future__ import annotations

import numpy as np
import pytest

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.plan import Plan


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


def crossing(plan: Plan) -> int:
    """The bytes that the second stage reads of what the first computed."""
    middle = plan.stages[0].end
    early = {x for kernel in plan.kernels[:middle] for x in kernel.body}
    read = {
        plan.layouts[y].base
        for kernel in plan.kernels[middle:]
        for x in kernel.body
        for y in x.inputs
    }
    return sum(x.size * x.dtype.itemsize for x in early & read)


def test_mirroring_saves_memory_and_changes_no_bit(context: mx.Context) -> None:
    plain, before = results(deep(20), context)
    with mx.switched(mirror=True):
        mirrored, after = results(deep(20), context)
    assert plain == mirrored
    # Of each layer the product is kept, which the next layer's operand can be computed from.
    assert crossing(after) == 20 * 8 * 16 * 4
    assert crossing(after) < 0.6 * crossing(before)
    assert after.arena_size < 0.7 * before.arena_size


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
