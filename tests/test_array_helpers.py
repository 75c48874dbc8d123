"""Small things that programs for MXNet call on arrays, metrics, names and in their tests."""

from __future__ import annotations

import os

import numpy as np
import pytest

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


def test_names_of_metrics_from_functions() -> None:
    def error(label: np.ndarray, output: np.ndarray) -> float:
        return 0.0

    assert mx.metric.np(error).name == "error"
    assert mx.metric.np(error, name="mine").name == "mine"
    assert mx.metric.np(lambda label, output: 0.0).name == "custom(<lambda>)"
    assert mx.metric.create(lambda label, output: 0.0).name == "custom(<lambda>)"


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
