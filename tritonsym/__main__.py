"""``python -m tritonsym``: the tour."""

from __future__ import annotations

import os
import sys

from .tour import main

try:
    main()
    sys.stdout.flush()
except BrokenPipeError:
    # The reader, such as `head`, has seen enough; nothing must be written at the end either.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
