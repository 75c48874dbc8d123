"""Updates as programs: where the same weights are updated again and again, one plan for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...collector import paused
from ...compiler import compile_graph
from ...ndarray.core import NDArray
from ...ndarray.values import write_numbers
from .base import Optimizer, State, arrays_in, update_of

# What is handed to a program at every run, or has nothing to do with the formula.
_GIVEN = (
    *("lr", "wd", "rescale_grad", "lr_scheduler", "lr_mult", "wd_mult", "num_update"),
    "_last_lrs",
    *("begin_num_update", "_index_update_count", "_attributes", "idx2name", "param_dict"),
)


class CompiledUpdate:
    """The update of some weights by an optimizer, as a program on their memory.

    Attributes:
        arrays: the weights, their gradients and states, which it holds.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        weights: Sequence[NDArray],
        grads: Sequence[NDArray],
        states: Sequence[State],
    ) -> None:
        self.arrays = arrays_in([weights, grads, states])
        self._formula = formula_of(optimizer)
        update = update_of(optimizer, weights, grads, states)
        with paused():
            self._program = compile_graph(update.graph, update.inputs, weights[0].context).program
        self._numbers = update.numbers

    def fits(self, optimizer: Optimizer) -> bool:
        """Whether the optimizer's formula is still the one that was compiled."""
        return self._formula == formula_of(optimizer)

    def __call__(self, optimizer: Optimizer, indices: Sequence[Any]) -> None:
        """Update the weights once.

        Args:
            optimizer: which counts the update, and gives the rates.
            indices: what it calls the weights.
        """
        optimizer._update_count(indices)
        write_numbers(self._numbers, optimizer.rates(indices))
        self._program.run()


def formula_of(optimizer: Optimizer) -> dict[str, Any]:
    """The numbers of an optimizer that its expressions contain."""
    numbers = {name: value for name, value in vars(optimizer).items() if name not in _GIVEN}
    return {**numbers, "unused": (optimizer.wd == 0.0, optimizer.rescale_grad == 1.0)}
