"""What a user tells of a symbol's shapes and dtypes, and what follows, in MXNet's three lists."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from ..foundation.dtype import DType, as_dtype
from ..foundation.errors import MXNetError
from ..foundation.shape import Shape
from ..foundation.text import escaped, listed
from ..graph.infer import Inferred, infer_dtypes, infer_shapes, known_shape
from ..graph.node import Entry, Node, toposort, variables
from ..graph.op import PartialShape, is_complete

Value = TypeVar("Value")
Lists = tuple[list[Any], list[Any], list[Any]]


@dataclass(frozen=True)
class Kind(Generic[Value]):
    """What is inferred: when it is known, how a user sees it, and what is said if it is not."""

    is_known: Callable[[Value | None], bool]
    show: Callable[[Value | None], Any]
    warning: str


SHAPES: Kind[Shape] = Kind(
    is_complete,
    lambda shape: shape or (),
    "Cannot decide shape for the following arguments (0s in shape means unknown dimensions)",
)
DTYPES: Kind[DType] = Kind(
    lambda dtype: dtype is not None,
    lambda dtype: None if dtype is None else dtype.public,
    "Cannot decide type for the following arguments",
)


def shapes(
    entries: Sequence[Entry], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Inferred[Shape]:
    """What follows from the shapes of some variables.

    Raises:
        MXNetError: the shapes contradict each other or a name is unknown.
        TypeError: a shape is not a tuple of ints, or there are too many.
        ValueError: positional and named shapes together.
    """
    known: dict[str, PartialShape] = {}
    nodes = toposort(entries)
    for name, shape in _by_name("infer_shape", nodes, args, kwargs).items():
        if shape is not None or not args:
            known[name] = known_shape(name, shape)
    return infer_shapes(nodes, known)


def dtypes(
    entries: Sequence[Entry], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Inferred[DType]:
    """What follows from the dtypes of some variables.

    Raises:
        MXNetError: two dtypes meet that have to be one, or a name is unknown.
        TypeError: no dtype, or too many.
        ValueError: positional and named dtypes together.
    """
    known: dict[str, DType] = {}
    nodes = toposort(entries)
    for name, given in _by_name("infer_type", nodes, args, kwargs).items():
        if given is not None:
            known[name] = as_dtype(given)
    return infer_dtypes(nodes, known)


def lists(entries: Sequence[Entry], inferred: Inferred[Value], kind: Kind[Value]) -> Lists:
    """What is known of the arguments, the outputs and the states."""
    return _shown(_found(entries, inferred), kind)


def complete_lists(
    entries: Sequence[Entry], inferred: Inferred[Value], kind: Kind[Value]
) -> Lists | tuple[None, None, None]:
    """:func:`lists`; three times None, with a warning at the user's line, if they have gaps."""
    found = _found(entries, inferred)
    if all(map(kind.is_known, chain.from_iterable(found))):
        return _shown(found, kind)
    arguments, _ = variables(inferred.nodes)
    undecided = "\n\t".join(
        f"{escaped(node.name)}: {kind.show(inferred.of(node))}"
        for node in arguments
        if not kind.is_known(inferred.of(node))
    )
    warnings.warn(f"{kind.warning}. Consider providing them as input:\n\t{undecided}", stacklevel=3)
    return None, None, None


def _found(entries: Sequence[Entry], inferred: Inferred[Value]) -> Lists:
    arguments, states = variables(inferred.nodes)
    return (
        [inferred.of(node) for node in arguments],
        [inferred.entry(entry) for entry in entries],
        [inferred.of(node) for node in states],
    )


def _shown(found: Lists, kind: Kind[Value]) -> Lists:
    arguments, outputs, states = ([kind.show(value) for value in values] for values in found)
    return arguments, outputs, states


def _by_name(
    function: str, nodes: Sequence[Node], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Mapping[str, Any]:
    if args and kwargs:
        raise ValueError(f"{function}: give values by position or by name, not both")
    if args:
        arguments = [node.name for node in variables(nodes)[0]]
        if len(args) > len(arguments):
            raise TypeError(
                f"{function}: {len(args)} values for {len(arguments)} arguments "
                f"({listed(arguments)})"
            )
        return dict(zip(arguments, args, strict=False))
    names = {node.name: None for node in nodes if node.op is None}
    for name in kwargs:
        if name not in names:
            raise MXNetError(
                f"{function}: keyword argument name {escaped(name)} not found. "
                f"Candidates: {listed(names, numbered=True)}"
            )
    return kwargs
