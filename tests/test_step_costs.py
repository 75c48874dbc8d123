"""What a step costs the host beside its program, in calls and not in time; what it looks at."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tritonsym as mx
from tritonsym.training.optimizer import rates
from tritonsym.training.optimizer.compiled import CompiledUpdate

SIZE, WIDTH = 4, 3


class Operations(TorchDispatchMode):
    """Counts what torch is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.found[str(operation)] += 1
        return operation(*args, **(kwargs or {}))


def operations(call: Callable[[], object]) -> Counter[str]:
    with Operations() as mode:
        call()
    return mode.found


def python_calls(call: Callable[[], object]) -> int:
    """How many Python functions are entered; a generator counts each time that it goes on."""
    count = 0

    def watch(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


def module(
    context: mx.Context, optimizer: str = "sgd", depth: int = 1, **options: Any
) -> tuple[mx.mod.Module, mx.io.DataBatch]:
    net = mx.sym.Variable("data")
    for number in range(depth):
        net = mx.sym.FullyConnected(net, num_hidden=WIDTH, name=f"layer{number}")
    made = mx.mod.Module(mx.sym.SoftmaxOutput(net, name="softmax"), context=context)
    made.bind([("data", (SIZE, WIDTH))], [("softmax_label", (SIZE,))])
    made.init_params(mx.init.One())
    made.init_optimizer(optimizer=optimizer, optimizer_params={"learning_rate": 0.1, **options})
    data = np.random.default_rng(0).standard_normal((SIZE, WIDTH))
    batch = mx.io.DataBatch([mx.nd.array(data, context)], [mx.nd.array([0, 1, 2, 0], context)])
    for _ in range(2):  # on a device the second step records a graph
        made.train_by(batch)
    return made, batch


def updater(
    optimizer: mx.optimizer.Optimizer, count: int, context: mx.Context | None = None
) -> tuple[mx.optimizer.Updater, list[mx.nd.NDArray], Callable[[], None]]:
    """An updater, its weights, which begin as ones, and its call with gradients 1, 2 and so on."""
    made = mx.optimizer.get_updater(optimizer)
    context = context or mx.cpu()
    weights = [mx.nd.ones((2,), context) for _ in range(count)]
    grads = [mx.nd.full((2,), number + 1, context) for number in range(count)]
    return made, weights, lambda: made(list(range(count)), grads, weights)


# ---- costs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_step_asks_torch_for_its_program_and_the_copies_of_a_batch(
    optimizer: str, context: mx.Context
) -> None:
    made, batch = module(context, optimizer)
    (program,) = made._steps.programs.values()
    needed = operations(program._run)
    needed["aten.copy_.default"] += 2
    if optimizer == "adam" and torch.cuda.is_available() and context.device_type == "gpu":
        needed["aten.copy_.default"] += 1  # the count, which is in its formula
    assert operations(lambda: made.train_by(batch)) == needed


@pytest.mark.parametrize("count", [2, 9])
def test_an_update_asks_torch_for_its_program_alone(count: int) -> None:
    made, _, call = updater(mx.optimizer.Adam(wd=0.1), count)
    call()
    (program,) = made._programs.values()
    assert isinstance(program, CompiledUpdate)
    assert operations(call) == operations(program._program.run)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_python_calls_of_a_step_do_not_grow_with_its_parameters(optimizer: str) -> None:
    found = set()
    for depth in (2, 12):
        made, batch = module(mx.cpu(), optimizer, depth, wd=0.1)
        (program,) = made._steps.programs.values()
        program._run = lambda: None
        found.add(python_calls(partial(made.train_by, batch)))
    assert len(found) == 1


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_python_calls_of_an_update_do_not_grow_with_its_weights(optimizer: str) -> None:
    found = set()
    for count in (2, 40):
        made, _, call = updater(mx.optimizer.create(optimizer, wd=0.1), count)
        call()
        (program,) = made._programs.values()
        object.__setattr__(program._program, "passes", ())
        found.add(python_calls(call))
    assert len(found) == 1


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What programs are sent."""
    found: list[bytes] = []
    make = rates._writer

    def recording(target: torch.Tensor) -> Callable[[bytes], None]:
        write = make(target)

        def both(numbers: bytes) -> None:
            found.append(numbers)
            write(numbers)

        return both

    monkeypatch.setattr(rates, "_writer", recording)
    return found


def test_rates_are_sent_where_they_have_changed(written: list[bytes]) -> None:
    schedule = mx.lr_scheduler.FactorScheduler(4, 0.5, base_lr=0.1)
    made, batch = module(mx.cpu(), lr_scheduler=schedule)
    counts = []
    for _ in range(2, 12):
        made.train_by(batch)
        counts.append(len(written))
    # Updates 3 to 12; the rate changes after each 4 of them.
    assert counts == [1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    made._optimizer.set_wd_mult({"layer0_weight": 2.0})  # of a decay that is 0
    made.train_by(batch)
    assert len(written) == 4  # the rate, after 12 updates
    made._optimizer.set_lr_mult({"layer0_weight": 2.0})
    for _ in range(2):
        made.train_by(batch)
    assert len(written) == 5


def test_counts_are_sent_to_formulas_that_have_them(written: list[bytes]) -> None:
    made, batch = module(mx.cpu(), "adam")
    for _ in range(3):
        made.train_by(batch)
    assert len(written) == 5


# ---- what may change between steps ---------------------------------------------------------------


class Parameter:
    def __init__(self, lr_mult: float, wd_mult: float) -> None:
        self.lr_mult, self.wd_mult = lr_mult, wd_mult


def test_whatever_changes_between_updates_takes_effect(context: mx.Context) -> None:
    """Gradient descent in float64: rate, factors by index, name and parameter, decay and scale."""
    optimizer = mx.optimizer.SGD(
        learning_rate=0.1, wd=0.01, rescale_grad=0.5, param_idx2name={0: "a_weight", 1: "b_bias"}
    )
    made, weights, call = updater(optimizer, 3, context)
    expected, grads = np.ones(3), np.array([1.0, 2.0, 3.0])
    lr_mult, wd_mult = np.ones(3), np.array([1.0, 0.0, 1.0])  # a bias does not decay

    def check() -> None:
        nonlocal expected
        call()
        lr = optimizer.learning_rate * lr_mult
        slopes = optimizer.rescale_grad * grads + optimizer.wd * wd_mult * expected
        expected = expected - lr * slopes
        for weight, value in zip(weights, expected, strict=True):
            # A few roundings of float32 in each of ten updates of numbers below 1.
            np.testing.assert_allclose(weight.asnumpy(), value, rtol=0, atol=1e-6)

    for _ in range(2):
        check()
    (program,) = made._programs.values()
    optimizer.set_learning_rate(0.05)
    check()
    optimizer.set_lr_mult({"a_weight": 2.0, 2: 0.5})
    lr_mult[:] = 2.0, 1.0, 0.5
    check()
    optimizer.lr_mult["b_bias"] = lr_mult[1] = 3.0
    check()
    optimizer.lr_mult[0] = lr_mult[0] = 0.25  # an index goes before a name
    check()
    optimizer.set_wd_mult({"b_bias": 0.5, 2: 2.0})
    wd_mult[:] = 1.0, 0.5, 2.0
    check()
    optimizer.idx2name[1] = "c_weight"
    lr_mult[1] = wd_mult[1] = 1.0
    check()
    optimizer.wd, optimizer.rescale_grad = 0.02, 0.25
    check()
    parameter = Parameter(4.0, 0.1)
    optimizer.param_dict[2] = parameter
    lr_mult[2], wd_mult[2] = 4.0, 0.1
    check()
    parameter.lr_mult = lr_mult[2] = 0.5
    check()
    assert next(iter(made._programs.values())) is program
    optimizer.wd = 0.0
    check()
    assert next(iter(made._programs.values())) is not program


def test_each_parameter_has_a_time_of_its_own(context: mx.Context) -> None:
    """Adam in float64: the counts differ, and one is set from outside."""
    optimizer = mx.optimizer.Adam(learning_rate=0.1)
    _, weights, call = updater(optimizer, 2, context)
    expected, means, squares = np.ones(2), np.zeros(2), np.zeros(2)
    grads, counts = np.array([1.0, 2.0]), np.array([0, 0])
    for step in range(6):
        if step == 3:
            optimizer._index_update_count[1] = counts[1] = 20
        call()
        counts += 1
        means = 0.9 * means + 0.1 * grads
        squares = 0.999 * squares + 0.001 * grads**2
        corrected = 0.1 * np.sqrt(1 - 0.999**counts) / (1 - 0.9**counts)
        expected = expected - corrected * means / (np.sqrt(squares) + 1e-8)
        for weight, value in zip(weights, expected, strict=True):
            # A few roundings of float32 in each of six updates of numbers below 1.
            np.testing.assert_allclose(weight.asnumpy(), value, rtol=0, atol=2e-6)
    assert optimizer._index_update_count == {0: 6, 1: 23}
    assert optimizer.num_update == 23


def test_rates_arrive_however_far_the_host_is_ahead(context: mx.Context) -> None:
    optimizer = mx.optimizer.SGD()
    _, (weight, _), call = updater(optimizer, 2, context)
    call()
    call()
    weight[:] = 0.0
    if torch.cuda.is_available() and context.device_type == "gpu":
        torch.cuda._sleep(10**8)  # cycles, in which the host goes on
    for number in range(3 * rates.PARTS):
        optimizer.lr = 2.0**-number
        call()
    # What is added last is nothing beside 1 in float32: sums of powers of 2 round to 2.
    assert weight.asnumpy().tolist() == [-2.0, -2.0]


def test_memory_that_a_device_reads_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the device only works when it is waited for: it must find what it was to copy."""
    waiting: list[torch.Tensor | Event] = []
    arrived: list[list[float]] = []

    class Event:
        def __init__(self, blocking: bool) -> None:
            self.passed = True

        def record(self, stream: object) -> None:
            self.passed = False
            waiting.append(self)

        def synchronize(self) -> None:
            while not self.passed:
                first = waiting.pop(0)
                if isinstance(first, Event):
                    first.passed = True
                else:
                    arrived.append(first.tolist())

    def copy(part: torch.Tensor, non_blocking: bool) -> None:
        assert non_blocking
        waiting.append(part)

    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: empty(shape, dtype=dtype))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    device = torch.device("cuda", 0)
    target: Any = SimpleNamespace(dtype=torch.float64, numel=lambda: 2, device=device, copy_=copy)
    write = rates._writer(target)
    sent = [[float(number), -float(number)] for number in range(3 * rates.PARTS)]
    for numbers in sent:
        write(np.array(numbers).tobytes())
    assert arrived == sent[: 2 * rates.PARTS]
    assert [x.tolist() for x in waiting if not isinstance(x, Event)] == sent[2 * rates.PARTS :]


def test_another_method_with_the_same_numbers_is_another_program() -> None:
    class Climbing(mx.optimizer.SGD):
        def step(self, weight: Any, grad: Any, states: Any, rates: Any) -> Any:
            return (weight + grad * rates.lr,)

    made, (weight, _), call = updater(mx.optimizer.SGD(learning_rate=0.5), 2)
    call()
    made.optimizer = Climbing(learning_rate=0.5)
    call()
    assert weight.asnumpy().tolist() == [1.0, 1.0]


def test_states_that_are_gone_are_made_anew() -> None:
    for optimizer in (mx.optimizer.SGD(), mx.optimizer.SGD(momentum=0.5)):
        made, (weight, _), call = updater(optimizer, 2)
        call()
        made.states.clear()
        weight[:] = 1.0
        call()
        assert weight.asnumpy()[0] == np.float32(0.99)  # without a momentum from before
        assert sorted(made.states) == [0, 1]


def test_states_in_a_list_may_be_replaced() -> None:
    class InLists(mx.optimizer.SGD):
        def create_state(self, index: Any, weight: mx.nd.NDArray) -> Any:
            return [super().create_state(index, weight)]

    made, (weight, _), call = updater(InLists(momentum=0.5, learning_rate=1.0), 2)
    call()
    made.states[0][0] = mx.nd.full((2,), 8.0)
    weight[:] = 0.0
    call()
    assert weight.asnumpy().tolist() == [3.0, 3.0]  # half of 8, less the gradient
    assert made.states[0][0].asnumpy().tolist() == [3.0, 3.0]


def test_a_batch_that_fails_is_not_counted(context: mx.Context) -> None:
    made, batch = module(context)
    bad = mx.io.DataBatch(batch.data, [mx.nd.ones((SIZE + 1,), context)])
    with pytest.raises((mx.MXNetError, ValueError)):
        made.train_by(bad)
    made.train_by(batch)
    assert set(made._optimizer._index_update_count.values()) == {3}


def test_parameters_that_are_bound_without_gradients_stay(context: mx.Context) -> None:
    made, batch = module(context)
    requests = dict.fromkeys(made.symbol.list_arguments(), "write")
    made.bind(
        made.data_shapes, made.label_shapes, force_rebind=True,
        grad_req={**requests, "layer0_bias": "null"},
    )  # fmt: skip
    before = {name: array.asnumpy() for name, array in made.get_params()[0].items()}
    made.train_by(batch)
    after = made.get_params()[0]
    assert (after["layer0_bias"].asnumpy() == before["layer0_bias"]).all()
    assert (after["layer0_weight"].asnumpy() != before["layer0_weight"]).any()
