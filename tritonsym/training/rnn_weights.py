"""How the weights of several recurrent layers lie in one vector, as the operator RNN reads it.

First all weights: layer by layer, in it direction by direction, in it those of the input and then
those of the state, gate by gate. Then all biases, in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..foundation.errors import MXNetError
from ..foundation.shape import Shape
from ..foundation.text import shown
from ..ndarray.core import NDArray
from ..ops.recurrent_calls import GATES


@dataclass(frozen=True)
class Layers:
    """Recurrent layers of one kind.

    Attributes:
        num_hidden: units per layer and direction.
        num_layers: how many layers.
        mode: a key of `GATES`.
        bidirectional: whether each layer also runs backwards.

    Raises:
        MXNetError: another mode.
    """

    num_hidden: int
    num_layers: int
    mode: str
    bidirectional: bool

    def __post_init__(self) -> None:
        if self.mode not in GATES:
            raise MXNetError(f"mode={shown(self.mode)} must be one of {', '.join(GATES)}")

    @property
    def directions(self) -> Sequence[str]:
        return ("l", "r") if self.bidirectional else ("l",)

    @property
    def gates(self) -> Sequence[str]:
        return GATES[self.mode]

    def pieces(self, inputs: int) -> list[tuple[str, Shape]]:
        """The name and shape of each piece, in order, for so many inputs of the first layer."""
        units = self.num_hidden
        weights, biases = [], []
        for layer in range(self.num_layers):
            width = inputs if layer == 0 else units * len(self.directions)
            for direction in self.directions:
                for group, length in (("i2h", width), ("h2h", units)):
                    for gate in self.gates:
                        name = f"{direction}{layer}_{group}{gate}"
                        weights.append((f"{name}_weight", (units, length)))
                        biases.append((f"{name}_bias", (units,)))
        return [*weights, *biases]

    def total(self, inputs: int) -> int:
        """How long the vector is."""
        return sum(math.prod(shape) for _, shape in self.pieces(inputs))

    def inputs_of(self, total: int) -> int:
        """How many inputs the first layer has, from the length of the vector.

        Raises:
            MXNetError: no number of inputs gives this length.
        """
        per_input = self.total(2) - self.total(1)
        inputs = (total - self.total(1)) // per_input + 1
        if inputs < 1 or self.total(inputs) != total:
            raise MXNetError(f"a vector of {total} weights does not fit {self}")
        return inputs

    def views(self, vector: NDArray) -> dict[str, NDArray]:
        """Each piece by name, on the vector's own memory.

        Raises:
            MXNetError: the vector's length does not fit.
        """
        found, start = {}, 0
        for name, shape in self.pieces(self.inputs_of(vector.size)):
            end = start + math.prod(shape)
            found[name] = vector[start:end].reshape(shape)
            start = end
        return found
