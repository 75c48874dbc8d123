"""Where tritonsym answers otherwise than MXNet 1.9.1 on purpose: the cases, why, and what instead.

A row picks cases and says which answer is due. The tests demand that every row still differs from
MXNet somewhere, for each operator that it names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle.operator_cases import words
from oracle.storage import Answer, Array, Recorded

INTEGER_NAMES = ("uint8", "int8", "int32", "int64")
REFUSED = Answer("error", error="MXNetError")
Picks = Callable[[Recorded], bool]
Instead = Callable[[Recorded], Answer]


@dataclass(frozen=True)
class Deviation:
    """Operators, which of their cases, the sentence for the documentation, and the answer."""

    operators: list[str]
    picks: Picks
    because: str
    instead: Instead


# ---- which cases --------------------------------------------------------------------------------


def dtype_of(case: Recorded) -> str:
    return str(case.inputs[0].dtype) if case.inputs else ""


def answered(case: Recorded) -> bool:
    return case.answer.kind == "outputs"


def refused(case: Recorded) -> bool:
    return case.answer.kind == "error"


def of_integers(case: Recorded) -> bool:
    return dtype_of(case) in INTEGER_NAMES


def labelled(*labels: str) -> Picks:
    return lambda case: case.label in labels


def with_bool(case: Recorded) -> bool:
    """Refused for a bool input or a bool dtype attribute."""
    has_input = any(str(array.dtype) == "bool" for array in case.inputs)
    return refused(case) and (has_input or case.attributes.get("dtype") == "bool")


def good_product(case: Recorded) -> bool:
    """Refused for its dtype only."""
    return refused(case) and "bad" not in case.label and not case.label.endswith("1d")


def all_integer(case: Recorded) -> bool:
    """Answered in integers: the data's, unless `is_int=False` turned them into float64."""
    return answered(case) and of_integers(case) and case.attributes.get("is_int", True)


# ---- what instead -------------------------------------------------------------------------------


def outputs(*arrays: Any) -> Answer:
    return Answer("outputs", tuple(np.asarray(array) for array in arrays))


def refuse(case: Recorded) -> Answer:
    return REFUSED


def wrapped(values: Any, dtype: str) -> Array:
    """Exact Python integers as dtype, the lowest bits kept."""
    bits = np.dtype(dtype).itemsize * 8
    array = np.asarray(values, dtype=object)
    low = np.vectorize(lambda value: value & ((1 << bits) - 1), otypes=[object])(array)
    return np.asarray(low.astype(f"uint{bits}").view(dtype))


def scalar_of(case: Recorded) -> int:
    """The scalar, a double, in the dtype of the data as C converts it; what cannot be is lowest."""
    dtype, given = dtype_of(case), float(case.attributes.get("scalar", 1))
    limits = np.iinfo(dtype if dtype == "int64" else "int32")
    if not math.isfinite(given) or not limits.min <= int(given) <= limits.max:
        return int(wrapped([limits.min], dtype)[0])
    return int(wrapped([int(given)], dtype)[0])


def operands(case: Recorded) -> tuple[Array, ...]:
    """The inputs as exact integers; a scalar comes second, or first for `_r*_scalar`."""
    data = [array.astype(object) for array in case.inputs]
    if not case.operator.endswith("_scalar"):
        return tuple(np.broadcast_arrays(*data))
    number = np.full(data[0].shape, scalar_of(case), dtype=object)
    return (number, data[0]) if case.operator.startswith("_r") else (data[0], number)


def exactly(function: Callable[..., int]) -> Instead:
    """A function of Python integers, whose result wraps around."""

    def instead(case: Recorded) -> Answer:
        exact = np.vectorize(function, otypes=[object])(*operands(case))
        return outputs(wrapped(exact, dtype_of(case)))

    return instead


def quotient(left: int, right: int) -> int:
    if right == 0:
        return 0
    size = abs(left) // abs(right)
    return size if (left < 0) == (right < 0) else -size


def power(left: int, right: int) -> int:
    if right < 0:
        return {1: 1, -1: -1 if right % 2 else 1}.get(left, 0)
    return pow(left, right, 1 << 64)


def in_float64(function: Callable[..., Any]) -> Instead:
    """numpy's result for the inputs as float64, in the dtype of the first input.

    Integers come through as Python integers where the function works on those.
    """

    def instead(case: Recorded) -> Answer:
        with np.errstate(all="ignore"):
            if of_integers(case):
                exact = function(case, *(array.astype(object) for array in case.inputs))
                return outputs(wrapped(exact, dtype_of(case)))
            wide = [array.astype("float64") for array in case.inputs]
            return outputs(np.asarray(function(case, *wide)).astype(dtype_of(case)))

    return instead


def moved(function: Callable[..., Any]) -> Instead:
    """numpy's movement of the inputs as they are; a list is several outputs."""

    def instead(case: Recorded) -> Answer:
        result = function(case, *case.inputs)
        return outputs(*result) if isinstance(result, list) else outputs(result)

    return instead


def dot(case: Recorded, left: Array, right: Array) -> Array:
    if left.ndim > 1 or right.ndim > 1:
        left = np.moveaxis(left, 0, -1) if case.attributes.get("transpose_a") else left
        right = np.moveaxis(right, -1, 0) if case.attributes.get("transpose_b") else right
    return np.atleast_1d(np.tensordot(left, right, 1))


def batch_dot(case: Recorded, left: Array, right: Array) -> Array:
    left = np.swapaxes(left, -1, -2) if case.attributes.get("transpose_a") else left
    right = np.swapaxes(right, -1, -2) if case.attributes.get("transpose_b") else right
    return np.asarray(left @ right)


def fully_connected(case: Recorded, data: Array, weight: Array, *bias: Array) -> Array:
    return np.asarray(data @ weight.T + (bias[0] if bias else 0))


def product(case: Recorded, *inputs: Array) -> Array:
    functions: dict[str, Callable[..., Array]] = {
        "dot": dot,
        "batch_dot": batch_dot,
        "FullyConnected": fully_connected,
    }
    return functions[case.operator](case, *inputs)


def softmax_along(values: Array, axis: int) -> Array:
    powers = np.exp(values - values.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def softmax(case: Recorded) -> Answer:
    """Any softmax of the family in float64, rounded once to the dtype asked for."""
    data, axis = case.inputs[0].astype("float64"), case.attributes.get("axis", -1)
    if case.operator == "softmin":
        data = -data
    if case.operator == "log_softmax":
        data = data - data.max(axis, keepdims=True)
        result = data - np.log(np.exp(data).sum(axis, keepdims=True))
    else:
        result = softmax_along(data, axis)
    return outputs(result.astype(case.attributes.get("dtype") or dtype_of(case)))


def softmax_within_length(case: Recorded) -> Answer:
    data, length = case.inputs[0].astype("float64"), case.inputs[1]
    inside = np.arange(data.shape[1]) < length[:, None]
    powers = np.where(inside, np.exp(data), 0)
    total = powers.sum(1, keepdims=True)
    result = powers / np.where(total == 0, 1, total)
    return outputs(result.astype(dtype_of(case)))


def softmax_activation(case: Recorded, data: Array) -> Array:
    return softmax_along(data, 1 if case.attributes.get("mode") == "channel" else -1)


def float16_reduction(case: Recorded) -> Answer:
    functions: dict[str, Callable[..., Any]] = {
        "mean": np.mean,
        "nansum": np.nansum,
        "norm": np.linalg.norm,
    }
    result = functions[case.operator](case.inputs[0].astype("float64"))
    with np.errstate(over="ignore"):
        return outputs(np.atleast_1d(result).astype("float16"))


def in_c(values: Array, dtype: str) -> Array:
    """float64 to integers as C converts them; what does not fit becomes the lowest number."""
    limits = np.iinfo(dtype if dtype == "int64" else "int32")
    fits = (values > float(limits.min)) & (values < float(limits.max) + (dtype != "int64"))
    exact = [
        int(x) if ok else int(limits.min) for x, ok in zip(values.flat, fits.flat, strict=True)
    ]
    return wrapped(exact, dtype).reshape(values.shape)


def integer_norm(case: Recorded) -> Answer:
    data, dtype = case.inputs[0].astype("float64"), dtype_of(case)
    axis, keepdims = case.attributes.get("axis"), case.attributes.get("keepdims", False)
    size = np.sqrt((data * data).sum(axis if axis != () else None, keepdims=keepdims))
    return outputs(in_c(np.atleast_1d(size), dtype))


def integer_hypot(case: Recorded) -> Answer:
    left, right = (side.astype("float64") for side in operands(case))
    return outputs(in_c(np.hypot(left, right), dtype_of(case)))


def clip(case: Recorded, data: Array) -> Array:
    low, high = case.attributes["a_min"], case.attributes["a_max"]
    raised = np.where((data <= low) if low == 0 else (data < low), low, data)
    return np.where(data > high, high, raised)


def norm_in_another_dtype(case: Recorded) -> Answer:
    data = case.inputs[0].astype("float64")
    result = np.linalg.norm(data, case.attributes["ord"])
    return outputs(np.atleast_1d(result).astype(case.attributes["out_dtype"]))


def arange(case: Recorded) -> Answer:
    given = case.attributes
    start, stop = given["start"], given.get("stop")
    start, stop = (0, start) if stop is None else (start, stop)
    count = math.ceil((stop - start) / given.get("step", 1))
    return outputs((start + np.arange(count) * given.get("step", 1)).astype("float16"))


def one_hot(case: Recorded) -> Answer:
    positions = np.arange(case.attributes["depth"])
    hit = case.inputs[0].astype("int64")[..., None] == positions
    on, off = case.attributes.get("on_value", 1), case.attributes.get("off_value", 0)
    return outputs(np.where(hit, on, off).astype(case.attributes.get("dtype", "float32")))


BOOL_MOVEMENTS: dict[str, Callable[..., Any]] = {
    "transpose": lambda case, x: x.T.copy(),
    "SwapAxis": lambda case, x: np.swapaxes(x, 0, 1),
    "slice_axis": lambda case, x: x[1:3],
    "reverse": lambda case, x: np.flip(x, 1),
    "Concat": lambda case, *x: np.concatenate(x, case.attributes.get("dim", 1)),
    "SliceChannel": lambda case, x: np.split(x, 2, 1),
    "broadcast_axis": lambda case, x: np.broadcast_to(x, (2, 3)),
}

BROADCASTS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": lambda x, y: np.where(y == 0, np.copysign(np.inf, x), x / np.where(y == 0, 1, y)),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "hypot": np.hypot,
    "mod": lambda x, y: np.where(y == 0, 0, np.mod(x, np.where(y == 0, 1, y))),
    "power": np.power,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "lesser": np.less,
    "lesser_equal": np.less_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}


def broadcast_six(case: Recorded) -> Answer:
    function = BROADCASTS[case.operator.removeprefix("broadcast_")]
    left, right = case.inputs
    if case.operator == "broadcast_div":
        with np.errstate(all="ignore"):
            return outputs(left / right)
    return outputs(np.asarray(function(left, right)).astype("float32"))


def broadcast_axis(case: Recorded) -> Answer:
    (data,), shape = case.inputs, list(case.inputs[0].shape)
    axes, sizes = case.attributes["axis"], case.attributes["size"]
    for axis, size in zip(np.atleast_1d(axes), np.atleast_1d(sizes), strict=True):
        shape[axis] = int(size)
    return outputs(np.broadcast_to(data, shape))


DIVISIONS = words("elemwise_div broadcast_div _div_scalar")
POWERS = words("_power broadcast_power _power_scalar _rpower_scalar")
MODULOS = words("_mod broadcast_mod _mod_scalar _rmod_scalar")
ROUNDINGS = words("floor ceil round rint fix trunc")
PRODUCTS = words("dot batch_dot FullyConnected")

DEVIATIONS: dict[str, Deviation] = {
    "integer-division-by-zero": Deviation(
        DIVISIONS,
        lambda case: case.answer.kind == "crash",
        "An integer divided by zero is 0, and the lowest integer divided by -1 is itself; MXNet's "
        "process dies.",
        exactly(quotient),
    ),
    "integer-reflected-division": Deviation(
        ["_rdiv_scalar"],
        all_integer,
        "A number divided by integers is truncated exactly, and is 0 where they are zero; MXNet "
        "goes through float32.",
        exactly(quotient),
    ),
    "bool-reflected-division": Deviation(
        ["_rdiv_scalar"],
        labelled("bool-2"),
        "A number divided by False is 0; MXNet casts an infinity.",
        moved(lambda case, x: np.where(x, 2, 0).astype("int64")),
    ),
    "integer-power": Deviation(
        POWERS,
        all_integer,
        "Integer powers are exact and wrap around as products do; MXNet goes through float64.",
        exactly(power),
    ),
    "integer-modulo": Deviation(
        MODULOS,
        all_integer,
        "Remainders of integers are exact; MXNet goes through float64, which rounds large ones.",
        exactly(lambda left, right: left % right if right else 0),
    ),
    "integer-square": Deviation(
        ["square"],
        all_integer,
        "Squares of integers wrap around as products do; MXNet goes through floating point.",
        exactly(lambda value: value * value),
    ),
    "integer-absolute-value": Deviation(
        ["abs"],
        all_integer,
        "Absolute values of integers are exact; MXNet goes through float64.",
        exactly(abs),
    ),
    "integer-hypot": Deviation(
        words("_hypot _hypot_scalar broadcast_hypot"),
        all_integer,
        "The hypotenuse of integers is computed in float64; MXNet uses float32.",
        integer_hypot,
    ),
    "integer-radians": Deviation(
        ["radians"],
        all_integer,
        "Integers are converted in float64, with MXNet's float32 factor; MXNet uses float32.",
        moved(lambda case, x: in_c(x * float(np.float32(math.pi / 180)), dtype_of(case))),
    ),
    "integer-rounding": Deviation(
        ROUNDINGS,
        all_integer,
        "Integers are round already; MXNet goes through float64, which changes large ones.",
        moved(lambda case, x: x),
    ),
    "sigmoid-of-lowest-integer": Deviation(
        ["sigmoid"],
        lambda case: case.label in ("int32-special", "int64-special"),
        "The sigmoid of the lowest integer is 0; MXNet negates it as an integer, which overflows.",
        in_float64(lambda case, x: np.where(x >= 38, 1, 0).astype(object)),
    ),
    "float16-sums": Deviation(
        words("mean nansum norm"),
        lambda case: (
            (case.operator, case.label)
            in (
                ("mean", "float16-overflow"),
                ("nansum", "float16-overflow"),
                ("norm", "float16-4096-ones"),
            )
        ),
        "Sums of float16 are kept in float32; MXNet's overflow or stop growing on the way.",
        float16_reduction,
    ),
    "float16-products": Deviation(
        PRODUCTS,
        lambda case: good_product(case) and dtype_of(case) == "float16",
        "Products of float16 are supported on every context; MXNet has them on GPUs only.",
        in_float64(product),
    ),
    "integer-products": Deviation(
        PRODUCTS,
        lambda case: good_product(case) and of_integers(case),
        "Products of integers are supported and wrap around.",
        in_float64(product),
    ),
    "dot-of-vectors": Deviation(
        ["dot"],
        lambda case: refused(case) and case.label.endswith("1d-1d"),
        "To transpose a vector changes nothing; MXNet refuses it.",
        in_float64(dot),
    ),
    "softmax-activation-dtypes": Deviation(
        ["SoftmaxActivation"],
        lambda case: refused(case) and dtype_of(case) in ("float16", "float64"),
        "All floating-point dtypes are supported; MXNet has float32 only.",
        in_float64(softmax_activation),
    ),
    "softmax-rounded-once": Deviation(
        words("softmax log_softmax softmin"),
        lambda case: (
            answered(case)
            and dtype_of(case) == "float16"
            and case.attributes.get("dtype") in ("float32", "float64")
        ),
        "A softmax of float16 to a wider dtype is not rounded to float16 on the way.",
        softmax,
    ),
    "softmax-length-dtypes": Deviation(
        ["softmax"],
        lambda case: (
            refused(case)
            and case.label.startswith("length-")
            and len(case.inputs) == 2
            and case.inputs[0].shape == (3, 5)
        ),
        "Lengths may have any dtype; MXNet asks for int32 or int64.",
        softmax_within_length,
    ),
    "hard-sigmoid-of-integers": Deviation(
        ["hard_sigmoid"],
        lambda case: refused(case) and of_integers(case) and len(case.inputs) == 1,
        "The hard sigmoid of integers is computed and truncated, as the sigmoid is.",
        in_float64(lambda case, x: np.where(x >= 3, 1, 0).astype(object)),
    ),
    "arange-float16": Deviation(
        ["_arange"],
        lambda case: answered(case) and case.attributes.get("dtype") == "float16",
        "Fractions of start and step count for float16 too; MXNet truncates them.",
        arange,
    ),
    "norm-out-dtype": Deviation(
        ["norm"],
        lambda case: refused(case) and case.label.startswith("ord=") and "=" in case.label,
        "norm's out_dtype may differ from the input's dtype; MXNet documents it and fails.",
        norm_in_another_dtype,
    ),
    "integer-norm": Deviation(
        ["norm"],
        lambda case: all_integer(case) and case.attributes.get("ord", 2) == 2,
        "The norm of integers is truncated once; MXNet truncates each quotient on the way.",
        integer_norm,
    ),
    "infinite-norm": Deviation(
        ["norm"],
        labelled("float16-infinities", "float32-infinities", "float64-infinities"),
        "The norm of several infinities is infinite; MXNet divides one by the other.",
        lambda case: outputs(np.full(1, np.inf, dtype_of(case))),
    ),
    "zeros-of-extremes": Deviation(
        words(
            "_maximum _minimum broadcast_maximum broadcast_minimum _maximum_scalar "
            "_minimum_scalar max min"
        ),
        lambda case: answered(case) and case.answer.outputs[0].dtype.kind == "f",
        "A zero among the extremes is +0; in MXNet its sign depends on the order of the operands.",
        lambda case: outputs(case.answer.outputs[0] + case.answer.outputs[0].dtype.type(0)),
    ),
    "clip-at-zero": Deviation(
        ["clip"],
        lambda case: (
            answered(case)
            and case.attributes["a_min"] == 0
            and dtype_of(case) in ("float16", "float32")
        ),
        "A lower bound of 0 gives its sign to the zeros.",
        in_float64(clip),
    ),
    "clip-integer-bounds": Deviation(
        ["clip"],
        labelled("uint8-2..-1"),
        "Bounds that an integer dtype cannot hold are its ends; MXNet lets them wrap around.",
        moved(lambda case, x: np.where(x > 0, 0, 2).astype("uint8")),
    ),
    "float64-bounds": Deviation(
        ["clip"],
        lambda case: answered(case) and dtype_of(case) == "float64",
        "Bounds are not rounded to float32.",
        in_float64(clip),
    ),
    "float64-parameters": Deviation(
        ["hard_sigmoid"],
        lambda case: answered(case) and dtype_of(case) == "float64",
        "Parameters are not rounded to float32.",
        in_float64(lambda case, x: np.clip(0.2 * x + 0.5, 0, 1)),
    ),
    "bool-logic": Deviation(
        ["logical_not"],
        with_bool,
        "Logic works on bool.",
        moved(lambda case, x: np.logical_not(x)),
    ),
    "bool-movements": Deviation(
        list(BOOL_MOVEMENTS),
        with_bool,
        "Elements of any dtype can be moved, bool too.",
        lambda case: moved(BOOL_MOVEMENTS[case.operator])(case),
    ),
    "bool-choices": Deviation(
        ["where"],
        with_bool,
        "Conditions and choices may be bool.",
        moved(
            lambda case, holds, x, y: np.where(
                (holds != 0).reshape(holds.shape + (1,) * (x.ndim - holds.ndim)), x, y
            )
        ),
    ),
    "bool-indices": Deviation(
        ["pick"],
        with_bool,
        "Elements of any dtype can be picked, by indices of any dtype.",
        moved(lambda case, x, at: x[np.arange(len(x)), at.astype("int64")]),
    ),
    "bool-one-hot": Deviation(
        ["one_hot"],
        lambda case: refused(case) and case.attributes.get("dtype") == "bool",
        "The result may be bool.",
        one_hot,
    ),
    "one-hot-of-large-indices": Deviation(
        ["one_hot"],
        labelled("outside-int64"),
        "64-bit indices are compared whole; MXNet drops their upper half.",
        one_hot,
    ),
    "pick-from-all": Deviation(
        ["pick"],
        labelled("bad-axis-none"),
        "axis=None picks from the flattened data; MXNet documents it and refuses.",
        moved(lambda case, x, at: x.ravel()[at.astype("int64")]),
    ),
    "negative-axes": Deviation(
        words("transpose reverse"),
        lambda case: refused(case) and case.label.startswith("negative"),
        "Negative axes count from the end, as for all other operators.",
        moved(
            lambda case, x: (
                np.transpose(x, case.attributes["axes"])
                if case.operator == "transpose"
                else np.flip(x, case.attributes["axis"])
            )
        ),
    ),
    "negative-broadcast-axes": Deviation(
        ["broadcast_axis"],
        labelled("3x1-axis=-1,size=2", "1x3x1-axis=(-3,-1),size=(2,2)"),
        "Negative axes count from the end, as for all other operators.",
        broadcast_axis,
    ),
    "many-dimensions": Deviation(
        ["transpose"],
        labelled("seven-dimensions"),
        "There is no limit on the number of dimensions.",
        moved(lambda case, x: x.T),
    ),
    "many-broadcast-dimensions": Deviation(
        [f"broadcast_{stem}" for stem in BROADCASTS],
        labelled("six-dimensions"),
        "There is no limit on the number of dimensions.",
        broadcast_six,
    ),
    "reshape-splits": Deviation(
        ["Reshape"],
        labelled("4x3-to=(-4,2,2,-1),reverse=False"),
        "-1 works behind -4; MXNet counts an axis too much.",
        moved(lambda case, x: x.reshape(2, 2, 3)),
    ),
    "empty-results": Deviation(
        words("slice repeat one_hot"),
        lambda case: answered(case) and any(array.size == 0 for array in case.answer.outputs),
        "A result without elements is refused at once; MXNet makes arrays that it cannot use.",
        refuse,
    ),
    "transpose-repeated-axes": Deviation(
        ["transpose"],
        labelled("bad-repeated"),
        "axes must be a permutation; MXNet takes repeated ones and gives a diagonal.",
        refuse,
    ),
    "reverse-repeated-axes": Deviation(
        ["reverse"],
        labelled("2x3-axis=(0,0)"),
        "An axis is named once; MXNet reverses it again.",
        refuse,
    ),
    "where-condition-shape": Deviation(
        ["where"],
        labelled("bad-condition-shape"),
        "A condition of another shape is refused; MXNet reads beyond its end.",
        refuse,
    ),
    "take-raise": Deviation(
        ["take"],
        lambda case: answered(case) and case.attributes.get("mode") == "raise",
        "mode='raise' is refused, as a compiled graph does not look at values.",
        refuse,
    ),
    "random-none": Deviation(
        words("_random_uniform _random_normal"),
        labelled("None"),
        "dtype='None' is the default dtype; MXNet documents it and refuses.",
        lambda case: outputs(np.zeros((2, 3), "float32")),
    ),
}


def deviation(case: Recorded) -> tuple[str, Answer] | None:
    """The row that picks the case and the answer that it demands, if any."""
    for name, row in DEVIATIONS.items():
        if case.operator in row.operators and row.picks(case):
            return name, row.instead(case)
    return None
