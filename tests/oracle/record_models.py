"""Let real MXNet 1.9.1 write small models, with inputs and its outputs, into tests/data/models.

Run by hand, with the Python of an environment that holds `mxnet==1.9.1` and `numpy==1.23.5`:

    MXNET_MKLDNN_ENABLED=0 MXNET_SUBGRAPH_BACKEND=NONE python tests/oracle/record_models.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np

MODELS = Path(__file__).resolve().parents[1] / "data" / "models"
DTYPES = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool")


def perceptron() -> Any:
    """Two fully connected layers and a softmax."""
    data = mx.sym.Variable("data")
    hidden = mx.sym.FullyConnected(data, name="fc1", num_hidden=16)
    active = mx.sym.Activation(hidden, name="relu1", act_type="relu")
    scores = mx.sym.FullyConnected(active, name="fc2", num_hidden=5, attr={"lr_mult": "2"})
    return mx.sym.softmax(scores, name="out")


def operators() -> Any:
    """One graph through many operators, with many outputs."""
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    ids = mx.sym.Variable("ids")
    row = mx.sym.Variable("row", shape=(1, 6))
    first, second = mx.sym.split(a, num_outputs=2, axis=1, name="halves")
    mixed = mx.sym.broadcast_add(a * 2 - b / 4, row, name="mixed")
    arithmetic = (1 - a) * (2 / (b + 3)) + a**2 - (-b) % 3 + abs(a)
    compared = (a > b) + (a >= 0) * (b <= 0.5) + (a != b)
    chosen = mx.sym.where(a > b, a, b, name="chosen")
    embedded = mx.sym.Embedding(ids, input_dim=7, output_dim=3, name="emb")
    taken = mx.sym.take(mx.sym.transpose(a), ids, name="taken")
    product = mx.sym.dot(a, mx.sym.reshape(b, shape=(6, -1)), name="product")
    batches = mx.sym.batch_dot(
        mx.sym.reshape(a, shape=(2, 2, 6)), mx.sym.reshape(b, shape=(2, 6, 2)), name="batches"
    )
    joined = mx.sym.Concat(first, second * 3, mx.sym.slice_axis(b, axis=1, begin=1, end=3), dim=1)
    stacked = mx.sym.stack(mx.sym.tile(row, reps=(2, 1)), mx.sym.repeat(row, repeats=2, axis=0))
    functions = mx.sym.sqrt(mx.sym.square(a) + 1) + mx.sym.tanh(b) * mx.sym.sigmoid(a)
    return mx.sym.Group(
        [
            mixed,
            arithmetic,
            compared,
            chosen,
            embedded,
            taken,
            product,
            batches,
            joined,
            stacked,
            functions,
            mx.sym.softmax(a, axis=1, name="probabilities"),
            mx.sym.log_softmax(b, name="logarithms"),
            mx.sym.sum(a, axis=1, name="total"),
            mx.sym.mean(b, name="average"),
            mx.sym.max(a, axis=0, keepdims=True, name="largest"),
            mx.sym.norm(a, name="length"),
            mx.sym.argmax(a, axis=1, name="where_largest"),
            mx.sym.clip(a, a_min=-0.5, a_max=0.5, name="clipped"),
            mx.sym.one_hot(ids, depth=4, name="hot"),
            mx.sym.Cast(a * 10, dtype="int32", name="whole"),
            mx.sym.expand_dims(mx.sym.Flatten(a), axis=0, name="expanded"),
            mx.sym.reverse(mx.sym.swapaxes(a, dim1=0, dim2=1), axis=0, name="turned"),
            mx.sym.zeros((2, 2)) + mx.sym.ones((2, 2)) + 0.5,
            mx.sym.arange(1, 4, name="counted"),
            second,
        ]
    )


def lenet() -> Any:
    """A small convolutional network with auxiliary states and a loss."""
    data = mx.sym.Variable("data")
    first = mx.sym.Convolution(data, kernel=(3, 3), num_filter=4, name="conv1")
    normal = mx.sym.BatchNorm(first, fix_gamma=False, name="bn1")
    active = mx.sym.Activation(normal, act_type="tanh", name="tanh1")
    pooled = mx.sym.Pooling(active, pool_type="max", kernel=(2, 2), stride=(2, 2), name="pool1")
    layer = mx.sym.FullyConnected(mx.sym.Flatten(pooled), num_hidden=3, name="fc1")
    return mx.sym.SoftmaxOutput(layer, name="softmax")


def write(name: str, symbol: Any, inputs: dict[str, np.ndarray]) -> None:
    """Save a symbol, random parameters, inputs and MXNet's outputs under one name."""
    random = np.random.RandomState(20)
    shapes = {key: value.shape for key, value in inputs.items()}
    arguments, _, auxiliary = symbol.infer_shape(**shapes)
    parameters = {
        key: mx.nd.array(random.uniform(-1, 1, shape))
        for key, shape in zip(symbol.list_arguments(), arguments, strict=True)
        if key not in inputs
    }
    states = {
        key: mx.nd.array(random.uniform(0.5, 1.5, shape))
        for key, shape in zip(symbol.list_auxiliary_states(), auxiliary, strict=True)
    }
    given = {key: mx.nd.array(value) for key, value in inputs.items()}
    executor = symbol.bind(mx.cpu(), {**parameters, **given}, aux_states=states)
    outputs = executor.forward(is_train=False)
    symbol.save(str(MODELS / f"{name}-symbol.json"))
    mx.nd.save(
        str(MODELS / f"{name}-0001.params"),
        {
            **{f"arg:{key}": value for key, value in parameters.items()},
            **{f"aux:{key}": value for key, value in states.items()},
        },
    )
    np.savez(
        MODELS / f"{name}.npz",
        **{f"in:{key}": value for key, value in inputs.items()},
        **{f"out:{place}": one.asnumpy() for place, one in enumerate(outputs)},
    )


def main() -> None:
    """Write every model and every file of arrays."""
    if mx.__version__ != "1.9.1":
        raise SystemExit(f"the files must come from MXNet 1.9.1, not {mx.__version__}")
    MODELS.mkdir(parents=True, exist_ok=True)
    random = np.random.RandomState(19)

    def numbers(*shape: int) -> np.ndarray:
        return random.uniform(-2, 2, shape).astype(np.float32)

    write("perceptron", perceptron(), {"data": numbers(4, 8)})
    write(
        "operators",
        operators(),
        {
            "a": numbers(4, 6),
            "b": numbers(4, 6),
            "row": numbers(1, 6),
            "ids": np.array([0, 3, 5, 1], dtype=np.float32),
        },
    )
    write(
        "lenet",
        lenet(),
        {"data": numbers(2, 1, 8, 8), "softmax_label": np.array([0, 2], dtype=np.float32)},
    )
    mx.nd.save(
        str(MODELS / "dtypes.params"),
        {one: mx.nd.array([[0, 1], [2, 100]], dtype=one) for one in DTYPES},
    )
    mx.nd.save(
        str(MODELS / "list.params"),
        [mx.nd.array([1, 2, 3]), mx.nd.array([[4]], dtype="int64"), mx.nd.zeros((2, 3, 1))],
    )
    mx.nd.save(str(MODELS / "one.params"), mx.nd.arange(5))
    mx.nd.save(
        str(MODELS / "names.params"),
        {
            "arg:fc_weight": mx.nd.ones((2, 2)),
            "aux:bn_moving_mean": mx.nd.zeros((2,)),
            "caf\u00e9 \u6f22": mx.nd.array([float("nan"), float("inf"), -0.0]),
            "": mx.nd.array([1]),
        },
    )


if __name__ == "__main__":
    main()
