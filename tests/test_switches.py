"""The switches: off or on, results are the same; what they print and what they catch."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import tritonsym as mx
from tritonsym import switches


def graph() -> mx.Symbol:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    return mx.sym.Group([mx.sym.softmax(a * b + 1.0), mx.sym.sum(mx.sym.exp(a) - b, axis=0)])


def bound(context: mx.Context) -> mx.Executor:
    values = np.random.default_rng(5).standard_normal((2, 7, 33)).astype(np.float32)
    given = {name: mx.nd.array(rows, context) for name, rows in zip("ab", values, strict=True)}
    return graph().bind(context, given)


@pytest.mark.parametrize("switch", ["fusion", "reuse"])
def test_results_do_not_depend_on_a_switch(switch: str, context: mx.Context) -> None:
    expected = [output.asnumpy() for output in bound(context).forward()]
    with mx.switched(**{switch: False}):
        executor = bound(context)
    for output, due in zip(executor.forward(), expected, strict=True):
        np.testing.assert_allclose(output.asnumpy(), due, rtol=1e-5, atol=1e-6)


def test_without_fusion_each_expression_is_a_kernel(context: mx.Context) -> None:
    fused = bound(context).plan
    with mx.switched(fusion=False):
        plain = bound(context).plan
    assert len(fused.kernels) < len(plain.kernels)
    assert all(len(kernel.body) == 1 for kernel in plain.kernels)


def test_without_reuse_the_arena_holds_everything() -> None:
    with mx.switched(reuse=False):
        plan = bound(mx.cpu()).plan
    assert plan.arena_size == plan.size_without_reuse
    assert bound(mx.cpu()).plan.arena_size < plan.arena_size


def test_debug_prints_the_plan_and_the_text(
    context: mx.Context, capsys: pytest.CaptureFixture[str]
) -> None:
    with mx.switched(debug=1):
        bound(context)
    printed = capsys.readouterr().err
    assert "bytes moved" in printed and "def kernel" not in printed
    with mx.switched(debug=2):
        bound(context)
    assert ("def kernel" in capsys.readouterr().err) == (context.device_type == "gpu")


def test_validation_passes_and_catches(
    context: mx.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    if context.device_type == "cpu":
        with mx.switched(validate=True):
            bound(context).forward()
        return
    from tritonsym import triton_runtime

    with mx.switched(validate=True):
        executor = bound(context)
    executor.forward()
    right = triton_runtime.evaluate_within
    monkeypatch.setattr(
        triton_runtime, "evaluate_within", lambda *given: [x + 1 for x in right(*given)]
    )
    with pytest.raises(mx.MXNetError, match=r"kernel 0 \(rows: .*differs from the reference"):
        executor.forward()


def test_the_environment_sets_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONSYM_FUSION", "0")
    assert not switches.current().fusion
    with mx.switched(fusion=True):
        assert switches.current().fusion
    assert not switches.current().fusion
    monkeypatch.setenv("TRITONSYM_FUSION", "maybe")
    with pytest.raises(mx.MXNetError, match="TRITONSYM_FUSION='maybe' must be 0 or 1"):
        switches.current()


def test_an_unknown_switch_is_refused() -> None:
    with pytest.raises(TypeError, match=r"no switches \['fuse'\].*fusion"):
        partial(mx.switched, fuse=False)().__enter__()
