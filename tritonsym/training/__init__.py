"""Everything around a symbol that learns. `tritonsym` shows these modules by MXNet's names."""

from __future__ import annotations

from . import (
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
from .feed_forward import FeedForward as _FeedForward

# It needs modules, and they need `model`: it can have its place there only afterwards.
vars(model)["FeedForward"] = _FeedForward
