"""Optimizers beyond what MXNet answers: AdamW, mistakes, and states as bytes from anywhere."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.context import Context
from tritonsym.ndarray import params_file
from tritonsym.training.optimizer.compiled import CompiledUpdate


def weights(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


@pytest.mark.parametrize("wd", [0.0, 0.1])
def test_adamw_is_that_of_the_paper(wd: float) -> None:
    """Algorithm 2 of Loshchilov and Hutter, in float64; epsilon is nothing here."""
    rate, weight = 0.05, mx.nd.array(weights(0, 3, 4))
    given = {"learning_rate": rate, "wd": wd, "epsilon": 1e-12}
    updater = mx.optimizer.get_updater(mx.optimizer.create("adamw", **given))
    theta, mean, var = weights(0, 3, 4).astype("float64"), 0.0, 0.0
    for step in range(1, 9):
        grad = weights(step, 3, 4)
        updater(0, mx.nd.array(grad), weight)
        mean = 0.9 * mean + 0.1 * grad
        var = 0.999 * var + 0.001 * grad.astype("float64") ** 2
        unbiased = (mean / (1 - 0.9**step), var / (1 - 0.999**step))
        theta = theta - rate * (unbiased[0] / np.sqrt(unbiased[1]) + wd * theta)
        np.testing.assert_allclose(weight.asnumpy(), theta, rtol=1e-5, atol=1e-6)


def test_adamw_on_arrays_waits_where_the_scale_is_not_finite() -> None:
    for scale in (np.inf, np.nan, 0.0):
        arrays = [mx.nd.array(weights(seed, 4)) for seed in range(4)]
        before = [array.asnumpy() for array in arrays]
        update = mx.nd._internal._adamw_update
        update(*arrays, mx.nd.array([scale]), out=arrays[0], lr=0.1, eta=1.0)
        for array, old in zip(arrays, before, strict=True):
            assert (array.asnumpy() == old).all()


def test_ftml_divides_by_a_rate_of_zero_as_mxnet_does() -> None:
    """By MXNet 1.9.1."""
    weight, grad, d, v, z = (mx.nd.array([x, x]) for x in (0.5, 2.0, 1.0, 1.0, 3.0))
    found = mx.nd.ftml_update(weight, grad, d, v, z, lr=0.0, t=1)
    assert np.isnan(found.asnumpy()).all()
    assert np.isposinf(d.asnumpy()).all() and np.isneginf(z.asnumpy()).all()
    mx.nd.ftml_update(weight, grad, d, v, z, lr=0.0, t=0)
    assert np.isnan(d.asnumpy()).all()


def test_many_weights_at_once_are_the_same_as_one_by_one() -> None:
    def trained(together: bool) -> list[np.ndarray]:
        updater = mx.optimizer.get_updater(mx.optimizer.Adam(wd=0.1))
        arrays = [mx.nd.array(weights(i, 2 + i, 3)) for i in range(4)]
        for step in range(3):
            grads = [mx.nd.array(weights(10 * step + i, 2 + i, 3)) for i in range(4)]
            if together:
                updater(list(range(4)), grads, arrays)
            else:
                for each in zip(range(4), grads, arrays, strict=True):
                    updater(*each)
        return [array.asnumpy() for array in arrays]

    for one, other in zip(trained(True), trained(False), strict=True):
        assert (one == other).all()


def test_a_gradient_of_another_shape_changes_nothing() -> None:
    optimizer = mx.optimizer.SGD(momentum=0.9)
    weight = mx.nd.ones((2, 3))
    state = optimizer.create_state(0, weight)
    with pytest.raises(mx.MXNetError, match=r"float32\(2, 3\).*float32\(3,\)"):
        optimizer.update(0, weight, mx.nd.ones((3,)), state)
    assert (weight.asnumpy() == 1).all()
    assert optimizer.num_update == 0


@pytest.mark.parametrize("shape", [(3,), (1,), (2, 2)])
def test_a_weight_whose_state_is_that_of_another(shape: tuple[int, ...]) -> None:
    updater = mx.optimizer.get_updater(mx.optimizer.SGD(momentum=0.9))
    updater(0, mx.nd.ones((2,)), mx.nd.ones((2,)))
    weight = mx.nd.ones(shape)
    with pytest.raises(mx.MXNetError, match=r"a weight is float32\(.*its states float32\(2,\)"):
        updater(0, mx.nd.ones(shape), weight)
    assert (weight.asnumpy() == 1).all()


def test_weights_that_are_no_numbers() -> None:
    weight = mx.nd.ones((2,), dtype="bool")
    with pytest.raises(mx.MXNetError, match="a weight is bool"):
        mx.optimizer.get_updater(mx.optimizer.SGD())(0, weight, weight)


@pytest.mark.parametrize(
    ("method", "given"),
    [("sgd", {"momentum": "x"}), ("adam", {"beta1": "x"}), ("adam", {"epsilon": None})],
)
def test_numbers_of_a_method_that_are_none(method: str, given: dict[str, object]) -> None:
    weight = mx.nd.ones((2,))
    updater = mx.optimizer.get_updater(mx.optimizer.create(method, **given))
    with pytest.raises(mx.MXNetError, match=r"(SGD|Adam) cannot update: "):
        updater(0, mx.nd.ones((2,)), weight)
    assert (weight.asnumpy() == 1).all()


def test_lists_of_different_lengths_and_of_none() -> None:
    updater, weight = mx.optimizer.get_updater(mx.optimizer.SGD()), mx.nd.ones((2,))
    with pytest.raises(ValueError, match="2 indices, 1 gradients and 2 weights"):
        updater([0, 1], [weight], [weight, weight])
    updater([], [], [])
    assert not updater.states


def test_a_factor_that_is_no_number() -> None:
    weight = mx.sym.Variable("w", lr_mult="fast")
    with pytest.raises(ValueError, match="__lr_mult__ of w must be a number, got 'fast'"):
        mx.optimizer.SGD(sym=weight)


@pytest.mark.parametrize(
    "method",
    [
        *("sgd", "nag", "adam", "rmsprop", "adagrad", "lamb"),
        *("ftml", "adamax", "nadam", "dcasgd", "lars", "lbsgd"),
    ],
)
@pytest.mark.filterwarnings("ignore:sums in b?float16 can lead to poor accuracy")
@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_training_goes_on_where_it_stopped(method: str, dtype: str, several: bool) -> None:
    """States, counts, rates and schedules come back from bytes, with several precisions or one."""

    def updater() -> mx.optimizer.Updater:
        schedule = mx.lr_scheduler.MultiFactorScheduler([2, 4], 0.5, base_lr=0.1)
        given = {"momentum": 0.9} if method in ("sgd", "nag", "dcasgd", "lars", "lbsgd") else {}
        made = mx.optimizer.create(
            method,
            learning_rate=0.1,
            lr_scheduler=schedule,
            multi_precision=several,
            param_idx2name={0: "fc_weight", "b": "fc_bias"},
            wd=0.01,
            **given,
        )
        made.set_lr_mult({"fc_bias": 2.0})
        return mx.optimizer.get_updater(made)

    def run(one: mx.optimizer.Updater, arrays: dict, steps: range) -> None:
        for step in steps:
            for index, array in arrays.items():
                one(index, mx.nd.array(weights(step, 3), dtype=dtype), array)

    through, stopped = updater(), updater()
    arrays = {index: mx.nd.array(weights(9, 3), dtype=dtype) for index in (0, "b")}
    copies = {index: array.copy() for index, array in arrays.items()}
    run(through, arrays, range(6))
    run(stopped, copies, range(3))
    again = mx.optimizer.get_updater(mx.optimizer.SGD())
    again.set_states(stopped.get_states(dump_optimizer=True))
    assert type(again.optimizer) is type(through.optimizer)
    run(again, copies, range(3, 6))
    for index, array in arrays.items():
        assert (array.asnumpy() == copies[index].asnumpy()).all()


# ---- methods that MXNet does not answer for -----------------------------------------------------


def noise(updater: mx.optimizer.Updater, count: int, steps: int, context: mx.Context) -> list:
    """How two weights change at each step where their gradients are 0."""
    arrays = [mx.nd.zeros((count,), context) for _ in range(2)]
    grads = [mx.nd.zeros((count,), context) for _ in range(2)]
    found = []
    for _ in range(steps):
        before = [array.asnumpy() for array in arrays]
        updater([0, 1], grads, arrays)
        found += [one.asnumpy() - old for one, old in zip(arrays, before, strict=True)]
    return found


def test_sgld_adds_noise_of_the_rates_variance(context: mx.Context) -> None:
    """A quarter of the rate is a variance; means within 5 standard errors, one in 2e6 by chance."""
    count, rate = 4000, 0.25

    def run() -> list[np.ndarray]:
        mx.random.seed(7)
        made = mx.optimizer.SGLD(learning_rate=rate, wd=0.1)
        return noise(mx.optimizer.get_updater(made), count, 3, context)

    found = run()
    for one in found:
        assert abs(one.mean()) < 5 * np.sqrt(rate / count)
        assert abs(one.std() / np.sqrt(rate) - 1) < 5 / np.sqrt(2 * count) + 0.1 * rate
    for i, one in enumerate(found):
        for other in found[:i]:
            assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(count)
    for one, again in zip(found, run(), strict=True):
        np.testing.assert_allclose(one, again, rtol=1e-4, atol=1e-6)


def test_dcasgd_with_momentum() -> None:
    """MXNet fails here, as it asks a whole array whether it is true."""
    weight, old, mom = weights(0, 2, 3), weights(0, 2, 3), np.zeros((2, 3))
    array = mx.nd.array(weight)
    updater = mx.optimizer.get_updater(
        mx.optimizer.DCASGD(momentum=0.9, lamda=0.5, learning_rate=0.1, wd=0.01)
    )
    for step in range(4):
        grad = weights(step + 1, 2, 3)
        updater(0, mx.nd.array(grad), array)
        mom = 0.9 * mom - 0.1 * (grad + 0.01 * weight + 0.5 * grad * grad * (weight - old))
        old, weight = weight, weight + mom
    np.testing.assert_allclose(array.asnumpy(), weight, rtol=1e-5)


def test_group_adagrad_is_for_matrices_without_decay() -> None:
    with pytest.raises(AssertionError, match="decay"):
        mx.optimizer.GroupAdaGrad(wd=0.1)
    with pytest.raises(AssertionError, match=r"needs a matrix, the weight is \(3,\)"):
        mx.optimizer.get_updater(mx.optimizer.GroupAdaGrad())(0, mx.nd.ones((3,)), mx.nd.ones((3,)))


@pytest.mark.parametrize("scale", [0, -1, 1.5, "2"])
def test_steps_of_no_batches(scale: object) -> None:
    with pytest.raises(ValueError, match="batch_scale"):
        mx.optimizer.LBSGD(batch_scale=scale)


NO_TABLES: dict[str, list] = {
    "idx2name": [],
    "_index_update_count": [],
    "lr_mult": [],
    "wd_mult": [],
}


def damaged(described: object) -> bytes:
    text = described if isinstance(described, bytes) else json.dumps(described).encode()
    tensor = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    return params_file.dump([tensor], [Context("cpu", 0)], ["structure"])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04K\x03.",  # a pickle
        damaged(b"{"),
        damaged([]),
        damaged({"states": 3}),
        damaged({"states": [[0, 1]]}),
        damaged({"states": [[[1], None]]}),
        damaged({"states": [[0, ["Updater"]]]}),
        damaged({"states": [], "optimizer": {"name": "os.system"}}),
        damaged({"states": [], "optimizer": None}),
        damaged(
            {
                "states": [],
                "optimizer": {
                    "name": "sgd",
                    **NO_TABLES,
                    "numbers": {"step": 3},
                    "scheduler": None,
                },
            }
        ),
        damaged(
            {
                "states": [],
                "optimizer": {
                    "name": "sgd",
                    **NO_TABLES,
                    "numbers": {},
                    "scheduler": ["math", {}],
                },
            }
        ),
        damaged(b"[" * 100_000),
    ],
)
def test_bytes_that_are_no_states(content: bytes) -> None:
    updater = mx.optimizer.get_updater(mx.optimizer.SGD(momentum=0.9))
    updater(0, mx.nd.ones((2,)), mx.nd.ones((2,)))
    before = updater.states
    with pytest.raises(mx.MXNetError):
        updater.set_states(content)
    assert updater.states is before


# ---- programs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("sgd", {"momentum": 0.9}),
        ("nag", {"momentum": 0.9, "wd": 0.1}),
        ("adam", {"wd": 0.1, "rescale_grad": 0.5}),
        ("adamw", {"wd": 0.1}),
        ("rmsprop", {"centered": True, "clip_gradient": 0.3}),
        ("adadelta", {"wd": 0.1}),
        ("ftrl", {}),
        ("lamb", {"wd": 0.1}),
        ("signum", {}),
        ("ftml", {"wd": 0.1, "clip_gradient": 0.3}),
        ("adamax", {"wd": 0.1}),
        ("nadam", {"wd": 0.1}),
        ("dcasgd", {"momentum": 0.9}),
        ("lars", {"momentum": 0.9, "wd": 0.1}),
        ("lbsgd", {"momentum": 0.9, "batch_scale": 2}),
        ("lbsgd", {"warmup_strategy": "lars"}),
        ("groupadagrad", {}),
        ("test", {"rescale_grad": 0.5}),
    ],
)
def test_a_program_updates_as_operators_do(
    method: str, given: dict[str, float], dtype: str, context: mx.Context
) -> None:
    """The same arrays come again and again, so that all but the first update run as a program."""
    arrays = [mx.nd.array(weights(i, 3, 5), context, dtype) for i in range(3)]
    copies = [array.copy() for array in arrays]
    grads = [mx.nd.zeros((3, 5), context, dtype) for _ in arrays]
    names = {0: "a_weight", 1: "b_bias", 2: "c_weight"}
    made = {**given, "param_idx2name": names, "multi_precision": True, "learning_rate": 0.1}
    together, apart = (mx.optimizer.get_updater(mx.optimizer.create(method, **made)) for _ in "ab")
    for step in range(5):
        if step == 3:  # what changes from step to step is handed to the program
            for updater in (together, apart):
                updater.optimizer.set_learning_rate(0.03)
                updater.optimizer.set_lr_mult({"b_bias": 2.0})
        if step == 4 and hasattr(apart.optimizer, "epsilon"):  # what does not makes another one
            together.optimizer.epsilon = apart.optimizer.epsilon = 0.1
        for i, grad in enumerate(grads):
            grad[:] = weights(10 * step + i, 3, 5)
        together([0, 1, 2], grads, arrays)
        for i in range(3):
            apart(i, grads[i].copy(), copies[i])
    (program,) = together._programs.values()
    assert isinstance(program, CompiledUpdate)
    assert not any(isinstance(one, CompiledUpdate) for one in apart._programs.values())
    tolerance = 1e-5 if dtype == "float32" else 1e-3  # roundings in another order
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_allclose(array.asnumpy(), copy.asnumpy(), tolerance, tolerance)


class Tabled(mx.optimizer.Optimizer):
    """One whose formula contains what a program keeps in a list or an array of its own."""

    def __init__(self, table: Any) -> None:
        super().__init__(learning_rate=1.0)
        self.table = table

    def step(self, weight: Any, grad: Any, states: Any, rates: Any) -> tuple[Any, ...]:
        return (weight - grad * float(self.table[0]),)


@pytest.mark.parametrize("made", [list, np.array, lambda values: {0: values[0]}])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_formula_that_a_program_changes(made: Any, replaced: bool) -> None:
    optimizer = Tabled(made([1.0, 2.0]))
    update = mx.optimizer.get_updater(optimizer)
    weights, grads = [mx.nd.zeros((2,)) for _ in "ab"], [mx.nd.ones((2,)) for _ in "ab"]
    found = []
    for number in range(4):
        if replaced:
            optimizer.table = made([number + 1.0, 2.0])
        optimizer.table[0] = number + 1.0
        update([0, 1], grads, weights)
        found.append(weights[0].asnumpy().tolist())
    assert found == [[-1.0] * 2, [-3.0] * 2, [-6.0] * 2, [-10.0] * 2]


def numbers_after(optimizer: mx.optimizer.Optimizer, together: bool = True) -> np.ndarray:
    """Three weights after two updates, in one call for all or in one for each."""
    update = mx.optimizer.get_updater(optimizer)
    arrays = [mx.nd.ones((2,)) for _ in range(3)]
    grads = [mx.nd.full((2,), 0.5) for _ in range(3)]
    for _ in range(2):
        if together:
            update([0, 1, 2], grads, arrays)
        else:
            for each in zip(range(3), grads, arrays, strict=True):
                update(*each)
    return np.stack([array.asnumpy() for array in arrays])


@pytest.mark.parametrize("together", [True, False])
def test_a_subclass_says_the_rate_of_a_weight(together: bool) -> None:
    class Rated(mx.optimizer.NAG):
        def _get_lr(self, index: int) -> float:
            return super()._get_lr(index) * (index + 1) / self._index_update_count[index]

        def _get_wd(self, index: int) -> float:
            return 0.1 * index

    expected = []
    for index in range(3):
        weight = 1.0
        for count in (1, 2):
            weight -= 0.1 * (index + 1) / count * (0.5 + 0.1 * index * weight)
        expected.append([weight] * 2)
    found = numbers_after(Rated(learning_rate=0.1), together)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_method_on_an_object_says_the_rate() -> None:
    optimizer = mx.optimizer.NAG(learning_rate=1.0)
    optimizer._get_lr = lambda index: 0.1 * (index + 1)
    found = numbers_after(optimizer)
    np.testing.assert_allclose(found[:, 0], [0.9, 0.8, 0.7], rtol=1e-6)


@pytest.mark.parametrize(("method", "asks_for_all"), [("SGD", True), ("Adam", False)])
def test_gradient_descent_asks_for_the_rates_of_all_weights(
    method: str, asks_for_all: bool
) -> None:
    """As MXNet 1.9.1's does: what a subclass says of one weight counts for other methods."""

    class One(getattr(mx.optimizer, method)):
        def _get_lr(self, index: int) -> float:
            return 0.0

    class All(getattr(mx.optimizer, method)):
        def _get_lrs(self, indices: Any) -> list[float]:
            return [0.0 for _ in indices]

    assert (numbers_after(One()) == 1).all() != asks_for_all
    assert (numbers_after(All()) == 1).all()


@pytest.mark.parametrize("most", [0, 1, 2, 4])
def test_rates_are_asked_for_of_as_many_weights_as_are_updated_at_once(most: int) -> None:
    """Published programs give as many as they have said, whatever they are asked for."""
    asked: list[list[int]] = []

    class Rated(mx.optimizer.SGD):
        aggregate_num = most

        def _get_lrs(self, indices: Any) -> list[float]:
            asked.append(list(indices))
            return [0.5 * index for index in indices][: most or 1]

    values = trained_module(Rated(rescale_grad=0.25)).get_params()[0]
    of_each_update = asked[: len(asked) // 2], asked[len(asked) // 2 :]
    due = [[0], [1]] if most < 2 else [[0, 1]]
    assert [sorted(map(sorted, one)) for one in of_each_update] == [due, due]
    assert (values["fc_weight"].asnumpy() == 1).all()
    assert (values["fc_bias"].asnumpy() != 0).all()


def test_what_an_optimizer_refuses_is_not_taken_for_an_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"Cannot find optimizer 'zz': .*optimizers are .*sgd"):
        mx.optimizer.create("zz")
    with pytest.raises(AssertionError, match="param_idx2name should be a dict"):
        mx.optimizer.create("sgd", param_idx2name=3)


def test_a_rate_that_takes_the_place_of_the_schedule_s_is_said() -> None:
    schedule = mx.lr_scheduler.FactorScheduler(10, base_lr=0.1)
    with pytest.warns(UserWarning, match="has been overwritten by ``learning_rate``"):
        made = mx.optimizer.SGD(learning_rate=0.3, lr_scheduler=schedule)
    assert made.learning_rate == 0.3


@pytest.mark.parametrize(
    "rates", [[0.5], None, 0.5, ["x", "y"], [None, 1], {0: 0.5, 1: 0.5}, [10**400, 1], [1j, 1]]
)
def test_rates_that_are_none_name_the_method(rates: Any) -> None:
    class Rated(mx.optimizer.SGD):
        aggregate_num = 4

        def _get_lrs(self, indices: Any) -> Any:
            return rates

    with pytest.raises(mx.MXNetError, match=r"Rated\._get_lrs gave .* for 2 parameters: .* each"):
        trained_module(Rated())


def test_a_module_asks_a_subclass_for_the_rate() -> None:
    class Rated(mx.optimizer.Adam):
        def _get_lr(self, index: int) -> float:
            return 0.5 * index

    module = trained_module(Rated(rescale_grad=0.25))
    values = {name: array.asnumpy() for name, array in module.get_params()[0].items()}
    assert (values["fc_weight"] == 1).all()  # the first one, of index 0
    assert (values["fc_bias"] != 0).all()


def trained_module(optimizer: mx.optimizer.Optimizer) -> mx.mod.Module:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    module = mx.mod.Module(mx.sym.SoftmaxOutput(net, name="softmax"))
    batches = mx.io.NDArrayIter(weights(0, 4, 5), np.array([0, 1, 2, 0]), 4)
    module.fit(batches, optimizer=optimizer, initializer=mx.init.One(), num_epoch=2)
    return module


def kinds_of(method: type) -> tuple[type, list[tuple[str, ...]]]:
    """A subclass with methods of its own, and what they are called with."""
    calls: list[tuple[str, ...]] = []

    def kind(given: Any) -> str:
        return f"{type(given).__name__}{len(given) if isinstance(given, (list, tuple)) else ''}"

    class Own(method):
        def create_state_multi_precision(self, index: Any, weight: Any) -> Any:
            calls.append(("create", kind(index), kind(weight)))
            return super().create_state_multi_precision(index, weight)

        def update_multi_precision(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
            calls.append(("update", *map(kind, (index, weight, grad))))
            super().update_multi_precision(index, weight, grad, state)

    return Own, calls


@pytest.mark.parametrize(
    ("method", "taken"),
    [
        (mx.optimizer.Adam, [("int", "NDArray", "NDArray")] * 5),
        (mx.optimizer.SGD, [("tuple4",) * 3, ("tuple1",) * 3]),
        (mx.optimizer.LAMB, [("tuple5",) * 3]),
    ],
)
def test_a_method_of_its_own_is_called_as_mxnet_calls_it(
    method: type, taken: list[tuple[str, ...]]
) -> None:
    kind, calls = kinds_of(method)
    arrays, copies = ([mx.nd.array(weights(i, 3)) for i in range(5)] for _ in "ab")
    own, usual = (mx.optimizer.get_updater(made(learning_rate=0.1)) for made in (kind, method))
    for step in range(2):
        grads = [mx.nd.array(weights(10 + step + i, 3)) for i in range(5)]
        own(list(range(5)), grads, arrays)
        usual(list(range(5)), grads, copies)
    updates = [("update", *names) for names in taken]
    assert calls == [("create", "int", "NDArray")] * 5 + updates * 2
    for one, other in zip(arrays, copies, strict=True):
        np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), rtol=1e-6)


def test_weights_that_come_at_once_are_of_one_dtype() -> None:
    kind, calls = kinds_of(mx.optimizer.SGD)
    dtypes = ["float32", "float64", "float32"]
    arrays = [mx.nd.ones((2,), dtype=dtype) for dtype in dtypes]
    mx.optimizer.get_updater(kind())([0, 1, 2], arrays, arrays)
    assert calls[3:] == [("update", *("tuple2",) * 3), ("update", *("tuple1",) * 3)]


@pytest.mark.parametrize("method", [mx.optimizer.SGD, mx.optimizer.Adam])
def test_a_module_calls_a_method_of_its_own(method: type) -> None:
    kind, calls = kinds_of(method)
    found = trained_module(kind(rescale_grad=0.25)).get_params()[0]
    each = 1 if method is mx.optimizer.SGD else 2
    assert [call[0] for call in calls] == ["create"] * 2 + ["update"] * 2 * each
    usual = trained_module(method(rescale_grad=0.25)).get_params()[0]
    for name, array in usual.items():
        np.testing.assert_allclose(found[name].asnumpy(), array.asnumpy(), rtol=1e-5)


def test_gradient_descent_has_its_old_name() -> None:
    assert mx.optimizer.ccSGD(momentum=0.9).momentum == 0.9
    assert isinstance(mx.optimizer.create("ccsgd"), mx.optimizer.ccSGD)
