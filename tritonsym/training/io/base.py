"""What iterators over data have in common: batches, and descriptions of the arrays in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...foundation.shape import Shape
from ...foundation.text import shown
from ...ndarray.core import NDArray


def check_batch_size(batch_size: Any) -> None:
    """Raise ValueError for what is no number of samples."""
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size={shown(batch_size)} must be an int of at least 1")


class _NameAndShape(NamedTuple):
    name: str
    shape: Shape


class DataDesc(_NameAndShape):
    """The name and shape of an array in a batch, and beside them its dtype and its layout.

    Attributes:
        dtype: numpy's scalar class.
        layout: a letter per axis; the one called N counts the samples.
    """

    dtype: Any
    layout: str

    def __new__(
        cls, name: str, shape: Shape, dtype: Any = np.float32, layout: str = "NCHW"
    ) -> DataDesc:
        made = super().__new__(cls, name, tuple(shape) if isinstance(shape, list) else shape)
        made.dtype = dtype
        made.layout = layout
        return made

    def __repr__(self) -> str:
        return f"DataDesc[{self.name},{self.shape},{self.dtype},{self.layout}]"

    def __reduce__(self) -> tuple[type[DataDesc], tuple[str, Shape, Any, str]]:
        return DataDesc, (self.name, self.shape, self.dtype, self.layout)

    @staticmethod
    def get_batch_axis(layout: str | None) -> int:
        """Which axis counts the samples: 0 without a layout, -1 where none does."""
        return 0 if layout is None else layout.find("N")

    @staticmethod
    def get_list(
        shapes: Sequence[tuple[str, Shape]], types: Sequence[tuple[str, Any]] | None
    ) -> list[DataDesc]:
        """Descriptions from pairs of name and shape, and of name and dtype."""
        dtypes: Mapping[str, Any] = dict(types or [])
        if types is None:
            return [DataDesc(name, shape) for name, shape in shapes]
        return [DataDesc(name, shape, dtypes[name]) for name, shape in shapes]


class DataBatch:
    """The arrays of one step.

    Args:
        data, label: lists of arrays.
        pad: how many samples at the end are there only to fill the batch.
        index: the numbers of the samples.
        bucket_key: which graph the batch is for, where there are several.
        provide_data, provide_label: descriptions of ``data`` and ``label``.

    Raises:
        AssertionError: ``data`` or ``label`` is no list.
    """

    def __init__(
        self,
        data: Sequence[NDArray],
        label: Sequence[NDArray] | None = None,
        pad: int | None = None,
        index: Any = None,
        bucket_key: Any = None,
        provide_data: Sequence[Any] | None = None,
        provide_label: Sequence[Any] | None = None,
    ) -> None:
        if data is not None:
            assert isinstance(data, (list, tuple)), "Data must be list of NDArrays"
        if label is not None:
            assert isinstance(label, (list, tuple)), "Label must be list of NDArrays"
        self.data = data
        self.label = label
        self.pad = pad
        self.index = index
        self.bucket_key = bucket_key
        self.provide_data = provide_data
        self.provide_label = provide_label

    def __str__(self) -> str:
        labels = [one.shape for one in self.label] if self.label else None
        return (
            f"{type(self).__name__}: data shapes: {[one.shape for one in self.data]} "
            f"label shapes: {labels}"
        )


class DataIter:
    """Batches, one after the other, until :meth:`reset`.

    A subclass has ``provide_data`` and ``provide_label``, and either :meth:`next`, or
    :meth:`iter_next` with the methods that give the parts of a batch.
    """

    provide_data: Any
    provide_label: Any

    def __init__(self, batch_size: int = 0) -> None:
        self.batch_size = batch_size

    def __iter__(self) -> DataIter:
        return self

    def __next__(self) -> DataBatch:
        return self.next()

    def reset(self) -> None:
        """Begin with the first batch again."""

    def next(self) -> DataBatch:
        """The next batch.

        Raises:
            StopIteration: there is none.
        """
        if not self.iter_next():
            raise StopIteration
        return DataBatch(
            data=self.getdata(), label=self.getlabel(), pad=self.getpad(), index=self.getindex()
        )

    def iter_next(self) -> bool:
        """Go to the next batch; whether there is one."""
        return False

    def getdata(self) -> Any:
        """The data of the present batch."""
        return None

    def getlabel(self) -> Any:
        """The labels of the present batch, if it has some."""
        return None

    def getindex(self) -> Any:
        """The numbers of the samples of the present batch, if they are known."""
        return None

    def getpad(self) -> int | None:
        """How many samples of the present batch are there only to fill it, if that is known."""
        return None
