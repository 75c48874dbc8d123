"""Record what real MXNet 1.9.1 answers to every scenario, into tests/data/api.json.

Run by hand, with the Python of an environment that holds `mxnet==1.9.1` and `numpy==1.23.5`:

    MXNET_MKLDNN_ENABLED=0 MXNET_SUBGRAPH_BACKEND=NONE python tests/oracle/record_api.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
sys.path.remove(str(TESTS / "oracle"))

import mxnet  # noqa: E402

from oracle.api_scenarios import SCENARIOS  # noqa: E402


def main() -> None:
    """Ask MXNet every question; write the answers sorted by name, one fact to a line."""
    if mxnet.__version__ != "1.9.1":
        raise SystemExit(f"the answers must come from MXNet 1.9.1, not {mxnet.__version__}")
    chosen = sys.argv[1:]
    path = TESTS / "data" / "api.json"
    answers = json.loads(path.read_text(encoding="utf-8")) if chosen else {}
    for name, one in SCENARIOS.items():
        if chosen and not any(name.startswith(prefix) for prefix in chosen):
            continue
        try:
            answers[name] = one.answer(mxnet)
        except Exception as error:
            error.add_note(f"in scenario {name}")
            raise
    path.write_text(readable(answers) + "\n", encoding="utf-8")
    print(f"{len(answers)} answers in {path}")


def readable(value: object, indent: int = 0, before: int = 0) -> str:
    """JSON text in which whatever fits in a line is on one line."""
    line = json.dumps(value, ensure_ascii=False, sort_keys=True)
    if len(line) + indent + before <= 98 or not isinstance(value, dict | list) or not value:
        return line
    inner = " " * (indent + 1)
    if isinstance(value, dict):
        keys = {json.dumps(key, ensure_ascii=False): value[key] for key in sorted(value)}
        parts = [f"{key}: {readable(item, indent + 1, len(key) + 2)}" for key, item in keys.items()]
        return "{\n" + ",\n".join(inner + part for part in parts) + "\n" + " " * indent + "}"
    parts = [readable(item, indent + 1) for item in value]
    return "[\n" + ",\n".join(inner + part for part in parts) + "\n" + " " * indent + "]"


if __name__ == "__main__":
    main()
