"""What a caller gives as the gradients of an executor's outputs, checked and in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..expressions.reference import Tensor
from ..foundation.errors import MXNetError
from ..foundation.text import escaped, listed, shown
from ..graph.backward import is_loss
from ..ndarray.core import NDArray, tensor_of

if TYPE_CHECKING:
    from ..symbol.core import Symbol


def head_gradients(symbol: Symbol, outputs: Sequence[NDArray], given: Any) -> list[Tensor | None]:
    """The gradient of each output that needs one, and None for losses.

    Args:
        symbol: whose outputs they are.
        outputs: their arrays.
        given: one array for all of one output, a list in their order, or a dict by output name.

    Raises:
        TypeError: gradients that are no arrays.
        MXNetError: one that is needed is missing or has another shape than its output, or a name
            is that of no output.
    """
    names = symbol.list_outputs()
    arrays = _in_order(names, given)
    arrays += [None] * (len(names) - len(arrays))
    heads: list[Tensor | None] = []
    for name, output, entry, array in zip(names, outputs, symbol._entries, arrays, strict=False):
        if is_loss(entry):
            heads.append(None)
            continue
        if array is None:
            raise MXNetError(
                f"the gradient of output {escaped(name)} is missing: it is no loss, so pass "
                "out_grads to backward, or make it one with make_loss"
            )
        if not isinstance(array, NDArray):
            raise TypeError(f"out_grads must be NDArrays, {escaped(name)} got {shown(array)}")
        # Arrays have an axis at least, outputs need not have one.
        if array.shape != (output.shape or (1,)):
            raise MXNetError(
                f"operands shape mismatch: the gradient of output {escaped(name)} is "
                f"{array.shape}, the output {output.shape}"
            )
        heads.append(tensor_of(array, f"the gradient of {escaped(name)}").view(output.shape))
    return heads


def _in_order(names: Sequence[str], given: Any) -> list[Any]:
    if isinstance(given, NDArray):
        return [given]
    if isinstance(given, Mapping):
        unknown = [str(name) for name in given if name not in names]
        if unknown:
            raise MXNetError(
                f"out_grads names {listed(unknown)}, no outputs; they are {listed(names)}"
            )
        return [given.get(name) for name in names]
    if given is None or isinstance(given, (list, tuple)):
        return list(given or ())
    raise TypeError(f"out_grads must be NDArrays, got {shown(given)}")
