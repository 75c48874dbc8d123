"""Batches on their way to a device, while it still computes the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

import torch

from ..context import Context, torch_device
from ..expressions.reference import Tensor
from ..ndarray.core import NDArray
from ..ndarray.create import from_torch
from .io.base import DataBatch

# Begins to copy tensors to a device, and gives the copies.
Sender = Callable[[Sequence[Tensor]], list[Tensor]]


def sender(device: torch.device) -> Sender | None:
    """What copies to a CUDA device beside the kernels that wait there; None for other devices.

    Copies have a stream of their own. What the caller's stream is given afterwards waits for them.
    """
    if device.type != "cuda":
        return None
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def send(tensors: Sequence[Tensor]) -> list[Tensor]:
        present = torch.cuda.current_stream(device)
        with torch.cuda.stream(stream):
            # A device reads pinned memory by itself; from other memory the host copies, and waits.
            copies = [x.pin_memory().to(device, non_blocking=True) for x in tensors]
        present.wait_stream(stream)
        for x in copies:
            # Its memory is given to no later copy before the caller's stream is done with it.
            x.record_stream(present)
        return copies

    return send


class Upload:
    """One batch that is sent ahead.

    Args:
        context: where it is sent to.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._send: Sender | None = None
        self._batch: DataBatch | None = None
        self._sent: DataBatch | None = None

    def begin(self, batch: DataBatch) -> None:
        """Send the arrays of a batch that are on the CPU, as they are now."""
        self._send = self._send or sender(torch_device(self._context))
        if self._send is None:
            return
        data, label = list(batch.data or ()), list(batch.label or ())
        waiting = [x for x in (*data, *label) if isinstance(x, NDArray) and not x.context.is_gpu]
        copies = map(from_torch, self._send([x._tensor for x in waiting]))
        found = dict(zip(map(id, waiting), copies, strict=True))
        sent = copy(batch)
        sent.data = [found.get(id(x), x) for x in data]
        sent.label = batch.label and [found.get(id(x), x) for x in label]
        self._batch, self._sent = batch, sent

    def end(self, batch: DataBatch) -> DataBatch:
        """The batch with what was sent of it, once; any other one as it is."""
        sent = self._sent if batch is self._batch else None
        self._batch = self._sent = None
        return batch if sent is None else sent
