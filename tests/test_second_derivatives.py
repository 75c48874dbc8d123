"""Gradients of gradients of layers: torch's in float64, and central differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import tritonsym as mx

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Layer:
    """The same in both libraries.

    Attributes:
        shapes: of its arguments.
        ours: from symbols to a symbol; theirs: from tensors to a tensor.
    """

    shapes: dict[str, tuple[int, ...]]
    ours: Callable[..., mx.Symbol]
    theirs: Callable[..., torch.Tensor] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def symbol(self) -> mx.Symbol:
        return self.ours(*map(mx.sym.Variable, self.shapes), **self.options)

    def arrays(self) -> dict[str, np.ndarray]:
        numbers = np.random.default_rng(7)
        return {name: numbers.uniform(-1, 1, shape) for name, shape in self.shapes.items()}


def convolution(rank: int, transposed: bool, groups: int = 1, **given: Any) -> Layer:
    """A convolution of two images of four channels to six."""
    options = {"kernel": (3, 2, 2)[:rank], "num_filter": 6, "num_group": groups, "no_bias": False}
    data = (2, 4, *(6, 5, 4)[:rank])
    weight = (4, 6 // groups) if transposed else (6, 4 // groups)
    names = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]
    function = getattr(functional, names[rank - 1] if transposed else f"conv{rank}d")
    words = {"pad": "padding", "dilate": "dilation", "adj": "output_padding"}
    theirs = {words.get(name, name): value for name, value in given.items()}
    return Layer(
        {"data": data, "weight": (*weight, *(3, 2, 2)[:rank]), "bias": (6,)},
        mx.sym.Deconvolution if transposed else mx.sym.Convolution,
        lambda *tensors: function(*tensors, groups=groups, **theirs),
        {**options, **given},
    )


def channels_last(data: mx.Symbol, weight: mx.Symbol, **given: Any) -> mx.Symbol:
    options = {"kernel": (3, 2), "num_filter": 6, "no_bias": True, "layout": "NHWC"}
    return mx.sym.Convolution(data, weight, **options, **given)


def channels_last_in_torch(data: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    found = functional.conv2d(data.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2), padding=1)
    return found.permute(0, 2, 3, 1)


def recurrent(mode: str, count: int, directions: int, states: bool) -> Layer:
    """Layers of 3 states on 4 steps of a batch of 2."""
    gates = {"lstm": 4, "gru": 3}.get(mode, 1) * 3
    size = sum(
        directions * (gates * (width + 3) + 2 * gates)
        for width in (5, *[3 * directions] * 9)[:count]
    )
    kept = 2 if mode == "lstm" else 1
    first = (count * directions, 2, 3)

    def ours(*symbols: mx.Symbol) -> mx.Symbol:
        found = mx.sym.RNN(
            *symbols, mode=mode, state_size=3, num_layers=count, bidirectional=directions == 2,
            state_outputs=states,
        )  # fmt: skip
        return mx.sym.concat(*(mx.sym.reshape(y, shape=(-1,)) for y in found), dim=0)

    def theirs(data: torch.Tensor, parameters: torch.Tensor, *hidden: torch.Tensor) -> torch.Tensor:
        shapes = [[(gates, width), (gates, 3)] for width in (5, *[3 * directions] * (count - 1))]
        sizes = [shape for pair in shapes for shape in pair * directions]
        sizes += [(gates,)] * (2 * count * directions)
        parts = torch.split(parameters, [int(np.prod(shape)) for shape in sizes])
        every = [part.view(shape) for part, shape in zip(parts, sizes, strict=True)]
        half = len(every) // 2
        in_order = [
            y
            for n in range(0, half, 2)
            for y in (*every[n : n + 2], *every[half + n : half + n + 2])
        ]
        start = hidden if mode == "lstm" else hidden[0]
        found = getattr(torch, mode)(
            data, start, in_order, True, count, 0.0, False, directions == 2, False
        )
        return torch.cat([y.reshape(-1) for y in (found if states else found[:1])])

    shapes = {"data": (4, 2, 5), "parameters": (size,), "state": first, "cell": first}
    return Layer(dict([*shapes.items()][: 2 + kept]), ours, theirs)


IMAGES = {"data": (2, 3, 6, 5)}
LAYERS = {
    "convolution, 1 axis": convolution(1, False, stride=(2,), pad=(1,)),
    "convolution, 2 axes": convolution(2, False),
    "convolution, strides": convolution(2, False, stride=(2, 3), pad=(1, 1)),
    "convolution, dilated, in groups": convolution(2, False, groups=2, dilate=(2, 1)),
    "convolution, 3 axes": convolution(3, False, pad=(1, 0, 1), stride=(2, 1, 1)),
    "convolution, channels last": Layer(
        {"data": (2, 5, 6, 4), "weight": (6, 3, 2, 4)},
        lambda *symbols: channels_last(*symbols, pad=(1, 1)),
        channels_last_in_torch,
    ),
    "deconvolution, 1 axis": convolution(1, True, stride=(3,), pad=(1,), adj=(2,)),
    "deconvolution, 2 axes": convolution(2, True, stride=(2, 1), dilate=(1, 2)),
    "deconvolution, in groups": convolution(2, True, groups=2, stride=(2, 2), pad=(1, 0)),
    "deconvolution, 3 axes": convolution(3, True, stride=(2, 1, 2), adj=(1, 0, 0)),
    "largest": Layer(
        IMAGES,
        lambda x: mx.sym.Pooling(x, kernel=(3, 2), stride=(2, 1), pad=(1, 1)),
        lambda x: functional.max_pool2d(x, (3, 2), (2, 1), (1, 1)),
    ),
    "mean": Layer(
        IMAGES,
        lambda x: mx.sym.Pooling(x, kernel=(3, 2), stride=(2, 1), pad=(1, 1), pool_type="avg"),
        lambda x: functional.avg_pool2d(x, (3, 2), (2, 1), (1, 1)),
    ),
    "mean of all": Layer(
        IMAGES,
        lambda x: mx.sym.Pooling(x, global_pool=True, pool_type="avg"),
        lambda x: x.mean((2, 3), keepdim=True),
    ),
    "norm": Layer(
        IMAGES,
        lambda x: mx.sym.Pooling(x, kernel=(2, 2), pool_type="lp", p_value=2),
        lambda x: functional.lp_pool2d(x, 2.0, (2, 2), (1, 1)),
    ),
    "lstm": recurrent("lstm", 1, 1, states=True),
    "lstm, two layers, two ways": recurrent("lstm", 2, 2, states=True),
    "lstm without last states": recurrent("lstm", 2, 1, states=False),
    "gru": recurrent("gru", 1, 2, states=True),
    "gru, two layers": recurrent("gru", 2, 1, states=False),
    "tanh": recurrent("rnn_tanh", 2, 2, states=True),
    "relu": recurrent("rnn_relu", 2, 1, states=True),
}


def network(data: mx.Symbol, first: mx.Symbol, second: mx.Symbol) -> mx.Symbol:
    hidden = mx.sym.Convolution(data, first, kernel=(3, 3), num_filter=4, no_bias=True, pad=(1, 1))
    pooled = mx.sym.Pooling(mx.sym.tanh(hidden), kernel=(2, 2), stride=(2, 2), pool_type="max")
    return mx.sym.Deconvolution(pooled, second, kernel=(2, 2), num_filter=2, stride=(2, 2))


def network_in_torch(data: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    hidden = torch.tanh(functional.conv2d(data, first, padding=1))
    return functional.conv_transpose2d(functional.max_pool2d(hidden, 2), second, stride=2)


NETWORK = Layer(
    {"data": (2, 3, 6, 4), "first": (4, 3, 3, 3), "second": (4, 2, 2, 2)},
    network,
    network_in_torch,
)


def slopes_of_slopes(layer: Layer) -> mx.Symbol:
    """The gradients of a sum of squares of gradients, for every argument."""
    names = list(layer.shapes)
    total = mx.sym.sum(mx.sym.sin(layer.symbol()))
    squares = [mx.sym.sum(mx.sym.square(slope)) for slope in total.grad(names)]
    return mx.sym.add_n(*squares).grad(names)


def evaluated(symbol: mx.Symbol, arrays: Arrays, context: mx.Context) -> list[np.ndarray]:
    used = set(symbol.list_arguments())
    given = {n: mx.nd.array(a, context, "float64") for n, a in arrays.items() if n in used}
    return [y.asnumpy() for y in symbol.bind(context, given).forward()]


def in_torch(layer: Layer, arrays: Arrays) -> list[np.ndarray]:
    assert layer.theirs is not None
    values = [torch.tensor(array, requires_grad=True) for array in arrays.values()]
    total = torch.sin(layer.theirs(*values)).sum()
    first = torch.autograd.grad(total, values, create_graph=True)
    squares = torch.stack([slope.square().sum() for slope in first]).sum()
    return [slope.numpy() for slope in torch.autograd.grad(squares, values)]


@pytest.mark.parametrize("layer", [*LAYERS.values(), NETWORK], ids=[*LAYERS, "network"])
def test_gradients_of_gradients_are_those_of_torch(layer: Layer) -> None:
    arrays = layer.arrays()
    found = evaluated(slopes_of_slopes(layer), arrays, mx.cpu())
    for one, due in zip(found, in_torch(layer, arrays), strict=True):
        # Sums of hundreds of products in another order, in float64.
        np.testing.assert_allclose(one, due, rtol=1e-10, atol=1e-10 * abs(due).max())


def test_gradients_of_gradients_on_both_contexts(context: mx.Context) -> None:
    arrays = NETWORK.arrays()
    found = evaluated(slopes_of_slopes(NETWORK), arrays, context)
    for one, due in zip(found, in_torch(NETWORK, arrays), strict=True):
        np.testing.assert_allclose(one, due, rtol=1e-10, atol=1e-10 * abs(due).max())


@pytest.mark.parametrize(
    "layer",
    [LAYERS[n] for n in ("convolution, dilated, in groups", "deconvolution, 1 axis", "gru")],
)
def test_gradients_of_gradients_are_slopes(layer: Layer) -> None:
    """Central differences of the first gradients, and third derivatives of the second ones."""
    arrays = layer.arrays()
    numbers = np.random.default_rng(3)
    direction = {name: numbers.uniform(-1, 1, array.shape) for name, array in arrays.items()}
    names = list(layer.shapes)
    symbol = mx.sym.sum(mx.sym.sin(layer.symbol()))
    for _ in range(2):
        squares = mx.sym.add_n(*(mx.sym.sum(mx.sym.square(g)) for g in symbol.grad(names)))
        slopes = evaluated(squares.grad(names), arrays, mx.cpu())
        along = sum(
            (slope * direction[name]).sum() for name, slope in zip(names, slopes, strict=True)
        )
        step, sums = 1e-5, []
        for sign in (1, -1):
            moved = {name: array + sign * step * direction[name] for name, array in arrays.items()}
            sums.append(evaluated(squares, moved, mx.cpu())[0].item())
        # The error of the third derivative at this step, and of rounding divided by it.
        assert abs((sums[0] - sums[1]) / (2 * step) - along) < 1e-6 * abs(along)
        symbol = squares


class Triple(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        self.assign(out_data[0], req[0], in_data[0] * 3)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], out_grad[0] * 3)


@mx.operator.register("tripled_once")
class TripleProperty(mx.operator.CustomOpProp):
    def create_operator(self, ctx, shapes, dtypes):
        return Triple()


def test_what_has_no_second_derivative_says_so() -> None:
    x = mx.sym.Variable("x")
    made = mx.sym.Custom(x, op_type="tripled_once", name="c")
    twice = mx.sym.sum(mx.sym.square(made.grad("x"))).grad("x")
    with pytest.raises(RuntimeError, match=r"'c_.*gradients of Custom tripled_once have no grad"):
        twice.simple_bind(mx.cpu(), x=(3,))
