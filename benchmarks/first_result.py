"""How long does a program wait for its first result, with nothing in any cache and with all of it?

Each contestant computes in a process of its own, twice, with caches in an empty folder: first cold,
then warm. Starting Python and importing the libraries is not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .machine import ROOT
from .report import duration, table

NAME = "first result"
# Parts of the names of workloads, of which the first that has it is taken.
MEASURED = ("(a*b)+(c*d)", "product, bias, gelu", "float32, step", "transformer block")
CACHES = ("TRITONSYM_CACHE", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "CUDA_CACHE_PATH")

Seconds = tuple[float, float]


def taken(workloads: Sequence[str]) -> list[str]:
    """The names of a few workloads among those of all, the simplest first."""
    return [next(name for name in workloads if part in name) for part in MEASURED]


def measure(
    device: str, size: str, workloads: Sequence[str], contestants: Sequence[str]
) -> dict[str, dict[str, Seconds | str]]:
    """Seconds by workload and contestant, or why there are none.

    Args:
        size: which of the sizes, such as ``CPU``.
    """
    return {
        name: {one: _in_process(device, size, name, one) for one in contestants}
        for name in workloads
    }


def _in_process(device: str, size: str, workload: str, contestant: str) -> Seconds | str:
    """Cold, then warm."""
    command = [sys.executable, "-m", __name__, device, size, workload, contestant]
    with tempfile.TemporaryDirectory() as folder:
        caches = {name: str(Path(folder) / name) for name in CACHES}
        found = []
        for _ in range(2):
            ended = subprocess.run(
                command, cwd=ROOT, env={**os.environ, **caches}, capture_output=True, text=True
            )
            lines = ended.stdout.strip().splitlines()
            if ended.returncode or not lines:
                return (ended.stderr.strip().splitlines() or ["no answer"])[-1][:60]
            answer = json.loads(lines[-1])
            if isinstance(answer, str):
                return answer
            found.append(float(answer))
    return found[0], found[1]


def shown(found: dict[str, dict[str, Seconds | str]]) -> str:
    """The table, of seconds by workload and contestant."""
    names = list(next(iter(found.values())))

    def cell(one: Seconds | str) -> str:
        return one if isinstance(one, str) else " / ".join(map(duration, one))

    rows = [(workload, *(cell(by[name]) for name in names)) for workload, by in found.items()]
    return table((f"{NAME}, cold / warm", *names), rows)


def main(given: Sequence[str]) -> None:
    """What the process does."""
    from . import contestants, devices, sizes, torch_peers
    from .questions import workloads

    device_name, size, name, contestant = given
    device = devices.find(device_name)
    assert device is not None
    (workload,) = (one for one in workloads(getattr(sizes, size)) if one.name == name)
    tensors = torch_peers.tensors(workload, device.torch)
    device.wait()
    (peer,) = (one for one in contestants.peers(device, None, ()) if one.name == contestant)
    assert peer.prepare is not None
    begin = time.perf_counter()
    try:
        prepared = peer.prepare(workload, tensors)
    except contestants.Missing as error:
        print(json.dumps(str(error)))
        return
    prepared.call()
    device.wait()
    print(json.dumps(time.perf_counter() - begin))


if __name__ == "__main__":
    main(sys.argv[1:])
