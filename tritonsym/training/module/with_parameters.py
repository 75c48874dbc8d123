"""A module whose parameters have values: their first ones, new ones, and copies of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...binding.executor import Executor
from ...context import Context
from ...foundation.text import listed
from ...ndarray.core import NDArray
from ...ndarray.values import write
from ..initializer import InitDesc, Uniform
from .base import BaseModule, Parameters, merged
from .checks import NOT_READY, check_known, warn_of_values
from .internals import ExecutorGroup, Internals
from .parameters import Kept, values_for

if TYPE_CHECKING:
    from ...symbol.core import Symbol


class ModuleWithParameters(Internals, BaseModule):
    """What a module does with the values of its parameters and auxiliary states.

    ``_arg_params`` and ``_aux_params`` are the values by name, as in MXNet: what a program puts
    there is written into the arrays when the module is bound. From then on they are these arrays
    themselves, so that they are always up to date, and ``_params_dirty`` matters only to a program
    that puts others in their place.

    A subclass sets ``_symbol`` and the names, and makes the arrays.
    """

    _symbol: Symbol
    _context: list[Context]
    _param_names: list[str]
    _aux_names: list[str]
    _state_names: list[str]

    def __init__(self, logger: Any = logging) -> None:
        super().__init__(logger)
        self._kept = Kept({}, {}, {})
        self._arg_params: dict[str, NDArray] | None = None
        self._aux_params: dict[str, NDArray] | None = None
        self._params_dirty = False

    def _bound(self) -> Executor:
        raise NotImplementedError

    # ---- the arrays and what programs see of them ----

    @property
    def _exec_group(self) -> ExecutorGroup | None:
        return ExecutorGroup(self) if self.binded else None

    def _sync_params_from_devices(self) -> None:
        """Let ``_arg_params`` and ``_aux_params`` be the arrays that are computed with."""
        self._arg_params, self._aux_params = self._arrays()
        self._params_dirty = False

    def _arrays(self) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        return (
            {name: self._kept.parameters[name] for name in self._param_names},
            {name: self._kept.states[name] for name in self._aux_names},
        )

    def _take_values(self) -> None:
        """Write what a program has put in ``_arg_params`` and ``_aux_params`` into the arrays.

        Raises:
            RuntimeError, TypeError, MXNetError: as :meth:`init_params`.
        """
        _write([*zip(self._arrays(), (self._arg_params, self._aux_params), strict=True)], False)
        self._sync_params_from_devices()

    # ---- values ----

    def init_params(
        self,
        initializer: Any = None,
        arg_params: Parameters | None = None,
        aux_params: Parameters | None = None,
        allow_missing: bool = False,
        force_init: bool = False,
        allow_extra: bool = False,
    ) -> None:
        """Give the parameters their first values, unless they have some.

        Args:
            initializer: fills what is not given; uniform numbers of 0.01 if nothing is given.
            arg_params, aux_params: values by name; those of other names are ignored.
            allow_missing: whether names may be missing in these.
            force_init: do it even where it was done.
            allow_extra: accepted for MXNet's sake.

        Raises:
            AssertionError: the module is not bound.
            RuntimeError: a name is missing.
            TypeError: values that are no arrays.
            MXNetError: values of another shape. Nothing is written in these cases.
        """
        if self.params_initialized and not force_init:
            warn_of_values()
            return
        assert self.binded, "call bind before initializing the parameters"
        if initializer is None and arg_params is None and aux_params is None:
            initializer = Uniform(0.01)
        attributes = self._symbol.attr_dict()
        groups = [(self._kept.parameters, arg_params), (self._kept.states, aux_params)]
        unset = _write(groups, allow_missing)
        if initializer is not None:
            for name, target in unset:
                initializer(InitDesc(name, attributes.get(name)), target)
        self.params_initialized = True
        self._sync_params_from_devices()

    def set_params(
        self,
        arg_params: Parameters | None,
        aux_params: Parameters | None,
        allow_missing: bool = False,
        force_init: bool = True,
        allow_extra: bool = False,
    ) -> None:
        """Give the parameters values; see :meth:`init_params`.

        Raises:
            ValueError: a name that the network does not have, where names may be missing and
                ``allow_extra`` is false: it could be a misspelt one. Nothing is written then.
        """
        if allow_missing and not allow_extra and (force_init or not self.params_initialized):
            check_known("arguments", arg_params or {}, self._symbol.list_arguments())
            check_known("auxiliary states", aux_params or {}, self._aux_names)
        super().set_params(arg_params, aux_params, allow_missing, force_init, allow_extra)

    def get_params(self) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """Copies of the parameters and of the auxiliary states, by name, on the CPU."""
        assert self.params_initialized, NOT_READY
        if self._params_dirty:
            self._sync_params_from_devices()
        cpu = Context("cpu", 0)
        return (
            {name: array.copyto(cpu) for name, array in (self._arg_params or {}).items()},
            {name: array.copyto(cpu) for name, array in (self._aux_params or {}).items()},
        )

    def get_states(self, merge_multi_context: bool = True) -> Any:
        """The arrays of ``state_names``; without ``merge_multi_context`` each in a list of one."""
        return merged([*self._states().values()], merge_multi_context)

    def set_states(self, states: Any = None, value: float | None = None) -> None:
        """Set the arrays of ``state_names``: from as many arrays, or all to one number.

        An array may be in a list of its own, as :meth:`get_states` and :meth:`get_outputs` give it
        without ``merge_multi_context``.

        Raises:
            AssertionError: both are given, neither is, or another number of arrays.
            TypeError, MXNetError: as :meth:`init_params`. Nothing is written in these cases.
        """
        targets = self._states()
        assert (states is None) != (value is None), "set_states needs states or a value, not both"
        if states is None:
            for target in targets.values():
                target[:] = value
            return
        lone = [isinstance(one, (list, tuple)) and len(one) == 1 for one in states]
        arrays = [one[0] if single else one for one, single in zip(states, lone, strict=True)]
        assert len(arrays) == len(targets), (
            f"the module has {len(targets)} states ({listed(targets) or 'none'}), got {len(arrays)}"
        )
        _write([(targets, dict(zip(targets, arrays, strict=True)))], allow_missing=False)

    def _states(self) -> dict[str, NDArray]:
        return {name: self._bound().arg_dict[name] for name in self._state_names}


def _write(
    groups: Sequence[tuple[Mapping[str, NDArray], Parameters | None]], allow_missing: bool
) -> list[tuple[str, NDArray]]:
    """Copy values into arrays of the same names, if all fit; the arrays that have been given none.

    Raises:
        RuntimeError, TypeError, MXNetError: see `values_for`; then nothing is written.
    """
    found = [values_for(arrays, given, allow_missing) for arrays, given in groups]
    pairs = [(target._tensor, value) for copies, _ in found for target, value in copies]
    copied = [(target, value) for target, value in pairs if value is not target]
    written = {target.untyped_storage().data_ptr() for target, _ in copied}
    # What lies in an array that is written to, such as that of another parameter, is read before.
    sources = [
        value.clone() if value.untyped_storage().data_ptr() in written else value
        for _, value in copied
    ]
    for (target, _), source in zip(copied, sources, strict=True):
        write(target, source)
    return [one for _, unset in found for one in unset]
