"""One workload: everyone is checked against the float64 reference, then all take turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import torch_peers
from .ceilings import Ceilings, products_in
from .clocks import Effort, Spread, race, ratio
from .contestants import Entrant, Peer, Refused
from .devices import Device
from .mxnet_peer import WorkerError
from .places import places
from .report import OURS, Figures, Row
from .workload import Workload, in_one_line

HOST_CALLS = 1000


def run_workload(
    workload: Workload,
    device: Device,
    peers: Sequence[Peer],
    effort: Effort,
    ceilings: Ceilings,
    watch: Callable[[str], None],
) -> Row:
    """A row of the table.

    Args:
        watch: is told what happens.
    """
    data = places(torch_peers.tensors(workload, device.torch))
    due = torch_peers.reference(workload, data[0])
    entrants: dict[str, Entrant] = {}
    problems: dict[str, str] = {}
    with products_in(workload.precision):
        for peer in peers:
            if peer.absent:
                continue
            watch(peer.name)
            try:
                entrants[peer.name] = peer.enter(workload, data, due)
            except (Refused, WorkerError) as error:
                problems[peer.name] = str(error)
            except Exception as error:  # whatever it is, the others go on
                problems[peer.name] = f"{in_one_line(error):.120}"
        watch("all in turns")
        samples = race([one.warm for one in entrants.values()], effort)
        cold = race([one.cold for one in entrants.values() if one.cold is not None], effort)
        hosts = {
            name: one.host(min(HOST_CALLS, effort.rounds * 100))
            for name, one in entrants.items()
            if one.host is not None
        }
    figures = {
        name: Figures(
            seconds=Spread.of(values),
            cold=Spread.of(cold[name]) if name in cold else None,
            host=hosts.get(name),
            first=entrants[name].first,
            peak=entrants[name].peak,
        )
        for name, values in samples.items()
    }
    ratios = {
        name: ratio(samples[OURS], values)
        for name, values in samples.items()
        if name != OURS and OURS in samples
    }
    return Row(workload, ceilings.floor(workload), figures, ratios, problems)
