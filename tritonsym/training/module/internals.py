"""Names of MXNet's modules that are not public there, and that published programs use all the same.

A network has one executor here, so every list that MXNet has one entry per device for has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ...binding.executor import Executor
from ...context import Context
from ...ndarray.core import NDArray
from ..io.base import DataBatch, DataDesc

if TYPE_CHECKING:
    from ...symbol.core import Symbol

Parameters = Mapping[str, NDArray]


class _HasNames(Protocol):
    """What the names below are other names of."""

    data_names: Sequence[str]
    label_names: Sequence[str]
    output_names: Sequence[str]
    data_shapes: list[DataDesc]
    label_shapes: list[DataDesc] | None
    binded: bool


class _HasExecutor(_HasNames, Protocol):
    """What computes by one executor."""

    for_training: bool
    inputs_need_grad: bool
    _context: list[Context]
    _param_names: list[str]
    _aux_names: list[str]
    _state_names: list[str]

    @property
    def symbol(self) -> Symbol: ...

    def _bound(self) -> Executor: ...

    def forward(self, data_batch: DataBatch, is_train: bool | None = None) -> None: ...

    def backward(self, out_grads: Any = None) -> None: ...

    def get_outputs(self, merge_multi_context: bool = True) -> Any: ...

    def get_input_grads(self, merge_multi_context: bool = True) -> Any: ...


class ExecutorGroup:
    """What MXNet computes on each device with: other names of what a module has.

    Arrays come as MXNet has them: for each name a list of one for each device; those of data and
    labels each with the rows of a batch that they take, which are all.

    Args:
        module: one that is bound.
    """

    def __init__(self, module: _HasExecutor) -> None:
        self.execs = [module._bound()]
        self.contexts = module._context
        self.symbol = module.symbol
        self.for_training, self.inputs_need_grad = module.for_training, module.inputs_need_grad
        self.arg_names, self.param_names = self.symbol.list_arguments(), module._param_names
        self.aux_names, self.state_names = module._aux_names, module._state_names
        self.data_names, self.label_names = module.data_names, module.label_names
        self.output_names = module.output_names
        self.data_shapes, self.label_shapes = module.data_shapes, module.label_shapes
        self.forward, self.backward = module.forward, module.backward
        self.get_outputs, self.get_input_grads = module.get_outputs, module.get_input_grads

    @property
    def batch_size(self) -> int:
        first = self.data_shapes[0]
        return first.shape[max(DataDesc.get_batch_axis(first.layout), 0)]

    @property
    def slices(self) -> list[slice]:
        return [slice(0, self.batch_size)]

    @property
    def param_arrays(self) -> list[list[NDArray]]:
        return self._arguments(self.param_names)

    @property
    def state_arrays(self) -> list[list[NDArray]]:
        return self._arguments(self.state_names)

    @property
    def aux_arrays(self) -> list[list[NDArray]]:
        return [[one.aux_dict[name] for one in self.execs] for name in self.aux_names]

    @property
    def grad_arrays(self) -> list[list[NDArray | None]]:
        """None where a parameter has no gradient."""
        return self._gradients(self.param_names)

    @property
    def input_grad_arrays(self) -> list[list[NDArray | None]] | None:
        return self._gradients(self.data_names) if self.inputs_need_grad else None

    @property
    def data_arrays(self) -> list[list[tuple[slice, NDArray]]]:
        return self._parts(self.data_names)

    @property
    def label_arrays(self) -> list[list[tuple[slice, NDArray]]] | None:
        return self._parts(self.label_names) if self.label_shapes else None

    def set_params(
        self, arg_params: Parameters, aux_params: Parameters | None, allow_extra: bool = False
    ) -> None:
        """Copy values into the parameters; see :meth:`Executor.copy_params_from`."""
        for one in self.execs:
            one.copy_params_from(arg_params, aux_params, allow_extra)

    def _arguments(self, names: Sequence[str]) -> list[list[NDArray]]:
        return [[one.arg_dict[name] for one in self.execs] for name in names]

    def _gradients(self, names: Sequence[str]) -> list[list[NDArray | None]]:
        return [[one.grad_dict.get(name) for one in self.execs] for name in names]

    def _parts(self, names: Sequence[str]) -> list[list[tuple[slice, NDArray]]]:
        pairs = [zip(self.slices, arrays, strict=True) for arrays in self._arguments(names)]
        return [[*one] for one in pairs]


class Internals:
    """The names, for a class that has what they stand for."""

    @property
    def _data_names(self: _HasNames) -> Sequence[str]:
        return self.data_names

    @property
    def _label_names(self: _HasNames) -> Sequence[str]:
        return self.label_names

    @property
    def _output_names(self: _HasNames) -> Sequence[str]:
        return self.output_names

    @property
    def _data_shapes(self: _HasNames) -> list[DataDesc] | None:
        return self.data_shapes if self.binded else None

    @property
    def _label_shapes(self: _HasNames) -> list[DataDesc] | None:
        return self.label_shapes if self.binded else None
