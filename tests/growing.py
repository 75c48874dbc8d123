"""Graphs in growth: values to choose inputs from, and arrays for the variables.

Knows of operators only what the registry tells; how each is applied stands in `graphs`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tritonsym.binding.executor import Executor
from tritonsym.context import Context
from tritonsym.expressions.expr import Shape, input_
from tritonsym.foundation.dtype import BOOL, BY_NAME, DType
from tritonsym.foundation.errors import LoweringError, MXNetError
from tritonsym.graph.frontend import attribute_text
from tritonsym.graph.op import registered
from tritonsym.ndarray import NDArray, from_torch
from tritonsym.symbol import Group, Symbol, Variable
from tritonsym.symbol.core import apply

# An input is a value that others read already with this probability, else a new one where there
# is one.
REUSED = 0.4
MOST_ELEMENTS = 600
LENGTHS = (1, 2, 3, 4, 5, 7, 8)
DTYPES = ("float32", "float32", "float64", "float16", "int32", "int64", "int8", "uint8")


@dataclass(frozen=True)
class Value:
    """One output of the graph so far."""

    symbol: Symbol
    shape: Shape
    dtype: DType
    name: str


@dataclass(frozen=True)
class Example:
    """A graph and the arrays that its variables are bound to.

    Attributes:
        text: the program that makes the graph, to be read by a person.
    """

    symbol: Symbol
    arrays: dict[str, NDArray]
    text: str

    def bind(self, context: Context) -> Executor:
        """The graph bound to its arrays."""
        return self.symbol.bind(context, self.arrays, aux_states=self.arrays)

    @property
    def inputs(self) -> list[torch.Tensor]:
        """The tensors in the order in which a traced graph numbers its inputs."""
        return [self.arrays[name]._tensor for name in self.symbol.list_inputs()]


@dataclass
class Grower:
    """A graph in growth. Each operator that is added draws its choices from ``choose``."""

    seed: int
    values: list[Value] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.choose = random.Random(self.seed)
        rank = self.choose.choices((1, 2, 3, 4), (1, 4, 4, 2))[0]
        self.shape: Shape = tuple(self.choose.choice(LENGTHS) for _ in range(rank))
        while int(np.prod(self.shape)) > MOST_ELEMENTS // 2:
            self.shape = self.shape[1:]
        self.dtype = BY_NAME[self.choose.choice(DTYPES)]

    # ---- inputs ----

    def value(
        self,
        fits: Callable[[Value], bool] = lambda value: True,
        shape: Callable[[], Shape] | None = None,
        dtype: DType | None = None,
    ) -> Value:
        """A value that fits, or a new variable of this shape and dtype."""
        known = [value for value in self.values if fits(value)]
        unread = [value for value in known if value.name not in self.read]
        chance = self.choose.random()
        if known and chance < REUSED:
            return self.choose.choice(known)
        if unread and chance < 0.9:
            return self.choose.choice(unread[-4:])
        return self.variable(shape() if shape else self.some_shape(), dtype or self.some_dtype())

    def like(self, other: Value) -> Value:
        """A value of the same shape and dtype; it may be the same one."""
        return self.value(
            lambda value: value.shape == other.shape and value.dtype is other.dtype,
            lambda: other.shape,
            other.dtype,
        )

    def of_rank(self, *ranks: int) -> Value:
        return self.value(
            lambda value: len(value.shape) in ranks,
            lambda: tuple(
                self.choose.choice(LENGTHS[:5]) for _ in range(self.choose.choice(ranks))
            ),
        )

    def floating(self) -> Value:
        dtype = self.dtype if self.dtype.is_float else BY_NAME["float32"]
        return self.value(lambda value: value.dtype.is_float, None, dtype)

    def some_dtype(self) -> DType:
        """Mostly the graph's own, so that values can meet."""
        return self.dtype if self.choose.random() < 0.8 else BY_NAME[self.choose.choice(DTYPES)]

    def some_shape(self) -> Shape:
        """The graph's own shape, at times with other lengths or fewer axes."""
        chance = self.choose.random()
        if chance < 0.7:
            return self.shape
        if chance < 0.85:
            return self.thinned(self.shape)
        rank = self.choose.randint(1, 3)
        return tuple(self.choose.choice(LENGTHS[:5]) for _ in range(rank))

    def thinned(self, shape: Shape) -> Shape:
        """The shape with some lengths replaced by 1."""
        return tuple(1 if self.choose.random() < 0.3 else length for length in shape)

    def axis(self, shape: Shape) -> int:
        """An axis, counted from either end."""
        return self.choose.randrange(-len(shape), len(shape))

    def variable(self, shape: Shape, dtype: DType) -> Value:
        name = f"v{len(self.tensors)}"
        alike = [
            other
            for other, tensor in self.tensors.items()
            if tuple(tensor.shape) == shape and tensor.dtype is dtype.torch
        ]
        if alike and self.choose.random() < 0.1:
            self.tensors[name] = self.tensors[self.choose.choice(alike)]
            note = "the same memory as another"
        else:
            self.tensors[name], note = array(self.choose, shape, dtype)
        made = Value(Variable(name), shape, dtype, name)
        self.values.append(made)
        self.lines.append(f"{name} = Variable({name!r})  # {dtype}{list(shape)} {note}")
        return made

    def of_shape(self, shape: Shape, dtype: DType) -> Value:
        """A value of this shape and dtype."""
        return self.value(lambda v: v.shape == shape and v.dtype is dtype, lambda: shape, dtype)

    def state(self, shape: Shape, dtype: DType) -> Value:
        """A variable that an operator may write; nothing else reads it."""
        made = self.variable(shape, dtype)
        self.values.pop()
        return made

    # ---- growing ----

    def add(self, name: str, inputs: Sequence[Value], attributes: Mapping[str, Any]) -> None:
        """Apply an operator, unless it refuses or its result is large."""
        op = registered()[name]
        own = {key: attribute_text(key, value) for key, value in attributes.items()}
        if op.variadic is not None:
            own[op.variadic] = str(len(inputs))
        given = [input_(i, value.shape, value.dtype) for i, value in enumerate(inputs)]
        try:
            parameters = op.schema.parse(own)
            shape = attributes.get("shape") if not inputs else None
            outputs = op.lower(parameters, given, shape=shape)[: op.visible_count(parameters)]
        except (LoweringError, MXNetError) as error:
            self.lines.append(f"# {op.name} {own} does not fit: {error}")
            return
        if any(output.size > MOST_ELEMENTS for output in outputs):
            return
        label = f"n{len(self.lines)}"
        alias = self.choose.choice((op.name, *op.aliases))
        symbol = apply(alias, [value.symbol for value in inputs], attributes, name=label)
        shown = ", ".join(
            [value.name for value in inputs] + [f"{k}={v!r}" for k, v in attributes.items()]
        )
        kinds = ", ".join(f"{output.dtype}{list(output.shape)}" for output in outputs)
        self.lines.append(f"{label} = {alias}({shown})  # {kinds}")
        self.read.update(value.name for value in inputs)
        for index, output in enumerate(outputs):
            part = label if len(outputs) == 1 else f"{label}[{index}]"
            self.values.append(Value(symbol[index], output.shape, output.dtype, part))

    def finish(self, gene: int) -> Example:
        """Choose the outputs: the last value, others that nobody reads, and at times any at all."""
        self.choose = random.Random(gene)
        if not self.values:
            self.variable(self.some_shape(), self.some_dtype())
        unread = [value for value in self.values if value.name not in self.read]
        outputs = unread[-1:] or self.values[-1:]
        outputs += self.choose.sample(unread, min(len(unread), self.choose.randrange(8)))
        while self.choose.random() < 0.3:
            outputs.append(self.choose.choice(self.values))  # an internal one, or a variable
        while self.choose.random() < 0.15:
            outputs.append(self.choose.choice(outputs))
        self.choose.shuffle(outputs)
        symbol = outputs[0].symbol
        if len(outputs) > 1:
            symbol = Group([value.symbol for value in outputs])
        names = symbol.list_inputs()
        arrays = {name: from_torch(self.tensors[name]) for name in names}
        shown = ", ".join(value.name for value in outputs)
        return Example(symbol, arrays, "\n".join([*self.lines, f"Group([{shown}])"]))


# ---- values ------------------------------------------------------------------------------------

SPECIAL = (
    *(0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.5, -2.5, 3.0),
    *(float("inf"), float("-inf"), float("nan")),
)


def array(choose: random.Random, shape: Shape, dtype: DType) -> tuple[torch.Tensor, str]:
    """A tensor with ordinary or special values, and what is notable about it."""
    numbers = np.random.default_rng(choose.getrandbits(32))
    size = int(np.prod(shape))
    special = choose.random() < 0.3
    if dtype is BOOL:
        return torch.from_numpy(numbers.integers(0, 2, size).astype(bool).reshape(shape)), ""
    if dtype.is_float:
        limits = np.finfo(dtype.numpy)
        # Halves make ties likely.
        values = np.round(numbers.standard_normal(size) * 4) / 2
        if choose.random() < 0.5:
            values = numbers.standard_normal(size)
        if special:
            extremes = (limits.max, limits.min, limits.tiny, limits.smallest_subnormal)
            pool = np.array([*SPECIAL, *extremes, *(-x for x in extremes)])
            values = np.where(numbers.random(size) < 0.5, numbers.choice(pool, size), values)
    else:
        bounds = np.iinfo(dtype.numpy)
        values = numbers.integers(max(-4, bounds.min), 6, size)
        if special:
            pool = np.array([0, 1, 2, bounds.max, bounds.min, bounds.max - 1, bounds.min + 1])
            values = np.where(numbers.random(size) < 0.4, numbers.choice(pool, size), values)
    with np.errstate(over="ignore"):
        dense = torch.from_numpy(values.astype(dtype.numpy).reshape(shape))
    tensor, note = strided(choose, dense)
    return tensor, f"{note}special values" if special else note


def strided(choose: random.Random, dense: torch.Tensor) -> tuple[torch.Tensor, str]:
    """At times the same values in memory of another layout."""
    chance = choose.random()
    if chance < 0.8:
        return dense, ""
    if chance < 0.9:
        order = list(range(dense.ndim))
        choose.shuffle(order)
        turned = dense.permute(order).contiguous()
        return turned.permute(np.argsort(order).tolist()), f"laid out as {order}, "
    axis = choose.randrange(dense.ndim)
    twice = torch.repeat_interleave(dense, 2, axis)
    every_second = tuple(slice(axis == i, None, 1 + (axis == i)) for i in range(dense.ndim))
    return twice[every_second], f"every second one of axis {axis}, "
