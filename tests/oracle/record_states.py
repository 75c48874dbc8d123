"""Let real MXNet 1.9.1 write states of optimizers, and weights after, into tests/data/states.

Run by hand, with the Python of an environment that holds `mxnet==1.9.1` and `numpy==1.23.5`:

    MXNET_MKLDNN_ENABLED=0 MXNET_SUBGRAPH_BACKEND=NONE python tests/oracle/record_states.py
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
STATES = TESTS / "data" / "states"
# Label: the optimizer, its arguments, the dtype of the weights.
METHODS: dict[str, tuple[str, dict[str, Any], str]] = {
    "sgd": ("sgd", {}, "float32"),
    "momentum": ("sgd", {"momentum": 0.9}, "float32"),
    "adam": ("adam", {}, "float32"),
    "copies": ("sgd", {"momentum": 0.9, "multi_precision": True}, "float16"),
    "copies-adam": ("adam", {"multi_precision": True}, "float16"),
}


def numbers(seed: int) -> Any:
    """The same numbers under every version of numpy."""
    return np.round(np.sin(np.arange(6).reshape(2, 3) * 1.7 + seed * 2.3) * 1.5, 3)


def updater(mx: ModuleType, label: str) -> Any:
    """A new updater."""
    name, given, _ = METHODS[label]
    return mx.optimizer.get_updater(mx.optimizer.create(name, learning_rate=0.1, **given))


def steps(mx: ModuleType, label: str, one: Any, start: list[Any], seeds: range) -> list[Any]:
    """Two weights after some updates."""
    dtype = METHODS[label][2]
    weights = [mx.nd.array(weight, dtype=dtype) for weight in start]
    for seed in seeds:
        for index, weight in enumerate(weights):
            one(index, mx.nd.array(numbers(10 * seed + index), dtype=dtype), weight)
    return [weight.asnumpy() for weight in weights]


def main() -> None:
    """Write the states after two updates, and the weights then and after two more."""
    import mxnet as mx

    if mx.__version__ != "1.9.1":
        raise SystemExit(f"the files must come from MXNet 1.9.1, not {mx.__version__}")
    STATES.mkdir(parents=True, exist_ok=True)
    for label in METHODS:
        first = updater(mx, label)
        stopped = steps(mx, label, first, [numbers(0), numbers(1)], range(1, 3))
        content = first.get_states()
        (STATES / f"{label}.states").write_bytes(content)
        again = updater(mx, label)
        again.set_states(content)
        found = steps(mx, label, again, stopped, range(3, 5))
        np.savez(STATES / f"{label}.npz", *stopped, *found)
    kept = updater(mx, "momentum")
    steps(mx, "momentum", kept, [numbers(0), numbers(1)], range(1, 3))
    (STATES / "with-an-optimizer.states").write_bytes(kept.get_states(dump_optimizer=True))
    (STATES / "protocol-3.states").write_bytes(pickle.dumps(kept.states, protocol=3))
    (STATES / "protocol-5.states").write_bytes(pickle.dumps(kept.states, protocol=5))
    print(f"{len(list(STATES.iterdir()))} files in {STATES}", file=sys.stderr)


if __name__ == "__main__":
    main()
