"""How layers and outputs are applied in random graphs; a part of the table in `graphs`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from growing import Grower, Value
from tritonsym.expressions.expr import Shape
from tritonsym.foundation.dtype import FLOAT32

Call = tuple[Sequence[Value], dict[str, Any]]
Recipe = Callable[[Grower], Call]


def floating_of_rank(grow: Grower, *ranks: int) -> Value:
    """A floating-point value with this many axes."""
    dtype = grow.dtype if grow.dtype.is_float else FLOAT32

    def shape() -> Shape:
        return tuple(grow.choose.choice((1, 2, 3, 4)) for _ in range(grow.choose.choice(ranks)))

    return grow.value(lambda v: v.dtype.is_float and len(v.shape) in ranks, shape, dtype)


# ---- outputs -----------------------------------------------------------------------------------


def softmax_output(grow: Grower) -> Call:
    data = floating_of_rank(grow, 2, 3)
    kind = grow.choose.choice(("", "multi_output", "preserve_shape", "probabilities"))
    shape = data.shape if kind == "probabilities" else data.shape[:-1]
    if kind == "multi_output":
        shape = (data.shape[0], int(np.prod(data.shape[2:])))
    flags = {kind: True} if kind not in ("", "probabilities") else {}
    return [data, grow.of_shape(shape, data.dtype)], flags


def regression(grow: Grower) -> Call:
    data = grow.floating()
    return [data, grow.like(data)], {"grad_scale": 2.0}


def svm_output(grow: Grower) -> Call:
    data = floating_of_rank(grow, 2, 3)
    return [data, grow.of_shape(data.shape[:-1], data.dtype)], {"margin": 0.5}


def cross_entropy(grow: Grower) -> Call:
    data = floating_of_rank(grow, 2)
    return [data, grow.of_shape(data.shape[:1], data.dtype)], {}


def make_loss(grow: Grower) -> Call:
    return [grow.value()], {"grad_scale": 3.0}


def smooth_l1(grow: Grower) -> Call:
    return [grow.value()], {"scalar": grow.choose.choice((0.5, 1.0, 2.0))}


# ---- activations -------------------------------------------------------------------------------


def leaky_relu(grow: Grower) -> Call:
    data = grow.floating()
    kind = grow.choose.choice(("elu", "gelu", "leaky", "prelu", "rrelu", "selu"))
    inputs = [data]
    if kind == "prelu":
        channels = data.shape[min(1, len(data.shape) - 1)]
        inputs.append(grow.of_shape((grow.choose.choice((1, channels)),), data.dtype))
    return inputs, {"act_type": kind, "slope": 0.5}


def dropout(grow: Grower) -> Call:
    data = grow.floating()
    shared = (grow.axis(data.shape),) if grow.choose.random() < 0.3 else ()
    mode = grow.choose.choice(("training", "always"))
    return [data], {"p": grow.choose.choice((0.0, 0.25, 0.5)), "mode": mode, "axes": shared}


# ---- normalisation -----------------------------------------------------------------------------


def batch_norm(grow: Grower) -> Call:
    data = floating_of_rank(grow, 2, 3, 4)
    axis = grow.axis(data.shape)
    shape = (data.shape[axis],)
    dtype = FLOAT32 if data.dtype.is_reduced else data.dtype
    parameters = [grow.of_shape(shape, dtype) for _ in range(2)]
    states = [grow.state(shape, dtype) for _ in range(2)]
    flags = ("fix_gamma", "use_global_stats", "output_mean_var")
    chosen = {flag: grow.choose.random() < 0.5 for flag in flags}
    return [data, *parameters, *states], {**chosen, "axis": axis}


def layer_norm(grow: Grower) -> Call:
    data = grow.floating()
    axis = grow.axis(data.shape)
    parameters = [grow.of_shape((data.shape[axis],), data.dtype) for _ in range(2)]
    return [data, *parameters], {"axis": axis, "output_mean_var": grow.choose.random() < 0.5}


def instance_norm(grow: Grower) -> Call:
    data = floating_of_rank(grow, 3, 4)
    return [data, *(grow.of_shape(data.shape[1:2], data.dtype) for _ in range(2))], {}


def group_norm(grow: Grower) -> Call:
    data = floating_of_rank(grow, 3, 4)
    groups = grow.choose.choice([n for n in (1, 2, 4) if data.shape[1] % n == 0])
    parameters = [grow.of_shape((groups,), data.dtype) for _ in range(2)]
    return [data, *parameters], {"num_groups": groups}


def l2_normalization(grow: Grower) -> Call:
    data = floating_of_rank(grow, 3, 4)
    return [data], {"mode": grow.choose.choice(("instance", "channel", "spatial"))}


def lrn(grow: Grower) -> Call:
    return [floating_of_rank(grow, 4)], {"nsize": grow.choose.choice((1, 3, 5)), "alpha": 0.5}


# ---- convolution and pooling -------------------------------------------------------------------


def window(grow: Grower, data: Value) -> dict[str, Any]:
    """A kernel with strides and padding that fits the data."""
    lengths = data.shape[2:]
    kernel = tuple(grow.choose.randint(1, min(3, n)) for n in lengths)
    given: dict[str, Any] = {"kernel": kernel}
    if grow.choose.random() < 0.6:
        given["stride"] = tuple(grow.choose.randint(1, 3) for _ in kernel)
    if grow.choose.random() < 0.4:
        given["pad"] = tuple(grow.choose.randint(0, n - 1) for n in kernel)
    return given


def convolution(grow: Grower) -> Call:
    data = floating_of_rank(grow, 3, 4)
    attributes, filters = window(grow, data), grow.choose.choice((1, 2, 4))
    groups = 2 if data.shape[1] % 2 == 0 and filters % 2 == 0 else 1
    shape = (filters, data.shape[1] // groups, *attributes["kernel"])
    inputs = [data, grow.of_shape(shape, data.dtype)]
    without = grow.choose.random() < 0.5
    if not without:
        inputs.append(grow.of_shape((filters,), data.dtype))
    return inputs, {**attributes, "num_filter": filters, "num_group": groups, "no_bias": without}


def deconvolution(grow: Grower) -> Call:
    data = floating_of_rank(grow, 3, 4)
    attributes, filters = window(grow, data), grow.choose.choice((1, 2, 4))
    inputs = [data, grow.of_shape((data.shape[1], filters, *attributes["kernel"]), data.dtype)]
    return inputs, {**attributes, "num_filter": filters}


def pooling(grow: Grower) -> Call:
    data = floating_of_rank(grow, 3, 4)
    kind = {"pool_type": grow.choose.choice(("max", "avg", "sum", "lp")), "p_value": 2}
    if grow.choose.random() < 0.2:
        return [data], {**kind, "global_pool": True}
    convention = grow.choose.choice(("valid", "full"))
    return [data], {**kind, **window(grow, data), "pooling_convention": convention}


# ---- images ------------------------------------------------------------------------------------


def upsampling(grow: Grower) -> Call:
    data = floating_of_rank(grow, 4)
    scale = grow.choose.choice((1, 2, 3))
    if grow.choose.random() < 0.5:
        return [data], {"sample_type": "nearest", "scale": scale}
    channels, width = data.shape[1], 2 * scale - scale % 2
    weight = grow.of_shape((channels, 1, width, width), data.dtype)
    return [data, weight], {"sample_type": "bilinear", "scale": scale, "num_filter": channels}


def crop(grow: Grower) -> Call:
    data = floating_of_rank(grow, 4)
    size = tuple(grow.choose.randint(1, n) for n in data.shape[2:])
    return [data], {"h_w": size, "center_crop": grow.choose.random() < 0.5}


# ---- several indices, matrices, chance ---------------------------------------------------------


def gather_nd(grow: Grower) -> Call:
    data = grow.value()
    count = grow.choose.randint(1, len(data.shape))
    return [data, grow.of_shape((count, 3), data.dtype)], {}


def scatter_nd(grow: Grower) -> Call:
    shape = tuple(grow.choose.choice((1, 2, 3)) for _ in range(grow.choose.randint(1, 3)))
    count, dtype = grow.choose.randint(1, len(shape)), grow.some_dtype()
    data = grow.of_shape((4, *shape[count:]), dtype)
    return [data, grow.of_shape((count, 4), dtype)], {"shape": shape}


def gemm(three: bool) -> Recipe:
    def recipe(grow: Grower) -> Call:
        left = floating_of_rank(grow, 2, 3)
        length = grow.choose.choice((1, 2, 4))
        right = grow.of_shape((*left.shape[:-2], left.shape[-1], length), left.dtype)
        inputs, attributes = [left, right], {"alpha": grow.choose.choice((1.0, 0.5))}
        if three:
            inputs.append(grow.of_shape((*left.shape[:-1], length), left.dtype))
        return inputs, attributes

    return recipe


def randint(grow: Grower) -> Call:
    return [], {"low": -3, "high": 9, "shape": grow.some_shape()}


def multinomial(grow: Grower) -> Call:
    return [floating_of_rank(grow, 1, 2)], {"get_prob": grow.choose.random() < 0.5}


def sampled(grow: Grower) -> Call:
    first = floating_of_rank(grow, 1, 2)
    return [first, grow.of_shape(first.shape, first.dtype)], {"shape": grow.some_shape()[:1]}


def recurrent(grow: Grower) -> Call:
    data = floating_of_rank(grow, 3)
    mode = grow.choose.choice(("lstm", "gru", "rnn_relu", "rnn_tanh"))
    gates = {"lstm": 4, "gru": 3}.get(mode, 1)
    size, layers = grow.choose.choice((1, 2)), grow.choose.choice((1, 2))
    features = data.shape[2] + (layers - 1) * size
    count = gates * size * (features + layers * size) + layers * 2 * gates * size
    state = (layers, data.shape[1], size)
    inputs = [data, grow.of_shape((count,), data.dtype), grow.of_shape(state, data.dtype)]
    if mode == "lstm":
        inputs.append(grow.of_shape(state, data.dtype))
    given = {"mode": mode, "state_size": size, "num_layers": layers}
    return inputs, {**given, "state_outputs": grow.choose.random() < 0.5}


# ---- sequences ---------------------------------------------------------------------------------


def sequence(only_first_axis: bool) -> Recipe:
    def recipe(grow: Grower) -> Call:
        data = grow.value(lambda v: len(v.shape) > 1, lambda: (3, 4))
        axis = 0 if only_first_axis else grow.choose.randrange(2)
        if grow.choose.random() < 0.3:
            return [data], {"axis": axis}
        lengths = grow.of_shape((data.shape[1 - axis],), data.dtype)
        return [data, lengths], {"axis": axis, "use_sequence_length": True}

    return recipe


LAYERS: dict[str, Recipe] = {
    "SoftmaxOutput": softmax_output,
    "LinearRegressionOutput": regression,
    "LogisticRegressionOutput": regression,
    "MAERegressionOutput": regression,
    "SVMOutput": svm_output,
    "softmax_cross_entropy": cross_entropy,
    "MakeLoss": make_loss,
    "smooth_l1": smooth_l1,
    "LeakyReLU": leaky_relu,
    "Dropout": dropout,
    "BatchNorm": batch_norm,
    "LayerNorm": layer_norm,
    "InstanceNorm": instance_norm,
    "GroupNorm": group_norm,
    "L2Normalization": l2_normalization,
    "LRN": lrn,
    "Convolution": convolution,
    "Deconvolution": deconvolution,
    "Pooling": pooling,
    "UpSampling": upsampling,
    "Crop": crop,
    "gather_nd": gather_nd,
    "scatter_nd": scatter_nd,
    "_linalg_gemm": gemm(True),
    "_linalg_gemm2": gemm(False),
    "_random_randint": randint,
    "_sample_multinomial": multinomial,
    "_sample_uniform": sampled,
    "_sample_normal": sampled,
    "RNN": recurrent,
    "SequenceMask": sequence(False),
    "SequenceLast": sequence(False),
    "SequenceReverse": sequence(True),
}
