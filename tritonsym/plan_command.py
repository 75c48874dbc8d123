"""``python -m tritonsym plan FILE``: the plan of a saved symbol, compiled for a GPU if asked to."""

from __future__ import annotations

import argparse

from .expressions.expr import Shape
from .foundation import switches
from .foundation.dtype import BY_NAME, FLOAT32, DType, as_dtype
from .foundation.errors import MXNetError
from .graph.infer import infer_dtypes, infer_shapes, normalised
from .graph.node import toposort, variables
from .graph.op import is_complete
from .graph.trace import trace
from .planning.plan import Plan, make_plan
from .products.gpus import H100, Gpu, gpu_of_target
from .rewrites.simplify import simplify
from .symbol import Symbol, load

_SHAPE_FORM = "NAME=2,3"
_DTYPE_FORM = "NAME=float16"


def plan_for_gpu(
    symbol: Symbol,
    shapes: dict[str, Shape],
    dtypes: dict[str, DType] | None = None,
    gpu: Gpu = H100,
) -> Plan:
    """The plan that a GPU context would run, made without one.

    Args:
        symbol: what to compute.
        shapes: of the arguments from which all others follow.
        dtypes: likewise; float32 where nothing else follows.
        gpu: for which it is.

    Raises:
        MXNetError: something does not follow from what is given, or contradicts it.
    """
    unknown = {*shapes, *(dtypes or {})}.difference(symbol.list_inputs())
    if unknown:
        raise MXNetError(f"{sorted(unknown)} are no variables; they are {symbol.list_inputs()}")
    nodes = toposort(symbol._entries)
    found = infer_shapes(nodes, {n: normalised(s) for n, s in shapes.items()})
    missing = [node.name for node in variables(nodes)[0] if not is_complete(found.of(node))]
    if missing:
        given = (f"; {name} is {shapes[name]}" for name in missing if name in shapes)
        partly = "".join(f"{shape}, and 0 is not known" for shape in given)
        raise MXNetError(f"the shapes of {missing} do not follow; give them too{partly}")
    kinds = infer_dtypes(nodes, dtypes or {})
    known = {n.name: kinds.of(n) or FLOAT32 for n in nodes if n.op is None}
    graph = simplify(trace([symbol._entries], found, known, native=False))
    return make_plan(graph, switched=switches.current(), in_registers=True, gpu=gpu)


def _named(text: str, form: str) -> tuple[str, str]:
    """What stands before and after the first equals sign.

    Raises:
        ArgumentTypeError: one of them is missing.
    """
    name, _, value = text.partition("=")
    if not name or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form {form}")
    return name, value


def _shape(text: str) -> tuple[str, Shape]:
    name, lengths = _named(text, _SHAPE_FORM)
    if not all(length.isascii() and length.isdigit() for length in lengths.split(",")):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not of the form {_SHAPE_FORM}: lengths are whole numbers, and 0 stands "
            "for one that is not known"
        )
    return name, tuple(int(length) for length in lengths.split(","))


def _dtype(text: str) -> tuple[str, DType]:
    name, kind = _named(text, _DTYPE_FORM)
    try:
        return name, as_dtype(kind)
    except (MXNetError, TypeError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not of the form {_DTYPE_FORM}: {kind!r} is none of {', '.join(BY_NAME)}"
        ) from None


def configure(parser: argparse.ArgumentParser) -> None:
    """Give a parser what the command takes."""
    parser.add_argument("file", help="a symbol, as Symbol.save or MXNet writes it")
    parser.add_argument(
        "--shape",
        type=_shape,
        action="append",
        default=[],
        metavar=_SHAPE_FORM,
        help="of an argument from which others follow; 0 is a length that is not known",
    )
    parser.add_argument(
        "--dtype",
        type=_dtype,
        action="append",
        default=[],
        metavar=_DTYPE_FORM,
        help="of an argument; float32 where nothing else follows",
    )
    parser.add_argument(
        "--target",
        metavar="sm_90",
        help="compile every kernel for this GPU, and say how exact its code is",
    )
    parser.add_argument("--source", action="store_true", help="print the kernels' text as well")


def run(given: argparse.Namespace) -> int:
    """Print the plan; 1 with a message where that fails."""
    try:
        gpu = gpu_of_target(given.target) if given.target else H100
        plan = plan_for_gpu(load(given.file), dict(given.shape), dict(given.dtype), gpu)
        print(plan)
        if given.source:
            _print_sources(plan, gpu)
        if given.target:
            _print_compiled(plan, given.target)
    except MXNetError as error:
        print(f"error: {error}")
        return 1
    return 0


def _print_sources(plan: Plan, gpu: Gpu) -> None:
    from .kernels import triton_source

    for kernel in plan.kernels:
        source = triton_source.write(kernel, plan.layouts, gpu)
        print("\n" + ("a library call" if source is None else source.text))


def _print_compiled(plan: Plan, target: str) -> None:
    try:
        from .runtime import ahead_of_time
    except ModuleNotFoundError as error:
        raise MXNetError(
            f"--target compiles with Triton, but there is no module {error.name!r}: install "
            "triton, or leave --target out"
        ) from error
    print(ahead_of_time.report(ahead_of_time.compile_plan(plan, target)))
