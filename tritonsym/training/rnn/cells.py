"""The plain recurrent cell, LSTM and GRU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import symbol
from ...ops.recurrent_calls import GATES
from ...symbol.core import Symbol
from ..initializer import LSTMBias
from .base import BaseRNNCell, RNNParams, States


class RNNCell(BaseRNNCell):
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
        super().__init__(prefix, params)
        self._num_hidden = num_hidden
        self._activation = activation
        for group in ("i2h", "h2h"):
            self._params.get(f"{group}_weight")
            self._params.get(f"{group}_bias")

    @property
    def state_info(self) -> list[dict[str, Any]]:
        """One state: the output."""
        return [{"shape": (0, self._num_hidden), "__layout__": "NC"}]

    @property
    def _gate_names(self) -> Sequence[str]:
        return GATES["rnn_tanh"]

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        """One step."""
        self._counter += 1
        name = f"{self._prefix}t{self._counter}_"
        from_input = self._dense(inputs, "i2h", self._num_hidden, f"{name}i2h")
        from_state = self._dense(states[0], "h2h", self._num_hidden, f"{name}h2h")
        total = from_input + from_state
        if callable(self._activation):
            output = self._activation(total, name=f"{name}out")
        else:
            output = symbol.Activation(total, act_type=self._activation, name=f"{name}out")
        return output, [output]


class LSTMCell(BaseRNNCell):
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
        super().__init__(prefix, params)
        self._num_hidden = num_hidden
        self._params.get("i2h_weight")
        self._params.get("h2h_weight")
        self._params.get("i2h_bias", init=LSTMBias(forget_bias))
        self._params.get("h2h_bias")

    @property
    def state_info(self) -> list[dict[str, Any]]:
        """Two states: the output, and the memory."""
        return [{"shape": (0, self._num_hidden), "__layout__": "NC"} for _ in range(2)]

    @property
    def _gate_names(self) -> Sequence[str]:
        return list(GATES["lstm"])

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        """One step."""
        self._counter += 1
        name = f"{self._prefix}t{self._counter}_"
        units = 4 * self._num_hidden
        from_input = self._dense(inputs, "i2h", units, f"{name}i2h")
        from_state = self._dense(states[0], "h2h", units, f"{name}h2h")
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


class GRUCell(BaseRNNCell):
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
        super().__init__(prefix, params)
        self._num_hidden = num_hidden
        for group in ("i2h", "h2h"):
            self._params.get(f"{group}_weight")
            self._params.get(f"{group}_bias")

    @property
    def state_info(self) -> list[dict[str, Any]]:
        """One state: the output."""
        return [{"shape": (0, self._num_hidden), "__layout__": "NC"}]

    @property
    def _gate_names(self) -> Sequence[str]:
        return list(GATES["gru"])

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        """One step."""
        self._counter += 1
        name = f"{self._prefix}t{self._counter}_"
        before, units = states[0], 3 * self._num_hidden
        from_input = self._dense(inputs, "i2h", units, f"{name}_i2h")
        from_state = self._dense(before, "h2h", units, f"{name}_h2h")
        i = symbol.SliceChannel(from_input, num_outputs=3, name=f"{name}_i2h_slice")
        h = symbol.SliceChannel(from_state, num_outputs=3, name=f"{name}_h2h_slice")
        reset = symbol.Activation(i[0] + h[0], act_type="sigmoid", name=f"{name}_r_act")
        update = symbol.Activation(i[1] + h[1], act_type="sigmoid", name=f"{name}_z_act")
        new = symbol.Activation(i[2] + reset * h[2], act_type="tanh", name=f"{name}_h_act")
        taken = (1.0 - update) * new
        output = symbol.elemwise_add(taken, update * before, name=f"{name}out")
        return output, [output]
