"""Making arrays: from values, from other libraries, from files; functions of arrays and numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.dlpack

from ..context import Context, as_context, context_of, torch_device
from ..expressions.reference import Tensor
from ..foundation.allocation import allocating
from ..foundation.dtype import FLOAT32, DType, as_dtype
from ..foundation.errors import MXNetError
from ..foundation.shape import Shape, array_shape
from ..foundation.text import shown
from ..graph import frontend
from ..ops.elementwise import NOT_COMMUTATIVE
from . import params_file
from .core import NDArray, apply_binary, invoke, invoke_one, tensor_of
from .values import as_number, check_dense, converted


def filled(
    shape: Shape, value: float, dtype: DType, context: Context, what: str = "an array"
) -> NDArray:
    """A new array of one value.

    Raises:
        MXNetError: there is not as much memory; it names ``what``.
    """
    size = math.prod(shape) * dtype.itemsize
    with allocating(size, lambda: f"{what} of shape {shown(shape)} and dtype {dtype}"):
        number = converted(value, dtype)
        tensor = torch.full(shape, number, dtype=dtype.torch, device=torch_device(context))
    return NDArray(tensor, context)


def array(source_array: Any, ctx: Context | None = None, dtype: Any = None) -> NDArray:
    """A new array with these values.

    Args:
        source_array: an array of any library, a number, or nested lists.
        ctx: where; the current context if not given.
        dtype: float32 if not given, but an NDArray's own for an NDArray.

    Raises:
        TypeError: the source is no array, or the context none.
        MXNetError: a dtype that is not supported.
    """
    context = as_context(ctx)
    own = source_array._tensor.dtype if isinstance(source_array, NDArray) else FLOAT32
    wanted = as_dtype(own if dtype is None else dtype)
    source = tensor_of(source_array, "source_array must be array like object: it")
    with allocating(source.numel() * wanted.itemsize, lambda: "an array"):
        # Converted on the CPU, so that numbers out of range become the same everywhere.
        tensor = torch.empty(source.shape or (1,), dtype=wanted.torch).copy_(source)
        return NDArray(tensor.to(torch_device(context)), context)


def from_torch(tensor: Tensor) -> NDArray:
    """An array on a tensor's own memory: what is written to one is seen in the other.

    Raises:
        TypeError: it is no tensor.
        MXNetError: it is of a dtype, on a device or in a form that arrays cannot have.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"from_torch needs a torch tensor, got {type(tensor)}")
    as_dtype(tensor.dtype)
    if tensor.device.type not in ("cpu", "cuda") or tensor.layout is not torch.strided:
        raise MXNetError(f"a tensor on {tensor.device}, {tensor.layout}, cannot be an NDArray")
    if tensor.is_neg():
        raise MXNetError("the tensor's memory holds the values with the other sign, as views of "
                         "conjugates do: give tensor.resolve_neg()")  # fmt: skip
    plain = tensor.detach()
    return NDArray(plain.reshape(1) if plain.ndim == 0 else plain, context_of(tensor))


def from_numpy(ndarray: np.ndarray[Any, Any], zero_copy: bool = True) -> NDArray:
    """An array on a numpy array's own memory, or with ``zero_copy=False`` a copy of it.

    Raises:
        TypeError: it is no numpy array.
        MXNetError: a dtype that arrays cannot have.
        ValueError: the memory is read-only or not contiguous, so that it cannot be shared.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy needs a numpy array, got {type(ndarray)}")
    as_dtype(ndarray.dtype)
    if not zero_copy:
        return array(ndarray, dtype=ndarray.dtype)
    if not (ndarray.flags.writeable and ndarray.flags.c_contiguous):
        raise ValueError("only writable, contiguous memory can be shared; use zero_copy=False")
    return from_torch(torch.from_numpy(ndarray))


def from_dlpack(tensor: Any) -> NDArray:
    """An array on the memory of any object that has ``__dlpack__``, or of a capsule of it.

    Raises:
        TypeError: it has none.
        MXNetError: it is of a dtype or on a device that arrays cannot have.
    """
    if not hasattr(tensor, "__dlpack__") and type(tensor).__name__ != "PyCapsule":
        raise TypeError(f"from_dlpack needs an object with __dlpack__, got {type(tensor)}")
    return from_torch(torch.utils.dlpack.from_dlpack(tensor))


def to_dlpack_for_read(data: NDArray) -> Any:
    """A capsule of an array's memory; see :meth:`NDArray.to_dlpack_for_read`."""
    return data.to_dlpack_for_read()


to_dlpack_for_write = to_dlpack_for_read


def empty(
    shape: Any, ctx: Context | None = None, dtype: Any = None, stype: str | None = None
) -> NDArray:
    """An array whose values are not set."""
    return zeros(shape, ctx, dtype, stype)


def zeros(
    shape: Any,
    ctx: Context | None = None,
    dtype: Any = None,
    stype: str | None = None,
    **kwargs: Any,
) -> NDArray:
    """Zeros; float32 if no dtype is given.

    Raises:
        ValueError: ``stype`` says that they are stored sparsely.
    """
    check_dense(stype)
    return full(shape, 0, ctx, dtype, **kwargs)


def ones(shape: Any, ctx: Context | None = None, dtype: Any = None, **kwargs: Any) -> NDArray:
    """Ones; float32 if no dtype is given."""
    return full(shape, 1, ctx, dtype, **kwargs)


def full(
    shape: Any,
    val: float,
    ctx: Context | None = None,
    dtype: Any = None,
    out: NDArray | None = None,
) -> NDArray:
    """One value everywhere; float32 if no dtype is given.

    Raises:
        TypeError: the value is no number, the context none, or ``out`` no array.
        MXNetError: the shape, or the memory that it takes, cannot be had.
    """
    if out is not None and not isinstance(out, NDArray):
        raise TypeError(f"full: out needs an NDArray, got {type(out)}")
    context = as_context(ctx) if out is None or ctx is not None else out.context
    number, wanted = as_number(val, "full"), as_dtype(dtype or FLOAT32)
    made = filled(array_shape(shape), number, wanted, context)
    return made if out is None else made.copyto(out)


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1.0,
    repeat: int = 1,
    infer_range: bool = False,
    ctx: Context | None = None,
    dtype: Any = None,
) -> NDArray:
    """``start``, ``start + step``, ... below ``stop``, each ``repeat`` times; float32."""
    given = {"start": start, "stop": stop, "step": step, "repeat": repeat}
    made = invoke_one("_arange", (), {**given, "dtype": as_dtype(dtype or FLOAT32)})
    return made.as_in_context(as_context(ctx))


def eye(
    N: int,
    M: int = 0,
    k: int = 0,
    ctx: Context | None = None,
    dtype: Any = None,
) -> NDArray:
    """Ones on the ``k``-th diagonal of ``N`` rows and ``M`` columns."""
    made = invoke_one("_eye", (), {"N": N, "M": M, "k": k, "dtype": dtype or "float32"})
    return made.as_in_context(as_context(ctx))


def linspace(
    start: float,
    stop: float,
    num: int,
    endpoint: bool = True,
    ctx: Context | None = None,
    dtype: Any = None,
) -> NDArray:
    """``num`` values at equal distances from ``start``: to ``stop``, or below it."""
    given = {"start": start, "stop": stop, "num": num, "endpoint": endpoint}
    made = invoke_one("_linspace", (), {**given, "dtype": dtype or "float32"})
    return made.as_in_context(as_context(ctx))


def onehot_encode(indices: NDArray, out: NDArray) -> NDArray:
    """``out``, in whose rows the elements at ``indices`` are 1, and the others 0.

    Raises:
        TypeError: no arrays.
        ValueError: ``out`` has not a row for each index.
    """
    if not isinstance(indices, NDArray) or not isinstance(out, NDArray):
        raise TypeError(f"onehot_encode needs NDArrays, got {type(indices)} and {type(out)}")
    if out.ndim != 2 or indices.shape != out.shape[:1]:
        raise ValueError(f"indices of shape {indices.shape} do not fit rows of shape {out.shape}")
    given = {"depth": out.shape[1], "dtype": as_dtype(out.dtype).name}
    out[:] = invoke_one("one_hot", (indices,), given)
    return out


def concatenate(arrays: Sequence[NDArray], axis: int = 0, always_copy: bool = True) -> NDArray:
    """The arrays one after the other along ``axis``.

    Raises:
        TypeError: no list of arrays.
        ValueError: an empty one.
        MXNetError: shapes or dtypes that do not fit.
    """
    if not isinstance(arrays, (list, tuple)):
        raise TypeError(f"concatenate needs a list of NDArrays, got {type(arrays)}")
    if not arrays:
        raise ValueError("concatenate needs at least one array")
    if len(arrays) == 1 and not always_copy:
        return arrays[0]
    return invoke_one("Concat", list(arrays), {"dim": axis})


def moveaxis(
    tensor: NDArray, source: int | Sequence[int], destination: int | Sequence[int]
) -> NDArray:
    """Axes moved to other places, as numpy does it; a copy.

    Raises:
        TypeError: no array.
        ValueError: an axis that it does not have, or lists of two lengths.
    """
    if not isinstance(tensor, NDArray):
        raise TypeError(f"moveaxis needs an NDArray, got {type(tensor)}")
    # Axes that are as long as their places tell where each has gone.
    places = np.broadcast_to(0, range(tensor.ndim))
    axes = np.moveaxis(places, source, destination).shape
    return invoke_one("transpose", (tensor,), {"axes": axes})


def save(fname: str | Path, data: Any) -> None:
    """Write arrays in MXNet's format: one array, a list of them, or a dict by name.

    Raises:
        TypeError, ValueError: something else than arrays.
    """
    if isinstance(data, NDArray):
        data = [data]
    if isinstance(data, dict):
        names, arrays = list(data), list(data.values())
        if any(not isinstance(name, str) for name in names):
            raise TypeError("save only accept dict str->NDArray or list of NDArray")
    elif isinstance(data, list):
        names, arrays = [], data
    else:
        raise ValueError(f"data needs to either be a NDArray, dict or list, got {type(data)}")
    if any(not isinstance(item, NDArray) for item in arrays):
        raise TypeError("save only accept dict str->NDArray or list of NDArray")
    tensors = [item._tensor for item in arrays]
    params_file.write(fname, tensors, [item.context for item in arrays], names)


def load(fname: str | Path) -> Any:
    """The arrays of a file in MXNet's format, on ``cpu(0)``: a dict by name, or a list.

    Raises:
        MXNetError: the file cannot be read, is damaged, or claims more than it holds.
    """
    return _loaded(params_file.read(fname))


def load_frombuffer(buf: bytes) -> Any:
    """:func:`load` from bytes."""
    return _loaded(params_file.parse(buf))


def _loaded(items: Sequence[tuple[str | None, Tensor, Context]]) -> Any:
    arrays = [NDArray(tensor, Context("cpu", 0)) for _, tensor, _ in items]
    if any(name is not None for name, _, _ in items):
        return {name: found for (name, _, _), found in zip(items, arrays, strict=True)}
    return arrays


def waitall() -> None:
    """Return when everything that was started is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def split_v2(
    ary: NDArray,
    indices_or_sections: int | Sequence[int],
    axis: int = 0,
    squeeze_axis: bool = False,
) -> Any:
    """The parts of an array along ``axis``: so many equal ones, or cut before these indices."""
    return invoke(
        "_split_v2", (ary,), frontend.split_parameters(indices_or_sections, axis, squeeze_axis)
    )


def adamw_update(
    weight: NDArray,
    grad: NDArray,
    mean: NDArray,
    var: NDArray,
    rescale_grad: Any,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """The operator ``_adamw_update``, whose ``rescale_grad`` may be a number as well."""
    if isinstance(rescale_grad, frontend.Number):
        rescale_grad = full((1,), float(rescale_grad), weight.context)
    out = kwargs.pop("out", None)
    arrays = weight, grad, mean, var, rescale_grad
    return invoke("_adamw_update", (*arrays, *args), kwargs, out)


# ---- functions of two values, either of which may be a number ----------------------------------


def _function_of_two(
    name: str, stem: str, on_numbers: Callable[[Any, Any], Any]
) -> Callable[[Any, Any], Any]:
    def function(lhs: Any, rhs: Any) -> Any:
        if isinstance(lhs, NDArray):
            return apply_binary(lhs, rhs, stem)
        if isinstance(rhs, NDArray):
            swapped = _SWAPPED.get(stem, stem)
            return apply_binary(rhs, lhs, swapped, reflected=stem in NOT_COMMUTATIVE)
        if isinstance(lhs, Number) and isinstance(rhs, Number):
            return on_numbers(lhs, rhs)
        raise TypeError(f"{name} needs arrays and numbers, got {type(lhs)} and {type(rhs)}")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Elementwise {stem} of arrays and numbers, broadcast."
    return function


_SWAPPED = {
    "greater": "lesser",
    "lesser": "greater",
    "greater_equal": "lesser_equal",
    "lesser_equal": "greater_equal",
}
_FUNCTIONS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "add": ("add", operator.add),
    "subtract": ("sub", operator.sub),
    "multiply": ("mul", operator.mul),
    "divide": ("div", operator.truediv),
    "true_divide": ("div", operator.truediv),
    "modulo": ("mod", operator.mod),
    "maximum": ("maximum", max),
    "minimum": ("minimum", min),
    "equal": ("equal", operator.eq),
    "not_equal": ("not_equal", operator.ne),
    "greater": ("greater", operator.gt),
    "greater_equal": ("greater_equal", operator.ge),
    "lesser": ("lesser", operator.lt),
    "lesser_equal": ("lesser_equal", operator.le),
    "logical_and": ("logical_and", lambda a, b: bool(a) and bool(b)),
    "logical_or": ("logical_or", lambda a, b: bool(a) or bool(b)),
    "logical_xor": ("logical_xor", lambda a, b: bool(a) != bool(b)),
}
_power = _function_of_two("power", "power", operator.pow)


def power(base: Any, exp: Any) -> Any:
    """``base ** exp`` of arrays and numbers, broadcast."""
    return _power(base, exp)


FUNCTIONS_OF_TWO: dict[str, Callable[[Any, Any], Any]] = {
    **{name: _function_of_two(name, *rest) for name, rest in _FUNCTIONS.items()},
    "power": power,
}
