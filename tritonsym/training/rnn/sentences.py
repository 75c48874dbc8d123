"""Sentences as numbers, in batches of one length each."""

from __future__ import annotations

import bisect
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...foundation.dtype import as_dtype
from ...foundation.text import shown
from ...ndarray.create import array
from ..io.base import DataBatch, DataDesc, DataIter, check_batch_size


def encode_sentences(
    sentences: Sequence[Sequence[Any]],
    vocab: dict[Any, int] | None = None,
    invalid_label: int = -1,
    invalid_key: Any = "\n",
    start_label: int = 0,
    unknown_token: Any = None,
) -> tuple[list[list[int]], dict[Any, int]]:
    """Words as numbers.

    Args:
        sentences: lists of words.
        vocab: the numbers by word; made anew if not given.
        invalid_label: a number that no word gets; it stands for ``invalid_key``.
        invalid_key: what fills sentences up.
        start_label: the first number.
        unknown_token: what stands for words that ``vocab`` does not have.

    Returns:
        The sentences as numbers, and the vocabulary.

    Raises:
        AssertionError: a word that is not in ``vocab``, and no ``unknown_token``.
    """
    grows = vocab is None
    known = {invalid_key: invalid_label} if vocab is None else vocab
    number = start_label
    encoded = []
    for sentence in sentences:
        line = []
        for word in sentence:
            if word not in known:
                assert grows or unknown_token is not None, f"Unknown token {shown(word)}"
                if unknown_token is not None:
                    word = unknown_token
                if number == invalid_label:
                    number += 1
                known[word] = number
                number += 1
            line.append(known[word])
        encoded.append(line)
    return encoded, known


class BucketSentenceIter(DataIter):
    """Batches of sentences of about one length; the label of a word is the next word.

    Args:
        sentences: lists of numbers.
        batch_size: sentences per batch; those that fill no batch are left out.
        buckets: the lengths to which sentences are filled up; all that fill a batch if not given.
            Longer sentences are left out.
        invalid_label: what fills sentences up.
        data_name, label_name: names in the descriptions.
        dtype: of the numbers.
        layout: ``NT`` or ``TN``.

    Raises:
        ValueError: another layout, or no length that fills a batch.
    """

    def __init__(
        self,
        sentences: Sequence[Sequence[int]],
        batch_size: int,
        buckets: Sequence[int] | None = None,
        invalid_label: int = -1,
        data_name: str = "data",
        label_name: str = "softmax_label",
        dtype: Any = "float32",
        layout: str = "NT",
    ) -> None:
        check_batch_size(batch_size)
        super().__init__(batch_size)
        if sorted(layout) != ["N", "T"]:
            raise ValueError(f"layout={shown(layout)} must be NT, batch first, or TN")
        if not buckets:
            lengths = Counter(map(len, sentences))
            buckets = [length for length, count in lengths.items() if count >= batch_size]
        self.buckets = sorted(buckets)
        if not self.buckets:
            raise ValueError(f"no length has as many sentences as a batch, {batch_size}")
        self.data_name, self.label_name = data_name, label_name
        self.dtype, self._kind = dtype, as_dtype(dtype)
        self.invalid_label = invalid_label
        self.layout = layout
        self.major_axis = layout.find("N")
        self.default_bucket_key = self.buckets[-1]
        rows: list[list[Any]] = [[] for _ in self.buckets]
        for sentence in sentences:
            place = bisect.bisect_left(self.buckets, len(sentence))
            if place < len(self.buckets):
                row = np.full(self.buckets[place], invalid_label, self._kind.numpy)
                row[: len(sentence)] = sentence
                rows[place].append(row)
        self.data = [
            np.array(found, self._kind.numpy).reshape(len(found), length)
            for found, length in zip(rows, self.buckets, strict=True)
        ]
        self.provide_data = [self._described(data_name, self.default_bucket_key)]
        self.provide_label = [self._described(label_name, self.default_bucket_key)]
        self.idx = [
            (place, start)
            for place, found in enumerate(self.data)
            for start in range(0, len(found) - batch_size + 1, batch_size)
        ]
        self.curr_idx = 0
        self.reset()

    def _described(self, name: str, length: int) -> DataDesc:
        shape = (self.batch_size, length) if self.major_axis == 0 else (length, self.batch_size)
        return DataDesc(name, shape, self._kind.public, self.layout)

    def reset(self) -> None:
        """Begin anew, in another random order."""
        self.curr_idx = 0
        random.shuffle(self.idx)
        self._labels = []
        for found in self.data:
            np.random.shuffle(found)
            label = np.full_like(found, self.invalid_label)
            label[:, :-1] = found[:, 1:]
            self._labels.append(label)

    def next(self) -> DataBatch:
        """The next batch.

        Raises:
            StopIteration: there is none.
        """
        if self.curr_idx == len(self.idx):
            raise StopIteration
        place, start = self.idx[self.curr_idx]
        self.curr_idx += 1
        rows = slice(start, start + self.batch_size)
        parts = [self.data[place][rows], self._labels[place][rows]]
        if self.major_axis == 1:
            parts = [part.T for part in parts]
        data, label = (array(part, dtype=self.dtype) for part in parts)
        length = self.buckets[place]
        return DataBatch(
            [data],
            [label],
            pad=0,
            bucket_key=length,
            provide_data=[self._described(self.data_name, length)],
            provide_label=[self._described(self.label_name, length)],
        )
