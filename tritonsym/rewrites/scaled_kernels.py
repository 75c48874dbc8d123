"""For CPUs: a scale and a shift of each channel behind a convolution become a part of it.

What a network in use does with its batch norms: (conv(x, kernel) - mean) * scale + shift is
conv(x, kernel * scale) with the bias shift - mean * scale. The kernel is small where images are
large, and a library adds the bias on the way. Both are computed at every run, from what the arrays
hold then. The result differs by rounding, as a convolution's own sums do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ..expressions.expr import Expr, make, reshape, toposort
from ..graph.trace import Graph
from ..ops.convolution import is_convolution
from .torch_patterns import Layer, between, once, with_layers

# An expression, and what it reads beside the one before it.
Scaling = tuple[Expr, Expr]


def with_scaled_kernels(graph: Graph) -> Graph:
    """The graph with convolutions that do what scaled and shifted their channels afterwards."""
    order = toposort(graph.outputs)
    convolutions = [x for x in order if is_convolution(x)]
    if not convolutions:
        return graph
    next_of = _next_of(graph, order)
    chains = ((x, _steps(x, next_of)) for x in convolutions if _is_light(x))
    return with_layers(
        graph, {steps[-1][0]: _layer(x, steps) for x, steps in chains if len(steps) > 1}
    )


def _next_of(graph: Graph, order: Sequence[Expr]) -> dict[Expr, Expr]:
    """What reads a value, of those that one expression of the first stage reads and nothing else.

    In later stages the arrays may hold something else than the convolution has read.
    """
    first = set(toposort(graph.outputs[: graph.ends[0]]))
    readers = Counter(y for x in order for y in {*x.inputs})
    readers.update(graph.outputs)
    return {y: x for x in order if x in first for y in x.inputs if readers[y] == 1}


def _is_light(x: Expr) -> bool:
    """Whether a pass over a convolution's kernel is no longer than one over its result."""
    return x.inputs[1].size <= x.size


def _steps(x: Expr, next_of: Mapping[Expr, Expr]) -> list[Scaling]:
    """The steps after a convolution that scale and shift its channels."""
    steps: list[Scaling] = []
    while x in next_of and (numbers := _numbers(next_of[x], x)) is not None:
        x = next_of[x]
        steps.append((x, numbers))
    return steps


def _numbers(step: Expr, x: Expr) -> Expr | None:
    """The numbers by which a step scales or shifts each channel of ``x``, if it does that."""
    if step.primitive not in ("add", "sub", "mul"):
        return None
    first, second = step.inputs
    other = second if first is x or step.primitive == "sub" else first
    of_channels = (1, x.shape[1], *(1,) * (len(x.shape) - 2))
    return once(other) if other is not x and once(other).shape == of_channels else None


def _layer(x: Expr, steps: Sequence[Scaling]) -> Layer:
    """The convolution that does the steps as well."""
    inputs = (*x.inputs, *(numbers for _, numbers in steps))

    def call(data: Expr, weight: Expr, *given: Expr) -> Expr:
        biases, every = given[: -len(steps)], given[-len(steps) :]
        bias = biases[0] if biases else None
        for (step, _), numbers in zip(steps, every, strict=True):
            number = reshape(numbers, (numbers.size,))
            if step.primitive == "mul":
                bias = None if bias is None else bias * number
                weight = weight * reshape(number, (number.size, *(1,) * (len(weight.shape) - 1)))
            elif bias is None:
                bias = make("neg", number) if step.primitive == "sub" else number
            else:
                bias = make(step.primitive, bias, number)
        kernel = (weight,) if bias is None else (weight, bias)
        return make("native", data, *kernel, **dict(x.attributes))

    return Layer(inputs, between(steps[-1][0], inputs), call)
