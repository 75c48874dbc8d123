"""`mx.optimizer`: how weights change by their gradients."""

from __future__ import annotations

from .base import Optimizer, Rates, create, register
from .large_batches import LAMB, LARS, LBSGD
from .methods import NAG, SGD, AdaDelta, AdaGrad, Adam, AdamW, Ftrl, RMSProp, SignSGD, Signum
from .updater import Updater, get_updater
from .variants import DCASGD, FTML, SGLD, Adamax, GroupAdaGrad, Nadam, Test

ccSGD = SGD
