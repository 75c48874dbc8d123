"""Executors: a symbol bound to arrays, compiled once and run as often as wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..compiler.compiler import compile_entries
from ..compiler.node_by_node import Past, every_gradient, every_value, past_of
from ..compiler.training_pass import TrainingPass
from ..context import Context
from ..expressions.reference import Step
from ..foundation import collector
from ..foundation.dtype import as_dtype
from ..foundation.errors import MXNetError
from ..foundation.shape import Shape
from ..foundation.text import escaped, listed, shown
from ..graph.infer import infer_shapes, known_shape
from ..graph.node import Node, toposort, variables
from ..graph.op import is_complete
from ..ndarray.core import NDArray, tensor_of
from ..ndarray.create import filled
from ..ndarray.values import as_tensor, write_all
from ..planning.plan import Plan
from ..runtime.program import Buffers, InTurn, busy, own_bytes, run
from .head_gradients import head_gradients
from .watching import watched, watched_gradients

if TYPE_CHECKING:
    from ..symbol.core import Symbol


class Executor:
    """A symbol compiled for the arrays that it is bound to.

    The arrays are the caller's own: what is written into them is what the next :meth:`forward`
    reads. The outputs are the same arrays in every run, and so is what shares memory with one, such
    as a slice of it: copy one to keep its values, and read nothing that it writes while it runs.

    An executor runs in one thread at a time, since all its runs share that memory: bind one for
    each thread, on the same arrays if they are only read.

    Attributes:
        plan: how the outputs are computed.
        outputs: one array per output; zeros before the first run.
    """

    __module__ = "tritonsym.executor"

    def __init__(
        self,
        symbol: Symbol,
        ctx: Context,
        arguments: Mapping[str, NDArray],
        states: Mapping[str, NDArray],
        gradients: Mapping[str, NDArray] | None,
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
        # What the last forward pass that was watched was computed from.
        self._past: Past | None = None
        self._bound = {**self._arguments, **self._states}
        self._turns = InTurn()
        self._running = self._turns.running
        self._learns = any(self._grad_req[name] != "null" for name in gradients or ())
        with collector.paused():
            self._compiled = compile_entries([self._symbol._entries], self._tensors(), ctx)
            if not self._learns:  # else it may never be needed
                _ = self._compiled.program
        self.plan: Plan = self._compiled.plan
        self.outputs = [NDArray(tensor, ctx) for tensor in self._compiled.outputs]
        # Gradients after inference are those of the random numbers that it drew, and of what
        # Python code has kept.
        self._keeps_draws = self._learns and (
            self.plan.runs_python or any(x.primitive == "draw" for x in self.plan.layouts)
        )
        # What runs in training, by mode; made when it is first needed.
        self._training: dict[bool, TrainingPass] = {}
        # The last run, if the values that its gradients need are still there.
        self._run: TrainingPass | None = None

    @cached_property
    def _steps(self) -> list[Step]:
        return self._turns.add(self._compiled.program).passes[0].all

    @cached_property
    def _buffers(self) -> Buffers:
        return self._compiled.program.buffers

    @cached_property
    def _trains(self) -> bool:
        """Whether an operator behaves otherwise in training."""
        return any(
            node.op is not None and (node.op.depends_on_training or node.op.updates is not None)
            for node in toposort(self._symbol._entries)
        )

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {name: array._tensor for name, array in self._bound.items()}

    def _training_in(self, train: bool) -> TrainingPass:
        """The program of a forward pass that keeps what gradients need, and of a backward pass."""
        train = train and self._trains
        if train not in self._training:
            with collector.paused():
                self._training[train] = TrainingPass(
                    self._symbol._entries,
                    self._tensors(),
                    self._ctx,
                    [output._tensor for output in self.outputs],
                    {
                        name: (self._grad_req[name], array._tensor)
                        for name, array in (self._gradients or {}).items()
                        if self._grad_req[name] != "null"
                    },
                    train,
                )
            self._turns.add(self._training[train].program)
        return self._training[train]

    # ---- running ----

    def forward(self, /, is_train: bool = False, **kwargs: Any) -> list[NDArray]:
        """Compute the outputs from what the bound arrays hold.

        Args:
            is_train: whether operators behave as in training.
            kwargs: new values for arguments, copied into the bound arrays first.

        Returns:
            :attr:`outputs`: the same list of the same arrays at every run.

        Raises:
            TypeError: a name that is no argument, values that are no real numbers, or ``is_train``
                that is neither true nor false.
            ValueError: values of another shape, or no array.
            MXNetError: it is running already. Nothing is copied in any of these cases.
        """
        if not self._running.acquire(False):  # `alone` in fewer calls
            raise busy()
        try:
            if is_train is not False or kwargs or self._keeps_draws or self._monitor is not None:
                return self._forward_otherwise(is_train, kwargs)
            self._run = None
            run(self._steps, self._buffers)
            return self.outputs
        finally:
            self._running.release()

    def run_program(self, steps: Sequence[Step], values: Mapping[str, Any]) -> None:
        """Run another program on what this executor is bound to.

        Args:
            steps: the program; what it keeps in between is its own.
            values: new values for arguments, copied into the bound arrays first.

        Raises:
            TypeError, ValueError, MXNetError: as :meth:`forward`.
        """
        with self._turns.alone():
            self._copy_in(values)
            self._run = None
            for step in steps:
                step()

    def _forward_otherwise(self, is_train: bool, given: Mapping[str, Any]) -> list[NDArray]:
        """A forward pass of new values, or that is watched, or that keeps what gradients need."""
        if not isinstance(is_train, (bool, int, np.bool_)):
            raise TypeError(f"is_train must be True or False, got {shown(is_train)}")
        if given:
            self._copy_in(given)
        self._run = None
        train, values = bool(is_train), None
        if self._monitor is not None:
            self._past = past_of(self._tensors(), train) if self._learns else None
            values = every_value(self._symbol._entries, self._tensors(), self._ctx, train)
        if (train and (self._trains or self._learns)) or self._keeps_draws:
            training = self._training_in(train)
            training.forward()
            self._run = training
        else:
            run(self._steps, self._buffers)
        if values is not None and self._monitor is not None:
            self._show(watched(values, self._monitor[1]))
        return self.outputs

    def set_monitor_callback(
        self, callback: Callable[[str, NDArray], object] | None, monitor_all: bool = False
    ) -> None:
        """Show every intermediate value of the following runs to a function.

        Such a run also computes node by node, without fusion and reuse of memory, so that each
        value is exact and stays as it is. Callbacks come after the run. After a backward pass
        they are shown the gradients of every operator's inputs, as ``<node>_backward_output0``.

        Args:
            callback: called with the output's name and its array; None ends it.
            monitor_all: show the inputs of nodes too, as ``<node>_<input>``, or with numbers where
                MXNet has no names for them, and variables.

        Raises:
            TypeError: no function.
        """
        if callback is not None and not callable(callback):
            raise TypeError(f"the monitor must be a function, got {shown(callback)}")
        self._monitor = None if callback is None else (callback, monitor_all)
        self._past = None

    def _show(self, values: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Give values to the monitor."""
        for name, tensor in values:
            assert self._monitor is not None
            self._monitor[0](name, NDArray(tensor, self._ctx))

    def _copy_in(self, given: Mapping[str, Any]) -> None:
        copies = []
        for name, value in given.items():
            array = self._arguments.get(name)
            if array is None:
                raise TypeError(
                    f"Unknown argument {escaped(name)}; the arguments are {listed(self._arguments)}"
                )
            if not isinstance(value, (NDArray, np.ndarray)):
                raise ValueError(
                    f"only accept keyword argument of NDArrays and numpy.ndarray, {escaped(name)} "
                    f"is {type(value)}"
                )
            target = array._tensor
            if target.shape != value.shape:
                raise ValueError(
                    f"Shape not match! Argument {escaped(name)}, need: {array.shape}, "
                    f"received: {value.shape}"
                )
            if isinstance(value, NDArray):
                copies.append((target, value._tensor))
            else:
                copies.append((target, as_tensor(value, f"argument {escaped(name)}")))
        self._turns.follow()
        write_all(copies)

    def backward(
        self,
        out_grads: NDArray | Sequence[NDArray | None] | Mapping[str, NDArray] | None = None,
        is_train: bool = True,
    ) -> None:
        """Compute the gradients of the arguments, as they were in the last forward pass.

        They are written into the arrays that were bound for them, or with ``grad_req='add'`` added
        to what is there. After ``forward(is_train=False)`` they are those of that computation.
        A second backward pass computes from what the arguments hold then.

        Args:
            out_grads: the gradient of each output, one array for all of one output, or by output
                name. Losses need none, and ignore it.
            is_train: accepted for MXNet's sake; the mode is that of the forward pass.

        Raises:
            TypeError: gradients that are no arrays.
            MXNetError: one that is needed is missing or has another shape than its output, or a
                name is that of no output; or the executor is running. Nothing is written in any of
                these cases.
        """
        if not self._learns:
            return
        heads = head_gradients(self._symbol, self.outputs, out_grads)
        with self._turns.alone():
            if self._run is None:
                self._run = self._training_in(False)
                self._run.forward()
            self._run.backward(heads)
            if self._monitor is not None and self._past is not None:
                self._show_gradients(heads, self._past)

    def _show_gradients(self, heads: Sequence[torch.Tensor | None], past: Past) -> None:
        """Give every gradient of a backward pass to the monitor."""
        names = [name for name in self._gradients or () if self._grad_req[name] != "null"]
        found = every_gradient(self._symbol._entries, heads, names, past, self._ctx)
        self._show(watched_gradients(found))

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
        """The symbol, the plan, and the memory that the executor has taken so far.

        That is its outputs and what its passes keep in between, each once there is such a pass;
        arguments, states and their gradients are arrays that it is bound to.
        """
        made, passes = self._compiled.made, [*self._training.values()]
        programs = [*([] if made is None else [made]), *(part.program for part in passes)]
        manner = "".join(dict.fromkeys(program.manner for program in programs))
        return (
            f"{self._symbol.debug_str()}{self.plan}\n{manner}"
            f"Total {self._allocated() >> 20} MB allocated\n"
            "Total 0 TempSpace resource requested\n"
        )

    def _allocated(self) -> int:
        """The bytes of memory that it has made for itself."""
        made, passes = self._compiled.made, [*self._training.values()]
        memory = [output._tensor for output in self.outputs]
        memory += made.buffers.memory if made is not None else []
        memory += [tensor for part in passes for tensor in part.memory]
        # Whoever asks for gradient arrays makes them; a pass that is there has asked.
        gradients = [*(self._gradients or {}).values()] if passes else []
        given = [array._tensor for array in (*self._bound.values(), *gradients)]
        return own_bytes(memory, given)

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
            MXNetError: a wrong shape, or it is running. Nothing is copied in any of these cases.
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
                    copies.append((bound[name]._tensor, tensor_of(value, escaped(name))))
                elif not allow_extra_params:
                    raise ValueError(f'Find name "{escaped(str(name))}" that is not in the {kind}')
        with self._turns.alone():
            self._turns.follow()
            write_all(copies)

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
        nodes = toposort(self._symbol._entries)
        inferred = infer_shapes(nodes, known)
        arguments, states = variables(nodes)
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
                if old.shape == made[0][name].shape
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
