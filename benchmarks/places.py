"""The same data at several places in memory, since a processor's caches like some better.

How the addresses of what a call reads and writes differ, modulo a page, and which physical pages
they are on, makes some calls a third slower. It is chance, and no contestant's merit.
"""

from __future__ import annotations

from random import Random

import torch

from .torch_peers import Tensors

PLACES = 6
PAGE, LINE = 4096, 64
# More than this passes through all caches in any case.
MOST_BYTES = 2**26


def places(given: Tensors) -> list[Tensors]:
    """The data, and copies of it; of much data, and on a device, itself alone."""
    much = sum(tensor.nbytes for tensor in given.values()) > MOST_BYTES
    if much or any(tensor.device.type != "cpu" for tensor in given.values()):
        return [given]
    random = Random(0)
    copies = [
        {name: _elsewhere(tensor, random) for name, tensor in given.items()}
        for _ in range(PLACES - 1)
    ]
    return [given, *copies]


def _elsewhere(tensor: torch.Tensor, random: Random) -> torch.Tensor:
    """A copy at a random place of its first page, which takes a random amount of memory."""
    before, behind = (LINE * random.randrange(PAGE // LINE) for _ in range(2))
    memory = torch.empty(before + tensor.nbytes + behind, dtype=torch.uint8)
    place = memory[before : before + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
    return place.copy_(tensor)
