"""Memory that changes hands instead of being copied, where nobody sees the difference.

A tensor's memory is exchanged where it is seen through this very tensor alone: whoever has the
tensor finds in it what a copy would have brought, in less time. From another thread it must not be
read in the meantime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

# Bytes that change hands: fewer are copied as quickly.
LEAST = 2**16
# Bytes of a result that does: of more, each new memory costs more than the copy would, since the
# system clears it page by page.
MOST = 2**22

_NOTHING = torch.empty(0)
# What torch itself asks before it reuses memory: how many tensors lie in it, and the object that is
# asked for it, if one is. Where a version has it not, nothing changes hands.
_count: Any = getattr(torch._C, "_storage_Use_Count", None)
_address: Any = getattr(torch._C, "_storage_address", None)


def is_only_owner(tensor: torch.Tensor) -> bool:
    """Whether a tensor's memory is all its own, and seen through this very tensor alone.

    Memory that numpy, another library or another process has as well cannot be resized.
    """
    storage = tensor.untyped_storage()
    return (
        _count is not None
        and _address is not None
        and _count(storage._cdata) == 2
        and storage.nbytes() == tensor.nbytes
        and storage.resizable()
        and not storage.is_shared()
    )


def _is_plain(tensor: torch.Tensor) -> bool:
    # What inference mode makes cannot be written to outside of it.
    return tensor.is_cpu and tensor.is_contiguous() and not tensor.is_inference()


def putting(
    call: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor], place: torch.Tensor
) -> Callable[[], None]:
    """A step after which a tensor holds what a call returns that cannot write to a place.

    Args:
        call: from the inputs to a result in memory of its own, contiguous, of the shape and dtype
            of the place.
        inputs: what it reads, or views of that.
        place: its memory is given back before the call, and it takes the result's, where it is the
            only owner; else the result is copied.
    """
    shape, dtype = place.shape, place.dtype
    own = 0  # where the memory is that a call has returned

    def copy() -> None:
        place.copy_(call(*inputs))

    def is_alone() -> bool:
        # What a call has returned is all its tensor's: sharing or resizing it would have moved it.
        if place.data_ptr() == own and _count(_address(place)) == 1:
            return True
        return is_only_owner(place)

    def take() -> None:
        nonlocal own
        if torch.is_inference_mode_enabled() or not is_alone():
            copy()
            return
        try:
            place.data = _NOTHING
            place.data = result = call(*inputs)
            own = result.data_ptr()
        except BaseException:
            place.data = torch.zeros(shape, dtype=dtype)
            raise

    fits = LEAST <= place.nbytes <= MOST and _is_plain(place)
    return take if fits and all(x is not place for x in inputs) else copy


class Loans:
    """Within, tensors are on the memory of others: ``with Loans(written) as loans: ...``.

    Args:
        written: what is written in the meantime, whose memory is not lent.
    """

    def __init__(self, written: Sequence[torch.Tensor]) -> None:
        self._written = written
        self._own: list[tuple[torch.Tensor, torch.Tensor]] = []

    def lend(self, source: torch.Tensor, place: torch.Tensor) -> bool:
        """Let a tensor be on the memory of another one of its shape, unless a copy is better.

        Returns:
            Whether it is; else the values have to be copied.
        """
        if place.nbytes < LEAST or source.dtype != place.dtype:
            return False
        if not (_is_plain(source) and _is_plain(place)):
            return False
        if torch.is_inference_mode_enabled() or not is_only_owner(place):
            return False
        memory = source.untyped_storage().data_ptr()
        if any(x.untyped_storage().data_ptr() == memory for x in self._written):
            return False
        self._own.append((place, place.detach()))  # first, so that nothing comes in between
        place.data = source
        return True

    def __enter__(self) -> Loans:
        return self

    def __exit__(self, *_: object) -> None:
        for place, memory in self._own:
            place.data = memory
        self._own.clear()
