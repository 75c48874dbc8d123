"""`mx.nd`: the class of arrays, what makes them, and a function for every operator."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from .. import ops
from ..graph import frontend
from ..graph.namespaces import namespaces, refusing
from ..graph.op import Op, registered
from .core import NDArray, invoke
from .create import FUNCTIONS_OF_TWO as _FUNCTIONS_OF_TWO
from .create import adamw_update as _adamw_update
from .create import (
    arange,
    array,
    concatenate,
    empty,
    eye,
    from_dlpack,
    from_numpy,
    from_torch,
    full,
    linspace,
    load,
    load_frombuffer,
    moveaxis,
    onehot_encode,
    ones,
    save,
    split_v2,
    to_dlpack_for_read,
    to_dlpack_for_write,
    waitall,
    zeros,
)

__all__ = [
    "NDArray",
    "arange",
    "array",
    "concatenate",
    "empty",
    "eye",
    "from_dlpack",
    "from_numpy",
    "from_torch",
    "full",
    "linspace",
    "load",
    "load_frombuffer",
    "moveaxis",
    "onehot_encode",
    "ones",
    "save",
    "split_v2",
    "to_dlpack_for_read",
    "to_dlpack_for_write",
    "waitall",
    "zeros",
]


def _operator_function(op: Op, alias: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        kwargs.pop("name", None)
        ctx = kwargs.pop("ctx", None)
        result = invoke(alias, args, kwargs if ctx is None else {**kwargs, "ctx": ctx}, out)
        return result

    function.__name__ = function.__qualname__ = alias
    function.__doc__ = frontend.documentation(op, "NDArray")
    function.__signature__ = frontend.signature(op, ("out", "name"))  # type: ignore[attr-defined]
    return function


_internal = types.ModuleType(f"{__name__}._internal", "Operators that others produce.")
op = types.ModuleType(f"{__name__}.op", "The operators alone.")
op.__getattr__ = refusing(op.__name__)  # type: ignore[method-assign]
globals().update(_FUNCTIONS_OF_TWO)
for _alias, _op in registered().items():
    _function = _operator_function(_op, _alias)
    if _alias.startswith("_"):
        setattr(_internal, _alias, _function)
    else:
        setattr(op, _alias, _function)
        globals().setdefault(_alias, _function)
_spaces = namespaces(__name__, _operator_function)
linalg, contrib, sparse = (_spaces[name] for name in ("linalg", "contrib", "sparse"))
contrib.adamw_update = _adamw_update  # type: ignore[attr-defined]

__getattr__ = refusing(__name__)
