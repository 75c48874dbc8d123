"""Making NDArrays, their properties, copies and conversions."""

from __future__ import annotations

import copy
import pickle
from types import ModuleType

import numpy as np

from oracle.scenario import Answer, array, outcomes, plain, raised, scenario, warned

DTYPES = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool")


@scenario
def default_dtypes(mx: ModuleType) -> Answer:
    nd = mx.nd
    return {
        "list of ints": nd.array([1, 2]),
        "list of floats": nd.array([1.5, 2.5]),
        "list of bools": nd.array([True, False]),
        "nested": nd.array([[1, 2], [3, 4]]),
        "tuple": nd.array((1, 2)),
        "numpy int32": nd.array(np.array([1, 2], dtype=np.int32)),
        "numpy float64": nd.array(np.array([1.5, 2.5])),
        "numpy bool": nd.array(np.array([True, False])),
        "NDArray int32": nd.array(nd.array([1, 2], dtype="int32")),
        "NDArray float16": nd.array(nd.array([1, 2], dtype="float16")),
        "NDArray asked": nd.array(nd.array([1, 2], dtype="int32"), dtype="float64"),
        "zeros": nd.zeros((2,)),
        "ones": nd.ones((2,)),
        "full": nd.full((2,), 7),
        "arange": nd.arange(3),
        "zeros_like": nd.zeros_like(nd.ones((2,), dtype="int32")),
        "ones_like": nd.ones_like(nd.zeros((2,), dtype="float64")),
    }


@scenario
def asked_dtypes(mx: ModuleType) -> Answer:
    return {name: mx.nd.array([0, 1, 2], dtype=name) for name in DTYPES}


@scenario
def asked_dtypes_in_other_words(mx: ModuleType) -> Answer:
    return {
        "class": mx.nd.array([1], dtype=np.int64),
        "dtype": mx.nd.array([1], dtype=np.dtype("float16")),
        "python float": mx.nd.array([1], dtype=float),
        "python int": mx.nd.array([1], dtype=int),
        "zeros": mx.nd.zeros((1,), dtype=np.int8),
        "type of dtype": mx.nd.array([1]).dtype is np.float32,
        "nonsense": raised(lambda: mx.nd.array([1], dtype="nope")),
    }


@scenario
def casts_of_contents(mx: ModuleType) -> Answer:
    return {
        "float into int": mx.nd.array([1.7, -1.7, 2.5], dtype="int32"),
        "int into bool": mx.nd.array([0, 1, 5], dtype="bool"),
        "large into float16": mx.nd.array([2049, 65504], dtype="float16"),
        "float64 kept": mx.nd.array([0.1], dtype="float64"),
        "float32 rounded": mx.nd.array([0.1]),
        "int64 kept": mx.nd.array(np.array([2**40 + 1]), dtype="int64"),
    }


@scenario
def shapes_of_contents(mx: ModuleType) -> Answer:
    return {
        "list of one": mx.nd.array([5]),
        "rank 3": mx.nd.array([[[1], [2]]]),
        "ragged": raised(lambda: mx.nd.array([[1], [2, 3]])),
        "text": raised(lambda: mx.nd.array("abc")),
        "not contiguous": mx.nd.array(np.arange(6).reshape(2, 3).T),
        "read-only": mx.nd.array(np.broadcast_to(np.float32(2), (2, 2))),
    }


@scenario
def zeros_ones_full(mx: ModuleType) -> Answer:
    nd = mx.nd
    return {
        "number for a shape": nd.zeros(3),
        "tuple": nd.zeros((2, 1)),
        "list": nd.ones([1, 2]),
        "dtype": nd.ones((2,), dtype="int32"),
        "full int": nd.full((2,), 3, dtype="int32"),
        "full float": nd.full((2, 1), 1.5),
        "full number": nd.full(2, 0.5),
        "empty shape": [nd.empty((2, 3)).shape, nd.empty(4).shape],
        "empty dtype": np.dtype(nd.empty((1,), dtype="int64").dtype),
    }


@scenario
def arange(mx: ModuleType) -> Answer:
    nd = mx.nd
    return {
        "stop": nd.arange(4),
        "start stop": nd.arange(2, 5),
        "step": nd.arange(0, 1, 0.25),
        "backwards": nd.arange(3, 0, -1),
        "repeat": nd.arange(0, 3, repeat=2),
        "dtype": nd.arange(3, dtype="int32"),
        "uneven": nd.arange(0, 5, 2),
    }


@scenario
def properties(mx: ModuleType) -> Answer:
    x = mx.nd.zeros((2, 3, 4), dtype="float16")
    return {
        "shape": [x.shape, type(x.shape).__name__],
        "size": [x.size, type(x.size).__name__],
        "ndim": x.ndim,
        "dtype": x.dtype,
        "dtype is a class": isinstance(x.dtype, type),
        "context": str(x.context),
        "ctx": x.ctx == x.context,
        "stype": x.stype,
        "length": len(x),
        "T": x.T.shape,
    }


@scenario
def transposed(mx: ModuleType) -> Answer:
    x = mx.nd.arange(6).reshape((2, 3))
    return {
        "matrix": x.T,
        "vector": mx.nd.arange(3).T,
        "rank 3": mx.nd.arange(8).reshape((2, 2, 2)).T,
        "a copy": _written(x.T, x),
    }


def _written(target: object, source: object) -> Answer:
    """Whether writing into one array changes the other."""
    before = source.asnumpy().tolist()  # type: ignore[attr-defined]
    target[:] = 99  # type: ignore[index]
    return {"changed": source.asnumpy().tolist() != before}  # type: ignore[attr-defined]


@scenario
def astype(mx: ModuleType) -> Answer:
    x = mx.nd.array([1.7, -1.7, 0])
    same = x.astype("float32")
    return {
        "int": x.astype("int32"),
        "class": x.astype(np.float64),
        "bool": x.astype("bool"),
        "uint8 of a negative": mx.nd.array([-1.0]).astype("int8"),
        "same is a copy": [same is x, _written(same, x)],
        "same without a copy": x.astype("float32", copy=False) is x,
        "other without a copy": x.astype("int32", copy=False),
        "nonsense": raised(lambda: x.astype("nope")),
    }


@scenario
def copies(mx: ModuleType) -> Answer:
    x = mx.nd.array([[1, 2], [3, 4]], dtype="int32")
    made = {
        "copy": x.copy(),
        "copy.copy": copy.copy(x),
        "copy.deepcopy": copy.deepcopy(x),
        "array": mx.nd.array(x),
        "pickle": pickle.loads(pickle.dumps(x)),
        "asnumpy": mx.nd.array(x.asnumpy(), dtype="int32"),
    }
    return {label: [array(one), _written(one, x)] for label, one in made.items()}


@scenario
def asnumpy_is_a_copy(mx: ModuleType) -> Answer:
    x = mx.nd.array([1, 2])
    taken = x.asnumpy()
    taken[:] = 9
    return [x, taken, type(taken).__name__, taken.flags.writeable, taken.flags.c_contiguous]


@scenario
def made_from_numpy_is_a_copy(mx: ModuleType) -> Answer:
    source = np.array([1, 2], dtype=np.float32)
    x = mx.nd.array(source)
    source[:] = 9
    return x


@scenario
def copyto(mx: ModuleType) -> Answer:
    x = mx.nd.array([[1, 2], [3, 4]])
    target = mx.nd.zeros((2, 2))
    returned = x.copyto(target)
    integers = mx.nd.zeros((2, 2), dtype="int32")
    mx.nd.array([[1.7, -1.7], [2.5, 0]]).copyto(integers)
    elsewhere = x.copyto(mx.cpu(1))
    return {
        "target": target,
        "returns target": returned is target,
        "cast": integers,
        "context": [array(elsewhere), str(elsewhere.context)],
        "wrong shape": raised(lambda: x.copyto(mx.nd.zeros((3,)))),
        "broadcast": raised(lambda: mx.nd.array([1, 2]).copyto(target)),
        "number": raised(lambda: x.copyto(1)),
        "itself": warned(lambda: x.copyto(x) is None)["warnings"],
    }


@scenario
def as_in_context(mx: ModuleType) -> Answer:
    x = mx.nd.array([1, 2])
    there = x.as_in_context(mx.cpu(1))
    return {
        "same": x.as_in_context(mx.cpu(0)) is x,
        "other": [array(there), str(there.context), there is x],
        "independent": _written(there, x),
    }


@scenario
def contexts_of_creation(mx: ModuleType) -> Answer:
    with mx.cpu(1):
        inside = mx.nd.zeros((1,))
        asked = mx.nd.zeros((1,), ctx=mx.cpu(2))
        copied = mx.nd.array([1])
    made = {
        "default": mx.nd.zeros((1,)),
        "with": inside,
        "asked in with": asked,
        "array in with": copied,
        "array": mx.nd.array([1], ctx=mx.cpu(3)),
        "arange": mx.nd.arange(2, ctx=mx.cpu(3)),
        "full": mx.nd.full((2,), 1, ctx=mx.cpu(3)),
        "result": inside + inside,
        "copy": inside.copy(),
        "slice": inside[0],
        "reshape": inside.reshape((1, 1)),
    }
    return {label: str(one.context) for label, one in made.items()}


@scenario
def to_python(mx: ModuleType) -> Answer:
    one = mx.nd.array([2.5])
    return {
        "asscalar": [one.asscalar(), type(one.asscalar()).__name__],
        "asscalar int": type(mx.nd.array([2], dtype="int32").asscalar()).__name__,
        "asscalar of two": raised(lambda: mx.nd.array([1, 2]).asscalar()),
        "bool true": bool(one),
        "bool zero": bool(mx.nd.array([0])),
        "bool of two": raised(lambda: bool(mx.nd.array([1, 2]))),
        "length": len(mx.nd.zeros((3, 2))),
        "iteration": [array(row) for row in mx.nd.array([[1, 2], [3, 4]])],
        "list of scalars": [array(item) for item in mx.nd.array([1, 2])],
    }


@scenario
def to_python_numbers(mx: ModuleType) -> Answer:
    one, two = mx.nd.array([2.5]), mx.nd.array([1, 2])
    return {
        "float": raised(lambda: float(one)),
        "int": raised(lambda: int(one)),
        "float of two": raised(lambda: float(two)),
        "index": raised(lambda: [1, 2, 3][mx.nd.array([1], dtype="int32")]),
        "numpy": np.asarray([one.asscalar()]),
    }


@scenario
def index_of_one_element(mx: ModuleType) -> Answer:
    return outcomes(
        {
            "range of int32": lambda: list(range(mx.nd.array([3], dtype="int32").asscalar())),
            "hash": lambda: isinstance(hash(mx.nd.array([1])), int),
            "set of arrays": lambda: len({mx.nd.array([1]), mx.nd.array([1])}),
        }
    )


@scenario
def printing(mx: ModuleType) -> Answer:
    return {
        "vector": str(mx.nd.array([1, 2])).split("\n")[-1],
        "matrix": str(mx.nd.zeros((2, 3))).split("\n")[-1],
        "values": str(mx.nd.array([[1, 2], [3, 4]], dtype="int32")).strip().split("\n")[:-1],
        "context": str(mx.nd.zeros((1,), ctx=mx.cpu(2))).split("\n")[-1],
    }


@scenario
def concatenate(mx: ModuleType) -> Answer:
    nd = mx.nd
    x, y = nd.array([[1, 2], [3, 4]]), nd.array([[5, 6]])
    single = nd.concatenate([x])
    return {
        "rows": nd.concatenate([x, y]),
        "columns": nd.concatenate([x, x], axis=1),
        "one": [array(single), single is x],
        "one not copied": nd.concatenate([x], always_copy=False) is x,
        "int": nd.concatenate([nd.array([1], dtype="int32"), nd.array([2], dtype="int32")]),
        "concat": nd.concat(x, y, dim=0),
        "stack": nd.stack(x, x),
    }


@scenario
def waiting(mx: ModuleType) -> Answer:
    x = mx.nd.ones((2,))
    return [x.wait_to_read(), mx.nd.waitall()]


@scenario
def equality_of_arrays_and_none(mx: ModuleType) -> Answer:
    x = mx.nd.array([1, 2])
    return {
        "== None": raised(lambda: x == None),  # noqa: E711
        "!= None": raised(lambda: x != None),  # noqa: E711
        "== text": raised(lambda: x == "x"),
        "is None": x is None,
    }


@scenario
def operators_with_an_output(mx: ModuleType) -> Answer:
    nd = mx.nd
    x, target = nd.array([1, -2]), nd.zeros((2,))
    returned = nd.abs(x, out=target)
    nd.elemwise_add(x, x, out=x)
    return {
        "target": target,
        "returned": returned is target,
        "in place": x,
        "wrong shape": raised(lambda: nd.abs(nd.ones((3,)), out=target)),
    }


@scenario
def operators_with_several_outputs(mx: ModuleType) -> Answer:
    parts = mx.nd.split(mx.nd.arange(6), num_outputs=3, axis=0)
    one = mx.nd.split(mx.nd.arange(6), num_outputs=1, axis=0)
    return [type(parts).__name__, len(parts), plain(parts), type(one).__name__]


@scenario
def operator_errors(mx: ModuleType) -> Answer:
    nd = mx.nd
    x = nd.ones((2, 3))
    return {
        "missing parameter": raised(lambda: nd.FullyConnected(x, x, x), "num_hidden"),
        "unknown parameter": raised(lambda: nd.sum(x, foo=1), "foo"),
        "bad value": raised(lambda: nd.Activation(x, act_type="nope"), "nope"),
        "shapes": raised(lambda: nd.dot(x, x)),
        "elemwise shapes": raised(lambda: nd.elemwise_add(x, nd.ones((1, 3)))),
        "numpy input": raised(lambda: nd.exp(np.ones(2))),
        "number input": raised(lambda: nd.exp(1)),
        "list input": raised(lambda: nd.exp([1])),
    }


@scenario
def fluent_methods(mx: ModuleType) -> Answer:
    x = mx.nd.array([[1, -2], [3, -4]])
    return {
        "abs": x.abs(),
        "sum": x.sum(),
        "sum axis": x.sum(axis=0),
        "max": x.max(axis=1),
        "clip": x.clip(-1, 1),
        "transpose": x.transpose(),
        "flatten": x.reshape((2, 1, 2)).flatten(),
        "expand_dims": x.expand_dims(axis=0),
        "squeeze": x.expand_dims(axis=0).squeeze(),
        "tile": x.tile(reps=(1, 2)),
        "repeat": x.repeat(repeats=2, axis=0),
        "broadcast_to": mx.nd.array([[1, 2]]).broadcast_to((2, 2)),
        "broadcast_like": mx.nd.array([[1, 2]]).broadcast_like(x),
        "slice_axis": x.slice_axis(axis=1, begin=0, end=1),
        "take": x.take(mx.nd.array([1, 0])),
        "one_hot": mx.nd.array([1, 0]).one_hot(2),
        "argmax": x.argmax(axis=1),
        "square": x.square(),
        "sign": x.sign(),
        "zeros_like": x.zeros_like(),
        "relu": x.relu(),
        "swapaxes": x.swapaxes(0, 1),
        "flip": x.flip(axis=0),
        "split": plain(x.split(num_outputs=2, axis=0)),
    }


@scenario
def random_arrays(mx: ModuleType) -> Answer:
    nd = mx.nd
    made = nd.uniform(low=2, high=3, shape=(50, 50))
    values = made.asnumpy()
    mx.random.seed(7)
    first = nd.uniform(shape=(3,)).asnumpy().tolist()
    mx.random.seed(7)
    second = nd.uniform(shape=(3,)).asnumpy().tolist()
    return {
        "shape": made.shape,
        "dtype": made.dtype,
        "in range": [bool((values >= 2).all()), bool((values < 3).all())],
        "spread": bool(values.std() > 0.2),
        "seeded": first == second,
        "goes on": nd.uniform(shape=(3,)).asnumpy().tolist() != second,
        "random.uniform": nd.random.uniform(0, 1, shape=(2, 2)).shape,
        "random_uniform": nd.random_uniform(shape=(2,)).shape,
        "normal": nd.random.normal(0, 1, shape=(4,)).shape,
        "float64": nd.random.uniform(shape=(2,), dtype="float64").dtype,
        "default shape": nd.random.uniform().shape,
    }
