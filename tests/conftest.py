"""Both contexts on any machine: without a GPU the same kernels run in Triton's interpreter.

Where there is a GPU, every test that uses one is marked `gpu`: `pytest -m gpu` runs just these.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence

import pytest
import torch

import tritonsym as mx


class WithoutHypothesis(importlib.abc.MetaPathFinder):
    """Skips the modules that need hypothesis, and says so, where it is not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] == "hypothesis":
            pytest.skip("hypothesis is not installed", allow_module_level=True)


if importlib.util.find_spec("hypothesis") is None:
    sys.meta_path.append(WithoutHypothesis())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark what runs on a device, and skip what needs one that is not there."""
    present = torch.cuda.is_available()
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        uses = parameters.get("context") == "gpu" or "gpu" in getattr(item, "fixturenames", ())
        if uses and present:
            item.add_marker("gpu")
        elif item.get_closest_marker("gpu") is not None and not present:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(params=["cpu", "gpu"])
def context(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> mx.Context:
    """A CPU context, then a GPU context."""
    return gpu_context(monkeypatch) if request.param == "gpu" else mx.cpu(0)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> mx.Context:
    """A GPU context."""
    return gpu_context(monkeypatch)


def gpu_context(monkeypatch: pytest.MonkeyPatch) -> mx.Context:
    if not torch.cuda.is_available():
        # Read when Triton is first imported, which no test does before a GPU context is used.
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    return mx.gpu(0)
