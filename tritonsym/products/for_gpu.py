"""A graph as a GPU computes it best: the rewrites for GPUs, in their order."""

from __future__ import annotations

from collections.abc import Mapping

from ..graph.trace import Graph
from ..rewrites.channels_last import with_turned_images
from ..rewrites.joined_products import with_joined_products
from ..rewrites.reciprocals import with_reciprocals
from ..rewrites.regroup import regrouped
from ..rewrites.split import split
from ..rewrites.views_first import with_views_first
from .attention import with_attention
from .gpus import Gpu
from .products import chosen


def for_gpu(
    graph: Graph,
    strides: Mapping[int, tuple[int, ...]],
    gpu: Gpu | None,
    precision: str,
    fuse: bool,
) -> Graph:
    """The same graph, cut and grouped for many programs side by side.

    Args:
        graph: what is to be computed.
        strides: in elements, of bound arrays that are not contiguous, by index.
        gpu: for which kernels of matrix products are generated; without it a library does them.
        precision: of such products of float32, one of `switches.PRECISIONS`.
        fuse: rewrite what only pays where expressions are computed together.
    """
    if fuse:
        graph = with_views_first(with_turned_images(with_joined_products(graph)))
        graph, in_parts = split(graph, strides)
        graph = regrouped(graph, strides, in_parts)
        if gpu is not None:
            graph = with_attention(graph, strides, gpu)
        graph = with_reciprocals(graph)
    return graph if gpu is None else chosen(graph, strides, gpu, precision)
