"""What GPU plans of 16-bit graphs store: nothing large that is cheap to compute again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tritonsym as mx
from memory_checker import check_plan
from tritonsym.binding.executor import Executor
from tritonsym.expressions.expr import Expr, broadcast, cast, dot, input_, make, reduce
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import BFLOAT16, FLOAT32
from tritonsym.graph.trace import Graph
from tritonsym.planning.plan import Plan
from tritonsym.planning.plan_text import floor, moved
from tritonsym.rewrites import split
from tritonsym.rewrites.cones import CHEAP, bytes_of, cone_of, read_apart, stored_in_any_case
from tritonsym.rewrites.nested import rows_first
from tritonsym.symbol import Symbol

sym = mx.sym
Shape = tuple[int, ...]

# 8 bits of a bfloat16, at some steps that each round, and sums of the results.
TOLERANCE = 0.05


@pytest.fixture(params=["whole", "cut"])
def sums(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether sums of columns are one reduction, or cut into parts; of rows there are enough."""
    if request.param == "cut":
        monkeypatch.setattr(split, "LONG", 128 * 32)
        monkeypatch.setattr(split, "SHORTEST_PART", 64 * 32)
    return str(request.param)


def bound(symbol: Symbol, context: mx.Context, **shapes: Shape) -> Executor:
    """The symbol on random bfloat16 arrays, with gradients of all of them."""
    known, _, _ = symbol.infer_shape(**shapes)
    draw = torch.Generator().manual_seed(3)
    arrays = {}
    for name, shape in zip(symbol.list_arguments(), known, strict=True):
        array = mx.nd.zeros(shape, context, "bfloat16")
        array.to_torch().copy_(torch.randn(shape, generator=draw))
        arrays[name] = array
    gradients = {name: mx.nd.zeros_like(array) for name, array in arrays.items()}
    return symbol.bind(context, arrays, gradients)


def stored(plan: Plan) -> list[Expr]:
    return [x for kernel in plan.kernels for part in kernel.each for x in part.outputs]


def bytes_moved(plan: Plan) -> int:
    """What all kernels move, those that run side by side each on its own."""
    return sum(moved(plan, part) for kernel in plan.kernels for part in kernel.each)


def wide(plan: Plan, elements: int) -> list[Expr]:
    """The float32 values of so many elements that are stored."""
    return [x for x in stored(plan) if x.dtype is FLOAT32 and x.size >= elements]


def test_a_layer_norm_with_gradients_stores_its_results_alone(gpu: mx.Context, sums: str) -> None:
    """Read in the forward pass, for the data's gradient, and for those of gamma and beta."""
    shape = (256, 128)
    data, gamma, beta = (sym.Variable(name) for name in ("data", "gamma", "beta"))
    executor = bound(sym.LayerNorm(data, gamma, beta), gpu, data=shape)
    executor.forward(is_train=True)
    head = mx.nd.ones(shape, gpu, "bfloat16")
    head.to_torch().copy_(torch.randn(shape, generator=torch.Generator().manual_seed(4)))
    executor.backward([head])
    (passed,) = executor._training.values()
    check_plan(passed.plan)
    size = shape[0] * shape[1]
    assert not wide(passed.plan, size)
    assert sum(x.size == size for x in stored(passed.plan)) == 2, "the result, and one gradient"
    # Two arrays, then three, then two; those of a cut sum are read by the two sums apart.
    arrays = 7 if sums == "whole" else 8
    assert arrays * 2 * size < bytes_moved(passed.plan) < 1.1 * arrays * 2 * size
    leaves = [executor.arg_dict[n].to_torch().double() for n in ("data", "gamma", "beta")]
    for leaf in leaves:
        leaf.requires_grad_()
    due = torch.nn.functional.layer_norm(leaves[0], shape[1:], *leaves[1:], eps=1e-5)
    due.backward(head.to_torch().double())
    found = [executor.outputs[0], *(executor.grad_dict[n] for n in ("data", "gamma", "beta"))]
    for value, expected in zip(found, [due.detach(), *(x.grad for x in leaves)], strict=True):
        assert expected is not None
        apart = (value.to_torch().double() - expected).abs().max()
        assert apart <= TOLERANCE * expected.abs().max()


def test_a_cross_entropy_moves_what_it_reads(gpu: mx.Context) -> None:
    shape = (48, 1000)
    scores = sym.cast(sym.Variable("scores"), dtype="float32")
    loss = sym.softmax_cross_entropy(scores, sym.Variable("label"))
    values = torch.randn(shape, generator=torch.Generator().manual_seed(5)).bfloat16()
    given = mx.nd.zeros(shape, gpu, "bfloat16")
    given.to_torch().copy_(values)
    label = np.arange(shape[0]) * 7.0
    executor = loss.bind(gpu, {"scores": given, "label": mx.nd.array(label, gpu)})
    assert max(x.size for x in stored(executor.plan)) == shape[0]
    assert bytes_moved(executor.plan) < 1.01 * floor(executor.plan)
    due = torch.nn.functional.cross_entropy(
        values.double(), torch.tensor(label).long(), reduction="sum"
    )
    # A float32 sum of a thousand numbers, and one of 48.
    assert abs(executor.forward()[0].asnumpy()[0] - due.item()) < 1e-5 * due.item()


def block(width: int) -> Symbol:
    """Two layer norms with what a transformer has around them, but for its attention."""
    x = sym.Variable("x")
    for number in range(2):
        scale = (sym.Variable(f"{name}{number}") for name in ("gamma", "beta"))
        inner = sym.LayerNorm(x, *scale)
        for name, size in (("up", 2 * width), ("down", width)):
            inner = sym.FullyConnected(
                inner, num_hidden=size, flatten=False, name=f"{name}{number}"
            )
            inner = sym.LeakyReLU(inner, act_type="gelu") if name == "up" else inner
        x = x + inner
    return x


def test_the_norms_of_a_transformer_store_no_wide_values(gpu: mx.Context, sums: str) -> None:
    """Neither in the shape of the data, nor in that of the products, nor in that of the parts."""
    shape = (5, 32, 16)
    executor = bound(block(shape[-1]), gpu, x=shape)
    executor.forward(is_train=True)
    executor.backward([mx.nd.ones(shape, gpu, "bfloat16")])
    (passed,) = executor._training.values()
    check_plan(passed.plan)
    assert not wide(passed.plan, shape[0] * shape[1] * shape[2])
    with mx.switched(fusion=False):
        apart = bound(block(shape[-1]), gpu, x=shape)
        apart.forward(is_train=True)
        apart.backward([mx.nd.ones(shape, gpu, "bfloat16")])
    for one, two in zip(executor.grad_arrays, apart.grad_arrays, strict=True):
        values = [x.to_torch().double() for x in (one, two)]
        assert (values[0] - values[1]).abs().max() <= TOLERANCE * values[1].abs().max()


def test_what_follows_a_product_is_kept_where_rows_read_it(gpu: mx.Context) -> None:
    """The sum that a second layer norm reads is stored once, and the product's result is not."""
    shape = (5, 32, 16)
    executor = bound(block(shape[-1]), gpu, x=shape)
    executor.forward(is_train=True)
    executor.backward([mx.nd.ones(shape, gpu, "bfloat16")])
    (passed,) = executor._training.values()
    early = passed.plan.kernels[: passed.plan.stages[0].end]
    residual = [k for k in early if [x.primitive for x in k.body][:3] == ["dot", "add", "add"]]
    assert [len(kernel.outputs) for kernel in residual] == [1, 1]


# ---- cones --------------------------------------------------------------------------------------


def variable(shape: Shape = (4, 6), number: int = 0) -> Expr:
    return input_(number, shape, BFLOAT16)


def test_a_cone_is_steps_on_leaves() -> None:
    x, y = variable(), make("exp", variable(number=1))
    value = (cast(x, FLOAT32) * 2.0) + cast(y, FLOAT32)
    cone = cone_of(value, lambda z: z.primitive in CHEAP, 4)
    assert cone is not None
    assert [z.primitive for z in cone.steps] == ["cast", "mul", "cast", "add"]
    assert {z for z in cone.leaves if z.primitive != "constant"} == {x, y}
    assert bytes_of(cone.leaves) == 2 * 2 * 24, "constants are nowhere"
    assert cone.on({z: z for z in cone.leaves})[-1] is value
    assert cone_of(value, lambda z: z.primitive in CHEAP, 3) is None, "it has four steps"
    assert cone_of(x, lambda z: z.primitive in CHEAP, 4) is None, "it has none"


def test_values_are_read_apart_where_a_pass_ends() -> None:
    x = variable((4, 4))
    product = dot(x, x)
    value = product + x
    sums = reduce("sum", cast(value, FLOAT32), (1,))
    assert read_apart(toposort([sums])) == {x, value}, "narrow, and after what follows the product"
    assert read_apart(toposort([reduce("sum", cast(x * x, FLOAT32), (1,))])) == set()
    later = make("exp", sums)
    assert sums in stored_in_any_case(Graph((sums, later), stages=(1, 2)))


# ---- rows first ---------------------------------------------------------------------------------


def test_a_sum_of_all_is_one_of_rows_first() -> None:
    x = cast(variable(), FLOAT32)
    shifted = x - broadcast(make("log", reduce("sum", make("exp", x), (1,))), x.shape)
    total = rows_first(reduce("sum", shifted, (0, 1)))
    assert total is not None
    assert total.integers("axes") == (0,) and total.inputs[0].integers("axes") == (1,)
    assert rows_first(total) is None


def test_sums_of_what_no_row_was_reduced_for_stay() -> None:
    x = variable()
    assert rows_first(reduce("sum", x * x, (0, 1))) is None
    centred = x - broadcast(reduce("max", x, (0,)), x.shape)
    assert rows_first(reduce("sum", centred, (1,))) is None, "these are other axes"
    assert rows_first(reduce("sum", centred, (0,))) is None, "these are all"


def test_a_sum_of_16_bits_is_rounded_once() -> None:
    x = variable()
    centred = x - broadcast(reduce("max", x, (1,)), x.shape)
    total = rows_first(reduce("sum", centred, (0, 1)))
    assert total is not None and total.dtype is BFLOAT16
    assert [y.dtype for y in toposort([total]) if y.primitive == "sum"] == [FLOAT32, FLOAT32]
