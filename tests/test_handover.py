"""Memory changes hands only where nobody can tell it from a copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.binding.executor import Executor
from tritonsym.foundation import handover
from tritonsym.foundation.handover import LEAST, MOST, Loans, is_only_owner, putting
from tritonsym.rewrites import torch_norms

SHAPE = (256, 256)
# Sums over a row, each rounded.
TOLERANCE = 2e-5


def drawn(seed: int, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def was_taken(place: torch.Tensor, keeps: Any = None) -> bool:
    """Whether a place takes a result's memory, which must hold the right numbers in any case."""
    result = drawn(1, tuple(place.shape))
    expected = result.clone()
    memory = result.data_ptr()
    results = [result]
    del result
    putting(lambda: results.pop(), [], place)()
    assert torch.equal(place, expected)
    return place.data_ptr() == memory


def inference_tensor() -> torch.Tensor:
    with torch.inference_mode():
        return torch.empty(SHAPE)


def on_shared_memory() -> torch.Tensor:
    return torch.empty(SHAPE).share_memory_()


# Places whose memory someone else has as well, or that are only a part of some.
SEEN: dict[str, Callable[[], tuple[torch.Tensor, Any]]] = {
    "slice": lambda: (x := torch.empty(SHAPE), x[3:5]),
    "alias": lambda: (x := torch.empty(SHAPE), x.detach()),
    "numpy": lambda: (x := torch.empty(SHAPE), x.numpy()),
    "of-numpy": lambda: (torch.from_numpy(np.empty(SHAPE, np.float32)), None),
    "dlpack": lambda: (x := torch.empty(SHAPE), np.from_dlpack(x.detach())),
    "shared": lambda: (on_shared_memory(), None),
    "part": lambda: (torch.empty(2, *SHAPE)[1].detach(), None),
    "transposed": lambda: (torch.empty(SHAPE).t(), None),
    "too-small": lambda: (torch.empty(LEAST // 4 - 1), None),
    "too-large": lambda: (torch.empty(MOST // 4 + 1), None),
}


@pytest.mark.parametrize("name", SEEN)
def test_what_others_see_is_copied(name: str) -> None:
    place, other = SEEN[name]()
    before = place.data_ptr()
    assert not was_taken(place)
    assert place.data_ptr() == before
    if name in ("slice", "alias", "numpy", "dlpack"):
        rows = place[3:5] if name == "slice" else place
        assert np.array_equal(np.asarray(other), rows.numpy())


@pytest.mark.parametrize("size", [LEAST // 4, MOST // 4])
def test_what_nobody_else_sees_is_taken(size: int) -> None:
    place = torch.empty(size)
    assert was_taken(place) and was_taken(place)
    gone = place[1:]
    assert not was_taken(place)
    del gone
    assert was_taken(place)


def shared(x: torch.Tensor) -> None:
    x.share_memory_()


def resized(x: torch.Tensor) -> None:
    x.untyped_storage().resize_(2 * x.nbytes)


# What happens to memory that a step has put there, and what of it lasts.
BETWEEN: dict[str, Callable[[torch.Tensor], Any]] = {
    "alias": lambda x: x.detach(),
    "slice": lambda x: x[7],
    "numpy": lambda x: x.numpy(),
    "asked": lambda x: x.untyped_storage().nbytes(),
    "shared": lambda x: shared(x.detach()),
    "resized": lambda x: resized(x.detach()),
    "of-numpy": lambda x: setattr(x, "data", torch.from_numpy(np.zeros(SHAPE, np.float32))),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_memory_that_was_taken_can_be_seen_later(name: str) -> None:
    """The same step, again and again: its own memory is given up only while nobody else has it."""
    place, results = drawn(2), [drawn(seed) for seed in range(5)]
    step = putting(lambda: results.pop(), [], place)

    def took() -> bool:
        memory, expected = results[-1].data_ptr(), results[-1].clone()
        step()
        assert torch.equal(place, expected)
        return place.data_ptr() == memory

    assert took() and took()
    lasts = BETWEEN[name](place)
    assert took() is (name == "asked")
    if isinstance(lasts, torch.Tensor):
        assert torch.equal(lasts, place[7] if lasts.ndim == 1 else place)
    del lasts
    assert took() is (name in ("alias", "slice", "asked"))


@pytest.mark.parametrize("name", ["_count", "_address"])
def test_without_torchs_count_everything_is_copied(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, name, None)
    assert not was_taken(torch.empty(SHAPE))


def test_inference_mode_leaves_tensors_as_they_are() -> None:
    place = torch.empty(SHAPE)
    with torch.inference_mode():
        assert not was_taken(place)
        made_within = inference_tensor()
        assert not was_taken(made_within)
    place.add_(1)
    assert not place.is_inference()


def test_a_call_may_read_what_it_replaces() -> None:
    place = drawn(2)
    expected = place * 2
    putting(lambda x: x * 2, [place], place)()
    assert torch.equal(place, expected)


def test_after_an_error_the_place_has_memory_again() -> None:
    place = drawn(2)

    def fail() -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        putting(fail, [], place)()
    assert place.shape == SHAPE and is_only_owner(place)
    assert was_taken(place)


def test_memory_is_lent_and_given_back() -> None:
    source, place = drawn(3), drawn(4)
    own, before = place.data_ptr(), place.clone()
    with pytest.raises(KeyboardInterrupt), Loans([drawn(5)]) as loans:
        assert loans.lend(source, place)
        assert place.data_ptr() == source.data_ptr()
        raise KeyboardInterrupt
    assert place.data_ptr() == own and torch.equal(place, before) and is_only_owner(place)


@pytest.mark.parametrize(
    ("source", "written"),
    [
        (drawn(3).t(), drawn(5)),
        ((one := drawn(3)), one),
        ((two := drawn(3, (2, *SHAPE)))[1], two[0]),
        (inference_tensor(), drawn(5)),
        (drawn(3).double(), drawn(5)),
    ],
    ids=["transposed", "written", "partly-written", "inference", "float64"],
)
def test_what_cannot_be_lent(source: torch.Tensor, written: torch.Tensor) -> None:
    place = drawn(4)
    memory, values = place.data_ptr(), place.clone()
    with Loans([written]) as loans:
        assert not loans.lend(source, place)
    assert place.data_ptr() == memory and torch.equal(place, values)


# ---- executors ---------------------------------------------------------------------------------


def layer(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.layer_norm(x, x.shape[-1:])


def bound(data: mx.nd.NDArray, *gradient: mx.nd.NDArray) -> Executor:
    x = mx.sym.var("data")
    normal = mx.sym.LayerNorm(x, mx.sym.var("gamma"), mx.sym.var("beta"))
    arrays = {"data": data, "gamma": mx.nd.ones(data.shape[-1:]), "beta": mx.nd.zeros(256)}
    gradients = dict(zip(["data"], gradient, strict=False))
    requests = {name: "write" if name in gradients else "null" for name in arrays}
    return normal.bind(mx.cpu(), arrays, args_grad=gradients, grad_req=requests)


def memory_of(array: mx.nd.NDArray) -> int:
    return array.to_torch().data_ptr()


def assert_is_layer(found: Any, data: mx.nd.NDArray) -> None:
    torch.testing.assert_close(
        torch.as_tensor(np.asarray(found)).double(),
        layer(data.to_torch().double()),
        rtol=0,
        atol=TOLERANCE,
    )


def test_outputs_stay_the_same_arrays() -> None:
    data = mx.nd.from_torch(drawn(6))
    executor = bound(data)
    (output,) = executor.forward()
    first = memory_of(output)
    held = output.to_torch()
    assert held.data_ptr() == first
    del held
    for seed in range(3):
        data[:] = drawn(seed).numpy()
        assert executor.forward()[0] is output
        assert_is_layer(output.asnumpy(), data)


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x[:],
        lambda x: x.reshape((-1,)),
        lambda x: x.to_torch(),
        lambda x: x.to_torch().numpy(),
        lambda x: np.from_dlpack(x),
        lambda x: np.from_dlpack(x.to_torch()),
        lambda x: mx.nd.from_dlpack(x),
    ],
    ids=["slice", "reshape", "torch", "torch-numpy", "dlpack", "torch-dlpack", "from-dlpack"],
)
def test_whoever_looks_at_an_output_sees_the_next_run(look: Callable[[Any], Any]) -> None:
    data = mx.nd.from_torch(drawn(6))
    executor = bound(data)
    view = look(executor.forward()[0])
    data[:] = drawn(7).numpy()
    executor.forward()
    assert_is_layer(np.asarray(view).reshape(SHAPE), data)


def test_numpy_copies_do_not_end_it() -> None:
    executor = bound(mx.nd.from_torch(drawn(6)))
    output = executor.forward()[0]
    output.asnumpy()
    assert is_only_owner(output._tensor)


def test_an_output_that_is_bound_elsewhere_is_read_anew() -> None:
    data = mx.nd.from_torch(drawn(6))
    first = bound(data)
    second = (mx.sym.var("x") * 2).bind(mx.cpu(), {"x": first.outputs[0]})
    third = mx.sym.relu(mx.sym.var("x")).bind(mx.cpu(), {"x": first.outputs[0][:]})
    for seed in (8, 9):
        data[:] = drawn(seed).numpy()
        first.forward()
        assert_is_layer(second.forward()[0].asnumpy() / 2, data)
        due = layer(data.to_torch().double()).clamp(min=0)
        found = third.forward()[0].to_torch().double()
        torch.testing.assert_close(found, due, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("train", [False, True])
def test_a_layer_of_a_sum(train: bool) -> None:
    total = mx.sym.var("x") + mx.sym.var("y")
    normal = mx.sym.LayerNorm(total, mx.sym.var("gamma"), mx.sym.var("beta"))
    arrays = {
        "x": mx.nd.from_torch(drawn(1)),
        "y": mx.nd.from_torch(drawn(2)),
        "gamma": mx.nd.ones(256),
        "beta": mx.nd.zeros(256),
    }
    executor = normal.bind(mx.cpu(), arrays, args_grad={"x": mx.nd.zeros(SHAPE)} if train else None)
    for _ in range(2):
        found = executor.forward(is_train=train)[0]
        assert_is_layer(found.asnumpy(), arrays["x"] + arrays["y"])


def gradient(data: mx.nd.NDArray, head: torch.Tensor) -> torch.Tensor:
    x = data.to_torch().double().requires_grad_()
    layer(x).backward(head.double())
    assert x.grad is not None
    return x.grad


def test_gradients_of_heads_that_are_lent() -> None:
    data, slope = mx.nd.from_torch(drawn(6)), mx.nd.zeros(SHAPE)
    executor = bound(data, slope)
    for seed in (10, 11):
        head = mx.nd.from_torch(drawn(seed))
        executor.forward(is_train=True)
        executor.backward(head)
        assert torch.equal(head.to_torch(), drawn(seed))
        due = gradient(data, drawn(seed))
        torch.testing.assert_close(slope.to_torch().double(), due, rtol=0, atol=TOLERANCE)
        assert is_only_owner(head._tensor)  # nothing of the executor looks at it any longer


def test_heads_for_kernels_that_know_addresses(context: mx.Context) -> None:
    """So many kernels side by side find their arrays by a table that is made when binding."""
    names = [f"x{number}" for number in range(40)]
    arrays = {name: mx.nd.ones((128, 128), context) for name in names}
    slopes = {name: mx.nd.zeros((128, 128), context) for name in names}
    squares = mx.sym.Group([mx.sym.square(mx.sym.var(name)) for name in names])
    executor = squares.bind(context, arrays, slopes)
    for first in (1, 2):
        executor.forward(is_train=True)
        executor.backward([mx.nd.full((128, 128), first + n, context) for n in range(40)])
        for number, name in enumerate(names):
            assert (slopes[name].asnumpy() == 2 * (first + number)).all()


def test_layers_and_their_gradients_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    made: list[int] = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            result = function(*arguments)
            given.append(arguments[0].data_ptr())
            made.append((result if isinstance(result, torch.Tensor) else result[0]).data_ptr())
            return result

        return call

    monkeypatch.setattr(torch, "layer_norm", watched(torch.layer_norm))
    monkeypatch.setattr(torch, "native_layer_norm", watched(torch.native_layer_norm))
    monkeypatch.setattr(torch_norms, "_backward", watched(torch_norms._backward))
    data, slope = mx.nd.from_torch(drawn(6)), mx.nd.zeros(SHAPE)
    head = mx.nd.from_torch(drawn(10))
    executor = bound(data, slope)
    for train in (False, True):
        (output,) = executor.forward(is_train=train)
        assert made[-1] == memory_of(output)
    executor.backward(head)
    assert (given[-1], made[-1]) == (memory_of(head), memory_of(slope))
    assert len(made) == 3


@pytest.mark.parametrize("which", ["gradient", "output", "data"])
def test_heads_that_are_the_executors_own_arrays(which: str) -> None:
    data, slope = mx.nd.from_torch(drawn(6)), mx.nd.zeros(SHAPE)
    executor = bound(data, slope)
    executor.forward(is_train=True)
    slope[:] = drawn(12).numpy()
    head = {"gradient": slope, "output": executor.outputs[0], "data": data}[which]
    values = head.copy().to_torch()
    executor.backward(head)
    due = gradient(data, values)
    torch.testing.assert_close(slope.to_torch().double(), due, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
def test_heads_of_another_dtype_are_converted(dtype: str) -> None:
    data, slope = mx.nd.from_torch(drawn(6)), mx.nd.zeros(SHAPE)
    executor = bound(data, slope)
    executor.forward(is_train=True)
    head = mx.nd.from_torch(drawn(13) * 100).astype(dtype)
    executor.backward(head)
    due = gradient(data, head.to_torch())
    torch.testing.assert_close(slope.to_torch().double(), due, rtol=0, atol=100 * TOLERANCE)


class Spoils(mx.operator.CustomOp):
    """Its gradient is twice the head's, and it leaves something else in the head."""

    def forward(self, is_train: Any, req: Any, in_data: Any, out_data: Any, aux: Any) -> None:
        self.assign(out_data[0], req[0], in_data[0] * 2)

    def backward(
        self, req: Any, out_grad: Any, in_data: Any, out_data: Any, in_grad: Any, aux: Any
    ) -> None:
        self.assign(in_grad[0], req[0], out_grad[0] * 2)
        out_grad[0][:] = 7


@mx.operator.register("spoils_its_head")
class SpoilsProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx: Any, shapes: Any, dtypes: Any) -> Spoils:
        return Spoils()


def test_python_code_gets_no_memory_of_the_caller() -> None:
    data, slope = mx.nd.from_torch(drawn(6)), mx.nd.zeros(SHAPE)
    custom = mx.sym.Custom(mx.sym.var("data"), op_type="spoils_its_head")
    executor = custom.bind(mx.cpu(), {"data": data}, {"data": slope})
    head = mx.nd.from_torch(drawn(14))
    executor.forward(is_train=True)
    executor.backward(head)
    assert torch.equal(head.to_torch(), drawn(14))
    assert torch.equal(slope.to_torch(), drawn(14) * 2)


@pytest.mark.parametrize("inside", ["arrays", "bind"])
def test_what_inference_mode_made_can_be_run_outside(inside: str) -> None:
    """Memory is memory: only torch's own gradients care where a tensor was made."""
    with torch.inference_mode(inside == "arrays"):
        data, slope = mx.nd.from_torch(drawn(6)), mx.nd.zeros(SHAPE)
    with torch.inference_mode(inside == "bind"):
        executor = bound(data, slope)
    for seed in (15, 16):
        executor.forward(is_train=True)
        executor.backward(mx.nd.from_torch(drawn(seed)))
        due = gradient(mx.nd.from_torch(drawn(6)), drawn(seed))
        torch.testing.assert_close(slope.to_torch().double(), due, rtol=0, atol=TOLERANCE)
