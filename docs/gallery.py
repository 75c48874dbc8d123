"""The gallery of plans: ``gallery.md``, written by ``generate.py`` from the graphs below."""

from __future__ import annotations

import tritonsym as mx
from tritonsym.foundation.dtype import as_dtype
from tritonsym.kernels import triton_source
from tritonsym.name import NameManager
from tritonsym.plan_command import plan_for_gpu
from tritonsym.planning.plan import Plan
from tritonsym.products.gpus import H100
from tritonsym.symbol import Symbol

sym = mx.sym
Shape = tuple[int, ...]

_HEAD = """\
# Plans

<!-- Written by docs/generate.py from docs/gallery.py. -->

What `bind` makes of some graphs for a GPU: `print(executor.plan)`, where every line of a kernel is
what it reads, what it writes, and how many bytes that is. "At least" is what any plan would have to
move: each input read once, each output written once. `python -m tritonsym plan FILE-symbol.json`
shows the same for a saved symbol, without a GPU.

| graph | kernels |
|---|---|
{rows}
"""


def tutorial() -> tuple[Symbol, dict[str, Shape], str]:
    """The tutorial's graph: all arithmetic of one shape is one kernel, which moves the least."""
    a, b, c, d = (sym.Variable(name) for name in "ABCD")
    return (a * b) + (c * d), dict.fromkeys("ABCD", (1000, 1000)), "float32"


def softmax() -> tuple[Symbol, dict[str, Shape], str]:
    """Softmax: reductions of the same rows take what surrounds them along."""
    return sym.softmax(sym.Variable("data")), {"data": (4096, 1000)}, "float32"


def layer_norm() -> tuple[Symbol, dict[str, Shape], str]:
    """A layer norm, written with means: each row is read once and stays in registers."""
    return _normalised(sym.Variable("data"), "norm", 768), {"data": (16, 128, 768)}, "float16"


def perceptron() -> tuple[Symbol, dict[str, Shape], str]:
    """A perceptron: each product has its bias and its activation in its own kernel."""
    x = sym.Variable("data")
    for number, width in enumerate((128, 64)):
        layer = sym.FullyConnected(x, num_hidden=width, name=f"fc{number}")
        x = sym.Activation(layer, act_type="relu", name=f"relu{number}")
    last = sym.FullyConnected(x, num_hidden=10, name="fc2")
    return sym.softmax(last, name="probabilities"), {"data": (64, 784)}, "float16"


def attention() -> tuple[Symbol, dict[str, Shape], str]:
    """Attention: few scores are scaled where they are computed, and stored in 16 bits."""
    query, key, value = (sym.Variable(name) for name in ("query", "key", "value"))
    scores = sym.batch_dot(query, key, transpose_b=True) * 0.125
    shapes = dict.fromkeys(("query", "key", "value"), (12, 256, 64))
    return sym.batch_dot(sym.softmax(scores), value), shapes, "float16"


def transformer_block() -> tuple[Symbol, dict[str, Shape], str]:
    """A transformer block: products and rows, and no elementwise kernel of its own.

    With this many scores attention is a library's call, which stores none of them. Taking the heads
    apart is no work, since each is strides over a token; and the call's result lies in the order in
    which the projection reads it.
    """
    x = sym.Variable("data")
    inner = _normalised(x, "first", 512)
    query, key, value = (_heads(_dense(inner, 512, name)) for name in ("query", "key", "value"))
    scores = sym.batch_dot(query, key, transpose_b=True) * 0.125
    mixed = sym.reshape(sym.batch_dot(sym.softmax(scores), value), shape=(-4, -1, 8, 0, 0))
    joined = sym.reshape(sym.transpose(mixed, axes=(0, 2, 1, 3)), shape=(0, 0, -3))
    x = x + _dense(joined, 512, "projection")
    up = _dense(_normalised(x, "second", 512), 2048, "up")
    gelu = up * (sym.erf(up * 0.5**0.5) + 1.0) * 0.5
    return x + _dense(gelu, 512, "down"), {"data": (8, 256, 512)}, "float16"


def updates() -> tuple[Symbol, dict[str, Shape], str]:
    """A step of six weights: small kernels that do not wait for each other are one launch.

    Its text has the function of a part once, and a table says where each part's memory is.
    """
    pairs = [[sym.Variable(f"{name}{i}") for name in ("weight", "gradient")] for i in range(6)]
    symbol = sym.Group([weight - gradient * 0.125 for weight, gradient in pairs])
    return symbol, dict.fromkeys(symbol.list_inputs(), (256, 256)), "float32"


def _normalised(x: Symbol, name: str, width: int) -> Symbol:
    gamma, beta = (sym.Variable(f"{name}_{p}", shape=(1, 1, width)) for p in ("gamma", "beta"))
    wide = sym.cast(x, dtype="float32")
    centred = sym.broadcast_sub(wide, sym.mean(wide, axis=-1, keepdims=True))
    variance = sym.mean(sym.square(centred), axis=-1, keepdims=True)
    normal = sym.cast(sym.broadcast_mul(centred, sym.rsqrt(variance + 1e-5)), dtype="float16")
    return sym.broadcast_add(sym.broadcast_mul(normal, gamma), beta)


def _dense(x: Symbol, width: int, name: str) -> Symbol:
    return sym.FullyConnected(x, num_hidden=width, flatten=False, name=name)


def _heads(x: Symbol) -> Symbol:
    split = sym.transpose(sym.reshape(x, shape=(0, 0, 8, 64)), axes=(0, 2, 1, 3))
    return sym.reshape(split, shape=(-3, 0, 0))


_GRAPHS = (tutorial, softmax, layer_norm, perceptron, attention, transformer_block, updates)


def gallery() -> str:
    """The text of ``gallery.md``."""
    sections, rows = [], []
    for build in _GRAPHS:
        with NameManager():
            symbol, shapes, dtype = build()
        names = symbol.list_inputs()
        plan = plan_for_gpu(symbol, shapes, {name: as_dtype(dtype) for name in names})
        title = build.__name__.replace("_", " ").capitalize()
        rows.append(f"| [{title}](#{title.lower().replace(' ', '-')}) | {len(plan.kernels)} |")
        about = "\n".join(line.strip() for line in (build.__doc__ or "").splitlines())
        sections.append(f"## {title}\n\n{about.strip()}\n\n```text\n{plan}\n```\n")
        if build is softmax:
            sections.append(f"Its kernel, as it is written:\n\n```python\n{_source(plan)}```\n")
    return "\n".join([_HEAD.format(rows="\n".join(rows)), *sections])


def _source(plan: Plan) -> str:
    """The text of a plan's first kernel."""
    source = triton_source.write(plan.kernels[0], plan.layouts, H100)
    assert source is not None
    return source.text
