"""tritonsym: MXNet's Symbol API, compiled for today's hardware."""

from __future__ import annotations

from . import (
    attribute,
    context,
    debug,
    executor,
    name,
    ndarray,
    operator,
    ops,
    random,
    symbol,
    test_utils,
)
from . import errors as base
from .attribute import AttrScope
from .context import Context, cpu, cpu_pinned, current_context, gpu, num_gpus
from .errors import MXNetError, NotImplementedForSymbol
from .executor import Executor
from .name import NameManager, Prefix
from .ndarray import NDArray, waitall
from .switches import switched
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

nd = ndarray
sym = symbol
init = initializer
kv = kvstore
mod = module
mon = monitor
viz = visualization
ndarray.random = random  # mx.nd.random is mx.random
