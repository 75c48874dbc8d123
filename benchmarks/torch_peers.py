"""Workloads in torch: the float64 reference, eager, compiled, and in a hand-made CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from .workload import RATE, SEED, Kind, NumpySource, Prepared, Role, Workload

Tensors = Mapping[str, torch.Tensor]
Function = Callable[..., Any]

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class Functions:
    """The functions that computations are written in; torch's own wherever they fit."""

    abs = torch.abs
    tanh = torch.tanh
    sigmoid = torch.sigmoid
    square = torch.square
    relu = torch.relu
    subtract = torch.sub
    multiply = torch.mul
    gelu = functional.gelu
    add_bias = torch.add
    matmul = torch.matmul
    batch_matmul = torch.bmm
    reshape = torch.reshape
    permute = torch.permute
    transpose = torch.t
    stack = torch.stack

    @staticmethod
    def softmax(x: Any) -> Any:
        return functional.softmax(x, -1)

    @staticmethod
    def layer_norm(x: Any, gamma: Any, beta: Any) -> Any:
        return functional.layer_norm(x, gamma.shape, gamma, beta, 1e-5)

    @staticmethod
    def cross_entropy(scores: Any, label: Any) -> Any:
        return functional.cross_entropy(scores, label, reduction="sum").reshape(1)

    @staticmethod
    def loss(scores: Any, label: Any) -> Any:
        return functional.cross_entropy(scores, label)

    @staticmethod
    def sum_all(x: Any) -> Any:
        return torch.sum(x).reshape(1)

    @staticmethod
    def sum_columns(x: Any) -> Any:
        return torch.sum(x, 0)

    @staticmethod
    def mean_rows(x: Any) -> Any:
        return torch.mean(x, 1, keepdim=True)

    @staticmethod
    def linear(x: Any, weight: Any, bias: Any, width: int) -> Any:
        return functional.linear(x, weight, bias)

    @staticmethod
    def attention(query: Any, key: Any, value: Any, depth: int) -> Any:
        # Of three axes torch would take none of its quick ways.
        four = (one.unsqueeze(0) for one in (query, key, value))
        return functional.scaled_dot_product_attention(*four).squeeze(0)

    @staticmethod
    def convolution(x: Any, weight: Any, bias: Any, filters: int, size: int, pad: int) -> Any:
        return functional.conv2d(x, weight, bias, padding=pad)

    max_pool = functional.max_pool2d

    @staticmethod
    def batch_norm(x: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
        return functional.batch_norm(x, mean, variance, gamma, beta, False, 0.0, 1e-5)

    @staticmethod
    def flatten(x: Any) -> Any:
        return torch.flatten(x, 1)

    @staticmethod
    def parts(x: Any, count: int) -> Any:
        return torch.chunk(x, count, 1)

    @staticmethod
    def steps(x: Any, count: int) -> Any:
        return torch.unbind(x, 1)

    @staticmethod
    def embedding(numbers: Any, weight: Any, count: int, width: int) -> Any:
        return functional.embedding(numbers, weight)

    @staticmethod
    def lstm(x: Any, weights: Sequence[Any], state: Any, cell: Any, width: int) -> Any:
        start = (state.unsqueeze(0), cell.unsqueeze(0))
        # A device's library keeps what gradients need only where it is told that there are any.
        trains = weights[0].requires_grad
        return torch.lstm(x, start, list(weights), True, 1, 0.0, trains, False, True)[0]


class DeviceSource:
    """Random numbers drawn on a device, where a processor would need minutes for all of them."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._generator = torch.Generator(device).manual_seed(SEED)

    def normal(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, device=self._device, generator=self._generator)

    def uniform(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.rand(shape, device=self._device, generator=self._generator)

    def whole(self, below: int, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randint(below, shape, device=self._device, generator=self._generator)


def tensors(workload: Workload, device: torch.device) -> dict[str, torch.Tensor]:
    """The data on a device, on a CPU that of `Workload.values`; classes are whole numbers."""
    source = NumpySource() if device.type == "cpu" else DeviceSource(device)
    found = {}
    for name, one in workload.inputs.items():
        dtype = torch.int64 if one.classes else DTYPES[one.dtype_in(workload.dtype)]
        # A copy, so that all contestants read memory of one kind: numpy aligns its own less.
        found[name] = torch.as_tensor(one.values(source)).to(dtype, copy=True)
    return found


def reference(workload: Workload, given: Tensors) -> list[torch.Tensor]:
    """What a workload gives for these very numbers, computed in float64."""
    wide = {
        name: tensor.double() if tensor.is_floating_point() else tensor
        for name, tensor in given.items()
    }
    prepared = prepare(workload, wide)
    prepared.call()
    return prepared.outcome()


# ---- what is called ----------------------------------------------------------------------------


def compiled(mode: str) -> Callable[[Function], Function]:
    """What torch.compile makes of a function, in one of its modes."""
    return partial(torch.compile, mode=mode, dynamic=False, fullgraph=True)


def prepare(
    workload: Workload,
    given: Tensors,
    through: Callable[[Function], Function] | None = None,
) -> Prepared:
    """A workload as someone would write it by hand.

    Args:
        given: tensors by name; parameters are copied where they are changed.
        through: what becomes of the function that computes the results, such as a compiler.
    """
    if workload.kind is Kind.ADAM:
        return _adam(workload, given)
    function = partial(workload.compute, Functions)
    if through is not None:
        # Compiled code belongs to a function of its own, so that each mode compiles anew.
        compute = workload.compute
        function = through(lambda *arrays: compute(Functions, *arrays))
    if workload.kind is Kind.STEP:
        return _step(workload, given, function)
    if workload.kind is Kind.GRADIENTS:
        return _gradients(workload, given, function)
    call = partial(function, *given.values())
    return Prepared(call, lambda: _numbers(call()))


def _numbers(found: Any) -> list[torch.Tensor]:
    several = found if isinstance(found, (list, tuple)) else [found]
    return [one.detach().double() for one in several]


def _gradients(workload: Workload, given: Tensors, function: Function) -> Prepared:
    """A forward pass and the gradients of the parameters."""
    learned = {name: given[name].detach().clone() for name in workload.named(Role.PARAMETER)}
    for tensor in learned.values():
        tensor.requires_grad_()
    (head,) = (given[name] for name in workload.named(Role.HEAD))
    arrays = [
        learned.get(name, tensor)
        for name, tensor in given.items()
        if workload.inputs[name].role is not Role.HEAD
    ]
    parameters = tuple(learned.values())

    def call() -> Any:
        return torch.autograd.grad(function(*arrays), parameters, head)

    return Prepared(call, lambda: _numbers(call()))


def _step(workload: Workload, given: Tensors, function: Function) -> Prepared:
    """A step of training, with the optimizer that updates all parameters in one call."""
    learned = {name: given[name].detach().clone() for name in workload.named(Role.PARAMETER)}
    for tensor in learned.values():
        tensor.requires_grad_()
    arrays = [learned.get(name, tensor) for name, tensor in given.items()]
    optimizer = torch.optim.SGD(learned.values(), lr=RATE, fused=True)

    def call() -> None:
        function(*arrays).backward()
        optimizer.step()
        optimizer.zero_grad()

    def outcome() -> list[torch.Tensor]:
        return _numbers([new.detach() - given[name] for name, new in learned.items()])

    def reset() -> None:
        for name, tensor in learned.items():
            tensor.detach().copy_(given[name])

    return Prepared(call, outcome, reset)


def _adam(workload: Workload, given: Tensors) -> Prepared:
    """An update of parameters by gradients that stay as they are."""
    before = [given[name] for name in workload.named(Role.PARAMETER)]
    weights = [tensor.detach().clone().requires_grad_() for tensor in before]
    for weight, name in zip(weights, workload.named(Role.HEAD), strict=True):
        weight.grad = given[name]
    # What a CUDA graph records must count its steps on the device.
    on_gpu = before[0].device.type == "cuda"
    optimizer = torch.optim.Adam(weights, lr=RATE, fused=True, capturable=on_gpu)

    def outcome() -> list[torch.Tensor]:
        return _numbers([new.detach() - old for new, old in zip(weights, before, strict=True)])

    def reset() -> None:
        for weight, old in zip(weights, before, strict=True):
            weight.detach().copy_(old)
            for state in optimizer.state[weight].values():
                state.zero_()

    return Prepared(optimizer.step, outcome, reset)


def recorded(workload: Workload, given: Tensors) -> Prepared:
    """Eager torch in a CUDA graph made by hand, recorded after three runs that warm up."""
    prepared = prepare(workload, given)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            prepared.call()
    torch.cuda.current_stream().wait_stream(stream)
    prepared.reset()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = prepared.call()
    changes = workload.kind in (Kind.STEP, Kind.ADAM)
    return Prepared(graph.replay, prepared.outcome if changes else lambda: _numbers(result))
