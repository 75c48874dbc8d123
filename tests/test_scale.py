"""Large graphs: no call recurses through one, and none takes more than linear work."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tritonsym as mx
from tritonsym.expressions import expr
from tritonsym.foundation.dtype import BY_NAME
from tritonsym.graph.node import Node
from tritonsym.kernels import triton_source
from tritonsym.plan_command import plan_for_gpu
from tritonsym.products.gpus import H100
from tritonsym.symbol import Symbol

LONG = 100_000
WIDE = 10_000
DEFAULT_RECURSION_LIMIT = 1000


@pytest.fixture(autouse=True)
def default_limit() -> Iterator[None]:
    assert sys.getrecursionlimit() == DEFAULT_RECURSION_LIMIT
    yield
    assert sys.getrecursionlimit() == DEFAULT_RECURSION_LIMIT


def chain(length: int) -> Symbol:
    y = mx.sym.Variable("x")
    with mx.name.NameManager():
        for _ in range(length):
            y = y + 1
    return y


def diamond(levels: int) -> Symbol:
    y = mx.sym.Variable("x")
    for _ in range(levels):
        y = y + y
    return y


# ---- work that grows with the size, and no faster ------------------------------------------------


class Name(str):
    """A name whose comparisons are calls, and so are counted."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)  # type: ignore[no-any-return]


def names(count: int) -> list[Name]:
    return [Name(f"v{i}") for i in range(count)]


def work(action: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many functions an action calls, those of C as well, and how often it compares."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1

    with monkeypatch.context() as patch:
        for kind in (expr.Expr, Node):
            patch.setattr(kind, "__eq__", lambda self, other: self is other)
        sys.setprofile(count)
        try:
            action()
        finally:
            sys.setprofile(None)
    return calls


def ones(count: int) -> dict[str, mx.NDArray]:
    return {name: mx.nd.ones((1,)) for name in names(count)}


def variables(count: int) -> list[Symbol]:
    return [mx.sym.Variable(name) for name in names(count)]


def wide(count: int) -> Symbol:
    x = mx.sym.Variable("x")
    return mx.sym.Group([x + float(i) for i in range(count)])


def sum_of(count: int) -> Symbol:
    return mx.sym.add_n(*variables(count))


def pieces(count: int) -> Symbol:
    return mx.sym.SliceChannel(mx.sym.Variable("x"), num_outputs=count, axis=0)


def row_chain(count: int) -> Symbol:
    """Reductions in between, so that each step is a kernel with memory of its own."""
    y = mx.sym.Variable("x")
    for _ in range(count // 2):
        y = mx.sym.broadcast_sub(y, mx.sym.max(y, axis=0, keepdims=True))
    return y


def same_values(count: int) -> Symbol:
    y = mx.sym.Variable("x") * 2
    for _ in range(count):
        y = mx.sym.identity(y)
    return y


def one_value_read_often(count: int) -> Symbol:
    y = mx.sym.exp(mx.sym.Variable("x"))
    return mx.sym.Group([mx.sym.sum(y + float(i)) for i in range(count)])


def backwards(count: int) -> Symbol:
    """Only the last shape is known, and says all others."""
    y = mx.sym.Variable("x")
    for _ in range(count):
        y = mx.sym.exp(y)
    return y + mx.sym.Variable("v0")


def layers(count: int) -> Symbol:
    """Products, normalised rows and residuals, as networks have them."""
    y = mx.sym.Variable("x")
    for number in range(count // 10):
        h = mx.sym.FullyConnected(y, num_hidden=4, name=f"fc{number}")
        h = mx.sym.broadcast_sub(h, mx.sym.mean(h, axis=1, keepdims=True))
        variance = mx.sym.mean(h * h, axis=1, keepdims=True)
        y = mx.sym.relu(mx.sym.broadcast_div(h, mx.sym.sqrt(variance + 1e-5))) + y
    return y


def reductions(count: int) -> Symbol:
    x = mx.sym.Variable("x")
    return mx.sym.add_n(*[mx.sym.sum(x * float(i), axis=1) for i in range(count)])


def written_for_gpu(symbol: Symbol, shape: tuple[int, ...]) -> None:
    """Everything up to the text of the kernels, which no device is needed for."""
    dtypes = {name: BY_NAME["float32"] for name in symbol.list_inputs()}
    plan = plan_for_gpu(symbol, {"x": shape}, dtypes)
    for kernel in plan.kernels:
        triton_source.write(kernel, plan.layouts, H100)


def bound(symbol: Symbol, shape: tuple[int, ...] = (1,)) -> mx.Executor:
    return symbol.bind(mx.cpu(), {name: mx.nd.ones(shape) for name in symbol.list_arguments()})


# What is made beforehand, and what is then done with it.
Stage = tuple[Callable[[int], Any], Callable[[Any], Any]]
STAGES: dict[str, Stage] = {
    "build": (int, chain),
    "list_arguments": (chain, Symbol.list_arguments),
    "list_outputs": (lambda n: chain(n).get_internals(), Symbol.list_outputs),
    "get_internals": (chain, Symbol.get_internals),
    "infer_shape": (chain, lambda y: y.infer_shape(x=(2, 3))),
    "infer_type": (chain, lambda y: y.infer_type(x="float32")),
    "tojson": (chain, Symbol.tojson),
    "load_json": (lambda n: chain(n).tojson(), mx.sym.load_json),
    "copy": (chain, copy.copy),
    "pickle": (chain, lambda y: pickle.loads(pickle.dumps(y))),
    "attr_dict": (chain, Symbol.attr_dict),
    "debug_str": (chain, Symbol.debug_str),
    "compose": (chain, lambda y: y(x=mx.sym.Variable("z"))),
    "bind": (chain, bound),
    "executor.debug_str": (lambda n: bound(chain(n)), mx.Executor.debug_str),
    "executor.reshape": (lambda n: bound(chain(n)), lambda e: e.reshape(x=(1,))),
    "executor.forward": (lambda n: bound(chain(n)), mx.Executor.forward),
    "a wide group is iterated": (wide, list),
    "a wide group is shown": (wide, repr),
    "a wide group is inferred": (wide, lambda y: y.infer_shape(x=(1,))),
    "a wide group is saved and loaded": (wide, lambda y: mx.sym.load_json(y.tojson())),
    "a wide group is bound": (wide, bound),
    "its outputs by name": (lambda n: bound(wide(n)), lambda e: e.output_dict),
    "a sum is built": (variables, lambda given: mx.sym.add_n(*given)),
    "a sum is inferred": (
        lambda n: (sum_of(n), dict.fromkeys(names(n), (1,))),
        lambda given: given[0].infer_shape(**given[1]),
    ),
    "a sum is inferred from one": (sum_of, lambda y: y.infer_shape(v0=(1,))),
    "a sum's dtypes are inferred": (
        lambda n: (sum_of(n), dict.fromkeys(names(n), "float32")),
        lambda given: given[0].infer_type(**given[1]),
    ),
    "a sum is loaded": (lambda n: sum_of(n).tojson(), mx.sym.load_json),
    "a sum is bound": (
        lambda n: (sum_of(n), ones(n)),
        lambda given: given[0].bind(mx.cpu(), given[1]),
    ),
    "a sum is bound simply": (
        lambda n: (sum_of(n), dict.fromkeys(names(n), (1,))),
        lambda given: given[0].simple_bind(mx.cpu(), **given[1]),
    ),
    "a sum is run with new values": (
        lambda n: (bound(sum_of(n)), ones(n)),
        lambda given: given[0].forward(**given[1]),
    ),
    "parameters are copied": (
        lambda n: (bound(sum_of(n)), ones(n)),
        lambda given: given[0].copy_params_from(given[1]),
    ),
    "a sum is reshaped": (
        lambda n: (bound(sum_of(n)), dict.fromkeys(names(n), (1,))),
        lambda given: given[0].reshape(**given[1]),
    ),
    "a sum is composed": (
        lambda n: (sum_of(n), dict(zip(names(n), variables(n), strict=True))),
        lambda given: given[0](**given[1]),
    ),
    "pieces are listed": (pieces, Symbol.list_outputs),
    "pieces are loaded": (lambda n: pieces(n).tojson(), mx.sym.load_json),
    "pieces are bound": (lambda n: (pieces(n), n), lambda given: bound(given[0], (given[1],))),
    "rows are bound": (row_chain, lambda y: bound(y, (4, 4))),
    "rows are shown": (lambda n: bound(row_chain(n), (4, 4)), mx.Executor.debug_str),
    "one value under many names is bound": (same_values, bound),
    "a value that is read often is bound": (one_value_read_often, bound),
    "layers are written for a GPU": (layers, lambda y: written_for_gpu(y, (4, 4))),
    "reductions are written for a GPU": (reductions, lambda y: written_for_gpu(y, (4, 4))),
    "long rows are written for a GPU": (reductions, lambda y: written_for_gpu(y, (4, 5000))),
    "a wide group is written for a GPU": (wide, lambda y: written_for_gpu(y, (4, 4))),
    "shapes follow backwards": (backwards, lambda y: y.infer_shape(v0=(1,))),
}


def count_twice(stage: Stage, sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> float:
    """How many times as much work the second size takes."""
    prepare, action = stage
    counts = []
    for size in sizes:
        action(prepare(size))  # what is computed once is computed here
        given = prepare(size)
        counts.append(work(lambda given=given: action(given), monkeypatch))
    return counts[1] / counts[0]


@pytest.mark.parametrize("stage", STAGES)
def test_twice_the_size_is_twice_the_work(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_twice(STAGES[stage], (200, 400), monkeypatch) <= 2.5


# What walks from an output to the inputs; each level of a diamond has twice as many paths.
WALKS = (
    *("list_arguments", "get_internals", "infer_shape", "infer_type", "tojson", "copy", "pickle"),
    *("attr_dict", "debug_str", "compose", "bind"),
)


@pytest.mark.parametrize("stage", WALKS)
def test_twice_the_levels_are_twice_the_work(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, action = STAGES[stage]
    assert count_twice((diamond, action), (9, 18), monkeypatch) <= 2.5


# ---- a long one ----------------------------------------------------------------------------------


def test_a_long_chain_goes_through_every_call(tmp_path: Path) -> None:
    gc.collect()
    interned = len(expr._interned)
    y = chain(LONG)
    last = f"_plusscalar{LONG - 1}"
    assert repr(y) == f"<Symbol {last}>"
    assert y.list_arguments() == y.list_inputs() == ["x"]
    assert y.list_auxiliary_states() == []
    assert y.list_outputs() == [f"{last}_output"]
    internals = y.get_internals()
    assert len(internals) == LONG + 1
    assert internals.list_outputs()[1] == "_plusscalar0_output"
    assert len(y.get_children()) == 1
    assert len(y.get_inputs()) == 1
    assert y.infer_shape(x=(2, 3)) == ([(2, 3)], [(2, 3)], [])
    assert y.infer_shape_partial(x=(2, 0))[1] == [(2, 0)]
    assert y.infer_type(x="float64") == ([np.float64], [np.float64], [])
    assert len(y.attr_dict()) == LONG
    assert y.debug_str().count("Op:_plus_scalar") == LONG

    text = y.tojson()
    y.save(str(tmp_path / "chain.json"))
    loaded = mx.sym.load(str(tmp_path / "chain.json"))  # by way of load_json
    assert loaded.list_outputs() == y.list_outputs()
    assert loaded.tojson() == text
    for other in (copy.copy(y), copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        assert other.list_outputs() == y.list_outputs()
        assert len(other.get_internals()) == LONG + 1
    composed = loaded(x=mx.sym.Variable("z"))
    assert composed.list_arguments() == ["z"]

    executor = y.bind(mx.cpu(), {"x": mx.nd.zeros((2,), dtype="float64")})
    assert executor.forward()[0].asnumpy().tolist() == [LONG, LONG]
    assert f"add and {LONG - 12} more" in executor.debug_str() or "more" in executor.debug_str()
    smaller = executor.reshape(x=(1,))
    assert smaller.forward()[0].asnumpy().tolist() == [LONG]
    del executor, smaller, internals, loaded, composed, other, y
    gc.collect()
    assert len(expr._interned) == interned


def test_what_is_read_twice_is_walked_once(tmp_path: Path) -> None:
    """60 times y + y has 2**60 paths from the output to the input."""
    levels = 60
    y = diamond(levels)
    assert y.list_arguments() == ["x"]
    assert len(y.get_internals()) == levels + 1
    assert y.infer_shape(x=(2,))[1] == [(2,)]
    assert y.infer_type(x="float64")[1] == [np.float64]
    assert len(y.attr_dict()) == 0
    assert y.debug_str().count("Op:") == levels
    y.save(str(tmp_path / "diamond.json"))
    for other in (
        mx.sym.load(str(tmp_path / "diamond.json")),
        copy.copy(y),
        copy.deepcopy(y),
        pickle.loads(pickle.dumps(y)),
        y(x=mx.sym.Variable("x")),
    ):
        assert len(other.get_internals()) == levels + 1
    executor = y.bind(mx.cpu(), {"x": mx.nd.ones((1,), dtype="float64")})
    assert executor.forward()[0].asscalar() == 2.0**levels
    assert len(executor.plan.kernels) == 1
    assert len(executor.reshape(x=(1,)).forward()) == 1


# ---- a wide one ----------------------------------------------------------------------------------


def test_a_wide_group_goes_through_every_call() -> None:
    x = mx.sym.Variable("x")
    group = mx.sym.Group([x + float(i) for i in range(WIDE)])
    assert len(group) == group.num_outputs == WIDE
    assert repr(group).startswith("<Symbol group [_plusscalar")
    names = group.list_outputs()
    assert len(set(names)) == WIDE
    assert group[names[-1]].list_outputs() == [group[WIDE - 1].list_outputs()[0]]
    assert len(list(group)) == WIDE
    assert len(group.get_internals()) == WIDE + 1
    assert group.infer_shape(x=(1,))[1] == [(1,)] * WIDE
    again = mx.sym.load_json(group.tojson())
    assert again.list_outputs() == names
    assert copy.copy(group).list_outputs() == names
    executor = again.bind(mx.cpu(), {"x": mx.nd.zeros((1,))})
    outputs = executor.forward()
    assert [array.asscalar() for array in outputs[:3]] == [0, 1, 2]
    assert outputs[-1].asscalar() == WIDE - 1
    assert len(executor.output_dict) == WIDE


def test_many_arguments_go_through_every_call() -> None:
    names = [f"v{i}" for i in range(WIDE)]
    total = mx.sym.add_n(*(mx.sym.Variable(name) for name in names))
    assert total.list_arguments() == names
    shapes = dict.fromkeys(names, (1,))
    assert total.infer_shape(**shapes)[1] == [(1,)]
    assert total.infer_shape(v0=(1,))[0] == [(1,)] * WIDE, "one shape says all others"
    assert total.infer_type(**dict.fromkeys(names, "float64"))[1] == [np.float64]
    assert mx.sym.load_json(total.tojson()).list_arguments() == names
    executor = total.simple_bind(mx.cpu(), type_dict=dict.fromkeys(names, "float64"), **shapes)
    executor.copy_params_from({name: mx.nd.ones((1,)) for name in names})
    assert executor.forward()[0].asscalar() == WIDE
    assert executor.forward(v0=mx.nd.zeros((1,)))[0].asscalar() == WIDE - 1
    assert list(executor.arg_dict) == names
    assert len(executor.reshape(**shapes).forward()) == 1
    renamed = total(**{name: mx.sym.Variable(f"w{name}") for name in names})
    assert renamed.list_arguments() == [f"w{name}" for name in names]
