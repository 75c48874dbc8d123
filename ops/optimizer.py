"""Updates of weights by their gradients: the formulas of the optimizers, each given once.

The functions are operators, whose learning rate and decay are attributes. A training step that is
compiled calls the same functions with expressions instead, since those numbers change from one
step to the next and a plan does not: every ``Scalar`` is a number, or an expression of shape (1,).

Each gives the new weight and the new states. Called on arrays, the states are written in place, and
the new weight is the result, or goes where ``out`` says. ``grad * rescale_grad`` is cut to
``[-clip_gradient, clip_gradient]``, where that is not negative, and ``wd`` times the weight added:
before that cut in the methods that say so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

from tritonsym.expressions.expr import Expr, Operand, cast, make, maximum, minimum, where
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import FillDTypes, operator, unify_dtypes, unify_shapes

Scalar = float | Expr


def scalar(value: Scalar, like: Expr) -> Operand:
    """A hyperparameter as an operand beside ``like``."""
    return cast(value, like.dtype) if isinstance(value, Expr) else value


def scaled(grad: Expr, rescale_grad: Scalar) -> Expr:
    """The gradient times a scale."""
    same = isinstance(rescale_grad, float) and rescale_grad == 1.0
    return grad if same else grad * scalar(rescale_grad, grad)


def clipped(grad: Expr, limit: float) -> Expr:
    """The gradient, cut at a limit that is not negative."""
    return minimum(maximum(grad, -limit), limit) if limit >= 0 else grad


def decayed(weight: Expr, grad: Expr, wd: Scalar) -> Expr:
    """The gradient, and a part of the weight."""
    return grad if isinstance(wd, float) and wd == 0.0 else grad + weight * scalar(wd, weight)


def cut_and_decayed(
    weight: Expr, grad: Expr, wd: Scalar, rescale_grad: Scalar, clip_gradient: float
) -> Expr:
    """The gradient scaled, cut, and then decayed."""
    return decayed(weight, clipped(scaled(grad, rescale_grad), clip_gradient), wd)


def decayed_and_cut(
    weight: Expr, grad: Expr, wd: Scalar, rescale_grad: Scalar, clip_gradient: float
) -> Expr:
    """The gradient scaled, decayed, and then cut."""
    return clipped(decayed(weight, scaled(grad, rescale_grad), wd), clip_gradient)


def running_mean(old: Expr, new: Expr, keep: float) -> Expr:
    """A mean of which the last values are the largest part."""
    return old * keep + new * (1.0 - keep)


def sqrt(x: Expr) -> Expr:
    """The square root."""
    return make("sqrt", x)


def sign(x: Expr) -> Expr:
    """-1, 0 or 1."""
    return make("sign", x)


# ---- registration ------------------------------------------------------------------------------

Update = Callable[..., tuple[Expr, ...]]


def _state_names(function: Update) -> tuple[str, ...]:
    """The inputs after the weight and its gradient."""
    hints = get_type_hints(function)
    inputs = [name for name, hint in hints.items() if hint is Expr]
    return tuple(inputs[2:])


def new_states(attributes: Any, inputs: Any, outputs: Any) -> Any:
    """What the states become: the outputs after the weight."""
    return outputs[1:]


def update_operator(name: str, dtypes: FillDTypes = unify_dtypes) -> Callable[[Update], Update]:
    """Register a function of a weight, its gradient, and states of the weight's shape."""

    def register(function: Update) -> Update:
        states = _state_names(function)
        operator(
            name,
            outputs=lambda attributes: ("output", *states),
            visible=lambda attributes: 1,
            auxiliary=states,
            shapes=unify_shapes,
            dtypes=dtypes,
            updates=new_states,
        )(function)
        return function

    return register


# ---- gradient descent --------------------------------------------------------------------------


@update_operator("sgd_update")
def sgd_update(
    weight: Expr,
    grad: Expr,
    *,
    lr: Scalar,
    wd: Scalar = 0.0,
    rescale_grad: Scalar = 1.0,
    clip_gradient: float = -1.0,
    lazy_update: bool = True,
) -> tuple[Expr, ...]:
    """Gradient descent: weight - lr * grad."""
    grad = cut_and_decayed(weight, grad, wd, rescale_grad, clip_gradient)
    return (weight - grad * scalar(lr, weight),)


@update_operator("sgd_mom_update")
def sgd_mom_update(
    weight: Expr,
    grad: Expr,
    mom: Expr,
    *,
    lr: Scalar,
    momentum: Scalar = 0.0,
    wd: Scalar = 0.0,
    rescale_grad: Scalar = 1.0,
    clip_gradient: float = -1.0,
    lazy_update: bool = True,
) -> tuple[Expr, ...]:
    """Gradient descent with momentum: mom = momentum * mom - lr * grad; weight + mom.

    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    """
    grad = cut_and_decayed(weight, grad, wd, rescale_grad, clip_gradient)
    mom = mom * scalar(momentum, weight) - grad * scalar(lr, weight)
    return weight + mom, mom


@update_operator("nag_mom_update")
def nag_mom_update(
    weight: Expr,
    grad: Expr,
    mom: Expr,
    *,
    lr: Scalar,
    momentum: float = 0.0,
    wd: Scalar = 0.0,
    rescale_grad: Scalar = 1.0,
    clip_gradient: float = -1.0,
) -> tuple[Expr, ...]:
    """Nesterov's momentum: mom = momentum * mom - lr * grad; weight + momentum * mom - lr * grad.

    Nesterov, "A method for solving the convex programming problem with convergence rate
    O(1/k^2)", 1983.
    """
    grad = cut_and_decayed(weight, grad, wd, rescale_grad, clip_gradient)
    step = grad * scalar(lr, weight)
    mom = mom * momentum - step
    return weight + mom * momentum - step, mom


@update_operator("signsgd_update")
def signsgd_update(
    weight: Expr,
    grad: Expr,
    *,
    lr: Scalar,
    wd: Scalar = 0.0,
    rescale_grad: Scalar = 1.0,
    clip_gradient: float = -1.0,
) -> tuple[Expr, ...]:
    """A step of one size: (1 - lr * wd) * weight - lr * sign(grad).

    Bernstein, Wang, Azizzadenesheli and Anandkumar, "signSGD: Compressed optimisation for
    non-convex problems", 2018.
    """
    direction = sign(clipped(scaled(grad, rescale_grad), clip_gradient))
    return (weight - decayed(weight, direction, wd) * scalar(lr, weight),)


@update_operator("signum_update")
def signum_update(
    weight: Expr,
    grad: Expr,
    mom: Expr,
    *,
    lr: Scalar,
    momentum: float = 0.0,
    wd: Scalar = 0.0,
    rescale_grad: Scalar = 1.0,
    clip_gradient: float = -1.0,
    wd_lh: float = 0.0,
) -> tuple[Expr, ...]:
    """A step of one size along the momentum: (1 - lr * wd_lh) * weight + lr * sign(mom).

    mom = momentum * mom - (1 - momentum) * grad. The same paper as for ``signsgd_update``.
    """
    grad = cut_and_decayed(weight, grad, wd, rescale_grad, clip_gradient)
    mom = mom * momentum - grad * (1.0 - momentum)
    return weight + (sign(mom) - weight * wd_lh) * scalar(lr, weight), mom


# ---- steps of their own size for each element --------------------------------------------------


@update_operator("adam_update")
def adam_update(
    weight: Expr,
    grad: Expr,
    mean: Expr,
    var: Expr,
    *,
    lr: Scalar,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    wd: Scalar = 0.0,
    rescale_grad: Scalar = 1.0,
    clip_gradient: float = -1.0,
    lazy_update: bool = True,
) -> tuple[Expr, ...]:
    """Adam: weight - lr * mean / (sqrt(var) + epsilon); decay comes before the cut.

    mean and var are running means of grad and of its square. Whoever calls corrects ``lr`` for
    their beginning at zero. Kingma and Ba, "Adam: A method for stochastic optimization", 2015.
    """
    grad = decayed_and_cut(weight, grad, wd, rescale_grad, clip_gradient)
    mean = running_mean(mean, grad, beta1)
    var = running_mean(var, grad * grad, beta2)
    return weight - mean * scalar(lr, weight) / (sqrt(var) + epsilon), mean, var


def adamw_step(
    weight: Expr,
    grad: Expr,
    mean: Expr,
    var: Expr,
    *,
    lr: Scalar,
    eta: Scalar,
    beta1: float,
    beta2: float,
    epsilon: float,
    wd: Scalar,
    rescale_grad: Scalar,
    clip_gradient: float,
) -> tuple[Expr, ...]:
    """weight - eta * (lr * mean / (sqrt(var) + epsilon) + wd * weight), and the running means."""
    grad = clipped(scaled(grad, rescale_grad), clip_gradient)
    mean = running_mean(mean, grad, beta1)
    var = running_mean(var, grad * grad, beta2)
    step = mean * scalar(lr, weight) / (sqrt(var) + epsilon)
    return weight - decayed(weight, step, wd) * scalar(eta, weight), mean, var


def _adamw_shapes(attributes: Any, inputs: Any, outputs: Any) -> None:
    *arrays, scale = inputs
    unify_shapes(attributes, arrays, outputs)
    inputs[:] = [*arrays, scale]


@operator(
    "_adamw_update",
    aliases=("_contrib_adamw_update",),
    outputs=lambda attributes: ("output", "mean", "var"),
    visible=lambda attributes: 1,
    auxiliary=("mean", "var"),
    shapes=_adamw_shapes,
    updates=new_states,
)
def adamw_update(
    weight: Expr,
    grad: Expr,
    mean: Expr,
    var: Expr,
    rescale_grad: Expr,
    *,
    lr: Scalar,
    eta: Scalar,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    wd: Scalar = 0.0,
    clip_gradient: float = -1.0,
) -> tuple[Expr, ...]:
    """Adam with decay apart from the gradient, as ``eta * (adam's step + wd * weight)``.

    ``rescale_grad`` is an array of one element; where it is 0 or not finite nothing changes.
    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """
    if rescale_grad.size != 1:
        raise LoweringError(f"rescale_grad is {rescale_grad.shape}, it needs one element")
    scale = cast(rescale_grad, weight.dtype)
    new = adamw_step(
        weight, grad, mean, var, lr=lr, eta=eta, beta1=beta1, beta2=beta2, epsilon=epsilon, wd=wd,
        rescale_grad=scale, clip_gradient=clip_gradient,
    )  # fmt: skip
    # x - x is 0 for finite numbers, and for no others.
    usable = (scale - scale).equals(0.0).logical_and(scale.differs(0.0))
    return tuple(where(usable, x, old) for x, old in zip(new, (weight, mean, var), strict=True))


@update_operator("rmsprop_update")
def rmsprop_update(
    weight: Expr,
    grad: Expr,
    n: Expr,
    *,
    lr: Scalar,
    gamma1: float = 0.95,
    epsilon: float = 1e-8,
    wd: Scalar = 0.0,
    rescale_grad: Scalar = 1.0,
    clip_gradient: float = -1.0,
    clip_weights: float = -1.0,
) -> tuple[Expr, ...]:
    """RMSProp: weight - lr * grad / sqrt(n + epsilon), n the running mean of squares.

    Decay comes before the cut. Tieleman and Hinton, "Neural networks for machine learning",
    lecture 6.5, 2012.
    """
    grad = decayed_and_cut(weight, grad, wd, rescale_grad, clip_gradient)
    n = running_mean(n, grad * grad, gamma1)
    new = weight - grad * scalar(lr, weight) / sqrt(n + epsilon)
    return clipped(new, clip_weights), n


@update_operator("rmspropalex_update")
def rmspropalex_update(
    weight: Expr,
    grad: Expr,
    n: Expr,
    g: Expr,
    delta: Expr,
    *,
    lr: Scalar,
    gamma1: float = 0.95,
    gamma2: float = 0.9,
    epsilon: float = 1e-8,
    wd: Scalar = 0.0,
    rescale_grad: Scalar = 1.0,
    clip_gradient: float = -1.0,
    clip_weights: float = -1.0,
) -> tuple[Expr, ...]:
    """RMSProp about the mean: delta = gamma2 * delta - lr * grad / sqrt(n - g * g + epsilon).

    n and g are running means of squares and of gradients; the new weight is weight + delta. Decay
    comes before the cut. Graves, "Generating sequences with recurrent neural networks", 2013.
    """
    grad = decayed_and_cut(weight, grad, wd, rescale_grad, clip_gradient)
    n = running_mean(n, grad * grad, gamma1)
    g = running_mean(g, grad, gamma1)
    delta = delta * gamma2 - grad * scalar(lr, weight) / sqrt(n - g * g + epsilon)
    return clipped(weight + delta, clip_weights), n, g, delta


@update_operator("ftrl_update")
def ftrl_update(
    weight: Expr,
    grad: Expr,
    z: Expr,
    n: Expr,
    *,
    lr: Scalar,
    lamda1: float = 0.01,
    beta: float = 1.0,
    wd: Scalar = 0.0,
    rescale_grad: Scalar = 1.0,
    clip_gradient: float = -1.0,
) -> tuple[Expr, ...]:
    """Follow the regularized leader, which makes weights exactly 0 where ``abs(z) <= lamda1``.

    McMahan et al., "Ad click prediction: a view from the trenches", 2013.
    """
    grad = clipped(scaled(grad, rescale_grad), clip_gradient)
    rate = scalar(lr, weight)
    total = n + grad * grad
    z = z + grad - (sqrt(total) - sqrt(n)) * weight / rate
    shrunk = sign(z) * lamda1 - z
    new = shrunk / ((sqrt(total) + beta) / rate + scalar(wd, weight))
    return where(make("abs", z) <= lamda1, 0.0, new), z, total


@update_operator("ftml_update")
def ftml_update(
    weight: Expr,
    grad: Expr,
    d: Expr,
    v: Expr,
    z: Expr,
    *,
    lr: Scalar,
    beta1: float = 0.6,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    t: Scalar,
    wd: Scalar = 0.0,
    rescale_grad: Scalar = 1.0,
    clip_grad: float = -1.0,
) -> tuple[Expr, ...]:
    """Follow the moving leader: the new weight is -z / d, in the ``t``-th update.

    v is the running mean of squares, d = (1 - beta1**t) / lr * (sqrt(v / (1 - beta2**t)) + epsilon)
    and z = beta1 * z + (1 - beta1) * grad - (d - beta1 * old d) * weight. Decay comes before the
    cut. Zheng and Kwok, "Follow the moving leader in deep learning", 2017.
    """
    grad = decayed_and_cut(weight, grad, wd, rescale_grad, clip_grad)
    v = running_mean(v, grad * grad, beta2)
    size = sqrt(v / scalar(1.0 - beta2**t, weight)) + epsilon
    new = size * scalar(1.0 - beta1**t, weight) / scalar(lr, weight)
    z = running_mean(z, grad, beta1) - (new - d * beta1) * weight
    return -z / new, new, v, z


def adagrad_step(
    weight: Expr,
    grad: Expr,
    history: Expr,
    *,
    lr: Scalar,
    epsilon: float,
    wd: Scalar,
    rescale_grad: Scalar,
    clip_gradient: float,
) -> tuple[Expr, ...]:
    """AdaGrad: weight - lr * (grad / sqrt(history + epsilon) + wd * weight), and the history.

    history is the sum of squares. Duchi, Hazan and Singer, "Adaptive subgradient methods for
    online learning and stochastic optimization", 2011.
    """
    grad = clipped(scaled(grad, rescale_grad), clip_gradient)
    history = history + grad * grad
    step = decayed(weight, grad / sqrt(history + epsilon), wd)
    return weight - step * scalar(lr, weight), history


def adadelta_step(
    weight: Expr,
    grad: Expr,
    squares: Expr,
    steps: Expr,
    *,
    rho: float,
    epsilon: float,
    wd: Scalar,
    rescale_grad: Scalar,
    clip_gradient: float,
) -> tuple[Expr, ...]:
    """AdaDelta: a step of the size of past steps over that of past gradients.

    squares and steps are running means of squares. There is no learning rate.
    Zeiler, "ADADELTA: An adaptive learning rate method", 2012.
    """
    grad = clipped(scaled(grad, rescale_grad), clip_gradient)
    squares = running_mean(squares, grad * grad, rho)
    step = sqrt(steps + epsilon) / sqrt(squares + epsilon) * grad
    steps = running_mean(steps, step * step, rho)
    return weight - decayed(weight, step, wd), squares, steps
