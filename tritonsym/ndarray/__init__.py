"""`mx.nd`: the class of arrays, what makes them, and a function for every operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from ..graph import frontend
from ..graph.namespaces import add_operators, refusing
from ..graph.op import Op
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
        if kwargs.get("ctx", "") is None:  # as if it were not given
            del kwargs["ctx"]
        return invoke(alias, args, kwargs, out)

    function.__name__ = function.__qualname__ = alias
    function.__doc__ = frontend.documentation(op, "NDArray")
    function.__signature__ = frontend.signature(op, ("out", "name"))  # type: ignore[attr-defined]
    return function


globals().update(_FUNCTIONS_OF_TWO)
_internal, op, linalg, contrib, sparse = add_operators(globals(), _operator_function)
contrib.adamw_update = _adamw_update  # type: ignore[attr-defined]

__getattr__ = refusing(__name__)
