"""For CPUs: a scale of each channel behind a convolution becomes a part of its kernel.

What a network in use does with its batch norms: (conv(x, kernel) - mean) * scale + shift is
conv(x, kernel * scale) + (shift - mean * scale), which passes over the images once instead of three
times. Both numbers are computed at every run, from what the arrays hold then. The shift is not made
a bias: a library would begin its sums there, and round them at that size. What is left differs by
the rounding of the kernel and of the shift; where a scale is infinite sums may become NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..expressions.expr import Expr, make, reshape
from ..expressions.walks import reader_counts, toposort
from ..foundation.dtype import FLOAT32, FLOAT64
from ..graph.trace import Graph
from ..ops.convolution import is_convolution
from .torch_patterns import Layer, between, once, with_layers

# Bytes of a result, and how many times a kernel fits into it, where the kernel's pass is much less.
LEAST, TIMES = 2**16, 4

# A step, and the numbers by which it scales or shifts channels.
Scaling = tuple[Expr, Expr]


def with_scaled_kernels(graph: Graph) -> Graph:
    """The graph with convolutions that do what scaled their channels afterwards."""
    order = toposort(graph.outputs)
    convolutions = [x for x in order if is_convolution(x) and _is_large(x)]
    if not convolutions:
        return graph
    next_of = _next_of(graph, order)
    chains = ((x, _steps(x, next_of)) for x in convolutions)
    layers = {steps[-1][0]: _layer(x, steps) for x, steps in chains if _saves_passes(steps)}
    return with_layers(graph, layers)


def _is_large(x: Expr) -> bool:
    """Whether a pass over a convolution's result is worth more than one over its kernel.

    In 16 bits kernels and shifts leave the range of numbers sooner than results do.
    """
    is_wide = x.dtype in (FLOAT32, FLOAT64)
    return is_wide and x.byte_count >= LEAST and x.size >= TIMES * x.inputs[1].size


def _saves_passes(steps: Sequence[Scaling]) -> bool:
    return len(steps) > 1 and any(step.primitive == "mul" for step, _ in steps)


def _next_of(graph: Graph, order: Sequence[Expr]) -> dict[Expr, Expr]:
    """What reads a value, of those that one expression of the first stage reads and nothing else.

    In later stages the arrays may hold something else than the convolution has read.
    """
    first = set(toposort(graph.outputs[: graph.ends[0]]))
    readers = reader_counts(order, graph.outputs)
    return {y: x for x in order if x in first for y in x.inputs if readers[y] == 1}


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
    """The convolution with a scaled kernel and bias, and the shift that is left."""
    inputs = (*x.inputs, *(numbers for _, numbers in steps))

    def call(data: Expr, *given: Expr) -> Expr:
        parameters, every = list(given[: -len(steps)]), given[-len(steps) :]
        shift: Expr | None = None
        for (step, _), numbers in zip(steps, every, strict=True):
            if step.primitive == "mul":
                parameters = [p * _of_filters(numbers, p) for p in parameters]
                shift = None if shift is None else shift * numbers
            elif shift is None:
                shift = make("neg", numbers) if step.primitive == "sub" else numbers
            else:
                shift = make(step.primitive, shift, numbers)
        result = x.on(data, *parameters)
        return result if shift is None else result + shift

    return Layer(inputs, between(steps[-1][0], inputs), call)


def _of_filters(numbers: Expr, parameter: Expr) -> Expr:
    """One number for each channel, beside a kernel or a bias, whose first axis the channels are."""
    return reshape(numbers, (numbers.size, *(1,) * (len(parameter.shape) - 1)))
