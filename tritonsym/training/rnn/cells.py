"""The plain recurrent cell, LSTM and GRU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import symbol
from ...ops.recurrent_calls import GATES
from ...symbol.core import Symbol
from ..initializer import Initializer, LSTMBias
from .base import BaseRNNCell, RNNParams, States


class DenseCell(BaseRNNCell):
    """A cell with a dense layer of its input, and another one of its state.

    Their weights and biases are ``_iW``, ``_iB``, ``_hW`` and ``_hB``, as in MXNet: programs derive
    cells that read them.

    Args:
        num_hidden: how many units.
        prefix: how names begin.
        params: parameters to share.
        first_bias: what initializes the bias of the input's layer, if not the module's initializer.
    """

    def __init__(
        self,
        num_hidden: int,
        prefix: str,
        params: RNNParams | None,
        first_bias: Initializer | None = None,
    ) -> None:
        super().__init__(prefix, params)
        self._num_hidden = num_hidden
        self._iW = self._params.get("i2h_weight")
        self._iB = self._params.get("i2h_bias", init=first_bias)
        self._hW = self._params.get("h2h_weight")
        self._hB = self._params.get("h2h_bias")

    @property
    def state_info(self) -> list[dict[str, Any]]:
        """One state: the output."""
        return [{"shape": (0, self._num_hidden), "__layout__": "NC"}]

    def _dense(self, inputs: Symbol, state: Symbol, units: int, name: str) -> list[Symbol]:
        """The two layers' outputs."""
        layers = (
            ("i2h", inputs, self._iW, self._iB),
            ("h2h", state, self._hW, self._hB),
        )
        return [
            symbol.FullyConnected(*given, num_hidden=units, name=f"{name}{group}")
            for group, *given in layers
        ]


class RNNCell(DenseCell):
    """output = activation(W input + b + R state + c), which is also the new state.

    Args:
        num_hidden: how many units.
        activation: a name of the operator Activation, or a function of a symbol.
        prefix: how names begin.
        params: parameters to share.
    """

    def __init__(
        self,
        num_hidden: int,
        activation: str | Callable[..., Symbol] = "tanh",
        prefix: str = "rnn_",
        params: RNNParams | None = None,
    ) -> None:
        super().__init__(num_hidden, prefix, params)
        self._activation = activation

    @property
    def _gate_names(self) -> Sequence[str]:
        return GATES["rnn_tanh"]

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        """One step."""
        self._counter += 1
        name = f"{self._prefix}t{self._counter}_"
        from_input, from_state = self._dense(inputs, states[0], self._num_hidden, name)
        total = from_input + from_state
        output = self._get_activation(total, self._activation, name=f"{name}out")
        return output, [output]


class LSTMCell(DenseCell):
    """Long short-term memory.

    Hochreiter and Schmidhuber, "Long short-term memory", 1997; with the forget gate of Gers,
    Schmidhuber and Cummins, "Learning to forget", 2000.

    Args:
        num_hidden: how many units.
        prefix: how names begin.
        params: parameters to share.
        forget_bias: the first value of the forget gate's bias.
    """

    def __init__(
        self,
        num_hidden: int,
        prefix: str = "lstm_",
        params: RNNParams | None = None,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__(num_hidden, prefix, params, LSTMBias(forget_bias))

    @property
    def state_info(self) -> list[dict[str, Any]]:
        """Two states: the output, and the memory."""
        return [*super().state_info, *super().state_info]

    @property
    def _gate_names(self) -> Sequence[str]:
        return list(GATES["lstm"])

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        """One step."""
        self._counter += 1
        name = f"{self._prefix}t{self._counter}_"
        from_input, from_state = self._dense(inputs, states[0], 4 * self._num_hidden, name)
        parts = symbol.SliceChannel(from_input + from_state, num_outputs=4, name=f"{name}slice")
        in_gate = symbol.Activation(parts[0], act_type="sigmoid", name=f"{name}i")
        forget_gate = symbol.Activation(parts[1], act_type="sigmoid", name=f"{name}f")
        candidate = symbol.Activation(parts[2], act_type="tanh", name=f"{name}c")
        out_gate = symbol.Activation(parts[3], act_type="sigmoid", name=f"{name}o")
        kept, added = forget_gate * states[1], in_gate * candidate
        memory = symbol.elemwise_add(kept, added, name=f"{name}state")
        seen = symbol.Activation(memory, act_type="tanh")
        output = symbol.elemwise_mul(out_gate, seen, name=f"{name}out")
        return output, [output, memory]


class GRUCell(DenseCell):
    """The gated recurrent unit, whose reset gate acts on the product with the state.

    Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation", 2014, in the form that vendors' libraries compute.

    Args:
        num_hidden: how many units.
        prefix: how names begin.
        params: parameters to share.
    """

    def __init__(
        self, num_hidden: int, prefix: str = "gru_", params: RNNParams | None = None
    ) -> None:
        super().__init__(num_hidden, prefix, params)

    @property
    def _gate_names(self) -> Sequence[str]:
        return list(GATES["gru"])

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        """One step."""
        self._counter += 1
        name = f"{self._prefix}t{self._counter}_"
        before = states[0]
        from_input, from_state = self._dense(inputs, before, 3 * self._num_hidden, f"{name}_")
        i = symbol.SliceChannel(from_input, num_outputs=3, name=f"{name}_i2h_slice")
        h = symbol.SliceChannel(from_state, num_outputs=3, name=f"{name}_h2h_slice")
        reset = symbol.Activation(i[0] + h[0], act_type="sigmoid", name=f"{name}_r_act")
        update = symbol.Activation(i[1] + h[1], act_type="sigmoid", name=f"{name}_z_act")
        new = symbol.Activation(i[2] + reset * h[2], act_type="tanh", name=f"{name}_h_act")
        taken = (1.0 - update) * new
        output = symbol.elemwise_add(taken, update * before, name=f"{name}out")
        return output, [output]
