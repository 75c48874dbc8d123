"""Both contexts on any machine: without a GPU the same kernels run in Triton's interpreter.

Where there is a GPU, every test that uses one is marked `gpu`: `pytest -m gpu` runs just these.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence

import pytest
import torch

import tritonsym as mx

# Workers share the processors: threads of one would wait for those of the others, and run a hundred
# times longer. Programs that tests start read the variable.
PROCESSORS = torch.get_num_threads()
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
torch.set_num_threads(max(1, PROCESSORS // WORKERS))
os.environ["OMP_NUM_THREADS"] = str(torch.get_num_threads())


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


def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """No work is cut for threads."""
    yield from threads(1)


@pytest.fixture(scope="module")
def all_threads() -> Iterator[None]:
    """Work is cut for as many threads as a program of its own has."""
    yield from threads(PROCESSORS)


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
