"""For CPUs: layers that torch computes in one call, found among the primitives that define them.

torch has no fused kernels on a CPU, but functions for what networks need most. They read their
input once or twice where the primitives read and write it ten times, and differ by rounding. A
layer becomes a call where nothing else needs what comes between its input and its result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch.nn import functional

from ..expressions.expr import (
    Expr,
    Shape,
    make,
    maximum,
    minimum,
    permute,
    pick,
    reduce,
    reshape,
    take,
    where,
)
from ..expressions.library import library_call
from ..expressions.operations import on_the_way
from ..expressions.reference import Step, Tensor
from ..expressions.walks import toposort
from ..foundation.dtype import FLOAT32, FLOAT64, INT64
from ..graph.trace import Graph
from ..ops.recurrent_calls import forward, forward_by_batch
from .simplify import number_of, pairs
from .torch_norms import data_gradient, norm, parameter_gradients
from .torch_patterns import (
    Layer,
    apart,
    is_near,
    layer_of,
    less_the_largest,
    library,
    once,
    softmax_of,
    summed_exponents,
    times,
    unless,
    with_layers,
    with_whole_head,
)

# Where torch's gelu of float32 begins to be wrong on some processors, and no gelu differs from its
# input or from 0. So many numbers side by side fill any processor's vectors.
_HUGE, _VECTOR = 1e18, 64
# Of how many elements, and in rows of how many, one of each is found sooner than all are compared.
_MANY, _LONG = 2**13, 32
# Bytes of logarithms that each thread computes before one of each row is read: they are in a cache.
_AT_ONCE = 2**20

Rule = Callable[[Expr], Layer | None]


def in_torch_layers(graph: Graph) -> Graph:
    """The graph with torch's calls for the layers that it has."""
    order = toposort(graph.outputs)
    primitives = {x.primitive for x in order}
    rules = {
        last: [rule for rule, part in candidates.items() if part in primitives]
        for last, candidates in _RULES.items()
    }
    layers = apart({x: found for x in order if (found := _found(x, rules))}, order, graph.outputs)
    return with_layers(graph, {**_beside(layers, order), **layers})


def _found(x: Expr, rules: Mapping[str, Sequence[Rule]]) -> list[Layer]:
    """The layers that an expression is the result of, the largest first."""
    if x.dtype not in (FLOAT32, FLOAT64):
        return []
    every = [rule(x) for rule in rules.get(x.primitive, ())]
    return [layer for layer in every if layer is not None]


def _beside(layers: Mapping[Expr, Layer], order: Sequence[Expr]) -> dict[Expr, Layer]:
    """What the calls of layers give as well, as far as it comes after what they read."""
    place = {x: n for n, x in enumerate(order)}
    return {
        x: Layer(layer.inputs, frozenset(), call)
        for layer in layers.values()
        for x, call in layer.beside.items()
        if x in place and all(place[y] < place[x] for y in layer.inputs)
    }


# ---- gelu --------------------------------------------------------------------------------------


def _probability(data: Tensor) -> Tensor:
    """That a normal number is below."""
    return torch.erf(data * math.sqrt(0.5)).add_(1).mul_(0.5)


def _of_gelu(data: Tensor) -> Tensor:
    return data * _probability(data)


def _of_slope(data: Tensor) -> Tensor:
    density = torch.exp(data * data * -0.5).mul_(1 / math.sqrt(2 * math.pi))
    return _probability(data) + data * density


def _quick_slope(data: Tensor) -> Tensor:
    slope: Tensor = torch.ops.aten.gelu_backward(torch.ones_like(data), data)
    return slope


@cache
def _is_right(
    quick: Callable[[Tensor], Tensor], exact: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> bool:
    """Whether torch's function gives what it should of huge numbers on this processor."""
    most = torch.finfo(dtype).max
    first, last = math.log10(_HUGE), math.log10(most)
    steps = torch.logspace(first, last, 2 * _VECTOR, dtype=dtype, device="cpu")
    huge = torch.cat((steps.clamp_max(most), steps.new_full((1,), math.inf)))
    numbers = torch.cat((huge, -huge)).repeat_interleave(_VECTOR)
    found, due = quick(numbers), exact(numbers)
    return bool(((found == due) | (found.isnan() & due.isnan())).all())


def _gelu_call(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    (data,) = inputs
    gelu: Any = functional.gelu  # torch's types do not know that it takes `out`
    quick = partial(gelu, data, out=out)
    if _is_right(gelu, _of_gelu, data.dtype):
        return quick
    find = partial(torch.amax, data, out=torch.empty((), dtype=data.dtype))
    # NaN is not below, either.
    return unless(lambda: not find().item() < _HUGE, quick, lambda: _of_gelu(data), out)


def _gelu_slope_call(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    head, data = inputs
    quick = partial(torch.ops.aten.gelu_backward.grad_input, head, data, grad_input=out)
    if _is_right(_quick_slope, _of_slope, data.dtype):
        return quick
    return unless(
        lambda: not all(abs(x.item()) < _HUGE for x in torch.aminmax(data)),
        quick,
        lambda: head * _of_slope(data),
        out,
    )


def _twice_probable(x: Expr) -> Iterator[Expr]:
    """The data of 1 + erf(data / sqrt(2)), twice the probability of a normal number below it."""
    for error, one in pairs(x, "add"):
        if error.primitive == "erf" and is_near(one, 1):
            yield from times(error.inputs[0], math.sqrt(0.5))


def _probable(x: Expr) -> Iterator[Expr]:
    for twice in times(x, 0.5):
        yield from _twice_probable(twice)


def _gelu(x: Expr) -> Layer | None:
    """data * (1 + erf(data / sqrt(2))) / 2, halved wherever."""
    for data, other in pairs(x, "mul"):
        halves = list(times(data, 0.5))
        if data in _probable(other) or set(halves) & set(_twice_probable(other)):
            argument = data if data in _probable(other) else halves[0]
            call = library(_gelu_call, "gelu", x, [argument], elementwise=True)
            return layer_of(x, [argument], call)
    for product in times(x, 0.5):
        for data, other in pairs(product, "mul"):
            if data in _twice_probable(other):
                call = library(_gelu_call, "gelu", x, [data], elementwise=True)
                return layer_of(x, [data], call)
    return None


def _is_density(x: Expr, data: Expr) -> bool:
    """Whether it is the density of a normal number at ``data``."""
    for power in times(x, 1 / math.sqrt(2 * math.pi)):
        if power.primitive == "exp":
            squares = times(power.inputs[0], -0.5)
            return any(y.primitive == "mul" and y.inputs == (data, data) for y in squares)
    return False


def _gelu_slope(x: Expr) -> Layer | None:
    """head * (probability + data * density)."""
    for head, slope in pairs(x, "mul"):
        for probability, rest in pairs(slope, "add"):
            for data in _probable(probability):
                if any(y is data and _is_density(d, data) for y, d in pairs(rest, "mul")):
                    given = [head, data]
                    call = library(_gelu_slope_call, "gelu_backward", x, given, elementwise=True)
                    return layer_of(x, given, with_whole_head(x.shape, call))
    return None


# ---- softmax -----------------------------------------------------------------------------------


def _softmax_call(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    return partial(torch.softmax, inputs[0], attributes, out=out)


def _log_softmax_call(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    return partial(torch.log_softmax, inputs[0], attributes, out=out)


def _softmax(x: Expr) -> Layer | None:
    found = softmax_of(x)
    shifted = None if found is None else less_the_largest(found[0])
    if found is None or shifted is None or shifted[1] != found[1]:
        return None
    data, axis = shifted
    return layer_of(x, [data], library(_softmax_call, "softmax", x, [data], axis))


def _log_softmax(x: Expr) -> Layer | None:
    shifted, logarithm = x.inputs[0], once(x.inputs[1])
    found = less_the_largest(shifted)
    if found is None or logarithm.primitive != "log":
        return None
    if summed_exponents(logarithm.inputs[0]) != (shifted, found[1]):
        return None
    data, axis = found
    return layer_of(x, [data], library(_log_softmax_call, "log_softmax", x, [data], axis))


# ---- sums of one element -----------------------------------------------------------------------


def _picked_call(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    """Row by row, but for some rows at a time: not all logarithms are needed at once."""
    data, places = inputs
    rows = max(1, _AT_ONCE // (data[0].numel() * data.itemsize))
    count = rows * torch.get_num_threads()
    memory = torch.empty(min(count, len(data)), *data.shape[1:], dtype=data.dtype)
    parts = [torch.split(x, count) for x in (data, places, out)]
    pieces = [(x, y, z, memory[: len(x)]) for x, y, z in zip(*parts, strict=True)]

    def step() -> None:
        for part, index, place, logarithms in pieces:
            torch.log_softmax(part, -1, out=logarithms)
            torch.gather(logarithms, -1, index, out=place)

    return step


def _position(x: Expr) -> int | None:
    """The axis along which an expression counts."""
    while x.primitive == "expand":
        (x,) = x.inputs
    return x.integer("axis") if x.primitive == "iota" else None


def _one(x: Expr) -> tuple[Expr, Expr, int] | None:
    """What a sum of one element of each row sums, the places of these elements, and the axis."""
    (chosen,) = x.inputs
    if chosen.primitive != "where" or number_of(chosen.inputs[2]) != 0:
        return None
    if chosen.inputs[1].shape != chosen.shape:  # one number
        return None
    found = _places_of_one(chosen.inputs[0], chosen.shape)
    if found is None or found[1] not in x.integers("axes"):
        return None
    return chosen.inputs[1], *found


def _within(places: Expr, length: int) -> Expr:
    return maximum(minimum(places, length - 1), 0)


def _sum_of_picked(x: Expr, axis: int, element: Expr, places: Expr, length: int) -> Expr:
    """The sum of one element of each row, of those rows that have the place."""
    # A sum of zeros and -0 is +0.
    kept = where(_within(places, length).equals(places), element + 0.0, 0)
    others = tuple(other for other in x.integers("axes") if other != axis)
    return reduce("sum", kept, others) if others else kept


def _places_of_one(mask: Expr, shape: Shape) -> tuple[Expr, int] | None:
    """Where a mask of some shape holds, in one place of each row at most, and the rows' axis."""
    for positions, repeated in pairs(mask, "eq"):
        axis, places = _position(positions), once(repeated)
        if axis is None or places.dtype is not INT64 or positions.shape != shape:
            continue
        if places.shape == (*shape[:axis], 1, *shape[axis + 1 :]):
            return places, axis
    return None


def _sum_of_one(x: Expr) -> Layer | None:
    """The sum of what is in one place of each row, and 0 elsewhere."""
    found = _one(x)
    if found is None:
        return None
    data, places, axis = found
    length = data.shape[axis]

    def call(data: Expr, places: Expr) -> Expr:
        element = pick(data, _within(places, length), axis)
        return _sum_of_picked(x, axis, element, places, length)

    return Layer((data, places), frozenset(x.inputs), call)


def _cross_entropy(x: Expr) -> Layer | None:
    """The same of the negative logarithms of a softmax along the last axis."""
    found = _one(x)
    if found is None or found[0].primitive != "neg":
        return None
    (logarithms,), places, axis = found[0].inputs, *found[1:]
    layer = _log_softmax(logarithms) if logarithms.primitive == "sub" else None
    if layer is None or not 0 < axis == len(logarithms.shape) - 1:
        return None
    (data,), length = layer.inputs, logarithms.shape[axis]
    operations = on_the_way([logarithms], [data])
    if less_the_largest(logarithms.inputs[0]) != (data, axis):
        return None

    def call(data: Expr, places: Expr) -> Expr:
        inputs = (data, _within(places, length))
        element = library_call(
            _picked_call, "picked", inputs, "", places.shape, data.dtype, operations=operations
        )
        return _sum_of_picked(x, axis, make("neg", element), places, length)

    return Layer((data, places), layer.inside | {logarithms, found[0], *x.inputs}, call)


# ---- one element of each row -------------------------------------------------------------------


def _less_one_call(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    data, places = inputs
    axis: int = attributes
    within, holds = torch.empty_like(places), torch.empty_like(places, dtype=torch.bool)
    ones, element = (torch.empty_like(places, dtype=out.dtype) for _ in range(2))

    def step() -> None:
        out.copy_(data)
        torch.clamp(places, 0, out.shape[axis] - 1, out=within)
        ones.copy_(torch.eq(within, places, out=holds))
        torch.sub(torch.gather(out, axis, within, out=element), ones, out=element)
        out.scatter_(axis, within, element)

    return step


def _less_one(x: Expr) -> Layer | None:
    """Less 1 in one place of each row: the others are copied, and nothing is asked of them."""
    data, ones = x.inputs
    if ones.primitive != "cast" or data.shape != x.shape or x.size < _MANY:
        return None
    found = _places_of_one(ones.inputs[0], x.shape)
    if found is None or x.shape[found[1]] < _LONG:
        return None
    given = [data, found[0]]
    call = library(_less_one_call, "less 1 in one place", x, given, found[1])
    return layer_of(x, given, call)


# ---- rows in another order ---------------------------------------------------------------------


def _moved_rows(x: Expr) -> Layer | None:
    """Rows of a table whose places are moved: they are taken from there in that order."""
    (rows,), axes = x.inputs, x.integers("axes")
    if rows.primitive != "take":
        return None
    table, places = rows.inputs
    first = rows.integer("axis")
    inner = range(first, first + len(places.shape))
    if any(axis != n for n, axis in enumerate(axes) if n not in inner):
        return None
    order = [axes[n] - first for n in inner]

    def call(table: Expr, places: Expr) -> Expr:
        return take(table, permute(places, order), first)

    return Layer((table, places), frozenset((rows,)), call)


def _states_by_batch(x: Expr) -> Layer | None:
    """Hidden states of all steps that are read batch by batch: they are stored so at once."""
    (states,), axes = x.inputs, x.integers("axes")
    call = states.inputs[0] if states.primitive == "reshape" else None
    if call is None or call.primitive != "native" or call["function"] is not forward:
        return None
    if axes != (1, 0, 2) or states.shape[:2] != call.inputs[0].shape[:2]:
        return None

    def stored(*inputs: Expr) -> Expr:
        kept = {name: value for name, value in call.attributes if name != "function"}
        return reshape(make("native", *inputs, function=forward_by_batch, **kept), x.shape)

    return Layer(call.inputs, frozenset((states, call)), stored)


# By the primitive of its result, how a layer is found, and a primitive that it has within.
_RULES: dict[str, dict[Rule, str]] = {
    "mul": {_gelu: "erf", _gelu_slope: "erf", data_gradient: "sqrt"},
    "add": {norm: "sqrt"},
    "div": {norm: "sqrt", _softmax: "exp"},
    "sub": {_log_softmax: "exp", _less_one: "iota"},
    "permute": {_moved_rows: "take", _states_by_batch: "native"},
    "sum": {_cross_entropy: "exp", _sum_of_one: "iota", parameter_gradients: "sqrt"},
}
