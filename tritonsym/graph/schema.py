"""The parameters of operators: typed, with defaults, read from MXNet's strings without evaluating.

An operator's keyword-only arguments are its schema. Each annotation below has one parser; a text
that it does not accept raises, and nothing of it is ever run.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import re
import struct
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from ..foundation.dtype import BY_NAME, DType
from ..foundation.errors import MXNetError
from ..foundation.text import shown

MAX_TEXT = 100_000
Axes = tuple[int, ...] | None
Bounds = tuple[int | None, ...]
Count = typing.Annotated[int, "positive"]
# A number that MXNet keeps as a float32, whatever the data are.
Single = typing.Annotated[float, "single"]
# A share of the whole, such as that of what is dropped; a float32 as well.
Share = typing.Annotated[float, "share"]
# How many inputs or outputs a node has; the limit keeps a text from exhausting the memory.
Arity = typing.Annotated[int, "arity"]
MAX_ARITY = 2**20
# Likewise, or 0 where it is said otherwise.
OptionalArity = typing.Annotated[int, "optional arity"]

_INTEGER = re.compile(r"[+-]?\d{1,20}[lL]?", re.ASCII)
_NUMBER = re.compile(
    r"[+-]?(\d{1,400}\.?\d{0,400}([eE][+-]?\d{1,4})?|\.\d{1,400}([eE][+-]?\d{1,4})?)", re.ASCII
)
_SPECIAL = {"inf": math.inf, "+inf": math.inf, "-inf": -math.inf, "nan": math.nan, "-nan": math.nan}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}

Parser = Callable[[str], Any]


class _Reject(Exception):
    """The text is not of the wanted type."""


def _integer(text: str) -> int:
    if text.lower() in ("true", "false"):
        return int(_TRUTH[text.lower()])
    if not _INTEGER.fullmatch(text):
        raise _Reject
    return int(text.rstrip("lL"))


def _positive(text: str) -> int:
    number = _integer(text)
    if number < 1:
        raise _Reject
    return number


def _arity(text: str) -> int:
    number = _positive(text)
    if number > MAX_ARITY:
        raise _Reject
    return number


def _optional_arity(text: str) -> int:
    return 0 if _integer(text) == 0 else _arity(text)


def _number(text: str) -> float:
    if text.lower() in _SPECIAL:
        return _SPECIAL[text.lower()]
    if text.lower() in ("true", "false"):
        return float(_TRUTH[text.lower()])
    if not _NUMBER.fullmatch(text) or math.isinf(float(text)):
        raise _Reject
    return float(text)


def _single(text: str) -> float:
    return rounded_to_single(_number(text))


def _share(text: str) -> float:
    number = _single(text)
    if not 0 <= number <= 1:
        raise _Reject
    return number


def rounded_to_single(number: float) -> float:
    """The nearest float32; infinite where that is beyond the largest one."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        return math.copysign(math.inf, number)


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise _Reject
    return _TRUTH[text.lower()]


def _tuple(item: Parser) -> Parser:
    def parse(text: str) -> tuple[Any, ...]:
        inner = text
        if text[:1] in ("(", "["):
            if text[-1:] != {"(": ")", "[": "]"}[text[0]]:
                raise _Reject
            inner = text[1:-1].strip()
            inner = inner[:-1] if len(inner) > 1 and inner.endswith(",") else inner
        return tuple(item(part.strip()) for part in inner.split(",")) if inner else ()

    return parse


def _optional(item: Parser) -> Parser:
    return lambda text: None if text == "None" else item(text)


def _dtype(text: str) -> DType:
    if text not in BY_NAME:
        raise _Reject
    return BY_NAME[text]


def _choice(choices: tuple[str, ...]) -> Parser:
    def parse(text: str) -> str:
        if text not in choices:
            raise _Reject
        return text

    return parse


def _parser_and_name(annotation: Any) -> tuple[Parser, str]:
    """How to read an attribute of this annotation, and how to call it for a person."""
    if annotation == Count:
        return _positive, "positive int"
    if annotation == Single:
        return _single, "float"
    if annotation == Share:
        return _share, "float from 0 to 1"
    if annotation == Arity:
        return _arity, f"positive int up to {MAX_ARITY}"
    if annotation == OptionalArity:
        return _optional_arity, f"int from 0 to {MAX_ARITY}"
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not types.NoneType]
        parser, name = _parser_and_name(members[0])
        optional = types.NoneType in get_args(annotation)
        return (_optional(parser), f"{name} or None") if optional else (parser, name)
    if get_origin(annotation) is Literal:
        choices = tuple(get_args(annotation))
        return _choice(choices), "{" + ", ".join(repr(choice) for choice in choices) + "}"
    if get_origin(annotation) is tuple:
        item, name = _parser_and_name(get_args(annotation)[0])
        return _tuple(item), f"tuple of {name}"
    simple: dict[Any, tuple[Parser, str]] = {
        int: (_integer, "int"),
        float: (_number, "float"),
        bool: (_truth, "bool"),
        str: (str, "str"),
        DType: (_dtype, "dtype"),
    }
    return simple[annotation]


def read(annotation: Any, text: str) -> Any:
    """A value of this type from a text, which is not evaluated.

    Raises:
        ValueError: the text is not of that type.
    """
    parser, name = _parser_and_name(annotation)
    try:
        return _applied(parser, text)
    except _Reject:
        raise ValueError(f"needs {name}, got {shown(text)}") from None


def _applied(parser: Parser, text: str) -> Any:
    if len(text) > MAX_TEXT:
        raise _Reject
    return parser(text.strip())


@dataclasses.dataclass(frozen=True)
class Attribute:
    """One parameter of an operator: its name, how to read it, and its default."""

    name: str
    parse: Parser
    type_name: str
    required: bool
    default: Any

    @property
    def shown_default(self) -> str:
        """The default as a person would write it."""
        return f"{self.default:g}" if isinstance(self.default, float) else repr(self.default)

    def describe(self) -> str:
        optional = "required" if self.required else f"optional, default {self.shown_default}"
        return f"{self.name} : {self.type_name}, {optional}"


class Schema:
    """The parameters of one operator, and the frozen record type that holds their values."""

    def __init__(
        self, operator: str, parameters: Mapping[str, inspect.Parameter], hints: Any
    ) -> None:
        self.operator = operator
        self.attributes: dict[str, Attribute] = {}
        for name, parameter in parameters.items():
            required = parameter.default is inspect.Parameter.empty
            parser, type_name = _parser_and_name(hints[name])
            default = None if required else parameter.default
            if hints[name] == Single and default is not None:
                default = rounded_to_single(default)
            self.attributes[name] = Attribute(name, parser, type_name, required, default)
        fields = [(name, hints[name]) for name in self.attributes]
        self.record: Any = dataclasses.make_dataclass(f"{operator}Attributes", fields, frozen=True)
        # Layers repeat their parameters; records are immutable and can be shared.
        self._parsed = functools.lru_cache(maxsize=1024)(self._parse)

    def check_names(self, names: Iterable[str]) -> None:
        """Raise MXNetError for a name that is no parameter, and list those that are."""
        for name in names:
            if name not in self.attributes:
                raise MXNetError(
                    f"operator {self.operator}: cannot find argument {shown(name)}, "
                    f"possible arguments: {self.describe() or 'none'}"
                )

    def parse(self, given: Mapping[str, str]) -> Any:
        """The typed record of the strings that were given.

        An operator without any parameters carries whatever attributes it is given.

        Raises:
            MXNetError: an unknown name, a missing one, or a text that is not of its type.
        """
        return self._parsed(tuple(given.items()))

    def copied(self, record: Any) -> Any:
        """The record of a copy of a node: the same, since records are immutable."""
        return record

    def _parse(self, items: tuple[tuple[str, str], ...]) -> Any:
        if not self.attributes:
            return self.record()
        given = dict(items)
        self.check_names(given)
        values = {name: self._value(self.attributes[name], text) for name, text in given.items()}
        for attribute in self.attributes.values():
            if attribute.name not in values:
                if attribute.required:
                    raise MXNetError(
                        f"operator {self.operator}: required parameter {attribute.name} of "
                        f"{attribute.type_name} is not given; parameters: {self.describe()}"
                    )
                values[attribute.name] = attribute.default
        return self.record(**values)

    def _value(self, attribute: Attribute, text: str) -> Any:
        try:
            return _applied(attribute.parse, text)
        except _Reject:
            raise MXNetError(
                f"operator {self.operator}: parameter {attribute.name} needs "
                f"{attribute.type_name}, got {shown(text)}"
            ) from None

    def describe(self) -> str:
        return "; ".join(attribute.describe() for attribute in self.attributes.values())
