"""Making symbols: variables, groups, files, constants, functions of symbols and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..attribute import AttrScope, checked_attributes, stored_attributes
from ..foundation.dtype import as_dtype
from ..foundation.errors import caller_line
from ..foundation.shape import Shape, given_shape
from ..foundation.text import checked_text, escaped, shown
from ..graph import frontend
from ..graph.frontend import Number, attribute_text
from ..graph.node import Entry, Node
from . import json_file
from .core import Symbol, apply, apply_binary, read_json


def Variable(
    name: str,
    attr: Mapping[str, str] | None = None,
    shape: Shape | int | None = None,
    lr_mult: float | None = None,
    wd_mult: float | None = None,
    dtype: Any = None,
    init: Any = None,
    stype: Any = None,
    **kwargs: str,
) -> Symbol:
    """A named input of a graph.

    Args:
        name: any text; :meth:`Symbol.bind` finds the array by it.
        attr: attributes, texts by name.
        shape, dtype: what is known of them; 0 in a shape is not known, and an int is one axis.
        lr_mult, wd_mult, init, stype: stored as attributes for training.
        kwargs: more attributes, named ``__like_this__``.

    Raises:
        TypeError: the name is no text, the shape no tuple of ints, the initializer none.
        ValueError: an attribute that is not supported or no text, or a text without a UTF-8 form.
    """
    checked_text("variable `name`", name)
    attributes = AttrScope.current.get({} if attr is None else checked_attributes(attr))
    if shape is not None:
        lengths = (shape,) if isinstance(shape, int) else shape
        given_shape(name, tuple(lengths) if isinstance(lengths, list) else lengths)
        attributes["__shape__"] = attribute_text("shape", shape)
    for key, multiplier in (("__lr_mult__", lr_mult), ("__wd_mult__", wd_mult)):
        if multiplier is not None:
            attributes[key] = str(multiplier)
    if dtype is not None:
        attributes["__dtype__"] = str(as_dtype(dtype).code)
    if init is not None:
        attributes["__init__"] = _initializer(init)
    if stype is not None:
        attributes["__storage_type__"] = _storage_type(stype)
    for key, value in kwargs.items():
        if not (key.startswith("__") and key.endswith("__")):
            raise ValueError(
                f"Attribute name={escaped(key)} is not supported. Additional attributes must start "
                f"and end with double underscores, e.g, __{escaped(key)}__"
            )
        attributes[key] = checked_text(f"attribute {key}", str(value))
    return Symbol([Entry(Node(None, name, stored_attributes(attributes), (), caller_line()), 0)])


def _initializer(init: Any) -> str:
    """MXNet's text of an initializer."""
    if not isinstance(init, str) and not hasattr(init, "dumps"):
        raise TypeError(f"init needs an initializer or its text, got {shown(init)}")
    return checked_text("init", init if isinstance(init, str) else init.dumps())


def _storage_type(stype: Any) -> str:
    """MXNet's number of a storage type; only dense arrays can be bound, whatever it says."""
    numbers = {"default": "0", "row_sparse": "1", "csr": "2"}
    if str(stype) not in (*numbers, *numbers.values()):
        raise ValueError(f"stype {shown(stype)} is not one of {[*numbers]}")
    return numbers.get(str(stype), str(stype))


var = Variable


def Group(symbols: Sequence[Symbol]) -> Symbol:
    """The outputs of several symbols as one symbol.

    Raises:
        TypeError: no symbols, or something else among them.
    """
    symbols = list(symbols) if isinstance(symbols, (list, tuple, Symbol)) else []
    if not symbols or any(not isinstance(symbol, Symbol) for symbol in symbols):
        raise TypeError("Expected a list of symbols as input")
    return Symbol([entry for symbol in symbols for entry in symbol._entries])


def load_json(json_str: str) -> Symbol:
    """The symbol of MXNet's JSON text, of any version since 0.8.

    Raises:
        TypeError: not a text.
        MXNetError: the text is no graph, or has an operator that is not registered.
    """
    if not isinstance(json_str, str):
        raise TypeError("fname required to be string")
    return Symbol(read_json(json_str))


def load(fname: str) -> Symbol:
    """The symbol in a file that :meth:`Symbol.save` or MXNet wrote.

    Raises:
        TypeError: the name is no text.
        MXNetError: the file cannot be read or is no graph.
    """
    if not isinstance(fname, (str, Path)):
        raise TypeError(f"fname need to be string, got {shown(fname)}")
    return load_json(json_file.read(fname))


fromjson = load_json


def split_v2(
    ary: Symbol,
    indices_or_sections: int | Sequence[int],
    axis: int = 0,
    squeeze_axis: bool = False,
) -> Symbol:
    """The parts of a symbol along ``axis``: so many equal ones, or cut before these indices."""
    return apply(
        "_split_v2", (ary,), frontend.split_parameters(indices_or_sections, axis, squeeze_axis)
    )


def adamw_update(
    weight: Symbol,
    grad: Symbol,
    mean: Symbol,
    var: Symbol,
    rescale_grad: Any,
    *args: Any,
    **kwargs: Any,
) -> Symbol:
    """The operator ``_adamw_update``, whose ``rescale_grad`` may be a number as well."""
    if isinstance(rescale_grad, Number):
        rescale_grad = full((1,), float(rescale_grad))
    name, attr = kwargs.pop("name", None), kwargs.pop("attr", None)
    arrays = weight, grad, mean, var, rescale_grad
    return apply("_adamw_update", (*arrays, *args), kwargs, name, attr)


# ---- functions of two values, either of which may be a number ------------------------------------


def _function_of_two(
    name: str,
    doc: str,
    both: str,
    with_scalar: str,
    reflected: str,
    of_numbers: Callable[[Any, Any], Any],
) -> Callable[[Any, Any], Any]:
    def function(left: Any, right: Any) -> Any:
        if isinstance(left, Symbol):
            return apply_binary(left, right, both, with_scalar)
        if isinstance(right, Symbol):
            return apply_binary(right, left, both, reflected)
        if isinstance(left, Number) and isinstance(right, Number):
            return of_numbers(left, right)
        raise TypeError(
            f"types ({type(left)}, {type(right)}) not supported: symbols and numbers are; give an "
            "array to mx.nd, or use mx.sym.Variable(name) and bind it"
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


_power = _function_of_two(
    "power", "``base ** exp``.", "_Power", "_PowerScalar", "_RPowerScalar", lambda a, b: a**b
)


def power(base: Any, exp: Any) -> Any:
    """``base ** exp``."""
    return _power(base, exp)


pow = power
maximum = _function_of_two(
    "maximum", "The larger.", "_Maximum", "_MaximumScalar", "_MaximumScalar", max
)
minimum = _function_of_two(
    "minimum", "The smaller.", "_Minimum", "_MinimumScalar", "_MinimumScalar", min
)
hypot = _function_of_two(
    "hypot", "sqrt(left**2 + right**2).", "_Hypot", "_HypotScalar", "_HypotScalar", np.hypot
)


# ---- constants ---------------------------------------------------------------------------------


def zeros(
    shape: Shape | int,
    dtype: Any = None,
    name: str | None = None,
    attr: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> Symbol:
    """Zeros."""
    given = {"shape": shape, "dtype": dtype or "float32", **kwargs}
    return apply("_zeros", (), given, name, attr)


def ones(
    shape: Shape | int,
    dtype: Any = None,
    name: str | None = None,
    attr: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> Symbol:
    """Ones."""
    given = {"shape": shape, "dtype": dtype or "float32", **kwargs}
    return apply("_ones", (), given, name, attr)


def full(
    shape: Shape | int,
    val: float,
    dtype: Any = None,
    name: str | None = None,
    attr: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> Symbol:
    """One value everywhere."""
    given = {"shape": shape, "dtype": dtype or "float32", "value": float(val), **kwargs}
    return apply("_full", (), given, name, attr)


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1.0,
    repeat: int = 1,
    infer_range: bool = False,
    name: str | None = None,
    dtype: Any = None,
) -> Symbol:
    """Evenly spaced values."""
    given = {"start": start, "stop": stop, "step": step, "repeat": repeat}
    more = {"infer_range": infer_range, "dtype": dtype or "float32"}
    return apply("_arange", (), {**given, **more}, name=name)


def linspace(
    start: float,
    stop: float,
    num: int,
    endpoint: bool = True,
    name: str | None = None,
    dtype: Any = None,
) -> Symbol:
    """Values at equal distances, with ``stop`` or without it."""
    given = {"start": start, "stop": stop, "num": num, "endpoint": endpoint}
    return apply("_linspace", (), {**given, "dtype": dtype or "float32"}, name=name)


def eye(
    N: int,
    M: int = 0,
    k: int = 0,
    dtype: Any = None,
    name: str | None = None,
    attr: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> Symbol:
    """Ones on a diagonal."""
    given = {"N": N, "M": M, "k": k, "dtype": dtype or "float32", **kwargs}
    return apply("_eye", (), given, name, attr)
