"""What metrics have in common, several at once, and those that a user writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy

from ...ndarray.core import NDArray
from ..registry import Registry

Array = numpy.ndarray[Any, Any]
Names = Sequence[str] | None


def check_label_shapes(
    labels: Any, preds: Any, wrap: bool = False, shape: bool = False
) -> tuple[Any, Any]:
    """The labels and predictions, if there are as many of both.

    Args:
        labels, preds: arrays, or lists of them.
        wrap: make a list of what is one array.
        shape: compare the shapes and not the lengths.

    Raises:
        ValueError: there are not.
    """
    found = (labels.shape, preds.shape) if shape else (len(labels), len(preds))
    if found[0] != found[1]:
        raise ValueError(
            f"Shape of labels {found[0]} does not match shape of predictions {found[1]}"
        )
    if wrap:
        return as_list(labels), as_list(preds)
    return labels, preds


def as_list(given: Any) -> Any:
    """A list of arrays, where one may have been given."""
    return [given] if isinstance(given, (NDArray, numpy.ndarray)) else given


def values(given: Any) -> Array:
    """The numbers of an array as numpy's."""
    return given.asnumpy() if isinstance(given, NDArray) else numpy.asarray(given)


class EvalMetric:
    """A sum over batches, and a count to divide it by, since the last reset and altogether.

    Args:
        name: what the value is called.
        output_names: which outputs of the network it looks at, where :meth:`update_dict` is used.
        label_names: which labels.
        has_global_stats: whether :meth:`get_global` counts for itself. Where it is not given,
            ``global_num_inst`` says it.
        kwargs: what else :meth:`get_config` is to give.
    """

    # Those of a subclass that counts batches since the last reset alone.
    global_num_inst: float = 0
    global_sum_metric: float = 0.0
    _has_global_stats = False

    def __init__(
        self,
        name: str,
        output_names: Names = None,
        label_names: Names = None,
        has_global_stats: bool = False,
        **kwargs: Any,
    ) -> None:
        self.name = str(name)
        self.output_names = output_names
        self.label_names = label_names
        self._has_global_stats = has_global_stats
        self._kwargs = kwargs
        self.reset()

    def __str__(self) -> str:
        return f"EvalMetric: {dict(self.get_name_value())}"

    def get_config(self) -> dict[str, Any]:
        """What it was made with."""
        return {
            **self._kwargs,
            "metric": type(self).__name__,
            "name": self.name,
            "output_names": self.output_names,
            "label_names": self.label_names,
        }

    def update_dict(self, label: Mapping[str, Any], pred: Mapping[str, Any]) -> None:
        """:meth:`update` with the arrays of these names.

        Raises:
            KeyError: a name that is not there.
        """
        preds = [pred[name] for name in self.output_names or pred]
        labels = [label[name] for name in self.label_names or label]
        self.update(labels, preds)

    def update(self, labels: Any, preds: Any) -> None:
        """Take a batch into account.

        Args:
            labels: one array per output, or one array.
            preds: the outputs of the network.

        Raises:
            ValueError, AssertionError: labels and outputs do not fit.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it is computed")

    def reset(self) -> None:
        """Begin anew."""
        self.global_num_inst = 0
        self.global_sum_metric = 0.0
        self.reset_local()

    def reset_local(self) -> None:
        """Begin anew, except for the values of :meth:`get_global`."""
        self.num_inst: float = 0
        self.sum_metric: float = 0.0

    def _add(self, amount: Any, count: int) -> None:
        amount = float(amount)
        self.sum_metric += amount
        self.global_sum_metric += amount
        self.num_inst += count
        self.global_num_inst += count

    def get(self) -> tuple[Any, Any]:
        """The name and the value since the last reset; NaN before the first batch."""
        return self.name, self._value(self.sum_metric, self.num_inst)

    def get_global(self) -> tuple[Any, Any]:
        """The name and the value since the last full reset; a metric that counts none has one."""
        if not self._counts_globally():
            return self.get()
        return self.name, self._value(self.global_sum_metric, self.global_num_inst)

    def _value(self, total: float, count: float) -> float:
        return total / count if count else math.nan

    def get_name_value(self) -> list[tuple[str, float]]:
        """Pairs of name and value."""
        return _name_values(self.get())

    def get_global_name_value(self) -> list[tuple[str, float]]:
        """Pairs of name and value since the last full reset; a metric that counts none has one."""
        if not self._counts_globally():
            return self.get_name_value()
        return _name_values(self.get_global())

    def _counts_globally(self) -> bool:
        return self._has_global_stats or bool(self.global_num_inst)


def _name_values(found: tuple[Any, Any]) -> list[tuple[str, float]]:
    names, values = found
    return list(
        zip(
            names if isinstance(names, list) else [names],
            values if isinstance(values, list) else [values],
            strict=False,
        )
    )


class PairwiseMetric(EvalMetric):
    """A metric that compares each array of labels with the output of the same number."""

    def _pairs(self, labels: Any, preds: Any) -> list[tuple[Array, Array]]:
        """Each array of labels with its output, as numpy arrays."""
        labels, preds = as_list(labels), as_list(preds)
        if len(labels) != len(preds):
            raise ValueError(
                f"metric {self.name} compares each output with labels of its own, and got"
                f" {len(labels)} arrays of labels for {len(preds)} outputs; output_names and"
                " label_names choose some of them in update_dict"
            )
        return [(values(x), values(y)) for x, y in zip(labels, preds, strict=True)]

    def _misfit(
        self, label: Array, pred: Array, needed: str, kind: type[Exception] = ValueError
    ) -> Exception:
        """The error for labels and an output that cannot be compared; of MXNet's kind."""
        return kind(
            f"metric {self.name}: labels of shape {label.shape} do not fit an output of shape"
            f" {pred.shape}; {needed}"
        )

    def _measure(self, label: Array, pred: Array) -> tuple[Any, int]:
        """What labels and an output add to the sum and to the count."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is computed")

    def update(self, labels: Any, preds: Any) -> None:
        """Take a batch into account."""
        for measured in [self._measure(*pair) for pair in self._pairs(labels, preds)]:
            self._add(*measured)


registry: Registry[EvalMetric] = Registry(EvalMetric, "metric")
alias = registry.alias


def register(klass: type[EvalMetric]) -> type[EvalMetric]:
    """Register a class, so that its name in lower case finds it."""
    return registry.add(klass)


def create(metric: Any, *args: Any, **kwargs: Any) -> EvalMetric:
    """A metric by name, from a function of labels and predictions, or several from a list.

    What :meth:`EvalMetric.get_config` gave makes the metric again, also as JSON.

    Raises:
        AssertionError: the name is not registered.
    """
    if callable(metric) and not isinstance(metric, EvalMetric):
        return CustomMetric(metric, *args, **kwargs)
    if isinstance(metric, list):
        return CompositeEvalMetric([create(one, *args, **kwargs) for one in metric])
    return registry.create(metric, *args, **kwargs)


@registry.register("composite")
class CompositeEvalMetric(EvalMetric):
    """Several metrics of the same outputs."""

    def __init__(
        self,
        metrics: Sequence[Any] | None = None,
        name: str = "composite",
        output_names: Names = None,
        label_names: Names = None,
    ) -> None:
        self.metrics: list[EvalMetric] = []
        super().__init__(name, output_names, label_names, has_global_stats=True)
        # Afterwards, since they keep what they have counted.
        self.metrics += [create(metric) for metric in metrics or []]

    def add(self, metric: Any) -> None:
        """Add one more."""
        self.metrics.append(create(metric))

    def get_metric(self, index: int) -> EvalMetric:
        """The metric of this number.

        Raises:
            ValueError: there are not so many.
        """
        if not 0 <= index < len(self.metrics):
            raise ValueError(f"Metric index {index} is out of range 0 and {len(self.metrics)}")
        return self.metrics[index]

    def get_config(self) -> dict[str, Any]:
        """What it was made with."""
        return {**super().get_config(), "metrics": [m.get_config() for m in self.metrics]}

    def update_dict(self, label: Mapping[str, Any], pred: Mapping[str, Any]) -> None:
        """Let each metric look at its own outputs; see :meth:`update`."""
        if self.label_names is not None:
            label = {name: label[name] for name in self.label_names if name in label}
        if self.output_names is not None:
            pred = {name: pred[name] for name in self.output_names if name in pred}
        for metric in self.metrics:
            metric.update_dict(label, pred)

    def update(self, labels: Any, preds: Any) -> None:
        """Let each metric look at the batch.

        Those before one that refuses it have counted it then, as in MXNet: reset all of them.
        """
        for metric in self.metrics:
            metric.update(labels, preds)

    def reset(self) -> None:
        """Begin anew."""
        for metric in self.metrics:
            metric.reset()

    def reset_local(self) -> None:
        """Begin anew, except for the values of :meth:`get_global`."""
        for metric in self.metrics:
            metric.reset_local()

    def get(self) -> tuple[Any, Any]:
        """A list of names and a list of values."""
        return _joined([metric.get() for metric in self.metrics])

    def get_global(self) -> tuple[Any, Any]:
        """A list of names and a list of values since the last full reset."""
        return _joined([metric.get_global() for metric in self.metrics])


def _joined(parts: Sequence[tuple[Any, Any]]) -> tuple[list[str], list[float]]:
    """All names and all values; a part has one of each, or several of both."""
    names: list[str] = []
    values: list[float] = []
    for name, value in parts:
        names += [name] if isinstance(name, str) else name
        values += value if isinstance(value, (list, tuple)) else [value]
    return names, values


@registry.register()
class CustomMetric(EvalMetric):
    """A metric that a function computes.

    Args:
        feval: called with a label and an output as numpy arrays. It returns the value of the
            batch, or a sum and the count to divide it by.
        name: the function's own if not given.
        allow_extra_outputs: ignore outputs that have no label.
    """

    def __init__(
        self,
        feval: Callable[[Array, Array], Any],
        name: str | None = None,
        allow_extra_outputs: bool = False,
        output_names: Names = None,
        label_names: Names = None,
    ) -> None:
        if name is None:
            own = getattr(feval, "__name__", type(feval).__name__)
            name = f"custom({own})" if "<" in own else own
        super().__init__(
            name,
            output_names,
            label_names,
            feval=feval,
            allow_extra_outputs=allow_extra_outputs,
        )
        self._feval = feval
        self._allow_extra_outputs = allow_extra_outputs

    def get_config(self) -> dict[str, Any]:
        """A function has no text that it could be made from again.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("a metric of a user's function has no configuration")

    def update(self, labels: Any, preds: Any) -> None:
        """Take a batch into account."""
        if not self._allow_extra_outputs:
            check_label_shapes(labels, preds)
        for label, pred in zip(as_list(labels), as_list(preds), strict=False):
            found = self._feval(values(label), values(pred))
            if isinstance(found, tuple):
                self._add(*found)
            else:
                self._add(found, 1)


def np(
    numpy_feval: Callable[[Array, Array], Any],
    name: str | None = None,
    allow_extra_outputs: bool = False,
) -> CustomMetric:
    """A metric from a function of numpy arrays; see :class:`CustomMetric`."""
    return CustomMetric(numpy_feval, name, allow_extra_outputs)
