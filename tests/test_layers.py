"""What recorded answers cannot say of layers: chance, masks that return, 16-bit data, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tritonsym as mx

X = mx.sym.Variable("x")


def bound(symbol: mx.Symbol, context: mx.Context, **shapes: tuple[int, ...]) -> mx.Executor:
    """The symbol on normal random arrays of these shapes."""
    executor = symbol.simple_bind(context, **shapes)
    numbers = np.random.default_rng(3)
    for array in executor.arg_dict.values():
        array[:] = numbers.standard_normal(array.shape)
    return executor


# ---- chance ------------------------------------------------------------------------------------


def test_dropout_keeps_its_share_and_its_mask(context: mx.Context) -> None:
    executor = mx.sym.Dropout(X, p=0.25).simple_bind(context, x=(40, 50))
    executor.arg_dict["x"][:] = 2
    mx.random.seed(5)
    first = executor.forward(is_train=True)[0].asnumpy().copy()
    executor.backward(mx.nd.ones((40, 50), ctx=context) * 3)
    np.testing.assert_array_equal(executor.grad_dict["x"].asnumpy(), first * 1.5)
    kept = first != 0
    np.testing.assert_allclose(first[kept], 2 / 0.75, rtol=1e-6)
    # Five standard deviations of a binomial count.
    assert abs(kept.sum() - 1500) < 5 * math.sqrt(2000 * 0.75 * 0.25)
    second = executor.forward(is_train=True)[0].asnumpy()
    assert (second != first).any()
    mx.random.seed(5)
    np.testing.assert_array_equal(executor.forward(is_train=True)[0].asnumpy(), first)
    assert (executor.forward(is_train=False)[0].asnumpy() == 2).all()


def test_dropout_is_the_same_on_both_contexts(gpu: mx.Context) -> None:
    found = []
    for context in (mx.cpu(), gpu):
        executor = mx.sym.Dropout(X, p=0.5).simple_bind(context, x=(6, 7))
        executor.arg_dict["x"][:] = 1
        mx.random.seed(11)
        found.append(executor.forward(is_train=True)[0].asnumpy())
    np.testing.assert_array_equal(*found)


def test_dropout_shares_its_mask_along_axes(context: mx.Context) -> None:
    executor = mx.sym.Dropout(X, p=0.5, axes=(1,), mode="always").simple_bind(context, x=(30, 4))
    executor.arg_dict["x"][:] = 1
    values = executor.forward(is_train=False)[0].asnumpy()
    assert (values == values[:, :1]).all()
    assert set(np.unique(values)) == {0.0, 2.0}


def test_random_slopes_are_within_their_bounds(context: mx.Context) -> None:
    symbol = mx.sym.LeakyReLU(X, act_type="rrelu", lower_bound=0.25, upper_bound=0.5)[0]
    executor = symbol.simple_bind(context, x=(20, 20))
    executor.arg_dict["x"][:] = -1
    values = executor.forward(is_train=True)[0].asnumpy()
    executor.backward(mx.nd.ones((20, 20), ctx=context))
    np.testing.assert_array_equal(executor.grad_dict["x"].asnumpy(), -values)
    assert -0.5 <= values.min() < -0.45
    assert -0.3 < values.max() <= -0.25
    assert (executor.forward(is_train=False)[0].asnumpy() == -0.375).all()


def test_whole_random_numbers_reach_all_of_their_range(context: mx.Context) -> None:
    symbol = mx.sym.random_randint(low=-3, high=4, shape=(1000,))
    values = symbol.simple_bind(context).forward()[0].asnumpy()
    assert values.dtype == np.int32
    assert set(np.unique(values)) == set(range(-3, 4))


def test_classes_are_drawn_by_their_probabilities(context: mx.Context) -> None:
    probabilities = np.array([[0.5, 0.0, 0.2, 0.3], [0.1, 0.6, 0.3, 0.0]], "float32")
    symbol = mx.sym.sample_multinomial(X, shape=(2000,), get_prob=True)
    executor = symbol.simple_bind(context, x=(2, 4))
    executor.arg_dict["x"][:] = probabilities
    drawn, logarithms = (output.asnumpy() for output in executor.forward(is_train=True))
    assert drawn.dtype == np.int32
    for row, p, of_row in zip(drawn, probabilities, logarithms, strict=True):
        counts = np.bincount(row, minlength=4)
        assert (np.abs(counts - 2000 * p) <= 5 * np.sqrt(2000 * p * (1 - p))).all()
        np.testing.assert_allclose(of_row, np.log(p[row]), rtol=1e-6)
    executor.backward([mx.nd.zeros((2, 2000), context, "int32"), mx.nd.ones((2, 2000), context)])
    with np.errstate(all="ignore"):
        counts = np.stack([np.bincount(row, minlength=4) for row in drawn])
        expected = np.where(counts > 0, counts / probabilities, 0)
    np.testing.assert_allclose(executor.grad_dict["x"].asnumpy(), expected, rtol=1e-4)


def test_dropout_between_recurrent_layers_returns_in_the_gradient(context: mx.Context) -> None:
    """Central differences, each run with the same seed, so with the same mask."""
    symbol = mx.sym.RNN(X, state_size=3, num_layers=2, mode="gru", p=0.5, name="r")
    executor = bound(symbol, context, x=(3, 2, 2))
    data = executor.arg_dict["x"]

    def total() -> float:
        mx.random.seed(9)
        return float(executor.forward(is_train=True)[0].asnumpy().astype("float64").sum())

    total()
    executor.backward(mx.nd.ones((3, 2, 3), ctx=context))
    values, slopes = data.asnumpy().copy(), executor.grad_dict["x"].asnumpy().copy()
    for place in ((0, 0, 0), (1, 1, 1), (2, 0, 1)):
        sums = []
        for step in (1e-2, -1e-2):
            moved = values.copy()
            moved[place] += step
            data[:] = moved
            sums.append(total())
        # float32 sums of about 10, over steps of 0.02; the third derivative is about 1.
        assert abs((sums[0] - sums[1]) / 2e-2 - slopes[place]) < 2e-3


# ---- 16-bit data -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        mx.sym.Convolution(X, kernel=(3, 3), num_filter=4, pad=(1, 1), name="l"),
        mx.sym.Deconvolution(X, kernel=(2, 2), stride=(2, 2), num_filter=4, name="l"),
        mx.sym.Pooling(X, kernel=(3, 3), pool_type="avg", pad=(1, 1)),
        mx.sym.BatchNorm(X, fix_gamma=False, name="l"),
        mx.sym.LayerNorm(X, name="l"),
    ],
    ids=lambda layer: layer.name,
)
def test_half_precision_is_rounded_once(layer: mx.Symbol, context: mx.Context) -> None:
    """The same as in float32, but for the rounding of the result and of the arguments."""
    shape = (2, 3, 6, 6)
    halves = layer.simple_bind(context, type_dict={"x": "float16"}, x=shape)
    singles = layer.simple_bind(context, x=shape)
    numbers = np.random.default_rng(1)
    for name, array in halves.arg_dict.items():
        values = numbers.standard_normal(array.shape).astype("float16")
        array[:] = values
        singles.arg_dict[name][:] = values
    got = halves.forward(is_train=True)[0].asnumpy()
    expected = singles.forward(is_train=True)[0].asnumpy()
    assert got.dtype == np.float16
    # Half a unit in the last place, and a little for sums in another order.
    np.testing.assert_allclose(got, expected, rtol=2**-10, atol=2**-10)


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape", "says"),
    [
        (mx.sym.Convolution(X, kernel=(9, 9), num_filter=2), (1, 1, 5, 5), "spans 9"),
        (mx.sym.Convolution(X, kernel=(3,), num_filter=2), (1, 1, 5, 5), "needs 3 axes"),
        (mx.sym.Convolution(X, kernel=(3, 3), num_filter=3, num_group=2), (1, 2, 5, 5), "divide"),
        (mx.sym.Convolution(X, kernel=(3, 3), stride=(0, 1), num_filter=1), (1, 1, 5, 5), "stride"),
        (mx.sym.Deconvolution(X, kernel=(2, 2), adj=(1, 1), num_filter=1), (1, 1, 5, 5), "adj"),
        (
            mx.sym.Deconvolution(X, kernel=(3, 3), target_shape=(5, 5), num_filter=1),
            (1, 1, 4, 4),
            r"target_shape=\(5, 5\) means adj=\(1, 1\), which must be below stride=\(1, 1\)",
        ),
        (mx.sym.Pooling(X, kernel=(2, 2), pad=(2, 2)), (1, 1, 5, 5), "padding"),
        (mx.sym.Pooling(X, kernel=(2000,), pool_type="sum"), (1, 1, 9000), "1024"),
        (mx.sym.Pooling(X, kernel=(2, 2), pool_type="lp"), (1, 1, 5, 5), "p_value"),
        (mx.sym.GroupNorm(X, num_groups=2), (1, 3, 5), "num_groups=2"),
        (mx.sym.LRN(X, nsize=2), (1, 3, 5, 5), "odd"),
        (mx.sym.SequenceReverse(X, axis=1), (3, 2), "axis=1"),
        (mx.sym.RNN(X, state_size=2, num_layers=1, mode="gru"), (3, 2), "3 axes"),
        (mx.sym.UpSampling(X, scale=0, sample_type="nearest"), (1, 1, 2, 2), "scale=0"),
        (mx.sym.Crop(X, h_w=(3, 3), offset=(1, 1)), (1, 1, 3, 3), "elements from 1"),
    ],
)
def test_what_cannot_be_is_refused(layer: mx.Symbol, shape: tuple[int, ...], says: str) -> None:
    with pytest.raises((mx.MXNetError, RuntimeError), match=says):
        layer.simple_bind(mx.cpu(), x=shape)
