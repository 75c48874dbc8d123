"""What modules refuse: names, batches and iterators that do not fit, each with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...foundation.text import listed, shown
from ...ndarray.core import NDArray
from ..io.base import DataBatch, DataDesc


def descriptions(given: Sequence[Any] | None) -> list[DataDesc]:
    """Descriptions from pairs of name and shape, or from descriptions."""
    return [one if isinstance(one, DataDesc) else DataDesc(*one) for one in given or ()]


def check_names(kind: str, names: Sequence[str], arguments: Sequence[str]) -> None:
    """Raise ValueError where a name is no argument of the symbol."""
    for name in names:
        if name not in arguments:
            ends = ("_weight", "_bias", "_gamma", "_beta")
            candidates = [one for one in arguments if not one.endswith(ends)]
            raise ValueError(
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
            f"the batch has {len(batch.data or ())} arrays of data, the module was made for "
            f"{listed(names) or 'none'}"
        )


def check_labels(batch: DataBatch, names: Sequence[str]) -> None:
    """Raise ValueError where a batch has no labels and there are names of some."""
    if names and not batch.label:
        raise ValueError(
            f"the batch has no labels, and gradients need {listed(names)}: those of the batch "
            "before would be wrong. Outputs alone are what forward computes"
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


def check_same(what: str, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise ValueError where there are other names than wanted."""
    if sorted(found) != sorted(wanted):
        raise ValueError(
            f"{what} names {listed(found) or 'nothing'}, the module was made for "
            f"{listed(wanted) or 'nothing'}"
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
