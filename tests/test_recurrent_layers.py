"""The operator RNN: torch's layers in float64 say what it gives, in whatever order it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx

LENGTH, BATCH, FEATURES, SIZE = 4, 3, 5, 6
MODES = ("lstm", "gru", "rnn_relu", "rnn_tanh")
GATES = {"lstm": 4, "gru": 3, "rnn_relu": 1, "rnn_tanh": 1}
# Sums of some ten products of numbers about 1, of which each step makes others: a hundred units in
# the last place of float32, and of float64.
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


class Network:
    """A symbol with one RNN, bound with gradients for all its arguments, on random numbers."""

    def __init__(
        self,
        mode: str,
        layers: int = 1,
        two_ways: bool = False,
        dtype: str = "float32",
        states: bool = True,
        grad_req: str | dict[str, str] = "write",
        of_data: Callable[[mx.Symbol], mx.Symbol] = lambda data: data,
        context: mx.Context | None = None,
    ) -> None:
        self.mode, self.layers, self.two_ways, self.states = mode, layers, two_ways, states
        given = [of_data(mx.sym.Variable("data")), *map(mx.sym.Variable, self.names[1:])]
        self.symbol = mx.sym.RNN(
            *given, mode=mode, state_size=SIZE, num_layers=layers, bidirectional=two_ways,
            state_outputs=states, name="r",
        )  # fmt: skip
        self.dtype, self.context = dtype, context or mx.cpu()
        shapes = {"data": (LENGTH, BATCH, FEATURES)}
        self.executor = self.symbol.simple_bind(
            self.context, grad_req, dict.fromkeys(self.names, dtype), **shapes
        )
        self.numbers = np.random.default_rng(len(mode) + layers)
        self.fill()

    @property
    def names(self) -> list[str]:
        return ["data", "parameters", "state", *(["cell"] if self.mode == "lstm" else [])]

    def fill(self) -> None:
        for array in self.executor.arg_dict.values():
            array[:] = self.numbers.uniform(-1, 1, array.shape)

    def heads(self) -> list[mx.nd.NDArray]:
        return [
            mx.nd.array(self.numbers.uniform(-1, 1, y.shape), self.context, self.dtype)
            for y in self.executor.outputs
        ]

    def gradients(self) -> dict[str, np.ndarray]:
        found = {name: self.executor.grad_dict[name] for name in self.names}
        return {name: array.asnumpy() for name, array in found.items() if array is not None}

    def expected(
        self, heads: Sequence[mx.nd.NDArray]
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """What torch's own layer gives for the arguments as they are, and its gradients."""
        kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(self.mode, torch.nn.RNN)
        options: dict[str, Any] = {"num_layers": self.layers, "bidirectional": self.two_ways}
        if kind is torch.nn.RNN:
            options["nonlinearity"] = self.mode.removeprefix("rnn_")
        network = kind(FEATURES, SIZE, dtype=torch.float64, **options)
        values = {
            name: torch.tensor(array.asnumpy().astype("float64"), requires_grad=True)
            for name, array in self.executor.arg_dict.items()
        }
        start, parts = 0, {}
        every = dict(network.named_parameters())
        for kind_of in ("weight", "bias"):
            for name in (name for name in every if name.startswith(kind_of)):
                count = every[name].numel()
                part = values["parameters"][start : start + count]
                parts[name] = part.view(every[name].shape)
                start += count
        hidden = tuple(values[name] for name in self.names[2:])
        inputs = (values["data"], hidden if self.mode == "lstm" else hidden[0])
        output, last = torch.func.functional_call(network, parts, inputs)
        results = [output]
        if self.states:
            results += last if self.mode == "lstm" else [last]
        given = [torch.tensor(head.asnumpy().astype("float64")) for head in heads]
        slopes = torch.autograd.grad(results, list(values.values()), given)
        return (
            [y.detach().numpy() for y in results],
            {name: slope.numpy() for name, slope in zip(values, slopes, strict=True)},
        )

    def check(self, heads: Sequence[mx.nd.NDArray]) -> None:
        """Outputs and gradients are torch's."""
        outputs, slopes = self.expected(heads)
        tolerance = TOLERANCE[self.dtype]
        for found, due in zip(self.executor.outputs, outputs, strict=True):
            np.testing.assert_allclose(found.asnumpy(), due, rtol=tolerance, atol=tolerance)
        for name, found in self.gradients().items():
            due = slopes[name]
            np.testing.assert_allclose(found, due, rtol=tolerance, atol=tolerance * abs(due).max())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by each forward pass of the library."""
    made: list[str] = []

    def counted(mode: str) -> Callable[..., Any]:
        function = getattr(torch, mode)

        def call(*arguments: Any) -> Any:
            made.append(mode)
            return function(*arguments)

        return call

    for mode in MODES:
        monkeypatch.setattr(torch, mode, counted(mode))
    return made


@pytest.mark.parametrize("states", [True, False], ids=["states", "output"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("layers", "two_ways"), [(1, False), (1, True), (2, False), (3, True)])
@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_those_of_torch(
    mode: str, layers: int, two_ways: bool, dtype: str, states: bool, calls: list[str]
) -> None:
    network = Network(mode, layers, two_ways, dtype, states)
    for _ in range(2):
        network.fill()
        heads = network.heads()
        calls.clear()
        network.executor.forward(is_train=True)
        network.executor.backward(heads)
        # A layer is computed once, and its gradients from what that has kept.
        assert calls == [mode] * layers
        network.check(heads)


@pytest.mark.parametrize("mode", ["lstm", "gru"])
def test_gradients_on_both_contexts(mode: str, context: mx.Context) -> None:
    network = Network(mode, 2, context=context)
    heads = network.heads()
    network.executor.forward(is_train=True)
    network.executor.backward(heads)
    network.check(heads)


@pytest.mark.parametrize("mode", MODES)
def test_the_library_is_told_what_is_training(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise that of a GPU keeps nothing for the gradients, and refuses them."""
    told: list[tuple[bool, bool]] = []
    function = getattr(torch, mode)

    def call(*arguments: Any) -> Any:
        told.append((torch.is_grad_enabled() and arguments[0].requires_grad, arguments[6]))
        return function(*arguments)

    monkeypatch.setattr(torch, mode, call)
    network = Network(mode, 1)
    network.executor.forward()
    heads = network.heads()
    network.executor.backward(heads)
    network.check(heads)
    assert (False, False) in told and (True, True) in told
    assert all(learns == trains for learns, trains in told)


@pytest.mark.parametrize("mode", MODES)
def test_a_second_backward_pass_is_of_a_forward_pass_that_is_made_again(
    mode: str, calls: list[str]
) -> None:
    network = Network(mode, 2)
    network.executor.forward(is_train=True)
    for _ in range(3):
        heads = network.heads()
        network.executor.backward(heads)
        network.check(heads)
    assert len(calls) == 2 + 2 * 2
    # What the arguments hold then.
    network.fill()
    network.executor.backward(heads)
    network.check(heads)


@pytest.mark.parametrize("mode", MODES)
def test_backward_after_inference(mode: str) -> None:
    network = Network(mode, 2)
    network.executor.forward(is_train=True)
    network.fill()
    network.executor.forward(is_train=False)
    heads = network.heads()
    network.executor.backward(heads)
    network.check(heads)


@pytest.mark.parametrize("mode", MODES)
def test_backward_is_of_the_last_forward_pass(mode: str) -> None:
    network = Network(mode)
    for _ in range(3):
        network.fill()
        network.executor.forward(is_train=True)
    heads = network.heads()
    network.executor.backward(heads)
    network.check(heads)


def test_passes_of_several_executors_in_turn() -> None:
    networks = [Network("lstm", layers) for layers in (1, 1, 2)]
    for network in networks:
        network.executor.forward(is_train=True)
    every = [network.heads() for network in networks]
    for network, heads in zip(reversed(networks), reversed(every), strict=True):
        network.executor.backward(heads)
    for network, heads in zip(networks, every, strict=True):
        network.check(heads)


def test_a_backward_pass_in_another_thread() -> None:
    network = Network("lstm", 2)
    network.executor.forward(is_train=True)
    heads = network.heads()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            network.executor.backward(heads)
            network.check(heads)
            network.executor.forward(is_train=True)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failures
    heads = network.heads()
    network.executor.backward(heads)
    network.check(heads)


@pytest.mark.parametrize("mode", ["lstm", "rnn_tanh"])
@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_modes_of_the_caller_change_nothing(mode: str, off: type) -> None:
    with off():
        network = Network(mode, 2)
        heads = network.heads()
        network.executor.forward(is_train=True)
        network.executor.backward(heads)
    network.check(heads)


def test_gradients_that_are_added_and_such_that_are_not_wanted() -> None:
    requests = {"data": "null", "parameters": "add", "state": "write", "cell": "null"}
    network = Network("lstm", 2, grad_req=requests)
    slopes = network.executor.grad_dict["parameters"]
    assert slopes is not None
    slopes[:] = 3
    heads = network.heads()
    network.executor.forward(is_train=True)
    network.executor.backward(heads)
    expected = network.expected(heads)[1]
    assert set(network.gradients()) == {"parameters", "state"}
    np.testing.assert_allclose(slopes.asnumpy(), expected["parameters"] + 3, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        network.gradients()["state"], expected["state"], rtol=1e-4, atol=1e-5
    )


def test_data_that_is_computed_again_for_the_backward_pass() -> None:
    """Its memory of the forward pass has other values by then."""

    def of_data(data: mx.Symbol) -> mx.Symbol:
        return mx.sym.sin(data) * 2

    found = []
    for mirror in (False, True):
        with mx.switched(mirror=mirror):
            network = Network("lstm", 2, of_data=of_data)
            heads = network.heads()
            network.executor.forward(is_train=True)
            network.executor.backward(heads)
            found.append(network.gradients())
    for name, gradient in found[0].items():
        assert abs(gradient).max() > 0
        # The same calls on memory that lies elsewhere: on some processors a library then adds in
        # another order, already in the forward pass.
        np.testing.assert_allclose(found[1][name], gradient, rtol=1e-5, atol=1e-6)


def test_gradients_of_a_graph_of_gradients() -> None:
    """As a symbol: the forward pass is a part of it, and inference keeps nothing for long."""
    network = Network("gru", states=False)
    total = mx.sym.sum(network.symbol)
    executor = mx.sym.Group([network.symbol, total.grad("data")]).bind(
        mx.cpu(), network.executor.arg_dict
    )
    output, slope = executor.forward()
    outputs, slopes = network.expected([mx.nd.ones(network.executor.outputs[0].shape)])
    np.testing.assert_allclose(output.asnumpy(), outputs[0], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(slope.asnumpy(), slopes["data"], rtol=2e-5, atol=2e-5)


def test_separate_weights_are_read_where_they_are() -> None:
    """A vector that is put together only to be cut again is never made."""
    shapes = {
        "input_weight": (4 * SIZE, FEATURES),
        "hidden_weight": (4 * SIZE, SIZE),
        "input_bias": (4 * SIZE,),
        "hidden_bias": (4 * SIZE,),
    }
    flat = [mx.sym.reshape(mx.sym.Variable(name), shape=(-1,)) for name in shapes]
    data, state, cell = map(mx.sym.Variable, ("data", "state", "cell"))
    symbol = mx.sym.RNN(
        data, mx.sym.concat(*flat, dim=0), state, cell, mode="lstm", state_size=SIZE, num_layers=1
    )
    network = Network("lstm", states=False)
    arrays = {name: network.executor.arg_dict[name] for name in ("data", "state", "cell")}
    vector, start = network.executor.arg_dict["parameters"].asnumpy(), 0
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        arrays[name] = mx.nd.array(vector[start : start + count].reshape(shape))
        start += count
    gradients = {name: mx.nd.zeros(arrays[name].shape) for name in shapes}
    executor = symbol.bind(mx.cpu(), arrays, gradients)
    assert "concat" not in str(executor.plan)
    heads = network.heads()
    executor.forward(is_train=True)
    executor.backward(heads)
    outputs, slopes = network.expected(heads)
    np.testing.assert_allclose(executor.outputs[0].asnumpy(), outputs[0], rtol=2e-5, atol=2e-5)
    found = np.concatenate([gradients[name].asnumpy().reshape(-1) for name in shapes])
    due = slopes["parameters"]
    np.testing.assert_allclose(found, due, rtol=2e-5, atol=2e-5 * abs(due).max())


@pytest.mark.parametrize("batch", [1, BATCH])
@pytest.mark.parametrize("two_ways", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_states_that_are_read_batch_by_batch_are_stored_so(
    mode: str, two_ways: bool, batch: int
) -> None:
    network = Network(mode, two_ways=two_ways, states=False)
    arrays = network.executor.arg_dict
    arrays = {name: x[:, :batch] if x.ndim == 3 else x for name, x in arrays.items()}
    arrays = {name: x.copy() for name, x in arrays.items()}
    turned = mx.sym.transpose(network.symbol, axes=(1, 0, 2))
    executor = turned.bind(mx.cpu(), arrays, {"data": mx.nd.zeros(arrays["data"].shape)})
    assert "copy to" not in str(executor.plan) and executor.plan.arena_size == 0
    outputs, _ = network.expected(network.heads())
    due = outputs[0].transpose(1, 0, 2)[:batch]
    for train in (False, True):  # in training the gradients read them as they are
        found = executor.forward(is_train=train)[0].asnumpy()
        np.testing.assert_allclose(found, due, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("shape", [(3, 4, 6), (4, 9, 2), (2, 6, 6), (12, 1, 6), (4, 3, 6)])
def test_states_are_moved_as_said(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    network = Network("lstm", states=False)
    moved = mx.sym.transpose(mx.sym.reshape(network.symbol, shape=shape), axes=axes)
    found = moved.bind(mx.cpu(), network.executor.arg_dict).forward()[0].asnumpy()
    outputs, _ = network.expected(network.heads())
    due = outputs[0].reshape(shape).transpose(axes)
    np.testing.assert_allclose(found, due, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("also", ["as they are", "states"])
def test_states_that_something_else_reads_stay_step_by_step(also: str) -> None:
    network = Network("lstm", states=also == "states")
    output = network.symbol[0]
    turned = mx.sym.transpose(output, axes=(1, 0, 2))
    others = [output * 2] if also == "as they are" else list(network.symbol)[1:]
    executor = mx.sym.Group([turned, *others]).bind(mx.cpu(), network.executor.arg_dict)
    assert str(executor.plan).count("single: lstm") == 1
    found = [y.asnumpy() for y in executor.forward()]
    due, _ = network.expected(network.heads())
    due = [due[0].transpose(1, 0, 2), *([due[0] * 2] if also == "as they are" else due[1:])]
    for one, other in zip(found, due, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)
