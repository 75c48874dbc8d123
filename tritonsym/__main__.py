"""``python -m tritonsym``: the tour; ``python -m tritonsym plan FILE``: the plan of a symbol."""

from __future__ import annotations

import os
import sys

from . import plan_command, tour

try:
    if sys.argv[1:2] == ["plan"]:
        sys.exit(plan_command.main(sys.argv[2:]))
    tour.main()
    sys.stdout.flush()
except BrokenPipeError:
    # The reader, such as `head`, has seen enough; nothing must be written at the end either.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
