"""Cases of layers: outputs in inference and training, gradients, and states."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from oracle.derivative_cases import points
from oracle.gradient_cases import GradientCase, Maker, added, make, mixtures
from oracle.operator_cases import (
    FLOATS,
    SHAPES,
    cast,
    counting,
    f32,
    shape_label,
    spell,
    tied,
    uniform,
    words,
)

NAN, INFINITY = float("nan"), float("inf")


# ---- convolution and pooling --------------------------------------------------------------------


def window_shape(attributes: dict[str, Any], channels: int) -> tuple[int, ...]:
    groups = attributes.get("num_group", 1)
    return (attributes["num_filter"], channels // groups, *attributes["kernel"])


def convolution(operator: str) -> Iterator[GradientCase]:
    shaped: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((2, 3, 5), {"kernel": (3,)}),
        ((1, 1, 4), {"kernel": (1,)}),
        ((2, 4, 9), {"kernel": (3,), "stride": (2,), "pad": (1,), "num_group": 2}),
        ((2, 2, 9), {"kernel": (3,), "dilate": (2,), "pad": (2,)}),
        ((1, 1, 3, 3), {"kernel": (3, 3)}),
        ((2, 3, 5, 6), {"kernel": (3, 2)}),
        ((2, 3, 5, 6), {"kernel": (1, 1)}),
        ((2, 2, 7, 6), {"kernel": (3, 3), "stride": (2, 1), "pad": (1, 2)}),
        ((1, 2, 8, 7), {"kernel": (3, 2), "dilate": (2, 3), "pad": (2, 0)}),
        ((2, 4, 5, 5), {"kernel": (3, 3), "num_group": 2, "pad": (1, 1)}),
        ((2, 4, 4, 4), {"kernel": (2, 2), "num_group": 4, "stride": (2, 2)}),
        ((1, 2, 4, 3, 5), {"kernel": (2, 3, 2), "pad": (1, 1, 0), "stride": (1, 1, 2)}),
        ((1, 2, 5, 4, 5), {"kernel": (2, 2, 2), "dilate": (2, 1, 3), "num_group": 2}),
    ]
    for shape, extra in shaped:
        for no_bias in (False, True):
            attributes = {"num_filter": 4, **extra, "no_bias": no_bias}
            weight = uniform(window_shape(attributes, shape[1]), "float32", 1)
            bias = [] if no_bias else [uniform((4,), "float32", 2)]
            label = f"{shape_label(shape)}-{spell(**extra, no_bias=no_bias)}"
            yield GradientCase(label, (uniform(shape, "float32"), weight, *bias), attributes)
    attributes = {"num_filter": 2, "kernel": (3, 3), "pad": (1, 1)}
    inputs = [uniform((2, 3, 4, 5), "float32"), uniform((2, 3, 3, 3), "float32", 1),
              uniform((2,), "float32", 2)]  # fmt: skip
    doubles = tuple(array.astype("float64") for array in inputs)
    yield GradientCase("float64", doubles, attributes)
    plain = GradientCase("requests", tuple(inputs), attributes)
    yield from added(plain)
    yield from mixtures(plain)
    special = f32(NAN, 1, 0, INFINITY, 2, 3, -1, 0, 1).reshape(1, 1, 3, 3)
    yield make("special", special, counting(1, 1, 2, 2), f32(1), num_filter=1, kernel=(2, 2))
    defaults = {"kernel": (2, 2), "num_filter": 3, "layout": "NCHW", "workspace": 256,
                "cudnn_tune": "off"}  # fmt: skip
    inputs = [uniform((1, 2, 3, 3), "float32"), uniform((3, 2, 2, 2), "float32"), f32(1, 2, 3)]
    yield GradientCase("written-defaults", tuple(inputs), defaults)


def deconvolution(operator: str) -> Iterator[GradientCase]:
    shaped: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((2, 3, 5), {"kernel": (3,)}),
        ((2, 4, 4), {"kernel": (3,), "stride": (2,), "pad": (1,), "adj": (1,)}),
        ((1, 1, 3, 3), {"kernel": (2, 2)}),
        ((2, 3, 3, 4), {"kernel": (3, 2), "stride": (2, 3)}),
        ((2, 2, 3, 4), {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "adj": (1, 1)}),
        ((1, 2, 3, 3), {"kernel": (4, 4), "stride": (2, 2), "pad": (1, 1)}),
        ((1, 2, 3, 3), {"kernel": (3, 3), "stride": (2, 2), "target_shape": (6, 6)}),
        ((1, 2, 3, 3), {"kernel": (3, 3), "stride": (2, 2), "target_shape": (7, 6)}),
        ((1, 2, 4, 3), {"kernel": (2, 3), "dilate": (2, 1)}),
        ((2, 4, 3, 3), {"kernel": (3, 3), "num_group": 2, "pad": (1, 1)}),
        ((1, 2, 2, 3, 2), {"kernel": (2, 2, 3), "stride": (2, 1, 1), "pad": (0, 1, 1)}),
    ]
    for shape, extra in shaped:
        for no_bias in (False, True):
            groups = extra.get("num_group", 1)
            attributes = {"num_filter": 4, **extra, "no_bias": no_bias}
            weight = uniform((shape[1], 4 // groups, *extra["kernel"]), "float32", 1)
            bias = [] if no_bias else [uniform((4,), "float32", 2)]
            label = f"{shape_label(shape)}-{spell(**extra, no_bias=no_bias)}"
            yield GradientCase(label, (uniform(shape, "float32"), weight, *bias), attributes)
    plain = make("default-no-bias", uniform((1, 2, 3, 3), "float32"),
                 uniform((2, 3, 2, 2), "float32", 1), kernel=(2, 2), num_filter=3)  # fmt: skip
    doubles = tuple(array.astype("float64") for array in plain.inputs)
    yield replace(plain, label="float64", inputs=doubles)
    yield from added(plain)
    yield from mixtures(plain)


def pooling(operator: str) -> Iterator[GradientCase]:
    windows: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((2, 2, 7), {"kernel": (3,)}),
        ((1, 2, 8), {"kernel": (3,), "stride": (2,), "pad": (1,)}),
        ((1, 1, 1, 1), {"kernel": (1, 1)}),
        ((2, 2, 5, 6), {"kernel": (2, 3)}),
        ((2, 2, 5, 6), {"kernel": (2, 2), "stride": (2, 2)}),
        ((1, 2, 6, 7), {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1)}),
        ((1, 1, 6, 6), {"kernel": (3, 2), "stride": (3, 1), "pad": (0, 1)}),
        ((1, 2, 4, 3, 5), {"kernel": (2, 2, 2), "stride": (2, 1, 2), "pad": (1, 0, 1)}),
    ]
    kinds: list[dict[str, Any]] = [
        {"pool_type": "max"},
        {"pool_type": "sum"},
        {"pool_type": "avg"},
        {"pool_type": "avg", "count_include_pad": False},
    ]
    for (shape, window), kind in itertools.product(windows, kinds):
        for convention in ("valid", "full"):
            attributes = {**window, **kind, "pooling_convention": convention}
            values = tied if len(shape) == 4 else uniform
            yield GradientCase(f"{shape_label(shape)}-{spell(**attributes)}",
                               (values(shape, "float32", 3),), attributes)  # fmt: skip
    for shape in ((1, 2, 7), (1, 2, 5, 6)):
        rank = len(shape) - 2
        for power in (1, 2, 3):
            for low in (0.1, -3):
                yield make(f"lp{power}-{rank}d-from-{low}", uniform(shape, "float32", 4, low=low),
                           kernel=(2,) * rank, stride=(2,) * rank, pool_type="lp",
                           p_value=power)  # fmt: skip
    for shape in ((1, 2, 5), (1, 2, 5, 5)):
        yield make(f"bad-same-{shape_label(shape)}", uniform(shape, "float32"),
                   kernel=(2,) * (len(shape) - 2), pooling_convention="same")  # fmt: skip
    for kind in kinds[:3]:
        everywhere = {"global_pool": True, **kind}
        for shape in ((2, 3, 5), (2, 1, 3, 4), (1, 2, 2, 3, 2)):
            label = f"global-{shape_label(shape)}-{spell(**kind)}"
            yield GradientCase(label, (uniform(shape, "float32"),), everywhere)
        square = uniform((1, 2, 3, 3), "float32")
        yield GradientCase(f"global-ignores-kernel-{spell(**kind)}", (square,),
                           {**everywhere, "kernel": (2, 2), "stride": (2, 2)})  # fmt: skip
    ones = np.ones((1, 1, 3, 4), "float32")
    yield make("max-all-tied", ones, kernel=(2, 2), pool_type="max")
    yield make("max-all-minus-infinity", ones * f32(-INFINITY), kernel=(2, 2), pool_type="max")
    special = f32(1, NAN, 3, 2, NAN, -INFINITY, INFINITY, INFINITY, 0, -0.0).reshape(1, 1, 10)
    for kind in kinds:
        yield make(f"special-{spell(**kind)}", special, kernel=(2,), **kind)
        wide = uniform((1, 2, 5, 5), "float64")
        yield make(f"float64-{spell(**kind)}", wide, kernel=(3, 3), stride=(2, 2), **kind)
        plain = make(f"2d-{spell(**kind)}", uniform((1, 2, 4, 4), "float32"), kernel=(2, 2), **kind)
        yield from added(plain)
    yield make("default-kind", uniform((1, 1, 4, 4), "float32"), kernel=(2, 2))


def up_sampling(operator: str) -> Iterator[GradientCase]:
    for scale in (1, 2, 3):
        for shape in ((1, 1, 2, 3), (2, 3, 2, 2)):
            yield make(f"nearest-{scale}-{shape_label(shape)}", uniform(shape, "float32"),
                       scale=scale, sample_type="nearest", num_args=1)  # fmt: skip
            side = 2 * scale - scale % 2
            yield make(f"bilinear-{scale}-{shape_label(shape)}", uniform(shape, "float32"),
                       uniform((shape[1], 1, side, side), "float32", 1), scale=scale,
                       sample_type="bilinear", num_filter=shape[1], num_args=2)  # fmt: skip
    large, small = uniform((1, 2, 4, 4), "float32"), uniform((1, 2, 2, 2), "float32", 1)
    for mode in ("concat", "sum"):
        plain = make(mode, large, small, scale=2, sample_type="nearest", num_args=2,
                     multi_input_mode=mode)  # fmt: skip
        yield from added(plain)
        yield from mixtures(plain)
    yield make("float64", large.astype("float64"), scale=2, sample_type="nearest", num_args=1)


def crop(operator: str) -> Iterator[GradientCase]:
    picture = uniform((2, 2, 5, 6), "float32")
    yield make("corner", picture, h_w=(2, 3), num_args=1)
    yield make("center", picture, h_w=(3, 2), center_crop=True, num_args=1)
    yield make("like", picture, counting(2, 1, 2, 4), num_args=2)
    yield make("like-center", picture, counting(2, 1, 2, 4), num_args=2, center_crop=True)
    yield make("like-offset", picture, counting(2, 2, 3, 3), num_args=2, offset=(2, 1))
    yield make("whole", picture, h_w=(5, 6), num_args=1)
    yield make("bad-too-large", picture, h_w=(6, 6), num_args=1)
    yield from added(make("offset", picture, h_w=(2, 3), offset=(1, 2), num_args=1))


# ---- normalisation ------------------------------------------------------------------------------


def batch_norm(operator: str) -> Iterator[GradientCase]:
    def case(label: str, shape: tuple[int, ...], dtype: str = "float32", **attributes: Any) -> Any:
        channels = shape[attributes.get("axis", 1)]
        narrow = "float32" if dtype == "float16" else dtype
        inputs = (uniform(shape, dtype), uniform((channels,), narrow, 1),
                  uniform((channels,), narrow, 2))  # fmt: skip
        states = (uniform((channels,), narrow, 3), uniform((channels,), narrow, 4, low=0.5))
        return GradientCase(label, inputs, attributes, states)

    for shape in ((4, 3), (1, 2), (2, 3, 5), (3, 2, 4, 3), (2, 3, 2, 2, 3), (5, 1, 1, 1)):
        for fixed in (True, False):
            label = f"{shape_label(shape)}-{spell(fix_gamma=fixed)}"
            yield case(label, shape, fix_gamma=fixed)
            yield case(f"{label}-global", shape, fix_gamma=fixed, use_global_stats=True)
    shape = (3, 2, 4, 3)
    for axis in (0, 2, 3, -1):
        yield case(spell(axis=axis), shape, axis=axis, fix_gamma=False)
    yield case("outputs", shape, output_mean_var=True, fix_gamma=False)
    yield case("outputs-global", shape, output_mean_var=True, use_global_stats=True)
    for momentum in (0, 0.5, 1):
        yield case(spell(momentum=momentum), shape, momentum=momentum, fix_gamma=False)
    yield case("eps=0.1", shape, eps=0.1, fix_gamma=False)
    yield case("defaults", shape)
    # Parameters that float32 holds exactly, since MXNet rounds them.
    yield case("float64", shape, "float64", fix_gamma=False, eps=2**-10, momentum=0.75)
    yield case("float16", shape, "float16", fix_gamma=False)
    constant = case("constant", (3, 2), fix_gamma=False)
    yield replace(constant, inputs=(np.ones((3, 2), "float32"), *constant.inputs[1:]))
    special = case("special", (4, 2), fix_gamma=False)
    values = f32(1, NAN, 2, 1, 3, 2, 4, INFINITY).reshape(4, 2)
    yield replace(special, inputs=(values, *special.inputs[1:]))
    plain = case("requests", shape, fix_gamma=False)
    yield from added(plain)
    yield from added(case("fixed", shape, fix_gamma=True))
    yield from mixtures(plain)
    yield replace(plain, label="all-null", requests=("null",) * 3)
    inference = replace(plain, label="inference-only", training=False, requests=("null",) * 3)
    yield inference


def scaled(
    label: str, shape: tuple[int, ...], count: int, dtype: str = "float32", **attributes: Any
) -> GradientCase:
    """Data, `count` factors and as many summands."""
    inputs = (uniform(shape, dtype), uniform((count,), dtype, 1), uniform((count,), dtype, 2))
    return GradientCase(label, inputs, attributes)


def layer_norm(operator: str) -> Iterator[GradientCase]:
    for shape in ((1, 4), (3, 5), (2, 3, 4), (2, 1, 3, 2)):
        for axis in range(-1, len(shape)):
            label = f"{shape_label(shape)}-{spell(axis=axis)}"
            yield scaled(label, shape, shape[axis], axis=axis)
    yield scaled("one", (3, 1), 1)
    yield scaled("defaults", (2, 6), 6)
    yield scaled("eps=0.1", (2, 6), 6, eps=0.1)
    yield scaled("outputs", (2, 3, 4), 4, output_mean_var=True)
    yield scaled("outputs-axis1", (2, 3, 4), 3, output_mean_var=True, axis=1)
    yield scaled("float64", (2, 6), 6, "float64", eps=2**-10)
    yield scaled("long", (2, 300), 300)
    constant = scaled("constant", (2, 3), 3)
    yield replace(constant, inputs=(np.ones((2, 3), "float32"), *constant.inputs[1:]))
    special = scaled("special", (3, 2), 2)
    yield replace(
        special, inputs=(f32(1, NAN, 1, INFINITY, 2, 3).reshape(3, 2), *special.inputs[1:])
    )
    plain = scaled("requests", (3, 4), 4)
    yield from added(plain)
    yield from mixtures(plain)


def instance_norm(operator: str) -> Iterator[GradientCase]:
    for shape in ((2, 3, 4), (1, 1, 5), (2, 2, 3, 4), (1, 2, 2, 3, 2), (2, 1, 2)):
        yield scaled(shape_label(shape), shape, shape[1])
    yield scaled("eps=0.1", (2, 3, 4), 3, eps=0.1)
    yield scaled("float64", (2, 3, 4), 3, "float64")
    constant = scaled("constant", (2, 2, 3), 2)
    yield replace(constant, inputs=(np.ones((2, 2, 3), "float32"), *constant.inputs[1:]))
    plain = scaled("requests", (2, 2, 3), 2)
    yield from added(plain)
    yield from mixtures(plain)


def group_norm(operator: str) -> Iterator[GradientCase]:
    """As many groups as channels too, where its two rules for the weights' shape agree."""
    for shape, groups in (((2, 4, 3), 4), ((1, 2, 3, 2), 2), ((2, 1, 5), 1), ((2, 4, 3), 2)):
        for count in sorted({groups, shape[1]}):
            label = f"{shape_label(shape)}-{spell(num_groups=groups)}-{count}"
            yield scaled(label, shape, count, num_groups=groups)
    yield scaled("outputs", (2, 4, 3), 4, num_groups=4, output_mean_var=True)
    yield scaled("eps=0.1", (2, 4, 3), 4, num_groups=4, eps=0.1)
    yield scaled("float64", (2, 4, 3), 4, "float64", num_groups=4, eps=2**-10)
    plain = scaled("requests", (2, 2, 3), 2, num_groups=2)
    yield from added(plain)
    yield from mixtures(plain)


def l2_normalization(operator: str) -> Iterator[GradientCase]:
    for mode in ("instance", "channel", "spatial"):
        for shape in ((2, 3, 4), (1, 2, 3, 2), (2, 1, 1), (3, 5)):
            if mode == "instance" or len(shape) > 2:
                values = uniform(shape, "float32")
                yield make(f"{mode}-{shape_label(shape)}", values, mode=mode)
        values = uniform((2, 3, 2), "float32")
        yield make(f"{mode}-eps", values, mode=mode, eps=0.5)
        yield make(f"{mode}-float64", values.astype("float64"), mode=mode)
        yield make(f"{mode}-zeros", values * f32(0), mode=mode)
        yield from added(make(f"{mode}", values, mode=mode))
    yield make("default", uniform((2, 6), "float32"))
    yield make("special", f32(1, NAN, 2, INFINITY, 0, 0).reshape(3, 2))


def lrn(operator: str) -> Iterator[GradientCase]:
    for shape in ((2, 5, 2, 3), (1, 6, 1, 1), (1, 7, 1, 2)):
        for size in (1, 3, 5):
            label = f"{shape_label(shape)}-{spell(nsize=size)}"
            yield make(label, uniform(shape, "float32"), nsize=size)
            yield make(f"{label}-strong", uniform(shape, "float32"), nsize=size, alpha=0.5,
                       beta=0.9, knorm=1.5)  # fmt: skip
    yield make("float64", uniform((1, 5, 2, 2), "float64"), nsize=3, alpha=0.5)
    yield make("zeros", np.zeros((1, 3, 1, 2), "float32"), nsize=3)
    yield from added(make("5", uniform((1, 5, 2, 2), "float32"), nsize=5, alpha=0.5))
    yield make("bad-even", uniform((1, 5, 2, 2), "float32"), nsize=2)


# ---- activations and noise ----------------------------------------------------------------------


def leaky_relu(operator: str) -> Iterator[GradientCase]:
    for kind in ("leaky", "elu", "selu", "gelu"):
        for dtype in FLOATS:
            yield make(f"{kind}-{dtype}-points", points(dtype), act_type=kind)
            yield make(f"{kind}-{dtype}-uniform", uniform((3, 5), dtype), act_type=kind)
        for shape in SHAPES:
            yield make(f"{kind}-{shape_label(shape)}", uniform(shape, "float32"), act_type=kind)
        yield from added(make(kind, uniform((2, 3), "float32"), act_type=kind))
    for slope in (0, 0.1, -0.5, 2):
        for kind in ("leaky", "elu"):
            yield make(f"{kind}-slope={slope}", points("float32"), act_type=kind, slope=slope)
    yield make("default", uniform((2, 3), "float32"))
    for shape in ((3, 4), (2, 4, 3), (2, 4, 2, 3)):
        for count in (1, 4):
            yield make(f"prelu-{shape_label(shape)}-{count}", uniform(shape, "float32"),
                       uniform((count,), "float32", 1), act_type="prelu")  # fmt: skip
    plain = make("prelu", uniform((3, 4), "float32"), uniform((4,), "float32", 1), act_type="prelu")
    yield make("prelu-points", points("float32").reshape(-1, 1), f32(0.25), act_type="prelu")
    yield from added(plain)
    yield from mixtures(plain)
    for bounds in ({}, {"lower_bound": 0.1, "upper_bound": 0.5}):
        yield GradientCase(f"rrelu-{spell(**bounds)}", (points("float32"),),
                           {"act_type": "rrelu", **bounds}, requests=("null",),
                           training=False)  # fmt: skip


def dropout(operator: str) -> Iterator[GradientCase]:
    """What is not random: without training, or with nothing dropped."""
    for dtype in FLOATS:
        values = uniform((3, 5), dtype)
        yield make(f"{dtype}-p=0", values, p=0)
        yield replace(make(f"{dtype}-inference", values, p=0.5), training=False)
    yield replace(make("default", uniform((2, 3), "float32")), training=False)
    yield replace(make("axes", uniform((2, 3), "float32"), axes=(0,)), training=False)
    yield make("always-p=0", uniform((2, 3), "float32"), p=0, mode="always")
    yield from added(make("p=0", uniform((2, 3), "float32"), p=0))


# ---- sequences ----------------------------------------------------------------------------------


def sequence(operator: str) -> Iterator[GradientCase]:
    """Lengths from 1 to all: MXNet reads and writes outside its memory for others."""
    for shape in ((4, 3, 2), (1, 1, 1), (3, 2), (3, 2, 2, 2)):
        if len(shape) == 2 and operator != "SequenceMask":
            continue
        values = uniform(shape, "float32")
        yield make(shape_label(shape), values)
        lengths = cast(1 + np.arange(shape[1]) * 2 % shape[0], "float32")
        yield make(f"{shape_label(shape)}-lengths", values, lengths, use_sequence_length=True)
    values, lengths = uniform((4, 3, 2), "float32"), f32(4, 1, 2)
    yield make("float64", values.astype("float64"), lengths.astype("float64"),
               use_sequence_length=True)  # fmt: skip
    if operator != "SequenceReverse":
        turned = uniform((3, 4, 2), "float32")
        yield make("axis1", turned, lengths, use_sequence_length=True, axis=1)
    if operator == "SequenceMask":
        yield make("value", values, lengths, use_sequence_length=True, value=-2.5)
        yield make("zero-length", values, f32(0, 4, 0), use_sequence_length=True)
    plain = make("requests", values, lengths, use_sequence_length=True)
    yield from added(plain)
    yield from mixtures(plain)


GATES = {"rnn_relu": 1, "rnn_tanh": 1, "lstm": 4, "gru": 3}


def rnn(operator: str) -> Iterator[GradientCase]:
    def case(
        label: str,
        mode: str,
        steps: int = 3,
        batch: int = 2,
        features: int = 3,
        size: int = 2,
        layers: int = 1,
        both: bool = False,
        outputs: bool = True,
        dtype: str = "float32",
    ) -> GradientCase:
        directions = 2 if both else 1
        count = 0
        for layer in range(layers):
            width = features if layer == 0 else size * directions
            count += directions * GATES[mode] * size * (width + size + 2)
        state = (layers * directions, batch, size)
        parameters = uniform((count,), dtype, 1) / cast(4, dtype)
        inputs = [uniform((steps, batch, features), dtype), parameters, uniform(state, dtype, 2)]
        if mode == "lstm":
            inputs.append(uniform(state, dtype, 3))
        attributes = {"mode": mode, "state_size": size, "num_layers": layers,
                      "state_outputs": outputs, "bidirectional": both}  # fmt: skip
        return GradientCase(f"{mode}-{label}", tuple(inputs), attributes)

    for mode in GATES:
        yield case("one", mode, steps=1, batch=1, features=1, size=1)
        yield case("no-states", mode, outputs=False)
        yield case("two-layers", mode, layers=2)
        yield case("bidirectional", mode, both=True)
        yield case("bidirectional-two-layers", mode, both=True, layers=2, steps=4, size=3)
        deep = case("three-layers", mode, layers=3, batch=1, outputs=False)
        if mode.startswith("rnn_"):  # MXNet's gradient of the parameters is wrong beyond two layers
            deep = replace(deep, requests=("write", "null", "write"))
        yield deep
        yield case("wide", mode, steps=2, features=5, size=4)
        if mode != "rnn_relu":  # which MXNet computes in float32
            yield case("float64", mode, dtype="float64")
        # MXNet adds to the gradient of the parameters only.
        plain = case("plain", mode)
        yield plain
        count = len(plain.inputs)
        for i in range(count):
            requests = tuple("null" if i == j else "write" for j in range(count))
            yield replace(plain, label=f"{plain.label}-null{i}", requests=requests)
        requests = tuple("add" if j == 1 else "write" for j in range(count))
        yield replace(plain, label=f"{plain.label}-add", requests=requests)


FAMILIES: dict[str, dict[str, Maker]] = {
    "convolution": {
        "Convolution": convolution,
        "Deconvolution": deconvolution,
        "Pooling": pooling,
        "UpSampling": up_sampling,
        "Crop": crop,
    },
    "normalization": {
        "BatchNorm": batch_norm,
        "LayerNorm": layer_norm,
        "InstanceNorm": instance_norm,
        "GroupNorm": group_norm,
        "L2Normalization": l2_normalization,
        "LRN": lrn,
    },
    "layers": {"LeakyReLU": leaky_relu, "Dropout": dropout},
    "sequences": {
        **dict.fromkeys(words("SequenceMask SequenceLast SequenceReverse"), sequence),
        "RNN": rnn,
    },
}
