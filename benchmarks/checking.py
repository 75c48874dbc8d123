"""How far results are from the reference, told where they were computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch


def deviation(
    results: Sequence[Any], expected: Sequence[torch.Tensor], noise: Sequence[float] = ()
) -> float:
    """The largest error, relative to the value and to the mean magnitude of its array.

    Args:
        results: arrays of numpy or of torch.
        expected: of float64, on whatever device.
        noise: for each array an error that does not count.
    """
    if [tuple(one.shape) for one in results] != [tuple(one.shape) for one in expected]:
        return float("inf")
    worst = 0.0
    allowed = noise or [0.0] * len(expected)
    for result, due, free in zip(results, expected, allowed, strict=True):
        magnitude = due.abs()
        errors = torch.as_tensor(result).to(due.device, torch.float64, copy=True)
        errors.sub_(due).abs_().sub_(free).clamp_(min=0)
        error = float(errors.div_(magnitude.add_(magnitude.mean())).max())
        worst = float("inf") if math.isnan(error) else max(worst, error)
    return worst
