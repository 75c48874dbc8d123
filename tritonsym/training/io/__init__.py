"""`mx.io`: data in batches."""

from __future__ import annotations

from .arrays import NDArrayIter, PrefetchingIter, ResizeIter
from .arrays import named_arrays as _init_data  # for iterators that a program makes of arrays
from .base import DataBatch, DataDesc, DataIter
from .from_files import CSVIter, MNISTIter
