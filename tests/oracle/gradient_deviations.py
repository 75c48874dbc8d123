"""Where gradients, states and layers are otherwise than MXNet 1.9.1's on purpose, and what instead.

A row picks cases and says which reaction is due. The tests demand that every row still differs from
MXNet somewhere, for each operator that it names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oracle.gradient_storage import Reaction, RecordedGradient

# Every recorded case of the operator, by its label.
Recordings = dict[str, RecordedGradient]


@dataclass(frozen=True)
class GradientDeviation:
    """Operators, which of their cases, the sentence for the documentation, and the reaction."""

    operators: list[str]
    picks: Callable[[RecordedGradient], bool]
    because: str
    instead: Callable[[RecordedGradient, Recordings], Reaction]


GRADIENT_DEVIATIONS: dict[str, GradientDeviation] = {}


def deviation(case: RecordedGradient, recordings: Recordings) -> tuple[str, Reaction] | None:
    """The row that picks the case and the reaction that it demands, if any."""
    for name, row in GRADIENT_DEVIATIONS.items():
        if case.operator in row.operators and row.picks(case):
            return name, row.instead(case, recordings)
    return None
