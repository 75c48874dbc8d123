"""`mx.model.FeedForward`: training and predicting in one object, as before there were modules."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..context import Context, as_context
from ..foundation.text import listed, shown
from ..ndarray.core import NDArray
from ..symbol.core import Symbol
from .callback import LogValidationMetricsCallback
from .checkpoint import BatchEndParam, load_checkpoint, save_checkpoint
from .initializer import Uniform
from .io.arrays import NDArrayIter
from .io.base import DataBatch, DataIter, check_batch_size
from .metric import base as metrics
from .module.base import BaseModule, Parameters, as_list
from .module.bucketing import BucketingModule
from .module.checks import as_batch, no_parameters
from .module.module import Module

_LOG_VALIDATION = LogValidationMetricsCallback()


class FeedForward:
    """A network with its parameters, and with how they are trained. Deprecated: use ``Module``.

    Args:
        symbol: the network, or a function that gives it for a bucket key.
        ctx: where everything is; a context, or a list as for ``Module``.
        num_epoch: the number after that of the last epoch.
        epoch_size: batches per epoch; as many as the data has if None.
        optimizer: a name, or an optimizer.
        initializer: gives parameters their first values; uniform ones of 0.01 if None.
        numpy_batch_size: samples per batch of data that comes as an array.
        arg_params, aux_params: values by name, which go before the initializer.
        allow_extra_params: leave out those that the network does not have.
        begin_epoch: the number of the first epoch.
        kwargs: of the optimizer, where it is given by its name.

    Raises:
        TypeError: ``symbol`` is neither a symbol nor a function, or ``ctx`` is no context.
    """

    def __init__(
        self,
        symbol: Symbol | Callable[[Any], Symbol],
        ctx: Context | Sequence[Context] | None = None,
        num_epoch: int | None = None,
        epoch_size: int | None = None,
        optimizer: Any = "sgd",
        initializer: Any = None,
        numpy_batch_size: int = 128,
        arg_params: Parameters | None = None,
        aux_params: Parameters | None = None,
        allow_extra_params: bool = False,
        begin_epoch: int = 0,
        **kwargs: Any,
    ) -> None:
        warnings.warn(
            "mx.model.FeedForward is deprecated: mx.mod.Module does the same and more",
            DeprecationWarning,
            stacklevel=2,
        )
        if not isinstance(symbol, Symbol) and not callable(symbol):
            raise TypeError(
                f"FeedForward needs a Symbol, or a function from a bucket key to one, got "
                f"{shown(symbol)}"
            )
        self.symbol = symbol if isinstance(symbol, Symbol) else None
        self.sym_gen = None if isinstance(symbol, Symbol) else symbol
        self.ctx = list(ctx) if isinstance(ctx, (list, tuple)) else [as_context(ctx)]
        self.num_epoch = num_epoch
        self.epoch_size = epoch_size
        self.optimizer = optimizer
        self.initializer = Uniform(0.01) if initializer is None else initializer
        self.numpy_batch_size = numpy_batch_size
        self.arg_params = arg_params
        self.aux_params = aux_params
        self.allow_extra_params = allow_extra_params
        self.begin_epoch = begin_epoch
        self.kwargs = kwargs
        self._predictor: Module | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_predictor": None}

    # ---- training ----

    def fit(
        self,
        X: Any,
        y: Any = None,
        eval_data: Any = None,
        eval_metric: Any = "acc",
        epoch_end_callback: Any = None,
        batch_end_callback: Any = None,
        kvstore: Any = "local",
        logger: Any = None,
        work_load_list: Any = None,
        monitor: Any = None,
        eval_end_callback: Any = _LOG_VALIDATION,
        eval_batch_end_callback: Any = None,
    ) -> None:
        """Train the parameters.

        Args:
            X: an iterator over batches with labels, or an array.
            y: the labels of an array: a number per sample.
            eval_data: an iterator, or a pair of data and labels, for validation after each epoch.
            eval_metric: a metric, or what ``mx.metric.create`` takes.
            epoch_end_callback: called with epoch, symbol, parameters and states; one, or a list.
            batch_end_callback: called with a ``BatchEndParam``, which counts batches from 1.
            kvstore: ``local`` or ``device``; there is one context.
            logger: where training is logged.
            work_load_list: accepted for MXNet's sake.
            monitor: installed before training.
            eval_end_callback, eval_batch_end_callback: called in validation.

        Raises:
            AssertionError: no ``num_epoch``.
            TypeError: data that is neither an iterator nor an array.
            ValueError: labels that do not fit the data or the network, or no batches.
        """
        assert self.num_epoch is not None, "FeedForward needs num_epoch to be trained"
        train_data = self._batches(X, y, is_train=True)
        eval_data = self._eval_batches(eval_data)
        logger = logging if logger is None else logger
        module = self._trained_module(train_data, logger)
        if monitor is not None:
            module.install_monitor(monitor)
        scale = {"rescale_grad": 1.0 / train_data.batch_size}
        module.init_optimizer(kvstore, self.optimizer, {**scale, **self.kwargs})
        # Callbacks see these variables: their names are MXNet's.
        eval_metric = metrics.create(eval_metric)
        logger.info("Start training with %s", self.ctx)
        train_data.reset()
        for epoch in range(self.begin_epoch, self.num_epoch):
            tic = time.perf_counter()
            eval_metric.reset()
            for nbatch, data_batch in self._batches_of_epoch(train_data, epoch, logger):
                if monitor is not None:
                    monitor.tic()
                module.train_by(data_batch)
                if monitor is not None:
                    monitor.toc_print()
                module.update_metric(eval_metric, data_batch.label)
                for callback in as_list(batch_end_callback):
                    callback(BatchEndParam(epoch, nbatch, eval_metric, locals()))
            logger.info("Epoch[%d] Time cost=%.3f", epoch, time.perf_counter() - tic)
            if epoch_end_callback or epoch + 1 == self.num_epoch:
                self.arg_params, self.aux_params = module.get_params()
            for callback in as_list(epoch_end_callback):
                callback(epoch, self.symbol, self.arg_params, self.aux_params)
            if eval_data is not None:
                module.score(
                    eval_data, eval_metric, None, eval_batch_end_callback, eval_end_callback,
                    epoch=epoch,
                )  # fmt: skip
                eval_data.reset()

    def _trained_module(self, data: DataIter, logger: Any) -> BaseModule:
        """A module with the first values of the parameters, which are this object's from now on."""
        names = _names(data.provide_data), _names(data.provide_label)
        module: Module | BucketingModule
        if self.sym_gen is not None:
            generate = self.sym_gen
            module = BucketingModule(
                lambda key: (generate(key), *names),
                getattr(data, "default_bucket_key", None),
                logger,
                self.ctx,
            )
            self.symbol = module.symbol
        else:
            assert self.symbol is not None
            module = Module(self.symbol, *names, logger=logger, context=self.ctx)
        module.bind(data.provide_data, data.provide_label)
        module.init_params(self._initialize, self.arg_params, self.aux_params, allow_missing=True)
        self.arg_params, self.aux_params = module.get_params()
        self._predictor = None
        return module

    def _initialize(self, name: str, array: NDArray) -> None:
        # By the plain name: here MXNet does not ask variables for initializers of their own.
        self.initializer(str(name), array)

    def _batches_of_epoch(
        self, data: DataIter, epoch: int, logger: Any
    ) -> Iterator[tuple[int, DataBatch]]:
        """Batches and their numbers; an epoch of another size than the data's begins anywhere."""
        count = 0
        begins = self.epoch_size is None
        while True:
            before = count
            for batch in data:
                count += 1
                yield count, as_batch(batch)
                if self.epoch_size is not None and count >= self.epoch_size:
                    return
            if begins and count == before:
                raise ValueError(f"X gave no batch in epoch {epoch}: it needs at least one")
            logger.info("Epoch[%d] Resetting Data Iterator", epoch)
            data.reset()
            if self.epoch_size is None:
                return
            begins = True

    # ---- data ----

    def _batches(self, X: Any, y: Any, is_train: bool) -> DataIter:
        """An iterator over batches, from one or from arrays."""
        if isinstance(X, DataIter):
            check_batch_size(X.batch_size)
            return X
        if not isinstance(X, (np.ndarray, NDArray)):
            raise TypeError(f"X must be a DataIter, an NDArray or a numpy array, got {shown(X)}")
        if y is None and is_train:
            raise ValueError("y is missing: data that is an array needs labels to be trained with")
        labels = np.zeros(X.shape[0]) if y is None else y
        if not isinstance(labels, (np.ndarray, NDArray)):
            raise TypeError(f"y must be an NDArray or a numpy array as X is, got {shown(y)}")
        if X.shape[0] != labels.shape[0]:
            raise ValueError(f"X has {X.shape[0]} samples, y has {labels.shape[0]}")
        if labels.shape[1:] not in ((), (1,)):
            raise ValueError(
                f"y must have one label per sample, got shape {labels.shape}: give other labels by "
                "an iterator, such as mx.io.NDArrayIter"
            )
        size = min(X.shape[0], self.numpy_batch_size)
        last = "roll_over" if is_train else "pad"
        return NDArrayIter(X, labels.reshape((-1,)), size, is_train, last)

    def _eval_batches(self, given: Any) -> DataIter | None:
        """An iterator over batches for validation, from one or from a pair of data and labels."""
        if given is None or isinstance(given, DataIter):
            return given
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise TypeError(
                f"eval_data must be a DataIter, or a pair of data and labels, got {shown(given)}"
            )
        if given[0] is None:
            raise ValueError("eval_data has None for its data: leave eval_data out instead")
        if given[1] is None and isinstance(given[0], DataIter):
            return given[0]
        X, y = (np.array(part) if isinstance(part, list) else part for part in given)
        return self._batches(X, y, is_train=True)

    # ---- outputs ----

    def predict(
        self, X: Any, num_batch: int | None = None, return_data: bool = False, reset: bool = True
    ) -> Any:
        """The outputs for all batches, without padding.

        Args:
            X: an iterator over batches, or an array.
            num_batch: stop after so many batches.
            return_data: give the data and labels, too.
            reset: begin with the first batch.

        Returns:
            A numpy array, or a list where there are several outputs; with ``return_data`` a tuple
            of outputs, data and labels, each so.

        Raises:
            AssertionError: there are no parameters.
            RuntimeError: a parameter is missing.
            TypeError: ``X`` is neither an iterator nor an array.
            ValueError: parameters that the network does not have, or no batches.
        """
        data = self._batches(X, None, is_train=False)
        found = []
        for batch, outputs in self._computed(data, num_batch, reset):
            real = data.batch_size - (batch.pad or 0)
            kinds = (outputs, batch.data, batch.label or ()) if return_data else (outputs,)
            found.append([[array[:real].asnumpy() for array in arrays] for arrays in kinds])
        if not found:
            raise ValueError("X gave no batch to predict: it needs at least one")
        merged = []
        for parts in zip(*found, strict=True):
            arrays = [np.concatenate(part) for part in zip(*parts, strict=True)]
            merged.append(arrays[0] if len(arrays) == 1 else arrays)
        return tuple(merged) if return_data else merged[0]

    def score(
        self,
        X: Any,
        eval_metric: Any = "acc",
        num_batch: int | None = None,
        batch_end_callback: Any = None,
        reset: bool = True,
    ) -> Any:
        """How good the outputs are.

        Args:
            X: an iterator over batches with labels.
            eval_metric: a metric, which goes on counting, or what ``mx.metric.create`` takes.
            num_batch: stop after so many batches.
            batch_end_callback: called after each batch; one, or a list.
            reset: begin with the first batch.

        Returns:
            The metric's value, or a list of those of several.

        Raises:
            As :meth:`predict`.
        """
        # Callbacks see these variables: their names are MXNet's.
        eval_metric = metrics.create(eval_metric)
        data = self._batches(X, None, is_train=False)
        for i, (batch, outputs) in enumerate(self._computed(data, num_batch, reset)):
            eval_metric.update(batch.label, outputs)
            for callback in as_list(batch_end_callback):
                callback(BatchEndParam(0, i, eval_metric, locals()))
        return eval_metric.get()[1]

    def _computed(
        self, data: DataIter, count: int | None, reset: bool
    ) -> Iterator[tuple[DataBatch, list[NDArray]]]:
        """Batches with their outputs, which the next one writes over."""
        if reset:
            data.reset()
        module = self._predicting_module(data)
        for batch in map(as_batch, islice(data, count)):
            module.forward(DataBatch(batch.data), is_train=False)
            yield batch, module.get_outputs()

    def _predicting_module(self, data: DataIter) -> Module:
        """A module with the present parameters. Whatever else its network needs are labels."""
        assert self.symbol is not None and self.arg_params is not None, (
            "there are no parameters: call fit before, or give arg_params"
        )
        arguments, states = self.symbol.list_arguments(), self.symbol.list_auxiliary_states()
        arg_params = self._known("arg_params", self.arg_params, arguments)
        aux_params = self._known("aux_params", self.aux_params or {}, states)
        names = _names(data.provide_data)
        if self._predictor is None or self._predictor.data_names != names:
            free = no_parameters(arguments)
            labels = [name for name in free if name not in (*names, *arg_params)]
            module = Module(self.symbol, names, labels, context=self.ctx)
            module.bind(data.provide_data, for_training=False)
            self._predictor = module
        self._predictor.set_params(arg_params, aux_params)
        return self._predictor

    def _known(self, what: str, given: Parameters, names: Sequence[str]) -> dict[str, NDArray]:
        """The parameters that the network has."""
        extra = [name for name in given if name not in names]
        if extra and not self.allow_extra_params:
            raise ValueError(
                f"{what} has {listed(extra)}, which the network has not: leave them out, or make "
                "the FeedForward with allow_extra_params=True"
            )
        return {name: given[name] for name in given if name in names}

    # ---- files ----

    def save(
        self, prefix: str | Path, epoch: int | None = None, remove_amp_cast: bool = True
    ) -> None:
        """Write ``prefix-symbol.json`` and ``prefix-0001.params``.

        Args:
            prefix: how the paths begin.
            epoch: the number in the name of the parameters' file; ``num_epoch`` if None.
            remove_amp_cast: accepted for MXNet's sake.

        Raises:
            AssertionError: there is no number, or there are no parameters.
        """
        number = self.num_epoch if epoch is None else epoch
        assert number is not None, "save needs an epoch where there is no num_epoch"
        assert self.arg_params is not None, "there are no parameters to save: call fit before"
        save_checkpoint(prefix, number, self.symbol, self.arg_params, self.aux_params or {})

    @staticmethod
    def load(
        prefix: str | Path,
        epoch: int,
        ctx: Context | Sequence[Context] | None = None,
        **kwargs: Any,
    ) -> FeedForward:
        """A network from a checkpoint, whose training goes on after ``epoch``.

        Args:
            prefix, epoch: which checkpoint.
            ctx, kwargs: of :class:`FeedForward`.

        Raises:
            MXNetError: a file that cannot be read, or is damaged.
        """
        symbol, arg_params, aux_params = load_checkpoint(prefix, epoch)
        parameters: Mapping[str, Any] = {"arg_params": arg_params, "aux_params": aux_params}
        return FeedForward(symbol, ctx, begin_epoch=epoch, **parameters, **kwargs)

    @staticmethod
    def create(
        symbol: Symbol | Callable[[Any], Symbol],
        X: Any,
        y: Any = None,
        ctx: Context | Sequence[Context] | None = None,
        num_epoch: int | None = None,
        epoch_size: int | None = None,
        optimizer: Any = "sgd",
        initializer: Any = None,
        eval_data: Any = None,
        eval_metric: Any = "acc",
        epoch_end_callback: Any = None,
        batch_end_callback: Any = None,
        kvstore: Any = "local",
        logger: Any = None,
        work_load_list: Any = None,
        eval_end_callback: Any = _LOG_VALIDATION,
        eval_batch_end_callback: Any = None,
        **kwargs: Any,
    ) -> FeedForward:
        """A network that is trained at once; see :class:`FeedForward` and :meth:`fit`."""
        model = FeedForward(symbol, ctx, num_epoch, epoch_size, optimizer, initializer, **kwargs)
        model.fit(
            X, y, eval_data, eval_metric, epoch_end_callback, batch_end_callback, kvstore, logger,
            work_load_list, None, eval_end_callback, eval_batch_end_callback,
        )  # fmt: skip
        return model


def _names(described: Sequence[Any] | None) -> list[str]:
    return [one[0] for one in described or ()]
