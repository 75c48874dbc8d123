"""Cases of the operators that work element by element: unary, binary, scalar, broadcast."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from oracle.operator_cases import (
    DTYPES,
    FLOATS,
    INTEGERS,
    SHAPES,
    Case,
    Maker,
    cast,
    corners,
    counting,
    f32,
    i32,
    make,
    pairs,
    shape_label,
    special,
    spell,
    tied,
    truth,
    uniform,
    words,
)

MATHEMATICS = words(
    "abs sign negative reciprocal square sqrt rsqrt cbrt exp expm1 log log2 log10 log1p sin cos "
    "tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh floor ceil round rint fix "
    "trunc degrees radians relu sigmoid softsign"
)
IDENTITIES = ["identity", "BlockGrad", "zeros_like", "ones_like"]
BINARY = words(
    "elemwise_add elemwise_sub elemwise_mul elemwise_div _mod _power _maximum _minimum _hypot "
    "_equal _not_equal _greater _greater_equal _lesser _lesser_equal _logical_and _logical_or "
    "_logical_xor"
)
SCALAR = words(
    "_plus_scalar _minus_scalar _rminus_scalar _mul_scalar _div_scalar _rdiv_scalar _mod_scalar "
    "_rmod_scalar _power_scalar _rpower_scalar _maximum_scalar _minimum_scalar _hypot_scalar "
    "_equal_scalar _not_equal_scalar _greater_scalar _greater_equal_scalar _lesser_scalar "
    "_lesser_equal_scalar _logical_and_scalar _logical_or_scalar _logical_xor_scalar"
)
BROADCAST = words(
    "broadcast_add broadcast_sub broadcast_mul broadcast_div broadcast_mod broadcast_power "
    "broadcast_maximum broadcast_minimum broadcast_hypot broadcast_equal broadcast_not_equal "
    "broadcast_greater broadcast_greater_equal broadcast_lesser broadcast_lesser_equal "
    "broadcast_logical_and broadcast_logical_or broadcast_logical_xor"
)
BROADCAST_SHAPES = (
    ((2, 3), (2, 3)),
    ((2, 3), (1, 3)),
    ((2, 1), (2, 3)),
    ((1, 1), (1, 1)),
    ((3,), (2, 3)),
    ((2, 3), (3,)),
    ((2, 3, 4), (1,)),
    ((1,), (5,)),
    ((2, 1, 4), (1, 3, 1)),
    ((2, 3, 4), (3, 1)),
    ((2, 1, 3, 1), (1, 2, 1, 2)),
    ((1, 3, 1, 2), (2, 3, 2, 2)),
    ((2, 1, 2, 1, 2), (1, 3, 1, 2, 1)),
    ((2, 3, 1, 2, 2), (1, 1, 1, 1, 1)),
    ((1, 1, 1, 1, 1, 1), (2, 1, 2, 1, 2, 1)),
)


def unary(operator: str) -> Iterator[Case]:
    for dtype in DTYPES:
        yield make(f"{dtype}-special", special(dtype))
        yield make(f"{dtype}-uniform", uniform((3, 5), dtype))
        yield make(f"{dtype}-near-zero", uniform((2, 3, 4), dtype, 1, low=-1) / cast(3, dtype)
                   if dtype in FLOATS else tied((2, 3, 4), dtype))  # fmt: skip
    for shape in SHAPES:
        yield make(f"float32-{shape_label(shape)}", uniform(shape, "float32", 2))
    for dtype in ("float32", "float64"):
        yield make(f"{dtype}-quarters", cast(np.arange(-14, 15) / 4, dtype))
        yield make(f"{dtype}-unit", cast(np.linspace(-1, 1, 21), dtype))
        yield make(f"{dtype}-above-one", cast(np.linspace(1, 21, 21), dtype))
        powers = 10.0 ** np.arange(-36, 38, 4)
        yield make(f"{dtype}-powers", cast(np.concatenate([powers, -powers]), dtype))
    yield make("float16-halves", cast(np.arange(-9, 10) / 2, "float16"))
    yield make("float64-5d", uniform((2, 1, 3, 2, 1), "float64", 3))
    yield make("bool", truth(2, 3))
    yield make("bad-two-inputs", f32(1), f32(2))
    yield make("bad-no-input")


def binary(operator: str) -> Iterator[Case]:
    divides = operator in ("elemwise_div", "broadcast_div")
    for dtype in DTYPES:
        divisors = corners(dtype)
        if divides and dtype in INTEGERS:
            yield make(f"{dtype}-by-zero", cast([-3, 0, 5], dtype), cast([0, 0, 0], dtype))
            yield make(f"{dtype}-some-by-zero", cast([7, 8, 9], dtype), cast([2, 0, 4], dtype))
            divisors = divisors[divisors != 0]
            if dtype != "uint8":
                lowest = np.iinfo(dtype).min
                yield make(f"{dtype}-lowest-by-minus-one", cast([lowest, lowest + 1], dtype),
                           cast([-1, -1], dtype))  # fmt: skip
                divisors = divisors[divisors != -1]
        left, right = pairs(corners(dtype), divisors)
        yield make(f"{dtype}-corners", left, right)
        right = nonzero(uniform((3, 5), dtype, 1))
        if "power" in operator:
            right = tied((3, 5), dtype, 1)
        yield make(f"{dtype}-uniform", uniform((3, 5), dtype), right)
        if dtype in INTEGERS and dtype != "uint8":
            left, right = pairs(cast([9, -9, 7, -7, 6, 0], dtype), cast([2, -2, 3, -3, 7], dtype))
            yield make(f"{dtype}-signs", left, right)
    for dtype in FLOATS:
        left, right = pairs(cast([5.5, -5.5, 0.25, -7, 1e4], dtype), cast([2, -2, 0.75, -3], dtype))
        yield make(f"{dtype}-signs", left, right)
        yield make(f"{dtype}-ties", tied((2, 7), dtype), tied((2, 7), dtype, 1))
        left, right = pairs(special(dtype)[::3], cast([2, -0.5, 1, 0.3], dtype))
        yield make(f"{dtype}-special", left, right)
    large = f32(1e20, 5e7, 123456.78, 1e10, -1e20, 16777217)
    yield make("float32-large", large, f32(3, 3, 0.001, 7, 3, 0.7))
    yield make("float64-large", large.astype("float64"), cast([3, 3, 0.001, 7, 3, 0.7], "float64"))
    yield make("int64-beyond-float", cast([2**53 + 1, -(2**53) - 1, 3], "int64"),
               cast([3, 3, 35], "int64"))  # fmt: skip
    yield make("int32-large", i32(2**30, 3, -(2**24) - 1, 46341), i32(3, 20, 2, 46341))
    yield make("bool", truth(2, 3), truth(2, 3))
    yield make("bad-dtypes-int32-float32", i32(1, 2), f32(1, 2))
    yield make("bad-dtypes-float16-float32", cast([1, 2], "float16"), f32(1, 2))
    yield make("bad-dtypes-int32-int64", i32(1, 2), cast([1, 2], "int64"))
    yield make("bad-one-input", f32(1, 2))
    yield make("bad-three-inputs", f32(1), f32(2), f32(3))


def nonzero(values: np.ndarray) -> np.ndarray:
    return np.where(values == 0, cast(1, str(values.dtype)), values)


def elementwise_binary(operator: str) -> Iterator[Case]:
    yield from binary(operator)
    for shape in SHAPES:
        yield make(f"float32-{shape_label(shape)}", uniform(shape, "float32"),
                   uniform(shape, "float32", 1))  # fmt: skip
    yield make("bad-shapes-2x3-2x4", counting(2, 3), counting(2, 4))
    yield make("bad-shapes-2x3-1x3", counting(2, 3), counting(1, 3))
    yield make("bad-shapes-2x3-3", counting(2, 3), counting(3))
    yield make("bad-shapes-2x3-6", counting(2, 3), counting(6))


def broadcast_binary(operator: str) -> Iterator[Case]:
    yield from binary(operator)
    for shape, other in BROADCAST_SHAPES:
        yield make(f"float32-{shape_label(shape)}-{shape_label(other)}", uniform(shape, "float32"),
                   uniform(other, "float32", 1))  # fmt: skip
    for dtype in DTYPES:
        yield make(f"{dtype}-outer", uniform((2, 1, 4), dtype),
                   nonzero(uniform((3, 1), dtype, 1)))  # fmt: skip
    yield make("bad-shapes-2x3-2x4", counting(2, 3), counting(2, 4))
    yield make("bad-shapes-2x3-2", counting(2, 3), counting(2))
    yield make("six-dimensions", counting(1, 2, 1, 2, 1, 2), counting(2, 1, 2, 1, 2, 1))


def scalar(operator: str) -> Iterator[Case]:
    for dtype in DTYPES:
        for value in (2, -3, 0.5, 0, 7.0):
            yield make(f"{dtype}-{value}", corners(dtype), scalar=value)
        yield make(f"{dtype}-2.5-shaped", uniform((2, 1, 4), dtype), scalar=2.5)
    infinity = float("inf")
    for value in (-0.0, float("nan"), infinity, -infinity, 1e30, 1e-40, 0.1, 16777217, 1e20, -1.5):
        yield make(f"float32-{value}", corners("float32"), scalar=value)
    for value in (float("nan"), -0.0, 0.1, 1e22, -2.5):
        yield make(f"float64-{value}", corners("float64"), scalar=value)
    for value in (70000, 0.1, 1e-8, -infinity):
        yield make(f"float16-{value}", corners("float16"), scalar=value)
    for dtype, value in (
        ("uint8", 3), ("uint8", 200), ("int8", -100), ("int32", 2**31 - 1), ("int32", 1.9),
        ("int32", -1.9), ("int64", 2**40), ("int64", 2**53 + 1), ("int64", -2),
    ):  # fmt: skip
        yield make(f"{dtype}-{value}", nonzero(corners(dtype)), scalar=value)
    for dtype, value in (
        ("uint8", 300), ("uint8", -1), ("int8", 200), ("int32", 3e9), ("int32", float("nan")),
        ("int64", 1e30),
    ):  # fmt: skip
        yield make(f"{dtype}-outside-{value}", cast([1, 2, 5], dtype), scalar=value)
    if operator == "_div_scalar":
        for dtype in ("int8", "int32", "int64"):
            yield make(f"{dtype}-lowest-by-minus-one", corners(dtype), scalar=-1)
    for dtype in ("float32", "int32"):
        for is_int in (True, False):
            for value in (1.5, 2):
                label = f"{dtype}-{value}-{spell(is_int=is_int)}"
                yield make(label, uniform((5,), dtype), scalar=value, is_int=is_int)
    yield make("default-scalar", uniform((5,), "float32"))
    yield make("default-scalar-int32", i32(4, -5, 0, 1))
    yield make("string-scalar", uniform((5,), "float32"), scalar="2.5")
    for shape in SHAPES[2:]:
        yield make(f"float32-{shape_label(shape)}", uniform(shape, "float32"), scalar=1.25)
    yield make("bool-2", truth(2, 3), scalar=2)
    yield make("bool-1.5-is_int=False", truth(2, 3), scalar=1.5, is_int=False)
    yield make("bad-scalar-word", f32(1, 2), scalar="x")
    yield make("bad-scalar-tuple", f32(1, 2), scalar=(1, 2))
    yield make("bad-attribute", f32(1, 2), scalar=1, foo=2)
    yield make("bad-no-input", scalar=1)


def activation(operator: str) -> Iterator[Case]:
    for kind in ("relu", "sigmoid", "softrelu", "softsign", "tanh"):
        for dtype in FLOATS:
            yield make(f"{kind}-{dtype}-special", special(dtype), act_type=kind)
            yield make(f"{kind}-{dtype}-uniform", uniform((3, 5), dtype), act_type=kind)
        for shape in SHAPES:
            yield make(f"{kind}-{shape_label(shape)}", uniform(shape, "float32"), act_type=kind)
        sweep = cast(np.linspace(-30, 30, 41), "float32")
        yield make(f"{kind}-sweep", sweep, act_type=kind)
        for dtype in INTEGERS:
            yield make(f"{kind}-bad-{dtype}", corners(dtype), act_type=kind)
    yield make("bad-act_type", f32(1), act_type="gelu")
    yield make("bad-missing-act_type", f32(1))
    yield make("bad-attribute", f32(1), act_type="relu", foo=1)


def clip(operator: str) -> Iterator[Case]:
    for dtype in DTYPES:
        for low, high in ((-1, 2), (0.5, 2.5), (2, -1), (-1e30, 1e30), (0, 0)):
            yield make(f"{dtype}-{low}..{high}", special(dtype), a_min=low, a_max=high)
    for shape in SHAPES:
        yield make(f"float32-{shape_label(shape)}", uniform(shape, "float32"), a_min=-1, a_max=1.5)
    infinity, nan = float("inf"), float("nan")
    for dtype in ("float32", "int32"):
        yield make(f"{dtype}-open", special(dtype), a_min=-infinity, a_max=infinity)
        yield make(f"{dtype}-open-above", special(dtype), a_min=0, a_max=infinity)
        yield make(f"{dtype}-nan-bounds", special(dtype), a_min=nan, a_max=nan)
    yield make("float32-minus-zero", f32(-0.0, 0.0, -1, 1), a_min=-0.0, a_max=0.0)
    yield make("float64-precise-bounds", cast([0.1, 0.2, 0.3], "float64"), a_min=0.15, a_max=0.25)
    yield make("uint8-outside", corners("uint8"), a_min=-5, a_max=300)
    yield make("int8-outside", corners("int8"), a_min=-500, a_max=300)
    yield make("bad-missing-a_max", f32(1), a_min=0)
    yield make("bad-missing-both", f32(1))
    yield make("bad-word", f32(1), a_min="low", a_max=1)
    yield make("bool", truth(2, 3), a_min=0, a_max=1)


def cast_cases(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        source = truth(2, 3) if dtype == "bool" else special(dtype)
        for target in (*DTYPES, "bool"):
            yield make(f"{dtype}-to-{target}", source, dtype=target)
    wide = [200, -200, 300, 3e9, -3e9, 1e19, 1.9e19, 1e30, -1.9, 255.9, 2147483648, -2147483649]
    for dtype in ("float32", "float64"):
        for target in INTEGERS:
            yield make(f"{dtype}-wide-to-{target}", cast(wide, dtype), dtype=target)
    odd = cast([2**53 + 1, 2**24 + 1, 2**63 - 1, 65519, 65520, 2049, 2051], "int64")
    for target in (*FLOATS, "int32", "int8", "uint8"):
        yield make(f"int64-odd-to-{target}", odd, dtype=target)
    halves = cast([1 + 2**-11, 1 + 3 * 2**-11, 65519.996, 2**-25, 3 * 2**-26], "float64")
    yield make("float64-rounding-to-float16", halves, dtype="float16")
    yield make("float32-rounding-to-float16", halves.astype("float32"), dtype="float16")
    for shape in SHAPES:
        yield make(f"shape-{shape_label(shape)}", uniform(shape, "float32"), dtype="int32")
    yield make("bad-dtype", f32(1), dtype="float33")
    yield make("bad-int16", f32(1), dtype="int16")
    yield make("bad-missing-dtype", f32(1))


def broadcast_axis(operator: str) -> Iterator[Case]:
    for dtype in DTYPES:
        yield make(f"{dtype}", corners(dtype)[:6].reshape(2, 1, 3), axis=1, size=2)
    for shape, axis, size in (
        ((1,), 0, 1), ((1,), 0, 4), ((1, 3), 0, 2), ((3, 1), 1, 2), ((3, 1), -1, 2),
        ((1, 1), (0, 1), (2, 3)), ((1, 1), (1, 0), (2, 3)), ((1, 2, 1), (0, 2), (2, 3)),
        ((1, 2, 1), (2, 0), (2, 3)), ((2, 1, 1, 3), (1, 2), (2, 2)), ((1, 1, 1, 1), 2, 3),
        ((1, 2, 1, 2, 1), (0, 2, 4), (2, 3, 2)), ((1, 3, 1), (-3, -1), (2, 2)), ((2, 3), (), ()),
        ((1, 3), (0,), (1,)), ((1, 1, 2), [0, 1], [2, 2]),
    ):  # fmt: skip
        label = f"{shape_label(shape)}-{spell(axis=axis, size=size)}"
        yield make(label, counting(*shape), axis=axis, size=size)
    yield make("bad-not-one", counting(2, 3), axis=0, size=4)
    yield make("bad-axis-outside", counting(1, 3), axis=2, size=4)
    yield make("bad-lengths", counting(1, 1), axis=(0, 1), size=4)
    yield make("bad-size-word", counting(1, 1), axis=0, size="x")
    yield make("bad-repeated-axis", counting(1, 1), axis=(0, 0), size=(2, 2))
    yield make("bad-attribute", counting(1, 1), axis=0, size=2, foo=1)
    yield make("no-attributes", counting(1, 3))
    yield make("bool", truth(1, 3), axis=0, size=2)


def broadcast_to(operator: str) -> Iterator[Case]:
    for dtype in DTYPES:
        yield make(f"{dtype}", corners(dtype)[:6].reshape(2, 1, 3), shape=(2, 2, 3))
    for shape, target in (
        ((1,), (1,)), ((1,), (4,)), ((1, 3), (2, 3)), ((3, 1), (3, 2)), ((3, 1), (0, 2)),
        ((1, 1), (2, 3)), ((1, 2, 1), (2, 2, 3)), ((1, 2, 1), (2, 0, 3)), ((2, 3), (0, 0)),
        ((2, 3), (2, 3)), ((2, 1, 1, 3), (2, 2, 2, 3)), ((1, 1, 1, 1), (1, 2, 1, 2)),
        ((1, 2, 1, 2, 1), (2, 2, 3, 2, 2)), ((1, 1, 1, 1, 1), (0, 0, 2, 0, 2)), ((1, 3), [2, 3]),
        ((2, 1), (2, 1)), ((1, 5, 1), (3, 5, 1)), ((1, 5, 1), (1, 5, 4)),
    ):  # fmt: skip
        label = f"{shape_label(shape)}-{spell(to=target)}"
        yield make(label, counting(*shape), shape=target)
    yield make("bad-not-one", counting(2, 3), shape=(4, 3))
    yield make("bad-more-dimensions", counting(3), shape=(2, 3))
    yield make("bad-fewer-dimensions", counting(1, 3), shape=(3,))
    yield make("bad-negative", counting(1, 3), shape=(-1, 3))
    yield make("bad-word", counting(1, 3), shape="x")
    yield make("bad-attribute", counting(1, 3), shape=(2, 3), foo=1)
    yield make("bool", truth(1, 3), shape=(2, 3))


def broadcast_like(operator: str) -> Iterator[Case]:
    for dtype in DTYPES:
        yield make(f"{dtype}", corners(dtype)[:6].reshape(2, 1, 3), counting(2, 2, 3, dtype=dtype))
    for shape, other in (
        ((1,), (1,)), ((1,), (4,)), ((1, 3), (2, 3)), ((3, 1), (3, 2)), ((1, 1), (2, 3)),
        ((1, 2, 1), (2, 2, 3)), ((2, 3), (2, 3)), ((2, 1, 1, 3), (2, 2, 2, 3)),
        ((1, 2, 1, 2, 1), (2, 2, 3, 2, 2)), ((1, 5, 1), (3, 5, 1)),
    ):  # fmt: skip
        yield make(f"{shape_label(shape)}-{shape_label(other)}", counting(*shape), counting(*other))
    for shape, other, left, right in (
        ((1, 3), (4, 2), (0,), (0,)), ((1, 3), (4, 2), (0,), (1,)), ((3, 1), (4, 2), (1,), (0,)),
        ((1, 3), (4, 2), (-2,), (-1,)), ((1, 2, 1), (4, 5), (0, 2), (0, 1)),
        ((1, 2, 1), (4, 5), (0, 2), (1, 0)), ((1, 1), (2, 3, 4), (0, 1), (2, 1)),
        ((1, 3), (5,), (0,), (0,)), ((1, 3), (5,), 0, 0),
    ):  # fmt: skip
        label = f"{shape_label(shape)}-{shape_label(other)}-{spell(lhs=left, rhs=right)}"
        attributes = {"lhs_axes": left, "rhs_axes": right}
        yield Case(label, (counting(*shape), counting(*other)), attributes)
    yield make("mixed-dtypes", f32(1).reshape(1, 1), counting(2, 3, dtype="int32"))
    yield make("bad-not-one", counting(2, 3), counting(4, 3))
    yield make("bad-dimensions", counting(3), counting(2, 3))
    yield make("bad-lengths", counting(1, 3), counting(4, 2), lhs_axes=(0,), rhs_axes=(0, 1))
    yield make("bad-axis", counting(1, 3), counting(4, 2), lhs_axes=(2,), rhs_axes=(0,))
    yield make("bad-only-lhs", counting(1, 3), counting(4, 2), lhs_axes=(0,))
    yield make("bool", truth(1, 3), truth(2, 3))


FAMILIES: dict[str, dict[str, Maker]] = {
    "unary": {
        **dict.fromkeys(MATHEMATICS + IDENTITIES, unary),
        **dict.fromkeys(words("rcbrt erf hard_sigmoid logical_not"), unary),
        "Activation": activation,
        "clip": clip,
        "Cast": cast_cases,
    },
    "binary": dict.fromkeys(BINARY, elementwise_binary),
    "scalar": dict.fromkeys(SCALAR, scalar),
    "broadcast": {
        **dict.fromkeys(BROADCAST, broadcast_binary),
        "broadcast_axis": broadcast_axis,
        "broadcast_to": broadcast_to,
        "broadcast_like": broadcast_like,
    },
}
