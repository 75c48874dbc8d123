"""A graph as a CPU computes it best: the rewrites for CPUs, in their order."""

from __future__ import annotations

from ..graph.trace import Graph
from .joined_products import with_joined_products
from .scaled_kernels import with_scaled_kernels
from .torch_calls import in_torch_calls
from .torch_layers import in_torch_layers
from .torch_results import handed_on


def for_cpu(graph: Graph) -> Graph:
    """The same graph in fewer of torch's calls."""
    graph = with_scaled_kernels(with_joined_products(graph))
    return handed_on(in_torch_calls(in_torch_layers(graph)))
