"""`mx.mon`: statistics of what flows through a network, every few batches."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from ..binding.executor import Executor
from ..foundation.text import escaped, shown
from ..graph.frontend import Number
from ..ndarray.core import NDArray


def root_mean_square(array: NDArray) -> NDArray:
    """The statistic of a :class:`Monitor` that is given none."""
    values: Any = array
    root: NDArray = values.norm() / array.size**0.5
    return root


class Monitor:
    """Notes statistics of the outputs of operators, and of parameters.

    Args:
        interval: in how many batches they are noted once.
        stat_func: from an array to an array, or a list of arrays, of what is to be noted.
        pattern: a regular expression of the names that are noted.
        sort: sort what is noted by name.
        monitor_all: note inputs too.

    Raises:
        ValueError: an interval that is no number above 0.
    """

    def __init__(
        self,
        interval: int,
        stat_func: Callable[[NDArray], Any] | None = None,
        pattern: str = ".*",
        sort: bool = False,
        monitor_all: bool = False,
    ) -> None:
        if not isinstance(interval, Number) or interval <= 0:
            raise ValueError(f"Monitor: interval={shown(interval)} must be an int of at least 1")
        self.stat_func = stat_func or root_mean_square
        self.interval = interval
        self.activated = False
        self.queue: list[tuple[int, str, Any]] = []
        self.step = 0
        self.exes: list[Executor] = []
        self.re_prog = re.compile(pattern)
        self.sort = sort
        self.monitor_all = monitor_all

    def install(self, exe: Executor) -> None:
        """Watch an executor from its next noted batch on."""
        self.exes.append(exe)

    def _note(self, name: str, array: NDArray) -> None:
        if self.activated and self.re_prog.match(name):
            self.queue.append((self.step, name, self.stat_func(array)))

    def tic(self) -> None:
        """Before a batch: begin to note, if it is its turn."""
        if self.step % self.interval == 0:
            for exe in self.exes:
                exe.set_monitor_callback(self._note, self.monitor_all)
            self.queue = []
            self.activated = True
        self.step += 1

    def toc(self) -> list[tuple[int, str, str]]:
        """After a batch: what was noted, as batch, name and text."""
        if not self.activated:
            return []
        for exe in self.exes:
            exe.set_monitor_callback(None)  # other batches run at full speed
            for name, array in (*exe.arg_dict.items(), *exe.aux_dict.items()):
                self._note(name, array)
        self.activated = False
        noted = sorted(self.queue, key=lambda one: one[1]) if self.sort else self.queue
        self.queue = []
        return [(step, name, _text(value)) for step, name, value in noted]

    def toc_print(self) -> None:
        """After a batch: log what was noted."""
        for step, name, value in self.toc():
            logging.info("Batch: %7d %-30s %s", step, escaped(name), value)


def _text(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    assert all(isinstance(one, NDArray) for one in values), "stat_func must return NDArrays"
    texts = [str(one.asscalar() if one.shape == (1,) else one.asnumpy()) for one in values]
    return "".join(f"{text}\t" for text in texts)
