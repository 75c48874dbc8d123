"""Calls that must be refused: what they raise, what the message says, and that nothing changed."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tritonsym as mx

MXNetError = mx.base.MXNetError
# What no message may hold: the insides of the libraries below.
NOISE = ("frame #", "THPUtils", "enforce fail", "zip() argument", "object has no attribute")
LONGEST = 2000


@dataclass(frozen=True)
class Refusal:
    """One wrong call.

    Attributes:
        label: what is wrong, the test's name.
        call: makes the mistake, on a fresh scene.
        error: the class that is raised, or several.
        says: parts of the message; ``{line}`` stands for the place that made the scene's node.
    """

    label: str
    call: Callable[[Any], Any]
    error: type[BaseException] | tuple[type[BaseException], ...]
    says: tuple[str, ...] = ()


def refuse(
    label: str,
    call: Callable[[Any], Any],
    error: type[BaseException] | tuple[type[BaseException], ...],
    *says: str,
) -> Any:
    """A parameter of a test: one `Refusal` under its label."""
    return pytest.param(Refusal(label, call, error, says), id=label)


class Scene:
    """A small graph, arrays for it and an executor that has run: what a refused call must leave.

    The graph is ``head = exp(both)`` with ``both = left + right``.
    """

    def __init__(self) -> None:
        self.names = mx.name.NameManager()
        self.x = mx.nd.array([[1, -2, 3], [0.5, 0, -1]])
        self.y = mx.nd.array([[0, 1, -3], [2, 0.25, 1]])
        with self.names:
            self.left, self.right = mx.sym.Variable("left"), mx.sym.Variable("right")
            frame = inspect.currentframe()
            assert frame is not None
            self.line = f"{__file__}:{frame.f_lineno + 1}"
            self.both = mx.sym.elemwise_add(self.left, self.right, name="both")
            self.head = mx.sym.exp(self.both, name="head")
        self.executor = self.head.bind(mx.cpu(), {"left": self.x, "right": self.y})
        self.result = self.executor.forward()[0].asnumpy()
        self._before = self._state()

    def bind(self, **changes: Any) -> Any:
        """The right call of `bind`, with some arguments changed."""
        return self.head.bind(
            **{"ctx": mx.cpu(), "args": {"left": self.x, "right": self.y}, **changes}
        )

    def _state(self) -> Mapping[str, Any]:
        return {
            "arrays": [array.asnumpy().tobytes() for array in (self.x, self.y)],
            "graph": self.head.tojson(),
            "attributes": self.head.attr_dict(),
            "names": copy.deepcopy(vars(self.names)),
            "bound": [id(array) for array in self.executor.arg_arrays],
        }

    def assert_unchanged(self) -> None:
        """The arrays' bytes, the graph, the names given so far; and the executor still works."""
        assert self._state() == self._before
        assert np.array_equal(self.executor.forward()[0].asnumpy(), self.result)
        assert self._state() == self._before


def check(refusal: Refusal, scene: Any) -> None:
    """Make the mistake and look at the error and at what is left."""
    with raising(refusal, getattr(scene, "line", "")), scene.names:
        refusal.call(scene)
    scene.assert_unchanged()


@contextmanager
def raising(refusal: Refusal, line: str) -> Iterator[None]:
    """Expect the refusal's error with a message that a user can work with."""
    with pytest.raises(refusal.error) as caught:
        yield
    message = str(caught.value)
    for part in refusal.says:
        assert part.replace("{line}", line) in message
    assert not [noise for noise in NOISE if noise in message], message
    assert len(message) <= LONGEST
    if refusal.error is RuntimeError:
        assert type(caught.value) is RuntimeError
