"""`mx.test_utils`: comparing, random arrays, and running a symbol once, for tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import context as contexts
from .binding.bind import bind
from .binding.executor import Executor
from .context import Context, current_context
from .foundation.dtype import FLOAT16, FLOAT32, FLOAT64, as_dtype
from .ndarray.core import NDArray
from .ndarray.create import array, zeros
from .symbol.core import Symbol

# Relative and absolute tolerances by dtype, as MXNet 1.9.1 has them.
_RELATIVE = {FLOAT16: 1e-2, FLOAT32: 1e-4, FLOAT64: 1e-5}
_ABSOLUTE = {FLOAT16: 1e-1, FLOAT32: 1e-3, FLOAT64: 1e-20}

# Of central differences: twice the step, and the relative and absolute tolerance.
_NUMERIC = {
    FLOAT16: (1e-1, 1e-1, 1e-1),
    FLOAT32: (1e-2, 1e-2, 1e-2),
    FLOAT64: (1e-5, 1e-5, 1e-7),
}
# Values in order, or by name.
Values = Sequence[Any] | Mapping[str, Any]


def default_context() -> Context:
    """The context that tests run on: the current one."""
    return current_context()


def set_default_context(ctx: Context) -> None:
    """Run tests on this context, until another one is set."""
    contexts.set_default_context(ctx)


def list_gpus() -> range:
    """The numbers of the GPUs that there are."""
    return range(contexts.num_gpus())


@contextmanager
def environment(*given: Any) -> Iterator[None]:
    """Set variables of the process's environment within a ``with``; None removes one.

    They are given as a name and its value, or as a dict; else there is an AssertionError.
    """
    named = given[0] if len(given) == 1 else None
    assert len(given) == 2 or isinstance(named, dict), "needs a dict, or a name and its value"
    wanted = dict([given]) if named is None else named
    before = {name: os.environ.get(name) for name in wanted}
    _set_environment(wanted)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def default_dtype() -> Any:
    """The dtype of random arrays."""
    return np.float32


def _numpy(value: Any) -> np.ndarray[Any, Any]:
    return value.asnumpy() if isinstance(value, NDArray) else np.asarray(value)


def same(a: Any, b: Any) -> bool:
    """Whether two arrays have the same shape and values."""
    return np.array_equal(_numpy(a), _numpy(b))


def same_array(array1: NDArray, array2: NDArray) -> bool:
    """Whether two arrays are on the same memory: what is written to one is read from the other."""
    kept = array1.copy()
    array1 += 1
    shared = same(array1, array2)
    array1[:] = kept
    return shared and same(array1, array2)


def get_rtol(rtol: float | None = None, dtype: Any = np.float64) -> float:
    """The relative tolerance given, or that of a dtype; whole numbers have none."""
    return _RELATIVE.get(as_dtype(dtype), 0.0) if rtol is None else rtol


def get_atol(atol: float | None = None, dtype: Any = np.float64) -> float:
    """The absolute tolerance given, or that of a dtype; whole numbers have none."""
    return _ABSOLUTE.get(as_dtype(dtype), 0.0) if atol is None else atol


def get_tolerances(a: Any, b: Any, rtol: float | None, atol: float | None) -> tuple[float, float]:
    """The tolerances given, or those of the less precise of two arrays' dtypes."""
    kinds = [as_dtype(value.dtype) for value in (_numpy(a), _numpy(b))]
    floats = [kind for kind in kinds if kind in _RELATIVE] or [FLOAT32]
    coarsest = min(floats, key=lambda kind: kind.itemsize)
    return (
        _RELATIVE[coarsest] if rtol is None else rtol,
        _ABSOLUTE[coarsest] if atol is None else atol,
    )


def almost_equal(
    a: Any,
    b: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
) -> bool:
    """Whether two arrays agree within ``atol + rtol * abs(b)``."""
    rtol, atol = get_tolerances(a, b, rtol, atol)
    return np.allclose(_numpy(a), _numpy(b), rtol=rtol, atol=atol, equal_nan=equal_nan)


def assert_almost_equal(
    a: Any,
    b: Any,
    rtol: float | None = None,
    atol: float | None = None,
    names: Sequence[str] = ("a", "b"),
    equal_nan: bool = False,
) -> None:
    """Raise AssertionError, with the worst element, unless two arrays are almost equal."""
    rtol, atol = get_tolerances(a, b, rtol, atol)
    left, right = _numpy(a), _numpy(b)
    np.testing.assert_allclose(
        left, right, rtol, atol, equal_nan=equal_nan, err_msg=f"{names[0]} differs from {names[1]}"
    )


def assert_allclose(
    a: Any, b: Any, rtol: float = 1e-7, atol: float = 0, equal_nan: bool = True
) -> None:
    """:func:`assert_almost_equal` with numpy's tolerances."""
    assert_almost_equal(a, b, rtol, atol, equal_nan=equal_nan)


def assert_exception(
    function: Callable[..., Any], exception_type: type[BaseException], *args: Any, **kwargs: Any
) -> None:
    """Raise AssertionError unless a call raises this exception."""
    try:
        function(*args, **kwargs)
    except exception_type:
        return
    raise AssertionError(f"{exception_type.__name__} was not raised")


def rand_shape_nd(num_dim: int, dim: int = 10) -> tuple[int, ...]:
    """A random shape with lengths of 1 to ``dim``."""
    return tuple(int(n) for n in np.random.randint(1, dim + 1, size=num_dim))


def rand_shape_2d(dim0: int = 10, dim1: int = 10) -> tuple[int, ...]:
    """A random shape of two axes."""
    return (int(np.random.randint(1, dim0 + 1)), int(np.random.randint(1, dim1 + 1)))


def rand_shape_3d(dim0: int = 10, dim1: int = 10, dim2: int = 10) -> tuple[int, ...]:
    """A random shape of three axes."""
    return (*rand_shape_2d(dim0, dim1), int(np.random.randint(1, dim2 + 1)))


def random_arrays(*shapes: tuple[int, ...]) -> Any:
    """Normal random numpy arrays: one for one shape, else a list."""
    arrays = [np.array(np.random.randn(*shape), dtype=default_dtype()) for shape in shapes]
    return arrays[0] if len(arrays) == 1 else arrays


def rand_ndarray(
    shape: tuple[int, ...], stype: str = "default", dtype: Any = None, ctx: Context | None = None
) -> NDArray:
    """An array of normal random numbers; dense, the only storage there is."""
    if stype != "default":
        raise ValueError(f"stype={stype!r} is not supported, only 'default'")
    return array(np.random.randn(*shape), ctx, dtype or default_dtype())


def np_reduce(
    dat: np.ndarray[Any, Any],
    axis: int | Sequence[int] | None,
    keepdims: bool,
    numpy_reduce_func: Callable[..., Any],
) -> np.ndarray[Any, Any]:
    """A numpy reduction over several axes, one after the other."""
    axes = range(dat.ndim) if axis is None else [axis] if isinstance(axis, int) else list(axis)
    result = dat
    for one in sorted((axis % dat.ndim for axis in axes), reverse=True):
        result = numpy_reduce_func(result, axis=one)
    if keepdims:
        shape = [1 if i in axes else n for i, n in enumerate(dat.shape)]
        result = result.reshape(shape)
    return result


def simple_forward(
    sym: Symbol, ctx: Context | None = None, is_train: bool = False, **inputs: Any
) -> Any:
    """The outputs of a symbol on numpy inputs, as numpy arrays: one, or a list."""
    context = ctx or default_context()
    arrays = {name: array(value, context) for name, value in inputs.items()}
    outputs = [output.asnumpy() for output in bind(sym, context, arrays).forward(is_train)]
    return outputs[0] if len(outputs) == 1 else outputs


def check_symbolic_forward(
    sym: Symbol,
    location: Values,
    expected: Values,
    rtol: float | None = None,
    atol: float | None = None,
    aux_states: Any = None,
    ctx: Context | None = None,
    equal_nan: bool = False,
    dtype: Any = np.float32,
) -> list[np.ndarray[Any, Any]]:
    """Bind a symbol to values and compare its outputs with what is expected.

    Args:
        sym: what to run.
        location: the arguments, in order or by name.
        expected: the outputs, in order or by name.

    Returns:
        The outputs.

    Raises:
        AssertionError: an output is not what is expected.
    """
    executor = _bound(sym, location, aux_states, ctx, dtype)
    outputs = executor.forward()
    wanted = _named(expected, sym.list_outputs())
    for name, output in zip(sym.list_outputs(), outputs, strict=True):
        assert_almost_equal(wanted[name], output, rtol, atol, ("expected", name), equal_nan)
    return [output.asnumpy() for output in outputs]


def check_symbolic_backward(
    sym: Symbol,
    location: Values,
    out_grads: Values,
    expected: Values,
    rtol: float | None = None,
    atol: float | None = None,
    aux_states: Any = None,
    grad_req: str | Sequence[str] | Mapping[str, str] = "write",
    ctx: Context | None = None,
    equal_nan: bool = False,
    dtype: Any = np.float32,
) -> list[np.ndarray[Any, Any]]:
    """Bind a symbol to values and compare its gradients with what is expected.

    Args:
        sym: what to differentiate.
        location: the arguments, in order or by name.
        out_grads: the gradients of the outputs, in order or by name.
        expected: the gradients of the arguments, in order, or by name for some of them.
        grad_req: as in ``bind``. Added gradients are added to random numbers, and those of
            ``null`` must stay as they were.

    Returns:
        The gradient arrays.

    Raises:
        AssertionError: a gradient is not what is expected.
    """
    executor = _bound(sym, location, aux_states, ctx, dtype, grad_req)
    before = _scattered(executor)
    executor.forward(is_train=True)
    heads = _named(out_grads, sym.list_outputs())
    context = executor._ctx
    executor.backward({name: _array(head, context, dtype) for name, head in heads.items()})
    wanted = _named(expected, sym.list_arguments())
    for name, value in wanted.items():
        _check_request(executor, name, before, _numpy(value), rtol, atol, equal_nan)
    return [array.asnumpy() for array in executor.grad_dict.values() if array is not None]


def numeric_grad(
    executor: Executor,
    location: Mapping[str, Any],
    heads: Sequence[np.ndarray[Any, Any]],
    eps: float,
    use_forward_train: bool = True,
) -> dict[str, np.ndarray[Any, Any]]:
    """Central differences of the sum of heads times outputs, one element after the other.

    Args:
        executor: a bound symbol; its arguments hold ``location`` again in the end.
        location: the values by name of what is varied.
        heads: one array per output, in its shape.
        eps: twice the step.
        use_forward_train: run as in training.
    """

    def total() -> float:
        outputs = executor.forward(is_train=use_forward_train)
        pairs = zip(outputs, heads, strict=True)
        return sum(float((o.asnumpy().astype(np.float64) * head).sum()) for o, head in pairs)

    found = {}
    for name, value in location.items():
        whole = _numpy(value)
        slopes = np.zeros(whole.shape, np.float64)
        for place in np.ndindex(whole.shape):
            ends = []
            for step in (eps / 2, -eps / 2):
                moved = whole.copy()
                moved[place] += step
                executor.arg_dict[name][:] = moved
                ends.append(total())
            slopes[place] = (ends[0] - ends[1]) / eps
        executor.arg_dict[name][:] = whole
        found[name] = slopes
    return found


def check_numeric_gradient(
    sym: Symbol,
    location: Values,
    aux_states: Any = None,
    numeric_eps: float | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    grad_nodes: Sequence[str] | Mapping[str, str] | None = None,
    use_forward_train: bool = True,
    ctx: Context | None = None,
    dtype: Any = np.float32,
) -> None:
    """Compare a symbol's gradients with central differences, for random gradients of its outputs.

    Args:
        sym: what to differentiate; no loss, since those ignore the gradients of their outputs.
        location: the arguments, in order or by name; away from kinks.
        numeric_eps: twice the step of the differences.
        grad_nodes: which arguments, or what is requested for each: ``write``, ``add``, ``null``.
            All floating-point ones without it.
        use_forward_train: differences of the function as it is in training.

    Raises:
        AssertionError: a gradient is not what the differences say.
    """
    names = sym.list_arguments()
    values = {n: np.asarray(_numpy(v), dtype) for n, v in _named(location, names).items()}
    if grad_nodes is None:
        grad_nodes = names
    requests = (
        dict(grad_nodes) if isinstance(grad_nodes, Mapping) else dict.fromkeys(grad_nodes, "write")
    )
    executor = _bound(sym, values, aux_states, ctx, dtype, requests)
    before = _scattered(executor)
    outputs = executor.forward(is_train=use_forward_train)
    heads = [np.asarray(np.random.uniform(-1, 1, o.shape), dtype) for o in outputs]
    executor.backward([_array(head, executor._ctx, dtype) for head in heads])
    eps, tolerance, least = _NUMERIC[as_dtype(dtype)]
    varied = {name: values[name] for name in requests}
    slopes = numeric_grad(executor, varied, heads, numeric_eps or eps, use_forward_train)
    for name, slope in slopes.items():
        _check_request(executor, name, before, slope, rtol or tolerance, atol or least, False)


def check_consistency(
    sym: Symbol | Sequence[Symbol],
    ctx_list: Sequence[Mapping[str, Any]],
    scale: float = 1.0,
    grad_req: str | Sequence[str] | Mapping[str, str] = "write",
    arg_params: Mapping[str, Any] | None = None,
    aux_params: Mapping[str, Any] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    raise_on_err: bool = True,
    ground_truth: Mapping[str, Any] | None = None,
    equal_nan: bool = False,
) -> dict[str, np.ndarray[Any, Any]]:
    """Run a symbol on several contexts, or in several dtypes, and compare outputs and gradients.

    Args:
        sym: one symbol, or one for each entry of ``ctx_list``.
        ctx_list: keywords of ``simple_bind`` each: ``ctx``, shapes by name, ``type_dict``.
        scale: of the random arguments.
        arg_params, aux_params: values for some of them.
        ground_truth: what is expected; without it the results of the most precise entry.

    Returns:
        What everything was compared with: outputs and gradients by name.

    Raises:
        AssertionError: two differ by more than the less precise one explains.
    """
    symbols = [sym] * len(ctx_list) if isinstance(sym, Symbol) else list(sym)
    executors = [
        one.simple_bind(grad_req=grad_req, **keywords)
        for one, keywords in zip(symbols, ctx_list, strict=True)
    ]
    first = executors[0]
    values = {n: np.random.normal(size=a.shape, scale=scale) for n, a in first.arg_dict.items()}
    values.update(arg_params or {})
    results = []
    for executor in executors:
        for name, place in executor.arg_dict.items():
            place[:] = _numpy(values[name])
        for name, place in executor.aux_dict.items():
            place[:] = _numpy((aux_params or {}).get(name, np.zeros(place.shape, np.float32)))
        outputs = executor.forward(is_train=grad_req != "null")
        found = dict(zip(symbols[0].list_outputs(), (o.asnumpy() for o in outputs), strict=True))
        if grad_req != "null":
            executor.backward(outputs)
            gradients = executor.grad_dict.items()
            found.update({f"{n}_grad": g.asnumpy() for n, g in gradients if g is not None})
        results.append(found)
    precise = max(results, key=lambda found: max(v.dtype.itemsize for v in found.values()))
    truth = dict(ground_truth or precise)
    for found in results:
        for name, value in found.items():
            try:
                assert_almost_equal(value, truth[name], rtol, atol, (name, "truth"), equal_nan)
            except AssertionError:
                if raise_on_err:
                    raise
                print(f"{name} differs: {value} and {truth[name]}")
    return truth


def _named(values: Values, names: Sequence[str]) -> dict[str, Any]:
    """Values by name, from values in order or by name."""
    return dict(values) if isinstance(values, Mapping) else dict(zip(names, values, strict=True))


def _array(value: Any, context: Context, dtype: Any) -> NDArray:
    return value if isinstance(value, NDArray) else array(value, context, dtype)


def _bound(
    sym: Symbol,
    location: Values,
    aux_states: Any,
    ctx: Context | None,
    dtype: Any,
    grad_req: str | Sequence[str] | Mapping[str, str] = "null",
) -> Executor:
    """An executor on copies of these values, with gradient arrays where they are asked for."""
    context = ctx or default_context()
    names = sym.list_arguments()
    made = {n: _array(v, context, dtype) for n, v in _named(location, names).items()}
    states = aux_states
    if states is not None:
        given = _named(states, sym.list_auxiliary_states())
        states = {name: _array(value, context, dtype) for name, value in given.items()}
    gradients = {n: zeros(a.shape, context, a.dtype) for n, a in made.items()}
    return bind(sym, context, made, gradients if grad_req != "null" else None, grad_req, states)


def _scattered(executor: Executor) -> dict[str, np.ndarray[Any, Any]]:
    """Random numbers in every gradient array, and what they are."""
    found = {}
    for name, place in executor.grad_dict.items():
        if place is not None:
            place[:] = np.random.normal(size=place.shape).astype(place.dtype)
            found[name] = place.asnumpy()
    return found


def _check_request(
    executor: Executor,
    name: str,
    before: Mapping[str, np.ndarray[Any, Any]],
    expected: np.ndarray[Any, Any],
    rtol: float | None,
    atol: float | None,
    equal_nan: bool,
) -> None:
    """Compare a gradient array with the gradient that it was asked to hold."""
    match executor._grad_req[name]:
        case "null":
            wanted = before[name]
        case "add":
            wanted = before[name] + expected
        case _:
            wanted = expected
    found = executor.grad_dict[name]
    assert_almost_equal(wanted, found, rtol, atol, ("expected", f"gradient of {name}"), equal_nan)
