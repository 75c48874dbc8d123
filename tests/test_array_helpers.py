"""Small things that programs for MXNet call on arrays, metrics, names and in their tests."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tritonsym as mx
from tritonsym import test_utils


@pytest.mark.parametrize("target", [(4, 2, 3), [2, 3], (1, 5, 2, 3)])
def test_arrays_broadcast_to_more_axes(target: tuple[int, ...]) -> None:
    values = mx.nd.arange(6).reshape((2, 3))
    found = values.broadcast_to(target)
    np.testing.assert_array_equal(found.asnumpy(), np.broadcast_to(values.asnumpy(), target))
    found[:] = -1
    assert values.asnumpy().min() == 0  # a copy


@pytest.mark.parametrize("target", [(2, 4), (3,), (3, 2), (2, 3, 4), (0, 3), ()])
def test_a_shape_that_an_array_cannot_have(target: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 3\) cannot be broadcast to"):
        mx.nd.ones((2, 3)).broadcast_to(target)


def test_how_arrays_are_stored() -> None:
    made = mx.nd.zeros((2,), stype="default")
    copied = made.tostype(made.stype)
    made[:] = 1
    assert (made.asnumpy() == 1).all() and (copied.asnumpy() == 0).all()
    assert mx.nd.empty((3,), stype="default").shape == (3,)


def test_arrays_without_elements_are_kept_and_looked_at(tmp_path: Path) -> None:
    """As buckets are that no sentence fits into."""
    made = mx.nd.array(np.zeros((0, 4)), dtype="int32")
    assert (made.shape, made.size, len(made), made.dtype) == ((0, 4), 0, 0, np.int32)
    assert made.asnumpy().shape == (0, 4) and not made and list(made) == []
    rows = mx.nd.ones((3, 4))
    for one in (rows[3:], rows[1:1], made[0:2], made.copy(), pickle.loads(pickle.dumps(made))):
        assert one.shape == (0, 4)
    rows[3:] = 7
    assert (rows.asnumpy() == 1).all()
    mx.nd.save(str(tmp_path / "none.params"), {"none": made})
    assert mx.nd.load(str(tmp_path / "none.params"))["none"].shape == (0, 4)
    assert mx.nd.from_dlpack(made.to_dlpack_for_read()).shape == (0, 4)


def test_arrays_answer_to_the_rest_of_mxnet_s_names() -> None:
    made = mx.nd.arange(4).reshape((2, 2))
    assert made.slice_assign_scalar(9, (0, None), (1, None), (None, None)) is made
    assert made.slice_assign_scalar(7, (-1,), (None,), (1,)).asnumpy().tolist() == [[9, 9], [7, 7]]
    assert made.as_nd_ndarray() is made
    assert made.writable and not mx.nd.from_torch(torch.ones(1).expand(3)).writable
    for capsule in (mx.nd.to_dlpack_for_read(made), mx.nd.to_dlpack_for_write(made)):
        shared = mx.nd.from_dlpack(capsule)
        shared += 1
    assert made.asnumpy().tolist() == [[11, 11], [9, 9]]


def test_names_of_metrics_from_functions() -> None:
    def error(label: np.ndarray, output: np.ndarray) -> float:
        return 0.0

    assert mx.metric.np(error).name == "error"
    assert mx.metric.np(error, name="mine").name == "mine"
    assert mx.metric.np(lambda label, output: 0.0).name == "custom(<lambda>)"
    assert mx.metric.create(lambda label, output: 0.0).name == "custom(<lambda>)"


@pytest.mark.parametrize("written", [json.dumps, dict])
def test_metrics_from_their_configuration(written: Callable[[Any], Any]) -> None:
    for name, given in (("acc", {"axis": 2}), ("perplexity", {"ignore_label": 0}), ("mse", {})):
        config = mx.metric.create(name, **given).get_config()
        assert mx.metric.create(written(config)).get_config() == config
    both = mx.metric.create(["acc", mx.metric.TopKAccuracy(2)])
    again = mx.metric.create(written(both.get_config()))
    assert isinstance(again, mx.metric.CompositeEvalMetric)
    assert [type(one).__name__ for one in again.metrics] == ["Accuracy", "TopKAccuracy"]
    assert again.metrics[1].top_k == 2


NESTED = '{"metric": ' * 500 + '"acc"' + "}" * 500


@pytest.mark.parametrize(
    "given", ['{"name": "acc"}', {"name": "acc"}, "{", "[1]", '["acc"]', NESTED]
)
def test_a_configuration_that_names_no_metric(given: Any) -> None:
    with pytest.raises(ValueError, match=r'a metric is written as \["name", .*"metric": "name"'):
        mx.metric.create(given)


def test_a_configuration_has_its_arguments() -> None:
    with pytest.raises(AssertionError, match="has arguments of its own"):
        mx.metric.create({"metric": "acc"}, axis=0)


def test_other_names_of_a_metric() -> None:
    @mx.metric.register
    @mx.metric.alias("over", "LAP")
    class Overlap(mx.metric.EvalMetric):
        pass

    @mx.metric.alias("secret")
    class Unregistered(mx.metric.EvalMetric):
        pass

    for name in ("overlap", "OVER", "lap"):
        assert type(mx.metric.create(name, "x")) is Overlap
    assert type(mx.metric.create("secret", "x")) is Unregistered
    with pytest.raises(AssertionError, match="'unregistered' is not registered"):
        mx.metric.create("unregistered", "x")


class Tasks(mx.metric.EvalMetric):
    """A value per task, as metrics of several outputs are written."""

    def reset(self) -> None:
        self.num_inst, self.sum_metric = [0, 0], [0.0, 0.0]

    def update(self, labels: Any, preds: Any) -> None:
        for task in range(2):
            self.num_inst[task] += 1
            self.sum_metric[task] += task + 1.0

    def get(self) -> Any:
        pairs = zip(self.sum_metric, self.num_inst, strict=True)
        return zip(*((f"task{i}", a / n) for i, (a, n) in enumerate(pairs)), strict=True)


class NamedTasks(Tasks):
    def get_name_value(self) -> list[tuple[str, float]]:
        return list(zip(*self.get(), strict=True))


def test_metrics_with_several_values() -> None:
    """By MXNet 1.9.1."""
    values = {Tasks: [(("task0", "task1"), (1.0, 2.0))], NamedTasks: [("task0", 1.0), ("task1", 2)]}
    for kind, found in values.items():
        metric = kind("tasks")
        metric.update([], [])
        assert metric.get_name_value() == metric.get_global_name_value() == found
        # The composite metric starts with what its parts have counted.
        joined = mx.metric.CompositeEvalMetric([metric])
        assert joined.get() == joined.get_global() == (["task0", "task1"], [1.0, 2.0])
        assert joined.get_global_name_value() == [("task0", 1.0), ("task1", 2.0)]


@pytest.mark.parametrize(
    ("found", "pairs"),
    [
        (("a", [1.5]), [("a", 1.5)]),
        ((["a"], 1.5), [("a", 1.5)]),
        ((["a", "b"], [1.5, 2.5]), [("a", 1.5), ("b", 2.5)]),
    ],
)
def test_one_name_or_value_is_a_list_of_one(found: Any, pairs: list[tuple[str, float]]) -> None:
    class Fixed(mx.metric.EvalMetric):
        def get(self) -> Any:
            return found

    assert Fixed("x").get_name_value() == Fixed("x").get_global_name_value() == pairs


def test_a_metric_that_says_that_it_counts_altogether() -> None:
    class Both(mx.metric.EvalMetric):
        def get_global(self) -> Any:
            return "all", 2.0

    assert Both("x", has_global_stats=True).get_global_name_value() == [("all", 2.0)]
    ((name, value),) = Both("x").get_global_name_value()
    assert name == "x" and np.isnan(value)
    assert "has_global_stats" not in Both("x", has_global_stats=True).get_config()


def test_texts_of_either_kind() -> None:
    assert mx.base.py_str(b"fc1_output") == mx.base.py_str("fc1_output") == "fc1_output"


@pytest.mark.parametrize("given", [("TRITONSYM_TEST", "1"), ({"TRITONSYM_TEST": "1"},)])
def test_an_environment_for_a_while(
    given: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRITONSYM_TEST", raising=False)
    with pytest.raises(KeyError), test_utils.environment(*given):
        assert os.environ["TRITONSYM_TEST"] == "1"
        with test_utils.environment("TRITONSYM_TEST", None):
            assert "TRITONSYM_TEST" not in os.environ
        assert os.environ["TRITONSYM_TEST"] == "1"
        raise KeyError
    assert "TRITONSYM_TEST" not in os.environ
    with pytest.raises(AssertionError, match="a name and its value"):
        test_utils.environment("TRITONSYM_TEST").__enter__()


def test_a_default_context_for_tests() -> None:
    before = mx.current_context()
    try:
        test_utils.set_default_context(mx.cpu(1))
        assert test_utils.default_context() == mx.cpu(1)
        assert mx.nd.ones((1,)).context == mx.cpu(1)
        with mx.cpu(2):
            assert mx.current_context() == mx.cpu(2)
        assert mx.current_context() == mx.cpu(1)
    finally:
        test_utils.set_default_context(before)
    assert mx.current_context() == before


def test_gpus_have_numbers() -> None:
    assert list(test_utils.list_gpus()) == list(range(mx.num_gpus()))


def test_arrays_on_the_same_memory() -> None:
    values = mx.nd.array([[1e20, 0.1], [3, 4]])
    first = values.asnumpy()
    assert test_utils.same_array(values, values.reshape((2, 2)))
    assert not test_utils.same_array(values, values.copy())
    assert (values.asnumpy() == first).all()
    ones = mx.nd.ones((3,))
    assert test_utils.same_array(ones, ones[:])


def test_tolerances_of_dtypes() -> None:
    assert test_utils.get_rtol() == 1e-5
    assert test_utils.get_rtol(dtype=np.float16) == test_utils.get_rtol(1e-2) == 1e-2
    assert test_utils.get_atol(dtype="float32") == 1e-3
    assert test_utils.get_atol(dtype=np.int32) == 0
    test_utils.assert_allclose(mx.nd.ones((2,)), np.ones(2))
    with pytest.raises(AssertionError):
        test_utils.assert_allclose(mx.nd.ones((2,)), np.full(2, 1 + 1e-5))
