"""The suite on a CPU, whatever else there is: `python -m benchmarks.cpu`."""

from __future__ import annotations

import sys

from .__main__ import main

if __name__ == "__main__":
    main(["--device", "cpu", *sys.argv[1:]])
