"""`mx.mod.BucketingModule`: networks of several lengths that share their parameters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...context import Context
from ...ndarray.core import NDArray
from ...ndarray.create import array, save
from ..checkpoint import load_params, params_name, states_name
from ..io.base import DataBatch, DataDesc
from ..metric.base import EvalMetric
from .base import BaseModule, Parameters, Requests, has_other_steps, steps_of
from .checks import NOT_READY, as_batch
from .internals import Internals
from .module import Module

if TYPE_CHECKING:
    from ...symbol.core import Symbol

Generator = Callable[[Any], tuple["Symbol", Sequence[str], Sequence[str]]]


class BucketingModule(Internals, BaseModule):
    """A module per bucket key, such as the length of a sentence, on the same parameters.

    Args:
        sym_gen: from a key to a symbol, the names of its data and the names of its labels.
        default_bucket_key: that of the network with all the parameters: the longest.
        logger, context, work_load_list, fixed_param_names, state_names, group2ctxs,
            compression_params: as for :class:`Module`.
    """

    def __init__(
        self,
        sym_gen: Generator,
        default_bucket_key: Any = None,
        logger: Any = logging,
        context: Context | Sequence[Context] | None = None,
        work_load_list: Any = None,
        fixed_param_names: Sequence[str] | None = None,
        state_names: Sequence[str] | None = None,
        group2ctxs: Any = None,
        compression_params: Any = None,
    ) -> None:
        super().__init__(logger)
        assert default_bucket_key is not None, "default_bucket_key is needed"
        self._sym_gen = sym_gen
        self._default_bucket_key = default_bucket_key
        self._given = {
            "logger": logger,
            "context": context,
            "fixed_param_names": fixed_param_names,
            "state_names": state_names,
        }
        # Networks that take the place of those that are generated.
        self._symbols: dict[Any, Symbol] = {}
        self._modules: dict[Any, Module] = {}
        self._curr_bucket_key = default_bucket_key
        self._module = self._made(default_bucket_key)
        self._monitor: Any = None
        self._loaded: tuple[Parameters, Parameters] | None = None

    def _made(self, key: Any) -> Module:
        symbol, data_names, label_names = self._sym_gen(key)
        symbol = self._symbols.get(key, symbol)
        return Module(symbol, data_names, label_names, **self._given)

    @property
    def _curr_module(self) -> Module:
        return self._module

    @property
    def _buckets(self) -> Mapping[Any, Module]:
        return self._modules

    # ---- what the module of the present batch is ----

    @property
    def symbol(self) -> Symbol:
        """The present network."""
        return self._module._symbol

    @property
    def data_names(self) -> Sequence[str]:  # type: ignore[override]
        """The names of the data."""
        return self._module.data_names

    @property
    def label_names(self) -> Sequence[str]:  # type: ignore[override]
        """The names of the labels."""
        return self._module.label_names

    @property
    def output_names(self) -> Sequence[str]:  # type: ignore[override]
        """The names of the outputs."""
        return self._module.output_names

    @property
    def data_shapes(self) -> list[DataDesc]:  # type: ignore[override]
        """Descriptions of the present data."""
        return self._module.data_shapes

    @property
    def label_shapes(self) -> list[DataDesc] | None:  # type: ignore[override]
        """Descriptions of the present labels."""
        return self._module.label_shapes

    @property
    def output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """The name and shape of each present output."""
        return self._module.output_shapes

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
        """Make arrays for the default bucket; those of others are made when they come.

        Raises:
            AssertionError: a ``shared_module``, which is not supported here.
        """
        assert shared_module is None, "shared_module for BucketingModule is not supported"
        if self.binded and not force_rebind:
            self.logger.warning("Already bound, ignoring bind()")
            return
        module = self._modules.get(self._default_bucket_key, self._module)
        module.bind(
            data_shapes, label_shapes, for_training, inputs_need_grad, force_rebind, None, grad_req
        )
        self._modules = {self._default_bucket_key: module}
        self._module, self._curr_bucket_key = module, self._default_bucket_key
        self._grad_req = grad_req
        self.for_training, self.inputs_need_grad = for_training, inputs_need_grad
        self.binded = True
        if self._loaded is not None:
            self.set_params(*self._loaded)
            self._loaded = None

    def switch_bucket(
        self, bucket_key: Any, data_shapes: Sequence[Any], label_shapes: Sequence[Any] | None = None
    ) -> None:
        """Use the network of another key, which is made when it is first needed."""
        assert self.binded, "call bind before switching bucket"
        if bucket_key not in self._modules:
            module = self._made(bucket_key)
            first = self._modules[self._default_bucket_key]
            requests = self._grad_req
            if isinstance(requests, Mapping):  # the networks have not all the same arguments
                known = module.symbol.list_arguments()
                requests = {name: requests[name] for name in requests if name in known}
            module.bind(
                data_shapes,
                label_shapes,
                self.for_training,
                self.inputs_need_grad,
                shared_module=first,
                grad_req=requests,
            )
            if self._monitor is not None:
                module.install_monitor(self._monitor)
            self._modules[bucket_key] = module
        self._module, self._curr_bucket_key = self._modules[bucket_key], bucket_key

    def init_params(
        self,
        initializer: Any = None,
        arg_params: Parameters | None = None,
        aux_params: Parameters | None = None,
        allow_missing: bool = False,
        force_init: bool = False,
        allow_extra: bool = False,
    ) -> None:
        """Give the parameters their first values; see :meth:`Module.init_params`."""
        assert self.binded, "call bind before initializing the parameters"
        self._modules[self._default_bucket_key].init_params(
            initializer, arg_params, aux_params, allow_missing, force_init, allow_extra
        )
        self.params_initialized = True

    def set_params(
        self,
        arg_params: Parameters | None,
        aux_params: Parameters | None,
        allow_missing: bool = False,
        force_init: bool = True,
        allow_extra: bool = False,
    ) -> None:
        """Give the parameters values; see :meth:`Module.set_params`."""
        assert self.binded, "call bind before setting the parameters"
        self._modules[self._default_bucket_key].set_params(
            arg_params, aux_params, allow_missing, force_init, allow_extra
        )
        self.params_initialized = True

    def get_params(self) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """Copies of the parameters and of the auxiliary states, by name."""
        assert self.binded and self.params_initialized, NOT_READY
        return self._modules[self._default_bucket_key].get_params()

    def get_states(self, merge_multi_context: bool = True) -> Any:
        """The arrays of ``state_names``; without ``merge_multi_context`` each in a list of one."""
        return self._module.get_states(merge_multi_context)

    def set_states(self, states: Any = None, value: float | None = None) -> None:
        """Set the arrays of ``state_names``."""
        self._module.set_states(states, value)

    def init_optimizer(
        self,
        kvstore: Any = "local",
        optimizer: Any = "sgd",
        optimizer_params: Any = (("learning_rate", 0.01),),
        force_init: bool = False,
    ) -> None:
        """Choose how the parameters are updated; see :meth:`Module.init_optimizer`."""
        assert self.binded and self.params_initialized, NOT_READY
        if self.optimizer_initialized and not force_init:
            self.logger.warning("optimizer already initialized, ignoring.")
            return
        first = self._modules[self._default_bucket_key]
        first.init_optimizer(kvstore, optimizer, optimizer_params, force_init)
        for module in self._modules.values():
            if module is not first:
                module.borrow_optimizer(first)
        self.optimizer_initialized = True

    # ---- a batch ----

    def prepare(self, data_batch: DataBatch, sparse_row_id_fn: Any = None) -> None:
        """Make what the batch's bucket needs, copy the batch, and stay with the present bucket."""
        assert self.binded and self.params_initialized, NOT_READY
        present = self._curr_bucket_key, self.data_shapes, self.label_shapes
        batch = as_batch(data_batch)
        self._switch_to(batch)
        self._module.prepare(batch)
        self.switch_bucket(*present)

    def _switch_to(self, batch: DataBatch) -> None:
        key = self._default_bucket_key if batch.bucket_key is None else batch.bucket_key
        data = self.data_shapes if batch.provide_data is None else batch.provide_data
        labels = self.label_shapes if batch.provide_label is None else batch.provide_label
        self.switch_bucket(key, data, labels)

    def forward(self, data_batch: DataBatch, is_train: bool | None = None) -> None:
        """Compute the outputs of a batch by the network of its ``bucket_key``."""
        assert self.binded and self.params_initialized, NOT_READY
        batch = as_batch(data_batch)
        self._switch_to(batch)
        self._module.forward(batch, is_train)

    def train_by(self, data_batch: DataBatch) -> None:
        """Change the parameters by a batch, by one program where the network of its bucket can."""
        assert self.optimizer_initialized, "initialize the optimizer first"
        batch = as_batch(data_batch)
        if has_other_steps(self, _STEPS):
            super().train_by(batch)
            return
        self._switch_to(batch)
        self._module.train_by(batch)

    def backward(self, out_grads: Any = None) -> None:
        """Compute the gradients of the last batch."""
        self._module.backward(out_grads)

    def update(self) -> None:
        """Change the parameters by the gradients of the last batch."""
        assert self.optimizer_initialized, "initialize the optimizer first"
        self._module.update()

    def get_outputs(self, merge_multi_context: bool = True) -> Any:
        """The outputs of the last batch; see :meth:`Module.get_outputs`."""
        return self._module.get_outputs(merge_multi_context)

    def get_input_grads(self, merge_multi_context: bool = True) -> Any:
        """The gradients of the data of the last batch; see :meth:`Module.get_input_grads`."""
        return self._module.get_input_grads(merge_multi_context)

    def update_metric(self, eval_metric: EvalMetric, labels: Any, pre_sliced: bool = False) -> None:
        """Let a metric look at the outputs of the last batch."""
        self._module.update_metric(eval_metric, labels)

    def install_monitor(self, mon: Any) -> None:
        """Let a monitor watch all the networks."""
        self._monitor = mon
        for module in self._modules.values():
            module.install_monitor(mon)

    # ---- files ----

    def save_checkpoint(
        self,
        prefix: str | Path,
        epoch: int,
        remove_amp_cast: bool = True,
        save_optimizer_states: bool = False,
    ) -> None:
        """Write the parameters, the network of each key, and if wanted ``.states``.

        They are ``prefix-0001.params``, ``prefix-KEY-symbol.json``, and the keys, where they are
        whole numbers, in ``prefix.buckets``.
        """
        self.save_params(params_name(prefix, epoch))
        for key, module in self._modules.items():
            module.symbol.save(f"{prefix}-{key}-symbol.json")
        if all(isinstance(key, int) for key in self._modules):
            save(f"{prefix}.buckets", array([*self._modules], dtype="int32"))
        if save_optimizer_states:
            self._module.save_optimizer_states(states_name(prefix, epoch))

    @staticmethod
    def load(
        prefix: str | Path,
        epoch: int,
        sym_gen: Generator | None = None,
        default_bucket_key: Any = None,
        **kwargs: Any,
    ) -> BucketingModule:
        """A module with the parameters of a checkpoint; it still has to be bound."""
        assert sym_gen is not None, "sym_gen is needed, since a file has one network only"
        module = BucketingModule(sym_gen, default_bucket_key, **kwargs)
        module._loaded = load_params(prefix, epoch)
        module.params_initialized = True
        return module

    @staticmethod
    def load_dict(
        sym_dict: Mapping[Any, Symbol] | None = None,
        sym_gen: Generator | None = None,
        default_bucket_key: Any = None,
        arg_params: Parameters | None = None,
        aux_params: Parameters | None = None,
        **kwargs: Any,
    ) -> BucketingModule:
        """A module of networks by key, and values of their parameters; it still has to be bound.

        Args:
            sym_dict: networks by key; those of other keys are generated.
            sym_gen, default_bucket_key, kwargs: of :class:`BucketingModule`.
            arg_params, aux_params: values by name.

        Raises:
            AssertionError: one of them is missing.
        """
        assert sym_dict is not None, "sym_dict is needed: networks by key"
        assert sym_gen is not None, "sym_gen is needed: it names data and labels"
        assert arg_params is not None, "arg_params are needed"
        assert aux_params is not None, "aux_params are needed; {} where there are none"
        module = BucketingModule(sym_gen, default_bucket_key, **kwargs)
        module._symbols = dict(sym_dict)
        module._module = module._made(default_bucket_key)
        module._loaded = arg_params, aux_params
        module.params_initialized = True
        return module


_STEPS = steps_of(BucketingModule)
