"""`mx.sym`: the class of symbols, what makes them, and a function for every operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from ..graph import frontend
from ..graph.namespaces import add_operators, refusing
from ..graph.op import Op
from . import random
from .core import Symbol, apply
from .create import (
    Group,
    Variable,
    arange,
    eye,
    fromjson,
    full,
    hypot,
    linspace,
    load,
    load_json,
    maximum,
    minimum,
    ones,
    pow,
    power,
    split_v2,
    var,
    zeros,
)
from .create import adamw_update as _adamw_update

__all__ = [
    "Group",
    "Symbol",
    "Variable",
    "arange",
    "eye",
    "fromjson",
    "full",
    "hypot",
    "linspace",
    "load",
    "load_json",
    "maximum",
    "minimum",
    "ones",
    "pow",
    "power",
    "split_v2",
    "var",
    "zeros",
]


def _operator_function(op: Op, alias: str) -> Callable[..., Symbol]:
    def function(*args: Any, **kwargs: Any) -> Symbol:
        name, attr = kwargs.pop("name", None), kwargs.pop("attr", None)
        kwargs.pop("out", None)
        return apply(alias, args, kwargs, name, attr)

    function.__name__ = function.__qualname__ = alias
    function.__doc__ = frontend.documentation(op, "Symbol")
    function.__signature__ = frontend.signature(op, ("name", "attr"))  # type: ignore[attr-defined]
    return function


_internal, op, linalg, contrib, sparse = add_operators(globals(), _operator_function)
contrib.adamw_update = _adamw_update  # type: ignore[attr-defined]

__getattr__ = refusing(__name__)
