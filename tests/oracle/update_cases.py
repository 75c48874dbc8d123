"""Cases of the operators that optimizers call on arrays: the new weights, and states in place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from oracle.gradient_cases import GradientCase, Maker
from oracle.operator_cases import Array, cast, f32, spell, uniform, words

NAN, INFINITY = float("nan"), float("inf")


def drawn(count: int, dtype: str, shape: tuple[int, ...] = (3, 4)) -> list[Array]:
    """A weight and a gradient, then states: positive, as means of squares are."""
    return [uniform(shape, dtype, i, low=-3 if i < 2 else 0.1) for i in range(count)]


# Operator: how many arrays (weight, gradient, states), what it is told, and what else it can be.
# float32 holds these numbers exactly: MXNet keeps parameters in it, and errors of the usual ones
# would hide others. The case "defaults" has the usual ones.
PLANS: dict[str, tuple[int, dict[str, Any], list[dict[str, Any]]]] = {
    "sgd_update": (2, {}, []),
    "sgd_mom_update": (3, {}, [{"momentum": 0.75}]),
    "nag_mom_update": (3, {}, [{"momentum": 0.75}]),
    "adam_update": (4, {"beta1": 0.875, "beta2": 0.9375}, [{"epsilon": 0.125}]),
    "rmsprop_update": (3, {"gamma1": 0.875}, [{"epsilon": 0.125}, {"clip_weights": 0.5}]),
    "rmspropalex_update": (
        5,
        {"gamma1": 0.875, "gamma2": 0.75},
        [{"epsilon": 0.125}, {"clip_weights": 0.5}],
    ),
    "ftrl_update": (4, {"lamda1": 0.0625}, [{"lamda1": 0.5}, {"beta": 0.25}]),
    "signsgd_update": (2, {}, []),
    "signum_update": (3, {}, [{"momentum": 0.75}, {"momentum": 0.75, "wd_lh": 0.25}]),
    "ftml_update": (5, {"t": 3, "beta1": 0.875, "beta2": 0.9375}, [{"epsilon": 0.125}]),
    "lamb_update_phase1": (
        4,
        {"t": 2, "wd": 0.03125, "beta1": 0.875, "beta2": 0.9375},
        [{"epsilon": 0.125}, {"bias_correction": False}],
    ),
}
COMMON: list[dict[str, Any]] = [
    {},
    {"wd": 0.0625},
    {"rescale_grad": 0.25},
    {"clip_gradient": 0.5},
    {"wd": 0.0625, "rescale_grad": 2.0, "clip_gradient": 1.0},
]
DECAYS = words("beta1 beta2 gamma1 gamma2 lamda1")


def update(operator: str) -> Iterator[GradientCase]:
    count, required, own = PLANS[operator]
    if operator != "lamb_update_phase1":
        required = {"lr": 0.125, **required}
    renamed = {"clip_gradient": "clip_grad"} if operator == "ftml_update" else {}
    common = [{renamed.get(key, key): value for key, value in one.items()} for one in COMMON]
    for options in (*common, *own, *({**one, **common[4]} for one in own)):
        label = f"float32-{spell(**options)}"
        yield GradientCase(label, tuple(drawn(count, "float32")), {**required, **options})
    for dtype in ("float16", "float64"):
        arrays = tuple(drawn(count, dtype))
        yield GradientCase(f"{dtype}-plain", arrays, required)
        yield GradientCase(f"{dtype}-all", arrays, {**required, **common[4]})
    arrays = drawn(count, "float32", (6,))
    arrays[1] = f32(NAN, INFINITY, -INFINITY, 0, -0.0, 1e-30)
    # Without momentum nag_mom_update multiplies an infinity by it here, and not in MXNet.
    momentum = {"momentum": 0.75} if "mom" in operator or operator == "signum_update" else {}
    yield GradientCase("special-gradients", tuple(arrays), {**required, **momentum})
    arrays = [*drawn(2, "float32", (5,)), *(f32(0, 0, 0, 0, 0) for _ in range(count - 2))]
    yield GradientCase("first-step", tuple(arrays), {**required, "wd": 0.0625})
    least = {key: value for key, value in required.items() if key not in DECAYS}
    yield GradientCase("defaults", tuple(drawn(count, "float32")), least)


def multi_precision(operator: str) -> Iterator[GradientCase]:
    """Weights and gradients in float16, states and a copy of the weights in float32."""
    narrow = drawn(2, "float16")
    wide = [uniform((3, 4), "float32", 2)] if "mom" in operator else []
    arrays = (*narrow, *wide, narrow[0].astype("float32"))
    own = [{"momentum": 0.75}] if "mom" in operator else []
    for options in (*COMMON, *own, *({**one, **COMMON[4]} for one in own)):
        yield GradientCase(spell(**options), arrays, {"lr": 0.125, **options})


def lamb_phase2(operator: str) -> Iterator[GradientCase]:
    for dtype in ("float32", "float64"):
        weight, step = drawn(2, dtype)
        for first, second in ((2, 3), (0, 3), (2, 0)):
            norms = (cast([first], dtype), cast([second], dtype))
            for options in ({}, {"lower_bound": 0.5}, {"upper_bound": 1.5}):
                label = f"{dtype}-{first}-{second}-{spell(**options)}"
                yield GradientCase(label, (weight, step, *norms), {"lr": 0.125, **options})


FAMILIES: dict[str, dict[str, Maker]] = {
    "updates": {
        **dict.fromkeys(PLANS, update),
        **dict.fromkeys(
            words("mp_sgd_update mp_sgd_mom_update mp_nag_mom_update"), multi_precision
        ),
        "lamb_update_phase2": lamb_phase2,
    },
}
