"""`mx.optimizer`: how weights change by their gradients."""

from __future__ import annotations

from .base import Optimizer, Rates, create, register
from .methods import (
    LAMB,
    NAG,
    SGD,
    AdaDelta,
    AdaGrad,
    Adam,
    AdamW,
    Ftrl,
    RMSProp,
    SignSGD,
    Signum,
)
from .updater import Updater, get_updater
