"""`mx.test_utils`: comparing, random arrays, and running a symbol once, for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .bind import bind
from .context import Context, current_context
from .dtype import FLOAT16, FLOAT32, FLOAT64, as_dtype
from .ndarray.core import NDArray
from .ndarray.create import array
from .symbol.core import Symbol

# Relative and absolute tolerances by dtype, as MXNet 1.9.1 has them.
_RELATIVE = {FLOAT16: 1e-2, FLOAT32: 1e-4, FLOAT64: 1e-5}
_ABSOLUTE = {FLOAT16: 1e-1, FLOAT32: 1e-3, FLOAT64: 1e-20}


def default_context() -> Context:
    """The context that tests run on: the current one."""
    return current_context()


def default_dtype() -> Any:
    """The dtype of random arrays."""
    return np.float32


def _numpy(value: Any) -> np.ndarray[Any, Any]:
    return value.asnumpy() if isinstance(value, NDArray) else np.asarray(value)


def same(a: Any, b: Any) -> bool:
    """Whether two arrays have the same shape and values."""
    return np.array_equal(_numpy(a), _numpy(b))


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
    location: Sequence[Any] | Mapping[str, Any],
    expected: Sequence[Any] | Mapping[str, Any],
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
    """
    context = ctx or default_context()
    names = sym.list_arguments()
    given = location if isinstance(location, Mapping) else dict(zip(names, location, strict=True))
    if isinstance(expected, Mapping):
        expected = [expected[name] for name in sym.list_outputs()]
    arrays = {
        name: value if isinstance(value, NDArray) else array(value, context, dtype)
        for name, value in given.items()
    }
    outputs = bind(sym, context, arrays, aux_states=aux_states).forward()
    for name, output, wanted in zip(sym.list_outputs(), outputs, expected, strict=True):
        assert_almost_equal(wanted, output, rtol, atol, ("expected", name), equal_nan)
    return [output.asnumpy() for output in outputs]
