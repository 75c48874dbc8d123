"""`mx.mod.PythonModule` and `PythonLossModule`: modules that a program computes by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from ...foundation.text import shown
from ...ndarray.core import NDArray
from ...ndarray.create import array
from ..io.base import DataBatch
from ..metric.base import EvalMetric
from .base import BaseModule, Outputs, Parameters, Requests

Shapes = Sequence[tuple[str, tuple[int, ...]]]


class PythonModule(BaseModule):
    """A module without parameters. Subclasses compute, and say the shapes of what they compute.

    A subclass has ``forward``, ``backward``, ``get_outputs`` and ``get_input_grads``, and
    ``_compute_output_shapes``, which may read ``_data_shapes`` and ``_label_shapes``.

    Args:
        data_names, label_names: what comes with each batch; None for the labels if there are none.
        output_names: the names of the outputs.
        logger: where training is logged.
    """

    def __init__(
        self,
        data_names: Sequence[str],
        label_names: Sequence[str] | None,
        output_names: Sequence[str],
        logger: Any = logging,
    ) -> None:
        super().__init__(logger)
        # Subclasses use these: their names are MXNet's.
        self._data_names = list(data_names)
        self._label_names = None if label_names is None else list(label_names)
        self._output_names = output_names
        self._data_shapes: Any = None
        self._label_shapes: Any = None
        self._output_shapes: Any = None

    @property
    def data_names(self) -> Sequence[str]:  # type: ignore[override]
        """The names of the data."""
        return self._data_names

    @property
    def label_names(self) -> Sequence[str]:  # type: ignore[override]
        """The names of the labels."""
        return self._label_names or []

    @property
    def output_names(self) -> Sequence[str]:  # type: ignore[override]
        """The names of the outputs."""
        return self._output_names

    @property
    def data_shapes(self) -> Any:  # type: ignore[override]
        """Descriptions of the data, or pairs of name and shape."""
        return self._data_shapes

    @property
    def label_shapes(self) -> Any:  # type: ignore[override]
        """The same for the labels; None where the module was bound without."""
        return self._label_shapes

    @property
    def output_shapes(self) -> Any:
        """The name and shape of each output."""
        return self._output_shapes

    # ---- what a subclass may do in its own way ----

    def _compute_output_shapes(self) -> Shapes:
        raise NotImplementedError(
            f"{type(self).__name__} does not say the shapes of its outputs: it needs a method "
            "_compute_output_shapes"
        )

    def bind(
        self,
        data_shapes: Sequence[Any],
        label_shapes: Sequence[Any] | None = None,
        for_training: bool = True,
        inputs_need_grad: bool = False,
        force_rebind: bool = False,
        shared_module: Any = None,
        grad_req: Requests = "write",
    ) -> None:
        """Note the shapes of batches, again at every call.

        Raises:
            AssertionError: other names than the module was made for, or gradients that are not
                simply written.
        """
        assert grad_req == "write", f"a PythonModule has grad_req='write' alone, got {grad_req!r}"
        _check_names("data", data_shapes, self._data_names)
        if label_shapes is not None:
            _check_names("label", label_shapes, self._label_names or [])
        self.for_training, self.inputs_need_grad = for_training, inputs_need_grad
        self._data_shapes, self._label_shapes = data_shapes, label_shapes
        self._output_shapes = self._compute_output_shapes()
        self.binded = True

    def init_params(
        self,
        initializer: Any = None,
        arg_params: Parameters | None = None,
        aux_params: Parameters | None = None,
        allow_missing: bool = False,
        force_init: bool = False,
        allow_extra: bool = False,
    ) -> None:
        """Nothing: there are no parameters."""
        self.params_initialized = True

    def get_params(self) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """No parameters and no auxiliary states."""
        return {}, {}

    def init_optimizer(
        self,
        kvstore: Any = "local",
        optimizer: Any = "sgd",
        optimizer_params: Any = (("learning_rate", 0.01),),
        force_init: bool = False,
    ) -> None:
        """Nothing: there are no parameters."""
        self.optimizer_initialized = True

    def update(self) -> None:
        """Nothing: there are no parameters."""

    def update_metric(self, eval_metric: EvalMetric, labels: Any, pre_sliced: bool = False) -> None:
        """Let a metric look at the outputs of the last batch, if the module was bound for labels.

        Raises:
            RuntimeError: labels per context, as there is one.
        """
        if self._label_shapes is None:
            return
        if pre_sliced:
            raise RuntimeError("a PythonModule has one context: give the labels as one list")
        eval_metric.update(labels, self.get_outputs())


class PythonLossModule(PythonModule):
    """A loss: its output is its data, the scores, and a function gives their gradient.

    A subclass may have ``_backward_impl`` instead of a function. It reads ``_scores`` and
    ``_labels``, and sets ``_scores_grad``.

    Args:
        name: its output is called so, with ``_output`` behind.
        data_names, label_names: of the scores and of the labels, one each.
        logger: where training is logged.
        grad_func: from scores and labels to the gradient of the scores.

    Raises:
        AssertionError: more or fewer names than one each, or a ``grad_func`` that is no function.
    """

    def __init__(
        self,
        name: str = "pyloss",
        data_names: Sequence[str] = ("data",),
        label_names: Sequence[str] = ("softmax_label",),
        logger: Any = logging,
        grad_func: Callable[[NDArray, NDArray], Any] | None = None,
    ) -> None:
        super().__init__(data_names, label_names, [f"{name}_output"], logger)
        for what, names in (("data_names", data_names), ("label_names", label_names)):
            assert len(names) == 1, f"a loss has one name in {what}, got {shown(names)}"
        assert grad_func is None or callable(grad_func), (
            f"grad_func must be a function of scores and labels, got {shown(grad_func)}"
        )
        self._name = name
        self._scores: Any = None
        self._labels: Any = None
        self._scores_grad: Any = None
        self._grad_func = grad_func

    def _compute_output_shapes(self) -> Shapes:
        return [(f"{self._name}_output", self._data_shapes[0][1])]

    def forward(self, data_batch: DataBatch, is_train: bool | None = None) -> None:
        """Keep the scores and, in training, the labels."""
        self._scores = data_batch.data[0]
        if self.for_training if is_train is None else is_train:
            assert data_batch.label, "the batch has no labels: a loss needs them in training"
            self._labels = data_batch.label[0]

    def get_outputs(self, merge_multi_context: bool = True) -> Outputs:
        """The scores of the last batch."""
        _check_merged(merge_multi_context)
        return [self._scores]

    def backward(self, out_grads: Any = None) -> None:
        """Compute the gradient of the scores of the last batch.

        Raises:
            AssertionError: gradients of the output, as it is a loss; or the module was not bound
                for training.
            NotImplementedError: there is no ``grad_func``.
        """
        assert out_grads is None, "a loss has no out_grads: it is the last of the modules"
        assert self.for_training, "re-bind with for_training=True to run backward"
        self._backward_impl()

    def _backward_impl(self) -> None:
        if self._grad_func is None:
            raise NotImplementedError(
                f"{type(self).__name__} does not say its gradient: give it a grad_func"
            )
        found = self._grad_func(self._scores, self._labels)
        if not isinstance(found, NDArray):
            found = array(found, ctx=self._scores.context)
        self._scores_grad = found

    def get_input_grads(self, merge_multi_context: bool = True) -> Outputs:
        """The gradient of the scores of the last batch."""
        _check_merged(merge_multi_context)
        return [self._scores_grad]

    def install_monitor(self, mon: Any) -> None:
        """Refuse a monitor.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no executor that a monitor could watch: install it in the "
            "other modules"
        )


def _check_names(what: str, shapes: Sequence[Any], names: Sequence[str]) -> None:
    found = [one[0] for one in shapes]
    assert found == list(names), (
        f"{what}_shapes names {shown(found)}, the module was made for {shown(list(names))}: give "
        f"these names in this order, or make the module with {what}_names={shown(found)}"
    )


def _check_merged(merge_multi_context: bool) -> None:
    assert merge_multi_context is True, "a loss has one context: merge_multi_context must be True"
