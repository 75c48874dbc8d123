"""Values that users give, as tensors; tensors written into tensors. Knows nothing of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..expressions.expr import constant, constant_value
from ..expressions.reference import Tensor
from ..foundation.dtype import DType
from ..foundation.errors import MXNetError
from ..foundation.shape import Shape
from ..foundation.text import shown
from ..graph.frontend import Number


def as_tensor(value: Any, what: str) -> Tensor:
    """The numbers of an array of any library, of nested lists, or of one number.

    The tensor may be on the value's own memory: it is to be read, and at once.

    Raises:
        TypeError: it holds something else, such as texts, times or complex numbers.
    """
    if isinstance(value, torch.Tensor):
        if value.is_complex() or value.layout is not torch.strided:
            raise TypeError(f"{what} needs real numbers, got {value.dtype} tensors, {value.layout}")
        return value.detach().resolve_neg()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError, OverflowError, RecursionError):
        raise TypeError(f"{what} needs an array of numbers, got {type(value)}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{what} needs an array of numbers, got {type(value)} with values of {array.dtype}"
        )
    if array.dtype.itemsize > 8:  # torch has no long double
        array = array.astype(np.float64)
    readable = array.dtype.isnative and array.flags.writeable
    if not (readable and all(s >= 0 and s % array.itemsize == 0 for s in array.strides)):
        array = np.array(array, array.dtype.newbyteorder("="), order="C")
    return torch.from_numpy(array)


def check_dense(stype: Any) -> None:
    """Raise ValueError for another way to store an array than densely: it is not known here."""
    if stype not in (None, "default"):
        raise ValueError(
            f"stype {shown(stype)}: arrays are stored densely here; leave it out, or say 'default'"
        )


def as_number(value: Any, what: str) -> float:
    """One real number that a float can hold, as Python's own.

    Raises:
        TypeError: something else.
        MXNetError: it is too large.
    """
    if not isinstance(value, Number):
        raise TypeError(f"{what} needs a number, got {type(value)}")
    try:
        float(value)
    except OverflowError:
        raise MXNetError(f"{what}: the number is too large for a float") from None
    return value.item() if isinstance(value, np.generic) else value


def converted(value: float, dtype: DType) -> float | int | bool:
    """A number as a C conversion makes it, so that -1 or 1.5 can be written into uint8."""
    return constant_value(constant(value, dtype))


def check_writable(target: Tensor) -> None:
    """Whether each element has memory of its own.

    Raises:
        MXNetError: one write would change several elements.
    """
    if target.is_contiguous():
        return
    reach = 0  # of the axes with smaller strides
    for stride, length in sorted(zip(target.stride(), target.shape, strict=True)):
        if length > 1:
            if stride <= reach:
                raise MXNetError(
                    f"elements of this array of shape {tuple(target.shape)} share memory (its "
                    f"strides are {target.stride()}), so that it can be read but not written: "
                    "write into a .copy() of it"
                )
            reach += stride * (length - 1)


def apart(source: Tensor, target: Tensor) -> Tensor:
    """The source, or a copy of it if it may be changed by writing into the target."""
    shared = source.untyped_storage().data_ptr() == target.untyped_storage().data_ptr()
    return source.clone() if shared else source


def write(target: Tensor, source: Tensor) -> None:
    """Copy values into a tensor, broadcast and in its dtype.

    Raises:
        ValueError: the shapes do not fit.
        MXNetError: elements of the target share memory. Nothing is written in either case.
    """
    check_writable(target)
    _copy(target, source)


def _copy(target: Tensor, source: Tensor) -> None:
    """:func:`write` into what is known to be writable."""
    source = apart(source, target)
    if source.shape != target.shape:
        have = tuple(source.shape)
        check_fits(have, tuple(target.shape))
        source = source.reshape(have[max(0, len(have) - target.ndim) :])
    target.copy_(source)


def write_all(copies: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Write every value into its tensor, or none of them; see :func:`write`."""
    for target, _ in copies:
        check_writable(target)
    for target, source in copies:
        _copy(target, source)


def write_numbers(target: Tensor, numbers: Sequence[float]) -> None:
    """Write numbers into a vector of float64, without waiting for a device that still computes."""
    on_gpu = target.device.type == "cuda"
    source = torch.tensor(numbers, dtype=torch.float64, pin_memory=on_gpu)
    target.copy_(source, non_blocking=on_gpu)


def check_fits(source: Shape, target: Shape) -> None:
    """Whether an array can be assigned to one of another shape; leading ones do not count.

    Raises:
        ValueError: it cannot.
    """
    lead = source[: max(0, len(source) - len(target))]
    pairs = zip(reversed(source), reversed(target), strict=False)
    if any(n != 1 for n in lead) or any(a not in (1, b) for a, b in pairs):
        raise ValueError(f"could not broadcast input of shape {source} into shape {target}")
