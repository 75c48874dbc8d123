"""`mx.sym`: the class of symbols, what makes them, and a function for every operator."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from .. import ops
from ..graph import frontend
from ..graph.namespaces import namespaces, refusing
from ..graph.op import Op, registered
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


# Names with an underscore are what operators on symbols produce; they live in `_internal`.
_internal = types.ModuleType(f"{__name__}._internal", "Operators that others produce.")
op = types.ModuleType(f"{__name__}.op", "The operators alone.")
op.__getattr__ = refusing(op.__name__)  # type: ignore[method-assign]
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
