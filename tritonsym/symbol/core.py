"""The class of symbols: named variables and operators on them, inspected, composed, inferred."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..attribute import (
    AttrScope,
    checked_attributes,
    is_user_key,
    shown_attributes,
    stored_attributes,
)
from ..context import Context
from ..foundation import collector
from ..foundation.errors import MXNetError, NotImplementedForSymbol, caller_line
from ..foundation.files import replace_file
from ..foundation.shape import Shape
from ..foundation.text import checked_text, escaped, listed, shown
from ..graph import frontend
from ..graph.backward import backward_of_sum
from ..graph.node import (
    Entry,
    Node,
    missing_input,
    parse_parameters,
    tell_initial,
    toposort,
    variables,
)
from ..graph.op import find
from ..name import NameManager
from . import inference, json_file

if TYPE_CHECKING:
    from ..binding.executor import Executor
    from ..ndarray.core import NDArray


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
                    f'Cannot find output that matches name "{escaped(index)}"; '
                    f"the outputs are {listed(self.list_outputs())}"
                )
            if len(found) > 1:
                raise ValueError(f'There are multiple outputs with name "{escaped(index)}"')
            return Symbol(found)
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise TypeError(
                "Symbol only support integer index to fetch i-th output; elements of an output are "
                f"what slice_axis, slice and take select, got {shown(index)}"
            )
        if index < 0:
            raise MXNetError(f"Symbol only accept nonnegative index, got {shown(index)}")
        if index >= len(self):
            raise IndexError(f"output {shown(index)} of a symbol with {len(self)} outputs")
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
        return Symbol(
            [Entry(n, i) for n in toposort(self._entries) for i in range(n.visible_count)]
        )

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
                version = f" version={int(name in node.state_names)}"
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

    def _set_attr(self, /, **attributes: str) -> None:
        """Set attributes of the node. Nothing is set if one cannot be.

        Raises:
            ValueError: a value is not a string.
            MXNetError: a group of several nodes, an operator's parameter that it does not have, or
                one that would give it other inputs or outputs than it has been connected with.
        """
        if attributes and self.name is None:
            raise MXNetError(
                "Symbol.SetAttrs only works for non-grouped symbol: choose one of "
                f"{listed(self.list_outputs())} by index"
            )
        given = stored_attributes(checked_attributes(attributes))
        node = self._entries[0].node
        merged = {**node.attributes, **given}
        if node.op is not None:
            parameters = parse_parameters(node.op, merged)
            for what, names in (("inputs", node.op.input_names), ("outputs", node.op.output_names)):
                had, has = len(names(node.parameters)), len(names(parameters))
                if had != has:
                    raise MXNetError(
                        f"{node.describe()} has {had} {what}; with {shown(given)} it would have "
                        f"{has}: make another symbol"
                    )
            node.parameters = parameters
        node.attributes = merged

    # ---- composition, copies ----

    def __call__(self, /, *args: Symbol, **kwargs: Any) -> Symbol:
        """A copy whose variables of these names are replaced by other symbols."""
        composed = self.__copy__()
        composed._compose(*args, **kwargs)
        return composed

    def _compose(self, /, *args: Symbol, name: str | None = None, **kwargs: Symbol) -> None:
        """Replace variables by symbols, by name, in place.

        Raises:
            TypeError: positional and keyword arguments together, no symbols, or a name that is no
                text.
            MXNetError: positional arguments, a name that no variable has, or a replacement that
                is computed from what it replaces.
        """
        if args and kwargs:
            raise TypeError("compose only accept input Symbols either as positional or keyword")
        for given in (*args, *kwargs.values()):
            if not isinstance(given, Symbol):
                raise TypeError(f"Compose expect `Symbol` as arguments, got {shown(given)}")
        if args:
            raise MXNetError("General composition only support kwargs for now: name the variables")
        if name is not None:
            checked_text("the name of a symbol", name)
        nodes = toposort(self._entries)
        names = {node.name: None for node in nodes if node.op is None}
        replacement: dict[str, Entry] = {}
        for key, symbol in kwargs.items():
            if key not in names:
                raise MXNetError(
                    f"Symbol.Compose: keyword argument name {escaped(key)} not found. "
                    f"Candidates: {listed(names, numbered=True)}"
                )
            replacement[key] = symbol._single(f"the replacement of {escaped(key)}")

        def replaced(entry: Entry) -> Entry:
            variable = entry.node.op is None
            return replacement.get(entry.node.name, entry) if variable else entry

        changed = {
            id(node): node for node in nodes if any(replaced(e) is not e for e in node.inputs)
        }
        for node in toposort(replacement.values()):
            if id(node) in changed:
                raise MXNetError(
                    f"Symbol.Compose: a replacement is computed by {node.describe()}, which reads "
                    f"what is replaced, and would read itself: compose a copy, "
                    f"symbol({', '.join(f'{escaped(key)}=...' for key in replacement)})"
                )
        if name is not None:
            self._entries[0].node.name = name
        for node in changed.values():
            node.inputs = tuple(map(replaced, node.inputs))
        self._entries = tuple(map(replaced, self._entries))

    def _single(self, role: str) -> Entry:
        """The one output of this symbol.

        Raises:
            MXNetError: it has several.
        """
        if len(self) != 1:
            raise MXNetError(
                f"Keyword Argument {role} is a tuple, single value is required: choose one of "
                f"its outputs by index: {listed(self.list_outputs())}"
            )
        return self._entries[0]

    @collector.paused()
    def __copy__(self) -> Symbol:
        copies: dict[int, Node] = {}
        for node in toposort(self._entries):
            inputs = tuple(Entry(copies[id(e.node)], e.index) for e in node.inputs)
            parameters = None if node.op is None else node.op.schema.copied(node.parameters)
            copies[id(node)] = Node(
                node.op, node.name, dict(node.attributes), inputs, node.line, parameters
            )
        return Symbol([Entry(copies[id(e.node)], e.index) for e in self._entries])

    def __deepcopy__(self, memo: dict[int, Any]) -> Symbol:
        return self.__copy__()

    def __getstate__(self) -> dict[str, str]:
        return {"handle": self.tojson()}

    def __setstate__(self, state: dict[str, str]) -> None:
        self._entries = read_json(state["handle"])

    # ---- files ----

    def tojson(self, remove_amp_cast: bool = True) -> str:
        """MXNet's JSON text of the graph, which has no casts of automatic mixed precision."""
        return json_file.write(self._entries)

    def save(self, fname: str, remove_amp_cast: bool = True) -> None:
        """Write :meth:`tojson` to a file, which is replaced as a whole or not at all."""
        if not isinstance(fname, (str, Path)):
            raise TypeError(f"fname need to be string, got {shown(fname)}")
        replace_file(fname, self.tojson().encode())

    # ---- inference ----

    def infer_shape(self, /, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """Shapes of arguments, outputs and states, from the shapes of some variables.

        Shapes are tuples; 0 and () are not known. They are given by name, or in the order of
        :meth:`list_arguments`.

        Returns:
            Three lists of tuples; three times None, with a warning, where they do not follow.

        Raises:
            MXNetError: the shapes contradict each other or a name is unknown.
            TypeError: a shape is not a tuple of ints, or there are more than arguments.
            ValueError: positional and named shapes together.
        """
        inferred = inference.shapes(self._entries, args, kwargs)
        return inference.complete_lists(self._entries, inferred, inference.SHAPES)

    def infer_shape_partial(self, /, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """As :meth:`infer_shape`, but with what is not known left as 0 and ()."""
        inferred = inference.shapes(self._entries, args, kwargs)
        return inference.lists(self._entries, inferred, inference.SHAPES)

    def infer_type(self, /, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """Dtypes of arguments, outputs and states, from those of some variables.

        Returns:
            Three lists of numpy scalar classes (torch's dtype for bfloat16); three times None,
            with a warning, where they do not follow.

        Raises:
            MXNetError: two dtypes meet that have to be one.
            TypeError: no dtype, or more than there are arguments.
        """
        inferred = inference.dtypes(self._entries, args, kwargs)
        return inference.complete_lists(self._entries, inferred, inference.DTYPES)

    def infer_type_partial(self, /, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """As :meth:`infer_type`, but with None for what is not known."""
        inferred = inference.dtypes(self._entries, args, kwargs)
        return inference.lists(self._entries, inferred, inference.DTYPES)

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
        """An executor of this symbol on these arrays; see :func:`tritonsym.binding.bind.bind`."""
        from ..binding import bind

        return bind.bind(self, ctx, args, args_grad, grad_req, aux_states, group2ctx, shared_exec)

    def simple_bind(
        self,
        /,
        ctx: Context,
        grad_req: Any = "write",
        type_dict: Mapping[str, Any] | None = None,
        stype_dict: Mapping[str, str] | None = None,
        group2ctx: Mapping[str, Context] | None = None,
        shared_arg_names: list[str] | None = None,
        shared_exec: Executor | None = None,
        shared_buffer: dict[str, NDArray] | None = None,
        **shapes: Shape,
    ) -> Executor:
        """An executor on new arrays of zeros; see :func:`tritonsym.binding.bind.simple_bind`.

        Where ``shared_buffer`` is a dict, the arguments of ``shared_arg_names``, their gradients
        and the auxiliary states are those of ``shared_exec``, and all else lies in that dict.
        """
        from ..binding import bind

        shared = shared_arg_names, shared_exec, shared_buffer
        return bind.simple_bind(
            self, ctx, grad_req, type_dict, shapes, stype_dict, group2ctx, *shared
        )

    def eval(self, /, ctx: Context | None = None, **arrays: NDArray) -> list[NDArray]:
        """Bind to these arrays and run forward once."""
        from ..binding import bind

        return bind.evaluate(self, ctx, arrays)

    def grad(self, /, wrt: str | Sequence[str]) -> Symbol:
        """The gradients of variables, as a symbol with one output for each.

        They are those of the sum of all outputs; an output that is a loss has its own. The result
        is a symbol like any other, which can be bound, saved, and differentiated again.

        Args:
            wrt: the names of the variables.

        Raises:
            TypeError: no names.
            ValueError: a name that is no argument, or no names.
            MXNetError: an operator on the way that has no gradient.
        """
        names = [wrt] if isinstance(wrt, str) else wrt
        if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
            raise TypeError(f"wrt must be the names of arguments, got {shown(wrt)}")
        arguments = {node.name: node for node in variables(toposort(self._entries))[0]}
        if not names:
            raise ValueError(f"wrt names no argument; they are {listed(arguments)}")
        for name in names:
            if name not in arguments:
                raise ValueError(
                    f"wrt: {escaped(name)} is no argument; they are {listed(arguments)}"
                )
        return Symbol(backward_of_sum(self._entries, [arguments[name] for name in names]))

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


@collector.paused()
def read_json(text: str) -> tuple[Entry, ...]:
    """The outputs of a graph in MXNet's JSON text.

    Raises:
        MXNetError: the text is no graph, or has an operator that is not registered.
    """
    nodes, entries = json_file.parse(text, caller_line())
    # Numbers of nodes made from now on must not repeat names that the text has.
    NameManager.current.reserve(node.name for node in nodes)
    return tuple(entries)


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
    if isinstance(right, frontend.Number):
        number = int(right) if isinstance(right, (bool, np.bool_)) else right
        return apply(with_scalar, (left,), {"scalar": number})
    raise TypeError(
        f"type {type(right)} not supported beside a symbol, which has no values: use "
        "mx.sym.Variable(name) there, and bind its array, as mx.nd.array makes one"
    )


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
    if name is not None:
        checked_text("the name of a symbol", name)
    op = find(alias)
    call = frontend.sort_arguments(
        op, args, kwargs or {}, lambda value: isinstance(value, Symbol), "Symbol"
    )
    op.schema.check_names(key for key in call.attributes if not is_user_key(key))
    scoped = AttrScope.current.get(_attributes_of(attr))
    attributes = {**scoped, **call.attributes}
    line = caller_line()
    parameters = parse_parameters(op, attributes)
    names = op.input_names(parameters)
    given = call.by_name(op, names)
    single = {key: symbol._single(key) for key, symbol in given.items()}
    node_name = NameManager.current.get(name, _hint(alias))
    inputs = tuple(
        single[key] if key in single else missing_input(op, node_name, key, attributes, line)
        for key in names
    )
    node = Node(op, node_name, stored_attributes(attributes), inputs, line, parameters)
    visible = node.visible_count
    if not visible:
        raise MXNetError(f"{node.describe()} has no outputs with {shown(attributes)}")
    tell_initial(node)
    return Symbol([Entry(node, i) for i in range(visible)])


def _attributes_of(attr: Any) -> Mapping[str, str]:
    """The ``attr`` of an operator; values become texts, as MXNet makes them."""
    if isinstance(attr, Mapping):
        attr = {key: str(value) for key, value in attr.items()}
    return {} if attr is None else checked_attributes(attr)


def _hint(alias: str) -> str:
    """What automatic names begin with: the name that a function has in its namespace."""
    for prefix in ("_linalg_", "_contrib_"):
        alias = alias.removeprefix(prefix)
    return alias.lower()


_FLUENT_ALIASES = {"astype": "cast"}
# Parameters that MXNet's methods give of themselves, so that they are stored.
_FLUENT_DEFAULTS: dict[str, dict[str, Any]] = {"squeeze": {"axis": None}, "diag": {"k": 0}}


def _fluent(name: str) -> Callable[..., Symbol]:
    alias = _FLUENT_ALIASES.get(name, name)

    def method(self: Symbol, *args: Any, **kwargs: Any) -> Symbol:
        node_name, attr = kwargs.pop("name", None), kwargs.pop("attr", None)
        if name == "split_v2":
            parameters = frontend.split_parameters(*args, **kwargs)
            return apply("_split_v2", (self,), parameters, node_name, attr)
        if not args:
            kwargs = {**_FLUENT_DEFAULTS.get(name, {}), **kwargs}
        return apply(alias, (self, *args), kwargs, node_name, attr)

    method.__name__ = name
    method.__doc__ = f"The same as ``mx.sym.{alias}(self, ...)``."
    return method


for _method in frontend.FLUENT:
    setattr(Symbol, _method, _fluent(_method))
