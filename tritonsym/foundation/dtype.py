"""The data types: their names, MXNet's numbers for them, and the numpy and torch types they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .errors import MXNetError


@dataclass(frozen=True, eq=False)
class DType:
    """One data type. ``code`` is MXNet's number in files; ``kind`` is float, int, uint or bool.

    There is one object of each, below.
    """

    name: str
    code: int
    kind: str
    itemsize: int
    numpy: Any
    torch: torch.dtype

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        return self.kind in ("int", "uint")

    @property
    def is_reduced(self) -> bool:
        """Whether sums need a wider type than this one."""
        return self.is_float and self.itemsize < 4

    @property
    def public(self) -> Any:
        """What a user sees: numpy's scalar class; torch's dtype where numpy has none."""
        return torch.bfloat16 if self.torch is torch.bfloat16 else self.numpy

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return as_dtype, (self.name,)


# numpy has no bfloat16: such arrays come out of `asnumpy` as float32, which holds every value.
FLOAT32 = DType("float32", 0, "float", 4, np.float32, torch.float32)
FLOAT64 = DType("float64", 1, "float", 8, np.float64, torch.float64)
FLOAT16 = DType("float16", 2, "float", 2, np.float16, torch.float16)
UINT8 = DType("uint8", 3, "uint", 1, np.uint8, torch.uint8)
INT32 = DType("int32", 4, "int", 4, np.int32, torch.int32)
INT8 = DType("int8", 5, "int", 1, np.int8, torch.int8)
INT64 = DType("int64", 6, "int", 8, np.int64, torch.int64)
BOOL = DType("bool", 7, "bool", 1, np.bool_, torch.bool)
BFLOAT16 = DType("bfloat16", 12, "float", 2, np.float32, torch.bfloat16)

ALL = (FLOAT32, FLOAT64, FLOAT16, UINT8, INT32, INT8, INT64, BOOL, BFLOAT16)
BY_NAME = {dtype.name: dtype for dtype in ALL}
BY_CODE = {dtype.code: dtype for dtype in ALL}
_BY_TORCH = {dtype.torch: dtype for dtype in ALL}


def as_dtype(given: Any) -> DType:
    """The data type that ``given`` names.

    Args:
        given: a ``DType``, its name, a numpy dtype or scalar class, a torch dtype, a Python type.

    Raises:
        MXNetError: a type that arrays cannot have; the message lists those that they can.
        TypeError: no type at all.
    """
    if isinstance(given, DType):
        return given
    if isinstance(given, torch.dtype):
        found = _BY_TORCH.get(given)
    elif isinstance(given, str) and given in BY_NAME:
        found = BY_NAME[given]
    else:
        found = BY_NAME.get(np.dtype(given).name)  # numpy raises TypeError for an unknown word
    if found is None:
        known = ", ".join(BY_NAME)
        raise MXNetError(f"dtype {given!r} is not supported; an array can be one of: {known}")
    return found
