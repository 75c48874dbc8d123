"""Binding: from a symbol and a caller's arrays, or shapes, to an executor. All checks are here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .context import Context, current_context, torch_device
from .dtype import FLOAT32, as_dtype
from .errors import MXNetError
from .executor import Executor, zeros
from .graph import variables
from .infer import infer_dtypes, infer_shapes, normalised
from .ndarray.core import NDArray
from .op import is_complete

if TYPE_CHECKING:
    from .symbol.core import Symbol

GRADIENT_REQUESTS = ("null", "write", "add")
Arrays = Sequence[NDArray] | Mapping[str, NDArray]
Gradients = Sequence[NDArray] | Mapping[str, NDArray | None]


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
        args_grad: where gradients are written, in the same two forms; names may be missing.
        grad_req: ``write``, ``add`` or ``null``, for all, in order, or by name.
        aux_states: the auxiliary states.
        group2ctx: accepted where every group is on ``ctx``.
        shared_exec: accepted for MXNet's sake; memory is planned for each executor.

    Raises:
        TypeError: no context or no arrays.
        ValueError: arrays are missing, or ``grad_req`` is not one of the three.
        MXNetError: shapes, dtypes or contexts that do not fit, or two variables of one name.
    """
    if not isinstance(ctx, Context):
        raise TypeError(f"Context type error: got {ctx!r}, use mx.cpu() or mx.gpu()")
    torch_device(ctx)
    names, state_names = symbol.list_arguments(), symbol.list_auxiliary_states()
    repeated = [name for name, count in Counter((*names, *state_names)).items() if count > 1]
    if repeated:
        raise MXNetError(
            f"variables need names of their own, but {repeated} name several; use one Variable "
            "wherever the same array is meant"
        )
    arguments = _by_name("args", args, names)
    if not state_names and not aux_states:
        states: dict[str, NDArray] = {}
    else:
        states = _by_name("aux_states", [] if aux_states is None else aux_states, state_names)
    requests = _requests(grad_req, names)
    gradients = _gradients(args_grad, names, arguments)
    _check_contexts(ctx, {**arguments, **states}, group2ctx)
    return Executor(symbol, ctx, arguments, states, gradients, requests)


def simple_bind(
    symbol: Symbol,
    ctx: Context,
    grad_req: str | Sequence[str] | Mapping[str, str],
    type_dict: Mapping[str, Any] | None,
    shapes: Mapping[str, Any],
) -> Executor:
    """An executor on new arrays of zeros, their shapes and dtypes inferred.

    Args:
        symbol: what to compute.
        ctx: where.
        grad_req: for which arguments gradient arrays are made too.
        type_dict: dtypes by name; float32 where nothing else follows.
        shapes: tuples by name.

    Raises:
        RuntimeError: everything that can go wrong here, as MXNet has it.
    """
    names = symbol.list_arguments()
    given = "\n".join(f"{name}: {shape}" for name, shape in shapes.items())
    try:
        if not isinstance(ctx, Context):
            raise TypeError(f"Context type error: got {ctx!r}")
        torch_device(ctx)
        inputs = set(symbol.list_inputs())
        for name, shape in shapes.items():
            if name not in inputs:
                raise ValueError(f"{name} is no variable of the symbol; they are {names}")
            if not isinstance(shape, tuple):
                raise TypeError(f"the shape of {name} must be a tuple, got {shape!r}")
        inferred = infer_shapes(
            symbol._entries, {name: normalised(shape) for name, shape in shapes.items()}
        )
        types = {name: as_dtype(dtype) for name, dtype in (type_dict or {}).items()}
        unknown = sorted(set(types).difference(inputs))
        if unknown:
            raise ValueError(f"type_dict: {unknown} are no variables of the symbol")
        dtypes = infer_dtypes(symbol._entries, types)
        arguments, states = variables(inferred.nodes)
        undecided = [n.name for n in (*arguments, *states) if not is_complete(inferred.of(n))]
        if undecided:
            raise MXNetError(
                "cannot decide shapes for the following arguments (0s in shape means unknown "
                f"dimensions): {undecided}. Please consider providing them as inputs"
            )
        made = [
            {
                node.name: zeros(inferred.of(node) or (), dtypes.of(node) or FLOAT32, ctx)
                for node in nodes
            }
            for nodes in (arguments, states)
        ]
        requests = _requests(grad_req, names)
        gradients: dict[str, NDArray | None] = {
            name: None
            if requests[name] == "null"
            else zeros(array.shape, as_dtype(array._tensor.dtype), ctx)
            for name, array in made[0].items()
        }
        return bind(symbol, ctx, made[0], gradients, requests, made[1])
    except (TypeError, ValueError, RuntimeError) as error:
        raise RuntimeError(f"simple_bind error. Arguments:\n{given}\n{error}") from error


def evaluate(symbol: Symbol, ctx: Context | None, arrays: Mapping[str, NDArray]) -> list[NDArray]:
    """The outputs of a symbol on these arrays, once."""
    return bind(symbol, ctx or current_context(), arrays).forward()


def _by_name(what: str, given: Any, names: Sequence[str]) -> dict[str, NDArray]:
    if isinstance(given, dict):
        for name in names:
            if name not in given:
                raise ValueError(f"key `{name}` is missing in `{what}`; it has {[*given]}")
        found = {name: given[name] for name in names}
    elif isinstance(given, list):
        if len(given) != len(names):
            raise ValueError(
                f"Length of {what} does not match the number of arguments: {len(given)} for "
                f"{len(names)} ({', '.join(names)})"
            )
        found = dict(zip(names, given, strict=True))
    else:
        raise TypeError(f"{what}: Only accept list of NDArrays or dict of str to NDArray")
    for name, array in found.items():
        if not isinstance(array, NDArray):
            raise TypeError(
                f"{what}: Only accept list of NDArrays or dict of str to NDArray; {name} is "
                f"{type(array)}"
            )
    return found


def _requests(
    grad_req: str | Sequence[str] | Mapping[str, str], names: Sequence[str]
) -> dict[str, str]:
    if isinstance(grad_req, str):
        requests = dict.fromkeys(names, grad_req)
    elif isinstance(grad_req, Mapping):
        requests = {name: grad_req.get(name, "null") for name in names}
    else:
        if len(grad_req) != len(names):
            raise ValueError(f"grad_req has {len(grad_req)} entries for {len(names)} arguments")
        requests = dict(zip(names, grad_req, strict=True))
    for name, request in requests.items():
        if request not in GRADIENT_REQUESTS:
            raise ValueError(
                f"grad_req must be in {set(GRADIENT_REQUESTS)}, {name} has {request!r}"
            )
    return requests


def _gradients(
    given: Gradients | None, names: Sequence[str], arguments: Mapping[str, NDArray]
) -> dict[str, NDArray | None] | None:
    if given is None:
        return None
    if isinstance(given, Mapping):
        found: dict[str, NDArray | None] = {name: given.get(name) for name in names}
    else:
        found = dict(_by_name("args_grad", given, names))
    for name, array in found.items():
        if array is not None and array.shape != arguments[name].shape:
            raise MXNetError(
                f"args_grad: {name} has shape {array.shape}, the argument has "
                f"{arguments[name].shape}"
            )
    return found


def _check_contexts(
    ctx: Context, bound: Mapping[str, NDArray], group2ctx: Mapping[str, Context] | None
) -> None:
    for name, array in bound.items():
        if array.context != ctx:
            raise MXNetError(
                f"Input array {name} is in {array.context} while binding with ctx={ctx}. All "
                f"arguments must be in the global context: use {name}.as_in_context({ctx})"
            )
    for group, other in (group2ctx or {}).items():
        if other != ctx:
            raise MXNetError(f"group2ctx puts {group!r} on {other}; only ctx={ctx} is supported")
