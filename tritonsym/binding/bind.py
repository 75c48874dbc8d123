"""Binding: from a symbol and a caller's arrays, or shapes, to an executor. All checks are here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..context import Context, as_context, torch_device
from ..foundation.dtype import FLOAT32, as_dtype
from ..foundation.errors import MXNetError
from ..foundation.shape import check_elements
from ..foundation.text import escaped, listed, shown
from ..graph.infer import infer_dtypes, infer_shapes, known_shape
from ..graph.node import toposort, variables
from ..graph.op import is_complete
from ..ndarray.core import NDArray
from ..ndarray.values import check_writable
from .executor import Executor
from .gradient_arrays import GradientArrays
from .sharing import Sharing

if TYPE_CHECKING:
    from ..symbol.core import Symbol

GRADIENT_REQUESTS = ("null", "write", "add")
Arrays = Sequence[NDArray] | Mapping[str, NDArray]
Gradients = Sequence[NDArray | None] | Mapping[str, NDArray | None] | GradientArrays


def bind(
    symbol: Symbol,
    ctx: Context,
    args: Arrays,
    args_grad: Gradients | None = None,
    grad_req: str | Sequence[str] | Mapping[str, str] = "write",
    aux_states: Arrays | None = None,
    group2ctx: Mapping[str, Context] | None = None,
    shared_exec: Executor | None = None,
) -> Executor:
    """An executor of ``symbol`` on the caller's arrays, which it keeps and does not copy.

    Args:
        symbol: what to compute.
        ctx: where; all arrays are there.
        args: the arguments, by name or in the order of ``list_arguments``. Names that the symbol
            does not have are ignored.
        args_grad: where gradients are written, in the same two forms; None, or a name that is
            missing, is an argument without one. Names that the symbol does not have are ignored.
            Arrays that are made when they are first asked for are made for these very arguments.
        grad_req: ``write``, ``add`` or ``null``, for all, in order, or by name; ``null`` for names
            that are missing.
        aux_states: the auxiliary states.
        group2ctx: accepted where every group is on ``ctx``.
        shared_exec: accepted for MXNet's sake; memory is planned for each executor.

    Raises:
        TypeError: no context, no arrays, or a request or group that is none.
        ValueError: arrays are missing, ``grad_req`` is not one of the three, or it names
            what is no argument.
        MXNetError: shapes, dtypes or contexts that do not fit, or two variables of one name.
    """
    _check_device(ctx)
    names, state_names = (
        [node.name for node in nodes] for nodes in variables(toposort(symbol._entries))
    )
    repeated = [name for name, count in Counter((*names, *state_names)).items() if count > 1]
    if repeated:
        raise MXNetError(
            f"variables need names of their own, but some name several: {listed(repeated)}; use "
            "one Variable wherever the same array is meant"
        )
    arguments = _by_name("args", args, names)
    if not state_names and not aux_states:
        states: dict[str, NDArray] = {}
    else:
        states = _by_name("aux_states", [] if aux_states is None else aux_states, state_names)
    requests = gradient_requests(grad_req, names)
    gradients = _gradients(args_grad, names, arguments, ctx)
    _check_contexts(ctx, {**arguments, **states}, group2ctx)
    return Executor(symbol, ctx, arguments, states, gradients, requests)


def simple_bind(
    symbol: Symbol,
    ctx: Context,
    grad_req: str | Sequence[str] | Mapping[str, str],
    type_dict: Mapping[str, Any] | None,
    shapes: Mapping[str, Any],
    stype_dict: Mapping[str, str] | None = None,
    group2ctx: Mapping[str, Context] | None = None,
    shared_arg_names: list[str] | None = None,
    shared_exec: Executor | None = None,
    shared_buffer: dict[str, NDArray] | None = None,
) -> Executor:
    """An executor on new arrays of zeros, or on shared ones, their shapes and dtypes inferred.

    Args:
        symbol: what to compute.
        ctx: where.
        grad_req: for which arguments gradient arrays are made too.
        type_dict: dtypes by name; float32 where nothing else follows.
        shapes: tuples by name.
        stype_dict: how arrays are stored, by name: ``default``, which is densely.
        group2ctx: as for :func:`bind`.
        shared_arg_names, shared_exec, shared_buffer: see :class:`Sharing`.

    Raises:
        ValueError, TypeError: what is shared has another type.
        RuntimeError: everything else that can go wrong here, as MXNet has it.
    """
    sharing = Sharing(shared_arg_names, shared_exec, shared_buffer)
    nodes = toposort(symbol._entries)
    arguments, states = variables(nodes)
    names = [node.name for node in arguments]
    given = "\n".join(f"{escaped(name)}: {shown(shape)}" for name, shape in shapes.items())
    try:
        _check_device(ctx)
        inputs = dict.fromkeys(node.name for node in nodes if node.op is None)
        known = {name: known_shape(name, shape) for name, shape in shapes.items()}
        if type_dict is not None and not isinstance(type_dict, Mapping):
            raise TypeError(f"type_dict must be a dict of str to dtype, got {shown(type_dict)}")
        types = {name: as_dtype(dtype) for name, dtype in (type_dict or {}).items()}
        sparse = [str(name) for name, stored in (stype_dict or {}).items() if stored != "default"]
        if sparse:
            raise ValueError(
                f"stype_dict: {listed(sparse)} would be stored sparsely, and arrays are dense "
                "here: leave them out"
            )
        for what, named in (("shapes", known), ("type_dict", types)):
            unknown = [name for name in named if name not in inputs]
            if unknown:
                raise ValueError(
                    f"{what}: {listed(unknown)} are no variables of the symbol, which has "
                    f"{listed(inputs)}"
                )
        inferred, dtypes = infer_shapes(nodes, known), infer_dtypes(nodes, types)
        undecided = [n.name for n in (*arguments, *states) if not is_complete(inferred.of(n))]
        if undecided:
            raise MXNetError(
                "cannot decide shapes for the following arguments (0s in shape means unknown "
                f"dimensions): {listed(undecided)}. Please consider providing them as inputs"
            )
        made = [
            {
                node.name: find(
                    node.name, inferred.of(node) or (), dtypes.of(node) or FLOAT32, as_context(ctx)
                )
                for node in group
            }
            for group, find in ((arguments, sharing.argument), (states, sharing.state))
        ]
        requests = gradient_requests(grad_req, names)
        gradients = {
            name: sharing.gradient(name, array)
            for name, array in made[0].items()
            if requests[name] != "null"
        }
        executor = bind(symbol, ctx, made[0], gradients, requests, made[1], group2ctx)
        sharing.keep()
        return executor
    except Exception as error:
        raise RuntimeError(f"simple_bind error. Arguments:\n{given}\n{error}") from error


def evaluate(symbol: Symbol, ctx: Context | None, arrays: Mapping[str, NDArray]) -> list[NDArray]:
    """The outputs of a symbol on these arrays, once."""
    return bind(symbol, as_context(ctx), arrays).forward()


def _check_device(ctx: Any) -> None:
    if ctx is None:
        raise TypeError("Context type error: got None, use mx.cpu() or mx.gpu()")
    torch_device(as_context(ctx))


def _by_name(
    what: str, given: Any, names: Sequence[str], may_miss: bool = False
) -> dict[str, NDArray]:
    """The arrays for these names, given by name or in order, where some may be None."""
    kinds = f"{what}: Only accept list of NDArrays or dict of str to NDArray"
    if isinstance(given, dict):
        for name in names:
            if name not in given:
                had = [key for key in given if isinstance(key, str)]
                raise ValueError(
                    f"key `{escaped(name)}` is missing in `{what}`; it has {listed(had) or 'none'}"
                )
        found = {name: given[name] for name in names}
    elif isinstance(given, list):
        if len(given) != len(names):
            raise ValueError(
                f"Length of {what} does not match the number of arguments: {len(given)} for "
                f"{len(names)} ({listed(names)})"
            )
        found = dict(zip(names, given, strict=True))
        if may_miss:
            found = {name: array for name, array in found.items() if array is not None}
    else:
        raise TypeError(kinds)
    for name, array in found.items():
        if not isinstance(array, NDArray):
            raise TypeError(f"{kinds}; {escaped(name)} is {type(array)}")
        check_elements(f"{what}: {escaped(name)}", array.shape)
    return found


def gradient_requests(
    grad_req: str | Sequence[str] | Mapping[str, str], names: Sequence[str]
) -> dict[str, str]:
    """What is to happen with the gradient of each argument.

    Args:
        grad_req: one for all, a list in their order, or a dict, in which names may be missing.
        names: the arguments.

    Raises:
        TypeError: none of these forms.
        ValueError: a list of another length, a name that is no argument, or a request that is none.
    """
    if isinstance(grad_req, str):
        requests = dict.fromkeys(names, grad_req)
    elif isinstance(grad_req, Mapping):
        known = set(names)
        unknown = [str(name) for name in grad_req if name not in known]
        if unknown:
            raise ValueError(
                f"grad_req names {listed(unknown)}, no arguments of the symbol; they are "
                f"{listed(names)}"
            )
        requests = {name: grad_req.get(name, "null") for name in names}
    elif isinstance(grad_req, (list, tuple)):
        if len(grad_req) != len(names):
            raise ValueError(f"grad_req has {len(grad_req)} entries for {len(names)} arguments")
        requests = dict(zip(names, grad_req, strict=True))
    else:
        raise TypeError(
            f"grad_req must be one of {GRADIENT_REQUESTS}, or a list or dict of them, got "
            f"{shown(grad_req)}"
        )
    for name, request in requests.items():
        if request not in GRADIENT_REQUESTS:
            raise ValueError(
                f"grad_req must be in {GRADIENT_REQUESTS}, {escaped(name)} has {shown(request)}"
            )
    return requests


def _gradients(
    given: Gradients | None,
    names: Sequence[str],
    arguments: Mapping[str, NDArray],
    ctx: Context,
) -> Mapping[str, NDArray] | None:
    """The arrays that gradients are written into: what their arguments are in every respect."""
    if given is None or isinstance(given, GradientArrays):
        return given
    if isinstance(given, Mapping):
        asked = [name for name in names if given.get(name) is not None]
        found = _by_name("args_grad", {name: given[name] for name in asked}, asked)
    else:
        found = _by_name("args_grad", given, names, may_miss=True)
    for name, array in found.items():
        argument = arguments[name]
        if array.shape != argument.shape:
            raise MXNetError(
                f"args_grad: {escaped(name)} has shape {array.shape}, the argument has "
                f"{argument.shape}"
            )
        if array._tensor.dtype is not argument._tensor.dtype:
            raise MXNetError(
                f"args_grad: {escaped(name)} is {as_dtype(array._tensor.dtype)}, the argument is "
                f"{as_dtype(argument._tensor.dtype)}"
            )
        try:
            check_writable(array._tensor)
        except MXNetError as error:
            raise MXNetError(f"args_grad: {escaped(name)}: {error}") from None
        if array.context != ctx:
            raise MXNetError(
                f"args_grad: {escaped(name)} is on {array.context}, the argument on {ctx}: use "
                f"as_in_context({ctx})"
            )
    return found


def _check_contexts(ctx: Context, bound: Mapping[str, NDArray], group2ctx: Any) -> None:
    for name, array in bound.items():
        if array.context != ctx:
            raise MXNetError(
                f"Input array {escaped(name)} is in {array.context} while binding with ctx={ctx}. "
                f"All arguments must be in the global context: use as_in_context({ctx})"
            )
    if group2ctx is not None and not isinstance(group2ctx, Mapping):
        raise TypeError(f"group2ctx must be a dict of str to Context, got {shown(group2ctx)}")
    for group, other in (group2ctx or {}).items():
        if not isinstance(other, Context):
            raise TypeError(f"group2ctx: {shown(group)} needs a Context, got {shown(other)}")
        if other != ctx:
            raise MXNetError(f"group2ctx puts {shown(group)} on {other}; only {ctx} is supported")
