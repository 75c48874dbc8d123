"""Finding what went wrong: monitors, numbers that are none, and the kernel that failed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tritonsym as mx

X = np.array([[1.0, 0.0], [4.0, 9.0]], "float32")


def bound(symbol: mx.Symbol, context: mx.Context, **values: Any) -> Any:
    arrays = {k: mx.nd.array(v, ctx=context, dtype=v.dtype) for k, v in values.items()}
    gradients = {k: mx.nd.zeros(v.shape, ctx=context, dtype=v.dtype) for k, v in values.items()}
    return symbol.bind(context, arrays, gradients)


# ---- numbers that are none -----------------------------------------------------------------------


def test_the_first_operator_with_nan_is_named(context: mx.Context) -> None:
    x = mx.sym.Variable("x")
    shifted = mx.sym.log(x - 1, name="shifted")
    symbol = mx.sym.sum(mx.sym.sqrt(shifted, name="root") + 1)
    executor = bound(symbol, context, x=X)
    line = f"{Path(__file__).name}:"
    message = rf"shifted_output of log 'shifted' \(created at .*{line}\d+\)"
    with pytest.raises(mx.MXNetError, match=message) as found:
        mx.debug.check_nan(executor)
    assert "1 NaN and 1 infinities among 4 elements; its inputs are all finite" in str(found.value)
    executor.arg_dict["x"][:] = 5
    mx.debug.check_nan(executor)


def test_an_argument_that_is_none_is_named(context: mx.Context) -> None:
    executor = bound(mx.sym.Variable("x") * 2, context, x=np.array([np.inf], "float32"))
    with pytest.raises(mx.MXNetError, match=r"variable 'x'.* holds 0 NaN and 1 infinities among 1"):
        mx.debug.check_nan(executor)


def test_a_gradient_that_is_none_is_named(context: mx.Context) -> None:
    """The value is finite everywhere, its derivative at 0 is not."""
    executor = bound(mx.sym.sqrt(mx.sym.Variable("x"), name="root"), context, x=X)
    mx.debug.check_nan(executor)
    with pytest.raises(mx.MXNetError, match=r"_backward_sqrt 'root_backward'.*all finite"):
        mx.debug.check_nan(executor, gradients=True)


def test_looking_changes_nothing(context: mx.Context) -> None:
    data = mx.sym.Variable("data")
    symbol = mx.sym.Dropout(mx.sym.BatchNorm(data, name="bn", fix_gamma=False), p=0.5)
    executor = symbol.simple_bind(context, data=(8, 3))
    executor.arg_dict["data"][:] = np.random.RandomState(1).randn(8, 3)
    states = [array.asnumpy() for array in executor.aux_arrays]
    mx.random.seed(3)
    first = executor.forward(is_train=True)[0].asnumpy()
    for array, old in zip(executor.aux_arrays, states, strict=True):
        array[:] = old
    mx.random.seed(3)
    mx.debug.check_nan(executor, is_train=True, gradients=True)
    assert all(
        np.array_equal(a.asnumpy(), s) for a, s in zip(executor.aux_arrays, states, strict=True)
    )
    assert np.array_equal(executor.forward(is_train=True)[0].asnumpy(), first)


# ---- monitors in training ------------------------------------------------------------------------


def test_a_watched_training_run_is_the_run_itself(context: mx.Context) -> None:
    """What is shown, what comes out, the states and the gradients belong to one another."""
    data = mx.sym.Variable("data")
    normal = mx.sym.BatchNorm(data, name="bn", fix_gamma=False)
    symbol = mx.sym.MakeLoss(mx.sym.square(mx.sym.Dropout(normal, p=0.5, name="drop")), name="loss")
    results = []
    for watched in (False, True):
        executor = symbol.simple_bind(context, data=(6, 2))
        executor.arg_dict["data"][:] = np.random.RandomState(1).randn(6, 2)
        executor.arg_dict["bn_gamma"][:] = 1
        seen: dict[str, np.ndarray[Any, Any]] = {}
        if watched:
            executor.set_monitor_callback(lambda n, a, seen=seen: seen.update({n: a.asnumpy()}))
        mx.random.seed(11)
        executor.forward(is_train=True)
        executor.backward()
        arrays = [*executor.outputs, *executor.grad_arrays, *executor.aux_arrays]
        results.append([array.asnumpy() for array in arrays])
        if watched:
            output = executor.outputs[0].asnumpy()
            np.testing.assert_allclose(seen["loss_output"], output, rtol=1e-5)
            np.testing.assert_allclose(seen["drop_output"] ** 2, output, rtol=1e-5)
    for plain, other in zip(*results, strict=True):
        assert np.array_equal(plain, other)
    assert np.abs(results[0][-1]).max() > 0


# ---- the kernel that failed ----------------------------------------------------------------------


def test_a_failing_step_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    x = mx.sym.Variable("x")
    symbol = mx.sym.dot(mx.sym.exp(x, name="first"), x, name="second")
    executor = bound(symbol, mx.cpu(), x=X)
    fine = executor.forward()[0].asnumpy()
    steps = list(executor._steps)

    def fail() -> None:
        raise RuntimeError("no")

    number = len(steps) - 1
    made_by = executor._buffers.kernel_of(steps[number])
    assert made_by is not None
    executor._buffers._makers[id(fail)] = made_by, fail
    monkeypatch.setattr(executor, "_steps", [*steps[:number], fail])
    with pytest.raises(RuntimeError) as found:
        executor.forward()
    assert found.value.__notes__ == ["in kernel 1 (single) of the plan, which computes second"]
    monkeypatch.undo()
    assert np.array_equal(executor.forward()[0].asnumpy(), fine)


# ---- how much memory an executor takes -----------------------------------------------------------


def allocated(executor: mx.Executor) -> int:
    """The whole MB that its text says it has allocated, as programs read them."""
    found = re.search(r"^Total (\d+) MB allocated$", executor.debug_str(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_outputs_are_memory_of_the_executor(context: mx.Context) -> None:
    executor = mx.sym.exp(mx.sym.Variable("x")).simple_bind(context, x=(3000, 1000))
    assert allocated(executor) == 11  # of 11.44


def test_what_is_kept_in_between_is_counted_with_the_outputs(context: mx.Context) -> None:
    x = mx.sym.Variable("x")
    table = mx.sym.argsort(x, axis=1, dtype="int32")
    executor = mx.sym.dot(mx.sym.cast(table, "float32"), mx.sym.Variable("w")).bind(
        context, {"x": mx.nd.ones((1000, 300), context), "w": mx.nd.ones((300, 200), context)}
    )
    executor.forward()
    plan = executor.plan
    assert plan.arena_size >= 1000 * 300 * 4
    due = plan.arena_size + 1000 * 200 * 4
    assert executor._allocated() == pytest.approx(due, abs=1000)
    assert allocated(executor) == executor._allocated() >> 20


def test_a_backward_pass_adds_what_it_takes_and_no_arrays_of_the_caller() -> None:
    shape = (300, 1000)
    executor = bound(mx.sym.sin(mx.sym.Variable("x")), mx.cpu(), x=np.ones(shape, "float32"))
    size = 4 * 300_000
    assert executor._allocated() == pytest.approx(size, rel=1e-3)
    executor.forward(is_train=True)
    executor.backward(mx.nd.ones(shape))
    (passed,) = executor._training.values()
    # The arena, the output, and the gradient of the output.
    due = passed.plan.arena_size + 2 * size
    assert executor._allocated() == pytest.approx(due, rel=1e-3)


def test_looking_at_an_executor_takes_no_memory() -> None:
    executor = bound(mx.sym.Variable("x") * 2, mx.cpu(), x=np.ones((4, 5), "float32"))
    before = executor.debug_str()
    assert executor.debug_str() == before
    assert executor._compiled.made is None
