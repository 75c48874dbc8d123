"""Cases of the gradients of operators without weights: at special points, and of every shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from oracle.elementwise_cases import BINARY, BROADCAST, BROADCAST_SHAPES, MATHEMATICS, SCALAR
from oracle.gradient_cases import GradientCase, Maker, added, make, mixtures, thinned
from oracle.operator_cases import (
    FLOATS,
    SHAPES,
    Array,
    cast,
    corners,
    counting,
    f32,
    i32,
    pairs,
    shape_label,
    spell,
    tied,
    uniform,
    words,
)

NAN, INFINITY = float("nan"), float("inf")


def points(dtype: str) -> Array:
    """Zeros, edges of domains, ties with common scalars, integers and halves, NaN, infinities."""
    positive = [0, 1e-4, 0.3, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 20, INFINITY]
    return cast([*positive, *(-x for x in positive), NAN], dtype)


def unary(operator: str) -> Iterator[GradientCase]:
    for dtype in FLOATS:
        yield make(f"{dtype}-points", points(dtype))
        yield make(f"{dtype}-uniform", uniform((3, 5), dtype))
    yield make("float32-unit", cast(np.linspace(-1, 1, 21), "float32"))
    yield make("float64-unit", cast(np.linspace(-1, 1, 21), "float64"))
    yield make("float32-above-one", cast(np.linspace(1, 11, 21), "float32"))
    yield replace(make("float32-points-zero-heads", points("float32")), heads="zero")
    for shape in SHAPES:
        yield make(f"float32-{shape_label(shape)}", uniform(shape, "float32", 2))
    yield from added(make("float32", uniform((2, 3), "float32", 3)))


def binary(operator: str) -> Iterator[GradientCase]:
    for dtype in FLOATS:
        yield make(f"{dtype}-corners", *pairs(corners(dtype), corners(dtype)))
        yield make(f"{dtype}-uniform", uniform((3, 5), dtype), uniform((3, 5), dtype, 1))
    signs = pairs(f32(5.5, -5.5, 0.25, -7, 0, 100), f32(2, -2, 0.75, -3, 0, 1))
    yield make("float32-signs", *signs)
    yield make("float32-ties", tied((3, 7), "float32"), tied((3, 7), "float32", 1))
    zero_heads = make("float32-zero-heads", *pairs(f32(0, -1, 2, NAN), f32(0, 1, -2, INFINITY)))
    yield replace(zero_heads, heads="zero")
    plain = make("float32-requests", uniform((2, 3), "float32", 4), uniform((2, 3), "float32", 5))
    yield from added(plain)
    yield from mixtures(plain)


def elementwise_binary(operator: str) -> Iterator[GradientCase]:
    yield from binary(operator)
    for shape in SHAPES:
        yield make(f"float32-{shape_label(shape)}", uniform(shape, "float32", 6),
                   uniform(shape, "float32", 7))  # fmt: skip


def broadcast_binary(operator: str) -> Iterator[GradientCase]:
    yield from binary(operator)
    for shape, other in BROADCAST_SHAPES:
        yield make(f"float32-{shape_label(shape)}-{shape_label(other)}", uniform(shape, "float32"),
                   uniform(other, "float32", 1))  # fmt: skip
    for dtype in FLOATS:
        yield make(f"{dtype}-outer", uniform((2, 1, 4), dtype), uniform((3, 1), dtype, 1))
    yield make("float16-summed", uniform((40, 3), "float16"), uniform((1, 3), "float16", 1))
    small = make("float32-small", uniform((2, 1), "float32"), uniform((1, 3), "float32", 1))
    yield from added(small)
    yield from mixtures(small)


def scalar(operator: str) -> Iterator[GradientCase]:
    for value in (2, -3, 0.5, 0, 1, -1, 2.5, NAN, INFINITY):
        yield make(f"float32-{value}", points("float32"), scalar=value)
    for dtype in ("float16", "float64"):
        for value in (2, -0.5, 0):
            yield make(f"{dtype}-{value}", points(dtype), scalar=value)
    yield replace(make("float32-2-zero-heads", points("float32"), scalar=2), heads="zero")
    for shape in SHAPES[:5]:
        yield make(f"shape-{shape_label(shape)}", uniform(shape, "float32"), scalar=1.25)
    yield from added(make("float32", uniform((2, 3), "float32"), scalar=1.25))


def activation(operator: str) -> Iterator[GradientCase]:
    for kind in ("relu", "sigmoid", "softrelu", "softsign", "tanh"):
        for case in unary(operator):
            yield replace(case, label=f"{kind}-{case.label}", attributes={"act_type": kind})


def hard_sigmoid(operator: str) -> Iterator[GradientCase]:
    yield from unary(operator)
    values = points("float32")
    yield make("alpha=0.5,beta=0", values, alpha=0.5, beta=0)
    yield make("alpha=-1,beta=1", values, alpha=-1, beta=1)


def clip(operator: str) -> Iterator[GradientCase]:
    for dtype in FLOATS:
        large = 1e4 if dtype == "float16" else 1e30
        for low, high in ((-1, 2), (0.5, 2.5), (2, -1), (0, 0), (-large, large)):
            yield make(f"{dtype}-{low}..{high}", points(dtype), a_min=low, a_max=high)
    for shape in SHAPES:
        yield make(f"float32-{shape_label(shape)}", tied(shape, "float32"), a_min=-1, a_max=1)
    yield make("float32-open", points("float32"), a_min=-INFINITY, a_max=INFINITY)
    yield from added(make("float32", tied((3, 5), "float32"), a_min=-1, a_max=1))


def cast_cases(operator: str) -> Iterator[GradientCase]:
    for dtype in FLOATS:
        for target in (*FLOATS, "int32"):
            yield make(f"{dtype}-to-{target}", uniform((3, 5), dtype), dtype=target)
    for shape in SHAPES[:4]:
        yield make(shape_label(shape), uniform(shape, "float32"), dtype="float64")
    yield from added(make("float32", uniform((2, 3), "float32"), dtype="float64"))


def reduction(operator: str) -> Iterator[GradientCase]:
    """Every axis of the forward cases, and what ties, zeros, NaN and infinities do."""
    yield from thinned(operator, 40)
    for dtype in FLOATS:
        for name, numbers in (
            ("tie", [3, 1, 3]), ("tied-zeros", [-0.0, 0.0, -1]), ("tied-low", [1, 3, 1]),
            ("zero", [0, 2, 3]), ("two-zeros", [0, 0, 3]), ("all-zeros", [0, 0, -0.0]),
            ("nan", [NAN, 1, 2]), ("nan-behind", [2, 1, NAN]), ("all-nan", [NAN, NAN]),
            ("infinity", [INFINITY, 1, 2]), ("infinity-zero", [INFINITY, 0, 2]),
            ("minus-infinity", [-INFINITY, 5, -INFINITY]), ("one", [-2.5]), ("one-zero", [0]),
        ):  # fmt: skip
            if dtype != "float64" or name in ("tie", "zero", "two-zeros", "nan"):
                yield make(f"gradient-{dtype}-{name}", cast(numbers, dtype))
    table = f32(3, 0, 3, 0, 2, 0, NAN, 1, 1, -2, -2, 5).reshape(4, 3)
    yield make("gradient-rows", table, axis=1)
    yield make("gradient-columns", table, axis=0, keepdims=True)
    yield replace(make("gradient-zero-heads", table, axis=1), heads="zero")
    yield from added(make("gradient", uniform((2, 3, 4), "float32"), axis=1))


def norm(operator: str) -> Iterator[GradientCase]:
    yield from reduction(operator)
    for order in (1, 2):
        for name, numbers in (
            ("zero", [0, 0, -0.0]), ("signs", [3, -1, 0.5]), ("nan", [NAN, 1]),
            ("infinity", [INFINITY, 1]),
        ):  # fmt: skip
            yield make(f"gradient-ord={order}-{name}", f32(*numbers), ord=order)
        for axis in (0, -1, (0, 1), (1, 2)):
            values = uniform((2, 3, 4), "float32", 8)
            yield make(f"gradient-ord={order}-{spell(axis=axis)}", values, ord=order, axis=axis)


def with_requests(operator: str) -> Iterator[GradientCase]:
    """The forward cases, and the first of several inputs with every mixture of requests."""
    cases = list(thinned(operator, 32))
    yield from cases
    chosen = max(cases[:10], key=lambda case: (len(case.inputs), case.inputs[0].ndim))
    chosen = replace(chosen, label=f"gradient-{chosen.label}")
    yield from added(chosen)
    if len(chosen.inputs) < 5:
        yield from mixtures(chosen)


def softmax(operator: str) -> Iterator[GradientCase]:
    yield from with_requests(operator)
    doubles = operator != "SoftmaxActivation"  # which has float32 only
    for name, numbers in (
        ("equal", [[0, 0, 0]]), ("nan", [[NAN, 1, 2]]), ("infinity", [[INFINITY, 1, 2]]),
        ("minus-infinity", [[-INFINITY, 1, 2]]), ("all-minus-infinity", [[-INFINITY, -INFINITY]]),
        ("far", [[100, 0, -100]]), ("one", [[3]]),
    ):  # fmt: skip
        yield make(f"gradient-{name}", cast(numbers, "float32"))
        if doubles:
            yield make(f"gradient-float64-{name}", cast(numbers, "float64"))


def where(operator: str) -> Iterator[GradientCase]:
    yield from with_requests(operator)
    condition = f32(0, -0.0, 1, -1, NAN, INFINITY, 1e-45)
    yield make("gradient-special", condition, counting(7), counting(7))
    yield make("gradient-int32", i32(0, 1, 2, -1), uniform((4, 3), "float32"),
               uniform((4, 3), "float32", 1))  # fmt: skip
    yield make("gradient-rows", f32(0, 1), uniform((2, 3), "float32"),
               uniform((2, 3), "float32", 1))  # fmt: skip


def take(operator: str) -> Iterator[GradientCase]:
    """MXNet cannot add to the gradient of indices, nor leave out that of the data alone."""
    yield from thinned(operator, 32)
    table = uniform((4, 3), "float32")
    for requests in (("add", "write"), ("write", "null"), ("add", "null")):
        yield replace(make("-".join(requests), table, f32(1, 0, 1)), requests=requests)
    for mode in ("clip", "wrap"):
        for dtype in FLOATS:
            indices = cast([[0, 3, 0], [-1, 7, 1.7]], "float32")
            yield make(f"gradient-{mode}-{dtype}", table.astype(dtype), indices, mode=mode)
        yield make(f"gradient-{mode}-axis1", table, f32(2, -1, 2, 5, 0), mode=mode, axis=1)
        yield make(f"gradient-{mode}-int32", table, i32(1, 1, 1), mode=mode)
    many = cast(np.arange(400) % 3, "float32")
    yield make("gradient-many-float16", table.astype("float16"), many)
    yield make("gradient-many-float32", table, many)


def embedding(operator: str) -> Iterator[GradientCase]:
    table = uniform((4, 3), "float32")
    attributes = {"input_dim": 4, "output_dim": 3}
    for dtype in FLOATS:
        for name, indices in (
            ("flat", [0, 3, 0]), ("matrix", [[0, 3, 0], [-1, 7, 1.7]]), ("one", [2]),
            ("deep", [[[1, 1], [1, 0]]]),
        ):  # fmt: skip
            inputs = (cast(indices, "float32"), table.astype(dtype))
            yield GradientCase(f"{dtype}-{name}", inputs, attributes, requests=("null", "write"))
    inputs = (cast(np.arange(400) % 3, "float32"), table)
    yield GradientCase("many", inputs, attributes, requests=("null", "write"))
    yield GradientCase("add", inputs, attributes, requests=("null", "add"))
    yield GradientCase("int32", (i32(1, 0, 1), table), attributes, requests=("null", "write"))
    yield GradientCase("bad-gradient-of-indices", inputs, attributes)


def pick(operator: str) -> Iterator[GradientCase]:
    yield from with_requests(operator)
    table = uniform((4, 3), "float32")
    for mode in ("clip", "wrap"):
        for dtype in FLOATS:
            yield make(f"gradient-{mode}-{dtype}", table.astype(dtype), f32(0, 2, -1, 5), mode=mode)
        yield make(f"gradient-{mode}-axis0", table, f32(3, -1, 9), mode=mode, axis=0, keepdims=True)


def batch_take(operator: str) -> Iterator[GradientCase]:
    for dtype in FLOATS:
        yield make(f"{dtype}", uniform((4, 3), dtype), i32(0, 2, 1, 1))
    yield make("outside", uniform((3, 3), "float32"), i32(-1, 3, 9))


def gather_nd(operator: str) -> Iterator[GradientCase]:
    table = uniform((3, 2, 4), "float32")
    for dtype in FLOATS:
        values = table.astype(dtype)
        yield make(f"{dtype}-rows", values, f32(0, 2, 0).reshape(1, 3))
        yield make(f"{dtype}-elements", values, f32(0, 2, 0, 1, 0, 1, 3, 1, 3).reshape(3, 3))
    yield make("pairs", table, f32(0, 2, 0, 1, 0, 1).reshape(2, 3))
    yield make("matrix-of-indices", table, f32(0, 2, 0, 1).reshape(1, 2, 2))
    yield make("int32", table, i32(2, 2, 2).reshape(1, 3))
    yield from added(make("rows", table, f32(0, 2, 0).reshape(1, 3)))
    yield from mixtures(make("rows", table, f32(0, 2, 0).reshape(1, 3)))


def scatter_nd(operator: str) -> Iterator[GradientCase]:
    for dtype in FLOATS:
        indices = f32(0, 2, 1, 1, 0, 1).reshape(2, 3)
        yield make(f"{dtype}-elements", uniform((3,), dtype), indices, shape=(3, 2))
        rows = uniform((2, 4), dtype)
        yield make(f"{dtype}-rows", rows, f32(2, 0).reshape(1, 2), shape=(3, 4))
    plain = make("elements", uniform((3,), "float32"), f32(0, 2, 1).reshape(1, 3), shape=(4,))
    yield from added(plain)
    yield from mixtures(plain)


def pad(operator: str) -> Iterator[GradientCase]:
    for mode in ("constant", "edge", "reflect"):
        for dtype in FLOATS:
            yield make(f"{mode}-{dtype}-4d", uniform((2, 1, 3, 4), dtype), mode=mode,
                       pad_width=(0, 0, 0, 0, 1, 2, 2, 1))  # fmt: skip
        yield make(f"{mode}-5d", uniform((1, 2, 3, 2, 3), "float32"), mode=mode,
                   pad_width=(0, 0, 0, 0, 2, 0, 1, 1, 0, 2))  # fmt: skip
        yield make(f"{mode}-nothing", uniform((1, 1, 2, 3), "float32"), mode=mode,
                   pad_width=(0,) * 8)  # fmt: skip
    yield make("constant-value", uniform((1, 1, 2, 3), "float32"), mode="constant",
               constant_value=5, pad_width=(0, 0, 0, 0, 1, 1, 1, 1))  # fmt: skip
    yield from added(make("edge", uniform((1, 1, 2, 3), "float32"), mode="edge",
                      pad_width=(0, 0, 0, 0, 1, 1, 1, 1)))  # fmt: skip


def blocks(operator: str) -> Iterator[GradientCase]:
    shape = (2, 8, 2, 3) if operator == "depth_to_space" else (2, 1, 4, 6)
    for dtype in FLOATS:
        yield make(f"{dtype}", uniform(shape, dtype), block_size=2)
    yield make("one", uniform((1, 1, 1, 1), "float32"), block_size=1)
    yield from added(make("two", uniform(shape, "float32"), block_size=2))


def diag(operator: str) -> Iterator[GradientCase]:
    for k in (0, 1, -1, 2):
        yield make(f"vector-{k}", uniform((4,), "float32"), k=k)
        yield make(f"matrix-{k}", uniform((3, 4), "float32"), k=k)
    for axes in ((0, 1), (0, 2), (2, 1), (-1, -2)):
        yield make(f"cube-{spell(axes=axes)}", uniform((2, 3, 4), "float32"), axis1=axes[0],
                   axis2=axes[1])  # fmt: skip
    for dtype in FLOATS:
        yield make(f"{dtype}", uniform((3, 3), dtype))
    yield from added(make("matrix", uniform((3, 3), "float32")))


def like(operator: str) -> Iterator[GradientCase]:
    if operator == "reshape_like":
        shapes = [((2, 3), (6,)), ((4,), (2, 2)), ((1,), (1, 1)), ((2, 3, 4), (4, 6))]
        chosen = [make(f"{shape_label(a)}-{shape_label(b)}", uniform(a, "float32"), counting(*b))
                  for a, b in shapes]  # fmt: skip
    else:
        shapes = [((3, 4), (2, 3)), ((5,), (1,)), ((2, 3), (2, 3)), ((3, 2, 4), (1, 2, 2))]
        chosen = [make(f"{shape_label(a)}-{shape_label(b)}", uniform(a, "float32"), counting(*b))
                  for a, b in shapes]  # fmt: skip
        wide, small = uniform((3, 4, 2), "float32"), counting(2, 2)
        chosen.append(make("axes", wide, small, axes=(0, 1)))
        chosen.append(make("last-axis", wide, counting(9, 9, 1), axes=(-1,)))
    yield from chosen
    for dtype in ("float16", "float64"):
        first = chosen[0]
        inputs = (first.inputs[0].astype(dtype), first.inputs[1].astype(dtype))
        yield replace(first, label=dtype, inputs=inputs)
    plain = replace(chosen[0], label="requests")
    yield from added(plain)
    yield from mixtures(plain)


def topk(operator: str) -> Iterator[GradientCase]:
    values = f32(*np.random.RandomState(3).permutation(24)).reshape(2, 3, 4)
    for kind in ("value", "both", "indices", "mask"):
        for axis in (-1, 0, 1, None):
            for ascending in (False, True):
                label = spell(ret_typ=kind, axis=axis, is_ascend=ascending)
                yield make(label, values, ret_typ=kind, axis=axis, is_ascend=ascending, k=2)
    for dtype in ("float16", "float64"):
        yield make(f"{dtype}", values.astype(dtype), ret_typ="value", k=3, dtype="int32")
    yield from added(make("value", values, ret_typ="value", k=2))


def ordering(operator: str) -> Iterator[GradientCase]:
    values = f32(*np.random.RandomState(3).permutation(24)).reshape(2, 3, 4)
    for axis in (-1, 0, 1, None):
        for ascending in (True, False):
            label = spell(axis=axis, is_ascend=ascending)
            yield make(label, values, axis=axis, is_ascend=ascending)
    yield make("default", values)
    yield make("float64", values.astype("float64"))


def split_v2(operator: str) -> Iterator[GradientCase]:
    values = uniform((4, 6), "float32")
    yield make("sections-axis1", values, axis=1, sections=3, indices=())
    yield make("indices", values, axis=1, indices=(0, 1, 4), sections=0)
    yield make("squeeze", values, axis=0, sections=4, indices=(), squeeze_axis=True)
    yield make("float64", values.astype("float64"), axis=0, sections=2, indices=())
    yield from added(make("sections", values, axis=0, sections=2, indices=()))


def argmax_channel(operator: str) -> Iterator[GradientCase]:
    yield make("float32", uniform((3, 5), "float32"))


def shape_of(operator: str) -> Iterator[GradientCase]:
    for shape in SHAPES[:4]:
        yield make(shape_label(shape), uniform(shape, "float32"))


def smooth_l1(operator: str) -> Iterator[GradientCase]:
    for scale in (1.0, 0.5, 2.0, 3.0):
        for dtype in FLOATS:
            values = np.concatenate([points(dtype), cast([0.25, -0.25, 4, -4, 0.1], dtype)])
            yield make(f"{dtype}-{scale}", values, scalar=scale)
    yield make("default", points("float32"))
    yield from added(make("shaped", uniform((2, 3, 1), "float32"), scalar=1.0))


def gemm(operator: str) -> Iterator[GradientCase]:
    """Nothing is added: MXNet adds the product to memory that it has not written."""
    for a_turned in (False, True):
        for b_turned in (False, True):
            flags = {"transpose_a": a_turned, "transpose_b": b_turned}
            for dtype, batch in (("float32", ()), ("float64", (2,)), ("float32", (2, 1))):
                left = uniform((*batch, 4, 3) if a_turned else (*batch, 3, 4), dtype)
                right = uniform((*batch, 2, 4) if b_turned else (*batch, 4, 2), dtype, 1)
                addend = [uniform((*batch, 3, 2), dtype, 2)] if operator == "linalg_gemm" else []
                factors = {"alpha": 2.0} | ({"beta": -0.5} if addend else {})
                label = f"{dtype}-{len(batch)}-{spell(**flags)}"
                yield GradientCase(label, (left, right, *addend), {**flags, **factors})
    square = [uniform((2, 2), "float32", i) for i in range(3 if operator == "linalg_gemm" else 2)]
    yield make("default", *square)
    for i in range(len(square)):
        requests = tuple("null" if i == j else "write" for j in range(len(square)))
        yield replace(make(f"default-null{i}", *square), requests=requests)


FAMILIES: dict[str, dict[str, Maker]] = {
    "unary": {
        **dict.fromkeys(
            [*MATHEMATICS, *words("identity BlockGrad zeros_like ones_like rcbrt erf logical_not")],
            unary,
        ),
        **dict.fromkeys(words("gamma gammaln erfinv make_loss"), unary),
        "hard_sigmoid": hard_sigmoid,
        "Activation": activation,
        "clip": clip,
        "Cast": cast_cases,
        "smooth_l1": smooth_l1,
        **dict.fromkeys(words("shape_array size_array"), shape_of),
    },
    "binary": dict.fromkeys(BINARY, elementwise_binary),
    "scalar": dict.fromkeys(SCALAR, scalar),
    "broadcast": {
        **dict.fromkeys(BROADCAST, broadcast_binary),
        **dict.fromkeys(words("broadcast_axis broadcast_to broadcast_like"), with_requests),
    },
    "reduction": {
        **dict.fromkeys(words("sum mean prod max min nansum nanprod"), reduction),
        "norm": norm,
        **dict.fromkeys(words("argmax argmin"), with_requests),
        "argmax_channel": argmax_channel,
        **dict.fromkeys(words("sort argsort"), ordering),
        "topk": topk,
    },
    "matrix": {
        **dict.fromkeys(words("dot batch_dot FullyConnected add_n"), with_requests),
        **dict.fromkeys(words("linalg_gemm linalg_gemm2"), gemm),
    },
    "softmax": dict.fromkeys(words("softmax log_softmax softmin SoftmaxActivation"), softmax),
    "shape": {
        **dict.fromkeys(
            words(
                "Reshape Flatten expand_dims squeeze transpose SwapAxis slice slice_axis tile "
                "repeat reverse Concat stack SliceChannel"
            ),
            with_requests,
        ),
        "Pad": pad,
        **dict.fromkeys(words("depth_to_space space_to_depth"), blocks),
        "diag": diag,
        **dict.fromkeys(words("reshape_like slice_like"), like),
        "_split_v2": split_v2,
    },
    "indexing": {
        "where": where,
        "take": take,
        "pick": pick,
        "one_hot": with_requests,
        "Embedding": embedding,
        "batch_take": batch_take,
        "gather_nd": gather_nd,
        "scatter_nd": scatter_nd,
    },
}
