"""Recurrent layers as one node, the operator RNN, whose weights are one vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ... import symbol
from ...ndarray.core import NDArray
from ...ndarray.create import zeros
from ..initializer import FusedRNN
from ..rnn_weights import Layers
from .around import BidirectionalCell, DropoutCell, SequentialRNNCell
from .base import BaseRNNCell, RNNParams, States, Weights, as_sequence
from .cells import GRUCell, LSTMCell, RNNCell


class FusedRNNCell(BaseRNNCell):
    """Several recurrent layers as one node.

    Args:
        num_hidden: units per layer and direction.
        num_layers: how many layers.
        mode: ``rnn_relu``, ``rnn_tanh``, ``lstm`` or ``gru``.
        bidirectional: whether each layer also runs backwards.
        dropout: between the layers.
        get_next_state: whether unrolling gives the last states.
        forget_bias: the first value of the forget gate's bias of an LSTM.
        prefix: how names begin: the mode if not given.
        params: parameters to share.
    """

    def __init__(
        self,
        num_hidden: int,
        num_layers: int = 1,
        mode: str = "lstm",
        bidirectional: bool = False,
        dropout: float = 0.0,
        get_next_state: bool = False,
        forget_bias: float = 1.0,
        prefix: str | None = None,
        params: RNNParams | None = None,
    ) -> None:
        super().__init__(f"{mode}_" if prefix is None else prefix, params)
        self._layers = Layers(num_hidden, num_layers, mode, bidirectional)
        # Programs read these one by one.
        self._num_hidden, self._num_layers, self._mode = num_hidden, num_layers, mode
        self._bidirectional, self._directions = bidirectional, list(self._layers.directions)
        self._dropout = dropout
        self._get_next_state = get_next_state
        self._forget_bias = forget_bias
        first = FusedRNN(None, num_hidden, num_layers, mode, bidirectional, forget_bias)
        self._parameter = self._params.get("parameters", init=first)

    @property
    def state_info(self) -> list[dict[str, Any]]:
        """One state, two for an LSTM."""
        layers = self._layers
        shape = (layers.num_layers * len(layers.directions), 0, layers.num_hidden)
        count = 2 if layers.mode == "lstm" else 1
        return [{"shape": shape, "__layout__": "LNC"} for _ in range(count)]

    @property
    def _gate_names(self) -> Sequence[str]:
        return list(self._layers.gates)

    def unpack_weights(self, args: Mapping[str, NDArray]) -> Weights:
        """Arrays by name, the vector taken apart by layer, direction and gate."""
        found = dict(args)
        vector = found.pop(f"{self._prefix}parameters")
        for name, view in self._layers.views(vector).items():
            found[self._prefix + name] = view.copy()
        return found

    def pack_weights(self, args: Mapping[str, NDArray]) -> Weights:
        """The reverse of :meth:`unpack_weights`."""
        found = dict(args)
        first = found[f"{self._prefix}l0_i2h{self._layers.gates[0]}_weight"]
        total = self._layers.total(first.shape[1])
        vector = zeros((total,), first.context, first.dtype)
        for name, view in self._layers.views(vector).items():
            view[:] = found.pop(self._prefix + name)
        found[f"{self._prefix}parameters"] = vector
        return found

    def __call__(self, inputs: Any, states: States) -> tuple[Any, States]:
        """There is no single step.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("FusedRNNCell cannot be stepped. Please use unroll")

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
        data, axis = as_sequence(length, inputs, layout, True)
        if axis == 1:
            data = symbol.swapaxes(data, dim1=0, dim2=1)
        states = self.begin_state() if begin_state is None else begin_state
        layers = self._layers
        made = symbol.RNN(
            data,
            self._parameter,
            *states,
            state_size=layers.num_hidden,
            num_layers=layers.num_layers,
            bidirectional=layers.bidirectional,
            p=self._dropout,
            state_outputs=self._get_next_state,
            mode=layers.mode,
            name=f"{self._prefix}rnn",
        )
        after: States = []
        outputs = made
        if self._get_next_state:
            outputs, *after = [made[i] for i in range(len(made))]
            for state in after:
                state._set_attr(__layout__="LNC")
        if axis == 1:
            outputs = symbol.swapaxes(outputs, dim1=0, dim2=1)
        return as_sequence(length, outputs, layout, merge_outputs)[0], after

    def unfuse(self) -> SequentialRNNCell:
        """The same layers as cells, whose weights are those of :meth:`unpack_weights`."""
        stack = SequentialRNNCell()
        layers = self._layers
        for layer in range(layers.num_layers):
            cells = [self._cell(f"{self._prefix}{d}{layer}_") for d in layers.directions]
            if layers.bidirectional:
                prefix = f"{self._prefix}bi_l{layer}_"
                stack.add(BidirectionalCell(cells[0], cells[1], output_prefix=prefix))
            else:
                stack.add(cells[0])
            if self._dropout > 0 and layer < layers.num_layers - 1:
                stack.add(DropoutCell(self._dropout, f"{self._prefix}_dropout{layer}_"))
        return stack

    def _cell(self, prefix: str) -> BaseRNNCell:
        units, mode = self._layers.num_hidden, self._layers.mode
        if mode == "lstm":
            return LSTMCell(units, prefix)
        if mode == "gru":
            return GRUCell(units, prefix)
        return RNNCell(units, mode.removeprefix("rnn_"), prefix)
