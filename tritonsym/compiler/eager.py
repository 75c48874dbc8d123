"""Expressions computed at once, on whichever context their inputs are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..context import Context
from ..expressions.expr import Expr
from ..expressions.philox import RandomState
from ..expressions.reference import Tensor, run
from ..foundation import switches
from ..graph.trace import Graph
from ..planning.plan import make_plan
from ..products.gpus import gpu_of


def compute(
    outputs: Sequence[Expr], inputs: Sequence[Tensor], state: RandomState, context: Context
) -> list[Tensor]:
    """The values of expressions, each in memory of its own.

    Args:
        outputs: what is wanted.
        inputs: the tensors that ``input`` expressions name by their index.
        state: where random numbers are drawn from.
        context: where the inputs are. On a GPU the kernels run that a bound graph would run.
    """
    if not context.is_gpu:
        return run(outputs, inputs, state)
    from ..runtime import triton_runtime  # Triton is imported for a GPU, and not before

    strides = {i: x.stride() for i, x in enumerate(inputs) if not x.is_contiguous()}
    # What runs once is not worth a graph.
    switched = replace(switches.current(), graphs=False)
    graph = Graph(tuple(outputs))
    plan = make_plan(graph, strides, switched=switched, in_registers=True, gpu=gpu_of(context))
    program = triton_runtime.program(plan, inputs, state, context, switched)
    triton_runtime.graphed(program, switched).run()
    return program.buffers.outputs
