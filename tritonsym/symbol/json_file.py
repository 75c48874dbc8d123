"""MXNet's JSON text of a graph: written to the byte, read with suspicion.

Format 1.9.1 is written; texts since 0.8 are read. What a text says never becomes code or a path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..attribute import HIDDEN_KEYS, is_user_key, stored_key
from ..foundation import collector
from ..foundation.errors import MXNetError
from ..foundation.files import read_file
from ..foundation.text import encodes, escaped, shown
from ..graph.backward import find_op
from ..graph.node import (
    Entry,
    Node,
    make_node,
    missing_input,
    parse_parameters,
    tell_initial,
    toposort,
)
from ..graph.op import Op

VERSION = 10901
# A text without a version was written by 0.8 or earlier.
_OLDEST_VERSION = 800
# From this one on a text says how variables begin, as their operators want it.
_FIRST_INITIAL = 904
_NODE_KEYS = frozenset(
    ("op", "name", "attrs", "attr", "param", "inputs", "backward_source_id", "control_deps")
)
_TOP_KEYS = frozenset(("nodes", "arg_nodes", "heads", "node_row_ptr", "attrs"))
_ON_ONE_LINE = 10
# `json.dumps` would make an encoder for each text.
_text = json.JSONEncoder(ensure_ascii=False).encode


# ---- writing -----------------------------------------------------------------------------------


@collector.paused()
def write(entries: Sequence[Entry]) -> str:
    """The text of the graph, laid out as MXNet lays it out."""
    nodes = toposort(entries)
    number = {node: position for position, node in enumerate(nodes)}
    rows = [0]
    for node in nodes:
        rows.append(rows[-1] + node.output_count)
    blocks = ", \n".join(_node_text(node, number) for node in nodes)
    arguments = [str(i) for i, node in enumerate(nodes) if node.op is None]
    heads = [f"[{number[entry.node]}, {entry.index}, 0]" for entry in entries]
    fields = [
        f'"nodes": [\n{blocks}\n  ]',
        f'"arg_nodes": {_array(arguments, 2)}',
        f'"node_row_ptr": {_array([str(row) for row in rows], 2)}',
        f'"heads": {_array(heads, 2)}',
        f'"attrs": {{"mxnet_version": ["int", {VERSION}]}}',
    ]
    return "{\n  " + ", \n  ".join(fields) + "\n}"


def _node_text(node: Node, number: Mapping[Node, int]) -> str:
    auxiliary = node.state_names
    inputs = [
        f"[{number[entry.node]}, {entry.index}, {int(name in auxiliary)}]"
        for name, entry in zip(node.input_names, node.inputs, strict=True)
    ]
    fields = [
        f'"op": {_text("null" if node.op is None else node.op.name)}',
        f'"name": {_text(node.name)}',
    ]
    if node.attributes:
        ordered = sorted(node.attributes.items(), key=lambda item: item[0].encode())
        pairs = [f"{_text(key)}: {_text(value)}" for key, value in ordered]
        if len(pairs) == 1:
            fields.append(f'"attrs": {{{pairs[0]}}}')
        else:
            inner = ", \n        ".join(pairs)
            fields.append(f'"attrs": {{\n        {inner}\n      }}')
    fields.append(f'"inputs": {_array(inputs, 6)}')
    return "    {\n      " + ", \n      ".join(fields) + "\n    }"


def _array(items: Sequence[str], indent: int) -> str:
    if len(items) <= _ON_ONE_LINE:
        return f"[{', '.join(items)}]"
    space = " " * indent
    inner = f", \n{space}  ".join(items)
    return f"[\n{space}  {inner}\n{space}]"


# ---- reading -----------------------------------------------------------------------------------


def read(path: str | Path) -> str:
    """A file's text.

    Raises:
        MXNetError: it cannot be read or is not UTF-8.
    """
    try:
        return read_file(path).decode()
    except UnicodeDecodeError:
        raise MXNetError(f"{shown(str(path))} is no JSON graph: it is not UTF-8 text") from None


def parse(text: str, line: tuple[str, int]) -> tuple[list[Node], list[Entry]]:
    """The nodes of the graph in a text, and its outputs.

    Args:
        line: is recorded as the place that made the nodes.

    Raises:
        MXNetError: anything in it that is not as it should be.
    """
    graph = _decode(text)
    if not isinstance(graph, dict):
        raise _problem("the text is no JSON object")
    for key in ("nodes", "arg_nodes", "heads"):
        if key not in graph:
            raise _problem(f'Missing field "{key}"')
    if not graph.keys() <= _TOP_KEYS:
        raise _problem(f"unknown fields {shown(sorted(graph.keys() - _TOP_KEYS))}")
    for key in ("nodes", "arg_nodes", "heads"):
        if not isinstance(graph[key], list):
            raise _problem(f'"{key}" is no list')
    version = _version(graph.get("attrs", {}))
    nodes: list[Node] = []
    for position, record in enumerate(graph["nodes"]):
        nodes.append(_node(record, position, nodes, version, line))
    if not graph["heads"]:
        raise _problem('"heads" is empty: the graph has no output')
    return nodes, [_entry(item, nodes, "head", i) for i, item in enumerate(graph["heads"])]


def _problem(text: str) -> MXNetError:
    return MXNetError(f"cannot load the symbol: {text}")


def _decode(text: str) -> Any:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise _problem("an object has a key twice")
        return found

    def no_constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        # MXNet writes control characters in texts as they are.
        return json.loads(
            text, strict=False, object_pairs_hook=no_duplicates, parse_constant=no_constant
        )
    except RecursionError:
        raise _problem("the JSON is nested too deeply") from None
    except ValueError as error:
        raise _problem(str(error)[:200]) from None


def _version(attributes: Any) -> int:
    if not isinstance(attributes, dict):
        raise _problem('"attrs" is no object')
    given = attributes.get("mxnet_version", ["int", _OLDEST_VERSION])
    if not (isinstance(given, list) and len(given) == 2 and _are_indices(given[1:])):
        raise _problem(f"mxnet_version is {shown(given)}")
    return int(given[1])


def _are_indices(values: Sequence[Any]) -> bool:
    wrong = [value for value in values if type(value) is not int or value < 0]  # True is no int
    return not wrong


def _entry(item: Any, nodes: Sequence[Node], role: str, place: int, owner: str = "") -> Entry:
    """The output that an input of the node ``owner``, or a head of the graph, names."""
    valid = isinstance(item, list) and len(item) in (2, 3) and _are_indices(item)
    if valid and item[0] < len(nodes):
        node = nodes[item[0]]
        if item[1] == 0 or item[1] < node.output_count:  # every node has a first output
            return Entry(node, item[1])
        problem = f"output {shown(item[1])} of {shown(node.name)}, which has {node.output_count}"
    elif valid:
        problem = f"node {shown(item)} before it is defined"
    else:
        problem = f"{shown(item)}, not [node, output] or [node, output, version]"
    of_owner = f" of {shown(owner)}" if owner else ""
    raise _problem(f"{role} {place}{of_owner} names {problem}")


def _node(
    record: Any, position: int, nodes: Sequence[Node], version: int, line: tuple[str, int]
) -> Node:
    if not isinstance(record, dict):
        raise _problem(f"node {position} is no object")
    for key in ("op", "name", "inputs"):
        if key not in record:
            raise _problem(f'node {position}: Missing field "{key}"')
    if not record.keys() <= _NODE_KEYS:
        unknown = sorted(record.keys() - _NODE_KEYS)
        raise _problem(f"node {position} has unknown fields {shown(unknown)}")
    op_name, name = record["op"], record["name"]
    if not isinstance(op_name, str):
        raise _problem(f"node {position}: its op is no text")
    if not (isinstance(name, str) and encodes(name)):
        raise _problem(f"node {position}: its name is no text")
    if not isinstance(record["inputs"], list):
        raise _problem(f"node {position}: its inputs are no list")
    attributes = _attributes(record, position)
    inputs = tuple(
        [_entry(item, nodes, "input", i, name) for i, item in enumerate(record["inputs"])]
    )
    if op_name == "null":
        if inputs:
            raise _problem(f"node {position}, a variable, has inputs")
        return Node(None, name, _upgraded(attributes, version), (), line)
    try:
        op = find_op(op_name)
        if version < VERSION:
            _hand_on(attributes, inputs)
            inputs += _missing_states(op, name, attributes, len(inputs), line)
        made = make_node(op, name, _upgraded(attributes, version), inputs, line)
        if version < _FIRST_INITIAL:
            tell_initial(made)
        return made
    except MXNetError as error:
        raise MXNetError(
            f"Failed loading Op {escaped(name)} of type {escaped(op_name)}: {error}"
        ) from None


def _missing_states(
    op: Op, name: str, attributes: Mapping[str, str], given: int, line: tuple[str, int]
) -> tuple[Entry, ...]:
    """The auxiliary states that the oldest texts leave out."""
    parameters = parse_parameters(op, attributes)
    states = op.state_names(parameters)
    names = list(op.input_names(parameters))[given:] if states else []
    if any(name not in states for name in names):
        return ()
    return tuple(missing_input(op, name, state, attributes, line) for state in names)


def _attributes(record: Mapping[str, Any], position: int) -> dict[str, str]:
    """A node's attributes, which older texts keep in "param" and "attr"."""
    merged: dict[str, str] = {}
    for key in ("param", "attr", "attrs"):
        if key not in record:
            continue
        given = record[key]
        if not isinstance(given, dict):
            raise _problem(f'node {position}: "{key}" is no object')
        for attribute, value in given.items():
            if not (isinstance(value, str) and encodes(attribute) and encodes(value)):
                raise _problem(
                    f"node {position}: attribute {shown(attribute)} is no text: {shown(value)}"
                )
        merged.update(given)
    return merged


def _upgraded(attributes: dict[str, str], version: int) -> dict[str, str]:
    """Attributes in today's spelling: hidden keys of older texts become ``__key__``."""
    if version >= VERSION:
        return attributes
    plain = {key: value for key, value in attributes.items() if key not in HIDDEN_KEYS}
    hidden = {stored_key(key): attributes[key] for key in HIDDEN_KEYS if key in attributes}
    return {**plain, **hidden}


def _hand_on(attributes: dict[str, str], inputs: Sequence[Entry]) -> None:
    """Older texts keep ``weight_lr_mult`` at the operator; it belongs to the weight."""
    for key in list(attributes):
        for hidden in HIDDEN_KEYS:
            if is_user_key(key) or not key.endswith(f"_{hidden}"):
                continue
            argument = key.removesuffix(f"_{hidden}")
            value = attributes.pop(key)
            for entry in inputs:
                if entry.node.op is None and entry.node.name.endswith(f"_{argument}"):
                    entry.node.attributes[stored_key(hidden)] = value
