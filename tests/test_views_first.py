"""For GPUs: views of what is computed elementwise are computed of views, where nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.plan_command import plan_for_gpu

sym = mx.sym
A, B, C = (sym.Variable(name) for name in "abc")
SHAPES = {"a": (40, 24), "b": (24, 40), "row": (1, 24), "column": (40, 1), "long": (1, 40)}
ROW, COLUMN = sym.Variable("row"), sym.Variable("column")

ONE_KERNEL = {
    "repeated row": sym.broadcast_add(A, sym.exp(ROW)),
    "repeated column": sym.broadcast_mul(A, sym.rsqrt(sym.abs(COLUMN) + 1)),
    "both repeated": sym.broadcast_mul(sym.exp(ROW), sym.tanh(COLUMN)) - A,
    "transposed": sym.exp(A) + sym.transpose(sym.tanh(B)),
    "repeated and transposed": A
    - sym.transpose(sym.tanh(sym.broadcast_add(B, sym.Variable("long")))),
    "part": sym.slice_axis(sym.exp(A) * 2, axis=1, begin=3, end=17) + 1,
    "normalized": sym.softmax(sym.broadcast_add(A, sym.sqrt(sym.abs(ROW)))),
}


@pytest.mark.parametrize("name", ONE_KERNEL)
def test_one_kernel_that_moves_the_least(name: str) -> None:
    symbol = ONE_KERNEL[name]
    plan = plan_for_gpu(symbol, {n: SHAPES[n] for n in symbol.list_arguments()})
    assert len(plan.kernels) == 1
    assert plan.arena_size == 0
    check_plan(plan)


@pytest.mark.parametrize("name", ONE_KERNEL)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_same_values_as_step_by_step(name: str, dtype: str, context: mx.Context) -> None:
    symbol, values = ONE_KERNEL[name], np.random.RandomState(3)
    data = {n: values.randn(*SHAPES[n]) for n in symbol.list_arguments()}
    found = []
    for fusion in (True, False):
        with mx.switched(fusion=fusion):
            given = {n: mx.nd.array(v, dtype=dtype, ctx=context) for n, v in data.items()}
            gradients = {n: mx.nd.zeros(v.shape, dtype=dtype, ctx=context) for n, v in data.items()}
            executor = symbol.bind(context, given, args_grad=gradients)
            (output,) = executor.forward(is_train=True)
            executor.backward(mx.nd.ones(output.shape, dtype=dtype, ctx=context))
        found.append([output.asnumpy(), *(g.asnumpy() for g in gradients.values())])
    # Sums of 40 numbers, each rounded after up to four steps.
    bound = 64 * {"float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}[dtype]
    for fused, apart in zip(*found, strict=True):
        np.testing.assert_allclose(fused, apart, rtol=bound, atol=bound * np.abs(apart).max())


def forms(symbol: mx.Symbol, **shapes: tuple[int, ...]) -> list[str]:
    return [kernel.form for kernel in plan_for_gpu(symbol, shapes).kernels]


def test_what_follows_a_product_stays_with_it() -> None:
    turned = sym.transpose(sym.exp(sym.dot(A, B)))
    assert forms(turned + C, a=(64, 32), b=(32, 48), c=(48, 64)) == ["matmul", "pointwise"]


def test_what_others_read_is_computed_once() -> None:
    value = sym.tanh(A)
    both = sym.Group([sym.dot(value, B), sym.transpose(value) + B])
    (stored,) = [
        x
        for kernel in plan_for_gpu(both, {"a": (40, 24), "b": (24, 40)}).kernels[:1]
        for x in kernel.outputs
    ]
    assert stored.primitive == "tanh"


def test_many_dear_steps_are_taken_for_few_elements() -> None:
    dear = sym.sin(sym.exp(sym.tanh(ROW)))
    assert len(forms(sym.broadcast_add(A, dear), a=(4096, 1024), row=(1, 1024))) == 2
    assert len(forms(sym.broadcast_add(A, dear), a=(40, 24), row=(1, 24))) == 1


def test_a_number_is_computed_once() -> None:
    one = sym.Variable("one")
    assert len(forms(sym.broadcast_mul(A, sym.exp(one)), a=(40, 24), one=(1, 1))) == 2


def test_windows_are_computed_of_what_they_are_windows_of() -> None:
    window = sym.Pooling(sym.relu(A) * 2, kernel=(2, 2), stride=(2, 2), pool_type="max")
    assert len(forms(window, a=(4, 8, 16, 16))) == 1
    dear = sym.Pooling(sym.tanh(A), kernel=(2, 2), stride=(1, 1), pool_type="max")
    assert len(forms(dear, a=(4, 8, 16, 16))) > 1, "each element is in several windows"
