"""Programs: the memory of a bound plan, and the prepared steps that run on it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import torch

from ..expressions.expr import Expr, Shape
from ..expressions.layout import ordered_like
from ..expressions.philox import RandomState, drawing
from ..expressions.reference import Step, Tensor, scalar
from ..expressions.walks import toposort
from ..foundation.dtype import DType
from ..foundation.errors import MXNetError
from ..foundation.text import listed
from ..planning.plan import Plan
from .cuda_graph import Launched, StreamOrder


def allocate(shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
    """New memory for what a program writes; it holds anything."""
    return torch.empty(shape, dtype=dtype, device=device)


def outputs_of(
    plan: Plan, inputs: Sequence[Tensor], device: torch.device, given: Sequence[Tensor | None] = ()
) -> list[Tensor]:
    """The memory of a plan's outputs: an input that is replaced, what is given, or new zeros."""
    found = {number: tensor for number, tensor in enumerate(given) if tensor is not None}
    found.update({number: inputs[plan.replaced[number]] for number in plan.in_place})
    return [
        found[number] if number in found else allocate(x.shape, x.dtype.torch, device).zero_()
        for number, x in enumerate(plan.outputs)
    ]


def _as_laid_out(tensor: Tensor, shape: Shape, strides: Sequence[int]) -> Tensor:
    """A tensor with these strides: itself where it has them, so that its memory can change."""
    if (tensor.shape, tensor.stride()) == (shape, strides):
        return tensor
    return tensor.as_strided(shape, strides, tensor.storage_offset())


class Buffers:
    """Tensors for every value of a plan that has memory outside of tiles.

    Args:
        plan: made for arrays of these shapes, dtypes and strides.
        inputs: the tensors that ``input`` expressions name.
        device: where the arena and the outputs are.
        outputs: memory for the outputs, contiguous, or None where it is to be made.
    """

    def __init__(
        self,
        plan: Plan,
        inputs: Sequence[Tensor],
        device: torch.device,
        outputs: Sequence[Tensor | None] = (),
    ) -> None:
        self._plan = plan
        self._inputs = inputs
        self._device = device
        self.arena = allocate((plan.arena_size,), torch.uint8, device)
        self._typed: dict[DType, Tensor] = {}
        self._tables: list[Tensor] = []
        # The steps are kept as well, so that no other one has such a number.
        self._makers: dict[int, tuple[int, Step]] = {}
        self.outputs = outputs_of(plan, inputs, device, outputs)
        # What lives only within a tiled kernel has the memory of one tile, or none at all.
        self.inner: set[Expr] = set()
        for kernel in plan.kernels:
            if kernel in plan.tilings or plan.in_registers:
                self.inner.update(set(kernel.body).difference(kernel.outputs, plan.hosted))
        self.tensors: dict[Expr, Tensor] = {}
        for x in toposort(plan.outputs):
            if plan.layouts[x].base not in self.inner:
                self.tensors[x] = self._tensor(x)

    def _tensor(self, x: Expr) -> Tensor:
        if x.primitive == "constant":
            return scalar(x).to(self._device)
        if x.primitive == "draw":
            return torch.zeros(x.shape, dtype=x.dtype.torch, device=self._device)
        layout = self._plan.layouts[x]
        if x.primitive == "input":
            # Strides of axes of one element say nothing, but torch compares them where memory is
            # read and written by one call.
            return _as_laid_out(self._inputs[x.integer("index")], x.shape, layout.strides)
        if layout.base is not x:
            base = self.tensors[layout.base]
            return base.as_strided(x.shape, layout.strides, base.storage_offset() + layout.offset)
        place = self._plan.places[x]
        if place.output is not None:
            output = self.outputs[place.output]
            # What inference mode made is written to outside of it as another tensor, never itself.
            is_same = output.dtype == x.dtype.torch and not output.is_inference()
            typed = output if is_same else output.view(x.dtype.torch)
            return _as_laid_out(typed, x.shape, layout.strides)
        return self.from_arena(x, x.shape)

    @property
    def memory(self) -> list[Tensor]:
        """A tensor in each memory that steps read and write."""
        found = [self.arena, *self.outputs, *self._inputs, *self.tensors.values(), *self._tables]
        return one_of_each_memory(found)

    def table(self, values: Sequence[Expr]) -> Tensor:
        """The addresses of values, where kernels can read them."""
        addresses = [self.tensors[x].data_ptr() for x in values]
        self._tables.append(torch.tensor(addresses, dtype=torch.int64, device=self._device))
        return self._tables[-1]

    def from_arena(self, x: Expr, shape: Shape) -> Tensor:
        """A value's place in the arena, as a tensor of the shape of all of it or of a tile."""
        if x.dtype not in self._typed:
            self._typed[x.dtype] = self.arena.view(x.dtype.torch)
        typed = self._typed[x.dtype]
        offset = typed.storage_offset() + self._plan.places[x].offset // x.dtype.itemsize
        flat = len(shape) != len(x.shape)
        strides = (1,) if flat else ordered_like(self._plan.layouts[x].strides, shape)
        return typed.as_strided(shape, strides, offset)

    def draws(self, state: RandomState) -> list[Step]:
        """The step that tells a run which random numbers are its own, where it has any."""
        return [drawing(self.tensors[x], state) for x in self.tensors if x.primitive == "draw"]

    def passes(self, launches: Sequence[Sequence[Step]], state: RandomState) -> list[Pass]:
        """The steps of each stage, from the steps of each kernel."""
        found: list[Pass] = []
        begin = 0
        for stage in self._plan.stages:
            kernels = [step for steps in launches[begin : stage.end] for step in steps]
            copies: list[Step] = [
                partial(self.outputs[number].copy_, self.tensors[self._plan.outputs[number]])
                for number in stage.copies
            ]
            updates: list[Step] = [
                partial(self._inputs[self._plan.replaced[number]].copy_, self.outputs[number])
                for number in stage.updates
            ]
            found.append(Pass([] if found else self.draws(state), kernels + copies, updates))
            begin = stage.end
        self._makers = {id(step): (n, step) for n, steps in enumerate(launches) for step in steps}
        return found

    def title(self, number: int) -> str:
        """A kernel's number, form and symbols."""
        kernel = self._plan.kernels[number]
        names = dict.fromkeys(n for x in kernel.body for n in self._plan.origins.get(x, ()))
        return f"{number} ({kernel.form}) of the plan, which computes {listed(names)}"

    def is_python(self, step: Step) -> bool:
        """Whether a step runs a caller's Python code."""
        number = self.kernel_of(step)
        return number is not None and self._plan.kernels[number].runs_python

    def kernel_of(self, step: Step) -> int | None:
        """The number of the kernel that a step is a part of, if it is one's alone."""
        number, _ = self._makers.get(id(step), (None, None))
        return number


@dataclass(frozen=True)
class Pass:
    """The calls of one stage of a plan.

    Attributes:
        draws: choose the random numbers of the run.
        steps: compute the outputs; they can be repeated, and compute the same again.
        updates: replace inputs by what was computed for them.
    """

    draws: Sequence[Step]
    steps: Sequence[Step]
    updates: Sequence[Step]

    @property
    def all(self) -> list[Step]:
        """Every call, in order."""
        return [*self.draws, *self.steps, *self.updates]


@dataclass(frozen=True)
class Program:
    """A plan on arrays, ready to run.

    Attributes:
        buffers: its memory, with the outputs.
        passes: what computes the outputs from what the inputs then hold, stage by stage.
        order: what each pass begins with, where a device has streams.
        copied: memory of others, where outputs are copied in the end.
    """

    buffers: Buffers
    passes: Sequence[Pass]
    order: StreamOrder | None = None
    copied: Sequence[Tensor] = ()

    def copying(self, outputs: Mapping[int, Tensor]) -> Program:
        """The same program, which in the end copies outputs, by number, to other places as well."""
        *before, last = self.passes
        copies = [partial(t.copy_, self.buffers.outputs[n]) for n, t in outputs.items()]
        passes = [*before, replace(last, updates=[*last.updates, *copies])]
        return replace(self, passes=passes, copied=[*outputs.values()])

    @property
    def memory(self) -> list[Tensor]:
        """A tensor in each memory that a run reads and writes."""
        return one_of_each_memory([*self.buffers.memory, *self.copied])

    @property
    def joined(self) -> Program:
        """The same program with all stages as one, whose updates wait for the end."""
        steps = [*chain.from_iterable(part.steps for part in self.passes)]
        updates = [*chain.from_iterable(part.updates for part in self.passes)]
        return replace(self, passes=[Pass(self.passes[0].draws, steps, updates)])

    @property
    def manner(self) -> str:
        """How the steps are run, in words for a person; nothing where it goes without saying."""
        found = dict.fromkeys(str(s) for s in self.passes[0].steps if isinstance(s, Launched))
        return "".join(f"{line}\n" for line in found)

    def run(self) -> None:
        """Compute the outputs."""
        for part in self.passes:
            run(part.all, self.buffers)

    def follow(self) -> None:
        """Come after the last run, on whatever stream it was, before its inputs are written to."""
        if self.order is not None:
            self.order()


class InTurn:
    """Programs on the same memory: each run comes after all before it, on whatever streams.

    Attributes:
        running: is held while one of them is started, and its inputs are written to.
    """

    def __init__(self) -> None:
        self.running = threading.Lock()
        # Of no memory: that of a program goes with the program.
        self._order: StreamOrder | None = None

    def add(self, program: Program) -> Program:
        """The same program, which takes its turn from now on."""
        if program.order is not None:
            self._order = self._order or program.order.without_memory()
            program.order.join(self._order)
        return program

    def follow(self) -> None:
        """Come after the last run, before something else is written to what it reads."""
        if self._order is not None:
            self._order()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other threads from starting a run.

        Raises:
            MXNetError: one is being started already.
        """
        if not self.running.acquire(False):
            raise busy()
        try:
            yield
        finally:
            self.running.release()


def busy() -> MXNetError:
    """What is said of a run that is started within another one."""
    return MXNetError(
        "this executor is running already, in another thread or in its own monitor, on the memory "
        "that this run would need: bind one for each thread"
    )


def one_of_each_memory(tensors: Iterable[Tensor]) -> list[Tensor]:
    """A tensor in each memory that some tensors lie in."""
    return [*{_storage(tensor).data_ptr(): tensor for tensor in tensors}.values()]


def own_bytes(memory: Iterable[Tensor], given: Iterable[Tensor]) -> int:
    """The bytes of all memory that some tensors lie in, without that of given ones."""
    storages = {storage.data_ptr(): storage.nbytes() for storage in map(_storage, memory)}
    others = {storage.data_ptr() for storage in map(_storage, given)}
    return sum(size for place, size in storages.items() if place not in others)


def _storage(tensor: Tensor) -> torch.UntypedStorage:
    return tensor.untyped_storage()


def run(steps: Sequence[Step], buffers: Buffers) -> None:
    """Run steps one after the other; an exception on the way says in which kernel it came."""
    try:
        for step in steps:
            step()
    except BaseException as error:
        number = buffers.kernel_of(step)
        if number is not None:
            error.add_note(f"in kernel {buffers.title(number)}")
        raise
