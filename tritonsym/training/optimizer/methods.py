"""The optimizers. Their formulas are operators; these classes say with which numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...expressions.expr import Expr
from ...ndarray.core import NDArray
from ...ops import optimizer as formulas
from .base import Optimizer, Rates, registry, zeros_like
from .update import State


@registry.register("ccsgd")
class SGD(Optimizer):
    """Gradient descent, with momentum.

    Args:
        momentum: the part of the last step that the next one keeps.
        lazy_update: accepted for MXNet's sake; it concerns sparse gradients.
        kwargs: of :class:`Optimizer`.
    """

    copy_is_last = True
    aggregate_num = 4
    asks_for_all = True

    def __init__(self, momentum: float = 0.0, lazy_update: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum
        self.lazy_update = lazy_update

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The last step, where it is kept."""
        return None if self.momentum == 0.0 else zeros_like(weight)

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        given = self.common(rates)
        if not states:
            return formulas.sgd_update(weight, grad, lr=rates.lr, **given)
        return formulas.sgd_mom_update(
            weight, grad, *states, lr=rates.lr, momentum=self.momentum, **given
        )


@registry.register()
class NAG(Optimizer):
    """Gradient descent with Nesterov's momentum.

    Args:
        momentum: the part of the last step that the next one keeps.
        kwargs: of :class:`Optimizer`.
    """

    copy_is_last = True

    def __init__(self, momentum: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The last step, where it is kept."""
        return None if self.momentum == 0.0 else zeros_like(weight)

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        given = self.common(rates)
        if not states:
            return formulas.sgd_update(weight, grad, lr=rates.lr, **given)
        return formulas.nag_mom_update(
            weight, grad, *states, lr=rates.lr, momentum=self.momentum, **given
        )


@registry.register()
class Signum(Optimizer):
    """Steps of one size along the sign of the momentum, or without one of the gradient.

    Args:
        learning_rate: the size of a step.
        momentum: how much of the mean of past gradients is kept; 0 for signSGD.
        wd_lh: decay that is apart from the gradient.
        kwargs: of :class:`Optimizer`.
    """

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        wd_lh: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum
        self.wd_lh = wd_lh

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The mean of past gradients, where it is kept."""
        return None if self.momentum == 0.0 else zeros_like(weight)

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        given = self.common(rates)
        if not states:
            return formulas.signsgd_update(weight, grad, lr=rates.lr, **given)
        return formulas.signum_update(
            weight,
            grad,
            *states,
            lr=rates.lr,
            momentum=self.momentum,
            wd_lh=self.wd_lh,
            **given,
        )


@registry.register()
class SignSGD(Signum):
    """:class:`Signum` without momentum."""

    def __init__(self, learning_rate: float = 0.01, **kwargs: Any) -> None:
        super().__init__(learning_rate, momentum=0.0, **kwargs)


@registry.register()
class Adam(Optimizer):
    """Adam.

    Args:
        learning_rate: about the size of a step.
        beta1, beta2: what the running means of gradients and of their squares keep.
        epsilon: added to the root of the mean of squares.
        lazy_update: accepted for MXNet's sake; it concerns sparse gradients.
        kwargs: of :class:`Optimizer`.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        lazy_update: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.lazy_update = lazy_update

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The running means."""
        return zeros_like(weight), zeros_like(weight)

    def corrected(self, rates: Rates) -> Rates:
        """A learning rate that makes up for running means that began at zero."""
        return replace(rates, lr=rates.lr * self._correction(rates.count))

    def _correction(self, count: formulas.Scalar) -> formulas.Scalar:
        first, second = 1.0 - self.beta1**count, 1.0 - self.beta2**count
        correction: formulas.Scalar = second**0.5 / first
        return correction

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        return formulas.adam_update(
            weight,
            grad,
            *states,
            lr=rates.lr,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            **self.common(rates),
        )


@registry.register()
class AdamW(Adam):
    """Adam with decay apart from the gradient: the weight loses ``lr * wd`` of itself.

    Args:
        learning_rate, beta1, beta2, epsilon: as for :class:`Adam`.
        correct_bias: make up for running means that begin at zero.
        kwargs: of :class:`Optimizer`.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        correct_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon, **kwargs)
        self.correct_bias = correct_bias

    def corrected(self, rates: Rates) -> Rates:
        """The decay is a part of the learning rate as it was set."""
        first = super().corrected(rates) if self.correct_bias else rates
        return replace(first, wd=rates.lr * rates.wd)

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        return formulas.adamw_step(
            weight,
            grad,
            *states,
            lr=rates.lr,
            eta=1.0,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            **self.common(rates),
        )


@registry.register()
class RMSProp(Optimizer):
    """RMSProp.

    Args:
        learning_rate: about the size of a step.
        gamma1: what the running mean of squares keeps.
        gamma2: the part of the last step that the next one keeps, where ``centered``.
        epsilon: added to the mean of squares.
        centered: divide by the deviation from the mean gradient, in Graves's form.
        clip_weights: the largest absolute value of an element of a weight.
        kwargs: of :class:`Optimizer`.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        gamma1: float = 0.9,
        gamma2: float = 0.9,
        epsilon: float = 1e-8,
        centered: bool = False,
        clip_weights: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.gamma1 = gamma1
        self.gamma2 = gamma2
        self.epsilon = epsilon
        self.centered = centered
        self.clip_weights = clip_weights

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The running mean of squares; where centered also that of gradients, and the step."""
        return tuple(zeros_like(weight) for _ in range(3 if self.centered else 1))

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        given = {
            **self.common(rates),
            "lr": rates.lr,
            "gamma1": self.gamma1,
            "epsilon": self.epsilon,
            "clip_weights": -1.0 if self.clip_weights is None else self.clip_weights,
        }
        if not self.centered:
            return formulas.rmsprop_update(weight, grad, *states, **given)
        return formulas.rmspropalex_update(weight, grad, *states, gamma2=self.gamma2, **given)


@registry.register()
class AdaGrad(Optimizer):
    """AdaGrad.

    Args:
        eps: added to the sum of squares.
        kwargs: of :class:`Optimizer`.
    """

    def __init__(self, eps: float = 1e-7, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.float_stable_eps = eps

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The sum of squares."""
        return zeros_like(weight)

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        return formulas.adagrad_step(
            weight,
            grad,
            *states,
            lr=rates.lr,
            epsilon=self.float_stable_eps,
            **self.common(rates),
        )


@registry.register()
class AdaDelta(Optimizer):
    """AdaDelta, which has no learning rate.

    Args:
        rho: what the running means of squares keep.
        epsilon: added to them.
        kwargs: of :class:`Optimizer`.
    """

    def __init__(self, rho: float = 0.90, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rho = rho
        self.epsilon = epsilon

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The running means of squared gradients and of squared steps."""
        return zeros_like(weight), zeros_like(weight)

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        return formulas.adadelta_step(
            weight, grad, *states, rho=self.rho, epsilon=self.epsilon, **self.common(rates)
        )


@registry.register()
class Ftrl(Optimizer):
    """Follow the regularized leader, whose weights become exactly 0 where they matter little.

    Args:
        lamda1: how much they must matter.
        learning_rate: about the size of a first step.
        beta: the larger, the slower the steps become smaller.
        kwargs: of :class:`Optimizer`.
    """

    def __init__(
        self, lamda1: float = 0.01, learning_rate: float = 0.1, beta: float = 1, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.lamda1 = lamda1
        self.beta = beta

    def create_state(self, index: Any, weight: NDArray) -> State:
        """The sums z and n of the operator ``ftrl_update``."""
        return zeros_like(weight), zeros_like(weight)

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions."""
        return formulas.ftrl_update(
            weight,
            grad,
            *states,
            lr=rates.lr,
            lamda1=self.lamda1,
            beta=self.beta,
            **self.common(rates),
        )
