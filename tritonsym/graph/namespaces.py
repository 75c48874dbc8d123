"""Modules of operators and MXNet's namespaces in them, such as `mx.sym.linalg`."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..foundation.errors import MXNetError
from ..foundation.text import shown
from .op import Op, find, registered

# How the registered names of a namespace's operators begin.
_PREFIXES = {"linalg": "_linalg_", "contrib": "_contrib_"}

# What MXNet has a second time for arrays that are stored sparsely; here all arrays are dense.
_SPARSE = (
    *("ElementWiseSum", "Embedding", "FullyConnected", "LinearRegressionOutput"),
    *("LogisticRegressionOutput", "MAERegressionOutput", "abs", "adam_update", "add_n", "arccos"),
    *("arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "broadcast_add", "broadcast_div"),
    *("broadcast_minus", "broadcast_mul", "broadcast_plus", "broadcast_sub", "cbrt", "ceil"),
    *("clip", "concat", "cos", "cosh", "degrees", "dot", "elemwise_add", "elemwise_div"),
    *("elemwise_mul", "elemwise_sub", "exp", "expm1", "fix", "floor", "ftrl_update", "gamma"),
    *("gammaln", "log", "log10", "log1p", "log2", "make_loss", "mean", "negative", "norm"),
    *("radians", "relu", "rint", "round", "rsqrt", "sgd_mom_update", "sgd_update", "sigmoid"),
    *("sign", "sin", "sinh", "slice", "sqrt", "square", "stop_gradient", "sum", "tan", "tanh"),
    *("trunc", "where", "zeros_like"),
)


def _members() -> Iterator[tuple[str, str, str]]:
    """Each namespace, a name in it, and the registered name of the operator that is meant."""
    for alias in registered():
        for namespace, prefix in _PREFIXES.items():
            if alias.startswith(prefix):
                yield namespace, alias.removeprefix(prefix), alias
    for alias in _SPARSE:
        yield "sparse", alias, alias


def add_operators(
    names: dict[str, Any], made: Callable[[Op, str], Callable[..., Any]]
) -> tuple[types.ModuleType, ...]:
    """Give a module a function for every operator whose name it does not use itself.

    Args:
        names: the module's ``globals()``.
        made: from an operator and its registered name to the function.

    Returns:
        Its namespaces ``_internal``, ``op``, ``linalg``, ``contrib`` and ``sparse``.
    """
    module = names["__name__"]
    # Names with an underscore are what operators on symbols produce.
    internal = types.ModuleType(f"{module}._internal", "Operators that others produce.")
    alone = types.ModuleType(f"{module}.op", "The operators alone.")
    alone.__getattr__ = refusing(alone.__name__)  # type: ignore[method-assign]
    for alias, op in registered().items():
        function = made(op, alias)
        if alias.startswith("_"):
            setattr(internal, alias, function)
        else:
            setattr(alone, alias, function)
            names.setdefault(alias, function)
    return internal, alone, *_namespaces(module, made)


def _namespaces(
    module: str, made: Callable[[Op, str], Callable[..., Any]]
) -> Iterable[types.ModuleType]:
    found = {
        name: types.ModuleType(f"{module}.{name}", f"The operators that MXNet has as {name}.")
        for name in (*_PREFIXES, "sparse")
    }
    for namespace, name, alias in _members():
        function = made(find(alias), alias)
        function.__name__ = function.__qualname__ = name
        setattr(found[namespace], name, function)
    for one in found.values():
        one.__getattr__ = refusing(one.__name__)  # type: ignore[method-assign]
    return found.values()


def refusing(module: str) -> Callable[[str], Any]:
    """What a module of operators says to names that it does not have."""

    def refuse(name: str) -> Any:
        """Reached for names that are not there."""
        try:
            find(name)
        except MXNetError as error:
            raise AttributeError(
                f"module {module!r} has no attribute {shown(name)}: neither an operator nor a "
                f"namespace of this name is there ({error}); docs/operators.md lists all operators"
            ) from None
        if name.startswith("_"):
            raise AttributeError(f"operator {name!r} is internal: use {module}._internal.{name}")
        raise AttributeError(
            f"module {module!r} has no attribute {name!r}, but its package has an operator of "
            "this name"
        )

    return refuse
