"""How the package is put together: who may import whom, tables that agree, operators complete."""

from __future__ import annotations

import ast
import pydoc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tritonsym as mx
from tritonsym import expr, reference
from tritonsym.op import Op, operator, registered

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tritonsym"
# `tritonsym/ops` is a link to this folder.
OPERATORS = ROOT / "ops"


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What every module above it may import: texts, errors, shapes, data types.
FOUNDATION = words("text errors shape dtype")
OPERATOR = "exactness expr schema library op reference special ops.common"

# Each module, and what else of this package it may import. What stands lower stands first.
LAYERS: dict[str, frozenset[str]] = {
    "text": words(""),
    "errors": words(""),
    "shape": words(""),
    "dtype": words(""),
    # leaves
    "collector": words(""),
    "progress": words(""),
    "memory": words(""),
    "philox": words(""),
    "attribute": words(""),
    "name": words(""),
    "context": words(""),
    "gpus": words("context"),
    "files": words(""),
    "switches": words(""),
    "allocation": words(""),
    "exactness": words(""),
    "module_cache": words("files"),
    "triton_math": words(""),
    **dict.fromkeys(("triton_random", "triton_online"), words("triton_math")),
    # expressions and what they mean
    "expr": words(""),
    "schema": words(""),
    "reference": words("exactness expr philox"),
    "special": words("expr"),
    "grad": words("expr special"),
    # operators
    "library": words("expr reference"),
    "op": words("expr library schema reference"),
    "ops.common": words("expr schema op reference"),
    "ops.windows": words("expr op"),
    "ops.activation": words(OPERATOR),
    "ops.convolution": words(f"{OPERATOR} ops.windows"),
    "ops.creation": words(OPERATOR),
    "ops.broadcasting": words(OPERATOR),
    "ops.custom": words(OPERATOR),
    "ops.elementwise": words(OPERATOR),
    "ops.image": words(f"{OPERATOR} ops.convolution ops.windows"),
    "ops.indexing": words(OPERATOR),
    "ops.matrix": words(OPERATOR),
    "ops.movement": words(OPERATOR),
    "ops.recurrent": words(OPERATOR),
    "ops.reduction": words(OPERATOR),
    "ops.sequence": words(OPERATOR),
    "ops.normalization": words(OPERATOR),
    "ops.ordering": words(OPERATOR),
    "ops.output": words(OPERATOR),
    "ops.pooling": words(f"{OPERATOR} ops.windows"),
    "ops.rearrangement": words(OPERATOR),
    "ops.optimizer": words(OPERATOR),
    "ops.optimizer_layers": words(f"{OPERATOR} ops.optimizer"),
    "ops.optimizer_mixed": words(f"{OPERATOR} ops.optimizer ops.optimizer_layers"),
    "ops.nn": words(f"{OPERATOR} ops.elementwise ops.indexing"),
    "ops": words(
        "ops.activation ops.broadcasting ops.convolution ops.creation ops.custom "
        "ops.elementwise ops.image ops.indexing ops.matrix ops.movement ops.nn ops.normalization "
        "ops.optimizer ops.optimizer_layers ops.optimizer_mixed ops.ordering ops.output "
        "ops.pooling ops.rearrangement ops.recurrent ops.reduction ops.sequence"
    ),
    # graphs of nodes
    "graph": words("attribute op"),
    "infer": words("collector graph op schema"),
    "backward": words("attribute expr grad graph op"),
    "frontend": words("context op"),
    # from a graph to a plan, each step from those before
    "trace": words("expr graph infer"),
    "simplify": words("expr reference trace"),
    "layout": words("expr"),
    "torch_calls": words("expr library reference simplify trace"),
    "torch_patterns": words("expr library reference simplify trace"),
    "torch_norms": words("expr library reference simplify torch_patterns"),
    "torch_layers": words("expr library reference simplify torch_norms torch_patterns trace"),
    "torch_updates": words("expr layout reference simplify torch_calls"),
    "cones": words("expr trace"),
    "nested": words("expr"),
    "regroup": words("cones expr layout simplify trace"),
    "reciprocals": words("expr simplify trace"),
    "attention": words("expr gpus layout library reference simplify torch_patterns trace"),
    "tensor_descriptor": words("expr layout"),
    "matmul_tiles": words("gpus tensor_descriptor"),
    "library_products": words("expr gpus layout matmul_tiles"),
    "products": words(
        "expr gpus layout library_products matmul_tiles simplify tensor_descriptor trace"
    ),
    "schedule": words("expr layout"),
    "recompute": words("cones expr schedule trace"),
    "split": words("cones expr layout nested regroup simplify trace"),
    "refine": words("cones expr layout schedule"),
    "tiling": words("expr layout reference schedule"),
    "prologue": words("cones expr gpus layout matmul_tiles products schedule"),
    "combine": words("expr layout schedule"),
    "lifetimes": words("expr layout memory products schedule tiling"),
    "plan": words(
        "attention combine expr gpus layout lifetimes memory products prologue reciprocals "
        "refine regroup schedule split tiling trace"
    ),
    "plan_text": words("attention expr lifetimes schedule plan"),
    "plan_html": words("memory plan plan_text"),
    # from a plan to calls, or to the text of kernels
    "cuda_graph": words("reference"),
    "program": words("cuda_graph expr layout philox plan reference"),
    "rounding": words("expr reference"),
    "instrument": words("plan plan_text program reference rounding switches"),
    "cpu": words(
        "expr instrument philox plan program reference switches tiling torch_norms torch_updates"
    ),
    "registers": words("expr"),
    "triton_writer": words("expr layout philox tensor_descriptor"),
    "triton_walks": words("expr layout registers triton_writer"),
    "triton_pointwise": words("expr layout registers schedule triton_walks triton_writer"),
    "row_pairs": words("expr"),
    "triton_rows": words("expr layout registers row_pairs schedule triton_writer"),
    "triton_matmul": words(
        "expr layout matmul_tiles products schedule tensor_descriptor triton_writer"
    ),
    "triton_combined": words("expr layout schedule triton_writer"),
    "triton_source": words(
        "expr gpus layout matmul_tiles schedule triton_combined triton_matmul triton_pointwise "
        "triton_rows triton_writer"
    ),
    "kernel_launch": words("progress reference triton_writer"),
    "tuning": words("cuda_graph files module_cache reference triton_writer"),
    "triton_runtime": words(
        "context cuda_graph gpus instrument kernel_launch module_cache philox plan program "
        "reference schedule switches tensor_descriptor triton_source triton_writer tuning"
    ),
    "ahead_of_time": words(
        "gpus module_cache plan schedule triton_runtime triton_source triton_writer"
    ),
    "compiler": words(
        "allocation context cpu gpus graph infer op philox plan plan_text program reference "
        "recompute simplify switches torch_calls torch_layers trace"
    ),
    "training_pass": words("backward compiler context graph op program reference"),
    "eager": words("context expr gpus philox plan reference switches trace"),
    # what a user holds
    "ndarray.params_file": words("allocation context files"),
    "ndarray.values": words("expr frontend reference"),
    "ndarray.indexing": words("reference ndarray.values"),
    "ndarray.core": words(
        "allocation attribute context eager expr frontend op ops.movement philox reference "
        "ndarray.indexing ndarray.params_file ndarray.values"
    ),
    "ndarray.create": words(
        "frontend allocation context reference ndarray.core ndarray.params_file ndarray.values"
    ),
    "ndarray": words("frontend op ops ndarray.core ndarray.create"),
    "random": words("context philox ndarray.core"),
    "operator": words("context ndarray.core ops.custom reference"),
    "symbol.json_file": words("attribute backward collector files graph op"),
    "symbol.inference": words("graph infer op"),
    "symbol.core": words(
        "attribute backward collector context files frontend graph name op symbol.inference "
        "symbol.json_file"
    ),
    "symbol.create": words("attribute frontend graph name symbol.core symbol.json_file"),
    "symbol": words("frontend op ops symbol.core symbol.create"),
    "node_by_node": words("compiler context eager graph philox reference trace"),
    "head_gradients": words("backward ndarray.core reference"),
    "gradient_arrays": words("ndarray.core ndarray.create"),
    "executor": words(
        "collector compiler context graph head_gradients infer ndarray.core ndarray.create "
        "ndarray.values node_by_node op plan program reference training_pass"
    ),
    "debug": words("backward executor graph node_by_node"),
    "bind": words(
        "context executor gradient_arrays graph infer ndarray.core ndarray.create ndarray.values op"
    ),
    # what trains a symbol; a plan knows nothing of it
    "training.registry": words(""),
    "training.lr_scheduler": words(""),
    "training.rnn_weights": words("ndarray.core"),
    "training.initializer": words(
        "random ndarray.core ndarray.create training.registry training.rnn_weights"
    ),
    "training.metric.base": words("ndarray.core training.registry"),
    "training.metric.classification": words("training.metric.base"),
    "training.metric.regression": words("training.metric.base"),
    "training.metric": words(
        "training.metric.base training.metric.classification training.metric.regression"
    ),
    "training.io.base": words("ndarray.core"),
    "training.io.arrays": words("ndarray.core ndarray.create training.io.base"),
    "training.io.from_files": words("ndarray.core ndarray.create training.io.base"),
    "training.io": words("training.io.arrays training.io.base training.io.from_files"),
    "training.optimizer.base": words(
        "eager expr ndarray.core ndarray.create ndarray.values ops.optimizer philox reference "
        "trace training.lr_scheduler training.registry"
    ),
    "training.optimizer.rates": words("expr reference training.optimizer.base"),
    "training.optimizer.compiled": words(
        "collector compiler ndarray.core training.optimizer.base training.optimizer.rates"
    ),
    "training.optimizer.methods": words("expr ndarray.core ops.optimizer training.optimizer.base"),
    "training.optimizer.large_batches": words(
        "expr ndarray.core ops.common ops.optimizer ops.optimizer_layers training.optimizer.base"
    ),
    "training.optimizer.variants": words(
        "expr ndarray.core ndarray.create ops.common ops.creation ops.optimizer "
        "training.optimizer.base training.optimizer.methods"
    ),
    "training.optimizer.foreign_states": words("context ndarray.core ndarray.params_file"),
    "training.optimizer.updater": words(
        "context ndarray.core ndarray.params_file training.lr_scheduler training.optimizer.base "
        "training.optimizer.compiled training.optimizer.foreign_states"
    ),
    "training.optimizer": words(
        "training.optimizer.base training.optimizer.large_batches training.optimizer.methods "
        "training.optimizer.updater training.optimizer.variants"
    ),
    "training.step": words(
        "backward collector compiler executor expr grad graph reference trace "
        "training.optimizer.base training.optimizer.compiled training.optimizer.rates "
        "training.optimizer.updater"
    ),
    "training.upload": words("context ndarray.core ndarray.create reference training.io.base"),
    "training.model": words("ndarray.core ndarray.create symbol.create"),
    "training.callback": words("training.model"),
    "training.kvstore": words(
        "files ndarray.core ndarray.values training.optimizer.base training.optimizer.updater"
    ),
    "training.monitor": words("executor ndarray.core"),
    "training.visualization": words("graph"),
    "training.module.base": words(
        "ndarray.core ndarray.create training.initializer training.io.base training.metric.base "
        "training.model"
    ),
    "training.module.parameters": words(
        "bind context executor gradient_arrays ndarray.core ndarray.create reference "
        "training.io.base"
    ),
    "training.module.module": words(
        "bind context executor files gradient_arrays ndarray.core ndarray.create ndarray.values "
        "training.initializer training.io.base training.kvstore training.metric.base "
        "training.model "
        "training.module.base training.module.parameters training.optimizer.base "
        "training.optimizer.updater training.step training.upload"
    ),
    "training.module.bucketing": words(
        "context ndarray.core training.io.base training.metric.base training.model "
        "training.module.base training.module.module"
    ),
    "training.module": words(
        "training.module.base training.module.bucketing training.module.module"
    ),
    "training.rnn.base": words("ndarray.core ndarray.create symbol symbol.core"),
    "training.rnn.cells": words(
        "symbol symbol.core training.initializer training.rnn.base training.rnn_weights"
    ),
    "training.rnn.around": words("ndarray.core symbol symbol.core training.rnn.base"),
    "training.rnn.fused": words(
        "ndarray.core ndarray.create symbol training.initializer training.rnn_weights "
        "training.rnn.around training.rnn.base training.rnn.cells"
    ),
    "training.rnn.checkpoint": words("ndarray.core symbol.core training.model training.rnn.base"),
    "training.rnn.sentences": words("ndarray.create training.io.base"),
    "training.rnn": words(
        "training.rnn.around training.rnn.base training.rnn.cells training.rnn.checkpoint "
        "training.rnn.fused training.rnn.sentences"
    ),
    "training": words(
        "training.callback training.initializer training.io training.kvstore "
        "training.lr_scheduler training.metric training.model training.module training.monitor "
        "training.optimizer training.rnn training.visualization"
    ),
    # programs that use the package, and its front
    "plan_command": words("expr gpus graph infer op plan simplify switches symbol trace"),
    "test_utils": words("bind context executor ndarray.core ndarray.create symbol.core"),
    "": words(
        "attribute context debug executor name ndarray operator ops random switches symbol "
        "test_utils training "
        "training.callback training.initializer training.io training.kvstore "
        "training.lr_scheduler training.metric training.model training.module training.monitor "
        "training.optimizer training.rnn training.visualization"
    ),
    "tour": words("context ndarray symbol") | {""},
    "examples": words(""),
    "examples.digits": words("") | {""},
    "examples.characters": words("") | {""},
    "__main__": words("plan_command tour"),
}

# Imports within a function, which run when it is called: the ways up, and the ways to Triton.
LATE = {
    *(("symbol.core", function, "bind") for function in ("bind", "simple_bind", "eval")),
    ("plan", "__str__", "plan_text"),
    ("plan", "to_html", "plan_html"),
    ("eager", "compute", "triton_runtime"),
    ("compiler", "_program", "triton_runtime"),
    ("plan_command", "main", "ahead_of_time"),
    ("plan_command", "main", "triton_source"),
}

# What may be imported of other people's. The rest describes graphs, plans and kernels as data.
OUTSIDE: dict[str, frozenset[str]] = {
    **dict.fromkeys(("allocation", "context", "cpu", "expr", "gpus", "program"), words("torch")),
    **dict.fromkeys(
        ("cuda_graph", "debug", "instrument", "library", "torch_calls"), words("torch")
    ),
    **dict.fromkeys(("attention", "exactness", "rounding"), words("torch")),
    **dict.fromkeys(("torch_layers", "torch_norms", "torch_updates"), words("torch")),
    "kernel_launch": words("torch triton"),
    **dict.fromkeys(("dtype", "executor", "frontend", "philox", "reference"), words("torch numpy")),
    **dict.fromkeys(("ops.elementwise", "ops.nn"), words("torch numpy")),
    **dict.fromkeys(("ops.activation", "ops.convolution", "ops.custom"), words("torch")),
    **dict.fromkeys(("ops.output", "ops.pooling", "ops.recurrent"), words("torch")),
    **dict.fromkeys(
        ("ndarray.core", "ndarray.create", "ndarray.indexing", "ndarray.params_file"),
        words("torch numpy"),
    ),
    "ndarray.values": words("torch numpy"),
    **dict.fromkeys(("random", "symbol.core", "symbol.create", "symbol.inference"), words("numpy")),
    **dict.fromkeys(("memory", "test_utils", "tour"), words("numpy")),
    **dict.fromkeys(
        (
            *("training.initializer", "training.io.arrays", "training.io.base"),
            *("training.io.from_files", "training.metric.base", "training.metric.classification"),
            "training.metric.regression",
        ),
        words("numpy"),
    ),
    "training.callback": words("tqdm"),
    "examples.digits": words("numpy sklearn matplotlib"),
    "examples.characters": words("numpy"),
    "training.rnn.sentences": words("numpy"),
    "training.module.base": words("numpy"),
    "training.module.parameters": words("numpy"),
    "training.visualization": words("graphviz"),
    **dict.fromkeys(("training.optimizer.base", "training.optimizer.rates"), words("torch")),
    "training.upload": words("torch"),
    "training.optimizer.updater": words("torch numpy"),
    "triton_math": words("triton torch numpy"),
    **dict.fromkeys(("triton_random", "triton_online"), words("triton")),
    "ahead_of_time": words("triton"),
    "triton_runtime": words("torch triton"),
    "tuning": words("torch"),
}

# Files with one long subject: a table, or a class with a method for everything that MXNet's has.
LINES = 500
LONG_FILES = {
    "tritonsym/expr.py": 670,
    "tritonsym/reference.py": 560,
    "tritonsym/triton_math.py": 520,
    "tritonsym/symbol/core.py": 650,
    "tritonsym/ndarray/core.py": 650,
    "tritonsym/training/module/module.py": 550,
}


# ---- who imports whom --------------------------------------------------------------------------


def source_files() -> dict[str, Path]:
    """Every module of the package by its name within it."""
    files = {}
    for folder, prefix in ((PACKAGE, ()), (OPERATORS, ("ops",))):
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            if prefix or parts[0] != "ops":
                full = (*prefix, *parts)
                files[".".join(full[:-1] if full[-1] == "__init__" else full)] = path
    return files


FILES = source_files()


def imports(module: str) -> Iterator[tuple[str, str]]:
    """The function around each import, or "", and the full name of what is imported.

    What is imported for annotations alone does not count: it is not there at run time.
    """
    path = FILES[module]
    parts = tuple(part for part in ("tritonsym", *module.split(".")) if part)
    package = parts if path.name == "__init__.py" else parts[:-1]
    stack: list[tuple[ast.AST, str]] = [(ast.parse(path.read_text(encoding="utf-8")), "")]
    while stack:
        node, function = stack.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = node.name
        if isinstance(node, ast.Import):
            yield from ((function, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join((*base, *([node.module] if node.module else [])))
            for alias in node.names:
                full = f"{origin}.{alias.name}"
                inside = full.removeprefix("tritonsym.")
                yield function, full if origin and inside in FILES else origin
        stack.extend((child, function) for child in ast.iter_child_nodes(node))


def test_every_module_stands_in_the_table() -> None:
    assert set(FILES) == set(LAYERS)


@pytest.mark.parametrize("module", LAYERS)
def test_a_module_imports_only_what_stands_below_it(module: str) -> None:
    for function, name in imports(module):
        if name.split(".")[0] == "tritonsym":
            inside = name.removeprefix("tritonsym").removeprefix(".")
            allowed = inside in LAYERS[module] | FOUNDATION
            late = (module, function, inside) in LATE
            assert allowed or late, (
                f"{module or 'tritonsym'} imports {inside} ({function or 'top'})"
            )


def test_no_module_stands_above_itself() -> None:
    below: set[str] = set()
    for module, allowed in LAYERS.items():
        assert allowed <= below, f"{module} may import what stands above it"
        below.add(module)


def test_the_foundation_stands_on_itself() -> None:
    order = ["text", "errors", "shape", "dtype"]
    assert set(order) == FOUNDATION
    for position, module in enumerate(order):
        for _, name in imports(module):
            if name.startswith("tritonsym."):
                assert name.removeprefix("tritonsym.") in order[:position]


def test_late_imports_are_those_of_the_table() -> None:
    found = {
        (module, function, name.removeprefix("tritonsym."))
        for module in FILES
        for function, name in imports(module)
        if function and name.startswith("tritonsym.")
    }
    assert found == LATE


@pytest.mark.parametrize("module", LAYERS)
def test_what_comes_from_outside_is_what_the_table_says(module: str) -> None:
    outside = {
        name.split(".")[0] for _, name in imports(module) if name.split(".")[0] != "tritonsym"
    }
    outside -= set(sys.stdlib_module_names)
    assert outside <= OUTSIDE.get(module, frozenset())


# What turns text or bytes into code or objects. Files and names from outside never get there.
DANGEROUS = words("eval exec compile __import__ importlib pickle marshal shelve")
# What loads kernels, whose text this package has written itself.
LOADS_KERNELS = {"module_cache": words("compile exec importlib")}


@pytest.mark.parametrize("module", FILES)
def test_nothing_from_outside_becomes_code(module: str) -> None:
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    used |= {name.split(".")[0] for _, name in imports(module)}
    used -= LOADS_KERNELS.get(module, frozenset())
    assert not used & (DANGEROUS | {"torch.load", "torch.jit.load", "np.load", "ast.literal_eval"})


@pytest.mark.parametrize("module", FILES)
def test_a_file_has_one_subject(module: str) -> None:
    path = FILES[module]
    name = path.relative_to(ROOT).as_posix()
    count = len(path.read_text(encoding="utf-8").splitlines())
    assert count <= LONG_FILES.get(name, LINES), f"{name} has {count} lines: split it"


def test_only_files_that_exist_may_be_long() -> None:
    for name in LONG_FILES:
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) > 0.8 * LINES


# ---- tables that agree -------------------------------------------------------------------------


def test_every_primitive_means_something_to_torch() -> None:
    """Bound arrays, scalars and the draw of a run are not calls with `out`."""
    assert set(expr.RULES) - expr.SOURCES == set(reference.TORCH)


def test_kinds_of_primitives_are_primitives() -> None:
    kinds = (expr.ELEMENTWISE, expr.REDUCTIONS, expr.VIEWS, expr.SOURCES, expr.GENERATED)
    for kind in kinds:
        assert kind <= set(expr.RULES)
    assert sum(map(len, kinds)) == len(frozenset().union(*kinds)), "a primitive is of two kinds"


# ---- a CPU needs no triton -----------------------------------------------------------------------

BLOCK_TRITON = """
import importlib.abc, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "triton":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
"""

FORWARD = """
import tritonsym as mx
x, weight = mx.sym.Variable("x"), mx.sym.Variable("weight")
y = mx.sym.softmax(mx.sym.FullyConnected(x, weight, num_hidden=2, no_bias=True)) * 2 + 1
executor = y.bind(mx.cpu(), {"x": mx.nd.ones((3, 4)), "weight": mx.nd.ones((2, 4))})
assert executor.forward()[0].asnumpy().tolist() == [[2.0, 2.0]] * 3
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_cpu_runs_where_triton_is_missing() -> None:
    finished = run(BLOCK_TRITON + FORWARD)
    assert finished.returncode == 0, finished.stderr


def test_a_cpu_does_not_load_triton() -> None:
    finished = run(
        FORWARD + "import sys\nassert not [m for m in sys.modules if m.split('.')[0] == 'triton']"
    )
    assert finished.returncode == 0, finished.stderr


# ---- operators ---------------------------------------------------------------------------------

OPS = sorted({op.name: op for op in registered().values()}.items())
each_operator = pytest.mark.parametrize("op", [op for _, op in OPS], ids=[name for name, _ in OPS])


def test_a_name_is_registered_once() -> None:
    def relu(data: expr.Expr) -> expr.Expr:
        return data

    before = dict(registered())
    with pytest.raises(ValueError, match="'relu' is registered twice"):
        operator("relu")(relu)
    assert dict(registered()) == before
    with pytest.raises(ValueError, match="'flatten' is registered twice"):
        operator("not_there_yet", aliases=("flatten",))(relu)
    assert "not_there_yet" not in registered()


def test_the_registry_cannot_be_changed_from_outside() -> None:
    with pytest.raises(TypeError):
        registered()["relu"] = registered()["sigmoid"]  # type: ignore[index]


@each_operator
def test_an_operator_says_what_it_does(op: Op) -> None:
    first = op.summary.splitlines()[0] if op.summary else ""
    assert len(first) > 2
    assert op.summary.rstrip().endswith("."), "a summary is made of sentences"


@each_operator
def test_every_name_of_an_operator_leads_to_it(op: Op) -> None:
    for name in (op.name, *op.aliases):
        assert registered()[name] is op
        for namespace in (mx.sym, mx.nd):
            home = namespace._internal if name.startswith("_") else namespace
            assert callable(getattr(home, name))


@each_operator
def test_help_shows_parameters_and_errors(op: Op) -> None:
    name = op.name
    function = getattr(mx.sym._internal if name.startswith("_") else mx.sym, name)
    if name in mx.symbol.create.__dict__:
        return  # written by hand, because it takes numbers as well
    text = pydoc.plain(pydoc.render_doc(function))
    for attribute in op.schema.attributes.values():
        assert f"{attribute.name} : {attribute.type_name}" in text
        assert attribute.required or f"default {attribute.shown_default}" in text
    assert "Errors" in text
    assert "MXNetError" in text


def test_help_of_a_layer() -> None:
    text = pydoc.plain(pydoc.render_doc(mx.sym.FullyConnected))
    for part in (
        "data",
        "weight",
        "bias",
        "(num_hidden, a*b)",
        "All inputs have one dtype",
        "num_hidden : positive int, required",
        "no_bias : bool, optional, default False",
        "flatten : bool, optional, default True",
        "MXNetError",
    ):
        assert part in text


# ---- names -------------------------------------------------------------------------------------

PUBLIC = words(
    "AttrScope Context Executor MXNetError NDArray NameManager NotImplementedForSymbol Prefix "
    "Symbol attribute base callback context cpu cpu_pinned current_context executor gpu init "
    "initializer io kv kvstore lr_scheduler metric mod model module mon monitor name nd ndarray "
    "num_gpus operator optimizer random rnn switched sym symbol visualization viz waitall"
)
# Folders and files that the import system shows as names of the package.
MODULES = {name.split(".")[0] for name in FILES if name}


def test_the_package_has_the_names_of_mxnet_and_no_others() -> None:
    names = {name for name in vars(mx) if not name.startswith("_")}
    assert names >= PUBLIC
    assert names - PUBLIC - MODULES <= {"annotations"}
    assert mx.sym is mx.symbol
    assert mx.nd is mx.ndarray
    assert mx.__version__.split(".")[0].isdigit()


def test_every_public_function_is_documented() -> None:
    for namespace in (mx, mx.sym, mx.nd):
        for name, value in vars(namespace).items():
            if not name.startswith("_") and callable(value) and hasattr(value, "__module__"):
                own = str(value.__module__).startswith("tritonsym")
                assert not own or value.__doc__, f"{namespace.__name__}.{name} has no documentation"
