"""MXNet's binary format of arrays, `.params`: written to the byte, read with suspicion.

A file is a list of arrays and a list of their names, which may be empty. Each array has a magic
number, a storage type, a shape, a context, a dtype number and its data, all little-endian. Every
length is checked against what the file holds before anything of that size is allocated.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..context import Context
from ..foundation.dtype import BFLOAT16, BOOL, BY_CODE, as_dtype
from ..foundation.errors import MXNetError
from ..foundation.files import read_file, replace_file
from ..foundation.shape import MAX_AXES
from ..foundation.text import shown

_FILE_MAGIC = 0x112
_ARRAY_MAGIC = 0xF993FAC9
_ARRAY_MAGIC_1 = 0xF993FAC8
_DENSE = 0

Item = tuple[str | None, torch.Tensor, Context]


# ---- writing -----------------------------------------------------------------------------------


def dump(
    tensors: Sequence[torch.Tensor], contexts: Sequence[Context], names: Sequence[str] = ()
) -> bytes:
    """The bytes of a file; ``names`` is empty or has one name for each tensor."""
    parts = [struct.pack("<QQQ", _FILE_MAGIC, 0, len(tensors))]
    for tensor, context in zip(tensors, contexts, strict=True):
        dtype = as_dtype(tensor.dtype)
        parts.append(struct.pack("<IiI", _ARRAY_MAGIC, _DENSE, tensor.ndim))
        parts.append(struct.pack(f"<{tensor.ndim}q", *tensor.shape))
        parts.append(struct.pack("<iii", context.device_typeid, context.device_id, dtype.code))
        parts.append(
            tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    parts.append(struct.pack("<Q", len(names)))
    for name in names:
        encoded = name.encode()
        parts.append(struct.pack("<Q", len(encoded)) + encoded)
    return b"".join(parts)


def write(
    path: str | Path,
    tensors: Sequence[torch.Tensor],
    contexts: Sequence[Context],
    names: Sequence[str] = (),
) -> None:
    """Write a file, which is replaced as a whole or not at all."""
    replace_file(path, dump(tensors, contexts, names))


# ---- reading -----------------------------------------------------------------------------------


class _Reader:
    """A place in some bytes that cannot be moved beyond their end."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._content) - self._at

    def take(self, count: int, what: str) -> memoryview:
        if count > self.left:
            raise MXNetError(
                f"damaged file: {what} needs {count} bytes at {self._at}, {self.left} are left"
            )
        self._at += count
        return self._content[self._at - count : self._at]

    def unpack(self, layout: str, what: str) -> tuple[int, ...]:
        return struct.unpack(f"<{layout}", self.take(struct.calcsize(f"<{layout}"), what))


def read(path: str | Path) -> list[Item]:
    """The arrays of a file, with their names and the contexts they were saved on.

    Raises:
        MXNetError: it cannot be read or is damaged.
    """
    content = read_file(path)
    try:
        return parse(content)
    except MXNetError as error:
        raise MXNetError(f"{shown(str(path))}: {error}") from None


def parse(content: bytes) -> list[Item]:
    """:func:`read` from bytes."""
    reader = _Reader(content)
    magic, _, count = reader.unpack("QQQ", "the header")
    if magic != _FILE_MAGIC:
        raise MXNetError(f"no file of arrays: it begins with {magic:#x}, not {_FILE_MAGIC:#x}")
    # The shortest array takes more bytes than this, so that no count can exhaust the memory.
    if count * 8 > reader.left:
        raise MXNetError(f"damaged file: {count} arrays in {reader.left} bytes")
    arrays = [_array(reader, f"array {i}") for i in range(count)]
    (name_count,) = reader.unpack("Q", "the number of names")
    if name_count not in (0, count):
        raise MXNetError(f"damaged file: {name_count} names for {count} arrays")
    names: list[str | None] = [_name(reader, i) for i in range(name_count)]
    if len(set(names)) != len(names):
        raise MXNetError("damaged file: a name stands twice")
    if reader.left:
        raise MXNetError(f"damaged file: {reader.left} bytes behind the end")
    padded = names or [None] * count
    return [(name, *array) for name, array in zip(padded, arrays, strict=True)]


def parse_one(content: bytes) -> torch.Tensor:
    """One array that stands alone, as MXNet's pickles have it.

    Raises:
        MXNetError: it is damaged.
    """
    reader = _Reader(content)
    array, _ = _array(reader, "the array")
    if reader.left:
        raise MXNetError(f"damaged file: {reader.left} bytes behind the end")
    return array


def _name(reader: _Reader, number: int) -> str:
    (length,) = reader.unpack("Q", f"name {number}")
    try:
        return bytes(reader.take(length, f"name {number}")).decode()
    except UnicodeDecodeError:
        raise MXNetError(f"damaged file: name {number} is not UTF-8") from None


def _array(reader: _Reader, what: str) -> tuple[torch.Tensor, Context]:
    (magic,) = reader.unpack("I", what)
    if magic == _ARRAY_MAGIC:
        (storage,) = reader.unpack("i", what)
        if storage != _DENSE:
            raise MXNetError(f"{what} is stored sparsely ({storage}), which is not supported")
        shape = _shape(reader, reader.unpack("I", what)[0], "q", what)
    elif magic == _ARRAY_MAGIC_1:
        shape = _shape(reader, reader.unpack("I", what)[0], "q", what)
    else:  # the oldest format begins with the number of axes
        shape = _shape(reader, magic, "I", what)
    device_type, device_id, code = reader.unpack("iii", what)
    if device_type not in Context.devtype2str or code not in BY_CODE:
        raise MXNetError(f"damaged file: {what} has device {device_type} and dtype {code}")
    dtype = BY_CODE[code]
    size = math.prod(shape) * dtype.itemsize
    data = reader.take(size, f"the data of {what}, {dtype.name}{list(shape)},")
    if dtype is BOOL:  # any byte but 0 is true; in memory it must be 1
        values = torch.from_numpy(np.frombuffer(data, dtype=np.uint8) != 0)
    else:
        plain = np.uint16 if dtype is BFLOAT16 else dtype.numpy
        values = torch.from_numpy(np.frombuffer(data, dtype=plain).copy())
    context = Context(Context.devtype2str[device_type], device_id)
    return values.view(dtype.torch).view(shape), context


def _shape(reader: _Reader, axes: int, layout: str, what: str) -> tuple[int, ...]:
    if not 0 < axes <= MAX_AXES:
        raise MXNetError(f"damaged file: {what} has {axes} axes")
    shape = reader.unpack(f"{axes}{layout}", f"the shape of {what}")
    if any(length < 0 for length in shape):
        raise MXNetError(f"damaged file: {what} has shape {shape}")
    return shape
