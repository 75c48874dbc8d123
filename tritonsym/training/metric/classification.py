"""Metrics of predictions that are classes or their probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy

from ...foundation.text import shown
from .base import Array, Names, PairwiseMetric, registry


class _OfClasses(PairwiseMetric):
    """A metric of the class that each sample gets, and of the one that it should get."""

    def _classes(self, label: Array, pred: Array, axis: int = 1) -> tuple[Array, Array]:
        """The label's class of each sample, and the one with the largest score, as flat integers.

        An output of the labels' shape has classes, and not scores.
        """
        chosen = pred
        if pred.shape != label.shape:
            if not -pred.ndim <= axis < pred.ndim:
                raise self._misfit(label, pred, f"scores need the classes along axis {axis}")
            chosen = pred.argmax(axis)
        if label.size != chosen.size:
            raise self._misfit(
                label, pred, f"there must be one label for each sample, of scores along axis {axis}"
            )
        return label.astype(numpy.int32).ravel(), chosen.astype(numpy.int32).ravel()


@registry.register("acc")
class Accuracy(_OfClasses):
    """How many samples get the right class; the class is the largest score along ``axis``."""

    def __init__(
        self,
        axis: int = 1,
        name: str = "accuracy",
        output_names: Names = None,
        label_names: Names = None,
    ) -> None:
        super().__init__(name, output_names, label_names, axis=axis)
        self.axis = axis

    def _measure(self, label: Array, pred: Array) -> tuple[Any, int]:
        wanted, chosen = self._classes(label, pred, self.axis)
        return (wanted == chosen).sum(), len(chosen)


@registry.register("top_k_accuracy", "top_k_acc")
class TopKAccuracy(PairwiseMetric):
    """How many samples have the right class among the ``top_k`` largest scores."""

    def __init__(
        self,
        top_k: int = 1,
        name: str = "top_k_accuracy",
        output_names: Names = None,
        label_names: Names = None,
    ) -> None:
        assert top_k > 1, "Please use Accuracy if top_k is no more than 1"
        super().__init__(f"{name}_{top_k}", output_names, label_names, top_k=top_k)
        self.top_k = top_k

    def _measure(self, label: Array, pred: Array) -> tuple[Any, int]:
        needed = "there must be one label for each row of scores, or for each class"
        if pred.ndim > 2:
            raise self._misfit(label, pred, needed, AssertionError)
        if label.size != len(pred):
            raise self._misfit(label, pred, needed)
        wanted = label.astype(numpy.int32)
        if pred.ndim == 1:
            return (pred.astype(numpy.int32) == wanted.ravel()).sum(), len(pred)
        count = min(self.top_k, pred.shape[1])
        best = numpy.argpartition(pred.astype(numpy.float32), -count)[:, -count:]
        return (best == wanted.reshape(-1, 1)).sum(), len(pred)


class _BinaryCounts:
    """True and false positives, which are class 1, and negatives, which are all that is not."""

    def __init__(self) -> None:
        self.true_positive = self.false_positive = self.true_negative = self.false_negative = 0

    def count(self, wanted: Array, chosen: Array) -> None:
        found, real = chosen == 1, wanted == 1
        self.true_positive += int((found & real).sum())
        self.false_positive += int((found & ~real).sum())
        self.true_negative += int((~found & ~real).sum())
        self.false_negative += int((~found & real).sum())

    @property
    def total(self) -> int:
        return self.true_positive + self.false_positive + self.true_negative + self.false_negative

    def f1(self) -> float:
        wrong = self.false_positive + self.false_negative
        return (
            2 * self.true_positive / (2 * self.true_positive + wrong) if self.true_positive else 0.0
        )

    def matthews(self) -> float:
        if not self.total:
            return 0.0
        terms = (
            self.true_positive + self.false_positive,
            self.true_positive + self.false_negative,
            self.true_negative + self.false_positive,
            self.true_negative + self.false_negative,
        )
        spread = math.sqrt(math.prod(term for term in terms if term))
        hits = self.true_positive * self.true_negative
        return (hits - self.false_positive * self.false_negative) / spread


class _BinaryMetric(_OfClasses):
    """A score of counts: the mean over updates (macro), or of all samples together (micro)."""

    def __init__(self, name: str, output_names: Names, label_names: Names, average: str) -> None:
        self.average = average
        super().__init__(name, output_names, label_names)

    def _score(self, counts: _BinaryCounts) -> float:
        raise NotImplementedError

    def _binary(self, label: Array, pred: Array) -> tuple[Array, Array]:
        """The classes, of which the labels have no more than two."""
        if pred.ndim < 2:  # probabilities of class 1 would be read as classes, all of them 0
            raise self._misfit(label, pred, "scores need the classes along axis 1")
        wanted, chosen = self._classes(label, pred)
        classes = numpy.unique(wanted)
        if len(classes) > 2:
            raise ValueError(
                f"metric {self.name} is of two classes, and the labels are"
                f" {shown(classes.tolist())}; use acc or pcc"
            )
        return wanted, chosen

    def update(self, labels: Any, preds: Any) -> None:
        """Take a batch into account."""
        batch = _BinaryCounts()
        for wanted, chosen in [self._binary(*pair) for pair in self._pairs(labels, preds)]:
            for counts in (batch, self._counts, self._global_counts):
                counts.count(wanted, chosen)
        if self.average == "macro":
            self._add(self._score(batch), 1)
            return
        self.num_inst, self.global_num_inst = self._counts.total, self._global_counts.total
        self.sum_metric = self._score(self._counts) * self.num_inst
        self.global_sum_metric = self._score(self._global_counts) * self.global_num_inst

    def reset(self) -> None:
        """Begin anew."""
        self._global_counts = _BinaryCounts()
        super().reset()

    def reset_local(self) -> None:
        """Begin anew, except for the values of :meth:`get_global`."""
        self._counts = _BinaryCounts()
        super().reset_local()


@registry.register()
class F1(_BinaryMetric):
    """The harmonic mean of precision and recall of class 1 of two.

    Args:
        average: ``macro``, the mean over updates, or ``micro``, of all samples together.
    """

    def __init__(
        self,
        name: str = "f1",
        output_names: Names = None,
        label_names: Names = None,
        average: str = "macro",
    ) -> None:
        super().__init__(name, output_names, label_names, average)

    def _score(self, counts: _BinaryCounts) -> float:
        return counts.f1()


@registry.register()
class MCC(_BinaryMetric):
    """Matthews' correlation coefficient of two classes.

    Matthews, "Comparison of the predicted and observed secondary structure of T4 phage lysozyme",
    1975.

    Args:
        average: ``macro``, the mean over updates, or ``micro``, of all samples together.
    """

    def __init__(
        self,
        name: str = "mcc",
        output_names: Names = None,
        label_names: Names = None,
        average: str = "macro",
    ) -> None:
        super().__init__(name, output_names, label_names, average)

    def _score(self, counts: _BinaryCounts) -> float:
        return counts.matthews()


@registry.register()
class PCC(_OfClasses):
    """Matthews' correlation coefficient of any number of classes, of all samples together.

    Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient", 2004.
    """

    _table: Array
    _global_table: Array

    def __init__(
        self, name: str = "pcc", output_names: Names = None, label_names: Names = None
    ) -> None:
        super().__init__(name, output_names, label_names)

    def update(self, labels: Any, preds: Any) -> None:
        """Take a batch into account."""
        for wanted, chosen in [self._classes(*pair) for pair in self._pairs(labels, preds)]:
            size = max(len(self._table), int(max(wanted.max(), chosen.max())) + 1)
            wider = (0, size - len(self._table))
            self._table = numpy.pad(self._table, wider)
            self._global_table = numpy.pad(self._global_table, wider)
            for table in (self._table, self._global_table):
                numpy.add.at(table, (chosen, wanted), 1)
            self.num_inst += 1
            self.global_num_inst += 1
        self.sum_metric = _correlation(self._table) * self.num_inst
        self.global_sum_metric = _correlation(self._global_table) * self.global_num_inst

    def reset(self) -> None:
        """Begin anew."""
        self._global_table = numpy.zeros((0, 0))
        super().reset()

    def reset_local(self) -> None:
        """Begin anew, except for the values of :meth:`get_global`."""
        self._table = numpy.zeros_like(self._global_table)
        super().reset_local()


def _correlation(table: Array) -> float:
    """The correlation of rows and columns of a table of counts."""
    total, rows, columns = table.sum(), table.sum(1), table.sum(0)
    spread = (rows * (total - rows)).sum() * (columns * (total - columns)).sum()
    together = (table.diagonal() * total - rows * columns).sum()
    return float(together / math.sqrt(spread)) if spread else math.nan


# ---- probabilities -----------------------------------------------------------------------------


@registry.register()
class Perplexity(PairwiseMetric):
    """The exponential of the mean negative logarithm of the label's probability.

    Args:
        ignore_label: samples of this label do not count.
        axis: of the classes.
    """

    def __init__(
        self,
        ignore_label: int | None,
        axis: int = -1,
        name: str = "perplexity",
        output_names: Names = None,
        label_names: Names = None,
    ) -> None:
        super().__init__(name, output_names, label_names, ignore_label=ignore_label)
        self.ignore_label = ignore_label
        self.axis = axis

    def _measure(self, label: Array, pred: Array) -> tuple[Any, int]:
        axis = self.axis
        if not -pred.ndim <= axis < pred.ndim or label.size * pred.shape[axis] != pred.size:
            needed = f"there must be one label for each sample, of probabilities along axis {axis}"
            raise self._misfit(label, pred, needed, AssertionError)
        wanted = label.reshape(-1).astype(numpy.int64)
        rows = numpy.moveaxis(pred, axis, -1).reshape(-1, pred.shape[axis])
        found = rows[numpy.arange(len(rows)), numpy.clip(wanted, 0, rows.shape[1] - 1)]
        if self.ignore_label is not None:
            found = found[wanted != self.ignore_label]
        return -numpy.log(numpy.maximum(1e-10, found)).sum(), len(found)

    def _value(self, total: float, count: float) -> float:
        return math.exp(total / count) if count else math.nan


class _LogLikelihood(PairwiseMetric):
    """The mean of -log(probability of the label + eps)."""

    def __init__(self, eps: float, name: str, output_names: Names, label_names: Names) -> None:
        super().__init__(name, output_names, label_names, eps=eps)
        self.eps = eps

    def _measure(self, label: Array, pred: Array) -> tuple[Any, int]:
        wanted = label.ravel().astype(numpy.int64)
        if pred.ndim < 2 or len(wanted) != len(pred):
            needed = "there must be one label for each row of probabilities"
            raise self._misfit(label, pred, needed, AssertionError)
        count = pred.shape[1]
        outside = wanted[(wanted < -count) | (wanted >= count)]
        if outside.size:
            raise ValueError(
                f"metric {self.name}: there is a label {outside[0]}, and an output of"
                f" {count} classes; labels are numbers from 0 to {count - 1}, or from -{count} to"
                " -1, which count from the last class"
            )
        found = pred[numpy.arange(len(wanted)), wanted]
        return -numpy.log(found + self.eps).sum(), len(wanted)


@registry.register("ce")
class CrossEntropy(_LogLikelihood):
    """The mean negative logarithm of the label's probability, to which ``eps`` is added."""

    def __init__(
        self,
        eps: float = 1e-12,
        name: str = "cross-entropy",
        output_names: Names = None,
        label_names: Names = None,
    ) -> None:
        super().__init__(eps, name, output_names, label_names)


@registry.register("nll_loss")
class NegativeLogLikelihood(_LogLikelihood):
    """The same as :class:`CrossEntropy`, under another name."""

    def __init__(
        self,
        eps: float = 1e-12,
        name: str = "nll-loss",
        output_names: Names = None,
        label_names: Names = None,
    ) -> None:
        super().__init__(eps, name, output_names, label_names)
