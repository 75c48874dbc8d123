"""Updates whose steps depend on the length of a whole weight: LAMB and LARS, for large batches."""

from __future__ import annotations

from typing import Any

from tritonsym.expressions.expr import Expr, make, maximum, minimum, reduce, reshape, where
from tritonsym.graph.op import operator, unify_shapes

from .common import in_accumulator
from .optimizer import Scalar, clipped, decayed, running_mean, scalar, scaled, sqrt, update_operator


def _squares_summed(x: Expr) -> Expr:
    return reduce("sum", x * x, range(len(x.shape)))


def sum_of_squares(x: Expr) -> Expr:
    """The sum of the squares of all elements, of shape (1,)."""
    return reshape(in_accumulator(_squares_summed, x), (1,))


def length(x: Expr) -> Expr:
    """The root of the sum of squares, of shape (1,)."""
    return reshape(in_accumulator(lambda y: make("sqrt", _squares_summed(y)), x), (1,))


@update_operator("lamb_update_phase1")
def lamb_update_phase1(
    weight: Expr,
    grad: Expr,
    mean: Expr,
    var: Expr,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-6,
    t: Scalar,
    bias_correction: bool = True,
    wd: Scalar,
    rescale_grad: Scalar = 1.0,
    clip_gradient: float = -1.0,
) -> tuple[Expr, ...]:
    """LAMB's direction: mean / (sqrt(var) + epsilon) + wd * weight, in the ``t``-th update.

    mean and var are running means of grad and of its square; ``bias_correction`` makes up for
    their beginning at zero. You et al., "Large batch optimization for deep learning", 2020.
    """
    grad = clipped(scaled(grad, rescale_grad), clip_gradient)
    mean = running_mean(mean, grad, beta1)
    var = running_mean(var, grad * grad, beta2)
    first, second = mean, var
    if bias_correction:
        first = mean / scalar(1.0 - beta1**t, weight)
        second = var / scalar(1.0 - beta2**t, weight)
    return decayed(weight, first / (sqrt(second) + epsilon), wd), mean, var


def phase2_shapes(attributes: Any, inputs: Any, outputs: Any) -> None:
    """Arrays of the weight's shape, but for the two lengths."""
    arrays = [inputs[0], inputs[1], *inputs[4:]]
    unify_shapes(attributes, arrays, outputs)
    inputs[:] = [*arrays[:2], inputs[2] or (1,), inputs[3] or (1,), *arrays[2:]]


@operator("lamb_update_phase2", shapes=phase2_shapes)
def lamb_update_phase2(
    weight: Expr,
    g: Expr,
    r1: Expr,
    r2: Expr,
    *,
    lr: Scalar,
    lower_bound: float = -1.0,
    upper_bound: float = -1.0,
) -> Expr:
    """LAMB's step: weight - lr * r1 / r2 * g, for the lengths r1 of the weight and r2 of g.

    ``r1`` is kept within bounds that are not negative; where a length is 0 the ratio is 1.
    """
    if lower_bound >= 0:
        r1 = maximum(r1, lower_bound)
    if upper_bound >= 0:
        r1 = minimum(r1, upper_bound)
    zero = r1.equals(0.0).logical_or(r2.equals(0.0))
    ratio = where(zero, 1.0, r1 / r2)
    return weight - g * (ratio * scalar(lr, weight))


def trust_ratio(
    weight: Expr, grad: Expr, *, eta: float, epsilon: float, wd: Scalar, rescale_grad: Scalar
) -> Expr:
    """LARS's factor of the learning rate: eta * |weight| / (|grad| + wd * |weight| + epsilon).

    ``grad`` is scaled and not cut. Where a length is 0 the factor is 1. You, Gitman and Ginsburg,
    "Large batch training of convolutional networks", 2017.
    """
    own, slope = length(weight), length(scaled(grad, rescale_grad))
    ratio = own * eta / (decayed(own, slope, wd) + epsilon)
    return where(own.equals(0.0).logical_or(slope.equals(0.0)), 1.0, ratio)
