"""Batches of what local files hold: numbers in text, and the images of handwritten digits."""

from __future__ import annotations

import gzip
import math
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ...foundation.dtype import FLOAT32, DType, as_dtype
from ...foundation.errors import LoweringError, MXNetError
from ...foundation.shape import Shape, check_array, given_shape
from ...foundation.text import escaped, shown
from ...ndarray.core import NDArray
from ...ndarray.create import array
from .base import DataDesc, DataIter, check_batch_size

Array = np.ndarray[Any, Any]

# What a number of a table takes at most, with its comma and spaces.
MOST_CHARACTERS = 64
# How many bytes one compressed byte can stand for (zlib's technical notes), and what a compressed
# file may hold: several times the largest of these data sets.
DEFLATED = 1032
MOST_BYTES = 1 << 31


# Keywords of MXNet's iterators that say how they work and nothing about the batches, and such as
# programs give them: they are taken, and nothing follows of them.
OTHERS = frozenset(("ctx", "data_shape", "input_shape", "prefetch_buffer", "preprocess_threads"))


def _check_others(given: Iterable[str]) -> None:
    unknown = sorted({*given} - OTHERS)
    if unknown:
        raise TypeError(
            f"there is no keyword {shown(unknown)}; those without effect are {sorted(OTHERS)}"
        )


class _Rows(DataIter):
    """Batches of two numpy arrays.

    Raises:
        ValueError: a ``batch_size`` that is no number of samples.
    """

    def __init__(
        self,
        data: Array,
        label: Array,
        batch_size: int,
        data_name: str,
        label_name: str,
        dtype: DType = FLOAT32,
    ) -> None:
        check_batch_size(batch_size)
        super().__init__(batch_size)
        self._data, self._label = data, label
        self._dtype = dtype
        self._start = 0
        self._at = np.arange(0)
        self.provide_data, self.provide_label = (
            [DataDesc(name, (batch_size, *rows.shape[1:]), dtype.numpy)]
            for name, rows in ((data_name, data), (label_name, label))
        )

    def getdata(self) -> list[NDArray]:
        """The data of the present batch."""
        return [array(self._data[self._at], dtype=self._dtype)]

    def getlabel(self) -> list[NDArray]:
        """The labels of the present batch."""
        return [array(self._label[self._at], dtype=self._dtype)]

    def getindex(self) -> Array:
        """The numbers of the samples of the present batch."""
        return self._at.astype(np.uint64)


class CSVIter(_Rows):
    """Batches of the rows of text files whose numbers stand between commas.

    Args:
        data_csv: the path of the data.
        data_shape: of one sample; a row has as many numbers.
        label_csv: the path of the labels; zeros if not given.
        label_shape: of one label.
        batch_size: samples per batch.
        round_batch: whether samples that fill up the last batch are taken from the next epoch,
            which begins after them. Otherwise they come again.
        dtype: what the numbers are read as, and the dtype of the batches.
        data_name, label_name: names in the descriptions.
        others: of `OTHERS`.

    Raises:
        MXNetError: a file that cannot be read, or whose rows do not fit the shapes; or a shape or
            dtype that no array can have.
        TypeError: a shape that is no tuple of ints, a dtype that is none, or another keyword.
        ValueError: ``batch_size`` is below 1, or no int.
    """

    def __init__(
        self,
        data_csv: str | Path,
        data_shape: Shape,
        label_csv: str | Path | None = None,
        label_shape: Shape = (1,),
        batch_size: int = 1,
        round_batch: bool = True,
        dtype: Any = "float32",
        data_name: str = "data",
        label_name: str = "softmax_label",
        **others: Any,
    ) -> None:
        _check_others(others)
        kind = _dtype(dtype)
        data_shape = _row_shape("data_shape", data_shape, kind)
        label_shape = _row_shape("label_shape", label_shape, kind)
        data = _table(data_csv, data_shape, kind)
        if label_csv is None:  # one zero, seen as many
            label = np.broadcast_to(np.zeros((), kind.numpy), (len(data), *label_shape))
        else:
            label = _table(label_csv, label_shape, kind)
        if len(label) != len(data):
            raise MXNetError(f"there are {len(data)} rows of data and {len(label)} of labels")
        if label.shape[1:] == (1,):
            label = label[:, 0]
        super().__init__(data, label, batch_size, data_name, label_name, kind)
        self._round = round_batch
        self._taken = 0

    def reset(self) -> None:
        """Begin the next epoch."""
        self._start = self._taken % len(self._data) if self._round else 0
        self._taken = 0

    def iter_next(self) -> bool:
        """Go to the next batch; whether there is one."""
        total = len(self._data)
        if self._start >= total:
            return False
        self._at = np.arange(self._start, self._start + self.batch_size) % total
        self._start += self.batch_size
        self._taken = max(0, self._start - total)
        return True

    def getpad(self) -> int:
        """How many samples of the present batch are there only to fill it."""
        return self._taken


def _dtype(given: Any) -> DType:
    try:
        if given is None:
            raise TypeError("None is no dtype")
        return as_dtype(given)
    except TypeError as error:
        raise TypeError(f"dtype={shown(given)} is not supported: {error}") from None


def _row_shape(name: str, given: Any, dtype: DType) -> Shape:
    shape = given_shape(name, tuple(given) if isinstance(given, list) else given)
    try:
        check_array((1, *shape), dtype.itemsize)
    except LoweringError as error:
        raise MXNetError(f"{name}={shown(shape)}: {error}") from None
    return shape


def _table(path: str | Path, shape: Shape, dtype: DType) -> Array:
    """The rows of a file as arrays of this shape."""
    columns, name = math.prod(shape), escaped(str(path))
    _check_regular(path)
    try:
        with Path(path).open(encoding="utf-8") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty file is an error below
            rows = np.loadtxt(_lines(file, columns, name), dtype.numpy, delimiter=",", ndmin=2)
    except (OSError, ValueError, MemoryError) as error:
        raise MXNetError(f"cannot read {name}: {escaped(str(error))}") from None
    if not len(rows) or rows.shape[1] != columns:
        raise MXNetError(
            f"{name} has {rows.shape} numbers, each row needs {columns} for shape {shown(shape)}"
        )
    return rows.reshape(-1, *shape)


def _lines(file: TextIO, columns: int, name: str) -> Iterator[str]:
    """The lines of a table, none of which is longer than its numbers can be."""
    longest = columns * MOST_CHARACTERS
    for number in count(1):
        line = file.readline(longest)
        if len(line) == longest and not line.endswith("\n"):
            raise MXNetError(f"{name}: row {number} is longer than {columns} numbers can be")
        if not line:
            return
        yield line


def _check_regular(path: str | Path) -> None:
    """Raise MXNetError for what may have no end, such as a device."""
    if Path(path).exists() and not Path(path).is_file():
        raise MXNetError(f"cannot read {escaped(str(path))}: it is no regular file")


class MNISTIter(_Rows):
    """Batches of images and labels in the format of the MNIST database of handwritten digits.

    The images are numbers from 0 up to 255/256; samples that fill no batch are left out.

    Args:
        image, label: the paths of the files, which may be compressed by gzip.
        batch_size: samples per batch.
        shuffle: put the samples into a random order, once.
        flat: give rows of numbers instead of images of one channel.
        seed: of the order.
        silent: say nothing about what was read.
        num_parts, part_index: into how many parts the samples are cut, and which one is used.
        data_name, label_name: names in the descriptions.
        dtype: of the images in a batch.
        others: of `OTHERS`.

    Raises:
        MXNetError: a file that cannot be read, or is no such file.
        TypeError: another keyword.
        ValueError: ``batch_size`` is below 1, or no int.
    """

    def __init__(
        self,
        image: str | Path = "./train-images-idx3-ubyte",
        label: str | Path = "./train-labels-idx1-ubyte",
        batch_size: int = 128,
        shuffle: bool = True,
        flat: bool = False,
        seed: int = 0,
        silent: bool = False,
        num_parts: int = 1,
        part_index: int = 0,
        data_name: str = "data",
        label_name: str = "softmax_label",
        dtype: Any = "float32",
        **others: Any,
    ) -> None:
        _check_others(others)
        if not 0 <= part_index < num_parts:
            raise MXNetError(f"{part_index=} must be below {num_parts=}")
        images, labels = _idx_file(image, 3), _idx_file(label, 1)
        if len(images) != len(labels):
            raise MXNetError(f"there are {len(images)} images and {len(labels)} labels")
        first, last = (len(images) * part // num_parts for part in (part_index, part_index + 1))
        part = slice(first, last)
        images, labels = images[part], labels[part]
        if shuffle:
            order = np.random.default_rng(seed).permutation(len(images))
            images, labels = images[order], labels[order]
        size = images.shape[1:]
        images = images.reshape(len(images), *((math.prod(size),) if flat else (1, *size)))
        super().__init__(images, labels, batch_size, data_name, label_name, _dtype(dtype))
        if not silent:
            print(f"MNISTIter: load {len(images)} images, shuffle={int(shuffle)}, shape="
                  f"{self.provide_data[0].shape}")  # fmt: skip

    def getdata(self) -> list[NDArray]:
        """The images of the present batch; all of them are kept as the bytes that they were."""
        images = self._data[self._at].astype(np.float32) / np.float32(256)
        return [array(images, dtype=self._dtype)]

    def reset(self) -> None:
        """Begin with the first batch again."""
        self._start = 0

    def iter_next(self) -> bool:
        """Go to the next batch; whether there is one."""
        if self._start + self.batch_size > len(self._data):
            return False
        self._at = np.arange(self._start, self._start + self.batch_size)
        self._start += self.batch_size
        return True

    def getpad(self) -> int:
        """Always 0: there are only full batches."""
        return 0


def _idx_file(path: str | Path, axes: int) -> Array:
    """The bytes of an IDX file, in its shape.

    The format: two zero bytes, 8 for unsigned bytes, the number of axes, their lengths as
    big-endian 32-bit numbers, and the values.
    """
    start, name = 4 + 4 * axes, escaped(str(path))
    _check_regular(path)
    try:
        with Path(path).open("rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            file = gzip.GzipFile(fileobj=raw) if compressed else raw
            head = file.read(start)
            if len(head) < start or head[:4] != bytes([0, 0, 8, axes]):
                raise MXNetError(f"{name} is no IDX file of bytes with {axes} axes")
            shape = struct.unpack(f">{axes}I", head[4:])
            size = Path(path).stat().st_size
            most = min(size * DEFLATED, MOST_BYTES) if compressed else size - start
            if math.prod(shape) > most:
                raise MXNetError(
                    f"{name} claims shape {shape}, which needs {math.prod(shape)} bytes: it can "
                    f"have {most} at most"
                )
            content = file.read(math.prod(shape) + 1)  # one more, to see that there is none
    except (OSError, EOFError, MemoryError, ValueError, zlib.error) as error:
        raise MXNetError(f"cannot read {name}: {escaped(str(error))}") from None
    if not content:
        raise MXNetError(f"{name} has shape {shape}, which is nothing")
    if len(content) != math.prod(shape):
        raise MXNetError(
            f"{name} claims shape {shape}, which needs {math.prod(shape)} bytes, and does not have "
            "as many"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
