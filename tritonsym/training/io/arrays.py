"""Batches of arrays in memory, and iterators over other iterators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from ...foundation.text import escaped, shown
from ...ndarray.core import NDArray, invoke_one
from ...ndarray.create import array, concatenate
from .base import DataBatch, DataDesc, DataIter, check_batch_size

LAST_BATCH = ("pad", "discard", "roll_over")


def named_arrays(given: Any, allow_empty: bool, default_name: str) -> list[tuple[str, NDArray]]:
    """Arrays by name, from one array, a list of them, or a dict.

    Raises:
        AssertionError: there are none, where some are needed.
        TypeError: something else than arrays.
    """
    if given is None:
        given = []
    if isinstance(given, (np.ndarray, NDArray)):
        given = [given]
    if isinstance(given, list):
        assert allow_empty or given, f"{default_name} needs at least one array"
        alone = len(given) == 1
        names = [default_name] if alone else [f"_{i}_{default_name}" for i in range(len(given))]
        given = dict(zip(names, given, strict=True))
    if not isinstance(given, Mapping):
        raise TypeError(
            f"{default_name} must be an NDArray, a numpy array, a list of them or a dict of them, "
            f"got {type(given)}"
        )
    found = []
    for name, value in sorted(given.items()):
        if not isinstance(value, (np.ndarray, NDArray)):
            raise TypeError(
                f"{default_name}: {escaped(name)} must be an NDArray or a numpy array, got "
                f"{type(value)}"
            )
        found.append((name, value if isinstance(value, NDArray) else array(value)))
    return found


class NDArrayIter(DataIter):
    """Batches of arrays, along their first axis.

    Args:
        data: an array, a list of arrays or a dict of them; float32, unless it is an NDArray.
        label: the same for labels; may be left out.
        batch_size: the length of the first axis of a batch.
        shuffle: put the samples into a new random order at every reset. The order is drawn with
            ``numpy.random``.
        last_batch_handle: what happens with samples that fill no batch: ``pad`` it with the first
            ones, ``discard`` them, or let them ``roll_over`` into the next epoch's first batch.
        data_name, label_name: the names of what comes without one.
        layout: of all the arrays.

    Raises:
        AssertionError: there is no data.
        ValueError: arrays of different lengths, fewer samples than a batch where they are not
            padded, or another ``last_batch_handle``.
        TypeError: something else than arrays.
    """

    def __init__(
        self,
        data: Any,
        label: Any = None,
        batch_size: int = 1,
        shuffle: bool = False,
        last_batch_handle: str = "pad",
        data_name: str = "data",
        label_name: str = "softmax_label",
        layout: str = "NCHW",
    ) -> None:
        check_batch_size(batch_size)
        super().__init__(batch_size)
        self.data = named_arrays(data, allow_empty=False, default_name=data_name)
        self.label = named_arrays(label, allow_empty=True, default_name=label_name)
        if last_batch_handle not in LAST_BATCH:
            raise ValueError(
                f"last_batch_handle={shown(last_batch_handle)} must be one of {LAST_BATCH}"
            )
        self.num_data = self.data[0][1].shape[0]
        for name, one in (*self.data, *self.label):
            if one.shape[0] != self.num_data:
                raise ValueError(
                    f"{escaped(name)} has {one.shape[0]} samples, {escaped(self.data[0][0])} has "
                    f"{self.num_data}"
                )
        if last_batch_handle != "pad" and self.num_data < batch_size:
            raise ValueError(f"{batch_size=} does not fit {self.num_data} samples")
        self.data_list = [one for _, one in (*self.data, *self.label)]
        self.num_source = len(self.data_list)
        self.idx = np.arange(self.num_data)
        self.shuffle = shuffle
        self.last_batch_handle = last_batch_handle
        self.layout = layout
        self.cursor = -batch_size
        self._left_over: tuple[list[NDArray], list[NDArray]] | None = None
        self.reset()

    @property
    def provide_data(self) -> list[DataDesc]:
        """The name, shape and dtype of each array of a batch."""
        return self._described(self.data)

    @property
    def provide_label(self) -> list[DataDesc]:
        """The same for labels."""
        return self._described(self.label)

    def _described(self, arrays: Sequence[tuple[str, NDArray]]) -> list[DataDesc]:
        return [
            DataDesc(name, (self.batch_size, *one.shape[1:]), one.dtype, self.layout)
            for name, one in arrays
        ]

    def hard_reset(self) -> None:
        """Begin anew, without samples that were to roll over."""
        if self.shuffle:
            self._shuffle()
        self.cursor = -self.batch_size
        self._left_over = None

    def reset(self) -> None:
        """Begin the next epoch."""
        if self.shuffle:
            self._shuffle()
        rolls = self.last_batch_handle == "roll_over"
        if rolls and self.num_data - self.batch_size < self.cursor < self.num_data:
            self.cursor -= self.num_data + self.batch_size
        else:
            self.cursor = -self.batch_size

    def _shuffle(self) -> None:
        np.random.shuffle(self.idx)
        order = array(self.idx, dtype="int64")
        # The operator, and no key: it need not look whether all numbers are in range.
        self.data = [(name, invoke_one("take", (one, order))) for name, one in self.data]
        self.label = [(name, invoke_one("take", (one, order))) for name, one in self.label]

    def iter_next(self) -> bool:
        """Go to the next batch; whether there is one."""
        self.cursor += self.batch_size
        if self.last_batch_handle == "discard":
            return self.cursor + self.batch_size <= self.num_data
        return self.cursor < self.num_data

    def next(self) -> DataBatch:
        """The next batch.

        Raises:
            StopIteration: the epoch is over.
        """
        if not self.iter_next():
            raise StopIteration
        data, label = self.getdata(), self.getlabel()
        if data[0].shape[0] != self.batch_size:
            self._left_over = data, label
            raise StopIteration
        return DataBatch(data=data, label=label, pad=self.getpad(), index=None)

    def getdata(self) -> list[NDArray]:
        """The data of the present batch."""
        return self._batch(self.data, 0)

    def getlabel(self) -> list[NDArray]:
        """The labels of the present batch."""
        return self._batch(self.label, 1)

    def getpad(self) -> int:
        """How many samples of the present batch belong to another epoch, or come twice."""
        past = self.cursor + self.batch_size - self.num_data
        if self.last_batch_handle == "pad" and past > 0:
            return past
        if self.last_batch_handle == "roll_over" and -self.batch_size < self.cursor < 0:
            return -self.cursor
        return 0

    def _batch(self, arrays: Sequence[tuple[str, NDArray]], which: int) -> list[NDArray]:
        end = self.cursor + self.batch_size
        if self.cursor < 0:
            assert self._left_over is not None, "the last epoch did not come to its end"
            left = self._left_over[which]
            return [
                concatenate([first, one[:end]])
                for first, (_, one) in zip(left, arrays, strict=True)
            ]
        if end <= self.num_data or self.last_batch_handle == "roll_over":
            return [one[self.cursor : min(end, self.num_data)] for _, one in arrays]
        wrapped = array(np.arange(self.cursor, end) % self.num_data, dtype="int64")
        return [one[wrapped] for _, one in arrays]


class _AroundAnother(DataIter):
    """An iterator that keeps the present batch of another one."""

    current_batch: DataBatch | None = None

    def _batch(self) -> DataBatch:
        assert self.current_batch is not None, "there is no batch before the first iter_next()"
        return self.current_batch

    def getdata(self) -> Any:
        """The data of the present batch."""
        return self._batch().data

    def getlabel(self) -> Any:
        """The labels of the present batch."""
        return self._batch().label

    def getindex(self) -> Any:
        """The numbers of the samples of the present batch, if they are known."""
        return self._batch().index

    def getpad(self) -> int | None:
        """How many samples of the present batch are there only to fill it."""
        return self._batch().pad


class ResizeIter(_AroundAnother):
    """Epochs of ``size`` batches, whatever the length of those of another iterator.

    Args:
        data_iter: the other one, which begins again where it ends.
        size: batches per epoch.
        reset_internal: reset the other one too at every reset.

    Raises:
        ValueError: ``size`` is negative, or no int.
    """

    def __init__(self, data_iter: DataIter, size: int, reset_internal: bool = True) -> None:
        if not isinstance(size, (int, np.integer)) or size < 0:
            raise ValueError(f"{size=} must be a number of batches: an int of at least 0")
        super().__init__(data_iter.batch_size)
        self.data_iter = data_iter
        self.size = size
        self.reset_internal = reset_internal
        self.cur = 0
        self.provide_data = data_iter.provide_data
        self.provide_label = data_iter.provide_label
        if hasattr(data_iter, "default_bucket_key"):
            self.default_bucket_key = data_iter.default_bucket_key

    def reset(self) -> None:
        """Begin the next epoch."""
        self.cur = 0
        if self.reset_internal:
            self.data_iter.reset()

    def iter_next(self) -> bool:
        """Go to the next batch; whether there is one."""
        if self.cur == self.size:
            return False
        try:
            self.current_batch = self.data_iter.next()
        except StopIteration:
            self.data_iter.reset()
            self.current_batch = self.data_iter.next()
        self.cur += 1
        return True


class PrefetchingIter(_AroundAnother):
    """The batches of several iterators side by side, made in threads before they are needed.

    Args:
        iters: an iterator, or a list of them; all have batches of one size.
        rename_data: for each iterator, new names of its data by old names.
        rename_label: the same for labels.
    """

    def __init__(
        self,
        iters: DataIter | list[DataIter],
        rename_data: list[Mapping[str, str]] | None = None,
        rename_label: list[Mapping[str, str]] | None = None,
    ) -> None:
        self.iters = iters if isinstance(iters, list) else [iters]
        assert self.iters, "PrefetchingIter needs at least one iterator"
        self.rename_data = rename_data
        self.rename_label = rename_label
        super().__init__(self.provide_data[0][1][0])
        self._threads = ThreadPoolExecutor(len(self.iters), "prefetch")
        self._begin()

    @property
    def provide_data(self) -> list[DataDesc]:
        """The descriptions of all iterators, renamed."""
        return _renamed([one.provide_data for one in self.iters], self.rename_data)

    @property
    def provide_label(self) -> list[DataDesc]:
        """The same for labels."""
        return _renamed([one.provide_label for one in self.iters], self.rename_label)

    def _begin(self) -> None:
        self._waiting: list[Future[DataBatch | None]] = [
            self._threads.submit(_next_or_none, one) for one in self.iters
        ]

    def reset(self) -> None:
        """Begin with the first batch again."""
        wait(self._waiting)  # what failed there is nothing to the new beginning
        for one in self.iters:
            one.reset()
        self._begin()

    def iter_next(self) -> bool:
        """Go to the next batch; whether there is one."""
        batches = [future.result() for future in self._waiting]
        found = [batch for batch in batches if batch is not None]
        if len(found) < len(batches):
            assert not found, "the iterators have different numbers of batches"
            return False
        assert len({batch.pad for batch in found}) == 1, "the iterators pad differently"
        self.current_batch = DataBatch(
            [one for batch in found for one in batch.data],
            [one for batch in found for one in batch.label or []],
            found[0].pad,
            found[0].index,
            provide_data=self.provide_data,
            provide_label=self.provide_label,
        )
        self._begin()
        return True

    def next(self) -> DataBatch:
        """The next batch.

        Raises:
            StopIteration: there is none.
        """
        if not self.iter_next():
            raise StopIteration
        return self._batch()


def _next_or_none(one: DataIter) -> DataBatch | None:
    try:
        return one.next()
    except StopIteration:
        return None


def _renamed(
    described: Sequence[Sequence[Any]], names: Sequence[Mapping[str, str]] | None
) -> list[DataDesc]:
    by_iterator = names or [{}] * len(described)
    return [
        DataDesc(
            new.get(desc[0], desc[0]),
            desc[1],
            getattr(desc, "dtype", np.float32),
            getattr(desc, "layout", "NCHW"),
        )
        for new, descs in zip(by_iterator, described, strict=True)
        for desc in descs
    ]
