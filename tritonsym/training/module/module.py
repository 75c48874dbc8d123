"""`mx.mod.Module`: a symbol with its arrays, and an optimizer for them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...binding.bind import gradient_requests
from ...binding.executor import Executor
from ...context import Context, as_context
from ...foundation.dtype import as_dtype
from ...foundation.files import read_file, replace_file
from ...foundation.shape import Shape
from ...foundation.text import shown
from ...ndarray.core import NDArray
from .. import kvstore as kvstores
from ..checkpoint import load_checkpoint, save_checkpoint, states_name
from ..io.base import DataBatch, DataDesc
from ..metric.base import EvalMetric
from ..optimizer import base as optimizers
from ..optimizer.updater import Updater, get_updater
from ..step import Steps
from ..upload import Upload
from .base import Requests, has_other_steps, merged, steps_of
from .checks import (
    NOT_READY,
    as_batch,
    check_all_labels,
    check_count,
    check_data,
    check_distinct,
    check_label_names,
    check_labels,
    check_names,
    described_as,
    descriptions,
    labels_there,
    one_context,
)
from .parameters import bound, unchanged_by_failure
from .with_parameters import ModuleWithParameters

if TYPE_CHECKING:
    from ...symbol.core import Symbol

# Executors for other shapes of batches that are kept, such as that of the last batch.
MOST_SHAPES = 4


class Module(ModuleWithParameters):
    """A symbol that is trained on one context.

    Args:
        symbol: the network.
        data_names, label_names: the arguments that come with each batch. Labels that the symbol
            does not have are left out.
        logger: where training is logged.
        context: where everything is.
        work_load_list, group2ctxs, compression_params: accepted for MXNet's sake; there is one
            context.
        fixed_param_names: parameters that are not trained.
        state_names: arguments that :meth:`set_states` sets.

    Raises:
        TypeError: ``symbol`` is no symbol.
        ValueError: a name that is no argument of the symbol or stands twice, or several contexts.
    """

    def __init__(
        self,
        symbol: Symbol,
        data_names: Sequence[str] | None = ("data",),
        label_names: Sequence[str] | None = ("softmax_label",),
        logger: Any = logging,
        context: Context | Sequence[Context] | None = None,
        work_load_list: Any = None,
        fixed_param_names: Sequence[str] | None = None,
        state_names: Sequence[str] | None = None,
        group2ctxs: Any = None,
        compression_params: Any = None,
    ) -> None:
        super().__init__(logger)
        if not hasattr(symbol, "list_arguments"):
            raise TypeError(f"a Module needs a Symbol, got {shown(symbol)}")
        self._symbol: Symbol = symbol
        # A list, as programs read it that look for several.
        self._context = [as_context(one_context(context))]
        arguments = symbol.list_arguments()
        self.data_names = list(data_names or ())
        known = [*self.data_names, *(state_names or ()), *(fixed_param_names or ())]
        self.label_names = labels_there(label_names or (), arguments, known)
        self._state_names = list(state_names or ())
        self._fixed_param_names = list(fixed_param_names or ())
        for kind, names in (
            ("data_names", self.data_names),
            ("state_names", self._state_names),
            ("fixed_param_names", self._fixed_param_names),
        ):
            check_names(kind, names, arguments)
        given = [*self.data_names, *self.label_names, *self._state_names]
        check_distinct(given)
        self._param_names = [name for name in arguments if name not in given]
        self._aux_names = symbol.list_auxiliary_states()
        self.output_names = symbol.list_outputs()
        self._executors: dict[Any, Executor] = {}
        self._executor: Executor | None = None
        # The names of what it takes of a batch, and the shapes of data and of labels.
        self._names: list[str] = []
        self._shapes: tuple[list[Shape], list[Shape]] = [], []
        self._steps = Steps()
        self._upload = Upload(self._context[0])
        self._preload_opt_states: str | None = None
        self._kvstore: kvstores.KVStore | None = None
        self._update_on_kvstore: bool | None = None
        self._updater: Updater | None = None
        self._optimizer: optimizers.Optimizer | None = None
        # What the optimizer calls each parameter; shared by modules that share it.
        self._places: dict[str, int] = {}
        self._learned: tuple[list[int], list[str]] | None = None
        self._monitor: Any = None

    # ---- files ----

    @staticmethod
    def load(
        prefix: str | Path, epoch: int, load_optimizer_states: bool = False, **kwargs: Any
    ) -> Module:
        """A module from a checkpoint; it still has to be bound.

        Args:
            prefix, epoch: which checkpoint.
            load_optimizer_states: read them too, for :meth:`init_optimizer`.
            kwargs: of :class:`Module`.

        Raises:
            MXNetError: a file that cannot be read, or is damaged.
        """
        symbol, arg_params, aux_params = load_checkpoint(prefix, epoch)
        module = Module(symbol, **kwargs)
        module._arg_params, module._aux_params = arg_params, aux_params
        module.params_initialized = True
        if load_optimizer_states:
            module._preload_opt_states = str(states_name(prefix, epoch))
        return module

    def save_checkpoint(
        self,
        prefix: str | Path,
        epoch: int,
        save_optimizer_states: bool = False,
        remove_amp_cast: bool = True,
    ) -> None:
        """Write ``prefix-symbol.json``, ``prefix-0001.params`` and, if wanted, ``.states``."""
        save_checkpoint(prefix, epoch, self._symbol, *self.get_params())
        if save_optimizer_states:
            self.save_optimizer_states(states_name(prefix, epoch))
            self.logger.info('Saved optimizer state to "%s"', states_name(prefix, epoch))

    def save_optimizer_states(self, fname: str | Path) -> None:
        """Write the optimizer's states to a file."""
        assert self._updater is not None, "initialize the optimizer first"
        replace_file(fname, self._updater.get_states())

    def load_optimizer_states(self, fname: str | Path) -> None:
        """Read the optimizer's states from a file.

        Raises:
            MXNetError: the file cannot be read, or is damaged.
        """
        assert self._updater is not None, "initialize the optimizer first"
        self._updater.set_states(read_file(fname))

    # ---- arrays ----

    @property
    def output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """The name and shape of each output."""
        outputs = self._bound().outputs
        return [(name, one.shape) for name, one in zip(self.output_names, outputs, strict=True)]

    def bind(
        self,
        data_shapes: Sequence[Any],
        label_shapes: Sequence[Any] | None = None,
        for_training: bool = True,
        inputs_need_grad: bool = False,
        force_rebind: bool = False,
        shared_module: Module | None = None,
        grad_req: Requests = "write",
    ) -> None:
        """Make arrays for batches of these shapes.

        Args:
            data_shapes, label_shapes: descriptions, or pairs of name and shape. Without labels
                there can be no training, but outputs.
            for_training: whether gradients will be wanted.
            inputs_need_grad: whether those of the data will be, too.
            force_rebind: do it again where it was done; parameters keep their values.
            shared_module: one whose parameters are used as they are, and whose optimizer, if any.
            grad_req: ``write``, ``add`` or ``null``, for all, in the order of the arguments, or by
                name.

        Raises:
            ValueError: data of another name than was said, or a ``grad_req`` that is none or names
                what is no argument.
            TypeError: a ``grad_req`` of another form.
            MXNetError: shapes that do not fit. Nothing changes in either case.
        """
        if self.binded and not force_rebind:
            self.logger.warning("Already bound, ignoring bind()")
            return
        data, labels = descriptions(data_shapes), descriptions(label_shapes)
        arguments, names = self._symbol.list_arguments(), [one.name for one in labels]
        check_data([one.name for one in data], self.data_names)
        check_label_names(names, self.label_names, arguments, self.data_names)
        requests = gradient_requests(grad_req, arguments)
        with unchanged_by_failure([self] if shared_module is None else [self, shared_module]):
            self.for_training = for_training
            self.inputs_need_grad = inputs_need_grad
            self._grad_req = requests
            self._learned = None
            self._executors = {}
            self._bind(data, labels, shared_module)

    def _bind(
        self, data: list[DataDesc], labels: list[DataDesc], shared_module: Module | None
    ) -> None:
        """Make the arrays, and give them the values that were put in ``_arg_params``."""
        if shared_module is not None:
            assert shared_module.binded and shared_module.params_initialized, (
                "the shared module must be bound and initialized"
            )
            self._kept = shared_module._kept
            self._arg_params = self._aux_params = None
            self.params_initialized = True
            if shared_module.optimizer_initialized:
                self.borrow_optimizer(shared_module)
        self._use_shapes(data, labels)
        self.binded = True
        self._take_values()

    def reshape(
        self, data_shapes: Sequence[Any], label_shapes: Sequence[Any] | None = None
    ) -> None:
        """Use arrays for batches of other shapes; parameters stay as they are."""
        assert self.binded, "bind the module first"
        self._use_shapes(descriptions(data_shapes), descriptions(label_shapes))

    def _use_shapes(self, data: list[DataDesc], labels: list[DataDesc]) -> None:
        key = tuple((one.name, one.shape, as_dtype(one.dtype)) for one in (*data, *labels))
        if key in self._executors:
            executor = self._executors.pop(key)
        else:
            described = {one.name: one for one in (*data, *labels)}
            requests = self._requests()
            executor = bound(
                self._symbol, self._context[0], described, self._param_names, requests, self._kept
            )
            if self._monitor is not None:
                self._monitor.install(executor)
        self._executors[key] = executor  # the last one used stands last
        while len(self._executors) > MOST_SHAPES:
            del self._executors[next(iter(self._executors))]
        self._executor = executor
        self.data_shapes, self.label_shapes = data, labels or None
        self._names = [one.name for one in (*data, *labels)]
        known = [one.shape for one in labels if one.name in self.label_names]
        self._shapes = [one.shape for one in data], known

    def _requests(self) -> dict[str, str]:
        """What happens with the gradient of each argument."""
        wanted = {*self._param_names, *(self.data_names if self.inputs_need_grad else ())}
        wanted = wanted.difference(self._fixed_param_names) if self.for_training else set()
        names = self._symbol.list_arguments()
        return {name: self._grad_req[name] if name in wanted else "null" for name in names}

    def _bound(self) -> Executor:
        assert self._executor is not None, "bind the module first"
        return self._executor

    # ---- optimizer ----

    def init_optimizer(
        self,
        kvstore: Any = "local",
        optimizer: Any = "sgd",
        optimizer_params: Any = (("learning_rate", 0.01),),
        force_init: bool = False,
    ) -> None:
        """Choose how the parameters are updated.

        Args:
            kvstore: a store, its type, or None: accepted for MXNet's sake, as there is one context.
            optimizer: a name, or an optimizer. Gradients are sums over a batch: one that is made
                here divides them by its size, unless ``rescale_grad`` is given.
            optimizer_params: arguments by name, or pairs.
            force_init: do it again where it was done.

        Raises:
            TypeError: something else than an optimizer, or than a store.
            MXNetError: states that were to be loaded are damaged, or a store of a type that does
                not exist. Nothing changes then.
        """
        assert self.binded and self.params_initialized, NOT_READY
        if self.optimizer_initialized and not force_init:
            self.logger.warning("optimizer already initialized, ignoring...")
            return
        kvstores.check(kvstore)
        symbol, names = self._symbol, dict(enumerate(self._param_names))
        rescale_grad = 1.0 / self._batch_size()
        if isinstance(optimizer, str):
            given = {"rescale_grad": rescale_grad, **dict(optimizer_params)}
            optimizer = optimizers.create(optimizer, sym=symbol, param_idx2name=names, **given)
        else:
            if not isinstance(optimizer, optimizers.Optimizer):
                raise TypeError(f"optimizer must be a name or an Optimizer, got {shown(optimizer)}")
            if optimizer.rescale_grad != rescale_grad:
                self.logger.warning(
                    "the optimizer has rescale_grad=%s, and not 1/batch_size=%s: is this intended?",
                    optimizer.rescale_grad,
                    rescale_grad,
                )
            if not optimizer.idx2name:
                optimizer.idx2name = names
                optimizer.set_wd_mult({})
        updater = get_updater(optimizer)
        if self._preload_opt_states is not None:
            updater.set_states(read_file(self._preload_opt_states))
            self._preload_opt_states = None
        self._optimizer, self._updater = optimizer, updater
        self._kvstore = kvstore if isinstance(kvstore, kvstores.KVStore) else None
        self._update_on_kvstore = False
        self._places = {name: place for place, name in names.items()}
        self._learned = None
        self.optimizer_initialized = True

    def _batch_size(self) -> int:
        first = self.data_shapes[0]
        return first.shape[max(0, DataDesc.get_batch_axis(first.layout))]

    def borrow_optimizer(self, shared_module: Module) -> None:
        """Use the optimizer of another module, with its states."""
        assert shared_module.optimizer_initialized, "the other module has no optimizer"
        self._optimizer, self._updater = shared_module._optimizer, shared_module._updater
        self._kvstore = shared_module._kvstore
        self._update_on_kvstore = shared_module._update_on_kvstore
        self._places = shared_module._places
        self._learned = None
        self.optimizer_initialized = True

    # ---- a batch ----

    def prepare(self, data_batch: DataBatch, sparse_row_id_fn: Any = None) -> None:
        """Copy a batch to the device, which may still compute the one before."""
        self._upload.begin(as_batch(data_batch))

    def forward(self, data_batch: DataBatch, is_train: bool | None = None) -> None:
        """Compute the outputs of a batch; arrays of other shapes than before are made for it.

        Args:
            data_batch: data, and labels if they matter.
            is_train: whether operators behave as in training; as the module was bound if None.

        Raises:
            AssertionError: the module is not bound or not initialized.
            TypeError: no batch.
            ValueError: more or fewer arrays of data than the module has names for, or some labels
                and not all.
            MXNetError: the data fits no such network.
        """
        assert self.binded and self.params_initialized, NOT_READY
        given = self._given_by(as_batch(data_batch))
        train = self.for_training if is_train is None else is_train
        self._bound().forward(train, **given)

    def _given_by(self, batch: DataBatch) -> dict[str, NDArray]:
        """The arrays of a batch by name; those that are bound have their shapes then."""
        check_count(batch, self.data_names)
        batch = self._upload.end(batch)
        arrays = batch.data or (), batch.label or ()
        if batch.provide_data is None and batch.provide_label is None:
            data_shapes, label_shapes = ([x.shape for x in part] for part in arrays)
            if (data_shapes, label_shapes) == self._shapes:
                return dict(zip(self._names, chain(*arrays), strict=True))
        return self._given_anew(batch)

    def _given_anew(self, batch: DataBatch) -> dict[str, NDArray]:
        """:meth:`_given_by` of a batch that is not like those that are bound for."""
        data = described_as(self.data_shapes, batch.data, batch.provide_data)
        described = described_as(self.label_shapes or (), batch.label, batch.provide_label)
        found = dict(zip(self._label_order(described), batch.label or (), strict=False))
        given = {name: found[name] for name in found if name in self.label_names}
        check_all_labels(given, self.label_names)
        labels = [one for one in described if one.name in given]
        changed = [one.shape for one in data] != [one.shape for one in self.data_shapes]
        if changed or (given and labels != self.label_shapes):
            self._use_shapes(data, labels)
        return {**dict(zip((one.name for one in data), batch.data, strict=False)), **given}

    def _label_order(self, described: Sequence[DataDesc]) -> Sequence[str]:
        """The names of labels in the order in which batches have them."""
        return [one.name for one in described] or self.label_names

    def backward(self, out_grads: Any = None) -> None:
        """Compute the gradients of the last batch.

        Args:
            out_grads: gradients of the outputs that are no losses.

        Raises:
            AssertionError: the module was not bound for training.
        """
        assert self.binded and self.for_training, "re-bind with for_training=True to run backward"
        self._bound().backward(out_grads)

    def train_by(self, data_batch: DataBatch) -> None:
        """Change the parameters by a batch, where it can be by one program for all of it."""
        assert self._updater is not None and self.binded, "initialize the optimizer first"
        batch = as_batch(data_batch)
        if has_other_steps(self, _STEPS):
            super().train_by(batch)
            return
        check_labels(batch, self.label_names)
        given = self._given_by(batch)
        self._params_dirty = True
        places, names = self._trained()
        if not self._steps.train(self._bound(), self._updater, places, names, given):
            super().train_by(batch)

    def _trained(self) -> tuple[list[int], list[str]]:
        """The parameters that are updated: what the optimizer calls them, and their names."""
        if self._learned is None:
            requests = self._requests()
            names = [name for name in self._param_names if requests[name] != "null"]
            places = [self._places.setdefault(name, len(self._places)) for name in names]
            self._learned = places, names
        return self._learned

    def update(self) -> None:
        """Change the parameters by their gradients."""
        assert self._updater is not None and self.binded, "initialize the optimizer first"
        self._params_dirty = True
        places, names = self._trained()
        weights, gradients = self._bound().arg_dict, self._bound().grad_dict
        self._updater(
            places, [gradients[name] for name in names], [weights[name] for name in names]
        )

    def get_outputs(self, merge_multi_context: bool = True) -> Any:
        """The outputs of the last batch; the next one writes over them.

        Without ``merge_multi_context`` each comes as a list of one array.
        """
        assert self.binded and self.params_initialized, NOT_READY
        return merged(list(self._bound().outputs), merge_multi_context)

    def get_input_grads(self, merge_multi_context: bool = True) -> Any:
        """The gradients of the data of the last batch, as :meth:`get_outputs` in its order.

        Raises:
            AssertionError: the module was not bound for them.
        """
        assert self.binded and self.inputs_need_grad, "re-bind with inputs_need_grad=True"
        return merged(
            [self._bound().grad_dict[x.name] for x in self.data_shapes], merge_multi_context
        )

    def update_metric(self, eval_metric: EvalMetric, labels: Any, pre_sliced: bool = False) -> None:
        """Let a metric look at the outputs of the last batch."""
        found = dict(zip(self._label_order(self.label_shapes or ()), labels or (), strict=False))
        named = {name: found[name] for name in self.label_names if name in found}
        eval_metric.update_dict(
            named, dict(zip(self.output_names, self.get_outputs(), strict=True))
        )

    def install_monitor(self, mon: Any) -> None:
        """Let a monitor watch."""
        self._monitor = mon
        mon.install(self._bound())


_STEPS = steps_of(Module)
