"""`mx.io`: data in batches."""

from __future__ import annotations

from .arrays import NDArrayIter, PrefetchingIter, ResizeIter
from .base import DataBatch, DataDesc, DataIter
from .from_files import CSVIter, MNISTIter
