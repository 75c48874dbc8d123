"""`mx.mod.SequentialModule`: modules one after the other, each on the outputs of the one before."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import copy
from typing import Any

from ...foundation.text import escaped, shown
from ...ndarray.core import NDArray
from ..io.base import DataBatch, DataDesc
from ..metric.base import EvalMetric
from .base import BaseModule, Parameters, Requests
from .checks import as_batch, descriptions
from .parameters import unchanged_by_failure


class SequentialModule(BaseModule):
    """A chain of modules, which are trained together.

    Args:
        logger: where training is logged.
    """

    META_TAKE_LABELS = "take_labels"
    META_AUTO_WIRING = "auto_wiring"

    def __init__(self, logger: Any = logging) -> None:
        super().__init__(logger)
        self._modules: list[Any] = []
        self._metas: list[dict[str, Any]] = []
        self._label_shapes: list[DataDesc] | None = None

    def add(self, module: BaseModule, **kwargs: Any) -> SequentialModule:
        """Put a module at the end of the chain, which has to be bound and initialized after that.

        Args:
            module: what computes on the outputs of the module before.
            kwargs: ``take_labels`` hands the labels of batches to the module, and lets metrics
                look at its outputs; ``auto_wiring`` calls the outputs of the module before, in
                their order, what this one calls its data.

        Returns:
            The chain.

        Raises:
            AssertionError: another keyword.
        """
        known = self.META_TAKE_LABELS, self.META_AUTO_WIRING
        for key in kwargs:
            assert key in known, f"unknown meta {shown(key)}: a module has {' or '.join(known)}"
        self._modules.append(module)
        self._metas.append(kwargs)
        self.binded = self.params_initialized = self.optimizer_initialized = False
        return self

    def _taking_labels(self) -> list[Any]:
        pairs = zip(self._modules, self._metas, strict=True)
        return [module for module, meta in pairs if meta.get(self.META_TAKE_LABELS)]

    # ---- what goes in and comes out ----

    @property
    def data_names(self) -> Sequence[str]:  # type: ignore[override]
        """The names of the first module's data."""
        return self._modules[0].data_names if self._modules else []

    @property
    def label_names(self) -> Sequence[str]:  # type: ignore[override]
        """The names of the labels that some module takes."""
        names = [name for module in self._taking_labels() for name in module.label_names]
        return list(dict.fromkeys(names))

    @property
    def output_names(self) -> Sequence[str]:  # type: ignore[override]
        """The names of the last module's outputs."""
        return self._modules[-1].output_names if self._modules else []

    @property
    def data_shapes(self) -> list[DataDesc]:  # type: ignore[override]
        """Descriptions of the first module's data."""
        assert self.binded, "bind the module first"
        return descriptions(self._modules[0].data_shapes)

    @property
    def label_shapes(self) -> list[DataDesc] | None:  # type: ignore[override]
        """Descriptions of the labels; None where no module takes any."""
        assert self.binded, "bind the module first"
        return self._label_shapes

    @property
    def output_shapes(self) -> Any:
        """The name and shape of each output of the last module."""
        assert self.binded, "bind the module first"
        return self._modules[-1].output_shapes

    # ---- arrays and parameters ----

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
        """Make arrays for batches of these shapes, in all modules.

        Raises:
            AssertionError: there is no module, ``inputs_need_grad`` without training, a number of
                outputs that ``auto_wiring`` does not fit, or a ``shared_module``, which is not
                supported here.
            ValueError, TypeError, MXNetError: as :meth:`Module.bind`. Nothing changes in any case.
        """
        if self.binded and not force_rebind:
            self.logger.warning("Already bound, ignoring bind()")
            return
        assert for_training or not inputs_need_grad, "inputs_need_grad needs for_training=True"
        assert shared_module is None, "shared_module for SequentialModule is not supported"
        assert self._modules, "a SequentialModule without modules cannot be bound: add some"
        takers = self._taking_labels()
        labels = descriptions(label_shapes) or None
        with unchanged_by_failure(self._modules):
            self._bind(
                descriptions(data_shapes),
                label_shapes,
                for_training,
                inputs_need_grad,
                force_rebind,
                grad_req,
            )
        self._label_shapes = labels if takers else None
        self.for_training, self.inputs_need_grad = for_training, inputs_need_grad
        self.binded = True

    def _bind(
        self,
        shapes: Sequence[DataDesc],
        label_shapes: Sequence[Any] | None,
        for_training: bool,
        inputs_need_grad: bool,
        force_rebind: bool,
        grad_req: Requests,
    ) -> None:
        takers = self._taking_labels()
        for place, (module, meta) in enumerate(zip(self._modules, self._metas, strict=True)):
            if meta.get(self.META_AUTO_WIRING):
                shapes = _renamed(shapes, module.data_names, place)
            module.bind(
                shapes,
                label_shapes if module in takers else None,
                for_training,
                inputs_need_grad or (for_training and place > 0),
                force_rebind,
                None,
                grad_req,
            )
            shapes = descriptions(module.output_shapes)

    def init_params(
        self,
        initializer: Any = None,
        arg_params: Parameters | None = None,
        aux_params: Parameters | None = None,
        allow_missing: bool = False,
        force_init: bool = False,
        allow_extra: bool = False,
    ) -> None:
        """Give the parameters of all modules their first values; see :meth:`Module.init_params`.

        Raises:
            AssertionError: the modules are not bound, or two of them have a parameter of one name.
            RuntimeError, TypeError, MXNetError: values that one of them refuses. In all these cases
                the parameters of all modules stay as they were.
        """
        if self.params_initialized and not force_init:
            return
        assert self.binded, "call bind before initializing the parameters"
        with unchanged_by_failure(self._modules, values=force_init):
            for module in self._modules:
                module.init_params(
                    initializer, arg_params, aux_params, allow_missing, force_init, allow_extra
                )
            self._check_names()
        self.params_initialized = True

    def _check_names(self) -> None:
        """Raise AssertionError where two modules have a parameter of one name."""
        owners: dict[str, int] = {}
        for place, module in enumerate(self._modules):
            for name in (name for part in module.get_params() for name in part):
                owner = owners.setdefault(name, place)
                assert owner == place, (
                    f"modules {owner} and {place} both have a parameter {escaped(name)}: give one "
                    "of them another name"
                )

    def get_params(self) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """Copies of the parameters and of the auxiliary states of all modules, by name."""
        assert self.binded and self.params_initialized, "bind and initialize the module first"
        arg_params: dict[str, NDArray] = {}
        aux_params: dict[str, NDArray] = {}
        for module in self._modules:
            arguments, states = module.get_params()
            arg_params.update(arguments)
            aux_params.update(states)
        return arg_params, aux_params

    def init_optimizer(
        self,
        kvstore: Any = "local",
        optimizer: Any = "sgd",
        optimizer_params: Any = (("learning_rate", 0.01),),
        force_init: bool = False,
    ) -> None:
        """Choose how all modules are updated; see :meth:`Module.init_optimizer`."""
        assert self.binded and self.params_initialized, "bind and initialize the module first"
        if self.optimizer_initialized and not force_init:
            self.logger.warning("optimizer already initialized, ignoring.")
            return
        with unchanged_by_failure(self._modules):
            for module in self._modules:
                module.init_optimizer(kvstore, optimizer, optimizer_params, force_init)
        self.optimizer_initialized = True

    # ---- a batch ----

    def forward(self, data_batch: DataBatch, is_train: bool | None = None) -> None:
        """Compute the outputs of a batch, module after module."""
        assert self.binded and self.params_initialized, "bind and initialize the module first"
        batch = copy(as_batch(data_batch))
        for place, (module, meta) in enumerate(zip(self._modules, self._metas, strict=True)):
            if place > 0:
                batch.data = self._modules[place - 1].get_outputs()
            if batch.provide_data is not None and (place > 0 or meta.get(self.META_AUTO_WIRING)):
                names = [one[0] for one in module.data_shapes]
                shapes = [one.shape for one in batch.data]
                batch.provide_data = list(zip(names, shapes, strict=True))
            module.forward(batch, is_train)

    def backward(self, out_grads: Any = None) -> None:
        """Compute the gradients of the last batch, from the last module to the first.

        Args:
            out_grads: gradients of the last module's outputs that are no losses.
        """
        assert self.binded and self.params_initialized, "bind and initialize the module first"
        last = self._modules[-1]
        last.backward(out_grads)
        for module in reversed(self._modules[:-1]):
            module.backward(last.get_input_grads())
            last = module

    def update(self) -> None:
        """Change the parameters of all modules by their gradients."""
        assert self.optimizer_initialized, "initialize the optimizer first"
        for module in self._modules:
            module.update()

    def get_outputs(self, merge_multi_context: bool = True) -> Any:
        """The outputs of the last module; see :meth:`Module.get_outputs`."""
        assert self.binded and self.params_initialized, "bind and initialize the module first"
        return self._modules[-1].get_outputs(merge_multi_context)

    def get_input_grads(self, merge_multi_context: bool = True) -> Any:
        """The gradients of the first module's data; see :meth:`Module.get_input_grads`."""
        assert self.binded and self.inputs_need_grad, "re-bind with inputs_need_grad=True"
        return self._modules[0].get_input_grads(merge_multi_context)

    def update_metric(self, eval_metric: EvalMetric, labels: Any, pre_sliced: bool = False) -> None:
        """Let a metric look at the outputs of the modules that take labels."""
        assert self.binded and self.params_initialized, "bind and initialize the module first"
        for module in self._taking_labels():
            module.update_metric(eval_metric, labels, pre_sliced)

    def install_monitor(self, mon: Any) -> None:
        """Let a monitor watch all modules."""
        assert self.binded, "bind the module first"
        for module in self._modules:
            module.install_monitor(mon)


def _renamed(shapes: Sequence[DataDesc], names: Sequence[str], place: int) -> list[DataDesc]:
    assert len(shapes) == len(names), (
        f"auto_wiring: module {place} has data {shown(list(names))}, and is given "
        f"{len(shapes)} arrays: {shown([one.name for one in shapes])}"
    )
    return [
        DataDesc(name, one.shape, one.dtype, one.layout)
        for name, one in zip(names, shapes, strict=True)
    ]
