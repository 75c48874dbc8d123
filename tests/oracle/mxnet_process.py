"""Real MXNet 1.9.1, set up to be deterministic and asked in processes that may die.

Whoever needs MXNet imports it from here: its settings must be there before it is.
"""

from __future__ import annotations

import os
import pickle
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

os.environ.update(
    MXNET_MKLDNN_ENABLED="0",
    MXNET_SUBGRAPH_BACKEND="NONE",
    MXNET_ENGINE_TYPE="NaiveEngine",
    MXNET_USE_MKLDNN_RNN="0",  # without it RNN fails where oneDNN is off
    OMP_NUM_THREADS="1",
)

import mxnet as mx

LONGEST_MESSAGE = 160


def find(name: str) -> Callable[..., Any]:
    """`mx.sym.NAME`, or `mx.sym._internal.NAME`."""
    return getattr(mx.sym, name, None) or getattr(mx.sym._internal, name)


def tidy(message: str) -> str:
    """The last line that says something, without the time and the place in MXNet's source."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    text = re.sub(r"\[\d\d:\d\d:\d\d\] \S+: ", "", lines[-1] if lines else "")
    return text.removeprefix("MXNetError: ")[:LONGEST_MESSAGE]


def serve(ask: Callable[[Any], Any], cases: Sequence[Any], pipe: BinaryIO) -> None:
    for case in cases:
        found = pickle.dumps(ask(case))
        pipe.write(struct.pack("<q", len(found)) + found)
        pipe.flush()


def in_children(ask: Callable[[Any], Any], cases: Sequence[Any], lost: Any) -> list[Any]:
    """What is found for all cases; a child that dies leaves `lost`, and another child goes on.

    MXNet runs in forked children, because a case may kill its process (an integer divided by zero).
    """
    found: list[Any] = []
    while len(found) < len(cases):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            with os.fdopen(writing, "wb") as pipe:
                serve(ask, cases[len(found) :], pipe)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            while header := pipe.read(8):
                found.append(pickle.loads(pipe.read(struct.unpack("<q", header)[0])))
        _, status = os.waitpid(child, 0)
        if status:
            found.append(lost)
    return found
