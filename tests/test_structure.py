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
from tritonsym.expressions import expr, reference
from tritonsym.graph.op import Op, operator, registered

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tritonsym"
# `tritonsym/ops` is a link to this folder.
OPERATORS = ROOT / "ops"


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The folders and their modules in the order of the data's way, lowest first: a module imports only
# what stands before it. "" is the package itself, and `__init__` a folder's own file.
LAYERS = (
    ("foundation", "__init__ text errors shape dtype collector progress files switches allocation"),
    ("foundation", "handover scopes"),
    ("", "base attribute name context"),
    ("expressions", "__init__ philox exactness expr walks operations sums reference special grad"),
    ("expressions", "library layout"),
    ("graph", "__init__ schema op namespaces node infer backward frontend trace"),
    ("ops", "common windows broadcasting convolution creation custom dropout elementwise"),
    ("ops", "activation image indexing matrix movement normalization"),
    ("ops", "optimizer optimizer_layers optimizer_mixed"),
    ("ops", "ordering output pooling rearrangement recurrent_calls recurrent_steps recurrent"),
    ("ops", "reduction sampling sequence softmax __init__"),
    (
        "rewrites",
        "__init__ simplify joined_products torch_calls torch_patterns torch_norms "
        "torch_layers torch_results scaled_kernels for_cpu",
    ),
    ("rewrites", "torch_updates cones channels_last views_first nested regroup reciprocals split"),
    ("products", "__init__ gpus attention tensor_descriptor matmul_tiles library_products"),
    ("products", "products for_gpu"),
    (
        "scheduling",
        "__init__ schedule recompute refine tiling prologue waiting siblings combine scheduled",
    ),
    ("planning", "__init__ memory lifetimes places plan plan_text plan_html"),
    ("kernels", "__init__ triton_math triton_random triton_online registers triton_writer"),
    ("kernels", "triton_walks triton_pointwise row_pairs triton_rows triton_matmul"),
    ("kernels", "triton_combined triton_source"),
    ("runtime", "__init__ module_cache forbidden cuda_graph program rounding instrument cpu"),
    ("runtime", "kernel_launch tuning triton_runtime ahead_of_time"),
    ("compiler", "__init__ compiler training_pass eager node_by_node"),
    ("ndarray", "params_file values indexing core create __init__"),
    ("", "random operator"),
    ("symbol", "json_file inference core create random __init__"),
    ("binding", "__init__ head_gradients gradient_arrays watching executor sharing bind"),
    ("", "debug test_utils"),
    # what trains a symbol; nothing that compiles knows of it
    ("training", "registry lr_scheduler rnn_weights initializer"),
    ("training.metric", "base classification regression __init__"),
    ("training.io", "base arrays from_files __init__"),
    (
        "training.optimizer",
        "changing update base rates compiled methods large_batches variants foreign_states",
    ),
    ("training.optimizer", "states_file updater __init__"),
    ("training", "step upload checkpoint callback kvstore monitor visualization"),
    ("training.module", "checks internals base parameters with_parameters module bucketing"),
    ("training.module", "python sequential __init__"),
    ("training", "feed_forward model"),
    ("training.rnn", "base cells around fused checkpoint sentences __init__"),
    ("training", "__init__"),
    # the package as its users see it, and programs that use it
    ("", "__init__ plan_command stand_in tour __main__"),
    ("examples", "__init__ digits characters"),
)


def full_name(folder: str, module: str) -> str:
    return ".".join(part for part in (folder, module) if part not in ("", "__init__"))


ORDER = [full_name(folder, module) for folder, modules in LAYERS for module in modules.split()]

# Imports within a function, which run when it is called: the ways up, and the ways to Triton.
LATE = {
    *(("symbol.core", function, "binding.bind") for function in ("bind", "simple_bind", "eval")),
    ("planning.plan", "__str__", "planning.plan_text"),
    ("planning.plan", "to_html", "planning.plan_html"),
    ("compiler.eager", "compute", "runtime.triton_runtime"),
    ("compiler.compiler", "_program", "runtime.triton_runtime"),
    ("plan_command", "_print_compiled", "runtime.ahead_of_time"),
    ("plan_command", "_print_sources", "kernels.triton_source"),
}

# Who may import what is other people's. The rest describes graphs, plans and kernels as data.
OUTSIDE = {
    "torch": words(
        "foundation.dtype foundation.allocation foundation.handover "
        "context expressions.philox expressions.exactness expressions.sums "
        "expressions.expr expressions.reference expressions.library graph.frontend "
        "ops.activation ops.convolution ops.custom ops.elementwise ops.matrix ops.output "
        "ops.pooling ops.recurrent_calls ops.softmax "
        "rewrites.torch_calls rewrites.torch_norms rewrites.torch_layers "
        "rewrites.torch_updates products.gpus products.attention kernels.triton_math "
        "runtime.cuda_graph runtime.program runtime.rounding runtime.instrument runtime.cpu "
        "runtime.kernel_launch runtime.tuning runtime.triton_runtime "
        "ndarray.params_file ndarray.values ndarray.indexing ndarray.core ndarray.create "
        "binding.executor debug training.optimizer.update training.optimizer.rates "
        "training.optimizer.states_file training.upload"
    ),
    "triton": words(
        "kernels.triton_math kernels.triton_random kernels.triton_online "
        "runtime.kernel_launch runtime.triton_runtime runtime.ahead_of_time"
    ),
    "numpy": words(
        "base foundation.dtype expressions.philox expressions.reference graph.frontend "
        "ops.elementwise planning.memory kernels.triton_math "
        "ndarray.params_file ndarray.values ndarray.indexing ndarray.core ndarray.create "
        "random symbol.core symbol.create binding.executor test_utils tour "
        "training.initializer training.metric.base training.metric.classification "
        "training.metric.regression training.io.base training.io.arrays training.io.from_files "
        "training.optimizer.states_file training.module.base training.module.parameters "
        "training.feed_forward "
        "training.rnn.sentences examples.digits examples.characters"
    ),
    "tqdm": words("training.callback"),
    "graphviz": words("training.visualization"),
    "matplotlib": words("examples.digits"),
    "sklearn": words("examples.digits"),
}

# Files with one long subject: a table, or a class with a method for everything that MXNet's has.
LINES = 500
LONG_FILES = {
    "tritonsym/expressions/expr.py": 660,
    "tritonsym/expressions/reference.py": 560,
    "tritonsym/kernels/triton_math.py": 520,
    "tritonsym/symbol/core.py": 650,
    "tritonsym/ndarray/core.py": 650,
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


def test_every_module_stands_in_the_order_once() -> None:
    assert sorted(ORDER) == sorted(FILES)


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_what_stands_before_it(module: str) -> None:
    below = set(ORDER[: ORDER.index(module)])
    for function, name in imports(module):
        if name.split(".")[0] == "tritonsym":
            inside = name.removeprefix("tritonsym").removeprefix(".")
            late = (module, function, inside) in LATE
            assert inside in below or late, (
                f"{module or 'tritonsym'} imports {inside} ({function or 'top'})"
            )


@pytest.mark.parametrize("folder", sorted({folder for folder, _ in LAYERS if folder}))
def test_a_folder_says_what_it_is_for(folder: str) -> None:
    assert ast.get_docstring(ast.parse(FILES[folder].read_text(encoding="utf-8")))


def test_late_imports_are_those_of_the_table() -> None:
    found = {
        (module, function, name.removeprefix("tritonsym."))
        for module in FILES
        for function, name in imports(module)
        if function and name.startswith("tritonsym.")
    }
    assert found == LATE


def test_what_comes_from_outside_is_what_the_table_says() -> None:
    found: dict[str, set[str]] = {}
    for module in FILES:
        for _, name in imports(module):
            library = name.split(".")[0]
            if library not in {"tritonsym", *sys.stdlib_module_names}:
                found.setdefault(library, set()).add(module)
    assert found == OUTSIDE


# What turns text or bytes into code or objects. Files and names from outside never get there.
DANGEROUS = words("eval exec compile __import__ importlib runpy pickle marshal shelve")
# What loads kernels, whose text this package has written itself, and what runs the program that a
# command line names, and finds this package's own modules.
LOADS_CODE = {
    "runtime.module_cache": words("compile exec importlib"),
    "stand_in": words("importlib runpy"),
}


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
    used -= LOADS_CODE.get(module, frozenset())
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
    "num_gpus operator optimizer random rnd rnn switched sym symbol visualization viz waitall"
)
# Folders and files that the import system shows as names of the package.
MODULES = {name.split(".")[0] for name in FILES if name}


MODULES_OF_MXNET = """
from tritonsym.base import MXNetError
from tritonsym.callback import Speedometer, do_checkpoint
from tritonsym.context import Context, cpu, gpu
from tritonsym.executor import Executor
from tritonsym.initializer import Uniform, Xavier
from tritonsym.io import DataBatch, DataDesc, DataIter, NDArrayIter
from tritonsym.metric import EvalMetric, check_label_shapes
from tritonsym.model import FeedForward, load_checkpoint, save_checkpoint
from tritonsym.module import BaseModule, BucketingModule, Module, PythonModule, SequentialModule
from tritonsym.monitor import Monitor
from tritonsym.ndarray import NDArray, array
from tritonsym.optimizer import SGD, Optimizer, get_updater
from tritonsym.rnn import BucketSentenceIter, LSTMCell
from tritonsym.symbol import Symbol, Variable
import tritonsym.kvstore as kv
import tritonsym.lr_scheduler as schedulers
import tritonsym.operator
import tritonsym.visualization
from tritonsym.io.io import DataBatch, DataDesc, DataIter, NDArrayIter
from tritonsym.io.utils import _init_data
from tritonsym.kvstore.kvstore import KVStore
from tritonsym.module.base_module import BaseModule, _as_list
from tritonsym.module.bucketing_module import BucketingModule
from tritonsym.module.module import Module
from tritonsym.module.python_module import PythonLossModule, PythonModule
from tritonsym.module.sequential_module import SequentialModule
from tritonsym.ndarray.ndarray import NDArray, array
from tritonsym.ndarray.random import uniform
from tritonsym.optimizer.optimizer import Optimizer, Updater
from tritonsym.rnn.io import BucketSentenceIter, encode_sentences
from tritonsym.rnn.rnn import do_rnn_checkpoint, load_rnn_checkpoint, save_rnn_checkpoint
from tritonsym.rnn.rnn_cell import BaseRNNCell, LSTMCell, RNNParams
from tritonsym.symbol.random import normal
from tritonsym.symbol.symbol import Symbol, Variable
import tritonsym as mx
assert mx.mod.Module is Module and mx.mod.BaseModule is BaseModule
assert mx.module.module.Module is Module and mx.rnn.io.encode_sentences is encode_sentences
assert mx.rnn.rnn.do_rnn_checkpoint is do_rnn_checkpoint
assert _as_list(1) == _as_list([1]) == [1]
((name, found),) = mx.io._init_data(mx.nd.ones((2, 3)), allow_empty=False, default_name="data")
assert name == "data" and found.shape == (2, 3) and mx.io._init_data is _init_data
"""


def test_modules_of_mxnet_are_imported_by_their_names() -> None:
    finished = run(MODULES_OF_MXNET)
    assert finished.returncode == 0, finished.stderr


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
