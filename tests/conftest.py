"""Both contexts on any machine: without a GPU the same kernels run in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch

import tritonsym as mx


@pytest.fixture(params=["cpu", "gpu"])
def context(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> mx.Context:
    """A CPU context, then a GPU context."""
    if request.param == "gpu" and not torch.cuda.is_available():
        # Read when Triton is first imported, which no test does before a GPU context is used.
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    return mx.Context(request.param, 0)
