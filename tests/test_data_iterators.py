"""Iterators over data, where MXNet has no answer to compare with: refusals and damaged files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

import tritonsym as mx


def test_what_does_not_fit_is_refused() -> None:
    data, label = np.zeros((7, 2)), np.zeros(6)
    with pytest.raises(ValueError, match="softmax_label has 6 samples, data has 7"):
        mx.io.NDArrayIter(data, label, 2)
    with pytest.raises(ValueError, match="last_batch_handle"):
        mx.io.NDArrayIter(data, batch_size=2, last_batch_handle="wrap")
    with pytest.raises(ValueError, match="batch_size=8"):
        mx.io.NDArrayIter(data, batch_size=8, last_batch_handle="discard")


def test_shuffling_keeps_samples_together() -> None:
    iterator = mx.io.NDArrayIter(np.arange(20), np.arange(20) * 2, 4, shuffle=True)
    for _ in range(2):
        seen = []
        for batch in iterator:
            values = batch.data[0].asnumpy()
            assert (batch.label[0].asnumpy() == 2 * values).all()
            seen += values.tolist()
        assert sorted(seen) == list(range(20))
        assert seen != list(range(20))
        iterator.reset()


def test_compressed_images(tmp_path: Path) -> None:
    images, labels = tmp_path / "images.gz", tmp_path / "labels.gz"
    images.write_bytes(
        gzip.compress(struct.pack(">IIII", 2051, 2, 1, 2) + bytes([0, 64, 128, 255]))
    )
    labels.write_bytes(gzip.compress(struct.pack(">II", 2049, 2) + bytes([7, 9])))
    made = mx.io.MNISTIter(images, labels, batch_size=2, shuffle=False, silent=True)
    batch = next(made)
    assert batch.data[0].asnumpy().tolist() == [[[[0, 0.25]]], [[[0.5, 255 / 256]]]]
    assert batch.label[0].asnumpy().tolist() == [7, 9]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x00",
        struct.pack(">IIII", 2051, 2, 1, 2) + bytes(3),
        struct.pack(">IIII", 2051, 2, 1, 2) + bytes(5),
        struct.pack(">IIII", 2049, 2, 1, 2) + bytes(4),
        struct.pack(">IIII", 2051, 2**32 - 1, 2**32 - 1, 2**32 - 1),
        b"\x1f\x8b damaged",
    ],
)
def test_damaged_images(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(mx.MXNetError, match="images"):
        mx.io.MNISTIter(path, path, batch_size=1, silent=True)


@pytest.mark.parametrize("text", ["", "1,2\n3\n", "1,x\n", "1,2,3\n"])
def test_damaged_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)  # long paths are cut in messages
    Path("table.csv").write_text(text)
    with pytest.raises(mx.MXNetError, match=r"table\.csv"):
        mx.io.CSVIter("table.csv", (2,), batch_size=1)


def test_tables_without_rounding_begin_anew(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("1\n2\n3\n")
    iterator = mx.io.CSVIter(path, (1,), batch_size=2, round_batch=False)
    for _ in range(2):
        found = [(batch.data[0].asnumpy().ravel().tolist(), batch.pad) for batch in iterator]
        assert found == [([1, 2], 0), ([3, 1], 1)]
        iterator.reset()


@pytest.mark.parametrize("dtype", ["int32", "int64", "float64"])
def test_tables_of_a_dtype_give_batches_of_it(dtype: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("16777217,2\n3,4\n")
    batches = mx.io.CSVIter(tmp_path / "table.csv", (2,), batch_size=2, dtype=dtype)
    (found,) = batches.next().data
    assert found.dtype == batches.provide_data[0].dtype == np.dtype(dtype)
    assert found.asnumpy().tolist() == [[16777217, 2], [3, 4]]
