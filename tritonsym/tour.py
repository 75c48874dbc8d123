"""The tour that ``python -m tritonsym`` gives: the tutorial's graph, from symbols to results."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from . import __version__, ndarray, symbol
from .context import cpu, gpu, num_gpus
from .foundation.shape import Shape
from .plan_command import plan_for_gpu

if TYPE_CHECKING:
    from .binding.executor import Executor

_RUNS = 20


def main() -> None:
    """Print the tour."""
    print(f"tritonsym {__version__}: MXNet's Symbol API, compiled for today's hardware.")
    print("What stands after >>> is what you would type after: import tritonsym as mx")

    _chapter("1. Say what is to be computed")
    a, b, c, d = (symbol.Variable(name) for name in "ABCD")
    e = (a * b) + (c * d)
    _typed('a, b, c, d = (mx.sym.Variable(name) for name in "ABCD")')
    _typed("e = (a * b) + (c * d)")
    _shown("e", e)
    _note("Nothing is computed yet. e is a graph; it knows what it needs and what it gives:")
    _shown("e.list_arguments()", e.list_arguments())
    _shown("e.list_outputs()", e.list_outputs())
    _shown("e.get_internals().list_outputs()", e.get_internals().list_outputs())

    _chapter("2. Bind it to data: four integers")
    integers = {name: ndarray.array([i], dtype="int32") for i, name in enumerate("ABCD", start=1)}
    executor = e.bind(cpu(), integers)
    _typed('data = {name: mx.nd.array([i], dtype="int32") for i, name in enumerate("ABCD", 1)}')
    _typed("executor = e.bind(mx.cpu(), data)")
    _shown("executor.forward()[0].asnumpy()", executor.forward()[0].asnumpy())
    _note(f"1*2 + 3*4, in {_milliseconds(executor)}.")

    _chapter("3. Bind the same graph to four matrices of random numbers")
    matrices = {name: ndarray.uniform(low=0, high=1, shape=(1000, 1000)) for name in "ABCD"}
    executor = e.bind(cpu(), matrices)
    result = executor.forward()[0].asnumpy()
    _typed('data = {name: mx.nd.uniform(low=0, high=1, shape=(1000, 1000)) for name in "ABCD"}')
    _typed("executor = e.bind(mx.cpu(), data)")
    _shown("executor.forward()", executor.outputs)
    _shown("executor.outputs[0].asnumpy()", result)
    by_hand = [matrices[name].asnumpy().astype(np.float64) for name in "ABCD"]
    error = np.abs(result - (by_hand[0] * by_hand[1] + by_hand[2] * by_hand[3])).max()
    _note(
        f"A million results in {_milliseconds(executor)}; float64 differs by {error:.1e} at most."
    )

    _chapter("4. Look at the plan")
    _note("bind compiled the graph once, for these shapes; forward() only replays the plan.")
    _typed("print(executor.plan)")
    _printed(str(executor.plan))
    _note("All three operators are one kernel.")
    if executor.plan.tilings:
        _note("It goes through the matrices tile by tile: A*B and C*D are never stored whole.")

    _chapter("5. The same on a GPU")
    if num_gpus():
        _on_gpu(e, matrices)
    else:
        _planned_for_gpu(e, {name: matrix.shape for name, matrix in matrices.items()})


def _on_gpu(e: symbol.Symbol, matrices: dict[str, ndarray.NDArray]) -> None:
    _typed("data = {name: array.as_in_context(mx.gpu(0)) for name, array in data.items()}")
    _typed("executor = e.bind(mx.gpu(0), data)")
    try:
        there = {name: array.as_in_context(gpu(0)) for name, array in matrices.items()}
        executor = e.bind(gpu(0), there)
        _shown("executor.forward()", executor.forward())
    except (RuntimeError, ImportError) as error:
        _note(f"There is a GPU, but it cannot be used: {error}")
        return
    _note(f"A million results in {_milliseconds(executor)}. Nothing else had to change.")


def _planned_for_gpu(e: symbol.Symbol, shapes: dict[str, Shape]) -> None:
    _note("torch sees no GPU here, so all of this ran on the CPU. One would run this plan:")
    _printed(str(plan_for_gpu(e, shapes)))
    _note("The program shows such a plan of any saved symbol: python -m tritonsym plan FILE.")
    _note("With --target sm_90 it compiles the kernels too, and says what became of them.")


def _milliseconds(executor: Executor) -> str:
    """The median time of a run."""
    samples = []
    for _ in range(_RUNS):
        begin = time.perf_counter()
        executor.forward()[0].wait_to_read()  # a GPU works on after forward has returned
        samples.append(time.perf_counter() - begin)
    return f"{statistics.median(samples) * 1e3:.3g} ms"


def _chapter(title: str) -> None:
    print(f"\n{title}\n{'-' * len(title)}")


def _note(text: str) -> None:
    print(text)


def _typed(line: str) -> None:
    print(f"    >>> {line}")


def _shown(line: str, value: object) -> None:
    _typed(line)
    _printed(repr(value))


def _printed(text: str) -> None:
    print("\n".join(f"    {row}" for row in text.splitlines()))
