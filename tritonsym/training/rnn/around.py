"""Cells made of other cells: stacked, in both directions, with dropout, zoneout or a residue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ... import symbol
from ...ndarray.core import NDArray
from ...symbol.core import Symbol
from .base import BaseRNNCell, RNNParams, States, Weights, as_sequence


class _Several(BaseRNNCell):
    """Cells whose states stand one after the other."""

    _cells: list[BaseRNNCell]

    @property
    def state_info(self) -> list[dict[str, Any]]:
        """The states of all the cells."""
        return [info for cell in self._cells for info in cell.state_info]

    def begin_state(self, func: Callable[..., Symbol] | None = None, **kwargs: Any) -> States:
        """The first states of all the cells."""
        assert not self._modified, "call the modifier cell, and not the cell that it modifies"
        return [state for cell in self._cells for state in cell.begin_state(func, **kwargs)]

    def unpack_weights(self, args: Mapping[str, NDArray]) -> Weights:
        """Arrays by name, those of the cells taken apart gate by gate."""
        found = dict(args)
        for cell in self._cells:
            found = cell.unpack_weights(found)
        return found

    def pack_weights(self, args: Mapping[str, NDArray]) -> Weights:
        """The reverse of :meth:`unpack_weights`."""
        found = dict(args)
        for cell in self._cells:
            found = cell.pack_weights(found)
        return found

    def _states_of(self, states: States) -> list[States]:
        parts, start = [], 0
        for cell in self._cells:
            end = start + len(cell.state_info)
            parts.append(states[start:end])
            start = end
        return parts

    def _share(self, cell: BaseRNNCell, params: RNNParams, override: bool) -> None:
        """One dict of parameters for this cell and the other."""
        if override:
            assert cell._own_params, (
                "Either specify params for the outer cell, or for the inner cells, not both"
            )
            cell.params._params.update(params._params)
        params._params.update(cell.params._params)


class SequentialRNNCell(_Several):
    """Cells on top of each other.

    Args:
        params: parameters to share with all of them.
    """

    def __init__(self, params: RNNParams | None = None) -> None:
        self._cells = []
        super().__init__("", params)
        self._override = params is not None

    def add(self, cell: BaseRNNCell) -> None:
        """Put a cell on top."""
        self._cells.append(cell)
        self._share(cell, self._params, self._override)

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        """One step."""
        self._counter += 1
        after: States = []
        for cell, own in zip(self._cells, self._states_of(states), strict=True):
            assert not isinstance(cell, BidirectionalCell), "a BidirectionalCell has no single step"
            inputs, new = cell(inputs, own)
            after += new
        return inputs, after

    def unroll(
        self,
        length: int,
        inputs: Any,
        begin_state: States | None = None,
        layout: str = "NTC",
        merge_outputs: bool | None = None,
    ) -> tuple[Any, States]:
        """So many steps of each cell; see :meth:`BaseRNNCell.unroll`."""
        self.reset()
        states = self.begin_state() if begin_state is None else begin_state
        after: States = []
        for place, (cell, own) in enumerate(zip(self._cells, self._states_of(states), strict=True)):
            merge = merge_outputs if place == len(self._cells) - 1 else None
            inputs, new = cell.unroll(length, inputs, own, layout, merge)
            after += new
        return inputs, after

    def reset(self) -> None:
        """Begin to count steps anew."""
        super().reset()
        for cell in self._cells:
            cell.reset()


class BidirectionalCell(_Several):
    """A cell that runs forwards and one that runs backwards; their outputs stand side by side.

    Args:
        l_cell, r_cell: the two.
        params: parameters to share with both.
        output_prefix: how names of outputs begin.
    """

    def __init__(
        self,
        l_cell: BaseRNNCell,
        r_cell: BaseRNNCell,
        params: RNNParams | None = None,
        output_prefix: str = "bi_",
    ) -> None:
        super().__init__("", params)
        self._output_prefix = output_prefix
        self._cells = [l_cell, r_cell]
        for cell in self._cells:
            self._share(cell, self._params, params is not None)

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        """There is no single step in both directions.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("Bidirectional cannot be stepped. Please use unroll")

    def unroll(
        self,
        length: int,
        inputs: Any,
        begin_state: States | None = None,
        layout: str = "NTC",
        merge_outputs: bool | None = None,
    ) -> tuple[Any, States]:
        """So many steps in both directions; see :meth:`BaseRNNCell.unroll`.

        The states are two lists: those of the one cell, and those of the other.
        """
        self.reset()
        steps, axis = as_sequence(length, inputs, layout, False)
        states = self.begin_state() if begin_state is None else begin_state
        forward, backward = self._cells
        first, second = self._states_of(states)
        left, left_states = forward.unroll(length, steps, first, layout, merge_outputs)
        turned = list(reversed(list(steps)))
        right, right_states = backward.unroll(length, turned, second, layout, merge_outputs)
        if merge_outputs is None:
            merge_outputs = isinstance(left, Symbol) and isinstance(right, Symbol)
            left, _ = as_sequence(length, left, layout, merge_outputs)
            right, _ = as_sequence(length, right, layout, merge_outputs)
        name = self._output_prefix
        if merge_outputs:
            back = symbol.reverse(right, axis=axis)
            outputs = symbol.Concat(left, back, dim=2, name=f"{name}out")
            return outputs, [left_states, right_states]
        outputs = [
            symbol.Concat(one, other, dim=1, name=f"{name}t{place}")
            for place, (one, other) in enumerate(zip(left, reversed(right), strict=True))
        ]
        return outputs, [left_states, right_states]


class DropoutCell(BaseRNNCell):
    """Dropout between the cells of a stack.

    Args:
        dropout: the part of the inputs that is dropped.
        prefix, params: as for other cells; there are no parameters.
    """

    def __init__(
        self, dropout: float, prefix: str = "dropout_", params: RNNParams | None = None
    ) -> None:
        super().__init__(prefix, params)
        assert isinstance(dropout, (int, float)), f"dropout must be a number, got {dropout!r}"
        self.dropout = dropout

    @property
    def state_info(self) -> list[dict[str, Any]]:
        """No states."""
        return []

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        """One step."""
        return symbol.Dropout(inputs, p=self.dropout) if self.dropout > 0 else inputs, states

    def unroll(
        self,
        length: int,
        inputs: Any,
        begin_state: States | None = None,
        layout: str = "NTC",
        merge_outputs: bool | None = None,
    ) -> tuple[Any, States]:
        """All steps at once, where they are one symbol; see :meth:`BaseRNNCell.unroll`."""
        self.reset()
        steps, _ = as_sequence(length, inputs, layout, merge_outputs)
        if isinstance(steps, Symbol):
            return self(steps, [])
        return super().unroll(length, steps, begin_state or [], layout, merge_outputs)


class ModifierCell(BaseRNNCell):
    """A cell that changes another one, and has its parameters.

    Args:
        base_cell: the other one, which is not called on its own any more.
    """

    def __init__(self, base_cell: BaseRNNCell) -> None:
        super().__init__()
        base_cell._modified = True
        self.base_cell = base_cell

    @contextmanager
    def _base(self) -> Iterator[BaseRNNCell]:
        """The other cell, called by this one."""
        self.base_cell._modified = False
        try:
            yield self.base_cell
        finally:
            self.base_cell._modified = True

    @property
    def params(self) -> RNNParams:
        """The parameters of the other cell."""
        self._own_params = False
        return self.base_cell.params

    @property
    def state_info(self) -> list[dict[str, Any]]:
        """The states of the other cell."""
        return self.base_cell.state_info

    def begin_state(self, func: Callable[..., Symbol] | None = None, **kwargs: Any) -> States:
        """The first states of the other cell."""
        assert not self._modified, "call the modifier cell, and not the cell that it modifies"
        with self._base() as cell:
            return cell.begin_state(kwargs.pop("init_sym", func), **kwargs)

    def unpack_weights(self, args: Mapping[str, NDArray]) -> Weights:
        """Those of the other cell taken apart."""
        return self.base_cell.unpack_weights(args)

    def pack_weights(self, args: Mapping[str, NDArray]) -> Weights:
        """The reverse of :meth:`unpack_weights`."""
        return self.base_cell.pack_weights(args)


class ZoneoutCell(ModifierCell):
    """Lets outputs and states stay what they were in the step before, at random.

    Krueger et al., "Zoneout: Regularizing RNNs by randomly preserving hidden activations", 2017.

    Args:
        base_cell: the cell.
        zoneout_outputs, zoneout_states: with which probability.
    """

    def __init__(
        self, base_cell: BaseRNNCell, zoneout_outputs: float = 0.0, zoneout_states: float = 0.0
    ) -> None:
        assert not isinstance(base_cell, (SequentialRNNCell, BidirectionalCell)), (
            "apply ZoneoutCell to the cells within, which have steps"
        )
        assert not hasattr(base_cell, "unfuse"), (
            "FusedRNNCell has no steps: unfuse() it, and apply ZoneoutCell to the cells within"
        )
        self.zoneout_outputs = zoneout_outputs
        self.zoneout_states = zoneout_states
        self.prev_output: Symbol | None = None
        super().__init__(base_cell)

    def reset(self) -> None:
        """Begin to count steps anew."""
        super().reset()
        self.prev_output = None
        if hasattr(self, "base_cell"):
            self.base_cell.reset()

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        """One step."""
        output, after = self.base_cell(inputs, states)
        before = symbol.zeros((0, 0)) if self.prev_output is None else self.prev_output
        if self.zoneout_outputs > 0.0:
            output = _kept(output, before, self.zoneout_outputs)
        if self.zoneout_states > 0.0:
            pairs = zip(after, states, strict=True)
            after = [_kept(new, old, self.zoneout_states) for new, old in pairs]
        self.prev_output = output
        return output, after


def _kept(new: Symbol, old: Symbol, probability: float) -> Symbol:
    """The new value, or at random the old one."""
    mask = symbol.Dropout(symbol.ones_like(new), p=probability)
    kept: Symbol = symbol.where(mask, new, old)
    return kept


class ResidualCell(ModifierCell):
    """Adds the input to the output.

    Args:
        base_cell: the cell, which has as many units as its input has features.
    """

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        """One step."""
        output, after = self.base_cell(inputs, states)
        return symbol.elemwise_add(output, inputs, name=f"{output.name}_plus_residual"), after

    def unroll(
        self,
        length: int,
        inputs: Any,
        begin_state: States | None = None,
        layout: str = "NTC",
        merge_outputs: bool | None = None,
    ) -> tuple[Any, States]:
        """So many steps; see :meth:`BaseRNNCell.unroll`."""
        self.reset()
        with self._base() as cell:
            found, states = cell.unroll(length, inputs, begin_state, layout, merge_outputs)
        merge = isinstance(found, Symbol) if merge_outputs is None else merge_outputs
        steps, _ = as_sequence(length, inputs, layout, merge)
        if isinstance(found, Symbol):
            name = f"{found.name}_plus_residual"
            return symbol.elemwise_add(found, steps, name=name), states
        return [
            symbol.elemwise_add(output, step, name=f"{output.name}_plus_residual")
            for output, step in zip(found, steps, strict=True)
        ], states
