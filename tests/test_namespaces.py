"""MXNet's namespaces of operators: what is there computes, what is not says so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tritonsym as mx
from tritonsym.graph.op import registered

MODULES = pytest.mark.parametrize("module", [mx.sym, mx.nd], ids=["sym", "nd"])


def test_products_of_linalg() -> None:
    x, y = mx.nd.array([[1.0, 2.0]]), mx.nd.array([[3.0], [4.0]])
    assert mx.nd.linalg.gemm2(x, y).asnumpy().tolist() == [[11.0]]
    product = mx.sym.linalg.gemm2(mx.sym.Variable("x"), mx.sym.Variable("y"))
    assert product.eval(x=x, y=y)[0].asnumpy().tolist() == [[11.0]]


def test_sparse_operators_are_those_of_dense_arrays() -> None:
    x = mx.nd.array([[-1.0, 2.0]])
    assert mx.nd.sparse.relu(x).asnumpy().tolist() == [[0.0, 2.0]]
    (found,) = mx.sym.sparse.sum(mx.sym.Variable("x")).eval(x=x)
    assert found.asscalar() == 1.0


@pytest.mark.parametrize("scale", [0.5, mx.nd.array([0.5])], ids=["number", "array"])
def test_adam_with_decay_takes_its_scale_either_way(scale: Any) -> None:
    arrays = [mx.nd.ones((2,)) for _ in range(4)]
    known = mx.nd._internal._adamw_update(*arrays, mx.nd.array([0.5]), lr=0.1, eta=1)
    arrays = [mx.nd.ones((2,)) for _ in range(4)]
    found = mx.nd.contrib.adamw_update(*arrays, scale, 0.1, 1)
    assert (found.asnumpy() == known.asnumpy()).all()
    assert not (arrays[2].asnumpy() == 1).all()  # a state


def test_adam_with_decay_of_symbols() -> None:
    names = ["weight", "grad", "mean", "var"]
    update = mx.sym.contrib.adamw_update(*map(mx.sym.Variable, names), 0.5, lr=0.1, eta=1)
    arrays = [mx.nd.ones((2,)) for _ in names]
    known = mx.nd.contrib.adamw_update(*arrays, 0.5, lr=0.1, eta=1)
    executor = update.simple_bind(mx.cpu(), weight=(2,))
    for array in (*executor.arg_arrays, *executor.aux_arrays):
        array[:] = 1
    np.testing.assert_array_equal(executor.forward()[0].asnumpy(), known.asnumpy())


@MODULES
def test_members_are_documented_under_their_short_names(module: Any) -> None:
    for space in (module.linalg, module.contrib, module.sparse):
        members = {name: value for name, value in vars(space).items() if callable(value)}
        members.pop("__getattr__")
        assert members
        for name, function in members.items():
            if name in registered():
                assert function.__name__ == name
            assert function.__doc__


@MODULES
@pytest.mark.parametrize("name", ["image", "np", "npx", "ROIAlign", "contribs"])
def test_what_is_not_there_is_not_mistaken_for_something_else(module: Any, name: str) -> None:
    with pytest.raises(AttributeError, match="neither an operator nor a namespace") as caught:
        getattr(module, name)
    assert "did you mean" not in str(caught.value)


@MODULES
@pytest.mark.parametrize("space", ["linalg", "contrib", "sparse"])
def test_a_namespace_names_itself(module: Any, space: str) -> None:
    with pytest.raises(AttributeError, match=rf"{space}' has no attribute 'box_nms'"):
        _ = getattr(module, space).box_nms
    with pytest.raises(AttributeError, match=rf"{space}' has no attribute 'Convolution', but"):
        _ = getattr(module, space).Convolution


@MODULES
def test_operators_are_found_apart_from_other_functions(module: Any) -> None:
    assert module.op.exp is module.exp and module.op.FullyConnected is module.FullyConnected
    assert not hasattr(module.op, "load") and not hasattr(module.op, "_plus_scalar")


def test_operators_without_parameters_are_told_a_context() -> None:
    x = mx.nd.array([-1, 2])
    assert mx.nd.zeros_like(x, ctx=mx.cpu()).asnumpy().tolist() == [0, 0]
    assert mx.nd.relu(x, ctx=mx.cpu()).asnumpy().tolist() == [0, 2]
    with pytest.raises(mx.MXNetError, match="cannot find argument 'ctx'"):
        mx.nd.sum(x, ctx=mx.cpu())


def test_programs_ask_for_the_names_and_attributes_that_new_symbols_get() -> None:
    outer = mx.name.NameManager.current
    with mx.name.Prefix("part_") as names, mx.AttrScope(__group__="one"):
        assert mx.name.NameManager.current is names.current is names
        with ThreadPoolExecutor(1) as another_thread:
            of_thread = another_thread.submit(lambda: mx.name.NameManager.current).result()
        assert of_thread is not names and of_thread is not outer
        assert mx.name.NameManager.current.get(None, "dense") == "part_dense0"
        assert mx.AttrScope.current.get({"__other__": "2"}) == {
            "__group__": "one",
            "__other__": "2",
        }
    assert mx.name.NameManager.current is outer
    assert mx.AttrScope.current.get(None) == {}


@pytest.mark.parametrize(
    ("made", "given"),
    [("zeros", (2,)), ("ones", (2,)), ("full", (2, 3)), ("eye", (2,))],
)
def test_constants_are_told_a_context_a_name_and_attributes(made: str, given: Any) -> None:
    symbol = getattr(mx.sym, made)(*given, ctx=mx.cpu(), name="c", attr={"__k__": "1"})
    assert symbol.list_outputs() == ["c_output"]
    assert symbol.attr("ctx") == "cpu(0)"
    assert symbol.attr("__k__") == "1"
    plain = getattr(mx.sym, made)(*given)
    assert np.array_equal(symbol.eval()[0].asnumpy(), plain.eval()[0].asnumpy())
    with pytest.raises(mx.MXNetError, match="'shapes'"):
        getattr(mx.sym, made)(*given, shapes=3)
