"""The workloads: one module per question, each with a function of the sizes."""

from __future__ import annotations

from ..sizes import Sizes
from ..workload import Workload
from . import elementwise, images, perceptron, products, recurrent, rows, tiny, transformer, update


def workloads(sizes: Sizes) -> list[Workload]:
    """Every workload, in the order of the table."""
    questions = (
        elementwise,
        rows,
        products,
        perceptron,
        transformer,
        tiny,
        images,
        recurrent,
        update,
    )
    return [workload for question in questions for workload in question.workloads(sizes)]
