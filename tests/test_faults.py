"""What goes wrong from outside, in the middle or at the same time: the objects stay usable."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from refusals import MXNetError, Scene

CPU = mx.cpu()


class Fault(BaseException):
    """Like a key pressed at a bad moment: no `except Exception` may swallow it."""


def several(context: mx.Context = CPU) -> tuple[Any, dict[str, Any]]:
    """A graph of several kernels and outputs, and arrays for it."""
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    product = mx.sym.dot(mx.sym.exp(a), b, transpose_b=True)
    rows = mx.sym.softmax(product, axis=1)
    symbol = mx.sym.Group([rows, mx.sym.sum(rows * 2, axis=0), a - b, a])
    values = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)
    return symbol, {"a": mx.nd.array(values, context), "b": mx.nd.array(values[::-1], context)}


def bits(arrays: list[Any]) -> list[bytes]:
    return [array.asnumpy().tobytes() for array in arrays]


# ---- in the middle -----------------------------------------------------------------------------


def test_a_run_that_is_broken_off_at_any_step_can_be_repeated(context: mx.Context) -> None:
    symbol, arrays = several(context)
    executor = symbol.bind(context, arrays)
    expected, before = bits(executor.forward()), bits(list(arrays.values()))
    steps = executor._steps
    assert len(steps) >= 2

    def fail() -> None:
        raise Fault

    for number in range(len(steps)):
        executor._steps = [*steps[:number], fail, *steps[number + 1 :]]
        with pytest.raises(Fault):
            executor.forward()
        executor._steps = steps
        assert bits(list(arrays.values())) == before
        assert bits(executor.forward()) == expected


def count_calls(call: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, name: str) -> int:
    """How often a call uses a function of torch."""
    calls: list[int] = []
    original = getattr(torch, name)

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return original(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch, name, counted)
        call()
    return len(calls)


def test_memory_that_cannot_be_had_leaves_everything_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of bind's requests in turn is refused; the next bind is as if nothing had been."""
    symbol, arrays = several()
    text, before = symbol.tojson(), bits(list(arrays.values()))
    expected = bits(symbol.bind(CPU, arrays).forward())
    count = count_calls(lambda: symbol.bind(CPU, arrays), monkeypatch, "empty")
    assert count > 1
    original = torch.empty
    for number in range(count):
        left = [number]

        def refuse(*args: Any, left: list[int] = left, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
            return original(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(torch, "empty", refuse)
            with pytest.raises(MXNetError, match="cannot allocate"):
                symbol.bind(CPU, arrays)
        assert gc.isenabled()
        assert symbol.tojson() == text
        assert bits(list(arrays.values())) == before
        assert bits(symbol.bind(CPU, arrays).forward()) == expected


def test_a_failed_bind_keeps_nothing() -> None:
    """Neither arrays nor symbols stay alive after it."""
    kept = []
    for _ in range(3):
        symbol, arrays = several()
        arrays["b"] = mx.nd.ones((5, 5))
        kept += [weakref.ref(array) for array in arrays.values()]
        with pytest.raises(MXNetError):
            symbol.bind(CPU, arrays)
    del symbol, arrays
    gc.collect()
    assert [one() for one in kept] == [None] * len(kept)


def test_a_monitor_that_raises_leaves_a_usable_executor() -> None:
    symbol, arrays = several()
    executor = symbol.bind(CPU, arrays)
    expected = [output.asnumpy() for output in executor.forward()]

    def watch(name: str, array: Any) -> None:
        raise Fault

    executor.set_monitor_callback(watch)
    with pytest.raises(Fault):
        executor.forward()
    executor.set_monitor_callback(None)
    for output, value in zip(executor.forward(), expected, strict=True):
        np.testing.assert_allclose(output.asnumpy(), value, rtol=1e-6)


def test_a_monitor_cannot_run_its_own_executor() -> None:
    symbol, arrays = several()
    executor = symbol.bind(CPU, arrays)
    executor.set_monitor_callback(lambda name, array: executor.forward())
    with pytest.raises(MXNetError, match="running"):
        executor.forward()
    executor.set_monitor_callback(None)
    executor.forward()


def test_names_and_attributes_end_with_their_scope() -> None:
    """Also where the scope is left by an error."""
    for scope in (mx.name.Prefix("p_"), mx.AttrScope(__k__="v"), mx.cpu(3)):
        with pytest.raises(Fault), scope:
            raise Fault
    with mx.name.NameManager():
        symbol = mx.sym.exp(mx.sym.Variable("a"))
    assert symbol.name == "exp0"
    assert symbol.list_attr() == {}
    assert mx.nd.ones((1,)).context == CPU


# ---- at the same time --------------------------------------------------------------------------


def together(work: Callable[[int], None], count: int) -> None:
    """Run in several threads that begin at once; raise what the first of them raises."""
    start, errors = threading.Barrier(count), []

    def run(number: int) -> None:
        try:
            start.wait(10)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


def test_threads_build_bind_and_run_graphs_of_their_own() -> None:
    """Equal in part, so that they share expressions; names are counted in each thread."""

    def work(number: int) -> None:
        for turn in range(25):
            with mx.name.NameManager():
                a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
                symbol = mx.sym.exp(a * (number % 3)) + b
                assert symbol.get_internals().list_outputs()[-1] == "_plus0_output"
            x, y = mx.nd.full((3, 4), 0.1 * turn), mx.nd.full((3, 4), number)
            executor = symbol.bind(CPU, {"a": x, "b": y})
            expected = np.exp(np.float32(0.1 * turn) * (number % 3)) + number
            for _ in range(3):
                np.testing.assert_allclose(executor.forward()[0].asnumpy(), expected, rtol=1e-5)
            assert mx.sym.load_json(symbol.tojson()).tojson() == symbol.tojson()

    together(work, 8)
    assert gc.isenabled()


def test_threads_begin_with_names_attributes_and_contexts_of_their_own() -> None:
    found: list[tuple[str, dict[str, str], Any]] = []

    def work(number: int) -> None:
        made = mx.sym.Variable("a") + mx.sym.Variable("b")
        found.append((made.name, made.list_attr(), mx.nd.ones((1,)).context))

    with mx.name.Prefix("main_"), mx.AttrScope(__k__="v"), mx.cpu(3):
        together(work, 4)
    assert found == [("_plus0", {}, CPU)] * 4


def test_one_executor_runs_in_one_thread_at_a_time() -> None:
    """A second run is refused while the first lasts; it neither waits nor spoils the result."""
    scene = Scene()
    inside, leave = threading.Event(), threading.Event()
    steps = scene.executor._steps

    def wait() -> None:
        inside.set()
        assert leave.wait(30)

    scene.executor._steps = [wait, *steps]
    runner = threading.Thread(target=scene.executor.forward)
    runner.start()
    assert inside.wait(30)
    try:
        with pytest.raises(MXNetError, match="one for each thread"):
            scene.executor.forward(left=mx.nd.ones((2, 3)))
    finally:
        leave.set()
        runner.join(30)
    scene.executor._steps = steps
    scene.assert_unchanged()


def test_threads_that_share_an_executor_see_right_values_or_an_error() -> None:
    a = mx.sym.Variable("a")
    executor = (mx.sym.exp(a) * 2 + 1).bind(CPU, {"a": mx.nd.ones((64, 64))})
    expected = executor.forward()[0].asnumpy()
    ran = []

    def work(number: int) -> None:
        for _ in range(200):
            try:
                executor.forward()
            except MXNetError:
                continue
            ran.append(number)

    together(work, 4)
    assert ran
    assert np.array_equal(executor.forward()[0].asnumpy(), expected)


def test_a_seed_gives_one_sequence_whatever_the_threads() -> None:
    """Draws of several threads are as many different ones."""
    mx.random.seed(7)
    drawn: list[tuple[float, ...]] = []

    def work(number: int) -> None:
        for _ in range(20):
            drawn.append(tuple(mx.nd.random.uniform(shape=(4,)).asnumpy().tolist()))

    together(work, 4)
    mx.random.seed(7)
    alone = [tuple(mx.nd.random.uniform(shape=(4,)).asnumpy().tolist()) for _ in range(80)]
    assert sorted(drawn) == sorted(alone)
    assert len(set(drawn)) == 80
