"""tritonsym: MXNet's Symbol API, compiled for today's hardware."""

from __future__ import annotations

import sys as _sys

from . import (
    attribute,
    base,
    context,
    debug,
    name,
    ndarray,
    operator,
    ops,
    random,
    symbol,
    test_utils,
)
from .attribute import AttrScope
from .binding import executor
from .binding.executor import Executor
from .context import Context, cpu, cpu_pinned, current_context, gpu, num_gpus
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
    "callback": callback,
    "executor": executor,
    "initializer": initializer,
    "io": io,
    "io.io": io,
    "io.utils": io,
    "kvstore": kvstore,
    "kvstore.kvstore": kvstore,
    "lr_scheduler": lr_scheduler,
    "metric": metric,
    "model": model,
    "module": module,
    "module.base_module": module.base,
    "module.bucketing_module": module.bucketing,
    "module.module": module.module,
    "module.python_module": module.python,
    "module.sequential_module": module.sequential,
    "monitor": monitor,
    "ndarray.ndarray": ndarray,
    "ndarray.random": random,  # mx.nd.random is mx.random
    "optimizer": optimizer,
    "optimizer.optimizer": optimizer,
    "rnn": rnn,
    "rnn.io": rnn.sentences,
    "rnn.rnn": rnn.checkpoint,
    "rnn.rnn_cell": rnn,
    "symbol.symbol": symbol,
    "visualization": visualization,
}.items():
    _sys.modules[f"{__name__}.{_name}"] = _module
    if "." in _name:
        _parent, _own = _name.split(".")
        setattr(_sys.modules[f"{__name__}.{_parent}"], _own, _module)

nd = ndarray
sym = symbol
init = initializer
kv = kvstore
mod = module
mon = monitor
rnd = random
viz = visualization

# What MXNet has beside its Symbol API, and what does the same here.
_ELSEWHERE = {
    "autograd": "gradients are those of a symbol: bind it, and call forward and backward",
    "contrib": "mx.sym.contrib and mx.nd.contrib have the operators that there are",
    "gluon": "networks are symbols here, and mx.mod.Module trains them",
    "image": "mx.io reads arrays; numpy or another library decodes and augments images",
    "np": "arrays are mx.nd.NDArray, with the functions of mx.nd",
    "npx": "arrays are mx.nd.NDArray, with the functions of mx.nd",
    "profiler": "print(executor.plan) shows what runs, and torch.profiler measures it",
    "recordio": "mx.io.NDArrayIter and mx.io.CSVIter give batches",
}


def __getattr__(missing: str) -> object:
    """Reached for names that are not there."""
    if missing in _ELSEWHERE:
        raise AttributeError(f"mx.{missing} is not part of tritonsym: {_ELSEWHERE[missing]}")
    raise AttributeError(f"module {__name__!r} has no attribute {missing!r}")
