"""Training steps as one program: a batch's forward pass, its backward pass, and the update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from ..backward import backward, is_loss
from ..collector import paused
from ..compiler import Traced, compile_graph, trace_entries
from ..dtype import as_dtype
from ..executor import Executor
from ..expr import Expr, input_
from ..grad import substitute
from ..graph import toposort
from ..ndarray.core import NDArray
from ..ndarray.values import write_numbers
from ..reference import Tensor
from ..trace import Graph
from .optimizer.base import Optimizer, State, Update, arrays_in, update_of
from .optimizer.compiled import formula_of
from .optimizer.updater import Updater


class CompiledStep:
    """One program that trains the parameters of an executor by a batch.

    It writes what the passes and the update apart would write: outputs, states, parameters, and
    the optimizer's states. Gradients are only values on the way, without arrays of their own.

    Args:
        executor: with the arrays of the network.
        optimizer: which counts the steps, and gives the rates.
        names: the parameters.
        states: the optimizer's, for each of them.

    Raises:
        MXNetError: an operator on the way that has no gradient.
    """

    def __init__(
        self,
        executor: Executor,
        optimizer: Optimizer,
        names: Sequence[str],
        states: Sequence[State],
    ) -> None:
        self._arrays = _arrays(executor, names, states)
        self._formula = formula_of(optimizer)
        entries = executor._symbol._entries
        by_name = {node.name: node for node in toposort(entries) if node.op is None}
        # The last layer first, so that its gradients, and what they are computed from, can go soon.
        self._order = [names.index(name) for name in reversed(by_name) if name in names]
        ordered = [names[place] for place in self._order]
        found = backward(entries, [None] * len(entries), [by_name[name] for name in ordered])
        weights = [executor.arg_dict[name] for name in ordered]
        kept = [states[place] for place in self._order]
        with paused():
            traced = trace_entries([entries, found], executor._tensors(), executor._ctx, train=True)
            # Gradients are what their weights are: their expressions come where weights stand.
            update = update_of(optimizer, weights, weights, kept)
            graph, inputs = _joined(traced, update, ordered, kept)
            program = compile_graph(
                graph,
                inputs,
                executor._ctx,
                outputs={n: array._tensor for n, array in enumerate(executor.outputs)},
                joined=True,
            ).program
        self._steps = program.passes[0].all
        self._numbers = update.numbers

    def fits(
        self,
        executor: Executor,
        optimizer: Optimizer,
        names: Sequence[str],
        states: Sequence[State],
    ) -> bool:
        """Whether it is the program for these."""
        arrays = _arrays(executor, names, states)
        return (
            len(arrays) == len(self._arrays)
            and all(one is other for one, other in zip(arrays, self._arrays, strict=True))
            and self._formula == formula_of(optimizer)
        )

    def __call__(
        self,
        executor: Executor,
        optimizer: Optimizer,
        indices: Sequence[Any],
        batch: Mapping[str, Any],
    ) -> None:
        """Train by one batch.

        Args:
            executor, optimizer: those that it was made for.
            indices: what that calls the parameters.
            batch: values of arguments by name.
        """
        ordered = [indices[place] for place in self._order]
        optimizer._update_count(ordered)
        rates = partial(write_numbers, self._numbers, optimizer.rates(ordered))
        executor.run_program([rates, *self._steps], batch)


class Steps:
    """The programs of training steps, for each executor of a module.

    Attributes:
        programs: by executor.
    """

    def __init__(self) -> None:
        self.programs: WeakKeyDictionary[Executor, CompiledStep] = WeakKeyDictionary()

    def train(
        self,
        executor: Executor,
        updater: Updater,
        indices: Sequence[Any],
        names: Sequence[str],
        batch: Mapping[str, Any],
    ) -> bool:
        """Train by a batch if one program can do it, unless it is watched.

        Args:
            executor: with the arrays of the network.
            updater: with the optimizer and its states.
            indices, names: the parameters, as the optimizer and the network call them.
            batch: values of arguments by name.

        Returns:
            Whether it has.
        """
        optimizer = updater.optimizer
        if not _can_be_one(executor, optimizer, names):
            return False
        states = updater.states_of(indices, [executor.arg_dict[name] for name in names])
        step = self.programs.get(executor)
        if step is None or not step.fits(executor, optimizer, names, states):
            step = self.programs[executor] = CompiledStep(executor, optimizer, names, states)
        step(executor, optimizer, indices, batch)
        return True


def _can_be_one(executor: Executor, optimizer: Optimizer, names: Sequence[str]) -> bool:
    """Whether a step of these parameters can be compiled: all outputs are losses, all is known."""
    return (
        bool(names)
        and executor._monitor is None
        and type(optimizer).update is Optimizer.update
        and all(map(is_loss, executor._symbol._entries))
        and all(executor._grad_req[name] == "write" for name in names)
        and sum(request != "null" for request in executor._grad_req.values()) == len(names)
    )


def _joined(
    traced: Traced, update: Update, names: Sequence[str], states: Sequence[State]
) -> tuple[Graph, list[Tensor]]:
    """The update on the very expressions of the gradients, and the memory of all inputs.

    Args:
        traced: the outputs, new states, and gradients of parameters.
        update: of these parameters by gradients that are inputs.
        names, states: of the parameters, and the optimizer's for each of them.
    """
    graph, inputs = traced.graph, list(traced.inputs)
    first = graph.stages[0]
    slopes = graph.outputs[first:]

    def appended(tensor: Tensor) -> Expr:
        inputs.append(tensor)
        return input_(len(inputs) - 1, tuple(tensor.shape), as_dtype(tensor.dtype))

    # What each input of the update is now: the rates, then weight, gradient and states of each.
    targets = [appended(update.inputs[0])]
    for name, slope, state in zip(names, slopes, states, strict=True):
        weight = update.inputs[len(targets)]
        place = input_(traced.names.index(name), tuple(weight.shape), as_dtype(weight.dtype))
        targets += [place, slope]
        targets += [appended(array._tensor) for array in arrays_in(state)]
    moved = {
        input_(number, tuple(tensor.shape), as_dtype(tensor.dtype)): target
        for number, (tensor, target) in enumerate(zip(update.inputs, targets, strict=True))
    }
    new = [x for x in substitute(update.graph.outputs, moved) if x is not None]
    replaced = {
        first + number: targets[index].integer("index")
        for number, index in update.graph.updates.items()
    }
    joined = replace(
        graph,
        outputs=(*graph.outputs[:first], *new),
        stages=(first, first + len(new)),
        updates={**graph.updates, **replaced},
    )
    return joined, inputs


def _arrays(executor: Executor, names: Sequence[str], states: Sequence[State]) -> list[NDArray]:
    """The parameters, and the optimizer's states."""
    return arrays_in([[executor.arg_dict[name] for name in names], list(states)])
