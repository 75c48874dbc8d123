"""Operators in Python: a class that says what one is, and a class that computes it.

They are registered in this process under a name, which is all that a symbol and its file know of
them: a file can never make code run that the program has not registered.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from .context import Context, context_of
from .expressions.reference import Tensor
from .foundation.dtype import DType, as_dtype
from .foundation.errors import LoweringError, MXNetError
from .foundation.text import checked_text, shown
from .graph.infer import known_shape
from .graph.op import PartialShape
from .ndarray.core import NDArray
from .ops import custom

Value = TypeVar("Value")
# Of arguments, outputs and auxiliary states.
Lists = tuple[list[Value], list[Value], list[Value]]
Property = TypeVar("Property", bound="type[CustomOpProp]")


class CustomOp:
    """What computes a node. Derive from it; what is kept on it lasts from forward to backward."""

    def forward(
        self,
        is_train: bool,
        req: Sequence[str],
        in_data: Sequence[NDArray],
        out_data: Sequence[NDArray],
        aux: Sequence[NDArray],
    ) -> None:
        """Compute the outputs.

        Args:
            is_train: whether the run is one of training.
            req: what to do with each output, for :meth:`assign`; always ``write``.
            in_data: the arguments, to be read only.
            out_data: where the outputs are written; zeros at first. Their memory is the graph's,
                which uses it for other values later: keep a copy, not the array.
            aux: the auxiliary states. What is written is kept in training.
        """

    def backward(
        self,
        req: Sequence[str],
        out_grad: Sequence[NDArray],
        in_data: Sequence[NDArray],
        out_data: Sequence[NDArray],
        in_grad: Sequence[NDArray],
        aux: Sequence[NDArray],
    ) -> None:
        """Compute the gradients of the arguments.

        Args:
            req: what to do with each gradient, for :meth:`assign`; always ``write``, because the
                graph itself adds where it was bound with ``add``.
            out_grad: the gradients of the outputs; zeros where the operator needs none.
            in_data, out_data: what :meth:`forward` read and wrote.
            in_grad: where the gradients are written; zeros at first.
            aux: the auxiliary states, to be read only.
        """

    def assign(self, dst: NDArray, req: str, src: Any) -> None:
        """Write an array as ``req`` says: ``null`` not at all, ``add`` to what is there."""
        if req == "null":
            return
        if req in ("write", "inplace"):
            dst[:] = src
        elif req == "add":
            dst[:] += src


class CustomOpProp:
    """What an operator is. Derive from it, and register the class with :func:`register`.

    Its constructor gets the parameters of the call as texts, by keyword.

    Args:
        need_top_grad: whether gradients depend on those of the outputs; a loss needs none.
    """

    def __init__(self, need_top_grad: bool = True) -> None:
        self.need_top_grad_ = need_top_grad

    def infer_shape(self, in_shape: list[list[int]]) -> Any:
        """The shapes of arguments, outputs and auxiliary states, as two or three lists.

        Args:
            in_shape: of each argument; empty where it is not known.
        """
        return in_shape, (in_shape[0],) * len(self.list_outputs()), ()

    def infer_type(self, in_type: list[Any]) -> Any:
        """The dtypes of arguments, outputs and auxiliary states, as two or three lists.

        Args:
            in_type: of each argument; None where it is not known.
        """
        outputs, states = self.list_outputs(), self.list_auxiliary_states()
        return in_type, [in_type[0]] * len(outputs), [in_type[0]] * len(states)

    def list_arguments(self) -> Sequence[str]:
        """The names of the arguments."""
        return ["data"]

    def list_outputs(self) -> Sequence[str]:
        """The suffixes of the outputs' names."""
        return ["output"]

    def list_auxiliary_states(self) -> Sequence[str]:
        """The names of the auxiliary states."""
        return []

    def declare_backward_dependency(
        self, out_grad: list[int], in_data: list[int], out_data: list[int]
    ) -> Sequence[int]:
        """Which of these numbered arrays the gradients need.

        Only whether one of ``out_grad`` is among them has a meaning here: :meth:`CustomOp.backward`
        gets all the others in any case.
        """
        return [*(out_grad if self.need_top_grad_ else ()), *in_data, *out_data]

    def create_operator(self, ctx: Context, in_shapes: list[Any], in_dtypes: list[int]) -> CustomOp:
        """What computes a node; called once for each executor.

        Args:
            ctx: where the arrays are.
            in_shapes: of arguments and auxiliary states.
            in_dtypes: their dtypes, as MXNet's numbers.
        """
        return CustomOp()


def register(reg_name: str) -> Callable[[Property], Property]:
    """Register the decorated :class:`CustomOpProp` as the ``op_type`` of that name.

    A name that is taken is given to the new class, with a warning; symbols made before keep the old
    one.

    Raises:
        TypeError: the name is no text, or what is decorated no such class.
    """
    checked_text("the name of a custom operator", reg_name)

    def decorate(prop_cls: Property) -> Property:
        if not (isinstance(prop_cls, type) and issubclass(prop_cls, CustomOpProp)):
            raise TypeError(
                f"custom operator {shown(reg_name)} needs a class derived from CustomOpProp, got "
                f"{shown(prop_cls)}"
            )
        if custom.register(reg_name, lambda given: _Registered(reg_name, prop_cls, given)):
            warnings.warn(
                f"new registration is overriding existing custom operator {shown(reg_name)}",
                stacklevel=2,
            )
        return prop_cls

    return decorate


# ---- between the classes and the graph -----------------------------------------------------------


@contextmanager
def _calling(op_type: str, method: str, kind: type[Exception]) -> Iterator[None]:
    """Code of the user: what it raises becomes an error that says whose code it was."""
    try:
        yield
    except Exception as error:
        raise kind(
            f"custom operator {shown(op_type)}: {method} raised {type(error).__name__}: {error}"
        ) from error


class _Registered:
    """An operator of a registered class, made for the parameters of one node."""

    def __init__(
        self, op_type: str, prop_cls: Callable[..., CustomOpProp], given: Mapping[str, str]
    ) -> None:
        self.op_type = op_type
        with _calling(op_type, "the constructor", MXNetError):
            self._prop = prop_cls(**given)
        self.arguments = self._names("list_arguments")
        self.outputs = self._names("list_outputs")
        self.states = self._names("list_auxiliary_states")
        inputs = (*self.arguments, *self.states)
        if len(set(inputs)) < len(inputs) or not self.outputs:
            raise MXNetError(
                f"custom operator {shown(op_type)} has the inputs {inputs} and the outputs "
                f"{self.outputs}: inputs need names of their own, and one output is needed at least"
            )
        counts = (len(self.outputs), len(self.arguments), len(self.outputs))
        ids = iter(range(sum(counts)))
        heads, data, results = ([next(ids) for _ in range(count)] for count in counts)
        with _calling(op_type, "declare_backward_dependency", MXNetError):
            needed = {*self._prop.declare_backward_dependency([*heads], data, results)}
        self.needs_heads = not needed.isdisjoint(heads)

    def _names(self, method: str) -> tuple[str, ...]:
        with _calling(self.op_type, method, MXNetError):
            return tuple(
                checked_text(f"a name in {method}", name) for name in getattr(self._prop, method)()
            )

    def shapes(self, arguments: list[PartialShape]) -> Lists[PartialShape]:
        def shape(value: Any) -> PartialShape:
            return known_shape("a shape", tuple(value))

        with _calling(self.op_type, "infer_shape", LoweringError):
            given = self._prop.infer_shape([list(known or ()) for known in arguments])
            return self._lists(given, shape, None)

    def dtypes(self, arguments: list[DType | None]) -> Lists[DType | None]:
        with _calling(self.op_type, "infer_type", LoweringError):
            given = self._prop.infer_type([None if x is None else x.public for x in arguments])
            known = next((x for x in arguments if x is not None), None)
            return self._lists(given, lambda x: None if x is None else as_dtype(x), known)

    def _lists(
        self, given: Any, convert: Callable[[Any], Value | None], state: Value | None
    ) -> Lists[Value | None]:
        """Values of arguments, outputs and states; those of the states may have been left out."""
        names = (self.arguments, self.outputs, self.states)
        found = [[convert(value) for value in values] for values in given]
        if len(found) == 2:
            found.append([state] * len(self.states))
        wanted = [len(of_kind) for of_kind in names]
        if [len(values) for values in found] != wanted:
            raise ValueError(
                f"it must return lists of {wanted} for arguments, outputs and auxiliary states, "
                f"and returned lists of {[len(values) for values in found]}"
            )
        arguments, outputs, states = found
        return arguments, outputs, states

    def create(self, inputs: Sequence[Tensor]) -> _Running:
        context = context_of(inputs[0]) if inputs else Context("cpu", 0)
        with _calling(self.op_type, "create_operator", MXNetError):
            code = self._prop.create_operator(
                context,
                [list(tensor.shape) for tensor in inputs],
                [as_dtype(tensor.dtype).code for tensor in inputs],
            )
        return _Running(self.op_type, code, context)


class _Running:
    """A :class:`CustomOp`, called with arrays that are the graph's own memory."""

    def __init__(self, op_type: str, code: CustomOp, context: Context) -> None:
        self._op_type = op_type
        self._code = code
        self._context = context

    def _arrays(self, tensors: Sequence[Tensor]) -> list[NDArray]:
        return [NDArray(tensor, self._context) for tensor in tensors]

    def forward(
        self,
        train: bool,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        states: Sequence[Tensor],
    ) -> None:
        with _calling(self._op_type, "forward", MXNetError):
            self._code.forward(
                is_train=train,
                req=["write"] * len(outputs),
                in_data=self._arrays(inputs),
                out_data=self._arrays(outputs),
                aux=self._arrays(states),
            )

    def backward(
        self,
        heads: Sequence[Tensor],
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        gradients: Sequence[Tensor],
        states: Sequence[Tensor],
    ) -> None:
        with _calling(self._op_type, "backward", MXNetError):
            self._code.backward(
                req=["write"] * len(gradients),
                out_grad=self._arrays(heads),
                in_data=self._arrays(inputs),
                out_data=self._arrays(outputs),
                in_grad=self._arrays(gradients),
                aux=self._arrays(states),
            )
