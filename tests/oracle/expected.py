"""The answers that the deviations demand instead of MXNet's, from numpy and exact integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from oracle.storage import Answer, Array, Recorded

INTEGER_NAMES = ("uint8", "int8", "int32", "int64")
REFUSED = Answer("error", error="MXNetError")
Instead = Callable[[Recorded], Answer]


def dtype_of(case: Recorded) -> str:
    return str(case.inputs[0].dtype) if case.inputs else ""


def of_integers(case: Recorded) -> bool:
    return dtype_of(case) in INTEGER_NAMES


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
