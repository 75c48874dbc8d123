"""For CPUs: layer norm and its gradients in torch's calls.

Where nothing else needs the means and deviations of the rows, a layer norm is one call in the
graph. Where its gradients do, these are calls that read them, and the layer norm becomes a call
that gives all three, in the kernel whose expressions say the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch

from ..expressions.expr import VIEWS, Expr, broadcast, narrow, reshape
from ..expressions.library import library_call
from ..expressions.operations import on_the_way
from ..expressions.reference import Step, Tensor
from ..foundation.dtype import FLOAT32, FLOAT64
from ..foundation.handover import putting
from .simplify import (
    behind_views,
    number_of,
    pairs,
)
from .torch_patterns import (
    PART,
    Layer,
    between,
    is_near,
    layer_of,
    library,
    once,
    times,
    unless,
    with_whole_head,
)

# torch multiplies by the third power of 1 / deviation, which must be a normal number.
_LEAST, _MOST = 1e-12, 1e12
# Rows that are added up one after the other: the sums of more are added up in the end.
_ROWS = 4096

T = TypeVar("T")

_backward: Callable[..., Sequence[Tensor]] = torch.ops.aten.native_layer_norm_backward.default


# ---- what is normalised ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Normal:
    """Rows less their mean, over sqrt(variance + epsilon).

    Attributes:
        data: an array of rows.
        axes: how many last axes are a row.
        mean, deviation: one element for each row.
    """

    data: Expr
    axes: int
    epsilon: float
    mean: Expr
    deviation: Expr


def _mean(x: Expr) -> tuple[Expr, int] | None:
    """What an expression is the mean of, and over how many axes: the last ones but not all."""
    for total in (data for data, _ in pairs(x, "mul") if data.primitive == "sum"):
        (data,), axes = total.inputs, total.integers("axes")
        count = math.prod(data.shape[axis] for axis in axes)
        last = tuple(range(max(1, len(data.shape) - len(axes)), len(data.shape)))
        if total in times(x, 1 / count) and tuple(sorted(axes)) == last:
            return data, len(axes)
    return None


def _normal(centred: Expr, deviation: Expr) -> _Normal | None:
    """What is normalised, where one expression is data - mean and one is its deviation."""
    if centred.primitive != "sub" or deviation.primitive != "sqrt":
        return None
    data, mean = centred.inputs[0], once(centred.inputs[1])
    of_mean = _mean(mean)
    for variance, epsilon in pairs(deviation.inputs[0], "add"):
        number, of_variance = number_of(epsilon), _mean(variance)
        if number is not None and of_mean is not None and of_variance is not None:
            squares, axes = of_variance
            is_square = squares.primitive == "mul" and squares.inputs == (centred, centred)
            if is_square and of_mean == (data, axes):
                return _Normal(data, axes, number, mean, deviation)
    return None


def _quotient(x: Expr) -> _Normal | None:
    """What is normalised by (data - mean) / deviation."""
    return _normal(x.inputs[0], once(x.inputs[1])) if x.primitive == "div" else None


def _inverse(x: Expr) -> Expr | None:
    """What an expression is 1 divided by."""
    return x.inputs[1] if x.primitive == "div" and is_near(x.inputs[0], 1) else None


def _product(x: Expr) -> _Normal | None:
    """What is normalised by (data - mean) * (1 / deviation), as gradients have it."""
    for centred, factor in pairs(x, "mul"):
        deviation = _inverse(once(factor))
        found = None if deviation is None else _normal(centred, deviation)
        if found is not None:
            return found
    return None


def _is_shared(x: Expr, shape: Sequence[int], axes: int) -> bool:
    """Whether all rows have the same: as many elements as one row, repeated."""
    rows = len(shape) - axes
    return once(x).shape == (*(1,) * rows, *shape[rows:])


def _scaled(x: Expr) -> tuple[_Normal, tuple[Expr, ...]] | None:
    """What is normalised, and the scale and the shift that all rows share, if it has them."""
    found = _quotient(x)
    if found is not None:
        return found, ()
    for product, shift in pairs(x, "add"):
        for quotient, scale in pairs(product, "mul"):
            found = _quotient(quotient)
            if found is not None and all(
                _is_shared(y, x.shape, found.axes) for y in (scale, shift)
            ):
                return found, (scale, shift)
    return None


# ---- the layer alone ---------------------------------------------------------------------------


def _parameters(tensors: Sequence[Tensor], row: Sequence[int], like: Tensor) -> list[Tensor]:
    """Scale and shift: torch's loop for rows that have none is several times slower."""
    if tensors:
        return [x.reshape(row) for x in tensors]
    return [torch.ones(row, dtype=like.dtype), torch.zeros(row, dtype=like.dtype)]


def _placed(call: Callable[..., Tensor], inputs: Sequence[Tensor], out: Tensor) -> Step:
    """A call that cannot write to a place: small results are handed over, large ones are copied.

    Args:
        call: from some rows of each input to those of the result.
    """
    if out.nbytes <= PART:
        return putting(call, inputs, out)
    count = max(1, PART // (out[0].numel() * out.itemsize))
    parts = list(zip(*(torch.split(x, count) for x in (*inputs, out)), strict=True))

    def step() -> None:
        for *part, place in parts:
            place.copy_(call(*part))

    return step


def _norm_call(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    axes, epsilon = attributes
    data, *given = inputs
    row = data.shape[data.ndim - axes :]
    scale, shift = _parameters(given, row, data)
    return _placed(lambda x: torch.layer_norm(x, row, scale, shift, epsilon), [data], out)


def norm(x: Expr) -> Layer | None:
    """(data - mean) / sqrt(variance + epsilon), and that times a scale plus a shift."""
    found = _scaled(x)
    if found is None:
        return None
    normal, parameters = found
    inputs = [normal.data, *map(once, parameters)]
    call = library(_norm_call, "layer_norm", x, inputs, (normal.axes, normal.epsilon))
    return layer_of(x, inputs, call)


# ---- the layer with its means and deviations ---------------------------------------------------


@dataclass(frozen=True)
class Norm:
    """A layer norm in a kernel whose means and deviations are read as well.

    Attributes:
        result: of the layer.
        normal: what is normalised, with its means and deviations.
        parameters: scale and shift, repeated for all rows, or none.
        inside: the expressions that the call takes the place of.
    """

    result: Expr
    normal: _Normal
    parameters: tuple[Expr, ...]
    inside: frozenset[Expr]

    def prepare(self, part: Callable[[Expr], Tensor]) -> Step:
        """The call on the memory of all of it, or of a tile.

        All is read before anything is written: the results may lie where the data was.
        """
        data, mean, deviation = map(
            part, (self.normal.data, self.normal.mean, self.normal.deviation)
        )
        result = part(self.result)
        rows = data.ndim - self.normal.axes
        row = data.shape[rows:]
        scale, shift = _parameters([part(x)[(0,) * rows] for x in self.parameters], row, data)

        def layer(x: Tensor) -> Tensor:
            found, means, inverse = torch.native_layer_norm(
                x, row, scale, shift, self.normal.epsilon
            )
            mean.copy_(means)
            torch.reciprocal(inverse, out=deviation)
            return found

        return putting(layer, [data], result)


def with_norms(work: Sequence[Expr | T], outputs: Collection[Expr]) -> list[Expr | T | Norm]:
    """The work of a kernel, with calls instead of the expressions that they take the place of.

    Args:
        work: expressions, inputs first, and calls that stand for others.
        outputs: what of it is read elsewhere.
    """
    found: list[Expr | T | Norm] = list(work)
    for x in reversed(work):  # a scaled one before its normal form
        layer = _in_kernel(x) if isinstance(x, Expr) else None
        begin = None if layer is None else _place(layer, found, outputs)
        if layer is not None and begin is not None:
            found[begin : begin + len(layer.inside)] = [layer]
    return found


def _in_kernel(x: Expr) -> Norm | None:
    found = _scaled(x) if x.dtype in (FLOAT32, FLOAT64) else None
    if found is None:
        return None
    normal, parameters = found
    inside = between(x, [normal.data, *parameters])
    computed = {y for y in inside if y.primitive not in VIEWS}
    return Norm(x, normal, parameters, frozenset((x, *computed)))


def _place(layer: Norm, work: Sequence[object], outputs: Collection[Expr]) -> int | None:
    """Where a layer begins in a kernel that has it in one piece, and needs nothing else of it."""
    places = [n for n, x in enumerate(work) if x in layer.inside]
    if len(places) != len(layer.inside) or places[-1] - places[0] >= len(places):
        return None
    results = {layer.result, layer.normal.mean, layer.normal.deviation}
    others = (x for x in work if isinstance(x, Expr) and x not in layer.inside)
    read = {behind_views(y) for x in others for y in x.inputs} | set(outputs)
    made = {behind_views(y) for y in layer.parameters}
    if read & (layer.inside - results) or made & {x for x in work if isinstance(x, Expr)}:
        return None
    return places[0]


# ---- gradients ---------------------------------------------------------------------------------


def _data_gradient_call(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    head, data, mean, deviation, *given = inputs
    row = data.shape[data.ndim - attributes :]
    scale, _ = _parameters(given * 2, row, data)
    inverse = torch.empty(mean.shape, dtype=mean.dtype)
    axes = tuple(range(data.ndim - attributes, data.ndim))
    lowest, highest = (torch.empty((), dtype=data.dtype) for _ in range(2))

    def is_extreme() -> bool:
        torch.aminmax(deviation, out=(lowest, highest))
        # NaN is not above or below, either.
        return not (lowest.item() > _LEAST and highest.item() < _MOST)

    def gradient(slope: Tensor, part: Tensor, means: Tensor, factors: Tensor) -> Tensor:
        found, _, _ = _backward(slope, part, row, means, factors, scale, None, (True, False, False))
        return found

    placed = _placed(gradient, [head, data, mean, inverse], out)

    def quick() -> None:
        torch.reciprocal(deviation, out=inverse)
        placed()

    def exact() -> Tensor:
        factor, slope = deviation.reciprocal(), head * scale
        normal = (data - mean) * factor
        share = (slope * normal).mean(axes, keepdim=True)
        return (slope - slope.mean(axes, keepdim=True) - normal * share) * factor

    return unless(is_extreme, quick, exact, out)


@dataclass(frozen=True)
class _Gradient:
    """The gradient of what is normalised, from the one of its normal form.

    Attributes:
        normal: what is normalised.
        form: its normal form.
        factor: 1 / deviation, repeated.
        gradient: of the normal form.
    """

    normal: _Normal
    form: Expr
    factor: Expr
    gradient: Expr


def _through_moments(x: Expr) -> _Gradient | None:
    """x = (gradient - mean(gradient) - form * mean(gradient * form)) * factor."""
    for rest, factor in pairs(x, "mul"):
        if rest.primitive != "sub" or rest.inputs[0].primitive != "sub":
            continue
        gradient, mean = rest.inputs[0].inputs
        for form, share in pairs(rest.inputs[1], "mul"):
            normal, of_share = _product(form), _mean(once(share))
            if normal is None or of_share is None or _inverse(once(factor)) is not normal.deviation:
                continue
            product, axes = of_share
            is_product = any(y is gradient and z is form for y, z in pairs(product, "mul"))
            if is_product and axes == normal.axes and _mean(once(mean)) == (gradient, axes):
                return _Gradient(normal, form, factor, gradient)
    return None


def data_gradient(x: Expr) -> Layer | None:
    """The gradient of what is normalised, whose normal form may be scaled."""
    found = _through_moments(x)
    if found is None:
        return None
    normal = found.normal
    inputs = [found.gradient, normal.data, normal.mean, normal.deviation]
    for head, scale in pairs(found.gradient, "mul"):
        if _is_shared(scale, x.shape, normal.axes):
            inputs = [head, *inputs[1:], once(scale)]
            break
    # Whoever else needs the normal form computes it.
    inside = between(x, [*inputs, found.form, found.factor])
    call = library(_data_gradient_call, "layer_norm_backward", x, inputs, normal.axes)
    return Layer(tuple(inputs), inside, with_whole_head(x.shape, call))


def _parameter_gradients_call(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    """The gradients of scale and shift, one after the other."""
    data = inputs[1]
    rows = data.ndim - attributes
    row = data.shape[rows:]
    count = max(1, _ROWS // math.prod(data.shape[1:rows]))
    like = torch.ones(row, dtype=out.dtype)

    def gradients(tensors: Sequence[Tensor], of_scale: Tensor, of_shift: Tensor) -> None:
        head, part, mean, deviation = tensors
        inverse = deviation.reciprocal()
        _, scale, shift = _backward(head, part, row, mean, inverse, like, like, (False, True, True))
        of_scale.copy_(scale)
        of_shift.copy_(shift)

    if len(data) <= count:
        return partial(gradients, inputs, *out)
    parts = list(zip(*(torch.split(x, count) for x in inputs), strict=True))
    sums = torch.empty(len(parts), *out.shape, dtype=out.dtype)
    steps = [partial(gradients, x, *y) for x, y in zip(parts, sums, strict=True)]

    def step() -> None:
        for one in steps:
            one()
        torch.sum(sums, 0, out=out)

    return step


def _of_scale(x: Expr) -> tuple[Expr, Expr, _Normal] | None:
    """The gradient of a layer and the normal form, whose products are summed over all rows."""
    for head, form in pairs(x.inputs[0], "mul"):
        normal = _product(form)
        if normal is not None:
            rows = len(form.shape) - normal.axes
            if tuple(sorted(x.integers("axes"))) == tuple(range(rows)):
                return head, form, normal
    return None


def parameter_gradients(x: Expr) -> Layer | None:
    """The gradient of the scale that all rows share, and beside it that of the shift."""
    found = _of_scale(x)
    if found is None:
        return None
    head, form, normal = found
    inputs = (head, normal.data, normal.mean, normal.deviation)
    shape = (2, *form.shape[len(form.shape) - normal.axes :])

    def part(number: int, head: Expr, *others: Expr) -> Expr:
        given = (broadcast(head, form.shape), *others)
        both = library_call(
            _parameter_gradients_call,
            "layer_norm_backward",
            given,
            normal.axes,
            shape,
            x.dtype,
            operations=operations,
        )
        return reshape(narrow(both, 0, number, number + 1), x.shape)

    of_shift = x.on(head)
    operations = on_the_way([x, of_shift], inputs)
    inside = between(x, [*inputs, form])
    return Layer(inputs, inside, partial(part, 0), {of_shift: partial(part, 1)})
