"""Where gradients, states and layers are otherwise than MXNet 1.9.1's on purpose, and what instead.

A row picks cases and says which reaction is due. Several rows may pick one case: each corrects what
the ones before it have left. The tests demand that every row still corrects something, for each
operator that it names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from oracle.expected import softmax_along
from oracle.gradient_storage import BEFORE, Reaction, RecordedGradient
from oracle.operator_cases import words
from oracle.storage import Array

# Every recorded case of an operator, by its label.
Recordings = dict[str, RecordedGradient]
Instead = Callable[[RecordedGradient, Recordings], Reaction]


@dataclass(frozen=True)
class GradientDeviation:
    """Operators, which of their cases, the sentence for the documentation, and the reaction."""

    operators: list[str]
    picks: Callable[[RecordedGradient], bool]
    because: str
    instead: Instead


# ---- reactions ----------------------------------------------------------------------------------


def dtype_of(case: RecordedGradient) -> str:
    return str(case.inputs[0].dtype)


def first_gradient(function: Callable[[RecordedGradient, Array, Array], Array]) -> Instead:
    """The gradient of the first input by a function of the case, the input and its head.

    The function computes in float64; the result is rounded once.
    """

    def instead(case: RecordedGradient, recordings: Recordings) -> Reaction:
        assert case.heads is not None
        head, data = (x.astype("float64") for x in (case.heads[0], case.inputs[0]))
        with np.errstate(all="ignore"):
            written = function(case, data, head)
            left = BEFORE if case.requests[0] == "add" else 0
            found = (written + left).astype(dtype_of(case))
        if case.reaction.kind == "error":
            return Reaction("answer", gradients=(found,))
        return replace(case.reaction, gradients=(found, *case.reaction.gradients[1:]))

    return instead


def with_outputs(function: Callable[[RecordedGradient, Array], Array], instead: Instead) -> Instead:
    """Another output too, the same in inference and training."""

    def both(case: RecordedGradient, recordings: Recordings) -> Reaction:
        with np.errstate(all="ignore"):
            output = function(case, case.inputs[0].astype("float64")).astype(dtype_of(case))
        return replace(instead(case, recordings), inference=(output,), training=(output,))

    return both


def zero_second(case: RecordedGradient, recordings: Recordings) -> Reaction:
    """Zeros for labels and lengths, or what was there where zeros are added to it."""
    first, _ = case.reaction.gradients
    left = BEFORE if case.requests[1] == "add" else 0
    return replace(case.reaction, gradients=(first, np.full_like(case.inputs[1], left)))


def zeros_instead_of_error(index: int, twin: str) -> Instead:
    """What the twin has, which asks for no gradient of this input, and zeros for this one."""

    def instead(case: RecordedGradient, recordings: Recordings) -> Reaction:
        gradients = list(recordings[twin].reaction.gradients)
        gradients[index] = np.zeros_like(case.inputs[index])
        return replace(recordings[twin].reaction, gradients=tuple(gradients))

    return instead


def really_added(case: RecordedGradient, recordings: Recordings) -> Reaction:
    """The gradients of the case that writes them, added to what was there."""
    twin = corrected(recordings[case.label.removesuffix("-add")], recordings)
    gradients = [
        written if request == "write" or written is None else written + written.dtype.type(BEFORE)
        for written, request in zip(twin.gradients, case.requests, strict=True)
    ]
    return replace(case.reaction, gradients=tuple(gradients))


def times_head(case: RecordedGradient, recordings: Recordings) -> Reaction:
    """The gradient without the option, times the head."""
    twin = recordings[case.label.removesuffix("out_grad=True") or "plain"]
    plain = twin.reaction.gradients[0]
    assert case.heads is not None and plain is not None
    return replace(case.reaction, gradients=(plain * case.heads[0], *case.reaction.gradients[1:]))


def of_quotient(case: RecordedGradient, recordings: Recordings) -> Reaction:
    """Computed in the case's own dtype, of which the square of a denormal is zero."""
    assert case.heads is not None
    (left, right), (head,) = case.inputs, case.heads
    with np.errstate(all="ignore"):
        return replace(case.reaction, gradients=(head / right, -head * (left / right / right)))


def cross_entropy(case: RecordedGradient, recordings: Recordings) -> Reaction:
    data, label = (x.astype("float64") for x in case.inputs)
    logarithms = data - np.logaddexp.reduce(data, axis=1, keepdims=True)
    loss = -logarithms[np.arange(len(label)), label.astype(int)].sum()
    output = np.array([loss], dtype_of(case))
    return replace(case.reaction, inference=(output,), training=(output,))


# ---- functions ----------------------------------------------------------------------------------

SELU_SCALE, SELU_ALPHA = 1.0507009873554804934, 1.6732632423543772848


def digamma(x: float) -> float:
    """The logarithmic derivative of the gamma function, away from its poles."""
    if x < 0.5:
        return digamma(1 - x) - math.pi / math.tan(math.pi * x)
    total = 0.0
    while x < 20:
        total -= 1 / x
        x += 1
    y = 1 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y / 132))))
    return total + math.log(x) - 1 / (2 * x) - series


def normal_distribution(x: Array) -> Array:
    return 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gamma_gradient(case: RecordedGradient, data: Array, head: Array) -> Array:
    """MXNet's values at infinities and gamma's poles, infinite and precise ones elsewhere."""
    (theirs,) = case.reaction.gradients
    assert theirs is not None
    result = theirs.astype("float64")
    for i, x in np.ndenumerate(data):
        if not math.isfinite(x):
            continue
        if x <= 0 and x == math.floor(x):
            result[i] = head[i] * math.inf if case.operator == "gammaln" else result[i]
        else:
            result[i] = head[i] * digamma(x) * (math.gamma(x) if case.operator == "gamma" else 1)
    return result


def hard_sigmoid_gradient(case: RecordedGradient, data: Array, head: Array) -> Array:
    result = 0.2 * data + 0.5
    return np.where((result > 0) & (result < 1), 0.2 * head, 0)


def softmax_gradient(case: RecordedGradient, data: Array, head: Array) -> Array:
    result = softmax_along(data, -1)
    return (head - (head * result).sum(-1, keepdims=True)) * result


def windows(case: RecordedGradient, x: Array) -> Array:
    """The windows of a pooling without padding, their elements along one last axis."""
    kernel = case.attributes["kernel"]
    stride = case.attributes.get("stride", (1,) * len(kernel))
    found = np.lib.stride_tricks.sliding_window_view(x, kernel, tuple(range(2, x.ndim)))
    found = found[(slice(None), slice(None), *(slice(None, None, step) for step in stride))]
    return found.reshape(*found.shape[: x.ndim], -1)


def pooled(
    parts: Callable[[RecordedGradient, Array, Array], Array],
) -> Callable[[RecordedGradient, Array, Array], Array]:
    """A gradient of pooling: what each element has from each window, added where it lies."""

    def function(case: RecordedGradient, data: Array, head: Array) -> Array:
        result = np.zeros(data.size)
        places = windows(case, np.arange(data.size).reshape(data.shape))
        np.add.at(result, places, parts(case, windows(case, data), head[..., None]))
        return result.reshape(data.shape)

    return function


def reduced_axis(case: RecordedGradient) -> tuple[int, ...] | None:
    axis = case.attributes.get("axis")
    return axis if axis is None else tuple(np.atleast_1d(axis).tolist())


def product_gradient(case: RecordedGradient, data: Array, head: Array) -> Array:
    """The product of the other elements times the head; that of NaN is 0 where it is skipped."""
    axis = reduced_axis(case)
    skipped = np.isnan(data) & (case.operator == "nanprod")
    data = np.where(skipped, 1, data)
    head = head.reshape(np.prod(data, axis, keepdims=True).shape)
    zeros = (data == 0).sum(axis, keepdims=True)
    others = np.prod(np.where(data == 0, 1, data), axis, keepdims=True)
    at_zeros = np.where((data == 0) & (zeros == 1), head * others, 0)
    found = np.where(zeros == 0, head * others / data, at_zeros)
    return np.where(skipped, 0, found)


def norm_of(case: RecordedGradient) -> Array:
    """The norm that each element is a part of."""
    data = case.inputs[0].astype("float64")
    axis = reduced_axis(case)
    with np.errstate(all="ignore"):
        return np.broadcast_to(np.abs(data).sum(axis, keepdims=True), data.shape)


def zero_where_the_norm_is(case: RecordedGradient, recordings: Recordings) -> Reaction:
    (first,) = case.reaction.gradients
    left = BEFORE if case.requests[0] == "add" else 0
    found = np.where(norm_of(case) == 0, np.asarray(left, first.dtype), first)
    return replace(case.reaction, gradients=(found,))


def norms(case: RecordedGradient, data: Array) -> Array:
    power = case.attributes["p_value"]
    return (np.abs(windows(case, data)) ** power).sum(-1) ** (1 / power)


def parts_of_norms(case: RecordedGradient, elements: Array, head: Array) -> Array:
    power = case.attributes["p_value"]
    norm = (np.abs(elements) ** power).sum(-1, keepdims=True) ** (1 / power)
    return head * np.sign(elements) * (np.abs(elements) / norm) ** (power - 1)


def parts_of_largest(case: RecordedGradient, elements: Array, head: Array) -> Array:
    first = np.arange(elements.shape[-1]) == elements.argmax(-1, keepdims=True)
    above = elements.max(-1, keepdims=True) > np.finfo("float32").min
    return np.where(first & above, head, 0)


def last_output_of_rnn(case: RecordedGradient, data: Array, state: Array, weights: Array) -> Array:
    """The output of layers of plain cells, from parameters as MXNet packs them."""
    size = state.shape[2]
    squash = np.tanh if case.attributes["mode"] == "rnn_tanh" else lambda x: np.maximum(x, 0)
    widths = [data.shape[2], *[size] * (len(state) - 1)]
    counts = [size * n for width in widths for n in (width, size)]
    matrices = np.split(weights[: sum(counts)], np.cumsum(counts)[:-1])
    biases = weights[sum(counts) :].reshape(len(state), 2, size)
    for layer, hidden in enumerate(state):
        of_input, of_state = (m.reshape(size, -1) for m in matrices[2 * layer : 2 * layer + 2])
        steps = []
        for x in data:
            hidden = squash(x @ of_input.T + hidden @ of_state.T + biases[layer].sum(0))
            steps.append(hidden)
        data = np.stack(steps)
    return data


def central_differences(case: RecordedGradient, recordings: Recordings) -> Reaction:
    """The gradients that are asked for, by small steps of a network of plain cells in float64."""
    assert case.heads is not None
    head = case.heads[0].astype("float64")
    data, weights, state = (x.astype("float64") for x in case.inputs)
    found: list[Array | None] = [None, None, None]
    for index, x in ((0, data), (2, state)):
        slopes = np.zeros_like(x)
        for place in np.ndindex(x.shape):
            before = x[place]
            sums = []
            for step in (1e-6, -1e-6):
                x[place] = before + step
                sums.append((last_output_of_rnn(case, data, state, weights) * head).sum())
            x[place] = before
            slopes[place] = (sums[0] - sums[1]) / 2e-6
        found[index] = slopes.astype(dtype_of(case))
    return replace(case.reaction, gradients=tuple(found))


def wanted_of_twin(case: RecordedGradient, recordings: Recordings) -> Reaction:
    """The gradients of the case that asks for all of them, without those not asked for."""
    twin = recordings[case.label.removesuffix("-null1")].reaction
    pairs = zip(twin.gradients, case.requests, strict=True)
    return replace(
        case.reaction, gradients=tuple(None if want == "null" else x for x, want in pairs)
    )


def empty_means(case: RecordedGradient, recordings: Recordings) -> Reaction:
    """0 for the mean of a window that lies in the padding."""
    outputs = [np.nan_to_num(x, nan=0.0) for x in case.reaction.inference]
    return replace(case.reaction, inference=tuple(outputs), training=tuple(outputs))


# ---- rows ---------------------------------------------------------------------------------------


def kind_is(kind: str) -> Callable[[RecordedGradient], bool]:
    return lambda case: case.attributes.get("act_type", "leaky") == kind


def labelled(*labels: str) -> Callable[[RecordedGradient], bool]:
    return lambda case: case.label in labels


def in_float64(case: RecordedGradient) -> bool:
    return dtype_of(case) == "float64"


REGRESSIONS = words("LinearRegressionOutput LogisticRegressionOutput MAERegressionOutput")
LABELLED = [*words("SoftmaxOutput SVMOutput"), *REGRESSIONS]

GRADIENT_DEVIATIONS: dict[str, GradientDeviation] = {
    "gradients-of-labels": GradientDeviation(
        [*LABELLED, *words("SequenceMask SequenceLast SequenceReverse")],
        lambda case: (
            case.reaction.kind == "answer" and len(case.inputs) == 2 and case.requests[1] == "write"
        ),
        "Labels and lengths have zero gradients; MXNet leaves what was in the array.",
        zero_second,
    ),
    "gradients-of-indices": GradientDeviation(
        ["Embedding"],
        labelled("bad-gradient-of-indices"),
        "Indices have zero gradients; MXNet refuses to give them.",
        zeros_instead_of_error(0, "many"),
    ),
    "gradients-of-classes": GradientDeviation(
        ["softmax_cross_entropy"],
        labelled("bad-gradient-of-labels"),
        "Labels have zero gradients; MXNet refuses to give them.",
        zeros_instead_of_error(1, "plain"),
    ),
    "softmax-output-head": GradientDeviation(
        ["SoftmaxOutput"],
        lambda case: case.attributes.get("out_grad", False),
        "out_grad=True multiplies by the gradient of the output, as documented; MXNet multiplies "
        "by the output.",
        times_head,
    ),
    "softmax-activation-gradient": GradientDeviation(
        ["SoftmaxActivation"],
        lambda case: case.attributes.get("mode") != "channel" and case.inputs[0].ndim != 2,
        "The gradient is that of the output, a softmax of the last axis; MXNet's is that of a "
        "softmax of all axes but the first.",
        first_gradient(softmax_gradient),
    ),
    "cross-entropy-floor": GradientDeviation(
        ["softmax_cross_entropy"],
        labelled("far"),
        "The logarithm of a probability is computed from the data; MXNet's ends at that of 1e-8.",
        cross_entropy,
    ),
    "selu-gradient": GradientDeviation(
        ["LeakyReLU"],
        kind_is("selu"),
        "The gradient of selu is its derivative; MXNet leaves a factor out below zero.",
        first_gradient(
            lambda case, x, g: g * SELU_SCALE * np.where(x > 0, 1, SELU_ALPHA * np.exp(x))
        ),
    ),
    "float64-selu": GradientDeviation(
        ["LeakyReLU"],
        lambda case: kind_is("selu")(case) and in_float64(case),
        "Constants are not rounded to float32.",
        with_outputs(
            lambda case, x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x)),
            lambda case, recordings: case.reaction,
        ),
    ),
    "float64-leaky": GradientDeviation(
        ["LeakyReLU"],
        lambda case: kind_is("leaky")(case) and in_float64(case),
        "float64 is not rounded to float32 on the way.",
        with_outputs(
            lambda case, x: np.where(x > 0, x, 0.25 * x),
            first_gradient(lambda case, x, g: np.where(x > 0, g, 0.25 * g)),
        ),
    ),
    "float64-gelu": GradientDeviation(
        ["LeakyReLU"],
        lambda case: kind_is("gelu")(case) and in_float64(case),
        "float64 is not rounded to float32 on the way.",
        with_outputs(
            lambda case, x: x * normal_distribution(x),
            first_gradient(
                lambda case, x, g: (
                    g * (normal_distribution(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))
                )
            ),
        ),
    ),
    "negative-slopes": GradientDeviation(
        ["LeakyReLU"],
        lambda case: case.attributes.get("slope", 0) < 0,
        "The gradient depends on the sign of the input; MXNet takes the output's, which a negative "
        "slope turns.",
        first_gradient(
            lambda case, x, g: (
                g
                * np.where(
                    x > 0, 1, case.attributes["slope"] * (np.exp(x) if kind_is("elu")(case) else 1)
                )
            )
        ),
    ),
    "float64-derivatives": GradientDeviation(
        words("gamma gammaln"),
        in_float64,
        "float64 is not rounded to float32 on the way.",
        first_gradient(gamma_gradient),
    ),
    "float64-erf": GradientDeviation(
        ["erf"],
        in_float64,
        "float64 is not rounded to float32 on the way.",
        first_gradient(lambda case, x, g: g * (2 / math.sqrt(math.pi) * np.exp(-x * x))),
    ),
    "float64-erfinv": GradientDeviation(
        ["erfinv"],
        in_float64,
        "The root of pi in the gradient is not rounded to float32.",
        first_gradient(
            lambda case, x, g: (
                g * (math.sqrt(math.pi) / 2 * np.exp(case.reaction.inference[0] ** 2))
            )
        ),
    ),
    "float64-parameters-gradient": GradientDeviation(
        ["hard_sigmoid"],
        in_float64,
        "Parameters are not rounded to float32.",
        first_gradient(hard_sigmoid_gradient),
    ),
    "quotients-of-denormals": GradientDeviation(
        words("elemwise_div broadcast_div"),
        lambda case: case.label.endswith("-corners"),
        "The gradients of a quotient are divided; MXNet multiplies by a reciprocal, which may be "
        "infinite, and divides by a square, which may be zero.",
        of_quotient,
    ),
    "float16-rcbrt": GradientDeviation(
        ["rcbrt"],
        labelled("float16-points"),
        "A gradient in float16 does not overflow on the way.",
        first_gradient(lambda case, x, g: -g / (3 * x * np.cbrt(x))),
    ),
    "product-at-zero": GradientDeviation(
        words("prod nanprod"),
        lambda case: bool((case.inputs[0] == 0).any()),
        "The gradient of a product with zeros is the product of the others; MXNet's is NaN.",
        first_gradient(product_gradient),
    ),
    "norm-at-zero": GradientDeviation(
        ["norm"],
        lambda case: bool((norm_of(case) == 0).any()),
        "The gradient of the norm of zeros is 0; MXNet's is NaN.",
        zero_where_the_norm_is,
    ),
    "infinite-norm-gradient": GradientDeviation(
        ["norm"],
        lambda case: case.label.startswith("gradient-") and "minus-infinity" in case.label,
        "The norm of several infinities is infinite, also in the gradient.",
        first_gradient(lambda case, x, g: g * (x / np.inf)),
    ),
    "pooling-norms": GradientDeviation(
        ["Pooling"],
        lambda case: case.label.startswith(("lp1-", "lp3-")) and bool((case.inputs[0] < 0).any()),
        "Pooling with pool_type='lp' takes the sizes of the values; MXNet takes roots of negative "
        "sums.",
        with_outputs(norms, first_gradient(pooled(parts_of_norms))),
    ),
    "pooling-nan": GradientDeviation(
        ["Pooling"],
        labelled("special-pool_type=max"),
        "Pooling with pool_type='max' keeps NaN, and gives it no gradient; MXNet skips it.",
        with_outputs(
            lambda case, data: windows(case, data).max(-1), first_gradient(pooled(parts_of_largest))
        ),
    ),
    "pooling-nothing": GradientDeviation(
        ["Pooling"],
        lambda case: (
            any(bool(np.isnan(x).any()) for x in case.reaction.inference)
            and not np.isnan(case.inputs[0]).any()
        ),
        "The mean of a window that lies in the padding is 0; MXNet divides by zero.",
        empty_means,
    ),
    "rnn-without-weights": GradientDeviation(
        ["RNN"],
        lambda case: case.label.endswith("plain-null1") and not case.label.startswith("lstm"),
        "RNN has the same gradients whether those of its parameters are asked for or not; MXNet's "
        "are wrong where they are not.",
        wanted_of_twin,
    ),
    "rnn-of-plain-cells": GradientDeviation(
        ["RNN"],
        labelled("rnn_relu-three-layers", "rnn_tanh-three-layers"),
        "The same for several layers of plain cells.",
        central_differences,
    ),
    "batch-norm-gamma": GradientDeviation(
        ["BatchNorm"],
        lambda case: bool(case.reaction.changed),
        "fix_gamma leaves the caller's gamma alone; MXNet writes ones into it.",
        lambda case, recordings: replace(case.reaction, changed={}),
    ),
    "batch-norm-states": GradientDeviation(
        ["BatchNorm"],
        labelled("all-null"),
        "Moving statistics change in training, whether gradients are asked for or not; MXNet "
        "changes them where some gradient is.",
        lambda case, recordings: replace(
            case.reaction, states=recordings["requests"].reaction.states
        ),
    ),
    "gradients-are-added": GradientDeviation(
        [*words("elemwise_add mean clip reverse _split_v2 Crop LRN RNN"), *LABELLED],
        lambda case: case.label.endswith("-add"),
        "grad_req='add' adds; MXNet writes over what was there, or adds something else to it.",
        really_added,
    ),
}


def corrections(
    case: RecordedGradient, recordings: Recordings
) -> Iterator[tuple[str, Reaction, Reaction]]:
    """The rows that pick a case: a name, the reaction before it, and the one that it demands."""
    for name, row in GRADIENT_DEVIATIONS.items():
        if case.operator in row.operators and row.picks(case):
            before = case.reaction
            case = replace(case, reaction=row.instead(case, recordings))
            yield name, before, case.reaction


def corrected(case: RecordedGradient, recordings: Recordings) -> Reaction:
    """The reaction that is due: MXNet's, or what the rows demand."""
    demanded = [reaction for _, _, reaction in corrections(case, recordings)]
    return demanded[-1] if demanded else case.reaction
