"""Where tritonsym answers otherwise than MXNet 1.9.1 on purpose: the cases, why, and what instead.

A row picks cases and says which answer is due. The tests demand that every row still differs from
MXNet somewhere, for each operator that it names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from oracle.expected import (
    BOOL_MOVEMENTS,
    BROADCASTS,
    Instead,
    arange,
    broadcast_axis,
    broadcast_six,
    clip,
    dot,
    dtype_of,
    exactly,
    float16_reduction,
    in_c,
    in_float64,
    integer_hypot,
    integer_norm,
    moved,
    norm_in_another_dtype,
    of_integers,
    one_hot,
    outputs,
    power,
    product,
    quotient,
    refuse,
    softmax,
    softmax_activation,
    softmax_within_length,
)
from oracle.operator_cases import words
from oracle.storage import Answer, Recorded

Picks = Callable[[Recorded], bool]


@dataclass(frozen=True)
class Deviation:
    """Operators, which of their cases, the sentence for the documentation, and the answer."""

    operators: list[str]
    picks: Picks
    because: str
    instead: Instead


# ---- which cases --------------------------------------------------------------------------------


def answered(case: Recorded) -> bool:
    return case.answer.kind == "outputs"


def refused(case: Recorded) -> bool:
    return case.answer.kind == "error"


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
