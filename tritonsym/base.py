"""`mx.base`: the exception types, and the kinds of values that programs ask for."""

from __future__ import annotations

import numpy as np

from .foundation.errors import MXNetError, NotImplementedForSymbol
from .foundation.text import py_str

# What arrays are made of where nothing else is said, and what counts as a number or a text.
mx_real_t = np.float32
numeric_types = (float, int, np.generic)
string_types = (str,)

__all__ = [
    "MXNetError",
    "NotImplementedForSymbol",
    "mx_real_t",
    "numeric_types",
    "py_str",
    "string_types",
]
