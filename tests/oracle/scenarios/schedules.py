"""Learning rates over 100 updates."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from oracle.scenario import Answer, outcomes, raised, scenario

UPDATES = 100


def rates(scheduler: Any) -> list[float]:
    return [scheduler(update) for update in range(UPDATES)]


@scenario(tolerance=1e-12)
def schedules(mx: ModuleType) -> Answer:
    made = mx.lr_scheduler
    warm = {"warmup_steps": 7, "warmup_begin_lr": 0.01}
    return {
        "factor": rates(made.FactorScheduler(9, 0.7, base_lr=0.5)),
        "factor stops": rates(made.FactorScheduler(5, 0.3, stop_factor_lr=1e-3, base_lr=0.5)),
        "factor warms up": rates(made.FactorScheduler(9, 0.7, base_lr=0.5, **warm)),
        "several": rates(made.MultiFactorScheduler([10, 11, 50], 0.1, base_lr=2.0)),
        "several warm up": rates(made.MultiFactorScheduler([3, 20], 0.5, base_lr=2.0, **warm)),
        "poly": rates(made.PolyScheduler(60, base_lr=0.3)),
        "poly cubed": rates(made.PolyScheduler(60, 0.3, 3, 0.02, **warm)),
        "cosine": rates(made.CosineScheduler(80, base_lr=0.3)),
        "cosine to a rate": rates(made.CosineScheduler(80, 0.3, 0.05, **warm)),
        "constant warm-up": rates(
            made.CosineScheduler(80, 0.3, warmup_mode="constant", warmup_steps=7)
        ),
    }


@scenario(tolerance=1e-12)
def schedules_out_of_order(mx: ModuleType) -> Answer:
    asked = (50, 3, 70, 20, 1000, 5)
    made = mx.lr_scheduler
    schedulers = {
        "factor": made.FactorScheduler(9, 0.7),
        "several": made.MultiFactorScheduler([10, 60], 0.1),
        "poly": made.PolyScheduler(60),
        "cosine": made.CosineScheduler(60),
    }
    return {label: [one(update) for update in asked] for label, one in schedulers.items()}


@scenario
def schedules_that_are_refused(mx: ModuleType) -> Answer:
    made = mx.lr_scheduler
    return {
        "step": raised(lambda: made.FactorScheduler(0)),
        "factor": raised(lambda: made.FactorScheduler(1, 1.5)),
        "no list": raised(lambda: made.MultiFactorScheduler((1, 2))),
        "falling": raised(lambda: made.MultiFactorScheduler([5, 2])),
        "from 0": raised(lambda: made.MultiFactorScheduler([0, 2])),
        "no int": raised(lambda: made.PolyScheduler(1.5)),
        "no updates": raised(lambda: made.CosineScheduler(0)),
        "falling warm-up": raised(lambda: made.PolyScheduler(9, 0.1, warmup_begin_lr=0.2)),
        "warm-up steps": raised(lambda: made.PolyScheduler(9, warmup_steps=1.5)),
        "negative warm-up": raised(lambda: made.PolyScheduler(9, warmup_steps=-1)),
        "mode": raised(lambda: made.PolyScheduler(9, warmup_mode="other")),
    }


@scenario
def initializers_written_out(mx: ModuleType) -> Answer:
    init = mx.init
    made = {
        "Uniform": init.Uniform(),
        "Normal": init.Normal(0.1),
        "Xavier": init.Xavier(magnitude=2.34),
        "MSRAPrelu": init.MSRAPrelu(),
        "Orthogonal": init.Orthogonal(),
        "Constant": init.Constant(2.5),
        "Constant array": init.Constant(mx.nd.array([1, 2])),
        "One": init.One(),
        "Zero": init.Zero(),
        "Bilinear": init.Bilinear(),
        "LSTMBias": init.LSTMBias(2.0),
    }
    return {
        "dumps": {label: one.dumps() for label, one in made.items()},
        "equal": [init.Uniform() == init.Uniform(), init.Uniform() == init.Uniform(1)],
        "created": outcomes(
            {
                "name": lambda: init.create("xavier", magnitude=2).dumps(),
                "alias": lambda: init.create("zeros").dumps(),
                "unknown": lambda: init.create("gaussian"),
                "object": lambda: init.create(init.One()).dumps(),
            }
        ),
    }


NAMES = [
    *("fc_weight", "fc_bias", "bn_gamma", "bn_beta", "bn_moving_mean", "bn_moving_var", "x_min"),
    *("bn_running_mean", "x_max", "x_parameters", "l_state", "embed", "foo", "upsampling_weight"),
    *("stn_loc_weight", "x_moving_inv_var", "x_moving_avg"),
]


@scenario
def initializers_by_name(mx: ModuleType) -> Answer:
    init = mx.init

    def filled(desc: str) -> Any:
        array = mx.nd.full((1, 1, 2, 2), -7)
        init.Constant(5)(desc, array)
        return array.asnumpy().ravel().tolist()

    return {
        "texts": outcomes({name: lambda name=name: filled(name) for name in NAMES}),
        "descriptions": outcomes(
            {name: lambda name=name: filled(init.InitDesc(name)) for name in NAMES}
        ),
        "own": outcomes(
            {
                text: lambda text=text: filled(init.InitDesc("foo", {"__init__": text}))
                for text in ('["zero", {}]', "zeros", '["constant", {"value": 3}]', "one", "nope")
            }
        ),
        "no name": raised(lambda: init.One()(3, mx.nd.ones((2,)))),
        "no array": raised(lambda: init.One()("fc_weight", [1])),
    }


@scenario(tolerance=1e-6)
def initializers_without_chance(mx: ModuleType) -> Answer:
    init = mx.init

    def filled(one: Any, *shape: int) -> Any:
        array = mx.nd.full(shape, -7)
        one("x_weight", array)
        return array.asnumpy().tolist()

    loaded = init.Load({"arg:x_weight": mx.nd.array([3, 4])}, init.One())
    mixed = init.Mixed(["y", ".*weight"], [init.Zero(), init.Constant(9)])
    return {
        "bilinear 4": filled(init.Bilinear(), 1, 1, 4, 4),
        "bilinear 3": filled(init.Bilinear(), 2, 1, 3, 3),
        "lstm": filled(init.LSTMBias(), 8),
        "constant array": filled(init.Constant(mx.nd.array([1, 2])), 3, 2),
        "load": filled(loaded, 2),
        "load another shape": raised(lambda: filled(loaded, 3)),
        "load without default": raised(lambda: filled(init.Load({}), 3)),
        "mixed": filled(mixed, 2),
        "mixed without a match": raised(lambda: filled(init.Mixed(["y"], [init.Zero()]), 2)),
        "mixed lengths": raised(lambda: init.Mixed(["y"], [])),
        "vector": raised(lambda: filled(init.Xavier(), 3)),
        "rnd_type": raised(lambda: filled(init.Xavier(rnd_type="z"), 3, 3)),
        "factor_type": raised(lambda: filled(init.Xavier(factor_type="z"), 3, 3)),
    }
