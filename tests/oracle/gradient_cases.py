"""The cases of which gradients are recorded: inputs, attributes, states and requests.

Deterministic and free of MXNet, as `operator_cases` is; the gradients of the outputs are drawn by
the recorder, which knows their shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from oracle import storage
from oracle.deviations import deviation
from oracle.operator_cases import Array, Case


@dataclass(frozen=True)
class GradientCase:
    """One forward and backward pass of an operator.

    Attributes:
        states: the auxiliary states, which follow the inputs.
        requests: the `grad_req` of each input; 'write' for all where there are none.
        heads: the gradients of the outputs: "random", "zero", or "none" for none at all.
        training: whether the pass before `backward` is one of training.
    """

    label: str
    inputs: tuple[Array, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    states: tuple[Array, ...] = ()
    requests: tuple[str, ...] = ()
    heads: str = "random"
    training: bool = True

    def all_requests(self) -> tuple[str, ...]:
        return self.requests or ("write",) * len(self.inputs)


Maker = Callable[[str], Iterator[GradientCase]]


def make(label: str, *inputs: Array, **attributes: Any) -> GradientCase:
    return GradientCase(label, inputs, attributes)


def added(case: GradientCase) -> Iterator[GradientCase]:
    """A case, and the same with gradients that are added to what is there."""
    yield case
    yield replace(case, label=f"{case.label}-add", requests=("add",) * len(case.inputs))


def mixtures(case: GradientCase) -> Iterator[GradientCase]:
    """The same with every input in turn without a gradient, and the others written or added."""
    count = len(case.inputs)
    for i in range(count):
        requests = tuple("null" if j == i else ("add", "write")[(i + j) % 2] for j in range(count))
        if count > 1:
            yield replace(case, label=f"{case.label}-null{i}", requests=requests)


@cache
def forward_cases() -> dict[str, list[Case]]:
    """The good cases of outputs alone that have an input of floats, and whose answer stands."""
    found: dict[str, list[Case]] = {}
    for family in storage.names():
        for case in storage.load(family)[0]:
            kinds = {array.dtype.kind for array in case.inputs}
            sized = all(array.size for array in (*case.inputs, *case.answer.outputs))
            floats = "f" in kinds and "b" not in kinds and not case.label.startswith("bad")
            chosen = deviation(case) if case.answer.kind == "outputs" else None
            stands = case.answer.kind == "outputs" and not (chosen and chosen[1].kind == "error")
            if stands and floats and sized:
                kept = Case(case.label, case.inputs, case.attributes)
                found.setdefault(case.operator, []).append(kept)
    return found


def recorded_forward(operator: str) -> bool:
    """Whether the outputs of an operator are recorded by `record_operators` already."""
    return operator in forward_cases()


def thinned(operator: str, count: int) -> Iterator[GradientCase]:
    """At most `count` of the forward cases, evenly taken."""
    cases = forward_cases()[operator]
    step = max(1.0, len(cases) / count)
    for i in range(min(count, len(cases))):
        case = cases[int(i * step)]
        yield GradientCase(case.label, case.inputs, case.attributes)


def families() -> dict[str, dict[str, list[GradientCase]]]:
    """Family -> operator -> its cases, in a fixed order."""
    from oracle import derivative_cases, layer_cases, loss_cases, update_cases

    result: dict[str, dict[str, list[GradientCase]]] = {}
    for module in (derivative_cases, layer_cases, loss_cases, update_cases):
        for family, operators in module.FAMILIES.items():
            for operator, maker in operators.items():
                cases = list(maker(operator))
                labels = [case.label for case in cases]
                repeated = {label for label in labels if labels.count(label) > 1}
                if repeated:
                    raise AssertionError(f"{operator}: repeated labels {sorted(repeated)}")
                result.setdefault(family, {})[operator] = cases
    return result
