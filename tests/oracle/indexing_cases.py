"""Cases of the operators that look elements up, and of those that make arrays from nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from oracle.operator_cases import (
    DTYPES,
    SHAPES,
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


def where(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        condition = truth(2, 3) if dtype == "bool" else tied((2, 3), dtype)
        yield make(f"condition-{dtype}", condition, counting(2, 3), counting(2, 3) + f32(10))
        values = truth(2, 3) if dtype == "bool" else uniform((2, 3), dtype)
        yield make(f"values-{dtype}", tied((2, 3), "float32"), values, values[::-1].copy())
        yield make(f"rows-{dtype}", f32(0, 1), values, values[::-1].copy())
    for shape in SHAPES:
        yield make(f"shape-{shape_label(shape)}", tied(shape, "float32"), counting(*shape),
                   counting(*shape) + f32(100))  # fmt: skip
        rows = tied(shape[:1], "float32", 1)
        yield make(f"rows-{shape_label(shape)}", rows, counting(*shape),
                   counting(*shape) + f32(100))  # fmt: skip
    condition = f32(NAN, INFINITY, -INFINITY, -0.0, 1e-45, 0.3)
    yield make("special-condition", condition, counting(6), counting(6) + f32(10))
    chosen = special("float32")
    turns = tied(chosen.shape, "float32")
    yield make("special-values", turns, chosen, chosen[::-1].copy())
    yield make("bad-condition-rows", f32(0, 1, 0), counting(2, 3), counting(2, 3))
    yield make("bad-condition-shape", counting(1, 3), counting(2, 3), counting(2, 3))
    yield make("bad-values-shape", counting(2, 3), counting(2, 3), counting(1, 3))
    yield make("bad-dtypes", counting(2, 3), counting(2, 3), counting(2, 3, dtype="int32"))
    yield make("bad-two-inputs", counting(2, 3), counting(2, 3))


def take(operator: str) -> Iterator[Case]:
    table = counting(4, 3)
    for dtype in (*DTYPES, "bool"):
        values = truth(4, 3) if dtype == "bool" else counting(4, 3, dtype=dtype)
        yield make(f"data-{dtype}", values, f32(2, 0))
        indices = truth(2) if dtype == "bool" else cast([3, 1, 0], dtype)
        yield make(f"indices-{dtype}", table, indices)
    outside = f32(-1, -4, -5, 4, 5, 9, -9, 100)
    for axis in (0, 1, -1, -2):
        for mode in ("clip", "wrap", "raise"):
            yield make(
                f"{spell(axis=axis, mode=mode)}", table, f32(2, 0, 1, 1), axis=axis, mode=mode
            )
            yield make(
                f"{spell(axis=axis, mode=mode)}-outside", table, outside, axis=axis, mode=mode
            )
    for mode in ("clip", "wrap"):
        broken = f32(1.9, -0.5, -1.9, NAN, 2.999)
        yield make(f"fractions-{mode}", table, broken, mode=mode)
        yield make(f"integers-outside-{mode}", table, i32(-1, 4, 2**31 - 1, -(2**31)), mode=mode)
        huge = cast([2**40, -(2**40), 2**32 + 1], "int64")
        yield make(f"int64-outside-{mode}", table, huge, mode=mode)
        yield make(f"huge-{mode}", table, f32(1e20, -1e20, INFINITY), mode=mode)
        yield make(f"int8-outside-{mode}", table, cast([-1, -128, 127], "int8"), mode=mode)
    for shape, chosen, axis in (
        ((5,), (2,), 0), ((5,), (2, 3), 0), ((5,), (1, 1), -1), ((2, 3), (2, 2), 1),
        ((2, 3), (1,), 1),
        ((2, 3, 4), (2,), 0), ((2, 3, 4), (2,), 1), ((2, 3, 4), (2,), 2), ((2, 3, 4), (2, 2), 1),
        ((2, 3, 4), (1, 2, 1), -1), ((1, 3, 1, 2), (3,), 1), ((2, 1, 2, 1, 2), (2,), 4),
        ((1,), (3,), 0),
    ):  # fmt: skip
        picked = counting(*chosen) % f32(shape[axis])
        yield make(f"{shape_label(shape)}-{shape_label(chosen)}-axis{axis}", counting(*shape),
                   picked, axis=axis)  # fmt: skip
    yield make("bad-axis", table, f32(0), axis=2)
    yield make("bad-axis-negative", table, f32(0), axis=-3)
    yield make("bad-mode", table, f32(0), mode="x")
    yield make("bad-one-input", table)


def pick(operator: str) -> Iterator[Case]:
    data = counting(3, 4)
    for dtype in (*DTYPES, "bool"):
        values = truth(3, 4) if dtype == "bool" else counting(3, 4, dtype=dtype)
        yield make(f"data-{dtype}", values, f32(2, 0, 3))
        indices = truth(3) if dtype == "bool" else cast([3, 1, 0], dtype)
        yield make(f"index-{dtype}", data, indices)
    for mode in ("clip", "wrap"):
        for axis, length in ((-1, 3), (1, 3), (0, 4), (-2, 4)):
            for keepdims in (False, True):
                inside = f32(2, 0, 1, 1)[:length]
                label = spell(axis=axis, mode=mode, keepdims=keepdims)
                attributes = {"axis": axis, "mode": mode, "keepdims": keepdims}
                yield Case(label, (data, inside), attributes)
                outside = f32(-1, 7, -9, 4)[:length]
                yield Case(f"{label}-outside", (data, outside), attributes)
        yield make(f"fractions-{mode}", data, f32(1.9, -0.5, -1.9), mode=mode)
        yield make(f"nan-{mode}", data, f32(NAN, INFINITY, -INFINITY), mode=mode)
        yield make(f"int32-extremes-{mode}", data, i32(2**31 - 1, -(2**31), -1), mode=mode)
    cube = counting(2, 3, 4)
    yield make("3d-last", cube, counting(2, 3) % f32(4))
    yield make("3d-last-kept-index", cube, (counting(2, 3) % f32(4)).reshape(2, 3, 1))
    yield make("3d-last-kept-both", cube, (counting(2, 3) % f32(4)).reshape(2, 3, 1), keepdims=True)
    yield make("3d-axis1", cube, counting(2, 4) % f32(3), axis=1)
    yield make(
        "3d-axis1-kept", cube, (counting(2, 4) % f32(3)).reshape(2, 1, 4), axis=1, keepdims=True
    )
    yield make("3d-axis0", cube, counting(3, 4) % f32(2), axis=0)
    yield make("1d", counting(5), f32(3))
    yield make("1d-keepdims", counting(5), f32(3), keepdims=True)
    yield make("4d", counting(1, 3, 1, 2), counting(1, 3, 1) % f32(2))
    yield make("5d", counting(2, 3, 1, 2, 2), counting(2, 3, 2, 2) % f32(1), axis=2)
    yield make("bad-axis-none", counting(2, 3), f32(1), axis=None)
    yield make("bad-axis", data, f32(0, 1, 2), axis=2)
    yield make("bad-index-shape", data, f32(0, 1))
    yield make("bad-mode", data, f32(0, 1, 2), mode="raise")


def one_hot(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        indices = truth(3) if dtype == "bool" else cast([3, 1, 0], dtype)
        yield make(f"indices-{dtype}", indices, depth=4)
        yield make(f"dtype-{dtype}", f32(1, 0, 2), depth=3, dtype=dtype)
        yield make(f"values-{dtype}", f32(1, 0), depth=2, dtype=dtype, on_value=2.7, off_value=-1.5)
    for shape in SHAPES:
        yield make(f"shape-{shape_label(shape)}", counting(*shape) % f32(3), depth=3)
    yield make("outside", f32(-1, 3, 4, 100, -100), depth=3)
    yield make("outside-int32", i32(-1, 3, 2**31 - 1, -(2**31)), depth=3)
    yield make("outside-int64", cast([2**32, 2**32 + 1, -1], "int64"), depth=3)
    yield make("fractions", f32(1.9, -0.5, 0.5, 2.999, NAN, INFINITY), depth=3)
    yield make("depth-1", f32(0, 1), depth=1)
    yield make("depth-zero", f32(0, 1), depth=0)
    yield make("special-values", f32(0, 1), depth=2, on_value=NAN, off_value=-INFINITY)
    yield make("minus-zero", f32(0), depth=2, on_value=-0.0, off_value=-0.0)
    yield make("equal-values", f32(0, 1), depth=2, on_value=3, off_value=3)
    yield make("precise-float64", f32(0), depth=2, on_value=0.1, off_value=0.3, dtype="float64")
    yield make("overflow-float16", f32(0), depth=2, on_value=70000, dtype="float16")
    yield make("overflow-int8", f32(0), depth=2, on_value=200, dtype="int8")
    yield make("bad-missing-depth", f32(0))
    yield make("bad-negative-depth", f32(0), depth=-1)
    yield make("bad-dtype", f32(0), depth=2, dtype="float33")
    yield make("bad-word", f32(0), depth="x")


def embedding(operator: str) -> Iterator[Case]:
    weight = counting(4, 3)
    sizes: dict[str, Any] = {"input_dim": 4, "output_dim": 3}
    for dtype in (*DTYPES, "bool"):
        indices = truth(3) if dtype == "bool" else cast([3, 1, 0], dtype)
        yield make(f"data-{dtype}", indices, weight, **sizes)
        values = truth(4, 3) if dtype == "bool" else counting(4, 3, dtype=dtype)
        yield make(f"weight-{dtype}", f32(2, 0), values, **sizes)
        yield make(f"weight-{dtype}-named", f32(2, 0), values, **sizes, dtype=dtype)
    for shape in SHAPES:
        yield make(f"shape-{shape_label(shape)}", counting(*shape) % f32(4), weight, **sizes)
    yield make("outside", f32(-1, 4, 5, 100, -100), weight, **sizes)
    yield make("outside-int32", i32(-1, 4, 2**31 - 1, -(2**31)), weight, **sizes)
    yield make("outside-int64", cast([2**40, -(2**40), 2**32 + 1], "int64"), weight, **sizes)
    yield make("fractions", f32(1.9, -0.5, -1.9, 3.99, NAN, INFINITY), weight, **sizes)
    yield make("special-weight", f32(1, 0), corners("float32")[:12].reshape(4, 3), **sizes)
    yield make("sparse_grad", f32(1, 0), weight, **sizes, sparse_grad=True)
    yield make("one-row", f32(0, 5), counting(1, 3), input_dim=1, output_dim=3)
    yield make("one-column", f32(0, 2), counting(3, 1), input_dim=3, output_dim=1)
    yield make("dtype-float64-weight-float32", f32(0), weight, **sizes, dtype="float64")
    yield make("bad-weight-rows", f32(0), counting(3, 3), **sizes)
    yield make("bad-weight-columns", f32(0), counting(4, 2), **sizes)
    yield make("bad-weight-3d", f32(0), counting(4, 3, 1), **sizes)
    yield make("bad-missing-output_dim", f32(0), weight, input_dim=4)
    yield make("bad-missing-both", f32(0), weight)
    yield make("bad-attribute", f32(0), weight, **sizes, foo=1)


def filled(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        yield make(f"{dtype}", shape=(2, 3), dtype=dtype)
        yield make(f"{dtype}-one", shape=(1,), dtype=dtype)
    for shape in SHAPES:
        yield make(f"shape-{shape_label(shape)}", shape=shape)
    yield make("integer-shape", shape=4)
    yield make("list-shape", shape=[2, 3])
    yield make("string-shape", shape="(2, 3)")
    yield make("six-dimensions", shape=(1, 2, 1, 2, 1, 2))
    yield make("bad-empty-shape", shape=())
    yield make("bad-no-attributes")
    yield make("bad-zero-shape", shape=(0, 3))
    yield make("bad-negative-shape", shape=(-2, 3))
    yield make("bad-dtype", shape=(2,), dtype="float33")
    yield make("bad-word", shape="x")
    yield make("bad-attribute", shape=(2,), foo=1)


def arange(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        yield make(f"{dtype}", start=1, stop=6, dtype=dtype)
        yield make(f"{dtype}-step2", start=0, stop=7, step=2, dtype=dtype)
        yield make(f"{dtype}-halves", start=0, stop=2.5, step=0.5, dtype=dtype)
        yield make(f"{dtype}-half-start", start=0.5, stop=4, dtype=dtype)
    for attributes in (
        {"start": 5}, {"start": 0, "stop": 5}, {"start": 5, "stop": 0, "step": -1},
        {"start": 0, "stop": 1, "step": 0.1}, {"start": 0, "stop": 1, "step": 0.3},
        {"start": -2, "stop": 2}, {"start": 0, "stop": 3, "repeat": 2}, {"start": 2.5, "stop": 5},
        {"start": 1, "stop": 2, "repeat": 3}, {"start": 0, "stop": 10, "step": 3, "repeat": 2},
        {"start": 10, "stop": 0, "step": -2.5}, {"start": 3, "stop": None},
        {"start": 0, "stop": 2, "step": 5}, {"start": 0.1, "stop": 0.5, "step": 0.1},
        {"start": 16777216, "stop": 16777220},
        {"start": 1e10, "stop": 1e10 + 3, "dtype": "float64"},
        {"start": 0, "stop": 1, "step": 1 / 3, "dtype": "float64"},
        {"start": 2000, "stop": 2060, "step": 7, "dtype": "float16"},
        {"start": 0, "stop": 100, "step": 30, "dtype": "int8"},
        {"start": 250, "stop": 260, "dtype": "uint8"}, {"start": -3.7, "stop": 3, "dtype": "int32"},
        {"start": 2**40, "stop": 2**40 + 3, "dtype": "int64"},
    ):  # fmt: skip
        yield make(spell(**attributes), **attributes)
    for name, wrong in (
        ("empty", {"start": 0, "stop": 0}), ("backwards", {"start": 3, "stop": 0}),
        ("zero-step", {"start": 0, "stop": 3, "step": 0}), ("no-attributes", {}),
        ("zero-repeat", {"start": 0, "stop": 3, "repeat": 0}), ("word", {"start": "x"}),
        ("negative-start-alone", {"start": -3}), ("infer_range", {"start": 0, "infer_range": True}),
    ):  # fmt: skip
        yield make(f"bad-{name}", **wrong)


def random(operator: str) -> Iterator[Case]:
    low, high = ("low", "high") if operator == "_random_uniform" else ("loc", "scale")
    for dtype in (*DTYPES, "bool", "None"):
        yield make(f"{dtype}", shape=(2, 3), dtype=dtype)
    for shape in SHAPES:
        yield make(f"shape-{shape_label(shape)}", shape=shape)
        yield Case(f"bounds-{shape_label(shape)}", (), {low: -1, high: 2, "shape": shape})
    for first, second in ((0, 0), (2, 1), (-1, 1), (0, 1e30), (1, -1), (NAN, 1), ("x", 1)):
        yield Case(f"parameters-{first}-{second}", (), {low: first, high: second, "shape": (2,)})
    yield make("integer-shape", shape=4)
    yield make("list-shape", shape=[2, 3])
    yield make("bad-no-shape")
    yield make("bad-empty-shape", shape=())
    yield make("bad-zero-shape", shape=(0,))
    yield make("bad-attribute", shape=(2,), foo=1)


FAMILIES: dict[str, dict[str, Maker]] = {
    "indexing": {
        "where": where,
        "take": take,
        "pick": pick,
        "one_hot": one_hot,
        "Embedding": embedding,
    },
    "creation": {
        **dict.fromkeys(words("_zeros _ones"), filled),
        "_arange": arange,
        **dict.fromkeys(words("_random_uniform _random_normal"), random),
    },
}
