"""Random first values: their ranges and moments, which follow from each initializer's formula."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest

import tritonsym as mx

# Of 40,000 numbers a mean or a standard deviation is off by 1/200 of the deviation, typically; the
# tests allow six times as much, and the seed is fixed.
SHAPE = (100, 400)
INPUTS, OUTPUTS = 400, 100


def filled(initializer: mx.init.Initializer, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    mx.random.seed(11)
    array = mx.nd.full(shape, math.nan)
    initializer(mx.init.InitDesc("x_weight"), array)
    return array.asnumpy().astype("float64")


@pytest.mark.parametrize(
    ("initializer", "bound"),
    [
        (mx.init.Uniform(), 0.07),
        (mx.init.Uniform(2), 2),
        (mx.init.Xavier(), math.sqrt(3 / ((INPUTS + OUTPUTS) / 2))),
        (mx.init.Xavier(factor_type="in", magnitude=2), math.sqrt(2 / INPUTS)),
        (mx.init.Xavier(factor_type="out"), math.sqrt(3 / OUTPUTS)),
    ],
    ids=lambda value: getattr(value, "dumps", lambda: None)(),
)
def test_uniform_weights(initializer: mx.init.Initializer, bound: float) -> None:
    values = filled(initializer)
    assert np.abs(values).max() <= bound
    assert abs(values.mean()) < 0.03 * bound
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.03)


@pytest.mark.parametrize(
    ("initializer", "deviation"),
    [
        (mx.init.Normal(), 0.01),
        (mx.init.Normal(3), 3),
        (mx.init.Xavier("gaussian", "in", 2), math.sqrt(2 / INPUTS)),
        (mx.init.MSRAPrelu(), math.sqrt(2 / (1 + 0.25**2) / ((INPUTS + OUTPUTS) / 2))),
        (mx.init.MSRAPrelu("out", 0), math.sqrt(2 / OUTPUTS)),
    ],
    ids=lambda value: getattr(value, "dumps", lambda: None)(),
)
def test_normal_weights(initializer: mx.init.Initializer, deviation: float) -> None:
    values = filled(initializer)
    assert abs(values.mean()) < 0.03 * deviation
    assert values.std() == pytest.approx(deviation, rel=0.03)
    assert np.abs(values).max() > 3 * deviation  # a uniform range would end before


def test_a_kernel_has_its_area_of_inputs() -> None:
    values = filled(mx.init.Xavier(), (8, 16, 5, 5))
    bound = math.sqrt(3 / ((8 * 25 + 16 * 25) / 2))
    assert 0.98 * bound < np.abs(values).max() <= bound


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (3, 2, 2, 2)])
@pytest.mark.parametrize("rand_type", ["uniform", "normal"])
def test_orthogonal_weights(shape: tuple[int, ...], rand_type: str) -> None:
    matrix = filled(mx.init.Orthogonal(2.0, rand_type), shape).reshape(shape[0], -1)
    short = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(short, 4 * np.eye(len(short)), atol=1e-5)  # float32 values


def test_the_seed_decides() -> None:
    for initializer in (mx.init.Xavier(), mx.init.Normal(), mx.init.Orthogonal()):
        assert (filled(initializer, (5, 5)) == filled(initializer, (5, 5))).all()


def test_a_variable_carries_its_initializer() -> None:
    weight = mx.sym.Variable("w", init=mx.init.Constant(3))
    desc = mx.init.InitDesc("w", weight.attr_dict()["w"])
    array = mx.nd.zeros((2,))
    mx.init.Uniform()(desc, array)
    assert array.asnumpy().tolist() == [3, 3]


@pytest.mark.parametrize(
    "text", ['["zero"', "[]", '["zero"]', "[1, {}]", '["[", {}]', "[" * 100_000, '["zero", []]']
)
def test_a_text_that_is_no_initializer(text: str) -> None:
    with pytest.raises((ValueError, AssertionError), match="initializer"):
        mx.init.create(text)


def test_verbosity(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        mx.init.One().set_verbosity(True)("fc_weight", mx.nd.zeros((4,)))
    assert caplog.messages == ["Initialized fc_weight by One: 1.0"]


def test_register() -> None:
    @mx.init.register
    @mx.init.alias("sevens")
    class Seven(mx.init.Initializer):
        def _init_weight(self, name: str, arr: mx.nd.NDArray) -> None:
            arr[:] = 7

    array = mx.nd.zeros((2,))
    mx.init.create("seven")("x_weight", array)
    assert array.asnumpy().tolist() == [7, 7]
    for given in ("sevens", '["sevens", {}]', '{"initializer": "sevens"}'):
        assert type(mx.init.create(given)) is Seven


class Noting(mx.init.Initializer):
    """Notes which method fills a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []


METHODS = (
    *("weight", "bias", "gamma", "beta", "zero", "one", "bilinear", "loc_bias"),
    *("quantized_weight", "quantized_bias", "default"),
)
for _method in METHODS:

    def _noted(self: Noting, name: str, array: mx.nd.NDArray, method: str = _method) -> None:
        self.calls.append((method, name))

    setattr(Noting, f"_init_{_method}", _noted)

# What MXNet 1.9.1 calls for a name with attributes, and for a plain text.
BY_NAME = {
    "fc_weight": ("weight", "weight"),
    "fc_bias": ("bias", "bias"),
    "bn_gamma": ("gamma", "gamma"),
    "bn_beta": ("beta", "beta"),
    "bn_moving_mean": ("default", "zero"),
    "bn_moving_var": ("default", "one"),
    "moving_inv_var": ("default", "zero"),
    "x_moving_avg": ("default", "zero"),
    "data_min": ("zero", "zero"),
    "data_max": ("one", "one"),
    "fc_weight_quantize": ("quantized_weight", "default"),
    "fc_bias_quantize": ("quantized_bias", "default"),
    "upsampling_weight": ("weight", "bilinear"),
    "stn_loc_weight": ("weight", "zero"),
    "stn_loc_bias": ("bias", "loc_bias"),
    "alpha": ("default", "default"),
}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_subclass_fills_by_its_own_methods(name: str) -> None:
    initializer, array = Noting(), mx.nd.zeros((6,))
    initializer(mx.init.InitDesc(name), array)
    initializer(name, array)
    assert initializer.calls == [(method, name) for method in BY_NAME[name]]


def test_biases_of_a_subclass_reach_the_module() -> None:
    class Ones(mx.init.Xavier):
        def _init_bias(self, name: str, array: mx.nd.NDArray) -> None:
            array[:] = 1

    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    module = mx.mod.Module(net, label_names=None)
    module.bind([("data", (2, 5))])
    module.init_params(Ones())
    assert module.get_params()[0]["fc_bias"].asnumpy().tolist() == [1, 1, 1]


def test_quantized_parameters() -> None:
    weight, bias = mx.nd.zeros((40, 50), dtype="int8"), mx.nd.ones((3,), dtype="int8")
    initializer = mx.init.Xavier()
    initializer(mx.init.InitDesc("fc_weight_quantize"), weight)
    initializer(mx.init.InitDesc("fc_bias_quantize"), bias)
    assert -127 <= weight.asnumpy().min() < -100
    assert 100 < weight.asnumpy().max() < 127
    assert not bias.asnumpy().any()


def test_a_name_that_says_nothing() -> None:
    with pytest.raises(ValueError, match=r"pattern for alpha.*mx\.sym\.Variable\(init="):
        mx.init.Xavier()(mx.init.InitDesc("alpha"), mx.nd.zeros((3,)))


def test_arguments_of_any_name_are_the_classs_own() -> None:
    for name in ("given", "self"):
        with pytest.raises(TypeError, match=rf"__init__\(\) got .*'{name}'"):
            mx.init.create(f'["zeros", {{"{name}": 1}}]')
