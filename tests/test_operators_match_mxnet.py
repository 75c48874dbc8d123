"""Every operator answers as real MXNet 1.9.1 did, case by case, or as a named deviation says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

import tritonsym as mx
from guard_bands import guarded_where_interpreted
from oracle.deviations import DEVIATIONS, deviation
from oracle.operator_cases import ALIASES, EXTRAS, VALUELESS, families, words
from oracle.storage import Answer, Array, Recorded, Structure, load, names

ALIAS_CASES = 12
SHOWN_FAILURES = 12

# ---- how far a value may be from MXNet's -------------------------------------------------------


@dataclass(frozen=True)
class Bound:
    """How far apart two right answers may be.

    `ulps` counts units in the last place of MXNet's value, per dtype. `terms` adds units of the
    dtype's precision times a bound on the magnitudes that were summed. Without `signed_zeros` the
    sign of a zero is not compared.
    """

    float16: float = 0
    float32: float = 0
    float64: float = 0
    terms: float = 0
    signed_zeros: bool = True


EXACT = Bound()
# Both libraries are within a few units of the true value; float16 is computed in float32 and
# rounded, so that two values differ by at most one unit, where a tie is near.
FUNCTION = Bound(float16=1, float32=4, float64=4)
# MXNet rounds every step of a composite to float16.
COMPOSITE = Bound(float16=2, float32=4, float64=4)
SHIFTED = Bound(float16=2, float32=4, float64=4, terms=1)
# Orders of summation differ.
SUM = Bound(float16=1, float32=2, float64=2, terms=2, signed_zeros=False)
PRODUCT = Bound(float16=2, float32=8, float64=8, signed_zeros=False)
MATRIX = Bound(float16=1, float32=2, float64=2, terms=2, signed_zeros=False)
# MXNet rounds the arguments of the exponentials to float16: an error of 2**-11 times their size.
SOFTMAX = Bound(float16=10, float32=8, float64=8)
# Differences of numbers as large as the input.
LOG_SOFTMAX = Bound(float16=2, float32=2, float64=2, terms=2)

BOUNDS: dict[str, Bound] = {
    **dict.fromkeys(
        words(
            "cbrt rcbrt rsqrt exp expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh "
            "cosh tanh arcsinh arccosh arctanh sigmoid erf _hypot _hypot_scalar broadcast_hypot "
            "_power _power_scalar _rpower_scalar broadcast_power"
        ),
        FUNCTION,
    ),
    **dict.fromkeys(words("softsign degrees radians Activation"), COMPOSITE),
    "hard_sigmoid": SHIFTED,
    **dict.fromkeys(words("sum mean nansum norm add_n"), SUM),
    **dict.fromkeys(words("prod nanprod"), PRODUCT),
    **dict.fromkeys(words("dot batch_dot FullyConnected"), MATRIX),
    **dict.fromkeys(words("softmax softmin SoftmaxActivation"), SOFTMAX),
    "log_softmax": LOG_SOFTMAX,
}


def magnitude(case: Recorded, output: Array) -> float:
    """A bound on the sum of magnitudes behind one element of the output."""
    sizes = [float(np.abs(np.nan_to_num(x.astype("float64"), posinf=0, neginf=0)).max(initial=0))
             for x in case.inputs]  # fmt: skip
    if case.operator in ("dot", "batch_dot", "FullyConnected"):
        length = np.sqrt(case.inputs[0].size * case.inputs[1].size / output.size)
        return float(length) * sizes[0] * sizes[1] + sum(sizes[2:])
    if case.operator == "add_n":
        return sum(sizes)
    count = 1 if case.operator == "mean" else case.inputs[0].size / output.size
    return sizes[0] * count


def computed_in(case: Recorded, output: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that an operator has computed in: the output's, or a narrower one of the input."""
    if case.inputs and case.inputs[0].dtype.kind == "f" and output.itemsize > 4:
        return np.dtype("float64" if case.inputs[0].dtype == output else "float32")
    return output


def differing(case: Recorded, got: Array, expected: Array) -> Array:
    """Where two outputs of one dtype and shape differ by more than the operator's bound."""
    if expected.dtype.kind != "f":
        return np.asarray(got != expected)
    bound = BOUNDS.get(case.operator, EXACT)
    precision = computed_in(case, expected.dtype)
    with np.errstate(all="ignore"):
        limits = np.finfo(precision)
        unit = np.spacing(np.abs(expected).astype(precision)).astype("float64")
        allowed = getattr(bound, precision.name) * unit
        if bound.terms:
            allowed = allowed + bound.terms * float(limits.eps) * magnitude(case, expected)
        distance = np.abs(got.astype("float64") - expected.astype("float64"))
        near = (got == expected) | (distance <= allowed)
    near |= np.isnan(got) & np.isnan(expected)
    if bound.signed_zeros:
        both_zero = (got == 0) & (expected == 0)
        near &= ~both_zero | (np.signbit(got) == np.signbit(expected))
    return np.asarray(~near)


# ---- what tritonsym answers ---------------------------------------------------------------------

# What may stand for MXNet's exception: a more telling type for what MXNet calls by one name.
ACCEPTED: dict[str, tuple[type[Exception], ...]] = {
    "MXNetError": (mx.MXNetError,),
    "ValueError": (ValueError, mx.MXNetError),
    "TypeError": (TypeError, mx.MXNetError),
    "NotImplementedForSymbol": (mx.MXNetError, TypeError),
}


def find(name: str) -> Callable[..., Any]:
    """`mx.sym.NAME`, or `mx.sym._internal.NAME`."""
    function: Callable[..., Any] | None = getattr(mx.sym, name, None)
    if function is None:
        function = getattr(mx.sym._internal, name)
    return function


def answer(function: str, case: Recorded, context: mx.Context) -> Answer | Exception:
    try:
        variables = [mx.sym.Variable(f"input{index}") for index in range(len(case.inputs))]
        symbol = find(function)(*variables, **case.attributes)
        arrays = [mx.nd.array(values, ctx=context, dtype=values.dtype) for values in case.inputs]
        executor = symbol.bind(context, arrays)
        return Answer("outputs", tuple(x.asnumpy() for x in executor.forward(is_train=False)))
    except Exception as error:
        return error


def shown(values: Array, where: Array | None = None) -> str:
    flat = values.ravel() if where is None else values[where]
    return f"{flat[:4].tolist()}{'...' if flat.size > 4 else ''}"


def complaint(case: Recorded, got: Answer | Exception, expected: Answer) -> str | None:
    """What is wrong with an answer, in a line; None if nothing is."""
    if expected.kind == "error":
        if isinstance(got, Answer):
            described = ", ".join(f"{x.dtype}{x.shape}" for x in got.outputs)
            return f"gave {described} where {expected.error} is due: {expected.message}"
        if not isinstance(got, ACCEPTED[expected.error]):
            return f"raised {got!r} where {expected.error} is due: {expected.message}"
        return None
    if not isinstance(got, Answer):
        return f"raised {type(got).__name__}: {str(got)[:200]}"
    if len(got.outputs) != len(expected.outputs):
        return f"gave {len(got.outputs)} outputs, not {len(expected.outputs)}"
    for mine, theirs in zip(got.outputs, expected.outputs, strict=True):
        if (mine.dtype, mine.shape) != (theirs.dtype, theirs.shape):
            return f"gave {mine.dtype}{mine.shape}, not {theirs.dtype}{theirs.shape}"
        if case.operator in VALUELESS:
            continue
        wrong = differing(case, mine, theirs)
        if wrong.any():
            inputs = "; ".join(
                shown(x, wrong) if x.shape == wrong.shape else shown(x) for x in case.inputs
            )
            return (
                f"{wrong.sum()} of {wrong.size} differ: got {shown(mine, wrong)}, expected "
                f"{shown(theirs, wrong)} for {inputs}"
            )
    return None


# ---- the recorded cases -------------------------------------------------------------------------


@cache
def recorded() -> tuple[dict[str, list[Recorded]], dict[str, list[Structure]]]:
    cases: dict[str, list[Recorded]] = {}
    structures: dict[str, list[Structure]] = {}
    for family in names():
        found, described = load(family)
        structures |= described
        for case in found:
            cases.setdefault(case.operator, []).append(case)
    return cases, structures


def available(operator: str) -> bool:
    """Whether it is one of the operators promised, or one of the others that exists."""
    return operator not in EXTRAS or any(hasattr(x, operator) for x in (mx.sym, mx.sym._internal))


OPERATORS = sorted(filter(available, recorded()[0]))
ALIAS_NAMES = [(alias, operator) for operator, found in ALIASES.items() for alias in found]


def failures(function: str, cases: Sequence[Recorded], context: mx.Context) -> str:
    lines = []
    for case in cases:
        chosen = deviation(case)
        expected = chosen[1] if chosen else case.answer
        wrong = complaint(case, answer(function, case, context), expected)
        if wrong:
            row = f" (deviation {chosen[0]})" if chosen else ""
            lines.append(f"  {case.label} {case.attributes}{row}: {wrong}")
    if not lines:
        return ""
    shown_lines = lines[:SHOWN_FAILURES]
    if len(lines) > SHOWN_FAILURES:
        shown_lines.append(f"  and {len(lines) - SHOWN_FAILURES} more")
    return "\n".join([f"{function}: {len(lines)} of {len(cases)} cases differ", *shown_lines])


@pytest.mark.parametrize("operator", OPERATORS)
def test_answers_are_those_of_mxnet(operator: str, context: mx.Context) -> None:
    with guarded_where_interpreted(context):
        found = failures(operator, recorded()[0][operator], context)
    assert not found, found


@pytest.mark.parametrize(("alias", "operator"), ALIAS_NAMES)
def test_an_alias_answers_as_its_operator(alias: str, operator: str, context: mx.Context) -> None:
    found = failures(alias, recorded()[0][operator][:ALIAS_CASES], context)
    assert not found, found


@pytest.mark.parametrize("operator", OPERATORS)
def test_names_are_those_of_mxnet(operator: str) -> None:
    for expected in recorded()[1][operator]:
        with mx.name.NameManager():
            symbol = find(expected.function)(**expected.attributes)
        assert symbol.name == expected.name
        assert tuple(symbol.list_arguments()) == expected.arguments
        assert tuple(symbol.list_outputs()) == expected.outputs
        assert f'"op": "{expected.operator}"' in symbol.tojson()


def contradicts(case: Recorded, demanded: Answer) -> bool:
    """Whether an answer is not the one that MXNet gave."""
    if "outputs" not in (case.answer.kind, demanded.kind):
        return False
    return case.answer.kind != demanded.kind or bool(complaint(case, demanded, case.answer))


@pytest.mark.parametrize("name", DEVIATIONS)
def test_a_deviation_still_deviates(name: str) -> None:
    """Each operator of a row has a case whose demanded answer is not MXNet's."""
    for operator in DEVIATIONS[name].operators:
        assert any(
            (chosen := deviation(case)) is not None
            and chosen[0] == name
            and contradicts(case, chosen[1])
            for case in recorded()[0][operator]
        ), f"{name} no longer differs from MXNet for {operator}"


def test_recorded_cases_are_those_of_the_generator() -> None:
    """A changed case must be recorded again."""
    for family, operators in families().items():
        for operator, cases in operators.items():
            stored = recorded()[0][operator]
            assert [case.label for case in stored] == [case.label for case in cases], family
            for old, new in zip(stored, cases, strict=True):
                assert repr(old.attributes) == repr(new.attributes), (operator, new.label)
                assert len(old.inputs) == len(new.inputs), (operator, new.label)
                for one, other in zip(old.inputs, new.inputs, strict=True):
                    assert (one.dtype, one.shape) == (other.dtype, other.shape)
                    assert one.tobytes() == other.tobytes(), (operator, new.label)
