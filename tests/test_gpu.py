"""On a CUDA device: graphs of launches are right, whatever a caller does between two runs.

What operators compute there is tested where it is tested for all contexts.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym.compiler import compiler
from tritonsym.runtime import cuda_graph
from tritonsym.runtime.tuning import device_seconds

pytestmark = pytest.mark.gpu

sym = mx.sym
SHAPE = (37, 65)
# Two products of float32 and a few functions, each rounded; the device's own clock is not asked.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
RUNS = 4


def values(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


def graph() -> mx.Symbol:
    """More kernels than are launched one by one, as `test_cuda_graph` sees to without a GPU."""
    a, b = sym.Variable("a"), sym.Variable("b")
    products = sym.dot(a, b, transpose_b=True) / SHAPE[1]
    sums = sym.sum(sym.tanh(a) - b, axis=0)
    return sym.Group([sym.softmax(a * b + 1), sums, sym.softmax(sym.dot(products, products))])


def expected(a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    a, b = a.astype(np.float64), b.astype(np.float64)
    products = a @ b.T / SHAPE[1]
    raised, squared = np.exp(a * b + 1), np.exp(products @ products)
    return [
        raised / raised.sum(axis=1, keepdims=True),
        (np.tanh(a) - b).sum(axis=0),
        squared / squared.sum(axis=1, keepdims=True),
    ]


def bound(seed: int = 0) -> mx.Executor:
    given = {name: mx.nd.array(values(seed + i), mx.gpu(0)) for i, name in enumerate("ab")}
    return graph().bind(mx.gpu(0), given)


def check(executor: mx.Executor) -> None:
    """One run gives what the arrays hold now."""
    due = expected(*(executor.arg_dict[name].asnumpy() for name in "ab"))
    for output, right in zip(executor.forward(), due, strict=True):
        np.testing.assert_allclose(output.asnumpy(), right, **TOLERANCE)


def warmed_up(seed: int = 0) -> mx.Executor:
    """An executor whose next run is a replay."""
    executor = bound(seed)
    check(executor)
    assert "launched as one CUDA graph" in executor.debug_str()
    return executor


def test_the_first_run_and_every_replay_are_right() -> None:
    executor = bound()
    for _ in range(RUNS):
        check(executor)


def test_replays_read_what_the_arrays_hold() -> None:
    executor = warmed_up()
    for run in range(RUNS):
        executor.arg_dict["a"][:] = values(10 + run)
        check(executor)
        executor.arg_dict["b"] += 1
        check(executor)


def test_new_values_may_be_passed_in_any_form() -> None:
    executor = warmed_up()
    for given in (values(20), mx.nd.array(values(21)), mx.nd.array(values(22), mx.gpu(0))):
        executor.forward(a=given)
        held = executor.arg_dict["a"].asnumpy()
        np.testing.assert_array_equal(
            held, given if isinstance(given, np.ndarray) else given.asnumpy()
        )
        check(executor)


def test_parameters_are_copied_in() -> None:
    executor = warmed_up()
    executor.copy_params_from({"b": mx.nd.array(values(30))})
    np.testing.assert_array_equal(executor.arg_dict["b"].asnumpy(), values(30))
    check(executor)


def test_few_kernels_are_launched_without_a_graph() -> None:
    """They too read what the arrays hold, in whatever thread and on whatever stream."""
    a = mx.nd.array(values(0), mx.gpu(0))
    executor = (sym.Variable("a") * 2 + 1).bind(mx.gpu(0), {"a": a})
    side = torch.cuda.Stream()

    def run(seed: int) -> None:
        executor.forward(a=values(seed))
        np.testing.assert_array_equal(executor.outputs[0].asnumpy(), values(seed) * 2 + 1)

    for seed in range(RUNS):
        run(seed)
        in_thread(lambda seed=seed: run(seed + 10))
        with torch.cuda.stream(side):
            run(seed + 20)
    assert "one by one: a graph of so few would cost more" in executor.debug_str()


def test_outputs_are_the_same_memory_at_every_run() -> None:
    executor = warmed_up()
    before = [output.to_torch().data_ptr() for output in executor.outputs]
    kept = executor.outputs[0].copy()
    first = kept.asnumpy()
    executor.forward(a=values(40))
    assert [output.to_torch().data_ptr() for output in executor.outputs] == before
    np.testing.assert_array_equal(kept.asnumpy(), first)


def test_reshaped_executors_and_the_old_one_stay_right() -> None:
    executor = warmed_up()
    smaller = executor.reshape(a=(5, 65), b=(5, 65))
    for _ in range(RUNS):
        check(smaller)
        check(executor)


def test_results_with_and_without_graphs_are_the_same_bits() -> None:
    with mx.switched(graphs=False):
        plain = bound()
    replayed = bound()
    assert "launched one by one: the switch graphs is off" in plain.debug_str()
    for _ in range(RUNS):
        for one, other in zip(plain.forward(), replayed.forward(), strict=True):
            np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())


def test_each_replay_draws_anew_and_what_a_cpu_draws() -> None:
    noise = sym.random_uniform(shape=SHAPE)
    layer = sym.Group([noise, sym.random_normal(shape=(7,))])
    found = {}
    for context in (mx.cpu(), mx.gpu(0)):
        executor = layer.bind(context, {})
        mx.random.seed(11)
        found[context] = [[output.asnumpy() for output in executor.forward()] for _ in range(RUNS)]
    for mine, due in zip(found[mx.gpu(0)], found[mx.cpu()], strict=True):
        np.testing.assert_array_equal(mine[0], due[0])
        np.testing.assert_allclose(mine[1], due[1], **TOLERANCE)
    first = [run[0].tobytes() for run in found[mx.gpu(0)]]
    assert len(set(first)) == RUNS


# ---- what a library computes ---------------------------------------------------------------------


def test_convolutions_and_their_gradients_keep_all_bits_of_float32() -> None:
    """A device's library would drop 13 of 23 on its own."""
    random = np.random.default_rng(5)
    given = {
        "x": random.standard_normal((2, 16, 9, 9)).astype(np.float32),
        "w": random.standard_normal((8, 16, 3, 3)).astype(np.float32),
    }
    head = random.standard_normal((2, 8, 9, 9)).astype(np.float32)
    x, w = (torch.from_numpy(given[name]).double().requires_grad_() for name in "xw")
    due = torch.nn.functional.conv2d(x, w, padding=1)
    due.backward(torch.from_numpy(head).double())
    layer = sym.Convolution(
        sym.Variable("x"), sym.Variable("w"), kernel=(3, 3), pad=(1, 1), num_filter=8, no_bias=True
    )
    arrays = {name: mx.nd.array(value, mx.gpu(0)) for name, value in given.items()}
    gradients = {name: mx.nd.zeros(value.shape, mx.gpu(0)) for name, value in given.items()}
    executor = layer.bind(mx.gpu(0), arrays, gradients)
    for _ in range(RUNS):
        found = executor.forward(is_train=True)[0].asnumpy()
        executor.backward(mx.nd.array(head, mx.gpu(0)))
        # Sums of up to 162 products of size 1, in float32 and any order.
        margin = {"rtol": 0, "atol": 162 * 2.0**-22}
        np.testing.assert_allclose(found, due.detach().numpy(), **margin)
        for name, right in (("x", x), ("w", w)):
            assert right.grad is not None
            np.testing.assert_allclose(gradients[name].asnumpy(), right.grad.numpy(), **margin)


@pytest.mark.parametrize("before", ["ieee", "tf32"])
def test_a_librarys_products_keep_the_bits_they_are_to_keep(before: str) -> None:
    """Whatever a program has set for its own products; replays keep as many."""
    random = np.random.default_rng(6)
    a, b = (random.standard_normal((1024, 1024)).astype(np.float32) for _ in range(2))
    due, magnitudes = a.astype(np.float64) @ b, np.abs(a).astype(np.float64) @ np.abs(b)
    # Of each factor 11 bits are kept, or all, or nearly all; sums are of 1024 products, or thrice
    # as many, whose roundings do not all have one direction.
    margins = {"ieee": 2.0**-20, "tf32": 2.0**-9, "tf32x3": 2.0**-21 + 2.0**-20}
    setting = torch.backends.cuda.matmul
    first = setting.fp32_precision
    try:
        setting.fp32_precision = before
        for precision, margin in margins.items():
            with mx.switched(matmul_precision=precision):
                given = {"a": mx.nd.array(a, mx.gpu(0)), "b": mx.nd.array(b, mx.gpu(0))}
                executor = sym.dot(sym.Variable("a"), sym.Variable("b")).bind(mx.gpu(0), given)
            assert "by a library" in str(executor.plan)
            for _ in range(RUNS):
                far = np.abs(executor.forward()[0].asnumpy() - due) / magnitudes
                assert far.max() <= margin
                assert (far.max() > 2.0**-18) == (precision == "tf32")
            assert setting.fp32_precision == before
    finally:
        setting.fp32_precision = first


def test_recurrent_layers_keep_all_bits_of_float32() -> None:
    """And nobody is warned of where their weights lie."""
    torch.manual_seed(3)
    reference = torch.nn.LSTM(6, 8).double()
    x = torch.randn(5, 3, 6, dtype=torch.float64)
    due = reference(x)[0].detach().numpy()
    weights = [getattr(reference, name) for name in ("weight_ih_l0", "weight_hh_l0")]
    biases = [getattr(reference, name) for name in ("bias_ih_l0", "bias_hh_l0")]
    packed = torch.cat([part.detach().flatten() for part in (*weights, *biases)])
    layer = sym.RNN(
        sym.Variable("x"), sym.Variable("p"), sym.Variable("h"), sym.Variable("c"),
        state_size=8, num_layers=1, mode="lstm",
    )  # fmt: skip
    given = {
        "x": x.numpy(),
        "p": packed.numpy(),
        "h": np.zeros((1, 3, 8)),
        "c": np.zeros((1, 3, 8)),
    }
    arrays = {n: mx.nd.array(v.astype(np.float32), mx.gpu(0)) for n, v in given.items()}
    executor = layer.bind(mx.gpu(0), arrays)
    for _ in range(RUNS):
        found = executor.forward()[0].asnumpy()
        # Five steps of sums of 14 products below 1.
        np.testing.assert_allclose(found, due, rtol=0, atol=5 * 14 * 2.0**-22)


# ---- executors, threads, streams -----------------------------------------------------------------


def test_two_executors_take_turns_on_the_same_arrays() -> None:
    one = warmed_up()
    other = graph().bind(mx.gpu(0), dict(one.arg_dict))
    for run in range(RUNS):
        one.arg_dict["a"][:] = values(50 + run)
        check(one)
        check(other)


def test_one_executor_reads_what_the_other_writes() -> None:
    """Nobody waits for the device in between."""
    a = mx.nd.array(values(0), mx.gpu(0))
    first = (sym.Variable("a") * 2).bind(mx.gpu(0), {"a": a})
    second = (sym.Variable("a") + 1).bind(mx.gpu(0), {"a": first.outputs[0]})
    for run in range(RUNS):
        a[:] = values(60 + run)
        first.forward()
        np.testing.assert_array_equal(second.forward()[0].asnumpy(), values(60 + run) * 2 + 1)


def in_thread(action: Callable[[], None]) -> None:
    """Run in another thread; its error is ours."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def test_other_threads_may_run_an_executor() -> None:
    executor = bound()
    for _ in range(RUNS):
        in_thread(lambda: check(executor))
        check(executor)


def test_threads_with_an_executor_each_record_and_replay_at_once() -> None:
    threads = [threading.Thread(target=lambda i=i: results.append(many(i))) for i in range(6)]
    results: list[int] = []

    def many(number: int) -> int:
        executor = bound(100 * number)
        for _ in range(20):
            check(executor)
        return number

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [*range(6)]


@pytest.mark.parametrize("first_on_side", [False, True])
def test_other_streams_may_run_an_executor(first_on_side: bool) -> None:
    executor, side = bound(), torch.cuda.Stream()
    for run in range(RUNS):
        executor.arg_dict["a"][:] = values(70 + run)
        torch.cuda.synchronize()
        if (run % 2 == 0) == first_on_side:
            with torch.cuda.stream(side):
                check(executor)
        else:
            check(executor)


def test_runs_on_changing_streams_follow_each_other() -> None:
    """Long runs, one after the other on two streams and the same memory."""
    x = mx.nd.ones((2048, 2048), mx.gpu(0)) / 2048
    y = factor = sym.Variable("x")
    for _ in range(20):
        y = sym.dot(y, factor)
    executor = y.bind(mx.gpu(0), {"x": x})
    due = executor.forward()[0].asnumpy()
    streams = [torch.cuda.Stream(), torch.cuda.Stream()]
    torch.cuda.synchronize()
    for run in range(6):
        with torch.cuda.stream(streams[run % 2]):
            executor.forward()
    torch.cuda.synchronize()
    np.testing.assert_array_equal(executor.outputs[0].asnumpy(), due)


def test_new_values_on_another_stream_wait_for_the_run_before() -> None:
    executor = warmed_up()
    b = executor.arg_dict["b"].asnumpy()
    given = [mx.nd.array(values(seed), mx.gpu(0)) for seed in (75, 76)]
    streams, kept = [torch.cuda.Stream(), torch.cuda.Stream()], []
    torch.cuda.synchronize()
    for stream, value in zip(streams, given, strict=True):
        with torch.cuda.stream(stream):
            if not kept:
                torch.cuda._sleep(100_000_000)  # the first run still waits when the second comes
            executor.forward(a=value)
            kept.append(executor.outputs[0].copy())
    torch.cuda.synchronize()
    for value, found in zip(given, kept, strict=True):
        np.testing.assert_allclose(found.asnumpy(), expected(value.asnumpy(), b)[0], **TOLERANCE)


def test_batches_are_sent_while_the_one_before_trains() -> None:
    """Their arrays are used again at once, and the copies' memory as well."""
    data = np.random.default_rng(0).standard_normal((40, 256, 512)).astype(np.float32)
    labels = data[:, :, :3].argmax(-1).astype(np.float32)

    def trained(context: mx.Context) -> dict[str, np.ndarray]:
        net = sym.FullyConnected(sym.Variable("data"), num_hidden=3, name="fc")
        module = mx.mod.Module(sym.SoftmaxOutput(net, name="softmax"), context=context)
        module.bind([("data", (256, 512))], [("softmax_label", (256,))])
        module.init_params(mx.init.One())
        module.init_optimizer(optimizer_params={"learning_rate": 0.1})
        batch = mx.io.DataBatch([mx.nd.zeros((256, 512))], [mx.nd.zeros((256,))])
        for samples, classes in zip(data, labels, strict=True):
            batch.data[0][:], batch.label[0][:] = samples, classes
            module.prepare(batch)
            module.train_by(batch)
        return {name: array.asnumpy() for name, array in module.get_params()[0].items()}

    due = trained(mx.cpu())
    for name, found in trained(mx.gpu(0)).items():
        np.testing.assert_allclose(found, due[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_inputs_that_only_the_executor_holds_stay() -> None:
    executor = bound()
    check(executor)
    due = [output.asnumpy() for output in executor.outputs]
    gc.collect()
    torch.cuda.empty_cache()
    rubbish = [torch.full(SHAPE, float("nan"), device="cuda") for _ in range(50)]
    for output, right in zip(executor.forward(), due, strict=True):
        np.testing.assert_array_equal(output.asnumpy(), right)
    del rubbish


def test_outputs_outlive_their_executor() -> None:
    executor = warmed_up()
    outputs = executor.forward()
    due = expected(*(executor.arg_dict[name].asnumpy() for name in "ab"))
    del executor
    gc.collect()
    torch.cuda.empty_cache()
    rubbish = [torch.full(SHAPE, float("nan"), device="cuda") for _ in range(50)]
    for output, right in zip(outputs, due, strict=True):
        np.testing.assert_allclose(output.asnumpy(), right, **TOLERANCE)
    del rubbish


# ---- training ------------------------------------------------------------------------------------


def test_gradients_are_added_over_replays() -> None:
    x = sym.Variable("x")
    start = mx.nd.array(values(1), mx.gpu(0))
    gradient = mx.nd.zeros(SHAPE, mx.gpu(0))
    executor = sym.sum(x * x).bind(mx.gpu(0), {"x": start}, {"x": gradient}, "add")
    for run in range(1, RUNS + 1):
        executor.forward(is_train=True)
        executor.backward(mx.nd.ones((1,), mx.gpu(0)))
        np.testing.assert_allclose(gradient.asnumpy(), 2 * run * values(1), **TOLERANCE)


def test_a_mask_is_new_at_each_run_and_the_same_backward() -> None:
    x = sym.Variable("x")
    ones, gradient = mx.nd.ones(SHAPE, mx.gpu(0)), mx.nd.zeros(SHAPE, mx.gpu(0))
    executor = sym.Dropout(x, p=0.5).bind(mx.gpu(0), {"x": ones}, {"x": gradient})
    masks = []
    for _ in range(RUNS):
        masks.append(executor.forward(is_train=True)[0].asnumpy())
        executor.backward(mx.nd.ones(SHAPE, mx.gpu(0)))
        np.testing.assert_array_equal(gradient.asnumpy(), masks[-1])
    assert len({mask.tobytes() for mask in masks}) == RUNS


# ---- what fails ----------------------------------------------------------------------------------


def stop_recording(how: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something at the end of each recording."""
    recorder = cuda_graph.recorder

    def failing(device: torch.device) -> cuda_graph.Recorder:
        record = recorder(device)

        def failing_record(launch: Callable[[], object]) -> Callable[[], object]:
            return record(lambda: (launch(), how()))

        return failing_record

    monkeypatch.setattr("tritonsym.runtime.triton_runtime.recorder", failing)


def waits_for_the_device() -> None:
    """CUDA forbids it meanwhile, and ends the recording."""
    torch.cuda.current_stream().synchronize()


def runs_out_of_memory() -> None:
    torch.empty(2**50, dtype=torch.uint8, device="cuda")


@pytest.mark.parametrize("how", [waits_for_the_device, runs_out_of_memory])
def test_a_recording_that_fails_leaves_launches(
    how: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_recording(how, patch)
        executor = bound()
        before = torch.cuda.current_stream()
        with pytest.warns(RuntimeWarning, match="launched one by one: no CUDA graph could be"):
            check(executor)
    assert torch.cuda.current_stream() == before
    for run in range(RUNS):
        executor.arg_dict["a"][:] = values(80 + run)
        check(executor)
    warmed_up(3)


def test_too_much_memory_is_refused_and_the_next_bind_works() -> None:
    count = torch.cuda.get_device_properties(0).total_memory // 8
    y = sym.Variable("x")
    with pytest.raises(mx.MXNetError):
        sym.broadcast_to(y, shape=(count, 4)).bind(mx.gpu(0), {"x": mx.nd.ones((1, 1), mx.gpu(0))})
    warmed_up()


def test_every_kernel_agrees_with_the_reference() -> None:
    with mx.switched(validate=True):
        executor = bound()
    for _ in range(2):
        check(executor)


def test_kernels_are_timed_by_the_device(capsys: pytest.CaptureFixture[str]) -> None:
    with mx.switched(debug=2):
        executor = bound()
        check(executor)
    assert capsys.readouterr().err.count(" µs, ") == len(executor.plan.kernels)


def test_recording_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run counts as one: what is replaced by it is replaced once."""
    state = mx.nd.zeros((3,), mx.gpu(0))
    entries = (sym.Variable("x") + 1)._entries
    compiled = compiler.compile_entries(
        [entries], {"x": state.to_torch()}, mx.gpu(0), written={0: "x"}
    )
    for run in range(1, RUNS + 1):
        compiled.program.run()
        assert state.asnumpy().tolist() == [run] * 3


# ---- how fast it is ------------------------------------------------------------------------------


def seconds(call: Callable[[], object], count: int) -> float:
    """The host's seconds per call, at best."""
    best = float("inf")
    for _ in range(20):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(count):
            call()
        best = min(best, (time.perf_counter() - begin) / count)
    return best


# What runs beside a test decides over its time.
ALONE = pytest.mark.skipif(
    "PYTEST_XDIST_WORKER" in os.environ, reason="times are measured without other workers"
)


@ALONE
@pytest.mark.parametrize("few", [False, True], ids=["graph", "launch"])
def test_a_run_costs_the_host_little_more_than_a_replay(few: bool) -> None:
    """Five microseconds at most. Small kernels: the device is done before the next launch."""
    a = mx.nd.ones(SHAPE, mx.gpu(0))
    executor = (sym.Variable("a") + 1).bind(mx.gpu(0), {"a": a}) if few else warmed_up()
    executor.forward()
    (launched,) = (step for step in executor._steps if isinstance(step, cuda_graph.Launched))
    replay, forward = seconds(launched._run, 100), seconds(executor.forward, 100)
    assert forward - replay <= 5e-6, f"{forward * 1e6:.2f} µs, a replay {replay * 1e6:.2f} µs"


@ALONE
def test_elementwise_kernels_are_as_fast_as_the_memory() -> None:
    """Within a fifth of a copy's bytes per second, which torch is asked for."""
    count = 2**26
    random = torch.Generator("cuda").manual_seed(1)
    data = [torch.randn(count, device="cuda", generator=random) for _ in range(4)]
    target = torch.empty_like(data[0])
    copying = device_seconds(lambda: target.copy_(data[0]), torch.device("cuda", 0))
    a, b, c, d = (sym.Variable(name) for name in "abcd")
    given = {n: mx.nd.zeros((count,), mx.gpu(0)) for n in "abcd"}
    for array, values_ in zip(given.values(), data, strict=True):
        array.to_torch().copy_(values_)
    executor = (a * b + c * d).bind(mx.gpu(0), given)
    executor.forward()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(20):
        executor.forward()
    end.record()
    end.synchronize()
    computing = begin.elapsed_time(end) / 1e3 / 20
    assert 5 / computing >= 0.8 * 2 / copying
    torch.testing.assert_close(
        executor.outputs[0].to_torch(), data[0] * data[1] + data[2] * data[3]
    )
