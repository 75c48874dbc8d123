"""The API answers as MXNet 1.9.1 does: each scenario against the answer that was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tritonsym
from oracle.api_scenarios import SCENARIOS
from oracle.scenario import agrees

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "api.json").read_text(encoding="utf-8")
)


def test_every_scenario_has_an_answer_and_every_answer_a_scenario() -> None:
    assert sorted(RECORDED) == sorted(SCENARIOS)


NETWORKS = [name for name in SCENARIOS if name.startswith("networks.")]


def check(name: str) -> None:
    """Our answer to a scenario is the recorded one."""
    one = SCENARIOS[name]
    found = one.answer(tritonsym)
    if one.tolerance == 0 or not agrees(found, RECORDED[name], one.tolerance):
        assert found == RECORDED[name]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in NETWORKS])
def test_scenario(name: str) -> None:
    check(name)


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str, context: tritonsym.Context) -> None:
    with context:
        check(name)
