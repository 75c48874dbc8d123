"""What does an optimizer's update of many parameters cost?"""

from __future__ import annotations

from ..sizes import Sizes
from ..workload import Input, Kind, Role, Workload


def workloads(sizes: Sizes) -> list[Workload]:
    count, *rest = sizes.adam
    shape = tuple(rest)
    inputs = {f"weight{number}": Input(shape, Role.PARAMETER) for number in range(count)}
    # Away from zero, where MXNet's epsilon and torch's are not the same.
    head = Input(shape, Role.HEAD, positive=True)
    inputs |= {f"gradient{number}": head for number in range(count)}
    name = f"Adam update of {count} parameters, {shape[0]}x{shape[1]}"
    return [Workload(name, inputs, _nothing, kind=Kind.ADAM)]


def _nothing(f: object) -> None:
    """The optimizer computes, and the network does not."""
