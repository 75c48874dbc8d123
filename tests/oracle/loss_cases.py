"""Cases of the operators that begin a backward pass: their outputs and gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from oracle.gradient_cases import GradientCase, Maker, added, make
from oracle.operator_cases import Array, cast, f32, shape_label, spell, uniform, words

NAN, INFINITY = float("nan"), float("inf")


def headless(case: GradientCase) -> GradientCase:
    """The same without gradients of the outputs, as a program has it that trains."""
    return replace(case, label=f"{case.label}-no-heads", heads="none")


def counted(shape: tuple[int, ...], classes: int) -> Array:
    """Labels 0, 1, 2, ... and again from 0."""
    return cast(np.arange(int(np.prod(shape))) % classes, "float32").reshape(shape)


def softmax_output(operator: str) -> Iterator[GradientCase]:
    data, labels = uniform((4, 3), "float32"), f32(2, 0, 1, 1)
    options: list[dict[str, Any]] = [
        {"grad_scale": 2.5},
        {"ignore_label": 1},
        {"use_ignore": True},
        {"use_ignore": True, "ignore_label": 1},
        {"smooth_alpha": 0.3},
        {"smooth_alpha": 0.3, "use_ignore": True, "ignore_label": 1},
        {"out_grad": True},
        {"normalization": "batch"},
        {"normalization": "valid"},
        {"normalization": "valid", "use_ignore": True, "ignore_label": 1, "grad_scale": 3.0},
        {"normalization": "valid", "use_ignore": True, "ignore_label": 7},
        {"normalization": "null"},
    ]
    yield headless(make("plain", data, labels))
    for option in options:
        yield GradientCase(spell(**option), (data, labels), option)
    everything = {"normalization": "valid", "use_ignore": True, "ignore_label": 1}
    yield GradientCase("all-ignored", (data, f32(1, 1, 1, 1)), everything)
    for shape in ((2, 3, 4), (2, 3, 2, 2), (1, 2, 1)):
        deep = uniform(shape, "float32", 1)
        rest = counted((shape[0], *shape[2:]), shape[1])
        flat = rest.reshape(shape[0], -1)
        for option in ({}, *options):
            label = f"multi-{shape_label(shape)}-{spell(**option)}"
            if shape == (2, 3, 4) or not option:
                yield GradientCase(label, (deep, rest), {"multi_output": True, **option})
        if len(shape) == 4:
            yield make("multi-flat-labels", deep, flat, multi_output=True)
        last = counted(shape[:-1], shape[-1])
        for option in ({}, *options):
            label = f"preserve-{shape_label(shape)}-{spell(**option)}"
            if shape == (2, 3, 4) or not option:
                yield GradientCase(label, (deep, last), {"preserve_shape": True, **option})
        yield make(f"flattened-{shape_label(shape)}", deep, counted(shape[:1], 2))
    yield make("labels-outside", data, f32(5, -1, 3, 2))
    yield make("probabilities", data, uniform((4, 3), "float32", 2, low=0), grad_scale=2)
    for dtype in ("float16", "float64"):
        yield make(dtype, data.astype(dtype), labels.astype(dtype))
    yield make("one-class", uniform((3, 1), "float32"), f32(0, 0, 0))
    yield make("special", f32(1, NAN, 2, INFINITY, 0, -INFINITY).reshape(3, 2), f32(0, 1, 1))
    yield from added(make("plain", data, labels))
    yield replace(make("label-null", data, labels), requests=("write", "null"))
    yield replace(make("inference-first", data, labels), training=False)


def regression(operator: str) -> Iterator[GradientCase]:
    for shape in ((4,), (3, 1), (4, 3), (2, 3, 2), (1, 1)):
        data, labels = uniform(shape, "float32"), uniform(shape, "float32", 1)
        yield make(shape_label(shape), data, labels)
        yield make(f"{shape_label(shape)}-scaled", data, labels, grad_scale=2.5)
    data, labels = uniform((3, 2), "float32"), uniform((3, 2), "float32", 1)
    yield make("column", uniform((3, 1), "float32"), uniform((3,), "float32", 1))
    yield make("tied", data, data)
    yield make("special", f32(NAN, 1, INFINITY, -INFINITY), f32(1, NAN, 1, 0))
    for dtype in ("float16", "float64"):
        yield make(dtype, data.astype(dtype), labels.astype(dtype))
    yield headless(make("plain", data, labels))
    yield from added(make("plain", data, labels))
    yield replace(make("label-null", data, labels), requests=("write", "null"))


def svm(operator: str) -> Iterator[GradientCase]:
    data, labels = uniform((4, 3), "float32"), f32(2, 0, 1, 1)
    edge = f32(1, -1, 0, -1, 1, 1, 0, 0, 0.5).reshape(3, 3)
    for linear in (False, True):
        name = "linear" if linear else "squared"
        yield make(f"{name}-margin", data, labels, use_linear=linear, margin=0.5)
        yield make(
            f"{name}-factor", data, labels, use_linear=linear, regularization_coefficient=0.3
        )
        yield make(f"{name}-edges", edge, f32(0, 1, 2), use_linear=linear)
        yield make(f"{name}-labels-outside", data, f32(5, -1, 0, 1), use_linear=linear)
        yield make(f"{name}-special", f32(NAN, INFINITY, -INFINITY, 0).reshape(2, 2), f32(0, 1),
                   use_linear=linear)  # fmt: skip
        yield make(f"{name}-float64", data.astype("float64"), labels.astype("float64"),
                   use_linear=linear)  # fmt: skip
        yield headless(make(name, data, labels, use_linear=linear))
        yield from added(make(name, data, labels, use_linear=linear))
    yield make("defaults", data, labels)


def make_loss(operator: str) -> Iterator[GradientCase]:
    data = uniform((4, 3), "float32")
    yield headless(make("plain", data))
    for kind in ("null", "batch", "valid"):
        for threshold in (0.0, 1.0, 9.0):
            yield make(f"{kind}-{threshold}", data, normalization=kind, valid_thresh=threshold,
                       grad_scale=6)  # fmt: skip
    for dtype in ("float16", "float64"):
        yield make(dtype, data.astype(dtype), grad_scale=2)
    yield make("special", f32(NAN, INFINITY, 0), normalization="valid")
    yield from added(make("plain", data))


def cross_entropy(operator: str) -> Iterator[GradientCase]:
    data, labels = uniform((4, 3), "float32"), f32(2, 0, 1, 1)
    for name, inputs in (
        ("plain", (data, labels)),
        ("one", (uniform((1, 1), "float32"), f32(0))),
        ("float64", (data.astype("float64"), labels.astype("float64"))),
        ("far", (f32(100, 0, -100, 50).reshape(2, 2), f32(1, 0))),
        ("infinity", (f32(INFINITY, 0, 1, -INFINITY).reshape(2, 2), f32(1, 0))),
    ):
        yield GradientCase(name, inputs, requests=("write", "null"))
    yield GradientCase("add", (data, labels), requests=("add", "null"))
    yield GradientCase("bad-gradient-of-labels", (data, labels))


FAMILIES: dict[str, dict[str, Maker]] = {
    "losses": {
        "SoftmaxOutput": softmax_output,
        **dict.fromkeys(
            words("LinearRegressionOutput LogisticRegressionOutput MAERegressionOutput"), regression
        ),
        "SVMOutput": svm,
        "MakeLoss": make_loss,
        "softmax_cross_entropy": cross_entropy,
    },
}
