"""Optimizers over several updates: weights and states; rates by name; operators on arrays."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from oracle.scenario import Answer, outcomes, plain, raised, scenario

STEPS = 6
# label: name, arguments
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("sgd", {}),
    "sgd momentum": ("sgd", {"momentum": 0.9}),
    "nag": ("nag", {}),
    "signum": ("signum", {}),
    "signum decayed": ("signum", {"wd_lh": 0.02, "momentum": 0.5}),
    "signsgd": ("signum", {"momentum": 0.0}),
    "adam": ("adam", {}),
    "adam betas": ("adam", {"beta1": 0.5, "beta2": 0.7, "epsilon": 0.01}),
    "rmsprop": ("rmsprop", {}),
    "rmsprop clipped": ("rmsprop", {"clip_weights": 0.6, "gamma1": 0.7}),
    "rmsprop centered": ("rmsprop", {"centered": True, "epsilon": 0.001}),
    "adagrad": ("adagrad", {"eps": 0.001}),
    "adadelta": ("adadelta", {"rho": 0.8}),
    "ftrl": ("ftrl", {"lamda1": 0.05}),
    "lamb": ("lamb", {}),
    "lamb bounded": ("lamb", {"lower_bound": 0.5, "upper_bound": 1.5, "bias_correction": False}),
}
# The same, of methods that are seldom used. Short warming, so that all of it is seen.
WARMING: dict[str, Any] = {"batch_scale": 2, "warmup_epochs": 1, "updates_per_epoch": 4}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ftml": ("ftml", {}),
    "ftml betas": ("ftml", {"beta1": 0.5, "beta2": 0.7, "epsilon": 0.01}),
    "adamax": ("adamax", {}),
    "adamax betas": ("adamax", {"beta1": 0.5, "beta2": 0.7}),
    "dcasgd": ("dcasgd", {"lamda": 0.5}),
    "lars": ("lars", {}),
    "lars momentum": ("lars", {"momentum": 0.9, "eta": 0.5, "eps": 0.1}),
    "lbsgd": ("lbsgd", {}),
    "lbsgd momentum": ("lbsgd", {"momentum": 0.9, "batch_scale": 3}),
    "lbsgd linear": ("lbsgd", {"momentum": 0.9, **WARMING}),
    "lbsgd power2": ("lbsgd", {"warmup_strategy": "power2", **WARMING}),
    "lbsgd sqrt": ("lbsgd", {"warmup_strategy": "sqrt", **WARMING}),
    "lbsgd lars": ("lbsgd", {"warmup_strategy": "lars", **WARMING}),
    "lbsgd later": ("lbsgd", {"begin_epoch": 1, "warmup_epochs": 3, "batch_scale": 5}),
    "test": ("test", {}),
}
NAMES = (
    *("sgd", "nag", "adam", "rmsprop", "adagrad", "adadelta", "ftrl", "lamb"),
    *("ftml", "adamax", "nadam", "sgld", "lbsgd"),
)
PLAIN: dict[str, Any] = {"learning_rate": 0.1}
FULL: dict[str, Any] = {
    "learning_rate": 0.1,
    "wd": 0.05,
    "rescale_grad": 0.5,
    "clip_gradient": 0.4,
    "param_idx2name": {0: "fc_weight", 1: "fc_bias"},
}


def numbers(seed: int) -> Any:
    """The same numbers under every version of numpy."""
    return np.round(np.sin(np.arange(6).reshape(2, 3) * 1.7 + seed * 2.3) * 1.5, 3)


def flat(state: Any) -> Answer:
    if state is None:
        return None
    if isinstance(state, list | tuple):
        return [flat(part) for part in state]
    return [np.dtype(state.dtype).name, state.asnumpy().ravel().astype("float64").tolist()]


def trained(mx: ModuleType, name: str, given: dict[str, Any], dtype: str = "float32") -> Answer:
    """Two weights after some updates by an updater, and their states."""
    updater = mx.optimizer.get_updater(mx.optimizer.create(name, **given))
    weights = [mx.nd.array(numbers(seed), dtype=dtype) for seed in (0, 1)]
    for step in range(STEPS):
        for index, weight in enumerate(weights):
            updater(index, mx.nd.array(numbers(10 + 2 * step + index), dtype=dtype), weight)
    return [*map(flat, weights), *(flat(updater.states[index]) for index in (0, 1))]


@scenario(tolerance=2e-6)
def optimizers(mx: ModuleType) -> Answer:
    return {
        label: trained(mx, name, {**given, **PLAIN}) for label, (name, given) in METHODS.items()
    }


@scenario(tolerance=2e-6)
def optimizers_with_everything(mx: ModuleType) -> Answer:
    return {label: trained(mx, name, {**given, **FULL}) for label, (name, given) in METHODS.items()}


def steps_alone(mx: ModuleType, name: str, given: dict[str, Any]) -> Answer:
    """One weight after some updates."""
    updater = mx.optimizer.get_updater(mx.optimizer.create(name, **given))
    weight = mx.nd.array(numbers(0))
    for step in range(STEPS):
        updater(0, mx.nd.array(numbers(10 + step)), weight)
    return flat(weight)


@scenario(tolerance=2e-6)
def variants(mx: ModuleType) -> Answer:
    return {
        label: trained(mx, name, {**given, **PLAIN})[:2]
        for label, (name, given) in VARIANTS.items()
    }


@scenario(tolerance=2e-6)
def variants_with_everything(mx: ModuleType) -> Answer:
    return {
        label: trained(mx, name, {**given, **FULL})[:2] for label, (name, given) in VARIANTS.items()
    }


@scenario(tolerance=2e-6)
def variants_of_one_weight(mx: ModuleType) -> Answer:
    """What MXNet does otherwise for several weights."""
    made = mx.lr_scheduler
    undecayed = {key: value for key, value in FULL.items() if key != "wd"}
    return {
        "nadam": steps_alone(mx, "nadam", PLAIN),
        "nadam betas": steps_alone(
            mx, "nadam", {**FULL, "beta1": 0.5, "beta2": 0.7, "schedule_decay": 0.5}
        ),
        "lars with a schedule": steps_alone(
            mx, "lars",
            {"momentum": 0.9, "lr_scheduler": made.FactorScheduler(2, 0.5, base_lr=0.2)},
        ),
        "lars uncorrected": steps_alone(
            mx, "lars",
            {
                "momentum": 0.9,
                "momentum_correction": False,
                "lr_scheduler": made.FactorScheduler(2, 0.5, base_lr=0.2),
            },
        ),
        "groupadagrad": steps_alone(mx, "groupadagrad", {**PLAIN, "eps": 0.01}),
        "groupadagrad full": steps_alone(mx, "groupadagrad", undecayed),
    }  # fmt: skip


@scenario(tolerance=1e-3)
def variants_of_16_bits(mx: ModuleType) -> Answer:
    kept = ("ftml", "lars momentum", "lbsgd momentum", "lbsgd linear")
    return {
        label: trained(
            mx,
            VARIANTS[label][0],
            {**VARIANTS[label][1], **FULL, "multi_precision": True},
            "float16",
        )[:2]
        for label in kept
    }


@scenario(tolerance=1e-3)
def optimizers_of_16_bits(mx: ModuleType) -> Answer:
    """States of float16 are rounded at every operation, hence the tolerance."""
    direct = ("sgd", "sgd momentum", "signum", "adam betas")
    kept = ("sgd", "sgd momentum", "adam", "rmsprop centered", "adagrad", "ftrl", "signsgd")
    return {
        "direct": {
            label: trained(mx, METHODS[label][0], {**METHODS[label][1], **FULL}, "float16")
            for label in direct
        },
        "with a copy": {
            label: trained(
                mx,
                METHODS[label][0],
                {**METHODS[label][1], **FULL, "multi_precision": True},
                "float16",
            )
            for label in kept
        },
    }


@scenario(tolerance=2e-5)
def optimizers_with_schedules(mx: ModuleType) -> Answer:
    """MXNet computes ``1 - beta2`` in float32, where 0.001 is off by one part in 75,000."""
    made = mx.lr_scheduler
    return {
        "factor": trained(
            mx, "sgd", {"momentum": 0.9, "lr_scheduler": made.FactorScheduler(2, 0.5, base_lr=0.2)}
        ),
        "replaced": trained(
            mx, "adam", {"learning_rate": 0.3, "lr_scheduler": made.FactorScheduler(1, 0.9)}
        ),
        "cosine": trained(
            mx, "sgd", {"lr_scheduler": made.CosineScheduler(8, 0.3), "begin_num_update": 3}
        ),
    }


@scenario(tolerance=1e-12)
def rates_by_name(mx: ModuleType) -> Answer:
    weight = mx.sym.Variable("fc_weight", lr_mult=4, wd_mult=7)
    bias = mx.sym.Variable("fc_bias", wd_mult=2)
    layer = mx.sym.FullyConnected(
        mx.sym.Variable("data"), weight=weight, bias=bias, num_hidden=2, name="fc"
    )
    names = dict(enumerate(("fc_weight", "fc_bias", "bn_gamma", "bn_beta", "emb", "weight")))
    by_name = mx.optimizer.SGD(param_idx2name=names, wd=0.1, learning_rate=0.5)
    by_symbol = mx.optimizer.SGD(param_idx2name=names, sym=layer, wd=0.1, learning_rate=0.5)
    answers: dict[str, Answer] = {}

    def note(label: str, one: Any) -> None:
        answers[label] = [
            plain(one.wd_mult),
            plain(one.lr_mult),
            [one._get_lr(index) for index in range(7)],
            [one._get_wd(index) for index in range(7)],
        ]

    note("by name", by_name)
    note("by symbol", by_symbol)
    by_name.set_lr_mult({"fc_bias": 2.0, 0: 3.0})
    by_name.set_wd_mult({"fc_bias": 5.0, 4: 2.0})
    note("set", by_name)
    by_name._update_count(3)
    by_name._update_count([3, 1])
    answers["counts"] = [by_name.num_update, plain(by_name._index_update_count)]
    return answers


@scenario
def making_optimizers(mx: ModuleType) -> Answer:
    made = mx.optimizer
    scheduled = made.SGD(lr_scheduler=mx.lr_scheduler.FactorScheduler(2))
    return {
        "rates": {
            name: [made.create(name).learning_rate, made.create(name).wd, made.create(name).lr]
            for name in NAMES
        },
        "unknown": raised(lambda: made.create("zz")),
        "argument": raised(lambda: made.SGD(foo=5)),
        "names": raised(lambda: made.SGD(param_idx2name=5)),
        "scheduled": [scheduled.lr, scheduled.learning_rate],
        "set": raised(lambda: scheduled.set_learning_rate(1)),
        "set without": outcomes({"set": lambda: made.SGD().set_learning_rate(1)}),
    }


def applied(mx: ModuleType, name: str, states: int, **given: Any) -> Answer:
    """The result, and the weight and states that were handed in, after one update on arrays."""
    weight, grad = mx.nd.array(numbers(0)), mx.nd.array(numbers(1))
    kept = [mx.nd.array(numbers(2 + index) ** 2) for index in range(states)]
    apart = getattr(mx.nd, name)(weight, grad, *[one.copy() for one in kept], **given)
    result = getattr(mx.nd, name)(weight, grad, *kept, out=weight, **given)
    return [flat(apart), result is weight, flat(weight), [flat(one) for one in kept]]


@scenario(tolerance=2e-6)
def updates_of_arrays(mx: ModuleType) -> Answer:
    full = {"lr": 0.1, "wd": 0.3, "rescale_grad": 0.5, "clip_gradient": 0.2}
    lamb = {"t": 3, "wd": 0.3, "rescale_grad": 0.5}
    return {
        "sgd": applied(mx, "sgd_update", 0, **full),
        "sgd plain": applied(mx, "sgd_update", 0, lr=0.1),
        "sgd momentum": applied(mx, "sgd_mom_update", 1, momentum=0.9, **full),
        "nag": applied(mx, "nag_mom_update", 1, momentum=0.9, lr=0.1),
        "signsgd": applied(mx, "signsgd_update", 0, **full),
        "signum": applied(mx, "signum_update", 1, momentum=0.9, wd_lh=0.4, **full),
        "adam": applied(mx, "adam_update", 2, **full),
        "rmsprop": applied(mx, "rmsprop_update", 1, **full),
        "rmspropalex": applied(mx, "rmspropalex_update", 3, epsilon=4, **full),
        "ftrl": applied(mx, "ftrl_update", 2, **full),
        "lamb": applied(mx, "lamb_update_phase1", 2, **lamb),
        "lamb uncorrected": applied(mx, "lamb_update_phase1", 2, bias_correction=False, **lamb),
        "lengths": [
            flat(
                mx.nd.lamb_update_phase2(
                    mx.nd.array(numbers(0)),
                    mx.nd.array(numbers(1)),
                    mx.nd.array([first]),
                    mx.nd.array([second]),
                    lr=0.1,
                    lower_bound=1,
                    upper_bound=10,
                )
            )
            for first, second in ((2, 3), (0, 3), (2, 0), (50, 3))
        ],
    }


@scenario(tolerance=1e-3)
def updates_of_arrays_of_16_bits(mx: ModuleType) -> Answer:
    answers = {}
    for name, moments in (("mp_sgd_update", 0), ("mp_sgd_mom_update", 1), ("mp_nag_mom_update", 1)):
        weight = mx.nd.array(numbers(0), dtype="float16")
        grad = mx.nd.array(numbers(1), dtype="float16")
        kept = [mx.nd.array(numbers(2 + index)) for index in range(moments)]
        copy = mx.nd.array(numbers(0))
        given = {"momentum": 0.9} if moments else {}
        getattr(mx.nd, name)(weight, grad, *kept, copy, out=weight, lr=0.1, **given)
        answers[name] = [flat(weight), [flat(one) for one in kept], flat(copy)]
    return answers


@scenario(tolerance=2e-6)
def users_own_optimizer(mx: ModuleType) -> Answer:
    class Halving(mx.optimizer.Optimizer):
        def create_state(self, index: int, weight: Any) -> Any:
            return mx.nd.zeros(weight.shape)

        def update(self, index: int, weight: Any, grad: Any, state: Any) -> None:
            self._update_count(index)
            state[:] = state / 2 + grad
            weight[:] = weight - self._get_lr(index) * state

    mx.optimizer.register(Halving)
    return trained(mx, "halving", {"learning_rate": 0.1})


@scenario(tolerance=2e-6)
def updaters_taken_up_again(mx: ModuleType) -> Answer:
    first = mx.optimizer.get_updater(mx.optimizer.SGD(momentum=0.9, learning_rate=0.1))
    weight, grad = mx.nd.array(numbers(0)), mx.nd.array(numbers(1))
    first(3, grad, weight)
    again = mx.optimizer.get_updater(mx.optimizer.SGD(momentum=0.9, learning_rate=0.1))
    again.set_states(first.get_states())
    answers = [plain(again.states_synced)]
    again(3, grad, weight)
    return [*answers, plain(again.states_synced), flat(weight), flat(again.states[3])]
