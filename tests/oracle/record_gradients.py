"""Record what real MXNet 1.9.1 derives: `MXNET_PYTHON tests/oracle/record_gradients.py`.

Outputs, gradients and states of operators and layers, and the steps of optimizers. Arguments
restrict the run to some families; a second run must leave every byte as it was.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from oracle.gradient_cases import GradientCase, families, recorded_forward
from oracle.gradient_storage import BEFORE, Reaction, RecordedGradient, save
from oracle.mxnet_process import find, in_children, mx, tidy
from oracle.operator_cases import Array, uniform

# What a case gets back: the gradients of the outputs that were drawn for it, and the reaction.
Found = tuple[tuple[Array, ...] | None, Reaction]
LOST: Found = (None, Reaction("crash"))


def heads_for(case: GradientCase, outputs: Sequence[mx.nd.NDArray]) -> tuple[Array, ...] | None:
    if case.heads == "none":
        return None
    drawn = [uniform(y.shape, np.dtype(y.dtype).name, 50 + i) for i, y in enumerate(outputs)]
    return tuple(np.zeros_like(head) if case.heads == "zero" else head for head in drawn)


def arrays(values: Sequence[Array]) -> list[mx.nd.NDArray]:
    return [mx.nd.array(value, dtype=value.dtype) for value in values]


def changes(before: Sequence[Array], after: Sequence[mx.nd.NDArray]) -> dict[int, Array]:
    pairs = enumerate(zip(before, (array.asnumpy() for array in after), strict=True))
    return {i: new for i, (old, new) in pairs if old.tobytes() != new.tobytes()}


def differentiate(operator: str, case: GradientCase) -> Found:
    stage, heads = "bind", None
    try:
        count = len(case.inputs) + len(case.states)
        variables = [mx.sym.Variable(f"input{index}") for index in range(count)]
        with mx.name.NameManager():
            symbol = find(operator)(*variables, **case.attributes)
        inputs, states = arrays(case.inputs), arrays(case.states)
        requests = case.all_requests()
        gradients = [mx.nd.full(x.shape, BEFORE, dtype=x.dtype) for x in inputs]
        # A random LeakyReLU shows its mask as a second output, which is arbitrary in inference.
        executor = (symbol[0] if operator == "LeakyReLU" else symbol).bind(
            mx.cpu(), inputs, args_grad=gradients, grad_req=list(requests), aux_states=states
        )
        stage = "forward"
        shown: dict[bool, tuple[Array, ...]] = {False: (), True: ()}
        for training in (False, True) if case.training else (False,):
            outputs = executor.forward(is_train=training)
            if not recorded_forward(operator):
                shown[training] = tuple(output.asnumpy() for output in outputs)
        stage = "backward"
        heads = heads_for(case, outputs)
        executor.backward() if heads is None else executor.backward(arrays(heads))
        found = [
            None if r == "null" else g.asnumpy() for g, r in zip(gradients, requests, strict=True)
        ]
        changed = changes(case.inputs, inputs)
    except Exception as error:
        described = {"error": type(error).__name__, "message": tidy(str(error)), "stage": stage}
        return heads, Reaction("error", **described)
    after = tuple(state.asnumpy() for state in states)
    return heads, Reaction("answer", shown[False], shown[True], tuple(found), after, changed)


def step(operator: str, case: GradientCase) -> Found:
    """An operator on arrays that changes some of them."""
    given = arrays(case.inputs)
    try:
        result = getattr(mx.nd, operator)(*given, **case.attributes)
        outputs = tuple(y.asnumpy() for y in (result if isinstance(result, list) else [result]))
    except Exception as error:
        described = {"error": type(error).__name__, "message": tidy(str(error)), "stage": "forward"}
        return None, Reaction("error", **described)
    return None, Reaction("answer", outputs, changed=changes(case.inputs, given))


def record(family: str, operators: dict[str, list[GradientCase]]) -> None:
    recorded: list[RecordedGradient] = []
    ask = step if family == "updates" else differentiate
    for operator, cases in operators.items():
        found: list[Found] = in_children(partial(ask, operator), cases, LOST)
        for case, (heads, reaction) in zip(cases, found, strict=True):
            recorded.append(
                RecordedGradient(
                    operator,
                    case.label,
                    case.inputs,
                    case.attributes,
                    case.states,
                    case.all_requests(),
                    heads,
                    case.training,
                    reaction,
                )
            )
        kinds = [reaction.kind for _, reaction in found]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        print(f"{operator}: {counts}", flush=True)
    save(family, recorded)


def main(chosen: Sequence[str]) -> None:
    warnings.simplefilter("ignore")
    for family, operators in families().items():
        if not chosen or family in chosen:
            record(family, operators)


if __name__ == "__main__":
    main(sys.argv[1:])
