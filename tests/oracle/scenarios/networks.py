"""Whole networks as programs for MXNet write them: outputs, gradients and states of each."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from oracle.scenario import Answer, plain, register

Shapes = dict[str, tuple[int, ...]]
Network = Callable[[ModuleType], tuple[Any, Shapes]]

# Arguments that are indices, and how many of them there are.
CLASSES = {"softmax_label": 3, "user": 5, "item": 4, "words": 6, "places": 4, "classes": 4}
# Sums of a few hundred products of float32 in other orders, through several layers.
TOLERANCE = 2e-4


def convolved(sym: Any, x: Any, filters: int, name: str, **given: Any) -> Any:
    """A convolution, its normal form and a relu."""
    size = {"kernel": (3, 3), "pad": (1, 1), "no_bias": True, **given}
    x = sym.Convolution(data=x, num_filter=filters, name=name, **size)
    x = sym.BatchNorm(data=x, fix_gamma=False, eps=2e-5, momentum=0.9, name=name + "_bn")
    return sym.Activation(data=x, act_type="relu", name=name + "_relu")


def residual(mx: ModuleType) -> tuple[Any, Shapes]:
    sym = mx.sym
    x = sym.BatchNorm(data=sym.Variable("data"), fix_gamma=True, eps=2e-5, name="bn_data")
    x = convolved(sym, x, 4, "conv0")
    for unit, (filters, stride) in enumerate([(4, 1), (6, 2)]):
        name = f"unit{unit}"
        inner = convolved(sym, x, filters, name + "_conv1", stride=(stride, stride))
        inner = convolved(sym, inner, filters, name + "_conv2")
        if stride != 1:
            x = sym.Convolution(
                x, num_filter=filters, kernel=(1, 1), stride=(2, 2), no_bias=True, name=name + "_sc"
            )
        x = sym.Activation(inner + x, act_type="relu")
    x = sym.Pooling(data=x, global_pool=True, kernel=(7, 7), pool_type="avg", name="pool1")
    x = sym.FullyConnected(data=sym.Flatten(data=x), num_hidden=3, name="fc1")
    return sym.SoftmaxOutput(data=x, name="softmax"), {"data": (2, 3, 8, 8), "softmax_label": (2,)}


def separable(mx: ModuleType) -> tuple[Any, Shapes]:
    sym = mx.sym
    x = convolved(sym, sym.Variable("data"), 4, "first", stride=(2, 2))
    x = convolved(sym, x, 4, "depthwise", num_group=4)
    x = convolved(sym, x, 6, "pointwise", kernel=(1, 1), pad=(0, 0))
    x = sym.Pooling(
        x, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full", name="pool"
    )
    x = sym.FullyConnected(sym.flatten(x), num_hidden=3, name="fc")
    x = sym.SoftmaxOutput(x, name="softmax", grad_scale=0.5, smooth_alpha=0.1)
    return x, {"data": (2, 2, 11, 9), "softmax_label": (2,)}


def dense_blocks(mx: ModuleType) -> tuple[Any, Shapes]:
    sym = mx.sym
    x = sym.Convolution(sym.Variable("data"), num_filter=3, kernel=(3, 3), pad=(1, 1), name="first")
    for layer in range(2):
        y = sym.BatchNorm(x, name=f"bn{layer}")
        y = sym.Activation(y, act_type="relu")
        y = sym.Convolution(y, num_filter=2, kernel=(3, 3), pad=(1, 1), name=f"conv{layer}")
        x = sym.Concat(x, y, dim=1, name=f"concat{layer}")
    x = sym.Pooling(sym.LRN(x, nsize=3), kernel=(2, 2), stride=(2, 2), pool_type="avg")
    x = sym.FullyConnected(sym.Flatten(x), num_hidden=3, name="fc")
    return sym.LogisticRegressionOutput(x, sym.Variable("target")), {
        "data": (2, 2, 6, 6),
        "target": (2, 3),
    }


def segmentation(mx: ModuleType) -> tuple[Any, Shapes]:
    sym = mx.sym
    data = sym.Variable("data")
    x = sym.Convolution(data, num_filter=4, kernel=(3, 3), pad=(1, 1), name="conv")
    x = sym.Pooling(
        sym.Activation(x, act_type="relu"), kernel=(2, 2), stride=(2, 2), pool_type="max"
    )
    x = sym.Convolution(x, num_filter=3, kernel=(1, 1), name="score")
    x = sym.Deconvolution(
        x, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=3, no_bias=True, name="up"
    )
    x = sym.LeakyReLU(sym.Crop(x, data, name="crop"), act_type="leaky", slope=0.1)
    x = sym.SoftmaxOutput(
        data=x,
        multi_output=True,
        use_ignore=True,
        ignore_label=2,
        normalization="valid",
        name="softmax",
    )
    return x, {"data": (2, 3, 6, 6), "softmax_label": (2, 6, 6)}


def adversary(mx: ModuleType) -> tuple[Any, Shapes]:
    """A generator of images, and what judges them."""
    sym = mx.sym
    x = sym.Deconvolution(
        sym.Variable("noise"), kernel=(4, 4), num_filter=4, no_bias=True, name="g1"
    )
    x = sym.Activation(sym.BatchNorm(x, fix_gamma=True, eps=1e-4, name="gbn"), act_type="relu")
    x = sym.Deconvolution(
        x, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=2, no_bias=True, name="g2"
    )
    x = sym.Activation(x, act_type="tanh")
    x = sym.Convolution(x, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=3, name="d1")
    x = sym.LeakyReLU(x, act_type="leaky", slope=0.2)
    x = sym.FullyConnected(sym.Flatten(x), num_hidden=1, name="d2")
    return sym.LogisticRegressionOutput(data=x, label=sym.Variable("real"), name="judged"), {
        "noise": (3, 4, 1, 1),
        "real": (3, 1),
    }


def ratings(mx: ModuleType) -> tuple[Any, Shapes]:
    sym = mx.sym
    user = sym.Embedding(sym.Variable("user"), input_dim=5, output_dim=4, name="users")
    item = sym.Embedding(sym.Variable("item"), input_dim=4, output_dim=4, name="items")
    user = sym.FullyConnected(sym.Activation(sym.Flatten(user), act_type="relu"), num_hidden=4)
    x = sym.Flatten(sym.sum_axis(user * sym.Flatten(item), axis=1))
    return sym.LinearRegressionOutput(x, sym.Variable("score")), {
        "user": (7,),
        "item": (7,),
        "score": (7, 1),
    }


def language_model(mx: ModuleType) -> tuple[Any, Shapes]:
    sym = mx.sym
    cells = mx.rnn.SequentialRNNCell()
    cells.add(mx.rnn.LSTMCell(5, prefix="lstm_"))
    cells.add(mx.rnn.ResidualCell(mx.rnn.GRUCell(5, prefix="gru_")))
    words = sym.Embedding(sym.Variable("words"), input_dim=6, output_dim=5, name="embedding")
    outputs, _ = cells.unroll(4, inputs=words, merge_outputs=True)
    x = sym.FullyConnected(sym.Reshape(outputs, shape=(-1, 5)), num_hidden=6, name="scores")
    label = sym.Reshape(sym.Variable("softmax_label"), shape=(-1,))
    return sym.SoftmaxOutput(x, label, name="softmax", use_ignore=True, ignore_label=0), {
        "words": (3, 4),
        "softmax_label": (3, 4),
    }


def reader_in_both_directions(mx: ModuleType) -> tuple[Any, Shapes]:
    sym = mx.sym
    cell = mx.rnn.BidirectionalCell(
        mx.rnn.LSTMCell(3, prefix="forth_"), mx.rnn.LSTMCell(3, prefix="back_")
    )
    words = sym.Embedding(sym.Variable("words"), input_dim=6, output_dim=4, name="embedding")
    outputs, _ = cell.unroll(3, inputs=words, merge_outputs=True)
    x = sym.SequenceLast(sym.SwapAxis(outputs, dim1=0, dim2=1))
    x = sym.FullyConnected(x, num_hidden=4, name="scores")
    return sym.SVMOutput(x, sym.Variable("classes"), margin=0.7), {
        "words": (3, 3),
        "classes": (3,),
    }


def attention(mx: ModuleType) -> tuple[Any, Shapes]:
    sym = mx.sym
    query, key, value = (sym.Variable(name) for name in ("query", "key", "value"))
    scores = sym.batch_dot(query, key, transpose_b=True) / 8**0.5
    mask = sym.Variable("mask")
    seen = sym.broadcast_greater(mask, sym.zeros_like(mask))
    weights = sym.softmax(sym.where(seen, scores, -1e9 * sym.ones_like(scores)), axis=-1)
    x = sym.batch_dot(weights, value) + query
    x = sym.LayerNorm(x, sym.Variable("gamma"), sym.Variable("beta"))
    losses = [sym.make_loss(sym.sum(sym.square(x))), sym.BlockGrad(weights)]
    return sym.Group(losses), {
        "query": (2, 3, 4),
        "key": (2, 5, 4),
        "value": (2, 5, 4),
        "mask": (2, 3, 5),
    }


def maxout(mx: ModuleType) -> tuple[Any, Shapes]:
    sym = mx.sym
    x = sym.Convolution(sym.Variable("data"), num_filter=3, kernel=(3, 3), pad=(1, 1), name="conv")
    x = sym.Pooling(
        sym.Activation(x, act_type="softrelu"), pool_type="max", kernel=(2, 2), stride=(2, 2)
    )
    x = sym.FullyConnected(sym.flatten(x), num_hidden=5, name="fc")
    x = sym.slice_axis(sym.Activation(x, act_type="sigmoid"), axis=1, begin=1, end=-1)
    parts = sym.SliceChannel(x, num_outputs=3, axis=1)
    x = sym.ElementWiseSum(*[parts[i] * (i + 1) for i in range(3)])
    label = sym.Variable("softmax_label")
    return sym.SoftmaxOutput(sym.tile(x, reps=(1, 3)), label, normalization="batch"), {
        "data": (3, 1, 4, 4),
        "softmax_label": (3,),
    }


def normal_forms(mx: ModuleType) -> tuple[Any, Shapes]:
    sym = mx.sym
    x = sym.InstanceNorm(sym.Variable("data"), sym.Variable("gamma"), sym.Variable("beta"))
    x = sym.UpSampling(sym.L2Normalization(x, mode="channel"), scale=2, sample_type="nearest")
    x = sym.Pad(x, mode="edge", pad_width=(0, 0, 0, 0, 1, 1, 2, 2))
    x = sym.reverse(sym.transpose(x, axes=(0, 2, 3, 1)), axis=1)
    x = sym.mean(sym.clip(x, -0.5, 0.5), axis=(1, 2))
    x = sym.smooth_l1(x - sym.Variable("target"), scalar=2.0)
    return sym.MakeLoss(x, grad_scale=3.0), {"data": (2, 3, 3, 3), "target": (2, 3)}


def choices(mx: ModuleType) -> tuple[Any, Shapes]:
    sym = mx.sym
    x = sym.Variable("data")
    best = sym.topk(x, k=2, ret_typ="indices", axis=1)
    highest = sym.pick(x, sym.argmax(x, axis=1), axis=1)
    taken = sym.take(sym.Variable("table"), sym.Variable("places"), mode="wrap")
    summed = sym.broadcast_mul(sym.expand_dims(highest, 1), sym.sum(taken, axis=0, keepdims=True))
    first = sym.one_hot(sym.slice_axis(best, axis=1, begin=0, end=1), depth=6)
    length = sym.norm(sym.sort(x, axis=1, is_ascend=False), ord=2, axis=1)
    losses = [sym.make_loss(summed), sym.BlockGrad(first), sym.make_loss(length)]
    return sym.Group(losses), {"data": (3, 6), "table": (4, 5), "places": (3,)}


def projected(array: Any) -> list[float]:
    """An array of any size as a few numbers, which depend on every element and its place."""
    values = array.asnumpy().astype(np.float64).ravel()
    places = np.arange(len(values))
    return [float(values @ np.cos(places * step)) / len(values) for step in (0, 1, 0.1)]


def computed(mx: ModuleType, network: Network) -> Answer:
    net, shapes = network(mx)
    arguments, outputs, auxiliary = net.infer_shape(**shapes)
    draw = np.random.RandomState(7)
    arrays = {}
    for name, shape in zip(net.list_arguments(), arguments, strict=True):
        values = draw.uniform(-1, 1, shape)
        if name in CLASSES:
            values = draw.randint(0, CLASSES[name], shape)
        arrays[name] = mx.nd.array(values.astype("float32"))
    states = {
        name: mx.nd.ones(shape) if name.endswith("var") else mx.nd.zeros(shape)
        for name, shape in zip(net.list_auxiliary_states(), auxiliary, strict=True)
    }
    requests = {name: "null" if name in CLASSES else "write" for name in arrays}
    gradients = {name: mx.nd.zeros(arrays[name].shape) for name in arrays}
    context = mx.current_context()
    executor = net.bind(context, arrays, gradients, requests, states)
    # MXNet computes later, and by then as the next pass was asked to: values are read at once.
    inference = [output.asnumpy() for output in executor.forward()]
    training = [projected(output) for output in executor.forward(is_train=True)]
    executor.backward()
    return {
        "arguments": net.list_arguments(),
        "outputs": plain(list(zip(net.list_outputs(), outputs, strict=True))),
        "inference": plain(inference),
        "training": training,
        "gradients": {name: projected(array) for name, array in gradients.items()},
        "states": {name: projected(array) for name, array in states.items()},
    }


NETWORKS: tuple[Network, ...] = (
    residual,
    separable,
    dense_blocks,
    segmentation,
    adversary,
    ratings,
    language_model,
    reader_in_both_directions,
    attention,
    maxout,
    normal_forms,
    choices,
)

for _network in NETWORKS:
    register(
        f"networks.{_network.__name__}",
        lambda mx, network=_network: computed(mx, network),
        tolerance=TOLERANCE,
    )
