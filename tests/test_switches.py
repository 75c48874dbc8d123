"""The switches: off or on, results are the same; what they print and what they catch."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import pytest

import tritonsym as mx
from tritonsym.compiler import eager
from tritonsym.foundation import switches
from tritonsym.plan_command import plan_for_gpu
from tritonsym.planning.plan import Plan, make_plan


def graph() -> mx.Symbol:
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    return mx.sym.Group([mx.sym.softmax(a * b + 1.0), mx.sym.sum(mx.sym.exp(a) - b, axis=0)])


def bound(context: mx.Context) -> mx.Executor:
    values = np.random.default_rng(5).standard_normal((2, 7, 33)).astype(np.float32)
    given = {name: mx.nd.array(rows, context) for name, rows in zip("ab", values, strict=True)}
    return graph().bind(context, given)


@pytest.mark.parametrize("switch", ["fusion", "reuse", "graphs"])
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


def test_a_switch_holds_for_arrays_and_for_plans_without_a_gpu(
    gpu: mx.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def noted(*args: Any, **options: Any) -> Plan:
        made.append(make_plan(*args, **options))
        return made[-1]

    monkeypatch.setattr(eager, "make_plan", noted)
    for fusion in (True, False):
        with mx.switched(fusion=fusion):
            mx.nd.softmax(mx.nd.ones((2, 5), gpu))
            made.append(plan_for_gpu(graph(), {"a": (7, 33)}))
    assert [max(len(k.body) for k in plan.kernels) > 1 for plan in made] == [True] * 2 + [False] * 2


def test_without_reuse_the_arena_holds_everything() -> None:
    with mx.switched(reuse=False):
        plan = bound(mx.cpu()).plan
    assert plan.arena_size == plan.size_without_reuse
    assert bound(mx.cpu()).plan.arena_size < plan.arena_size


def test_each_level_of_debugging_prints_more(
    context: mx.Context, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tritonsym.planning import plan_text

    monkeypatch.setattr(plan_text, "_SHOWN_REFUSALS", 0)
    expected = [output.asnumpy() for output in bound(context).forward()]
    printed = []
    for level in range(5):
        with mx.switched(debug=level):
            executor = bound(context)
        for output, due in zip(executor.forward(), expected, strict=True):
            np.testing.assert_array_equal(output.asnumpy(), due)
        printed.append(capsys.readouterr().err)
    on_gpu = context.device_type == "gpu"
    assert printed[0] == ""
    assert "bytes moved" in printed[1] and "GB/s" not in printed[1]
    assert len(re.findall(r"kernel \d+ \w+: [0-9.]+ µs, \S+ GB/s", printed[2])) == len(
        executor.plan.kernels
    )
    reasons = [text.count(" with ") for text in printed[1:]]
    assert reasons == [0, 0, len(executor.plan.refusals), len(executor.plan.refusals)]
    assert ["def kernel" in text for text in printed] == [False] * 4 + [on_gpu]


def test_validation_passes_and_catches(
    context: mx.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    if context.device_type == "cpu":
        with mx.switched(validate=True):
            bound(context).forward()
        return
    from tritonsym.runtime import instrument

    with mx.switched(validate=True):
        executor = bound(context)
    executor.forward()
    right = instrument.allowed

    def wrong(*given):
        values, margins = right(*given)
        return [value + 1 for value in values], margins

    monkeypatch.setattr(instrument, "allowed", wrong)
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
    monkeypatch.delenv("TRITONSYM_FUSION")
    monkeypatch.setenv("TRITONSYM_DEBUG", "4")
    assert switches.current().debug == 4
    for wrong in ("5", "01", ""):
        monkeypatch.setenv("TRITONSYM_DEBUG", wrong)
        with pytest.raises(mx.MXNetError, match="must be 0, 1, 2, 3 or 4"):
            switches.current()


def test_an_unknown_switch_is_refused() -> None:
    with pytest.raises(TypeError, match=r"no switches \['fuse'\].*fusion"):
        partial(mx.switched, fuse=False)().__enter__()
