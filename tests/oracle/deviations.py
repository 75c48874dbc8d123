"""Where tritonsym answers otherwise than MXNet 1.9.1 on purpose: the cases, why, and what instead.

A row picks cases; its `instead` gives the expected answer, or None where MXNet's own stands. The
tests demand that every row still differs from MXNet somewhere, for each operator it names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle.storage import Answer, Array, Recorded

FLOAT_NAMES = ("float16", "float32", "float64")
INTEGER_NAMES = ("uint8", "int8", "int32", "int64")
REFUSED = Answer("error", error="MXNetError")


@dataclass(frozen=True)
class Deviation:
    """Operators, which of their cases, the sentence for the documentation, and the answer."""

    operators: tuple[str, ...]
    picks: Callable[[Recorded], bool]
    because: str
    instead: Callable[[Recorded], Answer | None]


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def dtype_of(case: Recorded) -> str:
    return str(case.inputs[0].dtype) if case.inputs else ""


def integers(case: Recorded) -> bool:
    return dtype_of(case) in INTEGER_NAMES


def answered(case: Recorded) -> bool:
    return case.answer.kind == "outputs"


def refused(case: Recorded) -> bool:
    return case.answer.kind == "error"


def outputs(*arrays: Array) -> Answer:
    return Answer("outputs", arrays)


def wrapped(values: Any, dtype: str) -> Array:
    """Exact Python integers as dtype, the lowest bits kept."""
    bits = np.dtype(dtype).itemsize * 8
    array = np.asarray(values, dtype=object)
    low = np.vectorize(lambda value: value & ((1 << bits) - 1), otypes=[object])(array)
    return low.astype(f"uint{bits}").view(dtype) if dtype != "uint8" else low.astype(dtype)


def scalar_of(case: Recorded) -> int:
    """The scalar attribute, converted to the dtype of the data as C does."""
    value = float(case.attributes.get("scalar", 1))
    whole = int(case.attributes.get("scalar", 1)) if math.isfinite(value) else -(2**63)
    return int(wrapped([whole], dtype_of(case))[0])


def operands(case: Recorded) -> tuple[Array, Array]:
    """Both operands as exact integers; a scalar comes second, or first for `_r*_scalar`."""
    data = case.inputs[0].astype(object)
    if len(case.inputs) == 2:
        return data, case.inputs[1].astype(object)
    number = np.asarray(scalar_of(case), dtype=object)
    return (number, data) if case.operator.startswith("_r") else (data, number)


def integer_function(function: Callable[[int, int], int]) -> Callable[[Recorded], Answer | None]:
    def instead(case: Recorded) -> Answer:
        left, right = np.broadcast_arrays(*operands(case))
        exact = np.vectorize(function, otypes=[object])(left, right)
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


def through_float64(function: Callable[..., Array]) -> Callable[[Recorded], Answer | None]:
    """numpy's float64 result in the dtype of the first input; integers must be exact anyway."""

    def instead(case: Recorded) -> Answer:
        wide = [array.astype("float64") for array in case.inputs]
        with np.errstate(all="ignore"):
            result = np.asarray(function(case, *wide))
            if integers(case):
                return outputs(wrapped(result.astype("int64").astype(object), dtype_of(case)))
            return outputs(result.astype(dtype_of(case)))

    return instead


def dot(case: Recorded, left: Array, right: Array) -> Array:
    if left.ndim > 1 or right.ndim > 1:
        left = np.moveaxis(left, 0, -1) if case.attributes.get("transpose_a") else left
        right = np.moveaxis(right, -1, 0) if case.attributes.get("transpose_b") else right
    return np.atleast_1d(np.tensordot(left, right, 1))


def batch_dot(case: Recorded, left: Array, right: Array) -> Array:
    left = np.swapaxes(left, -1, -2) if case.attributes.get("transpose_a") else left
    right = np.swapaxes(right, -1, -2) if case.attributes.get("transpose_b") else right
    return left @ right


def fully_connected(case: Recorded, data: Array, weight: Array, *bias: Array) -> Array:
    flat = data.reshape(len(data), -1) if case.attributes.get("flatten", True) else data
    return flat @ weight.T + (bias[0] if bias else 0)


def softmax(values: Array, axis: int) -> Array:
    powers = np.exp(values - values.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def softmax_activation(case: Recorded, data: Array) -> Array:
    if case.attributes.get("mode") == "channel":
        return softmax(data, 1)
    return softmax(data.reshape(len(data), -1), 1).reshape(data.shape)


def softmax_to(case: Recorded) -> Answer:
    """Any softmax of the family in float64, rounded once to the dtype asked for."""
    data, axis = case.inputs[0].astype("float64"), case.attributes.get("axis", -1)
    with np.errstate(all="ignore"):
        if case.operator == "softmin":
            data = -data
        result = softmax(data, axis)
        if case.operator == "log_softmax":
            shifted = data - data.max(axis, keepdims=True)
            result = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
        return outputs(result.astype(case.attributes.get("dtype") or dtype_of(case)))


def reduce_in_float32(case: Recorded) -> Answer:
    functions: dict[str, Callable[..., Any]] = {"mean": np.mean, "sum": np.sum, "nansum": np.nansum}
    values = case.inputs[0].astype("float32")
    with np.errstate(all="ignore"):
        result = np.atleast_1d(functions[case.operator](values))
        return outputs(result.astype("float16"))


def arange(case: Recorded) -> Answer:
    given = case.attributes
    start, stop = given["start"], given.get("stop")
    start, stop = (0, start) if stop is None else (start, stop)
    values = np.arange(start, stop, given.get("step", 1), "float64")
    return outputs(values.astype("float16"))


DEVIATIONS: dict[str, Deviation] = {
    "integer-division-by-zero": Deviation(
        words("elemwise_div broadcast_div _div_scalar"),
        lambda case: case.answer.kind == "crash",
        "An integer divided by zero is 0, and the lowest integer divided by -1 is itself; MXNet's "
        "process dies.",
        integer_function(quotient),
    ),
    "integer-reflected-division-by-zero": Deviation(
        words("_rdiv_scalar"),
        lambda case: (
            answered(case)
            and dtype_of(case) in ("int32", "int64")
            and case.attributes.get("is_int", True)
            and bool((case.inputs[0] == 0).any())
        ),
        "A number divided by an integer zero is 0; MXNet casts an infinity.",
        integer_function(quotient),
    ),
    "integer-power": Deviation(
        words("_power broadcast_power _power_scalar _rpower_scalar"),
        lambda case: answered(case) and integers(case) and case.attributes.get("is_int", True),
        "Integer powers are exact and wrap around as products do; MXNet takes them through "
        "floating point.",
        integer_function(power),
    ),
    "float16-mean": Deviation(
        words("mean"),
        lambda case: answered(case) and case.label == "float16-overflow",
        "float16 sums are kept in float32, so that the mean of large numbers is finite.",
        reduce_in_float32,
    ),
    "float16-products": Deviation(
        words("dot batch_dot FullyConnected"),
        lambda case: (
            refused(case)
            and dtype_of(case) == "float16"
            and "bad" not in case.label
            and not case.label.endswith("T-1d-1d")
        ),
        "float16 is supported on every context; MXNet supports it on GPUs only.",
        lambda case: through_float64(PRODUCTS[case.operator])(case),
    ),
    "integer-products": Deviation(
        words("dot batch_dot FullyConnected"),
        lambda case: (
            refused(case)
            and integers(case)
            and "bad" not in case.label
            and not case.label.endswith("T-1d-1d")
        ),
        "Products of integers are supported and wrap around.",
        lambda case: through_float64(PRODUCTS[case.operator])(case),
    ),
    "softmax-activation-dtypes": Deviation(
        words("SoftmaxActivation"),
        lambda case: refused(case) and dtype_of(case) in ("float16", "float64"),
        "All floating-point dtypes are supported; MXNet supports float32 only.",
        through_float64(softmax_activation),
    ),
    "softmax-rounded-once": Deviation(
        words("softmax log_softmax softmin"),
        lambda case: (
            answered(case)
            and dtype_of(case) == "float16"
            and case.attributes.get("dtype") in ("float32", "float64")
        ),
        "A softmax of float16 to a wider dtype is not rounded to float16 on the way.",
        softmax_to,
    ),
    "arange-float16": Deviation(
        words("_arange"),
        lambda case: answered(case) and case.attributes.get("dtype") == "float16",
        "Fractions of start and step count for float16 too; MXNet truncates them.",
        arange,
    ),
}

PRODUCTS: dict[str, Callable[..., Array]] = {
    "dot": dot,
    "batch_dot": batch_dot,
    "FullyConnected": fully_connected,
}


def deviation(case: Recorded) -> tuple[str, Answer] | None:
    """The row that picks the case and the answer it demands, if any."""
    for name, row in DEVIATIONS.items():
        if case.operator in row.operators and row.picks(case):
            answer = row.instead(case)
            if answer is not None:
                return name, answer
    return None
