"""The methods that are operators: each must make the node that the operator itself would make."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from oracle.scenario import Answer, node, register, scenario

ONE_ARRAY = """
abs arccos arccosh arcsin arcsinh arctan arctanh cbrt ceil cos cosh degrees exp expm1 fix flatten
floor log log10 log1p log2 log_softmax max mean min nansum norm ones_like prod radians reciprocal
relu rint round rsqrt sigmoid sign sin sinh softmax sqrt square squeeze sum tan tanh transpose trunc
zeros_like argmax argmin nanprod
"""

WITH_MORE: dict[str, Callable[[Any, Any], Any]] = {
    "astype": lambda a, b: a.astype("float16"),
    "broadcast_axes": lambda a, b: a.broadcast_axes(axis=0, size=2),
    "broadcast_like": lambda a, b: a.broadcast_like(b),
    "broadcast_to": lambda a, b: a.broadcast_to(shape=(2, 3)),
    "clip": lambda a, b: a.clip(0, 1),
    "expand_dims": lambda a, b: a.expand_dims(axis=1),
    "flip": lambda a, b: a.flip(axis=0),
    "one_hot": lambda a, b: a.one_hot(depth=3),
    "pick": lambda a, b: a.pick(b, axis=1),
    "repeat": lambda a, b: a.repeat(repeats=2),
    "reshape": lambda a, b: a.reshape(shape=(-1, 3)),
    "slice": lambda a, b: a.slice(begin=(0,), end=(1,)),
    "slice_axis": lambda a, b: a.slice_axis(axis=0, begin=0, end=1),
    "split": lambda a, b: a.split(num_outputs=2),
    "swapaxes": lambda a, b: a.swapaxes(dim1=0, dim2=1),
    "take": lambda a, b: a.take(b),
    "tile": lambda a, b: a.tile(reps=(2, 2)),
    "squeeze with an axis": lambda a, b: a.squeeze(axis=0),
    "sum with options": lambda a, b: a.sum(axis=(0, 1), keepdims=True),
    "sum by position": lambda a, b: a.sum(1),
    "transpose with axes": lambda a, b: a.transpose(axes=(1, 0)),
    "reshape by position": lambda a, b: a.reshape((2, 3)),
    "reshape in reverse": lambda a, b: a.reshape(shape=(0, -1), reverse=True),
    "softmax with an axis": lambda a, b: a.softmax(axis=0, name="mine"),
    "max with an axis": lambda a, b: a.max(axis=1),
    "argmax with options": lambda a, b: a.argmax(axis=1, keepdims=True),
}


def facts(made: Any) -> Answer:
    """The node that a method made, and what it reads."""
    return [node(made), made.list_arguments(), made.list_outputs()]


def _register() -> None:
    for name in ONE_ARRAY.split():

        def alone(mx: ModuleType, name: str = name) -> Answer:
            return facts(getattr(mx.sym.Variable("a"), name)())

        register(f"fluent.{name}", alone)
    for label, call in WITH_MORE.items():

        def more(mx: ModuleType, call: Callable[[Any, Any], Any] = call) -> Answer:
            return facts(call(mx.sym.Variable("a"), mx.sym.Variable("b")))

        register(f"fluent.{label.replace(' ', '_')}", more)


_register()


@scenario
def chain(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    made = a.reshape(shape=(2, -1)).exp().sum(axis=1).clip(a_min=0, a_max=9)
    return made.get_internals().list_outputs()


@scenario
def of_a_part(mx: ModuleType) -> Answer:
    parts = mx.sym.Variable("a").split(num_outputs=2, name="sp")
    return facts(parts[1].exp())
