"""Reading and writing parts of NDArrays; what is a view and what is a copy; reshape's codes."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from oracle.scenario import Answer, array, outcome, outcomes, raised, scenario


def grid(mx: ModuleType, dtype: str = "float32") -> Any:
    """A matrix of 3 rows and 4 columns that counts from zero."""
    return mx.nd.arange(12, dtype=dtype).reshape((3, 4))


def cube(mx: ModuleType) -> Any:
    """An array of shape (2, 3, 4) that counts from zero."""
    return mx.nd.arange(24).reshape((2, 3, 4))


def read(make: Callable[[], Any], keys: dict[str, Any]) -> Answer:
    """What reading every key of a fresh array gives."""
    return {label: outcome(lambda key=key: make()[key]) for label, key in keys.items()}


def write(make: Callable[[], Any], keys: dict[str, tuple[Any, Any]]) -> Answer:
    """What a fresh array holds after writing a value under every key."""

    def one(key: Any, value: Any) -> Any:
        target = make()
        target[key] = value
        return target

    return {
        label: outcome(lambda key=key, value=value: one(key, value))
        for label, (key, value) in keys.items()
    }


def shares(make: Callable[[], Any], take: Callable[[Any], Any]) -> bool:
    """Whether writing into what was taken changes the array it was taken from."""
    source = make()
    before = source.asnumpy().tolist()
    take(source)[:] = 99
    return bool(source.asnumpy().tolist() != before)


@scenario
def by_number(mx: ModuleType) -> Answer:
    keys = {"0": 0, "1": 1, "-1": -1, "-3": -3, "3": 3, "-4": -4, "numpy": np.int64(1)}
    return {
        "matrix": read(lambda: grid(mx), keys),
        "vector": read(lambda: mx.nd.arange(4), {"0": 0, "-1": -1, "4": 4}),
        "chained": grid(mx)[1][2],
    }


@scenario
def by_several_numbers(mx: ModuleType) -> Answer:
    keys = {
        "0,1": (0, 1), "-1,-1": (-1, -1), "0,9": (0, 9), "5,0": (5, 0), "0,0,0": (0, 0, 0),
        "one in a tuple": (1,), "empty tuple": (),
    }  # fmt: skip
    return read(lambda: grid(mx), keys)


@scenario
def by_slice(mx: ModuleType) -> Answer:
    keys = {
        "all": slice(None), "from": slice(1, None), "to": slice(None, 2), "middle": slice(1, 2),
        "negative": slice(-2, None), "step": slice(None, None, 2), "back": slice(None, None, -1),
        "past the end": slice(1, 99), "numpy": slice(np.int64(0), np.int64(2)),
    }  # fmt: skip
    return read(lambda: grid(mx), keys)


@scenario
def by_several_slices(mx: ModuleType) -> Answer:
    everything = slice(None)
    keys = {
        "column": (everything, 1),
        "column slice": (everything, slice(1, 3)),
        "block": (slice(0, 2), slice(1, 3)),
        "row part": (1, slice(1, 3)),
        "last column": (everything, -1),
        "steps": (slice(None, None, 2), slice(None, None, -2)),
        "ellipsis": Ellipsis,
        "ellipsis and number": (Ellipsis, 0),
        "number and ellipsis": (0, Ellipsis),
    }
    return read(lambda: grid(mx), keys)


@scenario
def by_keys_of_rank_three(mx: ModuleType) -> Answer:
    everything = slice(None)
    keys = {
        "plane": 1,
        "row": (1, 2),
        "element": (1, 2, 3),
        "middle": (everything, 1),
        "last": (Ellipsis, 2),
        "mixed": (1, everything, slice(0, 2)),
        "middle slice": (everything, slice(1, 2), everything),
    }
    return read(lambda: cube(mx), keys)


@scenario
def by_none(mx: ModuleType) -> Answer:
    everything = slice(None)
    keys = {
        "front": None,
        "front of all": (None, everything),
        "back": (Ellipsis, None),
        "between": (everything, None, everything),
        "with number": (None, 1),
        "twice": (None, Ellipsis, None),
    }
    return {
        label: outcome(lambda key=key: list(grid(mx)[key].shape)) for label, key in keys.items()
    }


@scenario
def by_list(mx: ModuleType) -> Answer:
    keys = {
        "list": [0, 2],
        "one": [1],
        "repeated": [1, 1, 0],
        "negative": [-1, 0],
        "numpy": np.array([2, 0]),
        "NDArray": mx.nd.array([2, 0]),
        "NDArray int": mx.nd.array([2, 0], dtype="int32"),
        "two lists": ([0, 1], [1, 2]),
        "list and slice": ([0, 2], slice(1, 3)),
        "slice and list": (slice(None), [3, 0]),
        "list and number": ([0, 2], 1),
        "matrix of indices": [[0, 1], [2, 0]],
    }
    return read(lambda: grid(mx), keys)


@scenario
def by_bad_keys(mx: ModuleType) -> Answer:
    x = grid(mx)
    return {
        "text": raised(lambda: x["a"]),
        "float": raised(lambda: x[1.5]),
        "too many": raised(lambda: x[0, 0, 0, 0]),
        "write past the end": raised(lambda: x.__setitem__(5, 1)),
        "write text": raised(lambda: x.__setitem__(0, "x")),
        "write wrong shape": raised(lambda: x.__setitem__(0, [1, 2])),
        "write all wrong shape": raised(lambda: x.__setitem__(slice(None), np.ones((2, 4)))),
    }


@scenario
def views_and_copies(mx: ModuleType) -> Answer:
    def make() -> Any:
        return grid(mx)

    return {
        "row": shares(make, lambda x: x[1]),
        "rows": shares(make, lambda x: x[0:2]),
        "all": shares(make, lambda x: x[:]),
        "ellipsis": shares(make, lambda x: x[...]),
        "element": shares(make, lambda x: x[1, 2]),
        "row part": shares(make, lambda x: x[1, 1:3]),
        "column": shares(make, lambda x: x[:, 1]),
        "stepped": shares(make, lambda x: x[::2]),
        "list": shares(make, lambda x: x[[0, 1]]),
        "reshape": shares(make, lambda x: x.reshape((4, 3))),
        "row then part": shares(make, lambda x: x[1][1:3]),
        "transpose": shares(make, lambda x: x.T),
        "expand_dims": shares(make, lambda x: x.expand_dims(axis=0)),
        "expand_dims inplace": shares(make, lambda x: x.expand_dims(axis=0, inplace=True)),
        "flatten": shares(make, lambda x: x.flatten()),
        "detach": shares(make, lambda x: x.detach()),
        "astype": shares(make, lambda x: x.astype("float32")),
        "copy": shares(make, lambda x: x.copy()),
        "none": shares(make, lambda x: x[None]),
    }


@scenario
def views_see_later_writes(mx: ModuleType) -> Answer:
    x = grid(mx)
    row, rows, shaped = x[1], x[0:2], x.reshape((2, 6))
    x[:] = 5
    row += 1
    return [x, row, rows, shaped]


@scenario
def writing_numbers(mx: ModuleType) -> Answer:
    everything = slice(None)
    keys = {
        "all": (everything, 7), "row": (1, 7), "negative row": (-1, 7), "rows": (slice(0, 2), 7),
        "element": ((1, 2), 7), "column": ((everything, 1), 7), "ellipsis": (Ellipsis, 7),
        "block": ((slice(0, 2), slice(1, 3)), 7), "step": (slice(None, None, 2), 7),
        "backwards": (slice(None, None, -1), 7), "fraction": (0, 0.5), "bool": (0, True),
        "numpy number": (0, np.float32(2.5)),
    }  # fmt: skip
    return write(lambda: grid(mx), keys)


@scenario
def writing_arrays(mx: ModuleType) -> Answer:
    everything = slice(None)
    keys = {
        "list into row": (0, [1, 2, 3, 4]),
        "numpy into row": (0, np.array([1, 2, 3, 4])),
        "NDArray into row": (0, mx.nd.array([1, 2, 3, 4])),
        "broadcast row": (everything, [9, 8, 7, 6]),
        "broadcast column": (everything, np.array([[1], [2], [3]])),
        "column": ((everything, 1), [1, 2, 3]),
        "nested list": (slice(0, 2), [[0, 0, 0, 0], [1, 1, 1, 1]]),
        "array of one": (everything, mx.nd.array([3])),
        "int array": (everything, mx.nd.ones((3, 4), dtype="int32")),
        "reversed rows": (slice(None, None, -1), np.arange(12).reshape(3, 4)),
    }
    return write(lambda: grid(mx), keys)


@scenario
def writing_by_list(mx: ModuleType) -> Answer:
    keys = {
        "list": ([0, 2], 7),
        "list of arrays": ([0, 2], np.array([[1, 1, 1, 1], [2, 2, 2, 2]])),
        "two lists": (([0, 1], [1, 2]), 7),
        "slice and list": ((slice(None), [3, 0]), 7),
        "NDArray": (mx.nd.array([2, 0]), 7),
    }
    return write(lambda: grid(mx), keys)


@scenario
def writing_casts(mx: ModuleType) -> Answer:
    return write(
        lambda: grid(mx, "int32"),
        {
            "fraction": (0, 2.7),
            "negative fraction": (0, -2.7),
            "float list": (0, [1.7, -1.7, 2.5, 0]),
            "float array": (slice(None), mx.nd.full((3, 4), 1.9)),
            "float64 numpy": (slice(None), np.full((3, 4), 1.9)),
            "part": ((slice(None), 1), 3.9),
        },
    )


@scenario
def writing_into_itself(mx: ModuleType) -> Answer:
    x = grid(mx)
    x[0] = x[1]
    x[1:3] = x[0:2] * 2
    return x


RESHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "plain": ((2, 3), (3, 2)),
    "minus one": ((2, 3), (-1,)),
    "minus one middle": ((2, 3, 4), (2, -1, 2)),
    "zero": ((2, 3, 4), (0, -1)),
    "two zeros": ((2, 3, 4), (0, 0, -1)),
    "minus two": ((2, 3, 4), (-2,)),
    "minus two after": ((2, 3, 4), (2, -2)),
    "minus two then ones": ((2, 3, 4), (-2, 1, 1)),
    "minus three": ((2, 3, 4), (-3, 4)),
    "minus three zero": ((2, 3, 4), (-3, 0)),
    "minus three twice": ((2, 3, 4, 5), (-3, -3)),
    "zero minus three": ((2, 3, 4), (0, -3)),
    "minus three minus two": ((2, 3, 4), (-3, -2)),
    "minus four": ((2, 3, 4), (-4, 1, 2, -2)),
    "minus four with minus one": ((2, 3, 4), (2, -4, -1, 3, -2)),
    "minus four zeros": ((2, 3, 4), (-4, 1, 2, 0, 0)),
}


@scenario
def reshape_codes(mx: ModuleType) -> Answer:
    return {
        label: outcome(lambda old=old, new=new: list(mx.nd.zeros(old).reshape(new).shape))
        for label, (old, new) in RESHAPES.items()
    }


@scenario
def reshape_codes_of_the_operator(mx: ModuleType) -> Answer:
    return {
        label: outcome(
            lambda old=old, new=new: list(mx.nd.Reshape(mx.nd.zeros(old), shape=new).shape)
        )
        for label, (old, new) in RESHAPES.items()
    }


@scenario
def reshape_in_reverse(mx: ModuleType) -> Answer:
    cases = {
        "zero and rest": ((10, 5, 4), (-1, 0)),
        "rest and zero": ((2, 3, 4), (0, -1)),
        "minus three": ((2, 3, 4), (0, -3)),
    }
    return {
        label: outcome(
            lambda old=old, new=new: list(mx.nd.zeros(old).reshape(new, reverse=True).shape)
        )
        for label, (old, new) in cases.items()
    }


@scenario
def reshape_calls(mx: ModuleType) -> Answer:
    x = mx.nd.arange(6)
    return outcomes(
        {
            "tuple": lambda: x.reshape((2, 3)),
            "numbers": lambda: x.reshape(2, 3),
            "list": lambda: x.reshape([2, 3]),
            "keyword": lambda: x.reshape(shape=(2, 3)),
            "one number": lambda: x.reshape(6),
            "unknown keyword": lambda: x.reshape((2, 3), foo=1),
        }
    )


@scenario
def no_zero_rank(mx: ModuleType) -> Answer:
    x = grid(mx)
    return {
        "element": x[0, 1].shape,
        "sum": x.sum().shape,
        "vector element": mx.nd.arange(3)[0].shape,
        "max": x.max().shape,
        "dot of vectors": mx.nd.dot(mx.nd.arange(3), mx.nd.arange(3)).shape,
    }


@scenario
def of_other_dtypes(mx: ModuleType) -> Answer:
    answers = {}
    for dtype in ("float64", "float16", "int32", "int64", "uint8", "int8"):
        x = grid(mx, dtype)
        answers[dtype] = [array(x[1]), array(x[:, 2]), array(x[[0, 2]]), array(x[1, 1])]
    return answers


@scenario
def iteration_writes_through(mx: ModuleType) -> Answer:
    x = grid(mx)
    for row in x:
        row[:] = row.sum()
    return x
