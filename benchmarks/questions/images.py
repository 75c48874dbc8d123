"""How fast are convolutional networks: LeNet, and a block of a residual network?"""

from __future__ import annotations

from typing import Any

from ..sizes import Sizes, Triple
from ..workload import Input, Kind, Role, Workload

# Filters of LeNet's two convolutions of five by five, and widths of its two dense layers.
_FILTERS, _WIDTHS, _SIDE = (20, 50), (500, 10), 28


def workloads(sizes: Sizes) -> list[Workload]:
    return [
        _lenet_answer(sizes.lenet_batch, sizes.image_dtype),
        _lenet_step(sizes.lenet_batch),
        _residual(sizes.residual, sizes.image_dtype),
    ]


def _lenet(f: Any, x: Any, *parameters: Any) -> Any:
    for filters in _FILTERS:
        weight, bias, *parameters = parameters
        x = f.max_pool(f.relu(f.convolution(x, weight, bias, filters, 5, 0)), 2)
    weight1, bias1, weight2, bias2 = parameters
    x = f.relu(f.linear(f.flatten(x), weight1, bias1, _WIDTHS[0]))
    return f.linear(x, weight2, bias2, _WIDTHS[1])


def _lenet_inputs(batch: int) -> dict[str, Input]:
    shapes = [(_FILTERS[0], 1, 5, 5), (_FILTERS[1], _FILTERS[0], 5, 5)]
    flat = _FILTERS[1] * 4 * 4
    shapes += [(_WIDTHS[0], flat), (_WIDTHS[1], _WIDTHS[0])]
    inputs = {"data": Input((batch, 1, _SIDE, _SIDE))}
    for number, (outputs, *others) in enumerate(shapes, 1):
        fan = 1
        for length in others:
            fan *= length
        inputs[f"weight{number}"] = Input((outputs, *others), Role.PARAMETER, (2 / fan) ** 0.5)
        inputs[f"bias{number}"] = Input((outputs,), Role.PARAMETER, 0.1)
    return inputs


def _lenet_flops(batch: int) -> tuple[int, int]:
    """Of the first convolution, and of all the rest."""
    first = 25 * _FILTERS[0] * 24**2
    rest = 25 * _FILTERS[0] * _FILTERS[1] * 8**2
    rest += _FILTERS[1] * 4 * 4 * _WIDTHS[0] + _WIDTHS[0] * _WIDTHS[1]
    return 2 * batch * first, 2 * batch * rest


def _lenet_answer(batch: int, dtype: str) -> Workload:
    def compute(f: Any, x: Any, *parameters: Any) -> Any:
        return f.softmax(_lenet(f, x, *parameters))

    name, inputs = f"LeNet, batch {batch} {dtype}", _lenet_inputs(batch)
    flops = sum(_lenet_flops(batch))
    return Workload(name, inputs, compute, [(batch, _WIDTHS[1])], flops=flops, dtype=dtype)


def _lenet_step(batch: int) -> Workload:
    def compute(f: Any, x: Any, *others: Any) -> Any:
        *parameters, label = others
        return f.loss(_lenet(f, x, *parameters), label)

    inputs = {
        **_lenet_inputs(batch),
        "label": Input((batch,), Role.LABEL, classes=_WIDTHS[1]),
    }
    first, rest = _lenet_flops(batch)
    name = f"LeNet, batch {batch} float32, step"
    return Workload(name, inputs, compute, kind=Kind.STEP, flops=2 * first + 3 * rest)


def _residual(size: Triple, dtype: str) -> Workload:
    batch, channels, side = size
    shape = (batch, channels, side, side)

    def compute(
        f: Any, x: Any, weight1: Any, gamma1: Any, beta1: Any, mean1: Any, variance1: Any,
        weight2: Any, gamma2: Any, beta2: Any, mean2: Any, variance2: Any,
    ) -> Any:  # fmt: skip
        y = f.convolution(x, weight1, None, channels, 3, 1)
        y = f.relu(f.batch_norm(y, gamma1, beta1, mean1, variance1))
        y = f.convolution(y, weight2, None, channels, 3, 1)
        return f.relu(f.batch_norm(y, gamma2, beta2, mean2, variance2) + x)

    inputs = {"x": Input(shape)}
    for number in (1, 2):
        weight = (channels, channels, 3, 3)
        inputs[f"weight{number}"] = Input(weight, Role.PARAMETER, (2 / (9 * channels)) ** 0.5)
        of_channels = (channels,)
        inputs[f"gamma{number}"] = Input(of_channels, Role.PARAMETER, positive=True, wide=True)
        inputs[f"beta{number}"] = Input(of_channels, Role.PARAMETER, 0.1, wide=True)
        inputs[f"mean{number}"] = Input(of_channels, Role.STATE, 0.1, wide=True)
        inputs[f"variance{number}"] = Input(of_channels, Role.STATE, positive=True, wide=True)
    name = f"residual block {batch}x{channels}x{side}x{side} {dtype}"
    flops = 2 * 2 * 9 * channels**2 * batch * side**2
    return Workload(name, inputs, compute, [shape], flops=flops, dtype=dtype)
