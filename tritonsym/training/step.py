"""Training steps as one program: a batch's forward pass, its backward pass, and the update."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from ..binding.executor import Executor
from ..compiler.compiler import Traced, compile_graph, trace_entries
from ..expressions.expr import Expr, input_
from ..expressions.grad import substitute
from ..expressions.reference import Step, Tensor
from ..foundation.collector import paused
from ..foundation.dtype import as_dtype
from ..graph.backward import backward, is_loss
from ..graph.node import toposort
from ..graph.trace import Graph
from ..runtime.program import run
from .optimizer.base import Optimizer
from .optimizer.compiled import Basis
from .optimizer.rates import SentRates
from .optimizer.update import State, Update, arrays_in, update_of
from .optimizer.updater import Updater


class CompiledStep:
    """One program that trains the parameters of an executor by a batch.

    It writes what the passes and the update apart would write: outputs, states, parameters, and
    the optimizer's states. Gradients are only values on the way, without arrays of their own.

    Args:
        executor: with the arrays of the network.
        optimizer: which counts the steps, and gives the rates.
        indices, names: the parameters, as the optimizer and the network call them.
        states: the optimizer's, for each of them.

    Raises:
        MXNetError: an operator on the way that has no gradient.
    """

    def __init__(
        self,
        executor: Executor,
        optimizer: Optimizer,
        indices: Sequence[Any],
        names: Sequence[str],
        states: Sequence[State],
    ) -> None:
        self._basis = Basis(optimizer, states)
        self._learned = list(indices), list(names)
        entries = executor._symbol._entries
        by_name = {node.name: node for node in toposort(entries) if node.op is None}
        # The last layer first, so that its gradients, and what they are computed from, can go soon.
        places = {name: place for place, name in enumerate(names)}
        order = [places[name] for name in reversed(by_name) if name in places]
        ordered = [names[place] for place in order]
        found = backward(entries, [None] * len(entries), [by_name[name] for name in ordered])
        kept = [states[place] for place in order]
        with paused():
            traced = trace_entries([entries, found], executor._tensors(), executor._ctx, train=True)
            # Gradients are what their weights are: their expressions come where weights stand.
            weights = [executor.arg_dict[name] for name in ordered]
            update = update_of(optimizer, weights, weights, kept)
            graph, inputs = _joined(traced, update, ordered, kept)
            compiled = compile_graph(
                graph,
                inputs,
                executor._ctx,
                outputs={n: array._tensor for n, array in enumerate(executor.outputs)},
                joined=True,
            )
        program = executor._turns.add(compiled.program)
        self._run: Step = partial(run, program.passes[0].all, program.buffers)
        self._rates = SentRates(update, len(ordered))
        self._indices = [indices[place] for place in order]

    def fits(
        self,
        optimizer: Optimizer,
        indices: Sequence[Any],
        names: Sequence[str],
        states: Iterable[State],
    ) -> bool:
        """Whether it is the program for these, on its executor."""
        return self._learned == (indices, names) and self._basis.is_that_of(optimizer, states)

    def __call__(self, executor: Executor, optimizer: Optimizer, batch: Mapping[str, Any]) -> None:
        """Train by one batch.

        Args:
            executor, optimizer: those that it was made for.
            batch: values of arguments by name.
        """
        rates = partial(self._rates.send, optimizer, self._indices)
        executor.run_program([rates, self._run], batch)


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
        if executor._monitor is not None:
            return False
        optimizer, step = updater.optimizer, self.programs.get(executor)
        if step is None or not step.fits(optimizer, indices, names, updater.kept(indices)):
            if not _can_be_one(executor, optimizer, names):
                return False
            bound = executor.arg_dict
            states = updater.states_of(indices, [bound[name] for name in names])
            step = CompiledStep(executor, optimizer, indices, names, states)
            self.programs[executor] = step
        step(executor, optimizer, batch)
        return True


def _can_be_one(executor: Executor, optimizer: Optimizer, names: Sequence[str]) -> bool:
    """Whether a step of these parameters can be compiled: all outputs are losses, all is known."""
    return (
        bool(names)
        and not optimizer.updates_arrays
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
    places = {name: place for place, name in enumerate(traced.names)}
    for name, slope, state in zip(names, slopes, states, strict=True):
        weight = update.inputs[len(targets)]
        place = input_(places[name], tuple(weight.shape), as_dtype(weight.dtype))
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
