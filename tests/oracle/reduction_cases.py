"""Cases of the operators that sum or compare along axes: reductions, products, softmax."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from oracle.operator_cases import (
    DTYPES,
    FLOATS,
    INTEGERS,
    SHAPES,
    Array,
    Case,
    Maker,
    cast,
    corners,
    counting,
    f32,
    i32,
    make,
    shape_label,
    special,
    spell,
    tied,
    truth,
    uniform,
    words,
)

NAN, INFINITY = float("nan"), float("inf")
REDUCED_SHAPES = (*SHAPES, (2, 3, 4), (3, 1, 5), (4, 16), (16, 4))


def reduction(operator: str) -> Iterator[Case]:
    small = "prod" in operator
    for dtype in DTYPES:
        yield make(f"{dtype}-uniform", uniform((3, 5), dtype))
        yield make(f"{dtype}-axis1", uniform((2, 3, 4), dtype, 1), axis=1)
        yield make(f"{dtype}-last-axis", uniform((5, 3), dtype, 2), axis=-1)
        yield make(f"{dtype}-ties", tied((2, 9), dtype), axis=1)
        rows = np.stack([corners(dtype)[:6], corners(dtype)[-6:]])
        yield make(f"{dtype}-corners", rows, axis=1)
    for shape in REDUCED_SHAPES:
        values = uniform(shape, "float32", 3)
        yield make(f"all-{shape_label(shape)}", values)
        yield make(f"first-{shape_label(shape)}", values, axis=0)
    cube = uniform((2, 3, 4), "float32", 4)
    for axis in (
        None, 0, 1, 2, -1, -3, (0, 1), (0, 2), (1, 2), (0, 1, 2), (), (1,), (-1,), (-3, -1), [0, 2],
        (-1, 0), (2, 0),
    ):  # fmt: skip
        for keepdims in (False, True):
            yield make(spell(axis=axis, keepdims=keepdims), cube, axis=axis, keepdims=keepdims)
    if operator != "norm":
        for axis in (None, 0, -1, (0, 1), (1,), (0, 1, 2), ()):
            for keepdims in (False, True):
                label = spell(axis=axis, keepdims=keepdims, exclude=True)
                yield make(label, cube, axis=axis, keepdims=keepdims, exclude=True)
    deep = uniform((2, 1, 3, 2, 2), "float32", 5)
    for axes in ((1, 3), (0, 2, 4), (0, 4), 2, (1, 2, 3, 4)):
        yield make(f"5d-{spell(axis=axes)}", deep, axis=axes)
    yield make("float64-5d", uniform((2, 2, 2, 2, 2), "float64", 6), axis=(0, 2))
    for dtype in FLOATS:
        for name, numbers in (
            ("nan-first", [NAN, 1, 2]), ("nan-last", [1, 2, NAN]), ("all-nan", [NAN, NAN]),
            ("infinities", [INFINITY, 1, -INFINITY]), ("infinite", [1, INFINITY]),
            ("zeros", [-0.0, 0.0]), ("zeros-reversed", [0.0, -0.0]), ("minus-zero", [-0.0, -0.0]),
            ("nan-and-infinity", [NAN, INFINITY]), ("one", [-2.5]), ("minus-infinity", [-INFINITY]),
        ):  # fmt: skip
            yield make(f"{dtype}-{name}", cast(numbers, dtype))
    limits = np.finfo("float32")
    denormals = f32(limits.tiny / 2, limits.tiny / 4, limits.tiny / 8)
    yield make("denormals", denormals)
    yield make("large", f32(3e20, 4e20))
    yield make("largest", f32(limits.max, limits.max))
    yield make("cancellation", f32(1e8, 1, -1e8, 1))
    yield make("float16-overflow", cast([60000, 60000, 4], "float16"))
    yield make("float16-small-steps", cast([2048, *[1] * 40], "float16"))
    yield make("float16-4096-ones", np.ones(4096, "float16"))
    yield make("int32-overflow", i32(2**31 - 1, 1, 5))
    yield make("int64-beyond-float", cast([2**53 + 1, 2], "int64"))
    yield make("int8-overflow", cast([100, 100, 3], "int8"))
    yield make("uint8-overflow", cast([200, 100, 3], "uint8"))
    if not small:
        yield make("float32-long", uniform((3, 700), "float32", 7), axis=1)
    yield make("bool", truth(2, 3))
    yield make("bool-axis", truth(2, 3), axis=0)
    yield make("bad-axis-3", cube, axis=3)
    yield make("bad-axis-minus-4", cube, axis=-4)
    yield make("bad-axis-repeated", cube, axis=(0, 0))
    yield make("bad-axis-repeated-negative", cube, axis=(0, -3))
    yield make("bad-axis-word", cube, axis="x")
    yield make("bad-attribute", cube, foo=1)
    yield make("string-axis", cube, axis="(0, 1)")


def norm(operator: str) -> Iterator[Case]:
    yield from reduction(operator)
    for order in (1, 2):
        for dtype in DTYPES:
            yield make(f"ord={order}-{dtype}", uniform((3, 5), dtype), ord=order)
            yield make(f"ord={order}-{dtype}-axis0", uniform((3, 5), dtype), ord=order, axis=0)
        for axis in (None, 0, -1, (0, 1), (1, 2), (0, 2)):
            values = uniform((2, 3, 4), "float32", 8)
            label = f"ord={order}-{spell(axis=axis)}"
            yield make(f"{label},keepdims", values, ord=order, axis=axis, keepdims=True)
            yield make(label, values, ord=order, axis=axis)
        yield make(f"ord={order}-special", special("float32").reshape(-1, 1), ord=order, axis=1)
        yield make(f"ord={order}-nan", f32(NAN, 1), ord=order)
        yield make(f"ord={order}-zero", f32(0, 0), ord=order)
        for out in ("float16", "float32", "float64", "int32"):
            for dtype in ("float32", "float16"):
                yield make(f"ord={order}-{dtype}-out_dtype={out}", uniform((4,), dtype),
                           ord=order, out_dtype=out)  # fmt: skip
    yield make("bad-ord-3", f32(1, 2), ord=3)
    yield make("bad-ord-0", f32(1, 2), ord=0)
    yield make("bad-out_dtype", f32(1, 2), out_dtype="float33")


def arg_extreme(operator: str) -> Iterator[Case]:
    for dtype in DTYPES:
        yield make(f"{dtype}-flat", uniform((3, 5), dtype))
        yield make(f"{dtype}-axis0", uniform((5, 3), dtype, 1), axis=0)
        yield make(f"{dtype}-axis1", uniform((2, 3, 4), dtype, 1), axis=1)
        yield make(f"{dtype}-ties", tied((3, 9), dtype), axis=1)
        yield make(f"{dtype}-corners", corners(dtype))
    for shape in REDUCED_SHAPES:
        values = uniform(shape, "float32", 3)
        yield make(f"all-{shape_label(shape)}", values)
        yield make(f"last-{shape_label(shape)}", values, axis=-1)
    cube = tied((2, 3, 4), "float32", 4)
    for axis in (None, 0, 1, 2, -1, -2, -3):
        for keepdims in (False, True):
            yield make(spell(axis=axis, keepdims=keepdims), cube, axis=axis, keepdims=keepdims)
    yield make("5d", uniform((2, 1, 3, 2, 2), "float32", 5), axis=2, keepdims=True)
    for dtype in FLOATS:
        for name, numbers in (
            ("nan-first", [NAN, 1, 2]), ("nan-last", [1, 2, NAN]), ("two-nan", [1, NAN, 3, NAN]),
            ("infinities", [1, INFINITY, -INFINITY, INFINITY]), ("zeros", [-0.0, 0.0]),
            ("zeros-reversed", [0.0, -0.0]), ("nan-and-infinity", [INFINITY, NAN]),
        ):  # fmt: skip
            yield make(f"{dtype}-{name}", cast(numbers, dtype))
    turned = np.arange(300)
    yield make("uint8-index-300", cast(turned == 290, "uint8"))
    yield make("uint8-index-zero", cast(turned != 290, "uint8"))
    yield make("int8-index-300", cast(turned == 290, "int8") - cast(turned == 200, "int8"))
    yield make("float16-index-3000", cast(np.arange(3000) == 2999, "float16"))
    yield make("bool", truth(2, 3))
    yield make("bad-axis-3", cube, axis=3)
    yield make("bad-axis-minus-4", cube, axis=-4)
    yield make("bad-axis-tuple", cube, axis=(0, 1))
    yield make("bad-attribute", cube, foo=1)


def argmax_channel(operator: str) -> Iterator[Case]:
    for dtype in DTYPES:
        yield make(f"{dtype}", uniform((3, 5), dtype))
        yield make(f"{dtype}-ties", tied((3, 5), dtype))
    for shape in (*SHAPES, (4, 16), (16, 4), (2, 3, 4)):
        yield make(f"{shape_label(shape)}", uniform(shape, "float32", 3))
    for name, values in (
        ("nan", [[NAN, 1, 2], [1, NAN, 2], [1, 2, NAN]]), ("infinity", [[INFINITY, 1, INFINITY]]),
        ("minus-infinity", [[-INFINITY, -INFINITY]]), ("zeros", [[-0.0, 0.0], [0.0, -0.0]]),
    ):  # fmt: skip
        yield make(name, cast(values, "float32"))
    yield make("bool", truth(2, 3))
    yield make("long", uniform((2, 70), "float32", 9))
    yield make("uint8-index-beyond", cast(np.arange(300) == 290, "uint8").reshape(1, 300))


def dot(operator: str) -> Iterator[Case]:
    for transpose_a, transpose_b in itertools.product((False, True), repeat=2):
        flags: dict[str, Any] = {"transpose_a": transpose_a, "transpose_b": transpose_b}
        name = f"a{'T' if transpose_a else ''}b{'T' if transpose_b else ''}"
        for rows, inner, columns in ((2, 3, 4), (1, 1, 1), (5, 7, 3), (1, 9, 2), (4, 1, 3)):
            for dtype in ("float32", "float64"):
                left = uniform((inner, rows) if transpose_a else (rows, inner), dtype)
                right = uniform((columns, inner) if transpose_b else (inner, columns), dtype, 1)
                yield make(f"{name}-{dtype}-{rows}x{inner}x{columns}", left, right, **flags)
        for dtype in ("float16", *INTEGERS):
            yield make(
                f"{name}-{dtype}", uniform((3, 3), dtype), uniform((3, 3), dtype, 1), **flags
            )
        deep = (4, 2, 3) if transpose_a else (2, 3, 4)
        other = (5, 4) if transpose_b else (4, 5)
        yield make(f"{name}-3d-2d", uniform(deep, "float32"), uniform(other, "float32", 1), **flags)
        deepest = (2, 5, 4) if transpose_b else (4, 5, 2)
        yield make(
            f"{name}-3d-3d", uniform(deep, "float32"), uniform(deepest, "float32", 1), **flags
        )
        yield make(f"{name}-1d-1d", uniform((5,), "float32"), uniform((5,), "float32", 1), **flags)
        yield make(f"{name}-1d-2d", uniform((4,), "float32"), uniform(other, "float32", 1), **flags)
        left_shape = (4, 2) if transpose_a else (2, 4)
        yield make(
            f"{name}-2d-1d", uniform(left_shape, "float32"), uniform((4,), "float32"), **flags
        )
        yield make(
            f"{name}-4d-2d", uniform((4, 1, 2, 4), "float32"), uniform(other, "float32"), **flags
        )
        yield make(f"{name}-bad-inner", counting(2, 3), counting(5, 7), **flags)
    special_rows = f32(NAN, 1, INFINITY, 0, -INFINITY, -0.0).reshape(3, 2)
    yield make("special", special_rows, f32(0, 1, 2, -0.0).reshape(2, 2))
    yield make("minus-zero", f32(-0.0).reshape(1, 1), f32(1).reshape(1, 1))
    yield make("denormals", f32(1e-30, 1e-20).reshape(1, 2), f32(1e-10, 1e-20).reshape(2, 1))
    yield make("overflow", f32(1e30, 1e30).reshape(1, 2), f32(1e10, 1).reshape(2, 1))
    yield make("long", uniform((2, 300), "float32"), uniform((300, 2), "float32", 1))
    yield make("bad-dtypes", counting(2, 2), counting(2, 2, dtype="float64"))
    yield make("bad-attribute", counting(2, 2), counting(2, 2), foo=1)


def batch_dot(operator: str) -> Iterator[Case]:
    for transpose_a, transpose_b in itertools.product((False, True), repeat=2):
        flags: dict[str, Any] = {"transpose_a": transpose_a, "transpose_b": transpose_b}
        name = f"a{'T' if transpose_a else ''}b{'T' if transpose_b else ''}"
        for batch, rows, inner, columns in (
            ((1,), 2, 3, 4), ((2,), 1, 1, 1), ((3,), 5, 7, 3), ((2,), 1, 9, 2), ((2, 3), 2, 3, 2),
        ):  # fmt: skip
            for dtype in ("float32", "float64"):
                left = uniform(batch + ((inner, rows) if transpose_a else (rows, inner)), dtype)
                shape = batch + ((columns, inner) if transpose_b else (inner, columns))
                label = f"{name}-{dtype}-{shape_label(batch)}-{rows}x{inner}x{columns}"
                yield make(label, left, uniform(shape, dtype, 1), **flags)
        for dtype in ("float16", *INTEGERS):
            square = uniform((2, 3, 3), dtype)
            yield make(f"{name}-{dtype}", square, uniform((2, 3, 3), dtype, 1), **flags)
        yield make(f"{name}-bad-inner", counting(2, 2, 3), counting(2, 5, 7), **flags)
    yield make("special", f32(NAN, 1, INFINITY, 0).reshape(1, 2, 2), counting(1, 2, 2))
    yield make("bad-2d", counting(2, 3), counting(3, 2))
    yield make("bad-batches", counting(2, 2, 3), counting(1, 3, 2))
    yield make("bad-3d-2d", counting(2, 2, 3), counting(3, 2))
    yield make("bad-dtypes", counting(1, 2, 2), counting(1, 2, 2, dtype="float64"))


def fully_connected(operator: str) -> Iterator[Case]:
    for dtype in DTYPES:
        data, weight = uniform((3, 4), dtype), uniform((2, 4), dtype, 1)
        yield make(f"{dtype}", data, weight, uniform((2,), dtype, 2), num_hidden=2)
        yield make(f"{dtype}-no_bias", data, weight, num_hidden=2, no_bias=True)
    for shape in ((1, 1), (3, 5), (2, 1, 4), (4, 2, 3), (1, 3, 1, 2), (2, 3, 1, 2, 2)):
        for flatten in (True, False):
            features = int(np.prod(shape[1:])) if flatten else shape[-1]
            for no_bias in (False, True):
                weight, bias = uniform((3, features), "float32", 1), uniform((3,), "float32", 2)
                attributes = {"num_hidden": 3, "flatten": flatten, "no_bias": no_bias}
                inputs = (uniform(shape, "float32"), weight, *([] if no_bias else [bias]))
                label = f"{shape_label(shape)}-{spell(flatten=flatten, no_bias=no_bias)}"
                yield Case(label, inputs, attributes)
    data, weight, bias = counting(2, 3), counting(1, 3), f32(-2)
    yield make("one-hidden", data, weight, bias, num_hidden=1)
    yield make("special", f32(NAN, 1, INFINITY, 0, -INFINITY, 2).reshape(3, 2),
               f32(1, 0, -1, 1).reshape(2, 2), f32(-0.0, NAN), num_hidden=2)  # fmt: skip
    yield make("float64-long", uniform((2, 90), "float64"), uniform((3, 90), "float64", 1),
               uniform((3,), "float64", 2), num_hidden=3)  # fmt: skip
    yield make("1d", counting(3), counting(2, 3), f32(1, 2), num_hidden=2)
    yield make("1d-flatten=False", counting(3), counting(2, 3), f32(1, 2), num_hidden=2,
               flatten=False)  # fmt: skip
    yield make("bad-weight", data, counting(2, 4), f32(1, 2), num_hidden=2)
    yield make("bad-num_hidden", data, counting(2, 3), f32(1, 2), num_hidden=3)
    yield make("bad-bias", data, counting(2, 3), f32(1, 2, 3), num_hidden=2)
    yield make("bad-bias-2d", data, counting(2, 3), f32(1, 2).reshape(1, 2), num_hidden=2)
    yield make("bad-missing-num_hidden", data, weight, bias)
    yield make("bad-zero-num_hidden", data, weight, bias, num_hidden=0)
    yield make("bad-negative-num_hidden", data, weight, bias, num_hidden=-1)
    yield make("bad-word", data, weight, bias, num_hidden="x")
    yield make("bad-attribute", data, weight, bias, num_hidden=1, foo=1)
    yield make("bad-no-bias-given", data, weight, num_hidden=1)
    yield make("bad-dtypes", data, counting(1, 3, dtype="float64"), bias, num_hidden=1)


def add_n(operator: str) -> Iterator[Case]:
    for dtype in DTYPES:
        yield make(f"{dtype}-two", corners(dtype), corners(dtype)[::-1].copy())
        yield make(f"{dtype}-three", *(uniform((3, 5), dtype, seed) for seed in range(3)))
        yield make(f"{dtype}-nine", *(uniform((2, 3), dtype, seed) for seed in range(9)))
    for shape in SHAPES:
        yield make(shape_label(shape), *(uniform(shape, "float32", seed) for seed in range(4)))
    yield make("one", f32(1, -0.0, NAN))
    yield make("order", f32(1e8), f32(1), f32(-1e8), f32(1))
    yield make("twenty", *(uniform((3,), "float32", seed) for seed in range(20)))
    yield make("num_args", f32(1), f32(2), num_args=2)
    yield make("bad-num_args", f32(1), f32(2), num_args=3)
    yield make("bad-shapes", counting(2, 3), counting(1, 3))
    yield make("bad-shapes-sum", counting(2, 3), counting(3, 2))
    yield make("bad-dtypes", f32(1), i32(1))
    yield make("bool", truth(2), truth(2))


def softmax(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        values = truth(3, 5) if dtype == "bool" else uniform((3, 5), dtype)
        yield make(f"{dtype}", values)
        yield make(f"{dtype}-axis0", values, axis=0)
        yield make(f"{dtype}-dtype=float32", values, dtype="float32")
    for dtype, out in itertools.product(FLOATS, FLOATS):
        yield make(f"{dtype}-to-{out}", uniform((2, 7), dtype, 1), dtype=out)
    for dtype in FLOATS:
        rows = [[NAN, 0, 1], [INFINITY, 0, 0], [-INFINITY, 0, 0], [INFINITY, -INFINITY, 1],
                [-INFINITY] * 3, [INFINITY] * 3, [1000, 0, -1000], [-1000, -1001, -1002],
                [60000, 59000, -60000], [0.0, -0.0, 0.0], [1e-7, 0, 0], [88, -88, 0]]  # fmt: skip
        yield make(f"{dtype}-special", cast(rows, dtype))
        yield make(f"{dtype}-corners", corners(dtype))
        yield make(f"{dtype}-scaled", uniform((2, 4), dtype, 2) * cast(10, dtype))
    for shape in (*SHAPES, (2, 3, 4), (1, 40), (40, 1)):
        for axis in range(-len(shape), len(shape)):
            if len(shape) < 4 or axis in (0, 1, -1):
                yield make(
                    f"{shape_label(shape)}-axis{axis}", uniform(shape, "float32", 3), axis=axis
                )
    for temperature in (0.5, 2, 1, 1e-3, 1e4, -1, 0, None, "2.0"):
        for dtype in ("float32", "float16"):
            yield make(f"{dtype}-{spell(temperature=temperature)}", uniform((2, 5), dtype, 4),
                       temperature=temperature)  # fmt: skip
    cube = uniform((2, 3, 4), "float32", 6)
    yield make("length-missing", uniform((2, 3), "float32"), use_length=True)
    yield make("length-unused", uniform((2, 3), "float32"), i32(1, 2), use_length=False)
    if operator == "softmax":
        yield from softmax_with_length(cube)
    yield make("bad-axis", cube, axis=3)
    yield make("bad-axis-negative", cube, axis=-4)
    yield make("bad-dtype", cube, dtype="int32")
    yield make("bad-attribute", cube, foo=1)


def softmax_with_length(cube: Array) -> Iterator[Case]:
    """Lengths within the axis only: MXNet writes outside its memory for longer ones."""
    for dtype in ("int32", "int64", "int8", "uint8", "float32"):
        for values in ([2, 5, 1], [0, 4, 3]):
            yield make(f"length-{dtype}-{values[0]}", uniform((3, 5), "float32", 5),
                       cast(values, dtype), use_length=True)  # fmt: skip
    yield make("length-3d-last", cube, i32(0, 1, 2, 3, 4, 4).reshape(2, 3), use_length=True)
    yield make("length-3d-axis1", cube, i32(0, 1, 2, 3, 1, 2, 3, 3).reshape(2, 4), axis=1,
               use_length=True)  # fmt: skip
    yield make("length-3d-axis0", cube, (counting(3, 4, dtype="int32") % 3), axis=0,
               use_length=True)  # fmt: skip
    yield make("length-1d", f32(1, 2, 3), i32(2), use_length=True)
    yield make("length-float64", uniform((2, 3), "float64"), i32(1, 2), use_length=True)
    yield make("length-float16", uniform((2, 3), "float16"), i32(1, 2), use_length=True)
    yield make("length-temperature", uniform((2, 3), "float32"), i32(1, 2), use_length=True,
               temperature=2.0)  # fmt: skip
    yield make("length-nan-behind", f32(1, 2, NAN).reshape(1, 3), i32(2), use_length=True)
    yield make("length-bad-shape", uniform((2, 3), "float32"), i32(1, 2, 3), use_length=True)


def softmax_activation(operator: str) -> Iterator[Case]:
    for mode in ("instance", "channel"):
        for shape in (*SHAPES, (4, 7), (2, 3, 4), (2, 3, 4, 2), (5, 1)):
            yield make(f"{mode}-{shape_label(shape)}", uniform(shape, "float32"), mode=mode)
        for dtype in DTYPES:
            yield make(f"{mode}-{dtype}", uniform((2, 3, 4), dtype), mode=mode)
    rows = [[NAN, 0, 1], [INFINITY, 0, 0], [-INFINITY, 0, 0], [-INFINITY] * 3, [1000, 0, -1000],
            [-1000, -1001, -1002], [0.0, -0.0, 0.0]]  # fmt: skip
    yield make("special", cast(rows, "float32"))
    yield make("default-mode", uniform((3, 4), "float32"))
    yield make("default-mode-3d", uniform((2, 3, 4), "float32"))
    yield make("scaled", uniform((3, 4), "float32") * f32(30))
    yield make("bad-mode", uniform((3, 4), "float32"), mode="x")
    yield make("bad-attribute", uniform((3, 4), "float32"), axis=1)


FAMILIES: dict[str, dict[str, Maker]] = {
    "reduction": {
        **dict.fromkeys(words("sum mean prod max min nansum nanprod"), reduction),
        "norm": norm,
        **dict.fromkeys(words("argmax argmin"), arg_extreme),
        "argmax_channel": argmax_channel,
    },
    "matrix": {
        "dot": dot,
        "batch_dot": batch_dot,
        "FullyConnected": fully_connected,
        "add_n": add_n,
    },
    "softmax": {
        **dict.fromkeys(words("softmax log_softmax softmin"), softmax),
        "SoftmaxActivation": softmax_activation,
    },
}
