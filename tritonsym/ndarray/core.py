"""Arrays on a context: torch tensors with MXNet's manners. What is done to them is done at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from .. import frontend
from ..context import Context, current_context, torch_device
from ..dtype import BFLOAT16, as_dtype
from ..errors import LoweringError, MXNetError
from ..expr import Shape, input_
from ..op import Op, find
from ..ops.movement import reshaped
from ..philox import RandomState, default_state
from ..reference import Tensor, run
from . import params_file
from .indexing import check_fits, converted, indexed, is_everything, store

Number = (int, float, np.generic)


class NDArray:
    """An array of one dtype on one context.

    It wraps a torch tensor, whose memory never changes: whatever is assigned is written into it.
    """

    __slots__ = ("__weakref__", "_context", "_tensor")
    __array_priority__: ClassVar[float] = 1000.0
    __array_ufunc__: ClassVar[None] = None

    def __init__(self, tensor: Tensor, context: Context) -> None:
        self._tensor = tensor
        self._context = context

    # ---- what it is ----

    @property
    def shape(self) -> Shape:
        return tuple(self._tensor.shape)

    @property
    def size(self) -> int:
        return self._tensor.numel()

    @property
    def ndim(self) -> int:
        return self._tensor.ndim

    @property
    def dtype(self) -> Any:
        """numpy's scalar class, such as ``numpy.float32``; for bfloat16 torch's dtype."""
        found = as_dtype(self._tensor.dtype)
        return torch.bfloat16 if found is BFLOAT16 else found.numpy

    @property
    def context(self) -> Context:
        return self._context

    ctx = context

    @property
    def stype(self) -> str:
        """How it is stored: always ``default``, that is dense."""
        return "default"

    @property
    def T(self) -> NDArray:
        """The axes reversed, as a copy; a vector is itself."""
        return self if self.ndim < 2 else invoke_one("transpose", (self,))

    def __repr__(self) -> str:
        return f"<NDArray {'x'.join(map(str, self.shape))} @{self._context}>"

    def __str__(self) -> str:
        return f"\n{self.asnumpy()!s}\n{self!r}"

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size == 1:
            return bool(self.asscalar())
        raise ValueError("The truth value of an NDArray with multiple elements is ambiguous.")

    __hash__ = object.__hash__

    # ---- to and from other libraries ----

    def asnumpy(self) -> np.ndarray[Any, Any]:
        """A copy as a numpy array; bfloat16, which numpy lacks, comes as float32."""
        tensor = self._tensor.detach()
        if tensor.dtype is torch.bfloat16:
            tensor = tensor.float()
        return np.array(tensor.cpu().numpy())

    def asscalar(self) -> Any:
        """The only element.

        Raises:
            ValueError: there are several.
        """
        if self.size != 1:
            raise ValueError("The current array is not a scalar")
        return self.asnumpy().reshape(-1)[0]

    def item(self) -> Any:
        """The only element as a Python number."""
        return self.asscalar().item()

    def tolist(self) -> Any:
        """The elements as nested lists."""
        return self.asnumpy().tolist()

    def to_torch(self) -> Tensor:
        """The torch tensor itself: what is written to one is seen in the other."""
        return self._tensor

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("an NDArray becomes a numpy array by a copy only")
        return self.asnumpy() if dtype is None else self.asnumpy().astype(dtype)

    def __dlpack__(self, **options: Any) -> Any:
        return self._tensor.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._tensor.__dlpack_device__()

    # ---- copies ----

    def copy(self) -> NDArray:
        """A copy on the same context."""
        return NDArray(self._tensor.clone(memory_format=torch.contiguous_format), self._context)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> NDArray:
        return self.copy()

    def copyto(self, other: NDArray | Context) -> NDArray:
        """Copy into another array of this shape, or to a new one on a context."""
        if isinstance(other, Context):
            tensor = self._tensor.to(torch_device(other), copy=True)
            return NDArray(tensor.contiguous(), other)
        if not isinstance(other, NDArray):
            raise TypeError(f"copyto does not support type {type(other)}")
        if other is self:
            warnings.warn("You are attempting to copy an array to itself", RuntimeWarning, 2)
            return self
        if other.shape != self.shape:
            raise MXNetError(f"copyto: shape {self.shape} does not fit into {other.shape}")
        other._tensor.copy_(self._tensor)
        return other

    def as_in_context(self, context: Context) -> NDArray:
        """The array on a context: itself where it is there already."""
        return self if context == self._context else self.copyto(context)

    as_in_ctx = as_in_context

    def astype(self, dtype: Any, copy: bool = True) -> NDArray:
        """The values in another dtype; a copy even for the same one, unless ``copy`` is False."""
        wanted = as_dtype(dtype)
        if wanted.torch == self._tensor.dtype:
            return self.copy() if copy else self
        return invoke_one("Cast", (self,), {"dtype": wanted})

    def detach(self) -> NDArray:
        """The same memory without a history of gradients."""
        return NDArray(self._tensor.detach(), self._context)

    def wait_to_read(self) -> None:
        """Return when the values are there."""
        if self._tensor.is_cuda:
            torch.cuda.synchronize(self._tensor.device)

    def __getstate__(self) -> dict[str, Any]:
        return {"array": params_file.dump([self._tensor], [self._context])}

    def __setstate__(self, state: dict[str, Any]) -> None:
        ((_, tensor, context),) = params_file.parse(state["array"])
        self._tensor, self._context = tensor, context

    # ---- shapes ----

    def reshape(self, *shape: Any, **kwargs: Any) -> NDArray:
        """The same memory in another shape, with the codes of the operator ``Reshape``.

        Raises:
            ValueError: the sizes differ or a code does not fit.
        """
        reverse = bool(kwargs.pop("reverse", False))
        given = kwargs.pop("shape", shape)
        if kwargs:
            raise TypeError(f"reshape got unknown arguments {sorted(kwargs)}")
        if len(given) == 1 and isinstance(given[0], (tuple, list)):
            given = given[0]
        try:
            target = reshaped(self.shape, tuple(int(n) for n in given), reverse)
        except LoweringError as error:
            raise ValueError(str(error)) from None
        return NDArray(self._tensor.view(target), self._context)

    def expand_dims(self, axis: int, inplace: bool = False) -> NDArray:
        """A new axis of length 1: a copy, or with ``inplace`` the same memory."""
        if not inplace:
            return invoke_one("expand_dims", (self,), {"axis": axis})
        return NDArray(self._tensor.unsqueeze(axis), self._context)

    def broadcast_to(self, shape: Shape) -> NDArray:
        """A copy repeated to ``shape``."""
        return invoke_one("broadcast_to", (self,), {"shape": tuple(shape)})

    # ---- elements ----

    def __getitem__(self, key: Any) -> NDArray:
        """Elements by numpy's rules: a view where they lie together, else a copy.

        There are no arrays without axes: one element comes with shape (1,).

        Raises:
            IndexError: an index is out of range.
            ValueError: a key that is no number, slice or array of them.
            MXNetError: nothing is selected.
        """
        if isinstance(key, NDArray) and key._tensor.dtype is not torch.bool:
            return invoke_one("take", (self, key))
        tensor = indexed(self._tensor, _without_arrays(key))
        if tensor.numel() == 0:
            raise MXNetError(f"index {key!r} selects nothing of shape {self.shape}")
        if not tensor.is_contiguous():
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        return NDArray(tensor.reshape(1) if tensor.ndim == 0 else tensor, self._context)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write a number, or an array that broadcasts, into elements by numpy's rules."""
        if isinstance(value, NDArray):
            source: Any = value._tensor.to(self._tensor.device)
        elif isinstance(value, Number):
            source = value.item() if isinstance(value, np.generic) else value
        else:
            array_ = np.asarray(value)
            if array_.dtype == object:
                raise TypeError(f"NDArray does not support assignment with {type(value)}")
            source = torch.from_numpy(np.ascontiguousarray(array_)).to(self._tensor.device)
        target = self._tensor if is_everything(key) else None
        if target is None:
            store(self._tensor, _without_arrays(key), source)
        elif isinstance(source, torch.Tensor):
            check_fits(tuple(source.shape), self.shape)
            target.copy_(source.reshape(source.shape[-target.ndim :]))
        else:
            target.fill_(converted(source, as_dtype(target.dtype)))

    def slice_assign(self, value: NDArray, begin: Shape, end: Shape, step: Shape = ()) -> NDArray:
        """Write an array into a slice of this one."""
        steps = step or (None,) * len(begin)
        self[tuple(slice(*bound) for bound in zip(begin, end, steps, strict=True))] = value
        return self

    # ---- arithmetic ----

    def __add__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "add")

    def __radd__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "add")

    def __sub__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "sub")

    def __rsub__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "sub", reflected=True)

    def __mul__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "mul")

    def __rmul__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "mul")

    def __truediv__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "div")

    def __rtruediv__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "div", reflected=True)

    def __mod__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "mod")

    def __rmod__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "mod", reflected=True)

    def __pow__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "power")

    def __rpow__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "power", reflected=True)

    def __neg__(self) -> NDArray:
        return invoke_one("negative", (self,))

    def __abs__(self) -> NDArray:
        return invoke_one("abs", (self,))

    def __eq__(self, other: Any) -> NDArray:  # type: ignore[override]
        return apply_binary(self, other, "equal")

    def __ne__(self, other: Any) -> NDArray:  # type: ignore[override]
        return apply_binary(self, other, "not_equal")

    def __gt__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "greater")

    def __ge__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "greater_equal")

    def __lt__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "lesser")

    def __le__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "lesser_equal")

    def __iadd__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "add", out=self)

    def __isub__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "sub", out=self)

    def __imul__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "mul", out=self)

    def __itruediv__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "div", out=self)

    def __imod__(self, other: Any) -> NDArray:
        return apply_binary(self, other, "mod", out=self)


def _without_arrays(key: Any) -> Any:
    """The key with tensors in place of arrays."""
    if isinstance(key, tuple):
        return tuple(_without_arrays(item) for item in key)
    return key._tensor if isinstance(key, NDArray) else key


# ---- operators, at once ------------------------------------------------------------------------


def invoke(
    alias: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    out: NDArray | Sequence[NDArray] | None = None,
    state: RandomState | None = None,
) -> Any:
    """Compute an operator, called by one of its names, on arrays.

    Args:
        alias: a registered name.
        args, kwargs: inputs and parameters as the operator defines them.
        out: where to write the result, or results.
        state: where random numbers are drawn from.

    Returns:
        The array, or a list of them where the operator has several outputs.

    Raises:
        MXNetError: shapes, dtypes, contexts or parameters that do not fit.
    """
    op = find(alias)
    call = frontend.sort_arguments(
        op, args, kwargs or {}, lambda value: isinstance(value, NDArray), "NDArray"
    )
    own = {k: v for k, v in call.attributes.items() if not k.startswith("__")}
    parameters = op.schema.parse(own)
    names = op.input_names(parameters)
    given = call.inputs or dict(zip(names, call.variadic, strict=False))
    missing = [name for name in names if name not in given]
    if missing or len(given) > len(names):
        raise MXNetError(f"operator {op.name} needs {names}, got {tuple(given)}")
    arrays: list[NDArray] = [given[name] for name in names]
    context = _common_context(op, arrays, own, out)
    results = _computed(op, parameters, arrays, state or default_state())
    if out is None:
        found = [NDArray(tensor, context) for tensor in results]
    else:
        found = [out] if isinstance(out, NDArray) else list(out)
        _write_out(op, results, found)
    return found[0] if len(found) == 1 else found


def invoke_one(
    alias: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """:func:`invoke` of an operator that has one output."""
    result = invoke(alias, args, kwargs, out)
    assert isinstance(result, NDArray)
    return result


def _computed(
    op: Op, parameters: Any, arrays: Sequence[NDArray], state: RandomState
) -> list[Tensor]:
    inputs = [
        input_(index, array.shape, as_dtype(array._tensor.dtype))
        for index, array in enumerate(arrays)
    ]
    try:
        # Where a symbol would leave the shape to inference, an array has one element.
        shape = (1,) if getattr(parameters, "shape", None) == () else None
        outputs = op.lower(parameters, inputs, shape=shape, native=True)
        return run(outputs, [array._tensor for array in arrays], state)
    except LoweringError as error:
        names = op.input_names(parameters)
        pairs = zip(names, inputs, strict=True)
        shown = ", ".join(f"{name} = {x.dtype}{x.shape}" for name, x in pairs)
        raise MXNetError(f"Error in operator {op.name}: {error} [inputs: {shown}]") from None


def _write_out(op: Op, results: Sequence[Tensor], out: Sequence[NDArray]) -> None:
    if len(out) != len(results):
        raise MXNetError(f"operator {op.name} has {len(results)} outputs, out has {len(out)}")
    for result, target in zip(results, out, strict=True):
        if target.shape != tuple(result.shape):
            raise MXNetError(
                f"operator {op.name}: out has shape {target.shape}, the result has "
                f"{tuple(result.shape)}"
            )
    for result, target in zip(results, out, strict=True):
        target._tensor.copy_(result)


def _common_context(
    op: Op, arrays: Sequence[NDArray], attributes: Mapping[str, str], out: Any
) -> Context:
    for array_ in arrays[1:]:
        if array_.context != arrays[0].context:
            raise MXNetError(
                f"operator {op.name}: inputs are on {arrays[0].context} and {array_.context}; "
                "move one with as_in_context"
            )
    if arrays:
        return arrays[0].context
    if isinstance(out, NDArray):
        return out.context
    given = attributes.get("ctx", "")
    return _context_of(given) if given not in ("", "None") else current_context()


def _context_of(text: str) -> Context:
    name, _, number = text.partition("(")
    if not number.rstrip(")").isdigit():
        raise MXNetError(f"ctx={text!r} is no context such as cpu(0)")
    return Context(name, int(number.rstrip(")")))


def apply_binary(
    left: NDArray, right: Any, stem: str, reflected: bool = False, out: NDArray | None = None
) -> NDArray:
    if isinstance(right, NDArray):
        return invoke_one(f"broadcast_{stem}", (left, right), None, out)
    if isinstance(right, Number):
        scalar_stem = {"add": "plus", "sub": "minus"}.get(stem, stem)
        alias = f"_{'r' if reflected else ''}{scalar_stem}_scalar"
        return invoke_one(alias, (left,), {"scalar": float(right)}, out)
    raise TypeError(f"type {type(right)} not supported")


def _fluent(name: str) -> Callable[..., Any]:
    def method(self: NDArray, *args: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        kwargs.pop("inplace", None)
        return invoke(name, (self, *args), kwargs, out)

    method.__name__ = name
    method.__doc__ = f"The same as ``mx.nd.{name}(self, ...)``."
    return method


for _method in frontend.FLUENT:
    if not hasattr(NDArray, _method):
        setattr(NDArray, _method, _fluent(_method))
