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
