"""``python -m tritonsym``: the tour."""

from __future__ import annotations

from .tour import main

main()
