"""Arrays on a context: torch tensors with MXNet's manners. What is done to them is done at once."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import torch

from ..attribute import is_user_key
from ..compiler.eager import compute
from ..context import Context, context_of_text, torch_device
from ..expressions.expr import Expr, input_
from ..expressions.philox import RandomState, default_state
from ..expressions.reference import Tensor
from ..foundation.allocation import allocating
from ..foundation.dtype import as_dtype
from ..foundation.errors import LoweringError, MXNetError
from ..foundation.shape import MAX_AXES, Shape, check_elements
from ..graph import frontend
from ..graph.op import Op, find
from ..ops.movement import reshaped
from . import params_file
from .indexing import indexed, is_everything, store
from .values import as_number, as_tensor, check_dense, check_writable, converted, write


class NDArray:
    """An array of one dtype on one context.

    It wraps a torch tensor, whose memory never changes: whatever is assigned is written into it.
    One without elements can be kept and looked at, but nothing computes with it.

    Raises:
        MXNetError: the tensor has more axes than an array can have.
    """

    __slots__ = ("__weakref__", "_context", "_tensor")
    __array_priority__: ClassVar[float] = 1000.0
    __array_ufunc__: ClassVar[None] = None

    def __init__(self, tensor: Tensor, context: Context) -> None:
        if tensor.ndim > MAX_AXES:
            raise MXNetError(f"arrays have at most {MAX_AXES} axes, got {tensor.ndim}")
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
        return as_dtype(self._tensor.dtype).public

    @property
    def context(self) -> Context:
        return self._context

    ctx = context

    @property
    def stype(self) -> str:
        """How it is stored: always ``default``, that is dense."""
        return "default"

    @property
    def writable(self) -> bool:
        """Whether each element has memory of its own, so that it can be written."""
        try:
            check_writable(self._tensor)
        except MXNetError:
            return False
        return True

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
        if self.size <= 1:
            return self.size == 1 and bool(self.asscalar())
        raise ValueError("The truth value of an NDArray with multiple elements is ambiguous.")

    __hash__ = object.__hash__

    # ---- to and from other libraries ----

    def asnumpy(self) -> np.ndarray[Any, Any]:
        """A copy as a numpy array; bfloat16, which numpy lacks, comes as float32."""
        found = np.empty(self.shape, as_dtype(self._tensor.dtype).numpy)
        torch.from_numpy(found).copy_(self._tensor)
        return found

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
        """A torch tensor on its memory: what is written to one is seen in the other."""
        return self._tensor.detach()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("an NDArray becomes a numpy array by a copy only")
        return self.asnumpy() if dtype is None else self.asnumpy().astype(dtype)

    def __dlpack__(self, **options: Any) -> Any:
        return self.to_torch().__dlpack__(**options)

    def to_dlpack_for_read(self) -> Any:
        """A capsule of its memory, for :func:`from_dlpack` of any library."""
        return self.__dlpack__()

    to_dlpack_for_write = to_dlpack_for_read

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
        write(other._tensor, self._tensor)
        return other

    def as_in_context(self, context: Context) -> NDArray:
        """The array on a context: itself where it is there already."""
        return self if context == self._context else self.copyto(context)

    as_in_ctx = as_in_context

    def as_nd_ndarray(self) -> NDArray:
        """The array itself: there are none of another kind."""
        return self

    def astype(self, dtype: Any, copy: bool = True) -> NDArray:
        """The values in another dtype; a copy even for the same one, unless ``copy`` is False."""
        wanted = as_dtype(dtype)
        if wanted.torch == self._tensor.dtype:
            return self.copy() if copy else self
        return invoke_one("Cast", (self,), {"dtype": wanted})

    def tostype(self, stype: str) -> NDArray:
        """A copy that is stored so, which can only be densely.

        Raises:
            ValueError: anything but ``default``.
        """
        check_dense(stype)
        return self.copy()

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
        self._tensor, self._context = tensor.to(torch_device(context)), context

    # ---- shapes ----

    def reshape(self, *shape: Any, **kwargs: Any) -> NDArray:
        """The same memory in another shape, with the codes of the operator ``Reshape``.

        Raises:
            ValueError: the sizes differ, a code does not fit, or the elements do not lie together.
            TypeError: a length that is no int.
        """
        reverse = bool(kwargs.pop("reverse", False))
        given = kwargs.pop("shape", shape)
        if kwargs:
            raise TypeError(f"reshape got unknown arguments {sorted(kwargs)}")
        if not isinstance(given, (tuple, list)):
            given = (given,)
        if len(given) == 1 and isinstance(given[0], (tuple, list)):
            given = given[0]
        try:
            target = reshaped(self.shape, tuple(operator.index(n) for n in given), reverse)
        except LoweringError as error:
            raise ValueError(str(error)) from None
        try:
            return NDArray(self._tensor.view(target), self._context)
        except RuntimeError:
            raise ValueError(
                f"the elements of this array of shape {self.shape} do not lie in their order in "
                f"memory, so that {target} cannot be on the same memory: reshape a .copy() of it"
            ) from None

    def expand_dims(self, axis: int, inplace: bool = False) -> NDArray:
        """A new axis of length 1: a copy, or with ``inplace`` the same memory."""
        if not inplace:
            return invoke_one("expand_dims", (self,), {"axis": axis})
        return NDArray(self._tensor.unsqueeze(axis), self._context)

    def broadcast_to(self, shape: Shape) -> NDArray:
        """A copy repeated to ``shape``, which may have more axes in front.

        Raises:
            ValueError: an axis has another length, which is not 1, or there are too few axes.
        """
        target = tuple(shape)
        own = (*[1] * (len(target) - self.ndim), *self.shape)
        fits = zip(own, target, strict=False)
        if len(own) > len(target) or any(n not in (1, wanted) for n, wanted in fits):
            raise ValueError(
                f"shape {self.shape} cannot be broadcast to {target}: counted from the last axis, "
                "lengths must be equal, or 1 in the array; reshape it first"
            )
        source = self if own == self.shape else invoke_one("Reshape", (self,), {"shape": own})
        return invoke_one("broadcast_to", (source,), {"shape": target})

    # ---- elements ----

    def __getitem__(self, key: Any) -> NDArray:
        """Elements by numpy's rules: a view where they lie together, else a copy.

        One element comes with shape (1,).

        Raises:
            IndexError: an index is out of range.
            ValueError: a key that is no number, slice or array of them.
        """
        tensor = indexed(self._tensor, _without_arrays(key))
        if not tensor.is_contiguous():
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        return NDArray(tensor.reshape(1) if tensor.ndim == 0 else tensor, self._context)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write a number, or an array that broadcasts, into elements by numpy's rules.

        Raises:
            IndexError, ValueError: the key or the value's shape does not fit.
            TypeError: the value is no number and no array of numbers.
            MXNetError: elements of this array share memory. Nothing is written in any case.
        """
        target = self._tensor
        source: Tensor | float
        if isinstance(value, frontend.Number):
            number = as_number(value, "assignment")
            source = converted(number, as_dtype(target.dtype))
        else:
            source = tensor_of(value, "assignment")
        if not is_everything(key):
            store(target, _without_arrays(key), source)
        elif isinstance(source, torch.Tensor):
            write(target, source)
        else:
            check_writable(target)
            target.fill_(source)

    def slice_assign(
        self, value: NDArray | float, begin: Shape, end: Shape, step: Shape = ()
    ) -> NDArray:
        """Write an array or a number into a slice of this one.

        Raises:
            ValueError: the bounds are not of one length, or the shapes do not fit.
        """
        steps = step or (None,) * len(begin)
        if not len(begin) == len(end) == len(steps):
            raise ValueError(f"begin={begin}, end={end}, step={step} must have one length")
        self[tuple(slice(*bound) for bound in zip(begin, end, steps, strict=True))] = value
        return self

    slice_assign_scalar = slice_assign

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


def tensor_of(value: Any, what: str) -> Tensor:
    """The numbers of an array, of any library, or of nested lists.

    Raises:
        TypeError: it holds something else; the message begins with ``what``.
    """
    return value._tensor if isinstance(value, NDArray) else as_tensor(value, what)


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

    An operator whose states do not depend on training, such as an optimizer's, writes them into the
    arrays that it is given.

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
    own = {k: v for k, v in call.attributes.items() if not is_user_key(k)}
    if not op.schema.attributes:  # as in MXNet, where such a one ignores it: its inputs say where
        own.pop("ctx", None)
    op.schema.check_names(own)
    parameters = op.schema.parse(own)
    names = op.input_names(parameters)
    given = call.by_name(op, names)
    if len(given) < len(names):
        missing = islice((name for name in names if name not in given), 8)
        raise MXNetError(
            f"operator {op.name} needs {len(names)} inputs, got {len(given)}: without "
            f"{', '.join(missing)}"
        )
    arrays: list[NDArray] = [given[name] for name in names]
    for name, array in zip(names, arrays, strict=True):
        check_elements(f"operator {op.name}: {name}", array.shape)
    targets = None if out is None else _targets(op, out)
    context = _common_context(op, arrays, targets, own.get("ctx", ""))
    with allocating(0, lambda: f"operator {op.name}"):
        results = _computed(op, parameters, arrays, state or default_state(), context)
    visible = op.visible_count(parameters)
    states = [given[name] for name in op.state_names(parameters)[: len(results) - visible]]
    if targets is None:
        targets = [NDArray(tensor, context) for tensor in results[:visible]]
        _write_out(op, results[visible:], states)
    else:
        _check_count(op, visible, targets)
        _write_out(op, results, [*targets, *states])
    return targets[0] if len(targets) == 1 else targets


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
    op: Op, parameters: Any, arrays: Sequence[NDArray], state: RandomState, context: Context
) -> list[Tensor]:
    """The values of the outputs that are shown, and then of the states that are written."""
    inputs = [
        input_(index, array.shape, as_dtype(array._tensor.dtype))
        for index, array in enumerate(arrays)
    ]
    try:
        # Where a symbol would leave the shape to inference, an array has one element.
        shape = (1,) if getattr(parameters, "shape", None) == () else None
        on_cpu = not context.is_gpu
        outputs = op.lower(parameters, inputs, shape=shape, native=on_cpu)
        visible = outputs[: op.visible_count(parameters)]
        states: Sequence[Expr] = ()
        if op.updates is not None and not op.depends_on_training:
            states = op.updates(parameters, inputs, outputs)
        tensors = [array._tensor for array in arrays]
        return compute((*visible, *states), tensors, state, context)
    except LoweringError as error:
        names = op.input_names(parameters)
        pairs = zip(names, inputs, strict=True)
        shown = ", ".join(f"{name} = {x.dtype}{x.shape}" for name, x in pairs)
        raise MXNetError(f"Error in operator {op.name}: {error} [inputs: {shown}]") from None


def _targets(op: Op, out: Any) -> list[NDArray]:
    """The arrays that a user gave to write results into."""
    targets = list(out) if isinstance(out, (list, tuple)) else [out]
    for target in targets:
        if not isinstance(target, NDArray):
            raise TypeError(f"operator {op.name}: out needs NDArrays, got {type(target)}")
    return targets


def _check_count(op: Op, outputs: int, targets: Sequence[NDArray]) -> None:
    if len(targets) != outputs:
        raise MXNetError(f"operator {op.name} has {outputs} outputs, out has {len(targets)}")


def _write_out(op: Op, results: Sequence[Tensor], targets: Sequence[NDArray]) -> None:
    """Write all results, or nothing where one of them does not fit."""
    for result, target in zip(results, targets, strict=True):
        if target.shape != tuple(result.shape):
            raise MXNetError(
                f"operator {op.name}: out has shape {target.shape}, the result has "
                f"{tuple(result.shape)}"
            )
        if target._tensor.dtype is not result.dtype:
            raise MXNetError(
                f"operator {op.name}: out is {as_dtype(target._tensor.dtype)}, the result is "
                f"{as_dtype(result.dtype)}: cast it with astype"
            )
        check_writable(target._tensor)
    for result, target in zip(results, targets, strict=True):
        write(target._tensor, result)


def _common_context(
    op: Op, arrays: Sequence[NDArray], targets: Sequence[NDArray] | None, given: str
) -> Context:
    for array_ in arrays[1:]:
        if array_.context != arrays[0].context:
            raise MXNetError(
                f"operator {op.name}: inputs are on {arrays[0].context} and {array_.context}; "
                "move one with as_in_context"
            )
    if arrays:
        return arrays[0].context
    return targets[0].context if targets else context_of_text(given)


def apply_binary(
    left: NDArray, right: Any, stem: str, reflected: bool = False, out: NDArray | None = None
) -> NDArray:
    if isinstance(right, NDArray):
        return invoke_one(f"broadcast_{stem}", (left, right), None, out)
    if isinstance(right, frontend.Number):
        scalar_stem = {"add": "plus", "sub": "minus"}.get(stem, stem)
        alias = f"_{'r' if reflected else ''}{scalar_stem}_scalar"
        return invoke_one(alias, (left,), {"scalar": float(as_number(right, stem))}, out)
    raise TypeError(
        f"type {type(right)} not supported beside an array: arrays and numbers are, and "
        "mx.nd.array makes an array of other values"
    )


def _fluent(name: str) -> Callable[..., Any]:
    def method(self: NDArray, *args: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        kwargs.pop("inplace", None)
        if name == "split_v2":
            return invoke("_split_v2", (self,), frontend.split_parameters(*args, **kwargs), out)
        return invoke(name, (self, *args), kwargs, out)

    method.__name__ = name
    method.__doc__ = f"The same as ``mx.nd.{name}(self, ...)``."
    return method


for _method in frontend.FLUENT:
    if not hasattr(NDArray, _method):
        setattr(NDArray, _method, _fluent(_method))
