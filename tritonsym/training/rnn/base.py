"""What recurrent cells have in common: shared parameters, states, and unrolling over a sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ... import symbol
from ...foundation.text import shown
from ...ndarray.core import NDArray
from ...ndarray.create import concatenate
from ...symbol.core import Symbol

Weights = dict[str, NDArray]
States = list[Any]  # symbols, or lists of them where a cell has two directions
Sequences = Symbol | list[Symbol]


class RNNParams:
    """Variables by name, which cells share that are made with the same one.

    Args:
        prefix: how their names begin.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._params: dict[str, Symbol] = {}

    def get(self, name: str, **kwargs: Any) -> Symbol:
        """The variable of a name, which is made when it is first asked for."""
        full = self._prefix + name
        if full not in self._params:
            self._params[full] = symbol.Variable(full, **kwargs)
        return self._params[full]


def as_sequence(length: int, inputs: Any, layout: str, merge: bool | None) -> tuple[Sequences, int]:
    """Steps of a sequence as one symbol or as a list, and where the axis of time is.

    Args:
        length: how many steps.
        inputs: one symbol, or one per step.
        layout: a letter per axis; T is time.
        merge: True for one symbol, False for a list, None for what is given.

    Raises:
        AssertionError: another number of steps, a symbol of several outputs, or no axis of time.
    """
    axis = layout.find("T")
    assert axis >= 0, f"layout={shown(layout)} has no T, the axis of time; NTC and TNC are usual"
    if isinstance(inputs, Symbol):
        if merge is False:
            assert len(inputs.list_outputs()) == 1, (
                "unroll takes one symbol of one output, or a list of one symbol per step"
            )
            parts = symbol.split(inputs, axis=axis, num_outputs=length, squeeze_axis=1)
            return list(parts), axis
        return inputs, axis
    steps = list(inputs)
    assert len(steps) == length, f"{len(steps)} inputs for {length} steps"
    if merge is True:
        wide = [symbol.expand_dims(step, axis=axis) for step in steps]
        return symbol.Concat(*wide, dim=axis), axis
    return steps, axis


class BaseRNNCell:
    """One step of a recurrent network.

    Args:
        prefix: how the names of its nodes and parameters begin.
        params: parameters to share; its own if not given.
    """

    def __init__(self, prefix: str = "", params: RNNParams | None = None) -> None:
        self._own_params = params is None
        self._prefix = prefix
        self._params = RNNParams(prefix) if params is None else params
        self._modified = False
        self.reset()

    def reset(self) -> None:
        """Begin to count steps anew, so that the cell can be unrolled again."""
        self._init_counter = -1
        self._counter = -1

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        """One step.

        Args:
            inputs: of shape (batch, features).
            states: of the step before, or of :meth:`begin_state`.

        Returns:
            The output and the new states.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what a step does")

    @property
    def params(self) -> RNNParams:
        """The parameters, to make another cell with."""
        self._own_params = False
        return self._params

    @property
    def state_info(self) -> list[dict[str, Any]]:
        """The shape and layout of each state; a length of 0 is the batch's."""
        raise NotImplementedError

    @property
    def state_shape(self) -> list[tuple[int, ...]]:
        """The shape of each state."""
        return [one["shape"] for one in self.state_info]

    @property
    def _gate_names(self) -> Sequence[str]:
        return ()

    def begin_state(self, func: Callable[..., Symbol] | None = None, **kwargs: Any) -> States:
        """The states before the first step: zeros.

        Args:
            func: what makes them: ``mx.sym.zeros``, or ``mx.sym.Variable`` for inputs.
            kwargs: handed to it, without what :attr:`state_info` says itself, such as the shape.
        """
        assert not self._modified, (
            "After applying modifier cells (e.g. DropoutCell) the base cell cannot be called "
            "directly. Call the modifier cell instead."
        )
        make = symbol.zeros if func is None else func
        states = []
        for info in self.state_info:
            self._init_counter += 1
            name = f"{self._prefix}begin_state_{self._init_counter}"
            # A cell of a program's own may know nothing of its states.
            states.append(make(name=name, **{**kwargs, **(info or {})}))
        return states

    def unpack_weights(self, args: Mapping[str, NDArray]) -> Weights:
        """Arrays by name, those of the cell taken apart gate by gate."""
        found = dict(args)
        for group in ("i2h", "h2h"):
            for kind in ("weight", "bias") if self._gate_names else ():
                whole = found.pop(f"{self._prefix}{group}_{kind}")
                units = whole.shape[0] // len(self._gate_names)
                for place, gate in enumerate(self._gate_names):
                    part = whole[place * units : (place + 1) * units]
                    found[f"{self._prefix}{group}{gate}_{kind}"] = part.copy()
        return found

    def pack_weights(self, args: Mapping[str, NDArray]) -> Weights:
        """The reverse of :meth:`unpack_weights`."""
        found = dict(args)
        for group in ("i2h", "h2h"):
            for kind in ("weight", "bias") if self._gate_names else ():
                parts = [
                    found.pop(f"{self._prefix}{group}{gate}_{kind}") for gate in self._gate_names
                ]
                found[f"{self._prefix}{group}_{kind}"] = concatenate(parts)
        return found

    def unroll(
        self,
        length: int,
        inputs: Any,
        begin_state: States | None = None,
        layout: str = "NTC",
        merge_outputs: bool | None = None,
    ) -> tuple[Any, States]:
        """So many steps, one after the other.

        Args:
            length: how many.
            inputs: one symbol with an axis of time, or a list of one per step.
            begin_state: the first states; zeros if not given.
            layout: of one symbol: ``NTC`` or ``TNC``.
            merge_outputs: give one symbol (True), a list (False), or what is at hand (None).

        Returns:
            The outputs, and the last states.
        """
        self.reset()
        steps, _ = as_sequence(length, inputs, layout, False)
        states = self.begin_state() if begin_state is None else begin_state
        outputs = []
        for step in steps:
            output, states = self(step, states)
            outputs.append(output)
        return as_sequence(length, outputs, layout, merge_outputs)[0], states

    def _get_activation(
        self, inputs: Symbol, activation: str | Callable[..., Symbol], **kwargs: Any
    ) -> Symbol:
        """A function of a symbol, or the operator Activation of that name; programs call it too."""
        if callable(activation):
            return activation(inputs, **kwargs)
        made: Symbol = symbol.Activation(inputs, act_type=activation, **kwargs)
        return made
