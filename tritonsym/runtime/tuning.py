"""Which of several kernels is the fastest: measured once, and remembered on disk.

An answer is a small JSON file in the folder of the user's own modules. It is named by the hash of
its question, which holds the device, the versions and the kernels' text, and it carries a hash of
itself. What is no such file, or no answer to that question, is measured anew and written over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..expressions.reference import Step
from ..foundation.errors import MXNetError
from ..foundation.files import replace_file
from ..kernels.triton_writer import Source
from . import module_cache
from .cuda_graph import recorder

# Bytes of the longest answer that is looked at.
_LONGEST = 4096
# Launches that are timed as one, and how often; the first few are not counted.
_LAUNCHES = 20
_TIMES = 9
_UNCOUNTED = 2


def fastest(
    sources: Sequence[Source], facts: Mapping[str, str], measure: Callable[[int], float]
) -> int:
    """The number of the fastest kernel.

    Args:
        sources: kernels that compute the same, the likeliest first.
        facts: what the answer depends on besides: the device, and versions.
        measure: how many seconds the kernel of a number takes; infinity where it cannot run.
    """
    if len(sources) < 2:
        return 0
    question = _question(sources, facts)
    path = module_cache.folder() / f"tuned-{question}.json"
    known = _answer(path, question, len(sources))
    if known is not None:
        return known
    seconds = [measure(number) for number in range(len(sources))]
    choice = min(range(len(sources)), key=seconds.__getitem__)
    found = {"question": question, "choice": choice}
    # A full or broken cache is no reason to fail.
    with contextlib.suppress(OSError, MXNetError):
        replace_file(path, json.dumps({**found, "hash": _hash(found)}).encode())
    return choice


def _question(sources: Sequence[Source], facts: Mapping[str, str]) -> str:
    kernels = [[s.text, s.programs, sorted(s.options.items())] for s in sources]
    return _hash([sorted(facts.items()), kernels])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _answer(path: Path, question: str, count: int) -> int | None:
    """What a file says to a question, if it is what `fastest` wrote."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LONGEST:
            path.unlink(missing_ok=True)
            return None
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or set(found) != {"question", "choice", "hash"}:
        return None
    choice = found["choice"]
    kept = {"question": found["question"], "choice": choice}
    if found["question"] != question or found["hash"] != _hash(kept):
        return None
    return choice if type(choice) is int and 0 <= choice < count else None


def device_seconds(step: Step, device: torch.device) -> float:
    """How long a step takes on a GPU, without what its launch costs the host: the median."""

    def launches() -> None:
        for _ in range(_LAUNCHES):
            step()

    with torch.cuda.device(device):
        step()
        replay = recorder(device)(launches)
        times = []
        for number in range(_UNCOUNTED + _TIMES):
            begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            begin.record()
            replay()
            end.record()
            end.synchronize()
            if number >= _UNCOUNTED:
                times.append(float(begin.elapsed_time(end)) / 1e3 / _LAUNCHES)
    return statistics.median(times)
