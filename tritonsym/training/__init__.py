"""Everything around a symbol that learns. `tritonsym` shows these modules by MXNet's names."""

from __future__ import annotations

from . import initializer, io, lr_scheduler, metric, optimizer
