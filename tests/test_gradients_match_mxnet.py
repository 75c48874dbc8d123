"""Gradients, layers, states and optimizer steps are real MXNet 1.9.1's, case by case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

import tritonsym as mx
from oracle.gradient_cases import families
from oracle.gradient_deviations import GRADIENT_DEVIATIONS, Recordings, corrected, corrections
from oracle.gradient_storage import BEFORE, Reaction, RecordedGradient, load, names
from oracle.operator_cases import words
from oracle.storage import Array

SHOWN_FAILURES = 12

# ---- how far a value may be from MXNet's -------------------------------------------------------


@dataclass(frozen=True)
class Bound:
    """How far apart two right values may be.

    `ulps` counts units in the last place of MXNet's value. `terms` adds units of the dtype's
    precision times the size of the terms behind a value: what is summed or cancels is rounded in
    proportion to its terms, not to its sum. The sign of a zero is not compared.
    """

    ulps: float = 8
    terms: float = 2


# One derivative times one head: a few roundings, of which some cancel (1 - y * y).
POINTWISE = Bound()
# Sums of tens of products or quotients, in another order.
SUMS = Bound(terms=32)
# A variance, its inverse root, and sums over all of it behind each element.
NORMALISED = Bound(ulps=32, terms=64)

# MXNet rounds decays near 1 to float32, and what is left of 1 has a relative error of 1e-5, which
# the divisor of FTML's weight has in proportion to itself.
DECAYS = Bound(ulps=64, terms=64)

BOUNDS: dict[str, Bound] = {
    **dict.fromkeys(
        words(
            "dot batch_dot FullyConnected linalg_gemm linalg_gemm2 norm softmax log_softmax "
            "softmin SoftmaxActivation take Embedding Convolution Deconvolution Pooling UpSampling "
            "SoftmaxOutput softmax_cross_entropy gamma gammaln"
        ),
        SUMS,
    ),
    **dict.fromkeys(
        words("BatchNorm LayerNorm InstanceNorm GroupNorm L2Normalization LRN RNN"), NORMALISED
    ),
}


def largest(arrays: Sequence[Array]) -> float:
    """The largest magnitude among finite numbers, at least 1."""
    with np.errstate(all="ignore"):
        flat = [np.abs(x.astype("float64")).ravel() for x in arrays]
    return max([1.0, *(float(x[np.isfinite(x)].max(initial=0)) for x in flat)])


def differing(case: RecordedGradient, got: Array, expected: Array) -> Array:
    """Where two arrays of one dtype and shape differ by more than the operator's bound."""
    if expected.dtype.kind != "f":
        return np.asarray(got != expected)
    bound = DECAYS if case.label == "defaults" else BOUNDS.get(case.operator, POINTWISE)
    # A head in float16 has come from an output in float16, and the gradient from both.
    floats = [x.dtype for x in (*case.inputs, *(case.heads or ()), expected) if x.dtype.kind == "f"]
    if case.heads is None and recorded()[case.operator][0] == "updates":
        floats.append(np.dtype("float32"))  # MXNet computes in it
    precision = min(floats, key=lambda dtype: dtype.itemsize)
    limits = np.finfo(precision)
    with np.errstate(all="ignore"):
        unit = np.spacing(np.abs(expected).astype(precision)).astype("float64")
        size = largest(case.heads or ()) * min(largest(case.inputs), 100.0)
        allowed = bound.ulps * unit + bound.terms * float(limits.eps) * size
        distance = np.abs(got.astype("float64") - expected.astype("float64"))
        near = (got == expected) | (distance <= allowed)
    near |= np.isnan(got) & np.isnan(expected)
    return np.asarray(~near)


# ---- what tritonsym does ------------------------------------------------------------------------


def find(name: str) -> Callable[..., mx.Symbol]:
    """`mx.sym.NAME`, or `mx.sym._internal.NAME`."""
    return getattr(mx.sym, name, None) or getattr(mx.sym._internal, name)


def changes(case: RecordedGradient, arrays: Sequence[mx.nd.NDArray]) -> dict[int, Array]:
    after = [array.asnumpy() for array in arrays]
    pairs = enumerate(zip(case.inputs, after, strict=True))
    return {i: new for i, (old, new) in pairs if old.tobytes() != new.tobytes()}


def differentiate(case: RecordedGradient, context: mx.Context) -> Reaction:
    def arrays(values: Sequence[Array]) -> list[mx.nd.NDArray]:
        return [mx.nd.array(value, ctx=context, dtype=value.dtype) for value in values]

    count = len(case.inputs) + len(case.states)
    variables = [mx.sym.Variable(f"input{index}") for index in range(count)]
    symbol = find(case.operator)(*variables, **case.attributes)
    inputs, states = arrays(case.inputs), arrays(case.states)
    gradients = arrays([np.full_like(x, BEFORE) for x in case.inputs])
    executor = (symbol[0] if case.operator == "LeakyReLU" else symbol).bind(
        context, inputs, args_grad=gradients, grad_req=list(case.requests), aux_states=states
    )
    shown: dict[bool, tuple[Array, ...]] = {False: (), True: ()}
    for training in (False, True) if case.training else (False,):
        outputs = executor.forward(is_train=training)
        shown[training] = tuple(output.asnumpy() for output in outputs)
    executor.backward() if case.heads is None else executor.backward(arrays(case.heads))
    found = zip(gradients, case.requests, strict=True)
    return Reaction(
        "answer",
        shown[False],
        shown[True],
        tuple(None if request == "null" else array.asnumpy() for array, request in found),
        tuple(state.asnumpy() for state in states),
        changes(case, inputs),
    )


def step(case: RecordedGradient, context: mx.Context) -> Reaction:
    arrays = [mx.nd.array(value, ctx=context, dtype=value.dtype) for value in case.inputs]
    result = getattr(mx.nd, case.operator)(*arrays, **case.attributes)
    outputs = result if isinstance(result, list) else [result]
    shown = tuple(output.asnumpy() for output in outputs)
    return Reaction("answer", shown, changed=changes(case, arrays))


def shown(values: Array, where: Array | None = None) -> str:
    flat = values.ravel() if where is None else values[where]
    return f"{flat[:4].tolist()}{'...' if flat.size > 4 else ''}"


def parts(reaction: Reaction) -> dict[str, Array | None]:
    """Every array that MXNet gave, by a name."""
    found: dict[str, Array | None] = {}
    for part in ("inference", "training", "gradients", "states"):
        found |= {f"{part}[{i}]": array for i, array in enumerate(getattr(reaction, part))}
    return found | {f"input {i} afterwards": array for i, array in reaction.changed.items()}


def complaint(case: RecordedGradient, got: Reaction, expected: Reaction) -> str | None:
    """What is wrong with a reaction, in a line; None if nothing is."""
    mine, theirs = parts(got), parts(expected)
    if got.changed.keys() != expected.changed.keys():
        return f"changed inputs {sorted(got.changed)}, not {sorted(expected.changed)}"
    for name, value in theirs.items():
        own = mine.get(name)
        if value is None or own is None:
            if value is not own:
                return f"{name} is {own if own is None else 'there'}"
            continue
        if (own.dtype, own.shape) != (value.dtype, value.shape):
            return f"{name} is {own.dtype}{own.shape}, not {value.dtype}{value.shape}"
        wrong = differing(case, own, value)
        if wrong.any():
            beside = "; ".join(
                shown(x, wrong) if x.shape == wrong.shape else shown(x) for x in case.inputs
            )
            return (
                f"{name}: {wrong.sum()} of {wrong.size} differ: got {shown(own, wrong)}, expected "
                f"{shown(value, wrong)} for {beside}"
            )
    return None


def failure(case: RecordedGradient, expected: Reaction, context: mx.Context, family: str) -> str:
    """What is wrong with what tritonsym does; nothing if it does what is due."""
    try:
        got = step(case, context) if family == "updates" else differentiate(case, context)
    except Exception as error:
        if expected.kind == "error" and isinstance(error, mx.MXNetError):
            return ""
        return f"raised {type(error).__name__}: {str(error)[:200]}"
    if expected.kind == "error":
        return f"gave an answer where {expected.error} is due: {expected.message}"
    return complaint(case, got, expected) or ""


# ---- the recorded cases -------------------------------------------------------------------------


@cache
def recorded() -> dict[str, tuple[str, Recordings]]:
    """Operator -> its family and its cases by label."""
    found: dict[str, tuple[str, Recordings]] = {}
    for family in names():
        for case in load(family):
            found.setdefault(case.operator, (family, {}))[1][case.label] = case
    return found


@pytest.mark.parametrize("operator", sorted(recorded()))
def test_gradients_are_those_of_mxnet(operator: str, context: mx.Context) -> None:
    family, cases = recorded()[operator]
    lines = []
    for case in cases.values():
        wrong = failure(case, corrected(case, cases), context, family)
        if wrong:
            rows = [name for name, _, _ in corrections(case, cases)]
            row = f" (deviations {rows})" if rows else ""
            lines.append(f"  {case.label} {case.attributes} {case.requests}{row}: {wrong}")
    if len(lines) > SHOWN_FAILURES:
        lines[SHOWN_FAILURES:] = [f"  and {len(lines) - SHOWN_FAILURES} more"]
    report = [f"{operator}: {len(lines)} of {len(cases)} cases differ", *lines]
    assert not lines, "\n".join(report)


@pytest.mark.parametrize("name", GRADIENT_DEVIATIONS)
def test_a_deviation_still_deviates(name: str) -> None:
    """Each operator of a row has a case that the row corrects."""
    for operator in GRADIENT_DEVIATIONS[name].operators:
        _, cases = recorded()[operator]
        assert any(
            row == name and contradicts(case, before, demanded)
            for case in cases.values()
            for row, before, demanded in corrections(case, cases)
        ), f"{name} no longer differs from MXNet for {operator}"


def contradicts(case: RecordedGradient, before: Reaction, demanded: Reaction) -> bool:
    """Whether a row demands something else than it found."""
    return before.kind != demanded.kind or bool(complaint(case, demanded, before))


def test_recorded_gradients_are_those_of_the_generator() -> None:
    """A changed case must be recorded again."""
    for family, operators in families().items():
        for operator, cases in operators.items():
            stored = recorded()[operator]
            assert stored[0] == family
            assert list(stored[1]) == [case.label for case in cases], operator
            for old, new in zip(stored[1].values(), cases, strict=True):
                where = (operator, new.label)
                assert repr(old.attributes) == repr(new.attributes), where
                assert (old.requests, old.training) == (new.all_requests(), new.training), where
                given = zip((*old.inputs, *old.states), (*new.inputs, *new.states), strict=True)
                for one, other in given:
                    assert (one.dtype, one.shape) == (other.dtype, other.shape), where
                    assert one.tobytes() == other.tobytes(), where


# ---- what is random -----------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_dropout_passes_gradients_where_it_passed_values(
    training: bool, context: mx.Context
) -> None:
    """As in MXNet: zero or 1 / (1 - p), by the mask of the last forward pass; 'always' as well."""
    count, p = 20_000, 0.25
    data, found = mx.nd.ones((count,), ctx=context), mx.nd.zeros((count,), ctx=context)
    mode = "training" if training else "always"
    symbol = mx.sym.Dropout(mx.sym.Variable("data"), p=p, mode=mode)
    executor = symbol.bind(context, [data], [found])
    masks = []
    for _ in range(2):
        output = executor.forward(is_train=training)[0].asnumpy()
        head = np.linspace(1, 2, count, dtype="float32")
        executor.backward(mx.nd.array(head, ctx=context))
        np.testing.assert_allclose(found.asnumpy(), head * output, rtol=1e-6)
        assert set(np.unique(output)) == {np.float32(0), np.float32(1 / (1 - p))}
        kept = np.count_nonzero(output)
        deviation = np.sqrt(count * p * (1 - p))
        assert abs(kept - count * (1 - p)) < 6 * deviation  # one in 5e8 by chance
        masks.append(output)
    assert (masks[0] != masks[1]).any()
