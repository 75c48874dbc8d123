"""The training pass of an executor: forward and backward as one program of two stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..context import Context
from ..expressions.reference import Tensor
from ..foundation.handover import Loans
from ..graph.backward import backward, is_loss, summed
from ..graph.node import Entry, Node, toposort
from ..runtime.program import run
from .compiler import compile_entries


class TrainingPass:
    """A graph with the gradients of some of its variables.

    Args:
        entries: the outputs.
        bound: the memory of every variable.
        context: where it is.
        outputs: memory for the outputs.
        gradients: ``write`` or ``add``, and the memory, for each variable that has a gradient.
        train: whether operators behave as in training.

    Raises:
        MXNetError: an operator on the way that has no gradient.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        bound: Mapping[str, Tensor],
        context: Context,
        outputs: Sequence[Tensor],
        gradients: Mapping[str, tuple[str, Tensor]],
        train: bool,
    ) -> None:
        names = fresh_names(bound)
        self._heads: list[Tensor | None] = []
        heads: list[Entry | None] = []
        memory = dict(bound)
        for entry, output in zip(entries, outputs, strict=True):
            head = None if is_loss(entry) or not gradients else output.new_zeros(output.shape)
            self._heads.append(head)
            if head is None:
                heads.append(None)
                continue
            entry_of_head = variable(next(names))
            heads.append(entry_of_head)
            memory[entry_of_head.node.name] = head
        variables = [n for n in toposort(entries) if n.op is None and n.name in gradients]
        # The last layer first, so that what its gradients are computed from can go soon.
        variables.reverse()
        found = backward(entries, heads, variables)
        written: dict[int, str] = {}
        places = dict(enumerate(outputs))
        # Where gradients share memory the last argument's stays.
        for number, node in reversed([*enumerate(variables)]):
            request, array = gradients[node.name]
            position = len(entries) + number
            if request == "write":
                places[position] = array
                continue
            old = variable(next(names))
            memory[old.node.name] = array
            written[position] = old.node.name
            new = found[number]
            found[number] = summed((old, new), f"{old.name}_sum", new.node.line)
        # Variables that the gradients do not need are not variables of the program.
        needed = {node.name for node in toposort((*entries, *found))}
        compiled = compile_entries(
            [entries, found] if found else [entries],
            {name: tensor for name, tensor in memory.items() if name in needed},
            context,
            train=train,
            written=written,
            outputs=places,
        )
        self.plan = compiled.plan
        self.program = compiled.program
        first, *last = self.program.passes
        self._steps = first.all
        self._backward = [step for part in last for step in part.all]
        self._repeated = [*first.steps, *self._backward]
        self._kept = False
        # Kernels on a GPU know addresses, not tensors, and Python code may do what it likes.
        self._lends = not context.is_gpu and not self.plan.runs_python

    @property
    def memory(self) -> list[Tensor]:
        """All that it reads and writes."""
        heads = (head for head in self._heads if head is not None)
        return [*self.program.buffers.memory, *heads]

    def forward(self) -> None:
        """Compute the outputs, and keep what the gradients need."""
        self._kept = False
        run(self._steps, self.program.buffers)
        self._kept = True

    def backward(self, heads: Sequence[Tensor | None]) -> None:
        """Compute the gradients after :meth:`forward`.

        Args:
            heads: the gradient of each output that needs one.
        """
        # A backward pass overwrites what it has read: a second one computes it again.
        steps = self._backward if self._kept else self._repeated
        self._kept = False
        self.program.follow()
        with Loans(self.program.buffers.outputs) as loans:
            for place, head in zip(self._heads, heads, strict=True):
                if place is None or head is None:
                    continue
                if not (self._lends and loans.lend(head, place)):
                    place.copy_(head)
            run(steps, self.program.buffers)


def fresh_names(taken: Mapping[str, Tensor]) -> Iterator[str]:
    """Names for variables of our own, that the graph does not have."""
    number = 0
    while True:
        name = f"_gradient{number}"
        if name not in taken:
            yield name
        number += 1


def variable(name: str) -> Entry:
    """A variable that no program has made."""
    return Entry(Node(None, name, {}, (), ("", 0)), 0)
