"""Random first values: their ranges and moments, which follow from each initializer's formula."""

from __future__ import annotations

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


def test_verbosity(capsys: pytest.CaptureFixture[str]) -> None:
    mx.init.One().set_verbosity(True)("fc_weight", mx.nd.zeros((4,)))
    assert capsys.readouterr().out == "Initialized fc_weight by One: 1.0\n"


def test_register() -> None:
    @mx.init.register
    class Seven(mx.init.Initializer):
        def _init_weight(self, name: str, arr: mx.nd.NDArray) -> None:
            arr[:] = 7

    array = mx.nd.zeros((2,))
    mx.init.create("seven")("x_weight", array)
    assert array.asnumpy().tolist() == [7, 7]
