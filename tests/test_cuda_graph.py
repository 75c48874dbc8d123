"""What a graph of launches does when, with a recorder and streams that are no GPU's."""

from __future__ import annotations

import gc
import importlib
import io
import threading
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import test_gpu
import tritonsym as mx
from tritonsym.foundation import progress
from tritonsym.foundation.switches import Switches
from tritonsym.runtime import cuda_graph
from tritonsym.runtime.cuda_graph import Launched, StreamOrder
from tritonsym.runtime.program import Pass, Program


class FakeRecorder:
    """Counts what is recorded and replayed, and keeps the recorded calls from having effects."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.recorded = self.replayed = 0

    def __call__(self, launch: Callable[[], object]) -> Callable[[], object]:
        self.recorded += 1
        if self.error is not None:
            raise self.error

        def replay() -> None:
            self.replayed += 1
            launch()

        return replay


def test_the_first_run_launches_once_and_records_and_the_others_replay() -> None:
    runs: list[int] = []
    record = FakeRecorder()
    step = Launched(lambda: runs.append(0), record)
    assert "one CUDA graph" in str(step)
    for number in range(1, 4):
        step()
        assert len(runs) == number, "each call is one run, the first as well"
        assert (record.recorded, record.replayed) == (1, number - 1)


def test_what_cannot_be_recorded_is_launched_one_by_one() -> None:
    runs: list[int] = []
    record = FakeRecorder(RuntimeError("operation not permitted when stream is capturing"))
    step = Launched(lambda: runs.append(0), record)
    with pytest.warns(RuntimeWarning, match=r"one by one.*RuntimeError: operation not permitted"):
        step()
    step()  # a second warning would be an error here
    assert len(runs) == 2
    assert record.recorded == 1
    assert "one by one: no CUDA graph could be recorded" in str(step)


def test_a_run_that_fails_records_nothing() -> None:
    failing, record = [True], FakeRecorder()

    def launch() -> None:
        if failing:
            raise ValueError("out of memory")

    step = Launched(launch, record)
    with pytest.raises(ValueError, match="out of memory"):
        step()
    assert record.recorded == 0
    failing.clear()
    step()
    step()
    assert (record.recorded, record.replayed) == (1, 1)


def test_without_a_recorder_there_is_no_graph() -> None:
    runs: list[int] = []
    step = Launched(lambda: runs.append(0), None, "the switch graphs is off")
    step()
    step()
    assert len(runs) == 2
    assert str(step) == "kernels are launched one by one: the switch graphs is off"


# ---- recording -----------------------------------------------------------------------------------


class FakeGraph:
    """A graph as torch 2.11 has it, which leaves its pool to itself if its recording fails."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device

    def capture_begin(
        self, pool: tuple[int, int], capture_error_mode: str, **newer: object
    ) -> None:
        assert capture_error_mode == "thread_local"
        assert not self.device.recording_to, "an earlier recording has not ended"
        self.device.recording_to.append(pool)
        self.device.events.append("begin")

    def capture_end(self) -> None:
        self.device.events.append("end")
        if self.device.invalid:
            raise RuntimeError("operation failed due to a previous error during capture")
        self.device.recording_to.clear()

    def replay(self) -> None:
        self.device.events.append("replay")


class FakeDevice:
    """What a recorder asks of torch; torch's own `torch.cuda.graph` drives the graphs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        self.recording_to: list[tuple[int, int]] = []
        self.invalid = False
        self.graphs: list[weakref.ref[FakeGraph]] = []
        cleared = lambda: self.events.append("workspaces are gone")  # noqa: E731
        monkeypatch.setattr(torch.cuda, "CUDAGraph", self.graph)
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 7))
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: FakeStream(5))
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
        for name in ("synchronize", "empty_cache"):
            monkeypatch.setattr(torch.cuda, name, lambda: None)
        for name, function in {
            "_host_emptyCache": lambda: None,
            "_cuda_clearCublasWorkspaces": cleared,
            "_cuda_endAllocateToPool": self.end_allocate,
        }.items():
            monkeypatch.setattr(torch._C, name, function, raising=False)
        monkeypatch.setattr(cuda_graph, "_failed", [])

    def graph(self) -> FakeGraph:
        made = FakeGraph(self)
        self.graphs.append(weakref.ref(made))
        return made

    def end_allocate(self, index: int, pool: tuple[int, int]) -> None:
        assert index == 0
        if pool not in self.recording_to:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.recording_to.remove(pool)


def test_a_recording_has_workspaces_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeDevice(monkeypatch)
    record = cuda_graph.recorder(torch.device("cuda", 0))
    replay = record(lambda: device.events.append("launch"))
    around = ["begin", "launch", "end"]
    assert device.events == ["workspaces are gone", *around, "workspaces are gone"]
    replay()
    assert device.events[-1] == "replay"


@pytest.mark.parametrize("invalid", [True, False], ids=["the recording", "the launch alone"])
def test_what_fails_leaves_the_next_recording_alone(
    invalid: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the graph stays, which torch may go on asking for which memory is its own."""
    device = FakeDevice(monkeypatch)
    record = cuda_graph.recorder(torch.device("cuda", 0))
    device.invalid = invalid

    def launch() -> None:
        raise ValueError("no memory")

    with pytest.raises((RuntimeError, ValueError), match="previous error" if invalid else "memory"):
        record(launch)
    gc.collect()
    assert device.graphs[0]() is not None
    assert device.events[-1] == "workspaces are gone"
    device.invalid = False
    record(lambda: None)()
    assert device.events[-1] == "replay"


# ---- streams -------------------------------------------------------------------------------------


@dataclass(eq=False)
class FakeStream:
    cuda_stream: int
    waited_for: list[FakeStream] = field(default_factory=list)

    def wait_stream(self, other: FakeStream) -> None:
        self.waited_for.append(other)


class FakeTensor:
    def __init__(self) -> None:
        self.streams: list[FakeStream] = []

    def record_stream(self, stream: FakeStream) -> None:
        self.streams.append(stream)


@pytest.fixture
def current(monkeypatch: pytest.MonkeyPatch) -> list[FakeStream]:
    """The stream that is the current one."""
    found = [FakeStream(3)]
    monkeypatch.setattr(
        torch._C, "_cuda_getCurrentRawStream", lambda index: found[0].cuda_stream, raising=False
    )
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: found[0])
    return found


def order_of(*memory: FakeTensor) -> StreamOrder:
    return StreamOrder(torch.device("cuda", 0), memory)  # type: ignore[arg-type]


def test_a_run_on_another_stream_waits_for_the_one_before(current: list[FakeStream]) -> None:
    """And the first one for what was launched when the graph was bound."""
    (bound,), one, other = current, FakeStream(0), FakeStream(7)
    memory = FakeTensor()
    order = order_of(memory)
    for stream in (one, one, other, other, one):
        current[0] = stream
        order()
    assert memory.streams == [one, other]  # each is told once: what it runs later counts as well
    assert (one.waited_for, other.waited_for) == ([bound, other], [one])


def test_programs_on_the_same_memory_wait_for_each_other(current: list[FakeStream]) -> None:
    (bound,), one, other = current, FakeStream(0), FakeStream(7)
    memory, more = FakeTensor(), FakeTensor()
    first, second = order_of(memory), order_of(more)
    current[0] = one
    first()
    current[0] = other
    second.join(first)
    assert (one.waited_for, other.waited_for) == ([bound], [bound, one])
    second()
    first()  # nothing to wait for, but its memory is new to this stream
    assert (memory.streams, more.streams) == ([one, other], [other])
    current[0] = one
    second()
    assert one.waited_for == [bound, other]
    first()
    assert (memory.streams, more.streams) == ([one, other], [other, one])
    for stream in (one, other):
        stream.waited_for.clear()
    for order in (first, second, first):
        order()
    assert not one.waited_for and not other.waited_for
    current[0] = other
    second()
    current[0] = one
    first()
    assert one.waited_for == [other]


def test_a_program_that_joins_is_waited_for(current: list[FakeStream]) -> None:
    """With the zeros of its outputs, on the stream where they are made."""
    (bound,), one, other = current, FakeStream(0), FakeStream(7)
    first, second = order_of(), order_of()
    current[0] = one
    first()
    current[0] = other
    second.join(first)
    current[0] = one
    first()
    assert one.waited_for == [bound, other]


# ---- programs ------------------------------------------------------------------------------------


def program(events: list[str]) -> Program:
    """Two passes of steps that say their names, on memory that passes for a GPU's."""

    def step(name: str) -> Callable[[], None]:
        return lambda: events.append(name)

    device = torch.device("cuda", 0)
    memory = SimpleNamespace(
        arena=SimpleNamespace(device=device), memory=[], is_python=lambda step: False
    )
    first = Pass([step("draw")], [step("a"), step("b")], [step("state")])
    return Program(memory, [first, Pass([], [step("gradient")], [])])  # type: ignore[arg-type]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`triton_runtime`, imported as tests on a GPU context import it."""
    if not torch.cuda.is_available():
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    return importlib.import_module("tritonsym.runtime.triton_runtime")


@pytest.fixture
def recorders(runtime: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[FakeRecorder]:
    """What records the graphs of programs, where there is no GPU."""
    made: list[FakeRecorder] = []

    def recorder(device: torch.device) -> FakeRecorder:
        made.append(FakeRecorder())
        return made[-1]

    monkeypatch.setattr(runtime, "recorder", recorder)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: FakeStream(0))
    monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda index: 0, raising=False)
    return made


def test_what_graphs_are_tested_with_on_a_gpu_is_recorded(
    runtime: ModuleType, gpu: mx.Context
) -> None:
    assert len(test_gpu.bound().plan.kernels) > runtime.FEW


def test_each_pass_is_a_graph_and_its_updates_are_another(
    runtime: ModuleType, recorders: list[FakeRecorder]
) -> None:
    """A backward pass may repeat what was computed forward, but not what replaces the states."""
    events: list[str] = []
    made = runtime.graphed(program(events), Switches())
    assert all(part.draws[0] is made.order is not None for part in made.passes)
    (record,) = recorders
    for run in range(3):
        made.run()
        assert events == ["draw", "a", "b", "state", "gradient"]
        assert (record.recorded, record.replayed) == (3, 3 * run)
        events.clear()
    for step in made.passes[0].steps:
        step()
    assert events == ["a", "b"]


@pytest.mark.parametrize("switched", [{"graphs": False}, {"validate": True}, {"debug": 2}], ids=str)
def test_switches_that_need_each_launch_have_no_graph(
    switched: dict[str, int], runtime: ModuleType, recorders: list[FakeRecorder]
) -> None:
    events: list[str] = []
    made = runtime.graphed(program(events), Switches(**switched))
    made.run()
    made.run()
    assert events == ["draw", "a", "b", "state", "gradient"] * 2
    assert recorders == []
    assert "one by one: the switch" in made.manner


def test_an_operator_in_python_runs_between_graphs(
    runtime: ModuleType, recorders: list[FakeRecorder]
) -> None:
    """A recording has kernels alone: its replay would leave the operator's code out."""
    events: list[str] = []
    made = program(events)
    (first, *rest) = made.passes
    a, b = first.steps
    made = replace(made, passes=[replace(first, steps=[a, b, b, a]), *rest])
    made.buffers.is_python = lambda step: step is b  # type: ignore[method-assign]
    launched = runtime.graphed(made, Switches())
    (record,) = recorders
    for run in range(3):
        launched.run()
        assert events == ["draw", "a", "b", "b", "a", "state", "gradient"]
        # Both kernels of the first pass, its updates, and the second pass.
        assert (record.recorded, record.replayed) == (4, 4 * run)
        events.clear()
    assert launched.manner == "kernels are launched as CUDA graphs between operators in Python\n"


def launch_of(runtime: ModuleType, events: list[str], name: str) -> Any:
    """A compiled kernel of one array, with a constant behind it."""

    def run(*given: object) -> None:
        events.append(name)
        launches.append(given)

    launches: list[tuple[object, ...]] = []
    kernel = SimpleNamespace(run=run, function=17, packed_metadata=(4, 1), launches=launches)
    function = SimpleNamespace(
        run=lambda *given, **options: kernel, arg_names=["out0", "ALIGNMENT"]
    )
    options = {"num_warps": 4, "ALIGNMENT": 16}
    return runtime.Launch(name, function, 5, [torch.ones(3)], options)


def test_few_kernels_are_launched_one_by_one(
    runtime: ModuleType, recorders: list[FakeRecorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the caller's stream, with addresses and constants alone."""
    monkeypatch.setattr(torch._C, "_cuda_getDevice", lambda: 0, raising=False)
    monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda index: 99, raising=False)
    events: list[str] = []
    launches = [launch_of(runtime, events, name) for name in "ab"]
    made = replace(program(events), passes=[Pass([], launches, [])])
    launched = runtime.graphed(made, Switches())
    launched.run()
    launched.run()
    assert events == ["a", "b"] * 2
    assert recorders[0].recorded == 0
    for launch in launches:
        address = launch.arguments[0].data_ptr()
        given = (5, 1, 1, 99, 17, (4, 1), None, None, None, address, 16)
        assert launch.compiled().launches == [given] * 2
    assert launched.manner == "kernels are launched one by one: a graph of so few would cost more\n"


def test_many_kernels_are_a_graph(runtime: ModuleType, recorders: list[FakeRecorder]) -> None:
    launches = [launch_of(runtime, [], str(number)) for number in range(runtime.FEW + 1)]
    launched = runtime.graphed(replace(program([]), passes=[Pass([], launches, [])]), Switches())
    assert "as one CUDA graph" in launched.manner


def test_a_pass_of_python_alone_has_no_graph(
    runtime: ModuleType, recorders: list[FakeRecorder]
) -> None:
    events: list[str] = []
    made = program(events)
    made.buffers.is_python = lambda step: True  # type: ignore[method-assign]
    launched = runtime.graphed(made, Switches())
    launched.run()
    launched.run()
    assert events == ["draw", "a", "b", "state", "gradient"] * 2
    assert (recorders[0].recorded, launched.manner) == (0, "")


def test_a_kernel_that_fails_is_named(runtime: ModuleType, recorders: list[FakeRecorder]) -> None:
    made = program([])
    made.buffers.kernel_of = lambda step: 3  # type: ignore[method-assign]
    made.buffers.title = lambda number: f"{number} (rows)"  # type: ignore[method-assign]

    def fail() -> None:
        raise ValueError("no such memory")

    failing = replace(made, passes=[Pass([], [fail], [])])
    with pytest.raises(ValueError, match="no such memory") as caught:
        runtime.graphed(failing, Switches()).passes[0].steps[1]()
    assert caught.value.__notes__ == ["in kernel 3 (rows)"]


def test_no_gpu_means_no_graph(runtime: ModuleType) -> None:
    events: list[str] = []
    made = program(events)
    made.buffers.arena.device = torch.device("cpu")  # type: ignore[misc]
    assert runtime.graphed(made, Switches()) is made
    assert made.manner == ""


def test_threads_that_take_turns_replay_one_graph(
    runtime: ModuleType, recorders: list[FakeRecorder]
) -> None:
    events: list[str] = []
    made = runtime.graphed(program(events), Switches())
    for _ in range(4):
        thread = threading.Thread(target=made.run)
        thread.start()
        thread.join()
    assert events == ["draw", "a", "b", "state", "gradient"] * 4
    assert (recorders[0].recorded, recorders[0].replayed) == (3, 9)


# ---- progress ------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()], ids=["terminal", "file"])
@pytest.mark.parametrize("patience", [-1.0, 60.0])
def test_progress_is_shown_on_a_terminal_when_it_takes_long(
    stream: io.StringIO, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PATIENCE", patience)
    stream.truncate(0)
    items = [("rows max sub", 5), ("pointwise add", 6)]
    assert list(progress.shown(items, 2, "compiling", stream)) == [5, 6]
    if stream.isatty() and patience < 0:
        assert "compiling 1 of 2: rows max sub" in stream.getvalue()
        assert stream.getvalue().endswith(f"\r{'':78}\r"), "and nothing of it is left"
    else:
        assert stream.getvalue() == ""
