"""Plans and generated Triton text of named graphs: kept as golden text, independent of names.

`ACCEPT=1 pytest tests/test_triton_source.py` writes the golden text anew, for review.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

import tritonsym as mx
from named_graphs import GRAPHS, plan_of
from tritonsym.expressions.expr import ELEMENTWISE, constant
from tritonsym.foundation.dtype import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, DType
from tritonsym.kernels import triton_source
from tritonsym.kernels.triton_writer import TEXT, literal
from tritonsym.planning.plan import Plan
from tritonsym.products.gpus import H100

GOLDEN = Path(__file__).parent / "data" / "golden"
# How many kernels each graph takes: what fuses must stay fused.
KERNELS = {
    "tutorial": 1,
    "chain": 1,
    "softmax-short": 1,
    "softmax-long": 1,
    "softmax-tiny": 1,
    "column-sums": 1,
    "scaled-bias": 1,
    "layer-norm": 1,
    "dense": 1,
    "wide-dense": 1,
    "narrow-dense": 1,
    "attention": 3,
    "long-attention": 1,
    "transformer-block": 11,
    "transposed-sum": 1,
    "transposed-large": 1,
    "turned-keys": 1,
    "dropout": 1,
    "integers": 1,
    "side-by-side": 1,
}


def sources(plan: Plan) -> list[str]:
    found = (triton_source.write(kernel, plan.layouts, H100) for kernel in plan.kernels)
    return ["a library call\n" if source is None else source.text for source in found]


@pytest.mark.parametrize("name", GRAPHS)
def test_plan_and_text_are_the_golden_ones(name: str) -> None:
    plan = plan_of(GRAPHS[name])
    rule = "\n" + "-" * 80 + "\n"
    text = f"{plan}\n{rule}" + rule.join(sources(plan))
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("ACCEPT") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text, "run with ACCEPT=1 and review the difference"


@pytest.mark.parametrize("name", KERNELS)
def test_what_fuses_is_fused(name: str) -> None:
    assert len(plan_of(GRAPHS[name]).kernels) == KERNELS[name]


@pytest.mark.parametrize("name", GRAPHS)
def test_names_do_not_change_the_text(name: str) -> None:
    plain = sources(plan_of(GRAPHS[name]))
    assert sources(plan_of(GRAPHS[name], 'x"); import os #\n')) == plain


@pytest.mark.parametrize("name", GRAPHS)
def test_the_text_reaches_for_nothing_but_triton(name: str) -> None:
    allowed = {"triton", "tl", "math", "random", "online", "float", "range", "True", "False"}
    for text in sources(plan_of(GRAPHS[name])):
        if text == "a library call\n":
            continue
        tree = ast.parse(text)
        made = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and is_stored(n)}
        made |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
        made |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not is_stored(n)}
        assert used <= made | allowed
        assert {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)} == {
            "tritonsym.kernels"
        }


def is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def test_every_elementwise_primitive_has_text() -> None:
    assert set(TEXT) == set(ELEMENTWISE)


@pytest.mark.parametrize(
    ("value", "dtype", "hidden"),
    [
        (2.0**-149, FLOAT32, True),
        (-(2.0**-126) + 2.0**-149, FLOAT32, True),
        (1e-40, BFLOAT16, True),
        (2.0**-126, FLOAT32, False),
        (0.0, FLOAT32, False),
        (6e-8, FLOAT16, False),  # computed in float32, where it is a normal number
        (1e-310, FLOAT64, False),  # no function of float64 asks whether subnormals are zero
    ],
)
def test_what_is_subnormal_in_float32_is_hidden_from_the_compiler(
    value: float, dtype: DType, hidden: bool
) -> None:
    assert ("math.subnormal(" in literal(constant(value, dtype))) == hidden


def test_offsets_beyond_31_bits_are_wide() -> None:
    a = mx.sym.Variable("a")
    graph = GRAPHS["tutorial"]
    wide = plan_of(type(graph)(lambda: a + 1, {"a": (2**16, 2**15)}))
    (text,) = sources(wide)
    assert "tl.program_id(0).to(tl.int64)" in text
    (narrow,) = sources(plan_of(graph))
    assert "int64" not in narrow
