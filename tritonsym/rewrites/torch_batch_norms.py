"""For CPUs: batch norm in torch's call, alone or on a convolution's result before that is stored.

torch goes through the images once, where the primitives go through them three times. What it
returns of a convolution lies in memory of its own: it is normalised on the way to its place,
instead of being copied there and normalised in a second pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from ..expressions.expr import Expr
from ..expressions.library import Returned
from ..expressions.reference import Step, Tensor
from .simplify import number_of, pairs
from .torch_patterns import Layer, inverse_of, layer_of, library, once


def _norm(given: Sequence[Tensor], epsilon: float, out: Tensor) -> Callable[[Tensor], object]:
    """(data - mean) / sqrt(variance + epsilon) * scale + shift, from the data into ``out``.

    Args:
        given: mean, variance, shift and perhaps a scale, of each channel.
    """
    mean, variance, shift, *scales = (x.view(-1) for x in given)
    scale = scales[0] if scales else torch.ones_like(mean)
    besides = torch.empty(0, dtype=out.dtype)  # the batch's own numbers, which it has in training
    is_dense = out.is_contiguous() or out.is_contiguous(memory_format=torch.channels_last)

    def write(place: Tensor, data: Tensor) -> None:
        results = (place, besides, besides)
        torch.native_batch_norm(
            data, scale, shift, mean, variance, False, 0.0, epsilon, out=results
        )

    def step(data: Tensor) -> None:
        # Of a result in any other order torch leaves parts as they were.
        if data.stride() == out.stride() and is_dense:
            write(out, data)
        else:
            dense = torch.empty_like(data, memory_format=torch.contiguous_format)
            write(dense, data.contiguous())
            out.copy_(dense)

    return step


def _norm_call(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    data, *given = inputs
    return partial(_norm(given, attributes, out), data)


def _after_call(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    function, of_function, count, epsilon = attributes
    compute = function.prepare(of_function, inputs[:count], out)
    norm = _norm(inputs[count:], epsilon, out)
    return lambda: norm(compute())


def _scales(x: Expr) -> Iterator[tuple[Expr, tuple[Expr, ...]]]:
    """1 / deviation and what it is multiplied by, if by anything, where a product is the two."""
    yield x, ()
    yield from ((inverse, (scale,)) for inverse, scale in pairs(x, "mul"))


def _normal(x: Expr) -> tuple[Expr, list[Expr], float] | None:
    """Data, the numbers of its channels and epsilon: mean, variance, shift and perhaps a scale."""
    of_channels = (1, *x.shape[1:2], *(1 for _ in x.shape[2:]))
    for product, shift in pairs(x, "add"):
        for centred, factor in pairs(product, "mul"):
            if centred.primitive != "sub" or centred.inputs[0].shape != x.shape:
                continue
            data, mean = centred.inputs
            for inverse, scale in _scales(once(factor)):
                deviation = inverse_of(inverse)
                if deviation is None or deviation.primitive != "sqrt":
                    continue
                for variance, epsilon in pairs(deviation.inputs[0], "add"):
                    numbers = [once(y) for y in (mean, variance, shift, *scale)]
                    number = number_of(epsilon)
                    if number is not None and all(y.shape == of_channels for y in numbers):
                        return data, numbers, number
    return None


def batch_norm(x: Expr) -> Layer | None:
    """(data - mean) * (scale / sqrt(variance + epsilon)) + shift, by the numbers of channels."""
    found = _normal(x)
    if found is None or len(x.shape) < 2:
        return None
    data, numbers, epsilon = found
    inputs = [data, *numbers]
    # Where the data's channels lie last, so do the result's.
    call = library(_norm_call, "batch_norm", x, inputs, epsilon, channels_last=True)
    return layer_of(x, inputs, call)


def after_convolution(x: Expr) -> Layer | None:
    """The same of the result of a call that returns it."""
    found = _normal(x)
    if found is None:
        return None
    call, numbers, epsilon = found
    function = call["function"] if call.primitive == "native" else None
    if not isinstance(function, Returned):
        return None
    inputs = [*call.inputs, *numbers]
    attributes = (function, call["attributes"], len(call.inputs), epsilon)
    name, last = f"{call['name']}, batch_norm", bool(call["channels_last"])
    together = library(_after_call, name, x, inputs, attributes, channels_last=last)
    return layer_of(x, inputs, together)
