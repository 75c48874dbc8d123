"""The benchmarks at tiny sizes: all compute the same, and no wrong result gets a time.

Nothing here is timed in earnest.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from benchmarks import (
    ceilings,
    clocks,
    contestants,
    devices,
    graph_handling,
    places,
    questions,
    report,
    sizes,
    suite,
    symbols,
    torch_peers,
)
from benchmarks.__main__ import main
from benchmarks.checking import deviation
from benchmarks.report import EAGER, OURS
from benchmarks.workload import Input, Kind, Missing, Prepared, Role, Workload

WORKLOADS = questions.workloads(sizes.TINY)
CPU = devices.CPU()
CEILINGS = ceilings.Ceilings(copy=2e9, read=1e9, products={"float32": 1e9}, replay={})
ONCE = clocks.Effort(rounds=1, seconds=0)

each_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda one: one.name)


@pytest.fixture(scope="module", autouse=True)
def interpreter() -> Iterator[None]:
    """Triton is imported for its interpreter before torch's optimizers import it for a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        if not torch.cuda.is_available():
            patch.setenv("TRITON_INTERPRET", "1")
        importlib.import_module("triton.language")
    yield


def named(part: str) -> Workload:
    return next(one for one in WORKLOADS if part in one.name)


@pytest.mark.parametrize("workload", questions.workloads(sizes.CUDA), ids=lambda one: one.name)
def test_sizes_for_a_gpu_fit(workload: Workload) -> None:
    """Shapes and dtypes of every workload, without its data."""
    if workload.kind is Kind.ADAM:
        return
    symbol = symbols._symbol(mx, workload)
    shapes = {name: workload.inputs[name].shape for name in symbol.list_inputs()}
    dtypes = {name: workload.inputs[name].dtype_in(workload.dtype) for name in shapes}
    found = [*map(tuple, symbol.infer_shape(**shapes)[1])]
    assert found == [*workload.results] or workload.kind is not Kind.FORWARD
    assert None not in symbol.infer_type(**dtypes)[1]


def given(workload: Workload) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """The data, and the reference's results."""
    tensors = torch_peers.tensors(workload, torch.device("cpu"))
    return tensors, torch_peers.reference(workload, tensors)


def check(workload: Workload, prepared: Any, due: list[torch.Tensor]) -> None:
    prepared.call()
    noise = workload.noise(workload.values())
    assert deviation(prepared.outcome(), due, noise) <= workload.tolerance


# ---- all compute the same ----------------------------------------------------------------------


@each_workload
def test_ours_is_right(workload: Workload, context: mx.Context) -> None:
    _, due = given(workload)
    try:
        prepared = symbols.prepare(mx, context, workload, workload.values())
    except Missing as missing:
        # A row is left out only for an operator that there is not.
        assert not hasattr(mx.sym, str(missing).split()[-1])
        pytest.skip(str(missing))
    check(workload, prepared, due)


@each_workload
def test_eager_torch_is_right(workload: Workload) -> None:
    tensors, due = given(workload)
    check(workload, torch_peers.prepare(workload, tensors), due)


@each_workload
def test_what_is_compiled_is_the_same_function(workload: Workload) -> None:
    tensors, due = given(workload)
    seen = []

    def through(function):
        seen.append(function)
        return function

    check(workload, torch_peers.prepare(workload, tensors, through), due)
    assert len(seen) == (workload.kind is not Kind.ADAM)


@each_workload
def test_jax_is_right(workload: Workload) -> None:
    pytest.importorskip("jax")
    from benchmarks import jax_peer

    if workload.kind is Kind.ADAM:
        with pytest.raises(Missing):
            jax_peer.prepare(workload, workload.values())
        return
    _, due = given(workload)
    check(workload, jax_peer.prepare(workload, workload.values()), due)


def test_the_reference_is_what_numpy_computes() -> None:
    workload = named("perceptron")
    _, (found,) = given(workload)
    x = {name: value.astype(np.float64) for name, value in workload.values().items()}
    h = np.maximum(x["data"] @ x["fc1_weight"].T + x["fc1_bias"], 0)
    h = np.maximum(h @ x["fc2_weight"].T + x["fc2_bias"], 0)
    powers = np.exp(h @ x["fc3_weight"].T + x["fc3_bias"])
    np.testing.assert_allclose(found, powers / powers.sum(1, keepdims=True), rtol=1e-12)


def test_the_steps_reference_is_the_slope_of_its_loss() -> None:
    """One bias's change is the rate times the difference of two losses around it."""
    workload = named("perceptron 12-8-8-4, batch 4 float32, step")
    tensors, due = given(workload)
    wide = {n: t.double() if t.is_floating_point() else t for n, t in tensors.items()}
    losses = []
    for shift in (1e-6, -1e-6):
        moved = {**wide, "fc3_bias": wide["fc3_bias"].clone()}
        moved["fc3_bias"][1] += shift
        losses.append(float(workload.compute(torch_peers.Functions, *moved.values())))
    slope = (losses[0] - losses[1]) / 2e-6
    change = due[workload.named(Role.PARAMETER).index("fc3_bias")][1]
    assert change == pytest.approx(-1e-2 * slope, rel=1e-6)


@pytest.mark.parametrize("size", [sizes.CPU, sizes.CUDA, sizes.TINY], ids=["cpu", "cuda", "tiny"])
def test_workloads_have_names_of_their_own(size: sizes.Sizes) -> None:
    names = [workload.name for workload in questions.workloads(size)]
    assert len(names) == len(set(names))


def test_data_has_no_zeros() -> None:
    for workload in WORKLOADS:
        for name, values in workload.values().items():
            assert workload.inputs[name].classes or np.all(values != 0)


# ---- the floor ---------------------------------------------------------------------------------


def test_least_bytes() -> None:
    def compute(f, x, w):
        return x

    inputs = {"x": Input((10,)), "w": Input((3,), Role.PARAMETER)}
    workload = Workload("one", inputs, compute, [(5,)])
    assert workload.least_bytes == 4 * (10 + 3 + 5)
    assert dataclasses.replace(workload, dtype="bfloat16").least_bytes == 2 * (10 + 3 + 5)
    # A step writes the parameters that it has read.
    step = dataclasses.replace(workload, kind=Kind.STEP, results=())
    assert step.least_bytes == 4 * (10 + 3 + 3)


def test_the_floor_is_what_takes_longer() -> None:
    workload = named("product 32x32x32")
    moving, computing = 3 * 32 * 32 * 4 / 2e9, 2 * 32**3 / 1e9
    assert CEILINGS.floor(workload) == max(moving, computing) == computing
    assert CEILINGS.floor(dataclasses.replace(workload, flops=0)) == moving


# ---- wrong results -----------------------------------------------------------------------------


@pytest.mark.parametrize("spoil", [1e-3, np.nan, np.inf])
def test_one_wrong_element_is_noticed(spoil: float) -> None:
    workload = named("(a*b)+(c*d), 100")
    _, (due,) = given(workload)
    wrong = due.numpy().copy()
    wrong[77] += spoil
    assert deviation([due], [due]) == 0
    assert not deviation([wrong], [due]) <= workload.tolerance


def test_a_wrong_shape_is_noticed() -> None:
    assert deviation([np.ones((1, 2))], [torch.ones(2)]) == float("inf")


@pytest.mark.parametrize("part", ["perceptron 12-8-8-4, batch 4 float32, step", "LSTM of cells"])
def test_a_step_that_is_none_is_noticed(part: str) -> None:
    workload = next(one for one in WORKLOADS if part in one.name and one.kind is Kind.STEP)
    _, due = given(workload)
    nothing = [torch.zeros_like(one) for one in due]
    assert deviation(nothing, due, workload.noise(workload.values())) > workload.tolerance


def run(workload: Workload) -> report.Row:
    peers = contestants.peers(CPU, None, ["compile", "jax.jit"])
    present = [peer for peer in peers if not peer.absent]
    return suite.run_workload(workload, CPU, present, ONCE, CEILINGS, lambda what: None)


def test_a_wrong_result_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbols.Functions, "softmax", lambda self, x: self.exp(x))
    row = run(named("softmax"))
    assert set(row.figures) == {EAGER}
    assert row.problems[OURS].startswith("wrong result")
    assert row.verdict == "no result" and row.fraction is None


def test_a_contestant_that_fails_leaves_the_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self, x):
        raise RuntimeError("no memory\nsecond line")

    monkeypatch.setattr(symbols.Functions, "softmax", failing)
    row = run(named("softmax"))
    assert row.problems == {OURS: "RuntimeError: no memory"}
    assert set(row.figures) == {EAGER}


def test_a_missing_operator_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self, x):
        return self.operator_of_the_future(x)

    monkeypatch.setattr(symbols.Functions, "softmax", missing)
    assert run(named("softmax")).problems == {OURS: "no operator operator_of_the_future"}


def test_peak_memory_counts_what_lives_at_once() -> None:
    def work() -> torch.Tensor:
        kept = torch.empty(1000)
        torch.empty(500)
        torch.empty(250)
        return kept

    assert CPU.peak(work) == 4 * (1000 + 500)


def test_garbage_of_an_earlier_work_is_no_gain() -> None:
    left: list[torch.Tensor] = []
    CPU.peak(lambda: left.append(torch.empty(1000)))

    def work() -> torch.Tensor:
        left.clear()
        return torch.empty(700)

    assert CPU.peak(work) == 4 * 700


def test_only_what_an_update_needs_counts_as_its_memory() -> None:
    """Nobody's peak has copies in it with which this program finds out what changed."""
    (workload,) = (one for one in questions.workloads(sizes.CPU) if one.kind is Kind.ADAM)
    given = {name: torch.from_numpy(array) for name, array in workload.values().items()}
    learned = sum(given[name].nbytes for name in workload.named(Role.PARAMETER))
    for prepare in (partial(contestants._ours, CPU), torch_peers.prepare):
        twice = partial(contestants._twice, prepare, workload, given)
        twice()
        peak = CPU.peak(twice)
        assert peak is not None
        assert 3 * learned <= peak < 3.1 * learned, "parameters and their two moments"


# ---- time --------------------------------------------------------------------------------------


def test_contestants_take_turns() -> None:
    """Each has a turn in each round, and comes after every other one about as often."""
    rounds = 300
    calls: list[tuple[str, int]] = []

    def contestant(name: str) -> clocks.Contestant:
        def measure(count: int) -> float:
            calls.append((name, count))
            return 1e-3 * count if len(calls) > 6 else 1e-3

        return clocks.Contestant(name, measure)

    samples = clocks.race([contestant(name) for name in "abc"], clocks.Effort(rounds, 0.1))
    assert {name: len(values) for name, values in samples.items()} == dict.fromkeys("abc", rounds)
    turns = calls[6:]
    assert [count for _, count in turns] == [25, 100] * 3 * rounds
    assert all(value == 0.1 for values in samples.values() for value in values), "counted ones"
    order = [name for name, _ in turns[::2]]
    assert order == [name for name, _ in turns[1::2]]
    assert all({*order[n : n + 3]} == {*"abc"} for n in range(0, 3 * rounds, 3))
    for pair in itertools.permutations("abc", 2):
        followed = sum(pair == other for other in itertools.pairwise(order))
        assert 3 / 9 < followed / rounds < 5 / 9, pair


def test_the_host_does_not_wait_for_a_device_whose_queue_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, queued = 0.0, 0

    def call() -> None:
        nonlocal now, queued
        queued += 2
        now += 1e-6 if queued <= 1000 else 1e-3

    def wait() -> None:
        nonlocal queued
        queued = 0

    monkeypatch.setattr(clocks.time, "perf_counter", lambda: now)
    assert clocks.host_seconds(call, wait, 1000) == pytest.approx(1e-6)
    assert queued == 0, "what comes next begins with an empty queue"


def test_all_move_before_each_round() -> None:
    calls: list[tuple[str, int | None]] = []

    def contestant(name: str) -> clocks.Contestant:
        def measure(count: int) -> float:
            calls.append((name, None))
            return 1.0

        return clocks.Contestant(name, measure, lambda number: calls.append((name, number)))

    clocks.race([contestant(name) for name in "ab"], clocks.Effort(3, 0))
    turns = [calls[n : n + 3] for n in range(4, len(calls), 3)]
    assert sorted(turn[0] for turn in turns) == [(n, r) for n in "ab" for r in range(3)]
    assert all(turn[1:] == [(turn[0][0], None)] * 2 for turn in turns)


def test_data_is_at_several_places() -> None:
    data = {"a": torch.arange(1000.0), "b": torch.arange(7).view(7, 1)}
    found = places.places(data)
    assert len(found) == places.PLACES and found[0] is data
    for name, tensor in data.items():
        assert all(torch.equal(one[name], tensor) and one[name].is_contiguous() for one in found)
        assert all(one[name].data_ptr() % places.LINE == 0 for one in found)
        assert len({one[name].data_ptr() % places.PAGE for one in found}) > places.PLACES // 2


def test_much_data_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"a": torch.ones(100), "b": torch.ones(1)}
    monkeypatch.setattr(places, "MOST_BYTES", 404)
    assert len(places.places(data)) == places.PLACES
    monkeypatch.setattr(places, "MOST_BYTES", 403)
    assert places.places(data) == [data]


@pytest.mark.parametrize("name, moves", [(OURS, True), (EAGER, True), ("compile", False)])
def test_those_who_compile_quickly_are_timed_at_every_place(name: str, moves: bool) -> None:
    workload = named("(a*b)+(c*d), 100")
    tensors, due = given(workload)
    data = places.places(tensors)
    addresses = [[one.data_ptr() for one in place.values()] for place in data]
    called: list[list[int]] = []

    def prepare(workload: Workload, given: torch_peers.Tensors) -> Prepared:
        made, place = torch_peers.prepare(workload, given), [x.data_ptr() for x in given.values()]
        return Prepared(lambda: (called.append(place), made.call()), made.outcome)

    entrant = contestants._enter_local(CPU, name, prepare, workload, data, due)
    called.clear()
    for number in range(places.PLACES + 1):
        entrant.warm.move(number)
        entrant.warm.measure(2)
    expected = [*addresses, addresses[0]] if moves else [addresses[0]] * (places.PLACES + 1)
    assert called == [place for place in expected for _ in range(2)]


def test_ratios_are_taken_round_by_round() -> None:
    spread = clocks.ratio([1.0, 20.0, 3.0], [2.0, 40.0, 6.0])
    assert spread == clocks.Spread(0.5, 0.5, 0.5)


def test_the_spread_is_the_quartiles() -> None:
    assert clocks.Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == clocks.Spread(2.0, 3.0, 4.0)


# ---- what is said ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (4.56e-6, "4.56 µs"), (78.9e-9, "78.9 ns")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert report.duration(seconds) == shown


def test_tables_are_markdown() -> None:
    assert report.table(("name", "x"), [("one", "1"), ("eleven", "11")]).splitlines() == [
        "| name   |  x |",
        "| ------ | -: |",
        "| one    |  1 |",
        "| eleven | 11 |",
    ]


def row_of(ours: float, ratio: clocks.Spread) -> report.Row:
    spread = clocks.Spread(ours * 0.9, ours, ours * 1.1)
    figures = report.Figures(spread, None, None, first=1.0, peak=None)
    return report.Row(WORKLOADS[0], 1e-6, {OURS: figures}, {EAGER: ratio}, {})


@pytest.mark.parametrize(
    ("low", "median", "verdict"), [(1.0, 1.2, "met"), (1.1, 1.3, "unclear"), (1.3, 1.4, "MISSED")]
)
def test_verdicts(low: float, median: float, verdict: str) -> None:
    assert WORKLOADS[0].target == 1.2
    assert row_of(1e-6, clocks.Spread(low, median, 2.0)).verdict == verdict


@pytest.mark.parametrize(
    ("now", "word"), [(1.0, "as before"), (1.15, "as before"), (2.0, "SLOWER"), (0.5, "faster")]
)
def test_comparisons_know_the_spread(now: float, word: str) -> None:
    ratio = clocks.Spread(1.0, 1.0, 1.0)
    facts = {"commit": "abc", "date": "then", "device": "one"}
    old = {"circumstances": facts, "rows": [report.row_as_data(row_of(1.0, ratio))]}
    last = report.compared(json.loads(json.dumps(old)), [row_of(now, ratio)]).splitlines()[-1]
    assert last.split("|")[4].strip() == f"{now:.2f}"
    assert last.split("|")[5].strip() == word


def test_the_long_graph_checks_its_result(tmp_path: Path) -> None:
    ticks = iter(range(100))
    file = str(tmp_path / "chain.json")
    laps = graph_handling.long_graph(mx, 20, file, lambda: float(next(ticks)))
    assert laps == [1.0] * len(graph_handling.STAGES)


# ---- the program -------------------------------------------------------------------------------

QUIET = ("--device", "cpu", "--tiny", "--without", "compile", "--without", "jax.jit")


def test_a_run_is_told_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "result.json"
    main([*QUIET, "--only", "softmax", "--only", graph_handling.NAME, "--json", str(file)])
    written = json.loads(file.read_text())
    names = [one.name for one in WORKLOADS if "softmax" in one.name]
    assert [row["name"] for row in written["rows"]] == names
    assert set(written["rows"][0]["contestants"]) == {OURS, EAGER}
    assert set(written["rows"][0]["ratios"]) == {EAGER}
    assert {"device", "torch", "date", "commit"} <= set(written["circumstances"])
    assert written["absent"]["MXNet"] == "no --mxnet-python"
    assert set(written["graph handling"]["seconds"][OURS]) == set(graph_handling.STAGES)
    assert capsys.readouterr().out.startswith(file.with_suffix(".md").read_text())
    main([*QUIET, "--only", "softmax", "--compare", str(file)])
    assert "Compared with" in capsys.readouterr().out


def test_a_run_can_be_of_a_section_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "result.json"
    main([*QUIET, "--only", graph_handling.NAME, "--json", str(file)])
    written = json.loads(file.read_text())
    assert written["rows"] == [] and OURS in written["graph handling"]["seconds"]
    told = capsys.readouterr().out
    assert "infer_shape" in told and "workload" not in told and "drawn" not in told
    main([*QUIET, "--only", graph_handling.NAME, "--compare", str(file)])


def test_a_run_that_is_cut_short_has_written_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(*_: object) -> object:
        raise KeyboardInterrupt

    file = tmp_path / "result.json"
    monkeypatch.setattr("benchmarks.graph_handling.measure", cut_short)
    with pytest.raises(KeyboardInterrupt):
        main([*QUIET, "--only", "softmax", "--only", graph_handling.NAME, "--json", str(file)])
    written = json.loads(file.read_text())
    assert [row["name"] for row in written["rows"]] == [
        one.name for one in WORKLOADS if "softmax" in one.name
    ]
    assert written["circumstances"]["commit"]
    assert "Medians of" in file.with_suffix(".md").read_text()


def test_a_wrong_name_shows_the_names() -> None:
    with pytest.raises(SystemExit, match="softmax of rows"):
        main([*QUIET, "--only", "nothing of this kind"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--json", "{folder}/none/x.json"), "there is no folder '{folder}/none'"),
        (("--json", "{folder}"), "cannot be written"),
        (("--compare", "{folder}/none.json"), "cannot read '{folder}/none.json': No such file"),
        (("--compare", "{folder}/text.json"), "is not JSON"),
        (("--compare", "{folder}/other.json"), "is no run of this program"),
        (("--compare", "{folder}/list.json"), "is no run of this program"),
        (("--mxnet-python", "{folder}/python"), "'{folder}/python' is no program"),
        (("--without", "foo"), "reduce-overhead"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_measured(
    arguments: Sequence[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("text", "no JSON"), ("other", '{"rows": []}'), ("list", "[1, 2]")):
        (tmp_path / f"{name}.json").write_text(text)
    with pytest.raises(SystemExit) as ended:
        main([*QUIET, *(word.format(folder=tmp_path) for word in arguments)])
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert message.format(folder=tmp_path) in told.err.splitlines()[-1]


def test_a_python_without_mxnet_is_refused_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="ended with status 1; it needs MXNet"):
        main([*QUIET, "--mxnet-python", sys.executable])
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_nothing_is_measured_on_one() -> None:
    with pytest.raises(SystemExit, match="no CUDA device"):
        main(["--device", "cuda", "--tiny"])


@pytest.mark.gpu
def test_a_run_on_a_gpu(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    compilers = [word for name in contestants.COMPILED for word in ("--without", name)]
    main(["--device", "cuda", "--tiny", "--only", "perceptron", *compilers, "--json", str(file)])
    for row in json.loads(file.read_text())["rows"]:
        assert {OURS, EAGER, contestants.RECORDED} <= set(row["contestants"])
        assert row["contestants"][OURS]["host"] > 0


def test_pictures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks import pictures

    rows = [run(named("softmax")), run(named("product 32x32x32"))]
    facts = {"device": "one", "date": "then", "commit": "abc"}
    files = pictures.draw(rows, CEILINGS, facts, tmp_path / "cpu")
    assert [file.name for file in files] == ["cpu-roofline.png", "cpu-ratios.png"]
    assert all(file.stat().st_size > 10_000 for file in files)
