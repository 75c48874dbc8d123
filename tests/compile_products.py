"""Compile the likeliest kernel of many matrix products for a target and print it, as JSON.

A program of its own, because Triton either compiles or interprets for the life of a process.
"""

from __future__ import annotations

import json
import re
import sys
from unittest import mock

import tritonsym as mx
from tritonsym.foundation.dtype import BY_NAME
from tritonsym.plan_command import plan_for_gpu
from tritonsym.products import products
from tritonsym.products.gpus import gpu_of_target
from tritonsym.runtime import ahead_of_time

# Rows, columns and depth, by what they are examples of.
SIZES = {
    "huge": (4096, 4096, 4096),
    "large": (2048, 2048, 512),
    "middle": (512, 1024, 512),
    "small": (64, 96, 256),
    "skinny": (16, 1024, 1024),
    "row": (1, 1024, 1024),
    "deep": (32, 32, 16384),
}
# What only large products that walk from tile to tile are compiled with, by name.
FOLLOWED = ("relu", "erf", "residual", "ragged", "turned")
# What matters of a kernel's instructions, for the abstract machine and for the real one. The
# latter are read of a few kernels, since they take longer to read than to make.
WORDS = (
    r"\b(mma\.sync|wgmma\.mma_async|tcgen05\.mma|fma\.rn\.f32(?:x2)?|cp\.async\.c[ag]"
    r"|cp\.async\.bulk\.tensor\.\dd\.(?:shared|global))\b"
)
MACHINE_WORDS = r"\b(HGMMA|HMMA|DMMA|IGMMA|IMMA|FFMA|UTC\w*MMA|UTMALDG|UTMASTG|LDGSTS)\b"
MACHINE_LOADS = r"\bLDG(?:STS)?\.E(?:\.[A-Z]\w*)*?\.(128|64)\b"
READ = ("large", "middle", "huge relu")
KINDS = {
    "float16": ("float16", "ieee"),
    "bfloat16": ("bfloat16", "ieee"),
    "float32": ("float32", "ieee"),
    "tf32": ("float32", "tf32"),
    "tf32x3": ("float32", "tf32x3"),
    "float64": ("float64", "ieee"),
    "int8": ("int8", "ieee"),
    "uint8": ("uint8", "ieee"),
    "int32": ("int32", "ieee"),
    "int64": ("int64", "ieee"),
}


def symbol(followed: str) -> mx.Symbol:
    """A layer with a bias; its weight has a row for each column of the result, unless turned."""
    data, weight, bias = map(mx.sym.Variable, ("data", "weight", "bias"))
    turned = followed == "turned"
    product = mx.sym.dot(data, weight, transpose_a=turned, transpose_b=not turned)
    layer = mx.sym.broadcast_add(product, bias)
    if followed == "residual":
        return mx.sym.relu(layer) + mx.sym.Variable("residual")
    return getattr(mx.sym, followed)(layer) if followed in ("relu", "erf") else layer


def compiled(target: str, kind: str, size: str, followed: str = "") -> dict[str, object]:
    """The product's kernel."""
    name, precision = KINDS[kind]
    rows, columns, depth = (n - 40 if followed == "ragged" else n for n in SIZES[size])
    shapes = {"data": (rows, depth), "weight": (columns, depth), "bias": (1, columns)}
    if followed == "turned":
        shapes |= {"data": (depth, rows), "weight": (depth, columns)}
    if followed == "residual":
        shapes["residual"] = (rows, columns)
    # Ours, also of what a library computes better on the one GPU that was measured.
    with mx.switched(matmul_precision=precision), mock.patch.object(products, "by_library"):
        products.by_library.return_value = None
        graph = symbol(followed)
        dtypes = dict.fromkeys(shapes, BY_NAME[name])
        plan = plan_for_gpu(graph, shapes, dtypes, gpu_of_target(target))
    codes = ahead_of_time.compile_plan(plan, target)
    (code,) = [code for kernel, code in codes if kernel.form == "matmul"]
    assert code is not None
    example = f"{size} {followed}".rstrip()
    sass = code.sass if example in READ else None
    return {
        "name": f"{kind} {example}",
        "registers": code.registers,
        "spilled": code.spilled,
        "shared": code.shared,
        "widest": code.widest_access,
        "tensor cores": code.uses_tensor_cores,
        "descriptors": code.moves_blocks,
        "instructions": sorted(set(re.findall(WORDS, code.ptx))),
        "machine": sass and sorted(set(re.findall(MACHINE_WORDS, sass))),
        "machine's widest": sass and max(map(int, re.findall(MACHINE_LOADS, sass)), default=0),
    }


if __name__ == "__main__":
    target = sys.argv[1]
    rows = [compiled(target, kind, size) for kind in KINDS for size in SIZES if size != "huge"]
    rows += [compiled(target, kind, "large", "erf") for kind in ("bfloat16", "tf32")]
    rows += [compiled(target, kind, "huge") for kind in ("float16", "bfloat16", "tf32")]
    rows += [compiled(target, "bfloat16", "huge", followed) for followed in FOLLOWED]
    json.dump(rows, sys.stdout)
