"""`mx.mod`: networks with their parameters, trained with batches."""

from __future__ import annotations

from .base import BaseModule
from .bucketing import BucketingModule
from .module import Module
from .python import PythonLossModule, PythonModule
from .sequential import SequentialModule
