"""`mx.sym`: the class of symbols, what makes them, and a function for every operator."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from .. import ops
from ..foundation.errors import MXNetError
from ..graph import frontend
from ..graph.op import Op, find, registered
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


def _random_function(op: Op, alias: str, defaults: dict[str, int]) -> Callable[..., Symbol]:
    """MXNet's `mx.sym.random` functions store their defaults as well."""
    plain = _operator_function(op, alias)

    def function(*args: Any, **kwargs: Any) -> Symbol:
        names = list(op.schema.attributes)
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        return plain(**{**defaults, **{k: v for k, v in given.items() if v is not None}})

    function.__name__ = function.__qualname__ = alias
    function.__doc__ = plain.__doc__
    return function


# Names with an underscore are what operators on symbols produce; they live in `_internal`.
_internal = types.ModuleType(f"{__name__}._internal", "Operators that others produce.")
random = types.ModuleType(f"{__name__}.random", "Random numbers.")
for _alias, _op in registered().items():
    _function = _operator_function(_op, _alias)
    if _alias.startswith("_"):
        setattr(_internal, _alias, _function)
    else:
        globals().setdefault(_alias, _function)
for _short, _defaults in (("uniform", {"low": 0, "high": 1}), ("normal", {"loc": 0, "scale": 1})):
    setattr(random, _short, _random_function(find(_short), f"_random_{_short}", _defaults))


def __getattr__(name: str) -> Any:
    """Reached for names that are not there; the message has similar ones."""
    try:
        find(name)
    except MXNetError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error}") from None
    raise AttributeError(f"operator {name!r} is internal: use {__name__}._internal.{name}")
