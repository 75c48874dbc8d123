"""Optimizers for large batches, whose steps are in proportion to the lengths of weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...expressions.expr import Expr, maximum, minimum, where
from ...ndarray.core import NDArray
from ...ops import optimizer as gradient_descent
from ...ops import optimizer_layers as formulas
from .base import Optimizer, Rates, registry, zeros_like
from .update import State


@registry.register()
class LAMB(Optimizer):
    """Adam's direction, with a step in proportion to the weight's length.

    Args:
        learning_rate: the step as a part of the weight's length.
        beta1, beta2, epsilon: as for :class:`Adam`.
        lower_bound, upper_bound: between which the weight's length is kept.
        bias_correction: make up for running means that begin at zero.
        kwargs: of :class:`Optimizer`.
    """

    aggregate_num = 45

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        lower_bound: float | None = None,
        upper_bound: float | None = None,
        bias_correction: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.lower_bound = lower_bound
        self.upper_bound = upper_bound
        self.bias_correction = bias_correction

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The running means."""
        return zeros_like(weight), zeros_like(weight)

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        direction, *means = formulas.lamb_update_phase1(
            weight,
            grad,
            *states,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            t=rates.count,
            bias_correction=self.bias_correction,
            **self.common(rates),
        )
        new = formulas.lamb_update_phase2(
            weight,
            direction,
            formulas.length(weight),
            formulas.length(direction),
            lr=rates.lr,
            lower_bound=-1.0 if self.lower_bound is None else self.lower_bound,
            upper_bound=-1.0 if self.upper_bound is None else self.upper_bound,
        )
        assert isinstance(new, Expr)
        return new, *means


@registry.register()
class LARS(Optimizer):
    """Gradient descent with a rate in proportion to the weight's length over the gradient's.

    Parameters whose names end in ``gamma``, ``beta`` or ``bias`` have the rate as it is.

    Args:
        momentum: the part of the last step that the next one keeps.
        lazy_update: accepted for MXNet's sake; it concerns sparse gradients.
        eta: the factor of the rate.
        eps: added to the gradient's length.
        momentum_correction: whether what is kept changes as the learning rate does from one update
            of a weight to the next, as in Goyal et al., "Accurate, large minibatch SGD", 2017.
        kwargs: of :class:`Optimizer`.
    """

    copy_is_last = True
    aggregate_num = 4
    asks_for_all = True
    own_count = 2
    decaying = ("_weight",)

    def __init__(
        self,
        momentum: float = 0.0,
        lazy_update: bool = True,
        eta: float = 0.001,
        eps: float = 0,
        momentum_correction: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum
        self.lazy_update = lazy_update
        self.eta = eta
        self.eps = eps
        self.momentum_correction = momentum_correction
        self._last_lrs: dict[Any, float] = {}

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The last step, where it is kept."""
        return None if self.momentum == 0.0 else zeros_like(weight)

    def own_rates(self, indices: Sequence[Any]) -> list[list[float]]:
        """The momentum of each weight, and whether its rate depends on lengths."""
        lr, momenta = self.learning_rate, []
        for index in indices:
            last = self._last_lrs.get(index, lr)
            corrected = self.momentum_correction and last != 0
            momenta.append(self.momentum * lr / last if corrected else self.momentum)
            self._last_lrs[index] = lr
        names = [self.idx2name.get(index, str(index)) for index in indices]
        return [momenta, [float(not n.endswith(("gamma", "beta", "bias"))) for n in names]]

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        momentum, by_length = (gradient_descent.scalar(number, weight) for number in rates.own)
        ratio = formulas.trust_ratio(
            weight, grad, eta=self.eta, epsilon=self.eps, wd=rates.wd,
            rescale_grad=rates.rescale_grad,
        )  # fmt: skip
        lr = gradient_descent.scalar(rates.lr, weight)
        assert isinstance(by_length, Expr)
        lr = where(by_length.differs(0.0), ratio * lr, lr)
        given = {**self.common(rates), "lr": lr}
        if not states:
            return gradient_descent.sgd_update(weight, grad, **given)
        return gradient_descent.sgd_mom_update(weight, grad, *states, momentum=momentum, **given)


@registry.register()
class LBSGD(Optimizer):
    """Gradient descent on the mean gradient of several batches, with a rate that warms up.

    Args:
        momentum: the part of the last step that the next one keeps.
        multi_precision: keep float32 copies of weights of 16 bits.
        warmup_strategy: how the rate grows to ``batch_scale`` times itself: ``linear``, ``power2``
            or ``sqrt``; with ``lars`` it is in proportion to the weight's length over the
            gradient's instead, and with anything else it stays.
        warmup_epochs, updates_per_epoch: how long it grows.
        batch_scale: how many batches make up one step; only the last of them changes the weight.
        begin_epoch: how many epochs there were already.
        num_epochs: accepted for MXNet's sake.
        kwargs: of :class:`Optimizer`.

    Raises:
        ValueError: ``batch_scale`` is below 1, or no int.
    """

    copy_is_last = True
    own_count = 2

    def __init__(
        self,
        momentum: float = 0.0,
        multi_precision: bool = False,
        warmup_strategy: str = "linear",
        warmup_epochs: int = 5,
        batch_scale: int = 1,
        updates_per_epoch: int = 32,
        begin_epoch: int = 0,
        num_epochs: int = 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(multi_precision=multi_precision, **kwargs)
        if not isinstance(batch_scale, int) or batch_scale < 1:
            raise ValueError(f"{batch_scale=} must be a number of batches: an int of at least 1")
        self.momentum = momentum
        self.warmup_strategy = warmup_strategy
        self.warmup_epochs = warmup_epochs
        self.batch_scale = batch_scale
        self.updates_per_epoch = updates_per_epoch
        self.init_updates = begin_epoch * updates_per_epoch
        self.num_epochs = num_epochs

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The last step, where it is kept; then the sum of gradients, where there are several."""
        last = None if self.momentum == 0.0 else zeros_like(weight)
        return last if self.batch_scale == 1 else (last, zeros_like(weight))

    def own_rates(self, indices: Sequence[Any]) -> list[list[float]]:
        """Whether the gradients are complete, and the factor of the rate."""
        batches = [
            self.init_updates + self._index_update_count[index] - self.begin_num_update
            for index in indices
        ]
        return [
            [float(count % self.batch_scale == 0) for count in batches],
            [self._warmth(count) for count in batches],
        ]

    def _warmth(self, count: int) -> float:
        """The factor of the rate after so many batches."""
        end = self.warmup_epochs * self.updates_per_epoch
        if count >= end:
            return float(self.batch_scale)
        part = count / end
        shares = {"linear": part, "power2": part * part, "sqrt": math.sqrt(part)}
        share = shares.get(self.warmup_strategy, 0.0) if end > 1 else 0.0
        return 1.0 + (self.batch_scale - 1) * share

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        if self.batch_scale == 1:
            return self._descended(weight, grad, states, rates)
        *last, total = states
        total = total + grad
        found = self._descended(weight, total / float(self.batch_scale), tuple(last), rates)
        complete = gradient_descent.scalar(rates.own[0], weight)
        assert isinstance(complete, Expr)
        complete = complete.differs(0.0)
        kept = zip(found, (weight, *last), strict=True)
        return (*(where(complete, new, old) for new, old in kept), where(complete, 0.0, total))

    def _descended(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """The weight after a step, and the step where it is kept."""
        factor = gradient_descent.scalar(rates.own[1], weight)
        if self.warmup_strategy == "lars":
            own, slope = (formulas.sum_of_squares(x) for x in (weight, grad))
            ratio = own / (gradient_descent.decayed(own, slope, rates.wd) + 1e-18)
            factor = minimum(maximum(gradient_descent.sqrt(ratio), 0.01), 100.0)
        lr = gradient_descent.scalar(rates.lr, weight) * factor
        given = {**self.common(rates), "lr": lr}
        if not states:
            return gradient_descent.sgd_update(weight, grad, **given)
        return gradient_descent.sgd_mom_update(
            weight, grad, *states, momentum=self.momentum, **given
        )
