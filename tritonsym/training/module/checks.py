"""What modules refuse: names, batches and iterators that do not fit, each with the reason."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from ...context import Context
from ...foundation.text import listed, shown
from ...ndarray.core import NDArray
from ..io.base import DataBatch, DataDesc

# What is said of a module that has no arrays yet, or no values in them.
NOT_READY = "bind and initialize the module first"

_PARAMETERS = ("_weight", "_bias", "_gamma", "_beta")


def descriptions(given: Sequence[Any] | None) -> list[DataDesc]:
    """Descriptions from pairs of name and shape, or from descriptions.

    Raises:
        TypeError: something else.
    """
    if given is not None and not isinstance(given, Iterable):
        raise _no_description(given)
    return [_description(one) for one in given or ()]


def _description(given: Any) -> DataDesc:
    if not isinstance(given, (tuple, list)) or not 2 <= len(given) <= 4:
        raise _no_description(given)
    found = given if isinstance(given, DataDesc) else DataDesc(*given)
    if not isinstance(found.name, str) or not isinstance(found.shape, tuple):
        raise _no_description(given)
    return found


def _no_description(given: Any) -> TypeError:
    return TypeError(
        "data_shapes and label_shapes are lists of DataDesc, or of pairs of a name and a shape, "
        f"such as ('data', (32, 784)); got {shown(given)}"
    )


def one_context(given: Any) -> Context | None:
    """The context of a module. Several of the processor are one: they share memory and cores.

    Raises:
        ValueError: several of GPUs.
    """
    several = [*given] if isinstance(given, (list, tuple)) else [given]
    if not several or (len(several) > 1 and any(one.is_gpu for one in several)):
        raise ValueError(
            f"a Module computes on one GPU, got {shown(given)}: give it one of them, or start one "
            "process per GPU"
        )
    first: Context | None = several[0]
    return first


def warn_of_values() -> None:
    """Warn that parameters keep the values that they have."""
    warnings.warn(
        "Parameters already initialized and force_init=False. init_params call ignored.",
        stacklevel=3,
    )


def check_known(what: str, given: Collection[str], known: Collection[str]) -> None:
    """Raise ValueError where values are given for a name that a network does not have."""
    for name in given:
        if name not in known:
            raise ValueError(
                f"Find name {shown(name)} that is not in the {what}: they are "
                f"{listed(known) or 'none'}; allow_extra=True ignores it"
            )


def check_names(kind: str, names: Sequence[str], arguments: Sequence[str]) -> None:
    """Raise ValueError where a name is no argument of the symbol."""
    for name in names:
        if name not in arguments:
            raise ValueError(_not_there(kind, names, name, no_parameters(arguments)))


def labels_there(names: Sequence[str], arguments: Sequence[str], data: Sequence[str]) -> list[str]:
    """The labels that a symbol has. A warning names what else those it has not could be."""
    there = [name for name in names if name in arguments]
    others = likely_labels(arguments, [*there, *data])
    for name in names:
        if name not in arguments and others:
            warnings.warn(_not_there("label_names", names, name, others), stacklevel=3)
    return there


def likely_labels(arguments: Sequence[str], known: Sequence[str]) -> list[str]:
    """The arguments that could be labels, beside those of which it is known what they are."""
    free = [name for name in no_parameters(arguments) if name not in known]
    return [name for name in free if name.endswith("label")] or free


def no_parameters(arguments: Sequence[str]) -> list[str]:
    """The arguments that have no name of a parameter."""
    return [name for name in arguments if not name.endswith(_PARAMETERS)]


def _not_there(kind: str, names: Sequence[str], name: str, candidates: Sequence[str]) -> str:
    return (
        f"You created Module with Module(..., {kind}={list(names)}) but input with name "
        f"{shown(name)} is not found in symbol.list_arguments(). Did you mean one of: "
        f"{listed(candidates)}"
    )


def check_distinct(names: Sequence[str]) -> None:
    """Raise ValueError where a name stands twice among those of data, labels and states."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"data_names, label_names and state_names name {listed(repeated)} more than once: "
            "each array has one place"
        )


def check_count(batch: DataBatch, names: Sequence[str]) -> None:
    """Raise ValueError where a batch has more or fewer arrays of data than there are names."""
    if len(batch.data or ()) != len(names):
        raise ValueError(
            f"the batch has {len(batch.data or ())} arrays of data, and the module takes "
            f"{len(names)}: {listed(names) or 'none'}; give one for each of its data_names"
        )


def check_labels(batch: DataBatch, names: Sequence[str]) -> None:
    """Raise ValueError where a batch has no labels and there are names of some."""
    if names and not batch.label:
        raise ValueError(
            f"the batch has no labels, and gradients need {listed(names)}: those of the batch "
            "before would be wrong. Outputs alone are what forward computes"
        )


def check_all_labels(given: Collection[str], names: Sequence[str]) -> None:
    """Raise ValueError where a batch has some of the labels and not all."""
    if given and len(given) < len(names):
        raise ValueError(
            f"the batch has labels for {listed(given)}, the module was made for {listed(names)}"
        )


def check_iterator(what: str, data: Any, *needed: str) -> None:
    """Raise ValueError for what has not all that an iterator over batches needs."""
    missing = [name for name in ("__iter__", *needed) if not hasattr(data, name)]
    if missing:
        raise ValueError(
            f"{what} must be a DataIter, such as mx.io.NDArrayIter; {shown(data)} has no "
            f"{listed(missing)}"
        )


def as_batch(given: Any) -> DataBatch:
    """A batch from anything with a list of arrays as its ``data``, such as a named tuple.

    Raises:
        TypeError: something else.
    """
    if isinstance(given, DataBatch):
        return given
    data = getattr(given, "data", None)
    if not isinstance(data, (list, tuple)):
        raise TypeError(
            f"a batch must be a DataBatch, or have a list of arrays as its data, got {shown(given)}"
        )
    rest = ("label", "pad", "index", "bucket_key", "provide_data", "provide_label")
    return DataBatch(data, **{name: getattr(given, name, None) for name in rest})


def check_data(found: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise ValueError where data has other names than a module was made for."""
    if sorted(found) != sorted(wanted):
        raise ValueError(
            f"data_shapes names {listed(found) or 'nothing'}, the module was made for "
            f"{listed(wanted) or 'nothing'}: name the data so, or make the module with "
            f"data_names={shown(list(found))}"
        )


def check_label_names(
    found: Sequence[str], wanted: Sequence[str], arguments: Sequence[str], data: Sequence[str]
) -> None:
    """Raise ValueError where labels have other names than a module was made for."""
    if not found or sorted(found) == sorted(wanted):
        return
    has = list(wanted) or likely_labels(arguments, data)
    remedy = "the symbol has no argument that could be one: give data without labels"
    if has:
        remedy = (
            f"the symbol has {listed(has)}: make the module with label_names={shown(has)}, and "
            f"name the data's labels so, as NDArrayIter(..., label_name={shown(has[0])}) does"
        )
    raise ValueError(
        f"label_shapes names {listed(found)}, the module was made for "
        f"{listed(wanted) or 'no labels'}; {remedy}"
    )


def described_as(
    known: Sequence[DataDesc], arrays: Sequence[NDArray] | None, provided: Any
) -> list[DataDesc]:
    """Descriptions of the arrays of a batch, after its own or those of the batches before."""
    if provided is not None:
        return descriptions(provided)
    shapes = [array.shape for array in arrays or ()]
    return [
        old if old.shape == shape else DataDesc(old.name, shape, old.dtype, old.layout)
        for old, shape in zip(known, shapes, strict=False)
    ]
