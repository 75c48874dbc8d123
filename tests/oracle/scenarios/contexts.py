"""Contexts: what they are, how they compare and how `with` chooses the default."""

from __future__ import annotations

import threading
from types import ModuleType

from oracle.scenario import Answer, outcomes, raised, scenario


@scenario
def text(mx: ModuleType) -> Answer:
    made = [mx.cpu(), mx.cpu(1), mx.gpu(), mx.gpu(2), mx.cpu_pinned(), mx.Context("cpu", 4)]
    return [[repr(one), str(one)] for one in made]


@scenario
def fields(mx: ModuleType) -> Answer:
    made = [mx.cpu(), mx.gpu(3), mx.cpu_pinned(1), mx.Context("cpu_shared")]
    return [[one.device_type, one.device_typeid, one.device_id] for one in made]


@scenario
def equality(mx: ModuleType) -> Answer:
    return {
        "same": mx.cpu() == mx.cpu(0),
        "other number": mx.cpu(0) == mx.cpu(1),
        "other type": mx.cpu(0) == mx.gpu(0),
        "not equal": mx.cpu(0) != mx.gpu(0),
        "text": mx.cpu(0) == "cpu(0)",
        "none": mx.cpu(0) == None,  # noqa: E711
        "hash": hash(mx.cpu(1)) == hash(mx.Context("cpu", 1)),
        "set": len({mx.cpu(), mx.cpu(0), mx.cpu(1), mx.gpu()}),
        "dict": {mx.cpu(): "a", mx.gpu(): "b"}[mx.Context("gpu", 0)],
    }


@scenario
def making(mx: ModuleType) -> Answer:
    return {
        "of a context": [
            mx.Context(mx.gpu(2)) == mx.gpu(2),
            str(mx.Context(mx.gpu(2), 5)),
        ],
        "unknown type": raised(lambda: mx.Context("tpu")),
        "number for a type": raised(lambda: mx.Context(1)),
        "none": raised(lambda: mx.Context(None)),
    }


@scenario
def default(mx: ModuleType) -> Answer:
    seen = [str(mx.current_context()), str(mx.context.current_context())]
    with mx.cpu(1) as entered:
        seen.append(str(mx.current_context()))
        seen.append(str(entered))
        with mx.Context("cpu", 2):
            seen.append(str(mx.current_context()))
        seen.append(str(mx.current_context()))
    return [*seen, str(mx.current_context())]


@scenario
def default_after_an_error(mx: ModuleType) -> Answer:
    def fail() -> None:
        with mx.cpu(1):
            raise KeyError("x")

    return [raised(fail), str(mx.current_context())]


@scenario
def default_of_a_new_thread(mx: ModuleType) -> Answer:
    seen = []
    with mx.cpu(1):
        thread = threading.Thread(target=lambda: seen.append(str(mx.current_context())))
        thread.start()
        thread.join()
    return seen


@scenario
def default_of_eval(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    with mx.cpu(1):
        made = (a + 1).eval(a=mx.nd.zeros((1,)))[0]
    return str(made.context)


@scenario
def class_access(mx: ModuleType) -> Answer:
    return outcomes(
        {
            "same class": lambda: mx.Context is mx.context.Context,
            "instance": lambda: isinstance(mx.cpu(), mx.Context),
            "functions": lambda: [mx.context.cpu(1) == mx.cpu(1), mx.context.gpu(1) == mx.gpu(1)],
            "pinned": lambda: mx.context.cpu_pinned() == mx.cpu_pinned(),
            "gpus": lambda: isinstance(mx.context.num_gpus(), int),
        }
    )
