"""Checkpoints of recurrent networks, in which weights are taken apart gate by gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...ndarray.core import NDArray
from ...symbol.core import Symbol
from ..checkpoint import load_checkpoint, save_checkpoint
from .base import BaseRNNCell, Weights

Cells = BaseRNNCell | Sequence[BaseRNNCell]


def _all(cells: Cells) -> list[BaseRNNCell]:
    return [cells] if isinstance(cells, BaseRNNCell) else list(cells)


def save_rnn_checkpoint(
    cells: Cells,
    prefix: str | Path,
    epoch: int,
    symbol: Symbol,
    arg_params: Mapping[str, NDArray],
    aux_params: Mapping[str, NDArray],
) -> None:
    """``mx.model.save_checkpoint`` with the weights of the cells taken apart."""
    weights = dict(arg_params)
    for cell in _all(cells):
        weights = cell.unpack_weights(weights)
    save_checkpoint(prefix, epoch, symbol, weights, aux_params)


def load_rnn_checkpoint(
    cells: Cells, prefix: str | Path, epoch: int
) -> tuple[Symbol, Weights, Weights]:
    """``mx.model.load_checkpoint`` of what :func:`save_rnn_checkpoint` wrote.

    Raises:
        MXNetError: a file that cannot be read, or holds something else.
    """
    symbol, weights, states = load_checkpoint(prefix, epoch)
    for cell in _all(cells):
        weights = cell.pack_weights(weights)
    return symbol, weights, states


def do_rnn_checkpoint(cells: Cells, prefix: str | Path, period: int = 1) -> Callable[..., None]:
    """A callback that writes a checkpoint after every ``period`` epochs."""
    every = max(1, int(period))

    def callback(iter_no: int, sym: Any = None, arg: Any = None, aux: Any = None) -> None:
        if (iter_no + 1) % every == 0:
            save_rnn_checkpoint(cells, prefix, iter_no + 1, sym, arg, aux)

    return callback
