"""From entries of a graph and the memory of its variables to a program: the whole pipeline."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain

from ..context import Context, torch_device
from ..expressions.philox import default_state
from ..expressions.reference import Tensor
from ..foundation import switches
from ..foundation.allocation import allocating
from ..foundation.dtype import DType, as_dtype
from ..foundation.errors import MXNetError
from ..foundation.shape import Shape
from ..foundation.text import listed
from ..graph.infer import Inferred, infer_dtypes, infer_shapes
from ..graph.node import Entry, Node, toposort
from ..graph.op import is_complete
from ..graph.trace import Graph, trace
from ..planning import plan_text
from ..planning.plan import Plan, make_plan
from ..products.gpus import gpu_of
from ..rewrites.for_cpu import for_cpu
from ..rewrites.simplify import simplify
from ..runtime import cpu
from ..runtime.program import Program, outputs_of
from ..scheduling.recompute import Again, recomputed


@dataclass(frozen=True)
class Compiled:
    """A plan and the program that follows it.

    Attributes:
        outputs: the memory of each entry's value, or of each output, in order.
        make: makes the program.
    """

    plan: Plan
    outputs: tuple[Tensor, ...]
    make: Callable[[], Program]

    @cached_property
    def program(self) -> Program:
        """What computes the outputs; its memory is taken when it is first asked for.

        Raises:
            MXNetError: there is not as much memory.
        """
        return self.make()

    @property
    def made(self) -> Program | None:
        """The program, if it has been asked for."""
        return self.__dict__.get("program")


@dataclass(frozen=True)
class Traced:
    """Entries of a graph as expressions, with the memory that these are about.

    Attributes:
        names: of the variables, which the graph's ``input`` expressions are, in order.
        inputs: their memory.
        numbers: of the outputs that the entries are; new states are outputs as well.
    """

    graph: Graph
    names: list[str]
    inputs: list[Tensor]
    numbers: list[int]


def trace_entries(
    stages: Sequence[Sequence[Entry]],
    bound: Mapping[str, Tensor],
    context: Context,
    *,
    train: bool = False,
    written: Mapping[int, str] | None = None,
) -> Traced:
    """The expressions of entries of a graph; see :func:`compile_entries`."""
    entries = list(chain.from_iterable(stages))
    nodes = toposort(entries)
    shapes, dtypes = checked_shapes(nodes, bound), checked_dtypes(nodes, bound)
    on_cpu = not context.is_gpu
    graph = trace(stages, shapes, dtypes, native=on_cpu, train=train, written=written)
    names = [node.name for node in nodes if node.op is None]
    numbers = _numbers(graph, len(stages[0]), len(entries))
    return Traced(graph, names, [bound[name] for name in names], numbers)


def compile_entries(
    stages: Sequence[Sequence[Entry]],
    bound: Mapping[str, Tensor],
    context: Context,
    *,
    train: bool = False,
    written: Mapping[int, str] | None = None,
    outputs: Mapping[int, Tensor] | None = None,
) -> Compiled:
    """A program for entries of a graph.

    Args:
        stages: the entries that each stage of the program computes.
        bound: the memory of every variable.
        context: where all of it is.
        train: whether operators behave as in training; their new states are written as well.
        written: entries, counted through all stages, that replace a variable, by its name.
        outputs: entries whose values have memory already.

    Raises:
        MXNetError: shapes or dtypes that do not fit, or more memory than there is.
    """
    traced = trace_entries(stages, bound, context, train=train, written=written)
    numbers = traced.numbers
    replaced = {numbers[position] for position in written or {}}
    compiled = compile_graph(
        traced.graph,
        traced.inputs,
        context,
        outputs={numbers[position]: tensor for position, tensor in (outputs or {}).items()},
        # States wait for the end, so that a pass can be repeated without changing them again.
        guarded={index for n, index in traced.graph.updates.items() if n not in replaced},
    )
    return replace(compiled, outputs=tuple(compiled.outputs[number] for number in numbers))


def compile_graph(
    traced: Graph,
    inputs: Sequence[Tensor],
    context: Context,
    *,
    outputs: Mapping[int, Tensor] | None = None,
    guarded: Collection[int] = (),
    joined: bool = False,
) -> Compiled:
    """A program for expressions.

    Args:
        traced: what is to be computed.
        inputs: the memory that ``input`` expressions name by their index.
        context: where all of it is.
        outputs: outputs whose values have memory already, by number.
        guarded: inputs that are replaced at the end of a stage and not before.
        joined: whether all stages run at once.

    Raises:
        MXNetError: it would take more memory than there is.
    """
    on_cpu, switched = not context.is_gpu, switches.current()
    graph = simplify(traced)
    if switched.mirror or switched.fusion:
        sparing = Again.CHOICES if on_cpu else Again.IN_REGISTERS
        graph = recomputed(graph, Again.EVERYTHING if switched.mirror else sparing)
    if switched.fusion and on_cpu:
        graph = for_cpu(graph)
    strides = {i: tensor.stride() for i, tensor in enumerate(inputs) if not tensor.is_contiguous()}
    given = outputs or {}
    shared = _shared((*inputs, *given.values()))
    plan = make_plan(
        graph,
        strides,
        switched=switched,
        in_registers=not on_cpu,
        gpu=None if on_cpu else gpu_of(context),
        guarded={*guarded, *(i for i, tensor in enumerate(inputs) if _memory(tensor) in shared)},
    )
    if switched.debug:
        print(plan_text.text(plan, every_refusal=switched.debug > 2), file=sys.stderr)
    apart = {n: t for n, t in given.items() if _memory(t) in shared or not t.is_contiguous()}
    memory = [None if n in apart else given.get(n) for n in range(len(graph.outputs))]
    with allocating(_bytes(plan, memory), partial(_memory_of, plan)):
        found = outputs_of(plan, inputs, torch_device(context), memory)

    def make() -> Program:
        with allocating(plan.arena_size, partial(_memory_of, plan)):
            return _program(plan, inputs, found, apart, context, joined, switched)

    return Compiled(plan, tuple(found), make)


def _program(
    plan: Plan,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor | None],
    apart: Mapping[int, Tensor],
    context: Context,
    joined: bool,
    switched: switches.Switches,
) -> Program:
    """The plan on its arrays; outputs whose memory others use too are copied there in the end."""
    state = default_state()
    if not context.is_gpu:
        return _arranged(cpu.program(plan, inputs, state, switched, outputs), apart, joined)
    from ..runtime import triton_runtime  # Triton is imported for a GPU plan, and not before

    program = triton_runtime.program(plan, inputs, state, context, switched, outputs)
    return triton_runtime.graphed(_arranged(program, apart, joined), switched)


def _arranged(program: Program, apart: Mapping[int, Tensor], joined: bool) -> Program:
    program = program.joined if joined else program
    return program.copying(apart) if apart else program


def _numbers(graph: Graph, first: int, count: int) -> list[int]:
    """The output number of each entry: new states stand behind the entries of the first stage."""
    states = len(graph.outputs) - count
    return [position if position < first else position + states for position in range(count)]


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _shared(tensors: Iterable[Tensor]) -> set[int]:
    """The memory that several tensors lie in."""
    return {memory for memory, count in Counter(map(_memory, tensors)).items() if count > 1}


def _bytes(plan: Plan, outputs: Sequence[Tensor | None]) -> int:
    """How much new memory a plan takes."""
    made = (x for x, tensor in zip(plan.outputs, outputs, strict=True) if tensor is None)
    return plan.arena_size + sum(x.byte_count for x in made)


def _memory_of(plan: Plan) -> str:
    """What a plan takes memory for, in words for a person."""
    largest = max((*plan.lifetimes, *plan.outputs), key=lambda x: x.byte_count)
    return (
        f"a plan of {len(plan.kernels)} kernels, whose largest value is {largest.dtype}"
        f"{list(largest.shape)} of {listed(plan.origins.get(largest, ())) or 'a variable'}"
    )


def checked_shapes(nodes: Sequence[Node], bound: Mapping[str, Tensor]) -> Inferred[Shape]:
    """The shape of everything, from the arrays; they must be what the graph says they are.

    Raises:
        MXNetError: they are not, or a shape does not follow from them.
    """
    inferred = infer_shapes(nodes, {name: tuple(t.shape) for name, t in bound.items()})
    for node, shapes in inferred.values.items():
        for shape in shapes:
            if not is_complete(shape):
                raise MXNetError(
                    f"the shape of {node.describe()} does not follow from the arguments: it is "
                    f"{shape or ()}"
                )
    return inferred


def checked_dtypes(nodes: Sequence[Node], bound: Mapping[str, Tensor]) -> dict[str, DType]:
    """The dtype of every variable; they must fit the graph.

    Raises:
        MXNetError: they do not.
    """
    given = {name: as_dtype(tensor.dtype) for name, tensor in bound.items()}
    infer_dtypes(nodes, given)
    return given
