"""Every scenario about the API."""

from __future__ import annotations

import importlib
import pkgutil

import oracle.scenarios
from oracle.scenario import ALL, Scenario

for _module in pkgutil.iter_modules(oracle.scenarios.__path__):
    importlib.import_module(f"oracle.scenarios.{_module.name}")

SCENARIOS: dict[str, Scenario] = dict(sorted(ALL.items()))
