"""`mx.rnn`: recurrent networks as symbols, and sentences in batches."""

from __future__ import annotations

from .around import (
    BidirectionalCell,
    DropoutCell,
    ModifierCell,
    ResidualCell,
    SequentialRNNCell,
    ZoneoutCell,
)
from .base import BaseRNNCell, RNNParams
from .cells import GRUCell, LSTMCell, RNNCell
from .checkpoint import do_rnn_checkpoint, load_rnn_checkpoint, save_rnn_checkpoint
from .fused import FusedRNNCell
from .sentences import BucketSentenceIter, encode_sentences
