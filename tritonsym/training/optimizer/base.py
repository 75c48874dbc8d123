"""What optimizers have in common: rates by parameter, counts of updates, and updating."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...compiler.eager import compute
from ...expressions.expr import Expr, cast
from ...expressions.philox import default_state
from ...foundation.dtype import FLOAT32, as_dtype
from ...foundation.text import escaped, shown
from ...ndarray.core import NDArray
from ...ndarray.create import zeros
from ...ndarray.values import write, write_numbers
from ..lr_scheduler import LRScheduler
from ..registry import NotRegistered, Registry
from .changing import Rates, asked_in_groups
from .update import State, update_of

if TYPE_CHECKING:
    from ...symbol.core import Symbol


def check_number(name: str, given: Any) -> None:
    """Raise TypeError for what is no number, and ValueError for NaN."""
    number = not isinstance(given, str) and hasattr(given, "__float__")
    if not number or math.isnan(float(given)):
        kind = ValueError if number else TypeError
        raise kind(f"{name} must be a number, got {shown(given)}")


class Optimizer:
    """Changes weights by their gradients.

    A subclass says how: in :meth:`step` as expressions, which a plan can contain, or, as in
    programs written for MXNet, in :meth:`update` or :meth:`update_multi_precision` on arrays.

    Args:
        rescale_grad: what gradients are multiplied by first.
        param_idx2name: the names of parameters by index. Names that end neither in ``_weight`` nor
            in ``_gamma`` do not decay.
        wd: decay, as a part of the weight that is added to the gradient.
        clip_gradient: the largest absolute value of an element of a gradient.
        learning_rate: 0.01 if neither it nor a scheduler is given.
        lr_scheduler: gives the learning rate by the number of updates.
        sym: the symbol, whose variables' ``lr_mult`` and ``wd_mult`` are factors of the rates.
        begin_num_update: how many updates there were already.
        multi_precision: keep float32 copies of weights of 16 bits.
        param_dict: parameters with ``lr_mult`` and ``wd_mult``, by index.

    Raises:
        AssertionError: ``param_idx2name`` is no dict.
        TypeError: ``sym`` is no symbol, or a rate is no number.
        ValueError: a rate is not a number in the sense of floating point.
    """

    def __init__(
        self,
        rescale_grad: float = 1.0,
        param_idx2name: Mapping[int, str] | None = None,
        wd: float = 0.0,
        clip_gradient: float | None = None,
        learning_rate: float | None = None,
        lr_scheduler: LRScheduler | None = None,
        sym: Symbol | None = None,
        begin_num_update: int = 0,
        multi_precision: bool = False,
        param_dict: Mapping[Any, Any] | None = None,
    ) -> None:
        checked: dict[str, Any] = {"rescale_grad": rescale_grad, "wd": wd}
        optional = {"clip_gradient": clip_gradient, "learning_rate": learning_rate}
        checked.update((name, given) for name, given in optional.items() if given is not None)
        for name, given in checked.items():
            check_number(name, given)
        self.rescale_grad = rescale_grad
        self.lr_scheduler = lr_scheduler
        if lr_scheduler is None:
            self.lr: float | None = 0.01 if learning_rate is None else learning_rate
        else:
            self.lr = learning_rate
            if learning_rate is not None and lr_scheduler.base_lr != learning_rate:
                warnings.warn(
                    "learning rate from ``lr_scheduler`` has been overwritten by ``learning_rate`` "
                    "in optimizer.",
                    stacklevel=3,
                )
                lr_scheduler.base_lr = learning_rate
        self.wd = wd
        self.clip_gradient = clip_gradient
        self.multi_precision = multi_precision
        self.begin_num_update = begin_num_update
        self.num_update = begin_num_update
        self._index_update_count: dict[Any, int] = {}
        assert param_idx2name is None or isinstance(param_idx2name, Mapping), (
            "param_idx2name should be a dict of param indexes to names."
        )
        self.idx2name = dict(param_idx2name or {})
        if sym is not None and not hasattr(sym, "attr_dict"):
            raise TypeError(f"sym must be a Symbol, got {type(sym)}")
        self._attributes: dict[str, dict[str, str]] = {}
        if sym is not None:
            known, names = sym.attr_dict(), sym.list_arguments()
            self._attributes = {name: known[name] for name in names if name in known}
        self.param_dict = dict(param_dict or {})
        self.lr_mult: dict[Any, float] = {}
        self.wd_mult: dict[Any, float] = {}
        self.set_lr_mult({})
        self.set_wd_mult({})

    @staticmethod
    def register(klass: type[Optimizer]) -> type[Optimizer]:
        """The same as ``mx.optimizer.register``."""
        return register(klass)

    @staticmethod
    def create_optimizer(name: str, **kwargs: Any) -> Optimizer:
        """The same as ``mx.optimizer.create``."""
        return create(name, **kwargs)

    # ---- what a subclass says ----

    def create_state(self, index: Any, weight: NDArray) -> State:
        """What is kept for a weight between updates: None, an array, or a tuple of arrays."""
        return None

    def step(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """One update as expressions.

        Args:
            weight, grad: of one shape and dtype.
            states: what :meth:`create_state` made, in order.
            rates: what may change before the next update.

        Returns:
            The new weight, and the new states.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it updates")

    def corrected(self, rates: Rates) -> Rates:
        """The rates that :meth:`step` is to get, from those that were set, of all weights at once.

        What does not depend on the weight is computed here once, as vectors.
        """
        return rates

    # How many numbers of its own the method has for each weight.
    own_count = 0

    def own_rates(self, indices: Sequence[Any]) -> list[list[float]]:
        """Numbers of the method's own that change from step to step: each kind for all weights."""
        return []

    def common(self, rates: Rates) -> dict[str, Any]:
        """The arguments that every formula has."""
        return {
            "wd": rates.wd,
            "rescale_grad": rates.rescale_grad,
            "clip_gradient": self.clip_limit,
        }

    @property
    def clip_limit(self) -> float:
        """``clip_gradient`` as operators have it: negative for none."""
        return -1.0 if self.clip_gradient is None else self.clip_gradient

    # ---- weights of 16 bits ----

    # Whether the float32 copy stands after the other states, in the order that files have.
    copy_is_last = False

    def keeps_copy(self, dtype: Any) -> bool:
        """Whether a weight of this dtype has a float32 copy."""
        return self.multi_precision and as_dtype(dtype).is_reduced

    def create_state_multi_precision(self, index: Any, weight: NDArray) -> State:
        """:meth:`create_state`, with the float32 copy of a weight where one is kept."""
        if not self.keeps_copy(weight.dtype):
            if as_dtype(weight.dtype).is_reduced and not self.multi_precision:
                warnings.warn(
                    f"sums in {as_dtype(weight.dtype)} can lead to poor accuracy or slow "
                    "convergence; consider multi_precision=True",
                    stacklevel=2,
                )
            return self.create_state(index, weight)
        copy = weight.astype("float32")
        state = self.create_state(index, copy)
        return (state, copy) if self.copy_is_last else (copy, state)

    def expressions(
        self, weight: Expr, grad: Expr, states: tuple[Expr, ...], rates: Rates
    ) -> tuple[Expr, ...]:
        """:meth:`step` of a weight that may have a float32 copy among its states."""
        if not self.keeps_copy(weight.dtype):
            return self.step(weight, grad, states, rates)
        if self.copy_is_last:
            *inner, copy = states
        else:
            copy, *inner = states
        new, *rest = self.step(copy, cast(grad, FLOAT32), tuple(inner), rates)
        changed = (*rest, new) if self.copy_is_last else (new, *rest)
        return cast(new, weight.dtype), *changed

    # ---- updating arrays ----

    # How many weights of one dtype :meth:`update_multi_precision` of a program's own gets at once,
    # as tuples; with 0 it gets one, and no tuple.
    aggregate_num = 0

    @property
    def updates_arrays(self) -> bool:
        """Whether a program has methods of its own that update arrays, which no plan contains."""
        return self._overrides("update", "update_multi_precision")

    def _overrides(self, *names: str) -> bool:
        """Whether the class or the object has another method instead of one of these."""
        return any(
            getattr(getattr(self, name), "__func__", None) is not vars(Optimizer)[name]
            for name in names
        )

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        """Change a weight and its state, or lists of them.

        Args:
            index: which parameter it is.
            weight, grad: arrays of one shape and dtype.
            state: what :meth:`create_state` made.
        """
        self._apply(index, weight, grad, state)

    def update_multi_precision(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        """:meth:`update`, for states of :meth:`create_state_multi_precision`."""
        if not self._overrides("update"):
            self._apply(index, weight, grad, state)
        elif isinstance(index, (list, tuple)):
            for each in zip(index, weight, grad, state, strict=True):
                self.update_multi_precision(*each)
        elif self.keeps_copy(weight.dtype):
            copy, inner = reversed(state) if self.copy_is_last else state
            self.update(index, copy, grad.astype("float32"), inner)
            write(weight._tensor, copy._tensor)
        else:
            self.update(index, weight, grad, state)

    def _apply(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        if not isinstance(index, (list, tuple)):
            index, weight, grad, state = [index], [weight], [grad], [state]
        made = update_of(self, weight, grad, state)
        self._update_count(index)
        write_numbers(made.numbers, [number for kind in self.rates(index) for number in kind])
        results = compute(made.graph.outputs, made.inputs, default_state(), weight[0].context)
        for place, result in enumerate(results):
            write(made.inputs[made.graph.updates[place]], result)

    def rates(self, indices: Sequence[Any]) -> list[Sequence[float]]:
        """The rates of some parameters at their present update: each kind for all of them."""
        counts = [*map(self._index_update_count.__getitem__, indices)]
        scales, own = [float(self.rescale_grad)] * len(counts), self.own_rates(indices)
        return [
            self._asked("_get_lr", indices),
            self._asked("_get_wd", indices),
            scales,
            counts,
            *own,
        ]

    # ---- rates ----

    # Whether the rates are those of :meth:`_get_lrs` and :meth:`_get_wds`, as MXNet's method asks
    # for them, whatever :meth:`_get_lr` and :meth:`_get_wd` of a subclass say.
    asks_for_all = False

    def _asked(self, name: str, indices: Sequence[Any]) -> list[float]:
        """The rates of some parameters: one by one or in groups, where a subclass says them so."""
        if self._overrides(name) and not self.asks_for_all:
            return [float(getattr(self, name)(index)) for index in indices]
        if not self._overrides(name + "s"):
            found: list[float] = getattr(self, name + "s")(indices)
            return found
        return asked_in_groups(self, name + "s", indices, max(self.aggregate_num, 1))

    @property
    def may_decay(self) -> bool:
        """Whether there can be a weight that decays."""
        return self.wd != 0.0 or self._overrides("_get_wd", "_get_wds")

    @property
    def learning_rate(self) -> float:
        """The learning rate at present, without factors."""
        if self.lr_scheduler is not None:
            return self.lr_scheduler(self.num_update)
        assert self.lr is not None
        return self.lr

    def set_learning_rate(self, lr: float) -> None:
        """Set the learning rate.

        Raises:
            UserWarning: a scheduler decides it.
            TypeError, ValueError: no number.
        """
        if self.lr_scheduler is not None:
            raise UserWarning(
                "LRScheduler of the optimizer has already been defined. Note that set_learning_rate"
                " can mutate the value of the learning rate of the optimizer only when the "
                "LRScheduler of the optimizer is undefined."
            )
        check_number("lr", lr)
        self.lr = lr

    # How the names of parameters end that decay.
    decaying: tuple[str, ...] = ("_weight", "_gamma")

    def set_lr_mult(self, args_lr_mult: Mapping[Any, float]) -> None:
        """Set factors of the learning rate by name or index, over those of the symbol."""
        self.lr_mult = {**self._from_symbol("__lr_mult__"), **args_lr_mult}

    def set_wd_mult(self, args_wd_mult: Mapping[Any, float]) -> None:
        """Set factors of the decay by name or index, over those of the symbol."""
        undecayed = {n: 0.0 for n in self.idx2name.values() if not n.endswith(self.decaying)}
        self.wd_mult = {**undecayed, **self._from_symbol("__wd_mult__"), **args_wd_mult}

    def _from_symbol(self, key: str) -> dict[Any, float]:
        found: dict[Any, float] = {}
        for name, attributes in self._attributes.items():
            if key in attributes:
                try:
                    found[name] = float(attributes[key])
                except ValueError:
                    raise ValueError(
                        f"{key} of {escaped(name)} must be a number, got {shown(attributes[key])}"
                    ) from None
        return found

    def _update_count(self, index: Any) -> None:
        counts, begin, most = self._index_update_count, self.begin_num_update, self.num_update
        for one in index if isinstance(index, (list, tuple)) else [index]:
            counts[one] = count = counts.get(one, begin) + 1
            most = count if count > most else most
        self.num_update = most

    def _get_lrs(self, indices: Sequence[Any]) -> list[float]:
        return self._scaled(self.learning_rate, "lr_mult", indices)

    def _get_wds(self, indices: Sequence[Any]) -> list[float]:
        return self._scaled(self.wd, "wd_mult", indices)

    def _scaled(self, rate: float, kind: str, indices: Sequence[Any]) -> list[float]:
        """A rate times each parameter's factor of this name."""
        factors, names = getattr(self, kind), self.idx2name
        if rate == 0.0 or not (factors or self.param_dict):
            return [rate] * len(indices)
        known = self.param_dict
        first = {**factors, **{i: float(getattr(known[i], kind)) for i in indices if i in known}}
        return [rate * first.get(i, factors.get(names.get(i), 1.0)) for i in indices]

    def _get_lr(self, index: Any) -> float:
        return self._get_lrs([index])[0]

    def _get_wd(self, index: Any) -> float:
        return self._get_wds([index])[0]


def zeros_like(weight: NDArray) -> NDArray:
    """Zeros of a weight's shape and dtype, where it is."""
    return zeros(weight.shape, weight.context, weight.dtype)


registry: Registry[Optimizer] = Registry(Optimizer, "optimizer")


def register(klass: type[Optimizer]) -> type[Optimizer]:
    """Register a class, so that its name in lower case finds it."""
    return registry.add(klass)


def create(name: str | Optimizer, **kwargs: Any) -> Optimizer:
    """An optimizer by name.

    Raises:
        ValueError: the name is not registered.
    """
    try:
        return registry.create(name, **kwargs)
    except NotRegistered as error:
        raise ValueError(f"Cannot find optimizer {shown(name)}: {error}") from None
