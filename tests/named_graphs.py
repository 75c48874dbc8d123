"""Graphs with names, whose plans and kernels are kept as text and compiled for GPUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tritonsym as mx
from tritonsym.foundation.dtype import BY_NAME
from tritonsym.plan_command import plan_for_gpu
from tritonsym.planning.plan import Plan

Shape = tuple[int, ...]
sym = mx.sym


@dataclass(frozen=True)
class NamedGraph:
    """How to build a symbol, and for which shapes and dtypes."""

    build: Callable[[], mx.Symbol]
    shapes: dict[str, Shape]
    dtype: str = "float32"


def variables(*names: str) -> list[mx.Symbol]:
    return [sym.Variable(name) for name in names]


def tutorial() -> mx.Symbol:
    a, b, c, d = variables("a", "b", "c", "d")
    return (a * b) + (c * d)


def chain() -> mx.Symbol:
    x = sym.Variable("a")
    for _ in range(5):
        x = sym.tanh(x * 0.5 + 1.0)
    return x


def softmax() -> mx.Symbol:
    return sym.softmax(sym.Variable("a"))


def column_sums() -> mx.Symbol:
    return sym.sum(sym.relu(sym.Variable("a")), axis=0)


def scaled_bias() -> mx.Symbol:
    a, b = variables("a", "b")
    return sym.relu(sym.broadcast_add(a, b)) * 0.125


def layer_norm() -> mx.Symbol:
    a, gamma, beta = variables("a", "gamma", "beta")
    centred = sym.broadcast_sub(a, sym.mean(a, axis=-1, keepdims=True))
    variance = sym.mean(sym.square(centred), axis=-1, keepdims=True)
    normal = sym.broadcast_mul(centred, sym.rsqrt(variance + 1e-5))
    return sym.broadcast_add(sym.broadcast_mul(normal, gamma), beta)


def layer_norm_operator() -> mx.Symbol:
    return sym.LayerNorm(*variables("a", "gamma", "beta"))


def perceptron() -> mx.Symbol:
    x = sym.Variable("data")
    for width in (64, 32):
        x = sym.Activation(sym.FullyConnected(x, num_hidden=width), act_type="relu")
    return sym.softmax(sym.FullyConnected(x, num_hidden=10))


def dense() -> mx.Symbol:
    x = sym.Variable("data")
    return sym.relu(sym.FullyConnected(x, num_hidden=1024, name="fc")) + sym.Variable("residual")


def wide_dense() -> mx.Symbol:
    """More tiles than a GPU computes at a time."""
    return sym.relu(sym.FullyConnected(sym.Variable("data"), num_hidden=4096, name="fc"))


def narrow_dense() -> mx.Symbol:
    """Few columns: the product computes its operand itself."""
    a, b = variables("a", "b")
    return sym.FullyConnected(sym.relu(sym.broadcast_add(a, b)), num_hidden=128, name="fc")


def attention() -> mx.Symbol:
    query, key, value = variables("query", "key", "value")
    weights = sym.softmax(sym.batch_dot(query, key, transpose_b=True) * 0.125)
    return sym.batch_dot(weights, value)


def normalised(x: mx.Symbol, name: str) -> mx.Symbol:
    """The layer norm of the last axis, in float32 as its users write it."""
    gamma, beta = (sym.Variable(f"{name}_{part}", shape=(1, 1, 128)) for part in ("gamma", "beta"))
    wide = sym.cast(x, dtype="float32")
    centred = sym.broadcast_sub(wide, sym.mean(wide, axis=-1, keepdims=True))
    variance = sym.mean(sym.square(centred), axis=-1, keepdims=True)
    normal = sym.cast(sym.broadcast_mul(centred, sym.rsqrt(variance + 1e-5)), dtype="float16")
    return sym.broadcast_add(sym.broadcast_mul(normal, gamma), beta)


def projected(x: mx.Symbol, width: int, name: str) -> mx.Symbol:
    return sym.FullyConnected(x, num_hidden=width, flatten=False, name=name)


def heads(x: mx.Symbol) -> mx.Symbol:
    """(batch, length, 4 * 32) to (batch * 4, length, 32)."""
    split = sym.transpose(sym.reshape(x, shape=(0, 0, 4, 32)), axes=(0, 2, 1, 3))
    return sym.reshape(split, shape=(-3, 0, 0))


def gelu(x: mx.Symbol) -> mx.Symbol:
    return x * (sym.erf(x * 0.5**0.5) + 1.0) * 0.5


def transformer_block() -> mx.Symbol:
    x = sym.Variable("data")
    inner = normalised(x, "first")
    query, key, value = (heads(projected(inner, 128, name)) for name in ("query", "key", "value"))
    scores = sym.batch_dot(query, key, transpose_b=True) * 32**-0.5
    mixed = sym.batch_dot(sym.softmax(scores), value)
    joined = sym.transpose(sym.reshape(mixed, shape=(-4, -1, 4, 0, 0)), axes=(0, 2, 1, 3))
    x = x + projected(sym.reshape(joined, shape=(0, 0, -3)), 128, "projection")
    inner = gelu(projected(normalised(x, "second"), 512, "up"))
    return x + projected(inner, 128, "down")


def images() -> mx.Symbol:
    """Convolutions, with windows and a residual between them."""
    x = sym.Variable("data")
    for number in range(2):
        x = sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=64, name=f"conv{number}")
        x = sym.Pooling(sym.relu(x), kernel=(2, 2), stride=(2, 2), pool_type="max")
    inner = sym.Convolution(x, kernel=(1, 1), num_filter=64, name="inner")
    return sym.relu(inner + x)


def transposed_sum() -> mx.Symbol:
    a, b = variables("a", "b")
    return a + sym.transpose(b)


def turned_keys() -> mx.Symbol:
    """Heads whose keys are turned round, so that a product reads them in order."""
    keys = sym.reshape(sym.relu(sym.Variable("keys")), shape=(0, 0, 12, 64))
    return sym.reshape(sym.transpose(keys, axes=(0, 2, 3, 1)), shape=(-3, -2))


def joined() -> mx.Symbol:
    a, b = variables("a", "b")
    return sym.Concat(a, sym.reverse(b, axis=1), dim=1)


def lookup() -> mx.Symbol:
    indices, weight = variables("indices", "weight")
    return sym.Embedding(indices, weight, input_dim=50, output_dim=32) * 2.0


def integers() -> mx.Symbol:
    a, b = variables("a", "b")
    return sym.broadcast_mod(a, b) + a / b


def dropout() -> mx.Symbol:
    a, residual = variables("a", "residual")
    kept = sym.random_uniform(shape=(64, 1000)) < 0.75
    return sym.broadcast_mul(a, kept) / 0.75 + residual


def side_by_side() -> mx.Symbol:
    """Updates of four weights, and two softmaxes: none waits for another."""
    names = [f"{name}{i}" for i in range(4) for name in ("weight", "gradient")]
    pairs = zip(*[iter(variables(*names))] * 2, strict=True)
    updates = [weight - gradient * 0.125 for weight, gradient in pairs]
    return sym.Group([*updates, *(sym.softmax(x) for x in variables("left", "right"))])


def many_terms() -> mx.Symbol:
    """As in the gradients of a recurrent network: much is read, and much of it is stored."""
    gates = [sym.sigmoid(x) for x in variables(*(f"a{i}" for i in range(30)))]
    state = gates[0]
    for gate in gates[1:]:
        state = gate * sym.tanh(state)
    return sym.Group([state, *(gate * (1 - gate) for gate in gates)])


def many_sums() -> mx.Symbol:
    """The gradient of a bias that each step of a recurrent network has added."""
    return sym.add_n(*(sym.sum(x, axis=0) for x in variables(*(f"a{i}" for i in range(30)))))


GRAPHS: dict[str, NamedGraph] = {
    "tutorial": NamedGraph(tutorial, dict.fromkeys("abcd", (1000, 1000))),
    "chain": NamedGraph(chain, {"a": (64, 1000)}, "float16"),
    "softmax-short": NamedGraph(softmax, {"a": (128, 1000)}),
    "softmax-long": NamedGraph(softmax, {"a": (8, 50000)}, "bfloat16"),
    "softmax-tiny": NamedGraph(softmax, {"a": (1000, 10)}),
    "column-sums": NamedGraph(column_sums, {"a": (3000, 640)}, "bfloat16"),
    "scaled-bias": NamedGraph(scaled_bias, {"a": (64, 256), "b": (1, 256)}),
    "layer-norm": NamedGraph(layer_norm, {"a": (64, 768), "gamma": (1, 768), "beta": (1, 768)}),
    "layer-norm-long": NamedGraph(
        layer_norm_operator, {"a": (64, 50000), "gamma": (50000,), "beta": (50000,)}, "bfloat16"
    ),
    "perceptron": NamedGraph(perceptron, {"data": (16, 100)}),
    "dense": NamedGraph(dense, {"data": (512, 768)}, "bfloat16"),
    "wide-dense": NamedGraph(wide_dense, {"data": (4096, 4096)}, "bfloat16"),
    "narrow-dense": NamedGraph(narrow_dense, {"a": (4096, 800), "b": (1, 800)}, "float16"),
    "attention": NamedGraph(
        attention, dict.fromkeys(("query", "key", "value"), (12, 256, 64)), "float16"
    ),
    "long-attention": NamedGraph(
        attention, dict.fromkeys(("query", "key", "value"), (12, 1024, 64)), "float16"
    ),
    "transformer-block": NamedGraph(transformer_block, {"data": (4, 96, 128)}, "float16"),
    "images": NamedGraph(images, {"data": (32, 3, 64, 64)}, "bfloat16"),
    "transposed-sum": NamedGraph(transposed_sum, {"a": (96, 64), "b": (64, 96)}),
    "transposed-large": NamedGraph(transposed_sum, {"a": (4096, 2048), "b": (2048, 4096)}),
    "turned-keys": NamedGraph(turned_keys, {"keys": (4, 400, 768)}, "bfloat16"),
    "joined": NamedGraph(joined, {"a": (12, 20), "b": (12, 7)}, "float64"),
    "lookup": NamedGraph(lookup, {"indices": (6, 9)}),
    "dropout": NamedGraph(dropout, {"a": (64, 1000), "residual": (64, 1000)}),
    "side-by-side": NamedGraph(
        side_by_side,
        dict.fromkeys([f"{name}{i}" for i in range(4) for name in ("weight", "gradient")], (99, 64))
        | {"left": (40, 300), "right": (40, 300)},
    ),
    "many-terms": NamedGraph(many_terms, {f"a{i}": (64, 650) for i in range(30)}),
    "many-sums": NamedGraph(many_sums, {f"a{i}": (64, 2600) for i in range(30)}),
    "integers": NamedGraph(integers, {"a": (5, 40), "b": (5, 40)}, "int32"),
}


def plan_of(graph: NamedGraph, prefix: str = "") -> Plan:
    """The plan for a GPU; every variable's name may get a prefix."""
    with mx.name.Prefix(prefix) if prefix else mx.name.NameManager():
        symbol = graph.build()
    dtypes = {name: BY_NAME[graph.dtype] for name in symbol.list_inputs()}
    return plan_for_gpu(symbol, graph.shapes, dtypes)
