"""`mx.viz`: a symbol as a table of layers, or as a picture by graphviz."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ..foundation.shape import Shape
from ..foundation.text import escaped, shown
from ..graph.node import Entry, Node, toposort
from ..symbol.core import Symbol

_LEARNED = ("weight", "bias", "gamma", "beta", "parameters")


# Names that operators have for inputs that come with each batch, or from the one before.
_NOT_LEARNED = ("label", "state", "state_cell", "sequence_length")

# An output of a node, by the node's identity: names may stand for several things.
Key = tuple[int, int]


def _key(entry: Entry) -> Key:
    return id(entry.node), entry.index


def _shapes(symbol: Symbol, shape: Mapping[str, Shape] | None) -> dict[Key, Shape]:
    """The shape of every output in the symbol.

    Raises:
        ValueError: the given shapes do not decide the others.
    """
    if shape is None:
        return {}
    internals = symbol.get_internals()
    _, found, _ = internals.infer_shape(**shape)
    if found is None:
        raise ValueError("Input shape is incomplete")
    return dict(zip(map(_key, internals._entries), found, strict=True))


def _learned(nodes: Sequence[Node], given: Collection[str]) -> dict[int, list[Entry]]:
    """The variables that each node learns, each at the first node that reads it.

    By what the operator calls them, by the end of their names, or because they are neither given
    nor labels nor states.
    """
    seen: set[int] = set()
    found: dict[int, list[Entry]] = {}
    for node in nodes:
        found[id(node)] = []
        for slot, entry in zip(node.input_names, node.inputs, strict=True):
            name = entry.node.name
            usual = slot in _LEARNED or name.endswith(_LEARNED)
            other = given and name not in given and slot not in (*_NOT_LEARNED, *node.state_names)
            left_out = name.endswith(("data", "label"))
            if entry.node.op is None and (usual or (other and not left_out)):
                if id(entry.node) not in seen:
                    found[id(node)].append(entry)
                seen.add(id(entry.node))
    return found


def _is_shown(node: Node, heads: set[int], learned: set[int]) -> bool:
    """Whether a node is a layer, or an input that is data."""
    if node.op is not None or id(node) in heads:
        return True
    hidden = ("_label", "moving_mean", "moving_var")
    return id(node) not in learned and not node.name.endswith(hidden)


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
        TypeError: no symbol.
        ValueError: the shapes do not decide the others.
    """
    if not isinstance(symbol, Symbol):
        raise TypeError(f"symbol must be Symbol, got {shown(symbol)}")
    shapes = _shapes(symbol, shape)
    ends = [int(line_length * end) if positions[-1] <= 1 else int(end) for end in positions]
    print("_" * line_length)
    _print_row(("Layer (type)", "Output Shape", "Param #", "Previous Layer"), ends)
    print("=" * line_length)
    nodes = toposort(symbol._entries)
    heads = {id(entry.node) for entry in symbol._entries}
    learned = _learned(nodes, shape or ())
    parameters = {id(entry.node) for entries in learned.values() for entry in entries}
    rows = [node for node in nodes if _is_shown(node, heads, parameters)]
    total = 0
    for number, node in enumerate(rows):
        count = sum(math.prod(shapes[_key(entry)]) for entry in learned[id(node)] if shapes)
        total += count
        before = [e.node.name for e in node.inputs if _is_shown(e.node, heads, parameters)]
        kind = "null" if node.op is None else node.op.name
        lengths = _lengths(shapes[id(node), 0][1:]) if shapes else ""
        first = (f"{escaped(node.name)}({kind})", lengths, str(count))
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


_VARIABLE, _OTHER = "#8dd3c7", "#fccde5"
# The colours of layers, as MXNet paints them.
_COLOURS = {
    **dict.fromkeys(("FullyConnected", "Convolution"), "#fb8072"),
    **dict.fromkeys(("Activation", "LeakyReLU"), "#ffffb3"),
    "BatchNorm": "#bebada",
    "Pooling": "#80b1d3",
    **dict.fromkeys(("Concat", "Flatten", "Reshape"), "#fdb462"),
}
# What is written into a layer below its kind, from its parameters; into all others their names.
_SETTINGS: dict[str, Callable[[Any], str]] = {
    "Convolution": lambda p: f"{_lengths(p.kernel)}/{_lengths(p.stride) or 1}, {p.num_filter}",
    "FullyConnected": lambda p: str(p.num_hidden),
    "Activation": lambda p: str(p.act_type),
    "LeakyReLU": lambda p: str(p.act_type),
    "Pooling": lambda p: f"{p.pool_type}, {_lengths(p.kernel) or 'all'}/{_lengths(p.stride) or 1}",
}


def _lengths(lengths: Sequence[int]) -> str:
    return "x".join(map(str, lengths))


def _label(node: Node) -> str:
    kind = "" if node.op is None else node.op.name
    if kind in _SETTINGS:
        return f"{kind}\n{_SETTINGS[kind](node.parameters)}"
    return escaped(node.name)


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
    if not isinstance(symbol, Symbol):
        raise TypeError(f"symbol must be a Symbol, got {shown(symbol)}")
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
        fill = _VARIABLE if node.op is None else _COLOURS.get(node.op.name, _OTHER)
        outline = {"shape": "oval"} if node.op is None else {}
        painted = {**style, "fillcolor": fill, **outline}
        picture.node(name=_id(node), label=_label(node), **painted)
    for node in nodes:
        for entry in node.inputs:
            if id(entry.node) in hidden:
                continue
            edge = {"dir": "back", "arrowtail": "open"}
            edge["label"] = _lengths(shapes[_key(entry)][1:]) if shapes else ""
            picture.edge(tail_name=_id(node), head_name=_id(entry.node), **edge)
    return picture


def _id(node: Node) -> str:
    """A name without the characters that graphviz reads as parts of an edge's end."""
    return escaped(node.name).replace(":", "_").replace("\\", "_")
