"""`mx.viz`: a symbol as a table of layers, or as a picture by graphviz."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..foundation.shape import Shape
from ..foundation.text import escaped
from ..graph.node import Entry, Node, toposort

if TYPE_CHECKING:
    from ..symbol.core import Symbol

_LEARNED = ("weight", "bias", "gamma", "beta", "parameters")


def _shapes(symbol: Symbol, shape: Mapping[str, Shape] | None) -> dict[str, Shape]:
    """The shape of every output in the symbol, by name.

    Raises:
        ValueError: the given shapes do not decide the others.
    """
    if shape is None:
        return {}
    internals = symbol.get_internals()
    _, found, _ = internals.infer_shape(**shape)
    if found is None:
        raise ValueError("Input shape is incomplete")
    return dict(zip(internals.list_outputs(), found, strict=True))


def _is_learned(entry: Entry) -> bool:
    return entry.node.op is None and entry.node.name.endswith(_LEARNED)


def _is_shown(node: Node, heads: set[int]) -> bool:
    """Whether a node is a layer, or an input that is data."""
    if node.op is not None or id(node) in heads:
        return True
    return not node.name.endswith((*_LEARNED, "_label", "moving_mean", "moving_var"))


def print_summary(
    symbol: Symbol,
    shape: Mapping[str, Shape] | None = None,
    line_length: int = 120,
    positions: Sequence[float] = (0.44, 0.64, 0.74, 1.0),
) -> None:
    """Print a table of layers with the shapes of their outputs and the number of parameters.

    Args:
        symbol: what to show.
        shape: shapes of arguments by name; without them there are no shapes and no counts.
        line_length: of the table.
        positions: where its columns end, as parts of a line, or as numbers of characters.

    Raises:
        ValueError: the shapes do not decide the others.
    """
    shapes = _shapes(symbol, shape)
    ends = [int(line_length * end) if positions[-1] <= 1 else int(end) for end in positions]
    print("_" * line_length)
    _print_row(("Layer (type)", "Output Shape", "Param #", "Previous Layer"), ends)
    print("=" * line_length)
    nodes = toposort(symbol._entries)
    heads = {id(entry.node) for entry in symbol._entries}
    rows = [node for node in nodes if _is_shown(node, heads)]
    total = 0
    for number, node in enumerate(rows):
        counts = [math.prod(shapes.get(e.name, (0,))) for e in node.inputs if _is_learned(e)]
        total += sum(counts)
        before = [
            e.node.name for e in node.inputs if e.node.op is not None or _is_shown(e.node, heads)
        ]
        output = node.name if node.op is None else node.output_names[0]
        kind = "null" if node.op is None else node.op.name
        shown = "x".join(map(str, shapes[output][1:])) if output in shapes else ""
        first = (f"{escaped(node.name)}({kind})", shown, str(sum(counts)))
        _print_row((*first, escaped(before[0]) if before else ""), ends)
        for name in before[1:]:
            _print_row(("", "", "", escaped(name)), ends)
        print(("_" if number < len(rows) - 1 else "=") * line_length)
    print(f"Total params: {total}")
    print("_" * line_length)


def _print_row(fields: Sequence[str], ends: Sequence[int]) -> None:
    line = ""
    for field, end in zip(fields, ends, strict=True):
        line = (line + field)[:end].ljust(end)
    print(line)


# The colours of layers: first those of products, then of what follows them.
_COLOURS = {
    **dict.fromkeys(("FullyConnected", "Convolution", "Deconvolution", "Embedding"), "#fb8072"),
    **dict.fromkeys(("Activation", "LeakyReLU", "relu", "sigmoid", "tanh"), "#ffffb3"),
    **dict.fromkeys(("BatchNorm", "LayerNorm", "InstanceNorm", "LRN"), "#bebada"),
    **dict.fromkeys(("Pooling", "UpSampling"), "#80b1d3"),
    **dict.fromkeys(("Concat", "Flatten", "Reshape", "SliceChannel"), "#fdb462"),
    **dict.fromkeys(("softmax", "SoftmaxOutput", "LinearRegressionOutput"), "#b3de69"),
}


def plot_network(
    symbol: Symbol,
    title: str = "plot",
    save_format: str = "pdf",
    shape: Mapping[str, Shape] | None = None,
    dtype: Mapping[str, Any] | None = None,
    node_attrs: Mapping[str, str] | None = None,
    hide_weights: bool = True,
) -> Any:
    """A picture of a symbol, as a ``Digraph`` of the package graphviz.

    Args:
        symbol: what to show.
        title: the name of the picture.
        save_format: in which ``render`` writes it.
        shape: shapes of arguments by name, which are then shown along the edges.
        dtype: accepted for MXNet's sake.
        node_attrs: attributes of graphviz for the nodes.
        hide_weights: leave out parameters.

    Raises:
        ImportError: graphviz is not installed.
        ValueError: the shapes do not decide the others.
    """
    try:
        from graphviz import Digraph
    except ImportError:
        raise ImportError(
            "plot_network draws by the package graphviz: install it, with the program of that name"
        ) from None
    nodes = toposort(symbol._entries)
    repeated = [n for n, count in Counter(node.name for node in nodes).items() if count > 1]
    if repeated:
        warnings.warn(
            "There are multiple variables with the same name in your graph, this may result in "
            f"cyclic graph. Repeated names: {','.join(map(escaped, repeated))}",
            stacklevel=2,
        )
    shapes = _shapes(symbol, shape)
    style = {"shape": "box", "fixedsize": "true", "width": "1.3", "height": "0.8034",
             "style": "filled", **(node_attrs or {})}  # fmt: skip
    picture = Digraph(name=title, format=save_format)
    hidden = set()
    for node in nodes:
        learned = node.op is None and node.name.endswith((*_LEARNED, "moving_mean", "moving_var"))
        if learned and hide_weights:
            hidden.add(id(node))
            continue
        kind = "" if node.op is None else node.op.name
        label = escaped(node.name) if node.op is None else f"{kind}\n{escaped(node.name)}"
        fill = "#8dd3c7" if node.op is None else _COLOURS.get(kind, "#fccde5")
        outline = {"shape": "oval"} if node.op is None else {}
        picture.node(name=_id(node), label=label, **{**style, "fillcolor": fill, **outline})
    for node in nodes:
        for entry in node.inputs:
            if id(entry.node) in hidden:
                continue
            edge = {"dir": "back", "arrowtail": "open"}
            if entry.name in shapes:
                edge["label"] = "x".join(map(str, shapes[entry.name][1:]))
            picture.edge(tail_name=_id(node), head_name=_id(entry.node), **edge)
    return picture


def _id(node: Node) -> str:
    """A name without the characters that graphviz reads as parts of an edge's end."""
    return escaped(node.name).replace(":", "_").replace("\\", "_")
