"""Names of MXNet's modules that are not public there, and that published programs use all the same.

A network has one executor here, so every list that MXNet has one entry per device for has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...binding.executor import Executor
from ...ndarray.core import NDArray
from ..io.base import DataDesc

Parameters = Mapping[str, NDArray]


@dataclass(frozen=True)
class ExecutorGroup:
    """What MXNet computes on each device with.

    Attributes:
        execs: the executors.
        param_names: of the parameters.
        param_arrays, grad_arrays: for each parameter a list of its array, and of its gradient's,
            which is None where it has none.
    """

    execs: list[Executor]
    param_names: list[str]

    @property
    def param_arrays(self) -> list[list[NDArray]]:
        return [[one.arg_dict[name] for one in self.execs] for name in self.param_names]

    @property
    def grad_arrays(self) -> list[list[NDArray | None]]:
        return [[one.grad_dict.get(name) for one in self.execs] for name in self.param_names]

    def set_params(
        self, arg_params: Parameters, aux_params: Parameters | None, allow_extra: bool = False
    ) -> None:
        """Copy values into the parameters; see :meth:`Executor.copy_params_from`."""
        for one in self.execs:
            one.copy_params_from(arg_params, aux_params, allow_extra)


class _HasNames(Protocol):
    """What the names below are other names of."""

    data_names: Sequence[str]
    label_names: Sequence[str]
    output_names: Sequence[str]
    data_shapes: list[DataDesc]
    label_shapes: list[DataDesc] | None
    binded: bool


class _HasExecutor(Protocol):
    """What computes by one executor."""

    _param_names: list[str]

    def _bound(self) -> Executor: ...


class Internals:
    """The names, for a class that has what they stand for."""

    @property
    def _exec_group(self: _HasExecutor) -> ExecutorGroup:
        return ExecutorGroup([self._bound()], self._param_names)

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
