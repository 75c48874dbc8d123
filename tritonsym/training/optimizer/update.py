"""One update of several weights as expressions, which a program computes or a plan contains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from ...expressions.expr import Expr, input_, narrow
from ...expressions.reference import Tensor
from ...foundation.dtype import BOOL, FLOAT32, FLOAT64, DType, as_dtype
from ...foundation.errors import LoweringError, MXNetError
from ...graph.trace import Graph
from ...ndarray.core import NDArray
from .changing import Rates, rates_at

if TYPE_CHECKING:
    from .base import Optimizer

State = Any  # None, an array, or a tuple or list of states


def arrays_in(state: State) -> list[NDArray]:
    """The arrays of a state, in order."""
    if state is None:
        return []
    if isinstance(state, NDArray):
        return [state]
    return [array for part in state for array in arrays_in(part)]


@dataclass(frozen=True)
class Update:
    """One update of several weights, as expressions.

    Attributes:
        graph: whose outputs all replace an input: the weights, and their states.
        inputs: the memory of the inputs. The first one holds the rates.
    """

    graph: Graph
    inputs: list[Tensor]

    @property
    def numbers(self) -> Tensor:
        """The rates that :meth:`Optimizer.rates` gives, one kind after the other."""
        return self.inputs[0]


def update_of(
    optimizer: Optimizer,
    weights: Sequence[NDArray],
    grads: Sequence[NDArray],
    states: Sequence[State],
) -> Update:
    """The update of some weights, whatever their rates are.

    Raises:
        MXNetError: a gradient is not of its weight's shape and dtype, a state is that of another
            weight or method, or the optimizer's numbers are none.
    """
    device = weights[0]._tensor.device
    kinds, count = 4 + optimizer.own_count, len(weights)
    tensors = [torch.zeros(kinds * count, dtype=torch.float64, device=device)]
    numbers = input_(0, (kinds * count,), FLOAT64)
    vectors = [narrow(numbers, 0, i * count, (i + 1) * count) for i in range(kinds)]
    lr, wd, rescale_grad, counts, *numbers_of_its_own = vectors
    given = Rates(lr, wd, rescale_grad, counts, tuple(numbers_of_its_own))
    # What most optimizers do not use is left out, instead of computed with 0 and 1.
    if not optimizer.may_decay:
        given = replace(given, wd=0.0)
    if optimizer.rescale_grad == 1.0:
        given = replace(given, rescale_grad=1.0)
    with _saying(optimizer):
        rates = optimizer.corrected(given)
    outputs: list[Expr] = []
    replaced: list[int] = []
    for place, (weight, grad, state) in enumerate(zip(weights, grads, states, strict=True)):
        if weight.shape != grad.shape or _dtype(weight) is not _dtype(grad):
            raise MXNetError(
                f"a weight is {_dtype(weight)}{weight.shape}, its gradient "
                f"{_dtype(grad)}{grad.shape}"
            )
        if _dtype(weight) is BOOL:
            raise MXNetError("a weight is bool: cast it to numbers, which an update can change")
        arrays = [weight, grad, *arrays_in(state)]
        start = len(tensors)
        first, second, *kept = (
            input_(start + i, array.shape, _dtype(array)) for i, array in enumerate(arrays)
        )
        tensors += [array._tensor for array in arrays]
        wide = FLOAT32 if optimizer.keeps_copy(weight.dtype) else first.dtype
        own = rates_at(rates, place, wide)
        with _saying(optimizer, weight, state):
            new = optimizer.expressions(first, second, tuple(kept), own)
        if [(x.shape, x.dtype) for x in new] != [(x.shape, x.dtype) for x in (first, *kept)]:
            raise MXNetError(f"{_unfit(weight, state)}, which would change their shape or dtype")
        outputs += new
        replaced += [start, *range(start + 2, len(tensors))]
    return Update(Graph(tuple(outputs), updates=dict(enumerate(replaced))), tensors)


@contextmanager
def _saying(
    optimizer: Optimizer, weight: NDArray | None = None, state: State = None
) -> Iterator[None]:
    """An error within says which method it came from, and with what it was called."""
    try:
        yield
    except (LoweringError, TypeError, ValueError) as error:
        of_what = "" if weight is None else f"; {_unfit(weight, state)}"
        raise MXNetError(f"{type(optimizer).__name__} cannot update: {error}{of_what}") from error


def _unfit(weight: NDArray, state: State) -> str:
    kept = ", ".join(f"{_dtype(array)}{array.shape}" for array in arrays_in(state))
    return f"a weight is {_dtype(weight)}{weight.shape}, its states {kept or 'none'}"


def _dtype(array: NDArray) -> DType:
    return as_dtype(array._tensor.dtype)
