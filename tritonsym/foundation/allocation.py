"""Memory that is asked for: given, or refused with an error that says for what."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import torch

from .errors import MXNetError
from .shape import MAX_BYTES


class allocating:
    """Within, a lack of memory is an error: ``with allocating(size, lambda: "the plan"): ...``.

    Args:
        size: in bytes, or 0 where it is not known.
        purpose: says what the memory is for; only asked when there is none.

    Raises:
        MXNetError: there is not as much memory, or no computer could address it.
    """

    __slots__ = ("_purpose", "_size")

    def __init__(self, size: int, purpose: Callable[[], str]) -> None:
        self._size = size
        self._purpose = purpose

    def _refusal(self) -> MXNetError:
        amount = f"{self._size} bytes" if self._size else "the bytes"
        return MXNetError(f"cannot allocate {amount} for {self._purpose()}: use smaller arrays")

    def __enter__(self) -> None:
        if self._size > MAX_BYTES:
            raise self._refusal()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
            # torch has no type of its own for the memory of the CPU
            type(error) is RuntimeError and "DefaultCPUAllocator" in str(error)
        ):
            raise self._refusal() from None
