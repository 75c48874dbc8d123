"""`mx.lr_scheduler`: the learning rate as a function of the number of updates so far."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Sequence


class LRScheduler:
    """A learning rate that changes as training goes on; subclasses say how.

    Args:
        base_lr: the rate that the schedule begins with.
        warmup_steps: for so many updates the rate rises to ``base_lr`` first.
        warmup_begin_lr: the rate that warming up begins with.
        warmup_mode: ``linear``, or ``constant`` for ``warmup_begin_lr`` all along.

    Raises:
        AssertionError: ``warmup_steps`` is no int.
        ValueError: a warm-up that falls, is negative, or of an unknown mode.
    """

    def __init__(
        self,
        base_lr: float = 0.01,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        assert isinstance(warmup_steps, int), f"warmup_steps={warmup_steps!r} must be an int"
        if warmup_begin_lr > base_lr:
            raise ValueError(f"warmup_begin_lr={warmup_begin_lr} must not be above {base_lr=}")
        if warmup_steps < 0:
            raise ValueError(f"{warmup_steps=} must not be negative")
        if warmup_mode not in ("linear", "constant"):
            raise ValueError(f"{warmup_mode=} must be 'linear' or 'constant'")
        self.base_lr = base_lr
        self.warmup_steps = warmup_steps
        self.warmup_begin_lr = warmup_begin_lr
        self.warmup_final_lr = base_lr
        self.warmup_mode = warmup_mode

    def get_warmup_lr(self, num_update: int) -> float:
        """The rate at an update before ``warmup_steps``."""
        assert num_update < self.warmup_steps
        if self.warmup_mode == "constant":
            return self.warmup_begin_lr
        rise = (self.warmup_final_lr - self.warmup_begin_lr) * float(num_update)
        return self.warmup_begin_lr + rise / float(self.warmup_steps)

    def __call__(self, num_update: int) -> float:
        """The rate for the ``num_update``-th update."""
        if num_update < self.warmup_steps:
            return self.get_warmup_lr(num_update)
        return self._after_warmup(num_update)

    def _after_warmup(self, num_update: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} does not say how the rate changes")


def _log_change(num_update: int, rate: float) -> None:
    logging.info("Update[%d]: Change learning rate to %0.5e", num_update, rate)


def _check_factor(factor: float) -> None:
    if factor > 1.0:
        raise ValueError(f"{factor=} must not be above 1, so that the rate falls")


class FactorScheduler(LRScheduler):
    """The rate times ``factor`` after every ``step`` updates, down to ``stop_factor_lr``.

    Raises:
        ValueError: ``step`` is below 1 or ``factor`` above 1.
    """

    def __init__(
        self,
        step: int,
        factor: float = 1,
        stop_factor_lr: float = 1e-8,
        base_lr: float = 0.01,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        if step < 1:
            raise ValueError(f"{step=} must be 1 or more updates")
        _check_factor(factor)
        self.step = step
        self.factor = factor
        self.stop_factor_lr = stop_factor_lr
        self.count = 0

    def _after_warmup(self, num_update: int) -> float:
        passed = (num_update - 1 - self.count) // self.step
        if passed > 0:
            self.count += passed * self.step
            self.base_lr = max(self.base_lr * self.factor**passed, self.stop_factor_lr)
            if self.base_lr > self.stop_factor_lr:
                _log_change(num_update, self.base_lr)
            else:
                logging.info(
                    "Update[%d]: now learning rate arrived at %0.5e, will not change in the future",
                    num_update,
                    self.base_lr,
                )
        return self.base_lr


class MultiFactorScheduler(LRScheduler):
    """The rate times ``factor`` after each of the updates in ``step``.

    Raises:
        AssertionError: ``step`` is no list, or empty.
        ValueError: ``step`` does not increase from 1 up, or ``factor`` is above 1.
    """

    def __init__(
        self,
        step: Sequence[int],
        factor: float = 1,
        base_lr: float = 0.01,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        assert isinstance(step, list) and len(step) >= 1, f"{step=} must be a list of updates"
        if step[0] < 1 or any(b <= a for a, b in itertools.pairwise(step)):
            raise ValueError(f"{step=} must increase, from 1 or more")
        _check_factor(factor)
        self.step = step
        self.cur_step_ind = 0
        self.factor = factor
        self.count = 0

    def _after_warmup(self, num_update: int) -> float:
        while self.cur_step_ind < len(self.step) and num_update > self.step[self.cur_step_ind]:
            self.count = self.step[self.cur_step_ind]
            self.cur_step_ind += 1
            self.base_lr *= self.factor
            _log_change(num_update, self.base_lr)
        return self.base_lr


class _FallingScheduler(LRScheduler):
    """From the first rate to ``final_lr`` at ``max_update``, along a curve from 1 to 0."""

    def __init__(
        self,
        max_update: int,
        base_lr: float,
        final_lr: float,
        warmup_steps: int,
        warmup_begin_lr: float,
        warmup_mode: str,
    ) -> None:
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        assert isinstance(max_update, int), f"max_update={max_update!r} must be an int"
        if max_update < 1:
            raise ValueError(f"{max_update=} must be 1 or more updates")
        self.base_lr_orig = base_lr
        self.max_update = max_update
        self.final_lr = final_lr
        self.max_steps = max_update - warmup_steps

    def _after_warmup(self, num_update: int) -> float:
        if num_update <= self.max_update:
            done = num_update - self.warmup_steps
            part = done / self.max_steps if self.max_steps else 1.0
            self.base_lr = self.final_lr + (self.base_lr_orig - self.final_lr) * self._left(part)
        return self.base_lr

    def _left(self, part: float) -> float:
        """How much of the fall is left after this part of the updates."""
        raise NotImplementedError


class PolyScheduler(_FallingScheduler):
    """The rate falls to ``final_lr`` at ``max_update`` as a power: (1 - part done) ** ``pwr``.

    Raises:
        AssertionError: ``max_update`` is no int.
        ValueError: it is below 1.
    """

    def __init__(
        self,
        max_update: int,
        base_lr: float = 0.01,
        pwr: float = 2,
        final_lr: float = 0,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(max_update, base_lr, final_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        self.power = pwr

    def _left(self, part: float) -> float:
        return float((1.0 - part) ** self.power)


class CosineScheduler(_FallingScheduler):
    """The rate falls to ``final_lr`` at ``max_update`` as half a cosine.

    Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", 2017, without
    the restarts.

    Raises:
        AssertionError: ``max_update`` is no int.
        ValueError: it is below 1.
    """

    def __init__(
        self,
        max_update: int,
        base_lr: float = 0.01,
        final_lr: float = 0,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(max_update, base_lr, final_lr, warmup_steps, warmup_begin_lr, warmup_mode)

    def _left(self, part: float) -> float:
        return (1.0 + math.cos(math.pi * part)) / 2.0
