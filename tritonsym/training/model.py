"""`mx.model`: checkpoints, and what MXNet had before modules."""

from __future__ import annotations

from .checkpoint import BatchEndParam, load_checkpoint, load_params, save_checkpoint
from .feed_forward import FeedForward

__all__ = ["BatchEndParam", "FeedForward", "load_checkpoint", "load_params", "save_checkpoint"]
