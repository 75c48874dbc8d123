"""What `mx.sym.*` and `mx.nd.*` share: from a Python call to inputs and attribute strings.

MXNet lets a call mix inputs and parameters, by position or keyword, in the order of the
operator's definition. The signature and documentation of the functions come from here too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..context import Context
from ..foundation.dtype import DType, as_dtype
from ..foundation.errors import MXNetError
from ..foundation.text import checked_text, listed, shown
from .op import Op

# What counts as a number beside a symbol or an array. numpy has scalars that are none: texts,
# times and complex numbers.
Number = (int, float, np.bool_, np.integer, np.floating)

_LONGEST_INTEGER = 2**13  # bits; no parameter needs as many, and Python prints hardly more

# Fluent methods of symbols and arrays: `a.sum()` is `sum(a)`.
FLUENT = (
    *("abs", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "argmax"),
    *("argmax_channel", "argmin", "argsort", "astype", "broadcast_axes", "broadcast_like"),
    *("broadcast_to", "cbrt", "ceil", "clip", "cos", "cosh", "degrees", "depth_to_space", "diag"),
    *("exp", "expand_dims", "expm1", "fix", "flatten", "flip", "floor", "log", "log10", "log1p"),
    *("log2", "log_softmax", "max", "mean", "min", "nanprod", "nansum", "norm", "one_hot"),
    *("ones_like", "pad", "pick", "prod", "radians", "rcbrt", "reciprocal", "relu", "repeat"),
    *("reshape", "reshape_like", "rint", "round", "rsqrt", "shape_array", "sigmoid", "sign", "sin"),
    *("sinh", "size_array", "slice", "slice_axis", "slice_like", "softmax", "softmin", "sort"),
    *("space_to_depth", "split", "split_v2", "sqrt", "square", "squeeze", "sum", "swapaxes"),
    *("take", "tan", "tanh", "tile", "topk", "transpose", "trunc", "zeros_like"),
)


@dataclass(frozen=True)
class Arguments:
    """A call sorted out: inputs by name, or in order where the operator declares none; strings."""

    inputs: Mapping[str, Any]
    variadic: Sequence[Any]
    attributes: Mapping[str, str]

    def by_name(self, op: Op, names: Sequence[str]) -> Mapping[str, Any]:
        """The inputs that were given, by the names that the operator has for its parameters.

        Raises:
            MXNetError: one of another name, or more than there are names.
        """
        if op.variadic is None and not self.variadic:
            for key in self.inputs:
                if key not in names:
                    raise MXNetError(
                        f"operator {op.name} has no input {shown(key)} here; "
                        f"it has {listed(names) or 'none'}"
                    )
            return self.inputs
        if len(self.variadic) > len(names):
            raise MXNetError(f"operator {op.name} got {len(self.variadic)} inputs for {len(names)}")
        return dict(zip(names, self.variadic, strict=False))


def attribute_text(name: str, value: Any) -> str:
    """A parameter as MXNet stores it: the text that Python prints for it.

    Raises:
        TypeError: a value that no parameter can have.
        MXNetError: one that is too long or too deep for a text.
        ValueError: a text without a UTF-8 form.
    """
    try:
        return checked_text(f"parameter {name!r}", _text(name, value))
    except RecursionError:
        raise MXNetError(f"parameter {name!r} is nested too deeply") from None


def _text(name: str, value: Any) -> str:
    if name == "dtype" or isinstance(value, (np.dtype, torch.dtype, DType)):
        return str(value) if isinstance(value, str) or value is None else as_dtype(value).name
    if isinstance(value, (tuple, list)):
        items = [_text("", item) for item in value]
        inner = ", ".join(items) + ("," if isinstance(value, tuple) and len(items) == 1 else "")
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        raise MXNetError(f"parameter {name!r}: an int of {value.bit_length()} bits is too long")
    if isinstance(value, (str, bool, int, float, np.generic, Context, type(None))):
        return str(value)
    raise TypeError(f"parameter {name!r} cannot be {type(value).__name__}: {shown(value)}")


def sort_arguments(
    op: Op,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    is_input: Callable[[Any], bool],
    kind: str,
) -> Arguments:
    """Tell inputs from parameters.

    Raises:
        TypeError: too many positional arguments, or one given twice.
        MXNetError: an input in the place of a parameter.
        AssertionError: an input that is not of the wanted kind (MXNet's type for this mistake).
    """
    if op.variadic is not None or op.is_open:
        for position, value in enumerate(args):
            _check_input(op, f"argument {position}", value, is_input, kind)
    if op.is_open:
        found = {key: value for key, value in kwargs.items() if is_input(value)}
        if args and found:
            raise TypeError(
                f"{op.name} takes its inputs either by position or by keyword, not both: got "
                f"{len(args)} by position, and {listed(found)}"
            )
        texts = {key: value for key, value in kwargs.items() if key not in found}
        return Arguments(found, args, _attributes(op, texts, is_input))
    if op.variadic is not None:
        named = {k: v for k, v in kwargs.items() if k not in op.schema.attributes and is_input(v)}
        variadic = [*args, *named.values()]
        attributes = _attributes(op, {k: v for k, v in kwargs.items() if k not in named}, is_input)
        attributes.setdefault(op.variadic, str(len(variadic)))
        return Arguments({}, variadic, attributes)
    declared = op.declared_inputs
    slots = (*declared, *op.schema.attributes)
    if len(args) > len(slots):
        raise TypeError(
            f"{op.name} takes {len(slots)} arguments ({', '.join(slots)}), got {len(args)}"
        )
    given = dict(zip(slots, args, strict=False))
    for key, value in kwargs.items():
        if key in given:
            raise TypeError(f"{op.name} got two values for argument {key!r}")
        given[key] = value
    inputs: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in given.items():
        if key in declared:
            if value is not None:
                _check_input(op, key, value, is_input, kind)
                inputs[key] = value
        elif is_input(value) and key not in op.schema.attributes:
            inputs[key] = value
        else:
            rest[key] = value
    return Arguments(inputs, (), _attributes(op, rest, is_input))


def _attributes(
    op: Op, given: Mapping[str, Any], is_input: Callable[[Any], bool]
) -> dict[str, str]:
    for key, value in given.items():
        if is_input(value):
            raise MXNetError(
                f"parameter {key!r} of {op.name} needs {op.schema.attributes[key].type_name}, "
                f"got a {type(value).__name__}"
            )
    # A wrapper's `dtype=None` means that it was not told any.
    told = {key: value for key, value in given.items() if key != "dtype" or value is not None}
    return {key: attribute_text(key, value) for key, value in told.items()}


def _check_input(op: Op, name: str, value: Any, is_input: Callable[[Any], bool], kind: str) -> None:
    if not is_input(value):
        raise AssertionError(
            f"Argument {name} of {op.name} must be {kind} instances, but got {shown(value)}"
        )


def split_parameters(
    indices_or_sections: int | Sequence[int], axis: int = 0, squeeze_axis: bool = False
) -> dict[str, Any]:
    """The parameters of `_split_v2` for what `split_v2` is given, as MXNet writes them."""
    indices: list[int] = []
    sections = 0
    if isinstance(indices_or_sections, (int, np.integer)):
        sections = int(indices_or_sections)
    elif isinstance(indices_or_sections, Iterable) and not isinstance(indices_or_sections, str):
        indices = [0, *indices_or_sections]
    else:
        given = shown(indices_or_sections)
        raise ValueError(f"indices_or_sections={given} must be an int, or a list of ints")
    return {
        "indices": indices,
        "axis": axis,
        "squeeze_axis": squeeze_axis,
        "sections": sections,
    }


def signature(op: Op, extra: Sequence[str]) -> inspect.Signature:
    """The Python signature of an operator's function; ``extra`` are keyword arguments."""
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind, default=None) for name in op.declared_inputs]
    if op.variadic is not None or op.is_open:
        parameters = [inspect.Parameter("data", inspect.Parameter.VAR_POSITIONAL)]
        kind = inspect.Parameter.KEYWORD_ONLY
    for attribute in op.schema.attributes.values():
        if attribute.name != op.variadic:
            default = inspect.Parameter.empty if attribute.required else attribute.default
            parameters.append(inspect.Parameter(attribute.name, kind, default=default))
    parameters += [inspect.Parameter(name, kind, default=None) for name in extra]
    # Required parameters follow optional inputs, which Python allows for keywords only.
    seen_default = False
    for index, parameter in enumerate(parameters):
        if seen_default and parameter.default is inspect.Parameter.empty:
            parameters[index] = parameter.replace(default=...)
        seen_default = seen_default or parameter.default is not inspect.Parameter.empty
    return inspect.Signature(parameters)


def documentation(op: Op, kind: str) -> str:
    """What `help` shows: meaning, inputs, parameters with types and defaults, result, errors."""
    lines = [op.summary, "", "Inputs"]
    if op.variadic is not None:
        lines.append(f"    *data : any number of {kind}s of one dtype")
    if op.is_open:
        lines.append(f"    {kind}s, by position or by the names that the operator has for them")
    names = op.declared_inputs
    lines += [f"    {name} : {kind}" for name in names]
    if not names and op.variadic is None and not op.is_open:
        lines.append("    none")
    lines += ["", "Parameters"]
    lines += [f"    {attribute.describe()}" for attribute in op.schema.attributes.values()]
    lines += [f"    name : str, optional. Of the resulting {kind}.", "", f"Returns a {kind}.", ""]
    lines += [
        "Errors",
        "    MXNetError: an unknown or missing parameter, or shapes or dtypes that do not fit; all",
        "    inputs have one dtype unless said otherwise, nothing is promoted.",
    ]
    if len(op.aliases):
        lines += ["", f"Also known as {', '.join(op.aliases)}." + f" MXNet's name: {op.name}."]
    return "\n".join(lines)
