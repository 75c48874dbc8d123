"""Operators: one definition each, found by name in one registry. Knows nothing of symbols.

The definition is a function from expressions to expressions. Its positional arguments are the
operator's inputs, its keyword-only arguments the parameters, with types and defaults. From it come
`mx.sym.*`, `mx.nd.*`, inference, the checks and the documentation.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, overload

from ..expressions.expr import Expr, Shape, input_
from ..expressions.library import Native, library_call
from ..expressions.operations import on_the_way
from ..foundation.dtype import FLOAT32, DType
from ..foundation.errors import LoweringError, MXNetError
from ..foundation.text import shown
from .schema import Arity, Schema

# A shape under inference: None is not known at all, 0 is a length not known yet.
PartialShape = Shape | None
Shapes = list[PartialShape]
DTypes = list[DType | None]
Lowering = Callable[..., Expr | tuple[Expr, ...]]
FillShapes = Callable[[Any, Shapes, Shapes], None]
FillDTypes = Callable[[Any, DTypes, DTypes], None]
# One for each input, or None where it is zero.
Gradients = Sequence[Expr | None]
# A closed form: (attributes, head gradients, inputs, outputs) to gradients. Without one, they are
# derived from the operator's expression.
Gradient = Callable[[Any, Sequence[Expr], Sequence[Expr], Sequence[Expr]], Gradients]
# What auxiliary states become in training: (attributes, inputs, outputs) to one value for each.
Updates = Callable[[Any, Sequence[Expr], Sequence[Expr]], Sequence[Expr]]
# What unknown lengths may be: much divides the long ones, and the short ones end within a slice.
_LONG = 5040
_TRIED = (1, 2, 6, _LONG, 7560)


def unify_dtypes(attributes: Any, inputs: DTypes, outputs: DTypes) -> None:
    """The rule of most operators: every input and output has one dtype."""
    for known in (*inputs, *outputs):
        if known is not None:
            for side in (inputs, outputs):
                side[:] = [dtype or known for dtype in side]
            return


def merge_shapes(a: PartialShape, b: PartialShape) -> PartialShape:
    """What two partial shapes of one thing say together.

    Raises:
        LoweringError: they contradict each other.
    """
    if a is None or b is None or a == b:
        return b if a is None else a
    if len(a) != len(b) or any(m and n and m != n for m, n in zip(a, b, strict=True)):
        raise LoweringError(f"expected shape {a}, got {b}")
    return tuple(m or n for m, n in zip(a, b, strict=True))


def unify_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """The rule of elementwise operators: every input and output has one shape."""
    common = functools.reduce(merge_shapes, (*inputs, *outputs))
    inputs[:] = [common] * len(inputs)
    outputs[:] = [common] * len(outputs)


def is_complete(shape: PartialShape) -> typing.TypeGuard[Shape]:
    """Whether every length is known."""
    return shape is not None and 0 not in shape


@dataclass(frozen=True)
class Numbered(Sequence[str]):
    """The names ``stem0``, ``stem1``, ...: a count, which costs nothing however large it is."""

    stem: str
    total: int

    def __len__(self) -> int:
        return self.total

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [f"{self.stem}{i}" for i in range(self.total)[index]]
        return f"{self.stem}{range(self.total)[index]}"


@dataclass(frozen=True, eq=False)
class Op:
    """One operator.

    Attributes:
        name: as MXNet registers it; ``aliases`` are its other names.
        lower: attributes and inputs to the expression, or expressions, that it means.
        declared_inputs: the names of all inputs that it can have; none where it is variadic.
        input_names: the names of its inputs for given attributes.
        output_names: the suffixes of its outputs' names for given attributes.
        auxiliary: the declared inputs that are states which the operator writes.
        state_names: the names of its states for given attributes.
        variadic: the attribute that counts the inputs, where any number may be given.
        is_open: whether its attributes alone say which inputs it has, and what it accepts.
        fill_shapes: completes partial shapes of inputs and outputs in place, both ways.
        fill_dtypes: the same for dtypes.
        native: one call of torch that does the whole operator on the CPU.
        uses_native: whether ``native`` can serve these attributes and inputs.
        elementwise: whether ``native`` computes element by element.
        channels_last: whether ``native`` is faster where the second axis of its result runs along
            the memory.
        by_rows: whether ``native`` computes each row of its result from a row of the first input.
        random: whether ``lower`` takes the number of a random ``stream``.
        gradient: the closed form of its gradients, where they are not the derivative of its
            expression, or are better computed from its outputs.
        is_loss: whether it begins backward passes by itself, and ignores head gradients.
        updates: the values that its auxiliary states take on when it runs in training.
        visible_count: how many of its outputs a symbol shows; the others serve its gradient.
        depends_on_training: whether ``lower`` takes ``train``.
        initial: how variables for these inputs begin that do not say it themselves, as the texts
            in which files name initializers.
    """

    name: str
    aliases: tuple[str, ...]
    schema: Schema
    function: Lowering
    declared_inputs: tuple[str, ...]
    input_names: Callable[[Any], Sequence[str]]
    output_names: Callable[[Any], Sequence[str]]
    auxiliary: tuple[str, ...]
    state_names: Callable[[Any], Sequence[str]]
    variadic: str | None
    is_open: bool
    fill_shapes: FillShapes | None
    fill_dtypes: FillDTypes
    native: Native | None
    uses_native: Callable[[Any, Sequence[Expr]], bool]
    elementwise: bool
    channels_last: bool
    by_rows: bool
    random: bool
    gradient: Gradient | None
    is_loss: Callable[[Any], bool]
    updates: Updates | None
    visible_count: Callable[[Any], int]
    depends_on_training: bool
    initial: Mapping[str, str]

    def lower(
        self,
        attributes: Any,
        inputs: Sequence[Expr],
        *,
        shape: PartialShape = None,
        stream: int = 0,
        train: bool = False,
        native: bool = False,
    ) -> tuple[Expr, ...]:
        """The expressions of the operator's outputs.

        Args:
            attributes: a record of ``schema``.
            inputs: one expression per input name.
            shape: of the output, for operators without inputs whose ``shape`` leaves it open.
            stream: the number of this node among the random ones of its graph.
            train: whether it is to behave as in training.
            native: prefer the one torch call that does it, where there is one.

        Raises:
            LoweringError: the inputs' shapes or dtypes do not fit.
        """
        keywords = {name: getattr(attributes, name) for name in self._parameters}
        if not inputs and shape is not None and "shape" in keywords:
            keywords["shape"] = shape
        if self.random:
            keywords["stream"] = stream
        if self.depends_on_training:
            keywords["train"] = train
        result = self.function(*inputs, **keywords)
        outputs = result if isinstance(result, tuple) else (result,)
        if native and self.native is not None and self.uses_native(attributes, inputs):
            (output,) = outputs
            call = library_call(
                self.native,
                self.name,
                inputs,
                attributes,
                output.shape,
                output.dtype,
                elementwise=self.elementwise,
                channels_last=self.channels_last,
                by_rows=self.by_rows,
                operations=on_the_way(outputs, inputs),
            )
            return (call,)
        return outputs

    @functools.cached_property
    def _parameters(self) -> tuple[str, ...]:
        signature = inspect.signature(self.function).parameters
        values = dataclasses.fields(self.schema.record)
        return tuple(field.name for field in values if field.name in signature)

    def infer_shapes(self, attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
        """Complete the partial shapes in place, as far as they determine each other.

        Raises:
            LoweringError: they contradict each other or the operator.
        """
        if self.fill_shapes is not None:
            self.fill_shapes(attributes, inputs, outputs)
        complete = [shape for shape in inputs if is_complete(shape)]
        if len(complete) == len(inputs) and (inputs or self.fill_shapes is None):
            # What a caller's own attributes hold must not outlive their graphs.
            find_shapes = _result_shapes.__wrapped__ if self.is_open else _result_shapes
            results = find_shapes(self, attributes, tuple(complete))
            outputs[:] = map(merge_shapes, results, outputs)
        elif None not in inputs and not self.is_open:
            # A caller's own code is not asked what would be.
            outputs[:] = map(merge_shapes, _likely_shapes(self, attributes, tuple(inputs)), outputs)

    @property
    def summary(self) -> str:
        """The function's own documentation."""
        return inspect.getdoc(self.function) or ""


@functools.lru_cache(maxsize=4096)
def _result_shapes(op: Op, attributes: Any, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    dtypes: DTypes = [None] * len(shapes)
    op.fill_dtypes(attributes, dtypes, [None] * len(op.output_names(attributes)))
    inputs = [
        input_(index, shape, dtype or FLOAT32)
        for index, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=True))
    ]
    return tuple(output.shape for output in op.lower(attributes, inputs))


@functools.lru_cache(maxsize=4096)
def _likely_shapes(op: Op, attributes: Any, shapes: tuple[Shape, ...]) -> tuple[PartialShape, ...]:
    """What the shapes of results have in common, whatever the lengths are that are not known."""
    found: list[tuple[Shape, ...]] = []
    for length in _TRIED:
        lengths = tuple(tuple(n or length for n in shape) for shape in shapes)
        try:
            found.append(_result_shapes(op, attributes, lengths))
        except LoweringError:
            if length >= _LONG:
                return (None,) * len(op.output_names(attributes))
    return tuple(_common(each) for each in zip(*found, strict=True))


def _common(shapes: Sequence[Shape]) -> PartialShape:
    """The lengths that all shapes have in the same axis; None where they have not as many axes."""
    if len({len(shape) for shape in shapes}) > 1:
        return None
    return tuple(n if {n} == {*others} else 0 for n, *others in zip(*shapes, strict=True)) or None


_registry: dict[str, Op] = {}


def registered() -> Mapping[str, Op]:
    """Every operator under each of its names."""
    return MappingProxyType(_registry)


def find(name: str) -> Op:
    """The operator of this name or alias.

    Raises:
        MXNetError: there is none; the message names similar ones.
    """
    if name in _registry:
        return _registry[name]
    close = difflib.get_close_matches(name, _registry, n=3, cutoff=0.8)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise MXNetError(f"operator {shown(name)} is not registered{hint}")


def operator(
    name: str,
    *,
    aliases: Sequence[str] = (),
    inputs: Callable[[Any], Sequence[str]] | None = None,
    outputs: Callable[[Any], Sequence[str]] = lambda attributes: ("output",),
    auxiliary: tuple[str, ...] = (),
    states: Callable[[Any], Sequence[str]] | None = None,
    variadic: str | None = None,
    shapes: FillShapes | None = None,
    dtypes: FillDTypes = unify_dtypes,
    native: Native | None = None,
    uses_native: Callable[[Any, Sequence[Expr]], bool] = lambda attributes, inputs: True,
    elementwise: bool = False,
    channels_last: bool = False,
    by_rows: bool = False,
    gradient: Gradient | None = None,
    is_loss: Callable[[Any], bool] = lambda attributes: False,
    updates: Updates | None = None,
    visible: Callable[[Any], int] | None = None,
    initial: Mapping[str, str] = MappingProxyType({}),
    schema: Schema | None = None,
) -> Callable[[Lowering], Lowering]:
    """Register the decorated function as an operator; see :class:`Op` for the options.

    A ``schema`` of its own, instead of its keyword-only arguments, makes it an open one.

    Raises:
        ValueError: a name is taken, which also shows a module imported under two names.
    """

    def register(function: Lowering) -> Lowering:
        signature = inspect.signature(function).parameters
        hints = typing.get_type_hints(function, include_extras=True)
        positional = tuple(
            parameter.name
            for parameter in signature.values()
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
        )
        keywords = {
            parameter.name: parameter
            for parameter in signature.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
            and parameter.name not in ("stream", "train")
        }
        if variadic is not None:
            keywords[variadic] = inspect.Parameter(variadic, inspect.Parameter.KEYWORD_ONLY)
            hints[variadic] = Arity
        op = Op(
            name=name,
            aliases=tuple(aliases),
            schema=Schema(name, keywords, hints) if schema is None else schema,
            function=function,
            declared_inputs=() if variadic or schema else positional,
            input_names=inputs or _fixed_or_counted(positional, variadic),
            output_names=outputs,
            auxiliary=auxiliary,
            state_names=states or (lambda attributes: auxiliary),
            variadic=variadic,
            is_open=schema is not None,
            fill_shapes=shapes,
            fill_dtypes=dtypes,
            native=native,
            uses_native=uses_native,
            elementwise=elementwise,
            channels_last=channels_last,
            by_rows=by_rows,
            random="stream" in signature,
            gradient=gradient,
            is_loss=is_loss,
            updates=updates,
            visible_count=visible or (lambda attributes: len(outputs(attributes))),
            depends_on_training="train" in signature,
            initial=initial,
        )
        for key in (name, *aliases):
            if key in _registry:
                raise ValueError(f"operator {key!r} is registered twice")
        _registry.update(dict.fromkeys((name, *aliases), op))
        return function

    return register


def _fixed_or_counted(
    positional: tuple[str, ...], variadic: str | None
) -> Callable[[Any], Sequence[str]]:
    if variadic is None:
        return lambda attributes: positional
    return lambda attributes: Numbered("arg", getattr(attributes, variadic))
