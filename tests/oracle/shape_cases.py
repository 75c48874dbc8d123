"""Cases of the operators that move elements: shapes, slices, joins, repetitions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from oracle.operator_cases import (
    DTYPES,
    SHAPES,
    Case,
    Maker,
    counting,
    f32,
    make,
    shape_label,
    special,
    spell,
    truth,
)


def reshape(operator: str) -> Iterator[Case]:
    for dtype in DTYPES:
        yield make(f"{dtype}", special(dtype)[:12], shape=(3, -1))
    for shape, target in (
        ((6,), (2, 3)), ((2, 3), (6,)), ((2, 3), (-1,)), ((2, 3), (3, -1)), ((2, 3, 4), (0, -1)),
        ((2, 3, 4), (-1, 0)), ((2, 3, 4), (0, 0, 0)), ((2, 3, 4), (0, 0, -1)),
        ((2, 3, 4), (4, 0, 2)),
        ((2, 3, 4), (6, 1, -1)), ((2, 3, 4), (-2,)), ((2, 3, 4), (2, -2)), ((2, 3, 4), (-2, 1, 1)),
        ((2, 3, 4), (0, -2)), ((2, 3, 4), (1, -2)), ((2, 3, 4), (-3, 4)), ((2, 3, 4), (0, -3)),
        ((2, 3, 4), (-3, 0)), ((2, 3, 4, 5), (-3, -3)), ((2, 3, 4), (-3, -2)),
        ((2, 3, 4), (-3, -1)),
        ((2, 3, 4), (-4, 1, 2, -2)), ((2, 3, 4), (2, -4, -1, 3, -2)),
        ((2, 3, 4), (-4, -1, 1, 0, 0)),
        ((2, 3, 4), (-4, 2, -1, 0, 0)), ((2, 3, 4), (0, 0, -4, 2, 2)),
        ((2, 3, 4), (0, -4, 3, 1, 4)),
        ((2, 3, 4), (-4, 1, 2, -3)), ((2, 3, 4), (0, 0, -4, -1, 2)), ((4, 3), (-4, 2, 2, -1)),
        ((1,), (1, 1, 1)), ((1, 1, 1), (1,)), ((1, 1), (-3,)), ((2, 3, 1, 2, 2), (0, -1, 0)),
        ((2, 3, 1, 2, 2), (-3, -3, 0)), ((8, 3, 2), (8, -1)), ((2, 3, 4), (24,)), ((2, 3), [3, 2]),
        ((2, 3, 4), (-1, 4)), ((2, 3, 4), (2, 1, 3, 4)), ((2, 12), (0, -4, 3, -1)), ((5,), -1),
        ((2, 3, 4), ()),
    ):  # fmt: skip
        for reverse in (False, True):
            label = f"{shape_label(shape)}-{spell(to=target, reverse=reverse)}"
            yield make(label, counting(*shape), shape=target, reverse=reverse)
    yield make("issue-reverse", counting(10, 5, 4), shape=(-1, 0), reverse=True)
    yield make("legacy-target_shape", counting(2, 3, 4), target_shape=(2, 12))
    yield make("legacy-target_shape-zero", counting(2, 3, 4), target_shape=(0, 12))
    yield make("legacy-keep_highest", counting(2, 3, 4), target_shape=(0, 0), keep_highest=True)
    yield make("bool", truth(2, 3), shape=(6,))
    for name, wrong in (
        ("size", (4,)), ("two-inferred", (-1, -1)), ("indivisible", (5, -1)), ("code", (-5, 1)),
        ("split-mismatch", (-4, 2, 2, -2)), ("split-two-inferred", (-4, -1, -1, -2)),
        ("split-short", (0, -4, 3)), ("merge-short", (0, 0, -3)), ("copy-outside", (2, 3, 4, 0)),
        ("word", "x"), ("fraction", (1.5, 16)),
    ):  # fmt: skip
        yield make(f"bad-{name}", counting(2, 3, 4), shape=wrong)
    yield make("bad-no-shape", counting(2, 3))
    yield make("bad-attribute", counting(2, 3), shape=(6,), foo=1)


def flatten(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        for short in ((2, 3), (2, 3, 2)):
            values = truth(*short) if dtype == "bool" else counting(*short, dtype=dtype)
            yield make(f"{dtype}-{shape_label(short)}", values)
    for shape in (*SHAPES, (2, 1), (1, 2), (3, 1, 1), (1, 1, 3), (2, 3, 4), (4, 3, 2, 1), (5,),
                  (2, 2, 2, 2, 2), (1, 1, 1, 1, 1), (2, 2, 2, 2, 2, 2)):  # fmt: skip
        yield make(f"shape-{shape_label(shape)}", counting(*shape))
    yield make("special", special("float32").reshape(1, -1, 1))


def expand_dims(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        values = truth(2, 3) if dtype == "bool" else counting(2, 3, dtype=dtype)
        yield make(f"{dtype}", values, axis=1)
    for shape in ((1,), (5,), (2, 3), (2, 1, 4), (2, 3, 1, 2)):
        for axis in range(-len(shape) - 1, len(shape) + 1):
            yield make(f"{shape_label(shape)}-axis{axis}", counting(*shape), axis=axis)
    yield make("5d", counting(2, 1, 2, 1, 2), axis=-1)
    yield make("bad-axis-3", counting(2, 3), axis=3)
    yield make("bad-axis-minus-4", counting(2, 3), axis=-4)
    yield make("bad-missing-axis", counting(2, 3))
    yield make("bad-word", counting(2, 3), axis="x")
    yield make("bad-tuple", counting(2, 3), axis=(0, 1))


def squeeze(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        values = truth(2, 1, 3) if dtype == "bool" else counting(2, 1, 3, dtype=dtype)
        yield make(f"{dtype}", values)
    for shape, axis in (
        ((1,), None), ((1, 1), None), ((1, 1), 0), ((1, 1), 1), ((1, 1), -1), ((1, 1), (0, 1)),
        ((1, 3), None), ((1, 3), 0), ((1, 3), -2), ((3, 1), 1), ((3, 1), -1), ((2, 3), None),
        ((1, 2, 1), None), ((1, 2, 1), 0), ((1, 2, 1), 2), ((1, 2, 1), (0, 2)), ((1, 2, 1), (2, 0)),
        ((1, 2, 1), (-1, 0)), ((1, 2, 1, 3, 1), None), ((1, 2, 1, 3, 1), (0, 4)),
        ((1, 2, 1, 3, 1), [2, 4]), ((1, 2, 1, 3, 1), (-3,)), ((1, 1, 1, 1, 1), None),
        ((1, 1, 1, 1, 1), (1, 2, 3)), ((1, 2, 1), ()), ((1,), 0),
    ):  # fmt: skip
        yield make(f"{shape_label(shape)}-{spell(axis=axis)}", counting(*shape), axis=axis)
    yield make("bad-not-one", counting(1, 2), axis=1)
    yield make("bad-outside", counting(1, 2), axis=2)
    yield make("bad-outside-negative", counting(1, 2), axis=-3)
    yield make("bad-repeated", counting(1, 2), axis=(0, 0))
    yield make("bad-word", counting(1, 2), axis="x")


def transpose(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        values = truth(2, 3) if dtype == "bool" else special(dtype)[:6].reshape(2, 3)
        yield make(f"{dtype}", values)
    for shape in (*SHAPES, (2, 3, 4), (2, 2, 2, 2, 2, 2)):
        yield make(f"shape-{shape_label(shape)}", counting(*shape))
    for axes in itertools.permutations(range(3)):
        yield make(spell(axes=axes), counting(2, 3, 4), axes=axes)
    for axes in ((0, 2, 1, 3), (3, 2, 1, 0), (1, 0, 3, 2), (2, 3, 0, 1), (0, 1, 3, 2)):
        yield make(spell(axes=axes), counting(2, 3, 4, 2), axes=axes)
    for axes in ((4, 3, 2, 1, 0), (0, 1, 2, 4, 3), (1, 0, 2, 3, 4), (0, 3, 2, 1, 4)):
        yield make(spell(axes=axes), counting(2, 3, 1, 2, 2), axes=axes)
    yield make("identity", counting(2, 3), axes=(0, 1))
    yield make("one-axis", counting(4), axes=(0,))
    yield make("empty", counting(2, 3), axes=())
    yield make("list", counting(2, 3), axes=[1, 0])
    yield make("seven-dimensions", counting(2, 1, 2, 1, 2, 1, 2))
    yield make("negative", counting(2, 3, 4), axes=(-1, 0, 1))
    yield make("negative-all", counting(2, 3), axes=(-1, -2))
    yield make("bad-repeated", counting(2, 3), axes=(0, 0))
    yield make("bad-short", counting(2, 3, 4), axes=(1, 0))
    yield make("bad-outside", counting(2, 3), axes=(0, 2))
    yield make("bad-word", counting(2, 3), axes="x")


def swap_axis(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        values = truth(2, 3) if dtype == "bool" else counting(2, 3, dtype=dtype)
        yield make(f"{dtype}", values, dim1=0, dim2=1)
    for first, second in itertools.product(range(3), repeat=2):
        yield make(spell(dim1=first, dim2=second), counting(2, 3, 4), dim1=first, dim2=second)
    for first, second in ((0, 4), (1, 3), (2, 2), (-1, 0), (-1, -2), (0, -3), (3, 1), (-5, 4)):
        label = f"5d-{spell(dim1=first, dim2=second)}"
        yield make(label, counting(2, 3, 1, 2, 2), dim1=first, dim2=second)
    for first, second in ((0, 1), (1, 3), (-2, -4)):
        label = f"4d-{spell(dim1=first, dim2=second)}"
        yield make(label, counting(2, 3, 1, 2), dim1=first, dim2=second)
    yield make("defaults", counting(2, 3))
    yield make("only-dim2", counting(2, 3), dim2=1)
    yield make("1d", counting(3), dim1=0, dim2=0)
    yield make("bad-outside", counting(2, 3), dim1=0, dim2=2)
    yield make("bad-outside-negative", counting(2, 3), dim1=0, dim2=-3)
    yield make("bad-word", counting(2, 3), dim1="x")


def slice_cases(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        values = truth(4, 3) if dtype == "bool" else counting(4, 3, dtype=dtype)
        yield make(f"{dtype}", values, begin=(1, 0), end=(3, 2))
    for begin, end, step in (
        ((0,), (2,), None), ((1,), (4,), None), ((None,), (2,), None), ((1,), (None,), None),
        ((None, None), (None, None), None), ((-2,), (None,), None), ((-3, 0), (-1, 2), None),
        ((0, 1, 2), (2, 3, 4), None), ((None, 1), (None, -1), None), ((0,), (10,), None),
        ((0, 0, 0), (4, 3, 5), (1, 1, 1)), ((0,), (4,), (2,)), ((None,), (None,), (-1,)),
        ((3,), (0,), (-1,)), ((None, None, None), (None, None, None), (-1, -1, -1)),
        ((3, None), (None, None), (-2, 2)), ((0, 2, 0), (4, None, 5), (3, -1, 2)),
        ((-1,), (-5,), (-1,)), ((-1,), (None,), (-3,)), ((1, None, 4), (3, None, 0), (1, None, -2)),
        ((0, 0), (1, 1), ()), (1, 3, None), ((2,), (-1,), None), ((0,), (-1,), (2,)),
        ((None, 2, None), (None, 0, None), (None, -1, None)), ((-100,), (2,), None),
    ):  # fmt: skip
        attributes: dict[str, Any] = {"begin": begin, "end": end}
        if step is not None:
            attributes["step"] = step
        yield make(spell(**attributes), counting(4, 3, 5), **attributes)
    yield make("1d", counting(7), begin=(2,), end=(5,))
    yield make("1d-step", counting(7), begin=(6,), end=(None,), step=(-2,))
    yield make("5d", counting(2, 3, 1, 2, 2), begin=(0, 1, 0, 1), end=(2, 3, 1, 2))
    yield make("list", counting(4, 3), begin=[1, 0], end=[3, 2])
    broken: dict[str, dict[str, Any]] = {
        "empty": {"begin": (2,), "end": (2,)}, "backwards": {"begin": (3,), "end": (1,)},
        "zero-step": {"begin": (0,), "end": (2,), "step": (0,)},
        "lengths": {"begin": (0, 1), "end": (2,)},
        "step-length": {"begin": (0, 1), "end": (2, 2), "step": (1,)},
        "too-many": {"begin": (0, 0, 0), "end": (1, 1, 1)},
        "begin-outside": {"begin": (9,), "end": (12,)},
        "missing-end": {"begin": (0,)}, "missing-begin": {"end": (1,)}, "no-attributes": {},
        "word": {"begin": "x", "end": (1,)},
    }  # fmt: skip
    for name, attributes in broken.items():
        yield make(f"bad-{name}", counting(4, 3), **attributes)


def slice_axis(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        values = truth(4, 3) if dtype == "bool" else counting(4, 3, dtype=dtype)
        yield make(f"{dtype}", values, axis=0, begin=1, end=3)
    for axis, begin, end in (
        (0, 0, 4), (0, 0, None), (0, 1, None), (0, -2, None), (0, -3, -1), (0, 3, 4), (1, 0, 1),
        (1, -1, None), (1, 1, 3), (-1, 0, 2), (-1, -4, -2), (-3, 2, 4), (2, 4, 5), (2, 0, -1),
        (-2, 0, None), (0, 0, 1), (2, -5, 5), (1, 0, 3),
    ):  # fmt: skip
        yield make(spell(axis=axis, begin=begin, end=end), counting(4, 3, 5), axis=axis,
                   begin=begin, end=end)  # fmt: skip
    yield make("1d", counting(7), axis=0, begin=2, end=5)
    yield make("5d", counting(2, 3, 1, 2, 2), axis=-2, begin=1, end=2)
    for axis, begin, end in ((0, 2, 2), (0, 3, 1), (0, 0, 9), (0, 9, 12), (3, 0, 1), (-4, 0, 1),
                             (0, -9, 2), (0, 0, -9)):  # fmt: skip
        yield make(f"bad-{spell(axis=axis, begin=begin, end=end)}", counting(4, 3, 5), axis=axis,
                   begin=begin, end=end)  # fmt: skip
    yield make("bad-missing-end", counting(4, 3), axis=0, begin=1)
    yield make("bad-missing-axis", counting(4, 3), begin=0, end=1)
    yield make("bad-begin-none", counting(4, 3), axis=0, begin=None, end=1)


def tile(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        values = truth(2, 3) if dtype == "bool" else counting(2, 3, dtype=dtype)
        yield make(f"{dtype}", values, reps=(2, 2))
    for shape, reps in (
        ((3,), (2,)), ((3,), 2), ((3,), (1,)), ((3,), ()), ((3,), (2, 2)), ((3,), (2, 1, 2)),
        ((2, 3), (2,)), ((2, 3), (1, 2)), ((2, 3), (3, 1)), ((2, 3), (2, 1, 2)), ((2, 3), [1, 2]),
        ((1, 1), (2, 3)), ((1,), (5,)), ((2, 1, 3), (1, 3, 1)), ((2, 1, 3), (2,)),
        ((2, 1, 3), (2, 2, 2)), ((2, 1, 3), (1, 1, 1, 1)), ((2, 1, 2, 1), (1, 2, 1, 2)),
        ((2, 1, 2, 1, 2), (1, 2, 1, 2, 1)), ((2, 3), (1, 1)), ((1, 2), (2, 2, 1, 1)),
    ):  # fmt: skip
        yield make(f"{shape_label(shape)}-{spell(reps=reps)}", counting(*shape), reps=reps)
    yield make("bad-zero", counting(2, 3), reps=(0,))
    yield make("bad-negative", counting(2, 3), reps=(-1, 2))
    yield make("bad-missing", counting(2, 3))
    yield make("bad-word", counting(2, 3), reps="x")


def repeat(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        values = truth(2, 3) if dtype == "bool" else counting(2, 3, dtype=dtype)
        yield make(f"{dtype}", values, repeats=2, axis=1)
    for shape, repeats, axis in (
        ((3,), 2, None), ((3,), 2, 0), ((3,), 2, -1), ((3,), 1, None), ((3,), 1, 0),
        ((2, 3), 2, None),
        ((2, 3), 2, 0), ((2, 3), 3, 1), ((2, 3), 2, -1), ((2, 3), 2, -2), ((1, 1), 3, None),
        ((1, 1), 3, 1), ((1,), 5, 0), ((2, 1, 3), 2, 1), ((2, 1, 3), 2, -3), ((2, 1, 3), 3, 2),
        ((2, 1, 3), 2, None), ((2, 1, 2, 1), 2, 3), ((2, 1, 2, 1, 2), 2, 2), ((2, 3), 0, None),
        ((2, 3), 0, 0),
    ):  # fmt: skip
        yield make(f"{shape_label(shape)}-{spell(repeats=repeats, axis=axis)}", counting(*shape),
                   repeats=repeats, axis=axis)  # fmt: skip
    yield make("default-axis", counting(2, 2), repeats=2)
    yield make("bad-negative", counting(2, 3), repeats=-1)
    yield make("bad-axis", counting(2, 3), repeats=2, axis=2)
    yield make("bad-axis-negative", counting(2, 3), repeats=2, axis=-3)
    yield make("bad-missing", counting(2, 3))
    yield make("bad-tuple", counting(2, 3), repeats=(1, 2), axis=0)


def reverse(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        values = truth(2, 3) if dtype == "bool" else counting(2, 3, dtype=dtype)
        yield make(f"{dtype}", values, axis=1)
    for shape, axis in (
        ((1,), 0), ((5,), 0), ((5,), (0,)), ((2, 3), 0), ((2, 3), 1), ((2, 3), (0, 1)),
        ((2, 3), (1, 0)), ((2, 3), [0, 1]), ((2, 3, 4), 0), ((2, 3, 4), 1), ((2, 3, 4), 2),
        ((2, 3, 4), (0, 2)), ((2, 3, 4), (1, 2)), ((2, 3, 4), (0, 1, 2)), ((1, 3, 1, 2), (1, 3)),
        ((2, 3, 1, 2, 2), (0, 4)), ((2, 3, 1, 2, 2), (0, 1, 2, 3, 4)), ((2, 3), ()),
        ((2, 3), (0, 0)), ((7, 1), 0), ((1, 7), 1),
    ):  # fmt: skip
        yield make(f"{shape_label(shape)}-{spell(axis=axis)}", counting(*shape), axis=axis)
    yield make("special", special("float32"), axis=0)
    yield make("negative", counting(2, 3), axis=-1)
    yield make("negative-tuple", counting(2, 3), axis=(-1, 0))
    yield make("bad-outside", counting(2, 3), axis=2)
    yield make("bad-missing", counting(2, 3))
    yield make("bad-word", counting(2, 3), axis="x")


def concat(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        values = truth(2, 3) if dtype == "bool" else counting(2, 3, dtype=dtype)
        yield make(f"{dtype}", values, values[:, :1].copy())
        yield make(f"{dtype}-dim0", values, values[:1].copy(), values, dim=0)
    for dim, shapes in (
        (0, [(2,), (3,)]), (0, [(1,), (1,), (1,)]), (-1, [(2,), (3,)]), (0, [(2, 3), (1, 3)]),
        (1, [(2, 3), (2, 1), (2, 2)]), (-1, [(2, 3), (2, 1)]), (-2, [(2, 3), (1, 3)]),
        (2, [(2, 3, 4), (2, 3, 1)]), (1, [(2, 3, 4), (2, 1, 4)]), (0, [(2, 1, 4), (1, 1, 4)]),
        (-3, [(2, 1, 4), (1, 1, 4)]), (3, [(1, 2, 1, 2), (1, 2, 1, 3)]), (1, [(2, 3)]),
        (4, [(2, 1, 2, 1, 2), (2, 1, 2, 1, 1)]), (2, [(2, 1, 2, 1, 2), (2, 1, 1, 1, 2)]),
        (1, [(1, 1)] * 9), (0, [(1, 2)] * 20),
    ):  # fmt: skip
        arrays = [counting(*shape) + f32(100 * at) for at, shape in enumerate(shapes)]
        label = "-".join(shape_label(shape) for shape in shapes[:3])
        yield make(f"dim{dim}-{len(shapes)}-{label}", *arrays, dim=dim)
    yield make("default-dim", counting(2, 3), counting(2, 3))
    yield make("num_args", counting(2, 3), counting(2, 3), dim=0, num_args=2)
    yield make("bad-default-dim-1d", counting(3), counting(3))
    yield make("bad-shapes", counting(2, 3), counting(3, 3), dim=1)
    yield make("bad-dimensions", counting(2, 3), counting(3), dim=0)
    yield make("bad-dim", counting(2, 3), counting(2, 3), dim=2)
    yield make("bad-dim-negative", counting(2, 3), counting(2, 3), dim=-3)
    yield make("bad-dtypes", counting(2, 3), counting(2, 3, dtype="int32"))
    yield make("bad-no-inputs")


def stack(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        values = truth(2, 3) if dtype == "bool" else counting(2, 3, dtype=dtype)
        yield make(f"{dtype}", values, values[::-1].copy())
        yield make(f"{dtype}-axis1", values, values, values, axis=1)
    for shape, count, axis in (
        ((1,), 2, 0), ((3,), 2, 0), ((3,), 2, 1), ((3,), 2, -1), ((3,), 2, -2), ((2, 3), 1, 0),
        ((2, 3), 2, 2), ((2, 3), 2, -1), ((2, 3), 3, -3), ((2, 1, 4), 2, 0), ((2, 1, 4), 2, 1),
        ((2, 1, 4), 2, 2), ((2, 1, 4), 2, 3), ((2, 1, 4), 2, -4), ((1, 3, 1, 2), 2, 4),
        ((1, 1), 20, 0),
    ):  # fmt: skip
        arrays = [counting(*shape) + f32(100 * at) for at in range(count)]
        yield make(f"{shape_label(shape)}-{count}-axis{axis}", *arrays, axis=axis)
    yield make("num_args", counting(2), counting(2), num_args=2)
    yield make("bad-shapes", counting(2, 3), counting(1, 3))
    yield make("bad-axis", counting(2, 3), counting(2, 3), axis=3)
    yield make("bad-axis-negative", counting(2, 3), counting(2, 3), axis=-4)
    yield make("bad-dtypes", counting(2, 3), counting(2, 3, dtype="int32"))


def slice_channel(operator: str) -> Iterator[Case]:
    for dtype in (*DTYPES, "bool"):
        values = truth(2, 4) if dtype == "bool" else counting(2, 4, dtype=dtype)
        yield make(f"{dtype}", values, num_outputs=2)
    for shape, outputs, axis in (
        ((6,), 3, 0), ((6,), 1, 0), ((6,), 6, -1), ((2, 3), 3, 1), ((2, 3), 2, 0), ((2, 3), 1, 1),
        ((4, 3), 2, -2), ((2, 1, 4), 4, 2), ((2, 1, 4), 2, 2), ((2, 1, 4), 1, 1), ((2, 1, 4), 2, 0),
        ((2, 1, 4), 2, -3), ((1, 3, 1, 2), 3, 1), ((1, 3, 1, 2), 2, 3), ((2, 3, 1, 2, 2), 3, 1),
        ((2, 3, 1, 2, 2), 2, -1),
    ):  # fmt: skip
        for squeeze_axis in (False, True):
            label = f"{shape_label(shape)}-{outputs}-axis{axis}-{spell(squeeze_axis=squeeze_axis)}"
            yield make(label, counting(*shape), num_outputs=outputs, axis=axis,
                       squeeze_axis=squeeze_axis)  # fmt: skip
    yield make("default-axis", counting(2, 4), num_outputs=4)
    yield make("bad-indivisible", counting(2, 3), num_outputs=2)
    yield make("bad-axis", counting(2, 3), num_outputs=1, axis=2)
    yield make("bad-zero", counting(2, 3), num_outputs=0)
    yield make("bad-missing", counting(2, 3))
    yield make("bad-1d-default-axis", counting(4), num_outputs=2)


FAMILIES: dict[str, dict[str, Maker]] = {
    "shape": {
        "Reshape": reshape,
        "Flatten": flatten,
        "expand_dims": expand_dims,
        "squeeze": squeeze,
        "transpose": transpose,
        "SwapAxis": swap_axis,
        "slice": slice_cases,
        "slice_axis": slice_axis,
        "tile": tile,
        "repeat": repeat,
        "reverse": reverse,
        "Concat": concat,
        "stack": stack,
        "SliceChannel": slice_channel,
    },
}
