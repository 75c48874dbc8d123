"""Every scenario about the API, in two collections: compared now, and recorded for later."""

from __future__ import annotations

import importlib
import pkgutil

import oracle.scenarios
from oracle.scenario import ALL, Scenario

for _module in pkgutil.iter_modules(oracle.scenarios.__path__):
    importlib.import_module(f"oracle.scenarios.{_module.name}")

SCENARIOS: dict[str, Scenario] = {
    name: one for name, one in sorted(ALL.items()) if one.later is None
}
LATER: dict[str, Scenario] = {
    name: one for name, one in sorted(ALL.items()) if one.later is not None
}
