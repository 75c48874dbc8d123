"""What modules have in common: training, scoring and predicting over batches of data."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...ndarray.core import NDArray
from ...ndarray.create import array, concatenate, load, save
from ..checkpoint import BatchEndParam, tagged, untagged
from ..initializer import Uniform
from ..io.base import DataBatch, DataDesc
from ..metric import base as metrics
from .checks import NOT_READY, as_batch, check_iterator, check_labels
from .internals import Parameters

Outputs = list[NDArray]
# What is to happen with gradients: for all arguments, in their order, or by name.
Requests = str | Sequence[str] | Mapping[str, str]


def as_list(given: Any) -> list[Any]:
    """A list of callbacks from none, one or several."""
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]


# What a program that has written its own `fit` calls it.
_as_list = as_list


class BaseModule:
    """A network that is trained with batches.

    Attributes:
        binded: whether it has arrays.
        for_training: whether it was bound to be trained.
        inputs_need_grad: whether it was bound to give gradients of its data.
        params_initialized: whether its parameters have values.
        optimizer_initialized: whether it can be updated.
    """

    data_names: Sequence[str]
    label_names: Sequence[str] = ()
    output_names: Sequence[str]
    data_shapes: list[DataDesc]
    label_shapes: list[DataDesc] | None

    def __init__(self, logger: Any = logging) -> None:
        self.logger = logger
        # A subclass puts its network there: the name is MXNet's.
        self._symbol: Any = None
        self.binded = False
        self.for_training = False
        self.inputs_need_grad = False
        self.params_initialized = False
        self.optimizer_initialized = False

    @property
    def symbol(self) -> Any:
        """The network, or None where it is not one symbol."""
        return self._symbol

    # ---- what a subclass does ----

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
        """Make arrays for batches of these shapes."""
        raise NotImplementedError

    def init_params(
        self,
        initializer: Any = None,
        arg_params: Parameters | None = None,
        aux_params: Parameters | None = None,
        allow_missing: bool = False,
        force_init: bool = False,
        allow_extra: bool = False,
    ) -> None:
        """Give the parameters their first values."""
        raise NotImplementedError

    def init_optimizer(
        self,
        kvstore: Any = "local",
        optimizer: Any = "sgd",
        optimizer_params: Any = (("learning_rate", 0.01),),
        force_init: bool = False,
    ) -> None:
        """Choose how the parameters are updated."""
        raise NotImplementedError

    def forward(self, data_batch: DataBatch, is_train: bool | None = None) -> None:
        """Compute the outputs of a batch."""
        raise NotImplementedError

    def backward(self, out_grads: Any = None) -> None:
        """Compute the gradients of the last batch."""
        raise NotImplementedError

    def update(self) -> None:
        """Change the parameters by their gradients."""
        raise NotImplementedError

    def get_outputs(self, merge_multi_context: bool = True) -> Any:
        """The outputs of the last batch; a list for each where contexts are not to be merged."""
        raise NotImplementedError

    def get_input_grads(self, merge_multi_context: bool = True) -> Any:
        """The gradients of the data of the last batch, in the form of :meth:`get_outputs`."""
        raise NotImplementedError

    def get_states(self, merge_multi_context: bool = True) -> Any:
        """What is carried from one batch to the next: nothing, unless a module has such states."""
        return []

    def set_states(self, states: Any = None, value: float | None = None) -> None:
        """Set what :meth:`get_states` gives.

        Raises:
            AssertionError: there are no states to set.
        """
        assert not states and not value, f"a {type(self).__name__} has no states to set"

    def update_metric(
        self, eval_metric: metrics.EvalMetric, labels: Any, pre_sliced: bool = False
    ) -> None:
        """Let a metric look at the outputs of the last batch."""
        raise NotImplementedError

    def get_params(self) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """Copies of the parameters and of the auxiliary states, by name."""
        raise NotImplementedError

    def install_monitor(self, mon: Any) -> None:
        """Let a monitor watch."""
        raise NotImplementedError

    def prepare(self, data_batch: DataBatch, sparse_row_id_fn: Any = None) -> None:
        """Get ready for a batch before it is computed."""

    # ---- parameters ----

    def set_params(
        self,
        arg_params: Parameters | None,
        aux_params: Parameters | None,
        allow_missing: bool = False,
        force_init: bool = True,
        allow_extra: bool = False,
    ) -> None:
        """Give the parameters values; see :meth:`init_params`."""
        self.init_params(None, arg_params, aux_params, allow_missing, force_init, allow_extra)

    def save_params(self, fname: str | Path) -> None:
        """Write the parameters and auxiliary states to a file."""
        save(fname, tagged(*self.get_params()))

    def load_params(self, fname: str | Path) -> None:
        """Read the parameters and auxiliary states from a file.

        Raises:
            MXNetError: the file cannot be read, or holds something else.
        """
        self.set_params(*untagged(load(fname), str(fname)))

    # ---- over batches ----

    def train_by(self, data_batch: DataBatch) -> None:
        """Change the parameters by a batch: its outputs, its gradients, and the update."""
        self.forward_backward(data_batch)
        self.update()

    def forward_backward(self, data_batch: DataBatch) -> None:
        """Compute the outputs of a batch in training, and the gradients.

        Raises:
            ValueError: the batch has no labels, and the network needs them.
        """
        check_labels(as_batch(data_batch), self.label_names)
        self.forward(data_batch, is_train=True)
        self.backward()

    def score(
        self,
        eval_data: Any,
        eval_metric: Any,
        num_batch: int | None = None,
        batch_end_callback: Any = None,
        score_end_callback: Any = None,
        reset: bool = True,
        epoch: int = 0,
        sparse_row_id_fn: Any = None,
    ) -> list[tuple[str, float]]:
        """How good the outputs are.

        Args:
            eval_data: an iterator over batches.
            eval_metric: a metric, or what ``mx.metric.create`` takes.
            num_batch: stop after so many batches.
            batch_end_callback: called after each batch; one, or a list.
            score_end_callback: called at the end; one, or a list.
            reset: begin with the first batch.
            epoch: what callbacks are told.

        Returns:
            Pairs of name and value.

        Raises:
            ValueError: ``eval_data`` is no iterator over batches.
        """
        assert self.binded and self.params_initialized, NOT_READY
        check_iterator("eval_data", eval_data, *["reset"] * reset)
        if reset:
            eval_data.reset()
        # Callbacks see these variables: their names are MXNet's.
        eval_metric = metrics.create(eval_metric)
        eval_metric.reset()
        actual_num_batch = 0
        for nbatch, eval_batch in _limited(eval_data, num_batch):
            self.prepare(eval_batch)
            self.forward(eval_batch, is_train=False)
            self.update_metric(eval_metric, eval_batch.label)
            for callback in as_list(batch_end_callback):
                callback(BatchEndParam(epoch, nbatch, eval_metric, locals()))
            actual_num_batch += 1
        for callback in as_list(score_end_callback):
            callback(BatchEndParam(epoch, actual_num_batch, eval_metric, locals()))
        found: list[tuple[str, float]] = eval_metric.get_global_name_value()
        return found

    def iter_predict(
        self,
        eval_data: Any,
        num_batch: int | None = None,
        reset: bool = True,
        sparse_row_id_fn: Any = None,
    ) -> Iterator[tuple[Outputs, int, DataBatch]]:
        """Outputs without padding, number and batch, batch by batch."""
        assert self.binded and self.params_initialized, NOT_READY
        check_iterator("eval_data", eval_data, *["reset"] * reset)
        if reset:
            eval_data.reset()
        for number, batch in _limited(eval_data, num_batch):
            self.prepare(batch)
            self.forward(batch, is_train=False)
            kept = batch.pad or 0
            outputs = [output[: output.shape[0] - kept] for output in self.get_outputs()]
            yield outputs, number, batch

    def predict(
        self,
        eval_data: Any,
        num_batch: int | None = None,
        merge_batches: bool = True,
        reset: bool = True,
        always_output_list: bool = False,
        sparse_row_id_fn: Any = None,
    ) -> Any:
        """The outputs for all batches.

        Args:
            eval_data: an iterator over batches, or an array, which is one batch.
            num_batch: stop after so many batches.
            merge_batches: one array per output, instead of a list per batch.
            reset: begin with the first batch.
            always_output_list: give a list even for one output.

        Raises:
            ValueError: ``eval_data`` is no iterator over batches and no array, or the batches have
                different numbers of outputs, so that they do not merge.
        """
        assert self.binded and self.params_initialized, NOT_READY
        if isinstance(eval_data, (NDArray, np.ndarray)):
            one = eval_data if isinstance(eval_data, NDArray) else array(eval_data)
            self.forward(DataBatch([one]), is_train=False)
            return self.get_outputs()[0]
        found = [
            [output.copy() for output in outputs]
            for outputs, _, _ in self.iter_predict(eval_data, num_batch, reset)
        ]
        if not found or not merge_batches:
            return found
        if len({len(outputs) for outputs in found}) > 1:
            raise ValueError("batches have different numbers of outputs: use merge_batches=False")
        merged = [concatenate(list(parts)) for parts in zip(*found, strict=True)]
        return merged[0] if len(merged) == 1 and not always_output_list else merged

    def fit(
        self,
        train_data: Any,
        eval_data: Any = None,
        eval_metric: Any = "acc",
        epoch_end_callback: Any = None,
        batch_end_callback: Any = None,
        kvstore: Any = "local",
        optimizer: Any = "sgd",
        optimizer_params: Any = (("learning_rate", 0.01),),
        eval_end_callback: Any = None,
        eval_batch_end_callback: Any = None,
        initializer: Any = None,
        arg_params: Parameters | None = None,
        aux_params: Parameters | None = None,
        allow_missing: bool = False,
        force_rebind: bool = False,
        force_init: bool = False,
        begin_epoch: int = 0,
        num_epoch: int | None = None,
        validation_metric: Any = None,
        monitor: Any = None,
        sparse_row_id_fn: Any = None,
    ) -> None:
        """Train the parameters.

        Args:
            train_data: an iterator over batches with labels.
            eval_data: another one, for validation after each epoch.
            eval_metric: what is logged; a metric, or what ``mx.metric.create`` takes.
            epoch_end_callback: called with epoch, symbol, parameters and states; one, or a list.
            batch_end_callback: called with a ``BatchEndParam``; one, or a list.
            kvstore: ``local`` or ``device``; there is one context.
            optimizer, optimizer_params: see :meth:`init_optimizer`.
            eval_end_callback, eval_batch_end_callback: called in validation.
            initializer: gives parameters their first values; uniform ones of 0.01 if None.
            arg_params, aux_params: first values by name, which go before the initializer.
            allow_missing: let the initializer fill what ``arg_params`` does not have.
            force_rebind: bind anew where the module is bound already.
            force_init: initialize anew where it is initialized.
            begin_epoch: the number of the first epoch.
            num_epoch: the number after that of the last one.
            validation_metric: that of validation, if it is another one.
            monitor: installed before training.

        Raises:
            AssertionError: no ``num_epoch``.
            ValueError: ``train_data`` or ``eval_data`` is no iterator over batches, gives none, or
                gives batches without labels to a network that needs them.
        """
        assert num_epoch is not None, "please specify number of epochs"
        check_iterator("train_data", train_data, "provide_data", "provide_label", "reset")
        if eval_data is not None:
            check_iterator("eval_data", eval_data, "reset")
        self.bind(
            train_data.provide_data, train_data.provide_label, for_training=True,
            force_rebind=force_rebind,
        )  # fmt: skip
        if monitor is not None:
            self.install_monitor(monitor)
        first = Uniform(0.01) if initializer is None else initializer
        self.init_params(first, arg_params, aux_params, allow_missing, force_init)
        self.init_optimizer(kvstore, optimizer, optimizer_params)
        # Callbacks see these variables: their names are MXNet's.
        if validation_metric is None:
            validation_metric = eval_metric
        eval_metric = metrics.create(eval_metric)
        for epoch in range(begin_epoch, num_epoch):
            tic = time.perf_counter()
            eval_metric.reset()
            nbatch = 0
            data_iter = map(as_batch, train_data)
            next_data_batch = self._prepared(data_iter)
            if next_data_batch is None:
                raise ValueError(f"train_data gave no batch in epoch {epoch}: reset it before")
            while next_data_batch is not None:
                data_batch = next_data_batch
                if monitor is not None:
                    monitor.tic()
                self.train_by(data_batch)
                # A device still computes, and an iterator may use the arrays of a batch again.
                labels = data_batch.label and [label.copy() for label in data_batch.label]
                next_data_batch = self._prepared(data_iter)
                self.update_metric(eval_metric, labels)
                if monitor is not None:
                    monitor.toc_print()
                end_of_batch = next_data_batch is None
                if end_of_batch:
                    eval_name_vals = eval_metric.get_global_name_value()
                for callback in as_list(batch_end_callback):
                    callback(BatchEndParam(epoch, nbatch, eval_metric, locals()))
                nbatch += 1
            for name, value in eval_name_vals:
                self.logger.info("Epoch[%d] Train-%s=%f", epoch, name, value)
            self.logger.info("Epoch[%d] Time cost=%.3f", epoch, time.perf_counter() - tic)
            if epoch_end_callback is not None:
                trained = self.get_params()
                for callback in as_list(epoch_end_callback):
                    callback(epoch, self.symbol, *trained)
            if eval_data is not None:
                scores = self.score(
                    eval_data, validation_metric, None, eval_batch_end_callback, eval_end_callback,
                    epoch=epoch,
                )  # fmt: skip
                for name, value in scores:
                    self.logger.info("Epoch[%d] Validation-%s=%f", epoch, name, value)
            train_data.reset()

    def _prepared(self, batches: Iterator[DataBatch]) -> DataBatch | None:
        """The next batch, or None after the last."""
        found = next(batches, None)
        if found is not None:
            self.prepare(found)
        return found


def _limited(data: Any, count: int | None) -> Iterator[tuple[int, DataBatch]]:
    for number, batch in enumerate(data):
        if number == count:
            return
        yield number, as_batch(batch)


# What a step of training calls; a program may put its own in their place.
STEPS = ("forward", "backward", "update", "forward_backward")


def steps_of(kind: type[BaseModule]) -> list[Any]:
    """The methods of a class of modules that a step of training calls."""
    return [getattr(kind, name) for name in STEPS]


def has_other_steps(module: BaseModule, known: list[Any]) -> bool:
    """Whether a module, by its class or by itself, has other steps than these."""
    return steps_of(type(module)) != known or not vars(module).keys().isdisjoint(STEPS)


def merged(arrays: list[Any], merge_multi_context: bool) -> list[Any]:
    """The arrays of the one context, or a list for each, as of several contexts."""
    return arrays if merge_multi_context else [[array] for array in arrays]
