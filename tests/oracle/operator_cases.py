"""The cases of every operator: inputs and attributes, deterministic and free of MXNet.

It runs under numpy 1.23 (the recorder) and numpy 2 (the tests).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("uint8", "int8", "int32", "int64")
DTYPES = FLOATS + INTEGERS
SHAPES = ((1,), (7,), (1, 1), (3, 5), (2, 1, 4), (1, 3, 1, 2), (2, 3, 1, 2, 2))


@dataclass(frozen=True)
class Case:
    """One call of an operator: its inputs and attributes, and a label unique for the operator."""

    label: str
    inputs: tuple[Array, ...]
    attributes: dict[str, Any] = field(default_factory=dict)


Maker = Callable[[str], Iterator[Case]]


def words(text: str) -> list[str]:
    return text.split()


def make(label: str, *inputs: Array, **attributes: Any) -> Case:
    return Case(label, inputs, attributes)


def spell(**attributes: Any) -> str:
    """A label made of attributes: `axis=1,keepdims=True`."""
    return ",".join(f"{key}={value}".replace(" ", "") for key, value in attributes.items())


def shape_label(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def cast(values: Any, dtype: str) -> Array:
    """Values as dtype; integers wrap, floats overflow to infinity, neither with a warning."""
    with np.errstate(all="ignore"):
        return np.asarray(values).astype(dtype)


def special(dtype: str) -> Array:
    """Signed zeros, NaN, infinities, denormals, extremes and halves; for integers the extremes."""
    if dtype in INTEGERS:
        info = np.iinfo(dtype)
        small = [0, 1, -1, 2, -2, 3, -3, 5, -7, 10, 100, -100]
        extremes = [info.min, info.min + 1, info.max // 2, info.max - 1, info.max]
        kept = [value for value in small + extremes if info.min <= value <= info.max]
        return np.array(kept, dtype)
    limits = np.finfo(dtype)
    denormal = np.nextafter(np.array(0, dtype), np.array(1, dtype))
    plain = [0.5, 1, 1.5, 2, 2.5, 0.3, 3, 0.1, 10, 88.5, 100, 1000, 1e-4, 60000]
    edges = [limits.max, limits.tiny, limits.tiny / 2, denormal, limits.eps, 1 + limits.eps]
    positive = cast([0, *plain, *edges, np.inf], dtype)
    return np.concatenate([positive, -positive, cast([np.nan], dtype)])


def corners(dtype: str) -> Array:
    """A dozen values whose outer product covers signs, ties, zeros, NaN and extremes."""
    if dtype in INTEGERS:
        info = np.iinfo(dtype)
        values = [0, 1, -1, 2, -2, 3, -3, 7, -7, info.max, info.min, info.max - 1]
        return np.array([value for value in values if info.min <= value <= info.max], dtype)
    limits = np.finfo(dtype)
    floats = [0.0, -0.0, 1, -1, 2.5, -2.5, 0.3, 7, np.nan, np.inf, -np.inf, limits.tiny / 4]
    return cast([*floats, limits.max], dtype)


def uniform(shape: tuple[int, ...], dtype: str, seed: int = 0, low: float = -3) -> Array:
    """Reproducible values in [low, 3), for integers in [low * 4, 12)."""
    state = np.random.RandomState(1000 + seed)
    values = state.random_sample(shape) * (3 - low) + low
    if dtype in INTEGERS:
        return cast(np.floor(values * 4) if dtype != "uint8" else np.abs(values * 4), dtype)
    return cast(values, dtype)


def tied(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    """Values drawn from {-2..2} (0..4 for uint8), so that most are tied."""
    drawn = np.random.RandomState(2000 + seed).randint(0, 5, shape)
    return cast(drawn - (0 if dtype == "uint8" else 2), dtype)


def pairs(values: Array, others: Array) -> tuple[Array, Array]:
    """Every pair of a value and another, as two flat arrays."""
    left, right = np.meshgrid(values, others, indexing="ij")
    return left.ravel().copy(), right.ravel().copy()


def f32(*values: Any) -> Array:
    return np.array(values, "float32")


def i32(*values: int) -> Array:
    return np.array(values, "int32")


def counting(*shape: int, dtype: str = "float32") -> Array:
    """0, 1, 2, ... in the given shape, so that every position is told apart."""
    return cast(np.arange(int(np.prod(shape))), dtype).reshape(shape)


def truth(*shape: int) -> Array:
    return np.asarray(np.arange(int(np.prod(shape))).reshape(shape) % 2 == 1)


def families() -> dict[str, dict[str, list[Case]]]:
    """Family -> operator -> its cases, in a fixed order."""
    from oracle import elementwise_cases, indexing_cases, reduction_cases, shape_cases

    result: dict[str, dict[str, list[Case]]] = {}
    for module in (elementwise_cases, reduction_cases, shape_cases, indexing_cases):
        for family, operators in module.FAMILIES.items():
            for operator, maker in operators.items():
                cases = list(maker(operator))
                labels = [case.label for case in cases]
                repeated = {label for label in labels if labels.count(label) > 1}
                if repeated:
                    raise AssertionError(f"{operator}: repeated labels {sorted(repeated)}")
                result.setdefault(family, {})[operator] = cases
    return result


# Operators whose values are random: only shapes, dtypes and errors are compared.
VALUELESS = frozenset({"_random_uniform", "_random_normal"})

# Recorded beyond the promised operators; tested as soon as tritonsym has them.
EXTRAS = frozenset(
    {
        "rcbrt",
        "softmin",
        "erf",
        "hard_sigmoid",
        "logical_not",
        "broadcast_logical_and",
        "broadcast_logical_or",
        "broadcast_logical_xor",
        "_logical_and",
        "_logical_or",
        "_logical_xor",
        "_logical_and_scalar",
        "_logical_or_scalar",
        "_logical_xor_scalar",
        "argmax_channel",
    }
)

ALIASES: dict[str, tuple[str, ...]] = {
    "elemwise_add": ("_Plus", "_plus", "_add"),
    "elemwise_sub": ("_Minus", "_minus", "_sub"),
    "elemwise_mul": ("_Mul", "_mul"),
    "elemwise_div": ("_Div", "_div"),
    "_plus_scalar": ("_PlusScalar",),
    "_minus_scalar": ("_MinusScalar",),
    "_rminus_scalar": ("_RMinusScalar",),
    "_mul_scalar": ("_MulScalar",),
    "_div_scalar": ("_DivScalar",),
    "_rdiv_scalar": ("_RDivScalar",),
    "_mod": ("_Mod",),
    "_mod_scalar": ("_ModScalar",),
    "_rmod_scalar": ("_RModScalar",),
    "_power": ("_Power",),
    "_power_scalar": ("_PowerScalar",),
    "_rpower_scalar": ("_RPowerScalar",),
    "_maximum": ("_Maximum",),
    "_maximum_scalar": ("_MaximumScalar",),
    "_minimum": ("_Minimum",),
    "_minimum_scalar": ("_MinimumScalar",),
    "_hypot": ("_Hypot",),
    "_hypot_scalar": ("_HypotScalar",),
    "_equal": ("_Equal",),
    "_not_equal": ("_Not_Equal",),
    "_greater": ("_Greater",),
    "_greater_equal": ("_Greater_Equal",),
    "_lesser": ("_Lesser",),
    "_lesser_equal": ("_Lesser_Equal",),
    "_equal_scalar": ("_EqualScalar",),
    "_not_equal_scalar": ("_NotEqualScalar",),
    "_greater_scalar": ("_GreaterScalar",),
    "_greater_equal_scalar": ("_GreaterEqualScalar",),
    "_lesser_scalar": ("_LesserScalar",),
    "_lesser_equal_scalar": ("_LesserEqualScalar",),
    "Flatten": ("flatten",),
    "Reshape": ("reshape",),
    "Concat": ("concat",),
    "SliceChannel": ("split",),
    "BlockGrad": ("stop_gradient",),
    "identity": ("_copy",),
    "Cast": ("cast",),
    "sum": ("sum_axis",),
    "max": ("max_axis",),
    "min": ("min_axis",),
    "_random_uniform": ("random_uniform", "uniform"),
    "_random_normal": ("random_normal", "normal"),
    "broadcast_add": ("broadcast_plus",),
    "broadcast_sub": ("broadcast_minus",),
    "broadcast_axis": ("broadcast_axes",),
    "add_n": ("ElementWiseSum",),
    "SwapAxis": ("swapaxes",),
    "slice": ("crop",),
    "reverse": ("flip",),
    "pick": ("choose_element_0index",),
}

# The attributes with which the bare operator (no inputs given) is built to record its names.
STRUCTURES: dict[str, tuple[dict[str, Any], ...]] = {
    "FullyConnected": ({"num_hidden": 3}, {"num_hidden": 3, "no_bias": True}),
    "Activation": ({"act_type": "relu"},),
    "Embedding": ({"input_dim": 3, "output_dim": 2},),
    "SliceChannel": ({"num_outputs": 1}, {"num_outputs": 3}),
    "Concat": ({"num_args": 2},),
    "stack": ({"num_args": 2},),
    "add_n": ({"num_args": 3},),
    "Cast": ({"dtype": "int32"},),
    "clip": ({"a_min": 0, "a_max": 1},),
    "_arange": ({"start": 0, "stop": 3},),
    "expand_dims": ({"axis": 0},),
    "slice": ({"begin": (0,), "end": (1,)},),
    "slice_axis": ({"axis": 0, "begin": 0, "end": 1},),
    "tile": ({"reps": (2,)},),
    "repeat": ({"repeats": 2},),
    "reverse": ({"axis": 0},),
    "one_hot": ({"depth": 3},),
    "softmax": ({}, {"use_length": True}),
    "log_softmax": ({}, {"use_length": True}),
    "softmin": ({}, {"use_length": True}),
}
