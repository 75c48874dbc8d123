"""Runs on changing streams: what is written into a program's inputs comes after its last run."""

from __future__ import annotations

import gc
import importlib
import weakref
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.foundation.switches import Switches
from tritonsym.runtime.cuda_graph import StreamOrder
from tritonsym.runtime.program import InTurn, Program
from tritonsym.training.optimizer.compiled import CompiledUpdate


class Order:
    """Stands for the order of streams: notes what a run finds when it takes its turn."""

    def __init__(self) -> None:
        self.look: Callable[[], object] = lambda: None
        self.found: list[object] = []
        self.joined: list[Order] = []

    def __call__(self) -> None:
        self.found.append(self.look())

    def without_memory(self) -> Order:
        return self

    def join(self, other: Order) -> None:
        self.joined.append(other)


@pytest.fixture
def orders(gpu: mx.Context, monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """The order of each program on a GPU, as it is made."""
    runtime = importlib.import_module("tritonsym.runtime.triton_runtime")
    made: list[Order] = []

    def graphed(program: Program, switched: Switches) -> Program:
        made.append(Order())
        return replace(program, order=made[-1])  # type: ignore[arg-type]

    monkeypatch.setattr(runtime, "graphed", graphed)
    return made


def test_new_values_come_after_the_last_run(gpu: mx.Context, orders: list[Order]) -> None:
    x = mx.nd.array([1.0, 2.0], gpu)
    executor = (mx.sym.Variable("x") * 2).bind(gpu, {"x": x})
    executor.forward()
    (order,) = orders
    order.found.clear()
    order.look = lambda: x.asnumpy().tolist()
    (output,) = executor.forward(x=mx.nd.array([3.0, 4.0]))
    assert order.found[0] == [1, 2]
    np.testing.assert_array_equal(output.asnumpy(), [6, 8])


def test_copied_parameters_come_after_the_last_run(gpu: mx.Context, orders: list[Order]) -> None:
    x = mx.nd.array([1.0, 2.0], gpu)
    executor = (mx.sym.Variable("x") * 2).bind(gpu, {"x": x})
    executor.forward()
    (order,) = orders
    order.found.clear()
    order.look = lambda: x.asnumpy().tolist()
    executor.copy_params_from({"x": mx.nd.array([3.0, 4.0])})
    assert order.found == [[1, 2]] and x.asnumpy().tolist() == [3, 4]
    with executor._turns.alone(), pytest.raises(mx.MXNetError, match="is running already"):
        executor.copy_params_from({"x": mx.nd.array([5.0, 6.0])})
    assert x.asnumpy().tolist() == [3, 4]


def test_an_order_knows_all_memory_that_a_run_writes_once(
    gpu: mx.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of gradients that share theirs, into which results are copied in the end."""
    runtime = importlib.import_module("tritonsym.runtime.triton_runtime")
    made: list[Program] = []

    def graphed(program: Program, switched: Switches) -> Program:
        made.append(program)
        return program

    monkeypatch.setattr(runtime, "graphed", graphed)
    a, b, both = mx.nd.ones((2,), gpu), mx.nd.ones((2,), gpu), mx.nd.zeros((4,), gpu)
    executor = mx.sym.dot(*map(mx.sym.Variable, "ab")).bind(
        gpu, {"a": a, "b": b}, {"a": both[:2], "b": both[2:]}
    )
    executor.forward(is_train=True)
    executor.backward(mx.nd.ones((1,), gpu))
    assert both.asnumpy().tolist() == [1, 1, 1, 1]
    places = [x.untyped_storage().data_ptr() for x in made[-1].memory]
    assert both._tensor.untyped_storage().data_ptr() in places
    assert len(places) == len({*places})


def test_head_gradients_come_after_the_last_run(gpu: mx.Context, orders: list[Order]) -> None:
    x, slope = mx.nd.array([1.0, 2.0], gpu), mx.nd.zeros((2,), gpu)
    executor = mx.sym.square(mx.sym.Variable("x")).bind(gpu, {"x": x}, {"x": slope})
    head = mx.nd.array([5.0, 7.0], gpu)
    executor.forward(is_train=True)
    executor.backward(head)
    (order,) = orders
    (place,) = executor._training_in(True)._heads
    assert isinstance(place, torch.Tensor)
    order.look = lambda: place.tolist()
    executor.forward(is_train=True)
    order.found.clear()
    executor.backward(head * 2)
    assert order.found[0] == [5, 7]
    np.testing.assert_array_equal(slope.asnumpy(), [20, 56])


def test_all_programs_of_an_executor_take_turns(gpu: mx.Context, orders: list[Order]) -> None:
    net = mx.sym.Dropout(mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc"))
    module = mx.mod.Module(mx.sym.SoftmaxOutput(net, name="softmax"), context=gpu)
    module.bind([("data", (2, 4))], [("softmax_label", (2,))])
    module.init_params(mx.init.One())
    module.init_optimizer()
    batch = mx.io.DataBatch([mx.nd.ones((2, 4))], [mx.nd.zeros((2,))])
    module.train_by(batch)
    (step,) = orders
    executor = module._executor
    step.found.clear()
    step.look = lambda: executor.arg_dict["data"].asnumpy().max()
    module.train_by(mx.io.DataBatch([mx.nd.ones((2, 4)) * 9], batch.label))
    assert step.found[0] == 1
    executor.forward()
    executor.forward(is_train=True)
    executor.backward()
    assert [order.joined for order in orders] == [[step]] * len(orders)
    assert len(orders) > 2


class Memory:
    """Stands for a tensor on a device."""

    def record_stream(self, stream: object) -> None:
        pass


def test_the_memory_of_a_program_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the others have waited for it, and may again."""
    stream = SimpleNamespace(cuda_stream=1, wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda index: 1, raising=False)
    memory = Memory()
    gone = weakref.ref(memory)
    turns = InTurn()
    order = StreamOrder(torch.device("cuda", 0), [memory])  # type: ignore[list-item]
    turns.add(Program(SimpleNamespace(), [], order))  # type: ignore[arg-type]
    order()
    turns.follow()
    del memory, order
    gc.collect()
    assert gone() is None
    turns.follow()


def test_rates_come_after_the_last_update(gpu: mx.Context, orders: list[Order]) -> None:
    optimizer = mx.optimizer.SGD(learning_rate=0.5)
    weight, slope = mx.nd.ones((2,), gpu), mx.nd.ones((2,), gpu)
    update = CompiledUpdate(optimizer, [weight], [slope], [None])
    update(optimizer, [0])
    (order,) = orders
    order.found.clear()
    order.look = lambda: update._rates._last
    sent = update._rates._last
    optimizer.set_learning_rate(0.25)
    update(optimizer, [0])
    assert order.found[0] == sent != update._rates._last
    np.testing.assert_array_equal(weight.asnumpy(), [0.25, 0.25])
