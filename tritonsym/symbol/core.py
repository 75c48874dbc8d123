"""The class of symbols: named variables and operators on them, inspected, composed, inferred."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import collector, frontend
from ..attribute import current_attributes, is_user_key, shown_attributes, stored_key
from ..context import Context
from ..dtype import DType, as_dtype
from ..errors import MXNetError, NotImplementedForSymbol, caller_line
from ..files import replace_file
from ..graph import Entry, Node, parse_parameters, toposort, variables
from ..infer import Inferred, infer_dtypes, infer_shapes, normalised
from ..name import current_names
from ..op import PartialShape, find, is_complete
from . import json_file

if TYPE_CHECKING:
    from ..executor import Executor
    from ..ndarray.core import NDArray

Shape = tuple[int, ...]
Number = (int, float, np.generic)


class Symbol:
    """One or several outputs of a graph of operators over named variables.

    Operators on symbols build the graph; nothing is computed before :meth:`bind`.
    """

    __slots__ = ("_entries",)
    __module__ = "tritonsym.symbol"
    # numpy scalars and arrays leave arithmetic with a symbol to the symbol.
    __array_priority__: ClassVar[float] = 1000.0
    __array_ufunc__: ClassVar[None] = None

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = tuple(entries)

    # ---- what it is ----

    @property
    def name(self) -> str | None:
        """The node's name; None for a group of several nodes."""
        first = self._entries[0].node
        return first.name if all(entry.node is first for entry in self._entries) else None

    def __repr__(self) -> str:
        if self.name is not None:
            return f"<Symbol {self.name}>"
        return f"<Symbol group [{', '.join(str(item.name) for item in self)}]>"

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Symbol]:
        return (Symbol((entry,)) for entry in self._entries)

    def __getitem__(self, index: int | str | slice) -> Symbol:
        """Select outputs, by number, name or slice. This is no slicing of tensors.

        Raises:
            ValueError: no output, or more than one, has that name.
            IndexError: there are fewer outputs.
            MXNetError: a negative number.
            TypeError: any other kind of key.
        """
        if isinstance(index, slice):
            if not self._entries[index]:
                raise TypeError(f"{index} selects none of the {len(self)} outputs")
            return Symbol(self._entries[index])
        if isinstance(index, str):
            found = [entry for entry in self._entries if entry.name == index]
            if not found:
                raise ValueError(
                    f'Cannot find output that matches name "{index}"; '
                    f"the outputs are {self.list_outputs()}"
                )
            if len(found) > 1:
                raise ValueError(f'There are multiple outputs with name "{index}"')
            return Symbol(found)
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise TypeError("Symbol only support integer index to fetch i-th output")
        if index < 0:
            raise MXNetError(f"Symbol only accept nonnegative index, got {index}")
        if index >= len(self):
            raise IndexError(f"output {index} of a symbol with {len(self)} outputs")
        return Symbol((self._entries[index],))

    def list_arguments(self) -> list[str]:
        """The names of the variables to bind, in the order in which they are first needed."""
        return [node.name for node in variables(toposort(self._entries))[0]]

    def list_outputs(self) -> list[str]:
        """The names of the outputs."""
        return [entry.name for entry in self._entries]

    def list_auxiliary_states(self) -> list[str]:
        """The names of the variables that operators write, such as running means."""
        return [node.name for node in variables(toposort(self._entries))[1]]

    def list_inputs(self) -> list[str]:
        """The names of all variables, arguments and states."""
        return [node.name for node in toposort(self._entries) if node.op is None]

    @property
    def num_outputs(self) -> int:
        return len(self)

    def get_internals(self) -> Symbol:
        """A group of every output of every node within."""
        return Symbol([Entry(n, i) for n in toposort(self._entries) for i in range(n.output_count)])

    def get_children(self) -> Symbol | None:
        """A group of the direct inputs; None for variables."""
        nodes = {id(entry.node): entry.node for entry in self._entries}
        children = [entry for node in nodes.values() for entry in node.inputs]
        return Symbol(children) if children else None

    def get_inputs(self) -> Symbol:
        """A group of all variables within."""
        return Symbol([Entry(n, 0) for n in toposort(self._entries) if n.op is None])

    def debug_str(self) -> str:
        """Every node with its inputs and attributes, as text."""
        lines = []
        if len(self) > 1 or self._entries[0].node.op is not None:
            lines.append("Symbol Outputs:")
            for i, entry in enumerate(self._entries):
                lines.append(f"\toutput[{i}]={entry.node.name}({entry.index})")
        for node in toposort(self._entries):
            if node.op is None:
                lines.append(f"Variable:{node.name}")
                continue
            lines += ["-" * 20, f"Op:{node.op.name}, Name={node.name}", "Inputs:"]
            for i, (name, entry) in enumerate(zip(node.input_names, node.inputs, strict=True)):
                version = f" version={int(name in node.op.auxiliary)}"
                suffix = version if entry.node.op is None else ""
                lines.append(f"\targ[{i}]={entry.node.name}({entry.index}){suffix}")
            if node.attributes:
                lines.append("Attrs:")
                lines += [f"\t{key}={value}" for key, value in sorted(node.attributes.items())]
        return "\n".join(lines) + "\n"

    # ---- attributes ----

    def attr(self, key: str) -> str | None:
        """An attribute of the node, or None."""
        return self.list_attr().get(key)

    def list_attr(self, recursive: bool = False) -> dict[str, str]:
        """The node's attributes; those of all nodes come from :meth:`attr_dict`."""
        if recursive:
            raise DeprecationWarning("list_attr(recursive=True) is gone; use attr_dict()")
        return {} if self.name is None else shown_attributes(self._entries[0].node.attributes)

    def attr_dict(self) -> dict[str, dict[str, str]]:
        """The attributes of every node that has some, by node name."""
        return {
            node.name: shown_attributes(node.attributes)
            for node in toposort(self._entries)
            if node.attributes
        }

    def _set_attr(self, **attributes: str) -> None:
        """Set attributes of the node.

        Raises:
            ValueError: a value is not a string.
            MXNetError: an operator's parameter that it does not have.
        """
        for key, value in attributes.items():
            if not isinstance(value, str):
                raise ValueError(f"Set Attr only accepts string values, {key} is {value!r}")
        node = self._entries[0].node
        merged = {**node.attributes, **{stored_key(k): v for k, v in attributes.items()}}
        if node.op is not None:
            node.parameters = parse_parameters(node.op, merged)
        node.attributes = merged

    # ---- composition, copies ----

    def __call__(self, *args: Symbol, **kwargs: Any) -> Symbol:
        """A copy whose variables of these names are replaced by other symbols."""
        composed = self.__copy__()
        composed._compose(*args, **kwargs)
        return composed

    def _compose(self, *args: Symbol, name: str | None = None, **kwargs: Symbol) -> None:
        """Replace variables by symbols, by name, in place.

        Raises:
            TypeError: positional and keyword arguments together, or no symbols.
            MXNetError: positional arguments, or a name that no variable has.
        """
        if args and kwargs:
            raise TypeError("compose only accept input Symbols either as positional or keyword")
        for given in (*args, *kwargs.values()):
            if not isinstance(given, Symbol):
                raise TypeError(f"Compose expect `Symbol` as arguments, got {given!r}")
        if args:
            raise MXNetError("General composition only support kwargs for now: name the variables")
        nodes = toposort(self._entries)
        names = {node.name: None for node in nodes if node.op is None}
        replacement: dict[str, Entry] = {}
        for key, symbol in kwargs.items():
            if key not in names:
                listed = " ".join(f"[{i}]{n}" for i, n in enumerate(names))
                raise MXNetError(
                    f"Symbol.Compose: keyword argument name {key} not found. Candidates: {listed}"
                )
            replacement[key] = symbol._single(f"the replacement of {key}")
        if name is not None:
            self._entries[0].node.name = name
        for node in nodes:
            node.inputs = tuple(
                replacement.get(e.node.name, e) if e.node.op is None else e for e in node.inputs
            )
        self._entries = tuple(
            replacement.get(e.node.name, e) if e.node.op is None else e for e in self._entries
        )

    def _single(self, role: str) -> Entry:
        """The one output of this symbol.

        Raises:
            MXNetError: it has several.
        """
        if len(self) != 1:
            raise MXNetError(
                f"Keyword Argument {role} is a tuple, single value is required: choose one of "
                f"its outputs {self.list_outputs()} by index"
            )
        return self._entries[0]

    @collector.paused()
    def __copy__(self) -> Symbol:
        copies: dict[int, Node] = {}
        for node in toposort(self._entries):
            inputs = tuple(Entry(copies[id(e.node)], e.index) for e in node.inputs)
            copies[id(node)] = Node(
                node.op, node.name, dict(node.attributes), inputs, node.line, node.parameters
            )
        return Symbol([Entry(copies[id(e.node)], e.index) for e in self._entries])

    def __deepcopy__(self, memo: dict[int, Any]) -> Symbol:
        return self.__copy__()

    def __getstate__(self) -> dict[str, str]:
        return {"handle": self.tojson()}

    def __setstate__(self, state: dict[str, str]) -> None:
        self._entries = tuple(json_file.parse(state["handle"], caller_line()))

    # ---- files ----

    def tojson(self) -> str:
        """MXNet's JSON text of the graph."""
        return json_file.write(self._entries)

    def save(self, fname: str) -> None:
        """Write :meth:`tojson` to a file, which is replaced as a whole or not at all."""
        if not isinstance(fname, (str, Path)):
            raise TypeError(f"fname need to be string, got {fname!r}")
        replace_file(fname, self.tojson().encode())

    # ---- inference ----

    def infer_shape(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """Shapes of arguments, outputs and states, from the shapes of some variables.

        Shapes are tuples; 0 and () are not known. They are given by name, or in the order of
        :meth:`list_arguments`.

        Returns:
            Three lists of tuples; three times None, with a warning, where they do not follow.

        Raises:
            MXNetError: the shapes contradict each other or a name is unknown.
            TypeError: a shape is not a tuple of ints.
            ValueError: positional and named shapes together.
        """
        inferred = self._infer_shapes(args, kwargs)
        arguments, states = variables(inferred.nodes)
        unknown = [n for n in arguments if not is_complete(inferred.of(n))]
        if unknown or not all(is_complete(inferred.entry(e)) for e in self._entries):
            listed = "\n\t".join(f"{n.name}: {inferred.of(n) or ()}" for n in unknown)
            warnings.warn(
                "Cannot decide shape for the following arguments (0s in shape means unknown "
                f"dimensions). Consider providing them as input:\n\t{listed}",
                stacklevel=2,
            )
            return None, None, None
        return self._shapes(inferred, arguments, states)

    def infer_shape_partial(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """As :meth:`infer_shape`, but with what is not known left as 0 and ()."""
        inferred = self._infer_shapes(args, kwargs)
        return self._shapes(inferred, *variables(inferred.nodes))

    def _shapes(
        self, inferred: Inferred[Shape], arguments: list[Node], states: list[Node]
    ) -> tuple[list[Shape], list[Shape], list[Shape]]:
        return (
            [inferred.of(node) or () for node in arguments],
            [inferred.entry(entry) or () for entry in self._entries],
            [inferred.of(node) or () for node in states],
        )

    def _infer_shapes(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Inferred[Shape]:
        known: dict[str, PartialShape] = {}
        for name, shape in self._by_name("infer_shape", args, kwargs).items():
            if shape is None and args:
                continue
            if not isinstance(shape, tuple):
                raise TypeError(
                    f"Arguments need to be shapes (tuple), but '{name}' is {type(shape)}."
                )
            if any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) for n in shape):
                raise TypeError(f"The lengths of shape '{name}' must be ints, got {shape!r}")
            known[name] = normalised([int(n) for n in shape])
        return infer_shapes(self._entries, known)

    def infer_type(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """Dtypes of arguments, outputs and states, from those of some variables.

        Returns:
            Three lists of numpy scalar classes; three times None, with a warning, where they do
            not follow.

        Raises:
            MXNetError: two dtypes meet that have to be one.
        """
        arguments, outputs, states = self.infer_type_partial(*args, **kwargs)
        if None in (*arguments, *outputs, *states):
            listed = "\n\t".join(
                f"{name}: None"
                for name, dtype in zip(self.list_arguments(), arguments, strict=True)
                if dtype is None
            )
            warnings.warn(
                "Cannot decide type for the following arguments. Consider providing them as "
                f"input:\n\t{listed}",
                stacklevel=2,
            )
            return None, None, None
        return arguments, outputs, states

    def infer_type_partial(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """As :meth:`infer_type`, but with None for what is not known."""
        known: dict[str, DType] = {}
        for name, given in self._by_name("infer_type", args, kwargs).items():
            if given is not None:
                known[name] = as_dtype(given)
        inferred = infer_dtypes(self._entries, known)
        arguments, states = variables(inferred.nodes)

        def class_of(dtype: DType | None) -> Any:
            return None if dtype is None else dtype.numpy

        return (
            [class_of(inferred.of(node)) for node in arguments],
            [class_of(inferred.entry(entry)) for entry in self._entries],
            [class_of(inferred.of(node)) for node in states],
        )

    def _by_name(
        self, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        if args and kwargs:
            raise ValueError(f"{function}: give values by position or by name, not both")
        names = self.list_inputs()
        if args:
            return dict(zip(self.list_arguments(), args, strict=False))
        known = set(names)
        for name in kwargs:
            if name not in known:
                listed = " ".join(f"[{i}]{n}" for i, n in enumerate(names))
                raise MXNetError(
                    f"{function}: keyword argument name {name} not found. Candidates: {listed}"
                )
        return kwargs

    # ---- running; binding stands above this module and is reached only here ----

    def bind(
        self,
        ctx: Context,
        args: Sequence[NDArray] | Mapping[str, NDArray],
        args_grad: Any = None,
        grad_req: Any = "write",
        aux_states: Any = None,
        group2ctx: Any = None,
        shared_exec: Executor | None = None,
    ) -> Executor:
        """An executor of this symbol on these arrays; see :func:`tritonsym.bind.bind`."""
        from .. import bind

        return bind.bind(self, ctx, args, args_grad, grad_req, aux_states, group2ctx, shared_exec)

    def simple_bind(
        self,
        ctx: Context,
        grad_req: Any = "write",
        type_dict: Mapping[str, Any] | None = None,
        **shapes: Shape,
    ) -> Executor:
        """An executor on new arrays of zeros; see :func:`tritonsym.bind.simple_bind`."""
        from .. import bind

        return bind.simple_bind(self, ctx, grad_req, type_dict, shapes)

    def eval(self, ctx: Context | None = None, **arrays: NDArray) -> list[NDArray]:
        """Bind to these arrays and run forward once."""
        from .. import bind

        return bind.evaluate(self, ctx, arrays)

    # ---- operators ----

    def __add__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_Plus", "_PlusScalar")

    def __radd__(self, other: Any) -> Symbol:
        return self.__add__(other)

    def __sub__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_Minus", "_MinusScalar")

    def __rsub__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_Minus", "_RMinusScalar")

    def __mul__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_Mul", "_MulScalar")

    def __rmul__(self, other: Any) -> Symbol:
        return self.__mul__(other)

    def __truediv__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_Div", "_DivScalar")

    def __rtruediv__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_Div", "_RDivScalar")

    def __mod__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_Mod", "_ModScalar")

    def __rmod__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_Mod", "_RModScalar")

    def __pow__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_Power", "_PowerScalar")

    def __rpow__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_Power", "_rpower_scalar")

    def __neg__(self) -> Symbol:
        return self.__mul__(-1.0)

    def __abs__(self) -> Symbol:
        return apply("abs", (self,))

    def __eq__(self, other: Any) -> Symbol:  # type: ignore[override]
        return apply_binary(self, other, "_equal", "_equal_scalar")

    def __ne__(self, other: Any) -> Symbol:  # type: ignore[override]
        return apply_binary(self, other, "_not_equal", "_not_equal_scalar")

    def __gt__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_greater", "_greater_scalar")

    def __ge__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_greater_equal", "_greater_equal_scalar")

    def __lt__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_lesser", "_lesser_scalar")

    def __le__(self, other: Any) -> Symbol:
        return apply_binary(self, other, "_lesser_equal", "_lesser_equal_scalar")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise NotImplementedForSymbol("__bool__", "Compare names, or use `is`.")


def _in_place(operator: str) -> Callable[[Symbol, Any], Symbol]:
    def method(self: Symbol, other: Any) -> Symbol:
        raise NotImplementedForSymbol(operator, "A symbol is not changed: write a = a + b.")

    return method


for _operator in ("__iadd__", "__isub__", "__imul__", "__itruediv__"):
    setattr(Symbol, _operator, _in_place(_operator))


def _for_arrays_only(function: str) -> Callable[..., Symbol]:
    def method(self: Symbol, *args: Any, **kwargs: Any) -> Symbol:
        raise NotImplementedForSymbol(function, "Bind the symbol and use its outputs.")

    method.__doc__ = "Exists for arrays only."
    return method


for _function in (
    *("asnumpy", "asscalar", "copy", "as_in_context", "detach", "backward", "wait_to_read"),
):
    setattr(Symbol, _function, _for_arrays_only(_function))


# ---- making symbols ----------------------------------------------------------------------------


def apply_binary(left: Symbol, right: Any, both: str, with_scalar: str) -> Symbol:
    if isinstance(right, Symbol):
        return apply(both, (left, right))
    if isinstance(right, Number):
        number = int(right) if isinstance(right, (bool, np.bool_)) else right
        return apply(with_scalar, (left,), {"scalar": number})
    raise TypeError(f"type {type(right)} not supported")


def apply(
    alias: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    name: str | None = None,
    attr: Mapping[str, str] | None = None,
) -> Symbol:
    """The symbol of an operator, called by one of its names, on inputs and parameters.

    Raises:
        MXNetError: the operator, a parameter or the inputs are not right.
        AssertionError: an input that is no symbol.
        TypeError: a name that is no string.
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f"the name of a symbol must be a string, got {name!r}")
    op = find(alias)
    call = frontend.sort_arguments(
        op, args, kwargs or {}, lambda value: isinstance(value, Symbol), "Symbol"
    )
    op.schema.check_names(key for key in call.attributes if not is_user_key(key))
    scoped = {key: str(value) for key, value in current_attributes().get(attr).items()}
    attributes = {**scoped, **call.attributes}
    line = caller_line()
    parameters = parse_parameters(op, attributes)
    names = op.input_names(parameters)
    for key in call.inputs:
        if key not in names:
            raise MXNetError(f"operator {op.name} has no input {key!r} here; it has {names}")
    if len(call.variadic) > len(names):
        raise MXNetError(f"operator {op.name} got {len(call.variadic)} inputs for {len(names)}")
    given = call.inputs or dict(zip(names, call.variadic, strict=False))
    single = {key: symbol._single(key) for key, symbol in given.items()}
    node_name = current_names().get(name, _hint(alias))
    inputs = tuple(
        single[key] if key in single else _missing(node_name, key, attributes, line)
        for key in names
    )
    stored = {stored_key(key): value for key, value in attributes.items()}
    node = Node(op, node_name, stored, inputs, line, parameters)
    return Symbol([Entry(node, i) for i in range(node.output_count)])


def _hint(alias: str) -> str:
    for prefix in ("_linalg_", "linalg_"):
        alias = alias.removeprefix(prefix)
    return alias.lower()


def _missing(
    node_name: str, key: str, attributes: Mapping[str, str], line: tuple[str, int]
) -> Entry:
    """A variable for an input that was not given; it inherits the operator's attributes."""
    stored = {stored_key(k): v for k, v in attributes.items()}
    return Entry(Node(None, f"{node_name}_{key}", stored, (), line), 0)


_FLUENT_ALIASES = {"astype": "cast"}


def _fluent(name: str) -> Callable[..., Symbol]:
    alias = _FLUENT_ALIASES.get(name, name)

    def method(self: Symbol, *args: Any, **kwargs: Any) -> Symbol:
        node_name, attr = kwargs.pop("name", None), kwargs.pop("attr", None)
        if name == "squeeze" and not args:
            kwargs.setdefault("axis", None)  # MXNet's method gives it, and so it is stored
        return apply(alias, (self, *args), kwargs, node_name, attr)

    method.__name__ = name
    method.__doc__ = f"The same as ``mx.sym.{alias}(self, ...)``."
    return method


for _method in frontend.FLUENT:
    setattr(Symbol, _method, _fluent(_method))
