"""On a GPU images of 16 bits keep their channels last between convolutions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.expressions.expr import Expr
from tritonsym.foundation.dtype import as_dtype
from tritonsym.plan_command import plan_for_gpu
from tritonsym.planning.plan import Plan

sym = mx.sym
DATA = sym.Variable("data")
SHAPE = (2, 3, 8, 8)
Net = Callable[[mx.Symbol], mx.Symbol]


def convolved(x: mx.Symbol, channels: int = 5, stride: int = 1, **others: int) -> mx.Symbol:
    return sym.Convolution(
        x, kernel=(3, 3), pad=(1, 1), stride=(stride, stride), num_filter=channels, **others
    )


def block(x: mx.Symbol) -> mx.Symbol:
    """Convolution, normalization, activation."""
    return sym.relu(sym.BatchNorm(convolved(x), fix_gamma=False))


def pooled(x: mx.Symbol, pool_type: str = "max", kernel: int = 2) -> mx.Symbol:
    return sym.Pooling(x, kernel=(kernel, kernel), stride=(2, 2), pool_type=pool_type)


def residual(x: mx.Symbol) -> mx.Symbol:
    first = block(x)
    return sym.relu(sym.BatchNorm(convolved(first)) + first)


def beside_the_data(x: mx.Symbol) -> mx.Symbol:
    return sym.exp(x) * convolved(convolved(x, 4), 3)


def squeezed(x: mx.Symbol) -> mx.Symbol:
    """Channels are weighed by what is in all of them."""
    image = block(x)
    means = sym.mean(image, axis=(2, 3), keepdims=True)
    return convolved(sym.broadcast_mul(image, sym.sigmoid(means)))


def joined(x: mx.Symbol) -> mx.Symbol:
    parts = [block(x), convolved(x, 2), sym.slice_axis(block(x), axis=1, begin=1, end=3)]
    return convolved(sym.Concat(*parts, dim=1))


def widened(x: mx.Symbol) -> mx.Symbol:
    up = sym.Deconvolution(block(x), kernel=(2, 2), stride=(2, 2), num_filter=4)
    return convolved(sym.flip(up, axis=3))


def weighed(x: mx.Symbol) -> mx.Symbol:
    """Means are stored by one kernel, and computed again by another for the moving means."""
    image = sym.BatchNorm(x)
    return sym.broadcast_mul(image, sym.sum(image, axis=1, keepdims=True))


def classified(x: mx.Symbol) -> mx.Symbol:
    dense = sym.FullyConnected(sym.Flatten(pooled(block(pooled(block(x))))), num_hidden=4)
    return sym.softmax(dense)


NETS: dict[str, Net] = {
    "two blocks": lambda x: block(block(x)),
    "residual": residual,
    "beside the data": beside_the_data,
    "squeezed": squeezed,
    "joined": joined,
    "weighed": weighed,
    "widened": widened,
    "classified": classified,
    "windows that overlap": lambda x: convolved(pooled(block(x), kernel=3)),
    "means": lambda x: convolved(pooled(block(x), "avg")),
    "strided, in groups": lambda x: convolved(convolved(x, 6, 2), 4, num_group=2),
    "one channel": lambda x: convolved(convolved(convolved(x, 1), 4), 1),
    "largest of channels": lambda x: convolved(sym.max(block(x), axis=1, keepdims=True), 2),
    "dropped": lambda x: convolved(sym.Dropout(block(x), p=0.5)),
    "both orders": lambda x: sym.Group([residual(x), sym.Flatten(block(x)), convolved(block(x))]),
}


def trained(
    symbol: mx.Symbol, context: mx.Context, dtype: str, train: bool
) -> tuple[list[np.ndarray], Plan]:
    """Outputs, gradients and states after a run on random data."""
    mx.random.seed(5)
    shapes, _, states = symbol.infer_shape(data=SHAPE)
    random = np.random.RandomState(1)
    values = {n: random.randn(*s) for n, s in zip(symbol.list_arguments(), shapes, strict=True)}

    def array(value: np.ndarray, name: str) -> mx.nd.NDArray:
        wide = "gamma" in name or "beta" in name or "moving" in name
        return mx.nd.array(value, dtype="float32" if wide else dtype, ctx=context)

    data = {name: array(value, name) for name, value in values.items()}
    gradients = {name: array(np.zeros_like(value), name) for name, value in values.items()}
    names = symbol.list_auxiliary_states()
    held = {n: array(np.ones(s), n) for n, s in zip(names, states, strict=True)}
    executor = symbol.bind(context, data, args_grad=gradients if train else None, aux_states=held)
    results = [output.asnumpy() for output in executor.forward(is_train=train)]
    if train:
        executor.backward([mx.nd.ones(x.shape, dtype=dtype, ctx=context) for x in results])
        results += [x.asnumpy() for x in (*gradients.values(), *held.values())]
    plan = next(iter(executor._training.values())).plan if train else executor.plan
    check_plan(plan)
    return results, plan


@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("name", NETS)
def test_the_same_values_as_step_by_step(name: str, train: bool, gpu: mx.Context) -> None:
    symbol = NETS[name](DATA)
    fused, _ = trained(symbol, gpu, "float16", train)
    with mx.switched(fusion=False):
        apart, _ = trained(symbol, gpu, "float16", train)
    for one, other in zip(fused, apart, strict=True):
        # Both are rounded to 11 bits after each of a few layers, whose errors the next ones
        # multiply by what they sum up.
        due = other.astype("float64")
        assert np.abs(one - due).max() <= 2e-2 * np.abs(due).max() + 1e-3


def calls(plan: Plan) -> list[Expr]:
    return [x for k in plan.kernels for x in k.body if x.primitive == "native"]


def plan_of(net: Net, dtype: str = "bfloat16") -> Plan:
    symbol = net(DATA)
    wide, reduced = ("gamma", "beta", "moving"), as_dtype(dtype).is_reduced
    kinds = {
        name: as_dtype("float32" if reduced and any(part in name for part in wide) else dtype)
        for name in symbol.list_inputs()
    }
    return plan_for_gpu(symbol, {"data": SHAPE}, kinds)


def test_images_stay_in_their_order_from_call_to_call() -> None:
    plan = plan_of(residual)
    assert [x.shape for x in calls(plan)] == [(2, 8, 8, 5)] * 2
    forms = [kernel.form for kernel in plan.kernels]
    assert forms == ["single", "pointwise", "single", "pointwise"], "nothing but turns an image"


def test_a_window_is_computed_of_the_convolution() -> None:
    plan = plan_of(lambda x: convolved(pooled(sym.relu(convolved(x)))))
    assert [kernel.form for kernel in plan.kernels] == [
        "single",
        "pointwise",
        "single",
        "pointwise",
    ]


def test_gradients_of_a_norm_store_no_image_of_float32() -> None:
    """What a convolution has stored is read again instead, in 16 bits."""
    net = convolved(sym.relu(sym.BatchNorm(convolved(DATA, 64), fix_gamma=False)), 64)
    slopes = [net.grad(name) for name in net.list_arguments() if name != "data"]
    symbol = sym.Group([net, *slopes])
    kinds = {
        name: as_dtype("float32" if name.endswith(("gamma", "beta")) else "bfloat16")
        for name in symbol.list_arguments()
    }
    plan = plan_for_gpu(symbol, {"data": (8, 64, 56, 56)}, kinds)
    images = [x for kernel in plan.kernels for x in kernel.outputs if x.size >= 8 * 64 * 56 * 56]
    assert {x.dtype.name for x in images} == {"bfloat16"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wider_floats_are_no_work_for_tensor_cores(dtype: str) -> None:
    assert [x.shape for x in calls(plan_of(residual, dtype))] == [(2, 5, 8, 8)] * 2


def test_groups_of_channels_stay_in_the_ordinary_order() -> None:
    plan = plan_of(lambda x: convolved(convolved(convolved(x, 6), 4, num_group=2), 6))
    assert [x.shape for x in calls(plan)] == [(2, 6, 8, 8), (2, 4, 8, 8), (2, 6, 8, 8)]


def test_a_convolution_alone_gains_nothing() -> None:
    (call,) = calls(plan_of(lambda x: sym.relu(convolved(x))))
    assert call.shape == (2, 5, 8, 8)
