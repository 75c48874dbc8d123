"""Tuning: the fastest kernel is picked, remembered, and nothing in a file is believed unseen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import tritonsym as mx
from tritonsym.kernels.triton_writer import Source
from tritonsym.runtime import module_cache, tuning

SOURCES = [Source(f"kernel {n}", (), 0, n + 1, {"num_warps": 4}) for n in range(3)]
FACTS = {"gpu": "one", "triton": "3"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of answers, empty at first."""
    monkeypatch.setenv("TRITONSYM_CACHE", str(tmp_path / "cache"))
    module_cache.folder.cache_clear()
    yield module_cache.folder()
    module_cache.folder.cache_clear()


def clock(*seconds: float) -> tuple[Callable[[int], float], list[int]]:
    """What each kernel takes, and which of them were measured."""
    asked: list[int] = []

    def measure(number: int) -> float:
        asked.append(number)
        return seconds[number]

    return measure, asked


def test_the_fastest_is_picked_and_remembered(place: Path) -> None:
    measure, asked = clock(3.0, 1.0, 2.0)
    assert tuning.fastest(SOURCES, FACTS, measure) == 1
    assert asked == [0, 1, 2]
    assert tuning.fastest(SOURCES, FACTS, measure) == 1
    assert asked == [0, 1, 2]
    (path,) = place.glob("tuned-*.json")
    assert place.stat().st_mode & 0o777 == 0o700 and path.stat().st_size < 1000


def test_what_cannot_run_is_not_picked(place: Path) -> None:
    measure, _ = clock(float("inf"), 5.0, float("inf"))
    assert tuning.fastest(SOURCES, FACTS, measure) == 1


def test_one_kernel_needs_no_measurement(place: Path) -> None:
    measure, asked = clock(1.0)
    assert tuning.fastest(SOURCES[:1], FACTS, measure) == 0
    assert asked == [] and [*place.iterdir()] == []


def test_other_questions_have_other_answers(place: Path) -> None:
    """Another device, version, text, option or number of programs is measured anew."""
    tuning.fastest(SOURCES, FACTS, clock(1.0, 2.0, 3.0)[0])
    other = Source("kernel 0", (), 0, 1, {"num_warps": 8})
    changed = [
        (SOURCES, {**FACTS, "gpu": "other"}),
        (SOURCES, {**FACTS, "triton": "4"}),
        ([other, *SOURCES[1:]], FACTS),
        (SOURCES[::-1], FACTS),
    ]
    for sources, facts in changed:
        measure, asked = clock(3.0, 2.0, 1.0)
        assert tuning.fastest(sources, facts, measure) == 2
        assert asked == [0, 1, 2]


HOSTILE = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"[" * 4000,
    b'{"choice": 1}',
    b"9" * 4000,
    b" " * 5000,
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_a_damaged_file_is_measured_anew(place: Path, content: bytes) -> None:
    tuning.fastest(SOURCES, FACTS, clock(3.0, 1.0, 2.0)[0])
    (path,) = place.glob("tuned-*.json")
    right = path.read_bytes()
    path.write_bytes(content)
    measure, asked = clock(3.0, 1.0, 2.0)
    assert tuning.fastest(SOURCES, FACTS, measure) == 1
    assert asked == [0, 1, 2]
    assert path.read_bytes() == right


@pytest.mark.parametrize("choice", [0, 3, -1, True, "1", 1.0, None, [1]])
def test_a_changed_choice_is_not_believed(place: Path, choice: object) -> None:
    """Neither with the old hash, nor, where it is no number of a kernel, with the right one."""
    tuning.fastest(SOURCES, FACTS, clock(3.0, 1.0, 2.0)[0])
    (path,) = place.glob("tuned-*.json")
    answer = {**json.loads(path.read_bytes()), "choice": choice}
    kept = {"question": answer["question"], "choice": choice}
    for digest in (answer["hash"], tuning._hash(kept)):
        if choice == 0 and choice is not False and digest != answer["hash"]:
            continue  # what this user's own program could have written
        path.write_text(json.dumps({**answer, "hash": digest}))
        measure, asked = clock(3.0, 1.0, 2.0)
        assert tuning.fastest(SOURCES, FACTS, measure) == 1
        assert asked == [0, 1, 2]


def test_a_link_is_not_followed(place: Path, tmp_path: Path) -> None:
    tuning.fastest(SOURCES, FACTS, clock(3.0, 1.0, 2.0)[0])
    (path,) = place.glob("tuned-*.json")
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    kept = elsewhere.read_bytes()
    measure, asked = clock(1.0, 2.0, 3.0)
    assert tuning.fastest(SOURCES, FACTS, measure) == 0
    assert asked == [0, 1, 2]
    assert elsewhere.read_bytes() == kept and not path.is_symlink()


def test_a_bind_runs_the_kernel_that_was_fastest(
    place: Path, monkeypatch: pytest.MonkeyPatch, gpu: mx.Context
) -> None:
    """With a clock that ticks once a launch: the last kernel seems fastest, and outputs stay."""
    from tritonsym.runtime import triton_runtime

    timed: list[float] = []

    def timer(step: Callable[[], object]) -> float:
        step()
        timed.append(1.0 / (1 + len(timed)))
        return timed[-1]

    monkeypatch.setattr(triton_runtime, "_timer", lambda device: timer)
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    values = np.random.default_rng(3).standard_normal((2, 33, 33)).astype(np.float32)
    given = {n: mx.nd.array(v, mx.gpu(0)) for n, v in zip("ab", values, strict=True)}
    graph = mx.sym.relu(mx.sym.dot(a, b) + 1)
    with mx.switched(tuning=True):
        executor = graph.bind(mx.gpu(0), given)
    assert len(timed) > 1
    assert not executor.outputs[0].asnumpy().any()
    due = np.maximum(values[0].astype(np.float64) @ values[1] + 1, 0)
    # A sum of 34 numbers of size 1, in float32.
    np.testing.assert_allclose(executor.forward()[0].asnumpy(), due, atol=34 * 2.0**-21)
    count = len(timed)
    with mx.switched(tuning=True):
        graph.bind(mx.gpu(0), given)
    graph.bind(mx.gpu(0), given)
    assert len(timed) == count


def test_a_kernel_that_the_compiler_refuses_is_not_picked(
    place: Path, monkeypatch: pytest.MonkeyPatch, gpu: mx.Context
) -> None:
    """The others still are, and the graph is bound."""
    from triton.runtime.errors import PTXASError

    from tritonsym.runtime import triton_runtime

    timed: list[float] = []

    def timer(step: Callable[[], object]) -> float:
        timed.append(1.0)
        if len(timed) == 1:
            raise PTXASError("no such registers")
        return timed[-1]

    monkeypatch.setattr(triton_runtime, "_timer", lambda device: timer)
    given = {name: mx.nd.ones((33, 33), gpu) for name in "ab"}
    with mx.switched(tuning=True):
        executor = mx.sym.dot(*map(mx.sym.Variable, "ab")).bind(gpu, given)
    assert len(timed) > 1
    assert (executor.forward()[0].asnumpy() == 33).all()
