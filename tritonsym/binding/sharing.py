"""What executors share that are made of shapes: the memory of their arrays."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from ..context import Context
from ..foundation.dtype import DType, as_dtype
from ..foundation.errors import MXNetError
from ..foundation.shape import Shape
from ..foundation.text import escaped, shown
from ..ndarray.core import NDArray
from ..ndarray.create import filled
from .executor import Executor


class Sharing:
    """Arrays of another executor, and arrays by name that executors have in turn.

    As in MXNet nothing is shared without ``buffer``.

    Args:
        names: the arguments that are those of ``executor``, with their gradients.
        executor: the other one; its auxiliary states are shared too.
        buffer: the memory of all other arguments, and of their gradients as ``grad of <name>``.
            What it lacks, or has too small, is made, and put there by :meth:`keep`.

    Raises:
        ValueError: names that are no list, or a buffer that is no dict.
        TypeError: no executor.
    """

    def __init__(self, names: Any, executor: Any, buffer: Any) -> None:
        if names is not None and not isinstance(names, list):
            raise ValueError(
                f"shared_arg_names in simple_bind must be a list or None, got {shown(names)}"
            )
        if buffer is not None and not isinstance(buffer, dict):
            raise ValueError(f"shared_buffer in simple_bind must be dict or None, got {buffer!r}")
        if executor is not None and not isinstance(executor, Executor):
            raise TypeError(f"shared_exec must be an Executor or None, got {shown(executor)}")
        for name, array in (buffer or {}).items():
            if not isinstance(array, NDArray):
                raise TypeError(
                    f"shared_buffer: {shown(name)} must be an NDArray, got {shown(array)}"
                )
        self._buffer: dict[str, NDArray] | None = buffer
        self._made: dict[str, NDArray] = {}
        self._names: Collection[str] = names or ()
        others = executor if buffer is not None else None
        self._arguments: Mapping[str, NDArray] = others.arg_dict if others else {}
        self._gradients: Mapping[str, NDArray | None] = others.grad_dict if others else {}
        self._states: Mapping[str, NDArray] = others.aux_dict if others else {}

    def argument(self, name: str, shape: Shape, dtype: DType, ctx: Context) -> NDArray:
        """The array of an argument.

        Raises:
            MXNetError: the one that is to be shared has another shape or dtype.
        """
        if name not in self._names:
            return self._in_buffer(name, shape, dtype, ctx)
        if name in self._arguments:
            return _fitting(name, self._arguments[name], shape, dtype)
        return filled(shape, 0, dtype, ctx, shown(name))

    def gradient(self, name: str, argument: NDArray) -> NDArray:
        """The array of an argument's gradient.

        Raises:
            MXNetError: the one that is to be shared has another dtype, or is not there.
        """
        shape, dtype, ctx = argument.shape, as_dtype(argument._tensor.dtype), argument.context
        if name not in self._names:
            return self._in_buffer(f"grad of {name}", shape, dtype, ctx)
        if name not in self._arguments:
            return filled(shape, 0, dtype, ctx, f"gradient {shown(name)}")
        found = self._gradients[name]
        if found is None:
            raise MXNetError(
                f"shared_arg_names: {escaped(name)} has no gradient in shared_exec: bind that one "
                "with grad_req='write', or this one with 'null' for it"
            )
        return found

    def state(self, name: str, shape: Shape, dtype: DType, ctx: Context) -> NDArray:
        """The array of an auxiliary state; see :meth:`argument`."""
        if name in self._states:
            return _fitting(name, self._states[name], shape, dtype)
        return filled(shape, 0, dtype, ctx, shown(name))

    def keep(self) -> None:
        """Put what was made into the buffer."""
        if self._buffer is not None:
            self._buffer.update(self._made)

    def _in_buffer(self, name: str, shape: Shape, dtype: DType, ctx: Context) -> NDArray:
        """The first elements of an array of the buffer, or a new one."""
        there = None if self._buffer is None else self._buffer.get(name)
        count = math.prod(shape)
        if there is None or there.size < count:
            self._made[name] = filled(shape, 0, dtype, ctx, shown(name))
            return self._made[name]
        if as_dtype(there._tensor.dtype) is not dtype:
            raise MXNetError(
                f"shared_buffer: {escaped(name)} is {as_dtype(there._tensor.dtype)}, and {dtype} "
                "is needed: cast it, or leave it out"
            )
        if not there._tensor.is_contiguous():
            raise MXNetError(
                f"shared_buffer: {escaped(name)} has no memory in one piece: give a copy() of it"
            )
        return NDArray(there._tensor.view(-1)[:count].view(shape), there.context)


def _fitting(name: str, array: NDArray, shape: Shape, dtype: DType) -> NDArray:
    """An array of another executor, if it is what is needed."""
    found = array.shape, as_dtype(array._tensor.dtype)
    if found != (tuple(shape), dtype):
        raise MXNetError(
            f"shared_exec: {escaped(name)} is {found[1]} of shape {found[0]}, and {dtype} of shape "
            f"{tuple(shape)} is needed: leave it out of shared_arg_names, or bind without "
            "shared_exec"
        )
    return array
