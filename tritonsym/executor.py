"""Executors: a symbol bound to arrays, compiled once and run as often as wanted."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from . import collector, cpu, switches
from .allocation import allocating
from .context import Context
from .dtype import DType, as_dtype
from .eager import compute
from .errors import MXNetError
from .graph import Entry, Node, toposort, variables
from .infer import Inferred, infer_dtypes, infer_shapes, known_shape
from .ndarray.core import NDArray, tensor_of
from .ndarray.create import filled
from .ndarray.values import check_writable, write
from .op import is_complete
from .philox import default_state
from .plan import Plan, make_plan
from .program import Program
from .shape import Shape
from .simplify import simplify
from .text import escaped, listed, shown
from .trace import trace

if TYPE_CHECKING:
    from .symbol.core import Symbol


class Executor:
    """A symbol compiled for the arrays that it is bound to.

    The arrays are the caller's own: what is written into them is what the next :meth:`forward`
    reads. The outputs keep their memory from one run to the next; copy one to keep its values.

    An executor runs in one thread at a time, since all its runs share that memory: bind one for
    each thread, on the same arrays if they are only read.

    Attributes:
        plan: how the outputs are computed.
        outputs: one array per output; zeros before the first run.
    """

    def __init__(
        self,
        symbol: Symbol,
        ctx: Context,
        arguments: Mapping[str, NDArray],
        states: Mapping[str, NDArray],
        gradients: Mapping[str, NDArray | None] | None,
        grad_req: Mapping[str, str],
    ) -> None:
        # Composition and attributes change symbols in place; this one stays as it was bound.
        self._symbol = symbol.__copy__()
        self._ctx = ctx
        self._grad_req = dict(grad_req)
        self._arguments = dict(arguments)
        self._states = dict(states)
        self._gradients = gradients
        self._monitor: tuple[Callable[[str, NDArray], object], bool] | None = None
        self._bound = {**self._arguments, **self._states}
        self._running = threading.Lock()
        with collector.paused():
            self._compile()

    def _compile(self) -> None:
        symbol, ctx, bound = self._symbol, self._ctx, self._bound
        shapes = _checked_shapes(symbol, bound)
        dtypes = _checked_dtypes(symbol, bound)
        on_cpu = ctx.device_type != "gpu"
        graph = simplify(trace(symbol._entries, shapes, dtypes, native=on_cpu))
        ordered = [bound[node.name]._tensor for node in shapes.nodes if node.op is None]
        strides = {
            index: tensor.stride()
            for index, tensor in enumerate(ordered)
            if not tensor.is_contiguous()
        }
        switched = switches.current()
        self.plan: Plan = make_plan(
            graph,
            strides,
            fuse=switched.fusion,
            reuse=switched.reuse,
            in_registers=not on_cpu,
        )
        if switched.debug:
            print(self.plan, file=sys.stderr)
        with allocating(_bytes(self.plan), partial(_memory_of, self.plan)):
            self._program = self._programmed(ordered)
        self._steps = self._program.steps
        self.outputs = [NDArray(tensor, ctx) for tensor in self._program.buffers.outputs]

    def _programmed(self, inputs: Sequence[torch.Tensor]) -> Program:
        if self._ctx.device_type != "gpu":
            return cpu.program(self.plan, inputs, default_state())
        from . import triton_runtime  # Triton is imported for a GPU plan, and not before

        return triton_runtime.program(
            self.plan, inputs, default_state(), self._ctx, switches.current()
        )

    # ---- running ----

    def forward(self, /, is_train: bool = False, **kwargs: Any) -> list[NDArray]:
        """Compute the outputs from what the bound arrays hold.

        Args:
            is_train: whether operators behave as in training.
            kwargs: new values for arguments, copied into the bound arrays first.

        Returns:
            :attr:`outputs`: the same list and the same memory at every run.

        Raises:
            TypeError: a name that is no argument, or values that are no real numbers.
            ValueError: values of another shape, or no array.
            MXNetError: it is running already. Nothing is copied in any of these cases.
        """
        if not self._running.acquire(blocking=False):
            raise MXNetError(
                "this executor is running already, in another thread or in its own monitor, on "
                "the memory that this run would need: bind one for each thread"
            )
        try:
            if kwargs:
                self._copy_in(kwargs)
            if self._monitor is not None:
                return self._forward_watched(*self._monitor)
            for step in self._steps:
                step()
            return self.outputs
        finally:
            self._running.release()

    def set_monitor_callback(
        self, callback: Callable[[str, NDArray], object] | None, monitor_all: bool = False
    ) -> None:
        """Show every intermediate value of the following runs to a function.

        Such a run computes node by node, without fusion and reuse of memory, so that each value
        is exact and stays as it is.

        Args:
            callback: called with the output's name and its array; None ends it.
            monitor_all: show the inputs of nodes too, as ``<node>_<input>``, and variables.

        Raises:
            TypeError: no function.
        """
        if callback is not None and not callable(callback):
            raise TypeError(f"the monitor must be a function, got {shown(callback)}")
        self._monitor = None if callback is None else (callback, monitor_all)

    def _forward_watched(
        self, callback: Callable[[str, NDArray], object], monitor_all: bool
    ) -> list[NDArray]:
        nodes = toposort(self._symbol._entries)
        entries = [Entry(node, index) for node in nodes for index in range(node.output_count)]
        shapes = _checked_shapes(self._symbol, self._bound)
        dtypes = _checked_dtypes(self._symbol, self._bound)
        graph = trace(entries, shapes, dtypes, native=self._ctx.device_type != "gpu")
        inputs = [self._bound[node.name]._tensor for node in nodes if node.op is None]
        tensors = compute(graph.outputs, inputs, default_state(), self._ctx)
        arrays = {
            (id(entry.node), entry.index): NDArray(tensor, self._ctx)
            for entry, tensor in zip(entries, tensors, strict=True)
        }
        for output, entry in zip(self.outputs, self._symbol._entries, strict=True):
            output[:] = arrays[id(entry.node), entry.index]
        shown: set[int] = set()
        for node in nodes:
            if node.op is None:
                continue
            for name, entry in zip(node.input_names, node.inputs, strict=True):
                array = arrays[id(entry.node), entry.index]
                if monitor_all and entry.node.op is None and id(entry.node) not in shown:
                    shown.add(id(entry.node))
                    callback(entry.name, array)
                if monitor_all:
                    callback(f"{node.name}_{name}", array)
            for index, name in enumerate(node.output_names):
                callback(name, arrays[id(node), index])
        return self.outputs

    def _copy_in(self, given: Mapping[str, Any]) -> None:
        copies = []
        for name, value in given.items():
            if name not in self._arguments:
                raise TypeError(
                    f"Unknown argument {escaped(name)}; the arguments are {listed(self._arguments)}"
                )
            if not isinstance(value, (NDArray, np.ndarray)):
                raise ValueError(
                    f"only accept keyword argument of NDArrays and numpy.ndarray, {escaped(name)} "
                    f"is {type(value)}"
                )
            need = self._arguments[name].shape
            if need != value.shape:
                raise ValueError(
                    f"Shape not match! Argument {escaped(name)}, need: {need}, "
                    f"received: {value.shape}"
                )
            copies.append((self._arguments[name], tensor_of(value, f"argument {escaped(name)}")))
        _write_all(copies)

    def backward(self, out_grads: Any = None, is_train: bool = True) -> None:
        """Compute gradients. Not part of this version.

        Raises:
            MXNetError: always; where no gradients were asked for there is nothing to do.
        """
        if all(array is None for array in (self._gradients or {}).values()):
            return
        raise MXNetError("gradients are not supported yet; bind with grad_req='null'")

    # ---- what it is bound to ----

    @property
    def arg_dict(self) -> dict[str, NDArray]:
        """The arguments by name."""
        return dict(self._arguments)

    @property
    def arg_arrays(self) -> list[NDArray]:
        """The arguments in the order of ``list_arguments``."""
        return list(self._arguments.values())

    @property
    def aux_dict(self) -> dict[str, NDArray]:
        """The states that operators write, by name."""
        return dict(self._states)

    @property
    def aux_arrays(self) -> list[NDArray]:
        """The states in the order of ``list_auxiliary_states``."""
        return list(self._states.values())

    @property
    def grad_dict(self) -> dict[str, NDArray | None]:
        """The gradient array of each argument, or None."""
        given = self._gradients or {}
        return {name: given.get(name) for name in self._arguments}

    @property
    def grad_arrays(self) -> list[NDArray | None] | None:
        """The gradient arrays in the order of the arguments; None where none were given."""
        return None if self._gradients is None else list(self.grad_dict.values())

    @property
    def output_dict(self) -> dict[str, NDArray]:
        """The outputs by name.

        Raises:
            ValueError: two outputs have one name.
        """
        names = self._symbol.list_outputs()
        if len(set(names)) != len(names):
            raise ValueError(f"Duplicate names detected, {names}")
        return dict(zip(names, self.outputs, strict=True))

    def debug_str(self) -> str:
        """The symbol, the plan, and the memory that it takes."""
        megabytes = self.plan.arena_size / 2**20
        return (
            f"{self._symbol.debug_str()}{self.plan}\n"
            f"Total {megabytes:.4g} MB allocated\n"
            "Total 0 TempSpace resource requested\n"
        )

    # ---- changing it ----

    def copy_params_from(
        self,
        arg_params: Mapping[str, NDArray],
        aux_params: Mapping[str, NDArray] | None = None,
        allow_extra_params: bool = False,
    ) -> None:
        """Copy values into arguments and states, by name, in the bound dtypes.

        Args:
            arg_params, aux_params: arrays by name, of this package or of numpy.
            allow_extra_params: ignore names that are not bound.

        Raises:
            ValueError: a name that is not bound, unless extra ones are allowed.
            TypeError: no dict, or a value that is no array of real numbers.
            MXNetError: a wrong shape. Nothing is copied in any of these cases.
        """
        copies = []
        for kind, given, bound in (
            ("arguments", arg_params, self._arguments),
            ("auxiliary states", {} if aux_params is None else aux_params, self._states),
        ):
            if not isinstance(given, Mapping):
                raise TypeError(f"the {kind} must be a dict of str to NDArray, got {shown(given)}")
            for name, value in given.items():
                if name in bound:
                    if not isinstance(value, (NDArray, np.ndarray)):
                        raise TypeError(f"{escaped(name)} needs an NDArray, got {type(value)}")
                    if bound[name].shape != value.shape:
                        raise MXNetError(
                            f"{escaped(name)} has shape {bound[name].shape}, received {value.shape}"
                        )
                    copies.append((bound[name], tensor_of(value, escaped(name))))
                elif not allow_extra_params:
                    raise ValueError(f'Find name "{escaped(str(name))}" that is not in the {kind}')
        _write_all(copies)

    def reshape(
        self, /, partial_shaping: bool = False, allow_up_sizing: bool = False, **kwargs: Shape
    ) -> Executor:
        """An executor for other shapes, on the same arrays wherever their shape stays.

        Args:
            partial_shaping: let shapes change that are not named here.
            allow_up_sizing: make new arrays for arguments that grow; smaller ones share memory.
            kwargs: new shapes by argument name.

        Raises:
            MXNetError: a shape that changes or grows without leave, or does not follow.
            TypeError: a name that is no argument, or a shape that is no tuple.
        """
        for name in kwargs:
            if name not in self._arguments:
                raise TypeError(
                    f"reshape: {escaped(name)} is no argument; they are {listed(self._arguments)}"
                )
        known = {name: known_shape(name, shape) for name, shape in kwargs.items()}
        inferred = infer_shapes(self._symbol._entries, known)
        arguments, states = variables(inferred.nodes)
        groups = ((arguments, self._arguments, "arg"), (states, self._states, "aux"))
        made = [
            {
                node.name: self._reshaped(
                    node, inferred.of(node), bound[node.name], kind, partial_shaping,
                    allow_up_sizing, node.name in kwargs,
                )
                for node in nodes
            }
            for nodes, bound, kind in groups
        ]  # fmt: skip
        gradients = self._gradients
        if gradients is not None:
            gradients = {
                name: old
                if old is None or old.shape == made[0][name].shape
                else filled(
                    made[0][name].shape,
                    0,
                    as_dtype(old._tensor.dtype),
                    self._ctx,
                    f"gradient {shown(name)}",
                )
                for name, old in gradients.items()
            }
        return Executor(self._symbol, self._ctx, made[0], made[1], gradients, self._grad_req)

    def _reshaped(
        self,
        node: Node,
        shape: Shape | None,
        old: NDArray,
        kind: str,
        partial_shaping: bool,
        allow_up_sizing: bool,
        named: bool,
    ) -> NDArray:
        if not is_complete(shape):
            raise MXNetError(
                f"Insufficient argument shapes provided: {escaped(node.name)} is {shape or ()}"
            )
        if shape == old.shape:
            return old
        if not (named or partial_shaping):
            raise MXNetError(
                f"Shape of unspecified {kind}: {escaped(node.name)} changed from {old.shape} "
                f"to {shape}. This can cause the new executor to not share parameters with the "
                "old one. Set partial_shaping=True to permit it"
            )
        count = math.prod(shape)
        if count <= old.size:
            return NDArray(old._tensor.reshape(-1)[:count].view(shape), self._ctx)
        if not allow_up_sizing:
            raise MXNetError(
                f"New shape of {kind}: {escaped(node.name)} is larger than original: {shape} "
                f"instead of {old.shape}. Set allow_up_sizing=True to permit new memory"
            )
        return filled(
            shape, 0, as_dtype(old._tensor.dtype), self._ctx, f"{kind} {shown(node.name)}"
        )


def _write_all(copies: Sequence[tuple[NDArray, torch.Tensor]]) -> None:
    """Write every value into its array, or none of them."""
    for target, _ in copies:
        check_writable(target._tensor)
    for target, value in copies:
        write(target._tensor, value)


def _bytes(plan: Plan) -> int:
    """How much memory a plan takes."""
    return plan.arena_size + sum(x.size * x.dtype.itemsize for x in plan.outputs)


def _memory_of(plan: Plan) -> str:
    """What a plan takes memory for, in words for a person."""
    largest = max((*plan.lifetimes, *plan.outputs), key=lambda x: x.size * x.dtype.itemsize)
    return (
        f"a plan of {len(plan.kernels)} kernels, whose largest value is {largest.dtype}"
        f"{list(largest.shape)} of {listed(plan.origins.get(largest, ())) or 'a variable'}"
    )


def _checked_shapes(symbol: Symbol, bound: Mapping[str, NDArray]) -> Inferred[Shape]:
    """The shape of everything, from the arrays; they must be what the graph says they are."""
    inferred = infer_shapes(symbol._entries, {n: array.shape for n, array in bound.items()})
    for node in inferred.nodes:
        for index in range(node.output_count):
            if not is_complete(inferred.of(node, index)):
                raise MXNetError(
                    f"the shape of {node.describe()} does not follow from the arguments: it is "
                    f"{inferred.of(node, index) or ()}"
                )
    return inferred


def _checked_dtypes(symbol: Symbol, bound: Mapping[str, NDArray]) -> dict[str, DType]:
    given = {name: as_dtype(array._tensor.dtype) for name, array in bound.items()}
    infer_dtypes(symbol._entries, given)
    return given
