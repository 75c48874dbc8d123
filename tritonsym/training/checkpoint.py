"""A trained symbol in files, and what callbacks are told after a batch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..foundation.errors import MXNetError
from ..foundation.text import escaped, shown
from ..ndarray.core import NDArray
from ..ndarray.create import load, save
from ..symbol.core import Symbol
from ..symbol.create import load as load_symbol

Parameters = dict[str, NDArray]


class BatchEndParam(NamedTuple):
    """What a callback after a batch is called with."""

    epoch: int
    nbatch: int
    eval_metric: Any
    locals: Any


def params_name(prefix: str | Path, epoch: int) -> str:
    """The path of the arrays of an epoch."""
    return f"{prefix}-{epoch:04d}.params"


def states_name(prefix: str | Path, epoch: int) -> str:
    """The path of an optimizer's states after an epoch."""
    return f"{prefix}-{epoch:04d}.states"


def tagged(arg_params: Mapping[str, NDArray], aux_params: Mapping[str, NDArray]) -> Parameters:
    """Parameters and auxiliary states in one dict, as files have them."""
    return {
        **{f"arg:{name}": array for name, array in arg_params.items()},
        **{f"aux:{name}": array for name, array in aux_params.items()},
    }


def untagged(found: Any, what: str) -> tuple[Parameters, Parameters]:
    """Parameters and auxiliary states from the arrays of a file.

    Raises:
        MXNetError: the arrays have other names, or none.
    """
    parts: dict[str, Parameters] = {"arg": {}, "aux": {}}
    if not isinstance(found, Mapping):
        raise MXNetError(f"{escaped(what)} does not hold parameters: its arrays have no names")
    for name, array in found.items():
        kind, colon, own = name.partition(":")
        if not colon or kind not in parts:
            raise MXNetError(
                f"{escaped(what)} does not hold parameters: their names begin with arg: or aux:, "
                f"one is {shown(name)}"
            )
        parts[kind][own] = array
    return parts["arg"], parts["aux"]


def save_checkpoint(
    prefix: str | Path,
    epoch: int,
    symbol: Symbol | None,
    arg_params: Mapping[str, NDArray],
    aux_params: Mapping[str, NDArray],
    remove_amp_cast: bool = True,
) -> None:
    """Write a symbol to ``prefix-symbol.json`` and its arrays to ``prefix-0001.params``.

    Args:
        prefix: how the paths begin.
        epoch: the number in the name of the arrays' file.
        symbol: written unless it is None.
        arg_params, aux_params: arrays by name.
        remove_amp_cast: accepted for MXNet's sake.
    """
    if symbol is not None:
        symbol.save(f"{prefix}-symbol.json")
    path = params_name(prefix, epoch)
    save(path, tagged(arg_params, aux_params))
    logging.info('Saved checkpoint to "%s"', path)


def load_params(prefix: str | Path, epoch: int) -> tuple[Parameters, Parameters]:
    """The parameters and auxiliary states of a checkpoint, by name.

    Raises:
        MXNetError: the file cannot be read, or holds something else.
    """
    path = params_name(prefix, epoch)
    return untagged(load(path), path)


def load_checkpoint(prefix: str | Path, epoch: int) -> tuple[Symbol, Parameters, Parameters]:
    """The symbol, parameters and auxiliary states of a checkpoint.

    Raises:
        MXNetError: a file that cannot be read, or holds something else.
    """
    symbol = load_symbol(f"{prefix}-symbol.json")
    return symbol, *load_params(prefix, epoch)
