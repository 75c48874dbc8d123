"""Metrics of predictions that are numbers, and of losses."""

from __future__ import annotations

import math
from typing import Any

import numpy

from .base import Array, EvalMetric, Names, PairwiseMetric, as_list, registry, values


class _OfErrors(PairwiseMetric):
    """The mean over updates of what the differences of labels and predictions come to."""

    def __init__(self, name: str, output_names: Names, label_names: Names) -> None:
        super().__init__(name, output_names, label_names)

    def _of(self, errors: Array) -> Any:
        raise NotImplementedError

    def _measure(self, label: Array, pred: Array) -> tuple[Any, int]:
        # A vector is a column beside another column, and must not broadcast to a square.
        wanted, given = (x.reshape(-1, 1) if x.ndim == 1 else x for x in (label, pred))
        try:
            errors = wanted - given
        except ValueError:
            needed = "there must be one prediction for each label"
            raise self._misfit(label, pred, needed) from None
        return self._of(errors), 1


@registry.register()
class MAE(_OfErrors):
    """The mean absolute error."""

    def __init__(
        self, name: str = "mae", output_names: Names = None, label_names: Names = None
    ) -> None:
        super().__init__(name, output_names, label_names)

    def _of(self, errors: Array) -> Any:
        return numpy.abs(errors).mean()


@registry.register()
class MSE(_OfErrors):
    """The mean squared error."""

    def __init__(
        self, name: str = "mse", output_names: Names = None, label_names: Names = None
    ) -> None:
        super().__init__(name, output_names, label_names)

    def _of(self, errors: Array) -> Any:
        return (errors**2.0).mean()


@registry.register()
class RMSE(_OfErrors):
    """The root of the mean squared error of each batch."""

    def __init__(
        self, name: str = "rmse", output_names: Names = None, label_names: Names = None
    ) -> None:
        super().__init__(name, output_names, label_names)

    def _of(self, errors: Array) -> Any:
        return numpy.sqrt((errors**2.0).mean())


class _Moments:
    """Sums of deviations from the means, of pairs of numbers that come in parts.

    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979.
    """

    def __init__(self) -> None:
        self.count = 0
        self.means = numpy.zeros(2)
        self.products = numpy.zeros((2, 2))

    def add(self, label: Array, pred: Array) -> None:
        both = numpy.stack([label.ravel(), pred.ravel()]).astype(numpy.float64)
        count, means = both.shape[1], both.mean(1)
        apart, total = means - self.means, self.count + count
        centred = both - means[:, None]
        shift = numpy.outer(apart, apart) * (self.count * count / total)
        self.products = self.products + centred @ centred.T + shift
        self.means = self.means + apart * (count / total)
        self.count = total

    def correlation(self) -> float:
        spread = self.products[0, 0] * self.products[1, 1]
        return float(self.products[0, 1] / math.sqrt(spread)) if spread else math.nan


@registry.register("pearsonr")
class PearsonCorrelation(PairwiseMetric):
    """Pearson's correlation coefficient of labels and predictions.

    Args:
        average: ``macro``, the mean over updates, or ``micro``, of all numbers together.
    """

    def __init__(
        self,
        name: str = "pearsonr",
        output_names: Names = None,
        label_names: Names = None,
        average: str = "macro",
    ) -> None:
        self.average = average
        super().__init__(name, output_names, label_names)

    def update(self, labels: Any, preds: Any) -> None:
        """Take a batch into account."""
        compared = self._pairs(labels, preds)
        for label, pred in compared:
            if label.shape != pred.shape:
                raise self._misfit(label, pred, "the shapes must be equal")
        for label, pred in compared:
            batch = _Moments()
            for moments in (batch, self._moments, self._global_moments):
                moments.add(label, pred)
            if self.average == "macro":
                self._add(batch.correlation(), 1)
                continue
            self.num_inst += 1
            self.global_num_inst += 1
            self.sum_metric = self._moments.correlation() * self.num_inst
            self.global_sum_metric = self._global_moments.correlation() * self.global_num_inst

    def reset(self) -> None:
        """Begin anew."""
        self._global_moments = _Moments()
        super().reset()

    def reset_local(self) -> None:
        """Begin anew, except for the values of :meth:`get_global`."""
        self._moments = _Moments()
        super().reset_local()


@registry.register()
class Loss(EvalMetric):
    """The mean of outputs that are losses; labels do not matter."""

    def __init__(
        self, name: str = "loss", output_names: Names = None, label_names: Names = None
    ) -> None:
        super().__init__(name, output_names, label_names)

    def update(self, labels: Any, preds: Any) -> None:
        """Take a batch into account."""
        for pred in as_list(preds):
            losses = values(pred)
            self._add(losses.sum(), losses.size)


@registry.register()
class Torch(Loss):
    """:class:`Loss` under an old name."""

    def __init__(
        self, name: str = "torch", output_names: Names = None, label_names: Names = None
    ) -> None:
        super().__init__(name, output_names, label_names)


@registry.register()
class Caffe(Loss):
    """:class:`Loss` under an old name."""

    def __init__(
        self, name: str = "caffe", output_names: Names = None, label_names: Names = None
    ) -> None:
        super().__init__(name, output_names, label_names)
