"""Optimizers beside the usual ones: variants of Adam, and methods for particular settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...expressions.expr import Expr, make, maximum, reduce, where
from ...ndarray.core import NDArray
from ...ndarray.create import zeros
from ...ops import optimizer as formulas
from ...ops.common import in_accumulator
from ...ops.creation import random_normal
from .base import Optimizer, Rates, registry, zeros_like
from .methods import Adam
from .update import State

# Random numbers of updates are apart from those of a network, which count from 0.
FIRST_STREAM = 1 << 20


@registry.register()
class FTML(Optimizer):
    """Follow the moving leader.

    Args:
        beta1, beta2: what the running means of gradients and of their squares keep.
        epsilon: added to the root of the mean of squares.
        kwargs: of :class:`Optimizer`.
    """

    def __init__(
        self, beta1: float = 0.6, beta2: float = 0.999, epsilon: float = 1e-8, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The states d, v and z of the operator ``ftml_update``."""
        return zeros_like(weight), zeros_like(weight), zeros_like(weight)

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        return formulas.ftml_update(
            weight,
            grad,
            *states,
            lr=rates.lr,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            t=rates.count,
            wd=rates.wd,
            rescale_grad=rates.rescale_grad,
            clip_grad=self.clip_limit,
        )


@registry.register()
class Adamax(Optimizer):
    """Adam with the largest of past gradients in place of the root of their mean square.

    An element whose gradients were all 0 stays. Kingma and Ba, "Adam: A method for stochastic
    optimization", 2015, section 7.

    Args:
        learning_rate: about the size of a step.
        beta1, beta2: what the running mean and the running maximum keep.
        kwargs: of :class:`Optimizer`.
    """

    def __init__(
        self,
        learning_rate: float = 0.002,
        beta1: float = 0.9,
        beta2: float = 0.999,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1 = beta1
        self.beta2 = beta2

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The running mean, and the running maximum."""
        return zeros_like(weight), zeros_like(weight)

    def corrected(self, rates: Rates) -> Rates:
        """A learning rate that makes up for a running mean that began at zero."""
        return replace(rates, lr=rates.lr / (1.0 - self.beta1**rates.count))

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        grad = formulas.decayed_and_cut(weight, grad, rates.wd, rates.rescale_grad, self.clip_limit)
        mean = formulas.running_mean(states[0], grad, self.beta1)
        largest = maximum(states[1] * self.beta2, make("abs", grad))
        direction = where(mean.equals(0.0), 0.0, mean / largest)
        return weight - direction * formulas.scalar(rates.lr, weight), mean, largest


@registry.register()
class Nadam(Adam):
    """Adam with Nesterov's momentum, which grows from step to step.

    Dozat, "Incorporating Nesterov momentum into Adam", 2016.

    Args:
        learning_rate, beta1, beta2, epsilon: as for :class:`Adam`.
        schedule_decay: how fast the momentum grows to ``beta1``.
        kwargs: of :class:`Optimizer`.
    """

    own_count = 3

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        schedule_decay: float = 0.004,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon, **kwargs)
        self.schedule_decay = schedule_decay

    def _momentum(self, count: int) -> float:
        return self.beta1 * (1.0 - 0.5 * math.pow(0.96, count * self.schedule_decay))

    def _factors(self, count: int) -> tuple[float, float, float]:
        """Those of the gradient, of its running mean, and of the mean of squares."""
        product, following = 1.0, self._momentum(count + 1)
        for past in range(1, count + 1):
            product *= self._momentum(past)
            if abs(product) < 1e-30:  # what is subtracted from 1 below is nothing from here on
                break
        return (
            (1.0 - self._momentum(count)) / (1.0 - product),
            following / (1.0 - product * following),
            1.0 / (1.0 - math.pow(self.beta2, count)),
        )

    def own_rates(self, indices: Sequence[Any]) -> list[list[float]]:
        """The three factors for each weight."""
        counts = [self._index_update_count[index] for index in indices]
        known = {count: self._factors(count) for count in set(counts)}
        return [[known[count][kind] for count in counts] for kind in range(self.own_count)]

    def corrected(self, rates: Rates) -> Rates:
        """The rates as they are: the factors correct what the running means lack."""
        return rates

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        present, past, square = (formulas.scalar(number, weight) for number in rates.own)
        grad = formulas.decayed_and_cut(weight, grad, rates.wd, rates.rescale_grad, self.clip_limit)
        mean = formulas.running_mean(states[0], grad, self.beta1)
        var = formulas.running_mean(states[1], grad * grad, self.beta2)
        step = (grad * present + mean * past) * formulas.scalar(rates.lr, weight)
        return weight - step / (formulas.sqrt(var * square) + self.epsilon), mean, var


@registry.register()
class DCASGD(Optimizer):
    """Gradient descent that makes up for gradients of a weight that has changed since.

    Zheng et al., "Asynchronous stochastic gradient descent with delay compensation", 2017.

    Args:
        momentum: the part of the last step that the next one keeps.
        lamda: how much of the delay is made up for.
        kwargs: of :class:`Optimizer`.
    """

    def __init__(self, momentum: float = 0.0, lamda: float = 0.04, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum
        self.lamda = lamda

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The last step, where it is kept, and the weight before it."""
        return None if self.momentum == 0.0 else zeros_like(weight), weight.copy()

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        *last, before = states
        grad = formulas.clipped(formulas.scaled(grad, rates.rescale_grad), self.clip_limit)
        delay = grad * grad * (weight - before) * self.lamda
        direction = formulas.decayed(weight, grad, rates.wd) + delay
        step = -direction * formulas.scalar(rates.lr, weight)
        steps = [old * self.momentum + step for old in last]
        return weight + (steps[0] if steps else step), *steps, weight


@registry.register()
class SGLD(Optimizer):
    """Gradient descent with noise, whose weights are samples of their distribution.

    weight - lr / 2 * grad + sqrt(lr) * noise. Patterson and Teh, "Stochastic gradient Riemannian
    Langevin dynamics on the probability simplex", 2013.
    """

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        grad = formulas.cut_and_decayed(weight, grad, rates.wd, rates.rescale_grad, self.clip_limit)
        lr = rates.lr
        noise = random_normal(
            shape=weight.shape, dtype=weight.dtype, stream=FIRST_STREAM + rates.place
        )
        assert isinstance(lr, Expr) and isinstance(noise, Expr)
        return (weight - grad * (lr * 0.5) + noise * formulas.sqrt(lr),)


@registry.register()
class GroupAdaGrad(Optimizer):
    """AdaGrad with one rate for each row of a matrix, such as those of embedded words.

    There is no decay.

    Args:
        eps: added to the sum of mean squares.
        kwargs: of :class:`Optimizer`.

    Raises:
        AssertionError: ``wd`` is not 0.
    """

    def __init__(self, eps: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        assert self.wd == 0, "Weight decay is not supported for GroupAdaGrad"
        self.float_stable_eps = eps

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The sum of the mean squares of each row.

        Raises:
            AssertionError: the weight is no matrix.
        """
        assert len(weight.shape) == 2, f"GroupAdaGrad needs a matrix, the weight is {weight.shape}"
        return zeros((weight.shape[0], 1), weight.context, weight.dtype)

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        grad = formulas.clipped(formulas.scaled(grad, rates.rescale_grad), self.clip_limit)
        columns = float(weight.shape[1])

        def mean_squares(x: Expr) -> Expr:
            return reduce("sum", x * x, (1,)) / columns

        history = states[0] + in_accumulator(mean_squares, grad)
        step = grad * formulas.scalar(rates.lr, weight)
        return weight - step / formulas.sqrt(history + self.float_stable_eps), history


@registry.register()
class Test(Optimizer):
    """Adds the gradient to the weight, and keeps a copy: for tests of what calls optimizers."""

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The copy."""
        return zeros_like(weight)

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        new = weight + formulas.scaled(grad, rates.rescale_grad)
        return new, new
