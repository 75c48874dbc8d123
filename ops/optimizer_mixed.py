"""Updates of weights of 16 bits: the same formulas, on a float32 copy of the weight."""

from __future__ import annotations

from typing import Any

from tritonsym.expressions.expr import Expr, cast
from tritonsym.foundation.dtype import FLOAT32
from tritonsym.graph.op import DTypes, operator, unify_dtypes, unify_shapes

from .common import one_dtype
from .optimizer import (
    Scalar,
    Update,
    nag_mom_update,
    new_states,
    sgd_mom_update,
    sgd_update,
    update_operator,
)
from .optimizer_layers import lamb_update_phase1, lamb_update_phase2, phase2_shapes


def _wide_states(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    """The weight and its gradient have one dtype, the states are float32."""
    narrow: DTypes = [*inputs[:2], outputs[0]]
    unify_dtypes(attributes, narrow, [])
    states: DTypes = [FLOAT32] * (len(inputs) - 2)
    inputs[:], outputs[:] = [*narrow[:2], *states], [narrow[2], *states]


def _in_float32(
    update: Update, weight: Expr, grad: Expr, *states: Expr, **given: Any
) -> tuple[Expr, ...]:
    """An update of the float32 copy, which is the last of the states."""
    new, *rest = update(states[-1], cast(grad, states[-1].dtype), *states[:-1], **given)
    return cast(new, weight.dtype), *rest, new


@update_operator("mp_sgd_update", _wide_states)
def mp_sgd_update(
    weight: Expr,
    grad: Expr,
    weight32: Expr,
    *,
    lr: Scalar,
    wd: Scalar = 0.0,
    rescale_grad: Scalar = 1.0,
    clip_gradient: float = -1.0,
    lazy_update: bool = True,
) -> tuple[Expr, ...]:
    """``sgd_update`` of the float32 copy ``weight32``, to which the weight is rounded."""
    return _in_float32(
        sgd_update, weight, grad, weight32, lr=lr, wd=wd, rescale_grad=rescale_grad,
        clip_gradient=clip_gradient,
    )  # fmt: skip


@update_operator("mp_sgd_mom_update", _wide_states)
def mp_sgd_mom_update(
    weight: Expr,
    grad: Expr,
    mom: Expr,
    weight32: Expr,
    *,
    lr: Scalar,
    momentum: float = 0.0,
    wd: Scalar = 0.0,
    rescale_grad: Scalar = 1.0,
    clip_gradient: float = -1.0,
    lazy_update: bool = True,
) -> tuple[Expr, ...]:
    """``sgd_mom_update`` of the float32 copy ``weight32``, to which the weight is rounded."""
    return _in_float32(
        sgd_mom_update, weight, grad, mom, weight32, lr=lr, momentum=momentum, wd=wd,
        rescale_grad=rescale_grad, clip_gradient=clip_gradient,
    )  # fmt: skip


@update_operator("mp_nag_mom_update", _wide_states)
def mp_nag_mom_update(
    weight: Expr,
    grad: Expr,
    mom: Expr,
    weight32: Expr,
    *,
    lr: Scalar,
    momentum: float = 0.0,
    wd: Scalar = 0.0,
    rescale_grad: Scalar = 1.0,
    clip_gradient: float = -1.0,
) -> tuple[Expr, ...]:
    """``nag_mom_update`` of the float32 copy ``weight32``, to which the weight is rounded."""
    return _in_float32(
        nag_mom_update, weight, grad, mom, weight32, lr=lr, momentum=momentum, wd=wd,
        rescale_grad=rescale_grad, clip_gradient=clip_gradient,
    )  # fmt: skip


def _mixed_direction(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    narrow = inputs[:2]
    unify_dtypes(attributes, narrow, [])
    inputs[:], outputs[:] = [*narrow, *[FLOAT32] * 3], [FLOAT32] * 3


@operator(
    "mp_lamb_update_phase1",
    outputs=lambda attributes: ("output", "mean", "var"),
    visible=lambda attributes: 1,
    auxiliary=("mean", "var"),
    shapes=unify_shapes,
    dtypes=_mixed_direction,
    updates=new_states,
)
def mp_lamb_update_phase1(
    weight: Expr,
    grad: Expr,
    mean: Expr,
    var: Expr,
    weight32: Expr,
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
    """``lamb_update_phase1`` of the float32 copy ``weight32``."""
    return lamb_update_phase1(
        weight32, cast(grad, weight32.dtype), mean, var, beta1=beta1, beta2=beta2, epsilon=epsilon,
        t=t, bias_correction=bias_correction, wd=wd, rescale_grad=rescale_grad,
        clip_gradient=clip_gradient,
    )  # fmt: skip


def _mixed_step(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    one_dtype(inputs, outputs)
    inputs[1:] = [FLOAT32] * 4
    outputs[1] = FLOAT32


@operator(
    "mp_lamb_update_phase2",
    outputs=lambda attributes: ("output", "weight32"),
    visible=lambda attributes: 1,
    auxiliary=("weight32",),
    shapes=phase2_shapes,
    dtypes=_mixed_step,
    updates=new_states,
)
def mp_lamb_update_phase2(
    weight: Expr,
    g: Expr,
    r1: Expr,
    r2: Expr,
    weight32: Expr,
    *,
    lr: Scalar,
    lower_bound: float = -1.0,
    upper_bound: float = -1.0,
) -> tuple[Expr, ...]:
    """``lamb_update_phase2`` of the float32 copy ``weight32``, to which the weight is rounded."""
    new = lamb_update_phase2(
        weight32, g, r1, r2, lr=lr, lower_bound=lower_bound, upper_bound=upper_bound
    )
    assert isinstance(new, Expr)
    return cast(new, weight.dtype), new
