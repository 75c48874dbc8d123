"""Compile every kernel of the named graphs for a target and print what came of it, as JSON.

A program of its own, because Triton either compiles or interprets for the life of a process.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from named_graphs import GRAPHS, plan_of
from tritonsym.kernels import triton_source
from tritonsym.products.gpus import gpu_of_target
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


def squeezed(target: str) -> list[dict[str, object]]:
    """A kernel with fewer registers than it needs."""
    plan = plan_of(GRAPHS["layer-norm"])
    source = triton_source.write(plan.kernels[0], plan.layouts, gpu_of_target(target))
    assert source is not None
    few = replace(source, options={**source.options, "maxnreg": 32})
    code = ahead_of_time.compile_source(few, target)
    return [{"registers": code.registers, "spilled": code.spilled}]


if __name__ == "__main__":
    make = squeezed if "squeezed" in sys.argv else compiled
    json.dump(make(sys.argv[1]), sys.stdout)
