"""`mx.callback`: what is done after each batch or each epoch: showing, saving."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .checkpoint import BatchEndParam, save_checkpoint

EpochCallback = Callable[..., None]


def do_checkpoint(prefix: str | Path, period: int = 1) -> EpochCallback:
    """A callback that writes a checkpoint after every ``period`` epochs."""
    every = max(1, int(period))

    def callback(iter_no: int, sym: Any, arg: Any, aux: Any) -> None:
        if (iter_no + 1) % every == 0:
            save_checkpoint(prefix, iter_no + 1, sym, arg, aux)

    return callback


def module_checkpoint(
    mod: Any, prefix: str | Path, period: int = 1, save_optimizer_states: bool = False
) -> EpochCallback:
    """A callback that lets a module write a checkpoint after every ``period`` epochs."""
    every = max(1, int(period))

    def callback(iter_no: int, sym: Any = None, arg: Any = None, aux: Any = None) -> None:
        if (iter_no + 1) % every == 0:
            states = {"save_optimizer_states": True} if save_optimizer_states else {}
            mod.save_checkpoint(prefix, iter_no + 1, **states)

    return callback


def log_train_metric(period: int, auto_reset: bool = False) -> Callable[[BatchEndParam], None]:
    """A callback that logs the metric after every ``period`` batches.

    Args:
        period: how often.
        auto_reset: begin the metric anew after it was logged.
    """

    def callback(param: BatchEndParam) -> None:
        if param.nbatch % period == 0 and param.eval_metric is not None:
            for name, value in param.eval_metric.get_name_value():
                logging.info("Iter[%d] Batch[%d] Train-%s=%f", param.epoch, param.nbatch, name,
                             value)  # fmt: skip
            if auto_reset:
                param.eval_metric.reset_local()

    return callback


class Speedometer:
    """Logs how many samples a second are trained with, and the metric.

    Args:
        batch_size: samples per batch.
        frequent: after how many batches.
        auto_reset: begin the metric anew after it was logged.
    """

    def __init__(self, batch_size: int, frequent: int = 50, auto_reset: bool = True) -> None:
        self.batch_size = batch_size
        self.frequent = frequent
        self.auto_reset = auto_reset
        self.init = False
        self.tic = 0.0
        self.last_count = 0

    def __call__(self, param: BatchEndParam) -> None:
        """Count a batch."""
        count = param.nbatch
        if self.last_count > count:
            self.init = False
        self.last_count = count
        if not self.init:
            self.init, self.tic = True, time.perf_counter()
            return
        if count % self.frequent != 0:
            return
        seconds = time.perf_counter() - self.tic
        speed = self.frequent * self.batch_size / seconds if seconds else math.inf
        if param.eval_metric is None:
            logging.info("Iter[%d] Batch [%d]\tSpeed: %.2f samples/sec", param.epoch, count, speed)
        else:
            values = param.eval_metric.get_name_value()
            first = 0
            if self.auto_reset:
                param.eval_metric.reset_local()
                first = max(0, count - self.frequent)
            logging.info(
                "Epoch[%d] Batch [%d-%d]\tSpeed: %.2f samples/sec%s",
                param.epoch,
                first,
                count,
                speed,
                "".join(f"\t{name}={value:f}" for name, value in values),
            )
        self.tic = time.perf_counter()


class ProgressBar:
    """Shows how far an epoch is: by tqdm where that is installed, else as a line of text.

    Args:
        total: batches per epoch.
        length: the width of the line of text.
    """

    def __init__(self, total: int, length: int = 80) -> None:
        self.total = total
        self.bar_len = length
        self._bar: Any = None

    def __call__(self, param: BatchEndParam) -> None:
        """Show that a batch is done."""
        done = param.nbatch + 1
        try:
            from tqdm import tqdm
        except ImportError:
            self._show_line(done)
            return
        if self._bar is None or done <= self._bar.n:
            self._bar = tqdm(total=self.total, desc=f"Epoch {param.epoch}", unit="batch")
        self._bar.update(done - self._bar.n)
        if param.eval_metric is not None:
            self._bar.set_postfix(dict(param.eval_metric.get_name_value()))
        if done >= self.total:
            self._bar.close()

    def _show_line(self, done: int) -> None:
        filled = round(self.bar_len * min(done, self.total) / self.total)
        bar = "=" * filled + "-" * (self.bar_len - filled)
        sys.stderr.write(f"\r[{bar}] {math.ceil(100 * done / self.total)}%")
        if done >= self.total:
            sys.stderr.write("\n")
        sys.stderr.flush()


class LogValidationMetricsCallback:
    """Logs the metric of an evaluation."""

    def __call__(self, param: BatchEndParam) -> None:
        """Log it."""
        if param.eval_metric is not None:
            for name, value in param.eval_metric.get_name_value():
                logging.info("Epoch[%d] Validation-%s=%f", param.epoch, name, value)
