"""Compile every kernel of the named graphs for a target and print what came of it, as JSON.

A program of its own, because Triton either compiles or interprets for the life of a process.
"""

from __future__ import annotations

import json
import sys

from named_graphs import GRAPHS, plan_of
from tritonsym.runtime import ahead_of_time


def compiled(target: str) -> list[dict[str, object]]:
    rows = []
    for name, graph in GRAPHS.items():
        for number, (kernel, code) in enumerate(ahead_of_time.compile_plan(plan_of(graph), target)):
            if code is not None:
                rows.append(
                    {
                        "kernel": f"{name}/{number}",
                        "form": kernel.form,
                        "registers": code.registers,
                        "spilled": code.spilled,
                        "shared": code.shared,
                        "widest": code.widest_access,
                        "tensor cores": code.uses_tensor_cores,
                        "descriptors": code.moves_blocks,
                        "ptx": code.ptx,
                        "forbidden": ahead_of_time.forbidden(kernel, code),
                    }
                )
    return rows


if __name__ == "__main__":
    json.dump(compiled(sys.argv[1]), sys.stdout)
