"""tritonsym: MXNet's Symbol API, compiled for today's hardware."""

from __future__ import annotations

import sys as _sys

from . import attribute, context, debug, name, ndarray, operator, ops, random, symbol, test_utils
from .attribute import AttrScope
from .binding import executor
from .binding.executor import Executor
from .context import Context, cpu, cpu_pinned, current_context, gpu, num_gpus
from .foundation import errors as base
from .foundation.errors import MXNetError, NotImplementedForSymbol
from .foundation.switches import switched
from .name import NameManager, Prefix
from .ndarray import NDArray, waitall
from .symbol import Symbol
from .training import (
    callback,
    initializer,
    io,
    kvstore,
    lr_scheduler,
    metric,
    model,
    module,
    monitor,
    optimizer,
    rnn,
    visualization,
)

__version__ = "0.1.0"

# MXNet's modules under their names, also for programs that say `from mxnet.io import NDArrayIter`.
for _name, _module in {
    "base": base,
    "callback": callback,
    "executor": executor,
    "initializer": initializer,
    "io": io,
    "kvstore": kvstore,
    "lr_scheduler": lr_scheduler,
    "metric": metric,
    "model": model,
    "module": module,
    "monitor": monitor,
    "optimizer": optimizer,
    "rnn": rnn,
    "visualization": visualization,
}.items():
    _sys.modules[f"{__name__}.{_name}"] = _module

nd = ndarray
sym = symbol
init = initializer
kv = kvstore
mod = module
mon = monitor
rnd = random
viz = visualization
ndarray.random = random  # mx.nd.random is mx.random
