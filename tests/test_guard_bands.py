"""The guard bands see what a kernel does beside its memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch

import tritonsym as mx
from guard_bands import POISONS, guarded
from tritonsym.runtime import module_cache

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="bands are kept in the host's memory, for the interpreter"
)


def run(context: mx.Context) -> np.ndarray:
    """A kernel whose last block is not full, and whose result another one reads."""
    a = mx.sym.Variable("a")
    graph = mx.sym.transpose(mx.sym.exp(a)) + 1.0
    arrays = {"a": mx.nd.array(np.arange(15).reshape(3, 5) / 8, context)}
    return graph.bind(context, arrays).forward()[0].asnumpy()


def test_right_kernels_pass(gpu: mx.Context) -> None:
    due = run(gpu)
    with guarded(POISONS) as watch:
        np.testing.assert_array_equal(run(gpu), due)
    assert watch.runs == len(POISONS)


# What a fault does to the text of a kernel, and how it is noticed.
FAULTS = {
    "a store without its mask": (r"(tl\.store\(.*), mask\)", r"\1)", "beside an array"),
    "a store before the array": (r"(tl\.store\(out0 \+ )(i)(, )", r"\1\2 - 1\3", "beside an array"),
    "an input is written": (
        r"( +)(v0 = tl\.load\((in0 \+ [^,]+), mask\))",
        r"\1\2\n\1tl.store(\3, v0 + 1, mask)",
        "input 0 or what is beside it changed",
    ),
    "a load beside the array": (r"(tl\.load\(in0 \+ )([^,]+)(, )", r"\1\2 + 40\3", "depend on"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_noticed(fault: str, gpu: mx.Context, monkeypatch: pytest.MonkeyPatch) -> None:
    pattern, replacement, complaint = FAULTS[fault]
    right: Callable[[str], ModuleType] = module_cache.load
    changed = []

    def load(text: str) -> ModuleType:
        wrong = re.sub(pattern, replacement, text)
        changed.append(wrong != text)
        return right(wrong)

    monkeypatch.setattr(module_cache, "load", load)
    with guarded(POISONS), pytest.raises(AssertionError, match=complaint):
        run(gpu)
    assert any(changed)
