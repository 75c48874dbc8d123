"""tritonsym: MXNet's Symbol API, compiled for today's hardware."""

from __future__ import annotations

from . import attribute, context, executor, name, ndarray, ops, random, symbol, test_utils
from . import errors as base
from .attribute import AttrScope
from .context import Context, cpu, cpu_pinned, current_context, gpu, num_gpus
from .errors import MXNetError, NotImplementedForSymbol
from .executor import Executor
from .name import NameManager, Prefix
from .ndarray import NDArray, waitall
from .switches import switched
from .symbol import Symbol
from .training import initializer, io, lr_scheduler, metric, optimizer

__version__ = "0.1.0"

nd = ndarray
sym = symbol
init = initializer
ndarray.random = random  # mx.nd.random is mx.random
